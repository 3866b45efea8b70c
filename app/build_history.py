"""What builds of a warehouse did: the one that runs, step by step, and those that ended, with the reason of a failure.

``warehouse/build.json`` is there while a build runs; ``warehouse/builds.jsonl`` has a line for each that ended. They
are for people to read: nothing else depends on them, and a build whose history cannot be written is built all the same.
"""

import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..sql.durability import replace_text
from ..sql.errors import RegularsError

RUNNING = "build.json"
ENDED = "builds.jsonl"
STARTED_BY = "REGULARS_STARTED_BY"
_KEPT_LINES = 200
_LONGEST_REASON = 4_000


@dataclass(frozen=True)
class BuildRecord:
    """One build.

    ``outcome`` is "running", "published", "unchanged", "failed", "cancelled" or "killed"; ``step`` of ``steps`` is the
    one that ``doing`` names, the last one it came to. ``run_id`` is "" where it ended before its inputs were read.
    ``by`` is who started it in the app, "" for the command line. Times are UTC.
    """

    id: str
    pid: int
    started_at: datetime
    outcome: str = "running"
    ended_at: datetime | None = None
    step: int = 0
    steps: int = 0
    doing: str = ""
    run_id: str = ""
    reason: str = ""
    exit_code: int = 0
    by: str = ""
    process: str = field(default="", repr=False)

    @property
    def is_running(self) -> bool:
        """Whether its process is still there."""
        return self.outcome == "running"


def running(warehouse: Path) -> BuildRecord | None:
    """Return the build that runs on a warehouse, or that was killed with nobody to clear up after it; None else.

    Examples
    --------
    >>> running(Path("no-such-warehouse")) is None
    True
    """
    try:
        record = _record(json.loads((warehouse / RUNNING).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None
    if record is None or is_alive(record):
        return record
    return replace(
        record, outcome="killed", reason="its process is gone without a word: killed, or the machine went down"
    )


def ended(warehouse: Path, most: int = 20) -> list[BuildRecord]:
    """Return the builds that ended, the last one first.

    Examples
    --------
    >>> ended(Path("no-such-warehouse"))
    []
    """
    try:
        lines = (warehouse / ENDED).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []
    found = []
    for line in reversed(lines[-_KEPT_LINES:]):
        with suppress(ValueError):
            record = _record(json.loads(line))
            if record is not None:
                found.append(record)
    return found[:most]


def now() -> datetime:
    """Return the time, UTC."""
    return datetime.now(UTC)


@contextmanager
def recording(warehouse: Path) -> "Iterator[Recorder]":
    """Write down what the build inside the block does; what it raises goes on."""
    recorder = Recorder(warehouse)
    try:
        yield recorder
    except KeyboardInterrupt:
        recorder.end("cancelled", "it was told to stop", 130)
        raise
    except Exception as error:
        if _is_interrupt(error):
            recorder.end("cancelled", "it was told to stop", 130)
            raise KeyboardInterrupt from error
        said = str(error).partition("\n\n")[0]
        if not isinstance(error, RegularsError):
            said = f"unforeseen {type(error).__name__}: {said}"
        recorder.end("failed", said, int(getattr(error, "exit_code", 1)))
        raise
    recorder.end("published", "", 0)


class Recorder:
    """Writes the history of one build; made by `recording`."""

    def __init__(self, warehouse: Path) -> None:
        self.warehouse = warehouse
        self.run_id = ""
        self.outcome = ""
        self._record = BuildRecord(
            id=uuid.uuid4().hex[:12],
            pid=os.getpid(),
            started_at=now(),
            by=os.environ.get(STARTED_BY, "")[:80],
            process=_started(os.getpid()),
        )
        self._stands = False

    def step(self, step: int, steps: int, doing: str) -> None:
        """Say what is done now; hold the warehouse's lock."""
        if not self._stands:
            left = running(self.warehouse)
            if left is not None:  # whoever held the lock before is gone
                self._add(replace(left, outcome="killed", ended_at=self._record.started_at))
        self._record = replace(self._record, step=step, steps=steps, doing=doing, run_id=self.run_id)
        self._stands = True
        with suppress(OSError):
            replace_text(self.warehouse / RUNNING, json.dumps(_plain(self._record)))

    def end(self, outcome: str, reason: str, exit_code: int) -> None:
        """Say how it ended."""
        self._add(
            replace(
                self._record,
                outcome=self.outcome if outcome == "published" and self.outcome else outcome,
                reason=reason[:_LONGEST_REASON],
                exit_code=exit_code,
                run_id=self.run_id,
                ended_at=now(),
            )
        )
        if self._stands:
            with suppress(OSError):
                (self.warehouse / RUNNING).unlink(missing_ok=True)

    def _add(self, record: BuildRecord) -> None:
        path = self.warehouse / ENDED
        with suppress(OSError, ValueError):
            if self._stands and path.exists() and path.stat().st_size > 1 << 20:
                kept = path.read_text(encoding="utf-8").splitlines()[-_KEPT_LINES:]
                replace_text(path, "\n".join(kept) + "\n")
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(_plain(record), ensure_ascii=False) + "\n")


def _is_interrupt(error: BaseException) -> bool:
    """Whether it was told to stop while the database worked, which then says so in its own way."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, KeyboardInterrupt) or type(seen).__name__ == "InterruptException":
            return True
        if str(seen).strip() in {"Query interrupted", "INTERRUPT Error: Interrupted!"}:
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def _plain(record: BuildRecord) -> dict[str, Any]:
    said = asdict(record)
    for name in ("started_at", "ended_at"):
        said[name] = said[name].isoformat(timespec="seconds") if said[name] else None
    return said


def _record(said: Any) -> BuildRecord | None:
    if not isinstance(said, Mapping):
        return None
    known = {one.name for one in fields(BuildRecord)}
    values = {key: value for key, value in said.items() if key in known}
    try:
        for name in ("started_at", "ended_at"):
            if values.get(name):
                values[name] = datetime.fromisoformat(str(values[name]))
        record = BuildRecord(**values)
    except (TypeError, ValueError):
        return None
    return record if isinstance(record.pid, int) and isinstance(record.started_at, datetime) else None


def is_alive(record: BuildRecord) -> bool:
    """Say whether the process of a build is still there, and is that one."""
    try:
        os.kill(record.pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # another user's
        pass
    # another process may have been given the number since
    started = _started(record.pid)
    return not started or not record.process or started == record.process


def _started(pid: int) -> str:
    """When a process started, in the system's own count; "" where it does not say, or for a process that has ended."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except (OSError, ValueError):
        return ""
    return "ended" if state in "ZX" else rest[18]
