"""Column mapping and typed staging: what each type of a file becomes, and what is refused by name."""

from datetime import date, datetime
from decimal import Decimal

import pytest

from regulars.sql.contract import INPUT_TABLES
from regulars.sql.engine import DuckDBEngine
from regulars.sql.errors import ContractError
from regulars.sql.sources import stage, staging_sql

ORDER_LINE = {"customer_id": "'c1'", "ordered_at": "TIMESTAMP '2020-01-31 10:00:00'", "revenue": "1.00"}


@pytest.fixture
def staged_values(open_shop):
    """The staged values of one contract column of order_lines, from SQL values of one column of a file."""

    def values(column: str, *given: str, **sections) -> list:
        others = ", ".join(f"{sql} AS {name}" for name, sql in ORDER_LINE.items() if name != column)
        rows = " UNION ALL ".join(f"SELECT {i} AS i, {sql} AS {column}, {others}" for i, sql in enumerate(given))
        shop = open_shop(f"SELECT * EXCLUDE (i) FROM ({rows}) ORDER BY i", **sections)
        return shop.sql(f"SELECT {column} FROM order_lines").column(column).to_pylist()

    return values


def test_columns_come_in_the_order_and_types_of_the_contract(open_shop):
    shop = open_shop("SELECT 1.5 AS revenue, DATE '2020-01-31' AS ordered_at, 7 AS customer_id")
    for name, table in INPUT_TABLES.items():
        expected = {column.name: column.type for column in table.columns}
        if name == "order_lines":
            expected |= {"ordered_at_text": "VARCHAR", "revenue_text": "VARCHAR"}
        _ = shop.staged
        assert list(shop.engine.columns(name).items()) == list(expected.items())
    assert shop.sql("SELECT count(*) AS n FROM products").to_pylist() == [{"n": 0}]


def test_staging_copies_nothing(open_shop):
    shop = open_shop("SELECT 'c' AS customer_id, DATE '2020-01-31' AS ordered_at, 1 AS revenue FROM range(1000)")
    _ = shop.staged
    kinds = shop.sql("SELECT DISTINCT table_type AS kind FROM information_schema.tables").column("kind").to_pylist()
    assert kinds == ["VIEW"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2.5::DOUBLE", "2.50"),
        ("0.125::DOUBLE", "0.13"),  # exact in binary: half away from zero
        ("-0.125::DOUBLE", "-0.13"),
        ("0.375::DOUBLE", "0.38"),
        ("90071992547409.91::DOUBLE", "90071992547409.91"),  # 2**53 cents: beyond, a DOUBLE holds no single cents
        ("0.1::DOUBLE + 0.2::DOUBLE", "0.30"),
        ("2.55::FLOAT", "2.55"),
        ("123456.78::FLOAT", "123456.78"),
        ("-0.0::DOUBLE", "0.00"),
        ("12::INTEGER", "12.00"),
        ("12::UTINYINT", "12.00"),
        ("9999999999999999::BIGINT", "9999999999999999.00"),
        ("12.345::DECIMAL(9,3)", "12.35"),
        ("-12.345::DECIMAL(9,3)", "-12.35"),
        ("9999999999999999.99::DECIMAL(38,2)", "9999999999999999.99"),
        ("'12.34'", "12.34"),
        ("' -12.345 '", "-12.35"),
        ("'.5'", "0.50"),
        ("'7.'", "7.00"),
        ("'+1e2'", "100.00"),
    ],
)
def test_money_is_read_to_the_cent(staged_values, given, expected):
    assert staged_values("revenue", given) == [Decimal(expected)]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("'nan'::DOUBLE", "nan"),
        ("'inf'::DOUBLE", "inf"),
        ("'-inf'::DOUBLE", "-inf"),
        ("1e16::DOUBLE", "1e16"),
        ("-1e300::DOUBLE", "-1e300"),
        ("10000000000000000::BIGINT", "10000000000000000"),
        ("10000000000000000.00::DECIMAL(38,2)", "10000000000000000.00"),
        ("'10000000000000000'", "10000000000000000"),
        ("'12,34'", "12,34"),
        ("'1_000'", "1_000"),
        ("'GBP 5'", "GBP 5"),
        ("''", ""),
    ],
)
def test_money_that_cannot_be_read_keeps_its_text(open_shop, given, text):
    kind = "'5'" if given.startswith("'") and "::" not in given else "5"
    shop = open_shop(
        f"SELECT 'c' AS customer_id, DATE '2020-01-31' AS ordered_at, {given} AS revenue "
        f"UNION ALL SELECT 'c', DATE '2020-01-31', {kind} ORDER BY revenue"
    )
    rows = shop.sql("SELECT revenue, revenue_text FROM order_lines ORDER BY revenue NULLS FIRST").to_pylist()
    assert rows == [{"revenue": None, "revenue_text": text}, {"revenue": Decimal("5.00"), "revenue_text": None}]


