"""Nobody who is held out or suppressed is ever in a list: 2,000 generated campaigns, 10,000 by ``make study``."""

import os
from datetime import date

import numba
import numpy as np
import pytest

from regulars.sql.errors import ModelError
from regulars.uplift.allocate import AllocationError
from regulars.uplift.design import unit_interval
from regulars.uplift.suppression import Suppression
from regulars.uplift.target import TargetList

CAMPAIGNS = int(os.environ.get("CAMPAIGNS", "2000"))
ON = date(2026, 5, 4)
ODD = [
    "ann",
    "Ann",
    "O'Brien",
    'say "hi"',
    "a,b",
    "ü",
    "漢字",
    "=1+1",
    "x\ny",
    "-",
    "0",
    "00",
    "é",
    "\U0001f600",
    "c;d",
    "%41",
]


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Ten customers are no work to share, and waiting for another thread takes longer than deciding."""
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(before)


def case(number: int):
    """One small campaign: its rows in any order, and everything that may keep a customer out of it."""
    draw = np.random.default_rng([20261121, number])
    n, k = int(draw.integers(1, 13)), int(draw.integers(1, 4))
    customers = draw.permutation([*ODD, *(f"c{i}" for i in range(8))])[:n].tolist()
    arms = ["mail", "voucher", "self_funding"][:k]
    rows = [(c, a) for c in customers for a in arms if draw.random() < 0.95] or [(customers[0], arms[0])]
    rows = [rows[i] for i in draw.permutation(len(rows))]
    scores = {
        "customer_id": [c for c, _ in rows],
        "arm": [a for _, a in rows],
        "effect": draw.normal(1, 3, len(rows)),
        "net_effect": np.round(draw.normal(0.3, 1, len(rows)), int(draw.integers(0, 4))),
        "cost": np.where([a == "self_funding" for _, a in rows], -0.5, draw.uniform(0, 1, len(rows))),
    }

    def some(share: float) -> list[str]:
        listed = [c for c in customers if draw.random() < share]
        return [*listed, *listed[:1], "stranger"]

    lists = {"unsubscribed": some(draw.choice([0, 0.2, 0.2, 1])), "bounced": [f" {c} " for c in some(0.2)]}
    consented = some(0.7) if number % 3 == 0 else None
    contacts = {c: int(draw.integers(0, 4)) for c in customers if draw.random() < 0.5}
    limits = {
        "budget": [None, 0.0, 0.5, 3.0][int(draw.integers(4))],
        "stock": {arms[-1]: int(draw.integers(0, 3))} if draw.random() < 0.05 and arms[-1] in scores["arm"] else {},
        "max_contacts": int(draw.integers(0, 4)) if draw.random() < 0.05 else None,
        "frequency_cap": [None, 1, 3][int(draw.integers(3))],
        "fatigue": float(draw.choice([0.0, 0.5])),
        "holdout": float(draw.choice([0.0, 0.2, 0.2, 0.999999])),
        "exploration": float(draw.choice([0.0, 0.0, 0.3])),
        "seed": number,
    }
    return customers, scores, Suppression(lists, consented), contacts, limits


def must_not(customers, suppression, contacts, limits) -> set[str]:
    """Whom the list must leave out, worked out by hand."""
    out = {c for c in customers if unit_interval([c], "holdout")[0] < limits["holdout"]}
    for listed in suppression.lists.values():
        out |= {c for c in customers if c in {each.strip() for each in listed}}
    if suppression.consented is not None:
        out |= {c for c in customers if c not in suppression.consented}
    if limits["frequency_cap"] is not None:
        out |= {c for c in customers if contacts.get(c, 0) >= limits["frequency_cap"]}
    return out


def build(scores, suppression, contacts, limits) -> TargetList:
    given = {"on": ON, "suppression": suppression, "recent_contacts": contacts}
    try:
        return TargetList.build(scores, "spring", **given, **limits)
    except AllocationError:
        limits["exploration"] = 0.0  # which alone would take more than the limits allow
        return TargetList.build(scores, "spring", **given, **limits)


@pytest.mark.parametrize("block", range(CAMPAIGNS // 1000))
def test_nobody_held_out_or_suppressed_is_in_a_list(block):
    built, mailed, kept_out = 0, 0, 0
    for number in range(1000 * block, 1000 * (block + 1)):
        customers, scores, suppression, contacts, limits = case(number)
        made = build(scores, suppression, contacts, limits)
        built += 1
        log = made.log.select(["customer_id", "arm", "propensity", "why", "expected_cost"]).to_pydict()
        listed = {c for c, arm in zip(log["customer_id"], log["arm"], strict=True) if arm not in (None, "control")}
        out = must_not(customers, suppression, contacts, limits)
        assert not listed & out
        # everybody who was scored is in the log once, with what became of him
        assert sorted(log["customer_id"]) == log["customer_id"] == sorted(set(scores["customer_id"]))
        for customer, arm, propensity, why in zip(
            *(log[x] for x in ("customer_id", "arm", "propensity", "why")), strict=True
        ):
            assert (why == "sent") == (customer in listed)
            assert why.startswith(("suppressed", "holdout")) == (customer in out)
            assert (arm is None) == (propensity is None) == why.startswith("suppressed")
            assert propensity is None or 0.0 < propensity <= 1.0 + 1e-12
        spend = sum(cost for cost in log["expected_cost"] if cost is not None)
        assert limits["budget"] is None or spend <= limits["budget"] + 1e-9
        assert limits["max_contacts"] is None or len(listed) <= limits["max_contacts"]
        for arm, stock in limits["stock"].items():
            assert log["arm"].count(arm) <= stock
        mailed, kept_out = mailed + len(listed), kept_out + len(out)
        if number % 50 == 0:
            assert made.lines["customer_id"].to_pylist() == sorted(listed)
    assert built == 1000
    assert mailed > 500  # the cases are not all empty lists
    assert kept_out > 2000


def test_the_order_of_rows_does_not_matter():
    for number in range(0, 200, 7):
        _, scores, suppression, contacts, limits = case(number)
        limits["exploration"] = 0.0 if limits["budget"] is not None or limits["stock"] else limits["exploration"]
        limits["max_contacts"] = None
        there = {"suppression": suppression, "recent_contacts": contacts, **limits}
        made = TargetList.build(scores, "spring", on=ON, **there)
        turned = TargetList.build({name: list(rows)[::-1] for name, rows in scores.items()}, "spring", on=ON, **there)
        assert made.log_bytes() == turned.log_bytes()
        assert made.list_bytes("csv") == turned.list_bytes("csv")


def test_a_stranger_to_the_campaign_has_no_decision():
    _, scores, suppression, contacts, limits = case(1)
    limits |= {"exploration": 0.0}
    made = TargetList.build(scores, "spring", on=ON, suppression=suppression, recent_contacts=contacts, **limits)
    with pytest.raises(ModelError, match="considered no customer 'stranger'"):
        made.explain("stranger")
