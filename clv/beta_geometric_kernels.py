"""Compiled loops of the models whose customers may leave at each purchase: likelihood and future purchases.

Notation of Fader, Hardie and Lee (2005): a customer alive at T with x repeat purchases has rate Gamma(R, A) with
R = r + x, A = alpha + T, and leaves at each purchase with probability Beta(a, B), B = b + the purchases survived.
"""

import math

import numpy as np

from .compiled import compiled

# Terms after which the series gives way to the integral, and what the series may lose to cancellation.
_MAX_TERMS = 3000
_MAX_CANCELLATION = 1e-4


@compiled
def dropout_sums(start, stop, x, recency_index, T_index, weight, log_age, inverse_age, log_odds, inverse_survived, r):
    """Sums over rows of ln(1 + e^z) and its derivatives, e^z the odds of having left at the last purchase.

    z = log_odds[x] + (r + x) (ln(alpha + T) - ln(alpha + t_x)). Returns (18,): value; by r, alpha, and the two of the
    odds (1/a and 1/(b + ...)); then second derivatives, see ``beta_geometric.dropout_derivatives``.
    """
    total = np.zeros(18)
    for i in range(start, stop):
        xi, j, k, w = x[i], recency_index[i], T_index[i], weight[i]
        survived = inverse_survived[xi]
        if survived == 0.0:  # no purchase at which to leave
            continue
        n = r + xi
        d_r = log_age[k] - log_age[j]
        d_alpha = n * (inverse_age[k] - inverse_age[j])
        z = log_odds[xi] + n * d_r
        if z > 0:
            e = math.exp(-z)
            value, left = z + math.log1p(e), 1.0 / (1.0 + e)
            spread = left * left * e
        else:
            e = math.exp(z)
            value, left = math.log1p(e), e / (1.0 + e)
            spread = left / (1.0 + e)
        left *= w
        spread *= w
        total[0] += w * value
        total[1] += left * d_r
        total[2] += left * d_alpha
        total[3] += left
        total[4] += left * survived
        total[5] += spread * d_r * d_r
        total[6] += spread * d_r * d_alpha
        total[7] += spread * d_alpha * d_alpha
        total[8] += spread * d_r
        total[9] += spread * d_r * survived
        total[10] += spread * d_alpha
        total[11] += spread * d_alpha * survived
        total[12] += spread
        total[13] += spread * survived
        total[14] += spread * survived * survived
        total[15] += left * (inverse_age[k] - inverse_age[j])
        total[16] += left * n * (inverse_age[j] * inverse_age[j] - inverse_age[k] * inverse_age[k])
        total[17] += left * survived * survived
    return total


@compiled
def probability_alive(start, stop, x, recency_index, T_index, log_age, log_odds, inverse_survived, r, out):
    """1 / (1 + e^z) by row."""
    for i in range(start, stop):
        xi = x[i]
        if inverse_survived[xi] == 0.0:
            out[i] = 1.0
        else:
            z = log_odds[xi] + (r + xi) * (log_age[T_index[i]] - log_age[recency_index[i]])
            out[i] = 1.0 / (1.0 + math.exp(z)) if z < 700.0 else 0.0


@compiled
def _purchases_by_series(R, A, a, B, t):
    """Eq. 9 of Fader, Hardie and Lee (2005) after Euler's transformation, free of its pole at a = 1; nan if unsure.

    E = c (1 - (1-z)^e) / e - (1-z)^e sum_n (c-R)_n (a)_(n-1) / ((c+1)_(n-1) n!) z^n,
    z = t/(A+t), c = a+B-1, e = a-1.
    """
    z = t / (A + t)
    log_rest = -math.log1p(t / A)
    e, c = a - 1.0, a + B - 1.0
    q = c - R
    if abs(e * log_rest) > 200.0 or q < -20.0:
        return math.nan
    lead = -c * log_rest if e == 0.0 else -c * math.expm1(e * log_rest) / e
    term = q * z
    total = term
    rest = math.exp(e * log_rest)
    for n in range(1, _MAX_TERMS):
        ratio = (q + n) * (a + n - 1.0) / ((c + n) * (n + 1.0)) * z
        term *= ratio
        total += term
        bound = max(abs(ratio), z)
        if bound < 1.0 and abs(term) * rest <= 1e-16 * (1.0 - bound) * abs(lead):
            purchases = lead - rest * total
            return purchases if purchases > _MAX_CANCELLATION * abs(lead) else math.nan
    return math.nan


