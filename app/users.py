"""The users file: who may sign in with a password, and as what. ``regulars user add`` writes it; it holds no password.

Each user has a scrypt hash with a salt of its own (RFC 7914; N = 2^15, r = 8, p = 1: 32 MB and about a tenth of a
second for each guess).
"""

import hashlib
import json
import os
import re
import threading
import tomllib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ..sql.app_settings import Role
from ..sql.durability import sync_folder
from ..sql.errors import SettingsError, nearest
from .access import ROLES
from .sessions import private_text

SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 1024
_METHOD = "scrypt:32768:8:1"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}")
_HASH = re.compile(r"scrypt:(\d{1,7}):(\d{1,2}):(\d{1,2})\$[^$\s]{8,}\$[0-9a-f]{128}")
_LEAST_COST = 1 << 14
_HEAD = "# Who may sign in to the app. Made by `regulars user add`; passwords are hashed (scrypt).\n"


@dataclass(frozen=True)
class User:
    """One line of the users file."""

    name: str
    role: Role
    password_hash: str

    @property
    def proof(self) -> str:
        """What changes with the password: a session that was begun with another one is over."""
        return hashlib.sha256(self.password_hash.encode()).hexdigest()[:24]


class UsersFile:
    """The users of one file; it is read again whenever it has changed.

    Parameters
    ----------
    path : Path

    Examples
    --------
    >>> import tempfile
    >>> file = UsersFile(Path(tempfile.mkdtemp()) / "users.toml")
    >>> file.add("ann", "analyst", "correct horse battery").role
    'analyst'
    >>> file.check("Ann", "correct horse battery").name, file.check("ann", "wrong")
    ('ann', None)
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int, int] | None = None
        self._users: dict[str, User] = {}

    def users(self) -> list[User]:
        """Return the users in the file's order.

        Raises
        ------
        SettingsError
            The file is missing, open to others on this machine, no such file, or says something of a user that cannot
            be.
        """
        return list(self._read().values())

    def user(self, name: str) -> User | None:
        """Return a user, however the name's letters are written; None where there is none."""
        return self._read().get(name.casefold())

    def check(self, name: str, password: str) -> User | None:
        """Return the user whose name and password these are, else None, in the same time for a name that is unknown."""
        from werkzeug.security import check_password_hash

        user = self.user(name)
        wanted = user.password_hash if user else _nobodys_hash()
        right = len(password.encode()) <= LONGEST_PASSWORD and check_password_hash(wanted, password)
        return user if right else None

    def add(self, name: str, role: str, password: str, *, replace: bool = False) -> User:
        """Add a user; the file is made where there is none, for its owner's eyes alone.

        Raises
        ------
        SettingsError
            The name, role or password will not do, the name is taken, or the file cannot be read or written.
        """
        from werkzeug.security import generate_password_hash

        _check_name(name)
        if role not in ROLES:
            raise SettingsError(f"role {role!r} is not one{nearest(role, ROLES)}; allowed: {', '.join(ROLES)}")
        _check_password(name, password)
        made = User(name, role, generate_password_hash(password, method=_METHOD))
        users = self._there()
        if name.casefold() in users and not replace:
            raise SettingsError(f"{self.path} has a user {name} already; give a new password or role with --replace")
        users[name.casefold()] = made
        self._write(users.values())
        return made

    def remove(self, name: str) -> User:
        """Remove a user, whose sessions are over with the next request.

        Raises
        ------
        SettingsError
            There is none of that name, or the file cannot be read or written.
        """
        users = self._there()
        found = users.pop(name.casefold(), None)
        if found is None:
            known = [user.name for user in users.values()]
            raise SettingsError(
                f"{self.path} has no user {name!r}{nearest(name, known)}; there are: {', '.join(known) or 'none'}"
            )
        self._write(users.values())
        return found

    def _read(self) -> dict[str, User]:
        try:
            found = self.path.stat()
        except OSError:
            found = None
        seen = (found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode) if found else None
        with self._lock:
            if seen is None or seen != self._seen:
                self._users, self._seen = {}, None
                self._users = _parse(private_text(self.path, "the users file"), self.path)
                self._seen = seen
            return self._users

    def _there(self) -> dict[str, User]:
        return dict(self._read()) if self.path.exists() else {}

    def _write(self, users: Iterable[User]) -> None:
        entries = [
            f"\n[[user]]\nname = {json.dumps(user.name)}\nrole = {json.dumps(user.role)}\n"
            f"password_hash = {json.dumps(user.password_hash)}\n"
            for user in users
        ]
        _replace_private(self.path, _HEAD + "".join(entries))


def _parse(text: str, path: Path) -> dict[str, User]:
    try:
        said = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"the users file {path} is not TOML: {error}; mend that place") from None
    listed = said.get("user", [])
    if set(said) - {"user"} or not isinstance(listed, list):
        raise SettingsError(
            f"the users file {path}: only [[user]] tables are allowed, as 'regulars user add' writes them"
        )
    users: dict[str, User] = {}
    for number, entry in enumerate(listed, 1):
        user = _user(entry, f"the users file {path}, user {number}")
        if user.name.casefold() in users:
            raise SettingsError(f"the users file {path} has two users of the name {user.name}; remove one")
        users[user.name.casefold()] = user
    return users


def _user(entry: Any, where: str) -> User:
    keys = ("name", "role", "password_hash")
    if not isinstance(entry, dict) or set(entry) != set(keys) or not all(isinstance(v, str) for v in entry.values()):
        raise SettingsError(f"{where}: needs just {', '.join(keys)}, all texts; add users with 'regulars user add'")
    if not _NAME.fullmatch(entry["name"]):
        raise SettingsError(f"{where}: {entry['name'][:40]!r} is no name; {_NAME_RULE}")
    if entry["role"] not in ROLES:
        near = nearest(entry["role"], ROLES)
        raise SettingsError(f"{where}: role {entry['role'][:40]!r} is not one{near}; allowed: {', '.join(ROLES)}")
    cost = _HASH.fullmatch(entry["password_hash"])
    if cost is None or int(cost[1]) < _LEAST_COST:
        raise SettingsError(f"{where}: password_hash is none of ours; set it with 'regulars user add --replace'")
    return User(entry["name"], cast("Role", entry["role"]), entry["password_hash"])


_NAME_RULE = "a name has letters, digits and . _ @ + -, begins with a letter or digit, and has 128 characters at most"


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise SettingsError(f"{name[:40]!r} is no name of a user: {_NAME_RULE}")


def _check_password(name: str, password: str) -> None:
    if len(password) < SHORTEST_PASSWORD:
        raise SettingsError(f"the password has {len(password)} characters, and needs {SHORTEST_PASSWORD} or more")
    if len(password.encode()) > LONGEST_PASSWORD:
        raise SettingsError(f"the password is longer than {LONGEST_PASSWORD} bytes; choose a shorter one")
    if len(set(password)) < 5 or (name.casefold() in password.casefold() and len(password) < len(name) + 8):
        raise SettingsError(
            "the password is easily guessed: one character over and over, or the user's name; choose another"
        )


def _nobodys_hash() -> str:
    # as dear to check as a real one, and no password has it
    return f"{_METHOD}$nobodynobodynobo${'0' * 128}"


def _replace_private(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.unlink(missing_ok=True)
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(handle)
        beside.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise SettingsError(f"the users file {path} cannot be written: {error.strerror or error}") from None
