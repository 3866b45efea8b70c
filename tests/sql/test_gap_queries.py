"""Intervals between purchase days and the baskets that open them, over a handful of lines worked out by hand."""

from datetime import date, datetime, time, timedelta
from decimal import Decimal

import pytest

from regulars.sql.engine import DuckDBEngine
from regulars.sql.pipeline import Pipeline

AS_OF = date(2024, 6, 30)


def line(customer: str, day: date, revenue: str = "10.00", at: time = time(12), **columns) -> dict:
    return {"customer_id": customer, "ordered_at": datetime.combine(day, at), "revenue": Decimal(revenue)} | columns


@pytest.fixture
def ask(stage_lines, shop_values):
    """Rows of a query over lines, by customer and start."""

    def run(name, lines, *, products=(), as_of=AS_OF, **parameters) -> dict:
        with DuckDBEngine(threads=1) as engine:
            stage_lines(engine, lines, products=products)
            rows = Pipeline(engine, shop_values(AS_OF)).run(name, as_of=as_of, **parameters).to_pylist()
        found = {(row["customer_id"], row["starts"]): row for row in rows}
        assert len(found) == len(rows)
        return found

    return run


MAY = date(2024, 5, 1)
LINES = [
    line("ann", MAY, order_id="1"),
    line("ann", MAY, at=time(18), order_id="2"),  # the same day: one purchase of two orders
    line("ann", MAY + timedelta(days=10), "30.00", discount=Decimal("10.00")),
    line("ann", MAY + timedelta(days=40), "50.00"),
    line("bob", AS_OF, "5.00"),
    line("bob", AS_OF + timedelta(days=1), "5.00"),  # after the as-of date
]


def test_intervals_end_with_the_next_day_or_stay_open(ask):
    rows = ask("order_gaps", LINES)
    assert {key: (r["duration"], r["event"], r["gap_number"]) for key, r in rows.items()} == {
        ("ann", MAY): (10, True, 1),
        ("ann", MAY + timedelta(days=10)): (30, True, 2),
        ("ann", MAY + timedelta(days=40)): (20, False, 3),
        ("bob", AS_OF): (0, False, 1),
    }
    first, second, third = (rows["ann", MAY + timedelta(days=k)] for k in (0, 10, 40))
    assert [r["ends"] for r in (first, second, third)] == [second["starts"], third["starts"], AS_OF]
    assert [r["orders"] for r in (first, second, third)] == [2, 1, 1]
    assert [r["previous_gap"] for r in (first, second, third)] == [None, 10, 30]
    assert [r["gap_variation"] for r in (first, second)] == [None, None]
    # gaps of 10 and 30: mean 20, standard deviation sqrt(200)
    assert third["gap_variation"] == pytest.approx(200**0.5 / 20)
    assert (third["longest_gap"], third["mean_gap"], third["tenure"]) == (30, 20.0, 40)
    assert [r["purchases_28"] for r in (first, second, third)] == [1, 2, 1]
    assert [r["basket_value"] for r in (first, second, third)] == [20.0, 30.0, 50.0]
    assert [r["discount_share"] for r in (first, second)] == [0.0, 10 / 60]
    assert (first["month"], first["day_of_year"]) == (5, 121)


def test_an_earlier_day_ends_intervals_earlier(ask):
    rows = ask("order_gaps", LINES, as_of=MAY + timedelta(days=15))
    assert {key: (r["duration"], r["event"]) for key, r in rows.items()} == {
        ("ann", MAY): (10, True),
        ("ann", MAY + timedelta(days=10)): (5, False),
    }


def test_what_came_back_later_was_not_known(ask):
    back = line("ann", MAY + timedelta(days=50), "-30.00")
    rows = ask("order_gaps", [*LINES, back])
    assert rows["ann", MAY + timedelta(days=10)]["basket_value"] == 30.0
    # and a return is no visit
    assert len(rows) == 4


def test_only_open_intervals_and_only_some_customers(ask):
    assert set(ask("order_gaps", LINES, intervals="open")) == {("ann", MAY + timedelta(days=40)), ("bob", AS_OF)}
    # md5: ann 7e0d..., bob 9f9d...
    assert {customer for customer, _ in ask("order_gaps", LINES, ids_below="9000")} == {"ann"}
    assert ask("order_gaps", LINES, ids_below="7e0d") == {}


def test_a_basket_says_where_most_of_its_money_went(ask):
    products = [{"sku": "hat", "category_1": "b"}, {"sku": "tie", "category_1": "a"}, {"sku": "cap", "category_1": "b"}]
    lines = [
        line("ann", MAY, "4.00", sku="hat", channel="shop"),
        line("ann", MAY, "3.00", sku="cap", channel="web"),
        line("ann", MAY, "2.00", sku="tie", channel="web"),
        line("ann", MAY, "1.00", sku="unknown"),
        line("ann", MAY, "-1.00", sku="tie"),
        line("bob", MAY, "2.00", sku="hat", channel="web"),
        line("bob", MAY, "2.00", sku="tie", channel="shop"),
        line("cid", MAY, "0.00"),
    ]
    rows = {customer: row for (customer, _), row in ask("gap_features", lines, products=products).items()}
    asked = ("products", "categories", "main_category", "main_category_share", "main_channel")
    assert {customer: tuple(row[name] for name in asked) for customer, row in rows.items()} == {
        "ann": (4, 2, "b", 0.7, "web"),
        "bob": (2, 2, "a", 0.5, "shop"),  # as much each: the first by name
        "cid": (0, 0, None, None, None),
    }
