"""Half-samples walked in ranking order: sort once, then cumulative sums over drawn units.

Each draw keeps half of the independent units, without replacement, and is a sequence of its own (SplitMix64 from its
own seed; Steele, Lea & Flood 2014): the draws are the same in any order, and on any number of threads.
"""

import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numba
import numpy as np

_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_ROUNDING = 1e-12  # of the scores' root mean square; sums over millions of rows err by less
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)


@dataclass(frozen=True)
class Ordered:
    """Rankings laid out in their own order, best first; each array has shape (rankings, n).

    ``unit`` is the independent unit of the row at each rank, ``weight`` its weight, ``value`` weight times score, and
    ``last_of_tie`` marks where a group of tied rows ends (every row where nothing ties).
    """

    unit: np.ndarray
    weight: np.ndarray
    value: np.ndarray
    last_of_tie: np.ndarray


@dataclass(frozen=True)
class RankStatistics:
    """Per draw and ranking: ``autoc``, ``qini``, ``mean`` (draws, rankings) and ``toc`` (draws, rankings, grid)."""

    autoc: np.ndarray
    qini: np.ndarray
    mean: np.ndarray
    toc: np.ndarray


def order(priorities: np.ndarray, scores: np.ndarray, weights: np.ndarray, unit: np.ndarray) -> Ordered:
    """Sort each ranking once.

    Parameters
    ----------
    priorities, scores : ndarray of shape (rankings, n)
        Who comes first (higher first), and the score that each ranking's treatment would earn.
    weights, unit : ndarray of shape (n,)
        Row weights; independent unit of each row, 0..units-1.

    Examples
    --------
    >>> import numpy as np
    >>> laid = order(np.array([[1.0, 3.0, 1.0]]), np.array([[5.0, 6.0, 7.0]]), np.ones(3), np.arange(3))
    >>> laid.value.tolist(), laid.last_of_tie.tolist()
    ([[6.0, 5.0, 7.0]], [[True, False, True]])
    """
    rank = np.argsort(-priorities, axis=1, kind="stable")
    sorted_priority = np.take_along_axis(priorities, rank, axis=1)
    last = np.ones(rank.shape, dtype=np.bool_)
    last[:, :-1] = sorted_priority[:, 1:] != sorted_priority[:, :-1]
    weight = weights[rank]
    value = np.take_along_axis(scores, rank, axis=1) * weight
    return Ordered(unit.astype(np.int32)[rank], weight, value, last)


def on_all(ordered: Ordered, n_units: int, grid: np.ndarray) -> RankStatistics:
    """Return the statistics on every unit: one draw that keeps all, by the same code as the half-samples.

    Examples
    --------
    >>> import numpy as np
    >>> laid = order(np.array([[3.0, 2.0, 1.0]]), np.array([[3.0, 0.0, 0.0]]), np.ones(3), np.arange(3))
    >>> statistics = on_all(laid, 3, np.array([1.0]))
    >>> round(statistics.autoc.item(), 4), statistics.mean.item()
    (0.8333, 1.0)
    """
    return _run(ordered, n_units, n_units, np.zeros(1, dtype=np.uint64), grid, 1)


def on_half_samples(
    ordered: Ordered, n_units: int, grid: np.ndarray, *, draws: int, seed: int, threads: int | None = None
) -> RankStatistics:
    """Return the statistics on ``draws`` half-samples of the units; every ranking is valued on the same half.

    Examples
    --------
    >>> import numpy as np
    >>> laid = order(np.zeros((1, 4)), np.array([[1.0, 2.0, 3.0, 4.0]]), np.ones(4), np.arange(4))
    >>> statistics = on_half_samples(laid, 4, np.array([1.0]), draws=3, seed=0)
    >>> statistics.autoc.tolist()  # all tied: random order, nothing gained
    [[0.0], [0.0], [0.0]]
    """
    seeds = np.random.default_rng(seed).integers(0, 2**64, size=draws, dtype=np.uint64)
    return _run(ordered, n_units, n_units // 2, seeds, grid, threads)


def _run(
    ordered: Ordered, n_units: int, kept: int, seeds: np.ndarray, grid: np.ndarray, threads: int | None
) -> RankStatistics:
    draws, rankings = len(seeds), len(ordered.unit)
    unit_weight = np.bincount(ordered.unit[0], ordered.weight[0], n_units)
    tied = ~ordered.last_of_tie.all(axis=1)
    out = RankStatistics(*(np.empty((draws, rankings)) for _ in range(3)), toc=np.empty((draws, rankings, len(grid))))

    def walk(part: slice) -> None:
        _walk(
            seeds[part],
            kept,
            unit_weight,
            ordered.unit,
            ordered.weight,
            ordered.value,
            ordered.last_of_tie,
            tied,
            grid,
            out.autoc[part],
            out.qini[part],
            out.mean[part],
            out.toc[part],
        )

    workers = min(threads or os.cpu_count() or 1, draws)
    if workers <= 1:
        walk(slice(0, draws))
    else:
        edges = np.linspace(0, draws, workers + 1).astype(int)
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(walk, [slice(a, b) for a, b in itertools.pairwise(edges)]))
    return _without_rounding(out, ordered)


