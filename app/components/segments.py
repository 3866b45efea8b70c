"""The segments: how many customers each holds, what they are worth, and the way to their list."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from dash import dcc, html
from dash.development.base_component import Component

from ...sql.contract import SEGMENTS
from .. import formats
from .aria import aria

LABELS: Mapping[str, str] = {
    name: {"at_risk": "At risk", "one_time": "One-time"}.get(name, name.capitalize()) for name in SEGMENTS
}


def segments_table(rows: Sequence[Mapping[str, Any]], currency: str, horizon: str, *, predicted: bool) -> Component:
    """Return the table of segments, the most valuable first; without ``predicted`` only what was counted."""
    customers = sum(row["customers"] for row in rows) or 1
    measure = "customer_value" if predicted else "revenue"
    total = float(sum(row[measure] or 0 for row in rows)) or 1.0
    head = ["Segment", "Customers", "", f"Value, {horizon}" if predicted else "Past revenue", ""]
    if predicted:
        head += ["P(alive)", "Expected orders"]
    head += ["Last order"]
    body = [_row(row, customers, total, measure, currency, predicted=predicted) for row in rows]
    classes = ["", "num", "bar-cell", "num", "bar-cell", *(["num", "num"] if predicted else []), "num"]
    cells = [
        html.Th(text, scope="col", className=name) if text else html.Td(className=name)
        for text, name in zip(head, classes, strict=True)
    ]
    return html.Div(
        html.Table([html.Thead(html.Tr(cells)), html.Tbody(body)], className="table"),
        className="table-scroll",
        tabIndex=0,
        role="region",
        **aria(label="Segments"),
    )


def _row(
    row: Mapping[str, Any], customers: int, total: float, measure: str, currency: str, *, predicted: bool
) -> Component:
    name = row["segment"]
    amount = float(row[measure] or 0)
    ends = None
    if predicted and row["value_low"] is not None:
        low, high = (formats.money(row[end], currency, short=True) for end in ("value_low", "value_high"))
        ends = html.Span(f"80% {low} – {high}", className="table-note")
    cells = [
        html.Th(
            [
                dcc.Link(LABELS.get(name, name), href=f"/customers?segment={quote(name)}", className="table-link"),
                html.Span(SEGMENTS.get(name, ""), className="table-note"),
            ],
            scope="row",
        ),
        html.Td(formats.count(row["customers"]), className="num"),
        html.Td(_bar(row["customers"] / customers), className="bar-cell"),
        html.Td([formats.money(amount, currency, short=True), ends], className="num strong"),
        html.Td(_bar(max(amount, 0) / total), className="bar-cell"),
    ]
    if predicted:
        cells += [
            html.Td(formats.share(row["probability_alive"]), className="num"),
            html.Td(formats.count(row["expected_orders"]), className="num"),
        ]
    cells.append(html.Td(f"{formats.days(row['days_since_last_order'])} ago", className="num"))
    return html.Tr(cells)


def _bar(share: float) -> Component:
    return html.Div(
        [
            html.Span(html.Span(style={"width": f"{100 * share:.1f}%"}), className="bar", **aria(hidden="true")),
            html.Span(formats.share(share), className="bar-text"),
        ],
        className="bar-pair",
    )
