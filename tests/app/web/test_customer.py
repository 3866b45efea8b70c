"""One customer's page: every number beside pandas on the same snapshot, hard ids, and ids that nobody has."""

from datetime import date
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from regulars import clv
from regulars.app import customer_record
from regulars.app.components import customer_outlook, customer_parts, customer_timeline
from regulars.app.data import AppData
from regulars.app.pages import customer


def text_of(part) -> str:
    """All text of a component, of objects or of their JSON."""
    if isinstance(part, dict):
        return text_of(part.get("props", part).get("children"))
    if part is None or isinstance(part, (str, int, float)):
        return "" if part is None else str(part)
    if isinstance(part, (list, tuple)):
        return " ".join(map(text_of, part))
    return text_of(getattr(part, "children", None))


def links_of(part) -> list[str]:
    """All addresses that a JSON component leads to."""
    if isinstance(part, list):
        return [one for child in part for one in links_of(child)]
    if not isinstance(part, dict):
        return []
    props = part.get("props", {})
    return ([props["href"]] if "href" in props else []) + links_of(props.get("children"))


@pytest.fixture(scope="module")
def tables(snapshot) -> dict[str, pd.DataFrame]:
    names = ("customer_scores", "customer_summary", "customer_churn", "customer_intervals")
    return {name: snapshot.snapshot.read(name).to_pandas().set_index("customer_id") for name in names}


@pytest.fixture(scope="module")
def busy(tables) -> str:
    """A customer of many purchase days."""
    return str(tables["customer_summary"]["frequency"].idxmax())


@pytest.fixture
def shown(app, call, snapshot):
    def shown_(customer_id: str, scheme: str = "light"):
        search = "?" + customer_parts.customer_link(customer_id).partition("?")[2]
        return call(app, "customer-body", snapshot.run_id, search, scheme)["customer-body"]["children"]

    return shown_


def test_the_record_equals_the_tables(snapshot, tables, busy):
    row = snapshot.ask("customer_record", {"customer": busy}).records[0]
    for name, frame in tables.items():
        given = frame.loc[busy].drop(["as_of"], errors="ignore")
        if name == "customer_churn":
            given = given.drop("model_version").rename({"probability_no_order": "churn_no_order"})
        for column, value in given.items():
            if value is None or value != value:
                assert row[column] is None
            else:
                assert row[column] == value, (name, column)


def test_the_page_says_what_the_tables_say(shown, snapshot, tables, busy):
    text = text_of(shown(busy))
    score, churn = tables["customer_scores"].loc[busy], tables["customer_churn"].loc[busy]
    assert f"${score['customer_value']:,.2f}" in text or f"${score['customer_value']:,.0f}" in text
    assert "P(no order in 30 d)" in text
    assert f"{100 * churn['probability_no_order']:.0f}%" in text
    assert str(int(tables["customer_summary"].loc[busy, "frequency"])) in text
    assert snapshot.run_id[:8] in text


def test_the_path_is_that_of_the_model_and_ends_with_today(snapshot, busy):
    days = [row["day"] for row in snapshot.ask("customer_timeline", {"customer": busy}).records]
    path = customer_record.alive_path(snapshot, days)
    model = clv.load_model(snapshot.snapshot.model_path("mbg_nbd"))
    first, last, until = days[0], days[-1], snapshot.as_of
    now = {"frequency": [len(days) - 1], "recency": [(last - first).days / 7], "T": [(until - first).days / 7]}
    assert path.now == pytest.approx(float(model.probability_alive(now)[0]), rel=1e-12)
    assert path.days[0] == first
    assert path.days[-1] == until
    assert set(days) <= set(path.days)
    assert len(path.days) < 2 * len(days) + 1.1 * 600 + 2


def test_a_path_over_decades_stays_small(snapshot):
    path = customer_record.alive_path(snapshot, [date(1990, 1, 1), date(1999, 5, 5), date(2005, 6, 7)])
    assert len(path.days) < 700
    assert path.lowest[1] == min(path.probability)


