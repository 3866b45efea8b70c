"""How far an item's weeks spread around their mean, how long shocks last, and units drawn from all of it."""

from dataclasses import dataclass

import numpy as np

from .season_kernels import poisson_quantiles

DRAWS = 1000
_POOLED_WEEKS = 20.0  # weeks of its own after which an item's spread counts as much as all items'
_MOSTLY_GUESSED = 0.2
_MOST_PERSISTENT = 0.95
_MOST_UNITS = 1e15


@dataclass(frozen=True)
class Spread:
    """Spread of the weekly totals of n items.

    Attributes
    ----------
    overdispersion : ndarray of shape (n,)
        tau^2: a week's units have the variance ``m + tau^2 m^2``.
    persistence : float
        Correlation of shocks from week to week.
    level_error : ndarray of shape (n,)
        Standard error of the log level.
    """

    overdispersion: np.ndarray
    persistence: float
    level_error: np.ndarray


def fit_spread(total: np.ndarray, mean: np.ndarray, guessed: np.ndarray, weight: np.ndarray) -> Spread:
    """Fit the spread of weekly totals around their mean, and what it leaves of the levels.

    Parameters
    ----------
    total, mean : ndarray of shape (items, weeks)
        Demand of all stores, and its expectation.
    guessed : ndarray of shape (items, weeks)
        What of ``mean`` is of rows that sold out.
    weight : ndarray of shape (weeks,)
        How much a week counts for the level.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> mean = np.full((40, 400), 1e4)
    >>> found = fit_spread(mean * np.exp(rng.normal(0.0, 0.1, mean.shape)), mean, 0.0 * mean, np.ones(400))
    >>> round(float(found.overdispersion.mean()), 2), round(float(found.level_error.mean()), 3)
    (0.01, 0.005)
    """
    n = len(mean)
    # a week whose demand is mostly guessed says little of its spread
    told = (mean > 0.0) & (guessed < _MOSTLY_GUESSED * mean)
    off = np.where(told, total - mean, 0.0)
    square, base = np.where(told, off**2 - mean, 0.0), np.where(told, mean**2, 0.0)
    pooled = max(square.sum() / max(base.sum(), 1e-300), 0.0)
    own = square.sum(axis=1) / np.maximum(base.sum(axis=1), 1e-300)
    count = told.sum(axis=1)
    overdispersion = np.maximum((count * own + _POOLED_WEEKS * pooled) / (count + _POOLED_WEEKS), 0.0)
    both = told[:, 1:] & told[:, :-1]
    moved = (off[:, 1:] * off[:, :-1])[both].sum() / max((mean[:, 1:] * mean[:, :-1])[both].sum(), 1e-300)
    persistence = float(np.clip(moved / pooled, 0.0, _MOST_PERSISTENT)) if pooled > 1e-6 else 0.0
    shocks = (weight * mean) ** 2
    carried, lagged = np.zeros(n), np.zeros(n)
    for t in range(mean.shape[1]):
        lagged += carried * weight[t] * mean[:, t]
        carried = persistence * (carried + weight[t] * mean[:, t])
    variance = (weight**2 * mean).sum(axis=1) + overdispersion * (shocks.sum(axis=1) + 2.0 * lagged)
    level_error = np.sqrt(variance) / np.maximum((weight * mean).sum(axis=1), 1e-300)
    return Spread(overdispersion, persistence, level_error)


def slopes_drawn(covariance: np.ndarray, seed: tuple[int, ...]) -> np.ndarray:
    """Return errors of slopes drawn from their covariance: shape (draws, k)."""
    values, vectors = np.linalg.eigh(covariance)
    drawn = np.random.default_rng(seed).standard_normal((DRAWS, len(values)))
    return (drawn * np.sqrt(np.maximum(values, 0.0))) @ vectors.T


def units_drawn(
    mean: np.ndarray,
    log_error: np.ndarray,
    periods: np.ndarray,
    rng: np.random.Generator,
    overdispersion: float,
    persistence: float,
) -> np.ndarray:
    """Return units of an item drawn around their means: shape (draws, n).

    Parameters
    ----------
    mean : ndarray of shape (n,)
    log_error : ndarray of shape (draws, n)
        Error of the log mean.
    periods : ndarray of shape (n,)
        When each row is, in periods: rows of one period share shock and luck.
    """
    spread = np.log1p(overdispersion) ** 0.5
    times, at = np.unique(periods, return_inverse=True)
    shock = rng.standard_normal((len(times), DRAWS))
    for t in range(1, len(times)):
        kept = persistence ** (times[t] - times[t - 1])
        shock[t] = kept * shock[t - 1] + (1.0 - kept**2) ** 0.5 * shock[t]
    log_units = np.clip(log_error + spread * shock.T[:, at] - 0.5 * spread**2, -600.0, 600.0)
    expected = np.minimum(mean * np.exp(log_units), _MOST_UNITS)
    return quantile_of_poisson(rng.uniform(size=(len(times), DRAWS)).T[:, at], expected)


def quantile_of_poisson(luck: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Smallest count whose distribution function reaches ``luck``; for large means by the normal's, corrected."""
    from scipy.special import ndtri

    z = ndtri(np.clip(luck, 1e-15, 1.0 - 1e-15))
    # Cornish and Fisher's first correction: the third cumulant of a Poisson is its mean
    rough = np.maximum(np.round(mean + z * np.sqrt(mean) + (z**2 - 1.0) / 6.0), 0.0)
    small = mean < 30.0
    exact = np.empty(int(small.sum()))
    poisson_quantiles(np.minimum(luck[small], 1.0 - 1e-12), mean[small], exact)
    rough[small] = exact
    return rough
