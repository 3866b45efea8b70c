"""Doubly robust (AIPW) scores per arm: their mean in any group of customers is that group's mean outcome under the arm.

The score of customer i under arm a is ``mu_a(x_i) + 1{w_i = a} (y_i - mu_a(x_i)) / e_a(x_i)`` (Robins, Rotnitzky & Zhao
1994, JASA 89; for several arms Zhou, Athey & Wager 2023, Operations Research 71). In a randomised experiment the
propensities e are known and the scores are unbiased whatever mu is; mu only takes noise out. Otherwise both are fitted
on other folds than the one they are used on (Chernozhukov et al. 2018, Econometrics Journal 21).
"""

from dataclasses import dataclass

import numpy as np

from ..sql.errors import ModelError
from ..sql.findings import Finding
from .estimate import checked
from .nuisances import OutcomeModel, PropensityModel, cross_fit_outcomes, cross_fit_propensities


def aipw_scores(arm: np.ndarray, outcome: np.ndarray, propensity: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return the doubly robust score of each customer under each arm.

    Parameters
    ----------
    arm : ndarray of shape (n,)
        Arm received, 0 = control, 1..k.
    outcome : ndarray of shape (n,)
        Outcome, in its own unit.
    propensity : ndarray of shape (n, k + 1), (k + 1,), or float
        Probability of each arm; a float is that of arm 1 against control (see `propensity_matrix`).
    expected : ndarray of shape (n, k + 1)
        Expected outcome under each arm, from customers other than the row's own. Zeros give plain inverse propensity
        weighting.

    Returns
    -------
    ndarray of shape (n, k + 1)
        In outcome units.

    Raises
    ------
    ModelError
        Where shapes differ, values are not finite, a propensity is 0 or 1, or rows do not sum to 1.

    Examples
    --------
    >>> import numpy as np
    >>> aipw_scores(np.array([0, 1]), np.array([1.0, 3.0]), 0.5, np.array([[1.0, 2.0], [1.0, 2.0]])).tolist()
    [[1.0, 2.0], [1.0, 4.0]]
    """
    outcome = checked("outcome", outcome)
    n = len(outcome)
    expected = checked_matrix("expected", expected, n)
    n_arms = expected.shape[1]
    arm = checked_arm(arm, n, n_arms)
    probability = propensity_matrix(propensity, n, n_arms)
    scores = expected.copy()
    row = np.arange(n)
    scores[row, arm] += (outcome - expected[row, arm]) / probability[row, arm]
    return scores


def net_effects(effects: np.ndarray, *, value: float | np.ndarray = 1.0, cost: float | np.ndarray = 0.0) -> np.ndarray:
    """Return ``value * effects - cost``, (n, k): what treating each customer with each arm is worth.

    Parameters
    ----------
    effects : ndarray of shape (n, k)
        Effects against control, predicted or scored, in outcome units.
    value : float or ndarray of shape (n,)
        Worth of one unit of outcome.
    cost : float or ndarray of shape (k,) or (n, k)
        Cost of treating one customer; may be negative.

    Raises
    ------
    ModelError
        Where a shape does not fit or a value is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> net_effects(np.array([[0.5, 1.0]]), value=10.0, cost=np.array([1.0, 2.0])).tolist()
    [[4.0, 8.0]]
    """
    n, k = effects.shape
    worth = np.asarray(value, dtype=np.float64)
    price = np.asarray(cost, dtype=np.float64)
    if worth.shape not in ((), (n,)):
        raise ModelError(f"value has shape {worth.shape}; it must be one number, or one per customer ({n},).")
    if price.shape not in ((), (k,), (n, k)):
        raise ModelError(f"cost has shape {price.shape}; it must be one number, one per arm ({k},), or ({n}, {k}).")
    if not (np.isfinite(worth).all() and np.isfinite(price).all()):
        raise ModelError("value or cost holds NaN or infinite numbers; give each customer and arm a finite one.")
    return effects * (worth[:, None] if worth.ndim else worth) - price


def contrast(
    scores: np.ndarray,
    arm: int | np.ndarray = 1,
    *,
    value: float | np.ndarray = 1.0,
    cost: float | np.ndarray = 0.0,
) -> np.ndarray:
    """Return the score of giving each customer his arm rather than nothing: (n,), net of cost where one is given.

    Parameters
    ----------
    scores : ndarray of shape (n, k + 1)
        Doubly robust scores.
    arm : int or ndarray of shape (n,)
        Arm for everyone, or each customer's; 0 is control and earns 0.
    value, cost
        As of `net_effects`.

    Raises
    ------
    ModelError
        Where a shape does not fit, there is no such arm, or values are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> contrast(np.array([[1.0, 1.5], [1.0, 3.0]]), np.array([1, 0])).tolist()
    [0.5, 0.0]
    """
    scores = checked_matrix("scores", scores)
    n, n_arms = scores.shape
    chosen = checked_arm(np.full(n, arm) if np.ndim(arm) == 0 else np.asarray(arm), n, n_arms)
    net = net_effects(scores[:, 1:] - scores[:, :1], value=value, cost=cost)
    return np.where(chosen > 0, net[np.arange(n), np.maximum(chosen, 1) - 1], 0.0)


def propensity_matrix(propensity: float | np.ndarray, n: int, n_arms: int) -> np.ndarray:
    """Return the probability of each arm for each customer, (n, k + 1), from whatever form it is known in.

    Parameters
    ----------
    propensity : float or ndarray of shape (k + 1,), (n,) or (n, k + 1)
        With one treated arm a float or (n,) vector is the probability of treatment; otherwise one column per arm,
        control first.
    n, n_arms : int
        Customers; arms with control.

    Raises
    ------
    ModelError
        Where the shape does not fit, a probability is not strictly between 0 and 1, or rows do not sum to 1 within
        1e-6.

    Examples
    --------
    >>> propensity_matrix(0.25, 2, 2).tolist()
    [[0.75, 0.25], [0.75, 0.25]]
    """
    known = np.asarray(propensity, dtype=np.float64)
    if n_arms == 2 and known.shape in ((), (n,)) and known.shape != (2,):
        treated = np.broadcast_to(known, (n,))
        known = np.column_stack([1.0 - treated, treated])
    if known.shape not in ((n_arms,), (n, n_arms)):
        raise ModelError(
            f"propensity has shape {np.shape(propensity)}; with {n_arms} arms and {n} customers it must be ({n_arms},) "
            f"or ({n}, {n_arms}), control first{', or the probability of treatment' if n_arms == 2 else ''}."
        )
    matrix = np.broadcast_to(known, (n, n_arms))
    outside = int((~((matrix > 0.0) & (matrix < 1.0))).any(axis=1).sum())
    if outside:
        raise ModelError(
            f"propensity is 0, 1 or no probability for {outside} of {n} customers: what the other arm would have "
            "done to them cannot be known. Leave them out, or find who can be compared with overlap_region()."
        )
    off = float(np.abs(matrix.sum(axis=1) - 1.0).max()) if n else 0.0
    if off > 1e-6:
        raise ModelError(f"propensity sums to 1 only within {off:.3g}; give every arm's probability, control first.")
    return matrix


@dataclass(frozen=True)
class OverlapRegion:
    """Who can be compared: ``kept`` (n,), the largest ``threshold`` of summed inverse propensities, and findings."""

    kept: np.ndarray
    threshold: float
    findings: tuple[Finding, ...]


def overlap_region(propensity: np.ndarray, *, least_kept: float = 0.5) -> OverlapRegion:
    """Return the customers on whom the average effect is best estimated; the others have no counterparts.

    Keeps those with ``sum_a 1 / e_a <= c``, where c solves ``c = 2 E[sum_a 1/e_a | sum_a 1/e_a <= c]``: the subset
    with the least variance (Crump, Hotz, Imbens & Mitnik 2009, Biometrika 96, for a constant outcome variance; several
    arms as in Yang et al. 2016, Biometrics 72). Everyone is kept where the condition already holds for all.

    Parameters
    ----------
    propensity : ndarray of shape (n, k + 1)
        Probability of each arm, in [0, 1].
    least_kept : float
        Where a smaller share than this can be compared, the finding is blocking.

    Examples
    --------
    >>> import numpy as np
    >>> e = np.array([0.5, 0.5, 0.4, 0.6, 0.001])
    >>> region = overlap_region(np.column_stack([1 - e, e]))
    >>> region.kept.tolist(), region.findings[0].code
    ([True, True, True, True, False], 'low_overlap')
    """
    matrix = checked_matrix("propensity", propensity)
    with np.errstate(divide="ignore"):
        inverse = (1.0 / np.maximum(matrix, 0.0)).sum(axis=1)
    ascending = np.sort(inverse)
    running_mean = np.cumsum(ascending) / np.arange(1, len(ascending) + 1)
    holds = ascending <= 2.0 * running_mean
    holds &= np.isfinite(ascending)
    threshold = float(ascending[np.flatnonzero(holds)[-1]]) if holds.any() else 0.0
    kept = inverse <= threshold
    return OverlapRegion(kept, threshold, _overlap_findings(kept, matrix, least_kept))


def _overlap_findings(kept: np.ndarray, propensity: np.ndarray, least_kept: float) -> tuple[Finding, ...]:
    dropped = int((~kept).sum())
    if not dropped:
        return ()
    worst = float(propensity[~kept].min())
    return (
        Finding(
            "low_overlap",
            bool(kept.mean() < least_kept),
            f"{dropped} of {len(kept)} customers were almost sure to get, or not to get, an arm (least propensity "
            f"{worst:.2g}).",
            "They are left out: the answer is for the others. A randomised holdout would make them comparable.",
        ),
    )


@dataclass(frozen=True)
class DoublyRobustScores:
    """Scores with what they were made of.

    ``scores``, ``propensity``, ``expected`` (n, k + 1); ``kept`` (n,) whom the scores may be used for (everyone in a
    randomised experiment); ``findings`` about overlap.
    """

    scores: np.ndarray
    propensity: np.ndarray
    expected: np.ndarray
    kept: np.ndarray
    findings: tuple[Finding, ...]


def doubly_robust_scores(
    features: np.ndarray,
    arm: np.ndarray,
    outcome: np.ndarray,
    *,
    n_arms: int | None = None,
    propensity: float | np.ndarray | None = None,
    outcome_model: str | OutcomeModel = "lightgbm",
    propensity_model: str | PropensityModel = "logistic",
    folds: int = 5,
    weights: np.ndarray | None = None,
    cluster: np.ndarray | None = None,
    seed: int = 0,
) -> DoublyRobustScores:
    """Cross-fit what is not known, and return the scores.

    Parameters
    ----------
    features : ndarray of shape (n, p)
        What was known before treatment.
    arm, outcome : ndarray of shape (n,)
        Arm received, 0 = control; outcome.
    n_arms : int, optional
        Arms with control; the largest arm + 1 without it.
    propensity : float or ndarray, optional
        Known probabilities, as of `propensity_matrix`. Without it they are cross-fitted (an observational study), and
        ``kept`` leaves out those without overlap.
    outcome_model, propensity_model : str or callable
        A name in `nuisances.OUTCOME_MODELS` or `nuisances.PROPENSITY_MODELS`, or a function with their signature.
    folds : int
        Folds; fewer are made where an arm is rarer.
    weights, cluster : ndarray of shape (n,), optional
        Positive weights; labels of units that must stay in one fold.
    seed : int
        Of folds and models.

    Raises
    ------
    ModelError
        Where an arm has fewer than two customers, shapes differ or values are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x, arm = rng.normal(size=(400, 2)), rng.integers(0, 2, 400)
    >>> found = doubly_robust_scores(x, arm, x[:, 0] + arm, propensity=0.5, outcome_model="linear")
    >>> contrast(found.scores).mean().round(2).item()
    1.0
    """
    outcome = checked("outcome", outcome)
    n = len(outcome)
    n_arms = int(np.max(arm, initial=1)) + 1 if n_arms is None else n_arms
    arm = checked_arm(arm, n, n_arms)
    setting = {"folds": folds, "weights": weights, "cluster": cluster, "seed": seed}
    expected = cross_fit_outcomes(features, arm, outcome, n_arms, model=outcome_model, **setting)
    if propensity is not None:
        known = propensity_matrix(propensity, n, n_arms)
        return DoublyRobustScores(
            aipw_scores(arm, outcome, known, expected), known, expected, np.ones(n, dtype=np.bool_), ()
        )
    fitted = cross_fit_propensities(features, arm, n_arms, model=propensity_model, **setting)
    region = overlap_region(fitted)
    # rows outside the region get a propensity that divides safely; nobody may use their scores
    safe = np.where(region.kept[:, None], fitted, 1.0 / n_arms)
    return DoublyRobustScores(aipw_scores(arm, outcome, safe, expected), fitted, expected, region.kept, region.findings)


def checked_matrix(name: str, values: np.ndarray, n: int | None = None) -> np.ndarray:
    """Return a finite float matrix, a row per customer and a column per arm, or raise a ModelError that names it."""
    out = np.asarray(values, dtype=np.float64)
    if out.ndim != 2 or out.shape[1] < 2 or (n is not None and len(out) != n):
        raise ModelError(
            f"{name} has shape {out.shape}; it must have one row per customer{f' ({n})' if n is not None else ''} and "
            "one column per arm, control first."
        )
    bad = int((~np.isfinite(out)).sum())
    if bad:
        raise ModelError(f"{name} holds {bad} NaN or infinite values of {out.size}; mend or drop those rows first.")
    return out


def checked_arm(arm: np.ndarray, n: int, n_arms: int) -> np.ndarray:
    """Return one whole number 0..n_arms-1 per customer, or raise a ModelError with what was seen."""
    out = np.asarray(arm)
    if out.shape != (n,):
        raise ModelError(f"arm has shape {out.shape}; it must be one arm per customer, ({n},).")
    if n and not (np.issubdtype(out.dtype, np.integer) and out.min() >= 0 and out.max() < n_arms):
        raise ModelError(
            f"arm holds {np.unique(out)[:8].tolist()} ({out.dtype}); it must hold whole numbers 0 (control) to "
            f"{n_arms - 1}."
        )
    return out.astype(np.int64, copy=False)
