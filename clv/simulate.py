"""Customers drawn from the models with known parameters: for tests, studies and benchmarks.

Every customer buys by a Poisson process of his own rate until he leaves; the models differ in when that is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ..sql.errors import ModelError
from .arguments import require_time
from .time_units import days_per_unit

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class _Lives:
    """Purchase rate (n,), repeat purchases until leaving (n,), and time until leaving (n,)."""

    rate: Array
    last_purchase: NDArray[np.int64]
    lifetime: Array


def simulate_nbd(
    params: Mapping[str, Any],
    n_customers: int,
    T: Any,
    seed: int,
    *,
    holdout: float = 0.0,
    whole_days: bool = False,
    time_unit: str = "week",
) -> "pd.DataFrame":
    """Draw a summary of customers who never leave; see :func:`simulate_bg_nbd` for the arguments.

    Examples
    --------
    >>> simulate_nbd({"r": 1.0, "alpha": 5.0}, 3, T=52, seed=1)["frequency"].tolist()
    [9, 3, 62]
    """
    return _summary("nbd", params, n_customers, T, seed, holdout, time_unit, whole_days=whole_days)


def simulate_bg_nbd(
    params: Mapping[str, Any],
    n_customers: int,
    T: Any,
    seed: int,
    *,
    holdout: float = 0.0,
    whole_days: bool = False,
    time_unit: str = "week",
) -> "pd.DataFrame":
    """Draw a summary from BG/NBD: customers who may leave after each repeat purchase.

    Parameters
    ----------
    params
        Name -> value, times in ``time_unit``; one for all, or (n_customers,), as covariates make them.
    n_customers
        How many.
    T
        Age at the as-of date: one for all, or (n_customers,).
    seed
        Same seed, same customers.
    holdout
        Length of a further window whose purchases come out as ``frequency_holdout``.
    whole_days
        Times are whole days and purchases of one day are one, as in a real summary; T must then be whole days.
    time_unit
        Unit of all times; it travels with the frame (``attrs["time_unit"]``).

    Returns
    -------
    DataFrame
        ``frequency, recency, T, is_alive`` (at T) and ``frequency_holdout``, one row per customer.

    Raises
    ------
    ModelError
        A parameter is missing or not positive, or a time is negative.

    Examples
    --------
    >>> summary = simulate_bg_nbd({"r": 0.25, "alpha": 4.0, "a": 0.8, "b": 2.5}, 1000, T=52, seed=1, holdout=26)
    >>> list(summary)
    ['frequency', 'recency', 'T', 'is_alive', 'frequency_holdout']
    """
    return _summary("bg_nbd", params, n_customers, T, seed, holdout, time_unit, whole_days=whole_days)


def simulate_mbg_nbd(
    params: Mapping[str, Any],
    n_customers: int,
    T: Any,
    seed: int,
    *,
    holdout: float = 0.0,
    whole_days: bool = False,
    time_unit: str = "week",
) -> "pd.DataFrame":
    """Draw a summary from MBG/NBD: customers who may leave after every purchase; see :func:`simulate_bg_nbd`.

    Examples
    --------
    >>> params = {"r": 0.5, "alpha": 6.0, "a": 0.9, "b": 1.6}
    >>> len(simulate_mbg_nbd(params, 10, T=52, seed=1))
    10
    """
    return _summary("mbg_nbd", params, n_customers, T, seed, holdout, time_unit, whole_days=whole_days)


def simulate_pareto_nbd(
    params: Mapping[str, Any],
    n_customers: int,
    T: Any,
    seed: int,
    *,
    holdout: float = 0.0,
    whole_days: bool = False,
    time_unit: str = "week",
) -> "pd.DataFrame":
    """Draw a summary from Pareto/NBD: customers who may leave at any time; see :func:`simulate_bg_nbd`.

    Examples
    --------
    >>> params = {"r": 0.55, "alpha": 10.6, "s": 0.6, "beta": 11.7}
    >>> len(simulate_pareto_nbd(params, 10, T=52, seed=1))
    10
    """
    return _summary("pareto_nbd", params, n_customers, T, seed, holdout, time_unit, whole_days=whole_days)


def simulate_purchases(
    model: str, params: Mapping[str, Any], n_customers: int, T: Any, seed: int, *, time_unit: str = "week"
) -> "pd.DataFrame":
    """Draw every purchase of new customers until T, the first at time 0.

    Parameters
    ----------
    model
        "nbd", "bg_nbd", "mbg_nbd" or "pareto_nbd".
    params, n_customers, T, seed, time_unit
        As in :func:`simulate_bg_nbd`.

    Returns
    -------
    DataFrame
        ``customer`` (0, 1, ...) and ``time``, in this order.

    Examples
    --------
    >>> simulate_purchases("nbd", {"r": 1.0, "alpha": 5.0}, 2, T=10, seed=1)["customer"].unique().tolist()
    [0, 1]
    """
    import pandas as pd

    rng, lives, ages = _start(model, params, n_customers, T, seed)
    customer, time = _purchases(rng, lives, ages)
    everyone = np.arange(n_customers)
    frame = pd.DataFrame(
        {"customer": np.concatenate([everyone, customer]), "time": np.concatenate([np.zeros(n_customers), time])}
    )
    frame = frame.sort_values(["customer", "time"], kind="stable", ignore_index=True)
    frame.attrs["time_unit"] = time_unit
    return frame


def simulate_gamma_gamma(params: Mapping[str, Any], frequency: Any, seed: int) -> "pd.DataFrame":
    """Draw mean spends from Gamma-Gamma for customers with given numbers of repeat purchases.

    Parameters
    ----------
    params
        p, q and v (currency).
    frequency
        (n,) repeat purchases; a customer without any gets a monetary_value of 0.
    seed
        Same seed, same spends.

    Returns
    -------
    DataFrame
        ``frequency, monetary_value, mean_spend``: the observed mean and the customer's own true mean, in currency.

    Examples
    --------
    >>> spends = simulate_gamma_gamma({"p": 6.25, "q": 3.74, "v": 15.44}, [0, 2, 5], seed=1)
    >>> float(spends["monetary_value"][0])
    0.0
    """
    import pandas as pd

    from .gamma_gamma import GammaGammaModel

    GammaGammaModel.from_parameters(**params)
    p, q, v = params["p"], params["q"], params["v"]
    rng = np.random.default_rng(seed)
    x = np.asarray(frequency, dtype=np.int64)
    scale = 1.0 / rng.gamma(q, 1.0 / v, x.size)
    total = rng.gamma(p * np.maximum(x, 1), scale)
    observed = np.where(x > 0, total / np.maximum(x, 1), 0.0)
    return pd.DataFrame({"frequency": x, "monetary_value": observed, "mean_spend": p * scale})


def simulate_left_censored(
    model: str,
    params: Mapping[str, Any],
    n_customers: int,
    window: float,
    history: float,
    seed: int,
    *,
    acquisition: float = 1.0,
    holdout: float = 0.0,
    time_unit: str = "week",
) -> "pd.DataFrame":
    """Draw the summary that a shop makes whose data begin in the middle of its customers' lives.

    Customers come at a constant rate, from ``history`` before the data's begin until the as-of date; who has left
    before the data begin, or buys nothing in the window, is not seen.

    Parameters
    ----------
    model, params, seed, time_unit
        As in :func:`simulate_purchases`.
    n_customers
        Customers who come, seen or not.
    window, history
        Length of the data, and how long customers had been coming before.
    acquisition
        Rate of coming before the window over that within.
    holdout
        Length of a further window whose purchases come out as ``frequency_holdout``.

    Returns
    -------
    DataFrame
        ``frequency, recency, T`` from the first purchase in the window; ``is_old`` and ``tenure``, the time since each
        really came (leave out what a shop does not know); ``frequency_holdout``.

    Examples
    --------
    >>> truth = {"r": 0.55, "alpha": 6.0, "a": 0.8, "b": 2.4}
    >>> seen = simulate_left_censored("bg_nbd", truth, 1000, window=52, history=52, seed=1)
    >>> bool(len(seen) < 1000), bool((seen["T"] <= 52).all())
    (True, True)
    """
    import pandas as pd

    rng = np.random.default_rng(seed)
    old = rng.random(n_customers) < acquisition * history / (acquisition * history + window)
    came = rng.random(n_customers) * np.where(old, history, window)
    tenure = np.where(old, window + came, window - came)
    bought = simulate_purchases(model, params, n_customers, tenure + holdout, seed + 1)
    customer, at = bought["customer"].to_numpy(), bought["time"].to_numpy()
    age = tenure[customer] - at  # before the as-of date
    later = np.bincount(customer[age < 0], minlength=n_customers)
    seen = (age <= window) & (age >= 0)
    first, last = np.zeros(n_customers), np.full(n_customers, np.inf)
    np.maximum.at(first, customer[seen], age[seen])
    np.minimum.at(last, customer[seen], age[seen])
    count = np.bincount(customer[seen], minlength=n_customers)
    who = np.flatnonzero(count)
    frame = pd.DataFrame(
        {
            "frequency": count[who] - 1,
            "recency": first[who] - last[who],
            "T": first[who],
            "is_old": old[who],
            "tenure": tenure[who],
        }
    )
    if holdout > 0:
        frame["frequency_holdout"] = later[who]
    frame.attrs["time_unit"] = time_unit
    return frame


def _start(
    model: str, params: Mapping[str, Any], n_customers: int, T: Any, seed: int
) -> tuple[Generator, _Lives, Array]:
    if model not in _LIVES:
        raise ModelError(f"model {model!r} cannot be simulated; there are {', '.join(_LIVES)}")
    names, draw = _LIVES[model]
    if set(params) != set(names) or not all(np.all(np.isfinite(v) & (np.asarray(v) > 0)) for v in params.values()):
        raise ModelError(f"{model} takes positive {', '.join(names)}; given were {dict(params)}")
    ages = np.broadcast_to(np.asarray(T, dtype=np.float64), (n_customers,))
    if not np.all(np.isfinite(ages)) or np.any(ages < 0):
        raise ModelError(f"T is {T!r}; it must be a time from 0, or one for each of {n_customers} customers")
    rng = np.random.default_rng(seed)
    return rng, draw(rng, params, n_customers), ages


def _nbd(rng: Generator, params: Mapping[str, Any], n: int) -> _Lives:
    rate = rng.gamma(params["r"], 1.0 / params["alpha"], n)
    return _Lives(rate, np.full(n, _NEVER), np.full(n, np.inf))


def _bg_nbd(rng: Generator, params: Mapping[str, Any], n: int) -> _Lives:
    lives = _nbd(rng, params, n)
    p = np.maximum(rng.beta(params["a"], params["b"], n), 1e-18)
    return _Lives(lives.rate, rng.geometric(p), lives.lifetime)


def _mbg_nbd(rng: Generator, params: Mapping[str, Any], n: int) -> _Lives:
    lives = _bg_nbd(rng, params, n)
    return _Lives(lives.rate, lives.last_purchase - 1, lives.lifetime)


def _pareto_nbd(rng: Generator, params: Mapping[str, Any], n: int) -> _Lives:
    lives = _nbd(rng, params, n)
    death = rng.gamma(params["s"], 1.0 / params["beta"], n)
    with np.errstate(divide="ignore", over="ignore"):
        return _Lives(lives.rate, lives.last_purchase, rng.exponential(size=n) / death)


_Draw = Callable[[Generator, Mapping[str, Any], int], _Lives]
_LIVES: dict[str, tuple[tuple[str, ...], _Draw]] = {
    "nbd": (("r", "alpha"), _nbd),
    "bg_nbd": (("r", "alpha", "a", "b"), _bg_nbd),
    "mbg_nbd": (("r", "alpha", "a", "b"), _mbg_nbd),
    "pareto_nbd": (("r", "alpha", "s", "beta"), _pareto_nbd),
}


def _summary(
    model: str,
    params: Mapping[str, Any],
    n_customers: int,
    T: Any,
    seed: int,
    holdout: float,
    time_unit: str,
    *,
    whole_days: bool,
) -> "pd.DataFrame":
    import pandas as pd

    holdout = require_time("holdout", holdout, time_unit)
    rng, lives, ages = _start(model, params, n_customers, T, seed)
    if whole_days:
        observed = _by_whole_days(rng, lives, ages, holdout, days_per_unit(time_unit))
    else:
        observed = _by_count(rng, lives, ages, holdout)
    frame = pd.DataFrame(
        {
            "frequency": observed.frequency,
            "recency": observed.recency,
            "T": ages,
            "is_alive": (lives.lifetime > ages) & observed.stayed,
        }
    )
    if holdout > 0:
        frame["frequency_holdout"] = observed.later
    frame.attrs["time_unit"] = time_unit
    return frame


@dataclass(frozen=True)
class _Observed:
    """Repeat purchases until T (n,), the last one's time, whether it was followed by leaving, purchases after T."""

    frequency: NDArray[np.int64]
    recency: Array
    stayed: NDArray[np.bool_]
    later: NDArray[np.int64]


