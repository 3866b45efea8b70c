"""Likelihood of BG/NBD, MBG/NBD and NBD on a seasonal clock, by all parameters at once, and its regularised maximum.

The models hold in clock time; the density of a purchase in calendar time carries the pace of its day. With n_d repeat
purchases on day d, and histories (x, S(last) - S(first), S(as of) - S(first)),

    log L = log L_model(histories) + sum_d n_d log s(d),

the Jacobian of the change of clock. Without it any clock that stands still between purchases would win.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .beta_geometric import likelihood as beta_geometric_likelihood
from .grouping import group_equal
from .histories import DistinctHistories
from .maximum_likelihood import Maximum, Objective, maximise
from .purchase_rates import purchase_sums, rate_start

Array = NDArray[np.float64]
Index = NDArray[np.int64]

_LOG_BOX = np.log(1e-7), np.log(1e5)
# Effects of the logarithm of the pace: beyond this a day has 20,000 times the purchases of another.
_EFFECT_BOX = 10.0
# Standard deviation of effects before the data speak: where it is estimated, between these.
_SMALLEST_SD, _LARGEST_SD = 1e-3, 3.0
_ROUNDS = 15
# It is found where it changes by less than a twentieth, or effects of its kind are below a hundredth.
_SAME_SD, _NO_EFFECT = 0.05, 0.01


@dataclass(frozen=True)
class DatedHistories:
    """Distinct (x, first day, last day) of customers whose histories run to one day.

    Attributes
    ----------
    frequency
        (m,) int64, x.
    first, last
        (m,) int64, days since the first purchase of all; every history ends on day ``matrix.shape[0]``.
    weight
        (m,) customers.
    matrix
        (d, k) terms of the logarithm of the pace on days 1, ..., d.
    runs
        (d,) 1.0, or 0.0 on days on which the shop is closed.
    purchases
        (d,) repeat purchases by day.
    unit
        Days in the time unit of the likelihood.

    Examples
    --------
    >>> one = np.ones(1, np.int64)
    >>> data = DatedHistories(one, 0 * one, one, np.ones(1), np.zeros((7, 0)), np.ones(7), np.eye(7)[0], 7.0)
    >>> float(data.clock_time(np.zeros(0))[0].T[0])
    1.0
    """

    frequency: Index
    first: Index
    last: Index
    weight: Array
    matrix: Array
    runs: Array
    purchases: Array
    unit: float

    @cached_property
    def _pairs(self) -> tuple[Index, Index, Index, Index]:
        """Distinct first days, the position of each row's among them; the same of (first, last)."""
        age, first_row = group_equal(self.first)
        n_days = self.matrix.shape[0] + 1
        wait, pair_row = group_equal(self.first * n_days + self.last)
        return age, first_row, wait, pair_row

    def clock_time(self, effects: Array) -> tuple[DistinctHistories, Array]:
        """Histories in clock time, and log s by day (d,), both before the mean of s is set to 1."""
        log_pace = self.matrix @ effects
        passed = np.concatenate([[0.0], np.cumsum(np.exp(log_pace) * self.runs)]) / self.unit
        age, first_row, wait, pair_row = self._pairs
        ages = passed[-1] - passed[self.first[first_row]]
        waits = passed[self.last[pair_row]] - passed[self.first[pair_row]]
        times = np.concatenate([ages, waits])
        return DistinctHistories(self.frequency, ages.size + wait, age, times, self.weight, None), log_pace


