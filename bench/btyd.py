"""Fits and scores of a million simulated customers beside lifetimes, in the same run."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from recovery import TRUTHS
from report import Section, seconds
from timing import Side, in_turns

from regulars import clv
from regulars.clv import simulate

DAYS = 728
WARM = 200
HORIZON = 52.0
SEED = 20261121
LIFETIMES_NOTE = (
    "lifetimes 0.11.3 runs as it is under today's pandas and numpy; its warnings (of a pandas option that is going, "
    "and of overflows on the way to an optimum) are kept off the screen, nothing else is changed."
)

Scores = tuple[np.ndarray, np.ndarray]


def summary_of(model: str, customers: int) -> pd.DataFrame:
    """Draw customers acquired evenly over 104 weeks, in whole days stated in weeks, under the truths of the study."""
    ages = np.random.default_rng(SEED).integers(1, DAYS + 1, customers) / 7.0
    orders = TRUTHS["bg_nbd" if model == "gamma_gamma" else model]
    frame = getattr(simulate, orders.draw)(orders.params, customers, ages, SEED, whole_days=True)
    if model == "gamma_gamma":
        spends = simulate.simulate_gamma_gamma(TRUTHS[model].params, frame["frequency"], SEED)
        frame["monetary_value"] = spends["monetary_value"]
    return frame


def fit_section(customers: int, rival_customers: int, runs: int = 5) -> Section:
    """BG/NBD, Pareto/NBD and Gamma-Gamma fits."""
    rows = []
    for model, title, theirs_of, target in (
        ("bg_nbd", "BG/NBD", customers, "15x"),
        ("pareto_nbd", "Pareto/NBD", rival_customers, "10x"),
        ("gamma_gamma", "Gamma-Gamma", customers, ""),
    ):
        took = in_turns(
            {
                f"regulars {title}": Side(partial(_our_fit, model, customers), runs),
                f"lifetimes {title}": Side(partial(_their_fit, model, theirs_of), min(runs, 3), warm_ups=0),
            }
        )
        ours, theirs = took.values()
        ours_there = ours.result if theirs_of == customers else _our_fit(model, theirs_of)()
        rows.append(
            (
                title,
                f"{customers:,}",
                seconds(ours.median),
                f"{theirs_of:,}",
                seconds(theirs.median),
                f"{theirs.median / ours.median:.0f}x",
                target,
                f"{ours_there - theirs.result:+.4f}",
            )
        )
    return Section(
        name="fits",
        title="Fits",
        text=(
            "Simulated customers acquired evenly over 104 weeks, orders on whole days, times in weeks; a frame of "
            "one row per customer in, a fitted model with standard errors out. Compiled code is warm, each side in "
            "its own process, in turns; median of five runs of ours and three of lifetimes, which takes minutes. "
            "The ratio is lifetimes' time over ours, whatever the numbers of customers. The last column is our "
            "log-likelihood less that of lifetimes' parameters, for its customers, both by our likelihood."
        ),
        head=("model", "customers", "regulars", "lifetimes' customers", "lifetimes", "ratio", "target", "LL gain"),
        rows=rows,
        remarks=(LIFETIMES_NOTE,),
    )


def score_section(customers: int, runs: int = 5) -> Section:
    """P(alive) and expected purchases of every customer."""
    rows = []
    for model, title in (("bg_nbd", "BG/NBD"), ("pareto_nbd", "Pareto/NBD")):
        took = in_turns(
            {
                f"regulars {title}": Side(partial(_our_scores, model, customers), runs),
                f"lifetimes {title}": Side(partial(_their_scores, model, customers), min(runs, 3), warm_ups=0),
            }
        )
        ours, theirs = took.values()
        apart, not_finite = _compared(ours.result, theirs.result)
        rows.append(
            (
                title,
                f"{customers:,}",
                seconds(ours.median),
                seconds(theirs.median),
                f"{theirs.median / ours.median:.1f}x",
                "3x",
                f"{apart:.1e}",
                f"{not_finite:,}",
            )
        )
    return Section(
        name="scores",
        title="Scores",
        text=(
            "P(alive) and expected purchases in the next 52 weeks of every customer, from a frame, by the "
            "parameters that drew them. Then the largest difference between the two on any customer where lifetimes "
            "has an answer, as a share of the larger of the value and one; and how many customers it has none for "
            "(ours are all finite)."
        ),
        head=("model", "customers", "regulars", "lifetimes", "ratio", "target", "apart", "lifetimes not finite"),
        rows=rows,
        remarks=(LIFETIMES_NOTE,),
    )


def _our_fit(model: str, customers: int) -> Callable[[], float]:
    frame = summary_of(model, customers)
    kind = TRUTHS[model].model
    kind().fit(frame.head(WARM))
    return lambda: kind().fit(frame).log_likelihood_


def _their_fit(model: str, customers: int) -> Callable[[], Callable[[], float]]:
    frame = summary_of(model, customers)
    arguments = _arguments(model, frame)

    def run() -> Callable[[], float]:
        with _quiet():
            fitted = _fitter(model).fit(*arguments)
        return partial(_likelihood, model, frame, dict(fitted.params_))

    with _quiet():
        _fitter(model).fit(*_arguments(model, frame.head(WARM)))
    return run


def _likelihood(model: str, frame: pd.DataFrame, params: dict[str, float]) -> float:
    return float(TRUTHS[model].model.from_parameters(**{k: float(v) for k, v in params.items()}).log_likelihood(frame))


def _fitter(model: str) -> Any:
    import lifetimes

    return {
        "bg_nbd": lifetimes.BetaGeoFitter,
        "pareto_nbd": lifetimes.ParetoNBDFitter,
        "gamma_gamma": lifetimes.GammaGammaFitter,
    }[model]()


def _arguments(model: str, frame: pd.DataFrame) -> tuple[Any, ...]:
    if model != "gamma_gamma":
        return frame["frequency"], frame["recency"], frame["T"]
    bought = frame[(frame["frequency"] > 0) & (frame["monetary_value"] > 0)]
    return bought["frequency"], bought["monetary_value"]


def _our_scores(model: str, customers: int) -> Callable[[], Scores]:
    frame = summary_of(model, customers)
    fitted = TRUTHS[model].model.from_parameters(**TRUTHS[model].params)

    def run() -> Scores:
        histories = clv.read_histories(frame)
        return fitted.probability_alive(histories), fitted.expected_purchases(histories, HORIZON)

    return run


def _their_scores(model: str, customers: int) -> Callable[[], Scores]:
    frame = summary_of(model, customers)
    x, t_x, age = frame["frequency"], frame["recency"], frame["T"]
    with _quiet():
        fitter = _fitter(model)
    fitter.params_ = pd.Series(TRUTHS[model].params)

    def run() -> Scores:
        with _quiet():
            alive = fitter.conditional_probability_alive(x, t_x, age)
            orders = fitter.conditional_expected_number_of_purchases_up_to_time(HORIZON, x, t_x, age)
        return np.asarray(alive), np.asarray(orders)

    return run


def _compared(ours: Scores, theirs: Scores) -> tuple[float, int]:
    """Largest relative difference where lifetimes has a number, and how many customers it has none for."""
    answered = np.isfinite(theirs[0]) & np.isfinite(theirs[1])
    if not all(np.isfinite(each).all() for each in ours):
        raise AssertionError("a score of ours is not finite")
    apart = max(
        (np.abs(our - their) / np.maximum(np.abs(our), 1.0))[answered].max()
        for our, their in zip(ours, theirs, strict=True)
    )
    return float(apart), int((~answered).sum())


@contextmanager
def _quiet() -> Iterator[None]:
    """Without lifetimes' warnings: of a pandas option that is going, and of overflows on the way to an optimum."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield
