"""Prices in a build: panel, price response and plans in the snapshot; whatever cannot be planned says why."""

import json
import re
import shutil
from datetime import date, datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from regulars.app import prices as build_step
from regulars.app.build import run_build
from regulars.app.demo import demo_settings
from regulars.app.price_plans import PlanInputs
from regulars.app.prices import learn_prices
from regulars.pricing import price_panel
from regulars.sql.contract import ELASTICITIES, MARKDOWN_PLAN, MARKDOWN_PLANS, PRICE_PANEL
from regulars.sql.database import connect
from regulars.sql.errors import MissingExtraError, SettingsError, WarehouseError
from regulars.sql.pricing_settings import MarkdownSettings, PricingSettings
from regulars.sql.settings import Settings

TABLES = {table.name: table for table in (PRICE_PANEL, ELASTICITIES, MARKDOWN_PLANS, MARKDOWN_PLAN)}
PLANNED = {"flat", "item_0000", "item_0002", "item_0004"}


def counts(folder, day, on_hand):
    """A file of stock with a count of one item in one store."""
    rows = [{"sku": "item_0000", "store_id": "store_000", "week": day, "on_hand": on_hand}]
    pq.write_table(pa.Table.from_pylist(rows), folder / "stock.parquet")
    return str(folder / "stock.parquet")


def plan_rows(tables, name="markdown_plan"):
    return tables[name].to_pylist()


def reasons(found):
    return {row["item"]: row["reason"] for row in plan_rows(found.tables)}


