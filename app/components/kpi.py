"""KPI cards: one figure each with its interval, its change since the last snapshot, and its source."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dash import html
from dash.development.base_component import Component

from .. import formats
from .provenance import Source, disclosure, model_label

if TYPE_CHECKING:
    from datetime import date

_INITIALISMS = {"kpi": "KPI", "p": "P", "nbd": "NBD", "mae": "MAE"}


def label(name: str) -> str:
    """Write the name of a figure as words.

    Examples
    --------
    >>> label("expected_orders")
    'Expected orders'
    """
    words = [_INITIALISMS.get(word, word) for word in name.split("_")]
    text = " ".join(words)
    return text[:1].upper() + text[1:]


def kpi_card(
    row: Mapping[str, Any],
    source: Source,
    currency: str,
    before: "tuple[date, float] | None" = None,
    *,
    lead: bool = False,
    missing: str = "",
) -> Component:
    """Return the card of one row of ``kpis``.

    Parameters
    ----------
    row : mapping
        ``kpi``, ``value``, ``low``, ``high``, ``unit``, ``as_of``, ``meaning``.
    source : Source
    currency : str
        ISO code, for amounts.
    before : (date, float), optional
        The figure of the last snapshot and its as-of date.
    lead : bool
        The first figure of the page, written larger.
    missing : str
        Why there is no figure, such as ``312 of 500 customers``; said where the value is missing.
    """
    title, unit = label(row["kpi"]), row["unit"]
    if missing or row["value"] is None:
        figure: Component = html.P(
            ["Not enough data", html.Small(f" ({missing})" if missing else "")], className="kpi-none"
        )
        interval = moved = None
    else:
        figure = html.P(formats.figure(row["value"], unit, currency), className="kpi-value")
        interval = _interval(row, unit, currency)
        moved = _change(row["value"], before, unit)
    return html.Article(
        [
            html.H3(title),
            figure,
            html.Div([interval, moved], className="kpi-notes"),
            html.P(row["meaning"], className="kpi-meaning", title=row["meaning"]),
            html.Div(
                [
                    html.P(formats.day(row["as_of"])),
                    disclosure(title, source),
                    html.P(model_label(source.model), title=source.model) if source.model else None,
                ],
                className="kpi-source",
            ),
        ],
        className="kpi kpi-lead" if lead else "kpi",
    )


def kpi_line(
    row: Mapping[str, Any],
    source: Source,
    currency: str,
    before: "tuple[date, float] | None" = None,
    *,
    missing: str = "",
) -> Component:
    """Return a figure as one line: what stands behind the cards. Parameters as for :func:`kpi_card`."""
    title, unit = label(row["kpi"]), row["unit"]
    parts: list[Component | str | None]
    if missing or row["value"] is None:
        parts = ["not enough data" + (f" ({missing})" if missing else "")]
    else:
        figure = html.Strong(formats.figure(row["value"], unit, currency))
        parts = [figure, _interval(row, unit, currency), _change(row["value"], before, unit)]
    return html.Div(
        [
            html.Dt([html.Span(title, title=row["meaning"]), disclosure(title, source)]),
            html.Dd([part for part in parts if part is not None]),
        ]
    )


def _interval(row: Mapping[str, Any], unit: str, currency: str) -> Component | None:
    if row["low"] is None or row["high"] is None:
        return None
    low, high = (formats.figure(row[end], unit, currency) for end in ("low", "high"))
    return html.Span([html.Abbr("80%", title="80% interval"), f" {low}\u2009–\u2009{high}"], className="kpi-interval")


def _change(value: float, before: "tuple[date, float] | None", unit: str) -> Component | None:
    if before is None:
        return None
    moved = formats.change(value, before[1], unit)
    if not moved:
        return None
    return html.Span([html.Strong(moved), f" since {formats.day(before[0])}"], className="kpi-change")
