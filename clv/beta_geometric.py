"""Models whose customers leave, if they do, right after a purchase: shared by BG/NBD and MBG/NBD."""

from collections.abc import Callable
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from .btyd import BTYDModel
from .histories import DistinctHistories
from .maximum_likelihood import Objective
from .purchase_rates import purchase_sums, rate_start, rising_sums
from .quadrature import legendre

Array = NDArray[np.float64]

_DISCOUNT_NODES = 16


class BetaGeometricModel(BTYDModel):
    """Purchases at a Gamma(r, alpha) rate; at certain purchases a customer leaves with probability Beta(a, b)."""

    parameter_names = ("r", "alpha", "a", "b")
    time_parameters = ("alpha",)
    dropout_parameters = ("a", "b")

    # Chances to leave before the first repeat purchase: 0 in BG/NBD, 1 (the first purchase itself) in MBG/NBD.
    chances_at_start: ClassVar[int]

    def _objective(self, data: DistinctHistories) -> Objective:
        return likelihood(data, self.chances_at_start)

    def _starts(self, data: DistinctHistories) -> list[Array]:
        r, alpha = rate_start(data)
        # a mean of .25 and .1 to leave; both shapes of the beta; a rate that stands for the time before leaving
        return [
            np.log([0.6 * r, 0.5 * alpha, 0.7, 2.0]),
            np.log([r, alpha, 0.1, 1.0]),
            np.log([0.6 * r, 0.5 * alpha, 10.0, 40.0]),
            np.log([2.0 * r, alpha, 0.5, 0.5]),
        ]

    def _values(self) -> tuple[float, float, float, float]:
        r, alpha, a, b = (self.params_[name] for name in self.parameter_names)
        return r, alpha, a, b

    def _alive(self, data: DistinctHistories) -> Array:
        from .beta_geometric_kernels import probability_alive
        from .compiled import fill_rows

        r, alpha, a, b = self._values()
        log_odds, inverse_survived = _odds(int(data.frequency.max(initial=0)), a, b, self.chances_at_start)
        log_age = np.log(alpha + data.times)
        out = np.empty(data.frequency.size)
        fill_rows(
            probability_alive,
            out.size,
            *(data.frequency, data.recency_index, data.T_index, log_age, log_odds, inverse_survived, r, out),
        )
        return out

    def _purchases_if_alive(self, data: DistinctHistories, start: float, horizon: float) -> Array:
        from .beta_geometric_kernels import fill_purchases

        return self._by_rate_history(fill_purchases, data, float(start), float(horizon))

    def _discounted_if_alive(self, data: DistinctHistories, horizon: float, discount_rate: float) -> Array:
        from .beta_geometric_kernels import fill_discounted

        if discount_rate == 0:
            return self._purchases_if_alive(data, 0.0, horizon)
        rule = legendre(_DISCOUNT_NODES)
        return self._by_rate_history(fill_discounted, data, float(horizon), discount_rate, *rule)

    def _by_rate_history(
        self, kernel: Callable[..., None], data: DistinctHistories, *last: object, width: tuple[int, ...] = ()
    ) -> Array:
        """Fill what depends on (x, T) alone, once for each distinct pair, (m, *width)."""
        from .compiled import fill_rows

        x, T, pair = data.rate_histories
        r, alpha, a, b = self._values()
        out = np.empty((x.size, *width))
        fill_rows(kernel, x.size, x, T, r, alpha, a, b + self.chances_at_start, *last, out)
        return out[pair]

    def _silence_if_alive(self, data: DistinctHistories, horizon: float) -> Array:
        r, alpha, *_ = self._values()
        return np.exp(-(r + data.frequency) * np.log1p(horizon / (alpha + data.T)))

    def _pmf_if_alive(self, data: DistinctHistories, horizon: float, n_max: int) -> Array:
        from .beta_geometric_kernels import fill_pmf

        return self._by_rate_history(fill_pmf, data, float(horizon), width=(n_max + 1,))

    def _tail_if_alive(self, data: DistinctHistories, horizon: float, counts: NDArray[np.int64]) -> Array:
        from .count_tails import tail_leaving_at_purchases

        r, alpha, a, b = self._values()
        B = b + self.chances_at_start + data.frequency
        return tail_leaving_at_purchases(counts, r + data.frequency, alpha + data.T, np.full(B.shape, a), B, horizon)

    def _median_wait(self, data: DistinctHistories, alive: Array) -> Array:
        r, alpha, *_ = self._values()
        with np.errstate(divide="ignore", invalid="ignore"):
            silence = 1.0 - 0.5 / alive
            wait = (alpha + data.T) * np.expm1(-np.log(silence) / (r + data.frequency))
        return np.where(silence > 0, wait, np.nan)

    def _pmf_new(self, t: float, n_max: int) -> Array:
        from .beta_geometric_kernels import fill_pmf

        r, alpha, a, b = self._values()
        out = np.empty((1, n_max + 1))
        fill_pmf(0, 1, np.zeros(1, np.int64), np.zeros(1), r, alpha, a, b + self.chances_at_start, t, out)
        stays = self._stays()
        out *= stays
        out[0, 0] += 1.0 - stays
        return out[0]

    def _purchases_new(self, t: Array) -> Array:
        from .beta_geometric_kernels import purchases_if_alive

        r, alpha, a, b = self._values()
        each = [purchases_if_alive(r, alpha, a, b + self.chances_at_start, float(u)) for u in t]
        return self._stays() * np.array(each, dtype=np.float64)

    def _stays(self) -> float:
        """Probability of not leaving at the first purchase."""
        _, _, a, b = self._values()
        return b / (a + b) if self.chances_at_start else 1.0


