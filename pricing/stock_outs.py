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
    # the tails are what costs: of each law only its own rows, and all at once where there is one law
    if plain.all():
        tail, before = gammainc(one, m), gammainc(two, m)
    elif not plain.any():
        tail, before = betainc(one, k, share), betainc(two, k + 1.0, share)
    else:
        tail = np.where(plain, gammainc(one, m), betainc(one, k, share))
        before = np.where(plain, gammainc(two, m), betainc(two, k + 1.0, share))
    before = np.where(least >= 2.0, before, 1.0)
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
    size: float | np.ndarray,
) -> np.ndarray:
    """Level of each group at which expected demand, weighed, is what was expected given sales: a fixed point."""
    expected = np.bincount(group, weight * shape, n)
    level = np.maximum(np.bincount(group, weight * units, n), 0.5 * weight.min()) / np.maximum(expected, 1e-300)
    told = np.bincount(group, ~sold_out, n) > 0
    if not sold_out.any():
        return level
    # a group that sold out in every week says "at least so much" and no more
    moves = told & (np.bincount(group, sold_out, n) > 0)
    kept = np.bincount(group, np.where(sold_out, 0.0, weight * units), n)
    at = np.flatnonzero(sold_out & moves[group])
    size = np.broadcast_to(np.asarray(size, dtype=np.float64), units.shape)
    every = np.ones(len(units), np.bool_)
    for _ in range(_STEPS):
        # rows that did not sell out are as they are, and groups that have settled are left
        filled = demand_given_sales(units[at], shape[at] * level[group[at]], every[: len(at)], size[at])
        new = np.maximum(kept + np.bincount(group[at], weight[at] * filled, n), 0.5 * weight.min())
        new = np.where(moves, new / np.maximum(expected, 1e-300), level)
        moves = moves & (np.abs(np.log(new / level)) >= 1e-6)
        level = new
        at = at[moves[group[at]]]
        if not len(at):
            return level
    return level


def lost_between(
    units: np.ndarray, mean: np.ndarray, size: np.ndarray, doubt: np.ndarray, edges: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the quantiles of demand beyond what was sold, given that all was sold; two arrays of shape (n,).

    Parameters
    ----------
    units, mean, size : ndarray of shape (n,)
        As of `demand_given_sales`.
    doubt : ndarray of shape (n,)
        Variance of the log mean by what is not known; it widens the shock.
    edges : (float, float)

    Examples
    --------
    >>> lower, upper = lost_between(np.array([4.0]), np.array([6.0]), np.array([8.0]), np.array([0.0]), (0.05, 0.95))
    >>> float(lower[0]), float(upper[0])
    (0.0, 9.0)
    """
    from scipy.special import betainc
    from scipy.stats import nbinom

    # 1 / size is a variance relative to the mean, and so is what doubt adds to it
    wide = 1.0 / (1.0 / size + np.expm1(np.minimum(doubt, 20.0)))
    share = mean / (mean + wide)
    tail = np.where(units < 1.0, 1.0, betainc(np.maximum(units, 1.0), wide, share))
    # where the tail underflows nothing but what was sold is known
    far = tail < 1e-280
    lower, upper = (
        np.where(far, 0.0, np.maximum(nbinom.isf(np.where(far, 0.5, tail * (1.0 - e)), wide, 1.0 - share) - units, 0.0))
        for e in edges
    )
    return lower, upper
