"""Data answers whether today's can be trusted: the verdict, money to the cent, checks, days, rejected lines, builds."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import dash_mantine_components as dmc
from dash import Dash, Input, Output, dcc, html
from dash.development.base_component import Component

from ...sql import catalog
from ...sql.contract import SET_ASIDE_REASONS
from ...sql.errors import WarehouseError
from .. import build_history, formats, theme
from ..access import current_person
from ..components import build_panel, data_parts, grid, model_versions, states
from ..components import card as cards
from ..components.aria import aria
from ..components.figure import figure
from ..components.icons import icon
from ..components.kpi import label
from ..components.listing_table import listing_table
from ..components.provenance import Source, disclosure
from ..components.url_state import UrlField, keep_in_url, url_store
from ..listing import LONGEST_SEARCH
from ..rejected_listing import REJECTED
from ..runs import describe_runs
from . import Page

if TYPE_CHECKING:
    from datetime import date

    from ..data import AppData
    from ..snapshot_data import SnapshotData

_GRID = "rejected-grid"
_HEIGHT = 300
_SHOWN_BUILDS = 10

FIELDS = (
    UrlField("reason", "rejected-reason", "list", default=[]),
    UrlField("q", "rejected-search", "text", default=""),
)


def layout(data: "SnapshotData", search: str) -> Component:
    """Return the page with a skeleton for every number."""
    filters = REJECTED.parse(search)
    return html.Div(
        [
            url_store("data", FIELDS),
            html.Div(states.skeleton(84), id="data-verdict", className="data-verdict-place"),
            html.Div(
                [
                    cards.card(
                        "Where the money went",
                        "data-money",
                        subtitle="In = used + set aside, to the cent",
                        height=260,
                        class_name="span-6",
                    ),
                    cards.card(
                        "What the checks found",
                        "data-checks",
                        subtitle="Each with an example, and what to do",
                        height=260,
                        class_name="span-6",
                    ),
                    cards.card(
                        "Is a day missing?",
                        "data-days",
                        subtitle="Orders by day against the usual for their weekday",
                        height=_HEIGHT + 130,
                        class_name="span-12",
                    ),
                    _builds_card(),
                    cards.card(
                        "Input files",
                        "data-files",
                        subtitle="What the snapshot was made from",
                        height=120,
                        class_name="span-12",
                    ),
                ],
                className="cards",
            ),
            _rejected_card(data, filters),
        ],
        className="data-page",
    )


def register(app: Dash, data: "AppData") -> None:
    """Add the page's callbacks."""
    keep_in_url(app, "data", FIELDS)
    grid.register(app, _GRID)
    grid.register_exports(app, _GRID, "rejected")

    @app.callback(Output("data-verdict", "children"), Input("run", "data"))
    @states.guarded
    def verdict(run: str) -> Component:
        return _verdict(data.snapshot(run))

    @app.callback(Output("data-money", "children"), Input("run", "data"))
    @states.guarded
    def money(run: str) -> Any:
        return _money(data.snapshot(run))

    @app.callback(Output("data-checks", "children"), Input("run", "data"))
    @states.guarded
    def checks(run: str) -> Any:
        return _checks(data.snapshot(run))

    @app.callback(Output("data-days", "children"), Input("run", "data"), Input("scheme", "data"))
    @states.guarded
    def days(run: str, scheme: Any) -> Any:
        return _days(data.snapshot(run), theme.scheme(scheme))

    @app.callback(Output("data-files", "children"), Input("run", "data"))
    @states.guarded
    def files(run: str) -> Any:
        return _files(data.snapshot(run))

    @app.callback(
        Output("data-builds", "children"),
        Input("run", "data"),
        Input("build-cancel", "hidden"),
        Input("build-state", "children"),
    )
    @states.guarded
    def builds(run: str, idle: Any, state: Any) -> Any:  # noqa: ARG001 - a build that ends changes the list
        return _builds(data.snapshot(run))

    @app.callback(Output("data-start", "hidden"), Input("run", "data"))
    def may_start(run: Any) -> bool:  # noqa: ARG001
        return not current_person().may("admin")


def report(data: "SnapshotData", search: str) -> Sequence[tuple[str, Component]]:
    """Return the page's parts with every number in place."""
    filters = REJECTED.parse(search)
    return states.filled(
        [
            ("Can today's data be trusted?", lambda: _verdict(data)),
            ("Where the money went", lambda: _money(data)),
            ("What the checks found", lambda: _checks(data)),
            ("Is a day missing?", lambda: _days(data, "light")),
            ("Builds", lambda: _builds(data)),
            ("Input files", lambda: _files(data)),
            ("Rejected lines", lambda: _listed(data, filters)),
        ]
    )


