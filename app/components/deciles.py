"""Foretold and counted orders by tenths of customers: where a model is off, among the few big or the many small."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from .. import theme
from .tracking import model_name


def decile_figure(
    rows: Sequence[Mapping[str, Any]], models: Sequence[str], scheme: theme.Scheme, *, order: Sequence[str]
) -> go.Figure:
    """Return the figure for rows of ``model_calibration``; what was counted is that of the first model's tenths.

    Parameters
    ----------
    rows : sequence of mapping
        ``model, decile, customers, predicted, actual``, by model and decile.
    models : sequence of str
        Which to draw.
    scheme : {"light", "dark"}
    order : sequence of str
        All models in the order in which they take colours.
    """
    colours = theme.PALETTES[scheme]
    figure = go.Figure()
    for place, model in enumerate(models):
        mine = [row for row in rows if row["model"] == model]
        colour = colours.models[order.index(model) % len(colours.models)]
        tenths = [row["decile"] for row in mine]
        if place == 0:
            figure.add_trace(
                go.Bar(
                    x=tenths, y=[row["actual"] for row in mine], name=f"Counted, {model_name(model)}'s tenths",
                    marker={"color": colours.line}, hovertemplate="%{y:,.2f}",
                )
            )  # fmt: skip
        figure.add_trace(
            go.Scatter(
                x=tenths, y=[row["predicted"] for row in mine], name=f"Foretold, {model_name(model)}",
                mode="lines+markers", line={"color": colour, "width": 2}, marker={"size": 7},
                hovertemplate="%{y:,.2f}",
            )
        )  # fmt: skip
    figure.update_layout(
        template=theme.template(scheme),
        hovermode="x unified",
        xaxis={"title": {"text": "Tenths of customers, by what was foretold"}, "dtick": 1},
        yaxis={"title": {"text": "Repeat purchase days a customer"}, "rangemode": "tozero"},
    )
    return figure


def decile_message(rows: Sequence[Mapping[str, Any]], model: str) -> str:
    """Say in which tenth a model is off most, in purchase days a customer."""
    mine = [row for row in rows if row["model"] == model]
    if not mine:
        return f"{model_name(model)} was not held against a later window."
    worst = max(mine, key=lambda row: abs(row["predicted"] - row["actual"]))
    return (
        f"{model_name(model)} is off most in tenth {worst['decile']}: {worst['predicted']:,.2f} foretold, "
        f"{worst['actual']:,.2f} counted a customer."
    )
