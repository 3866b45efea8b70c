"""The price file of `regulars markdown` and the record of what was priced."""

import csv
import io
import json
import re
import subprocess
import sys
import textwrap
from datetime import date, timedelta
from decimal import Decimal

import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest

from regulars.app import markdown as command
from regulars.app import price_decision as decision
from regulars.app.build import run_build
from regulars.app.markdown import markdown
from regulars.app.price_file import PricedWeek, file_bytes, find_records, price_file
from regulars.app.price_overrides import parse_override
from regulars.sql.errors import AlreadyDecided, SettingsError, StaleSnapshotError, WarehouseError

ON = date(2024, 7, 1)


def files_of(settings):
    """What lies beside the records, the lock apart."""
    return sorted(path.name for path in settings.warehouse.glob("decisions/prices/*") if path.name != ".lock")


def plain(said):
    """Settings as Python's own text can carry them to another process."""
    return json.loads(json.dumps(said, default=str))


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

    def test_is_refused_where_the_snapshot_is_old_or_of_other_settings(self, planned_shop, own_warehouse, tmp_path):
        out = tmp_path / "prices.csv"
        with pytest.raises(StaleSnapshotError, match="32 days before 2024-08-01; allowed: 30"):
            markdown(own_warehouse, on=date(2024, 8, 1), out=out)
        with pytest.raises(StaleSnapshotError, match="is before 2024-06-30, the as-of date"):
            markdown(own_warehouse, on=date(2024, 6, 1), out=out)
        changed = planned_shop.settings(str(own_warehouse.warehouse), plan={"weeks": 3})
        with pytest.raises(StaleSnapshotError, match="other settings of clearance: weeks; run 'regulars build'"):
            markdown(changed, on=ON, out=out)
        assert not out.exists()

    def test_holds_items_that_are_not_planned_where_asked(self, planned_shop, own_warehouse, tmp_path):
        asked = planned_shop.settings(str(own_warehouse.warehouse), plan={"unplanned_items": True})
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

    def test_of_overlapping_weeks_needs_force_where_a_price_differs(self, planned_shop, tmp_path):
        warehouse = str(tmp_path / "weekly")
        made = planned_shop.settings(warehouse)
        run_build(made, progress=False)
        first = markdown(made, on=ON, out=tmp_path / "a.csv")
        later = planned_shop.settings(warehouse, plan={"starts": date(2024, 7, 8), "salvage": 0.9})
        run_build(later, progress=False)
        with pytest.raises(
            AlreadyDecided, match=f"clearance from 2024-07-01 was priced before, as {first.decision_id}"
        ):
            markdown(later, on=ON, out=tmp_path / "b.csv")
        second = markdown(later, on=ON, out=tmp_path / "b.csv", force=True)
        found = {r.facts["decision_id"]: r for r in find_records(made.warehouse)}
        assert found[second.decision_id].facts["replaces"] == [first.decision_id]
        # a plan of weeks after both overlaps neither
        last = planned_shop.settings(warehouse, plan={"starts": date(2024, 8, 5), "max_snapshot_age_days": 60})
        run_build(last, progress=False)
        assert markdown(last, on=ON, out=tmp_path / "c.csv").notes == ()
        # and the first week, which the second did not take, stands
        run_build(made, progress=False, force=True)
        with pytest.raises(AlreadyDecided, match=second.decision_id):
            markdown(made, on=ON, out=tmp_path / "d.csv")
        again = markdown(made, on=ON, out=tmp_path / "d.csv", force=True)
        (record,) = [r for r in find_records(made.warehouse) if r.facts["decision_id"] == again.decision_id]
        assert record.facts["replaces"] == sorted([first.decision_id, second.decision_id])

    def test_of_two_plans_with_an_item_at_two_prices_is_refused(self, planned_shop, tmp_path):
        plan = {"weeks": 4, "start_price": "regular", "max_snapshot_age_days": 30}
        deep = {"ladder": [0.4, 0.5], "items": ["flat"]}
        plans = {"a": plan | {"ladder": [0.0]}, "b": plan | deep, "c": plan | {"ladder": [0.0], "items": ["flat"]}}
        made = planned_shop.settings(
            str(tmp_path / "two"), pricing={"categories": ["drinks", "snacks"], "markdowns": plans}
        )
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
    def test_is_not_written_into_the_warehouse_or_the_inputs(self, planned_shop, own_warehouse, tmp_path, place):
        record = markdown(own_warehouse, on=ON, out=tmp_path / "a.csv").record
        content = record.read_bytes()
        out = {
            "record": record,
            "decisions": own_warehouse.warehouse / "decisions" / "mine.csv",
            "run": own_warehouse.warehouse / "runs" / "x.csv",
            "input": planned_shop.folder / "orders.parquet",
        }[place]
        with pytest.raises(SettingsError, match=r"reads; name another file|lies in the warehouse"):
            markdown(own_warehouse, on=ON, out=out, force=True)
        assert record.read_bytes() == content

    def test_of_a_plan_that_is_over_is_refused(self, planned_shop, own_warehouse, tmp_path):
        made = planned_shop.settings(str(own_warehouse.warehouse), plan={"max_snapshot_age_days": 1000})
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
    def test_is_refused_where_what_shaped_the_plan_has_changed(
        self, planned_shop, own_warehouse, tmp_path, changed, said
    ):
        made = planned_shop.settings(str(own_warehouse.warehouse), **changed)
        with pytest.raises(StaleSnapshotError, match=f"built with other settings of clearance: {said};"):
            markdown(made, on=ON, out=tmp_path / "p.csv")

    def test_of_a_run_that_plans_differently_now_is_refused(self, own_warehouse, tmp_path, monkeypatch):
        monkeypatch.setattr(command, "cents", lambda price: round(price + 1.0, 2))
        with pytest.raises(WarehouseError, match="planned again, its prices come out differently"):
            markdown(own_warehouse, on=ON, overrides=[parse_override("flat:1=10%")])
