"""The read API for e-mail and web jobs: one snapshot's customers and the decisions of campaigns, as JSON, by token.

It is a WSGI application of its own: `regulars api` serves it alone, `mount` puts it below the web app's ``/api/``, past
its pages, sessions and sign-in. Each request takes one snapshot's index and is answered from that alone.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable
from datetime import date
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BaseConverter

from ..sql.errors import RegularsError, WarehouseError, nearest
from .api_answers import MOST_IDS, WANTED, customer, decision, envelope
from .api_description import PREFIX, description
from .customer_index import CurrentCustomers
from .decision_index import DecisionIndex
from .tokens import Tokens

if TYPE_CHECKING:
    from .customer_index import CustomerIndex

log = logging.getLogger(__name__)

_LARGEST_REQUEST = 1 << 20
_LONGEST_SHOWN = 100
_NOTE_SECONDS = 60.0
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class Problem(RegularsError):
    """What cannot be answered, as RFC 9457 has it: a status, a type, a sentence, and what is allowed."""

    def __init__(self, status: int, kind: str, detail: str, **more: Any) -> None:
        super().__init__(detail)
        self.status, self.kind, self.detail, self.more = status, kind, detail, more


def create_api(warehouse: str | Path, *, open_api: bool = False) -> Flask:
    """Make the API over a warehouse.

    Parameters
    ----------
    warehouse : str or Path
        The folder that ``regulars build`` publishes to. It need not hold a snapshot yet.
    open_api : bool
        Answer without a token whoever asks for ``localhost`` or ``127.0.0.1``; ``[app] open_api`` of the settings.

    Examples
    --------
    >>> api = create_api("no-such-folder")
    >>> api.test_client().get("/api/v1/snapshot").status_code
    401
    """
    path = Path(warehouse).absolute()
    api = Flask("regulars_api", static_folder=None)
    api.config["MAX_CONTENT_LENGTH"] = _LARGEST_REQUEST
    api.url_map.merge_slashes = False
    api.url_map.strict_slashes = False
    api.url_map.converters["text"] = _AnyText
    customers, decisions = CurrentCustomers(path, WANTED), DecisionIndex(path)
    api.extensions["regulars"] = customers
    _check_tokens(api, Tokens(path), open_api=open_api)
    _answer_problems(api)
    _register(api, customers, decisions)
    return api


def mount(server: Flask, warehouse: str | Path, *, open_api: bool = False) -> Flask:
    """Let a web app's server answer what begins with ``/api/`` by the API; it never sees these requests itself.

    Examples
    --------
    >>> server = Flask("pages")
    >>> api = mount(server, "no-such-folder")
    >>> server.test_client().get("/api/v1/snapshot").status_code, server.test_client().get("/").status_code
    (401, 404)
    """
    api, pages = create_api(warehouse, open_api=open_api), server.wsgi_app

    def dispatch(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        is_api = str(environ.get("PATH_INFO", "")).startswith("/api/")
        return (api.wsgi_app if is_api else pages)(environ, start_response)

    server.wsgi_app = dispatch
    return api


class _AnyText(BaseConverter):
    """An id as it is: with slashes, line ends, anything."""

    regex = r"(?s:.+)"
    part_isolating = False


def _register(api: Flask, customers: CurrentCustomers, decisions: DecisionIndex) -> None:
    @api.get(f"{PREFIX}/openapi.json")
    def describe() -> Response:
        _asked()
        return _json(description())

    @api.get(f"{PREFIX}/snapshot")
    def snapshot() -> Response:
        _asked()
        index = customers.index()
        model = index.manifest.get("model") or {}
        said = {"customers": len(index), "model": model.get("name") or None, "verdict": model.get("verdict") or None}
        return _tagged(index, envelope(index) | said)

    @api.get(f"{PREFIX}/customers")
    def customer_by_query() -> Response:
        asked = _asked("id")
        return _customer(asked.get("id"))

    @api.get(f"{PREFIX}/customers/<text:customer_id>")
    def customer_by_path(customer_id: str) -> Response:
        _asked()
        return _customer(customer_id)

    def _customer(customer_id: str | None) -> Response:
        if not customer_id:
            raise Problem(400, "missing-id", f"no id: ask for {PREFIX}/customers/ID or {PREFIX}/customers?id=ID")
        index = customers.index()
        found = index.find(customer_id)
        if found is None:
            raise Problem(
                404,
                "unknown-customer",
                f"run {index.run_id} has no customer {_short(customer_id)}; ids are those of the orders with customer "
                "links followed, percent-encoded in a path",
                run_id=index.run_id,
            )
        return _tagged(index, envelope(index) | customer(customer_id, found))

    @api.post(f"{PREFIX}/customers:batch")
    def batch() -> Response:
        _asked()
        ids = _ids()
        index = customers.index()
        known, unknown = [], []
        for one in ids:
            found = index.find(one)
            if found is None:
                unknown.append(one)
            else:
                known.append(customer(one, found))
        return _tagged(index, envelope(index) | {"customers": known, "unknown": unknown})

    @api.get(f"{PREFIX}/campaigns/<text:campaign>/decision")
    def decided(campaign: str) -> Response:
        asked = _asked("customer", "on")
        customer_id, on = asked.get("customer"), asked.get("on", "")
        if not customer_id:
            raise Problem(400, "missing-customer", "no customer: ask for .../decision?customer=ID")
        if on and not _is_day(on):
            raise Problem(400, "bad-day", f"on = {_short(on)} is no day; write YYYY-MM-DD, or leave it out")
        found = decisions.find(campaign, customer_id, on)
        if found is None:
            raise _no_decision(campaign, on, decisions.campaigns())
        said, row = found
        facts = said.facts
        if row is None:
            raise Problem(
                404,
                "unknown-customer",
                f"{facts.campaign} of {facts.on} considered no customer {_short(customer_id)}",
                decision_run=facts.run_id,
            )
        made_from = {"run_id": facts.facts.get("snapshot"), "as_of": facts.facts.get("as_of")}
        told = {
            "campaign": facts.campaign,
            "customer_id": customer_id,
            "on": facts.on,
            **decision(row),
            "decision_run": facts.run_id,
            "snapshot": made_from,
            "model_version": facts.facts.get("model_version"),
        }
        return _json(told, etag=said.stamp)

    @api.get("/healthz")
    def health() -> Response:
        return _json({"status": "ok", "run": customers.index().run_id})


def _check_tokens(api: Flask, tokens: Tokens, *, open_api: bool) -> None:
    next_note = [0.0]

    @api.before_request
    def check() -> None:
        if request.path == "/healthz":
            return
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        token = tokens.check(text.strip()) if scheme.lower() == "bearer" else None
        if token is not None:
            g.token = token
            return
        # without a token nobody but this machine's own programs: no page that had its name point here
        if open_api and not text and _host() in _LOOPBACK and "Origin" not in request.headers:
            return
        why = "this token opens nothing: unknown, expired or revoked" if text else "a token is needed"
        raise Problem(
            401,
            "no-token",
            f"{why}; send 'Authorization: Bearer TOKEN', made by: regulars token create NAME",
            invalid=bool(text),
        )

    @api.after_request
    def note(response: Response) -> Response:
        now = time.monotonic()
        if now >= next_note[0] and "token" in g:
            next_note[0] = now + _NOTE_SECONDS
            threading.Thread(target=tokens.note_uses, name="regulars-token-uses", daemon=True).start()
        headers = response.headers
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'"
        headers["Referrer-Policy"] = "no-referrer"
        headers["Cross-Origin-Resource-Policy"] = "same-origin"
        return response


def _answer_problems(api: Flask) -> None:
    @api.errorhandler(Problem)
    def problem(error: Problem) -> Response:
        more = dict(error.more)
        response = _problem(error.status, error.kind, error.detail, **more)
        if error.status == HTTPStatus.UNAUTHORIZED:
            invalid = ', error="invalid_token"' if more.get("invalid") else ""
            response.headers["WWW-Authenticate"] = f'Bearer realm="regulars"{invalid}'
        return response

    @api.errorhandler(WarehouseError)
    def no_snapshot(error: WarehouseError) -> Response:
        log.warning("%s: %s", request.path[:_LONGEST_SHOWN], error)
        detail = "there is no snapshot to answer from; 'regulars build' makes one, the server's log says more"
        return _problem(503, "no-snapshot", detail)

    @api.errorhandler(HTTPException)
    def refused(error: HTTPException) -> Response:
        code = error.code or 500
        methods = sorted(set(getattr(error, "valid_methods", None) or ()) - {"OPTIONS"})
        if code == HTTPStatus.NOT_FOUND:
            allowed = sorted(description()["paths"])
            return _problem(404, "no-such-path", f"nothing here; there are {', '.join(allowed)}", allowed=allowed)
        if methods:
            response = _problem(code, "method", f"{request.method[:20]} is not allowed here", allowed=methods)
            response.headers["Allow"] = ", ".join(methods)
            return response
        if code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return _problem(code, "too-large", f"a request is at most {_LARGEST_REQUEST:,} bytes: ask in parts")
        return _problem(code, "refused", error.name)

    @api.errorhandler(Exception)
    def failed(error: Exception) -> Response:
        log.error("%s failed", request.path[:_LONGEST_SHOWN], exc_info=error)
        return _problem(500, "failed", "it failed on the server; the log says why")


def _no_decision(campaign: str, on: str, known: list[str]) -> Problem:
    if campaign in known:
        return Problem(
            404, "no-decision", f"nothing was decided of {_short(campaign)} for {on}; leave on out for the latest"
        )
    near = nearest(campaign[:_LONGEST_SHOWN], known)
    return Problem(
        404,
        "no-decision",
        f"nothing was decided of a campaign {_short(campaign)}{near}; 'regulars target CAMPAIGN' decides it",
        allowed=known,
    )


def _asked(*allowed: str) -> dict[str, str]:
    """Return the query of the request; nothing but what is allowed, each once."""
    for name, values in request.args.lists():
        if name not in allowed:
            said = ", ".join(allowed) or "none"
            raise Problem(
                400, "unknown-parameter", f"no parameter {_short(name)}; allowed: {said}", allowed=list(allowed)
            )
        if len(values) > 1:
            raise Problem(400, "repeated-parameter", f"{name} stands twice; give it once")
    return request.args.to_dict()


def _ids() -> list[str]:
    shape = f'{{"ids": ["C1", "C2"]}}, at most {MOST_IDS:,} ids'
    if request.mimetype != "application/json":
        raise Problem(415, "no-json", f"the body is JSON with 'Content-Type: application/json': {shape}")
    try:
        body = json.loads(request.get_data())
    except (ValueError, RecursionError):
        raise Problem(400, "no-json", f"the body is no JSON; allowed: {shape}") from None
    ids = body.get("ids") if isinstance(body, dict) and set(body) == {"ids"} else None
    if not isinstance(ids, list) or not all(isinstance(one, str) and one for one in ids):
        raise Problem(400, "bad-ids", f"the body is not what is asked for; allowed: {shape}, each a text in quotes")
    if not 1 <= len(ids) <= MOST_IDS:
        raise Problem(400, "bad-ids", f"{len(ids):,} ids; allowed: 1 to {MOST_IDS:,} in one request", most=MOST_IDS)
    return list(dict.fromkeys(ids))


def _tagged(index: "CustomerIndex", said: dict[str, Any]) -> Response:
    return _json(said, etag=index.run_id)


def _json(said: Any, etag: str = "") -> Response:
    text = json.dumps(said, allow_nan=False, separators=(",", ":"))
    response = Response(text, mimetype="application/json")
    if etag:
        response.set_etag(f"{etag}-1")
        response.headers["Cache-Control"] = "private, no-cache"
        if request.method in {"GET", "HEAD"}:
            response.make_conditional(request)
    else:
        response.headers["Cache-Control"] = "no-store"
    return response


def _problem(status: int, kind: str, detail: str, **more: Any) -> Response:
    title = HTTPStatus(status).phrase
    said = {"type": f"urn:regulars:problem:{kind}", "title": title, "status": status, "detail": detail}
    text = json.dumps(said | {name: value for name, value in more.items() if name != "invalid"})
    headers = {"Cache-Control": "no-store"}
    return Response(text, status=status, mimetype="application/problem+json", headers=headers)


def _short(text: str) -> str:
    # as it would stand in an address: no markup, no line end, whatever was sent
    shown = text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
    return quote(shown, safe=" @:+,.", errors="replace")


def _host() -> str:
    name, colon, port = request.host.rpartition(":")
    return (name if colon and port.isdigit() else request.host).strip("[]").lower()


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
