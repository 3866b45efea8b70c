"""Sessions: who signed in, in a signed cookie that ends with its time, with its person, or when they sign out."""

import hashlib
import hmac
import os
import re
import secrets
import stat
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from itsdangerous import BadData, URLSafeTimedSerializer

from ..sql.app_settings import Role
from ..sql.errors import SettingsError
from .access import ROLES

if TYPE_CHECKING:
    from pydantic import SecretStr

SHORTEST_SECRET = 32
_LONGEST_COOKIE = 4096
_FEWEST_CHARACTERS = 10
# What manuals and templates write where a secret belongs; digits and punctuation aside.
_WELL_KNOWN = (
    "changeme", "changethis", "pleasechange", "secret", "password", "passphrase", "example", "default", "regulars",
    "insecure", "development", "testing", "letmein", "qwerty", "admin", "your", "here", "super", "django", "flask",
    "key", "please", "this", "not", "for", "production", "session", "cookie", "string", "random", "long", "very",
)  # fmt: skip
_IN_ORDER = "abcdefghijklmnopqrstuvwxyz", "0123456789", "qwertyuiop", "asdfghjkl", "zxcvbnm"


@dataclass(frozen=True)
class Session:
    """One sign-in: who, by which way, the role that the way gave, and what must still hold for it to count."""

    id: str
    name: str
    way: str
    role: Role | None
    proof: str


class Sessions:
    """Issues sessions as signed text and reads them back.

    Parameters
    ----------
    key : str
        The secret that signs them.
    hours : float
        How long they last.

    Examples
    --------
    >>> sessions = Sessions("0f" * 32, hours=1)
    >>> text = sessions.issue("ann", "basic", None, "proof")
    >>> sessions.read(text).name
    'ann'
    >>> sessions.read(text[:-2] + "xx") is None
    True
    """

    def __init__(self, key: str, hours: float) -> None:
        self.seconds = round(hours * 3600)
        self._key = key
        self._serializer = URLSafeTimedSerializer(
            key, salt="regulars session", signer_kwargs={"digest_method": hashlib.sha256}
        )
        self._ended: dict[str, float] = {}
        self._lock = threading.Lock()

    def issue(self, name: str, way: str, role: Role | None, proof: str) -> str:
        """Return the cookie of a new session."""
        return str(self._serializer.dumps(asdict(Session(secrets.token_urlsafe(12), name, way, role, proof))))

    def read(self, text: str | None) -> Session | None:
        """Return the session of a cookie; None where it is forged, too old, or has been ended."""
        if not text or len(text) > _LONGEST_COOKIE:
            return None
        try:
            session = Session(**self._serializer.loads(text, max_age=self.seconds))
        except (BadData, TypeError):
            return None
        role_known = session.role is None or session.role in ROLES
        with self._lock:
            return session if role_known and session.id not in self._ended else None

    def end(self, session_id: str) -> None:
        """End a session for good, whoever still holds its cookie."""
        now = time.monotonic()
        with self._lock:
            self._ended[session_id] = now + self.seconds
            self._ended = {known: until for known, until in self._ended.items() if until > now}

    def token(self, purpose: str) -> str:
        """Return what a form of ours carries to prove that it is ours; ``purpose`` binds it, such as to a session."""
        return hmac.new(self._key.encode(), b"regulars form\0" + purpose.encode(), hashlib.sha256).hexdigest()

    def is_token(self, purpose: str, given: object) -> bool:
        """Say whether that is the form's token."""
        return isinstance(given, str) and same(self.token(purpose), given)


def same(secret: str, given: str) -> bool:
    """Say whether two texts are the same, in a time that does not tell how much of it was right."""
    return hmac.compare_digest(secret.encode(), given.encode("utf-8", "replace"))


def read_secret(key: str, given: "SecretStr | None", file: str | None, folder: Path, *, made_here: bool = True) -> str:
    """Return a secret of ``[app]``, from the environment or its file; "" where neither is said.

    One that was not ``made_here`` is as its maker gave it: how long it is is not judged.

    Raises
    ------
    SettingsError
        Both are said; the file is missing, empty or open to others on the machine; the secret is short or well known.
    """
    variable = f"REGULARS_APP__{key.upper().replace('.', '__')}"
    if given is not None and file is not None:
        raise SettingsError(f"[app] {key}: both {variable} and {key}_file are given; keep one")
    if given is not None:
        secret, where = given.get_secret_value().strip(), f"the environment's {variable}"
    elif file is not None:
        path = folder / Path(file).expanduser()
        secret, where = private_text(path, f"[app] {key}_file").strip(), f"[app] {key}_file {path}"
        if not secret:
            raise SettingsError(f"{where} is empty; {how_to_make_one()}")
    else:
        return ""
    problem = secret_problem(secret) if made_here else ""
    if problem:
        raise SettingsError(f"{where} {problem}; {how_to_make_one()}")
    return secret


def secret_problem(secret: str) -> str:
    """Say why a text is no secret; "" where it may be one. What is said never repeats it.

    Examples
    --------
    >>> secret_problem("too short")
    'has 9 bytes, and needs 32 or more'
    >>> secret_problem("change-me-please-change-me-please-change-me")
    'is well known or easily guessed'
    >>> secret_problem("k7Qe2Zr9Tw4Yb6Uc1Xp8Vs3Md5Lf0Hj-aN")
    ''
    """
    size = len(secret.encode())
    if size < SHORTEST_SECRET:
        return f"has {size} bytes, and needs {SHORTEST_SECRET} or more"
    lowered = secret.lower()
    plain = re.sub(r"\W|_", "", lowered)
    left = re.sub("|".join(sorted(_WELL_KNOWN, key=len, reverse=True)), "", plain)
    for order in _IN_ORDER:
        for length in range(len(order), 3, -1):
            for start in range(len(order) - length + 1):
                left = left.replace(order[start : start + length], "")
    repeats = re.fullmatch(r"(.{1,16}?)\1+.{0,15}", plain) is not None
    if repeats or len(set(lowered)) < _FEWEST_CHARACTERS or len(left) < SHORTEST_SECRET // 2:
        return "is well known or easily guessed"
    return ""


def how_to_make_one() -> str:
    """Return the command that makes a secret, for messages."""
    return "make one with: python -c 'import secrets; print(secrets.token_urlsafe(48))'"


def private_text(path: Path, what: str) -> str:
    """Read a file that nobody else on this machine may read.

    Raises
    ------
    SettingsError
        It is missing, no text, or others may read or write it.
    """
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SettingsError(f"{what}: no file {path}; write it, or name another") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{what}: {path} cannot be read: {error}") from None
    if os.name != "nt" and mode & 0o007:
        raise SettingsError(
            f"{what}: {path} is open to everybody on this machine (mode {stat.S_IMODE(mode):04o}); "
            f"close it: chmod 600 {path}"
        )
    return text
