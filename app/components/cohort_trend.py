"""Whether newer cohorts do worse at equal age, with what cohorts differ by anyhow counted in: noise is no trend."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FEWEST_COHORTS = 4
FEWEST_CUSTOMERS = 20
# two questions are asked of the same cohorts: each interval at 97.5%, so that both together hold 95%
LEVEL = 0.975


@dataclass(frozen=True)
class CohortTrend:
    """A straight line through the cohorts' figures.

    Attributes
    ----------
    change : float
        What the line moves by from the first cohort to the last.
    low, high : float
        Its interval at ``LEVEL``.
    first, last : float
        The line at its ends.
    cohorts : int
    heterogeneity : float
        Standard deviation of cohorts around the line beyond what their sizes explain.
    """

    change: float
    low: float
    high: float
    first: float
    last: float
    cohorts: int
    heterogeneity: float

    @property
    def direction(self) -> int:
        """-1 where the interval lies below 0, 1 where above, 0 where it holds 0."""
        return -1 if self.high < 0 else 1 if self.low > 0 else 0


def cohort_trend(when: ArrayLike, figure: ArrayLike, variance: ArrayLike, level: float = LEVEL) -> CohortTrend:
    """Fit a random-effects line: cohorts scatter around it by chance and by what nobody measured.

    The scatter between cohorts is DerSimonian and Laird's (1986), as for a meta-regression; the interval is Knapp and
    Hartung's (2003), on Student's t with cohorts - 2 degrees of freedom, never narrower than the plain one.

    Parameters
    ----------
    when : array-like (k,)
        Time of each cohort, in any unit, in order.
    figure, variance : array-like (k,)
        What is compared, and its sampling variance.
    level : float

    Raises
    ------
    ValueError
        Fewer than three cohorts, or all of one time.

    Examples
    --------
    >>> flat = cohort_trend([0, 1, 2, 3, 4], [0.50, 0.47, 0.52, 0.49, 0.51], [0.001] * 5)
    >>> flat.direction, round(flat.change, 2)
    (0, 0.02)
    """
    from scipy.stats import t as student

    x, y, v = (np.asarray(one, dtype=float) for one in (when, figure, variance))
    if len(x) < 3 or np.ptp(x) == 0:
        raise ValueError(f"{len(x)} cohorts make no line; at least 3 of different times are needed")
    design = np.column_stack([np.ones(len(x)), x])
    between = _between(design, y, v)
    w = 1 / (v + between)
    covariance = np.linalg.inv(design.T @ (w[:, None] * design))
    line = covariance @ design.T @ (w * y)
    left = y - design @ line
    inflation = max(1.0, float(np.sum(w * left**2)) / (len(x) - 2))
    span = float(x[-1] - x[0])
    change = float(line[1]) * span
    reach = float(student.ppf((1 + level) / 2, len(x) - 2)) * math.sqrt(covariance[1, 1] * inflation) * abs(span)
    ends = design[[0, -1]] @ line
    return CohortTrend(
        change, change - reach, change + reach, float(ends[0]), float(ends[1]), len(x), math.sqrt(between)
    )


def _between(design: NDArray[np.float64], y: NDArray[np.float64], v: NDArray[np.float64]) -> float:
    """DerSimonian and Laird's moment estimate of the variance between cohorts."""
    w = 1 / v
    inverse = np.linalg.inv(design.T @ (w[:, None] * design))
    left = y - design @ (inverse @ design.T @ (w * y))
    q = float(np.sum(w * left**2))
    scale = float(w.sum() - np.trace(inverse @ (design.T @ ((w**2)[:, None] * design))))
    return max(0.0, (q - (len(y) - design.shape[1])) / scale)


def equal_age_trends(rows: Sequence[Mapping[str, Any]]) -> dict[str, CohortTrend]:
    """Return the trends of ``came_again`` and ``revenue`` per customer over rows of ``cohort_equal_age``.

    Cohorts of fewer than 20 customers are left out; {} where fewer than four are left.
    """
    kept = [row for row in rows if row["customers"] >= FEWEST_CUSTOMERS]
    if len(kept) < FEWEST_COHORTS:
        return {}
    when = [row["cohort"].toordinal() for row in kept]
    n = np.array([row["customers"] for row in kept], dtype=float)
    again = np.array([row["came_again"] for row in kept], dtype=float)
    revenue = np.array([row["revenue"] for row in kept], dtype=float)
    squared = np.array([row["revenue_squared"] for row in kept], dtype=float)
    # Agresti's: a cohort of whom all came again is not thereby certain
    share = (again + 0.5) / (n + 1)
    mean = revenue / n
    spread = np.maximum(squared / n - mean**2, 0) * n / (n - 1)
    least = max(float(np.max(spread)) * 1e-6, 1e-12)
    return {
        "came_again": cohort_trend(when, again / n, share * (1 - share) / n),
        "revenue": cohort_trend(when, mean, np.maximum(spread, least) / n),
    }