@compiled
def purchases_by_integral(R, A, a, B, t):
    """E[(1 - (1 + p t / A)^-R) / p] over p ~ Beta(a, B): the trapezoidal rule in the logit of p.

    The integrand is analytic in a strip around the real line, so the error falls as exp(-c / step); the flat tails
    towards p = 0 and p = 1 are geometric series.
    """
    ratio = t / A
    centre = math.log(a / B)
    step = min(0.2, 0.5 * math.sqrt(1.0 / a + 1.0 / B))
    log_norm = a * (-math.log1p(math.exp(-centre))) + B * (-math.log1p(math.exp(centre)))
    mass, total = 0.0, 0.0
    for direction in (1, -1):
        k = 0 if direction == 1 else 1
        rate = B if direction == 1 else a
        while True:
            y = centre + direction * k * step
            if y > 0:
                rest = math.exp(-y)
                log_p, log_1p = -math.log1p(rest), -y - math.log1p(rest)
            else:
                rest = math.exp(y)
                log_p, log_1p = y - math.log1p(rest), -math.log1p(rest)
            p = math.exp(log_p)
            weight = math.exp(a * log_p + B * log_1p - log_norm)
            scaled = p * ratio
            value = -math.expm1(-R * math.log1p(scaled)) / p if scaled * R > 1e-18 else R * ratio
            if weight < 1e-20:
                break
            # 17 digits into a tail nothing changes any more but the weight
            flat = y > 40.0 if direction == 1 else y < -40.0 - math.log(1.0 + B + R * ratio)
            if flat:
                weight /= -math.expm1(-rate * step)
            mass += weight
            total += weight * value
            if flat:
                break
            k += 1
    return total / mass


@compiled
def purchases_if_alive(R, A, a, B, t):
    """Expected purchases in the next t of a customer alive now."""
    if t <= 0.0:
        return 0.0
    purchases = _purchases_by_series(R, A, a, B, t)
    return purchases if purchases == purchases else purchases_by_integral(R, A, a, B, t)


@compiled
def fill_purchases(start, stop, x, T, r, alpha, a, b, start_of_window, end_of_window, out):
    """Expected purchases in (T + start, T + end] by row, alive at T; b is B of a customer with x = 0."""
    for i in range(start, stop):
        R, A, B = r + x[i], alpha + T[i], b + x[i]
        out[i] = purchases_if_alive(R, A, a, B, end_of_window)
        if start_of_window > 0.0:
            # of a window so short that rounding is all that is left
            out[i] = max(0.0, out[i] - purchases_if_alive(R, A, a, B, start_of_window))


@compiled
def fill_discounted(start, stop, x, T, r, alpha, a, b, horizon, rate, nodes, weights, out):
    """Discounted purchases in (T, T + horizon] by row, alive at T: e^(-dh) E(h) + d int_0^h e^(-du) E(u) du.

    Gauss-Legendre in v = ln(1 + u / A), in panels short beside both the discounting and the history.
    """
    for i in range(start, stop):
        R, A, B = r + x[i], alpha + T[i], b + x[i]
        end = min(horizon, 60.0 / rate)
        v_end = math.log1p(end / A)
        panels = 1 + int(v_end) + int(math.sqrt(rate * end))
        width = v_end / panels
        integral = 0.0
        for panel in range(panels):
            for node in range(nodes.size):
                v = width * (panel + nodes[node])
                u = A * math.expm1(v)
                value = purchases_if_alive(R, A, a, B, u)
                integral += weights[node] * math.exp(v - rate * u) * value
        out[i] = math.exp(-rate * end) * purchases_if_alive(R, A, a, B, end) + rate * A * width * integral


@compiled
def fill_pmf(start, stop, x, T, r, alpha, a, b, t, out):
    """P(n purchases in the next t) by row and n, alive at T (Fader, Hardie and Lee 2005, eq. 8)."""
    for i in range(start, stop):
        R, A, B = r + x[i], alpha + T[i], b + x[i]
        log_z = math.log(t / (A + t)) if t > 0 else -math.inf
        log_count = -R * math.log1p(t / A)
        survived, fewer = 1.0, math.exp(log_count)
        out[i, 0] = fewer
        for n in range(1, out.shape[1]):
            last_survived = survived
            survived *= (B + n - 1.0) / (a + B + n - 1.0)
            log_count += math.log((R + n - 1.0) / n) + log_z
            count = math.exp(log_count)
            out[i, n] = survived * count + last_survived * a / (a + B + n - 1.0) * max(0.0, 1.0 - fewer)
            fewer += count
