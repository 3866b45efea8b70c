"""Refunds are matched to sales: hand-worked cases, and a slow reference that walks them one by one."""

from collections import defaultdict
from datetime import date, datetime, time, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regulars.sql.engine import DuckDBEngine
from regulars.sql.pipeline import Pipeline

START = date(2024, 1, 1)
AS_OF = date(2024, 2, 29)


def line(day: int, revenue: str, customer: str = "ann", **columns) -> dict:
    at = datetime.combine(START, time(12)) + timedelta(days=day)
    return {"customer_id": customer, "ordered_at": at, "revenue": Decimal(revenue), **columns}


@pytest.fixture
def returns(stage_lines, shop_values):
    """Net revenue by (customer, day, order, sku) and the unmatched part of refunds, by day, of some lines."""

    def settle(lines: list[dict], **values) -> tuple[dict, dict]:
        with DuckDBEngine(threads=1) as engine:
            stage_lines(engine, lines)
            pipeline = Pipeline(engine, shop_values(AS_OF, **values))
            sales = pipeline.run("returnable_sales").to_pylist()
            refunds = pipeline.run("return_lines").to_pylist()
        came_back = {
            ((s["day"] - START).days, s["order_id"], s["sku"]): str(s["returned_revenue"])
            for s in sales
            if s["returned_revenue"]
        }
        unmatched: dict[int, Decimal] = defaultdict(Decimal)
        for r in refunds:
            unmatched[(r["day"] - START).days] -= r["revenue_reporting"] + r["matched_revenue"]
        return came_back, {day: str(money) for day, money in unmatched.items() if money}

    return settle


@pytest.mark.parametrize(
    ("lines", "came_back", "unmatched"),
    [
        pytest.param([line(0, "10"), line(3, "-10")], {(0, "", ""): "10.00"}, {}, id="whole"),
        pytest.param([line(0, "10"), line(3, "-4")], {(0, "", ""): "4.00"}, {}, id="in part"),
        pytest.param([line(3, "10"), line(3, "-10")], {(3, "", ""): "10.00"}, {}, id="on the day of the sale"),
        pytest.param([line(3, "10"), line(2, "-10")], {}, {2: "10.00"}, id="never to a later sale"),
        pytest.param([line(0, "10"), line(3, "-15")], {(0, "", ""): "10.00"}, {3: "5.00"}, id="more than was sold"),
        pytest.param(
            [line(0, "10"), line(1, "20"), line(3, "-15")],
            {(0, "", ""): "10.00", (1, "", ""): "5.00"},
            {},
            id="oldest sale first",
        ),
        pytest.param(
            [line(0, "10"), line(1, "-15"), line(2, "20"), line(3, "-6")],
            {(0, "", ""): "10.00", (2, "", ""): "6.00"},
            {1: "5.00"},
            id="what had no sale then takes none from later ones",
        ),
        pytest.param(
            [line(0, "10", sku="hat"), line(1, "10", sku="tie"), line(3, "-8", sku="tie")],
            {(1, "", "tie"): "8.00"},
            {},
            id="of the same product",
        ),
        pytest.param(
            [line(0, "10", "bob"), line(3, "-10", "ann")], {}, {3: "10.00"}, id="not to another customer's sale"
        ),
        pytest.param(
            [line(0, "10", order_id="o1"), line(1, "10", order_id="o2"), line(3, "-8", original_order_id="o2")],
            {(1, "o2", ""): "8.00"},
            {},
            id="the order that it names",
        ),
        pytest.param(
            [
                line(0, "50", order_id="o1", sku="hat"),
                line(0, "80", order_id="o1", sku="tie"),
                line(3, "-80", original_order_id="o1", sku="tie"),
            ],
            {(0, "o1", "tie"): "80.00"},
            {},
            id="the item of that order",
        ),
        pytest.param(
            [
                line(0, "50", order_id="o1", sku="hat"),
                line(0, "80", order_id="o1", sku="tie"),
                line(3, "-90", original_order_id="o1", sku="tie"),
            ],
            {(0, "o1", "tie"): "80.00", (0, "o1", "hat"): "10.00"},
            {},
            id="then other items of that order",
        ),
        pytest.param(
            [
                line(0, "10", order_id="o1", sku="hat"),
                line(1, "10", order_id="o2", sku="hat"),
                line(3, "-15", original_order_id="o2", sku="hat"),
            ],
            {(1, "o2", "hat"): "10.00", (0, "o1", "hat"): "5.00"},
            {},
            id="then other orders of the product",
        ),
        pytest.param(
            [
                line(0, "10", order_id="o1", sku="hat"),
                line(1, "10", order_id="o2", sku="hat"),
                line(2, "-10", sku="hat"),
                line(3, "-10", original_order_id="o1", sku="hat"),
            ],
            {(0, "o1", "hat"): "10.00", (1, "o2", "hat"): "10.00"},
            {},
            id="a named order goes before an earlier refund without a name",
        ),
        pytest.param(
            [line(0, "10", returned_at=datetime.fromisoformat("2024-01-05")), line(1, "7")],
            {(0, "", ""): "10.00"},
            {},
            id="marked on the sale",
        ),
        pytest.param(
            [line(0, "10", returned_at=datetime.fromisoformat("2024-01-05")), line(1, "7"), line(6, "-9")],
            {(0, "", ""): "10.00", (1, "", ""): "7.00"},
            {6: "2.00"},
            id="marked sales cannot come back again",
        ),
        pytest.param(
            [line(0, "10", returned_at=datetime.fromisoformat("2024-03-01")), line(1, "-1")],
            {(0, "", ""): "1.00"},
            {},
            id="marked as returned after the as-of date",
        ),
    ],
)
def test_refunds_are_taken_from(returns, lines, came_back, unmatched):
    assert returns(lines) == (came_back, unmatched)


