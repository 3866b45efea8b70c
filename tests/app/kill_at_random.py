"""Run by test_kill.py: builds in forked children, killed at seeded moments, and looks at what is left each time.

Everything is imported before the forks, so that a moment falls into the build and not into Python's start.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import narwhals
import numba
import pandas
import pyarrow.parquet
import tqdm

import regulars.clv.evaluate
import regulars.clv.modified_beta_geo
import regulars.clv.pareto_nbd
import regulars.clv.portfolio
import regulars.clv.score
import regulars.clv.tracking
from regulars.app.build import run_build
from regulars.sql.settings import Settings
from regulars.sql.snapshot import Warehouse

IMPORTED_BEFORE_THE_FORKS = (narwhals, numba, pandas, pyarrow.parquet, tqdm, regulars.clv)


def count_calls(at_call) -> None:
    """Let every call that reaches the disk pass through ``at_call`` first."""

    def counted(original):
        def reach(*given, **named):
            at_call()
            return original(*given, **named)

        return reach

    os.fsync = counted(os.fsync)
    for name in ("rename", "replace", "mkdir", "open"):
        setattr(Path, name, counted(getattr(Path, name)))


def build_and_count(settings: Settings, note: Path) -> None:
    seen = [0]

    def at_call() -> None:
        seen[0] += 1

    count_calls(at_call)
    run_build(settings, progress=False)
    note.write_text(str(seen[0]))


def build_and_die(settings: Settings, call: int) -> None:
    """Build until the disk is reached for the ``call``-th time."""
    left = [call]

    def at_call() -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    count_calls(at_call)
    run_build(settings, progress=False)


def forked(work) -> int:
    """Run in a child; return its process id."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return child


def ended(child: int) -> int:
    return os.waitpid(child, 0)[1]


def look(warehouse: Warehouse, good: str, horizon: int) -> str:
    """Check what readers see; return the current run."""
    current = warehouse.current()
    assert current.run_id == good or current.manifest["settings"]["value"]["horizon"] == horizon
    for run in warehouse.runs():
        assert run.damage() == [], run.run_id
        assert (run.path / "inputs.json").is_file()
    names = {path.name for path in (warehouse.path / "runs").iterdir()}
    assert names == {run.run_id for run in warehouse.runs()}, "something half-made lies among the runs"
    return current.run_id


def main(settings_path: str, kills: int, rebuild_every: int, seed: int) -> None:
    rng = random.Random(seed)

    def settings(i: int) -> Settings:
        return Settings.from_toml(settings_path, value={"horizon": 10 + i})

    warehouse = Warehouse(settings(0).warehouse)
    note = Path(settings_path).with_name("calls")
    assert ended(forked(lambda: build_and_count(settings(1), note))) == 0
    calls = int(note.read_text())
    begun = time.monotonic()
    assert ended(forked(lambda: run_build(settings(0), progress=False))) == 0
    seconds = time.monotonic() - begun
    good = warehouse.current().run_id
    told = {"kills": kills, "seconds": seconds, "calls": calls, "completed": 0, "published": 0, "rebuilt": 0}
    for i in range(1, kills + 1):
        share = (i - 1 + rng.random()) / kills  # one moment in each equal part of a build
        if i % 2:
            child = forked(lambda i=i: run_build(settings(i), progress=False))
            time.sleep(seconds * share)
            os.kill(child, signal.SIGKILL)
        else:
            child = forked(lambda i=i, share=share: build_and_die(settings(i), 1 + int(share * calls)))
        told["completed"] += ended(child) == 0
        current = look(warehouse, good, 10 + i)
        told["published"] += current != good
        good = current
        if i % rebuild_every == 0:
            assert ended(forked(lambda i=i: run_build(settings(i), progress=False))) == 0
            again = warehouse.current()
            assert again.damage() == []
            assert again.manifest["settings"]["value"]["horizon"] == 10 + i
            assert not list(warehouse.path.glob("staging/*"))
            assert not list(warehouse.path.glob(".current.json.*"))
            told["rebuilt"] += 1
            good = again.run_id
    print(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1], *(int(word) for word in sys.argv[2:5]))
