"""Deciding a campaign: who may be mailed, who is held out, who gets what, each with the probability of every arm.

Numbers in, numbers out: reading frames, text and files are `target`'s and `decision_log`'s.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from ..sql.errors import ModelError
from .allocate import Allocation, allocate
from .design import persistent_holdout

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Rules:
    """How a campaign is decided: everything but the customers.

    Attributes
    ----------
    campaign : str
        Its name.
    on : date
        Day of the sends.
    control : str
        What the arm that stands for nothing is called.
    budget : float, optional
        The most that the list may cost, by expected costs.
    stock : mapping of str to float
        Arm -> how many customers may get it; an arm that is not named has no limit.
    max_contacts : int, optional
        The most customers in the list.
    holdout, holdout_salt : float, str
        Share of customers that no campaign touches, and the salt of that draw: see `design.persistent_holdout`.
    exploration : float
        Share of the customers who may be mailed whose arm, nothing among them, is drawn at random.
    frequency_cap : int, optional
        Customers with that many recent contacts get nothing.
    fatigue : float
        Share of an offer's worth that each recent contact takes away.
    seed : int
        Of the exploration's draws.
    facts : mapping
        Further plain values to record with the decisions, such as the snapshot they were made from.
    """

    campaign: str
    on: date
    control: str = "control"
    budget: float | None = None
    stock: Mapping[str, float] = field(default_factory=dict)
    max_contacts: int | None = None
    holdout: float = 0.0
    holdout_salt: str = "holdout"
    exploration: float = 0.0
    frequency_cap: int | None = None
    fatigue: float = 0.0
    seed: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.campaign, str) or not self.campaign.strip():
            shown = "blank" if isinstance(self.campaign, str) else repr(self.campaign)
            raise ModelError(f"campaign is {shown}; name it")
        if isinstance(self.on, datetime):  # a list is of a day, whatever the hour it was asked for
            object.__setattr__(self, "on", self.on.date())
        if not isinstance(self.on, date):
            raise ModelError(f"on is {self.on!r}; it is the day of the sends, such as datetime.date(2026, 5, 4)")
        if self.budget is not None:
            _within("budget", self.budget, "0 or more, or None for no limit", lambda x: 0 <= x < math.inf)
        if self.frequency_cap is not None:
            _within(
                "frequency_cap", self.frequency_cap, "1 or more, or None for no cap", lambda x: x >= 1 and _whole(x)
            )
        if self.max_contacts is not None:
            _within("max_contacts", self.max_contacts, "a count, 0 or more, or None for no limit", _whole)
        _within("fatigue", self.fatigue, "a share in [0, 1)", _is_share)
        _within("exploration", self.exploration, "a share in [0, 1)", _is_share)
        _within("holdout share", self.holdout, "a share in [0, 1)", _is_share)
        _within("seed", self.seed, "a whole number, 0 or more", _whole)
        if not isinstance(self.stock, Mapping):
            raise ModelError(f"stock is {type(self.stock).__name__}; it maps each arm to how many may get it")
        for arm, limit in self.stock.items():
            _within(f"stock of {arm!r}", limit, "0 or more; leave the arm out for no limit", lambda x: x >= 0)
        # as what a log's metadata can hold: numpy's numbers as Python's own
        for name in ("budget", "frequency_cap", "max_contacts", "fatigue", "exploration", "holdout", "seed"):
            object.__setattr__(self, name, _plain(getattr(self, name)))
        object.__setattr__(self, "stock", {arm: _plain(limit) for arm, limit in self.stock.items()})
        try:
            json.dumps(dict(self.facts), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ModelError(
                f"facts cannot be recorded ({error}); they are plain values by name: texts, finite numbers, true or "
                "false, None, and lists of these"
            ) from error


def _within(name: str, value: object, allowed: str, holds: Callable[[float], bool]) -> None:
    if not isinstance(value, Real) or isinstance(value, bool) or not holds(float(value)):
        raise ModelError(f"{name} is {value!r}; it is {allowed}")


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _is_share(value: float) -> bool:
    return 0 <= value < 1


def _whole(value: float) -> bool:
    return value >= 0 and value.is_integer()


@dataclass(frozen=True)
class Considered:
    """Every customer a campaign looks at, in the order of their ids.

    ``effect``, ``worth`` and ``cost`` are (n, k), NaN where an arm may not be offered to a customer; ``contacts`` (n,)
    are recent ones, ``suppressed`` (n,) says why a customer must be left alone, "" where nothing does.
    """

    customer_ids: "pa.Array" = field(repr=False)
    arms: tuple[str, ...]
    effect: np.ndarray = field(repr=False)
    worth: np.ndarray = field(repr=False)
    cost: np.ndarray = field(repr=False)
    contacts: np.ndarray = field(repr=False)
    suppressed: "pa.Array" = field(repr=False)


@dataclass(frozen=True)
class Decisions:
    """What was decided for the n customers.

    Attributes
    ----------
    choice : ndarray of shape (n,), int
        Index of the arm, -1 for nothing.
    planned : ndarray of shape (n,), int
        What the plan would give without any draw: for those held out and explored, by the plan's prices.
    intended : ndarray of shape (n,), int
        What the customer would have got but for the holdout, exploration's draw included: ``choice`` for everybody
        else. It counts as a contact where sends are capped, see the notes of `decide_campaign`.
    held_out, explored, open : ndarray of shape (n,), bool
        Kept out by the holdout; drawn at random; neither held out nor suppressed.
    propensity : ndarray of shape (n, k + 1)
        Probability of nothing and of each arm before any draw, the holdout's included; NaN for those suppressed.
    profit : ndarray of shape (n, k)
        What each arm is expected to bring, its cost and the customer's fatigue taken off.
    plan : Allocation or None
        None where nobody was left to allocate to.
    exploration : float
        The share that was explored: that of the rules, or 0 where nothing may be spent.
    """

    choice: np.ndarray
    planned: np.ndarray
    intended: np.ndarray
    held_out: np.ndarray
    explored: np.ndarray
    open: np.ndarray
    propensity: np.ndarray
    profit: np.ndarray
    plan: Allocation | None
    exploration: float


def decide_campaign(considered: Considered, rules: Rules) -> Decisions:
    """Decide for every customer: leave alone, hold out, explore, or what the allocation says.

    Raises
    ------
    AllocationError
        The limits cannot be met, or exploration alone takes more than they allow.
    DesignError
        A holdout share outside [0, 1), or a blank salt.

    Notes
    -----
    With exploration e, j arms that may be offered and holdout share h the probability of arm a before any draw is
    ``(1 - h) (e / (j + 1) + (1 - e) 1{a is planned})``; what is left is that of nothing. A customer just at the price
    at which the budget ends may be planned one thing or another by how the draws fell; his probability is by the
    prices that came out.

    The holdout stays the same from campaign to campaign, and is never mailed. Did sends alone count as contacts, a cap
    would strike everybody but the holdout: among those whom it leaves, more than the share h would be held out, and the
    probability would be wrong. So whoever is held out counts as contacted with what was intended for him.
    """
    n = len(considered.worth)
    ids = considered.customer_ids.to_pylist()
    left_alone = np.array([reason != "" for reason in considered.suppressed.to_pylist()], dtype=np.bool_)
    held_out = persistent_holdout(ids, rules.holdout, rules.holdout_salt) & ~left_alone
    is_open = ~left_alone & ~held_out
    stock = np.array([rules.stock.get(arm, np.inf) for arm in considered.arms])
    offered = np.isfinite(considered.worth) & (stock >= 1.0)
    profit = _faded(considered.worth, considered.contacts, rules.fatigue)
    # where nothing may be spent, or nobody contacted, nobody can be drawn either
    exploration = 0.0 if rules.budget == 0 or rules.max_contacts == 0 else rules.exploration
    choice, planned = np.full(n, -1, dtype=np.int64), np.full(n, -1, dtype=np.int64)
    explored = np.zeros(n, dtype=np.bool_)
    plan = None
    if is_open.any():
        plan = allocate(
            np.where(offered, profit, 0.0)[is_open],
            np.where(offered, considered.cost, 0.0)[is_open],
            rules.budget,
            stock=stock.tolist() if np.isfinite(stock).any() else None,
            eligible=offered[is_open],
            max_contacts=rules.max_contacts,
            exploration=exploration,
            seed=rules.seed,
        )
        choice[is_open], explored[is_open] = plan.choice, plan.explored
        planned = np.where(explored | held_out, _by_prices(considered, profit, offered, plan), choice)
    intended = np.where(held_out, _ghosts(planned, offered, exploration, rules.seed), choice)
    propensity = _propensities(offered, planned, exploration, rules.holdout)
    propensity[left_alone] = np.nan
    return Decisions(choice, planned, intended, held_out, explored, is_open, propensity, profit, plan, exploration)


def _faded(worth: np.ndarray, contacts: np.ndarray, fatigue: float) -> np.ndarray:
    return np.where(worth > 0, worth * (1.0 - fatigue) ** contacts[:, None], worth)


def _by_prices(considered: Considered, profit: np.ndarray, offered: np.ndarray, plan: Allocation) -> np.ndarray:
    price = float(plan.shadow_price) if np.isfinite(plan.shadow_price) else 0.0
    net = np.where(offered, profit - plan.stock_price - price * considered.cost - plan.contact_price, -np.inf)
    best = net.argmax(axis=1)
    return np.where(net[np.arange(len(net)), best] > 0, best, -1)


def _ghosts(planned: np.ndarray, offered: np.ndarray, exploration: float, seed: int) -> np.ndarray:
    """Return what the held-out would have got: the plan, or what exploration would have drawn for them."""
    draw = np.random.default_rng([seed, 1])
    options = offered.sum(axis=1)
    explores = (draw.random(len(planned)) < exploration) & (options > 0)
    pick = np.floor(draw.random(len(planned)) * (options + 1)).astype(np.int64)
    place = (offered.cumsum(axis=1) == pick[:, None]).argmax(axis=1)
    return np.where(explores, np.where(pick > 0, place, -1), planned)


def _propensities(offered: np.ndarray, planned: np.ndarray, exploration: float, holdout: float) -> np.ndarray:
    n = len(offered)
    options = offered.sum(axis=1)
    by_chance = exploration * (options > 0)
    allowed = np.column_stack([np.ones(n, dtype=np.bool_), offered])
    matrix = np.where(allowed, (by_chance / (options + 1))[:, None], 0.0)
    matrix[np.arange(n), planned + 1] += 1.0 - by_chance
    matrix *= 1.0 - holdout
    matrix[:, 0] += holdout
    return matrix
