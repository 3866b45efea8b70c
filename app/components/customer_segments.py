"""Saved segments on the page of customers: save the filter of the moment, open one, delete one."""

from typing import TYPE_CHECKING, Any

import dash_mantine_components as dmc
from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate

from ...sql.errors import RegularsError
from .. import access, formats
from ..listing import ListFilters
from ..listings import CUSTOMERS
from ..segments import save_segment, segment_filters
from . import states
from .aria import aria
from .icons import icon
from .segments import LABELS

if TYPE_CHECKING:
    from ..data import AppData
    from ..snapshot_data import SnapshotData
    from ..state import Segment

_MOST_CLICKS = 1_000_000


def segment_buttons() -> Component:
    """Return the buttons beside the filter; who may not save is not asked to."""
    may = access.current_person().may("analyst")
    return html.Div(
        [
            _save_button() if may else None,
            html.Button(
                [icon("people", 14), "Segments"],
                id="segments-open",
                type="button",
                className="pill",
                **aria(haspopup="dialog"),
            ),
            dmc.Drawer(
                html.Div(
                    [
                        html.Div(states.skeleton(160), id="segments-list"),
                        html.Div(_confirmation(), id="segment-confirm", hidden=True, className="segment-confirm"),
                    ]
                ),
                id="segments-drawer",
                title="Saved segments",
                position="right",
                size="lg",
                opened=False,
                closeButtonProps=aria(label="Close saved segments"),  # pyright: ignore[reportArgumentType]
            ),
            dcc.Store(id="segment-chosen"),
            dcc.Store(id="segments-changed"),
        ],
        className="segment-buttons",
    )


def _save_button() -> Component:
    return dmc.Popover(
        [
            dmc.PopoverTarget(
                html.Button(
                    [icon("filter", 14), "Save as segment"],
                    id="segment-save-open",
                    type="button",
                    className="pill",
                    **aria(haspopup="dialog"),
                )
            ),
            dmc.PopoverDropdown(
                html.Div(
                    [
                        html.P(
                            "Keeps this filter under a name. Whom it holds is read anew from each snapshot; "
                            "regulars target --segment takes it by its name.",
                            className="pill-meaning",
                        ),
                        dmc.TextInput(
                            id="segment-name", label="Name", size="sm", value="", placeholder="Best, silent for a month"
                        ),
                        dmc.Checkbox(id="segment-replace", label="Replace the one of this name", size="xs"),
                        html.Div(
                            html.Button("Save", id="segment-save", type="button", className="button button-main"),
                            className="segment-actions",
                        ),
                        html.P(id="segment-said", className="segment-said", role="status"),
                    ],
                    role="dialog",
                    className="segment-form",
                    **aria(label="Save as segment"),
                )
            ),
        ],
        width=330,
        position="bottom-start",
        shadow="md",
        trapFocus=True,
        withRoles=False,
        returnFocus=True,
        keepMounted=True,
    )


def _confirmation() -> list[Component]:
    return [
        html.P(id="segment-confirm-text", role="alert"),
        html.Div(
            [
                html.Button("Delete it", id="segment-delete", type="button", className="button button-main"),
                html.Button("Keep it", id="segment-keep", type="button", className="button"),
            ],
            className="segment-actions",
        ),
    ]


