"""Offers under several budgets and limited stock: the linear programme solved to its certified optimum.

Prices of the budgets and of the offers' stock decide every customer but a few: those whose best and second-best
option are nearly equal. The programme over this core is solved exactly, its prices are tried on all customers, and
whoever disagrees joins the core. When the dual value on all customers equals the primal value, no choice anywhere can
do better (Dantzig & Wolfe 1960; the core idea is Balas & Zemel's, 1980).
"""

from dataclasses import dataclass

import numba
import numpy as np

from .solver_output import without_solver_output

_CHUNK = 1 << 15
_CORE = 3000
_MILP_ROWS = 400
_CUTS = 80


@dataclass(frozen=True)
class Coupled:
    """The answer under several limits.

    ``choice`` (n,) is an offer's index or -1; ``bound`` is the linear programme's optimum; ``budget_prices`` (m,) and
    ``stock_prices`` (k,) are the worth of one more unit of each.
    """

    choice: np.ndarray
    value: float
    bound: float
    budget_prices: np.ndarray
    stock_prices: np.ndarray


@dataclass(frozen=True)
class _Priced:
    prices: np.ndarray
    choice: np.ndarray
    margin: np.ndarray
    dual: float


class Infeasible(ValueError):
    """No choice keeps within all limits; ``limits`` says which cannot be met together."""

    def __init__(self, limits: list[str]) -> None:
        super().__init__(", ".join(limits))
        self.limits = limits


def solve(value: np.ndarray, costs: np.ndarray, budgets: np.ndarray, stock: np.ndarray) -> Coupled:
    """Choose at most one offer per customer for the largest total value within all limits.

    Parameters
    ----------
    value : ndarray of shape (n, k)
        Worth of each offer for each customer; ``-inf`` where it may not be made.
    costs : ndarray of shape (m, n, k)
        What each choice takes from each budget; may be negative.
    budgets : ndarray of shape (m,)
        The most that may be spent of each.
    stock : ndarray of shape (k,)
        How many customers may get each offer; ``inf`` where there is no limit.

    Raises
    ------
    Infeasible
        Where no choice keeps within all limits.

    Examples
    --------
    >>> import numpy as np
    >>> value, costs = np.array([[3.0, 5.0], [2.0, 4.5]]), np.ones((1, 2, 2))
    >>> solve(value, costs, np.array([2.0]), np.array([np.inf, 1.0])).choice.tolist()
    [0, 1]
    """
    n, m = len(value), len(budgets)
    limits = np.concatenate([budgets, stock])
    best = _near_optimal_prices(value, costs, limits)
    size = _CORE
    while True:
        core = _closest(best.margin, size)
        outer = best.choice
        held = outer.copy()
        held[core] = -1
        held_value, used = _use(value, costs, held)
        shares, core_value, prices, slack = _core_programme(value[core], costs[:, core], limits - used)
        primal = held_value + core_value
        if not slack.any():
            tried = _price(value, costs, limits, prices)
            best = tried if tried.dual < best.dual else best
            if best.dual - primal <= 1e-10 * max(1.0, abs(primal)):
                break
        if len(core) == n:
            break
        size = min(2 * size, n)
    if slack.any():
        names = [f"budget {r}" if r < m else f"stock of offer {r - m}" for r in np.flatnonzero(slack)]
        raise Infeasible(names)
    choice = _whole_numbers(value, costs, limits, core, outer, shares)
    total, _ = _use(value, costs, choice)
    return Coupled(choice, total, max(best.dual, total), best.prices[:m], best.prices[m:])


