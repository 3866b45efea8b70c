"""``/metrics`` in Prometheus' text format 0.0.4: requests, their time, and the age of what is shown.

Labels are routes as they are declared, methods and statuses: their number is bounded by the code, whatever is asked.
"""

import threading
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from flask import Flask, Response, abort, g, request

from ..sql.errors import RegularsError
from .build_history import running
from .sessions import same

if TYPE_CHECKING:
    from .data import AppData

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS"})
_MOST_SERIES = 2_000


class Requests:
    """Counts answers by route, method and status, and how long each took until its first byte.

    Examples
    --------
    >>> requests = Requests()
    >>> requests.add("/rows/<listing>", "GET", 200, 0.02)
    >>> print(next(line for line in requests.lines() if "total{" in line))
    regulars_http_requests_total{route="/rows/<listing>",method="GET",status="200"} 1
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: defaultdict[tuple[str, str, str], int] = defaultdict(int)
        self._buckets: defaultdict[str, list[int]] = defaultdict(lambda: [0] * (len(BUCKETS) + 1))
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def add(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one answer."""
        key = (route, method if method in _METHODS else "other", str(status))
        with self._lock:
            if key in self._counts or len(self._counts) < _MOST_SERIES:
                self._counts[key] += 1
                self._buckets[route][bisect_left(BUCKETS, seconds)] += 1
                self._seconds[route] += seconds

    def lines(self) -> Iterator[str]:
        """Write what was counted, line by line."""
        with self._lock:
            counts, seconds = sorted(self._counts.items()), dict(self._seconds)
            buckets = sorted((route, list(counted)) for route, counted in self._buckets.items())
        name = "regulars_http_requests_total"
        yield from _head(name, "counter", "Answers by route, method and status.")
        for (route, method, status), count in counts:
            yield f"{name}{_labels(route=route, method=method, status=status)} {count}"
        name = "regulars_http_request_seconds"
        yield from _head(name, "histogram", "Seconds until the first byte of an answer, by route.")
        for route, counted in buckets:
            below = 0
            for bound, count in zip((*(f"{bound:g}" for bound in BUCKETS), "+Inf"), counted, strict=True):
                below += count
                yield f"{name}_bucket{_labels(route=route, le=bound)} {below}"
            yield f"{name}_sum{_labels(route=route)} {seconds[route]:.6f}"
            yield f"{name}_count{_labels(route=route)} {below}"


def register(server: Flask, data: "AppData", token: str) -> None:
    """Count every answer of a server, and add the route ``/metrics``.

    It opens to who is signed in, to everybody where nobody has to, and to bearers of ``token``.
    """
    counted = Requests()

    @server.before_request
    def begin() -> None:
        g.began = time.perf_counter()

    @server.after_request
    def count(response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule is not None else "none"
        seconds = time.perf_counter() - g.get("began", time.perf_counter())
        counted.add(route, request.method, response.status_code, seconds)
        return response

    @server.get("/metrics", endpoint="metrics")
    def show() -> Response:
        if g.get("person") is None and not _bears(token):
            abort(Response("401: a bearer token is needed\n", 401, {"WWW-Authenticate": "Bearer"}, "text/plain"))
        lines = [*counted.lines(), *_of_warehouse(data)]
        text = "\n".join(lines) + "\n"
        return Response(text, content_type=CONTENT_TYPE, headers={"Cache-Control": "no-store"})


def _bears(token: str) -> bool:
    kind, _, given = request.headers.get("Authorization", "").partition(" ")
    return bool(token) and kind.lower() == "bearer" and same(token, given.strip())


def _of_warehouse(data: "AppData") -> Iterator[str]:
    try:
        current = data.current()
        published = (current.path / "manifest.json").stat().st_mtime
        run, as_of = current.run_id, current.as_of
        ages = {
            "regulars_snapshot_age_seconds": ("Seconds since the current snapshot was made.", time.time() - published),
            "regulars_snapshot_as_of_days": (
                "Days since the date it speaks from.",
                float((datetime.now(UTC).date() - as_of).days),
            ),
        }
    except (RegularsError, OSError):
        run, as_of, ages = "", None, {}
    yield from _head("regulars_snapshot_info", "gauge", "1, for the current snapshot; none where nothing is published.")
    if run:
        yield f"regulars_snapshot_info{_labels(run=run, as_of=str(as_of))} 1"
    for name, (meaning, value) in ages.items():
        yield from _head(name, "gauge", meaning)
        yield f"{name} {value:.3f}"
    yield from _head("regulars_open_snapshots", "gauge", "Snapshots that are held open for readers.")
    yield f"regulars_open_snapshots {data.open_snapshots}"
    try:
        build = running(data.path)
        building = int(build is not None and build.is_running)
    except (RegularsError, OSError, ValueError):
        return  # not known
    yield from _head("regulars_build_running", "gauge", "Whether a build of the warehouse runs.")
    yield f"regulars_build_running {building}"


def _head(name: str, kind: str, meaning: str) -> tuple[str, str]:
    return f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"


def _labels(**labels: str) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
