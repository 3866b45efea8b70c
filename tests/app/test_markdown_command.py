"""`regulars markdown`: the plan in words, prices set by hand, what the command prints and returns."""

import json
import re
from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
import pytest
from typer.testing import CliRunner

from regulars.app import cli as command_line
from regulars.app import markdown as command
from regulars.app.build import run_build
from regulars.app.markdown import markdown
from regulars.app.plan_rules import explain_conflict, make_rules
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


def run(*words: object):
    return CliRunner().invoke(command_line.cli, [str(word) for word in words])


class TestThePlan:
    def test_is_read_item_by_item(self, planned_shop):
        found = markdown(planned_shop.settings(), on=ON)
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

    def test_explains_an_item(self, planned_shop):
        said = markdown(planned_shop.settings(), explain="item_0004", on=ON).text()
        assert "item_0004: one more unit is worth" in said
        assert "Week 1 at" in said
        assert (
            "gone is not planned and keeps its price: off sale"
            in markdown(planned_shop.settings(), explain="gone").text()
        )
        with pytest.raises(SettingsError, match=r"'item_004' is not in the plan; did you mean 'item_0004'"):
            markdown(planned_shop.settings(), explain="item_004")

    def test_says_where_the_snapshot_is_too_old_and_shows_it_all_the_same(self, planned_shop):
        (note,) = markdown(planned_shop.settings(), on=ON + timedelta(days=60)).notes
        assert "61 days before 2024-08-30; allowed: 30" in note

    def test_that_is_not_there(self, planned_shop):
        with pytest.raises(SettingsError, match=r"holds no plan 'clearanc'; did you mean 'clearance'\?"):
            markdown(planned_shop.settings(), "clearanc")
        with pytest.raises(WarehouseError, match="regulars build"):
            markdown(planned_shop.settings("never built"))

    def test_without_any_or_with_several(self, planned_shop, tmp_path):
        run_build(planned_shop.settings(str(tmp_path / "none"), pricing={"categories": ["drinks"]}), progress=False)
        with pytest.raises(SettingsError, match=r"holds no markdown plan: write \[pricing.markdowns.NAME\]"):
            markdown(planned_shop.settings(str(tmp_path / "none")))
        two = {"categories": ["drinks"], "markdowns": {"a": {"weeks": 1}, "b": {"weeks": 2}}}
        made = planned_shop.settings(str(tmp_path / "two"), pricing=two)
        run_build(made, progress=False)
        with pytest.raises(SettingsError, match="holds several plans, a, b: name one"):
            markdown(made)
        assert markdown(made, "b").account["weeks"] == 2

    def test_whose_rules_conflict(self, planned_shop, tmp_path):
        rules = [{"rule": "SellThrough", "share": 1.0}, {"rule": "MaxMarkdowns", "count": 0}]
        made = planned_shop.settings(str(tmp_path / "conflict"), plan={"rules": rules})
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
    def test_outside_the_plan_are_refused(self, planned_shop, rule, said):
        with pytest.raises(SettingsError) as error:
            run_build(planned_shop.settings("never", plan={"rules": [rule]}), progress=False)
        assert said in str(error.value)
        assert str(error.value).startswith("regulars.toml: [pricing.markdowns.clearance] rules: ")

    def test_are_those_of_the_rows_and_of_the_price(self, planned_shop, tmp_path):
        rules = [{"rule": "FixedPrice", "item": "flat", "week": 2, "discount": 0.3}]
        made = planned_shop.settings(str(tmp_path / "fixed"), plan={"rules": rules, "start_price": "regular"})
        run_build(made, progress=False)
        found = markdown(made, explain="flat")
        rows = [row for row in found.rows if row["item"] == "flat"]
        assert rows[1]["discount"] == pytest.approx(0.3)
        names = {row[key] for row in rows for key in ("binding_rule", "up_forbidden_by", "down_forbidden_by")}
        fixed = "FixedPrice(item='flat', week=2, discount=0.3)"
        assert fixed in names
        assert not any("week=1" in name for name in names)


