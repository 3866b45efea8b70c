"""A build: everything the contract promises, the same bytes for the same input, and a snapshot for any base at all."""

import hashlib
import json
import os
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from regulars.app import build as building
from regulars.app.build import build, check_inputs, run_build
from regulars.sql import catalog
from regulars.sql.contract import OUTPUT_TABLES, SEGMENTS
from regulars.sql.errors import CheckFailed, ContractError, SettingsError, SourceError, WarehouseError
from regulars.sql.settings import Settings
from regulars.sql.snapshot import Snapshot, Warehouse


def content(snapshot: Snapshot) -> dict[str, str]:
    """SHA-256 of every file of a run but those that hold clock times and places."""
    files = (
        path for path in snapshot.path.rglob("*") if path.is_file() and path.name not in {"run.log", "inputs.json"}
    )
    return {path.relative_to(snapshot.path).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def snapshot(built_shop):
    """Read-only: one run for all tests."""
    return Warehouse(built_shop.settings().warehouse).current()


@pytest.fixture
def good(shop):
    """The run of `shop`, which a test may build upon."""
    return Warehouse(shop.settings().warehouse).current()


def test_every_table_of_the_contract_is_there_in_its_types_and_order(snapshot):
    assert set(snapshot.tables()) == set(OUTPUT_TABLES)
    for name, table in OUTPUT_TABLES.items():
        path = snapshot.table_path(name)
        described = duckdb.sql(f"DESCRIBE FROM read_parquet('{path}')").fetchall()
        assert [(row[0], row[1]) for row in described] == [(column.name, column.type) for column in table.columns]
        rows = snapshot.read(name)
        assert rows.num_rows == snapshot.manifest["tables"][name]["rows"]
        if table.grain:
            keys = [tuple(row.values()) for row in rows.select(list(table.grain)).to_pylist()]
            assert len(set(keys)) == len(keys)
            known = [key for key in keys if None not in key]
            assert known == sorted(known)


def test_the_manifest_says_what_made_the_run(snapshot, built_shop, lines_by_month):
    shop = built_shop
    manifest = snapshot.manifest
    assert snapshot.damage() == []
    assert manifest["as_of"] == max(row["ordered_at"] for rows in lines_by_month.values() for row in rows)[:10]
    assert manifest["settings"]["value"]["horizon"] == 26
    assert manifest["seed"] == shop.settings().build.seed
    files = manifest["inputs"]["order_lines"]["files"]
    assert [file["name"] for file in files] == sorted(path.name for path in (shop.folder / "orders").iterdir())
    assert files[0]["sha256"] == hashlib.sha256((shop.folder / "orders" / "2024-01.parquet").read_bytes()).hexdigest()
    assert manifest["code"]["versions"]["duckdb"] == duckdb.__version__
    days = manifest["tables"]["customer_days"]
    assert days["made_by"] == "customer_days"
    query = catalog.query("customer_days")
    assert days["inputs"] == [name for name in query.inputs if not name.startswith("previous_")]
    assert days["query_fingerprint"] == hashlib.sha256(query.text.encode()).hexdigest()
    assert str(shop.folder) not in (snapshot.path / "manifest.json").read_text()
    assert manifest["models"][manifest["model"]["name"]]["version"] in {
        row["model_version"].split(" + ")[0] + row["model_version"][row["model_version"].rindex(",") :]
        for row in snapshot.read("customer_scores").to_pylist()
    }


def test_money_reconciles_to_the_cent_with_the_input(snapshot, lines_by_month):
    came_in = sum((Decimal(row["revenue"]) for rows in lines_by_month.values() for row in rows), Decimal(0))
    money = snapshot.manifest["money"]
    assert sum(Decimal(row["revenue"]) for row in money if row["disposition"] == "in") == came_in
    assert sum(Decimal(row["revenue"]) for row in money if row["disposition"] != "in") == came_in
    used = sum(Decimal(row["revenue"]) for row in money if row["disposition"] == "used")
    assert used == sum(snapshot.read("customer_summary").column("revenue").to_pylist())


def test_kpis_hold_what_the_overview_asks_for(snapshot):
    kpis = {row["kpi"]: row for row in snapshot.read("kpis").to_pylist()}
    asked = {
        "customers",
        "active_customers",
        "orders",
        "revenue",
        "repeat_rate",
        "return_rate",
        "average_order_value",
        "customer_value",
        "expected_orders",
        "value_at_risk",
        "top_decile_share",
    }
    assert asked <= set(kpis)
    assert all(kpis[name]["value"] is not None for name in asked)
    for name in ("customer_value", "expected_orders"):
        assert kpis[name]["low"] < kpis[name]["value"] < kpis[name]["high"]
    scores = snapshot.read("customer_scores")
    assert kpis["customer_value"]["value"] == pytest.approx(sum(scores.column("customer_value").to_pylist()), rel=1e-9)
    assert kpis["expected_orders"]["value"] == pytest.approx(
        sum(scores.column("expected_orders").to_pylist()), rel=1e-9
    )
    value = sorted(scores.column("customer_value").to_pylist(), reverse=True)
    top = sum(value[: -(-len(value) // 10)]) / sum(value)
    # the query adds whole cents
    assert kpis["top_decile_share"]["value"] == pytest.approx(top, abs=1e-3)


def test_the_same_input_gives_the_same_bytes_anywhere_at_any_thread_count(shop, good, tmp_path):
    runs = []
    for i, threads in enumerate((1, 2)):
        settings = shop.settings(build={"warehouse": str(tmp_path / f"warehouse{i}"), "threads": threads})
        runs.append(build(settings, progress=False))
    assert {run.run_id for run in runs} == {good.run_id}
    assert content(runs[0]) == content(runs[1]) == content(good)


def test_an_identical_build_does_nothing_unless_forced(shop, good):
    before = {path: path.stat().st_mtime_ns for path in good.path.rglob("*.parquet")}
    again = run_build(shop.settings(build={"threads": 1, "keep_runs": 3}), progress=False)
    assert (again.outcome, again.snapshot.run_id) == ("unchanged", good.run_id)
    forced = run_build(shop.settings(), force=True, progress=False)
    assert (forced.outcome, forced.how, forced.snapshot.run_id) == ("published", "full", good.run_id)
    assert {path: path.stat().st_mtime_ns for path in good.path.rglob("*.parquet")} == before


def test_a_build_after_a_rollback_goes_forward_again(shop, good):
    second = build(shop.settings(value={"horizon": 52}), progress=False)
    warehouse = Warehouse(shop.settings().warehouse)
    warehouse.rollback(good.run_id)
    result = run_build(shop.settings(value={"horizon": 52}), progress=False)
    assert (result.outcome, warehouse.current().run_id) == ("unchanged", second.run_id)


def test_a_damaged_run_is_made_anew(shop, good):
    good.table_path("kpis").write_bytes(b"")
    result = run_build(shop.settings(), progress=False)
    assert (result.outcome, result.snapshot.run_id) == ("published", f"{good.run_id}.2")
    assert result.snapshot.damage() == []


@pytest.mark.parametrize(
    "sections",
    [
        {"value": {"horizon": 27}},
        {"value": {"margin": 0.3}},
        {"value": {"as_of": "2025-11-30"}},
        {"value": {"calibration_end": "2025-03-31"}},
        {"policy": {"zero_revenue": "set_aside"}},
        {"shop": {"currency": "GBP"}},
        {"build": {"seed": 7}},
    ],
)
def test_settings_that_can_change_a_result_change_the_run(shop, good, sections):
    changed = build(shop.settings(**sections), progress=False)
    assert changed.run_id != good.run_id
    for section, values in sections.items():
        for key, value in values.items():
            said = changed.manifest["parameters"].get(key, changed.manifest["settings"][section].get(key))
            assert said == value


def test_a_file_that_changes_while_it_is_read_stops_the_build(shop, good, monkeypatch):
    original = building.RunContent.write

    def write_and_change(content, step):
        original(content, step)
        path = shop.folder / "orders" / "2024-03.parquet"
        os.utime(path, (1, 1))

    monkeypatch.setattr(building.RunContent, "write", write_and_change)
    with pytest.raises(SourceError, match=r"2024-03.parquet: changed while it was read"):
        build(shop.settings(value={"horizon": 9}), progress=False)
    assert Warehouse(shop.settings().warehouse).current().run_id == good.run_id


def test_only_the_last_runs_are_kept(shop, monkeypatch):
    monkeypatch.setattr("regulars.sql.snapshot.GRACE_SECONDS", 0.0)
    ids = [
        build(shop.settings(value={"horizon": horizon}, build={"keep_runs": 2}), progress=False).run_id
        for horizon in (10, 20, 30)
    ]
    assert [run.run_id for run in Warehouse(shop.settings().warehouse).runs()] == ids[:0:-1]


# -- what must not enter ----------------------------------------------------------------------------------------------


def test_a_blocking_check_publishes_nothing_and_the_last_good_snapshot_stays(shop, good):
    nobody = [
        {"customer_id": "", "ordered_at": "2024-01-05 10:00:00", "revenue": "5.00"}
        | dict.fromkeys(("order_id", "sku", "original_order_id"), "x")
        | {"quantity": 1}
    ]
    for path in (shop.folder / "orders").iterdir():
        path.unlink()
    shop.write_month("2024-01", nobody)
    results = {row["check_name"]: row for row in check_inputs(shop.settings()).to_pylist()}
    blocking = [name for name, row in results.items() if row["severity"] == "blocking" and not row["passed"]]
    assert blocking
    with pytest.raises(CheckFailed, match=blocking[0]):
        build(shop.settings(), progress=False)
    warehouse = Warehouse(shop.settings().warehouse)
    assert warehouse.current().run_id == good.run_id
    assert warehouse.current().damage() == []
    assert not list(warehouse.path.glob("staging/*"))


@pytest.mark.parametrize(
    ("spoil", "error", "said"),
    [
        (lambda orders: [path.unlink() for path in orders.iterdir()], SourceError, "holds no file"),
        (lambda orders: (orders / "2024-05.parquet").write_bytes(b"PAR1 no"), SourceError, "2024-05.parquet"),
        (
            lambda orders: pq.write_table(pa.table({"who": ["a"]}), orders / "2024-05.parquet"),
            ContractError,
            "customer_id",
        ),
    ],
)
def test_bad_input_leaves_the_last_good_snapshot(shop, good, spoil, error, said):
    spoil(shop.folder / "orders")
    with pytest.raises(error, match=said):
        build(shop.settings(), progress=False)
    assert Warehouse(shop.settings().warehouse).current().run_id == good.run_id


def test_money_that_does_not_add_up_stops_the_build(shop, good, monkeypatch):
    from regulars.sql.pipeline import Pipeline

    make = Pipeline.make

    def make_and_lose_a_cent(pipeline, *tables):
        make(pipeline, *tables)
        pipeline.engine.materialize("kept", "SELECT * FROM money_reconciliation")
        less = "CASE WHEN disposition = 'used' THEN revenue - 0.01 ELSE revenue END"
        pipeline.engine.materialize("money_reconciliation", f"SELECT * REPLACE ({less} AS revenue) FROM kept")

    monkeypatch.setattr(Pipeline, "make", make_and_lose_a_cent)
    with pytest.raises(CheckFailed, match="money does not reconcile in EUR"):
        build(shop.settings(), force=True, progress=False)
    assert Warehouse(shop.settings().warehouse).current().run_id == good.run_id


# -- bases that answer little -----------------------------------------------------------------------------------------


def line(customer: str, day: str, revenue: str = "10.00", order: str = "") -> dict:
    return {
        "customer_id": customer,
        "ordered_at": f"{day} 10:00:00",
        "revenue": revenue,
        "order_id": order or f"{customer}-{day}",
        "sku": "s",
        "quantity": 1,
        "original_order_id": "",
    }


def _days(n: int, step: int = 1) -> list[str]:
    return [(date(2024, 1, 1) + timedelta(days=i * step)).isoformat() for i in range(n)]


SPARSE = {
    "one line": [line("a", "2024-01-01")],
    "one customer": [line("a", day) for day in _days(40, 9)],
    "one order each": [line(f"c{i}", day) for i, day in enumerate(_days(60, 5))],
    "all on one day": [line(f"c{i}", "2024-01-01") for i in range(50)],
    "too short for a holdout": [line(f"c{i % 7}", day) for i, day in enumerate(_days(9))],
    "two customers": [line("a", day) for day in _days(30, 7)] + [line("b", day) for day in _days(20, 11)],
    "no money": [line(f"c{i % 20}", day, "0.00") for i, day in enumerate(_days(300))],
    "sold and returned": [line(f"c{i % 5}", day, amount) for i, day in enumerate(_days(90)) for amount in ("9", "-9")],
    "a customer with 10,000 orders": [line(f"c{i % 30}", day) for i, day in enumerate(_days(300))]
    + [line("busy", day, order=f"busy-{day}-{k}") for day in _days(250) for k in range(40)],
    "amounts at the edge": [line(f"c{i % 9}", day, "9999999999999.99") for i, day in enumerate(_days(99, 5))],
}


@pytest.mark.parametrize("case", SPARSE)
def test_any_base_gets_a_snapshot_and_what_is_not_known_is_said(empty_shop, case):
    empty_shop.write_month("2024-01", SPARSE[case])
    snapshot = build(empty_shop.settings(), progress=False)
    assert snapshot.damage() == []
    manifest = snapshot.manifest
    scores = snapshot.read("customer_scores").to_pylist()
    assert [row["customer_id"] for row in scores] == sorted({row["customer_id"] for row in SPARSE[case]})
    kpis = {row["kpi"]: row for row in snapshot.read("kpis").to_pylist()}
    assert kpis["customers"]["value"] == len(scores)
    reports = snapshot.read("model_reports").to_pylist()
    assert len(reports) == 6
    if not manifest["model"]["name"]:
        assert manifest["notes"]
        for row in scores:
            assert row["probability_alive"] is row["customer_value"] is row["expected_orders"] is None
            assert row["segment"] in {None, "new", "one_time"}
        unknown = [row for row in kpis.values() if row["value"] is None]
        assert {row["kpi"] for row in unknown} >= {"customer_value", "expected_orders", "value_at_risk"}
        assert all("not known: " in kpis[name]["meaning"] for name in ("customer_value", "expected_orders"))
    else:
        for row in scores:
            assert 0 <= row["probability_alive"] <= 1
            assert 0 <= row["orders_low"] <= row["orders_high"]
            assert row["segment"] in SEGMENTS
    if reports[0]["rank"] is None:
        assert all(row["note"] for row in reports)
        assert manifest["model"]["verdict"].startswith("no verdict: ")
        assert any(note.startswith("no holdout evaluation: ") for note in manifest["notes"])
        assert snapshot.read("order_tracking").num_rows == 0
    for name in snapshot.tables():  # a number that is not known is NULL, not NaN
        for column in snapshot.read(name).columns:
            if pa.types.is_floating(column.type):
                assert not any(value != value for value in column.to_pylist()), name


@pytest.mark.parametrize("case", ["one line", "one customer", "one order each", "all on one day"])
def test_a_base_without_a_model_says_so(empty_shop, case):
    empty_shop.write_month("2024-01", SPARSE[case])
    manifest = build(empty_shop.settings(), progress=False).manifest
    assert manifest["model"] == manifest["model"] | {"name": "", "chosen_because": "nothing could be fitted"}
    assert any(note.startswith("no model of orders: ") for note in manifest["notes"])


def test_without_a_holdout_the_model_is_chosen_by_its_likelihood(empty_shop):
    empty_shop.write_month("2024-01", SPARSE["too short for a holdout"])
    manifest = build(empty_shop.settings(), progress=False).manifest
    assert manifest["model"]["chosen_because"] == "lowest AIC, there being no holdout"


def test_lines_of_the_future_are_set_aside_until_their_day_comes(empty_shop):
    lines = [line(f"c{i % 20}", day) for i, day in enumerate(_days(200))]
    empty_shop.write_month("2024-01", lines)
    early = run_build(empty_shop.settings(), today=date(2024, 5, 31), progress=False).snapshot
    assert str(early.as_of) == "2024-05-31"
    assert early.manifest["carried"]["after_as_of"] is True
    later = run_build(empty_shop.settings(), today=date(2025, 1, 1), progress=False).snapshot
    assert later.run_id != early.run_id
    assert str(later.as_of) == "2024-07-18"
    assert later.read("rejected_order_lines").num_rows == 0


def test_text_files_give_what_parquet_gives(shop, good, lines_by_month):
    for path in (shop.folder / "orders").iterdir():
        path.unlink()
    for month, rows in lines_by_month.items():
        shop.write_month_as_csv(month, rows)
    from_text = build(shop.settings(), progress=False)
    assert from_text.run_id != good.run_id
    for name in from_text.tables():
        assert from_text.read(name).equals(good.read(name)), name


def test_the_log_has_the_times_and_the_notes(snapshot):
    lines = (snapshot.path / "run.log").read_text().splitlines()
    times = [datetime.fromisoformat(text.split(" ")[0]) for text in lines]
    assert times == sorted(times)
    said = "\n".join(lines)
    assert "full build: no snapshot to build on" in said
    assert "check: " in said
    assert "current: published" in said


def test_notes_and_verdict_are_plain_json(snapshot):
    text = (snapshot.path / "manifest.json").read_text()
    assert json.loads(text) == snapshot.manifest
    assert "NaN" not in text


def test_a_disk_that_fills_while_tables_are_made(shop, good, monkeypatch):
    from regulars.sql.engine import QueryError
    from regulars.sql.pipeline import Pipeline

    def full(*_):
        raise QueryError("IO Error: Could not write file: No space left on device\n\nThe statement was: ...")

    monkeypatch.setattr(Pipeline, "make", full)
    with pytest.raises(WarehouseError, match=r"the disk is full: free space or set \[build\] warehouse"):
        build(shop.settings(value={"horizon": 9}), progress=False)
    assert Warehouse(shop.settings().warehouse).current().run_id == good.run_id
    assert not list(Path(shop.settings().warehouse).glob("staging/*"))


@pytest.mark.parametrize("end", ["1990-01-01", "2090-01-01"])
def test_a_calibration_end_outside_the_data_is_refused(shop, end):
    with pytest.raises(SettingsError, match=f"calibration_end = {end} leaves nothing"):
        build(shop.settings(value={"calibration_end": end}), progress=False)


def test_a_total_beyond_the_money_type_is_named(tmp_path):
    orders = tmp_path / "orders.csv"
    huge = "9999999999999999.99"
    orders.write_text(
        f"customer_id,ordered_at,revenue\nann,2026-01-01,{huge}\nann,2026-01-02,{huge}\nbob,2026-01-02,1\n"
    )
    settings = Settings.from_mapping({"orders": {"path": str(orders)}, "build": {"warehouse": str(tmp_path / "w")}})
    with pytest.raises(ContractError, match=r"total of revenue in \w+ is beyond DECIMAL\(18,2\)"):
        build(settings, progress=False)
