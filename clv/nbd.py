"""NBD: customers buy at their own steady rates and never leave (Ehrenberg 1959)."""

import numpy as np
from numpy.typing import NDArray

from .btyd import BTYDModel
from .histories import DistinctHistories
from .maximum_likelihood import Objective
from .purchase_rates import purchase_sums, rate_start

Array = NDArray[np.float64]


class NBDModel(BTYDModel):
    """Poisson purchases at a rate that is Gamma(r, alpha) over customers; nobody leaves.

    The model without dropout that BG/NBD, MBG/NBD and Pareto/NBD fall back to. Its likelihood is that of the
    purchase times, as theirs: G(r+x)/G(r) alpha^r (alpha+T)^-(r+x), so log-likelihoods compare.

    Examples
    --------
    >>> model = NBDModel.from_parameters(r=0.4, alpha=12.0)
    >>> model.expected_purchases({"frequency": [2], "recency": [30.43], "T": [38.86]}, horizon=39).round(4)
    array([1.8403])
    """

    name = "nbd"
    parameter_names = ("r", "alpha")
    time_parameters = ("alpha",)
    dropout_parameters = ()

    def _objective(self, data: DistinctHistories) -> Objective:
        sums = purchase_sums(data)

        def objective(log_parameters: Array) -> tuple[float, Array, Array]:
            point = np.exp(log_parameters)
            value, gradient, hessian = sums(*point.tolist())
            gradient = gradient * point
            return float(value), gradient, hessian * np.outer(point, point) + np.diag(gradient)

        return objective

    def _starts(self, data: DistinctHistories) -> list[Array]:
        r, alpha = rate_start(data)
        return [np.log([r, alpha]), np.log([10.0 * r, 10.0 * alpha])]

    def _rate(self, data: DistinctHistories) -> tuple[Array, Array]:
        """Shape and rate of each customer's Gamma posterior, (m,) each."""
        return self.params_["r"] + data.frequency, self.params_["alpha"] + data.T

    def _alive(self, data: DistinctHistories) -> Array:
        return np.ones(data.frequency.size)

    def _purchases_if_alive(self, data: DistinctHistories, start: float, horizon: float) -> Array:
        shape, rate = self._rate(data)
        return shape / rate * (horizon - start)

    def _silence_if_alive(self, data: DistinctHistories, horizon: float) -> Array:
        shape, rate = self._rate(data)
        return np.exp(-shape * np.log1p(horizon / rate))

    def _pmf_if_alive(self, data: DistinctHistories, horizon: float, n_max: int) -> Array:
        shape, rate = self._rate(data)
        return negative_binomial(shape, rate, horizon, n_max)

    def _tail_if_alive(self, data: DistinctHistories, horizon: float, counts: NDArray[np.int64]) -> Array:
        from .count_tails import steady_tail

        return steady_tail(counts, *self._rate(data), horizon)

    def _discounted_if_alive(self, data: DistinctHistories, horizon: float, discount_rate: float) -> Array:
        length = horizon if discount_rate == 0 else -np.expm1(-discount_rate * horizon) / discount_rate
        return self._purchases_if_alive(data, 0.0, length)

    def _median_wait(self, data: DistinctHistories, alive: Array) -> Array:  # noqa: ARG002
        shape, rate = self._rate(data)
        return rate * np.expm1(np.log(2.0) / shape)

    def _pmf_new(self, t: float, n_max: int) -> Array:
        shape, rate = np.array([self.params_["r"]]), np.array([self.params_["alpha"]])
        return negative_binomial(shape, rate, t, n_max)[0]

    def _purchases_new(self, t: Array) -> Array:
        return self.params_["r"] / self.params_["alpha"] * t


def negative_binomial(shape: Array, rate: Array, t: float, n_max: int) -> Array:
    """P(n purchases in t) at Gamma(shape, rate) rates for n = 0..n_max, (m, n_max + 1).

    Examples
    --------
    >>> negative_binomial(np.array([1.0]), np.array([1.0]), 1.0, 3)
    array([[0.5   , 0.25  , 0.125 , 0.0625]])
    """
    out = np.empty((shape.size, n_max + 1))
    out[:, 0] = -shape * np.log1p(t / rate)
    if n_max:
        n = np.arange(1, n_max + 1)
        with np.errstate(divide="ignore"):
            out[:, 1:] = np.log((shape[:, None] + n - 1.0) / n) + np.log(t / (rate + t))[:, None]
        np.cumsum(out, axis=1, out=out)
    return np.exp(out)
