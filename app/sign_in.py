"""Who asks: by password, by the header of a trusted proxy, or from an OpenID provider; nobody else gets past this."""

import logging
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol
from urllib.parse import quote

from flask import g, has_request_context, redirect, request
from werkzeug.wrappers import Response

from ..sql.errors import RegularsError, SettingsError, WarehouseError
from . import sign_in_page
from .access import LOCAL, NotAllowed, Person
from .routes import json_answer
from .security import host_name, is_loopback, path_here
from .sessions import Session, Sessions, how_to_make_one, read_secret
from .throttle import Throttle
from .users import UsersFile

if TYPE_CHECKING:
    from flask import Flask

    from ..sql.app_settings import AppSettings, ProxySettings
    from .data import AppData
    from .security import Callers

log = logging.getLogger(__name__)

# Wrong passwords within five minutes: of one name from one address, from one address, of one name.
_ATTEMPTS = (5, 20, 50)
_LONGEST_NAME = 200
_NONCE = re.compile(r"[A-Za-z0-9_-]{22}")
_OPEN = frozenset({"health", "metrics", "sign_in", "sign_in_with", "signed_in", "sign_out"})


@dataclass(frozen=True)
class Account:
    """What the frame shows of who is signed in, and how they sign out: by a form of ours, or at the proxy's address."""

    name: str
    role: str
    token: str = ""
    leave: str = ""


class _Way(Protocol):
    """One way to know who asks."""

    name: str

    def person(self) -> Person | None:
        """Return who sent the request; None where nobody can be told."""
        ...


class SignIn:
    """How this server knows who asks; one way, chosen by ``[app] sign_in``.

    Parameters
    ----------
    settings : AppSettings
    folder : Path
        Where the settings' relative paths start.
    callers : Callers
    data : AppData

    Raises
    ------
    SettingsError
        A secret is short or well known, or the users file is missing, damaged or open to others.
    """

    def __init__(self, settings: "AppSettings", folder: Path, callers: "Callers", data: "AppData") -> None:
        self.settings, self.callers, self.data = settings, callers, data
        secret = read_secret("secret", settings.secret, settings.secret_file, folder)
        if not secret:
            secret = secrets.token_urlsafe(48)  # of this process alone: its end ends all sessions
        self.sessions = Sessions(secret, settings.session_hours)
        self.throttle = Throttle()
        self.users: UsersFile | None = None
        self.way: _Way = _Nobody()
        if settings.sign_in == "proxy":
            self.way = _Proxy(settings.proxy, callers)
        elif settings.sign_in == "basic":
            self.users = UsersFile(folder / Path(settings.users_file).expanduser())
            if not self.users.users():
                raise SettingsError(f"{self.users.path} has no user; add one: regulars user add NAME --role admin")
            self.way = _Password(self)
        elif settings.sign_in == "oidc":
            from .oidc import Provider

            client_secret = read_secret(
                "oidc.client_secret",
                settings.oidc.client_secret,
                settings.oidc.client_secret_file,
                folder,
                made_here=False,
            )
            self.provider = Provider(settings.oidc, client_secret)
            self.way = _Provided(self)
        if settings.sign_in in {"basic", "oidc"}:
            self._remember_ended()

    @property
    def is_on(self) -> bool:
        """Whether anybody has to sign in."""
        return self.way.name != "none"

    def register(self, server: "Flask") -> None:
        """Stand before every route but the open ones, and add the routes of signing in and out."""
        server.config["REGULARS_SIGN_IN"] = self.way.name

        @server.before_request
        def know_who_asks() -> Response | None:
            g.person = None
            try:
                g.person = self.way.person()
            except NotAllowed as error:
                if request.endpoint not in _OPEN:
                    return self._refuse(403, str(error))
            if g.person is None and request.endpoint not in _OPEN:
                return self._ask_in()
            return None

        if self.way.name in {"basic", "oidc"}:
            self._register_routes(server)

    def account(self) -> Account | None:
        """Return what the frame shows of who asks; None where nobody has to sign in."""
        person = g.get("person") if self.is_on and has_request_context() else None
        if person is None:
            return None
        if self.way.name == "proxy":
            return Account(person.name, person.role, leave=self.settings.proxy.sign_out or "")
        session = self.session()
        return Account(person.name, person.role, token=self.sessions.token(session.id) if session else "")

    def session(self) -> Session | None:
        """Return the session of the request's cookie, if it is one of ours and not over."""
        session = self.sessions.read(request.cookies.get(self._cookie("session")))
        return session if session is not None and session.way == self.way.name else None

    def begin(self, name: str, role: Any, proof: str, leads_to: str) -> Response:
        """Answer a sign-in that succeeded: a new session, and on to the page that was asked for."""
        log.info("%s signed in from %s", name, self.callers.address())
        self._audit(name, "sign in", {"way": self.way.name, "address": self.callers.address()})
        answer = redirect(leads_to, 303)
        text = self.sessions.issue(name, self.way.name, role, proof)
        self._set_cookie(answer, "session", text, self.sessions.seconds, same_site="Lax")
        self._set_cookie(answer, "form", "", 0, same_site="Strict")
        return answer

    def page(self, status: int = 200, problem: str = "", *, wait: float = 0.0, name: str = "") -> Response:
        """Return the page on which one signs in."""
        nonce = request.cookies.get(self._cookie("form"), "")
        if not _NONCE.fullmatch(nonce):  # one for all pages that are open, so that none makes another's form void
            nonce = secrets.token_urlsafe(16)
        leads_to = path_here(request.values.get("next"))
        provider = f"/sign-in/with?next={quote(leads_to, safe='')}" if self.way.name == "oidc" else ""
        answer = sign_in_page.answer(
            status,
            problem,
            token=self.sessions.token(f"sign in {nonce}"),
            leads_to=leads_to,
            name=name,
            provider=provider,
        )
        if wait:
            answer.headers["Retry-After"] = str(round(wait + 0.5))
        self._set_cookie(answer, "form", nonce, 3600, same_site="Strict")
        return answer

    # ---- routes

    def _register_routes(self, server: "Flask") -> None:
        @server.get("/sign-in", endpoint="sign_in")
        def sign_in() -> Response:
            if g.get("person") is not None:
                return redirect(path_here(request.args.get("next")), 303)
            return self.page()

        @server.post("/sign-out", endpoint="sign_out")
        def sign_out() -> Response:
            session = self.session()
            if session is not None:
                if not self.sessions.is_token(session.id, request.form.get("token")):
                    return self.page(403, "This was not sent by a page of this app. Sign out with its button.")
                self.sessions.end(session.id)
                self._audit(session.name, "sign out", {"session": session.id})
            answer = redirect("/sign-in", 303)
            self._set_cookie(answer, "session", "", 0, same_site="Lax")
            return answer

        if self.users is not None:
            server.post("/sign-in", endpoint="sign_in_with")(self._check_password)
        else:
            self.provider.register(server, self)

    def _check_password(self) -> Response:
        assert self.users is not None
        nonce = request.cookies.get(self._cookie("form"), "")
        if not nonce or not self.sessions.is_token(f"sign in {nonce}", request.form.get("token")):
            return self.page(400, "The page was open for too long, or cookies are off. Try once more.")
        name, password = request.form.get("name", "").strip(), request.form.get("password", "")
        if len(name) > _LONGEST_NAME:
            return self.page(401, "Name or password is wrong.")
        address = self.callers.address()
        keys = ((name.casefold(), address), address, name.casefold())
        wait = self.throttle.attempt(dict(zip(keys, _ATTEMPTS, strict=True)))
        if wait:
            minutes = max(1, round(wait / 60))
            text = f"Too many wrong passwords. Try again in {minutes} minute{'' if minutes == 1 else 's'}."
            return self.page(429, text, wait=wait, name=name)
        try:
            user = self.users.check(name, password)
        except SettingsError as error:
            log.error("nobody can sign in: %s", error)
            return self.page(503, "The users file cannot be read. The log says why.", name=name)
        if user is None:
            known = self.users.user(name) is not None
            log.warning("wrong password of %s from %s", name if known else "an unknown name", address)
            return self.page(401, "Name or password is wrong.", name=name)
        self.throttle.forgive(*keys)
        return self.begin(user.name, None, user.proof, path_here(request.form.get("next")))

    # ---- how it is done

    def _ask_in(self) -> Response:
        """Answer who is not signed in: a page leads to the sign-in, everything else says 401."""
        if self.way.name == "proxy":
            return self._refuse(401, "nobody is signed in: the proxy in front of this app says who asks, and did not")
        if not _is_page():
            return self._refuse(401, "nobody is signed in; sign in at /sign-in")
        asked = request.full_path.rstrip("?")
        answer = redirect(f"/sign-in?next={quote(asked, safe='')}" if asked != "/" else "/sign-in", 303)
        answer.headers["Cache-Control"] = "no-store"
        return answer

    def _refuse(self, status: int, text: str) -> Response:
        if _is_page():
            return sign_in_page.refusal(status, f"{text[:1].upper()}{text[1:]}.")
        return json_answer({"error": text}, status=status)

    def _cookie(self, kind: str) -> str:
        # a name that browsers let nobody but this host set, over https alone
        return f"regulars_{kind}" if is_loopback(host_name(request.host)) else f"__Host-regulars_{kind}"

    def _set_cookie(
        self, answer: Any, kind: str, text: str, seconds: int, *, same_site: Literal["Lax", "Strict"]
    ) -> None:
        secure = not is_loopback(host_name(request.host))
        answer.set_cookie(
            self._cookie(kind), text, max_age=seconds, path="/", httponly=True, secure=secure, samesite=same_site
        )

    def _audit(self, name: str, action: str, details: Mapping[str, Any]) -> None:
        try:
            self.data.state.audit(name, action, "session", **details)
        except WarehouseError as error:
            log.error("%s of %s is not audited: %s", action, name, error)

    def _remember_ended(self) -> None:
        """Keep the sessions over that were ended before this process was started."""
        try:
            for line in self.data.state.audit_lines(10_000, action="sign out"):
                if isinstance(line.details.get("session"), str):
                    self.sessions.end(line.details["session"])
        except RegularsError as error:
            log.warning("sessions ended earlier are not known: %s", error)


