"""Compiled loops of Pareto/NBD: the likelihood's integral over the time of leaving, and what predictions need.

K = int_{t0}^{t1} ((alpha+t0)/(alpha+t))^n ((beta+t0)/(beta+t))^(s+1) dt / (beta+t0), n = r + x, replaces the 2F1 of the
papers. With m = min(alpha, beta) and v = ln((m+t)/(m+t0)) the integrand is analytic in a strip of width pi on either
side of the real line; it is cut where a factor has fallen by e^-38. Gauss-Legendre then needs few nodes for 12 digits.
"""

import math

import numpy as np

from .compiled import compiled

# exp(-38) = 3e-17.
_NEGLIGIBLE = 38.0
# Longest panel.
_PANEL = 4.0
# Nodes of the rules; they lie in one array, one rule after the other.
RULES = (8, 10, 12, 16, 20, 24)


@compiled
def _rule(length, fall):
    """Positions of the smallest rule with a relative error below 1e-12 (24 nodes: 5e-12), for any parameters.

    Measured against 60 nodes over 600,000 random parameters, by the path's length and the fall of the logarithm.
    """
    if length <= 1.25 and fall <= 4.0:
        return 0, 8
    if length <= 1.75 and fall <= 8.0:
        return 8, 18
    if length <= 2.5 and fall <= 10.0:
        return 18, 30
    if length <= 3.5 and fall <= 20.0:
        return 30, 46
    if fall <= 40.0:
        return 46, 66
    return 66, 90


@compiled
def _path(n, s, alpha, beta, t0, t1, grown_a, grown_b):
    """Length of the path of v from t0 to where the integrand is negligible, and the fall of its logarithm."""
    if n * grown_a <= _NEGLIGIBLE and (s + 1.0) * grown_b <= _NEGLIGIBLE:
        return (grown_a if alpha <= beta else grown_b), n * grown_a + (s + 1.0) * grown_b
    if n * grown_a > _NEGLIGIBLE:
        t1 = min(t1, t0 + (alpha + t0) * math.expm1(_NEGLIGIBLE / n))
    if (s + 1.0) * grown_b > _NEGLIGIBLE:
        t1 = min(t1, t0 + (beta + t0) * math.expm1(_NEGLIGIBLE / (s + 1.0)))
    fall_a = n * math.log1p((t1 - t0) / (alpha + t0))
    fall_b = (s + 1.0) * math.log1p((t1 - t0) / (beta + t0))
    return math.log1p((t1 - t0) / (min(alpha, beta) + t0)), fall_a + fall_b


@compiled
def leaving_integral(n, s, alpha, beta, t0, t1, nodes, weights):
    """K, see the module."""
    if t1 <= t0:
        return 0.0
    a0, b0 = alpha + t0, beta + t0
    grown_a, grown_b = math.log1p((t1 - t0) / a0), math.log1p((t1 - t0) / b0)
    length, fall = _path(n, s, alpha, beta, t0, t1, grown_a, grown_b)
    panels = 1 + int(length / _PANEL)
    width = length / panels
    first, end = _rule(length, fall)
    total = 0.0
    if alpha <= beta:
        ratio, rest = a0 / b0, (beta - alpha) / b0
        for panel in range(panels):
            for k in range(first, end):
                v = width * (panel + nodes[k])
                total += weights[k] * math.exp((1.0 - n) * v - (s + 1.0) * math.log(math.exp(v) * ratio + rest))
        return total * width * ratio
    ratio, rest = b0 / a0, (alpha - beta) / a0
    for panel in range(panels):
        for k in range(first, end):
            v = width * (panel + nodes[k])
            total += weights[k] * math.exp(-s * v - n * math.log(math.exp(v) * ratio + rest))
    return total * width


