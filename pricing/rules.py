"""The rules that markdown teams have, one typed object each: what the price path of an item must keep to.

``where`` limits a rule to items: a mapping from a column of the items frame to the value, or the tuple of values, that
an item must have. Depths are shares of the regular price; a *price change* is any week whose price differs from the
week before, a *markdown* one that is lower. The list follows the appendix of promotion and markdown rules of Oracle's
pricing guide, Caro & Gallien (2012, Clearance Pricing Optimization for a Fast-Fashion Retailer) and Zalando's
forecast-then-optimise paper (arXiv 2404.02996).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal

from ..sql.errors import ModelError


class RuleError(ModelError):
    """A rule's own numbers make no sense, or the items lack what it needs.

    Examples
    --------
    >>> try:
    ...     MaximumStep(30)
    ... except RuleError as error:
    ...     print(error)
    MaximumStep: share is 30; it is a share between 0 and 1, e.g. 0.3 for 30%.
    """


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What every rule has: the items it is for.

    Examples
    --------
    >>> str(MaxMarkdowns(2, where={"category_1": "yogurt"}))
    "MaxMarkdowns(count=2, where={'category_1': 'yogurt'})"
    """

    where: Mapping[str, object] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if _plain(value) is not value:
                object.__setattr__(self, f.name, _plain(value))
        if not isinstance(self.where, Mapping) or not all(isinstance(name, str) for name in self.where):
            raise RuleError(
                f"{type(self).__name__}: where is {self.where!r}; it maps columns of the items to a value or values, "
                "e.g. {'category_1': 'yogurt'}."
            )
        for name in ("by", "column"):
            told = getattr(self, name, "")
            if not isinstance(told, str):
                raise RuleError(f"{type(self).__name__}: {name} is {told!r}; it is the name of a column of the items.")

    def __str__(self) -> str:
        shown = [(f.name, getattr(self, f.name)) for f in fields(self) if f.name != "where"]
        told = [f"{name}={value!r}" for name, value in shown if value is not None]
        if self.where:
            told.append(f"where={dict(self.where)!r}")
        return f"{type(self).__name__}({', '.join(told)})"


def _plain(value: object) -> object:
    """A NumPy scalar as Python shows it."""
    scalar = type(value).__module__ == "numpy" and getattr(value, "ndim", 1) == 0
    return value.item() if scalar else value  # type: ignore[attr-defined]


def _number(rule: str, name: str, value: object, means: str) -> float:
    number = _plain(value)
    if isinstance(number, bool) or not isinstance(number, int | float) or number != number:
        raise RuleError(f"{rule}: {name} is {number!r}; it is {means}.")
    return number


def _share(rule: str, name: str, value: object, *, below_one: bool = False) -> None:
    means = "a share between 0 and 1, e.g. 0.3 for 30%"
    share = _number(rule, name, value, means)
    if not (0.0 <= share < 1.0 if below_one else 0.0 <= share <= 1.0):
        raise RuleError(f"{rule}: {name} is {share!r}; it is {means}.")


def _count(rule: str, name: str, value: object, least: int) -> None:
    number = _plain(value)
    if isinstance(number, bool) or not isinstance(number, int) or number < least:
        raise RuleError(f"{rule}: {name} is {number!r}; it is a whole number, {least} or more.")


def _several(rule: str, name: str, values: object, means: str) -> None:
    if not isinstance(values, tuple | list) or not values:
        raise RuleError(f"{rule}: {name} is {values!r}; it is one or more of {means}, e.g. (0.2, 0.5).")


# ---- the goal ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Objective:
    """What a plan makes as large as it can.

    Parameters
    ----------
    goal : {"revenue", "margin"}
        Money taken, or money taken less the cost of what was sold.
    salvage : bool
        Whether units left at the end count: at their salvage value for revenue, at that less their cost for margin.

    Examples
    --------
    >>> Objective("margin", salvage=False).goal
    'margin'
    """

    goal: Literal["revenue", "margin"] = "revenue"
    salvage: bool = True

    def __post_init__(self) -> None:
        if self.goal not in ("revenue", "margin"):
            raise RuleError(f"Objective: goal is {self.goal!r}; it is 'revenue' or 'margin'.")
        if not isinstance(self.salvage, bool):
            raise RuleError(f"Objective: salvage is {self.salvage!r}; it is True or False.")


