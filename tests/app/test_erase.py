"""A person erased: gone from every file, the rest as it was, and not back with the next build."""

import gc
import json
import shutil
import sqlite3
import subprocess
import sys
import weakref
from datetime import date
from pathlib import Path
from urllib.parse import quote

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from regulars.app.api import create_api
from regulars.app.cli import cli
from regulars.app.data import AppData
from regulars.app.erase import erase
from regulars.app.listings import CUSTOMERS
from regulars.app.state import State
from regulars.sql import contract
from regulars.sql.errors import SettingsError, WarehouseError
from regulars.sql.privacy import MARK, Tombstones
from regulars.sql.snapshot import Warehouse

# one in each fifth of it; `python tests/app/erase_kills.py FOLDER 50` kills more often
KILLS = 5
AWKWARD = ('O\'Brien "the" <b>bold</b>', "../../etc/passwd", "Zoë/Ω漢字 %26 &?#", "L" * 10_000, "C0001234")


@pytest.fixture
def warehouse(synthetic_warehouse, tmp_path):
    shutil.copytree(synthetic_warehouse, tmp_path / "warehouse")
    return tmp_path / "warehouse"


def every_value(warehouse: Path):
    """Every text of every file, read by other means than the product's: DuckDB, sqlite3, bytes."""
    with duckdb.connect(config={"threads": 1}) as parquet:
        for path in warehouse.rglob("*.parquet"):
            rows = parquet.sql(f"SELECT COLUMNS(*)::VARCHAR FROM '{path}'").fetchall()
            yield from ((path, value) for row in rows for value in row if value is not None)
    for path in warehouse.glob("*.sqlite"):
        connection = sqlite3.connect(path)
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in connection.execute(f"SELECT * FROM {table}"):
                yield from ((path, str(value)) for value in row)
        connection.close()


def is_nowhere(warehouse: Path, customer: str) -> bool:
    assert [path for path, value in every_value(warehouse) if value == customer] == []
    for form in (customer, quote(customer, safe="")):
        holding = [path for path in warehouse.rglob("*") if path.is_file() and form.encode() in path.read_bytes()]
        assert holding == []
    return True


@pytest.mark.parametrize("customer", AWKWARD)
def test_a_person_is_gone_and_the_rest_is_as_it_was(warehouse, customer):
    house = Warehouse(warehouse)
    before = {(run.run_id, name): run.read(name) for run in house.runs() for name in run.tables()}
    held = {key for key, table in before.items() if "customer_id" in table.column_names}
    held = {key for key in held if customer in before[key]["customer_id"].to_pylist()}
    done = erase(warehouse, customer)
    assert (done.outcome, done.exit_code) == ("erased", 0)
    assert done.proof is not None
    assert done.proof.holds
    assert done.proof.files == sum(path.is_file() for path in warehouse.rglob("*"))
    assert is_nowhere(warehouse, customer)
    for (old, name), table in before.items():
        run = house.snapshot(old)  # by the beginning of its id: lists name runs so
        assert run.damage() == []
        assert run.run_id == (f"{old}.2" if any(key[0] == old for key in held) else old)
        left = run.read(name)
        assert left.schema.equals(table.schema, check_metadata=True)
        if (old, name) in held:
            kept = [row for row in table.to_pylist() if row["customer_id"] != customer]
            if name == "rejected_order_lines":
                assert left.num_rows == table.num_rows
                kept = [row for row in left.to_pylist() if row["customer_id"] is not None]
            assert left.to_pylist() == kept
            assert run.manifest["erasures"][0]["rows"][name] == table.num_rows - len(kept)
        else:
            assert left.equals(table)
    assert house.current().run_id.startswith("5eed000000000001")
    assert erase(warehouse, customer).outcome == "erased before"


def test_another_customer_after_the_first(warehouse):
    for i in (100, 200):
        assert erase(warehouse, f"C{i:07}").outcome == "erased"
    runs = Warehouse(warehouse).runs()
    assert [run.run_id for run in runs] == ["5eed000000000001.3", "5eed000000000000.3"]
    assert [run.damage() for run in runs] == [[], []]
    assert [len(run.manifest["erasures"]) for run in runs] == [2, 2]
    assert len(Tombstones(warehouse)) == 2


def test_a_dry_run_changes_nothing(warehouse):
    before = {path: path.read_bytes() for path in warehouse.rglob("*") if path.is_file()}
    found = erase(warehouse, "C0001234", dry_run=True)
    assert found.outcome == "dry run"
    assert found.runs[0].rows["customer_summary"] == 1
    assert {path: path.read_bytes() for path in warehouse.rglob("*") if path.is_file()} == before


