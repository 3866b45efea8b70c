"""P(at least m purchases) in closed form or by one integral, at the same cost for any m: counts too large to add up.

A customer alive at T has rate Gamma(R, A), R = r + x, A = alpha + T. The m-th purchase comes by h with probability
I_z(m, R), z = h / (A + h), I the regularised incomplete beta function, if nothing ends it. Where customers leave at
purchases, with probability Beta(a, B), the m - 1 before it must have been survived: times B(a, B + m - 1) / B(a, B).
Where they leave at a Gamma(s, B) rate, the time U of the m-th purchase, U / A ~ BetaPrime(m, R), must come before:
E[(1 + U / B)^-s; U <= h].
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import special

from .quadrature import legendre

if TYPE_CHECKING:
    from .btyd import BTYDModel
    from .histories import PurchaseHistories

Array = NDArray[np.float64]
Counts = NDArray[np.int64]
Tail = Callable[[Counts], Array]

_NODES = 12
# What a search leaves out on either side; what rounding took from a sum must not move a quantile by one.
_BEYOND, _ROUNDING = 2.5e-5, 1e-12
_MOST = 1 << 52
_CELLS = 512
_FIRST_CELLS, _MOST_PIECES = 64, 16


def at_least(model: "BTYDModel", rows: "PurchaseHistories", horizon: float, counts: Counts) -> Array:
    """Probability of at least so many purchases in (T, T + horizon] by row and count, shape (n, k).

    Parameters
    ----------
    model : BTYDModel
        A fitted model, with or without covariates, on a seasonal clock or not.
    rows : PurchaseHistories
        As ``model.histories(summary)`` reads them.
    horizon : float
        In the model's time unit, above 0.
    counts : ndarray of int, shape (k,)
        From 0, however large.

    Examples
    --------
    >>> from regulars.clv.beta_geo import BetaGeoModel
    >>> model = BetaGeoModel.from_parameters(r=0.243, alpha=4.414, a=0.793, b=2.426)
    >>> rows = model.histories({"frequency": [2], "recency": [30.43], "T": [38.86]})
    >>> at_least(model, rows, 39, np.array([0, 1, 2])).round(4)  # 1, 1 - .4454, and less .2393
    array([[1.    , 0.5546, 0.3153]])
    """
    return tail_of(model, rows, horizon)(counts)


def tail_of(model: "BTYDModel", rows: "PurchaseHistories", horizon: float) -> Tail:
    """The same as a function of counts, for histories of which many are asked.

    Examples
    --------
    >>> from regulars.clv.nbd import NBDModel
    >>> model = NBDModel.from_parameters(r=1.0, alpha=1.0)
    >>> tail = tail_of(model, model.histories({"frequency": [0], "recency": [0.0], "T": [0.0]}), 1.0)
    >>> tail(np.array([1])), tail(np.array([2, 3]))
    (array([[0.5]]), array([[0.25 , 0.125]]))
    """
    from .seasonal import ClockHistories, SeasonalBetaGeometricModel

    if isinstance(model, SeasonalBetaGeometricModel) and isinstance(rows, ClockHistories):
        horizon = model._passed(rows.as_of, horizon)
    predictor, histories = model._ready(rows)
    distinct = histories.distinct
    alive = predictor._alive_once(distinct)[:, None]

    def tail(counts: Counts) -> Array:
        tails = alive * predictor._tail_if_alive(distinct, horizon, np.maximum(counts, 1))
        tails[:, counts == 0] = 1.0
        return distinct.scatter(tails)

    return tail


def steady_tail(counts: Counts, R: Array, A: Array, horizon: float) -> Array:
    """P(at least so many, from 1) of those who cannot leave, shape (n, k), for R and A of shape (n,).

    Examples
    --------
    >>> steady_tail(np.array([1]), np.array([2.0]), np.array([3.0]), 1.0)  # 1 - (3/4)^2
    array([[0.4375]])
    """
    z = (horizon / (A + horizon))[:, None]
    return special.betainc(counts[None, :].astype(np.float64), R[:, None], z)


def tail_leaving_at_purchases(counts: Counts, R: Array, A: Array, a: Array, B: Array, horizon: float) -> Array:
    """The same of those who leave at each purchase with probability Beta(a, B), a and B of shape (n,).

    Examples
    --------
    >>> one = np.ones(1)
    >>> tail_leaving_at_purchases(np.array([1, 2]), one, one, one, one, 1.0)  # 1/2, then 1/4 and half of them left
    array([[0.5  , 0.125]])
    """
    a, B = a[:, None], B[:, None]
    survived = np.exp(special.betaln(a, B + (counts[None, :] - 1.0)) - special.betaln(a, B))
    return survived * steady_tail(counts, R, A, horizon)


def tail_leaving_at_any_time(counts: Counts, R: Array, A: Array, s: float, B: Array, horizon: float) -> Array:
    """The same of those who leave at a Gamma(s, B) rate, B of shape (n,).

    Examples
    --------
    >>> one = np.ones(1)
    >>> tail_leaving_at_any_time(np.array([1]), one, one, 1.0, one, 1.0).round(6)  # int_0^1 (1 + u)^-3 du
    array([[0.375]])
    """
    from .compiled import fill_rows
    from .pareto_nbd_kernels import fill_share_before_leaving

    steady = steady_tail(counts, R, A, horizon)
    if horizon == 0:
        return steady
    share = np.empty(steady.shape)
    times = counts.astype(np.float64)
    fill_rows(
        fill_share_before_leaving, len(R), times, R, A, float(s), B, horizon, *legendre(_NODES), share, chunk_rows=4
    )
    return share * steady


def count_quantiles(tail: Tail, probabilities: Array, about: float) -> Counts:
    """Smallest counts that are not exceeded with these probabilities, exact, by bisection, in the shape of them.

    Parameters
    ----------
    tail : callable
        P(at least so many) for an array of counts.
    probabilities : ndarray
        Between 0 and 1.
    about : float
        Where to look first; it changes no result.

    Examples
    --------
    >>> from scipy.stats import nbinom
    >>> at_least = lambda counts: nbinom.sf(counts - 1, 3.0, 1e-6)
    >>> levels = np.array([0.1, 0.5, 0.9])
    >>> bool((count_quantiles(at_least, levels, 1e6) == nbinom.ppf(levels, 3.0, 1e-6)).all())
    True
    """
    most = (1.0 - probabilities) + _ROUNDING
    low = np.full(probabilities.shape, -1, dtype=np.int64)
    high = np.full(probabilities.shape, int(min(max(about, 1.0), _MOST)), dtype=np.int64)
    while True:
        short = (tail(high + 1) > most) & (high < _MOST)
        if not short.any():
            break
        low, high = np.where(short, high, low), np.where(short, np.minimum(4 * high, _MOST), high)
    while (high - low > 1).any():
        middle = (low + high) // 2
        exceeded = tail(middle + 1) > most
        inside = high - low > 1
        low = np.where(inside & exceeded, middle, low)
        high = np.where(inside & ~exceeded, middle, high)
    return high


def count_cells(tail: Tail, about: float) -> tuple[Array, Array]:
    """A distribution of counts in cells, narrow where it is dense: the middle of each and its probability.

    Parameters
    ----------
    tail, about
        As for `count_quantiles`.

    Returns
    -------
    counts, probabilities : ndarray, shape (k,)
        The first count is 0, alone. No cell of several counts has more than 1/512; what lies beyond the last, 2.5e-5 of
        what is above 0, is left out.

    Examples
    --------
    >>> from scipy.stats import nbinom
    >>> at_least = lambda counts: nbinom.sf(counts - 1, 3.0, 1e-6)
    >>> counts, probabilities = count_cells(at_least, 1e6)
    >>> bool(abs(counts @ probabilities / nbinom.mean(3.0, 1e-6) - 1) < 1e-3)
    True
    """
    some = float(tail(np.array([1]))[0])
    last = int(count_quantiles(tail, np.array([1.0 - some * _BEYOND]), about)[0])
    edges = np.unique(np.round(np.append(0, np.geomspace(1, max(last, 1), _FIRST_CELLS))).astype(np.int64))
    exceeds = tail(edges + 1)
    while True:
        mass, width = exceeds[:-1] - exceeds[1:], np.diff(edges)
        pieces = np.minimum(np.minimum(np.ceil(mass * _CELLS).astype(np.int64), width), _MOST_PIECES)
        split = np.flatnonzero(pieces > 1)
        if not len(split):
            break
        inside = [np.round(np.linspace(edges[i], edges[i + 1], pieces[i] + 1)[1:-1]) for i in split]
        more = np.setdiff1d(np.concatenate(inside).astype(np.int64), edges)
        order = np.argsort(np.append(edges, more), kind="stable")
        edges, exceeds = np.append(edges, more)[order], np.append(exceeds, tail(more + 1))[order]
    middles = np.append(0.0, (edges[:-1] + 1 + edges[1:]) / 2)
    return middles, np.append(1.0 - exceeds[0], np.maximum(mass, 0.0))
