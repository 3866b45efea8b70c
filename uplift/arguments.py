"""Arguments that must be numbers of a kind: said by name, before they turn into a limit that is none."""

import math
from typing import Any

from ..sql.errors import ModelError


def whole_number(name: str, given: Any, least: int, *, error: type[ModelError] = ModelError, hint: str = "") -> int:
    """Return a whole number from ``least`` up; whole floats are taken, yes and no are not.

    Parameters
    ----------
    name : str
        Of the argument, for the error.
    given : object
    least : int
    error : type of ModelError
        What to raise.
    hint : str
        Put behind what is allowed, e.g. ``", or None for no limit"``.

    Raises
    ------
    ModelError
        Where it is anything else.

    Examples
    --------
    >>> whole_number("seed", 3.0, 0)
    3
    >>> whole_number("seed", "a", 0)
    Traceback (most recent call last):
    regulars.sql.errors.ModelError: seed is 'a'; it is a whole number of 0 or more
    """
    value = _as_float(given)
    if value is None or not value.is_integer() or value < least:
        raise error(f"{name} is {_shown(given)}; it is a whole number of {least} or more{hint}")
    return int(given)


def share(name: str, given: Any, meaning: str, *, error: type[ModelError] = ModelError) -> float:
    """Return a share in [0, 1).

    Raises
    ------
    ModelError
        Where it is anything else.

    Examples
    --------
    >>> share("fatigue", float("nan"), "the share that each contact takes away")
    Traceback (most recent call last):
    regulars.sql.errors.ModelError: fatigue is nan; it is the share that each contact takes away, in [0, 1)
    """
    value = _as_float(given)
    if value is None or not 0.0 <= value < 1.0:
        raise error(f"{name} is {_shown(given)}; it is {meaning}, in [0, 1)")
    return value


def _as_float(given: Any) -> float | None:
    if isinstance(given, str | bytes) or type(given).__name__ in ("bool", "bool_"):
        return None
    try:
        value = float(given)
    except (TypeError, ValueError, OverflowError):
        return None
    return None if math.isnan(value) else value


def _shown(given: Any) -> str:
    return str(given.item()) if hasattr(given, "item") and getattr(given, "ndim", 0) == 0 else repr(given)
