"""What a targeting rule is worth, from customers it was not made on.

`gain_per_1000` and `compare_policies` take doubly robust scores (see `scores`): every customer says something about
every arm, so two rules are compared customer by customer. `off_policy_value` takes a log of what was sent with which
probability and weights it to the rule: inverse propensity (IPW; Horvitz & Thompson 1952), self-normalised (SNIPW; Hajek
1971; Swaminathan & Joachims 2015) and doubly robust (Dudik, Langford & Li 2011, arXiv:1103.4601).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..sql.errors import ModelError, nearest
from ..sql.findings import Finding
from .estimate import Estimate, as_weights, checked, mean_estimate
from .rate import Ranking
from .scores import checked_arm, checked_matrix, net_effects

Method = Literal["ipw", "snipw", "dr"]
_FEW = 100.0  # effective customers; below it an interval by the central limit theorem is a guess
_HEAVY = 0.05  # share of the total weight that one customer may carry


def policy_matrix(policy: np.ndarray, n: int, n_arms: int) -> np.ndarray:
    """Return the probability with which a rule gives each customer each arm, (n, k + 1).

    Parameters
    ----------
    policy : ndarray of shape (n,) or (n, k + 1)
        An arm per customer, 0 = nothing; or probabilities, control first.
    n, n_arms : int
        Customers; arms with control.

    Raises
    ------
    ModelError
        Where the shape does not fit, there is no such arm, or probabilities are not.

    Examples
    --------
    >>> import numpy as np
    >>> policy_matrix(np.array([0, 2]), 2, 3).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    rule = np.asarray(policy)
    if rule.ndim == 1:
        matrix = np.zeros((n, n_arms))
        matrix[np.arange(n), checked_arm(rule, n, n_arms)] = 1.0
        return matrix
    matrix = checked_matrix("policy", rule, n)
    if matrix.shape[1] != n_arms or (matrix < 0.0).any() or (np.abs(matrix.sum(axis=1) - 1.0) > 1e-6).any():
        raise ModelError(f"policy has shape {rule.shape}; it must hold probabilities of {n_arms} arms that sum to 1.")
    return matrix


def treat_top(ranking: Ranking, fraction: float, n_arms: int) -> np.ndarray:
    """Return the rule that treats the top fraction of a ranking, (n, k + 1) probabilities, control first.

    Customers tied at the edge share what is left of the fraction, as in a random order among them. ``n_arms`` counts
    control.

    Raises
    ------
    ModelError
        Where the fraction is not in [0, 1], or the ranking gives an arm that is not there.

    Examples
    --------
    >>> import numpy as np
    >>> from regulars.uplift.rate import rank_by
    >>> treat_top(rank_by(np.array([3.0, 1.0, 1.0, 0.0])), 0.5, 2)[:, 1].tolist()
    [1.0, 0.5, 0.5, 0.0]
    """
    if not 0.0 <= fraction <= 1.0:
        raise ModelError(f"fraction is {fraction}; it must lie in [0, 1].")
    priority = checked("priority", ranking.priority)
    n = len(priority)
    levels, level = np.unique(-priority, return_inverse=True)
    size = np.bincount(level, minlength=len(levels))
    before = np.cumsum(size) - size
    treated = np.clip((fraction * n - before) / size, 0.0, 1.0)[level]
    matrix = np.zeros((n, n_arms))
    matrix[np.arange(n), checked_arm(ranking.arm, n, n_arms)] = treated
    matrix[:, 0] += 1.0 - treated
    return matrix


def gain_per_1000(
    scores: np.ndarray,
    policy: np.ndarray,
    *,
    baseline: np.ndarray | None = None,
    value: float | np.ndarray = 1.0,
    cost: float | np.ndarray = 0.0,
    weights: np.ndarray | None = None,
    cluster: np.ndarray | None = None,
    level: float = 0.95,
) -> Estimate:
    """Return what a rule gains per 1,000 customers, treated or not, over treating none or over another rule.

    Parameters
    ----------
    scores : ndarray of shape (n, k + 1)
        Doubly robust scores of control and each arm, from customers the rule was not made on.
    policy : ndarray of shape (n,) or (n, k + 1)
        The rule, as of `policy_matrix`.
    baseline : ndarray of shape (n,) or (n, k + 1), optional
        The rule to compare with; treating none without it.
    value : float or ndarray of shape (n,)
        Worth of one unit of outcome: 1 for the outcome itself, the margin for margin.
    cost : float or ndarray of shape (k,) or (n, k)
        Cost of treating one customer.
    weights, cluster : ndarray of shape (n,), optional
        Positive weights; labels of independent units.
    level : float
        Coverage of the interval.

    Raises
    ------
    ModelError
        Where shapes differ or values are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> scores = np.array([[0.0, 0.2], [0.0, 0.0], [0.0, 0.4], [0.0, -0.2]])
    >>> gain_per_1000(scores, np.array([1, 0, 1, 0]), value=10.0, cost=1.0).value
    1000.0
    """
    scores = checked_matrix("scores", scores)
    n, n_arms = scores.shape
    shift = policy_matrix(policy, n, n_arms)[:, 1:]
    if baseline is not None:
        shift = shift - policy_matrix(baseline, n, n_arms)[:, 1:]
    net = net_effects(scores[:, 1:] - scores[:, :1], value=value, cost=cost)
    gain = np.einsum("nk,nk->n", shift, net)
    return mean_estimate(gain, weights=weights, cluster=cluster, level=level).scaled(1000.0)


