"""Churn answers who leaves, and when."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import dash_mantine_components as dmc
import plotly.graph_objects as go
from dash import Dash, Input, Output, dcc, html
from dash.development.base_component import Component

from ...sql.contract import SEGMENTS
from .. import formats, theme
from ..churn_listing import AT_RISK
from ..components import card as cards
from ..components import grid, model_versions, reliability, states, survival
from ..components.aria import aria
from ..components.figure import figure
from ..components.icons import icon
from ..components.listing_table import listing_table
from ..components.provenance import Source, disclosure
from ..components.segments import LABELS
from ..components.tracking import model_name
from ..components.url_state import UrlField, keep_in_url, url_store
from ..listing import LONGEST_SEARCH
from . import Page

if TYPE_CHECKING:
    from ..data import AppData
    from ..snapshot_data import SnapshotData

_GRID = "at-risk-grid"
_HEIGHT = 320
_LEAST_WATCHED = 20
_LONGEST_DAYS = 730
_SHOWN_AT_FIRST = (1, 2, 5, 10)
_NONE_CONFIGURED = "Write a section [churn] into regulars.toml, even an empty one, then build."

FIELDS = (
    UrlField("after", "churn-after", "list", default=[str(n) for n in _SHOWN_AT_FIRST]),
    UrlField("models", "churn-models", "list", default=[]),
    UrlField("q", "at-risk-search", "text", default=""),
    UrlField("segment", "at-risk-segment", "list", default=[]),
    UrlField("p", "at-risk-p-low", "low", scale=100),
    UrlField("p", "at-risk-p-high", "high", scale=100),
    UrlField("stake", "at-risk-stake-low", "low"),
    UrlField("stake", "at-risk-stake-high", "high"),
    UrlField("days", "at-risk-days-low", "low"),
    UrlField("days", "at-risk-days-high", "high"),
)


def layout(data: "SnapshotData", search: str) -> Component:
    """Return the page with a skeleton for every number."""
    filters = AT_RISK.parse(search)
    models = [row["model"] for row in _reports(data)]
    found = _has_answers(data)
    return html.Div(
        [
            url_store("churn", FIELDS, {"models": _models_at_first(data)}),
            html.Div(states.skeleton(76), id="churn-totals", className="totals-place"),
            html.Div(
                [
                    cards.card(
                        "How long do customers stay away?",
                        "churn-survival",
                        subtitle="The share not back yet, by the days since a purchase day; bands are 95%",
                        height=_HEIGHT + 40,
                        controls=_after_chips(),
                        class_name="span-8",
                    ),
                    cards.card(
                        "How many are how likely to leave?",
                        "churn-distribution",
                        subtitle="Customers by P(no order)",
                        height=_HEIGHT + 40,
                        class_name="span-4",
                    ),
                    cards.card(
                        "Can the probabilities be taken at their word?",
                        "churn-reliability",
                        subtitle="Foretold against what came, for customers the models had not seen",
                        height=_HEIGHT + 40,
                        controls=_model_chips(models, _models_at_first(data)),
                        class_name="span-5",
                    ),
                    cards.card(
                        "Which model is best?",
                        "churn-reports",
                        subtitle="Judged on the last days, side by side",
                        height=_HEIGHT + 40,
                        class_name="span-7",
                    ),
                ],
                className="cards",
            ),
            _list_card(data, filters, found=found),
        ],
        className="churn-page",
    )


def _list_card(data: "SnapshotData", filters: Any, *, found: bool) -> Component:
    body: list[Component | None]
    if found:
        body = [
            _filter_bar(),
            grid.grid(_GRID, AT_RISK, data.columns(AT_RISK), filters.sorts, data.currency, label="At risk", height=520),
        ]
    else:
        # the address keeps its controls, which must be there for it
        body = [_no_answers(data), html.Div(_filter_bar(), hidden=True)]
    return html.Section(
        [
            html.Div(
                [
                    html.Div(
                        [
                            html.H2("At risk, and why", id="at-risk-heading"),
                            html.P("Those with most at stake first", className="card-subtitle"),
                        ]
                    ),
                    html.Div(grid.export_links("at-risk", AT_RISK) if found else [], className="card-controls"),
                ],
                className="card-head",
            ),
            *body,
        ],
        className="card churn-list",
        **aria(labelledby="at-risk-heading"),
    )


def _after_chips() -> Component:
    chips = [dmc.Chip(survival.ordinal(n), value=str(n), size="xs", variant="outline") for n in (1, 2, 3, 5, 10, 20)]
    return html.Fieldset(
        [
            html.Legend("After which purchase day", className="unseen"),
            dmc.ChipGroup(chips, id="churn-after", multiple=True, value=[str(n) for n in _SHOWN_AT_FIRST]),
        ],
        className="chips",
    )


def _model_chips(models: Sequence[str], chosen: list[str]) -> Component:
    chips = [dmc.Chip(_title(model), value=model, size="xs", variant="outline") for model in models]
    return html.Fieldset(
        [
            html.Legend("Models", className="unseen"),
            dmc.ChipGroup(chips, id="churn-models", multiple=True, value=chosen),
        ],
        className="chips",
    )


def _filter_bar() -> Component:
    numbers = (("p", "P(no order), %"), ("stake", "At stake"), ("days", "Silent for, days"))
    return html.Div(
        [
            dmc.TextInput(
                id="at-risk-search",
                value="",
                placeholder="Search customer id",
                leftSection=icon("search", 16),
                debounce=350,
                inputProps={"maxLength": LONGEST_SEARCH, "aria-label": "Search customer id", "spellCheck": False},
                size="sm",
                className="filter-search",
            ),
            dmc.MultiSelect(
                id="at-risk-segment",
                value=[],
                data=[{"value": name, "label": LABELS[name]} for name in SEGMENTS],
                placeholder="All segments",
                clearable=True,
                hidePickedOptions=True,
                size="sm",
                className="filter-segment",
                clearButtonProps=aria(label="Clear segments"),  # pyright: ignore[reportArgumentType]
                **aria(label="Segments"),
            ),
            *(
                html.Div(
                    [
                        html.Span(label, className="range-label"),
                        *(
                            dmc.NumberInput(
                                id=f"at-risk-{key}-{end}",
                                value="",
                                placeholder="from" if end == "low" else "to",
                                hideControls=True,
                                debounce=350,
                                size="sm",
                                className="range-input",
                                **aria(label=f"{label}, {'at least' if end == 'low' else 'at most'}"),
                            )
                            for end in ("low", "high")
                        ),
                    ],
                    className="range-pair",
                )
                for key, label in numbers
            ),
        ],
        className="filter-bar churn-filters",
        role="search",
        **aria(label="Filter customers at risk"),
    )


def register(app: Dash, data: "AppData") -> None:
    """Add the page's callbacks."""
    keep_in_url(app, "churn", FIELDS)
    grid.register(app, _GRID)
    grid.register_exports(app, _GRID, "at-risk")

    @app.callback(Output("churn-totals", "children"), Input("run", "data"))
    @states.guarded
    @states.kept
    def totals(run: str) -> Component:
        return _totals(data.snapshot(run))

    @app.callback(
        Output("churn-survival", "children"),
        Input("run", "data"),
        Input("churn-after", "value"),
        Input("scheme", "data"),
    )
    @states.guarded
    @states.kept
    def curves(run: str, after: Any, scheme: Any) -> list[Component] | Component:
        return _survival(data.snapshot(run), after, theme.scheme(scheme))

    @app.callback(Output("churn-distribution", "children"), Input("run", "data"), Input("scheme", "data"))
    @states.guarded
    @states.kept
    def distribution(run: str, scheme: Any) -> list[Component] | Component:
        return _distribution(data.snapshot(run), theme.scheme(scheme))

    @app.callback(
        Output("churn-reliability", "children"),
        Input("run", "data"),
        Input("churn-models", "value"),
        Input("scheme", "data"),
    )
    @states.guarded
    @states.kept
    def calibration(run: str, models: Any, scheme: Any) -> list[Component] | Component:
        return _reliability(data.snapshot(run), models, theme.scheme(scheme))

    @app.callback(Output("churn-reports", "children"), Input("run", "data"))
    @states.guarded
    @states.kept
    def reports(run: str) -> list[Component] | Component:
        return _judged(data.snapshot(run))


