"""Writing one run: tables as Parquet with bytes that depend on the rows alone, models, log and manifest."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .durability import saying
from .lineage import file_sha256

if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP_ROWS = 122_880
MANIFEST = "manifest.json"
LOG = "run.log"


class RunWriter:
    """A run being written, seen by nobody; made by `Warehouse.stage`."""

    def __init__(self, run_id: str, folder: Path, now: Callable[[], datetime]) -> None:
        self.run_id = run_id
        self.path = folder / "run"
        self.manifest: dict[str, Any] = {}
        self._now = now
        (self.path / "models").mkdir(parents=True)

    def write_table(self, name: str, batches: "Iterable[pa.RecordBatch]", schema: "pa.Schema") -> dict[str, Any]:
        """Write a table batch by batch, in fixed row groups whatever the size of the batches.

        One thread writes, in the order given, so the same rows give the same bytes.

        Returns
        -------
        dict
            ``rows``, ``bytes`` and ``sha256`` of the file.
        """
        import pyarrow.parquet as pq

        path = self.path / f"{name}.parquet"
        rows = 0
        with (
            saying(path, "write"),
            path.open("wb") as file,
            pq.ParquetWriter(file, schema, compression="zstd") as writer,
        ):
            for group in _row_groups(batches, schema):
                writer.write_table(group, row_group_size=ROW_GROUP_ROWS)
                rows += group.num_rows
        return {"rows": rows, "bytes": path.stat().st_size, "sha256": file_sha256(path)}

    def write_text(self, name: str, text: str) -> dict[str, Any]:
        """Write a text file of the run, such as ``models/bg_nbd.json``; return its ``bytes`` and ``sha256``."""
        path = self.path / name
        with saying(path, "write"):
            path.write_bytes(text.encode())
        return {"bytes": path.stat().st_size, "sha256": file_sha256(path)}

    def files(self, folder: str) -> dict[str, dict[str, Any]]:
        """Return ``bytes`` and ``sha256`` of each file of a folder of the run, by name."""
        there = sorted((self.path / folder).iterdir())
        return {file.name: {"bytes": file.stat().st_size, "sha256": file_sha256(file)} for file in there}

    def log(self, message: str) -> None:
        """Add a line with the clock time to the run's log; read by people, part of no hash."""
        with saying(self.path / LOG, "write"):
            append_log(self.path, message, self._now())


def append_log(folder: Path, message: str, now: datetime) -> None:
    """Add a line with the clock time to the log of a run's folder."""
    with (folder / LOG).open("a", encoding="utf-8") as file:
        file.write(f"{now.isoformat(timespec='milliseconds')} {message}\n")


def _row_groups(batches: "Iterable[pa.RecordBatch]", schema: "pa.Schema") -> "Iterator[pa.Table]":
    import pyarrow as pa

    waiting: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        waiting.append(batch)
        rows += batch.num_rows
        if rows >= ROW_GROUP_ROWS:
            table = pa.Table.from_batches(waiting, schema)
            whole = rows - rows % ROW_GROUP_ROWS
            # in one piece: a page ends where a piece does, so the sizes of the batches would show in the bytes
            for start in range(0, whole, ROW_GROUP_ROWS):
                yield table.slice(start, ROW_GROUP_ROWS).combine_chunks()
            waiting, rows = table.slice(whole).to_batches(), rows - whole
    if rows:
        yield pa.Table.from_batches(waiting, schema).combine_chunks()
