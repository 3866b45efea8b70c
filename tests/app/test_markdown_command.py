"""`regulars markdown`: the plan in words, prices set by hand, the price file and the record of what was priced."""

import json
from datetime import date, timedelta
from decimal import Decimal

import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from regulars.app import cli as command_line
from regulars.app import markdown as command
from regulars.app.build import run_build
from regulars.app.markdown import markdown
from regulars.app.price_file import find_records
from regulars.app.price_overrides import parse_override, read_overrides
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
        with pytest.raises(SettingsError, match=r"the plan has no such item; did you mean 'item_0004'"):
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
        with pytest.raises(ModelError, match=r"no plan: its rules conflict: .*SellThrough\(share=1.0\)"):
            markdown(made)


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
        assert list(map(str, said)) == ["item_0004:1=0.0000%", "flat:2024-07-08=20.0000%", "item_0000:1=4.4"]
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
        with pytest.raises(
            ModelError, match=r"Budget\(amount=300.0.*FixedPrice\(item='item_0004', week=0, discount=0.5\)"
        ):
            markdown(made, overrides=[parse_override("item_0004:1=50%")], on=ON)
        found = markdown(made, overrides=[parse_override("flat:1=50%")], on=ON)
        moved = {change.item for change in found.changes if not change.overridden}
        assert moved - {"flat"}
        assert found.account["objective"] <= plain.account["bound"]
        assert 0 <= found.account["gap"] <= 1e-4

    def test_against_a_rule_name_the_smallest_set(self, shop):
        # 50% in the first week is a step of more than 30%
        with pytest.raises(ModelError, match=r"MaximumStep\(share=0.3\).*FixedPrice|FixedPrice.*MaximumStep"):
            markdown(shop.settings(), overrides=[parse_override("flat:1=50%")])


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
        assert record.facts["overrides"] == ["item_0004:1=0.0000%"]
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

    def test_that_cannot_be_written_leaves_its_record(self, own_warehouse, tmp_path, monkeypatch):
        def full(path, content):
            raise OSError(28, "No space left on device", str(path))

        monkeypatch.setattr(command, "replace_bytes", full)
        with pytest.raises(WarehouseError, match="the prices are recorded, the price file was not written"):
            markdown(own_warehouse, on=ON, out=tmp_path / "prices.csv")
        assert len(find_records(own_warehouse.warehouse, "clearance")) == 1
        monkeypatch.undo()
        assert markdown(own_warehouse, on=ON, out=tmp_path / "prices.csv").outcome == "written"

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
        assert "MaximumStep(share=0.3)" in json.loads(conflict.stdout)["message"]
        assert run("markdown", "none", "-s", path).exit_code == SettingsError.exit_code
