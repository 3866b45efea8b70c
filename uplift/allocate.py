"""Which offer for whom, within budgets and stock, with a certificate of how good the answer is."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..sql.errors import ModelError
from .arguments import share, whole_number


class AllocationError(ModelError):
    """The limits cannot be met, or the values and costs are not usable.

    Examples
    --------
    >>> allocate(np.ones(2), np.ones(3))
    Traceback (most recent call last):
    regulars.uplift.allocate.AllocationError: value has shape (2,) and cost (3,); ...
    """


@dataclass(frozen=True)
class Allocation:
    """One offer at most for each of n customers, out of k offers, under m budgets.

    Attributes
    ----------
    choice : ndarray of shape (n,), int
        Index of the offer, -1 for none.
    value : float
        Total of ``value`` over the choices, exploration included.
    spend : float or ndarray of shape (m,)
        Total cost of the choices; a float where one budget (or none) was given.
    bound : float
        No choice within the limits is worth more: the optimum of the linear programme, exploration's part included.
    gap : float
        ``(bound - value) / max(1, |bound|)``.
    shadow_price : float or ndarray of shape (m,)
        Worth of one more unit of each budget.
    stock_price : ndarray of shape (k,)
        Worth of one more piece of each offer; 0 where its stock is not used up.
    contact_price : float
        Worth of being allowed one more contact.
    used : ndarray of shape (k,), int
        How many customers get each offer.
    explored : ndarray of shape (n,), bool
        Customers whose choice was drawn at random.
    propensity : ndarray of shape (n,)
        Probability with which the choice was made: what a later read-out divides by.

    Examples
    --------
    >>> plan = allocate(np.array([3.0, 2.0]), np.array([1.0, 1.0]), budget=1.0)
    >>> plan.choice.tolist(), plan.value, plan.used.tolist()
    ([0, -1], 3.0, [1])
    """

    choice: np.ndarray = field(repr=False)
    value: float
    spend: float | np.ndarray
    bound: float
    gap: float
    shadow_price: float | np.ndarray
    stock_price: np.ndarray
    contact_price: float
    used: np.ndarray
    explored: np.ndarray = field(repr=False)
    propensity: np.ndarray = field(repr=False)


def allocate(
    value: np.ndarray,
    cost: np.ndarray,
    budget: float | Sequence[float] | None = None,
    *,
    stock: Sequence[float] | None = None,
    eligible: np.ndarray | None = None,
    max_contacts: int | None = None,
    recent_contacts: np.ndarray | None = None,
    frequency_cap: int | None = None,
    fatigue: float = 0.0,
    exploration: float = 0.0,
    seed: int = 0,
) -> Allocation:
    """Choose at most one offer per customer so that the total value is largest within all limits.

    Parameters
    ----------
    value : ndarray of shape (n, k) or (n,)
        What each offer is worth to the shop for each customer, already net of what it costs: expected incremental
        profit. An offer with a value at or below zero is made only where it pays for others (a negative cost).
    cost : ndarray of shape (n, k), (n,) or (m, n, k)
        What each choice takes from the budget, or from each of m budgets; expected cost where it depends on
        redemption. It may be negative: a self-funding offer.
    budget : float or sequence of m floats, optional
        The most that may be spent; None is no limit.
    stock : sequence of k floats, optional
        How many customers may get each offer; ``inf`` is no limit.
    eligible : ndarray of shape (n, k) or (n,), bool or 0/1, optional
        Who may get what; all where not given.
    max_contacts : int, optional
        How many customers may get any offer.
    recent_contacts : ndarray of shape (n,), int, optional
        Contacts that each customer had lately.
    frequency_cap : int, optional
        Customers with that many recent contacts get none.
    fatigue : float
        Share of an offer's value that each recent contact takes away, in [0, 1).
    exploration : float
        Share of the eligible customers whose choice is drawn at random among their offers and none, in [0, 1).
        Their expected use of the limits is set aside first.
    seed : int
        Seed of the exploration's draws.

    Returns
    -------
    Allocation

    Raises
    ------
    AllocationError
        Where shapes disagree, a number is missing or infinite, or the limits cannot be met: the text says which.

    Notes
    -----
    One budget without stock: the multiple-choice knapsack (Sinha & Zoltners 1979), a few passes over the data, the
    value within one customer's largest step of the bound. Several limits: the linear programme by prices and a core
    (``column_generation``), then whole numbers by a small integer programme.

    Examples
    --------
    >>> import numpy as np
    >>> plan = allocate(np.array([[3.0, 5.0], [2.0, 2.5]]), np.array([[1.0, 2.0], [1.0, 2.0]]), budget=3.0)
    >>> plan.choice.tolist(), plan.spend, plan.shadow_price
    ([1, 0], 3.0, 0.5)
    """
    worth, costs, budgets = _shapes(value, cost, budget)
    n, k = worth.shape
    limits = _stock(stock, k)
    worth = _restrict(worth, eligible, recent_contacts, frequency_cap, fatigue)
    exploration = share("exploration", exploration, "the share that is drawn at random", error=AllocationError)
    seed = whole_number("seed", seed, 0, error=AllocationError)
    if max_contacts is not None:
        most = whole_number("max_contacts", max_contacts, 0, error=AllocationError, hint=", or None for no limit")
        costs = np.concatenate([costs, np.ones((1, n, k))])
        budgets = np.append(budgets, float(most))
    drawn, explored = _explore(worth, exploration, seed)
    held_value, held = _taken(worth, costs, drawn, k)
    if explored.any():
        worth_left = np.where(explored[:, None], -np.inf, worth)
        _require_room(held, budgets, limits, exploration, max_contacts is not None)
    else:
        worth_left = worth
    m = len(budgets)
    choice, bound, prices, stock_prices = _optimise(worth_left, costs, budgets - held[:m], limits - held[m:])
    choice[explored] = drawn[explored]
    total, taken = _taken(worth, costs, choice, k)
    bound = max(bound + held_value, total)
    asked = m - (max_contacts is not None)
    one = budget is None or np.ndim(budget) == 0
    return Allocation(
        choice=choice,
        value=total,
        spend=float(taken[0]) if one else taken[:asked],
        bound=bound,
        gap=(bound - total) / max(1.0, abs(bound)),
        shadow_price=float(prices[0]) if one else prices[:asked],
        stock_price=stock_prices,
        contact_price=float(prices[-1]) if max_contacts is not None else 0.0,
        used=taken[m:].astype(np.int64),
        explored=explored,
        propensity=_propensities(worth, costs, choice, explored, exploration, prices, stock_prices),
    )


def _optimise(
    worth: np.ndarray, costs: np.ndarray, budgets: np.ndarray, stock: np.ndarray
) -> tuple[np.ndarray, float, np.ndarray, np.ndarray]:
    """Choices, bound, the budgets' prices and the stock's prices."""
    from . import column_generation, multiple_choice_knapsack

    n, k = worth.shape
    if not n and np.all(budgets >= 0.0):
        return np.zeros(0, np.int64), 0.0, np.zeros(len(budgets)), np.zeros(k)
    if len(budgets) == 1 and np.all(np.isinf(stock)):
        try:
            answer = multiple_choice_knapsack.solve(worth, costs[0], float(budgets[0]))
        except ValueError as error:
            raise AllocationError(f"{error}; raise the budget or add offers that pay for themselves") from error
        return answer.choice.astype(np.int64), answer.bound, np.array([answer.multiplier]), np.zeros(k)
    try:
        coupled = column_generation.solve(worth, costs, budgets, stock)
    except column_generation.Infeasible as error:
        raise AllocationError(f"no choice keeps within {error}; raise it or add eligible customers") from error
    return coupled.choice, coupled.bound, coupled.budget_prices, coupled.stock_prices


def _shapes(
    value: np.ndarray, cost: np.ndarray, budget: float | Sequence[float] | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    worth, costs = _numbers("value", value), _numbers("cost", cost)
    worth = worth[:, None] if worth.ndim == 1 else worth
    costs = costs[:, None] if costs.ndim == 1 else costs
    costs = costs[None] if costs.ndim == 2 else costs
    if worth.ndim != 2 or costs.ndim != 3 or costs.shape[1:] != worth.shape:
        raise AllocationError(
            f"value has shape {np.shape(value)} and cost {np.shape(cost)}; they are (n, k) and (n, k) or (m, n, k)"
        )
    budgets = np.full(len(costs), np.inf) if budget is None else np.atleast_1d(_numbers("budget", budget))
    if budgets.shape != (len(costs),):
        raise AllocationError(f"{len(budgets)} budgets for {len(costs)} tables of costs; give one for each")
    for name, numbers in (("value", worth), ("cost", costs)):
        bad = ~np.isfinite(numbers)
        if bad.any():
            where = np.argwhere(bad)[0][-2:]
            raise AllocationError(
                f"{name} of customer {where[0]}, offer {where[1]} is {numbers[bad][0]} ({int(bad.sum())} in all); "
                f"give a number, and use eligible= for offers that may not be made"
            )
    if np.isnan(budgets).any():
        raise AllocationError("budget is nan; give a number, or None for no limit")
    return worth, costs, budgets


def _numbers(name: str, given: Any) -> np.ndarray:
    try:
        return np.asarray(given, dtype=float)
    except (TypeError, ValueError) as error:
        raise AllocationError(f"{name} is {_short(given)}; it must be numbers: {error}") from error


def _short(given: Any) -> str:
    text = repr(given)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _require_room(held: np.ndarray, budgets: np.ndarray, limits: np.ndarray, exploration: float, counted: bool) -> None:
    """Refuse an exploration that alone takes more than a limit allows, by the limit's name."""
    m = len(budgets)
    over = np.flatnonzero(held > np.concatenate([budgets, limits]))
    if not len(over):
        return
    first = int(over[0])
    if first >= m:
        name = f"the stock of offer {first - m}"
    elif counted and first == m - 1:
        name = "max_contacts"
    else:
        name = "the budget" if m - counted == 1 else f"budget {first}"
    limit = limits[first - m] if first >= m else budgets[first]
    raise AllocationError(
        f"exploration of {exploration:.0%} alone takes {held[first]:g} of {name}, which allows {limit:g}; lower "
        "exploration, or raise the limit"
    )


