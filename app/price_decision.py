"""What stands on record of prices, and whether new prices contradict it; the price file and its record, both or none.

A record is never changed. What a later one replaces is worked out: a decision ends the plan's own prices of its weeks,
and those of another plan item by item.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..sql.contract import SECTIONS
from ..sql.durability import replace_bytes, saying, sync_folder
from ..sql.errors import SettingsError
from .price_file import PricedWeek, Record, record_bytes

if TYPE_CHECKING:
    from ..sql.settings import Settings

# of an item in a store in a week: its price, beside the regular one
Key = tuple[str, str, date]
Priced = Mapping[Key, tuple[Decimal, Decimal]]

PENDING = ".pending"


@dataclass(frozen=True)
class Standing:
    """What is on record for the weeks and items of new prices.

    Attributes
    ----------
    same : Record, optional
        A decision of the plan for these very prices, which stands in full.
    replaced : tuple of Record
        Decisions that the new prices would replace, in part or in full, by their names.
    contradiction : str
        How the new prices differ from those that stand, '' where they do not.
    """

    same: Record | None
    replaced: tuple[Record, ...]
    contradiction: str

    @classmethod
    def of(cls, plan: str, weeks: Sequence[PricedWeek], records: Sequence[Record]) -> "Standing":
        """Hold new prices of a plan against all records of the warehouse."""
        new: Priced = {(w.item, w.store_id, w.week): (w.price, w.regular_price) for w in weeks}
        days = {w.week for w in weeks}
        priced = {id(record): record.prices() for record in records}
        replaced: list[Record] = []
        told: list[str] = []
        for record in records:
            own = priced[id(record)]
            left = _left(record, own, records, priced)
            if record.facts["plan"] == plan:
                if own == new and len(left) == len(own):
                    return cls(record, (), "")
                here = {key: left[key] for key in left if key[2] in days}
                there = {key: new[key] for key in new if key[2] in {k[2] for k in here}}
            else:
                here = {key: left[key] for key in left if key in new and new[key][0] != left[key][0]}
                there = {key: new[key] for key in here}
            if here:
                replaced.append(record)
                told += _difference(plan, record, here, there)
        former = [r for r in records if r.facts["plan"] == plan and priced[id(r)] == new]
        if told and former:
            told.append(f"these very prices, {former[-1].facts['decision_id']}, were replaced")
        return cls(None, tuple(replaced), "; ".join(told))


def _left(record: Record, own: Priced, records: Sequence[Record], priced: Mapping[int, Priced]) -> Priced:
    """The prices of a record that no later decision has replaced."""
    left = dict(own)
    for other in records:
        if record.facts["decision_id"] not in other.facts["replaces"]:
            continue
        if other.facts["plan"] == record.facts["plan"]:
            days = {key[2] for key in priced[id(other)]}
            left = {key: price for key, price in left.items() if key[2] not in days}
        else:
            left = {key: price for key, price in left.items() if key not in priced[id(other)]}
    return left


def _difference(plan: str, record: Record, here: Priced, there: Priced) -> list[str]:
    """Say in one sentence, or in none, how prices on record and new ones differ."""
    differ = [key for key in sorted(here.keys() | there.keys()) if _price(here, key) != _price(there, key)]
    if not differ:
        return []
    facts = record.facts
    key = differ[0]
    item = f"{key[0]}@{key[1]}" if key[1] else key[0]
    first = f"{item!r} in the week of {key[2]}: {_said(here, key)} there, {_said(there, key)} here"
    count = "1 price differs" if len(differ) == 1 else f"{len(differ)} prices differ"
    at = facts.get("file", "its file")
    gone = "file" in facts and not Path(at).exists()
    use = f"its file {at} is gone, and the same command writes it again" if gone else f"use {at}"
    when = f"as {facts['decision_id']} on {facts['decided_on']}"
    if facts["plan"] != plan:
        items = sorted({k[0] for k in differ})
        names = ", ".join(map(repr, items[:3])) + (", ..." if len(items) > 3 else "")
        return [
            f"{len(items)} of {plan}'s items are priced otherwise by {facts['plan']}, {when}: {names}; {first}; take "
            "them out of one of the plans"
        ]
    return [
        f"{plan} from {facts['starts']} was priced before, {when}: {count}, {first}; {use}"
    ]  # fmt: skip


def _price(prices: Priced, key: Key) -> Decimal | None:
    return prices[key][0] if key in prices else None


def _said(prices: Priced, key: Key) -> str:
    return str(prices[key][0]) if key in prices else "none"


# ---- where a price file may lie -------------------------------------------------------------------------------------


def must_be_free(settings: "Settings", path: Path) -> None:
    """Refuse a price file that would be a record, or an input of the next build.

    Raises
    ------
    SettingsError
        The path lies in the warehouse, or is read by a section of the settings.
    """
    at = path.resolve()
    warehouse = settings.warehouse.resolve()
    if at.is_relative_to(warehouse):
        raise SettingsError(f"--out {path}: lies in the warehouse {warehouse}, whose files are its own; name another")
    for table in SECTIONS:
        source = settings.source(table)
        for said in source.paths if source else ():
            if "://" in said or said.startswith("package:"):
                continue
            place = (settings.folder / Path(said).expanduser()).resolve()
            if at.is_relative_to(place) or fnmatch(str(at), str(place)):
                raise SettingsError(f"--out {path}: is what [{SECTIONS[table]}] reads; name another file")


# ---- writing --------------------------------------------------------------------------------------------------------


def hand_out(path: Path, content: bytes, folder: Path, weeks: Sequence[PricedWeek], facts: Mapping[str, Any]) -> Path:
    """Write the price file and its record, so that a process killed in between leaves neither or, by `settle`, both.

    The file is written in full under a name of its own, then the record as pending, then the file gets its name: from
    there on the prices are decided. Last the record gets its name.

    Raises
    ------
    WarehouseError
        One of them cannot be written; unless the text says otherwise there is neither.
    """
    record = folder / f"{facts['plan']}-{facts['decision_id']}.parquet"
    pending = record.with_name(record.name + PENDING)
    beside = _beside(path, facts["decision_id"])
    left = "no price was recorded, and no price file written"
    try:
        with saying(path, "write", left, "name another --out"):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                replace_bytes(beside, content)
            except OSError as error:
                error.filename = None  # it would name the name aside
                raise
        with saying(pending, "record the prices in", left):
            replace_bytes(pending, record_bytes(weeks, facts))
        with saying(path, "write", left, "name another --out"):
            beside.replace(path)
    except BaseException:
        for file in (pending, beside):
            with suppress(OSError):
                file.unlink(missing_ok=True)
        raise
    with saying(record, "record the prices in", f"{path} is written, and the next command records it"):
        sync_folder(path.parent)
        pending.replace(record)
        sync_folder(folder)
    return record


def settle(folder: Path) -> None:
    """Finish, or undo, what a process that was killed within `hand_out` has left; the lock must be held.

    Raises
    ------
    WarehouseError
        A pending record is damaged, or the folder cannot be written.
    """
    for pending in sorted(folder.glob(f"*.parquet{PENDING}")):
        facts = Record.read(pending).facts
        beside = _beside(Path(facts["file"]), facts["decision_id"])
        with saying(pending, "settle"):
            if beside.exists():
                # the file never got its name
                pending.unlink()
                beside.unlink()
            else:
                pending.replace(pending.with_suffix(""))
            sync_folder(folder)


def _beside(path: Path, decision_id: str) -> Path:
    return path.with_name(f".{path.name}.{decision_id}")
