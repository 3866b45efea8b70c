"""The first page of an app with nothing to show: where the orders are, which column is what, and the first build."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import dash_mantine_components as dmc
from dash import Dash, Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component

from ...sql.errors import RegularsError, SettingsError, SourceError, WarehouseError
from ..access import current_person, require
from ..build_jobs import jobs_of
from ..components import build_panel, start_mapping, states
from ..components.aria import aria
from ..components.clicks import is_click
from ..components.icons import icon
from ..components.start_mapping import COLUMNS, REQUIRED, input_id
from ..components.url_state import UrlField, keep_in_url, url_store
from ..data_preview import LONGEST_PATH, Looked, look_into, preview
from ..guess_mapping import Guess, guess_mapping
from ..start_settings import SettingsTarget, StartForm, settings_of, settings_target, text_of, with_form, write_settings
from . import Page

if TYPE_CHECKING:
    from ..data import AppData
    from ..snapshot_data import SnapshotData

FIELDS = (UrlField("path", "start-path", "text", default=""),)
_LONGEST_EXPRESSION = 2_000
_CHECK_POLL = 1_000


def layout(data: "SnapshotData | None", search: str) -> Component:
    """Return the page's frame; what it holds depends on the settings there are, and comes at once."""
    del search
    return html.Div(
        [
            html.Div(states.skeleton(320), id="start-body"),
            dcc.Store(id="start-opened", data=data is None),
            _other_ways() if data is None else None,
        ],
        className="start",
    )


def in_place_of(page: Page | None, data: "AppData") -> Page | None:
    """Return this page instead of one that has nothing to show yet."""
    if page is None or not page.needs_snapshot or (data.path / "current.json").exists():
        return page
    return PAGE


def snapshot_for(page: Page, data: "AppData") -> "SnapshotData | None":
    """Return the current snapshot; None for a page that stands without one where there is none.

    Raises
    ------
    WarehouseError
        The page needs one, and there is none that can be read.
    """
    try:
        return data.snapshot()
    except WarehouseError:
        if page.needs_snapshot:
            raise
        return None


def register(app: Dash, data: "AppData") -> None:
    """Add the page's callbacks, and those of the panel that shows builds."""
    build_panel.register(app, data)
    keep_in_url(app, "start", FIELDS)
    inputs = [Input(input_id(name), "value") for name in COLUMNS]

    @app.callback(Output("start-body", "children"), Input("start-opened", "data"), State("url", "search"))
    @states.guarded
    def open_page(opened: Any, search: Any) -> Any:  # noqa: ARG001
        return _body(data, search if isinstance(search, str) else "")

    # with the address alone as its source it would not run for a link: the address then changes nothing
    @app.callback(Output("start-look", "children"), Input("start-path", "value"), Input("start-opened", "data"))
    @states.guarded
    def look(path: Any, opened: Any) -> Any:  # noqa: ARG001
        require("admin")
        return _look(settings_target(data), path)

    @app.callback(
        Output("start-preview", "children"),
        Output("start-text", "children"),
        Output("start-shown", "data"),
        Output("start-build", "disabled"),
        Output("start-check", "disabled"),
        Input("start-currency", "value"),
        Input("start-timezone", "value"),
        *inputs,
        State("start-path", "value"),
    )
    def draft(currency: Any, timezone: Any, *rest: Any) -> tuple[Any, ...]:
        try:
            require("admin")
            made = _draft(data, rest[-1], rest[:-1], currency, timezone)
        except Exception as error:  # noqa: BLE001 - shown in place of the rows
            return _mistake(error), "", "", True, True
        writable = _writable(made.target)
        shown: list[Any] = []
        try:
            shown.append(start_mapping.preview_table(preview(settings_of(made.target, made.said), made.target.folders)))
            made.must_be_whole()
        except Exception as error:  # noqa: BLE001 - shown in place of the rows
            return [*shown, _mistake(error)], made.text, "", True, not shown
        if writable:
            shown.append(html.P([icon("alert", 15), html.Span(writable)], className="caution"))
        return shown, made.text, made.shown, bool(writable), False

    @app.callback(
        Output("start-check-id", "data"),
        Output("start-checks", "children"),
        Output("start-check-poll", "disabled"),
        Input("start-check", "n_clicks"),
        State("start-currency", "value"),
        State("start-timezone", "value"),
        *[State(input_id(name), "value") for name in COLUMNS],
        State("start-path", "value"),
        prevent_initial_call=True,
    )
    def check(clicks: Any, currency: Any, timezone: Any, *rest: Any) -> tuple[Any, ...]:
        if not is_click(clicks, "start-check"):
            return no_update, no_update, no_update
        try:
            person = require("admin")
            made = _draft(data, rest[-1], rest[:-1], currency, timezone)
            name = jobs_of(data).start_check(made.text, made.target.folder, made.target.path.name, person)
        except Exception as error:  # noqa: BLE001 - said in its place
            return no_update, _mistake(error), True
        return (
            name,
            [states.skeleton(48), html.P("Reading all lines and checking them …", className="build-line")],
            False,
        )

    @app.callback(
        Output("start-checks", "children", allow_duplicate=True),
        Output("start-check-poll", "disabled", allow_duplicate=True),
        Input("start-check-poll", "n_intervals"),
        State("start-check-id", "data"),
        prevent_initial_call=True,
    )
    def await_checks(ticks: Any, name: Any) -> tuple[Any, Any]:  # noqa: ARG001
        if not isinstance(name, str) or not name:
            return no_update, True
        try:
            require("admin")
            found = jobs_of(data).check_result(name)
        except Exception as error:  # noqa: BLE001 - said in its place
            return _mistake(error), True
        if found is None:
            return no_update, no_update
        if "checks" not in found:
            return _mistake(SourceError(str(found.get("message", "the checks came to nothing")))), True
        return start_mapping.checks_table(found["checks"]), True

    @app.callback(
        Output("start-result", "children"),
        Output("build-poll", "interval", allow_duplicate=True),
        Input("start-build", "n_clicks"),
        State("start-shown", "data"),
        State("start-currency", "value"),
        State("start-timezone", "value"),
        *[State(input_id(name), "value") for name in COLUMNS],
        State("start-path", "value"),
        prevent_initial_call=True,
    )
    def build(clicks: Any, shown: Any, currency: Any, timezone: Any, *rest: Any) -> tuple[Any, Any]:
        if not is_click(clicks, "start-build"):
            return no_update, no_update
        try:
            person = require("admin")
            made = _draft(data, rest[-1], rest[:-1], currency, timezone)
            made.must_be_whole()
            if made.shown != shown:
                raise SettingsError("the settings file has changed since this page showed it; load the page anew")
            jobs = jobs_of(data)
            if jobs.status().phase in {"starting", "running"}:
                raise WarehouseError("a build is running already: wait for it to end, or cancel it")
            kept = write_settings(data, made.target, made.text, person)
            data.state.audit(person.name, "build", made.target.path.name)
            jobs.start(made.target.path, person)
        except Exception as error:  # noqa: BLE001 - said in its place
            return _mistake(error), no_update
        before = f"; the one before is kept as {kept.name}" if kept is not None else ""
        return html.P(f"{made.target.path.name} is written{before}. The build runs:", className="build-line"), 1_000


