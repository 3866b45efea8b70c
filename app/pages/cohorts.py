"""Cohorts answer whether newer customers are worse than older ones were at their age."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import dash_mantine_components as dmc
from dash import Dash, Input, Output, html
from dash.development.base_component import Component

from .. import formats, theme
from ..components import card as cards
from ..components import cohort_figures, model_versions, states
from ..components.aria import aria
from ..components.cohort_audit import LENSES, audit_table
from ..components.cohort_trend import FEWEST_COHORTS, FEWEST_CUSTOMERS, LEVEL, CohortTrend, equal_age_trends
from ..components.figure import figure
from ..components.provenance import Source, disclosure
from ..components.url_state import UrlField, keep_in_url, url_store
from ..listings import CUSTOMERS
from . import Page

if TYPE_CHECKING:
    from ..data import AppData
    from ..snapshot_data import SnapshotData

PERIODS: Mapping[str, str] = {"month": "Monthly", "quarter": "Quarterly"}
MEASURES: Mapping[str, str] = {"share": "Share", "count": "Customers"}
WITHIN: tuple[int, ...] = (30, 91, 182, 365)
_LOOK_NEW = "Many of them look new only because the data begin (check left_censored)."
_TREND_HEIGHT = 300
_CURVES_HEIGHT = 340
_AUDIT_HEIGHT = 330
# the check of the same name looks at the first 28 days; slow buyers are first seen later still
_FIRST_SEEN_DAYS = 91
_WAYS = {"by": PERIODS, "show": MEASURES, "within": {str(one): one for one in WITHIN}, "lens": LENSES}

FIELDS = (
    UrlField("by", "cohorts-by", "choice", default="month"),
    UrlField("show", "cohorts-show", "choice", default="share"),
    UrlField("within", "cohorts-within", "choice", default="91"),
    UrlField("lens", "cohorts-lens", "choice", default="health"),
)
_DEFAULTS: Mapping[str, str] = {field.key: field.default for field in FIELDS}


def layout(data: "SnapshotData", search: str) -> Component:
    """Return the page with a skeleton for every number and its controls as the URL has them."""
    data.table("cohorts")
    chosen = _chosen(search)
    return html.Div(
        [
            url_store("cohorts", FIELDS),
            html.Div(
                [
                    cards.card(
                        "Are newer cohorts worse?",
                        "cohorts-answer",
                        subtitle="Each customer at the same age, however old the cohort",
                        height=_TREND_HEIGHT + 130,
                        controls=html.Div(
                            [
                                _control("cohorts-by", PERIODS, chosen["by"], "Cohorts"),
                                _control(
                                    "cohorts-within", {str(d): f"{d} days" for d in WITHIN}, chosen["within"], "Age"
                                ),
                            ],
                            className="controls",
                        ),
                        class_name="span-12",
                    ),
                    cards.card(
                        "Who comes back",
                        "cohorts-triangle",
                        subtitle="Customers of each cohort who bought in each period since",
                        height=320,
                        controls=_control("cohorts-show", MEASURES, chosen["show"], "Show"),
                        class_name="span-12",
                    ),
                    cards.card(
                        "Value by age",
                        "cohorts-curves",
                        subtitle="What a customer has brought since the first purchase; newer cohorts are lighter",
                        height=_CURVES_HEIGHT + 40,
                        class_name="span-12",
                    ),
                    cards.card(
                        "The audit of the customer base",
                        "cohorts-audit",
                        subtitle="Five lenses before any model",
                        height=_AUDIT_HEIGHT + 300,
                        controls=_control(
                            "cohorts-lens", {key: lens.name for key, lens in LENSES.items()}, chosen["lens"], "Lens"
                        ),
                        class_name="span-12",
                    ),
                ],
                className="cards",
            ),
        ]
    )


def _control(control_id: str, choices: Mapping[str, Any], value: str, label: str) -> Component:
    return dmc.SegmentedControl(
        id=control_id,
        value=value,
        size="xs",
        data=[{"value": key, "label": str(text)} for key, text in choices.items()],
        **aria(label=label),
    )


def _chosen(search: str) -> dict[str, str]:
    said = dict(parse_qsl(search.removeprefix("?"), max_num_fields=40))
    return {key: _one_of(key, said.get(key)) for key in _DEFAULTS}


def _one_of(key: str, value: Any) -> str:
    return value if isinstance(value, str) and value in _WAYS[key] else _DEFAULTS[key]


def register(app: Dash, data: "AppData") -> None:
    """Add the page's callbacks."""
    keep_in_url(app, "cohorts", FIELDS)

    @app.callback(
        Output("cohorts-answer", "children"),
        Input("run", "data"),
        Input("cohorts-by", "value"),
        Input("cohorts-within", "value"),
        Input("scheme", "data"),
    )
    @states.guarded
    def answer(run: Any, by: Any, within: Any, scheme: Any) -> Component | list[Component]:
        asked = _one_of("by", by), int(_one_of("within", within))
        return _answer(data.snapshot(run), *asked, theme.scheme(scheme))

    @app.callback(
        Output("cohorts-triangle", "children"),
        Input("run", "data"),
        Input("cohorts-by", "value"),
        Input("cohorts-show", "value"),
        Input("scheme", "data"),
    )
    @states.guarded
    def triangle(run: Any, by: Any, show: Any, scheme: Any) -> Component | list[Component]:
        return _triangle(data.snapshot(run), _one_of("by", by), _one_of("show", show), theme.scheme(scheme))

    @app.callback(
        Output("cohorts-curves", "children"),
        Input("run", "data"),
        Input("cohorts-by", "value"),
        Input("scheme", "data"),
    )
    @states.guarded
    def curves(run: Any, by: Any, scheme: Any) -> Component | list[Component]:
        return _curves(data.snapshot(run), _one_of("by", by), theme.scheme(scheme))

    @app.callback(
        Output("cohorts-audit", "children"),
        Input("run", "data"),
        Input("cohorts-lens", "value"),
        Input("scheme", "data"),
    )
    @states.guarded
    def audit(run: Any, lens: Any, scheme: Any) -> Component | list[Component]:
        return _audit(data.snapshot(run), _one_of("lens", lens), theme.scheme(scheme))


