"""Writing a target list from the app: audited, in a thread of its own, by the same function as the command line."""

import threading
import uuid
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillRunning
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import Flask, Response

from ..sql.errors import WarehouseError
from . import access
from .campaign_planner import Asked
from .export import csv_stream, safe_csv_stream
from .list_files import list_file
from .targeting import TargetResult, target

if TYPE_CHECKING:
    from .data import AppData

PATIENCE = 1.5  # seconds that a request waits for a list before the page asks again
_KEPT = 20


@dataclass(frozen=True)
class Job:
    """One list that is being tried or written."""

    asked: Asked
    replace: bool
    dry_run: bool
    done: "Future[TargetResult]"


class ListWriting:
    """Tries and writes lists one after the other; whoever asks for one looks for it by its token."""

    def __init__(self, data: "AppData") -> None:
        self._data = data
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._lock = threading.Lock()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="regulars-list")

    def begin(self, asked: Asked, run: str, *, replace: bool, dry_run: bool) -> str:
        """Begin a list for whoever asks, who must be an analyst; returns the token to look for it by.

        Raises
        ------
        NotAllowed
            The role of who asks does not reach.
        SettingsError
            The app was started without settings.
        WarehouseError
            Another snapshot than the one on the page has been published, or the audit cannot be written.
        """
        person = access.require("analyst")
        settings = self._data.settings()
        if self._data.current_run() != run:
            raise WarehouseError("a newer snapshot has been published: show it first, and plan on its scores")
        options = asked.options
        if not dry_run:
            facts = {"on": asked.on, "budget": asked.budget, "run": run, "replace": replace, **options.facts({})}
            self._data.state.audit(person.name, "write target list", asked.campaign, **facts)

        def work() -> TargetResult:
            return target(
                settings,
                asked.campaign,
                on=asked.on,
                budget=asked.budget,
                costs=options.costs,
                stock=options.stock,
                segment=options.segment,
                exclude_segments=options.exclude_segments,
                quiet_days=options.quiet_days,
                replace_list=replace,
                dry_run=dry_run,
                wait=30.0,
            )

        token = uuid.uuid4().hex
        with self._lock:
            self._jobs[token] = Job(asked, replace, dry_run, self._worker.submit(work))
            while len(self._jobs) > _KEPT:
                self._jobs.popitem(last=False)
        return token

    def look(self, token: Any, *, seconds: float = 0.0) -> tuple[Job, TargetResult | None] | None:
        """Return a job with what came of it, None in its place while it runs; None where there is no such job.

        Raises
        ------
        RegularsError
            What the list came to, where it was refused.
        """
        with self._lock:
            job = self._jobs.get(token) if isinstance(token, str) else None
        if job is None:
            return None
        try:
            return job, job.done.result(timeout=seconds)
        except StillRunning:
            return job, None


def register_files(server: Flask, data: "AppData") -> None:
    """Add the route ``/lists/NAME``: the files of written lists, audited, for analysts."""

    @server.get("/lists/<path:rest>")
    def no_list(rest: str) -> Response:
        raise WarehouseError(f"there is no list {rest[:80]!r}; the page Uplift shows those that stand")

    @server.get("/lists/<name>")
    def written_list(name: str) -> Response:
        person = access.require("analyst")
        path = list_file(data.path, name)
        if path is None:
            raise WarehouseError(f"there is no list {name[:80]!r}; the page Uplift shows those that stand")
        data.state.audit(person.name, "download target list", name)
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        if name.endswith(path.suffix):
            if path.suffix == ".csv":
                return Response(safe_csv_stream(path), mimetype="text/csv", headers=headers)
            return Response(path.read_bytes(), mimetype="application/vnd.apache.parquet", headers=headers)
        import pyarrow.parquet as pq

        rows = pq.read_table(path)
        return Response(csv_stream(rows.to_reader()), mimetype="text/csv", headers=headers)
