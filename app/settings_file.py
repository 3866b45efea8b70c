"""Writing ``regulars.toml``: a new one, or changes in place that leave every other line and comment as it was.

The standard library reads TOML and does not write it. What is written here is proven by reading it back: a text that
does not say just what was asked for is never returned.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from ..sql.durability import replace_text, saying
from ..sql.errors import SettingsError

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPES = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}
_LONGEST_FILE = 1 << 20
_WIDTH = 100

Said = Mapping[str, Any]


def new_text(said: Said, comments: Mapping[str, str] | None = None) -> str:
    """Return a settings file that says what a mapping of sections says.

    Parameters
    ----------
    said : mapping
        Sections of plain values: text, numbers, booleans, dates, lists and mappings of such.
    comments : mapping of str to str, optional
        By section, a line that stands above it; under ``""`` the line at the top.

    Raises
    ------
    SettingsError
        A value cannot be written as TOML.

    Examples
    --------
    >>> print(new_text({"orders": {"path": "o.csv", "columns": {"customer_id": "buyer"}}, "shop": {"currency": "EUR"}}))
    [orders]
    path = "o.csv"
    <BLANKLINE>
    [orders.columns]
    customer_id = "buyer"
    <BLANKLINE>
    [shop]
    currency = "EUR"
    <BLANKLINE>
    """
    notes = comments or {}
    parts = [f"# {notes['']}"] if notes.get("") else []
    for section, values in said.items():
        parts.append("\n".join(_section((section,), values, notes.get(section, ""))))
    return _proven("\n\n".join(parts) + "\n", said)


def changed_text(text: str, said: Said) -> str:
    r"""Return a settings file changed so that it says what a mapping says, each other line of it as it was.

    Parameters
    ----------
    text : str
        The file as it is.
    said : mapping
        All that it is to say; keys that it lacks are taken out of the text.

    Raises
    ------
    SettingsError
        ``text`` is not TOML, or a value cannot be written.

    Examples
    --------
    >>> before = "[orders]  # from the till\npath = 'a.csv'  # daily\n\n[shop]\ncurrency = 'GBP'\n"
    >>> print(changed_text(before, {"orders": {"path": "b.csv"}, "shop": {"currency": "GBP", "timezone": "UTC"}}))
    [orders]  # from the till
    path = "b.csv"  # daily
    <BLANKLINE>
    [shop]
    currency = 'GBP'
    timezone = "UTC"
    <BLANKLINE>
    """
    try:
        before = tomllib.loads(text)
        if _same(before, said):
            return text
        edited = _Edited(text)
        edited.make(before, said, ())
        return _proven(edited.text(), said)
    except (tomllib.TOMLDecodeError, _CannotEdit, SettingsError):
        if not _is_toml(text):
            raise SettingsError("the settings file is not TOML; mend it by hand first") from None
    # an unusual way of writing that the editing does not follow: said plainly, its comments are lost
    return new_text(said, {"": "Written anew by the app; the file before stands beside it."})


def write(path: Path, text: str, before: str | None) -> Path | None:
    """Write a settings file, the one before kept beside it; return where that is, None where there was none.

    Parameters
    ----------
    path : Path
        The file.
    text : str
        What it is to hold.
    before : str or None
        What it held when the change was shown; None where there was no file.

    Raises
    ------
    SettingsError
        The file has been changed since.
    WarehouseError
        It cannot be written.
    """
    there = read(path)
    if there != before:
        raise SettingsError(f"{path.name} has been changed since this page was opened; load the page anew")
    kept = None
    with saying(path, "write", left="the settings are as they were", elsewhere="start the app in a folder of yours"):
        if there is not None:
            if there == text:
                return None
            kept = path.with_name(f"{path.name}.{datetime.now(UTC):%Y%m%dT%H%M%S%f}.bak")
            replace_text(kept, there)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
        replace_text(path, text)
    return kept


def read(path: Path) -> str | None:
    """Return the text of a settings file; None where there is none.

    Raises
    ------
    SettingsError
        It cannot be read as text.
    """
    try:
        if path.stat().st_size > _LONGEST_FILE:
            raise SettingsError(f"{path} is larger than a settings file can be; name another")
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read the settings file {path}: {error}; mend it, or name another") from None


def value_text(value: Any) -> str:
    """Return one value as TOML.

    Raises
    ------
    SettingsError
        TOML has no way to say it.

    Examples
    --------
    >>> value_text({"delim": "|", "names": ["line"], "header": False})
    '{ delim = "|", names = ["line"], header = false }'
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        inside = ", ".join(f"{_key(key)} = {value_text(one)}" for key, one in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(value_text(one) for one in value)}]"
    raise SettingsError(f"{value!r} cannot be written in a settings file; give text, a number, a date or a list")


class _CannotEdit(Exception):
    pass


@dataclass
class _Item:
    """Some lines of the file: a table's header, or a key with its value; ``path`` is the key's whole path."""

    path: tuple[str, ...]
    lines: list[str]
    is_header: bool = False


