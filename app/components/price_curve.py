"""One item of a markdown plan in figures: what it is worth at each price, how its stock runs off, what it sold for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

from .. import formats, theme

if TYPE_CHECKING:
    from ..price_plans import PlanInputs

_STEPS = 61


@dataclass(frozen=True)
class ItemCase:
    """An item as a plan sees it: ``units`` (weeks,) are expected at the regular price, an elasticity moves them."""

    name: str
    starts: date
    regular: float
    before: float
    on_hand: float
    unit_cost: float | None
    salvage: float
    goal: str
    units: np.ndarray
    elasticity: float

    @classmethod
    def of(cls, inputs: "PlanInputs", name: str) -> "ItemCase | None":
        """Take an item of a plan by its name, None where the plan does not have it."""
        names = inputs.items["item"].to_pylist()
        if name not in names:
            return None
        at = names.index(name)
        row = {key: inputs.items[key][at].as_py() for key in inputs.items.column_names}
        regular = float(row["regular_price"])
        return cls(
            name,
            inputs.starts,
            regular,
            regular * (1.0 - float(row.get("current_discount") or 0.0)),
            float(row["on_hand"]),
            row.get("unit_cost"),
            float(row.get("salvage_value") or 0.0) if inputs.salvage else 0.0,
            inputs.goal,
            inputs.units[at],
            float(row["elasticity"]),
        )

    def sold(self, price: float, elasticity: float | None = None) -> np.ndarray:
        """Units sold in each week (weeks,) at one price throughout, no more than the stock.

        Examples
        --------
        >>> case = ItemCase("tee", date(2018, 1, 1), 10.0, 10.0, 7.0, None, 0.0, "revenue", np.array([2.0, 2.0]), -2.0)
        >>> case.sold(10.0).tolist(), case.sold(5.0).tolist(), round(case.worth(5.0), 2)
        ([2.0, 2.0], [7.0, 0.0], 35.0)
        """
        answer = (price / self.regular) ** (self.elasticity if elasticity is None else elasticity)
        reached = np.minimum((self.units * answer).cumsum(), self.on_hand)
        return np.diff(reached, prepend=0.0)

    def worth(self, price: float, elasticity: float | None = None) -> float:
        """What one price throughout brings: revenue or margin, as the plan's goal is, and the worth of what is left."""
        sold = float(self.sold(price, elasticity).sum())
        cost = float(self.unit_cost or 0.0) if self.goal == "margin" else 0.0
        left = self.on_hand - sold
        return (price - cost) * sold + (self.salvage - cost if self.salvage else 0.0) * left


def worth_of_weeks(case: ItemCase, weeks: Sequence[Mapping[str, Any]]) -> float:
    """What the advised prices of an item bring, counted as `ItemCase.worth` counts."""
    sold = sum(float(week["units"] or 0.0) for week in weeks)
    cost = float(case.unit_cost or 0.0) if case.goal == "margin" else 0.0
    made = sum((float(week["price"]) - cost) * float(week["units"] or 0.0) for week in weeks)
    return made + (case.salvage - cost if case.salvage else 0.0) * max(case.on_hand - sold, 0.0)


