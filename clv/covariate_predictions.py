"""Predictions of customers each of whom has parameters of his own: what every family of models brings."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .count_tails import Counts, steady_tail, tail_leaving_at_any_time, tail_leaving_at_purchases
from .histories import DistinctHistories
from .nbd import negative_binomial
from .pareto_nbd import expected_lifetime
from .quadrature import legendre, legendre_rules

Array = NDArray[np.float64]


class OwnRates(Protocol):
    """Predictions given alive, by row, see the methods of `BTYDModel` that they serve."""

    @property
    def alpha(self) -> Array: ...

    def alive(self, data: DistinctHistories) -> Array: ...
    def purchases(self, data: DistinctHistories, start: float, horizon: float) -> Array: ...
    def silence(self, data: DistinctHistories, horizon: float) -> Array: ...
    def pmf(self, data: DistinctHistories, horizon: float, n_max: int) -> Array: ...
    def tail(self, data: DistinctHistories, horizon: float, counts: Counts) -> Array: ...
    def discounted(self, data: DistinctHistories, horizon: float, discount_rate: float) -> Array: ...
    def wait(self, data: DistinctHistories, alive: Array) -> Array: ...


@dataclass(frozen=True)
class SteadyRows:
    """NBD: nobody leaves. ``alpha`` (m,)."""

    r: float
    alpha: Array

    def alive(self, data: DistinctHistories) -> Array:
        return np.ones(data.frequency.size)

    def purchases(self, data: DistinctHistories, start: float, horizon: float) -> Array:
        return (self.r + data.frequency) / (self.alpha + data.T) * (horizon - start)

    def silence(self, data: DistinctHistories, horizon: float) -> Array:
        return np.exp(-(self.r + data.frequency) * np.log1p(horizon / (self.alpha + data.T)))

    def pmf(self, data: DistinctHistories, horizon: float, n_max: int) -> Array:
        return negative_binomial(self.r + data.frequency, self.alpha + data.T, horizon, n_max)

    def tail(self, data: DistinctHistories, horizon: float, counts: Counts) -> Array:
        return steady_tail(counts, self.r + data.frequency, self.alpha + data.T, horizon)

    def discounted(self, data: DistinctHistories, horizon: float, discount_rate: float) -> Array:
        length = horizon if discount_rate == 0 else -np.expm1(-discount_rate * horizon) / discount_rate
        return self.purchases(data, 0.0, length)

    def wait(self, data: DistinctHistories, alive: Array) -> Array:  # noqa: ARG002
        return (self.alpha + data.T) * np.expm1(np.log(2.0) / (self.r + data.frequency))


@dataclass(frozen=True)
class LeavingAtPurchases:
    """BG/NBD and MBG/NBD. ``alpha``, ``a`` and ``b`` (m,)."""

    r: float
    alpha: Array
    a: Array
    b: Array
    chances_at_start: int

    def alive(self, data: DistinctHistories) -> Array:
        from .covariate_kernels import fill_alive_after_purchase

        last = (self.r, self.alpha, self.a, self.b, self.chances_at_start)
        return _filled(fill_alive_after_purchase, data.frequency, data.recency, data.T, *last)

    def purchases(self, data: DistinctHistories, start: float, horizon: float) -> Array:
        from .covariate_kernels import fill_purchases_by_row

        return self._filled(fill_purchases_by_row, data, float(start), float(horizon))

    def silence(self, data: DistinctHistories, horizon: float) -> Array:
        return SteadyRows(self.r, self.alpha).silence(data, horizon)

    def pmf(self, data: DistinctHistories, horizon: float, n_max: int) -> Array:
        from .covariate_kernels import fill_pmf_by_row

        return self._filled(fill_pmf_by_row, data, float(horizon), width=(n_max + 1,))

    def tail(self, data: DistinctHistories, horizon: float, counts: Counts) -> Array:
        B = self.b + self.chances_at_start + data.frequency
        return tail_leaving_at_purchases(counts, self.r + data.frequency, self.alpha + data.T, self.a, B, horizon)

    def discounted(self, data: DistinctHistories, horizon: float, discount_rate: float) -> Array:
        from .covariate_kernels import fill_discounted_by_row

        if discount_rate == 0:
            return self.purchases(data, 0.0, horizon)
        return self._filled(fill_discounted_by_row, data, float(horizon), discount_rate, *legendre(16))

    def wait(self, data: DistinctHistories, alive: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            silence = 1.0 - 0.5 / alive
            wait = (self.alpha + data.T) * np.expm1(-np.log(silence) / (self.r + data.frequency))
        return np.where(silence > 0, wait, np.nan)

    def _filled(
        self, kernel: Callable[..., None], data: DistinctHistories, *last: object, width: tuple[int, ...] = ()
    ) -> Array:
        rows = (data.frequency, data.T, self.r, self.alpha, self.a, self.b + self.chances_at_start)
        return _filled(kernel, *rows, *last, width=width)


@dataclass(frozen=True)
class LeavingAtAnyTime:
    """Pareto/NBD. ``alpha`` and ``beta`` (m,)."""

    r: float
    alpha: Array
    s: float
    beta: Array

    def alive(self, data: DistinctHistories) -> Array:
        from .covariate_kernels import fill_pareto_alive_by_row

        return self._filled(fill_pareto_alive_by_row, data.frequency, data.recency, data.T)

    def purchases(self, data: DistinctHistories, start: float, horizon: float) -> Array:
        age = self.beta + data.T
        lifetime = expected_lifetime(self.s, age, horizon) - expected_lifetime(self.s, age, start)
        return (self.r + data.frequency) / (self.alpha + data.T) * np.maximum(lifetime, 0.0)

    def silence(self, data: DistinctHistories, horizon: float) -> Array:
        from .covariate_kernels import fill_pareto_silence_by_row

        return self._filled(fill_pareto_silence_by_row, data.frequency, data.T, last=(float(horizon),))

    def pmf(self, data: DistinctHistories, horizon: float, n_max: int) -> Array:
        from .covariate_kernels import fill_pareto_pmf_by_row

        rows = (data.frequency, data.T, self.r, self.alpha, self.s, self.beta, float(horizon), *legendre(16))
        return _filled(fill_pareto_pmf_by_row, *rows, width=(n_max + 1,), chunk_rows=256)

    def tail(self, data: DistinctHistories, horizon: float, counts: Counts) -> Array:
        R, A, B = self.r + data.frequency, self.alpha + data.T, self.beta + data.T
        return tail_leaving_at_any_time(counts, R, A, self.s, B, horizon)

    def discounted(self, data: DistinctHistories, horizon: float, discount_rate: float) -> Array:
        from .covariate_kernels import fill_pareto_lifetime_by_row

        if discount_rate == 0:
            return self.purchases(data, 0.0, horizon)
        rule = legendre(24)
        lifetime = _filled(fill_pareto_lifetime_by_row, data.T, self.s, self.beta, float(horizon), discount_rate, *rule)
        return (self.r + data.frequency) / (self.alpha + data.T) * lifetime

    def wait(self, data: DistinctHistories, alive: Array) -> Array:
        from .covariate_kernels import fill_pareto_wait_by_row

        return self._filled(fill_pareto_wait_by_row, data.frequency, data.T, alive)

    def _filled(self, kernel: Callable[..., None], *rows: np.ndarray, last: tuple[float, ...] = ()) -> Array:
        from .pareto_nbd_kernels import RULES

        return _filled(kernel, *rows, self.r, self.alpha, self.s, self.beta, *last, *legendre_rules(RULES))


def _filled(
    kernel: Callable[..., None], rows: np.ndarray, *more: object, width: tuple[int, ...] = (), chunk_rows: int = 1 << 13
) -> Array:
    from .compiled import fill_rows

    out = np.empty((rows.size, *width))
    fill_rows(kernel, rows.size, rows, *more, out, chunk_rows=chunk_rows)
    return out