def _eligible(eligible: Any, shape: tuple[int, int]) -> np.ndarray:
    given = np.asarray(eligible)
    if given.dtype == object and all(isinstance(each, bool | np.bool_) for each in given.ravel().tolist()):
        given = given.astype(np.bool_)
    if given.dtype != np.bool_:
        numbers = given.astype(float) if given.dtype.kind in "iuf" else np.full(1, np.nan)
        bad = ~np.isin(numbers, (0.0, 1.0))
        if bad.any():
            seen = given.ravel()[bad.ravel()][0] if given.dtype.kind in "iuf" else _short(eligible)
            raise AllocationError(f"eligible holds {seen}; it is True or False (1 or 0) for each, and never missing")
        given = numbers == 1.0
    given = given[:, None] if given.ndim == 1 else given
    if given.shape not in {shape, (shape[0], 1)}:
        raise AllocationError(f"eligible has shape {np.shape(eligible)}; it is {shape} or ({shape[0]},)")
    return np.broadcast_to(given, shape)


def _contacts(recent_contacts: Any, n: int) -> np.ndarray:
    contacts = _numbers("recent_contacts", recent_contacts)
    if contacts.shape != (n,):
        raise AllocationError(f"recent_contacts has shape {contacts.shape}; it is {n} counts, one per customer")
    bad = ~(np.isfinite(contacts) & (contacts >= 0) & (contacts == np.floor(contacts)))
    if bad.any():
        raise AllocationError(
            f"recent_contacts of customer {int(bad.argmax())} is {contacts[bad][0]:g} ({int(bad.sum())} in all are "
            "missing, negative or fractions); give whole counts, 0 where there were none"
        )
    return contacts


