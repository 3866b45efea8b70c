"""Empirical Bayes over a tree of categories: each item's answer is its own data and its category's, weighed.

An item's true elasticity is normal around its category's, the category's around that of the category above, and so on;
the top knows nothing beforehand. Variances between are found by maximum likelihood, and the uncertainty of the one
between items enters the intervals (Efron and Morris 1975; Gelman et al. 2013, chapter 5). Estimates must be unbiased
before they are shrunk: shrinking the naive slopes of a shop that sells out makes wrong answers sure of themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

Path = tuple[str, ...]
_GRID = 25
# Elasticities of items and categories differ by about half a unit (Bijmolt, van Heerde and Pieters 2005: from one to
# four over 1,851 estimates of all categories, most of it between methods and markets); between .2 and 1.3 in 80%.
_USUAL_DEVIATION, _ITS_SPREAD = 0.5, 0.7


@dataclass(frozen=True)
class Shrunk:
    """Posterior of each item and category.

    Attributes
    ----------
    mean, deviation : ndarray of shape (items,)
    own_share : ndarray of shape (items,)
        Weight of the item's own estimate against its category without it; 0 where it has none.
    between : float
        Standard deviation of true elasticities within a category.
    categories : dict of path to (mean, deviation)
        Mean elasticity of each category and its standard deviation, the whole being ().
    """

    mean: np.ndarray = field(repr=False)
    deviation: np.ndarray = field(repr=False)
    own_share: np.ndarray = field(repr=False)
    between: float
    categories: dict[Path, tuple[float, float]] = field(repr=False)

    def new_item(self, path: Path) -> tuple[float, float]:
        """Return mean and standard deviation for an item without data; the nearest category above that is known."""
        while path not in self.categories:
            path = path[:-1]
        mean, deviation = self.categories[path]
        return mean, float(np.hypot(deviation, self.between))


def shrink(estimate: np.ndarray, variance: np.ndarray, paths: Sequence[Path]) -> Shrunk | None:
    """Weigh each item's estimate with its category's; None where no item has an estimate.

    Parameters
    ----------
    estimate, variance : ndarray of shape (items,)
        Own estimate and its sampling variance; NaN where the item has none.
    paths : sequence of tuple of str
        Categories of each item, from the widest.

    Examples
    --------
    >>> estimate, variance = np.array([-2.0, -2.2, -1.8, -9.0]), np.array([0.01, 0.01, 0.01, 9.0])
    >>> shrunk = shrink(estimate, variance, [("a",)] * 4)
    >>> shrunk.mean.round(1).tolist(), bool(shrunk.own_share[3] < 0.05)
    ([-2.0, -2.2, -1.8, -2.2], True)
    """
    known = np.isfinite(estimate) & np.isfinite(variance)
    if not known.any():
        return None
    tree = _Tree(paths, known)
    spread = max(float(np.std(estimate[known])), 0.05)
    taus = _best(tree, estimate, variance, spread)
    grid = np.exp(np.linspace(np.log(taus[-1] + 0.02) - 1.8, np.log(taus[-1] + 0.02) + 1.5, _GRID))
    weight, parts = [], []
    for tau in grid:
        likelihood, mean, var, nodes, own = tree.posterior(estimate, variance, np.append(taus[:-1], tau))
        weight.append(likelihood + _log_prior(tau))
        parts.append((mean, var, nodes, own))
    weight = np.exp(np.array(weight) - max(weight))
    weight /= weight.sum()
    means, variances = np.stack([p[0] for p in parts]), np.stack([p[1] for p in parts])
    mean = weight @ means
    deviation = np.sqrt(weight @ (variances + (means - mean) ** 2))
    share = weight @ np.stack([p[3] for p in parts])
    at = [np.array([p[2][k] for p in parts]) for k in range(2)]
    node_mean = weight @ at[0]
    node_sd = np.sqrt(weight @ (at[1] + (at[0] - node_mean) ** 2))
    between = float(np.sqrt(weight @ grid**2))
    categories = {path: (float(node_mean[i]), float(node_sd[i])) for path, i in tree.index.items()}
    return Shrunk(mean, deviation, share, between, categories)


class _Tree:
    """Categories by depth; messages go up from items to the whole and come down again (Gaussian belief propagation)."""

    def __init__(self, paths: Sequence[Path], known: np.ndarray) -> None:
        nodes = sorted(
            {path[:depth] for path in paths for depth in range(len(path) + 1)} | {()}, key=lambda p: (len(p), p)
        )
        self.index = {path: i for i, path in enumerate(nodes)}
        self.parent = np.array([self.index[path[:-1]] if path else -1 for path in nodes])
        self.depth = np.array([len(path) for path in nodes])
        self.leaf = np.array([self.index[path] for path in paths])
        self.known = known

    @property
    def levels(self) -> int:
        """Depths below the whole."""
        return int(self.depth.max())

    def posterior(
        self, estimate: np.ndarray, variance: np.ndarray, taus: np.ndarray
    ) -> tuple[float, np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray], np.ndarray]:
        """Marginal log-likelihood; posterior mean and variance of items, and of categories; items' own weights.

        ``taus`` holds one deviation for each depth of category, from the widest, and that between items last.
        """
        n_nodes = len(self.parent)
        total = np.where(self.known, variance, 1.0) + taus[-1] ** 2
        precision = np.bincount(self.leaf, np.where(self.known, 1.0 / total, 0.0), n_nodes)
        pulled = np.bincount(self.leaf, np.where(self.known, np.nan_to_num(estimate) / total, 0.0), n_nodes)
        square = float(np.sum(np.where(self.known, np.nan_to_num(estimate) ** 2 / total, 0.0)))
        likelihood = -0.5 * (float(np.sum(np.where(self.known, np.log(total), 0.0))) + square)
        up_precision, up_pulled = np.zeros(n_nodes), np.zeros(n_nodes)
        for depth in range(self.levels, 0, -1):
            at = np.flatnonzero(self.depth == depth)
            tau2 = taus[depth - 1] ** 2
            has = precision[at] > 0
            p = np.where(has, precision[at], 1.0)
            m = pulled[at] / p
            var = 1.0 / p + tau2
            likelihood += float(np.sum(np.where(has, 0.5 * (p * m * m - np.log(p) - m * m / var - np.log(var)), 0.0)))
            up_precision[at] = np.where(has, 1.0 / var, 0.0)
            up_pulled[at] = np.where(has, m / var, 0.0)
            precision += np.bincount(self.parent[at], up_precision[at], n_nodes)
            pulled += np.bincount(self.parent[at], up_pulled[at], n_nodes)
        # the whole has a flat prior
        likelihood += 0.5 * (pulled[0] ** 2 / precision[0] - np.log(precision[0]))
        for depth in range(1, self.levels + 1):
            at = np.flatnonzero(self.depth == depth)
            above = self.parent[at]
            # what the parent knows without this child
            p = np.maximum(precision[above] - up_precision[at], 1e-12)
            m = (pulled[above] - up_pulled[at]) / p
            var = 1.0 / p + taus[depth - 1] ** 2
            precision[at] += 1.0 / var
            pulled[at] += m / var
        node_mean, node_var = pulled / precision, 1.0 / precision
        # an item's category without the item itself
        own_p = np.where(self.known, 1.0 / total, 0.0)
        p = np.maximum(precision[self.leaf] - own_p, 1e-12)
        m = (pulled[self.leaf] - own_p * np.nan_to_num(estimate)) / p
        prior = 1.0 / p + taus[-1] ** 2
        own = np.where(self.known, 1.0 / np.where(self.known, variance, 1.0), 0.0)
        item_precision = 1.0 / prior + own
        mean = (m / prior + own * np.nan_to_num(estimate)) / item_precision
        return likelihood, mean, 1.0 / item_precision, (node_mean, node_var), own / item_precision


def _log_prior(tau: "np.ndarray | float") -> "np.ndarray | float":
    """Log density of a deviation in its logarithm."""
    return -0.5 * ((np.log(tau) - np.log(_USUAL_DEVIATION)) / _ITS_SPREAD) ** 2


def _best(tree: _Tree, estimate: np.ndarray, variance: np.ndarray, spread: float) -> np.ndarray:
    from scipy.optimize import minimize

    def loss(log_taus: np.ndarray) -> float:
        taus = np.exp(np.clip(log_taus, -8.0, 4.0))
        return -tree.posterior(estimate, variance, taus)[0] - float(np.sum(_log_prior(taus)))

    start = np.full(tree.levels + 1, np.log(spread))
    found = minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-4, "maxiter": 600})
    return np.exp(np.clip(found.x, -8.0, 4.0))
