"""State that lives in the URL: what a control shows and what the address says are kept the same, both ways.

A link restores the page, the back button goes back, and no control needs code of its own: a page lists its fields, and
one clientside callback (``assets/regulars.js``) reads and writes them all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from dash import ClientsideFunction, Dash, Input, Output, State, dcc
from dash.development.base_component import Component

Kind = Literal["text", "list", "one", "choice", "low", "high"]


@dataclass(frozen=True)
class UrlField:
    """One control's property and the key of the URL that holds it.

    ``list`` is parted by commas (`url_lists`), ``one`` is a list of at most one value. ``low`` and ``high`` are the
    two ends of one range ``key=low..high``; ``scale`` is what a control's number is divided by to become the URL's.
    ``default`` is left out of the URL.
    """

    key: str
    component_id: str
    kind: Kind
    prop: str = "value"
    default: Any = None
    scale: float = 1


def url_store(page: str, fields: Sequence[UrlField], defaults: Mapping[str, Any] | None = None) -> Component:
    """Return the hidden description of a page's fields that the browser's side reads.

    ``defaults`` replaces the defaults of some keys by what this snapshot calls for, such as the winning model.
    """
    known = [replace(field, default=(defaults or {}).get(field.key, field.default)) for field in fields]
    return dcc.Store(id=f"{page}-url-fields", data=[asdict(field) for field in known])


def keep_in_url(app: Dash, page: str, fields: Sequence[UrlField]) -> None:
    """Keep the fields of a page and the query part of the URL the same.

    The address is written by the browser's side itself: as an output it would make Dash run this on every page.
    """
    properties = [(field.component_id, field.prop) for field in fields]
    app.clientside_callback(
        ClientsideFunction("regulars", "syncUrl"),
        [Output(*target) for target in properties],
        [Input("url", "search"), *(Input(*target) for target in properties)],
        [State(f"{page}-url-fields", "data")],
    )
