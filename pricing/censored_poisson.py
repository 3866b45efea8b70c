"""Counts with gamma-distributed shocks, sold-out rows known only from below: likelihood, gradients, robust errors.

Units are Poisson around ``mu exp(shock)`` with a gamma shock of mean 1 and variance ``1 / size``: negative binomial
(Cameron and Trivedi 2013, section 3.3), and plain Poisson as ``size`` grows. A row that sold out says ``Y >= c``; its
likelihood is the upper tail, ``I_p(c, size)`` with ``p = mu / (mu + size)``. Plain Poisson tails are too thin for real
demand, and a censored likelihood with the wrong tail is biased; an uncensored one is not.
"""

from dataclasses import dataclass, field

import numpy as np

from ..sql.errors import ModelError

LARGEST_SIZE = 1e6
_SMALLEST_SIZE = 0.05
_MOST_STEPS = 60
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class CountFit:
    """Coefficients of one block of rows.

    Attributes
    ----------
    slope : ndarray of shape (k,)
    level : ndarray of shape (groups,)
        Log level of each group; ``-inf`` where a group sold nothing.
    predictor : ndarray of shape (n,)
        Log of the expected count, the offset included.
    size : float
        1 / variance of the shock; its mean where each row has its own.
    hessian : ndarray of shape (k, k)
        Negative second derivative in the slopes, levels profiled out.
    scores : ndarray of shape (n, k)
        Each row's part of the slopes' gradient, levels profiled out.
    weight : ndarray of shape (n,)
        Negative second derivative of each row in its predictor.
    log_likelihood : float
    converged : bool
    """

    slope: np.ndarray
    level: np.ndarray = field(repr=False)
    predictor: np.ndarray = field(repr=False)
    size: float
    hessian: np.ndarray = field(repr=False)
    scores: np.ndarray = field(repr=False)
    weight: np.ndarray = field(repr=False)
    log_likelihood: float
    converged: bool

    @property
    def covariance(self) -> np.ndarray:
        """Covariance of the slopes where the likelihood is right and rows are independent."""
        return np.linalg.inv(self.hessian)

    def clustered(self, *clusters: np.ndarray) -> np.ndarray:
        """Sandwich covariance of the slopes, robust to any dependence within clusters (Liang and Zeger 1986).

        With two clusterings a pair of rows may depend on each other in either (Cameron, Gelbach and Miller 2011).
        """
        bread = self.covariance
        return bread @ cluster_meat(self.scores, *clusters) @ bread


def cluster_meat(scores: np.ndarray, *clusters: np.ndarray) -> np.ndarray:
    """Return the sum over clusters of the outer products of their summed scores, each with C / (C - 1).

    Examples
    --------
    >>> cluster_meat(np.array([[1.0], [2.0], [-3.0]]), np.array([0, 0, 1])).tolist()
    [[36.0]]
    """
    if len(clusters) == 1:
        return _one_way(scores, clusters[0])
    first, second = clusters
    both = first.astype(np.int64) * (int(second.max(initial=0)) + 1) + second
    meat = (
        _one_way(scores, first) + _one_way(scores, second) - _one_way(scores, np.unique(both, return_inverse=True)[1])
    )
    # the difference may fail to be a covariance: its negative directions are set to none
    values, vectors = np.linalg.eigh(meat)
    return (vectors * np.maximum(values, 0.0)) @ vectors.T


