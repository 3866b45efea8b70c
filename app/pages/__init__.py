"""The pages, one module each. A page answers one question; ``server.PAGES`` lists them in the order of the menu."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..components import model_versions

if TYPE_CHECKING:
    from dash import Dash
    from dash.development.base_component import Component

    from ..data import AppData
    from ..snapshot_data import SnapshotData


@dataclass(frozen=True)
class Page:
    """One page of the app.

    Parameters
    ----------
    path, name, icon : str
        Its address, its name in the menu and as heading, and the icon beside it.
    question : str
        What it answers, in the reader's words.
    layout : callable
        ``layout(data, search)`` gives the page for a snapshot and the query part of the URL, with skeletons in place of
        numbers; what it raises is shown as a state that helps.
    register : callable
        ``register(app, data)`` adds its callbacks and routes, once.
    report : callable, optional
        ``report(data, search)`` gives the page's parts as (title, component) with every number in place and nothing
        left to load: what the page is as one self-contained file.
    in_menu : bool
        Whether the menu leads to it; a page about one thing is reached from lists.
    needs_snapshot : bool
        False for a page that stands without one: its ``layout`` is given None where there is none.
    models : callable
        ``models(data)`` gives the versions of the models that its numbers come from, "" where it counts.
    """

    path: str
    name: str
    icon: str
    question: str
    layout: "Callable[[SnapshotData, str], Component] | Callable[[SnapshotData | None, str], Component]"
    register: "Callable[[Dash, AppData], None]"
    report: "Callable[[SnapshotData, str], Sequence[tuple[str, Component]]] | None" = None
    in_menu: bool = True
    needs_snapshot: bool = True
    models: "Callable[[SnapshotData], str]" = model_versions.of_scores
