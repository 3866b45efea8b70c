"""Where SQL runs: one small interface, with DuckDB as the embedded default. Spark's is in ``spark.py``."""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import duckdb

from .errors import RegularsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

Parameters = Mapping[str, Any]


@dataclass(frozen=True)
class FileSet:
    """Files that are read as one table: their paths or addresses, ``"parquet"`` or ``"csv"``, and how to read them."""

    files: tuple[str, ...]
    format: str
    hive_partitioning: bool = False
    csv: Mapping[str, Any] = field(default_factory=dict)


class QueryError(RegularsError):
    """A statement failed; the text carries the statement itself."""

    exit_code = 1


class Engine(ABC):
    """Runs statements written in the portable subset, with every value bound by name (``$as_of``)."""

    name: str

    @abstractmethod
    def query(self, sql: str, parameters: Parameters | None = None) -> "pa.Table":
        """Run one SELECT and return all its rows."""

    @abstractmethod
    def materialize(self, table: str, sql: str, parameters: Parameters | None = None) -> int:
        """Make ``table`` from one SELECT, replacing it; return its row count."""

    @abstractmethod
    def register(self, table: str, rows: "pa.Table") -> None:
        """Make ``table`` from rows in memory, replacing it."""

    @abstractmethod
    def register_parquet(self, table: str, path: str) -> None:
        """Make ``table`` a view of a Parquet file or glob."""

    @abstractmethod
    def register_files(self, table: str, files: FileSet) -> None:
        """Make ``table`` a view of files as they are, columns matched by name; CSV and partition values are text."""

    @abstractmethod
    def view(self, table: str, sql: str) -> None:
        """Make ``table`` a view of one SELECT, replacing it."""

    @abstractmethod
    def columns(self, table: str) -> dict[str, str]:
        """Return the column types of a table or view, by name, in order."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the engine's resources."""


class DuckDBEngine(Engine):
    """DuckDB in this process.

    Parameters
    ----------
    database : str
        A path, or ``":memory:"``.
    threads : int, optional
        How many threads DuckDB may use; its own default where not given.
    memory_limit : str, optional
        For instance ``"4GB"``; DuckDB spills to ``temp_directory`` past it.
    temp_directory : str, optional
        Where DuckDB spills to.
    """

    name = "duckdb"

    def __init__(
        self,
        database: str = ":memory:",
        *,
        threads: int | None = None,
        memory_limit: str | None = None,
        temp_directory: str | None = None,
    ) -> None:
        config: dict[str, Any] = {}
        if threads is not None:
            config["threads"] = threads
        if memory_limit is not None:
            config["memory_limit"] = memory_limit
        if temp_directory is not None:
            config["temp_directory"] = temp_directory
        self.connection = duckdb.connect(database, config=config)
        self.connection.execute("SET GLOBAL TimeZone = 'UTC'")

    @contextmanager
    def cursor(self) -> "Iterator[duckdb.DuckDBPyConnection]":
        """One cursor for one statement at a time; safe from any thread."""
        cursor = self.connection.cursor()
        try:
            yield cursor
        finally:
            cursor.close()

    def query(self, sql: str, parameters: Parameters | None = None) -> "pa.Table":
        with self.cursor() as cursor, _saying(sql):
            return cursor.sql(sql, params=dict(parameters or {})).to_arrow_table()

    def materialize(self, table: str, sql: str, parameters: Parameters | None = None) -> int:
        with self.cursor() as cursor, _saying(sql):
            cursor.execute(f'CREATE OR REPLACE TABLE "{table}" AS {sql}', dict(parameters or {}))
            row = cursor.execute(f'SELECT count(*) FROM "{table}"').fetchone()
            return int(row[0]) if row else 0

    def register(self, table: str, rows: "pa.Table") -> None:
        with self.cursor() as cursor, _saying(table):
            cursor.register("_incoming", rows)
            cursor.execute(f'CREATE OR REPLACE TABLE "{table}" AS SELECT * FROM _incoming')
            cursor.unregister("_incoming")

    def register_parquet(self, table: str, path: str) -> None:
        literal = path.replace("'", "''")
        with self.cursor() as cursor, _saying(path):
            cursor.execute(f"CREATE OR REPLACE VIEW \"{table}\" AS SELECT * FROM read_parquet('{literal}')")

    def register_files(self, table: str, files: FileSet) -> None:
        self.view(table, f"SELECT * FROM {reader_sql(files)}")

    def view(self, table: str, sql: str) -> None:
        with self.cursor() as cursor, _saying(sql):
            cursor.execute(f'CREATE OR REPLACE VIEW "{table}" AS {sql}')

    def columns(self, table: str) -> dict[str, str]:
        with self.cursor() as cursor, _saying(table):
            rows = cursor.execute(f'DESCRIBE "{table}"').fetchall()
        return {str(row[0]): str(row[1]) for row in rows}

    def close(self) -> None:
        self.connection.close()


def reader_sql(files: FileSet) -> str:
    """Return the DuckDB table function that reads the files as one table.

    Columns are matched by name; every CSV column and every value of a hive partition is text, so that an id keeps its
    leading zeros.

    Examples
    --------
    >>> reader_sql(FileSet(("orders/a.parquet",), "parquet"))
    "read_parquet(['orders/a.parquet'], union_by_name = true, hive_partitioning = false)"
    """
    options: dict[str, Any] = {"union_by_name": True, "hive_partitioning": files.hive_partitioning}
    if files.hive_partitioning:
        options["hive_types_autocast"] = False
    if files.format == "csv":
        options |= {"all_varchar": "types" not in files.csv, "header": "names" not in files.csv} | dict(files.csv)
    said = ", ".join(f"{name} = {_literal(value)}" for name, value in options.items())
    return f"read_{files.format}({_literal([literal_path(file) for file in files.files])}, {said})"


def literal_path(path: str) -> str:
    """Return a path that DuckDB takes for the one file of that name, whatever wildcards the name holds.

    Examples
    --------
    >>> literal_path("orders/week[1].parquet")
    'orders/week[[]1].parquet'
    """
    return path if "://" in path else re.sub(r"([*?\[])", r"[\1]", path)


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(_literal(item) for item in value)}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_literal(str(key))}: {_literal(item)}" for key, item in value.items()) + "}"
    return "'" + str(value).replace("'", "''") + "'"


@contextmanager
def _saying(sql: str) -> "Iterator[None]":
    try:
        yield
    except duckdb.Error as error:
        raise QueryError(f"{error}\n\nThe statement was:\n{sql}") from error
