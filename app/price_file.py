"""The approved price file, and the record of what was priced, when, from which run and with which overrides."""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..sql.durability import canonical_json
from ..sql.errors import SettingsError, WarehouseError

if TYPE_CHECKING:
    import pyarrow as pa

# beside the logs of target lists, below their folder: what lies in it itself is read back as sends
FOLDER = ("decisions", "prices")
ENDINGS = (".csv", ".parquet")
_METADATA = b"regulars.prices"
_WEEK = timedelta(days=6)


@dataclass(frozen=True)
class PricedWeek:
    """The price of an item (in a store, '' for all) in one week, beside what the plan had said."""

    item: str
    store_id: str
    week: date
    price: Decimal
    regular_price: Decimal
    planned_price: Decimal
    overridden: bool = False


def money(value: float) -> Decimal:
    """Return an amount to the cent.

    Examples
    --------
    >>> money(2.675), money(4.1)
    (Decimal('2.68'), Decimal('4.10'))
    """
    return Decimal(repr(value)).quantize(Decimal("0.01"), ROUND_HALF_UP)


def price_file(weeks: Iterable[PricedWeek], plan: str, run_id: str, decision_id: str) -> "pa.Table":
    """Return the rows of the price file: weeks of one price that follow each other are one row.

    ``item, store_id, valid_from, valid_to`` (the last day, included), ``price, regular_price, discount, plan, run_id,
    decision_id``.

    Examples
    --------
    >>> two = [PricedWeek("tee", "", date(2018, 1, 1 + 7 * t), *[Decimal("8.00"), Decimal("10.00"), Decimal("8.00")])
    ...        for t in range(2)]
    >>> price_file(two, "spring", "r", "d").select(["valid_from", "valid_to", "price", "discount"]).to_pylist()
    [{'valid_from': datetime.date(2018, 1, 1), 'valid_to': datetime.date(2018, 1, 14), 'price': Decimal('8.00'),
      'discount': Decimal('0.2000')}]
    """
    import pyarrow as pa

    spans: list[dict[str, Any]] = []
    for one in sorted(weeks, key=lambda w: (w.item, w.store_id, w.week)):
        same = {"item": one.item, "store_id": one.store_id, "price": one.price, "regular_price": one.regular_price}
        last = spans[-1] if spans else {}
        if spans and all(last[k] == v for k, v in same.items()) and last["valid_to"] + timedelta(1) == one.week:
            last["valid_to"] = one.week + _WEEK
            continue
        off = (1 - one.price / one.regular_price).quantize(Decimal("0.0001"), ROUND_HALF_UP)
        said = {"valid_from": one.week, "valid_to": one.week + _WEEK, "discount": off}
        spans.append({**same, **said, "plan": plan, "run_id": run_id, "decision_id": decision_id})
    schema = pa.schema(
        [
            ("item", pa.string()),
            ("store_id", pa.string()),
            ("valid_from", pa.date32()),
            ("valid_to", pa.date32()),
            ("price", pa.decimal128(18, 2)),
            ("regular_price", pa.decimal128(18, 2)),
            ("discount", pa.decimal128(6, 4)),
            ("plan", pa.string()),
            ("run_id", pa.string()),
            ("decision_id", pa.string()),
        ]
    )
    return pa.Table.from_pylist(spans, schema)


def file_bytes(rows: "pa.Table", ending: str) -> bytes:
    """Return the price file's content: ``.csv`` that a spreadsheet can open without harm, or ``.parquet``.

    Raises
    ------
    SettingsError
        Another ending.
    """
    from .export import csv_stream, parquet_stream

    if ending not in ENDINGS:
        raise SettingsError(f"a price file is a .csv or .parquet file, not {ending!r}; name one with --out")
    reader = rows.to_reader()
    return b"".join(csv_stream(reader) if ending == ".csv" else parquet_stream(reader))


def record_table(weeks: Sequence[PricedWeek], facts: Mapping[str, Any]) -> "pa.Table":
    """Return the record: a row per item and week, the facts (plan, run, day, overrides, ...) in its metadata."""
    import pyarrow as pa

    schema = pa.schema(
        [
            ("plan", pa.string()),
            ("item", pa.string()),
            ("store_id", pa.string()),
            ("week", pa.date32()),
            ("price", pa.decimal128(18, 2)),
            ("regular_price", pa.decimal128(18, 2)),
            ("planned_price", pa.decimal128(18, 2)),
            ("overridden", pa.bool_()),
            ("decided_on", pa.date32()),
            ("run_id", pa.string()),
            ("decision_id", pa.string()),
        ],
        {_METADATA: canonical_json(dict(facts)).encode()},
    )
    shared = {
        "plan": facts["plan"],
        "decided_on": date.fromisoformat(facts["decided_on"]),
        "run_id": facts["run_id"],
        "decision_id": facts["decision_id"],
    }
    rows = [{**vars(one), **shared} for one in sorted(weeks, key=lambda w: (w.item, w.store_id, w.week))]
    return pa.Table.from_pylist(rows, schema)


@dataclass(frozen=True)
class Record:
    """One record of priced items, by what its metadata say."""

    path: Path
    facts: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> "Record":
        """Read the facts of a record.

        Raises
        ------
        WarehouseError
            It cannot be read, or is none.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            said = (pq.read_schema(path).metadata or {}).get(_METADATA)
        except (OSError, pa.ArrowException) as error:
            raise WarehouseError(f"{path}: cannot be read ({error}); restore it, or move it away") from error
        if said is None:
            raise WarehouseError(f"{path}: is no record of prices; move it out of that folder")
        return cls(path, json.loads(said))

    def prices(self) -> dict[tuple[str, str, date], tuple[Decimal, Decimal]]:
        """Return price and regular price by item, store and week.

        Raises
        ------
        WarehouseError
            It cannot be read.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = ["item", "store_id", "week", "price", "regular_price"]
        try:
            rows = pq.read_table(self.path, columns=columns).to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise WarehouseError(f"{self.path}: cannot be read ({error}); restore it, or move it away") from error
        return {(r["item"], r["store_id"], r["week"]): (r["price"], r["regular_price"]) for r in rows}


def find_records(warehouse: Path, plan: str = "") -> list[Record]:
    """Return the records of a plan, or of all plans, by day and name."""
    folder = warehouse.joinpath(*FOLDER)
    found = [Record.read(path) for path in sorted(folder.glob(f"{plan or '*'}-????????????????.parquet"))]
    kept = [record for record in found if not plan or record.facts["plan"] == plan]
    return sorted(kept, key=lambda record: (record.facts["decided_on"], record.path.name))


def record_bytes(weeks: Sequence[PricedWeek], facts: Mapping[str, Any]) -> bytes:
    """Return the content of a record, a Parquet file."""
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(record_table(weeks, facts), buffer, compression="zstd")
    return buffer.getvalue()
