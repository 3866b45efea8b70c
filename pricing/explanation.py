"""Why prices are what they are: what another rung would cost, what forbids it, what one more unit is worth."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from . import rules as r
from .assortment import Assortment
from .path_search import PathProblem, Tolls, best_paths
from .rule_limits import Compiled, compile_rules, selected

_PRICES_ONLY_FALL = "prices only fall"


@dataclass(frozen=True)
class Neighbour:
    """The next price up or down in one week.

    ``worth`` is what the plan gains by it once the item's later weeks, and the items that it shares rules with, are
    planned anew: 0 or less, but for a plan's gap. It is NaN where the price is forbidden; ``forbidden_by`` then names
    what stands in the way. Where many items share rules, ``at_shared_prices`` names those whose prices (Lagrange
    multipliers) stand in for planning the other items anew; `MarkdownPlan.override` tells what a price really does.

    Examples
    --------
    >>> print(Neighbour(14.0, -3.2), "|", Neighbour(10.0, float("nan"), ("MaximumStep(share=0.3)",)))
    14.00 is worth -3.20 | 10.00 is forbidden by MaximumStep(share=0.3)
    >>> print(Neighbour(14.0, -3.2, at_shared_prices=("Budget(amount=100)",)))
    14.00 is worth -3.20 at the shared price of Budget(amount=100)
    """

    price: float
    worth: float
    forbidden_by: tuple[str, ...] = ()
    at_shared_prices: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.forbidden_by:
            return f"{self.price:.2f} is forbidden by {' with '.join(self.forbidden_by)}"
        shared = f" at the shared price of {', '.join(self.at_shared_prices)}" if self.at_shared_prices else ""
        return f"{self.price:.2f} is worth {self.worth:+.2f}{shared}"


@dataclass(frozen=True)
class WeekExplained:
    """One week: its price, and the next price up and down, None at the ladder's ends.

    Examples
    --------
    >>> WeekExplained(0, 16.0, units=8.0, on_hand=30.0, up=None, down=Neighbour(14.0, -3.2)).down.worth
    -3.2
    """

    week: int
    price: float
    units: float
    on_hand: float
    up: Neighbour | None
    down: Neighbour | None


@dataclass(frozen=True)
class Explanation:
    """Why an item's prices are what they are.

    Attributes
    ----------
    item : object
    weeks : tuple of WeekExplained
    unit_worth : float
        What one more unit of stock at the start brings once the item is planned anew, sell-through targets growing with
        the stock: it may be below 0, and is NaN where a target cannot be met with it. Where stock is shared, the shared
        price of a unit.
    rule_costs : dict
        Rule to what the item would earn more without it; rules that cost nothing are left out. For a rule that ties
        items together: were this item free of it, the others as they are and further such rules at their shared prices.
    budget_worth : dict
        Each budget that the item draws on, and the shared price of its money: the worth of a unit at the margin. A
        whole unit more may bring nothing until it is enough for another rung.
    allocated : float or None
        The item's own part of a shared stock; None where its stock is its own.

    Examples
    --------
    >>> from regulars.pricing.markdown import plan_markdowns
    >>> items = {"item": ["tee"], "regular_price": [10.0], "on_hand": [30], "weekly_units": [2], "elasticity": [-2.0]}
    >>> told = plan_markdowns(items, ladder=(0, 0.2, 0.5), weeks=3, rules=[r.MaximumStep(0.3)]).explain("tee")
    >>> told.binding_rule, told.unit_worth
    ('MaximumStep(share=0.3)', 0.0)
    >>> str(told.weeks[0].down)
    '5.00 is forbidden by MaximumStep(share=0.3)'
    """

    item: object
    weeks: tuple[WeekExplained, ...]
    unit_worth: float
    rule_costs: Mapping[str, float]
    budget_worth: Mapping[str, float]
    allocated: float | None = None

    @property
    def binding_rule(self) -> str:
        """The rule that costs the item most; "" where none costs anything."""
        return max(self.rule_costs, key=lambda name: self.rule_costs[name], default="")

    def __str__(self) -> str:
        lines = [f"{self.item}: one more unit is worth {self.unit_worth:.2f}."]
        lines += [f"Without {name} it would earn {cost:.2f} more." for name, cost in self.rule_costs.items()]
        if self.allocated is not None:
            lines.append(f"Its part of the shared stock is {self.allocated:.6g} units; it sells until they are gone.")
        lines += [
            f"A unit of money in {name} is worth {worth:.2f} at the margin."
            for name, worth in self.budget_worth.items()
        ]
        for week in self.weeks:
            told = [f"up {week.up}" if week.up else "", f"down {week.down}" if week.down else ""]
            lines.append(f"Week {week.week + 1} at {week.price:.2f}: {'; '.join(x for x in told if x)}.")
        return "\n".join(lines)


@dataclass(frozen=True)
class Tied:
    """What ties an item to others: see `explain_item`.

    Attributes
    ----------
    tolls : Tolls
        The shared prices of all that the item shares.
    without : dict
        Each rule that ties the item, stock aside, to the shared prices of the rest; and, under ``None``, to those of
        shared stock alone.
    left : dict
        What each `Budget` that the item draws on has left after planned promotions.
    pool : tuple of two floats, optional
        Its shared stock, and the shared price of a unit.
    replanned : callable, optional
        From depths by week to what the plan gains by setting them, the items that share rules planned anew; or the
        rules that forbid it. None where these items are too many to plan anew for every neighbour.

    Examples
    --------
    >>> from regulars.pricing.path_search import Tolls
    >>> Tied(Tolls(np.zeros((1, 3)), np.zeros((1, 3)), np.zeros((1, 3)), np.zeros(1))).without
    {}
    """

    tolls: Tolls = field(repr=False)
    without: Mapping[r.Rule | None, Tolls] = field(default_factory=dict, repr=False)
    left: Mapping[r.Rule, float] = field(default_factory=dict, repr=False)
    pool: tuple[float, float] | None = None
    replanned: Callable[[Mapping[int, float]], float | tuple[str, ...]] | None = field(default=None, repr=False)


def explain_item(
    one: Assortment,
    rules: Sequence[r.Rule],
    rungs: np.ndarray,
    sold: np.ndarray,
    tied: Tied,
    budget_worth: Mapping[r.Rule, float],
) -> Explanation:
    """Explain the path of an assortment of one item, ``rungs`` and ``sold`` (T,), beside what ties it to others."""
    own = [rule for rule in rules if not isinstance(rule, r.Budget | r.AllOrNothing | r.AtMostOnePromoted)]
    own = [rule for rule in own if selected(one, rule)[0]]
    pool, tolls = tied.pool, tied.tolls
    compiled = _compile(one, own, pool)
    problem = compiled.problem
    best = best_paths(problem, tolls).value[0]
    costs: dict[str, float] = {}
    for rule in own:
        if isinstance(rule, r.PricesMayRise | r.SharedStock):
            continue
        without = _compile(one, [other for other in own if other is not rule], pool)
        gain = float(best_paths(without.problem, tolls).value[0] - best)
        if gain > 1e-6 * max(1.0, abs(best)):
            costs[str(rule)] = gain
    costs |= _costs_of_ties(problem, rungs, tied)
    costs = dict(sorted(costs.items(), key=lambda pair: -pair[1]))
    stock = float(sold.sum()) if pool is not None else float(problem.stock[0])
    on_hand = stock - np.r_[0.0, np.cumsum(sold)[:-1]]
    around = _Around(one, own, compiled, rungs, tied, _worth(problem, rungs, tolls))
    weeks = []
    for t in range(int(problem.horizon[0])):
        k = int(rungs[t])
        up, down = (around.neighbour(t, step) for step in (-1, 1))
        weeks.append(
            WeekExplained(t, float(problem.price[0, k]), float(sold[t]), float(max(on_hand[t], 0.0)), up, down)
        )
    return Explanation(
        one.names[0],
        tuple(weeks),
        _one_more(one, own, tolls, best) if pool is None else pool[1],
        costs,
        {str(rule): worth for rule, worth in budget_worth.items() if selected(one, rule)[0]},
        None if pool is None else stock,
    )


def _one_more(one: Assortment, own: Sequence[r.Rule], tolls: Tolls, best: float) -> float:
    more = compile_rules(one.with_stock(one.number("on_hand") + 1.0), own)
    found = best_paths(more.problem, tolls).value[0]
    return float(found - best) if found > -np.inf else float("nan")


def _costs_of_ties(problem: PathProblem, rungs: np.ndarray, tied: Tied) -> dict[str, float]:
    """What the item would earn more were it free of each rule that ties it to others; of all where no one is enough."""
    gains = {
        rule: float(best_paths(problem, tolls).value[0]) - _worth(problem, rungs, tolls)
        for rule, tolls in tied.without.items()
    }
    together = gains.pop(None, 0.0)
    least = 1e-6 * max(1.0, abs(_worth(problem, rungs, tied.tolls)))
    costs = {str(rule): gain for rule, gain in gains.items() if gain > least}
    if not costs and together > least and gains:
        costs = {" with ".join(str(rule) for rule in gains): together}
    return costs


def _compile(one: Assortment, rules: Sequence[r.Rule], pool: tuple[float, float] | None) -> Compiled:
    compiled = compile_rules(one, rules)
    if pool is None:
        return compiled
    # the row's own stock is its pool's
    return replace(compiled, problem=replace(compiled.problem, stock=np.array([pool[0]])))


def _worth(problem: PathProblem, rungs: np.ndarray, tolls: Tolls) -> float:
    """Worth of the plan's own path under the same prices of what is shared."""
    fixed = np.uint64(1) << np.maximum(rungs, 0).astype(np.uint64)
    return float(best_paths(replace(problem, allowed=problem.allowed & fixed), tolls).value[0])


