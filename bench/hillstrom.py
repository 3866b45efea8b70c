"""Hillstrom's e-mail test, the product's way: the default learner on random halves, each valued on the other half."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from regulars.uplift import EvaluationReport, Experiment, evaluate, fit_effects

FILE = Path(__file__).resolve().parents[2] / "shared" / "data" / "hillstrom" / "hillstrom.csv"
CONTROL = "No E-Mail"
OUTCOMES = ("visit", "conversion", "spend")
Row = dict[str, Any]


@cache
def customers() -> Any:
    """Return the 64,000 customers; a row's number is its customer."""
    import pandas as pd

    frame = pd.read_csv(FILE)
    frame.insert(0, "customer_id", np.arange(len(frame)))
    return frame


def evaluate_half(arm: str, outcome: str, seed: int, learner: str = "x", **options: Any) -> EvaluationReport:
    """Fit on a random half of one arm and control, half of them mailed by design, and evaluate on the other half."""
    frame = customers()
    two = frame[frame["segment"].isin([arm, CONTROL])]
    others = tuple(name for name in OUTCOMES if name != outcome)
    experiment = Experiment("segment", outcome, CONTROL, exclude=others, propensity=0.5)
    train, held = np.array_split(np.random.default_rng(seed).permutation(len(two)), 2)
    effects = fit_effects(experiment, two.iloc[train], learner, seed=seed)
    return evaluate(effects, two.iloc[held], seed=seed, **{"placebo": False} | options)


def half_rows(arm: str, outcome: str, seeds: Sequence[int], learner: str = "x") -> list[Row]:
    """Return one row per half: the verdict, and each ranking's QINI per head with its interval."""
    rows = []
    for seed in seeds:
        verdict = evaluate_half(arm, outcome, seed, learner).verdict
        row: Row = {"half": seed, "verdict": verdict.decision, "ranking": verdict.ranking, "best": verdict.best}
        for name, estimate in verdict.table.qini.items():
            row |= {f"qini_{name}": estimate.value, f"lower_{name}": estimate.lower, f"upper_{name}": estimate.upper}
        rows.append(row)
    return rows
