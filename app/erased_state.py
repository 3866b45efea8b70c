"""One person taken out of the state that people change, and of the texts beside the snapshots."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from ..sql.durability import replace_text
from ..sql.errors import WarehouseError
from .redaction import Redactor, strings
from .state import FILE, State

# beside the snapshots, made of what builds said: a line or a whole JSON value of text
_TEXTS = ("*.json", "*.jsonl", "*.log")
_NOT_OURS = {"current.json", "erasures.json"}


def examine(warehouse: Path, person: Redactor) -> dict[str, int]:
    """Return how many rows of each table of the state name a person, and which texts beside it do."""
    found: dict[str, int] = {}
    if (warehouse / FILE).exists():
        state = State(warehouse)
        for table, columns in _columns(state).items():
            rows = state.read(f"SELECT {', '.join(columns)} FROM {table}")
            held = sum(any(isinstance(v, str) and _names(person, v) for v in row) for row in rows)
            if held:
                found[f"{FILE} {table}"] = held
    for path in _texts(warehouse):
        text = path.read_text(encoding="utf-8")
        if _blotted(path, text, person) != text:
            found[path.name] = 1
    return found


def remove(warehouse: Path, person: Redactor) -> None:
    """Forget saved segments that name a person; blot the ids out of drafts, audit and texts; leave no page of them.

    Raises
    ------
    WarehouseError
        The state cannot be written.
    """
    state = State(warehouse)
    if state.path.exists():
        with state.writing() as connection:
            connection.execute("PRAGMA secure_delete = ON")
            for table, columns in _columns(state).items():
                listed = ", ".join(columns)
                for rowid, *values in connection.execute(f"SELECT rowid, {listed} FROM {table}").fetchall():
                    if not any(isinstance(value, str) and _names(person, value) for value in values):
                        continue
                    if table == "segments":
                        connection.execute("DELETE FROM segments WHERE rowid = ?", (rowid,))
                        continue
                    new = [_without(person, value) if isinstance(value, str) else value for value in values]
                    said = ", ".join(f"{column} = ?" for column in columns)
                    connection.execute(f"UPDATE OR REPLACE {table} SET {said} WHERE rowid = ?", (*new, rowid))
        compact(state.path)
    for path in _texts(warehouse):
        text = path.read_text(encoding="utf-8")
        blotted = _blotted(path, text, person)
        if blotted != text:
            replace_text(path, blotted)


def compact(path: Path) -> None:
    """Write the database anew without free pages, so that nothing deleted is left in its bytes.

    Raises
    ------
    WarehouseError
        It is being written, or cannot be.
    """
    try:
        with closing(sqlite3.connect(path, timeout=10, isolation_level=None)) as connection:
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.execute("VACUUM")
    except sqlite3.Error as error:
        raise WarehouseError(
            f"{path}: cannot be written anew ({error}); close what uses it, and erase again"
        ) from error


def _columns(state: State) -> dict[str, list[str]]:
    names = [name for (name,) in state.read("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    return {name: [row[1] for row in state.read(f"PRAGMA table_info({name})")] for name in names}


def _names(person: Redactor, text: str) -> bool:
    return _without(person, text) != text


def _without(person: Redactor, text: str) -> str:
    """Blot the ids out of a text that may be JSON, or the query of an address."""
    try:
        said = json.loads(text)
    except ValueError:
        said = None
    if isinstance(said, dict | list):
        blotted = person.json(said)
        return text if blotted == said else json.dumps(blotted, sort_keys=True)
    return person.text(text)


def _texts(warehouse: Path) -> list[Path]:
    found = {path for pattern in _TEXTS for path in warehouse.glob(pattern) if path.is_file()}
    return sorted(path for path in found if path.name not in _NOT_OURS)


def _blotted(path: Path, text: str, person: Redactor) -> str:
    if path.suffix != ".jsonl":
        return person.text(text) if path.suffix == ".log" else _json_text(text, person)
    return "".join(_json_text(line, person) for line in text.splitlines(keepends=True))


def _json_text(text: str, person: Redactor) -> str:
    try:
        said = json.loads(text)
    except ValueError:
        return person.text(text)
    if not any(person.holds(one) for one in strings(said)):
        return text
    return json.dumps(person.json(said), ensure_ascii=False) + ("\n" if text.endswith("\n") else "")
