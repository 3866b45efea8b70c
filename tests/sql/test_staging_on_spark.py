"""Staging gives the same rows on Spark as on DuckDB, value by value, for every kind of column."""

import random
from datetime import date

import pytest

from regulars.sql.engine import DuckDBEngine
from regulars.sql.errors import ContractError
from regulars.sql.settings import Settings
from regulars.sql.sources import stage

pytestmark = pytest.mark.spark

DOUBLES = [
    "0.125", "-0.125", "1.005", "1.115", "-1.115", "2.675", "0.285", "1e-9", "-0.0", "0.004999999", "0.005", "19.995",
    "12345678.905", "90071992547409.91", "9.5e15", "1e16", "-1e17", "1e300", "'nan'", "'inf'", "'-inf'", "NULL",
]  # fmt: skip
DECIMALS = [
    "0.0050",
    "-0.0050",
    "12.3449",
    "12.3450",
    "9999999999999999.9949",
    "9999999999999999.9950",
    "-1e16",
    "NULL",
]
TEXTS = [
    "12.345", "-12.345", " 7 ", ".5", "5.", "+1e2", "1e-3", "1E5", "1,5", "1_000", "", " ", "abc", "NaN", "inf", "0x10",
    "9999999999999999.994", "9999999999999999.995", "1e16", "1e400", "1d", "1f", "--1", None,
]  # fmt: skip
MOMENTS = [
    "2020-07-01", "2020-07-01 23:30", "2020-07-01T23:30:01", "2020-07-01 23:59:59.999999999", " 2020-07-01 00:00:00 ",
    "2020-02-30", "2020-13-01", "2020-07-01 24:00:00", "2020-07-01 12:60", "2020", "2020-07", "20200701", "12:00",
    "now", "epoch", "infinity", "2020-07-01 12:00:00 UTC", "0001-01-01", "9999-12-31 23:59:59", "", None,
]  # fmt: skip
INSTANTS = [
    "2020-07-01T23:30:00Z", "2020-07-01 23:30:00+02:00", "2020-07-01 23:30:00-0530", "2020-07-01T23:30+02",
    "2020-03-29 01:00:00+00", "2020-03-29 00:59:59.999999+00", "2020-10-25 00:30:00Z", "2020-10-25 01:30:00Z",
    "1971-01-01T00:00:00Z", "2020-07-01T23:30:00+25:00", "2020-07-01T23:30:00 +02:00",
]  # fmt: skip
IDS = ["17850", "-3", "0", "0.5", "9007199254740992", "'nan'", "'inf'", "NULL"]
FLAGS = ["true", "F", " yes ", "n", "0", "1", "2", "perhaps", "", None]


def _texts(values: list[str | None]) -> list[str]:
    return ["NULL" if value is None else "'" + value.replace("'", "''") + "'" for value in values]


# The kinds of values that a column may come in; each round of the test takes one of every column.
KINDS = {
    "revenue": [
        (DOUBLES, "DOUBLE"),
        (DOUBLES[:13], "FLOAT"),
        (DECIMALS, "DECIMAL(38,4)"),
        (["0", "-7", "9999999999999999", "10000000000000000", "NULL"], "BIGINT"),
        (_texts(TEXTS), "VARCHAR"),
    ],
    "ordered_at": [
        (_texts(MOMENTS), "VARCHAR"),
        (_texts(INSTANTS), "VARCHAR"),
        (_texts(INSTANTS[:9]), "TIMESTAMPTZ"),
        (_texts([*MOMENTS[:5], None]), "TIMESTAMP"),
        (_texts(["2020-07-01", "0001-01-01", None]), "DATE"),
    ],
    "customer_id": [
        (IDS, "DOUBLE"),
        (["17850", "-3", "0", "0.50", "123456789012345678901234567890", "NULL"], "DECIMAL(38,2)"),
        (["17850", "-3", "NULL"], "INTEGER"),
        (_texts(["00042", " a ", "", "Ünïcode", None]), "VARCHAR"),
    ],
    "unit_price": [(DOUBLES, "DOUBLE"), (_texts(TEXTS), "VARCHAR"), (DECIMALS, "DECIMAL(38,4)")],
    "is_product": [(_texts(FLAGS), "VARCHAR"), (["0", "1", "2", "NULL"], "INTEGER")],
}


