"""The web app: pages over a warehouse's snapshots, on loopback, with headers that let nothing in from outside."""

import ipaddress
import logging
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dash import ClientsideFunction, Dash, Input, Output, State, html, no_update
from dash.development.base_component import Component
from flask import Flask, Response, abort, request

from ..sql.errors import RegularsError, SettingsError
from . import formats, report, routes
from .components import provenance, shell, states
from .components.icons import icon
from .data import AppData, SnapshotData
from .pages import Page, customers, overview

log = logging.getLogger(__name__)

PAGES: tuple[Page, ...] = (overview.PAGE, customers.PAGE)
_LOOPBACK_NAMES = {"localhost", "127.0.0.1", "::1"}
_LARGEST_REQUEST = 1 << 20

_INDEX = """<!DOCTYPE html>
<html lang="en">
  <head>
    {%metas%}
    <title>{%title%}</title>
    <link rel="icon" type="image/svg+xml" href="/assets/favicon.svg">
    <script src="/assets/early.js"></script>
    {%css%}
  </head>
  <body>
    {%app_entry%}
    <footer>{%config%}{%scripts%}{%renderer%}</footer>
  </body>
</html>
"""


def create_server(
    warehouse: str | Path,
    *,
    settings: str | Path | None = None,
    threads: int | None = None,
    memory_limit: str | None = None,
    warm: bool = True,
) -> Dash:
    """Make the app over a warehouse; its ``.server`` is the WSGI application.

    Parameters
    ----------
    warehouse : str or Path
        The folder that ``regulars build`` publishes to. It need not exist yet: the pages then say how to make it.
    settings : str or Path, optional
        The ``regulars.toml`` that lists, price files and builds are made by. Without it the app only shows.
    threads, memory_limit
        What DuckDB may use; its own defaults where not given.
    warm : bool
        Read the current snapshot's customers in the background, ahead of the first page.

    Examples
    --------
    >>> app = create_server("no-such-folder", warm=False)
    >>> app.server.test_client().get("/healthz").get_json()["status"]
    'no snapshot'
    """
    data = AppData(warehouse, settings=settings, threads=threads, memory_limit=memory_limit)
    app = Dash(
        "regulars",
        title="regulars",
        update_title="",
        assets_folder=str(Path(__file__).parent / "assets"),
        assets_ignore="early",
        index_string=_INDEX,
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
        suppress_callback_exceptions=True,
        compress=True,
        add_log_handler=False,
        enable_mcp=False,
    )
    app.layout = shell.shell(PAGES)
    server: Flask = app.server
    server.config["MAX_CONTENT_LENGTH"] = _LARGEST_REQUEST
    _check_requests(app)
    _secure_answers(app)
    routes.register(server, data)
    shell.register(app)
    for page in PAGES:
        page.register(app, data)
    _register_pages(app, data)
    report.register(server, data, PAGES)
    app.clientside_callback(
        ClientsideFunction("regulars", "reportLink"),
        Output("report-link", "href"),
        Input("url", "search"),
        Input("run", "data"),
        State("url", "pathname"),
    )
    server.extensions["regulars"] = data
    if warm:
        threading.Thread(target=data.warm, name="regulars-warm", daemon=True).start()
    return app


def serve(
    warehouse: str | Path,
    host: str = "127.0.0.1",
    port: int = 8050,
    *,
    settings: str | Path | None = None,
    threads: int | None = None,
) -> None:
    """Serve the app with waitress until it is interrupted or told to end.

    Raises
    ------
    SettingsError
        Where ``host`` is not this machine's loopback: whoever reaches the port would read every customer. Or where
        the port cannot be used.
    """
    if not is_loopback(host):
        raise SettingsError(
            f"host {host!r} is reachable from other machines and this version has no sign-in; "
            "serve on 127.0.0.1 (the default) and reach it through an SSH tunnel: ssh -L 8050:127.0.0.1:8050 MACHINE"
        )
    app = create_server(warehouse, settings=settings, threads=threads)
    try:
        server = _listen(app, host, port)
    except OSError as error:
        app.server.extensions["regulars"].close()
        raise SettingsError(
            f"port {port} of {host} cannot be used: {error.strerror}; "
            f"stop what uses it, or choose another: --port {port + 1}"
        ) from error
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    sys.stderr.write(f"regulars is at http://{host}:{port} until you press Ctrl+C\n")
    try:
        server.run()
    finally:
        server.close()
        app.server.extensions["regulars"].close()


@contextmanager
def served(app: Dash) -> Iterator[str]:
    """Serve an app in the background on a free port of loopback while the block runs; gives its address.

    For tests and for pictures of the pages.

    Examples
    --------
    >>> from urllib.request import urlopen
    >>> with served(create_server("no-such-folder", warm=False)) as address:
    ...     urlopen(f"{address}/assets/favicon.svg").status
    200
    """
    from waitress import wasyncore

    server = _listen(app, "127.0.0.1", 0)
    loop = threading.Thread(target=server.run, name="regulars-served", daemon=True)
    loop.start()
    try:
        yield f"http://127.0.0.1:{server.effective_port}"
    finally:
        # the workers first, then the sockets, and those in the thread that waits on them
        server.task_dispatcher.shutdown()
        server.trigger.pull_trigger(lambda: wasyncore.close_all(server._map, ignore_all=True))
        loop.join(timeout=5)
        app.server.extensions["regulars"].close()


