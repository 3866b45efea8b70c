"""The generator of price histories against its own definition: what is shared, what is known, what is hidden."""

import numpy as np
import pytest

from regulars.pricing.simulate import CONFOUNDING, simulate_prices
from regulars.sql.errors import ModelError

SIZE = {"items": 12, "stores": 10, "weeks": 80}


def test_twins_share_every_draw_but_the_depth():
    clean, confounded = (simulate_prices(**SIZE, confounding=k, seed=3) for k in (0.0, CONFOUNDING))
    for name in ("own", "cross", "brand", "regular_price", "unit_cost", "promotion_cost", "promoted", "potential"):
        np.testing.assert_array_equal(getattr(clean, name), getattr(confounded, name))
    promoted = np.broadcast_to(clean.promoted[:, None, :], clean.price.shape)
    np.testing.assert_array_equal(clean.price[~promoted], confounded.price[~promoted])
    # where demand is high the confounded shop is dearer than its twin, and cheaper where it is low
    residual = clean.potential - clean.potential.mean(axis=2, keepdims=True)
    dearer = (confounded.price - clean.price)[promoted]
    assert np.corrcoef(dearer, residual[promoted])[0, 1] > 0.6


def test_prices_end_in_9_and_promotions_are_as_deep_as_said():
    drawn = simulate_prices(**SIZE, seed=1)
    np.testing.assert_array_equal(np.round(drawn.price * 100.0) % 10, 9)
    assert 0.15 < drawn.promoted.mean() < 0.35
    depth = (1.0 - drawn.price / drawn.regular_price)[np.broadcast_to(drawn.promoted[:, None, :], drawn.price.shape)]
    # a price rounded to the next 9 is off by up to 5 cents
    assert depth.min() > -0.01
    assert depth.max() < 0.40
    assert 0.18 < depth.mean() < 0.25
    frame = drawn.frame()
    assert (frame.loc[~frame["promoted"], "discount"] == 0.0).all()
    assert (frame.loc[~frame["promoted"], "promotion_cost"] == 0.0).all()


def test_demand_answers_prices_with_the_elasticities_said():
    drawn = simulate_prices(**SIZE, seed=2)
    before = drawn.expected_demand()
    moved = drawn.price.copy()
    moved[4] *= 1.1
    ratio = np.log(drawn.expected_demand(moved) / before) / np.log(1.1)
    expected = np.broadcast_to(drawn.cross[:, 4, None, None], ratio.shape).copy()
    expected[4] = drawn.own[4]
    np.testing.assert_allclose(ratio, expected, atol=1e-9)


def test_units_are_poisson_with_that_mean():
    drawn = simulate_prices(**SIZE, seed=5)
    mean = drawn.expected_demand()
    assert drawn.units.sum() == pytest.approx(mean.sum(), abs=4.0 * mean.sum() ** 0.5)
    # Pearson's statistic of a Poisson is its number of cells, with a variance of 2 + 1 / mean a cell
    pearson = ((drawn.units - mean) ** 2 / mean).sum()
    assert pearson == pytest.approx(mean.size, abs=4.0 * (2.0 * mean.size + (1.0 / mean).sum()) ** 0.5)
    regular = drawn.expected_demand(drawn.regular_price)[~np.broadcast_to(drawn.promoted[:, None, :], mean.shape)]
    assert 15.0 < regular.mean() < 35.0  # 20 a week, times the mean of three log-normals


def test_the_twins_errors_are_those_published():
    # references: no change .235 on 24 items; the truth but for cross effects is near 0
    for confounding in (0.0, CONFOUNDING):
        drawn = simulate_prices(confounding=confounding, seed=4)
        truth = dict(zip(drawn.items, drawn.own, strict=True))
        assert drawn.counterfactual_error(truth) < 0.005
        assert drawn.counterfactual_error(dict.fromkeys(drawn.items, 0.0)) == pytest.approx(0.235, abs=0.03)


def test_a_response_may_be_a_function_of_rows_and_prices():
    drawn = simulate_prices(**SIZE, seed=6)
    truth = dict(zip(drawn.items, drawn.own, strict=True))

    def respond(rows, price):
        return (price / rows["price"].to_numpy()) ** rows["item"].map(truth).to_numpy()

    assert drawn.counterfactual_error(respond) == pytest.approx(drawn.counterfactual_error(truth), rel=1e-9)


def test_stock_hides_demand_where_discounts_are_deep():
    free, limited = (simulate_prices(**SIZE, stock_weeks=weeks, seed=7) for weeks in (None, 1.2))
    np.testing.assert_array_equal(free.price, limited.price)
    np.testing.assert_array_equal(limited.units, np.minimum(free.units, limited.on_hand))
    frame = limited.frame()
    deep = frame["discount"] >= 0.2
    assert frame.loc[deep, "sold_out"].mean() > 2.0 * frame.loc[~frame["promoted"], "sold_out"].mean()


