"""TOC, AUTOC and QINI as Yadlowsky et al. define them, with the half-sample bootstrap.

With scores whose mean is the effect in any group of customers, and a ranking of the same customers made elsewhere,

- TOC(q) is the mean effect among the top fraction q of the ranking minus the mean effect of all,
- AUTOC is the plain mean of TOC over ranks, QINI its rank-weighted mean: the integral of q TOC(q).

Both are 0 for a ranking that knows nothing. `rank_by` makes a ranking from predictions; `compare_rankings` values it
with held-out scores: no function takes both what a ranking learnt from and what it is judged by.

References
----------
Yadlowsky, Fleming, Shah, Brunskill & Wager (2025), Evaluating Treatment Prioritization Rules via Rank-Weighted Average
Treatment Effects, JASA 120, 38-51 (arXiv:2111.07966, 2021): TOC, the RATE family and its half-sample bootstrap.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from ..sql.errors import ModelError, nearest
from .estimate import Estimate, as_units, as_weights, checked, interval, tidy
from .scores import contrast, net_effects

if TYPE_CHECKING:
    from .half_sample import Ordered, RankStatistics

Target = Literal["AUTOC", "QINI"]
GRID = np.arange(1, 21) / 20.0
_FEWEST = 4  # half of three is one, whose ranking is always right: the standard error would be 0


@dataclass(frozen=True)
class Ranking:
    """Who comes first, and what he would get: ``priority`` (n,), higher first, and ``arm`` (n,), 1..k.

    Examples
    --------
    >>> rank_by(np.array([0.2, 0.4])).priority.tolist()
    [0.2, 0.4]
    """

    priority: np.ndarray
    arm: np.ndarray


def rank_by(
    predicted: np.ndarray,
    *,
    arm: int | None = None,
    value: float | np.ndarray = 1.0,
    cost: float | np.ndarray = 0.0,
) -> Ranking:
    """Make a ranking from predictions alone.

    Parameters
    ----------
    predicted : ndarray of shape (n, k) or (n,)
        Predicted effect of each arm against control; or one score per customer, e.g. of a response model.
    arm : int, optional
        The arm, 1..k, that everyone would get. Without it each customer is ranked by, and given, his best arm: the
        largest ``value * predicted - cost``, the lower arm where two are equal.
    value : float or ndarray of shape (n,)
        Worth of one unit of outcome.
    cost : float or ndarray of shape (k,) or (n, k)
        Cost of treating one customer.

    Raises
    ------
    ModelError
        Where the predictions hold NaN or infinite values, or there is no such arm.

    Examples
    --------
    >>> import numpy as np
    >>> effects = np.array([[0.1, 0.3], [0.4, 0.2], [-0.3, -0.1]])
    >>> best = rank_by(effects, cost=np.array([0.0, 0.1]))
    >>> best.arm.tolist(), best.priority.round(2).tolist()
    ([2, 1, 2], [0.2, 0.4, -0.2])
    """
    predicted = np.asarray(predicted, dtype=np.float64)
    by_arm = predicted[:, None] if predicted.ndim == 1 else predicted
    if by_arm.ndim != 2 or not np.isfinite(by_arm).all():
        raise ModelError(
            f"predicted has shape {predicted.shape} and {int((~np.isfinite(predicted)).sum())} NaN or infinite values; "
            "a ranking needs one finite score per customer, or one per customer and arm."
        )
    n, k = by_arm.shape
    if predicted.ndim == 1:
        return Ranking(net_effects(by_arm, value=value, cost=cost)[:, 0], np.full(n, 1 if arm is None else arm))
    if arm is not None and not 1 <= arm <= k:
        raise ModelError(f"arm is {arm}; the predictions are for arms 1 to {k}.")
    net = net_effects(by_arm, value=value, cost=cost)
    chosen = np.full(n, arm - 1) if arm is not None else net.argmax(axis=1)
    return Ranking(net[np.arange(n), chosen], chosen + 1)


def toc(
    effect_scores: np.ndarray,
    priority: np.ndarray,
    q: np.ndarray | None = None,
    *,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Return TOC at each fraction ``q``; tied customers count as their mean over all orders of the tie.

    Parameters
    ----------
    effect_scores : ndarray of shape (n,)
        Held-out scores whose mean in any group is that group's effect (see `scores.contrast`), in outcome units.
    priority : ndarray of shape (n,)
        The ranking, higher first.
    q : ndarray of shape (m,), optional
        Ascending fractions in (0, 1]; .05, .10, ..., 1 without it.
    weights : ndarray of shape (n,), optional
        Positive weights; ``q`` is then a fraction of the total weight.

    Raises
    ------
    ModelError
        Where lengths differ, values are not finite, or ``q`` is not ascending in (0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> toc(np.array([3.0, 0.0, 0.0]), np.array([9.0, 5.0, 1.0]), np.array([1 / 3, 1.0])).tolist()
    [2.0, 0.0]
    """
    return _on_all(effect_scores, priority, weights, _checked_grid(GRID if q is None else q)).toc[0, 0]


