"""The command line: what it prints, what it returns to a scheduler, and what it does not import."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from regulars.app import cli as command_line
from regulars.app.command_group import EXIT_CODES
from regulars.app.named_rows import ENGINES
from regulars.app.printing import text_table, write_rows
from regulars.sql import errors

HEAVY = (
    "dash",
    "duckdb",
    "numba",
    "numpy",
    "pandas",
    "plotly",
    "pyarrow",
    "pydantic",
    "pydantic_settings",
    "pyspark",
    "scipy",
    "sqlglot",
)


def run(*words: str, catch: bool = False):
    return CliRunner().invoke(command_line.cli, list(words), catch_exceptions=catch)


def test_help_imports_nothing_heavy():
    program = (
        "import sys\n"
        "sys.argv = ['regulars', '--help']\n"
        "from regulars.app.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        f"print('HEAVY', sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "HEAVY []" in done.stderr
    for command in ("build", "runs", "check", "query", "score", "app", "demo"):
        assert f"\n  {command} " in done.stdout


def test_the_help_states_every_exit_code():
    said = " ".join(run("--help").stdout.split())
    for code, meaning in EXIT_CODES.items():
        assert f"{code} {meaning}" in said


def test_every_error_of_ours_has_a_documented_exit_code():
    waiting, found = [errors.RegularsError], set()
    while waiting:
        kind = waiting.pop()
        found.add(kind.exit_code)
        waiting += kind.__subclasses__()
    assert found <= set(EXIT_CODES)


@pytest.mark.parametrize("command", [[], ["build"], ["runs"], ["runs", "compare"], ["query"], ["score"], ["demo"]])
def test_every_command_explains_itself(command):
    done = run(*command, "--help")
    assert done.exit_code == 0
    assert "Usage:" in done.stdout


def test_the_version_is_printed():
    assert run("--version").stdout.strip() == __import__("regulars").__version__


# -- errors -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def failing(monkeypatch):
    def fail_with(error: BaseException):
        def failed(*_, **__):
            raise error

        monkeypatch.setattr(command_line, "_warehouse", failed)
        return run("runs", catch=True), run("--debug", "runs", catch=True)

    return fail_with


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.SettingsError("a"), 2),
        (errors.MissingExtraError("a"), 2),
        (errors.SourceError("a"), 3),
        (errors.ContractError("a"), 3),
        (errors.CheckFailed("a"), 4),
        (errors.WarehouseError("a"), 5),
        (errors.ModelError("a"), 6),
        (errors.RegularsError("a"), 1),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(failing, error, code):
    plain, debug = failing(error)
    assert (plain.exit_code, plain.stdout, plain.stderr) == (code, "", "regulars: a\n")
    assert debug.exit_code == code
    assert "Traceback" in debug.stderr


def test_a_long_error_is_one_line_without_its_statement(failing):
    plain, debug = failing(errors.RegularsError("column x\n  is missing\n\nThe statement was:\nSELECT x"))
    assert plain.stderr == "regulars: column x is missing\n"
    assert "SELECT x" in debug.stderr


def test_the_unforeseen_is_one_line_too(failing):
    plain, debug = failing(ZeroDivisionError("division by zero"))
    assert plain.exit_code == 1
    assert plain.stderr.startswith("regulars: unforeseen ZeroDivisionError: division by zero; regulars --debug")
    assert plain.stderr.count("\n") == 1
    assert "Traceback" in debug.stderr


def test_an_interrupt_says_what_became_of_the_warehouse(failing):
    plain, _ = failing(KeyboardInterrupt())
    assert plain.exit_code == 130
    assert "the last good snapshot stays" in plain.stderr


@pytest.mark.parametrize(
    "words", [["bild"], ["build", "--no-such-option"], ["runs", "rollback"], ["query", "-f", "xls"]]
)
def test_a_wrong_word_is_exit_code_two(words):
    assert run(*words).exit_code == 2


@pytest.mark.parametrize(
    "words",
    [
        ["bild", "--json"],
        ["target", "--json"],
        ["target", "winback", "--json", "--no-such-option"],
        ["target", "winback", "--budget", "abc", "--json"],
        ["target", "winback", "--budget", "inf", "--json"],
        ["target", "winback", "--budget", "nan", "--json"],
        ["target", "winback", "--budget", "-5", "--json"],
        ["target", "winback", "--replay", "", "--json"],
        ["target", "winback", "--out", "", "--json"],
        ["readout", "winback", "spring", "--json"],
        ["runs", "compare", "a", "--json"],
        ["build", "--json", "--wait", "long"],
        ["build", "--json", "-s", "no-such.toml"],
        ["check", "--json", "-s", "no-such.toml"],
        ["--json"],
    ],
)
def test_a_wrong_word_is_an_object_too_where_json_is_asked_for(words):
    done = run(*words)
    told = json.loads(done.stdout)
    assert (done.exit_code, told["exit_code"], told["outcome"]) == (2, 2, "refused")
    assert told["message"]
    assert done.stderr


@pytest.mark.parametrize("value", ["", " "])
@pytest.mark.parametrize("option", ["--replay", "--out", "--customer", "--on", "-s", "-w", "--suppress", "--budget"])
def test_an_option_without_its_value_is_refused(option, value):
    done = run("target", "winback", option, value)
    assert done.exit_code == 2
    assert f"{option} is empty; give a value, or leave it out" in " ".join(done.stderr.split())
    assert run("readout", "winback", "--run=").exit_code == 2
    assert run("query", "").exit_code == 2


def test_every_error_is_one_object_where_json_is_asked_for(monkeypatch):
    def answer(error: BaseException):
        def failed(*_, **__):
            raise error

        monkeypatch.setattr(command_line, "_warehouse", failed)
        return run("runs", "--json", catch=True)

    for error, code, outcome in (
        (errors.WarehouseError("no\nfolder"), 5, "refused"),
        (ZeroDivisionError("division by zero"), 1, "failed"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ):
        done = answer(error)
        told = json.loads(done.stdout)
        assert (done.exit_code, told["exit_code"], told["outcome"]) == (code, code, outcome)
    assert json.loads(answer(errors.WarehouseError("no\nfolder")).stdout)["message"] == "no folder"


def test_a_missing_settings_file_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words in (["build"], ["check"], ["runs"], ["score"], ["app", "--settings", "another.toml"]):
        done = run(*words)
        assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
        assert f"no settings file at {words[2] if words[2:] else 'regulars.toml'}" in done.stderr


def test_the_app_opens_without_settings_and_snapshot(tmp_path, monkeypatch):
    import regulars.app.server as server

    asked = []
    monkeypatch.setattr(server, "serve", lambda warehouse, **where: asked.append((warehouse, where["settings"])))
    monkeypatch.chdir(tmp_path)
    assert run("app").exit_code == 0
    assert asked == [(Path("warehouse"), None)]


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "regulars.app.server", None)
    done = run("app", "--warehouse", str(tmp_path))
    assert done.exit_code == 2
    assert "pip install 'regulars[app]'" in done.stderr


def test_the_demonstration_names_its_extra(tmp_path, monkeypatch):
    from regulars.app import demo

    monkeypatch.setattr(demo, "find_spec", lambda _: None)
    monkeypatch.chdir(tmp_path)
    done = run("demo", "--no-serve")
    assert done.exit_code == 2
    assert "pip install 'regulars[demo]'" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_empty_warehouse_names_the_next_step(tmp_path):
    assert "run 'regulars build'" in run("runs", "--warehouse", str(tmp_path)).stdout
    done = run("score", "--warehouse", str(tmp_path))
    assert done.exit_code == 5
    assert "run 'regulars build'" in done.stderr


# -- names and parameters ---------------------------------------------------------------------------------------------


def test_query_without_a_name_lists_every_query_and_table():
    from regulars.sql.catalog import queries
    from regulars.sql.contract import BESIDE_TABLES, OUTPUT_TABLES

    listed = {line.split(" ")[0] for line in run("query").stdout.splitlines()[2:]}
    assert listed == {*queries(), *OUTPUT_TABLES, *BESIDE_TABLES}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["customer_sumary"], "no query or table 'customer_sumary'; did you mean 'customer_summary'"),
        (["customer_days", "--engine", "sparc"], "did you mean 'spark'"),
        (["judged_order_lines", "--param", "as_of"], "'as_of' is not NAME=VALUE"),
        (["judged_order_lines", "--param", "as-of=2017-01-01"], "no parameter 'as-of'; did you mean 'as_of'"),
        (["judged_order_lines", "--param", "as_of=yesterday"], "as_of='yesterday' is no DATE"),
    ],
)
def test_a_wrong_name_or_parameter_is_named(words, said, tmp_path):
    done = run("query", *words, "--warehouse", str(tmp_path))
    assert done.exit_code == 2
    assert said in done.stderr


def test_the_largest_whole_number_is_taken(here):
    assert run("query", "top_customers", f"--param=customers={2**63 - 1}").exit_code == 0


@pytest.mark.parametrize(
    ("word", "allowed"),
    [
        ("customers=-1", "a whole number from 0 to 9223372036854775807"),
        ("customers=9223372036854775808", "a whole number from 0 to 9223372036854775807"),
        ("period_days=36526", "a whole number from 0 to 36525"),
        ("days_per_unit=nan", "a finite number from 0"),
        ("days_per_unit=-inf", "a finite number from 0"),
    ],
)
def test_a_number_out_of_range_is_exit_code_two(word, allowed, here):
    name, _, value = word.partition("=")
    query = {"customers": "top_customers", "period_days": "base_kpis", "days_per_unit": "summary_counts"}[name]
    done = run("query", query, f"--param={word}")
    assert done.exit_code == 2
    assert done.stderr == f"regulars: {query}: {name} = {value} is not allowed; give {allowed}\n"


# -- rows -------------------------------------------------------------------------------------------------------------

ROWS = pa.table(
    {
        "customer_id": ["a", 'b "x", y', None],
        "revenue": pa.array(["1.50", "-2.00", "9999999999999999.99"]).cast(pa.decimal128(18, 2)),
        "value": [0.1, float("nan"), None],
        "day": pa.array([0, 1, None], pa.date32()),
    }
)


def test_csv_reads_back_as_written(tmp_path):
    import duckdb

    write_rows(ROWS, "csv", tmp_path / "out.csv")
    text = (tmp_path / "out.csv").read_text()
    assert text.splitlines()[:2] == ['"customer_id","revenue","value","day"', '"a",1.50,0.1,1970-01-01']
    read = duckdb.sql(f"SELECT * FROM read_csv('{tmp_path}/out.csv', all_varchar = true)").fetchall()
    assert read[1] == ('b "x", y', "-2.00", "nan", "1970-01-02")
    assert read[2] == (None, "9999999999999999.99", None, None)


def test_json_keeps_every_digit_and_holds_no_nan(tmp_path):
    write_rows(ROWS, "json", tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text()) == [
        {"customer_id": "a", "revenue": 1.5, "value": 0.1, "day": "1970-01-01"},
        {"customer_id": 'b "x", y', "revenue": -2.0, "value": None, "day": "1970-01-02"},
        {"customer_id": None, "revenue": "9999999999999999.99", "value": None, "day": None},
    ]
    write_rows(ROWS.slice(0, 0), "json", tmp_path / "none.json")
    assert json.loads((tmp_path / "none.json").read_text()) == []


def test_parquet_reads_back_as_written(tmp_path):
    write_rows(ROWS, "parquet", tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet").schema.equals(ROWS.schema)
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]


def test_a_long_table_says_how_much_is_shown(capfdbinary):
    write_rows(pa.table({"n": range(1000)}), "table", None)
    lines = capfdbinary.readouterr().out.decode().splitlines()
    assert len(lines) == 43
    assert lines[-1] == "(40 of 1,000 rows; --format csv, json or parquet gives all)"


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(errors.WarehouseError, match=r"no-folder/out.csv: cannot be written \(No such file"):
        write_rows(ROWS, "csv", tmp_path / "no-folder" / "out.csv")


@pytest.mark.parametrize("command", [["query", "kpis"], ["score"]])
@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("x.xlsx", [], "the ending '.xlsx' is no format; allowed: .csv, .json, .parquet, .txt, or another ending with"),
        ("scores", [], "the ending '' is no format; allowed: .csv, .json, .parquet, .txt"),
        ("x.parquet", ["--format", "csv"], "ends in .parquet, but --format is csv; leave --format out, or name"),
    ],
)
def test_an_ending_that_is_no_format_is_refused_before_anything_is_read(command, name, words, said, tmp_path):
    done = run(*command, "--out", str(tmp_path / name), *words, "--settings", str(tmp_path / "none.toml"))
    assert done.exit_code == 2
    assert said in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "words", "begins"),
    [
        ("x.CSV", [], b'"kpi","value"'),
        ("x.json", [], b'[\n{"kpi"'),
        ("x.parquet", [], b"PAR1"),
        ("x.txt", [], b"kpi "),
        ("x.dat", ["--format", "csv"], b'"kpi","value"'),
    ],
)
def test_the_ending_says_the_format(here, tmp_path, name, words, begins):
    assert run("query", "kpis", "--out", str(tmp_path / name), *words).exit_code == 0
    assert (tmp_path / name).read_bytes().startswith(begins)


def test_a_table_of_no_rows_says_so():
    assert text_table([]) == "(no rows)"


def test_a_reader_that_stops_early_is_no_error():
    command = f"{Path(sys.executable).parent}/regulars query --format csv | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "0"


# -- a shop from end to end -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wait", ["nan", "-1", "inf", "soon"])
@pytest.mark.parametrize("command", [("build",), ("target", "winback")])
def test_a_time_to_wait_is_seconds_from_0(command, wait):
    done = run(*command, f"--wait={wait}")
    assert done.exit_code == 2
    assert "--wait" in done.stderr


@pytest.fixture
def here(shop, monkeypatch):
    """Stand in the folder of a shop with one published run."""
    monkeypatch.chdir(shop.folder)
    shop.write_settings()
    return shop


def test_a_build_says_what_it_did(here):
    done = run("build")
    assert done.exit_code == 0
    first, verdict, *_ = done.stdout.splitlines()
    assert first.startswith("unchanged: run ")
    assert "predicts best" in verdict
    forced = run("build", "--force", "--quiet")
    assert forced.stdout.startswith("published run ")
    assert (forced.stderr, done.stderr) == ("", "")


def test_a_build_says_it_to_machines_too(here):
    told = json.loads(run("build", "--json").stdout)
    assert told["outcome"] == "unchanged"
    assert told["customers"] > 50
    assert Path(told["path"]).name == told["run_id"]
    here.sections = here.sections | {"value": {"horizon": 8}}
    here.write_settings()
    told = json.loads(run("build", "--json").stdout)
    assert (told["outcome"], told["how"], told["reason"]) == ("published", "full", "no new file of order lines")
    assert told["model"]["name"]


def test_a_build_of_the_environment_obeys_it(here, monkeypatch):
    monkeypatch.setenv("REGULARS_VALUE__HORIZON", "9")
    told = json.loads(run("build", "--json").stdout)
    assert told["outcome"] == "published"


def test_a_blocking_check_is_exit_code_four_for_check_and_build(here):
    for path in (here.folder / "orders").iterdir():
        path.unlink()
    guest = {"customer_id": "", "ordered_at": "2024-01-05 10:00:00", "revenue": "5.00", "order_id": "o", "sku": "s"}
    here.write_month("2024-01", [guest | {"quantity": 1, "original_order_id": ""}])
    done = run("check")
    assert done.exit_code == 4
    assert "no_usable_line" in done.stdout
    assert done.stderr.startswith("regulars: blocking: ")
    told = json.loads(run("check", "--json").stdout)
    assert told["passed"] is False
    built = run("build")
    assert (built.exit_code, built.stdout, built.stderr.count("\n")) == (4, "", 1)
    assert run("query", "kpis").exit_code == 0  # the last good snapshot stays


def test_checks_that_pass_are_exit_code_zero_and_build_nothing(here):
    before = sorted(path for path in (here.folder / "warehouse").rglob("*"))
    done = run("check")
    assert done.exit_code == 0
    assert len(done.stdout.splitlines()) > 10
    assert sorted(path for path in (here.folder / "warehouse").rglob("*")) == before


def test_bad_input_is_exit_code_three(here):
    (here.folder / "orders" / "2024-05.parquet").write_bytes(b"PAR1")
    for command in ("build", "check"):
        done = run(command)
        assert (done.exit_code, done.stderr.count("\n")) == (3, 1)
        assert "2024-05.parquet" in done.stderr


def test_runs_are_listed_compared_and_rolled_back(here):
    first = json.loads(run("build", "--json").stdout)["run_id"]
    here.sections = here.sections | {"value": {"horizon": 8}}
    here.write_settings()
    second = json.loads(run("build", "--json").stdout)["run_id"]
    listed = json.loads(run("runs", "--json").stdout)["runs"]
    assert [(row["run_id"], row["current"]) for row in listed] == [(second, "*"), (first, "")]
    assert all(row["published"].startswith("20") for row in listed)
    assert first in run("runs").stdout
    compared = json.loads(run("runs", "compare", first[:6], second[:6], "--json").stdout)["differences"]
    found = {row["what"]: (row["first"], row["second"]) for row in compared}
    assert found["settings.value.horizon"] == (26, 8)
    assert found["kpi expected_orders"][0] > found["kpi expected_orders"][1]
    assert "rows of customer_days" not in found
    assert "settings.value.horizon" in run("runs", "compare", first, second).stdout
    assert run("runs", "compare", first, first).stdout == "no difference\n"
    back = run("runs", "rollback", first[:8])
    assert back.stdout.startswith(f"current is now {first}")
    listed = json.loads(run("runs", "--json").stdout)["runs"]
    assert [(row["run_id"], row["current"]) for row in listed] == [(second, ""), (first, "*")]
    missing = run("runs", "rollback", "nosuchrun")
    assert (missing.exit_code, missing.stderr.count("\n")) == (5, 1)


def test_a_second_build_is_refused_while_one_runs(here):
    from regulars.sql.snapshot import Warehouse

    with Warehouse(here.settings().warehouse).lock():
        done = run("build")
        assert done.exit_code == 5
        assert "is writing this warehouse; wait for it to end, or pass --wait SECONDS" in done.stderr
        assert run("query", "kpis").exit_code == 0  # readers do not wait


def test_a_table_of_the_snapshot_is_read_without_the_input(here):
    import shutil

    shutil.rmtree(here.folder / "orders")
    rows = json.loads(run("query", "customer_summary", "-f", "json").stdout)
    assert [row["customer_id"] for row in rows] == sorted(row["customer_id"] for row in rows)
    top = json.loads(run("query", "top_customers", "-p", "customers=2", "-f", "json").stdout)
    assert len(top) == 2
    earlier = json.loads(run("query", "customer_summary", "-p", "as_of=2024-12-31", "-f", "json").stdout)
    assert max(row["last_order_on"] for row in earlier) <= "2024-12-31"
    assert len(earlier) < len(rows)
    late = run("query", "customer_summary", "-p", "as_of=2030-01-01")
    assert late.exit_code == 2
    assert "--fresh asks the input files" in late.stderr
    gone = run("query", "judged_order_lines")
    assert gone.exit_code == 3


def test_input_files_are_asked_where_a_query_needs_them(here):
    rows = json.loads(run("query", "daily_money", "--fresh", "-f", "json").stdout)
    assert rows == json.loads(run("query", "daily_money", "-f", "json").stdout)
    assert run("query", "judged_order_lines", "-f", "csv").stdout.count("\n") > 100
    refused = run("query", "customer_scores", "--fresh")
    assert refused.exit_code == 2
    assert "made by the models" in refused.stderr


@pytest.mark.spark
def test_spark_answers_as_duckdb_does(empty_shop, lines_by_month, monkeypatch, spark):
    # one file: each of many is a task of its own in each of Spark's stages
    empty_shop.write_month("2024-2025", [row for rows in lines_by_month.values() for row in rows])
    empty_shop.write_settings()
    monkeypatch.chdir(empty_shop.folder)
    answers = [run("query", "customer_summary", "--fresh", "--engine", engine, "-f", "json") for engine in ENGINES]
    duckdb, ours = (json.loads(answer.stdout) for answer in answers)
    assert len(duckdb) > 50
    assert [row["customer_id"] for row in duckdb] == [row["customer_id"] for row in ours]
    assert [row["revenue"] for row in duckdb] == [row["revenue"] for row in ours]


def test_scores_are_printed_written_and_made_anew(here):
    stored = json.loads(run("score", "-f", "json").stdout)
    assert run("score").stdout.startswith("customer_id")
    assert run("score", "--out", "scores.parquet").stdout == ""
    assert pq.read_table("scores.parquet").num_rows == len(stored)
    anew = json.loads(run("score", "--anew", "-f", "json").stdout)
    assert [row["customer_id"] for row in anew] == [row["customer_id"] for row in stored]
    # fitted on the same data, so the stored models say the same
    assert [row["customer_value"] for row in anew] == pytest.approx([row["customer_value"] for row in stored])


def test_churn_is_printed_and_made_anew_by_the_stored_models(shop, monkeypatch):
    monkeypatch.chdir(shop.folder)
    none = run("score", "--churn")
    assert (none.exit_code, none.stderr.count("\n")) == (6, 1)
    assert "has no churn models: [churn] was not configured; build with a [churn] section" in none.stderr
    with shop.settings_path.open("a") as file:
        file.write('[churn]\nhorizon_days = 60\nmodel = "cox"\nexplained = 5\n')
    assert run("build").exit_code == 0
    stored = json.loads(run("score", "--churn", "-f", "json").stdout)
    assert sum(row["reason_1"] != "" for row in stored) == 5
    # of the same files the stored models say the same
    assert json.loads(run("score", "--churn", "--anew", "-f", "json").stdout) == stored
    assert run("score", "--sql", "--churn").exit_code == 2


def test_scores_as_sql_run_behind_the_door(here):
    import duckdb

    stored = {row["customer_id"]: row for row in json.loads(run("score", "-f", "json").stdout)}
    assert run("score", "--sql", "-o", "scores.sql").stdout == ""
    script = Path("scores.sql").read_text()
    assert script == run("score", "--sql").stdout
    session = duckdb.connect()
    for text in (Path("warehouse/open.sql").read_text(), script.rpartition("FROM scored")[0]):
        for statement in duckdb.extract_statements(text):
            session.execute(statement)
    rows = session.sql("FROM scored('customer_summary')").fetchall()
    assert {row[0]: row[-1] for row in rows} == pytest.approx({key: s["customer_value"] for key, s in stored.items()})
    assert run("score", "--sql", "--anew").exit_code == 2
    assert "name a file that ends in .sql" in run("score", "--sql", "-o", "scores.csv").stderr


def test_scoring_anew_without_a_model_says_why(empty_shop, monkeypatch):
    line = {"customer_id": "a", "ordered_at": "2024-01-05 10:00:00", "revenue": "5.00", "order_id": "o", "sku": "s"}
    empty_shop.write_month("2024-01", [line | {"quantity": 1, "original_order_id": ""}])
    empty_shop.write_settings()
    monkeypatch.chdir(empty_shop.folder)
    assert run("build").exit_code == 0
    done = run("score", "--anew")
    assert (done.exit_code, done.stderr.count("\n")) == (6, 1)
    assert "has no model: " in done.stderr


def test_the_app_is_served_where_it_is_asked_for(here, monkeypatch):
    import regulars.app.server as server

    asked = []
    monkeypatch.setattr(server, "serve", lambda warehouse, **where: asked.append((warehouse, where)))
    assert run("app", "--port", "9000").exit_code == 0
    assert asked == [
        (here.settings().warehouse, {"host": "127.0.0.1", "port": 9000, "settings": Path("regulars.toml")})
    ]
