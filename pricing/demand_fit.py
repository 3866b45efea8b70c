"""Season, age, promotions and timing of one category's demand, fitted around elasticities that are given.

A shop that sees demand coming discounts less in good weeks: how deep it went then tells most of a promoted week's
shock, and what is left of it is much smaller than the shock of an ordinary week. Where shelves ran empty the spread
decides how far beyond the stock demand lay, so promoted weeks have a spread of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .censored_poisson import LARGEST_SIZE, CountFit, fit_counts, log_likelihood
from .demand_history import independent_columns

# standard deviations, in log demand, of the terms of a season that nobody has seen yet: a wave of 20% up and down
_UNSEEN = {"sin_1": 0.15, "cos_1": 0.15, "sin_2": 0.075, "cos_2": 0.075}
_UNSEEN_WEEK = 0.15
SEASONAL = ("sin_", "cos_", "week_")
_YEAR = 364  # days
_ROWS_FOR_THE_SPREAD = 150_000
_FEWEST_TOLD = 5
_ROUNDS = 10


@dataclass(frozen=True)
class Shape:
    """What moves a category's demand besides level and price.

    Attributes
    ----------
    names : tuple of str
    slope : ndarray of shape (k,)
        Of the named columns, in log demand; 0 for a season that was not seen.
    covariance : ndarray of shape (k, k)
        Of the slopes' errors, robust to dependence within stores' items and within weeks; of an unseen season, its
        prior.
    size : ndarray of shape (2,)
        1 / variance of a row's shock: ordinary weeks, promoted ones.
    season_seen : bool
    """

    names: tuple[str, ...]
    slope: np.ndarray
    covariance: np.ndarray
    size: np.ndarray
    season_seen: bool


def fit_shape(
    units: np.ndarray,
    x: np.ndarray,
    names: Sequence[str],
    group: np.ndarray,
    week: np.ndarray,
    *,
    offset: np.ndarray,
    sold_out: np.ndarray,
    promoted: np.ndarray,
) -> Shape:
    """Fit the columns that can be told apart within groups, and the spread of shocks.

    Parameters
    ----------
    units : ndarray of shape (n,)
    x : ndarray of shape (n, k)
        Columns ``names``; of a year's season those that begin with `SEASONAL`.
    group : ndarray of shape (n,), int
        Item and store.
    week : ndarray of shape (n,), datetime64[D]
    offset : ndarray of shape (n,)
        What price does.
    sold_out, promoted : ndarray of shape (n,), bool

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> flag = rng.uniform(size=600) < 0.3
    >>> units = rng.poisson(np.exp(3.0 + 0.5 * flag)).astype(float)
    >>> week = np.datetime64("2026-01-05") + 7 * np.tile(np.arange(30), 20)
    >>> none, group = np.zeros(600, bool), np.repeat(np.arange(20), 30)
    >>> shape = fit_shape(units, 1.0 * flag[:, None], ["promoted"], group, week, offset=np.zeros(600), sold_out=none,
    ...                   promoted=flag)
    >>> shape.names, shape.slope.round(1).tolist()
    (('promoted',), [0.5])
    """
    seasonal = [k for k, name in enumerate(names) if name.startswith(SEASONAL)]
    # younger than a year: its first months are no season
    seen = int((week.max() - week.min()).astype(int)) >= _YEAR
    told = units[~sold_out].any()
    kept = [k for k in independent_columns(x, group) if seen or k not in seasonal] if told else []
    slope, covariance, size = np.zeros(len(kept)), np.zeros((len(kept), len(kept))), np.full(2, LARGEST_SIZE)
    if told:
        fit, size = _fitted(units, x[:, kept], group, offset, sold_out, promoted)
        slope = fit.slope
        if kept:
            covariance = fit.clustered(group, np.unique(week, return_inverse=True)[1])
    if not seen and seasonal:
        prior = [_UNSEEN.get(names[k], _UNSEEN_WEEK) ** 2 for k in seasonal]
        whole = np.zeros((len(kept) + len(seasonal),) * 2)
        whole[: len(kept), : len(kept)] = covariance
        whole[len(kept) :, len(kept) :] = np.diag(prior)
        slope, covariance, kept = np.concatenate([slope, np.zeros(len(seasonal))]), whole, kept + seasonal
    return Shape(tuple(names[k] for k in kept), slope, covariance, size, seen)


def ahead_of_timing(shape: Shape, x: np.ndarray) -> tuple[Shape, np.ndarray]:
    """Make a promotion's slope that of its mean demand over the depths it had, not of demand at its mean depth.

    Predictions do not know the timing: ``E exp(slope timing)`` over promoted rows is theirs, and is taken from history.

    Parameters
    ----------
    shape : Shape
    x : ndarray of shape (n, k)
        The shape's columns of past rows.

    Examples
    --------
    >>> shape = Shape(("promoted", "timing"), np.array([0.1, 2.0]), np.eye(2), np.ones(2), True)
    >>> moved, x = ahead_of_timing(shape, np.array([[1.0, -0.1], [1.0, 0.1], [0.0, 0.0]]))
    >>> moved.slope.round(4).tolist(), (x @ moved.slope).round(4).tolist()
    ([0.1199, 2.0], [-0.1, 0.3, 0.0])
    """
    if not {"promoted", "timing"} <= set(shape.names):
        return shape, x
    flag, timing = shape.names.index("promoted"), shape.names.index("timing")
    at, slope = x[:, flag] > 0.0, shape.slope.copy()
    if not at.any() or abs(slope[timing]) < 1e-6:
        return shape, x
    more = float(np.log(np.mean(np.exp(np.clip(slope[timing] * x[at, timing], -50.0, 50.0)))))
    slope[flag] += more
    x = x.copy()
    x[:, timing] -= x[:, flag] * more / slope[timing]
    return replace(shape, slope=slope), x


def _fitted(
    units: np.ndarray,
    x: np.ndarray,
    group: np.ndarray,
    offset: np.ndarray,
    sold_out: np.ndarray,
    promoted: np.ndarray,
) -> tuple[CountFit, np.ndarray]:
    """Slopes and the two sizes in turns, on some of the groups where there are many; then the slopes on all."""
    every = -(-len(units) // _ROWS_FOR_THE_SPREAD)
    seen = np.bincount(group, np.where(sold_out, 0.0, units)) > 0
    some = np.flatnonzero((np.cumsum(seen) % every == 0)[group] & seen[group])
    cut = sold_out.any()
    part = [promoted & ~sold_out, ~promoted & ~sold_out]
    apart = bool(cut) and min(int(p[some].sum()) for p in part) >= _FEWEST_TOLD
    own = promoted.astype(np.int64) if apart else np.zeros(len(units), np.int64)
    size, slope = np.full(2, 20.0 if cut else LARGEST_SIZE), np.zeros(x.shape[1])
    own_some, out = own[some], sold_out[some] if cut else None
    for _ in range(_ROUNDS if cut else 3):
        fit = fit_counts(
            units[some], x[some], group[some], offset=offset[some], sold_out=out, size=size[own_some], start=slope
        )
        slope, before = fit.slope, size.copy()
        for r in range(2 if apart else 1):
            at = own_some == r
            size[r] = _best_size(units[some][at], fit.predictor[at], None if out is None else out[at])
        if not apart:
            size[1] = size[0]
        if np.abs(np.log(size / before)).max() < 0.05:
            break
    every_row = sold_out if cut else None
    return fit_counts(units, x, group, offset=offset, sold_out=every_row, size=size[own], start=slope), size


def _best_size(units: np.ndarray, predictor: np.ndarray, sold_out: np.ndarray | None) -> float:
    from scipy.optimize import minimize_scalar

    def loss(log_size: float) -> float:
        return -float(log_likelihood(units, predictor, sold_out, float(np.exp(log_size)))[0].sum())

    # a spread of 7 times the mean to next to none
    found = minimize_scalar(loss, bounds=(np.log(0.05), np.log(1e4)), method="bounded", options={"xatol": 0.02})
    return float(np.exp(found.x))
