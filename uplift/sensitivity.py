"""What would have to be wrong for an answer to be wrong: placebo runs, and the confounder that could explain it away.

`confounding_bounds` follows the marginal sensitivity model (Tan 2006, JASA 101): an unobserved feature may change a
customer's odds of treatment, given the observed ones, by a factor between 1/strength and strength. The bounds are those
of Zhao, Small & Bhattacharya (2019, JRSS B 81, 735-761) for self-normalised weights, on residuals of an outcome model
where one is given. `e_value` is VanderWeele & Ding's (2017, Annals of Internal Medicine 167) for risk ratios.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..sql.errors import ModelError
from ..sql.findings import Finding
from .estimate import Estimate, as_units, as_weights, checked, critical_value
from .scores import checked_arm, checked_matrix, propensity_matrix

_STRENGTHS = (1.0, 1.1, 1.25, 1.5, 2.0, 3.0)
_MOST = 1000.0


@dataclass(frozen=True)
class Placebo:
    """An analysis repeated where the truth is "no effect".

    Attributes
    ----------
    kind : str
        ``"shuffled_treatment"`` or ``"random_outcome"``.
    actual : Estimate
        The analysis of the data as they are.
    estimates, t_values : ndarray of shape (repeats,)
        The analysis of each placebo.
    rejected : float
        Share of placebos whose interval leaves out 0; about 1 - level where the analysis is sound.
    p_value : float
        Share of placebos, the actual data counted in, with a t-value at least as far from 0.
    findings : tuple of Finding
        ``placebo_effect`` where far too many placebos show an effect.
    """

    kind: str
    actual: Estimate
    estimates: np.ndarray
    t_values: np.ndarray
    rejected: float
    p_value: float
    findings: tuple[Finding, ...]


def placebo(
    analysis: Callable[[np.ndarray, np.ndarray], Estimate],
    arm: np.ndarray,
    outcome: np.ndarray,
    *,
    kind: Literal["shuffled_treatment", "random_outcome"] = "shuffled_treatment",
    repeats: int = 40,
    cluster: np.ndarray | None = None,
    seed: int = 0,
) -> Placebo:
    """Repeat an analysis on data in which treatment can have had no effect.

    Parameters
    ----------
    analysis : callable
        ``analysis(arm, outcome) -> Estimate``: the whole of it, from scores on, so that its own errors show. Shuffled
        treatment no longer depends on features; an analysis with known propensities must be given their shares.
    arm, outcome : ndarray of shape (n,)
        As observed.
    kind : {"shuffled_treatment", "random_outcome"}
        Deal the arms out anew, or the outcomes.
    repeats : int
        Placebos.
    cluster : ndarray of shape (n,), optional
        Whole clusters are dealt another cluster's arm where each has one; otherwise customers are dealt within theirs.
    seed : int
        Of the dealing.

    Raises
    ------
    ModelError
        Where ``kind`` is neither, or ``repeats`` is less than 1.

    Examples
    --------
    >>> import numpy as np
    >>> from regulars.uplift.estimate import mean_estimate
    >>> rng = np.random.default_rng(0)
    >>> arm = rng.integers(0, 2, 500)
    >>> effect = lambda arm, outcome: mean_estimate((2 * arm - 1) * 2 * outcome)
    >>> found = placebo(effect, arm, arm + rng.normal(size=500))
    >>> found.actual.above_zero, found.rejected < 0.2, round(found.p_value, 3), found.findings
    (True, True, 0.024, ())
    """
    if kind not in ("shuffled_treatment", "random_outcome") or repeats < 1:
        raise ModelError(
            f"kind is {kind!r} and repeats {repeats}; kind must be 'shuffled_treatment' or 'random_outcome', and "
            "repeats at least 1."
        )
    arm, outcome = np.asarray(arm), checked("outcome", outcome, len(arm))
    rng = np.random.default_rng(seed)
    actual = analysis(arm, outcome)
    found = []
    for _ in range(repeats):
        if kind == "shuffled_treatment":
            found.append(analysis(_dealt(arm, cluster, rng), outcome))
        else:
            found.append(analysis(arm, rng.permutation(outcome)))
    t = np.array([_t_value(each) for each in found])
    outside = np.array([each.above_zero or each.below_zero for each in found])
    p = (1 + int((np.abs(t) >= abs(_t_value(actual))).sum())) / (repeats + 1)
    values = np.array([each.value for each in found])
    return Placebo(kind, actual, values, t, float(outside.mean()), p, _placebo_findings(kind, outside, actual.level))


def _dealt(arm: np.ndarray, cluster: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
    if cluster is None:
        return rng.permutation(arm)
    unit, n_units = as_units(cluster, len(arm))
    first = np.zeros(n_units, dtype=arm.dtype)
    first[unit] = arm
    if (first[unit] == arm).all():
        return rng.permutation(first)[unit]
    # a random order of all rows, then of clusters: rows of a cluster keep their places and swap arms among themselves
    shuffled = rng.permutation(len(arm))
    out = np.empty_like(arm)
    out[np.argsort(unit, kind="stable")] = arm[shuffled[np.argsort(unit[shuffled], kind="stable")]]
    return out


def _t_value(estimate: Estimate) -> float:
    if estimate.standard_error == 0.0:
        return 0.0 if estimate.value == 0.0 else float(np.copysign(np.inf, estimate.value))
    return estimate.value / estimate.standard_error


def _placebo_findings(kind: str, outside: np.ndarray, level: float) -> tuple[Finding, ...]:
    from scipy.stats import binom

    count = int(outside.sum())
    if binom.sf(count - 1, len(outside), 1.0 - level) >= 0.001:
        return ()
    return (
        Finding(
            "placebo_effect",
            False,
            f"{count} of {len(outside)} runs with {kind.replace('_', ' ')} showed an effect, where none can be; "
            f"{1.0 - level:.0%} would be chance.",
            "The standard errors are too small: look for customers counted twice, or clusters that were not declared.",
        ),
    )


@dataclass(frozen=True)
class Bounds:
    """Least and largest average effect that a confounder of one ``strength`` leaves possible, with its interval."""

    strength: float
    least: float
    largest: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Sensitivity:
    """How strong an unobserved confounder must be.

    Attributes
    ----------
    bounds : tuple of Bounds
        One for each strength asked for; strength 1 is "none".
    explains_estimate : float
        Least strength at which the bounds take in ``null``: it could explain the estimate away.
    explains_interval : float
        Least strength at which the interval does; 1 where it does without a confounder. Both are ``inf`` where no
        strength up to 1,000 does.
    null : float
        Effect that would change the decision; 0, or the effect at which treatment pays for itself.
    """

    bounds: tuple[Bounds, ...]
    explains_estimate: float
    explains_interval: float
    null: float


def confounding_bounds(
    arm: np.ndarray,
    outcome: np.ndarray,
    propensity: float | np.ndarray,
    *,
    expected: np.ndarray | None = None,
    treated: int = 1,
    null: float = 0.0,
    strengths: tuple[float, ...] = _STRENGTHS,
    weights: np.ndarray | None = None,
    cluster: np.ndarray | None = None,
    level: float = 0.95,
) -> Sensitivity:
    """Bound the average effect of an arm against control under unobserved confounding, and find what would undo it.

    Parameters
    ----------
    arm, outcome : ndarray of shape (n,)
        Arm received, 0 = control; outcome.
    propensity : ndarray
        As of `scores.propensity_matrix`; usually cross-fitted.
    expected : ndarray of shape (n, k + 1), optional
        Expected outcome under each arm, cross-fitted; what it explains, a confounder cannot, so bounds are narrower.
    treated : int
        The arm.
    null : float
        Effect that would change the decision.
    strengths : tuple of float
        Strengths to tabulate, each at least 1.
    weights, cluster : ndarray of shape (n,), optional
        Positive weights; labels of independent units.
    level : float
        Coverage of the interval: bounds less and plus a normal margin at the worst-case weights.

    Raises
    ------
    ModelError
        Where shapes differ, values are not finite, a strength is below 1, or an arm has nobody.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> arm = rng.integers(0, 2, 2000)
    >>> found = confounding_bounds(arm, arm + rng.normal(size=2000), 0.5)
    >>> 2.0 < found.explains_interval < found.explains_estimate < 5.0
    True
    """
    outcome = checked("outcome", outcome)
    n = len(outcome)
    if min(strengths) < 1.0:
        raise ModelError(f"strengths hold {min(strengths)}; 1 is no confounding, and each must be at least 1.")
    n_arms = max(np.shape(propensity)[1] if np.ndim(propensity) == 2 else 2, treated + 1)
    arm = checked_arm(arm, n, n_arms)
    probability = propensity_matrix(propensity, n, n_arms)
    model = np.zeros((n, n_arms)) if expected is None else checked_matrix("expected", expected, n)
    weight = as_weights(weights, n)
    unit, n_units = as_units(cluster, n)
    both = [_ArmSide(arm == a, outcome - model[:, a], probability[:, a], model[:, a], weight) for a in (treated, 0)]
    margin = critical_value(level, n_units)

    def at(strength: float) -> Bounds:
        low, low_error = _side_difference(both, strength, False, unit, n_units, weight)
        high, high_error = _side_difference(both, strength, True, unit, n_units, weight)
        return Bounds(strength, low, high, low - margin * low_error, high + margin * high_error)

    return Sensitivity(
        tuple(at(strength) for strength in strengths),
        _tipping(lambda bounds: (bounds.least, bounds.largest), at, null),
        _tipping(lambda bounds: (bounds.lower, bounds.upper), at, null),
        null,
    )


class _ArmSide:
    """One arm's customers in order of residual, with running sums: any strength is then one pass."""

    def __init__(
        self, own: np.ndarray, residual: np.ndarray, propensity: np.ndarray, model: np.ndarray, weight: np.ndarray
    ):
        if not own.any():
            raise ModelError("An arm has nobody in it; an effect needs customers of both arms.")
        rows = np.flatnonzero(own)
        self.rows = rows[np.argsort(residual[rows], kind="stable")]
        self.residual = residual[self.rows]
        self.model = model
        self.model_mean = float(np.average(model, weights=weight))
        self.base = weight[self.rows]
        self.odds = self.base * (1.0 - propensity[self.rows]) / propensity[self.rows]

    def extreme(self, strength: float, largest: bool) -> tuple[float, np.ndarray]:
        """Return the largest (least) weighted mean residual, and the weights that give it."""
        # odds are stretched above a cut in the order of residuals and shrunk below it, or the other way round
        up, down = (strength, 1.0 / strength) if largest else (1.0 / strength, strength)
        below, above = self.base + down * self.odds, self.base + up * self.odds

        def mixed(each_below: np.ndarray, each_above: np.ndarray) -> np.ndarray:
            return np.r_[0.0, np.cumsum(each_below)] + (each_above.sum() - np.r_[0.0, np.cumsum(each_above)])

        means = mixed(below * self.residual, above * self.residual) / mixed(below, above)
        cut = int(means.argmax() if largest else means.argmin())
        return float(means[cut]), np.where(np.arange(len(self.rows)) < cut, below, above)


