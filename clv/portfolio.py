"""What a base, or any part of it, is expected to bring: the sum over customers, with an interval for the sum."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ..sql.contract import PORTFOLIO_TERMS
from ..sql.errors import ContractError, ModelError
from ..sql.frames import contract_table
from .arguments import require_level, require_margin, require_time
from .histories import PurchaseHistories
from .value import discounted_orders

if TYPE_CHECKING:
    import pyarrow as pa

    from .btyd import BTYDModel
    from .gamma_gamma import GammaGammaModel

Array = NDArray[np.float64]

# Relative step of the differences that give the sum's slope by each parameter.
_STEP = 1e-4
# E[1 / nu^2] is infinite where the posterior shape of nu is at most 2: spend is then held a little tamer than that.
_TAMEST_SHAPE = 2.1
# Parameters of the largest model of orders that a build chooses from; `contract.PORTFOLIO_TERMS` has as many columns.
_MOST_ORDER_PARAMETERS = 4


@dataclass(frozen=True)
class PortfolioValue:
    """Expected orders and value of a base in the horizon, each with the ends of its interval.

    Examples
    --------
    >>> found = PortfolioValue(orders=9.9, orders_low=5.1, orders_high=15.6, value=0.0, value_low=0.0, value_high=0.0)
    >>> found.orders_high
    15.6
    """

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
    model : BTYDModel, CovariateModel or SeasonalBetaGeoModel
        A fitted model of orders, of a kind whose errors are known: no segments, covariates over time or left censoring.
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
        Where ``level``, horizon, discount rate or margin are out of range, the summary is in another time unit, or the
        model is of another kind.
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
    terms = portfolio_terms(model, spend, summary, horizon=horizon, discount_rate=discount_rate, margin=margin)
    return terms.total(model.histories(summary).weight, level=level)


@dataclass(frozen=True)
class PortfolioTerms:
    """What each of n customers adds to the sums of orders and value, and to the variances of these sums.

    The variance of a sum over any of them is the sum of their own variances, and the sum over the loadings of the
    square of each loading's sum: what the parameters' errors do to all of them alike.

    Attributes
    ----------
    orders, value : ndarray, shape (n,)
        Expected purchase days and value (currency) in the horizon.
    orders_variance, value_variance : ndarray, shape (n,)
        Of the customer's own chance, independent between customers.
    orders_loadings, value_loadings : ndarray, shapes (n, k), (n, k + 3)
        By how much the customer's expectation moves with each of as many independent standard normal errors, those of
        the model of orders first (k is the number of its parameters), then those of the model of spend.

    Examples
    --------
    >>> import numpy as np
    >>> one = np.ones(2)
    >>> terms = PortfolioTerms(9 * one, 0 * one, 9 * one, 0 * one, 2 * one[:, None], np.zeros((2, 0)))
    >>> found = terms.total()
    >>> found.orders, round(found.orders_low, 1), round(found.orders_high, 1)
    (18.0, 11.4, 25.7)
    """

    orders: Array
    value: Array
    orders_variance: Array
    value_variance: Array
    orders_loadings: Array
    value_loadings: Array

    def total(self, weight: Array | None = None, *, level: float = 0.8) -> PortfolioValue:
        """Return the sums and their intervals.

        Parameters
        ----------
        weight : ndarray, shape (n,), optional
            How many times each row counts; once where not given. 0 and 1 choose a part.
        level : float
            Probability of the intervals.

        Raises
        ------
        ContractError
            ``weight`` is not a number from 0 for each row.
        ModelError
            ``level`` is not between 0 and 1.
        """
        level = require_level(level)
        counts = np.ones(self.orders.size) if weight is None else _counts(weight, self.orders.size)
        found: list[float] = []
        for mean, variance, loadings in (
            (self.orders, self.orders_variance, self.orders_loadings),
            (self.value, self.value_variance, self.value_loadings),
        ):
            total = float(counts @ mean)
            shared = sum(float(counts @ loadings[:, i]) ** 2 for i in range(loadings.shape[1]))
            found += [total, *_interval(total, float(counts @ variance) + shared, level)]
        return PortfolioValue(*found)

    def table(self, customer_id: Any) -> "pa.Table":
        """Return the terms in the shape of ``contract.PORTFOLIO_TERMS``, a row per customer id, in their order."""
        columns: dict[str, Any] = {"customer_id": customer_id}
        columns |= {"orders_variance": self.orders_variance, "value_variance": self.value_variance}
        # a model of fewer parameters than the table has room for leaves zeros
        nothing = np.zeros(self.orders.size)
        columns |= {column.name: nothing for column in PORTFOLIO_TERMS.columns if "_loading_" in column.name}
        places = range(1, self.orders_loadings.shape[1] + 1)
        for i, loading in zip(places, self.orders_loadings.T, strict=True):
            columns[f"orders_loading_{i}"] = loading
        if self.value_loadings.shape[1]:
            spend = range(_MOST_ORDER_PARAMETERS + 1, _MOST_ORDER_PARAMETERS + 4)
            for i, loading in zip((*places, *spend), self.value_loadings.T, strict=True):
                columns[f"value_loading_{i}"] = loading
        return contract_table(PORTFOLIO_TERMS, columns)


def portfolio_terms(
    model: "BTYDModel",
    spend: "GammaGammaModel | None",
    summary: Any,
    *,
    horizon: float = 52,
    discount_rate: float = 0.10,
    margin: float = 1.0,
) -> PortfolioTerms:
    """Return what each customer adds to the sums of `portfolio_value` and to their variances.

    Parameters
    ----------
    model, spend, summary, horizon, discount_rate, margin
        As for `portfolio_value`.

    Returns
    -------
    PortfolioTerms
        A row for each row of the summary, in its order.

    Raises
    ------
    ModelError, ContractError
        As `portfolio_value`.

    Examples
    --------
    >>> from regulars.clv.nbd import NBDModel
    >>> base = {"frequency": [0, 2, 9], "recency": [0, 30, 50], "T": [52, 52, 52]}
    >>> terms = portfolio_terms(NBDModel.from_parameters(r=0.4, alpha=12.0), None, base, horizon=52)
    >>> regulars = terms.total(np.array([0, 1, 1]))
    >>> round(regulars.orders, 2), regulars.orders_low < regulars.orders < regulars.orders_high
    (9.59, True)
    """
    require_known_errors(model)
    horizon, margin = require_time("horizon", horizon, model.time_unit_), require_margin(margin)
    histories = model.histories(summary)
    expected = model.expected_purchases(histories, horizon)
    second_moment = expected * (1.0 + horizon * _next_rate(model, histories))
    orders_loadings = _loadings(model, lambda m: m.expected_purchases(histories, horizon))
    if spend is None or margin <= 0:
        nothing = np.zeros(expected.size)
        return PortfolioTerms(
            expected, nothing, second_moment - expected**2, nothing, orders_loadings, np.zeros((expected.size, 0))
        )
    discounted = discounted_orders(model, histories, horizon, discount_rate)
    kept = margin * np.divide(discounted, expected, out=np.zeros_like(expected), where=expected > 0)
    each = spend.conditional_expected_value(summary)
    money_second_moment = _second_moment_of_spend(spend, summary, expected, second_moment)
    by_orders = _loadings(model, lambda m: margin * (discounted_orders(m, histories, horizon, discount_rate) * each))
    by_spend = _loadings(spend, lambda s: kept * expected * s.conditional_expected_value(summary))
    return PortfolioTerms(
        orders=expected,
        value=kept * expected * each,
        orders_variance=second_moment - expected**2,
        value_variance=kept**2 * (money_second_moment - (expected * each) ** 2),
        orders_loadings=orders_loadings,
        value_loadings=np.hstack([by_orders, by_spend]),
    )


def require_known_errors(model: Any) -> None:
    """Refuse a model whose expectations have no standard errors: totals of it have no interval.

    Raises
    ------
    ModelError
        Names the kind of model, and what it has instead.

    Examples
    --------
    >>> from regulars.clv import SegmentPriorModel
    >>> require_known_errors(SegmentPriorModel("bg_nbd", ["country"]))
    Traceback (most recent call last):
    ...
    regulars.sql.errors.ModelError: the bg_nbd_segments model has no interval of totals: ...
    """
    if all(hasattr(model, name) for name in ("histories", "_posterior_rate", "_coordinates", "_at")):
        return
    raise ModelError(
        f"the {getattr(model, 'name', type(model).__name__)} model has no interval of totals: plain models, static "
        "covariates and seasonal clocks have one. The total alone is expected_purchases(summary, horizon).sum()"
    )


def _counts(weight: Any, rows: int) -> Array:
    try:
        counts = np.asarray(weight, float)
    except (TypeError, ValueError) as error:
        raise ContractError(f"weight is not numeric: {error}; give how many times each row counts") from error
    if counts.shape != (rows,):
        raise ContractError(f"weight has shape {counts.shape} for {rows} rows; give how many times each row counts")
    wrong = ~(np.isfinite(counts) & (counts >= 0))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ContractError(f"weight is {counts[row]:g} in row {row}; it must be finite and from 0")
    return counts


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


def _loadings(model: Any, each: Callable[[Any], Array]) -> Array:
    """What independent standard normal errors behind the parameters do to each expectation, (n, k): delta method.

    Parameters that the data do not identify count as known.
    """
    point, covariance = model._coordinates()
    factor = _factor(covariance)
    slopes: dict[int, Array] = {}
    for i in np.flatnonzero(np.diag(covariance) > 0).tolist():
        step = np.zeros(point.size)
        step[i] = _STEP
        slopes[i] = (each(model._at(point + step)) - each(model._at(point - step))) / (2.0 * _STEP)
    loadings = np.zeros((each(model).size if not slopes else next(iter(slopes.values())).size, point.size))
    for i, slope in slopes.items():
        for j in np.flatnonzero(factor[i]):
            loadings[:, j] += slope * factor[i, j]
    return loadings


def _factor(covariance: Array) -> Array:
    """F with F F' = covariance; rows and columns of what has no variance are 0."""
    known = np.diag(covariance) <= 0
    held = covariance.copy()
    held[known], held[:, known] = 0.0, 0.0
    held[known, known] = 1.0
    try:
        factor = np.linalg.cholesky(held)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(held)
        factor = vectors * np.sqrt(np.maximum(values, 0.0))
    factor[known] = 0.0
    return np.asarray(factor, np.float64)


def _interval(mean: float, variance: float, level: float) -> tuple[float, float]:
    if mean <= 0.0 or variance <= 0.0:
        return mean, mean
    log_variance = np.log1p(variance / mean**2)
    middle = np.log(mean) - log_variance / 2.0
    spread = special.ndtri((1.0 + level) / 2.0) * np.sqrt(log_variance)
    return float(np.exp(middle - spread)), float(np.exp(middle + spread))