# ---- what the snapshot has ------------------------------------------------------------------------------------------


def _has_answers(data: "SnapshotData") -> bool:
    return not data.lacks("customer_churn") and bool(data.count(AT_RISK.everything))


def _reports(data: "SnapshotData") -> list[dict[str, Any]]:
    return [] if data.lacks("churn_reports") else data.table("churn_reports", "rank, model").records


def _models_at_first(data: "SnapshotData") -> list[str]:
    """The best model, and the best of those that are models of orders alone."""
    names = [row["model"] for row in _reports(data)]
    orders = [name for name in names[1:] if name.endswith("nbd") and "+" not in name]
    return names[:1] + orders[:1]


def _no_answers(data: "SnapshotData", *, compact: bool = True) -> Component:
    if outdated := data.outdated("customer_churn"):
        return states.problem(outdated, compact=compact)
    said = next((note for note in data.notes if note.startswith("[churn] has no answer")), "")
    return states.state(
        "No answers on churn in this snapshot",
        said or _NONE_CONFIGURED,
        commands=("regulars build",),
        compact=compact,
    )


def _title(model: str) -> str:
    return " + ".join(model_name(part) for part in model.split(" + "))


# ---- the parts ------------------------------------------------------------------------------------------------------


def _totals(data: "SnapshotData") -> Component:
    if not _has_answers(data):
        return _no_answers(data)
    answer = data.ask("churn_totals")
    row = answer.records[0]
    leavers = float(row["expected_leavers"] or 0)
    days = f"{row['horizon_days']} days"
    stake = float(row["value_at_stake"] or 0)
    parts = [
        (
            f"No order in {days}",
            formats.count(leavers, short=True),
            f"{formats.share(leavers / max(row['customers'], 1))} of {formats.count(row['customers'])}"
            + _held_out(data),
        ),
        (
            "More likely silent than not",
            formats.count(row["more_likely_not"]),
            f"P(no order in {days}) of 50% and more",
        ),
        (
            f"At stake in {days}",
            formats.money(stake, data.currency, short=True),
            "what these days usually bring, times P(no order)",
        ),
        ("Foretold by", _title(row["chosen"]), "the best on customers not seen"),
    ]
    source = Source.of(
        data,
        answer.sql,
        meaning=f"The sum of every customer's P(no order in {days}), and of what {days} usually bring times it.",
        model=_chosen(data),
        interval="none: how far off the total was on customers not seen stands beside it",
    )
    return html.Div(
        [
            html.Dl(
                [
                    html.Div([html.Dt(name), html.Dd([html.Strong(text), html.Span(note)])])
                    for name, text, note in parts
                ],
                className="totals",
            ),
            disclosure("Churn in total", source),
        ],
        className="totals-row",
        role="status",
    )


