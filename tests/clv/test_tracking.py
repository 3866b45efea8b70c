"""Weekly tracking against sums by hand, the published CDNOW curve and simulated customers."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from regulars import clv
from regulars.clv.simulate import simulate_bg_nbd
from regulars.sql.contract import ORDER_TRACKING
from regulars.sql.errors import ContractError, ModelError

END, STOP = date(1997, 9, 30), date(1998, 6, 30)
MODEL = clv.BetaGeoModel.from_parameters(r=0.243, alpha=4.414, a=0.793, b=2.426)


@pytest.fixture(scope="module")
def by_day(cdnow_days):
    first = cdnow_days[~cdnow_days["is_repeat"]].groupby("day", as_index=False).size()
    repeat = cdnow_days[cdnow_days["is_repeat"]].groupby("day", as_index=False).size()
    return first.rename(columns={"size": "customers"}), repeat.rename(columns={"size": "purchase_days"})


@pytest.fixture(scope="module")
def tracking(by_day, cdnow):
    models = [clv.BetaGeoModel().fit(cdnow), clv.ParetoNBDModel().fit(cdnow)]
    return clv.track_orders(models, *by_day, END, observation_end=STOP)


def test_the_sum_by_hand(by_day):
    first, repeat = by_day
    found = clv.track_orders([MODEL], first, repeat, END, observation_end=STOP)
    for _, row in found.iloc[[0, 5, 38, 60, -1]].iterrows():
        last = pd.Timestamp(row["week"]) + pd.Timedelta(days=6)
        expected = sum(
            n * float(MODEL.expected_purchases_new((last - day).days / 7))
            for day, n in zip(first["day"], first["customers"], strict=True)
            if day <= last
        )
        assert row["expected_cumulative"] == pytest.approx(expected, rel=1e-9)
        assert row["actual_cumulative"] == repeat.loc[repeat["day"] <= last, "purchase_days"].sum()


def test_cdnow_follows_the_published_course(tracking):
    # Fader, Hardie & Lee (2005, figure 5): BG/NBD underestimates the cumulative repeats of week 78 by 4%
    bg = tracking[tracking["model"] == "bg_nbd"].set_index("week")
    week_78 = bg.iloc[77 - 1]
    assert week_78["expected_cumulative"] / week_78["actual_cumulative"] - 1 == pytest.approx(-0.04, abs=0.01)
    # in the calibration a maximum-likelihood fit tracks the total closely
    cut = bg[~bg["is_holdout"]].iloc[-1]
    assert cut["expected_cumulative"] == pytest.approx(cut["actual_cumulative"], rel=0.04)


def test_holdout_expectation_is_near_that_given_histories(tracking, cdnow):
    # unconditional and conditional expectation agree on average where the model holds: here to 5%
    pareto = tracking[tracking["model"] == "pareto_nbd"]
    holdout = pareto[pareto["is_holdout"]]["expected"].sum()
    weeks = pareto["is_holdout"].sum()
    conditional = clv.ParetoNBDModel().fit(cdnow).expected_purchases(cdnow, float(weeks)).sum()
    assert holdout == pytest.approx(conditional, rel=0.05)


def test_weeks_and_sums(tracking):
    one = tracking[tracking["model"] == "bg_nbd"]
    assert tuple(tracking.columns) == ORDER_TRACKING.column_names
    weeks = [pd.Timestamp(week) for week in one["week"]]
    assert weeks[0] == pd.Timestamp("1996-12-30")
    assert {week.day_name() for week in weeks} == {"Monday"}
    assert weeks == list(pd.date_range(weeks[0], periods=len(weeks), freq="7D"))
    # the week of 1998-06-29 is cut by the end of the data and left out; that of 1997-09-29 holds the calibration's end
    assert weeks[-1] == pd.Timestamp("1998-06-22")
    assert one.loc[~one["is_holdout"], "week"].map(pd.Timestamp).max() == pd.Timestamp("1997-09-29")
    assert np.cumsum(one["actual"]).to_numpy() == pytest.approx(one["actual_cumulative"].to_numpy())
    assert np.cumsum(one["expected"]).to_numpy() == pytest.approx(one["expected_cumulative"].to_numpy())
    assert (one["expected"] >= 0).all()


@pytest.mark.parametrize(("weekday", "name"), [("monday", "Monday"), ("sunday", "Sunday"), ("thursday", "Thursday")])
def test_the_week_begins_when_asked(by_day, weekday, name):
    found = clv.track_orders([MODEL], *by_day, END, weekday)
    assert {pd.Timestamp(week).day_name() for week in found["week"]} == {name}
    assert pd.Timestamp("1997-01-01") - pd.Timestamp(found["week"].iloc[0]) < pd.Timedelta(days=7)


def test_customers_acquired_later_do_not_count(by_day):
    first, repeat = by_day
    later = pd.DataFrame({"day": [pd.Timestamp("1997-12-01")], "customers": [10_000]})
    more = clv.track_orders([MODEL], pd.concat([first, later]), repeat, END, observation_end=STOP)
    pd.testing.assert_frame_equal(more, clv.track_orders([MODEL], first, repeat, END, observation_end=STOP))


@pytest.mark.parametrize("unit", ["day", "month"])
def test_the_models_unit_is_minded(by_day, unit):
    per_week = 7 / {"day": 1, "month": 365.25 / 12}[unit]
    other = clv.BetaGeoModel.from_parameters(r=0.243, alpha=4.414 * per_week, a=0.793, b=2.426, time_unit=unit)
    found = clv.track_orders({"bg_nbd": other}, *by_day, END)
    expected = clv.track_orders({"bg_nbd": MODEL}, *by_day, END)
    assert found["expected"].to_numpy() == pytest.approx(expected["expected"].to_numpy(), rel=1e-9, abs=1e-9)


def test_a_true_model_tracks_its_own_world():
    parameters = {"r": 0.8, "alpha": 5.0, "a": 0.8, "b": 2.5}
    start, days = date(2020, 1, 6), 40
    ages = np.repeat((days - np.arange(days)) / 7, 250)  # acquired over 40 days, watched until the last
    world = simulate_bg_nbd(parameters, len(ages), ages, seed=3)
    first = pd.DataFrame({"day": [start + timedelta(days=i) for i in range(days)], "customers": 250})
    repeat = pd.DataFrame({"day": [start], "purchase_days": [0]})
    model = clv.BetaGeoModel.from_parameters(**parameters)
    end = start + timedelta(days=days)
    found = clv.track_orders([model], first, repeat, end - timedelta(days=1), observation_end=end + timedelta(days=1))
    assert found["week"].iloc[-1] == start + timedelta(days=35)
    # 10,000 customers: the count of some 4,000 purchases varies by about 1.6%, five of those
    assert found["expected_cumulative"].iloc[-1] == pytest.approx(
        model.expected_purchases_new(ages + 1 / 7).sum(), rel=1e-9
    )
    assert model.expected_purchases_new(ages).sum() == pytest.approx(world["frequency"].sum(), rel=0.08)


def test_frames_follow_the_input(by_day):
    first, repeat = by_day
    expected = clv.track_orders([MODEL], first, repeat, END)
    as_dates = first.assign(day=first["day"].dt.date)
    pd.testing.assert_frame_equal(clv.track_orders([MODEL], as_dates, repeat, END), expected)
    polars = clv.track_orders([MODEL], pl.from_pandas(first), pl.from_pandas(repeat), END)
    assert isinstance(polars, pl.DataFrame)
    arrow = clv.track_orders([MODEL], pa.Table.from_pandas(first), pa.Table.from_pandas(repeat), END)
    assert [field.type for field in arrow.schema][:3] == [pa.string(), pa.date32(), pa.bool_()]
    assert arrow["expected"].to_pylist() == polars["expected"].to_list() == expected["expected"].tolist()


def test_less_than_a_week_is_shown():
    first = pd.DataFrame({"day": [date(2020, 1, 8)], "customers": [5]})
    repeat = pd.DataFrame({"day": [date(2020, 1, 9)], "purchase_days": [1]})
    found = clv.track_orders([MODEL], first, repeat, date(2020, 1, 8))
    assert found["actual"].tolist() == [1.0]


def test_bad_input_is_named(by_day):
    first, repeat = by_day
    with pytest.raises(ModelError, match=r"week_starts_on is 'mon'"):
        clv.track_orders([MODEL], first, repeat, END, "mon")
    with pytest.raises(ModelError, match="no customer was acquired by calibration_end 1990-01-01"):
        clv.track_orders([MODEL], first, repeat, date(1990, 1, 1))
    with pytest.raises(ContractError, match="no column 'customers'"):
        clv.track_orders([MODEL], first.rename(columns={"customers": "n"}), repeat, END)
    with pytest.raises(ContractError, match="no column 'day'; did you mean 'days'"):
        clv.track_orders([MODEL], first, repeat.rename(columns={"day": "days"}), END)