class TestABuild:
    def test_holds_the_tables(self, priced_shop, priced_snapshot):
        snapshot = priced_snapshot.snapshot
        with connect(priced_shop.settings()) as database:
            panel = price_panel(database, ["drinks", "snacks"])
        stored = snapshot.read("price_panel")
        assert stored.column_names == list(PRICE_PANEL.column_names)
        assert stored["item"].to_pylist() == panel["item"].tolist()
        np.testing.assert_array_equal(stored["price"].to_numpy(), panel["price"].to_numpy())
        assert sorted(snapshot.read("elasticities")["item"].to_pylist()) == sorted(set(panel["item"]))

    def test_estimates_what_the_shop_was_drawn_with(self, priced_shop, priced_snapshot):
        rows = priced_snapshot.snapshot.read("elasticities").to_pylist()
        inside = [r["lower"] <= priced_shop.own[r["item"]] <= r["upper"] for r in rows if r["item"] in priced_shop.own]
        assert sum(inside) >= len(inside) - 1  # 90% intervals of eight items

    def test_says_of_every_item_its_price_or_why_it_keeps_it(self, priced_snapshot):
        rows = priced_snapshot.snapshot.read("markdown_plan").to_pylist()
        by_item = {row["item"]: row for row in rows}
        assert len(rows) == 4 * len(by_item) == 40
        assert {item for item, row in by_item.items() if not row["reason"]} == PLANNED
        assert {item: row["reason"].partition(":")[0] for item, row in by_item.items() if row["reason"]} == {
            "gone": "off sale",
            "item_0001": "off the shelf before the plan starts",
            "item_0003": "stock below 0",
            "item_0005": "nothing left",
            "item_0006": "no stock known",
            "item_0007": "no stock known",
        }
        for row in rows:
            assert isinstance(row["price"], Decimal)
            if row["reason"]:
                assert (row["price"], row["changed"], row["units"]) == (row["regular_price"], False, None)
            else:
                assert 0 <= row["units_lower"] <= row["units_upper"] <= row["on_hand"]
                assert row["units"] <= row["on_hand"] + 1e-9
                assert row["elasticity_lower"] < row["elasticity"] < row["elasticity_upper"] < 0
                assert row["stock_rule"].startswith("stock of 2024-06-24")
                # nothing left, or off the shelf: nothing sold
                assert (row["margin"] < row["revenue"]) == (row["units"] > 0.0)
                assert abs(float(row["price"]) - float(row["regular_price"]) * (1 - row["discount"])) <= 0.005 + 1e-9

    def test_takes_what_was_sold_since_the_count_off_the_stock(self, priced_shop, priced_snapshot):
        lines = pq.read_table(priced_shop.folder / "orders.parquet").to_pylist()
        sold = dict.fromkeys(PLANNED, 0)
        for line in lines:
            if line["sku"] in PLANNED and line["ordered_at"] >= datetime(2024, 6, 24):  # noqa: DTZ001
                sold[line["sku"]] += line["quantity"]
        counted = {"item_0000": 270, "item_0002": 180, "item_0004": 600, "flat": 90}
        first = [r for r in priced_snapshot.snapshot.read("markdown_plan").to_pylist() if r["week"] == date(2024, 7, 1)]
        left = {row["item"]: row["on_hand"] for row in first if not row["reason"]}
        assert min(sold[item] for item in PLANNED - {"flat"}) > 0
        assert left == {item: counted[item] - sold[item] for item in PLANNED}

    def test_gives_an_item_with_a_single_price_ever_its_category_s_answer(self, priced_snapshot):
        rows = {row["item"]: row for row in priced_snapshot.snapshot.read("elasticities").to_pylist()}
        assert (rows["flat"]["method"], rows["flat"]["own_data_share"]) == ("category", 0.0)
        assert rows["flat"]["own_elasticity"] is None

    def test_keeps_the_rules_of_its_settings(self, priced_snapshot):
        prices = {}
        for row in priced_snapshot.snapshot.read("markdown_plan").to_pylist():
            prices.setdefault(row["item"], []).append((row["week"], row["discount"]))
        assert prices["flat"][0][0] == date(2024, 7, 1)
        for path in prices.values():
            depth = np.array([0.0, *(discount for _, discount in path)])
            changed = np.flatnonzero(np.diff(depth))
            assert (np.diff(depth) >= 0).all()
            assert len(changed) <= 2
            assert (np.diff(changed) >= 2).all()
            assert np.diff(depth).max() <= 0.3 + 1e-9

    def test_explains_each_price(self, priced_snapshot):
        rows = [r for r in priced_snapshot.snapshot.read("markdown_plan").to_pylist() if not r["reason"]]
        for row in rows:
            for side in ("up", "down"):
                if row[f"{side}_price"] is not None:
                    forbidden = row[f"{side}_forbidden_by"]
                    assert (row[f"{side}_worth"] is None) == bool(forbidden)
                    assert forbidden or row[f"{side}_worth"] <= 1e-6
        assert any(row["binding_rule"] for row in rows)
        assert all(row["unit_worth"] >= 0 for row in rows)

    def test_gives_an_account_of_the_plan(self, priced_snapshot):
        (row,) = priced_snapshot.snapshot.read("markdown_plans").to_pylist()
        assert (row["plan"], row["starts"], row["items"], row["planned_items"]) == (
            "clearance", date(2024, 7, 1), 10, 4,
        )  # fmt: skip
        assert row["gap"] == 0.0
        assert row["unchanged"] < row["objective"] <= row["bound"]
        assert row["revenue"] + row["salvage"] == pytest.approx(row["objective"], abs=1e-6)
        assert row["salvage"] > 0.0
        parts = f"worth {row['objective']:,.2f} (revenue {row['revenue']:,.2f}, salvage {row['salvage']:,.2f}), "
        assert parts in row["sentence"]
        said = priced_snapshot.sentence()
        assert f"markdown plan clearance: {row['sentence']}" in said
        assert priced_snapshot.to_dict()["markdowns"]["clearance"]["planned_items"] == 4

    def test_keeps_what_gives_the_very_same_plan_again(self, priced_snapshot):
        snapshot = priced_snapshot.snapshot
        plan = PlanInputs.load(snapshot.path / "models" / "markdown_clearance").plan()
        (account,) = snapshot.read("markdown_plans").to_pylist()
        assert (plan.objective, plan.bound, plan.gap) == (account["objective"], account["bound"], account["gap"])
        stored = {(r["item"], r["week"]): r for r in snapshot.read("markdown_plan").to_pylist() if not r["reason"]}
        for again in plan.prices.to_dict("records"):
            row = stored.pop((again["item"], again["week"]))
            for name in ("units", "on_hand", "revenue", "discount"):
                assert again[name] == row[name]
        assert not stored

    def test_whose_files_are_damaged_or_of_another_plan_says_what_to_do(self, priced_snapshot, tmp_path):
        kept = priced_snapshot.snapshot.path / "models" / "markdown_clearance"
        for terms in (
            "{}",
            "[]",
            "{",
            '{"weeks": 4}',
            json.dumps(json.loads((kept / "plan.json").read_text()) | {"weeks": 5}),
        ):
            shutil.copytree(kept, tmp_path / "plan", dirs_exist_ok=True)
            (tmp_path / "plan" / "plan.json").write_text(terms)
            with pytest.raises(WarehouseError, match=r"plan\.json and items\.parquet .*'regulars build --force'"):
                PlanInputs.load(tmp_path / "plan")
        shutil.copytree(kept, tmp_path / "plan", dirs_exist_ok=True)
        pq.write_table(pa.table({"item": ["tee"]}), tmp_path / "plan" / "items.parquet")
        with pytest.raises(WarehouseError, match=r"plan\.json and items\.parquet .*'regulars build --force'"):
            PlanInputs.load(tmp_path / "plan")

    def test_is_checked_file_by_file(self, priced_shop):
        snapshot = run_build(priced_shop.settings("damaged"), progress=False).snapshot
        assert snapshot.damage() == []
        (snapshot.path / "models" / "markdown_clearance" / "plan.json").write_text("{}")
        assert any("plan.json" in line for line in snapshot.damage())

    def test_gives_the_same_bytes_at_one_thread_and_two(self, priced_shop, priced_snapshot):
        again = run_build(priced_shop.settings("elsewhere", threads=2), progress=False).snapshot
        assert again.run_id == priced_snapshot.snapshot.run_id
        first, second = (
            {
                path.relative_to(snapshot.path).as_posix(): path.read_bytes()
                for path in sorted(snapshot.path.rglob("*"))
                if path.is_file() and path.name != "run.log"
            }
            for snapshot in (priced_snapshot.snapshot, again)
        )
        assert first.keys() == second.keys()
        assert [name for name in first if first[name] != second[name]] == []

    def test_reads_every_order_line_and_says_so(self, priced_shop, priced_snapshot):
        assert priced_snapshot.how == "full"
        assert priced_snapshot.reason == "[pricing] reads every order line"
        assert run_build(priced_shop.settings(), progress=False).outcome == "unchanged"
        only_the_file = priced_shop.settings(plan={"max_snapshot_age_days": 90, "unplanned_items": True})
        assert run_build(only_the_file, progress=False).outcome == "unchanged"

    def test_without_pricing_the_tables_are_there_and_empty(self, priced_shop):
        snapshot = run_build(priced_shop.settings("plain", pricing=None), progress=False).snapshot
        assert {name: snapshot.read(name).num_rows for name in TABLES} == dict.fromkeys(TABLES, 0)
        assert snapshot.manifest["markdowns"] == {}


