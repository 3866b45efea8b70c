"""Predictive intervals against brute-force draws, and in worlds whose future is known."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from regulars import clv
from regulars.clv.intervals import count_interval, money_distribution, money_quantile, predictive_intervals
from regulars.clv.simulate import simulate_bg_nbd, simulate_nbd, simulate_pareto_nbd


def _pmf(weights):
    weights = np.asarray(weights, dtype=float)
    return weights / weights.sum(axis=-1, keepdims=True)


@settings(max_examples=40, deadline=None)
@given(
    weights=st.lists(st.floats(0.01, 1), min_size=2, max_size=12),
    p=st.floats(0.3, 20),
    shape=st.floats(1.2, 300),
    level=st.floats(0.05, 0.95),
)
def test_a_quantile_is_where_the_distribution_reaches_it(weights, p, shape, level):
    pmf = _pmf([weights])
    if pmf[0, 0] >= level - 0.01:
        return
    quantile = money_quantile(pmf, p, np.array([shape]), level)
    reached = money_distribution(np.log(quantile), pmf, p, np.array([shape]))
    assert reached[0] == pytest.approx(level, abs=1e-5)


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 300), p=st.floats(0.3, 20), shape=st.floats(1.2, 2000), at=st.floats(-4, 4))
def test_money_of_n_orders_is_beta_prime(n, p, shape, at):
    pmf = np.zeros((1, n + 1))
    pmf[0, n] = 1.0
    log_r = np.log(p * n / shape) + at * np.sqrt(1 / (p * n) + 1 / shape)
    (found,) = money_distribution(np.array([log_r]), pmf, p, np.array([shape]))
    expected = stats.betaprime.cdf(np.exp(log_r), p * n, shape)
    # the stated bound of Paulson's approximation where both shapes are at least 5; exact below
    assert found == pytest.approx(expected, abs=1.3e-3 if min(p * n, shape) >= 5 else 1e-12)


@pytest.mark.parametrize("weights", [[5, 3, 1, 1], [1, 4, 10, 30, 30, 25], [90, 10], [0, 1]])
def test_quantiles_of_money_are_those_of_draws(weights):
    pmf, p, shape = _pmf(weights), 6.25, 16.24
    rng = np.random.default_rng(1)
    orders = rng.choice(len(pmf), p=pmf, size=400_000)
    drawn = np.where(orders > 0, rng.gamma(p * np.maximum(orders, 1)) / rng.gamma(shape, size=orders.size), 0.0)
    for level in (0.1, 0.5, 0.8, 0.9):
        if pmf[0] < level:
            found = money_quantile(pmf[None, :], p, np.array([shape]), level)[0]
            # five standard errors of an empirical probability, and Paulson's .0013
            room = 5 * np.sqrt(level * (1 - level) / orders.size) + 0.0013
            assert (drawn <= found).mean() == pytest.approx(level, abs=room)


@settings(max_examples=100, deadline=None)
@given(weights=st.lists(st.floats(0.0, 1), min_size=1, max_size=30), level=st.floats(0.3, 0.95))
def test_a_count_interval_holds_its_level(weights, level):
    pmf = _pmf(np.asarray(weights) + 1e-6)
    (low,), (high,) = count_interval(pmf[None, :], level)
    held = pmf[int(low) : int(high) + 1].sum()
    assert held >= level - 1e-9
    # neither end can come in without the interval holding less than it says on that side
    below, above = pmf[: int(low) + 1].sum(), pmf[int(high) :].sum()
    tail = (1 - level) / 2
    assert below >= tail - 1e-9
    assert above >= (tail if low > 0 else 1 - level) - 1e-9


def test_where_no_order_is_likely_the_interval_is_nothing():
    intervals = predictive_intervals(
        lambda rows, n_max: np.tile([0.85, 0.15] + [0.0] * (n_max - 1), (len(rows), 1)), np.ones(3)
    )
    assert (intervals.orders_high == 0).all()
    assert (intervals.money_high == 0).all()


def test_a_count_in_the_thousands_is_followed():
    distribution = stats.nbinom(200, 200 / (200 + 3000))
    intervals = predictive_intervals(
        lambda rows, n_max: np.tile(distribution.pmf(np.arange(n_max + 1)), (len(rows), 1)),
        expected=np.array([3000.0]),
        spend=(6.25, np.array([900.0])),
    )
    # the cut tail of 1e-4 moves no quantile by more than one
    assert abs(intervals.orders_low[0] - distribution.ppf(0.1)) <= 1
    assert abs(intervals.orders_high[0] - distribution.ppf(0.9)) <= 1
    orders = distribution.rvs(100_000, random_state=1)
    rng = np.random.default_rng(1)
    money = rng.gamma(6.25 * orders) / rng.gamma(900.0, size=orders.size)
    assert intervals.money_low[0] == pytest.approx(np.quantile(money, 0.1), rel=0.01)
    assert intervals.money_high[0] == pytest.approx(np.quantile(money, 0.9), rel=0.01)


# name, simulate, model, parameters: half of these customers come back within the horizon or nearly all do
WORLDS = {
    "frequent": (simulate_nbd, clv.NBDModel, {"r": 3.0, "alpha": 4.0}),
    "cdnow": (simulate_bg_nbd, clv.BetaGeoModel, {"r": 0.243, "alpha": 4.414, "a": 0.793, "b": 2.426}),
    "leaving": (simulate_pareto_nbd, clv.ParetoNBDModel, {"r": 1.5, "alpha": 4.0, "s": 0.6, "beta": 40.0}),
}


@pytest.fixture(scope="module", params=WORLDS.values(), ids=WORLDS)
def world(request):
    """20,000 customers, their scores by a model fitted to them, and what they then did and spent in 39 weeks."""
    simulate, model_class, parameters = request.param
    ages = np.random.default_rng(1).integers(20, 78, 20_000).astype(float)
    customers = simulate(parameters, len(ages), ages, seed=11, holdout=39.0)
    rng = np.random.default_rng(12)
    p, q, v = 6.25, 3.74, 15.44
    scale = 1 / rng.gamma(q, 1 / v, len(ages))
    x = customers["frequency"].to_numpy()
    customers["monetary_value"] = np.where(x > 0, rng.gamma(p * np.maximum(x, 1), scale) / np.maximum(x, 1), 0.0)
    customers["customer_id"] = np.arange(len(ages)).astype(str)
    later = customers["frequency_holdout"].to_numpy()
    spent = np.where(later > 0, rng.gamma(p * np.maximum(later, 1), scale), 0.0)
    model, spend = model_class().fit(customers), clv.GammaGammaModel().fit(customers)
    scores = clv.score_customers(
        model, spend, customers, as_of=pd.Timestamp("2020-01-01").date(), horizon=39, discount_rate=0
    ).to_pandas()
    pmf = model.purchase_probabilities(customers, 39, 600)
    return customers, scores, pmf, later, spent, rng


def test_the_predictive_distribution_of_orders_is_calibrated(world):
    # a count's distribution steps, so that intervals hold more than 80%; its randomised probability integral
    # transform is uniform where the distribution is right (Czado, Gneiting & Held 2009, Biometrics 65)
    _, _, pmf, later, _, rng = world
    cumulative = np.cumsum(pmf, axis=1)
    rows = np.arange(len(later))
    transform = cumulative[rows, later] - rng.random(len(later)) * pmf[rows, later]
    assert 0.77 < ((transform > 0.1) & (transform < 0.9)).mean() < 0.83
    assert stats.kstest(transform, "uniform").statistic < 0.02  # 20,000 draws: 1.36 / sqrt(n) is .01


def test_intervals_of_orders_hold_what_the_model_says_they_hold(world):
    _, scores, pmf, later, _, _ = world
    low, high = scores["orders_low"].to_numpy(), scores["orders_high"].to_numpy()
    n = np.arange(pmf.shape[1])
    claimed = (pmf * ((n >= low[:, None]) & (n <= high[:, None]))).sum(axis=1)
    assert (claimed >= 0.8 - 1e-4).all()  # never below the level, but for the cut tail
    held = ((later >= low) & (later <= high)).mean()
    assert held == pytest.approx(claimed.mean(), abs=0.015)


def test_intervals_of_value_hold_80_percent(world):
    # exactly 80% by construction where no order is less likely than that; [0, 0] holds P(no order) elsewhere
    _, scores, pmf, _, spent, _ = world
    inside = (spent >= scores["value_low"]) & (spent <= scores["value_high"])
    by_chance = pmf[:, 0] >= 0.8
    assert 0.77 < inside[~by_chance].mean() < 0.83
    if by_chance.any():
        assert inside[by_chance].mean() == pytest.approx(pmf[by_chance, 0].mean(), abs=0.02)


def test_intervals_of_value_hold_in_every_tenth_of_value(world):
    _, scores, pmf, _, spent, _ = world
    inside = ((spent >= scores["value_low"]) & (spent <= scores["value_high"]))[pmf[:, 0] < 0.8]
    tenth = pd.qcut(scores["customer_value"][pmf[:, 0] < 0.8], 10, labels=False, duplicates="drop")
    by_tenth = inside.groupby(tenth).agg(["mean", "size"])
    # four binomial standard errors about 80%, and 2 points for fitted parameters
    room = 4 * np.sqrt(0.16 / by_tenth["size"]) + 0.02
    assert ((by_tenth["mean"] - 0.8).abs() < room).all()


def test_discounting_scales_the_interval():
    few = simulate_bg_nbd(WORLDS["cdnow"][2], 200, 39.0, seed=1).assign(monetary_value=20.0, customer_id="c")
    model = clv.BetaGeoModel.from_parameters(r=0.243, alpha=4.414, a=0.793, b=2.426)
    spend = clv.GammaGammaModel.from_parameters(p=6.25, q=3.74, v=15.44)
    day = pd.Timestamp("2020-01-01").date()
    plain, discounted = (
        clv.score_customers(model, spend, few, as_of=day, discount_rate=rate).to_pandas() for rate in (0.0, 0.2)
    )
    share = discounted["customer_value"] / plain["customer_value"]
    assert (share < 1).all()
    assert (share > 1 / 1.2).all()
    assert discounted["value_high"].to_numpy() == pytest.approx((plain["value_high"] * share).to_numpy())
