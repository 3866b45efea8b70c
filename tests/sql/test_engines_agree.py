"""Every query and every check gives the same rows on DuckDB and Spark; where the engines differ, that is asserted.

The data are made to be awkward: chains of links, guests, currencies, ties, NULLs, several orders a day, zero lines,
year ends, minutes before midnight, refunds with and without a sale, and a base that an earlier build carried over.
"""

import random
from collections import Counter
from datetime import date, datetime, time, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest
import sqlglot.expressions as exp

from regulars.sql import contract
from regulars.sql.catalog import checks, queries
from regulars.sql.engine import DuckDBEngine, QueryError
from regulars.sql.errors import SettingsError
from regulars.sql.pipeline import CARRIED_TABLES, PREVIOUS, Pipeline
from regulars.sql.portable import lint_text
from regulars.sql.portable_rules import AGREED

pytestmark = pytest.mark.spark

FIRST_DAY = date(2023, 11, 20)
CUT = date(2024, 2, 20)
AS_OF = date(2024, 3, 30)
POLICY = {"guests": "one_customer_per_order", "duplicates": "set_aside", "calibration_end": date(2024, 1, 31)}
CAMPAIGN = {"campaign": "spring", "unsent": "control"}

LINKS = [
    {"old_id": "c03", "customer_id": "c04"},
    {"old_id": "c04", "customer_id": "c05"},
    {"old_id": "guest:o7", "customer_id": "c01"},
    {"old_id": "c06", "customer_id": "c06"},
    {"old_id": "round", "customer_id": "about"},
    {"old_id": "about", "customer_id": "round"},
    {"old_id": "two", "customer_id": "c02"},
    {"old_id": "two", "customer_id": "c01"},
]
RATES = [
    {"currency": "EUR", "day": FIRST_DAY, "rate": Decimal("0.85671234")},
    {"currency": "EUR", "day": date(2024, 1, 1), "rate": Decimal("0.90000001")},
    {"currency": "EUR", "day": date(2024, 1, 1), "rate": Decimal("0.91")},
    {"currency": "USD", "day": date(2023, 12, 31), "rate": Decimal("0.78125000")},
    {"currency": "CHF", "day": FIRST_DAY, "rate": Decimal("0")},
]
SENDS = [
    {
        "customer_id": customer,
        "campaign": campaign,
        "arm": arm,
        "sent_at": datetime.combine(date(2024, 2, day), time(9)),
    }
    for customer, campaign, arm, day in (
        ("c01", "spring", "mail", 20),
        ("c01", "spring", "voucher", 21),
        ("c03", "spring", "mail", 20),
        ("c05", "spring", "mail", 20),
        ("Ünï", "spring", "voucher", 22),
        ("nobody", "spring", "mail", 20),
        ("c02", "autumn", "mail", 1),
        (" ", "spring", "mail", 20),
        ("c07", "spring", None, 20),
        ("c08", None, "mail", 20),
    )
]
CUSTOMERS = [
    {"customer_id": f"c{k:02}", "joined_at": datetime.combine(date(2024, 2, 10 + k), time(8)) if k % 3 else None}
    for k in range(14)
]
PRODUCTS = [
    {"sku": "hat", "style_color": "headwear", "unit_cost": Decimal("1.2500"), "launched_on": date(2023, 11, 1)},
    {"sku": "cap", "style_color": "headwear", "category_1": "clothes"},
    {"sku": "tie", "unit_cost": Decimal("0.3333"), "category_1": "clothes", "category_2": "neck"},
    {"sku": "tie", "unit_cost": Decimal("0.4444"), "category_1": "clothes"},
]
STOCK = [
    {"sku": sku, "store_id": store, "week": date(2024, 1, 1) + timedelta(weeks=week), "on_hand": Decimal(on_hand)}
    for week in range(8)
    for sku, store, on_hand in (("hat", "north", 3), ("cap", None, 1), ("tie", "south", -1 if week == 2 else 2))
] + [
    # a second row of a day that differs, one that agrees, one of a later day, one without a count
    {"sku": sku, "store_id": "north", "week": date(2024, 1, 1) + timedelta(days=day), "on_hand": count}
    for sku, day, count in (("hat", 0, Decimal(9)), ("hat", 7, Decimal(3)), ("hat", 16, Decimal(1)), ("sock", 7, None))
]
PROMOTIONS = [
    {"sku": sku, "store_id": store, "week": date(2024, 1, 3) + timedelta(weeks=week), "display": shown, "mailer": mail}
    | {"promotion_cost": Decimal("0.1234") if shown else None}
    for week in range(6)
    for sku, store, shown, mail in (
        ("hat", "north", "9", "0"),
        ("hat", "south", None, "A"),
        ("tie", None, "end", None),
        ("sock", "north", "0", " "),
    )
]
CENTS = [0, 0, 1, 100, 333, 999, 1000, 1000, 1995, 25000, 9999999, 1234567890123, -1, -333, -999, -1000, -1000, -30000]