def autoc(effect_scores: np.ndarray, priority: np.ndarray, *, weights: np.ndarray | None = None) -> float:
    """Return AUTOC, the plain mean of TOC over ranks; arguments and errors as of `toc`.

    Examples
    --------
    Effects uniform on (0, 1) and ranked by themselves: 1/4 in closed form.

    >>> import numpy as np
    >>> effects = (np.arange(100_000) + 0.5) / 100_000
    >>> round(autoc(effects, effects), 3)
    0.25
    """
    return float(_on_all(effect_scores, priority, weights, GRID).autoc[0, 0])


def qini(effect_scores: np.ndarray, priority: np.ndarray, *, weights: np.ndarray | None = None) -> float:
    """Return QINI, the rank-weighted mean of TOC over ranks; arguments and errors as of `toc`.

    Examples
    --------
    Effects uniform on (0, 1) and ranked by themselves: 1/12 in closed form.

    >>> import numpy as np
    >>> effects = (np.arange(100_000) + 0.5) / 100_000
    >>> round(qini(effects, effects), 4)
    0.0833
    """
    return float(_on_all(effect_scores, priority, weights, GRID).qini[0, 0])


@dataclass(frozen=True)
class RateTable:
    """Rankings valued on the same customers and the same half-samples.

    Attributes
    ----------
    names : tuple of str
        The rankings, in the order given.
    autoc, qini, everyone : dict of str to Estimate
        Per ranking; ``everyone`` is the mean effect of giving each customer the ranking's arm. Per head, in the units
        of the scores times ``value``, less ``cost``.
    grid : ndarray of shape (m,)
        Fractions treated.
    toc, toc_standard_error, gain, gain_standard_error : ndarray of shape (rankings, m)
        The curve, and the gain per head of all customers when the top fraction is treated: q (TOC(q) + everyone).
    units : int
        Independent units.
    level : float
        Coverage of the intervals.
    deviations : dict of str to ndarray
        ``"AUTOC"``, ``"QINI"``, ``"everyone"`` (draws, rankings) and ``"gain"`` (draws, rankings, m): half-sample
        draws, centred and scaled so that their spread is the standard error. Their joint spread is what paired and
        simultaneous statements rest on.
    """

    names: tuple[str, ...]
    autoc: dict[str, Estimate]
    qini: dict[str, Estimate]
    everyone: dict[str, Estimate]
    grid: np.ndarray
    toc: np.ndarray
    toc_standard_error: np.ndarray
    gain: np.ndarray
    gain_standard_error: np.ndarray
    units: int
    level: float
    deviations: dict[str, np.ndarray]

    def of(self, target: Target) -> dict[str, Estimate]:
        """Return the estimates of one target, by ranking."""
        found = {"AUTOC": self.autoc, "QINI": self.qini}.get(target)
        if found is None:
            raise ModelError(f"target is {target!r}; it must be 'AUTOC' or 'QINI'{nearest(target, ['AUTOC', 'QINI'])}.")
        return found

    def difference(self, first: str, second: str, target: Target = "QINI") -> Estimate:
        """Return ``first`` minus ``second``, paired: both were valued on the same half-samples.

        Raises
        ------
        ModelError
            Where there is no such ranking or target.
        """
        values = self.of(target)
        for name in (first, second):
            if name not in values:
                raise ModelError(f"There is no ranking {name!r}{nearest(name, self.names)}. There are: {self.names}.")
        draws = self.deviations[target]
        gap = draws[:, self.names.index(first)] - draws[:, self.names.index(second)]
        return interval(
            values[first].value - values[second].value, _spread(gap).item(), units=self.units, level=self.level
        )

    def tidy(self) -> list[dict[str, object]]:
        """Return one row per ranking and target, ready for a frame."""
        return [
            *tidy(self.qini, target="QINI"),
            *tidy(self.autoc, target="AUTOC"),
            *tidy(self.everyone, target="everyone"),
        ]


