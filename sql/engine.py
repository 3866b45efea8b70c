"""Where SQL runs: one small interface, with DuckDB as the embedded default. Spark's is in ``spark.py``."""

import os
import re
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import duckdb

from .errors import RegularsError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

Parameters = Mapping[str, Any]

_PATIENCE = 3.0  # seconds for statements in other threads to end, once told to


@dataclass(frozen=True)
class FileSet:
    """Files that are read as one table: their paths or addresses, ``"parquet"`` or ``"csv"``, and how to read them."""

    files: tuple[str, ...]
    format: str
    hive_partitioning: bool = False
    csv: Mapping[str, Any] = field(default_factory=dict)


class QueryError(RegularsError):
    """A statement failed; the text says why in a line and carries the statement itself."""

    exit_code = 1

    @classmethod
    def of(cls, error: BaseException, sql: str) -> "QueryError":
        """Make one from what an engine raised.

        Examples
        --------
        >>> print(QueryError.of(ValueError("no such column"), "SELECT x"))
        no such column
        <BLANKLINE>
        The statement was:
        SELECT x
        """
        return cls(f"{short_message(error)}\n\nThe statement was:\n{sql}")


class Engine(ABC):
    """Runs statements written in the portable subset, with every value bound by name (``$as_of``)."""

    name: str
    # Whether a common table expression is worked out once for each time that it is read.
    repeats_what_is_read_twice = False

    @abstractmethod
    def query(self, sql: str, parameters: Parameters | None = None) -> "pa.Table":
        """Run one SELECT and return all its rows."""

    @contextmanager
    def reader(
        self, sql: str, parameters: Parameters | None = None, *, batch_rows: int = 122_880
    ) -> "Iterator[pa.RecordBatchReader]":
        """Run one SELECT and read its rows batch by batch, so that a large table never stands in memory."""
        yield self.query(sql, parameters).to_reader(max_chunksize=batch_rows)

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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


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
        Where DuckDB spills to; a folder of this process below the system's own where not given.

    Raises
    ------
    SettingsError
        DuckDB does not take ``threads`` or ``memory_limit``.

    Examples
    --------
    >>> from datetime import date
    >>> with DuckDBEngine(threads=1) as engine:
    ...     engine.query("SELECT $day + 1 AS tomorrow", {"day": date(2011, 12, 8)}).to_pylist()
    [{'tomorrow': datetime.date(2011, 12, 9)}]
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
        # DuckDB's own default is a folder .tmp wherever the program was started.
        spill = temp_directory or str(Path(tempfile.gettempdir()) / f"regulars-{os.getpid()}")
        config: dict[str, Any] = {"temp_directory": spill}
        if threads is not None:
            config["threads"] = threads
        if memory_limit is not None:
            config["memory_limit"] = memory_limit
        try:
            self.connection = duckdb.connect(database, config=config)
        except duckdb.Error as error:
            raise SettingsError(
                f"DuckDB cannot start with threads = {threads} and memory_limit = {memory_limit!r} on {database!r}: "
                f"{short_message(error)}; change [build] in the settings"
            ) from None
        self.connection.execute("SET GLOBAL TimeZone = 'UTC'")
        self._cursors: set[duckdb.DuckDBPyConnection] = set()
        self._changed = threading.Condition()
        self._closed = False

    @contextmanager
    def cursor(self) -> "Iterator[duckdb.DuckDBPyConnection]":
        """One cursor for one statement at a time; safe from any thread.

        Raises
        ------
        QueryError
            The engine is closed.
        """
        with self._changed:
            if self._closed:
                raise QueryError("this engine is closed: it answers no more")
            cursor = self.connection.cursor()
            self._cursors.add(cursor)
        try:
            yield cursor
        finally:
            cursor.close()
            with self._changed:
                self._cursors.discard(cursor)
                self._changed.notify_all()

    def query(self, sql: str, parameters: Parameters | None = None) -> "pa.Table":
        with self.cursor() as cursor, _saying(sql):
            return cursor.sql(sql, params=dict(parameters or {})).to_arrow_table()

    @contextmanager
    def reader(
        self, sql: str, parameters: Parameters | None = None, *, batch_rows: int = 122_880
    ) -> "Iterator[pa.RecordBatchReader]":
        with self.cursor() as cursor, _saying(sql):
            yield cursor.sql(sql, params=dict(parameters or {})).to_arrow_reader(batch_rows)

    def materialize(self, table: str, sql: str, parameters: Parameters | None = None) -> int:
        with self.cursor() as cursor, _saying(sql):
            _create(cursor, "TABLE", table, sql, dict(parameters or {}))
            row = cursor.execute(f"SELECT count(*) FROM {_identifier(table)}").fetchone()
            return int(row[0]) if row else 0

    def register(self, table: str, rows: "pa.Table") -> None:
        with self.cursor() as cursor, _saying(f"-- {rows.num_rows} rows into {table}"):
            cursor.register("_incoming", rows)
            _create(cursor, "TABLE", table, "SELECT * FROM _incoming", {})
            cursor.unregister("_incoming")

    def register_parquet(self, table: str, path: str) -> None:
        self.view(table, f"SELECT * FROM read_parquet({_literal(path)})")

    def register_files(self, table: str, files: FileSet) -> None:
        self.view(table, f"SELECT * FROM {reader_sql(files)}")

    def view(self, table: str, sql: str) -> None:
        with self.cursor() as cursor, _saying(sql):
            _create(cursor, "VIEW", table, sql, {})

    def columns(self, table: str) -> dict[str, str]:
        statement = f"DESCRIBE {_identifier(table)}"
        with self.cursor() as cursor, _saying(statement):
            rows = cursor.execute(statement).fetchall()
        return {str(row[0]): str(row[1]) for row in rows}

    def close(self) -> None:
        """Let go of DuckDB; statements under way in other threads are ended first, each with an error there."""
        end = time.monotonic() + _PATIENCE
        with self._changed:
            self._closed = True
            while self._cursors and time.monotonic() < end:
                # again and again: one that has only just begun may not have heard
                for cursor in self._cursors:
                    cursor.interrupt()
                self._changed.wait(0.05)
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


def short_message(error: BaseException) -> str:
    r"""Return what an engine says went wrong, without the statement's text and without advice we do not allow.

    Examples
    --------
    >>> short_message(ValueError("Binder Error: no such column\n\nLINE 1: SELECT x"))
    'Binder Error: no such column'
    """
    lines = []
    for line in str(error).splitlines():
        if line.startswith(("LINE ", "Possible", "The statement was", "The search space", "Extension ", "For more")):
            break
        if line.strip():
            lines.append(line.strip())
    return " ".join(lines[:4])


def _create(cursor: duckdb.DuckDBPyConnection, kind: str, name: str, sql: str, parameters: dict[str, Any]) -> None:
    statement = f"CREATE OR REPLACE {kind} {_identifier(name)} AS {sql}"
    try:
        cursor.execute(statement, parameters)
    except duckdb.CatalogException as error:
        # A table does not replace a view, nor a view a table.
        if "trying to replace" not in str(error):
            raise
        cursor.execute(f"DROP {'VIEW' if kind == 'TABLE' else 'TABLE'} {_identifier(name)}")
        cursor.execute(statement, parameters)


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def _saying(sql: str) -> "Iterator[None]":
    try:
        yield
    except duckdb.Error as error:
        raise QueryError.of(error, sql) from error