class _Edited:
    def __init__(self, text: str) -> None:
        self.items: list[_Item] = list(_items(text))

    def text(self) -> str:
        return "".join(line for item in self.items for line in item.lines)

    def make(self, before: Said, after: Said, at: tuple[str, ...]) -> None:
        for key in before:
            if key not in after:
                self._remove((*at, key))
        for key, value in after.items():
            path = (*at, key)
            if key in before and _same(before[key], value):
                continue
            nested = isinstance(value, Mapping) and isinstance(before.get(key), Mapping)
            if nested and not self._at(path):
                self.make(before[key], value, path)
            elif key in before:
                self._replace(path, value)
            else:
                self._add(path, value)

    def _at(self, path: tuple[str, ...]) -> _Item | None:
        return next((item for item in self.items if item.path == path and not item.is_header), None)

    def _remove(self, path: tuple[str, ...]) -> None:
        gone = [item for item in self.items if item.path[: len(path)] == path]
        if not gone:
            raise _CannotEdit
        self.items = [item for item in self.items if item not in gone]

    def _replace(self, path: tuple[str, ...], value: Any) -> None:
        item = self._at(path)
        if item is None:
            raise _CannotEdit
        key = _key_of(item.lines[0])
        item.lines = [f"{key}{value_text(value)}{_comment(item.lines)}\n"]

    def _add(self, path: tuple[str, ...], value: Any) -> None:
        table, key = path[:-1], path[-1]
        if not table:
            if not isinstance(value, Mapping):
                raise _CannotEdit
            self._append(_section(path, value, ""))
            return
        header = next((i for i, item in enumerate(self.items) if item.is_header and item.path == table), None)
        if header is None:
            self._append([f"[{'.'.join(map(_key, table))}]", f"{_key(key)} = {value_text(value)}"])
            return
        last = header
        for place in range(header + 1, len(self.items)):
            if self.items[place].is_header:
                break
            if self.items[place].path:
                last = place
        lines = self.items[last].lines
        if lines and not lines[-1].endswith("\n"):
            lines[-1] += "\n"
        self.items.insert(last + 1, _Item(path, [f"{_key(key)} = {value_text(value)}\n"]))

    def _append(self, lines: Sequence[str]) -> None:
        text = self.text()
        gap = "" if not text or text.endswith("\n\n") else "\n" if text.endswith("\n") else "\n\n"
        block = "".join(f"{line}\n" for line in lines)
        self.items += _items(gap + block) if not self.items else [_Item((), [gap]), *_items(block)]


def _items(text: str) -> Iterator[_Item]:
    """The lines of a file as headers and keys; what is neither, blank lines and comments, are items without a path."""
    lines = text.splitlines(keepends=True)
    table: tuple[str, ...] = ()
    i = 0
    while i < len(lines):
        bare = lines[i].strip()
        if not bare or bare.startswith("#"):
            yield _Item((), [lines[i]])
            i += 1
        elif bare.startswith("["):
            if bare.startswith("[["):
                raise _CannotEdit
            table = _path_in(tomllib.loads(bare))
            yield _Item(table, [lines[i]], is_header=True)
            i += 1
        else:
            end = i + 1
            while not _is_toml("".join(lines[i:end])):
                end += 1
                if end > len(lines):
                    raise _CannotEdit
            yield _Item((*table, *_key_path(lines[i])), lines[i:end])
            i = end


def _path_in(said: Any) -> tuple[str, ...]:
    path: list[str] = []
    while isinstance(said, dict) and said:
        (key,) = said
        path.append(key)
        said = said[key]
    return tuple(path)


def _key_path(line: str) -> tuple[str, ...]:
    key = _key_of(line)
    try:
        return _path_in(tomllib.loads(f"{key} 0\n"))
    except tomllib.TOMLDecodeError:
        raise _CannotEdit from None


def _key_of(line: str) -> str:
    """The part of a line up to the equals sign after its key, and the blanks that follow."""
    found = re.match(r"""\s*(?:[A-Za-z0-9_.\- \t]|"(?:[^"\\]|\\.)*"|'[^']*')+?\s*=[ \t]*""", line)
    if found is None:
        raise _CannotEdit
    return found.group()


def _comment(lines: Sequence[str]) -> str:
    """The comment behind a value with the blanks before it; "" where there is none."""
    last = lines[-1].rstrip("\r\n")
    whole = "".join(lines[:-1])
    said = tomllib.loads(whole + last)
    for found in re.finditer(r"[ \t]*#", last):
        shorter = whole + last[: found.start()]
        if _is_toml(shorter) and _same(tomllib.loads(shorter), said):
            return last[found.start() :]
    return ""


def _section(path: tuple[str, ...], values: Any, comment: str) -> list[str]:
    if not isinstance(values, Mapping):
        raise SettingsError(f"[{'.'.join(path)}] is a table of keys, not {values!r}")
    plain = {key: value for key, value in values.items() if not _is_table(key, value)}
    lines = [f"# {line}" for line in comment.splitlines()]
    if plain or not values:
        lines.append(f"[{'.'.join(map(_key, path))}]")
        lines += [f"{_key(key)} = {value_text(value)}" for key, value in plain.items()]
    for key, value in values.items():
        if _is_table(key, value):
            if lines and not lines[-1].startswith("#"):
                lines.append("")
            lines += _section((*path, key), value, "")
    return lines


def _is_table(key: str, value: Any) -> bool:
    return isinstance(value, Mapping) and (key != "csv" or len(value_text(value)) > _WIDTH)


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _string(key)


def _string(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise SettingsError(f"{text!r} holds half a character, which no file can; type it anew") from None
    escaped = "".join(
        _ESCAPES.get(sign) or (f"\\u{ord(sign):04X}" if ord(sign) < 32 or ord(sign) == 127 else sign) for sign in text
    )
    return f'"{escaped}"'


def _same(first: Any, second: Any) -> bool:
    """Equality that tells 1 from 1.0 and true, and takes a tuple for a list."""
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return first.keys() == second.keys() and all(_same(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple) and isinstance(second, list | tuple):
        return len(first) == len(second) and all(map(_same, first, second))
    return type(first) is type(second) and first == second


def _is_toml(text: str) -> bool:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True


def _proven(text: str, said: Said) -> str:
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"the settings cannot be written as TOML: {error}") from None
    if not _same(found, said):
        raise SettingsError("the settings cannot be written so that they read back as they are; simplify the last one")
    return text
