"""Files of exactly the filtered rows: CSV that a spreadsheet can open without harm, and Parquet, both as a stream.

Memory stays at one batch whatever the number of rows: each is read, written and sent before the next is asked for.
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc  # its functions are made at import time, unseen by type checkers
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

# What makes a spreadsheet take a text for a formula when it stands first, in its plain and its full-width form.
_FORMULA_START = r"^[=+\-@\t\r\n＝＋－＠]"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_ROW_GROUP_ROWS = 122_880
_LINES = 10_000


def csv_stream(reader: pa.RecordBatchReader) -> Iterator[bytes]:
    """Write rows as CSV, batch by batch, with a header.

    Text that a spreadsheet would run as a formula gets an apostrophe before it (OWASP, "CSV Injection"); numbers stay
    numbers. The byte order mark makes spreadsheets read it as UTF-8; pandas, Polars and DuckDB skip it.

    Examples
    --------
    >>> rows = pa.table({"customer_id": ["C1", "=1+1"], "value": [1.5, -2.0]})
    >>> print(b"".join(csv_stream(rows.to_reader())).decode("utf-8-sig"), end="")
    "customer_id","value"
    "C1",1.5
    "'=1+1",-2
    """
    yield _BYTE_ORDER_MARK + _csv(reader.schema.empty_table(), header=True)
    for batch in reader:
        yield _csv(pa.Table.from_batches([spreadsheet_safe(batch)]), header=False)


def safe_csv_stream(path: Path) -> Iterator[bytes]:
    """Write a CSV file that is there as `csv_stream` writes rows, some thousand lines at a time."""
    yield _BYTE_ORDER_MARK
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file)
        while part := list(islice(rows, _LINES)):
            text = io.StringIO(newline="")
            csv.writer(text).writerows([_safe(cell) for cell in row] for row in part)
            yield text.getvalue().encode()


def _safe(cell: str) -> str:
    if not re.match(_FORMULA_START, cell):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell


def parquet_stream(reader: pa.RecordBatchReader, metadata: Mapping[str, str] | None = None) -> Iterator[bytes]:
    """Write rows as Parquet, row group by row group; ``metadata`` goes into the schema.

    Examples
    --------
    >>> rows = pa.table({"customer_id": ["C1", "=1+1"]})
    >>> pq.read_table(io.BytesIO(b"".join(parquet_stream(rows.to_reader()))))["customer_id"].to_pylist()
    ['C1', '=1+1']
    """
    schema = reader.schema.with_metadata({f"regulars.{key}": value for key, value in (metadata or {}).items()})
    sink = _Sink()
    with pq.ParquetWriter(pa.PythonFile(sink, mode="w"), schema, compression="zstd") as writer:
        waiting: list[pa.RecordBatch] = []
        for batch in reader:
            waiting.append(batch)
            if sum(len(part) for part in waiting) >= _ROW_GROUP_ROWS:
                writer.write_table(pa.Table.from_batches(waiting).cast(schema))
                waiting = []
                yield sink.take()
        if waiting:
            writer.write_table(pa.Table.from_batches(waiting).cast(schema))
    yield sink.take()


def spreadsheet_safe(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the rows with an apostrophe before each text that a spreadsheet would take for a formula."""
    columns = []
    for column in batch.columns:
        safe = column
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            marked = pc.binary_join_element_wise(pa.scalar("'", column.type), column, pa.scalar("", column.type))  # pyright: ignore[reportAttributeAccessIssue]
            safe = pc.if_else(pc.match_substring_regex(column, _FORMULA_START), marked, column)  # pyright: ignore[reportAttributeAccessIssue]
        columns.append(safe)
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def _csv(rows: pa.Table, *, header: bool) -> bytes:
    buffer = io.BytesIO()
    pcsv.write_csv(rows, buffer, pcsv.WriteOptions(include_header=header))
    return buffer.getvalue()


class _Sink(io.RawIOBase):
    """A file that only grows, from which what was written so far can be taken."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._length = 0

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        part = bytes(data)
        self._parts.append(part)
        self._length += len(part)
        return len(part)

    def tell(self) -> int:
        return self._length

    def take(self) -> bytes:
        taken, self._parts = b"".join(self._parts), []
        return taken
