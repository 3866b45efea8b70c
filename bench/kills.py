"""kill -9 at seeded moments of a build: builds in forked children, and a look at what is left each time.

``python bench/kills.py`` kills 50 builds of The Complete Journey and rebuilds after each; tests/app/test_kill.py runs
it on a small shop. Everything is imported before the forks, and compiled by a first build where boosted trees (whose
threads do not survive a fork) have no part in it, so that a moment falls into the build and not into Python's start.
"""

import json
import os
import random
import signal
import sys
import tempfile
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


def kill_study(
    settings_path: Path, kills: int = 50, rebuild_every: int = 1, seed: int = 20261121, warehouse: Path | None = None
) -> dict[str, float]:
    """Kill builds of the same input with ever other settings; every assertion of `look` holds after each.

    Every other kill falls on a moment in time, every other on a call that reaches the disk, of which most lie in
    writing and publishing; either way one in each equal part of a build.

    Parameters
    ----------
    settings_path : Path
    kills : int
    rebuild_every : int
        After how many kills a build must succeed.
    seed : int
    warehouse : Path, optional
        In place of the settings' own.

    Returns
    -------
    dict
        ``kills``, ``seconds`` and ``calls`` of one build, how many builds were ``completed`` before their kill, how
        many had ``published``, and how many were ``rebuilt``.
    """
    rng = random.Random(seed)
    place = {} if warehouse is None else {"build": {"warehouse": str(warehouse)}}

    def settings(i: int) -> Settings:
        return Settings.from_toml(settings_path, value={"horizon": 10 + i}, **place)

    house = Warehouse(settings(0).warehouse)
    if not (settings(0).campaigns or settings(0).churn or settings(0).pricing):
        with tempfile.TemporaryDirectory() as folder:
            alone = {"warehouse": folder, "threads": 1}
            run_build(Settings.from_toml(settings_path, build=alone), progress=False)
    with tempfile.TemporaryDirectory() as folder:
        note = Path(folder) / "calls"
        assert ended(forked(lambda: build_and_count(settings(kills + 1), note))) == 0
        calls = int(note.read_text())
    begun = time.monotonic()
    assert ended(forked(lambda: run_build(settings(0), progress=False))) == 0
    seconds = time.monotonic() - begun
    good = house.current().run_id
    told = {"kills": kills, "seconds": seconds, "calls": calls, "completed": 0, "published": 0, "rebuilt": 0}
    for i in range(1, kills + 1):
        share = (i - 1 + rng.random()) / kills
        if i % 2:
            child = forked(lambda i=i: run_build(settings(i), progress=False))
            time.sleep(seconds * share)
            os.kill(child, signal.SIGKILL)
        else:
            child = forked(lambda i=i, share=share: build_and_die(settings(i), 1 + int(share * calls)))
        told["completed"] += ended(child) == 0
        current = look(house, good, 10 + i)
        told["published"] += current != good
        good = current
        if i % rebuild_every == 0:
            assert ended(forked(lambda i=i: run_build(settings(i), progress=False))) == 0
            again = house.current()
            assert again.damage() == []
            assert again.manifest["settings"]["value"]["horizon"] == 10 + i
            assert not list(house.path.glob("staging/*"))
            assert not list(house.path.glob(".current.json.*"))
            told["rebuilt"] += 1
            good = again.run_id
    return told


def main(words: list[str]) -> None:
    """Print the study as JSON: ``kills.py [SETTINGS KILLS REBUILD_EVERY SEED]``."""
    if words:
        print(json.dumps(kill_study(Path(words[0]), *(int(word) for word in words[1:4]))))
        return
    journey = Path(regulars.__file__).parent / "docs" / "examples" / "complete_journey" / "regulars.toml"
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(kill_study(journey, warehouse=Path(folder) / "warehouse")))


if __name__ == "__main__":
    main(sys.argv[1:])
