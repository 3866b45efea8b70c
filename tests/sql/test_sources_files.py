"""Where inputs may lie: one file, many, folders, hive partitions, CSV, packages; and a part of the files alone."""

import gzip
from decimal import Decimal

import pytest

from regulars.sql.engine import DuckDBEngine
from regulars.sql.errors import ContractError, SourceError
from regulars.sql.files import find_files
from regulars.sql.sources import stage

LINES = "SELECT {c} AS customer_id, TIMESTAMP '2020-01-{day} 10:00:00' AS ordered_at, {m} AS revenue"


def line(customer="'c'", day="31", money="1.5"):
    return LINES.format(c=customer, day=day, m=money)


@pytest.fixture
def lines_of(open_shop):
    def lines(select="*", **sections):
        shop = open_shop(**sections)
        return shop.sql(f"SELECT {select} FROM order_lines ORDER BY ALL").to_pylist()

    return lines


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("orders/a.parquet", ["a.parquet"]),
        ("orders", ["a.parquet", "b.parquet", "deep/c.parquet"]),
        ("orders/*.parquet", ["a.parquet", "b.parquet"]),
        ("orders/**/*.parquet", ["a.parquet", "b.parquet", "deep/c.parquet"]),
        ("*/a.parquet", ["orders/a.parquet"]),
        (["orders/b.parquet", "orders/a.parquet"], ["a.parquet", "b.parquet"]),
        (["orders/a.parquet", "orders/*.parquet"], ["a.parquet", "b.parquet"]),
    ],
)
def test_a_path_is_a_file_a_folder_a_glob_or_a_list(write_parquet, make_settings, path, names):
    for i, name in enumerate(["a.parquet", "b.parquet", "deep/c.parquet"]):
        write_parquet(line(money=i), f"orders/{name}")
    (settings_folder := make_settings().folder / "orders" / "_SUCCESS").write_text("")
    (settings_folder.parent / ".hidden.parquet").write_text("no Parquet")
    (settings_folder.parent / "notes.md").write_text("no data")
    settings = make_settings(orders={"path": path})
    source = find_files(settings, "order_lines")
    assert list(source.names) == names
    assert [file.endswith(name) for file, name in zip(source.files, names, strict=True)] == [True] * len(names)
    with DuckDBEngine() as engine:
        stage(engine, settings)
        assert engine.query("SELECT count(*) AS n FROM order_lines").to_pylist() == [{"n": len(names)}]


def test_a_file_url_is_a_path(write_parquet, lines_of):
    path = write_parquet(line())
    assert len(lines_of(orders={"path": f"file://{path}"})) == 1


def test_names_do_not_depend_on_where_the_folder_lies(write_parquet, make_settings, tmp_path):
    for place in ("here", "there/deeper"):
        write_parquet(line(), f"{place}/orders/store=1/a.parquet")
    found = [
        find_files(make_settings(orders={"path": f"{place}/orders"}), "order_lines").names
        for place in ("here", "there/deeper")
    ]
    assert found == [("store=1/a.parquet",)] * 2


def test_files_of_the_same_name_are_told_apart(write_parquet, make_settings):
    for place in ("one", "two"):
        write_parquet(line(), f"{place}/orders.parquet")
    settings = make_settings(orders={"path": ["two/orders.parquet", "one/orders.parquet"]})
    assert find_files(settings, "order_lines").names == ("one/orders.parquet", "two/orders.parquet")


def test_hive_partitions_are_columns_of_text(write_parquet, lines_of):
    for store in ("007", "010"):
        write_parquet(line(), f"orders/store_id={store}/part.parquet")
    assert [row["store_id"] for row in lines_of("store_id", orders={"path": "orders"})] == ["007", "010"]
    # the partition's value is no column where the settings say so
    assert [row["store_id"] for row in lines_of("store_id", orders={"path": "orders", "hive_partitioning": False})] == [
        None,
        None,
    ]


def test_a_partition_may_be_the_date(write_parquet, lines_of):
    for day in ("2020-01-30", "2020-01-31"):
        write_parquet("SELECT 1 AS customer_id, 2 AS revenue", f"orders/day={day}/part.parquet")
    rows = lines_of("ordered_at", orders={"path": "orders/*/*.parquet", "columns": {"ordered_at": "day"}})
    assert [str(row["ordered_at"]) for row in rows] == ["2020-01-30 00:00:00", "2020-01-31 00:00:00"]


