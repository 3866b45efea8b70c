"""One person taken out of a published run: rows go, what the money needs names nobody, hashes are written anew."""

# pyarrow.compute makes its functions at import time, unseen by type checkers
# pyright: reportAttributeAccessIssue=false

import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..sql.run_writer import LOG, MANIFEST
from . import erased_effects
from .redaction import Redactor, sentence_columns, strings, text_columns

if TYPE_CHECKING:
    import pyarrow as pa

    from ..sql.run_writer import RunWriter
    from ..sql.snapshot import Snapshot

REJECTED = "rejected_order_lines"
_ID_COLUMNS = ("customer_id", "source_customer_id")
# of a rejected line: what may name somebody; its money and reason stay, so that the run still reconciles
_NAMING = ("customer_id", "order_id", "sku", "ordered_at_text", "revenue_text")


@dataclass
class RunErasure:
    """What of a run holds a person: rows by table, texts elsewhere, and effects that were learnt from them."""

    run_id: str
    rows: dict[str, int] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    units: list[str] = field(default_factory=list)

    @property
    def found(self) -> bool:
        """Whether there is anything."""
        return bool(self.rows or self.texts or self.units)


def examine(run: "Snapshot", person: Redactor) -> RunErasure:
    """Look through every table, model and text of a run.

    Raises
    ------
    WarehouseError
        A file cannot be read.
    """
    found = RunErasure(run.run_id)
    for name in run.tables():
        table = _texts_of(run, name)
        rows = _rows_of(table, person)
        if rows:
            found.rows[name] = rows
        elif any(person.naming(table[column]) for column in sentence_columns(table)):
            found.texts.append(f"{name}.parquet")
    for path in _other_files(run.path):
        if _text_holds(path, person):
            found.texts.append(path.relative_to(run.path).as_posix())
    found.units = erased_effects.units_files(run.path, person)
    return found


def linked_in(run: "Snapshot", ids: frozenset[str]) -> set[tuple[str, str]]:
    """Return which ids of the input a run's refunds show to be of one customer with one of these."""
    if "return_lines" not in run.tables():
        return set()
    table = run.read("return_lines", list(_ID_COLUMNS))
    rows = zip(*(table[name].to_pylist() for name in _ID_COLUMNS), strict=True)
    return {(old, new) for old, new in rows if old and new and (old in ids or new in ids)}


def rewrite(run: "Snapshot", found: RunErasure, person: Redactor, writer: "RunWriter", note: dict[str, Any]) -> None:
    """Write a run without a person: what does not name them is the same file, by a link where the disk has them."""
    manifest = person.json(json.loads((run.path / MANIFEST).read_text(encoding="utf-8")))
    changed = {f"{name}.parquet" for name in found.rows} | set(found.texts)
    learnt = {name.rpartition("/")[0] for name in found.units}
    rewritten = {*found.units, *(f"{folder}/{erased_effects.DOCUMENT}" for folder in learnt)}
    for path in sorted(run.path.rglob("*")):
        name = path.relative_to(run.path).as_posix()
        target = writer.path / name
        if path.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        elif name not in changed | rewritten and name not in {MANIFEST, LOG}:
            _link(path, target)
    for name in sorted(changed - {MANIFEST, LOG}):
        if name.endswith(".parquet") and name.removesuffix(".parquet") in manifest["tables"]:
            table = without(run.read(name.removesuffix(".parquet")), name.removesuffix(".parquet"), person)
            facts = writer.write_table(name.removesuffix(".parquet"), table.to_batches(), table.schema)
            manifest["tables"][name.removesuffix(".parquet")] |= facts
        else:
            text = person.text((run.path / name).read_text(encoding="utf-8"))
            _put_facts(manifest, name, writer.write_text(name, text))
    for name in found.units:
        erased_effects.forget(run.path, name, person, writer)
    for folder in learnt:
        saved = manifest.get("effects", {}).get(folder.removeprefix("models/"))
        if saved:
            saved["files"] = writer.files(folder)
    log = run.path / LOG
    if log.exists():
        writer.write_text(LOG, person.text(log.read_text(encoding="utf-8")))
    writer.log(f"a customer was erased (tombstone {note['tombstones'][0]}); hashes are those of what is left")
    manifest["erasures"] = [*manifest.get("erasures", []), {**note, "rows": dict(sorted(found.rows.items()))}]
    writer.manifest = manifest


