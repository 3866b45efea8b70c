"""`regulars markdown`: the plan in words, prices set by hand, the price file and the record of what was priced."""

import csv
import io
import json
import re
import subprocess
import sys
import textwrap
from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from regulars.app import cli as command_line
from regulars.app import markdown as command
from regulars.app import price_decision as decision
from regulars.app.build import run_build
from regulars.app.markdown import markdown
from regulars.app.plan_rules import explain_conflict, make_rules
from regulars.app.price_file import PricedWeek, file_bytes, find_records, price_file
from regulars.app.price_overrides import Override, find_item, missing_item, parse_override, read_overrides
from regulars.app.price_plans import PlanInputs
from regulars.pricing import RulesConflict
from regulars.sql.errors import (
    AlreadyDecided,
    ModelError,
    SettingsError,
    SourceError,
    StaleSnapshotError,
    WarehouseError,
)

ON = date(2024, 7, 1)


@pytest.fixture(scope="module")
def shop(priced_shop, priced_snapshot):
    """The priced shop, built."""
    assert priced_snapshot.snapshot.manifest["markdowns"]
    return priced_shop


@pytest.fixture
def own_warehouse(shop, priced_snapshot, tmp_path):
    """Settings whose warehouse is a copy, for what writes records."""
    import shutil

    shutil.copytree(shop.settings().warehouse, tmp_path / "warehouse")
    return shop.settings(str(tmp_path / "warehouse"))


def toml(shop, tmp_path, warehouse):
    """A settings file of the shop."""
    lines = []
    said = shop.settings(str(warehouse)).model_dump(mode="json", exclude_unset=True)
    for section in ("orders", "products", "stock"):
        lines += [f"[{section}]", f'path = "{shop.folder / said[section]["path"]}"']
    plan = said["pricing"]["markdowns"]["clearance"]
    lines += ["[value]", "as_of = 2024-06-30", "[build]", f'warehouse = "{warehouse}"', "threads = 1"]
    lines += ["[pricing]", 'categories = ["drinks", "snacks"]', "[pricing.markdowns.clearance]"]
    for key, value in plan.items():
        if key == "rules":
            rules = [", ".join(f"{k} = {json.dumps(v)}" for k, v in rule.items()) for rule in value]
            lines.append(f"rules = [{', '.join('{ ' + rule + ' }' for rule in rules)}]")
        else:
            lines.append(f"{key} = {json.dumps(value)}")
    path = tmp_path / "regulars.toml"
    path.write_text("\n".join(lines))
    return path


def files_of(settings):
    """What lies beside the records, the lock apart."""
    return sorted(path.name for path in settings.warehouse.glob("decisions/prices/*") if path.name != ".lock")


def plain(said):
    """Settings as Python's own text can carry them to another process."""
    return json.loads(json.dumps(said, default=str))


def run(*words: object):
    return CliRunner().invoke(command_line.cli, [str(word) for word in words])


class TestThePlan:
    def test_is_read_item_by_item(self, shop):
        found = markdown(shop.settings(), on=ON)
        said = found.text()
        assert said.startswith("clearance: 2024-07-01 to 2024-07-28, run ")
        assert found.account["sentence"] in said
        (line,) = [line for line in said.splitlines() if line.startswith("item_0004")]
        first = next(row for row in found.rows if row["item"] == "item_0004")
        assert f"{first['price']} x2" in line
        assert f"{first['elasticity']:.2f} (" in line
        assert "not planned, 2 items: no stock known; such as item_0006: no stock known: map [stock]" in said
        assert found.outcome == "plan"
        assert found.notes == ()

    def test_explains_an_item(self, shop):
        said = markdown(shop.settings(), explain="item_0004", on=ON).text()
        assert "item_0004: one more unit is worth" in said
        assert "Week 1 at" in said
        assert "gone is not planned and keeps its price: off sale" in markdown(shop.settings(), explain="gone").text()
        with pytest.raises(SettingsError, match=r"'item_004' is not in the plan; did you mean 'item_0004'"):
            markdown(shop.settings(), explain="item_004")

    def test_says_where_the_snapshot_is_too_old_and_shows_it_all_the_same(self, shop):
        (note,) = markdown(shop.settings(), on=ON + timedelta(days=60)).notes
        assert "61 days before 2024-08-30; allowed: 30" in note

    def test_that_is_not_there(self, shop):
        with pytest.raises(SettingsError, match=r"holds no plan 'clearanc'; did you mean 'clearance'\?"):
            markdown(shop.settings(), "clearanc")
        with pytest.raises(WarehouseError, match="regulars build"):
            markdown(shop.settings("never built"))

    def test_without_any_or_with_several(self, shop, tmp_path):
        run_build(shop.settings(str(tmp_path / "none"), pricing={"categories": ["drinks"]}), progress=False)
        with pytest.raises(SettingsError, match=r"holds no markdown plan: write \[pricing.markdowns.NAME\]"):
            markdown(shop.settings(str(tmp_path / "none")))
        two = {"categories": ["drinks"], "markdowns": {"a": {"weeks": 1}, "b": {"weeks": 2}}}
        made = shop.settings(str(tmp_path / "two"), pricing=two)
        run_build(made, progress=False)
        with pytest.raises(SettingsError, match="holds several plans, a, b: name one"):
            markdown(made)
        assert markdown(made, "b").account["weeks"] == 2

    def test_whose_rules_conflict(self, shop, tmp_path):
        rules = [{"rule": "SellThrough", "share": 1.0}, {"rule": "MaxMarkdowns", "count": 0}]
        made = shop.settings(str(tmp_path / "conflict"), plan={"rules": rules})
        run_build(made, progress=False)
        with pytest.raises(ModelError, match=r'no plan: its rules conflict: .*\{ rule = "SellThrough", share = 1.0 \}'):
            markdown(made)


