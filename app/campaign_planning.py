"""Planning one target list again and again: arrays in, what the list comes to out, with an honest interval.

What the scores promise of the customers they like best is too good: the largest scores are the luckiest. So a plan's
profit is corrected by customers whom no score had learnt from. The plan's own rule, who gets what at its prices, is
put to the held-out customers of the campaign that was learnt from; there the doubly robust scores say how far the
predictions were off, on average, among those whom the rule chooses. The correction's standard error is the interval's
(prediction-powered inference: Angelopoulos et al. 2023, Science 382, with the doubly robust score in place of a label).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from ..uplift.allocate import Allocation, AllocationError, allocate
from ..uplift.estimate import Estimate, interval

if TYPE_CHECKING:
    import pyarrow as pa

LEAST_HELD_OUT = 30  # judged by fewer, an interval is a guess
LARGEST_EXACT = 250_000  # customers up to whom stock is allocated exactly while one waits
_SAMPLED_FOR_STOCK = 60_000
# stock and contacts take a linear programme for each budget: fewer customers, fewer budgets
_CURVE_CUSTOMERS, _CURVE_CUSTOMERS_WITH_STOCK = 30_000, 3_000
_CURVE_SHARES = (0.03, 0.07, 0.12, 0.18, 0.25, 0.33, 0.42, 0.52, 0.63, 0.75, 0.87, 1.0)
_CURVE_SHARES_WITH_STOCK = (0.08, 0.2, 0.4, 0.7, 1.0)


@dataclass(frozen=True)
class Candidates:
    """The scores of one campaign: a row per customer in the order of their ids, a column per arm.

    ``worth`` and ``cost`` are (n, k), in money, NaN where an arm may not be offered; ``worth`` has its cost taken off.
    """

    customer_ids: "pa.Array" = field(repr=False)
    arms: tuple[str, ...]
    worth: np.ndarray = field(repr=False)
    cost: np.ndarray = field(repr=False)


@dataclass(frozen=True)
class HeldOut:
    """Held-out customers of the campaign that was learnt from: ``unit`` (h,), the others (h, k), in money.

    ``worth`` is what was predicted, ``judged`` the doubly robust score of the same; both have ``cost`` taken off.
    """

    unit: np.ndarray = field(repr=False)
    worth: np.ndarray = field(repr=False)
    judged: np.ndarray = field(repr=False)
    cost: np.ndarray = field(repr=False)

    @classmethod
    def of(cls, rows: "pa.Table", arms: Sequence[str]) -> "HeldOut | None":
        """Return those of rows of ``campaign_holdout``; None where an arm has none."""
        by_arm = {}
        for arm in arms:
            import pyarrow.compute as pc

            mine = rows.filter(pc.equal(rows["arm"], arm)).sort_by("place")  # pyright: ignore[reportAttributeAccessIssue]
            if not mine.num_rows:
                return None
            by_arm[arm] = mine
        first = by_arm[arms[0]]
        columns = {
            name: np.column_stack([by_arm[arm][name].to_numpy() for arm in arms])
            for name in ("net_effect", "judged", "cost")
        }
        return cls(first["unit"].to_numpy(), columns["net_effect"], columns["judged"], columns["cost"])


@dataclass(frozen=True)
class Terms:
    """What a plan is made under.

    Attributes
    ----------
    budget : float, optional
    stock : tuple of k floats
        ``inf`` is no limit.
    dearer : tuple of k floats
        By how much a send of each arm costs more than the scores were reckoned with.
    max_contacts : int, optional
    exploration, fatigue : float
    seed : int
    """

    budget: float | None
    stock: tuple[float, ...]
    dearer: tuple[float, ...]
    max_contacts: int | None = None
    exploration: float = 0.0
    fatigue: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Plan:
    """What a list would be.

    Attributes
    ----------
    choice : ndarray of shape (n,), int
        Arm of each customer, -1 for nothing.
    used : ndarray of shape (k,), int
        Customers by arm.
    explored : ndarray of shape (n,), bool
    promised : float
        Profit by the scores alone.
    profit : Estimate or None
        The same, corrected by held-out customers; None where too few of these are like those chosen.
    judged_by : int
        Held-out customers to whom the plan's rule gives something.
    spend, shadow_price : float
        Money spent, and what one more unit of budget would bring.
    stock_price : ndarray of shape (k,)
    open : int
        Customers who may get something.
    exact : bool
        False where prices come from a sample: with stock and very many customers.
    """

    choice: np.ndarray = field(repr=False)
    used: np.ndarray
    explored: np.ndarray = field(repr=False)
    promised: float
    profit: Estimate | None
    judged_by: int
    spend: float
    shadow_price: float
    stock_price: np.ndarray
    open: int
    exact: bool = True

    @property
    def mailed(self) -> int:
        """Customers who get something."""
        return int(self.used.sum())


@dataclass(frozen=True)
class CurvePoint:
    """One budget: what is spent of it and what that brings."""

    budget: float
    spend: float
    mailed: float
    promised: float
    profit: Estimate | None


def plan_list(
    candidates: Candidates,
    is_open: np.ndarray,
    terms: Terms,
    held_out: HeldOut | None = None,
    contacts: np.ndarray | None = None,
) -> Plan:
    """Plan a list: the allocation that ``regulars target`` would make, with what it is expected to bring.

    Parameters
    ----------
    candidates : Candidates
    is_open : ndarray of shape (n,), bool
        Who may get something: neither suppressed nor held out.
    terms : Terms
    held_out : HeldOut, optional
        Without it there is no interval.
    contacts : ndarray of shape (n,), int, optional
        Recent sends of each customer, for ``fatigue``.

    Raises
    ------
    AllocationError
        The limits cannot be met.

    Examples
    --------
    >>> import pyarrow as pa
    >>> scores = Candidates(pa.array(["a", "b"]), ("mail",), np.array([[3.0], [2.0]]), np.ones((2, 1)))
    >>> plan = plan_list(scores, np.ones(2, dtype=bool), Terms(1.0, (np.inf,), (0.0,)))
    >>> plan.choice.tolist(), plan.spend, plan.promised, plan.shadow_price
    ([0, -1], 1.0, 3.0, 2.0)
    """
    worth, cost, offered = _priced(candidates, terms, contacts)
    rows = np.flatnonzero(is_open)
    exploration = 0.0 if terms.budget == 0 or terms.max_contacts == 0 else terms.exploration
    open_terms = replace(terms, exploration=exploration)
    choice = np.full(len(worth), -1, dtype=np.int64)
    explored = np.zeros(len(worth), dtype=np.bool_)
    k = len(candidates.arms)
    if not len(rows):
        nothing = interval(0.0, 0.0, units=2) if held_out is not None else None
        return Plan(choice, np.zeros(k, np.int64), explored, 0.0, nothing, 0, 0.0, 0.0, np.zeros(k), 0)
    mine, price, may = worth[rows], cost[rows], offered[rows]
    sampled = np.isfinite(terms.stock).any() and len(rows) > LARGEST_EXACT
    if sampled and not _stock_binds(mine, price, may, open_terms):
        open_terms, sampled = replace(open_terms, stock=(np.inf,) * k), False
    found = (_by_sampled_prices if sampled else _allocate)(mine, price, may, open_terms)
    choice[rows], explored[rows] = found.choice, found.explored
    used = np.bincount(found.choice[found.choice >= 0], minlength=k)
    drawn = np.bincount(found.choice[found.explored & (found.choice >= 0)], minlength=k)
    judged = judge(found.value, used - drawn, drawn, held_out, terms, found) if held_out is not None else (None, 0)
    return Plan(
        choice=choice,
        used=used,
        explored=explored,
        promised=found.value,
        profit=judged[0],
        judged_by=judged[1],
        spend=float(np.asarray(found.spend)),
        shadow_price=float(np.asarray(found.shadow_price)),
        stock_price=found.stock_price,
        open=len(rows),
        exact=not sampled,
    )


def judge(
    promised: float, planned: np.ndarray, drawn: np.ndarray, held_out: HeldOut, terms: Terms, prices: Allocation
) -> tuple[Estimate | None, int]:
    """Return a plan's profit as held-out customers bear it out, and how many of them the plan's rule chooses.

    Parameters
    ----------
    promised : float
        Profit by the scores.
    planned, drawn : ndarray of shape (k,)
        Customers of each arm whom the plan chose, and whom exploration drew.
    held_out : HeldOut
    terms : Terms
    prices : Allocation
        Of budget, stock and contacts: they make the rule.

    Notes
    -----
    Profit = promised + sum over arms of customers x mean of (judged - predicted) among the held-out to whom the rule
    gives that arm; for those drawn at random, among all held-out. Arms whose held-out customers are too few take the
    mean over all whom the rule chooses. The standard error is that of the means, by unit.
    """
    if not planned.sum() + drawn.sum():
        return interval(0.0, 0.0, units=max(len(held_out.unit), 2)), 0
    k = len(planned)
    dearer = np.asarray(terms.dearer)
    worth, cost = held_out.worth - dearer, held_out.cost + dearer
    error = held_out.judged - held_out.worth  # costs fall out
    budget_price = float(np.asarray(prices.shadow_price))
    net = worth - (budget_price if np.isfinite(budget_price) else 0.0) * cost - prices.stock_price
    net = np.where(np.asarray(terms.stock) >= 1.0, net - prices.contact_price, -np.inf)
    arm = net.argmax(axis=1)
    row = np.arange(len(net))
    chosen = net[row, arm] > 0
    h = int(chosen.sum())
    if h < LEAST_HELD_OUT and planned.sum():
        return None, h
    own = error[row, arm]
    parts = np.zeros(len(net))
    correction = 0.0
    counts = np.bincount(arm[chosen], minlength=k)
    few = counts < LEAST_HELD_OUT
    groups = [(np.flatnonzero(chosen & (arm == a)), float(planned[a])) for a in range(k) if not few[a]]
    groups.append((np.flatnonzero(chosen), float(planned[few].sum())))
    for members, customers in groups:
        if customers:
            mean = float(own[members].mean())
            correction += customers * mean
            parts[members] += customers / len(members) * (own[members] - mean)
    for a in np.flatnonzero(drawn):
        mean = float(error[:, a].mean())
        correction += float(drawn[a]) * mean
        parts += float(drawn[a]) / len(error) * (error[:, a] - mean)
    _, place = np.unique(held_out.unit, return_inverse=True)
    by_unit = np.bincount(place, parts)
    units = len(np.unique(place[chosen])) if h else len(by_unit)
    variance = float((by_unit * by_unit).sum()) * units / max(units - 1, 1)
    return interval(promised + correction, variance**0.5, units=max(units, 2)), h


def budget_curve(
    candidates: Candidates,
    is_open: np.ndarray,
    terms: Terms,
    held_out: HeldOut | None = None,
    contacts: np.ndarray | None = None,
    *,
    marks: Sequence[float] = (),
) -> list[CurvePoint]:
    """Return what budgets from nothing to all that could pay bring; arguments as of `plan_list`.

    Of more than 30,000 customers who may get something (3,000 where stock or contacts are limited) a random part
    stands for all. ``marks`` are further budgets.

    Examples
    --------
    >>> import pyarrow as pa
    >>> scores = Candidates(pa.array(["a", "b"]), ("mail",), np.array([[3.0], [2.0]]), np.ones((2, 1)))
    >>> points = budget_curve(scores, np.ones(2, dtype=bool), Terms(None, (np.inf,), (0.0,)))
    >>> points[0].promised, points[-1].spend, points[-1].promised
    (0.0, 2.0, 5.0)
    """
    worth, cost, offered = _priced(candidates, terms, contacts)
    rows = np.flatnonzero(is_open)
    scale = 1.0
    limited = np.isfinite(terms.stock).any() or terms.max_contacts is not None
    enough = _CURVE_CUSTOMERS_WITH_STOCK if limited else _CURVE_CUSTOMERS
    if len(rows) > enough:
        scale = len(rows) / enough
        rows = np.sort(np.random.default_rng(0).choice(rows, enough, replace=False))
    if not len(rows):
        return []
    mine, price, may = worth[rows], cost[rows], offered[rows]
    small = replace(
        terms,
        stock=tuple(np.floor(np.asarray(terms.stock) / scale).tolist()),
        max_contacts=None if terms.max_contacts is None else int(terms.max_contacts / scale),
    )
    try:
        most = _allocate(mine, price, may, replace(small, budget=None))
    except AllocationError:
        return []
    largest = float(np.asarray(most.spend)) * scale
    if largest <= 0:
        return []
    points = [CurvePoint(0.0, 0.0, 0.0, 0.0, None if held_out is None else interval(0.0, 0.0, units=2))]
    shares = _CURVE_SHARES_WITH_STOCK if limited else _CURVE_SHARES
    asked = sorted({*(share * largest for share in shares), *(mark for mark in marks if 0 < mark < largest)})
    for budget in asked:
        try:
            found = most if budget >= largest else _allocate(mine, price, may, replace(small, budget=budget / scale))
        except AllocationError:  # exploration alone costs more
            continue
        k = len(candidates.arms)
        used = np.bincount(found.choice[found.choice >= 0], minlength=k) * scale
        drawn = np.bincount(found.choice[found.explored & (found.choice >= 0)], minlength=k) * scale
        promised = found.value * scale
        profit = None if held_out is None else judge(promised, used - drawn, drawn, held_out, small, found)[0]
        points.append(CurvePoint(budget, float(np.asarray(found.spend)) * scale, float(used.sum()), promised, profit))
    return points


def most_spend(candidates: Candidates, is_open: np.ndarray, terms: Terms) -> float:
    """Return what it costs to give each customer who may get something what is worth most, stock left aside.

    Examples
    --------
    >>> import pyarrow as pa
    >>> scores = Candidates(pa.array(["a", "b"]), ("mail",), np.array([[3.0], [-2.0]]), np.ones((2, 1)))
    >>> most_spend(scores, np.ones(2, dtype=bool), Terms(None, (np.inf,), (0.0,)))
    1.0
    """
    worth, cost, offered = _priced(candidates, terms, None)
    net = np.where(offered & is_open[:, None], worth, -np.inf)
    best = net.argmax(axis=1)
    row = np.arange(len(net))
    return float(cost[row, best][net[row, best] > 0].sum())


def compared(now: Plan, before: Mapping[str, np.ndarray] | None, arms: Sequence[str]) -> dict[str, int]:
    """Return how many customers a plan shares with a list, and how many come and go.

    ``before`` maps an arm to a mask (n,) over the candidates of those who got it.

    Examples
    --------
    >>> plan = Plan(np.array([0, -1, 0]), np.array([2]), np.zeros(3, bool), 1.0, None, 0, 1.0, 0.0, np.zeros(1), 3)
    >>> compared(plan, {"mail": np.array([True, True, False])}, ["mail"])
    {'stay': 1, 'other_arm': 0, 'come': 1, 'go': 1}
    """
    was = np.full(len(now.choice), -1)
    for arm, mask in (before or {}).items():
        was[mask] = arms.index(arm) if arm in arms else len(arms)
    both = (now.choice >= 0) & (was >= 0)
    return {
        "stay": int((both & (now.choice == was)).sum()),
        "other_arm": int((both & (now.choice != was)).sum()),
        "come": int(((now.choice >= 0) & (was < 0)).sum()),
        "go": int(((now.choice < 0) & (was >= 0)).sum()),
    }


# ---- how it is done -------------------------------------------------------------------------------------------------


def _priced(
    candidates: Candidates, terms: Terms, contacts: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Worth and cost at the terms' prices, NaN as 0, and who may be offered what."""
    dearer = np.asarray(terms.dearer)
    worth, cost = candidates.worth, candidates.cost
    if dearer.any():
        worth, cost = worth - dearer, cost + dearer
    offered = np.isfinite(worth) & (np.asarray(terms.stock) >= 1.0)
    if terms.fatigue and contacts is not None:
        worth = np.where(worth > 0, worth * (1.0 - terms.fatigue) ** contacts[:, None], worth)
    if not offered.all():
        worth, cost = np.where(offered, worth, 0.0), np.where(offered, cost, 0.0)
    return worth, cost, offered


