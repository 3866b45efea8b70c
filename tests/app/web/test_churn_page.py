"""The page Churn: its figures against the same counted in pandas, its curves against scikit-survival, its states."""

from datetime import date

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sksurv.nonparametric import kaplan_meier_estimator

from regulars.app.churn_listing import AT_RISK
from regulars.app.components.survival import survival_at, survival_message
from regulars.app.data import AppData
from regulars.app.pages import churn, customer
from regulars.app.snapshot_data import SnapshotGap


@pytest.fixture(scope="module")
def frame(snapshot) -> pd.DataFrame:
    read = {name: snapshot.snapshot.read(name).to_pandas() for name in ("customer_churn", "customer_summary")}
    both = read["customer_churn"].merge(read["customer_summary"], on="customer_id")
    usual = both["revenue"].astype(float) * both["horizon_days"] / np.maximum(both["T_days"], 365)
    both["stake"] = both["probability_no_order"] * usual
    return both


def text_of(component) -> str:
    if isinstance(component, (list, tuple)):
        return " ".join(map(text_of, component))
    if hasattr(component, "to_plotly_json"):
        return text_of(getattr(component, "children", None))
    return "" if component is None else str(component)


def test_totals_are_those_of_the_customers(snapshot, frame):
    (row,) = snapshot.ask("churn_totals").records
    assert row["customers"] == len(frame)
    assert row["expected_leavers"] == pytest.approx(frame["probability_no_order"].sum(), rel=1e-12)
    assert row["value_at_stake"] == pytest.approx(frame["stake"].sum(), rel=1e-12)
    assert row["more_likely_not"] == (frame["probability_no_order"] >= 0.5).sum()


def test_the_list_is_sorted_by_what_is_at_stake_and_filtered(snapshot, frame):
    rows, total = snapshot.page(AT_RISK.parse("p=0.5..&days=60.."), 0, 100)
    kept = frame[(frame["probability_no_order"] >= 0.5) & (frame["days_since_order"] >= 60)]
    assert total == len(kept) > 50
    best = kept.sort_values("stake", ascending=False)["stake"].head(100)
    assert [row["value_at_stake"] for row in rows] == pytest.approx(best.tolist(), rel=1e-12)


def test_the_list_begins_with_reasons(snapshot):
    rows, _ = snapshot.page(AT_RISK.parse(""), 0, 100)
    assert all(row["reason_1"] for row in rows)


def test_the_distribution_counts_everybody_once(snapshot, frame):
    rows = snapshot.ask("churn_distribution").records
    counted = np.histogram(frame["probability_no_order"], bins=np.linspace(0, 1, 21))[0]
    assert {row["step"]: row["customers"] for row in rows} == {i: n for i, n in enumerate(counted) if n}


def test_curves_are_kaplan_meiers_with_its_log_log_band(snapshot):
    table = snapshot.snapshot.read("gap_life_table").to_pandas()
    rows = snapshot.ask("churn_survival", {"least": 20, "longest": 730}).records
    for purchase in (1, 5, 20):
        life = table[table["purchase"] == purchase].sort_values("days")
        leaving = life["customers"] - life["customers"].shift(-1, fill_value=0)
        days = np.repeat(life["days"].to_numpy(float), leaving)
        event = np.concatenate([[True] * r + [False] * (n - r) for r, n in zip(life["returned"], leaving, strict=True)])
        times, survival, band = kaplan_meier_estimator(event, days, conf_type="log-log")
        mine = {row["days"]: row for row in rows if row["purchase"] == purchase}
        assert len(mine) > 15
        for time, share, low, high in zip(times, survival, *band, strict=True):
            if int(time) in mine:
                row = mine[int(time)]
                # two orders of the same sums
                assert row["survival"] == pytest.approx(share, rel=1e-10)
                if row["survival_low"] is not None:
                    assert (row["survival_low"], row["survival_high"]) == pytest.approx((low, high), rel=1e-9)


def test_the_sentence_says_what_the_curve_says():
    rows = [
        {"purchase": 1, "days": 10, "survival": 0.8, "survival_low": 0.7, "survival_high": 0.9},
        {"purchase": 1, "days": 40, "survival": 0.5, "survival_low": 0.4, "survival_high": 0.6},
        {"purchase": 5, "days": 20, "survival": 0.1, "survival_low": None, "survival_high": None},
    ]
    assert survival_at(rows, 1, 5) == (1.0, None, None)
    assert survival_at(rows, 1, 30) == (0.8, 0.7, 0.9)
    assert survival_at(rows, 5, 30) is None
    said = survival_message(rows, [1, 5], 30)
    assert said == "Not back within 30 days: 80% (70% – 90%) after the 1st purchase day."
    assert "too short" in survival_message(rows, [5], 90)


@pytest.fixture(scope="module")
def without(synthetic, tmp_path_factory):
    house = tmp_path_factory.mktemp("no_churn") / "warehouse"
    gone = ("customer_churn", "churn_reports", "churn_calibration", "gap_life_table")
    synthetic.write_snapshot(house, "5eed0000000000c0", customers=600, as_of=date(2017, 12, 31), without=gone)
    data = AppData(house, threads=1)
    yield data.snapshot()
    data.close()


def test_a_snapshot_without_churn_says_what_makes_it(without):
    said = text_of(churn.layout(without, ""))
    assert "No answers on churn in this snapshot" in said
    assert "[churn]" in said
    assert "regulars build" in said
    assert "No answers on churn" in text_of(churn._totals(without))
    with pytest.raises(SnapshotGap, match="gap_life_table"):
        churn._survival(without, None, "light")
    said = [text_of(part) for _, part in churn.report(without, "")]
    assert len(said) == 5
    assert all("churn" in one or "has no table gap_life_table" in one for one in said)


def test_answers_of_an_earlier_version_ask_for_a_new_snapshot_and_not_for_a_section(synthetic, tmp_path):
    house = tmp_path / "warehouse"
    made = synthetic.write_snapshot(house, customers=600, as_of=date(2017, 12, 31))
    path = made.table_path("customer_churn")
    pq.write_table(pq.read_table(path).drop_columns(["model_version"]), path)
    data = AppData(house, threads=1)
    snapshot = data.snapshot()
    one = customer._record(snapshot, "C0000010").records[0]
    for part in (churn._totals(snapshot), churn.layout(snapshot, ""), customer._churn(snapshot, one)):
        said = text_of(part)
        assert "has no model_version in table customer_churn" in said
        assert "regulars build --force" in said
        assert "[churn]" not in said
    data.close()


def test_names_from_the_browser_choose_only_what_there_is(snapshot):
    for asked in (None, "1", 5, [None, {}, "x", "-1", "9" * 400, ["1"]], ["7"]):
        part = churn._survival(snapshot, asked, "light")
        assert "after the 1st purchase day" in text_of(part)
    for asked in (None, {"a": 1}, ["nobody", 3], "hazard"):
        assert "Hazard + Pareto/NBD: furthest apart" in text_of(churn._reliability(snapshot, asked, "light"))