def test_lists_and_logs_lose_the_person_and_a_replay_says_so(warehouse):
    from regulars.app.targeting import replay_run
    from regulars.uplift.target import TargetList

    ids = ["C0000001", "C0000002", "C0000003", '=1+1, "a"\nb']
    scores = {"customer_id": ids, "arm": ["mail"] * 4, "effect": [5.0] * 4, "net_effect": [1.5, 1.0, 2.0, 0.7]}
    for campaign, ending in (("spring", "csv"), ("autumn", "parquet")):
        made = TargetList.build({**scores, "cost": [0.04] * 4}, campaign, on=date(2018, 1, 4), facts={"of": "C0000002"})
        made.write_log(warehouse / "decisions")
        made.write(warehouse / "lists" / f"{campaign}-2018-01-04.{ending}")
    made.write_log(warehouse / "decisions" / "withdrawn")
    lines = (warehouse / "lists" / "spring-2018-01-04.csv").read_bytes()
    done = erase(warehouse, "C0000002")
    assert is_nowhere(warehouse, "C0000002")
    assert sorted(done.lists.logs.values()) == [1, 1, 1]
    (gone,) = [line for line in lines.split(b"\n") if b"C0000002" in line]
    assert (warehouse / "lists" / "spring-2018-01-04.csv").read_bytes() == lines.replace(gone + b"\n", b"")
    for campaign in ("spring", "autumn"):
        (log,) = (warehouse / "decisions").glob(f"{campaign}-*.parquet")
        (manifest_path,) = (warehouse / "lists").glob(f"{campaign}-*.manifest.json")
        said = json.loads(manifest_path.read_text())
        listed = manifest_path.with_name(manifest_path.name.removesuffix(".manifest.json"))
        from regulars.sql.lineage import file_sha256

        assert (said["list"]["rows"], said["list"]["sha256"]) == (3, file_sha256(listed))
        assert (said["log"]["rows"], said["log"]["sha256"]) == (3, file_sha256(log))
        if campaign == "spring":
            replayed = replay_run(warehouse, campaign, said["run_id"])
            assert not replayed.same
            assert "a customer was erased from it since" in replayed.differences[0]
    assert pq.read_table(log).schema.names == made.log.schema.names


def test_effects_forget_whom_they_were_learnt_from(warehouse):
    from regulars.sql.durability import canonical_json
    from regulars.sql.lineage import file_sha256
    from regulars.uplift.effects import Effects
    from regulars.uplift.experiment import Experiment
    from regulars.uplift.learners import fit_effects
    from regulars.uplift.simulate import simulate

    ids = [f"C{i:07}" for i in range(1_000)]
    frame = simulate("linear", 1_000, seed=1).frame().assign(customer_id=ids)
    fitted = fit_effects(Experiment(treatment="arm", outcome="outcome", control="control"), frame, "t", threads=1)
    run = Warehouse(warehouse).current()
    fitted.save(run.path / "models" / "campaign_spring")
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
        for path in (run.path / "models" / "campaign_spring").iterdir()
    }
    manifest = run.manifest | {"effects": {"campaign_spring": {"version": fitted.model_version, "files": files}}}
    (run.path / "manifest.json").write_text(canonical_json(manifest))

    theirs = np.array(["C0000234"], dtype=object)
    assert fitted.seen(theirs).all()
    done = erase(warehouse, "C0000234")
    assert (done.outcome, done.exit_code) == ("erased", 0)
    left = Warehouse(warehouse).current()
    assert left.damage() == []
    loaded = Effects.load(left.path / "models" / "campaign_spring", threads=1)
    assert not loaded.seen(theirs).any()
    assert loaded.seen(np.array([one for one in ids if one != "C0000234"], dtype=object)).all()
    assert loaded.predict(frame).tobytes() == fitted.predict(frame).tobytes()
    assert erase(warehouse, "C0000234").outcome == "erased before"
    # what lies about is found, too
    fitted.save(warehouse / "copy")
    proof = erase(warehouse, "C0000234").proof
    assert proof is not None
    assert [where for where in proof.found if where.endswith("numbers made of ids")] == proof.found != []