def test_a_column_that_came_later_is_null_before(write_parquet, lines_of):
    write_parquet(line(), "orders/1.parquet")
    write_parquet(line() + ", 'web' AS channel", "orders/2.parquet")
    assert [row["channel"] for row in lines_of("channel", orders={"path": "orders"})] == ["web", None]


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("customer_id", ["17", "17.0::DOUBLE", "17.00::DECIMAL(9,2)"]),
        ("customer_id", ["17", "'17'"]),
        ("revenue", ["17", "17::DOUBLE", "17::DECIMAL(9,2)", "'17'", "NULL"]),
        ("ordered_at", ["DATE '2020-01-31'", "TIMESTAMP '2020-01-31 00:00:00'", "'2020-01-31'"]),
    ],
)
def test_files_may_hold_a_column_in_different_types_that_mean_the_same(write_parquet, lines_of, column, values):
    others = {"customer_id": "17", "ordered_at": "DATE '2020-01-31'", "revenue": "17"}
    for i, value in enumerate(values):
        chosen = ", ".join(f"{sql} AS {name}" for name, sql in (others | {column: value}).items())
        write_parquet(f"SELECT {chosen}", f"orders/{i}.parquet")
    rows = lines_of("customer_id, CAST(ordered_at AS VARCHAR) AS at, revenue", orders={"path": "orders"})
    expected = {"customer_id": "17", "at": "2020-01-31 00:00:00", "revenue": Decimal(17)}
    assert len(rows) == len(values)
    assert [row for row in rows if row != expected and row["revenue"] is not None] == []


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        (
            "ordered_at",
            ["TIMESTAMP '2020-01-31 10:00:00'", "TIMESTAMPTZ '2020-01-31 10:00:00+00'"],
            "TIMESTAMP in 0.parquet, TIMESTAMP WITH TIME ZONE in 1.parquet",
        ),
        ("ordered_at", ["DATE '2020-01-31'", "20200131"], "DATE in 0.parquet, INTEGER in 1.parquet"),
        ("customer_id", ["17.0::DOUBLE", "'17'"], "DOUBLE in 0.parquet, VARCHAR in 1.parquet"),
        ("revenue", ["17", "TRUE"], "BOOLEAN in 1.parquet, INTEGER in 0.parquet"),
    ],
)
def test_files_may_not_hold_a_column_in_types_that_mean_different_things(write_parquet, lines_of, column, values, said):
    others = {"customer_id": "17", "ordered_at": "DATE '2020-01-31'", "revenue": "17"}
    for i, value in enumerate(values):
        chosen = ", ".join(f"{sql} AS {name}" for name, sql in (others | {column: value}).items())
        write_parquet(f"SELECT {chosen}", f"orders/{i}.parquet")
    with pytest.raises(ContractError) as caught:
        lines_of(orders={"path": "orders"})
    assert f"[orders]: the column '{column}' is {said}; allowed: one type in all files; write" in str(caught.value)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "customer_id,ordered_at,revenue\n007,2020-01-31,1.50\n"),
        ({}, "customer_id;ordered_at;revenue\n007;2020-01-31;1.50\n"),
        ({}, "\ufeffcustomer_id\tordered_at\trevenue\n007\t2020-01-31\t1.50\n"),
        ({}, 'customer_id,ordered_at,revenue,note\n007,2020-01-31,1.50,"a, ""b""\nc"\n'),
        ({"header": False, "names": ["customer_id", "ordered_at", "revenue"]}, "007,2020-01-31,1.50\n"),
        ({"names": ["customer_id", "ordered_at", "revenue"]}, "007,2020-01-31,1.50\n"),
        ({"skip": 2}, "export\nof today\ncustomer_id,ordered_at,revenue\n007,2020-01-31,1.50\n"),
        ({"nullstr": "NA"}, "customer_id,ordered_at,revenue,sku\n007,2020-01-31,1.50,NA\n"),
        (
            {"types": {"revenue": "DOUBLE", "customer_id": "VARCHAR"}},
            "customer_id,ordered_at,revenue\n007,2020-01-31,1.5\n",
        ),
    ],
)
def test_csv_is_text_until_it_is_typed(tmp_path, lines_of, options, text):
    (tmp_path / "orders.csv").write_text(text, encoding="utf-8")
    rows = lines_of("customer_id, ordered_at, revenue, sku", orders={"path": "orders.csv", "csv": options})
    assert rows[0]["customer_id"] == "007"
    assert str(rows[0]["ordered_at"]) == "2020-01-31 00:00:00"
    assert rows[0]["revenue"] == Decimal("1.50")
    assert rows[0]["sku"] is None


def test_a_csv_of_texts_alone_has_a_header_too(tmp_path, open_shop, write_parquet):
    write_parquet(line())
    (tmp_path / "links.csv").write_text("old_id,customer_id\na,b\nc,d\n")
    shop = open_shop(customer_links={"path": "links.csv"})
    assert shop.sql("SELECT * FROM customer_links ORDER BY old_id").to_pylist() == [
        {"old_id": "a", "customer_id": "b"},
        {"old_id": "c", "customer_id": "d"},
    ]


def test_packed_csv_in_a_folder(tmp_path, lines_of):
    (tmp_path / "orders").mkdir()
    for i in range(2):
        with gzip.open(tmp_path / "orders" / f"{i}.csv.gz", "wt") as file:
            file.write(f"customer_id,ordered_at,revenue\n{i},2020-01-31,1\n")
    assert [row["customer_id"] for row in lines_of("customer_id", orders={"path": "orders"})] == ["0", "1"]


