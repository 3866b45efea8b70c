"""A grid over any number of rows: blocks are fetched as one scrolls, sorted and filtered where the rows are.

The browser's side (``assets/regulars.js``) asks ``/rows/LISTING`` with the page's own query: a block is an ordinary GET
whose answer cannot be mistaken for another's, and the server clamps and checks it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import dash_ag_grid as dag
from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html
from dash.development.base_component import Component

from .. import formats
from ..listing import Column, Listing, Sort
from .aria import aria
from .icons import icon

BLOCK_ROWS = 100

_RIGHT = {"money", "count", "decimal", "share", "days", "date"}


def grid(
    grid_id: str,
    listing: Listing,
    columns: Sequence[Column],
    sorts: Sequence[Sort],
    currency: str,
    *,
    label: str,
    height: int = 560,
    usual: Mapping[str, str] | None = None,
) -> Component:
    """Return the grid; ``columns`` stand in their order, ``sorts`` is the sort it starts with.

    Columns that are not shown are left out, but for those of a group, which the page may show
    (``customers.js``, ``showColumns``). ``usual`` is what the filter says of keys that the URL leaves out.
    """
    order = {sort.column: (i, sort.descending) for i, sort in enumerate(sorts)}
    first = listing.columns[0].name
    # what belongs to a group is there from the start, so that showing it asks nobody
    known = [column for column in columns if column.shown or column.group]
    definitions = [_definition(column, order, currency, first) for column in known]
    return html.Div(
        [
            dcc.Store(id=f"{grid_id}-loaded"),
            dcc.Store(id=f"{grid_id}-endpoint", data=_facts(grid_id, listing, known) | {"usual": dict(usual or {})}),
            dag.AgGrid(
                id=grid_id,
                columnDefs=definitions,
                defaultColDef={"sortable": True, "resizable": True, "suppressMovable": True, "filter": False}
                | {"sortingOrder": ["desc", "asc", None]},
                rowModelType="infinite",
                dashGridOptions={
                    "theme": {"function": "regularsTheme(themeQuartz)"},
                    "cacheBlockSize": BLOCK_ROWS,
                    "maxBlocksInCache": 20,
                    "infiniteInitialRowCount": 1,
                    "blockLoadDebounceMillis": 80,
                    "rowBuffer": 20,
                    "rowHeight": 38,
                    "headerHeight": 42,
                    "animateRows": False,
                    "suppressCellFocus": False,
                    "enableCellTextSelection": True,
                    "ensureDomOrder": True,
                    "suppressMultiSort": False,
                    "suppressNoRowsOverlay": True,
                    "tooltipShowDelay": 400,
                },
                style={"height": height, "width": "100%"},
                className="grid",
            ),
            html.P(id=f"{grid_id}-message", className="grid-message", role="status"),
        ],
        className="grid-frame",
        role="region",
        **aria(label=label),
    )


def _facts(grid_id: str, listing: Listing, columns: Sequence[Column]) -> dict[str, Any]:
    return {
        "id": grid_id,
        "endpoint": f"/rows/{listing.name}",
        "keys": list(listing.filter_keys),
        "sort": ",".join(("-" if sort.descending else "") + sort.column for sort in listing.default_sort),
        "nouns": listing.nouns,
        "columns": [{"name": c.name, "group": c.group, "shown": c.shown} for c in columns],
    }


def register(app: Dash, grid_id: str) -> None:
    """Fill the grid from its endpoint whenever the URL or the snapshot changes; a click on a heading sorts the URL."""
    app.clientside_callback(
        ClientsideFunction("regulars", "loadGrid"),
        Output(f"{grid_id}-loaded", "data"),
        Input("url", "search"),
        Input("run", "data"),
        Input(f"{grid_id}-endpoint", "data"),
        Input(grid_id, "getRowsRequest"),
    )
    app.clientside_callback(
        ClientsideFunction("regulars", "sortToUrl"),
        Input(grid_id, "columnState"),
        State(f"{grid_id}-endpoint", "data"),
        prevent_initial_call=True,
    )


def export_links(prefix: str, listing: Listing, query: str = "") -> list[Component]:
    """Return the links to a listing's filtered rows as CSV and Parquet; ids are ``PREFIX-csv`` and ``PREFIX-parquet``.

    ``query`` is what the address holds until the browser's side has read it.
    """
    return [
        html.A(
            [icon("download", 15), name],
            id=f"{prefix}-{name.lower()}",
            href=f"/export/{listing.name}.{name.lower()}" + (f"?{query}" if query else ""),
            download="",
            className="button",
        )
        for name in ("CSV", "Parquet")
    ]


def register_exports(app: Dash, grid_id: str, prefix: str) -> None:
    """Let the links lead to just the rows that the grid shows, of the run that it shows."""
    app.clientside_callback(
        ClientsideFunction("regulars", "exportLinks"),
        Output(f"{prefix}-csv", "href"),
        Output(f"{prefix}-parquet", "href"),
        Input("url", "search"),
        Input("run", "data"),
        Input(f"{grid_id}-endpoint", "data"),
    )


def _definition(column: Column, order: Mapping[str, tuple[int, bool]], currency: str, first: str) -> dict[str, Any]:
    definition: dict[str, Any] = {
        "field": column.name,
        "headerName": column.label,
        "headerTooltip": column.meaning,
        "width": column.width,
    }
    if not column.shown:
        definition["hide"] = True
    if column.format in _RIGHT:
        definition["type"] = "rightAligned"
        definition["valueFormatter"] = {
            "function": f"regularsFormat(params.value, '{column.format}', '{formats.symbol(currency)}')"
        }
    if column.format == "share":
        definition["cellStyle"] = {"function": "regularsBar(params.value)"}
    if column.format == "segment":
        definition["valueFormatter"] = {"function": "regularsSegment(params.value)"}
    if column.format == "flag":
        definition["valueFormatter"] = {"function": "params.value === null ? '–' : params.value ? 'yes' : 'no'"}
    if column.link:
        definition |= {"cellRenderer": "RegularsLink", "cellRendererParams": {"href": column.link}}
    if column.name == first:
        definition |= {"pinned": "left", "cellClass": "grid-id", "tooltipField": column.name}
    if column.name in order:
        place, descending = order[column.name]
        definition |= {"sort": "desc" if descending else "asc", "sortIndex": place}
    return definition