def awkward_lines(n: int = 420) -> list[dict]:
    rng = random.Random(20261121)
    span = (AS_OF - FIRST_DAY).days + 6
    lines = []
    for i in range(n):
        clock = rng.choice([time(0), time(12), time(12), time(23, 59, 59, 999999), time(8, 30, 0, 120000)])
        at = datetime.combine(FIRST_DAY + timedelta(days=rng.choice([rng.randrange(span), 41, 42, 101])), clock)
        money = Decimal(rng.choice(CENTS)) / 100
        lines.append(
            {
                "customer_id": rng.choice([*(f"c{k:02}" for k in range(14)), "two", "round", "Ünï ", None, " ", ""]),
                "ordered_at": at if i % 61 else None,
                "ordered_at_text": None if i % 61 else rng.choice(["31/02/2024", "soon", None]),
                "revenue": money if i % 53 else None,
                "revenue_text": None if i % 53 else rng.choice(["free", "1e99"]),
                "order_id": rng.choice([None, *(f"o{k}" for k in range(40))]),
                "sku": rng.choice([None, "", "hat", "tie", "sock"]),
                "quantity": rng.choice([None, Decimal("1.000"), Decimal("0.345")]),
                "discount": rng.choice([None, Decimal("0.50")]),
                "currency": rng.choice([None, None, None, "GBP", "EUR", "USD", "CHF", "SEK"]),
                "returned_at": at + timedelta(days=rng.randrange(9)) if i % 11 == 0 else None,
                "original_order_id": rng.choice([None, None, *(f"o{k}" for k in range(40))]) if money < 0 else None,
                "is_product": rng.choice([None, True, True, True, False]),
            }
        )
    shelf = random.Random(8)
    for line in lines:
        price = shelf.choice([None, None, Decimal("0.0049"), Decimal("1.9900"), Decimal("12.3456"), Decimal("-1.0000")])
        line["unit_price"] = price
        line["list_price"] = price and shelf.choice([None, price * 2, Decimal("0.9900")])
        line["unit_cost"] = shelf.choice([None, None, Decimal("0.9999")])
        line["store_id"] = shelf.choice([None, "", "north", "south"])
    return lines + rng.choices(lines, k=40)


def scores(customers: list[str]) -> pa.Table:
    rng = random.Random(7)
    value = {"DOUBLE": lambda: rng.choice([0.0, 0.125, 1.005, 2.675, rng.random() * 1e4]), "DATE": lambda: AS_OF}
    columns = {c.name: [value.get(c.type, lambda: "v1")() for _ in customers] for c in contract.CUSTOMER_SCORES.columns}
    columns |= {"customer_id": customers, "segment": [rng.choice(["at_risk", "active"]) for _ in customers]}
    return pa.table(columns, pa.schema([(c.name, arrow_type(c.type)) for c in contract.CUSTOMER_SCORES.columns]))


def churn(customers: list[str]) -> pa.Table:
    """Of every other customer, so that a join has both cases."""
    some = customers[::2]
    value = {"DOUBLE": 0.625, "DATE": AS_OF, "BIGINT": 30, "BOOLEAN": False, "VARCHAR": "said"}
    columns = {c.name: [value[c.type]] * len(some) for c in contract.CUSTOMER_CHURN.columns} | {"customer_id": some}
    columns["probability_no_order"] = [(0.25, 0.625, 0.5, 0.625)[i % 4] for i in range(len(some))]
    columns["median_days_survival"] = [(12.0, None)[i % 2] for i in range(len(some))]
    return pa.table(columns, pa.schema([(c.name, arrow_type(c.type)) for c in contract.CUSTOMER_CHURN.columns]))


