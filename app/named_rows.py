"""Rows by name: a table of the current snapshot, or a named query run on it or on the input files."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from ..sql.catalog import Parameter, queries
from ..sql.contract import OUTPUT_TABLES
from ..sql.errors import MissingExtraError, SettingsError, nearest

if TYPE_CHECKING:
    import pyarrow as pa

    from ..sql.settings import Settings
    from ..sql.snapshot import Warehouse

ENGINES = ("duckdb", "spark")


def listing() -> list[dict[str, Any]]:
    """One row per name that can be asked for: ``name``, ``parameters`` and ``meaning``, sorted."""
    rows = {
        name: {"name": name, "parameters": "", "meaning": f"(table of the snapshot) {table.meaning}"}
        for name, table in OUTPUT_TABLES.items()
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

    A table of the snapshot comes from the snapshot, unless parameters, ``fresh`` or an engine ask for a run of its
    query on the input files.

    Parameters
    ----------
    name : str
        A table of a snapshot or a file of ``sql/queries``.
    parameters : mapping
        Values for the query's parameters; those left out come from the settings.
    settings, warehouse : callable
        Called only where they are needed.
    fresh : bool
        Read the input files even where the snapshot has the table.
    engine : str
        ``"duckdb"`` or ``"spark"``.

    Raises
    ------
    SettingsError
        There is no such name or engine.
    WarehouseError
        There is no snapshot to read.
    """
    if engine not in ENGINES:
        raise SettingsError(f"--engine {engine!r}: allowed are {', '.join(ENGINES)}{nearest(engine, ENGINES)}")
    known = sorted({*queries(), *OUTPUT_TABLES})
    if name not in known:
        raise SettingsError(f"no query or table {name!r}{nearest(name, known)}; 'regulars query' lists them all")
    on_inputs = fresh or parameters or engine != "duckdb" or name not in OUTPUT_TABLES
    if not on_inputs:
        return warehouse().current().read(name)
    if name not in queries():
        raise SettingsError(f"{name} is made by the models, not by a query: it is read from the snapshot alone")
    from ..sql.database import connect

    with connect(settings(), engine=_spark() if engine == "spark" else None) as database:
        return database.query(name, **parameters)


def _spark() -> Any:
    try:
        from ..sql.spark import SparkEngine
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"--engine spark needs the package {error.name!r} and Java 17; install it with: "
            "pip install 'regulars[spark]'"
        ) from error
    return SparkEngine()


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
