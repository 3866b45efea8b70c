"""Churn in a build: every customer has an answer, it is what the models say, and it is the same however one builds."""

import json
import shutil
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from regulars.app import named_rows
from regulars.app.build import run_build
from regulars.app.churn import revenue_a_year
from regulars.app.churn_listing import AT_RISK
from regulars.app.data import AppData
from regulars.app.scoring import churn_anew, churn_scores
from regulars.clv import ParetoNBDModel, load_model
from regulars.sql import connect
from regulars.sql.contract import CHURN_REPORTS, CUSTOMER_CHURN
from regulars.sql.errors import MissingExtraError, ModelError, SettingsError
from regulars.sql.snapshot import Snapshot, Warehouse

SECTION = {"horizon_days": 60, "explained": 5}


@pytest.fixture(scope="module")
def built(shop_at, tmp_path_factory, lines_by_month):
    shop = shop_at(tmp_path_factory.mktemp("churn") / "shop")
    for month, rows in lines_by_month.items():
        shop.write_month(month, rows)
    return shop, run_build(shop.settings(churn=SECTION), progress=False)


@pytest.fixture(scope="module")
def scores(built) -> pd.DataFrame:
    return built[1].snapshot.read("customer_churn").to_pandas()


def test_every_customer_has_an_answer(built, scores):
    summary = built[1].snapshot.read("customer_summary").to_pandas()
    assert scores["customer_id"].tolist() == summary["customer_id"].tolist()
    assert scores["probability_no_order"].between(0, 1).all()
    assert list(scores) == list(CUSTOMER_CHURN.column_names)
    stored = built[1].snapshot.read("customer_churn")
    for name in ("median_days_survival", "median_days_btyd"):
        assert 0 < stored[name].null_count < stored.num_rows
        assert np.isfinite(stored[name].drop_null().to_numpy()).all()
    since = (pd.Timestamp(built[1].snapshot.as_of) - pd.to_datetime(summary["last_order_on"])).dt.days
    np.testing.assert_array_equal(scores["days_since_order"], since)
    assert set(scores["horizon_days"]) == {60}


def test_the_model_of_orders_is_the_one_that_anybody_would_fit(built, scores):
    summary = built[1].snapshot.read("customer_summary").to_pandas()
    summary.attrs["time_unit"] = "week"
    model = ParetoNBDModel().fit(summary)
    np.testing.assert_allclose(
        scores["probability_no_order_btyd"], model.probability_no_purchase(summary, 60 / 7), rtol=1e-9
    )


def test_the_choice_is_that_of_the_least_brier_score_and_the_verdict_says_so(built, scores):
    reports = built[1].snapshot.read("churn_reports").to_pandas().sort_values("rank")
    assert list(reports) == list(CHURN_REPORTS.column_names)
    assert reports["brier"].is_monotonic_increasing
    assert set(scores["chosen"]) == {reports["model"].iloc[0]}
    parts = {"hazard": "survival", "pareto_nbd": "btyd"}
    names = [f"probability_no_order_{parts[name]}" for name in reports["model"].iloc[0].split(" + ")]
    np.testing.assert_allclose(scores["probability_no_order"], scores[names].mean(axis=1), rtol=1e-12)
    assert "churn: " in built[1].sentence()
    assert built[1].snapshot.manifest["churn"]["chosen"] == reports["model"].iloc[0]


def test_reasons_are_told_of_those_with_most_at_stake_where_the_page_begins(built):
    shop, result = built
    data = AppData(shop.settings().warehouse)
    rows, total = data.snapshot().page(AT_RISK.parse(""), 0, 1_000)
    data.close()
    assert [row["reason_1"] != "" for row in rows] == [True] * 5 + [False] * (total - 5)
    likeliest = sorted(rows, key=lambda row: -row["probability_no_order"])
    assert any(row["reason_1"] == "" for row in likeliest[:5])
    scores = result.snapshot.read("customer_churn").to_pandas()
    told = scores["reason_1"] != ""
    assert told.sum() == 5
    # Where there is a first reason there are no more than three, and each is a sentence of its own
    for _, row in scores[told].iterrows():
        reasons = [row[f"reason_{k}"] for k in (1, 2, 3) if row[f"reason_{k}"]]
        assert len(set(reasons)) == len(reasons)


