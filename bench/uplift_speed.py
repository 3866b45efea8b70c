"""Uplift at size: allocation beside an integer programme, learners beside causalml by hand, scores and lists."""

import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from report import Section, gigabytes, seconds
from timing import Run, Side, in_turns

SEED = 20261121
FEATURES = 12
# as of `uplift.outcomes.boosted_trees` for 64,000 rows
BOOSTED = {
    "n_estimators": 80,
    "num_leaves": 8,
    "learning_rate": 0.05,
    "min_child_samples": 200,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
    "random_state": SEED,
}
LEARNERS = ("s", "t", "x", "r", "dr")
RIVALS = ("s", "t", "x")
FORESTS = ("causal_forest", "uplift_forest")


# ---- allocation -----------------------------------------------------------------------------------------------------


def allocation_section(customers: int, coupled: int, small: int, runs: int = 3) -> Section:
    """One budget over many customers; several limits; and a small case beside HiGHS's integer programme."""
    sides = {
        f"{customers:,} customers x 5 offers, one budget": (Side(partial(_one_budget, customers), runs), "10 s, 4 GB"),
        f"{coupled:,} x 5, budget, stock of two offers and contacts": (Side(partial(_limits, coupled), runs), ""),
        f"{small:,} x 5, the same limits": (Side(partial(_limits, small), runs), ""),
        f"{small:,} x 5, the same limits, HiGHS's integer programme": (
            Side(partial(_integer_programme, small), 1, warm_ups=0),
            "",
        ),
    }
    found = in_turns({name: side for name, (side, _) in sides.items()})
    rows = [
        (
            name,
            seconds(measured.median),
            gigabytes(measured.peak),
            f"{measured.result['value']:,.6g}",
            f"{measured.result['gap']:.1e}",
            sides[name][1],
        )
        for name, measured in found.items()
    ]
    return Section(
        "allocation",
        "Allocation of offers",
        "Profit of each offer and customer uniform between -1 and 4, its cost between 0.2 and 2, a tenth of the costs "
        "negative (offers that fund themselves); the budget is a fifth of what the best offers would cost, stock a "
        "tenth of the customers for two offers, contacts for half. Peak memory is the whole process's, data included. "
        "The gap is to the certified bound, relative; the integer programme's is HiGHS's own, where it stops at 1e-4. "
        f"Median of {runs} after one that compiles.",
        ("what", "time", "peak memory", "value", "gap", "target"),
        rows,
    )