# ---- the answer


def _answer(data: "SnapshotData", by: str, within: int, scheme: theme.Scheme) -> Component | list[Component]:
    found = data.ask("cohort_equal_age", {"as_of": data.as_of, "within": within, "period": by})
    rows = found.records
    if not rows:
        return states.state(
            "No customer is that old yet",
            f"None of the customers came {within} days or more before {formats.day(data.as_of)}: choose a lower age.",
            compact=True,
        )
    censored = _first_seen(data)
    kept = [row for row in rows if row["cohort"] >= censored] if censored else rows
    few = [row["cohort"] for row in kept if row["customers"] < FEWEST_CUSTOMERS]
    trends = equal_age_trends(kept)
    left_out = [row["cohort"] for row in rows if row not in kept or row["customers"] < FEWEST_CUSTOMERS]
    head, details = _said(trends, kept, few, within, by, data.currency)
    drawn = cohort_figures.trend_figure(rows, trends, left_out, by, data.currency, scheme)
    source = Source.of(
        data,
        found.sql,
        meaning=f"What customers of each {by} had done within {within} days of their first purchase.",
        interval=f"{LEVEL:.1%} of the change, by a random-effects line through the cohorts; points 95%",
    )
    notes = [
        html.P(
            f"Whiskers: 95% of each cohort. The line counts in what cohorts differ by anyhow (random effects, Knapp "
            f"and Hartung); at {LEVEL:.1%} each, both intervals together hold 95%."
        )
    ]
    if censored:
        notes.append(
            html.P(
                f"Hollow, and left out of the test: fewer than {FEWEST_CUSTOMERS} customers, or first seen before "
                f"{formats.day(censored)}, in the first {_FIRST_SEEN_DAYS} days of the data. {_LOOK_NEW}"
            )
        )
    return [
        html.P(head, className="answer"),
        html.P(details, className="answer-details"),
        figure(drawn, f"{head} {details}", height=_TREND_HEIGHT),
        cards.footer(html.Div(notes), disclosure("Newer cohorts", source)),
    ]


