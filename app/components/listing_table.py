"""The first rows of a listing as a plain table: what a report shows in place of a grid."""

from typing import TYPE_CHECKING, Any

from dash import html
from dash.development.base_component import Component

from .. import formats
from ..listing import Column, ListFilters
from .segments import LABELS

if TYPE_CHECKING:
    from ..snapshot_data import SnapshotData

ROWS = 100
_RIGHT = {"money", "count", "decimal", "share", "days", "date"}


def listing_table(data: "SnapshotData", filters: ListFilters, *, rows: int = ROWS) -> Component:
    """Return the first rows of the chosen ones in their sort, at most 200, and say how many there are in all."""
    page, total = data.page(filters, 0, rows)
    columns = [column for column in data.columns(filters.listing) if column.shown]
    side = {c.name: "num" if c.format in _RIGHT else None for c in columns}
    head = html.Tr([html.Th(c.label, scope="col", className=side[c.name], title=c.meaning) for c in columns])
    body = [
        html.Tr([html.Td(written(row.get(c.name), c, data.currency), className=side[c.name]) for c in columns])
        for row in page
    ]
    nouns = filters.listing.nouns
    says = f"The first {len(page):,} of {total:,} {nouns}." if total > len(page) else f"All {total:,} {nouns}."
    return html.Div(
        [
            html.Div(html.Table([html.Thead(head), html.Tbody(body)], className="table"), className="table-scroll"),
            html.P(says, className="question"),
        ]
    )


def written(value: Any, column: Column, currency: str) -> str:
    """Write a cell as the grid does.

    Examples
    --------
    >>> written(0.437, Column("p", "P", "share", ""), "USD"), written(None, Column("p", "P", "share", ""), "USD")
    ('44%', '–')
    >>> written("at_risk", Column("s", "S", "segment", ""), "USD")
    'At risk'
    """
    if value is None:
        return formats.MISSING
    match column.format:
        case "money":
            return formats.money(float(value), currency)
        case "share":
            return formats.share(float(value))
        case "decimal":
            return formats.count(float(value), decimals=1)
        case "count":
            return formats.count(value)
        case "days":
            return formats.days(value)
        case "date":
            return formats.day(value)
        case "segment":
            return LABELS.get(value, str(value))
        case "flag":
            return "yes" if value else "no"
        case _:
            return str(value)