def compare_policies(
    scores: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    *,
    value: float | np.ndarray = 1.0,
    cost: float | np.ndarray = 0.0,
    weights: np.ndarray | None = None,
    cluster: np.ndarray | None = None,
    level: float = 0.95,
) -> Estimate:
    """Return what ``first`` gains over ``second`` per 1,000 customers, paired on the same holdout.

    Customers to whom both rules give the same cancel out, so the interval is that of the difference alone; arguments
    and errors as of `gain_per_1000`.

    Examples
    --------
    >>> import numpy as np
    >>> scores = np.array([[0.0, 0.2], [0.0, 0.1], [0.0, 0.4]])
    >>> same = compare_policies(scores, np.array([1, 0, 1]), np.array([1, 0, 1]))
    >>> same.value, same.standard_error
    (0.0, 0.0)
    """
    return gain_per_1000(
        scores, first, baseline=second, value=value, cost=cost, weights=weights, cluster=cluster, level=level
    )


@dataclass(frozen=True)
class PolicyValue:
    """A rule's value per customer, from a log.

    Attributes
    ----------
    method : str
        ``"ipw"``, ``"snipw"`` or ``"dr"``.
    estimate : Estimate
        Mean net value per customer under the rule.
    effective_sample_size : float
        Kish's: how many equally weighted customers the weights amount to.
    matched : float
        Share of customers who got what the rule might give them.
    largest_weight : float
        Largest share of the total weight that one customer carries.
    findings : tuple of Finding
        What makes the number doubtful; empty where nothing was seen.
    """

    method: Method
    estimate: Estimate
    effective_sample_size: float
    matched: float
    largest_weight: float
    findings: tuple[Finding, ...]


def off_policy_value(
    arm: np.ndarray,
    outcome: np.ndarray,
    propensity: np.ndarray,
    policy: np.ndarray,
    *,
    method: Method = "dr",
    expected: np.ndarray | None = None,
    n_arms: int | None = None,
    value: float | np.ndarray = 1.0,
    cost: float | np.ndarray = 0.0,
    weights: np.ndarray | None = None,
    cluster: np.ndarray | None = None,
    level: float = 0.95,
) -> PolicyValue:
    """Value any targeting rule on a log of another: no experiment of the rule itself is needed.

    Parameters
    ----------
    arm, outcome : ndarray of shape (n,)
        What was given, 0 = nothing; what came of it.
    propensity : ndarray of shape (n,) or (n, k + 1)
        Probability with which the customer's own arm was given, as ``sends.propensity`` logs it; or that of every arm.
    policy : ndarray of shape (n,) or (n, k + 1)
        The rule, as of `policy_matrix`; from features and earlier data alone.
    method : {"dr", "ipw", "snipw"}
        Estimator. ``"dr"`` needs ``expected``.
    expected : ndarray of shape (n, k + 1), optional
        Expected outcome under each arm, from customers other than the row's own.
    n_arms : int, optional
        Arms with control; taken from the log and the rule without it.
    value, cost, weights, cluster, level
        As of `gain_per_1000`; control costs nothing.

    Raises
    ------
    ModelError
        Where shapes differ, values are not finite, a logged propensity is not in (0, 1], or ``expected`` is missing.

    Examples
    --------
    >>> import numpy as np
    >>> log = np.array([0, 1, 0, 1]), np.array([1.0, 3.0, 1.0, 3.0]), np.full(4, 0.5)
    >>> off_policy_value(*log, policy=np.ones(4, dtype=int), method="snipw").estimate.value
    3.0
    """
    if method not in ("ipw", "snipw", "dr"):
        raise ModelError(f"method is {method!r}{nearest(method, ['ipw', 'snipw', 'dr'])}; known: ipw, snipw, dr.")
    outcome = checked("outcome", outcome)
    n, arms = len(outcome), _count_arms(arm, policy, propensity, expected) if n_arms is None else n_arms
    arm = checked_arm(arm, n, arms)
    rule = policy_matrix(policy, n, arms)
    own, unsupported = _logged(propensity, arm, rule)
    row = np.arange(n)
    ratio = rule[row, arm] / own
    # what each customer is worth under each arm is value * outcome - price; control costs nothing
    worth = np.broadcast_to(np.asarray(value, dtype=np.float64), (n,))
    price = np.hstack([np.zeros((n, 1)), -net_effects(np.zeros((n, arms - 1)), value=value, cost=cost)])
    reward = worth * outcome - price[row, arm]
    weight = as_weights(weights, n)
    if method == "dr":
        if expected is None:
            raise ModelError("method 'dr' needs expected, (n, k + 1): see cross_fit_outcomes(); or use 'snipw'.")
        model = worth[:, None] * checked_matrix("expected", expected, n) - price
        each = np.einsum("na,na->n", rule, model) + ratio * (reward - model[row, arm])
    elif method == "snipw":
        each = _self_normalised(ratio, reward, weight)
    else:
        each = ratio * reward
    estimate = mean_estimate(each, weights=weights, cluster=cluster, level=level)
    carried = weight * ratio
    total = float(carried.sum())
    effective = total**2 / float(carried @ carried) if total else 0.0
    largest = float(carried.max()) / total if total else 0.0
    mean_ratio = mean_estimate(ratio, weights=weights, cluster=cluster, level=level)
    findings = _findings(mean_ratio, effective, largest, unsupported, n)
    return PolicyValue(method, estimate, effective, float((ratio > 0.0).mean()), largest, findings)


