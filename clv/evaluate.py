"""Which model, and should one believe it: fitted on the calibration, judged on what customers then did."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..sql.contract import MODEL_CALIBRATION, MODEL_REPORTS
from ..sql.errors import ModelError
from ..sql.frames import contract_table, frame_like
from .arguments import require_time
from .columns import column_names, read_columns
from .gamma_gamma import GammaGammaModel, fit_spend
from .histories import PurchaseHistories, read_histories
from .likelihood_ratio import n_parameters
from .plain_models import plain_model

if TYPE_CHECKING:
    from .btyd import BTYDModel

Array = NDArray[np.float64]

MODELS = ("nbd", "bg_nbd", "mbg_nbd", "pareto_nbd")
BASELINES = ("same_rate", "cohort_mean")
TITLES: Mapping[str, str] = {
    "nbd": "NBD",
    "bg_nbd": "BG/NBD",
    "mbg_nbd": "MBG/NBD",
    "pareto_nbd": "Pareto/NBD",
    "same_rate": "same rate as before",
    "cohort_mean": "the mean of the base",
}


@dataclass(frozen=True)
class ModelReport:
    """What the holdout says of each model and baseline.

    Attributes
    ----------
    reports, calibration : frame
        In the shapes of ``contract.MODEL_REPORTS`` (by rank) and ``contract.MODEL_CALIBRATION``.
    winner : str
        Name of rank 1, which may be a naive baseline.
    best_model : str
        Name of the best that is a model.
    verdict : str
        A sentence or two that say which is best, by how much, and what to beware of.
    fitted : dict of BTYDModel
        The models as fitted on the calibration, by name.
    spend : GammaGammaModel or None
        As fitted on the calibration; None where the holdout frame has no money.

    Examples
    --------
    >>> base = {"frequency": [0, 1, 3, 6], "recency": [0, 4.0, 30, 38], "T": [39.0] * 4, "weight": [99, 40, 20, 9]}
    >>> report = evaluate_models(base | {"frequency_holdout": [0, 0, 2, 5]}, models=["nbd"], duration=39)
    >>> print(report)
    NBD predicts best: RMSE ... purchases a customer over 39 weeks, total off by ...; the better naive baseline...
    """

    reports: Any = field(repr=False)
    calibration: Any = field(repr=False)
    winner: str
    best_model: str
    verdict: str
    fitted: "dict[str, BTYDModel]" = field(repr=False)
    spend: GammaGammaModel | None = field(repr=False)

    def __str__(self) -> str:
        return self.verdict


@dataclass(frozen=True)
class _Judged:
    name: str
    predicted: Array  # by row
    rmse: float
    mae: float
    parameters: int
    squared_error: Array = field(repr=False)  # by row


def evaluate_models(
    holdout: Any, models: "Iterable[str | BTYDModel] | None" = None, *, duration: float | None = None
) -> ModelReport:
    """Fit every model on the calibration, predict the observation window, and rank them beside two naive baselines.

    The rank is by root mean squared error of purchases by customer, ties by mean absolute error, then by the fewer
    parameters. Squared error is minimised by the expectation, which is what the models predict and what adds up to
    totals and money; absolute error by the median, which is 0 for most customers, so that it rewards a prediction
    of nothing. ``same_rate`` predicts x / T for everyone, ``cohort_mean`` the whole base's purchases over its time.

    Parameters
    ----------
    holdout : frame
        ``frequency, recency, T`` of the calibration, ``frequency_holdout`` and ``duration_holdout`` (in the unit of
        T); for money also ``monetary_value`` and ``revenue_holdout``; optionally ``weight``, customers that a row
        stands for, all other columns being per customer.
    models : iterable, optional
        Names or models, which are fitted anew; by default `MODELS`.
    duration : float, optional
        Length of the observation window where the frame has no ``duration_holdout``.

    Returns
    -------
    ModelReport

    Raises
    ------
    ContractError
        Where the frame lacks a column or holds an impossible value.
    ModelError
        Where the window has no length, a name is unknown, or the calibration cannot be fitted (its text says why).

    Examples
    --------
    >>> base = {"frequency": [0, 1, 3, 6], "recency": [0, 4.0, 30, 38], "T": [39.0] * 4, "weight": [99, 40, 20, 9]}
    >>> report = evaluate_models(base | {"frequency_holdout": [0, 0, 2, 5]}, models=["nbd", "bg_nbd"], duration=39)
    >>> report.reports["model"].tolist()
    ['bg_nbd', 'nbd', 'same_rate', 'cohort_mean']
    """
    unfitted, histories, outcome = _fresh(models), read_histories(holdout), _read_outcome(holdout, duration)
    # covariates are read from the frame, what others read once will do for all of them
    fitted = {m.name: m.fit(holdout if getattr(m, "covariates", ()) else histories) for m in unfitted}
    spend = fit_spend(holdout) if "monetary_value" in column_names(holdout) else None
    read = {n: m.histories(holdout) if getattr(m, "covariates", ()) else histories for n, m in fitted.items()}
    predictions = {name: _predict(model, read[name], outcome.duration) for name, model in fitted.items()}
    predictions |= baseline_predictions(histories, outcome.duration)
    judged = sorted(
        (_judge(name, p, outcome, fitted) for name, p in predictions.items()),
        key=lambda j: (j.rmse, j.mae, j.parameters),
    )
    order_value = None if spend is None else spend.conditional_expected_value(holdout)
    rows = [_report_row(rank, j, outcome, fitted, order_value) for rank, j in enumerate(judged, start=1)]
    deciles = [_calibration_rows(j, outcome) for j in judged]
    best = next(j for j in judged if j.name in fitted)
    return ModelReport(
        reports=frame_like(holdout, contract_table(MODEL_REPORTS, _by_column(rows))),
        calibration=frame_like(
            holdout, contract_table(MODEL_CALIBRATION, {k: np.concatenate([d[k] for d in deciles]) for k in deciles[0]})
        ),
        winner=judged[0].name,
        best_model=best.name,
        verdict=_verdict(judged, best, outcome, fitted),
        fitted=fitted,
        spend=spend,
    )


def baseline_predictions(histories: PurchaseHistories, duration: Array) -> dict[str, Array]:
    """Predict what somebody without a model would: each customer goes on as before; all buy at the base's mean rate.

    Examples
    --------
    >>> base = read_histories({"frequency": [0, 2], "recency": [0.0, 8], "T": [10.0, 10]})
    >>> {name: p.tolist() for name, p in baseline_predictions(base, np.array([5.0, 5.0])).items()}
    {'same_rate': [0.0, 1.0], 'cohort_mean': [0.5, 0.5]}
    """
    x, T, w = histories.frequency.astype(float), histories.T, histories.weight
    mean_rate = (w * x).sum() / time if (time := (w * T).sum()) > 0 else 0.0
    return {
        "same_rate": np.divide(x, T, out=np.zeros_like(x), where=T > 0) * duration,
        "cohort_mean": mean_rate * duration,
    }


def sums_by_tenth(order_by: Array, weight: Array, *values: Array) -> tuple[NDArray[np.int64], list[Array]]:
    """Sort customers by ``order_by`` and sum ``values`` over each tenth; ties share the tenths that they fall into.

    Parameters
    ----------
    order_by, weight, *values : ndarray, shape (n,)
        What to sort by, ascending; customers that a row stands for; per-customer values.

    Returns
    -------
    customers : ndarray of int, shape (10,)
    sums : list of ndarray, shape (10,)
        One for each of ``values``. Equal values of ``order_by`` are spread evenly, so neither the order of rows nor
        grouping changes a sum.

    Examples
    --------
    >>> customers, (total,) = sums_by_tenth(np.zeros(2), np.array([15.0, 5.0]), np.array([0.0, 4.0]))
    >>> customers.tolist(), total.tolist()
    ([2, 2, 2, 2, 2, 2, 2, 2, 2, 2], [2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0])
    """
    _, block = np.unique(order_by, return_inverse=True)
    cumulative = np.concatenate([[0.0], np.cumsum(np.bincount(block, weight))])
    bounds = np.round(cumulative[-1] * np.arange(11) / 10)
    sums = []
    for value in values:
        running = np.concatenate([[0.0], np.cumsum(np.bincount(block, weight * value))])
        sums.append(np.diff(np.interp(bounds, cumulative, running)))
    return np.diff(bounds).astype(np.int64), sums


@dataclass(frozen=True)
class _Outcome:
    """What the observation window brought, arrays of shape (n,)."""

    purchases: Array
    duration: Array
    weight: Array
    money: Array | None
    time_unit: str

    @property
    def customers(self) -> float:
        return float(self.weight.sum())

    def mean(self, values: Array) -> float:
        return float((self.weight * values).sum() / self.customers)


def _read_outcome(holdout: Any, duration: float | None) -> _Outcome:
    required = ["frequency_holdout", *(["duration_holdout"] if duration is None else [])]
    columns = read_columns(holdout, required, ["weight", "revenue_holdout"])
    histories = read_histories(holdout)
    purchases = columns["frequency_holdout"]
    if not (np.isfinite(purchases) & (purchases >= 0)).all():
        raise ModelError("frequency_holdout must count purchases from 0 in every row; make it with clv.holdout_summary")
    unit = histories.time_unit or "week"
    if duration is None:
        lengths = columns["duration_holdout"]
    else:
        lengths = np.full(len(purchases), require_time("duration", duration, unit))
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise ModelError("the observation window has no length: calibration_end must lie before observation_end")
    return _Outcome(purchases, lengths, histories.weight, columns.get("revenue_holdout"), unit)


def _fresh(models: "Iterable[str | BTYDModel] | None") -> "list[BTYDModel]":
    chosen = MODELS if models is None else models
    fresh = [plain_model(model) if isinstance(model, str) else model.unfitted() for model in chosen]
    if not fresh:
        raise ModelError(f"no model to evaluate; there are {', '.join(MODELS)}")
    return fresh


def _predict(model: "BTYDModel", histories: PurchaseHistories, duration: Array) -> Array:
    lengths = np.unique(duration)
    if len(lengths) == 1:
        return model.expected_purchases(histories, float(lengths[0]))
    by_length = {float(length): model.expected_purchases(histories, float(length)) for length in lengths}
    return np.select([duration == length for length in by_length], list(by_length.values()))


def _judge(name: str, predicted: Array, outcome: _Outcome, fitted: "Mapping[str, BTYDModel]") -> _Judged:
    error = predicted - outcome.purchases
    return _Judged(
        name=name,
        predicted=predicted,
        rmse=math.sqrt(outcome.mean(error**2)),
        mae=outcome.mean(np.abs(error)),
        parameters=n_parameters(fitted[name]) if name in fitted else 0,
        squared_error=error**2,
    )


def _report_row(
    rank: int, judged: _Judged, outcome: _Outcome, fitted: "Mapping[str, BTYDModel]", order_value: Array | None
) -> dict[str, Any]:
    model = fitted.get(judged.name)
    actual = float((outcome.weight * outcome.purchases).sum())
    predicted = float((outcome.weight * judged.predicted).sum())
    share = None
    if outcome.money is not None and (outcome.weight * outcome.money).sum() > 0:
        value = judged.predicted * (1.0 if order_value is None else order_value)
        _, (money,) = sums_by_tenth(value, outcome.weight, outcome.money)
        share = float(money[-1] / money.sum())
    return {
        "model": judged.name,
        "is_baseline": model is None,
        "rank": rank,
        "customers": round(outcome.customers),
        "log_likelihood": None if model is None else model.log_likelihood_,
        "parameters": "{}" if model is None else _parameters_json(model.params_ | getattr(model, "coefficients_", {})),
        "actual": actual,
        "predicted": predicted,
        "total_error": predicted / actual - 1 if actual > 0 else None,
        "mae": judged.mae,
        "rmse": judged.rmse,
        "top_decile_share": share,
        "note": "" if model is None else model.message_,
    }


def _parameters_json(parameters: Mapping[str, float]) -> str:
    return json.dumps({name: value if math.isfinite(value) else None for name, value in parameters.items()})


def _calibration_rows(judged: _Judged, outcome: _Outcome) -> dict[str, Any]:
    customers, (predicted, actual) = sums_by_tenth(
        judged.predicted, outcome.weight, judged.predicted, outcome.purchases
    )
    some = customers > 0  # fewer than ten customers leave tenths empty
    return {
        "model": np.full(some.sum(), judged.name, dtype=object),
        "decile": np.flatnonzero(some) + 1,
        "customers": customers[some],
        "predicted": predicted[some] / customers[some],
        "actual": actual[some] / customers[some],
    }


def _by_column(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


def _verdict(judged: list[_Judged], best: _Judged, outcome: _Outcome, fitted: "Mapping[str, BTYDModel]") -> str:
    naive = next(j for j in judged if j.name not in fitted)
    actual = float((outcome.weight * outcome.purchases).sum())
    off = (outcome.weight * best.predicted).sum() / actual - 1 if actual > 0 else math.nan
    total = f"total off by {off:+.1%}" if math.isfinite(off) else "nobody bought in the holdout"
    window = f"{outcome.mean(outcome.duration):.3g} {outcome.time_unit}s"
    figures = f"RMSE {best.rmse:.3f} purchases a customer over {window}, {total}"
    z = _z_of_difference(best, naive, outcome)
    noise = "; the difference is within the noise of this holdout" if abs(z) < 2 else ""
    if judged[0] is best:
        parts = [
            f"{TITLES.get(best.name, best.name)} predicts best: {figures}; the better naive baseline, "
            f"'{TITLES[naive.name]}', has {naive.rmse:.3f}{noise}."
        ]
    else:
        parts = [
            f"The naive baseline '{TITLES[naive.name]}' wins with RMSE {naive.rmse:.3f}: no model beats it. "
            f"The best model, {TITLES.get(best.name, best.name)}, has {figures}{noise}. Its scores add nothing over "
            "the baseline's in this holdout."
        ]
    lost = [TITLES.get(n, n) for n, m in fitted.items() if m.dropout_parameters and m.message_.startswith("dropout")]
    if lost:
        parts.append(f"{', '.join(lost)}: dropout not identified, NBD selected; nobody is predicted to have left.")
    return " ".join(parts)


def _z_of_difference(one: _Judged, other: _Judged, outcome: _Outcome) -> float:
    """Mean difference of squared errors over its standard error (Diebold and Mariano 1995, customers independent)."""
    difference = one.squared_error - other.squared_error
    mean = outcome.mean(difference)
    error = math.sqrt(outcome.mean((difference - mean) ** 2) / max(outcome.customers - 1, 1))
    return mean / error if error > 0 else 0.0
