"""The models' part of a build: judge them on a holdout, fit the best on everything, score every customer.

What the data cannot answer is NULL with the reason in a note, never an exception: a base of one customer, of one order
each, or of a single day still gets its snapshot.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from ..sql.contract import (
    CUSTOMER_INTERVALS,
    CUSTOMER_SCORES,
    KPIS,
    MODEL_CALIBRATION,
    MODEL_REPORTS,
    ORDER_TRACKING,
    PORTFOLIO_TERMS,
    SCORE_TERMS,
)
from ..sql.errors import ModelError, SettingsError

if TYPE_CHECKING:
    import pyarrow as pa

    from ..clv.btyd import BTYDModel
    from ..clv.calibration import DispersionCalibration
    from ..clv.evaluate import ModelReport
    from ..clv.gamma_gamma import GammaGammaModel
    from ..clv.portfolio import PortfolioValue
    from ..sql.settings import Settings

# A window shorter than this in the models' unit says nothing of a horizon.
SHORTEST_HOLDOUT = 1.0
LIKELY_ACTIVE = 0.5
# Fewer customers in the holdout say nothing of how wide intervals should be.
FEWEST_JUDGED = 200


@dataclass
class Valuation:
    """What the models make of a base.

    ``order_model`` and ``spend_model`` are None where nothing could be fitted; ``notes`` then say why.
    """

    reports: "pa.Table"
    calibration: "pa.Table"
    tracking: "pa.Table"
    scores: "pa.Table"
    terms: "pa.Table"
    intervals: "pa.Table"
    portfolio_terms: "pa.Table"
    portfolio: "PortfolioValue | None"
    order_model: "BTYDModel | None"
    spend_model: "GammaGammaModel | None"
    verdict: str
    chosen_because: str
    dispersion: "DispersionCalibration | None" = None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Histories:
    """The tables that the models read: all customers, and the calibration's with what they did afterwards."""

    summary: "pa.Table"
    holdout: "pa.Table"
    first_purchases: "pa.Table"
    repeat_purchases: "pa.Table"


def value_customers(
    histories: Histories,
    settings: "Settings",
    as_of: date,
    calibration_end: date | None,
    step: Callable[[str], None] = lambda _: None,
) -> Valuation:
    """Judge, choose, fit and score.

    Parameters
    ----------
    histories : Histories
        Times in the settings' unit; the Arrow schemas say which.
    settings : Settings
    as_of, calibration_end : date
        ``calibration_end`` is None where there is no purchase.
    step : callable
        Called with the name of each long step before it begins.

    Returns
    -------
    Valuation
        Its scores have one row for each row of ``histories.summary``, in that order.
    """
    notes: list[str] = []
    step("judge models on the holdout")
    report, why_not = _evaluate(histories, settings, as_of, calibration_end)
    if report is None:
        notes.append(f"no holdout evaluation: {why_not}")
    step("fit models")
    model, because = _fit_best(histories.summary, report, notes)
    spend = _fit_spend(histories.summary, notes)
    step("score customers")
    dispersion = _dispersion(histories.holdout, report, model, settings, notes)
    scores = _score(histories.summary, model, spend, settings, as_of, dispersion)
    portfolio_terms, portfolio = _portfolio(histories.summary, model, spend, settings)
    intervals = _intervals(histories.summary, model, spend, settings, dispersion)
    terms = _terms(histories.summary, model, settings)
    return Valuation(
        reports=_reports_of_nothing(why_not) if report is None else report.reports,
        calibration=_empty(MODEL_CALIBRATION) if report is None else report.calibration,
        tracking=_track(report, histories, calibration_end, as_of, settings),
        scores=scores,
        terms=terms,
        intervals=intervals,
        portfolio_terms=portfolio_terms,
        portfolio=portfolio,
        order_model=model,
        spend_model=spend,
        verdict=f"no verdict: {why_not}" if report is None else report.verdict,
        chosen_because=because,
        dispersion=dispersion,
        notes=notes,
    )