def _stock(stock: Sequence[float] | None, k: int) -> np.ndarray:
    if stock is None:
        return np.full(k, np.inf)
    limits = _numbers("stock", stock)
    if limits.shape != (k,) or np.isnan(limits).any() or np.any(limits < 0):
        raise AllocationError(f"stock is {stock!r}; it is {k} numbers of 0 or more, inf for no limit")
    return np.floor(limits)


def _restrict(
    worth: np.ndarray,
    eligible: np.ndarray | None,
    recent_contacts: np.ndarray | None,
    frequency_cap: int | None,
    fatigue: float,
) -> np.ndarray:
    fatigue = share("fatigue", fatigue, "the share that each contact takes away", error=AllocationError)
    if frequency_cap is not None:
        hint = ", or None for no cap"
        frequency_cap = whole_number("frequency_cap", frequency_cap, 1, error=AllocationError, hint=hint)
    if recent_contacts is None and (frequency_cap is not None or fatigue):
        raise AllocationError("frequency_cap and fatigue need recent_contacts, one count per customer")
    allowed = None if eligible is None else _eligible(eligible, (worth.shape[0], worth.shape[1]))
    if recent_contacts is not None:
        contacts = _contacts(recent_contacts, len(worth))
        if fatigue:
            faded = worth * (1.0 - fatigue) ** contacts[:, None]
            worth = np.where(worth > 0, faded, worth)
        if frequency_cap is not None:
            rested = (contacts < frequency_cap)[:, None]
            allowed = np.broadcast_to(rested, worth.shape) if allowed is None else allowed & rested
    return worth if allowed is None else np.where(allowed, worth, -np.inf)


