"""Compiled loops of Pareto/NBD with rates that change from period to period.

A(t) and B(t) are what the rates of purchase and of leaving have added up to by t; within a period both grow evenly. On
each period the integral over the time of leaving is that of plain Pareto/NBD in other units, see
``pareto_nbd_kernels``: with v = ln((m+t)/m) it is smooth, and few Gauss-Legendre nodes give it to 12 digits.
"""

import math

import numpy as np

from .compiled import compiled
from .pareto_nbd_kernels import _path

# Nodes of the rules; they lie in one array, one rule after the other.
RULES = (4, 5, 6, 8, 10, 12, 16, 20, 24)
# Longest panel.
_PANEL = 4.0
# exp(-40): what is left out of the integral, beside the part before it.
_NEGLIGIBLE = 40.0


@compiled
def _rule(length, fall):
    """Positions of the smallest rule with a relative error below 1e-12 (24 nodes: 5e-12), for any parameters.

    From eight nodes on as in ``pareto_nbd_kernels``; below, by the error of n nodes for exp(-fall x) on [0, 1],
    fall^2n (n!)^4 / ((2n+1) (2n)!^3).
    """
    if length <= 0.4 and fall <= 0.35:
        return 0, 4
    if length <= 0.5 and fall <= 1.0:
        return 4, 9
    if length <= 0.75 and fall <= 1.75:
        return 9, 15
    if length <= 1.25 and fall <= 4.0:
        return 15, 23
    if length <= 1.75 and fall <= 8.0:
        return 23, 33
    if length <= 2.5 and fall <= 10.0:
        return 33, 45
    if length <= 3.5 and fall <= 20.0:
        return 45, 61
    if fall <= 40.0:
        return 61, 81
    return 81, 105


@compiled
def _leaving(n, s, a, b, t, nodes, weights, sums):
    """Integral over (0, t) of g = (a/(a+u))^n (b/(b+u))^(s+1) / b, and of g times what gradients need.

    ``sums`` (5,): g, g ln((a+u)/a), g/(a+u), g ln((b+u)/b), g/(b+u).
    """
    length, fall = _path(n, s, a, b, 0.0, t, math.log1p(t / a), math.log1p(t / b))
    panels = 1 + int(length / _PANEL)
    width = length / panels
    rule, rule_end = _rule(width, fall / panels)
    mass = la = ia = lb = ib = 0.0
    rate_is_shorter = a <= b
    for panel in range(panels):
        for k in range(rule, rule_end):
            v = width * (panel + nodes[k])
            if rate_is_shorter:
                a_u = a * math.exp(v)
                b_u = a_u + (b - a)
                rise_a, rise_b = v, math.log(b_u / b)
            else:
                b_u = b * math.exp(v)
                a_u = b_u + (a - b)
                rise_a, rise_b = math.log(a_u / a), v
            density = weights[k] * math.exp(v - n * rise_a - (s + 1.0) * rise_b)
            mass += density
            la += density * rise_a
            ia += density / a_u
            lb += density * rise_b
            ib += density / b_u
    scale = width * (a if rate_is_shorter else b) / b
    sums[0], sums[1], sums[2], sums[3], sums[4] = mass * scale, la * scale, ia * scale, lb * scale, ib * scale