def _by_count(rng: Generator, lives: _Lives, ages: Array, holdout: float) -> _Observed:
    """Draw counts alone: given k purchases in a window, their times are k uniforms in order."""
    until = np.minimum(ages, lives.lifetime)
    events = rng.poisson(lives.rate * until)
    x = np.minimum(events, lives.last_purchase)
    recency = np.where(x > 0, until * rng.beta(np.maximum(x, 1), events - x + 1), 0.0)
    later = rng.poisson(lives.rate * (np.minimum(ages + holdout, lives.lifetime) - until))
    later = np.minimum(later, np.maximum(lives.last_purchase - events, 0))
    return _Observed(x, recency, lives.last_purchase > x, later)


def _by_whole_days(rng: Generator, lives: _Lives, ages: Array, holdout: float, days: float) -> _Observed:
    """Draw every purchase and collapse each customer's day; a day's purchases are dated to its end."""
    age_days, end_days = ages * days, (ages + holdout) * days
    whole = np.abs(age_days - np.rint(age_days)) < 1e-6
    if not whole.all():
        raise ModelError(f"T {ages[~whole][0]} is no whole number of days; whole_days needs one")
    customer, time = _purchases(rng, lives, ages + holdout)
    day = np.ceil(time * days).astype(np.int64)
    first_of_day = np.ones(customer.size, bool)
    first_of_day[1:] = (customer[1:] != customer[:-1]) | (day[1:] != day[:-1])
    before = day <= np.rint(age_days).astype(np.int64)[customer]
    n = ages.size
    recency = np.zeros(n)
    np.maximum.at(recency, customer[before], day[before] / days)
    x = np.bincount(customer[before & first_of_day], minlength=n)
    later = np.bincount(customer[~before & first_of_day & (day <= end_days[customer])], minlength=n)
    stayed = lives.last_purchase > np.bincount(customer[before], minlength=n)
    return _Observed(x, np.minimum(recency, ages), stayed, later)


def _purchases(rng: Generator, lives: _Lives, end: Array) -> tuple[NDArray[np.int64], Array]:
    """Repeat purchases in (0, end], by customer and time: (customer, time)."""
    until = np.minimum(end, lives.lifetime)
    events = rng.poisson(lives.rate * until)
    customer = np.repeat(np.arange(end.size), events)
    time = rng.random(customer.size) * until[customer]
    order = np.lexsort((time, customer))
    customer, time = customer[order], time[order]
    rank = np.arange(customer.size) - np.repeat(np.cumsum(events) - events, events)
    kept = rank < lives.last_purchase[customer]
    return customer[kept], time[kept]
