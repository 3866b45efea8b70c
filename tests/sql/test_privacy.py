"""Erased customers in the staged inputs, on both engines: recognised, linked, and named by nothing any more."""

import duckdb
import pytest

from regulars.sql.engine import DuckDBEngine
from regulars.sql.privacy import MARK, Tombstones, with_linked
from regulars.sql.sources import stage

ORDERS = """
SELECT * FROM (VALUES
    ('ann', '2024-01-01', 10.0, 'o1', NULL, 'tee'),
    ('bob', '2024-01-02', 20.0, 'o2', NULL, 'hat'),
    ('old ann', '2024-01-03', 30.0, 'o3', NULL, NULL),
    (NULL, '2024-01-04', 40.0, 'o4', NULL, 'tee'),
    ('', '2024-01-05', -4.0, 'o5', 'o4', 'tee'),
    (NULL, '2024-01-06', 50.0, 'o6', NULL, 'tee'),
    ('ann', 'soon', 60.0, 'o7', NULL, 'tee'),
    ('ann ', '2024-01-07', 70.0, 'o8', NULL, 'tee')
) AS v(customer_id, ordered_at, revenue, order_id, original_order_id, sku)
"""
CUSTOMERS = "SELECT unnest(['ann', 'bob', 'old ann']) AS customer_id, 'x' AS region"
LINKS = "SELECT * FROM (VALUES ('old ann', 'ann'), ('b', 'bob')) AS v(old_id, customer_id)"
SENDS = "SELECT unnest(['ann', 'bob', NULL]) AS customer_id, 'spring' AS campaign, 'mail' AS arm, \
TIMESTAMP '2024-01-01' AS sent_at, 0.5 AS propensity"


@pytest.fixture
def settings(write_parquet, make_settings):
    for name, select in (("orders", ORDERS), ("customers", CUSTOMERS), ("links", LINKS), ("sends", SENDS)):
        write_parquet(select, f"{name}.parquet")
    return make_settings(
        customers={"path": "customers.parquet"},
        customer_links={"path": "links.parquet"},
        sends={"path": "sends.parquet"},
    )


def staged_rows(engine, settings):
    stage(engine, settings)
    columns = "customer_id, order_id, original_order_id, sku, revenue, ordered_at_text"
    lines = engine.query(f"SELECT {columns} FROM order_lines").to_pylist()
    ids = {
        table: sorted(str(row["id"]) for row in engine.query(f"SELECT {column} AS id FROM {table}").to_pylist())
        for table, column in (("customers", "customer_id"), ("customer_links", "old_id"), ("sends", "customer_id"))
    }
    return sorted(str(list(row.values())) for row in lines), ids


def test_nobody_erased_changes_nothing(settings):
    with DuckDBEngine() as engine:
        lines, ids = staged_rows(engine, settings)
        assert not [line for line in lines if MARK in line]
        assert ids == {
            "customers": ["ann", "bob", "old ann"],
            "customer_links": ["b", "old ann"],
            "sends": ["None", "ann", "bob"],
        }
        Tombstones(settings.warehouse).path.parent.mkdir(exist_ok=True)
        Tombstones(settings.warehouse).add(["somebody else"])
        assert staged_rows(engine, settings) == (lines, ids)


def test_an_erased_customer_with_links_and_a_guest(settings):
    settings.warehouse.mkdir()
    Tombstones(settings.warehouse).add(["ann", "guest:o4"])
    with DuckDBEngine() as engine:
        lines, ids = staged_rows(engine, settings)
    marked = [line for line in lines if MARK in line]
    assert len(marked) == 5
    assert {line.split(", ")[1] for line in marked} == {"None"}
    # what demand needs stays; 'ann ' is another id, as in every query
    assert sum("tee" in line for line in marked) == 4
    assert [line for line in lines if "ann" in line] == [line for line in lines if "'ann '" in line]
    assert ids == {"customers": ["bob"], "customer_links": ["b"], "sends": ["None", "bob"]}
    with duckdb.connect() as connection:
        read = connection.sql(f"SELECT sum(revenue) FROM '{settings.folder}/orders.parquet'").fetchall()[0]
    assert sum(float(line.split("Decimal('")[1].split("'")[0]) for line in lines) == pytest.approx(float(read[0]))


def test_spark_leaves_out_the_same(settings, spark_for_few_rows):
    settings.warehouse.mkdir()
    Tombstones(settings.warehouse).add(["ann", "guest:o4"])
    with DuckDBEngine() as engine:
        expected = staged_rows(engine, settings)
    assert staged_rows(spark_for_few_rows, settings) == expected


def test_links_in_a_circle_end():
    assert with_linked({"a"}, [("a", "b"), ("b", "c"), ("c", "a")]) == {"a", "b", "c"}