def test_a_missing_amount_has_no_text(open_shop):
    shop = open_shop("SELECT 'c' AS customer_id, DATE '2020-01-31' AS ordered_at, NULL::DOUBLE AS revenue")
    assert shop.sql("SELECT revenue, revenue_text FROM order_lines").to_pylist() == [
        {"revenue": None, "revenue_text": None}
    ]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("17850::INTEGER", "17850"),
        ("17850.0::DOUBLE", "17850"),
        ("17850.0::FLOAT", "17850"),
        ("-3.0::DOUBLE", "-3"),
        ("9007199254740992::DOUBLE", "9007199254740992"),
        ("17850.00::DECIMAL(12,2)", "17850"),
        ("0.00::DECIMAL(12,2)", "0"),
        ("12345678901234567890123456789012345678::DECIMAL(38,0)", "12345678901234567890123456789012345678"),
        ("17850.50::DECIMAL(12,2)", "17850.50"),
        ("1.5::DOUBLE", "1.5"),
        ("'00042'", "00042"),
        ("' a b '", " a b "),
        ("''", ""),
        ("NULL::VARCHAR", None),
        ("'nan'::DOUBLE", None),
        ("'inf'::DOUBLE", None),
        ("'6ba7b810-9dad-11d1-80b4-00c04fd430c8'::UUID", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
        ("'web'::ENUM('web', 'shop')", "web"),
    ],
)
def test_ids_become_text(staged_values, given, expected):
    assert staged_values("customer_id", given) == [expected]


@pytest.mark.parametrize(("type_", "limit"), [("DOUBLE", 2**53), ("FLOAT", 2**24)])
def test_float_ids_that_run_together_are_refused(staged_values, type_, limit):
    with pytest.raises(ContractError) as caught:
        staged_values("customer_id", f"{2 * limit}::{type_}", f"5::{type_}")
    assert f"columns.customer_id: customer_id is {type_}, and 1 values are beyond {limit}" in str(caught.value)


