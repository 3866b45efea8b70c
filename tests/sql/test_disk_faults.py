"""A disk that fills, refuses or breaks at any call: a clear error, and the last good snapshot stays."""

import contextlib
import errno
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from regulars.sql.errors import WarehouseError
from regulars.sql.snapshot import Warehouse

ROWS = pa.table({"customer_id": [f"c{i:06}" for i in range(200_000)], "orders": range(200_000)})


def publish(warehouse: Warehouse, run_id: str, rows: pa.Table = ROWS) -> None:
    with warehouse.lock(), warehouse.stage(run_id, keep=3) as run:
        facts = {name: run.write_table(name, rows.to_batches(), rows.schema) for name in ("customer_days", "cohorts")}
        model = run.write_text("models/nbd.json", '{"r": 1.0}')
        run.log("scored")
        run.manifest = {"as_of": "2017-12-31", "tables": facts, "models": {"nbd": model}}


class Faults:
    """Counts the calls that reach the disk, and lets one of them fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
        self.calls: list[str] = []
        self.fail_at = -1
        self.code = code
        faults = self

        def counted(kind: str, original):
            def call(*given, **named):
                faults.reach(kind, given)
                return original(*given, **named)

            return call

        original_open = Path.open

        def open_counted(path, mode="r", *given, **named):
            if any(letter in mode for letter in "wa"):
                faults.reach("open", (path,))
            file = original_open(path, mode, *given, **named)
            return _Writing(file, faults) if "w" in mode and "b" in mode else file

        monkeypatch.setattr(Path, "open", open_counted)
        monkeypatch.setattr(os, "fsync", counted("fsync", os.fsync))
        for name in ("rename", "replace", "mkdir"):
            monkeypatch.setattr(Path, name, counted(name, getattr(Path, name)))

    def reach(self, kind: str, given: tuple) -> None:
        self.calls.append(kind)
        if len(self.calls) - 1 == self.fail_at:
            named = [str(path) for path in given[:1] if isinstance(path, str | Path)]  # fsync knows no name
            raise OSError(self.code, os.strerror(self.code), *named)


class _Writing:
    def __init__(self, file, faults: Faults) -> None:
        self._file, self._faults = file, faults

    def write(self, data) -> int:
        self._faults.reach("write", (self._file.name,))
        return self._file.write(data)

    def __getattr__(self, name):
        return getattr(self._file, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()


@pytest.mark.parametrize(("code", "every"), [(errno.ENOSPC, 1), (errno.EIO, 7), (errno.EROFS, 8), (errno.EDQUOT, 9)])
def test_a_fault_at_any_call_leaves_the_last_good_snapshot(tmp_path, monkeypatch, code, every):
    small = ROWS.slice(0, 100)
    with monkeypatch.context() as patch:
        faults = Faults(patch, code)
        for run_id in ("one", "two"):
            publish(Warehouse(tmp_path / "count"), run_id, small)
            counted, faults.calls = faults.calls, []
    assert {"write", "fsync", "rename", "replace", "open", "mkdir"} <= set(counted)
    outcomes = set()
    for call in range(0, len(counted), every):
        warehouse = Warehouse(tmp_path / f"call{call}")
        publish(warehouse, "one", small)
        with monkeypatch.context() as patch:
            faults = Faults(patch, code)
            faults.fail_at = call
            failed = None
            try:
                publish(warehouse, "two", small)
            except WarehouseError as error:
                failed = error
        current = warehouse.current()
        assert current.damage() == [], (call, counted[call])
        for run in warehouse.runs():
            assert run.damage() == [], (call, counted[call])
        if failed is None:  # only notes in a log may be lost
            assert (current.run_id, counted[call]) == ("two", "open")
        else:
            assert os.strerror(code) in str(failed)
            assert str(warehouse.path) in str(failed)
            assert "last good snapshot is untouched" in str(failed)
        outcomes.add((failed is None, current.run_id))
        publish(warehouse, "two", small)
        assert warehouse.current().run_id == "two"
        assert not list(warehouse.path.glob("staging/*"))
    assert (False, "one") in outcomes


def test_a_full_disk_names_the_cause_and_the_next_step(tmp_path, monkeypatch):
    warehouse = Warehouse(tmp_path / "warehouse")
    publish(warehouse, "one")
    faults = Faults(monkeypatch, errno.ENOSPC)
    faults.fail_at = 12
    with pytest.raises(WarehouseError, match=r"the disk is full: free space or set \[build\] warehouse"):
        publish(warehouse, "two")


def test_a_full_disk_at_the_swap_of_the_pointer(tmp_path, monkeypatch):
    warehouse = Warehouse(tmp_path / "warehouse")
    publish(warehouse, "one")
    replace = Path.replace

    def full(path, target):
        if Path(target).name == "current.json":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(WarehouseError, match="disk is full"):
            publish(warehouse, "two")
    assert warehouse.current().run_id == "one"
    assert [run.run_id for run in warehouse.runs()] == ["one"]
    publish(warehouse, "two")
    assert warehouse.current().run_id == "two"


LIMITED = """
import resource, signal, sys
sys.path.insert(0, sys.argv[2])
from regulars.sql.errors import WarehouseError
from test_disk_faults import Warehouse, publish
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    publish(Warehouse(sys.argv[1]), "two")
except WarehouseError as error:
    print(error)
