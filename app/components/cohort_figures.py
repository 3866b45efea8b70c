"""The cohorts drawn: who comes back, as a triangle; what each has brought at each age, as curves."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from .. import formats, theme

if TYPE_CHECKING:
    from .cohort_trend import CohortTrend

MOST_COHORTS = 36
_MOST_CURVES = 24
_ROW = 26


def cohort_name(cohort: date, period: str) -> str:
    """Write a cohort as its month or quarter.

    Examples
    --------
    >>> cohort_name(date(2017, 4, 1), "quarter"), cohort_name(date(2017, 4, 1), "month")
    ('Q2 2017', 'Apr 2017')
    """
    return f"Q{(cohort.month + 2) // 3} {cohort.year}" if period == "quarter" else f"{cohort:%b %Y}"


def triangle_height(rows: Sequence[Mapping[str, Any]]) -> int:
    """Return how high the triangle stands, a line for each cohort."""
    return max(190, 70 + _ROW * min(MOST_COHORTS, len({row["cohort"] for row in rows})))


def triangle_figure(
    rows: Sequence[Mapping[str, Any]],
    period: str,
    measure: str,
    scheme: theme.Scheme,
    marked: date | None = None,
) -> tuple[go.Figure, int]:
    """Return the triangle and how many ages it has: cohorts downwards, the newest last; age to the right, from 1.

    Age 0 is left out: everybody bought then. A cell whose period is not over is framed and not coloured.

    Parameters
    ----------
    rows : sequence of mapping
        ``cohort``, ``age``, ``customers``, ``active_customers``, ``is_complete``.
    period : {"month", "quarter"}
    measure : {"share", "count"}
    scheme : {"light", "dark"}
    marked : date, optional
        Cohorts before it carry a dagger.
    """
    colours = theme.PALETTES[scheme]
    cohorts = sorted({row["cohort"] for row in rows})[-MOST_COHORTS:]
    place = {cohort: i for i, cohort in enumerate(cohorts)}
    kept = [row for row in rows if row["cohort"] in place and row["age"] > 0]
    ages = max((row["age"] for row in kept), default=0)
    z = np.full((len(cohorts), max(ages, 1)), np.nan)
    hover = np.full(z.shape, "", dtype=object)
    texts: list[tuple[int, int, str, bool]] = []
    figure = go.Figure()
    for row in kept:
        y, x = place[row["cohort"]], row["age"] - 1
        share = row["active_customers"] / (row["customers"] or 1)
        value = share if measure == "share" else float(row["active_customers"])
        whole = bool(row["is_complete"])
        if whole:
            z[y, x] = value
        written = formats.share(share) if measure == "share" else formats.count(row["active_customers"])
        texts.append((x, y, written, whole))
        hover[y, x] = (
            f"{cohort_name(row['cohort'], period)}, {_aged(row['age'], period)}<br>"
            f"{formats.count(row['active_customers'])} of {formats.count(row['customers'])} bought, "
            f"{formats.share(share, decimals=1)}"
        )
    low, high = (float(np.nanmin(z)), float(np.nanmax(z))) if np.isfinite(z).any() else (0.0, 1.0)
    figure.add_trace(
        go.Heatmap(
            x=list(range(1, z.shape[1] + 1)),
            y=list(range(len(cohorts))),
            z=[[None if not np.isfinite(v) else float(v) for v in line] for line in z],
            hovertext=hover.tolist(),
            hovertemplate="%{hovertext}<extra></extra>",
            colorscale="Viridis",
            zmin=low,
            zmax=high,
            xgap=2,
            ygap=2,
            showscale=False,
        )
    )
    figure.add_trace(
        go.Scatter(
            x=[x + 1 for x, *_ in texts],
            y=[y for _, y, *_ in texts],
            mode="text",
            text=[text if whole else f"{text}*" for *_, text, whole in texts],
            textfont={
                "size": 11.5 if ages <= 24 else 9.5,
                "color": [_ink(z[y, x], low, high) if whole else colours.muted for x, y, _, whole in texts],
            },
            hovertext=[hover[y, x] + ("" if whole else "<br>the period is not over") for x, y, _, whole in texts],
            hovertemplate="%{hovertext}<extra></extra>",
            showlegend=False,
        )
    )
    for x, y, _, whole in texts:
        if not whole:
            figure.add_shape(
                type="rect", x0=x + 0.54, x1=x + 1.46, y0=y - 0.46, y1=y + 0.46,
                line={"color": colours.muted, "width": 1, "dash": "dot"},
            )  # fmt: skip
    sizes = {row["cohort"]: row["customers"] for row in rows}
    axis = {"showgrid": False, "showline": False, "fixedrange": True}
    figure.update_layout(
        template=theme.template(scheme),
        hovermode="closest",
        margin={"t": 4},
        xaxis={
            **axis,
            "title": {"text": f"{period.capitalize()}s since the first purchase"},
            "dtick": 1 if ages <= 24 else 3,
            "tick0": 1,
            "range": [0.5, max(ages, 1) + 0.5],
        },
        yaxis={
            **axis,
            "tickvals": list(range(len(cohorts))),
            "ticktext": [
                f"{cohort_name(one, period)}{'†' if marked and one < marked else ''} · {formats.count(sizes[one])}"
                for one in cohorts
            ],
            "range": [len(cohorts) - 0.5, -0.5],
        },
    )
    return figure, ages


def _aged(age: int, period: str) -> str:
    return f"{age} {period}{'' if age == 1 else 's'} on"


def _ink(value: float, low: float, high: float) -> str:
    # where viridis passes the grey on which black and white stand out alike
    return "#000000" if (value - low) / ((high - low) or 1.0) > 0.435 else "#ffffff"


def triangle_message(rows: Sequence[Mapping[str, Any]], period: str) -> str:
    """Say what the triangle shows: the middle cohort one period on, and at the latest age that three have reached."""
    said = []
    by_age: dict[int, list[float]] = {}
    for row in rows:
        if row["is_complete"] and row["age"] > 0 and row["customers"]:
            by_age.setdefault(row["age"], []).append(row["active_customers"] / row["customers"])
    reached = [age for age, shares in by_age.items() if len(shares) >= 3]
    for age in dict.fromkeys([1, max(reached, default=1)]):
        if by_age.get(age):
            said.append(f"{formats.share(float(np.median(by_age[age])))} {_aged(age, period)}")
    unfinished = any(not row["is_complete"] and row["age"] > 0 for row in rows)
    text = f"In the middle cohort {' and '.join(said)} bought." if said else "No cohort has a whole period behind it."
    return text + (f" * The {period} is not over: it will still grow." if unfinished else "")


def curves_figure(rows: Sequence[Mapping[str, Any]], period: str, currency: str, scheme: theme.Scheme) -> go.Figure:
    """Return cumulative net revenue per customer by age, a line a cohort, the older the darker; whole periods only."""
    colours = theme.PALETTES[scheme]
    cohorts = sorted({row["cohort"] for row in rows if row["is_complete"]})[-_MOST_CURVES:]
    # the ends of viridis that the ground swallows are left out
    first, last = (0.0, 0.82) if scheme == "light" else (0.22, 1.0)
    steps = np.linspace(first, last, max(len(cohorts), 2))
    shades = sample_colorscale("Viridis", list(steps))
    figure = go.Figure()
    for i, cohort in enumerate(cohorts):
        mine = [row for row in rows if row["cohort"] == cohort and row["is_complete"]]
        name = cohort_name(cohort, period)
        newest = i == len(cohorts) - 1
        figure.add_trace(
            go.Scatter(
                x=[row["age"] for row in mine],
                y=[row["revenue_per_customer"] for row in mine],
                name=name,
                mode="lines+markers" if len(mine) < 4 else "lines",
                line={"color": shades[i], "width": 3 if newest else 1.75},
                marker={"size": 5},
                hovertemplate=f"{name}: {formats.symbol(currency)}%{{y:,.2f}} a customer, %{{x}} {period}s on"
                "<extra></extra>",
            )
        )
    named = [0, len(cohorts) - 1] if len(cohorts) > 8 else range(len(cohorts))
    for i in named if cohorts else ():
        mine = [row for row in rows if row["cohort"] == cohorts[i] and row["is_complete"]]
        figure.add_annotation(
            x=mine[-1]["age"], y=mine[-1]["revenue_per_customer"], text=cohort_name(cohorts[i], period),
            showarrow=False, xanchor="left", xshift=7, font={"size": 11.5, "color": colours.ink},
        )  # fmt: skip
    top = max((row["age"] for row in rows if row["is_complete"]), default=1)
    figure.update_layout(
        template=theme.template(scheme),
        showlegend=False,
        hovermode="closest",
        xaxis={
            "title": {"text": f"{period.capitalize()}s since the first purchase"},
            "range": [-0.2, max(top, 1) * 1.13 + 0.2],
            "rangemode": "tozero",
            "dtick": 1 if top <= 14 else None,
        },
        yaxis={
            "title": {"text": "Net revenue a customer, cumulative"},
            "tickprefix": formats.symbol(currency),
            "rangemode": "tozero",
        },
    )
    return figure


def curves_message(rows: Sequence[Mapping[str, Any]], period: str, currency: str) -> str:
    """Say what the newest cohort with a few whole periods has brought, and what the others had at that age."""
    whole = [row for row in rows if row["is_complete"]]
    last = {row["cohort"]: row for row in whole}
    for cohort in sorted(last, reverse=True):
        age = last[cohort]["age"]
        others = [row["revenue_per_customer"] for row in whole if row["age"] == age and row["cohort"] < cohort]
        if age >= 2 and len(others) >= 2:
            middle = formats.money(float(np.median([float(one) for one in others])), currency)
            mine = formats.money(float(last[cohort]["revenue_per_customer"]), currency)
            return (
                f"{cohort_name(cohort, period)} has brought {mine} a customer {_aged(age, period)}; the middle of the "
                f"{len(others)} older cohorts had {middle} then."
            )
    return "Too few cohorts are old enough to be compared."


def trend_figure(
    rows: Sequence[Mapping[str, Any]],
    trends: Mapping[str, "CohortTrend"],
    left_out: Sequence[date],
    period: str,
    currency: str,
    scheme: theme.Scheme,
) -> go.Figure:
    """Return each cohort's figures at equal age with their 95% intervals, and the line that the test puts through them.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of ``cohort_equal_age``.
    trends : mapping of str to CohortTrend
        By ``came_again`` and ``revenue``; {} where there is no test.
    left_out : sequence of date
        Cohorts that the test leaves out: drawn hollow.
    """
    colours = theme.PALETTES[scheme]
    figure = go.Figure()
    x = [row["cohort"] for row in rows]
    n = np.array([row["customers"] for row in rows], dtype=float)
    again = np.array([row["came_again"] for row in rows], dtype=float) / n
    mean = np.array([row["revenue"] for row in rows], dtype=float) / n
    squared = np.array([row["revenue_squared"] for row in rows], dtype=float) / n
    share = (again * n + 0.5) / (n + 1)
    likely = 1.96 * np.sqrt(share * (1 - share) / n)
    spread = 1.96 * np.sqrt(np.maximum(squared - mean**2, 0) / n)
    panels = (
        ("came_again", again, np.minimum(likely, 1 - again), "", "%{y:.1%}", colours.accent),
        ("revenue", mean, spread, "2", "%{y:,.2f}", colours.models[1]),
    )
    inside = [one for one in x if one not in left_out]
    for name, values, reach, axis, said, colour in panels:
        figure.add_trace(
            go.Scatter(
                x=x,
                y=values,
                yaxis=f"y{axis}",
                mode="markers",
                error_y={
                    "type": "data",
                    "array": reach,
                    # nothing lies below nobody, and no axis should reach there
                    "arrayminus": np.clip(likely if name == "came_again" else spread, 0, np.maximum(values, 0)),
                    "color": colours.muted,
                    "thickness": 1.2,
                    "width": 3,
                },
                marker={
                    "color": [colours.surface if one in left_out else colour for one in x],
                    "size": 8,
                    "line": {"color": colour, "width": 2},
                },
                hovertext=[
                    f"{cohort_name(c, period)}, {formats.count(k)} customers" for c, k in zip(x, n, strict=True)
                ],
                hovertemplate=f"%{{hovertext}}: {said}<extra></extra>",
            )
        )
        trend = trends.get(name)
        if trend is not None and inside:
            figure.add_trace(
                go.Scatter(
                    x=[inside[0], inside[-1]],
                    y=[trend.first, trend.last],
                    yaxis=f"y{axis}",
                    mode="lines",
                    line={"color": colour, "width": 2, "dash": "solid" if trend.direction else "dash"},
                    hoverinfo="skip",
                )
            )
    top = float(min(1.0, np.max(again + np.minimum(likely, 1 - again), initial=0.0)))
    figure.update_layout(
        template=theme.template(scheme),
        showlegend=False,
        hovermode="closest",
        # a tick between two months would bear the name of one of them
        xaxis={"anchor": "y2", "tickformat": "%b %Y", "dtick": "M1" if len(x) <= 6 else None},
        yaxis={
            "domain": [0.55, 1],
            "title": {"text": "Came again"},
            "tickformat": ".0%",
            "range": [0, 1.06 * (top or 1.0)],
            "nticks": 4,
        },
        yaxis2={
            "domain": [0, 0.45],
            "title": {"text": "Revenue a customer"},
            "tickprefix": formats.symbol(currency),
            "rangemode": "tozero",
            "nticks": 4,
            "gridcolor": colours.line,
            "zeroline": False,
        },
    )
    return figure
