"""The part of every likelihood that knows purchase rates alone: Poisson purchases at Gamma(r, alpha) rates."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .histories import DistinctHistories

Array = NDArray[np.float64]


def rising_sums(c: float, n_max: int) -> tuple[Array, Array, Array]:
    """Ln Gamma(c + n) - ln Gamma(c) for n = 0..n_max and its first two derivatives by c, three arrays (n_max + 1,).

    As running sums they need no special function and lose no digits where c is large.

    Examples
    --------
    >>> rising_sums(1.0, 4)[0].round(6).tolist()  # ln n!
    [0.0, 0.0, 0.693147, 1.791759, 3.178054]
    """
    steps = c + np.arange(n_max)
    inverse = 1.0 / steps
    out = np.zeros((3, n_max + 1))
    np.cumsum(np.log(steps), out=out[0, 1:])
    np.cumsum(inverse, out=out[1, 1:])
    np.cumsum(-inverse * inverse, out=out[2, 1:])
    return out[0], out[1], out[2]


def purchase_sums(data: DistinctHistories) -> Callable[[float, float], tuple[float, Array, Array]]:
    """Return the sum of ln{G(r+x)/G(r) alpha^r (alpha+T)^-(r+x)} as a function of (r, alpha).

    The function returns the value, its gradient (2,) and Hessian (2, 2). Only counts by x and by T enter, so a call
    costs one logarithm per distinct T.
    """
    x, w = data.frequency, data.weight
    by_x = np.bincount(x, w)
    ages, index = data.ages
    by_T = np.bincount(index, w, minlength=ages.size)
    purchases_by_T = np.bincount(index, w * x, minlength=ages.size)
    customers, purchases = float(by_x.sum()), float(purchases_by_T.sum())

    def sums(r: float, alpha: float) -> tuple[float, Array, Array]:
        log_rising, first, second = rising_sums(r, by_x.size - 1)
        inverse = 1.0 / (alpha + ages)
        log_growth = np.log1p(ages / alpha)
        waiting = float((by_T * log_growth).sum())
        rates = r * by_T + purchases_by_T
        value = (
            float((by_x * log_rising).sum())
            - r * waiting
            - float((purchases_by_T * log_growth).sum())
            - purchases * np.log(alpha)
        )
        d_r = float((by_x * first).sum()) - waiting
        d_alpha = r * customers / alpha - float((rates * inverse).sum())
        r_alpha = float((by_T * ages * inverse).sum()) / alpha
        alpha_alpha = -r * customers / alpha**2 + float((rates * inverse * inverse).sum())
        hessian = np.array([[float((by_x * second).sum()), r_alpha], [r_alpha, alpha_alpha]])
        return value, np.array([d_r, d_alpha]), hessian

    return sums


def rate_start(data: DistinctHistories) -> tuple[float, float]:
    """Return (r, alpha) by moments, as if all customers had one age and none had left: a place to start from."""
    w, x = data.weight, data.frequency
    customers = w.sum()
    mean = (w * x).sum() / customers
    variance = (w * (x - mean) ** 2).sum() / customers
    r = float(np.clip(mean**2 / max(variance - mean, 0.05 * mean), 0.05, 50.0))
    return r, r / mean * float((w * data.T).sum() / customers)