class TestRefused:
    def test_a_category_that_is_not_there_is_a_note_and_no_failure(self, priced_shop):
        found = priced_shop.prices(pricing={"categories": ["drinks", "sancks"]})
        assert "category 'sancks' has no order line; did you mean 'snacks'?" in " ".join(found.notes)
        assert set(found.tables["elasticities"]["category"].to_pylist()) == {"drinks"}
        none = priced_shop.prices(pricing={"categories": ["x"], "markdowns": {"a": {"items": ["flat"]}}})
        assert "[pricing] has no price panel: no order line of 'x'" in none.notes[0]
        alone = priced_shop.prices(pricing={"categories": ["sancks"]})
        assert "category 'sancks' is none of the products; did you mean 'snacks'?" in " ".join(alone.notes)
        assert none.tables["price_panel"].num_rows == 0
        assert reasons(none)["flat"].startswith("not in the price panel")

    def test_an_item_that_the_panel_has_not_seen(self, priced_shop):
        found = priced_shop.prices(plan={"items": ["flat", "new", "item_00002"], "categories": ["drnks"]})
        assert reasons(found)["new"].startswith("not in the price panel")
        assert reasons(found)["item_00002"].endswith("did you mean 'item_0002'?")
        assert (
            "[pricing.markdowns.clearance] category 'drnks' has no item in the price panel: nothing of it is planned; "
            "did you mean 'drinks'?" in found.notes
        )
        assert {row["price"] for row in plan_rows(found.tables) if row["item"] == "new"} == {None}
        assert plan_rows(found.tables, "markdown_plans")[0]["planned_items"] == 1

    def test_rules_that_conflict_name_the_smallest_set(self, priced_shop):
        rules = [
            {"rule": "SellThrough", "share": 1.0, "where": {"item": "item_0004"}},
            {"rule": "MaxMarkdowns", "count": 0},
        ]
        found = priced_shop.prices(plan={"rules": rules, "categories": ["drinks"]})
        (account,) = plan_rows(found.tables, "markdown_plans")
        assert account["objective"] is None
        assert "SellThrough" in account["conflict"]
        assert "MaxMarkdowns" in account["conflict"]
        assert account["sentence"] == f"no plan: its rules conflict: {account['conflict']}"
        rows = [row for row in plan_rows(found.tables) if row["item"] == "item_0004"]
        assert {row["reason"] for row in rows} == {account["sentence"]}
        assert all(row["price"] == row["regular_price"] for row in rows)

    def test_a_rule_that_needs_a_column_nobody_has(self, priced_shop):
        found = priced_shop.prices(plan={"rules": [{"rule": "AllOrNothing", "by": "colour"}]})
        said = plan_rows(found.tables, "markdown_plans")[0]["sentence"]
        assert "items have no column 'colour'" in said
        assert said.endswith("]; map it in [products] columns, or correct the rule")

    def test_an_exit_rule_where_no_product_has_an_exit(self, priced_shop, tmp_path):
        products = pq.read_table(priced_shop.folder / "products.parquet").drop_columns(["exit_on"])
        pq.write_table(products, tmp_path / "products.parquet")
        found = priced_shop.prices(
            products={"path": str(tmp_path / "products.parquet")}, plan={"rules": [{"rule": "ExitDate"}]}
        )
        said = plan_rows(found.tables, "markdown_plans")[0]["sentence"]
        assert "items have no column 'exit_on'" in said
        assert "map it in [products] columns" in said

    def test_a_soft_target_that_is_missed_is_part_of_the_account(self, priced_shop):
        rules = [{"rule": "SellThrough", "share": 1.0, "penalty": 2.0}]
        plan = {"rules": rules, "items": ["item_0004"], "weeks": 1, "ladder": [0.0]}
        (row,) = plan_rows(priced_shop.prices(plan=plan).tables, "markdown_plans")
        # one price, one week: what is left misses the target, at 2 a unit
        (week,) = [r for r in plan_rows(priced_shop.prices(plan=plan).tables) if not r["reason"]]
        left = week["on_hand"] - week["units"]
        assert row["salvage"] == pytest.approx(0.2 * week["regular_price"] * left, abs=1e-6)
        assert row["objective"] == pytest.approx(row["revenue"] + row["salvage"] - 2.0 * left, abs=1e-6)
        assert f"missed targets {-2.0 * left:,.2f})" in row["sentence"]

    def test_the_exit_of_the_contract_is_found(self, priced_shop):
        plan = {"rules": [{"rule": "ExitDate"}], "items": ["item_0002", "flat"]}
        found = priced_shop.prices(plan=plan)
        rows = {(r["item"], r["week"].isoformat()): r for r in plan_rows(found.tables)}
        # its last day on sale is 2024-07-14
        assert rows["item_0002", "2024-07-08"]["units"] > 0.0
        assert ("item_0002", "2024-07-15") not in rows or not rows["item_0002", "2024-07-15"]["units"]
        assert rows["flat", "2024-07-22"]["units"] > 0.0
        none = priced_shop.prices(plan=plan | {"items": ["flat"]})
        assert plan_rows(none.tables, "markdown_plans")[0]["planned_items"] == 1

    def test_a_plan_that_starts_before_the_data_end(self, priced_shop):
        found = priced_shop.prices(plan={"starts": "2024-06-24"})
        assert (
            "it starts on 2024-06-24, not after 2024-06-30" in plan_rows(found.tables, "markdown_plans")[0]["sentence"]
        )

    def test_an_impossible_sell_through_or_a_share_in_per_cent_is_an_error_before_anything_is_read(self, priced_shop):
        for rule, said in (
            ({"rule": "SellThrough", "share": 1.2}, "no more than the stock can be sold"),
            ({"rule": "MaximumStep", "share": 30}, "it is a share between 0 and 1"),
            ({"rule": "MaxMarkdowns", "count": "two"}, "it is a whole number"),
            ({"rule": "SellThrough", "share": "all"}, "rules: "),
        ):
            with pytest.raises(SettingsError) as error:
                run_build(priced_shop.settings("nothing", plan={"rules": [rule]}), progress=False)
            assert "regulars.toml: [pricing.markdowns.clearance] rules: " in str(error.value)
            assert said in str(error.value)
        assert not (priced_shop.folder / "nothing").exists()

    def test_weeks_that_begin_on_sunday(self, priced_shop):
        with pytest.raises(SettingsError, match="weeks of a price panel begin on Monday"):
            run_build(priced_shop.settings("nothing", shop={"week_starts_on": "sunday"}), progress=False)

    def test_holidays_of_nowhere(self, priced_shop):
        with pytest.raises(SettingsError, match="holidays = 'XX' is no country"):
            run_build(priced_shop.settings("nothing", pricing={"holidays": "XX"}), progress=False)

    def test_a_fit_that_fails_takes_no_other_category_with_it(self, priced_shop, monkeypatch):
        from regulars.pricing import elasticity

        fit = elasticity.estimate_elasticities

        def fails(panel, **options):
            if "drinks" in set(panel["category_1"]):
                raise np.linalg.LinAlgError("Singular matrix")
            return fit(panel, **options)

        monkeypatch.setattr(elasticity, "estimate_elasticities", fails)
        found = priced_shop.prices()
        assert "no price response of category 'drinks': Singular matrix" in " ".join(found.notes)
        assert reasons(found)["flat"] == ""
        assert reasons(found)["item_0000"] == "it has no elasticity"
        only = priced_shop.prices(plan={"categories": ["drinks"]})
        assert plan_rows(only.tables, "markdown_plans")[0]["sentence"].startswith("no plan: no item can be planned: ")

    def test_without_the_extra_stops_before_it_begins(self, priced_shop, monkeypatch):
        monkeypatch.setattr(build_step, "find_spec", lambda _: None)
        budget = {"rules": [{"rule": "Budget", "amount": 100.0}]}
        with pytest.raises(MissingExtraError, match=r"ties items together needs highspy.*regulars\[pricing\]"):
            run_build(priced_shop.settings("nothing", plan=budget), progress=False)
        with pytest.raises(MissingExtraError, match=r"\[pricing\] holidays needs holidays"):
            run_build(priced_shop.settings("nothing", pricing={"holidays": "US"}), progress=False)

    def test_mixed_currency_is_converted_or_left_out_and_counted(self, priced_shop, tmp_path):
        lines = pq.read_table(priced_shop.folder / "orders.parquet")
        currency = pa.array(["SEK" if i % 10 == 0 else None for i in range(lines.num_rows)], pa.string())
        pq.write_table(lines.append_column("currency", currency), tmp_path / "orders.parquet")
        found = priced_shop.prices(orders={"path": str(tmp_path / "orders.parquet")})
        said = " ".join(found.notes)
        assert "missing_exchange_rate" in said
        assert re.search(
            r"\[pricing\] \d+ of 10 items have 5% or more of their units in a currency without a rate, '", said
        )
        assert "give [exchange_rates]" in said


