"""A price panel read into arrays and held to what an estimator can take."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..sql.errors import ContractError, nearest
from ..sql.frames import columns_of

CATEGORY_LEVELS = ("category_1", "category_2", "category_3")
_NEEDED = ("item", "week", "units", "price")
_ABOVE_0 = frozenset({"regular_price", "unit_cost", "competitor_price"})
_FROM_0 = frozenset({"on_hand", "promotion_cost"})
_KNOWN = (
    *_NEEDED, "store_id", "regular_price", "discount", "promoted", "display", "mailer", "on_hand", "sold_out",
    "unit_cost", "promotion_cost", "age_weeks", "holiday", "sin_1", "cos_1", "sin_2", "cos_2", "competitor_price",
    *CATEGORY_LEVELS,
)  # fmt: skip


@dataclass(frozen=True)
class PanelArrays:
    """Rows of a price panel with a price and units, sorted by item, store and week.

    Attributes
    ----------
    items : tuple of str
        Names; ``item`` (n,) indexes them, and ``starts`` (items + 1,) are the rows at which each begins.
    stores : tuple of str
        Names; ``store`` (n,) indexes them.
    weeks : ndarray of datetime64[D]
        The panel's periods in order; ``week`` (n,) indexes them.
    units, price : ndarray of shape (n,)
        Sold, and paid for one.
    sold_out : ndarray of shape (n,), bool, or None
        Rows whose units are a lower bound of demand; None where the panel knows no stock.
    columns : dict of str to ndarray of shape (n,)
        Further numbers that the panel has: regular_price, promoted, display, unit_cost, sin_1, ... A competitor's price
        stands there as ``log_competitor_price``, less its item's mean, NaN where it is not known.
    holiday : ndarray of shape (n,), bool, or None
    path : tuple of tuple of str
        For each item its categories from the widest, those that are known.
    dropped : dict of str to int
        Rows set aside by reason: ``missing_price``, ``units_without_price``.
    """

    items: tuple[str, ...]
    item: np.ndarray = field(repr=False)
    starts: np.ndarray = field(repr=False)
    stores: tuple[str, ...] = field(repr=False)
    store: np.ndarray = field(repr=False)
    weeks: np.ndarray = field(repr=False)
    week: np.ndarray = field(repr=False)
    units: np.ndarray = field(repr=False)
    price: np.ndarray = field(repr=False)
    sold_out: np.ndarray | None = field(repr=False)
    columns: dict[str, np.ndarray] = field(repr=False)
    holiday: np.ndarray | None = field(repr=False)
    path: tuple[tuple[str, ...], ...] = field(repr=False)
    dropped: dict[str, int]

    def rows(self, item: int) -> slice:
        """Rows of one item."""
        return slice(int(self.starts[item]), int(self.starts[item + 1]))

    def of_items(self, items: Sequence[int]) -> "PanelArrays":
        """Return the panel as if it held these items alone: their weeks, their stores, and the columns they know.

        Parameters
        ----------
        items : sequence of int
            In rising order.

        Examples
        --------
        >>> both = read_panel({"item": ["a", "b"], "week": [1, 2], "units": [3, 2], "price": [1, 2]})
        >>> alone = both.of_items([1])
        >>> alone.items, alone.week.tolist(), alone.weeks.tolist() == both.weeks[1:].tolist()
        (('b',), [0], True)
        """
        kept = np.concatenate([np.arange(self.starts[i], self.starts[i + 1]) for i in items])
        item = np.repeat(np.arange(len(items)), [self.starts[i + 1] - self.starts[i] for i in items])
        stores, store = np.unique(self.store[kept], return_inverse=True)
        weeks, week = np.unique(self.week[kept], return_inverse=True)
        holiday = None if self.holiday is None else self.holiday[kept]
        return PanelArrays(
            items=tuple(self.items[i] for i in items),
            item=item,
            starts=np.searchsorted(item, np.arange(len(items) + 1)),
            stores=tuple(self.stores[s] for s in stores),
            store=store,
            weeks=self.weeks[weeks],
            week=week,
            units=self.units[kept],
            price=self.price[kept],
            sold_out=None if self.sold_out is None else self.sold_out[kept],
            columns={name: values[kept] for name, values in self.columns.items() if not np.isnan(values[kept]).all()},
            holiday=holiday if holiday is not None and holiday.any() else None,
            path=tuple(self.path[i] for i in items),
            dropped={},
        )


def read_panel(panel: Any, further: Sequence[str] = ()) -> PanelArrays:
    """Read a frame in the shape of ``contract.PRICE_PANEL``; only ``item, week, units, price`` are needed.

    Rows without a price are set aside and counted. Stock that is not known is None, never guessed. ``further`` names
    columns of numbers besides those of the contract.

    Raises
    ------
    ContractError
        A needed column is missing; an item or a week is; a price, own, regular or a competitor's, or a cost is zero,
        negative or infinite; units or stock are negative, infinite or no numbers; ``sold_out`` is neither true nor
        false; an item, store and week stands twice; rows have several currencies; or no row is left.

    Examples
    --------
    >>> weeks = ["2024-01-01", "2024-01-08"]
    >>> arrays = read_panel({"item": ["a", "a"], "week": weeks, "units": [3, 2], "price": [1, 2]})
    >>> arrays.items, arrays.price.tolist(), arrays.sold_out is None
    (('a',), [1.0, 2.0], True)
    """
    frame = columns_of(panel, "a price panel")
    for name in _NEEDED:
        if name not in frame:
            raise ContractError(
                f"the price panel has no column {name!r}{nearest(name, list(frame))}; needed are {', '.join(_NEEDED)}: "
                "make it with price_panel(db), or name the columns so"
            )
    _one_currency(frame)
    item, store = _texts(frame, "item"), _texts(frame, "store_id") if "store_id" in frame else None
    n = len(item)
    store = np.full(n, "", dtype=object) if store is None else store
    week = _days(frame["week"])
    for name, nothing in (("item", item == ""), ("week", np.isnat(week))):
        if nothing.any():
            raise ContractError(
                f"the price panel's {name} is missing in {int(nothing.sum())} of {n} rows; name it there, or leave "
                "these rows out"
            )
    units, price = _numbers(frame, "units"), _numbers(frame, "price")
    wrong = ~((units >= 0.0) & np.isfinite(units))
    _refuse("units", units, wrong, item, week, "a number from 0; returns do not belong into units")
    missing = np.isnan(price)
    _refuse("price", price, ~missing & ~((price > 0.0) & np.isfinite(price)), item, week, "above 0, or missing")
    extra = {name: _numbers(frame, name) for name in dict.fromkeys((*_KNOWN[5:], *further)) if name in frame and
             name not in ("sold_out", "holiday", *CATEGORY_LEVELS)}  # fmt: skip
    for name, values in extra.items():
        wrong, allowed = np.isinf(values), "finite numbers, or missing where not known"
        if name in _ABOVE_0:
            wrong, allowed = wrong | (values <= 0.0), "above 0, or missing where not known"
        elif name in _FROM_0:
            wrong, allowed = wrong | (values < 0.0), "from 0, or missing where not known"
        _refuse(name, values, wrong, item, week, allowed)
    if "competitor_price" in extra:
        extra["log_competitor_price"] = log_competitor_price(extra.pop("competitor_price"), item)
    dropped = {
        "missing_price": int((missing & (units == 0)).sum()),
        "units_without_price": int((missing & (units > 0)).sum()),
    }
    kept = np.flatnonzero(~missing)
    if not len(kept):
        raise ContractError(f"the price panel has {n} rows and none with a price: map unit_price, or revenue and units")
    items, item_code = np.unique(item[kept], return_inverse=True)
    stores, store_code = np.unique(store[kept], return_inverse=True)
    weeks, week_code = np.unique(week[kept], return_inverse=True)
    order = np.lexsort((week_code, store_code, item_code))
    kept, item_code, store_code, week_code = kept[order], item_code[order], store_code[order], week_code[order]
    _refuse_twice(items, item_code, store_code, weeks, week_code)
    sold_out = _sold_out(frame, extra, units)
    holiday = (_texts(frame, "holiday") != "")[kept] if "holiday" in frame else None
    return PanelArrays(
        items=tuple(map(str, items)),
        item=item_code,
        starts=np.searchsorted(item_code, np.arange(len(items) + 1)),
        stores=tuple(map(str, stores)),
        store=store_code,
        weeks=weeks,
        week=week_code,
        units=units[kept],
        price=price[kept],
        sold_out=None if sold_out is None else sold_out[kept],
        columns={name: values[kept] for name, values in extra.items() if not np.isnan(values[kept]).all()},
        holiday=holiday if holiday is not None and holiday.any() else None,
        path=_paths(frame, kept, item_code, len(items)),
        dropped={reason: count for reason, count in dropped.items() if count},
    )


def log_competitor_price(theirs: np.ndarray, item: np.ndarray) -> np.ndarray:
    """Return a competitor's log price less its item's mean; NaN where it is not known."""
    log_price = np.log(theirs)
    known = ~np.isnan(log_price)
    names, code = np.unique(item, return_inverse=True)
    count = np.bincount(code[known], minlength=len(names))
    return log_price - (np.bincount(code[known], log_price[known], len(names)) / np.maximum(count, 1))[code]


def _one_currency(frame: Any) -> None:
    if "currency" in frame:
        found = sorted({str(value) for value in frame["currency"] if value is not None and value == value})
        if len(found) > 1:
            raise ContractError(
                f"the price panel's currency is {', '.join(found)}; prices must be in one currency: make it with "
                "price_panel(db), which converts by [exchange_rates], or convert before"
            )


def _texts(frame: Any, name: str) -> np.ndarray:
    values = frame[name]
    array = _one_by_one(values)
    if array is not None and array.dtype.kind in "OU":
        # a list of Python's own is walked several times faster than a frame's column
        values = array.tolist()
    return np.array(["" if v is None or v != v else str(v) for v in values], dtype=object)


def _one_by_one(values: Any) -> np.ndarray | None:
    """A column as an array, None where it is not a plain one."""
    try:
        array = np.asarray(values)
    except (TypeError, ValueError):
        return None
    return array if array.ndim == 1 else None


def _days(values: Any) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind in "iu":
        # weeks numbered from anywhere: only their order counts
        return np.datetime64("2000-01-03") + 7 * array.astype(np.int64)
    try:
        return array.astype("datetime64[D]")
    except (TypeError, ValueError):
        return np.array([_day(value) for value in array], dtype="datetime64[D]")


def _day(value: Any) -> np.datetime64:
    if value is None or value != value:
        return np.datetime64("NaT")
    try:
        return np.datetime64(value, "D")
    except (TypeError, ValueError):
        raise ContractError(
            f"the price panel's week holds {str(value)!r}; it must be dates, or whole numbers that count weeks"
        ) from None


def _numbers(frame: Any, name: str) -> np.ndarray:
    array = _one_by_one(frame[name])
    if array is not None and array.dtype.kind in "iufb":
        return array.astype(np.float64)
    try:
        return np.array([np.nan if v is None else v for v in frame[name]], dtype=np.float64)
    except (TypeError, ValueError):
        raise ContractError(f"the price panel's {name} holds values that are no numbers; cast the column") from None


def _refuse(name: str, values: np.ndarray, bad: np.ndarray, item: np.ndarray, week: np.ndarray, allowed: str) -> None:
    if bad.any():
        at = int(np.flatnonzero(bad)[0])
        raise ContractError(
            f"the price panel's {name} is {values[at]:g} in {int(bad.sum())} of {len(values)} rows, the first item "
            f"{item[at]!r} in {week[at]}; allowed: {allowed}. Mend these rows or leave them out."
        )


def _refuse_twice(items: np.ndarray, item: np.ndarray, store: np.ndarray, weeks: np.ndarray, week: np.ndarray) -> None:
    same = (item[1:] == item[:-1]) & (store[1:] == store[:-1]) & (week[1:] == week[:-1])
    if same.any():
        at = int(np.flatnonzero(same)[0])
        raise ContractError(
            f"item {items[item[at]]!r} stands twice in {weeks[week[at]]}, and {int(same.sum())} rows so in all; the "
            "panel has one row per item, store_id and week: add units up and average prices first"
        )


def _sold_out(frame: Any, extra: dict[str, np.ndarray], units: np.ndarray) -> np.ndarray | None:
    if "sold_out" in frame:
        array = _one_by_one(frame["sold_out"])
        if array is not None and array.dtype.kind == "b" and len(array):
            return array
        said = [_truth(value) for value in frame["sold_out"]]
        if any(v is not None for v in said):
            return np.array([v is True for v in said])
    on_hand = extra.get("on_hand")
    if on_hand is None or np.isnan(on_hand).all():
        return None
    return units >= on_hand


def _truth(value: Any) -> bool | None:
    if value is None or value != value:
        return None
    if isinstance(value, str) or value not in (0, 1):
        raise ContractError(
            f"the price panel's sold_out holds {str(value)!r}; allowed: true, false, 1, 0, or missing where not known"
        )
    return bool(value)


def _paths(frame: Any, kept: np.ndarray, item: np.ndarray, n_items: int) -> tuple[tuple[str, ...], ...]:
    first = kept[np.searchsorted(item, np.arange(n_items))]
    levels = [_texts(frame, name)[first] for name in CATEGORY_LEVELS if name in frame]
    # categories are known by their whole path: the same word under two departments is two categories
    return tuple(tuple(str(level[i]) for level in levels if level[i]) for i in range(n_items))
