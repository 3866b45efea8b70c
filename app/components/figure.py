"""The figure: a Plotly graph, a text that says the same to those who do not see it, buttons to take it along."""

from typing import Any

import plotly.graph_objects as go
from dash import dcc, html
from dash.development.base_component import Component

from .aria import aria

CONFIG: dict[str, Any] = {"displayModeBar": False, "responsive": True, "showTips": False, "doubleClick": False}


def figure(graph: go.Figure, says: str, *, height: int, graph_id: str | None = None) -> Component:
    """Return a figure of a fixed height; ``says`` is its message in words, for screen readers."""
    options: dict[str, Any] = {"id": graph_id} if graph_id else {}
    drawn = dcc.Graph(
        figure=graph,
        config=CONFIG,  # pyright: ignore[reportArgumentType]
        style={"height": height, "width": "100%"},
        **options,
    )
    return framed(html.Div(drawn, role="img", className="figure", **aria(label=says)))


def framed(shown: Component) -> Component:
    """Return a figure with the buttons that save it as a picture or as one HTML file (``assets/figures.js``)."""
    buttons = [
        html.Button(text, type="button", **{"data-save-figure": kind}, **aria(label=f"Save this figure as {text}"))
        for kind, text in (("png", "PNG"), ("html", "HTML"))
    ]
    return html.Div([shown, html.Div(buttons, className="figure-save")], className="figure-frame")
