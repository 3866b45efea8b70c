"""A markdown plan in words and tables: what it is worth, why an item's prices are what they are, what differs."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from dash import html
from dash.development.base_component import Component

from .. import formats
from ..plan_age import last_day
from .aria import aria
from .icons import icon

if TYPE_CHECKING:
    from ..markdown import Change, MarkdownResult

MOST_CHANGES = 200


def signed(value: float, currency: str) -> str:
    """Write an amount with its sign.

    Examples
    --------
    >>> signed(3.2, "GBP"), signed(-1234.5, "GBP"), signed(0.001, "GBP")
    ('+£3.20', '−£1,234', '£0.00')
    """
    if abs(value) < 0.005:
        return formats.money(0.0, currency)
    return ("+" if value > 0 else "") + formats.money(value, currency)


def proven(gap: float) -> str:
    """Say how near a plan is to the best; never nearer than it is.

    Examples
    --------
    >>> proven(0.0), proven(0.00001234), proven(0.02)
    ('the best there is', 'at most 0.002% below the best', 'at most 2% below the best')
    """
    if gap <= 0.0:
        return "the best there is"
    per_cent = 100 * gap
    shown = next((f"{per_cent + 0.5 * 10**-d:.{d}f}" for d in (0, 1, 2, 3) if per_cent >= 10**-d), "0.001")
    if float(shown) < per_cent:
        shown = f"{per_cent:.4f}"
    shown = shown.rstrip("0").rstrip(".") if "." in shown else shown
    return f"at most {shown}% below the best"


def account_terms(account: Mapping[str, Any], currency: str, spend: float) -> list[tuple[str, str, str]]:
    """Return (name, figure, note) of what a plan is worth, the first the one that counts."""
    more = None if account["unchanged"] is None else account["objective"] - account["unchanged"]
    share = formats.change(account["objective"], account["unchanged"], "currency") if more is not None else ""
    months = f"{formats.day(account['starts'])} – {formats.day(last_day(account))}"
    return [
        ("Against no change", formats.MISSING if more is None else signed(more, currency), share),
        ("Worth", formats.money(account["objective"], currency), proven(account["gap"])),
        ("Bound", formats.money(account["bound"], currency), "no plan under these rules is worth more"),
        ("Markdown spend", formats.money(spend, currency), f"{account['markdowns']:,} price changes"),
        ("Items", formats.count(account["planned_items"]), f"of {formats.count(account['items'])} are planned"),
        ("Weeks", formats.count(account["weeks"]), months),
    ]


def totals(terms: Sequence[tuple[str, str, str]], *beside: Component) -> Component:
    """Return figures in a row."""
    shown = [html.Div([html.Dt(n), html.Dd([html.Strong(f), html.Span(note)])]) for n, f, note in terms]
    return html.Div([html.Dl(shown, className="totals"), *beside], className="totals-row price-totals")


def spend_of(rows: Sequence[Mapping[str, Any]]) -> float:
    """What the prices of a plan give away: regular price less price, times expected units."""
    return sum(
        float(row["regular_price"] - row["price"]) * float(row["units"])
        for row in rows
        if not row["reason"] and row["units"] is not None
    )


def why_sentences(weeks: Sequence[Mapping[str, Any]], item: Mapping[str, Any], currency: str) -> list[str]:
    """Say why an item's prices are what they are, in sentences."""
    first = weeks[0]
    if first["reason"]:
        price = formats.money(None if first["price"] is None else float(first["price"]), currency)
        return [f"It is not planned and keeps its price, {price}: {first['reason']}."]
    said = []
    rule = first["binding_rule"]
    said.append(f"Held back by {rule}: without it the item would earn most more." if rule else "No rule holds it back.")
    if first["unit_worth"] is not None:
        said.append(f"One more unit of stock is worth {formats.money(float(first['unit_worth']), currency)}.")
    if first["elasticity"] is not None:
        ends = f"{first['elasticity_lower']:.2f} to {first['elasticity_upper']:.2f}".replace("-", "−")
        own = formats.share(first["own_data_share"])
        value = f"{first['elasticity']:.2f}".replace("-", "−")
        rest = item["category"] or "its category"
        said.append(
            f"A price 1% lower sells {value.lstrip('−')}% more (elasticity {value}, 90%: {ends}); {own} of that is "
            f"from its own sales, the rest from {rest}."
        )
    if first["stock_rule"]:
        said.append(f"Stock: {first['stock_rule']}.")
    return said


