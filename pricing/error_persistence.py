"""How long demand shocks last, and what that does to the error of a price slope.

A price that stands for a quarter is read through demand shocks that last for weeks: twelve weeks of one price are then
far from twelve observations. How shocks of one week carry over to later ones is estimated over all items of a category
together, for one item's series is too short to tell; how much of it enters an item's slope follows from its own prices.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_LEAST_SHARE = 0.3
_FEWEST_WEEKS = 8
_LARGEST = 25.0
_SPENT = 3.0


def week_series(week: np.ndarray, values: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a series over all weeks of sums of values in units of their deviation, and in which weeks there are any.

    Parameters
    ----------
    week : ndarray of shape (n,), int
    values, weight : ndarray of shape (n,)
        Of each row; ``weight`` is the variance of a row's score.

    Examples
    --------
    >>> series, there = week_series(np.array([0, 0, 2]), np.array([1.0, 3.0, 2.0]), np.array([2.0, 2.0, 1.0]))
    >>> series.tolist(), there.tolist()
    ([2.0, 0.0, 2.0], [1.0, 0.0, 1.0])
    """
    total = np.bincount(week, weight)
    there = total > 0
    return np.bincount(week, values) / np.sqrt(np.where(there, total, 1.0)), there.astype(float)


@dataclass(frozen=True)
class Persistence:
    """Autocorrelations of the weeks' shocks at lags 1, 2, ..., up to where they cannot be told from none.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> series = []
    >>> for _ in range(20):
    ...     shock = rng.normal(size=200)
    ...     for week in range(1, 200):
    ...         shock[week] += 0.6 * shock[week - 1]
    ...     series.append((shock - shock.mean(), np.ones(200)))
    >>> lasting = Persistence.of(series)
    >>> lasting.correlation[:2].round(1).tolist()
    [0.6, 0.4]

    A price that alternates is read better for it, one that stands for long is read worse.

    >>> standing, ones = np.repeat(np.tile([-1.0, 1.0], 10), 10), np.ones(200)
    >>> bool(2.3 < lasting.of_slope(standing, ones) < 3.0)  # 2.5 by its closed form
    True
    """

    correlation: np.ndarray

    @staticmethod
    def of(series: Sequence[tuple[np.ndarray, np.ndarray]]) -> "Persistence":
        """Estimate from the items' residuals by week, as of `week_series`.

        A residual understates how its shock lasts, for its own level and slopes were fitted to it: each of them takes
        the long-run variance over the number of weeks out of every autocovariance (Kendall 1954); that is given back.
        Three coefficients are reckoned, a level and two slopes, which is too much rather than too little. Lags count up
        to the first that is then within 1.645 standard errors of none (Politis 2003), a quarter of the weeks at most.
        """
        weeks = float(np.mean([there.sum() for _, there in series])) if series else 0.0
        if weeks < _FEWEST_WEEKS:
            return Persistence(np.empty(0))
        lags = int(weeks // 4)
        product, count = np.zeros(lags + 1), np.zeros(lags + 1)
        for values, there in series:
            for lag in range(min(lags, len(values) - 1) + 1):
                end = len(values) - lag
                product[lag] += values[lag:] @ values[:end]
                count[lag] += there[lag:] @ there[:end]
        if product[0] <= 0.0:
            return Persistence(np.empty(0))
        mean = product / np.maximum(count, 1.0)
        found = mean[1:] / mean[0]
        kept, back = 0, 0.0
        for _ in range(3):
            low = np.flatnonzero(found + back < 1.645 / np.sqrt(np.maximum(count[1:], 1.0)))
            kept = int(low[0]) if len(low) else lags
            long_run = (1.0 + 2.0 * found[:kept].sum()) / max(1.0 - _SPENT * (1 + 2 * kept) / weeks, _LEAST_SHARE)
            back = _SPENT * max(long_run, 0.0) / weeks
        return Persistence(np.clip((found[:kept] + back) / (1.0 + back), 0.0, 0.95))

    def of_slope(self, weights: np.ndarray, there: np.ndarray) -> float:
        """Return by how much a slope's variance is larger than if shocks ended with their week; at least 1.

        ``weights`` are what the slope makes of each week's shock, in units of its deviation.
        """
        plain = float(weights @ weights)
        if plain <= 0.0 or not there.any():
            return 1.0
        total = sum(
            rho * float(weights[lag:] @ weights[:-lag])
            for lag, rho in enumerate(self.correlation, start=1)
            if lag < len(weights)
        )
        return float(np.clip(1.0 + 2.0 * total / plain, 1.0, _LARGEST))