def joint_objective(data: DatedHistories, chances_at_start: int | None, precision: Array) -> Objective:
    """Penalised log-likelihood by (logarithms of the model's parameters, effects), with gradient and Hessian.

    Parameters
    ----------
    data
        The histories.
    chances_at_start
        0 for BG/NBD, 1 for MBG/NBD (parameters r, alpha, a, b); None for NBD (r, alpha).
    precision
        (k,) of the effects' normal prior of mean 0; zeros for none.

    Examples
    --------
    >>> one = np.ones(2, np.int64)
    >>> data = DatedHistories(one, 0 * one, one, np.ones(2), np.eye(9), np.ones(9), 2 * np.eye(9)[0], 7.0)
    >>> joint_objective(data, None, np.zeros(9))(np.zeros(11))[1].shape
    (11,)
    """
    n_model = 2 if chances_at_start is None else 4

    def objective(point: Array) -> tuple[float, Array, Array]:
        log_parameters, effects = point[:n_model], point[n_model:]
        histories, log_pace = data.clock_time(effects)
        if chances_at_start is None:
            value, gradient, hessian = _nbd(histories, log_parameters)
        else:
            value, gradient, hessian = beta_geometric_likelihood(histories, chances_at_start)(log_parameters)
        rows = _by_clock_time(histories, np.exp(log_parameters), chances_at_start)
        by_effect, by_both, cross = _by_effects(data, log_pace, rows)
        value += float(data.purchases @ np.where(data.purchases > 0, log_pace, 0.0))
        by_effect += data.matrix.T @ data.purchases
        value -= 0.5 * float(precision @ effects**2)
        by_effect -= precision * effects
        by_both -= np.diag(precision)
        full = np.block([[hessian, cross], [cross.T, by_both]])
        return value, np.concatenate([gradient, by_effect]), full

    return objective


def _nbd(histories: DistinctHistories, log_parameters: Array) -> tuple[float, Array, Array]:
    point = np.exp(log_parameters)
    value, gradient, hessian = purchase_sums(histories)(*point)
    gradient = gradient * point
    return value, gradient, hessian * np.outer(point, point) + np.diag(gradient)


@dataclass(frozen=True)
class _ByTime:
    """Derivatives of each row's log-likelihood by u = t_x and w = T: (m,) each; crossed with log parameters (m, p)."""

    u: Array
    w: Array
    uu: Array
    uw: Array
    ww: Array
    u_parameters: Array
    w_parameters: Array


def _by_clock_time(histories: DistinctHistories, parameters: Array, chances_at_start: int | None) -> _ByTime:
    r, alpha = parameters[:2]
    n = r + histories.frequency
    to_last, to_end = 1.0 / (alpha + histories.recency), 1.0 / (alpha + histories.T)
    if chances_at_start is None:
        zero = np.zeros_like(n)
        w_parameters = np.stack([-to_end * r, n * to_end**2 * alpha], axis=1)
        return _ByTime(zero, -n * to_end, zero, zero, n * to_end**2, np.zeros((n.size, 2)), w_parameters)
    a, b = parameters[2:]
    # p, the odds' share: the probability of having left at the last purchase; z its logit
    survived = histories.frequency + chances_at_start - 1.0
    could_leave = survived >= 0
    inverse = np.where(could_leave, 1.0 / np.maximum(b + survived, 1e-300), 0.0)
    grown = np.log(to_last) - np.log(to_end)
    with np.errstate(divide="ignore"):
        z = np.where(could_leave, np.log(a * inverse) + n * grown, -np.inf)
    p = np.where(z > 0, 1.0 / (1.0 + np.exp(-np.abs(z))), np.exp(-np.abs(z)) / (1.0 + np.exp(-np.abs(z))))
    q = p * np.exp(-np.logaddexp(0.0, z))
    stayed = np.exp(-np.logaddexp(0.0, z))
    z_u, z_w = -n * to_last, n * to_end
    z_parameters = np.stack([r * grown, alpha * n * (to_end - to_last), np.ones_like(n), -b * inverse], axis=1)
    u_parameters = (q * z_u)[:, None] * z_parameters
    u_parameters[:, 0] -= p * to_last * r
    u_parameters[:, 1] += p * n * to_last**2 * alpha
    w_parameters = (q * z_w)[:, None] * z_parameters
    w_parameters[:, 0] -= stayed * to_end * r
    w_parameters[:, 1] += stayed * n * to_end**2 * alpha
    return _ByTime(
        u=-p * n * to_last,
        w=-stayed * n * to_end,
        uu=p * n * to_last**2 + q * z_u**2,
        uw=q * z_u * z_w,
        ww=stayed * n * to_end**2 + q * z_w**2,
        u_parameters=u_parameters,
        w_parameters=w_parameters,
    )