def test_a_multiplication_of_csv_columns_says_that_they_are_text(tmp_path, lines_of):
    (tmp_path / "orders.csv").write_text("customer_id,ordered_at,pieces,price\n7,2020-01-31,2,1.25\n")
    orders = {"path": "orders.csv", "columns": {"revenue": "pieces * price"}}
    with pytest.raises(
        ContractError, match=r"pieces VARCHAR, price VARCHAR; correct it, with CAST\(column AS DOUBLE\)"
    ):
        lines_of(orders=orders)
    orders["columns"]["revenue"] = "CAST(pieces AS DOUBLE) * CAST(price AS DOUBLE)"
    assert lines_of("revenue", orders=orders) == [{"revenue": Decimal("2.50")}]


def test_a_remote_address_without_its_extension_says_so(make_settings, tmp_path, monkeypatch):
    settings = make_settings(orders={"path": "https://127.0.0.1:9/orders.parquet"})
    with DuckDBEngine() as engine:
        # an empty place for extensions, and no server to fetch one from
        engine.query("SELECT 1 AS one")
        with engine.cursor() as cursor:
            cursor.execute(f"SET GLOBAL extension_directory = '{tmp_path / 'extensions'}'")
            cursor.execute("SET GLOBAL custom_extension_repository = 'http://127.0.0.1:9'")
        with pytest.raises(SourceError) as caught:
            stage(engine, settings)
    text = str(caught.value)
    assert "[orders] path = 'https://127.0.0.1:9/orders.parquet'" in text
    assert "its extension httpfs, which is not available here" in text
    assert "INSTALL httpfs" in text
    assert "copy the files to this machine" in text


def test_an_address_of_a_file_system_of_the_users_own_is_left_to_duckdb(make_settings):
    with DuckDBEngine() as engine, pytest.raises(SourceError) as caught:
        stage(engine, make_settings(orders={"path": "vault://orders/*.parquet"}))
    assert "cannot be read as Parquet: vault://orders/*.parquet (" in str(caught.value)


def test_nested_columns_do_not_hide_those_behind_them(write_parquet, lines_of):
    nested = "{'a': 1, 'b': [{'c': 2}], 'd': MAP {'k': [1]}} AS basket, [1, 2] AS tags, "
    for i in range(2):
        write_parquet(
            f"SELECT {nested} 7 AS customer_id, DATE '2020-01-31' AS ordered_at, 1 AS revenue", f"o/{i}.parquet"
        )
    columns = {"revenue": "basket.b[1].c + tags[2]"}
    assert lines_of("customer_id, revenue", orders={"path": "o", "columns": columns}) == [
        {"customer_id": "7", "revenue": Decimal(4)},
        {"customer_id": "7", "revenue": Decimal(4)},
    ]


def test_a_package_that_is_not_installed_is_named(make_settings):
    with pytest.raises(SourceError, match=r"the package 'no_such_thing' is not installed; install it \(pip install"):
        find_files(make_settings(orders={"path": "package:no_such_thing/data/x.parquet"}), "order_lines")


class TestAPartOfTheFiles:
    """What an incremental build reads."""

    @pytest.fixture
    def settings(self, write_parquet, make_settings):
        write_parquet(line("1", day="01") + ", 'web' AS channel", "orders/1.parquet")
        write_parquet(line("2.0::DOUBLE", day="02", money="2.5::DOUBLE"), "orders/2.parquet")
        write_parquet(line("3", day="03", money="3"), "orders/3.parquet")
        return make_settings(orders={"path": "orders", "columns": {"channel": "upper(channel)"}})

    @pytest.mark.parametrize("parts", [[0], [1], [2], [1, 2], [0, 2], [0, 1, 2]])
    def test_it_is_staged_as_all_of_them_are(self, settings, parts):
        with DuckDBEngine() as engine:
            whole = stage(engine, settings)
            everything = engine.query("SELECT * FROM order_lines ORDER BY ordered_at")
            files = [whole.sources["order_lines"].files[i] for i in parts]
            staged = stage(engine, settings, only={"order_lines": files})
            part = engine.query("SELECT * FROM order_lines ORDER BY ordered_at")
            assert staged.tables["order_lines"].sql == whole.tables["order_lines"].sql
            assert staged.sources == whole.sources
            assert part.equals(everything.take(parts))

    def test_none_of_them_is_an_empty_table(self, settings):
        with DuckDBEngine() as engine:
            columns = stage(engine, settings).tables["order_lines"].raw_columns
            stage(engine, settings, only={"order_lines": []})
            assert engine.query("SELECT * FROM order_lines").num_rows == 0
            assert engine.columns("raw_order_lines") == columns

    def test_that_none_of_its_dates_can_be_read_is_no_error(self, write_parquet, make_settings):
        for i, day in enumerate(("2020-01-31", "soon")):
            write_parquet(f"SELECT 1 AS customer_id, '{day}' AS ordered_at, 1 AS revenue", f"orders/{i}.parquet")
        settings = make_settings(orders={"path": "orders"})
        with DuckDBEngine() as engine:
            source = stage(engine, settings).sources["order_lines"]
            part = stage(engine, settings, only={"order_lines": source.files[1:]})
            assert part.tables["order_lines"].unreadable == {"ordered_at": 1}
