"""What a grid lists: its rows, columns, filters and sorts, checked on the way in and bound on the way to SQL.

The grammar is ``segment=best,active&value=100..500&alive=..0.5&q=C01&sort=-customer_value``: lists with commas, ranges
with two dots and either end open. Whatever a browser sends is parsed here first; a key, column, choice or number that
is not allowed is a :class:`FilterError`, and no text of the client ever becomes SQL.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, urlencode

from ..sql.errors import RegularsError, nearest
from .url_lists import read_list, write_list

LONGEST_SEARCH = 200
MOST_SORTS = 3
MOST_CHOICES = 50


class FilterError(RegularsError):
    """A filter, sort or page that the client asked for is not one that exists. Answered with 400."""

    exit_code = 2


@dataclass(frozen=True)
class Column:
    """One column of a grid: where it comes from, how it is written, whether a model made it.

    ``format`` is one of ``text``, ``segment``, ``money``, ``count``, ``decimal``, ``share``, ``days``, ``date``,
    ``flag``. ``table`` is the table of the snapshot it comes from, where that table may be missing: the column is then
    left out. ``link`` is the address that a cell leads to, its value appended. ``group`` names the columns that a page
    shows and hides together.
    """

    name: str
    label: str
    format: str
    meaning: str
    predicted: bool = False
    shown: bool = True
    width: int = 130
    table: str = ""
    link: str = ""
    group: str = ""


@dataclass(frozen=True)
class RangeFilter:
    """One range that rows can be filtered by; ``key`` is its name in the URL."""

    key: str
    column: str
    label: str
    first_row: bool = False


@dataclass(frozen=True)
class ChoiceFilter:
    """One column of which some values can be chosen; ``choices`` are those there are, () where any text may stand."""

    key: str
    column: str
    label: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sort:
    """One column to sort by."""

    column: str
    descending: bool


@dataclass(frozen=True)
class Listing:
    """What one grid lists.

    Parameters
    ----------
    name : str
        Its name in addresses (``/rows/NAME``), and of the query in ``app/queries`` that makes its rows, once per
        snapshot, in the order that breaks the ties of every sort.
    columns : tuple of Column
        What it shows, sorts by and exports: the allow-list of every request. The first is the row's id.
    ranges, choices : tuple
        What it can be filtered by.
    search : str
        The column that ``q`` looks into.
    default_sort : tuple of Sort
    view_keys : frozenset of str
        Keys of the page's URL that choose how it looks, not which rows it is about.
    optional : frozenset of str
        Tables of the query's inputs that a snapshot may lack.
    nouns : str
        What its rows are called.
    """

    name: str
    columns: tuple[Column, ...]
    ranges: tuple[RangeFilter, ...] = ()
    choices: tuple[ChoiceFilter, ...] = ()
    search: str = ""
    default_sort: tuple[Sort, ...] = ()
    view_keys: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    nouns: str = "rows"

    @cached_property
    def column_of(self) -> Mapping[str, Column]:
        """Columns by name."""
        return {column.name: column for column in self.columns}

    @cached_property
    def range_of(self) -> Mapping[str, RangeFilter]:
        """Range filters by key."""
        return {one.key: one for one in self.ranges}

    @cached_property
    def choice_of(self) -> Mapping[str, ChoiceFilter]:
        """Choice filters by key."""
        return {one.key: one for one in self.choices}

    @cached_property
    def filter_keys(self) -> tuple[str, ...]:
        """The keys of the URL that say which rows."""
        return (*self.choice_of, *(("q",) if self.search else ()), *self.range_of)

    @cached_property
    def everything(self) -> "ListFilters":
        """The filter that leaves all rows."""
        return ListFilters(self, sorts=self.default_sort)

    def parse(self, query: str | Mapping[str, str] | None) -> "ListFilters":
        """Read the query part of a URL, with or without its question mark, or a mapping of its keys.

        Raises
        ------
        FilterError
            Where a key, choice, column or number is not allowed; the text names it and the nearest that is.
        """
        pairs = query.items() if isinstance(query, Mapping) else _pairs(query or "")
        choices: dict[str, tuple[str, ...]] = {}
        ranges: dict[str, Range] = {}
        search, sorts = "", self.default_sort
        for key, text in pairs:
            if key in self.choice_of:
                choices[key] = _choices(self.choice_of[key], text)
            elif key == "q" and self.search:
                search = _search(text)
            elif key == "sort":
                sorts = self._sorts(text)
            elif key in self.range_of:
                ranges[key] = _range(key, text)
            elif key not in self.view_keys:
                known = (*self.filter_keys, "sort")
                raise FilterError(f"no filter {key[:60]!r}{nearest(key[:60], known)}")
        return ListFilters(
            self,
            {key: chosen for key, chosen in choices.items() if chosen},
            search,
            {key: r for key, r in ranges.items() if r != Range()},
            sorts,
        )

    def _sorts(self, text: str) -> tuple[Sort, ...]:
        names = [name for name in text.split(",") if name]
        if len(names) > MOST_SORTS:
            raise FilterError(f"{len(names)} columns to sort by; at most {MOST_SORTS} are allowed")
        sorts = tuple(Sort(name.removeprefix("-"), name.startswith("-")) for name in names)
        for sort in sorts:
            if sort.column not in self.column_of:
                column = sort.column[:60]
                raise FilterError(f"no column {column!r} to sort by{nearest(column, tuple(self.column_of))}")
        return sorts or self.default_sort


@dataclass(frozen=True)
class Range:
    """A closed range; None is an open end."""

    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        return f"{_number(self.low)}..{_number(self.high)}"


@dataclass(frozen=True)
class ListFilters:
    """A checked filter over the rows of a listing, with its sort.

    Examples
    --------
    >>> from regulars.app.listings import CUSTOMERS
    >>> filters = CUSTOMERS.parse("?segment=best,active&value=100..&q=C01")
    >>> filters.choices["segment"], str(filters.ranges["value"]), filters.search
    (('best', 'active'), '100..', 'C01')
    >>> filters.query()
    'segment=best,active&value=100..&q=C01'
    >>> CUSTOMERS.parse("?valeu=1..2")
    Traceback (most recent call last):
    ...
    regulars.app.listing.FilterError: no filter 'valeu'; did you mean 'value'?
    """

    listing: Listing
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    search: str = ""
    ranges: Mapping[str, Range] = field(default_factory=dict)
    sorts: tuple[Sort, ...] = ()

    def query(self, *, sort: bool = False) -> str:
        """Write it as the query part of a URL, in one canonical order."""
        listing = self.listing
        pairs = [(key, write_list(self.choices[key])) for key in listing.choice_of if key in self.choices]
        pairs += [(key, str(self.ranges[key])) for key in listing.range_of if key in self.ranges]
        if self.search:
            pairs.append(("q", self.search))
        if sort and self.sorts != listing.default_sort:
            pairs.append(("sort", ",".join(("-" if s.descending else "") + s.column for s in self.sorts)))
        return urlencode(pairs, safe=",")

    def without(self, *keys: str) -> "ListFilters":
        """Return the same without some of its ranges."""
        return replace(self, ranges={key: r for key, r in self.ranges.items() if key not in keys})

    def where(self) -> tuple[str, dict[str, Any]]:
        """Return the condition in SQL and the values it binds; columns come from the allow-list alone.

        Examples
        --------
        >>> from regulars.app.listings import CUSTOMERS
        >>> CUSTOMERS.parse("alive=..0.5&q=C01").where()
        ('probability_alive <= $alive_high AND contains(lower(customer_id), lower($search))',
         {'alive_high': 0.5, 'search': 'C01'})
        """
        conditions: list[str] = []
        values: dict[str, Any] = {}
        for key, chosen in self.choices.items():
            names = [f"{key}_{i}" for i in range(len(chosen))]
            listed = ", ".join("$" + name for name in names)
            conditions.append(f"{self.listing.choice_of[key].column} IN ({listed})")
            values |= dict(zip(names, chosen, strict=True))
        for key, range_ in self.ranges.items():
            for bound, operator, end in ((range_.low, ">=", "low"), (range_.high, "<=", "high")):
                if bound is not None:
                    conditions.append(f"{self.listing.range_of[key].column} {operator} ${key}_{end}")
                    values[f"{key}_{end}"] = bound
        if self.search:
            conditions.append(f"contains(lower({self.listing.search}), lower($search))")
            values["search"] = self.search
        return " AND ".join(conditions) or "true", values

    def order_by(self) -> str:
        """Return the ORDER BY list; it ends in ``rowid``, the order of ids, so that a page is the same each time."""
        # rows lie in the order of their ids: the place says the same as the text, and sorts faster
        names = {self.listing.columns[0].name: "rowid"}
        columns = [
            f"{names.get(s.column, s.column)} {'DESC' if s.descending else 'ASC'} NULLS LAST" for s in self.sorts
        ]
        return ", ".join([*columns, "rowid ASC"])


def page_bounds(start: object, end: object, most: int) -> tuple[int, int]:
    """Return (offset, rows) of a page, clamped to ``most`` rows.

    Raises
    ------
    FilterError
        Where either is not a whole number of at least 0, or the end lies before the start.

    Examples
    --------
    >>> page_bounds("0", "300000", 200)
    (0, 200)
    """
    try:
        first, last = int(str(start)), int(str(end))
    except ValueError as error:
        raise FilterError(f"start {str(start)[:40]!r} and end {str(end)[:40]!r} must be whole numbers") from error
    if not 0 <= first <= last <= 2**53:
        raise FilterError(f"start {first} and end {last} must be 0 <= start <= end")
    return first, min(last - first, most)


def _pairs(query: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query.removeprefix("?"), keep_blank_values=True, max_num_fields=40)
    except ValueError as error:
        raise FilterError("the link holds more than 40 filters") from error


def _choices(filter_: ChoiceFilter, text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(read_list(text)))
    if len(names) > MOST_CHOICES:
        raise FilterError(f"{filter_.key}: {len(names)} choices; at most {MOST_CHOICES} are allowed")
    for name in names:
        if filter_.choices and name not in filter_.choices:
            raise FilterError(f"no {filter_.key} {name[:60]!r}; there are {', '.join(filter_.choices)}")
        if len(name) > LONGEST_SEARCH or "\x00" in name:
            raise FilterError(f"{filter_.key}: {name[:60]!r} is no value that could be chosen")
    return names


def _search(text: str) -> str:
    if len(text) > LONGEST_SEARCH:
        raise FilterError(f"the search has {len(text)} characters; at most {LONGEST_SEARCH} are allowed")
    if "\x00" in text:
        raise FilterError("the search holds a NUL character")
    return text.strip()


def _range(key: str, text: str) -> Range:
    low, dots, high = text.partition("..")
    if not dots:
        raise FilterError(f"{key}={text[:40]!r} is no range; write {key}=LOW..HIGH, either end may stay empty")
    return Range(_bound(key, low), _bound(key, high))


def _bound(key: str, text: str) -> float | None:
    if not text.strip():
        return None
    try:
        value = float(text)
    except ValueError as error:
        raise FilterError(f"{key}: {text[:40]!r} is no number") from error
    if not math.isfinite(value) or abs(value) > 1e15:
        raise FilterError(f"{key}: {text[:40]!r} is not between -1e15 and 1e15")
    return value


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return str(int(value)) if value == int(value) else repr(value)
