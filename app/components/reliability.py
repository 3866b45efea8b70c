"""Foretold against observed, by tenths of the prediction: on the diagonal a probability can be taken at its word."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from .. import theme

_Z = 1.2815515594


def reliability_figure(
    rows: Sequence[Mapping[str, Any]], models: Mapping[str, str], scheme: theme.Scheme, *, order: Sequence[str]
) -> go.Figure:
    """Return the figure.

    Parameters
    ----------
    rows : sequence of mapping
        ``model, decile, judgements, predicted, observed``.
    models : mapping
        The models to draw, with the names to write.
    scheme : {"light", "dark"}
    order : sequence of str
        All models in the order in which they take colours.
    """
    colours = theme.PALETTES[scheme]
    figure = go.Figure(
        go.Scatter(
            x=[0, 1], y=[0, 1], mode="lines", line={"color": colours.muted, "width": 1, "dash": "dot"},
            hoverinfo="skip", showlegend=False,
        )
    )  # fmt: skip
    top = 0.05
    for model, name in models.items():
        mine = [row for row in rows if row["model"] == model]
        if not mine:
            continue
        top = max(top, *(max(row["predicted"], row["observed"]) for row in mine))
        colour = colours.models[order.index(model) % len(colours.models)]
        figure.add_trace(
            go.Scatter(
                x=[row["predicted"] for row in mine],
                y=[row["observed"] for row in mine],
                error_y={
                    "array": [_half_width(row["observed"], row["judgements"]) for row in mine],
                    "color": colour, "thickness": 1, "width": 0,
                },
                customdata=[[row["decile"], row["judgements"]] for row in mine],
                name=name,
                mode="lines+markers",
                line={"color": colour, "width": 1.75},
                marker={"size": 7},
                hovertemplate="tenth %{customdata[0]}: foretold %{x:.1%}, observed %{y:.1%} of %{customdata[1]:,}",
            )
        )  # fmt: skip
    end = min(1.0, 1.08 * top)
    axis = {"range": [0, end], "tickformat": ".0%"}
    figure.update_layout(
        template=theme.template(scheme),
        xaxis={**axis, "title": {"text": "Foretold P(no order)"}},
        yaxis={**axis, "title": {"text": "Observed"}},
    )
    return figure


def _half_width(share: float, n: int) -> float:
    """Half of an 80% interval of an observed share."""
    return _Z * math.sqrt(max(share * (1 - share), 0.0) / max(n, 1))
