"""Uplift without a browser: numbers as the snapshot has them, plans as the command line makes them, files kept in."""

import json
import re
import shutil
import time
from datetime import date
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from regulars.app import access, cli
from regulars.app.access import Person
from regulars.app.components.uplift_tool import FIELDS
from regulars.app.data import AppData
from regulars.app.list_files import list_file
from regulars.app.pages import uplift
from regulars.app.server import create_server
from regulars.app.state import State
from regulars.app.targeting import target

RUN = "5eed000000000001"
KEYS = [field.key for field in FIELDS]
HERE = Path(__file__).parents[2]


def values(**given) -> list:
    """The tool's inputs in their order, empty where not given."""
    usual = {"only": None, "without": []}
    return [given.get(key, usual.get(key, "")) for key in KEYS]


def text_of(component) -> str:
    """All text of a component, as JSON has it."""
    if isinstance(component, str | int | float):
        return str(component)
    if isinstance(component, list | tuple):
        return " ".join(text_of(one) for one in component)
    if isinstance(component, dict):
        return text_of(component.get("props", {}).get("children", ""))
    return text_of(json.loads(json.dumps(component, default=lambda one: one.to_plotly_json()))) if component else ""


@pytest.fixture(scope="module")
def house(tmp_path_factory, synthetic_warehouse):
    """A warehouse of its own with settings beside it, for what is written."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("synthetic_campaigns", HERE / "synthetic_campaigns.py")
    assert spec is not None
    assert spec.loader is not None
    made_up = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made_up)
    folder = tmp_path_factory.mktemp("uplift")
    shutil.copytree(synthetic_warehouse, folder / "warehouse", ignore=shutil.ignore_patterns("state.sqlite*"))
    (folder / "regulars.toml").write_text(made_up.settings_text(str(folder / "warehouse")))
    return folder


@pytest.fixture(scope="module")
def working(house):
    return create_server(house / "warehouse", settings=house / "regulars.toml", threads=2, warm=False)


def press(app, button: str, given: list, *, run=RUN, campaign="winback", replace=False, clicks: object = 1) -> dict:
    """Click a button of the tool, and wait until what it does is done."""
    client = app.server.test_client()
    client.get("/_dash-layout")
    (name,) = [key for key in app.callback_map if key.startswith("..uplift-written.children...")]
    spec = app.callback_map[name]
    states = [run, campaign, replace, *given]
    body = {
        "output": name,
        "outputs": [
            {"id": "uplift-written", "property": "children"},
            {"id": "uplift-job", "property": "data"},
            {"id": "uplift-poll", "property": "disabled"},
        ],
        "inputs": [{**one, "value": clicks if one["id"] == button else None} for one in spec["inputs"]],
        "state": [{**one, "value": value} for one, value in zip(spec["state"], states, strict=True)],
        "changedPropIds": [f"{button}.n_clicks"],
    }
    answer = client.post("/_dash-update-component", json=body)
    if answer.status_code == 204:
        return {}
    assert answer.status_code == 200, answer.get_data(as_text=True)
    found = answer.get_json()["response"]
    (look,) = [key for key in app.callback_map if key.startswith("..uplift-written.children@")]
    spec = app.callback_map[look]
    for _ in range(1_000):
        token = found.get("uplift-job", {}).get("data")
        if not token:
            return found
        time.sleep(0.05)
        outputs = [part.rpartition(".") for part in look.strip(".").split("...")]
        again = {
            "output": look,
            "outputs": [{"id": part[0], "property": part[2]} for part in outputs],
            "inputs": [{**spec["inputs"][0], "value": 1}],
            "state": [{**one, "value": value} for one, value in zip(spec["state"], [token, run], strict=True)],
            "changedPropIds": ["uplift-poll.n_intervals"],
        }
        found = client.post("/_dash-update-component", json=again).get_json()["response"]
    raise AssertionError("the list was never done")


def test_the_verdict_is_said_first_and_a_refused_campaign_says_why_and_what_to_do(snapshot):
    ranked = text_of(uplift._verdict(snapshot, "winback"))
    assert "Choose whom: the first 70% by the X-learner" in ranked
    assert "Rank by x: QINI 0.12" in ranked
    assert "+$1.40" in ranked
    assert "−$0.20 to +$6.00" in ranked
    refused = text_of(uplift._verdict(snapshot, "spring"))
    assert "Refused: nothing can be learnt from it yet" in refused
    assert "Find where customers were lost or added." in refused
    assert 'override = ["sample_ratio_mismatch"]' in refused
    unsure = text_of(uplift._verdict(snapshot, "newsletter"))
    assert "Not enough data to decide" in unsure
    assert "Do not roll it out on these scores" in unsure


def test_the_page_opens_with_a_campaign_that_chooses_whom(snapshot):
    assert uplift._campaign(snapshot, None) == "winback"
    assert uplift._campaign(snapshot, "nothing of the kind") == "winback"
    assert uplift._campaign(snapshot, "spring") == "spring"


def test_the_curve_the_checks_and_the_value_are_those_of_the_snapshot(snapshot):
    gain = text_of(uplift._gain(snapshot, "winback", "light"))
    curve = snapshot.snapshot.read("campaign_curves").to_pandas()
    mine = curve[(curve.campaign == "winback") & (curve.ranking == "x")]
    best = mine.loc[mine.gain.idxmax()]
    assert f"the first {best.share:.0%} gains most: ${best.gain:.2f}" in gain
    checks = text_of(uplift._checks(snapshot, "winback"))
    assert "Sample ratio mismatch" in checks
    assert "p = 0.410" in checks
    assert "passed" in checks
    assert "blocking" in text_of(uplift._checks(snapshot, "spring"))
    assert "+$1.10" in text_of(uplift._value(snapshot, "winback"))
    assert "The history is a horizon too short" in text_of(uplift._value(snapshot, "newsletter"))
    assert "Nothing was estimated" in text_of(uplift._gain(snapshot, "spring", "light"))


def test_the_grid_lists_each_customer_once_with_his_best_offer(client, snapshot):
    scores = snapshot.snapshot.read("uplift_scores").to_pandas()
    mine = scores[scores.campaign == "winback"].sort_values(["net_effect", "customer_id"], ascending=[False, True])
    best = mine.drop_duplicates("customer_id").reset_index(drop=True)
    found = client.get("/rows/uplift_customers?campaign=winback&end=100").get_json()
    assert found["total"] == len(best)
    shown = pd.DataFrame(found["rows"])
    assert shown.customer_id.tolist() == best.customer_id[:100].tolist()
    assert shown.arm.tolist() == best.arm[:100].tolist()
    assert set(shown.campaign) == {"winback"}
    few = client.get("/rows/uplift_customers?campaign=winback&offer=voucher&profit=2..").get_json()["total"]
    assert few == int(((best.arm == "voucher") & (best.net_effect >= 2)).sum())


def test_the_plan_is_what_the_command_line_would_decide(working, house, call):
    given = values(budget="150", cost1="0.1", stock2="200", without=["lapsed", "one_time"], on="2018-01-02")
    answer = call(working, "uplift-plan.children...uplift-most", RUN, "winback", *given)
    shown = text_of(answer["uplift-plan"]["children"])
    made = target(
        house / "regulars.toml",
        "winback",
        on=date(2018, 1, 2),
        budget=150.0,
        costs={"mail": 0.1},
        stock={"voucher": 200},
        exclude_segments=["lapsed", "one_time"],
        dry_run=True,
    ).target_list.summary
    assert f"{made['mailed']:,}" in shown
    assert f"${made['spend']:,.2f}" in shown
    assert f"The scores alone promise ${made['planned_profit']:,.2f}" in shown
    assert "95% interval" in shown
    assert f"{made['suppressed_by_reason']['segment lapsed']:,} segment lapsed" in shown
    assert f"{made['held_out']:,} held out" in shown
    assert answer["uplift-most"]["data"]["most"] > 150
    curve = text_of(call(working, "uplift-curve.children", RUN, "winback", *given, "dark")["uplift-curve"]["children"])
    assert "where more budget brings nothing more" in curve


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"budget": "-1"}, "The budget is -1; it is a number from 0"),
        ({"budget": "a lot"}, "The budget is 'a lot'; write a number"),
        ({"stock1": "1.5"}, "The stock of mail is 1.5; it is a whole number"),
        ({"quiet": "9999"}, "days since the last send is 9999"),
        ({"on": "tomorrow"}, "the day of the sends is 'tomorrow'"),
        ({"only": "VIP"}, "No segment 'VIP'"),
        ({"without": ["nobody"]}, "No segment 'nobody'"),
        ({"budget": "1"}, "exploration of 5% alone takes"),
    ],
)
def test_what_cannot_be_planned_says_why(working, call, given, said):
    answer = call(working, "uplift-plan.children...uplift-most", RUN, "winback", *values(**given))
    assert said.lower() in text_of(answer["uplift-plan"]["children"]).lower()


def test_a_refused_campaign_cannot_be_planned(working, call):
    answer = call(working, "uplift-plan.children...uplift-most", RUN, "spring", *values())
    assert "No list can be planned" in text_of(answer["uplift-plan"]["children"])


def test_offers_stand_in_their_places_with_what_the_settings_say(working, call):
    answer = call(working, "uplift-offer-1.hidden", RUN, "winback")
    assert [answer[f"uplift-offer-{slot}"]["hidden"] for slot in (1, 2, 3)] == [False, False, True]
    assert [answer[f"uplift-arm-{slot}"]["children"] for slot in (1, 2)] == ["mail", "voucher"]
    assert answer["uplift-cost-2"]["placeholder"] == "$0.60"
    assert answer["uplift-stock-2"]["placeholder"] == "900"
    assert answer["uplift-budget"]["placeholder"] == "$300.00"
    assert "1 Jan 2018" in answer["uplift-day"]["children"]


class TestWriting:
    def test_trying_writes_nothing(self, working, house):
        found = press(working, "uplift-check", values(budget="100", on="2018-01-03"))
        assert "Tried, and nothing written" in text_of(found["uplift-written"]["children"])
        assert not (house / "warehouse" / "decisions").exists()
        assert not (house / "warehouse" / "lists").exists()

    def test_a_list_is_audited_logged_written_and_fetched(self, working, house):
        State(house / "warehouse").save_segment("Dear", "value=5..", "ann")
        given = values(budget="120", cost1="0.08", only="Dear", without=["one_time"], quiet="10", on="2018-01-04")
        found = press(working, "uplift-write", given)
        shown = text_of(found["uplift-written"]["children"])
        assert "The list is written" in shown
        assert "--budget 120 --cost mail=0.08 --segment Dear --exclude-segment one_time --quiet-days 10" in shown
        written = house / "warehouse" / "lists" / "winback-2018-01-04.parquet"
        # the command that is shown finds the same run, and writes the same bytes
        before = written.read_bytes()
        words = shown[shown.index("regulars target") :].split()[1:]
        done = CliRunner().invoke(cli.cli, [*words, "-s", str(house / "regulars.toml"), "--json"])
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["outcome"] == "unchanged"
        assert written.read_bytes() == before
        audit = State(house / "warehouse").audit_lines()
        (line,) = [one for one in audit if one.action == "write target list"]
        assert (line.subject, line.details["budget"], line.details["on"]) == ("winback", 120.0, "2018-01-04")
        assert line.details["options"]["segment"] == "Dear"

        client = working.server.test_client()
        parquet = client.get("/lists/winback-2018-01-04.parquet")
        assert parquet.data == before
        csv = client.get("/lists/winback-2018-01-04.csv")
        assert csv.mimetype == "text/csv"
        rows = pq.read_table(written)
        lines = csv.data.decode("utf-8-sig").splitlines()
        assert len(lines) == rows.num_rows + 1
        assert rows["customer_id"][0].as_py() in lines[1]
        assert "download target list" in {one.action for one in State(house / "warehouse").audit_lines()}

    def test_past_lists_are_shown_and_stand_beside_the_plan(self, working, house, call):
        press(working, "uplift-write", values(budget="110", on="2018-01-05"))
        lists = text_of(call(working, "uplift-lists.children", RUN, "winback", None)["uplift-lists"]["children"])
        assert "5 Jan 2018" in lists
        assert "window ends 1 Feb 2018" in lists
        shown = text_of(
            call(working, "uplift-plan.children...uplift-most", RUN, "winback", *values())["uplift-plan"]["children"]
        )
        assert "Last list, 5 Jan 2018" in shown
        made = json.loads((house / "warehouse/lists/winback-2018-01-05.parquet.manifest.json").read_text())
        assert f"{made['summary']['mailed']:,}" in shown

    def test_another_list_of_that_day_is_refused_until_it_is_replaced(self, working):
        press(working, "uplift-write", values(budget="100", on="2018-01-06"))
        refused = press(working, "uplift-write", values(budget="90", on="2018-01-06"))
        shown = text_of(refused["uplift-written"]["children"])
        assert "Another list stands for that day" in shown
        assert "box ticked" in shown
        replaced = press(working, "uplift-write", values(budget="90", on="2018-01-06"), replace=True)
        assert "The list is written" in text_of(replaced["uplift-written"]["children"])

    def test_stale_scores_name_the_next_step(self, working):
        found = press(working, "uplift-write", values(on="2018-03-01"))
        shown = text_of(found["uplift-written"]["children"])
        assert "These scores cannot make a list" in shown
        assert "regulars build" in shown

    @pytest.mark.parametrize("clicks", [None, 0, -1, True, "1", 1.5, 10**9])
    def test_without_a_true_click_nothing_is_done(self, working, house, clicks):
        before = len(State(house / "warehouse").audit_lines())
        press(working, "uplift-write", values(on="2018-01-07"), clicks=clicks)
        assert not (house / "warehouse" / "lists" / "winback-2018-01-07.parquet").exists()
        assert len(State(house / "warehouse").audit_lines()) == before

    def test_a_viewer_may_neither_write_nor_fetch(self, working, house, monkeypatch):
        monkeypatch.setattr(access, "current_person", lambda: Person("vic", "viewer"))
        found = press(working, "uplift-write", values(on="2018-01-07"))
        assert "Not allowed" in text_of(found["uplift-written"]["children"])
        assert not (house / "warehouse" / "lists" / "winback-2018-01-07.parquet").exists()
        assert working.server.test_client().get("/lists/winback-2018-01-04.parquet").status_code == 403

    def test_without_settings_the_plan_shows_and_nothing_is_written(self, app, call):
        shown = text_of(
            call(app, "uplift-plan.children...uplift-most", RUN, "winback", *values())["uplift-plan"]["children"]
        )
        assert "started without settings" in shown
        found = press(app, "uplift-write", values())
        assert "regulars app --settings" in text_of(found["uplift-written"]["children"])


@pytest.mark.parametrize(
    "name",
    [
        "../regulars.toml",
        "..%2Fregulars.toml",
        "winback-2018-01-04.parquet.manifest.json",
        "winback-2018-01-04.json",
        ".hidden-2018-01-04.parquet",
        "winback-2099-01-04.parquet",
        "link-2018-01-04.parquet",
        "a" * 300,
    ],
)
def test_no_other_file_is_given_out(working, house, name):
    lists = house / "warehouse" / "lists"
    lists.mkdir(exist_ok=True)
    link = lists / "link-2018-01-04.parquet"
    if not link.is_symlink():
        link.symlink_to(house / "regulars.toml")
    answer = working.server.test_client().get(f"/lists/{name}")
    assert answer.status_code == 404
    assert b"[campaigns" not in answer.data
    assert list_file(house / "warehouse", name) is None


def test_a_snapshot_without_campaigns_says_how_to_have_some(synthetic, tmp_path):
    synthetic.write_snapshot(tmp_path / "warehouse", customers=600)
    file = next((tmp_path / "warehouse" / "runs").glob("*/campaign_effects.parquet"))
    duckdb.sql(f"COPY (SELECT * FROM '{file}' WHERE false) TO '{file}.new' (FORMAT parquet)")
    Path(f"{file}.new").rename(file)
    data = AppData(tmp_path / "warehouse", threads=1)
    shown = text_of(uplift.layout(data.snapshot(), ""))
    assert "No campaigns" in shown
    assert "[campaigns.NAME]" in shown
    data.close()


def test_a_snapshot_of_another_version_takes_away_the_cards_that_need_its_tables(synthetic, tmp_path, call):
    synthetic.write_snapshot(tmp_path / "warehouse", customers=600, without=("campaign_curves", "campaign_holdout"))
    app = create_server(tmp_path / "warehouse", threads=1, warm=False)
    shown = text_of(call(app, "uplift-gain.children", RUN, "winback", "light")["uplift-gain"]["children"])
    assert "has no table campaign_curves" in shown
    plan = call(app, "uplift-plan.children...uplift-most", RUN, "winback", *values())
    assert "No interval" in text_of(plan["uplift-plan"]["children"])


def test_the_report_holds_the_plan_of_its_address(working, call):
    given = {"cost1": "0.5", "budget": "120", "without": "best,new"}
    answer = call(
        working,
        "uplift-plan.children...uplift-most",
        RUN,
        "winback",
        *values(cost1="0.5", budget="120", without=["best", "new"]),
    )
    lead = re.search(r"[−$\d,.]*\$[\d,.]+ (?=95% interval|By the scores)", text_of(answer["uplift-plan"]["children"]))
    query = "&".join(f"{key}={value}" for key, value in {"campaign": "winback", **given}.items())
    text = working.server.test_client().get(f"/report/uplift.html?{query}").get_data(as_text=True)
    assert lead is not None
    assert lead[0].strip() in re.search(r'class="lead-figure">(.*?)<', text)[1]
    assert "of a budget of $120.00" in text
    assert "where more budget brings nothing more" in text
    wrong = working.server.test_client().get("/report/uplift.html?campaign=winback&budget=lots")
    assert wrong.status_code == 200
    assert "The settings stand in the way" in wrong.get_data(as_text=True)
    assert "does it pay" in wrong.get_data(as_text=True)


def test_the_report_holds_every_part(snapshot):
    parts = uplift.report(snapshot, "?campaign=winback")
    assert parts[0][0] == "winback: does it pay, and for whom?"
    assert len(parts) == 5
    assert "Choose whom" in text_of(parts[0][1])
