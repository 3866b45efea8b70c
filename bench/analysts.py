"""Twenty analysts at once: each clicks at the same moment as the others, and waits for all that the click asks for."""

import http.client
import json
import multiprocessing
import random
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from grid import CUSTOMERS, synthetic_snapshots
from report import Section

ANALYSTS = 20
ROUNDS = 12
# callbacks that a page or a click asks for, by the start of their output
CLICKS: dict[str, tuple[tuple[str, ...], bool]] = {
    "open Overview": (("page.children", "overview-kpis", "overview-tracking", "overview-concentration"), False),
    "filter Customers": (("customers-totals", "heatmap.figure"), True),
    "sort or scroll Customers": ((), True),
    "open Churn": (("page.children", "churn-totals", "churn-survival", "churn-distribution"), False),
    "open Models": (("page.children", "models-league", "models-deciles", "models-runs"), False),
}
PATHS = {"open Overview": "/", "open Churn": "/churn", "open Models": "/models"}
SORTS = ("customer_value", "probability_alive", "expected_orders", "last_order_on", "frequency", "revenue")


def section(*, small: bool = False) -> Section:
    """Clicks of analysts over a million customers, the app in a process of its own, every answer checked."""
    customers, analysts, rounds = (3_000, 3, 2) if small else (CUSTOMERS, ANALYSTS, ROUNDS)
    with tempfile.TemporaryDirectory() as folder:
        synthetic_snapshots().write_snapshot(Path(folder), customers=customers)
        bodies = _bodies(folder)
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        server = context.Process(target=_serve, args=(folder, theirs), daemon=True)
        server.start()
        try:
            address = ours.recv()
            _Analyst(address, bodies, 0).click("open Overview")  # the snapshot is read when the server starts
            took, failed = _clicks(address, bodies, analysts, rounds)
        finally:
            ours.send("end")
            server.join(30)
            server.kill()
    rows = [(what, f"{len(times)}", *(f"{q:,.0f} ms" for q in _quantiles(times))) for what, times in took.items()]
    every = [one for times in took.values() for one in times]
    rows.append(("all", f"{len(every)}", *(f"{q:,.0f} ms" for q in _quantiles(every))))
    return Section(
        name="analysts",
        title=f"{analysts} analysts clicking at the same moment, {customers:,} customers",
        text=(
            f"{rounds} rounds: all {analysts} click at once, each another thing, and wait until the last of the "
            "requests that a browser sends for it is answered; the next round begins when all are done. At most 1 s at "
            f"the 95th percentile is asked for, and no error: {failed} of the answers were errors."
        ),
        head=("click", "clicks", "median", "p95", "longest"),
        rows=rows,
    )


def _serve(folder: str, pipe: Any) -> None:
    from regulars.app.server import create_server, served

    with served(create_server(folder)) as address:
        time.sleep(0.2)
        pipe.send(address)
        pipe.recv()


def _bodies(folder: str) -> Callable[[str, dict[str, Any]], bytes]:
    from regulars.app.server import create_server

    app = create_server(folder, warm=False)
    app.server.test_client().get("/_dash-layout")
    known = app.callback_map

    def body(output: str, values: dict[str, Any]) -> bytes:
        name = next(key for key in known if key.strip(".").startswith(output) and "callback" in known[key])
        spec = known[name]
        parts = [part.rpartition(".") for part in name.strip(".").split("...")]
        outputs = [{"id": part[0], "property": part[2].partition("@")[0]} for part in parts]
        said = {
            kind: [{**one, "value": values.get(f"{one['id']}.{one['property']}")} for one in spec[kind]]
            for kind in ("inputs", "state")
        }
        whole = {"output": name, "outputs": outputs if name.startswith("..") else outputs[0], "changedPropIds": []}
        return json.dumps(whole | said).encode()

    return body


class _Analyst:
    """One browser with a few connections; asks for what a click asks for, at once."""

    def __init__(self, address: str, bodies: Callable[[str, dict[str, Any]], bytes], seed: int) -> None:
        self._place = urlsplit(address)
        self._bodies = bodies
        self._rng = random.Random(seed)
        self.failed = 0
        self._run = ""
        self._run = self._get("/healthz")["run"]

    def _get(self, path: str) -> dict[str, Any]:
        connection = http.client.HTTPConnection(self._place.hostname or "", self._place.port, timeout=60)
        connection.request("GET", path)
        found = json.loads(connection.getresponse().read())
        connection.close()
        return found

    def click(self, what: str) -> float:
        """Return the milliseconds until the last answer."""
        callbacks, rows = CLICKS[what]
        rng = self._rng
        search = (
            f"?value={rng.uniform(1, 20):.3f}..&alive={rng.random() / 2:.3f}.." if what.startswith("filter") else ""
        )
        values = {
            "url.pathname": PATHS.get(what, "/customers"),
            "url.search": search,
            "scheme.data": "light",
            "run.data": self._run,
        }
        asked: list[tuple[str, str, bytes | None]] = [
            ("POST", "/_dash-update-component", self._bodies(output, values)) for output in callbacks
        ]
        if rows:
            start = rng.randrange(0, 1_000, 100)
            sort = f"&sort={rng.choice(('', '-'))}{rng.choice(SORTS)}" if not search else ""
            asked.append(
                ("GET", f"/rows/customers?start={start}&end={start + 100}{sort}{search.replace('?', '&')}", None)
            )
        begun = time.perf_counter()
        threads = [threading.Thread(target=self._ask, args=one) for one in asked]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return 1_000 * (time.perf_counter() - begun)

    def _ask(self, method: str, path: str, body: bytes | None) -> None:
        connection = http.client.HTTPConnection(self._place.hostname or "", self._place.port, timeout=60)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
            answer = connection.getresponse()
            text = answer.read()
            if answer.status not in {200, 204} or b"could not be shown" in text:
                self.failed += 1
        except OSError:
            self.failed += 1
        finally:
            connection.close()


def _clicks(address: str, bodies: Any, analysts: int, rounds: int) -> tuple[dict[str, list[float]], int]:
    took: dict[str, list[float]] = {what: [] for what in CLICKS}
    people = [_Analyst(address, bodies, seed) for seed in range(analysts)]
    gate = threading.Barrier(analysts)
    lock = threading.Lock()

    def work(place: int) -> None:
        rng = random.Random(1_000 + place)
        for _ in range(rounds):
            what = rng.choice(list(CLICKS))
            gate.wait()
            milliseconds = people[place].click(what)
            with lock:
                took[what].append(milliseconds)

    threads = [threading.Thread(target=work, args=(place,)) for place in range(analysts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return took, sum(person.failed for person in people)


def _quantiles(times: list[float]) -> tuple[float, float, float]:
    ordered = sorted(times) or [0.0]
    return ordered[len(ordered) // 2], ordered[max(int(0.95 * len(ordered)) - 1, 0)], ordered[-1]


if __name__ == "__main__":
    print(section().markdown())