class TestWeeksOfTheSettings:
    def test_count_from_1_and_a_budget_has_a_first_and_a_last(self):
        said = [
            {"rule": "FixedPrice", "item": "tee", "week": 1, "discount": 0.2},
            {"rule": "Budget", "amount": 5.0, "weeks": [3, 4]},
        ]
        fixed, budget = make_rules(said, weeks=4)
        assert (fixed.week, budget.weeks) == (0, (2, 4))

    @pytest.mark.parametrize(
        ("rule", "said"),
        [
            ({"rule": "FixedPrice", "item": "t", "week": 0, "discount": 0.2}, "week is 0; it is a week of the plan"),
            ({"rule": "FixedPrice", "item": "t", "week": 5, "discount": 0.2}, "week of the plan from 1 to 4"),
            ({"rule": "Budget", "amount": 5.0, "weeks": [9, 10]}, r"weeks is [9, 10]; the first and the last week"),
            ({"rule": "Budget", "amount": 5.0, "weeks": [0, 4]}, "of the plan, from 1 to 4"),
            ({"rule": "Budget", "amount": 5.0, "weeks": [3, 2]}, "of the plan, from 1 to 4"),
            ({"rule": "Budget", "amount": 5.0, "weeks": 2}, "of the plan, from 1 to 4"),
        ],
    )
    def test_outside_the_plan_are_refused(self, shop, rule, said):
        with pytest.raises(SettingsError) as error:
            run_build(shop.settings("never", plan={"rules": [rule]}), progress=False)
        assert said in str(error.value)
        assert str(error.value).startswith("regulars.toml: [pricing.markdowns.clearance] rules: ")

    def test_are_those_of_the_rows_and_of_the_price(self, shop, tmp_path):
        rules = [{"rule": "FixedPrice", "item": "flat", "week": 2, "discount": 0.3}]
        made = shop.settings(str(tmp_path / "fixed"), plan={"rules": rules, "start_price": "regular"})
        run_build(made, progress=False)
        found = markdown(made, explain="flat")
        rows = [row for row in found.rows if row["item"] == "flat"]
        assert rows[1]["discount"] == pytest.approx(0.3)
        names = {row[key] for row in rows for key in ("binding_rule", "up_forbidden_by", "down_forbidden_by")}
        fixed = "FixedPrice(item='flat', week=2, discount=0.3)"
        assert fixed in names
        assert not any("week=1" in name for name in names)