def _held_out(data: "SnapshotData") -> str:
    """How the best model's mean compared with what came, where it was judged."""
    best = next((row for row in _reports(data) if row["rank"] == 1), None)
    if best is None or best["predicted"] is None or best["observed"] is None:
        return ""
    said, came = (formats.share(best[name], decimals=1) for name in ("predicted", "observed"))
    return f"; of customers not seen {said} were foretold, {came} came true"


def _survival(data: "SnapshotData", after: Any, scheme: theme.Scheme) -> list[Component] | Component:
    answer = data.ask("churn_survival", {"least": _LEAST_WATCHED, "longest": _LONGEST_DAYS})
    known = sorted({row["purchase"] for row in answer.records})
    if not known:
        return states.state("Nothing to watch", "No purchase day has been watched by enough customers.", compact=True)
    asked = [int(one) for one in after if isinstance(one, str) and one.isdecimal()] if isinstance(after, list) else []
    chosen = [n for n in known if n in asked] or [n for n in known if n in _SHOWN_AT_FIRST] or known[:1]
    reach = max(row["days"] for row in answer.records)
    says = survival.survival_message(answer.records, chosen, next((d for d in (90, 30, 7) if d <= reach), 1))
    source = Source.of(
        data,
        answer.sql,
        meaning="Kaplan-Meier: who has not been back is counted as long as he was watched. Each customer counts once "
        f"in a curve, which ends where fewer than {_LEAST_WATCHED} are watched.",
        interval="pointwise 95%, log-log",
    )
    drawn = survival.survival_figure(answer.records, chosen, scheme, order=known)
    return [figure(drawn, says, height=_HEIGHT), cards.footer(html.P(says), disclosure("Survival", source))]


