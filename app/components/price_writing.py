"""The price file from the page: approved on a day, written and recorded as `regulars markdown` does, and fetched."""

from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import dash_mantine_components as dmc
from dash import Dash, Input, Output, State, ctx, html, no_update
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate
from flask import Response

from ...sql.errors import RegularsError, SettingsError, StaleSnapshotError, WarehouseError
from .. import access, formats
from ..markdown import MarkdownResult, markdown
from ..plan_age import stale_reason
from ..price_files import decided_prices, file_name, find_price_file, price_folder
from ..price_jobs import Job, Jobs
from ..price_plans import PlanInputs
from . import price_words
from .aria import aria
from .icons import icon
from .price_state import AT_ONCE, clicked, digest, fitting_overrides, planned, progress, refusal, said, terms_of_url

if TYPE_CHECKING:
    from ..data import AppData
    from ..snapshot_data import SnapshotData

_ENDINGS = {"csv": ".csv", "parquet": ".parquet"}


def file_form(account: Mapping[str, Any]) -> Component:
    """Return the fields of the price file."""
    return html.Div(
        [
            html.H3("The price file"),
            html.Div(id="price-approval", className="card-subtitle"),
            html.Div(
                [
                    dmc.TextInput(
                        id="price-on",
                        label="Approved on",
                        value="",
                        size="sm",
                        debounce=400,
                        inputProps={"type": "date"},
                    ),
                    dmc.SegmentedControl(
                        id="price-kind",
                        value="csv",
                        size="sm",
                        data=[{"value": "csv", "label": "CSV"}, {"value": "parquet", "label": "Parquet"}],
                        **aria(label="Kind of file"),
                    ),
                    dmc.Checkbox(id="price-force", label="Replace what stands", checked=False, size="sm"),
                    html.Button(
                        [icon("check", 15), "Write the price file"],
                        id="price-write",
                        type="button",
                        className="button button-main",
                    ),
                ],
                className="price-fields price-file-fields",
            ),
            html.Div(id="price-written", role="status", className="price-message"),
            html.Div(id="price-decided", className="price-decided"),
        ],
        className="price-file",
        role="group",
        title=f"Prices of {account['plan']}",
        **aria(label="The price file"),
    )


def register(app: Dash, data: "AppData", jobs: Jobs) -> None:
    """Add the callbacks, and the route of the files that were written."""

    @app.server.get("/price-files/<name>")
    def price_file_of(name: str) -> Response:
        person = access.require("viewer")
        try:
            path = find_price_file(data.settings(), name)
        except SettingsError:
            path = None  # without settings nothing was written from here
        if path is None:
            raise WarehouseError(f"there is no price file {name[:80]!r} on record")
        data.state.audit(person.name, "export price file", name)
        kind = "text/csv" if path.suffix == ".csv" else "application/vnd.apache.parquet"
        headers = {"Content-Disposition": f'attachment; filename="{path.name}"', "Cache-Control": "no-store"}
        return Response(path.read_bytes(), mimetype=kind, headers=headers)

    @app.callback(
        Output("price-on", "placeholder"),
        Output("price-approval", "children"),
        Input("run", "data"),
        Input("url", "search"),
    )
    def approval(run: Any, search: Any) -> tuple[str, Any]:
        try:
            snapshot = data.snapshot(run)
            account, _ = planned(snapshot, search)
            day, why = approval_day(data, snapshot, account, search)
            return day.isoformat(), f"Approved as of {formats.day(day)}{why}."
        except RegularsError as error:
            return "", refusal(error)

    @app.callback(
        Output("price-written", "children"),
        Output("price-write-tick", "disabled"),
        Output("price-write-job", "data"),
        Output("price-decided", "children"),
        Input("run", "data"),
        Input("price-write", "n_clicks"),
        Input("price-write-tick", "n_intervals"),
        State("url", "search"),
        State("price-hand", "data"),
        State("price-force", "checked"),
        State("price-write-job", "data"),
    )
    def write(
        run: Any,
        clicks: Any,
        ticks: Any,  # noqa: ARG001
        search: Any,
        hand: Any,
        force: Any,
        key: Any,
    ) -> tuple[Any, ...]:
        try:
            snapshot = data.snapshot(run)
            account, inputs = planned(snapshot, search)
            if ctx.triggered_id == "price-write":
                if not clicked(clicks):
                    raise PreventUpdate
                job = _write(data, jobs, snapshot, account, inputs, search, hand, force=force is True, clicks=clicks)
            elif ctx.triggered_id == "price-write-tick":
                job = jobs.find(key) if isinstance(key, str) and key.startswith("write:") else None
                if job is None:
                    return no_update, True, None, no_update
            else:
                return "", True, None, _decided(data, account["plan"])
            if not job.within(AT_ONCE):
                return progress("Writing the price file."), False, job.key, no_update
            return _written(job.result()), True, None, _decided(data, account["plan"])
        except PreventUpdate:
            raise
        except Exception as error:  # noqa: BLE001 - the place of the answer shows it
            return refusal(error), True, None, no_update


