"""Empirical Bayes over a tree of categories: each item's answer is its own data and its category's, weighed.

An item's true elasticity is normal around its category's, the category's around that of the category above, and so on;
the top knows nothing beforehand. Variances between are found by maximum likelihood, and the uncertainty of the one
between items enters the intervals (Efron and Morris 1975; Gelman et al. 2013, chapter 5). Estimates must be unbiased
before they are shrunk: shrinking the naive slopes of a shop that sells out makes wrong answers sure of themselves.

Each of the widest categories has variances of its own, so that an item's answer does not hang on what else stands in
the table. What the other categories say of its mean is a prior, wide where they are few: two categories do not tell
how far categories lie apart, and a third may lie anywhere within what is usual.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from .category_fit import FEWEST_ITEMS

Path = tuple[str, ...]
_GRID = 25
# Elasticities of items and categories differ by about half a unit (Bijmolt, van Heerde and Pieters 2005: from one to
# four over 1,851 estimates of all categories, most of it between methods and markets); between .2 and 1.3 in 80%.
_USUAL_DEVIATION, _ITS_SPREAD = 0.5, 0.7
_NOTHING_KNOWN = (0.0, np.inf)


@dataclass(frozen=True)
class Shrunk:
    """Posterior of each item and category.

    Attributes
    ----------
    mean, deviation : ndarray of shape (items,)
    own_share : ndarray of shape (items,)
        Weight of the item's own estimate against its category without it; 0 where it has none.
    between : float
        Standard deviation of true elasticities within a category, over all items.
    categories : dict of path to (mean, deviation)
        Mean elasticity of each category and its standard deviation; () is what a category not seen would have.
    spreads : dict of path to float
        ``between`` of each of the widest categories that stand apart; () is that of all others.
    """

    mean: np.ndarray = field(repr=False)
    deviation: np.ndarray = field(repr=False)
    own_share: np.ndarray = field(repr=False)
    between: float
    categories: dict[Path, tuple[float, float]] = field(repr=False)
    spreads: dict[Path, float] = field(repr=False, default_factory=dict)

    def new_item(self, path: Path) -> tuple[float, float]:
        """Return mean and standard deviation for an item without data; the nearest category above that is known."""
        while path not in self.categories:
            path = path[:-1]
        mean, deviation = self.categories[path]
        return mean, float(np.hypot(deviation, self.spreads.get(path[:1], self.spreads.get((), self.between))))


def apart(paths: Sequence[Path]) -> dict[Path, list[int]]:
    """Items by the widest of their categories; under () those of categories with fewer than `FEWEST_ITEMS`.

    Examples
    --------
    >>> {path: len(items) for path, items in apart([("tea", "green")] * 8 + [("milk",)] * 2 + [()]).items()}
    {('tea',): 8, (): 3}
    """
    count = Counter(path[:1] for path in paths)
    groups: dict[Path, list[int]] = {}
    for i, path in enumerate(paths):
        top = path[:1]
        groups.setdefault(top if count[top] >= FEWEST_ITEMS else (), []).append(i)
    return groups


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
    parts = {
        top: _Part(np.array(items), [paths[i][len(top) :] for i in items], estimate[items], variance[items])
        for top, items in sorted(apart(paths).items())
    }
    means = {top: part.posterior().categories[()] for top, part in parts.items() if part.known.any()}
    mean, deviation, share = np.empty(len(paths)), np.empty(len(paths)), np.empty(len(paths))
    categories, spreads = {(): _elsewhere(list(means.values()))}, {}
    for top, part in parts.items():
        others = [found for name, found in means.items() if name != top]
        found = part.posterior(_elsewhere(others) if others else _NOTHING_KNOWN)
        mean[part.items], deviation[part.items], share[part.items] = found.mean, found.deviation, found.own_share
        spreads[top] = found.between
        # where no category stands apart, the whole is what holds them
        categories |= {top + path: at for path, at in found.categories.items() if top or path or len(parts) == 1}
    size = np.array([len(part.items) for part in parts.values()])
    between = float(np.sqrt(np.average(np.array(list(spreads.values())) ** 2, weights=size)))
    return Shrunk(mean, deviation, share, between, categories, spreads)


def _elsewhere(means: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Mean and deviation of a category that is not seen, from the means of others and their deviations.

    Averaged over the deviation between categories, of which its prior says all where there is but one other.
    """
    m, v = np.array(means)[:, 0], np.array(means)[:, 1] ** 2
    taus = _USUAL_DEVIATION * np.exp(np.linspace(-4.0, 4.0, _GRID) * _ITS_SPREAD)
    weight = 1.0 / (v + taus[:, None] ** 2)
    total = weight.sum(axis=1)
    centre = weight @ m / total
    likelihood = 0.5 * (np.log(weight).sum(axis=1) - np.log(total) - (weight * (m - centre[:, None]) ** 2).sum(axis=1))
    share = likelihood + _log_prior(taus)
    share = np.exp(share - share.max())
    share /= share.sum()
    mean = float(share @ centre)
    return mean, float(np.sqrt(share @ (1.0 / total + taus**2 + (centre - mean) ** 2)))


class _Part:
    """Items that share their deviations: those of one of the widest categories, or of all that are too small."""

    def __init__(self, items: np.ndarray, paths: Sequence[Path], estimate: np.ndarray, variance: np.ndarray) -> None:
        self.items, self.estimate, self.variance = items, estimate, variance
        self.known = np.isfinite(estimate) & np.isfinite(variance)
        self.tree = _Tree(paths, self.known)
        self.taus = np.full(self.tree.levels + 1, _USUAL_DEVIATION)
        if self.known.any():
            spread = max(float(np.std(estimate[self.known])), 0.05)
            self.taus = _best(self.tree, estimate, variance, spread)

    def posterior(self, beforehand: tuple[float, float] = _NOTHING_KNOWN) -> Shrunk:
        """Posterior of items and categories, averaged over the deviation between items.

        ``beforehand`` is mean and deviation of what is known of the part's own mean.
        """
        usual = np.log(self.taus[-1] + 0.02)
        grid = np.exp(np.linspace(usual - 1.8, usual + 1.5, _GRID))
        weight, parts = [], []
        for tau in grid:
            taus = np.append(self.taus[:-1], tau)
            likelihood, mean, var, nodes, own = self.tree.posterior(self.estimate, self.variance, taus, beforehand)
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
        categories = {path: (float(node_mean[i]), float(node_sd[i])) for path, i in self.tree.index.items()}
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
        self,
        estimate: np.ndarray,
        variance: np.ndarray,
        taus: np.ndarray,
        beforehand: tuple[float, float] = _NOTHING_KNOWN,
    ) -> tuple[float, np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray], np.ndarray]:
        """Marginal log-likelihood; posterior mean and variance of items, and of categories; items' own weights.

        ``taus`` holds one deviation for each depth of category, from the widest, and that between items last;
        ``beforehand`` is mean and deviation of what is known of the whole.
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
        certainty = beforehand[1] ** -2.0
        precision[0] += certainty
        pulled[0] += certainty * beforehand[0]
        if certainty > 0.0:
            likelihood += 0.5 * (np.log(certainty) - certainty * beforehand[0] ** 2)
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
