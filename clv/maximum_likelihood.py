"""Maximum likelihood in logarithms of positive parameters: trust-region Newton in a box, and standard errors."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

# A log-likelihood with its gradient and Hessian, all by the logarithms of the parameters.
Objective = Callable[[np.ndarray], tuple[float, np.ndarray, np.ndarray]]

NORMAL_975 = 1.959963984540054
# The box: beyond it every likelihood of clv, in scaled time, is flat to its last digits.
_LOWEST, _HIGHEST = np.log(1e-7), np.log(1e5)
# A standard error of a logarithm above this is an interval over a factor of 10^8: nothing is known.
_NOTHING_KNOWN = 5.0


@dataclass(frozen=True)
class Maximum:
    """Where the climb ended.

    Attributes
    ----------
    log_parameters
        (k,) logarithms of the parameters.
    value, gradient, hessian
        Log-likelihood there, (k,) and (k, k) by the logarithms.
    at_bound
        (k,) bool, True where a parameter was held by the box with the likelihood still rising.
    converged
        False where the steps ran out first.
    iterations
        Evaluations of the likelihood.
    """

    log_parameters: np.ndarray
    value: float
    gradient: np.ndarray
    hessian: np.ndarray
    at_bound: np.ndarray
    converged: bool
    iterations: int


def _trust_region_step(gradient: np.ndarray, hessian: np.ndarray, radius: float) -> np.ndarray:
    """Maximise the quadratic model in a ball (Nocedal & Wright 2006, section 4.3, by eigenvalues)."""
    curvature, axes = np.linalg.eigh(-hessian)
    slope = axes.T @ gradient
    if curvature[0] > 0:
        step = slope / curvature
        if np.linalg.norm(step) <= radius:
            return axes @ step
    low = max(0.0, -curvature[0]) + 1e-14 * max(1.0, abs(curvature[-1]))
    high = low + np.linalg.norm(gradient) / radius + 1e-300
    for _ in range(80):  # the step's length falls in the shift
        shift = 0.5 * (low + high)
        if np.linalg.norm(slope / (curvature + shift)) > radius:
            low = shift
        else:
            high = shift
    step = slope / (curvature + high)
    length = np.linalg.norm(step)
    if length < 0.9 * radius and curvature[0] < 0:  # the hard case: no slope along the axis that curves upward
        step[0] += np.copysign(np.sqrt(radius**2 - length**2), slope[0])
    return axes @ step


def maximise(
    objective: Objective,
    start: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    *,
    tolerance: float = 1e-9,
    max_iterations: int = 200,
) -> Maximum:
    """Climb to a maximum of ``objective`` inside a box of logarithms.

    Parameters
    ----------
    objective
        Returns value, gradient (k,) and Hessian (k, k).
    start, lower, upper
        (k,) logarithms; the start is moved into the box.
    tolerance
        The climb ends when the quadratic model promises less than this gain in log-likelihood
        (plus what rounding leaves of a sum of that size).

    Examples
    --------
    >>> def bowl(z):
    ...     return -float((z - 1) @ (z - 1)), -2 * (z - 1), -2 * np.eye(2)
    >>> maximise(bowl, np.zeros(2), np.full(2, -9.0), np.full(2, 9.0)).log_parameters.round(6).tolist()
    [1.0, 1.0]
    """
    point = np.clip(np.asarray(start, float), lower, upper)
    value, gradient, hessian = objective(point)
    radius, evaluations, converged = 1.0, 1, False
    while evaluations < max_iterations:
        held = ((point <= lower) & (gradient < 0)) | ((point >= upper) & (gradient > 0))
        free = ~held
        if not free.any():
            converged = True
            break
        step = np.zeros_like(point)
        step[free] = _trust_region_step(gradient[free], hessian[np.ix_(free, free)], radius)
        trial = np.clip(point + step, lower, upper)
        step = trial - point
        promised = float(gradient @ step + 0.5 * step @ hessian @ step)
        if promised <= tolerance + 1e-15 * abs(value):
            converged = True
            break
        trial_value, trial_gradient, trial_hessian = objective(trial)
        evaluations += 1
        gain = trial_value - value
        if not np.isfinite(trial_value) or gain < 0.1 * promised:
            radius = 0.25 * min(radius, float(np.linalg.norm(step)))
        elif gain > 0.75 * promised:
            radius = min(max(radius, 3.0 * float(np.linalg.norm(step))), 8.0)
        if np.isfinite(trial_value) and gain > 0:
            point, value, gradient, hessian = trial, trial_value, trial_gradient, trial_hessian
        elif radius < 1e-9:  # rounding hides any further gain
            converged = True
            break
    at_bound = ((point <= lower) & (gradient < 0)) | ((point >= upper) & (gradient > 0))
    return Maximum(point, value, gradient, hessian, at_bound, converged, evaluations)


def climb(
    objective: Objective,
    starts: list[np.ndarray],
    first_look: Objective | None = None,
    box: tuple[np.ndarray, np.ndarray] | None = None,
) -> Maximum:
    """Return the highest maximum from several starts; from the first alone where that ends well inside the box.

    Parameters
    ----------
    objective
        Log-likelihood by logarithms, with derivatives.
    starts
        (k,) logarithms each, the most promising first.
    first_look
        A cheap likeness of the objective, such as that of a sample: where it ends, the climb begins.
    box
        (k,) each: where not all parameters are logarithms of what the usual box holds.

    Examples
    --------
    >>> def bowl(z):
    ...     return -float(z @ z), -2 * z, -2 * np.eye(2)
    >>> climb(bowl, [np.ones(2)]).converged
    True
    """
    lower, upper = box or log_box(starts[0].size)
    if first_look is not None:
        starts = [maximise(first_look, starts[0], lower, upper, tolerance=1e-4).log_parameters, *starts]
    best = maximise(objective, starts[0], lower, upper)
    if best.converged and identified_parameters(best).all():
        return best
    for start in starts[1:]:
        found = maximise(objective, start, lower, upper)
        best = found if found.value > best.value else best
    return best


def log_box(n_parameters: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the bounds of logarithms of positive parameters, in scaled time, (k,) each.

    Examples
    --------
    >>> lower, upper = log_box(1)
    >>> np.exp(upper).round().tolist()
    [100000.0]
    """
    return np.full(n_parameters, _LOWEST), np.full(n_parameters, _HIGHEST)


