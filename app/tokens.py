"""Tokens of the read API: made once, shown once, kept as a hash, checked in constant time, last use noted now and then.

A token is ``regulars_ID_SECRET``. The id finds its line; of the secret, 256 random bits, only the SHA-256 is kept: what
cannot be guessed needs no slow hash.
"""

import hashlib
import hmac
import logging
import re
import secrets
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Literal

from ..sql.errors import SettingsError, WarehouseError
from .state import State, clock, record

log = logging.getLogger(__name__)

SCOPE = "read"
NOTED_EVERY = timedelta(minutes=10)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._@-]{0,63}")
_TOKEN = re.compile(r"regulars_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
_NOBODY = bytes(32)


@dataclass(frozen=True)
class Token:
    """What is known of a token; the secret is not."""

    name: str
    id: str
    scope: str
    made_by: str
    made_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    def state(self, now: datetime) -> Literal["valid", "expired", "revoked"]:
        """Say whether it opens anything at a moment."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "valid"


class Tokens:
    """The tokens of a warehouse.

    Parameters
    ----------
    warehouse : Path
    now : callable, optional
        The clock, for expiry and last use.

    Examples
    --------
    >>> import tempfile
    >>> tokens = Tokens(Path(tempfile.mkdtemp()))
    >>> text = tokens.create("newsletter", "ann")
    >>> tokens.check(text).name, tokens.check(text[:-1] + "!")
    ('newsletter', None)
    """

    def __init__(self, warehouse: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._state = State(warehouse)
        self._now = now
        self._lock = threading.Lock()
        self._read_at: tuple[int, int] | None = None
        self._known: dict[str, tuple[bytes, Token]] = {}
        self._used: dict[str, datetime] = {}

    def create(self, name: str, person: str, expires: date | None = None) -> str:
        """Make a token and return its text, which nobody can ask for again.

        Parameters
        ----------
        name : str
            What it is for; at most 64 letters, digits, spaces and ``. _ @ -``.
        person : str
            Who makes it, for the audit.
        expires : date, optional
            The last day (UTC) on which it opens anything; without it, it does until it is revoked.

        Raises
        ------
        SettingsError
            The name is none, or is taken, or the day has passed.
        WarehouseError
            The state cannot be written.
        """
        if not _NAME.fullmatch(name):
            raise SettingsError(
                f"token name {name[:80]!r} is not allowed; allowed: at most 64 letters, digits, spaces, '.', '_', '@' "
                "and '-', a letter or digit first"
            )
        now = self._now()
        if expires is not None and expires < now.date():
            raise SettingsError(f"--expires {expires} has passed; name today ({now.date()}, UTC) or a later day")
        until = None if expires is None else datetime.combine(expires + timedelta(days=1), time(), UTC)
        id_, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
        row = (name, id_, _hash(secret), SCOPE, person, clock(), until.isoformat() if until else None)
        with self._state.writing() as connection:
            try:
                connection.execute("INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, ?, NULL, NULL)", row)
            except sqlite3.IntegrityError:
                raise SettingsError(
                    f"there is a token {name!r} already, maybe a revoked one; 'regulars token list' shows them: choose "
                    "another name"
                ) from None
            record(connection, clock(), person, "create token", name, {"expires": expires, "scope": SCOPE})
        return f"regulars_{id_}_{secret}"

    def all(self) -> list[Token]:
        """Return every token by name, revoked ones among them."""
        return sorted((token for _, token in self._rows().values()), key=lambda token: token.name)

    def revoke(self, name: str, person: str) -> None:
        """Close a token for good; from the next request on it opens nothing.

        Raises
        ------
        SettingsError
            There is no such token.
        """
        with self._state.writing() as connection:
            changed = connection.execute(
                "UPDATE tokens SET revoked_at = ? WHERE name = ? AND revoked_at IS NULL", (clock(), name)
            ).rowcount
            if not changed and not connection.execute("SELECT 1 FROM tokens WHERE name = ?", (name,)).fetchone():
                known = [row[0] for row in connection.execute("SELECT name FROM tokens ORDER BY name")]
                raise SettingsError(f"no token {name[:80]!r}; there are: {', '.join(known) or 'none'}")
            if changed:
                record(connection, clock(), person, "revoke token", name, {})

    def check(self, text: str) -> Token | None:
        """Return the token that a text is, if it opens anything now; None for any other text.

        Nothing is written: `note_uses` does that, and is to be called now and then.
        """
        found = _TOKEN.fullmatch(text)
        kept, token = self._current().get(found[1], (_NOBODY, None)) if found else (_NOBODY, None)
        # compared whether there is such an id or not: the time taken says nothing
        same = hmac.compare_digest(kept, _hash(found[2] if found else ""))
        now = self._now()
        if not same or token is None or token.state(now) != "valid":
            return None
        self._used[token.id] = now
        return token

    def note_uses(self) -> None:
        """Write when tokens were last used, those of which the last writing is some minutes old."""
        with self._lock:
            used, self._used = self._used, {}
        late = {
            id_: at
            for id_, at in used.items()
            if (token := self._known.get(id_, (b"", None))[1]) is not None
            and (token.last_used_at is None or at - token.last_used_at >= NOTED_EVERY)
        }
        if not late:
            return
        try:
            with self._state.writing() as connection:
                for id_, at in late.items():
                    connection.execute(
                        "UPDATE tokens SET last_used_at = ? WHERE id = ?", (at.isoformat(timespec="seconds"), id_)
                    )
        except WarehouseError as error:
            log.warning("last use of tokens is not noted: %s", error)

    def _current(self) -> dict[str, tuple[bytes, Token]]:
        """The tokens, read anew when the file has changed: a revoked one opens nothing more at once."""
        try:
            status = self._state.path.stat()
            stamp = (status.st_mtime_ns, status.st_size)
        except FileNotFoundError:
            return {}
        if stamp != self._read_at:
            with self._lock:
                self._known, self._read_at = self._rows(), stamp
        return self._known

    def _rows(self) -> dict[str, tuple[bytes, Token]]:
        rows = self._state.read(
            "SELECT id, hash, name, scope, made_by, made_at, expires_at, revoked_at, last_used_at FROM tokens"
        )
        return {
            id_: (hash_, Token(name, id_, scope, by, datetime.fromisoformat(made), *map(_when, moments)))
            for id_, hash_, name, scope, by, made, *moments in rows
        }


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _when(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
