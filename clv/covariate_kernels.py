"""Compiled loops of models whose rates differ by covariates: likelihood by row, and predictions with own parameters.

A pattern is a distinct row of the design matrix; rows of histories come sorted by it. Each pattern has its own four
logarithms of (r, alpha, a, b) or (r, alpha, s, beta), linear in the coefficients.
"""

import math

import numpy as np

from .beta_geometric_kernels import fill_discounted, fill_pmf, fill_purchases
from .compiled import compiled
from .pareto_nbd_kernels import (
    add_mixture,
    discounted_lifetime,
    fill_alive,
    fill_median_wait,
    fill_silence,
    leaving_row,
)
from .pareto_nbd_kernels import fill_pmf as fill_pareto_pmf

NO_DROPOUT, AT_PURCHASES, AT_ANY_TIME = 0, 1, 2


@compiled
def _add_purchases(total, w, x, T, r, alpha, log_alpha, rising):
    """Add ln{G(r+x)/G(r) alpha^r (alpha+T)^-(r+x)} and its derivatives by (r, alpha)."""
    age = alpha + T
    growth = math.log1p(T / alpha)
    total[0] += w * (rising[0, x] - r * growth - x * (growth + log_alpha))
    total[1] += w * (rising[1, x] - growth)
    total[2] += w * (r / alpha - (r + x) / age)
    total[5] += w * rising[2, x]
    total[6] += w * T / (alpha * age)
    total[9] += w * ((r + x) / (age * age) - r / (alpha * alpha))


@compiled
def _add_survival(total, w, survived, a, b):
    """Add ln{B(a, b+s)/B(a, b)} and its derivatives by (a, b)."""
    value = d_a = d_b = aa = bb = 0.0
    for j in range(survived):
        stay, both = 1.0 / (b + j), 1.0 / (a + b + j)
        value -= math.log1p(a * stay)
        d_a -= both
        d_b += stay - both
        aa += both * both
        bb += both * both - stay * stay
    total[0] += w * value
    total[3] += w * d_a
    total[4] += w * d_b
    total[12] += w * aa
    total[13] += w * aa
    total[14] += w * bb


@compiled
def _add_leaving_at_purchase(total, w, x, t_x, T, r, alpha, a, b, chances, first, second):
    """Add ln(1 + e^z), e^z the odds of having left at the last of ``chances`` purchases."""
    n, before, after = r + x, 1.0 / (alpha + t_x), 1.0 / (alpha + T)
    rest = 1.0 / (b + chances - 1.0)
    grown = math.log1p((T - t_x) * before)
    z = math.log(a * rest) + n * grown
    if z > 0:
        e = math.exp(-z)
        value, left = z + math.log1p(e), 1.0 / (1.0 + e)
        spread = left * left * e
    else:
        e = math.exp(z)
        value, left = math.log1p(e), e / (1.0 + e)
        spread = left / (1.0 + e)
    first[0], first[1], first[2], first[3] = grown, n * (after - before), 1.0 / a, -rest
    second[:] = 0.0
    second[1] = after - before
    second[4] = n * (before * before - after * after)
    second[7] = -1.0 / (a * a)
    second[9] = rest * rest
    total[0] += w * value
    add_mixture(total, w, left, spread, first, second)


@compiled
def _add_staying(total, w, T, s, beta):
    """Add s ln(beta/(beta+T)) and its derivatives by (s, beta)."""
    grown, age = math.log1p(T / beta), beta + T
    total[0] -= w * s * grown
    total[3] -= w * grown
    total[4] += w * s * T / (beta * age)
    total[13] += w * T / (beta * age)
    total[14] -= w * s * T * (2.0 * beta + T) / (beta * beta * age * age)


