"""One offer at most per customer under one budget: the linear programme solved exactly, in a few passes over the data.

For a price ``m`` of one unit of budget each customer takes the offer with the largest ``value - m * cost``, or none.
Spend falls as ``m`` rises. The price at which it crosses the budget is bracketed on a sample, then on all rows; what
remains inside the bracket is sorted once. At most one customer is split by the linear programme, so the whole-number
answer is within one customer's step of the bound (Sinha & Zoltners 1979, The Multiple-Choice Knapsack Problem).
"""

from dataclasses import dataclass

import numba
import numpy as np

_CHUNK = 1 << 16
_SAMPLE = 1 << 17
_FEW = 1 << 15
_MOST_PASSES = 60


@dataclass(frozen=True)
class Knapsack:
    """The answer under one budget.

    ``choice`` (n,) is an offer's index or -1; ``value`` and ``spend`` are its totals; ``bound`` is the optimum of the
    linear programme, which no choice can exceed; ``multiplier`` is the worth of one more unit of budget.
    """

    choice: np.ndarray
    value: float
    spend: float
    bound: float
    multiplier: float


def solve(value: np.ndarray, cost: np.ndarray, budget: float) -> Knapsack:
    """Choose at most one offer per customer for the largest total value within one budget.

    Parameters
    ----------
    value, cost : ndarray of shape (n, k)
        Worth and cost of each offer for each customer; ``value`` is ``-inf`` where an offer may not be made. Costs
        may be negative: such an offer pays for others.
    budget : float
        The most that may be spent in all.

    Raises
    ------
    ValueError
        Where even the cheapest choice spends more than the budget; the text gives the least possible spend.

    Examples
    --------
    >>> import numpy as np
    >>> answer = solve(np.array([[3.0, 5.0], [2.0, 2.5]]), np.array([[1.0, 2.0], [1.0, 2.0]]), 3.0)
    >>> answer.choice.tolist(), answer.value, answer.multiplier
    ([1, 0], 7.0, 0.5)
    """
    free = _pick(value, cost, 0.0, False)
    if free[2] <= budget:
        return Knapsack(free[0], free[1], free[2], free[1], 0.0)
    least = _pick_cheapest(value, cost)
    if least[2] > budget:
        raise ValueError(f"budget {budget:g} cannot be met: the least that can be spent is {least[2]:g}")
    low, high, at_high = _bracket(value, cost, budget, least)
    return _finish(value, cost, budget, low, high, at_high)


_Picked = tuple[np.ndarray, float, float]


def _bracket(value: np.ndarray, cost: np.ndarray, budget: float, least: _Picked) -> tuple[float, float, _Picked]:
    """Narrow [low, high] with spend(low) > budget >= spend(high); high may be inf."""
    low, high, at_high = 0.0, np.inf, least
    guess = _guess(value, cost, budget)
    picked_low: np.ndarray | None = None
    step = 1e-3
    for _ in range(_MOST_PASSES):
        picked = _pick(value, cost, guess, False)
        if picked[2] > budget:
            low, picked_low = guess, picked[0]
        else:
            high, at_high = guess, picked
        if picked_low is not None and int(np.count_nonzero(picked_low != at_high[0])) <= _FEW:
            break
        if low > 0 and np.isfinite(high):
            guess = 0.5 * (low + high)
            if not low < guess < high:
                break
        elif np.isfinite(high):
            guess, step = high * max(1.0 - step, 0.25), step * 8
            if guess < 1e-300:
                break
        else:
            guess, step = guess * min(1.0 + step, 16.0), step * 8
            if not np.isfinite(guess):
                break
    return low, high, at_high


def _guess(value: np.ndarray, cost: np.ndarray, budget: float) -> float:
    n = len(value)
    if n <= 2 * _SAMPLE:
        ratios = value[(cost > 0) & (value > 0)] / cost[(cost > 0) & (value > 0)]
        return float(np.median(ratios)) if ratios.size else 1.0
    rows = np.sort(np.random.default_rng(0).choice(n, _SAMPLE, replace=False))
    try:
        guess = solve(value[rows], cost[rows], budget * _SAMPLE / n).multiplier
    except ValueError:
        guess = 0.0
    return guess if guess > 0 else 1e-6


def _finish(value: np.ndarray, cost: np.ndarray, budget: float, low: float, high: float, at_high: _Picked) -> Knapsack:
    """Walk down from the price ``high``, taking the steps in the order of their worth per unit of budget."""
    choice = at_high[0].copy()
    rows = np.flatnonzero(_pick(value, cost, low, True)[0] != choice)
    prices, owners, targets = _upgrade_steps(value, cost, choice, rows, low, high)
    order = np.lexsort((np.arange(prices.size), -prices))
    bound, multiplier = _walk(
        value, cost, budget, choice, at_high[1], at_high[2], prices[order], owners[order], targets[order]
    )
    value_now, cost_now = _totals(value, cost, choice)
    return Knapsack(choice, value_now, cost_now, max(float(bound), value_now), float(multiplier))


