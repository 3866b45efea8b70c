"""The build that runs or ran last: its steps as they come, its end with the reason, and the buttons for it."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from dash import Dash, Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component

from .. import build_history
from ..access import current_person, require
from ..build_jobs import Status, jobs_of
from ..start_settings import settings_target
from . import states
from .aria import aria
from .clicks import is_click
from .icons import icon

if TYPE_CHECKING:
    from ..build_history import BuildRecord
    from ..data import AppData

_FAST, _SLOW = 1_000, 6_000
_LONGEST_REASON = 1_200


def panel(*, button: bool = True) -> Component:
    """Return the panel; without ``button`` the page starts builds in a way of its own."""
    return html.Div(
        [
            dcc.Interval(id="build-poll", interval=_FAST),
            html.Div(states.skeleton(64), id="build-state", className="build-state", role="status"),
            html.Div(
                [
                    html.Button("Build now", id="build-now", type="button", className="button", hidden=not button),
                    html.Button("Cancel the build", id="build-cancel", type="button", className="button", hidden=True),
                ],
                className="build-actions",
            ),
            html.Div(id="build-message", className="build-message", role="status"),
        ],
        className="build-panel",
    )


def register(app: Dash, data: "AppData") -> None:
    """Add the panel's callbacks."""

    @app.callback(
        Output("build-state", "children"),
        Output("build-cancel", "hidden"),
        Output("build-now", "disabled"),
        Output("build-poll", "interval"),
        Input("build-poll", "n_intervals"),
        State("build-cancel", "hidden"),
    )
    def watch(ticks: Any, hidden: Any) -> tuple[Any, Any, bool, int]:  # noqa: ARG001
        status = jobs_of(data).status()
        works = status.phase in {"starting", "running"}
        may = current_person().may("admin")
        hide = not (works and may and status.is_ours and not status.is_stopping)
        return (
            build_state(status),
            # what hangs on it is asked for anew only when a build begins or ends
            no_update if hide is hidden else hide,
            works or not may,
            _FAST if works else _SLOW,
        )

    @app.callback(
        Output("build-message", "children"),
        Output("build-poll", "interval", allow_duplicate=True),
        Input("build-now", "n_clicks"),
        prevent_initial_call=True,
    )
    def build_now(clicks: Any) -> tuple[Any, Any]:
        if not is_click(clicks, "build-now"):
            return no_update, no_update
        try:
            person = require("admin")
            target = settings_target(data)
            if target.text is None:
                return _go_to_start(), no_update
            data.settings()  # what is wrong with them is said here, not by a process that ends at once
            data.state.audit(person.name, "build", target.path.name)
            jobs_of(data).start(target.path, person)
        except Exception as error:  # noqa: BLE001 - said in its place
            return states.problem(error, compact=True), no_update
        return None, _FAST

    @app.callback(
        Output("build-message", "children", allow_duplicate=True),
        Input("build-cancel", "n_clicks"),
        prevent_initial_call=True,
    )
    def cancel(clicks: Any) -> Any:
        if not is_click(clicks, "build-cancel"):
            return no_update
        try:
            person = require("admin")
            data.state.audit(person.name, "cancel build", "warehouse")
            jobs_of(data).cancel()
        except Exception as error:  # noqa: BLE001 - said in its place
            return states.problem(error, compact=True)
        return None


def build_state(status: Status) -> Component:
    """Return where the builds of a warehouse stand."""
    build = status.build
    if build is None:
        return html.P("No build is on record here.", className="build-line")
    if status.phase == "starting" or (status.phase == "running" and status.is_stopping):
        said = "Stopping: what was begun is cleared away" if status.is_stopping else "Starting the build"
        return html.Div([_line("box", said, build), _bar(build)], className="build-works")
    if status.phase == "running":
        said = f"Building, step {build.step} of {build.steps}: {build.doing}"
        return html.Div([_line("box", said, build), _bar(build)], className="build-works")
    return ended_line(build)


def ended_line(build: "BuildRecord") -> Component:
    """Return how a build ended, with its run and the reason where it published nothing."""
    run = f"run {build.run_id}" if build.run_id else "before its inputs were read"
    if build.outcome in {"published", "unchanged"}:
        # a link that loads the page anew: the page that has nothing to show may stand at that address itself
        said = "Published" if build.outcome == "published" else "Nothing to do: this snapshot is current already,"
        return html.Div(
            [_line("check", f"{said} {run}", build), html.A("See the overview", href="/", className="text-link")],
            className="build-ended build-good",
        )
    what = {"cancelled": "was cancelled", "killed": "was killed"}.get(build.outcome, "failed")
    at = f" at the step “{build.doing}”" if build.doing else ""
    where = f"{'Run ' + build.run_id if build.run_id else 'The build'} {what}{at}"
    return html.Div(
        [
            _line("alert", where, build),
            html.P(build.reason[:_LONGEST_REASON], className="build-reason") if build.reason else None,
            html.P("The last good snapshot stays as it was.", className="build-line"),
        ],
        className="build-ended build-bad",
    )


def when(moment: datetime | None) -> str:
    """Write a moment, UTC.

    Examples
    --------
    >>> from datetime import UTC
    >>> when(datetime(2026, 11, 21, 9, 5, tzinfo=UTC))
    '21 Nov 2026 09:05 UTC'
    """
    return "–" if moment is None else f"{moment.day} {moment:%b %Y %H:%M} UTC"


def seconds(build: "BuildRecord") -> str:
    """Write how long a build took, or has been running."""
    took = ((build.ended_at or build_history.now()) - build.started_at).total_seconds()
    return f"{took:,.0f} s" if took < 120 else f"{took / 60:,.0f} min"


def _line(symbol: str, said: str, build: "BuildRecord") -> Component:
    facts = [when(build.ended_at or build.started_at), seconds(build), *([f"by {build.by}"] if build.by else [])]
    return html.P(
        [icon(symbol, 16), html.Strong(said), html.Span(", ".join(facts), className="build-facts")],
        className=f"mark mark-{'alert' if symbol == 'alert' else 'check'}",
    )


def _bar(build: "BuildRecord") -> Component:
    share = round(100 * max(build.step - 0.5, 0) / build.steps) if build.steps else 2
    return html.Div(
        html.Span(style={"width": f"{share}%"}),
        className="build-bar",
        role="progressbar",
        **aria(label="Progress of the build", valuenow=str(share), valuemin="0", valuemax="100"),
    )


def _go_to_start() -> Component:
    return html.P(
        [
            "There are no settings yet: ",
            dcc.Link("say where the orders are", href="/start", className="text-link"),
            ".",
        ],
        className="build-line",
    )
