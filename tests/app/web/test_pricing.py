"""Pricing without a browser: its numbers against pandas and the planner, its tool, its file, and what forgers get."""

import importlib.util
import json
import random
import shutil
import threading
import time
from datetime import date
from pathlib import Path
from urllib.parse import urlencode

import pandas as pd
import pyarrow.parquet as pq
import pytest

import regulars
from regulars.app import formats
from regulars.app.components import price_form, price_state, price_tool, price_words
from regulars.app.components.price_curve import ItemCase, worth_of_weeks
from regulars.app.data import AppData
from regulars.app.markdown import changed_plan, markdown
from regulars.app.pages import pricing
from regulars.app.price_files import find_price_file, price_folder
from regulars.app.price_jobs import Jobs, TooManyPlans
from regulars.app.price_listing import PRICE_ITEMS
from regulars.app.price_overrides import parse_override
from regulars.app.price_planning import PlanTerms
from regulars.app.server import create_server
from regulars.app.static_html import StaticHtml
from regulars.app.url_lists import write_list
from regulars.sql.errors import ModelError, SettingsError

PLAN = "clearance"
ON = date(2018, 1, 1)


def synthetic_prices():
    path = Path(regulars.__file__).parent / "tests" / "synthetic_prices.py"
    spec = importlib.util.spec_from_file_location("synthetic_prices", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def text_of(component) -> str:
    return StaticHtml().write(component)


@pytest.fixture(scope="module")
def plan(snapshot):
    rows = pd.DataFrame(snapshot.snapshot.read("markdown_plan").to_pylist())
    rows["item_weeks"] = rows.groupby("item").cumcount()
    return rows


@pytest.fixture
def shop(synthetic_warehouse, tmp_path):
    """The app on a copy of the warehouse, with settings by which it may write."""
    warehouse = tmp_path / "warehouse"
    shutil.copytree(synthetic_warehouse, warehouse)
    settings = synthetic_prices().settings_file(tmp_path / "shop", warehouse)
    app = create_server(warehouse, settings=settings, threads=2, warm=False)
    yield app, app.server.extensions["regulars"], settings
    app.server.extensions["regulars"].close()


class TestNumbers:
    def test_of_the_list_are_those_of_the_plan(self, client, plan, snapshot):
        rows = client.get("/rows/price_items?sort=-revenue").get_json()["rows"]
        assert len(rows) == plan["item"].nunique() == 24
        kept = plan[plan["reason"] != ""]
        for row in rows:
            weeks = plan[plan["item"] == row["item"]]
            assert row["status"] == ("kept" if row["item"] in set(kept["item"]) else "planned")
            assert row["last_price"] == float(weeks["price"].iloc[-1])
            assert row["verdict"] == ("accepted" if row["status"] == "planned" else weeks["reason"].iloc[0])
            if row["status"] == "kept":
                assert row["revenue"] is None
                continue
            assert row["units"] == pytest.approx(weeks["units"].sum())
            assert row["revenue"] == pytest.approx(weeks["revenue"].sum())
            assert row["sold_share"] == pytest.approx(weeks["units"].sum() / weeks["on_hand"].iloc[0])
            assert row["markdowns"] == weeks["changed"].sum()
            assert row["price_before"] == float(weeks["regular_price"].iloc[0])
            assert row["path"].count("week") == weeks["changed"].iloc[1:].sum()
        revenue = [row["revenue"] for row in rows if row["revenue"] is not None]
        assert revenue == sorted(revenue, reverse=True)
        (markup,) = [row for row in rows if row["item"].startswith("<b>")]
        assert client.get("/rows/price_items", query_string={"q": markup["item"]}).get_json()["total"] == 1

    def test_at_the_head_are_those_of_the_account(self, snapshot, plan):
        account = price_state.account_of(snapshot, "")
        shown = text_of(pricing._head(snapshot, account))
        more = account["objective"] - account["unchanged"]
        assert price_words.signed(more, "USD") in shown
        assert "the best there is" in shown
        planned = plan[plan["reason"] == ""]
        spend = ((planned["regular_price"] - planned["price"]).astype(float) * planned["units"]).sum()
        assert f"${spend:,.2f}" in shown or f"${spend:,.0f}" in shown
        assert "6 (its elasticity was refused)" in shown
        assert "6 (off sale)" in shown

    def test_of_the_curve_are_those_of_a_plan_that_holds_one_price(self, snapshot):
        inputs = price_state.inputs_of(snapshot, PLAN)
        for name in inputs.items["item"].to_pylist()[:4]:
            case = ItemCase.of(inputs, name)
            # one price throughout, through the planner: a ladder of one rung, that item alone
            terms = PlanTerms.of({"ladder": [0.2], "rules": [], "items": [name]})
            found = changed_plan(snapshot.snapshot, PLAN, (), terms, told=False)
            before = changed_plan(snapshot.snapshot, PLAN, (), PlanTerms(), told=False)
            rows = [row for row in found.rows if row["item"] == name]
            was = [row for row in before.rows if row["item"] == name]
            if {row["discount"] for row in rows} == {0.2}:
                # rows have prices to the cent, half a cent off what the planner counts with
                cents = 0.01 + 0.005 * sum(row["units"] for row in was)
                change = found.account["objective"] - before.account["objective"]
                assert case.worth(0.8 * case.regular) - worth_of_weeks(case, was) == pytest.approx(change, abs=cents)
            assert case.sold(case.regular).sum() <= case.on_hand

    def test_every_part_stands_in_the_report(self, snapshot, client):
        parts = dict(pricing.report(snapshot, "?item=item 00"))
        assert len(parts) == 6
        assert "item 00" in " ".join(parts)
        for title, part in parts.items():
            assert text_of(part), title
        answer = client.get("/report/pricing.html?item=%3Cb%3Etee%3C%2Fb%3E%2C%201")
        assert answer.status_code == 200
        assert "<b>tee</b>" not in answer.get_data(as_text=True)

    def test_of_an_item_that_is_not_planned_are_a_reason(self, snapshot):
        account = price_state.account_of(snapshot, "")
        item = price_state.item_of(snapshot, PLAN, "?item=item 12")
        assert item["status"] == "kept"
        assert "is not planned" in text_of(pricing._worth(snapshot, account, item, "light"))
        assert "keeps its price" in text_of(pricing._why(snapshot, account, item, "light"))
        assert "units in 20 weeks" in text_of(pricing._history(snapshot, account, item, "light"))


class TestTheForm:
    @pytest.fixture
    def inputs(self, snapshot):
        return price_state.inputs_of(snapshot, PLAN)

    def test_left_alone_is_the_plan_as_it_was_built(self, inputs, snapshot):
        empty = dict.fromkeys(price_form.NAMES, "") | {"scope": "all", "pick": [], "drop": []}
        assert not price_form.terms_of(empty, inputs)
        assert not price_form.terms_of({}, inputs)
        # and what the settings say, said again, changes nothing either
        same = {"cuts": "2", "step": "30"}
        assert not price_form.terms_of(same, inputs)
        found = changed_plan(snapshot.snapshot, PLAN, (), price_form.terms_of({}, inputs))
        stored = [row for row in snapshot.snapshot.read("markdown_plan").to_pylist() if row["plan"] == PLAN]
        assert list(found.rows) == stored

    @pytest.mark.parametrize(
        ("values", "said"),
        [
            ({"ladder": "0, 20%, 40,20"}, {"ladder": [0.0, 0.2, 0.4]}),
            ({"weeks": "3"}, {"weeks": 3}),
            ({"weeks": "4"}, {}),
            ({"budget": 250}, {"budget": 250.0}),
            ({"cuts": 1}, {"rules": [{"rule": "MaximumStep", "share": 0.3}, {"rule": "MaxMarkdowns", "count": 1}]}),
            ({"drop": ['{ rule = "MaximumStep", share = 0.3 }']}, {"rules": [{"rule": "MaxMarkdowns", "count": 2}]}),
            ({"weeks": "2", "scope": "picked", "pick": ["<b>tee</b>, 1"]}, {"weeks": 2, "items": ["<b>tee</b>, 1"]}),
        ],
    )
    def test_becomes_terms(self, inputs, values, said):
        assert price_form.terms_of(values, inputs).to_dict() == said

    def test_commas_within_names_part_nothing_in_an_address(self, inputs, snapshot, client):
        asked = "?" + urlencode({"weeks": "2", "scope": "picked", "pick": write_list(["<b>tee</b>, 1", "item 04"])})
        assert set(price_state.terms_of_url(snapshot, asked, inputs).items) == {"<b>tee</b>, 1", "item 04"}
        asked = {"category": write_list(["Shoes, 50% leather"]), "end": "200"}
        found = client.get("/rows/price_items", query_string=asked).get_json()
        assert {row["category"] for row in found["rows"]} == {"Shoes, 50% leather"}
        both = client.get("/rows/price_items", query_string={"category": f"shirts,{asked['category']}"}).get_json()
        assert both["total"] > found["total"] > 0

    def test_takes_every_rule_that_has_a_field(self, inputs):
        values = {"apart": "2", "sell": "50", "least": "5", "floor": "-10", "stock": "3", "near": "1", "rise": "yes"}
        values |= {"ends": "0.99, 0.49", "more": '{ rule = "Budget", amount = 9, weeks = [1, 2] }'}
        rules = {rule["rule"]: rule for rule in price_form.terms_of(values, inputs).rules}
        assert rules["MinWeeksBetween"]["weeks"] == 2
        assert rules["SellThrough"]["share"] == 0.5
        assert rules["MarginFloor"]["share"] == -0.1
        assert rules["NoTouch"] == {"rule": "NoTouch", "near_end": 1}
        assert rules["PriceEndings"]["endings"] == [0.99, 0.49]
        assert rules["Budget"] == {"rule": "Budget", "amount": 9, "weeks": [1, 2]}
        assert set(rules) >= {"PricesMayRise", "MinimumOnHand", "MinimumStep", "MaxMarkdowns", "MaximumStep"}

    @pytest.mark.parametrize(
        "values",
        [
            {"ladder": "deep"}, {"ladder": ["0"]}, {"ladder": "100"}, {"weeks": "0"}, {"weeks": "9999999"},
            {"budget": "-1"}, {"budget": "nan"}, {"budget": {}}, {"budget": True}, {"cuts": "1.5"}, {"step": "1e9"},
            {"rise": "<b>"}, {"more": "{"}, {"more": "x" * 9_000}, {"weeks": "2", "scope": "none"},
            {"weeks": "2", "scope": ["all"]}, {"drop": [1]}, {"ends": "a"},
            {"weeks": "2", "scope": "picked", "pick": "a"}, {"weeks": "2", "scope": "picked"},
            {"weeks": "2", "scope": "picked", "pick": [None]},
        ],
    )  # fmt: skip
    def test_with_what_cannot_be_is_refused(self, inputs, values):
        with pytest.raises(SettingsError):
            price_form.terms_of(values, inputs)


def ask(call, app, search="", hand=None, ticks=0):
    run = app.server.extensions["regulars"].current_run()
    for _ in range(60):
        answer = call(app, "price-result", run, search, hand or [], ticks)
        if answer["price-tick"]["disabled"]:
            return json.dumps(answer["price-result"]["children"])
        time.sleep(0.2)
    raise AssertionError("never planned")


def press(app, button, state, *, run=None, clicks=1):
    """Press one button of the callbacks for prices by hand, or for the file, as the page does."""
    output = {"price-write": "..price-written", "price-set": "..price-hand.data"}.get(button, "..price-hand.data")
    app.server.test_client().get("/_dash-layout")
    (name,) = [key for key in app.callback_map if key.startswith(output)]
    spec = app.callback_map[name]
    parts = [part.rpartition(".") for part in name.strip(".").split("...")]
    values = {"run": run or app.server.extensions["regulars"].current_run(), button: clicks}
    body = {
        "output": name,
        "outputs": [{"id": part[0], "property": part[2].partition("@")[0]} for part in parts],
        "inputs": [{**one, "value": values.get(one["id"])} for one in spec["inputs"]],
        "state": [{**one, "value": state.get(one["id"])} for one in spec["state"]],
        "changedPropIds": [f"{button}.n_clicks"],
    }
    answer = app.server.test_client().post("/_dash-update-component", json=body)
    assert answer.status_code in {200, 204}, answer.get_data(as_text=True)
    return answer.get_json()["response"] if answer.status_code == 200 else {}


class TestTheTool:
    def test_plans_anew_and_says_what_differs(self, shop, call):
        app, data, _ = shop
        snapshot = data.snapshot()
        shown = ask(call, app)
        assert "No price differs from the build's plan" in shown
        shown = ask(call, app, "?budget=60&cuts=1")
        terms = PlanTerms.of(
            {"budget": 60, "rules": [{"rule": "MaximumStep", "share": 0.3}, {"rule": "MaxMarkdowns", "count": 1}]}
        )
        found = changed_plan(snapshot.snapshot, PLAN, (), terms)
        assert json.dumps(price_words.signed(found.account["objective"] - found.worth_before, "USD")) in shown
        assert f"{len(found.changes):,} prices differ" in shown
        total = sum(change.revenue_change for change in found.changes)
        assert json.dumps(price_words.signed(total, "USD")) in shown
        assert price_words.spend_of(found.rows) <= 60 + 1e-6
        assert "--budget 60" in shown

    def test_filtered_items_are_those_of_the_list(self, shop, call):
        app, data, _ = shop
        snapshot = data.snapshot()
        search = "?scope=filtered&q=item 0&category=shirts&weeks=2"
        inputs = price_state.inputs_of(snapshot, PLAN)
        listed = set(price_state._filtered(snapshot, search))
        terms = price_state.terms_of_url(snapshot, search, inputs)
        assert set(terms.items) == listed & set(inputs.items["item"].to_pylist())
        assert 0 < len(terms.items) < 12
        assert "off sale" in ask(call, app, search)
        nobody = ask(call, app, "?scope=filtered&q=nobody&weeks=2")
        assert "The filter leaves no planned item" in nobody

    def test_the_stock_of_the_chosen_item_is_shown_on_other_terms_too(self, shop, call):
        app, data, _ = shop
        snapshot = data.snapshot()
        item = price_state.item_of(snapshot, PLAN, "?item=item 04")
        search = "?item=item 04&cuts=0"
        assert price_state.sold_otherwise(Jobs(), snapshot, "?item=item 04", [], item) is None
        job = Jobs()
        price_state.sold_otherwise(job, snapshot, search, [], item)
        terms = price_state.terms_of_url(snapshot, search, price_state.inputs_of(snapshot, PLAN))
        rows = changed_plan(snapshot.snapshot, PLAN, (), terms, told=False).rows
        units = [row["units"] for row in rows if row["item"] == "item 04"]
        case = ItemCase.of(price_state.inputs_of(snapshot, PLAN), "item 04")
        assert units == pytest.approx(case.sold(case.before).tolist())
        asked = ("?item=item 04", "light", search, [])
        shown = json.dumps(call(app, "price-part-stock", data.current_run(), *asked))
        assert "Planned otherwise" in shown

    def test_conflicts_name_the_smallest_set(self, shop, call):
        app, data, _ = shop
        shown = ask(call, app, "?sell=100&cuts=0")
        assert "These cannot all hold" in shown
        snapshot = data.snapshot()
        terms = price_state.terms_of_url(snapshot, "?sell=100&cuts=0", price_state.inputs_of(snapshot, PLAN))
        with pytest.raises(ModelError) as error:
            changed_plan(snapshot.snapshot, PLAN, (), terms)
        assert json.dumps(str(error.value))[2:-1] in shown

    def test_prices_by_hand_stay_and_are_kept_as_a_draft(self, shop, call):
        app, data, _ = shop
        state = {"url": "?item=item 04", "price-hand-week": "2018-01-01", "price-hand": []}
        inputs = price_state.inputs_of(data.snapshot(), PLAN)
        regular = inputs.items["regular_price"][inputs.items["item"].to_pylist().index("item 04")].as_py()
        answer = press(app, "price-set", state | {"price-hand-price": f"{regular:.2f}"})
        (word,) = answer["price-hand"]["data"]
        assert str(parse_override(word)) == word
        assert data.state.draft("markdown", PLAN).content["overrides"] == [word]
        # another analyst opens the page
        again = call(app, "price-hand.data", data.current_run(), None, None, None, state=("", None, None, [], []))
        assert again["price-hand"]["data"] == [word]
        for search in ("", "?budget=80", "?weeks=2&scope=picked&pick=item 05"):
            assert "by hand" in ask(call, app, search, [word])
        kept = press(app, "price-keep", {"url": "?budget=80", "price-hand": [word]})
        assert kept["price-hand"]["data"] == [word]
        assert data.state.draft("markdown", PLAN).content["kept"]["terms"] == {"budget": 80.0}
        against = ask(call, app, "?budget=80&against=kept", [word])
        assert "No price differs from the plan kept last" in against
        answer = press(app, "price-unset", {"url": "", "price-hand": [word], "price-hand-ticked": [word]})
        assert answer["price-hand"]["data"] == []
        assert data.state.draft("markdown", PLAN).content["overrides"] == []

    def test_a_price_that_cannot_be_is_refused(self, shop):
        app, data, _ = shop
        for week, price in ((None, "1"), ("2018-01-01", "0.01"), ([], {}), ("x", "y")):
            state = {"url": "?item=item 04", "price-hand-week": week, "price-hand-price": price, "price-hand": []}
            answer = press(app, "price-set", state)
            assert "data" not in answer.get("price-hand", {})
        assert data.state.draft("markdown", PLAN) is None


class TestTheFile:
    def write(self, app, search="?on=2018-01-01", hand=(), *, force=False):
        data = app.server.extensions["regulars"]
        before = press(app, "price-write", {"url": search, "price-hand": list(hand), "price-force": force})
        for _ in range(100):
            if before["price-write-tick"]["disabled"]:
                return json.dumps(before["price-written"]["children"], ensure_ascii=False)
            time.sleep(0.1)
            run = data.current_run()
            name = next(key for key in app.callback_map if key.startswith("..price-written"))
            spec = app.callback_map[name]
            parts = [part.rpartition(".") for part in name.strip(".").split("...")]
            values = {"run": run, "price-write-tick": 1}
            states = {"url": search, "price-hand": list(hand), "price-write-job": before["price-write-job"]["data"]}
            body = {
                "output": name,
                "outputs": [{"id": part[0], "property": part[2].partition("@")[0]} for part in parts],
                "inputs": [{**one, "value": values.get(one["id"])} for one in spec["inputs"]],
                "state": [{**one, "value": states.get(one["id"])} for one in spec["state"]],
                "changedPropIds": ["price-write-tick.n_intervals"],
            }
            before = app.server.test_client().post("/_dash-update-component", json=body).get_json()["response"]
        raise AssertionError("never written")

    def test_is_what_the_command_writes_with_the_same_options(self, shop, tmp_path):
        app, data, path = shop
        hand = ["item 04:2018-01-01=0%"]
        shown = self.write(app, "?on=2018-01-01&budget=60&weeks=3&scope=picked&pick=item 05,item 04", hand)
        assert "Written and recorded" in shown
        settings = data.settings()
        file = price_folder(settings) / "clearance-2018-01-01.csv"
        assert file == tmp_path / "price-files" / "clearance-2018-01-01.csv"
        terms = PlanTerms.of_words(weeks=3, budget=60.0, items=["item 04", "item 05"])
        other = tmp_path / "other.csv"
        by_command = markdown(path, PLAN, on=ON, out=other, terms=terms, overrides=[parse_override(hand[0])])
        assert other.read_bytes() == file.read_bytes()
        assert by_command.outcome == "written"
        facts = json.loads(pq.read_schema(by_command.record).metadata[b"regulars.prices"])
        assert facts["terms"] == terms.to_dict()
        line = data.state.audit_lines()[0]
        assert (line.action, line.subject, line.person) == ("write price file", PLAN, "local")
        fetched = app.server.test_client().get("/price-files/clearance-2018-01-01.csv")
        assert fetched.data == file.read_bytes()
        assert "attachment" in fetched.headers["Content-Disposition"]
        assert data.state.audit_lines()[0].action == "export price file"

    def test_the_terms_of_the_address_are_in_the_report(self, shop):
        _, data, _ = shop
        snapshot = data.snapshot()
        parts = dict(pricing.report(snapshot, "?weeks=3&budget=60"))
        said = text_of(parts["The plan made otherwise"])
        made = changed_plan(snapshot.snapshot, PLAN, (), PlanTerms.of_words(weeks=3, budget=60.0), told=False)
        assert formats.money(made.account["objective"], snapshot.currency) in said
        assert "--weeks 3" in said
        assert "The plan made otherwise" not in dict(pricing.report(snapshot, "?item=item 04"))

    def test_shows_what_stands_where_it_contradicts(self, shop):
        app, _, _ = shop
        assert "Written and recorded" in self.write(app)
        assert "It was there as it is" in self.write(app)
        refused = self.write(app, "?on=2018-01-01&ladder=0,50")
        assert "Other prices stand" in refused
        assert "was priced before" in refused
        assert "Written and recorded" in self.write(app, "?on=2018-01-01&ladder=0,50", force=True)

    def test_is_refused_by_day_by_role_and_without_settings(self, shop, synthetic_warehouse, monkeypatch):
        from regulars.app import access

        app, data, _ = shop
        assert "Not on this day" in self.write(app, "?on=2018-06-01")
        assert "This cannot be planned" in self.write(app, "?on=yesterday")
        monkeypatch.setattr(access, "current_person", lambda: access.Person("vera", "viewer"))
        assert "Not allowed" in self.write(app)
        monkeypatch.undo()
        assert not price_folder(data.settings()).exists()
        bare = create_server(synthetic_warehouse, threads=1, warm=False)
        assert "started on a warehouse alone" in self.write(bare)

    def test_no_other_file_is_ever_handed_out(self, shop, client):
        app, data, path = shop
        folder = price_folder(data.settings())
        folder.mkdir(parents=True)
        (folder / "stray.csv").write_text("secret")
        (folder / "link.csv").symlink_to(path)
        names = [
            "regulars.toml",
            "../regulars.toml",
            "..%2Fregulars.toml",
            "none.csv",
            ".lock",
            "stray.csv",
            "link.csv",
        ]
        for name in [*names, "a" * 400]:
            answer = app.server.test_client().get(f"/price-files/{name}")
            # a path that leads out of the route ends at the pages, never at a file
            assert answer.status_code == 404 or b"<!DOCTYPE html>" in answer.data
            assert b"secret" not in answer.data
            assert b"[pricing]" not in answer.data
            assert find_price_file(data.settings(), name) is None
        assert client.get("/price-files/stray.csv").status_code == 404


def test_forged_values_never_write_and_never_fail(shop):
    app, data, _ = shop
    client = app.server.test_client()
    client.get("/_dash-layout")
    rng = random.Random(6)
    values = [
        None,
        0,
        -1,
        1.5,
        True,
        "1",
        [],
        {},
        [[]],
        "x" * 5_000,
        "?plan=<b>",
        "?weeks=-1&scope=picked",
        10**30,
        ["a:1=2"],
        "\x00",
    ]
    ours = [name for name in app.callback_map if "price-" in name and "callback" in app.callback_map[name]]
    assert len(ours) >= 9
    before, audited = sorted(path.name for path in data.path.iterdir()), data.state.audit_lines()
    for _ in range(300):
        name = rng.choice(ours)
        spec = app.callback_map[name]
        parts = [part.rpartition(".") for part in name.strip(".").split("...")]
        outputs = [{"id": part[0], "property": part[2].partition("@")[0]} for part in parts]
        buttons = {"price-set", "price-unset", "price-keep", "price-write"}
        body = {
            "output": name,
            "outputs": outputs if name.startswith("..") else outputs[0],
            "inputs": [
                {**one, "value": rng.choice([v for v in values if one["id"] not in buttons or type(v) is not int])}
                for one in spec["inputs"]
            ],
            "state": [{**one, "value": rng.choice(values)} for one in spec["state"]],
            "changedPropIds": [f"{rng.choice(spec['inputs'])['id']}.n_clicks"],
        }
        answer = client.post("/_dash-update-component", json=body)
        assert answer.status_code in {200, 204, 400}, body
        assert len(answer.data) < 400_000
    assert data.state.audit_lines() == audited
    assert sorted(path.name for path in data.path.iterdir()) == before
    assert not price_folder(data.settings()).exists()


class TestWithoutAPlan:
    def test_the_page_names_the_next_step(self, synthetic, tmp_path):
        synthetic.write_snapshot(tmp_path / "w", customers=600, without=("markdown_plans",))
        data = AppData(tmp_path / "w", threads=1)
        with pytest.raises(Exception, match="has no table markdown_plans"):
            pricing.layout(data.snapshot(), "")
        data.close()

    def test_several_plans_are_a_choice(self, snapshot):
        (row,) = snapshot.table("markdown_plans", "plan").records
        shown = text_of(pricing._choose(snapshot, [row, row | {"plan": "summer & <b>"}]))
        assert "summer &amp; &lt;b&gt;" in shown
        assert "<b>" not in shown
        with pytest.raises(price_state.NoSuchPlan, match=r"no plan 'winter'; there are: clearance"):
            price_state.account_of(snapshot, "?plan=winter")


def test_work_is_done_once_and_not_too_much_of_it():
    jobs = Jobs(most=2, kept=2)
    gate = threading.Event()
    slow = [jobs.start(f"slow {k}", gate.wait) for k in range(2)]
    assert not slow[0].within(0.01)
    with pytest.raises(TooManyPlans):
        jobs.start("more", lambda: 1)
    assert jobs.start("slow 0", lambda: 2) is slow[0]
    gate.set()
    assert all(job.within(5) for job in slow)
    for k in range(4):
        assert jobs.start(f"quick {k}", lambda k=k: k).within(5)
    assert jobs.find("slow 0") is None
    assert jobs.find("quick 3").result() == 3


def test_differences_of_two_plans_name_what_came_and_went(snapshot):
    whole = changed_plan(snapshot.snapshot, PLAN, (), PlanTerms())
    short = changed_plan(snapshot.snapshot, PLAN, (), PlanTerms.of({"weeks": 3}), told=False)
    there, back = price_tool.changes_between(whole, short), price_tool.changes_between(short, whole)
    assert {(c.item, c.week) for c in there} == {(c.item, c.week) for c in short.changes}
    assert sum(c.revenue_change for c in there) == pytest.approx(-sum(c.revenue_change for c in back))
    assert PRICE_ITEMS.parse("?weeks=3&item=a").query() == ""
