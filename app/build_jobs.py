"""Builds and checks that the app starts: each a process of its own, so that pages answer while it works.

A build is the command line's own ``regulars build``; what it does stands in the warehouse (`build_history`), so a page
that is loaded anew, or an app that is started anew, shows it just as well. One that is told to stop clears up after
itself, and the last good snapshot stays in any case.
"""

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import uuid
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ..sql.errors import RegularsError, WarehouseError
from . import build_history
from .build_history import STARTED_BY, BuildRecord

if TYPE_CHECKING:
    from .access import Person
    from .data import AppData

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 15.0
_LONGEST_ANSWER = 4 << 20
_LONGEST_COMPLAINT = 2_000
_PACKAGE = __name__.partition(".")[0]
_BUILD = f"from {_PACKAGE}.app.cli import main; main()"
_CHECK = f"from {_PACKAGE}.app.build_jobs import check_draft; check_draft()"


@dataclass
class Job:
    """A process that the app started: its answer, one JSON object, and what it complained of go into files."""

    id: str
    process: "subprocess.Popen[bytes]"
    answer: IO[bytes]
    complaint: IO[bytes]
    by: str
    told_to_stop: bool = field(default=False)

    @property
    def is_running(self) -> bool:
        """Whether it still works."""
        return self.process.poll() is None

    def result(self) -> dict[str, Any]:
        """Return its answer once it has ended; a ``message`` says why where it has none."""
        code = self.process.poll()
        self.answer.seek(0)
        try:
            found = json.loads(self.answer.read(_LONGEST_ANSWER).decode() or "{}")
        except ValueError:
            found = {}
        if found:
            return {"exit_code": code, **found}
        self.complaint.seek(0)
        said = self.complaint.read()[-_LONGEST_COMPLAINT:].decode(errors="replace").strip()
        if code is not None and code < 0:
            said = f"its process was ended ({signal.Signals(-code).name})"
        return {"outcome": "failed", "exit_code": code, "message": said or f"it ended with {code} and no word"}


@dataclass(frozen=True)
class Status:
    """Where the builds of a warehouse stand.

    ``phase`` is "idle", "starting", "running" or "ended"; ``build`` the one that runs, or ended last. ``is_ours`` says
    whether the app may end it.
    """

    phase: str
    build: BuildRecord | None = None
    is_ours: bool = False
    is_stopping: bool = False


class BuildJobs:
    """The jobs of one app."""

    def __init__(self, warehouse: Path) -> None:
        self.warehouse = warehouse
        self._lock = threading.Lock()
        self._build: Job | None = None
        self._checks: dict[str, Job] = {}

    def status(self) -> Status:
        """Return where the warehouse's builds stand."""
        job = self._build
        record = build_history.running(self.warehouse)
        if record is not None and record.is_running:
            ours = bool(record.by) or (job is not None and job.process.pid == record.pid)
            stopping = job is not None and job.process.pid == record.pid and job.told_to_stop
            return Status("running", record, is_ours=ours, is_stopping=stopping)
        if job is not None and job.is_running:
            begun = BuildRecord(id=job.id, pid=job.process.pid, started_at=build_history.now(), by=job.by)
            return Status("starting", begun, is_ours=True, is_stopping=job.told_to_stop)
        ended = build_history.ended(self.warehouse, 1)
        last = record or (ended[0] if ended else None)
        if job is not None and (last is None or last.pid != job.process.pid):
            # it came to nothing before it could write anything down
            said = job.result()
            last = BuildRecord(
                id=job.id,
                pid=job.process.pid,
                started_at=build_history.now(),
                outcome="cancelled" if job.told_to_stop else "failed",
                reason="it was told to stop" if job.told_to_stop else str(said.get("message", "")),
                exit_code=int(said.get("exit_code") or 1),
                by=job.by,
            )
        return Status("ended", last) if last is not None else Status("idle")

    def start(self, settings: Path, person: "Person", *, force: bool = False) -> None:
        """Start a build.

        Raises
        ------
        WarehouseError
            One runs already, or the process cannot be started.
        """
        words = ["build", "--json", "--quiet", "--settings", str(settings), "--warehouse", str(self.warehouse)]
        with self._lock:
            if self.status().phase in {"starting", "running"}:
                raise WarehouseError("a build is running already: wait for it to end, or cancel it")
            self._build = _started(_BUILD, words + (["--force"] if force else []), person.name)
            log.info("build %s started by %s", self._build.id, person.name)

    def cancel(self) -> BuildRecord | None:
        """Tell the build that runs to stop, and end it where it does not; return it, None where there is none.

        Raises
        ------
        WarehouseError
            It was started outside the app.
        """
        with self._lock:
            status, job = self.status(), self._build
            if status.build is None or status.phase not in {"starting", "running"}:
                return None
            if not status.is_ours:
                raise WarehouseError(
                    f"this build was started outside the app (process {status.build.pid}): end it where it was started"
                )
            if job is not None and job.is_running:
                job.told_to_stop = True
            _end(status.build, job)
        return status.build

    def start_check(self, text: str, folder: Path, origin: str, person: "Person") -> str:
        """Start the checks on the input of settings that are not written yet; returns what to ask for them by."""
        with self._lock:
            for name in [name for name, job in self._checks.items() if not job.is_running][:-3]:
                del self._checks[name]
            running = [job for job in self._checks.values() if job.is_running]
            for job in running:
                job.process.kill()  # whoever asks anew no longer waits for the answer before
            said = json.dumps({"text": text, "folder": str(folder), "origin": origin})
            job = _started(_CHECK, [], person.name, said.encode())
            self._checks[job.id] = job
        return job.id

    def check_result(self, check: str) -> Mapping[str, Any] | None:
        """Return what checks found, as ``regulars check --json`` prints it; None while they run.

        Raises
        ------
        WarehouseError
            There are no such checks.
        """
        job = self._checks.get(check)
        if job is None:
            raise WarehouseError("these checks are no longer known: check again")
        return None if job.is_running else job.result()


