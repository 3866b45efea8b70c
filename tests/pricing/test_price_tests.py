"""Price tests against statsmodels, simulated readings, and shops whose customers substitute."""

from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtr

from regulars.pricing.price_test_value import add_test_results, combine_by_precision, worth_of_tests
from regulars.pricing.price_tests import (
    PriceResponse,
    clustered_price_test,
    price_response,
    substitution_bias,
    switchback_price_test,
    weekly_noise,
)
from regulars.sql.errors import ContractError, ModelError
from regulars.sql.hashing import DesignError

STORES = [f"store {k:02d}" for k in range(12)]
ITEMS = [f"item {k:02d}" for k in range(60)]
CATEGORY = {name: f"category {k // 5:02d}" for k, name in enumerate(ITEMS)}
N = len(ITEMS)
WITHIN = (np.arange(N)[:, None] // 5 == np.arange(N) // 5) & ~np.eye(N, dtype=bool)


def _sold(test, elasticity, mean, rng, sd=0.0, autocorrelation=0.0):
    """Draw units of every unit and week of a test: levels, weeks, shocks that last, Poisson."""
    n, weeks = test.factor.shape
    shock = np.zeros((n, weeks))
    for t in range(weeks):
        drawn = sd * rng.standard_normal(n)
        shock[:, t] = drawn if t == 0 else autocorrelation * shock[:, t - 1] + (1 - autocorrelation**2) ** 0.5 * drawn
    level = 0.3 * rng.standard_normal((n, 1)) + 0.2 * rng.standard_normal((1, weeks))
    rows = test.schedule()
    return rows["unit"], rows["week"], rng.poisson(mean * np.exp(level + shock) * test.factor**elasticity).ravel()


def test_the_draw_is_repeated_balanced_and_told_apart_by_its_salt():
    tests = [clustered_price_test(CATEGORY, before=4, weeks=4, factor=0.9, salt=salt) for salt in "aab"]
    np.testing.assert_array_equal(tests[0].factor, tests[1].factor)
    assert (tests[0].factor != tests[2].factor).any()
    for test in tests:
        assert (test.factor[:, :4] == 1.0).all()
        assert (test.factor[:, 4:] != 1.0).all(axis=1).sum() == 6
    switch = switchback_price_test(STORES, 12, 2, factor=0.8, salt="s", washout=1)
    assert ((switch.factor != 1.0).sum(axis=0) == 6).all()
    assert ((switch.factor != 1.0).sum(axis=1) == 6).all()
    assert switch.counted.tolist() == [False, True] * 6
    assert list(switch.schedule().columns) == ["unit", "week", "factor", "counted"]


def test_a_reading_is_statsmodels_poisson_of_shares():
    import statsmodels.api as sm

    test = switchback_price_test(STORES[:6], 8, 2, factor=0.85, salt="s")
    unit, week, sold = _sold(test, -2.0, 30.0, np.random.default_rng(0), sd=0.1)
    seen = price_response(test, unit, week, sold)
    x = np.column_stack(
        [np.log(test.factor.ravel()), pd.get_dummies(unit).to_numpy(float), pd.get_dummies(week).to_numpy(float)[:, 1:]]
    )
    share = 1000.0 * sold / np.repeat(sold.reshape(6, 8).sum(axis=1), 8)
    fit = sm.GLM(share, x, family=sm.families.Poisson()).fit(tol=1e-14)
    assert seen.elasticity == pytest.approx(fit.params[0], abs=1e-7)
    # a unit's size changes nothing
    large = np.where(unit == STORES[0], 50, 1) * sold
    assert price_response(test, unit, week, large).elasticity == pytest.approx(seen.elasticity, abs=1e-9)
    assert price_response(test, unit, week, large).lower == pytest.approx(seen.lower, abs=1e-6)


def test_an_interval_holds_what_no_draw_speaks_against():
    """Six stores, two pairs: 400 draws, each counted by hand."""
    test = switchback_price_test(STORES[:6], 4, 1, factor=0.8, salt="s")
    assert test.ways == 400
    unit, week, sold = _sold(test, -1.5, 300.0, np.random.default_rng(4), sd=0.2)
    seen = price_response(test, unit, week, sold, interval=0.9)
    shares = sold.reshape(6, 4) / sold.reshape(6, 4).sum(axis=1, keepdims=True)
    halves = [np.isin(np.arange(6), some) for some in combinations(range(6), 3)]

    def chance(elasticity):
        plain = shares / test.factor**elasticity
        plain /= plain.sum(axis=1, keepdims=True)
        # rows and columns of a table near balance: sums by proportional fitting
        mean = np.full((6, 4), 0.25)
        for _ in range(200):
            mean *= (plain.sum(axis=1) / mean.sum(axis=1))[:, None]
            mean *= plain.sum(axis=0) / mean.sum(axis=0)
        off = plain - mean
        made = abs((off * (test.factor < 1)).sum())
        others = [abs((off * np.column_stack([one, ~one, two, ~two])).sum()) for one, two in product(halves, repeat=2)]
        return np.mean(np.array(others) >= made - 1e-12)

    width = seen.upper - seen.lower
    assert chance(seen.lower + 0.002 * width) > 0.1 >= chance(seen.lower - 0.002 * width)
    assert chance(seen.upper - 0.002 * width) > 0.1 >= chance(seen.upper + 0.002 * width)


@pytest.mark.parametrize("kind", ["switchback", "washout", "clustered", "few clusters"])
def test_power_and_intervals_are_those_of_simulated_tests(kind):
    """Units of unequal size: the logarithm's standard deviation is 1."""
    if "clusters" in kind or kind == "clustered":
        clusters = {name: name for name in STORES[: 8 if kind == "few clusters" else 12]}
        test = clustered_price_test(clusters, before=8, weeks=8, factor=0.8, salt="s")
    else:
        test = switchback_price_test(STORES, 16, 4, factor=0.8, salt="s", washout=int(kind == "washout"))
    mean, sd, autocorrelation, draws = 2000.0, 0.2, 0.5, 160
    truth = -0.45 if kind in ("switchback", "washout") else -1.0
    rng = np.random.default_rng(1)
    seen = []
    for _ in range(draws):
        unit, week, sold = _sold(test, truth, mean, rng, sd, autocorrelation)
        size = np.repeat(np.exp(rng.standard_normal(len(test.units))), test.factor.shape[1])
        seen.append(price_response(test, unit, week, size * sold))
    value, error = np.array([(s.elasticity, s.standard_error) for s in seen]).T
    # Poisson's share of the noise is 1 / 2000 beside .04; the reading is at 10%, as its interval
    told = test.power(truth, sd=(sd**2 + 1.0 / mean) ** 0.5, autocorrelation=autocorrelation, level=0.1)
    assert value.mean() == pytest.approx(truth, abs=4.0 * value.std() / draws**0.5)
    assert told.standard_error == pytest.approx(value.std(ddof=1), rel=4.0 / (2.0 * draws) ** 0.5)
    assert (error**2).mean() ** 0.5 == pytest.approx(value.std(ddof=1), rel=4.0 / (2.0 * draws) ** 0.5)
    lower, upper = np.array([(s.lower, s.upper) for s in seen]).T
    # 3 standard errors of a share of 160
    assert ((lower <= truth) & (truth <= upper)).mean() == pytest.approx(0.9, abs=0.071)
    assert ((lower > 0.0) | (upper < 0.0)).mean() == pytest.approx(told.power, abs=0.12)


def test_designs_that_cannot_be_judged_are_refused():
    four = {f"item {k}": f"category {k % 4}" for k in range(8)}
    with pytest.raises(DesignError, match="4 clusters can be drawn in 6 ways only"):
        clustered_price_test(four, before=8, weeks=4, factor=0.9, salt="s")
    with pytest.raises(DesignError, match="4 stores can be drawn in 6 ways only"):
        switchback_price_test(STORES[:4], 2, 1, factor=0.9, salt="s")
    six = clustered_price_test({k: k for k in STORES[:6]}, before=8, weeks=4, factor=0.9, salt="s")
    with pytest.raises(DesignError, match=r"drawn in 20 ways, so nothing is rejected at a level of 0\.05"):
        six.power(1.0, sd=0.2)
    rows = six.schedule()
    with pytest.raises(ModelError, match=r"an interval of 0\.95; ask for one of at most 0\.9"):
        price_response(six, rows["unit"], rows["week"], 100 / rows["factor"], interval=0.95)


def test_power_grows_with_the_effect_the_price_step_and_the_weeks():
    base = switchback_price_test(STORES, 8, 2, factor=0.9, salt="s")
    plain = base.power(1.0, sd=0.2).power
    assert base.power(0.0, sd=0.2).power == pytest.approx(0.05)
    assert base.power(2.0, sd=0.2).power > plain
    assert base.power(-1.0, sd=0.2).power == pytest.approx(plain)
    assert switchback_price_test(STORES, 8, 2, factor=0.8, salt="s").power(1.0, sd=0.2).power > plain
    assert switchback_price_test(STORES, 16, 2, factor=0.9, salt="s").power(1.0, sd=0.2).power > plain
    # many units: the normal's answer
    many = switchback_price_test([f"s{k:03d}" for k in range(400)], 8, 2, factor=0.9, salt="s").power(0.3, sd=0.2)
    assert many.power == pytest.approx(ndtr(0.3 / many.standard_error - 1.96), abs=0.01)


def test_noise_of_a_history_is_what_was_drawn():
    quiet = switchback_price_test(STORES, 60, 2, factor=0.999999, salt="s")
    rng = np.random.default_rng(3)
    found = np.mean([weekly_noise(*_sold(quiet, 0.0, 5000.0, rng, 0.2, 0.5)) for _ in range(20)], axis=0)
    assert found[0] == pytest.approx(0.2, rel=0.1)
    assert found[1] == pytest.approx(0.5, abs=0.08)


def _design(clusters):
    return lambda salt: clustered_price_test(clusters, before=8, weeks=8, factor=0.9, salt=salt)


def test_item_by_item_tests_read_substitution_as_response():
    """Roemheld & Rao 2024: bias of up to 100% of the effect; none where what substitutes moves together."""
    own, units = np.full(N, -2.4), np.full(N, 50.0)
    cross = 0.3 * WITHIN
    together, apart = (
        substitution_bias(_design(clusters), own, cross, units, ITEMS, draws=40)
        for clusters in (CATEGORY, {name: name for name in ITEMS})
    )
    assert together.truth == pytest.approx(-2.4 + 4 * 0.3)
    assert together.bias == pytest.approx(0.0, abs=1e-9)
    # 30 of 60 items are treated: of a treated item's 4 neighbours 4 x 29 / 59 are on average, of another's 4 x 30 / 59,
    # so that the reading is own - .3 x 4 / 59; the rest of the neighbours' +1.2 it cannot see
    assert apart.estimate == pytest.approx(-2.4 - 0.3 * 4 / 59, abs=0.01)
    assert apart.bias / apart.truth > 0.9
    none = substitution_bias(_design({name: name for name in ITEMS}), own, 0.0 * cross, units, ITEMS, draws=3)
    assert none.bias == pytest.approx(0.0, abs=1e-9)


def test_the_bias_is_seen_in_simulated_shops_and_intervals_miss_the_truth():
    rng = np.random.default_rng(5)
    own = rng.normal(-2.4, 0.2, N)
    cross = rng.uniform(0.1, 0.4, (N, N)) * WITHIN
    base = rng.uniform(40.0, 120.0, N)
    truth = np.log(np.average(0.9 ** (own + cross.sum(axis=1)), weights=base)) / np.log(0.9)
    covered = {}
    for name, clusters in (("category", CATEGORY), ("item", {item: item for item in ITEMS})):
        inside, values = [], []
        for draw in range(60):
            test = _design(clusters)(f"{draw}")
            row = {unit: k for k, unit in enumerate(test.units)}
            log_factor = np.log(test.factor[[row[clusters[item]] for item in ITEMS]])
            mean = base[:, None] * np.exp(own[:, None] * log_factor + cross @ log_factor)
            sold = rng.poisson(mean)
            unit, week = np.repeat(ITEMS, mean.shape[1]), np.tile(np.arange(mean.shape[1]), N)
            seen = price_response(test, unit, week, sold.ravel())
            inside.append(seen.lower <= truth <= seen.upper)
            values.append(seen.elasticity)
        covered[name] = np.mean(inside), np.mean(values) / truth - 1.0
    assert covered["category"][0] > 0.8
    assert abs(covered["category"][1]) < 0.05
    assert covered["item"][0] < 0.05
    assert covered["item"][1] > 0.6


def test_results_join_the_elasticities_by_precision():
    value, error = combine_by_precision(-2.0, 0.3, -3.0, 0.4)
    # by hand: precisions 11.11 and 6.25
    assert value == pytest.approx((-2.0 / 0.09 - 3.0 / 0.16) / (1 / 0.09 + 1 / 0.16))
    assert error == pytest.approx(0.24)
    table = pd.DataFrame(
        {
            "item": ["a", "b"], "elasticity": [-2.0, -2.2], "standard_error": [0.3, 0.3], "lower": [-2.5, -2.7],
            "upper": [-1.5, -1.7], "own_elasticity": [-1.5, -2.4], "own_standard_error": [0.5, 0.5],
            "own_data_share": [0.36, 0.36], "category_share": [0.64, 0.64], "method": ["poisson", "poisson"],
        }
    )  # fmt: skip
    seen = PriceResponse(-3.0, 0.4, -3.8, -2.2, 12, "own")
    renewed = add_test_results(table, {"a": seen})
    pd.testing.assert_frame_equal(renewed.iloc[[1]], table.iloc[[1]])
    first = renewed.iloc[0]
    assert first["elasticity"] == pytest.approx(value)
    assert first["lower"] == pytest.approx(value - 1.6448536 * 0.24)
    # the same as weighing category, own data and test at once: the category is worth .64 of 1 / .09
    assert first["category_share"] == pytest.approx(0.64 / 0.09 / (1 / 0.09 + 1 / 0.16))
    assert first["own_data_share"] == pytest.approx(1.0 - first["category_share"])
    own, own_error = combine_by_precision(-1.5, 0.5, -3.0, 0.4)
    category = (-2.0 / 0.09 + 1.5 / 0.25) / (0.64 / 0.09)
    at_once = (own / own_error**2 + category * 0.64 / 0.09) / (own_error**-2 + 0.64 / 0.09)
    assert first["own_elasticity"] == pytest.approx(own)
    assert at_once == pytest.approx(value)
    assert first["method"] == "poisson + price test"
    twice = add_test_results(add_test_results(table, {"a": (-3.0, 0.4)}), {"a": (-1.0, 0.5)})
    other = add_test_results(add_test_results(table, {"a": (-1.0, 0.5)}), {"a": (-3.0, 0.4)})
    assert twice["elasticity"][0] == pytest.approx(other["elasticity"][0])


def _items(error, **more):
    n = len(error)
    items = {"item": [f"i{k}" for k in range(n)], "elasticity": np.full(n, -2.0), "standard_error": np.array(error),
             "price": np.full(n, 10.0), "unit_cost": np.full(n, 5.0), "weekly_units": np.full(n, 20.0)}  # fmt: skip
    return pd.DataFrame(items | more)


def test_tests_are_worth_most_where_least_is_known_and_never_more_than_certainty():
    found = worth_of_tests(_items([0.05, 0.4, 1.0, 0.8]), test_error=0.3)
    assert found["item"].tolist() == ["i2", "i3", "i1", "i0"]
    assert (found["worth"] > -1e-9).all()
    assert (found["worth"] <= found["worth_of_certainty"] + 1e-9).all()
    # more precise tests are worth more, and a perfect one is worth certainty
    worths = [worth_of_tests(_items([0.8]), test_error=error)["worth"][0] for error in (2.0, 0.6, 0.2, 1e-4)]
    assert (np.diff(worths) > 0.0).all()
    assert worths[-1] == pytest.approx(worth_of_tests(_items([0.8]), test_error=1.0)["worth_of_certainty"][0], rel=1e-2)
    assert worth_of_tests(_items([0.8]), test_error=0.6, test_cost=7.0)["worth"][0] == pytest.approx(worths[1] - 7.0)
    assert worth_of_tests(_items([0.8]), test_error=0.6, weeks=52)["worth"][0] == pytest.approx(2.0 * worths[1])


def test_the_worth_is_that_of_simulated_tests():
    factors, rng, draws = np.array([0.6, 0.8, 1.0, 1.2]), np.random.default_rng(0), 400_000
    mean, before, error = -2.0, 0.8, 0.5
    after = (before**-2 + error**-2) ** -0.5
    truth = mean + before * rng.standard_normal(draws)
    reading = truth + error * rng.standard_normal(draws)
    estimate = after**2 * (mean / before**2 + reading / error**2)
    profit = 26 * 20.0 * factors[:, None] ** np.minimum(truth, 0.0) * (10.0 * factors - 5.0)[:, None]
    # what to choose at each estimate: by the mean profit of draws with a similar one
    bins = np.digitize(estimate, np.quantile(estimate, np.linspace(0, 1, 201)[1:-1]))
    best = np.array([np.bincount(bins, row, 200) for row in profit]).argmax(axis=0)[bins]
    simulated = profit[best, np.arange(draws)].mean() - profit.mean(axis=1).max()
    found = worth_of_tests(_items([before]), test_error=error, factors=factors)
    # half a standard error of the simulated mean, and 200 bins
    assert found["worth"][0] == pytest.approx(simulated, rel=0.05)


def test_stock_that_sells_out_anyway_is_worth_no_test():
    scarce = _items([0.8], on_hand=[10.0], salvage_value=[1.0])
    plenty = _items([0.8], on_hand=[900.0], salvage_value=[1.0])
    assert worth_of_tests(scarce, test_error=0.3)["worth"][0] == pytest.approx(0.0, abs=1e-9)
    assert worth_of_tests(plenty, test_error=0.3)["worth"][0] > 10.0


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: switchback_price_test(["a"], 4, 1, factor=0.9, salt="s"), DesignError, "there are 1 stores"),
        (lambda: switchback_price_test(STORES, 5, 1, factor=0.9, salt="s"), DesignError, "whole pairs"),
        (lambda: switchback_price_test(STORES, 4, 1, factor=0.9, salt="s", washout=1), DesignError, "washout is 1"),
        (lambda: switchback_price_test(STORES, 4, 1, factor=1.0, salt="s"), DesignError, "factor is 1.0"),
        (lambda: switchback_price_test(STORES, 4, 1, factor=0.9, salt=""), DesignError, "salt is blank"),
        (lambda: switchback_price_test(STORES, 4, 1, factor=0.9, salt="s", moves="all"), DesignError, "'all'"),
        (lambda: clustered_price_test(CATEGORY, before=0, weeks=2, factor=0.9, salt="s"), DesignError, "before"),
        (lambda: _design(CATEGORY)("s").power(1.0, sd=0.0), DesignError, "sd is above 0"),
        (lambda: price_response(_design(CATEGORY)("s"), ["x"], [0], [1.0]), ModelError, "'x' is not of the test"),
        (lambda: price_response(_design(CATEGORY)("s"), ["item 00"], [99], [1.0]), ModelError, "0 to 15"),
        (lambda: price_response(_design(CATEGORY)("s"), ["item 00"], [0], [-1.0]), ModelError, "negative"),
        (lambda: price_response(_design(CATEGORY)("s"), ["item 00"], [0], [1.0]), ModelError, "has no row for week"),
        (lambda: price_response(_design(CATEGORY)("s"), ["item 00"], [0.5], [1.0]), ModelError, "weeks are whole"),
        (lambda: price_response(_design(CATEGORY)("s"), ["item 00"], ["x"], [1.0]), ModelError, "names and numbers"),
        (lambda: price_response(_design(CATEGORY)("s"), ["item 00"], [0, 1], [1.0]), ModelError, "1, 2 and 1 rows"),
        (lambda: price_response(_design(CATEGORY)("s"), ["item 00"], [0], [1.0], interval=None), ModelError, "None"),
        (lambda: _design(CATEGORY)("s").power(float("nan"), sd=0.1), DesignError, "effect is nan"),
        (lambda: _design(CATEGORY)("s").power("x", sd=0.1), DesignError, "effect is 'x'"),
        (lambda: weekly_noise(["a"] * 9, range(9), [float("nan")] * 9), ModelError, "negative or missing"),
        (lambda: switchback_price_test(STORES, 4.0, 1, factor=0.9, salt="s"), DesignError, "weeks is 4.0"),
        (lambda: switchback_price_test(STORES, 4, 1, factor="x", salt="s"), DesignError, "factor is 'x'"),
        (lambda: clustered_price_test(None, before=1, weeks=2, factor=0.9, salt="s"), DesignError, "a mapping"),
        (lambda: clustered_price_test(CATEGORY, before=None, weeks=2, factor=0.9, salt="s"), DesignError, "before"),
        (lambda: combine_by_precision(1.0, 0.0, 1.0, 1.0), ModelError, "above 0"),
        (lambda: add_test_results(_items([0.3]), {"x": (1.0, 1.0)}), ModelError, "'x' is not among"),
        (lambda: add_test_results(_items([0.3]), {"i0": PriceResponse(-1, 1, -2, 0, 9, "category")}), ModelError,
         "the category's response"),
        (lambda: worth_of_tests(_items([0.3]).drop(columns="price"), test_error=1.0), ContractError, "'price'"),
        (lambda: worth_of_tests(_items([0.0]), test_error=1.0), ModelError, "standard_error of item 'i0' is 0.0"),
        (lambda: worth_of_tests(_items([0.3]), test_error=1.0, factors=[1.0]), ModelError, "two or more"),
    ],
)  # fmt: skip
def test_what_cannot_be_tested_is_said(call, error, says):
    with pytest.raises(error, match=says):
        call()