def test_the_same_bytes_at_one_thread_and_from_new_files_alone(built, shop_at, tmp_path, lines_by_month):
    _, result = built
    months = list(lines_by_month)
    shop = shop_at(tmp_path / "shop")
    for month in months[:-2]:
        shop.write_month(month, lines_by_month[month])
    settings = shop.settings(churn=SECTION, build={"warehouse": "warehouse", "threads": 1})
    run_build(settings, progress=False)
    for month in months[-2:]:
        shop.write_month(month, lines_by_month[month])
    again = run_build(settings, progress=False)
    assert again.how == "incremental"
    stored = [run.snapshot.model_path("churn_forecast").read_bytes() for run in (again, result)]
    assert stored[0] == stored[1]
    for name in ("customer_churn", "churn_reports"):
        assert again.snapshot.table_path(name).read_bytes() == result.snapshot.table_path(name).read_bytes()


@pytest.mark.parametrize("model", ["kaplan_meier", "gradient_boosting", "random_survival_forest"])
def test_a_model_without_contributions_scores_everybody(shop_at, tmp_path, lines_by_month, model):
    shop = shop_at(tmp_path / "shop")
    for month, rows in lines_by_month.items():
        shop.write_month(month, rows)
    snapshot = run_build(shop.settings(churn=SECTION | {"model": model}), progress=False).snapshot
    scores = snapshot.read("customer_churn").to_pandas()
    assert len(scores) == snapshot.read("customer_summary").num_rows
    assert snapshot.read("churn_reports").num_rows == 3
    (chosen,) = set(scores["chosen"])
    notes = [note for note in snapshot.manifest["notes"] if "reasons are" in note]
    assert snapshot.manifest["churn"]["explained_by"] == ("pareto_nbd" if "pareto_nbd" in chosen else "")
    if "pareto_nbd" in chosen:
        assert notes == [f"[churn] reasons are those of pareto_nbd: {chosen} was chosen"]
        told = scores[scores["reason_1"] != ""]
        assert 0 < len(told) <= 5
        assert (told.loc[told["days_since_order"] > 0, "reason_2"] != "").all()
    else:
        assert "has no exact contributions" in notes[0]
        assert (scores["reason_1"] == "").all()


def test_a_horizon_longer_than_the_history_is_a_note_with_both(shop_at, tmp_path, lines_by_month):
    shop = shop_at(tmp_path / "shop")
    for month, rows in lines_by_month.items():
        shop.write_month(month, rows)
    snapshot = run_build(shop.settings(churn={"horizon_days": 700}), progress=False).snapshot
    assert snapshot.read("customer_churn").num_rows == 0
    (note,) = [note for note in snapshot.manifest["notes"] if note.startswith("[churn]")]
    assert "the horizon is 700 days and the orders go back" in note


def test_the_stored_models_are_those_that_scored(built, scores):
    shop, result = built
    snapshot = result.snapshot
    stored = load_model(snapshot.model_path("churn_forecast"))
    said = snapshot.manifest["churn"]
    assert (stored.chosen, stored.explained_by) == (said["chosen"], said["explained_by"])
    assert snapshot.manifest["models"]["churn_forecast"]["version"].startswith("churn_forecast:")
    assert snapshot.damage() == []
    with connect(shop.settings()) as database:
        found = stored.score(database, explain=5, weights=revenue_a_year(database))
    for name in set(found) - {"as_of"}:
        np.testing.assert_array_equal(found[name], scores[name], err_msg=name)


def test_a_stored_model_that_is_lost_or_changed_is_damage(built, tmp_path):
    folder = tmp_path / built[1].snapshot.run_id
    shutil.copytree(built[1].snapshot.path, folder)
    copy = Snapshot(folder)
    path = copy.model_path("churn_forecast")
    text = path.read_text()
    path.write_text(text.replace('"horizon": 60', '"horizon": 61'))
    assert copy.damage() == ["models/churn_forecast.json has other content than was published"]
    path.unlink()
    assert copy.damage() == ["models/churn_forecast.json is missing"]


