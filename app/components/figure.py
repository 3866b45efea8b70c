"""The figure: a Plotly graph with a text that says the same to those who do not see it."""

from typing import Any

import plotly.graph_objects as go
from dash import dcc, html
from dash.development.base_component import Component

from .aria import aria

CONFIG: dict[str, Any] = {"displayModeBar": False, "responsive": True, "showTips": False, "doubleClick": False}


def figure(graph: go.Figure, says: str, *, height: int, graph_id: str | None = None) -> Component:
    """Return a figure of a fixed height; ``says`` is its message in words, for screen readers."""
    options: dict[str, Any] = {"id": graph_id} if graph_id else {}
    return html.Div(
        dcc.Graph(
            figure=graph,
            config=CONFIG,  # pyright: ignore[reportArgumentType]
            style={"height": height, "width": "100%"},
            **options,
        ),
        role="img",
        className="figure",
        **aria(label=says),
    )