class TestOverrides:
    def test_plan_the_rest_anew_and_say_what_changed(self, shop):
        plain = markdown(shop.settings(), on=ON)
        first = next(row for row in plain.rows if row["item"] == "item_0004")
        found = markdown(shop.settings(), overrides=[parse_override("item_0004:1=0%")], on=ON)
        by_hand = [change for change in found.changes if change.overridden]
        assert [(c.item, c.week, c.planned_price, c.price) for c in by_hand] == [
            ("item_0004", first["week"], float(first["price"]), float(first["regular_price"]))
        ]
        assert {change.item for change in found.changes} == {"item_0004"}
        assert found.account["objective"] < found.worth_before == plain.account["objective"]
        for account in (plain.account, found.account):
            assert account["revenue"] + account["salvage"] == pytest.approx(account["objective"], abs=1e-6)
        others = [row for row in found.rows if row["item"] != "item_0004"]
        assert others == [row for row in plain.rows if row["item"] != "item_0004"]
        told = f"week of 2024-07-01: {first['price']} -> {first['regular_price']} (by hand)"
        assert told in found.text()

    def test_by_price_by_depth_and_by_day_are_the_same(self, shop):
        row = next(row for row in markdown(shop.settings()).rows if row["item"] == "flat")
        price = row["regular_price"] * Decimal("0.9")
        words = [f"flat:1={price}", "flat:1=10%", "flat:2024-07-01=10%"]
        found = [markdown(shop.settings(), overrides=[parse_override(word)], on=ON) for word in words]
        assert found[0].rows == found[1].rows == found[2].rows
        assert found[0].rows[0]["price"] == price

    def test_that_repeat_the_plan_change_nothing(self, shop):
        plain = markdown(shop.settings(), on=ON)
        words = [f"{r['item']}:{r['week']}={r['price']}" for r in plain.rows if not r["reason"]]
        found = markdown(shop.settings(), overrides=[parse_override(word) for word in words], on=ON)
        assert all(change.planned_price == change.price for change in found.changes)
        assert [row["price"] for row in found.rows] == [row["price"] for row in plain.rows]
        assert found.account["objective"] == pytest.approx(plain.account["objective"], rel=1e-12)

    def test_from_a_file(self, shop, tmp_path):
        path = tmp_path / "by hand.csv"
        path.write_text("item,week,price,discount\nitem_0004,1,,0\nflat,2024-07-08,,20%\nitem_0000,1,4.40,\n")
        said = read_overrides(path)
        assert list(map(str, said)) == ["item_0004:1=0%", "flat:2024-07-08=20%", "item_0000:1=4.4"]
        assert len([c for c in markdown(shop.settings(), overrides=said, on=ON).changes if c.overridden]) == 3

    @pytest.mark.parametrize(
        ("word", "said"),
        [
            ("flat", "is not ITEM:WEEK=PRICE"),
            ("flat:1", "is not ITEM:WEEK=PRICE"),
            ("flat:one=2", "week 'one' is no number from 1"),
            ("flat:1=cheap", "price 'cheap' is no number"),
            ("flat:1=nan", "price 'nan' is no number"),
            ("flat:1=-2", "a price is above 0"),
            ("flat:1=100%", "from 0% to below 100%"),
            ("flat:0=10%", "the plan has no such week; its 4 weeks begin on 2024-07-01, 2024-07-08"),
            ("flat:2024-07-02=10%", "the plan has no such week"),
            ("flat:1=3.33", "no price on the item's ladder; it may be 4.00 (0%), 3.60 (10%)"),
            ("flta:1=10%", "item 'flta' is not in the plan; did you mean 'flat'?"),
            ("gone:1=10%", "item 'gone' is not planned: off sale"),
        ],
    )
    def test_that_cannot_be(self, shop, word, said):
        with pytest.raises(SettingsError) as error:
            markdown(shop.settings(), overrides=[parse_override(word)], on=ON)
        assert said in str(error.value)

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("item,week,price\n", "no line"),
            ("item,week,prize\nflat,1,2\n", "column 'prize'; did you mean 'price'?"),
            ("item,price\nflat,2\n", "the columns are item, week, price or discount"),
            ("item,week,price,discount\nflat,1,2,10%\n", "line 2: give a price or a discount"),
            ("item,week,price\nflat,1,\n", "line 2: give a price or a discount"),
            ("item,week,price\nflat,1,3.69,9\n", "line 2: 4 cells for the 3 columns item, week, price"),
            ("item,week,price\n\nflat,1,3.69\nflat,1,13,99\n", "line 4: 4 cells for the 3 columns"),
            ("item,week,price\nflat,1\n", "line 2: 2 cells for the 3 columns"),
            ('item,week,price\nflat,1,"13,99"\n', "line 2: price '13,99' is no number; write 2.49, with a point"),
            ("item,week,price,price\nflat,1,4.19,3.69\n", "line 1: column 'price' is there twice"),
        ],
    )
    def test_files_that_cannot_be(self, tmp_path, text, said):
        path = tmp_path / "o.csv"
        path.write_text(text)
        with pytest.raises(SettingsError) as error:
            read_overrides(path)
        assert said in str(error.value)
        with pytest.raises(SourceError, match="cannot be read"):
            read_overrides(tmp_path / "none.csv")

    def test_of_a_store_are_named_by_item_and_store(self, tmp_path):
        path = tmp_path / "by hand.csv"
        path.write_text("item,store_id,week,price\ntee,north,1,9.99\n")
        assert read_overrides(path) == [parse_override("tee@north:1=9.99")]

    def test_under_a_budget_may_move_other_items(self, shop, tmp_path):
        made = shop.settings(str(tmp_path / "budget"), plan={"rules": [{"rule": "Budget", "amount": 300.0}]})
        run_build(made, progress=False)
        plain = markdown(made, on=ON)
        given = sum((r["regular_price"] - r["price"]) * Decimal(r["units"]) for r in plain.rows if not r["reason"])
        assert given <= 301
        with pytest.raises(ModelError, match=r'item_0004:1=50% and .*"Budget", amount = 300.0.* cannot both hold'):
            markdown(made, overrides=[parse_override("item_0004:1=50%")], on=ON)
        found = markdown(made, overrides=[parse_override("flat:1=50%")], on=ON)
        moved = {change.item for change in found.changes if not change.overridden}
        assert moved - {"flat"}
        assert found.account["objective"] <= plain.account["bound"]
        assert 0 <= found.account["gap"] <= 1e-4

    def test_against_a_rule_name_the_smallest_set(self, shop):
        # 50% in the first week is a step of more than 30%
        said = (
            'override flat:1=50% and { rule = "MaximumStep", share = 0.3 } cannot both hold for item '
            "'flat'; leave one out, or loosen the rule and run 'regulars build'"
        )
        with pytest.raises(ModelError, match=f"^{re.escape(said)}$"):
            markdown(shop.settings(), overrides=[parse_override("flat:1=50%")])

    def test_that_rise_are_told_that_prices_only_fall(self, shop):
        words = ["flat:2=10%", "flat:2024-07-15=0%"]
        with pytest.raises(ModelError) as error:
            markdown(shop.settings(), overrides=[parse_override(word) for word in words])
        said = str(error.value)
        assert said.startswith("override flat:2=10% and override flat:2024-07-15=0% cannot both hold for item 'flat', ")
        assert "since prices only fall (it stands at 4.00 before the plan)" in said
        assert "where" not in said
        assert said.endswith("""leave one out, or add { rule = "PricesMayRise" } and run 'regulars build'""")

    def test_of_an_item_that_stands_lower_is_told_where_it_stands(self):
        items = {"item": ["=1+1"], "regular_price": [9.99], "on_hand": [20.0], "elasticity": [-2.0]}
        table = pa.table(items | {"current_discount": [0.2]})
        inputs = PlanInputs("p", ON, 2, (0.0, 0.2, 0.5), "revenue", False, (), 0.0, table, np.full((1, 2), 3.0))
        with pytest.raises(RulesConflict) as error:
            inputs.plan().override({("=1+1", 0): 0.0})
        assert explain_conflict(inputs, error.value.conflict, {("=1+1", 0): "=1+1:1=9.99"}) == (
            "override =1+1:1=9.99 cannot hold for item '=1+1', since prices only fall (it stands at 7.99 before the "
            "plan); leave it out, or add { rule = \"PricesMayRise\" } and run 'regulars build'"
        )

    def test_are_recorded_to_the_last_digit(self):
        words = ["a:1=12345.67", "a:1=1399304", "a:1=0.01", "a:2=33.3333333%", "a:2=30%", "a:1=14"]
        assert [str(parse_override(word)) for word in words] == words

    def test_take_the_discounts_that_the_price_file_shows(self, shop, tmp_path):
        rules = [{"rule": "PriceEndings", "endings": [0.99, 0.49, 0.29]}]
        made = shop.settings(str(tmp_path / "endings"), plan={"rules": rules, "start_price": "regular"})
        run_build(made, progress=False)
        markdown(made, on=ON, out=tmp_path / "prices.csv")
        cut = [row for row in pcsv.read_csv(tmp_path / "prices.csv").to_pylist() if row["discount"] > 0]
        assert cut
        for row in cut:
            by_price = parse_override(f"{row['item']}:1={row['price']}")
            shown = 1 - row["price"] / row["regular_price"]
            for share in (row["discount"], round(shown, 10)):
                by_share = Override(row["item"], 1, depth=share)
                placed = [markdown(made, overrides=[one]).changes[0].price for one in (by_price, by_share)]
                assert placed == [row["price"]] * 2

    def test_of_items_with_blanks_and_of_stores_are_found(self):
        assert parse_override("\ttab :1=2").item == "\ttab "
        assert find_item("\ttab ", {"\ttab ": 1, "tab": 1}) == "\ttab "
        assert find_item(" tab", {"tab": 1}) == "tab"
        said = missing_item("1042", ["1042@north", "1042@south", "1043@north"], {})
        assert said == "'1042' is planned by store: name it as '1042@north' or '1042@south'"
        assert "did you mean" not in missing_item("1004270", ["1004271"], {"1004270": "no stock known"})

    def test_list_what_the_week_loses_and_where_the_list_stops(self, shop, monkeypatch):
        by_hand = [parse_override(word) for word in ("item_0004:1=0%", "flat:1=0%")]
        plain = {(row["item"], row["week"]): row for row in markdown(shop.settings()).rows}
        found = markdown(shop.settings(), overrides=by_hand)
        now = {(row["item"], row["week"]): row for row in found.rows}
        for change in found.changes:
            key = change.item, change.week
            assert change.revenue_change == pytest.approx(now[key]["revenue"] - plain[key]["revenue"])
        monkeypatch.setattr(command, "SHOWN_ITEMS", 1)
        assert f"  (1 of {len(found.changes)}; --json gives all)" in found.text()
        assert f"revenue of that week {found.changes[0].revenue_change:+,.2f}" in found.text()


