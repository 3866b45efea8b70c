"""A number with its standard error and interval: what every question about effects is answered with."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from ..sql.errors import ModelError


@dataclass(frozen=True)
class Estimate:
    """One estimated number.

    Attributes
    ----------
    value, standard_error : float
        In the units of what was estimated.
    lower, upper : float
        Two-sided interval at ``level``.
    level : float
        Coverage of the interval, .95 unless asked otherwise.
    units : int
        Independent units behind the number: clusters where clusters were given, rows otherwise.

    Examples
    --------
    >>> estimate = interval(0.5, 0.2, units=1000)
    >>> round(estimate.lower, 3), round(estimate.upper, 3), round(estimate.p_value, 4)
    (0.108, 0.892, 0.0126)
    >>> print(estimate)
    0.5 (95% interval 0.1075 to 0.8925)
    """

    value: float
    standard_error: float
    lower: float
    upper: float
    level: float
    units: int

    @property
    def p_value(self) -> float:
        """Two-sided p-value of "the true value is 0"; 1 where value and standard error are both 0."""
        return self.p_value_against(0.0)

    def p_value_against(self, null: float) -> float:
        """Two-sided p-value of "the true value is ``null``"."""
        from scipy.special import stdtr

        gap = abs(self.value - null)
        if self.standard_error == 0.0:
            return 1.0 if gap == 0.0 else 0.0
        return float(2.0 * stdtr(self.units - 1, -gap / self.standard_error))

    @property
    def above_zero(self) -> bool:
        """Whether the whole interval lies above 0."""
        return self.lower > 0.0

    @property
    def below_zero(self) -> bool:
        """Whether the whole interval lies below 0."""
        return self.upper < 0.0

    def scaled(self, factor: float) -> "Estimate":
        """Return the same estimate in other units, e.g. per 1,000 customers; the interval turns where factor < 0."""
        ends = sorted((self.lower * factor, self.upper * factor))
        return Estimate(
            self.value * factor, self.standard_error * abs(factor), ends[0], ends[1], self.level, self.units
        )

    def to_dict(self) -> dict[str, float]:
        """Return the fields and the p-value, for a table's row."""
        return asdict(self) | {"p_value": self.p_value}

    def __str__(self) -> str:
        return f"{self.value:.4g} ({self.level:.0%} interval {self.lower:.4g} to {self.upper:.4g})"


def interval(value: float, standard_error: float, *, units: int, level: float = 0.95) -> Estimate:
    """Return the estimate with its two-sided interval by Student's t with ``units - 1`` degrees of freedom.

    With many units this is the normal interval; with few clusters it is as wide as few clusters warrant.

    Raises
    ------
    ModelError
        Where ``level`` is not between 0 and 1, or there are fewer than two units.

    Examples
    --------
    >>> round(interval(0.0, 1.0, units=10_000).upper, 2), round(interval(0.0, 1.0, units=5).upper, 2)
    (1.96, 2.78)
    """
    half = critical_value(level, units) * standard_error
    return Estimate(float(value), float(standard_error), float(value - half), float(value + half), level, units)


def critical_value(level: float, units: int) -> float:
    """Return the two-sided critical value of Student's t with ``units - 1`` degrees of freedom."""
    from scipy.special import stdtrit

    if not 0.0 < level < 1.0:
        raise ModelError(f"level is {level}; it must lie between 0 and 1, e.g. 0.95.")
    if units < 2:
        raise ModelError(
            f"An interval needs at least 2 independent units, and there are {units}. Value on more customers."
        )
    return float(stdtrit(units - 1, 0.5 + level / 2.0))


def mean_estimate(
    values: np.ndarray,
    *,
    weights: np.ndarray | None = None,
    cluster: np.ndarray | None = None,
    level: float = 0.95,
) -> Estimate:
    """Return the (weighted) mean of one number per row, with the cluster-robust standard error of a ratio of totals.

    Parameters
    ----------
    values : ndarray of shape (n,)
        One number per row, e.g. a doubly robust score.
    weights : ndarray of shape (n,), optional
        Positive weights.
    cluster : ndarray of shape (n,), optional
        Any labels; rows of a cluster are not independent of each other.
    level : float
        Coverage of the interval.

    Raises
    ------
    ModelError
        Where an array has another length, holds NaN or infinite values, or a weight is not positive.

    Examples
    --------
    >>> mean_estimate(np.array([1.0, 2.0, 3.0])).value
    2.0
    """
    values = checked("values", values)
    n = len(values)
    unit, n_units = as_units(cluster, n)
    weights = as_weights(weights, n)
    total = float(weights.sum())
    # sums, not products of vectors: those start threads that wait for each other on a busy machine
    mean = float((weights * values).sum()) / total
    parts = np.bincount(unit, weights * (values - mean), n_units)
    variance = float((parts * parts).sum()) / total**2 * n_units / max(n_units - 1, 1)
    return interval(mean, variance**0.5, units=n_units, level=level)


def checked(name: str, values: np.ndarray, n: int | None = None) -> np.ndarray:
    """Return a finite float vector, of length ``n`` where given, or raise a ModelError that names it."""
    out = np.ascontiguousarray(values, dtype=np.float64)
    if out.ndim != 1:
        raise ModelError(f"{name} has {out.ndim} dimensions; it must be one number per row.")
    if n is not None and len(out) != n:
        raise ModelError(f"{name} has {len(out)} rows; the others have {n}. Align them on the customer first.")
    bad = int((~np.isfinite(out)).sum())
    if bad:
        raise ModelError(f"{name} holds {bad} NaN or infinite values of {len(out)}; mend or drop those rows first.")
    return out


def as_weights(weights: np.ndarray | None, n: int) -> np.ndarray:
    """Return positive weights, ones where none are given."""
    if weights is None:
        return np.ones(n)
    out = checked("weights", weights, n)
    if n and out.min() <= 0.0:
        raise ModelError(f"weights hold {out.min():g}; each must be positive. Drop rows without weight.")
    return out


def as_units(cluster: np.ndarray | None, n: int) -> tuple[np.ndarray, int]:
    """Return the independent unit of each row, 0..units-1, and their number; each row is one where none are given."""
    if cluster is None:
        return np.arange(n, dtype=np.int32), n
    labels = np.asarray(cluster)
    if labels.shape != (n,):
        raise ModelError(f"cluster has shape {labels.shape}; it must be one label per row, ({n},).")
    found, unit = np.unique(labels, return_inverse=True)
    return unit.astype(np.int32).ravel(), len(found)


def tidy(estimates: Mapping[str, Estimate], **columns: object) -> list[dict[str, object]]:
    """Return one dictionary a row, ready for a frame: ``name``, any further columns, then the estimate's fields.

    Examples
    --------
    >>> tidy({"x": interval(1.0, 0.0, units=2)}, target="QINI")[0]["target"]
    'QINI'
    """
    return [{"name": name, **columns, **estimate.to_dict()} for name, estimate in estimates.items()]
