"""Made-up tables of churn beside a synthetic snapshot's customers: judged models, their calibration, a life table."""

import numpy as np

MODELS = ("hazard", "hazard + pareto_nbd", "pareto_nbd")


def churn_tables(seed: int = 3) -> dict[str, dict]:
    """Columns of ``churn_reports``, ``churn_calibration`` and ``gap_life_table``, as the contract has them."""
    n = len(MODELS)
    reports = {
        "model": list(MODELS),
        "rank": [2, 1, 3],
        "judgements": [2_400] * n,
        "brier": [0.0970, 0.0954, 0.0986],
        "slope": [1.01, 0.97, 0.72],
        "intercept": [0.07, 0.0, -0.28],
        "predicted": [0.164, 0.167, 0.170],
        "observed": [0.170] * n,
        "uno_c": [0.747, 0.748, None],
        "integrated_brier": [0.134, 0.134, 0.139],
        "mean_auc": [0.822, 0.821, 0.810],
        "d_calibration": [0.65, 0.02, 0.0],
        "note": ["", "", "dropout not identified: <b>beta</b> at the boundary"],
    }
    pairs = [(model, decile) for model in MODELS for decile in range(1, 11)]
    calibration = {
        "model": [model for model, _ in pairs],
        "decile": [decile for _, decile in pairs],
        "judgements": [240] * len(pairs),
        "predicted": [0.005 * decile**2 for _, decile in pairs],
        "observed": [min(0.005 * decile**2 * (1.2 if model[-3:] == "nbd" else 1.05), 1) for model, decile in pairs],
    }
    return {"churn_reports": reports, "churn_calibration": calibration, "gap_life_table": _life_table(seed)}


def _life_table(seed: int) -> dict[str, list]:
    rng = np.random.default_rng(seed)
    columns: dict[str, list] = {"purchase": [], "days": [], "customers": [], "returned": []}
    for purchase in (1, 2, 3, 5, 10, 20):
        n = 3_000 // purchase
        never = rng.random(n) < 0.5 / purchase
        length = np.ceil(rng.exponential(60 / purchase**0.5, n)).astype(int)
        watched = rng.integers(1, 700, n)
        event = ~never & (length <= watched)
        last = np.where(event, length, watched)
        for day in np.unique(last):
            columns["purchase"].append(purchase)
            columns["days"].append(int(day))
            columns["customers"].append(int((last >= day).sum()))
            columns["returned"].append(int((event & (last == day)).sum()))
    return columns
