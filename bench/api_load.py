"""The read API under a steady load: an open loop of requests, each timed from the moment it was due.

A build publishes another snapshot in the middle; every answer is held against the two snapshots and must be wholly of
the one it names.
"""

import argparse
import asyncio
import importlib.util
import json
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
from report import Section

from regulars.app.tokens import Tokens
from regulars.sql.snapshot import Warehouse

CUSTOMERS = 1_000_000
RATE = 150.0
SECONDS = 60.0
BATCH = 100
CONNECTIONS = 32
RUNS = ("5eed000000000001", "5eed000000000002")
DECIDED = 10_000


@dataclass
class Load:
    """What came back: a line per request, with what it claims to be and how long after its due time it was there."""

    milliseconds: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    said: list[tuple[str, str, tuple[Any, ...]]] = field(default_factory=list)
    decided: int = 0

    def row(self, what: str, seconds: float) -> tuple[str, ...]:
        """A line of the table."""
        took = sorted(self.milliseconds)
        p99, p999 = (took[min(int(len(took) * share), len(took) - 1)] for share in (0.99, 0.999))
        return (
            what,
            f"{len(took):,} in {seconds:.0f} s",
            f"{statistics.median(took):.1f} ms",
            f"{p99:.1f} ms",
            f"{p999:.1f} ms",
            f"{took[-1]:.0f} ms",
            f"{len(self.failed)}",
        )


def section(*, small: bool = False) -> Section:
    """The API alone while a build publishes, then below the web app, idle and with its pages kept busy."""
    customers, seconds = (1_000, 0.6) if small else (CUSTOMERS, SECONDS)
    with tempfile.TemporaryDirectory() as folder:
        warehouse = Path(folder)
        _publish(warehouse, RUNS[0], customers, 1)
        _decide(warehouse, min(DECIDED, customers))
        token = Tokens(warehouse).create("bench", "bench")
        with _served("api", warehouse) as (port, process):
            load = asyncio.run(_run(port, token, customers, seconds, _Publisher(warehouse, customers)))
            memory = process.memory_info().rss
        runs = {run for _, run, _ in load.said}
        mixed = _mixed(warehouse, load)
        rows = [load.row("`regulars api`, a build publishing meanwhile", seconds)]
        with _served("app", warehouse) as (port, _):
            asyncio.run(_run(port, token, customers, min(2.0, seconds), None))
            for busy, said in ((0, ""), (8, ", 8 pages asked for without pause")):
                begun = asyncio.run(_run(port, token, customers, seconds / 3, None, busy=busy))
                rows.append(begun.row(f"below `regulars app`{said}", seconds / 3))
    return Section(
        name="api",
        title=f"The read API over {customers:,} customers",
        text=(
            f"{RATE:.0f} requests a second from another process, each timed from the moment it was due, whether or not "
            f"the ones before were answered: 18 of 20 ask for a customer, one for {BATCH} at once, one for a "
            "campaign's decision. Target: p99 within 50 ms, no error."
        ),
        head=("server", "requests", "median", "p99", "p99.9", "longest", "errors"),
        rows=rows,
        remarks=(
            f"In the first line another snapshot, of other values, was written by a process beside the server and "
            f"published after the first third: {len(load.said):,} customers were answered from {len(runs)} runs, and "
            f"{mixed} of these answers differed from the run they named. The server held {memory / 1e6:,.0f} MB "
            "at the end, both runs read.",
        ),
    )


class _Publisher:
    """Another snapshot, written and published by a process of its own."""

    def __init__(self, warehouse: Path, customers: int) -> None:
        self.command = [
            "nice",
            "-n",
            "10",
            sys.executable,  # as regulars build gives way
            __file__,
            "--publish",
            str(warehouse),
            str(customers),
        ]

    async def publish(self) -> None:
        process = await asyncio.create_subprocess_exec(*self.command)
        if await process.wait():
            raise RuntimeError("the other snapshot was not published")


async def _run(
    port: int, token: str, customers: int, seconds: float, publisher: _Publisher | None, busy: int = 0
) -> Load:
    load, rng, work = Load(), random.Random(7), asyncio.Queue()
    workers = [asyncio.create_task(_work(port, token, work, load)) for _ in range(CONNECTIONS)]
    pages = [asyncio.create_task(_click(port, i)) for i in range(busy)]
    begun = asyncio.get_running_loop().time()
    publishing: asyncio.Task[None] | None = None
    i = 0
    # to the end of the time, and for a third of it after the other snapshot stands
    until = begun + seconds
    while (due := begun + i / RATE) < until:
        if publisher is not None and publishing is None and due >= begun + seconds / 3:
            publishing = asyncio.create_task(publisher.publish())
        if publishing is not None and not publishing.done():
            until = max(until, due + seconds / 3)
        await asyncio.sleep(due - asyncio.get_running_loop().time())
        work.put_nowait((due, _question(rng, i, customers)))
        i += 1
    for _ in workers:
        work.put_nowait(None)
    await asyncio.gather(*workers)
    for page in pages:
        page.cancel()
    if publishing is not None:
        await publishing
    return load