def without(table: "pa.Table", name: str, person: Redactor) -> "pa.Table":
    """Return a table of a run without a person.

    Rows that are theirs go; those of `rejected_order_lines` stay, of a day and with their money, and name nobody. Texts
    elsewhere that name them are blotted out.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    theirs = _is_theirs(table, person)
    if theirs is not None and name != REJECTED:
        table = table.filter(pc.invert(theirs))
    elif theirs is not None:
        for column in _NAMING:
            place = table.schema.get_field_index(column)
            blank = pc.if_else(theirs, pa.scalar(None, table.schema.field(place).type), table[column])
            table = table.set_column(place, table.schema.field(place), blank)
        place = table.schema.get_field_index("ordered_at")
        day = pc.floor_temporal(table["ordered_at"], unit="day")
        table = table.set_column(place, table.schema.field(place), pc.if_else(theirs, day, table["ordered_at"]))
        order = pc.sort_indices(table, [(column, "ascending", "at_start") for column in table.column_names])
        table = table.take(order)
    for column in sentence_columns(table):
        named = person.naming(table[column])
        if named:
            texts = table[column].to_pylist()
            for row in named:
                texts[row] = person.text(texts[row])
            place = table.schema.get_field_index(column)
            table = table.set_column(place, table.schema.field(place), pa.array(texts, table.schema.field(place).type))
    return table


def _texts_of(run: "Snapshot", name: str) -> "pa.Table":
    import pyarrow.parquet as pq

    schema = pq.read_schema(run.table_path(name)).empty_table()
    return run.read(name, list(text_columns(schema)))


def _rows_of(table: "pa.Table", person: Redactor) -> int:
    import pyarrow.compute as pc

    theirs = _is_theirs(table, person)
    return 0 if theirs is None else int(pc.sum(theirs).as_py() or 0)


def _is_theirs(table: "pa.Table", person: Redactor) -> Any:
    import pyarrow.compute as pc

    theirs = None
    for column in _ID_COLUMNS:
        if column in table.column_names:
            here = person.rows(table[column])
            theirs = here if theirs is None else pc.or_(theirs, here)
    return theirs


def _other_files(folder: Path) -> list[Path]:
    return [p for p in sorted(folder.rglob("*")) if p.is_file() and not (p.parent == folder and p.suffix == ".parquet")]


def _text_holds(path: Path, person: Redactor) -> bool:
    if path.suffix == ".json":
        return any(person.holds(text) for text in strings(json.loads(path.read_text(encoding="utf-8"))))
    if path.suffix in {".log", ".txt"}:
        return person.holds(path.read_text(encoding="utf-8"))
    return person.bytes_at(path.read_bytes()) >= 0


def _put_facts(manifest: dict[str, Any], name: str, facts: dict[str, Any]) -> None:
    """Write the hash of a model's file where the manifest has it."""
    folder, _, file = name.removeprefix("models/").rpartition("/")
    if not folder and file.removesuffix(".json") in manifest["models"]:
        manifest["models"][file.removesuffix(".json")] |= facts
    for place in (manifest.get("effects", {}).get(folder), *_plans_of(manifest, folder)):
        if place and file in place.get("files", {}):
            place["files"][file] = facts


def _plans_of(manifest: dict[str, Any], folder: str) -> list[dict[str, Any]]:
    return [plan for plan in manifest.get("markdowns", {}).values() if plan.get("folder") == folder]


def _link(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, target)
    except OSError:  # another disk, or one without links
        shutil.copyfile(path, target)
