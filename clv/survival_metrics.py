"""How good survival curves are: concordance, integrated Brier score and AUC by scikit-survival, and D-calibration.

``train`` gives the distribution of censoring, as weights need it; for one window that ends on one day it is the test
set itself. Times are days (or the unit of the durations).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..sql.errors import ContractError, ModelError
from .survival import outcome, survival_library

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
# What sums of hazards may round above 1.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class SurvivalScores:
    """What `survival_scores` finds.

    Attributes
    ----------
    uno_c : float
        Concordance weighted by the inverse probability of censoring (Uno, Cai, Pencina, D'Agostino & Wei 2011).
    integrated_brier : float
        Brier score so weighted (Graf, Schmoor, Sauerbrei & Schumacher 1999), integrated over ``times``.
    mean_auc : float
        Cumulative/dynamic AUC (Hung & Chiang 2010), the mean over ``times``.
    d_calibration : float
        p value of `d_calibration`.

    Examples
    --------
    >>> SurvivalScores(0.7, 0.1, 0.75, 0.4).uno_c
    0.7
    """

    uno_c: float
    integrated_brier: float
    mean_auc: float
    d_calibration: float


NO_SCORES = SurvivalScores(np.nan, np.nan, np.nan, np.nan)


def survival_scores(
    durations: Array,
    events: Mask,
    survival: Array,
    times: Array,
    *,
    train: tuple[Array, Mask] | None = None,
    steps: float = 0.0,
) -> SurvivalScores:
    """Score survival curves against what came.

    Parameters
    ----------
    durations, events : ndarray, shape (n,)
        What came.
    survival : ndarray, shape (n, m)
        P(it lasts longer than t), by row.
    times : ndarray, shape (m,)
        Ascending, before the last duration. Concordance is of the curve at the last, up to it.
    train : tuple, optional
        Durations and events that the distribution of censoring is taken from; the same where not given.
    steps : float
        What durations are whole multiples of, 1 for days; 0 where they are exact. D-calibration heeds it.

    Returns
    -------
    SurvivalScores
        NaN where there is no event before the last time, or nobody to compare it with.

    Raises
    ------
    MissingExtraError
        scikit-survival is not installed.
    ContractError
        Shapes do not fit, or there is no row or time.
    ModelError
        A survival is no probability, a duration no number from 0, an event neither true nor false, or times do not
        ascend from above 0.

    Examples
    --------
    >>> rng = np.random.default_rng(2)
    >>> rate = rng.gamma(2, 0.02, 500)
    >>> lasted = np.minimum(rng.exponential(1 / rate), 60)
    >>> times = np.array([10.0, 20, 30])
    >>> scores = survival_scores(lasted, lasted < 60, np.exp(-rate[:, None] * times), times)
    >>> bool(scores.uno_c > 0.6), bool(scores.integrated_brier < 0.25), bool(scores.d_calibration > 0.01)
    (True, True, True)
    """
    times, survival = _numbers("times", times), _numbers("survival", survival)
    durations, events = _came("durations", durations, events)
    if not len(durations) or times.ndim != 1 or not len(times):
        raise ContractError(f"{len(durations)} rows and times of shape {times.shape}; give one of each at least")
    if survival.shape != (len(durations), len(times)):
        raise ContractError(
            f"survival has shape {survival.shape}; {(len(durations), len(times))} is one a row and time"
        )
    if not (np.isfinite(times) & (times > 0)).all() or not (np.diff(times) > 0).all():
        raise ModelError(f"times are {times.tolist()}; they must ascend from above 0")
    wrong = ~((survival >= 0) & (survival <= 1 + _ROUNDING))
    if wrong.any():
        raise ModelError(f"survival has {survival[wrong][0]:g}; each must be a probability, from 0 to 1")
    if train is not None:
        train = _came("train durations", *train)
    metrics = survival_library("sksurv.metrics")
    known = _until(times[-1], *(train or (durations, events)))
    came = _until(times[-1], durations, events)
    risk = 1.0 - survival
    try:
        concordance = float(metrics.concordance_index_ipcw(known, came, risk[:, -1], tau=float(times[-1]))[0])
        auc = float(metrics.cumulative_dynamic_auc(known, came, risk, times)[1])
        brier = float(metrics.integrated_brier_score(known, came, survival, times)) if len(times) > 1 else np.nan
    except (ValueError, ZeroDivisionError):
        concordance = auc = brier = float("nan")
    # what is beyond the last time counts as censored there
    inside = events & (durations <= times[-1])
    until = np.minimum(durations, times[-1])
    at_end, before = (survival_at(survival, times, t) for t in (until, np.maximum(until - steps, 0.0)))
    return SurvivalScores(concordance, brier, auc, d_calibration(at_end, inside, survival_before=before)[0])


def _numbers(name: str, values: Any) -> Array:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ContractError(f"{name} is no array of numbers: {error}") from None


def _came(name: str, durations: Any, events: Any) -> tuple[Array, Mask]:
    lasted, ended = _numbers(name, durations), _numbers("events", events)
    if lasted.ndim != 1 or lasted.shape != ended.shape:
        raise ContractError(f"{name} has shape {lasted.shape} and events {ended.shape}; give one each")
    wrong = ~(np.isfinite(lasted) & (lasted >= 0))
    if wrong.any():
        raise ModelError(f"{name} has {lasted[wrong][0]:g}; each must be a finite number from 0")
    if not np.isin(ended, (0, 1)).all():
        raise ModelError(f"events has {ended[~np.isin(ended, (0, 1))][0]:g}; each must be true or false")
    return lasted, ended.astype(bool)


def _until(last: float, durations: Array, events: Mask) -> NDArray[Any]:
    """Look no further than the last time: weights of later events, which nothing needs, may be infinite."""
    inside = durations <= last
    return outcome(np.where(inside, durations, last * (1 + 1e-9)), events & inside)


def survival_at(survival: Array, times: Array, when: Array) -> Array:
    """Read each row's curve at a time of its own, the hazard constant between ``times``; S(0) = 1.

    Examples
    --------
    >>> survival_at(np.array([[0.64]]), np.array([2.0]), np.array([1.0])).tolist()
    [0.8]
    """
    grid = np.concatenate([[0.0], times])
    log = np.concatenate([np.zeros((len(survival), 1)), np.log(np.maximum(survival, 1e-300))], axis=1)
    at = np.clip(np.searchsorted(grid, when, side="right") - 1, 0, len(grid) - 2)
    share = np.clip((when - grid[at]) / np.diff(grid)[at], 0.0, 1.0)
    rows = np.arange(len(survival))
    return np.exp((1 - share) * log[rows, at] + share * log[rows, at + 1])


def d_calibration(
    survival_at_end: Array, events: Mask, bins: int = 10, *, survival_before: Array | None = None
) -> tuple[float, Array]:
    """Test whether S(t) is uniform at the rows' own ends, as where curves are right (Haider et al. 2020, JMLR 21).

    An event counts in the bin of its S(t); one censored at S = c could have ended anywhere below, and counts in each
    bin by its share of [0, c]. An event of a whole day lies somewhere between S at that day's begin and at its end, and
    counts by its share of that. Shared rows scatter less than whole ones, so the test errs on the side of passing.

    Parameters
    ----------
    survival_at_end : ndarray, shape (n,)
        Each row's S at its own duration.
    events : ndarray of bool, shape (n,)
    bins : int
        Of equal width.
    survival_before : ndarray, shape (n,), optional
        S a step earlier, where time goes in steps.

    Returns
    -------
    p : float
        Of Pearson's chi-squared with bins - 1 degrees of freedom; small where the curves are not calibrated.
    shares : ndarray, shape (bins,)
        Share of rows by bin, from S = 0 up.

    Examples
    --------
    >>> p, shares = d_calibration(np.linspace(0.005, 0.995, 100), np.ones(100, dtype=bool))
    >>> round(p, 6), shares.round(3).tolist()
    (1.0, [0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])
    """
    from scipy.stats import chi2

    n = len(survival_at_end)
    if not n or bins < 2:
        raise ModelError(f"{n} rows and {bins} bins: D-calibration needs one row and two bins at least")
    high = np.where(events, survival_at_end if survival_before is None else survival_before, survival_at_end)
    low = np.where(events, survival_at_end, 0.0)
    edges = np.linspace(0.0, 1.0, bins + 1)
    wide = high - low > 1e-12
    at = np.clip(np.searchsorted(edges, high[~wide], side="right") - 1, 0, bins - 1)
    counts = np.bincount(at, minlength=bins).astype(np.float64)
    a, b = low[wide, None], high[wide, None]
    counts += (np.maximum(np.minimum(b, edges[1:]) - np.maximum(a, edges[:-1]), 0.0) / (b - a)).sum(axis=0)
    expected = n / bins
    return float(chi2.sf(((counts - expected) ** 2 / expected).sum(), bins - 1)), counts / n
