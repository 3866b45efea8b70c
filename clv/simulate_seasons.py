"""Customers of a shop with seasons, or with covariates that change over time, drawn with known parameters."""

from collections.abc import Callable, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..sql.errors import ModelError
from .purchase_dates import Days
from .simulate import _purchases, _start
from .time_units import days_per_unit

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]


def simulate_seasonal_purchases(
    model: str,
    params: Mapping[str, float],
    n_customers: int,
    first_day: Any,
    last_day: Any,
    *,
    pace: Callable[[Days], Any],
    seed: int,
    acquired_until: Any = None,
    time_unit: str = "week",
) -> "pd.DataFrame":
    """Draw every purchase day of customers on a seasonal clock.

    Parameters
    ----------
    model, params
        As for `simulate_purchases`; rates are those at a pace of 1. With "pareto_nbd" lifetimes run on the clock, too.
    n_customers
        How many.
    first_day, last_day
        Dates; customers come evenly between the first and ``acquired_until`` and are drawn until the last.
    pace
        From (d,) calendar days to the pace on each, from 0.
    seed
        Same seed, same customers.
    acquired_until
        Half of the way where not given.

    Returns
    -------
    DataFrame
        ``customer_id`` and ``day``, one row for each day on which a customer bought, in this order.

    Raises
    ------
    ModelError
        Parameters as for `simulate_purchases`; dates out of order; a pace below 0 or not finite, or 0 throughout.

    Examples
    --------
    >>> days = simulate_seasonal_purchases("nbd", {"r": 1.0, "alpha": 5.0}, 3, "2017-01-01", "2017-12-31",
    ...                                    pace=lambda days: np.ones(days.size), seed=1)
    >>> list(days), days["customer_id"].nunique()
    (['customer_id', 'day'], 3)
    """
    import pandas as pd

    first, last = np.datetime64(first_day, "D"), np.datetime64(last_day, "D")
    until = first + (last - first) // 2 if acquired_until is None else np.datetime64(acquired_until, "D")
    if not first <= until <= last:
        raise ModelError(f"first_day {first}, acquired_until {until} and last_day {last} are out of order")
    calendar = np.arange(first, last + 1)
    rate = np.asarray(pace(calendar), dtype=np.float64)
    if rate.shape != calendar.shape or not np.isfinite(rate).all() or (rate < 0).any() or not rate.any():
        raise ModelError(f"pace must give a finite number from 0 for each of {calendar.size} days, not 0 on all")
    unit = days_per_unit(time_unit)
    rng = np.random.default_rng(seed)
    open_days = np.flatnonzero((rate > 0) & (calendar <= until))
    came = rng.choice(open_days, n_customers)
    passed = np.cumsum(rate) / unit
    ages = passed[-1] - passed[came]
    draw, lives, ages = _start(model, params, n_customers, ages, int(rng.integers(2**63)))
    customer, time = _purchases(draw, lives, ages)
    day = np.minimum(np.searchsorted(passed, passed[came[customer]] + time), calendar.size - 1)
    everyone = np.arange(n_customers)
    frame = pd.DataFrame(
        {"customer_id": np.concatenate([everyone, customer]), "day": calendar[np.concatenate([came, day])]}
    )
    frame["day"] = frame["day"].astype("datetime64[s]")
    return frame.drop_duplicates().sort_values(["customer_id", "day"], kind="stable", ignore_index=True)


def summarise_purchase_days(
    days: Any, as_of: date | str, time_unit: str = "week", observation_end: date | str | None = None
) -> "tuple[pd.DataFrame, pd.DataFrame]":
    """Make of purchase days what a seasonal model is fitted to: the summary, and repeat purchases by day.

    Parameters
    ----------
    days : DataFrame
        ``customer_id``, ``day``: the table ``customer_days``, or drawn.
    as_of
        The last day that counts.
    observation_end
        Where given, ``frequency_holdout`` counts the purchase days after ``as_of`` until then.

    Returns
    -------
    summary, repeat_purchases_by_day : DataFrame
        ``customer_id, frequency, recency, T, first_order_on, last_order_on``; ``day, purchase_days``.

    Examples
    --------
    >>> import pandas as pd
    >>> days = pd.DataFrame({"customer_id": [1, 1], "day": pd.to_datetime(["2017-01-01", "2017-01-08"])})
    >>> summary, by_day = summarise_purchase_days(days, "2017-01-15")
    >>> summary[["frequency", "recency", "T"]].values.tolist(), by_day["purchase_days"].tolist()
    ([[1.0, 1.0, 2.0]], [1])
    """
    import pandas as pd

    unit, end = days_per_unit(time_unit), pd.Timestamp(as_of)
    frame = days[["customer_id", "day"]].drop_duplicates()
    seen = frame[frame["day"] <= end]
    by_customer = seen.groupby("customer_id")["day"]
    summary = by_customer.agg(first_order_on="min", last_order_on="max", frequency="size").reset_index()
    summary["frequency"] -= 1
    summary["recency"] = (summary["last_order_on"] - summary["first_order_on"]).dt.days / unit
    summary["T"] = (end - summary["first_order_on"]).dt.days / unit
    if observation_end is not None:
        later = frame[(frame["day"] > end) & (frame["day"] <= pd.Timestamp(observation_end))]
        counts = later.groupby("customer_id").size()
        summary["frequency_holdout"] = counts.reindex(summary["customer_id"], fill_value=0).to_numpy()
    summary.attrs["time_unit"] = time_unit
    repeat = seen[seen["day"] > by_customer.transform("min")]
    by_day = repeat.groupby("day").size().rename("purchase_days").reset_index()
    return summary, by_day
