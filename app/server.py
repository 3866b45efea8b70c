"""The web app: pages over a warehouse's snapshots, on loopback, or elsewhere for who signs in."""

import importlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dash import ClientsideFunction, Dash, Input, Output, State, html, no_update
from dash.development.base_component import Component
from flask import Flask, Response, request

from ..sql.errors import RegularsError
from ..sql.settings import Settings
from . import api, formats, metrics, report, routes, security, uploads
from .components import provenance, shell, states
from .components.icons import icon
from .data import AppData
from .pages import Page, churn, cohorts, customer, customers, data_page, models, overview, pricing, start, uplift
from .serving import end_when_told, listen_on, serve_until_told, serving
from .sign_in import SignIn, check_reach, metrics_token
from .snapshot_data import SnapshotData

log = logging.getLogger(__name__)

PAGES: tuple[Page, ...] = (
    overview.PAGE,
    customers.PAGE,
    customer.PAGE,
    cohorts.PAGE,
    churn.PAGE,
    uplift.PAGE,
    pricing.PAGE,
    data_page.PAGE,
    models.PAGE,
    start.PAGE,
)
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
    said = _app_settings(settings)
    # whole and at once: Plotly asks pandas about each array, which another thread may be half through loading
    importlib.import_module("pandas")
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
    server: Flask = app.server
    server.config["MAX_CONTENT_LENGTH"] = _LARGEST_REQUEST
    callers = security.Callers(said.app.trusted_proxies)
    sign_in = SignIn(said.app, said.folder, callers, data)
    app.layout = lambda: shell.shell(PAGES, sign_in.account())
    # in the order in which they look at a request
    metrics.register(server, data, metrics_token(said.app, said.folder))
    security.check_origins(server, said.app)
    sign_in.register(server)
    security.check_callbacks(app)
    security.secure_answers(app, callers)
    _keep_assets(server)
    routes.register(server, data)
    uploads.register(server, data)
    # whom "localhost" asks for is known for certain only where no other machine reaches it
    api.mount(server, data.path, open_api=said.app.open_api and not sign_in.is_on)
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
        data.warm_in_background()
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
        Where ``host`` is not this machine's loopback and there is no sign-in or no real secret: whoever reaches the
        port would read every customer. Or where the port cannot be used, or the sign-in not be set up.
    """
    said = _app_settings(settings)
    check_reach(host, said.app, said.folder)
    end_when_told()
    app = create_server(warehouse, settings=settings, threads=threads)
    close = app.server.extensions["regulars"].close
    serve_until_told(lambda: _listen(app, host, port), host, port, f"regulars is at http://{host}:{port}", close)


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
    close = app.server.extensions["regulars"].close
    with serving(_listen(app, "127.0.0.1", 0), "regulars-served", close) as address:
        yield address


def _listen(app: Dash, host: str, port: int) -> Any:
    return listen_on(
        app.server,
        host,
        port,
        threads=8,
        channel_timeout=600,
        max_request_body_size=_LARGEST_REQUEST,
        # which proxies are believed is judged by security.Callers, with the settings at hand
        clear_untrusted_proxy_headers=False,
        # answers wait in memory, 16 MB a reader at most (outbuf_high_watermark), never in files
        inbuf_overflow=2 * _LARGEST_REQUEST,
        outbuf_overflow=32 * _LARGEST_REQUEST,
    )


def _app_settings(path: str | Path | None) -> Settings:
    """The settings for what they say of the app; where there is no file yet, the environment's say alone."""
    if path is not None and Path(path).exists():
        return Settings.from_toml(path)
    return Settings.from_mapping({"orders": {"path": "none"}}, origin="the environment")


def _keep_assets(server: Flask) -> None:
    @server.after_request
    def keep(response: Response) -> Response:
        # Dash names each script and style with the time of its last change, so that a change has another address;
        # in the browser alone: a proxy that kept them would answer those who have not signed in
        if request.path.startswith("/assets/") and "m" in request.args and response.status_code == 200:
            response.headers["Cache-Control"] = "private, max-age=31536000, immutable"
        return response


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
        page = start.in_place_of(next((page for page in PAGES if page.path == path), None), data)
        if page is None:
            return _no_page(), no_update, no_update, True
        try:
            snapshot = start.snapshot_for(page, data)
            body = page.layout(snapshot, search if isinstance(search, str) else "")  # pyright: ignore[reportArgumentType] - a page that needs one has one
            if snapshot is None:
                return [_head(page, None), body], None, None, True
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
            html.Div([provenance.stamp(snapshot, page.models(snapshot)), _report_link(page)], className="page-head-end")
            if snapshot
            else None,
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
