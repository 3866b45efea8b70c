"""Intervals between orders, and what models make of them: against other computations, closed forms and known truth."""

from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from regulars.clv import (
    ChurnModel,
    evaluate_churn,
    forecast_churn,
    gap_data,
    known_at_start,
    order_gaps,
)
from regulars.clv.churn_data import ChurnData
from regulars.clv.churn_reasons import reason_columns
from regulars.clv.gaps import INTERVAL_COLUMNS
from regulars.sql import connect
from regulars.sql.errors import ContractError, ModelError, SettingsError

FIRST = date(2024, 1, 1)
CUT = date(2024, 12, 31)
# trees enough for what holds with any number of them
FEW = {"hazard": {"rounds": 15}}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Regular customers, each with a rhythm of its own, of whom some leave: 500 over 18 months."""
    rng = np.random.default_rng(20261121)
    lines = []
    for customer in range(500):
        rhythm = rng.gamma(4, 6)
        at, leaves = float(rng.integers(0, 300)), rng.geometric(0.06)
        for _ in range(leaves):
            if at > 545:
                break
            day = FIRST + timedelta(days=int(at))
            for _ in range(1 + (rng.random() < 0.1)):  # sometimes twice a day
                lines.append((f"c{customer:03}", day, round(float(rng.gamma(2, 15)), 2), round(float(rng.random()), 2)))
            at += max(1.0, rng.gamma(9, rhythm / 9))
    frame = pd.DataFrame(lines, columns=["customer", "day", "money", "off"])
    path = tmp_path_factory.mktemp("rhythm") / "orders.parquet"
    frame.assign(day=pd.to_datetime(frame["day"])).to_parquet(path)
    columns = {"customer_id": "customer", "ordered_at": "day", "revenue": "money", "discount": "off"}
    with connect(orders=path, columns=columns, value={"as_of": "2025-06-30"}) as database:
        yield database, frame


@pytest.fixture(scope="module")
def gaps(shop):
    return order_gaps(shop[0], CUT)


@pytest.fixture(scope="module")
def hazard(gaps):
    return ChurnModel("hazard", seed=1).fit(gaps)


@pytest.fixture(scope="module")
def open_gaps(shop):
    return order_gaps(shop[0], CUT, open_only=True)


def test_intervals_are_those_worked_out_row_by_row(shop, gaps):
    seen = 0
    for customer, lines in shop[1][shop[1]["customer"] < "c080"].groupby("customer"):
        days = sorted(day for day in set(lines["day"]) if day <= CUT)
        mine = gaps[gaps["customer_id"] == customer].to_dict("records")
        assert [row["starts"].date() for row in mine] == days
        for k, row in enumerate(mine):
            before = [(b - a).days for a, b in pairwise(days[: k + 1])]
            last = k == len(days) - 1
            assert row["event"] is (not last)
            assert row["duration"] == ((CUT if last else days[k + 1]) - days[k]).days
            assert (row["gap_number"], row["frequency"], row["tenure"]) == (k + 1, k, sum(before))
            for name, value in (
                ("previous_gap", before[-1] if k else np.nan),
                ("gap_before_previous", before[-2] if k > 1 else np.nan),
                ("mean_gap", np.mean(before) if k else np.nan),
                ("longest_gap", max(before) if k else np.nan),
                ("gap_variation", np.std(before, ddof=1) / np.mean(before) if k > 1 else np.nan),
                ("purchases_28", sum((days[k] - d).days < 28 for d in days[: k + 1])),
                ("purchases_91", sum((days[k] - d).days < 91 for d in days[: k + 1])),
            ):
                # variances by sums of squares and by deviations part in the last digits
                assert row[name] == pytest.approx(value, rel=1e-7, abs=1e-7, nan_ok=True), name
            bought = lines[lines["day"] <= days[k]]
            assert row["basket_value"] == pytest.approx(bought.loc[bought["day"] == days[k], "money"].sum())
            assert row["mean_value"] == pytest.approx(bought["money"].sum() / (k + 1))
            assert row["discount_share"] == pytest.approx(bought["off"].sum() / (bought["off"] + bought["money"]).sum())
            seen += 1
    assert seen == (gaps["customer_id"] < "c080").sum() > 300


def test_what_was_known_does_not_change_with_the_day_one_asks(shop, gaps):
    later = order_gaps(shop[0])
    known = [name for name in gaps.columns if name not in ("ends", "duration", "event")]
    both = later.merge(gaps[["customer_id", "starts"]], on=["customer_id", "starts"])
    pd.testing.assert_frame_equal(both[known], gaps[known])
    ended = gaps["event"].to_numpy()
    pd.testing.assert_frame_equal(both[ended], gaps[ended])


def test_a_share_takes_whole_customers(shop, gaps):
    some = order_gaps(shop[0], CUT, share=0.3)
    assert 0.2 < some["customer_id"].nunique() / gaps["customer_id"].nunique() < 0.4
    whole = gaps[gaps["customer_id"].isin(some["customer_id"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(some, whole)
    for share in (0, -1, 1.5, True, "half"):
        with pytest.raises(ModelError, match="share is"):
            order_gaps(shop[0], CUT, share=share)


def test_open_intervals_are_the_last_of_each_customer(gaps, open_gaps):
    last = gaps.groupby("customer_id", as_index=False).tail(1).reset_index(drop=True)
    pd.testing.assert_frame_equal(open_gaps, last)
    assert not open_gaps["event"].any()


def test_baskets_come_beside(shop):
    wide = order_gaps(shop[0], CUT, baskets=True)
    assert list(wide.columns[-5:]) == ["products", "categories", "main_category", "main_category_share", "main_channel"]
    assert (wide["categories"] == 0).all()


def test_sampling_takes_customers_never_intervals(gaps):
    data = gap_data(gaps)
    model = ChurnModel("cox", max_rows=500, seed=3).fit(data)
    sample = model._sample(data, np.ones(len(data), dtype=int))
    whole = data.take(np.isin(data.customers, sample.customers))
    assert len(sample) == len(whole) <= 500
    assert f"learnt from {model.n_customers_} of" in model.message_


@pytest.mark.parametrize("model", ["kaplan_meier", "cox", "hazard"])
def test_survival_falls_and_no_order_gets_less_likely_with_the_horizon(model, gaps, open_gaps):
    fitted = ChurnModel(model, seed=1, **FEW.get(model, {})).fit(gaps)
    survival = fitted.survival(open_gaps, np.arange(0.0, 120))
    assert (survival[:, 0] == 1).all()
    assert (np.diff(survival, axis=1) <= 1e-15).all()
    by_horizon = np.stack([fitted.probability_no_order(open_gaps, h) for h in (1, 7, 30, 60)], axis=1)
    inside = ~fitted.beyond_range(open_gaps, 60)
    assert inside.mean() > 0.8
    assert (np.diff(by_horizon[inside], axis=1) <= 1e-15).all()
    assert ((by_horizon >= 0) & (by_horizon <= 1)).all()
    elapsed = open_gaps["duration"].to_numpy(float)
    ratio = [fitted.survival(open_gaps, [e, e + 30])[i] for i, e in enumerate(elapsed[:20])]
    assert by_horizon[:20, 2][inside[:20]] == pytest.approx(np.array([b / a for a, b in ratio])[inside[:20]], rel=1e-9)


@pytest.mark.parametrize("model", ["kaplan_meier", "cox", "hazard"])
def test_half_have_ordered_by_the_median(model, gaps, open_gaps):
    fitted = ChurnModel(model, seed=1, **FEW.get(model, {})).fit(gaps)
    probability, median = fitted.answers(open_gaps, 30)
    assert probability == pytest.approx(fitted.probability_no_order(open_gaps, 30), abs=1e-12)
    assert median == pytest.approx(fitted.median_time_to_next(open_gaps), nan_ok=True)
    some = np.flatnonzero(~np.isnan(median))
    assert len(some) > 20
    for i in some[:20]:
        row = open_gaps.iloc[[i]]
        at = fitted.conditional_survival(row, [median[i]])[0, 0]
        before = fitted.conditional_survival(row, [median[i] * (1 - 1e-6)])[0, 0]
        # steps jump over a half, the hazard's curve goes through it
        assert at <= 0.5 + 1e-9
        assert before >= 0.5 - 1e-9
    # who has not come within the range has not half come at its end
    for i in np.flatnonzero(np.isnan(median))[:5]:
        left = fitted.last_time_ - open_gaps["duration"].iloc[i]
        if left > 0:
            assert fitted.conditional_survival(open_gaps.iloc[[i]], [left])[0, 0] > 0.5


def test_the_hazard_finds_a_known_conditional_survival():
    # Poisson customers with Gamma rates: given x purchases by T days, P(none in the next h) = ((a+T)/(a+T+h))^(r+x+1),
    # one more for the purchase that the first interval starts on being no part of x
    rng = np.random.default_rng(3)
    r, a, end = 2.0, 40.0, 240.0
    rows = []
    for customer, rate in enumerate(rng.gamma(r, 1 / a, 1_500)):
        at, k = 0.0, 0
        while at < end:
            following = at + rng.exponential(1 / rate)
            rows.append((customer, at, min(following, end) - at, following <= end, k, at, at / k if k else np.nan))
            at, k = following, k + 1
    names = ["customer_id", "starts", "duration", "event", "frequency", "tenure", "mean_gap"]
    gaps = pd.DataFrame(rows, columns=names)
    gaps["starts"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.floor(gaps["starts"]), unit="D")
    model = ChurnModel("hazard", seed=2).fit(gaps)
    open_ = gaps[~gaps["event"]]
    x = open_["frequency"].to_numpy()
    truth = ((a + end) / (a + end + 30)) ** (r + x)
    found = model.probability_no_order(open_, 30)
    floor = ChurnModel("kaplan_meier").fit(gaps).probability_no_order(open_, 30)
    # the trees' error from 1,500 customers; the floor's is what customers differ by
    assert np.abs(found - truth).mean() < 0.045
    assert np.abs(floor - truth).mean() > 2 * np.abs(found - truth).mean()


def test_beyond_the_range_the_last_window_answers_and_is_marked(hazard, open_gaps):
    last = hazard.last_time_
    marked = hazard.beyond_range(open_gaps, 30, elapsed=np.full(len(open_gaps), last + 50))
    assert marked.all()
    late = hazard.probability_no_order(open_gaps, 30, elapsed=last + 50)
    assert late == pytest.approx(hazard.probability_no_order(open_gaps, 30, elapsed=last - 30), rel=1e-12)
    assert np.isnan(hazard.conditional_survival(open_gaps, [30.0], elapsed=last)).all()
    for horizon in (0, -1, last + 1, np.nan, "30"):
        with pytest.raises(ModelError, match="horizon is"):
            hazard.probability_no_order(open_gaps, horizon)


def test_ended_intervals_are_not_scored_without_saying_when(hazard, gaps):
    with pytest.raises(ModelError, match="has ended; score open ones"):
        hazard.probability_no_order(gaps, 30)
    assert len(hazard.probability_no_order(gaps, 30, elapsed=0.0)) == len(gaps)


def test_neither_threads_nor_the_order_of_rows_to_score_change_a_bit(gaps, open_gaps, hazard):
    # few trees: threads that wait for one another take long on a busy machine
    one, two = (
        ChurnModel("hazard", seed=1, rounds=2, threads=threads).fit(gaps).probability_no_order(open_gaps, 30)
        for threads in (1, 2)
    )
    assert one.tobytes() == two.tobytes()
    turned = hazard.probability_no_order(open_gaps.iloc[::-1], 30)[::-1]
    assert turned.tobytes() == hazard.probability_no_order(open_gaps, 30).tobytes()


def test_contributions_of_the_hazard_add_up_to_its_log_odds(hazard, open_gaps):
    read, X = hazard._matrix(open_gaps)
    fitted = hazard._fitted
    begin = fitted.edges[fitted._bin(np.minimum(read.durations, 60.0))]  # at an edge, so that a day lies in one bin
    moved, names = fitted.contributions(X, begin, 0.5)
    rows = fitted._rows(np.asarray(X, dtype=np.float32), fitted._bin(begin))
    odds = fitted.booster.predict(rows, raw_score=True)
    bias = fitted.booster.predict(rows[:1], pred_contrib=True)[0, -1]
    assert moved.sum(axis=1) + bias == pytest.approx(odds, abs=1e-9)
    assert names.count("elapsed") == 4


def test_reasons_of_cox_are_its_terms_against_the_cohort(gaps, open_gaps):
    fitted = ChurnModel("cox", features=["frequency", "tenure"]).fit(gaps)
    told = fitted.reasons(open_gaps, 30, count=2)
    X = np.log1p(open_gaps[["frequency", "tenure"]].to_numpy(float))
    step = max(1, len(X) // 500)
    beta = np.array([fitted.coefficients_["frequency"], fitted.coefficients_["tenure"]])
    effect = beta * (X[::step].mean(axis=0) - X)
    assert told["effect_1"].to_numpy() == pytest.approx(np.maximum(effect.max(axis=1), 0), abs=1e-12)
    assert told.loc[told["effect_1"] > 0, "reason_1"].str.contains("purchase days?|first to last|one order").all()
    assert (told.loc[told["effect_1"] == 0, "reason_1"] == "").all()


def test_the_list_at_risk_says_who_and_why(hazard, open_gaps):
    listed = hazard.at_risk(open_gaps, 30, top=12)
    probability = pd.Series(hazard.probability_no_order(open_gaps, 30), open_gaps["customer_id"])
    assert listed["probability_no_order"].tolist() == probability.nlargest(12).tolist()
    assert (listed["reason_1"] != "").all()
    assert listed["reason_1"].str.contains("since the last order").any()
    worth = np.linspace(0, 100, len(open_gaps))
    by_value = hazard.at_risk(open_gaps, 30, top=5, value=worth, count=0)
    assert by_value["at_stake"].tolist() == sorted(probability.to_numpy() * worth)[-5:][::-1]
    with pytest.raises(ModelError, match="no exact contributions"):
        ChurnModel("kaplan_meier").fit(open_gaps.assign(event=True, duration=5)).reasons(
            open_gaps.assign(duration=1), 2
        )


def test_what_an_interval_came_to_is_no_feature(gaps):
    for name in ("duration", "event", "ends"):
        with pytest.raises(ModelError, match=f"feature '{name}' is what the interval came to"):
            ChurnModel("cox", features=["frequency", name]).fit(gaps)
    assert not set(gap_data(gaps).columns) & set(INTERVAL_COLUMNS)


def test_the_season_is_a_feature_where_two_years_were_seen(gaps):
    assert not {"month", "season_sin"} & set(gap_data(gaps).columns)
    long = gaps.assign(starts=gaps["starts"] + pd.to_timedelta(np.arange(len(gaps)) % 2 * 730, unit="D"))
    assert {"month", "season_sin", "season_cos"} <= set(gap_data(long).columns)
    asked = gap_data(gaps, ["day_of_year"])
    assert asked.columns["season_sin"] ** 2 + asked.columns["season_cos"] ** 2 == pytest.approx(np.ones(len(gaps)))


def test_features_measured_too_late_are_refused_by_name(gaps):
    some = gaps[["customer_id", "starts"]].head(3)
    on_time = some.assign(measured_at=some["starts"] + pd.Timedelta(hours=9), mood=[1.0, 2.0, 3.0])
    wide = known_at_start(gaps, on_time)
    assert wide["mood"].head(3).tolist() == [1.0, 2.0, 3.0]
    assert wide["mood"].isna().sum() == len(gaps) - 3
    late = on_time.assign(measured_at=some["starts"] + pd.to_timedelta([0, 1, 0], unit="D"))
    customer, start = some.iloc[1]
    said = rf"'mood' was measured after the start of its interval: customer '{customer}', interval of {start.date()}"
    with pytest.raises(ModelError, match=said):
        known_at_start(gaps, late)


def test_without_a_start_the_latest_earlier_measurement_is_taken(gaps):
    customer = gaps["customer_id"].iloc[0]
    mine = gaps[gaps["customer_id"] == customer]
    when = mine["starts"].iloc[1] + pd.Timedelta(days=1)
    measured = {"customer_id": [customer] * 2, "measured_at": [when, CUT + timedelta(days=900)], "points": [5.0, 9.0]}
    found = known_at_start(gaps, measured).loc[mine.index, "points"]
    assert found.isna().tolist() == [True, True] + [False] * (len(mine) - 2)
    assert set(found.dropna()) == {5.0}


def test_own_features_are_checked(gaps):
    customer = gaps["customer_id"].iloc[0]
    static = known_at_start(gaps, {"customer_id": [customer], "born": [1980]}, static=["born"])
    assert (static.loc[static["customer_id"] == customer, "born"] == 1980).all()
    for features, options, said in (
        ({"customer_id": [customer], "points": [1]}, {}, "need to say when; .* no column 'measured_at'"),
        ({"id": [customer]}, {}, "no column 'customer_id'"),
        ({"customer_id": [customer], "tenure": [1]}, {"static": ["tenure"]}, "'tenure' is a column of the intervals"),
        ({"customer_id": [customer], "born": [1]}, {"static": ["brn"]}, "static names 'brn'; did you mean 'born'"),
        ({"customer_id": [customer] * 2, "born": [1, 2]}, {"static": ["born"]}, "several rows of customer"),
    ):
        with pytest.raises(ContractError, match=said):
            known_at_start(gaps, features, **options)


@pytest.mark.parametrize("keyed", [True, False])
def test_a_feature_that_does_not_say_when_is_refused(gaps, keyed):
    leak = gaps[["customer_id", "starts"] if keyed else ["customer_id"]].assign(leak=gaps["duration"])
    customer = gaps["customer_id"].iloc[0]
    with pytest.raises(ModelError, match=rf"feature 'leak' of customer '{customer}' .* measured_at is missing"):
        known_at_start(gaps, leak.assign(measured_at=pd.NaT))
    for when in (20250201, "soon"):
        with pytest.raises(ContractError, match=f"measured_at has {when!r}, which is no date"):
            known_at_start(gaps, leak.assign(measured_at=when))


@pytest.mark.parametrize("keyed", [True, False])
def test_the_day_of_a_measurement_is_that_of_its_own_zone(gaps, keyed):
    late = (gaps["starts"] + pd.Timedelta(hours=23)).dt.tz_localize("US/Pacific")
    own = gaps[["customer_id", "starts"]].assign(measured_at=late, mood=np.arange(float(len(gaps))))
    found = known_at_start(gaps, own if keyed else own.drop(columns="starts"))
    assert found["mood"].tolist() == own["mood"].tolist()


def test_own_features_of_every_kind_of_frame_and_of_ids_that_do_not_fit(gaps):
    import polars as pl
    import pyarrow as pa

    own = gaps[["customer_id", "starts"]].assign(measured_at=gaps["starts"], mood=1.5)
    expected = known_at_start(gaps, own)
    assert known_at_start(pl.from_pandas(gaps), own)["mood"].to_list() == expected["mood"].tolist()
    assert known_at_start(pa.Table.from_pandas(gaps), pl.from_pandas(own))["mood"].to_pylist() == [1.5] * len(gaps)
    assert known_at_start(gaps, own.head(0))["mood"].isna().all()
    for static in ([], ["mood"]):
        with pytest.raises(ContractError, match="customer_id is numbers in the features"):
            known_at_start(gaps, own.assign(customer_id=1).head(1), static=static)
    assert known_at_start(gaps.head(0), own)["mood"].tolist() == []
    numbered, theirs = gaps.assign(customer_id=np.int32(7)).head(1), own.assign(customer_id=7.0).head(1)
    assert known_at_start(numbered, theirs)["mood"].tolist() == [1.5]
    with pytest.raises(ContractError, match="columns have other lengths than each other: customer_id 2, measured_at 1"):
        known_at_start(gaps, {"customer_id": ["a", "b"], "measured_at": [CUT], "mood": [1.0, 2.0]})
    twice = pd.concat([own.head(1), own.head(1)]).drop(columns="starts")
    with pytest.raises(ContractError, match="several rows of customer"):
        known_at_start(gaps, twice)
    with pytest.raises(ContractError, match="no column 'starts'"):
        known_at_start(gaps.drop(columns="starts"), own)


@pytest.mark.parametrize(
    ("column", "value", "error", "said"),
    [
        ("event", "no", ModelError, "event has 'no'; each must be true"),
        ("event", None, ModelError, "event has nan; each must be true"),
        ("event", 2, ModelError, "event has 2.0; each must be true"),
        ("duration", np.nan, ModelError, "duration has nan; each must be a finite number from 0"),
        ("duration", -5.0, ModelError, "duration has -5.0; each must be a finite number from 0"),
        ("customer_id", None, ModelError, "customer_id is missing in 1 of"),
        ("customer_id", 7, ContractError, "customer_id has text and other ids"),
        ("starts", pd.NaT, ModelError, "starts is missing in 1 of"),
    ],
)
def test_intervals_that_say_nothing_are_refused_at_fit_and_score(gaps, column, value, error, said):
    wrong = gaps.astype({column: object})
    wrong.loc[3, column] = value
    fitted = ChurnModel("kaplan_meier").fit(gaps)
    for ask in (ChurnModel("kaplan_meier").fit, lambda frame: fitted.survival(frame, [30])):
        with pytest.raises(error, match=said):
            ask(wrong.infer_objects())


@pytest.mark.parametrize("model", ["hazard", "cox"])
def test_the_order_of_rows_to_learn_from_does_not_change_a_bit(gaps, open_gaps, model):
    asked = {"features": ["frequency", "purchases_28"], "max_rows": 20_000 if model == "hazard" else 500}
    expected = ChurnModel(model, **asked, **FEW.get(model, {})).fit(gaps).probability_no_order(open_gaps, 30)
    shuffled = ChurnModel(model, **asked, **FEW.get(model, {})).fit(gaps.sample(frac=1, random_state=2))
    assert shuffled.probability_no_order(open_gaps, 30).tolist() == expected.tolist()


def test_days_after_the_data_are_no_silence(shop):
    for ask in (order_gaps, forecast_churn):
        with pytest.raises(ModelError, match=r"as_of is 2025-09-30 and the data end on 2025-06-30"):
            ask(shop[0], "2025-09-30")
    for wrong in (pd.NaT, 20250101, "soon"):
        with pytest.raises(SettingsError, match=r"as_of = .* is no date"):
            order_gaps(shop[0], wrong)
    with pytest.raises(ModelError, match=r"observation_end is 2025-09-30 and the data end on 2025-06-30"):
        evaluate_churn(shop[0], "2025-06-30", models=["kaplan_meier"], btyd=[], observation_end="2025-09-30")


def test_a_horizon_longer_than_the_history_names_both(shop):
    with pytest.raises(ModelError, match=r"the horizon is 400 days and the orders go back 54\d days from 2025-06-30"):
        forecast_churn(shop[0], horizon=400)
    with pytest.raises(ModelError, match=r"the horizon is 120 days and the longest interval up to .* 2024-03-01, has"):
        evaluate_churn(shop[0], "2024-03-01", 120, models=["kaplan_meier"], btyd=[])
    # the horizon fits; the curve, which went on to the end of the data, is cut
    report = evaluate_churn(shop[0], pd.Timestamp("2024-03-01"), 30, models=["kaplan_meier"], btyd=["bg_nbd"])
    assert report.reports["note"].str.contains("curves compared up to").all()
    assert report.reports["uno_c"].notna().all()


def test_models_without_contributions_score_with_empty_reasons(shop, gaps, open_gaps):
    forecast = forecast_churn(shop[0], CUT, model="kaplan_meier", choose=False)
    assert forecast.explained_by == "pareto_nbd"
    floor = replace(forecast, chosen="kaplan_meier")
    assert floor.explained_by == ""
    scores = floor.score(shop[0], explain=5)
    assert (scores[["reason_1", "reason_2", "reason_3"]] == "").all(axis=None)
    told = ChurnModel("kaplan_meier").fit(gaps).at_risk(open_gaps, 30, top=4)
    assert (told["reason_1"] == "").all()


@pytest.mark.parametrize(
    ("feature", "value", "said"),
    [
        ("elapsed", 1.0, "1 day since the last order"),
        ("elapsed", 0.0, "0 days since the last order"),
        ("frequency", 0.0, "only one order so far"),
        ("frequency", 1.0, "one earlier purchase day"),
        ("frequency", 12.0, "12 earlier purchase days"),
        ("tenure", 0.0, "only one order so far"),
        ("tenure", 1.0, "1 day from first to last order"),
        ("tenure", 12345.0, "12,345 days from first to last order"),
        ("previous_gap", 1.0, "1 day between the last two orders"),
        ("previous_gap", np.nan, "only one order so far"),
        ("gap_before_previous", np.nan, "no more than two orders so far"),
        ("mean_gap", 10.333333, "usual gap 10.33 days"),
        ("gap_variation", 0.0, "gaps all alike"),
        ("gap_variation", 0.512, "gaps vary by 51% of their mean"),
        ("purchases_28", 1.0, "no other purchase day in the 28 days to the last order"),
        ("purchases_28", 2.0, "2 purchase days in the 28 days to the last order"),
        ("orders", 1.0, "one order on the last day"),
        ("products", 3.0, "3 products on the last day"),
        ("categories", 1.0, "one category on the last day"),
        ("main_category", "GROCERY", "mostly GROCERY on the last day"),
        ("main_category_share", 0.004, "less than 1% of the last day's money in its main category"),
        ("main_channel", None, "main channel unknown"),
        ("discount_share", 0.0, "no money in discounts"),
        ("discount_share", 0.25, "25% of money in discounts"),
        ("discount_share", np.nan, "discount share unknown"),
        ("basket_value", 43210.5, "last basket 43,210"),
        ("month", 3.0, "last order in March"),
        ("mood", 2.0, "mood 2"),
        ("mood", np.nan, "mood unknown"),
    ],
)
def test_reasons_read_as_one_would_say_them(feature, value, said):
    lasted = value if feature == "elapsed" else 9.0
    is_text = feature in {"main_category", "main_channel"}
    columns = {} if feature == "elapsed" else {feature: np.array([value], dtype=object if is_text else float)}
    one = ChurnData(np.array([lasted]), np.array([False]), columns, np.array(["c"]), are_gaps=True)
    assert reason_columns(one, np.array([[1.0]]), [feature], 1)["reason_1"].tolist() == [said]
    contract = replace(one, are_gaps=False)
    told = reason_columns(contract, np.array([[1.0]]), [feature], 1)["reason_1"].item()
    assert "order" not in told.replace("orders", ""), "a contract has no orders"


def test_regular_customers_are_predicted_better_than_by_the_floor_and_by_btyd(shop):
    report = evaluate_churn(shop[0], CUT, 30, models=["kaplan_meier", "hazard"], btyd=["pareto_nbd"], windows=3, seed=1)
    table = report.reports.set_index("model")
    assert report.winner == "hazard"
    assert table.loc["hazard", "brier"] < 0.85 * min(
        table.loc["kaplan_meier", "brier"], table.loc["pareto_nbd", "brier"]
    )
    # leaves of 200 intervals make few customers' predictions timid rather than extreme
    assert table.loc["hazard", "slope"] > 0.8
    assert str(report).startswith("The boosted hazard predicts best: Brier ")
    assert "Kaplan-Meier has" in str(report)
    assert "Pareto/NBD has" in str(report)
    assert report.calibration.groupby("model")["judgements"].sum().eq(len(report.predictions)).all()
    seen = report.predictions
    assert table.loc["hazard", "brier"] == pytest.approx(((seen["hazard"] - seen["no_order"]) ** 2).mean())
    mean = (seen["hazard"] + seen["pareto_nbd"]) / 2
    assert seen["hazard + pareto_nbd"].to_numpy() == pytest.approx(mean.to_numpy())


def test_nothing_after_the_calibrations_end_reaches_a_model(shop, tmp_path):
    # whoever bought after the cut buys nothing else: predictions as of the cut must not know
    frame = shop[1]
    kept = frame[(frame["day"] <= CUT) | (frame["customer"] < "c300")]
    path = tmp_path / "orders.parquet"
    kept.assign(day=pd.to_datetime(kept["day"])).to_parquet(path)
    columns = {"customer_id": "customer", "ordered_at": "day", "revenue": "money", "discount": "off"}
    with connect(orders=path, columns=columns, value={"as_of": "2025-06-30"}) as other:
        one, two = (
            evaluate_churn(db, CUT, 30, models=["cox"], btyd=["bg_nbd"], folds=1).predictions.set_index("customer_id")
            for db in (shop[0], other)
        )
    assert not one["no_order"].equals(two["no_order"])
    pd.testing.assert_frame_equal(one[["cox", "bg_nbd"]], two[["cox", "bg_nbd"]])


def test_whoever_the_survival_model_gives_one_reason_has_the_parts_of_its_probability(shop):
    """With one covariate there is one contribution at most, and half of all have none above 0."""
    forecast = forecast_churn(shop[0], CUT, 30, model="cox", choose=False, features=["mean_gap"])
    forecast = replace(forecast, chosen="cox")
    scores = forecast.score(shop[0], explain=60)
    told = scores[(scores["reason_1"] != "") & (scores["days_since_order"] > 0)]
    assert len(told) > 50
    assert (told["reason_2"] != "").all()
    open_gaps = order_gaps(shop[0], CUT, open_only=True)
    then = forecast.model.probability_no_order(open_gaps, 30, elapsed=np.zeros(len(open_gaps)))
    added = 100 * (scores["probability_no_order_survival"] - then)
    figures = 0
    for row in told.itertuples():
        for text in (row.reason_1, row.reason_2):
            if "points)" not in text or "less than" in text:
                continue
            figures += 1
            figure = float(text.partition("(+")[2].partition(" ")[0])
            assert figure == pytest.approx(100 * then[row.Index] if "even on" in text else added[row.Index], rel=0.06)
    assert figures > 20


def test_a_window_beyond_the_data_is_refused(shop):
    with pytest.raises(ModelError, match=r"3 windows of 90 days .* end after 2025-06-30"):
        evaluate_churn(shop[0], CUT, 90, windows=3)
    with pytest.raises(ModelError, match="no model 'hazzard'; did you mean 'hazard'"):
        evaluate_churn(shop[0], CUT, 30, models=["hazzard"])
    with pytest.raises(ModelError, match="whole number of days"):
        evaluate_churn(shop[0], CUT, 30.5)


def test_a_forecast_chooses_on_the_window_before_it(shop):
    forecast = forecast_churn(shop[0], CUT, 30, recalibrate="logistic", seed=1, rounds=20)
    assert forecast.report is not None
    assert forecast.chosen == forecast.report.winner
    assert forecast.report.predictions["as_of"].unique().tolist() == [pd.Timestamp(CUT - timedelta(days=30))]
    scores = forecast.score(shop[0], explain=10)
    assert len(scores) == len(order_gaps(shop[0], CUT, open_only=True))
    assert (scores["reason_1"] != "").sum() == 10
    assert scores["probability_no_order"].between(0, 1).all()
    assert not scores["probability_no_order"].equals(scores["probability_no_order_survival"])
    with pytest.raises(ModelError, match="recalibrate needs the earlier window"):
        forecast_churn(shop[0], CUT, 30, choose=False, recalibrate="logistic")


def test_a_share_of_the_customers_is_fitted_and_judged(shop):
    report = evaluate_churn(shop[0], CUT, 30, models=["kaplan_meier"], btyd=["bg_nbd"], share=0.5)
    some = order_gaps(shop[0], CUT, share=0.5)["customer_id"].unique()
    assert sorted(report.predictions["customer_id"]) == sorted(some)
    assert report.predictions[["kaplan_meier", "bg_nbd"]].notna().all().all()
    forecast = forecast_churn(shop[0], CUT, 30, model="kaplan_meier", btyd="bg_nbd", share=0.5)
    assert forecast.model.n_customers_ == len(some)
    assert len(forecast.score(shop[0])) == order_gaps(shop[0], CUT, open_only=True)["customer_id"].nunique()


def test_frames_of_every_kind_give_the_same(gaps, open_gaps):
    import polars as pl
    import pyarrow as pa

    found = [
        ChurnModel("hazard", rounds=3).fit(made(gaps)).probability_no_order(made(open_gaps), 30).tobytes()
        for made in (pd.DataFrame, pl.from_pandas, pa.Table.from_pandas)
    ]
    assert len(set(found)) == 1