def _offers(customers: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(SEED)
    value = rng.random((customers, 5))
    value *= 5.0
    value -= 1.0
    cost = rng.random((customers, 5))
    cost *= 1.8
    cost += 0.2
    cost[rng.random(customers) < 0.1, 4] *= -1.0
    return value, cost


def _budget(value: np.ndarray, cost: np.ndarray) -> float:
    best = value.argmax(axis=1)
    return 0.2 * float(cost[np.arange(len(best)), best].sum())


def _one_budget(customers: int) -> Run:
    from regulars.uplift import allocate

    value, cost = _offers(customers)
    budget = _budget(value, cost)

    def run() -> dict[str, float]:
        plan = allocate(value, cost, budget)
        return {"value": plan.value, "gap": plan.gap}

    return run


def _limits(customers: int) -> Run:
    from regulars.uplift import allocate

    value, cost = _offers(customers)
    limits: dict[str, Any] = {"stock": _stock(customers), "max_contacts": customers // 2}
    budget = _budget(value, cost)

    def run() -> dict[str, float]:
        plan = allocate(value, cost, budget, **limits)
        return {"value": plan.value, "gap": plan.gap}

    return run


def _stock(customers: int) -> list[float]:
    return [customers / 10, customers / 10, np.inf, np.inf, np.inf]


def _integer_programme(customers: int) -> Run:
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array, eye_array, kron, vstack

    from regulars.uplift.solver_output import without_solver_output

    value, cost = _offers(customers)
    one_each = kron(eye_array(customers), np.ones((1, 5)))
    stock = csr_array(np.tile(np.eye(5)[:2], (1, customers)))
    rows = vstack([one_each, csr_array(cost.reshape(1, -1)), stock, csr_array(np.ones((1, customers * 5)))])
    ends = np.r_[np.ones(customers), _budget(value, cost), _stock(customers)[:2], customers // 2]

    def run() -> dict[str, float]:
        with without_solver_output():
            answer = milp(
                -value.ravel(),
                constraints=LinearConstraint(rows.tocsr(), -np.inf, ends),
                integrality=np.ones(value.size),
                bounds=Bounds(0, 1),
            )
        return {"value": -float(answer.fun), "gap": float(answer.mip_gap)}

    return run


# ---- learners -------------------------------------------------------------------------------------------------------


def customers_of(n: int, seed: int = SEED) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return features (n, 12), treatment and a 0/1 outcome of an e-mail test with one arm and control."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, FEATURES))
    treated = rng.integers(0, 2, n)
    chance = 1.0 / (1.0 + np.exp(2.0 - 0.4 * features[:, 0] - treated * (0.3 + 0.3 * features[:, 1])))
    return features, treated, (rng.random(n) < chance).astype(np.float64)


def _frame(n: int, seed: int = SEED) -> Any:
    import pandas as pd

    features, treated, outcome = customers_of(n, seed)
    frame = pd.DataFrame(features, columns=[f"x{j}" for j in range(FEATURES)])
    frame.insert(0, "customer_id", np.arange(n))
    return frame.assign(arm=np.where(treated, "mail", "no"), outcome=outcome)


def learner_section(
    customers: int,
    runs: int = 3,
    learners: Sequence[str] = LEARNERS,
    rivals: Sequence[str] = RIVALS,
    forests: Sequence[str] = FORESTS,
) -> Section:
    """Fit and score with each learner, causalml called by hand beside."""
    sides = {f"regulars, `{name}`": Side(partial(_our_fit, name, customers), runs) for name in learners}
    sides |= {f"causalml by hand, `{name}`": Side(partial(_their_fit, name, customers), runs) for name in rivals}
    sides |= {f"regulars, `{name}`": Side(partial(_our_fit, name, customers), 1, warm_ups=0) for name in forests}
    found = in_turns(sides)
    rows = [
        (
            name,
            seconds(measured.median),
            gigabytes(measured.peak),
            f"{measured.result:.3f}",
            "3 s" if name == "regulars, `x`" else "",
        )
        for name, measured in found.items()
    ]
    return Section(
        "learners",
        "Fitting and scoring effects",
        f"{customers:,} customers, {FEATURES} features, a 0/1 outcome, one arm and control: fit, and score the same "
        "customers. Ours starts from a frame and ends with effects, preflight, propensities and the plain response model "
        "included; causalml is given arrays and the same LightGBM settings, the known propensity, and is called by "
        f"keyword with LightGBM's own number of threads. Imports are not timed. Median of {runs} after one that does not count; forests once. Agreement is "
        "the correlation with the true effects.",
        ("what", "time", "peak memory", "agreement", "target"),
        rows,
    )


def _truth(features: np.ndarray) -> np.ndarray:
    base = 0.4 * features[:, 0] - 2.0
    return 1.0 / (1.0 + np.exp(-base - 0.3 - 0.3 * features[:, 1])) - 1.0 / (1.0 + np.exp(-base))


def _our_fit(learner: str, customers: int) -> Run:
    from regulars.uplift import Experiment, fit_effects

    frame = _frame(customers)
    truth = _truth(customers_of(customers)[0])
    experiment = Experiment("arm", "outcome", "no", propensity=0.5)
    _imported("causalml.inference.meta" if learner in LEARNERS else "")

    def run() -> float:
        effects = fit_effects(experiment, frame, learner, seed=SEED)
        return float(np.corrcoef(effects.predict(frame)[:, 0], truth)[0, 1])

    return run


def _their_fit(learner: str, customers: int) -> Run:
    meta = _imported("causalml.inference.meta")
    from lightgbm import LGBMRegressor

    features, treated, outcome = customers_of(customers)
    truth = _truth(features)

    def model() -> Any:
        return LGBMRegressor(**BOOSTED)

    def run() -> float:
        if learner == "x":
            fitted = meta.BaseXRegressor(
                control_outcome_learner=model(),
                treatment_outcome_learner=model(),
                control_effect_learner=model(),
                treatment_effect_learner=model(),
                control_name=0,
            )
            half = np.full(customers, 0.5)
            fitted.fit(X=features, treatment=treated, y=outcome, p=half)
            effects = fitted.predict(X=features, p=half)
        else:
            fitted = {"s": meta.BaseSRegressor, "t": meta.BaseTRegressor}[learner](learner=model(), control_name=0)
            fitted.fit(X=features, treatment=treated, y=outcome)
            effects = fitted.predict(X=features)
        return float(np.corrcoef(effects[:, 0], truth)[0, 1])

    return run


def _imported(module: str) -> Any:
    from importlib import import_module

    if not module:
        return None
    with warnings.catch_warnings():
        # shap, which causalml imports, uses what matplotlib is about to drop
        warnings.simplefilter("ignore")
        return import_module(module)


# ---- scores and lists -----------------------------------------------------------------------------------------------


def uplift_score_section(fitted_on: int, customers: int, runs: int = 3) -> Section:
    """Score many customers with saved effects, and build a list from their scores."""
    folder = Path(tempfile.mkdtemp(prefix="regulars-bench-effects-"))
    _save(fitted_on, folder)
    steps: dict[str, tuple[Callable[..., Run], str]] = {
        f"effects of {customers:,} customers from a frame": (_score, "10 s"),
        f"target list of {customers:,} customers from their scores": (_list, ""),
    }
    found = in_turns(
        {name: Side(partial(step, folder, customers), runs, alone=True) for name, (step, _) in steps.items()}
    )
    rows = [
        (name, seconds(measured.median), gigabytes(measured.peak), str(measured.result), steps[name][1])
        for name, measured in found.items()
    ]
    return Section(
        "uplift-scores",
        "Scores and target lists",
        f"Effects by the default learner on {fitted_on:,} customers with {FEATURES} features, saved and loaded. The list "
        "has a budget, a holdout of a tenth, exploration of a twentieth and a list of the unsubscribed; it is rendered "
        f"as Parquet with its log. Neither causalml nor econml is loaded. Median of {runs} after one that does not count.",
        ("what", "time", "peak memory", "made", "target"),
        rows,
    )


def _save(customers: int, folder: Path) -> None:
    from regulars.uplift import Experiment, fit_effects

    experiment = Experiment("arm", "outcome", "no", propensity=0.5)
    fit_effects(experiment, _frame(customers), value=20.0, cost=0.1, seed=SEED).save(folder)


def _score(folder: Path, customers: int) -> Run:
    from regulars.uplift import Effects

    effects, frame = Effects.load(folder), _frame(customers, SEED + 1)

    def run() -> str:
        scores = effects.predict(frame)
        _must_be_light()
        return f"{len(scores):,} effects"

    return run


def _list(folder: Path, customers: int) -> Run:
    import pyarrow as pa

    from regulars.uplift import Effects, TargetList

    effects, frame = Effects.load(folder), _frame(customers, SEED + 1)
    scores = pa.table(
        {
            "customer_id": frame["customer_id"].astype(str).to_numpy(),
            "arm": np.full(customers, "mail"),
            "effect": effects.predict(frame)[:, 0],
            "net_effect": effects.net(frame)[:, 0],
            "cost": np.full(customers, 0.1),
        }
    )
    unsubscribed = [str(i) for i in range(0, customers, 50)]

    def run() -> str:
        made = TargetList.build(
            scores,
            "bench",
            on=date(2026, 11, 21),
            budget=0.02 * customers,
            holdout=0.1,
            exploration=0.05,
            suppression={"unsubscribed": unsubscribed},
        )
        size = len(made.list_bytes()) + len(made.log_bytes())
        _must_be_light()
        return f"{len(made.table):,} lines, {size / 1e6:.0f} MB with the log"

    return run


def _must_be_light() -> None:
    heavy = {"causalml", "econml"} & set(sys.modules)
    if heavy:
        raise AssertionError(f"{heavy} was loaded")