def _near_optimal_prices(value: np.ndarray, costs: np.ndarray, limits: np.ndarray) -> _Priced:
    """Minimise the dual, convex and piecewise linear in a handful of prices, by cutting planes in a moving box.

    One pass over the customers gives the dual value and its slope; the box grows after a good step and shrinks after
    a poor one.
    """
    from scipy.optimize import linprog

    n = len(value)
    sample = np.arange(n) if n <= _CORE else np.sort(np.random.default_rng(0).choice(n, _CORE, replace=False))
    prices = _core_programme(value[sample], costs[:, sample], limits * (len(sample) / n))[2]
    if n <= _CORE:
        return _price(value, costs, limits, prices)
    finite = np.flatnonzero(np.isfinite(limits))
    best = _price(value, costs, limits, prices)
    cuts: list[np.ndarray] = []
    heights: list[float] = []
    radius = 0.1 * np.maximum(prices[finite], prices[finite].max(initial=0.0) * 0.1 + 1e-9)
    latest = best
    for _ in range(_CUTS):
        slope = (limits - _use(value, costs, latest.choice)[1])[finite]
        cuts.append(np.append(slope, -1.0))
        heights.append(float(slope @ latest.prices[finite] - latest.dual))
        centre = best.prices[finite]
        model = linprog(
            np.append(np.zeros(len(finite)), 1.0),
            A_ub=np.array(cuts),
            b_ub=np.array(heights),
            bounds=[*zip(np.maximum(centre - radius, 0.0), centre + radius, strict=True), (None, None)],
            method="highs-ds",
        )
        if model.x is None or best.dual - model.x[-1] <= 1e-9 * max(1.0, abs(best.dual)):
            break
        prices = np.zeros(len(limits))
        prices[finite] = model.x[:-1]
        latest = _price(value, costs, limits, prices)
        radius = radius * 1.5 if latest.dual < best.dual - 0.3 * (best.dual - model.x[-1]) else radius * 0.6
        best = latest if latest.dual < best.dual else best
    return best


def _closest(margin: np.ndarray, size: int) -> np.ndarray:
    if size >= len(margin):
        return np.arange(len(margin))
    return np.sort(np.argpartition(margin, size)[:size])