def test_the_timeline_equals_the_days(snapshot, busy):
    rows = snapshot.ask("customer_timeline", {"customer": busy}).records
    frame = snapshot.snapshot.read("customer_days").to_pandas()
    mine = frame[frame["customer_id"] == busy]
    assert [row["day"] for row in rows] == mine["day"].tolist()
    assert [row["net_revenue"] for row in rows] == (mine["revenue"] - mine["returned_revenue"]).tolist()
    drawn = customer_timeline.timeline_figure(rows, None, snapshot.as_of, "USD", "light")
    assert list(drawn.data[-1].y) == [float(row["net_revenue"]) for row in rows]
    assert f"{len(rows)} purchase days" in customer_timeline.timeline_message(rows, None, snapshot.as_of)


def test_intervals_are_nested_as_the_table_has_them(snapshot, tables, busy):
    row = snapshot.ask("customer_record", {"customer": busy}).records[0]
    drawn = customer_outlook.outlook_figure(row, "orders", row["expected_orders"], "USD", "dark")
    mine = tables["customer_intervals"].loc[busy]
    for trace, level in zip(drawn.data, (90, 80, 50), strict=False):
        assert list(trace.x) == [mine[f"orders_low_{level}"], mine[f"orders_high_{level}"]]
    said = customer_outlook.outlook_message(row, "money", None, "USD")
    assert said.index("50%") < said.index("80%") < said.index("90%")


def test_earlier_snapshots_are_listed_latest_first(snapshot, busy):
    rows = customer_record.scores_over_runs(snapshot, busy)
    assert [row["run_id"] for row in rows] == ["5eed000000000001", "5eed000000000000"]
    assert [row["as_of"] for row in rows] == [date(2017, 12, 31), date(2017, 11, 30)]
    for row in rows:
        found = snapshot.warehouse.snapshot(row["run_id"]).read("customer_scores").to_pandas().set_index("customer_id")
        assert row["customer_value"] == found.loc[busy, "customer_value"]


def test_decisions_are_read_from_the_log(synthetic, tmp_path):
    synthetic.write_snapshot(tmp_path, customers=600)
    folder = tmp_path / "decisions"
    folder.mkdir()
    for day, arm in ((5, "mail"), (20, None)):
        pq.write_table(
            pa.table(
                {
                    "campaign": ["winter"] * 2,
                    "customer_id": ["C0000001", "C0000002"],
                    "arm": pa.array([arm, "control"]),
                    "sent_at": pa.array([date(2018, 1, day)] * 2).cast(pa.timestamp("us")),
                    "propensity": [0.5, 0.5],
                    "why": ["planned", "held out"],
                    "expected_profit": [1.25, 0.0],
                }
            ),
            folder / f"winter-{day}.parquet",
        )
    data = AppData(tmp_path)
    rows = customer_record.decisions_of(data.snapshot(), "C0000001")
    assert [(row["sent_at"].day, row["arm"]) for row in rows] == [(20, None), (5, "mail")]
    text = text_of(customer_parts.decisions_table(rows, "USD"))
    assert "nothing was sent" in text
    assert "$1.25" in text
    data.close()


def test_hard_ids_are_shown_as_text_and_found_by_their_links(shown, synthetic):
    for awkward in synthetic.AWKWARD_IDS:
        link = customer_parts.customer_link(awkward)
        assert parse_qs(urlsplit(link).query)["id"] == [awkward]
        body = shown(awkward)
        assert awkward in text_of(body)
        assert "dangerously" not in str(body).lower()


