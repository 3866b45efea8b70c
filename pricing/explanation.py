"""Why prices are what they are: what another rung would cost, what forbids it, what one more unit is worth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from . import rules as r
from .assortment import Assortment
from .path_account import account
from .path_search import PathProblem, Tolls, best_paths
from .rule_limits import Compiled, compile_rules, selected

_PRICES_ONLY_FALL = "prices only fall"


@dataclass(frozen=True)
class Neighbour:
    """The next price up or down in one week.

    ``worth`` is what the item gains by it once later weeks are planned anew: 0 or less where nothing is shared. It is
    NaN where the price is forbidden; ``forbidden_by`` then names what stands in the way.

    Examples
    --------
    >>> print(Neighbour(14.0, -3.2), "|", Neighbour(10.0, float("nan"), ("MaximumStep(share=0.3)",)))
    14.00 is worth -3.20 | 10.00 is forbidden by MaximumStep(share=0.3)
    """

    price: float
    worth: float
    forbidden_by: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.forbidden_by:
            return f"{self.price:.2f} is forbidden by {' with '.join(self.forbidden_by)}"
        return f"{self.price:.2f} is worth {self.worth:+.2f}"


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
        Worth of one more unit of stock at the start.
    rule_costs : dict
        Rule to what the item would earn more without it; rules that cost nothing are left out.
    budget_worth : dict
        Each budget that the item draws on, and the worth of one more unit of its money.

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

    @property
    def binding_rule(self) -> str:
        """The rule that costs the item most; "" where none costs anything."""
        return max(self.rule_costs, key=lambda name: self.rule_costs[name], default="")

    def __str__(self) -> str:
        lines = [f"{self.item}: one more unit is worth {self.unit_worth:.2f}."]
        lines += [f"Without {name} it would earn {cost:.2f} more." for name, cost in self.rule_costs.items()]
        lines += [f"One more in {name} is worth {worth:.2f}." for name, worth in self.budget_worth.items()]
        for week in self.weeks:
            told = [f"up {week.up}" if week.up else "", f"down {week.down}" if week.down else ""]
            lines.append(f"Week {week.week + 1} at {week.price:.2f}: {'; '.join(x for x in told if x)}.")
        return "\n".join(lines)


def explain_item(
    one: Assortment,
    rules: Sequence[r.Rule],
    rungs: np.ndarray,
    tolls: Tolls,
    budget_worth: Mapping[r.Rule, float],
    pool: tuple[float, float] | None,
) -> Explanation:
    """Explain the path of an assortment of one item; ``pool`` is its shared stock and the worth of a unit of it."""
    own = [rule for rule in rules if not isinstance(rule, r.Budget | r.AllOrNothing | r.AtMostOnePromoted)]
    own = [rule for rule in own if selected(one, rule)[0]]
    compiled = _compile(one, own, pool)
    problem = compiled.problem
    followed = account(problem, np.zeros(1, np.int64), rungs[None])
    best = best_paths(problem, tolls).value[0]
    here = _worth(problem, rungs, tolls)
    more = best_paths(replace(problem, stock=problem.stock + 1.0), tolls).value[0]
    costs: dict[str, float] = {}
    for rule in own:
        if isinstance(rule, r.PricesMayRise | r.SharedStock):
            continue
        without = _compile(one, [other for other in own if other is not rule], pool)
        gain = float(best_paths(without.problem, tolls).value[0] - best)
        if gain > 1e-6 * max(1.0, abs(best)):
            costs[str(rule)] = gain
    costs = dict(sorted(costs.items(), key=lambda pair: -pair[1]))
    weeks = []
    for t in range(int(problem.horizon[0])):
        k = int(rungs[t])
        up, down = (_neighbour(one, own, compiled, rungs, tolls, t, step, pool, here) for step in (-1, 1))
        weeks.append(
            WeekExplained(
                t, float(problem.price[0, k]), float(followed.sold[0, t]), float(followed.on_hand[0, t]), up, down
            )
        )
    return Explanation(
        one.names[0],
        tuple(weeks),
        float(more - best) if pool is None else pool[1],
        costs,
        {str(rule): worth for rule, worth in budget_worth.items() if selected(one, rule)[0]},
    )


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


def _neighbour(
    one: Assortment,
    rules: Sequence[r.Rule],
    compiled: Compiled,
    rungs: np.ndarray,
    tolls: Tolls,
    week: int,
    step: int,
    pool: tuple[float, float] | None,
    here: float,
) -> Neighbour | None:
    ladder = compiled.ladder
    k = int(rungs[week]) + step
    while 0 <= k < ladder.price.shape[1] and not ladder.exists[0, k]:
        k += step
    if not 0 <= k < ladder.price.shape[1]:
        return None
    price = float(ladder.price[0, k])
    depth = float(ladder.depth[0, k])
    value = _forced(compiled, rungs, week, depth, tolls)
    if value > -np.inf:
        return Neighbour(price, value - here)
    blocking = []
    for rule in rules:
        if isinstance(rule, r.PricesMayRise | r.SharedStock):
            continue
        without = _compile(one, [other for other in rules if other is not rule], pool)
        if _forced(without, _same_depths(compiled, without, rungs), week, depth, tolls) > -np.inf:
            blocking.append(str(rule))
    if blocking:
        return Neighbour(price, float("nan"), tuple(blocking[:1]))
    before = rungs[week - 1] if week else ladder.start[0]
    if step < 0 and k < before and not any(isinstance(rule, r.PricesMayRise) for rule in rules):
        return Neighbour(price, float("nan"), (_PRICES_ONLY_FALL,))
    several = tuple(str(rule) for rule in rules if not isinstance(rule, r.PricesMayRise | r.SharedStock))
    return Neighbour(price, float("nan"), several or (_PRICES_ONLY_FALL,))


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