TABLE = {"item": ["a", "b"], "elasticity": [-2.0, -2.5], "standard_error": [0.3, 0.3]}
NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("table", "results", "says"),
    [
        (TABLE, {"a": (NAN, 0.4)}, "the elasticity nan"),
        (TABLE, {"a": (-INF, 0.4)}, "the elasticity -inf"),
        (TABLE, {"a": (-2.0, INF)}, "a standard error of inf"),
        (TABLE, {"a": (2.0, 0.4)}, "rises with its price"),
        (TABLE, {"a": -2.0}, "the result of 'a' is -2.0"),
        (TABLE, {"a": None}, "the result of 'a' is None"),
        (TABLE, {"a": (1, 2, 3)}, "the result of 'a' is"),
        (TABLE, None, "results are None"),
        ({**TABLE, "item": ["a", "a"]}, {"a": (-2.0, 0.3)}, "item 'a' twice"),
    ],
)
def test_results_that_are_no_results_are_refused(table, results, says):
    with pytest.raises((ModelError, ContractError), match=says):
        add_test_results(table, results)


def test_an_item_without_an_answer_keeps_none():
    table = {"item": ["a", "b"], "elasticity": [-2.0, -2.5], "standard_error": [None, 0.3]}
    renewed = add_test_results(table, {"b": (-2.0, 0.3)})
    assert np.isnan(renewed["lower"].astype(float)[0])
    assert renewed["lower"].astype(float)[1] < -2.0


