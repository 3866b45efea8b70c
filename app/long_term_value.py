"""What a campaign did to lifetime value: signals at the end of its window, valued by the customer models.

The index of a customer is his margin in the window and what the models expect of him over the horizon after it, from
frequency, recency, T and monetary value as they are at the window's end. The history is the same base a horizon
earlier, whose margin since is known: it says what the index gets wrong.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from ..sql.errors import ModelError
from ..sql.pipeline import DAYS_PER_UNIT

if TYPE_CHECKING:
    import pyarrow as pa

    from ..clv.btyd import BTYDModel
    from ..clv.gamma_gamma import GammaGammaModel
    from ..sql.campaign_settings import CampaignSettings
    from ..sql.pipeline import Pipeline
    from ..sql.settings import Settings
    from ..uplift.experiment import Experiment
    from ..uplift.surrogate import LongTermEffects

_SIGNALS = ("frequency", "recency_days", "T_days", "monetary_value", "window_purchase_days", "window_revenue")
_FEWEST = 100
_DRAWS = 30


@dataclass(frozen=True)
class LongTermValue:
    """Effects of each arm on margin over the window and the horizon after it, per customer, in money.

    ``arm_names`` are the arms of ``effects`` beside control, ``customers`` those compared, ``horizon_days`` how long
    after the window is counted.
    """

    effects: "LongTermEffects"
    arm_names: tuple[str, ...]
    customers: int
    horizon_days: int


def long_term_value(
    pipeline: "Pipeline",
    settings: "Settings",
    campaign: "CampaignSettings",
    frame: "pa.Table",
    experiment: "Experiment",
    model: "BTYDModel",
    spend: "GammaGammaModel",
) -> LongTermValue:
    """Estimate what a campaign did to margin over its window and the horizon after it.

    Parameters
    ----------
    pipeline : Pipeline
        Where the campaign queries run.
    settings : Settings
        Margin, time unit and seed.
    campaign : CampaignSettings
        One that learns from a single other; its window and horizon.
    frame, experiment
        Its rows, and how to read them.
    model, spend : BTYDModel, GammaGammaModel
        Fitted; they are taken as known but for their standard errors.

    Raises
    ------
    ModelError
        Where the data do not reach a horizon back, too few customers have signals, or there is no overlap.
    """
    from ..uplift.nuisances import cross_fit_outcomes, cross_fit_propensities
    from ..uplift.scores import overlap_region
    from ..uplift.surrogate import long_term_effects

    if len(campaign.learn_from) != 1:
        raise ModelError("the effect on lifetime value is worked out for a campaign that learns from one other only")
    terms = {"control": campaign.control, "unsent": "control" if campaign.rest_is_control else "left_out"}
    days = campaign.window_days
    signals = pipeline.run("campaign_signals", campaign=campaign.learn_from[0], window_days=days, **terms)
    data = experiment.read(frame)
    at = {unit: row for row, unit in enumerate(signals["customer_id"].to_pylist())}
    place = np.array([at.get(unit, -1) for unit in data.unit.tolist()], dtype=np.int64)
    known = place >= 0
    shares = data.propensity
    if shares is None:
        shares = cross_fit_propensities(data.features, data.arm, data.n_arms, seed=settings.build.seed)
        known &= overlap_region(shares).kept
    if known.sum() < _FEWEST or np.bincount(data.arm[known], minlength=data.n_arms).min() < 2:
        raise ModelError(f"{int(known.sum())} customers had bought before the send and overlap; {_FEWEST} are needed")
    unit_days = DAYS_PER_UNIT[settings.value.time_unit]
    margin, horizon = settings.value.margin, campaign.horizon or settings.value.horizon
    horizon_days = round(horizon * unit_days)
    history, outcome = _history(pipeline, horizon_days, days)
    now = _matrix(signals)[place[known]]
    past = _matrix(history)

    def index(of: np.ndarray, orders: "BTYDModel") -> np.ndarray:
        return margin * of[:, 5] + _expected_margin(of, orders, spend, horizon, unit_days, margin)

    value = index(now, model)
    expected = cross_fit_outcomes(
        data.features[known], data.arm[known], value, data.n_arms, model="linear", seed=settings.build.seed
    )
    draws = np.array([index(now, drawn) for drawn in _drawn_models(model, settings.build.seed)])
    effects = long_term_effects(
        data.arm[known],
        now,
        value,
        shares[known] / shares[known].sum(axis=1, keepdims=True),
        history_signals=past,
        history_index=index(past, model),
        history_outcome=margin * (past[:, 5] + outcome),
        expected=expected,
        index_draws=draws if len(draws) else None,
        seed=settings.build.seed,
    )
    return LongTermValue(effects, data.arm_names[1:], int(known.sum()), horizon_days)


def _history(pipeline: "Pipeline", horizon_days: int, window_days: int) -> tuple["pa.Table", np.ndarray]:
    """Return signals a horizon ago, and the revenue since then, by customer."""
    as_of = pipeline.parameters["as_of"]
    then = as_of - timedelta(days=horizon_days)
    signals = pipeline.run("campaign_signals", as_of=then, window_days=window_days).sort_by("customer_id")
    if signals.num_rows < _FEWEST:
        raise ModelError(
            f"{signals.num_rows} customers had bought {window_days} days before {then}, a horizon of {horizon_days} "
            f"days ago; {_FEWEST} are needed to see what the models get wrong. Shorten the horizon, or wait"
        )
    since = pipeline.run("holdout_summary", calibration_end=then, observation_end=as_of)
    revenue = dict(zip(since["customer_id"].to_pylist(), since["revenue_holdout"].to_pylist(), strict=True))
    return signals, np.array([float(revenue.get(unit, 0)) for unit in signals["customer_id"].to_pylist()])


def _matrix(signals: "pa.Table") -> np.ndarray:
    return np.column_stack([signals[name].to_numpy().astype(np.float64) for name in _SIGNALS])


def _expected_margin(
    signals: np.ndarray, model: "BTYDModel", spend: "GammaGammaModel", horizon: float, unit_days: float, margin: float
) -> np.ndarray:
    frequency, recency, age, monetary = (
        signals[:, 0],
        signals[:, 1] / unit_days,
        signals[:, 2] / unit_days,
        signals[:, 3],
    )
    summary: dict[str, Any] = {"frequency": frequency, "recency": recency, "T": age, "monetary_value": monetary}
    return margin * model.expected_purchases(summary, horizon) * spend.conditional_expected_value(summary)


def _drawn_models(model: "BTYDModel", seed: int) -> list["BTYDModel"]:
    """Return the model at draws of its parameters: log-normal, with their standard errors."""
    if not model.identified_ or not np.isfinite(model.covariance_).all():
        return []
    names, values = list(model.params_), np.array(list(model.params_.values()))
    spread = model.covariance_ / np.outer(values, values)
    drawn = np.random.default_rng(seed).multivariate_normal(np.log(values), spread, size=_DRAWS, method="eigh")
    return [
        type(model).from_parameters(time_unit=model.time_unit_, **dict(zip(names, row, strict=True)))
        for row in np.exp(drawn).tolist()
    ]
