"""The server: its headers, its hosts, its pages when all is well and when something is missing."""

import csv
import json
import re
import shutil
import socket
from pathlib import Path

import pytest

import regulars
from regulars.app.components.provenance import model_label
from regulars.app.security import is_loopback
from regulars.app.server import PAGES, create_server, serve
from regulars.sql.errors import SettingsError

ASSETS = Path(regulars.__file__).parent / "app" / "assets"


def texts(part) -> str:
    return json.dumps(part, ensure_ascii=False)


@pytest.fixture
def make_app(synthetic, tmp_path):
    """An app over a warehouse of its own, and the warehouse."""

    def make(**options):
        house = tmp_path / "warehouse"
        if options:
            synthetic.write_snapshot(house, **options)
        return create_server(house, threads=1, warm=False), house

    return make


# ---------------------------------------------------------------- headers and hosts


def test_scripts_run_from_here_alone(client):
    answer = client.get("/")
    policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert set(policy["script-src"].split()) >= {"'self'"}
    assert "unsafe" not in policy["script-src"]
    assert "*" not in answer.headers["Content-Security-Policy"]
    assert policy["frame-ancestors"] == "'none'"
    for script in re.findall(r"<script(?![^>]*application/json)[^>]*>", answer.get_data(as_text=True)):
        assert "src=" not in script or 'src="/' in script, script


@pytest.mark.parametrize("path", ["/", "/customers", "/rows/customers", "/export/customers.csv", "/healthz", "/rows/x"])
def test_every_answer_has_the_headers(client, path):
    headers = client.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "no-store"


def test_scripts_and_styles_that_are_named_by_their_age_are_kept_and_nothing_else(client):
    page = client.get("/").get_data(as_text=True)
    named = re.findall(r'(?:src|href)="(/assets/[^"]+\?m=[^"]+)"', page)
    assert {path.partition("?")[0].rpartition(".")[2] for path in named} == {"js", "css"}
    for path in named:
        with client.get(path) as answer:
            assert answer.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    for path in ("/assets/early.js", "/assets/inter-latin.woff2", "/assets/gone.js?m=1", "/healthz?m=1"):
        with client.get(path) as answer:
            assert "immutable" not in answer.headers.get("Cache-Control", "")


def test_no_asset_names_an_address_outside():
    namespaces = {"http://www.w3.org/2000/svg"}
    for path in ASSETS.iterdir():
        if path.suffix in {".js", ".css", ".svg"}:
            assert set(re.findall(r"(?:https?:)?//[a-z][\w.-]+\.[a-z]{2,}[\w./-]*", path.read_text())) <= namespaces, (
                path
            )


def test_no_script_of_ours_makes_code_or_markup_from_text():
    for path in ASSETS.glob("*.js"):
        assert not re.search(
            r"\beval\b|new Function|innerHTML|outerHTML|insertAdjacentHTML|document\.write", path.read_text()
        )


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("127.0.0.1:8050", 200),
        ("[::1]:8050", 200),
        ("evil.example", 400),
        ("evil.example:8050", 400),
        ("127.0.0.1.evil.example", 400),
        ("0.0.0.0:8050", 400),
    ],
)
def test_another_name_for_this_address_is_refused(client, host, status):
    assert client.get("/healthz", headers={"Host": host}).status_code == status


def test_another_site_may_not_post(client):
    headers = {"Sec-Fetch-Site": "cross-site"}
    assert client.post("/_dash-update-component", json={}, headers=headers).status_code == 403


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "10.0.0.1", "example.com", "", "127.0.0.1.nip.io"])
def test_off_loopback_it_refuses_to_start_without_sign_in(host, tmp_path):
    assert not is_loopback(host)
    with pytest.raises(SettingsError, match=r"no sign-in.*no secret: set REGULARS_APP__SECRET"):
        serve(tmp_path, host=host)


def test_a_port_that_is_taken_is_named(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"port {port} of 127.0.0.1 cannot be used.*--port {port + 1}"):
            serve(tmp_path, port=port)


def test_health(client, make_app):
    assert client.get("/healthz").get_json() == {"status": "ok", "run": "5eed000000000001"}
    app, _ = make_app()
    answer = app.server.test_client().get("/healthz")
    assert answer.status_code == 503
    assert answer.get_json()["status"] == "no snapshot"


# ---------------------------------------------------------------- pages


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_opens_with_one_heading_its_question_and_where_it_speaks_from(app, call, snapshot, page):
    shown = call(app, "..page.children", page.path, None, state=("",))
    text = texts(shown["page"]["children"])
    assert text.count('"type": "H1"') == 1
    assert page.question in text
    for said in ("31 Dec 2017", "5eed0000", model_label(page.models(snapshot))):
        assert said in text
    # the models of its own numbers, none where it counts
    scores = "MBG/NBD 3f9a1c + Gamma-Gamma 0b7c5d"
    assert (scores in text) == (page.name not in {"Cohorts", "Churn", "Uplift", "Pricing", "Data"})
    assert shown["run"]["data"] == "5eed000000000001"


