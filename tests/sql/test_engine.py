"""The DuckDB engine: errors carry their statement, every thread has a cursor of its own, tables replace views."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from regulars.sql.engine import DuckDBEngine, FileSet, QueryError
from regulars.sql.errors import SettingsError


@pytest.fixture
def engine():
    with DuckDBEngine(threads=2) as engine:
        yield engine


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT custmer_id FROM (SELECT 1 AS customer_id)", 'Referenced column "custmer_id" not found'),
        ("SELECT * FROM nowhere", "Table with name nowhere does not exist"),
        ("SELECT 1 +", "syntax error"),
        ("SELECT CAST('x' AS INTEGER)", "Could not convert string 'x' to INT32"),
    ],
)
def test_an_error_is_a_line_and_the_statement(engine, sql, said):
    with pytest.raises(QueryError) as caught:
        engine.query(sql)
    reason, _, statement = str(caught.value).partition("\n\nThe statement was:\n")
    assert said in reason
    assert len(reason.splitlines()) == 1
    assert "LINE 1" not in reason
    assert statement == sql


def test_values_are_bound_by_name(engine):
    rows = engine.query("SELECT $day AS day, $money AS money, $text AS text", {
        "day": date(2011, 12, 9), "money": Decimal("0.10"), "text": "'; DROP TABLE t; --",
    })  # fmt: skip
    assert rows.to_pylist() == [{"day": date(2011, 12, 9), "money": Decimal("0.10"), "text": "'; DROP TABLE t; --"}]


def test_an_open_result_does_not_stand_in_the_way_of_the_next_statement(engine):
    with engine.cursor() as cursor:
        cursor.execute("SELECT * FROM range(100000)")
        cursor.fetchone()
        assert engine.query("SELECT 1 AS one").to_pylist() == [{"one": 1}]


def test_every_thread_may_ask_and_write_at_once(engine):
    engine.materialize("numbers", "SELECT i FROM range(10000) AS t(i)")

    def work(k: int) -> int:
        engine.register(f"part_{k}", pa.table({"k": [k] * 3}))
        engine.view(f"view_{k}", f"SELECT i FROM numbers WHERE i % 16 = {k}")
        rows = engine.query(f"SELECT sum(i) AS total, (SELECT sum(k) FROM part_{k}) AS own FROM view_{k}").to_pylist()
        assert rows[0]["own"] == 3 * k
        return int(rows[0]["total"])

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(16))) == sum(range(10000))


def test_a_table_replaces_a_view_and_a_view_a_table(engine):
    engine.view("t", "SELECT 1 AS x")
    assert engine.materialize("t", "SELECT 2 AS x") == 1
    engine.view("t", "SELECT 3 AS x")
    engine.register("t", pa.table({"x": [4]}))
    assert engine.query("SELECT x FROM t").to_pylist() == [{"x": 4}]
    assert engine.columns("t") == {"x": "BIGINT"}


@pytest.mark.parametrize("name", ["a[1].parquet", "a*.parquet", "what?.parquet", "it's.parquet", "größe.parquet"])
def test_a_file_name_is_taken_as_it_is(engine, tmp_path, name):
    decoy = tmp_path / "a1.parquet"
    for path, value in ((decoy, 0), (tmp_path / name, 1)):
        pq.write_table(pa.table({"x": [value]}), path)
    engine.register_files("t", FileSet((str(tmp_path / name),), "parquet"))
    assert engine.query("SELECT x FROM t").to_pylist() == [{"x": 1}]


def test_settings_that_duckdb_does_not_take_are_named():
    with pytest.raises(SettingsError, match=r"memory_limit = 'lots'.*change \[build\]"):
        DuckDBEngine(memory_limit="lots")


def test_nothing_is_spilled_into_the_folder_where_the_program_was_started(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with DuckDBEngine(memory_limit="60MB", threads=1) as engine:
        engine.query("SELECT count(*) FROM (SELECT DISTINCT md5(i::VARCHAR) AS h FROM range(1000000) AS t(i))")
    assert list(tmp_path.iterdir()) == []


def test_the_clock_of_the_engine_is_utc_in_every_thread(engine):
    sql = "SELECT current_setting('TimeZone') AS zone"
    with ThreadPoolExecutor(2) as pool:
        zones = {row["zone"] for rows in pool.map(lambda _: engine.query(sql).to_pylist(), range(4)) for row in rows}
    assert zones == {"UTC"}


def test_closing_ends_what_other_threads_ask():
    engine = DuckDBEngine(threads=1)
    begun = threading.Barrier(3, timeout=20)

    def ask() -> str:
        begun.wait()
        # hours, were it left alone
        with pytest.raises(QueryError) as told:
            engine.query("SELECT sum(a.range * b.range % 7) FROM range(10000000) AS a, range(10000000) AS b")
        return str(told.value)

    with ThreadPoolExecutor(2) as threads:
        asked = [threads.submit(ask) for _ in range(2)]
        begun.wait()
        time.sleep(0.2)
        engine.close()
        assert all("Interrupted" in one.result(20) or "closed" in one.result(20) for one in asked)
    with pytest.raises(QueryError, match="closed: it answers no more"):
        engine.query("SELECT 1")