@pytest.mark.parametrize(
    ("more", "given", "says"),
    [
        ({"on_hand": [-1.0]}, {}, "on_hand of item 'i0' is -1.0"),
        ({"on_hand": [NAN]}, {}, "on_hand of item 'i0' is nan"),
        ({"salvage_value": [NAN]}, {}, "salvage_value of item 'i0' is nan"),
        ({"elasticity": [2.0]}, {}, "elasticity of item 'i0' is 2.0; it is a finite number, 0 or below"),
        ({"unit_cost": [-1.0]}, {}, "unit_cost of item 'i0' is -1.0"),
        ({"weekly_units": ["x"]}, {}, "weekly_units holds something that is no number"),
        ({"currency": ["GBP", "EUR"]}, {}, "EUR and GBP"),
        ({}, {"weeks": NAN}, "weeks is nan"),
        ({}, {"test_cost": NAN}, "test_cost of item 'i0' is nan"),
        ({}, {"test_error": "x"}, "test_error holds"),
        ({}, {"factors": None}, "factors"),
    ],
)
def test_the_worth_of_a_test_takes_numbers_in_range(more, given, says):
    two = len(more.get("currency", [0]))
    items = pd.DataFrame(_items([0.3] * two)).assign(**more)
    with pytest.raises(ModelError, match=says):
        worth_of_tests(items, **{"test_error": 0.3, **given})
