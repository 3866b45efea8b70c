"""What items share, as rows of a linear programme: budgets, stock, and the weeks that a group is marked down in."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from . import rules as r
from .assortment import Assortment
from .path_search import Tolls
from .rule_limits import Compiled, groups, selected

_MOST_PARTS = 300
_WEEKS_OF_EVERY_PATTERN = 6


@dataclass(frozen=True)
class SharedLimits:
    """What items share, as rows of a linear programme: budgets, pools, then a row a group and week.

    ``budget_of`` (budgets, n) bool; ``one_of`` and ``all_of`` (rules, n, T) hold the number of the row that the item's
    week stands in, -1 for none; ``all_group`` (rows of all-or-nothing,) is the group and week whose yes or no each
    follows.
    """

    budget_of: np.ndarray
    budget_amounts: np.ndarray
    budget_weeks: np.ndarray
    on_hand_basis: np.ndarray
    pool: np.ndarray
    pool_stock: np.ndarray
    one_of: np.ndarray
    all_of: np.ndarray
    n_one: int
    all_group: np.ndarray

    @staticmethod
    def read(assortment: Assortment, compiled: Compiled, rules: Sequence[r.Rule]) -> "SharedLimits":
        n, weeks = len(assortment), assortment.n_weeks
        horizon = compiled.problem.horizon
        budgets = [(rule, selected(assortment, rule)) for rule in rules if isinstance(rule, r.Budget)]
        one_of, all_of, all_group = [], [], []
        n_one, n_all = 0, 0
        for rule in rules:
            if not isinstance(rule, r.AtMostOnePromoted | r.AllOrNothing):
                continue
            place = np.full((n, weeks), -1)
            for members in groups(assortment, rule, rule.by, selected(assortment, rule)):
                for t in range(weeks):
                    selling = members[horizon[members] > t]
                    if len(selling) < 2:
                        continue
                    if isinstance(rule, r.AtMostOnePromoted):
                        place[selling, t] = n_one
                        n_one += 1
                    else:
                        place[selling, t] = len(all_group) + np.arange(len(selling))
                        all_group += [n_all] * len(selling)
                        n_all += 1
            (one_of if isinstance(rule, r.AtMostOnePromoted) else all_of).append(place)
        shape = (0, n, weeks)
        return SharedLimits(
            np.array([rows for _, rows in budgets], dtype=np.bool_).reshape(-1, n),
            np.array([left_of(assortment, rule, rows) for rule, rows in budgets], dtype=np.float64),
            np.array([_weeks_of(rule, weeks) for rule, _ in budgets]).reshape(-1, weeks),
            np.array([rule.basis == "on_hand" for rule, _ in budgets], dtype=np.bool_),
            compiled.pool,
            compiled.pools[:, 0],
            np.array(one_of).reshape((-1, n, weeks)) if one_of else np.zeros(shape, np.int64),
            np.array(all_of).reshape((-1, n, weeks)) if all_of else np.zeros(shape, np.int64),
            n_one,
            np.array(all_group, dtype=np.int64),
        )

    @property
    def tied(self) -> np.ndarray:
        grouped = (self.one_of >= 0).any(axis=(0, 2)) | (self.all_of >= 0).any(axis=(0, 2))
        return self.budget_of.any(axis=0) | (self.pool >= 0) | grouped

    @property
    def n_rows(self) -> int:
        return len(self.budget_amounts) + len(self.pool_stock) + self.n_one + len(self.all_group)

    @property
    def limits(self) -> np.ndarray:
        """Right-hand sides; the rows of all-or-nothing, which come last, are equalities."""
        ones, zeros = np.ones(self.n_one), np.zeros(len(self.all_group))
        return np.concatenate([self.budget_amounts, self.pool_stock, ones, zeros])

    def no_prices(self) -> np.ndarray:
        return np.zeros(self.n_rows)

    def take(self, rows: np.ndarray, limits: np.ndarray) -> "SharedLimits":
        """Return what these items share: ``limits`` are the rows they stand in, and no other item does."""
        n_budgets, n_pools = len(self.budget_amounts), len(self.pool_stock)
        number = np.full(self.n_rows + 1, -1)
        number[limits] = np.arange(len(limits))
        kinds = np.searchsorted(np.cumsum([n_budgets, n_pools, self.n_one]), limits, side="right")
        budgets, pools = limits[kinds == 0], limits[kinds == 1] - n_budgets
        alls = limits[kinds == 3] - n_budgets - n_pools - self.n_one
        first = np.searchsorted(kinds, np.arange(4))

        def renumbered(place: np.ndarray, kind: int, offset: int) -> np.ndarray:
            return np.where(place >= 0, number[np.where(place >= 0, place + offset, -1)] - first[kind], -1)

        pool = renumbered(self.pool[rows], 1, n_budgets)
        _, group = np.unique(self.all_group[alls], return_inverse=True)
        return replace(
            self,
            budget_of=self.budget_of[budgets][:, rows],
            budget_amounts=self.budget_amounts[budgets],
            budget_weeks=self.budget_weeks[budgets],
            on_hand_basis=self.on_hand_basis[budgets],
            pool=pool,
            pool_stock=self.pool_stock[pools],
            one_of=renumbered(self.one_of[:, rows], 2, n_budgets + n_pools),
            all_of=renumbered(self.all_of[:, rows], 3, n_budgets + n_pools + self.n_one),
            n_one=int((kinds == 2).sum()),
            all_group=group.astype(np.int64),
        )

    def of(self, rows: np.ndarray) -> "SharedLimits":
        """Return what these items stand in, the limits as they are."""
        return replace(
            self,
            budget_of=self.budget_of[:, rows],
            pool=self.pool[rows],
            one_of=self.one_of[:, rows],
            all_of=self.all_of[:, rows],
        )

    def without(self, prices: np.ndarray, rules: Sequence[r.Rule], rule: r.Rule | None) -> np.ndarray:
        """Return prices (rows,) with those of one of the rules taken away; of all but shared stock for ``None``."""
        n_budgets, n_pools = len(self.budget_amounts), len(self.pool_stock)
        gone = np.ones(len(prices), np.bool_)
        gone[n_budgets : n_budgets + n_pools] = False
        if rule is not None:
            gone[:] = False
            same = [other for other in rules if type(other) is type(rule)]
            at = next(k for k, other in enumerate(same) if other is rule)
            if isinstance(rule, r.Budget):
                gone[at] = True
            else:
                one = isinstance(rule, r.AtMostOnePromoted)
                place = (self.one_of if one else self.all_of)[at]
                gone[n_budgets + n_pools + (0 if one else self.n_one) + place[place >= 0]] = True
        return np.where(gone, 0.0, prices)

    def separate(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return the items that are tied, in parts that share nothing with each other, each with its rows of limits.

        Small parts are put together, so that there are no more than a few hundred.
        """
        from scipy import sparse
        from scipy.sparse.csgraph import connected_components

        n, n_budgets, n_pools = len(self.pool), len(self.budget_amounts), len(self.pool_stock)
        limit, item = [*np.nonzero(self.budget_of)[:1]], [*np.nonzero(self.budget_of)[1:]]
        pooled = np.flatnonzero(self.pool >= 0)
        limit.append(n_budgets + self.pool[pooled])
        item.append(pooled)
        at = n_budgets + n_pools
        for places, offset in ((self.one_of, at), (self.all_of, at + self.n_one)):
            for place in places:
                i, t = np.nonzero(place >= 0)
                limit.append(place[i, t] + offset)
                item.append(i)
        # the rows of one yes or no belong together
        first = np.unique(self.all_group, return_index=True)[1]
        whole = at + self.n_one + np.arange(len(self.all_group))
        if len(whole):
            limit.append(whole)
            item.append(n + whole[first][self.all_group])
        rows, columns = np.concatenate(limit) + n, np.concatenate(item)
        nodes = n + self.n_rows
        graph = sparse.coo_array((np.ones(len(rows)), (rows, columns)), shape=(nodes, nodes))
        label = connected_components(graph, directed=False)[1]
        tied = np.flatnonzero(self.tied)
        names, sizes = np.unique(label[tied], return_counts=True)
        part = np.full(nodes, -1)
        part[names] = (np.cumsum(sizes) - sizes) // max(len(tied) // _MOST_PARTS, 1)
        found = []
        of_item, of_limit = part[label[tied]], part[label[n:]]
        for number in np.unique(of_item):
            found.append((tied[of_item == number], np.flatnonzero(of_limit == number)))
        return found

    def split(self, prices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        ends = np.cumsum([len(self.budget_amounts), len(self.pool_stock), self.n_one])
        budgets, pools, ones, alls = np.split(prices, ends)
        return budgets, pools, ones, alls

    def tolls(self, prices: np.ndarray, n: int | None = None) -> Tolls:
        """Return what each item pays for what it shares."""
        budgets, pools, ones, alls = self.split(prices)
        weeks = self.one_of.shape[2]
        n = self.pool.size if n is None else n
        sold = (budgets * ~self.on_hand_basis)[:, None]
        written = (budgets * self.on_hand_basis)[:, None]
        of = self.budget_of.astype(np.float64).T
        marked = np.zeros((n, weeks))
        for place in self.one_of:
            marked += np.where(place >= 0, np.append(ones, 0.0)[place], 0.0)
        for place in self.all_of:
            marked += np.where(place >= 0, np.append(alls, 0.0)[place], 0.0)
        stock = np.where(self.pool >= 0, np.append(pools, 0.0)[self.pool], 0.0)
        return Tolls(
            np.ascontiguousarray(of @ (sold * self.budget_weeks)) if len(budgets) else np.zeros((n, weeks)),
            np.ascontiguousarray(of @ (written * self.budget_weeks)) if len(budgets) else np.zeros((n, weeks)),
            marked,
            stock,
        )


def left_of(assortment: Assortment, rule: r.Budget, rows: np.ndarray) -> float:
    """Return what a budget leaves after the promotions already planned; may be below 0."""
    planned = rule.planned
    if isinstance(planned, str):
        if planned not in assortment.columns:
            raise r.RuleError(f"{rule}: items have no column {planned!r}; there is {list(assortment.columns)}.")
        planned = float(assortment.number(planned, 0.0)[rows].sum())
    return rule.amount - planned


def _weeks_of(rule: r.Budget, weeks: int) -> np.ndarray:
    first, last = rule.weeks or (0, weeks)
    return ((np.arange(weeks) >= first) & (np.arange(weeks) < last)).astype(np.float64)


def markdown_patterns(weeks: int, rising: bool) -> Iterator[np.ndarray]:
    """Yield sets of weeks below the regular price: every one there is, windows alone where those are too many."""
    if rising and weeks <= _WEEKS_OF_EVERY_PATTERN:
        for chosen in product((False, True), repeat=weeks):
            yield np.array(chosen)
        return
    week = np.arange(weeks)
    yield np.zeros(weeks, np.bool_)
    for first in range(weeks):
        for last in range(first + 1, weeks + 1) if rising else (weeks,):
            yield (week >= first) & (week < last)


def best_somewhere(worth: np.ndarray) -> np.ndarray:
    """Return which rows (m,) of ``worth`` (m, points), linear between points, no one row exceeds all along a piece."""
    if worth.shape[1] < 2:
        return worth[:, 0] >= worth[:, 0].max()
    kept = np.zeros(len(worth), np.bool_)
    for left, right in zip(worth.T[:-1], worth.T[1:], strict=True):
        order = np.lexsort((-right, -left))
        before = np.r_[-np.inf, np.maximum.accumulate(right[order])[:-1]]
        kept[order[right[order] > before]] = True
    return kept
