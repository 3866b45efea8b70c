"""Purchases beside covariates that change from period to period: read, checked and laid out for the likelihood."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..sql.errors import ContractError, ModelError, nearest
from ..sql.frames import columns_of
from .arguments import require_count
from .columns import read_columns
from .seasonal_clock import read_days
from .time_units import days_per_unit

Array = NDArray[np.float64]
Index = NDArray[np.int64]

_DAY = np.timedelta64(1, "D")
_MICROSECONDS_A_DAY = 86_400_000_000


@dataclass(frozen=True)
class CovariatePaths:
    """Histories of purchases and the covariates of every period that they touch; positions are days on one axis.

    Attributes
    ----------
    customer_id
        (n,) in ascending order: the order of every prediction.
    frequency
        (n,) int64, repeat purchases x.
    born, last, end
        (n,) positions of the first purchase, of the last, and of the as-of date.
    purchase_customer, purchase_period
        (m,) int64: whose each repeat purchase was, and in which period it fell.
    boundaries
        (p + 1,) positions at which periods begin, and the last one's end.
    columns
        Name -> (rows,) values; a customer's periods are the p rows from ``first_row``.
    first_row
        (n,) int64; 0 for all where every column is common to all customers.
    time_unit
        Of the model's times.

    Examples
    --------
    >>> purchases = {"customer_id": ["a", "a"], "day": ["2017-01-02", "2017-01-20"]}
    >>> weeks = {"period": ["2017-01-02", "2017-01-09", "2017-01-16"], "mailing": [0, 1, 0]}
    >>> paths = read_covariate_paths(purchases, weeks, as_of="2017-01-22")
    >>> paths.frequency.tolist(), paths.purchase_period.tolist()
    ([1], [2])
    """

    customer_id: NDArray[Any]
    frequency: Index
    born: Array
    last: Array
    end: float
    purchase_customer: Index
    purchase_period: Index
    boundaries: Array
    columns: Mapping[str, Array] = field(repr=False)
    first_row: Index = field(repr=False)
    time_unit: str = "week"

    def __len__(self) -> int:
        return self.frequency.size

    def matrix(self, names: Sequence[str]) -> Array:
        """Columns side by side, (rows, k)."""
        rows = next(iter(self.columns.values())).size
        return np.stack([self.columns[name] for name in names], axis=1) if names else np.zeros((rows, 0))

    def day(self, position: float) -> np.datetime64:
        """The last calendar day that ends by a position."""
        return np.datetime64("1970-01-01", "D") + int(np.ceil(position)) - 1

    def summary(self) -> dict[str, Array]:
        """Frequency, recency and T in time units, as plain models read them."""
        unit = days_per_unit(self.time_unit)
        return {
            "frequency": self.frequency.astype(float),
            "recency": (self.last - self.born) / unit,
            "T": (self.end - self.born) / unit,
        }


def read_covariate_paths(
    purchases: Any, covariates: Any, *, as_of: Any, period_days: int | None = None, time_unit: str = "week"
) -> CovariatePaths:
    """Read purchases and the covariates of each period, the past's and, for predictions, the future's.

    Parameters
    ----------
    purchases : frame
        ``customer_id`` and ``day`` (a purchase counts at the end of its day, and a day's purchases are one), or
        ``customer_id`` and ``time``. The first is the customer's beginning; those after ``as_of`` do not count.
    covariates : frame, or several
        ``period`` (first day of the period) and columns of numbers; with ``customer_id`` the rows are a customer's own,
        without they are the same for all. Several frames may bring different columns.
    as_of : date or timestamp
        Where the histories end; a date stands for its end.
    period_days
        Length of a period; the distance of the frames' periods where not given, a week where there is only one.
    time_unit
        "day", "week" or "month": that of the model's parameters and horizons.

    Raises
    ------
    ContractError
        A column is missing, or holds a value that is missing or no number; a period stands twice or is missing (it is
        named); periods are not evenly spaced; a customer has no covariates.
    ModelError
        ``period_days`` is no whole number from 1; no customer has bought by ``as_of``, or the covariates begin after
        the first purchase or end before ``as_of``.

    Examples
    --------
    >>> purchases = {"customer_id": ["a", "a"], "day": ["2017-01-02", "2017-01-20"]}
    >>> weeks = {"period": ["2017-01-02", "2017-01-16"], "mailing": [0, 0]}
    >>> read_covariate_paths(purchases, weeks, as_of="2017-01-22", period_days=7)
    Traceback (most recent call last):
    ...
    regulars.sql.errors.ContractError: covariates have no period that begins on 2017-01-09; give one row for each ...
    """
    if period_days is not None and require_count("period_days", period_days) == 0:
        raise ModelError("period_days is 0; a period has one day at least, such as 7")
    customer, position = _read_purchases(purchases)
    end = position_of(as_of)
    if not (position <= end).any():
        raise ModelError(f"no purchase lies by as_of {as_of}; take a later day")
    customer, position = customer[position <= end], position[position <= end]
    order = np.lexsort((position, customer))
    customer, position = customer[order], position[order]
    ids, index = np.unique(customer, return_inverse=True)
    fresh = np.ones(index.size, dtype=bool)
    fresh[1:] = (index[1:] != index[:-1]) | (position[1:] != position[:-1])
    index, position = index[fresh].astype(np.int64), position[fresh]
    begins = np.ones(index.size, dtype=bool)
    begins[1:] = index[1:] != index[:-1]
    born, last = position[begins], position[np.append(begins[1:], True)]
    frames = covariates if isinstance(covariates, list | tuple) else [covariates]
    starts, columns, first_row = _read_covariates(frames, ids, born, period_days)
    length = starts[1]
    boundaries = starts[0].astype("datetime64[D]").astype(float)
    boundaries = np.append(boundaries, boundaries[-1] + length)
    _require_cover(boundaries, born.min(), end)
    period = np.searchsorted(boundaries, position[~begins], side="left") - 1
    frequency = np.bincount(index[~begins], minlength=ids.size)
    days_per_unit(time_unit)
    return CovariatePaths(
        ids, frequency, born, last, end, index[~begins], period, boundaries, columns, first_row, time_unit
    )


def _read_purchases(purchases: Any) -> tuple[NDArray[Any], Array]:
    columns = columns_of(purchases, "purchases")
    by_day = "time" not in columns
    for name in ("customer_id", "day" if by_day else "time"):
        if name not in columns:
            raise ContractError(f"purchases have no column {name!r}{nearest(name, list(columns))}")
    customer = _ids(columns["customer_id"], "purchases")
    if by_day:
        return customer, read_days(columns["day"], "day", "purchases").astype(float) + 1.0
    values = columns["time"]
    try:
        times = np.asarray(values.to_numpy() if hasattr(values, "to_numpy") else values).astype("datetime64[us]")
    except (TypeError, ValueError) as error:
        raise ContractError(f"column 'time' of purchases holds no timestamps: {error}") from error
    if np.isnat(times).any():
        raise ContractError(f"column 'time' of purchases is missing in row {int(np.argmax(np.isnat(times)))}")
    return customer, times.astype(np.int64) / _MICROSECONDS_A_DAY


def position_of(as_of: Any) -> float:
    """Position of a moment, in days; a date stands for its end.

    Raises
    ------
    ModelError
        It is neither date nor timestamp.

    Examples
    --------
    >>> position_of("1970-01-02"), position_of("1970-01-02T12:00")
    (2.0, 1.5)
    """
    try:
        moment = np.datetime64(as_of)
    except (TypeError, ValueError):
        moment = np.datetime64("NaT")
    if np.isnat(moment):
        raise ModelError(f"as_of is {as_of!r}; it must be a date such as 2017-12-31, or a timestamp")
    if np.datetime_data(moment.dtype)[0] == "D":
        return float(moment.astype(np.int64)) + 1.0
    return float(moment.astype("datetime64[us]").astype(np.int64)) / _MICROSECONDS_A_DAY


def _ids(column: Any, what: str) -> NDArray[Any]:
    values = np.asarray(column.to_list() if hasattr(column, "to_list") else list(column))
    missing = np.array([v is None or v != v for v in values.tolist()])
    if missing.any():
        raise ContractError(f"customer_id of {what} is missing in row {int(np.argmax(missing))}")
    return values


def _read_covariates(
    frames: Sequence[Any], ids: NDArray[Any], born: Array, period_days: int | None
) -> tuple[tuple[Any, int], dict[str, Array], Index]:
    """Periods and their length, columns by row, and where a customer's rows begin."""
    if not frames:
        raise ContractError("there are no covariates; give a frame with the column period")
    read = []
    for frame in frames:
        columns = columns_of(frame, "covariates")
        if "period" not in columns:
            raise ContractError(f"covariates have no column 'period'{nearest('period', list(columns))}")
        read.append((columns, read_days(columns["period"], "period", "covariates")))
    starts, length = _periods([days for _, days in read], period_days)
    own = any("customer_id" in columns for columns, _ in read)
    n_rows = starts.size * (ids.size if own else 1)
    # a customer's periods before the first purchase may be left out: they are never looked at
    first_needed = np.searchsorted(starts.astype(float), born, side="right") - 1
    found: dict[str, Array] = {}
    for columns, days in read:
        names = [name for name in columns if name not in ("period", "customer_id")]
        if not names:
            raise ContractError("a frame of covariates has no column beside period and customer_id")
        values = read_columns(columns, names)
        period = ((days - starts[0]) // (length * _DAY)).astype(np.int64)
        for name in names:
            if name in found:
                raise ContractError(f"covariate {name!r} stands in two frames; rename or drop one")
            missing = ~np.isfinite(values[name])
            if missing.any():
                row = int(np.argmax(missing))
                raise ContractError(f"covariate {name!r} is missing or not finite in period {days[row]} (row {row})")
        if "customer_id" in columns:
            customer = _ids(columns["customer_id"], "covariates")
            at = np.minimum(np.searchsorted(ids, customer), ids.size - 1) if ids.size else np.zeros(0, np.int64)
            known = ids[at] == customer
            row = at[known] * starts.size + period[known]
            _refuse_twice(row, starts, ids)
            seen = np.zeros(n_rows, dtype=bool)
            seen[row] = True
            _refuse_missing(seen.reshape(ids.size, starts.size), first_needed, starts, ids, length)
            for name in names:
                found[name] = np.zeros(n_rows)
                found[name][row] = values[name][known]
        else:
            _refuse_twice(period, starts, None)
            gone = np.setdiff1d(np.arange(starts.size), period)
            if gone.size:
                raise _without(starts[gone], length)
            for name in names:
                common = np.zeros(starts.size)
                common[period] = values[name]
                found[name] = np.tile(common, ids.size) if own else common
    first_row = np.arange(ids.size, dtype=np.int64) * starts.size if own else np.zeros(ids.size, np.int64)
    return (starts, length), found, first_row


def _periods(given: list[Any], period_days: int | None) -> tuple[Any, int]:
    starts = np.unique(np.concatenate(given))
    if starts.size == 0:
        raise ContractError("the covariates hold no row")
    gaps = np.diff(starts).astype(np.int64)
    length = period_days or (int(gaps.min()) if gaps.size else 7)
    if length < 1 or (gaps % length != 0).any():
        wrong = int(np.argmax(gaps % length != 0))
        raise ContractError(
            f"periods are not evenly spaced: {starts[wrong]} and {starts[wrong + 1]} are {gaps[wrong]} days apart, "
            f"others {length}"
        )
    return np.arange(starts[0], starts[-1] + 1, length), length


def _without(gone: Any, length: int) -> ContractError:
    named = ", ".join(str(day) for day in gone[:3]) + (f" and {gone.size - 3} more" if gone.size > 3 else "")
    return ContractError(
        f"covariates have no period that begins on {named}; give one row for each {length} days, with 0 where nothing "
        "happened"
    )


def _refuse_twice(row: Index, starts: Any, ids: NDArray[Any] | None) -> None:
    values, counts = np.unique(row, return_counts=True)
    if (counts > 1).any():
        twice = int(values[np.argmax(counts > 1)])
        whose = "" if ids is None else f" of customer {ids[twice // starts.size]}"
        raise ContractError(f"period {starts[twice % starts.size]}{whose} stands twice in the covariates")


def _refuse_missing(seen: NDArray[np.bool_], needed: Index, starts: Any, ids: NDArray[Any], length: int) -> None:
    gone = ~seen & (np.arange(starts.size) >= needed[:, None])
    if gone.any():
        customer = int(np.argmax(gone.any(axis=1)))
        which = starts[gone[customer]]
        if not seen[customer].any():
            raise ContractError(
                f"customer {ids[customer]} has no covariates; every customer with a purchase needs them"
            )
        raise ContractError(f"customer {ids[customer]}: {_without(which, length)}")


def _require_cover(boundaries: Array, first: float, end: float) -> None:
    day = np.datetime64("1970-01-01", "D")
    if first < boundaries[0]:
        raise ModelError(
            f"covariates begin on {day + int(boundaries[0])}, the first purchase on {day + int(np.ceil(first)) - 1}; "
            "give the covariates of all periods since, or leave out customers who came before"
        )
    if end > boundaries[-1]:
        raise ModelError(
            f"covariates end on {day + int(boundaries[-1]) - 1}, the histories on {day + int(np.ceil(end)) - 1}; give "
            "the covariates of all periods until then"
        )
