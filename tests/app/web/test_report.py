"""A page as one file: what the page shows, nothing from outside, text that stays text."""

import json
import re
from urllib.parse import quote

import pyarrow.parquet as pq
import pytest
from dash import dcc, html
from plotly import graph_objects as go

from regulars.app.components import model_versions
from regulars.app.components.provenance import model_label
from regulars.app.data import AppData
from regulars.app.report import page_name
from regulars.app.server import PAGES, create_server
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
        ("/report/overview.html?" + "x" * 150_001, 400),
    ],
)
def test_what_is_not_there_is_said(client, path, status):
    assert client.get(path).status_code == status


@pytest.mark.parametrize("customer", ["L" * 10_000, "\N{WRAPPED PRESENT}" * 10_000], ids=["letters", "emoji"])
def test_a_long_id_has_its_report(client, customer):
    answer = client.get(f"/report/customer.html?id={quote(customer, safe='')}")
    assert answer.status_code == 200


def test_an_export_leaves_its_line(client, synthetic, tmp_path):
    from datetime import date

    synthetic.write_snapshot(tmp_path / "w", "5eed0000000000aa", customers=600, as_of=date(2017, 11, 30))
    app = create_server(tmp_path / "w", threads=1, warm=False)
    app.server.test_client().get("/report/overview.html?view=cumulative")
    data = AppData(tmp_path / "w")
    (line,) = data.state.audit_lines()
    assert (line.action, line.subject) == ("export report", "overview")
    assert line.details == {"run": "5eed0000000000aa", "search": "?view=cumulative"}


@pytest.mark.parametrize(
    ("name", "models"),
    [
        ("overview", lambda data: data.model_version),
        ("cohorts", lambda data: ""),
        ("data", lambda data: ""),
        ("uplift", model_versions.of_campaigns),
        ("pricing", model_versions.of_plans),
    ],
)
def test_the_head_names_the_models_of_its_own_numbers_alone(client, snapshot, name, models):
    head = re.search(r'<dl class="stamp">.*?</dl>', client.get(f"/report/{name}.html").get_data(as_text=True))
    said = re.findall(r"<dt>Model</dt><dd>(.*?)</dd>", head[0])
    assert said == [model_label(models(snapshot))] * bool(models(snapshot))
    assert bool(said) == (name not in {"cohorts", "data"})


@pytest.fixture(scope="module")
def bare(synthetic, tmp_path_factory):
    """A shop without campaigns, plans and churn: their tables are there, without a row; one of them is missing."""
    path = tmp_path_factory.mktemp("bare") / "w"
    run = synthetic.write_snapshot(path, "5eed0000000000bb", customers=600, without=("order_tracking",))
    for name in run.tables():
        if name.startswith(("campaign_", "uplift_", "markdown_", "churn_", "customer_churn")):
            file = run.table_path(name)
            pq.write_table(pq.read_schema(file).empty_table(), file)
    return create_server(path, threads=1, warm=False).server.test_client()


@pytest.mark.parametrize("page", WITH_REPORT, ids=page_name)
def test_a_shop_without_campaigns_plans_and_churn_has_its_reports(bare, page):
    answer = bare.get(f"/report/{page_name(page)}.html")
    text = answer.get_data(as_text=True)
    assert answer.status_code == 200
    if page_name(page) in {"uplift", "pricing", "churn"}:
        assert "<code>regulars build</code>" in text


def test_a_missing_table_takes_its_part_of_a_report_alone(bare):
    text = bare.get("/report/overview.html").get_data(as_text=True)
    assert "has no table order_tracking" in text
    assert "<code>regulars build --force</code>" in text
    assert "Reconciled to the cent" in text


def test_a_page_that_lacks_all_of_it_has_a_report_that_says_so(synthetic, tmp_path):
    lacking = ("campaign_effects", "markdown_plans")
    synthetic.write_snapshot(tmp_path / "w", "5eed0000000000cc", customers=600, without=lacking)
    asked = create_server(tmp_path / "w", threads=1, warm=False).server.test_client()
    for page, table in zip(("uplift", "pricing"), lacking, strict=True):
        answer = asked.get(f"/report/{page}.html")
        assert answer.status_code == 200
        assert f"has no table {table}" in answer.get_data(as_text=True)


@pytest.mark.parametrize("query", ["plan=nowhere", "item=nobody"])
def test_a_plan_or_item_that_is_not_there_is_no_fault_of_ours(client, query):
    assert client.get(f"/report/pricing.html?{query}").status_code == 404


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