class TestThePriceFile:
    def test_holds_the_plan_in_spans_that_a_till_can_read(self, own_warehouse, tmp_path):
        found = markdown(own_warehouse, on=ON, out=tmp_path / "prices.parquet")
        assert found.outcome == "written"
        rows = pq.read_table(tmp_path / "prices.parquet").to_pylist()
        weeks = {}
        for row in rows:
            assert row["valid_from"].weekday() == 0
            assert row["valid_to"].weekday() == 6
            assert (row["plan"], row["run_id"]) == ("clearance", found.snapshot.run_id)
            assert row["discount"] == (1 - row["price"] / row["regular_price"]).quantize(Decimal("0.0001"))
            for t in range((row["valid_to"] - row["valid_from"]).days // 7 + 1):
                weeks[row["item"], row["valid_from"] + timedelta(weeks=t)] = row["price"]
        assert weeks == {(r["item"], r["week"]): r["price"] for r in found.rows if not r["reason"]}
        assert len(rows) < len(weeks)

    def test_is_recorded_with_its_overrides(self, own_warehouse, tmp_path):
        by_hand = [parse_override("item_0004:1=0%")]
        planned = next(row["price"] for row in markdown(own_warehouse).rows if row["item"] == "item_0004")
        found = markdown(own_warehouse, on=ON, out=tmp_path / "prices.csv", overrides=by_hand)
        (record,) = find_records(own_warehouse.warehouse, "clearance")
        assert record.facts["overrides"] == ["item_0004:1=0%"]
        assert (record.facts["decided_on"], record.facts["run_id"]) == ("2024-07-01", found.snapshot.run_id)
        rows = pq.read_table(record.path).to_pylist()
        (row,) = [row for row in rows if row["overridden"]]
        assert (row["item"], row["planned_price"], row["price"]) == ("item_0004", planned, row["regular_price"])
        assert planned < row["price"]
        # a build reads logs of target lists in the folder above, and no prices
        assert run_build(own_warehouse, progress=False).outcome == "unchanged"

    def test_csv_is_safe_in_a_spreadsheet(self, own_warehouse, tmp_path):
        found = markdown(own_warehouse, on=ON, out=tmp_path / "prices.csv")
        content = (tmp_path / "prices.csv").read_bytes()
        assert content.startswith(b"\xef\xbb\xbf")
        table = pcsv.read_csv(tmp_path / "prices.csv")
        assert table.column_names[:6] == ["item", "store_id", "valid_from", "valid_to", "price", "regular_price"]
        row = next(row for row in found.rows if row["item"] == "item_0004")
        assert f",{row['price']},{row['regular_price']},".encode() in content

    def test_csv_guards_ids_that_a_spreadsheet_would_run(self):
        names = ["=1+1", "+1", "-1", "@sum", "\ttab", "plain"]
        one = Decimal("1.00")
        weeks = [PricedWeek(name, "", ON, one, one, one) for name in names]
        content = file_bytes(price_file(weeks, "p", "r", "d"), ".csv")
        cells = [row[0] for row in csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))][1:]
        assert sorted(cells) == sorted(["'=1+1", "'+1", "'-1", "'@sum", "'\ttab", "plain"])

    def test_written_again_is_the_same_and_recorded_once(self, own_warehouse, tmp_path):
        out = tmp_path / "prices.csv"
        first = markdown(own_warehouse, on=ON, out=out)
        content, record = out.read_bytes(), first.record.read_bytes()
        again = markdown(own_warehouse, on=ON, out=out)
        assert again.outcome == "unchanged"
        assert (out.read_bytes(), again.record.read_bytes()) == (content, record)
        out.unlink()
        assert markdown(own_warehouse, on=ON, out=out).outcome == "written"
        assert out.read_bytes() == content
        assert len(find_records(own_warehouse.warehouse, "clearance")) == 1

    def test_is_not_written_over(self, own_warehouse, tmp_path):
        out = tmp_path / "prices.csv"
        out.write_text("somebody's")
        with pytest.raises(AlreadyDecided, match="is there with other content"):
            markdown(own_warehouse, on=ON, out=out)
        assert out.read_text() == "somebody's"
        assert find_records(own_warehouse.warehouse, "clearance") == []
        assert markdown(own_warehouse, on=ON, out=out, force=True).outcome == "written"

    def test_other_prices_of_the_plan_need_force_and_name_what_they_replace(self, own_warehouse, tmp_path):
        first = markdown(own_warehouse, on=ON, out=tmp_path / "a.csv")
        by_hand = [parse_override("item_0004:1=0%")]
        with pytest.raises(AlreadyDecided, match=f"was priced before, as {first.decision_id} on 2024-07-01"):
            markdown(own_warehouse, on=ON, out=tmp_path / "b.csv", overrides=by_hand)
        assert not (tmp_path / "b.csv").exists()
        second = markdown(own_warehouse, on=ON, out=tmp_path / "b.csv", overrides=by_hand, force=True)
        records = {r.facts["decision_id"]: r.facts for r in find_records(own_warehouse.warehouse, "clearance")}
        assert records[second.decision_id]["replaces"] == [first.decision_id]
        assert records[first.decision_id]["replaces"] == []

    def test_is_refused_where_the_snapshot_is_old_or_of_other_settings(self, shop, own_warehouse, tmp_path):
        out = tmp_path / "prices.csv"
        with pytest.raises(StaleSnapshotError, match="32 days before 2024-08-01; allowed: 30"):
            markdown(own_warehouse, on=date(2024, 8, 1), out=out)
        with pytest.raises(StaleSnapshotError, match="is before 2024-06-30, the as-of date"):
            markdown(own_warehouse, on=date(2024, 6, 1), out=out)
        changed = shop.settings(str(own_warehouse.warehouse), plan={"weeks": 3})
        with pytest.raises(StaleSnapshotError, match="other settings of clearance: weeks; run 'regulars build'"):
            markdown(changed, on=ON, out=out)
        assert not out.exists()

    def test_holds_items_that_are_not_planned_where_asked(self, shop, own_warehouse, tmp_path):
        asked = shop.settings(str(own_warehouse.warehouse), plan={"unplanned_items": True})
        markdown(asked, on=ON, out=tmp_path / "prices.parquet")
        items = set(pq.read_table(tmp_path / "prices.parquet")["item"].to_pylist())
        assert len(items) == 10

    def test_of_another_kind(self, own_warehouse, tmp_path):
        with pytest.raises(SettingsError, match=r"a price file is a .csv or .parquet file"):
            markdown(own_warehouse, on=ON, out=tmp_path / "prices.xlsx")

    def test_that_cannot_be_written_leaves_no_record(self, own_warehouse, tmp_path):
        (tmp_path / "f").write_text("a file")
        with pytest.raises(WarehouseError, match=r"move it or name another --out .*no price was recorded"):
            markdown(own_warehouse, on=ON, out=tmp_path / "f" / "prices.csv")
        (tmp_path / "prices.csv").mkdir()
        with pytest.raises(WarehouseError, match="no price was recorded"):
            markdown(own_warehouse, on=ON, out=tmp_path / "prices.csv", force=True)
        assert files_of(own_warehouse) == []
        assert sorted(path.name for path in tmp_path.glob(".prices*")) == []
        by_hand = [parse_override("item_0004:1=0%")]
        assert markdown(own_warehouse, on=ON, out=tmp_path / "other.csv", overrides=by_hand).outcome == "written"

    @pytest.mark.parametrize("full_disk", ["of the file", "of the record"])
    def test_or_record_that_the_disk_has_no_room_for_leaves_neither(
        self, own_warehouse, tmp_path, monkeypatch, full_disk
    ):
        real, out = decision.replace_bytes, tmp_path / "prices.csv"

        def full(path, content):
            if (path.parent == tmp_path) == (full_disk == "of the file"):
                raise OSError(28, "No space left on device", str(path))
            real(path, content)

        monkeypatch.setattr(decision, "replace_bytes", full)
        said = {"of the record": "record the prices in .*pending", "of the file": f"write {re.escape(str(out))}"}
        full_text = rf"cannot {said[full_disk]}: the disk is full: .*no price was recorded"
        with pytest.raises(WarehouseError, match=full_text):
            markdown(own_warehouse, on=ON, out=out)
        assert files_of(own_warehouse) == []
        assert list(tmp_path.glob("*prices.csv*")) == []

    @pytest.mark.parametrize("after", ["file aside", "pending record", "file", "record"])
    def test_of_a_killed_run_is_there_with_its_record_or_neither_is(self, own_warehouse, tmp_path, after):
        out = tmp_path / "prices.csv"
        killed = textwrap.dedent("""
            import os, sys
            from datetime import date
            from pathlib import Path
            from regulars.app import markdown as command, price_decision as decision
            from regulars.sql.settings import Settings

            settings = Settings.from_mapping(eval(sys.argv[1]), folder=Path(sys.argv[2]))
            real, replace = decision.replace_bytes, Path.replace

            def kill(at):
                if at == sys.argv[4]:
                    os.kill(os.getpid(), 9)

            def write(path, content):
                real(path, content)
                kill("pending record" if path.name.endswith(".pending") else "file aside")

            def rename(self, target):
                found = replace(self, target)
                if str(target) == sys.argv[3]:
                    kill("file")
                if Path(target).parent.name == "prices" and Path(target).suffix == ".parquet":
                    kill("record")
                return found

            decision.replace_bytes, Path.replace = write, rename
            command.markdown(settings, on=date(2024, 7, 1), out=sys.argv[3])
        """)
        said = own_warehouse.model_dump(exclude_unset=True)
        words = [repr(plain(said)), str(own_warehouse.folder), str(out), after]
        died = subprocess.run([sys.executable, "-c", killed, *words], check=False, capture_output=True, text=True)
        assert died.returncode == -9, died.stderr
        # another decision meets either a record with its file, or nothing
        by_hand = [parse_override("item_0004:1=0%")]
        if after in ("file aside", "pending record"):
            assert not out.exists()
            markdown(own_warehouse, on=ON, out=tmp_path / "b.csv", overrides=by_hand)
            assert len(find_records(own_warehouse.warehouse)) == 1
            assert not out.exists()
        else:
            with pytest.raises(AlreadyDecided, match=f"use {re.escape(str(out))}"):
                markdown(own_warehouse, on=ON, out=tmp_path / "b.csv", overrides=by_hand)
            (record,) = find_records(own_warehouse.warehouse)
            assert record.facts["decision_id"] in out.read_text()
        assert not list(own_warehouse.warehouse.glob("decisions/prices/*.pending"))

    def test_a_replaced_decision_is_not_handed_out_again(self, own_warehouse, tmp_path):
        first = markdown(own_warehouse, on=ON, out=tmp_path / "a.csv")
        by_hand = [parse_override("item_0004:1=0%")]
        second = markdown(own_warehouse, on=ON, out=tmp_path / "b.csv", overrides=by_hand, force=True)
        assert f"replaces prices of clearance from 2024-07-01, {first.decision_id}" in second.text()
        said = f"was priced before, as {second.decision_id}.*these very prices, {first.decision_id}, were replaced"
        (tmp_path / "b.csv").unlink()
        with pytest.raises(AlreadyDecided, match=r"its file .*b.csv is gone, and the same command writes it again"):
            markdown(own_warehouse, on=ON, out=tmp_path / "c.csv")
        for name in ("a.csv", "c.csv"):
            with pytest.raises(AlreadyDecided, match=said):
                markdown(own_warehouse, on=ON, out=tmp_path / name)
        third = markdown(own_warehouse, on=ON, out=tmp_path / "c.csv", force=True)
        replaces = {r.facts["decision_id"]: r.facts["replaces"] for r in find_records(own_warehouse.warehouse)}
        assert replaces == {
            first.decision_id: [],
            second.decision_id: [first.decision_id],
            third.decision_id: [second.decision_id],
        }
        assert markdown(own_warehouse, on=ON, out=tmp_path / "c.csv").outcome == "unchanged"

    def test_equal_prices_are_the_same_decision(self, own_warehouse, tmp_path):
        first = markdown(own_warehouse, on=ON, out=tmp_path / "a.csv")
        later = markdown(own_warehouse, on=ON + timedelta(days=1), out=tmp_path / "b.csv")
        row = next(row for row in first.rows if not row["reason"])
        same = [parse_override(f"{row['item']}:1={row['price']}")]
        by_hand = markdown(own_warehouse, on=ON, out=tmp_path / "c.csv", overrides=same)
        assert first.decision_id == later.decision_id == by_hand.decision_id
        assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
        assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "c.csv").read_bytes()
        assert "these prices were decided on 2024-07-01" in later.text()
        assert len(find_records(own_warehouse.warehouse)) == 1

    def test_of_overlapping_weeks_needs_force_where_a_price_differs(self, shop, tmp_path):
        warehouse = str(tmp_path / "weekly")
        made = shop.settings(warehouse)
        run_build(made, progress=False)
        first = markdown(made, on=ON, out=tmp_path / "a.csv")
        later = shop.settings(warehouse, plan={"starts": date(2024, 7, 8), "salvage": 0.9})
        run_build(later, progress=False)
        with pytest.raises(
            AlreadyDecided, match=f"clearance from 2024-07-01 was priced before, as {first.decision_id}"
        ):
            markdown(later, on=ON, out=tmp_path / "b.csv")
        second = markdown(later, on=ON, out=tmp_path / "b.csv", force=True)
        found = {r.facts["decision_id"]: r for r in find_records(made.warehouse)}
        assert found[second.decision_id].facts["replaces"] == [first.decision_id]
        # a plan of weeks after both overlaps neither
        last = shop.settings(warehouse, plan={"starts": date(2024, 8, 5), "max_snapshot_age_days": 60})
        run_build(last, progress=False)
        assert markdown(last, on=ON, out=tmp_path / "c.csv").notes == ()
        # and the first week, which the second did not take, stands
        run_build(made, progress=False, force=True)
        with pytest.raises(AlreadyDecided, match=second.decision_id):
            markdown(made, on=ON, out=tmp_path / "d.csv")
        again = markdown(made, on=ON, out=tmp_path / "d.csv", force=True)
        (record,) = [r for r in find_records(made.warehouse) if r.facts["decision_id"] == again.decision_id]
        assert record.facts["replaces"] == sorted([first.decision_id, second.decision_id])

    def test_of_two_plans_with_an_item_at_two_prices_is_refused(self, shop, tmp_path):
        plan = {"weeks": 4, "start_price": "regular", "max_snapshot_age_days": 30}
        deep = {"ladder": [0.4, 0.5], "items": ["flat"]}
        plans = {"a": plan | {"ladder": [0.0]}, "b": plan | deep, "c": plan | {"ladder": [0.0], "items": ["flat"]}}
        made = shop.settings(str(tmp_path / "two"), pricing={"categories": ["drinks", "snacks"], "markdowns": plans})
        run_build(made, progress=False)
        first = markdown(made, "a", on=ON, out=tmp_path / "a.csv")
        assert markdown(made, "c", on=ON, out=tmp_path / "c.csv").notes == ()
        said = f"1 of b's items are priced otherwise by a, as {first.decision_id} on 2024-07-01: 'flat'; 'flat' in"
        with pytest.raises(AlreadyDecided, match=said):
            markdown(made, "b", on=ON, out=tmp_path / "b.csv")
        forced = markdown(made, "b", on=ON, out=tmp_path / "b.csv", force=True)
        assert f"replaces prices of a from 2024-07-01, {first.decision_id}" in forced.notes
        # the other items of the first plan stand, this one does not
        with pytest.raises(AlreadyDecided, match=forced.decision_id):
            markdown(made, "a", on=ON, out=tmp_path / "a2.csv")

    @pytest.mark.parametrize("place", ["record", "decisions", "run", "input"])
    def test_is_not_written_into_the_warehouse_or_the_inputs(self, shop, own_warehouse, tmp_path, place):
        record = markdown(own_warehouse, on=ON, out=tmp_path / "a.csv").record
        content = record.read_bytes()
        out = {
            "record": record,
            "decisions": own_warehouse.warehouse / "decisions" / "mine.csv",
            "run": own_warehouse.warehouse / "runs" / "x.csv",
            "input": shop.folder / "orders.parquet",
        }[place]
        with pytest.raises(SettingsError, match=r"reads; name another file|lies in the warehouse"):
            markdown(own_warehouse, on=ON, out=out, force=True)
        assert record.read_bytes() == content

    def test_of_a_plan_that_is_over_is_refused(self, shop, own_warehouse, tmp_path):
        made = shop.settings(str(own_warehouse.warehouse), plan={"max_snapshot_age_days": 1000})
        with pytest.raises(StaleSnapshotError, match=r"clearance ended on 2024-07-28, before 2024-07-29.*--on"):
            markdown(made, on=date(2024, 7, 29), out=tmp_path / "late.csv", force=True)
        late = markdown(made, on=date(2024, 7, 28), out=tmp_path / "late.csv")
        assert late.notes == ("the plan began on 2024-07-01, before 2024-07-28",)

    @pytest.mark.parametrize(
        ("changed", "said"),
        [
            ({"shop": {"currency": "USD"}}, r"\[shop\] currency"),
            ({"orders": {"path": "orders.parquet", "columns": {"unit_cost": "unit_cost * 3"}}}, r"\[orders\] columns"),
            ({"value": {"as_of": date(2024, 6, 29)}}, r"\[value\] as_of"),
            ({"policy": {"duplicates": "set_aside"}}, r"\[policy\] duplicates"),
        ],
    )
    def test_is_refused_where_what_shaped_the_plan_has_changed(self, shop, own_warehouse, tmp_path, changed, said):
        made = shop.settings(str(own_warehouse.warehouse), **changed)
        with pytest.raises(StaleSnapshotError, match=f"built with other settings of clearance: {said};"):
            markdown(made, on=ON, out=tmp_path / "p.csv")

    def test_of_a_run_that_plans_differently_now_is_refused(self, own_warehouse, tmp_path, monkeypatch):
        monkeypatch.setattr(command, "cents", lambda price: round(price + 1.0, 2))
        with pytest.raises(WarehouseError, match="planned again, its prices come out differently"):
            markdown(own_warehouse, on=ON, overrides=[parse_override("flat:1=10%")])