def identified_parameters(found: Maximum) -> np.ndarray:
    """Say which parameters a maximum pins down, (k,) bool: neither held by the box nor on a flat ridge.

    Examples
    --------
    >>> flat = Maximum(np.zeros(2), 0.0, np.zeros(2), -np.diag([4.0, 0.0]), np.zeros(2, bool), True, 1)
    >>> identified_parameters(flat).tolist()
    [True, False]
    """
    inside = ~found.at_bound
    variance = np.diag(covariance_of(np.ones(inside.size), found.hessian, inside))
    if np.all(np.isfinite(variance[inside])):
        return inside & (variance < _NOTHING_KNOWN**2)
    curvature, axes = np.linalg.eigh(-found.hessian)
    flat = curvature <= 1.0 / _NOTHING_KNOWN**2
    return inside & ~(np.abs(axes[:, flat]) > 0.1).any(axis=1)


def covariance_of(parameters: np.ndarray, hessian: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Return the inverse observed information of ``parameters`` (k, k), nan for those that are not free.

    Parameters
    ----------
    parameters
        (k,) the maximum, on its natural scale.
    hessian
        (k, k) by the logarithms; at a maximum the two scales differ by the parameters alone.
    free
        (k,) bool, False where the data do not identify the parameter.

    Examples
    --------
    >>> covariance_of(np.array([2.0]), np.array([[-4.0]]), np.array([True])).tolist()
    [[1.0]]
    """
    covariance = np.full(hessian.shape, np.nan)
    if not free.any():
        return covariance
    information = -hessian[np.ix_(free, free)]
    curvature, axes = np.linalg.eigh(information)
    if not np.all(np.isfinite(curvature)) or curvature[0] <= 1e-12 * max(1.0, curvature[-1]):
        return covariance
    by_logarithm = (axes / curvature) @ axes.T
    covariance[np.ix_(free, free)] = by_logarithm * np.outer(parameters[free], parameters[free])
    return covariance


def log_scale_interval(estimate: np.ndarray, standard_error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the 95% Wald interval taken in the logarithm, where the likelihood of a positive parameter is rounder.

    Examples
    --------
    >>> low, high = log_scale_interval(np.array([1.0]), np.array([0.5]))
    >>> float((low * high)[0].round(12))
    1.0
    """
    factor = np.exp(NORMAL_975 * standard_error / estimate)
    return estimate / factor, estimate * factor


def log_coordinates(estimate: np.ndarray, covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the logarithms of positive parameters (k,) and their covariance (k, k), 0 where it is not known.

    Examples
    --------
    >>> log_coordinates(np.array([2.0]), np.array([[1.0]]))[1].tolist()
    [[0.25]]
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        point, scaled = np.log(estimate), covariance / np.outer(estimate, estimate)
    return point, known_covariance(point, scaled)


def known_covariance(point: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Return the covariance with 0 for what is not known: no finite estimate, or no finite variance.

    Examples
    --------
    >>> known_covariance(np.zeros(2), np.diag([1.0, np.nan])).tolist()
    [[1.0, 0.0], [0.0, 0.0]]
    """
    known = np.isfinite(point) & np.isfinite(np.diag(covariance))
    return np.where(np.outer(known, known), covariance, 0.0)


def cubature_points(point: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Return points of equal weight with a normal distribution's mean, covariance and third moments, (2k, k).

    The mean plus and minus sqrt(k) times each column of a root of the covariance (Arasaratnam & Haykin 2009, Cubature
    Kalman Filters, IEEE Transactions on Automatic Control 54(6)); k is the covariance's rank. One point where it is 0.

    Examples
    --------
    >>> cubature_points(np.zeros(1), np.array([[4.0]])).tolist()
    [[2.0], [-2.0]]
    """
    variance, axes = np.linalg.eigh(covariance)
    wide = variance > 1e-12 * max(variance[-1], 1e-300)
    rank = int(wide.sum())
    if rank == 0 or variance[-1] <= 0:
        return point[None, :]
    steps = (axes[:, wide] * np.sqrt(rank * variance[wide])).T
    with np.errstate(invalid="ignore"):
        return np.concatenate([point + steps, point - steps])