def _question(rng: random.Random, i: int, customers: int) -> tuple[str, str, str]:
    if i % 20 == 7:
        ids = [_id(rng.randrange(1, customers + 1)) for _ in range(BATCH)]
        return "POST", "/api/v1/customers:batch", json.dumps({"ids": ids})
    if i % 20 == 17:
        customer = _id(rng.randrange(1, min(DECIDED, customers) + 1))
        return "GET", f"/api/v1/campaigns/spring/decision?customer={customer}", ""
    return "GET", f"/api/v1/customers/{_id(rng.randrange(1, customers + 1))}", ""


async def _work(port: int, token: str, work: asyncio.Queue, load: Load) -> None:
    loop = asyncio.get_running_loop()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while (task := await work.get()) is not None:
        due, (method, path, body) = task
        try:
            status, content = await _ask(reader, writer, method, path, body, token)
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            load.failed.append(repr(error))
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            continue
        load.milliseconds.append(1_000 * (loop.time() - due))
        if status != 200:
            load.failed.append(f"{status} {path} {content[:200]!r}")
            continue
        _note(load, json.loads(content))
    writer.close()


def _note(load: Load, said: dict[str, Any]) -> None:
    if "decision" in said:
        load.decided += 1
        return
    for one in said.get("customers", [said]):
        parts = (one["history"]["revenue"], one["scores"]["customer_value"]["value"], one["churn"]["days_since_order"])
        load.said.append((one["customer_id"], said["run_id"], parts))


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, method: str, path: str, body: str, token: str
) -> tuple[int, bytes]:
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    writer.write(f"{head}\r\n{body}".encode())
    answer = await reader.readuntil(b"\r\n\r\n")
    status = int(answer.split(b" ", 2)[1])
    (length,) = (int(line[15:]) for line in answer.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    return status, await reader.readexactly(length)


async def _click(port: int, number: int) -> None:
    """Sort and filter the grid without pause, another question each time."""
    rng = random.Random(number)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sorts = ("customer_value", "probability_alive", "expected_orders", "revenue", "last_order_on")
    while True:
        query = f"end=100&sort={rng.choice(sorts)}&value={20 * rng.random():.5f}.."
        await _ask(reader, writer, "GET", f"/rows/customers?{query}", "", "")


@contextmanager
def _served(command: str, warehouse: Path) -> Iterator[tuple[int, psutil.Process]]:
    port = _free_port()
    program = [str(Path(sys.executable).with_name("regulars")), command, "-w", str(warehouse), "--port", str(port)]
    with (warehouse / f"{command}.log").open("w") as log:
        process = subprocess.Popen(program, cwd=warehouse, stderr=log)
    try:
        _wait(port)
        yield port, psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def _wait(port: int) -> None:
    import socket

    for _ in range(1_200):
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError(f"nothing answers on port {port}")


def _free_port() -> int:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def _mixed(warehouse: Path, load: Load) -> int:
    """How many answers are not wholly of the run that they name."""
    wrong = 0
    for run in RUNS:
        snapshot = Warehouse(warehouse).snapshot(run)
        columns = [
            snapshot.read("customer_summary", ["customer_id"]).column(0).to_pylist(),
            [float(v) for v in snapshot.read("customer_summary", ["revenue"]).column(0).to_pylist()],
            snapshot.read("customer_scores", ["customer_value"]).column(0).to_pylist(),
            snapshot.read("customer_churn", ["days_since_order"]).column(0).to_pylist(),
        ]
        place = {id_: i for i, id_ in enumerate(columns[0])}
        wrong += sum(
            parts != tuple(column[place[id_]] for column in columns[1:])
            for id_, named, parts in load.said
            if named == run
        )
    return wrong


def _decide(warehouse: Path, customers: int) -> None:
    from regulars.uplift.target import TargetList

    ids = [_id(i) for i in range(1, customers + 1)]
    rng = random.Random(3)
    effect = [rng.uniform(-1, 3) for _ in ids]
    scores = {"customer_id": ids, "arm": ["mail"] * customers, "effect": effect, "net_effect": effect}
    made = TargetList.build(
        pa.table({**scores, "cost": [0.04] * customers}), "spring", on=date(2018, 1, 4), holdout=0.1, facts={}
    )
    made.write_log(warehouse / "decisions")


def _publish(warehouse: Path, run: str, customers: int, seed: int) -> None:
    path = Path(__file__).parent.parent / "tests" / "synthetic_snapshot.py"
    spec = importlib.util.spec_from_file_location("synthetic_snapshot", path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.write_snapshot(warehouse, run, customers=customers, seed=seed)


def _id(number: int) -> str:
    return f"C{number:07}"


def main() -> None:
    """Measure and print, or be the process that publishes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--publish", nargs=2, metavar=("WAREHOUSE", "CUSTOMERS"))
    options = parser.parse_args()
    if options.publish:
        _publish(Path(options.publish[0]), RUNS[1], int(options.publish[1]), 2)
    else:
        print(section(small=options.small).markdown())


if __name__ == "__main__":
    main()
