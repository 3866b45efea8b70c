"""A plan checked anew, rule by rule, from the items and its prices alone.

Nothing here is shared with the search: prices, demand, sales and stock are followed week by week from the items frame,
and each rule is read as its words say. A plan that passes keeps its rules whatever mistake the search may hold.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from . import rules as r
from .assortment import Assortment

_MONEY = 1e-6
_SHARE = 1e-6


@dataclass(frozen=True)
class Violation:
    """One rule broken in one place.

    Attributes
    ----------
    rule : str
        The rule as text, or what every plan must keep to ("prices are on the ladder", ...).
    items : tuple
        Names of the items concerned.
    week : int or None
        0 is the first week; None for the plan as a whole.
    seen, allowed : str
        What the plan has, and what it may have.

    Examples
    --------
    >>> print(Violation("MaxMarkdowns(count=1)", ("tee",), None, "2 markdowns", "at most 1"))
    MaxMarkdowns(count=1): 2 markdowns for tee; allowed: at most 1
    """

    rule: str
    items: tuple[object, ...]
    week: int | None
    seen: str
    allowed: str

    def __str__(self) -> str:
        several = f" and {len(self.items) - 3} more" if len(self.items) > 3 else ""
        shown = ", ".join(str(item) for item in self.items[:3])
        when = "" if self.week is None else f" in week {self.week + 1}"
        return f"{self.rule}: {self.seen} for {shown}{several}{when}; allowed: {self.allowed}"


@dataclass(frozen=True)
class Audit:
    """What the check found.

    ``violations`` is empty where every rule holds; ``objective`` is the plan's worth, counted anew, ``penalties`` what
    missed soft targets have taken off it.

    Examples
    --------
    >>> Audit((), 100.0).violations
    ()
    """

    violations: tuple[Violation, ...]
    objective: float
    penalties: float = 0.0


def audit_prices(
    assortment: Assortment,
    rules: Sequence[r.Rule],
    price: np.ndarray,
    units: np.ndarray | None = None,
) -> Audit:
    """Follow a plan week by week and return every rule it breaks.

    Parameters
    ----------
    assortment : Assortment
    rules : sequence of Rule
    price : ndarray of shape (n, T)
        Price of each week; NaN once an item is off sale.
    units : ndarray of shape (n, T), optional
        Units the plan says it sells. Needed where stock is shared: all that a row sells is its part of the stock, and
        must be what demand gives week after week until that part is gone. Elsewhere it is compared with what demand
        and stock give.

    Examples
    --------
    >>> from regulars.pricing.assortment import read_assortment
    >>> from regulars.pricing.rules import MaxMarkdowns, Objective
    >>> items = {"item": ["tee"], "regular_price": [10.0], "on_hand": [9], "weekly_units": [2], "elasticity": [-2.0]}
    >>> case = read_assortment(items, (0, 0.2, 0.5), 3, None, Objective())
    >>> found = audit_prices(case, [MaxMarkdowns(1)], np.array([[10.0, 8.0, 5.0]]))
    >>> [str(v) for v in found.violations], round(found.objective, 2)
    (['MaxMarkdowns(count=1): 2 markdowns for tee; allowed: at most 1'], 64.38)
    """
    walk = _Walk(assortment, rules, np.asarray(price, dtype=np.float64), units)
    found = list(walk.follow())
    for rule in rules:
        check = _CHECKS.get(type(rule))
        if check is not None:
            found.extend(check(walk, rule, walk.chosen(rule)))
    found.extend(walk.never_rises())
    return Audit(tuple(found), walk.objective() - walk.penalties, walk.penalties)


class _Walk:
    """The plan followed from week to week: prices, depth, stock before each week, sales."""

    def __init__(
        self, assortment: Assortment, rules: Sequence[r.Rule], price: np.ndarray, units: np.ndarray | None
    ) -> None:
        self.case, self.rules, self.price, self.said = assortment, rules, price, units
        self.n, self.weeks = len(assortment), assortment.n_weeks
        self.regular = self.column("regular_price")
        self.standing = self.regular * (1.0 - np.nan_to_num(self.column("current_discount")))
        self.stock = self.column("on_hand")
        self.exit = np.full(self.n, self.weeks)
        for rule in rules:
            if isinstance(rule, r.ExitDate):
                rows = self.chosen(rule)
                self.exit[rows] = np.minimum(self.exit, self._exits(rule))[rows]
        self.endings: dict[int, tuple[float, ...]] = {}
        for rule in rules:
            if isinstance(rule, r.PriceEndings):
                self.endings |= {i: tuple(rule.endings) for i in np.flatnonzero(self.chosen(rule)).tolist()}
        self.pool = np.full(self.n, -1)
        self.pool_stock: list[float] = []
        for rule in rules:
            if isinstance(rule, r.SharedStock):
                for members in self.members(rule, rule.by):
                    self.pool[members] = len(self.pool_stock)
                    self.pool_stock.append(float(self.stock[members].sum()))
        before = np.concatenate([self.standing[:, None], price[:, :-1]], axis=1)
        self.on_sale = np.arange(self.weeks) < self.exit[:, None]
        with np.errstate(invalid="ignore"):
            self.cut = np.where(self.on_sale, before - price, 0.0)
            self.changed = np.abs(self.cut) > _MONEY
            self.marked_down = self.on_sale & (price < self.regular[:, None] - _MONEY)
        self.before = before
        self.sold = np.zeros((self.n, self.weeks))
        self.on_hand = np.zeros((self.n, self.weeks + 1))
        self.penalties = 0.0

    # ---- reading -------------------------------------------------------------------------------------------------

    def column(self, name: str) -> np.ndarray:
        if name not in self.case.columns:
            return np.full(self.n, np.nan)
        return np.array([np.nan if v is None else float(v) for v in self.case.columns[name].tolist()])

    def chosen(self, rule: r.Rule) -> np.ndarray:
        if isinstance(rule, r.FixedPrice) and not rule.where:
            one = np.zeros(self.n, np.bool_)
            if rule.item in self.case.names:
                one[self.case.names.index(rule.item)] = True
            return one
        keep = []
        for i in range(self.n) if rule.where or isinstance(rule, r.FixedPrice) else ():
            fits = not (isinstance(rule, r.FixedPrice) and self.case.names[i] != rule.item)
            for column, wanted in rule.where.items():
                value = self.case.columns[column][i]
                fits = fits and (
                    value in wanted if isinstance(wanted, tuple | list | set | frozenset) else value == wanted
                )
            keep.append(fits)
        return np.array(keep, dtype=np.bool_) if keep else np.ones(self.n, np.bool_)

    def members(self, rule: r.Rule, by: str) -> list[np.ndarray]:
        labels = self.case.columns[by].tolist()
        together: dict[object, list[int]] = {}
        for i in np.flatnonzero(self.chosen(rule)).tolist():
            if labels[i] is not None and labels[i] == labels[i]:
                together.setdefault(labels[i], []).append(i)
        return [np.array(members) for members in together.values()]

    def _exits(self, rule: r.ExitDate) -> np.ndarray:
        values = self.case.columns[rule.column]
        days = values.astype("datetime64[D]").tolist() if values.dtype.kind == "M" else values.tolist()
        weeks = []
        for value in days:
            if value is None or value != value:
                weeks.append(self.weeks)
            elif isinstance(value, int | float):
                weeks.append(int(value))
            else:
                last = value.date() if hasattr(value, "date") else value
                weeks.append(sum(start <= last for start in self.case.dates or ()))
        return np.array(weeks)

    def violation(
        self, rule: object, i: int | np.integer, week: int | np.integer | None, seen: str, allowed: str
    ) -> Violation:
        return Violation(str(rule), (self.case.names[i],), None if week is None else int(week), seen, allowed)

    # ---- following -----------------------------------------------------------------------------------------------

    def follow(self) -> Iterator[Violation]:
        yield from self._off_sale()
        demand, off_ladder = self._demand()
        yield from off_ladder
        left = self.stock.copy()
        if self.said is not None:
            left = np.where(self.pool >= 0, self.said.sum(axis=1), left)
        for t in range(self.weeks):
            self.on_hand[:, t] = left
            own = np.minimum(demand[:, t], left)
            if self.said is None:
                self.sold[:, t] = own
            else:
                self.sold[:, t] = self.said[:, t]
                wrong = np.abs(self.said[:, t] - own) > 1e-6 * np.maximum(1.0, own)
                for i in np.flatnonzero(wrong):
                    seen = f"{self.said[i, t]:.6g} units sold"
                    yield self.violation("sales follow demand and stock", i, t, seen, f"{own[i]:.6g}")
            left = left - self.sold[:, t]
        self.on_hand[:, self.weeks] = left
        for number, together in enumerate(self.pool_stock):
            rows = np.flatnonzero(self.pool == number)
            total = self.sold[rows].sum()
            if total > together * (1.0 + 1e-9) + 1e-6:
                names = tuple(self.case.names[i] for i in rows)
                yield Violation("SharedStock", names, None, f"{total:.6g} units sold", f"{together:.6g}")

    def _off_sale(self) -> Iterator[Violation]:
        for i, t in np.argwhere(np.isnan(self.price) == self.on_sale):
            if self.on_sale[i, t]:
                yield self.violation("every week on sale has a price", i, t, "no price", "a price")
            else:
                yield self.violation("ExitDate", i, t, f"a price of {self.price[i, t]:.2f}", "none after the exit")

    def _demand(self) -> tuple[np.ndarray, list[Violation]]:
        """Expected units at the plan's prices, and the prices that are on no rung."""
        found: list[Violation] = []
        rungs = self.case.depths.shape[1]
        plain = self.regular[:, None] * (1.0 - self.case.depths)
        full = plain.copy()
        for i in self.endings:
            full[i] = [self.price_set(i, depth) for depth in self.case.depths[i].tolist()]
        rung = np.full((self.n, self.weeks), -1)
        for k in range(rungs):
            with np.errstate(invalid="ignore"):
                rung = np.where(np.abs(self.price - full[:, [k]]) <= 1e-5, k, rung)
        kept = np.abs(self.price - self.standing[:, None]) <= 1e-5
        # the standing price may be no rung; it may be kept, not come back to
        first_change = np.where(self.changed.any(axis=1), self.changed.argmax(axis=1), self.weeks)
        kept &= np.arange(self.weeks) < first_change[:, None]
        # a rung without its ending breaks that rule and not this one
        kept |= (np.abs(self.price[:, :, None] - plain[:, None, :]) <= 1e-5).any(axis=2)
        for i, t in np.argwhere(self.on_sale & (rung < 0) & ~kept & ~np.isnan(self.price)):
            have = ", ".join(f"{p:.2f}" for p in full[i])
            found.append(self.violation("prices are on the ladder", i, t, f"{self.price[i, t]:.2f}", have))
        if self.case.units.ndim == 3:
            demand = np.take_along_axis(self.case.units, np.maximum(rung, 0)[:, :, None], axis=2)[:, :, 0]
        else:
            lift = (self.price / self.regular[:, None]) ** self.column("elasticity")[:, None]
            demand = self.case.units * np.where(self.on_sale, lift, 0.0)
        return np.where(self.on_sale, demand, 0.0), found

    def price_set(self, i: int, depth: float) -> float:
        """Price of a depth: as it is, or the highest allowed ending that is not above it; NaN where there is none."""
        price = float(self.regular[i]) * (1.0 - depth)
        if i not in self.endings or depth <= 1e-9 or abs(price - self.standing[i]) <= _MONEY:
            return price
        fitting = [whole + ending for ending in self.endings[i] for whole in range(int(price) + 1)]
        return max((p for p in fitting if 0.0 < p <= price + 1e-6), default=float("nan"))

    def never_rises(self) -> Iterator[Violation]:
        free = np.zeros(self.n, np.bool_)
        for rule in self.rules:
            if isinstance(rule, r.PricesMayRise):
                free |= self.chosen(rule)
        for i, t in np.argwhere((self.cut < -_MONEY) & ~free[:, None]):
            seen = f"{self.before[i, t]:.2f} to {self.price[i, t]:.2f}"
            yield self.violation("prices only fall", i, t, seen, f"at most {self.before[i, t]:.2f}")

    def objective(self) -> float:
        goal = self.case.objective
        cost = np.nan_to_num(self.column("unit_cost")) if goal.goal == "margin" else np.zeros(self.n)
        earned = np.where(self.on_sale, np.nan_to_num(self.price) - cost[:, None], 0.0) * self.sold
        total = float(earned.sum())
        if goal.salvage:
            worth = np.nan_to_num(self.column("salvage_value")) - cost
            alone = self.pool < 0
            total += float((worth * self.on_hand[:, self.weeks])[alone].sum())
            for number, together in enumerate(self.pool_stock):
                rows = np.flatnonzero(self.pool == number)
                total += float(worth[rows[0]] * (together - self.sold[rows].sum()))
        return total


