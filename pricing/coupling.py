"""Rules that tie items together: prices for what they share, exact paths under those prices, then a small MIP.

Budgets, groups and shared stock are relaxed at prices (Dantzig & Wolfe 1960): under any prices the exact search of each
item gives a number that no plan can exceed, and its paths are columns of a linear programme whose duals are the next
prices. When both meet, or no new path is worth its price, a mixed-integer programme over the columns picks one path for
each item. The best of the numbers is shipped with the plan as its bound.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from tqdm import tqdm

from . import rules as r
from .assortment import Assortment
from .path_account import account
from .path_search import PathProblem, best_paths, paths_above
from .rule_limits import Compiled
from .shared_limits import SharedLimits, best_somewhere, markdown_patterns

_ROUNDS = 60
_TOLERANCE = 1e-8
_ALL_COLUMNS = 3_000
_LOOSE_ITEMS = 400
_NODES = 100
_NEAR_COLUMNS, _LEAST_NEAR, _HALVINGS, _TRIES = 4_000, 12, 12, 3


class NoPlan(ValueError):
    """No plan keeps the rules that tie items together; ``items`` are the rows they tie."""


@dataclass(frozen=True)
class Coupled:
    """A plan for all items.

    Attributes
    ----------
    rungs, sold : ndarray of shape (n, T)
        Rung of each week (-1 off sale) and units sold.
    value : float
        Worth of the plan.
    bound : float
        No plan is worth more.
    budget_prices : tuple of float
        Worth of one more unit of money of each `Budget`, in the order of the rules.
    pool_prices : ndarray
        Worth of one more unit of each shared stock, its worth at the end included.
    shared : SharedLimits
    prices : ndarray
        The price of each of its limits at which the bound was found.
    parts : list of (rows, limits)
        Items that share limits, apart from those they share none with.
    """

    rungs: np.ndarray = field(repr=False)
    sold: np.ndarray = field(repr=False)
    value: float
    bound: float
    budget_prices: tuple[float, ...]
    pool_prices: np.ndarray = field(repr=False)
    shared: SharedLimits = field(repr=False)
    prices: np.ndarray = field(repr=False)
    parts: list[tuple[np.ndarray, np.ndarray]] = field(repr=False)


def solve_coupled(assortment: Assortment, compiled: Compiled, rules: Sequence[r.Rule], *, gap: float = 1e-4) -> Coupled:
    """Return a plan under all rules with a bound on how much better any could be.

    Parameters
    ----------
    assortment : Assortment
    compiled : Compiled
        The assortment under the same rules; every item has a path of its own that keeps them.
    rules : sequence of Rule
    gap : float
        Relative gap between plan and bound that is good enough; often it ends much smaller.

    Raises
    ------
    NoPlan
        Where no plan keeps the rules together.
    """
    shared = SharedLimits.read(assortment, compiled, rules)
    problem = compiled.problem
    n, weeks = len(problem), problem.n_weeks
    rungs, sold = np.full((n, weeks), -1, np.int8), np.zeros((n, weeks))
    alone = np.flatnonzero(~shared.tied)
    free = best_paths(problem.take(alone))
    rungs[alone] = free.rungs
    sold[alone] = account(problem, alone, free.rungs).sold
    constant = float((compiled.pools[:, 0] * compiled.pools[:, 1]).sum())
    value, bound = float(free.value.sum()) + constant, float(free.bound.sum()) + constant
    prices = shared.no_prices()
    parts = shared.separate()
    for rows, limits in tqdm(parts, desc="items tied together", disable=None if len(parts) > 1 else True, leave=False):
        master = _Master(problem.take(rows), shared.take(rows, limits))
        best, upper, prices[limits] = master.run(gap)
        rungs[rows], sold[rows] = best.rungs, best.sold
        value, bound = value + best.value, bound + max(upper, best.value)
    n_budgets, n_pools = len(shared.budget_amounts), len(compiled.pools)
    pool_prices = prices[n_budgets : n_budgets + n_pools] + compiled.pools[:, 1]
    return Coupled(
        rungs, sold, value, bound, tuple(float(p) for p in prices[:n_budgets]), pool_prices, shared, prices, parts
    )


@dataclass(frozen=True)
class _Chosen:
    rungs: np.ndarray
    sold: np.ndarray
    value: float


class _Master:
    """The linear programme over paths: one share of paths per item, and what they share within its limits."""

    def __init__(self, problem: PathProblem, shared: SharedLimits) -> None:
        self.problem, self.shared = problem, shared
        self.n, self.weeks = len(problem), problem.n_weeks
        self.seen: set[bytes] = set()
        self.item: list[np.ndarray] = []
        self.rungs: list[np.ndarray] = []
        self.until: list[np.ndarray] = []
        self.value: list[np.ndarray] = []
        self.sold: list[np.ndarray] = []
        self.programme = None

    # ---- columns -------------------------------------------------------------------------------------------------

    def add(self, rows: np.ndarray, rungs: np.ndarray) -> int:
        """Add paths, each with every week at which its share of a pool may end; returns how many were new."""
        pooled = self.shared.pool[rows] >= 0
        until = np.full(len(rows), self.weeks)
        if pooled.any():
            again = np.repeat(np.flatnonzero(pooled), self.weeks)
            until = np.concatenate([until, np.tile(np.arange(self.weeks), int(pooled.sum()))])
            rows, rungs = np.concatenate([rows, rows[again]]), np.concatenate([rungs, rungs[again]])
        new = []
        for k in range(len(rows)):
            key = int(rows[k]).to_bytes(4, "little") + rungs[k].tobytes() + int(until[k]).to_bytes(2, "little")
            if key not in self.seen and rungs[k, 0] >= 0:
                self.seen.add(key)
                new.append(k)
        if not new:
            return 0
        rows, rungs, until = rows[new], rungs[new], until[new]
        told = account(self.problem, rows, rungs, unsold_from=until)
        self.item.append(rows)
        self.rungs.append(rungs.astype(np.int8))
        self.until.append(until)
        self.value.append(told.value)
        self.sold.append(told.sold)
        self._append(rows, told)
        return len(new)

    def _uses(self, rows: np.ndarray, told) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Column, row and amount of what each new path takes of what is shared."""
        s = self.shared
        column, row, amount = [np.arange(len(rows))], [rows], [np.ones(len(rows))]
        at = self.n
        for b in range(len(s.budget_amounts)):
            cost = told.written_off if s.on_hand_basis[b] else told.given_away
            spent = (cost * s.budget_weeks[b]).sum(axis=1)
            k = np.flatnonzero(s.budget_of[b, rows] & (spent != 0.0))
            column.append(k)
            row.append(np.full(len(k), at + b))
            amount.append(spent[k] / self.scale[b])
        at += len(s.budget_amounts)
        k = np.flatnonzero(s.pool[rows] >= 0)
        column.append(k)
        row.append(at + s.pool[rows][k])
        amount.append(told.sold[k].sum(axis=1) / self.scale[len(s.budget_amounts) + s.pool[rows][k]])
        at += len(s.pool_stock)
        for place, first in [(p, at) for p in s.one_of] + [(p, at + s.n_one) for p in s.all_of]:
            k, t = np.nonzero(told.marked_down & (place[rows] >= 0))
            column.append(k)
            row.append(first + place[rows[k], t])
            amount.append(np.ones(len(k)))
        return np.concatenate(column), np.concatenate(row), np.concatenate(amount)

    # ---- the programme -------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        import highspy

        s = self.shared
        infinity = highspy.kHighsInf
        lp = quiet_highs()
        limits = s.limits / self.scale
        equal = np.zeros(s.n_rows, np.bool_)
        equal[s.n_rows - len(s.all_group) :] = True
        lower = np.concatenate([np.ones(self.n), np.where(equal, limits, -infinity)])
        upper = np.concatenate([np.ones(self.n), limits])
        none = np.zeros(0)
        lp.addRows(len(lower), lower, upper, 0, np.zeros(0, np.int32), np.zeros(0, np.int32), none)
        # a way to break each limit at a price no honest plan pays, so that the first programmes have an answer
        over, n_all = np.arange(s.n_rows), len(s.all_group)
        followers = self.n + s.n_rows - n_all + np.arange(n_all)
        self._columns(lp, np.full(s.n_rows, self.penalty), np.inf, over, self.n + over, np.full(s.n_rows, -1.0))
        self._columns(lp, np.full(n_all, self.penalty), np.inf, np.arange(n_all), followers, np.ones(n_all))
        if len(s.all_group):
            # the group's yes or no
            self._columns(
                lp, np.zeros(s.all_group.max() + 1), 1.0, s.all_group, followers, np.full(len(s.all_group), -1.0)
            )
        self.first = lp.getNumCol()
        self.programme = lp

    @staticmethod
    def _columns(lp, costs, most, column, row, amount) -> None:
        if not len(costs):
            return
        order = np.lexsort((row, column))
        starts = np.searchsorted(column[order], np.arange(len(costs))).astype(np.int32)
        lp.addCols(
            len(costs),
            np.asarray(costs, dtype=np.float64),
            np.zeros(len(costs)),
            np.full(len(costs), most),
            len(row),
            starts,
            row[order].astype(np.int32),
            np.asarray(amount, dtype=np.float64)[order],
        )

    def _append(self, rows: np.ndarray, told) -> None:
        column, row, amount = self._uses(rows, told)
        self._columns(self.programme, -told.value / self.money, np.inf, column, row, amount)

    def _solve(self) -> tuple[np.ndarray, np.ndarray, float, float]:
        """Shares of the paths, prices of what is shared, the programme's worth, and how far limits are broken."""
        lp = self.programme
        assert lp is not None
        lp.run()
        found = lp.getSolution()
        shares = np.asarray(found.col_value)
        duals = -np.asarray(found.row_dual)[self.n :] * self.money / self.scale
        n_all = len(self.shared.all_group)
        capped = duals.size - n_all
        duals[:capped] = np.maximum(duals[:capped], 0.0)
        broken = float(shares[: self.shared.n_rows + n_all].sum())
        return shares[self.first :], duals, float(np.concatenate(self.value) @ shares[self.first :]), broken

    # ---- the run -------------------------------------------------------------------------------------------------

    def run(self, gap: float) -> tuple[_Chosen, float, np.ndarray]:
        """Return the plan, the bound and the prices at which it was found."""
        p, s = self.problem, self.shared
        self._prepare()
        bound, best_prices = np.inf, s.no_prices()
        centre = None
        for _ in tqdm(range(_ROUNDS), desc="prices of what is shared", disable=None, leave=False):
            _, prices, worth, broken = self._solve()
            # between the programme's prices and the best so far: duals of a small programme jump about
            tried = prices if centre is None or broken > 1e-9 else 0.5 * (prices + best_prices)
            centre = prices
            added = 0
            for at in (tried, prices) if tried is not prices else (prices,):
                paths = best_paths(p, s.tolls(at))
                upper = self._upper(paths.bound, at)
                if upper < bound:
                    bound, best_prices = upper, at
                added += self.add(np.arange(self.n), paths.rungs)
                if added:
                    break
            if broken <= 1e-9 and bound - worth <= _TOLERANCE * max(1.0, abs(bound)):
                break
            if not added:
                break
        stock_alone = len(s.limits) == len(s.pool_stock)
        item = np.concatenate(self.item)
        found = self._whole(gap, self._never_best(item, np.zeros(len(item), np.bool_)) if stock_alone else None)[0]
        for k in range(_TRIES):
            if bound - found.value <= gap * max(1.0, abs(bound)):
                break
            before = found.value
            found, bound, proven = self._with_near_paths(found, bound, best_prices, gap, only_all=k > 0)
            if proven or found.value <= before:
                break
        return found, bound, best_prices

    def _with_near_paths(
        self, found: _Chosen, bound: float, prices: np.ndarray, gap: float, *, only_all: bool
    ) -> tuple[_Chosen, float, bool]:
        """Try again with every path that a better plan could hold, or with the nearest of them where they are many.

        At the bound's prices a plan better than the one found holds, of each item, a path that falls short of the
        item's best by less than the gap (Baldacci, Christofides & Mingozzi 2008). Where all of them are among the
        columns, what the mixed-integer programme proves holds for all plans.
        """
        most = _NEAR_COLUMNS // max(self.n, 1)
        if most < _LEAST_NEAR:
            return found, bound, True
        tolls = self.shared.tolls(prices)
        best = best_paths(self.problem, tolls).value
        reach = np.full(self.n, (bound - found.value) * (1.0 + 1e-6) + 1e-9 * max(1.0, abs(bound)))
        item, rungs, complete = paths_above(self.problem, tolls, best - reach, most)
        all_near = bool(complete.all())
        if only_all and not all_near:
            return found, bound, False
        for _ in range(_HALVINGS):
            if complete.all():
                break
            reach = np.where(complete, reach, 0.5 * reach)
            item, rungs, complete = paths_above(self.problem, tolls, best - reach, most)
        self.add(item, rungs)
        again, proven = self._whole(gap, self._too_far(best, prices, bound - found.value))
        better = again if again.value > found.value else found
        if all_near:
            # a plan is among the columns, or no better than the one found
            bound = min(bound, max(proven, better.value))
        return better, bound, all_near

    def _too_far(self, best: np.ndarray, prices: np.ndarray, gap: float) -> np.ndarray:
        """Columns that no plan better than the one found holds: they fall short of their item's best by more."""
        item, value, until = np.concatenate(self.item), np.concatenate(self.value), np.concatenate(self.until)
        net = value - self._matrix(len(item))[self.n :].T @ (prices * self.scale)
        far = net < best[item] - gap * (1.0 + 1e-6) - 1e-9 * max(1.0, float(np.abs(best).max()))
        pooled = np.flatnonzero(self.shared.pool[item] >= 0)
        if len(pooled):
            # between two ends of a path lie parts that either may be near
            rungs = np.concatenate(self.rungs)[pooled]
            order = pooled[np.lexsort((until[pooled], *rungs.T, item[pooled]))]
            beside = (np.diff(item[order]) == 0) & (np.diff(until[order]) == 1)
            near = ~far
            near[order[:-1][beside]] |= ~far[order[1:][beside]]
            near[order[1:][beside]] |= ~far[order[:-1][beside]]
            far = ~near
            if len(self.shared.limits) == len(self.shared.pool_stock):
                far |= self._never_best(item, far)
        return far

    def _never_best(self, item: np.ndarray, far: np.ndarray) -> np.ndarray:
        """Columns of paths that for no part of the stock are their row's best, where rows share nothing but stock."""
        sold, value = np.concatenate(self.sold).sum(axis=1), np.concatenate(self.value)
        rungs, until = np.concatenate(self.rungs), np.concatenate(self.until)
        out = np.ones(len(item), np.bool_)
        for i in range(self.n):
            own = np.flatnonzero(item == i)
            own = own[np.lexsort((until[own], *rungs[own].T))]
            # every path stands with each of its ends, in order
            ends = own.reshape(-1, self.weeks + 1)
            near = ends[~far[ends].all(axis=1)]
            parts = np.unique(sold[near][~far[near]])
            worth = np.array([np.interp(parts, sold[path], value[path]) for path in near])
            out[near[best_somewhere(worth)]] = False
        return out

    def any_plan(self) -> bool:
        """Return whether some choice of paths keeps all limits."""
        self._prepare()
        for _ in range(_ROUNDS):
            _, prices, _, broken = self._solve()
            tolls = self.shared.tolls(prices)
            if broken <= 1e-9 or not self.add(np.arange(self.n), best_paths(self.problem, tolls).rungs):
                break
        columns = np.concatenate(self.item)
        every, none = np.arange(self.n), np.zeros(len(columns), np.bool_)
        return self._integer(columns, np.zeros(len(columns)), every, np.inf, none) is not None

    def _prepare(self) -> None:
        p = self.problem
        free = best_paths(p)
        usual = account(p, np.arange(self.n), free.rungs)
        self.money = max(float(np.abs(usual.value).mean()), 1e-9)
        self.scale = self._scales(usual)
        self.penalty = 1e4 * max(1.0, float(np.abs(usual.value).max()) / self.money)
        self._begin()
        self.add(np.arange(self.n), free.rungs)
        self._seed()

    def _upper(self, values: np.ndarray, prices: np.ndarray) -> float:
        s = self.shared
        yes = np.zeros(int(s.all_group.max()) + 1 if len(s.all_group) else 0)
        np.add.at(yes, s.all_group, s.split(prices)[3])
        return float(values.sum() + prices @ s.limits + np.maximum(yes, 0.0).sum())

    def _scales(self, usual) -> np.ndarray:
        s = self.shared
        scale = np.ones(s.n_rows)
        for b in range(len(s.budget_amounts)):
            cost = usual.written_off if s.on_hand_basis[b] else usual.given_away
            scale[b] = max(float(cost[s.budget_of[b]].sum(axis=1).mean()) if s.budget_of[b].any() else 1.0, 1e-6)
        first = len(s.budget_amounts)
        scale[first : first + len(s.pool_stock)] = np.maximum(s.pool_stock / 10.0, 1e-6)
        return scale

    def _seed(self) -> None:
        """Paths that a first programme wants: the cheapest in budget, some between, and each pattern of a group."""
        p, s = self.problem, self.shared
        nothing = {"unit_worth": np.zeros_like(p.unit_worth), "end_worth": np.zeros(self.n)}
        cheap = replace(p, **nothing, short_cost=np.zeros_like(p.short_cost), withheld=np.zeros(self.n, np.bool_))
        ones = s.no_prices()
        ones[: len(s.budget_amounts)] = 1.0
        rows = np.arange(self.n)
        if len(s.budget_amounts):
            self.add(rows, best_paths(cheap, s.tolls(ones)).rungs)
            for price in (0.1, 0.25, 0.5, 1.0):
                self.add(rows, best_paths(p, s.tolls(ones * price)).rungs)
        grouped = np.flatnonzero((s.one_of >= 0).any(axis=(0, 2)) | (s.all_of >= 0).any(axis=(0, 2)))
        if not len(grouped):
            return
        down = (p.regular_price[:, None] - p.price) > 1e-9
        below = (down * (np.uint64(1) << np.arange(p.n_rungs, dtype=np.uint64))).sum(axis=1, dtype=np.uint64)
        rising = bool((p.steps[grouped] & ~below[grouped][:, None]).any())
        for inside in markdown_patterns(self.weeks, rising):
            allowed = p.allowed & np.where(inside, below[:, None], ~below[:, None])
            for base in (p, cheap) if len(s.budget_amounts) else (p,):
                asked = replace(base, allowed=allowed).take(grouped)
                self.add(grouped, best_paths(asked, s.of(grouped).tolls(ones * (base is cheap))).rungs)

    # ---- whole paths ---------------------------------------------------------------------------------------------

    def _whole(self, gap: float, without: np.ndarray | None = None) -> tuple[_Chosen, float]:
        """Pick one path for each item: the programme's, and a mixed-integer programme over the items it splits.

        Returns the plan, and what no plan of these columns exceeds (infinite where items were held).
        """
        shares, prices, _, _ = self._solve()
        item, value = np.concatenate(self.item), np.concatenate(self.value)
        loose = self._loose(item, shares, value, prices)
        if without is None or len(loose) < self.n:
            without = np.zeros(len(item), np.bool_)
        while True:
            found = self._integer(item, shares, loose, gap, without)
            if found is not None:
                return self._plan(item, found[0]), found[1] if len(loose) == self.n else np.inf
            if len(loose) == self.n and not without.any():
                raise NoPlan("no plan keeps the rules that tie items together")
            loose, without = np.arange(self.n), np.zeros(len(item), np.bool_)

    def _loose(self, item: np.ndarray, shares: np.ndarray, value: np.ndarray, prices: np.ndarray) -> np.ndarray:
        if len(item) <= _ALL_COLUMNS or self.n <= _NEAR_COLUMNS // _LEAST_NEAR:
            return np.arange(self.n)
        split = np.zeros(self.n, np.bool_)
        split[item[(shares > 1e-9) & (shares < 1.0 - 1e-9)]] = True
        grouped = (self.shared.one_of >= 0).any(axis=(0, 2)) | (self.shared.all_of >= 0).any(axis=(0, 2))
        split |= grouped | (self.shared.pool >= 0)
        # besides them, the items whose second-best path is nearly as good
        matrix = self._matrix(len(item))
        net = value - matrix[self.n :].T @ (prices * self.scale)
        order = np.lexsort((-net, item))
        ranked, owner = net[order], item[order]
        starts = np.flatnonzero(np.r_[True, owner[1:] != owner[:-1]])
        margin = np.full(self.n, np.inf)
        more = starts[np.r_[np.diff(starts), len(owner) - starts[-1]] > 1]
        margin[owner[more]] = ranked[more] - ranked[more + 1]
        margin[split] = -1.0
        size = min(self.n, max(_LOOSE_ITEMS, 4 * int(split.sum())))
        return np.sort(np.argsort(margin, kind="stable")[:size])

    def _matrix(self, columns: int):
        from scipy import sparse

        assert self.programme is not None
        held = self.programme.getLp().a_matrix_
        shape = (self.n + self.shared.n_rows, self.first + columns)
        arrays = (np.asarray(held.value_), np.asarray(held.index_), np.asarray(held.start_))
        return sparse.csc_array(arrays, shape=shape)[:, self.first :]

    def _integer(
        self, item: np.ndarray, shares: np.ndarray, loose: np.ndarray, gap: float, without: np.ndarray
    ) -> tuple[np.ndarray, float] | None:
        """Return the columns' weights in whole paths, and a bound; who is not loose is held at the programme's."""
        import highspy

        lp = self.programme
        assert lp is not None
        s, columns = self.shared, len(item)
        mip = quiet_highs()
        mip.passModel(lp.getModel())
        n_breaks = s.n_rows + len(s.all_group)
        index = np.arange(lp.getNumCol(), dtype=np.int32)
        lower, upper = np.zeros(len(index)), np.full(len(index), highspy.kHighsInf)
        upper[:n_breaks] = 0.0
        upper[n_breaks : self.first] = 1.0
        is_loose = np.zeros(self.n, np.bool_)
        is_loose[loose] = True
        held = ~is_loose[item]
        lower[self.first :][held] = upper[self.first :][held] = np.round(shares[held])
        upper[self.first :][without] = 0.0
        mip.changeColsBounds(len(index), index, lower, upper)
        free = self.first + np.flatnonzero(~held & ~without & (s.pool[item] < 0))
        kind = [highspy.HighsVarType.kInteger] * len(free)
        if len(free):
            mip.changeColsIntegrality(len(free), free.astype(np.int32), np.array(kind))
        self._link_paths(mip, item, without)
        # a limit met to the last digit is met, whatever order its sum was taken in
        limits = s.limits / self.scale
        for k in range(len(s.budget_amounts) + len(s.pool_stock)):
            mip.changeRowBounds(self.n + k, -highspy.kHighsInf, limits[k] + 1e-9 * max(1.0, abs(limits[k])))
        for name, setting in (("mip_rel_gap", gap / 20.0), ("mip_abs_gap", 1e-12), ("mip_feasibility_tolerance", 1e-9)):
            mip.setOptionValue(name, setting)
        # nodes, not seconds: the same answer on a slow machine and a fast one
        mip.setOptionValue("mip_max_nodes", _NODES)
        mip.run()
        if mip.getInfo().primal_solution_status != 2:
            return None
        found = np.asarray(mip.getSolution().col_value)[self.first : self.first + columns]
        most = -mip.getInfo().mip_dual_bound * self.money
        return np.where(s.pool[item] < 0, np.round(found), np.maximum(found, 0.0)), most

    def _link_paths(self, mip, item: np.ndarray, without: np.ndarray) -> None:
        """Where stock is shared the weights of one path's ends may be split, but the path is one: a yes or no each.

        Weights between two ends are a part of the stock that is gone within a week.
        """
        import highspy

        pooled = np.flatnonzero((self.shared.pool[item] >= 0) & ~without)
        if not len(pooled):
            return
        rungs = np.concatenate(self.rungs)
        paths: dict[tuple[int, bytes], list[int]] = {}
        for c in pooled.tolist():
            paths.setdefault((int(item[c]), rungs[c].tobytes()), []).append(c)
        until = np.concatenate(self.until)
        apart = self._ends_must_be_neighbours()

        def choice() -> int:
            mip.addCol(0.0, 0.0, 1.0, 0, np.zeros(0, np.int32), np.zeros(0))
            mip.changeColIntegrality(mip.getNumCol() - 1, highspy.HighsVarType.kInteger)
            return mip.getNumCol() - 1

        for (i, _), members in paths.items():
            ends = sorted(members, key=lambda c: int(until[c]))
            several = apart[i] and len(ends) > 1
            choices = [choice() for _ in (ends[1:] if several else [0])]
            index = np.array([self.first + c for c in ends] + choices, dtype=np.int32)
            mip.addRow(0.0, 0.0, len(index), index, np.array([1.0] * len(ends) + [-1.0] * len(choices)))
            for k, c in enumerate(ends if several else []):
                beside = choices[max(k - 1, 0) : k + 1]
                index = np.array([self.first + c, *beside], dtype=np.int32)
                mip.addRow(-highspy.kHighsInf, 0.0, len(index), index, np.array([1.0] + [-1.0] * len(beside)))

    def _ends_must_be_neighbours(self) -> np.ndarray:
        """Rows whose weights may not mix ends far apart (n,): a budget of some weeks is not convex in them."""
        some_weeks = np.asarray((self.shared.budget_weeks < 1.0).any(axis=1))
        return (self.shared.pool >= 0) & (self.shared.budget_of & some_weeks[:, None]).any(axis=0)

    def _plan(self, item: np.ndarray, weight: np.ndarray) -> _Chosen:
        rungs, sold, value = np.concatenate(self.rungs), np.concatenate(self.sold), np.concatenate(self.value)
        taken = np.flatnonzero(weight > 1e-9)
        chosen = np.full((self.n, self.weeks), -1, np.int8)
        units = np.zeros((self.n, self.weeks))
        chosen[item[taken]] = rungs[taken]
        np.add.at(units, item[taken], weight[taken, None] * sold[taken])
        total = float(value[taken] @ weight[taken])
        if (self.shared.pool >= 0).any():
            units, total = self._sold_as_it_comes(chosen, units)
        return _Chosen(chosen, units, total)

    def _sold_as_it_comes(self, rungs: np.ndarray, units: np.ndarray) -> tuple[np.ndarray, float]:
        """Return units and worth where each row sells to whoever comes until its part of the stock is gone."""
        p, pool = self.problem, self.shared.pool
        part = np.where(pool >= 0, units.sum(axis=1), p.stock)
        part[(pool >= 0) & (part < 1e-6)] = 0.0
        for number, stock in enumerate(self.shared.pool_stock):
            rows = np.flatnonzero(pool == number)
            # a stock met to the last digit, and no hair beyond it
            over = part[rows].sum() - stock
            if over > 0.0:
                part[rows[part[rows].argmax()]] -= over
        told = account(replace(p, stock=part), np.arange(self.n), rungs)
        return told.sold, float(told.value.sum())


def quiet_highs():
    """Return a HiGHS that says nothing, on one thread, so that its answer is the same everywhere."""
    try:
        import highspy
    except ImportError as error:
        from ..sql.errors import MissingExtraError

        raise MissingExtraError("Rules that tie items together need HiGHS: pip install 'regulars[pricing]'.") from error
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("log_to_console", False)
    solver.setOptionValue("threads", 1)
    solver.setOptionValue("random_seed", 0)
    for name in ("primal_feasibility_tolerance", "dual_feasibility_tolerance"):
        solver.setOptionValue(name, 1e-9)
    return solver


def can_hold(assortment: Assortment, compiled: Compiled, rules: Sequence[r.Rule]) -> bool:
    """Return whether some plan keeps the rules that tie items together, each item's own rules included.

    Looks among each item's paths that take least of the budgets, for every pattern of weeks below the regular price
    that a group may ask for: nothing else matters to whether the limits can be kept. Where prices may rise in a plan of
    more than 6 weeks, groups are asked for one window of markdown each, and for what the programme's prices bring up.
    """
    shared = SharedLimits.read(assortment, compiled, rules)
    parts = shared.separate()
    return all(_Master(compiled.problem.take(rows), shared.take(rows, limits)).any_plan() for rows, limits in parts)
