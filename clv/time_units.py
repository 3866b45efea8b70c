"""Time units of the models, in days, and yearly discount rates in them."""

import math

from ..sql.errors import ModelError, nearest
from ..sql.pipeline import DAYS_PER_UNIT
from .arguments import require_yearly_rate

DAYS_PER_YEAR = 365.25


def days_per_unit(time_unit: str) -> float:
    """Days in one unit of time; a month is 365.25 / 12 days.

    Raises
    ------
    ModelError
        Where the unit is not hour, day, week or month.

    Examples
    --------
    >>> days_per_unit("month")
    30.4375
    """
    if time_unit not in DAYS_PER_UNIT:
        known = ", ".join(DAYS_PER_UNIT)
        raise ModelError(f"time unit {time_unit!r} is not one of {known}{nearest(time_unit, tuple(DAYS_PER_UNIT))}")
    return DAYS_PER_UNIT[time_unit]


def continuous_rate(discount_rate: float, time_unit: str) -> float:
    """Convert a yearly discount rate into the continuous rate per time unit: ln(1 + d) x unit / year, exactly.

    Money one year away is worth 1 / (1 + d) today, money t units away exp(-rate t).

    Parameters
    ----------
    discount_rate : float
        A year's, such as .10; 0 for no discounting.
    time_unit : str
        hour, day, week or month.

    Raises
    ------
    ModelError
        Where the rate is negative or not finite, or the unit unknown.

    Examples
    --------
    >>> round(math.exp(-12 * continuous_rate(0.10, "month")) * 1.10, 12)
    1.0
    """
    return math.log1p(require_yearly_rate(discount_rate)) * days_per_unit(time_unit) / DAYS_PER_YEAR
