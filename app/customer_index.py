"""Customers of one snapshot held in memory, found by id in some microseconds: what the read API answers from.

The tables of a snapshot are sorted by customer, so a row is found by halving; nothing is built besides. An index is of
one run and never changes: whoever took it answers from that run alone, whatever is published meanwhile.
"""

# pyarrow.compute makes its functions at import time, unseen by type checkers
# pyright: reportAttributeAccessIssue=false

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..sql.errors import RegularsError, WarehouseError
from ..sql.snapshot import Snapshot, Warehouse

log = logging.getLogger(__name__)

KEY = "customer_id"
_FEW_TEXTS = 1_000
_AGAIN_SECONDS = 30.0
_DIGITS_OF_INT64 = 18


class SortedRows:
    """Rows of a table, found by their id.

    Parameters
    ----------
    ids : pyarrow.ChunkedArray
        Without NULL, each once, ascending by their bytes in UTF-8.
    columns : mapping of str to pyarrow.ChunkedArray
        As long as ``ids``.

    Examples
    --------
    >>> rows = SortedRows.of(pa.table({"customer_id": ["b", "a"], "orders": [2, 1]}))
    >>> rows.place("b"), rows.place("c"), rows.at(rows.place("a"))
    (1, -1, {'orders': 1})
    """

    def __init__(self, ids: pa.ChunkedArray, columns: Mapping[str, pa.ChunkedArray]) -> None:
        # large: the offsets of more than 2 GB of ids do not fit into 32 bits
        self.ids: Any = pa.concat_arrays(ids.cast(pa.large_string()).chunks or [pa.array([], pa.large_string())])
        self._readers = {name: _reader(column) for name, column in columns.items()}
        _, offsets, data = self.ids.buffers()
        self._offsets = memoryview(offsets).cast("q") if len(self.ids) else memoryview(b"")
        self._data = memoryview(data) if data is not None else memoryview(b"")

    @classmethod
    def of(cls, table: pa.Table, key: str = KEY) -> "SortedRows":
        """Make it of a table in any order; rows without an id are left out, of equal ids the first counts."""
        kept = table.filter(pc.is_valid(table[key])) if table[key].null_count else table
        if not _ascends(kept[key]):
            kept = kept.take(pc.sort_indices(kept, [(key, "ascending")]))
            if not _ascends(kept[key]):
                first = kept.append_column("#", pa.array(range(kept.num_rows))).group_by(key).aggregate([("#", "min")])
                kept = kept.take(first.sort_by("#_min")["#_min"])
        return cls(kept[key], {name: kept[name] for name in kept.column_names if name != key})

    def __len__(self) -> int:
        return len(self.ids)

    def place(self, key: str) -> int:
        """Return the row of an id, -1 where there is none."""
        wanted = key.encode("utf-8", "surrogatepass")
        data, offsets = self._data, self._offsets
        low, high = 0, len(self.ids)
        while low < high:
            middle = (low + high) // 2
            if bytes(data[offsets[middle] : offsets[middle + 1]]) < wanted:
                low = middle + 1
            else:
                high = middle
        found = low < len(self.ids) and bytes(data[offsets[low] : offsets[low + 1]]) == wanted
        return low if found else -1

    def at(self, row: int) -> dict[str, Any]:
        """Return the values of a row as JSON takes them: dates as text, NULL and what is no number as None."""
        return {name: read(row) for name, read in self._readers.items()}


class CustomerIndex:
    """The customers of one run.

    Parameters
    ----------
    snapshot : Snapshot
    wanted : mapping of str to sequence of str
        Table -> columns to hold; the first table says who is a customer. What a run lacks is None in every answer.

    Raises
    ------
    WarehouseError
        The run has no customers, or cannot be read.
    """

    def __init__(self, snapshot: Snapshot, wanted: Mapping[str, Sequence[str]]) -> None:
        self.snapshot = snapshot
        self.run_id = snapshot.run_id
        self.manifest: Mapping[str, Any] = snapshot.manifest
        there = set(snapshot.tables())
        base, *others = wanted
        if base not in there:
            raise WarehouseError(f"run {self.run_id} has no table {base}; make a new snapshot: regulars build --force")
        self._rows = {base: _read(snapshot, base, wanted[base])}
        self._base = self._rows[base]
        self._aligned = {base}
        for name in others:
            if name in there:
                rows = _read(snapshot, name, wanted[name])
                if rows.ids.equals(self._base.ids):
                    rows.ids = self._base.ids  # one copy of them
                    self._aligned.add(name)
                self._rows[name] = rows

    def __len__(self) -> int:
        return len(self._base)

    def find(self, customer_id: str) -> dict[str, dict[str, Any] | None] | None:
        """Return by table what the run says of a customer; None where it knows none of that id."""
        place = self._base.place(customer_id)
        if place < 0:
            return None
        found: dict[str, dict[str, Any] | None] = {}
        for name, rows in self._rows.items():
            row = place if name in self._aligned else rows.place(customer_id)
            found[name] = rows.at(row) if row >= 0 else None
        return found