class TestStock:
    def test_that_is_assumed_is_said(self, priced_shop):
        found = priced_shop.prices(plan={"assumed_weeks_of_cover": 6})
        rows = {row["item"]: row for row in plan_rows(found.tables)}
        assert rows["item_0006"]["stock_rule"].startswith("assumed: 6 weeks of ")
        assert rows["item_0006"]["reason"] == ""
        assert rows["item_0000"]["stock_rule"].startswith("stock of 2024-06-24")
        assert rows["gone"]["reason"].startswith("off sale")
        assert "stock of 2 items is assumed" in plan_rows(found.tables, "markdown_plans")[0]["sentence"]

    def test_by_store_is_planned_by_store(self, priced_shop):
        pricing = {
            "categories": ["drinks"],
            "stores": "apart",
            "markdowns": {"clearance": {"weeks": 2, "salvage": 0.1}},
        }
        found = priced_shop.prices(pricing=pricing)
        rows = [row for row in plan_rows(found.tables) if row["item"] == "item_0004"]
        assert {row["store_id"] for row in rows} == {"store_000", "store_001", "store_002"}
        first = {row["store_id"]: row for row in rows if row["week"] == date(2024, 7, 1)}
        lines = pq.read_table(priced_shop.folder / "orders.parquet").to_pylist()
        for store, row in first.items():
            sold = sum(
                line["quantity"]
                for line in lines
                if (line["sku"], line["store_id"]) == ("item_0004", store)
                and line["ordered_at"] >= datetime(2024, 6, 24)  # noqa: DTZ001
            )
            assert row["on_hand"] == 200.0 - sold
            assert row["stock_rule"] == f"stock of 2024-06-24 (200) less {sold} sold since"
        shared = {**pricing, "markdowns": {"clearance": {"weeks": 2, "rules": [{"rule": "SharedStock"}]}}}
        together = priced_shop.prices(pricing=shared)
        assert plan_rows(together.tables, "markdown_plans")[0]["objective"] is not None

    def test_counted_on_the_morning_the_plan_starts_is_taken_as_it_is(self, priced_shop, tmp_path):
        found = priced_shop.prices(
            stock={"path": counts(tmp_path, date(2024, 7, 1), 50)}, plan={"items": ["item_0000"]}
        )
        (first, *_) = [row for row in plan_rows(found.tables) if not row["reason"]]
        assert (first["on_hand"], first["stock_rule"]) == (50.0, "stock of 2024-07-01")

    def test_that_is_old_is_not_known(self, priced_shop, tmp_path):
        old = {"path": counts(tmp_path, date(2024, 5, 27), 50)}
        found = priced_shop.prices(stock=old, plan={"items": ["item_0000"]})
        said = "stock is of 2024-05-27: over 4 weeks before the data end (stock_within_weeks); renew [stock]"
        assert reasons(found) == {"item_0000": said}
        assert plan_rows(found.tables)[0]["stock_rule"] == ""
        assumed = priced_shop.prices(stock=old, plan={"items": ["item_0000"], "assumed_weeks_of_cover": 6})
        assert plan_rows(assumed.tables)[0]["stock_rule"].endswith("sold a week; the last count is of 2024-05-27")
        kept = priced_shop.prices(stock=old, plan={"items": ["item_0000"], "stock_within_weeks": 5})
        assert re.match(
            r"(stock|nothing left: stock) of 2024-05-27 \(50\) less \d+ sold since",
            reasons(kept)["item_0000"] or plan_rows(kept.tables)[0]["stock_rule"],
        )

    def test_expected_to_sell_before_a_later_start_is_taken_off(self, priced_shop):
        now, later = (
            plan_rows(priced_shop.prices(plan={"items": ["item_0004"], "starts": day}).tables)[0]
            for day in ("2024-07-01", "2024-07-15")
        )
        said = re.fullmatch(
            r"stock of 2024-06-24 \(600\) less \d+ sold since, ([\d.]+) more expected to sell before 2024-07-15",
            later["stock_rule"],
        )
        assert said
        assert float(said[1]) > 0.0
        assert later["on_hand"] == pytest.approx(now["on_hand"] - float(said[1]), abs=0.05)
        # two weeks at its regular price; the seasons of a month move demand by less than this
        none = priced_shop.prices(plan={"items": ["item_0004"], "ladder": [0.0]})
        two_weeks = sum(row["units"] for row in plan_rows(none.tables)[:2])
        assert float(said[1]) == pytest.approx(two_weeks, rel=1e-2)

    def test_left_is_counted_by_sku_and_store_less_what_they_sold_since(self, stage_lines, shop_values):
        from regulars.sql.engine import DuckDBEngine
        from regulars.sql.pipeline import Pipeline

        def stock(sku, store, day, on_hand):
            return {"sku": sku, "store_id": store, "week": date(2024, 1, day), "on_hand": Decimal(on_hand)}

        def sale(sku, store, day, quantity, price: str | None = "2.00"):
            revenue = Decimal(price) * quantity if price else None
            return {
                "customer_id": "c", "ordered_at": datetime(2024, 1, day, 12), "sku": sku, "store_id": store,  # noqa: DTZ001
                "quantity": Decimal(quantity), "revenue": revenue, "unit_price": Decimal(price) if price else None,
            }  # fmt: skip

        rows = [stock("s", "n", 1, 5), stock("s", "n", 8, 3), stock("l", "n", 1, 4), stock("l", "s", 1, 2)]
        rows += [stock("s", "n", 15, 99), stock("cup", None, 1, -1), stock("bag", None, 8, 9), stock("mug", "n", 8, 9)]
        lines = [
            sale("s", "n", 7, 2),  # before its count
            sale("s", "n", 8, 1),
            sale("l", "n", 8, 7),  # more than was counted: no other store has less for it
            sale("l", "w", 9, 1),  # a store without a count
            sale("s", "n", 11, 1),  # after the day
            sale("bag", "n", 8, 2),  # from the stock all share
            sale("bag", "s", 9, 3),
            sale("bag", "s", 9, -1),  # a return is not put back
            sale("mug", None, 9, 4),  # of a store that is not told
            sale("mug", None, 9, 1, price=None),
        ]  # fmt: skip
        products = [{"sku": "s", "style_color": "hat"}, {"sku": "l", "style_color": "hat"}]
        with DuckDBEngine() as engine:
            stage_lines(engine, lines, products=products, stock=rows)
            pipeline = Pipeline(engine, shop_values(date(2024, 1, 10)))

            def found(**asked):
                names = ("item", "store_id", "week", "counted", "sold", "on_hand")
                told = [[r[name] for name in names] for r in pipeline.run("stock_on_hand", **asked).to_pylist()]
                return sorted((item, store, week.day, *map(int, rest)) for item, store, week, *rest in told)

            together, apart = found(), found(stores="apart")
            ahead, behind = found(days_ahead=5), found(days_behind=5)
        assert together == [
            ("bag", "", 8, 9, 5, 4),
            ("cup", "", 1, -1, 0, 0),
            ("hat", "", 8, 9, 8, 4),
            ("mug", "", 8, 9, 5, 4),
        ]
        assert [row for row in apart if row[0] != "mug"] == [
            ("bag", "", 8, 9, 5, 4), ("cup", "", 1, -1, 0, 0), ("hat", "n", 8, 7, 8, 2), ("hat", "s", 1, 2, 0, 2),
        ]  # fmt: skip
        assert [row for row in ahead if row[0] == "hat"] == [("hat", "", 15, 105, 7, 101)]
        # the other size was not counted since, and no longer counts
        assert [row for row in behind if row[0] in ("hat", "cup")] == [
            ("cup", "", 1, -1, 0, 0),
            ("hat", "", 8, 3, 1, 2),
        ]


