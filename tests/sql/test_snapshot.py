"""Snapshots: published whole, never changed, found again, and kept from one another's way."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from regulars.sql.durability import exclusive_lock
from regulars.sql.errors import WarehouseError
from regulars.sql.run_writer import ROW_GROUP_ROWS, RunWriter
from regulars.sql.snapshot import Snapshot, Warehouse

ROWS = pa.table({"customer_id": ["a", "b"], "orders": [1, 2]})


class Clock:
    """A clock that stands until it is set; starts in the present, as files' times do."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


def publish(warehouse: Warehouse, run_id: str, rows: pa.Table = ROWS, **stage) -> Snapshot:
    with warehouse.lock(), warehouse.stage(run_id, **stage) as run:
        facts = run.write_table("customer_days", rows.to_batches(), rows.schema)
        model = run.write_text("models/nbd.json", '{"r": 1.0}')
        run.manifest = {"as_of": "2017-12-31", "tables": {"customer_days": facts}, "models": {"nbd": model}}
    return warehouse.current()


@pytest.fixture
def warehouse(tmp_path):
    return Warehouse(tmp_path / "warehouse", now=Clock())


def test_a_published_run_reads_back_as_written(warehouse):
    snapshot = publish(warehouse, "one")
    assert snapshot.run_id == "one"
    assert str(snapshot.as_of) == "2017-12-31"
    assert snapshot.tables() == ("customer_days",)
    assert snapshot.read("customer_days").equals(ROWS)
    assert snapshot.read("customer_days", ["orders"]).column_names == ["orders"]
    assert json.loads(snapshot.model_path("nbd").read_text()) == {"r": 1.0}
    content = snapshot.table_path("customer_days").read_bytes()
    assert snapshot.manifest["tables"]["customer_days"] == {
        "rows": 2,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    assert snapshot.damage() == []
    assert not list(warehouse.path.glob("staging/*"))


def test_clock_times_stand_in_the_log_alone(warehouse):
    snapshot = publish(warehouse, "one")
    stamp = warehouse._now().isoformat(timespec="milliseconds")[:10]
    assert stamp in (snapshot.path / "run.log").read_text()
    others = [path for path in snapshot.path.rglob("*") if path.is_file() and path.name != "run.log"]
    assert len(others) == 3
    assert not [path for path in others if stamp.encode() in path.read_bytes()]


def test_an_empty_warehouse_names_the_next_step(warehouse):
    with pytest.raises(WarehouseError, match="no snapshot here yet; run 'regulars build'"):
        warehouse.current()


def test_a_block_that_fails_publishes_nothing(warehouse):
    publish(warehouse, "one")

    def fail_halfway():
        with warehouse.lock(), warehouse.stage("two") as run:
            run.write_table("customer_days", ROWS.to_batches(), ROWS.schema)
            assert [snapshot.run_id for snapshot in warehouse.runs()] == ["one"]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_halfway()
    assert warehouse.current().run_id == "one"
    assert [snapshot.run_id for snapshot in warehouse.runs()] == ["one"]
    assert not list(warehouse.path.glob("staging/*"))


@pytest.mark.parametrize("batch_rows", [1000, 7777, ROW_GROUP_ROWS, 200_000, 300_000])
def test_bytes_do_not_depend_on_the_size_of_the_batches(tmp_path, batch_rows):
    rows = pa.table({"customer_id": [f"c{i * 7919 % 300_000}" for i in range(300_000)], "orders": range(300_000)})
    runs = []
    for name, size in (("a", 300_000), ("b", batch_rows)):
        run = RunWriter(name, tmp_path / name, Clock())
        run.write_table("t", rows.to_batches(max_chunksize=size), rows.schema)
        runs.append(run.path / "t.parquet")
    assert runs[0].read_bytes() == runs[1].read_bytes()
    metadata = pq.read_metadata(runs[1])
    groups = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    assert groups == [ROW_GROUP_ROWS, ROW_GROUP_ROWS, 300_000 - 2 * ROW_GROUP_ROWS]


def test_a_table_without_rows_keeps_its_columns(warehouse):
    snapshot = publish(warehouse, "one", ROWS.slice(0, 0))
    assert snapshot.read("customer_days").schema == ROWS.schema


def test_runs_are_listed_as_they_were_published_and_rolled_back_to(warehouse):
    for name in ("c", "a", "b"):
        publish(warehouse, name)
    assert [run.run_id for run in warehouse.runs()] == ["b", "a", "c"]
    assert warehouse.rollback("c").run_id == "c"
    assert warehouse.current().run_id == "c"
    assert [run.run_id for run in warehouse.runs()] == ["b", "a", "c"]
    assert "rolled back to" in (warehouse.current().path / "run.log").read_text()
    publish(warehouse, "a")
    assert [run.run_id for run in warehouse.runs()] == ["a", "b", "c"]


def test_a_run_is_found_by_the_beginning_of_its_id(warehouse):
    publish(warehouse, "abc1")
    publish(warehouse, "abd2")
    assert warehouse.snapshot("abc").run_id == "abc1"
    with pytest.raises(WarehouseError, match="2 runs called 'ab'"):
        warehouse.snapshot("ab")
    with pytest.raises(WarehouseError, match="no run called 'abc2'; did you mean"):
        warehouse.snapshot("abc2")


def test_rolling_back_to_a_damaged_run_is_refused(warehouse):
    damaged = publish(warehouse, "one")
    publish(warehouse, "two")
    damaged.table_path("customer_days").write_bytes(b"PAR1")
    with pytest.raises(WarehouseError, match=r"damaged: customer_days.parquet has 4 bytes"):
        warehouse.rollback("one")
    assert warehouse.current().run_id == "two"


def test_damage_is_seen_where_the_size_is_right(warehouse):
    snapshot = publish(warehouse, "one")
    content = bytearray(snapshot.table_path("customer_days").read_bytes())
    content[6] ^= 1
    snapshot.table_path("customer_days").write_bytes(content)
    snapshot.model_path("nbd").unlink()
    assert snapshot.damage() == [
        "customer_days.parquet has other content than was published",
        "models/nbd.json is missing",
    ]
    assert warehouse.find("one") is None


def test_the_same_run_again_leaves_the_published_folder_alone(warehouse):
    first = publish(warehouse, "one")
    before = {path: path.stat().st_mtime_ns for path in first.path.rglob("*.parquet")}
    publish(warehouse, "two")
    assert publish(warehouse, "one").path == first.path
    assert {path: path.stat().st_mtime_ns for path in first.path.rglob("*.parquet")} == before


def test_a_damaged_run_is_built_anew_beside_the_old_folder(warehouse):
    first = publish(warehouse, "one")
    first.table_path("customer_days").unlink()
    second = publish(warehouse, "one")
    assert (second.run_id, second.damage()) == ("one.2", [])
    assert warehouse.find("one").run_id == "one.2"
    assert publish(warehouse, "one").run_id == "one.2"


def test_pruning_keeps_the_current_run_and_the_last_ones(warehouse):
    for name in "abcde":
        publish(warehouse, name)
    warehouse.rollback("a")
    with warehouse.lock():
        assert warehouse.prune(2) == []  # each was current within the last hour
        warehouse._now.now += timedelta(hours=2)
        assert warehouse.prune(2) == ["c", "b"]
    assert [run.run_id for run in warehouse.runs()] == ["e", "d", "a"]
    assert warehouse.current().run_id == "a"
    assert not list(warehouse.path.glob("staging/*"))


def test_a_run_that_was_current_a_moment_ago_survives_a_publication(warehouse):
    publish(warehouse, "a")
    warehouse._now.now += timedelta(days=3)  # long current, replaced only now
    publish(warehouse, "b", keep=1)
    assert [run.run_id for run in warehouse.runs()] == ["b", "a"]


def test_the_runs_that_are_kept_are_those_published_last_and_for_an_hour_those_that_were_current(warehouse):
    for name in "abcde":
        publish(warehouse, name, keep=3)
    assert [run.run_id for run in warehouse.runs()] == list("edcba")
    warehouse._now.now += timedelta(hours=1, seconds=1)
    publish(warehouse, "f", keep=3)
    assert [run.run_id for run in warehouse.runs()] == list("fed")


def test_a_run_that_is_built_again_after_a_rollback_counts_as_published_last(warehouse):
    for name in "abc":
        publish(warehouse, name)
    warehouse.rollback("a")
    assert [run.run_id for run in warehouse.runs()] == list("cba")
    again = publish(warehouse, "a")
    assert warehouse.current().run_id == "a"
    assert [run.run_id for run in warehouse.runs()] == list("acb")
    assert "no longer current" not in (again.path / "run.log").read_text().splitlines()[-1]
    before = warehouse.pointer_path.stat().st_mtime_ns
    publish(warehouse, "a")
    assert warehouse.pointer_path.stat().st_mtime_ns == before


def test_a_run_that_is_held_is_not_pruned(warehouse):
    for name in "ab":
        publish(warehouse, name)
    warehouse._now.now += timedelta(hours=2)
    with warehouse.snapshot("a").hold(), warehouse.lock():
        assert warehouse.prune(1) == []
    with warehouse.lock():
        assert warehouse.prune(1) == ["a"]
    with pytest.raises(WarehouseError, match="run a is gone"), Snapshot(warehouse.path / "runs" / "a").hold():
        pass


@pytest.mark.parametrize("text", ["", "{", "[]", '{"run_id": 3}', '{"run_id": "../../etc"}', '"one"'])
def test_a_spoilt_pointer_is_named(warehouse, text):
    publish(warehouse, "one")
    warehouse.pointer_path.write_text(text)
    with pytest.raises(WarehouseError, match=r"current.json: holds .* not the name of a run; remove the file"):
        warehouse.current()
    warehouse.pointer_path.unlink()
    assert warehouse.rollback("one").run_id == "one"
    assert warehouse.current().run_id == "one"


def test_a_pointer_to_a_missing_run_is_named(warehouse):
    publish(warehouse, "one")
    (warehouse.path / "runs" / "one").rename(warehouse.path / "elsewhere")
    with pytest.raises(WarehouseError, match=r"names run one, which is not in .*regulars runs rollback ID"):
        warehouse.current()


def test_a_spoilt_manifest_is_named(warehouse):
    snapshot = publish(warehouse, "one")
    (snapshot.path / "manifest.json").write_text("{")
    with pytest.raises(WarehouseError, match=r"manifest.json: cannot be read .*regulars build --force"):
        _ = warehouse.current().as_of


@pytest.mark.parametrize(("name", "advice"), [("customer_dais", "did you mean 'customer_days'"), ("x", "it has")])
def test_a_missing_table_names_the_nearest(warehouse, name, advice):
    snapshot = publish(warehouse, "one")
    with pytest.raises(WarehouseError, match=advice):
        snapshot.read(name)


def test_a_corrupt_table_names_file_and_next_step(warehouse):
    snapshot = publish(warehouse, "one")
    snapshot.table_path("customer_days").write_bytes(b"no parquet at all")
    with pytest.raises(WarehouseError, match=r"customer_days.parquet: cannot be read .*regulars build --force"):
        snapshot.read("customer_days")


# -- one writer at a time ---------------------------------------------------------------------------------------------

HOLDER = """
import sys, time
from pathlib import Path
from regulars.sql.snapshot import Warehouse
with Warehouse(sys.argv[1]).lock():
    (Path(sys.argv[1]) / "staging" / "left.1").mkdir()
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(warehouse):
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(warehouse.path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_writer_is_refused_and_told_who_holds_the_lock(warehouse, holder):
    with pytest.raises(WarehouseError, match=f"process {holder.pid} is writing this warehouse"), warehouse.lock():
        pass


def test_a_second_writer_can_wait(warehouse, holder):
    holder.send_signal(signal.SIGTERM)
    with warehouse.lock(wait=30):
        pass


def test_the_lock_of_a_killed_writer_is_free_and_its_leavings_go(warehouse, holder):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert (warehouse.path / "build.lock").read_text() == f"process {holder.pid}\n"
    with warehouse.lock():
        assert list(warehouse.path.glob("staging/*")) == []


def test_a_wait_ends(tmp_path):
    with exclusive_lock(tmp_path / "build.lock"):
        begun = time.monotonic()
        with pytest.raises(WarehouseError, match="is writing"), exclusive_lock(tmp_path / "build.lock", wait=0.3):
            pass
        assert time.monotonic() - begun >= 0.3


def test_leavings_beside_the_pointer_go(warehouse):
    publish(warehouse, "one")
    (warehouse.path / ".current.json.999").write_text("half")
    (warehouse.path / "staging" / "stray").write_text("x")
    with warehouse.lock():
        pass
    names = {path.name for path in warehouse.path.iterdir()}
    assert names == {"current.json", "runs", "staging", "build.lock"}


def test_a_run_that_was_never_pointed_to_is_found_whole(warehouse, tmp_path):
    snapshot = publish(warehouse, "one")
    warehouse.pointer_path.unlink()  # as after a kill between the rename and the swap
    assert warehouse.find("one").path == snapshot.path
    with warehouse.lock():
        warehouse.point_to(snapshot, "published")
    assert warehouse.current().run_id == "one"


def test_readers_see_one_run_or_the_other_while_another_process_publishes(warehouse):
    publish(warehouse, "a")
    program = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from test_snapshot import publish, Warehouse\n"
        "w = Warehouse(sys.argv[1])\n"
        "for i in range(24): publish(w, 'ab'[i % 2])\n"
    )
    folder = str(Path(__file__).parent)
    writer = subprocess.Popen([sys.executable, "-c", program, str(warehouse.path), folder])
    seen = set()
    while writer.poll() is None:
        snapshot = warehouse.current()
        assert snapshot.damage() == []
        seen.add(snapshot.run_id)
    assert writer.returncode == 0
    assert seen <= {"a", "b"}
