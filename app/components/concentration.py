"""How concentrated value is: customers from the best down, against the share of all value they hold."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from .. import theme

_TOP = 0.10


def curve(rows: Sequence[Mapping[str, Any]], measure: str) -> tuple[np.ndarray, np.ndarray]:
    """Return (share of customers, share of the amount), both cumulative from (0, 0), best customers first.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of ``value_concentration`` in the order of their steps.
    measure : {"expected", "past"}

    Examples
    --------
    >>> steps = [(1, 3), (3, 1)]
    >>> x, y = curve([{"measure": "past", "customers": n, "amount": a} for n, a in steps], "past")
    >>> x.tolist(), y.tolist()
    ([0.0, 0.25, 1.0], [0.0, 0.75, 1.0])
    """
    mine = [row for row in rows if row["measure"] == measure]
    customers = np.cumsum([0.0, *(float(row["customers"]) for row in mine)])
    amount = np.cumsum([0.0, *(float(row["amount"] or 0) for row in mine)])
    return customers / (customers[-1] or 1.0), amount / (amount[-1] or 1.0)


def held_by_top(rows: Sequence[Mapping[str, Any]], measure: str, top: float = _TOP) -> float:
    """Return the share of the amount that the best ``top`` share of customers hold."""
    x, y = curve(rows, measure)
    return float(np.interp(top, x, y))


def smallest_of_top(rows: Sequence[Mapping[str, Any]], top: float = _TOP) -> float:
    """Return the least expected value that a customer of the best ``top`` share has."""
    mine = [row for row in rows if row["measure"] == "expected" and row["step"] <= round(200 * top)]
    return float(mine[-1]["smallest"]) if mine else 0.0


def concentration_figure(rows: Sequence[Mapping[str, Any]], scheme: theme.Scheme, *, predicted: bool) -> go.Figure:
    """Return the figure; without ``predicted`` it shows past revenue alone."""
    colours = theme.PALETTES[scheme]
    figure = go.Figure()
    drawn = [("past", "Past revenue", colours.muted, "dot")]
    if predicted:
        drawn.insert(0, ("expected", "Expected value", colours.accent, "solid"))
    for measure, name, colour, dash in drawn:
        x, y = curve(rows, measure)
        figure.add_trace(
            go.Scatter(
                x=x,
                y=y,
                name=name,
                mode="lines",
                line={"color": colour, "width": 2.5 if dash == "solid" else 1.75, "dash": dash},
                hovertemplate="%{y:.0%}",
            )
        )
    figure.add_trace(
        go.Scatter(
            x=[0, 1], y=[0, 1], mode="lines", hoverinfo="skip", showlegend=False,
            line={"color": colours.line, "width": 1.5},
        )
    )  # fmt: skip
    top = held_by_top(rows, drawn[0][0])
    figure.add_trace(
        go.Scatter(
            x=[_TOP], y=[top], mode="markers", showlegend=False, hoverinfo="skip",
            marker={"color": drawn[0][2], "size": 9, "line": {"color": colours.surface, "width": 2}},
        )
    )  # fmt: skip
    figure.add_annotation(
        x=_TOP, y=top, text=f"top 10% hold {top:.0%}", showarrow=False, xanchor="left", xshift=12, yshift=-10,
        font={"size": 12, "color": colours.ink},
    )  # fmt: skip
    figure.update_layout(
        template=theme.template(scheme),
        hovermode="x unified",
        xaxis={
            "title": {"text": "Share of customers, best first"},
            "tickformat": ".0%",
            "hoverformat": ".0%",
            "range": [0, 1],
            "dtick": 0.2,
        },
        yaxis={"title": {"text": "Share held"}, "tickformat": ".0%", "range": [0, 1.03], "dtick": 0.2},
    )
    return figure