def check_reach(host: str, settings: "AppSettings", folder: Path) -> None:
    """Refuse to be reached from other machines unless people sign in, and cannot forge that.

    Raises
    ------
    SettingsError
        Names everything that is missing at once.
    """
    if is_loopback(host):
        return
    missing = []
    if settings.sign_in == "none":
        missing.append('there is no sign-in: set [app] sign_in = "basic", "proxy" or "oidc" in regulars.toml')
    if not read_secret("secret", settings.secret, settings.secret_file, folder):
        missing.append(f"there is no secret: set REGULARS_APP__SECRET or [app] secret_file ({how_to_make_one()})")
    if settings.sign_in != "none" and not settings.hosts:
        missing.append('it is not said under which names it may be reached: set [app] hosts = ["regulars.example.com"]')
    if missing:
        raise SettingsError(
            f"host {host!r} is reachable from other machines, and {'; '.join(missing)}; or serve on 127.0.0.1 "
            "(the default) and reach it through an SSH tunnel: ssh -L 8050:127.0.0.1:8050 MACHINE"
        )


def metrics_token(settings: "AppSettings", folder: Path) -> str:
    """Return the token that opens ``/metrics``; "" where there is none.

    Raises
    ------
    SettingsError
        As `read_secret`.
    """
    return read_secret("metrics_token", settings.metrics_token, settings.metrics_token_file, folder)


class _Nobody:
    name = "none"

    def person(self) -> Person | None:
        return LOCAL


class _Password:
    name = "basic"

    def __init__(self, sign_in: SignIn) -> None:
        self._sign_in = sign_in

    def person(self) -> Person | None:
        session, users = self._sign_in.session(), self._sign_in.users
        if session is None or users is None:
            return None
        try:
            user = users.user(session.name)
        except SettingsError as error:
            log.error("nobody is let in: %s", error)
            return None
        # the role is the file's of now; another password, or no line any more, ends the session
        return Person(user.name, user.role) if user is not None and user.proof == session.proof else None


class _Proxy:
    name = "proxy"

    def __init__(self, settings: "ProxySettings", callers: "Callers") -> None:
        self._settings, self._callers = settings, callers

    def person(self) -> Person | None:
        name = readable(request.headers.get(self._settings.user_header, ""))
        if not name:
            return None
        if not self._callers.is_trusted_proxy():
            log.warning("a header that names a user came from %s, which is no trusted proxy", request.remote_addr)
            return None
        # WSGI joins a header that came twice with a comma: one of the two is a client's own
        if "," in name or len(name) > _LONGEST_NAME:
            return None
        groups = readable(request.headers.get(self._settings.groups_header, "")).split(",")
        role = self._settings.role_of([group.strip() for group in groups])
        if role is None:
            raise NotAllowed(f"{name} is in no group with a role here; ask an admin ([app.proxy] roles)")
        return Person(name, role)


class _Provided:
    name = "oidc"

    def __init__(self, sign_in: SignIn) -> None:
        self._sign_in = sign_in

    def person(self) -> Person | None:
        session = self._sign_in.session()
        if session is None or session.role is None or session.proof != self._sign_in.provider.proof:
            return None
        return Person(session.name, session.role)


def readable(text: str) -> str:
    """Return a header's text as UTF-8 where it is; "" where it holds what no name does."""
    with suppress(UnicodeError):
        text = text.encode("latin-1").decode("utf-8")
    text = text.strip()
    return text if text.isprintable() else ""


def _is_page() -> bool:
    """Whether a browser asks for one of the pages, and not a page for what it shows."""
    return request.endpoint in {"/", "/<path:path>"} and request.method in {"GET", "HEAD"}