@compiled
def leaving_row(n, s, alpha, beta, t0, t1, grown_a, grown_b, nodes, weights, first, second):
    """ln(1 + e^z) of one history, e^z the odds of having left before T; P(left); and P(left) P(alive).

    z = ln s + n ln((alpha+T)/(alpha+t_x)) + s ln((beta+T)/(beta+t_x)) + ln K. Fills z's derivatives by
    (r, alpha, s, beta): ``first`` (4,) and the Hessian's upper triangle ``second`` (10,), row by row.
    """
    rate_is_shorter = alpha <= beta
    a0, b0, a1, b1 = alpha + t0, beta + t0, alpha + t1, beta + t1
    length, fall = _path(n, s, alpha, beta, t0, t1, grown_a, grown_b)
    panels = 1 + int(length / _PANEL)
    width = length / panels
    rule, rule_end = _rule(length, fall)
    inverse_a0, inverse_b0 = 1.0 / a0, 1.0 / b0
    mass = 0.0
    la = lb = ia = ib = 0.0
    la_la = la_ia = la_lb = la_ib = ia_ia = ia_lb = ia_ib = lb_lb = lb_ib = ib_ib = 0.0
    for panel in range(panels):
        for k in range(rule, rule_end):
            v = width * (panel + nodes[k])
            if rate_is_shorter:
                a = a0 * math.exp(v)
                b = a + (beta - alpha)
                log_rise_a, log_rise_b = v, math.log(b * inverse_b0)
            else:
                b = b0 * math.exp(v)
                a = b + (alpha - beta)
                log_rise_a, log_rise_b = math.log(a * inverse_a0), v
            density = weights[k] * math.exp(v - n * log_rise_a - (s + 1.0) * log_rise_b)
            inverse_a, inverse_b = 1.0 / a, 1.0 / b
            mass += density
            d_la, d_ia = density * log_rise_a, density * inverse_a
            d_lb, d_ib = density * log_rise_b, density * inverse_b
            la += d_la
            ia += d_ia
            lb += d_lb
            ib += d_ib
            la_la += d_la * log_rise_a
            la_ia += d_la * inverse_a
            la_lb += d_la * log_rise_b
            la_ib += d_la * inverse_b
            ia_ia += d_ia * inverse_a
            ia_lb += d_ia * log_rise_b
            ia_ib += d_ia * inverse_b
            lb_lb += d_lb * log_rise_b
            lb_ib += d_lb * inverse_b
            ib_ib += d_ib * inverse_b
    scale = 1.0 / mass
    la, lb, ia, ib = la * scale, lb * scale, ia * scale, ib * scale
    z = math.log(s) + n * grown_a + s * grown_b
    z += math.log(mass * width * (a0 if rate_is_shorter else b0) / b0)
    if z > 0:
        e = math.exp(-z)
        value, left = z + math.log1p(e), 1.0 / (1.0 + e)
        spread = left * left * e
    else:
        e = math.exp(z)
        value, left = math.log1p(e), e / (1.0 + e)
        spread = left / (1.0 + e)
    n2, s1, inverse_s = n * n, s + 1.0, 1.0 / s
    first[0] = grown_a - la
    first[1] = n * (1.0 / a1 - ia)
    first[2] = inverse_s + grown_b - lb
    first[3] = s / b1 - s1 * ib
    second[0] = la_la * scale - la * la
    second[1] = 1.0 / a1 - ia + n * (la_ia * scale - la * ia)
    second[2] = la_lb * scale - la * lb
    second[3] = s1 * (la_ib * scale - la * ib)
    second[4] = n2 * (ia_ia * scale - ia * ia) + n * (ia_ia * scale - 1.0 / (a1 * a1))
    second[5] = n * (ia_lb * scale - ia * lb)
    second[6] = n * s1 * (ia_ib * scale - ia * ib)
    second[7] = lb_lb * scale - lb * lb - inverse_s * inverse_s
    second[8] = 1.0 / b1 - ib + s1 * (lb_ib * scale - lb * ib)
    second[9] = s1 * s1 * (ib_ib * scale - ib * ib) + s1 * ib_ib * scale - s / (b1 * b1)
    return value, left, spread


@compiled
def leaving_sums(
    start, stop, x, recency_index, T_index, weight, times, log_a, log_b, r, alpha, s, beta, nodes, weights
):
    """Sum over rows of ln(1 + e^z), see ``leaving_row``, with derivatives by (r, alpha, s, beta).

    Returns (15,): value, gradient (4,), the Hessian's upper triangle (10,), row by row.
    """
    total = np.zeros(15)
    first, second = np.empty(4), np.empty(10)
    for i in range(start, stop):
        t0, t1 = times[recency_index[i]], times[T_index[i]]
        if t1 <= t0:
            continue
        grown_a = log_a[T_index[i]] - log_a[recency_index[i]]
        grown_b = log_b[T_index[i]] - log_b[recency_index[i]]
        value, left, spread = leaving_row(
            r + x[i], s, alpha, beta, t0, t1, grown_a, grown_b, nodes, weights, first, second
        )
        total[0] += weight[i] * value
        add_mixture(total, weight[i], left, spread, first, second)
    return total


