"""Experiments in which whole clusters (stores, regions, households) are assigned, and what that costs in precision.

Where customers of a store compete for its stock, or talk to each other, a split by customer compares treated with
control customers whom the treatment has reached too; a cluster with one arm keeps that within the arm.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..sql.errors import ModelError
from .design import DesignError, Power, assign, power_average_effect, unit_interval
from .estimate import Estimate, as_units, checked, critical_value, interval


@dataclass(frozen=True)
class ClusterEffect:
    """An average effect where clusters were assigned.

    Attributes
    ----------
    effect : Estimate
        Difference in means, in the outcome's units; its t has the clusters less two degrees of freedom, so ``units``
        is the clusters less one.
    icc : float
        Intracluster correlation of the outcome within arms, at least 0.
    design_effect : float
        Variance over that of as many independent customers, by `icc` and the clusters' sizes (Kish 1965).
    clusters : tuple of int
        Control and treated.
    """

    effect: Estimate
    icc: float
    design_effect: float
    clusters: tuple[int, int]


def assign_clusters(clusters: Iterable[object], salt: str, arms: Mapping[str, float]) -> NDArray[np.str_]:
    """Assign whole clusters: as many of each arm as its share says, to within one; shape (n,).

    Clusters are few, so that a draw for each alone (`design.assign`) may give one arm most of them. Here they are
    ranked by the hash of salt and cluster, and the first are given the first arm.

    Parameters
    ----------
    clusters : iterable
        Cluster of each customer (or the clusters themselves): any labels, repeated or not.
    salt : str
        Name of the experiment.
    arms : mapping of str to float
        Arm -> share; they add up to 1. Their order counts.

    Raises
    ------
    DesignError
        Shares that do not add up to 1, fewer than two clusters an arm, or a missing id.

    Examples
    --------
    >>> assign_clusters(["Leeds", "York", "Hull", "Bath", "Leeds"], "spring", {"control": 0.5, "offer": 0.5}).tolist()
    ['offer', 'control', 'offer', 'control', 'offer']
    """
    labels = list(clusters)
    unit_interval(labels, salt)  # refuses blank ids
    known = sorted({str(label) for label in labels})
    assign(known[:1], salt, arms)  # refuses shares that are none
    cuts = np.round(np.cumsum(list(arms.values())) * len(known)).astype(int)
    counts = np.diff(np.r_[0, cuts])
    if counts.min() < 2:
        raise DesignError(
            f"{len(known)} clusters over {dict(arms)} give the arms {counts.tolist()}; each needs at least 2. Use "
            "smaller clusters, or switch over time: switchback.switchback()"
        )
    rank = np.argsort(unit_interval(known, salt), kind="stable")
    arm = np.empty(len(known), dtype=np.int64)
    arm[rank] = np.repeat(np.arange(len(arms)), counts)
    given = dict(zip(known, np.array(list(arms))[arm].tolist(), strict=True))
    return np.array([given[str(label)] for label in labels], dtype=np.str_)


def cluster_effect(
    outcome: np.ndarray,
    treated: np.ndarray,
    cluster: np.ndarray,
    *,
    level: float = 0.95,
) -> ClusterEffect:
    """Estimate the average effect where whole clusters were assigned.

    Parameters
    ----------
    outcome : ndarray of shape (n,)
    treated : ndarray of shape (n,), bool
    cluster : ndarray of shape (n,)
        Any labels.
    level : float
        Coverage of the interval.

    Raises
    ------
    ModelError
        Where a cluster has both arms, or an arm fewer than two clusters.

    Notes
    -----
    The difference of the arms' means over customers, with the variance of each a ratio of cluster totals (CR1 within
    the arm), and Student's t with the clusters less two. ICC by one-way analysis of variance within arms (Donner &
    Klar 2000, Design and Analysis of Cluster Randomization Trials, section 1.4).

    Examples
    --------
    >>> store = np.repeat(np.arange(6), 2)
    >>> found = cluster_effect(np.array([1, 3, 2, 2, 3, 3, 4, 4, 5, 3, 4, 6.0]), store >= 3, store)
    >>> round(found.effect.value, 3), round(found.effect.standard_error, 3), found.clusters
    (2.0, 0.471, (3, 3))
    """
    y = checked("outcome", outcome)
    w = np.asarray(treated, dtype=np.bool_)
    if w.shape != y.shape:
        raise ModelError(f"treated has shape {w.shape}; it must be one per row, {y.shape}.")
    unit, n_units = as_units(cluster, len(y))
    size = np.bincount(unit, minlength=n_units).astype(np.float64)
    given = np.bincount(unit, w, n_units) / size
    if not np.isin(given, (0.0, 1.0)).all():
        raise ModelError(
            f"{int((~np.isin(given, (0.0, 1.0))).sum())} of {n_units} clusters have both arms; a cluster that was "
            "assigned has one. Where customers were assigned, compare customers."
        )
    arms = [given == 0.0, given == 1.0]
    clusters = (int(arms[0].sum()), int(arms[1].sum()))
    if min(clusters) < 2:
        raise ModelError(f"the arms have {clusters} clusters; each needs at least 2 to tell an effect from a cluster.")
    total = np.bincount(unit, y, n_units)
    mean, variance = np.empty(2), np.empty(2)
    for a, inside in enumerate(arms):
        mean[a] = total[inside].sum() / size[inside].sum()
        parts = total[inside] - mean[a] * size[inside]
        variance[a] = (parts @ parts) / size[inside].sum() ** 2 * clusters[a] / (clusters[a] - 1.0)
    effect = interval(mean[1] - mean[0], float(variance.sum()) ** 0.5, units=n_units - 1, level=level)
    icc = _icc(y - mean[given.astype(np.int64)][unit], unit, size, arms)
    # Kish 1965, section 5.4, for unequal sizes: the size that a customer sees
    seen = float((size**2).sum() / size.sum())
    return ClusterEffect(effect, icc, 1.0 + (seen - 1.0) * icc, clusters)


def power_clusters(
    clusters: int,
    cluster_size: float,
    effect: float,
    sd: float,
    *,
    icc: float,
    size_variation: float = 0.0,
    treated_share: float = 0.5,
    level: float = 0.05,
) -> Power:
    """Power where whole clusters are assigned, by Student's t with the clusters less two.

    Parameters
    ----------
    clusters : int
        In both arms together, at least 4.
    cluster_size : float
        Mean customers per cluster.
    effect, sd : float
        True difference, and standard deviation of the outcome between customers, in its units.
    icc : float
        Intracluster correlation; `cluster_effect` measures it on past data.
    size_variation : float
        Coefficient of variation of the clusters' sizes; 0 = all equal.
    treated_share, level : float
        As in `design.power_average_effect`.

    Raises
    ------
    DesignError
        A number outside its range.

    Notes
    -----
    Design effect 1 + ((1 + cv^2) m - 1) icc (Eldridge, Ashby & Kerry 2006, Int. J. Epidemiology 35).

    Examples
    --------
    >>> round(power_clusters(40, 50, 0.2, 1.0, icc=0.05).power, 2)
    0.65
    """
    _require("clusters", clusters, clusters >= 4, "4 or more")
    _require("size_variation", size_variation, size_variation >= 0, "0 or more")
    _require("effect", effect, np.isfinite(effect), "finite")
    units = round(clusters * cluster_size)
    seen = (1.0 + size_variation**2) * cluster_size
    error = power_average_effect(
        units, effect, sd, treated_share=treated_share, level=level, cluster_size=seen, icc=icc
    ).standard_error
    return Power(units, float(effect), error, t_power(effect / error, clusters - 2, level), level)


def t_power(shift: float, freedom: int, level: float) -> float:
    """Return the power of the two-sided t-test where the true effect is ``shift`` standard errors.

    Examples
    --------
    >>> round(t_power(2.8, 10_000, 0.05), 2), round(t_power(2.8, 6, 0.05), 2)
    (0.8, 0.65)
    """
    from scipy.stats import nct

    _require("level", level, 0 < level < 1, "in (0, 1)")
    edge = critical_value(1.0 - level, freedom + 1)
    return float(nct.sf(edge, freedom, abs(shift)) + nct.cdf(-edge, freedom, abs(shift)))


def _icc(residual: np.ndarray, unit: np.ndarray, size: np.ndarray, arms: list[np.ndarray]) -> float:
    n, n_units = len(residual), len(size)
    mean = np.bincount(unit, residual, n_units) / size
    between = float(size @ mean**2) / (n_units - 2)
    if n == n_units:
        return 0.0
    within = float(((residual - mean[unit]) ** 2).sum()) / (n - n_units)
    typical = sum(size[a].sum() - (size[a] ** 2).sum() / size[a].sum() for a in arms) / (n_units - 2)
    total = between + (typical - 1.0) * within
    return float(np.clip((between - within) / total, 0.0, 1.0)) if total > 0.0 else 0.0


def _require(name: str, value: float, holds: bool | np.bool_, allowed: str) -> None:
    if not holds:
        raise DesignError(f"{name} is {value}; it must be {allowed}")
