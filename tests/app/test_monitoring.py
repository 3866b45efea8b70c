"""Each build looks back: what earlier runs predicted, and what has come since."""

import json
from datetime import date

import pyarrow.parquet as pq
import pytest

from regulars.app.build import run_build
from regulars.sql.contract import PREDICTION_TRACKING
from regulars.sql.errors import WarehouseError
from regulars.sql.snapshot import Warehouse


@pytest.fixture
def growing(shop_at, tmp_path, lines_by_month):
    """Builds a shop's snapshot of its months up to one, and returns the result and the tracking."""
    shop = shop_at(tmp_path / "shop")

    def grow(until: str, change=lambda rows: rows, **sections):
        for month, rows in lines_by_month.items():
            if month <= until and not (shop.folder / "orders" / f"{month}.parquet").exists():
                shop.write_month(month, change(rows))
        result = run_build(shop.settings(**sections), progress=False)
        return result, Warehouse(shop.folder / "warehouse").beside("prediction_tracking").to_pylist()

    return grow


def test_predictions_are_held_against_the_days_since(growing, tmp_path):
    first, none = growing("2025-06")
    assert none == []
    second, held = growing("2025-09")
    total = held[0]
    assert (total["run_id"], total["decile"]) == (first.snapshot.run_id, 0)
    assert (total["as_of"], total["until"]) == (first.snapshot.as_of, second.snapshot.as_of)
    # counted again from the days of today's snapshot
    known = set(first.snapshot.read("customer_summary")["customer_id"].to_pylist())
    since = [
        row
        for row in second.snapshot.read("customer_days").to_pylist()
        if row["day"] > first.snapshot.as_of and row["customer_id"] in known
    ]
    assert total["actual_orders"] == len(since)
    assert total["actual_money"] == pytest.approx(float(sum(r["revenue"] - r["returned_revenue"] for r in since)))
    assert total["customers"] == len(known)
    assert 0.2 < total["predicted_orders"] / total["actual_orders"] < 5
    assert list(held[0]) == list(PREDICTION_TRACKING.column_names)
    _, both = growing("2025-12")
    assert {row["run_id"] for row in both} == {first.snapshot.run_id, second.snapshot.run_id}


def test_a_base_that_buys_thrice_as_much_is_drift_and_said(growing):
    growing("2025-06")

    def moved(row, days):
        """The same order some days on, within the first 28 days of its month."""
        month, day, rest = row["ordered_at"][:8], int(row["ordered_at"][8:10]), row["ordered_at"][10:]
        return row | {"ordered_at": f"{month}{(day + days) % 28 + 1:02}{rest}", "order_id": f"{row['order_id']}+{days}"}

    def thrice(rows):
        return [moved(row, days) for row in rows if not row["original_order_id"] for days in (0, 9, 18)]

    result, held = growing("2025-09", thrice)
    assert "orders" in held[0]["drift"]
    said = [warning for warning in result.warnings if warning.startswith("drift: orders since 2025-06")]
    assert len(said) == 1
    assert "outside" in said[0]
    assert said[0] in (result.snapshot.path / "run.log").read_text()


def test_the_same_day_again_tracks_nothing_and_a_week_is_needed(growing):
    growing("2025-06")
    result, held = growing("2025-06")
    assert (result.outcome, held) == ("unchanged", [])


def test_a_run_whose_model_is_damaged_is_named_and_the_build_goes_on(growing):
    first, _ = growing("2025-06")
    for model in (first.snapshot.path / "models").glob("*.json"):
        model.write_text("{")
    result, held = growing("2025-09")
    assert held == []
    assert any(f"run {first.snapshot.run_id} are not tracked" in warning for warning in result.warnings)


def test_tracking_that_cannot_be_written_leaves_the_snapshot_published(growing, tmp_path):
    first, _ = growing("2025-06")
    path = first.snapshot.path.parent.parent / "prediction_tracking.parquet"
    path.unlink()
    path.mkdir()
    (path / "in_the_way").touch()
    with pytest.raises(WarehouseError, match="cannot be read"):
        growing("2025-09")
    current = Warehouse(path.parent).current()
    assert current.as_of > first.snapshot.as_of > date(2025, 1, 1)


def test_nothing_half_written_is_left_beside_the_runs(growing):
    result, _ = growing("2025-06")
    beside = result.snapshot.path.parent.parent
    assert [file.name for file in beside.glob(".prediction*")] == []
    assert pq.read_schema(beside / "prediction_tracking.parquet").names == list(PREDICTION_TRACKING.column_names)


CHURN = {"churn": {"horizon_days": 60, "model": "kaplan_meier", "choose": False, "explained": 0}}


def _no_order(result):
    return Warehouse(result.snapshot.path.parent.parent).beside("churn_tracking").to_pylist()


def test_no_order_is_held_against_who_ordered_once_the_horizon_has_passed(growing):
    first, _ = growing("2025-06", **CHURN)
    assert _no_order(first) == []
    soon, _ = growing("2025-07", **CHURN)
    assert _no_order(soon) == []  # 31 of 60 days have passed
    late, _ = growing("2025-08", **CHURN)
    held = _no_order(late)
    assert {(row["run_id"], row["as_of"], row["horizon_days"]) for row in held} == {
        (first.snapshot.run_id, first.snapshot.as_of, 60)
    }
    until = held[0]["until"]
    assert (until - first.snapshot.as_of).days == 60
    # counted again from the days of today's snapshot, and the probabilities that the first one published
    came = {
        row["customer_id"]
        for row in late.snapshot.read("customer_days").to_pylist()
        if first.snapshot.as_of < row["day"] <= until
    }
    said = {r["customer_id"]: r["probability_no_order"] for r in first.snapshot.read("customer_churn").to_pylist()}
    assert held[0]["customers"] == len(said)
    assert held[0]["actual_share"] == pytest.approx(sum(customer not in came for customer in said) / len(said))
    assert held[0]["predicted_share"] == pytest.approx(sum(said.values()) / len(said))
    assert [row["decile"] for row in held] == list(range(11))
    assert sum(row["customers"] for row in held[1:]) == len(said)


def test_a_base_that_stays_away_is_drift_and_said_and_a_run_without_the_table_is_passed_over(growing):
    first, _ = growing("2025-06", **CHURN)
    # one of a version that had no churn
    manifest = first.snapshot.path / "manifest.json"
    old = Warehouse(first.snapshot.path.parent.parent).snapshot(first.snapshot.run_id)
    growing("2025-07", **CHURN)
    tables = json.loads(manifest.read_text())
    del tables["tables"]["customer_churn"]
    manifest.write_text(json.dumps(tables))
    result, _ = growing("2025-10", lambda rows: rows[:3] if rows[0]["ordered_at"] < "2025-10" else rows, **CHURN)
    said = [warning for warning in result.warnings if "no order" in warning]
    assert any(warning.endswith(f"hold no customer_churn: {old.run_id}") for warning in said)
    assert any("drift:" in warning and "placed no order in the 60 days from 2025-07" in warning for warning in said)
    held = _no_order(result)
    assert held[0]["drift"] == "no order"
    assert held[0]["actual_share"] > held[0]["share_high"]
