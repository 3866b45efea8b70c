"""What one scan of an input says before it is used: values that cannot be read, two clocks in a column, blurred ids."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from .contract import INPUT_TABLES, Column
from .conversions import ISO_LOCAL, ISO_OFFSET, family_of
from .errors import ContractError
from .mapping import MappedColumn, mapped_sql, quoted, typed_sql

if TYPE_CHECKING:
    from .engine import Engine

# Up to here every whole number has a float of its own; beyond, neighbouring ids become one.
_EXACT_TO = {"DOUBLE": 2**53, "FLOAT": 2**24}

_DATE_FORMATS = (
    "%Y%m%d",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d.%m.%Y",
    "%d-%m-%Y",
    "%Y/%m/%d",
    "%d %b %Y",
    "%d %B %Y",
    "%d-%b-%Y",
    "%b %d, %Y",
    "%Y-%m-%d",
)
_CLOCK_FORMATS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %H:%M:%S UTC", "T%H%M%S")


@dataclass(frozen=True)
class Readability:
    """By column that is read from text: how many values cannot be read (where any), and the clock of moments.

    A clock is "offset" or "local", or "" where no value can be read.
    """

    unreadable: Mapping[str, int] = field(default_factory=dict)
    clocks: Mapping[str, str] = field(default_factory=dict)


def scan(
    engine: "Engine", table: str, mapped: Sequence[MappedColumn], timezone: str, place: str, *, is_whole: bool = True
) -> Readability:
    """Count in one scan what of an input cannot be read; no scan where every type is read without loss.

    Parameters
    ----------
    engine : Engine
        Where ``raw_<table>`` is.
    table : str
        One of ``contract.INPUT_TABLES``.
    mapped : sequence of MappedColumn
        As ``mapping.map_columns`` returns it.
    timezone : str
        The shop's time zone.
    place : str
        How errors call the source.
    is_whole : bool
        False for a part of the files, of which it is not an error that no value can be read.

    Raises
    ------
    ContractError
        No value of a column can be read, texts with and without an offset stand in one column, or ids are floats
        beyond the whole numbers that floats hold.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from regulars.sql.engine import DuckDBEngine
    >>> engine = DuckDBEngine()
    >>> engine.register("raw_exchange_rates", pa.table({"day": ["2020-01-31", "soon"]}))
    >>> day = MappedColumn("day", "day", '"day"', "VARCHAR", "text", ("day",))
    >>> scan(engine, "exchange_rates", [day], "UTC", "regulars.toml: [exchange_rates]")
    Readability(unreadable={'day': 1}, clocks={'day': 'local'})
    """
    contract = INPUT_TABLES[table]
    family = {c.name: family_of(contract.column(c.name).type) for c in mapped if c.kind}
    checked = [column for column in mapped if column.kind == "text" and family[column.name] != "id"]
    floats = [column for column in mapped if column.type in _EXACT_TO and family.get(column.name) == "id"]
    if not checked and not floats:
        return Readability()
    chosen: list[str] = []
    for i, column in enumerate(checked):
        chosen += _text_figures(i, column, contract.column(column.name), timezone)
    for i, column in enumerate(floats):
        beyond = f"ABS({quoted(column.name)}) > {_EXACT_TO[column.type]} AND ABS({quoted(column.name)}) < 1e300"
        chosen += [f"COUNT(*) FILTER (WHERE {beyond}) AS beyond_{i}"]
    (figures,) = engine.query(f"SELECT {', '.join(chosen)} FROM {mapped_sql(table, mapped)}").to_pylist()
    unreadable: dict[str, int] = {}
    clocks: dict[str, str] = {}
    for i, column in enumerate(checked):
        found = {name: figures[f"{name}_{i}"] for name in ("present", "unreadable", "example")}
        if family[column.name] in ("timestamp", "date"):
            clock = {name: figures[f"{name}_{i}"] for name in ("offset", "local", "offset_example", "local_example")}
            _one_clock(place, column, clock, timezone)
            clocks[column.name] = "offset" if clock["offset"] else "local" if clock["local"] else ""
        if is_whole and found["present"] and found["unreadable"] == found["present"]:
            raise ContractError(_nothing_readable(place, contract.column(column.name), column, found))
        if found["unreadable"]:
            unreadable[column.name] = int(found["unreadable"])
    for i, column in enumerate(floats):
        if figures[f"beyond_{i}"]:
            raise ContractError(
                f"{place} columns.{column.name}: {column.said} is {column.type}, and {figures[f'beyond_{i}']} values "
                f"are beyond {_EXACT_TO[column.type]}, where neighbouring ids run together; allowed: text or whole "
                "numbers; write the file anew with such ids"
            )
    return Readability(unreadable, clocks)


def _text_figures(i: int, column: MappedColumn, target: Column, timezone: str) -> list[str]:
    name = quoted(column.name)
    present = f"{name} IS NOT NULL AND TRIM({name}) <> ''"
    unreadable = f"{present} AND {typed_sql(target, column, timezone)} IS NULL"
    figures = [
        f"COUNT(*) FILTER (WHERE {present}) AS present_{i}",
        f"COUNT(*) FILTER (WHERE {unreadable}) AS unreadable_{i}",
        f"MIN(CASE WHEN {unreadable} THEN {name} END) AS example_{i}",
    ]
    if family_of(target.type) in ("timestamp", "date"):
        for clock, pattern in (("offset", ISO_OFFSET), ("local", ISO_LOCAL)):
            matches = f"REGEXP_MATCHES(TRIM({name}), '{pattern}')"
            figures.append(f"COUNT(*) FILTER (WHERE {matches}) AS {clock}_{i}")
            figures.append(f"MIN(CASE WHEN {matches} THEN {name} END) AS {clock}_example_{i}")
    return figures


def _one_clock(place: str, column: MappedColumn, clock: Mapping[str, Any], timezone: str) -> None:
    if not (clock["offset"] and clock["local"]):
        return
    text = column.said if not column.is_plain else quoted(column.reads[0])
    carries = f"regexp_matches({text}, ':[0-9.]+(Z|[+-][0-9:]+)$')"
    with_offset = f"CAST({text} AS TIMESTAMPTZ) AT TIME ZONE '{timezone}'"
    raise ContractError(
        f"{place} columns.{column.name}: {column.said} mixes two clocks: {clock['offset']} values carry an offset, "
        f"such as {clock['offset_example']!r}, and {clock['local']} do not, such as {clock['local_example']!r}; "
        f"allowed: one kind; if those without are on the shop's clock, write\n"
        f'  {column.name} = """CASE WHEN {carries} THEN {with_offset} ELSE CAST({text} AS TIMESTAMP) END"""\n'
        f"if they are UTC, write\n"
        f'  {column.name} = """CASE WHEN {carries} THEN {with_offset} '
        f"ELSE CAST({text} AS TIMESTAMP) AT TIME ZONE 'UTC' AT TIME ZONE '{timezone}' END\"\"\""
    )


