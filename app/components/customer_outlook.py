"""What one customer may do in the horizon: intervals within intervals, for orders and for money."""

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go
from dash import html
from dash.development.base_component import Component

from .. import formats, theme

LEVELS = (90, 80, 50)
_WIDTH = {90: 8, 80: 15, 50: 24}


def outlook_figure(
    row: Mapping[str, Any], kind: str, expected: float | None, currency: str, scheme: theme.Scheme
) -> go.Figure:
    """Return one line of nested intervals with the expectation as a mark.

    Parameters
    ----------
    row : mapping
        A row of ``customer_intervals``.
    kind : {"orders", "money"}
    expected : float or None
    currency : str
    scheme : {"light", "dark"}
    """
    colours = theme.PALETTES[scheme]
    shades = {"light": ("#c9d8f0", "#86a8df", "#2f5fb3"), "dark": ("#2a3f66", "#4c7dd0", "#a9c4ee")}[scheme]
    figure = go.Figure()
    for level, shade in zip(LEVELS, shades, strict=True):
        low, high = row[f"{kind}_low_{level}"], row[f"{kind}_high_{level}"]
        said = f"{level}%: {written(low, kind, currency)} – {written(high, kind, currency)}"
        figure.add_trace(
            go.Scatter(
                x=[low, high],
                y=[0, 0],
                mode="lines",
                line={"color": shade, "width": _WIDTH[level]},
                hovertemplate=f"{said}<extra></extra>",
            )
        )
    if expected is not None:
        figure.add_trace(
            go.Scatter(
                x=[expected],
                y=[0],
                mode="markers",
                marker={
                    "symbol": "diamond",
                    "size": 12,
                    "color": colours.surface,
                    "line": {"color": colours.ink, "width": 2},
                },
                hovertemplate=f"Expected {written(expected, kind, currency, decimals=1)}<extra></extra>",
            )
        )
    top = max(row[f"{kind}_high_90"] or 0, expected or 0) or 1
    figure.update_layout(
        template=theme.template(scheme),
        showlegend=False,
        hovermode="closest",
        xaxis={
            "range": [-0.02 * top, 1.06 * top],
            "tickprefix": formats.symbol(currency) if kind == "money" else "",
            "tickformat": ",.0f" if top >= 10 else "",
            "nticks": 6,
            "showgrid": True,
            "fixedrange": True,
        },
        yaxis={"visible": False, "range": [-1, 1], "fixedrange": True},
        margin={"l": 4, "r": 10, "t": 4, "b": 4},
    )
    return figure


def outlook_message(row: Mapping[str, Any], kind: str, expected: float | None, currency: str) -> str:
    """Say what the figure shows."""
    what = "Purchase days" if kind == "orders" else "Net revenue"
    parts = [
        f"{level}% between {written(row[f'{kind}_low_{level}'], kind, currency)} and "
        f"{written(row[f'{kind}_high_{level}'], kind, currency)}"
        for level in reversed(LEVELS)
    ]
    mean = "" if expected is None else f" expected {written(expected, kind, currency, decimals=1)};"
    return f"{what}:{mean} {', '.join(parts)}."


def outlook_table(row: Mapping[str, Any], currency: str) -> Component:
    """Return the same intervals as a table."""
    head = html.Tr([html.Th("Interval", scope="col"), *(html.Th(t, scope="col", className="num") for t in _HEADS)])
    body = [
        html.Tr(
            [
                html.Th(f"{level}%", scope="row"),
                *(
                    html.Td(
                        f"{written(row[f'{kind}_low_{level}'], kind, currency)} – "
                        f"{written(row[f'{kind}_high_{level}'], kind, currency)}",
                        className="num",
                    )
                    for kind in ("orders", "money")
                ),
            ]
        )
        for level in reversed(LEVELS)
    ]
    return html.Table([html.Thead(head), html.Tbody(body)], className="table table-tight")


_HEADS = ("Purchase days", "Net revenue")


def written(value: float | None, kind: str, currency: str, *, decimals: int = 0) -> str:
    """Write a count or an amount.

    Examples
    --------
    >>> written(3.0, "orders", "USD"), written(75.5, "money", "USD")
    ('3', '$75.50')
    """
    return formats.money(value, currency) if kind == "money" else formats.count(value, decimals=decimals)