def same_on_both(settings: Settings, spark, tables=("order_lines",)) -> int:
    """Assert that the staged rows are equal; return how many there are."""
    rows = 0
    with DuckDBEngine() as duck:
        stage(duck, settings)
        stage(spark, settings)
        for table in tables:
            ours, theirs = duck.query(f"SELECT * FROM {table}"), spark.query(f"SELECT * FROM {table}")
            assert theirs.column_names == ours.column_names
            assert sorted(map(repr, theirs.to_pylist())) == sorted(map(repr, ours.to_pylist()))
            rows += ours.num_rows
    return rows


@pytest.mark.parametrize("turn", range(5))
def test_every_kind_of_column_is_typed_alike(turn, spark, write_parquet, make_settings):
    kinds = {column: turns[turn % len(turns)] for column, turns in KINDS.items()}
    rows = max(len(values) for values, _ in kinds.values())
    columns = [
        f"[{', '.join(f'CAST({values[row % len(values)]} AS {type_})' for row in range(rows))}] AS {column}"
        for column, (values, type_) in kinds.items()
    ]
    unnested = ", ".join(f"unnest({column}) AS {column}" for column in kinds)
    write_parquet(f"SELECT {unnested} FROM (SELECT {', '.join(columns)})")
    assert same_on_both(make_settings(shop={"timezone": "Europe/London"}), spark) == rows


def test_thousands_of_doubles_are_rounded_alike(spark, write_parquet, make_settings):
    random_ = random.Random(20261121)
    cents = [random_.randrange(-(10**9), 10**9) / 100 for _ in range(1000)]
    halves = [random_.randrange(-(10**7), 10**7) / 200 for _ in range(1000)]
    # up to what money can hold: Java 17 writes the text of some larger doubles with a digit more (JDK-4511638)
    wide = [random_.uniform(-1, 1) * 10 ** random_.uniform(-6, 15.9) for _ in range(1000)]
    given = ", ".join(f"({value!r}::DOUBLE)" for value in cents + halves + wide)
    write_parquet(
        f"SELECT 'c' AS customer_id, DATE '2020-01-31' AS ordered_at, m AS revenue FROM (VALUES {given}) AS t(m)"
    )
    assert same_on_both(make_settings(), spark) == 3000


def test_fixed_width_text_is_cut_and_typed_alike(spark, example_settings):
    assert same_on_both(Settings.from_toml(example_settings("cdnow")), spark) == 6919


def test_expressions_partitions_and_further_columns_are_typed_alike(spark, write_parquet, make_settings, tmp_path):
    for store in ("007", "010"):
        write_parquet(
            "SELECT 1 AS household, TIMESTAMP '2020-06-30 23:30:00' AS sold_at, 3 AS pieces, 0.335::DOUBLE AS price",
            f"orders/store_id={store}/a.parquet",
        )
    (tmp_path / "products.csv").write_text('item,level,name\n007,1,"a, ""b"""\n008,,\n')
    settings = make_settings(
        orders={
            "path": "orders",
            "columns": {
                "customer_id": "household",
                "ordered_at": "sold_at AT TIME ZONE 'UTC'",
                "revenue": "pieces * price",
            },
        },
        products={"path": "products.csv", "columns": {"sku": "item", "is_top": "level = '1'"}},
        shop={"timezone": "America/New_York"},
    )
    assert same_on_both(settings, spark, ("order_lines", "products", "stock")) == 4


def test_a_database_on_spark_answers_as_on_duckdb(spark, open_shop):
    select = (
        "SELECT 'c' || (i % 10) AS customer_id, TIMESTAMP '2020-01-01 09:00:00' + to_days(i::INTEGER) AS ordered_at, "
        "1.25 * (i % 3) AS revenue, 'o' || i AS order_id FROM range(100) AS t(i)"
    )
    today = date(2020, 2, 1)
    ours, theirs = open_shop(select, today=today), open_shop(select, today=today, engine=spark)
    assert theirs.as_of == ours.as_of == today
    by_customer = "SELECT customer_id, sum(revenue) AS revenue FROM order_lines WHERE ordered_at < $end GROUP BY ALL"
    answers = [sorted(map(repr, shop.sql(by_customer, {"end": today}).to_pylist())) for shop in (ours, theirs)]
    assert answers[0] == answers[1]


def test_an_expression_that_fails_on_spark_is_named(spark, open_shop):
    shop = open_shop(
        "SELECT 'a' AS customer_id, 'soon' AS day, 1 AS revenue",
        orders={"path": "orders.parquet", "columns": {"ordered_at": "strptime(day, '%Y-%m-%d')"}},
        engine=spark,
    )
    with pytest.raises(ContractError, match=r"columns\.ordered_at = \"strptime.* fails on some line: "):
        _ = shop.as_of
