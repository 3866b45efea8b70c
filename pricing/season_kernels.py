"""Backward induction, valuation and simulation of priced seasons, compiled; `stochastic` says what they mean.

An item's numbers are its own, so items run in parallel and the answer is the same at any number of threads.
"""

import numba
import numpy as np

_NEGLIGIBLE = 1e-15
_GOLDEN = 0.6180339887498949
_GRID = 48


@numba.njit(cache=True, inline="always")
def _at_zero(mean, overdispersion):
    """Size and share of the recursion over counts (size 0 is Poisson), and the log probability of no demand."""
    if overdispersion > 0.0:
        size = 1.0 / overdispersion
        return size, mean / (mean + size), -size * np.log1p(mean / size)
    return 0.0, mean, -mean


@numba.njit(cache=True)
def _probabilities(mean, overdispersion, pmf):
    """Fill P(D = k) for k below the array's length; return the first and last k that matter, -1 where none does."""
    first, last = -1, -1
    if mean <= 0.0:
        pmf[:] = 0.0
        pmf[0] = 1.0
        return 0, 0
    size, share, log_p = _at_zero(mean, overdispersion)
    for k in range(len(pmf)):
        if k > 0:
            ratio = share * (size + k - 1.0) / k if overdispersion > 0.0 else share / k
            log_p += np.log(ratio)
        pmf[k] = np.exp(log_p)
        if pmf[k] > _NEGLIGIBLE:
            if first < 0:
                first = k
            last = k
        elif first >= 0 and k > mean:
            pmf[k:] = 0.0
            break
    return first, last


@numba.njit(cache=True)
def _expectations(pmf, first, last, worth, next_value, out):
    """Expected worth for every stock: what is sold at ``worth``, and what the rest brings later."""
    below = 0.0
    for n in range(len(out)):
        if n > 0:
            below += pmf[n - 1]
        total = 0.0
        if first >= 0:
            for k in range(first, min(last, n - 1) + 1):
                total += pmf[k] * (worth * k + next_value[n - k])
        out[n] = total + max(1.0 - below, 0.0) * (worth * n + next_value[0])


@numba.njit(cache=True)
def _maximise(demand, worth, salvage, may_change, overdispersion, markdown_only, value, rung):
    weeks, rungs = demand.shape
    states = value.shape[1]
    pmf = np.zeros(states)
    expected = np.empty((rungs, states))
    next_value = np.empty(states)
    for n in range(states):
        for r in range(rungs):
            value[weeks, n, r] = salvage * n
    for week in range(weeks - 1, -1, -1):
        for r in range(rungs):
            for n in range(states):
                next_value[n] = value[week + 1, n, r]
            first, last = _probabilities(demand[week, r], overdispersion, pmf)
            _expectations(pmf, first, last, worth[r], next_value, expected[r])
        for n in range(states):
            if not may_change[week]:
                for r in range(rungs):
                    value[week, n, r] = expected[r, n]
                    rung[week, n, r] = r
                continue
            best = rungs - 1
            for r in range(rungs - 1, -1, -1):
                # of equals the dearest; a hair is rounding, not worth
                if expected[r, n] >= expected[best, n] - 1e-12 * abs(expected[best, n]):
                    best = r
                value[week, n, r] = expected[best, n]
                rung[week, n, r] = best
            if not markdown_only:
                for r in range(rungs):
                    value[week, n, r] = expected[best, n]
                    rung[week, n, r] = best


@numba.njit(cache=True, parallel=True)
def maximise_items(demand, worth, salvage, may_change, overdispersion, markdown_only, value, rung):
    """Fill the value and the rung to set of each item, week, stock and standing rung."""
    for i in numba.prange(len(demand)):
        _maximise(demand[i], worth[i], salvage[i], may_change[i], overdispersion[i], markdown_only, value[i], rung[i])


@numba.njit(cache=True)
def _evaluate(demand, worth, salvage, overdispersion, stock, start, rung):
    weeks, rungs = demand.shape
    states = stock + 1
    pmf = np.zeros(states)
    expected = np.empty((rungs, states))
    value = np.empty((rungs, states))
    for n in range(states):
        for r in range(rungs):
            value[r, n] = salvage * n
    for week in range(weeks - 1, -1, -1):
        for r in range(rungs):
            first, last = _probabilities(demand[week, r], overdispersion, pmf)
            _expectations(pmf, first, last, worth[r], value[r], expected[r])
        for n in range(states):
            for r in range(rungs):
                value[r, n] = expected[rung[week, n, r], n]
    return value[start, stock]


@numba.njit(cache=True, parallel=True)
def evaluate_items(demand, worth, salvage, overdispersion, stock, start, rung):
    """Return the expected worth of each item under given rungs."""
    out = np.empty(len(demand))
    for i in numba.prange(len(demand)):
        out[i] = _evaluate(demand[i], worth[i], salvage[i], overdispersion[i], stock[i], start[i], rung[i])
    return out


@numba.njit(cache=True)
def _sales(mean, overdispersion, luck, on_hand):
    """Units sold: the quantile of demand at ``luck``, or all."""
    if mean <= 0.0:
        return 0
    size, share, log_p = _at_zero(mean, overdispersion)
    below = np.exp(log_p)
    k = 0
    while below < luck and k < on_hand:
        k += 1
        ratio = share * (size + k - 1.0) / k if overdispersion > 0.0 else share / k
        log_p += np.log(ratio)
        below += np.exp(log_p)
    return k