def value_kpis(valuation: Valuation, concentration: "pa.Table", as_of: date, settings: "Settings") -> "pa.Table":
    """Return the rows of ``kpis`` that follow from the models.

    Parameters
    ----------
    valuation : Valuation
    concentration : pyarrow.Table
        The query ``value_concentration``.
    """
    import numpy as np

    from ..sql.frames import contract_table

    horizon = f"the next {settings.value.horizon} {settings.value.time_unit}s"
    reason = "" if valuation.portfolio else f"; not known: {'; '.join(valuation.notes) or 'no model'}"
    found = valuation.portfolio
    alive = valuation.scores.column("probability_alive").to_numpy().astype(float)
    value = valuation.scores.column("customer_value").to_numpy().astype(float)
    total = float(np.nansum(value))
    top = [row["share"] for row in concentration.to_pylist() if row["decile"] == 1]
    leaving = float(np.nansum(value[alive < LIKELY_ACTIVE])) / total if total > 0 else None
    chance = "80% interval from the models' errors and each customer's chance, without season or shocks"
    rows: list[tuple[str, float | None, float | None, float | None, str, str]] = [
        (
            "customer_value",
            found and found.value,
            found and found.value_low,
            found and found.value_high,
            "currency",
            f"Discounted margin expected from all customers in {horizon}; {chance}",
        ),
        (
            "expected_orders",
            found and found.orders,
            found and found.orders_low,
            found and found.orders_high,
            "orders",
            f"Purchase days expected from all customers in {horizon}; {chance}",
        ),
        (
            "customers_alive",
            float(np.nansum(alive)) if found else None,
            None,
            None,
            "customers",
            "Customers expected to be still active: the sum of their probabilities",
        ),
        (
            "value_at_risk",
            leaving if found else None,
            None,
            None,
            "share",
            "Share of customer_value that lies with customers who have more likely left than not",
        ),
        (
            "top_decile_share",
            top[0] if found and top else None,
            None,
            None,
            "share",
            "Share of customer_value that lies with the tenth of customers of whom most is expected",
        ),
    ]
    columns = dict(zip(("kpi", "value", "low", "high", "unit", "meaning"), zip(*rows, strict=True), strict=True))
    columns["meaning"] = tuple(f"{meaning}{reason}" for meaning in columns["meaning"])
    return contract_table(KPIS, {name: list(values) for name, values in columns.items()} | {"as_of": as_of})


def _evaluate(
    histories: Histories, settings: "Settings", as_of: date, calibration_end: date | None
) -> "tuple[ModelReport | None, str]":
    from ..clv.evaluate import evaluate_models
    from ..clv.time_units import days_per_unit

    asked = settings.value.calibration_end
    if asked is not None and (asked >= as_of or histories.holdout.num_rows == 0):
        raise SettingsError(
            f"[value] calibration_end = {asked} leaves nothing to calibrate on or to judge: give a date after the "
            f"first purchase and before the as-of date {as_of}, or leave it out"
        )
    if calibration_end is None or histories.holdout.num_rows == 0:
        return None, "no customer was acquired before the calibration's end"
    window = (as_of - calibration_end).days
    unit = settings.value.time_unit
    if window < SHORTEST_HOLDOUT * days_per_unit(unit):
        return None, f"the orders span too little time: a holdout of {window} days is shorter than one {unit}"
    try:
        return evaluate_models(histories.holdout), ""
    except ModelError as error:
        return None, f"the calibration up to {calibration_end} cannot be fitted: {error}"


def _fit_best(summary: "pa.Table", report: "ModelReport | None", notes: list[str]) -> "tuple[BTYDModel | None, str]":
    from .. import clv
    from ..clv.evaluate import TITLES

    histories = clv.read_histories(summary)
    try:
        if report is not None:
            model = type(report.fitted[report.best_model])().fit(histories)
            because = "lowest root mean squared error on the holdout"
            if report.winner != report.best_model:
                because = f"best of the models on the holdout, where {TITLES[report.winner]} did better"
        else:
            kinds = (clv.NBDModel, clv.BetaGeoModel, clv.ModifiedBetaGeoModel, clv.ParetoNBDModel)
            fitted = [kind().fit(histories) for kind in kinds]
            model = min(fitted, key=lambda m: 2 * len(m.parameter_names) - 2 * m.log_likelihood_)
            because = "lowest AIC, there being no holdout"
    except ModelError as error:
        notes.append(f"no model of orders: {error}")
        return None, "nothing could be fitted"
    if model.message_:
        notes.append(f"{TITLES[model.name]}: {model.message_}")
    return model, because


def _fit_spend(summary: "pa.Table", notes: list[str]) -> "GammaGammaModel | None":
    from ..clv.gamma_gamma import fit_spend

    try:
        spend = fit_spend(summary)
    except ModelError as error:
        notes.append(f"no model of spend: {error}")
        return None
    if spend is None:
        notes.append("no model of spend: no order brought any money; every value is 0")
    elif spend.message_:
        notes.append(f"Gamma-Gamma: {spend.message_}")
    return spend


def _score(
    summary: "pa.Table",
    model: "BTYDModel | None",
    spend: "GammaGammaModel | None",
    settings: "Settings",
    as_of: date,
    dispersion: "DispersionCalibration | None",
) -> "pa.Table":
    from ..clv.score import score_customers

    if model is None:
        return _scores_of_nothing(summary, as_of)
    return score_customers(model, spend, summary, as_of=as_of, calibration=dispersion, **_terms_of_value(settings))