def _without_rounding(out: RankStatistics, ordered: Ordered) -> RankStatistics:
    """Make what is 0 but for rounding exactly 0: a random order, or equal scores, would else have a "t-value"."""
    size = np.sqrt((ordered.value**2 / ordered.weight).sum(axis=1) / ordered.weight.sum(axis=1))
    for each in (out.autoc, out.qini, out.mean):
        each[np.abs(each) < _ROUNDING * size] = 0.0
    out.toc[np.abs(out.toc) < _ROUNDING * size[:, None]] = 0.0
    return out


@numba.njit(cache=True, nogil=True)
def _walk(seeds, kept, unit_weight, unit, weight, value, last_of_tie, tied, grid, autoc, qini, mean, toc):
    taken = np.empty(len(unit_weight), dtype=np.bool_)
    for b in range(len(seeds)):
        _take(seeds[b], kept, taken)
        total = 0.0
        for u in range(len(unit_weight)):
            total += unit_weight[u] * taken[u]
        for r in range(unit.shape[0]):
            if tied[r]:
                found = _with_ties(taken, total, unit[r], weight[r], value[r], last_of_tie[r], grid, toc[b, r])
            else:
                found = _without_ties(taken, total, unit[r], weight[r], value[r], grid, toc[b, r])
            autoc[b, r], qini[b, r], mean[b, r] = found


@numba.njit(cache=True, nogil=True)
def _take(seed, kept, taken):
    """Select exactly ``kept`` units, each set equally likely (Knuth, TAOCP 2, algorithm 3.4.2S)."""
    n = len(taken)
    state = seed
    missing = kept
    for i in range(n):
        state += _STEP
        z = state
        z = (z ^ (z >> _S30)) * _MIX_1
        z = (z ^ (z >> _S27)) * _MIX_2
        uniform = np.float64((z ^ (z >> _S31)) >> _S11) * 1.1102230246251565e-16
        hit = uniform * (n - i) < missing
        taken[i] = hit
        missing -= hit


@numba.njit(cache=True, nogil=True)
def _without_ties(taken, total, unit, weight, value, grid, toc):
    # No branch on what is taken: half of the guesses would be wrong, and cost more than all the sums.
    n = len(unit)
    grid_at = 0
    ahead = grid[0] * total
    cum_weight, cum_value = 0.0, 0.0
    sum_top_mean, sum_value, sum_rank = 0.0, 0.0, 0.0
    first = 0
    while not taken[unit[first]]:
        first += 1
    for i in range(first, n):
        kept = np.float64(taken[unit[i]])
        w = kept * weight[i]
        v = kept * value[i]
        while cum_weight + w >= ahead:
            toc[grid_at] = (cum_value + (ahead - cum_weight) / w * v) / ahead
            grid_at += 1
            ahead = grid[grid_at] * total if grid_at < len(grid) else np.inf
        cum_weight += w
        cum_value += v
        sum_top_mean += w * (cum_value / cum_weight)
        sum_value += w * cum_value
        sum_rank += w * cum_weight
    return _close(cum_weight, cum_value, sum_top_mean, sum_value, sum_rank, grid_at, toc)


@numba.njit(cache=True, nogil=True)
def _with_ties(taken, total, unit, weight, value, last_of_tie, grid, toc):
    # The mean over all orders of a tied group of m rows: m equal rows, each with the group's mean score.
    n = len(unit)
    grid_at = 0
    cum_weight, cum_value = 0.0, 0.0
    sum_top_mean, sum_value, sum_rank = 0.0, 0.0, 0.0
    m, group_weight, group_value = 0, 0.0, 0.0
    for i in range(n):
        kept = taken[unit[i]]
        m += kept
        group_weight += kept * weight[i]
        group_value += kept * value[i]
        if not last_of_tie[i] or m == 0:
            continue
        while grid_at < len(grid) and cum_weight + group_weight >= grid[grid_at] * total:
            ahead = grid[grid_at] * total
            toc[grid_at] = (cum_value + (ahead - cum_weight) / group_weight * group_value) / ahead
            grid_at += 1
        step_weight, step_value = group_weight / m, group_value / m
        for j in range(1, m + 1):
            w = cum_weight + j * step_weight
            v = cum_value + j * step_value
            sum_top_mean += step_weight * (v / w)
            sum_value += step_weight * v
            sum_rank += step_weight * w
        cum_weight += group_weight
        cum_value += group_value
        m, group_weight, group_value = 0, 0.0, 0.0
    return _close(cum_weight, cum_value, sum_top_mean, sum_value, sum_rank, grid_at, toc)


@numba.njit(cache=True, nogil=True)
def _close(cum_weight, cum_value, sum_top_mean, sum_value, sum_rank, grid_at, toc):
    mean = cum_value / cum_weight
    for g in range(len(toc)):
        # a grid point of 1 may lie a rounding error beyond the last row; there TOC is 0 by definition
        toc[g] = toc[g] - mean if g < grid_at else 0.0
    return sum_top_mean / cum_weight - mean, (sum_value - mean * sum_rank) / cum_weight**2, mean
