"""The parts of one customer's page that are words and tables: head, churn, inputs, versions, campaigns."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from dash import dcc, html
from dash.development.base_component import Component

from ...sql.contract import CUSTOMER_SUMMARY, SEGMENTS
from .. import formats
from .aria import aria
from .icons import icon
from .provenance import model_label
from .segments import LABELS
from .tracking import model_name

if TYPE_CHECKING:
    from ..snapshot_data import SnapshotData

LONGEST_SHOWN = 64


def shown_id(customer_id: str) -> str:
    """Write an id that fits a heading: long ones by their ends.

    Examples
    --------
    >>> shown_id("C0001"), len(shown_id("L" * 10_000))
    ('C0001', 61)
    """
    if len(customer_id) <= LONGEST_SHOWN:
        return customer_id
    return f"{customer_id[:44]} … {customer_id[-14:]}"


def customer_link(customer_id: str) -> str:
    """Return the address of a customer's page.

    Examples
    --------
    >>> customer_link('Zoë/Ω "x" %26')
    '/customer?id=Zo%C3%AB%2F%CE%A9%20%22x%22%20%2526'
    """
    return f"/customer?id={quote(customer_id, safe='')}"


def identity(row: Mapping[str, Any]) -> Component:
    """Return the id with its segment; where it is long, all of it in a field to copy from."""
    customer_id = str(row["customer_id"])
    segment = row["segment"]
    long = len(customer_id) > LONGEST_SHOWN
    copies: dict[str, Any] = {"data-copy-from": "customer-id"}
    return html.Div(
        [
            html.Div(
                [
                    html.H2(shown_id(customer_id), className="customer-id", id="customer-heading"),
                    dcc.Link(
                        LABELS.get(segment, segment),
                        href=f"/customers?segment={quote(segment)}",
                        className="badge",
                        title=SEGMENTS.get(segment, ""),
                    )
                    if segment
                    else None,
                    html.Button("Copy id", type="button", className="link-button", **copies),
                ],
                className="customer-title",
            ),
            html.P(f"{len(customer_id):,} characters; the whole id:", className="question") if long else None,
            _full_id(customer_id, long=long),
        ]
    )


def _full_id(customer_id: str, *, long: bool) -> Component:
    # a block of text, not an input: it is read, selected and copied, by keyboard too
    seen: dict[str, Any] = {"tabIndex": 0, "role": "region", **aria(label="Customer id in full")}
    return html.Pre(
        customer_id,
        id="customer-id",
        className="customer-full-id" if long else "unseen",
        **(seen if long else aria(hidden="true")),
    )


def figures(parts: Sequence[tuple[str, str, str]]) -> Component:
    """Return name, figure and note of each, side by side."""
    return html.Dl(
        [
            html.Div([html.Dt(name), html.Dd([html.Strong(figure), html.Span(note) if note else None])])
            for name, figure, note in parts
        ],
        className="totals",
    )


def churn_table(row: Mapping[str, Any]) -> Component:
    """Return P(no order) and the median until the next order by each model, the chosen one marked."""
    chosen = str(row["chosen"])
    names = [name.strip() for name in chosen.split("+")]
    # what was chosen names one model or both; the other is what stands beside it
    survival = next((name for name in names if name not in _BTYD), "survival")
    btyd = next((name for name in names if name in _BTYD), "orders")
    lines = [
        (_CHURN_NAMES.get(survival, survival), row["probability_no_order_survival"], row["median_days_survival"]),
        (_BTYD.get(btyd, "Model of orders"), row["probability_no_order_btyd"], row["median_days_btyd"]),
    ]
    body = [_churn_line(name, p, median) for name, p, median in lines]
    named = " + ".join(_CHURN_NAMES.get(n, _BTYD.get(n, n)) for n in names)
    if len(names) > 1:
        named = f"The mean of both: {named}"
    body.append(_churn_line(named, row["churn_no_order"], None, chosen=True))
    heads = ("Model", f"P(no order in {row['horizon_days']} days)", "Next order, median")
    head = html.Tr([html.Th(t, scope="col", className="" if i == 0 else "num") for i, t in enumerate(heads)])
    return _scrolling(
        html.Table([html.Thead(head), html.Tbody(body)], className="table table-tight churn-table"), "P(no order)"
    )


_BTYD = {name: model_name(name) for name in ("nbd", "bg_nbd", "mbg_nbd", "pareto_nbd")}
_CHURN_NAMES = {
    "survival": "Survival model",
    "hazard": "Boosted hazard",
    "cox": "Cox",
    "coxnet": "Cox, elastic net",
    "gradient_boosting": "Boosted Cox",
    "random_survival_forest": "Survival forest",
    "kaplan_meier": "Kaplan-Meier",
}


def _churn_line(name: str, probability: float | None, median: float | None, *, chosen: bool = False) -> Component:
    bar = html.Span(html.Span(style={"width": f"{100 * (probability or 0):.1f}%"}), className="bar")
    days = "" if chosen else formats.days(median) if median is not None and median == median else "may never come"
    return html.Tr(
        [
            html.Th([name, html.Span("chosen", className="badge badge-small") if chosen else None], scope="row"),
            html.Td(html.Div([bar, html.Strong(formats.share(probability))], className="bar-pair"), className="num"),
            html.Td(days, className="num"),
        ],
        className="chosen" if chosen else "",
    )


def reasons(row: Mapping[str, Any], explained_by: str) -> Component:
    """Return why churn says so, the weightiest first; or that this customer was not among those explained."""
    said = [row[f"reason_{i}"] for i in (1, 2, 3) if row[f"reason_{i}"]]
    parts: list[Component] = []
    if said:
        by = f" (by {_CHURN_NAMES.get(explained_by, _BTYD.get(explained_by, explained_by))})" if explained_by else ""
        parts = [
            html.H3(f"What moved it most{by}"),
            html.Ol([html.Li(one) for one in said], className="reasons"),
        ]
    else:
        parts = [
            html.P(
                "No reasons are kept for this customer: a build explains those likeliest to stay away, as many as "
                "[churn] explained says.",
                className="question",
            )
        ]
    if row["beyond_range"]:
        parts.append(
            html.P(
                [icon("alert", 15), html.Span("Silent for longer than the survival model has seen.")],
                className="caution",
            )
        )
    return html.Div(parts)


def inputs_table(row: Mapping[str, Any], data: "SnapshotData") -> Component:
    """Return what the models read of this customer, each with its meaning."""
    value = data.settings.get("value") or {}
    unit = str(value.get("time_unit", "week")) + "s"
    lines = [
        ("frequency", "x", formats.count(row["frequency"]), "purchase days after the first one"),
        ("recency", "t_x", f"{row['recency']:.2f} {unit}", "from the first to the last purchase day"),
        ("T", "", f"{row['T']:.2f} {unit}", "from the first purchase day to the as-of date"),
        (
            "monetary_value",
            "m_x",
            formats.money(row["monetary_value"], data.currency),
            "mean net revenue of the repeat purchase days" if row["frequency"] else "0 without a repeat purchase day",
        ),
        ("first_order_on", "", formats.day(row["first_order_on"]), "first purchase day"),
        ("last_order_on", "", formats.day(row["last_order_on"]), "last purchase day"),
        ("orders", "", formats.count(row["orders"]), "all orders"),
        ("revenue", "", formats.cents(row["revenue"], data.currency), "all sales less what came back"),
        ("return_rate", "", formats.share(row["return_rate"], decimals=1), "of all that was bought"),
    ]
    body = [
        html.Tr(
            [
                html.Th(
                    [html.Code(name), html.Span(f" {letter}", className="letter") if letter else None],
                    scope="row",
                    title=CUSTOMER_SUMMARY.column(name).meaning,
                ),
                html.Td(figure, className="num strong"),
                html.Td(meaning, className="muted"),
            ]
        )
        for name, letter, figure, meaning in lines
    ]
    return _scrolling(html.Table(html.Tbody(body), className="table table-tight"), "What the models read")


def versions_table(rows: Sequence[Mapping[str, Any]], run_id: str, currency: str) -> Component:
    """Return this customer's scores run by run, the one on the page marked."""
    heads = ("As of", "Run", "Value", "80% interval", "P(alive)", "Expected orders", "Segment", "Model")
    head = html.Tr([html.Th(t, scope="col", className="num" if 2 <= i <= 5 else "") for i, t in enumerate(heads)])
    body = [
        html.Tr(
            [
                html.Th(formats.day(row["as_of"]), scope="row"),
                html.Td([row["run_id"][:8], _here() if row["run_id"] == run_id else None]),
                html.Td(formats.money(row["customer_value"], currency), className="num strong"),
                html.Td(
                    f"{formats.money(row['value_low'], currency)} – {formats.money(row['value_high'], currency)}",
                    className="num",
                ),
                html.Td(formats.share(row["probability_alive"]), className="num"),
                html.Td(formats.count(row["expected_orders"], decimals=1), className="num"),
                html.Td(LABELS.get(row["segment"], row["segment"] or formats.MISSING)),
                html.Td(model_label(row["model_version"] or ""), title=row["model_version"]),
            ],
            className="chosen" if row["run_id"] == run_id else "",
        )
        for row in rows
    ]
    return _scrolling(html.Table([html.Thead(head), html.Tbody(body)], className="table table-tight"), "Versions")


