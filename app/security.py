"""What is let in and what goes out: names and origins that requests may have, the headers of every answer."""

import ipaddress
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from flask import abort, request

if TYPE_CHECKING:
    from dash import Dash
    from flask import Flask, Response

    from ..sql.app_settings import AppSettings

_LOOPBACK_NAMES = {"localhost", "127.0.0.1", "::1"}
_READS = {"GET", "HEAD", "OPTIONS"}
_LONGEST_PATH = 2000
_DEEPEST = 40
CALLBACKS = "/_dash-update-component"
# Forms of ours: they carry a token, which proves more than an origin does.
FORMS = frozenset({"/sign-in", "/sign-out"})


def is_loopback(host: str) -> bool:
    """Say whether a host name or address is this machine's own.

    Examples
    --------
    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0"), is_loopback("")
    (True, True, False, False)
    """
    if host in _LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def host_name(host: str) -> str:
    """Return the name in a ``Host`` header, without port and brackets.

    Examples
    --------
    >>> host_name("Shop.example:8050"), host_name("[::1]:8050"), host_name("::1")
    ('shop.example', '::1', '::1')
    """
    before, _, port = host.rpartition(":")
    named = before if port.isdigit() and (before.endswith("]") or ":" not in before) else host
    return named.strip("[]").lower()


def path_here(asked: object) -> str:
    r"""Return the page of ours that somebody asked for before signing in; the first page for whatever is none.

    Examples
    --------
    >>> path_here("/customers?segment=best")
    '/customers?segment=best'
    >>> path_here("//evil.example/"), path_here("https://evil.example/"), path_here("/\\evil.example")
    ('/', '/', '/')
    """
    text = asked if isinstance(asked, str) else ""
    if not text.startswith("/") or text.startswith(("//", *FORMS)) or "\\" in text or len(text) > _LONGEST_PATH:
        return "/"
    parts = urlsplit(text)
    return text if text.isprintable() and not parts.scheme and not parts.netloc else "/"


class Callers:
    """Who is at the other end of the request, told by its connection and by proxies that are trusted.

    Parameters
    ----------
    trusted : iterable of str
        Addresses or networks of the proxies whose word is taken.
    """

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        self._trusted = [ipaddress.ip_network(one) for one in trusted]

    def is_trusted_proxy(self) -> bool:
        """Say whether the request came from a trusted proxy."""
        return self._is_trusted(request.remote_addr or "")

    def address(self) -> str:
        """Return the address that the request came from, past the trusted proxies."""
        address = request.remote_addr or ""
        if self._is_trusted(address):
            for hop in reversed(request.headers.get("X-Forwarded-For", "").split(",")):
                if not _is_address(hop.strip()):
                    break
                address = hop.strip()
                if not self._is_trusted(address):
                    break
        return address

    def is_secure(self) -> bool:
        """Say whether the browser is known to have come by https."""
        forwarded = request.headers.get("X-Forwarded-Proto", "").strip().lower()
        return request.is_secure or (forwarded == "https" and self.is_trusted_proxy())

    def _is_trusted(self, address: str) -> bool:
        return _is_address(address) and any(ipaddress.ip_address(address) in network for network in self._trusted)


def check_origins(server: "Flask", settings: "AppSettings") -> None:
    """Refuse requests to another name than ours, and writes that another site made a browser send."""
    names = set(settings.hosts)
    strict = settings.sign_in != "none"

    @server.before_request
    def check() -> None:
        host = host_name(request.host)
        if not is_loopback(host) and host not in names:
            # another name for our address: a page elsewhere that had its name point here (DNS rebinding)
            answered = ", ".join(["localhost", "127.0.0.1", *sorted(names)])
            abort(400, f"this server answers to {answered} only; [app] hosts of regulars.toml names them")
        if request.method not in _READS and not _is_ours(strict=strict):
            abort(403, "a request from another site")


def _is_ours(*, strict: bool) -> bool:
    """Say whether a write was sent by a page of ours, or by a program that no browser's cookie helps."""
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site not in {None, "same-origin"}:
        return False
    if origin not in {None, "null"}:
        parts = urlsplit(origin)
        return parts.scheme in {"http", "https"} and parts.netloc.lower() == request.host.lower()
    if site == "same-origin" or request.path in FORMS:
        return True
    # every browser says one of the two with a write: this is none, and where nobody signs in none has a cookie either
    return origin is None and not strict


def check_callbacks(app: "Dash") -> None:
    """Refuse what none of our pages asks of a callback, and files that Dash does not have, without a failure."""
    from dash.exceptions import DependencyException  # not for the read API, which needs no Dash

    @app.server.before_request
    def check() -> None:
        if request.method == "POST" and request.path == CALLBACKS:
            if request.mimetype != "application/json":
                abort(415, "a callback takes JSON")
            try:
                body = request.get_json(silent=True)
            except RecursionError:
                body = None
            if not _is_callback(app.callback_map, body) or not _is_shallow(body):
                abort(400, "no such callback")

    @app.server.errorhandler(DependencyException)
    def no_file(error: DependencyException) -> tuple[str, int]:  # noqa: ARG001
        return "no such file", 404


def secure_answers(app: "Dash", callers: Callers) -> None:
    """Give every answer the headers that keep it from being framed, sniffed, leaked, or scripted from outside."""
    policy: list[str] = []

    @app.server.after_request
    def secure(response: "Response") -> "Response":
        if not policy:
            # not earlier: Dash adds its last inline scripts when the first request sets it up
            policy.append(content_security_policy(app.csp_hashes()))
        headers = response.headers
        headers.setdefault("Content-Security-Policy", policy[0])
        headers["X-Content-Type-Options"] = "nosniff"
        headers["X-Frame-Options"] = "DENY"
        headers.setdefault("Referrer-Policy", "no-referrer")
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
        headers["Cross-Origin-Resource-Policy"] = "same-origin"
        headers["Permissions-Policy"] = "camera=(), microphone=(), geolocation=(), interest-cohort=()"
        if callers.is_secure():
            headers["Strict-Transport-Security"] = "max-age=31536000"
        if response.mimetype in {"text/html", "application/json"} or "Set-Cookie" in headers:
            headers["Cache-Control"] = "no-store"
        return response


def content_security_policy(script_hashes: Iterable[str], *, scripts_from_here: bool = True) -> str:
    """Return the policy of a page: scripts strict, nothing from elsewhere, in no frame."""
    sources = [*(["'self'"] if scripts_from_here else []), *dict.fromkeys(script_hashes)]
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {' '.join(sources)}",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_callback(known: Mapping[str, Any], body: Any) -> bool:
    """Say whether a body asks for one of our callbacks with just the inputs and states it has."""
    if not isinstance(body, dict) or not isinstance(body.get("output"), str) or body["output"] not in known:
        return False
    changed = body.get("changedPropIds", [])
    # ids of ours are names: one that is a mapping, as Dash takes a text in braces, is none
    if not isinstance(changed, list) or not all(isinstance(one, str) and not one.startswith("{") for one in changed):
        return False
    if not _are_outputs(body["output"], body.get("outputs")):
        return False
    callback = known[body["output"]]
    for given, wanted in ((body.get("inputs"), callback["inputs"]), (body.get("state", []), callback["state"])):
        if not isinstance(given, list) or len(given) != len(wanted):
            return False
        for one, spec in zip(given, wanted, strict=True):
            if not isinstance(one, dict) or (one.get("id"), one.get("property")) != (spec["id"], spec["property"]):
                return False
    return True


def _is_shallow(body: Any) -> bool:
    """Say whether a body is nested no deeper than what a page sends: Python gives up at some hundred levels."""
    level = [body]
    for _ in range(_DEEPEST):
        level = [
            inner
            for one in level
            if isinstance(one, (dict, list))
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return True
    return False


def _are_outputs(name: str, given: Any) -> bool:
    """Say whether outputs are those of the callback of that name: ``id.property``, or ``..a.b...c.d..`` of several."""
    several = name.startswith("..")
    listed = given if several and isinstance(given, list) else [given] if isinstance(given, dict) else []
    if not all(isinstance(one, dict) and isinstance(one.get("property"), str) for one in listed):
        return False
    wanted = [part.rpartition(".") for part in name.strip(".").split("...")]
    return [(one.get("id"), one["property"].partition("@")[0]) for one in listed] == [
        (part, property_.partition("@")[0]) for part, _, property_ in wanted
    ]
