"""Figures of what the models say: each takes a frame and gives a plotly Figure; plotly loads when one is drawn."""

from typing import TYPE_CHECKING, Any

import numpy as np

from ..sql.errors import ContractError, ModelError, nearest
from ..sql.figure_theme import DASHES, Template, finish, theme_of
from ..sql.frames import columns_of
from .columns import read_columns
from .evaluate import TITLES

if TYPE_CHECKING:
    import plotly.graph_objects as go


def plot_tracking(tracking: Any, *, cumulative: bool = False, template: Template = "light") -> "go.Figure":
    """Repeat purchases by week, actual and as each model expected them, with a line where the calibration ends.

    Parameters
    ----------
    tracking : frame
        As from `track_orders`.
    cumulative : bool
        Sums up to each week instead of each week's own.
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
    >>> import pandas as pd
    >>> weeks = pd.DataFrame({"model": "nbd", "week": pd.to_datetime(["1997-01-06", "1997-01-13"])})
    >>> weeks = weeks.assign(is_holdout=[False, True], actual=[3.0, 8], expected=[5.4, 7])
    >>> [trace.name for trace in plot_tracking(weeks).data]
    ['Actual', 'NBD']
    """
    import plotly.graph_objects as go

    theme, suffix = theme_of(template), "_cumulative" if cumulative else ""
    values = read_columns(tracking, [f"actual{suffix}", f"expected{suffix}"])
    model, week, is_holdout = (_values(tracking, name) for name in ("model", "week", "is_holdout"))
    names = list(dict.fromkeys(model.tolist()))
    figure = go.Figure()
    of_first = model == names[0]
    hover = "%{y:,.0f} purchase days<extra>%{fullData.name}</extra>"
    figure.add_scatter(
        x=week[of_first],
        y=values[f"actual{suffix}"][of_first],
        name="Actual",
        mode="lines",
        line={"color": theme.ink, "width": 2},
        hovertemplate=hover,
    )
    for i, name in enumerate(names):
        rows = model == name
        figure.add_scatter(
            x=week[rows],
            y=values[f"expected{suffix}"][rows],
            name=_title(name),
            mode="lines",
            line={"color": theme.series[i % len(theme.series)], "width": 2, "dash": DASHES[(i + 1) % len(DASHES)]},
            hovertemplate=hover,
        )
    holdout = week[of_first][is_holdout[of_first].astype(bool)]
    if len(holdout):
        figure.add_vline(x=_as_text(holdout.min()), line={"color": theme.muted, "dash": "dot", "width": 1})
        figure.add_annotation(
            x=_as_text(holdout.min()), y=1, yref="paper", xanchor="left", showarrow=False, text="holdout",
            font={"color": theme.muted},
        )  # fmt: skip
    title = "Repeat purchases so far" if cumulative else "Repeat purchases by week"
    return finish(figure, theme, title, "Week", "Purchase days, total" if cumulative else "Purchase days a week")


def plot_calibration(
    calibration: Any, *, models: "list[str] | None" = None, template: Template = "light"
) -> "go.Figure":
    """Mean predicted beside mean actual purchases by tenths of the prediction; on the diagonal is right.

    Parameters
    ----------
    calibration : frame
        ``calibration`` of a `ModelReport`.
    models : list of str, optional
        Which to draw; by default all.
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
    >>> rows = {"model": ["nbd"] * 2, "decile": [1, 2], "customers": [5, 5], "predicted": [0.1, 1.0], "actual": [0, 1]}
    >>> plot_calibration(rows).layout.xaxis.title.text
    'Predicted purchases a customer'
    """
    import plotly.graph_objects as go

    theme = theme_of(template)
    values = read_columns(calibration, ["decile", "customers", "predicted", "actual"])
    model = _values(calibration, "model")
    present = list(dict.fromkeys(model.tolist()))
    for name in models or []:
        if name not in present:
            raise ModelError(f"no model {name!r} in the frame{nearest(name, present)}; it has {', '.join(present)}")
    figure = go.Figure()
    top = float(max(values["predicted"].max(initial=0), values["actual"].max(initial=0))) * 1.05 or 1.0
    figure.add_scatter(
        x=[0, top], y=[0, top], name="Right on average", mode="lines", hoverinfo="skip",
        line={"color": theme.muted, "dash": "dot", "width": 1},
    )  # fmt: skip
    symbols = ("circle", "square", "diamond", "triangle-up", "x", "cross")
    for i, name in enumerate(models or present):
        rows = model == name
        figure.add_scatter(
            x=values["predicted"][rows],
            y=values["actual"][rows],
            name=_title(name),
            mode="lines+markers",
            customdata=np.column_stack([values["decile"][rows], values["customers"][rows]]),
            marker={"symbol": symbols[i % len(symbols)], "size": 8},
            line={"color": theme.series[i % len(theme.series)], "width": 1.5},
            hovertemplate="tenth %{customdata[0]:.0f}, %{customdata[1]:,.0f} customers<br>predicted %{x:.2f}<br>"
            "actual %{y:.2f}<extra>%{fullData.name}</extra>",
        )
    return finish(
        figure,
        theme,
        "Predicted and actual purchases by tenths of the prediction",
        "Predicted purchases a customer",
        "Actual purchases a customer",
    )