class TestTheCommand:
    def test_prints_writes_and_returns_its_exit_codes(self, shop, own_warehouse, tmp_path):
        path = toml(shop, tmp_path, own_warehouse.warehouse)
        assert run("build", "-s", path, "-q").stdout.startswith("unchanged")
        shown = run("markdown", "-s", path, "--on", ON)
        assert shown.exit_code == 0, shown.output
        assert "item_0004" in shown.stdout
        out = tmp_path / "prices.csv"
        written = run("markdown", "clearance", "-s", path, "--on", ON, "-o", out, "--json")
        said = json.loads(written.stdout)
        assert (said["outcome"], said["exit_code"], said["file"]) == ("written", 0, str(out))
        assert len(said["prices"]) == 40
        by_hand = ("--override", "flat:1=0%")
        assert run("markdown", "-s", path, "--on", ON, "-o", out, *by_hand).exit_code == AlreadyDecided.exit_code
        forced = run("markdown", "-s", path, "--on", ON, "-o", out, *by_hand, "--force")
        assert "with 1 price set by hand" in forced.stdout
        assert run("markdown", "-s", path, "-o", out).exit_code == StaleSnapshotError.exit_code
        conflict = run("markdown", "-s", path, "--override", "flat:1=50%", "--json")
        assert conflict.exit_code == ModelError.exit_code
        assert '{ rule = "MaximumStep", share = 0.3 }' in json.loads(conflict.stdout)["message"]
        assert run("markdown", "none", "-s", path).exit_code == SettingsError.exit_code