def why_table(weeks: Sequence[Mapping[str, Any]], currency: str) -> Component:
    """Return week by week the price, and what one step up or down would bring."""
    head = ("Week", "Price", "Units", "One up", "One down")
    rows = []
    for number, week in enumerate(weeks, start=1):
        units = formats.count(week["units"], decimals=1)
        if week["units_lower"] is not None:
            units += f" ({formats.count(week['units_lower'])}–{formats.count(week['units_upper'])})"
        rows.append(
            html.Tr(
                [
                    html.Th(
                        [f"{number}", html.Span(f"{week['week'].day} {week['week']:%b}", className="price-note")],
                        scope="row",
                    ),
                    html.Td(
                        formats.money(float(week["price"]), currency),
                        className="num strong price-cut" if week["changed"] else "num",
                    ),
                    html.Td(units, className="num"),
                    html.Td(_neighbour(week, "up", currency)),
                    html.Td(_neighbour(week, "down", currency)),
                ]
            )
        )
    heads = html.Thead(html.Tr([html.Th(name, scope="col") for name in head]))
    table = html.Table([heads, html.Tbody(rows)], className="table price-table")
    return html.Div(table, className="table-scroll", tabIndex=0, role="region", **aria(label="Why, week by week"))


def _neighbour(week: Mapping[str, Any], side: str, currency: str) -> list[Component | str]:
    price, worth, forbidden = (week[f"{side}_{what}"] for what in ("price", "worth", "forbidden_by"))
    if price is None:
        return ["none"]
    shown = formats.money(float(price), currency)
    said = f"forbidden: {forbidden}" if forbidden else f"is worth {signed(float(worth or 0.0), currency)}"
    return [f"{shown} ", html.Span(said, className="price-note" if forbidden else "price-note price-whole")]


def changes_table(changes: Sequence["Change"], currency: str, what: str) -> Component:
    """Return the prices that differ, with their total; the first 200 where there are more."""
    if not changes:
        return html.P(f"No price differs from {what}.", className="question")
    total = sum(change.revenue_change for change in changes)
    head = ("Item", "Week", "Before", "Now", "How", "Revenue of the week")
    rows = [
        html.Tr(
            [
                html.Th(_name(change), scope="row"),
                html.Td(formats.day(change.week)),
                html.Td(formats.money(change.planned_price, currency), className="num"),
                html.Td(
                    "off sale" if change.price is None else formats.money(change.price, currency),
                    className="num strong",
                ),
                html.Td("by hand" if change.overridden else "planned anew"),
                html.Td(signed(change.revenue_change, currency), className="num"),
            ]
        )
        for change in changes[:MOST_CHANGES]
    ]
    more = len(changes) - MOST_CHANGES
    note = f"{len(changes):,} prices differ" + (f"; the first {MOST_CHANGES} are listed" if more > 0 else "")
    foot = html.Tfoot(
        html.Tr(
            [html.Th(note, scope="row", colSpan=5), html.Td(signed(total, currency), className="num strong")],
            className="price-total",
        )
    )
    heads = html.Thead(html.Tr([html.Th(name, scope="col") for name in head]))
    table = html.Table([heads, html.Tbody(rows), foot], className="table price-table")
    return html.Div(
        table, className="table-scroll price-changes", tabIndex=0, role="region", **aria(label="Prices that differ")
    )


def notes(found: "MarkdownResult") -> Component | None:
    """Return what must be known of a plan."""
    if not found.notes:
        return None
    return html.Ul([html.Li([icon("alert", 15), html.Span(note)], className="caution") for note in found.notes])


def _name(change: "Change") -> str:
    return f"{change.item}@{change.store_id}" if change.store_id else change.item


def weeks_of(account: Mapping[str, Any]) -> list[Any]:
    """Return the Mondays of a plan's weeks."""
    return [account["starts"] + timedelta(weeks=t) for t in range(account["weeks"])]