def _write(
    data: "AppData", jobs: Jobs, snapshot: "SnapshotData", account: Mapping[str, Any], inputs: PlanInputs,
    search: Any, hand: Any, *, force: bool, clicks: int,
) -> Job:  # fmt: skip
    person = access.require("analyst")
    settings = data.settings()
    if snapshot.run_id != data.current_run():
        raise StaleSnapshotError("a newer snapshot is published; show it, and look at its plan before it is written")
    terms = terms_of_url(snapshot, search, inputs)
    overrides, _ = fitting_overrides(hand, inputs)
    day, _ = approval_day(data, snapshot, account, search)
    ending = _ENDINGS.get(said(search).get("kind", "csv"), ".csv")
    path = price_folder(settings) / file_name(account["plan"], account["starts"], ending)
    data.state.audit(
        person.name, "write price file", account["plan"], file=path.name, run=snapshot.run_id, on=day.isoformat(),
        terms=terms.to_dict(), overrides=[str(one) for one in overrides], force=force,
    )  # fmt: skip
    told = [person.name, clicks, datetime.now().timestamp(), path.name]  # noqa: DTZ005 - only to tell clicks apart
    return jobs.start(
        "write:" + digest(told),
        lambda: markdown(
            settings, account["plan"], on=day, out=path, overrides=overrides, terms=terms, force=force, wait=20.0
        ),
    )


def _written(found: MarkdownResult) -> Component:
    assert found.path is not None
    word = "It was there as it is" if found.outcome == "unchanged" else "Written and recorded"
    return html.Div(
        [
            html.P(
                [
                    icon("check", 16), html.Span(f"{word}, decision {found.decision_id}: "),
                    html.A(found.path.name, href=f"/price-files/{found.path.name}", download="", className="text-link"),
                ],
                className="mark mark-check",
            ),
            price_words.notes(found),
        ]
    )  # fmt: skip


def _decided(data: "AppData", plan: str) -> Component | None:
    try:
        found = decided_prices(data.settings(), plan)
    except RegularsError:
        return None
    if not found:
        return None
    return html.Div(
        [
            html.H3("On record"),
            html.Ul(
                [
                    html.Li(
                        [
                            html.A(one.name, href=f"/price-files/{one.name}", download="", className="text-link")
                            if one.name
                            else html.Span(Path(str(one.facts.get("file", ""))).name),
                            html.Span(_record_words(one.facts)),
                        ]
                    )
                    for one in found[:10]
                ]
            ),
        ]
    )


def _record_words(facts: Mapping[str, Any]) -> str:
    words = f" approved on {facts['decided_on']}, {facts['weeks']} weeks from {facts['starts']}"
    hand = len(facts.get("overrides") or ())
    words += f", {hand} by hand" if hand else ""
    words += ", planned otherwise" if facts.get("terms") else ""
    return f"{words}, decision {facts['decision_id']}"


def approval_day(
    data: "AppData", snapshot: "SnapshotData", account: Mapping[str, Any], search: Any
) -> tuple[date, str]:
    """Return the day of the approval and why it is that one: what the URL says, else today, else the plan's start.

    Raises
    ------
    SettingsError
        The URL's day is none, or there are no settings.
    """
    asked = said(search).get("on", "")
    if asked:
        try:
            return date.fromisoformat(asked), ""
        except ValueError as error:
            raise SettingsError(f"approved on {asked[:20]!r}: it is no day; write YYYY-MM-DD") from error
    settings = data.settings()
    today = datetime.now(ZoneInfo(settings.shop.timezone)).date()
    stale = stale_reason(settings, snapshot.snapshot, account, today)
    if not stale:
        return today, ", today"
    return account["starts"], f", the plan's first day, since today {formats.day(today)} is too late for this snapshot"
