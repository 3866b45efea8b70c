"""Designing an experiment: who gets which arm, and how many customers it takes to see what.

Arms are decided by a hash of the unit and a salt, so that anyone can repeat them, anywhere.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..sql.hashing import DesignError, unit_interval


def assign(units: Iterable[object], salt: str, arms: Mapping[str, float]) -> NDArray[np.str_]:
    """Assign each unit an arm with the given probability; shape (n,).

    Parameters
    ----------
    units : iterable
        Ids. For offers that spread between people give the ids of their clusters: a cluster has one arm.
    salt : str
        Name of the experiment. The same salt and arms give the same assignment at any time, in any order, on any
        machine.
    arms : mapping of str to float
        Arm -> probability; they add up to 1. Their order counts: keep it.

    Raises
    ------
    DesignError
        Probabilities that are negative or do not add up to 1.

    Examples
    --------
    >>> assign(["ann", "bob", "cy"], "spring", {"control": 0.5, "mail": 0.5}).tolist()
    ['control', 'control', 'mail']
    """
    names, shares = list(arms), np.array(list(arms.values()), dtype=float)
    if not names or np.any(~(shares >= 0)) or abs(shares.sum() - 1.0) > 1e-9:
        raise DesignError(f"arms have probabilities {dict(arms)}; give at least one, each 0 or more, adding up to 1")
    edges = np.cumsum(shares)[:-1]
    return np.array(names)[np.searchsorted(edges, unit_interval(units, salt), side="right")]


def persistent_holdout(units: Iterable[object], share: float, salt: str = "holdout") -> NDArray[np.bool_]:
    """Mark the units that no campaign may touch; shape (n,).

    A larger share contains the smaller one: raising it takes nobody out. Its salt is its own, so that arms of a
    campaign are spread evenly over the rest.

    Raises
    ------
    DesignError
        A share outside [0, 1).

    Examples
    --------
    >>> persistent_holdout(["ann", "bob", "cy"], 0.5).tolist()
    [False, True, True]
    """
    if not 0 <= share < 1:
        raise DesignError(f"holdout share is {share}; it lies in [0, 1)")
    return unit_interval(units, salt) < share


@dataclass(frozen=True)
class Power:
    """What an experiment of a size can see.

    Attributes
    ----------
    units : int
        Customers in both arms together.
    effect : float
        The true effect, in the outcome's units (or the ranking metric's).
    standard_error : float
        Of its estimate.
    power : float
        Probability that the two-sided test at ``level`` rejects "no effect".
    level : float
        The test's level.

    Examples
    --------
    >>> power_average_effect(10_000, 0.1, 1.0).power > 0.99
    True
    """

    units: int
    effect: float
    standard_error: float
    power: float
    level: float


def power_average_effect(
    units: int,
    effect: float,
    sd: float,
    *,
    treated_share: float = 0.5,
    level: float = 0.05,
    cluster_size: float = 1.0,
    icc: float = 0.0,
    explained: float = 0.0,
) -> Power:
    """Power of the difference in means between two arms.

    Parameters
    ----------
    units : int
        Customers in both arms together.
    effect, sd : float
        True difference and standard deviation of the outcome, in its units; for a rate p the latter is
        ``sqrt(p (1 - p))``.
    treated_share : float
        Share of the units in the treated arm, in (0, 1).
    level : float
        Level of the two-sided test.
    cluster_size, icc : float
        Mean units per cluster and intracluster correlation where clusters are assigned; the variance grows by
        ``1 + (cluster_size - 1) icc`` (Kish 1965).
    explained : float
        Share of the outcome's variance that CUPED's covariates explain, in [0, 1) (Deng et al. 2013, eq. 4).

    Raises
    ------
    DesignError
        A number outside its range.

    Examples
    --------
    >>> round(power_average_effect(3140, 0.1, 1.0).power, 3)
    0.8
    """
    _require("units", units, units >= 4, "4 or more")
    error = _standard_error(units, sd, treated_share, cluster_size, icc, explained)
    return Power(int(units), float(effect), error, _two_sided(effect / error, level), level)


def sample_size(
    effect: float,
    sd: float,
    *,
    power: float = 0.8,
    treated_share: float = 0.5,
    level: float = 0.05,
    cluster_size: float = 1.0,
    icc: float = 0.0,
    explained: float = 0.0,
) -> int:
    """Return the customers, both arms together, with which a true effect is seen with the given power.

    Parameters are those of :func:`power_average_effect`.

    Raises
    ------
    DesignError
        A number outside its range, or an effect of 0.

    Examples
    --------
    >>> sample_size(0.1, 1.0)  # 2 (1.95996 + .84162)^2 / .1^2 an arm
    3140
    """
    _require("effect", effect, effect != 0, "a number other than 0: no sample is large enough to see nothing")
    _require("power", power, level < power < 1, f"above the level {level} and below 1")
    one = _standard_error(1.0, sd, treated_share, cluster_size, icc, explained)
    return int(np.ceil((_effect_in_errors(power, level) * one / abs(effect)) ** 2 - 1e-9))


def minimum_detectable_effect(
    units: int,
    sd: float,
    *,
    power: float = 0.8,
    treated_share: float = 0.5,
    level: float = 0.05,
    cluster_size: float = 1.0,
    icc: float = 0.0,
    explained: float = 0.0,
) -> float:
    """Return the smallest true effect that ``units`` customers show with the given power, in the outcome's units.

    Parameters are those of :func:`power_average_effect`.

    Examples
    --------
    >>> round(minimum_detectable_effect(3140, 1.0), 4)
    0.1
    """
    _require("power", power, level < power < 1, f"above the level {level} and below 1")
    return _standard_error(units, sd, treated_share, cluster_size, icc, explained) * _effect_in_errors(power, level)


def power_targeting(
    units: int,
    effect_sd: float,
    outcome_sd: float,
    *,
    correlation: float = 0.3,
    metric: Literal["AUTOC", "QINI"] = "QINI",
    treated_share: float = 0.5,
    level: float = 0.05,
) -> Power:
    """Power to see that a ranking of customers is worth anything: of AUTOC or QINI against 0.

    The question is not whether the campaign works on average but whether its effect differs between customers in a
    way that the ranking finds. Effects and ranking are taken as jointly normal.

    Parameters
    ----------
    units : int
        Customers of the holdout on which the ranking is valued.
    effect_sd : float
        Standard deviation of the effect between customers, in the outcome's units.
    outcome_sd : float
        Standard deviation of the outcome within an arm.
    correlation : float
        Between the ranking and the true effect, in [0, 1].
    metric : {"AUTOC", "QINI"}
        AUTOC looks for a few with a large effect, QINI for differences over the whole base.
    treated_share, level : float
        As in :func:`power_average_effect`.

    Raises
    ------
    DesignError
        A number outside its range, or another metric.

    Notes
    -----
    Both metrics are means of ``w(rank) score`` with ``w(u) = -ln u - 1`` for AUTOC and ``w(u) = 1/2 - u`` for QINI,
    u the share ranked at or before a customer (Yadlowsky et al. 2021). Scores have variance
    ``outcome_sd^2 / (p (1 - p))``, the weights 1 and 1/12; the metric is ``correlation effect_sd E[w(U) z(U)]`` with z
    the normal quantile from the top.

    Examples
    --------
    >>> round(power_targeting(5000, 0.05, 0.36, correlation=0.5).power, 2)
    0.67
    """
    _require("units", units, units >= 4, "4 or more")
    _require("correlation", correlation, 0 <= correlation <= 1, "in [0, 1]")
    weights = {"AUTOC": (_AUTOC_NORMAL, 1.0), "QINI": (_QINI_NORMAL, 1.0 / 12.0)}
    if metric not in weights:
        raise DesignError(f"metric is {metric!r}; it is 'AUTOC' or 'QINI'")
    slope, variance = weights[metric]
    effect = correlation * effect_sd * slope
    error = _standard_error(units, outcome_sd, treated_share, 1.0, 0.0, 0.0) * variance**0.5
    return Power(int(units), effect, error, _two_sided(effect / error, level), level)


# E[w(U) z(1 - U)] for a standard normal z: 1 / (2 sqrt(pi)) for QINI; for AUTOC the integral of -ln(u) z(1 - u).
_QINI_NORMAL = 0.5 / np.pi**0.5
_AUTOC_NORMAL = 0.9031972856


def _standard_error(
    units: float, sd: float, treated_share: float, cluster_size: float, icc: float, explained: float
) -> float:
    _require("sd", sd, sd > 0, "positive")
    _require("treated_share", treated_share, 0 < treated_share < 1, "in (0, 1)")
    _require("cluster_size", cluster_size, cluster_size >= 1, "1 or more")
    _require("icc", icc, 0 <= icc <= 1, "in [0, 1]")
    _require("explained", explained, 0 <= explained < 1, "in [0, 1)")
    variance = sd**2 * (1.0 - explained) * (1.0 + (cluster_size - 1.0) * icc)
    return float((variance / (units * treated_share * (1.0 - treated_share))) ** 0.5)


def _effect_in_errors(power: float, level: float) -> float:
    """Effect in standard errors that the exact two-sided test, its small lower tail included, sees with ``power``."""
    from scipy.optimize import root_scalar

    return float(root_scalar(lambda z: _two_sided(z, level) - power, bracket=(0.0, 50.0), xtol=1e-12).root)


def _two_sided(z: float, level: float) -> float:
    from scipy.special import ndtr, ndtri

    _require("level", level, 0 < level < 1, "in (0, 1)")
    edge = ndtri(1.0 - level / 2.0)
    return float(ndtr(z - edge) + ndtr(-z - edge))


def _require(name: str, value: float, holds: bool, allowed: str) -> None:
    if not holds:
        raise DesignError(f"{name} is {value}; it must be {allowed}")
