"""What items share, as rows of a linear programme: budgets, stock, and the weeks that a group is marked down in."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from . import rules as r
from .assortment import Assortment
from .path_search import Tolls
from .rule_limits import Compiled, groups, selected


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
            np.array([rows for _, rows in budgets]).reshape(-1, n),
            np.array([left_of(assortment, rule, rows) for rule, rows in budgets]),
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

    def take(self, rows: np.ndarray) -> "SharedLimits":
        return replace(
            self,
            budget_of=self.budget_of[:, rows],
            pool=self.pool[rows],
            one_of=self.one_of[:, rows],
            all_of=self.all_of[:, rows],
        )

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