def _by_effects(data: DatedHistories, log_pace: Array, rows: _ByTime) -> tuple[Array, Array, Array]:
    """Carry derivatives by clock time over to the effects: (k,), (k, k), and crossed with log parameters (p, k).

    Sums over customers are first made by first day, last day and both, so that matrices are as long as the calendar.
    """
    n_days, weight = data.matrix.shape[0], data.weight
    pace = np.exp(log_pace) * data.runs / data.unit
    # of S by the effects at the end of each day, and what is still to come of it
    slope = np.concatenate([np.zeros((1, data.matrix.shape[1])), np.cumsum(pace[:, None] * data.matrix, axis=0)])
    ahead = slope[-1] - slope

    def by_day(of: Index, values: Array) -> Array:
        return np.bincount(of, weight * values, minlength=n_days + 1).astype(np.float64)

    def by_both(values: Array) -> Array:
        code = data.first * (n_days + 1) + data.last
        found = np.bincount(code, weight * values, minlength=(n_days + 1) ** 2).astype(np.float64)
        return found.reshape(n_days + 1, n_days + 1)

    # what each day's pace adds to all times that run over the day
    by_end_of_day = by_day(data.last, rows.u) - by_day(data.first, rows.u + rows.w)
    by_end_of_day[-1] += weight @ rows.w
    by_pace = np.cumsum(by_end_of_day[::-1])[::-1][1:] * pace
    gradient = data.matrix.T @ by_pace
    both = (data.matrix * by_pace[:, None]).T @ data.matrix

    # u = S(last) - S(first), w = S(end) - S(first): products of their slopes, by (first, last)
    uu, uw = by_both(rows.uu), by_both(rows.uw)
    crossed = slope.T @ (uu @ slope)
    both += (slope * (uu.sum(axis=0) + uu.sum(axis=1))[:, None]).T @ slope - crossed - crossed.T
    mixed = (uw @ slope).T @ ahead - (slope * uw.sum(axis=1)[:, None]).T @ ahead
    both += mixed + mixed.T + (ahead * by_day(data.first, rows.ww)[:, None]).T @ ahead

    cross = np.empty((rows.u_parameters.shape[1], data.matrix.shape[1]))
    for k, (of_u, of_w) in enumerate(zip(rows.u_parameters.T, rows.w_parameters.T, strict=True)):
        cross[k] = (by_day(data.last, of_u) - by_day(data.first, of_u)) @ slope + by_day(data.first, of_w) @ ahead
    return gradient, both, cross


@dataclass(frozen=True)
class SeasonalMaximum:
    """Where the climb ended.

    Attributes
    ----------
    log_parameters, effects
        (p,) of the model, (k,) of the pace's logarithm.
    covariance
        (p + k, p + k), of both; nan where the Hessian is not negative definite.
    prior_sd
        Standard deviation of effects before the data speak, by kind.
    converged, iterations
        How the climb ended; evaluations of the likelihood.

    Examples
    --------
    >>> SeasonalMaximum(np.zeros(2), np.zeros(0), np.eye(2), {}, True, 9).iterations
    9
    """

    log_parameters: Array
    effects: Array
    covariance: Array
    prior_sd: dict[str, float]
    converged: bool
    iterations: int


