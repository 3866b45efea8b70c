"""The overview answers what the base is worth and whether it is growing."""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import dash_mantine_components as dmc
from dash import Dash, Input, Output, dcc, html
from dash.development.base_component import Component

from ...sql.errors import RegularsError
from .. import formats, theme
from ..components import card as cards
from ..components import concentration, kpi, model_versions, states, tracking, trust
from ..components.aria import aria
from ..components.figure import figure
from ..components.icons import icon
from ..components.provenance import Source, disclosure
from ..components.segments import segments_table
from ..components.url_state import UrlField, keep_in_url, url_store
from . import Page

if TYPE_CHECKING:
    from datetime import date

    from ..data import AppData
    from ..snapshot_data import SnapshotData

log = logging.getLogger(__name__)

_INTERVAL = "80% predictive interval"
_FIGURE_HEIGHT = 320
_MOST_CARDS = 6

# Which figures get a card; the others stand in lines below, in the order of the table.
_PROMINENT = (
    "customer_value",
    "expected_orders",
    "expected_revenue",
    "customers",
    "active_customers",
    "repeat_rate",
    "revenue_lately",
)

FIELDS = (
    UrlField("view", "tracking-view", "choice", default="weekly"),
    UrlField("models", "tracking-models", "list", default=[]),
)


def layout(data: "SnapshotData", search: str) -> Component:  # noqa: ARG001 - controls take the URL's state when they appear
    """Return the page with a skeleton for every number."""
    models = _models(data)
    return html.Div(
        [
            url_store("overview", FIELDS, {"models": models[:1]}),
            html.Section(
                html.Div([states.skeleton(170) for _ in range(6)], className="kpis"),
                id="overview-kpis",
                className="kpi-section",
                **aria(label="Key figures"),
            ),
            html.Div(
                [
                    cards.card(
                        "Actual and expected repeat orders",
                        "overview-tracking",
                        subtitle="Did the model see coming what came?",
                        height=_FIGURE_HEIGHT + 40,
                        controls=_tracking_controls(models),
                        class_name="span-8",
                    ),
                    cards.card(
                        "Value concentration",
                        "overview-concentration",
                        subtitle="How much hangs on the best customers?",
                        height=_FIGURE_HEIGHT + 40,
                        class_name="span-4",
                    ),
                    cards.card(
                        "Segments",
                        "overview-segments",
                        subtitle="Where the value sits, and the way to each list",
                        height=330,
                        class_name="span-12",
                    ),
                    cards.card(
                        "More figures",
                        "overview-more",
                        subtitle="What was counted and expected besides",
                        height=130,
                        class_name="span-12",
                    ),
                    cards.card(
                        "Can today's data be trusted?",
                        "overview-trust",
                        subtitle="Money in against money used, and what the checks saw",
                        height=110,
                        class_name="span-12",
                    ),
                ],
                className="cards",
            ),
        ]
    )


def _models(data: "SnapshotData") -> list[str]:
    """Models with an expectation, the winner first; [] where the snapshot has none."""
    try:
        tracked = {row["model"] for row in data.order_tracking().records}
        ranked = [row["model"] for row in data.model_reports().records]
    except RegularsError as error:
        log.info("no models to choose from: %s", error)
        return []
    return [model for model in ranked if model in tracked] + sorted(tracked - set(ranked))


def _tracking_controls(models: list[str]) -> Component:
    return html.Div(
        [
            html.Fieldset(
                [
                    html.Legend("Models", className="unseen"),
                    dmc.ChipGroup(
                        [
                            dmc.Chip(tracking.model_name(model), value=model, size="xs", variant="outline")
                            for model in models
                        ],
                        id="tracking-models",
                        multiple=True,
                        value=models[:1],
                    ),
                ],
                className="chips",
            ),
            dmc.SegmentedControl(
                id="tracking-view",
                value="weekly",
                size="xs",
                data=[{"value": name, "label": text} for name, text in tracking.VIEWS.items()],
                **aria(label="View"),
            ),
        ],
        className="controls",
    )


