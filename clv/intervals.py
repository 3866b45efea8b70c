"""Predictive intervals of orders and of money from the exact distribution of the number of orders.

Nothing is drawn at random. Given n orders a customer's money is ``rate x BetaPrime(p n, shape)`` under Gamma-Gamma, so
its distribution is a finite mixture over n whose quantiles are solved for; ``rate`` is a mere scale. A result depends
on the customer's own row alone, not on a seed, on the order of rows or on chunks.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from .compiled import available_threads

Array = NDArray[np.float64]

# Mass beyond the last count considered: small beside the tenth that an 80% interval leaves out above.
_TAIL = 1e-4
_FIRST_N_MAX = 8
_LAST_N_MAX = 1 << 16
# Where more counts than this would have to be followed, tails in closed form take their place.
OUTSIZED = 1 << 14
_CELLS = 1 << 18
# Where both shapes reach this, Paulson's approximation is off by .0013 at most, at a tenth of the cost: an interval
# of 80% then holds between 79.8 and 80.2%.
_LARGE_SHAPE = 5.0
# Secant steps: the last one is far more exact than the step that it took.
_LOG_TOLERANCE = 1e-4


@dataclass(frozen=True)
class OrderIntervals:
    """Intervals by row: orders (n,) and, where spend was given, their money as a multiple of ``rate`` (n,)."""

    orders_low: Array
    orders_high: Array
    money_low: Array
    money_high: Array


def predictive_intervals(
    pmf: Callable[[NDArray[np.intp], int], Array],
    expected: Array,
    spend: tuple[float, Array] | None = None,
    level: float = 0.8,
) -> OrderIntervals:
    """Intervals of the number of orders and of their money, by row.

    An interval leaves out equal tails, a tenth on either side for 80%. Where the tail below would be no order at all,
    it starts at zero and leaves out the tail above alone, for otherwise it would hold more than it says. Where no
    order is likelier than ``level``, it is [0, 0].

    Parameters
    ----------
    pmf : callable
        ``pmf(rows, n_max)``: probabilities of 0..n_max orders of these rows, shape (len(rows), n_max + 1).
    expected : ndarray, shape (n,)
        Expected orders of each row; they tell how many orders to look at first, and change no result.
    spend : (p, shape), optional
        Gamma-Gamma's p and the rows' posterior shapes (n,), see `GammaGammaModel.posterior`.
    level : float
        Probability that an interval holds at least.

    Returns
    -------
    OrderIntervals
        Money is in units of the posterior rate: multiply by it.

    Examples
    --------
    >>> half = lambda rows, n_max: np.tile(0.5 ** np.arange(1, n_max + 2), (len(rows), 1))
    >>> intervals = predictive_intervals(half, np.ones(1), spend=(6.25, np.array([16.24])))
    >>> intervals.orders_low, intervals.orders_high
    (array([0.]), array([2.]))
    >>> intervals.money_low, intervals.money_high.round(2)
    (array([0.]), array([0.75]))
    """
    found = OrderIntervals(*(np.zeros(len(expected)) for _ in range(4)))

    def fill(done: NDArray[np.intp], probabilities: Array) -> None:
        found.orders_low[done], found.orders_high[done] = count_interval(probabilities, level)
        if spend is not None and len(done):
            p, shape = spend
            found.money_low[done], found.money_high[done] = money_interval(probabilities, p, shape[done], level)

    follow_distributions(pmf, expected, fill)
    return found


def follow_distributions(
    pmf: Callable[[NDArray[np.intp], int], Array],
    expected: Array,
    fill: Callable[[NDArray[np.intp], Array], None],
    outsized: Callable[[NDArray[np.intp]], None] | None = None,
) -> None:
    """Call ``fill(rows, probabilities)`` once for each row, with as many counts as its distribution needs.

    Parameters
    ----------
    pmf, expected
        As for `predictive_intervals`.
    fill : callable
        Takes rows and their probabilities (len(rows), k), all but 1e-4 of their sum; called from several threads.
    outsized : callable, optional
        Takes the rows that would need more than 16,384 counts, which are not followed then; without it, what lies
        beyond 65,536 is left out.

    Examples
    --------
    >>> seen = []
    >>> half = lambda rows, n_max: np.tile(0.5 ** np.arange(1, n_max + 2), (len(rows), 1))
    >>> follow_distributions(half, np.ones(1), lambda rows, probabilities: seen.append(probabilities.shape))
    >>> seen[-1]
    (1, 17)
    """

    def resolve(rows: NDArray[np.intp], n_max: int) -> NDArray[np.intp]:
        """Fill in the rows whose distribution n_max covers; return the others."""
        probabilities = pmf(rows, n_max)
        enough = (probabilities.sum(axis=1) >= 1 - _TAIL) | (outsized is None and n_max >= _LAST_N_MAX)
        fill(rows[enough], probabilities[enough])
        return rows[~enough]

    # powers of two from twice the expectation, and on until the rest is negligible
    first_look = _FIRST_N_MAX * 2 ** np.ceil(np.log2(np.maximum(2 * expected / _FIRST_N_MAX, 1.0)))
    most = _LAST_N_MAX if outsized is None else OUTSIZED
    if outsized is None:
        first_look = np.minimum(first_look, most)
    remaining, n_max = np.zeros(0, dtype=np.intp), _FIRST_N_MAX
    with ThreadPoolExecutor(available_threads()) as pool:
        while n_max <= most and (len(remaining) or n_max <= first_look.max(initial=0)):
            rows = np.concatenate([remaining, np.flatnonzero(first_look == n_max)])
            size = max(1, _CELLS // (n_max + 1))
            parts = [rows[start : start + size] for start in range(0, len(rows), size)]
            remaining = np.concatenate([rows[:0], *pool.map(resolve, parts, [n_max] * len(parts))])
            n_max *= 2
    if outsized is not None:
        outsized(np.sort(np.concatenate([remaining, np.flatnonzero(first_look > most)])))


def count_interval(pmf: Array, level: float = 0.8) -> tuple[Array, Array]:
    """Interval of a count by row of ``pmf`` (n, k), see `predictive_intervals`; two arrays of shape (n,).

    Examples
    --------
    >>> count_interval(np.array([[0.05, 0.1, 0.5, 0.3, 0.05]]))
    (array([1.]), array([3.]))
    """
    cumulative = np.cumsum(pmf, axis=1)
    # what rounding or the cut tail took from a sum must not move a quantile by one
    last = cumulative.shape[1] - 1

    def quantile(probability: float) -> Array:
        return np.minimum((cumulative < probability - 1e-12).sum(axis=1), last).astype(float)

    low = quantile((1 - level) / 2)
    return low, np.where(low > 0, quantile((1 + level) / 2), quantile(level))


def money_interval(pmf: Array, p: float, shape: Array, level: float = 0.8) -> tuple[Array, Array]:
    """Interval of the sum of N orders by row, N with probabilities ``pmf`` (n, k), in units of the posterior rate.

    Parameters
    ----------
    pmf : ndarray, shape (n, k)
        Probabilities of 0..k-1 orders.
    p : float
        Gamma-Gamma's p.
    shape : ndarray, shape (n,)
        Posterior shape p x + q of each row.
    level : float
        Probability that the interval holds.

    Returns
    -------
    low, high : ndarray, shape (n,)

    Examples
    --------
    >>> low, high = money_interval(np.array([[0.9, 0.1], [0.0, 1.0]]), 6.25, np.array([16.24, 16.24]))
    >>> low.round(2), high.round(2)
    (array([0.  , 0.19]), array([0.  , 0.67]))
    """
    none, tail = pmf[:, 0], (1 - level) / 2
    low, high = np.zeros(len(pmf)), np.zeros(len(pmf))
    from_zero = np.flatnonzero((none >= tail) & (none < level))
    high[from_zero] = money_quantile(pmf[from_zero], p, shape[from_zero], level)
    central = np.flatnonzero(none < tail)
    low[central] = money_quantile(pmf[central], p, shape[central], tail)
    high[central] = money_quantile(pmf[central], p, shape[central], 1 - tail)
    return low, high


def money_quantile(pmf: Array, p: float, shape: Array, probability: float) -> Array:
    """Quantile of the sum of N orders by row, in units of the posterior rate, shape (n,).

    Secant steps on the normal quantile of the distribution function of the logarithm, which is nearly straight,
    inside a bracket that every step narrows. ``pmf[:, 0]`` must be below ``probability``.

    Examples
    --------
    >>> pmf, shape = np.array([[0.5, 0.3, 0.2]]), np.array([16.24])
    >>> money_distribution(np.log(money_quantile(pmf, 6.25, shape, 0.9)), pmf, 6.25, shape).round(6)
    array([0.9])
    """
    return np.exp(log_money_quantile(pmf, p, shape, probability)[0])


def log_money_quantile(
    pmf: Array, p: float, shape: Array, probability: float, orders: Array | None = None
) -> tuple[Array, Array]:
    """Logarithm of `money_quantile`, and how far it moves by half a variance of the logarithm that is added, (n,) each.

    On the scale of normal quantiles the distribution is nearly straight with some slope; a normal spread of variance
    tau^2 that is added to the logarithm moves the quantile by tau^2 / 2 x slope x normal quantile. ``orders`` (k,) are
    the numbers of orders where they are not 0, 1, 2, ...; the first must be 0.

    Examples
    --------
    >>> money = log_money_quantile(np.array([[0.5, 0.3, 0.2]]), 6.25, np.array([16.24]), 0.9)
    >>> money[0].round(3), money[1].round(1)
    (array([-0.206]), array([1.6]))
    """
    n = len(pmf)
    orders = np.arange(pmf.shape[1]) if orders is None else orders
    some = pmf[:, 1:].sum(axis=1)
    goal = special.ndtri(np.clip((probability - pmf[:, 0]) / some, 1e-9, 1 - 1e-9))
    mean = (pmf * orders).sum(axis=1) / some
    square = (pmf * orders**2).sum(axis=1) / some
    # the logarithm as if it were normal: where the search begins
    spread = np.sqrt(np.log(square / mean**2 + 1 / (p * mean) + 1 / shape))
    at = np.log(mean * p / shape) + spread * goal
    lower, upper = at - 60.0, at + 60.0
    slope, before, excess_before = 1 / spread, np.full(n, np.nan), np.full(n, np.nan)
    active = np.arange(n)
    for _ in range(100):
        if len(active) == 0:
            break
        here = at[active]
        value = money_distribution(here, pmf[active], p, shape[active], orders)
        inside = np.clip((value - pmf[active, 0]) / some[active], 1e-15, 1 - 1e-15)
        excess = special.ndtri(inside) - goal[active]
        upper[active] = np.where(excess > 0, here, upper[active])
        lower[active] = np.where(excess > 0, lower[active], here)
        with np.errstate(divide="ignore", invalid="ignore"):
            secant = (excess - excess_before[active]) / (here - before[active])
        slope[active] = np.where(np.isfinite(secant) & (secant > 0), secant, slope[active])
        before[active], excess_before[active] = here, excess
        step = here - excess / slope[active]
        within = (step > lower[active]) & (step < upper[active])
        at[active] = np.where(within, step, (lower[active] + upper[active]) / 2)
        active = active[np.abs(at[active] - here) > _LOG_TOLERANCE]
    return at, goal * slope


def money_distribution(log_r: Array, pmf: Array, p: float, shape: Array, orders: Array | None = None) -> Array:
    """Distribution function at exp(log_r) of the sum of N orders by row, shape (n,).

    Parameters
    ----------
    log_r : ndarray, shape (n,)
        Logarithm of the money in units of the posterior rate.
    pmf : ndarray, shape (n, k)
        Probabilities of 0..k-1 orders.
    p, shape
        As for `money_interval`.
    orders : ndarray, shape (k,), optional
        Ascending numbers of orders, the first 0, where they are not 0, 1, 2, ...

    Examples
    --------
    >>> money_distribution(np.array([-40.0, 40.0]), np.array([[0.5, 0.5]] * 2), 6.25, np.array([9.0, 9.0]))
    array([0.5, 1. ])
    """
    a = p * (np.arange(1, pmf.shape[1]) if orders is None else orders[1:])
    value = pmf[:, 0].copy()
    few = int(np.searchsorted(a, _LARGE_SHAPE))
    large = shape >= _LARGE_SHAPE
    if few:
        value[large] += _exact(log_r[large], pmf[large, 1 : few + 1], a[:few], shape[large])
    value[~large] += _exact(log_r[~large], pmf[~large, 1:], a, shape[~large])
    value[large] += _paulson(log_r[large], pmf[large, few + 1 :], a[few:], shape[large])
    return value


def _exact(log_r: Array, weight: Array, a: Array, b: Array) -> Array:
    return (weight * special.betainc(a[None, :], b[:, None], special.expit(log_r)[:, None])).sum(axis=1)


def _paulson(log_r: Array, weight: Array, a: Array, b: Array) -> Array:
    """Paulson's normal approximation of the F distribution (Annals of Mathematical Statistics 13, 1942)."""
    # the cube root of the F ratio is a product of what the row and what the column brings
    root = (np.exp(log_r / 3) * np.cbrt(b))[:, None] / np.cbrt(a)[None, :]
    c, d = (1 / (9 * a))[None, :], (1 / (9 * b))[:, None]
    return (weight * special.ndtr(((1 - d) * root - (1 - c)) / np.sqrt(d * root * root + c))).sum(axis=1)
