"""Six experiments whose effects are known: what an estimator, an interval or a verdict can be held to.

``null``           no effect on anyone
``linear``         effects linear in two features
``sparse``         a few customers have an effect, the others none
``zero_inflated``  revenue: most buy nothing, the rest spend log-normal amounts; treatment moves who buys
``confounded``     treatment went to those who would have bought anyway; its probability depends on features
``several_arms``   three offers with different effects and unequal shares
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..sql.errors import ModelError, nearest
from .rate import Ranking, autoc, qini
from .scores import contrast

if TYPE_CHECKING:
    import pandas as pd

N_FEATURES = 8
_SPEND_SIGMA = 0.6


@dataclass(frozen=True)
class SimulatedExperiment:
    """An experiment and what is never seen in a real one.

    Attributes
    ----------
    design : str
        Name of the design.
    features : ndarray of shape (n, 8)
        Independent standard normal features, known before treatment.
    arm : ndarray of shape (n,)
        Arm received, 0 = control.
    outcome : ndarray of shape (n,)
        Outcome: a number; money in ``zero_inflated``.
    propensity : ndarray of shape (n, k + 1)
        True probability of each arm.
    expected : ndarray of shape (n, k + 1)
        True expected outcome under each arm, given the features.

    Examples
    --------
    >>> drawn = simulate("linear", 3)
    >>> drawn.arm_names, drawn.effects.shape
    (('control', 'arm_1'), (3, 1))
    """

    design: str
    features: np.ndarray
    arm: np.ndarray
    outcome: np.ndarray
    propensity: np.ndarray
    expected: np.ndarray

    @property
    def effects(self) -> np.ndarray:
        """True effect of each arm against control, (n, k)."""
        return self.expected[:, 1:] - self.expected[:, :1]

    @property
    def randomised(self) -> bool:
        """Whether everyone had the same chance of each arm."""
        return self.design != "confounded"

    @property
    def arm_names(self) -> tuple[str, ...]:
        """``control``, ``arm_1``, ..."""
        return ("control", *(f"arm_{a}" for a in range(1, self.propensity.shape[1])))

    def frame(self, prefix: str = "c") -> "pd.DataFrame":
        """Return what a shop would see: ``customer_id, x0..x7, arm, outcome``; arms by name, ids after ``prefix``."""
        import pandas as pd

        frame = pd.DataFrame(self.features, columns=[f"x{j}" for j in range(self.features.shape[1])])
        frame.insert(0, "customer_id", [f"{prefix}{i}" for i in range(len(frame))])
        return frame.assign(arm=np.array(self.arm_names)[self.arm], outcome=self.outcome)

    def true_rates(self, ranking: Ranking) -> dict[str, float]:
        """Return AUTOC and QINI of a ranking of these customers by their true effects; with many, the ranking's own."""
        true = contrast(self.expected, ranking.arm)
        return {"AUTOC": autoc(true, ranking.priority), "QINI": qini(true, ranking.priority)}


def simulate(design: str, n: int, *, seed: int = 0) -> SimulatedExperiment:
    """Draw n customers from one of the six designs.

    Parameters
    ----------
    design : str
        A name in `DESIGNS`.
    n : int
        Customers.
    seed : int
        The same seed gives the same customers.

    Raises
    ------
    ModelError
        Where there is no such design.

    Examples
    --------
    >>> drawn = simulate("several_arms", 1000, seed=1)
    >>> drawn.features.shape, drawn.effects.shape, drawn.arm_names
    ((1000, 8), (1000, 3), ('control', 'arm_1', 'arm_2', 'arm_3'))
    >>> simulate("null", 5).effects.any().item()
    False
    """
    if design not in DESIGNS:
        raise ModelError(f"There is no design {design!r}{nearest(design, list(DESIGNS))}. There are: {list(DESIGNS)}.")
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, N_FEATURES))
    propensity, expected, noise = DESIGNS[design](features)
    arm = (rng.uniform(size=n)[:, None] > np.cumsum(propensity, axis=1)[:, :-1]).sum(axis=1)
    outcome = noise(expected[np.arange(n), arm], rng)
    return SimulatedExperiment(design, features, arm, outcome, propensity, expected)


_Noise = Callable[[np.ndarray, np.random.Generator], np.ndarray]
_Design = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, _Noise]]


def _gaussian(mean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return mean + rng.normal(size=len(mean))


def _baseline(x: np.ndarray) -> np.ndarray:
    return 1.0 + 0.6 * x[:, 0] + 0.4 * np.maximum(x[:, 1], 0.0) - 0.3 * x[:, 2] * x[:, 3]


def _additive(x: np.ndarray, effects: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray, _Noise]:
    base = _baseline(x)[:, None]
    return np.broadcast_to(shares, (len(x), effects.shape[1] + 1)), np.hstack([base, base + effects]), _gaussian


def _null(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, _Noise]:
    return _additive(x, np.zeros((len(x), 1)), np.array([0.5, 0.5]))


def _linear(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, _Noise]:
    return _additive(x, (0.2 + 0.25 * x[:, 0] + 0.15 * x[:, 4])[:, None], np.array([0.5, 0.5]))


def _sparse(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, _Noise]:
    moved = (x[:, 0] > 0.0) & (x[:, 4] > 0.8)
    return _additive(x, 0.8 * moved[:, None], np.array([0.5, 0.5]))


def _zero_inflated(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, _Noise]:
    without = -2.6 + 0.5 * x[:, 0] + 0.3 * x[:, 1]
    buys = 1.0 / (1.0 + np.exp(-np.column_stack([without, without + 0.25 + 0.35 * x[:, 4]])))
    spend = np.exp(np.log(30.0) + 0.2 * x[:, 1] + _SPEND_SIGMA**2 / 2.0)

    def noise(mean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        bought = rng.uniform(size=len(mean)) < mean / spend
        amount = np.exp(rng.normal(-(_SPEND_SIGMA**2) / 2.0, _SPEND_SIGMA, size=len(mean)))
        return bought * spend * amount

    return np.broadcast_to([0.5, 0.5], (len(x), 2)), buys * spend[:, None], noise


def _confounded(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, _Noise]:
    treated = 1.0 / (1.0 + np.exp(-(0.7 * x[:, 0] - 0.4 * x[:, 1])))
    _, expected, noise = _additive(x, (0.2 + 0.25 * x[:, 0] + 0.15 * x[:, 4])[:, None], np.array([0.5, 0.5]))
    return np.column_stack([1.0 - treated, treated]), expected, noise


def _several_arms(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, _Noise]:
    effects = np.column_stack([0.1 + 0.3 * x[:, 0], 0.15 + 0.3 * x[:, 4], np.full(len(x), 0.1)])
    return _additive(x, effects, np.array([0.4, 0.2, 0.2, 0.2]))


DESIGNS: dict[str, _Design] = {
    "null": _null,
    "linear": _linear,
    "sparse": _sparse,
    "zero_inflated": _zero_inflated,
    "confounded": _confounded,
    "several_arms": _several_arms,
}