# ---- one check a rule ----------------------------------------------------------------------------------------------

_Check = Callable[["_Walk", "r.Rule", np.ndarray], Iterator[Violation]]


def _tiers(walk: _Walk, rule: r.DiscountTiers, rows: np.ndarray) -> Iterator[Violation]:
    for i, t in np.argwhere(walk.changed & walk.on_sale & rows[:, None]).tolist():
        price = walk.price[i, t]
        fits = any(abs(price - walk.price_set(i, tier)) <= 1e-5 for tier in (0.0, *rule.tiers))
        if not fits:
            yield walk.violation(rule, i, t, f"{1 - price / walk.regular[i]:.1%} off", "the tiers")


def _endings(walk: _Walk, rule: r.PriceEndings, rows: np.ndarray) -> Iterator[Violation]:
    for i, t in np.argwhere(walk.on_sale & rows[:, None] & walk.marked_down):
        price = walk.price[i, t]
        ending = price - np.floor(price + 1e-6)
        stands = abs(price - walk.standing[i]) <= _MONEY
        if not stands and min(abs(ending - e) for e in rule.endings) > 1e-5:
            yield walk.violation(rule, i, t, f"{price:.2f}", "one of its endings")


def _on_hand(walk: _Walk, rule: r.MinimumOnHand, rows: np.ndarray) -> Iterator[Violation]:
    stock = walk.on_hand[:, :-1]
    low = stock < rule.units - 1e-6 * np.maximum(1.0, walk.stock[:, None])
    for i, t in np.argwhere((walk.cut > _MONEY) & low & rows[:, None]):
        yield walk.violation(rule, i, t, f"a cut with {stock[i, t]:.6g} on hand", f"{rule.units:g} or more")