def worth_figure(
    case: ItemCase, weeks: Sequence[Mapping[str, Any]], currency: str, scheme: theme.Scheme
) -> tuple[go.Figure, str]:
    """Return what the item is worth over its price, with the interval of the elasticity's, and the same in words."""
    colours = theme.PALETTES[scheme]
    advised = spans(weeks)
    lowest = min([0.45 * case.regular, *(0.9 * price for price, _ in advised)])
    prices = np.linspace(lowest, max(case.regular, case.before) * 1.03, _STEPS)
    first = weeks[0]
    ends = [first["elasticity_lower"], first["elasticity_upper"]]
    curve = [case.worth(float(p)) for p in prices]
    figure = go.Figure()
    if all(end is not None for end in ends):
        both = np.array([[case.worth(float(p), float(end)) for p in prices] for end in ends])
        figure.add_trace(
            go.Scatter(
                x=[*prices, *prices[::-1]], y=[*both.max(axis=0), *both.min(axis=0)[::-1]], fill="toself",
                fillcolor=colours.band, line={"width": 0}, name="90% interval", hoverinfo="skip",
            )
        )  # fmt: skip
    what = "Margin" if case.goal == "margin" else "Revenue"
    sign = formats.symbol(currency)
    figure.add_trace(
        go.Scatter(
            x=prices, y=curve, name=what, mode="lines", line={"color": colours.accent, "width": 2.5},
            hovertemplate=f"{sign}%{{x:.2f}}: {sign}%{{y:,.0f}}<extra></extra>",
        )
    )  # fmt: skip
    now = case.worth(case.before)
    figure.add_trace(
        go.Scatter(
            x=[case.before], y=[now], mode="markers+text", name="Price now", text=["now"], textposition="bottom center",
            marker={"size": 11, "color": colours.surface, "line": {"color": colours.ink, "width": 2}},
            hovertemplate=f"now {sign}%{{x:.2f}}<extra></extra>",
        )
    )  # fmt: skip
    figure.add_trace(
        go.Scatter(
            x=[price for price, _ in advised], y=[case.worth(price) for price, _ in advised], mode="markers+text",
            name="Advice", text=[f"week {week}" for _, week in advised], textposition="top center",
            marker={"size": 12, "symbol": "diamond", "color": colours.models[1],
                    "line": {"color": colours.surface, "width": 1.5}},
            hovertemplate=f"advice {sign}%{{x:.2f}}<extra></extra>",
        )
    )  # fmt: skip
    figure.update_layout(
        template=theme.template(scheme),
        xaxis={"title": {"text": "Price throughout the plan"}, "tickprefix": sign, "tickformat": ",.2f"},
        yaxis={"title": {"text": f"{what}{' and salvage' if case.salvage else ''}"}, "tickprefix": sign},
    )
    plan = worth_of_weeks(case, weeks)
    more = plan - now
    says = (
        f"At {formats.money(case.before, currency)}, the price now, the item is worth "
        f"{formats.money(now, currency)} over the plan; as advised {formats.money(plan, currency)}, "
        f"{'+' if more >= 0 else '−'}{formats.money(abs(more), currency)}."
    )
    return figure, says


def spans(weeks: Sequence[Mapping[str, Any]]) -> list[tuple[float, int]]:
    """Return the advised prices, each with the number of the week it begins in.

    Examples
    --------
    >>> spans([{"price": 9.0}, {"price": 9.0}, {"price": 7.0}])
    [(9.0, 1), (7.0, 3)]
    """
    found: list[tuple[float, int]] = []
    for number, week in enumerate(weeks, start=1):
        if not found or found[-1][0] != float(week["price"]):
            found.append((float(week["price"]), number))
    return found


