"""What people change, kept apart from the snapshots: saved segments, drafts of plans, tokens and the audit.

``warehouse/state.sqlite`` is made when something is first written. A reader finds an empty state where there is none.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..sql.errors import WarehouseError

FILE = "state.sqlite"
VERSION = 2

_TABLES = """
CREATE TABLE segments (
    name TEXT PRIMARY KEY, filter TEXT NOT NULL, made_by TEXT NOT NULL, made_at TEXT NOT NULL
) STRICT;
CREATE TABLE drafts (
    kind TEXT NOT NULL, subject TEXT NOT NULL, content TEXT NOT NULL, made_by TEXT NOT NULL, made_at TEXT NOT NULL,
    PRIMARY KEY (kind, subject)
) STRICT;
CREATE TABLE audit (
    id INTEGER PRIMARY KEY, at TEXT NOT NULL, person TEXT NOT NULL, action TEXT NOT NULL, subject TEXT NOT NULL,
    details TEXT NOT NULL
) STRICT;
"""
_TABLES_2 = """
CREATE TABLE tokens (
    name TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, hash BLOB NOT NULL, scope TEXT NOT NULL, made_by TEXT NOT NULL,
    made_at TEXT NOT NULL, expires_at TEXT, revoked_at TEXT, last_used_at TEXT
) STRICT;
"""
# what each version of the file adds to the one before
_STEPS = (_TABLES, _TABLES_2)


class NotAudited(WarehouseError):
    """The audit cannot be written: what was to be audited is not done. Answered with 503."""


@dataclass(frozen=True)
class Segment:
    """A saved filter over customers; ``filter`` is the query part of a URL in its canonical order."""

    name: str
    filter: str
    made_by: str
    made_at: datetime


@dataclass(frozen=True)
class Draft:
    """A plan as somebody left it: ``kind`` is ``"campaign"`` or ``"markdown"``, ``subject`` the plan's name."""

    kind: str
    subject: str
    content: Mapping[str, Any]
    made_by: str
    made_at: datetime


@dataclass(frozen=True)
class AuditLine:
    """One write or export: who did what to what, when (UTC)."""

    id: int
    at: datetime
    person: str
    action: str
    subject: str
    details: Mapping[str, Any] = field(default_factory=dict)


class State:
    """The state of one warehouse. Every method opens the file anew, so that threads and processes may share it.

    Parameters
    ----------
    warehouse : Path

    Examples
    --------
    >>> import tempfile
    >>> state = State(Path(tempfile.mkdtemp()))
    >>> state.segments()
    []
    >>> state.save_segment("VIP", "segment=best&value=500..", "ann").filter
    'segment=best&value=500..'
    >>> [segment.name for segment in state.segments()]
    ['VIP']
    """

    def __init__(self, warehouse: Path) -> None:
        self.path = Path(warehouse) / FILE

    # ---- saved segments

    def segments(self) -> list[Segment]:
        """Return the saved segments by name."""
        rows = self.read("SELECT name, filter, made_by, made_at FROM segments ORDER BY name")
        return [Segment(name, filter_, by, _when(at)) for name, filter_, by, at in rows]

    def segment(self, name: str) -> Segment | None:
        """Return a saved segment, or None."""
        return next((segment for segment in self.segments() if segment.name == name), None)

    def save_segment(self, name: str, filter_: str, person: str) -> Segment:
        """Save a filter under a name, in place of the one of that name."""
        now = clock()
        with self.writing() as connection:
            connection.execute("INSERT OR REPLACE INTO segments VALUES (?, ?, ?, ?)", (name, filter_, person, now))
            record(connection, now, person, "save segment", name, {"filter": filter_})
        return Segment(name, filter_, person, _when(now))

    def delete_segment(self, name: str, person: str) -> bool:
        """Forget a saved segment; False where there was none."""
        if not self.path.exists():
            return False
        now = clock()
        with self.writing() as connection:
            gone = connection.execute("DELETE FROM segments WHERE name = ?", (name,)).rowcount > 0
            if gone:
                record(connection, now, person, "delete segment", name, {})
        return gone

    # ---- drafts

    def draft(self, kind: str, subject: str) -> Draft | None:
        """Return the draft of a plan, or None."""
        rows = self.read(
            "SELECT kind, subject, content, made_by, made_at FROM drafts WHERE kind = ? AND subject = ?", kind, subject
        )
        return next((Draft(k, s, json.loads(content), by, _when(at)) for k, s, content, by, at in rows), None)

    def save_draft(self, kind: str, subject: str, content: Mapping[str, Any], person: str) -> None:
        """Keep a plan as it is now; overrides that stay are kept here."""
        now = clock()
        with self.writing() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO drafts VALUES (?, ?, ?, ?, ?)",
                (kind, subject, json.dumps(content, sort_keys=True), person, now),
            )
            record(connection, now, person, "save draft", f"{kind} {subject}", {})

    # ---- audit

    def audit(self, person: str, action: str, subject: str, **details: Any) -> None:
        """Write one audit line; it is there before this returns.

        Raises
        ------
        NotAudited
            It cannot be written: what was to be audited must then not be done.
        """
        try:
            with self.writing() as connection:
                record(connection, clock(), person, action, subject, details)
        except (WarehouseError, OSError) as error:
            raise NotAudited(f"{action} of {subject[:100]}: not done, for it cannot be audited: {error}") from error

    def audit_lines(self, most: int = 200, *, person: str = "", action: str = "") -> list[AuditLine]:
        """Return the latest audit lines, the last one first; of one person or action where that is given."""
        rows = self.read(
            "SELECT id, at, person, action, subject, details FROM audit "
            "WHERE (?1 = '' OR person = ?1) AND (?2 = '' OR action = ?2) ORDER BY id DESC LIMIT ?3",
            person,
            action,
            most,
        )
        return [AuditLine(i, _when(at), who, did, what, json.loads(more)) for i, at, who, did, what, more in rows]

    # ---- the file

    def read(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a statement; [] where nothing was ever written."""
        if not self.path.exists():
            return []
        with self._open() as connection:
            return connection.execute(sql, values).fetchall()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection in one transaction, which is taken back where the block raises."""
        with self._open() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self.path, timeout=10, isolation_level=None)
            try:
                connection.execute("PRAGMA synchronous = FULL")
                self._upgrade(connection)
                yield connection
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise WarehouseError(
                f"{self.path}: cannot be read or written ({error}); mend its rights, or move it away to begin anew "
                "without saved segments, drafts and audit"
            ) from error

    def _upgrade(self, connection: sqlite3.Connection) -> None:
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        if found > VERSION:
            raise WarehouseError(f"{self.path}: was written by a newer regulars (version {found}); use that one")
        if found < VERSION:
            connection.execute("BEGIN IMMEDIATE")
            (found,) = connection.execute("PRAGMA user_version").fetchone()
            for statement in filter(str.strip, ";".join(_STEPS[found:]).split(";")):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {VERSION}")
            connection.execute("COMMIT")


def record(
    connection: sqlite3.Connection, at: str, person: str, action: str, subject: str, details: Mapping[str, Any]
) -> None:
    """Write an audit line in a transaction that is open, so that it stands exactly where the change does."""
    connection.execute(
        "INSERT INTO audit (at, person, action, subject, details) VALUES (?, ?, ?, ?, ?)",
        (at, person, action, subject, json.dumps(details, sort_keys=True, default=str)),
    )


def clock() -> str:
    """Return the clock time (UTC) as the file holds it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _when(text: str) -> datetime:
    return datetime.fromisoformat(text)