def register(app: Dash, data: "AppData") -> None:
    """Add the callbacks that save, list and delete."""
    app.clientside_callback(
        ClientsideFunction("regulars", "openSegments"),
        Output("segments-drawer", "opened"),
        Input("segments-open", "n_clicks"),
        Input("url", "search"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        ClientsideFunction("regulars", "askToDelete"),
        Output("segment-confirm", "hidden"),
        Output("segment-confirm-text", "children"),
        Input("segment-chosen", "data"),
        Input("segment-keep", "n_clicks"),
        Input("segments-changed", "data"),
        prevent_initial_call=True,
    )

    @app.callback(
        Output("segment-said", "children"),
        Output("segments-changed", "data", allow_duplicate=True),
        Input("segment-save", "n_clicks"),
        State("segment-name", "value"),
        State("segment-replace", "checked"),
        State("url", "search"),
        State("run", "data"),
        prevent_initial_call=True,
    )
    def save(clicks: Any, name: Any, replace: Any, search: Any, run: Any) -> tuple[Any, Any]:
        if not _is_click(clicks):
            raise PreventUpdate
        try:
            person = access.require("analyst")
            given, asked = (value if isinstance(value, str) else "" for value in (name, search))
            snapshot = data.snapshot(run)
            held = snapshot.count(segment_filters(asked))
            saved = save_segment(data.state, given, asked, person.name, replace=replace is True)
        except RegularsError as error:
            return html.Span([icon("alert", 14), html.Span(_sentence(str(error)))], className="caution"), no_update
        said = ["Saved ", html.Strong(saved.name), f": {formats.count(held)} customers today."]
        return html.Span(said), f"{saved.name} {saved.made_at.isoformat()}"

    @app.callback(
        Output("segments-list", "children"),
        Input("segments-drawer", "opened"),
        Input("segments-changed", "data"),
        State("run", "data"),
        prevent_initial_call=True,
    )
    @states.guarded
    def listed(opened: Any, changed: Any, run: Any) -> Component:  # noqa: ARG001
        return segments_list(data.snapshot(run), data.state.segments())

    @app.callback(
        Output("segments-changed", "data", allow_duplicate=True),
        Output("segment-confirm-text", "children", allow_duplicate=True),
        Input("segment-delete", "n_clicks"),
        State("segment-chosen", "data"),
        prevent_initial_call=True,
    )
    def delete(clicks: Any, chosen: Any) -> tuple[Any, Any]:
        if not _is_click(clicks) or not isinstance(chosen, str) or data.state.segment(chosen) is None:
            raise PreventUpdate
        try:
            person = access.require("analyst")
            data.state.delete_segment(chosen, person.name)
        except RegularsError as error:
            return no_update, _sentence(str(error))
        return f"{chosen} deleted {clicks}", no_update


def segments_list(data: "SnapshotData", segments: "list[Segment]") -> Component:
    """Return the saved segments with what they hold in this snapshot."""
    if not segments:
        return states.state(
            "No segment is saved yet",
            "Filter the customers, then save the filter under a name: the list is read anew from each snapshot.",
            symbol="people",
            compact=True,
        )
    may = access.current_person().may("analyst")
    return html.Ul([_item(data, segment, may=may) for segment in segments], className="segments-saved")


def _item(data: "SnapshotData", segment: "Segment", *, may: bool) -> Component:
    try:
        filters = segment_filters(segment.filter)
        held = f"{formats.count(data.count(filters))} customers"
        words = in_words(filters, data.currency)
    except RegularsError as error:
        held, words = "not in this snapshot", _sentence(str(error))
    return html.Li(
        [
            html.Div(
                [
                    dcc.Link(segment.name, href=f"/customers?{segment.filter}", className="table-link segment-name"),
                    html.Strong(held, className="segment-held"),
                ],
                className="segment-head",
            ),
            html.P(words, className="question segment-words"),
            html.Div(
                [
                    html.Span(f"{segment.made_by}, {formats.day(segment.made_at.date())}", className="segment-by"),
                    html.Button(
                        "Delete",
                        type="button",
                        className="link-button",
                        **{"data-delete-segment": segment.name},
                        **aria(label=f"Delete {segment.name}"),
                    )
                    if may
                    else None,
                ],
                className="segment-foot",
            ),
        ]
    )


def in_words(filters: ListFilters, currency: str) -> str:
    """Write a filter as a sentence.

    Examples
    --------
    >>> in_words(CUSTOMERS.parse("segment=best,at_risk&value=100..&alive=0.1..0.5&q=C01"), "USD")
    "Segment Best or At risk; Value ≥ $100.00; P(alive) 10% – 50%; id contains 'C01'"
    >>> in_words(CUSTOMERS.parse(""), "USD")
    'All customers'
    """
    parts = [f"Segment {' or '.join(LABELS[name] for name in names)}" for names in filters.choices.values()]
    for key, chosen in filters.ranges.items():
        one = CUSTOMERS.range_of[key]
        low, high = (
            None if end is None else _written(end, CUSTOMERS.column_of[one.column].format, currency)
            for end in (chosen.low, chosen.high)
        )
        if low is not None and high is not None:
            parts.append(f"{one.label} = {low}" if low == high else f"{one.label} {low} – {high}")
        else:
            parts.append(f"{one.label} ≥ {low}" if low is not None else f"{one.label} ≤ {high}")
    if filters.search:
        parts.append(f"id contains {filters.search!r}")
    return "; ".join(parts) or "All customers"


def _written(value: float, format_: str, currency: str) -> str:
    match format_:
        case "money":
            return formats.money(value, currency)
        case "share":
            return formats.share(value)
        case "days":
            return formats.days(value)
        case _:
            return f"{value:,g}"


def _is_click(clicks: Any) -> bool:
    return isinstance(clicks, int) and not isinstance(clicks, bool) and 0 < clicks < _MOST_CLICKS


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?")) else ".")
