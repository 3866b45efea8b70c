"""Figures of price response, of demand and of a plan; plotly loads when one is drawn."""

from collections.abc import Sequence
from datetime import timedelta
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from ..sql.errors import ContractError, ModelError, nearest
from ..sql.figure_theme import Template, finish, theme_of
from ..sql.frames import columns_of

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from .demand import DemandModel
    from .markdown import MarkdownPlan
    from .specification_curve import SpecificationCurve

_CHOICES = ("form", "effects", "controls", "rows")
_LEGEND = {"orientation": "h", "traceorder": "normal", "x": 0.0, "xanchor": "left", "y": 1.0, "yanchor": "bottom"}


def plot_specification_curve(curve: "SpecificationCurve", *, template: Template = "light") -> "go.Figure":
    """Draw the elasticity of every specification with its 90% interval, sorted, above the choices that made it.

    The chosen row is marked and argued for; the naive one, which takes nothing out, is flagged with what speaks against
    it. A specification that the panel could not carry has its choices and no estimate: hover says why.

    Parameters
    ----------
    curve : SpecificationCurve
        From `specification_curve`.
    template : {"light", "dark"}

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    ModelError
        Where the template is neither light nor dark.

    Examples
    --------
    >>> from regulars.pricing import simulate_prices, specification_curve
    >>> history = simulate_prices(items=8, stores=4, weeks=60, seed=3)
    >>> curve = specification_curve(history.frame(), double_machine_learning=False)
    >>> for trace in plot_specification_curve(curve).data[:3]:
    ...     print(trace.name)
    Specification
    Naive: pooled (dear items sell less anyway)
    Chosen: by item, instrumented
    """
    from plotly.subplots import make_subplots

    theme, rows = theme_of(template), curve.rows
    words = list(dict.fromkeys((choice, word) for choice in _CHOICES for row in rows for word in _words(row, choice)))
    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.03, row_heights=[320, 22 * len(words) + 1]
    )
    chosen = [k for k, row in enumerate(rows) if row["chosen"]]
    naive = [k for k, row in enumerate(rows) if row["effects"] == "none" and not row["chosen"]]
    others = [k for k in range(len(rows)) if k not in (*chosen, *naive)]
    told = "; ".join(f"{rows[k]['specification']} ({rows[k]['objection']})" for k in naive)
    for name, at, colour, symbol, size in (
        ("Specification", others, theme.muted, "circle", 8),
        (f"Naive: {told}", naive, theme.series[1], "x", 11),
        (f"Chosen: {curve.chosen}", chosen, theme.series[0], "diamond", 11),
    ):
        seen = [k for k in at if np.isfinite(rows[k]["elasticity"])]
        if seen:
            _estimates(figure, rows, seen, name, colour, symbol, size)
    label = {pair: f"{pair[0]}: {pair[1]}" for pair in words}
    taken = {(k, (choice, word)) for k, row in enumerate(rows) for choice in _CHOICES for word in _words(row, choice)}
    rest = [(k, pair) for pair in words for k in range(len(rows)) if (k, pair) not in taken]
    figure.add_scatter(
        x=[k for k, _ in rest], y=[label[pair] for _, pair in rest], name="not chosen", mode="markers",
        marker={"size": 4, "color": theme.muted, "opacity": 0.35}, hoverinfo="skip", showlegend=False, row=2, col=1,
    )  # fmt: skip
    dots = [(k, pair) for pair in words for k in range(len(rows)) if (k, pair) in taken]
    colours = dict.fromkeys(chosen, theme.series[0]) | dict.fromkeys(naive, theme.series[1])
    figure.add_scatter(
        x=[k for k, _ in dots], y=[label[pair] for _, pair in dots], name="choices", mode="markers", showlegend=False,
        marker={
            "size": 10,
            "color": [colours.get(k, theme.ink) for k, _ in dots],
            "symbol": ["circle-open" if rows[k]["failed"] else "circle" for k, _ in dots],
        },
        customdata=[[rows[k]["specification"], rows[k]["failed"] or rows[k]["objection"]] for k, _ in dots],
        hovertemplate="%{customdata[0]}: %{y}<br>%{customdata[1]}<extra></extra>", row=2, col=1,
    )  # fmt: skip
    finish(figure, theme, "Price response by specification", "", "Elasticity")
    figure.update_layout(height=560 + 22 * len(words), margin={"l": 10})
    names = [row["specification"] for row in rows]
    figure.update_xaxes(range=[-0.6, len(rows) - 0.4], zeroline=False, showgrid=False)
    figure.update_xaxes(
        tickvals=list(range(len(rows))), ticktext=names, tickangle=-40, automargin=True,
        title={"text": "Specification"}, row=2, col=1,
    )  # fmt: skip
    ends = np.array([row[end] for row in rows for end in ("lower", "upper") if np.isfinite(row[end])])
    if len(ends):
        room = 0.06 * max(float(np.ptp(ends)), 0.1)
        figure.update_yaxes(range=[float(ends.min()) - room, float(ends.max()) + room], row=1, col=1)
    figure.update_yaxes(
        categoryorder="array", categoryarray=[label[pair] for pair in reversed(words)], automargin=True,
        title={"text": ""}, showgrid=False, row=2, col=1,
    )  # fmt: skip
    return _headed(figure, "Price response by specification", f"Chosen: {curve.chosen}. {curve.argument}")