@pytest.mark.parametrize(
    ("asked", "near"),
    [
        ("c0000017", "C0000017"),
        (" C0000017 ", "C0000017"),
        ("C000017", "C0000017"),
        ("c17", "C0000017"),
        ("C0000O17", "C0000017"),
        ("C00000171", "C0000017"),
        ("zoë/ω漢字 %26 &?#", "Zoë/Ω漢字 %26 &?#"),
    ],
)
def test_an_unknown_id_leads_to_those_near_it(shown, asked, near):
    body = shown(asked)
    assert "No such customer" in text_of(body)
    assert customer_parts.customer_link(near) in links_of(body)


@pytest.mark.parametrize(
    "asked", ["nobody-at-all-is-called-this", "M" * 10_000, "\x00", "'; DROP TABLE x; --", "%", "_"]
)
def test_an_id_like_no_other_is_said_to_be_unknown(shown, asked):
    assert "No such customer" in text_of(shown(asked))


def test_an_id_without_end_is_refused_with_the_limit(shown):
    assert "30,000 characters; at most 20,000" in text_of(shown("x" * 30_000))


def test_no_id_offers_some(app, call, snapshot):
    body = call(app, "customer-body", snapshot.run_id, "", "light")["customer-body"]["children"]
    assert "Which customer?" in text_of(body)
    assert any(link.startswith("/customer?id=") for link in links_of(body))


@pytest.mark.parametrize("search", [None, 7, ["?id=1"], {"id": "x"}, "?id=%ed%a0%80", "?id=\ud800", "?a=1&" * 60])
def test_forged_addresses_are_answered_with_a_state(app, call, snapshot, search):
    assert call(app, "customer-body", snapshot.run_id, search, {"dark": 1})["customer-body"]["children"]


def test_without_churn_and_intervals_the_rest_stands(synthetic, tmp_path):
    synthetic.write_snapshot(
        tmp_path, customers=600, without=("customer_churn", "customer_intervals", "cohorts", "uplift_scores")
    )
    data = AppData(tmp_path)
    parts = dict(customer.report(data.snapshot(), "?id=C0000001"))
    assert "[churn] section" in text_of(parts["Will they order again?"])
    assert "No intervals" in text_of(parts["Outlook"])
    assert "purchase day" in text_of(parts["Timeline"])
    data.close()


def test_too_few_customers_have_no_predictions(synthetic, tmp_path):
    synthetic.write_snapshot(tmp_path, customers=300)
    data = AppData(tmp_path)
    parts = dict(customer.report(data.snapshot(), "?id=C0000001"))
    assert "300 of 500 customers" in text_of(parts["Customer"])
    assert "P(alive)" not in text_of(parts["Customer"])
    assert "Not enough data" in text_of(parts["Outlook"])
    assert "Not enough data" in text_of(parts["Versions"])
    data.close()


def test_a_run_without_its_model_says_why_there_is_no_path(synthetic, tmp_path):
    made = synthetic.write_snapshot(tmp_path, customers=600)
    (made.path / "models" / "mbg_nbd.json").unlink()
    customer_record._model.cache_clear()
    data = AppData(tmp_path)
    parts = dict(customer.report(data.snapshot(), "?id=C0000001"))
    assert "models/mbg_nbd.json is missing; 'regulars build --force'" in text_of(parts["Timeline"])
    data.close()


def test_probability_is_one_for_who_bought_once_under_bg_nbd():
    model = clv.BetaGeoModel.from_parameters(r=0.24, alpha=4.41, a=0.79, b=2.43)
    path = clv.probability_alive_path(model, [date(2017, 1, 1)], date(2017, 3, 1))
    thin = customer_record._thinned(path)
    assert np.all(np.asarray(thin.probability) == 1.0)


def test_the_report_is_one_file_with_every_number(client, busy, tables):
    answer = client.get("/report/customer.html", query_string={"id": busy})
    text = answer.get_data(as_text=True)
    assert answer.status_code == 200
    assert text.count("Plotly.newPlot") == 3
    assert busy in text
    assert f"{100 * tables['customer_churn'].loc[busy, 'probability_no_order']:.0f}%" in text