@pytest.mark.parametrize(
    ("given", "timezone", "expected"),
    [
        ("TIMESTAMP '2020-07-01 23:30:00.123456'", "Europe/London", "2020-07-01 23:30:00.123456"),
        ("TIMESTAMP_S '2020-07-01 23:30:00'", "Europe/London", "2020-07-01 23:30:00"),
        ("TIMESTAMP_NS '2020-07-01 23:59:59.999999999'", "Europe/London", "2020-07-01 23:59:59.999999"),
        ("TIMESTAMP_NS '1969-07-01 23:59:59.999999999'", "Europe/London", "1969-07-01 23:59:59.999999"),
        ("'2020-07-01 23:59:59.999999999'", "Europe/London", "2020-07-01 23:59:59.999999"),
        ("DATE '2020-07-01'", "Europe/London", "2020-07-01 00:00:00"),
        ("TIMESTAMPTZ '2020-07-01 23:30:00+00'", "Europe/London", "2020-07-02 00:30:00"),
        ("TIMESTAMPTZ '2020-01-01 03:00:00+00'", "America/New_York", "2019-12-31 22:00:00"),
        ("'2020-07-01'", "Europe/London", "2020-07-01 00:00:00"),
        ("'2020-07-01 23:30'", "Europe/London", "2020-07-01 23:30:00"),
        ("' 2020-07-01T23:30:01.5 '", "Europe/London", "2020-07-01 23:30:01.500000"),
        ("'2020-07-01T23:30:00Z'", "Europe/London", "2020-07-02 00:30:00"),
        ("'2020-07-01 23:30:00+02:00'", "Europe/London", "2020-07-01 22:30:00"),
        ("'2020-07-01 23:30:00-0530'", "UTC", "2020-07-02 05:00:00"),
        ("'2020-07-01T23:30+02'", "Asia/Tokyo", "2020-07-02 06:30:00"),
        # the hour that summer time skips, and the hour that its end repeats
        ("TIMESTAMPTZ '2020-03-29 01:30:00+00'", "Europe/London", "2020-03-29 02:30:00"),
        ("TIMESTAMPTZ '2020-10-25 01:30:00+00'", "Europe/London", "2020-10-25 01:30:00"),
    ],
)
def test_moments_are_read_on_the_shops_clock(staged_values, given, timezone, expected):
    (seen,) = staged_values("ordered_at", given, shop={"timezone": timezone})
    assert seen == datetime.fromisoformat(expected)


@pytest.mark.parametrize(
    "text",
    [
        "2020-02-30",
        "2020-13-01",
        "2020-01-01 24:00:00",
        "2020-01-01 12:61",
        "2020-01-01 12",
        "2020-1-1",
        "01/02/2020",
        "2020",
        "20200101",
        "12:00",
        "infinity",
        "epoch",
        "today",
        "2020-01-01 12:00:00 UTC",
        "2020-01-01 12:00:00 Europe/London",
        "NULL",
    ],
)
def test_a_text_that_is_no_moment_keeps_its_text(open_shop, text):
    shop = open_shop(
        f"SELECT 'c' AS customer_id, '{text}' AS ordered_at, 1 AS revenue UNION ALL SELECT 'c', '2020-01-31', 2"
    )
    rows = shop.sql("SELECT ordered_at, ordered_at_text FROM order_lines ORDER BY revenue").to_pylist()
    assert rows == [
        {"ordered_at": None, "ordered_at_text": text},
        {"ordered_at": datetime.fromisoformat("2020-01-31"), "ordered_at_text": None},
    ]
    assert shop.staged.tables["order_lines"].unreadable == {"ordered_at": 1}


def test_flags_are_read_from_texts_and_numbers(staged_values):
    assert staged_values("is_product", "'Yes'", "'n'", "'1'", "' FALSE '", "'perhaps'", "NULL") == [
        True, False, True, False, None, None,
    ]  # fmt: skip
    assert staged_values("is_product", "1", "0") == [True, False]


def test_an_expression_may_use_any_column_of_the_file(open_shop):
    shop = open_shop(
        "SELECT 1 AS \"Customer ID\", DATE '2020-01-31' AS at, 3 AS Quantity, 2.5::DOUBLE AS unit_price",
        orders={
            "path": "orders.parquet",
            "columns": {
                "customer_id": "Customer ID",
                "ordered_at": "AT",
                "revenue": "quantity * Unit_Price -- pieces times price",
                "sku": "CASE WHEN \"Customer ID\" > 0 THEN 'known' ELSE NULL END",
                "currency": "'GBP'",
                "order_id": '"Customer ID"',
            },
        },
    )
    (row,) = shop.sql("SELECT customer_id, revenue, quantity, sku, currency, order_id FROM order_lines").to_pylist()
    assert row == {
        "customer_id": "1",
        "revenue": Decimal("7.50"),
        "quantity": None,  # 'Quantity' is no column of exactly that name
        "sku": "known",
        "currency": "GBP",
        "order_id": "1",
    }


