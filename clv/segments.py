"""The six segments of ``contract.SEGMENTS``, one rule each."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Days for which a customer with one purchase counts as new.
NEW_DAYS = 30
LIKELY_ACTIVE = 0.5
LIKELY_LAPSED = 0.2
TOP_SHARE = 0.1


def assign_segments(
    frequency: ArrayLike,
    T_days: ArrayLike,
    probability_alive: ArrayLike,
    customer_value: ArrayLike,
    *,
    best_from: float | None = None,
) -> NDArray[np.str_]:
    """Segment of each customer, the first rule that holds.

    ``new``: no repeat purchase, the first one within 30 days. ``one_time``: none, and longer ago; the models are not
    asked, because BG/NBD holds every one-time buyer for alive. Of the others: ``lapsed`` where P(alive) < .2,
    ``at_risk`` where it is below .5, ``best`` in the top tenth by value over all customers, else ``active``.

    Parameters
    ----------
    frequency : array_like, shape (n,)
        Repeat purchases.
    T_days : array_like, shape (n,)
        Days since the first purchase.
    probability_alive : array_like, shape (n,)
    customer_value : array_like, shape (n,)
        In currency.
    best_from : float, optional
        Value from which a customer belongs to the top tenth; by default that of the customers given. Name it where
        a base is scored in parts.

    Returns
    -------
    ndarray of str, shape (n,)

    Examples
    --------
    >>> assign_segments([0, 0, 5, 5, 5, 9], [10, 60, 90, 90, 90, 90], [1, 1, 0.1, 0.4, 0.9, 0.9], [1, 1, 2, 3, 4, 9])
    array(['new', 'one_time', 'lapsed', 'at_risk', 'active', 'best'], dtype='<U8')
    """
    x, age, alive = np.asarray(frequency), np.asarray(T_days), np.asarray(probability_alive)
    value = np.asarray(customer_value, dtype=float)
    threshold = top_value(value) if best_from is None else best_from
    return np.select(
        [
            (x == 0) & (age <= NEW_DAYS),
            x == 0,
            alive < LIKELY_LAPSED,
            alive < LIKELY_ACTIVE,
            (value >= threshold) & (value > 0),
        ],
        ["new", "one_time", "lapsed", "at_risk", "best"],
        default="active",
    )


def top_value(customer_value: ArrayLike, share: float = TOP_SHARE) -> float:
    """Value of the last customer of the top ``share``, at least one customer; inf where there is none.

    Examples
    --------
    >>> top_value([5, 1, 2, 3, 4, 6, 7, 8, 9, 10])
    10.0
    """
    value = np.asarray(customer_value, dtype=float)
    if value.size == 0:
        return float("inf")
    first = value.size - max(1, int(np.floor(value.size * share)))
    return float(np.partition(value, first)[first])
