"""The best price path of each item on its ladder under its rules: exact, by depth-first search with a bound.

Stock is relaxed at a price per unit: what is left is a small dynamic programme over (rung, markdowns used, weeks since
the last change) that keeps every rule but those that look at stock. For a handful of prices it gives, at every node, a
number that no completion can exceed (Fisher 1981, The Lagrangian Relaxation Method). Items are independent, so they are
searched in parallel and the answer is the same at any number of threads.
"""

from dataclasses import dataclass, field

import numba
import numpy as np
from tqdm import tqdm

MOST_RUNGS = 63
_COARSE, _FINE = 6, 6
_ITEMS_A_BLOCK = 16
_FEW = 64
# few enough that progress shows every second or so
_ITEMS_A_STEP = 4_096


@dataclass(frozen=True)
class PathProblem:
    """Everything about n items that the search reads: T weeks, R rungs, cheapest last.

    Attributes
    ----------
    demand : ndarray of shape (n, T, R)
        Expected units in a week at a rung, were stock unlimited.
    price : ndarray of shape (n, R)
        Falls along a row; rungs that an item does not have are never allowed.
    regular_price : ndarray of shape (n,)
    unit_worth : ndarray of shape (n, R)
        Worth of selling one unit at a rung.
    end_worth : ndarray of shape (n,)
        Worth of one unit left at the end.
    stock : ndarray of shape (n,)
    horizon : ndarray of shape (n,), int
        Weeks on sale, at most T.
    start : ndarray of shape (n,), int
        Rung before the first week.
    allowed : ndarray of shape (n, T), uint64
        Bit r is set where rung r may stand in that week.
    steps : ndarray of shape (n, R), uint64
        Bit r is set where the price may change from the row's rung to r.
    may_change : ndarray of shape (n, T), bool
        Whether the price may change at the week's start.
    most_markdowns : ndarray of shape (n,), int
        Price cuts allowed; T or more is no limit.
    weeks_between : ndarray of shape (n,), int
        Weeks from one price change to the next, at least 1.
    weeks_waited : ndarray of shape (n,), int
        Weeks from the last change to the first week of the plan.
    least_on_hand : ndarray of shape (n,)
        Stock at the week's start below which the price is not cut.
    must_sell : ndarray of shape (n, T)
        Units that must be sold by the week's end; ``-inf`` where there is no target.
    should_sell, short_cost : ndarray of shape (n, T)
        Units wanted by the week's end, and what each missing one costs.
    withheld : ndarray of shape (n,), bool
        Whether selling may stop while there is stock: rows that draw on shared stock.
    """

    demand: np.ndarray = field(repr=False)
    price: np.ndarray = field(repr=False)
    regular_price: np.ndarray = field(repr=False)
    unit_worth: np.ndarray = field(repr=False)
    end_worth: np.ndarray = field(repr=False)
    stock: np.ndarray = field(repr=False)
    horizon: np.ndarray = field(repr=False)
    start: np.ndarray = field(repr=False)
    allowed: np.ndarray = field(repr=False)
    steps: np.ndarray = field(repr=False)
    may_change: np.ndarray = field(repr=False)
    most_markdowns: np.ndarray = field(repr=False)
    weeks_between: np.ndarray = field(repr=False)
    weeks_waited: np.ndarray = field(repr=False)
    least_on_hand: np.ndarray = field(repr=False)
    must_sell: np.ndarray = field(repr=False)
    should_sell: np.ndarray = field(repr=False)
    short_cost: np.ndarray = field(repr=False)
    withheld: np.ndarray = field(repr=False)

    def __len__(self) -> int:
        return len(self.stock)

    @property
    def n_weeks(self) -> int:
        """Weeks of the plan (T)."""
        return self.demand.shape[1]

    @property
    def n_rungs(self) -> int:
        """Rungs of the ladder (R)."""
        return self.demand.shape[2]

    def take(self, rows: np.ndarray) -> "PathProblem":
        """Return the problem of these items alone."""
        return PathProblem(**{name: getattr(self, name)[rows] for name in self.__dataclass_fields__})


