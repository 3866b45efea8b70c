"""Rules that cannot all hold: the smallest set of them that conflicts, by name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from . import rules as r
from .assortment import Assortment
from .coupling import can_hold
from .ladder import PlanError
from .path_search import best_paths
from .rule_limits import compile_rules, selected

_TRIED = 3_000


@dataclass(frozen=True)
class Conflict:
    """Rules that cannot all hold for some items; leave any one out and the rest can.

    Attributes
    ----------
    rules : tuple of Rule
        No smaller set of the rules conflicts for these items (``smallest``), or at least no part of this one does.
        Whether prices may rise, how they end and which stock is shared is in force throughout.
    items : tuple
        Names of the items it shows on.
    others : int
        Further items that have no price path of their own under the rules.
    smallest : bool
        Whether every smaller set of rules was tried.

    Examples
    --------
    >>> print(Conflict((r.MaxMarkdowns(0), r.SellThrough(0.9)), ("tee",)))
    these 2 rules cannot all hold for item 'tee': MaxMarkdowns(count=0); SellThrough(share=0.9). Loosen one of them.
    """

    rules: tuple[r.Rule, ...]
    items: tuple[Any, ...]
    others: int = 0
    smallest: bool = True

    def __str__(self) -> str:
        shown = ", ".join(repr(item) for item in self.items[:3]) + (", ..." if len(self.items) > 3 else "")
        which = f"item {shown}" if len(self.items) == 1 else f"items {shown}"
        more = f" ({self.others} more items have no plan either)" if self.others else ""
        if len(self.rules) == 1:
            return f"{self.rules[0]} cannot hold for {which}{more}; loosen it, or narrow it with where=."
        told = "; ".join(str(rule) for rule in self.rules)
        return f"these {len(self.rules)} rules cannot all hold for {which}{more}: {told}. Loosen one of them."


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

    An item that has no path of its own under its rules is looked at first; then the rules that tie items together.

    Examples
    --------
    >>> from regulars.pricing.assortment import read_assortment
    >>> from regulars.pricing.rules import MaxMarkdowns, MinimumStep, Objective, SellThrough
    >>> items = {"item": ["tee"], "regular_price": [10.0], "on_hand": [90], "weekly_units": [2], "elasticity": [-2.0]}
    >>> case = read_assortment(items, (0, 0.2, 0.5), 3, None, Objective())
    >>> print(find_conflict(case, [MaxMarkdowns(2), SellThrough(0.5), MinimumStep(0.1)]))
    SellThrough(share=0.5) cannot hold for item 'tee'; loosen it, or narrow it with where=.
    """
    feasible = best_paths(compile_rules(assortment, rules).problem).feasible
    stuck = np.flatnonzero(~feasible)
    if len(stuck):
        one = assortment.take(stuck[:1])
        own = [rule for rule in rules if not isinstance(rule, r.COUPLING) and selected(one, rule)[0]]

        def item_has_a_path(kept: Sequence[r.Rule]) -> bool:
            return bool(best_paths(compile_rules(one, kept).problem).feasible[0])

        found, smallest = _smallest(own, item_has_a_path)
        return Conflict(found, one.names, len(stuck) - 1, smallest)
    if not any(isinstance(rule, r.COUPLING) for rule in rules):
        return None

    some, asked = _one_limit(assortment, rules)
    candidates = [rule for rule in asked if selected(some, rule).any()]
    if _have_a_plan(some, candidates):
        return None
    found, smallest = _smallest(candidates, lambda kept: _have_a_plan(some, kept))
    tied = np.zeros(len(some), np.bool_)
    for rule in found:
        if isinstance(rule, r.COUPLING):
            tied |= selected(some, rule)
    return Conflict(found, tuple(some.names[i] for i in np.flatnonzero(tied)), 0, smallest)


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


def _smallest(
    rules: Sequence[r.Rule], can_all_hold: Callable[[Sequence[r.Rule]], bool]
) -> tuple[tuple[r.Rule, ...], bool]:
    """Leave out rule after rule that is not needed for the conflict, then try every smaller set.

    Rules that say which prices there are stay in force throughout: leaving one out may take prices away. Price endings
    are named where the rest could hold without them.
    """
    settings = [rule for rule in rules if isinstance(rule, r.SETTINGS)]
    others = [rule for rule in rules if not isinstance(rule, r.SETTINGS)]
    kept, smallest = _without_the_needless(others, lambda few: can_all_hold([*settings, *few]))
    for ending in settings:
        if isinstance(ending, r.PriceEndings) and can_all_hold([*(s for s in settings if s is not ending), *kept]):
            kept = (*kept, ending)
    return kept, smallest


def _without_the_needless(
    rules: Sequence[r.Rule], can_all_hold: Callable[[Sequence[r.Rule]], bool]
) -> tuple[tuple[r.Rule, ...], bool]:
    kept = list(rules)
    for rule in rules:
        fewer = [other for other in kept if other is not rule]
        if not can_all_hold(fewer):
            kept = fewer
    tried = 0
    for size in range(1, len(kept)):
        for few in combinations(rules, size):
            tried += 1
            if tried > _TRIED:
                return tuple(kept), False
            if not can_all_hold(few):
                return few, True
    return tuple(kept), True
