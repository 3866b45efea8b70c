"""Looking into files that somebody names in the app: which may be named, what is in them, what a mapping makes of them.

Only files below the settings' folder and ``[app] data_folders`` are read, links resolved; DuckDB is shut in their
folders, looks at the first rows alone, and is stopped when that takes long.
"""

import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from ..sql.contract import INPUT_TABLES, ORDER_LINES
from ..sql.engine import DuckDBEngine, FileSet, QueryError, reader_sql, short_message
from ..sql.errors import SettingsError, SourceError
from ..sql.files import ENDINGS, find_files
from ..sql.mapping import map_columns, staging_sql
from ..sql.readability import scan
from .guess_mapping import SampleColumn

if TYPE_CHECKING:
    from ..sql.files import Source
    from ..sql.settings import Settings

SAMPLE_ROWS = 4_000
SHOWN_ROWS = 8
LONGEST_PATH = 1_000
_MOST_CANDIDATES = 60
_MOST_ENTRIES = 4_000
_SECONDS = 12.0
_HEAD = 1 << 18
_ALL_ENDINGS = ENDINGS["parquet"] + ENDINGS["csv"]


class OutsideError(SourceError):
    """A path leads out of the folders whose files may be named."""


@dataclass(frozen=True)
class DataFolders:
    """Where files may be named: ``folder``, at which relative paths start, and the roots, resolved."""

    folder: Path
    roots: tuple[Path, ...]

    @classmethod
    def of(cls, folder: Path, further: Sequence[str] = ()) -> "DataFolders":
        """Return the settings' folder with the further ones that ``[app] data_folders`` names."""
        folder = folder.resolve()
        return cls(folder, (folder, *(Path(folder / Path(one).expanduser()).resolve() for one in further)))

    def checked(self, text: str) -> str:
        """Return a path as the settings are to say it: relative where it is below the settings' folder.

        Raises
        ------
        OutsideError
            It leads elsewhere, or is no path of this machine.
        SourceError
            There is nothing.
        """
        said = text.strip()
        if not said or len(said) > LONGEST_PATH or "\x00" in said:
            raise SourceError("name a folder or a file of orders; the list shows those that were found")
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", said):
            raise OutsideError(f"{said[:80]!r} is no path of this machine; write addresses into regulars.toml by hand")
        try:
            whole = Path(self.folder / Path(said).expanduser())
            fixed = Path(*[part for part, _ in _before_wildcards(whole)])
            real = fixed.resolve()
        except (OSError, RuntimeError, ValueError) as error:
            raise SourceError(f"{said[:80]!r} is no path that can be followed ({error}); name another") from None
        self._inside(real, said)
        rest = whole.parts[len(fixed.parts) :]
        if ".." in rest:
            raise OutsideError(f"{said[:80]!r}: '..' cannot stand behind a wildcard; name the folder itself")
        found = real.joinpath(*rest)
        return found.relative_to(self.folder).as_posix() or "." if found.is_relative_to(self.folder) else str(found)

    def must_hold(self, source: "Source") -> None:
        """Check that every file, links resolved, lies inside.

        Raises
        ------
        OutsideError
            One does not; the text names it as it was found, not where it leads.
        """
        for file in source.files:
            self._inside(Path(file).resolve(), Path(file).name)

    def candidates(self) -> list[str]:
        """Return folders and files that look like data, as the settings would say them."""
        found: list[str] = []
        for root in self.roots:
            for folder, files in _walk(root):
                where = (
                    folder.relative_to(self.folder).as_posix() if folder.is_relative_to(self.folder) else str(folder)
                )
                if len(files) > 1 and where != ".":
                    found.append(where)
                found += [name if where == "." else f"{where}/{name}" for name in files[:12]]
                if len(found) >= _MOST_CANDIDATES:
                    return found[:_MOST_CANDIDATES]
        return found

    def _inside(self, real: Path, said: str) -> None:
        if not any(real.is_relative_to(root) for root in self.roots):
            listed = ", ".join(str(root) for root in self.roots)
            raise OutsideError(
                f"{said[:80]!r} is outside the folders whose files may be named here ({listed}); copy it there, or add "
                "its folder to [app] data_folders in regulars.toml by hand"
            )


@dataclass(frozen=True)
class Looked:
    """What a first look saw: the columns with values of some rows, the options to read them by, the files."""

    columns: tuple[SampleColumn, ...]
    csv: Mapping[str, Any]
    files: int
    bytes: int
    format: str


