"""Rows by name: a table of the current snapshot, or a named query run on it or on the input files."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from ..sql.catalog import Parameter, queries
from ..sql.contract import BESIDE_TABLES, OUTPUT_TABLES
from ..sql.errors import SettingsError, nearest

if TYPE_CHECKING:
    import pyarrow as pa

    from ..sql.settings import Settings
    from ..sql.snapshot import Snapshot, Warehouse

ENGINES = ("duckdb", "spark")


def listing() -> list[dict[str, Any]]:
    """One row per name that can be asked for: ``name``, ``parameters`` and ``meaning``, sorted."""
    rows = {
        name: {"name": name, "parameters": "", "meaning": f"(table of the snapshot) {table.meaning}"}
        for name, table in OUTPUT_TABLES.items()
    }
    rows |= {
        name: {"name": name, "parameters": "", "meaning": f"(table beside the snapshots) {table.meaning}"}
        for name, table in BESIDE_TABLES.items()
    }
    for name, query in queries().items():
        parameters = ", ".join(f"{p.name} {p.type}" for p in query.parameters)
        rows[name] = {"name": name, "parameters": parameters, "meaning": query.meaning}
    return [rows[name] for name in sorted(rows)]


def parse_parameters(name: str, given: Sequence[str]) -> dict[str, Any]:
    """Read ``NAME=VALUE`` words by the types in the query's header.

    Raises
    ------
    SettingsError
        A word is no ``NAME=VALUE``, the query takes no such parameter, or the value is not of its type.

    Examples
    --------
    >>> parse_parameters("no_such_query", [])
    {}
    """
    query = queries().get(name)
    known = {} if query is None else {parameter.name: parameter for parameter in query.parameters}
    values = {}
    for word in given:
        key, equals, text = word.partition("=")
        if not equals:
            raise SettingsError(
                f"--param {word!r} is not NAME=VALUE; for instance --param {next(iter(known), 'n')}=..."
            )
        if key not in known:
            takes = ", ".join(known) or "none"
            raise SettingsError(f"{name} takes no parameter {key!r}{nearest(key, list(known))}; it takes: {takes}")
        values[key] = _typed(known[key], text)
    return values


def rows(
    name: str,
    parameters: Mapping[str, Any],
    *,
    settings: "Callable[[], Settings]",
    warehouse: "Callable[[], Warehouse]",
    fresh: bool = False,
    engine: str = "duckdb",
) -> "pa.Table":
    """Return the rows of that name.

    A table of the snapshot is read as it was published, any other query is run on the snapshot's tables; the input
    files are read only where a query needs them, or ``fresh`` or an engine asks for it.

    Parameters
    ----------
    name : str
        A table of a snapshot or a file of ``sql/queries``.
    parameters : mapping
        Values for the query's parameters; those left out are as the snapshot was built with.
    settings, warehouse : callable
        Called only where they are needed.
    fresh : bool
        Read the input files even where the snapshot has the table.
    engine : str
        ``"duckdb"`` or ``"spark"``.

    Raises
    ------
    SettingsError
        There is no such name, engine or parameter, or a date is later than the snapshot's.
    WarehouseError
        There is no snapshot to read.
    """
    if engine not in ENGINES:
        raise SettingsError(f"--engine {engine!r}: allowed are {', '.join(ENGINES)}{nearest(engine, ENGINES)}")
    known = sorted({*queries(), *OUTPUT_TABLES, *BESIDE_TABLES})
    if name not in known:
        raise SettingsError(f"no query or table {name!r}{nearest(name, known)}; 'regulars query' lists them all")
    if name in BESIDE_TABLES:
        return warehouse().beside(name)
    if not fresh and engine == "duckdb":
        if name in OUTPUT_TABLES and not parameters:
            return warehouse().current().read(name)
        if name in queries() and not _reads_inputs(name):
            return _ordered(name, _on_snapshot(name, parameters, warehouse().current()))
    if name not in queries():
        raise SettingsError(f"{name} is made by the models, not by a query: it is read from the snapshot alone")
    from ..sql.database import connect

    runner = None
    if engine == "spark":
        from ..sql.spark import SparkEngine

        runner = SparkEngine()
    with connect(settings(), engine=runner) as database:
        return _ordered(name, database.query(name, **parameters))


def _ordered(name: str, table: "pa.Table") -> "pa.Table":
    # in the order of the grain, unless the statement ends in an order of its own
    query = queries()[name]
    if not query.grain or "ORDER BY" in query.sql.rpartition(")")[2]:
        return table
    return table.sort_by([(column, "ascending") for column in query.grain])


def _reads_inputs(name: str) -> bool:
    """Tell whether a query reads, through others, anything but tables of a snapshot."""
    makers = {query.output: query for query in queries().values()}
    waiting, seen = list(queries()[name].inputs), set()
    while waiting:
        table = waiting.pop()
        if table in OUTPUT_TABLES or table in seen:
            continue
        if table not in makers:
            return True
        seen.add(table)
        waiting += makers[table].inputs
    return False


def _on_snapshot(name: str, parameters: Mapping[str, Any], snapshot: "Snapshot") -> "pa.Table":
    from ..sql.engine import DuckDBEngine
    from ..sql.pipeline import Pipeline

    for key, value in parameters.items():
        if isinstance(value, date) and value > snapshot.as_of:
            raise SettingsError(
                f"--param {key}={value} is later than {snapshot.as_of}, the as-of date of run {snapshot.run_id}; "
                "--fresh asks the input files"
            )
    engine = DuckDBEngine()
    with closing(engine):
        for table in snapshot.tables():
            engine.register_parquet(table, str(snapshot.table_path(table)))
        given = {key: value for key, value in snapshot.manifest["parameters"].items() if value is not None}
        return Pipeline(engine, given, given=snapshot.tables()).run(name, **parameters)


def _typed(parameter: Parameter, text: str) -> Any:
    kind = parameter.type.partition("(")[0]
    try:
        if kind == "DATE":
            return date.fromisoformat(text)
        if kind in ("BIGINT", "INTEGER"):
            return int(text)
        if kind == "DOUBLE":
            return float(text)
        if kind == "DECIMAL":
            return Decimal(text)
        if kind == "BOOLEAN":
            return {"true": True, "false": False}[text.lower()]
    except (ValueError, KeyError, InvalidOperation) as error:
        raise SettingsError(f"--param {parameter.name}={text!r} is no {parameter.type}") from error
    return text