@dataclass(frozen=True)
class Tolls:
    """Prices of what items share, by item and week (n, T): what a Lagrangian adds to the search.

    Attributes
    ----------
    given_away : ndarray
        Price of one unit of money of ``(regular price - price) * units sold``.
    written_off : ndarray
        Price of one unit of money of ``price cut * units on hand``.
    marked_down : ndarray
        Charge for a week below the regular price; may be negative.
    stock : ndarray of shape (n,)
        Price of each unit sold.
    """

    given_away: np.ndarray
    written_off: np.ndarray
    marked_down: np.ndarray
    stock: np.ndarray


@dataclass(frozen=True)
class Paths:
    """The best path of each item.

    Attributes
    ----------
    rungs : ndarray of shape (n, T), int
        The rung of each week; -1 once the item is off sale, and in every week where no path keeps the rules.
    value : ndarray of shape (n,)
        Worth of the path, tolls taken off; ``-inf`` where no path keeps the rules.
    bound : ndarray of shape (n,)
        No path is worth more; equals ``value`` unless the search stopped at its limit of nodes.
    nodes : ndarray of shape (n,), int
        Nodes visited.
    """

    rungs: np.ndarray = field(repr=False)
    value: np.ndarray = field(repr=False)
    bound: np.ndarray = field(repr=False)
    nodes: np.ndarray = field(repr=False)

    @property
    def feasible(self) -> np.ndarray:
        """Whether some path keeps the rules, (n,)."""
        return self.rungs[:, 0] >= 0


def no_tolls(problem: PathProblem) -> Tolls:
    """Return tolls of zero."""
    zeros = np.zeros((len(problem), problem.n_weeks))
    return Tolls(zeros, zeros, zeros, np.zeros(len(problem)))


def best_paths(problem: PathProblem, tolls: Tolls | None = None, *, node_limit: int = 20_000_000) -> Paths:
    """Return the most valuable path of each item.

    Parameters
    ----------
    problem : PathProblem
    tolls : Tolls, optional
        Prices of what the items share; none where they share nothing.
    node_limit : int
        Nodes per item after which the search stops with a bound instead of a proof.

    Examples
    --------
    >>> problem = plain_problem(demand=np.array([[[1.0, 3.0], [1.0, 3.0]]]), price=np.array([[10.0, 6.0]]), stock=[4.0])
    >>> paths = best_paths(problem)
    >>> paths.rungs.tolist(), paths.value.tolist()
    ([[0, 1]], [28.0])
    """
    n = len(problem)
    none = np.zeros((n, 0, problem.n_weeks), np.int8)
    rungs, value, bound, nodes = _search(problem, tolls, np.full(n, -np.inf), none, node_limit)
    return Paths(rungs, value, bound, nodes)