def arrow_type(type_: str) -> pa.DataType:
    if type_.startswith("DECIMAL"):
        return pa.decimal128(*map(int, type_.removeprefix("DECIMAL(").rstrip(")").split(",")))
    return {
        "VARCHAR": pa.string(),
        "DATE": pa.date32(),
        "DOUBLE": pa.float64(),
        "BIGINT": pa.int64(),
        "BOOLEAN": pa.bool_(),
        "TIMESTAMP": pa.timestamp("us"),
    }[type_]


@pytest.fixture(scope="module")
def engines(spark_for_few_rows):
    with DuckDBEngine(threads=1) as duck:
        yield duck, spark_for_few_rows


@pytest.fixture(scope="module")
def pipelines(engines, stage_lines, shop_values):
    """Both engines with the same inputs, the base of an earlier build among them."""
    lines = awkward_lines()
    old = [line for line in lines if line["ordered_at"] and line["ordered_at"].date() <= CUT]
    new = [line for line in lines if line not in old]
    with DuckDBEngine(threads=1) as before:
        stage_lines(before, old, LINKS, RATES)
        base = Pipeline(before, shop_values(CUT, **POLICY))
        carried = {"check_results": base.check()}
        carried |= {table: base.run(table) for table in CARRIED_TABLES if table not in carried}
    made = []
    for engine in engines:
        stage_lines(engine, new, LINKS, RATES, SENDS, CUSTOMERS, PRODUCTS, STOCK, PROMOTIONS)
        for table, rows in carried.items():
            engine.register(f"{PREVIOUS}{table}", rows)
        given = [*(f"{PREVIOUS}{table}" for table in carried), "customer_scores", "customer_churn"]
        made.append(Pipeline(engine, shop_values(AS_OF, **POLICY, **CAMPAIGN), given=given, tracks_returns=True))
    customers = sorted(made[0].run("customer_summary").column("customer_id").to_pylist())
    for engine in engines:
        engine.register("customer_scores", scores(customers))
        engine.register("customer_churn", churn(customers))
    return made


def rows(table: pa.Table) -> Counter:
    return Counter(map(repr, table.to_pylist()))


@pytest.mark.parametrize("name", queries())
def test_a_query_gives_the_same_rows(pipelines, name):
    on_duckdb, on_spark = (pipeline.run(name) for pipeline in pipelines)
    assert on_duckdb.schema.remove_metadata() == on_spark.schema.remove_metadata()
    assert rows(on_duckdb) == rows(on_spark)
    if "LIMIT" in queries()[name].sql:
        assert on_duckdb.to_pylist() == on_spark.to_pylist()
    table = {t.name: t for t in vars(contract).values() if isinstance(t, contract.Table)}.get(name)
    if table is not None:
        assert on_duckdb.schema.remove_metadata() == pa.schema([(c.name, arrow_type(c.type)) for c in table.columns])
    # a comparison of nothing with nothing says nothing
    assert on_duckdb.num_rows > 0


def test_every_query_is_unique_on_its_grain(pipelines):
    for name, query in queries().items():
        if query.grain:
            keys = pipelines[0].run(name).select(list(query.grain)).to_pylist()
            assert max(Counter(map(repr, keys)).values(), default=1) == 1, name


@pytest.mark.parametrize("name", checks())
def test_a_check_sees_the_same(pipelines, name):
    on_duckdb, on_spark = (pipeline.check([name]).to_pylist() for pipeline in pipelines)
    assert on_duckdb == on_spark


@pytest.mark.parametrize(
    "policy",
    [
        {"guests": "set_aside", "duplicates": "keep", "refunds": "ignore", "zero_revenue": "set_aside"},
        {"guests": "set_aside", "duplicates": "keep", "refunds": "net", "zero_revenue": "keep"},
    ],
)
def test_other_policies(pipelines, policy):
    on_duckdb, on_spark = (pipeline.run("judged_order_lines", **policy) for pipeline in pipelines)
    assert rows(on_duckdb) == rows(on_spark)
    assert all(row["is_used"] == (row["reason"] == "") for row in on_duckdb.to_pylist())


@pytest.mark.parametrize("unit", [1 / 24, 1.0, 365.25 / 12])
def test_other_units(pipelines, unit):
    on_duckdb, on_spark = (
        pipeline.run("summary_counts", days_per_unit=unit, as_of="2024-02-29") for pipeline in pipelines
    )
    assert rows(on_duckdb) == rows(on_spark)


