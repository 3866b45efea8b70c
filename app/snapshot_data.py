"""The answers of one published snapshot: the one module of the app that asks for figures in SQL.

A snapshot is immutable, so an answer once given stays true and is kept.
"""

import logging
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb

from ..sql import catalog, contract
from ..sql.engine import DuckDBEngine, QueryError
from ..sql.errors import WarehouseError
from ..sql.snapshot import Warehouse
from .listing import Column, ListFilters, Listing
from .listings import CUSTOMERS, LISTINGS
from .shown_sql import as_shown, told

if TYPE_CHECKING:
    from datetime import date

    import pyarrow as pa

    from ..sql.snapshot import Snapshot

log = logging.getLogger(__name__)

MOST_ROWS = 200
ENOUGH_CUSTOMERS = 500
ENOUGH_DAYS = 180
_KEPT_ANSWERS = 256
_EXPORT_PART = 50_000
_EXPORT_BATCH = 20_000
_T = TypeVar("_T")


class SnapshotGap(WarehouseError):
    """The snapshot lacks a table or column that a page needs: another version of regulars made it."""


@dataclass(frozen=True)
class Answer:
    """Rows with the statement that gave them, as a reader may see it."""

    rows: "pa.Table"
    sql: str

    @cached_property
    def records(self) -> list[dict[str, Any]]:
        """The rows as mappings."""
        return self.rows.to_pylist()