def _allocate(worth: np.ndarray, cost: np.ndarray, offered: np.ndarray, terms: Terms) -> Allocation:
    return allocate(
        worth,
        cost,
        terms.budget,
        stock=list(terms.stock) if np.isfinite(terms.stock).any() else None,
        eligible=offered,
        max_contacts=terms.max_contacts,
        exploration=terms.exploration,
        seed=terms.seed,
    )


def _stock_binds(worth: np.ndarray, cost: np.ndarray, offered: np.ndarray, terms: Terms) -> bool:
    found = _allocate(worth, cost, offered, replace(terms, stock=(np.inf,) * len(terms.stock)))
    return bool((found.used > np.asarray(terms.stock)).any())


def _by_sampled_prices(worth: np.ndarray, cost: np.ndarray, offered: np.ndarray, terms: Terms) -> Allocation:
    """Prices from a random part of the customers, at them the choice of all: a list's exact plan takes longer."""
    n = len(worth)
    part = np.sort(np.random.default_rng(terms.seed).choice(n, _SAMPLED_FOR_STOCK, replace=False))
    scale = n / len(part)
    found = _allocate(
        worth[part],
        cost[part],
        offered[part],
        replace(
            terms,
            budget=None if terms.budget is None else terms.budget / scale,
            stock=tuple(np.floor(np.asarray(terms.stock) / scale).tolist()),
            max_contacts=None if terms.max_contacts is None else int(terms.max_contacts / scale),
        ),
    )
    price = float(np.asarray(found.shadow_price))
    net = worth - (price if np.isfinite(price) else 0.0) * cost - found.stock_price - found.contact_price
    net = np.where(offered, net, -np.inf)
    row, best = np.arange(n), net.argmax(axis=1)
    choice = np.where(net[row, best] > 0, best, -1)
    taken = choice >= 0
    return replace(
        found,
        choice=choice,
        value=float(worth[row[taken], choice[taken]].sum()),
        spend=float(cost[row[taken], choice[taken]].sum()),
        used=np.bincount(choice[taken], minlength=worth.shape[1]),
        explored=np.zeros(n, dtype=np.bool_),
    )