def test_what_a_query_reads_twice_is_kept_on_spark_and_made_anew_for_other_values(pipelines, monkeypatch):
    _, on_spark = pipelines
    on_spark.make("daily_rates")
    engine, made, seen = on_spark.engine, [], []
    materialize = engine.materialize
    monkeypatch.setattr(engine, "materialize", lambda table, *rest: made.append(table) or materialize(table, *rest))
    for category in ("clothes", "clothes", "", "clothes"):
        sql, _ = on_spark.statement(queries()["item_weeks"], category=category)
        assert "FROM order_lines" not in sql
        seen += engine.query("SELECT count(*) AS n FROM kept_priced_lines WHERE in_category").column("n").to_pylist()
    assert made == ["kept_priced_lines"] * 3
    assert seen[0] == seen[1] == seen[3] < seen[2]
    with pytest.raises(SettingsError, match=r"item_weeks takes no parameter 'colour'; allowed: .*category"):
        on_spark.statement(queries()["item_weeks"], colour="red")


# One line for each function that queries may use: an expression over the columns of the table below.
SNIPPETS = {
    exp.Abs: "sum(abs(whole))",
    exp.ArgMax: "arg_max(word, whole)",
    exp.ArgMin: "arg_min(word, whole)",
    exp.Avg: "avg(whole)",
    exp.Cast: "sum(CAST(word_number AS BIGINT))",
    exp.Ceil: "sum(ceil(money))",
    exp.Coalesce: "sum(coalesce(hole, 7))",
    exp.Concat: "max(concat(word, 'x'))",
    exp.Count: "count(DISTINCT hole)",
    exp.DateDiff: "max(date_diff('day', day, DATE '2024-03-01')) + min(date_diff('week', day, DATE '2024-03-01'))",
    exp.DateFromParts: "max(make_date(year(day) + 1, 2, 1))",
    exp.Day: "sum(day(day))",
    exp.DenseRank: "sum(dense)",
    exp.Exists: "count(*) FILTER (WHERE EXISTS (SELECT 1 FROM snippets WHERE whole > 3))",
    exp.Exp: "max(exp(small))",
    exp.Floor: "sum(floor(money))",
    exp.Greatest: "max(greatest(whole, hole, 2))",
    exp.GroupConcat: "string_agg(word, ',' ORDER BY whole DESC)",
    exp.Lag: "sum(before)",
    exp.LastDay: "max(last_day(day))",
    exp.Lead: "sum(after)",
    exp.Least: "min(least(whole, hole, 2))",
    exp.Length: "sum(length(word))",
    exp.Ln: "max(ln(small))",
    exp.Lower: "max(lower(word))",
    exp.MD5: "max(md5(word))",
    exp.Max: "max(money)",
    exp.Median: "median(small)",
    exp.Min: "min(day)",
    exp.Month: "sum(month(day))",
    exp.Ntile: "sum(part * whole)",
    exp.Nullif: "count(nullif(whole, 3))",
    exp.Rank: "sum(place)",
    exp.Round: "sum(round(money, 1))",
    exp.RowNumber: "sum(number * whole)",
    exp.Sqrt: "max(sqrt(small))",
    exp.Substring: "max(substr(word, 2, 2))",
    exp.Sum: "sum(money)",
    exp.TimestampTrunc: "max(CAST(date_trunc('month', day) AS DATE))",
    exp.Trim: "max(trim(word))",
    exp.Trunc: "CAST(trunc(sum(money)) AS BIGINT)",
    exp.TryCast: "sum(TRY_CAST(word AS BIGINT))",
    exp.Upper: "max(upper(word))",
    exp.Year: "sum(year(day))",
}
SNIPPET_TABLE = """
SELECT
    whole, hole, money, small, word, CAST(whole AS VARCHAR) AS word_number, day,
    row_number() OVER by_hole AS number,
    rank() OVER by_hole AS place,
    dense_rank() OVER by_hole AS dense,
    ntile(2) OVER (ORDER BY whole) AS part,
    lag(whole) OVER (ORDER BY whole) AS before,
    lead(whole, 2) OVER (ORDER BY whole) AS after
FROM (
    VALUES
        (1, NULL, CAST(2.25 AS DECIMAL(18, 2)), CAST(0.5 AS DOUBLE), ' pear ', DATE '2023-12-31'),
        (-2, 5, CAST(-2.25 AS DECIMAL(18, 2)), CAST(2.0 AS DOUBLE), '12', DATE '2024-02-29'),
        (3, 5, CAST(0.35 AS DECIMAL(18, 2)), CAST(3.5 AS DOUBLE), 'Äpfel', DATE '2024-01-01'),
        (4, 1, CAST(-0.05 AS DECIMAL(18, 2)), CAST(8.0 AS DOUBLE), 'fig', DATE '2024-02-05')
) AS v (whole, hole, money, small, word, day)
WINDOW by_hole AS (ORDER BY hole, whole)
"""


