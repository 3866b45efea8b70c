"""Predictive intervals of each customer's orders and money at several levels, the parameters' uncertainty included.

No refits and no draws: the distribution of a customer's orders is the mean over cubature points of the parameters'
asymptotic normal distribution (on the logarithms), which is exact to its third moments; money adds what spend's
parameters leave open by the delta method. A result depends on the fitted models and the customer's own row alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..sql.errors import ModelError
from .arguments import require_level, require_time
from .count_tails import Tail, count_cells, count_quantiles, tail_of
from .histories import PurchaseHistories
from .intervals import count_interval, follow_distributions, log_money_quantile
from .maximum_likelihood import cubature_points

if TYPE_CHECKING:
    import pandas as pd

    from .btyd import BTYDModel
    from .calibration import DispersionCalibration
    from .gamma_gamma import GammaGammaModel

Array = NDArray[np.float64]
CountDistribution = Callable[[NDArray[np.intp], int], Array]

LEVELS = (0.5, 0.8, 0.9)


@dataclass(frozen=True)
class CustomerIntervals:
    """Intervals by customer (rows, in the summary's order) and level (columns).

    Attributes
    ----------
    levels
        Probabilities that the intervals hold, (k,).
    orders_low, orders_high
        Purchases in the window, (n, k).
    money_low, money_high
        Their money in currency, (n, k); 0 where no model of spend was given.

    Examples
    --------
    >>> found = CustomerIntervals((0.8,), *(np.array([[v]]) for v in (0.0, 3.0, 0.0, 75.0)))
    >>> found.frame().to_dict("records")
    [{'orders_low_80': 0.0, 'orders_high_80': 3.0, 'money_low_80': 0.0, 'money_high_80': 75.0}]
    """

    levels: tuple[float, ...]
    orders_low: Array
    orders_high: Array
    money_low: Array
    money_high: Array

    def frame(self) -> "pd.DataFrame":
        """One row per customer, columns such as ``orders_low_80``, in pandas."""
        import pandas as pd

        return pd.DataFrame(
            {
                f"{name}_{level * 100:g}": getattr(self, name)[:, i]
                for i, level in enumerate(self.levels)
                for name in ("orders_low", "orders_high", "money_low", "money_high")
            }
        )


def customer_intervals(
    model: "BTYDModel",
    spend: "GammaGammaModel | None",
    summary: Any,
    horizon: float,
    *,
    levels: Sequence[float] = LEVELS,
    parameter_uncertainty: bool = True,
    calibration: "DispersionCalibration | None" = None,
) -> CustomerIntervals:
    """Predictive intervals of each customer's orders and money in (T, T + horizon].

    What an interval leaves out, and where it starts at zero, is as for `predictive_intervals`.

    Parameters
    ----------
    model : BTYDModel
        A fitted model of orders, with or without covariates.
    spend : GammaGammaModel or None
        A fitted model of spend; None for orders alone.
    summary : frame
        ``frequency``, ``recency``, ``T``, with spend ``monetary_value``, and the models' covariates.
    horizon : float
        In the model's time unit, finite.
    levels : sequence of float
        Probabilities that the intervals hold.
    parameter_uncertainty : bool
        Whether the parameters' standard errors widen the intervals; what the data do not identify counts as known.
    calibration : DispersionCalibration, optional
        Fitted on an earlier window, see `DispersionCalibration.fit`.

    Raises
    ------
    ModelError
        A model that is not fitted or of a kind that has no intervals (by segment, left-censored, time-varying); a level
        that is no probability, a horizon that is no finite time, or a summary in another time unit.

    Examples
    --------
    >>> from regulars.clv.beta_geo import BetaGeoModel
    >>> model = BetaGeoModel.from_parameters(r=0.243, alpha=4.414, a=0.793, b=2.426)
    >>> regular = {"frequency": [12], "recency": [36.0], "T": [38.86]}
    >>> found = customer_intervals(model, None, regular, 39)
    >>> found.orders_low.tolist(), found.orders_high.tolist()
    ([[3.0, 0.0, 0.0]], [[11.0, 12.0, 15.0]])
    """
    from .calibration import DispersionCalibration

    _require_distributions(model)
    if spend is not None:
        _require_spend(spend)
    if not (calibration is None or isinstance(calibration, DispersionCalibration)):
        raise ModelError(f"calibration is {calibration!r}; it must be a DispersionCalibration, or None")
    horizon = require_time("horizon", horizon, model.time_unit_)
    return intervals_of_histories(
        model,
        spend,
        model.histories(summary),
        summary,
        horizon,
        _require_levels(levels),
        parameter_uncertainty=parameter_uncertainty,
        calibration=calibration,
    )


def intervals_of_histories(
    model: "BTYDModel",
    spend: "GammaGammaModel | None",
    histories: PurchaseHistories,
    summary: Any,
    horizon: float,
    chosen: tuple[float, ...],
    *,
    parameter_uncertainty: bool = True,
    calibration: "DispersionCalibration | None" = None,
) -> CustomerIntervals:
    """As `customer_intervals`, for histories that are read already; ``summary`` has their money."""
    rows, back = _in_order_of_age(histories)
    shape = None if spend is None else spend.posterior_shape(rows.frequency)
    ends = np.zeros((4, len(rows), len(chosen)))
    moved = np.zeros((2, len(rows), len(chosen)))
    shares = spend.spend_shape_ if spend is not None else 1.0

    def fill(done: NDArray[np.intp], probabilities: Array) -> None:
        for i, level in enumerate(chosen):
            ends[0, done, i], ends[1, done, i] = count_interval(probabilities, level)
        fill_money(done, probabilities, np.arange(probabilities.shape[1]))

    def fill_money(done: NDArray[np.intp], probabilities: Array, counts: Array) -> None:
        if shape is None or not len(done):
            return
        for i, level in enumerate(chosen):
            parts = _log_money_interval(probabilities, shares, shape[done], level, counts)
            ends[2, done, i], ends[3, done, i], moved[0, done, i], moved[1, done, i] = parts

    def fill_outsized(done: NDArray[np.intp]) -> None:
        for row in done:
            tail = pmf.tail(row)
            ends[0, row], ends[1, row] = _outsized_interval(tail, chosen, float(expected[row]))
            if shape is not None:
                counts, probabilities = count_cells(tail, float(expected[row]))
                fill_money(np.array([row]), probabilities[None, :], counts)

    pmf: Any = order_distribution(model, rows, horizon, parameter_uncertainty=parameter_uncertainty)
    expected = model.expected_purchases(rows, horizon)
    if calibration is not None:
        pmf = calibration.applied(pmf)
    follow_distributions(pmf, expected, fill, fill_outsized)
    orders_low, orders_high, log_low, log_high = (values[back] for values in ends)
    if spend is None:
        nothing = np.zeros_like(orders_low)
        return CustomerIntervals(chosen, orders_low, orders_high, nothing, nothing)
    half_variance = np.zeros(len(histories))
    if parameter_uncertainty:
        half_variance = 0.5 * _spend_variance(spend, summary)
    rate = spend.posterior(summary)[1][:, None]
    low, high = (moved[i][back] * half_variance[:, None] for i in range(2))
    return CustomerIntervals(
        chosen, orders_low, orders_high, rate * np.exp(log_low + low), rate * np.exp(log_high + high)
    )


def order_distribution(
    model: "BTYDModel", rows: PurchaseHistories, horizon: float, *, parameter_uncertainty: bool = True
) -> CountDistribution:
    """Return the distribution of each row's orders in (T, T + horizon] as a function of (rows, n_max).

    Parameters
    ----------
    model : BTYDModel
        A fitted model.
    rows : PurchaseHistories
        As ``model.histories(summary)`` reads them.
    horizon : float
        In the model's time unit.
    parameter_uncertainty : bool
        Whether to take the mean over the parameters' asymptotic distribution.

    Examples
    --------
    >>> from regulars.clv.beta_geo import BetaGeoModel
    >>> model = BetaGeoModel.from_parameters(r=0.243, alpha=4.414, a=0.793, b=2.426)
    >>> rows = model.histories({"frequency": [2], "recency": [30.43], "T": [38.86]})
    >>> order_distribution(model, rows, 39)(np.array([0]), 2).round(4)
    array([[0.4454, 0.2393, 0.1442]])
    """
    _require_distributions(model)
    models = [model]
    if parameter_uncertainty:
        models = [model._at(point) for point in cubature_points(*model._coordinates())]
    return _MeanDistribution(models, rows, horizon)


@dataclass(frozen=True)
class _MeanDistribution:
    """The mean of several models' distributions of the orders of these rows."""

    models: list["BTYDModel"]
    rows: PurchaseHistories
    horizon: float

    @property
    def n_rows(self) -> int:
        return len(self.rows)

    def __call__(self, chosen: NDArray[np.intp], n_max: int) -> Array:
        part = self.rows.take(chosen)
        total = self.models[0].purchase_probabilities(part, self.horizon, n_max)
        for other in self.models[1:]:
            total += other.purchase_probabilities(part, self.horizon, n_max)
        return total / len(self.models)

    def tail(self, row: int) -> Tail:
        """P(at least so many orders) of one row as a function of counts, (k,) -> (k,), however large they are."""
        part = self.rows.take(np.array([row]))
        tails = [tail_of(model, part, self.horizon) for model in self.models]
        return lambda counts: np.mean([tail(counts)[0] for tail in tails], axis=0)


def _require_distributions(model: Any) -> None:
    from .btyd import BTYDModel

    if not isinstance(model, BTYDModel):
        raise ModelError(
            f"{type(model).__name__} has no predictive intervals; give a plain, covariate or seasonal model of orders"
        )
    model._require_fitted()


def _require_spend(spend: Any) -> None:
    from .gamma_gamma import GammaGammaModel

    if not isinstance(spend, GammaGammaModel):
        raise ModelError(f"spend is a {type(spend).__name__}; it must be a fitted model of spend, or None")
    spend._require_fitted()


def _require_levels(levels: Any) -> tuple[float, ...]:
    if isinstance(levels, str) or not np.iterable(levels):
        raise ModelError(f"levels is {levels!r}; it must be a list of probabilities, such as (0.5, 0.8)")
    chosen = tuple(require_level(level) for level in levels)
    if not chosen:
        raise ModelError("levels is empty; it must be a list of probabilities, such as (0.5, 0.8)")
    return chosen


def _in_order_of_age(histories: PurchaseHistories) -> tuple[PurchaseHistories, NDArray[np.intp]]:
    """The distinct histories sorted by (T, x), so that what depends on these alone is shared; and each row's place."""
    once = histories.once_each()
    order = np.lexsort((once.frequency, once.T))
    place = np.empty_like(order)
    place[order] = np.arange(order.size)
    return once.take(order), histories.distinct.scatter(place)


def _outsized_interval(tail: Tail, levels: tuple[float, ...], about: float) -> tuple[Array, Array]:
    """Both ends by level, as `count_interval` has them."""
    share = np.array(levels)
    ends = count_quantiles(tail, np.concatenate([(1 - share) / 2, (1 + share) / 2, share]), about)
    low, high, from_zero = np.split(ends.astype(np.float64), 3)
    return low, np.where(low > 0, high, from_zero)


def _log_money_interval(
    pmf: Array, p: float, shape: Array, level: float, orders: Array
) -> tuple[Array, Array, Array, Array]:
    """Logarithms of the ends of `money_interval`, -inf for 0, and how each moves by half a variance."""
    none, tail = pmf[:, 0], (1 - level) / 2
    ends, moved = np.full((2, len(pmf)), -np.inf), np.zeros((2, len(pmf)))
    from_zero = np.flatnonzero((none >= tail) & (none < level))
    ends[1, from_zero], moved[1, from_zero] = log_money_quantile(pmf[from_zero], p, shape[from_zero], level, orders)
    central = np.flatnonzero(none < tail)
    for i, probability in enumerate((tail, 1 - tail)):
        ends[i, central], moved[i, central] = log_money_quantile(pmf[central], p, shape[central], probability, orders)
    return ends[0], ends[1], moved[0], moved[1]


def _spend_variance(spend: "GammaGammaModel", summary: Any) -> Array:
    """Variance of the logarithm of each customer's spend that the parameters' standard errors make, (n,)."""
    slopes = spend._log_slopes(summary)
    covariance = spend._coordinates()[1]
    total = np.zeros(len(slopes))
    for i, row in enumerate(covariance):
        for j, value in enumerate(row):
            if value != 0:
                total += value * slopes[:, i] * slopes[:, j]
    return np.maximum(total, 0.0)
