"""Customer days: orders of a day told apart, and the shorter query where no line names its order."""

import random
from collections import defaultdict
from datetime import date, datetime, time, timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from regulars.sql import connect
from regulars.sql.catalog import query
from regulars.sql.pipeline import Pipeline


def drawn_lines(n: int, *, names_orders: bool) -> list[dict]:
    rng = random.Random(n)
    start = datetime.combine(date(2024, 1, 1), time())
    return [
        {
            "customer_id": f"c{rng.randrange(40)}",
            "ordered_at": start + timedelta(hours=rng.randrange(24 * 25)),
            "revenue": Decimal(rng.randrange(0, 5000)) / 100,
            "discount": Decimal(rng.randrange(0, 200)) / 100,
            "order_id": rng.choice([None, "a", "b", "c"]) if names_orders else None,
        }
        for _ in range(n)
    ]


def days_by_hand(lines: list[dict]) -> dict[tuple[str, date], tuple]:
    by_day = defaultdict(list)
    for line in lines:
        by_day[line["customer_id"], line["ordered_at"].date()].append(line)
    return {
        key: (
            max(1, len({x["order_id"] for x in of_day} - {None})),
            len(of_day),
            sum(x["revenue"] for x in of_day),
            sum(x["discount"] for x in of_day),
        )
        for key, of_day in by_day.items()
    }


@pytest.fixture(params=[True, False], ids=["named orders", "no order named"])
def shop(request, tmp_path):
    lines = drawn_lines(2000, names_orders=request.param)
    types = {"revenue": pa.decimal128(18, 2), "discount": pa.decimal128(18, 2), "order_id": pa.string()}
    table = pa.Table.from_pylist(lines)
    for name, type_ in types.items():
        table = table.set_column(table.column_names.index(name), name, table[name].cast(type_))
    pq.write_table(table, tmp_path / "orders.parquet")
    with connect(orders=tmp_path / "orders.parquet", shop={"currency": "EUR"}) as db:
        yield db, lines, request.param


def _as_dict(rows: pa.Table) -> dict[tuple[str, date], tuple]:
    assert rows.num_rows == len({(x["customer_id"], x["day"]) for x in rows.to_pylist()})
    return {
        (x["customer_id"], x["day"]): (x["orders"], x["lines"], x["revenue"], x["discount"]) for x in rows.to_pylist()
    }


def test_days_are_those_counted_by_hand(shop):
    db, lines, _ = shop
    days = db.query("customer_days")
    assert _as_dict(days) == days_by_hand(lines)
    assert set(days["returned_revenue"].to_pylist()) == {Decimal(0)}


def test_the_shorter_query_is_taken_only_where_no_order_is_named_and_gives_the_same_rows(shop):
    db, lines, names_orders = shop
    sql, _ = db.pipeline.statement(query("customer_days"))
    assert ("count(order_id)" in sql) == names_orders
    by_name = _as_dict(Pipeline(db.engine, db.pipeline.parameters).run("sale_days"))
    assert by_name == days_by_hand(lines)
    if not names_orders:
        assert _as_dict(db.query("unnamed_sale_days")) == by_name