@compiled
def fill_scores(
    start, stop, x, born, last, end, boundaries, first_row, pace_a, pace_b, X_a, X_b, r, alpha, s, beta, nodes, weights,
    out,
):  # fmt: skip
    """By customer what depends on A and B in ln L, its derivatives, ln P(alive) and A(T), B(T).

    ln{(alpha+A(T))^-(r+x) (beta+B(T))^-s + s int_{t_x}^T (alpha+A)^-(r+x) (beta+B)^-(s+1) dB}. Times are positions on
    one axis: ``born``, ``last``, ``end`` (n,), ``boundaries`` (periods + 1,). ``first_row`` (n,) says where a
    customer's periods begin in ``pace_a``, ``pace_b`` (rows,) and ``X_a``, ``X_b`` (rows, k). ``out`` is
    (n, 8 + k_a + k_b): value; by r, alpha, s, beta; ln P(alive); A(T); B(T); by the coefficients.
    """
    k_a, k_b = X_a.shape[1], X_b.shape[1]
    grown_a, grown_b = np.zeros(k_a), np.zeros(k_b)
    integral_a, integral_b = np.zeros(k_a), np.zeros(k_b)
    sums = np.empty(5)
    for i in range(start, stop):
        n = r + x[i]
        A = B = 0.0
        grown_a[:] = 0.0
        grown_b[:] = 0.0
        integral_a[:] = 0.0
        integral_b[:] = 0.0
        # integral, and integrals times ln(alpha+A), 1/(alpha+A), ln(beta+B), 1/(beta+B): all over their value at t_x
        total = total_la = total_ia = total_lb = total_ib = 0.0
        log_a_last, log_b_last = math.log(alpha), math.log(beta)
        t = born[i]
        period = np.searchsorted(boundaries, t, side="right") - 1
        after_last = last[i] <= t
        while t < end[i]:
            until = min(boundaries[period + 1], end[i])
            if not after_last and last[i] < until:
                until = last[i]
            row = first_row[i] + period
            length = until - t
            rise, fall = pace_a[row], pace_b[row]
            if after_last and length > 0.0:
                a0, b0 = alpha + A, beta + B
                log_a0, log_b0 = math.log(a0), math.log(b0)
                fallen = n * (log_a0 - log_a_last) + s * (log_b0 - log_b_last)
                if fallen < _NEGLIGIBLE:
                    _leaving(n, s, a0 / rise, b0 / fall, length, nodes, weights, sums)
                    share = math.exp(-fallen)
                    mass, ia, ib = share * sums[0], share * sums[2] / rise, share * sums[4] / fall
                    total += mass
                    total_la += share * sums[1] + mass * log_a0
                    total_ia += ia
                    total_lb += share * sums[3] + mass * log_b0
                    total_ib += ib
                    for j in range(k_a):
                        z = X_a[row, j]
                        integral_a[j] += (grown_a[j] - z * a0) * ia + z * mass
                    for j in range(k_b):
                        z = X_b[row, j]
                        # (s+1) B_d/(beta+B) less the derivative of dB itself
                        integral_b[j] += (s + 1.0) * ((grown_b[j] - z * b0) * ib + z * mass) - z * mass
            A += rise * length
            B += fall * length
            for j in range(k_a):
                grown_a[j] += X_a[row, j] * rise * length
            for j in range(k_b):
                grown_b[j] += X_b[row, j] * fall * length
            t = until
            if not after_last and t >= last[i]:
                after_last = True
                log_a_last, log_b_last = math.log(alpha + A), math.log(beta + B)
            if t >= boundaries[period + 1]:
                period += 1
        log_a, log_b = math.log(alpha + A), math.log(beta + B)
        log_alive = -n * (log_a - log_a_last) - s * (log_b - log_b_last)
        alive = math.exp(log_alive)
        both = alive + s * total
        share, left = alive / both, s / both
        out[i, 0] = math.log(both) - n * log_a_last - s * log_b_last
        out[i, 1] = -share * log_a - left * total_la
        out[i, 2] = -n * (share / (alpha + A) + left * total_ia)
        out[i, 3] = -share * log_b - left * total_lb + total / both
        out[i, 4] = -share * s / (beta + B) - left * (s + 1.0) * total_ib
        out[i, 5] = log_alive - math.log(both)
        out[i, 6] = A
        out[i, 7] = B
        for j in range(k_a):
            out[i, 8 + j] = -n * (share * grown_a[j] / (alpha + A) + left * integral_a[j])
        for j in range(k_b):
            out[i, 8 + k_a + j] = -share * s * grown_b[j] / (beta + B) - left * integral_b[j]


@compiled
def fill_future(
    start, stop, n, a_now, b_now, now, begin, end, boundaries, first_row, pace_a, pace_b, s, nodes, weights, out
):
    """By customer alive now: expected purchases in (now + begin, now + end], and P(no purchase in (now, now + end]).

    Given the past the rate of purchase is Gamma(n, a_now), that of leaving Gamma(s, b_now).
    """
    sums = np.empty(5)
    for i in range(start, stop):
        a, b, t = a_now[i], b_now[i], 0.0
        expected = left_silent = 0.0
        period = np.searchsorted(boundaries, now, side="right") - 1
        while t < end:
            until = min(boundaries[period + 1] - now, end)
            if t < begin < until:
                until = begin
            row = first_row[i] + period
            length, rise, fall = until - t, pace_a[row], pace_b[row]
            staying = math.exp(-s * math.log(b / b_now[i]))
            if length > 0.0:
                if t >= begin:
                    grown = math.log1p(fall * length / b)
                    mean = b / fall * (grown if s == 1.0 else math.expm1((1.0 - s) * grown) / (1.0 - s))
                    expected += rise * staying * mean
                silent = math.exp(-n[i] * math.log(a / a_now[i])) * staying
                if silent > 1e-18:
                    _leaving(n[i], s, a / rise, b / fall, length, nodes, weights, sums)
                    left_silent += s * silent * sums[0]
            a += rise * length
            b += fall * length
            t = until
            if now + t >= boundaries[period + 1]:
                period += 1
        out[i, 0] = n[i] / a_now[i] * expected
        out[i, 1] = math.exp(-n[i] * math.log(a / a_now[i]) - s * math.log(b / b_now[i])) + left_silent
