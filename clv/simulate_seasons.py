"""Customers of a shop with seasons, or with covariates that change over time, drawn with known parameters."""

from collections.abc import Callable, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..sql.errors import ModelError
from ..sql.frames import columns_of
from .purchase_dates import Days
from .seasonal_clock import read_days
from .simulate import _purchases, _start
from .time_units import days_per_unit

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

_MICROSECONDS_A_DAY = 86_400e6


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


def simulate_time_varying_purchases(
    parameters: Mapping[str, float],
    covariates: Any,
    *,
    as_of: Any,
    seed: int,
    n_customers: int | None = None,
    acquired_until: Any = None,
    period_days: int | None = None,
    time_unit: str = "week",
) -> "pd.DataFrame":
    """Draw the purchases of customers whose rates follow covariates, from Pareto/NBD (see `TimeVaryingParetoNBDModel`).

    Parameters
    ----------
    parameters
        r, alpha, s, beta in ``time_unit``, ``purchase.<column>`` and ``dropout.<column>``.
    covariates
        As `read_covariate_paths` reads them. With ``customer_id`` its customers are drawn, else ``n_customers``.
    as_of
        Where the draw ends; a date stands for its end.
    seed
        Same seed, same customers.
    acquired_until
        Customers come evenly between the first period's begin and this date; half of the way where not given.
    period_days, time_unit
        As for `read_covariate_paths`.

    Returns
    -------
    DataFrame
        ``customer_id`` and ``time``, in this order; the first time of a customer is the first purchase.

    Raises
    ------
    ModelError, ContractError
        As `read_covariate_paths` and `TimeVaryingParetoNBDModel.from_parameters` raise them.

    Examples
    --------
    >>> weeks = {"period": ["2017-01-02", "2017-01-09"], "mailing": [0, 1]}
    >>> truth = {"r": 1.0, "alpha": 1.0, "s": 0.6, "beta": 12.0, "purchase.mailing": 1.0}
    >>> drawn = simulate_time_varying_purchases(truth, weeks, n_customers=2, as_of="2017-01-15", seed=1)
    >>> list(drawn), drawn["customer_id"].nunique()
    (['customer_id', 'time'], 2)
    """
    import pandas as pd

    from .covariate_paths import position_of, read_covariate_paths
    from .time_varying import TimeVaryingParetoNBDModel

    model = TimeVaryingParetoNBDModel.from_parameters(parameters, time_unit=time_unit)
    frames = covariates if isinstance(covariates, list | tuple) else [covariates]
    ids = _customers(frames, n_customers)
    rng = np.random.default_rng(seed)
    first = min(read_days(columns["period"], "period", "covariates").min() for columns in map(columns_of, frames))
    begin, end = float(first.astype(np.int64)), position_of(as_of)
    until = 0.5 * (begin + end) if acquired_until is None else position_of(acquired_until)
    if not begin <= until <= end:
        raise ModelError(
            f"the first period {first}, acquired_until {acquired_until} and as_of {as_of} are out of order"
        )
    came = np.rint((begin + rng.random(ids.size) * (until - begin)) * _MICROSECONDS_A_DAY)
    paths = read_covariate_paths(
        {"customer_id": ids, "time": came.astype(np.int64).astype("datetime64[us]")},
        frames,
        as_of=as_of,
        period_days=period_days,
        time_unit=time_unit,
    )
    unit = days_per_unit(time_unit)
    r, alpha, s, beta = model.params_.values()
    rate, death = rng.gamma(r, 1.0 / alpha, ids.size), rng.gamma(s, 1.0 / beta, ids.size)
    with np.errstate(divide="ignore", over="ignore"):
        leaves = rng.exponential(size=ids.size) / death
    coefficients = np.array(list(model.coefficients_.values()))
    split = len(model.purchase)
    pace_a = np.exp(paths.matrix(model.purchase) @ coefficients[:split])
    pace_b = np.exp(paths.matrix(model.dropout) @ coefficients[split:])
    customer, time = [np.arange(ids.size)], [paths.born]
    n_periods = paths.boundaries.size - 1
    for i in range(ids.size):
        edges = np.clip(paths.boundaries, paths.born[i], paths.end)
        rows = slice(paths.first_row[i], paths.first_row[i] + n_periods)
        length = np.diff(edges) / unit
        A, B = (np.concatenate([[0.0], np.cumsum(length * pace[rows])]) for pace in (pace_a, pace_b))
        left = np.interp(leaves[i], B, edges)  # the end, where it is not reached
        bought = np.sort(rng.random(rng.poisson(rate[i] * np.interp(left, edges, A)))) * np.interp(left, edges, A)
        time.append(np.interp(bought, A, edges))
        customer.append(np.full(bought.size, i))
    position = np.concatenate(time)
    stamps = np.rint(position * _MICROSECONDS_A_DAY).astype(np.int64).astype("datetime64[us]")
    frame = pd.DataFrame({"customer_id": paths.customer_id[np.concatenate(customer)], "time": stamps})
    return frame.sort_values(["customer_id", "time"], kind="stable", ignore_index=True)


def _customers(frames: Any, n_customers: int | None) -> NDArray[Any]:
    own = [columns["customer_id"] for columns in map(columns_of, frames) if "customer_id" in columns]
    if own:
        return np.unique(np.concatenate([np.asarray(c.to_list() if hasattr(c, "to_list") else c) for c in own]))
    if n_customers is None:
        raise ModelError("covariates without customer_id are the same for all; say how many with n_customers")
    return np.arange(n_customers)