def _sell_through(walk: _Walk, rule: r.SellThrough, rows: np.ndarray) -> Iterator[Violation]:
    sold = np.cumsum(walk.sold, axis=1)
    for i in np.flatnonzero(rows):
        last = min(walk.exit[i], rule.by_week or walk.weeks) - 1
        missing = rule.share * walk.stock[i] - sold[i, last]
        if rule.penalty is not None:
            walk.penalties += rule.penalty * max(missing, 0.0)
        elif missing > 1e-6 * max(1.0, walk.stock[i]):
            seen = f"{sold[i, last] / walk.stock[i]:.2%} sold"
            yield walk.violation(rule, i, last, seen, f"{rule.share:.2%} or more")


def _max_markdowns(walk: _Walk, rule: r.MaxMarkdowns, rows: np.ndarray) -> Iterator[Violation]:
    count = (walk.cut > _MONEY).sum(axis=1)
    for i in np.flatnonzero(rows & (count > rule.count)):
        yield walk.violation(rule, i, None, f"{count[i]} markdowns", f"at most {rule.count}")


def _weeks_between(walk: _Walk, rule: r.MinWeeksBetween, rows: np.ndarray) -> Iterator[Violation]:
    since = walk.column("weeks_since_change")
    for i in np.flatnonzero(rows):
        # a change in the week before the plan is one week ago at its start
        last = -np.inf if np.isnan(since[i]) else -max(int(since[i]), 1)
        for t in np.flatnonzero(walk.changed[i]):
            if t - last < rule.weeks:
                yield walk.violation(rule, i, t, f"{t - last} weeks after the last change", f"{rule.weeks} or more")
            last = t


