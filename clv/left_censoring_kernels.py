"""Compiled loops of customers who came before the data begin: the density of what is seen of them.

Time counts from the window's start. A customer came at -tau, had ``k`` purchases in the window (0, W], the last at
``y``. Densities are without G(r+k-1)/G(r) alpha^r and, for Pareto/NBD, beta^s: what is common to all tau. ``tau`` is
nan where it is spread evenly over (0, H]: the integral over tau is then taken, in closed form.
"""

import math

import numpy as np

from .compiled import compiled
from .pareto_nbd_kernels import leaving_integral

# Panels of the integral over the time of leaving are at most this long in its logarithm.
_PANEL = 2.0
# Logarithm of what is nothing beside 1.
_NOTHING = -45.0


@compiled
def _power_integral(A, slope, exponent, H):
    """int_0^H (A + slope tau)^-exponent dtau, times A^(exponent - 1): nothing under- or overflows."""
    rest = 1.0 - exponent
    grown = math.log1p(slope * H / A)
    if abs(rest * grown) < 1e-9:
        return grown * (1.0 + 0.5 * rest * grown) / slope
    return math.expm1(rest * grown) / (rest * slope)


@compiled
def fill_log_old_after_purchase(start, stop, k, y, tau, W, H, r, alpha, chances_at_start, p, log_1p, mass, out):
    """BG/NBD and MBG/NBD: ln of E_p[(1-p)^c P(alive at 0, what was seen)] over nodes ``p`` (j,) of weight ``mass``.

    Given p and the purchase rate, who came at -tau is still there at 0 with probability exp(-rate p tau), and the
    purchases seen have density rate^k {(1-p)^k e^(-rate W) + p (1-p)^(k-1) e^(-rate y)}.
    """
    at_W = alpha + W
    grown_W = np.empty(p.size)
    for j in range(p.size):
        grown_W[j] = math.log1p(p[j] * H / at_W)
    for i in range(start, stop):
        n, chances = r + k[i], k[i] + float(chances_at_start)
        at_y = alpha + y[i]
        base = math.log(at_y)
        total = 0.0
        if math.isnan(tau[i]):
            stayed = math.exp((1.0 - n) * (math.log(at_W) - base))
            for j in range(p.size):
                log_survived = chances * log_1p[j]
                if log_survived < _NOTHING:
                    break
                stays = -stayed * math.expm1((1.0 - n) * grown_W[j])
                leaves = -math.expm1((1.0 - n) * math.log1p(p[j] * H / at_y)) * p[j] / (1.0 - p[j])
                total += mass[j] * math.exp(log_survived) * (stays + leaves) / p[j]
            out[i] = math.log(total) + (1.0 - n) * base  # n - 1 = G(r+k) / G(r+k-1) cancels
        else:
            for j in range(p.size):
                log_survived = chances * log_1p[j]
                if log_survived < _NOTHING:
                    break
                before = p[j] * tau[i]
                stays = math.exp(-n * (math.log(at_W + before) - base))
                leaves = math.exp(-n * (math.log(at_y + before) - base)) * p[j] / (1.0 - p[j])
                total += mass[j] * math.exp(log_survived) * (stays + leaves)
            out[i] = math.log(total * (n - 1.0)) - n * base


@compiled
def fill_predictions_after_purchase(
    start, stop, k, y, tau, W, r, alpha, chances_at_start, h, ages, age_weights, p, log_1p, mass, out
):
    """BG/NBD and MBG/NBD: P(alive at W), purchases and P(no purchase) in (W, W + h], (n, 3), given what was seen.

    ``ages`` (g,) with ``age_weights`` are nodes of tau where it is not known.
    """
    for i in range(start, stop):
        n, chances = r + k[i], k[i] + float(chances_at_start)
        base = math.log(alpha + y[i])
        stays = leaves = later = busy = 0.0
        for g in range(ages.size):
            known = not math.isnan(tau[i])
            age = tau[i] if known else ages[g]
            weight = 1.0 if known else age_weights[g]
            for j in range(p.size):
                log_survived = chances * log_1p[j]
                if log_survived < _NOTHING:
                    break
                A = alpha + W + p[j] * age
                survived = weight * mass[j] * math.exp(log_survived)
                here = survived * math.exp(-n * (math.log(A) - base))
                stays += here
                gone = math.exp(-n * (math.log(alpha + y[i] + p[j] * age) - base))
                leaves += survived * gone * p[j] / (1.0 - p[j])
                later -= here * math.expm1(-n * math.log1p(p[j] * h / A)) / p[j]
                busy -= here * math.expm1(-n * math.log1p(h / A))
            if known:
                break
        total = stays + leaves
        out[i, 0], out[i, 1], out[i, 2] = stays / total, later / total, 1.0 - busy / total