@compiled
def add_mixture(total, weight, left, spread, first, second):
    """Add the derivatives of ``weight`` ln(1 + e^z) to ``total`` (15,) from those of z."""
    left *= weight
    spread *= weight
    position = 5
    for p in range(4):
        total[1 + p] += left * first[p]
        for q in range(p, 4):
            total[position] += left * second[position - 5] + spread * first[p] * first[q]
            position += 1


@compiled
def fill_alive(start, stop, x, t_x, T, r, alpha, s, beta, nodes, weights, out):
    """P(alive at T) = 1 / (1 + e^z) by row."""
    for i in range(start, stop):
        n = r + x[i]
        odds = leaving_integral(n, s, alpha, beta, t_x[i], T[i], nodes, weights)
        if odds == 0.0:
            out[i] = 1.0
            continue
        z = math.log(s * odds)
        z += n * math.log1p((T[i] - t_x[i]) / (alpha + t_x[i])) + s * math.log1p((T[i] - t_x[i]) / (beta + t_x[i]))
        out[i] = 1.0 / (1.0 + math.exp(z)) if z < 700.0 else 0.0


@compiled
def _silence(R, A, s, B, h, nodes, weights):
    """P(no purchase in the next h), alive now with rate Gamma(R, A) and death rate Gamma(s, B); and the part alive."""
    alive = math.exp(-R * math.log1p(h / A) - s * math.log1p(h / B))
    return alive + s * leaving_integral(R, s, A, B, 0.0, h, nodes, weights), alive


@compiled
def fill_silence(start, stop, x, T, r, alpha, s, beta, h, nodes, weights, out):
    """P(no purchase in (T, T + h]) by row, alive at T."""
    for i in range(start, stop):
        out[i] = _silence(r + x[i], alpha + T[i], s, beta + T[i], h, nodes, weights)[0]


@compiled
def fill_median_wait(start, stop, x, T, probability_alive, r, alpha, s, beta, nodes, weights, out):
    """Time until P(no purchase) is one half, nan where it never is.

    Silence is convex and falls, so Newton's steps from the left (the wait of a customer who cannot leave) never
    overshoot.
    """
    for i in range(start, stop):
        out[i] = math.nan
        wanted = 1.0 - 0.5 / probability_alive[i] if probability_alive[i] > 0.5 else 0.0
        if wanted <= 0.0:
            continue
        R, A, B = r + x[i], alpha + T[i], beta + T[i]
        forever = 1e12 * max(A, B)
        if _silence(R, A, s, B, forever, nodes, weights)[0] >= wanted:
            continue
        h = A * math.expm1(-math.log(wanted) / R)
        for _ in range(200):
            silence, alive = _silence(R, A, s, B, h, nodes, weights)
            step = (silence - wanted) * (A + h) / (R * alive) if alive > 0.0 else math.nan
            if not abs(step) > 1e-12 * h:
                break
            h += min(step, 4.0 * (A + h))  # far out the slope is so small that a step could leave the range
        out[i] = h


@compiled
def fill_pmf(start, stop, x, T, r, alpha, s, beta, h, nodes, weights, out):
    """P(n purchases in (T, T + h]) by row and n, alive at T: those who stay, and those who leave at u in (0, h].

    The integral over u runs in v = ln(1 + u/m), in panels short beside the spread of the counts.
    """
    for i in range(start, stop):
        R, A, B = r + x[i], alpha + T[i], beta + T[i]
        n_counts = out.shape[1]
        for n in range(n_counts):
            out[i, n] = 0.0
        m = min(A, B)
        length = math.log1p(h / m)
        panels = 1 + int(length * (1.0 + 0.25 * math.sqrt(R + n_counts)) + 0.1 * s * math.log1p(h / B))
        width = length / panels
        for panel in range(panels + 1):
            for k in range(nodes.size):
                if panel < panels:
                    v = width * (panel + nodes[k])
                    u = m * math.expm1(v)
                    log_weight = math.log(weights[k] * width * m * s / B) + v - (s + 1.0) * math.log1p(u / B)
                else:
                    u = h
                    log_weight = -s * math.log1p(h / B)
                log_count = log_weight - R * math.log1p(u / A)
                log_z = math.log(u / (A + u)) if u > 0.0 else -math.inf
                count = math.exp(log_count)
                for n in range(n_counts):
                    out[i, n] += count
                    if count > 1e-290:
                        count *= (R + n) / (n + 1.0) * u / (A + u)
                        log_count = math.nan
                    else:  # too small to multiply on: in logarithms until it grows
                        if log_count != log_count:
                            log_count = math.log(count) if count > 0.0 else -800.0
                        log_count += math.log((R + n) / (n + 1.0)) + log_z
                        count = math.exp(log_count)
                if panel == panels:
                    break