class SnapshotData:
    """The answers of one snapshot. Every method that needs a table raises :class:`SnapshotGap` where it is missing."""

    def __init__(self, snapshot: "Snapshot", warehouse: Warehouse, engine: DuckDBEngine) -> None:
        self.snapshot = snapshot
        self.warehouse = warehouse
        self.run_id = snapshot.run_id
        self.manifest: Mapping[str, Any] = snapshot.manifest
        self.engine = engine
        self._gaps = self._bind_views()
        self._answers: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.Lock()
        self._making = threading.Lock()
        self._made: set[str] = set()

    # what the snapshot says of itself

    @property
    def as_of(self) -> "date":
        """The date every figure speaks from."""
        return self.snapshot.as_of

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings it was built with."""
        return self.manifest.get("settings") or {}

    @property
    def currency(self) -> str:
        """ISO code of the reporting currency; "" where the settings have none."""
        return str(_section(self.settings, "shop").get("currency") or "")

    @property
    def horizon(self) -> str:
        """How far ahead values look, such as ``52 weeks``."""
        value = _section(self.settings, "value")
        length = value.get("horizon", 52)
        return f"{length:g} {value.get('time_unit', 'week')}{'' if length == 1 else 's'}"

    @property
    def model_version(self) -> str:
        """Model, fingerprint and package version behind the scores; "" where nothing is scored."""
        if "customer_scores" in self._gaps:
            return ""
        found = self._ask("model_version", "SELECT min(model_version) AS model_version FROM customer_scores")
        return str(found.records[0]["model_version"] or "")

    @property
    def verdict(self) -> str:
        """Which model won the holdout, and against what; "" where the run does not say."""
        return str(_section(self.manifest, "model").get("verdict") or "")

    @property
    def notes(self) -> list[str]:
        """What the build wants a reader to know."""
        return [str(note) for note in self.manifest.get("notes") or ()]

    def counted_kpis(self) -> frozenset[str]:
        """Names of the figures that are counted in SQL; every other one comes from a model."""
        made = catalog.queries().get("base_kpis")
        return frozenset(re.findall(r"'(\w+)'", made.text)) if made else frozenset()

    def previous_kpis(self) -> "tuple[date, dict[str, float]] | None":
        """Return as-of date and figures of the latest snapshot of an earlier date; None where there is none."""
        earlier = []
        for run in self.warehouse.runs():
            with suppress(WarehouseError):  # one that is damaged is no other's fault
                if run.as_of < self.as_of and "kpis" in run.tables():
                    earlier.append(run)
        with suppress(WarehouseError):
            before = max(earlier, key=lambda run: (run.as_of, run.run_id), default=None)
            rows = before.read("kpis").to_pylist() if before else []
            found = {row["kpi"]: row["value"] for row in rows if row.get("value") is not None}
            return (before.as_of, found) if before else None
        return None

    # whole tables, small ones

    def table(self, name: str, order_by: str = "") -> Answer:
        """Return all of one small table; its SQL goes on with the named queries that made it, as its lineage says."""
        self._need(name)
        columns = ", ".join(contract.OUTPUT_TABLES[name].column_names)
        answer = self._ask(
            f"table:{name}", f"SELECT {columns} FROM {name}" + (f" ORDER BY {order_by}" if order_by else "")
        )
        return Answer(answer.rows, ";\n\n".join(filter(None, (answer.sql, self.lineage(name)))))

    def kpis(self) -> Answer:
        """Return the figures at the head of the overview, in the order of the table."""
        return self.table("kpis")

    def order_tracking(self) -> Answer:
        """Return actual and expected repeat purchases by model and week."""
        return self.table("order_tracking", "model, week")

    def model_reports(self) -> Answer:
        """Return the models and baselines, the winner first."""
        return self.table("model_reports", "rank, model")

    def check_results(self) -> Answer:
        """Return what each check saw, the failed ones first."""
        return self.table("check_results", "passed, severity, check_name")

    def money_reconciliation(self) -> Answer:
        """Return money in, used and set aside."""
        return self.table("money_reconciliation", "disposition, reason, currency")

    def ask(self, name: str, values: Mapping[str, Any] | None = None, *, optional: Collection[str] = ()) -> Answer:
        """Return the rows of one of the app's own queries, ``app/queries/NAME.sql``, with its parameters bound.

        The tables and listings that its header names as inputs must be there, but for ``optional`` ones, which are
        empty where the snapshot has none.
        """
        found = query(name)
        for needed in found.inputs:
            if needed in LISTINGS:
                self._make(LISTINGS[needed])
            elif needed not in optional:
                self._need(needed)
        return self._ask(name, found.sql, values)

    def beside(self, name: str) -> Answer:
        """Return a table that lies beside the snapshots, as `contract.BESIDE_TABLES` has it; empty where there is none.

        Raises
        ------
        WarehouseError
            Its file cannot be read, or an earlier version wrote it without a column.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self.warehouse.path / f"{name}.parquet"
        said = f"-- {path.name}, beside the runs: {contract.BESIDE_TABLES[name].meaning}"
        if not path.exists():
            return Answer(pa.table({}), said)
        again = "the next 'regulars build' writes it anew"
        try:
            rows = pq.read_table(path)
        except (OSError, pa.ArrowException) as error:
            # where it lies on the server is nobody's business here
            why = str(error).replace(f"{path.parent}/", "")
            raise WarehouseError(f"the file {path.name}, beside the runs, cannot be read ({why}); {again}") from error
        missing = [name for name in contract.BESIDE_TABLES[name].column_names if name not in rows.column_names]
        if missing:
            older = f"the file {path.name}, beside the runs, has no {missing[0]}: an earlier version wrote it"
            raise WarehouseError(f"{older}; {again}")
        return Answer(rows, said)

    def lineage(self, name: str) -> str:
        """Return the SQL that made a table, as the run's lineage names it; "" where a model did."""
        facts = _section(self.manifest.get("tables") or {}, name)
        makers = [maker.strip() for maker in str(facts.get("made_by", "")).split(",") if maker.strip()]
        if not makers:
            return ""
        known = catalog.queries()
        said = f"-- {name} is made by {', '.join(makers)} from {', '.join(facts.get('inputs', ()))}."
        texts = [known[maker].text.strip() for maker in makers if maker in known]
        given = {k: v for k, v in _section(self.manifest, "parameters").items() if any(f"${k}" in t for t in texts)}
        return "\n".join([said, *told(given), "", ";\n\n".join(texts)]).strip()

    # customers

    def segments(self) -> Answer:
        """Return customers and value by segment."""
        return self._customers_query("segments")

    def value_concentration(self) -> Answer:
        """Return the ranked value of customers in 200 steps, expected and past."""
        return self._customers_query("value_concentration")

    def customer_totals(self, filters: ListFilters) -> Answer:
        """Return one row: what the chosen customers come to."""
        return self._customers_query("customer_totals", filters)

    def total_interval(self) -> str:
        """What the interval of a total is, in words."""
        if self.lacks(contract.PORTFOLIO_TERMS.name):
            return "by customer, in the list; a new snapshot has it for totals too: regulars build --force"
        return "80%: each customer's own chance and the models' errors, without season or shocks"

    def recency_frequency(self, filters: ListFilters) -> Answer:
        """Return the chosen customers by repeat purchase days and days since the last one."""
        return self._customers_query("recency_frequency", filters)

    def page(self, filters: ListFilters, offset: int, rows: int) -> tuple[list[dict[str, Any]], int]:
        """Return one page of the chosen rows of a listing in their sort, and how many are chosen in all.

        Parameters
        ----------
        filters : ListFilters
            Which rows of which listing, and the sort.
        offset, rows : int
            The page; ``rows`` is cut to 200 whatever is asked.
        """
        total = self.count(filters)
        name = filters.listing.name
        condition, values = self._where(filters)
        order = filters.order_by()
        # row ids first, from the columns of the sort alone; the other columns only for the rows of the page
        sql = (
            f"SELECT {', '.join(self._listed(filters.listing))} FROM {name} WHERE rowid IN ("
            f"SELECT rowid FROM {name} WHERE {condition} ORDER BY {order} LIMIT $rows OFFSET $offset"
            f") ORDER BY {order}"
        )
        values |= {"rows": min(rows, MOST_ROWS), "offset": min(offset, total)}
        return self._run(sql, values).to_pylist(), total

    def count(self, filters: ListFilters) -> int:
        """Return how many rows of a listing are chosen."""
        self._make(filters.listing)
        condition, values = self._where(filters)
        name = filters.listing.name
        answer = self._ask(f"count:{name}", f"SELECT count(*) AS rows FROM {name} WHERE {condition}", values)
        return int(answer.records[0]["rows"])

    def ids(self, filters: ListFilters) -> "pa.ChunkedArray":
        """Return the ids of all chosen rows of a listing, sorted: its first column, without NULL."""
        self._make(filters.listing)
        condition, values = self._where(filters)
        name = filters.listing.columns[0].name
        sql = f"SELECT {name} FROM {filters.listing.name} WHERE {condition} AND {name} IS NOT NULL ORDER BY {name}"
        return self._run(sql, values).column(0)

    def stream(self, filters: ListFilters) -> "pa.RecordBatchReader":
        """Return all chosen rows of a listing in their sort, read as they are asked for."""
        import pyarrow as pa

        self._make(filters.listing)
        condition, values = self._where(filters)
        name = filters.listing.name
        columns = ", ".join(self._listed(filters.listing)).replace("segment", "CAST(segment AS VARCHAR) AS segment")
        # only the places of the rows are sorted in memory; the rows come part by part
        sort = f"SELECT rowid AS _place FROM {name} WHERE {condition} ORDER BY {filters.order_by()}"
        places = self._run(sort, values).column(0)
        sql = f"SELECT {columns} FROM _asked JOIN {name} ON {name}.rowid = _asked._place ORDER BY _asked._turn"

        def part(start: int) -> "pa.Table":
            asked = places.slice(start, _EXPORT_PART)
            turns = pa.array(range(len(asked)), pa.int64())
            with self.engine.cursor() as cursor:
                cursor.register("_asked", pa.table({"_place": asked, "_turn": turns}))
                return self._saying(lambda: cursor.sql(sql).to_arrow_table())

        schema = part(len(places)).schema
        rows = (
            batch
            for start in range(0, len(places), _EXPORT_PART)
            for batch in part(start).cast(schema).to_batches(_EXPORT_BATCH)
        )
        return pa.RecordBatchReader.from_batches(schema, rows)

    def columns(self, listing: Listing) -> list[Column]:
        """Return the columns of a listing that this snapshot can fill; of too few customers those that are counted."""
        counted = listing is CUSTOMERS and self.enough_data()
        there = [column for column in listing.columns if not column.table or column.table not in self._gaps]
        return [column for column in there if not (counted and column.predicted)]

    def lacks(self, table: str) -> str:
        """Say why a table of the snapshot cannot be used; "" where it can."""
        return self._gaps.get(table, "")

    def outdated(self, table: str) -> SnapshotGap | None:
        """Return why a table that the snapshot holds cannot be used; None where it can, or where there is none."""
        return self._gap(table) if table in self._gaps and table in self.snapshot.tables() else None

    def _listed(self, listing: Listing) -> list[str]:
        return [column.name for column in self.columns(listing)]

    def enough_data(self) -> str:
        """Return "" where predictions can be shown, else why not, such as ``312 of 500 customers``."""
        row = self.customer_totals(CUSTOMERS.everything).records[0]
        if row["customers"] < ENOUGH_CUSTOMERS:
            return f"{row['customers']:,} of {ENOUGH_CUSTOMERS:,} customers"
        span = (self.as_of - row["first_order_on"]).days
        return f"{span:,} of {ENOUGH_DAYS:,} days of history" if span < ENOUGH_DAYS else ""

    # how it is done

    def _bind_views(self) -> dict[str, str]:
        gaps: dict[str, str] = {}
        there = set(self.snapshot.tables())
        for name, table in contract.OUTPUT_TABLES.items():
            try:
                if name not in there:
                    gaps[name] = f"has no table {name}"
                else:
                    self.engine.register_parquet(name, str(self.snapshot.table_path(name)))
                    columns = self.engine.columns(name)
                    missing = [column for column in table.column_names if column not in columns]
                    gaps |= {name: f"has no {missing[0]} in table {name}"} if missing else {}
            except QueryError as error:
                log.warning("run %s: %s cannot be read: %s", self.run_id, name, error)
                gaps[name] = f"has no readable table {name}"
            if name in gaps:  # what can do without it finds it empty
                self.engine.view(name, _nothing_of(table))
        self._bind_planned_items()
        self.engine.connection.execute("SET lock_configuration = true")
        return gaps

    def _bind_planned_items(self) -> None:
        """Show as ``planned_items`` what each markdown plan was made of; without a row where it cannot be read."""
        paths = [str(path) for path in sorted(self.snapshot.path.glob("models/markdown_*/items.parquet"))]
        columns = "item AS name, regular_price, current_discount"
        listed = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
        plan = "regexp_extract(filename, 'markdown_([^/]+)/items[.]parquet$', 1) AS plan"
        sql = f"SELECT {plan}, {columns} FROM read_parquet([{listed}], union_by_name = true, filename = true)"
        none = "SELECT '' AS plan, '' AS name, 0.0 AS regular_price, 0.0 AS current_discount WHERE false"
        try:
            self.engine.view("planned_items", sql if paths else none)
        except QueryError as error:
            log.warning("run %s: what its plans were made of cannot be read: %s", self.run_id, error)
            self.engine.view("planned_items", none)

    def _need(self, *names: str) -> None:
        for name in names:
            if name in self._gaps:
                raise self._gap(name)

    def _gap(self, name: str) -> SnapshotGap:
        made_by = self.manifest.get("regulars_version") or "another version"
        return SnapshotGap(
            f"run {self.run_id}, made by regulars {made_by}, {self._gaps[name]}, "
            "which this page needs; make a new snapshot: regulars build --force"
        )

    def _where(self, filters: ListFilters) -> tuple[str, dict[str, Any]]:
        """The condition; a column of a table that the snapshot lacks would choose nobody, and says so instead."""
        listing = filters.listing
        used = [listing.range_of[key].column for key in filters.ranges]
        used += [listing.choice_of[key].column for key in filters.choices]
        self._need(*(listing.column_of[name].table for name in used))
        return filters.where()

    def _make(self, listing: Listing) -> None:
        with self._making:
            if listing.name not in self._made:
                found = query(listing.name)
                self._need(*(name for name in found.inputs if name not in listing.optional))
                self._saying(lambda: self.engine.materialize(listing.name, found.sql))
                if listing is CUSTOMERS:
                    self._saying(self._number_segments)
                self._made.add(listing.name)

    def _number_segments(self) -> None:
        # sorts by a number, in the order of the names, instead of by text: five times as fast at a million rows
        found = self.engine.query("SELECT DISTINCT segment FROM customers WHERE segment IS NOT NULL")
        names = sorted({*contract.SEGMENTS, *found["segment"].to_pylist()})
        listed = ", ".join("'" + name.replace("'", "''") + "'" for name in names)
        with self.engine.cursor() as cursor:
            cursor.execute(f"CREATE TYPE segment_name AS ENUM ({listed})")
            cursor.execute("ALTER TABLE customers ALTER COLUMN segment TYPE segment_name")

    def _customers_query(self, name: str, filters: ListFilters | None = None) -> Answer:
        self._make(CUSTOMERS)
        sql, values = query(name).sql, {}
        if filters is not None:
            condition, values = self._where(filters)
            # before the query's own parts, where it has any
            rest = f", {sql.removeprefix('WITH ')}" if sql.startswith("WITH ") else f"\n{sql}"
            sql = f"WITH filtered_customers AS (SELECT * FROM customers WHERE {condition}){rest}"
        return self._ask(name, sql, values)

    def _ask(self, name: str, sql: str, values: Mapping[str, Any] | None = None) -> Answer:
        key = (name, sql, repr(sorted((values or {}).items())))
        with self._lock:
            if key in self._answers:
                self._answers.move_to_end(key)
                return self._answers[key]
        answer = Answer(self._run(sql, values), as_shown(sql, values or {}, {n: query(n).sql for n in LISTINGS}))
        with self._lock:
            self._answers[key] = answer
            while len(self._answers) > _KEPT_ANSWERS:
                self._answers.popitem(last=False)
        return answer

    def _run(self, sql: str, values: Mapping[str, Any] | None = None) -> "pa.Table":
        return self._saying(lambda: self.engine.query(sql, values))

    def _saying(self, work: Callable[[], _T]) -> _T:
        try:
            return work()
        except (QueryError, duckdb.Error) as error:
            if not (said := self.snapshot.unreadable()):
                raise
            raise WarehouseError(said) from error


@cache
def query(name: str) -> catalog.Query:
    """Return one of the app's own queries by the name of its file."""
    text = files(__name__.rpartition(".")[0]).joinpath("queries", f"{name}.sql").read_text(encoding="utf-8")
    return catalog.parse_query(name, text)


def _nothing_of(table: contract.Table) -> str:
    """A SELECT of a table's columns without a row: what stands for a table that a snapshot lacks."""
    return f"SELECT {', '.join(f'CAST(NULL AS {c.type}) AS {c.name}' for c in table.columns)} WHERE false"


def _section(settings: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = settings.get(name)
    return section if isinstance(section, Mapping) else {}