def _distribution(data: "SnapshotData", scheme: theme.Scheme) -> list[Component] | Component:
    if not _has_answers(data):
        return _no_answers(data)
    answer = data.ask("churn_distribution")
    by_step = {row["step"]: row for row in answer.records}
    steps = range(20)
    customers = [by_step[s]["customers"] if s in by_step else 0 for s in steps]
    drawn = go.Figure(
        go.Bar(
            x=[(s + 0.5) / 20 for s in steps],
            y=customers,
            width=0.046,
            marker={"color": [(s + 0.5) / 20 for s in steps], "colorscale": "Viridis", "cmin": 0, "cmax": 1},
            customdata=[
                [f"{5 * s} – {5 * s + 5}%", formats.money(float(by_step[s]["value_at_stake"] or 0), data.currency)]
                if s in by_step
                else [f"{5 * s} – {5 * s + 5}%", "–"]
                for s in steps
            ],
            hovertemplate="P(no order) %{customdata[0]}: %{y:,} customers, %{customdata[1]} at stake<extra></extra>",
        )
    )
    drawn.update_layout(
        template=theme.template(scheme),
        xaxis={"title": {"text": "P(no order)"}, "tickformat": ".0%", "range": [0, 1]},
        yaxis={"title": {"text": "Customers"}, "tickformat": ",.0f"},
        showlegend=False,
    )
    between = sum(customers[8:16])
    says = (
        f"{formats.count(sum(customers[16:]))} customers have a P(no order) of 80% and more, "
        f"{formats.count(between)} lie between 40% and 80%."
    )
    source = Source.of(data, answer.sql, meaning="Customers in twentieths of P(no order).", model=_chosen(data))
    undecided = dcc.Link("See those in between", href="/churn?p=0.4..0.8", className="text-link")
    return [
        figure(drawn, says, height=_HEIGHT),
        cards.footer(html.P([says, " ", undecided]), disclosure("Distribution of P(no order)", source)),
    ]


def _chosen(data: "SnapshotData") -> str:
    chosen = _title(str((data.manifest.get("churn") or {}).get("chosen") or ""))
    return ", ".join(part for part in (chosen, model_versions.of_churn(data)) if part)


