"""What the read API says of customers and decisions, read off the contract: answers and description agree."""

from collections.abc import Mapping
from typing import Any

from ..sql import contract
from ..sql.tables import Column, Table
from .customer_index import KEY, CustomerIndex

MOST_IDS = 1_000
INTERVAL = 0.8

# folded into {value, low, high, level}
ESTIMATES: Mapping[str, tuple[str, str]] = {
    "expected_orders": ("orders_low", "orders_high"),
    "customer_value": ("value_low", "value_high"),
}
_ENDS = {end for ends in ESTIMATES.values() for end in ends}
_SAID_ONCE = {KEY, "as_of", "model_version"}

# part of an answer -> the table it comes from
PARTS: Mapping[str, Table] = {
    "history": contract.CUSTOMER_SUMMARY,
    "scores": contract.CUSTOMER_SCORES,
    "churn": contract.CUSTOMER_CHURN,
}
WANTED: Mapping[str, tuple[str, ...]] = {
    table.name: tuple(name for name in table.column_names if name not in {KEY, "as_of"}) for table in PARTS.values()
}
DECISIONS: Mapping[str, str] = {
    "treat": "send what arm says",
    "hold out": "send nothing: held out, so that what campaigns bring can be measured",
    "nothing": "send nothing: not chosen, or drawn for control",
    "suppressed": "send nothing: reason says why the customer must be left alone",
}


def shown(table: Table) -> list[Column]:
    """Return the columns of a table that stand in an answer by themselves."""
    hidden = _SAID_ONCE | (_ENDS if table is contract.CUSTOMER_SCORES else set())
    return [column for column in table.columns if column.name not in hidden]


def envelope(index: CustomerIndex) -> dict[str, Any]:
    """Return what every answer says of the run it is from."""
    settings = index.manifest.get("settings") or {}
    value, shop = settings.get("value") or {}, settings.get("shop") or {}
    return {
        "run_id": index.run_id,
        "as_of": index.manifest["as_of"],
        "horizon": {"length": value.get("horizon", 52), "unit": value.get("time_unit", "week")},
        "currency": shop.get("currency") or None,
    }


def customer(customer_id: str, found: Mapping[str, Mapping[str, Any] | None]) -> dict[str, Any]:
    """Return what an answer says of one customer, from the rows of `CustomerIndex.find`."""
    said: dict[str, Any] = {KEY: customer_id}
    scores = found.get(contract.CUSTOMER_SCORES.name)
    said["model_version"] = scores.get("model_version") if scores else None
    for part, table in PARTS.items():
        row = found.get(table.name)
        said[part] = None if row is None else {column.name: row.get(column.name) for column in shown(table)}
    if scores is not None:
        for name, (low, high) in ESTIMATES.items():
            ends = {"low": scores.get(low), "high": scores.get(high), "level": INTERVAL}
            said["scores"][name] = {"value": scores.get(name), **ends}
    return said


def decision(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a row of a log of decisions says: what to do, why, and how likely that was."""
    reason, why = row["suppressed"], row["why"]
    held_out = why == "holdout"
    told = "suppressed" if reason else "hold out" if held_out else "treat" if why == "sent" else "nothing"
    return {
        "decision": told,
        "arm": row["arm"],
        "reason": reason or {"holdout": "held out", "sent": "chosen"}.get(why, why),
        "propensity": row["propensity"],
        "explored": row["explored"],
        "expected_effect": row["expected_effect"],
        "expected_profit": row["expected_profit"],
        "expected_cost": row["expected_cost"],
    }
