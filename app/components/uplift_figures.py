"""Figures of the page Uplift: what treating the first share gains, and what a budget brings."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from .. import formats, theme
from ..campaign_planning import CurvePoint

_LEARNERS = {
    "s": "S-learner",
    "t": "T-learner",
    "x": "X-learner",
    "r": "R-learner",
    "dr": "DR-learner",
    "causal_forest": "Causal forest",
    "uplift_forest": "Uplift forest",
    "response": "Response model",
    "random": "Random order",
}


def ranking_name(name: str) -> str:
    """Write the name of a ranking as the field does.

    Examples
    --------
    >>> ranking_name("x"), ranking_name("my_scores")
    ('X-learner', 'My scores')
    """
    text = name.replace("_", " ")
    return _LEARNERS.get(name, text[:1].upper() + text[1:])


def gain_figure(rows: Sequence[Mapping[str, Any]], currency: str, scheme: theme.Scheme) -> go.Figure:
    """Return the gain curve for rows of ``campaign_curves`` of one campaign; the learner's has the band."""
    colours = theme.PALETTES[scheme]
    learner = learner_of(rows)
    mine = [row for row in rows if row["ranking"] == learner]
    shares = [0.0, *(row["share"] for row in mine)]
    figure = go.Figure()
    figure.add_trace(_band(shares, [0.0, *(r["lower"] for r in mine)], [0.0, *(r["upper"] for r in mine)], colours))
    others = [name for name in dict.fromkeys(row["ranking"] for row in rows) if name != learner]
    looks = {learner: (colours.accent, 2.75, "solid"), "random": (colours.muted, 1.5, "dot")}
    for name in [*sorted(others, key=lambda name: (name != "random", name)), learner]:
        points = [row for row in rows if row["ranking"] == name]
        colour, width, dash = looks.get(name, (colours.models[1], 2.0, "dash"))
        figure.add_trace(
            go.Scatter(
                x=[0.0, *(row["share"] for row in points)],
                y=[0.0, *(row["gain"] for row in points)],
                name=ranking_name(name),
                mode="lines",
                line={"color": colour, "width": width, "dash": dash},
                hovertemplate="%{y:,.0f}",
            )
        )
    figure.add_hline(y=0, line={"color": colours.muted, "width": 1})
    _layout(figure, scheme, x="Share treated, the best first", y=f"Profit per 1,000 customers, {currency or 'money'}")
    figure.update_xaxes(tickformat=".0%", range=[0, 1], hoverformat=".0%")
    return figure


def learner_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the ranking that is the learner's own: neither the response model nor the random order."""
    names = list(dict.fromkeys(row["ranking"] for row in rows))
    return next((name for name in names if name not in ("response", "random")), names[0] if names else "")


def gain_sentence(rows: Sequence[Mapping[str, Any]], currency: str) -> str:
    """Say where the learner's curve is highest, and whether that is surely above nothing."""
    learner = learner_of(rows)
    best = max((row for row in rows if row["ranking"] == learner), key=lambda row: row["gain"])
    low, high = (formats.money(best[end], currency) for end in ("lower", "upper"))
    surely = "surely a gain" if best["lower"] > 0 else "a loss" if best["upper"] < 0 else "gain or loss"
    return (
        f"Along the {ranking_name(learner)}'s order, treating the first {formats.share(best['share'])} gains most: "
        f"{formats.money(best['gain'], currency)} per 1,000 customers (95% interval {low} to {high}), {surely}."
    )


def budget_figure(
    points: Sequence[CurvePoint],
    now: tuple[float, float],
    today: float | None,
    currency: str,
    scheme: theme.Scheme,
) -> go.Figure:
    """Return profit by budget with its band; ``now`` is the plan's (spend, profit), ``today`` the settings' budget."""
    colours = theme.PALETTES[scheme]
    budgets = [point.budget for point in points]
    judged = [(point.budget, point.profit) for point in points if point.profit is not None]
    figure = go.Figure()
    if len(judged) > 1:
        x = [budget for budget, _ in judged]
        figure.add_trace(_band(x, [p.lower for _, p in judged], [p.upper for _, p in judged], colours))
    promised = go.Scatter(
        x=budgets,
        y=[point.promised for point in points],
        name="By the scores alone",
        mode="lines",
        line={"color": colours.models[1], "width": 1.75, "dash": "dash"},
        hovertemplate="%{y:,.0f}",
    )
    figure.add_trace(promised)
    if len(judged) > 1:
        figure.add_trace(
            go.Scatter(
                x=[budget for budget, _ in judged],
                y=[profit.value for _, profit in judged],
                name="Expected",
                mode="lines",
                line={"color": colours.accent, "width": 2.75},
                hovertemplate="%{y:,.0f}",
            )
        )
    figure.add_trace(
        go.Scatter(
            x=[now[0]],
            y=[now[1]],
            name="This plan",
            mode="markers",
            marker={"color": colours.ink, "size": 11, "line": {"color": colours.surface, "width": 2}},
            hovertemplate="%{y:,.0f}",
        )
    )
    figure.add_hline(y=0, line={"color": colours.muted, "width": 1})
    if today is not None:
        figure.add_vline(x=today, line={"color": colours.muted, "width": 1.25, "dash": "dot"})
        figure.add_annotation(
            x=today, y=1, yref="paper", yanchor="top", xanchor="left", text="  today's budget", showarrow=False,
            font={"color": colours.muted, "size": 12},
        )  # fmt: skip
    sign = formats.symbol(currency)
    _layout(figure, scheme, x=f"Budget, {currency or 'money'}", y=f"Profit, {currency or 'money'}")
    figure.update_xaxes(tickprefix=sign, hoverformat=",.0f", rangemode="tozero")
    return figure


def _band(x: Sequence[float], low: Sequence[float], high: Sequence[float], colours: theme.Palette) -> go.Scatter:
    return go.Scatter(
        x=[*x, *reversed(list(x))],
        y=[*high, *reversed(list(low))],
        fill="toself",
        fillcolor=colours.band,
        line={"width": 0},
        mode="lines",
        name="95% interval",
        hoverinfo="skip",
    )


def _layout(figure: go.Figure, scheme: theme.Scheme, *, x: str, y: str) -> None:
    figure.update_layout(
        template=theme.template(scheme),
        hovermode="x unified",
        xaxis={"title": {"text": x}},
        yaxis={"title": {"text": y}, "tickformat": "~s"},
        legend={"font": {"size": 12}},
    )