@compiled
def fill_seen_after_purchase(start, stop, tau, W, H, r, alpha, chances_at_start, p, log_1p, mass, out):
    """BG/NBD and MBG/NBD: probability of being there at 0 and buying in the window (its integral over tau: a time)."""
    for i in range(start, stop):
        total = 0.0
        for j in range(p.size):
            stays = mass[j] * math.exp(chances_at_start * log_1p[j])
            if math.isnan(tau[i]):
                later = alpha + W
                here = alpha ** (1.0 - r) * _power_integral(alpha, p[j], r, H)
                there = later ** (1.0 - r) * _power_integral(later, p[j], r, H)
                total += stays * alpha**r * (here - there)
            else:
                before = alpha + p[j] * tau[i]
                total -= stays * (alpha / before) ** r * math.expm1(-r * math.log1p(W / before))
        out[i] = total


@compiled
def _pareto_old(n, y, tau, W, H, alpha, s, beta, nodes, weights, rules, rule_weights):
    """Logarithm of int over tau and over the time of leaving, see the module, and what was factored out of it."""
    at_y, at_W = alpha + y, alpha + W
    log_fall = n * math.log(at_W / at_y)
    if not math.isnan(tau):
        B = beta + tau
        stays = math.exp(-log_fall - s * math.log1p((W - y) / (B + y)))
        leaves = s * leaving_integral(n, s, alpha, B, y, W, rules, rule_weights)
        return math.log(stays + leaves) - n * math.log(at_y) - s * math.log(B + y)
    at_b = beta + y
    # in units of at_b^-s
    b_W = beta + W
    total = math.exp(-log_fall - s * math.log(b_W / at_b)) * b_W * _power_integral(b_W, 1.0, s, H)
    if y < W:
        m = min(alpha, beta) + y
        length = math.log1p((W - y) / m)
        length = min(length, math.log1p(at_y / m * math.expm1(min(40.0 / n, 700.0))))
        panels = 1 + int(length / _PANEL)
        width = length / panels
        leaves = 0.0
        for panel in range(panels):
            for j in range(nodes.size):
                v = width * (panel + nodes[j])
                gone = m * math.expm1(v)
                fall = n * math.log1p(gone / at_y)
                b = at_b + gone
                kept = math.exp(-s * math.log(b / at_b)) * -math.expm1(-s * math.log1p(H / b))
                leaves += weights[j] * math.exp(v - fall) * kept
        total += leaves * m * width
    return math.log(total) - n * math.log(at_y) - s * math.log(at_b)


@compiled
def fill_log_old_at_any_time(start, stop, k, y, tau, W, H, r, alpha, s, beta, nodes, weights, rules, rule_weights, out):
    """Pareto/NBD: ln of P(alive at 0) times the density of what was seen.

    Who came at -tau and is still there at 0 has death rate Gamma(s, beta + tau), and buys from 0 on as a new customer.
    """
    for i in range(start, stop):
        n = r + k[i]
        out[i] = _pareto_old(n, y[i], tau[i], W, H, alpha, s, beta, nodes, weights, rules, rule_weights)
        if k[i] > 0:
            out[i] += math.log(n - 1.0)


@compiled
def fill_alive_at_start(start, stop, tau, H, s, beta, out):
    """Pareto/NBD: P(alive at 0) (its integral over tau: a time); s and beta may be as large as they like."""
    for i in range(start, stop):
        if math.isnan(tau[i]):
            out[i] = beta * _power_integral(beta, 1.0, s, H)
        else:
            out[i] = math.exp(-s * math.log1p(tau[i] / beta))


@compiled
def fill_log_new(
    start, stop, x, t_x, T, family, r, alpha, third, fourth, chances_at_start, survived, rules, rule_weights, out
):
    """Logarithm of the density of a customer acquired in the window, without G(r+x)/G(r) alpha^r (and beta^s)."""
    for i in range(start, stop):
        n = r + x[i]
        log_rest = -n * math.log(alpha + T[i])
        grown = n * math.log1p((T[i] - t_x[i]) / (alpha + t_x[i]))
        if family == 0:
            chances = x[i] + chances_at_start
            z = grown + math.log(third / (fourth + chances - 1.0)) if chances > 0 else -math.inf
            out[i] = log_rest + survived[x[i]]
        else:
            odds = leaving_integral(n, third, alpha, fourth, t_x[i], T[i], rules, rule_weights)
            z = -math.inf
            if odds > 0.0:
                z = math.log(third * odds) + grown + third * math.log1p((T[i] - t_x[i]) / (fourth + t_x[i]))
            out[i] = log_rest - third * math.log(fourth + T[i])
        out[i] += math.log1p(math.exp(z)) if z < 35.0 else z
