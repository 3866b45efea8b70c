"""The Spark engine itself: sessions apart, files by name, errors in a line, scoring next to the data."""

import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from regulars.sql.engine import FileSet, QueryError
from regulars.sql.errors import MissingExtraError, SettingsError
from regulars.sql.spark import SparkEngine

pytestmark = pytest.mark.spark


@pytest.fixture
def engine(spark):
    """An engine of this test's own on the one Spark."""
    with SparkEngine(spark.session) as engine:
        yield engine


def test_engines_on_one_session_do_not_see_each_other(spark, engine):
    engine.register("mine", pa.table({"a": [1]}))
    with SparkEngine(spark.session) as other, pytest.raises(QueryError, match="TABLE_OR_VIEW_NOT_FOUND"):
        other.query("SELECT a FROM mine")
    assert spark.session.conf.get("spark.sql.session.timeZone") == "UTC"


def test_tables_are_replaced_and_let_go(engine):
    engine.register("t", pa.table({"a": [1, 2, 3]}))
    assert engine.materialize("t", "SELECT a + $more AS b FROM t WHERE a > 1", {"more": 10}) == 2
    assert engine.columns("t") == {"b": "BIGINT"}
    assert sorted(engine.query("SELECT b FROM t").column("b").to_pylist()) == [12, 13]
    engine.close()
    with pytest.raises(QueryError):
        engine.query("SELECT b FROM t")


def test_what_was_stored_is_not_worked_out_again(engine):
    engine.register("t", pa.table({"a": [1]}))
    engine.materialize("stored", "SELECT a FROM t")
    engine.view("seen", "SELECT a FROM t")
    engine.register("t", pa.table({"a": [2]}))
    assert engine.query("SELECT a FROM stored").to_pylist() == [{"a": 1}]


def test_types_have_the_names_of_duckdb(engine):
    engine.view(
        "typed",
        "SELECT CAST(1 AS DECIMAL(18, 2)) AS money, CAST('2024-01-01' AS DATE) AS day, TRUE AS flag, 'x' AS text, "
        "CAST('2024-01-01 10:00:00' AS TIMESTAMP) AS at, CAST(1 AS DOUBLE) AS ratio, CAST(1 AS INT) AS n, "
        "CAST('2024-01-01 10:00:00' AS TIMESTAMPTZ) AS instant",
    )
    assert engine.columns("typed") == {
        "money": "DECIMAL(18,2)",
        "day": "DATE",
        "flag": "BOOLEAN",
        "text": "VARCHAR",
        "at": "TIMESTAMP",
        "ratio": "DOUBLE",
        "n": "INTEGER",
        "instant": "TIMESTAMP WITH TIME ZONE",
    }
    schema = engine.query("SELECT money, day, at FROM typed").schema
    assert schema == pa.schema([("money", pa.decimal128(18, 2)), ("day", pa.date32()), ("at", pa.timestamp("us"))])


def test_an_error_is_a_line_and_the_statement(engine, capfd):
    with pytest.raises(QueryError) as caught:
        engine.query("SELECT nothing AS x")
    first, _, rest = str(caught.value).partition("\n\nThe statement was:\n")
    assert "`nothing` cannot be resolved" in first
    assert rest == "SELECT nothing AS x"
    with pytest.raises(QueryError, match="DIVIDE_BY_ZERO") as caught:
        engine.query("SELECT 1 // a AS x FROM (VALUES (0)) AS v (a)")
    assert "ansi" not in str(caught.value)
    # and is said once
    assert capfd.readouterr().err == ""


def test_csv_files_are_matched_by_name_and_read_as_text(engine, tmp_path):
    (tmp_path / "a[1].csv").write_text('id;name\n007;"x;y"\n008;\n')
    (tmp_path / "b.csv").write_text("name;id;more\nz;009;1\n")
    files = FileSet((str(tmp_path / "a[1].csv"), str(tmp_path / "b.csv")), "csv", csv={"delim": ";"})
    engine.register_files("t", files)
    assert set(engine.columns("t").values()) == {"VARCHAR"}
    rows = engine.query("SELECT id, name, more FROM t ORDER BY id").to_pylist()
    assert rows == [
        {"id": "007", "name": "x;y", "more": None},
        {"id": "008", "name": None, "more": None},
        {"id": "009", "name": "z", "more": "1"},
    ]


def test_csv_without_a_header(engine, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("007,x\n")
    engine.register_files("t", FileSet((str(path),), "csv", csv={"header": False, "names": ["id", "name"]}))
    assert engine.query("SELECT id, name FROM t").to_pylist() == [{"id": "007", "name": "x"}]


def test_a_csv_option_that_spark_does_not_know(engine, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a\n1\n")
    with pytest.raises(SettingsError, match="csv option 'thousands' is not read on Spark; allowed there: comment"):
        engine.register_files("t", FileSet((str(path),), "csv", csv={"thousands": ","}))


def test_partitions_are_text(engine, tmp_path):
    for month in ("01", "02"):
        folder = tmp_path / f"month={month}" / "shop=7"
        folder.mkdir(parents=True)
        pq.write_table(pa.table({"a": [int(month)]}), folder / "x.parquet")
    files = tuple(str(path) for path in sorted(tmp_path.glob("*/*/x.parquet")))
    engine.register_files("t", FileSet(files, "parquet", hive_partitioning=True))
    assert engine.columns("t") == {"a": "BIGINT", "month": "VARCHAR", "shop": "VARCHAR"}
    assert engine.query("SELECT month FROM t WHERE a = 2").to_pylist() == [{"month": "02"}]
    engine.register_files("one", FileSet(files[:1], "parquet", hive_partitioning=True))
    assert engine.columns("one") == {"a": "BIGINT", "month": "VARCHAR", "shop": "VARCHAR"}


def test_scores_come_from_the_workers(engine):
    from regulars.clv import BetaGeoModel

    model = BetaGeoModel.from_parameters(r=0.243, alpha=4.414, a=0.793, b=2.426)
    customers = {"customer_id": ["a", "b", "c"], "frequency": [2, 23, 1], "recency": [30.43, 39.0, 5.0],
                 "T": [38.86, 39.0, 39.0]}  # fmt: skip
    engine.register("summary", pa.table(customers))
    schema = pa.schema([("customer_id", pa.string()), ("probability_alive", pa.float64())])

    def score(batches):
        for batch in batches:
            alive = model.probability_alive(pa.table(batch))
            yield pa.record_batch([batch.column("customer_id"), pa.array(alive)], schema=schema)

    scored = engine.score("summary", score, schema)
    assert scored.schema == schema
    # Fader, Hardie and Lee (2005) at these parameters; references as in tests/clv/test_cdnow.py
    expected = {"a": 0.726579, "b": 0.968555, "c": 0.313920}
    seen = {row["customer_id"]: row["probability_alive"] for row in scored.to_pylist()}
    assert seen == pytest.approx(expected, abs=5e-7)


def test_without_pyspark(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    with pytest.raises(MissingExtraError, match=r"regulars\[spark\].* and Java 17"):
        SparkEngine()