def plot_recency_frequency(
    customers: Any,
    colour: str = "probability_alive",
    *,
    time_unit: str = "week",
    bins: int = 40,
    template: Template = "light",
) -> "go.Figure":
    """Heatmap over recency and frequency of the mean of one column.

    Parameters
    ----------
    customers : frame
        ``frequency``, ``recency`` and the column ``colour``, optionally ``weight``: a summary joined with its scores,
        or `recency_frequency_surface`.
    colour : str
        Column whose mean gives the colour, such as ``probability_alive``, ``expected_purchases``, ``customer_value``.
    time_unit : str
        Unit of recency, for the axis.
    bins : int
        Cells at most on either axis.
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
    >>> rows = {"frequency": [0, 1, 1], "recency": [0.0, 2.0, 2.0], "probability_alive": [0.5, 0.8, 0.9]}
    >>> plot_recency_frequency(rows).layout.yaxis.title.text
    'Repeat purchases'
    """
    import plotly.graph_objects as go

    theme = theme_of(template)
    columns = read_columns(customers, ["frequency", "recency", colour], ["weight"])
    x, recency, z = columns["frequency"], columns["recency"], columns[colour]
    weight = columns.get("weight", np.ones_like(x)) * np.isfinite(z)
    across, width = _cells(recency, bins)
    up, height = _cells(x, bins)
    shape = (up.max(initial=0) + 1, across.max(initial=0) + 1)
    cell = up * shape[1] + across
    size = int(np.prod(shape))
    count = np.bincount(cell, weight, minlength=size)
    total = np.bincount(cell, weight * np.nan_to_num(z), minlength=size)
    mean = np.divide(total, count, out=np.full(size, np.nan), where=count > 0).reshape(shape)
    label = colour.replace("_", " ")
    figure = go.Figure(
        go.Heatmap(
            x=np.arange(shape[1]) * width,
            y=np.arange(shape[0]) * height,
            z=mean,
            customdata=count.reshape(shape),
            colorscale="Viridis",
            colorbar={"title": {"text": label}},
            hoverongaps=False,
            hovertemplate=f"recency from %{{x:.3g}} {time_unit}s<br>%{{y:.0f}} repeat purchases<br>"
            f"{label} %{{z:.3g}}<br>%{{customdata:,.0f}} customers<extra></extra>",
        )
    )
    title = f"{label[:1].upper()}{label[1:]} by recency and frequency"
    return finish(figure, theme, title, f"Recency: {time_unit}s from first to last purchase", "Repeat purchases")


def plot_alive_path(path: Any, *, template: Template = "light") -> "go.Figure":
    """Probability of being a customer, day by day, with a mark for each purchase.

    Parameters
    ----------
    path : frame
        As from `probability_alive_path`.
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
    >>> import pandas as pd
    >>> days = pd.to_datetime(["1997-01-01", "1997-01-02"])
    >>> path = pd.DataFrame({"day": days, "probability_alive": [1.0, 0.99], "is_purchase": [True, False]})
    >>> [trace.name for trace in plot_alive_path(path).data]
    ['P(alive)', 'Purchase']
    """
    import plotly.graph_objects as go

    theme = theme_of(template)
    alive = read_columns(path, ["probability_alive"])["probability_alive"]
    day, bought = _values(path, "day"), _values(path, "is_purchase").astype(bool)
    figure = go.Figure()
    figure.add_scatter(
        x=day, y=alive, name="P(alive)", mode="lines", line={"color": theme.series[0], "width": 2},
        hovertemplate="%{x|%d %b %Y}: %{y:.1%}<extra></extra>",
    )  # fmt: skip
    figure.add_scatter(
        x=day[bought], y=alive[bought], name="Purchase", mode="markers",
        marker={"color": theme.series[1], "size": 8, "symbol": "diamond"},
        hovertemplate="purchase on %{x|%d %b %Y}<extra></extra>",
    )  # fmt: skip
    figure.update_yaxes(range=[0, 1.02], tickformat=".0%")
    return finish(figure, theme, "Probability of still being a customer", "Day", "P(alive)")


def _cells(values: np.ndarray, bins: int) -> tuple[np.ndarray, float]:
    """Cell of each value and the cells' width: whole numbers, at most ``bins`` cells."""
    width = float(max(1.0, np.ceil((values.max(initial=0) + 1) / bins)))
    return np.floor(values / width).astype(np.int64), width


def _values(frame: Any, name: str) -> np.ndarray:
    columns = columns_of(frame)
    if name not in columns:
        raise ContractError(f"the frame has no column {name!r}{nearest(name, list(columns))}")
    column = columns[name]
    return column.to_numpy() if hasattr(column, "to_numpy") else np.asarray(column)


def _title(model: str) -> str:
    title = TITLES.get(model, model)
    return title[:1].upper() + title[1:]


def _as_text(day: Any) -> str:
    return str(np.datetime64(day, "D"))