@numba.njit(cache=True)
def _walk(value, cost, budget, choice, total_value, total_cost, prices, owners, targets):
    bound, multiplier = np.nan, 0.0
    stopped = np.zeros(len(value), np.bool_)
    for position in range(prices.size):
        row, offer = owners[position], targets[position]
        if stopped[row]:
            continue
        held = choice[row]
        step_cost = (cost[row, offer] if offer >= 0 else 0.0) - (cost[row, held] if held >= 0 else 0.0)
        step_value = (value[row, offer] if offer >= 0 else 0.0) - (value[row, held] if held >= 0 else 0.0)
        if total_cost + step_cost > budget:
            if np.isnan(bound):
                multiplier = prices[position]
                bound = total_value + multiplier * (budget - total_cost)
            stopped[row] = True
            continue
        choice[row] = offer
        total_cost += step_cost
        total_value += step_value
    return (total_value if np.isnan(bound) else bound), multiplier


@numba.njit(cache=True)
def _upgrade_steps(value, cost, choice, rows, low, high):
    k = value.shape[1]
    prices = np.empty(rows.size * k)
    owners = np.empty(rows.size * k, np.int64)
    targets = np.empty(rows.size * k, np.int64)
    count = 0
    for row in rows:
        held = choice[row]
        price = high
        for _ in range(k):
            held_value = value[row, held] if held >= 0 else 0.0
            held_cost = cost[row, held] if held >= 0 else 0.0
            best, best_price = -2, -np.inf
            best_cost = 0.0
            for j in range(-1, k):
                option_value = value[row, j] if j >= 0 else 0.0
                option_cost = cost[row, j] if j >= 0 else 0.0
                if option_cost > held_cost and option_value > held_value:
                    at = (option_value - held_value) / (option_cost - held_cost)
                    if at > best_price or (at == best_price and option_cost > best_cost):
                        best, best_price, best_cost = j, at, option_cost
            if best == -2 or best_price < low:
                break
            prices[count] = min(best_price, price)
            owners[count] = row
            targets[count] = best
            count += 1
            held, price = best, min(best_price, price)
    return prices[:count], owners[:count], targets[:count]


def _pick(value: np.ndarray, cost: np.ndarray, price: float, dear: bool) -> _Picked:
    choice = np.empty(len(value), np.int16)
    chunks = -(-len(value) // _CHUNK)
    sums = np.zeros((chunks, 2))
    _pick_kernel(value, cost, price, dear, choice, sums)
    return choice, float(sums[:, 0].sum()), float(sums[:, 1].sum())


def _pick_cheapest(value: np.ndarray, cost: np.ndarray) -> _Picked:
    choice = np.empty(len(value), np.int16)
    sums = np.zeros((-(-len(value) // _CHUNK), 2))
    _cheapest_kernel(value, cost, choice, sums)
    return choice, float(sums[:, 0].sum()), float(sums[:, 1].sum())


def _totals(value: np.ndarray, cost: np.ndarray, choice: np.ndarray) -> tuple[float, float]:
    rows = np.flatnonzero(choice >= 0)
    return float(value[rows, choice[rows]].sum()), float(cost[rows, choice[rows]].sum())


# Each chunk's sums are its own and are added in order: the same answer at any number of threads.
@numba.njit(cache=True, parallel=True)
def _pick_kernel(value, cost, price, dear, choice, sums):
    n, k = value.shape
    for chunk in numba.prange(sums.shape[0]):
        total_value = 0.0
        total_cost = 0.0
        for row in range(chunk * _CHUNK, min((chunk + 1) * _CHUNK, n)):
            best, best_net, best_cost, best_value = -1, 0.0, 0.0, 0.0
            for j in range(k):
                if value[row, j] == -np.inf:
                    continue
                net = value[row, j] - price * cost[row, j]
                tie = net == best_net and (cost[row, j] > best_cost if dear else cost[row, j] < best_cost)
                if net > best_net or tie:
                    best, best_net, best_cost, best_value = j, net, cost[row, j], value[row, j]
            choice[row] = best
            total_value += best_value
            total_cost += best_cost
        sums[chunk, 0] = total_value
        sums[chunk, 1] = total_cost


@numba.njit(cache=True, parallel=True)
def _cheapest_kernel(value, cost, choice, sums):
    n, k = value.shape
    for chunk in numba.prange(sums.shape[0]):
        total_value = 0.0
        total_cost = 0.0
        for row in range(chunk * _CHUNK, min((chunk + 1) * _CHUNK, n)):
            best, best_cost, best_value = -1, 0.0, 0.0
            for j in range(k):
                if value[row, j] == -np.inf:
                    continue
                better = cost[row, j] < best_cost or (cost[row, j] == best_cost and value[row, j] > best_value)
                if better:
                    best, best_cost, best_value = j, cost[row, j], value[row, j]
            choice[row] = best
            total_value += best_value
            total_cost += best_cost
        sums[chunk, 0] = total_value
        sums[chunk, 1] = total_cost