def test_a_column_of_exactly_the_contracts_name_is_used_unless_mapped_otherwise(open_shop):
    shop = open_shop(
        "SELECT 1 AS customer_id, DATE '2020-01-31' AS ordered_at, 5 AS revenue, 'a' AS sku, 'b' AS style, "
        "2 AS quantity",
        orders={"path": "orders.parquet", "columns": {"sku": "style"}},
    )
    (row,) = shop.sql("SELECT sku, quantity FROM order_lines").to_pylist()
    assert row == {"sku": "b", "quantity": Decimal(2)}


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("sum(amount)", "an aggregate, 'SUM(amount)'"),
        ("list(amount)", "an aggregate"),
        ("bit_xor(amount)", "an aggregate"),
        ("row_number() OVER ()", "a window function"),
        ("(SELECT 1)", "a subquery"),
        ("amount IN (SELECT 1)", "a subquery"),
        ("EXISTS (SELECT 1)", "a subquery"),
        ("amount, amount", "is not one expression"),
        ("amount FROM raw_order_lines", "is not one expression"),
        ("amount; DROP TABLE x", "is not one expression"),
        ("amount AS x", "an alias"),
        ("*", "a star"),
        ("COLUMNS(*)", "a star"),
        ("unnest([1, 2])", "a function that makes rows"),
        ("$amount", "a parameter"),
        ("random()", "a value that changes by itself"),
        ("now()", "a value that changes by itself"),
        ("current_date", "a value that changes by itself"),
        ("today()", "a value that changes by itself"),
        ("gen_random_uuid()", "a value that changes by itself"),
        ("getenv('HOME')", "outside the line"),
        ("nextval('s')", "changes by itself"),
        ("read_text('/etc/hostname')", "an aggregate or a table"),
        ("amount +", "neither a column of the file nor a SQL expression"),
        (
            "amont",
            "the file has no column 'amont'; did you mean 'amount'?; its columns: customer_id, ordered_at, amount",
        ),
        ("amont * 2", "the file has no column 'amont'; did you mean 'amount'?"),
        ("other.amount", "the file has no column 'other'"),
        ("amount * name", "it reads amount INTEGER, name VARCHAR; correct it, with CAST(column AS DOUBLE)"),
        ("no_such_function(amount)", "no_such_function does not exist"),
        ("md5(amount)", "md5(INTEGER)"),
    ],
)
def test_what_is_no_scalar_expression_of_a_line_is_refused(open_shop, expression, said):
    shop = open_shop(
        "SELECT 1 AS customer_id, DATE '2020-01-31' AS ordered_at, 5 AS amount, 'x' AS name",
        orders={"path": "orders.parquet", "columns": {"revenue": expression}},
    )
    with pytest.raises(ContractError) as caught:
        _ = shop.staged
    text = str(caught.value)
    assert text.startswith(f"regulars.toml: [orders] columns.revenue = {expression!r}")
    assert said in text
    assert "Traceback" not in text


@pytest.mark.parametrize(
    ("column", "given", "said"),
    [
        ("ordered_at", "19970101", "strptime(CAST(ordered_at AS VARCHAR), '%Y%m%d')"),
        ("ordered_at", "852076800::DOUBLE", "to_timestamp(ordered_at)"),
        ("ordered_at", "TRUE", "ordered_at is BOOLEAN, which cannot be read as TIMESTAMP; allowed: DATE, TIMESTAMP, T"),
        ("ordered_at", "[DATE '2020-01-01']", "ordered_at is DATE[]"),
        (
            "revenue",
            "DATE '2020-01-01'",
            "revenue is DATE, which cannot be read as DECIMAL(18,2); allowed: DECIMAL, DO",
        ),
        ("revenue", "TRUE", "revenue is BOOLEAN"),
        ("revenue", "'x'::BLOB", "revenue is BLOB"),
        (
            "customer_id",
            "'x'::BLOB",
            'write an expression that makes it one, such as customer_id = "decode(customer_id)"',
        ),
        ("customer_id", "{'id': 1}", "customer_id is STRUCT(id INTEGER)"),
        ("customer_id", "TRUE", "customer_id is BOOLEAN, which cannot be read as VARCHAR"),
        ("customer_id", "TIMESTAMP '2020-01-01'", "customer_id is TIMESTAMP"),
    ],
)
def test_a_type_that_cannot_be_read_is_refused_by_name(staged_values, column, given, said):
    with pytest.raises(ContractError) as caught:
        staged_values(column, given)
    assert f"regulars.toml: [orders] columns.{column}: " in str(caught.value)
    assert said in str(caught.value)
    assert "write " in str(caught.value)


