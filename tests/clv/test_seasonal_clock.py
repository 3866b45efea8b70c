"""BG/NBD and MBG/NBD on a seasonal clock: nesting, the Jacobian, derivatives, known clocks, bad input."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from regulars import clv
from regulars.clv.interval_levels import customer_intervals
from regulars.clv.seasonal_clock import choose_terms, weekday_contrasts
from regulars.clv.seasonal_likelihood import DatedHistories, joint_objective
from regulars.clv.shopping_calendar import easter, public_holidays, shopping_occasions
from regulars.sql.errors import ContractError, MissingExtraError, ModelError

PARAMS = {"r": 0.5, "alpha": 6.0, "a": 0.6, "b": 2.5}
TRUE_FLAT = clv.FittedClock.flat(date(2013, 10, 1), date(2015, 11, 30))


def flat(days):
    return np.ones(days.size)


def december(days):
    return np.where(days.astype("datetime64[M]").astype(int) % 12 == 11, 3.0, 1.0)


def without_sundays(days):
    return np.where((days.astype(int) + 3) % 7 == 6, 0.0, 1.0)


def drawn(pace, *, seed=1, n=4000, model="bg_nbd", params=PARAMS):
    days = clv.simulate_seasonal_purchases(
        model, params, n, "2013-10-01", "2015-12-31", pace=pace, seed=seed, acquired_until="2015-06-30"
    )
    return days, *clv.summarise_purchase_days(days, "2015-11-30", observation_end="2015-12-31")


@pytest.fixture(scope="module")
def even():
    return drawn(flat)


@pytest.fixture(scope="module")
def peak():
    return drawn(december, seed=3, n=5000)


@pytest.fixture(scope="module")
def peak_model(peak):
    _, summary, by_day = peak
    return clv.SeasonalBetaGeoModel(clv.SeasonalClock(country="US")).fit(summary, by_day)


PAIRS = [
    (clv.SeasonalBetaGeoModel, clv.BetaGeoModel),
    (clv.SeasonalModifiedBetaGeoModel, clv.ModifiedBetaGeoModel),
]


@pytest.mark.parametrize(("seasonal", "plain"), PAIRS)
def test_a_flat_season_is_the_plain_model(even, seasonal, plain):
    _, summary, by_day = even
    fitted = plain().fit(summary)
    on_clock = seasonal(clv.SeasonalClock(harmonics=0, weekday=False)).fit(summary, by_day)
    # the same kernel on the same bits: not a digit may differ
    assert on_clock.params_ == fitted.params_
    assert on_clock.log_likelihood_ == fitted.log_likelihood_
    same = {"rtol": 1e-10, "atol": 1e-12}
    np.testing.assert_allclose(on_clock.covariance_, fitted.covariance_, **same)
    np.testing.assert_allclose(on_clock.probability_alive(summary), fitted.probability_alive(summary), **same)
    for name, arguments in {
        "expected_purchases": (39.3, 13.5),
        "probability_no_purchase": (4.25,),
        "purchase_probabilities": (31 / 7, 3),
        "discounted_expected_purchases": (52.0, 0.002),
        "median_time_to_next_purchase": (),
    }.items():
        found, expected = (getattr(m, name)(summary.head(300), *arguments) for m in (on_clock, fitted))
        if name == "median_time_to_next_purchase":  # the clock's calendar ends after thirty years
            expected = np.where(expected * 7 <= 30 * 365, expected, np.nan)
        np.testing.assert_allclose(found, expected, **same)
    np.testing.assert_allclose(
        on_clock.expected_purchases_new([1, 39.7]), fitted.expected_purchases_new([1, 39.7]), **same
    )
    np.testing.assert_allclose(on_clock.pmf([0, 2], 39), fitted.pmf([0, 2], 39), **same)
    np.testing.assert_allclose(on_clock.log_likelihood(summary, by_day), fitted.log_likelihood(summary), rtol=1e-12)


def test_effects_of_zero_are_the_plain_likelihood(even):
    _, summary, by_day = even
    terms = clv.SeasonalClock(harmonics=4).terms(
        np.arange("2013-10-02", "2015-12-01", dtype="datetime64[D]"), 4, range(7)
    )
    clock = clv.FittedClock(
        clv.SeasonalClock(harmonics=4), date(2013, 10, 1), date(2015, 11, 30), 4, (), terms.names, terms.groups,
        np.zeros(len(terms.names)), np.zeros((len(terms.names),) * 2),
    )  # fmt: skip
    model = clv.SeasonalBetaGeoModel.from_parameters(clock=clock, **PARAMS)
    plain = clv.BetaGeoModel.from_parameters(**PARAMS)
    np.testing.assert_allclose(model.log_likelihood(summary, by_day), plain.log_likelihood(summary), rtol=1e-12)
    np.testing.assert_allclose(model.expected_purchases(summary, 52), plain.expected_purchases(summary, 52), rtol=1e-10)


@pytest.mark.parametrize("chances", [0, 1, None])
def test_derivatives_are_those_of_finite_differences(chances):
    rng = np.random.default_rng(0)
    days, m = 200, 50
    first, x = rng.integers(0, 150, m), rng.integers(0, 6, m)
    last = np.where(x > 0, first + 1 + (rng.random(m) * (days - first - 1)).astype(int), first)
    runs = (np.arange(days) % 7 != 2).astype(float)
    data = DatedHistories(
        x, first, last, rng.integers(1, 4, m).astype(float), rng.normal(size=(days, 3)), runs,
        runs * rng.poisson(1, days), 60.0,
    )  # fmt: skip
    objective = joint_objective(data, chances, np.full(3, 0.7))
    point = np.concatenate([np.log([0.7, 1.3, 0.8, 2.1][: 2 if chances is None else 4]), [0.3, -0.2, 0.1]])
    _, gradient, hessian = objective(point)
    step = 1e-5
    around = [(objective(point + step * e), objective(point - step * e)) for e in np.eye(point.size)]
    # central differences with a step of 1e-5 leave 1e-10 relative, beside values of some hundreds
    np.testing.assert_allclose(gradient, [(up[0] - down[0]) / (2 * step) for up, down in around], atol=1e-6)
    np.testing.assert_allclose(hessian, [(up[1] - down[1]) / (2 * step) for up, down in around], atol=1e-6)


def test_without_the_jacobian_a_search_over_clocks_runs_away(even):
    """A clock that runs before customers come and stands still after squeezes their purchases into no time at all."""
    _, summary, by_day = even
    start = {"event": ["start"], "first_day": ["2013-10-02"], "last_day": ["2013-11-30"]}
    declared = clv.SeasonalClock(harmonics=0, weekday=False, events=start, events_until="2016-01-31")
    days = np.arange("2013-10-02", "2015-12-01", dtype="datetime64[D]")
    with_jacobian, without = [], []
    for strength in (0.0, 2.0, 4.0, 8.0):
        log_level = np.log(np.where(days <= np.datetime64("2013-11-30"), np.exp(strength), 1.0).mean())
        clock = clv.FittedClock(
            declared, date(2013, 10, 1), date(2015, 11, 30), 0, (), ("start",), ("events",),
            np.array([strength]), np.zeros((1, 1)), float(log_level),
        )  # fmt: skip
        histories = clv.SeasonalBetaGeoModel.from_parameters(clock=clock, **PARAMS).histories(summary)
        best = clv.BetaGeoModel().fit(histories)
        on_clock = clv.SeasonalBetaGeoModel.from_parameters(clock=clock, **best.params_)
        without.append(best.log_likelihood_)
        with_jacobian.append(on_clock.log_likelihood(summary, by_day))
    assert without == sorted(without)  # the more extreme the clock, the better it looks
    assert without[-1] > without[0] + 10_000
    assert with_jacobian == sorted(with_jacobian, reverse=True)  # and what is true of the calendar
    found = clv.SeasonalBetaGeoModel(declared).fit(summary, by_day)
    assert abs(found.clock_.coefficients[0]) < 0.2


def test_a_december_is_foreseen(peak, peak_model):
    _, summary, _ = peak
    model = peak_model
    plain = clv.BetaGeoModel().fit(summary)
    actual = summary["frequency_holdout"].sum()
    assert abs(plain.expected_purchases(summary, 31 / 7).sum() / actual - 1) > 0.15
    # 5% are asked of the mean (bench/clv_seasons.py); one draw of 1,900 purchases has a standard error of 3% itself
    assert abs(model.expected_purchases(summary, 31 / 7).sum() / actual - 1) < 0.10
    assert model.log_likelihood_ > plain.log_likelihood_ + 100
    np.testing.assert_allclose(
        model.clock_.rate(np.arange("2013-10-02", "2015-12-01", dtype="datetime64[D]")).mean(), 1
    )


def test_without_a_season_little_is_lost(even):
    days, summary, by_day = even
    until = clv.summarise_purchase_days(days[days["customer_id"].isin(summary["customer_id"])], "2015-12-31")
    model, plain = clv.SeasonalBetaGeoModel().fit(summary, by_day), clv.BetaGeoModel().fit(summary)
    held_out = model.log_likelihood(*until) - model.log_likelihood_
    assert held_out > plain.log_likelihood(until[0]) - plain.log_likelihood_ - 2.0


def test_a_known_clock_lies_within_its_intervals():
    """Waves, weekdays and a sale with known effects: 95% intervals of 12 numbers miss at most two."""
    sale = pd.date_range("2014-05-10", "2014-05-20").append(pd.date_range("2015-05-10", "2015-05-20"))
    clock = clv.SeasonalClock(
        harmonics=2, events={"event": ["sale"] * len(sale), "day": sale}, events_until="2016-12-31"
    )
    effects = np.array([0.5, -0.3, 0.15, 0.1, 0.2, -0.1, 0.15, 0.0, -0.25, 0.3, 0.7])

    def pace(days):
        return np.exp(clock.terms(days, 2, range(7)).matrix @ effects)

    _, summary, by_day = drawn(pace, seed=11, n=6000, model="mbg_nbd")
    model = clv.SeasonalModifiedBetaGeoModel(clock).fit(summary, by_day)
    found = model.clock_.summary_
    weekday = dict(zip(("monday", "tuesday"), weekday_contrasts(range(7))[:2] @ effects[4:10], strict=True))
    truth = {"cos 1": 0.5, "sin 1": -0.3, "cos 2": 0.15, "sin 2": 0.1, "sale": 0.7, **weekday}
    inside = [found.loc[name, "lower"] <= value <= found.loc[name, "upper"] for name, value in truth.items()]
    assert sum(inside) >= len(truth) - 1
    estimates = model.summary_
    # same-day purchases are one: the model's own parameters are recovered but for that
    assert estimates.loc["r", "lower"] <= PARAMS["r"] * 1.03
    assert estimates.loc["r", "upper"] >= PARAMS["r"] * 0.97


def test_a_shop_that_closes_on_sundays_has_no_sundays():
    _, summary, by_day = drawn(without_sundays, seed=5, n=1500)
    model = clv.SeasonalBetaGeoModel(clv.SeasonalClock(harmonics=0)).fit(summary, by_day)
    assert model.clock_.closed == ("sunday",)
    assert np.isfinite(model.log_likelihood_)
    assert model.clock_.rate(["2016-01-03", "2016-01-04"]).round(1).tolist() == [0.0, 1.2]
    assert model.clock_.summary_.loc["sunday", "pace"] == 0
    saturday = summary.assign(T=summary["T"] - 2 / 7)  # as of 2015-11-28
    saturday = saturday[(saturday["T"] >= saturday["recency"])]
    saturday.attrs["time_unit"] = "week"
    assert model.expected_purchases(saturday, 1 / 7).max() == 0  # the next day is a sunday
    named = clv.SeasonalBetaGeoModel(clv.SeasonalClock(harmonics=0, closed=["sunday"])).fit(summary, by_day)
    assert named.log_likelihood_ == model.log_likelihood_
    with pytest.raises(
        ModelError, match=r"closed names monday, but .* repeat purchases fall on it, the first on 2013-10"
    ):
        clv.SeasonalBetaGeoModel(clv.SeasonalClock(closed="monday")).fit(summary, by_day)
    _, open_summary, open_by_day = drawn(flat, seed=5, n=300)
    with pytest.raises(ModelError, match="on which the clock stands still, the first on"):
        model.log_likelihood(open_summary, open_by_day)


def test_where_nobody_leaves_the_clock_is_that_of_nbd():
    _, summary, by_day = drawn(december, model="nbd", params={"r": 0.8, "alpha": 9.0}, n=2000)
    model = clv.SeasonalBetaGeoModel(clv.SeasonalClock(harmonics=12, weekday=False)).fit(summary, by_day)
    if model.params_["a"] == 0:
        assert "dropout not identified" in model.message_
    assert model.clock_.rate(["2016-12-15"])[0] > 2
    assert np.isfinite(model.expected_purchases(summary, 52)).all()


def test_discounting_stays_in_calendar_time(peak, peak_model):
    _, summary, _ = peak
    model = peak_model
    some, rate = summary.head(40), 0.01
    edges = np.arange(0, 90 + 1) / 7
    expected = np.array([model.expected_purchases(some, t) for t in edges])
    by_day_of_horizon = np.diff(expected, axis=0)
    # a day's purchases discounted from its middle: the error is that of the midpoint rule, (rate / 7)^2 / 24
    midpoint = (np.exp(-rate * (edges[:-1] + 0.5 / 7))[:, None] * by_day_of_horizon).sum(axis=0)
    np.testing.assert_allclose(model.discounted_expected_purchases(some, 90 / 7, rate), midpoint, rtol=1e-6)


def test_tracking_shows_the_december(peak, peak_model):
    days, summary, by_day = peak
    model = peak_model
    flat_model = clv.SeasonalBetaGeoModel(clv.SeasonalClock(harmonics=0, weekday=False)).fit(summary, by_day)
    plain = clv.BetaGeoModel().fit(summary)
    first = summary.groupby("first_order_on").size().rename("customers").rename_axis("day").reset_index()
    _, until = clv.summarise_purchase_days(days, "2015-12-31")
    models = {"seasonal": model, "flat": flat_model, "plain": plain}
    table = clv.track_orders(models, first, until, date(2015, 11, 30))
    expected = table.pivot_table(index="week", columns="model", values="expected")
    np.testing.assert_allclose(expected["flat"], expected["plain"], rtol=1e-10)
    actual = table[table["model"] == "plain"].set_index("week")["actual"]
    squared = ((expected.sub(actual, axis=0)) ** 2).sum()
    assert squared["seasonal"] < 0.1 * squared["plain"]


def test_value_goes_by_the_clock(peak, peak_model):
    _, summary, _ = peak
    model = peak_model
    spend = clv.GammaGammaModel.from_parameters(p=6.25, q=3.74, v=15.44)
    money = summary.assign(monetary_value=np.where(summary["frequency"] > 0, 30.0, 0.0))
    value = clv.customer_lifetime_value(model, spend, money, horizon=5)  # a December
    plain = clv.customer_lifetime_value(clv.BetaGeoModel().fit(summary), spend, money, horizon=5)
    assert value.sum() > 2 * plain.sum()


def test_scores_and_intervals_go_by_the_clock(peak, peak_model):
    _, summary, by_day = peak
    model = peak_model
    scores = clv.score_customers(
        model, None, summary, as_of=date(2015, 11, 30), horizon=31 / 7, discount_rate=0.1, margin=1.0
    )
    np.testing.assert_allclose(
        scores["expected_orders"].to_numpy(), model.expected_purchases(summary, 31 / 7), rtol=1e-12
    )
    found = customer_intervals(model, None, summary, 31 / 7)
    actual = summary["frequency_holdout"].to_numpy()
    inside = (found.orders_low[:, -1] <= actual) & (actual <= found.orders_high[:, -1])
    assert inside.mean() > 0.9  # counts are few: intervals hold more than they promise, 90%
    other = clv.SeasonalBetaGeoModel(clv.SeasonalClock(harmonics=1)).fit(summary, by_day)
    with pytest.raises(ModelError, match="read by a model with another clock"):
        other.probability_alive(model.histories(summary))


def test_a_model_comes_back_from_disk(peak, tmp_path):
    _, summary, by_day = peak
    model = clv.SeasonalBetaGeoModel(clv.SeasonalClock(harmonics=3, country="GB-ENG")).fit(summary, by_day)
    model.save(tmp_path / "seasonal.json")
    again = clv.load_model(tmp_path / "seasonal.json")
    assert isinstance(again, clv.SeasonalBetaGeoModel)
    np.testing.assert_array_equal(again.expected_purchases(summary, 52), model.expected_purchases(summary, 52))
    pd.testing.assert_frame_equal(again.clock_.summary_, model.clock_.summary_)


def test_grouped_rows_are_the_same_fit(even):
    _, summary, by_day = even
    keys = ["frequency", "recency", "T", "first_order_on", "last_order_on"]
    grouped = summary.groupby(keys).size().rename("weight").reset_index()
    grouped.attrs["time_unit"] = "week"
    one, other = (clv.SeasonalBetaGeoModel(clv.SeasonalClock(harmonics=2)).fit(s, by_day) for s in (summary, grouped))
    np.testing.assert_allclose(one.log_likelihood_, other.log_likelihood_, rtol=1e-12)


# ---------------------------------------------------------------- bad input

EVENTS = {"event": ["sale"], "first_day": ["2014-05-01"], "last_day": ["2014-05-10"]}


def test_a_calendar_that_ends_before_the_horizon_is_refused_with_dates(even):
    _, summary, by_day = even
    clock = clv.SeasonalClock(harmonics=0, events=EVENTS, events_until="2016-01-31")
    model = clv.SeasonalBetaGeoModel(clock).fit(summary, by_day)
    assert np.isfinite(model.expected_purchases(summary, 8)).all()
    for ask in (
        lambda: model.expected_purchases(summary, 26),
        lambda: model.probability_no_purchase(summary, 26),
        lambda: model.discounted_expected_purchases(summary, 26, 0.002),
        lambda: model.expected_purchases_new(26),
    ):
        with pytest.raises(ModelError, match="events end on 2016-01-31, but 2016-05-30 is needed"):
            ask()
    with pytest.raises(ModelError, match="events end on 2014-05-10, but 2015-11-30 is needed"):
        clv.SeasonalBetaGeoModel(clv.SeasonalClock(events=EVENTS)).fit(summary, by_day)


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ({"event": ["always"], "first_day": ["2013-01-01"], "last_day": ["2015-12-31"]}, "is on every day"),
        ({"event": ["later"], "first_day": ["2015-12-10"], "last_day": ["2015-12-31"]}, "has no day from 2013-10-02"),
        (
            {"event": ["a", "b"], "first_day": ["2014-05-01"] * 2, "last_day": ["2014-05-10"] * 2},
            "event 'b' cannot be told from a",
        ),
    ],
)
def test_constant_and_collinear_events_are_refused_by_name(even, events, message):
    _, summary, by_day = even
    clock = clv.SeasonalClock(harmonics=0, events=events, events_until="2016-12-31")
    with pytest.raises(ModelError, match=message):
        clv.SeasonalBetaGeoModel(clock).fit(summary, by_day)


def test_events_that_cannot_be_read_are_refused():
    with pytest.raises(ContractError, match="ends on 2014-05-01, before it begins on 2014-05-10"):
        clv.SeasonalClock(events={"event": ["sale"], "first_day": ["2014-05-10"], "last_day": ["2014-05-01"]})
    with pytest.raises(ContractError, match="events have no column 'event'"):
        clv.SeasonalClock(events={"day": ["2014-05-10"]})
    with pytest.raises(ContractError, match="has no date in row 1"):
        clv.SeasonalClock(events={"event": ["a", "b"], "day": ["2014-05-10", None]})
    with pytest.raises(ModelError, match="'sonday'; did you mean 'sunday'"):
        clv.SeasonalClock(closed=["sonday"])
    for given, said in (
        ({"harmonics": -1}, "harmonics is -1"),
        ({"harmonics": True}, "harmonics is True"),
        ({"prior_sd": "a"}, "prior_sd is 'a'"),
        ({"prior_sd": 0.0}, r"prior_sd is 0\.0"),
        ({"weekday": "a"}, "weekday is 'a'"),
        ({"country": 44}, "country is 44"),
    ):
        with pytest.raises(ModelError, match=said):
            clv.SeasonalClock(**given)


def test_a_short_history_has_no_season(even):
    days, *_ = even
    summary, by_day = clv.summarise_purchase_days(days, "2014-06-30")
    model = clv.SeasonalBetaGeoModel(clv.SeasonalClock(country="US")).fit(summary, by_day)
    assert "a history of 272 days has no season" in model.message_
    assert "back_to_school" in model.message_
    with pytest.raises(ModelError, match=r"harmonics=2 needs a history of 365 days; this one has 272, from 2013-10-02"):
        clv.SeasonalBetaGeoModel(clv.SeasonalClock(harmonics=2)).fit(summary, by_day)


def test_summaries_without_what_a_clock_needs_are_refused(even):
    _, summary, by_day = even
    model = clv.SeasonalBetaGeoModel()
    with pytest.raises(ModelError, match="give repeat_purchases_by_day"):
        model.fit(summary)
    with pytest.raises(ContractError, match="needs the column 'first_order_on'"):
        model.fit(summary.drop(columns="first_order_on"), by_day)
    swapped = summary.rename(columns={"first_order_on": "last_order_on", "last_order_on": "first_order_on"})
    with pytest.raises(ContractError, match="lies before first_order_on"):
        model.fit(swapped, by_day)
    with pytest.raises(ContractError, match="is not the time from"):
        model.fit(summary.assign(recency=summary["recency"] / 2), by_day)
    other = summary.copy()
    other.loc[3, "T"] += 1
    with pytest.raises(ContractError, match="a summary has one as-of date"):
        model.fit(other, by_day)
    with pytest.raises(ContractError, match="add up to"):
        model.fit(summary, by_day.head(100))
    with pytest.raises(ContractError, match="hold a day twice"):
        model.fit(summary, pd.concat([by_day, by_day.tail(1)]))
    with pytest.raises(ContractError, match="lie after 2013-10-01 and up to"):
        model.fit(summary, by_day.assign(day=by_day["day"] + pd.Timedelta(days=60)))
    once = summary[summary["frequency"] == 0]
    with pytest.raises(ModelError, match="has bought a second time"):
        model.fit(once, by_day.head(0))
    with pytest.raises(ContractError, match="read before do not hold"):
        model.fit(clv.read_histories(summary), by_day)


def test_the_package_holidays_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "holidays", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'regulars\[churn\]'"):
        public_holidays("US", date(2017, 1, 1), date(2017, 12, 31))


def test_occasions_fall_on_the_days_that_were_announced():
    # easter: the tables of the US Census Bureau; the rest: retailers' and government calendars of those years
    assert [str(easter(y)) for y in (2000, 2016, 2024, 2025)] == [
        "2000-04-23",
        "2016-03-27",
        "2024-03-31",
        "2025-04-20",
    ]
    named = {
        (country, year): {
            n: (str(a), str(b)) for n, a, b in shopping_occasions(country, date(year, 1, 2), date(year, 12, 30))
        }
        for country, year in (("US", 2023), ("GB", 2024), ("FR", 2023), ("FR", 2024), ("DE", 2024))
    }
    assert named["US", 2023]["black_friday"] == ("2023-11-24", "2023-11-26")
    assert named["US", 2023]["mothers_day"][1] == "2023-05-14"
    assert named["GB", 2024]["mothers_day"][1] == "2024-03-10"
    assert named["FR", 2023]["mothers_day"][1] == "2023-06-04"  # Whitsunday was the last Sunday of May
    assert named["FR", 2024]["winter_sales"] == ("2024-01-10", "2024-02-06")
    assert named["FR", 2024]["summer_sales"] == ("2024-06-26", "2024-07-23")
    assert named["DE", 2024]["fathers_day"][1] == "2024-05-09"
    with pytest.raises(ModelError, match="no shopping calendar is known for country 'BR'"):
        shopping_occasions("BR", date(2023, 1, 1), date(2023, 12, 31))


def test_terms_not_in_the_history_are_named():
    days = np.arange("2017-01-02", "2017-10-01", dtype="datetime64[D]")
    _, _, _, notes = choose_terms(clv.SeasonalClock(country="US"), days, np.ones(days.size))
    assert "black_friday" in notes[-1]


def test_frames_of_any_kind_give_the_same(even):
    import polars as pl
    import pyarrow as pa

    _, summary, by_day = even
    model = clv.SeasonalBetaGeoModel(clv.SeasonalClock(harmonics=1)).fit(summary, by_day)
    arrow = pa.Table.from_pandas(summary).replace_schema_metadata({b"regulars.time_unit": b"week"})
    for table, days in ((arrow, pa.Table.from_pandas(by_day)), (pl.from_pandas(summary), pl.from_pandas(by_day))):
        again = clv.SeasonalBetaGeoModel(clv.SeasonalClock(harmonics=1)).fit(table, days)
        assert again.params_ == model.params_
        np.testing.assert_array_equal(again.expected_purchases(table, 10), model.expected_purchases(summary, 10))