@dataclass(frozen=True)
class _Around:
    """The plan's path of an item, and what a step away from it does."""

    one: Assortment
    rules: Sequence[r.Rule]
    compiled: Compiled
    rungs: np.ndarray
    tied: Tied
    here: float

    def neighbour(self, week: int, step: int) -> Neighbour | None:
        """Return the next price up (-1) or down (+1) in a week, None at the ladder's end."""
        compiled, rungs, tolls, ladder = self.compiled, self.rungs, self.tied.tolls, self.compiled.ladder
        k = int(rungs[week]) + step
        while 0 <= k < ladder.price.shape[1] and not ladder.exists[0, k]:
            k += step
        if not 0 <= k < ladder.price.shape[1]:
            return None
        price, depth = float(ladder.price[0, k]), float(ladder.depth[0, k])
        if _forced(compiled, rungs, week, depth, tolls) > -np.inf:
            return self._allowed(week, depth, price)
        blocking = []
        for rule in self.rules:
            if isinstance(rule, r.PricesMayRise | r.SharedStock):
                continue
            without = _compile(self.one, [other for other in self.rules if other is not rule], self.tied.pool)
            if _forced(without, _same_depths(compiled, without, rungs), week, depth, tolls) > -np.inf:
                blocking.append(str(rule))
        if blocking:
            return Neighbour(price, float("nan"), tuple(blocking[:1]))
        before = rungs[week - 1] if week else ladder.start[0]
        if step < 0 and k < before and not any(isinstance(rule, r.PricesMayRise) for rule in self.rules):
            return Neighbour(price, float("nan"), (_PRICES_ONLY_FALL,))
        several = tuple(str(rule) for rule in self.rules if not isinstance(rule, r.PricesMayRise | r.SharedStock))
        return Neighbour(price, float("nan"), several or (_PRICES_ONLY_FALL,))

    def _allowed(self, week: int, depth: float, price: float) -> Neighbour:
        """The item's own rules allow the price: whether what it shares with others does, and what it is worth."""
        tied = self.tied
        if tied.replanned is not None:
            depths = self.compiled.ladder.depth[0]
            found = tied.replanned({t: float(depths[self.rungs[t]]) for t in range(week)} | {week: depth})
            return Neighbour(price, float("nan"), found) if isinstance(found, tuple) else Neighbour(price, found)
        for rule, left in tied.left.items():
            if self._least_spent(rule, week, depth) > left + 1e-6 * max(1.0, abs(left)):
                return Neighbour(price, float("nan"), (str(rule),))
        shared = tuple(str(rule) for rule in tied.without if rule is not None)
        if tied.pool is not None:
            shared = (*shared, *(str(rule) for rule in self.rules if isinstance(rule, r.SharedStock)))
        worth = _forced(self.compiled, self.rungs, week, depth, tied.tolls) - self.here
        return Neighbour(price, worth, at_shared_prices=shared)

    def _least_spent(self, rule: r.Rule, week: int, depth: float) -> float:
        """The least of a budget that the item alone takes with this depth in the week; 0 where others may stand in."""
        if not isinstance(rule, r.Budget) or self.tied.pool is not None:
            return 0.0
        p = self.compiled.problem
        counted = np.zeros((1, p.n_weeks))
        counted[:, slice(*(rule.weeks or (0, p.n_weeks)))] = 1.0
        none = np.zeros_like(counted)
        tolls = Tolls(*((none, counted) if rule.basis == "on_hand" else (counted, none)), none, np.zeros(1))
        free = replace(
            p, unit_worth=np.zeros_like(p.unit_worth), end_worth=np.zeros(1), short_cost=np.zeros_like(p.short_cost)
        )
        return -_forced(replace(self.compiled, problem=free), self.rungs, week, depth, tolls)


def _same_depths(was: Compiled, now: Compiled, rungs: np.ndarray) -> np.ndarray:
    if was.ladder.depth.shape == now.ladder.depth.shape and np.array_equal(was.ladder.depth, now.ladder.depth):
        return rungs
    asked = was.ladder.depth[0, np.maximum(rungs, 0)]
    return np.where(rungs >= 0, np.abs(now.ladder.depth[0][None] - asked[:, None]).argmin(axis=1), -1)


def _forced(compiled: Compiled, rungs: np.ndarray, week: int, depth: float, tolls: Tolls) -> float:
    """Worth of the best path with the plan's prices before the week and this depth in it."""
    problem, ladder = compiled.problem, compiled.ladder
    asked = int(np.abs(ladder.depth[0] - depth).argmin())
    allowed = problem.allowed.copy()
    for t in range(week):
        allowed[0, t] &= np.uint64(1) << np.uint64(max(int(rungs[t]), 0))
    allowed[0, week] &= np.uint64(1) << np.uint64(asked)
    return float(best_paths(replace(problem, allowed=allowed), tolls).value[0])