class TestThePanel:
    def test_by_the_day_with_holidays_and_only_some_items(self, priced_shop):
        pricing = {"items": ["flat", "item_0002"], "categories": ["none"], "period": "day", "holidays": "US"}
        found = priced_shop.prices(pricing=pricing)
        panel = found.tables["price_panel"].to_pylist()
        assert {row["item"] for row in panel} == {"flat", "item_0002"}
        assert any(row["holiday"] for row in panel)
        assert "category 'none' has no order line" in " ".join(found.notes)


class TestStartPrice:
    def test_prices_only_fall_from_where_they_stand(self, priced_shop):
        found = priced_shop.prices(plan={"start_price": "current", "rules": []})
        panel = found.tables["price_panel"].to_pandas()
        for row in plan_rows(found.tables):
            if not row["reason"] and row["week"] == date(2024, 7, 1):
                paid = panel[(panel["item"] == row["item"]) & (panel["units"] > 0)]["price"].iloc[-1]
                assert row["price"] <= paid + 0.005 * row["regular_price"] + 0.005


class TestRulesThatTie:
    def test_a_budget_is_kept_with_its_gap(self, priced_shop):
        free = priced_shop.prices(plan={"rules": []})
        spent = sum((r["regular_price"] - r["price"]) * r["units"] for r in plan_rows(free.tables) if not r["reason"])
        tied = priced_shop.prices(plan={"rules": [{"rule": "Budget", "amount": float(spent) / 3}]})
        (account,) = plan_rows(tied.tables, "markdown_plans")
        now = sum((r["regular_price"] - r["price"]) * r["units"] for r in plan_rows(tied.tables) if not r["reason"])
        assert now <= spent / 3 + 0.005 * sum(r["units"] for r in plan_rows(tied.tables) if not r["reason"])
        assert account["gap"] <= 1e-4
        assert account["objective"] <= plan_rows(free.tables, "markdown_plans")[0]["objective"]


