"""What ``[pricing]`` of ``regulars.toml`` may say: whose prices are looked at, and the markdown plans made of them."""

from collections.abc import Mapping
from datetime import date
from itertools import pairwise
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from .errors import nearest

PlanName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
Name = Annotated[str, StringConstraints(min_length=1)]

# Not part of a snapshot: they shape the price file, which is made of one.
FILE_KEYS = frozenset({"max_snapshot_age_days", "unplanned_items"})

# The rules of `pricing.rules`, which this layer does not import: what each takes, True where it must be given.
RULES: Mapping[str, Mapping[str, bool]] = MappingProxyType(
    {
        "AllOrNothing": {"by": False},
        "AtMostOnePromoted": {"by": False},
        "Budget": {"amount": True, "planned": False, "basis": False, "weeks": False},
        "CompetitorPrice": {"at_most": False, "at_least": False, "column": False},
        "DiscountTiers": {"tiers": True},
        "ExitDate": {"column": False},
        "FixedPrice": {"item": True, "week": True, "discount": True},
        "MarginFloor": {"share": False},
        "MaxMarkdowns": {"count": True},
        "MaximumStep": {"share": True},
        "MinWeeksBetween": {"weeks": True},
        "MinimumAdvertisedPrice": {"column": False},
        "MinimumOnHand": {"units": True},
        "MinimumStep": {"share": True},
        "NoTouch": {"after_launch": False, "near_end": False},
        "PriceEndings": {"endings": False},
        "PricesMayRise": {},
        "SellThrough": {"share": True, "by_week": False, "penalty": False},
        "SharedStock": {"by": False},
    }
)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MarkdownSettings(_Section):
    """``[pricing.markdowns.NAME]``: one markdown plan, and how its price file is written.

    Attributes
    ----------
    categories, items : tuple of str
        What is planned: items in one of these categories, and these items; all of ``[pricing]`` without either.
    starts : date, optional
        Monday of the first week; the first one after the as-of date without it.
    weeks : int
    ladder : tuple of float
        Depths off the regular price that a price may have, shallow to deep.
    start_price : {"current", "regular"}
        Whether an item stands at the price it sold for last, or goes back to its regular price before the plan.
    objective : {"revenue", "margin"}
    salvage : float, optional
        Worth of a unit left at the end, as a share of its regular price; nothing without it.
    rules : tuple of tables
        ``{ rule = "MaxMarkdowns", count = 3 }``: a rule of `pricing.rules` and its arguments.
    assumed_weeks_of_cover : float, optional
        Stock of an item that the ``stock`` input does not know: so many weeks of its recent sales. Such an item is not
        planned without it.
    stock_within_weeks : int
        Stock counted longer than so many weeks before the as-of date is not known any more.
    sold_within_weeks : int
        An item without a sale for so long, and without known stock, is off sale and not planned.
    gap : float
        Gap to the bound that is good enough where rules tie items together.
    max_snapshot_age_days : int
        A price file is refused where the snapshot's as-of date is older.
    unplanned_items : bool
        Whether the price file also has items that are not planned, at the price they have.
    """

    categories: tuple[Name, ...] = ()
    items: tuple[Name, ...] = ()
    starts: date | None = None
    weeks: int = Field(default=4, ge=1, le=52)
    ladder: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
    start_price: Literal["current", "regular"] = "current"
    objective: Literal["revenue", "margin"] = "revenue"
    salvage: float | None = Field(default=None, ge=0, le=1, allow_inf_nan=False)
    rules: tuple[dict[str, Any], ...] = ()
    assumed_weeks_of_cover: float | None = Field(default=None, gt=0, le=520, allow_inf_nan=False)
    stock_within_weeks: int = Field(default=4, ge=0, le=520)
    sold_within_weeks: int = Field(default=13, ge=1, le=520)
    gap: float = Field(default=1e-4, ge=0, lt=1)
    max_snapshot_age_days: int = Field(default=7, ge=0)
    unplanned_items: bool = False

    @field_validator("starts")
    @classmethod
    def _a_monday(cls, day: date | None) -> date | None:
        if day is not None and day.weekday() != 0:
            raise ValueError(f"a Monday, on which weeks begin ({day} is a {day:%A})")
        return day

    @field_validator("ladder", mode="before")
    @classmethod
    def _numbers(cls, depths: Any) -> Any:
        if not isinstance(depths, (list, tuple)) or any(isinstance(depth, bool | str) for depth in depths):
            raise ValueError("a list of depths off the regular price, such as [0.0, 0.2, 0.5]")
        return depths

    @field_validator("ladder")
    @classmethod
    def _a_ladder(cls, depths: tuple[float, ...]) -> tuple[float, ...]:
        wrong = [depth for depth in depths if not 0.0 <= depth < 1.0]
        if wrong:
            raise ValueError(
                f"depths off the regular price from 0 to below 1 ({wrong[0]:g} is none; give shares, not per cent)"
            )
        if not depths or any(b <= a for a, b in pairwise(depths)):
            raise ValueError("depths sorted from shallow to deep, each once, at least one")
        return depths

    @field_validator("rules")
    @classmethod
    def _known_rules(cls, rules: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
        for said in rules:
            _must_be_a_rule(said)
        return rules


class PricingSettings(_Section):
    """``[pricing]``: whose prices are looked at, and how price response and demand are read from them.

    Attributes
    ----------
    categories, items : tuple of str
        Items in one of these categories (names in ``category_1``, ``category_2`` or ``category_3`` of the products),
        and these items; every item without either.
    stores, period, unsold, item_level, holidays
        As `pricing.price_panel` takes them.
    method : {"auto", "poisson", "instruments"}
        As `pricing.estimate_elasticities` takes it.
    held_out : bool
        Whether the response to the last quarter's price changes is held against the one before.
    season, half_life
        As `pricing.DemandModel` takes them.
    markdowns : dict of str to MarkdownSettings
    """

    categories: tuple[Name, ...] = ()
    items: tuple[Name, ...] = ()
    stores: Literal["together", "apart"] = "together"
    period: Literal["week", "day"] = "week"
    unsold: Literal["carried", "regular", "missing", "left_out"] = "carried"
    item_level: Literal["style_color", "sku"] = "style_color"
    holidays: str | None = Field(default=None, min_length=2)
    method: Literal["auto", "poisson", "instruments"] = "auto"
    held_out: bool = True
    season: Literal["fourier", "week", "none"] = "fourier"
    half_life: float | None = Field(default=52.0, gt=0, allow_inf_nan=False)
    markdowns: dict[PlanName, MarkdownSettings] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _plans_are_weekly(self) -> Self:
        if self.markdowns and self.period != "week":
            raise ValueError("period = 'day' and [pricing.markdowns]: plans set prices by the week and need 'week'")
        return self


def identity_of(pricing: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of ``[pricing]`` can change a snapshot: without what only shapes the price file.

    Examples
    --------
    >>> said = {"stores": "together", "markdowns": {"spring": {"weeks": 4, "max_snapshot_age_days": 7}}}
    >>> identity_of(said)["markdowns"]
    {'spring': {'weeks': 4}}
    """
    kept = {key: pricing[key] for key in sorted(pricing)}
    kept["markdowns"] = {
        name: {key: said[key] for key in sorted(said) if key not in FILE_KEYS}
        for name, said in sorted(pricing["markdowns"].items())
    }
    return kept


def _must_be_a_rule(said: Mapping[str, Any]) -> None:
    name = said.get("rule")
    if not isinstance(name, str):
        raise ValueError('tables such as { rule = "MaxMarkdowns", count = 3 } (one has no rule =)')  # noqa: TRY004 - pydantic's word
    if name not in RULES:
        raise ValueError(f"{', '.join(RULES)} (no rule {name!r}{nearest(name, tuple(RULES))})")
    takes = (*RULES[name], "where")
    for key in said:
        if key not in takes and key != "rule":
            raise ValueError(f"of {name} {', '.join(takes)} (it takes no {key!r}{nearest(key, takes)})")
    missing = [key for key, needed in RULES[name].items() if needed and key not in said]
    if missing:
        raise ValueError(f"{name} with {missing[0]} = ... (it is missing)")
    if not isinstance(said.get("where", {}), Mapping):
        raise ValueError(f'{name} with where as a table, such as {{ category_1 = "YOGURT" }}')  # noqa: TRY004
