"""What a decided campaign comes to, and one customer's decision in words."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .design import persistent_holdout, unit_interval
from .suppression import MAILED_LATELY

if TYPE_CHECKING:
    from .decisions import Considered, Decisions, Rules

_NOTABLE = 3.0  # standard errors by which the holdout's share of the contacted may differ from its own


def summarise(
    considered: "Considered",
    rules: "Rules",
    decided: "Decisions",
    suppression_lists: Mapping[str, Mapping[str, int]] | None = None,
) -> dict[str, Any]:
    """Return counts, money, certificate and prices as plain JSON values.

    ``suppression_lists`` is that of `Suppression.report`, null where a list is made again from its log.
    ``planned_profit`` is what the list is expected to bring over sending nothing, costs taken off; ``bound`` is what
    no list within the limits could exceed; the prices are worth of one more unit of each limit.
    """
    mailed = decided.choice >= 0
    row = np.flatnonzero(mailed)
    cost = considered.cost[row, decided.choice[row]]
    reasons: dict[str, int] = {}
    for said in considered.suppressed.to_pylist():
        for reason in said.split(", ") if said else ():
            reasons[reason] = reasons.get(reason, 0) + 1
    used = np.bincount(decided.choice[row], minlength=len(considered.arms))
    plan = decided.plan
    prices = (0.0, np.zeros(len(considered.arms)), 0.0)
    if plan is not None:
        prices = (plan.shadow_price, plan.stock_price, plan.contact_price)
    return {
        "considered": len(mailed),
        "mailed": int(mailed.sum()),
        "by_arm": dict(zip(considered.arms, used.tolist(), strict=True)),
        "explored": int((mailed & decided.explored).sum()),
        "explored_control": int((~mailed & decided.explored).sum()),
        "held_out": int(decided.held_out.sum()),
        "not_chosen": int((decided.open & ~mailed).sum()),
        "suppressed": sum(said != "" for said in considered.suppressed.to_pylist()),
        "suppressed_by_reason": dict(sorted(reasons.items())),
        "suppression_lists": suppression_lists and {reason: dict(said) for reason, said in suppression_lists.items()},
        "budget": rules.budget,
        "spend": float(cost.sum()),
        "planned_profit": plan.value if plan else 0.0,
        "bound": plan.bound if plan else 0.0,
        "gap": plan.gap if plan else 0.0,
        "worth_of_budget": _finite(float(np.asarray(prices[0]))),
        "worth_of_stock": {arm: _finite(float(p)) for arm, p in zip(considered.arms, prices[1], strict=True)},
        "worth_of_contact": _finite(float(prices[2])),
        "notes": [
            *_notes(rules, decided),
            *_contact_notes(considered, rules),
            *_list_notes(suppression_lists or {}, len(mailed)),
        ],
    }


def explanation(row: int, considered: "Considered", rules: "Rules", decided: "Decisions", reason: str) -> str:
    """Say what the customer of a row gets, or why nothing; ``reason`` is the list's, where he is on it."""
    customer, said = considered.customer_ids[row].as_py(), considered.suppressed[row].as_py()
    nothing = f"{customer} gets nothing of {rules.campaign}"
    if said:
        ghost = ""
        if MAILED_LATELY in said.split(", ") and unit_interval([customer], rules.holdout_salt)[0] < rules.holdout:
            ghost = " This customer is in the holdout: what counts is what campaigns would have sent."
        return f"{nothing}: suppressed: {said}.{ghost}"
    planned = int(decided.planned[row])
    would = f"The plan would give {considered.arms[planned]}." if planned >= 0 else "The plan would give nothing."
    options = _options(row, considered, decided)
    if decided.held_out[row]:
        place = unit_interval([customer], rules.holdout_salt)[0]
        return (
            f"{nothing}: held out, as {rules.holdout_salt!r} puts this customer at {place:.4f}, below the holdout's "
            f"share of {rules.holdout:g}. {would} {options}"
        )
    choice = int(decided.choice[row])
    chance = f"Before any draw the probability of this was {decided.propensity[row, choice + 1]:.4g}."
    if decided.explored[row] and choice < 0:
        return f"{nothing}: exploration drew nothing. {would} {chance} {options}"
    if choice >= 0:
        drawn = f" {would}" if decided.explored[row] else ""
        return f"{customer} gets {considered.arms[choice]} of {rules.campaign}: {reason}.{drawn} {chance} {options}"
    return f"{nothing}: {_why_not(row, considered, rules, decided)}. {chance} {options}"