@pytest.mark.parametrize(
    ("given", "expression", "expected"),
    [
        ("19970101", "strptime(CAST(day AS VARCHAR), '%Y%m%d')", datetime.fromisoformat("1997-01-01")),
        ("852076800", "to_timestamp(day)", datetime.fromisoformat("1997-01-01")),
    ],
)
def test_the_suggested_expression_for_numbers_works(open_shop, given, expression, expected):
    shop = open_shop(
        f"SELECT 1 AS customer_id, {given} AS day, 5 AS revenue",
        orders={"path": "orders.parquet", "columns": {"ordered_at": expression}},
    )
    assert shop.sql("SELECT ordered_at FROM order_lines").to_pylist() == [{"ordered_at": expected}]


def test_a_required_column_that_nothing_feeds_is_named_with_the_nearest(open_shop):
    shop = open_shop("SELECT 1 AS customerid, DATE '2020-01-31' AS ordered_at, 5 AS revenue")
    with pytest.raises(ContractError) as caught:
        _ = shop.staged
    text = str(caught.value)
    assert "[orders] columns: nothing feeds customer_id (Who bought" in text
    assert "did you mean 'customerid'?; its columns: customerid, ordered_at, revenue" in text
    assert 'write columns = { customer_id = "' in text


def test_an_unknown_contract_column_is_named_with_the_nearest(open_shop):
    shop = open_shop(
        "SELECT 1 AS customer_id, DATE '2020-01-31' AS ordered_at, 5 AS revenue",
        orders={"path": "orders.parquet", "columns": {"custmer_id": "customer_id"}},
    )
    with pytest.raises(
        ContractError, match=r"columns\.custmer_id: order_lines has no column 'custmer_id'; did you mean"
    ):
        _ = shop.staged


def test_what_an_expression_cannot_read_keeps_the_text_of_the_file(open_shop):
    shop = open_shop(
        "SELECT 'c' AS customer_id, '31/01/2020' AS day, '3' AS pieces, '2.50' AS price "
        "UNION ALL SELECT 'c', 'soon', '3', 'dear' UNION ALL SELECT 'c', NULL, NULL, NULL",
        orders={
            "path": "orders.parquet",
            "columns": {
                "ordered_at": "try_strptime(day, '%d/%m/%Y')",
                "revenue": "TRY_CAST(pieces AS DOUBLE) * TRY_CAST(price AS DOUBLE)",
            },
        },
    )
    rows = shop.sql("SELECT ordered_at, ordered_at_text, revenue, revenue_text FROM order_lines").to_pylist()
    assert rows == [
        {
            "ordered_at": datetime.fromisoformat("2020-01-31"),
            "ordered_at_text": None,
            "revenue": Decimal("7.50"),
            "revenue_text": None,
        },
        {"ordered_at": None, "ordered_at_text": "soon", "revenue": None, "revenue_text": "pieces=3, price=dear"},
        {"ordered_at": None, "ordered_at_text": None, "revenue": None, "revenue_text": None},
    ]


def test_further_columns_of_customers_products_and_promotions_are_kept(open_shop, write_parquet):
    write_parquet("SELECT 9 AS \"Item No\", 'shoes' AS department, 1 AS level, 'x' AS sku_note", "products.parquet")
    shop = open_shop(
        "SELECT 1 AS customer_id, DATE '2020-01-31' AS ordered_at, 5 AS revenue",
        products={
            "path": "products.parquet",
            "columns": {"sku": "Item No", "is_top": "level = 1", "style_color": "department || '-' || level"},
        },
    )
    assert shop.sql("SELECT * FROM products").to_pylist() == [
        {
            "sku": "9",
            "style_color": "shoes-1",
            "unit_cost": None,
            "launched_on": None,
            "exit_on": None,
            "category_1": None,
            "category_2": None,
            "category_3": None,
            "is_top": True,
            "department": "shoes",
            "level": 1,
            "sku_note": "x",
        }
    ]


