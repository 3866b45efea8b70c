"""The SQL user's door: open.sql, and then every query and check file runs by hand, unchanged."""

import re
import shutil
from pathlib import Path

import duckdb
import pytest

import regulars
from regulars.app.build import build
from regulars.sql import door
from regulars.sql.catalog import checks, queries
from regulars.sql.contract import INPUT_TABLES, OUTPUT_TABLES
from regulars.sql.database import connect
from regulars.sql.snapshot import Warehouse

SCRIPT = Path(regulars.__file__).parent / "sql" / "open.sql"


def opened(warehouse: Path | str | None, script: Path = SCRIPT) -> duckdb.DuckDBPyConnection:
    session = duckdb.connect()
    session.execute("SET TimeZone = 'UTC'")
    if warehouse is not None:
        session.execute("SET VARIABLE warehouse = '" + str(warehouse).replace("'", "''") + "'")
    session.execute(script.read_text())
    return session


@pytest.fixture(scope="module")
def session(built_shop):
    with opened(built_shop.settings().warehouse) as session:
        yield session


@pytest.fixture(scope="module")
def database(built_shop):
    with connect(built_shop.settings()) as database:
        yield database


def test_the_script_is_up_to_date():
    assert SCRIPT.read_text() == door.open_script(), "run: make docs"


def test_everything_has_a_view(session):
    views = {row[0] for row in session.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()}
    assert views >= {*INPUT_TABLES, *OUTPUT_TABLES, *(query.output for query in queries().values())}


def rows_of(table) -> list[tuple]:
    return sorted((tuple(row.values()) for row in table.to_pylist()), key=repr)


def first_value(session, text: str):
    row = session.execute(text).fetchone()
    assert row is not None
    return row[0]


READS_SCORES = {name for name, query in queries().items() if "customer_scores" in query.inputs}


@pytest.mark.parametrize("name", queries())
def test_a_query_file_runs_by_hand_and_gives_what_the_program_gives(session, database, built_shop, name):
    by_hand = sorted(session.execute(queries()[name].text).fetchall(), key=repr)
    output = queries()[name].output
    if output in OUTPUT_TABLES:
        stored = Warehouse(built_shop.settings().warehouse).current().read(output)
        assert by_hand == rows_of(stored)
    elif name not in READS_SCORES:
        bound = {p.name: first_value(session, f"SELECT getvariable('{p.name}')") for p in queries()[name].parameters}
        assert by_hand == rows_of(database.query(name, **bound))
    else:  # this shop's settings have no [churn]
        assert bool(by_hand) is (name != "customers_at_churn_risk")


@pytest.mark.parametrize("name", checks())
def test_a_check_file_runs_by_hand_and_gives_what_the_build_found(session, built_shop, name):
    cursor = session.execute(checks()[name].text)
    (row,) = (dict(zip((column[0] for column in cursor.description), row, strict=True)) for row in cursor.fetchall())
    stored = Warehouse(built_shop.settings().warehouse).current().read("check_results").to_pylist()
    (seen,) = [result for result in stored if result["check_name"] == name]
    assert (row["found"], row["example"] or "") == (seen["found"], seen["example"])


def test_a_parameter_is_set_by_hand(session):
    session.execute("SET VARIABLE customers = 3")
    assert len(session.execute(queries()["top_customers"].text).fetchall()) == 3
    session.execute("SET VARIABLE as_of = DATE '2024-06-30'")
    latest = first_value(session, f"SELECT max(last_order_on) FROM ({queries()['customer_summary'].sql})")
    assert str(latest) <= "2024-06-30"
    session.execute(SCRIPT.read_text())  # opening again sets everything back
    assert len(session.execute(queries()["top_customers"].text).fetchall()) > 3


def test_a_build_leaves_a_copy_that_knows_its_warehouse(shop, tmp_path, monkeypatch):
    shutil.rmtree(shop.settings().warehouse)
    warehouse = tmp_path / "it's a warehouse"
    built = build(shop.settings(build={"warehouse": str(warehouse)}), progress=False)
    monkeypatch.chdir("/")
    with opened(None, warehouse / "open.sql") as session:
        customers = first_value(session, "SELECT value FROM kpis WHERE kpi = 'customers'")
    assert customers == built.read("customer_summary").num_rows


def test_a_relative_warehouse_is_found_from_the_current_folder(built_shop, monkeypatch):
    monkeypatch.chdir(built_shop.folder)
    with opened(None) as session:
        assert session.execute("FROM kpis").fetchall()


def test_an_older_run_can_be_opened(shop):
    older = Warehouse(shop.settings().warehouse).current()
    build(shop.settings(value={"as_of": "2025-06-30"}), progress=False)
    with duckdb.connect() as session:
        session.execute(f"SET VARIABLE warehouse = '{shop.settings().warehouse}'")
        session.execute(SCRIPT.read_text())
        assert str(first_value(session, "SELECT any_value(as_of) FROM kpis")) == "2025-06-30"
        session.execute(f"SET VARIABLE run_id = '{older.run_id}'")
        session.execute(SCRIPT.read_text())
        assert first_value(session, "SELECT any_value(as_of) FROM kpis") == older.as_of
        assert first_value(session, "SELECT getvariable('as_of')") == older.as_of


def test_a_snapshot_outlives_its_input_files(shop):
    build(shop.settings(value={"horizon": 13}), progress=False)
    shutil.rmtree(shop.folder / "orders")
    with opened(shop.settings().warehouse) as session:
        assert session.execute("FROM customer_scores").fetchall()
        assert session.execute(queries()["customer_summary"].text).fetchall()
        with pytest.raises(duckdb.Error, match="files behind order_lines are no longer where"):
            session.execute("SELECT count(*) FROM order_lines").fetchall()
        with pytest.raises(duckdb.Error, match="files behind order_lines are no longer where"):
            session.execute(queries()["daily_money"].text).fetchall()


def test_a_missing_warehouse_is_named():
    with pytest.raises(duckdb.Error, match=r"no-such-folder/current.json"):
        opened("no-such-folder")


def test_every_statement_of_the_documentation_runs(session, built_shop, monkeypatch):
    page = (Path(regulars.__file__).parent / "docs" / "sql.md").read_text()
    statements = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    assert len(statements) >= 4
    for statement in statements:
        assert session.execute(statement).fetchall() is not None


def test_the_documentations_total_of_everybody_is_the_kpi(session, built_shop):
    page = (Path(regulars.__file__).parent / "docs" / "sql.md").read_text()
    (statement,) = (text for text in re.findall(r"```sql\n(.*?)```", page, re.DOTALL) if "portfolio_terms" in text)
    everybody, taken_out = re.subn(r"  WHERE .*\n", "", statement)
    assert taken_out == 1
    kpi = "SELECT value, low, high FROM kpis WHERE kpi = 'expected_orders'"
    # the page tells whole orders
    (told,), (known,) = session.execute(everybody).fetchall(), session.execute(kpi).fetchall()
    assert told[1:] == pytest.approx(known, abs=0.51)