@dataclass(frozen=True)
class Preview:
    """What a mapping makes of the first rows: typed rows by contract column, and how many values could not be read."""

    rows: tuple[Mapping[str, Any], ...]
    columns: tuple[str, ...]
    looked_at: int
    unreadable: Mapping[str, int]
    missing: Mapping[str, int]


def look_into(settings: "Settings", folders: DataFolders, csv: Mapping[str, Any] | None = None) -> Looked:
    """Look at the first rows of the orders that settings name.

    Parameters
    ----------
    settings : Settings
        With ``[orders] path``; its mapping is not read.
    folders : DataFolders
        Where files may lie.
    csv : mapping, optional
        Options that are known already; found out where they are not given.

    Raises
    ------
    SourceError
        Nothing is there, or it cannot be read as CSV or Parquet.
    """
    source = _source(settings, folders)
    sizes = [Path(file).stat().st_size for file in source.files]
    options = dict(csv) if csv else dict(source.csv) or (_csv_options(Path(source.files[0])) if _is_csv(source) else {})
    with _engine(source) as engine:
        try:
            reader = reader_sql(FileSet(source.files[:3], source.format, source.hive_partitioning, options))
            with engine.cursor() as cursor:
                answer = cursor.execute(f"SELECT * FROM {reader} LIMIT {SAMPLE_ROWS}")
                names = [(str(one[0]), str(one[1])) for one in answer.description or ()]
                rows = answer.fetchall()
        except duckdb.Error as error:
            raise SourceError(_no_table(source, error)) from None
    if not rows:
        raise SourceError(f"{source.names[0]} holds no line; name files that hold orders")
    columns = [SampleColumn(n, t, tuple(row[i] for row in rows)) for i, (n, t) in enumerate(names)]
    if options.get("names") == ["line"]:
        columns = _tokens(columns[0], Path(source.files[0]), int(options.get("skip", 0)))
    return Looked(tuple(columns), options, len(source.files), sum(sizes), source.format)


def preview(settings: "Settings", folders: DataFolders) -> Preview:
    """Apply the mapping of settings to the first rows of their orders.

    Raises
    ------
    SourceError, ContractError, SettingsError
        The files or the mapping are wrong; the text says what to write.
    """
    source = _source(settings, folders)
    with _engine(source) as engine:
        reader = reader_sql(FileSet(source.files[:3], source.format, source.hive_partitioning, source.csv))
        try:
            engine.materialize("raw_order_lines", f"SELECT * FROM {reader} LIMIT {SAMPLE_ROWS}")
        except (duckdb.Error, QueryError) as error:
            raise SourceError(_no_table(source, error)) from None
        raw = engine.columns("raw_order_lines")
        mapped = map_columns("order_lines", raw, settings)
        engine.connection.execute("SET lock_configuration = true")
        try:
            found = scan(engine, "order_lines", mapped, settings.shop.timezone, source.place, is_whole=True)
            rows = engine.query(staging_sql("order_lines", raw, settings)).to_pylist()
        except (duckdb.Error, QueryError) as error:
            raise SettingsError(f"the mapping fails on some line: {short_message(error)}") from None
    names = [column.name for column in mapped if column.name in INPUT_TABLES["order_lines"].column_names]
    missing = {
        column.name: sum(row[column.name] is None or not str(row[column.name]).strip() for row in rows)
        for column in ORDER_LINES.columns
        if column.name in names
    }
    first = tuple({name: row[name] for name in names} for row in rows[:SHOWN_ROWS])
    return Preview(first, tuple(names), len(rows), dict(found.unreadable), missing)


def _source(settings: "Settings", folders: DataFolders) -> "Source":
    said = settings.source("order_lines")
    for path in said.paths if said else ():
        if not path.startswith("package:"):
            folders.checked(path)
    source = find_files(settings, "order_lines")
    assert source is not None
    if not (said and all(path.startswith("package:") for path in said.paths)):
        folders.must_hold(source)
    empty = [name for file, name in zip(source.files, source.names, strict=True) if Path(file).stat().st_size == 0]
    if empty:
        raise SourceError(f"{empty[0]} is empty (0 bytes); write it anew or take it out of the folder")
    return source


