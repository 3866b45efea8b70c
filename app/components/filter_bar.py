"""The filter over customers: pills that open a range, segments, a search; all of it in the URL."""

from collections.abc import Sequence
from typing import Any

import dash_mantine_components as dmc
from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html
from dash.development.base_component import Component

from ...sql.contract import SEGMENTS
from .. import formats
from ..listing import LONGEST_SEARCH, Column, ListFilters, RangeFilter
from ..listings import CUSTOMERS
from .aria import aria
from .customer_segments import segment_buttons
from .icons import icon
from .segments import LABELS
from .url_state import UrlField

_SEGMENT = "filter-segment"
_SEARCH = "filter-search"


def _format(filter_: RangeFilter) -> str:
    return CUSTOMERS.column_of[filter_.column].format


def _scale(filter_: RangeFilter) -> float:
    return 100 if _format(filter_) == "share" else 1


FIELDS: tuple[UrlField, ...] = (
    UrlField("segment", _SEGMENT, "list", default=[]),
    *(
        UrlField(filter_.key, f"filter-{filter_.key}-{end}", end, scale=_scale(filter_))
        for filter_ in CUSTOMERS.ranges
        for end in ("low", "high")
    ),
    UrlField("q", _SEARCH, "text", default=""),
)


def filter_bar(filters: ListFilters, currency: str, columns: Sequence[Column]) -> Component:
    """Return the bar with the filter's values in it; ranges over what is not among ``columns`` are hidden."""
    there = {column.name: column for column in columns}
    return html.Div(
        [
            html.Div(
                [
                    dmc.TextInput(
                        id=_SEARCH,
                        value=filters.search,
                        placeholder="Search customer id",
                        leftSection=icon("search", 16),
                        debounce=350,
                        inputProps={
                            "maxLength": LONGEST_SEARCH,
                            "aria-label": "Search customer id",
                            "spellCheck": False,
                        },
                        className="filter-search",
                        size="sm",
                    ),
                    dmc.MultiSelect(
                        id=_SEGMENT,
                        value=list(filters.choices.get("segment", ())),
                        data=[{"value": name, "label": LABELS[name]} for name in SEGMENTS],
                        placeholder="" if filters.choices.get("segment") else "All segments",
                        clearable=True,
                        hidePickedOptions=True,
                        **aria(label="Segments"),
                        clearButtonProps=aria(label="Clear segments"),  # pyright: ignore[reportArgumentType]
                        comboboxProps={"shadow": "md"},
                        className="filter-segment",
                        size="sm",
                    ),
                ],
                className="filter-main",
            ),
            html.Div(
                [
                    *(_pill(f, filters, currency, there.get(f.column)) for f in CUSTOMERS.ranges),
                    html.Button(
                        [icon("close", 14), "Clear"],
                        id="filter-clear",
                        type="button",
                        className="pill pill-clear",
                        **aria(label="Clear all filters"),
                    ),
                    segment_buttons(),
                ],
                className="pills",
            ),
            dcc.Store(
                id="filter-pills", data=[_pill_facts(f, currency, there.get(f.column)) for f in CUSTOMERS.ranges]
            ),
        ],
        className="filter-bar",
        role="search",
        **aria(label="Filter customers"),
    )


def register(app: Dash) -> None:
    """Let pills say what they hold, and Clear clear the address."""
    app.clientside_callback(
        ClientsideFunction("regulars", "labelPills"),
        [
            *(Output(f"pill-{key}", "children") for key in CUSTOMERS.range_of),
            *(Output(f"pill-{key}-button", "className") for key in CUSTOMERS.range_of),
            Output("filter-clear", "hidden"),
        ],
        [Input("url", "search"), Input("filter-pills", "data")],
    )
    app.clientside_callback(
        ClientsideFunction("regulars", "clearFilters"),
        Output("url", "search", allow_duplicate=True),
        Input("filter-clear", "n_clicks"),
        State("url", "search"),
        prevent_initial_call=True,
    )


def _label(filter_: RangeFilter, column: Column | None) -> str:
    """The column's own name where this snapshot has another for it than all have."""
    usual = CUSTOMERS.column_of[filter_.column].label
    return filter_.label if column is None or column.label == usual else column.label


def _pill(filter_: RangeFilter, filters: ListFilters, currency: str, column: Column | None) -> Component:
    chosen = filters.ranges.get(filter_.key)
    label = _label(filter_, column)
    scale = _scale(filter_)
    ends = {"low": chosen.low if chosen else None, "high": chosen.high if chosen else None}
    affix: dict[str, Any] = {
        "money": {"prefix": formats.symbol(currency)},
        "share": {"suffix": "%"},
        "days": {"suffix": " days"},
    }.get(_format(filter_), {})
    limits: dict[str, Any] = {"min": 0, "max": 100, "step": 5} if _format(filter_) == "share" else {}
    inputs = [
        dmc.NumberInput(
            id=f"filter-{filter_.key}-{end}",
            label=f"{label}, {word}",
            value="" if (value := ends[end]) is None else round(value * scale, 10),
            placeholder="any",
            debounce=400,
            thousandSeparator=",",
            hideControls=True,
            size="sm",
            **affix,
            **limits,
        )
        for end, word in (("low", "at least"), ("high", "at most"))
    ]
    meaning = (column or CUSTOMERS.column_of[filter_.column]).meaning
    return dmc.Popover(
        [
            dmc.PopoverTarget(
                html.Button(
                    [html.Span(label, id=f"pill-{filter_.key}"), html.Span(className="pill-caret")],
                    id=f"pill-{filter_.key}-button",
                    className="pill",
                    type="button",
                    hidden=column is None,
                    **aria(haspopup="dialog"),
                )
            ),
            dmc.PopoverDropdown(
                html.Div(
                    [html.P(meaning, className="pill-meaning"), html.Div(inputs, className="pill-inputs")],
                    role="dialog",
                    **aria(label=label),
                )
            ),
        ],
        width=300,
        position="bottom-start",
        shadow="md",
        trapFocus=True,
        withRoles=False,
        returnFocus=True,
        keepMounted=False,
    )


def _pill_facts(filter_: RangeFilter, currency: str, column: Column | None) -> dict[str, str]:
    return {
        "key": filter_.key,
        "label": _label(filter_, column),
        "format": _format(filter_),
        "symbol": formats.symbol(currency),
    }
