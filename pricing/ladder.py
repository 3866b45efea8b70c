"""The prices that an item may have: its ladder of depths off the regular price, and where on it the item stands."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..sql.errors import ModelError
from .path_search import MOST_RUNGS

SAME = 1e-9


class PlanError(ModelError):
    """The items, the ladder or the weeks cannot be planned with; the text says which and what to do.

    Examples
    --------
    >>> try:
    ...     checked_depths((0, 20, 50), 1)
    ... except PlanError as error:
    ...     print(error)
    ladder holds 20; a rung is a depth off the regular price in [0, 1), below 100%. Give shares, not per cent.
    """


@dataclass(frozen=True)
class Ladder:
    """The rungs of n items, cheapest last.

    Attributes
    ----------
    depth : ndarray of shape (n, R)
        As asked for: share off the regular price.
    price : ndarray of shape (n, R)
        After price endings; falls along a row over the rungs that exist.
    exists : ndarray of shape (n, R), bool
        False where an item has fewer rungs, or where an ending made two rungs one.
    start : ndarray of shape (n,), int
        The rung before the first week.
    given : ndarray of shape (n, R), int
        Which rung of the ladder handed in this is; -1 for a price that only stands before the plan.

    Examples
    --------
    >>> build_ladder(np.array([[0.0, 0.25]]), np.array([10.0]), np.array([0.0])).price.tolist()
    [[10.0, 7.5]]
    """

    depth: np.ndarray = field(repr=False)
    price: np.ndarray = field(repr=False)
    exists: np.ndarray = field(repr=False)
    start: np.ndarray = field(repr=False)
    given: np.ndarray = field(repr=False)


def checked_depths(ladder: "Sequence[float] | np.ndarray", n: int) -> np.ndarray:
    """Return the depths of each item's rungs (n, R).

    Raises
    ------
    PlanError
        Where the ladder is empty, not sorted, repeats a rung, or a rung is below 0 or not below 1.

    Examples
    --------
    >>> checked_depths((0, 0.2, 0.5), 2).tolist()
    [[0.0, 0.2, 0.5], [0.0, 0.2, 0.5]]
    """
    try:
        depths = np.asarray(ladder, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise PlanError(f"ladder is {ladder!r:.80} ({error}); it is a list of depths, e.g. (0, 0.2, 0.5).") from error
    if depths.ndim == 1:
        depths = np.broadcast_to(depths, (n, len(depths)))
    if depths.ndim != 2 or depths.shape[0] != n or depths.shape[1] == 0:
        raise PlanError(
            f"ladder has shape {np.shape(ladder)}; it is a list of depths, or one row of depths per item ({n})."
        )
    if depths.shape[1] >= MOST_RUNGS:
        raise PlanError(f"ladder has {depths.shape[1]} rungs; at most {MOST_RUNGS - 1} are planned with.")
    if np.isnan(depths).any():
        raise PlanError("ladder holds a missing value; each rung is a depth in [0, 1), e.g. 0.3 for 30% off.")
    for i in np.flatnonzero((depths < 0.0).any(axis=1) | (depths >= 1.0).any(axis=1))[:1]:
        wrong = depths[i][(depths[i] < 0.0) | (depths[i] >= 1.0)][0]
        hint = " Give shares, not per cent." if wrong > 1.0 else ""
        raise PlanError(f"ladder holds {wrong:g}; a rung is a depth off the regular price in [0, 1), below 100%.{hint}")
    if depths.shape[1] > 1:
        for i in np.flatnonzero((np.diff(depths, axis=1) <= SAME).any(axis=1))[:1]:
            raise PlanError(f"ladder is {depths[i].tolist()}; sort it from shallow to deep, each rung once.")
    return np.ascontiguousarray(depths)


def build_ladder(
    depths: np.ndarray,
    regular_price: np.ndarray,
    current_discount: np.ndarray,
    endings: Sequence[Sequence[float] | None] | None = None,
) -> Ladder:
    """Return the rungs of each item: the ladder's, and the price that stands before the plan where it is none of them.

    Parameters
    ----------
    depths : ndarray of shape (n, R)
    regular_price, current_discount : ndarray of shape (n,)
    endings : sequence of n, optional
        Allowed price endings of each item, or None; a price is lowered to the next one.

    Examples
    --------
    >>> ladder = build_ladder(np.array([[0.0, 0.25]]), np.array([10.0]), np.array([0.1]), [(0.99,)])
    >>> ladder.price.round(2).tolist(), ladder.start.tolist(), ladder.given.tolist()
    ([[10.0, 9.0, 6.99]], [1], [[0, -1, 1]])
    """
    rungs = depths.shape[1]
    on_it = np.abs(depths - current_discount[:, None]) <= SAME
    off = ~on_it.any(axis=1)
    if off.any():
        # a column more: the standing price where it is no rung, nothing for the others
        wide = np.concatenate([depths, np.where(off, current_discount, np.inf)[:, None]], axis=1)
        order = np.argsort(wide, axis=1, kind="stable")
        wide = np.take_along_axis(wide, order, axis=1)
        given = np.where(order == rungs, -1, order)
        exists = np.isfinite(wide)
        depth = np.where(exists, wide, depths[:, -1:])
    else:
        depth = depths.copy()
        given = np.broadcast_to(np.arange(rungs), depth.shape).copy()
        exists = np.ones(depth.shape, np.bool_)
    start = np.argmax((np.abs(depth - current_discount[:, None]) <= SAME) & exists, axis=1)
    price = regular_price[:, None] * (1.0 - depth)
    if endings is not None:
        _end_in(price, depth, exists, start, endings)
        # an ending may carry a shallow rung past the price that stands
        order = np.argsort(-price, axis=1, kind="stable")
        price, depth, exists, given = (np.take_along_axis(x, order, axis=1) for x in (price, depth, exists, given))
        start = np.argmax(order == start[:, None], axis=1)
    return Ladder(depth, price, exists, start, given)


def lowered_to_ending(price: np.ndarray, endings: Sequence[float]) -> np.ndarray:
    """Return the highest price with one of the endings that is not above ``price``; 0 or less where there is none.

    Examples
    --------
    >>> lowered_to_ending(np.array([7.5, 0.5]), (0.99, 0.49)).round(2).tolist()
    [7.49, 0.49]
    """
    whole = np.floor(price)
    best = np.full(np.shape(price), -1.0)
    for ending in endings:
        at = whole + ending
        best = np.maximum(best, np.where(at <= price + 1e-6, at, at - 1.0))
    return best


def _end_in(
    price: np.ndarray,
    depth: np.ndarray,
    exists: np.ndarray,
    start: np.ndarray,
    endings: Sequence[Sequence[float] | None],
) -> None:
    rungs = price.shape[1]
    kept = (depth <= SAME) | (np.arange(rungs) == start[:, None])
    for key in dict.fromkeys(tuple(e) for e in endings if e is not None):
        rows = np.array([i for i, e in enumerate(endings) if e is not None and tuple(e) == key])
        price[rows] = np.where(kept[rows], price[rows], lowered_to_ending(price[rows], key))
    standing = np.take_along_axis(price, start[:, None], axis=1)
    # a shallower rung lowered to the standing price, and a deeper one that meets its successor, go
    exists &= kept | (price > SAME)
    exists &= kept | (np.abs(price - standing) > 1e-6)
    for r in range(rungs - 1):
        later = exists[:, r + 1 :] & (np.abs(price[:, r + 1 :] - price[:, [r]]) <= 1e-6)
        exists[:, r] &= kept[:, r] | ~later.any(axis=1)
    # a rung that is kept and met by the one before or after
    for r in range(1, rungs):
        earlier = exists[:, :r] & (price[:, :r] <= price[:, [r]] + 1e-6)
        exists[:, r] &= kept[:, r] | ~earlier.any(axis=1)