def paths_above(
    problem: PathProblem, tolls: Tolls | None, floor: np.ndarray, most: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return every path of each item that is worth more than ``floor`` (n,), as far as there are at most ``most``.

    Returns
    -------
    item : ndarray of shape (m,), int
    rungs : ndarray of shape (m, T), int
        The paths found, item by item.
    complete : ndarray of shape (n,), bool
        Whether these are all there are for the item.

    Examples
    --------
    >>> problem = plain_problem(demand=np.array([[[1.0, 3.0], [1.0, 3.0]]]), price=np.array([[10.0, 6.0]]), stock=[4.0])
    >>> item, rungs, complete = paths_above(problem, None, np.array([23.9]), most=10)
    >>> sorted(rungs.tolist()), complete.tolist()
    ([[0, 1], [1, 1]], [True])
    """
    kept = np.full((len(problem), most, problem.n_weeks), -1, np.int8)
    counts = _search(problem, tolls, floor, kept, 20_000_000)[3]
    item = np.repeat(np.arange(len(problem)), np.minimum(counts, most))
    return item, kept[np.arange(most) < counts[:, None]], counts <= most


def _search(
    problem: PathProblem, tolls: Tolls | None, floor: np.ndarray, kept: np.ndarray, node_limit: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    p = problem
    tolls = no_tolls(p) if tolls is None else tolls
    n = len(p)
    rungs = np.full((n, p.n_weeks), -1, np.int8)
    value, bound, nodes = np.full(n, -np.inf), np.full(n, -np.inf), np.zeros(n, np.int64)
    states, checkpoints = _sizes(p) if n else (0, 0)
    search = _search_few if n <= _FEW else _search_many
    given = (
        p.demand, p.price, p.regular_price, p.unit_worth, p.end_worth, p.stock, p.horizon, p.start, p.allowed,
        p.steps, p.may_change, p.most_markdowns, p.weeks_between, p.weeks_waited, p.least_on_hand, p.must_sell,
        p.should_sell, p.short_cost, p.withheld, tolls.given_away, tolls.written_off, tolls.marked_down, tolls.stock,
    )  # fmt: skip
    out = (floor, kept, rungs, value, bound, nodes)
    for first in tqdm(
        range(0, n, _ITEMS_A_STEP), desc="price paths", unit_scale=_ITEMS_A_STEP, leave=False,
        disable=None if n > _ITEMS_A_STEP else True,
    ):  # fmt: skip
        some = slice(first, first + _ITEMS_A_STEP)
        search(
            -(-min(n - first, _ITEMS_A_STEP) // _ITEMS_A_BLOCK), *(x[some] for x in given), states, checkpoints,
            node_limit, *(x[some] for x in out),
        )  # fmt: skip
    return rungs, value, bound, nodes


def _sizes(p: PathProblem) -> tuple[int, int]:
    """Most states of the rules' own programme, and most sell-through targets, of any item."""
    limited = np.where(p.most_markdowns >= p.n_weeks, 0, p.most_markdowns)
    states = int((p.n_rungs * (limited + 1) * p.weeks_between).max())
    return states, int(np.isfinite(p.must_sell).sum(axis=1).max())


def plain_problem(
    *, demand: np.ndarray, price: np.ndarray, stock: "np.ndarray | list[float]", end_worth: float = 0.0, **given: object
) -> PathProblem:
    """Return the problem without any rule but that prices never rise; ``given`` replaces any field.

    Examples
    --------
    >>> len(plain_problem(demand=np.ones((2, 3, 1)), price=np.ones((2, 1)), stock=[1.0, 2.0]))
    2
    """
    n, weeks, rungs = demand.shape
    price = np.ascontiguousarray(price, dtype=np.float64)
    fields: dict[str, object] = {
        "demand": np.ascontiguousarray(demand, dtype=np.float64),
        "price": price,
        "regular_price": price[:, 0].copy(),
        "unit_worth": price,
        "end_worth": np.full(n, end_worth),
        "stock": np.asarray(stock, dtype=np.float64),
        "horizon": np.full(n, weeks),
        "start": np.zeros(n, np.int64),
        "allowed": np.full((n, weeks), all_rungs(rungs)),
        "steps": np.broadcast_to(falling_steps(rungs), (n, rungs)).copy(),
        "may_change": np.ones((n, weeks), np.bool_),
        "most_markdowns": np.full(n, weeks),
        "weeks_between": np.ones(n, np.int64),
        "weeks_waited": np.full(n, weeks),
        "least_on_hand": np.zeros(n),
        "must_sell": np.full((n, weeks), -np.inf),
        "should_sell": np.full((n, weeks), -np.inf),
        "short_cost": np.zeros((n, weeks)),
        "withheld": np.zeros(n, np.bool_),
    }
    return PathProblem(**(fields | given))  # type: ignore[arg-type]


def all_rungs(rungs: int) -> np.uint64:
    """Return the mask with a bit for each rung."""
    return np.uint64((1 << rungs) - 1)


def falling_steps(rungs: int) -> np.ndarray:
    """Return, per rung, the mask of the cheaper rungs (R,)."""
    return np.array([((1 << rungs) - 1) ^ ((2 << r) - 1) for r in range(rungs)], dtype=np.uint64)


# Waking threads takes longer than a few small searches do.
@numba.njit(cache=True)
def _search_few(blocks, *given):
    for block in range(blocks):
        _search_block(block, *given)


@numba.njit(cache=True, parallel=True)
def _search_many(blocks, *given):
    for block in numba.prange(blocks):
        # prange counts without a sign: another type, for which all of it would be compiled a second time
        _search_block(np.int64(block), *given)


@numba.njit(cache=True)
def _search_block(
    block, demand, price, regular_price, unit_worth, end_worth, stock, horizon, start, allowed, steps, may_change,
    most_markdowns, weeks_between, weeks_waited, least_on_hand, must_sell, should_sell, short_cost, withheld,
    toll_given, toll_written, toll_marked, toll_stock, states, checkpoints, node_limit, floor, kept,
    rungs, value, bound, nodes,
):  # fmt: skip
    n, n_weeks, n_rungs = demand.shape
    # one set of work arrays a block, not an item: their making would cost more than a small search
    units = np.empty((n_weeks, n_rungs))
    worth = np.empty((n_weeks, n_rungs))
    fixed = np.empty((n_weeks, n_rungs))
    layers = np.empty((_COARSE + _FINE + checkpoints, n_weeks + 1, states))
    reward = np.empty((n_weeks, n_rungs))
    child_rung = np.empty((n_weeks, n_rungs), np.int64)
    child_state = np.empty((n_weeks, n_rungs, 2), np.int64)
    child_number = np.empty((n_weeks, n_rungs, 3))
    path = np.empty(n_weeks, np.int64)
    best_path = np.empty(n_weeks, np.int64)
    for i in range(block * _ITEMS_A_BLOCK, min((block + 1) * _ITEMS_A_BLOCK, n)):
        for t in range(horizon[i]):
            for r in range(n_rungs):
                given = regular_price[i] - price[i, r]
                worth[t, r] = unit_worth[i, r] - toll_given[i, t] * given - toll_stock[i]
                fixed[t, r] = toll_marked[i, t] if given > 1e-9 else 0.0
                units[t, r] = demand[i, t, r]
                if withheld[i] and worth[t, r] <= 0.0:
                    units[t, r] = 0.0
        value[i], bound[i], nodes[i] = _search_one(
            units, worth, fixed, price[i], toll_written[i], end_worth[i], stock[i], horizon[i], start[i],
            allowed[i], steps[i], may_change[i], most_markdowns[i], weeks_between[i], weeks_waited[i],
            least_on_hand[i], must_sell[i], should_sell[i], short_cost[i], node_limit,
            layers, reward, child_rung, child_state, child_number, path, best_path, floor[i], kept[i],
        )  # fmt: skip
        if value[i] > -np.inf and floor[i] == -np.inf:
            for t in range(horizon[i]):
                rungs[i, t] = best_path[t]


@numba.njit(cache=True)
def _search_one(
    units, worth, fixed, price, toll_written, end_worth, stock, weeks, start,
    allowed, steps, may_change, most_markdowns, weeks_between, weeks_waited,
    least_on_hand, must_sell, should_sell, short_cost, node_limit,
    layers, reward, child_rung, child_state, child_number, path, best_path, floor, kept,
):  # fmt: skip
    n_rungs = units.shape[1]
    n_weeks = allowed.size
    counted = most_markdowns < n_weeks
    cuts = most_markdowns + 1 if counted else 1
    waits = weeks_between
    first_wait = min(max(weeks_waited, 1), waits) - 1
    root = (start * cuts) * waits + first_wait
    raises = False
    for p in range(n_rungs):
        if steps[p] & ((np.uint64(1) << np.uint64(p)) - np.uint64(1)):
            raises = True
    lowest = 0 if raises else start

    # the end of the season: how much may be left, and what a unit too many costs
    must_end, should_end, end_cost = must_sell[weeks - 1], should_sell[weeks - 1], short_cost[weeks - 1]
    may_leave = stock - must_end if must_end > -np.inf else np.inf
    free_leave = stock - should_end if end_cost > 0.0 and should_end > -np.inf else np.inf
    top = end_worth
    for t in range(weeks):
        for r in range(n_rungs):
            if (allowed[t] >> np.uint64(r)) & np.uint64(1):
                top = max(top, worth[t, r])
    bottom = end_worth
    if may_leave < np.inf:
        bottom = end_worth - max(top, 0.0)
    elif free_leave < np.inf:
        bottom = end_worth - end_cost

    # layers: coarse prices of a unit of stock, then finer ones around the best of them, then reachable sales
    stock_price = np.empty(_COARSE + _FINE)
    best_layer, best_root = 0, np.inf
    for k in range(_COARSE + _FINE):
        if k < _COARSE:
            stock_price[k] = bottom + (top - bottom) * k / (_COARSE - 1)
        else:
            centre = best_layer
            left = stock_price[max(centre - 1, 0)]
            right = stock_price[min(centre + 1, _COARSE - 1)]
            stock_price[k] = left + (right - left) * (k - _COARSE + 1) / (_FINE + 1)
        for t in range(weeks):
            for r in range(n_rungs):
                reward[t, r] = max((worth[t, r] - stock_price[k]) * units[t, r], 0.0) - fixed[t, r]
        _tabulate(layers[k], reward, weeks, lowest, cuts, waits, counted, allowed, steps, may_change)
        at_root = layers[k, 0, root] + stock_price[k] * stock
        at_root += _end_bound(stock, end_worth, stock_price[k], may_leave, free_leave, end_cost)
        if at_root < best_root:
            best_root = at_root
            if k < _COARSE:
                best_layer = k
    if layers[0, 0, root] == -np.inf:
        return -np.inf, -np.inf, np.int64(0)
    n_checks = 0
    check_week = np.empty(weeks, np.int64)
    for t in range(weeks):
        if must_sell[t] > -np.inf:
            for u in range(weeks):
                for r in range(n_rungs):
                    reward[u, r] = units[u, r] if u <= t else 0.0
            layer = _COARSE + _FINE + n_checks
            _tabulate(layers[layer], reward, weeks, lowest, cuts, waits, counted, allowed, steps, may_change)
            check_week[n_checks] = t
            n_checks += 1

    # a floor instead of the best so far: every path above it is kept, and counted as far as there is room
    collecting = floor > -np.inf
    best = floor
    n_kept = np.int64(0)
    nodes = np.int64(0)
    slack = 1e-9 * max(1.0, stock)
    count = np.zeros(weeks, np.int64)
    position = np.zeros(weeks, np.int64)
    depth = 0
    rung, used, waited, left, earned = start, 0, first_wait, stock, 0.0
    fresh = True
    stopped = False
    while depth >= 0:
        t = depth
        if fresh:
            fresh = False
            count[t] = 0
            position[t] = 0
            # the price that stands comes first, so that among equals it stays
            for j in range(-1, n_rungs):
                r = rung if j < 0 else j
                if j == rung or not (allowed[t] >> np.uint64(r)) & np.uint64(1):
                    continue
                used_then, waited_then = used, min(waited + 1, waits - 1)
                written = 0.0
                if r != rung:
                    if waited < waits - 1 or not may_change[t] or not (steps[rung] >> np.uint64(r)) & np.uint64(1):
                        continue
                    waited_then = 0
                    if r > rung:
                        if left < least_on_hand - slack or (counted and used + 1 >= cuts):
                            continue
                        used_then = used + 1 if counted else 0
                        written = toll_written[t] * (price[rung] - price[r]) * left
                nodes += 1
                sold = min(units[t, r], left)
                left_then = left - sold
                earned_then = earned + worth[t, r] * sold - fixed[t, r] - written
                gone = stock - left_then
                if gone < must_sell[t] - slack:
                    continue
                if gone < should_sell[t]:
                    earned_then -= short_cost[t] * (should_sell[t] - gone)
                if t == weeks - 1:
                    earned_then += end_worth * left_then
                    if collecting:
                        if earned_then >= floor:
                            path[t] = r
                            if n_kept < len(kept):
                                kept[n_kept, :weeks] = path[:weeks]
                                kept[n_kept, weeks:] = -1
                            n_kept += 1
                        continue
                    if earned_then > best + 1e-11 * max(1.0, abs(best)) or best == -np.inf:
                        best = earned_then
                        path[t] = r
                        best_path[:weeks] = path[:weeks]
                    continue
                state = (r * cuts + used_then) * waits + waited_then
                possible = True
                for c in range(n_checks):
                    if check_week[c] > t:
                        reach = layers[_COARSE + _FINE + c, t + 1, state]
                        if gone + min(reach, left_then) < must_sell[check_week[c]] - slack:
                            possible = False
                            break
                if not possible:
                    continue
                limit = best + 1e-10 * max(1.0, abs(best)) if best > -np.inf else -np.inf
                most = np.inf
                for k in range(_COARSE + _FINE - 1, -1, -1):
                    here = earned_then + layers[k, t + 1, state] + stock_price[k] * left_then
                    here += _end_bound(left_then, end_worth, stock_price[k], may_leave, free_leave, end_cost)
                    if here < most:
                        most = here
                        if most <= limit:
                            break
                if most <= limit or most == -np.inf:
                    continue
                at = count[t]
                while at > 0 and child_number[t, at - 1, 0] < most:
                    child_rung[t, at] = child_rung[t, at - 1]
                    child_state[t, at] = child_state[t, at - 1]
                    child_number[t, at] = child_number[t, at - 1]
                    at -= 1
                child_rung[t, at] = r
                child_state[t, at, 0], child_state[t, at, 1] = used_then, waited_then
                child_number[t, at, 0], child_number[t, at, 1] = most, left_then
                child_number[t, at, 2] = earned_then
                count[t] += 1
        if nodes > node_limit or (collecting and n_kept > len(kept)):
            stopped = True
            break
        at = position[t]
        if at < count[t] and (best == -np.inf or child_number[t, at, 0] > best + 1e-10 * max(1.0, abs(best))):
            position[t] = at + 1
            rung = child_rung[t, at]
            path[t] = rung
            used, waited = child_state[t, at, 0], child_state[t, at, 1]
            left, earned = child_number[t, at, 1], child_number[t, at, 2]
            depth += 1
            fresh = True
        else:
            depth -= 1
    if collecting:
        return best, (np.inf if stopped else best), n_kept
    return best, (max(best_root, best) if stopped else best), nodes


@numba.njit(cache=True, inline="always")
def _end_bound(left, end_worth, stock_price, may_leave, free_leave, end_cost):
    """Most that units left over can add beyond ``stock_price`` each: concave, so at 0 or at a corner."""
    most = max(min(left, may_leave), 0.0)
    corner = min(max(free_leave, 0.0), most)
    gain = end_worth - stock_price
    best = gain * most
    if free_leave < most:
        best -= end_cost * (most - free_leave)
    best = max(best, min(end_cost * free_leave, 0.0) if free_leave < np.inf else 0.0)
    if free_leave >= 0.0:
        best = max(best, gain * corner)
    return best


@numba.njit(cache=True)
def _tabulate(layer, reward, weeks, lowest, cuts, waits, counted, allowed, steps, may_change):
    """Fill ``layer[t, state]`` with the most that weeks t.. can add up to under the rules that do not look at stock."""
    n_rungs = reward.shape[1]
    layer[weeks, : n_rungs * cuts * waits] = 0.0
    for t in range(weeks - 1, -1, -1):
        for p in range(lowest, n_rungs):
            targets = steps[p] & allowed[t] if may_change[t] else np.uint64(0)
            stays = (allowed[t] >> np.uint64(p)) & np.uint64(1)
            for m in range(cuts):
                base = (p * cuts + m) * waits
                for w in range(waits):
                    best = -np.inf
                    if stays:
                        best = reward[t, p] + layer[t + 1, base + min(w + 1, waits - 1)]
                    if w == waits - 1 and targets:
                        for r in range(lowest, n_rungs):
                            if not (targets >> np.uint64(r)) & np.uint64(1):
                                continue
                            m_then = m
                            if counted and r > p:
                                m_then = m + 1
                                if m_then >= cuts:
                                    continue
                            here = reward[t, r] + layer[t + 1, (r * cuts + m_then) * waits]
                            if here > best:
                                best = here
                    layer[t, base + w] = best
