"""Prices that somebody sets by hand: read from the command line or a file, and found on an item's ladder.

Weeks count from 1 here, as in the settings; `pricing` counts them from 0.
"""

import csv
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
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
        # all digits: the record and the decision's id are made of this text
        value = _digits(self.price) if self.price is not None else f"{_digits(self.depth or 0.0, 100)}%"
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
    return _override(item, week.strip(), value.strip(), f"--override {word!r}")


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
            reader = csv.reader(file, strict=True)
            lines = [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"--overrides {path}: cannot be read ({error}); name a CSV file in UTF-8") from error
    if len(lines) < 2:
        raise SettingsError(f"--overrides {path}: no line; give item, week and price or discount, or leave it out")
    there = [name.strip() for name in lines[0][1]]
    _must_be_columns(there, f"--overrides {path}, line {lines[0][0]}")
    made = []
    for number, cells in lines[1:]:
        where = f"--overrides {path}, line {number}"
        if len(cells) != len(there):
            raise SettingsError(
                f"{where}: {len(cells)} cells for the {len(there)} columns {', '.join(there)}; write 13.99 with a "
                "point, and put quotes around a comma"
            )
        row = dict(zip(there, cells, strict=True))
        said = {name: row.get(name, "").strip() for name in _COLUMNS}
        if bool(said["price"]) == bool(said["discount"]):
            raise SettingsError(f"{where}: give a price or a discount, one of the two")
        depth = said["discount"]
        share = depth if depth.endswith("%") or not depth else f"{_number(depth, where, 'discount') * 100}%"
        item = f"{row['item']}@{row['store_id']}" if said["store_id"] else row["item"]
        made.append(_override(item, said["week"], said["price"] or share, where))
    return made


def _must_be_columns(there: Sequence[str], where: str) -> None:
    columns = "the columns are item, week, price or discount, and store_id"
    for name in there:
        if name not in _COLUMNS:
            raise SettingsError(f"{where}: column {name!r}{nearest(name, _COLUMNS)}; {columns}")
        if there.count(name) > 1:
            raise SettingsError(f"{where}: column {name!r} is there twice; {columns}, each once")
    if not {"item", "week"} <= set(there) or not {"price", "discount"} & set(there):
        raise SettingsError(f"{where}: columns {', '.join(there)}; {columns}")


def place_overrides(
    overrides: Sequence[Override], plan: "MarkdownPlan", inputs: "PlanInputs", refused: Mapping[str, str]
) -> dict[tuple[str, int], tuple[float, Override]]:
    """Return the depth that each override means, by (item, week from 0) as `MarkdownPlan.override` takes them.

    A price is that of a rung to the cent. A discount is a rung's own depth, else the one that the price file shows for
    a rung (to four digits), or one that comes to its price to the cent.

    Raises
    ------
    SettingsError
        An item that the plan does not price (``refused`` says why), a week outside it, a price that is no rung of the
        item's ladder, or one week of an item twice.
    """
    regular = dict(zip(inputs.items["item"].to_pylist(), inputs.items["regular_price"].to_pylist(), strict=True))
    placed: dict[tuple[str, int], tuple[float, Override]] = {}
    for one in overrides:
        item = find_item(one.item, regular)
        if item is None:
            raise SettingsError(f"override {one}: item {missing_item(one.item, regular, refused)}; leave it out")
        week = _week(one, inputs.dates)
        rungs = plan.rungs(item)
        depth = _meant(one, rungs, float(regular[item]))
        if depth is None:
            told = ", ".join(f"{price:.2f} ({depth:.0%})" for price, depth in rungs)
            raise SettingsError(f"override {one}: no price on the item's ladder; it may be {told}")
        if (item, week) in placed:
            raise SettingsError(f"override {one}: that week of the item is set twice; leave one out")
        placed[item, week] = depth, one
    return placed


def find_item(said: str, names: Collection[str]) -> str | None:
    """Return the item that is meant, None where there is none: blanks around a name count where a name has them.

    Examples
    --------
    >>> find_item("tee ", ["tee"]), find_item("tee ", ["tee", "tee "]), find_item("tea", ["tee"])
    ('tee', 'tee ', None)
    """
    return next((name for name in (said, said.strip()) if name in names), None)


def missing_item(said: str, names: Collection[str], refused: Mapping[str, str]) -> str:
    """Say why an item has no plan, and what else may be meant.

    Examples
    --------
    >>> missing_item("tee", ["tee@east", "tee@west"], {})
    "'tee' is planned by store: name it as 'tee@east' or 'tee@west'"
    >>> missing_item("tea", ["tee"], {})
    "'tea' is not in the plan; did you mean 'tee'?"
    >>> missing_item("tea", ["tee"], {"tea": "no stock known"})
    "'tea' is not planned: no stock known"
    """
    known = sorted(names)
    found = find_item(said, refused)
    if found is not None:
        return f"{found!r} is not planned: {refused[found]}"
    stores = [name for name in (*known, *sorted(refused)) if name.startswith(f"{said.strip()}@")]
    if stores:
        more = f" or one of {len(stores) - 2} more" if len(stores) > 2 else ""
        return f"{said!r} is planned by store: name it as {' or '.join(map(repr, stores[:2]))}{more}"
    return f"{said!r} is not in the plan{nearest(said, known)}"


def _meant(one: Override, rungs: Sequence[tuple[float, float]], regular: float) -> float | None:
    if one.price is not None:
        asked = one.price
        near = [(abs(price - asked), depth) for price, depth in rungs]
        return min((off, depth) for off, depth in near)[1] if near and min(near)[0] <= _HALF_A_CENT else None
    share = float(one.depth or 0.0)
    for depth, off, enough in (
        *((depth, abs(depth - share), 1e-6) for _, depth in rungs),
        *((depth, abs(round(1.0 - round(price + 1e-9, 2) / regular, 4) - round(share, 4)), 1e-9)
          for price, depth in rungs),
        *((depth, abs(price - regular * (1.0 - share)), _HALF_A_CENT) for price, depth in rungs),
    ):  # fmt: skip
        if off <= enough:
            return depth
    return None


def _override(item: str, week: str, value: str, where: str) -> Override:
    if not item.strip():
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


def _digits(number: float, times: int = 1) -> str:
    """All digits of a number, without an exponent and without zeros at the end."""
    text = f"{Decimal(repr(number)) * times:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _number(text: str, where: str, what: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise SettingsError(
            f"{where}: {what} {text!r} is no number; write 2.49, with a point, for a price, 30% for a depth"
        )
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