def fit_clock(
    data: DatedHistories,
    chances_at_start: int | None,
    groups: tuple[str, ...],
    scale: Array,
    prior_sd: float | None,
) -> SeasonalMaximum:
    """Climb to the regularised maximum; where ``prior_sd`` is None, by kind of effect what makes the data likeliest.

    The standard deviations follow MacKay's fixed point for the evidence: the sum of squared effects of a kind over the
    number of them that the data determine (MacKay 1992, Bayesian Interpolation, Neural Computation 4(3), 415-447).

    Parameters
    ----------
    data, chances_at_start
        As for `joint_objective`.
    groups, scale
        (k,) kind of each effect, and its standard deviation beside the others of its kind.
    prior_sd
        One for all effects, times their scale.

    Examples
    --------
    >>> one = np.ones(2, np.int64)
    >>> data = DatedHistories(one, 0 * one, one, np.ones(2), np.zeros((9, 0)), np.ones(9), 2 * np.eye(9)[0], 7.0)
    >>> fit_clock(data, None, (), np.zeros(0), None).effects.size
    0
    """
    average = float(data.weight @ (data.matrix.shape[0] - data.first)) / float(data.weight.sum())
    data = replace(data, unit=average)
    kinds = tuple(dict.fromkeys(groups))
    of_kind = {kind: np.array([group == kind for group in groups]) for kind in kinds}
    sd = dict.fromkeys(kinds, 0.3 if prior_sd is None else prior_sd)
    n_model = 2 if chances_at_start is None else 4
    point = np.concatenate([_model_start(data, n_model), np.zeros(len(groups))])
    lower = np.concatenate([np.full(n_model, _LOG_BOX[0]), np.full(len(groups), -_EFFECT_BOX)])
    upper = np.concatenate([np.full(n_model, _LOG_BOX[1]), np.full(len(groups), _EFFECT_BOX)])
    iterations, found = 0, None
    for _ in range(_ROUNDS):
        precision = np.zeros(len(groups))
        for kind in kinds:
            precision[of_kind[kind]] = 1.0 / (sd[kind] * scale[of_kind[kind]]) ** 2
        found = maximise(joint_objective(data, chances_at_start, precision), point, lower, upper, tolerance=1e-8)
        point, iterations = found.log_parameters, iterations + found.iterations
        if prior_sd is not None or not kinds:
            break
        last, sd = sd, _likeliest_sd(found, n_model, of_kind, scale, sd)
        if all(sd[kind] < _NO_EFFECT or abs(np.log(sd[kind] / last[kind])) < _SAME_SD for kind in kinds):
            break
    assert found is not None
    log_parameters = point[:n_model].copy()
    # alpha came in units of the mean age: back to days
    log_parameters[1] += np.log(average)
    return SeasonalMaximum(log_parameters, point[n_model:], _inverse(found.hessian), sd, found.converged, iterations)


def _model_start(data: DatedHistories, n_model: int) -> Array:
    r, alpha = rate_start(data.clock_time(np.zeros(data.matrix.shape[1]))[0])
    return np.log([r, alpha]) if n_model == 2 else np.log([0.6 * r, 0.5 * alpha, 0.7, 2.0])


def _likeliest_sd(
    found: Maximum, n_model: int, of_kind: dict[str, NDArray[np.bool_]], scale: Array, sd: dict[str, float]
) -> dict[str, float]:
    variance = np.diag(_inverse(found.hessian))[n_model:]
    effects = found.log_parameters[n_model:]
    fresh = {}
    for kind, rows in of_kind.items():
        size = float(((effects[rows] / scale[rows]) ** 2).sum())
        determined = float(rows.sum() - (variance[rows] / scale[rows] ** 2).sum() / sd[kind] ** 2)
        likeliest = np.sqrt(size / max(determined, 1e-3)) if np.isfinite(determined) else sd[kind]
        fresh[kind] = float(np.clip(likeliest, _SMALLEST_SD, _LARGEST_SD))
    return fresh


def _inverse(hessian: Array) -> Array:
    """Inverse of minus the Hessian over the directions that the data determine; nan for model parameters at a wall."""
    curvature, axes = np.linalg.eigh(-hessian)
    if not np.isfinite(curvature).all():
        return np.full_like(hessian, np.nan)
    # a parameter of the model at its boundary is flat: what is known of the others does not depend on it
    known = curvature > 1e-9 * curvature[-1]
    return (axes[:, known] / curvature[known]) @ axes[:, known].T