def test_a_run_of_a_version_that_stored_no_churn_models_can_be_read_but_not_scored_anew(built, tmp_path):
    shop, result = built
    folder = tmp_path / result.snapshot.run_id
    shutil.copytree(result.snapshot.path, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["models"]["churn_forecast"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert churn_scores(Snapshot(folder)).equals(result.snapshot.read("customer_churn"))
    with pytest.raises(ModelError, match="it is of a version that did not store them; build again"):
        churn_anew(shop.settings(churn=SECTION), Snapshot(folder))


def test_between_two_builds_the_stored_models_score_today(shop_at, tmp_path, lines_by_month, built):
    months = list(lines_by_month)
    shop = shop_at(tmp_path / "shop")
    for month in months[:-2]:
        shop.write_month(month, lines_by_month[month])
    settings = shop.settings(churn=SECTION | {"recalibrate": "logistic"})
    snapshot = run_build(settings, progress=False).snapshot
    # the same files, the same answers to the bit, reasons among them
    assert churn_anew(settings, snapshot).equals(snapshot.read("customer_churn"))
    for month in months[-2:]:
        shop.write_month(month, lines_by_month[month])
    anew = churn_anew(settings, snapshot)
    assert anew.schema == snapshot.read("customer_churn").schema
    today = built[1].snapshot
    assert set(anew.column("as_of").to_pylist()) == {today.as_of} != {snapshot.as_of}
    summary = today.read("customer_summary").to_pandas()
    assert anew.column("customer_id").to_pylist() == summary["customer_id"].tolist()
    # today's histories under the parameters that were stored
    model = load_model(snapshot.model_path("churn_forecast")).btyd
    summary.attrs["time_unit"] = "week"
    np.testing.assert_allclose(
        anew.column("probability_no_order_btyd"), model.probability_no_purchase(summary, 60 / 7), rtol=1e-9
    )
    assert load_model(snapshot.model_path("churn_forecast")).recalibration is not None


def test_a_snapshot_without_churn_models_says_why(shop_at, tmp_path, lines_by_month, built_shop):
    without = Warehouse(built_shop.folder / "warehouse").current()
    with pytest.raises(ModelError, match=r"has no churn models: \[churn\] was not configured; build with a \[churn\]"):
        churn_anew(built_shop.settings(), without)
    shop = shop_at(tmp_path / "shop")
    for month, rows in lines_by_month.items():
        shop.write_month(month, rows)
    settings = shop.settings(churn={"horizon_days": 700})
    snapshot = run_build(settings, progress=False).snapshot
    assert "churn_forecast" not in snapshot.models()
    with pytest.raises(ModelError, match="the horizon is 700 days"):
        churn_anew(settings, snapshot)


def _at_risk(shop, **parameters):
    ask = {"settings": lambda: shop.settings(churn=SECTION), "warehouse": lambda: Warehouse(shop.settings().warehouse)}
    typed = named_rows.parse_parameters("customers_at_churn_risk", [f"{k}={v}" for k, v in parameters.items()])
    return named_rows.rows("customers_at_churn_risk", typed, fresh=False, engine="duckdb", **ask).to_pandas()


@pytest.mark.parametrize("sort_by", ["", "stake", "probability", "revenue"])
def test_sql_lists_those_at_risk_with_probability_medians_and_reasons(built, scores, sort_by):
    shop, result = built
    summary = result.snapshot.read("customer_summary").to_pandas().set_index("customer_id")
    value = result.snapshot.read("customer_scores").to_pandas().set_index("customer_id")["customer_value"]
    wanted = scores.join(summary[["frequency", "revenue", "T_days"]], on="customer_id").join(value, on="customer_id")
    a_day = wanted["revenue"].astype(float) / wanted["T_days"].clip(lower=365)
    wanted["stake"] = wanted["probability_no_order"] * a_day * 60
    wanted = wanted[(wanted["probability_no_order"] >= 0.5) & (wanted["frequency"] > 0)]
    first = {"": "stake", "probability": "probability_no_order"}.get(sort_by, sort_by)
    wanted = wanted.sort_values([first, "revenue", "customer_id"], ascending=[False, False, True])
    assert 3 < len(wanted) < len(scores)
    found = _at_risk(shop, **({"sort_by": sort_by} if sort_by else {}))
    assert found["customer_id"].tolist() == wanted["customer_id"].tolist()
    for name in set(found) & set(CUSTOMER_CHURN.column_names) - {"customer_id"}:
        pd.testing.assert_series_equal(found[name], wanted[name].reset_index(drop=True))
    np.testing.assert_array_equal(found["customer_value"], wanted["customer_value"])
    np.testing.assert_allclose(found["value_at_stake"], wanted["stake"], rtol=1e-12)


def test_the_first_of_those_at_risk_have_reasons(built):
    shop, _ = built
    found = _at_risk(shop, customers=5, least_probability=0, least_purchase_days=1)
    assert (found["reason_1"] != "").all()
    assert _at_risk(shop, sort_by="stakes").empty


def _weekly(customer: str, until: date) -> list[dict]:
    """An order each Monday from 2024 on; the last one up to ``until``."""
    days = (date(2024, 1, 1) + timedelta(days=7 * k) for k in range(60))
    line = {"customer_id": customer, "revenue": "5.00", "sku": "s", "quantity": 1, "original_order_id": ""}
    return [line | {"ordered_at": f"{d} 10:00:00", "order_id": f"{customer}{d}"} for d in days if d <= until]


def test_a_window_too_small_for_isotonic_steps_scores_as_without_and_says_so(built, scores, shop_at, tmp_path):
    shop, plain = built
    again = run_build(
        shop.settings(churn=SECTION | {"recalibrate": "isotonic"}, build={"warehouse": str(tmp_path / "warehouse")}),
        progress=False,
    )
    # the note is part of what was fitted, so of its version
    found, same = (
        frame.drop(columns="model_version") for frame in (again.snapshot.read("customer_churn").to_pandas(), scores)
    )
    pd.testing.assert_frame_equal(found, same)
    reports = again.snapshot.read("churn_reports").to_pandas()
    said = reports.loc[reports["rank"] == 1, "note"].item()
    assert "not recalibrated: " in said
    assert "are too few for isotonic steps" in said
    assert not reports.loc[reports["rank"] > 1, "note"].str.contains("recalibrated").any()
    chosen = again.snapshot.manifest["churn"]["chosen"]
    (note,) = [note for note in again.snapshot.manifest["notes"] if "not recalibrated" in note]
    assert note.startswith(f"[churn] {chosen}: not recalibrated: ")
    assert not any("recalibrated" in note for note in plain.snapshot.manifest["notes"])


def test_outcomes_told_apart_without_error_leave_the_scores_uncalibrated(empty_shop):
    # thirty who come every Monday to the end, thirty who stopped half a year before
    rows = [_weekly(f"stays{i:02}", date(2025, 2, 10)) for i in range(30)]
    rows += [_weekly(f"left{i:02}", date(2024, 7 + i % 2, 1)) for i in range(30)]
    empty_shop.write_month("all", [line for lines in rows for line in lines])
    section = {"model": "kaplan_meier", "order_model": "bg_nbd", "recalibrate": "logistic"}
    snapshot = run_build(empty_shop.settings(churn=section), progress=False).snapshot
    scores = snapshot.read("customer_churn").to_pandas()
    assert len(scores) == 60
    parts = {"kaplan_meier": "survival", "bg_nbd": "btyd"}
    names = [f"probability_no_order_{parts[name]}" for name in scores["chosen"].iloc[0].split(" + ")]
    np.testing.assert_allclose(scores["probability_no_order"], scores[names].mean(axis=1), rtol=1e-12)
    left = scores["customer_id"].str.startswith("left")
    assert scores.loc[left, "probability_no_order"].min() > scores.loc[~left, "probability_no_order"].max()
    told = snapshot.read("churn_reports").to_pandas().set_index("rank")["note"]
    assert "the probabilities tell all 60 outcomes apart without error" in told.loc[1]
    assert any("not recalibrated: the probabilities tell all 60" in note for note in snapshot.manifest["notes"])


def test_without_the_section_the_tables_are_there_and_empty(built_shop):
    snapshot = Warehouse(built_shop.folder / "warehouse").current()
    assert snapshot.read("customer_churn").num_rows == snapshot.read("churn_reports").num_rows == 0


def test_orders_too_few_to_learn_from_are_a_note(empty_shop):
    line = {"ordered_at": "2024-01-05 10:00:00", "revenue": "5.00", "order_id": "o", "sku": "s"}
    rows = [line | {"customer_id": c, "quantity": 1, "original_order_id": ""} for c in "ab"]
    empty_shop.write_month("2024-01", rows)
    result = run_build(empty_shop.settings(churn=SECTION), progress=False)
    assert result.snapshot.read("customer_churn").num_rows == 0
    assert any(note.startswith("[churn] has no answer: ") for note in result.snapshot.manifest["notes"])


def test_what_is_not_installed_is_said_before_anything_is_read(empty_shop, monkeypatch):
    monkeypatch.setattr("regulars.app.churn.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'regulars\[churn\]'"):
        run_build(empty_shop.settings(churn=SECTION), progress=False)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"horizon": 30}, "horizon_days"),
        ({"horizon_days": 0}, "greater than or equal to 1"),
        ({"model": "hazzard"}, "hazard"),
        ({"customers_share": 1.5}, "less than or equal to 1"),
    ],
)
def test_a_section_that_says_what_is_not_allowed(empty_shop, section, said):
    with pytest.raises(SettingsError, match=said):
        empty_shop.settings(churn=section)
