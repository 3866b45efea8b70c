"""Demand that empty shelves hid: what was asked for, given that all there was, was sold."""

from typing import Any

import numpy as np

_STEPS = 40


def demand_given_sales(units: np.ndarray, mean: np.ndarray, sold_out: np.ndarray, size: Any) -> np.ndarray:
    """Return expected demand given what was sold (n,): ``units``, or where it sold out ``E[D | D >= units]``.

    Parameters
    ----------
    units, mean : ndarray of shape (n,)
        Sold, and expected before anything was seen.
    sold_out : ndarray of shape (n,), bool
    size : ndarray of shape (n,), or float
        1 / variance of the gamma shock on the mean; ``inf`` is Poisson, for which the answer is
        ``mean P(D >= units - 1) / P(D >= units)``. Negative binomial: ``mean P(D' >= units - 1) / P(D >= units)``, D'
        of size + 1 and the same odds, as ``d f(d; size) = mean f(d - 1; size + 1)``.

    Source: Cameron & Trivedi 2013, Regression Analysis of Count Data, sections 3.3 and 4.3 (truncated means).

    Examples
    --------
    >>> demand_given_sales(np.array([2.0, 2.0]), np.ones(2), np.array([False, True]), np.inf).round(4).tolist()
    [2.0, 2.3922]
    """
    from scipy.special import betainc, gammainc

    found = np.asarray(units, dtype=np.float64).copy()
    at = np.flatnonzero(sold_out)
    least, m = found[at], np.asarray(mean, dtype=np.float64)[at]
    size = np.broadcast_to(np.asarray(size, dtype=np.float64), found.shape)[at]
    plain = size > 1e6
    k = np.where(plain, 1.0, size)
    share = m / (m + k)
    one, two = np.maximum(least, 1.0), np.maximum(least - 1.0, 1.0)
    tail = np.where(plain, gammainc(one, m), betainc(one, k, share))
    before = np.where(least >= 2.0, np.where(plain, gammainc(two, m), betainc(two, k + 1.0, share)), 1.0)
    expected = np.where(least < 1.0, m, m * before / np.maximum(tail, 1e-300))
    # far below what was sold the tails underflow: there little more than what was sold was asked for
    far = (tail < 1e-280) & (least >= 1.0)
    ratio = np.where(plain, m / (least + 1.0), share * (least + k) / (least + 1.0))
    found[at] = np.maximum(np.where(far, least + ratio / np.maximum(1.0 - ratio, 1e-3), expected), least)
    return found


def levels_given_sales(
    units: np.ndarray,
    shape: np.ndarray,
    group: np.ndarray,
    n: int,
    weight: np.ndarray,
    sold_out: np.ndarray,
    size: float,
) -> np.ndarray:
    """Level of each group at which expected demand, weighed, is what was expected given sales: a fixed point."""
    expected = np.bincount(group, weight * shape, n)
    level = np.maximum(np.bincount(group, weight * units, n), 0.5 * weight.min()) / np.maximum(expected, 1e-300)
    told = np.bincount(group, ~sold_out, n) > 0
    if not sold_out.any():
        return level
    for _ in range(_STEPS):
        filled = demand_given_sales(units, shape * level[group], sold_out, size)
        new = np.maximum(np.bincount(group, weight * filled, n), 0.5 * weight.min()) / np.maximum(expected, 1e-300)
        # a group that sold out in every week says "at least so much" and no more
        new = np.where(told, new, level)
        if np.abs(np.log(new / level)).max() < 1e-6:
            return new
        level = new
    return level
