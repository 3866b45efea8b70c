"""Customers by how often they bought again and how long ago: a map of the base that is also a filter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import plotly.graph_objects as go

from .. import formats, theme

FREQUENCY_LADDER = (
    1,
    2,
    3,
    4,
    5,
    7,
    10,
    15,
    20,
    30,
    40,
    50,
    75,
    100,
    150,
    200,
    300,
    500,
    750,
    1000,
    1500,
    2000,
    3000,
    5000,
)
DAYS_LADDER = (7, 14, 30, 60, 90, 120, 180, 270, 365, 545, 730, 1095, 1460, 1825, 2555, 3650)
_SMALLEST_SHARE = 0.01
_MOST_BINS = 10


@dataclass(frozen=True)
class Metric:
    """What the colour says: a mean per customer, or a total of the cell; ``predicted`` where a model made it."""

    label: str
    column: str
    mean: bool
    format: str
    predicted: bool = True


METRICS: Mapping[str, Metric] = {
    "alive": Metric("P(alive)", "probability_alive", mean=True, format="share"),
    "orders": Metric("Expected orders", "expected_orders", mean=True, format="decimal"),
    "value": Metric("Value", "customer_value", mean=False, format="money"),
    "customers": Metric("Customers", "customers", mean=False, format="count", predicted=False),
    "revenue": Metric("Revenue", "revenue", mean=False, format="money", predicted=False),
}


def edges(values: np.ndarray, weights: np.ndarray, ladder: Sequence[int]) -> list[int]:
    """Return the lower bounds of bins from a ladder of round numbers, none of them nearly empty.

    Parameters
    ----------
    values, weights : ndarray (n,)
        Whole numbers of at least 0 and how many customers have each.
    ladder : sequence of int
        Candidate bounds above 0, rising.

    Returns
    -------
    list of int
        Rising, from 0; the last bin is open above. At most 10 bins, each but the last with at least 1% of the weight.

    Examples
    --------
    >>> edges(np.array([0, 1, 2, 9]), np.array([50, 30, 19, 1]), (1, 2, 3, 5))
    [0, 1, 2, 3]
    """
    total = float(weights.sum()) or 1.0
    smallest = _SMALLEST_SHARE
    while True:
        bounds = [0]
        for step in ladder:
            inside = weights[(values >= bounds[-1]) & (values < step)].sum() / total
            above = weights[values >= step].sum() / total
            if inside >= smallest and above >= min(smallest, _SMALLEST_SHARE):
                bounds.append(int(step))
        if len(bounds) <= _MOST_BINS:
            return bounds
        smallest *= 1.25


@dataclass(frozen=True)
class HeatmapCells:
    """Totals of each cell, (rows of days, columns of frequency), with the lower bounds of the bins."""

    frequency: list[int]
    days: list[int]
    totals: Mapping[str, np.ndarray]


def cells(rows: Mapping[str, np.ndarray], frequency: list[int], days: list[int]) -> HeatmapCells:
    """Sum rows of ``recency_frequency`` into bins.

    Parameters
    ----------
    rows : mapping of str to ndarray (n,)
        The columns of ``recency_frequency``.
    frequency, days : list of int
        Lower bounds of the bins, from :func:`edges`.
    """
    column = np.searchsorted(frequency, rows["frequency"], side="right") - 1
    row = np.searchsorted(days, rows["days_since_last_order"], side="right") - 1
    place = row * len(frequency) + column
    shape = (len(days), len(frequency))
    names = ("customers", "probability_alive", "expected_orders", "customer_value", "revenue")
    return HeatmapCells(
        frequency,
        days,
        {n: np.bincount(place, weights=rows[n], minlength=shape[0] * shape[1]).reshape(shape) for n in names},
    )


def bin_labels(bounds: Sequence[int]) -> list[str]:
    """Write bins as text.

    Examples
    --------
    >>> bin_labels([0, 1, 2, 5])
    ['0', '1', '2–4', '5+']
    """
    labels = [f"{low:,}" if high - low == 1 else f"{low:,}–{high - 1:,}" for low, high in pairwise(bounds)]
    return [*labels, f"{bounds[-1]:,}+"]


def heatmap_figure(
    grid: HeatmapCells,
    metric: Metric,
    currency: str,
    scheme: theme.Scheme,
    chosen: tuple[tuple[float | None, float | None], tuple[float | None, float | None]],
    *,
    predicted: bool = True,
) -> go.Figure:
    """Return the map: repeat purchase days to the right, days since the last one downwards.

    Parameters
    ----------
    grid : HeatmapCells
    metric : Metric
    currency : str
    scheme : {"light", "dark"}
    chosen : ((low, high), (low, high))
        The filter on frequency and on days, None for an open end; drawn as a frame.
    predicted : bool
        Whether a cell tells what is expected of its customers.
    """
    colours = theme.PALETTES[scheme]
    customers = grid.totals["customers"]
    filled = customers > 0
    amount = grid.totals[metric.column]
    value = np.where(filled, amount / np.where(filled, customers, 1) if metric.mean else amount, np.nan)
    # totals differ by magnitudes between cells: their logarithm is coloured, the numbers stay in text and scale
    shade = value if metric.mean else np.log10(np.where(np.isfinite(value), np.maximum(value, 0), np.nan) + 1)
    text = [
        [_cell_text(v, metric, currency) if there else "" for v, there in zip(r, f, strict=True)]
        for r, f in zip(value, filled, strict=True)
    ]
    limits = (0.0, 1.0) if metric.format == "share" else None
    hover = [
        [_hover(grid, i, j, currency, predicted=predicted) if filled[i, j] else "" for j in range(len(grid.frequency))]
        for i in range(len(grid.days))
    ]
    across, down = bin_labels(grid.frequency), bin_labels(grid.days)
    figure = go.Figure(
        go.Heatmap(
            x=list(range(len(across))),
            y=list(range(len(down))),
            z=[[None if not np.isfinite(v) else float(v) for v in row] for row in shade],
            hovertext=hover,
            hovertemplate="%{hovertext}<extra></extra>",
            colorscale="Viridis",
            zmin=limits[0] if limits else None,
            zmax=limits[1] if limits else None,
            xgap=2,
            ygap=2,
            showscale=False,
        )
    )
    # each cell's number, which is also the point that a brush selects
    points = [(j, i) for i in range(len(down)) for j in range(len(across))]
    figure.add_trace(
        go.Scatter(
            x=[x for x, _ in points],
            y=[y for _, y in points],
            mode="text",
            text=[text[y][x] for x, y in points],
            textfont={"size": 11.5, "color": [_ink_on(shade, x, y, limits) for x, y in points]},
            hoverinfo="skip",
            showlegend=False,
        )
    )
    frame = _frame(grid, chosen)
    if frame:
        for colour, width in ((colours.surface, 5), (colours.ink, 2)):
            figure.add_shape(type="rect", **frame, line={"color": colour, "width": width}, layer="above")
    axis = {"showgrid": False, "showline": False, "fixedrange": True}
    figure.update_layout(
        template=theme.template(scheme),
        dragmode="select",
        clickmode="event",
        meta={"frequency": grid.frequency, "days": grid.days},
        xaxis={
            **axis, "title": {"text": "Repeat purchase days"}, "tickvals": list(range(len(across))), "ticktext": across,
            "range": [-0.5, len(across) - 0.5],
        },
        yaxis={
            **axis, "title": {"text": "Days since last order"}, "tickvals": list(range(len(down))), "ticktext": down,
            "range": [len(down) - 0.5, -0.5],
        },
    )  # fmt: skip
    return figure


def _ink_on(shade: np.ndarray, x: int, y: int, limits: tuple[float, float] | None) -> str:
    low, high = limits or (np.nanmin(shade), np.nanmax(shade))
    place = (shade[y, x] - low) / ((high - low) or 1.0)
    # where viridis passes the grey on which black and white stand out alike, both at 4.55:1
    return "#000000" if place > 0.435 else "#ffffff"


def _frame(grid: HeatmapCells, chosen: tuple[tuple[float | None, float | None], ...]) -> dict[str, float] | None:
    if all(end is None for span in chosen for end in span):
        return None
    (x0, x1), (y0, y1) = (
        _span(bounds, low, high) for bounds, (low, high) in zip((grid.frequency, grid.days), chosen, strict=True)
    )
    return {"x0": x0, "x1": x1, "y0": y0, "y1": y1} if x0 < x1 and y0 < y1 else None


def _span(bounds: list[int], low: float | None, high: float | None) -> tuple[float, float]:
    first = 0 if low is None else int(np.searchsorted(bounds, low, side="right")) - 1
    last = len(bounds) - 1 if high is None else int(np.searchsorted(bounds, high, side="right")) - 1
    return max(first, 0) - 0.5, last + 0.5


def _cell_text(value: float, metric: Metric, currency: str) -> str:
    if metric.format == "share":
        return formats.share(float(value))
    if metric.format == "money":
        return formats.money(float(value), currency, short=True)
    return formats.count(float(value), decimals=1 if metric.format == "decimal" else 0, short=True)


def _hover(grid: HeatmapCells, i: int, j: int, currency: str, *, predicted: bool) -> str:
    across, down = bin_labels(grid.frequency)[j], bin_labels(grid.days)[i]
    n = grid.totals["customers"][i, j]
    lines = [
        f"<b>{n:,.0f} customer{'' if n == 1 else 's'}</b>",
        f"{across} repeat days, last {down} days ago",
    ]
    if not predicted:
        return "<br>".join(lines)
    lines += [
        f"P(alive) {formats.share(grid.totals['probability_alive'][i, j] / n)} on average",
        f"{formats.count(grid.totals['expected_orders'][i, j] / n, decimals=1)} expected orders each",
        f"{formats.money(float(grid.totals['customer_value'][i, j]), currency, short=True)} value in all",
    ]
    return "<br>".join(lines)