def test_every_allowed_function_agrees(engines):
    assert set(SNIPPETS) == AGREED
    selected = ", ".join(f"{sql} AS {kind.__name__}" for kind, sql in SNIPPETS.items())
    seen = []
    for engine in engines:
        engine.materialize("snippets", SNIPPET_TABLE)
        seen.append(engine.query(f"SELECT {selected} FROM snippets").to_pylist()[0])
    on_duckdb, on_spark = seen
    # numbers compare by value: a sum of whole numbers is a HUGEINT here and a BIGINT there
    assert {name: as_number(value) for name, value in on_duckdb.items()} == {
        name: as_number(value) for name, value in on_spark.items()
    }


def as_number(value):
    return Decimal(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else value


# Where the engines differ: what DuckDB says, what Spark says (an exception's words where it says nothing).
GAPS = [
    ("SELECT CAST(2.7 AS INT) AS x", 3, 2),
    ("SELECT log(100) AS x", 2.0, pytest.approx(4.605170185988092)),
    ("SELECT list(x ORDER BY x DESC) AS x FROM (VALUES (1), (3), (2)) AS v (x)", [3, 2, 1], [1, 3, 2]),
    ("SELECT date_diff('month', DATE '2024-01-31', DATE '2024-02-01') AS x", 1, 0),
    (
        "SELECT date_diff('day', TIMESTAMP '2024-01-01 23:00:00', TIMESTAMP '2024-01-02 01:00:00') AS x",
        1,
        0,
    ),
    ("SELECT DATE '2024-01-02' - DATE '2024-01-01' AS x", 1, timedelta(days=1)),
    ("SELECT dayofweek(DATE '2024-01-07') AS x", 0, 1),
    ("SELECT 1 / 0 AS x", float("inf"), "DIVIDE_BY_ZERO"),
    ("SELECT hash(1) AS x", 4717996019076358352, -559580957),
    ("SELECT lgamma(3) AS x", pytest.approx(0.6931471805599453), "UNRESOLVED_ROUTINE"),
    ("SELECT list_sum([1, 2]) AS x", 3, "UNRESOLVED_ROUTINE"),
    ("SELECT a AS x FROM (VALUES (1), (2)) AS v (a) WHERE x > 1", 2, "UNRESOLVED_COLUMN"),
    ("SELECT epoch_ms(DATE '1970-01-02') AS x", 86400000, "TYPE"),
]


@pytest.mark.parametrize(("sql", "on_duckdb", "on_spark"), GAPS, ids=[sql for sql, *_ in GAPS])
def test_a_gap_is_still_there_and_the_lint_keeps_queries_off_it(engines, sql, on_duckdb, on_spark):
    duck, spark = engines
    assert duck.query(sql).to_pylist() == [{"x": on_duckdb}]
    if isinstance(on_spark, str):
        with pytest.raises(QueryError, match=on_spark):
            spark.query(sql)
    else:
        assert spark.query(sql).to_pylist() == [{"x": on_spark}]
    header = "-- A gap.\n-- inputs:\n-- output: gap\n-- grain:\n-- parameters:\n"
    assert lint_text("gap", header + sql)


@pytest.mark.parametrize("unsold", ["carried", "regular", "missing", "left_out"])
@pytest.mark.parametrize(("stores", "period"), [("apart", "week"), ("together", "day")])
def test_other_panels(pipelines, stores, period, unsold):
    asked = {"stores": stores, "period": period, "unsold": unsold, "category": "clothes", "item_level": "sku"}
    on_duckdb, on_spark = (pipeline.run("item_weeks", **asked) for pipeline in pipelines)
    assert rows(on_duckdb) == rows(on_spark)
    assert on_duckdb.num_rows > 0