def _portfolio(
    summary: "pa.Table", model: "BTYDModel | None", spend: "GammaGammaModel | None", settings: "Settings"
) -> "tuple[pa.Table, PortfolioValue | None]":
    from ..clv.portfolio import portfolio_terms

    if model is None:
        return _empty(PORTFOLIO_TERMS), None
    terms = portfolio_terms(model, spend, summary, **_terms_of_value(settings))
    return terms.table(summary.column("customer_id")), terms.total()


def _terms_of_value(settings: "Settings") -> dict[str, Any]:
    value = settings.value
    return {"horizon": value.horizon, "discount_rate": value.discount_rate, "margin": value.margin}


def _dispersion(
    holdout: "pa.Table",
    report: "ModelReport | None",
    model: "BTYDModel | None",
    settings: "Settings",
    notes: list[str],
) -> "DispersionCalibration | None":
    """How much wider the holdout lay than the same model, as fitted on the calibration, had said."""
    from ..clv.calibration import DispersionCalibration

    few = holdout.num_rows < FEWEST_JUDGED
    if not settings.value.calibrate_intervals or report is None or model is None or few:
        return None
    observed = holdout.column("frequency_holdout").to_numpy()
    lengths = holdout.column("duration_holdout").to_numpy()
    try:
        return DispersionCalibration.fit(report.fitted[model.name], holdout, observed, float(lengths[0]))
    except ModelError as error:
        notes.append(f"intervals are not calibrated: {error}")
        return None


def _intervals(
    summary: "pa.Table",
    model: "BTYDModel | None",
    spend: "GammaGammaModel | None",
    settings: "Settings",
    dispersion: "DispersionCalibration | None",
) -> "pa.Table":
    from ..clv.interval_levels import customer_intervals
    from ..sql.frames import contract_table

    if model is None:
        return _empty(CUSTOMER_INTERVALS)
    found = customer_intervals(model, spend, summary, settings.value.horizon, calibration=dispersion).frame()
    columns = {name: found[name].to_numpy() for name in found}
    return contract_table(CUSTOMER_INTERVALS, {"customer_id": summary.column("customer_id"), **columns})


def _terms(summary: "pa.Table", model: "BTYDModel | None", settings: "Settings") -> "pa.Table":
    from ..clv.sql_scores import score_terms

    if model is None:
        return _empty(SCORE_TERMS)
    value = settings.value
    return score_terms(model, summary, horizon=value.horizon, discount_rate=value.discount_rate)


def _scores_of_nothing(summary: "pa.Table", as_of: date) -> "pa.Table":
    import numpy as np
    import pyarrow as pa

    from ..clv.segments import assign_segments
    from ..sql.frames import contract_table

    frequency = summary.column("frequency").to_numpy()
    nothing = np.full(len(frequency), np.nan)
    segments = assign_segments(frequency, summary.column("T_days").to_numpy(), nothing, nothing)
    known = {
        "customer_id": summary.column("customer_id"),
        "as_of": pa.repeat(pa.scalar(as_of), len(frequency)),
        # of a customer who has come back only a model could say more
        "segment": pa.array(segments.astype(object), pa.string(), mask=frequency > 0),
        "model_version": pa.repeat("none", len(frequency)),
    }
    return contract_table(
        CUSTOMER_SCORES, {name: known.get(name, pa.nulls(len(frequency))) for name in CUSTOMER_SCORES.column_names}
    )


def _track(
    report: "ModelReport | None",
    histories: Histories,
    calibration_end: date | None,
    as_of: date,
    settings: "Settings",
) -> "pa.Table":
    from ..clv.tracking import track_orders

    if report is None or calibration_end is None:
        return _empty(ORDER_TRACKING)
    return track_orders(
        report.fitted,
        histories.first_purchases,
        histories.repeat_purchases,
        calibration_end,
        settings.shop.week_starts_on,
        observation_end=as_of,
    )


def _reports_of_nothing(reason: str) -> "pa.Table":
    import pyarrow as pa

    from ..clv.evaluate import BASELINES, MODELS
    from ..sql.frames import contract_table

    names = [*MODELS, *BASELINES]
    known = {"model": names, "is_baseline": [name in BASELINES for name in names], "parameters": "{}", "note": reason}
    return contract_table(
        MODEL_REPORTS, {name: known.get(name, pa.nulls(len(names))) for name in MODEL_REPORTS.column_names}
    )


def _empty(table: Any) -> "pa.Table":
    import pyarrow as pa

    from ..sql.frames import contract_table

    return contract_table(table, {name: pa.nulls(0) for name in table.column_names})
