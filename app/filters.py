"""Which customers: the filter that lives in the URL, checked on the way in and bound on the way to SQL.

The grammar is ``segment=best,active&value=100..500&alive=..0.5&q=C01&sort=-customer_value``: lists with commas, ranges
with two dots and either end open. Whatever a browser sends is parsed here first; a key, column, segment or number that
is not allowed is a :class:`FilterError`, and no text of the client ever becomes SQL.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

from ..sql.contract import CUSTOMER_SCORES, CUSTOMER_SUMMARY, SEGMENTS
from ..sql.errors import RegularsError, nearest

LONGEST_SEARCH = 200
MOST_SORTS = 3


class FilterError(RegularsError):
    """A filter, sort or page that the client asked for is not one that exists. Answered with 400."""

    exit_code = 2


@dataclass(frozen=True)
class CustomerColumn:
    """One column of the customers' list: where it comes from, how it is written, whether a model made it.

    ``format`` is one of ``text``, ``segment``, ``money``, ``count``, ``decimal``, ``share``, ``days``, ``date``.
    """

    name: str
    label: str
    format: str
    meaning: str
    predicted: bool = False
    shown: bool = True
    width: int = 130


def _column(name: str, label: str, format_: str, **options: Any) -> CustomerColumn:
    for table in (CUSTOMER_SCORES, CUSTOMER_SUMMARY):
        if name in table.column_names:
            predicted = table is CUSTOMER_SCORES and name != "customer_id"
            return CustomerColumn(name, label, format_, table.column(name).meaning, predicted=predicted, **options)
    raise KeyError(name)


_DAYS_SINCE = CustomerColumn(
    "days_since_last_order", "Days since last", "days", "Days from the last purchase day to the as-of date", width=140
)

# What the list of customers shows, sorts by and exports, in this order: the allow-list of every request.
CUSTOMER_COLUMNS: Mapping[str, CustomerColumn] = {
    column.name: column
    for column in (
        _column("customer_id", "Customer", "text", width=150),
        _column("segment", "Segment", "segment", width=120),
        _column("customer_value", "Value", "money", width=115),
        _column("value_low", "Value, low", "money", width=115),
        _column("value_high", "Value, high", "money", width=115),
        _column("probability_alive", "P(alive)", "share", width=130),
        _column("expected_orders", "Expected orders", "decimal", width=145),
        _column("orders_low", "Orders, low", "decimal", shown=False),
        _column("orders_high", "Orders, high", "decimal", shown=False),
        _column("expected_order_value", "Order value", "money", width=120),
        _column("probability_no_order", "P(no order)", "share", shown=False),
        _column("next_order_days", "Next order in", "days", width=130),
        _column("last_order_on", "Last order", "date", width=125),
        _DAYS_SINCE,
        _column("frequency", "Repeat days", "count", width=125),
        _column("orders", "Orders", "count", width=100),
        _column("revenue", "Revenue", "money", width=120),
        _column("first_order_on", "First order", "date", width=125),
        _column("monetary_value", "Mean spend", "money", shown=False),
        _column("return_rate", "Return rate", "share", width=120),
        _column("returned_revenue", "Returned", "money", shown=False),
        _column("returnable_revenue", "Returnable", "money", shown=False),
        _column("T_days", "Customer for", "days", shown=False),
    )
}


@dataclass(frozen=True)
class RangeFilter:
    """One range that customers can be filtered by; ``key`` is its name in the URL."""

    key: str
    column: str
    label: str
    first_row: bool = False

    @property
    def format(self) -> str:
        """How its numbers are written."""
        return CUSTOMER_COLUMNS[self.column].format


RANGE_FILTERS: Mapping[str, RangeFilter] = {
    filter_.key: filter_
    for filter_ in (
        RangeFilter("value", "customer_value", "Value", first_row=True),
        RangeFilter("alive", "probability_alive", "P(alive)", first_row=True),
        RangeFilter("days", "days_since_last_order", "Days since last order", first_row=True),
        RangeFilter("frequency", "frequency", "Repeat days", first_row=True),
        RangeFilter("expected", "expected_orders", "Expected orders"),
        RangeFilter("order_value", "expected_order_value", "Order value"),
        RangeFilter("revenue", "revenue", "Revenue"),
        RangeFilter("orders", "orders", "Orders"),
        RangeFilter("return_rate", "return_rate", "Return rate"),
        RangeFilter("age", "T_days", "Customer for"),
    )
}

# Keys of the page's URL that choose how it looks, not which customers it is about.
VIEW_KEYS = frozenset({"color"})


@dataclass(frozen=True)
class Range:
    """A closed range; None is an open end."""

    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        return f"{_number(self.low)}..{_number(self.high)}"


@dataclass(frozen=True)
class Sort:
    """One column to sort by."""

    column: str
    descending: bool


DEFAULT_SORT = (Sort("customer_value", descending=True),)


@dataclass(frozen=True)
class CustomerFilters:
    """A checked filter over customers, with its sort.

    Examples
    --------
    >>> filters = CustomerFilters.parse("?segment=best,active&value=100..&q=C01")
    >>> filters.segments, str(filters.ranges["value"]), filters.search
    (('best', 'active'), '100..', 'C01')
    >>> filters.query()
    'segment=best,active&value=100..&q=C01'
    >>> CustomerFilters.parse("?valeu=1..2")
    Traceback (most recent call last):
    ...
    regulars.app.filters.FilterError: no filter 'valeu'; did you mean 'value'?
    """

    segments: tuple[str, ...] = ()
    search: str = ""
    ranges: Mapping[str, Range] = field(default_factory=dict)
    sorts: tuple[Sort, ...] = DEFAULT_SORT

    @classmethod
    def parse(cls, query: str | Mapping[str, str] | None) -> "CustomerFilters":
        """Read the query part of a URL, with or without its question mark, or a mapping of its keys.

        Raises
        ------
        FilterError
            Where a key, segment, column or number is not allowed; the text names it and the nearest that is.
        """
        pairs = query.items() if isinstance(query, Mapping) else _pairs(query or "")
        segments: tuple[str, ...] = ()
        search = ""
        ranges: dict[str, Range] = {}
        sorts = DEFAULT_SORT
        for key, text in pairs:
            if key == "segment":
                segments = _segments(text)
            elif key == "q":
                search = _search(text)
            elif key == "sort":
                sorts = _sorts(text)
            elif key in RANGE_FILTERS:
                ranges[key] = _range(key, text)
            elif key not in VIEW_KEYS:
                known = ("segment", "q", "sort", *RANGE_FILTERS)
                raise FilterError(f"no filter {key[:60]!r}{nearest(key[:60], known)}")
        return cls(segments, search, {k: r for k, r in ranges.items() if r != Range()}, sorts)

    def query(self, *, sort: bool = False) -> str:
        """Write it as the query part of a URL, in one canonical order."""
        pairs = []
        if self.segments:
            pairs.append(("segment", ",".join(self.segments)))
        pairs += [(key, str(self.ranges[key])) for key in RANGE_FILTERS if key in self.ranges]
        if self.search:
            pairs.append(("q", self.search))
        if sort and self.sorts != DEFAULT_SORT:
            pairs.append(("sort", ",".join(("-" if s.descending else "") + s.column for s in self.sorts)))
        return urlencode(pairs, safe=",")

    def without(self, *keys: str) -> "CustomerFilters":
        """Return the same without some of its ranges."""
        return replace(self, ranges={key: r for key, r in self.ranges.items() if key not in keys})

    def where(self) -> tuple[str, dict[str, Any]]:
        """Return the condition in SQL and the values it binds; columns come from the allow-list alone.

        Examples
        --------
        >>> CustomerFilters.parse("alive=..0.5&q=C01").where()
        ('probability_alive <= $alive_high AND contains(lower(customer_id), lower($search))',
         {'alive_high': 0.5, 'search': 'C01'})
        """
        conditions: list[str] = []
        values: dict[str, Any] = {}
        if self.segments:
            names = [f"segment_{i}" for i in range(len(self.segments))]
            conditions.append(f"segment IN ({', '.join('$' + name for name in names)})")
            values |= dict(zip(names, self.segments, strict=True))
        for key, range_ in self.ranges.items():
            for bound, operator, end in ((range_.low, ">=", "low"), (range_.high, "<=", "high")):
                if bound is not None:
                    conditions.append(f"{RANGE_FILTERS[key].column} {operator} ${key}_{end}")
                    values[f"{key}_{end}"] = bound
        if self.search:
            conditions.append("contains(lower(customer_id), lower($search))")
            values["search"] = self.search
        return " AND ".join(conditions) or "true", values

    def order_by(self) -> str:
        """Return the ORDER BY list; it ends in ``rowid``, the order of ids, so that a page is the same each time."""
        # rows lie in the order of their ids: the place says the same as the text, and sorts faster
        names = {"customer_id": "rowid"}
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


def _segments(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name for name in text.split(",") if name))
    for name in names:
        if name not in SEGMENTS:
            raise FilterError(f"no segment {name[:60]!r}; there are {', '.join(SEGMENTS)}")
    return names


def _search(text: str) -> str:
    if len(text) > LONGEST_SEARCH:
        raise FilterError(f"the search has {len(text)} characters; at most {LONGEST_SEARCH} are allowed")
    if "\x00" in text:
        raise FilterError("the search holds a NUL character")
    return text.strip()


def _sorts(text: str) -> tuple[Sort, ...]:
    names = [name for name in text.split(",") if name]
    if len(names) > MOST_SORTS:
        raise FilterError(f"{len(names)} columns to sort by; at most {MOST_SORTS} are allowed")
    sorts = tuple(Sort(name.removeprefix("-"), name.startswith("-")) for name in names)
    for sort in sorts:
        if sort.column not in CUSTOMER_COLUMNS:
            column = sort.column[:60]
            raise FilterError(f"no column {column!r} to sort by{nearest(column, tuple(CUSTOMER_COLUMNS))}")
    return sorts or DEFAULT_SORT


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