def _count_arms(arm: np.ndarray, policy: np.ndarray, *matrices: np.ndarray | None) -> int:
    columns = [np.shape(each)[1] for each in (policy, *matrices) if each is not None and np.ndim(each) == 2]
    if columns:
        return max(columns)
    return 1 + int(max(np.max(arm, initial=1), np.max(policy, initial=1)))


def _self_normalised(ratio: np.ndarray, reward: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the ratio of two means as one number per customer whose mean it is, linearised for its standard error."""
    total = float(weight @ ratio)
    if total == 0.0:
        raise ModelError("Nobody in the log got what the rule would give; it cannot be valued on this log.")
    value = float(weight @ (ratio * reward)) / total
    return value + ratio * (reward - value) * (weight.sum() / total)


def _logged(propensity: np.ndarray, arm: np.ndarray, rule: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the probability of each customer's own arm, and how many the rule wants to give what was never given."""
    n = len(arm)
    known = np.asarray(propensity, dtype=np.float64)
    if known.ndim == 2:
        known = checked_matrix("propensity", known, n)
        if known.shape[1] != rule.shape[1]:
            raise ModelError(f"propensity has {known.shape[1]} columns; there are {rule.shape[1]} arms, control first.")
        own, unsupported = known[np.arange(n), arm], int(((rule > 0.0) & (known <= 0.0)).any(axis=1).sum())
    else:
        own, unsupported = checked("propensity", known, n), 0
    outside = int((~((own > 0.0) & (own <= 1.0))).sum())
    if outside:
        raise ModelError(
            f"propensity is outside (0, 1] for {outside} of {n} customers, though they got the arm. Log the "
            "probability with which each was given what he got."
        )
    return own, unsupported


def _findings(ratio_mean: Estimate, effective: float, largest: float, unsupported: int, n: int) -> tuple[Finding, ...]:
    found = []
    if unsupported:
        found.append(
            Finding(
                "no_support",
                True,
                f"The rule gives {unsupported} of {n} customers an arm that the log could never give them.",
                "Keep to what the log could give, or run an exploration slice that gives every arm a chance.",
            )
        )
    if abs(ratio_mean.value - 1.0) > max(3.0 * ratio_mean.standard_error, 1e-9):
        found.append(
            Finding(
                "propensities_off",
                True,
                f"The weights average {ratio_mean.value:.3f} (standard error {ratio_mean.standard_error:.3f}) and must "
                "average 1.",
                "The logged propensities are not those that were used, or the log leaves out arms that the rule gives.",
            )
        )
    if effective < _FEW:
        found.append(
            Finding(
                "low_effective_sample",
                effective < _FEW / 10.0,
                f"The log says as much about this rule as {effective:.0f} customers would, of {n}.",
                "Trust the interval only as a sketch; log more customers, or compare rules nearer to what was sent.",
            )
        )
    if largest > _HEAVY:
        found.append(
            Finding(
                "heavy_weights",
                False,
                f"One customer carries {largest:.0%} of the weight.",
                "His propensity is very small; trim such customers (overlap_region) and say whom the answer is for.",
            )
        )
    return tuple(found)
