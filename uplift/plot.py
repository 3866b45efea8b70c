"""Figures of an evaluation and of a budget: each takes a frame; plotly loads when one is drawn."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..sql.errors import ContractError, ModelError, nearest
from ..sql.figure_theme import DASHES, Template, Theme, finish, theme_of
from ..sql.frames import columns_of

if TYPE_CHECKING:
    import plotly.graph_objects as go

_UNITS = {"outcome": "Outcome", "margin": "Margin", "value": "Profit"}


def plot_toc(toc: Any, *, rankings: Sequence[str] | None = None, template: Template = "light") -> "go.Figure":
    """TOC: how much larger the effect is among the first of each ranking than among all, with its interval.

    Parameters
    ----------
    toc : frame
        ``toc`` of an `EvaluationReport`.
    rankings : sequence of str, optional
        Which to draw; all without it.
    template : {"light", "dark"}

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    ContractError
        Where the frame lacks a column.
    ModelError
        Where a name is not in the frame, or the template is neither light nor dark.

    Examples
    --------
    >>> rows = {"ranking": ["x"] * 2, "fraction": [0.5, 1.0], "toc": [0.2, 0.0], "lower": [0.1, 0], "upper": [0.3, 0]}
    >>> [trace.name for trace in plot_toc(rows).data]
    ['Random order', 'x, interval', 'x']
    """
    theme, columns = theme_of(template), _columns(toc, "ranking", "fraction", "toc", "lower", "upper")
    figure = _on_zero(theme, "Random order")
    for i, name in enumerate(_chosen(columns["ranking"], rankings)):
        rows = columns["ranking"] == name
        x, y, lower, upper = (columns[key][rows] for key in ("fraction", "toc", "lower", "upper"))
        hover = "first %{x:.0%}: %{y:.4g}<extra>%{fullData.name}</extra>"
        _curve(figure, theme, i, name, x, y, lower, upper, hover)
    figure.update_xaxes(tickformat=".0%")
    title = "Effect among the first of the ranking, less the average effect (TOC)"
    return finish(figure, theme, title, "Share treated, best first", "Effect above average, per head")


def plot_qini(toc: Any, *, rankings: Sequence[str] | None = None, template: Template = "light") -> "go.Figure":
    """QINI curve: share treated times TOC, per 1,000 customers; its area is the QINI coefficient.

    It is what a ranking gains over treating as many at random. Parameters, errors as of `plot_toc`.

    Examples
    --------
    >>> rows = {"ranking": ["x"] * 2, "fraction": [0.5, 1.0], "toc": [0.2, 0.0], "lower": [0.1, 0], "upper": [0.3, 0]}
    >>> plot_qini(rows).data[-1].y.tolist()
    [0.0, 100.0, 0.0]
    """
    theme, columns = theme_of(template), _columns(toc, "ranking", "fraction", "toc", "lower", "upper")
    figure = _on_zero(theme, "Random order")
    for i, name in enumerate(_chosen(columns["ranking"], rankings)):
        rows = columns["ranking"] == name
        x = columns["fraction"][rows]
        y, lower, upper = (np.r_[0.0, 1000.0 * x * columns[key][rows]] for key in ("toc", "lower", "upper"))
        hover = "%{x:.0%} treated: %{y:,.4g} per 1,000 more than at random<extra>%{fullData.name}</extra>"
        _curve(figure, theme, i, name, np.r_[0.0, x], y, lower, upper, hover)
    figure.update_xaxes(tickformat=".0%")
    title = "Gain over treating as many at random (QINI curve)"
    return finish(figure, theme, title, "Share treated, best first", "Gain over random, per 1,000 customers")


def plot_gain(
    gain: Any, *, unit: str = "value", rankings: Sequence[str] | None = None, template: Template = "light"
) -> "go.Figure":
    """Gain per 1,000 customers by the share treated, beside random customers, all, and none.

    Parameters
    ----------
    gain : frame
        ``gain`` of an `EvaluationReport`.
    unit : {"value", "margin", "outcome"}
        Money after cost, money before, or the outcome itself.
    rankings : sequence of str, optional
        Which to draw; all without it.
    template : {"light", "dark"}

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    ContractError
        Where the frame lacks a column.
    ModelError
        Where a name or the unit is not in the frame, or the template is neither light nor dark.

    Examples
    --------
    >>> rows = {"ranking": ["x"], "fraction": [1.0], "unit": ["value"], "gain_per_1000": [9.0], "lower": [5.0]}
    >>> [trace.name for trace in plot_gain(rows | {"upper": [13.0]}).data]
    ['Treat none', 'x, interval', 'x', 'Treat all']
    """
    theme = theme_of(template)
    columns = _columns(gain, "ranking", "fraction", "unit", "gain_per_1000", "lower", "upper")
    present = list(dict.fromkeys(columns["unit"].tolist()))
    if unit not in present:
        raise ModelError(f"no unit {unit!r} in the frame{nearest(unit, present)}; it has {', '.join(present)}")
    columns = {key: values[columns["unit"] == unit] for key, values in columns.items()}
    figure = _on_zero(theme, "Treat none")
    hover = "%{x:.0%} treated: %{y:,.4g} per 1,000<extra>%{fullData.name}</extra>"
    for i, name in enumerate(_chosen(columns["ranking"], rankings)):
        rows = columns["ranking"] == name
        x = np.r_[0.0, columns["fraction"][rows]]
        y, lower, upper = (np.r_[0.0, columns[key][rows]] for key in ("gain_per_1000", "lower", "upper"))
        if name == "random":
            figure.add_scatter(
                x=x, y=y, name="Random customers", mode="lines", hovertemplate=hover,
                line={"color": theme.muted, "dash": "dash", "width": 1.5},
            )  # fmt: skip
        else:
            _curve(figure, theme, i, name, x, y, lower, upper, hover)
    everyone = columns["fraction"] == columns["fraction"].max(initial=0.0)
    if everyone.any():
        # one arm for all where a random order is there; otherwise each customer's arm by the first ranking
        of_random = everyone & (columns["ranking"] == "random")
        level = float(columns["gain_per_1000"][of_random if of_random.any() else everyone][0])
        figure.add_scatter(
            x=[0, 1], y=[level, level], name="Treat all", mode="lines",
            line={"color": theme.ink, "dash": "dot", "width": 1},
            hovertemplate="treat all: %{y:,.4g} per 1,000<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(tickformat=".0%")
    label = _UNITS.get(unit, unit)
    title = f"{label} gained by the share treated"
    return finish(figure, theme, title, "Share treated, best first", f"{label} per 1,000 customers")


def plot_effect_calibration(
    calibration: Any, *, arms: Sequence[str] | None = None, template: Template = "light"
) -> "go.Figure":
    """Effects on the holdout beside predicted ones, by bins of the prediction; on the diagonal is right.

    Parameters
    ----------
    calibration : frame
        ``calibration`` of an `EvaluationReport`.
    arms : sequence of str, optional
        Which to draw; all without it.
    template : {"light", "dark"}

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    ContractError
        Where the frame lacks a column.
    ModelError
        Where a name is not in the frame, or the template is neither light nor dark.

    Examples
    --------
    >>> rows = {"arm": ["mail"], "customers": [500], "predicted": [0.1], "value": [0.12], "lower": [0.0]}
    >>> [trace.name for trace in plot_effect_calibration(rows | {"upper": [0.2]}).data]
    ['Right on average', 'mail']
    """
    import plotly.graph_objects as go

    theme = theme_of(template)
    columns = _columns(calibration, "arm", "customers", "predicted", "value", "lower", "upper")
    figure = go.Figure()
    ends = [float(np.min(columns["predicted"], initial=0.0)), float(np.max(columns["predicted"], initial=0.0))]
    figure.add_scatter(
        x=ends, y=ends, name="Right on average", mode="lines", hoverinfo="skip",
        line={"color": theme.muted, "dash": "dot", "width": 1},
    )  # fmt: skip
    symbols = ("circle", "square", "diamond", "triangle-up", "x", "cross")
    for i, name in enumerate(_chosen(columns["arm"], arms)):
        rows = columns["arm"] == name
        y = columns["value"][rows]
        # a bin of one customer has no interval
        above, below = (
            np.where(np.isfinite(gap), gap, 0.0) for gap in (columns["upper"][rows] - y, y - columns["lower"][rows])
        )
        figure.add_scatter(
            x=columns["predicted"][rows],
            y=y,
            name=name,
            mode="markers",
            error_y={"type": "data", "symmetric": False, "array": above, "arrayminus": below, "thickness": 1},
            customdata=columns["customers"][rows],
            marker={"symbol": symbols[i % len(symbols)], "size": 8, "color": theme.series[i % len(theme.series)]},
            hovertemplate="%{customdata:,.0f} customers<br>predicted %{x:.4g}<br>held out %{y:.4g}"
            "<extra>%{fullData.name}</extra>",
        )
    title = "Predicted effects and effects on the holdout"
    return finish(figure, theme, title, "Predicted effect per head", "Effect on the holdout, per head")


def plot_budget(path: Any, *, template: Template = "light") -> "go.Figure":
    """Value of the best allocation by budget, and what one more unit of budget is worth.

    Parameters
    ----------
    path : frame
        As from `budget_path`.
    template : {"light", "dark"}

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    ContractError
        Where the frame lacks a column.
    ModelError
        Where the template is neither light nor dark.

    Examples
    --------
    >>> figure = plot_budget({"budget": [0.0, 1.0], "value": [0.0, 2.0], "shadow_price": [2.0, 0.5]})
    >>> [trace.name for trace in figure.data]
    ['Expected profit', 'Worth of one more unit']
    """
    import plotly.graph_objects as go

    theme, columns = theme_of(template), _columns(path, "budget", "value", "shadow_price")
    figure = go.Figure()
    figure.add_scatter(
        x=columns["budget"], y=columns["value"], name="Expected profit", mode="lines",
        line={"color": theme.series[0], "width": 2},
        hovertemplate="budget %{x:,.4g}: profit %{y:,.4g}<extra></extra>",
    )  # fmt: skip
    figure.add_scatter(
        x=columns["budget"], y=columns["shadow_price"], name="Worth of one more unit", mode="lines", yaxis="y2",
        line={"color": theme.series[1], "width": 2, "dash": "dash", "shape": "hv"},
        hovertemplate="one more unit at %{x:,.4g} is worth %{y:,.3g}<extra></extra>",
    )  # fmt: skip
    drawn = finish(figure, theme, "What a budget buys", "Budget", "Expected profit")
    drawn.update_layout(
        yaxis2={
            "title": {"text": "Worth of one more unit of budget"},
            "overlaying": "y",
            "side": "right",
            "rangemode": "tozero",
            "showgrid": False,
        }
    )
    return drawn


def _curve(
    figure: "go.Figure",
    theme: Theme,
    i: int,
    name: str,
    x: np.ndarray,
    y: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    hover: str,
) -> None:
    colour = theme.series[i % len(theme.series)]
    figure.add_scatter(
        x=np.r_[x, x[::-1]], y=np.r_[upper, lower[::-1]], name=f"{name}, interval", fill="toself", mode="lines",
        line={"width": 0}, fillcolor=_faint(colour), hoverinfo="skip", showlegend=False, legendgroup=name,
    )  # fmt: skip
    figure.add_scatter(
        x=x, y=y, name=name, mode="lines", legendgroup=name, hovertemplate=hover,
        line={"color": colour, "width": 2, "dash": DASHES[i % len(DASHES)]},
    )  # fmt: skip


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, 0.15)"


def _on_zero(theme: Theme, name: str) -> "go.Figure":
    import plotly.graph_objects as go

    figure = go.Figure()
    figure.add_scatter(
        x=[0, 1], y=[0, 0], name=name, mode="lines", hoverinfo="skip", line={"color": theme.muted, "width": 1}
    )
    return figure


def _chosen(labels: np.ndarray, names: Sequence[str] | None) -> list[str]:
    present = list(dict.fromkeys(labels.tolist()))
    for name in names or ():
        if name not in present:
            raise ModelError(f"no {name!r} in the frame{nearest(name, present)}; it has {', '.join(present)}")
    return present if names is None else list(names)


def _columns(frame: Any, *names: str) -> dict[str, np.ndarray]:
    columns = columns_of(frame, "a figure's data")
    out = {}
    for name in names:
        if name not in columns:
            raise ContractError(f"the frame has no column {name!r}{nearest(name, list(columns))}")
        column = columns[name]
        out[name] = column.to_numpy() if hasattr(column, "to_numpy") else np.asarray(column)
    return out
