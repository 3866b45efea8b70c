"""BG/NBD and MBG/NBD on a seasonal clock: exact, because customers who leave do so at a purchase.

Where everybody's rate of purchase is lambda s(t), with one s for the whole shop, purchases are a Poisson process of
rate lambda in the time S(t) that the clock counts, and who leaves does so at a purchase, wherever the clock stands.
The models then hold as they are with S in place of t. Pareto/NBD does not: its customers leave by the calendar.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from ..sql.errors import ModelError
from .arguments import require_rate, require_time, require_times, require_window
from .beta_geometric import BetaGeometricModel
from .btyd import DEFAULT_TIME_UNIT, BTYDModel
from .fitted_clock import FittedClock
from .histories import PurchaseHistories, read_histories, require_repeats
from .purchase_dates import PurchaseDates, read_purchase_dates, read_repeat_purchases
from .quadrature import legendre
from .seasonal_clock import SeasonalClock, Terms, choose_terms
from .time_units import days_per_unit

if TYPE_CHECKING:
    from .seasonal_likelihood import DatedHistories, SeasonalMaximum

Array = NDArray[np.float64]

_NODES_A_PANEL, _NODES_A_DAY = 16, 4


@dataclass(frozen=True)
class ClockHistories(PurchaseHistories):
    """A summary's histories with recency and T in the time of a clock, and the day that they run to.

    Examples
    --------
    >>> one = np.ones(1)
    >>> ClockHistories(one.astype(np.int64), one, 2 * one, one, "week", as_of=date(2017, 12, 31)).as_of
    datetime.date(2017, 12, 31)
    """

    as_of: date = date.max
    clock: FittedClock | None = None


class SeasonalBetaGeometricModel(BetaGeometricModel):
    """What BG/NBD and MBG/NBD on a seasonal clock share.

    Summaries need ``first_order_on`` and ``last_order_on`` beside ``frequency, recency, T``, as `rfm_summary` makes
    them. Horizons are calendar time after the as-of date, and so is discounting; how much a customer buys in them
    depends on what the clock does in them. Estimates of the model are per time unit at mean pace.

    Parameters
    ----------
    clock : SeasonalClock
        What the pace may depend on; by default waves a year down to half a month and the days of the week.

    Attributes
    ----------
    clock_ : FittedClock
        The pace of any day; effects with standard errors in ``clock_.summary_``.
    prior_sd_ : dict of float
        By kind of effect, the standard deviation that shrinks it.
    log_likelihood_ : float
        Of purchases in calendar time: with the Jacobian of the clock, so that it compares with a plain model's.
    as_of_ : date
        Where the calibration ends.

    Examples
    --------
    >>> from regulars.clv import SeasonalBetaGeoModel, SeasonalModifiedBetaGeoModel
    >>> SeasonalBetaGeoModel.chances_at_start, SeasonalModifiedBetaGeoModel.chances_at_start
    (0, 1)
    """

    clock_: FittedClock
    prior_sd_: dict[str, float]
    as_of_: date

    def __init__(self, clock: SeasonalClock | None = None) -> None:
        self.clock = SeasonalClock() if clock is None else clock

    @classmethod
    def from_parameters(cls, *, time_unit: str = DEFAULT_TIME_UNIT, clock: Any = None, **parameters: float) -> Self:
        """Make a model of known parameters and a known clock.

        Raises
        ------
        ModelError
            A parameter is missing, unknown, or not positive and finite; or there is no clock.

        Examples
        --------
        >>> from regulars.clv import FittedClock, SeasonalBetaGeoModel
        >>> flat = FittedClock.flat(date(2017, 1, 1), date(2017, 12, 31))
        >>> SeasonalBetaGeoModel.from_parameters(clock=flat, r=0.243, alpha=4.414, a=0.793, b=2.426)
        <SeasonalBetaGeoModel: r 0.243, alpha 4.414, a 0.793, b 2.426>
        """
        if not isinstance(clock, FittedClock):
            raise ModelError(f"{cls.__name__}.from_parameters needs a clock; FittedClock.flat(first_day, as_of) is one")
        model = super().from_parameters(time_unit=time_unit, **parameters)
        model.clock, model.clock_, model.as_of_ = clock.declared, clock, clock.as_of
        model.prior_sd_ = {}
        return model

    # ---------------------------------------------------------------- fit

    def fit(self, summary: Any, repeat_purchases_by_day: Any = None) -> Self:
        """Fit the model and its clock by regularised maximum likelihood, all parameters at once.

        Parameters
        ----------
        summary : frame
            ``frequency, recency, T, first_order_on, last_order_on``, optionally ``weight``.
        repeat_purchases_by_day : frame
            ``day, purchase_days``, the query of that name:
            ``db.query("repeat_purchases_by_day", calibration_end=as_of, observation_end=as_of)``.

        Raises
        ------
        ContractError
            A column is missing, dates are out of order, or the two frames do not add up.
        ModelError
            Nobody has bought again; or the clock cannot be told from the history, see `choose_terms`.

        Examples
        --------
        >>> from regulars.clv import SeasonalBetaGeoModel, SeasonalClock, simulate_seasonal_purchases
        >>> from regulars.clv import summarise_purchase_days
        >>> december = lambda days: np.where(days.astype("datetime64[M]").astype(int) % 12 == 11, 3.0, 1.0)
        >>> days = simulate_seasonal_purchases("bg_nbd", {"r": 0.5, "alpha": 6.0, "a": 0.8, "b": 2.5}, 2000,
        ...                                    "2015-01-01", "2016-12-31", pace=december, seed=1)
        >>> summary, by_day = summarise_purchase_days(days, "2016-12-31")
        >>> model = SeasonalBetaGeoModel(SeasonalClock(weekday=False)).fit(summary, by_day)
        >>> bool(model.clock_.rate(["2017-12-15"])[0] > 1.5)
        True
        """
        require_repeats(read_histories(summary))
        dates = read_purchase_dates(summary, DEFAULT_TIME_UNIT)
        self.n_customers_ = float(dates.weight.sum())
        self.time_unit_, self.as_of_ = dates.time_unit, dates.as_of
        first_day = dates.first[dates.weight > 0].min()
        days = np.arange(first_day + 1, np.datetime64(dates.as_of, "D") + 1)
        purchases = self._purchases(repeat_purchases_by_day, dates, first_day.item(), days.size)
        terms, harmonics, closed, notes = choose_terms(self.clock, days, purchases)
        flat = FittedClock(self.clock, first_day.item(), dates.as_of, harmonics, closed)
        data = _dated(dates, first_day, flat, days, terms.matrix, purchases)
        found = self._fit_clock(data, terms, self.chances_at_start, dates, flat)
        if self.params_["a"] == 0 and terms.names:
            # without dropout the pace is another: once more, with what is identified
            found = self._fit_clock(data, terms, None, dates, flat)
        self.prior_sd_ = found.prior_sd
        self.log_likelihood_ += self._jacobian(days, purchases)
        self._widen(found.covariance, _level(terms.matrix, found.effects, data.runs)[1])
        self.message_ = "; ".join(note for note in (self.message_, *notes) if note)
        return self

    def _fit_clock(
        self, data: "DatedHistories", terms: Terms, chances: int | None, dates: PurchaseDates, flat: FittedClock
    ) -> "SeasonalMaximum":
        """Find clock and model together, then let the model alone say what is identified."""
        from .seasonal_likelihood import fit_clock

        found = fit_clock(data, chances, terms.groups, terms.scale, self.clock.prior_sd)
        k = len(terms.names)
        self.clock_ = replace(
            flat,
            names=terms.names,
            groups=terms.groups,
            coefficients=found.effects,
            covariance=found.covariance[-k:, -k:] if k else np.zeros((0, 0)),
            log_level=_level(terms.matrix, found.effects, data.runs)[0],
        )
        self._climb_on_clock(dates)
        return found

    def _purchases(self, by_day: Any, dates: PurchaseDates, first_day: date, n_days: int) -> Array:
        if by_day is not None:
            return read_repeat_purchases(by_day, dates, first_day)
        clock = self.clock
        if clock.harmonics != 0 or clock.weekday or clock.country or clock.events:
            raise ModelError(
                "a seasonal clock is estimated from repeat purchases by day; give repeat_purchases_by_day, the query "
                "of that name: without the days of purchases every clock fits better than the one before it"
            )
        return np.zeros(n_days)

    def _climb_on_clock(self, dates: PurchaseDates) -> None:
        distinct = self._histories(dates).distinct
        if (distinct.weight == 0).any():
            distinct = distinct.where(distinct.weight > 0)
        scale = float(distinct.weight @ distinct.T / self.n_customers_)
        self._climb(distinct.scaled(scale), scale)

    def _widen(self, covariance: Array, slope: Array) -> None:
        """Put what is not known of the clock into the covariance of the model's parameters."""
        p = covariance.shape[0] - slope.size
        if slope.size == 0 or not (np.isfinite(self.covariance_[:2, :2]).all() and np.isfinite(covariance).all()):
            return
        # at mean pace log alpha is less by the level of the clock, which its effects move
        to_mean_pace = np.eye(p + slope.size)[:p]
        to_mean_pace[1, p:] = -slope
        by_logarithm = to_mean_pace @ covariance @ to_mean_pace.T
        known = np.isfinite(np.diag(self.covariance_))
        if known[:p].all():
            values = np.array([self.params_[name] for name in self.parameter_names[:p]])
            self.covariance_[:p, :p] = by_logarithm * np.outer(values, values)

    def _jacobian(self, days: Any, purchases: Array) -> float:
        pace = self.clock_.rate(days)
        bought = purchases > 0
        wrong = bought & (pace == 0)
        if wrong.any():
            raise ModelError(
                f"{purchases[wrong].sum():g} repeat purchases lie on days on which the clock stands still, the first "
                f"on {days[wrong][0]}: closed are {', '.join(self.clock_.closed)}; fit the clock on a history with them"
            )
        return float(purchases[bought] @ np.log(pace[bought]))

    def log_likelihood(self, summary: Any, repeat_purchases_by_day: Any = None) -> float:
        """Log-likelihood of other data at this model's parameters, in calendar time (the Jacobian is in it).

        Of a later as-of date less that of the calibration's it is the log-likelihood of what came between.

        Raises
        ------
        ModelError
            Purchases by day are missing, or lie on days on which the clock stands still.

        Examples
        --------
        >>> from regulars.clv import FittedClock, SeasonalBetaGeoModel
        >>> flat = FittedClock.flat(date(2017, 1, 1), date(2017, 12, 31))
        >>> model = SeasonalBetaGeoModel.from_parameters(clock=flat, r=0.25, alpha=4, a=0.8, b=2.5)
        >>> summary = {"frequency": [0], "recency": [0], "T": [40], "first_order_on": ["2017-01-01"],
        ...            "last_order_on": ["2017-01-01"]}
        >>> round(model.log_likelihood(summary, {"day": [], "purchase_days": []}), 6)
        -0.599474
        """
        dates = read_purchase_dates(summary, self._unit)
        if repeat_purchases_by_day is None:
            raise ModelError("a likelihood on a seasonal clock needs repeat_purchases_by_day: the pace of their days")
        first_day = dates.first.min()
        purchases = read_repeat_purchases(repeat_purchases_by_day, dates, first_day.item())
        days = np.arange(first_day + 1, np.datetime64(dates.as_of, "D") + 1)
        return super().log_likelihood(self._histories(dates)) + self._jacobian(days, purchases)

    # ---------------------------------------------------------------- from the calendar to the clock

    def histories(self, summary: Any) -> ClockHistories:
        """Read a summary once for several predictions: its histories in clock time.

        Examples
        --------
        >>> from regulars.clv import FittedClock, SeasonalBetaGeoModel
        >>> flat = FittedClock.flat(date(2017, 1, 1), date(2017, 12, 31))
        >>> model = SeasonalBetaGeoModel.from_parameters(clock=flat, r=0.25, alpha=4, a=0.8, b=2.5)
        >>> summary = {"frequency": [0], "recency": [0], "T": [40], "first_order_on": ["2017-01-01"],
        ...            "last_order_on": ["2017-01-01"]}
        >>> model.histories(summary).T
        array([40.])
        """
        self._require_fitted()
        if isinstance(summary, ClockHistories):
            if summary.clock is not self.clock_:
                raise ModelError("these histories were read by a model with another clock; give the summary itself")
            return summary
        dates = read_purchase_dates(summary, self.time_unit_)
        if dates.time_unit != self.time_unit_:
            raise ModelError(
                f"the summary counts in {dates.time_unit}s, the model in {self.time_unit_}s; "
                f"make the summary with unit={self.time_unit_!r}"
            )
        return self._histories(dates)

    def _histories(self, dates: PurchaseDates) -> ClockHistories:
        start = dates.first.min()
        length = int((np.datetime64(dates.as_of, "D") - start).astype(np.int64))
        passed = self.clock_.path(start.item(), length)[1]
        at_first = passed[(dates.first - start).astype(np.int64)]
        # whole days of a flat clock are divided last, as a plain summary's are: not a bit differs
        recency = (passed[(dates.last - start).astype(np.int64)] - at_first) / days_per_unit(self.time_unit_)
        age = (passed[-1] - at_first) / days_per_unit(self.time_unit_)
        return ClockHistories(dates.frequency, recency, age, dates.weight, dates.time_unit, dates.as_of, self.clock_)

    def _ready(self, summary: Any) -> tuple[BTYDModel, PurchaseHistories]:
        return self._predictor(), self.histories(summary)

    def _passed(self, since: date, time: float) -> float:
        """Clock time that passes within so much calendar time, both in time units."""
        unit = days_per_unit(self.time_unit_)
        days = time * unit
        self.clock_.declared.require((np.datetime64(since, "D") + int(np.ceil(days))).item())
        return self.clock_.elapsed(since, days) / unit

    # ---------------------------------------------------------------- predictions, horizons in calendar time

    def expected_purchases(self, summary: Any, horizon: float, start: float = 0.0) -> Array:
        """Expected purchases of each customer in (T + start, T + horizon] of the calendar, shape (n,).

        Raises
        ------
        ModelError
            As for `BTYDModel.expected_purchases`; or the clock's events end before the horizon.

        Examples
        --------
        >>> from regulars.clv import FittedClock, SeasonalBetaGeoModel
        >>> flat = FittedClock.flat(date(2017, 1, 1), date(2017, 12, 31))
        >>> model = SeasonalBetaGeoModel.from_parameters(clock=flat, r=0.25, alpha=4, a=0.8, b=2.5)
        >>> summary = {"frequency": [0], "recency": [0], "T": [40], "first_order_on": ["2017-01-01"],
        ...            "last_order_on": ["2017-01-01"]}
        >>> model.expected_purchases(summary, horizon=39).round(4)
        array([0.1979])
        """
        start, horizon = require_window(start, horizon, self._unit)
        histories = self.histories(summary)
        end = self._passed(histories.as_of, horizon)
        return super().expected_purchases(histories, end, min(self._passed(histories.as_of, start), end))

    def probability_no_purchase(self, summary: Any, horizon: float) -> Array:
        """Probability that each customer buys nothing in (T, T + horizon] of the calendar, shape (n,)."""
        horizon = require_time("horizon", horizon, self._unit)
        histories = self.histories(summary)
        return super().probability_no_purchase(histories, self._passed(histories.as_of, horizon))

    def purchase_probabilities(self, summary: Any, horizon: float, n_max: int) -> Array:
        """Probabilities of 0, ..., n_max purchases in (T, T + horizon] of the calendar, shape (n, n_max + 1)."""
        horizon = require_time("horizon", horizon, self._unit)
        histories = self.histories(summary)
        return super().purchase_probabilities(histories, self._passed(histories.as_of, horizon), n_max)

    def discounted_expected_purchases(self, summary: Any, horizon: float, discount_rate: float) -> Array:
        """Expected purchases of each customer in (T, T + horizon], each discounted by the calendar, shape (n,).

        e^(-dh) E(S(h)) + d int_0^h e^(-du) E(S(u)) du, day by day; E between few values of S by interpolation.
        """
        horizon = require_time("horizon", horizon, self._unit)
        rate = require_rate(discount_rate, self._unit)
        histories = self.histories(summary)
        times, weights = self._discounted_times(histories.as_of, horizon, rate)
        model, distinct = self._predictor(), histories.distinct
        total = np.zeros(distinct.frequency.size)
        for time, weight in zip(times, weights, strict=True):
            total += weight * model._purchases_if_alive(distinct, 0.0, float(time))
        return distinct.scatter(model._alive_once(distinct) * total)

    def _discounted_times(self, since: date, horizon: float, rate: float) -> tuple[Array, Array]:
        """Times S_j on the clock and weights such that sum_j w_j E(S_j) are a customer's discounted purchases."""
        end = self._passed(since, horizon)
        if rate == 0:
            return np.array([end]), np.ones(1)
        unit = days_per_unit(self.time_unit_)
        calendar, passed = (part / unit for part in self.clock_.path(since, horizon * unit))
        times, weights = _discounting(calendar, passed, rate, self.params_["alpha"])
        return np.append(passed[-1], times), np.append(np.exp(-rate * horizon), weights)

    def median_time_to_next_purchase(self, summary: Any) -> Array:
        """Calendar time from T by which each customer has bought again with probability one half, shape (n,).

        nan where the next purchase is more likely than not never to come, or lies beyond the clock's calendar.
        """
        histories = self.histories(summary)
        unit = days_per_unit(self.time_unit_)
        wait = super().median_time_to_next_purchase(histories)
        return self.clock_.calendar_days(histories.as_of, wait * unit) / unit

    def pmf(self, n: Any, t: float, first_day: date | None = None) -> Array:
        """Probability that one who comes on ``first_day`` (the as-of date) makes n repeat purchases in (0, t]."""
        t = require_time("t", t, self._unit)
        return super().pmf(n, self._passed(first_day or self.as_of_, t))

    def expected_purchases_new(self, t: Any, first_day: date | None = None) -> Array:
        """Expected repeat purchases in (0, t] of a customer who comes on ``first_day`` (the as-of date), shape of t."""
        times = require_times("t", t, self._unit)
        since = first_day or self.as_of_
        return super().expected_purchases_new(np.reshape([self._passed(since, u) for u in times.flat], times.shape))

    def expected_purchases_by_cohort(self, first_days: Any, until: Any) -> Array:
        """Expected repeat purchases by the end of each day ``until`` of one who came on each day, (until, first days).

        0 for who came later. `track_orders` sums it over the customers of each day.

        Examples
        --------
        >>> from regulars.clv import FittedClock, SeasonalBetaGeoModel
        >>> flat = FittedClock.flat(date(2017, 1, 1), date(2017, 12, 31))
        >>> model = SeasonalBetaGeoModel.from_parameters(clock=flat, r=0.243, alpha=4.414, a=0.793, b=2.426)
        >>> model.expected_purchases_by_cohort(["2017-01-01", "2017-01-31"], ["2017-01-08"]).round(6)
        array([[0.053268, 0.      ]])
        """
        self._require_fitted()
        first, end = (np.asarray(days, dtype="datetime64[D]") for days in (first_days, until))
        start = min(first.min(), end.min())
        length = int((max(first.max(), end.max()) - start).astype(np.int64))
        passed = self.clock_.path(start.item(), length)[1]
        lived = passed[(end - start).astype(np.int64)][:, None] - passed[(first - start).astype(np.int64)][None, :]
        times, where = np.unique(np.maximum(lived, 0.0) / days_per_unit(self.time_unit_), return_inverse=True)
        return super().expected_purchases_new(times)[where.reshape(lived.shape)]

    # ---------------------------------------------------------------- to disk and to lifetimes

    def to_dict(self) -> dict[str, Any]:
        """The state as plain values; `from_dict` takes it back."""
        return {
            **super().to_dict(),
            "clock": self.clock_.to_dict(),
            "prior_sd": dict(self.prior_sd_),
            "as_of": str(self.as_of_),
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Make a fitted model of what `to_dict` returned."""
        model = super().from_dict(state)
        model.clock_ = FittedClock.from_dict(state["clock"])
        model.clock = model.clock_.declared
        model.prior_sd_ = {name: float(value) for name, value in state["prior_sd"].items()}
        model.as_of_ = date.fromisoformat(state["as_of"])
        return model

    def to_lifetimes(self) -> Any:
        """Refused: ``lifetimes`` knows no seasons."""
        raise ModelError(f"lifetimes has no seasonal clock: {type(self).__name__} has no counterpart there")


class SeasonalBetaGeoModel(SeasonalBetaGeometricModel):
    """BG/NBD on a seasonal clock; see `SeasonalBetaGeometricModel`.

    References
    ----------
    Fader, Hardie & Lee (2005), "Counting Your Customers" the Easy Way, Marketing Science 24(2), 275-284.

    Examples
    --------
    >>> SeasonalBetaGeoModel(SeasonalClock(country="GB"))
    <SeasonalBetaGeoModel, not fitted>
    """

    name = "seasonal_bg_nbd"
    chances_at_start = 0


class SeasonalModifiedBetaGeoModel(SeasonalBetaGeometricModel):
    """MBG/NBD on a seasonal clock; see `SeasonalBetaGeometricModel`.

    References
    ----------
    Batislam, Denizel & Filiztekin (2007), International Journal of Research in Marketing 24(3), 201-209.

    Examples
    --------
    >>> SeasonalModifiedBetaGeoModel(SeasonalClock(harmonics=3))
    <SeasonalModifiedBetaGeoModel, not fitted>
    """

    name = "seasonal_mbg_nbd"
    chances_at_start = 1


def _dated(
    dates: PurchaseDates, first_day: Any, clock: FittedClock, days: Any, matrix: Array, purchases: Array
) -> "DatedHistories":
    """Distinct (x, first, last), with what the clock is linear in."""
    from .grouping import group_equal
    from .seasonal_likelihood import DatedHistories

    counted = dates.weight > 0
    x, weight = dates.frequency[counted], dates.weight[counted]
    first, last = ((day[counted] - first_day).astype(np.int64) for day in (dates.first, dates.last))
    n_days = days.size + 1
    group, row = group_equal(group_equal(first * n_days + last)[0] * (int(x.max()) + 1) + x)
    runs = (FittedClock(clock.declared, clock.first_day, clock.as_of, 0, clock.closed).rate(days) > 0).astype(float)
    by_group = np.bincount(group, weight, minlength=row.size).astype(np.float64)
    return DatedHistories(x[row], first[row], last[row], by_group, matrix, runs, purchases, 1.0)


def _level(matrix: Array, effects: Array, runs: Array) -> tuple[float, Array]:
    """Logarithm of the mean pace, and its derivative by the effects."""
    pace = np.exp(matrix @ effects) * runs
    return float(np.log(pace.mean())) if (pace != 1.0).any() else 0.0, pace @ matrix / pace.sum()


def _discounting(calendar: Array, passed: Array, rate: float, alpha: float) -> tuple[Array, Array]:
    """Times S_j and weights such that sum_j w_j E(S_j) = d int e^(-du) E(S(u)) du for every customer's smooth E.

    E is analytic but for a point at -(alpha + T): on panels no longer than their distance from it, interpolation at 16
    nodes has an error below 1e-12.
    """
    end = passed[-1]
    edges = [0.0]
    while edges[-1] < end:
        edges.append(min(2.0 * edges[-1] + alpha, end))
    nodes, _ = legendre(_NODES_A_PANEL)
    gaps = nodes[:, None] - nodes + np.eye(nodes.size)
    barycentric = 1.0 / gaps.prod(axis=1)
    inner, share = legendre(_NODES_A_DAY)
    length, grown = np.diff(calendar)[:, None], np.diff(passed)[:, None]
    u, s = (calendar[:-1, None] + length * inner).ravel(), (passed[:-1, None] + grown * inner).ravel()
    mass = (rate * length * share).ravel() * np.exp(-rate * u)
    times, weights = [], []
    for low, high in pairwise(edges):
        here = (s >= low) & (s < high)
        gap = (s[here, None] - low) / (high - low) - nodes
        exact = gap == 0.0
        basis = barycentric / np.where(exact, 1.0, gap)
        basis /= basis.sum(axis=1, keepdims=True)
        basis[exact.any(axis=1)] = exact[exact.any(axis=1)]
        times.append(low + (high - low) * nodes)
        weights.append(mass[here] @ basis)
    return (np.concatenate(times), np.concatenate(weights)) if times else (np.zeros(0), np.zeros(0))