class TestOverrides:
    def test_plan_the_rest_anew_and_say_what_changed(self, planned_shop):
        plain = markdown(planned_shop.settings(), on=ON)
        first = next(row for row in plain.rows if row["item"] == "item_0004")
        found = markdown(planned_shop.settings(), overrides=[parse_override("item_0004:1=0%")], on=ON)
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

    def test_by_price_by_depth_and_by_day_are_the_same(self, planned_shop):
        row = next(row for row in markdown(planned_shop.settings()).rows if row["item"] == "flat")
        price = row["regular_price"] * Decimal("0.9")
        words = [f"flat:1={price}", "flat:1=10%", "flat:2024-07-01=10%"]
        found = [markdown(planned_shop.settings(), overrides=[parse_override(word)], on=ON) for word in words]
        assert found[0].rows == found[1].rows == found[2].rows
        assert found[0].rows[0]["price"] == price

    def test_that_repeat_the_plan_change_nothing(self, planned_shop):
        plain = markdown(planned_shop.settings(), on=ON)
        words = [f"{r['item']}:{r['week']}={r['price']}" for r in plain.rows if not r["reason"]]
        found = markdown(planned_shop.settings(), overrides=[parse_override(word) for word in words], on=ON)
        assert all(change.planned_price == change.price for change in found.changes)
        assert [row["price"] for row in found.rows] == [row["price"] for row in plain.rows]
        assert found.account["objective"] == pytest.approx(plain.account["objective"], rel=1e-12)

    def test_from_a_file(self, planned_shop, tmp_path):
        path = tmp_path / "by hand.csv"
        path.write_text("item,week,price,discount\nitem_0004,1,,0\nflat,2024-07-08,,20%\nitem_0000,1,4.40,\n")
        said = read_overrides(path)
        assert list(map(str, said)) == ["item_0004:1=0%", "flat:2024-07-08=20%", "item_0000:1=4.4"]
        assert len([c for c in markdown(planned_shop.settings(), overrides=said, on=ON).changes if c.overridden]) == 3

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
    def test_that_cannot_be(self, planned_shop, word, said):
        with pytest.raises(SettingsError) as error:
            markdown(planned_shop.settings(), overrides=[parse_override(word)], on=ON)
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

    def test_under_a_budget_may_move_other_items(self, planned_shop, tmp_path):
        made = planned_shop.settings(str(tmp_path / "budget"), plan={"rules": [{"rule": "Budget", "amount": 300.0}]})
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

    def test_against_a_rule_name_the_smallest_set(self, planned_shop):
        # 50% in the first week is a step of more than 30%
        said = (
            'override flat:1=50% and { rule = "MaximumStep", share = 0.3 } cannot both hold for item '
            "'flat'; leave one out, or loosen the rule and run 'regulars build'"
        )
        with pytest.raises(ModelError, match=f"^{re.escape(said)}$"):
            markdown(planned_shop.settings(), overrides=[parse_override("flat:1=50%")])

    def test_that_rise_are_told_that_prices_only_fall(self, planned_shop):
        words = ["flat:2=10%", "flat:2024-07-15=0%"]
        with pytest.raises(ModelError) as error:
            markdown(planned_shop.settings(), overrides=[parse_override(word) for word in words])
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

    def test_take_the_discounts_that_the_price_file_shows(self, planned_shop, tmp_path):
        rules = [{"rule": "PriceEndings", "endings": [0.99, 0.49, 0.29]}]
        made = planned_shop.settings(str(tmp_path / "endings"), plan={"rules": rules, "start_price": "regular"})
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

    def test_list_what_the_week_loses_and_where_the_list_stops(self, planned_shop, monkeypatch):
        by_hand = [parse_override(word) for word in ("item_0004:1=0%", "flat:1=0%")]
        plain = {(row["item"], row["week"]): row for row in markdown(planned_shop.settings()).rows}
        found = markdown(planned_shop.settings(), overrides=by_hand)
        now = {(row["item"], row["week"]): row for row in found.rows}
        for change in found.changes:
            key = change.item, change.week
            assert change.revenue_change == pytest.approx(now[key]["revenue"] - plain[key]["revenue"])
        monkeypatch.setattr(command, "SHOWN_ITEMS", 1)
        assert f"  (1 of {len(found.changes)}; --json gives all)" in found.text()
        assert f"revenue of that week {found.changes[0].revenue_change:+,.2f}" in found.text()


class TestTheCommand:
    def test_prints_writes_and_returns_its_exit_codes(self, planned_shop, own_warehouse, tmp_path):
        path = toml(planned_shop, tmp_path, own_warehouse.warehouse)
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
