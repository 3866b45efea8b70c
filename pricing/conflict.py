"""Rules that cannot all hold: the smallest set of them that conflicts, by name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from . import rules as r
from .assortment import Assortment
from .coupling import can_hold
from .ladder import PlanError
from .path_search import best_paths
from .rule_limits import compile_rules, selected

_TRIED, _TRIED_TIED = 3_000, 400


@dataclass(frozen=True)
class Conflict:
    """Rules that cannot all hold for some items; leave any one out and the rest can.

    Attributes
    ----------
    rules : tuple of Rule
        No smaller set of the rules conflicts for any item or items (``smallest``), or at least no part of this one
        does. Whether prices may rise, how they end and which stock is shared is in force throughout.
    items : tuple
        Names of the items it shows on.
    others : int
        Further items that have no price path of their own under the rules.
    smallest : bool
        Whether every smaller set of rules was tried.
    reachable : float or None
        Where a sell-through target conflicts with nothing but what demand, stock and weeks allow, or with the other
        rules named: the share of its stock that the first item can sell at most.

    Examples
    --------
    >>> print(Conflict((r.MaxMarkdowns(0), r.SellThrough(0.9)), ("tee",)))
    these 2 rules cannot all hold for item 'tee': MaxMarkdowns(count=0); SellThrough(share=0.9). Loosen one of them.
    """

    rules: tuple[r.Rule, ...]
    items: tuple[Any, ...]
    others: int = 0
    smallest: bool = True
    reachable: float | None = None

    def __str__(self) -> str:
        shown = ", ".join(repr(item) for item in self.items[:3]) + (", ..." if len(self.items) > 3 else "")
        which = f"item {shown}" if len(self.items) == 1 else f"items {shown}"
        more = f" ({self.others} more items have no plan either)" if self.others else ""
        first = next(iter(self.items), "")
        most = "" if self.reachable is None else f" At most {self.reachable:.1%} of {first!r} can be sold so."
        if len(self.rules) == 1:
            return f"{self.rules[0]} cannot hold for {which}{more}; loosen it, or narrow it with where=.{most}"
        told = "; ".join(str(rule) for rule in self.rules)
        return f"these {len(self.rules)} rules cannot all hold for {which}{more}: {told}. Loosen one of them.{most}"


class RulesConflict(PlanError):
    """No plan keeps all rules; ``conflict`` is the smallest set that cannot hold together.

    Examples
    --------
    >>> RulesConflict(Conflict((r.SellThrough(0.9),), ("tee",))).conflict.rules
    (SellThrough(where={}, share=0.9, by_week=None, penalty=None),)
    """

    def __init__(self, conflict: Conflict) -> None:
        super().__init__(str(conflict))
        self.conflict = conflict


def find_conflict(assortment: Assortment, rules: Sequence[r.Rule]) -> Conflict | None:
    """Return the smallest set of rules that cannot all hold, or None where some plan keeps them all.

    Of all items' own rules first, then of those that tie items together: the smaller set is named.

    Examples
    --------
    >>> from regulars.pricing.assortment import read_assortment
    >>> from regulars.pricing.rules import MaxMarkdowns, MinimumStep, Objective, SellThrough
    >>> items = {"item": ["tee"], "regular_price": [10.0], "on_hand": [90], "weekly_units": [2], "elasticity": [-2.0]}
    >>> case = read_assortment(items, (0, 0.2, 0.5), 3, None, Objective())
    >>> print(find_conflict(case, [MaxMarkdowns(2), SellThrough(0.5), MinimumStep(0.1)]))
    SellThrough(share=0.5) cannot hold for item 'tee'; loosen it, or narrow it with where=.
    At most 26.7% of 'tee' can be sold so.
    """
    feasible = best_paths(compile_rules(assortment, rules).problem).feasible
    stuck = assortment.take(np.flatnonzero(~feasible))
    own = _of_one_item(stuck, rules) if len(stuck) else None
    if not any(isinstance(rule, r.COUPLING) for rule in rules):
        return own
    if own is not None and len(own.rules) == 1:
        return own
    tied = _of_several_items(assortment, rules, None if own is None else len(own.rules))
    return own if tied is None else tied


def _of_one_item(stuck: Assortment, rules: Sequence[r.Rule]) -> Conflict:
    """The smallest set that leaves one item without a path; ``stuck`` are the items without one under all rules.

    Sets are tried smallest first, each on all the items that all its rules are for.
    """
    single = [rule for rule in rules if not isinstance(rule, r.COUPLING)]
    settings = [rule for rule in single if isinstance(rule, r.SETTINGS)]
    of = {id(rule): selected(stuck, rule) for rule in single}
    kinds: dict[tuple[int, ...], int] = {}
    others = [rule for rule in single if not isinstance(rule, r.SETTINGS)]
    for i in range(len(stuck)):
        kinds.setdefault(tuple(k for k, rule in enumerate(others) if of[id(rule)][i]), i)
    tried: set[tuple[int, ...]] = set()
    for size in range(max(map(len, kinds)) + 1):
        for few in (few for kind in kinds for few in combinations(kind, size)):
            if few in tried:
                continue
            tried.add(few)
            if len(tried) > _TRIED:
                break
            named = [others[k] for k in few]
            rows = np.flatnonzero(np.all([of[id(rule)] for rule in named], axis=0) if named else np.ones(len(stuck)))
            some = stuck.take(rows)
            lost = rows[~best_paths(compile_rules(some, [*settings, *named]).problem).feasible]
            if len(lost):
                return _named(stuck.take(lost[:1]), settings, named, len(stuck) - 1, smallest=True)
        if len(tried) > _TRIED:
            break
    one = stuck.take(np.zeros(1, np.int64))
    mine = [rule for rule in others if of[id(rule)][0]]

    def has_a_path(kept: Sequence[r.Rule]) -> bool:
        return bool(best_paths(compile_rules(one, [*settings, *kept]).problem).feasible[0])

    return _named(one, settings, _without_the_needless(mine, has_a_path), len(stuck) - 1, smallest=False)


def _named(
    one: Assortment, settings: Sequence[r.Rule], named: Sequence[r.Rule], others: int, *, smallest: bool
) -> Conflict:
    """Add the price endings that the conflict would not be without, and what a sell-through target could be."""
    found = tuple(named)
    for ending in settings:
        if isinstance(ending, r.PriceEndings) and selected(one, ending)[0]:
            kept = [*(s for s in settings if s is not ending), *named]
            if best_paths(compile_rules(one, kept).problem).feasible[0]:
                found = (*found, ending)
    return Conflict(found, one.names, others, smallest, _reachable(one, [*settings, *named]))


def _reachable(one: Assortment, rules: Sequence[r.Rule]) -> float | None:
    """Most of the stock that can be sold by the week of the target, where a hard one is among the rules."""
    targets = [rule for rule in rules if isinstance(rule, r.SellThrough) and rule.penalty is None]
    stock = one.number("on_hand")[0]
    if len(targets) != 1 or stock <= 0.0:
        return None
    problem = compile_rules(one, [rule for rule in rules if rule is not targets[0]]).problem
    by = min(int(problem.horizon[0]), targets[0].by_week or problem.n_weeks)
    demand = problem.demand.copy()
    demand[:, by:] = 0.0
    ones = np.ones_like(problem.unit_worth)
    units = replace(problem, demand=demand, unit_worth=ones, end_worth=np.zeros(1), short_cost=0.0 * problem.short_cost)
    found = best_paths(units)
    return float(found.value[0] / stock) if found.feasible[0] else None


def _of_several_items(assortment: Assortment, rules: Sequence[r.Rule], fewer_than: int | None) -> Conflict | None:
    """The smallest set with a rule that ties items; None where there is none of fewer than so many rules.

    Sets whose rules are each item's own are not looked at: none of fewer rules conflicts.
    """
    settings = [rule for rule in rules if isinstance(rule, r.SETTINGS)]
    others = [rule for rule in rules if not isinstance(rule, r.SETTINGS)]

    def can_hold_all(few: Sequence[r.Rule]) -> bool:
        return _have_a_plan(assortment, [*settings, *few])

    if fewer_than is None:
        some, asked = _one_limit(assortment, rules)
        if _have_a_plan(some, asked):
            return None
        kept = _without_the_needless(
            [rule for rule in asked if not isinstance(rule, r.SETTINGS) and selected(some, rule).any()],
            lambda few: _have_a_plan(some, [*settings, *few]),
        )
        fewer_than = len(kept)
    else:
        kept = None
    tried = 0
    for size in range(fewer_than):
        for few in combinations(others, size):
            if not any(isinstance(rule, r.COUPLING) for rule in (*few, *settings)):
                continue
            tried += 1
            if tried > max(_TRIED_TIED * 200 // max(len(assortment), 200), 10):
                return None if kept is None else _named_tie(assortment, settings, kept, smallest=False)
            if not can_hold_all(few):
                return _named_tie(assortment, settings, few, smallest=True)
    return None if kept is None else _named_tie(assortment, settings, kept, smallest=True)


def _named_tie(
    assortment: Assortment, settings: Sequence[r.Rule], named: Sequence[r.Rule], *, smallest: bool
) -> Conflict:
    found = tuple(named)
    for ending in settings:
        if isinstance(ending, r.PriceEndings) and _have_a_plan(
            assortment, [*(s for s in settings if s is not ending), *named]
        ):
            found = (*found, ending)
    tied = np.zeros(len(assortment), np.bool_)
    for rule in found:
        if isinstance(rule, r.COUPLING):
            tied |= selected(assortment, rule)
    return Conflict(found, tuple(assortment.names[i] for i in np.flatnonzero(tied)), 0, smallest)


def _have_a_plan(assortment: Assortment, rules: Sequence[r.Rule]) -> bool:
    compiled = compile_rules(assortment, rules)
    return bool(best_paths(compiled.problem).feasible.all()) and can_hold(assortment, compiled, rules)


def _one_limit(assortment: Assortment, rules: Sequence[r.Rule]) -> tuple[Assortment, Sequence[r.Rule]]:
    """Return the items and rules of one limit that cannot be kept by itself; all of them where each can."""
    limits = [rule for rule in rules if isinstance(rule, r.COUPLING)]
    if len(limits) == 1 or any(isinstance(rule, r.SharedStock) for rule in limits):
        return assortment, rules
    own = [rule for rule in rules if not isinstance(rule, r.COUPLING)]
    for rule in limits:
        some = assortment.take(np.flatnonzero(selected(assortment, rule)))
        if len(some) and not _have_a_plan(some, [*own, rule]):
            return some, [*own, rule]
    return assortment, rules


def _without_the_needless(
    rules: Sequence[r.Rule], can_all_hold: Callable[[Sequence[r.Rule]], bool]
) -> tuple[r.Rule, ...]:
    """Leave out rule after rule that is not needed for the conflict."""
    kept = list(rules)
    for rule in rules:
        fewer = [other for other in kept if other is not rule]
        if not can_all_hold(fewer):
            kept = fewer
    return tuple(kept)
