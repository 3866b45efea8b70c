"""Repeat purchases week by week, as they came and as the models expected them."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..sql.contract import ORDER_TRACKING
from ..sql.errors import ContractError, ModelError, nearest
from ..sql.frames import columns_of, contract_table, frame_like
from .columns import read_columns
from .time_units import days_per_unit

if TYPE_CHECKING:
    from .btyd import BTYDModel

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_ONE_DAY = np.timedelta64(1, "D")
_SIX_DAYS = np.timedelta64(6, "D")


def track_orders(
    models: "Mapping[str, BTYDModel] | Iterable[BTYDModel]",
    first_purchases_by_day: Any,
    repeat_purchases_by_day: Any,
    calibration_end: date,
    week_starts_on: str = "monday",
    *,
    observation_end: date | None = None,
) -> Any:
    """Actual and expected repeat purchase days of the calibration's customers, week by week.

    Customers acquired on day d expect E[X(t - d)] repeat purchases by day t, so the expectation is summed over the
    days of acquisition: it is right for customers who came during the calibration. Nobody who came after its end
    counts, on either side.

    Parameters
    ----------
    models : mapping of name to model, or models
        Fitted on the calibration.
    first_purchases_by_day : frame
        ``day``, ``customers``: acquired that day; the query of that name.
    repeat_purchases_by_day : frame
        ``day``, ``purchase_days``: repeat purchase days of these customers; the query of that name.
    calibration_end : date
        Last day of the calibration. A week that begins after it is holdout; the week that it cuts is not.
    week_starts_on : str
        monday, ..., sunday.
    observation_end : date, optional
        Last day tracked; by default the last day of ``repeat_purchases_by_day``, at least ``calibration_end``.

    Returns
    -------
    frame
        In the shape of ``contract.ORDER_TRACKING``: models in the order given, weeks ascending; the kind of frame
        that came in. A last week that the data's end cuts is left out, since it would look like a fall.

    Raises
    ------
    ContractError
        Where a frame lacks a column.
    ModelError
        Where nobody was acquired by ``calibration_end``, or the weekday is unknown.

    Notes
    -----
    Fader, Hardie and Lee (2005), "Counting Your Customers the Easy Way", Marketing Science 24, section 4.

    Examples
    --------
    >>> import pandas as pd
    >>> from regulars.clv.nbd import NBDModel
    >>> model = NBDModel.from_parameters(r=0.5, alpha=10.0)
    >>> first = pd.DataFrame({"day": pd.to_datetime(["1997-01-06", "1997-01-08"]), "customers": [100, 40]})
    >>> repeat = pd.DataFrame({"day": pd.to_datetime(["1997-01-10", "1997-01-19"]), "purchase_days": [3, 8]})
    >>> tracking = track_orders([model], first, repeat, date(1997, 1, 12))
    >>> tracking[["is_holdout", "actual", "expected"]].round(2)
       is_holdout  actual  expected
    0       False     3.0      5.43
    1        True     8.0      7.00
    """
    if week_starts_on not in WEEKDAYS:
        raise ModelError(
            f"week_starts_on is {week_starts_on!r}{nearest(week_starts_on, WEEKDAYS)}; it is one of "
            f"{', '.join(WEEKDAYS)}"
        )
    end = np.datetime64(calibration_end, "D")
    first_day, customers = _counts_by_day(first_purchases_by_day, "customers")
    first_day, customers = first_day[first_day <= end], customers[first_day <= end]
    repeat_day, purchases = _counts_by_day(repeat_purchases_by_day, "purchase_days")
    if not customers.sum() > 0:
        raise ModelError(f"no customer was acquired by calibration_end {calibration_end}; take a later day")
    last = np.datetime64(observation_end, "D") if observation_end else max(end, *repeat_day)
    weeks = _weeks(first_day.min(), last, WEEKDAYS.index(week_starts_on))
    weeks = weeks[weeks + _SIX_DAYS <= last] if weeks[0] + _SIX_DAYS <= last else weeks
    last_days = np.minimum(weeks + _SIX_DAYS, last)
    actual_cumulative = _cumulative(repeat_day, purchases, last_days)
    rows: list[dict[str, Any]] = []
    named = models if isinstance(models, Mapping) else {model.name: model for model in models}
    for name, model in named.items():
        expected_cumulative = _expected_cumulative(model, first_day, customers, last_days)
        rows.append(
            {
                "model": np.full(len(weeks), name, dtype=object),
                "week": weeks,
                "is_holdout": weeks > end,
                "actual": np.diff(actual_cumulative, prepend=0.0),
                "expected": np.diff(expected_cumulative, prepend=0.0),
                "actual_cumulative": actual_cumulative,
                "expected_cumulative": expected_cumulative,
            }
        )
    columns = {column: np.concatenate([part[column] for part in rows]) for column in rows[0]}
    return frame_like(first_purchases_by_day, contract_table(ORDER_TRACKING, columns))


def _counts_by_day(frame: Any, column: str) -> tuple[NDArray[np.datetime64], NDArray[np.float64]]:
    counts = read_columns(frame, [column])[column]
    columns = columns_of(frame)
    if "day" not in columns:
        raise ContractError(f"the frame of {column} by day has no column 'day'{nearest('day', list(columns))}")
    days = columns["day"]
    days = days.to_list() if hasattr(days, "to_list") else list(days)
    order = np.argsort(found := np.array(days, dtype="datetime64[D]"), kind="stable")
    return found[order], counts[order]


def _weeks(first: np.datetime64, last: np.datetime64, week_starts_on: int) -> NDArray[np.datetime64]:
    # day 0 of numpy's count, 1970-01-01, was a Thursday: 3, with monday at 0
    since = (int(first.astype(np.int64)) + 3 - week_starts_on) % 7
    return np.arange(first - np.timedelta64(since, "D"), last + _ONE_DAY, np.timedelta64(7, "D"))


def _cumulative(
    day: NDArray[np.datetime64], count: NDArray[np.float64], until: NDArray[np.datetime64]
) -> NDArray[np.float64]:
    running = np.concatenate([[0.0], np.cumsum(count)])
    return running[np.searchsorted(day, until, side="right")]


def _expected_cumulative(
    model: Any,
    first_day: NDArray[np.datetime64],
    customers: NDArray[np.float64],
    until: NDArray[np.datetime64],
) -> NDArray[np.float64]:
    if hasattr(model, "expected_purchases_by_cohort"):  # it matters on which day a customer came
        return (customers * model.expected_purchases_by_cohort(first_day, until)).sum(axis=1)
    age = (until[:, None] - first_day[None, :]).astype(np.int64)  # days, (weeks, days of acquisition)
    by_age = model.expected_purchases_new(np.arange(age.max() + 1) / days_per_unit(model.time_unit_))
    return (customers * by_age[np.maximum(age, 0)]).sum(axis=1)