def _here() -> Component:
    return html.Span("this page", className="badge badge-small")


def decisions_table(rows: Sequence[Mapping[str, Any]], currency: str) -> Component:
    """Return what campaigns decided for this customer."""
    heads = ("Sent", "Campaign", "Arm", "Why", "Expected profit", "Cost")
    head = html.Tr([html.Th(t, scope="col", className="num" if i > 3 else "") for i, t in enumerate(heads)])
    body = [
        html.Tr(
            [
                html.Th(formats.day(row["sent_at"].date()) if row.get("sent_at") else formats.MISSING, scope="row"),
                html.Td(str(row.get("campaign") or "")),
                html.Td(str(row.get("arm") or "nothing was sent")),
                html.Td(str(row.get("why") or "")),
                html.Td(formats.money(row.get("expected_profit"), currency), className="num"),
                html.Td(formats.money(row.get("expected_cost"), currency), className="num"),
            ]
        )
        for row in rows
    ]
    return _scrolling(html.Table([html.Thead(head), html.Tbody(body)], className="table table-tight"), "Decisions")


def effects_table(rows: Sequence[Mapping[str, Any]], currency: str) -> Component:
    """Return what each arm is expected to move with this customer."""
    heads = ("Campaign", "Arm", "Effect expected", "Cost", "Net")
    head = html.Tr([html.Th(t, scope="col", className="num" if i > 1 else "") for i, t in enumerate(heads)])
    body = [
        html.Tr(
            [
                html.Th(row["campaign"], scope="row"),
                html.Td(row["arm"]),
                html.Td(formats.count(row["effect"], decimals=2), className="num"),
                html.Td(formats.money(row["cost"], currency), className="num"),
                html.Td(formats.money(row["net_effect"], currency), className="num strong"),
            ]
        )
        for row in rows
    ]
    return _scrolling(html.Table([html.Thead(head), html.Tbody(body)], className="table table-tight"), "Effects")


def _scrolling(table: Component, label: str) -> Component:
    return html.Div(table, className="table-scroll", tabIndex=0, role="region", **aria(label=label))
