"""The list of customers answers who is best and who is at risk."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import dash_mantine_components as dmc
import numpy as np
import plotly.graph_objects as go
from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html
from dash.development.base_component import Component

from .. import formats, theme
from ..components import card as cards
from ..components import customer_segments, filter_bar, grid, heatmap, states
from ..components.aria import aria
from ..components.customer_columns import SHOW, columns_control, customer_columns
from ..components.figure import CONFIG, figure, framed
from ..components.icons import icon
from ..components.listing_table import listing_table
from ..components.provenance import Source, disclosure
from ..components.url_state import UrlField, keep_in_url, url_store
from ..listing import ListFilters, Range
from ..listings import CUSTOMERS
from . import Page

if TYPE_CHECKING:
    from ..data import AppData
    from ..snapshot_data import SnapshotData

_GRID = "customers-grid"
_MAP_HEIGHT = 350
_NO_RANGE = Range()

FIELDS = (
    *filter_bar.FIELDS,
    UrlField("color", "heatmap-color", "choice", default="alive"),
    UrlField("show", SHOW, "list", default=[]),
)


def layout(data: "SnapshotData", search: str) -> Component:
    """Return the page with its filter as the URL has it, and a skeleton for every number."""
    missing = data.enough_data()
    predicted = not missing
    filters = CUSTOMERS.parse(search)
    columns = customer_columns(data, predicted=predicted)
    return html.Div(
        [
            url_store("customers", FIELDS),
            _too_few(missing),
            filter_bar.filter_bar(filters, data.currency, columns),
            html.Div(states.skeleton(72), id="customers-totals", className="totals-place"),
            html.Section(
                [
                    html.Div(
                        [
                            html.Div(
                                [
                                    html.H2("Recency and frequency", id="heatmap-heading"),
                                    html.P("Click a cell or drag a box to filter by it", className="card-subtitle"),
                                ]
                            ),
                            html.Div(_color_control(predicted=predicted), className="card-controls"),
                        ],
                        className="card-head",
                    ),
                    framed(
                        html.Div(
                            [
                                html.Div(
                                    dcc.Graph(
                                        id="heatmap",
                                        figure=_nothing(),
                                        config=CONFIG,  # pyright: ignore[reportArgumentType]
                                        style={"height": _MAP_HEIGHT, "width": "100%"},
                                    ),
                                    className="figure",
                                    role="img",
                                    **aria(label="Customers by repeat purchase days and days since the last order"),
                                ),
                                html.Div(
                                    states.skeleton(_MAP_HEIGHT), id="heatmap-waiting", className="heatmap-waiting"
                                ),
                            ],
                            className="heatmap",
                        )
                    ),
                    html.Div(id="heatmap-foot", className="card-foot-place"),
                ],
                className="card",
                **aria(labelledby="heatmap-heading"),
            ),
            html.Section(
                [
                    html.Div(
                        [
                            html.Div(
                                [
                                    html.H2("All customers", id="list-heading"),
                                    html.P(
                                        "Click a heading to sort, with Shift to sort by several",
                                        className="card-subtitle",
                                    ),
                                ]
                            ),
                            html.Div(
                                [columns_control(columns), *grid.export_links("export", CUSTOMERS)],
                                className="card-controls",
                            ),
                        ],
                        className="card-head",
                    ),
                    grid.grid(_GRID, CUSTOMERS, columns, filters.sorts, data.currency, label="Customers"),
                ],
                className="card",
                **aria(labelledby="list-heading"),
            ),
        ]
    )


def register(app: Dash, data: "AppData") -> None:
    """Add the page's callbacks."""
    keep_in_url(app, "customers", FIELDS)
    filter_bar.register(app)
    grid.register(app, _GRID)
    customer_segments.register(app, data)
    app.clientside_callback(
        ClientsideFunction("regulars", "showColumns"),
        Input(SHOW, "value"),
        Input(_GRID, "getRowsRequest"),
        State(f"{_GRID}-endpoint", "data"),
    )
    app.clientside_callback(
        ClientsideFunction("regulars", "pickCells"),
        Input("heatmap", "clickData"),
        Input("heatmap", "selectedData"),
        State("heatmap", "figure"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    grid.register_exports(app, _GRID, "export")

    @app.callback(Output("customers-totals", "children"), Input("run", "data"), Input("url", "search"))
    @states.guarded
    def totals(run: str, search: str) -> Component:
        return _totals(data.snapshot(run), CUSTOMERS.parse(search))

    @app.callback(
        Output("heatmap", "figure"),
        Output("heatmap-foot", "children"),
        Output("heatmap-waiting", "hidden"),
        Input("run", "data"),
        Input("url", "search"),
        Input("heatmap-color", "value"),
        Input("scheme", "data"),
    )
    def recency_frequency(run: str, search: str, color: Any, scheme: Any) -> tuple[go.Figure, Component, bool]:
        name = theme.scheme(scheme)
        try:
            return *_heatmap(data.snapshot(run), CUSTOMERS.parse(search), color, name), True
        except Exception as error:  # noqa: BLE001 - shown in place of the map
            return _nothing(name), states.problem(error, compact=True), True


def _totals(data: "SnapshotData", filters: ListFilters) -> Component:
    answer = data.customer_totals(filters)
    chosen, everyone = answer.records[0], data.customer_totals(CUSTOMERS.everything).records[0]
    predicted = not data.enough_data()
    n, everybody = chosen["customers"], everyone["customers"]
    parts = [("Customers", formats.count(n), f"of {formats.count(everybody)}" if n < everybody else "all")]
    if predicted:
        value, total = chosen["customer_value"] or 0.0, everyone["customer_value"] or 0.0
        part = f"{formats.share(value / total)} of all value" if total and n < everybody else ""
        orders = formats.count(chosen["expected_orders"], short=True)
        money_ends, order_ends = _ends(data, chosen)
        parts += [
            ("Value", formats.money(value, data.currency, short=True), " · ".join(filter(None, [money_ends, part]))),
            ("P(alive)", formats.share(chosen["probability_alive"]), "on average"),
            ("Expected orders", orders, " ".join(filter(None, [order_ends, f"in {data.horizon}"]))),
        ]
    revenue, all_revenue = float(chosen["revenue"] or 0), float(everyone["revenue"] or 0)
    share = f"{formats.share(revenue / all_revenue)} of all" if all_revenue and n < everybody else ""
    parts.append(("Past revenue", formats.money(revenue, data.currency, short=True), share))
    source = Source.of(
        data,
        answer.sql,
        meaning="The customers that the filter leaves.",
        model=data.model_version if predicted else "",
        interval=data.total_interval() if predicted else "",
    )
    return html.Div(
        [
            html.Dl(
                [
                    html.Div([html.Dt(name), html.Dd([html.Strong(figure), html.Span(note)])])
                    for name, figure, note in parts
                ],
                className="totals",
            ),
            disclosure("Filtered customers", source),
        ],
        className="totals-row",
        role="status",
    )


def _ends(data: "SnapshotData", row: Mapping[str, Any]) -> tuple[str, str]:
    """The 80% intervals of a total's value and orders; "" where the snapshot does not know them."""
    if row["value_low"] is None or row["orders_low"] is None:
        return "", ""
    low, high = (formats.money(row[name], data.currency, short=True) for name in ("value_low", "value_high"))
    fewest, most = (formats.count(row[name], short=True) for name in ("orders_low", "orders_high"))
    return f"80% {low} – {high}", f"80% {fewest} – {most}"


def _heatmap(
    data: "SnapshotData", filters: ListFilters, color: Any, scheme: theme.Scheme
) -> tuple[go.Figure, Component]:
    predicted = not data.enough_data()
    metric = heatmap.METRICS.get(color if isinstance(color, str) else "", heatmap.METRICS["alive"])
    if metric.predicted and not predicted:
        metric = heatmap.METRICS["customers"]
    everyone = _columns(data.recency_frequency(CUSTOMERS.everything))
    bounds = [
        heatmap.edges(everyone[name], everyone["customers"], ladder)
        for name, ladder in (("frequency", heatmap.FREQUENCY_LADDER), ("days_since_last_order", heatmap.DAYS_LADDER))
    ]
    # the map shows what the other filters leave, so that its own frame can be moved
    answer = data.recency_frequency(filters.without("frequency", "days"))
    grid_cells = heatmap.cells(_columns(answer), *bounds)
    chosen = tuple((r.low, r.high) for r in (filters.ranges.get(key, _NO_RANGE) for key in ("frequency", "days")))
    drawn = heatmap.heatmap_figure(
        grid_cells, metric, data.currency, scheme, (chosen[0], chosen[1]), predicted=predicted
    )
    source = Source.of(
        data,
        answer.sql,
        meaning=f"{metric.label}, {'the mean of' if metric.mean else 'in all of'} each cell's customers.",
        model=data.model_version if metric.predicted else "",
        interval="by customer, in the list",
    )
    return drawn, cards.footer(html.P(_note(data)), disclosure("Recency and frequency", source))


def _note(data: "SnapshotData") -> str:
    row = data.customer_totals(CUSTOMERS.everything).records[0]
    certain = row["one_time_customers"] and (row["one_time_probability_alive"] or 0) > 1 - 1e-9
    if certain and not data.enough_data():
        return (
            f"This model calls all {formats.count(row['one_time_customers'])} one-time buyers alive for certain: "
            "in BG/NBD a customer can leave only at a repeat purchase. Read their P(alive) as unknown."
        )
    return "Frequency counts purchase days after the first one; recent and frequent customers stand at the upper right."


def _columns(answer: Any) -> dict[str, np.ndarray]:
    return {name: answer.rows[name].to_numpy() for name in answer.rows.column_names}


def _nothing(scheme: theme.Scheme = "light") -> go.Figure:
    hidden = {"visible": False}
    return go.Figure(layout={"template": theme.template(scheme), "xaxis": hidden, "yaxis": hidden})


def _color_control(*, predicted: bool) -> Component:
    return dmc.SegmentedControl(
        id="heatmap-color",
        value="alive" if predicted else "customers",
        size="xs",
        data=[
            {"value": key, "label": metric.label}
            for key, metric in heatmap.METRICS.items()
            if predicted or not metric.predicted
        ],
        **aria(label="Colour by"),
    )


def _too_few(missing: str) -> Component | None:
    if not missing:
        return None
    return html.Div(
        [icon("alert", 16), html.Span(f"Not enough data for predictions ({missing}): only what was counted is shown.")],
        className="notice",
        role="status",
    )


def report(data: "SnapshotData", search: str) -> list[tuple[str, Component]]:
    """Return the page's parts with every number in place."""
    filters = CUSTOMERS.parse(search)
    color = dict(parse_qsl(search.removeprefix("?"))).get("color")

    def map_of() -> list[Component]:
        drawn, foot = _heatmap(data, filters, color, "light")
        says = "Customers by repeat purchase days and days since the last order."
        return [figure(drawn, says, height=_MAP_HEIGHT), foot]

    return states.filled(
        [
            (customer_segments.in_words(filters, data.currency), lambda: _totals(data, filters)),
            ("Recency and frequency", map_of),
            ("Customers", lambda: listing_table(data, filters)),
        ]
    )


PAGE = Page("/customers", "Customers", "people", "Who is best, who is at risk?", layout, register, report)