# ---- the parts ------------------------------------------------------------------------------------------------------


def _today(data: "SnapshotData") -> "date":
    shop = data.settings.get("shop")
    zone = str(shop.get("timezone") or "UTC") if isinstance(shop, Mapping) else "UTC"
    return datetime.now(ZoneInfo(zone)).date()


def _freshness(data: "SnapshotData") -> Any:
    return data.ask("data_freshness", {"as_of": data.as_of})


def _verdict(data: "SnapshotData") -> Component:
    last = next(iter(build_history.ended(data.warehouse.path, 1)), None)
    found = data_parts.verdict(
        data.check_results().records,
        data.money_reconciliation().records,
        _freshness(data).records[0],
        _today(data),
        last,
    )
    parts: list[Component | None] = [data_parts.verdict_line(found)]
    if last is not None and last.outcome in {"failed", "killed"}:
        parts.append(build_panel.ended_line(last))
    return html.Div(parts)


def _money(data: "SnapshotData") -> list[Component]:
    answer = data.money_reconciliation()
    source = Source.of(data, answer.sql, meaning="Every line of the input is used, or set aside with a reason.")
    gaps = data_parts.unaccounted(answer.records)
    said = "Something is unaccounted for." if gaps else "Reconciled to the cent in every currency."
    return [
        data_parts.money_table(answer.records, data.currency),
        cards.footer(html.P(said), disclosure("Where the money went", source)),
    ]


def _checks(data: "SnapshotData") -> list[Component]:
    rows = data.check_results().records
    failed = sorted((row for row in rows if not row["passed"]), key=_gravity)
    passed = [row for row in rows if row["passed"]]
    verdict = f"{len(passed)} of {len(rows)} checks found nothing"
    parts: list[Component] = [
        html.Ul([_check(data, row) for row in failed], className="data-findings")
        if failed
        else html.P([icon("check", 16), html.Span("No check found anything.")], className="mark mark-check")
    ]
    if passed:
        folded = html.Ul([_check(data, row) for row in passed], className="data-findings data-passed")
        parts.append(html.Details([html.Summary(verdict), folded], className="data-fold"))
    return parts


def _gravity(row: Mapping[str, Any]) -> int:
    order = ("blocking", "warning", "info")
    return order.index(row["severity"]) if row["severity"] in order else len(order)


def _check(data: "SnapshotData", row: Mapping[str, Any]) -> Component:
    name = str(row["check_name"])
    known = catalog.checks().get(name)
    sql = known.text.strip() if known else "SELECT * FROM check_results"
    source = Source.of(data, sql, meaning=str(row["message"]))
    example = f"such as {row['example']}" if row["example"] else ""
    said = "nothing" if row["passed"] else f"{formats.count(row['found'])} found"
    return html.Li(
        [
            html.Span(
                str(row["severity"]), className=f"severity severity-{'ok' if row['passed'] else row['severity']}"
            ),
            html.Div(
                [
                    html.P(
                        [
                            html.Strong(f"{label(name)}: {said}"),
                            html.Span(f", {example}" if example else "", className="data-example"),
                        ]
                    ),
                    None if row["passed"] else html.P(str(row["message"]), className="data-advice"),
                ]
            ),
            disclosure(label(name), source),
        ]
    )


def _days(data: "SnapshotData", scheme: theme.Scheme) -> list[Component]:
    fresh = _freshness(data)
    facts = data_parts.freshness_facts(fresh.records[0], data.as_of, _today(data))
    answer = data.ask("data_days", {"as_of": data.as_of, "shown_days": 180})
    says = data_parts.days_message(answer.records)
    source = Source.of(
        data,
        f"{answer.sql.rstrip()};\n\n{fresh.sql}",
        meaning="Orders by day; the band is the tenth to the ninetieth percentile of the twelve same weekdays before.",
        interval="80% of the same weekdays before",
    )
    return [
        facts,
        figure(data_parts.days_figure(answer.records, scheme), says, height=_HEIGHT),
        cards.footer(html.P(says), disclosure("Orders by day", source)),
    ]


