"""What the planning tool's inputs say, checked: they come from a client."""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any

from ...sql.errors import SettingsError
from ..campaign_planner import Asked
from .uplift_tool import SLOTS

_LONGEST_TEXT = 100
_MOST_SEGMENTS = 20


def read_inputs(campaign: str, arms: Sequence[str], given: Mapping[str, Any], usual_day: Callable[[], date]) -> Asked:
    """Return what is asked for, from the inputs by their key in the URL; ``usual_day`` is asked where no day is named.

    Raises
    ------
    SettingsError
        One is not what it should be.

    Examples
    --------
    >>> read_inputs("winback", ["mail"], {"budget": "500", "cost1": "0.1"}, lambda: date(2026, 5, 4))
    Asked(campaign='winback', on=datetime.date(2026, 5, 4), budget=500.0, costs=(('mail', 0.1),), ...)
    """
    said = {key: given.get(key) for key in ("budget", "quiet", "on", "only", "without")}
    slots = list(zip(SLOTS, arms, strict=False))
    costs = [(arm, _number(f"cost of {arm}", given.get(f"cost{slot}"))) for slot, arm in slots]
    stock = [(arm, _number(f"stock of {arm}", given.get(f"stock{slot}"), least=0, whole=True)) for slot, arm in slots]
    quiet = _number("days since the last send", said["quiet"], least=1, most=3650, whole=True)
    without = said["without"] if isinstance(said["without"], list) else []
    names = sorted({one for one in without if isinstance(one, str) and 0 < len(one) <= _LONGEST_TEXT})
    only = said["only"] if isinstance(said["only"], str) and len(said["only"]) <= _LONGEST_TEXT else ""
    return Asked(
        campaign=campaign,
        on=_day(said["on"]) or usual_day(),
        budget=_number("budget", said["budget"], least=0),
        costs=tuple((arm, cost) for arm, cost in costs if cost is not None),
        stock=tuple((arm, int(pieces)) for arm, pieces in stock if pieces is not None),
        segment=only,
        exclude_segments=tuple(names[:_MOST_SEGMENTS]),
        quiet_days=None if quiet is None else int(quiet),
    )


def _number(what: str, given: Any, *, least: float = -1e12, most: float = 1e12, whole: bool = False) -> float | None:
    if given is None or given == "" or isinstance(given, bool) or not isinstance(given, str | int | float):
        return None
    try:
        value = float(given) if not isinstance(given, str) else float(given[:40])
    except (ValueError, OverflowError):
        raise SettingsError(f"the {what} is {str(given)[:40]!r}; write a number, or leave it empty") from None
    if not math.isfinite(value) or not least <= value <= most or (whole and value != int(value)):
        kind = "a whole number" if whole else "a number"
        raise SettingsError(f"the {what} is {str(given)[:40]}; it is {kind} from {least:g} to {most:g}")
    return value


def _day(given: Any) -> date | None:
    if not isinstance(given, str) or not given:
        return None
    try:
        return date.fromisoformat(given[:40])
    except ValueError:
        raise SettingsError(f"the day of the sends is {given[:40]!r}; write it as 2026-05-04") from None