def test_the_state_forgets_the_person(warehouse):
    state = State(warehouse)
    state.save_segment("theirs", "q=C0001234", "ann")
    state.save_segment("others", "segment=best", "ann")
    state.save_draft("campaign", "spring", {"leave out": ["C0001234", "C0000001"], "budget": 5}, "ann")
    state.audit("ann", "looked at", "C0001234", path="/customer?id=C0001234", rows=1)
    (warehouse / "builds.jsonl").write_text('{"reason": "customer C0001234 in campaign x"}\n{"reason": "disk"}\n')
    erase(warehouse, "C0001234", person="bob")
    assert is_nowhere(warehouse, "C0001234")
    assert [segment.name for segment in state.segments()] == ["others"]
    assert state.draft("campaign", "spring").content == {"leave out": ["[erased]", "C0000001"], "budget": 5}
    lines = state.audit_lines()
    assert [(line.person, line.action, line.subject) for line in lines[:2]] == [
        ("bob", "erase customer", Tombstones(warehouse).of("C0001234")[:16]),
        ("ann", "looked at", "[erased]"),
    ]
    reasons = [json.loads(line)["reason"] for line in (warehouse / "builds.jsonl").read_text().splitlines()]
    assert reasons == ["customer [erased] in campaign x", "disk"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.txt", b"call C0001234 back"),
        ("uploads/orders.csv", b'customer_id,revenue\n"C0001234",1\n'),
        ("more.bin", b"\x00" * 100 + b"C0001234" + b"\x00" * 100),
        ("C0001234.log", b""),
        ("copy.json", b'{"a": ["C0001234"]}'),
        ("backup.sqlite-wal", b"\x01C0001234\x02"),
    ],
)
def test_the_proof_finds_what_lies_about(warehouse, name, content):
    path = warehouse / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    done = erase(warehouse, "C0001234")
    if name == "copy.json":  # texts beside the snapshots are ours to blot
        assert done.exit_code == 0
    else:
        assert done.exit_code == 1
        assert any(name in where for where in done.proof.found)
        assert "no proof" in done.text()


def test_the_proof_reads_values_and_is_not_misled_by_longer_ids(warehouse):
    pq.write_table(pa.table({"who": ["C00012345", "x-C0001234-y", "C0001234 and Sons"]}), warehouse / "others.parquet")
    erased = erase(warehouse, "C0001234")
    assert erased.proof.found == ["others.parquet, column who"]
    pq.write_table(pa.table({"customer_id": ["C00012345", "C0001234 and Sons"]}), warehouse / "others.parquet")
    assert erase(warehouse, "C0001234").proof.holds


def test_a_short_id_is_proved_by_values(synthetic, tmp_path):
    synthetic.write_snapshot(tmp_path, customers=30)
    erased = erase(tmp_path, "C17")
    assert (erased.outcome, erased.proof.too_short) == ("unknown", ["C17"])
    assert "shorter than 6 bytes" in erased.text()


