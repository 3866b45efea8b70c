"""What a price test saw, judged by the draw that set its prices: who else could have had which price, and what then.

Prices were drawn by us, so under any given elasticity every other draw of the design would have been as likely: the
share of draws that look more extreme is an exact probability, whatever the units' sizes, their noise and how it lasts,
and however few they are (Fisher 1935, The Design of Experiments; Rosenbaum 2002, section 2.6). Each unit counts alike.
"""

from functools import lru_cache
from itertools import combinations, product
from math import comb, prod
from typing import Any

import numpy as np

from ..sql.errors import ModelError

_PASSES = 500
_MOST_DRAWS = 2_000
_STEPS, _HALVINGS = 14, 14


def patterns_of(log_factor: np.ndarray, block: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return, for each block drawn by itself, its weeks' log factors of each pattern, and which pattern a unit has."""
    found = []
    for number in np.unique(block):
        weeks = log_factor[:, block == number]
        patterns, mine = np.unique(weeks, axis=0, return_inverse=True)
        whole = np.zeros((len(patterns), log_factor.shape[1]))
        whole[:, block == number] = patterns
        found.append((whole, mine.reshape(-1)))
    return found


def ways_to_draw(log_factor: np.ndarray, block: np.ndarray) -> int:
    """Return in how many ways a design could have been drawn."""
    ways = 1
    for _, mine in patterns_of(log_factor, block):
        counts = np.bincount(mine)
        ways *= prod(comb(int(counts[k:].sum()), int(counts[k])) for k in range(len(counts)))
    return ways


def degrees_of_freedom(log_factor: np.ndarray, block: np.ndarray) -> int:
    """Return what the draws leave free: units less one in each block that differs between units, less the response."""
    drawn = sum(len(patterns) > 1 for patterns, _ in patterns_of(log_factor, block))
    return drawn * (len(log_factor) - 1) - 1


class Draws:
    """Other draws of a design, as which pattern each unit would have had in each block.

    All there are, or 2,000 of them, the one made among them.
    """

    def __init__(self, log_factor: np.ndarray, block: np.ndarray) -> None:
        self.blocks = [(p, mine) for p, mine in patterns_of(log_factor, block) if len(p) > 1]
        self.degrees = degrees_of_freedom(log_factor, block)
        if ways_to_draw(log_factor, block) <= _MOST_DRAWS:
            each = [_arrangements(mine) for _, mine in self.blocks]
            self.several = np.array([np.concatenate(some) for some in product(*each)], dtype=np.int8)
            return
        rng = np.random.default_rng(0)
        made = np.concatenate([mine for _, mine in self.blocks])
        n = len(log_factor)
        self.several = np.empty((_MOST_DRAWS, len(made)), np.int8)
        self.several[0] = made
        for draw in range(1, _MOST_DRAWS):
            for b, (_, mine) in enumerate(self.blocks):
                self.several[draw, b * n : (b + 1) * n] = rng.permutation(mine)

    def scores(self, off: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the sum of log factor times residual (units, weeks) as drawn, and for every draw."""
        by_pattern = [off @ patterns.T for patterns, _ in self.blocks]
        made = float(
            sum(s[np.arange(len(s)), mine].sum() for s, (_, mine) in zip(by_pattern, self.blocks, strict=True))
        )
        total = np.full(len(self.several), float(sum(s[:, 0].sum() for s in by_pattern)))
        for k in range(1, max(s.shape[1] for s in by_pattern)):
            gain = np.concatenate([s[:, k] - s[:, 0] if k < s.shape[1] else np.zeros(len(s)) for s in by_pattern])
            total += (self.several == k) @ gain
        return made, total

    def probability(self, log_factor: np.ndarray, units: np.ndarray, elasticity: float) -> float:
        """Return the share of draws that look as extreme as this one, were this the elasticity."""
        plain = units * np.exp(-elasticity * log_factor)
        plain /= plain.sum(axis=1, keepdims=True)
        made, others = self.scores(plain - fitted_means(plain, np.ones_like(plain)))
        return float((np.abs(others) >= abs(made) * (1.0 - 1e-9) - 1e-15).mean())


@lru_cache(maxsize=2)
def _draws_of(log_factor: bytes, shape: tuple[int, int], block: bytes, kind: str) -> Draws:
    # a test is read again and again while it runs, and in simulations: its design stays the same
    return Draws(np.frombuffer(log_factor).reshape(shape), np.frombuffer(block, dtype=kind))


def estimate_response(log_factor: np.ndarray, units: np.ndarray) -> float:
    """Return the elasticity by Poisson pseudo maximum likelihood on each unit's share of its own sales."""
    from scipy.optimize import brentq

    share = units / units.sum(axis=1, keepdims=True)

    def score(elasticity: float) -> float:
        return float((log_factor * (share - fitted_means(share, np.exp(elasticity * log_factor)))).sum())

    low, high = -1.0, 1.0
    while score(low) < 0.0 and low > -256.0:
        low *= 2.0
    while score(high) > 0.0 and high < 256.0:
        high *= 2.0
    if score(low) < 0.0 or score(high) > 0.0:
        raise ModelError("all sales of the test are at one price: there is nothing to compare.")
    root: Any = brentq(score, low, high, xtol=1e-10)
    return float(root)


def judge_response(
    log_factor: np.ndarray, units: np.ndarray, block: np.ndarray, elasticity: float, interval: float
) -> tuple[float, float, float]:
    """Return the standard error over the draws, and the interval of elasticities that they do not speak against."""
    draws = _draws_of(log_factor.tobytes(), log_factor.shape, block.tobytes(), block.dtype.str)
    share = units / units.sum(axis=1, keepdims=True)
    mean = fitted_means(share, np.exp(elasticity * log_factor))
    around = two_way(log_factor, mean)
    # residuals as sales at the regular price would show them, so that a draw changes nothing but who had which price
    plain = share * np.exp(-elasticity * log_factor)
    plain /= plain.sum(axis=1, keepdims=True)
    others = draws.scores(plain - fitted_means(plain, np.ones_like(plain)))[1]
    flat = two_way(log_factor)
    spread = float((others**2).mean()) ** 0.5 * (draws.degrees / max(draws.degrees - 1, 1)) ** 0.5
    error = spread / max(float((flat**2).sum()) / log_factor.shape[1], 1e-300)
    error = max(error, 1e-12 / float((around**2).max() ** 0.5))

    def end(side: float) -> float:
        inside, outside, step = elasticity, elasticity, 2.0 * error
        for _ in range(_STEPS):
            outside = elasticity + side * step
            if draws.probability(log_factor, units, outside) <= 1.0 - interval + 1e-12:
                break
            inside, step = outside, 1.6 * step
        else:
            return side * np.inf
        for _ in range(_HALVINGS):
            middle = 0.5 * (inside + outside)
            if draws.probability(log_factor, units, middle) > 1.0 - interval + 1e-12:
                inside = middle
            else:
                outside = middle
        return outside

    return error, end(-1.0), end(1.0)


def fitted_means(units: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Poisson means ``row x column x shape`` with the row and column sums of ``units`` (iterative proportional fit)."""
    mean = shape * units.sum() / shape.sum()
    rows, columns = units.sum(axis=1), units.sum(axis=0)
    for _ in range(_PASSES):
        mean = mean * (rows / mean.sum(axis=1))[:, None]
        factor = columns / mean.sum(axis=0)
        mean = mean * factor
        if np.abs(factor - 1.0).max() < 1e-13:
            break
    return mean


def two_way(x: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """Return x less its weighted row and column means, by alternating projections."""
    weight = np.ones_like(x) if weight is None else weight
    x = x.copy()
    for _ in range(_PASSES):
        x = x - ((weight * x).sum(axis=1) / weight.sum(axis=1))[:, None]
        mean = (weight * x).sum(axis=0) / weight.sum(axis=0)
        x = x - mean
        if np.abs(mean).max() < 1e-14:
            break
    return x


def _arrangements(values: np.ndarray) -> list[np.ndarray]:
    """Every order of ``values`` (n,) that differs from the others."""
    found = [np.full(len(values), -1)]
    for value, count in zip(*np.unique(values, return_counts=True), strict=True):
        filled = []
        for given in found:
            for places in combinations(np.flatnonzero(given < 0), int(count)):
                more = given.copy()
                more[list(places)] = value
                filled.append(more)
        found = filled
    return found
