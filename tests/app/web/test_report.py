"""A page as one file: what the page shows, nothing from outside, text that stays text."""

import json
import re

import pytest
from dash import dcc, html
from plotly import graph_objects as go

from regulars.app.data import AppData
from regulars.app.report import page_name
from regulars.app.server import PAGES
from regulars.app.static_html import StaticHtml

# pages about one thing have a report of that thing: their own tests ask for it
WITH_REPORT = [page for page in PAGES if page.report is not None and page.in_menu]
NASTY = "</script><script>alert(1)</script>"


@pytest.mark.parametrize("page", WITH_REPORT, ids=page_name)
def test_every_page_is_one_whole_file(client, page, snapshot):
    answer = client.get(f"/report/{page_name(page)}.html")
    text = answer.get_data(as_text=True)
    assert answer.status_code == 200
    assert answer.headers["Content-Disposition"].endswith(
        f'{page_name(page)}_{snapshot.as_of}_{snapshot.run_id[:8]}.html"'
    )
    assert text.startswith("<!DOCTYPE html>")
    assert text.count("<h1>") == 1
    assert text.count("<h2>") >= 2
    body = re.sub(r"<(script|style)>.*?</\1>", "", text, flags=re.DOTALL)
    # no address but within the file
    assert re.findall(r'(?:src|href)="(?!data:)', body) == []
    assert "skeleton" not in body
    assert "could not be shown" not in body
    places = re.findall(r'<div id="(figure-\d+)"', body)
    assert sorted(places) == sorted(re.findall(r"Plotly\.newPlot\('(figure-\d+)'", text))


def test_the_overview_says_what_the_page_says(client, snapshot):
    text = client.get("/report/overview.html").get_data(as_text=True)
    for row in snapshot.kpis().records:
        assert row["meaning"].replace("&", "&amp;").replace("<", "&lt;").replace("'", "&#x27;") in text
    assert "Reconciled to the cent" in text
    assert "SELECT" in text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/report/nothing.html", 404),
        ("/report/overview.html?run=../../etc", 404),
        ("/report/overview.html?" + "x" * 100_001, 400),
    ],
)
def test_what_is_not_there_is_said(client, path, status):
    assert client.get(path).status_code == status


def test_an_export_leaves_its_line(client, synthetic, tmp_path):
    from datetime import date

    from regulars.app.server import create_server

    synthetic.write_snapshot(tmp_path / "w", "5eed0000000000aa", customers=600, as_of=date(2017, 11, 30))
    app = create_server(tmp_path / "w", threads=1, warm=False)
    app.server.test_client().get("/report/overview.html?view=cumulative")
    data = AppData(tmp_path / "w")
    (line,) = data.state.audit_lines()
    assert (line.action, line.subject) == ("export report", "overview")
    assert line.details == {"run": "5eed0000000000aa", "search": "?view=cumulative"}


def test_text_stays_text_in_elements_attributes_and_figures():
    graph = go.Figure(go.Bar(x=[NASTY], y=[1.0]))
    writer = StaticHtml()
    text = writer.write(
        html.Div(
            [NASTY, html.P("x", title=f'" onmouseover="{NASTY}'), dcc.Graph(figure=graph), dcc.Link(NASTY, href="/")]
        )
    )
    assert "<script" not in text
    assert 'onmouseover="<' not in text
    ((_, figure),) = writer.figures
    assert "<" not in figure
    assert json.loads(figure)["data"][0]["x"] == [NASTY]


def test_what_works_only_with_the_app_is_left_out():
    import dash_mantine_components as dmc

    shown = html.Div(
        [dmc.Slider(id="a"), dcc.Store(id="b", data=[1]), html.Button("Go"), html.A("to it", href="//evil"), "kept"]
    )
    assert StaticHtml().write(shown) == "<div><span>to it</span>kept</div>"
