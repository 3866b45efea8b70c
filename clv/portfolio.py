"""What a whole base is expected to bring: the sum over customers, with an interval for the sum."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from .arguments import require_level, require_margin, require_time
from .histories import PurchaseHistories
from .value import discounted_orders

if TYPE_CHECKING:
    from .btyd import BTYDModel
    from .gamma_gamma import GammaGammaModel

Array = NDArray[np.float64]

# Relative step of the differences that give the sum's slope by each parameter.
_STEP = 1e-4
# E[1 / nu^2] is infinite where the posterior shape of nu is at most 2: spend is then held a little tamer than that.
_TAMEST_SHAPE = 2.1


@dataclass(frozen=True)
class PortfolioValue:
    """Expected orders and value of a base in the horizon, each with the ends of its interval."""

    orders: float
    orders_low: float
    orders_high: float
    value: float
    value_low: float
    value_high: float


def portfolio_value(
    model: "BTYDModel",
    spend: "GammaGammaModel | None",
    summary: Any,
    *,
    horizon: float = 52,
    discount_rate: float = 0.10,
    margin: float = 1.0,
    level: float = 0.8,
) -> PortfolioValue:
    """Sum expected orders and value over customers, with intervals of the sums.

    The variance of a sum has two parts: what the parameters' standard errors make of it (delta method, orders and
    spend apart), and each customer's own chance, independent between customers. The second is bounded from above, as
    if a customer who is alive today bought at the same rate until the horizon or its own leaving, whichever the
    expectation allows; the bound is exact for NBD. The interval is log-normal with the sum's mean and variance. What
    strikes all customers at once, a season or a rival, is in neither part.

    Parameters
    ----------
    model : BTYDModel
        A fitted model of orders.
    spend : GammaGammaModel or None
        A fitted model of spend; None makes every value 0.
    summary : frame
        ``frequency``, ``recency``, ``T``, ``monetary_value``, one row per customer; or grouped with ``weight``.
    horizon : float
        In the model's time unit, finite.
    discount_rate : float
        A year's.
    margin : float
        Share of revenue that is kept.
    level : float
        Probability of the intervals.

    Returns
    -------
    PortfolioValue
        Orders in purchase days, value in currency.

    Raises
    ------
    ModelError
        Where ``level``, horizon, discount rate or margin are out of range, or the summary is in another time unit.
    ContractError
        Where the summary lacks a column or holds an impossible value.

    Notes
    -----
    Given that a customer is alive, the rate is Gamma(r + x, alpha + T) (Fader, Hardie and Lee 2005, eq. 3 at x, T), and
    the count is Poisson in rate x U with U at most the horizon h: E[N^2] is at most E[N] (1 + h (r + x + 1) /
    (alpha + T)).

    Examples
    --------
    >>> from regulars.clv.nbd import NBDModel
    >>> base = {"frequency": [0, 2, 9], "recency": [0, 30, 50], "T": [52, 52, 52]}
    >>> found = portfolio_value(NBDModel.from_parameters(r=0.4, alpha=12.0), None, base, horizon=52)
    >>> round(found.orders, 2), found.orders_low < found.orders < found.orders_high
    (9.91, True)
    """
    level = require_level(level)
    horizon, margin = require_time("horizon", horizon, model.time_unit_), require_margin(margin)
    histories = model.histories(summary)
    weight = histories.weight
    expected = model.expected_purchases(histories, horizon)
    second_moment = expected * (1.0 + horizon * _next_rate(model, histories))
    orders = float(weight @ expected)
    orders_variance = float(weight @ (second_moment - expected**2))
    orders_variance += _parameter_variance(model, lambda m: float(weight @ m.expected_purchases(histories, horizon)))
    value = value_variance = 0.0
    if spend is not None and margin > 0:
        discounted = discounted_orders(model, histories, horizon, discount_rate)
        kept = margin * np.divide(discounted, expected, out=np.zeros_like(expected), where=expected > 0)
        each = spend.conditional_expected_value(summary)
        value = float(weight @ (kept * expected * each))
        money_second_moment = _second_moment_of_spend(spend, summary, expected, second_moment)
        value_variance = float(weight @ (kept**2 * (money_second_moment - (expected * each) ** 2)))
        value_variance += _parameter_variance(
            model, lambda m: margin * float(weight @ (discounted_orders(m, histories, horizon, discount_rate) * each))
        )
        value_variance += _parameter_variance(
            spend, lambda s: float(weight @ (kept * expected * s.conditional_expected_value(summary)))
        )
    return PortfolioValue(
        orders, *_interval(orders, orders_variance, level), value, *_interval(value, value_variance, level)
    )


def _next_rate(model: "BTYDModel", histories: PurchaseHistories) -> Array:
    """E[rate^2] / E[rate] of each customer while alive, (n,)."""
    shape, rate = model._posterior_rate(histories)
    return (shape + 1.0) / rate


def _second_moment_of_spend(spend: "GammaGammaModel", summary: Any, first: Array, second: Array) -> Array:
    """E[(sum of N orders' spend)^2] from the first two moments of N, (n,)."""
    p = spend.spend_shape_
    shape, rate = spend.posterior(summary)
    tamed = np.maximum(shape, _TAMEST_SHAPE)
    # the same mean p rate / (shape - 1) whatever the shape is held at
    inverse_square = (rate / (shape - 1.0)) ** 2 * (tamed - 1.0) / (tamed - 2.0)
    return (p * p * second + p * first) * inverse_square


def _parameter_variance(model: Any, total: Callable[[Any], float]) -> float:
    """Variance of a sum by the delta method; parameters that the data do not identify count as known."""
    point, covariance = model._coordinates()
    slopes = np.zeros(point.size)
    for i in np.flatnonzero(np.diag(covariance) > 0):
        step = np.zeros(point.size)
        step[i] = _STEP
        slopes[i] = (total(model._at(point + step)) - total(model._at(point - step))) / (2.0 * _STEP)
    return max(0.0, float((slopes[:, None] * covariance * slopes[None, :]).sum()))


def _interval(mean: float, variance: float, level: float) -> tuple[float, float]:
    if mean <= 0.0 or variance <= 0.0:
        return mean, mean
    log_variance = np.log1p(variance / mean**2)
    middle = np.log(mean) - log_variance / 2.0
    spread = special.ndtri((1.0 + level) / 2.0) * np.sqrt(log_variance)
    return float(np.exp(middle - spread)), float(np.exp(middle + spread))