def compare_rankings(
    scores: np.ndarray,
    rankings: Mapping[str, Ranking],
    *,
    value: float | np.ndarray = 1.0,
    cost: float | np.ndarray = 0.0,
    weights: np.ndarray | None = None,
    cluster: np.ndarray | None = None,
    draws: int = 500,
    seed: int = 0,
    level: float = 0.95,
    grid: np.ndarray = GRID,
    threads: int | None = None,
) -> RateTable:
    """Value rankings with held-out doubly robust scores: AUTOC, QINI, TOC and gain, each with its standard error.

    Parameters
    ----------
    scores : ndarray of shape (n, k + 1)
        Doubly robust scores of control and each arm (see `scores.aipw_scores`), from customers that no ranking has
        learnt from.
    rankings : mapping of str to Ranking
        Rankings of the same n customers. A constant priority is the random order: its RATE is exactly 0.
    value : float or ndarray of shape (n,)
        Worth of one unit of outcome.
    cost : float or ndarray of shape (k,) or (n, k)
        Cost of treating one customer.
    weights : ndarray of shape (n,), optional
        Positive weights.
    cluster : ndarray of shape (n,), optional
        Labels of independent units, e.g. stores; whole clusters are drawn.
    draws : int
        Half-samples.
    seed : int
        The same seed gives the same numbers at any number of threads.
    level : float
        Coverage of the intervals.
    grid : ndarray of shape (m,)
        Ascending fractions in (0, 1].
    threads : int, optional
        At most so many threads; all cores without it.

    Raises
    ------
    ModelError
        Where shapes differ, values are not finite, there is no ranking or fewer than four units.

    Notes
    -----
    The standard error is the spread over half-samples drawn without replacement: half of n units has a variance of
    (1/(n/2)) (1 - 1/2) = 1/n times that of one unit, which is that of the whole sample (Yadlowsky et al.).

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> effect = rng.uniform(size=2000)
    >>> scores = np.column_stack([np.zeros(2000), effect + rng.normal(size=2000)])
    >>> table = compare_rankings(scores, {"effect": rank_by(effect), "random": rank_by(np.zeros(2000))})
    >>> table.qini["effect"].above_zero, table.qini["random"].value
    (True, 0.0)
    """
    from .half_sample import on_all, on_half_samples, order

    if not rankings:
        raise ModelError("rankings is empty; give at least one, e.g. {'x': rank_by(predicted)}.")
    if draws < 2:
        raise ModelError(f"draws is {draws}; a standard error needs at least 2, and 500 are usual.")
    scores = np.asarray(scores, dtype=np.float64)
    n = len(scores)
    grid = _checked_grid(grid)
    names = tuple(rankings)
    priorities = np.stack([checked(f"priority of {name!r}", rankings[name].priority, n) for name in names])
    earned = np.stack([contrast(scores, rankings[name].arm, value=value, cost=cost) for name in names])
    unit, n_units = as_units(cluster, n)
    if n_units < _FEWEST:
        raise ModelError(f"There are {n_units} independent units; half-samples need at least {_FEWEST}.")
    laid = order(priorities, earned, as_weights(weights, n), unit)
    whole = on_all(laid, n_units, grid)
    halves = on_half_samples(laid, n_units, grid, draws=draws, seed=seed, threads=threads)
    return _table(names, whole, halves, grid, n_units, level)


def _table(
    names: tuple[str, ...],
    whole: "RankStatistics",
    halves: "RankStatistics",
    grid: np.ndarray,
    units: int,
    level: float,
) -> RateTable:
    kept = units // 2
    scale = (kept / (units - kept)) ** 0.5

    def deviations(draws: np.ndarray) -> np.ndarray:
        return (draws - draws.mean(axis=0)) * scale

    def gain(statistics: "RankStatistics") -> np.ndarray:
        return grid * (statistics.toc + statistics.mean[:, :, None])

    by_target = {
        "AUTOC": deviations(halves.autoc),
        "QINI": deviations(halves.qini),
        "everyone": deviations(halves.mean),
        "gain": deviations(gain(halves)),
    }

    def estimates(values: np.ndarray, target: str) -> dict[str, Estimate]:
        errors = _spread(by_target[target])
        return {name: interval(values[0, j], errors[j], units=units, level=level) for j, name in enumerate(names)}

    return RateTable(
        names,
        estimates(whole.autoc, "AUTOC"),
        estimates(whole.qini, "QINI"),
        estimates(whole.mean, "everyone"),
        grid,
        whole.toc[0],
        _spread(deviations(halves.toc)),
        gain(whole)[0],
        _spread(by_target["gain"]),
        units,
        level,
        by_target,
    )


def _spread(deviations: np.ndarray) -> np.ndarray:
    return np.sqrt((deviations**2).sum(axis=0) / (len(deviations) - 1))


def _on_all(
    effect_scores: np.ndarray, priority: np.ndarray, weights: np.ndarray | None, grid: np.ndarray
) -> "RankStatistics":
    from .half_sample import on_all

    laid, n = _laid(effect_scores, priority, weights)
    return on_all(laid, n, grid)


def _laid(effect_scores: np.ndarray, priority: np.ndarray, weights: np.ndarray | None) -> "tuple[Ordered, int]":
    from .half_sample import order

    effect_scores = checked("effect_scores", effect_scores)
    n = len(effect_scores)
    if n == 0:
        raise ModelError("effect_scores is empty; there is nobody to rank.")
    unit, _ = as_units(None, n)
    return order(checked("priority", priority, n)[None], effect_scores[None], as_weights(weights, n), unit), n


def _checked_grid(q: np.ndarray) -> np.ndarray:
    grid = np.ascontiguousarray(q, dtype=np.float64)
    if grid.ndim != 1 or not len(grid) or not (grid[0] > 0.0 and grid[-1] <= 1.0 and (np.diff(grid) > 0.0).all()):
        raise ModelError(f"q is {np.array2string(grid, threshold=6)}; fractions must ascend in (0, 1].")
    return grid