def _explore(worth: np.ndarray, exploration: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw who explores, and for each of them an offer or none with equal probability."""
    n, _ = worth.shape
    drawn = np.full(n, -1, np.int64)
    if exploration == 0:
        return drawn, np.zeros(n, np.bool_)
    generator = np.random.default_rng(seed)
    allowed = worth > -np.inf
    options = allowed.sum(axis=1)
    explored = (generator.random(n) < exploration) & (options > 0)
    pick = np.floor(generator.random(n) * (options + 1)).astype(np.int64)
    rank = np.cumsum(allowed, axis=1)
    for row in np.flatnonzero(explored):
        if pick[row] > 0:
            drawn[row] = int(np.searchsorted(rank[row], pick[row]))
    return drawn, explored


def _taken(worth: np.ndarray, costs: np.ndarray, choice: np.ndarray, k: int) -> tuple[float, np.ndarray]:
    rows = np.flatnonzero(choice >= 0)
    offers = choice[rows]
    used = np.concatenate([costs[:, rows, offers].sum(axis=1), np.bincount(offers, minlength=k).astype(float)])
    return float(worth[rows, offers].sum()), used


def _propensities(
    worth: np.ndarray,
    costs: np.ndarray,
    choice: np.ndarray,
    explored: np.ndarray,
    exploration: float,
    prices: np.ndarray,
    stock_prices: np.ndarray,
) -> np.ndarray:
    """Probability of each choice: exploration's share, plus the rest where the prices would have chosen the same."""
    if exploration == 0:
        return np.ones(len(choice))
    options = (worth > -np.inf).sum(axis=1)
    by_chance = exploration / (options + 1)
    greedy = choice.copy()
    rows = np.flatnonzero(explored)
    if rows.size:
        net = (
            worth[rows]
            - stock_prices
            - np.einsum("r,rnk->nk", np.where(np.isfinite(prices), prices, 0), costs[:, rows])
        )
        best = net.argmax(axis=1)
        greedy[rows] = np.where(net[np.arange(len(rows)), best] > 0, best, -1)
    propensity = by_chance + (1.0 - exploration) * (greedy == choice)
    return np.where(options == 0, 1.0, propensity)