class CurrentCustomers:
    """The index of the current run, switched to the next one when it has been read: readers never wait for a build.

    Parameters
    ----------
    warehouse : Path
    wanted
        As `CustomerIndex` takes it.
    """

    def __init__(self, warehouse: Path, wanted: Mapping[str, Sequence[str]]) -> None:
        self._warehouse = Warehouse(warehouse)
        self._wanted = wanted
        self._index: CustomerIndex | None = None
        self._stamp: tuple[int, int] | None = None
        self._run = ""
        self._reading = ""
        self._again_at = 0.0
        self._lock = threading.Lock()

    def index(self) -> CustomerIndex:
        """Return the index to answer one request from.

        Raises
        ------
        WarehouseError
            Nothing is published, or it cannot be read.
        """
        run, index = self._current_run(), self._index
        if index is not None and index.run_id == run:
            return index
        # a run whose files are gone was erased from, or pruned: nobody is answered from it any more
        if index is not None and index.snapshot.path.is_dir():
            if self._reading != run and time.monotonic() >= self._again_at:
                self._reading = run
                threading.Thread(target=self._read_ahead, args=(run,), name="regulars-index", daemon=True).start()
            return index
        return self._switched(run)

    def _current_run(self) -> str:
        try:
            status = self._warehouse.pointer_path.stat()
        except OSError:
            self._stamp = None
            return self._warehouse.current().run_id  # which says what is the matter
        stamp = (status.st_mtime_ns, status.st_ino)
        if stamp != self._stamp:
            self._run, self._stamp = self._warehouse.current().run_id, stamp
        return self._run

    def _switched(self, run: str) -> CustomerIndex:
        with self._lock:
            if self._index is None or self._index.run_id != run:
                self._index = CustomerIndex(self._warehouse.snapshot(run), self._wanted)
            return self._index

    def _read_ahead(self, run: str) -> None:
        try:
            self._switched(run)
        except RegularsError as error:
            self._again_at = time.monotonic() + _AGAIN_SECONDS
            log.warning("run %s cannot be read, answers stay those of the one before: %s", run, error)
        finally:
            self._reading = ""


def _read(snapshot: Snapshot, name: str, columns: Sequence[str]) -> SortedRows:
    path = snapshot.table_path(name)
    try:
        schema = pq.read_schema(path)
        there = [column for column in (KEY, *columns) if column in schema.names]
        texts = [column for column in there if column != KEY and pa.types.is_string(schema.field(column).type)]
        # one thread: whoever asks meanwhile has the other cores
        with pq.ParquetFile(path, read_dictionary=texts) as file:
            return SortedRows.of(file.read(columns=there, use_threads=False))
    except (OSError, pa.ArrowException, KeyError) as error:
        raise WarehouseError(
            f"{path}: cannot be read ({error}); 'regulars build --force' makes the run anew"
        ) from error


def _ascends(ids: pa.ChunkedArray) -> bool:
    return len(ids) < 2 or bool(pc.all(pc.less(ids.slice(0, len(ids) - 1), ids.slice(1))).as_py())


def _reader(column: pa.ChunkedArray) -> Callable[[int], Any]:
    """Return what reads one value of a column; through numpy where it can, which is ten times as fast as Arrow."""
    kind = column.type
    if pa.types.is_decimal128(kind) and kind.precision <= _DIGITS_OF_INT64 and not column.null_count:
        # Arrow's own cast to floats is off in the last digit: 71.57 becomes 71.57000000000001
        cents, unit = _unscaled(column), 10**kind.scale
        return lambda row: cents.item(row) / unit
    if pa.types.is_floating(kind):
        numbers = column.cast(pa.float64()).to_numpy()  # NULL is NaN
        return lambda row: value if abs(value := numbers.item(row)) < math.inf else None
    if pa.types.is_integer(kind) and not column.null_count:
        return column.to_numpy().item
    if pa.types.is_date32(kind):
        days = column.to_numpy()
        return lambda row: None if (day := days.item(row)) is None else day.isoformat()
    whole: Any = (column.unify_dictionaries() if pa.types.is_dictionary(kind) else column).combine_chunks()
    if pa.types.is_dictionary(kind) and not column.null_count and len(whole.dictionary) <= _FEW_TEXTS:
        texts, places = whole.dictionary.to_pylist(), whole.indices.to_numpy()
        return lambda row: texts[places.item(row)]
    return lambda row: _json(whole[row].as_py())


def _unscaled(column: pa.ChunkedArray) -> np.ndarray:
    parts = [np.zeros(0, np.int64)]
    for chunk in column.chunks:
        words = np.frombuffer(chunk.buffers()[1], np.int64)  # the lower of two words holds 18 digits
        parts.append(words[2 * chunk.offset : 2 * (chunk.offset + len(chunk)) : 2])
    return np.concatenate(parts)


def _json(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    return value.isoformat() if hasattr(value, "isoformat") else value