def _rows(value: np.ndarray, costs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, offer and consumption (limits x columns) of every allowed pair."""
    row, offer = np.nonzero(value > -np.inf)
    k, m = value.shape[1], costs.shape[0]
    used = np.zeros((m + k, len(row)))
    used[:m] = costs[:, row, offer]
    used[m + offer, np.arange(len(row))] = 1.0
    return row, offer, used


def _core_programme(
    value: np.ndarray, costs: np.ndarray, limits: np.ndarray
) -> tuple[np.ndarray, float, np.ndarray, np.ndarray]:
    """Solve the linear programme; returns shares (n, k), its value, the limits' prices and where it fell short."""
    from scipy import sparse
    from scipy.optimize import linprog

    n, k = value.shape
    row, offer, used = _rows(value, costs)
    worth = value[row, offer]
    finite = np.flatnonzero(np.isfinite(limits))
    scale = np.maximum(np.abs(used[finite]).max(axis=1, initial=0.0), 1e-12)
    # a penalty no honest price can reach; duals stay finite where a limit cannot be met
    penalty = 1e6 * max(1.0, float(np.abs(worth).max(initial=0.0)))
    one_each = sparse.csr_array((np.ones(len(row)), (row, np.arange(len(row)))), shape=(n, len(row)))
    matrix = sparse.vstack(
        [
            sparse.hstack([one_each, sparse.csr_array((n, len(finite)))]),
            sparse.hstack([sparse.csr_array(used[finite] / scale[:, None]), -sparse.eye_array(len(finite))]),
        ]
    ).tocsr()
    tight = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    # once in thousands of programmes the simplex gives up where numbers of all sizes meet; another way then goes on
    for method, options in (("highs-ds" if len(row) < 50_000 else "highs", tight), ("highs-ipm", tight), ("highs", {})):
        answer = linprog(
            np.concatenate([-worth, np.full(len(finite), penalty)]),
            A_ub=matrix,
            b_ub=np.concatenate([np.ones(n), limits[finite] / scale]),
            bounds=(0, None),
            method=method,
            options=options,
        )
        if answer.x is not None:
            break
    else:
        raise Infeasible(["the limits, by any of the solvers"])
    shares = np.zeros((n, k))
    shares[row, offer] = answer.x[: len(row)]
    short = np.zeros(len(limits), np.bool_)
    short[finite] = answer.x[len(row) :] > 1e-7
    prices = np.zeros(len(limits))
    prices[finite] = np.maximum(-answer.ineqlin.marginals[n:], 0.0) / scale
    return shares, float(worth @ answer.x[: len(row)]), prices, short


def _whole_numbers(
    value: np.ndarray,
    costs: np.ndarray,
    limits: np.ndarray,
    core: np.ndarray,
    outer: np.ndarray,
    shares: np.ndarray,
) -> np.ndarray:
    """Turn the programme's shares into choices by a small integer programme over the customers it splits."""
    choice = outer.astype(np.int64).copy()
    rounded = np.where(shares.max(axis=1) > 0.5, shares.argmax(axis=1), -1)
    choice[core] = rounded
    undecided = np.abs(shares - np.round(shares)).max(axis=1)
    none_left = 1.0 - shares.sum(axis=1)
    undecided = np.maximum(undecided, np.abs(none_left - np.round(none_left)))
    split = int((undecided > 1e-9).sum())
    total = _use(value, costs, choice)[0]
    size = min(len(core), max(_MILP_ROWS, 4 * split))
    while True:
        order = np.argsort(-undecided, kind="stable")[:size]
        loose = np.sort(core[order])
        held = choice.copy()
        held[loose] = -1
        _, used = _use(value, costs, held)
        found = _integer_programme(value[loose], costs[:, loose], limits - used, 1e-8 * abs(total))
        if found is not None:
            choice[loose] = found
            return choice
        if size >= len(core):
            raise Infeasible(["all limits together, in whole customers"])
        size = min(len(core), 4 * size)


def _integer_programme(value: np.ndarray, costs: np.ndarray, limits: np.ndarray, tolerance: float) -> np.ndarray | None:
    from scipy import sparse
    from scipy.optimize import Bounds, LinearConstraint, milp

    n = len(value)
    row, offer, used = _rows(value, costs)
    finite = np.flatnonzero(np.isfinite(limits))
    if not len(row):  # nothing may be offered to these customers
        return np.full(n, -1) if np.all(limits >= -1e-9) else None
    one_each = sparse.csr_array((np.ones(len(row)), (row, np.arange(len(row)))), shape=(n, len(row)))
    matrix = sparse.vstack([one_each, sparse.csr_array(used[finite])]).tocsr()
    most = np.concatenate([np.ones(n), limits[finite] - 1e-9 * np.maximum(1.0, np.abs(limits[finite]))])
    # a limit on nodes, not on seconds: the same answer on a slow machine and a fast one
    with without_solver_output():
        answer = milp(
            -value[row, offer],
            constraints=LinearConstraint(matrix, ub=most),  # pyright: ignore[reportArgumentType]  (arrays are allowed)
            integrality=np.ones(len(row)),
            bounds=Bounds(0, 1),
            options={
                "node_limit": 300,
                "mip_rel_gap": max(1e-7, tolerance / max(float(np.maximum(value.max(axis=1), 0).sum()), 1e-12)),
            },
        )
    if answer.x is None:
        return None
    choice = np.full(n, -1)
    taken = answer.x > 0.5
    choice[row[taken]] = offer[taken]
    _, spent = _use(value, costs, choice)
    return choice if np.all(spent[finite] <= limits[finite] + 1e-9 * np.maximum(1.0, np.abs(limits[finite]))) else None


def _use(value: np.ndarray, costs: np.ndarray, choice: np.ndarray) -> tuple[float, np.ndarray]:
    """Total value, and what a choice takes of each limit (budgets first, then stock)."""
    k = value.shape[1]
    rows = np.flatnonzero(choice >= 0)
    offers = choice[rows]
    used = np.concatenate([costs[:, rows, offers].sum(axis=1), np.bincount(offers, minlength=k).astype(float)])
    return float(value[rows, offers].sum()), used


def _price(value: np.ndarray, costs: np.ndarray, limits: np.ndarray, prices: np.ndarray) -> _Priced:
    n, _ = value.shape
    m = len(costs)
    choice, margin = np.empty(n, np.int64), np.empty(n)
    sums = np.zeros(-(-n // _CHUNK))
    _price_kernel(value, costs, prices[:m], prices[m:], choice, margin, sums)
    finite = np.isfinite(limits)
    return _Priced(prices, choice, margin, float(sums.sum() + prices[finite] @ limits[finite]))


@numba.njit(cache=True, parallel=True)
def _price_kernel(value, costs, budget_prices, stock_prices, choice, margin, sums):
    n, k = value.shape
    m = costs.shape[0]
    for chunk in numba.prange(sums.size):
        total = 0.0
        for row in range(chunk * _CHUNK, min((chunk + 1) * _CHUNK, n)):
            best, first, second = -1, 0.0, -np.inf
            for j in range(k):
                if value[row, j] == -np.inf:
                    continue
                net = value[row, j] - stock_prices[j]
                for r in range(m):
                    net -= budget_prices[r] * costs[r, row, j]
                if net > first:
                    best, first, second = j, net, first
                elif net > second:
                    second = net
            choice[row] = best
            margin[row] = first - second
            total += first
        sums[chunk] = total