def _first_seen(data: "SnapshotData") -> date | None:
    """From when on a customer who is first seen may be called new; None where the data do not begin in the middle."""
    if data.lacks("check_results"):
        return None
    failed = [row for row in data.check_results().records if row["check_name"] == "left_censored" and not row["passed"]]
    if not failed:
        return None
    first = data.customer_totals(CUSTOMERS.everything).records[0]["first_order_on"]
    return first + timedelta(days=_FIRST_SEEN_DAYS)


def _said(
    trends: Mapping[str, CohortTrend],
    rows: Sequence[Mapping[str, Any]],
    few: Sequence[date],
    within: int,
    by: str,
    currency: str,
) -> tuple[str, str]:
    if not trends:
        usable = len(rows) - len(few)
        return (
            "These data cannot say.",
            f"{usable} cohort{'s hold' if usable != 1 else ' holds'} {FEWEST_CUSTOMERS} customers or more who have "
            f"been seen for {within} days; {FEWEST_COHORTS} are needed. A lower age may do.",
        )
    again, revenue = trends["came_again"], trends["revenue"]
    directions = {again.direction, revenue.direction}
    if directions == {-1, 1}:
        head = "In one way yes, in the other no."
    elif -1 in directions:
        head = "Yes: newer cohorts are worse."
    elif 1 in directions:
        head = "No: newer cohorts are better."
    else:
        head = "Nothing shows that newer cohorts are worse."
    first, last = (cohort_figures.cohort_name(row["cohort"], by) for row in (_big(rows)[0], _big(rows)[-1]))
    details = (
        f"Within {within} days {formats.share(again.first)} of {first} and {formats.share(again.last)} of {last} came "
        f"again, by the line through {again.cohorts} cohorts: {_points(again.change)} points ({LEVEL:.1%} interval "
        f"{_points(again.low)} to {_points(again.high)}). Revenue a customer went from "
        f"{formats.money(revenue.first, currency)} to {formats.money(revenue.last, currency)}: "
        f"{_signed(revenue.change, currency)} ({_signed(revenue.low, currency)} to {_signed(revenue.high, currency)})."
    )
    return head, details


