"""Whether today's data can be trusted, in two lines: the money adds up, and what the checks saw."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from dash import html
from dash.development.base_component import Component

from .. import formats
from .icons import icon
from .kpi import label


def money_line(rows: Sequence[Mapping[str, Any]], currency: str) -> Component:
    """Return "in = used + set aside" in the reporting currency, and say where it does not add up."""
    money = {
        name: sum((row["revenue_reporting"] or Decimal(0) for row in rows if row["disposition"] == name), Decimal(0))
        for name in ("in", "used", "set_aside")
    }
    lines = {name: sum(row["lines"] for row in rows if row["disposition"] == name) for name in money}
    left = money["in"] - money["used"] - money["set_aside"]
    reasons = [row["reason"] for row in rows if row["disposition"] == "set_aside" and (row["lines"] or row["revenue"])]
    parts = [
        (formats.cents(money["in"], currency), f"in, {lines['in']:,} lines"),
        (formats.cents(money["used"], currency), f"used, {lines['used']:,} lines"),
        (formats.cents(money["set_aside"], currency), f"set aside, {_reasons(reasons)}"),
    ]
    terms: list[Component] = []
    for sign, (amount, text) in zip(("", "=", "+"), parts, strict=True):
        if sign:
            terms.append(html.Span(sign, className="money-sign"))
        terms.append(html.Span([html.Strong(amount), html.Span(text)], className="money-term"))
    verdict = "Reconciled to the cent" if left == 0 else f"{formats.cents(left, currency)} is unaccounted for"
    return html.Div([html.Div(terms, className="money"), _mark(verdict, fine=left == 0)], className="trust-row")


def checks_line(rows: Sequence[Mapping[str, Any]]) -> Component:
    """Return how many checks passed, and what the others found."""
    failed = [row for row in rows if not row["passed"]]
    grave = [row for row in failed if row["severity"] != "info"]
    verdict = f"{len(rows) - len(failed)} of {len(rows)} checks passed"
    return html.Div(
        [
            _mark(verdict, fine=not grave),
            html.Ul([_finding(row) for row in failed], className="findings") if failed else None,
        ],
        className="trust-row trust-checks",
    )


def _finding(row: Mapping[str, Any]) -> Component:
    said = f"{label(row['check_name'])}: {formats.count(row['found'])}"
    return html.Li(
        [
            html.Span(row["severity"], className=f"severity severity-{row['severity']}"),
            html.Span([html.Strong(said), f" – {row['message']}"]),
        ]
    )


def _mark(text: str, *, fine: bool) -> Component:
    name = "check" if fine else "alert"
    return html.P([icon(name, 16), html.Span(text)], className=f"mark mark-{name}")


def _reasons(reasons: list[str]) -> str:
    named = list(dict.fromkeys(reason.replace("_", " ") for reason in reasons))
    if not named:
        return "nothing"
    return named[0] if len(named) == 1 else f"{len(named)} reasons"