def test_weeks_are_mondays_in_order_and_rows_are_item_store_week():
    frame = simulate_prices(items=3, stores=2, weeks=10, seed=0).frame(slice(4, 8))
    assert len(frame) == 3 * 2 * 4
    assert (frame["week"].dt.day_of_week == 0).all()
    assert frame[["item", "store_id", "week"]].apply(tuple, axis=1).is_monotonic_increasing


def test_sizes_must_be_above_0():
    with pytest.raises(ModelError, match="each must be above 0"):
        simulate_prices(items=0)


def test_options_that_are_not_asked_for_change_no_draw():
    plain = simulate_prices(**SIZE, seed=8)
    for option in ({"holidays": 0.4}, {"launches": 0.5}, {"categories": 3}, {"complements": 0.3}):
        other = simulate_prices(**SIZE, seed=8, **option)
        for name in ("own", "price", "regular_price", "promoted", "shock", "brand"):
            np.testing.assert_array_equal(getattr(other, name), getattr(plain, name))
    assert set(plain.frame().columns).isdisjoint({"age_weeks", "holiday"})
    assert set(plain.frame()["category_1"]) == {"category"}


def test_complements_and_categories():
    drawn = simulate_prices(**SIZE, cross=0.1, complements=0.4, categories=3, seed=9)
    same = drawn.category[:, None] == drawn.category
    assert np.bincount(drawn.category).tolist() == [4, 4, 4]
    assert (drawn.cross[~same] == 0.0).all()
    pairs = simulate_prices(**{**SIZE, "items": 60}, cross=0.1, complements=0.4, seed=9).cross
    upper = np.triu_indices(60, 1)
    # of normal(.1, .05) 2% are below 0 by themselves
    assert (pairs[upper] < 0.0).mean() == pytest.approx(0.4 * 0.98 + 0.6 * 0.02, abs=3.0 * (0.24 / 1770) ** 0.5)
    assert set(drawn.frame()["category_1"]) == {"category_0", "category_1", "category_2"}
    # a price moves no demand of another category
    moved = drawn.price.copy()
    moved[0] *= 1.2
    ratio = drawn.expected_demand(moved) / drawn.expected_demand()
    np.testing.assert_allclose(ratio[4:], 1.0, rtol=1e-12)
    assert simulate_prices(**SIZE, cross=-0.1, seed=9).cross.mean() < -0.05


def test_launches_and_holidays_are_in_the_demand_that_is_known():
    plain = simulate_prices(**SIZE, seed=10)
    drawn = simulate_prices(**SIZE, launches=0.5, holidays=0.4, stock_weeks=1.2, seed=10)
    assert (drawn.launch > 0).sum() == 6
    assert drawn.launch.max() <= SIZE["weeks"] // 2
    selling = np.arange(SIZE["weeks"]) >= drawn.launch[:, None]
    assert (drawn.units[~np.broadcast_to(selling[:, None, :], drawn.units.shape)] == 0).all()
    gained = drawn.potential - plain.potential
    expected = drawn.novelty + 0.4 * drawn.holiday
    np.testing.assert_allclose(gained[:, 0][selling], expected[selling], atol=1e-12)
    i = int(drawn.launch.argmax())
    assert drawn.novelty[i, drawn.launch[i]] == pytest.approx(0.5)
    assert drawn.novelty[i, drawn.launch[i] + 6] == pytest.approx(0.5 * (5 / 6) ** 6)
    frame = drawn.frame()
    assert len(frame) == SIZE["stores"] * selling.sum()
    ages = frame.groupby("item")["age_weeks"].min()
    assert sorted(ages.tolist()) == [0] * 6 + [52] * 6
    assert frame.groupby("week")["holiday"].first().sum() == drawn.holiday.sum() == 4
    assert drawn.counterfactual_error(dict(zip(drawn.items, drawn.own, strict=True))) < 0.02


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ({"confounding": float("nan")}, "confounding is nan"),
        ({"cross": float("inf")}, "cross is inf"),
        ({"season": float("nan")}, "season is nan"),
        ({"mean_units": float("inf")}, "mean_units is inf"),
        ({"stock_weeks": -1.0}, "above 0"),
        ({"seed": -1}, "seed is -1"),
        ({"items": 2.5}, "items is 2.5"),
        ({"items": "x"}, "items is 'x'"),
        ({"complements": 1.5}, "a share from 0 to 1"),
        ({"launches": "x"}, "launches is 'x'"),
        ({"holidays": None}, "holidays is None"),
    ],
)
def test_options_out_of_range_are_said(option, says):
    with pytest.raises(ModelError, match=says):
        simulate_prices(**{"items": 2, "stores": 1, "weeks": 4} | option)