def register(app: Dash, data: "AppData") -> None:
    """Add the page's callbacks."""
    keep_in_url(app, "overview", FIELDS)

    @app.callback(Output("overview-kpis", "children"), Input("run", "data"))
    @states.guarded
    def kpis(run: str) -> Component:
        return _kpis(data.snapshot(run))

    @app.callback(Output("overview-more", "children"), Input("run", "data"))
    @states.guarded
    def more_kpis(run: str) -> Component:
        return _more_kpis(data.snapshot(run))

    @app.callback(
        Output("overview-tracking", "children"),
        Input("run", "data"),
        Input("tracking-view", "value"),
        Input("tracking-models", "value"),
        Input("scheme", "data"),
    )
    @states.guarded
    @states.kept
    def order_tracking(run: str, view: Any, models: Any, scheme: Any) -> Component | list[Component]:
        return _tracking(data.snapshot(run), view, models, theme.scheme(scheme))

    @app.callback(Output("overview-concentration", "children"), Input("run", "data"), Input("scheme", "data"))
    @states.guarded
    @states.kept
    def value_concentration(run: str, scheme: Any) -> list[Component]:
        return _concentration(data.snapshot(run), theme.scheme(scheme))

    @app.callback(Output("overview-segments", "children"), Input("run", "data"))
    @states.guarded
    @states.kept
    def segments(run: str) -> list[Component]:
        return _segments(data.snapshot(run))

    @app.callback(Output("overview-trust", "children"), Input("run", "data"))
    @states.guarded
    @states.kept
    def trusted(run: str) -> list[Component]:
        return _trust(data.snapshot(run))


def _kpis(data: "SnapshotData") -> Component:
    shown = [
        kpi.kpi_card(row, source, data.currency, before, lead=place == 0, missing=missing)
        for place, (row, source, before, missing) in enumerate(_figures(data)[:_MOST_CARDS])
    ]
    if not shown:
        return states.state(
            "No figures", f"Run {data.run_id} has an empty table kpis.", commands=("regulars build --force",)
        )
    return html.Div(shown, className=f"kpis kpis-{len(shown)}")


def _more_kpis(data: "SnapshotData") -> Component:
    lines = [
        kpi.kpi_line(row, source, data.currency, before, missing=missing)
        for row, source, before, missing in _figures(data)[_MOST_CARDS:]
    ]
    return html.Dl(lines, className="kpi-lines") if lines else html.P("All figures stand above.", className="question")


def _figures(data: "SnapshotData") -> list[tuple[Mapping[str, Any], Source, "tuple[date, float] | None", str]]:
    """Every figure, the most prominent first: its row, its source, its last value, and why it is not to be shown."""
    answer = data.kpis()
    last = data.previous_kpis()
    too_few = data.enough_data()
    counted = data.counted_kpis()
    figures = []
    for row in sorted(answer.records, key=_prominence):
        predicted = row["kpi"] not in counted
        source = Source.of(
            data,
            answer.sql,
            meaning=row["meaning"],
            model=data.model_version if predicted else "",
            interval="" if row["low"] is None else _INTERVAL,
        )
        before = (last[0], last[1][row["kpi"]]) if last and row["kpi"] in last[1] else None
        figures.append((row, source, before, too_few if predicted or row["value"] is None else ""))
    return figures


def _prominence(row: Mapping[str, Any]) -> int:
    return _PROMINENT.index(row["kpi"]) if row["kpi"] in _PROMINENT else len(_PROMINENT)


def _tracking(data: "SnapshotData", view: Any, models: Any, scheme: theme.Scheme) -> Component | list[Component]:
    missing = data.enough_data()
    if missing:
        return states.not_enough_data(missing)
    answer = data.order_tracking()
    known = _models(data)
    if not known:
        return states.state("Nothing to track", "The history is too short to hold any of it out.")
    chosen = [model for model in (models if isinstance(models, list) else []) if model in known] or known[:1]
    drawn = tracking.tracking_figure(
        answer.records, chosen, "cumulative" if view == "cumulative" else "weekly", scheme, order=known
    )
    says = tracking.tracking_message(answer.records, chosen[0])
    source = Source.of(
        data,
        answer.sql,
        meaning="Repeat purchase days week by week.",
        model=model_versions.named_versions(data, chosen),
        interval="none: a mean",
    )
    return [
        figure(drawn, says, height=_FIGURE_HEIGHT),
        cards.footer(
            html.Div(
                [
                    html.P(says),
                    html.P(data.verdict) if data.verdict else None,
                    *map(_caution, _own_notes(data)),
                    _all_notes(data),
                ]
            ),
            disclosure("Actual and expected repeat orders", source),
        ),
    ]