def _odds(x_max: int, a: float, b: float, chances_at_start: int) -> tuple[Array, Array]:
    """By x: ln of a over b plus the purchases survived before the last, and one over the latter (0 for none)."""
    before_last = np.arange(x_max + 1) + chances_at_start - 1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = np.where(before_last >= 0, 1.0 / (b + before_last), 0.0)
        return np.where(inverse > 0, np.log(a * inverse), 0.0), inverse


def likelihood(data: DistinctHistories, chances_at_start: int) -> Objective:
    """Log-likelihood of the histories by the logarithms of (r, alpha, a, b), with gradient and Hessian.

    L = G(r+x)/G(r) alpha^r (alpha+T)^-(r+x) * B(a, b+s)/B(a, b) * (1 + e^z): s the purchases survived, e^z the odds of
    having left at the last, a / (b+s-1) * ((alpha+T)/(alpha+t_x))^(r+x). BG/NBD has s = x (Fader, Hardie & Lee 2005,
    eq. 6), MBG/NBD s = x + 1 (Batislam, Denizel & Filiztekin 2007, eq. 3).
    """
    from .beta_geometric_kernels import dropout_sums
    from .compiled import sum_over_rows

    rate = purchase_sums(data)
    x_max = int(data.frequency.max(initial=0))
    chances = data.frequency + chances_at_start
    by_chances = np.bincount(chances, data.weight).astype(np.float64)

    def objective(log_parameters: Array) -> tuple[float, Array, Array]:
        r, alpha, a, b = np.exp(log_parameters)
        log_odds, inverse_survived = _odds(x_max, a, b, chances_at_start)
        inverse_age = 1.0 / (alpha + data.times)
        sums = sum_over_rows(
            dropout_sums,
            data.frequency.size,
            *(data.frequency, data.recency_index, data.T_index, data.weight),
            *(np.log(alpha + data.times), inverse_age, log_odds, inverse_survived, r),
        )
        value, gradient, hessian = dropout_derivatives(sums, a)
        for part, rows in ((rate(r, alpha), slice(0, 2)), (_survival(by_chances, a, b), slice(2, 4))):
            value += part[0]
            gradient[rows] += part[1]
            hessian[rows, rows] += part[2]
        point = np.array([r, alpha, a, b])
        gradient *= point
        return float(value), gradient, hessian * np.outer(point, point) + np.diag(gradient)

    return objective


def dropout_derivatives(sums: Array, a: float) -> tuple[float, Array, Array]:
    """Arrange the kernel's sums: value, gradient (4,) and Hessian (4, 4) by (r, alpha, a, b)."""
    gradient = np.array([sums[1], sums[2], sums[3] / a, -sums[4]])
    hessian = np.empty((4, 4))
    hessian[0] = sums[5], sums[6] + sums[15], sums[8] / a, -sums[9]
    hessian[1] = hessian[0, 1], sums[7] + sums[16], sums[10] / a, -sums[11]
    hessian[2] = hessian[0, 2], hessian[1, 2], (sums[12] - sums[3]) / a**2, -sums[13] / a
    hessian[3] = hessian[0, 3], hessian[1, 3], hessian[2, 3], sums[14] + sums[17]
    return float(sums[0]), gradient, hessian


def _survival(by_chances: Array, a: float, b: float) -> tuple[float, Array, Array]:
    """Sum of ln(B(a, b+s) / B(a, b)) over customers, with derivatives by (a, b)."""
    s_max = by_chances.size - 1
    _, b_first, b_second = rising_sums(b, s_max)
    _, ab_first, ab_second = rising_sums(a + b, s_max)
    ratio = np.concatenate([[0.0], -np.cumsum(np.log1p(a / (b + np.arange(s_max))))])
    value = (by_chances * ratio).sum()
    d_a = -(by_chances * ab_first).sum()
    d_b = (by_chances * (b_first - ab_first)).sum()
    aa = -(by_chances * ab_second).sum()
    bb = (by_chances * (b_second - ab_second)).sum()
    return float(value), np.array([d_a, d_b]), np.array([[aa, aa], [aa, bb]])