def stock_figure(
    case: ItemCase,
    weeks: Sequence[Mapping[str, Any]],
    scheme: theme.Scheme,
    otherwise: Sequence[float] | None = None,
) -> tuple[go.Figure, str]:
    """Return the stock at each week's start, as planned and without a change, and the same in words.

    ``otherwise`` is what sells week by week on other terms, where these change the item.
    """
    colours = theme.PALETTES[scheme]
    days = [case.starts + timedelta(weeks=t) for t in range(len(case.units) + 1)]
    sold = [float(week["units"] or 0.0) for week in weeks]
    planned = [float(week["on_hand"] or 0.0) for week in weeks]
    planned.append(max(planned[-1] - sold[-1], 0.0))
    start = planned[0]
    unchanged = start - np.concatenate([[0.0], np.minimum(case.sold(case.before).cumsum(), start)])
    figure = go.Figure()
    lines = [
        ("Without a change", unchanged.tolist(), days, colours.muted, "dot"),
        ("As advised", planned, days[: len(planned)], colours.accent, "solid"),
    ]
    anew = [] if otherwise is None else [max(start - sum(otherwise[:t]), 0.0) for t in range(len(otherwise) + 1)]
    if anew:
        lines.append(("Planned otherwise", anew, days[: len(anew)], colours.models[1], "dash"))
    for name, y, x, colour, dash in lines:
        figure.add_trace(
            go.Scatter(
                x=x, y=y, name=name, mode="lines+markers", marker={"size": 6},
                line={"color": colour, "width": 2.5 if dash == "solid" else 1.75, "dash": dash},
                hovertemplate="%{y:,.1f}",
            )
        )  # fmt: skip
    figure.update_layout(
        template=theme.template(scheme),
        hovermode="x unified",
        xaxis={"tickformat": "%-d %b", "tickvals": days, "hoverformat": "%-d %b %Y"},
        yaxis={"title": {"text": "Units left"}, "rangemode": "tozero"},
    )
    says = (
        f"Of {formats.count(start)} units {formats.count(planned[-1])} are left after {len(weeks)} weeks; "
        f"{formats.count(float(unchanged[-1]))} without a change"
        + (f", {formats.count(anew[-1])} as planned otherwise below." if anew else ".")
    )
    return figure, says


def history_figure(
    rows: Sequence[Mapping[str, Any]],
    weeks: Sequence[Mapping[str, Any]],
    currency: str,
    scheme: theme.Scheme,
) -> tuple[go.Figure, str]:
    """Return prices paid and units sold by week, with the advised prices after them, and the same in words."""
    colours = theme.PALETTES[scheme]
    sign = formats.symbol(currency)
    figure = go.Figure()
    days = [row["week"] for row in rows]
    figure.add_trace(
        go.Bar(
            x=days, y=[row["units"] for row in rows], name="Units", yaxis="y2", marker={"color": colours.line},
            hovertemplate="%{y:,.0f} units",
        )
    )  # fmt: skip
    figure.add_trace(
        go.Scatter(
            x=days, y=[row["regular_price"] for row in rows], name="Regular price", mode="lines",
            line={"color": colours.muted, "width": 1.5, "dash": "dot", "shape": "hv"},
            hovertemplate=f"{sign}%{{y:.2f}}",
        )
    )  # fmt: skip
    figure.add_trace(
        go.Scatter(
            x=days, y=[row["price"] for row in rows], name="Price paid", mode="lines", connectgaps=False,
            line={"color": colours.accent, "width": 2.25, "shape": "hv"}, hovertemplate=f"{sign}%{{y:.2f}}",
        )
    )  # fmt: skip
    if weeks and not weeks[0]["reason"]:
        last = weeks[-1]["week"] + timedelta(days=7)
        figure.add_trace(
            go.Scatter(
                x=[*(week["week"] for week in weeks), last],
                y=[*(float(week["price"]) for week in weeks), float(weeks[-1]["price"])],
                name="Advice", mode="lines", line={"color": colours.models[1], "width": 2.5, "shape": "hv"},
                hovertemplate=f"{sign}%{{y:.2f}}",
            )
        )  # fmt: skip
    figure.update_layout(
        template=theme.template(scheme),
        hovermode="x unified",
        bargap=0.15,
        xaxis={"tickformat": "%b %Y", "hoverformat": "%-d %b %Y"},
        yaxis={"title": {"text": "Price"}, "tickprefix": sign, "domain": [0.34, 1], "rangemode": "tozero"},
        yaxis2={"title": {"text": "Units"}, "domain": [0, 0.24], "anchor": "x", "nticks": 3},
    )
    paid = [row["price"] for row in rows if row["price"] is not None and row["price_rule"] == "sold"]
    if not paid:
        return figure, "No sale is known."
    sold = formats.count(sum(float(row["units"]) for row in rows))
    says = (
        f"{sold} units in {len(rows)} weeks, at {formats.money(min(paid), currency)} to "
        f"{formats.money(max(paid), currency)}; lately {formats.money(paid[-1], currency)}."
    )
    return figure, says