"""


@contextlib.contextmanager
def small_disk(folder: Path, size: str):
    """A real disk of that size where the machine lets us mount one; else None."""
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True)
    try:
        yield mounted.returncode == 0
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_really_full(tmp_path):
    with small_disk(tmp_path / "disk", "2600k") as mounted:
        warehouse = Warehouse(tmp_path / "disk" / "warehouse")
        publish(warehouse, "one")
        if mounted:
            with pytest.raises(WarehouseError, match="the disk is full"):
                publish(warehouse, "two")
        else:  # the kernel refuses to let any file grow instead
            command = [sys.executable, "-c", LIMITED, str(warehouse.path), str(Path(__file__).parent)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            assert "the disk is full" in done.stdout
        assert (warehouse.current().run_id, warehouse.current().damage()) == ("one", [])
        assert not list(warehouse.path.glob("staging/*"))


@contextlib.contextmanager
def without_privilege():
    """Drop root's right to write where nobody may."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_read_only_warehouse_is_named_and_can_be_read(tmp_path):
    for folder in (tmp_path, *tmp_path.parents):
        if folder != Path("/") and folder.owner() == Path.home().owner() and not folder.stat().st_mode & 0o005:
            folder.chmod(folder.stat().st_mode | 0o055)
    warehouse = Warehouse(tmp_path / "warehouse")
    publish(warehouse, "one")
    folders = [warehouse.path, *(path for path in warehouse.path.rglob("*") if path.is_dir())]
    files = [path for path in warehouse.path.rglob("*") if path.is_file()]
    for path in files:
        path.chmod(0o444)
    for folder in folders:
        folder.chmod(0o555)
    try:
        with without_privilege():
            with pytest.raises(WarehouseError, match=r"cannot be written: grant write access .* \(Permission denied\)"):
                publish(warehouse, "two")
            with pytest.raises(WarehouseError, match="grant write access"):
                warehouse.rollback("one")
            assert warehouse.current().damage() == []
            with warehouse.current().hold() as snapshot:
                assert snapshot.read("cohorts").num_rows == 200_000
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert warehouse.current().run_id == "one"


@pytest.mark.parametrize("inside", ["", "/warehouse"])
def test_a_warehouse_that_is_a_file_is_named(tmp_path, inside):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(WarehouseError, match=r"a file stands where a folder belongs"):
        publish(Warehouse(f"{tmp_path}/file{inside}"), "one")
    with pytest.raises(WarehouseError):
        Warehouse(f"{tmp_path}/file{inside}").current()


@pytest.mark.parametrize("name", ["runs", "staging", "build.lock"])
def test_something_else_in_the_place_of_a_part_is_named(tmp_path, name):
    warehouse = Warehouse(tmp_path)
    path = tmp_path / name
    path.mkdir() if name == "build.lock" else path.write_text("x")
    with pytest.raises(WarehouseError, match=name):
        publish(warehouse, "one")
