"""Pareto/NBD: a customer buys at a steady rate until an unseen death (Schmittlein, Morrison & Colombo 1987)."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arguments import require_rate
from .btyd import BTYDModel
from .histories import DistinctHistories
from .maximum_likelihood import Objective
from .purchase_rates import purchase_sums, rate_start
from .quadrature import legendre, legendre_rules

Array = NDArray[np.float64]

_UPPER_TRIANGLE = np.triu_indices(4)


class ParetoNBDModel(BTYDModel):
    """Purchases at a Gamma(r, alpha) rate, ended at a Gamma(s, beta) rate; both rates are a customer's own.

    alpha and beta are in time units. Unlike BG/NBD it lets one-time buyers leave, too.

    References
    ----------
    Schmittlein, Morrison & Colombo (1987), Counting Your Customers, Management Science 33(1), 1-24.
    Fader & Hardie (2005), A Note on Deriving the Pareto/NBD Model, http://brucehardie.com/notes/009/.
    Fader, Hardie & Lee (2005), RFM and CLV, Journal of Marketing Research 42(4), 415-430 (DERT).

    Examples
    --------
    >>> model = ParetoNBDModel.from_parameters(r=0.5534, alpha=10.5802, s=0.6061, beta=11.6562)
    >>> customer = {"frequency": [26], "recency": [30.86], "T": [31.0]}
    >>> model.probability_alive(customer).round(6)
    array([0.997918])
    >>> model.expected_purchases(customer, horizon=52).round(6)
    array([25.454914])
    """

    name = "pareto_nbd"
    parameter_names = ("r", "alpha", "s", "beta")
    time_parameters = ("alpha", "beta")
    dropout_parameters = ("s", "beta")

    def dert(self, summary: Any, discount_rate: float) -> Array:
        """Discounted expected residual transactions: all purchases after T, without end, discounted to T, shape (n,).

        Parameters
        ----------
        summary : frame
            ``frequency``, ``recency``, ``T``.
        discount_rate : float
            Continuous, per time unit, above 0: a purchase at T + u counts exp(-discount_rate u).

        Raises
        ------
        ModelError
            A rate that is not above 0, without which the sum may have no limit; or dropout is not identified.

        References
        ----------
        Fader, Hardie & Lee (2005), Journal of Marketing Research 42(4), eq. 5.

        Examples
        --------
        >>> model = ParetoNBDModel.from_parameters(r=0.5629966, alpha=12.559037, s=0.4081095, beta=10.5148048)
        >>> model.dert({"frequency": [7], "recency": [35.0], "T": [77.86]}, discount_rate=0.0027).round(6)
        array([1.864183])
        """
        discount_rate = require_rate(discount_rate, self._unit, above_zero=True)
        model, histories = self._ready(summary)
        distinct = histories.distinct
        return distinct.scatter(
            model._alive_once(distinct) * model._discounted_if_alive(distinct, np.inf, discount_rate)
        )

    def _objective(self, data: DistinctHistories) -> Objective:
        return likelihood(data)

    def _starts(self, data: DistinctHistories) -> list[Array]:
        r, alpha = rate_start(data)
        # time in the data's mean T: lifetimes of about one, of many ages, without end, and alike for all
        return [
            np.log([r, 0.7 * alpha, 0.6, 0.5]),
            np.log([r, 0.7 * alpha, 2.0, 1.0]),
            np.log([r, alpha, 0.1, 1.0]),
            np.log([2.0 * r, alpha, 20.0, 20.0]),
        ]

    def _values(self) -> tuple[float, float, float, float]:
        r, alpha, s, beta = (self.params_[name] for name in self.parameter_names)
        return r, alpha, s, beta

    def _alive(self, data: DistinctHistories) -> Array:
        from .pareto_nbd_kernels import fill_alive

        return self._fill(fill_alive, data.frequency, data.recency, data.T)

    def _fill(self, kernel: Callable[..., None], *rows: np.ndarray, last: tuple[float, ...] = ()) -> Array:
        from .compiled import fill_rows
        from .pareto_nbd_kernels import RULES

        out = np.empty(rows[0].size)
        fill_rows(kernel, out.size, *rows, *self._values(), *last, *legendre_rules(RULES), out)
        return out

    def _purchases_if_alive(self, data: DistinctHistories, start: float, horizon: float) -> Array:
        r, alpha, s, beta = self._values()
        ages, index = data.ages
        lifetime = expected_lifetime(s, beta + ages, horizon) - expected_lifetime(s, beta + ages, start)
        return (r + data.frequency) / (alpha + data.T) * np.maximum(lifetime, 0.0)[index]

    def _discounted_if_alive(self, data: DistinctHistories, horizon: float, discount_rate: float) -> Array:
        if discount_rate == 0:
            return self._purchases_if_alive(data, 0.0, horizon)
        from .compiled import fill_rows
        from .pareto_nbd_kernels import fill_discounted_lifetime

        r, alpha, s, beta = self._values()
        ages, index = data.ages
        lifetime = np.empty(ages.size)
        arguments = (ages, s, beta, float(horizon), discount_rate, *legendre(24), lifetime)
        fill_rows(fill_discounted_lifetime, ages.size, *arguments)
        return (r + data.frequency) / (alpha + data.T) * lifetime[index]

    def _silence_if_alive(self, data: DistinctHistories, horizon: float) -> Array:
        from .pareto_nbd_kernels import fill_silence

        x, T, pair = data.rate_histories
        return self._fill(fill_silence, x, T, last=(float(horizon),))[pair]

    def _pmf_if_alive(self, data: DistinctHistories, horizon: float, n_max: int) -> Array:
        x, T, pair = data.rate_histories
        return self._pmf(x, T, horizon, n_max)[pair]

    def _tail_if_alive(self, data: DistinctHistories, horizon: float, counts: NDArray[np.int64]) -> Array:
        from .count_tails import tail_leaving_at_any_time

        r, alpha, s, beta = self._values()
        return tail_leaving_at_any_time(counts, r + data.frequency, alpha + data.T, s, beta + data.T, horizon)

    def _pmf(self, x: np.ndarray, T: Array, horizon: float, n_max: int) -> Array:
        from .compiled import fill_rows
        from .pareto_nbd_kernels import fill_pmf

        out = np.empty((x.size, n_max + 1))
        fill_rows(fill_pmf, x.size, x, T, *self._values(), float(horizon), *legendre(16), out, chunk_rows=256)
        return out

    def _median_wait(self, data: DistinctHistories, alive: Array) -> Array:
        from .pareto_nbd_kernels import fill_median_wait

        return self._fill(fill_median_wait, data.frequency, data.T, alive)

    def _pmf_new(self, t: float, n_max: int) -> Array:
        return self._pmf(np.zeros(1, np.int64), np.zeros(1), t, n_max)[0]

    def _purchases_new(self, t: Array) -> Array:
        r, alpha, s, beta = self._values()
        return r / alpha * expected_lifetime(s, np.float64(beta), t)


def expected_lifetime(s: float, age: Any, t: Any) -> Array:
    """Expected time alive within the next t at a Gamma(s, age) death rate: int_0^t (age/(age+u))^s du.

    Examples
    --------
    >>> expected_lifetime(1.0, np.array([1.0]), np.e - 1).round(12)
    array([1.])
    """
    grown = np.log1p(t / age)
    return age * (grown if s == 1 else np.expm1((1.0 - s) * grown) / (1.0 - s))


def likelihood(data: DistinctHistories) -> Objective:
    """Log-likelihood of the histories by the logarithms of (r, alpha, s, beta), with gradient and Hessian.

    L = G(r+x)/G(r) alpha^r (alpha+T)^-(r+x) * (beta/(beta+T))^s * (1 + e^z), e^z the odds of having left before T
    (Fader & Hardie 2005, note 009, eq. 14, its 2F1 left as the integral that it is).
    """
    from .compiled import sum_over_rows
    from .pareto_nbd_kernels import RULES, leaving_sums

    rate = purchase_sums(data)
    ages, index = data.ages
    by_T = np.bincount(index, data.weight).astype(np.float64)
    nodes, weights = legendre_rules(RULES)

    def objective(log_parameters: Array) -> tuple[float, Array, Array]:
        point = np.exp(log_parameters)
        r, alpha, s, beta = point
        sums = sum_over_rows(
            leaving_sums,
            data.frequency.size,
            *(data.frequency, data.recency_index, data.T_index, data.weight, data.times),
            *(np.log(alpha + data.times), np.log(beta + data.times), r, alpha, s, beta, nodes, weights),
        )
        value, gradient = float(sums[0]), sums[1:5].copy()
        hessian = np.empty((4, 4))
        hessian[_UPPER_TRIANGLE] = sums[5:]
        hessian.T[_UPPER_TRIANGLE] = sums[5:]
        for part, rows in ((rate(r, alpha), slice(0, 2)), (_staying(by_T, ages, s, beta), slice(2, 4))):
            value += part[0]
            gradient[rows] += part[1]
            hessian[rows, rows] += part[2]
        gradient *= point
        return float(value), gradient, hessian * np.outer(point, point) + np.diag(gradient)

    return objective


def _staying(by_T: Array, ages: Array, s: float, beta: float) -> tuple[float, Array, Array]:
    """Sum of s ln(beta / (beta+T)) over customers, with derivatives by (s, beta)."""
    grown = float((by_T * np.log1p(ages / beta)).sum())
    inverse = 1.0 / (beta + ages)
    lost = float((by_T * ages * inverse).sum()) / beta  # sum of 1/beta - 1/(beta+T)
    curvature = -float((by_T * ages * (2.0 * beta + ages) * inverse * inverse).sum()) / beta**2
    return -s * grown, np.array([-grown, s * lost]), np.array([[0.0, lost], [lost, s * curvature]])
