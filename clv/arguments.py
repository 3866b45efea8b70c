"""What callers give beside a summary: times, windows, rates, counts and shares, checked in one wording."""

import reprlib
from datetime import date, datetime
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..sql.errors import ModelError

Array = NDArray[np.float64]

_FINITE = float(np.finfo(np.float64).max)
_BELOW_ONE = float(np.nextafter(1.0, 0.0))
_NUMBERS = "iuf"  # numpy's kinds: whole, whole from 0, floating


def require_time(name: str, value: Any, time_unit: str, *, endless: bool = False) -> float:
    """Return a length of time, or say what it must be; ``endless`` takes infinity, too.

    Raises
    ------
    ModelError
        The value is no number, below 0, or not finite where it must be.

    Examples
    --------
    >>> require_time("horizon", 39, "week")
    39.0
    """
    if endless:
        return _within(name, value, f"a number of {time_unit}s from 0, such as 52, or infinity", most=np.inf)
    return _within(name, value, f"a finite number of {time_unit}s from 0, such as 52")


def require_times(name: str, values: Any, time_unit: str) -> Array:
    """Return one time or an array of them, in the shape given, or say what each must be.

    Raises
    ------
    ModelError
        A value is no number, not finite, or below 0.

    Examples
    --------
    >>> require_times("t", [1, 39], "week")
    array([ 1., 39.])
    """
    found = np.asarray(values)
    if found.size and found.dtype.kind not in _NUMBERS:
        raise _refused(name, values, f"finite numbers of {time_unit}s from 0, such as 52")
    times = found.astype(np.float64)
    wrong = ~np.isfinite(times) | (times < 0)
    if np.any(wrong):
        raise _refused(name, times[wrong][0], f"a finite number of {time_unit}s from 0, such as 52")
    return times


def require_window(start: Any, horizon: Any, time_unit: str) -> tuple[float, float]:
    """Return begin and end of the window (T + start, T + horizon], or say which of them is wrong.

    Raises
    ------
    ModelError
        One is no finite number from 0, or the window ends before it begins.

    Examples
    --------
    >>> require_window(13, 26, "week")
    (13.0, 26.0)
    """
    begin, end = require_time("start", start, time_unit), require_time("horizon", horizon, time_unit)
    if begin > end:
        raise _refused("start", start, f"at most horizon, {end:g}: the window is (T + start, T + horizon]")
    return begin, end


def require_rate(value: Any, time_unit: str, *, above_zero: bool = False) -> float:
    """Return a continuous ``discount_rate`` per time unit, or say what it must be.

    Raises
    ------
    ModelError
        The value is no number, not finite, below 0, or 0 where it must be above.

    Examples
    --------
    >>> require_rate(0.002, "week")
    0.002
    """
    begins = "above" if above_zero else "from"
    allowed = f"a finite continuous rate per {time_unit} {begins} 0, such as 0.002"
    return _within("discount_rate", value, allowed, above_zero=above_zero)


def require_yearly_rate(value: Any) -> float:
    """Return a ``discount_rate`` per year, or say what it must be.

    Raises
    ------
    ModelError
        The value is no number, not finite, or below 0.

    Examples
    --------
    >>> require_yearly_rate(0.1)
    0.1
    """
    return _within("discount_rate", value, "a finite rate per year from 0, such as 0.10")


def require_count(name: str, value: Any) -> int:
    """Return a whole number from 0, or say that it must be one.

    Raises
    ------
    ModelError
        The value is no whole number, or below 0.

    Examples
    --------
    >>> require_count("n_max", np.int64(5))
    5
    """
    if isinstance(value, bool | np.timedelta64) or not isinstance(value, int | np.integer) or value < 0:
        raise _refused(name, value, "a whole number from 0, such as 10")
    return int(value)


def require_counts(name: str, values: Any) -> NDArray[np.int64]:
    """Return one count or an array of them, in the shape given, or say what each must be.

    Raises
    ------
    ModelError
        A value is no whole number, or below 0.

    Examples
    --------
    >>> require_counts("n", [0, 1.0])
    array([0, 1])
    """
    found = np.asarray(values)
    if found.size and found.dtype.kind not in _NUMBERS:
        raise _refused(name, values, "whole numbers from 0, such as 10")
    wrong = ~np.isfinite(found) | (found < 0) | (found != np.floor(found))
    if np.any(wrong):
        raise _refused(name, found[wrong][0], "a whole number from 0, such as 10")
    return found.astype(np.int64)


def require_above_zero(name: str, value: Any, allowed: str) -> float:
    """Return a finite number above 0, or say what it must be: ``allowed``.

    Raises
    ------
    ModelError
        The value is no number, not finite, or not above 0.

    Examples
    --------
    >>> require_above_zero("prior_sd", 0.5, "above 0, such as 0.5")
    0.5
    """
    return _within(name, value, allowed, above_zero=True)


def require_day(name: str, value: Any) -> date:
    """Return a calendar day, given as a date, a timestamp at midnight or ISO text, or say that it must be one.

    Raises
    ------
    ModelError
        The value is no day.

    Examples
    --------
    >>> require_day("until", "2024-04-01")
    datetime.date(2024, 4, 1)
    """
    try:
        if isinstance(value, np.datetime64):
            value = value.astype("datetime64[us]").item()
        elif isinstance(value, str):
            value = datetime.fromisoformat(value)
        if isinstance(value, datetime) and value == datetime.combine(value.date(), datetime.min.time(), value.tzinfo):
            return date(value.year, value.month, value.day)
    except ValueError:
        pass
    if not isinstance(value, date) or isinstance(value, datetime):
        raise _refused(name, value, "a day, such as date(2024, 4, 1) or '2024-04-01'")
    return value


def require_level(value: Any) -> float:
    """Return the probability ``level`` of an interval, or say what it must be.

    Raises
    ------
    ModelError
        The value is no number between 0 and 1.

    Examples
    --------
    >>> require_level(0.8)
    0.8
    """
    return _within("level", value, "between 0 and 1, such as 0.8", above_zero=True, most=_BELOW_ONE)


def require_margin(value: Any) -> float:
    """Return ``margin``, the share of revenue that is kept, or say what it must be.

    Raises
    ------
    ModelError
        The value is no number from 0 to 1.

    Examples
    --------
    >>> require_margin(0.3)
    0.3
    """
    return _within("margin", value, "the share of revenue that is kept, from 0 to 1, such as 0.3", most=1.0)


def _within(name: str, value: Any, allowed: str, *, above_zero: bool = False, most: float = _FINITE) -> float:
    # whoever gives a boolean or a numpy duration has mixed up two arguments
    if isinstance(value, bool | np.bool_ | np.timedelta64) or not isinstance(value, Real | Decimal):
        raise _refused(name, value, allowed)
    number = float(value)
    if not (0 <= number <= most) or (above_zero and number == 0):
        raise _refused(name, value, allowed)
    return number


def _refused(name: str, value: Any, allowed: str) -> ModelError:
    seen = value.item() if isinstance(value, np.generic) else value
    # a whole column is no word on what is wrong in it
    said = repr(seen) if isinstance(seen, str | Real) or not hasattr(seen, "__len__") else reprlib.repr(seen)
    return ModelError(f"{name} is {said}; it must be {allowed}")