@compiled
def discounted_lifetime(s, B, h, rate, nodes, weights):
    """int_0^h e^(-rate u) (B/(B+u))^s du: discounted time alive of a customer alive now with death rate Gamma(s, B)."""
    if rate > 0.0:
        h = min(h, 45.0 / rate)
    length = math.log1p(h / B)
    length = min(length, 45.0 / s) if s > 1.0 else length
    panels = 1 + int(length) + int((rate * B * math.expm1(length) + s * length) / 8.0)
    width = length / panels
    total = 0.0
    for panel in range(panels):
        for k in range(nodes.size):
            v = width * (panel + nodes[k])
            total += weights[k] * math.exp((1.0 - s) * v - rate * B * math.expm1(v))
    return total * width * B


@compiled
def fill_discounted_lifetime(start, stop, T, s, beta, h, rate, nodes, weights, out):
    """``discounted_lifetime`` of a customer alive at T by distinct T."""
    for i in range(start, stop):
        out[i] = discounted_lifetime(s, beta + T[i], h, rate, nodes, weights)


@compiled
def _softplus(y):
    return y + math.log1p(math.exp(-y)) if y > 0.0 else math.log1p(math.exp(y))


@compiled
def _sigmoid(y):
    return 1.0 / (1.0 + math.exp(-y)) if y > 0.0 else math.exp(y) / (1.0 + math.exp(y))


@compiled
def _log_waiting(y, m, R, s, shift):
    """Of U = A e^y: the log-density of the m-th purchase's time, unnormalised, and of a life that lasts until then."""
    return -m * _softplus(-y) - R * _softplus(y) - s * _softplus(y + shift)


@compiled
def _waiting_slope(y, m, R, s, shift):
    return m * _sigmoid(-y) - R * _sigmoid(y) - s * _sigmoid(y + shift)


@compiled
def _log_waiting_mass(end, m, R, s, shift, nodes, weights):
    """Logarithm of the integral of exp(_log_waiting) over (-inf, end]; it is log-concave, and falls off from its peak.

    Gauss-Legendre in panels on either side of the peak, as far as the density falls by e^-34.
    """
    fall = 34.0
    high = min(end, math.log(m / R))
    if _waiting_slope(high, m, R, s, shift) >= 0.0:
        peak = high
    else:
        low, peak = min(0.0, math.log(m / (R + s * math.exp(shift)))) - 3.0, high
        while high - low > 1e-9 * (1.0 + abs(peak)):
            peak = 0.5 * (low + high)
            if _waiting_slope(peak, m, R, s, shift) > 0.0:
                low = peak
            else:
                high = peak
    top = _log_waiting(peak, m, R, s, shift)
    total = 0.0
    for side in (-1.0, 1.0):
        room = end - peak if side > 0.0 else math.inf
        if room <= 0.0:
            continue
        slope = abs(_waiting_slope(peak, m, R, s, shift))
        curvature = m * _sigmoid(-peak) * _sigmoid(peak) + R * _sigmoid(-peak) * _sigmoid(peak)
        curvature += s * _sigmoid(peak + shift) * _sigmoid(-peak - shift)
        width = math.sqrt(2.0 * fall / curvature)
        if slope > 0.0:
            width = min(width, fall / slope)
        for _ in range(8):  # the fall is convex in the width: Newton's steps end up beyond it and come back
            if width > room:
                break
            at = peak + side * width
            fallen, steep = top - _log_waiting(at, m, R, s, shift), -side * _waiting_slope(at, m, R, s, shift)
            step = (fall - fallen) / steep
            width += step
            if abs(step) < 1e-3 * width:
                break
        width = min(width, room)
        panels = 2 + int(width / 2.0)
        for panel in range(panels):
            for k in range(nodes.size):
                y = peak + side * width * (panel + nodes[k]) / panels
                total += weights[k] * width / panels * math.exp(_log_waiting(y, m, R, s, shift) - top)
    return top + math.log(total)


@compiled
def fill_share_before_leaving(start, stop, counts, R, A, s, B, h, nodes, weights, out):
    """Of the m-th purchases that would come by h, the share that leaving does not forestall, by row and m."""
    for i in range(start, stop):
        end, shift = math.log(h / A[i]), math.log(A[i] / B[i])
        for j in range(counts.size):
            lasting = _log_waiting_mass(end, counts[j], R[i], s, shift, nodes, weights)
            coming = _log_waiting_mass(end, counts[j], R[i], 0.0, shift, nodes, weights)
            out[i, j] = min(1.0, math.exp(lasting - coming))