def _side_difference(
    both: list[_ArmSide], strength: float, largest: bool, unit: np.ndarray, n_units: int, weight: np.ndarray
) -> tuple[float, float]:
    """Return the extreme effect and its standard error with the extreme weights held (the envelope theorem)."""
    value = 0.0
    influence = np.zeros(len(unit))
    for side, sign in zip(both, (1.0, -1.0), strict=True):
        mean, used = side.extreme(strength, largest == (sign > 0.0))
        value += sign * (side.model_mean + mean)
        influence += sign * weight * (side.model - side.model_mean) / weight.sum()
        influence[side.rows] += sign * used * (side.residual - mean) / used.sum()
    parts = np.bincount(unit, influence, n_units)
    return value, float((parts * parts).sum() * n_units / max(n_units - 1, 1)) ** 0.5


def _tipping(ends: Callable[[Bounds], tuple[float, float]], at: Callable[[float], Bounds], null: float) -> float:
    def takes_in(strength: float) -> bool:
        low, high = ends(at(strength))
        return low <= null <= high

    if takes_in(1.0):
        return 1.0
    if not takes_in(_MOST):
        return float("inf")
    low, high = 0.0, float(np.log(_MOST))
    while high - low > 1e-4:
        middle = (low + high) / 2.0
        low, high = (low, middle) if takes_in(float(np.exp(middle))) else (middle, high)
    return float(np.exp(high))


def e_value(risk_treated: float, risk_control: float) -> float:
    """Return the least risk ratio that a confounder needs with both treatment and outcome to explain a risk ratio away.

    Parameters
    ----------
    risk_treated, risk_control : float
        Share with the outcome in each arm, adjusted for what was observed. For the E-value of an interval, pass the end
        nearer to no effect; where the interval holds it the E-value is 1.

    Raises
    ------
    ModelError
        Where a risk is not in (0, 1].

    Examples
    --------
    >>> round(e_value(0.039, 0.01), 2)  # a risk ratio of 3.9
    7.26
    """
    if not (0.0 < risk_treated <= 1.0 and 0.0 < risk_control <= 1.0):
        raise ModelError(f"risks are {risk_treated} and {risk_control}; each must lie in (0, 1].")
    ratio = max(risk_treated / risk_control, risk_control / risk_treated)
    return float(ratio + (ratio * (ratio - 1.0)) ** 0.5)