@dataclass(frozen=True)
class _Draft:
    """What would be written: ``said`` as a mapping, ``text`` as the file."""

    target: SettingsTarget
    form: StartForm
    said: Mapping[str, Any]
    text: str

    @property
    def shown(self) -> str:
        """What tells this text from any other."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def must_be_whole(self) -> None:
        """Refuse what a build would refuse at once, or what a person has to say."""
        settings_of(self.target, self.said)
        missing = [name for name in REQUIRED if not self.form.columns.get(name)]
        if missing:
            raise SettingsError(f"say what {', '.join(missing)} is: a column, or a SQL expression over columns")
        if not self.form.currency:
            raise SettingsError("choose the currency of the figures")


def _draft(data: "AppData", path: Any, values: tuple[Any, ...], currency: Any, timezone: Any) -> _Draft:
    target = settings_target(data)
    columns = {
        name: value.strip()
        for name, value in zip(COLUMNS, values, strict=True)
        if isinstance(value, str) and value.strip() and len(value) <= _LONGEST_EXPRESSION
    }
    asked = path.strip() if isinstance(path, str) else ""
    form = StartForm(
        path=_as_said(target, asked),
        columns=columns,
        csv=_options(target, asked),
        currency=currency if isinstance(currency, str) else "",
        timezone=timezone if isinstance(timezone, str) else "",
    )
    said = with_form(target, form, data.path)
    return _Draft(target, form, said, text_of(target, said))


def _look(target: SettingsTarget, path: Any) -> Any:
    if not isinstance(path, str) or not path.strip():
        return html.P("Name a file or a folder above, or upload one.", className="build-line")
    asked = path.strip()
    seen = _seen(target, asked)
    guess = guess_mapping(seen.columns)
    shop = target.said.get("shop", {})
    currency = str(shop.get("currency", "")) or guess.currency
    return [
        start_mapping.found_line(seen),
        start_mapping.mapping_inputs(seen, guess, _mapping(target, asked, seen, guess)),
        start_mapping.shop_inputs(currency, str(shop.get("timezone", "UTC"))),
    ]


def _seen(target: SettingsTarget, asked: str) -> Looked:
    said = {"orders": {"path": target.said["orders"]["path"] if _is_kept(target, asked) else _as_said(target, asked)}}
    options = target.said.get("orders", {}).get("csv") if _is_kept(target, asked) else None
    if _is_kept(target, asked):
        said["orders"] |= {k: v for k, v in target.said["orders"].items() if k in {"format", "hive_partitioning"}}
    return look_into(settings_of(target, said), target.folders, options)


def _options(target: SettingsTarget, asked: str) -> Mapping[str, Any]:
    if not asked:
        raise SourceError("name a file or a folder of orders, or upload one")
    return _seen(target, asked).csv


def _mapping(target: SettingsTarget, asked: str, seen: Looked, guess: Guess) -> Mapping[str, str]:
    """The mapping that the settings have where these are their files, else the guess."""
    orders = target.said.get("orders", {})
    said = {str(key): str(value) for key, value in dict(orders.get("columns", {})).items()}
    if not _is_kept(target, asked):
        return guess.mapping
    there = {column.name for column in seen.columns}
    return {name: name for name in COLUMNS if name in there} | said or guess.mapping


def _path_said(target: SettingsTarget) -> str:
    """The orders' path as the settings have it; several as one text."""
    path = target.said.get("orders", {}).get("path", "")
    return "; ".join(map(str, path)) if isinstance(path, list) else str(path)


