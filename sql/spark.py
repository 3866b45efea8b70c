"""The same statements on Spark in local mode; the extra ``spark`` and Java 17 are needed."""

import logging
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from .engine import Engine, FileSet, Parameters, QueryError
from .errors import MissingExtraError, SettingsError
from .portable import to_spark

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

# What a query may rely on: DuckDB's way where the two differ.
_SESSION: Mapping[str, str] = {
    "spark.sql.ansi.enabled": "true",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.timestampType": "TIMESTAMP_NTZ",
    "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
    "spark.sql.cteRecursionRowLimit": "-1",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
}

_LOCAL: Mapping[str, str] = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
}

# Spark's own start-up messages and warnings stay quiet; errors are raised as exceptions.
_LOG4J = """\
status = error
rootLogger.level = error
rootLogger.appenderRef.stderr.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %p %c: %m%n
"""

_TYPES: Mapping[str, str] = {
    "string": "VARCHAR",
    "tinyint": "TINYINT",
    "smallint": "SMALLINT",
    "int": "INTEGER",
    "bigint": "BIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp_ntz": "TIMESTAMP",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
    "binary": "BLOB",
    "void": "NULL",
}

# DuckDB's name of a CSV option, as the settings have it, and Spark's.
_CSV_OPTIONS: Mapping[str, str] = {
    "delim": "sep",
    "sep": "sep",
    "quote": "quote",
    "escape": "escape",
    "comment": "comment",
    "nullstr": "nullValue",
    "encoding": "encoding",
    "compression": "compression",
    "new_line": "lineSep",
}


class SparkEngine(Engine):
    """Spark in this process, with temporary views of its own.

    Parameters
    ----------
    session : pyspark.sql.SparkSession, optional
        The session whose Spark is used; a local one is started where not given. Its own settings and views are left
        alone.
    threads : int, optional
        How many threads a local Spark may use; two where not given.
    memory : str, optional
        Heap of a local Spark.

    Raises
    ------
    MissingExtraError
        pyspark is not installed.
    SettingsError
        Spark does not start, mostly for want of Java 17.

    Examples
    --------
    >>> with SparkEngine() as engine:  # doctest: +SKIP
    ...     engine.query("SELECT $day + 1 AS tomorrow", {"day": date(2011, 12, 8)}).to_pylist()
    [{'tomorrow': datetime.date(2011, 12, 9)}]
    """

    name = "spark"
    repeats_what_is_read_twice = True

    def __init__(
        self, session: "SparkSession | None" = None, *, threads: int | None = None, memory: str = "2g"
    ) -> None:
        self.session = (session or _local_session(threads or 2, memory)).newSession()
        for key, value in _SESSION.items():
            self.session.conf.set(key, value)
        if session is None:
            self.session.conf.set("spark.sql.shuffle.partitions", str(threads or 2))
        self._stored: dict[str, DataFrame] = {}

    def query(self, sql: str, parameters: Parameters | None = None) -> "pa.Table":
        with _saying(sql):
            return _nullable(self._frame(sql, parameters).toArrow())

    def materialize(self, table: str, sql: str, parameters: Parameters | None = None) -> int:
        with _saying(sql):
            # a checkpoint cuts the plan: what is stored is not worked out again by each query that reads it
            frame = self._frame(sql, parameters).localCheckpoint(eager=True)
            rows = frame.count()
        self._store(table, frame)
        return rows

    def register(self, table: str, rows: "pa.Table") -> None:
        with _saying(f"-- {rows.num_rows} rows into {table}"):
            self._store(table, self.session.createDataFrame(rows))

    def register_parquet(self, table: str, path: str) -> None:
        with _saying(f"-- {path} as {table}"):
            self._store(table, self.session.read.parquet(path))

    def register_files(self, table: str, files: FileSet) -> None:
        with _saying(f"-- {', '.join(files.files[:3])} as {table}"):
            read = self._read_csv if files.format == "csv" else self._read_parquet
            self._store(table, read(files))

    def view(self, table: str, sql: str) -> None:
        with _saying(sql):
            self._store(table, self._frame(sql, None))

    def columns(self, table: str) -> dict[str, str]:
        with _saying(f"-- columns of {table}"):
            return {name: _duckdb_type(type_) for name, type_ in self.session.table(f"`{table}`").dtypes}

    def close(self) -> None:
        for table in list(self._stored):
            self._drop(table)

    def score(
        self,
        table: str,
        function: "Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]",
        schema: "pa.Schema",
    ) -> "pa.Table":
        """Run a function over a table's rows, in batches and in parallel, next to the data.

        Parameters
        ----------
        table : str
            A table or view of this engine.
        function : callable
            Takes an iterator of Arrow batches and yields batches of ``schema``; it is sent to Spark's workers, so
            all it needs must be importable there.
        schema : pyarrow.Schema
            What the function yields.

        Returns
        -------
        pyarrow.Table
            The batches together, in no particular order.
        """
        from pyspark.sql.pandas.types import from_arrow_schema

        with _saying(f"-- a function over {table}"):
            frame = self.session.table(f"`{table}`").mapInArrow(function, from_arrow_schema(schema))
            return frame.toArrow().cast(schema)

    def _frame(self, sql: str, parameters: Parameters | None) -> "DataFrame":
        return self.session.sql(to_spark(sql), args=dict(parameters or {}))

    def _store(self, table: str, frame: "DataFrame") -> None:
        frame.createOrReplaceTempView(f"`{table}`")
        replaced = self._stored.get(table)
        self._stored[table] = frame
        if replaced is not None:
            replaced.unpersist()

    def _drop(self, table: str) -> None:
        self.session.catalog.dropTempView(table)
        self._stored.pop(table).unpersist()

    def _read_parquet(self, files: FileSet) -> "DataFrame":
        if not files.hive_partitioning:
            frames = [self.session.read.parquet(_place(file)) for file in files.files]
            return _union(frames)
        reader = self.session.read.option("mergeSchema", "true").option("basePath", _above_partitions(files.files))
        return reader.parquet(*map(_place, files.files))

    def _read_csv(self, files: FileSet) -> "DataFrame":
        reader = self.session.read.option("header", "names" not in files.csv).option("quote", '"').option("escape", '"')
        for name, value in files.csv.items():
            if name == "header":
                reader = reader.option("header", bool(value))
            elif name in _CSV_OPTIONS:
                reader = reader.option(_CSV_OPTIONS[name], str(value))
            elif name not in ("names", "all_varchar"):
                allowed = ", ".join(sorted({*_CSV_OPTIONS, "header", "names"}))
                raise SettingsError(f"csv option {name!r} is not read on Spark; allowed there: {allowed}")
        frames = [reader.csv(_place(file)) for file in files.files]
        if "names" in files.csv:
            frames = [frame.toDF(*files.csv["names"]) for frame in frames]
        return _union(frames)


def _local_session(threads: int, memory: str) -> "SparkSession":
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        raise MissingExtraError("SparkEngine needs pyspark: pip install 'regulars[spark]', and Java 17") from None
    # the workers must be this interpreter, or they cannot import what scores the rows
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    # what fails is raised; a second copy of it in the log helps nobody
    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL)
    builder = SparkSession.builder.master(f"local[{threads}]").appName("regulars").config("spark.driver.memory", memory)
    for key, value in _LOCAL.items():
        builder = builder.config(key, value)
    try:
        with tempfile.TemporaryDirectory() as folder:
            log4j = Path(folder) / "log4j2.properties"
            log4j.write_text(_LOG4J)
            builder = builder.config("spark.driver.extraJavaOptions", f"-Dlog4j2.configurationFile={log4j.as_uri()}")
            return builder.getOrCreate()
    except Exception as error:
        raise SettingsError(
            f"Spark does not start: {str(error).splitlines()[0]}; it needs Java 17, on PATH or under JAVA_HOME"
        ) from error


def _nullable(rows: "pa.Table") -> "pa.Table":
    import pyarrow as pa

    # Spark marks what cannot be NULL; DuckDB does not, and the two are to be alike
    return rows.cast(pa.schema([field.with_nullable(True) for field in rows.schema]))


def _union(frames: "list[DataFrame]") -> "DataFrame":
    whole = frames[0]
    for frame in frames[1:]:
        whole = whole.unionByName(frame, allowMissingColumns=True)
    return whole


def _above_partitions(files: tuple[str, ...]) -> str:
    folders = [file.split("/")[:-1] for file in files]
    above = takewhile(lambda parts: len(set(parts)) == 1 and "=" not in parts[0], zip(*folders, strict=False))
    return _place("/".join(parts[0] for parts in above))


def _place(file: str) -> str:
    # wildcards in the name of a found file are part of the name
    return file if "://" in file else "file://" + re.sub(r"([*?\[\]{}])", r"\\\1", str(Path(file).absolute()))


def _duckdb_type(spark_type: str) -> str:
    if spark_type.startswith("decimal"):
        return spark_type.upper()
    if spark_type.startswith("array<"):
        return f"{_duckdb_type(spark_type[6:-1])}[]"
    return _TYPES.get(spark_type, spark_type.upper())


@contextmanager
def _saying(sql: str) -> "Iterator[None]":
    from pyspark.errors import PySparkException

    with warnings.catch_warnings():
        # pyspark 4.3 says so of any pandas 3; none is involved between Spark and Arrow
        warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
        try:
            yield
        except PySparkException as error:
            said = str(error).split(" SQLSTATE")[0].split(" If necessary set")[0]
            raise QueryError.of(ValueError(said), sql) from error