def _one_way(scores: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    n = int(cluster.max(initial=0)) + 1
    sums = np.stack([np.bincount(cluster, column, n) for column in scores.T], axis=1)
    there = int((np.bincount(cluster, minlength=n) > 0).sum())
    return sums.T @ sums * (there / max(there - 1, 1))


def log_likelihood(
    units: np.ndarray, predictor: np.ndarray, sold_out: np.ndarray | None, size: "float | np.ndarray"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each row's log-likelihood, and its first and negative second derivative in the predictor.

    Parameters
    ----------
    units : ndarray of shape (n,)
        Counts from 0; where ``sold_out`` the least that was asked for.
    predictor : ndarray of shape (n,)
        Log of the expected count.
    sold_out : ndarray of shape (n,), bool, or None
    size : float, or ndarray of shape (n,)
        1 / variance of the shock.

    Examples
    --------
    >>> value, slope, bend = log_likelihood(np.array([2.0]), np.array([0.0]), np.array([True]), 1e6)
    >>> round(float(np.exp(value[0])), 4)  # 1 - 2 / e
    0.2642
    """
    from scipy.special import betainc, betaln, gammaln

    mean = np.exp(np.clip(predictor, -600.0, 600.0))
    high = mean / (mean + size)
    low = size / (mean + size)
    log_high, log_low = -np.log1p(size / mean), -np.log1p(mean / size)
    value = gammaln(units + size) - gammaln(size) - gammaln(units + 1.0) + units * log_high + size * log_low
    slope = units * low - size * high
    bend = (units + size) * high * low
    if sold_out is None or not sold_out.any():
        return value, slope, bend
    at = np.flatnonzero(sold_out)
    least = units[at]
    some = least > 0
    size = size[at] if isinstance(size, np.ndarray) else size
    tail = np.where(some, betainc(np.maximum(least, 1.0), size, high[at]), 1.0)
    density = np.maximum(least, 1.0) * log_high[at] + size * log_low[at] - betaln(np.maximum(least, 1.0), size)
    # far below what was sold the tail underflows: there it falls as its first term does
    far = some & (tail < 1e-280)
    log_tail = np.log(np.where(far | ~some, 1.0, tail))
    hazard = np.where(some, np.exp(np.minimum(density - log_tail, 700.0)), 0.0)
    asymptote = least * low[at] - size * high[at]
    hazard = np.where(far, np.maximum(asymptote, 0.0) + 1.0, hazard)
    log_tail = np.where(far, density - np.log(np.maximum(hazard, 1e-300)), log_tail)
    value[at] = np.where(some, log_tail, 0.0)
    slope[at] = hazard
    bend[at] = np.where(far, (least + size) * high[at] * low[at], np.maximum(hazard * (hazard - asymptote), 0.0))
    return value, slope, bend


def fit_counts(
    units: np.ndarray,
    regressors: np.ndarray,
    group: np.ndarray,
    *,
    offset: np.ndarray | None = None,
    sold_out: np.ndarray | None = None,
    size: float | np.ndarray | None = None,
    start: np.ndarray | None = None,
    near: float | None = None,
) -> CountFit:
    """Fit a level for each group and common slopes by Newton steps; levels never enter a matrix.

    Parameters
    ----------
    units : ndarray of shape (n,)
    regressors : ndarray of shape (n, k)
    group : ndarray of shape (n,), int
        0..groups-1; a group that sold nothing, or was sold out in every row, says nothing and takes no part.
    offset : ndarray of shape (n,), optional
        Known part of the predictor.
    sold_out : ndarray of shape (n,), bool, optional
    size : float, or ndarray of shape (n,), optional
        1 / variance of the shock, of all rows or of each; estimated, one for all, without.
    start : ndarray of shape (k,), optional
        Slopes to start from.
    near : float, optional
        Where the search for ``size`` begins: one round of it is then enough.

    Raises
    ------
    ModelError
        No group says anything, or the regressors are collinear within groups.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> log_price = np.log(rng.choice([1.0, 1.3, 1.6, 2.0], 4_000))
    >>> demand = rng.poisson(np.exp(2.5 - 2.0 * log_price))
    >>> units = np.minimum(demand, 8)
    >>> group = np.zeros(4_000, dtype=int)
    >>> fit = fit_counts(units, log_price[:, None], group, sold_out=units == 8)
    >>> naive = fit_counts(units, log_price[:, None], group)
    >>> round(float(fit.slope[0]), 1), round(float(naive.slope[0]), 1)
    (-2.0, -1.3)
    """
    units = np.asarray(units, dtype=np.float64)
    n, k = regressors.shape
    offset = np.zeros(n) if offset is None else offset
    n_groups = int(group.max(initial=-1)) + 1
    seen = np.bincount(group, units if sold_out is None else np.where(sold_out, 0.0, units), n_groups)
    takes_part = (seen > 0)[group]
    if not takes_part.any():
        raise ModelError("no group of rows has units that were not cut off by stock: nothing can be estimated")
    rows = np.flatnonzero(takes_part)
    block = _Block(
        units[rows], regressors[rows], np.unique(group[rows], return_inverse=True)[1], offset[rows],
        None if sold_out is None else sold_out[rows],
    )  # fmt: skip
    slope = np.zeros(k) if start is None else np.asarray(start, dtype=np.float64)
    level = block.first_level(slope)
    first = LARGEST_SIZE if sold_out is None else 20.0
    size = size[rows] if isinstance(size, np.ndarray) else size
    rounds: list[float | np.ndarray | None] = [size] if size is not None else [first, None, None, None]
    if size is None and near is not None:
        rounds = [near, None]
    now: float | np.ndarray = first
    converged = False
    for asked in rounds:
        now = block.best_size(slope, level) if asked is None else asked
        slope, level, converged = block.newton(slope, level, now)
    return block.result(slope, level, now, converged, n, rows, np.flatnonzero(seen > 0), n_groups)


class _Block:
    """Rows that take part, and the sums over their groups."""

    def __init__(
        self,
        units: np.ndarray,
        regressors: np.ndarray,
        group: np.ndarray,
        offset: np.ndarray,
        sold_out: np.ndarray | None,
    ) -> None:
        self.units, self.x, self.group, self.offset = units, regressors, group, offset
        self.sold_out = sold_out if sold_out is not None and sold_out.any() else None
        self.groups = int(group.max()) + 1

    def sums(self, values: np.ndarray) -> np.ndarray:
        return np.bincount(self.group, values, self.groups)

    def first_level(self, slope: np.ndarray) -> np.ndarray:
        expected = self.sums(np.exp(np.clip(self.x @ slope + self.offset, -50.0, 50.0)))
        return np.log(np.maximum(self.sums(self.units), 0.5) / expected)

    def predictor(self, slope: np.ndarray, level: np.ndarray) -> np.ndarray:
        return level[self.group] + self.x @ slope + self.offset

    def newton(
        self, slope: np.ndarray, level: np.ndarray, size: float | np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, bool]:
        value, d1, bend = log_likelihood(self.units, self.predictor(slope, level), self.sold_out, size)
        total = float(value.sum())
        for _ in range(_MOST_STEPS):
            step_slope, step_level = self._step(d1, bend)
            largest = max(np.abs(step_slope).max(initial=0.0), np.abs(step_level).max())
            scale = min(1.0, 3.0 / largest) if largest > 0 else 1.0
            while True:
                trial = slope + scale * step_slope, level + scale * step_level
                value, d1_new, bend_new = log_likelihood(self.units, self.predictor(*trial), self.sold_out, size)
                reached = float(value.sum())
                if reached >= total - 1e-9 * (1.0 + abs(total)) or scale < 1e-6:
                    break
                scale *= 0.5
            slope, level, d1, bend = *trial, d1_new, bend_new
            gain, total = reached - total, reached
            if largest * scale < 1e-8 or (largest < 1e-4 and abs(gain) < _TOLERANCE * (1.0 + abs(total))):
                return slope, level, True
        return slope, level, False

    def _step(self, d1: np.ndarray, bend: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        own = self.sums(bend) + 1e-12
        level_score = self.sums(d1)
        cross, profiled = self._profiled(bend, own)
        score = self.x.T @ d1 - cross.T @ (level_score / own)
        step = _solved(profiled, score)
        return step, (level_score - cross @ step) / own

    def _profiled(self, bend: np.ndarray, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        weighted = self.x * bend[:, None]
        cross = np.empty((self.groups, weighted.shape[1]))
        for k, column in enumerate(weighted.T):
            cross[:, k] = self.sums(column)
        return cross, self.x.T @ weighted - cross.T @ (cross / own[:, None])

    def best_size(self, slope: np.ndarray, level: np.ndarray) -> float:
        from scipy.optimize import minimize_scalar

        predictor = self.predictor(slope, level)

        def loss(log_size: float) -> float:
            return -float(log_likelihood(self.units, predictor, self.sold_out, float(np.exp(log_size)))[0].sum())

        found = minimize_scalar(
            loss, bounds=(np.log(_SMALLEST_SIZE), np.log(1e4)), method="bounded", options={"xatol": 0.02}
        )
        return float(np.exp(found.x))

    def result(
        self,
        slope: np.ndarray,
        level: np.ndarray,
        size: float | np.ndarray,
        converged: bool,
        n: int,
        rows: np.ndarray,
        groups: np.ndarray,
        n_groups: int,
    ) -> CountFit:
        predictor = self.predictor(slope, level)
        value, d1, bend = log_likelihood(self.units, predictor, self.sold_out, size)
        own = self.sums(bend) + 1e-12
        cross, profiled = self._profiled(bend, own)
        scale = np.sqrt(np.maximum(np.diag(profiled), 1e-300))
        if len(slope) and np.linalg.cond(profiled / np.outer(scale, scale)) > 1e10:
            raise ModelError("the regressors are collinear within the groups: take one of them out")
        scores, weight, predictors = np.zeros((n, len(slope))), np.zeros(n), np.full(n, -np.inf)
        scores[rows] = d1[:, None] * (self.x - (cross / own[:, None])[self.group])
        weight[rows], predictors[rows] = bend, predictor
        levels = np.full(n_groups, -np.inf)
        levels[groups] = level
        return CountFit(
            slope, levels, predictors, float(np.mean(size)), profiled, scores, weight, float(value.sum()), converged
        )


def _solved(matrix: np.ndarray, score: np.ndarray) -> np.ndarray:
    if not len(score):
        return score
    ridge = 1e-10 * np.trace(matrix) / len(score) + 1e-12
    return np.linalg.solve(matrix + ridge * np.eye(len(score)), score)