# ---- rules of one item's path --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PricesMayRise(Rule):
    """Prices may go up again; without it they only fall.

    Examples
    --------
    >>> print(PricesMayRise(where={"category_1": "soft drinks"}))
    PricesMayRise(where={'category_1': 'soft drinks'})
    """


@dataclass(frozen=True)
class ExitDate(Rule):
    """The item leaves the shelf: weeks after its exit have no price and sell nothing.

    Parameters
    ----------
    column : str
        Column of the items frame: a count of weeks from the plan's start, or, where the plan's weeks are dates, the
        last day on sale. An item without a value stays to the end.

    Examples
    --------
    >>> print(ExitDate("exit_on"))
    ExitDate(column='exit_on')
    """

    column: str = "exit_week"


@dataclass(frozen=True)
class DiscountTiers(Rule):
    """A price that is set is one of these depths off the regular price, or the regular price.

    Examples
    --------
    >>> print(DiscountTiers((0.2, 0.3, 0.5)))
    DiscountTiers(tiers=(0.2, 0.3, 0.5))
    """

    tiers: tuple[float, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        _several("DiscountTiers", "tiers", self.tiers, "the depths off the regular price")
        for tier in self.tiers:
            _share("DiscountTiers", "a tier", tier, below_one=True)


@dataclass(frozen=True)
class PriceEndings(Rule):
    """A price that is set ends in one of these: the ladder's price is lowered to the next such ending.

    The regular price and the price that stands before the plan keep theirs. Where two rungs end at one price, the
    shallower one goes.

    Examples
    --------
    >>> print(PriceEndings((0.99, 0.49)))
    PriceEndings(endings=(0.99, 0.49))
    """

    endings: tuple[float, ...] = (0.99,)

    def __post_init__(self) -> None:
        super().__post_init__()
        if (
            not isinstance(self.endings, tuple | list)
            or not self.endings
            or any(
                not 0.0 <= _number("PriceEndings", "an ending", e, "a number that lies in [0, 1), e.g. 0.99") < 1.0
                for e in self.endings
            )
        ):
            raise RuleError(f"PriceEndings: endings are {self.endings!r}; each lies in [0, 1), e.g. 0.99 or 0.49.")


@dataclass(frozen=True)
class MinimumOnHand(Rule):
    """The price is cut only in a week that starts with at least so many units: a few pieces are not worth a label.

    Examples
    --------
    >>> print(MinimumOnHand(12))
    MinimumOnHand(units=12)
    """

    units: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 <= _number("MinimumOnHand", "units", self.units, "0 or more") < float("inf"):
            raise RuleError(f"MinimumOnHand: units is {self.units!r}; it is 0 or more.")


@dataclass(frozen=True)
class SellThrough(Rule):
    """A share of the stock at the plan's start is sold in time.

    Parameters
    ----------
    share : float
        Units sold by units on hand at the start.
    by_week : int, optional
        After so many weeks; at the item's exit where not given (or where it exits earlier).
    penalty : float, optional
        Makes the target soft: what each missing unit costs in the objective. Without it the target must be met.

    Examples
    --------
    >>> print(SellThrough(0.9), SellThrough(0.5, by_week=4, penalty=3.0))
    SellThrough(share=0.9) SellThrough(share=0.5, by_week=4, penalty=3.0)
    """

    share: float
    by_week: int | None = None
    penalty: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if _number("SellThrough", "share", self.share, "a share between 0 and 1, e.g. 0.3 for 30%") > 1.0:
            raise RuleError(
                f"SellThrough: share is {self.share!r}; no more than the stock can be sold, so it is at most 1."
            )
        _share("SellThrough", "share", self.share)
        if self.by_week is not None:
            _count("SellThrough", "by_week", self.by_week, 1)
        means = "money per unit, above 0"
        if self.penalty is not None and not 0 < _number("SellThrough", "penalty", self.penalty, means) < float("inf"):
            raise RuleError(f"SellThrough: penalty is {self.penalty!r}; it is money per unit, above 0.")


@dataclass(frozen=True)
class MaxMarkdowns(Rule):
    """At most so many markdowns in the plan.

    Examples
    --------
    >>> print(MaxMarkdowns(2))
    MaxMarkdowns(count=2)
    """

    count: int

    def __post_init__(self) -> None:
        super().__post_init__()
        _count("MaxMarkdowns", "count", self.count, 0)


@dataclass(frozen=True)
class MinWeeksBetween(Rule):
    """At least so many weeks from one price change to the next.

    The last change before the plan counts where the items have ``weeks_since_change``.

    Examples
    --------
    >>> print(MinWeeksBetween(2))
    MinWeeksBetween(weeks=2)
    """

    weeks: int

    def __post_init__(self) -> None:
        super().__post_init__()
        _count("MinWeeksBetween", "weeks", self.weeks, 1)


@dataclass(frozen=True)
class MinimumStep(Rule):
    """A markdown is at least so deep, as a share of the regular price.

    Examples
    --------
    >>> print(MinimumStep(0.1))
    MinimumStep(share=0.1)
    """

    share: float

    def __post_init__(self) -> None:
        super().__post_init__()
        _share("MinimumStep", "share", self.share)


@dataclass(frozen=True)
class MaximumStep(Rule):
    """A markdown is at most so deep, as a share of the regular price.

    Examples
    --------
    >>> print(MaximumStep(0.3))
    MaximumStep(share=0.3)
    """

    share: float

    def __post_init__(self) -> None:
        super().__post_init__()
        _share("MaximumStep", "share", self.share)


@dataclass(frozen=True)
class MarginFloor(Rule):
    """``(price - unit_cost) / price`` is at least ``share`` in every week; below 0 allows that much of a loss.

    Examples
    --------
    >>> print(MarginFloor(0.1))
    MarginFloor(share=0.1)
    """

    share: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        means = "below 1, e.g. 0.1 for 10% of the price"
        if not -float("inf") < _number("MarginFloor", "share", self.share, means) < 1.0:
            raise RuleError(f"MarginFloor: share is {self.share!r}; it is below 1, e.g. 0.1 for 10% of the price.")


@dataclass(frozen=True)
class MinimumAdvertisedPrice(Rule):
    """No price is below the one that the brand allows: a column of the items frame; none where it is missing.

    Examples
    --------
    >>> print(MinimumAdvertisedPrice("map"))
    MinimumAdvertisedPrice(column='map')
    """

    column: str = "minimum_advertised_price"


@dataclass(frozen=True)
class CompetitorPrice(Rule):
    """The price stays near a competitor's: between ``at_least`` and ``at_most`` times it.

    An item whose column is missing has no such bound.

    Examples
    --------
    >>> print(CompetitorPrice(at_most=1.05))
    CompetitorPrice(at_most=1.05, column='competitor_price')
    """

    at_most: float | None = None
    at_least: float | None = None
    column: str = "competitor_price"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("at_most", "at_least"):
            if getattr(self, name) is not None:
                _number("CompetitorPrice", name, getattr(self, name), "times the competitor's price, e.g. 1.05")
        low, high = self.at_least or 0.0, float("inf") if self.at_most is None else self.at_most
        if self.at_most is None and self.at_least is None:
            raise RuleError("CompetitorPrice: give at_most, at_least or both, e.g. at_most=1.05 for 5% dearer.")
        if not 0.0 <= low <= high or high <= 0.0:
            raise RuleError(
                f"CompetitorPrice: at_least {self.at_least!r} is above at_most {self.at_most!r}, or below 0."
            )


@dataclass(frozen=True)
class NoTouch(Rule):
    """No price change in the first weeks after launch, nor in the last weeks on sale.

    ``after_launch`` reads the column ``age_weeks``: weeks since launch at the plan's start.

    Examples
    --------
    >>> print(NoTouch(after_launch=4, near_end=1))
    NoTouch(after_launch=4, near_end=1)
    """

    after_launch: int = 0
    near_end: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        _count("NoTouch", "after_launch", self.after_launch, 0)
        _count("NoTouch", "near_end", self.near_end, 0)


@dataclass(frozen=True)
class FixedPrice(Rule):
    """An item's price in one week (0 is the first) is set by hand: the depth off its regular price.

    Examples
    --------
    >>> print(FixedPrice("tee", week=0, discount=0.2))
    FixedPrice(item='tee', week=0, discount=0.2)
    """

    item: object
    week: int
    discount: float

    def __post_init__(self) -> None:
        super().__post_init__()
        _count("FixedPrice", "week", self.week, 0)
        _share("FixedPrice", "discount", self.discount, below_one=True)


# ---- rules over several items --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Budget(Rule):
    """What the markdowns of the items may cost, planned promotions included.

    Parameters
    ----------
    amount : float
        The budget.
    planned : float or str
        Already committed to promotions and taken off first: money, or a column of the items frame to add up.
    basis : {"sold", "on_hand"}
        ``(regular price - price) * units sold``, or the write-down ``price cut * units on hand`` when a price is cut.
    weeks : tuple of two ints, optional
        First week and the week after the last one that count; all where not given.

    Examples
    --------
    >>> print(Budget(20_000, planned=3_500, where={"category_1": "yogurt"}))
    Budget(amount=20000, planned=3500, basis='sold', where={'category_1': 'yogurt'})
    """

    amount: float
    planned: float | str = 0.0
    basis: Literal["sold", "on_hand"] = "sold"
    weeks: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 <= _number("Budget", "amount", self.amount, "money, 0 or more") < float("inf"):
            raise RuleError(f"Budget: amount is {self.amount!r}; it is money, 0 or more.")
        means = "money, 0 or more, or a column's name"
        planned = 0.0 if isinstance(self.planned, str) else _number("Budget", "planned", self.planned, means)
        if not 0.0 <= planned < float("inf"):
            raise RuleError(f"Budget: planned is {self.planned!r}; it is money, 0 or more, or a column's name.")
        if self.basis not in ("sold", "on_hand"):
            raise RuleError(f"Budget: basis is {self.basis!r}; it is 'sold' or 'on_hand'.")
        if self.weeks is None:
            return
        whole = isinstance(self.weeks, tuple | list) and len(self.weeks) == 2
        if not whole or any(isinstance(w, bool) or not isinstance(_plain(w), int) for w in self.weeks):
            raise RuleError(f"Budget: weeks is {self.weeks!r}; first week, and the week after the last, e.g. (0, 4).")
        if not 0 <= self.weeks[0] < self.weeks[1]:
            raise RuleError(f"Budget: weeks is {self.weeks!r}; first week, and the week after the last, e.g. (0, 4).")


@dataclass(frozen=True)
class AllOrNothing(Rule):
    """In each week every item on sale with the same value in the column is below its regular price, or none is.

    Examples
    --------
    >>> print(AllOrNothing("collection"))
    AllOrNothing(by='collection')
    """

    by: str = "group"


@dataclass(frozen=True)
class AtMostOnePromoted(Rule):
    """In each week at most one item with the same value in the column is below its regular price.

    Examples
    --------
    >>> print(AtMostOnePromoted("brand"))
    AtMostOnePromoted(by='brand')
    """

    by: str = "group"


@dataclass(frozen=True)
class SharedStock(Rule):
    """Rows with the same value in the column, e.g. one product in several stores, sell from one stock.

    The stock is the sum of their ``on_hand``. The plan splits it when the season starts: each row gets a part of its
    own (``MarkdownPlan.allocation``), sells to whoever comes until that part is gone, and sells nothing after. What is
    given to no row stays where it is, unsold. A shop that leaves its stock where it happens to lie, or sells from one
    stock to all, will not see the plan's numbers.

    Prices must not rise, and sell-through, minimum on hand and budgets of write-downs (``basis="on_hand"``) cannot be
    asked of rows whose stock is shared.

    Examples
    --------
    >>> print(SharedStock("product"))
    SharedStock(by='product')
    """

    by: str = "product"


COUPLING = (Budget, AllOrNothing, AtMostOnePromoted, SharedStock)
# These say which prices and stock there are to choose from; they are in force whatever else is left out.
SETTINGS = (PricesMayRise, PriceEndings, SharedStock)