@numba.njit(cache=True)
def poisson_quantiles(luck, mean, out):
    """Fill the smallest counts whose distribution functions reach ``luck``; for means below a few hundred."""
    for i in range(len(mean)):
        chance = np.exp(-mean[i])
        below = chance
        k = 0
        # the tail beyond rounding is nobody's
        while below < luck[i] and chance > 0.0:
            k += 1
            chance *= mean[i] / k
            below += chance
        out[i] = k


@numba.njit(cache=True, parallel=True)
def simulate_items(demand, worth, salvage, overdispersion, stock, start, rung, luck, out_worth, out_sold, out_rung):
    """Sell every season of every item under given rungs."""
    for i in numba.prange(len(demand)):
        for s in range(luck.shape[1]):
            left, stands, money = stock[i], start[i], 0.0
            for week in range(demand.shape[1]):
                if left > 0:
                    stands = rung[i, week, left, stands]
                    sold = _sales(demand[i, week, stands], overdispersion[i], luck[i, s, week], left)
                    left -= sold
                    money += worth[i, stands] * sold
                out_rung[i, s, week] = stands
            out_worth[i, s] = money + salvage[i] * left
            out_sold[i, s] = stock[i] - left


@numba.njit(cache=True, parallel=True)
def learn_items(
    demand, worth, salvage, may_change, overdispersion, markdown_only, level_error, levels, true_demand,
    true_overdispersion, stock, start, luck, out_worth, out_sold, out_rung,
):  # fmt: skip
    """Sell every season with the policy of the level believed each week, learnt from what was sold before."""
    for i in numba.prange(len(demand)):
        weeks, rungs = demand.shape[1], demand.shape[2]
        value = np.empty((weeks + 1, stock[i] + 1, rungs))
        rung = np.zeros((len(levels), weeks, stock[i] + 1, rungs), np.int8)
        unit = int(np.argmin(np.abs(levels - 1.0)))
        for j in range(len(levels)):
            if level_error[i] > 0.0 or j == unit:
                _maximise(
                    demand[i] * levels[j], worth[i], salvage[i], may_change[i], overdispersion[i], markdown_only,
                    value, rung[j],
                )  # fmt: skip
        known = 1.0 / np.expm1(level_error[i] ** 2) if level_error[i] > 0.0 else np.inf
        spacing = np.log(levels[1] / levels[0])
        for s in range(luck.shape[1]):
            left, stands, money = stock[i], start[i], 0.0
            seen, expected = 0.0, 0.0
            for week in range(weeks):
                if left > 0:
                    level = 1.0 if np.isinf(known) else (known + seen) / (known + expected)
                    at = int(np.round(np.log(level / levels[0]) / spacing))
                    stands = rung[min(max(at, 0), len(levels) - 1), week, left, stands]
                    sold = _sales(true_demand[i, week, stands], true_overdispersion[i], luck[i, s, week], left)
                    mean = demand[i, week, stands]
                    weight = 1.0 / (1.0 + overdispersion[i] * level * mean)
                    seen += weight * sold
                    expected += weight * mean
                    left -= sold
                    money += worth[i, stands] * sold
                out_rung[i, s, week] = stands
            out_worth[i, s] = money + salvage[i] * left
            out_sold[i, s] = stock[i] - left


@numba.njit(cache=True)
def _units(base, response, is_elasticity, reference, price):
    if is_elasticity:
        return base * (price / reference) ** response
    return base * np.exp(response * (price - reference))


@numba.njit(cache=True)
def _worth_at(mean, price, overdispersion, next_value, n, pmf):
    first, last = _probabilities(mean, overdispersion, pmf)
    below, total = 0.0, 0.0
    if first >= 0:
        for k in range(first, min(last, n - 1) + 1):
            below += pmf[k]
            total += pmf[k] * (price * k + next_value[n - k])
    return total + max(1.0 - below, 0.0) * (price * n + next_value[0])


@numba.njit(cache=True)
def best_price(base, response, is_elasticity, reference, low, high, overdispersion, next_value, value, price):
    """Fill a week's best price and value for each stock: a grid in the price's logarithm, then golden section."""
    value[0] = next_value[0]
    step = np.log(high / low) / _GRID
    for n in range(1, len(value)):
        pmf = np.zeros(n + 1)
        best, best_worth = 0, -np.inf
        for g in range(_GRID + 1):
            at = low * np.exp(step * g)
            worth = _worth_at(
                _units(base, response, is_elasticity, reference, at), at, overdispersion, next_value, n, pmf
            )
            if worth > best_worth:
                best, best_worth = g, worth
        left, right = low * np.exp(step * max(best - 1, 0)), low * np.exp(step * min(best + 1, _GRID))
        inner, outer = right - _GOLDEN * (right - left), left + _GOLDEN * (right - left)
        at_inner = _worth_at(
            _units(base, response, is_elasticity, reference, inner), inner, overdispersion, next_value, n, pmf
        )
        at_outer = _worth_at(
            _units(base, response, is_elasticity, reference, outer), outer, overdispersion, next_value, n, pmf
        )
        while right - left > 1e-9 * right:
            if at_inner >= at_outer:
                right, outer, at_outer = outer, inner, at_inner
                inner = right - _GOLDEN * (right - left)
                at_inner = _worth_at(
                    _units(base, response, is_elasticity, reference, inner), inner, overdispersion, next_value, n, pmf
                )
            else:
                left, inner, at_inner = inner, outer, at_outer
                outer = left + _GOLDEN * (right - left)
                at_outer = _worth_at(
                    _units(base, response, is_elasticity, reference, outer), outer, overdispersion, next_value, n, pmf
                )
        price[n] = 0.5 * (left + right)
        value[n] = max(
            best_worth,
            _worth_at(
                _units(base, response, is_elasticity, reference, price[n]), price[n], overdispersion, next_value, n, pmf
            ),
        )
