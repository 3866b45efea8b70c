"""A table of models or runs, a row each: what it is at the head of the row, figures beside."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from dash import html
from dash.development.base_component import Component

from .aria import aria
from .tracking import model_name


def model_table(
    heads: Sequence[str],
    body: Sequence[Sequence[Any]],
    label: str,
    *,
    best: int | None = None,
    meanings: Mapping[str, str] = MappingProxyType({}),
) -> Component:
    """Return the table, which scrolls sideways; ``best`` is the row to stand out, ``meanings`` are told of heads."""
    head = [
        html.Th(name, scope="col", title=meanings.get(name), className="num" if place else None) if name else html.Td()
        for place, name in enumerate(heads)
    ]
    rows = [
        html.Tr(
            [html.Th(cells[0], scope="row"), *(html.Td(cell, className="num") for cell in cells[1:])],
            className="strong" if place == best else None,
        )
        for place, cells in enumerate(body)
    ]
    table = html.Table([html.Thead(html.Tr(head)), html.Tbody(rows)], className="table models-table")
    return html.Div(table, className="table-scroll", tabIndex=0, role="region", **aria(label=label))


def named(name: str, note: str) -> list[Any]:
    """Return the head of a row: a model's name as people say it, or a text as it is, with a note beside."""
    return [model_name(name) if name.islower() else name, html.Span(note, className="table-note") if note else None]
