"""Markdown plans: a price for each item and week that keeps the rules, with a bound on how much better any could be."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np

from ..sql.frames import frame_like
from . import rules as r
from .assortment import Assortment, read_assortment
from .audit import Audit, audit_prices
from .conflict import Conflict, RulesConflict, find_conflict
from .coupling import Coupled, NoPlan, solve_coupled
from .explanation import Explanation, Tied, explain_item
from .ladder import PlanError
from .path_account import account
from .path_search import best_paths, no_tolls
from .rule_limits import Compiled, check_rules, compile_rules, selected
from .shared_limits import left_of

# items x weeks that are planned anew for every neighbouring price of an explanation
_REPLANNED = 60


@dataclass(frozen=True, eq=False)
class MarkdownPlan:
    """A price for each item and week.

    Attributes
    ----------
    prices : frame
        A row an item and week on sale, in the items' order, of the items' kind of frame: ``item, week, price, discount,
        units`` (expected), ``on_hand`` (at the week's start; of the row's own part where stock is shared), ``revenue``,
        ``changed`` (from the week before).
    objective : float
        Worth of the plan: revenue or margin, with salvage and soft targets as asked.
    bound : float
        No plan that keeps the rules is worth more.
    gap : float
        ``(bound - objective) / max(1, |bound|)``; 0 where no rule ties items together.
    budget_worth : dict
        For each `Budget`, its shared price: the worth of a unit of money at the margin (its Lagrange multiplier). One
        unit more may bring nothing until it is enough for another rung.
    allocation : dict
        For each row that draws on a `SharedStock`, the units that are its own part; empty where no stock is shared.
    findings : tuple of str
        What should be known of the plan, such as a gap that was asked for and not reached.
    audit : Audit
        What the independent check found: no violation, or the plan would not have been returned.

    Examples
    --------
    >>> items = {"item": ["tee"], "regular_price": [10.0], "on_hand": [30], "weekly_units": [2], "elasticity": [-2.0]}
    >>> plan = plan_markdowns(items, ladder=(0, 0.2, 0.5), weeks=3)
    >>> plan.prices["discount"].tolist(), plan.override({("tee", 0): 0.0}).prices["discount"].tolist()
    ([0.5, 0.5, 0.5], [0.0, 0.5, 0.5])
    """

    prices: Any = field(repr=False)
    objective: float
    bound: float
    gap: float
    budget_worth: Mapping[r.Rule, float] = field(repr=False)
    allocation: Mapping[Any, float] = field(repr=False)
    findings: tuple[str, ...] = field(repr=False)
    audit: Audit = field(repr=False)
    _given: Any = field(repr=False)
    _case: Assortment = field(repr=False)
    _rules: tuple[r.Rule, ...] = field(repr=False)
    _compiled: Compiled = field(repr=False)
    _rungs: np.ndarray = field(repr=False)
    _sold: np.ndarray = field(repr=False)
    _coupled: Coupled | None = field(repr=False)
    _gap: float = field(repr=False)

    def explain(self, item: Any) -> Explanation:
        """Say why an item's prices are what they are.

        For each week: one rung up and one rung down, each with what it would cost after the rest of the season is
        planned anew (the item's earlier weeks as they are), or the rule that forbids it. For the item: the worth of one
        more unit of stock, and each rule with what the item would earn more without it. The items that share budgets,
        groups or stock with it are planned anew too where they are few (items x weeks up to 60); where they are many,
        figures are at the shared prices and name the rules: see `Neighbour`.

        Raises
        ------
        PlanError
            Where the plan has no such item.
        """
        row = self._row(item)
        one = self._case.take(np.array([row]))
        return explain_item(one, self._rules, self._rungs[row], self._sold[row], self._tied(row), self.budget_worth)

    def _tied(self, row: int) -> Tied:
        """What ties an item to others, for its explanation."""
        found = self._coupled
        if found is None or not found.shared.tied[row]:
            return Tied(no_tolls(self._compiled.problem.take(np.array([row]))))
        of, prices = found.shared.of(np.array([row])), found.prices
        ties = [rule for rule in self._rules if isinstance(rule, r.COUPLING) and not isinstance(rule, r.SharedStock)]
        ties = [rule for rule in ties if selected(self._case, rule)[row]]
        without = {rule: of.tolls(of.without(prices, self._rules, rule)) for rule in [*ties, *([None] if ties else [])]}
        left: dict[r.Rule, float] = {
            rule: left_of(self._case, rule, selected(self._case, rule)) for rule in ties if isinstance(rule, r.Budget)
        }
        pool = int(self._compiled.pool[row])
        rows = next(rows for rows, _ in found.parts if row in rows)
        small = len(rows) * self._case.n_weeks <= _REPLANNED
        return Tied(
            of.tolls(prices),
            without,
            left,
            None if pool < 0 else (float(self._compiled.pools[pool, 0]), float(found.pool_prices[pool])),
            self._replanned(row, rows) if small else None,
        )

    def _replanned(self, row: int, rows: np.ndarray) -> "Callable[[Mapping[int, float]], float | tuple[str, ...]]":
        """Return what the plan gains by depths of an item, the items that it shares rules with planned anew."""
        few = self._case.take(rows)
        rules = [rule for rule in self._rules if selected(few, rule).any()]
        name = self._case.names[row]
        before = solve_coupled(few, compile_rules(few, rules), rules, gap=self._gap).value

        def gain(depths: Mapping[int, float]) -> float | tuple[str, ...]:
            fixed = [r.FixedPrice(name, week, depth) for week, depth in depths.items()]
            asked = [x for x in rules if not (isinstance(x, r.FixedPrice) and x.item == name and x.week in depths)]
            asked += fixed
            compiled = compile_rules(few, asked)
            try:
                return solve_coupled(few, compiled, asked, gap=self._gap).value - before
            except NoPlan:
                found = find_conflict(few, asked)
                named = () if found is None else tuple(str(x) for x in found.rules if x not in fixed)
                ties = tuple(str(x) for x in rules if isinstance(x, r.COUPLING))
                return named or ties

        return gain

    def override(self, prices: Mapping[tuple[Any, int], float]) -> "MarkdownPlan":
        """Set prices by hand and plan the rest anew.

        Parameters
        ----------
        prices : mapping
            ``(item, week)`` to the depth off the regular price; week 0 is the first.

        Raises
        ------
        PlanError, RuleError
            Where an item, week or depth is none of the plan's.
        RulesConflict
            Where an override cannot hold with the rules; the text names them.
        """
        fixed = self._fixed(prices)
        replaced = {(rule.item, rule.week) for rule in fixed}
        kept = [x for x in self._rules if not (isinstance(x, r.FixedPrice) and (x.item, x.week) in replaced)]
        if any(isinstance(rule, r.COUPLING) for rule in self._rules):
            return _plan(self._given, self._case, (*kept, *fixed), None, self._gap)
        rows = np.array(sorted({self._row(rule.item) for rule in fixed}), dtype=np.int64)
        return _plan(self._given, self._case, (*kept, *fixed), (self._rungs, rows), self._gap)

    def _fixed(self, prices: Any) -> list[r.FixedPrice]:
        if not isinstance(prices, Mapping) or not prices:
            raise PlanError(f"prices is {prices!r:.60}; map (item, week) to a depth, e.g. {{('tee', 0): 0.2}}.")
        fixed = []
        for key, depth in prices.items():
            if not isinstance(key, tuple) or len(key) != 2:
                raise PlanError(f"prices name {key!r}; each key is (item, week), week 0 the first, e.g. ('tee', 0).")
            self._row(key[0])
            if isinstance(key[1], np.integer):
                key = (key[0], int(key[1]))
            fixed.append(r.FixedPrice(key[0], key[1], depth))
        return fixed

    def rungs(self, item: Any) -> list[tuple[float, float]]:
        """Return the prices that an item may be set to, dearest first, each with its depth off the regular price.

        Raises
        ------
        PlanError
            Where the plan has no such item.
        """
        row, ladder = self._row(item), self._compiled.ladder
        there = np.flatnonzero(ladder.exists[row] & (ladder.given[row] >= 0))
        return [(float(ladder.price[row, k]), float(ladder.depth[row, k])) for k in there]

    def check(self) -> Audit:
        """Check the plan anew, by code that shares nothing with the search."""
        return _audit(self._case, self._rules, self._compiled, self._rungs, self._sold)

    def audit_of(self, items: Sequence[Any]) -> Audit:
        """Count the worth of some of the items alone, as the plan has them.

        Raises
        ------
        PlanError
            Where the plan has no such item.

        Examples
        --------
        >>> items = {"item": ["a", "b"], "regular_price": [10.0, 9.0], "on_hand": [30, 8], "elasticity": [-2.0, -1.5],
        ...          "weekly_units": [2, 3]}
        >>> plan = plan_markdowns(items, ladder=(0, 0.2, 0.5), weeks=3)
        >>> abs(plan.audit_of(["a"]).objective + plan.audit_of(["b"]).objective - plan.objective) < 1e-9
        True
        """
        rows = np.array(sorted({self._row(item) for item in items}), dtype=np.int64)
        few = self._case.take(rows)
        rules = [rule for rule in self._rules if selected(few, rule).any()]
        return audit_prices(few, rules, _prices(self._compiled, self._rungs)[rows], self._sold[rows])

    def left(self, item: Any) -> float:
        """Return the units left of an item's stock at the end, or of its part where stock is shared.

        Raises
        ------
        PlanError
            Where the plan has no such item.
        """
        row = self._row(item)
        if self._compiled.pool[row] >= 0:
            return 0.0
        return max(float(self._case.number("on_hand")[row] - self._sold[row].sum()), 0.0)

    def _row(self, item: Any) -> int:
        try:
            known = item in self._case.names
        except (TypeError, ValueError):
            known = False
        if not known:
            raise PlanError(
                f"the plan has no item {item!r}; its items are {', '.join(map(repr, self._case.names[:5]))}.."
            )
        return self._case.names.index(item)


def plan_markdowns(
    items: Any,
    *,
    ladder: "Sequence[float] | np.ndarray",
    weeks: "int | Sequence[date]",
    rules: Sequence[r.Rule] = (),
    expected_units: np.ndarray | None = None,
    objective: r.Objective | None = None,
    gap: float = 1e-4,
) -> MarkdownPlan:
    """Plan the price of each item and week.

    Each item's best path of prices is found exactly; rules that tie items together are met with a certified gap, given
    as ``plan.gap``. The plan is checked by independent code before it is returned.

    Parameters
    ----------
    items : pandas, Polars or Arrow frame, or mapping of columns
        A row an item (or item and store): ``item`` (its name), ``regular_price``, ``on_hand``; ``elasticity`` and
        ``weekly_units`` (units a week at the regular price) where `expected_units` does not say more; optionally
        ``unit_cost``, ``salvage_value``, ``current_discount``, ``weeks_since_change``, ``age_weeks``, and the columns
        that rules name.
    ladder : sequence of float, or ndarray of shape (items, R)
        Depths off the regular price that a price may have, shallow to deep.
    weeks : int or sequence of date
        How many, or the first day of each.
    rules : sequence of Rule
        See `pricing.rules`; without any, prices only fall.
    expected_units : ndarray of shape (items, weeks) or (items, weeks, R), optional
        Expected demand at the regular price, or at each rung of the ladder.
    objective : Objective, optional
        Revenue with salvage unless said otherwise.
    gap : float
        Gap to the bound that is good enough where rules tie items together; without such rules it is 0.

    Raises
    ------
    PlanError
        Where items, ladder or weeks cannot be planned with.
    RuleError
        Where a rule names what is not there.
    RulesConflict
        Where the rules cannot all hold: names the smallest set that conflicts.

    Examples
    --------
    >>> import pandas as pd
    >>> items = pd.DataFrame({"item": ["tee"], "regular_price": [20.0], "on_hand": [60], "weekly_units": [6.0],
    ...                       "elasticity": [-2.5]})
    >>> plan = plan_markdowns(items, ladder=(0, 0.2, 0.3, 0.5), weeks=4, rules=[r.MaxMarkdowns(1)])
    >>> plan.prices["price"].tolist(), round(plan.objective, 2), plan.gap
    ([14.0, 14.0, 14.0, 14.0], 819.59, 0.0)
    """
    case = read_assortment(items, ladder, weeks, expected_units, r.Objective() if objective is None else objective)
    if isinstance(gap, bool | str) or not isinstance(gap, int | float | np.number) or not 0.0 <= gap < 1.0:
        raise PlanError(f"gap is {gap!r}; it is a share of the plan's worth from 0, such as 0.0001.")
    return _plan(items, case, _checked(case, rules), None, float(gap))


def find_rule_conflict(
    items: Any,
    *,
    ladder: "Sequence[float] | np.ndarray",
    weeks: "int | Sequence[date]",
    rules: Sequence[r.Rule],
    expected_units: np.ndarray | None = None,
    objective: r.Objective | None = None,
) -> Conflict | None:
    """Return the smallest set of rules that cannot all hold, None where a plan keeps them all.

    Parameters are those of `plan_markdowns`.

    Examples
    --------
    >>> items = {"item": ["tee"], "regular_price": [10.0], "on_hand": [90], "weekly_units": [2], "elasticity": [-2.0]}
    >>> found = find_rule_conflict(items, ladder=(0, 0.5), weeks=3, rules=[r.SellThrough(0.2), r.MaxMarkdowns(0)])
    >>> [str(rule) for rule in found.rules]
    ['SellThrough(share=0.2)', 'MaxMarkdowns(count=0)']
    """
    case = read_assortment(items, ladder, weeks, expected_units, r.Objective() if objective is None else objective)
    return find_conflict(case, _checked(case, rules))


def _checked(case: Assortment, rules: Any) -> tuple[r.Rule, ...]:
    if not isinstance(rules, Sequence) or isinstance(rules, str):
        raise r.RuleError(f"rules is {rules!r:.80}; give a list of the objects of regulars.pricing.rules, [] for none.")
    for rule in rules:
        if not isinstance(rule, r.Rule):
            raise r.RuleError(f"rules hold {rule!r}; each is one of the objects of regulars.pricing.rules.")
    check_rules(case, rules)
    return tuple(rules)


def _plan(
    given: Any,
    case: Assortment,
    rules: tuple[r.Rule, ...],
    only: tuple[np.ndarray, np.ndarray] | None,
    gap: float,
) -> MarkdownPlan:
    """Plan all items; where ``only`` gives rungs and rows, the other rows keep these rungs."""
    compiled = compile_rules(case, rules)
    problem = compiled.problem
    rows = np.arange(len(case)) if only is None else only[1]
    coupled: Coupled | None = None
    budget_worth: dict[r.Rule, float] = {}
    budgets = [rule for rule in rules if isinstance(rule, r.Budget)]
    if any(isinstance(rule, r.COUPLING) for rule in rules):
        if not best_paths(problem).feasible.all():
            raise _conflict(case, rules)
        try:
            coupled = solve_coupled(case, compiled, rules, gap=gap)
        except NoPlan:
            raise _conflict(case, rules) from None
        rungs, sold, bound = coupled.rungs, coupled.sold, coupled.bound
        budget_worth = dict(zip(budgets, coupled.budget_prices, strict=True))
    else:
        paths = best_paths(problem.take(rows))
        if not paths.feasible.all():
            raise _conflict(case, rules)
        rungs = paths.rungs.copy() if only is None else only[0].copy()
        rungs[rows] = paths.rungs
        followed = account(problem, np.arange(len(case)), rungs)
        sold = followed.sold
        proven = np.zeros(len(case))
        proven[rows] = paths.bound - paths.value
        bound = float(followed.value.sum() + proven.sum())
    audit = _audit(case, rules, compiled, rungs, sold)
    if audit.violations:
        raise PlanError(
            f"the plan breaks a rule, which is a mistake of the planner and not of yours: {audit.violations[0]} "
            f"({len(audit.violations)} in all). Please report it."
        )
    bound = max(bound, audit.objective)
    return MarkdownPlan(
        prices=_frame(given, case, compiled, rungs, sold),
        objective=audit.objective,
        bound=bound,
        gap=_relative(audit.objective, bound),
        budget_worth=budget_worth,
        allocation={case.names[i]: float(sold[i].sum()) for i in np.flatnonzero(compiled.pool >= 0)},
        findings=_findings(_relative(audit.objective, bound), gap),
        audit=audit,
        _given=given,
        _case=case,
        _rules=rules,
        _compiled=compiled,
        _rungs=rungs,
        _sold=sold,
        _coupled=coupled,
        _gap=gap,
    )


def _relative(value: float, bound: float) -> float:
    gap = (bound - value) / max(1.0, abs(bound))
    # the two are sums of the same numbers in another order
    return gap if gap > 1e-12 else 0.0


def _findings(reached: float, asked: float) -> tuple[str, ...]:
    if reached <= asked:
        return ()
    return (
        f"the plan is proven to within {reached:.3%} of the best; a gap of {asked:.3%} was asked for and not reached.",
    )


def _conflict(case: Assortment, rules: tuple[r.Rule, ...]) -> PlanError:
    found = find_conflict(case, rules)
    if found is None:
        return PlanError(
            "no plan was found under the rules that tie items together, and no set of them is proven to conflict; "
            "loosen a budget or narrow a group."
        )
    return RulesConflict(found)


def _prices(compiled: Compiled, rungs: np.ndarray) -> np.ndarray:
    price = np.take_along_axis(compiled.ladder.price, np.maximum(rungs, 0).astype(np.int64), axis=1)
    return np.where(rungs >= 0, price, np.nan)


def _audit(case: Assortment, rules: Sequence[r.Rule], compiled: Compiled, rungs: np.ndarray, sold: np.ndarray) -> Audit:
    return audit_prices(case, rules, _prices(compiled, rungs), sold)


def _frame(given: Any, case: Assortment, compiled: Compiled, rungs: np.ndarray, sold: np.ndarray) -> Any:
    import pyarrow as pa

    price = _prices(compiled, rungs)
    at = np.argwhere(rungs >= 0)
    i, t = at[:, 0], at[:, 1]
    stock = np.where(compiled.pool >= 0, sold.sum(axis=1), case.number("on_hand"))
    on_hand = stock[:, None] - np.concatenate([np.zeros((len(case), 1)), sold.cumsum(axis=1)[:, :-1]], axis=1)
    regular = case.number("regular_price")
    before = np.concatenate([compiled.ladder.start[:, None], rungs[:, :-1]], axis=1)
    names = pa.array(list(case.names))
    table = pa.table(
        {
            "item": names.take(pa.array(i)),
            "week": pa.array([case.dates[k] for k in t.tolist()], pa.date32()) if case.dates else pa.array(t),
            "price": pa.array(np.round(price[i, t], 10)),
            "discount": pa.array(np.round(1.0 - price[i, t] / regular[i], 10)),
            "units": pa.array(sold[i, t]),
            "on_hand": pa.array(np.maximum(on_hand[i, t], 0.0)),
            "revenue": pa.array(price[i, t] * sold[i, t]),
            "changed": pa.array(rungs[i, t] != before[i, t]),
        }
    )
    return frame_like(given, table)