@contextmanager
def _engine(source: "Source") -> Iterator[DuckDBEngine]:
    engine = DuckDBEngine(threads=2, memory_limit="800MB")
    inside = sorted({str(Path(file).parent) for file in source.files[:3]})
    listed = ", ".join("'" + folder.replace("'", "''") + "/'" for folder in inside)
    for statement in (
        "SET python_enable_replacements = false",
        "SET autoinstall_known_extensions = false",
        f"SET allowed_directories = [{listed}]",
        "SET enable_external_access = false",
    ):
        engine.connection.execute(statement)
    stop = threading.Timer(_SECONDS, engine.connection.interrupt)
    stop.daemon = True
    stop.start()
    try:
        yield engine
    finally:
        stop.cancel()
        engine.close()


def _is_csv(source: "Source") -> bool:
    return source.format == "csv"


def _no_table(source: "Source", error: Exception) -> str:
    kind = {"parquet": "Parquet", "csv": "CSV"}[source.format]
    if "nterrupt" in type(error).__name__ or "INTERRUPT" in str(error):
        return f"looking into {source.names[0]} took more than {_SECONDS:.0f} s; name fewer or smaller files"
    return f"{source.names[0]} cannot be read as {kind}: {short_message(error)[:400]}; write it anew, or name another"


def _csv_options(file: Path) -> dict[str, Any]:
    """What DuckDB's reader has to be told of a CSV file; it finds the delimiter by itself."""
    if file.suffix.lower() in {".gz", ".zst"}:
        return {}
    with file.open("rb") as opened:
        head = opened.read(_HEAD)
    if b"\x00" in head:
        raise SourceError(f"{file.name} is no text: a CSV file holds lines of text; save it as CSV or Parquet")
    options: dict[str, Any] = {}
    whole = head[: head.rfind(b"\n") + 1] or head
    try:
        text = whole.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = whole.decode("latin-1")
        options["encoding"] = "latin-1"
    lines = [line for line in text.splitlines() if line.strip()][:200]
    if not lines:
        raise SourceError(f"{file.name} holds no line; name files that hold orders")
    if _is_spaced(lines):
        skip = {} if re.search(r"\d{4}", lines[0]) else {"skip": 1}
        return options | {"delim": "|", "header": False, "names": ["line"], "quote": ""} | skip
    delimiter = max(",;\t|", key=lambda sign: min(line.count(sign) for line in lines[:20]))
    parts = [part.strip().strip('"') for part in lines[0].split(delimiter)]
    if len(parts) > 1 and any(re.fullmatch(r"[-+]?[\d.,:/ -]*\d[\d.,:/ -]*", part) for part in parts):
        options |= {"header": False, "names": [f"column_{place + 1}" for place in range(len(parts))]}
    return options


def _is_spaced(lines: Sequence[str]) -> bool:
    """Whether lines are columns of text parted by blanks, as statisticians' files are."""
    counts = {len(line.split()) for line in lines}
    return len(counts) == 1 and counts.pop() >= 3 and not any(sign in line for line in lines for sign in ",;\t|")


def _tokens(line: SampleColumn, file: Path, skip: int) -> list[SampleColumn]:
    parted = [str(value).split() for value in line.values]
    width = max(map(len, parted))
    names = [f"part {place + 1}" for place in range(width)]
    if skip:
        with file.open(encoding="utf-8", errors="replace") as opened:
            names = (opened.readline().split() + names)[:width]
    columns = []
    for place in range(width):
        sql = f"list_extract(string_split_regex(trim(line), '\\s+'), {place + 1})"
        values = tuple(parts[place] if place < len(parts) else None for parts in parted)
        columns.append(SampleColumn(names[place], "VARCHAR", values, sql))
    return columns


def _before_wildcards(path: Path) -> Iterator[tuple[str, int]]:
    for place, part in enumerate(path.parts):
        if re.search(r"[*?\[]", part):
            return
        yield part, place


def _walk(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Folders with the data files in them, near ones first; no links followed, so many entries looked at."""
    waiting, seen = [(root, 0)], 0
    while waiting:
        folder, depth = waiting.pop(0)
        files: list[str] = []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    seen += 1
                    if seen > _MOST_ENTRIES:
                        break
                    if entry.name.startswith((".", "_")) or entry.is_symlink():
                        continue
                    if entry.is_dir() and depth < 3 and not (Path(entry.path) / "current.json").exists():
                        waiting.append((Path(entry.path), depth + 1))
                    elif entry.name.lower().endswith(_ALL_ENDINGS) and entry.is_file():
                        files.append(entry.name)
        except OSError:
            continue
        if files:
            yield folder, sorted(files)
        if seen > _MOST_ENTRIES:
            return
