"""Actual and expected repeat orders week by week, with the line where the model stopped learning."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal

import plotly.graph_objects as go

from .. import theme

View = Literal["weekly", "cumulative"]
VIEWS: Mapping[View, str] = {"weekly": "By week", "cumulative": "Cumulative"}

_NAMES = {
    "nbd": "NBD",
    "bg_nbd": "BG/NBD",
    "mbg_nbd": "MBG/NBD",
    "pareto_nbd": "Pareto/NBD",
    "gamma_gamma": "Gamma-Gamma",
}


def model_name(name: str) -> str:
    """Write a model's name as the field does; a baseline's as words.

    Examples
    --------
    >>> model_name("bg_nbd"), model_name("same_rate")
    ('BG/NBD', 'Same rate')
    """
    text = name.replace("_", " ")
    return _NAMES.get(name, text[:1].upper() + text[1:])


def tracking_figure(
    rows: Sequence[Mapping[str, Any]],
    models: Sequence[str],
    view: View,
    scheme: theme.Scheme,
    *,
    order: Sequence[str] = (),
) -> go.Figure:
    """Return the figure for rows of ``order_tracking``.

    Parameters
    ----------
    rows : sequence of mapping
        Sorted by week within a model.
    models : sequence of str
        Whose expectation to draw.
    view : {"weekly", "cumulative"}
    scheme : {"light", "dark"}
    order : sequence of str
        All models in the order in which they take colours; as in ``rows`` where not given.
    """
    colours = theme.PALETTES[scheme]
    suffix = "_cumulative" if view == "cumulative" else ""
    known = list(order or dict.fromkeys(row["model"] for row in rows))
    first = [row for row in rows if row["model"] == rows[0]["model"]]
    figure = go.Figure(
        go.Scatter(
            x=[row["week"] for row in first],
            y=[row[f"actual{suffix}"] for row in first],
            name="Actual",
            mode="lines",
            line={"color": colours.ink, "width": 1.75},
            hovertemplate="%{y:,.0f}",
        )
    )
    for model in models:
        mine = [row for row in rows if row["model"] == model]
        figure.add_trace(
            go.Scatter(
                x=[row["week"] for row in mine],
                y=[row[f"expected{suffix}"] for row in mine],
                name=model_name(model),
                mode="lines",
                line={"color": colours.models[known.index(model) % len(colours.models)], "width": 2.5},
                hovertemplate="%{y:,.0f}",
            )
        )
    boundary = next((row["week"] for row in first if row["is_holdout"]), None)
    if boundary is not None:
        end = first[-1]["week"] + timedelta(days=7)
        figure.add_vrect(x0=boundary, x1=end, fillcolor=colours.band, line_width=0, layer="below")
        figure.add_vline(x=boundary, line={"color": colours.muted, "width": 1, "dash": "dot"})
        for x, anchor, text in ((boundary, "right", "Fitted  "), (boundary, "left", "  Held out")):
            figure.add_annotation(
                x=x, y=1, yref="paper", yanchor="top", xanchor=anchor, text=text, showarrow=False,
                font={"color": colours.muted, "size": 12},
            )  # fmt: skip
    figure.update_layout(
        template=theme.template(scheme),
        hovermode="x unified",
        yaxis={"title": {"text": "Repeat purchase days"}, "rangemode": "tozero", "tickformat": ",.0f"},
        xaxis={"hoverformat": "Week of %-d %b %Y", "tickformatstops": _TICKS},
    )
    return figure


def tracking_message(rows: Sequence[Mapping[str, Any]], model: str) -> str:
    """Say how far a model was off over the weeks it had not seen."""
    held_out = [row for row in rows if row["model"] == model and row["is_holdout"]]
    actual, expected = (sum(row[name] or 0 for row in held_out) for name in ("actual", "expected"))
    if not actual:
        return f"{model_name(model)} has no held-out weeks to be judged by."
    off = expected / actual - 1
    side = "above" if off > 0 else "below"
    return (
        f"Over {len(held_out)} held-out weeks {model_name(model)} expected {expected:,.0f} repeat purchase days; "
        f"{actual:,.0f} came: {abs(off):.1%} {side} what happened."
    )


_TICKS = [
    {"dtickrange": [None, "M1"], "value": "%-d %b %Y"},
    {"dtickrange": ["M1", None], "value": "%b %Y"},
]