def _minimum_step(walk: _Walk, rule: r.MinimumStep, rows: np.ndarray) -> Iterator[Violation]:
    step = walk.cut / walk.regular[:, None]
    for i, t in np.argwhere((walk.cut > _MONEY) & (step < rule.share - _SHARE) & rows[:, None]):
        yield walk.violation(rule, i, t, f"a step of {step[i, t]:.2%}", f"{rule.share:.2%} or more")


def _maximum_step(walk: _Walk, rule: r.MaximumStep, rows: np.ndarray) -> Iterator[Violation]:
    step = walk.cut / walk.regular[:, None]
    for i, t in np.argwhere((walk.cut > _MONEY) & (step > rule.share + _SHARE) & rows[:, None]):
        yield walk.violation(rule, i, t, f"a step of {step[i, t]:.2%}", f"at most {rule.share:.2%}")


def _price_at_least(walk: _Walk, rule: r.Rule, rows: np.ndarray, least: np.ndarray) -> Iterator[Violation]:
    with np.errstate(invalid="ignore"):
        low = walk.on_sale & (walk.price < least[:, None] - _MONEY) & rows[:, None]
    for i, t in np.argwhere(low):
        yield walk.violation(rule, i, t, f"{walk.price[i, t]:.4f}", f"{least[i]:.4f} or more")


def _margin_floor(walk: _Walk, rule: r.MarginFloor, rows: np.ndarray) -> Iterator[Violation]:
    yield from _price_at_least(walk, rule, rows, walk.column("unit_cost") / (1.0 - rule.share))