_jobs: "weakref.WeakKeyDictionary[AppData, BuildJobs]" = weakref.WeakKeyDictionary()
_making = threading.Lock()


def jobs_of(data: "AppData") -> BuildJobs:
    """Return the jobs of an app, the same for every page."""
    with _making:
        found = _jobs.get(data)
        if found is None:
            found = _jobs[data] = BuildJobs(data.path)
        return found


def check_draft() -> None:
    """Check the input of the settings on stdin; print one JSON object. What `BuildJobs.start_check` runs."""
    import tomllib

    from ..sql.settings import Settings
    from .build import check_inputs

    said = json.loads(sys.stdin.read())
    try:
        settings = Settings.from_mapping(
            tomllib.loads(said["text"]), folder=Path(said["folder"]), origin=said["origin"]
        )
        rows = check_inputs(settings).to_pylist()
        answer = {"checks": rows}
    except RegularsError as error:
        message = " ".join(str(error).partition("\n\n")[0].split())
        answer = {"message": message, "exit_code": error.exit_code}
    sys.stdout.write(json.dumps(answer, default=str))


def _started(program: str, words: Sequence[str], by: str, said: bytes = b"") -> Job:
    # -P: the folder that the app was started from may hold modules of any name
    command = [sys.executable, "-P", "-c", program, *words]
    answer, complaint = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - they live as long as the job
    given = tempfile.TemporaryFile() if said else None  # noqa: SIM115
    try:
        if given is not None:
            given.write(said)
            given.seek(0)
        process = subprocess.Popen(  # noqa: S603 - our own program, no shell
            command,
            stdin=given or subprocess.DEVNULL,
            stdout=answer,
            stderr=complaint,
            env={**os.environ, STARTED_BY: by or "app"},
            # the app may be stopped or killed: a build that runs is not, and is found again
            start_new_session=True,
        )
    except OSError as error:
        raise WarehouseError(f"no process could be started ({error.strerror or error}); try again") from error
    finally:
        if given is not None:
            given.close()
    return Job(uuid.uuid4().hex[:12], process, answer, complaint, by)


def _end(record: BuildRecord, job: Job | None) -> None:
    """Ask a process to end, and make it end in a while; it publishes all or nothing whenever that comes."""
    ours = job is not None and job.process.pid == record.pid

    def send(number: int) -> None:
        with contextlib.suppress(OSError):
            if ours and job is not None:
                job.process.send_signal(number)
            elif build_history.is_alive(record):
                os.kill(record.pid, number)

    def insist() -> None:
        if build_history.is_alive(record):
            send(signal.SIGKILL)

    send(signal.SIGTERM)
    timer = threading.Timer(PATIENCE_SECONDS, insist)
    timer.daemon = True
    timer.start()