def test_the_api_answers_the_person_no_more(warehouse):
    client = create_api(warehouse, open_api=True).test_client()
    first = client.get("/api/v1/customers/C0001234")
    assert first.status_code == 200
    erase(warehouse, "C0001234")
    again = client.get("/api/v1/customers/C0001234", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 404
    other = client.get("/api/v1/customers/C0001235", headers={"If-None-Match": first.headers["ETag"]})
    assert (other.status_code, other.get_json()["run_id"]) == (200, "5eed000000000001.2")


def test_a_running_app_lets_go_of_what_it_had_read(warehouse):
    data = AppData(warehouse, threads=1)
    one = CUSTOMERS.parse("q=C0001234")
    before = weakref.ref(data.snapshot())
    assert before().count(one) == 1
    erase(warehouse, "C0001234")
    assert data.snapshot().count(one) == 0
    gc.collect()
    assert before() is None
    data.close()


def test_erasing_can_be_killed_at_any_moment(tmp_path):
    program = Path(__file__).with_name("erase_kills.py")
    done = subprocess.run(
        [sys.executable, str(program), str(tmp_path), str(KILLS)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["died"] == KILLS
    assert 0 < told["tombstoned"] <= KILLS


# ---- builds after it


def money(snapshot):
    rows = snapshot.read("money_reconciliation").to_pylist()
    came_in = sum(row["revenue"] for row in rows if row["disposition"] == "in")
    return came_in, sum(row["revenue"] for row in rows if row["disposition"] != "in")


def test_the_next_build_leaves_the_person_out_and_the_money_reconciles(shop, lines_by_month):
    from regulars.app.build import run_build

    warehouse = shop.settings().warehouse
    before = Warehouse(warehouse).current()
    summary, came_in = before.read("customer_summary").to_pylist(), money(before)[0]
    who = max(summary, key=lambda row: row["orders"])["customer_id"]
    lines = [line for rows in lines_by_month.values() for line in rows if line["customer_id"] == who]
    done = erase(warehouse, who, settings=shop.settings())
    assert any("2024-01.parquet" in said for said in done.inputs)
    built = run_build(shop.settings(), progress=False)
    after = built.snapshot
    assert (built.outcome, built.reason) == ("published", "the input erased_customers has changed")
    assert after.read("customer_summary").to_pylist() == [row for row in summary if row["customer_id"] != who]
    assert [value for _, value in every_value(after.path) if value in {who, MARK}] == []
    assert money(after)[0] == money(after)[1] == came_in
    aside = [row for row in after.read("rejected_order_lines").to_pylist() if row["reason"] == "erased_customer"]
    assert sum(row["lines"] for row in aside) == len(lines)
    assert f"{sum(row['revenue'] for row in aside):.2f}" == f"{sum(float(line['revenue']) for line in lines):.2f}"
    named = ("customer_id", "order_id", "sku", "ordered_at_text", "revenue_text")
    assert {row[name] for row in aside for name in named} == {None}
    assert {row["ordered_at"].time().isoformat() for row in aside} == {"00:00:00"}
    assert run_build(shop.settings(), progress=False).outcome == "unchanged"


def test_an_incremental_build_after_it_has_the_bytes_of_a_full_one(empty_shop, lines_by_month):
    from regulars.app.build import run_build

    months = list(lines_by_month)
    for month in months[:14]:
        empty_shop.write_month(month, lines_by_month[month])
    settings = empty_shop.settings()
    run_build(settings, progress=False)
    last = lines_by_month[months[14]]
    who = next(line["customer_id"] for line in last if line["customer_id"])
    erase(settings.warehouse, who)
    run_build(settings, progress=False)
    empty_shop.write_month(months[14], last)
    built = run_build(settings, progress=False)
    assert built.how == "incremental"
    files = {path.name: path.read_bytes() for path in built.snapshot.path.glob("*.parquet")}
    full = run_build(settings, progress=False, force=True, incremental=False)
    assert {path.name: path.read_bytes() for path in full.snapshot.path.glob("*.parquet")} == files
    assert who not in full.snapshot.read("customer_summary")["customer_id"].to_pylist()


@pytest.mark.parametrize("named", ["old_1", "new_1", "older_1"])
def test_links_join_the_ids_of_a_person(open_shop, write_parquet, make_settings, named, tmp_path):
    from regulars.app.build import run_build

    write_parquet(
        "SELECT unnest(['older_1', 'old_1', 'new_1', 'other_1', 'latest_1', NULL]) AS customer_id, "
        "TIMESTAMP '2024-01-01' + INTERVAL (i) DAY AS ordered_at, 10.0 AS revenue, 'o' || i AS order_id, "
        "'s' AS sku FROM range(6) AS r(i)"
    )
    write_parquet(
        "SELECT * FROM (VALUES ('older_1', 'old_1'), ('old_1', 'new_1')) AS v(old_id, customer_id)", "l.parquet"
    )
    settings = make_settings(customer_links={"path": "l.parquet"}, value={"as_of": date(2024, 3, 1)})
    run_build(settings, progress=False)
    done = erase(settings.warehouse, named, settings=settings)
    assert done.ids == 3
    for one in ("older_1", "old_1", "new_1"):
        assert is_nowhere(settings.warehouse, one)
    # a link that came later: whoever is joined to an erased id is that person
    write_parquet(
        "SELECT * FROM (VALUES ('older_1', 'old_1'), ('old_1', 'new_1'), ('latest_1', 'new_1')) "
        "AS v(old_id, customer_id)",
        "l.parquet",
    )
    snapshot = run_build(settings, progress=False).snapshot
    assert snapshot.read("customer_summary")["customer_id"].to_pylist() == ["other_1"]


def test_a_guest_with_an_order_as_customer_can_be_erased(write_parquet, make_settings):
    from regulars.app.build import run_build

    write_parquet(
        "SELECT NULL::VARCHAR AS customer_id, TIMESTAMP '2024-01-01' + INTERVAL (i) DAY AS ordered_at, "
        "10.0 AS revenue, 'order_' || i AS order_id, 's' AS sku FROM range(5) AS r(i)"
    )
    settings = make_settings(policy={"guests": "one_customer_per_order"}, value={"as_of": date(2024, 3, 1)})
    run_build(settings, progress=False)
    assert erase(settings.warehouse, "guest:order_3").outcome == "erased"
    left = run_build(settings, progress=False).snapshot.read("customer_summary")["customer_id"].to_pylist()
    assert left == ["guest:order_0", "guest:order_1", "guest:order_2", "guest:order_4"]


def test_without_its_key_nothing_is_built(shop):
    from regulars.app.build import run_build

    warehouse = shop.settings().warehouse
    erase(warehouse, "c0003")
    (warehouse / "erasures.key").rename(warehouse / "key.away")
    with pytest.raises(WarehouseError, match=r"erasures\.key: cannot be read .* restore it"):
        run_build(shop.settings(), progress=False)
    with pytest.raises(WarehouseError, match="restore it"):
        erase(warehouse, "c0004")
    (warehouse / "key.away").rename(warehouse / "erasures.key")
    (warehouse / "erasures.json").write_text("{")
    with pytest.raises(WarehouseError, match=r"erasures\.json: cannot be read .* restore it"):
        run_build(shop.settings(), progress=False)


def test_tombstones_hold_no_id_and_differ_between_warehouses(tmp_path):
    first, second = Tombstones(tmp_path / "a"), Tombstones(tmp_path / "b")
    for stones in (first, second):
        stones.path.parent.mkdir()
        stones.add(["C0001234"])
        assert b"C0001234" not in stones.path.read_bytes()
        assert (stones.key_path.stat().st_mode & 0o077, stones.path.stat().st_mode & 0o077) == (0, 0)
    assert first.hashes != second.hashes
    assert Tombstones(tmp_path / "a").among(["C0001235", "C0001234"]) == ["C0001234"]


# ---- the command, and what is personal


def test_the_command_prints_the_proof_and_one_object(warehouse):
    run = CliRunner()
    shown = run.invoke(cli, ["erase", "C0001234", "-w", str(warehouse), "--settings", "none.toml"])
    assert shown.exit_code == 0, shown.output
    assert "proof: read" in shown.stdout
    assert "C0001234" not in shown.stdout
    told = json.loads(run.invoke(cli, ["erase", "C0001235", "-w", str(warehouse), "-s", "none.toml", "--json"]).stdout)
    assert (told["outcome"], told["proof"]["holds"]) == ("erased", True)
    (warehouse / "left.txt").write_text("C0001236")
    assert run.invoke(cli, ["erase", "C0001236", "-w", str(warehouse), "-s", "none.toml"]).exit_code == 1


@pytest.mark.parametrize("customer", ["  ", MARK])
def test_what_is_no_id_is_refused(warehouse, customer):
    with pytest.raises(SettingsError, match="is no id"):
        erase(warehouse, customer)
    with pytest.raises(WarehouseError, match="there is no warehouse"):
        erase(warehouse / "none", "C0001234")


@pytest.mark.parametrize("customer", ["C0000234", "nobody here"])
def test_nothing_is_erased_that_is_not_on_record(warehouse, customer):
    (warehouse / "state.sqlite").unlink(missing_ok=True)
    (warehouse / "state.sqlite").mkdir()
    before = {path: path.read_bytes() for path in (warehouse / "runs").rglob("*") if path.is_file()}
    with pytest.raises(WarehouseError, match=r"state\.sqlite"):
        erase(warehouse, customer)
    assert not (warehouse / "erasures.json").exists()
    assert {path: path.read_bytes() for path in (warehouse / "runs").rglob("*") if path.is_file()} == before
    (warehouse / "state.sqlite").rmdir()
    assert erase(warehouse, customer).exit_code == 0
    (line,) = State(warehouse).audit_lines()
    assert (line.action, line.subject) == ("erase customer", Tombstones(warehouse).of(customer)[:16])


def test_a_build_that_runs_is_waited_for(warehouse):
    with Warehouse(warehouse).lock(), pytest.raises(WarehouseError, match="is writing this warehouse"):
        erase(warehouse, "C0001234")


def test_columns_of_ids_are_marked_personal_and_no_table_holds_an_address():
    tables = {**contract.INPUT_TABLES, **contract.OUTPUT_TABLES, **contract.BESIDE_TABLES}
    ids = {"customer_id", "source_customer_id", "old_id", "order_id", "original_order_id"}
    for table in tables.values():
        for column in table.columns:
            assert not (column.name in ids and not column.personal), f"{table.name}.{column.name}"
    for table in (*contract.OUTPUT_TABLES.values(), *contract.BESIDE_TABLES.values()):
        names = [name for name in table.column_names if "mail" in name and name != "mailer"]
        assert names == [], table.name
        assert not any("@" in column.meaning for column in table.columns)