def _advertised(walk: _Walk, rule: r.MinimumAdvertisedPrice, rows: np.ndarray) -> Iterator[Violation]:
    yield from _price_at_least(walk, rule, rows, walk.column(rule.column))


def _competitor(walk: _Walk, rule: r.CompetitorPrice, rows: np.ndarray) -> Iterator[Violation]:
    other = walk.column(rule.column)
    if rule.at_least is not None:
        yield from _price_at_least(walk, rule, rows, other * rule.at_least)
    if rule.at_most is not None:
        most = other * rule.at_most
        with np.errstate(invalid="ignore"):
            high = walk.on_sale & (walk.price > most[:, None] + _MONEY) & rows[:, None]
        for i, t in np.argwhere(high):
            yield walk.violation(rule, i, t, f"{walk.price[i, t]:.4f}", f"at most {most[i]:.4f}")


def _no_touch(walk: _Walk, rule: r.NoTouch, rows: np.ndarray) -> Iterator[Violation]:
    age = walk.column("age_weeks")
    for i, t in np.argwhere(walk.changed & rows[:, None]):
        if rule.after_launch and age[i] + t < rule.after_launch:
            yield walk.violation(rule, i, t, f"a change at {age[i] + t:g} weeks of age", "no change yet")
        if t >= walk.exit[i] - rule.near_end:
            yield walk.violation(rule, i, t, f"a change {walk.exit[i] - t} weeks before the end", "no change any more")


def _fixed(walk: _Walk, rule: r.FixedPrice, rows: np.ndarray) -> Iterator[Violation]:
    for i in np.flatnonzero(rows).tolist():
        asked, price = walk.price_set(i, rule.discount), walk.price[i, rule.week]
        if not abs(price - asked) <= 1e-4:
            yield walk.violation(rule, i, rule.week, f"{price:.2f}", f"{asked:.2f}")


def _budget(walk: _Walk, rule: r.Budget, rows: np.ndarray) -> Iterator[Violation]:
    if rule.basis == "sold":
        cost = np.where(walk.on_sale, walk.regular[:, None] - np.nan_to_num(walk.price), 0.0) * walk.sold
    else:
        cost = np.maximum(walk.cut, 0.0) * walk.on_hand[:, :-1]
    first, last = rule.weeks or (0, walk.weeks)
    planned = rule.planned
    committed = float(np.nansum(walk.column(planned)[rows])) if isinstance(planned, str) else planned
    spent = float(cost[rows, first:last].sum()) + committed
    if spent > rule.amount + 1e-6 * max(1.0, rule.amount):
        names = tuple(walk.case.names[i] for i in np.flatnonzero(rows))
        yield Violation(
            str(rule), names, None, f"{spent:.2f} with {committed:.2f} planned", f"at most {rule.amount:.2f}"
        )


def _all_or_nothing(walk: _Walk, rule: r.AllOrNothing, _rows: np.ndarray) -> Iterator[Violation]:
    for members in walk.members(rule, rule.by):
        names = tuple(walk.case.names[i] for i in members)
        for t in range(walk.weeks):
            selling = members[walk.on_sale[members, t]]
            down = int(walk.marked_down[selling, t].sum())
            if 0 < down < len(selling):
                yield Violation(str(rule), names, t, f"{down} of {len(selling)} marked down", "all or none")


def _at_most_one(walk: _Walk, rule: r.AtMostOnePromoted, _rows: np.ndarray) -> Iterator[Violation]:
    for members in walk.members(rule, rule.by):
        names = tuple(walk.case.names[i] for i in members)
        down = walk.marked_down[members].sum(axis=0)
        for t in np.flatnonzero(down > 1):
            yield Violation(str(rule), names, int(t), f"{down[t]} marked down", "at most one")


_CHECKS: dict[type, _Check] = {
    r.DiscountTiers: _tiers,  # type: ignore[dict-item]
    r.PriceEndings: _endings,
    r.MinimumOnHand: _on_hand,
    r.SellThrough: _sell_through,
    r.MaxMarkdowns: _max_markdowns,
    r.MinWeeksBetween: _weeks_between,
    r.MinimumStep: _minimum_step,
    r.MaximumStep: _maximum_step,
    r.MarginFloor: _margin_floor,
    r.MinimumAdvertisedPrice: _advertised,
    r.CompetitorPrice: _competitor,
    r.NoTouch: _no_touch,
    r.FixedPrice: _fixed,
    r.Budget: _budget,
    r.AllOrNothing: _all_or_nothing,
    r.AtMostOnePromoted: _at_most_one,
}