def _reliability(data: "SnapshotData", models: Any, scheme: theme.Scheme) -> list[Component] | Component:
    answer = data.table("churn_calibration", "model, decile")
    known = [row["model"] for row in _reports(data)]
    if not answer.records or not known:
        return _no_answers(data)
    asked = [one for one in models if isinstance(one, str)] if isinstance(models, list) else []
    chosen = [model for model in known if model in asked] or _models_at_first(data)
    drawn = reliability.reliability_figure(
        answer.records, {model: _title(model) for model in chosen}, scheme, order=known
    )
    worst = max((row for row in answer.records if row["model"] == chosen[0]), key=_apart)
    says = (
        f"{_title(chosen[0])}: furthest apart in tenth {worst['decile']}, "
        f"{formats.share(worst['predicted'])} foretold, {formats.share(worst['observed'])} observed."
    )
    source = Source.of(
        data,
        answer.sql,
        meaning="Customers in tenths of the prediction; on the dotted line it is right.",
        model=", ".join(map(_title, chosen)),
        interval="80% of the observed share",
    )
    return [figure(drawn, says, height=_HEIGHT), cards.footer(html.P(says), disclosure("Calibration", source))]


def _apart(row: Mapping[str, Any]) -> float:
    return abs(row["predicted"] - row["observed"])


def _judged(data: "SnapshotData") -> list[Component] | Component:
    answer = data.table("churn_reports", "rank, model")
    if not answer.records:
        return _no_answers(data)
    heads = (
        ("Model", ""),
        ("Brier", "Mean squared error of P(no order): less is better"),
        ("Slope", "Calibration slope: 1 is right, below 1 too sure"),
        ("Foretold", "Mean of the predictions"),
        ("Observed", "Customers without an order"),
        ("Uno's C", "Concordance of the time to the next order: more is better"),
        ("IBS", "Brier score of the whole survival curve: less is better"),
        ("AUC", "Time-dependent AUC: more is better"),
    )
    body = [
        html.Tr(
            [
                html.Th(
                    [_title(row["model"]), html.Span(row["note"], className="table-note") if row["note"] else None],
                    scope="row",
                ),
                html.Td(_digits(row["brier"], 4), className="num"),
                html.Td(_digits(row["slope"], 2), className="num"),
                *(html.Td(formats.share(row[name], decimals=1), className="num") for name in ("predicted", "observed")),
                *(
                    html.Td(_digits(row[name], 3), className="num")
                    for name in ("uno_c", "integrated_brier", "mean_auc")
                ),
            ],
            className="strong" if row["rank"] == 1 else None,
        )
        for row in answer.records
    ]
    verdict = str((data.manifest.get("churn") or {}).get("verdict") or "")
    source = Source.of(
        data,
        answer.sql,
        meaning="Models fitted to the time before, judged on the last days by customers not seen.",
        model=", ".join([*(_title(row["model"]) for row in answer.records), model_versions.of_churn(data)]).strip(", "),
    )
    head = [
        html.Th(name, scope="col", title=meaning or None, className="num" if i else None)
        for i, (name, meaning) in enumerate(heads)
    ]
    table = html.Div(
        html.Table([html.Thead(html.Tr(head)), html.Tbody(body)], className="table churn-models"),
        className="table-scroll",
        tabIndex=0,
        role="region",
        **aria(label="Models of churn"),
    )
    return [table, cards.footer(html.P(verdict), disclosure("Models of churn", source))]


def _digits(value: float | None, digits: int) -> str:
    return formats.MISSING if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def report(data: "SnapshotData", search: str) -> list[tuple[str, Component]]:
    """Return the page's parts with every number in place."""
    said = dict(parse_qsl(search.removeprefix("?")))
    after, models = (said.get(key, "").split(",") for key in ("after", "models"))
    asked: list[tuple[str, Any]] = [
        ("Churn in total", lambda: _totals(data)),
        ("How long do customers stay away?", lambda: _survival(data, after, "light")),
        ("How many are how likely to leave?", lambda: _distribution(data, "light")),
        ("Can the probabilities be taken at their word?", lambda: _reliability(data, models, "light")),
        ("Which model is best?", lambda: _judged(data)),
    ]
    if _has_answers(data):
        filters = AT_RISK.parse(search)
        asked.append(("At risk, and why", lambda: listing_table(data, filters)))
    return states.filled(asked)


PAGE = Page(
    "/churn", "Churn", "leaving", "Who leaves, and when?", layout, register, report, models=model_versions.of_churn
)