def _own_notes(data: "SnapshotData") -> list[str]:
    """Notes on customers; those on campaigns, churn and prices stand on their pages."""
    return [note for note in data.notes if not note.startswith("campaign ") and "[" not in note]


def _all_notes(data: "SnapshotData") -> Component | None:
    others = len(data.notes) - len(_own_notes(data))
    if not others:
        return None
    text = f"{others} more notes of this build" if others > 1 else "1 more note of this build"
    return html.P(dcc.Link(text, href="/models", className="text-link"))


def _caution(note: str) -> Component:
    return html.P([icon("alert", 15), html.Span(note)], className="caution")


def _concentration(data: "SnapshotData", scheme: theme.Scheme) -> list[Component]:
    answer = data.value_concentration()
    predicted = not data.enough_data()
    measure = "expected" if predicted else "past"
    top = concentration.held_by_top(answer.records, measure)
    held = "expected value" if predicted else "past revenue"
    says = f"The best 10% of customers hold {formats.share(top)} of {held}."
    link = None
    if predicted:
        least = concentration.smallest_of_top(answer.records)
        link = dcc.Link("See them", href=f"/customers?value={least:.2f}..", className="text-link")
    source = Source.of(
        data,
        answer.sql,
        meaning="Customers ranked from the best, against the share of all value they hold.",
        model=data.model_version if predicted else "",
        interval="none: the ranking is by expected value",
    )
    return [
        figure(
            concentration.concentration_figure(answer.records, scheme, predicted=predicted),
            says,
            height=_FIGURE_HEIGHT + 50,
        ),
        cards.footer(html.P([says, " ", link]), disclosure("Value concentration", source)),
    ]


def _segments(data: "SnapshotData") -> list[Component]:
    answer = data.segments()
    missing = data.enough_data()
    source = Source.of(
        data,
        answer.sql,
        meaning="Customers by segment, with what they are expected to bring in the horizon.",
        model="" if missing else data.model_version,
        interval="" if missing else data.total_interval(),
    )
    note = (
        f"Predictions are left out: not enough data ({missing})." if missing else f"Value looks {data.horizon} ahead."
    )
    return [
        segments_table(answer.records, data.currency, data.horizon, predicted=not missing),
        cards.footer(html.P(note), disclosure("Segments", source)),
    ]


def _trust(data: "SnapshotData") -> list[Component]:
    money, checks = data.money_reconciliation(), data.check_results()
    source = Source.of(data, money.sql, meaning="Every line of the input is used or set aside with a reason.")
    return [
        trust.money_line(money.records, data.currency),
        trust.checks_line(checks.records),
        cards.footer(
            html.P(f"{len(checks.records)} checks, as of {formats.day(data.as_of)}."), disclosure("Money", source)
        ),
    ]


def report(data: "SnapshotData", search: str) -> list[tuple[str, Component]]:
    """Return the page's parts with every number in place."""
    said = dict(parse_qsl(search.removeprefix("?")))
    models = said.get("models", "").split(",")
    return states.filled(
        [
            ("Key figures", lambda: _kpis(data)),
            ("Actual and expected repeat orders", lambda: _tracking(data, said.get("view"), models, "light")),
            ("Value concentration", lambda: _concentration(data, "light")),
            ("Segments", lambda: _segments(data)),
            ("More figures", lambda: _more_kpis(data)),
            ("Can today's data be trusted?", lambda: _trust(data)),
        ]
    )


PAGE = Page("/", "Overview", "chart", "What is the base worth, and is it growing?", layout, register, report)