def test_further_columns_of_order_lines_are_not_kept(open_shop):
    shop = open_shop("SELECT 1 AS customer_id, DATE '2020-01-31' AS ordered_at, 5 AS revenue, 'x' AS note")
    assert "note" not in shop.sql("SELECT * FROM order_lines").column_names


@pytest.mark.parametrize(
    ("section", "select", "expected"),
    [
        (
            "customer_links",
            "SELECT 17::DOUBLE AS old_id, 4 AS customer_id",
            {"old_id": "17", "customer_id": "4"},
        ),
        (
            "exchange_rates",
            "SELECT 'EUR' AS currency, '2020-01-31' AS day, 0.85::DOUBLE AS rate",
            {"currency": "EUR", "day": date(2020, 1, 31), "rate": Decimal("0.85")},
        ),
        (
            "customers",
            "SELECT 4 AS customer_id, TIMESTAMPTZ '2020-01-31 23:30:00+00' AS joined_at, "
            "'yes' AS email_consent, 3 AS age",
            {
                "customer_id": "4",
                "joined_at": datetime.fromisoformat("2020-02-01 00:30"),
                "email_consent": True,
                "age": 3,
            },
        ),
        (
            "stock",
            "SELECT 9 AS sku, TIMESTAMP '2020-01-27 00:00:00' AS week, 2.5::DOUBLE AS on_hand",
            {"sku": "9", "store_id": None, "week": date(2020, 1, 27), "on_hand": Decimal("2.5")},
        ),
        (
            "promotions",
            "SELECT 9 AS sku, DATE '2020-01-27' AS week, 'front' AS display, TRUE AS flag",
            {
                "sku": "9",
                "store_id": None,
                "week": date(2020, 1, 27),
                "display": "front",
                "mailer": None,
                "promotion_cost": None,
                "flag": True,
            },
        ),
        (
            "sends",
            "SELECT 4 AS customer_id, 'may' AS campaign, 'mail' AS arm, DATE '2020-05-01' AS sent_at, "
            "'0.5' AS propensity",
            {
                "customer_id": "4",
                "campaign": "may",
                "arm": "mail",
                "sent_at": datetime.fromisoformat("2020-05-01"),
                "propensity": 0.5,
            },
        ),
    ],
)
def test_the_other_inputs_are_typed_alike(open_shop, write_parquet, section, select, expected):
    write_parquet(select, f"{section}.parquet")
    shop = open_shop(
        "SELECT 1 AS customer_id, DATE '2020-01-31' AS ordered_at, 5 AS revenue",
        shop={"timezone": "Europe/Paris"},
        **{section: {"path": f"{section}.parquet"}},
    )
    assert shop.sql(f"SELECT * FROM {section}").to_pylist() == [expected]


def test_the_select_is_a_function_of_the_columns_alone(make_settings):
    raw = {"customer_id": "BIGINT", "ordered_at": "VARCHAR", "revenue": "DOUBLE"}
    settings = make_settings()
    assert staging_sql("order_lines", raw, settings) == staging_sql("order_lines", dict(raw), settings)


def test_the_same_bytes_at_any_number_of_threads(write_parquet, make_settings):
    write_parquet(
        "SELECT (i % 997)::DOUBLE AS customer_id, TIMESTAMP '2020-01-01' + to_minutes(i) AS ordered_at, "
        "(i % 12345) / 7.0 AS revenue FROM range(200000) AS t(i)"
    )
    seen = []
    for threads in (1, 2, 5):
        with DuckDBEngine(threads=threads) as engine:
            stage(engine, make_settings())
            seen.append(engine.query("SELECT * FROM order_lines"))
    assert seen[0].equals(seen[1])
    assert seen[0].equals(seen[2])