SECTIONS = [
    ("overview-kpis.children", ()),
    ("overview-tracking.children", ("cumulative", ["mbg_nbd", "nbd"], "dark")),
    ("overview-concentration.children", ("light",)),
    ("overview-segments.children", ()),
    ("overview-trust.children", ()),
    ("customers-totals.children", ("?segment=best",)),
    ("..heatmap.figure", ("?segment=best", "value", "dark")),
]


@pytest.mark.parametrize(("output", "inputs"), SECTIONS, ids=[output for output, _ in SECTIONS])
def test_every_section_shows_numbers_with_their_sql(app, call, output, inputs):
    text = texts(call(app, output, "5eed000000000001", *inputs))
    assert "state-title" not in text
    assert "SELECT" in text
    assert "31 Dec 2017" in text


def test_figures_have_an_interval_and_a_change_since_the_last_snapshot(app, call):
    text = texts(call(app, "overview-kpis.children", "5eed000000000001"))
    assert "80% interval" in text
    assert "since 30 Nov 2017" in text


def test_an_unknown_address_says_where_the_pages_are(app, call):
    text = texts(call(app, "..page.children", "/nowhere", None, state=("",)))
    assert "No such page" in text
    assert "Overview, Customers" in text


def test_without_a_snapshot_a_page_names_the_commands(make_app, call):
    app, _ = make_app()
    text = texts(call(app, "..page.children", "/", None, state=("",)))
    assert "No snapshot yet" in text
    assert "regulars demo" in text
    assert "regulars build" in text


def test_a_snapshot_that_appears_is_offered(make_app, call, synthetic):
    app, house = make_app()
    assert call(app, "..newer.hidden", 1, state=(None,))["newer"]["hidden"] is True
    synthetic.write_snapshot(house, customers=600)
    shown = call(app, "..newer.hidden", 1, state=(None,))
    assert shown["newer"]["hidden"] is False
    assert "31 Dec 2017" in shown["newer-text"]["children"]
    assert call(app, "..newer.hidden", 2, state=("5eed000000000001",))["newer"]["hidden"] is True


def test_a_table_that_is_missing_takes_only_its_own_section_away(make_app, call):
    app, _ = make_app(customers=600, without=("order_tracking", "check_results"))
    page = texts(call(app, "..page.children", "/", None, state=("",)))
    assert "Overview" in page
    run = "5eed000000000001"
    text = texts(call(app, "overview-tracking.children", run, "weekly", [], "light"))
    assert "another version" in text
    assert "has no table order_tracking" in text
    assert "regulars build --force" in text
    assert "state-title" not in texts(call(app, "overview-segments.children", run))


def test_without_scores_the_list_of_customers_names_the_command(make_app, call):
    app, _ = make_app(customers=600, without=("customer_scores",))
    text = texts(call(app, "..page.children", "/customers", None, state=("",)))
    assert "has no table customer_scores" in text
    assert "regulars build --force" in text
    answer = app.server.test_client().get("/rows/customers")
    assert answer.status_code == 404
    assert "customer_scores" in answer.get_json()["error"]


def test_a_snapshot_that_disappears_is_named(make_app, call):
    app, house = make_app(customers=600)
    run = call(app, "..page.children", "/", None, state=("",))["run"]["data"]
    shutil.rmtree(house / "runs" / run)
    page = texts(call(app, "..page.children", "/", None, state=("",)))
    assert run in page
    assert "regulars runs" in page
    assert run in texts(call(app, "overview-segments.children", run))
    assert app.server.test_client().get(f"/rows/customers?run={run}").status_code == 404


def test_a_pointer_that_is_damaged_is_named(make_app, call):
    app, house = make_app(customers=600)
    (house / "current.json").write_text("{")
    assert "current.json" in texts(call(app, "..page.children", "/", None, state=("",)))


@pytest.mark.parametrize(
    "said", ["{", "[]", "{}", '{"as_of": "x", "tables": {}}', '{"as_of": "2017-12-01", "tables": 5}']
)
def test_a_manifest_that_is_damaged_is_named_and_takes_no_other_run_with_it(make_app, call, said):
    app, house = make_app(customers=600)
    other = house / "runs" / "0dd0000000000000"
    other.mkdir()
    (other / "manifest.json").write_text(said)
    client = app.server.test_client()
    for page in ("overview", "customers", "data", "models"):
        assert client.get(f"/report/{page}.html").status_code == 200
    assert "cannot be read" not in texts(call(app, "overview-kpis.children", "5eed000000000001"))
    assert "0dd0000000000000" in texts(call(app, "models-runs.children", "5eed000000000001"))
    current = house / "runs" / "5eed000000000001" / "manifest.json"
    current.write_text(said)
    client = make_app()[0].server.test_client()
    assert client.get("/metrics").status_code == 200
    for path in ("/rows/customers", "/export/customers.csv", "/report/overview.html"):
        answer = client.get(path)
        assert answer.status_code == 404
        assert "manifest.json: cannot be read" in answer.get_json()["error"]


