"""Rows on a terminal or in a file: a plain table, CSV, JSON or Parquet."""

import json
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..sql.errors import SettingsError, WarehouseError

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN_ROWS = 40
_WIDEST = 60
_EXACT_DIGITS = 15  # of a decimal number that a double, and so JSON's readers, keep exactly


def text_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Lay rows out in columns, numbers to the right.

    Examples
    --------
    >>> print(text_table([{"kpi": "customers", "value": 2469}, {"kpi": "orders", "value": 13.5}]))
    kpi        value
    ---------  -----
    customers   2469
    orders      13.5
    """
    if not rows:
        return "(no rows)"
    names = list(rows[0])
    cells = [[_cell(row[name]) for name in names] for row in rows]
    widths = [max(len(name), *(len(line[i]) for line in cells)) for i, name in enumerate(names)]
    right = [all(isinstance(row[name], int | float | Decimal | None) for row in rows) for name in names]
    lines = [names, ["-" * width for width in widths], *cells]
    return "\n".join(
        "  ".join(
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )


def write_rows(rows: "pa.Table", format_: str, out: Path | None) -> None:
    """Write rows to a file, or to stdout where none is named.

    Parameters
    ----------
    rows : pyarrow.Table
    format_ : str
        ``"table"`` (the first 40 rows), ``"csv"``, ``"json"`` (an array of objects) or ``"parquet"``.
    out : Path or None

    Raises
    ------
    WarehouseError
        The file cannot be written.
    SettingsError
        Parquet is asked for on a terminal.
    """
    if format_ == "table":
        text = text_table(rows.slice(0, SHOWN_ROWS).to_pylist())
        if rows.num_rows > SHOWN_ROWS:
            text += f"\n({SHOWN_ROWS} of {rows.num_rows:,} rows; --format csv, json or parquet gives all)"
        content: Iterable[bytes] = [text.encode() + b"\n"]
    elif format_ == "json":
        content = _json(rows)
    elif format_ == "csv":
        content = [_csv(rows)]
    else:
        if out is None and sys.stdout.isatty():
            raise SettingsError("Parquet is not for a terminal: name a file with --out, or pipe it on")
        content = [_parquet(rows)]
    if out is None:
        for part in content:
            sys.stdout.buffer.write(part)
        sys.stdout.buffer.flush()
        return
    beside = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            file.writelines(content)
        beside.replace(out)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise WarehouseError(f"{out}: cannot be written ({error.strerror}); name another file with --out") from error


def _csv(rows: "pa.Table") -> bytes:
    import pyarrow as pa
    from pyarrow import csv

    buffer = pa.BufferOutputStream()
    csv.write_csv(rows, buffer, csv.WriteOptions(quoting_style="needed"))
    return buffer.getvalue().to_pybytes()


def _parquet(rows: "pa.Table") -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = pa.BufferOutputStream()
    pq.write_table(rows, buffer, compression="zstd")
    return buffer.getvalue().to_pybytes()


def _json(rows: "pa.Table") -> Iterable[bytes]:
    yield b"["
    before = b"\n"
    for batch in rows.to_batches(max_chunksize=10_000):
        for row in batch.to_pylist():
            text = json.dumps({name: _plain(value) for name, value in row.items()}, ensure_ascii=False, allow_nan=False)
            yield before + text.encode()
            before = b",\n"
    yield b"\n]\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value) if len(value.as_tuple().digits) <= _EXACT_DIGITS else str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, date):  # a datetime is one too
        return value.isoformat()
    return value


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}" if abs(value) < 1e6 else f"{value:.2f}"
    # what a client called something must not move the cursor, nor stand where another line stands
    text = "".join(c if c.isprintable() else " " if c.isspace() else ascii(c)[1:-1] for c in str(value))
    return text if len(text) <= _WIDEST else text[: _WIDEST - 3] + "..."
