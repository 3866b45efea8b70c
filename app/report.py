"""A page as one self-contained HTML file: numbers with their sources, figures that answer the mouse, no network."""

import base64
from collections.abc import Iterator, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from flask import Flask, Response, request

from . import access, formats
from .components import states
from .components.provenance import model_label
from .routes import NotThere, json_answer
from .snapshot_data import SnapshotGap
from .static_html import StaticHtml

if TYPE_CHECKING:
    from dash.development.base_component import Component

    from .data import AppData
    from .pages import Page
    from .snapshot_data import SnapshotData

_LONGEST_QUERY = 150_000  # an id of 10,000 characters is twelve times as long in an address
_STYLE = """
body { background: var(--ground); }
main { max-width: 1200px; margin: 0 auto; padding: 28px 32px 48px; }
main > section { margin-bottom: 18px; }
main > section > h2 { font-size: 15.5px; font-weight: 640; margin-bottom: 12px; }
.source-details { margin-top: 6px; font-size: 12.5px; }
.source-details summary { cursor: pointer; color: var(--muted); }
.source-details pre { overflow: auto; padding: 12px; background: var(--raised); white-space: pre-wrap; }
.kpi-meaning { -webkit-line-clamp: none; }
@media print { .source-details { display: none; } main > section { break-inside: avoid; } }
"""


def register(server: Flask, data: "AppData", pages: Sequence["Page"]) -> None:
    """Add the route ``/report/PAGE.html``."""
    known = {page_name(page): page for page in pages if page.report is not None}

    @server.get("/report/<name>.html")
    def page_report(name: str) -> Response:
        if name not in known:
            raise NotThere(f"no report {name[:40]!r}; there are {', '.join(known)}")
        person = access.require("viewer")
        query = request.query_string.decode("utf-8", "replace")
        if len(query) > _LONGEST_QUERY:
            return json_answer({"error": f"the link has {len(query):,} characters"}, status=400)
        pairs = [part for part in query.split("&") if part and not part.startswith("run=")]
        snapshot = data.snapshot(request.args.get("run") or None)
        search = "?" + "&".join(pairs) if pairs else ""
        text = "".join(report_parts(known[name], snapshot, search))
        data.state.audit(person.name, "export report", name, run=snapshot.run_id, search=search[:500])
        filename = f"{name}_{snapshot.as_of}_{snapshot.run_id[:8]}.html"
        return Response(
            text,
            mimetype="text/html",
            headers={"Content-Disposition": f'attachment; filename="{filename}"', "Cache-Control": "no-store"},
        )


def page_name(page: "Page") -> str:
    """Return the name of a page in addresses.

    Examples
    --------
    >>> from regulars.app.pages import overview
    >>> page_name(overview.PAGE)
    'overview'
    """
    return page.path.strip("/") or "overview"


def report_parts(page: "Page", data: "SnapshotData", search: str) -> Iterator[str]:
    """Write a page for a snapshot and the query part of its address as one HTML document, part by part."""
    writer = StaticHtml()
    sections = [
        f'<section class="card"><h2>{escape(title)}</h2>{writer.write(part)}</section>'
        for title, part in _parts(page, data, search)
    ]
    facts = [("As of", formats.day(data.as_of)), ("Run", data.run_id)]
    version = page.models(data)
    if version:
        facts.append(("Model", model_label(version)))
    if search:
        facts.append(("Filter", search.removeprefix("?")))
    stamp = "".join(f"<div><dt>{name}</dt><dd>{escape(text)}</dd></div>" for name, text in facts)
    yield '<!DOCTYPE html>\n<html lang="en" data-mantine-color-scheme="light">\n<head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    name = escape(page.name)
    yield f"<title>{name} · regulars · {data.as_of}</title><style>{_style()}{_STYLE}</style></head>\n<body><main>"
    yield f'<header class="page-head"><div><h1>{name}</h1><p class="question">{escape(page.question)}</p></div>'
    yield f'<dl class="stamp">{stamp}</dl></header>\n'
    yield from sections
    yield "</main>"
    if writer.figures:
        yield f"<script>{_plotly()}</script>\n"
        for place, figure in writer.figures:
            yield (
                f"<script>(function (f) {{ Plotly.newPlot({place!r}, f.data, f.layout, "
                f"{{displayModeBar: false, responsive: true}}); }})({figure});</script>\n"
            )
    yield "</body></html>\n"


def _parts(page: "Page", data: "SnapshotData", search: str) -> "Sequence[tuple[str, Component]]":
    assert page.report is not None
    try:
        return page.report(data, search)
    except SnapshotGap as error:  # the page says so, too, in place of all of it
        return [(page.name, states.problem(error))]


@cache
def _style() -> str:
    assets = files(__name__.rpartition(".")[0]).joinpath("assets")
    font = base64.b64encode(assets.joinpath("inter-latin.woff2").read_bytes()).decode("ascii")
    sheets = sorted(one.name for one in assets.iterdir() if one.name.endswith(".css"))
    text = "\n".join(assets.joinpath(name).read_text(encoding="utf-8") for name in sheets)
    text = text.replace('url("inter-latin.woff2")', f'url("data:font/woff2;base64,{font}")')
    return text.replace('url("favicon.svg")', "none")


@cache
def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()