def test_a_switch_is_picked_up_by_the_next_page(make_app, call, synthetic):
    app, house = make_app(customers=600)
    assert call(app, "..page.children", "/", None, state=("",))["run"]["data"] == "5eed000000000001"
    synthetic.write_snapshot(house, "5eed000000000002", customers=700)
    assert call(app, "..page.children", "/", None, state=("",))["run"]["data"] == "5eed000000000002"
    client = app.server.test_client()
    assert client.get("/rows/customers?end=1").get_json()["total"] == 700
    assert client.get("/rows/customers?end=1&run=5eed000000000001").get_json()["total"] == 600


def test_too_few_customers_show_counts_and_no_predictions(make_app, call):
    app, _ = make_app(customers=312)
    run = "5eed000000000001"
    kpis = texts(call(app, "overview-kpis.children", run))
    assert "312 of 500 customers" in kpis
    assert "80% interval" not in kpis
    tracking = texts(call(app, "overview-tracking.children", run, "weekly", [], "light"))
    assert "Not enough data (312 of 500 customers)" in tracking
    page = texts(call(app, "..page.children", "/customers", None, state=("",)))
    assert '"field": "customer_value"' not in page
    assert '"field": "revenue"' in page
    assert "P(alive)" not in texts(call(app, "customers-totals.children", run, ""))
    assert "80%" not in texts(call(app, "customers-totals.children", run, ""))
    client = app.server.test_client()
    columns = next(csv.reader([client.get("/export/customers.csv").get_data(as_text=True).partition("\n")[0]]))
    assert "revenue" in columns
    assert not {"customer_value", "probability_alive", "segment", "orders_low_50"} & set(columns)
    assert "customer_value" not in client.get("/rows/customers?start=0&end=3").get_json()["rows"][0]
    assert "P(alive)" not in client.get("/report/customers.html").get_data(as_text=True).partition("</main>")[0]
    drawn = texts(call(app, "..heatmap.figure", run, "", "alive", "light"))
    assert "repeat days, last" in drawn
    assert "P(alive)" not in drawn


def test_totals_have_intervals_where_the_snapshot_knows_them(make_app, app, call):
    run = app.server.extensions["regulars"].current_run()
    said = texts(call(app, "customers-totals.children", run, "?segment=best"))
    assert re.search(r"80% \$[\d,.kM]+ – \$[\d,.kM]+ · \d+% of all value", said)
    assert re.search(r"80% [\d,]+ – [\d,]+ in 52 weeks", said)
    assert len(re.findall(r"80% \$", texts(call(app, "overview-segments.children", run)))) >= 5
    older, _ = make_app(without=("portfolio_terms",))
    run = older.server.extensions["regulars"].current_run()
    for output, words in (("customers-totals.children", ("",)), ("overview-segments.children", ())):
        said = texts(call(older, output, run, *words))
        assert "80% $" not in said
        assert "a new snapshot has it for totals too: regulars build --force" in said


def test_a_model_that_calls_one_time_buyers_alive_for_certain_says_so(make_app, call, synthetic):
    app, house = make_app(customers=600)
    import duckdb

    path = house / "runs" / "5eed000000000001" / "customer_scores.parquet"
    with duckdb.connect() as connection:
        connection.execute(
            f"COPY (SELECT * REPLACE (CASE WHEN segment IN ('one_time', 'new') THEN 1.0 ELSE probability_alive END "
            f"AS probability_alive) FROM '{path}') TO '{path}.new' (FORMAT parquet)"
        )
    Path(f"{path}.new").replace(path)
    text = texts(call(app, "..heatmap.figure", "5eed000000000001", "", "alive", "light"))
    assert "one-time buyers alive for certain" in text
    assert "BG/NBD" in text


def test_a_deep_link_sets_the_controls_before_the_first_paint(app, call):
    page = texts(call(app, "..page.children", "/customers", None, state=("?segment=best&value=100..&sort=-revenue",)))
    assert '"id": "filter-value-low"' in page
    assert re.search(r'"value": 100(\.0)?\b', page)
    assert re.search(r'"field": "revenue"[^}]*\}?[^}]*"sort": "desc"', page)