def _is_kept(target: SettingsTarget, asked: str) -> bool:
    return bool(asked) and asked == _path_said(target)


def _as_said(target: SettingsTarget, asked: str) -> Any:
    return target.said["orders"]["path"] if _is_kept(target, asked) else target.folders.checked(asked)


def _writable(target: SettingsTarget) -> str:
    try:
        target.must_be_writable()
    except SettingsError as error:
        return str(error)[:1].upper() + str(error)[1:]
    return ""


def _mistake(error: Exception) -> Component:
    if isinstance(error, RegularsError):
        text = str(error).partition("\n\n")[0]
        return html.P([icon("alert", 16), html.Span(text)], className="start-mistake", role="alert")
    return states.problem(error, compact=True)


def _body(data: "AppData", search: str) -> Component:
    if not current_person().may("admin"):
        return states.state(
            "Nothing is set up yet", "An admin says here where the orders are. Ask one of them.", symbol="box"
        )
    target = settings_target(data)
    linked = parse_qs(search.removeprefix("?")).get("path", [""])[0][:LONGEST_PATH]
    said = _path_said(target)
    return html.Div(
        [
            url_store("start", FIELDS, {"path": said}),
            _card(
                "1 Orders",
                "A CSV or Parquet file, a folder of them, or a pattern such as orders/*.parquet",
                html.Div(
                    [
                        dmc.Autocomplete(
                            id="start-path",
                            label="File or folder on the server",
                            description=f"From {target.folder}",
                            data=list(dict.fromkeys([*([said] if said else []), *target.folders.candidates()])),
                            value=linked or said,
                            placeholder="orders.csv",
                            debounce=500,
                            limit=60,
                            size="sm",
                            inputProps={"spellCheck": False, "maxLength": LONGEST_PATH},
                            className="start-path",
                        ),
                        html.Div(
                            [
                                html.P(f"or, up to {target.app.max_upload_mb:,} MB,", className="start-or"),
                                html.Button(
                                    [icon("arrow", 15), "Upload a file"],
                                    id="start-upload",
                                    type="button",
                                    className="button",
                                ),
                            ],
                            className="start-upload",
                        ),
                    ],
                    className="start-source",
                ),
                html.Div(
                    [
                        html.Span(id="start-upload-said"),
                        html.Button(
                            "Stop", id="start-upload-stop", type="button", className="link-button", hidden=True
                        ),
                    ],
                    id="start-upload-state",
                    className="start-upload-state",
                    role="status",
                ),
            ),
            _card("2 Columns", "Guessed from names and contents; correct what is wrong", html.Div(id="start-look")),
            _card("3 First rows", "As the mapping reads them", html.Div(id="start-preview", className="start-preview")),
            _card(
                "4 Checks",
                "All lines are read; a build runs the same checks",
                html.Button("Check all lines", id="start-check", type="button", className="button", disabled=True),
                html.Div(id="start-checks", className="start-checks", role="status"),
                dcc.Store(id="start-check-id"),
                dcc.Interval(id="start-check-poll", interval=_CHECK_POLL, disabled=True),
            ),
            _card(
                "5 Build",
                f"{target.path.name} is {'changed' if target.text is not None else 'written'}, "
                f"and snapshots go to {data.path}",
                html.Details(
                    [
                        html.Summary(f"What {target.path} will hold"),
                        html.Pre(
                            html.Code(id="start-text"),
                            className="start-text",
                            tabIndex=0,
                            role="region",
                            **aria(label="The settings file"),
                        ),
                    ]
                ),
                dcc.Store(id="start-shown"),
                html.Button(
                    "Write it and build",
                    id="start-build",
                    type="button",
                    className="button button-strong",
                    disabled=True,
                ),
                html.Div(id="start-result", role="status"),
                build_panel.panel(button=False),
            ),
        ]
    )


def _card(title: str, subtitle: str, *parts: Component) -> Component:
    heading = f"start-{title.partition(' ')[0]}-heading"
    return html.Section(
        [
            html.Div(
                html.Div([html.H2(title, id=heading), html.P(subtitle, className="card-subtitle")]),
                className="card-head",
            ),
            *parts,
        ],
        className="card",
        **aria(labelledby=heading),
    )


def _other_ways() -> Component:
    return states.state(
        "No snapshot yet",
        "The pages fill once a snapshot is built: here, or on the command line.",
        commands=("regulars build", "regulars demo"),
        compact=True,
    )


PAGE = Page(
    "/start",
    "Set up",
    "box",
    "Where are the orders, and which column is what?",
    layout,
    register,
    in_menu=False,
    needs_snapshot=False,
)
