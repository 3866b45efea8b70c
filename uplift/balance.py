"""Did randomisation do its work: sample ratio, balance of what was known before, and effects adjusted for it.

Everything is judged by the design, not by a model of the outcome: an arm's indicator less its probability is noise
that no column known before the send can explain (Hansen & Bowers 2008, Statistical Science 23).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ..sql.errors import ModelError
from ..sql.findings import Finding
from .estimate import Estimate, as_units, checked, interval
from .experiment import ExperimentData

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.0005  # of the sample ratio test: Fabijan et al. 2019, KDD, section 3


@dataclass(frozen=True)
class SampleRatio:
    """Counts of the arms against the plan.

    Attributes
    ----------
    counts, expected : dict of str to float
        Independent units of each arm, seen and planned.
    statistic : float
        Pearson's chi-square.
    p_value : float
        Exact binomial with two arms or few expected units, chi-square otherwise.
    finding : Finding or None
        Blocking, where ``p_value`` is below the level.
    """

    counts: Mapping[str, float]
    expected: Mapping[str, float]
    statistic: float
    p_value: float
    finding: Finding | None


def sample_ratio_test(counts: Mapping[str, float], shares: Mapping[str, float], *, level: float = LEVEL) -> SampleRatio:
    """Compare the arms' counts with their planned shares.

    Parameters
    ----------
    counts : mapping of str to int
        Independent units of each arm: customers, or clusters where clusters were assigned.
    shares : mapping of str to float
        Planned share of each arm, positive; scaled to add up to 1.
    level : float
        Below it there is a finding.

    Raises
    ------
    ModelError
        Where an arm has no share, a share is not positive, or nobody was counted.

    Notes
    -----
    Two arms: the exact binomial test. More: chi-square, or where fewer than 5 units are expected in an arm the
    smallest exact binomial p-value times the number of arms.

    Examples
    --------
    >>> sample_ratio_test({"no": 500, "mail": 500}, {"no": 0.5, "mail": 0.5}).p_value
    1.0
    >>> print(sample_ratio_test({"no": 10_000, "mail": 10_600}, {"no": 1, "mail": 1}).finding)
    sample_ratio_mismatch (blocking): no 10000 of 10300.0 planned, mail 10600 of 10300.0 planned; p = 3e-05. ...
    """
    from scipy import stats

    unplanned = [arm for arm in counts if arm not in shares]
    if unplanned or any(not shares[arm] > 0 for arm in shares):
        raise ModelError(
            f"shares are {dict(shares)} and the arms counted {list(counts)}; give each arm its planned share, above 0."
        )
    seen = np.array([float(counts.get(arm, 0)) for arm in shares])
    total = seen.sum()
    if total <= 0 or len(seen) < 2:
        raise ModelError(f"counts are {dict(counts)}; a sample ratio needs two arms and at least one unit.")
    plan = np.array([float(share) for share in shares.values()])
    plan /= plan.sum()
    expected = total * plan
    statistic = float(((seen - expected) ** 2 / expected).sum())
    if len(seen) == 2 or expected.min() < 5:
        each = [float(stats.binomtest(int(m), int(total), q).pvalue) for m, q in zip(seen, plan, strict=True)]
        p_value = each[0] if len(seen) == 2 else min(1.0, len(each) * min(each))
    else:
        p_value = float(stats.chi2.sf(statistic, len(seen) - 1))
    finding = None
    if p_value < level:
        told = ", ".join(f"{a} {m:.0f} of {e:.1f} planned" for a, m, e in zip(shares, seen, expected, strict=True))
        finding = Finding(
            "sample_ratio_mismatch",
            True,
            f"{told}; p = {p_value:.3g}.",
            "Find where customers were lost or added (redirects, bots, filters after assignment, bounced addresses) "
            "and rebuild the frame from the assignment; do not reweight.",
        )
    return SampleRatio(
        dict(zip(shares, seen.tolist(), strict=True)),
        dict(zip(shares, expected.tolist(), strict=True)),
        statistic,
        p_value,
        finding,
    )


def arm_scores(
    columns: np.ndarray, arm: np.ndarray, propensity: np.ndarray, cluster: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return what the arms explain of each column beyond their probabilities, and its variance by design.

    Parameters
    ----------
    columns : ndarray of shape (n, p)
        Numbers known before the send.
    arm : ndarray of shape (n,)
    propensity : ndarray of shape (n, k + 1)
        Probability of each arm; with clusters that of the cluster.
    cluster : ndarray of shape (n,), optional
        Unit of randomisation.

    Returns
    -------
    scores : ndarray of shape (k, p)
        Sum of (column - mean) (in the arm - its probability), for the arms beside control.
    variance : ndarray of shape (k, p, k, p)
        Of the scores, under the design.

    Examples
    --------
    >>> x, p = np.array([[0.0], [0.0], [1.0], [1.0]]), np.full((4, 2), 0.5)
    >>> scores, variance = arm_scores(x, np.array([0, 0, 1, 1]), p)
    >>> scores.item(), variance.item()  # 2^2 / 1 = 4 = n R^2
    (1.0, 0.25)
    """
    centred = columns - columns.mean(axis=0)
    scale = centred.std(axis=0)
    centred[:, scale <= 1e-12 * np.abs(columns).max(axis=0, initial=0.0)] = 0.0
    unit, first = randomised_units(arm, cluster)
    x = np.column_stack([np.bincount(unit, column, len(first)) for column in centred.T])
    p = propensity[first]
    given = np.zeros_like(p)
    given[np.arange(len(first)), arm[first]] = 1.0
    k = p.shape[1] - 1
    p, given = p[:, 1:], given[:, 1:]
    scores = (given - p).T @ x
    variance = np.empty((k, x.shape[1], k, x.shape[1]))
    for a in range(k):
        for b in range(k):
            weight = (p[:, a] if a == b else 0.0) - p[:, a] * p[:, b]
            variance[a, :, b, :] = (x * weight[:, None]).T @ x
    return scores, variance


def randomised_units(arm: np.ndarray, cluster: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the unit of randomisation of each row, 0..units-1, and the first row of each unit.

    Clusters where each has one arm; rows otherwise: then the draw was made row by row, as for a customer who was in
    several campaigns.

    Examples
    --------
    >>> unit, first = randomised_units(np.array([0, 0, 1, 1]), np.array(["b", "b", "a", "a"]))
    >>> unit.tolist(), first.tolist()
    ([1, 1, 0, 0], [2, 0])
    """
    rows = np.arange(len(arm))
    if cluster is None:
        return rows, rows
    unit, n_units = as_units(cluster, len(arm))
    first = np.full(n_units, len(arm))
    np.minimum.at(first, unit, rows)
    return (unit, first) if (arm == arm[first][unit]).all() else (rows, rows)


def chi_square(scores: np.ndarray, variance: np.ndarray) -> tuple[float, int, float]:
    """Return the quadratic form of scores (any shape) in their inverse variance, its rank and its p-value.

    Examples
    --------
    >>> statistic, freedom, p_value = chi_square(np.array([1.0]), np.array([[0.25]]))
    >>> statistic, freedom, round(p_value, 4)
    (4.0, 1, 0.0455)
    """
    from scipy.stats import chi2

    flat = scores.ravel()
    square = variance.reshape(len(flat), len(flat))
    scale = np.sqrt(np.diag(square))
    kept = scale > 0.0
    if not kept.any():
        return 0.0, 0, 1.0
    # as correlations: columns of cents and of shares have their rank judged on one scale
    values, vectors = np.linalg.eigh(square[np.ix_(kept, kept)] / np.outer(scale[kept], scale[kept]))
    real = values > 1e-8 * values.max()
    turned = vectors[:, real].T @ (flat[kept] / scale[kept])
    statistic = float((turned**2 / values[real]).sum())
    return statistic, int(real.sum()), float(chi2.sf(statistic, int(real.sum())))


@dataclass(frozen=True)
class Balance:
    """Balance of the features between the arms.

    Attributes
    ----------
    features, arms : tuple of str
        Encoded features, and the arms beside control.
    mean, sd : ndarray of shape (k + 1, p)
        Of each feature in each arm, control first.
    difference : ndarray of shape (k, p)
        Mean of the arm less control's over the root mean of the two variances (Austin 2009, Stat. Med. 28).
    p_value : ndarray of shape (p,)
        Each feature alone, over all arms; not corrected for their number.
    statistic, freedom, joint_p_value : float, int, float
        All features and arms at once.
    """

    features: tuple[str, ...]
    arms: tuple[str, ...]
    mean: np.ndarray = field(repr=False)
    sd: np.ndarray = field(repr=False)
    difference: np.ndarray = field(repr=False)
    p_value: np.ndarray = field(repr=False)
    statistic: float
    freedom: int
    joint_p_value: float

    def table(self) -> "pd.DataFrame":
        """Return a row per feature and arm: means, standardised difference, p-value of the feature."""
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "feature": name,
                    "arm": arm,
                    "mean_control": self.mean[0, j],
                    "mean_arm": self.mean[a + 1, j],
                    "standardised_difference": self.difference[a, j],
                    "p_value": self.p_value[j],
                }
                for j, name in enumerate(self.features)
                for a, arm in enumerate(self.arms)
            ]
        )


def covariate_balance(data: ExperimentData) -> Balance:
    """Compare the features between the arms: standardised differences and one joint test.

    Parameters
    ----------
    data : ExperimentData
        With clusters, the test takes clusters as the units that were randomised. Without known propensities
        (observational) the arms' shares stand in, and the test says how far from randomised the data are.

    Notes
    -----
    The joint statistic is the score test of a multinomial logit of arm on features: n R^2 with two arms, Pearson's
    chi-square with one categorical feature (Hansen & Bowers 2008, eq. 8).

    Examples
    --------
    >>> import pandas as pd
    >>> from regulars.uplift import Experiment
    >>> frame = pd.DataFrame({"arm": ["no", "mail"] * 50, "age": [30.0, 31.0, 50.0, 51.0] * 25, "outcome": 0.0})
    >>> balance = covariate_balance(Experiment(treatment="arm", outcome="outcome", control="no").read(frame))
    >>> round(balance.difference.item(), 3), round(balance.joint_p_value, 3)
    (0.099, 0.618)
    """
    x, arm, k = data.features, data.arm, data.n_arms
    shares = np.bincount(arm, minlength=k) / len(arm)
    propensity = np.tile(shares, (len(arm), 1)) if data.propensity is None else data.propensity
    mean = np.array([x[arm == a].mean(axis=0) for a in range(k)])
    sd = np.array([x[arm == a].std(axis=0, ddof=1) if (arm == a).sum() > 1 else 0.0 * mean[a] for a in range(k)])
    pooled = np.sqrt((sd[1:] ** 2 + sd[:1] ** 2) / 2.0)
    gap = mean[1:] - mean[:1]
    difference = np.divide(gap, pooled, out=np.sign(gap) * np.where(gap == 0.0, 0.0, np.inf), where=pooled > 0.0)
    scores, variance = arm_scores(x, arm, propensity, data.cluster)
    each = [chi_square(scores[:, j], variance[:, j, :, j])[2] for j in range(x.shape[1])]
    statistic, freedom, joint = chi_square(scores, variance)
    return Balance(
        data.encoder.names, data.arm_names[1:], mean, sd, difference, np.array(each), statistic, freedom, joint
    )


@dataclass(frozen=True)
class AdjustedEffect:
    """An arm's average effect, plain and adjusted for what was known before.

    Attributes
    ----------
    arm : str
    adjusted, unadjusted : Estimate
        In the outcome's units.
    variance_reduction : float
        Share of the plain estimate's variance that the covariates took away.
    """

    arm: str
    adjusted: Estimate
    unadjusted: Estimate
    variance_reduction: float


def cuped(
    outcome: np.ndarray,
    covariates: np.ndarray,
    arm: np.ndarray,
    *,
    cluster: np.ndarray | None = None,
    arm_names: tuple[str, ...] | None = None,
    level: float = 0.95,
) -> tuple[AdjustedEffect, ...]:
    """Estimate each arm's average effect in a randomised experiment, with less noise by what was known before.

    Parameters
    ----------
    outcome : ndarray of shape (n,)
    covariates : ndarray of shape (n,) or (n, p)
        Known before the send, such as the outcome in the weeks before it. A covariate measured after it biases.
    arm : ndarray of shape (n,), int
        0 = control.
    cluster : ndarray of shape (n,), optional
        Unit of randomisation.
    arm_names : tuple of str, optional
        Control first.
    level : float
        Coverage of the intervals.

    Returns
    -------
    tuple of AdjustedEffect
        One for each arm beside control.

    Raises
    ------
    ModelError
        Where shapes differ, values are not finite, or an arm has no more customers than there are covariates.

    Notes
    -----
    A regression within each arm on centred covariates (Lin 2013, Annals of Applied Statistics 7, eq. 4), so that the
    effect may differ between customers; with a common slope it is CUPED (Deng et al. 2013, WSDM, eq. 4). Variance by
    influence functions: the heteroskedasticity-robust one of the interacted regression, plus that of the covariates'
    mean, for customers like these rather than these alone.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> before, arm = rng.normal(size=4000), np.arange(4000) % 2
    >>> (effect,) = cuped(before + 0.2 * arm + 0.5 * rng.normal(size=4000), before, arm)
    >>> round(effect.variance_reduction, 1), effect.adjusted.lower < 0.2 < effect.adjusted.upper
    (0.8, True)
    """
    y = checked("outcome", outcome)
    x = np.asarray(covariates, dtype=np.float64)
    x = x[:, None] if x.ndim == 1 else x
    arm = np.asarray(arm)
    if x.ndim != 2 or len(x) != len(y) or arm.shape != y.shape:
        raise ModelError(
            f"outcome, covariates and arm have shapes {y.shape}, {x.shape} and {arm.shape}; give a row per customer."
        )
    if not np.isfinite(x).all():
        raise ModelError(f"covariates hold {int((~np.isfinite(x)).sum())} NaN or infinite values; fill them first.")
    k = int(arm.max(initial=0)) + 1
    counts = np.bincount(arm.astype(np.int64), minlength=k)
    if k < 2 or counts.min() <= x.shape[1] + 1:
        raise ModelError(
            f"arms have {counts.tolist()} customers and there are {x.shape[1]} covariates; each of two or more arms "
            "needs more customers than covariates."
        )
    names = tuple(arm_names or ("control", *(f"arm_{a}" for a in range(1, k))))
    plain = _arm_means(y, np.zeros((len(y), 0)), arm, k)
    better = _arm_means(y, x - x.mean(axis=0), arm, k)
    found = []
    for a in range(1, k):
        adjusted = _difference(*better, a, cluster, k * (x.shape[1] + 1), level)
        unadjusted = _difference(*plain, a, cluster, k, level)
        kept = (adjusted.standard_error / unadjusted.standard_error) ** 2 if unadjusted.standard_error else 1.0
        found.append(AdjustedEffect(names[a], adjusted, unadjusted, 1.0 - kept))
    return tuple(found)


def _arm_means(y: np.ndarray, centred: np.ndarray, arm: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return each arm's mean at the covariates' mean, (k,), and its influence function, (n, k)."""
    n = len(y)
    design = np.column_stack([np.ones(n), centred])
    mean, influence = np.empty(k), np.zeros((n, k))
    for a in range(k):
        rows = arm == a
        inside = design[rows]
        inverse = np.linalg.pinv(inside.T @ inside)
        slope = inverse @ (inside.T @ y[rows])
        mean[a] = slope[0]
        influence[:, a] = centred @ slope[1:] / n
        influence[rows, a] += (y[rows] - inside @ slope) * (inside @ inverse[0])
    return mean, influence


def _difference(
    mean: np.ndarray, influence: np.ndarray, a: int, cluster: np.ndarray | None, parameters: int, level: float
) -> Estimate:
    unit, n_units = as_units(cluster, len(influence))
    parts = np.bincount(unit, influence[:, a] - influence[:, 0], n_units)
    n = len(influence)
    # HC1; with clusters CR1
    freedom = n / (n - parameters) * (1.0 if cluster is None else n_units / (n_units - 1.0))
    return interval(mean[a] - mean[0], float(freedom * (parts @ parts)) ** 0.5, units=n_units, level=level)
