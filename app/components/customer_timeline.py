"""One customer's orders over time, with the probability of still being one as it rose and fell."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from .. import formats, theme

if TYPE_CHECKING:
    from datetime import date

    from ..customer_record import AlivePath


def timeline_figure(
    rows: Sequence[Mapping[str, Any]],
    path: "AlivePath | None",
    as_of: "date",
    currency: str,
    scheme: theme.Scheme,
) -> go.Figure:
    """Return the figure: above the path of P(alive), below a stem for each purchase day, as high as its net revenue.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of ``customer_timeline``, by day.
    path : AlivePath or None
        None where no path can be drawn.
    as_of : date
    currency : str
    scheme : {"light", "dark"}
    """
    colours = theme.PALETTES[scheme]
    money = [float(row["net_revenue"]) for row in rows]
    days = [row["day"] for row in rows]
    figure = go.Figure()
    if path is not None:
        figure.add_trace(
            go.Scatter(
                x=list(path.days),
                y=list(path.probability),
                name="P(alive)",
                mode="lines",
                line={"color": colours.accent, "width": 2.25},
                fill="tozeroy",
                fillcolor=colours.band,
                hovertemplate="%{x|%-d %b %Y}<br>P(alive) %{y:.1%}<extra></extra>",
            )
        )
    stems_x: list[Any] = []
    stems_y: list[float | None] = []
    for day, amount in zip(days, money, strict=True):
        stems_x += [day, day, None]
        stems_y += [0.0, amount, None]
    figure.add_trace(
        go.Scatter(
            x=stems_x,
            y=stems_y,
            yaxis="y2",
            mode="lines",
            line={"color": colours.models[1], "width": 1.5 if len(rows) < 120 else 1},
            hoverinfo="skip",
            showlegend=False,
        )
    )
    figure.add_trace(
        go.Scatter(
            x=days,
            y=money,
            yaxis="y2",
            name="Net revenue of a purchase day",
            mode="markers",
            marker={"color": colours.models[1], "size": 7 if len(rows) < 120 else 4},
            hovertext=[_said(row, currency) for row in rows],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    )
    end = {"color": colours.muted, "width": 1, "dash": "dot"}
    figure.add_vline(x=as_of, line=end)
    figure.add_annotation(
        x=as_of, y=1, yref="paper", yanchor="bottom", xanchor="right", showarrow=False, text="as of",
        font={"color": colours.muted, "size": 11},
    )  # fmt: skip
    symbol = formats.symbol(currency)
    figure.update_layout(
        template=theme.template(scheme),
        hovermode="closest",
        showlegend=False,
        margin={"t": 18},
        xaxis={"anchor": "y2", "tickformatstops": _TICKS},
        yaxis={
            "domain": [0.46, 1] if path is not None else [0.98, 1],
            "title": {"text": "P(alive)"},
            "tickformat": ".0%",
            "range": [0, 1.04],
            "dtick": 0.5,
            "visible": path is not None,
        },
        yaxis2={
            "domain": [0, 0.38] if path is not None else [0, 1],
            "title": {"text": "Net revenue"},
            "tickprefix": symbol,
            "rangemode": "tozero",
            "nticks": 4,
            "gridcolor": colours.line,
            "zeroline": False,
        },
    )
    return figure


def timeline_message(rows: Sequence[Mapping[str, Any]], path: "AlivePath | None", as_of: "date") -> str:
    """Say what the figure shows."""
    days = [row["day"] for row in rows]
    silent = (as_of - days[-1]).days
    gaps = sorted((b - a).days for a, b in pairwise(days))
    times = "one purchase day" if len(days) == 1 else f"{formats.count(len(days))} purchase days"
    text = f"{times[:1].upper() + times[1:]} since {formats.day(days[0])}"
    if gaps:
        text += f", every {formats.days(gaps[len(gaps) // 2])} in the middle"
    text += f"; silent for {formats.days(silent)}."
    if path is not None:
        text += f" P(alive) is {formats.share(path.now)} now"
        if path.lowest[1] < path.now - 0.05:
            text += f", and was down to {formats.share(path.lowest[1])} on {formats.day(path.lowest[0])}"
        text += "."
    return text


def _said(row: Mapping[str, Any], currency: str) -> str:
    orders = f"{row['orders']} order{'' if row['orders'] == 1 else 's'}"
    text = f"{formats.day(row['day'])}<br>{orders}, {formats.cents(row['net_revenue'], currency)}"
    if row["returned_revenue"]:
        text += f"<br>after {formats.cents(row['returned_revenue'], currency)} returned"
    return text


_TICKS = [
    {"dtickrange": [None, "M1"], "value": "%-d %b %Y"},
    {"dtickrange": ["M1", None], "value": "%b %Y"},
]