def _files(data: "SnapshotData") -> list[Component]:
    inputs = data.manifest.get("inputs") or {}
    lines = sum(row["lines"] or 0 for row in data.money_reconciliation().records if row["disposition"] == "in")
    if not inputs:
        return [states.state("No files are named", "The manifest of this run lists none.", compact=True)]
    code = data.manifest.get("code") or {}
    made = f"Made by regulars {code.get('regulars', '')}, code {str(code.get('fingerprint', ''))[:12]}."
    return [data_parts.files_table(inputs, {"order_lines": lines}), cards.footer(html.P(made))]


def _builds(data: "SnapshotData") -> list[Component]:
    ended = build_history.ended(data.warehouse.path, _SHOWN_BUILDS)
    parts: list[Component] = []
    if ended:
        parts.append(data_parts.builds_table(ended))
    try:
        runs = describe_runs(data.warehouse)[:_SHOWN_BUILDS]
    except (WarehouseError, KeyError) as error:
        parts.append(html.P([icon("alert", 15), html.Span(str(error))], className="caution"))
        return parts
    parts += [html.H3("Snapshots that stand", className="data-sub"), data_parts.runs_table(runs)]
    parts.append(html.P(["Go back to one with ", html.Code("regulars runs rollback RUN"), "."], className="build-line"))
    return parts


def _builds_card() -> Component:
    return html.Section(
        [
            html.Div(
                [
                    html.Div(
                        [
                            html.H2("Builds", id="data-builds-heading"),
                            html.P(
                                "What ran, and why one failed; the last good snapshot stays", className="card-subtitle"
                            ),
                        ]
                    ),
                    html.Div(
                        dcc.Link("Change files or columns", href="/start", id="data-start-link", className="text-link"),
                        id="data-start",
                        hidden=True,
                        className="card-controls",
                    ),
                ],
                className="card-head",
            ),
            build_panel.panel(),
            html.Div(states.skeleton(160), id="data-builds", className="data-builds"),
        ],
        className="card span-12",
        **aria(labelledby="data-builds-heading"),
    )


def _rejected_card(data: "SnapshotData", filters: Any) -> Component:
    missing = bool(data.lacks("rejected_order_lines")) or data.count(REJECTED.everything) == 0
    body = (
        [_no_lines(data)]
        if missing
        else [
            _filter_bar(),
            grid.grid(
                _GRID,
                REJECTED,
                data.columns(REJECTED),
                filters.sorts,
                data.currency,
                label="Rejected lines",
                height=420,
            ),
        ]
    )
    return html.Section(
        [
            html.Div(
                [
                    html.Div(
                        [
                            html.H2("Lines set aside", id="rejected-heading"),
                            html.P("Nothing is dropped silently: each with its reason", className="card-subtitle"),
                        ]
                    ),
                    html.Div([] if missing else grid.export_links("rejected", REJECTED), className="card-controls"),
                ],
                className="card-head",
            ),
            *body,
        ],
        id="rejected",
        className="card data-rejected",
        **aria(labelledby="rejected-heading"),
    )


def _filter_bar() -> Component:
    return html.Div(
        [
            dmc.TextInput(
                id="rejected-search",
                value="",
                placeholder="Search customer id",
                leftSection=icon("search", 16),
                debounce=350,
                inputProps={"maxLength": LONGEST_SEARCH, "aria-label": "Search customer id", "spellCheck": False},
                size="sm",
                className="filter-search",
            ),
            dmc.MultiSelect(
                id="rejected-reason",
                value=[],
                data=[{"value": name, "label": label(name)} for name in SET_ASIDE_REASONS],
                placeholder="All reasons",
                clearable=True,
                hidePickedOptions=True,
                size="sm",
                className="filter-segment",
                clearButtonProps=aria(label="Clear reasons"),  # pyright: ignore[reportArgumentType]
                **aria(label="Reasons"),
            ),
        ],
        className="filter-bar",
        role="search",
        **aria(label="Filter rejected lines"),
    )


def _listed(data: "SnapshotData", filters: Any) -> Component:
    if data.lacks("rejected_order_lines") or data.count(REJECTED.everything) == 0:
        return _no_lines(data)
    return listing_table(data, filters)


def _no_lines(data: "SnapshotData") -> Component:
    if not data.lacks("rejected_order_lines"):
        return states.state(
            "No line was set aside", "Figures and models are made of all of them.", symbol="check", compact=True
        )
    return states.state(
        "The lines set aside are not in this snapshot",
        f"Run {data.run_id} {data.lacks('rejected_order_lines')}: another version of regulars made it.",
        commands=("regulars build --force",),
        compact=True,
    )


PAGE = Page("/data", "Data", "check", "Can I trust today's data?", layout, register, report, models=model_versions.none)