def _nothing_readable(place: str, target: Column, column: MappedColumn, found: Mapping[str, Any]) -> str:
    example = str(found["example"])
    text = column.said if not column.is_plain or re.fullmatch(r"\w+", column.said) else quoted(column.reads[0])
    return (
        f"{place} columns.{column.name}: none of the {found['present']} values of {column.said} can be read as "
        f"{target.type}, such as {example!r}; allowed: {_readable_texts(target)}; "
        f'write {column.name} = """{_reading(target, text, example.strip())}"""'
    )


def _readable_texts(target: Column) -> str:
    return {
        "timestamp": "ISO 8601 dates, such as '2011-12-09 12:50:00' or '2011-12-09T12:50:00+01:00'",
        "date": "ISO 8601 dates, such as '2011-12-09'",
        "boolean": "true and false, yes and no, 1 and 0",
    }.get(family_of(target.type), "plain numbers with a decimal point, such as '-1234.50'")


def _reading(target: Column, text: str, example: str) -> str:
    if family_of(target.type) in ("timestamp", "date"):
        return f"try_strptime({text}, '{_format_of(example)}')"
    if family_of(target.type) == "boolean":
        return f"{text} = '{example}'"
    if re.fullmatch(r"[^0-9]*[0-9.]*,[0-9]{1,2}[^0-9]*", example):
        return f"replace(regexp_replace({text}, '[^0-9,-]', '', 'g'), ',', '.')"
    return f"regexp_replace({text}, '[^0-9.-]', '', 'g')"


def _format_of(example: str) -> str:
    for clock in _CLOCK_FORMATS:
        for day in _DATE_FORMATS:
            try:
                datetime.strptime(example, day + clock)  # noqa: DTZ007 - only the form matters
            except ValueError:
                continue
            return day + clock
    return "%d/%m/%Y %H:%M"
