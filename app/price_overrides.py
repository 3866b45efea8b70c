"""Prices that somebody sets by hand: read from the command line or a file, and found on an item's ladder."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from ..sql.errors import SettingsError, SourceError, nearest

if TYPE_CHECKING:
    from ..pricing.markdown import MarkdownPlan
    from .price_plans import PlanInputs

_COLUMNS = ("item", "store_id", "week", "price", "discount")
_HALF_A_CENT = 0.005 + 1e-9


@dataclass(frozen=True)
class Override:
    """One price set by hand: ``price``, or ``depth`` off the regular price; ``week`` counts from 1, or is a Monday."""

    item: str
    week: int | date
    price: float | None = None
    depth: float | None = None

    def __str__(self) -> str:
        value = f"{self.price:g}" if self.price is not None else f"{self.depth:.4%}"
        return f"{self.item}:{self.week}={value}"


def parse_override(word: str) -> Override:
    """Read ``ITEM:WEEK=PRICE`` or ``ITEM:WEEK=DEPTH%``; the week is its number from 1 or its Monday.

    Raises
    ------
    SettingsError
        It is neither.

    Examples
    --------
    >>> parse_override("tee:2=14.99")
    Override(item='tee', week=2, price=14.99, depth=None)
    >>> parse_override("tee@berlin:2018-01-08=30%")
    Override(item='tee@berlin', week=datetime.date(2018, 1, 8), price=None, depth=0.3)
    """
    place, equals, value = word.rpartition("=")
    item, colon, week = place.rpartition(":")
    if not (equals and colon and item.strip()):
        raise SettingsError(
            f"--override {word!r} is not ITEM:WEEK=PRICE or ITEM:WEEK=DEPTH%, such as 1042:2=2.49 or 1042:2=30%"
        )
    return _override(item.strip(), week.strip(), value.strip(), f"--override {word!r}")


def read_overrides(path: Path) -> list[Override]:
    """Read a CSV file with the columns ``item, week`` and ``price`` or ``discount`` (and ``store_id``).

    Raises
    ------
    SourceError
        The file cannot be read.
    SettingsError
        A column or value is not what it should be; the text names the line.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"--overrides {path}: cannot be read ({error}); name a CSV file in UTF-8") from error
    if not rows:
        raise SettingsError(f"--overrides {path}: no line; give item, week and price or discount, or leave it out")
    there = [name for name in rows[0] if name is not None]
    unknown = [name for name in there if name not in _COLUMNS]
    if unknown or not {"item", "week"} <= set(there) or not {"price", "discount"} & set(there):
        wrong = f"column {unknown[0]!r}{nearest(unknown[0], _COLUMNS)}" if unknown else f"columns {', '.join(there)}"
        raise SettingsError(f"--overrides {path}: {wrong}; the columns are item, week, price or discount, and store_id")
    made = []
    for number, row in enumerate(rows, start=2):
        said = {name: (row.get(name) or "").strip() for name in _COLUMNS}
        where = f"--overrides {path}, line {number}"
        if bool(said["price"]) == bool(said["discount"]):
            raise SettingsError(f"{where}: give a price or a discount, one of the two")
        depth = said["discount"]
        share = depth if depth.endswith("%") or not depth else f"{_number(depth, where, 'discount') * 100}%"
        item = f"{said['item']}@{said['store_id']}" if said["store_id"] else said["item"]
        made.append(_override(item, said["week"], said["price"] or share, where))
    return made


def place_overrides(
    overrides: Sequence[Override], plan: "MarkdownPlan", inputs: "PlanInputs", refused: Mapping[str, str]
) -> dict[tuple[str, int], float]:
    """Return overrides as `MarkdownPlan.override` takes them: (item, week from 0) to depth.

    Raises
    ------
    SettingsError
        An item that the plan does not price (``refused`` says why), a week outside it, a price that is no rung of the
        item's ladder, or one week of an item twice.
    """
    names = inputs.items["item"].to_pylist()
    placed: dict[tuple[str, int], float] = {}
    for one in overrides:
        if one.item not in names:
            why = f"is not planned: {refused[one.item]}" if one.item in refused else "is not in the plan"
            raise SettingsError(f"override {one}: item {one.item!r} {why}{nearest(one.item, names)}; leave it out")
        week = _week(one, inputs.dates)
        rungs = plan.rungs(one.item)
        if one.price is not None:
            price = one.price
            found = [depth for rung, depth in rungs if abs(rung - price) <= _HALF_A_CENT]
        else:
            asked = float(one.depth or 0.0)
            found = [depth for _, depth in rungs if abs(depth - asked) <= 1e-6]
        if not found:
            told = ", ".join(f"{price:.2f} ({depth:.0%})" for price, depth in rungs)
            raise SettingsError(f"override {one}: no price on the item's ladder; it may be {told}")
        if (one.item, week) in placed:
            raise SettingsError(f"override {one}: that week of the item is set twice; leave one out")
        placed[one.item, week] = found[0]
    return placed


def _override(item: str, week: str, value: str, where: str) -> Override:
    if not item:
        raise SettingsError(f"{where}: no item")
    when: int | date
    try:
        when = date.fromisoformat(week) if "-" in week else int(week)
    except ValueError as error:
        raise SettingsError(f"{where}: week {week!r} is no number from 1 and no day as YYYY-MM-DD") from error
    if value.endswith("%"):
        depth = _number(value[:-1], where, "depth") / 100.0
        if not 0.0 <= depth < 1.0:
            raise SettingsError(f"{where}: a depth off the regular price is from 0% to below 100%")
        return Override(item, when, depth=round(depth, 10))
    price = _number(value, where, "price")
    if not price > 0.0:
        raise SettingsError(f"{where}: a price is above 0")
    return Override(item, when, price=price)


def _number(text: str, where: str, what: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise SettingsError(f"{where}: {what} {text!r} is no number; write 2.49 for a price, 30% for a depth")
    return number


def _week(one: Override, dates: Sequence[date]) -> int:
    if isinstance(one.week, date):
        if one.week in dates:
            return dates.index(one.week)
    elif 1 <= one.week <= len(dates):
        return one.week - 1
    raise SettingsError(
        f"override {one}: the plan has no such week; its {len(dates)} weeks begin on "
        f"{', '.join(day.isoformat() for day in dates)}"
    )