def _big(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [row for row in rows if row["customers"] >= FEWEST_CUSTOMERS]


def _points(share: float) -> str:
    return f"{100 * share:+.1f}".replace("-", "−")


def _signed(amount: float, currency: str) -> str:
    return ("+" if amount >= 0 else "") + formats.money(amount, currency)


# ---- triangle, curves, audit


def _triangle(data: "SnapshotData", by: str, show: str, scheme: theme.Scheme) -> Component | list[Component]:
    if by == "quarter":
        found = data.ask("cohort_quarters", {"as_of": data.as_of})
        rows = found.records
    else:
        found = data.table("cohorts", "cohort, age_months")
        rows = [{**row, "age": row["age_months"]} for row in found.records]
    if not any(row["age"] > 0 for row in rows):
        return states.state("No cohort is a period old", f"The history is shorter than one {by}.", compact=True)
    censored = _first_seen(data)
    drawn, ages = cohort_figures.triangle_figure(rows, by, show, scheme, censored)
    says = cohort_figures.triangle_message(rows, by)
    source = Source.of(
        data,
        found.sql,
        meaning=f"Customers by the {by} of their first purchase; who of them bought in each {by} since.",
        interval="none: counted",
    )
    known = len({row["cohort"] for row in rows})
    cut = f" The newest {cohort_figures.MOST_COHORTS} of {known}." if known > cohort_figures.MOST_COHORTS else ""
    shown = figure(drawn, says, height=cohort_figures.triangle_height(rows))
    return [
        html.Div(
            html.Div(shown, style={"minWidth": 130 + 44 * ages}),
            className="triangle",
            tabIndex=0,
            role="region",
            **aria(label="Who comes back"),
        ),
        cards.footer(
            html.Div([html.P(says + cut), html.P(f"† {_LOOK_NEW}") if censored else None]),
            disclosure("Who comes back", source),
        ),
    ]


def _curves(data: "SnapshotData", by: str, scheme: theme.Scheme) -> Component | list[Component]:
    if by == "quarter":
        found = data.table("audit_all_cohorts", "cohort, age_quarters")
        rows = [
            {**row, "age": row["age_quarters"], "revenue_per_customer": row["cumulative_revenue_per_customer"]}
            for row in found.records
        ]
    else:
        found = data.ask("cohort_value")
        rows = [{**row, "revenue_per_customer": float(row["revenue_per_customer"] or 0)} for row in found.records]
    if not any(row["is_complete"] for row in rows):
        return states.state("No whole period yet", f"The history is shorter than one {by}.", compact=True)
    censored = _first_seen(data)
    truly = [row for row in rows if censored is None or row["cohort"] >= censored]
    left_out = f" Left out: cohorts before {formats.day(censored)}. {_LOOK_NEW}" if censored and truly else ""
    rows = truly or rows
    drawn = cohort_figures.curves_figure(rows, by, data.currency, scheme)
    says = cohort_figures.curves_message(rows, by, data.currency)
    source = Source.of(
        data,
        found.sql,
        meaning="Net revenue since the first purchase over the customers of the cohort, whole periods only.",
        interval="none: counted; for whether cohorts differ by more than chance see the first part",
    )
    return [
        figure(drawn, says, height=_CURVES_HEIGHT),
        cards.footer(html.P(says + left_out), disclosure("Value by age", source)),
    ]


def _audit(data: "SnapshotData", name: str, scheme: theme.Scheme) -> Component | list[Component]:
    lens = LENSES[name]
    found = data.table(lens.table, lens.order)
    if not found.records:
        return states.state(
            "Nothing to look at",
            "No period of this length holds a purchase.",
            commands=("regulars build",),
            compact=True,
        )
    says = lens.say(found.records, data.currency)
    source = Source.of(data, found.sql, meaning=f"{lens.question} {_window(data)}", interval="none: counted")
    return [
        html.P(says, className="answer-details"),
        figure(lens.draw(found.records, data.currency, scheme), says, height=_AUDIT_HEIGHT),
        audit_table(lens, found.records, data.currency),
        cards.footer(html.P(f"{lens.question} {_window(data)}"), disclosure(lens.name, source)),
    ]


def _window(data: "SnapshotData") -> str:
    if data.lacks("audit_periods"):
        return ""
    rows = [row for row in data.table("audit_periods", "period").records if row["period"] == 0]
    if not rows:
        return ""
    row = rows[0]
    span = f"{formats.day(row['starts_on'])} to {formats.day(row['ends_on'])}"
    return f"Periods of {row['days']} days; the latest from {span}."


def report(data: "SnapshotData", search: str) -> list[tuple[str, Component]]:
    """Return the page's parts with every number in place, all lenses of the audit among them."""
    chosen = _chosen(search)
    by = chosen["by"]

    return states.filled(
        [
            ("Are newer cohorts worse?", lambda: _answer(data, by, int(chosen["within"]), "light")),
            ("Who comes back", lambda: _triangle(data, by, chosen["show"], "light")),
            ("Value by age", lambda: _curves(data, by, "light")),
            *((f"Audit: {lens.question}", partial(_audit, data, name, "light")) for name, lens in LENSES.items()),
        ]
    )


PAGE = Page(
    "/cohorts", "Cohorts", "triangle", "Are newer cohorts worse?", layout, register, report, models=model_versions.none
)
