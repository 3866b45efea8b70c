"""Whether predictive distributions of counts hold, and the dispersion that an earlier window asks for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from ..sql.errors import ModelError
from .arguments import require_count, require_counts, require_level, require_time
from .intervals import OUTSIZED

if TYPE_CHECKING:
    from .btyd import BTYDModel
    from .count_tails import Tail
    from .interval_levels import CountDistribution

Array = NDArray[np.float64]

_CELLS = 1 << 20
# Shapes of the beta distribution are looked for in this range; beyond it nothing like a forecast is left.
_NARROWEST, _WIDEST = np.log(0.02), np.log(50.0)
_SMALLEST = 1e-300
_FEWEST = 30
# What comes to more customers than this share of them with chances below this was not forecast by that model.
_IMPOSSIBLE, _MOST_IMPOSSIBLE = 1e-12, 0.01


def outcome_probabilities(pmf: "CountDistribution", observed: Any) -> tuple[Array, Array]:
    """Probability of fewer orders than came, and of as many as came, by row, two arrays (n,).

    Parameters
    ----------
    pmf : callable
        ``pmf(rows, n_max)``, see `order_distribution`.
    observed : array of counts, shape (n,)
        What came.

    Raises
    ------
    ModelError
        ``observed`` holds something else than a count for each row.

    Examples
    --------
    >>> half = lambda rows, n_max: np.tile(0.5 ** np.arange(1, n_max + 2), (len(rows), 1))
    >>> outcome_probabilities(half, [0, 2])
    (array([0.  , 0.75]), array([0.5  , 0.125]))
    """
    counts = require_counts("observed", observed)
    n_rows = getattr(pmf, "n_rows", None)
    if counts.ndim != 1 or (n_rows is not None and counts.size != n_rows):
        of = "one count a customer" if n_rows is None else f"the orders of {n_rows} customers"
        raise ModelError(f"observed has shape {counts.shape}; it must count {of}, shape (n,)")
    fewer, same = np.zeros(counts.size), np.zeros(counts.size)
    # counts below one power of two share a table
    width = 1 << np.ceil(np.log2(counts + 1.0)).astype(np.int64)
    for w in np.unique(width):
        rows = np.flatnonzero(width == w)
        if w > OUTSIZED and hasattr(pmf, "tail"):
            for row in rows:
                as_many, more = getattr(pmf, "tail")(row)(counts[row] + np.arange(2))  # noqa: B009
                fewer[row], same[row] = 1.0 - as_many, as_many - more
            continue
        size = max(1, _CELLS // int(w + 1))
        for start in range(0, rows.size, size):
            part = rows[start : start + size]
            probabilities = pmf(part, int(w))
            cumulative = np.cumsum(probabilities, axis=1)
            at = np.arange(part.size)
            same[part] = probabilities[at, counts[part]]
            fewer[part] = np.clip(cumulative[at, counts[part]] - same[part], 0.0, 1.0)
    return fewer, same


def randomized_pit(pmf: "CountDistribution", observed: Any, seed: int) -> Array:
    """Probability integral transform of counts, spread evenly over each count's step, (n,).

    Uniform where the distributions are right: the share between .05 and .95 is then 90%, whatever the counts' steps.

    Parameters
    ----------
    pmf, observed
        As for `outcome_probabilities`.
    seed : int
        Same seed, same spread.

    References
    ----------
    Czado, Gneiting & Held (2009), Predictive Model Assessment for Count Data, Biometrics 65(4), 1254-1261.

    Examples
    --------
    >>> half = lambda rows, n_max: np.tile(0.5 ** np.arange(1, n_max + 2), (len(rows), 1))
    >>> counts = np.random.default_rng(1).geometric(0.5, 20_000) - 1
    >>> bool(abs(central_share(randomized_pit(half, counts, seed=2), 0.9) - 0.9) < 0.01)
    True
    """
    seed = require_count("seed", seed)
    fewer, same = outcome_probabilities(pmf, observed)
    return fewer + np.random.default_rng(seed).random(fewer.size) * same


def central_share(pit: Array, level: float) -> float:
    """Share of a probability integral transform in its middle ``level``: what central intervals hold.

    Raises
    ------
    ModelError
        The level is no probability, or ``pit`` is empty or holds something else than probabilities.

    Examples
    --------
    >>> central_share(np.array([0.01, 0.3, 0.6, 0.9]), 0.9)
    0.75
    """
    tail = (1 - require_level(level)) / 2
    pit = np.asarray(pit, dtype=float)
    wrong = ~((pit >= 0) & (pit <= 1))
    if pit.size == 0 or wrong.any():
        seen = f"{pit[wrong][0]:g} in {int(wrong.sum()):,} rows" if pit.size else "empty"
        raise ModelError(f"pit is {seen}; it must hold probabilities, see randomized_pit")
    return float(((pit > tail) & (pit < 1 - tail)).mean())


@dataclass(frozen=True)
class DispersionCalibration:
    """How much wider, and how much higher or lower, outcomes lay than an earlier window's forecasts said.

    A forecast's distribution function F becomes G(F), G that of Beta(``low``, ``high``): both 1 leave it, both below 1
    make it wider and both above narrower; unequal ones shift it.

    Attributes
    ----------
    low, high
        The shapes of the beta distribution.
    n_customers
        Customers of the earlier window.

    References
    ----------
    Ranjan & Gneiting (2010), Combining Probability Forecasts, Journal of the Royal Statistical Society B 72(1), 71-91:
    the beta transform of a forecast.

    Examples
    --------
    >>> wider = DispersionCalibration(low=0.5, high=0.5, n_customers=1000.0)
    >>> wider.transformed(np.array([[0.25, 0.5, 0.25]])).round(3)
    array([[0.333, 0.333, 0.333]])
    """

    low: float
    high: float
    n_customers: float

    @classmethod
    def fit(cls, model: "BTYDModel", summary: Any, observed: Any, horizon: float) -> Self:
        """Fit by maximum likelihood on an earlier window, whose outcome is known.

        Parameters
        ----------
        model : BTYDModel
            Fitted to what was known when that window began.
        summary : frame
            The customers as of then.
        observed : array, shape (n,)
            Their orders in (T, T + horizon].
        horizon : float
            Best as long as the window that the calibration is for.

        Returns
        -------
        DispersionCalibration

        Raises
        ------
        ModelError
            ``observed`` is no count for each customer; horizon is 0; there are fewer than 30 customers; more than 1%
            have bought what the model holds impossible; or nothing limits the shapes, as where nobody has bought.

        Examples
        --------
        >>> from regulars.clv import BetaGeoModel, simulate
        >>> truth = {"r": 0.5, "alpha": 4.0, "a": 0.8, "b": 2.5}
        >>> then = simulate.simulate_bg_nbd(truth, 4000, T=52, seed=1, holdout=13)
        >>> model = BetaGeoModel().fit(then)
        >>> found = DispersionCalibration.fit(model, then, then["frequency_holdout"], 13)
        >>> bool(abs(found.low - 1) < 0.2), bool(abs(found.high - 1) < 0.2)  # the model was right
        (True, True)
        """
        from .interval_levels import order_distribution

        horizon = require_time("horizon", horizon, model.time_unit_)
        if horizon == 0:
            raise ModelError("horizon is 0; it must be the length of the window in which observed were counted")
        rows = model.histories(summary)
        counts = np.asarray(observed)
        if counts.shape != (len(rows),):
            raise ModelError(f"observed has shape {counts.shape}; it must count the orders of {len(rows)} customers")
        customers = float(rows.weight.sum())
        if customers < _FEWEST:
            raise ModelError(
                f"the earlier window has {customers:g} customers; dispersion is learnt from {_FEWEST} at least"
            )
        fewer, same = outcome_probabilities(order_distribution(model, rows, horizon), counts)
        impossible = same < _IMPOSSIBLE
        if rows.weight[impossible].sum() > _MOST_IMPOSSIBLE * customers:
            row = int(np.argmax(impossible))
            raise ModelError(
                f"{rows.weight[impossible].sum():g} of {customers:g} customers bought what the model holds impossible, "
                f"such as {counts[row]} orders in row {row}: observed must be the orders of these customers in the "
                f"{horizon:g} {model.time_unit_}s after the summary"
            )
        return cls.of(fewer, same, rows.weight)

    @classmethod
    def of(cls, fewer: Array, same: Array, weight: Array) -> Self:
        """Fit to probabilities of fewer orders than came and of as many, (n,), see `outcome_probabilities`.

        Raises
        ------
        ModelError
            Nothing limits the shapes.

        Examples
        --------
        >>> rng = np.random.default_rng(1)
        >>> below = rng.beta(0.6, 0.6, 20_000)
        >>> found = DispersionCalibration.of(below, np.full(20_000, 1e-6), np.ones(20_000))
        >>> round(found.low, 1), round(found.high, 1)
        (0.6, 0.6)
        """
        from scipy import optimize, special

        fewer, upper = np.clip(fewer, 0.0, 1.0), np.clip(fewer + same, 0.0, 1.0)

        def negative(shapes: Array) -> float:
            a, b = np.exp(shapes)
            # from whichever side loses fewer digits
            below = special.betainc(a, b, upper) - special.betainc(a, b, fewer)
            above = special.betainc(b, a, 1.0 - fewer) - special.betainc(b, a, 1.0 - upper)
            inside = np.where(fewer < 0.5, below, above)
            return -float((weight * np.log(np.maximum(inside, _SMALLEST))).sum() / weight.sum())

        bounds = [(_NARROWEST, _WIDEST)] * 2
        found = optimize.minimize(negative, np.zeros(2), method="L-BFGS-B", bounds=bounds)
        low, high = np.exp(found.x)
        if not np.all((found.x > _NARROWEST + 1e-6) & (found.x < _WIDEST - 1e-6)):
            raise ModelError(
                "the earlier window sets no limit to the dispersion: its outcomes lie all at one end of what was said, "
                "as where nobody has bought; take another window"
            )
        return cls(float(low), float(high), float(weight.sum()))

    def transformed(self, probabilities: Array) -> Array:
        """Return calibrated probabilities of counts 0, 1, ... by row, (n, k)."""
        from scipy import special

        cumulative = np.minimum(np.cumsum(probabilities, axis=1), 1.0)
        return np.diff(special.betainc(self.low, self.high, cumulative), axis=1, prepend=0.0)

    def applied(self, pmf: "CountDistribution") -> "CountDistribution":
        """Return the calibrated form of a distribution of counts."""
        return _Calibrated(self, pmf)

    def to_dict(self) -> dict[str, float]:
        """The state as plain values."""
        return {"low": self.low, "high": self.high, "n_customers": self.n_customers}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Make a calibration of what `to_dict` returned."""
        return cls(float(state["low"]), float(state["high"]), float(state["n_customers"]))


@dataclass(frozen=True)
class _Calibrated:
    calibration: DispersionCalibration
    pmf: "CountDistribution"

    @property
    def n_rows(self) -> int | None:
        return getattr(self.pmf, "n_rows", None)

    def __call__(self, rows: NDArray[np.intp], n_max: int) -> Array:
        return self.calibration.transformed(self.pmf(rows, n_max))

    def tail(self, row: int) -> "Tail":
        from scipy import special

        tail = getattr(self.pmf, "tail")(row)  # noqa: B009
        low, high = self.calibration.low, self.calibration.high
        # G(F) of fewer is I_F(low, high): what is left is I_{1 - F}(high, low)
        return lambda counts: special.betainc(high, low, np.clip(tail(counts), 0.0, 1.0))
