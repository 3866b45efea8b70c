"""The audit of the customer base in five lenses: a figure, a sentence and the numbers of each.

After Fader, Hardie & Ross, The Customer-Base Audit (Wharton School Press 2022).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go
from dash import html
from dash.development.base_component import Component

from .. import formats, theme
from .aria import aria
from .cohort_figures import cohort_name

if TYPE_CHECKING:
    from datetime import date

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Lens:
    """One of the five: the question it answers, its table and order, and how it is drawn, said and listed."""

    name: str
    question: str
    table: str
    order: str
    draw: "Callable[[Rows, str, theme.Scheme], go.Figure]"
    say: "Callable[[Rows, str], str]"
    listed: "Callable[[Rows, str], tuple[list[str], list[list[str]]]]"


def audit_table(lens: Lens, rows: Rows, currency: str) -> Component:
    """Return the numbers of a lens as a table."""
    heads, lines = lens.listed(rows, currency)
    head = html.Tr([html.Th(t, scope="col", className="num" if i else "") for i, t in enumerate(heads)])
    body = [
        html.Tr([html.Th(line[0], scope="row"), *(html.Td(text, className="num") for text in line[1:])])
        for line in lines
    ]
    table = html.Table([html.Thead(head), html.Tbody(body)], className="table table-tight audit-table")
    return html.Div(table, className="table-scroll", tabIndex=0, role="region", **aria(label=lens.question))


# ---- one period: how different customers are


def _draw_tenths(rows: Rows, currency: str, scheme: theme.Scheme) -> go.Figure:
    colours = theme.PALETTES[scheme]
    figure = go.Figure(
        go.Bar(
            x=[row["decile"] for row in rows],
            y=[row["revenue_share"] for row in rows],
            marker={"color": colours.accent},
            text=[formats.share(row["revenue_share"]) for row in rows],
            textposition="outside",
            cliponaxis=False,
            hovertext=[
                f"Tenth {row['decile']}: {formats.cents(row['revenue'], currency)}<br>"
                f"{row['orders_per_customer']:.1f} orders a customer of {formats.money(row['order_value'], currency)}"
                for row in rows
            ],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    )
    figure.update_layout(
        template=theme.template(scheme),
        xaxis={"title": {"text": "Tenth of customers, the best first"}, "dtick": 1},
        yaxis={"title": {"text": "Share of net revenue"}, "tickformat": ".0%", "rangemode": "tozero"},
        margin={"t": 20},
    )
    return figure


def _say_tenths(rows: Rows, currency: str) -> str:
    best, last = rows[0], rows[-1]
    return (
        f"The best tenth brought {formats.share(best['revenue_share'])} of the latest period's net revenue: "
        f"{best['orders_per_customer']:.1f} orders a customer of {formats.money(best['order_value'], currency)}, "
        f"against {last['orders_per_customer']:.1f} of {formats.money(last['order_value'], currency)} in the last."
    )


def _list_tenths(rows: Rows, currency: str) -> tuple[list[str], list[list[str]]]:
    heads = ["Tenth", "Customers", "Net revenue", "Share", "From", "Orders a customer", "Order value"]
    return heads, [
        [
            str(row["decile"]),
            formats.count(row["customers"]),
            formats.money(float(row["revenue"]), currency),
            formats.share(row["revenue_share"], decimals=1),
            formats.money(float(row["revenue_from"]), currency),
            formats.count(row["orders_per_customer"], decimals=1),
            formats.money(row["order_value"], currency),
        ]
        for row in rows
    ]


# ---- two periods: what changed


def _moves(rows: Rows) -> np.ndarray:
    found = np.zeros((11, 11))
    for row in rows:
        found[row["decile_before"], row["decile_after"]] += row["customers"]
    return found


def _tenth(decile: int) -> str:
    return "none" if decile == 0 else str(decile)


def _draw_moves(rows: Rows, currency: str, scheme: theme.Scheme) -> go.Figure:  # noqa: ARG001 - all lenses are drawn alike
    moves = _moves(rows)
    order = [*range(1, 11), 0]
    z = moves[np.ix_(order, order)]
    shade = np.where(z > 0, np.log10(np.maximum(z, 1)), np.nan)
    high = float(np.nanmax(shade)) if np.isfinite(shade).any() else 1.0
    names = [_tenth(one) for one in order]
    figure = go.Figure(
        go.Heatmap(
            x=list(range(11)),
            y=list(range(11)),
            z=[[None if not np.isfinite(v) else float(v) for v in line] for line in shade],
            colorscale="Viridis",
            zmin=0,
            zmax=high or 1.0,
            xgap=2,
            ygap=2,
            showscale=False,
            hovertext=[
                [
                    f"{formats.count(z[i, j])} customers: before {names[i]}, after {names[j]}" if z[i, j] else ""
                    for j in range(11)
                ]
                for i in range(11)
            ],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    )
    cells = [(i, j) for i in range(11) for j in range(11) if z[i, j]]
    figure.add_trace(
        go.Scatter(
            x=[j for _, j in cells],
            y=[i for i, _ in cells],
            mode="text",
            text=[formats.count(z[i, j]) for i, j in cells],
            textfont={
                "size": 11,
                "color": ["#000000" if shade[i, j] > 0.435 * (high or 1) else "#ffffff" for i, j in cells],
            },
            hoverinfo="skip",
            showlegend=False,
        )
    )
    axis = {"showgrid": False, "showline": False, "tickvals": list(range(11)), "ticktext": names, "fixedrange": True}
    figure.update_layout(
        template=theme.template(scheme),
        xaxis={**axis, "title": {"text": "Tenth in the latest period"}, "range": [-0.5, 10.5]},
        yaxis={**axis, "title": {"text": "Tenth in the period before"}, "range": [10.5, -0.5]},
    )
    return figure


def _say_moves(rows: Rows, currency: str) -> str:  # noqa: ARG001 - all lenses say it alike
    moves = _moves(rows)
    best = moves[1].sum()
    new = sum(row["customers"] for row in rows if row["is_new"])
    lost = moves[1:, 0].sum()
    before = float(sum(row["revenue_before"] or 0 for row in rows))
    after = float(sum(row["revenue_after"] or 0 for row in rows))
    moved = formats.change(after, before, "currency") or "as before"
    stayed = f"{formats.share(moves[1, 1] / best)} of the best tenth stayed in it, " if best else ""
    return (
        f"{stayed}{formats.count(new)} customers are new and {formats.count(lost)} of the period before did not buy; "
        f"net revenue {moved}. Tenths fall back to the middle by chance alone."
    )


def _list_moves(rows: Rows, currency: str) -> tuple[list[str], list[list[str]]]:
    heads = ["", "Before", "After", "Change"]

    def total(name: str, when: str) -> float:
        if name == "customers":
            return float(sum(row["customers"] for row in rows if row[f"decile_{when}"] > 0))
        return float(sum(row[f"{name}_{when}"] or 0 for row in rows))

    def line(label: str, values: tuple[float, float], written: Callable[[float], str]) -> list[str]:
        moved = formats.change(values[1], values[0], "currency")
        return [label, written(values[0]), written(values[1]), moved or formats.MISSING]

    customers, orders, revenue = (
        [total(n, w) for w in ("before", "after")] for n in ("customers", "orders", "revenue")
    )
    ratio = lambda a, b: a / b if b else float("nan")  # noqa: E731
    return heads, [
        line("Customers", (customers[0], customers[1]), formats.count),
        line(
            "Orders a customer",
            (ratio(orders[0], customers[0]), ratio(orders[1], customers[1])),
            lambda value: formats.count(value, decimals=2),
        ),
        line(
            "Order value",
            (ratio(revenue[0], orders[0]), ratio(revenue[1], orders[1])),
            lambda value: formats.money(value, currency),
        ),
        line("Net revenue, their product", (revenue[0], revenue[1]), lambda value: formats.money(value, currency)),
    ]


# ---- one cohort: how buying unfolds


def _draw_unfolding(rows: Rows, currency: str, scheme: theme.Scheme) -> go.Figure:  # noqa: ARG001
    colours = theme.PALETTES[scheme]
    figure = go.Figure()
    cohorts = sorted({row["cohort"] for row in rows})[-len(colours.models) :]
    for i, cohort in enumerate(cohorts):
        mine = [row for row in rows if row["cohort"] == cohort]
        name = cohort_name(cohort, "quarter")
        figure.add_trace(
            go.Scatter(
                x=[row["purchase"] for row in mine],
                y=[row["share_of_cohort"] for row in mine],
                name=name,
                mode="lines+markers",
                line={"color": colours.models[i], "width": 2.25},
                marker={"symbol": i, "size": 7},
                hovertemplate=f"{name}: %{{y:.0%}} came to purchase day %{{x}}<extra></extra>",
            )
        )
    figure.update_layout(
        template=theme.template(scheme),
        xaxis={"title": {"text": "Purchase day"}, "dtick": 1},
        yaxis={"title": {"text": "Share of the cohort"}, "tickformat": ".0%", "range": [0, 1.05]},
    )
    return figure


def _say_unfolding(rows: Rows, currency: str) -> str:  # noqa: ARG001
    second = {row["cohort"]: row for row in rows if row["purchase"] == 2}
    if not second:
        return "No cohort has come to a second purchase day yet."
    size = {row["cohort"]: row["customers"] for row in rows if row["purchase"] == 1}
    largest = max(second, key=lambda cohort: size.get(cohort, 0))
    row = second[largest]
    return (
        f"Of {cohort_name(largest, 'quarter')}, the largest cohort, {formats.share(row['share_of_cohort'])} came a "
        f"second time, in the middle {formats.days(row['days_since_previous'])} later. Young ones had less time."
    )


def _list_unfolding(rows: Rows, currency: str) -> tuple[list[str], list[list[str]]]:
    heads = ["Cohort", "Customers", "Came twice", "Days to the 2nd", "Came five times", "First day", "Second day"]
    lines = []
    for cohort in sorted({row["cohort"] for row in rows}, reverse=True):
        mine = {row["purchase"]: row for row in rows if row["cohort"] == cohort}
        two, five = mine.get(2), mine.get(5)
        lines.append(
            [
                cohort_name(cohort, "quarter"),
                formats.count(mine[1]["customers"] if 1 in mine else None),
                formats.share(two["share_of_cohort"]) if two else formats.MISSING,
                formats.count(two["days_since_previous"]) if two else formats.MISSING,
                formats.share(five["share_of_cohort"]) if five else formats.MISSING,
                formats.money(mine[1]["revenue_per_purchase"], currency) if 1 in mine else formats.MISSING,
                formats.money(two["revenue_per_purchase"], currency) if two else formats.MISSING,
            ]
        )
    return heads, lines


# ---- all cohorts: whose money it is


def _quarter_of(row: Mapping[str, Any]) -> "date":
    month = row["cohort"].month - 1 + 3 * row["age_quarters"]
    return row["cohort"].replace(year=row["cohort"].year + month // 12, month=month % 12 + 1)


def _draw_layers(rows: Rows, currency: str, scheme: theme.Scheme) -> go.Figure:
    from plotly.colors import sample_colorscale

    cohorts = sorted({row["cohort"] for row in rows})
    quarters = sorted({_quarter_of(row) for row in rows})
    whole = {_quarter_of(row): row["is_complete"] for row in rows}
    shades = sample_colorscale("Viridis", list(np.linspace(0.05, 0.95, max(len(cohorts), 2))))
    figure = go.Figure()
    for i, cohort in enumerate(cohorts):
        money = {_quarter_of(row): float(row["revenue"] or 0) for row in rows if row["cohort"] == cohort}
        name = cohort_name(cohort, "quarter")
        figure.add_trace(
            go.Bar(
                x=[cohort_name(q, "quarter") + ("" if whole[q] else "*") for q in quarters],
                y=[money.get(q, 0.0) for q in quarters],
                name=name,
                marker={"color": shades[i], "line": {"width": 0.5, "color": theme.PALETTES[scheme].surface}},
                hovertemplate=f"Cohort {name}: {formats.symbol(currency)}%{{y:,.0f}} in %{{x}}<extra></extra>",
            )
        )
    figure.update_layout(
        template=theme.template(scheme),
        barmode="stack",
        showlegend=len(cohorts) <= 8,
        xaxis={"type": "category"},
        yaxis={"title": {"text": "Net revenue"}, "tickprefix": formats.symbol(currency)},
    )
    return figure


def _say_layers(rows: Rows, currency: str) -> str:  # noqa: ARG001
    complete = [row for row in rows if row["is_complete"]]
    if not complete:
        return "No quarter is over yet."
    latest = max(_quarter_of(row) for row in complete)
    now = [row for row in complete if _quarter_of(row) == latest]
    total = float(sum(row["revenue"] or 0 for row in now))
    old = float(sum(row["revenue"] or 0 for row in now if row["age_quarters"] >= 4))
    new = float(sum(row["revenue"] or 0 for row in now if row["age_quarters"] == 0))
    if not total:
        return f"{cohort_name(latest, 'quarter')} brought no net revenue."
    return (
        f"Of {cohort_name(latest, 'quarter')}'s net revenue {formats.share(old / total)} came from customers a year or "
        f"more old and {formats.share(new / total)} from that quarter's new ones. * The quarter is not over."
    )


def _list_layers(rows: Rows, currency: str) -> tuple[list[str], list[list[str]]]:
    heads = ["Cohort", "Customers", "First quarter", "Second quarter", "So far", "Orders a customer", "Order value"]
    lines = []
    for cohort in sorted({row["cohort"] for row in rows}, reverse=True):
        mine = {row["age_quarters"]: row for row in rows if row["cohort"] == cohort}
        last = mine[max(mine)]
        orders = sum(row["orders"] or 0 for row in mine.values())
        revenue = float(last["cumulative_revenue"] or 0)

        def at(age: int, mine: Mapping[int, Mapping[str, Any]] = mine) -> str:
            row = mine.get(age)
            if row is None:
                return formats.MISSING
            text = formats.money(row["cumulative_revenue_per_customer"], currency)
            return text if row["is_complete"] else f"{text}*"

        lines.append(
            [
                cohort_name(cohort, "quarter"),
                formats.count(last["customers"]),
                at(0),
                at(1),
                formats.money(last["cumulative_revenue_per_customer"], currency),
                formats.count(orders / last["customers"] if last["customers"] else None, decimals=1),
                formats.money(revenue / orders if orders else None, currency),
            ]
        )
    return heads, lines


# ---- health: new, kept, returned, lost


def _draw_health(rows: Rows, currency: str, scheme: theme.Scheme) -> go.Figure:  # noqa: ARG001
    colours = theme.PALETTES[scheme]
    inside = sorted(rows, key=lambda row: -row["period"])
    x = [formats.day(row["ends_on"]) + ("" if row["is_complete"] else "*") for row in inside]
    drawn = (
        ("kept_customers", "Kept", 0, ""),
        ("returned_customers", "Returned", 3, "/"),
        ("new_customers", "New", 1, "."),
    )
    figure = go.Figure()
    for name, label, colour, pattern in drawn:
        figure.add_trace(
            go.Bar(
                x=x,
                y=[row[name] or 0 for row in inside],
                name=label,
                marker={
                    "color": colours.models[colour],
                    "pattern": {"shape": pattern, "fillmode": "overlay", "fgcolor": colours.surface, "fgopacity": 0.55},
                },
                hovertemplate=f"{label}: %{{y:,.0f}}<extra></extra>",
            )
        )
    figure.add_trace(
        go.Bar(
            x=x,
            y=[-(row["lost_customers"] or 0) for row in inside],
            name="Lost",
            marker={"color": colours.muted},
            hovertemplate="Lost: %{customdata:,.0f}<extra></extra>",
            customdata=[row["lost_customers"] or 0 for row in inside],
        )
    )
    figure.update_layout(
        template=theme.template(scheme),
        barmode="relative",
        xaxis={"type": "category", "title": {"text": "Period ending"}},
        yaxis={"title": {"text": "Customers"}, "tickformat": ",.0f"},
    )
    return figure


def _say_health(rows: Rows, currency: str) -> str:  # noqa: ARG001
    now = min(rows, key=lambda row: row["period"])
    kept = f"{formats.share(now['kept_share'])} of the period before were kept, " if _known(now["kept_share"]) else ""
    return (
        f"{formats.count(now['customers'])} customers bought in the latest period: {kept}"
        f"{formats.count(now['new_customers'])} are new, {formats.count(now['returned_customers'])} came back after a "
        f"period away, {formats.count(now['lost_customers'] or 0)} did not come back. Lost is not gone: they may be "
        "slow."
    )


def _list_health(rows: Rows, currency: str) -> tuple[list[str], list[list[str]]]:
    heads = ["Period", "Customers", "New", "Kept", "Returned", "Lost", "Kept share", "Orders a customer", "Net revenue"]
    return heads, [
        [
            f"{formats.day(row['starts_on'])} – {formats.day(row['ends_on'])}" + ("" if row["is_complete"] else " *"),
            formats.count(row["customers"]),
            formats.count(row["new_customers"]),
            formats.count(row["kept_customers"]),
            formats.count(row["returned_customers"]),
            formats.count(row["lost_customers"]),
            formats.share(row["kept_share"]),
            formats.count(row["orders_per_customer"], decimals=1),
            formats.money(float(row["revenue"] or 0), currency),
        ]
        for row in sorted(rows, key=lambda row: row["period"])
    ]


def _known(value: float | None) -> bool:
    return value is not None and value == value


LENSES: Mapping[str, Lens] = {
    "health": Lens(
        "Health", "How healthy is the base?", "audit_health", "period", _draw_health, _say_health, _list_health
    ),
    "one_period": Lens(
        "One period",
        "How different are customers?",
        "audit_one_period",
        "decile",
        _draw_tenths,
        _say_tenths,
        _list_tenths,
    ),
    "two_periods": Lens(
        "Two periods",
        "What changed?",
        "audit_two_periods",
        "decile_before, decile_after, is_new",
        _draw_moves,
        _say_moves,
        _list_moves,
    ),
    "one_cohort": Lens(
        "One cohort",
        "How does buying unfold?",
        "audit_one_cohort",
        "cohort, purchase",
        _draw_unfolding,
        _say_unfolding,
        _list_unfolding,
    ),
    "all_cohorts": Lens(
        "All cohorts",
        "Whose money is it?",
        "audit_all_cohorts",
        "cohort, age_quarters",
        _draw_layers,
        _say_layers,
        _list_layers,
    ),
}
