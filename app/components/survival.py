"""How long customers stay away after their n-th purchase day: Kaplan-Meier curves with their bands."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from .. import formats, theme

# below this share a curve is a line along the axis
_FLAT = 0.02
_ORDINALS = {1: "1st", 2: "2nd", 3: "3rd", 5: "5th", 10: "10th", 20: "20th"}


def ordinal(purchase: int) -> str:
    """Write which purchase day it was.

    Examples
    --------
    >>> ordinal(1), ordinal(10)
    ('1st', '10th')
    """
    return _ORDINALS.get(purchase, f"{purchase}th")


def survival_at(
    rows: Sequence[Mapping[str, Any]], purchase: int, days: int
) -> tuple[float, float | None, float | None] | None:
    """Return the share not back after so many days with its band; None where the curve ends before.

    Parameters
    ----------
    rows : sequence of mapping
        Of ``churn_survival``, by purchase and days.
    """
    mine = [row for row in rows if row["purchase"] == purchase]
    if not mine or mine[-1]["days"] < days:
        return None
    until = [row for row in mine if row["days"] <= days]
    if not until:
        return 1.0, None, None
    return float(until[-1]["survival"]), until[-1]["survival_low"], until[-1]["survival_high"]


def survival_figure(
    rows: Sequence[Mapping[str, Any]], purchases: Sequence[int], scheme: theme.Scheme, *, order: Sequence[int]
) -> go.Figure:
    """Return the figure for the chosen purchases; ``order`` gives each its colour, whatever is chosen."""
    colours = theme.PALETTES[scheme]
    figure = go.Figure()
    for purchase in purchases:
        mine = [row for row in rows if row["purchase"] == purchase]
        if not mine:
            continue
        colour = colours.models[order.index(purchase) % len(colours.models)]
        days = np.array([0, *(row["days"] for row in mine)])
        ends = [
            np.array([1.0, *(row["survival"] if row[name] is None else row[name] for row in mine)], dtype=float)
            for name in ("survival_low", "survival_high", "survival")
        ]
        name = f"after the {ordinal(purchase)}"
        figure.add_trace(
            go.Scatter(
                x=np.concatenate([days, days[::-1]]),
                y=np.concatenate([ends[0], ends[1][::-1]]),
                fill="toself",
                fillcolor=_faint(colour),
                line={"width": 0, "shape": "hv"},
                hoverinfo="skip",
                showlegend=False,
            )
        )
        figure.add_trace(
            go.Scatter(
                x=days,
                y=ends[2],
                name=name,
                mode="lines",
                line={"color": colour, "width": 2.25, "shape": "hv"},
                customdata=np.stack(ends[:2], axis=1),
                hovertemplate="%{y:.1%} (%{customdata[0]:.1%} – %{customdata[1]:.1%})",
            )
        )
    reach = [row["days"] for row in rows if row["purchase"] in purchases and row["survival"] >= _FLAT]
    figure.update_layout(
        template=theme.template(scheme),
        hovermode="x unified",
        xaxis={
            "title": {"text": "Days since that purchase day"},
            "range": [0, 1.05 * max(reach, default=30)],
            "hoverformat": ",d",
        },
        yaxis={"title": {"text": "Not back yet"}, "range": [0, 1.01], "tickformat": ".0%"},
    )
    return figure


def survival_message(rows: Sequence[Mapping[str, Any]], purchases: Sequence[int], days: int) -> str:
    """Say how many are not back after so many days, by purchase."""
    parts = []
    for purchase in purchases:
        found = survival_at(rows, purchase, days)
        if found is not None:
            share, low, high = found
            band = "" if low is None or high is None else f" ({formats.share(low)} – {formats.share(high)})"
            parts.append(f"{formats.share(share)}{band} after the {ordinal(purchase)} purchase day")
    if not parts:
        return f"No curve reaches {days} days: the history is too short."
    return f"Not back within {days} days: {', '.join(parts)}."


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, 0.16)"
