"""What an analyst waits for in the app: blocks, sorts, filters and exports over a million customers."""

import importlib.util
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from report import Section

from regulars.app.server import create_server

CUSTOMERS = 1_000_000
REQUESTS = 60
COLUMNS = (
    "customer_value", "probability_alive", "expected_orders", "last_order_on", "frequency", "revenue", "segment",
    "churn_no_order", "churn_median_days", "money_high_80",
)  # fmt: skip


def section(*, small: bool = False) -> Section:
    """Requests through the whole WSGI application, without a network, each with a new question."""
    customers, requests = (3_000, 3) if small else (CUSTOMERS, REQUESTS)
    with tempfile.TemporaryDirectory() as folder:
        synthetic_snapshots().write_snapshot(Path(folder), customers=customers)
        app = create_server(folder, warm=False)
        client = app.server.test_client()
        first = _milliseconds(lambda: client.get("/rows/customers?end=100"))
        rows = [("first block of a new snapshot, which reads it into memory", f"{first:,.0f} ms", "", "")]
        for what, target, question in _questions(customers, random.Random(1)):
            took = sorted(
                _milliseconds(lambda ask=question: _checked(client.get(f"/rows/customers?{ask()}")))
                for _ in range(requests)
            )
            p95 = took[int(0.95 * len(took)) - 1]
            rows.append((what, f"{statistics.median(took):,.0f} ms", f"{p95:,.0f} ms", target))
        for kind in ("csv", "parquet"):
            rows.append(_export(client, kind))
        app.server.extensions["regulars"].close()
    return Section(
        name="grid",
        title=f"The app over {customers:,} customers",
        text=f"`GET /rows/customers`, {requests} requests of each kind, one at a time, in this process.",
        head=("request", "median", "p95", "target, p95"),
        rows=rows,
    )


def _questions(customers: int, rng: random.Random) -> list[tuple[str, str, Callable[[], str]]]:
    def block(start: int) -> str:
        return f"start={start}&end={start + 100}"

    def somewhere() -> int:
        return rng.randrange(0, customers - 100, 100)

    def sort() -> str:
        return f"sort={rng.choice(('', '-'))}{rng.choice(COLUMNS)}"

    return [
        ("a block of 100 rows near the top", "300 ms", lambda: block(rng.randrange(0, 2_000, 100))),
        ("a block anywhere", "300 ms", lambda: block(somewhere())),
        ("the first block of another sort", "500 ms", lambda: f"{block(0)}&{sort()}"),
        ("a block anywhere of another sort", "500 ms", lambda: f"{block(somewhere())}&{sort()}"),
        ("another filter", "500 ms", lambda: f"{block(0)}&value={20 * rng.random():.4f}..&alive={rng.random():.4f}.."),
        ("a filter on churn", "500 ms", lambda: f"{block(0)}&no_order={rng.random():.4f}..&sort=-churn_no_order"),
        ("a search in the ids", "500 ms", lambda: f"{block(0)}&q={rng.randrange(1_000, 99_999)}"),
    ]


def _export(client: Any, kind: str) -> tuple[str, str, str, str]:
    process = psutil.Process()
    before = peak = process.memory_info().rss
    size, begun = 0, time.perf_counter()
    for chunk in client.get(f"/export/customers.{kind}", buffered=False).iter_encoded():
        size += len(chunk)
        peak = max(peak, process.memory_info().rss)
    took = time.perf_counter() - begun
    grown = f"memory grew by {(peak - before) / 1e6:,.0f} MB"
    return (f"all customers as {kind}, {size / 1e6:,.0f} MB; {grown}", f"{took:.1f} s", "", "")


def _checked(answer: Any) -> None:
    if answer.status_code != 200:
        raise RuntimeError(answer.get_data(as_text=True))


def _milliseconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return 1_000 * (time.perf_counter() - begun)


def synthetic_snapshots() -> Any:
    """Return the module that writes made-up snapshots."""
    path = Path(__file__).parent.parent / "tests" / "synthetic_snapshot.py"
    spec = importlib.util.spec_from_file_location("synthetic_snapshot", path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    print(section().markdown())