def test_ignored_refunds_leave_sales_whole(returns):
    lines = [line(0, "10", returned_at=datetime.fromisoformat("2024-01-05")), line(1, "7"), line(6, "-9")]
    assert returns(lines, refunds="ignore") == ({}, {})


def test_a_large_pool_takes_no_quadratic_time(returns):
    # 20,000 sales and as many refunds of one customer without products or orders: pairing them would be 400M rows
    lines = [line(i % 50, "2.50") for i in range(20_000)] + [line(i % 50, "-2.50") for i in range(20_000)]
    came_back, unmatched = returns(lines)
    assert unmatched == {}
    assert sum(map(Decimal, came_back.values())) == 50_000


def reference(lines: list[dict]) -> tuple[dict, dict]:
    """Walk the refunds in order of time, round by round, each through the sales from the oldest."""

    def order(row: dict) -> list[str]:
        return ["" if row.get(c) is None else row[c] for c in ("order_id", "sku", "original_order_id")]

    # equal lines are one sale or refund; what they take is the same in any order
    sales = [
        {"who": row["customer_id"], "day": row["ordered_at"].date(), "sku": row.get("sku") or "",
         "order": row.get("order_id") or "", "open": row["revenue"], "back": Decimal(0)}
        for row in lines
        if row["revenue"] > 0
    ]  # fmt: skip
    sales.sort(key=lambda s: (s["day"], s["order"], s["sku"]))
    refunds = [
        {"who": row["customer_id"], "day": row["ordered_at"].date(), "sku": row.get("sku") or "",
         "names": row.get("original_order_id") or "", "open": -row["revenue"],
         "key": (row["ordered_at"], order(row), row["revenue"])}
        for row in lines
        if row["revenue"] < 0
    ]  # fmt: skip
    refunds.sort(key=lambda r: (r["day"], r["key"]))
    rounds = (
        lambda r, s: r["names"] and r["names"] == s["order"] and r["sku"] == s["sku"],
        lambda r, s: r["names"] and r["names"] == s["order"],
        lambda r, s: r["sku"] == s["sku"],
    )
    for fits in rounds:
        for refund in refunds:
            for sale in sales:
                if refund["who"] == sale["who"] and sale["day"] <= refund["day"] and fits(refund, sale):
                    taken = min(refund["open"], sale["open"])
                    refund["open"] -= taken
                    sale["open"] -= taken
                    sale["back"] += taken
    came_back: dict[tuple, Decimal] = defaultdict(Decimal)
    for sale in sales:
        came_back[(sale["who"], sale["day"], sale["order"], sale["sku"])] += sale["back"]
    unmatched: dict[tuple, Decimal] = defaultdict(Decimal)
    for refund in refunds:
        unmatched[(refund["who"], refund["day"], refund["sku"], refund["names"])] += refund["open"]
    return {k: v for k, v in came_back.items() if v}, {k: v for k, v in unmatched.items() if v}


order_lines = st.lists(
    st.builds(
        line,
        day=st.integers(0, 6),
        revenue=st.sampled_from(["10.00", "10.00", "3.33", "0.01", "25.50", "-10.00", "-3.33", "-12.34", "-30.00"]),
        customer=st.sampled_from(["ann", "bob"]),
        sku=st.sampled_from([None, "hat", "tie"]),
        order_id=st.sampled_from([None, "o1", "o2", "o3"]),
        original_order_id=st.sampled_from([None, None, "o1", "o2", "o9"]),
    ),
    min_size=1,
    max_size=25,
)


# five shops at once, each with an Ann and a Bob of its own: starting takes longer than matching
@settings(max_examples=15, deadline=None)
@given(shops=st.lists(order_lines, min_size=5, max_size=5))
def test_the_same_as_walking_them_one_by_one(shops, stage_lines, shop_values):
    lines = [one | {"customer_id": f"{one['customer_id']} {i}"} for i, shop in enumerate(shops) for one in shop]
    with DuckDBEngine(threads=1) as engine:
        stage_lines(engine, lines)
        pipeline = Pipeline(engine, shop_values(AS_OF))
        sales = pipeline.run("returnable_sales").to_pylist()
        refunds = pipeline.run("return_lines").to_pylist()
    came_back, unmatched = reference(lines)
    assert {
        (s["customer_id"], s["day"], s["order_id"], s["sku"]): s["returned_revenue"]
        for s in sales
        if s["returned_revenue"]
    } == came_back
    left: dict[tuple, Decimal] = defaultdict(Decimal)
    for r in refunds:
        key = (r["customer_id"], r["day"], r["sku"] or "", r["original_order_id"] or "")
        left[key] -= r["revenue_reporting"] + r["matched_revenue"]
    assert {key: money for key, money in left.items() if money} == unmatched
