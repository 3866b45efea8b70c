"""Whether predicted effects are as large as they say: bins of predictions beside held-out means, and a slope near 1.

The slope is the best linear predictor of Chernozhukov, Demirer, Duflo & Fernandez-Val (2018, NBER 24678) on doubly
robust scores: score = mean + slope * (prediction - mean prediction). Slope 1 with equal means is a calibrated effect;
slope 0 is a prediction that knows nothing, a slope below 1 one that spreads too far.
"""

from dataclasses import dataclass

import numpy as np

from ..sql.errors import ModelError
from .estimate import Estimate, as_units, as_weights, checked, interval, mean_estimate


@dataclass(frozen=True)
class EffectBin:
    """Customers with like predictions: how many, their mean prediction, and their effect by held-out scores."""

    customers: int
    predicted: float
    actual: Estimate


@dataclass(frozen=True)
class EffectCalibration:
    """Predicted effects against held-out ones.

    Attributes
    ----------
    bins : tuple of EffectBin
        From the lowest predictions to the highest; tied predictions share a bin.
    slope : Estimate or None
        Change in effect per unit of predicted effect; None where all predictions are equal.
    slope_is_one, slope_is_zero : float
        Two-sided p-values; 1 where there is no slope.
    mean_predicted : float
        Mean prediction.
    mean_actual : Estimate
        Mean effect by held-out scores.
    weighted_error : float
        Mean absolute gap between a bin's prediction and its effect, weighted by customers; noise is part of it.

    Examples
    --------
    >>> found = calibration_of_effects(np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.1, 1.0, 2.1, 2.9]), bins=2)
    >>> [each.predicted for each in found.bins], round(found.slope.value, 2)
    ([0.5, 2.5], 0.95)
    """

    bins: tuple[EffectBin, ...]
    slope: Estimate | None
    slope_is_one: float
    slope_is_zero: float
    mean_predicted: float
    mean_actual: Estimate
    weighted_error: float

    def tidy(self) -> list[dict[str, object]]:
        """Return one row per bin, ready for a frame."""
        return [
            {"customers": each.customers, "predicted": each.predicted, **each.actual.to_dict()} for each in self.bins
        ]


def calibration_of_effects(
    predicted: np.ndarray,
    effect_scores: np.ndarray,
    *,
    bins: int = 10,
    weights: np.ndarray | None = None,
    cluster: np.ndarray | None = None,
    level: float = 0.95,
) -> EffectCalibration:
    """Compare predicted effects with held-out scores.

    Parameters
    ----------
    predicted : ndarray of shape (n,)
        Predicted effect of one arm against control, in outcome units.
    effect_scores : ndarray of shape (n,)
        That arm's held-out scores, `scores.contrast`.
    bins : int
        Bins of equal numbers of customers; fewer where predictions tie.
    weights, cluster : ndarray of shape (n,), optional
        Positive weights; labels of independent units.
    level : float
        Coverage of the intervals.

    Raises
    ------
    ModelError
        Where lengths differ, values are not finite, or ``bins`` is less than 1.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> effect = rng.normal(size=5000)
    >>> found = calibration_of_effects(2.0 * effect, effect + rng.normal(size=5000), bins=5)
    >>> round(found.slope.value, 1), found.slope_is_one < 0.001, [each.customers for each in found.bins]
    (0.5, True, [1000, 1000, 1000, 1000, 1000])
    """
    if bins < 1:
        raise ModelError(f"bins is {bins}; there must be at least 1.")
    predicted = checked("predicted", predicted)
    n = len(predicted)
    effect_scores = checked("effect_scores", effect_scores, n)
    weight = as_weights(weights, n)
    found = tuple(_bins(predicted, effect_scores, min(bins, n), weight, cluster, level))
    gaps = np.array([abs(each.predicted - each.actual.value) for each in found])
    slope = _slope(predicted, effect_scores, weight, cluster, level)
    return EffectCalibration(
        found,
        slope,
        slope.p_value_against(1.0) if slope else 1.0,
        slope.p_value if slope else 1.0,
        float(np.average(predicted, weights=weight)),
        mean_estimate(effect_scores, weights=weights, cluster=cluster, level=level),
        float(np.average(gaps, weights=[each.customers for each in found])),
    )


def _bins(
    predicted: np.ndarray,
    effect_scores: np.ndarray,
    bins: int,
    weight: np.ndarray,
    cluster: np.ndarray | None,
    level: float,
) -> list[EffectBin]:
    edges = np.unique(np.quantile(predicted, np.arange(1, bins) / bins, method="inverted_cdf"))
    of_row = np.searchsorted(edges, predicted, side="left")
    labels = None if cluster is None else np.asarray(cluster)
    out = []
    for each in np.unique(of_row):
        rows = of_row == each
        inside = labels[rows] if labels is not None else None
        mean = float(np.average(predicted[rows], weights=weight[rows]))
        if as_units(inside, int(rows.sum()))[1] < 2:
            value = float(np.average(effect_scores[rows], weights=weight[rows]))
            actual = Estimate(value, np.inf, -np.inf, np.inf, level, 1)
        else:
            actual = mean_estimate(effect_scores[rows], weights=weight[rows], cluster=inside, level=level)
        out.append(EffectBin(int(rows.sum()), mean, actual))
    return out


def _slope(
    predicted: np.ndarray, effect_scores: np.ndarray, weight: np.ndarray, cluster: np.ndarray | None, level: float
) -> Estimate | None:
    """Weighted least squares with the cluster-robust (one row a cluster: HC1) standard error."""
    centred = predicted - np.average(predicted, weights=weight)
    spread = float(weight @ centred**2)
    if spread <= 1e-24 * max(1.0, float(weight @ predicted**2)):
        return None
    n = len(predicted)
    unit, n_units = as_units(cluster, n)
    slope = float(weight @ (centred * effect_scores)) / spread
    residual = effect_scores - np.average(effect_scores, weights=weight) - slope * centred
    parts = np.bincount(unit, weight * centred * residual, n_units)
    correction = n_units / max(n_units - 1, 1) * (n - 1) / max(n - 2, 1)
    return interval(slope, (float(parts @ parts) * correction) ** 0.5 / spread, units=n_units, level=level)
