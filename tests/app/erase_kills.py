"""kill -9 at many moments of `erase`, in forked children: whole runs each time, and erasing again finishes it.

Run by test_erase.py as a program: everything is imported before the forks. Prints how many died, and how far they came.
"""

import importlib.util
import json
import os
import random
import shutil
import signal
import sys
from datetime import date
from pathlib import Path

from regulars.app.erase import erase
from regulars.app.state import State
from regulars.sql.privacy import Tombstones
from regulars.sql.snapshot import Warehouse
from regulars.uplift.target import TargetList, replay

WHO = "C0000017"


def write_warehouse(folder: Path) -> Path:
    spec = importlib.util.spec_from_file_location("synthetic", Path(__file__).parents[1] / "synthetic_snapshot.py")
    synthetic = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(synthetic)
    for number in (1, 2):
        synthetic.write_snapshot(folder, f"{number:016}", customers=60, seed=number)
    ids = [f"C{i:07}" for i in range(1, 41)]
    scores = {"customer_id": ids, "arm": ["mail"] * 40, "effect": [5.0] * 40, "net_effect": [1.0] * 40}
    made = TargetList.build({**scores, "cost": [0.04] * 40}, "spring", on=date(2018, 1, 4))
    made.write_log(folder / "decisions")
    made.write(folder / "lists" / "spring-2018-01-04.csv")
    state = State(folder)
    state.save_segment("one", f"q={WHO}", "ann")
    state.audit("ann", "look", WHO)
    return folder


def count_calls(at_call) -> None:
    def counted(original):
        def reach(*given, **named):
            at_call()
            return original(*given, **named)

        return reach

    for name in ("fsync", "link", "chmod"):
        setattr(os, name, counted(getattr(os, name)))
    for name in ("rename", "replace", "mkdir", "open", "write_bytes", "unlink"):
        setattr(Path, name, counted(getattr(Path, name)))
    shutil.rmtree = counted(shutil.rmtree)


def forked(work) -> int:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1]


def counting(warehouse: Path, note: Path) -> None:
    seen = [0]

    def at_call() -> None:
        seen[0] += 1

    count_calls(at_call)
    erase(warehouse, WHO)
    note.write_text(str(seen[0]))


def dying(warehouse: Path, call: int) -> None:
    left = [call]

    def at_call() -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    count_calls(at_call)
    erase(warehouse, WHO)


def look(warehouse: Path) -> None:
    """What a reader finds after a kill."""
    house = Warehouse(warehouse)
    house.current()
    for run in house.runs():
        assert run.damage() == [], run.run_id
    (log,) = (warehouse / "decisions").glob("*.parquet")
    replay(log)
    assert (warehouse / "lists" / "spring-2018-01-04.csv").read_text().count("\n") in {40, 41}
    State(warehouse).audit_lines()


def main(folder: Path, kills: int) -> None:
    whole = write_warehouse(folder / "whole")
    note = folder / "calls"
    shutil.copytree(whole, folder / "counted")
    assert forked(lambda: counting(folder / "counted", note)) == 0
    calls = int(note.read_text())
    rng = random.Random(20261121)
    died = tombstoned = 0
    for i in range(kills):
        warehouse = folder / f"killed_{i}"
        shutil.copytree(whole, warehouse)
        call = 1 + int((i + rng.random()) / kills * calls)
        died += forked(lambda w=warehouse, c=call: dying(w, c)) == signal.SIGKILL
        look(warehouse)
        tombstoned += len(Tombstones(warehouse)) == 1
        done = erase(warehouse, WHO)
        assert done.proof is not None
        assert done.proof.holds, done.proof.found
        look(warehouse)
        names = {path.name for path in (warehouse / "runs").iterdir()}
        assert names == {f"{1:016}.2", f"{2:016}.2"}, names
        assert Warehouse(warehouse).current().run_id == f"{2:016}.2"
        (log,) = (warehouse / "decisions").glob("*.parquet")
        manifest = json.loads((warehouse / "lists" / "spring-2018-01-04.csv.manifest.json").read_text())
        assert manifest["erased"] == [Tombstones(warehouse).of(WHO)[:16]]
        assert [WHO in said for said in replay(log).differences] == [False]
        assert list((warehouse / "staging").iterdir()) == []
        shutil.rmtree(warehouse)
    print(json.dumps({"calls": calls, "died": died, "tombstoned": tombstoned}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
