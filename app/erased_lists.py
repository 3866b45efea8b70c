"""One person taken out of target lists and logs of decisions; lists, manifests and logs go on agreeing."""

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..sql.durability import canonical_json, replace_bytes
from ..sql.errors import WarehouseError
from .redaction import Redactor
from .targeting import DECISIONS, LISTS, WITHDRAWN

if TYPE_CHECKING:
    import pyarrow as pa

_METADATA = b"regulars.target"


@dataclass
class ListErasure:
    """The lists and logs that hold a person, with how many rows; paths as the warehouse has them."""

    lists: dict[Path, int] = field(default_factory=dict)
    logs: dict[Path, int] = field(default_factory=dict)

    @property
    def found(self) -> bool:
        """Whether there is anything."""
        return bool(self.lists or self.logs)


def examine(warehouse: Path, person: Redactor) -> ListErasure:
    """Look through every log, standing or withdrawn, and every list of a warehouse.

    Raises
    ------
    WarehouseError
        A file cannot be read.
    """
    found = ListErasure()
    for folder in (warehouse / DECISIONS, warehouse / DECISIONS / WITHDRAWN):
        for path in sorted(folder.glob("*.parquet")):
            table = _parquet(path)
            rows = _theirs(table, person)
            if rows or person.json(_facts(table)) != _facts(table):
                found.logs[path] = rows
    for path in sorted((warehouse / LISTS).glob("*")):
        if path.suffix in {".parquet", ".csv"} and not path.name.startswith("."):
            rows = _list_without(path, person)[2]
            if rows:
                found.lists[path] = rows
    return found


def remove(warehouse: Path, found: ListErasure, person: Redactor, tombstones: list[str]) -> None:
    """Write the lists and logs without a person.

    Manifests first, then lists, logs last: as long as something is left to do, the log still holds the person, and
    doing it again finishes it.
    """
    from ..uplift.target import parquet_bytes

    logs = {path: parquet_bytes(_noted(_without(_parquet(path), person), person, tombstones)) for path in found.logs}
    by_name = {path.name: (content, path) for path, content in logs.items()}
    for manifest_path in sorted((warehouse / LISTS).glob("*.manifest.json")):
        path = manifest_path.with_name(manifest_path.name.removesuffix(".manifest.json"))
        said = json.loads(manifest_path.read_text(encoding="utf-8"))
        log = by_name.get(said.get("log", {}).get("file", ""))
        if path not in found.lists and log is None and person.json(said) == said:
            continue
        told = person.json(said)
        if path.exists():
            content, rows, _ = _list_without(path, person)
            told["list"] |= {"rows": rows, "sha256": _sha256(content)}
        if log is not None:
            rows = _parquet(log[1]).num_rows - found.logs[log[1]]
            told["log"] |= {"rows": rows, "sha256": _sha256(log[0])}
        told["erased"] = sorted({*told.get("erased", []), *tombstones})
        replace_bytes(manifest_path, canonical_json(told).encode())
    for path in found.lists:
        replace_bytes(path, _list_without(path, person)[0])
    for path, content in logs.items():
        replace_bytes(path, content)


def _noted(log: "pa.Table", person: Redactor, tombstones: list[str]) -> "pa.Table":
    said = person.json(_facts(log))
    said["erased"] = sorted({*said.get("erased", []), *tombstones})
    return log.replace_schema_metadata({**(log.schema.metadata or {}), _METADATA: canonical_json(said).encode()})


def _facts(log: "pa.Table") -> dict[str, Any]:
    return json.loads((log.schema.metadata or {}).get(_METADATA, b"{}"))


def _theirs(table: "pa.Table", person: Redactor) -> int:
    import pyarrow.compute as pc

    return int(pc.sum(person.rows(table["customer_id"])).as_py() or 0)  # pyright: ignore[reportAttributeAccessIssue]


def _without(table: "pa.Table", person: Redactor) -> "pa.Table":
    import pyarrow.compute as pc

    return table.filter(pc.invert(person.rows(table["customer_id"])))  # pyright: ignore[reportAttributeAccessIssue]


def _csv_without(path: Path, person: Redactor) -> tuple[bytes, int, int]:
    """Return a CSV list without a person, every other record as it was; how many records stay, and how many went."""
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WarehouseError(f"{path}: cannot be read ({error}); remove it, or mend it, and erase again") from error
    head, *records = list(_records(text)) or [""]
    names = next(csv.reader([head.rstrip("\r\n")]), [])
    if "customer_id" not in names:
        raise WarehouseError(f"{path}: has no customer_id; it is no list of ours: move it away, and erase again")
    place = names.index("customer_id")
    kept = [
        one
        for one in records
        if next(csv.reader(io.StringIO(one, newline="")), [""] * len(names))[place] not in person.ids
    ]
    return "".join([head, *kept]).encode(), len(kept), len(records) - len(kept)


def _records(text: str) -> Iterator[str]:
    """Yield the records of a CSV text with their line ends: a line end within quotes ends none."""
    begun, open_quotes = 0, False
    for found in re.finditer(r'["\n]', text):
        if found[0] == '"':
            open_quotes = not open_quotes
        elif not open_quotes:
            yield text[begun : found.end()]
            begun = found.end()
    if begun < len(text):
        yield text[begun:]


def _list_without(path: Path, person: Redactor) -> tuple[bytes, int, int]:
    from ..uplift.target import parquet_bytes

    if path.suffix == ".csv":
        return _csv_without(path, person)
    table = _parquet(path)
    left = _without(table, person)
    return parquet_bytes(left), left.num_rows, table.num_rows - left.num_rows


def _parquet(path: Path) -> "pa.Table":
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            table = file.read()
    except (OSError, pa.ArrowException) as error:
        raise WarehouseError(f"{path}: cannot be read ({error}); remove it, or mend it, and erase again") from error
    if "customer_id" not in table.column_names:
        raise WarehouseError(f"{path}: has no customer_id; it is no list or log of ours: move it away, and erase again")
    return table


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
