"""Timing side by side: each side in a process of its own, run in turns, so that all meet the same machine."""

import pickle
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tqdm import tqdm

Run = Callable[[], Any]

_apart = True


@dataclass(frozen=True)
class Side:
    """One of several ways to the same end.

    ``prepare`` is called once in the side's own process, untimed, and returns what is timed; it must be importable
    (a function of a module, or a partial of one). Where the timed call returns something callable, that is called after
    the clock has stopped, for what it returns. The first ``warm_ups`` runs do not count. Sides that look at their own
    process are ``alone`` in another than this one at small sizes too.
    """

    prepare: Callable[[], Run]
    runs: int = 5
    warm_ups: int = 1
    alone: bool = False


@dataclass(frozen=True)
class Measured:
    """Seconds of each run that counts, the process's peak memory in bytes, and what the last run returned."""

    seconds: tuple[float, ...]
    peak: int
    result: Any

    @property
    def median(self) -> float:
        """Median seconds."""
        return statistics.median(self.seconds)


def in_one_process() -> None:
    """From now on run all sides in this process, without warming up: small sizes, whose figures prove nothing."""
    global _apart
    _apart = False


def in_turns(sides: Mapping[str, Side], *, progress: bool = True) -> dict[str, Measured]:
    """Run every side in turns, one at a time, and return what each took."""
    if not _apart:
        if not any(side.alone for side in sides.values()):
            return {name: _here(side) for name, side in sides.items()}
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as another:
            return {name: another.submit(_here, side).result() for name, side in sides.items()}
    # spawned: a forked child would share the parent's memory, and its peak with it
    context = get_context("spawn")
    workers: dict[str, tuple[BaseProcess, Connection]] = {}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    last: dict[str, tuple[int, Any]] = {}
    rounds = max(side.runs + side.warm_ups for side in sides.values())
    try:
        for name, side in sides.items():
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(side.prepare, theirs), daemon=True)
            process.start()
            theirs.close()
            workers[name] = (process, ours)
            _answer(name, ours)
        with tqdm(total=sum(s.runs + s.warm_ups for s in sides.values()), disable=None if progress else True) as bar:
            for i in range(rounds):
                for name, side in sides.items():
                    if i >= side.runs + side.warm_ups:
                        continue
                    bar.set_description(name)
                    workers[name][1].send("run")
                    taken, peak, result = _answer(name, workers[name][1])
                    last[name] = (peak, result)
                    if i >= side.warm_ups:
                        seconds[name].append(taken)
                    bar.update()
    finally:
        for process, connection in workers.values():
            connection.close()
            process.join(timeout=10)
            if process.is_alive():
                process.terminate()
    return {name: Measured(tuple(seconds[name]), *last[name]) for name in sides}


def _here(side: Side) -> Measured:
    # what another process would get: it must go there
    run = pickle.loads(pickle.dumps(side.prepare))()
    seconds = []
    for _ in range(side.runs):
        begun = time.perf_counter()
        result = run()
        seconds.append(time.perf_counter() - begun)
        result = result() if callable(result) else result
    return Measured(tuple(seconds), peak_memory(), result)


def _answer(name: str, connection: Connection) -> Any:
    try:
        found = connection.recv()
    except EOFError:
        raise RuntimeError(f"the process of {name!r} died") from None
    if isinstance(found, Exception):  # not of a wrong type: what went wrong in the other process
        raise RuntimeError(f"{name!r} failed: {found!r}") from found
    return found


def _serve(prepare: Callable[[], Run], connection: Connection) -> None:
    try:
        run = prepare()
        connection.send("ready")
        while True:
            try:
                connection.recv()
            except EOFError:
                return
            begun = time.perf_counter()
            result = run()
            taken = time.perf_counter() - begun
            peak = peak_memory()
            connection.send((taken, peak, result() if callable(result) else result))
    except Exception as error:  # noqa: BLE001 - handed to the parent, which raises it
        connection.send(error)


def peak_memory() -> int:
    """Peak resident memory of this process in bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        # not ru_maxrss: on Linux a new process starts with its parent's
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform.system() == "Darwin" else peak * 1024


def progress_line(text: str) -> None:
    """Say on stderr what goes on."""
    print(text, file=sys.stderr, flush=True)