class TestCompleteJourney:
    def test_yogurt_is_priced_with_stock_assumed(self, example_settings):
        plan = {"weeks": 4, "start_price": "regular", "salvage": 0.2, "assumed_weeks_of_cover": 8.0}
        settings = Settings.from_toml(example_settings("complete_journey"))
        pricing = PricingSettings(categories=("YOGURT",), markdowns={"january": MarkdownSettings(**plan)})
        # promotions of all stores take longer to read than the rest of this test
        with connect(settings.model_copy(update={"pricing": pricing, "promotions": None})) as database:
            found = learn_prices(database.pipeline, database.settings, database.as_of)
        (account,) = plan_rows(found.tables, "markdown_plans")
        panel = found.tables["price_panel"]
        assert all("YOGURT" in (row["category_1"], row["category_2"]) for row in panel.to_pylist())
        assert account["items"] == len(set(panel["item"].to_pylist()))
        assert account["planned_items"] > 50
        assert account["unchanged"] < account["objective"]
        assert {row["stock_rule"].partition(":")[0] for row in plan_rows(found.tables) if not row["reason"]} == {
            "assumed"
        }

    def test_the_demonstration_does_without_prices_where_nothing_plans_them(self, tmp_path, monkeypatch):
        assert set(demo_settings(tmp_path).pricing.markdowns) == {"january"}
        monkeypatch.setattr(build_step, "find_spec", lambda _: None)
        assert demo_settings(tmp_path).pricing is None
