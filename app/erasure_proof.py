"""The proof that a person is gone: every file of the warehouse read, by its values and by its bytes."""

# pyarrow.compute makes its functions at import time, unseen by type checkers
# pyright: reportAttributeAccessIssue=false

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..sql.errors import WarehouseError
from . import erased_effects
from .redaction import KEYS, Redactor, strings, text_columns

_BLOCK = 1 << 24
_SQLITE = (".sqlite",)


@dataclass
class Proof:
    """What was read, and where the person was still found.

    Attributes
    ----------
    files, bytes : int
        How many were read, each whole.
    columns, values : int
        Columns of text of Parquet and SQLite files, and their values, each compared with every id.
    found : list of str
        Where an id still stands; [] is the proof.
    too_short : list of str
        Ids that chance puts into raw bytes: their proof is that of the values.
    """

    files: int = 0
    bytes: int = 0
    columns: int = 0
    values: int = 0
    found: list[str] = field(default_factory=list)
    too_short: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether nothing was found."""
        return not self.found

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values, without the ids."""
        return {**vars(self), "too_short": len(self.too_short), "holds": self.holds}

    def sentences(self) -> list[str]:
        """Say it."""
        read = (
            f"read {self.files:,} files of the warehouse, {self.bytes:,} bytes, and in them {self.values:,} values of "
            f"{self.columns:,} columns of text"
        )
        said = [f"proof: {read}: no id is left" if self.holds else f"no proof: {read}"]
        said += [f"still there: {where}" for where in self.found]
        if self.too_short:
            said.append(
                f"{len(self.too_short)} of the ids are shorter than 6 bytes and stand in any file by chance: of these "
                "the values were compared, not the bytes"
            )
        return said


def prove(warehouse: Path, person: Redactor) -> Proof:
    """Read every file below a warehouse: values of Parquet with its statistics, of SQLite and JSON, and all bytes.

    Parameters
    ----------
    warehouse : Path
    person : Redactor
        The ids that must be nowhere.
    """
    proof = Proof(too_short=person.short)
    for path in sorted(warehouse.rglob("*")):
        if not path.is_file() or path.is_symlink():
            continue
        proof.files += 1
        proof.bytes += path.stat().st_size
        name = path.relative_to(warehouse).as_posix()
        if person.holds(name):
            proof.found.append(f"the name of {name}")
        explained: list[str] = []
        if path.suffix == ".parquet":
            explained = _read_parquet(path, name, person, proof)
        elif path.suffix in _SQLITE:
            _read_sqlite(path, name, person, proof)
        elif path.match(erased_effects.UNITS):
            _read_units(path, name, person, proof)
        elif path.suffix == ".json" and _read_json(path, name, person, proof):
            continue  # numbers in it are no ids, whatever their digits
        if path.suffix != ".csv" or not _read_csv(path, name, person, proof):
            _read_bytes(path, name, person, proof, explained)
    return proof


def _read_parquet(path: Path, name: str, person: Redactor, proof: Proof) -> list[str]:
    """Compare every value of text, the statistics and the metadata; return other texts that hold an id's letters."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    explained: list[str] = []
    try:
        with pq.ParquetFile(path) as file:
            for column in text_columns(file.schema_arrow.empty_table()):
                proof.columns += 1
                for group in range(file.num_row_groups):
                    values = file.read_row_group(group, columns=[column]).column(0)
                    proof.values += len(values)
                    here = bool(pc.any(person.rows(values)).as_py()) if len(values) else False
                    if here or (column not in KEYS and person.naming(values)):
                        proof.found.append(f"{name}, column {column}")
                        break
            for text in _footer_texts(file):
                if text in person.ids:
                    proof.found.append(f"{name}, statistics of its footer")
                else:
                    explained.append(text)
            for key, value in (file.schema_arrow.metadata or {}).items():
                said = value.decode("utf-8", "replace")
                if any(person.holds(text) for text in _texts_of(said)):
                    proof.found.append(f"{name}, metadata {key.decode('utf-8', 'replace')}")
    except (OSError, pa.ArrowException) as error:
        proof.found.append(f"{name} cannot be read ({error}): unproven")
    return explained


def _footer_texts(file: Any) -> Iterator[str]:
    for group in range(file.metadata.num_row_groups):
        for column in range(file.metadata.num_columns):
            statistics = file.metadata.row_group(group).column(column).statistics
            if statistics is not None and statistics.has_min_max:
                for value in (statistics.min, statistics.max):
                    if isinstance(value, str):
                        yield value


def _read_sqlite(path: Path, name: str, person: Redactor, proof: Proof) -> None:
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            for table in tables:
                cursor = connection.execute(f'SELECT * FROM "{table}"')
                proof.columns += len(cursor.description)
                for row in cursor:
                    texts = [value for value in row if isinstance(value, str)]
                    proof.values += len(texts)
                    if any(person.holds(one) for text in texts for one in _texts_of(text)):
                        proof.found.append(f"{name}, table {table}")
                        break
    except sqlite3.Error as error:
        proof.found.append(f"{name} cannot be read ({error}): unproven")


def _read_units(path: Path, name: str, person: Redactor, proof: Proof) -> None:
    try:
        here = erased_effects.learnt_from(path, person)
    except WarehouseError as error:
        proof.found.append(f"{error}: unproven")
        return
    proof.columns += 1
    proof.values += len(here)
    if here.any():
        proof.found.append(f"{name}, numbers made of ids")


def _read_json(path: Path, name: str, person: Redactor, proof: Proof) -> bool:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return False
    if any(person.holds(text) for text in strings(said)):
        proof.found.append(name)
    return True


def _read_csv(path: Path, name: str, person: Redactor, proof: Proof) -> bool:
    import csv

    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            found = False
            for row in csv.reader(file):
                proof.values += len(row)
                found = found or any(value in person.ids for value in row)
    except (UnicodeDecodeError, csv.Error):
        return False
    if found:
        proof.found.append(name)
    return True


def _read_bytes(path: Path, name: str, person: Redactor, proof: Proof, explained: list[str]) -> None:
    if path.suffix in {".log", ".jsonl", ".txt", ".toml"}:
        if any(
            person.holds(one) for line in path.read_text("utf-8", "replace").splitlines() for one in _texts_of(line)
        ):
            proof.found.append(name)
        return
    overlap = max(len(form.encode("utf-8", "surrogatepass")) for form in person.forms) + 2
    with path.open("rb") as file:
        before = b""
        while block := file.read(_BLOCK):
            content = before + block
            place = person.bytes_at(content)
            if place >= 0 and not _is_part_of_another(content, place, explained):
                proof.found.append(f"{name}, its bytes")
                return
            before = content[-overlap:]


def _is_part_of_another(content: bytes, place: int, explained: list[str]) -> bool:
    """Say whether the bytes belong to a longer text that the file's statistics name: another customer's id."""
    around = content[max(0, place - 100_000) : place + 100_000]
    return any(text.encode("utf-8", "surrogatepass") in around for text in explained)


def _texts_of(text: str) -> list[str]:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return [text]
    return [*strings(said)] if isinstance(said, dict | list) else [text]