def _listen(app: Dash, host: str, port: int) -> Any:
    from waitress.server import create_server as wsgi_server

    # a page asks for its cards at once: that they wait a moment in line is no news
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, port), family=family, backlog=1024)
    return wsgi_server(
        app.server,
        sockets=[listening],
        threads=8,
        ident=None,
        channel_timeout=600,
        max_request_body_size=_LARGEST_REQUEST,
        # answers wait in memory, 16 MB a reader at most (outbuf_high_watermark), never in files
        inbuf_overflow=2 * _LARGEST_REQUEST,
        outbuf_overflow=32 * _LARGEST_REQUEST,
    )


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


def _register_pages(app: Dash, data: AppData) -> None:
    @app.callback(
        Output("page", "children"),
        Output("run", "data"),
        Output("side-snapshot", "children"),
        Output("newer", "hidden"),
        Input("url", "pathname"),
        Input("show-newer", "n_clicks"),
        State("url", "search"),
    )
    def show_page(path: Any, clicks: Any, search: Any) -> tuple[Any, ...]:  # noqa: ARG001
        page = next((page for page in PAGES if page.path == path), None)
        if page is None:
            return _no_page(), no_update, no_update, True
        try:
            snapshot = data.snapshot()
            body = page.layout(snapshot, search if isinstance(search, str) else "")
            return [_head(page, snapshot), body], snapshot.run_id, _side(snapshot), True
        except Exception as error:  # noqa: BLE001 - the page says what is the matter
            return [_head(page, None), states.problem(error)], None, None, True

    @app.callback(
        Output("newer", "hidden", allow_duplicate=True),
        Output("newer-text", "children"),
        Input("poll", "n_intervals"),
        State("run", "data"),
        prevent_initial_call=True,
    )
    def look_for_newer(ticks: Any, run: Any) -> tuple[bool, Any]:  # noqa: ARG001
        try:
            if data.current_run() == run:
                return True, no_update
            newer = data.snapshot()
            data.warm()
            return False, shell.newer_text(newer)
        except RegularsError:
            return True, no_update


def _head(page: Page, snapshot: SnapshotData | None) -> Component:
    return html.Header(
        [
            html.Div([html.H1(page.name, tabIndex=-1), html.P(page.question, className="question")]),
            html.Div([provenance.stamp(snapshot), _report_link(page)], className="page-head-end") if snapshot else None,
        ],
        className="page-head",
    )


def _report_link(page: Page) -> Component | None:
    if page.report is None:
        return None
    return html.A(
        [icon("download", 15), "Report"],
        id="report-link",
        href=f"/report/{report.page_name(page)}.html",
        download="",
        className="button report-link",
        title="This page as one HTML file, with every number's source",
    )


def _side(snapshot: SnapshotData) -> Component:
    return html.Div(
        [html.Span("Snapshot"), html.Strong(formats.day(snapshot.as_of)), html.Span(f"run {snapshot.run_id[:8]}")],
        className="side-snapshot",
    )


def _no_page() -> list[Component]:
    names = ", ".join(page.name for page in PAGES)
    return [
        html.Header(html.H1("No such page", tabIndex=-1), className="page-head"),
        states.state("Nothing at this address", f"The pages are {names}; the menu leads to them.", symbol="search"),
    ]


def _check_requests(app: Dash) -> None:
    """Refuse what no page of ours sends, before Dash reads it."""

    @app.server.before_request
    def check() -> None:
        host = request.host.rpartition(":")[0] if request.host.rpartition(":")[2].isdigit() else request.host
        if not is_loopback(host.strip("[]")):
            # another name for our address: a page elsewhere that had its name point here (DNS rebinding)
            abort(400, "this server answers to localhost and 127.0.0.1 only")
        if request.method == "POST":
            if request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
                abort(403, "a request from another site")
            if request.path == "/_dash-update-component" and not _is_callback(
                app.callback_map, request.get_json(silent=True)
            ):
                abort(400, "no such callback")


def _is_callback(known: Mapping[str, Any], body: Any) -> bool:
    """Say whether a body asks for one of our callbacks with just the inputs and states it has."""
    if not isinstance(body, dict) or not isinstance(body.get("output"), str) or body["output"] not in known:
        return False
    changed = body.get("changedPropIds", [])
    if not isinstance(changed, list) or not all(isinstance(one, str) for one in changed):
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


def _secure_answers(app: Dash) -> None:
    policy: list[str] = []

    @app.server.after_request
    def secure(response: Response) -> Response:
        if not policy:
            # not earlier: Dash adds its last inline scripts when the first request sets it up
            policy.append(_content_security_policy(app.csp_hashes()))
        headers = response.headers
        headers["Content-Security-Policy"] = policy[0]
        headers["X-Content-Type-Options"] = "nosniff"
        headers["X-Frame-Options"] = "DENY"
        headers["Referrer-Policy"] = "no-referrer"
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
        headers["Cross-Origin-Resource-Policy"] = "same-origin"
        headers["Permissions-Policy"] = "camera=(), microphone=(), geolocation=(), interest-cohort=()"
        if request.path.startswith("/_dash-update-component") or response.mimetype == "text/html":
            headers["Cache-Control"] = "no-store"
        return response


def _content_security_policy(script_hashes: Any) -> str:
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' {' '.join(dict.fromkeys(script_hashes))}",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )
