"""The named queries and checks: one statement a file, with a header that says what goes in and what comes out."""

import re
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

from .errors import SettingsError, nearest

_PACKAGE = __name__.rpartition(".")[0]
_HEADER = re.compile(r"^--\s*(inputs|output|grain|parameters|severity|message)\s*:\s*(.*)$")
_PARAMETER = re.compile(r"^(\w+)\s+([A-Z]+(?:\(\d+,\s*\d+\))?)(?:\s+default\s+(.+))?$")


@dataclass(frozen=True)
class Parameter:
    """One bound value of a query: its name, SQL type and default as SQL text ("" where it has none)."""

    name: str
    type: str
    default: str = ""


@dataclass(frozen=True)
class Query:
    """One ``.sql`` file: a single statement with its header.

    ``inputs`` are the tables it reads, ``output`` the table it makes, ``grain`` the columns that identify a row of
    it. ``severity`` and ``message`` are set for checks only.
    """

    name: str
    meaning: str
    inputs: tuple[str, ...]
    output: str
    grain: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    sql: str = field(repr=False)
    text: str = field(repr=False)
    severity: str = ""
    message: str = ""


def parse_query(name: str, text: str) -> Query:
    r"""Read the header of a query file.

    Raises
    ------
    SettingsError
        Where the header lacks a field or a parameter is not ``name TYPE [default SQL]``.

    Examples
    --------
    >>> text = "-- Counts lines.\n-- inputs: t\n-- output: n\n-- grain:\n-- parameters: day DATE\nSELECT 1"
    >>> parse_query("n", text).parameters
    (Parameter(name='day', type='DATE', default=''),)
    """
    fields: dict[str, str] = {}
    meaning: list[str] = []
    lines = text.splitlines()
    body_from = 0
    last = ""
    for i, line in enumerate(lines):
        if not line.startswith("--"):
            body_from = i
            break
        match = _HEADER.match(line)
        if match:
            last = match.group(1)
            fields[last] = match.group(2).strip()
        elif last:
            fields[last] = f"{fields[last]} {line.lstrip('- ').strip()}".strip()
        else:
            meaning.append(line.lstrip("- ").strip())
    missing = [key for key in ("inputs", "output", "grain", "parameters") if key not in fields]
    if missing:
        raise SettingsError(f"query {name}: header lacks {', '.join(missing)}; each line is '-- {missing[0]}: ...'")
    parameters = []
    for part in _names(fields["parameters"]):
        match = _PARAMETER.match(part)
        if not match:
            raise SettingsError(f"query {name}: parameter {part!r} is not 'name TYPE [default SQL]'")
        parameters.append(Parameter(match.group(1), match.group(2), match.group(3) or ""))
    return Query(
        name=name,
        meaning=" ".join(meaning),
        inputs=_names(fields["inputs"]),
        output=fields["output"],
        grain=_names(fields["grain"]),
        parameters=tuple(parameters),
        sql="\n".join(lines[body_from:]).strip().rstrip(";"),
        text=text,
        severity=fields.get("severity", ""),
        message=fields.get("message", ""),
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in re.split(r",(?![^(]*\))", text) if part.strip())


@cache
def _folder(folder: str) -> dict[str, Query]:
    found = files(_PACKAGE).joinpath(folder).iterdir()
    names = sorted(path.name for path in found if path.name.endswith(".sql"))
    root = files(_PACKAGE).joinpath(folder)
    return {name[:-4]: parse_query(name[:-4], root.joinpath(name).read_text(encoding="utf-8")) for name in names}


def queries() -> dict[str, Query]:
    """Every file of ``sql/queries`` by name, sorted.

    Examples
    --------
    >>> queries()["customer_summary"].grain
    ('customer_id',)
    """
    return dict(_folder("queries"))


def checks() -> dict[str, Query]:
    """Every file of ``sql/checks`` by name, sorted.

    Examples
    --------
    >>> {check.severity for check in checks().values()} <= {"blocking", "warning", "info"}
    True
    """
    return dict(_folder("checks"))


def query(name: str) -> Query:
    """Return the query called ``name``.

    Raises
    ------
    SettingsError
        Where no file of ``sql/queries`` has that name; the text names the nearest.
    """
    found = _folder("queries")
    if name not in found:
        raise SettingsError(f"no query {name!r}{nearest(name, list(found))}; 'regulars query' lists them all")
    return found[name]