@compiled
def carry(sums, point, row, predictor, column, factor, position, n_free, total):
    """Add a pattern's sums (15,) to value, gradient and Hessian by the free parameters, all in ``total``.

    Entry e says that the free parameter ``position[e]`` moves the logarithm ``predictor[e]`` by ``factor[e]`` times
    the design's ``column[e]`` (1 where it is -1).
    """
    total[0] += sums[0]
    for e in range(predictor.size):
        k = predictor[e]
        by_e = factor[e] * (row[column[e]] if column[e] >= 0 else 1.0) * point[k]
        if by_e == 0.0:
            continue
        total[1 + position[e]] += sums[1 + k] * by_e
        start = 1 + n_free + n_free * position[e]
        for f in range(predictor.size):
            m = predictor[f]
            effect = factor[f] * (row[column[f]] if column[f] >= 0 else 1.0)
            low, high = min(k, m), max(k, m)
            second = sums[5 + low * 4 - (low * (low - 1)) // 2 + high - low] * point[m]
            if k == m:
                second += sums[1 + k]
            total[start + position[f]] += second * by_e * effect


@compiled
def covariate_sums(
    start,
    stop,
    family,
    chances_at_start,
    x,
    t_x,
    T,
    weight,
    pattern,
    logarithms,
    rising,
    nodes,
    weights,
    design,
    predictor,
    column,
    factor,
    position,
    n_free,
):
    """Log-likelihood of rows with gradient (n_free,) and Hessian (n_free, n_free), flat, one after the other."""
    total = np.zeros(1 + n_free + n_free * n_free)
    sums, first, second, point = np.zeros(15), np.empty(4), np.empty(10), np.ones(4)
    now = -1
    log_alpha = 0.0
    for i in range(start, stop):
        if pattern[i] != now:
            if now >= 0:
                carry(sums, point, design[now], predictor, column, factor, position, n_free, total)
            sums[:] = 0.0
            now = pattern[i]
            for k in range(logarithms.shape[1]):
                point[k] = math.exp(logarithms[now, k])
            log_alpha = logarithms[now, 1]
        r, alpha, third, fourth = point[0], point[1], point[2], point[3]
        w, xi, t0, t1 = weight[i], x[i], t_x[i], T[i]
        _add_purchases(sums, w, xi, t1, r, alpha, log_alpha, rising)
        if family == AT_PURCHASES:
            chances = xi + chances_at_start
            if chances > 0:
                _add_survival(sums, w, chances, third, fourth)
                _add_leaving_at_purchase(sums, w, xi, t0, t1, r, alpha, third, fourth, chances, first, second)
        elif family == AT_ANY_TIME:
            _add_staying(sums, w, t1, third, fourth)
            if t1 > t0:
                grown_a = math.log1p((t1 - t0) / (alpha + t0))
                grown_b = math.log1p((t1 - t0) / (fourth + t0))
                value, left, spread = leaving_row(
                    r + xi, third, alpha, fourth, t0, t1, grown_a, grown_b, nodes, weights, first, second
                )
                sums[0] += w * value
                add_mixture(sums, w, left, spread, first, second)
    if now >= 0:
        carry(sums, point, design[now], predictor, column, factor, position, n_free, total)
    return total


@compiled
def spend_sums(
    start,
    stop,
    z,
    weight,
    frequency,
    index,
    pattern,
    logarithms,
    tables,
    design,
    predictor,
    column,
    factor,
    position,
    n_free,
):
    """Gamma-Gamma's log-likelihood of rows, all but a constant, flat as in ``covariate_sums``; parameters (p, q, v).

    With m = v / (v + z), z a customer's money: -ln B(px, q) + q ln m + px ln(1-m). ``tables`` (6, k) hold, by distinct
    frequency, -ln B(px, q) and its derivatives by p, q, pp, pq and qq.
    """
    total = np.zeros(1 + n_free + n_free * n_free)
    sums, point = np.zeros(15), np.ones(4)
    now = -1
    for i in range(start, stop):
        if pattern[i] != now:
            if now >= 0:
                carry(sums, point, design[now], predictor, column, factor, position, n_free, total)
            sums[:] = 0.0
            now = pattern[i]
            for k in range(3):
                point[k] = math.exp(logarithms[now, k])
        p, q, v = point[0], point[1], point[2]
        w, k = weight[i], index[i]
        x = frequency[k]
        log_m, log_rest = -math.log1p(z[i] / v), -math.log1p(v / z[i])
        m = v / (v + z[i])
        slope = q * (1.0 - m) - p * x * m
        sums[0] += w * (tables[0, k] + q * log_m + p * x * log_rest)
        sums[1] += w * (tables[1, k] + x * log_rest)
        sums[2] += w * (tables[2, k] + log_m)
        sums[3] += w * slope / v
        sums[5] += w * tables[3, k]
        sums[6] += w * tables[4, k]
        sums[7] -= w * x * m / v
        sums[9] += w * tables[5, k]
        sums[10] += w * (1.0 - m) / v
        sums[12] -= w * ((q + p * x) * m * (1.0 - m) + slope) / (v * v)
    if now >= 0:
        carry(sums, point, design[now], predictor, column, factor, position, n_free, total)
    return total


# ---------------------------------------------------------------- predictions: each row with parameters of its own


@compiled
def fill_alive_after_purchase(start, stop, x, t_x, T, r, alpha, a, b, chances_at_start, out):
    """P(alive) of BG/NBD (0 chances at the start) and MBG/NBD (1)."""
    for i in range(start, stop):
        chances = x[i] + chances_at_start
        if chances == 0:
            out[i] = 1.0
        else:
            z = math.log(a[i] / (b[i] + chances - 1.0)) + (r + x[i]) * math.log1p((T[i] - t_x[i]) / (alpha[i] + t_x[i]))
            out[i] = 1.0 / (1.0 + math.exp(z)) if z < 700.0 else 0.0


@compiled
def fill_purchases_by_row(start, stop, x, T, r, alpha, a, b, window_start, window_end, out):
    """As ``fill_purchases``."""
    for i in range(start, stop):
        fill_purchases(i, i + 1, x, T, r, alpha[i], a[i], b[i], window_start, window_end, out)


@compiled
def fill_discounted_by_row(start, stop, x, T, r, alpha, a, b, horizon, rate, nodes, weights, out):
    """As ``fill_discounted``."""
    for i in range(start, stop):
        fill_discounted(i, i + 1, x, T, r, alpha[i], a[i], b[i], horizon, rate, nodes, weights, out)


@compiled
def fill_pmf_by_row(start, stop, x, T, r, alpha, a, b, t, out):
    """As ``fill_pmf``."""
    for i in range(start, stop):
        fill_pmf(i, i + 1, x, T, r, alpha[i], a[i], b[i], t, out)


@compiled
def fill_pareto_alive_by_row(start, stop, x, t_x, T, r, alpha, s, beta, nodes, weights, out):
    """As ``pareto_nbd_kernels.fill_alive``."""
    for i in range(start, stop):
        fill_alive(i, i + 1, x, t_x, T, r, alpha[i], s, beta[i], nodes, weights, out)


@compiled
def fill_pareto_silence_by_row(start, stop, x, T, r, alpha, s, beta, h, nodes, weights, out):
    """As ``pareto_nbd_kernels.fill_silence``."""
    for i in range(start, stop):
        fill_silence(i, i + 1, x, T, r, alpha[i], s, beta[i], h, nodes, weights, out)


@compiled
def fill_pareto_wait_by_row(start, stop, x, T, alive, r, alpha, s, beta, nodes, weights, out):
    """As ``pareto_nbd_kernels.fill_median_wait``."""
    for i in range(start, stop):
        fill_median_wait(i, i + 1, x, T, alive, r, alpha[i], s, beta[i], nodes, weights, out)


@compiled
def fill_pareto_pmf_by_row(start, stop, x, T, r, alpha, s, beta, h, nodes, weights, out):
    """As ``pareto_nbd_kernels.fill_pmf``."""
    for i in range(start, stop):
        fill_pareto_pmf(i, i + 1, x, T, r, alpha[i], s, beta[i], h, nodes, weights, out)


@compiled
def fill_pareto_lifetime_by_row(start, stop, T, s, beta, h, rate, nodes, weights, out):
    """As ``pareto_nbd_kernels.fill_discounted_lifetime``."""
    for i in range(start, stop):
        out[i] = discounted_lifetime(s, beta[i] + T[i], h, rate, nodes, weights)