def _why_not(row: int, considered: "Considered", rules: "Rules", decided: "Decisions") -> str:
    profit = np.where(np.isfinite(decided.profit[row]), decided.profit[row], -np.inf)
    best = int(profit.argmax())
    if profit[best] <= 0:
        return "no offer is expected to earn anything"
    plan = decided.plan
    price = float(np.asarray(plan.shadow_price)) if plan is not None else 0.0
    stock = float(plan.stock_price[best]) if plan is not None else 0.0
    contact = plan.contact_price if plan is not None else 0.0
    limits = []
    if price > 0:
        limits.append(f"{price:.4g} for each unit of the budget")
    if stock > 0:
        limits.append(f"{stock:.4g} for a piece of {considered.arms[best]}")
    if contact > 0:
        limits.append(f"{contact:.4g} for a contact")
    if rules.stock.get(considered.arms[best], np.inf) < 1:
        return f"{considered.arms[best]} would earn most, and there is no stock of it"
    if not limits:
        return "the limits leave no room"
    return f"others earn more with what is limited: it is worth {', '.join(limits)}"


def _options(row: int, considered: "Considered", decided: "Decisions") -> str:
    said = [
        f"{arm} {decided.profit[row, a]:.2f} at cost {considered.cost[row, a]:.2f}"
        for a, arm in enumerate(considered.arms)
        if np.isfinite(decided.profit[row, a])
    ]
    return f"Expected profit by offer: {'; '.join(said)}." if said else "Nothing may be offered."


def _notes(rules: "Rules", decided: "Decisions") -> list[str]:
    notes = []
    if rules.exploration and not decided.exploration:
        notes.append("nothing may be spent or nobody contacted: no exploration")
    if decided.plan is None:
        notes.append("everybody is suppressed or held out")
    if not rules.exploration and not rules.holdout:
        notes.append("no holdout and no exploration: what this list brings cannot be read out")
    return notes


def _contact_notes(considered: "Considered", rules: "Rules") -> list[str]:
    """Say where recent contacts leave out the holdout: a cap then strikes everybody but it."""
    contacted = np.flatnonzero(considered.contacts > 0)
    if not rules.holdout or not len(contacted) or (rules.frequency_cap is None and not rules.fatigue):
        return []
    ids = considered.customer_ids.take(contacted).to_pylist()
    seen = int(persistent_holdout(ids, rules.holdout, rules.holdout_salt).sum())
    expected = rules.holdout * len(ids)
    if abs(seen - expected) <= _NOTABLE * (expected * (1.0 - rules.holdout)) ** 0.5:
        return []
    return [
        f"of {len(ids):,} customers with recent contacts {seen:,} are in the holdout, and {expected:,.0f} should be: "
        "these sends left the holdout out, so frequency_cap and fatigue strike the others alone and the logged "
        "propensities are off. Count what was meant for the holdout too: count_contacts on the logs of decisions does"
    ]


def _list_notes(lists: Mapping[str, Mapping[str, int]], customers: int) -> list[str]:
    notes = []
    for reason, said in lists.items():
        if not said["ids"]:
            notes.append(f"suppression list {reason!r} holds no ids: look whether it is the right one")
        elif not said["matched"]:
            notes.append(
                f"suppression list {reason!r} holds {said['ids']:,} ids and matches none of {customers:,} customers: "
                "look whether its ids are those of the orders"
            )
        if said["without_id"]:
            notes.append(f"suppression list {reason!r}: {said['without_id']:,} rows without an id count for nobody")
    return notes


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