def plot_price_path(plan: "MarkdownPlan", item: Any, *, template: Template = "light") -> "go.Figure":
    """Draw an item's planned prices, the units that they are expected to sell, and the stock that is left.

    Parameters
    ----------
    plan : MarkdownPlan
        From `plan_markdowns`.
    item : object
        Name of the item, as in the plan.
    template : {"light", "dark"}

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    ModelError
        Where the template is neither light nor dark, or the plan has no such item.

    Examples
    --------
    >>> from regulars.pricing import plan_markdowns
    >>> items = {"item": ["tee"], "regular_price": [10.0], "on_hand": [30], "weekly_units": [2], "elasticity": [-2.0]}
    >>> figure = plot_price_path(plan_markdowns(items, ladder=(0, 0.2, 0.5), weeks=3), "tee")
    >>> [(trace.name, trace.y.tolist()) for trace in figure.data[2:]]
    [('Units', [8.0, 8.0, 8.0]), ('Stock left', [30.0, 22.0, 14.0, 6.0])]
    """
    from plotly.subplots import make_subplots

    theme = theme_of(template)
    left = plan.left(item)
    columns = _columns(plan.prices, "item", "week", "price", "discount", "units", "on_hand")
    mine = columns["item"] == item
    price, units, stock = (columns[name][mine].astype(float) for name in ("price", "units", "on_hand"))
    starts, middles = _weeks(columns["week"][mine])
    # a regular price is the price by what is left of it after the discount
    regular = float(price[0] / (1.0 - columns["discount"][mine].astype(float)[0]))
    figure = make_subplots(rows=3, cols=1, shared_xaxes=True, vertical_spacing=0.06, row_heights=[4, 3, 3])
    figure.add_scatter(
        x=[starts[0], starts[-1]], y=[regular, regular], name="Regular price", mode="lines", hoverinfo="skip",
        line={"color": theme.muted, "width": 1, "dash": "dot"}, row=1, col=1,
    )  # fmt: skip
    figure.add_scatter(
        x=starts, y=np.r_[price, price[-1]], name="Price", mode="lines",
        line={"color": theme.series[0], "width": 2, "shape": "hv"}, hovertemplate="%{y:,.2f}<extra>price</extra>",
        row=1, col=1,
    )  # fmt: skip
    figure.add_bar(
        x=middles, y=units, name="Units", marker={"color": theme.series[2]},
        hovertemplate="%{y:,.1f}<extra>expected units</extra>", row=2, col=1,
    )  # fmt: skip
    figure.add_scatter(
        x=starts, y=np.r_[stock, left], name="Stock left", mode="lines+markers",
        line={"color": theme.series[1], "width": 2}, hovertemplate="%{y:,.1f}<extra>on hand</extra>", cliponaxis=False,
        row=3, col=1,
    )  # fmt: skip
    for at, y in enumerate(price):
        if at == 0 or y != price[at - 1]:
            figure.add_annotation(
                x=middles[at],
                y=y,
                text=f"{y:,.2f}",
                showarrow=False,
                yshift=-12,
                font={"color": theme.ink},
                row=1,
                col=1,
            )
    finish(figure, theme, f"Planned prices of {item}", "", "Price")
    figure.update_layout(height=640, bargap=0.25, hovermode="x")
    figure.update_yaxes(range=[0, 1.2 * max(regular, float(price.max()))], row=1, col=1)
    figure.update_yaxes(title={"text": "Expected units"}, rangemode="tozero", row=2, col=1)
    figure.update_yaxes(title={"text": "Stock left"}, rangemode="tozero", row=3, col=1)
    figure.update_xaxes(title={"text": "Week"}, row=3, col=1)
    if hasattr(starts[0], "year"):
        every = -(-len(middles) // 10)
        figure.update_xaxes(tickvals=starts[:-1:every], tickformat="%b %-d<br>%Y")
    else:
        figure.update_xaxes(tickvals=middles, ticktext=[str(k + 1) for k in range(len(middles))])
    said = f"Dotted: the regular price, {regular:,.2f}. On hand {stock[0]:,.0f}; left at the end {left:,.0f}."
    return _headed(figure, f"Planned prices of {item}", said, legend=False)


def plot_elasticities(table: Any, *, items: Sequence[str] | None = None, template: Template = "light") -> "go.Figure":
    """Draw each item's elasticity with its 90% interval, and how much of it is its own data, how much its category's.

    Refused ones are hollow, hover gives the reason. Below -1 (dotted) a lower price brings more money.

    Parameters
    ----------
    table : frame or ElasticityTable
        In the shape of ``contract.ELASTICITIES``.
    items : sequence of str, optional
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
        Where an item is not in the frame, or the template is neither light nor dark.

    Examples
    --------
    >>> rows = {"item": ["a", "b"], "elasticity": [-2.0, 0.3], "lower": [-2.5, -0.4], "upper": [-1.5, 1.0]}
    >>> rows |= {"own_data_share": [0.7, 0.1], "category_share": [0.3, 0.9], "accepted": [True, False]}
    >>> figure = plot_elasticities(rows | {"reason": ["", "it is above 0"]})
    >>> [(trace.name, list(trace.y)) for trace in figure.data]
    [('Accepted', ['a']), ('Refused', ['b']), ('Own data', ['a', 'b']), ('Category', ['a', 'b'])]
    """
    from plotly.subplots import make_subplots

    theme = theme_of(template)
    names = ("item", "elasticity", "lower", "upper", "own_data_share", "category_share", "accepted", "reason")
    columns = _columns(table.table if hasattr(table, "as_mapping") else table, *names)
    labels = columns["item"].astype(str)
    asked = None if items is None else [str(name) for name in items]
    for name in asked or ():
        if name not in labels:
            raise ModelError(f"no item {name!r} in the frame{nearest(name, labels.tolist())}")
    kept = np.arange(len(labels)) if asked is None else np.flatnonzero(np.isin(labels, asked))
    value, low, high = (_floats(columns[name]) for name in ("elasticity", "lower", "upper"))
    kept = kept[np.lexsort((labels[kept], np.nan_to_num(value[kept], nan=np.inf)))]
    figure = make_subplots(rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.05, column_widths=[0.72, 0.28])
    good = np.array([v is not None and bool(v) for v in columns["accepted"]])
    for name, rows, symbol, colour in (
        ("Accepted", kept[good[kept]], "circle", theme.series[0]),
        ("Refused", kept[~good[kept]], "circle-open", theme.series[1]),
    ):
        rows = rows[np.isfinite(value[rows])]
        if not len(rows):
            continue
        figure.add_scatter(
            x=value[rows], y=labels[rows], name=name, mode="markers",
            marker={"symbol": symbol, "size": 9, "color": colour, "line": {"width": 2, "color": colour}},
            error_x={
                "type": "data", "symmetric": False, "array": (high - value)[rows], "arrayminus": (value - low)[rows],
                "thickness": 1.5, "width": 0, "color": colour,
            },
            customdata=np.stack([low[rows], high[rows], columns["reason"][rows]], axis=1, dtype=object),
            hovertemplate="%{y}: %{x:.2f} (%{customdata[0]:.2f} to %{customdata[1]:.2f})<br>%{customdata[2]}"
            "<extra>%{fullData.name}</extra>", row=1, col=1,
        )  # fmt: skip
    for name, key, colour in (("Own data", "own_data_share", 2), ("Category", "category_share", 3)):
        figure.add_bar(
            x=_floats(columns[key])[kept], y=labels[kept], name=name, orientation="h",
            marker={"color": theme.series[colour]}, hovertemplate="%{y}: %{x:.0%}<extra>%{fullData.name}</extra>",
            row=1, col=2,
        )  # fmt: skip
    figure.add_vline(x=-1.0, line={"color": theme.muted, "width": 1, "dash": "dot"}, row=1, col=1)  # type: ignore[arg-type]
    finish(figure, theme, "Own-price elasticities", "Elasticity, with its 90% interval", "")
    figure.update_layout(height=max(360, 190 + 24 * len(kept)), barmode="stack", margin={"l": 10})
    figure.update_xaxes(title={"text": "Share of the answer"}, tickformat=".0%", range=[0, 1], row=1, col=2)
    # names that are numbers stay names
    figure.update_yaxes(
        type="category",
        categoryorder="array",
        categoryarray=labels[kept][::-1].tolist(),
        range=[-0.7, len(kept) - 0.3],
        automargin=True,
    )
    figure.update_yaxes(title={"text": "Item"}, row=1, col=1)
    refused, silent = int((~good[kept]).sum()), int((~np.isfinite(value[kept])).sum())
    said = f"{len(kept) - refused} of {len(kept)} accepted. Left of -1 (dotted) a lower price brings more money."
    return _headed(figure, "Own-price elasticities", said + (f" {silent} have no estimate." if silent else ""))


def plot_demand(
    model: "DemandModel",
    item: str,
    prices: "Sequence[float] | np.ndarray",
    weeks: Any,
    *,
    unit_cost: float | None = None,
    interval: float = 0.9,
    template: Template = "light",
) -> "go.Figure":
    """Draw what an item sells, takes and earns over some weeks at each price, with intervals.

    Parameters
    ----------
    model : DemandModel
        Fitted.
    item : str
    prices : sequence of float
        Each of them for all the weeks.
    weeks : date, or sequence of date
        First days of the weeks, as the panel has them; all stores together.
    unit_cost : float, optional
        Of a unit; the last that the panel knows without it. Where neither is known there is no margin to draw.
    interval : float
        Probability of the band.
    template : {"light", "dark"}

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    ModelError
        Where the template is neither light nor dark, the item is not known or was refused, or a price is not above 0.

    Examples
    --------
    >>> from regulars.pricing import DemandModel, simulate_prices
    >>> history = simulate_prices(items=2, stores=3, weeks=60, seed=2)
    >>> model = DemandModel(dict(zip(history.items, history.own))).fit(history.frame())
    >>> figure = plot_demand(model, "item_0001", [1.0, 2.0, 3.0], "2024-03-04")
    >>> [trace.name for trace in figure.data]
    ['Units, interval', 'Units', 'Revenue, interval', 'Revenue', 'Margin, interval', 'Margin']
    """
    from plotly.subplots import make_subplots

    theme = theme_of(template)
    price = np.sort(np.asarray(prices, dtype=np.float64))
    days = np.atleast_1d(np.asarray(weeks)).tolist()
    rows = []
    for p in price.tolist():
        path: dict[str, Any] = {"item": [item] * len(days), "week": days, "price": [p] * len(days)}
        if unit_cost is not None:
            path["unit_cost"] = [float(unit_cost)] * len(days)
        rows.append(_columns(model.what_if(path, interval=interval).items))
    measures = [name for name in ("units", "revenue", "margin") if np.isfinite([float(r[name][0]) for r in rows]).all()]
    figure = make_subplots(rows=len(measures), cols=1, shared_xaxes=True, vertical_spacing=0.05)
    for k, name in enumerate(measures):
        mean, low, high = (np.array([float(r[name + end][0]) for r in rows]) for end in ("", "_lower", "_upper"))
        colour, title = theme.series[k], name.capitalize()
        figure.add_scatter(
            x=np.r_[price, price[::-1]], y=np.r_[high, low[::-1]], name=f"{title}, interval", fill="toself",
            mode="lines", line={"width": 0}, fillcolor=_faint(colour), hoverinfo="skip", row=k + 1, col=1,
        )  # fmt: skip
        figure.add_scatter(
            x=price, y=mean, name=title, mode="lines+markers", line={"color": colour, "width": 2},
            customdata=np.stack([low, high], axis=1), row=k + 1, col=1,
            hovertemplate="at %{x:,.2f}: %{y:,.1f} (%{customdata[0]:,.0f} to %{customdata[1]:,.0f})"
            "<extra>%{fullData.name}</extra>",
        )  # fmt: skip
    seen = model.prices_seen(item)
    inside = [edge for edge in seen if price[0] <= edge <= price[-1]]
    finish(figure, theme, f"Demand for {item} by its price", "", "Units")
    figure.update_layout(height=200 * len(measures) + 200)
    for k, name in enumerate(measures):
        figure.update_yaxes(title={"text": name.capitalize()}, rangemode="tozero", row=k + 1, col=1)
        for edge in inside:
            figure.add_vline(x=edge, line={"color": theme.muted, "width": 1, "dash": "dot"}, row=k + 1, col=1)  # type: ignore[arg-type]
    figure.update_xaxes(title={"text": "Price"}, row=len(measures), col=1)
    length = "1 week" if len(days) == 1 else f"{len(days)} weeks"
    said = (
        f"Over {length}, all stores; bands hold {interval:.0%}. Prices seen: {seen[0]:,.2f} to {seen[1]:,.2f}"
        f"{' (dotted)' if inside else ''}; beyond them the curve is extrapolated."
    )
    return _headed(figure, f"Demand for {item} by its price", said, legend=False)


def _estimates(
    figure: "go.Figure", rows: Sequence[dict[str, Any]], at: list[int], name: str, colour: str, symbol: str, size: int
) -> None:
    value, low, high = (np.array([rows[k][key] for k in at]) for key in ("elasticity", "lower", "upper"))
    figure.add_scatter(
        x=at, y=value, name=name, mode="markers", marker={"color": colour, "symbol": symbol, "size": size},
        error_y={
            "type": "data", "symmetric": False, "array": high - value, "arrayminus": value - low, "thickness": 1.5,
            "width": 6, "color": colour,
        },
        customdata=[[rows[k][key] for key in ("specification", "lower", "upper", "observations", "objection")]
                    for k in at],
        hovertemplate="%{customdata[0]}: %{y:.2f} (%{customdata[1]:.2f} to %{customdata[2]:.2f})<br>"
        "%{customdata[3]:,} rows; %{customdata[4]}<extra></extra>", row=1, col=1,
    )  # fmt: skip


def _words(row: dict[str, Any], choice: str) -> list[str]:
    return row[choice].replace("item^store_id", "item and store").split(", ")


def _headed(figure: "go.Figure", title: str, said: str, *, legend: bool = True) -> "go.Figure":
    """Title, and under it what the figure says, wrapped; what is above the plot takes the room it needs."""
    lines = wrap(said, 110)
    figure.update_layout(
        title={
            "text": title,
            "subtitle": {"text": "<br>".join(lines)},
            "yref": "container",
            "y": 0.98,
            "yanchor": "top",
        },
        margin={"t": 64 + 24 * legend + 18 * len(lines)},
        legend=_LEGEND,
        showlegend=legend,
    )
    return figure


def _weeks(values: np.ndarray) -> tuple[list[Any], list[Any]]:
    """Starts of the weeks and the end of the last; and their middles."""
    first = values[0]
    if isinstance(first, int | float | np.integer | np.floating):
        return [*values.astype(float).tolist(), float(values[-1]) + 1.0], (values.astype(float) + 0.5).tolist()
    days: list[Any] = values.astype("datetime64[s]").tolist()
    length = days[-1] - days[-2] if len(days) > 1 else timedelta(days=7)
    return [*days, days[-1] + length], [day + length / 2 for day in days]


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, 0.15)"


def _floats(values: np.ndarray) -> np.ndarray:
    return np.array([np.nan if v is None else float(v) for v in values])


def _columns(frame: Any, *names: str) -> dict[str, np.ndarray]:
    columns = columns_of(frame, "a figure's data")
    for name in names:
        if name not in columns:
            raise ContractError(f"the frame has no column {name!r}{nearest(name, list(columns))}")
    return {
        name: columns[name].to_numpy() if hasattr(columns[name], "to_numpy") else np.asarray(columns[name])
        for name in names or columns
    }
