"""Seasons of uncertain demand against a published closed form, a plain recursion, bounds, and simulation."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import nbinom, poisson

from regulars.pricing.stochastic import (
    continuous_prices,
    fluid_bound,
    gallego_van_ryzin,
    path_policy,
    plan_season,
    policy_value,
    season,
    simulate_replanned,
    simulate_seasons,
)
from regulars.sql.errors import ModelError


# Gallego & van Ryzin 1994, section 2.3 (value, price), section 3 (bound), section 4 (one price), with alpha = 1
@pytest.mark.parametrize(
    ("x", "stock", "value", "price", "bound", "fixed"),
    [
        (10, 1, 2.397895, 3.397895, 3.302585, 2.266337),
        (10, 5, 7.298220, 1.830003, 8.465736, 6.989933),
        (10, 10, 9.460500, 1.241540, 10.000000, 9.275681),
        (50, 25, 40.455685, 1.728808, 42.328680, 39.013293),
    ],
)
def test_the_closed_form_is_that_published(x, stock, value, price, bound, fixed):
    answer = gallego_van_ryzin(stock, rate=x * np.e)
    assert answer.value == pytest.approx(value, abs=1e-4)
    assert answer.price == pytest.approx(price, abs=1e-4)
    assert answer.fluid_bound == pytest.approx(bound, abs=1e-4)
    assert answer.fixed_value == pytest.approx(fixed, abs=1e-4)


def test_money_and_time_scale_the_closed_form():
    plain = gallego_van_ryzin(5, rate=30.0)
    scaled = gallego_van_ryzin(5, rate=10.0, sensitivity=0.1, time=3.0)
    assert scaled.value == pytest.approx(10.0 * plain.value)
    assert scaled.fixed_price == pytest.approx(10.0 * plain.fixed_price, rel=1e-4)
    # salvage of s: every price is s higher in a market that is exp(-s) as large
    salvaged, smaller = gallego_van_ryzin(5, rate=30.0, salvage=0.7), gallego_van_ryzin(5, rate=30.0 * np.exp(-0.7))
    assert salvaged.value == pytest.approx(smaller.value + 5 * 0.7)
    assert salvaged.price == pytest.approx(smaller.price + 0.7)


def test_a_price_for_each_of_many_short_periods_tends_to_the_closed_form():
    periods, x, stock = 1000, 10.0, 5
    plan = continuous_prices(
        np.full(periods, x / periods), -1.0, stock, low=0.05, high=12.0, form="exponential", reference_price=1.0
    )
    for n in range(1, stock + 1):
        closed = gallego_van_ryzin(n, rate=x * np.e)
        # the gap is of the order of one period's demand; two buyers in one period are the error
        assert closed.value * (1.0 - 1e-4) < plan.value[0, n] < closed.value
        assert plan.price[0, n] == pytest.approx(closed.price, rel=1e-3)


def test_any_price_is_worth_more_than_a_ladder_of_them_and_close_to_a_fine_one():
    demand, price = np.array([3.0, 2.0, 4.0]), 10.0 * np.exp(-0.01 * np.arange(120))
    ladder = season(
        demand[None, :, None] * (price / 10.0) ** -2.2, price[None], np.array([15]), salvage=1.5, markdown_only=False
    )
    value = plan_season(ladder).value[0, 0, :, 0]
    free = continuous_prices(
        demand, -2.2, 16, low=price[-1], high=10.0, form="elasticity", reference_price=10.0, salvage=1.5
    )
    assert (free.value[0] >= value - 1e-9).all()
    # a price 0.5% off the best costs the square of that
    np.testing.assert_allclose(free.value[0], value, rtol=1e-4)


def _recursion(problem, item):
    """Value by plain recursion with scipy's distributions, another way to write the same problem."""
    weeks, rungs = problem.demand.shape[1:]
    tau = problem.overdispersion[item]

    def best(week, left, stands):
        if left == 0:
            return 0.0
        if week == weeks:
            return problem.salvage[item] * left
        allowed = range(stands if problem.markdown_only else 0, rungs) if problem.may_change[item, week] else [stands]
        found = []
        for r in allowed:
            mean = problem.demand[item, week, r]
            law = nbinom(1.0 / tau, 1.0 / (1.0 + tau * mean)) if tau else poisson(mean)
            chances = [*law.pmf(np.arange(left)), law.sf(left - 1)]
            found.append(
                sum(p * (problem.worth[item, r] * k + best(week + 1, left - k, r)) for k, p in enumerate(chances))
            )
        return max(found)

    return best(0, int(problem.stock[item]), int(problem.start[item]))


@pytest.mark.parametrize(("markdown_only", "tau"), list(product((True, False), (0.0, 0.3))))
def test_the_value_is_that_of_a_plain_recursion(markdown_only, tau):
    rng = np.random.default_rng(5)
    demand = np.cumsum(rng.uniform(0.1, 2.0, (3, 3, 3)), axis=2)
    problem = season(
        demand, np.array([[10.0, 8.0, 5.0]]), np.array([4, 6, 3]), salvage=np.array([0.0, 2.0, 6.0]),
        start=np.array([0, 1, 0]), may_change=rng.uniform(size=(3, 3)) < 0.7, overdispersion=tau,
        markdown_only=markdown_only,
    )  # fmt: skip
    planned = plan_season(problem).value[np.arange(3), 0, problem.stock, problem.start]
    np.testing.assert_allclose(planned, [_recursion(problem, i) for i in range(3)], rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    demand=arrays(np.float64, (2, 4, 3), elements=st.floats(0.0, 60.0)),
    cut=arrays(np.float64, (2, 2), elements=st.floats(0.0, 0.6)),
    stock=arrays(np.int64, 2, elements=st.integers(0, 40)),
    salvage=st.floats(0.0, 3.0),
    tau=st.sampled_from([0.0, 0.2]),
    markdown_only=st.booleans(),
)
def test_worth_rises_with_stock_and_time_below_the_fluid_bound(demand, cut, stock, salvage, tau, markdown_only):
    worth = 10.0 * np.cumprod(np.concatenate([np.ones((2, 1)), 1.0 - cut], axis=1), axis=1)
    problem = season(
        demand, worth, stock, salvage=np.minimum(salvage, worth.min(axis=1)), overdispersion=tau,
        markdown_only=markdown_only,
    )  # fmt: skip
    value = plan_season(problem).value
    scale = 1e-9 * max(1.0, value.max())
    assert (np.diff(value, axis=2) >= -scale).all()  # one unit more
    assert (np.diff(value, axis=1) <= scale).all()  # one week less
    assert (np.diff(value, axis=3) <= scale).all()  # a cut more
    assert (value[np.arange(2), 0, stock, 0] <= fluid_bound(problem) + scale).all()
    if markdown_only:
        free = plan_season(season(demand, worth, stock, salvage=problem.salvage, overdispersion=tau,
                                  markdown_only=False)).value  # fmt: skip
        assert (value <= free + scale).all()


def test_the_fluid_bound_is_the_linear_programmes():
    from scipy.optimize import linprog

    rng = np.random.default_rng(8)
    problem = season(
        rng.uniform(0.0, 9.0, (20, 5, 4)), np.array([[10.0, 8.0, 7.0, 4.0]]), rng.integers(1, 90, 20), salvage=2.0
    )
    bound = fluid_bound(problem)
    for i in range(20):
        units = problem.demand[i].ravel()
        gain = (problem.demand[i] * (problem.worth[i] - 2.0)).ravel()
        weeks = np.kron(np.eye(5), np.ones(4))
        found = linprog(-gain, np.vstack([weeks, units]), [1.0] * 5 + [problem.stock[i]])
        assert bound[i] == pytest.approx(-found.fun + 2.0 * problem.stock[i], rel=1e-7)


def _shop(n=6, tau=0.0, **more):
    rng = np.random.default_rng(2)
    depth = np.array([0.0, 0.2, 0.4, 0.6])
    demand = rng.uniform(1.0, 5.0, (n, 1, 1)) * (1.0 - depth) ** rng.normal(-2.4, 0.4, (n, 1, 1)) * np.ones((1, 8, 1))
    return season(demand, 20.0 * (1.0 - depth)[None], rng.integers(15, 70, n), salvage=2.0, overdispersion=tau, **more)


def test_a_policys_value_is_the_planned_one_and_no_other_is_above_it():
    problem = _shop()
    policy = plan_season(problem)
    best = policy_value(policy, problem)
    np.testing.assert_allclose(best, policy.value[np.arange(6), 0, problem.stock, 0], rtol=1e-12)
    for path in ([0] * 8, [0, 0, 1, 1, 2, 2, 3, 3], [3] * 8):
        assert (policy_value(path_policy(problem, np.array(path)), problem) < best).all()
    unit = policy.worth_of_a_unit(problem)
    assert ((unit > 2.0 - 1e-9) & (unit < 20.0)).all()


@pytest.mark.parametrize("tau", [0.0, 0.25])
def test_simulated_seasons_have_the_mean_that_the_recursion_says(tau):
    problem = _shop(tau=tau)
    for policy in (plan_season(problem), path_policy(problem, np.array([0, 0, 1, 1, 2, 2, 3, 3]))):
        sold = simulate_seasons(policy, problem, 4000, seed=3)
        error = sold.worth.std(axis=1, ddof=1) / 4000**0.5
        assert (np.abs(sold.worth.mean(axis=1) - policy_value(policy, problem)) < 4.0 * error).all()
        assert (sold.sold <= problem.stock[:, None]).all()
        assert (np.diff(sold.rung, axis=2) >= 0).all()


def test_a_seed_fixes_luck_for_every_policy():
    problem = _shop()
    same = [simulate_seasons(plan_season(problem), problem, 50, seed=9) for _ in range(2)]
    np.testing.assert_array_equal(same[0].worth, same[1].worth)
    # believing the truth and learning nothing is the policy itself
    replanned = simulate_replanned(problem, problem, 0.0, 50, seed=9)
    np.testing.assert_array_equal(replanned.worth, same[0].worth)


def test_the_answer_is_the_same_at_any_number_of_threads():
    import numba

    problem = _shop(tau=0.2)
    found = []
    threads = numba.get_num_threads()
    for n in (1, threads):
        numba.set_num_threads(n)
        policy = plan_season(problem)
        found.append((policy.rung.tobytes(), policy.value.tobytes(), policy_value(policy, problem).tobytes()))
    numba.set_num_threads(threads)
    assert found[0] == found[1]


def test_a_level_believed_wrong_is_learnt_in_season():
    # on a free ladder: a markdown made in error in week 1 cannot be taken back
    truth = _shop(markdown_only=False)
    for factor in (0.5, 2.0):
        believed = season(truth.demand * factor, truth.worth, truth.stock, salvage=truth.salvage, markdown_only=False)
        stubborn = simulate_seasons(plan_season(believed), truth, 500, seed=4).worth.mean()
        learning = simulate_replanned(believed, truth, 0.6, 500, seed=4).worth.mean()
        best = policy_value(plan_season(truth), truth).mean()
        assert stubborn < learning < best * 1.005  # simulation's error on the mean is below .5%
        assert best - learning < 0.6 * (best - stubborn)


def test_prices_stand_in_weeks_without_a_change():
    problem = _shop(may_change=np.array([True, False] * 4))
    rung = simulate_seasons(plan_season(problem), problem, 100, seed=1).rung
    np.testing.assert_array_equal(rung[:, :, 1::2], rung[:, :, 0::2])


GOOD = (np.ones((2, 3, 2)), np.array([[10.0, 8.0]]), np.array([5, 5]))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: season(np.ones((2, 3)), GOOD[1], GOOD[2]), "demand has shape"),
        (lambda: season(-GOOD[0], GOOD[1], GOOD[2]), "demand of item 0 holds -1.0"),
        (lambda: season(np.full((2, 3, 2), np.nan), GOOD[1], GOOD[2]), "demand of item 0 holds nan"),
        (lambda: season(GOOD[0], GOOD[1], np.array([5, -1])), "stock of item 1 holds -1"),
        (lambda: season(GOOD[0], GOOD[1], np.array([5.5, 2])), "fraction of a unit"),
        (lambda: season(GOOD[0], np.array([[8.0, 10.0]]), GOOD[2]), "it rises"),
        (lambda: season(GOOD[0], np.ones((3, 2)), GOOD[2]), "worth has shape"),
        (lambda: season(*GOOD, start=2), "a rung is 0 to 1"),
        (lambda: season(*GOOD, salvage=np.nan), "salvage holds a missing"),
        (lambda: plan_season(season(GOOD[0], GOOD[1], np.array([10**8, 1]))), "plan fewer items"),
        (lambda: path_policy(season(*GOOD), np.array([0, 1, 2])), "rungs 0..2"),
        (lambda: gallego_van_ryzin(0, rate=1.0), "must be above 0"),
        (lambda: continuous_prices(np.ones(2), -1.0, 3, low=2.0, high=1.0), "low < high"),
        (lambda: continuous_prices(np.ones(2), 1.0, 3, low=1.0, high=2.0), "0 or below"),
        (lambda: continuous_prices(np.ones(2), -1.0, 3, low=1.0, high=2.0, form="linear"), "'linear'"),
        (lambda: policy_value(plan_season(season(*GOOD)), season(np.ones((2, 2, 2)), *GOOD[1:])), "the policy is for"),
    ],
)
def test_what_cannot_be_priced_is_said(call, says):
    with pytest.raises(ModelError, match=says):
        call()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: gallego_van_ryzin(5, rate=float("nan")), "rate is nan"),
        (lambda: gallego_van_ryzin(5, rate=float("inf")), "rate is inf"),
        (lambda: gallego_van_ryzin(5, rate=2.0, salvage=float("nan")), "salvage is nan"),
        (lambda: gallego_van_ryzin(5.5, rate=2.0), "stock is 5.5"),
        (lambda: gallego_van_ryzin("5", rate=2.0), "stock is '5'"),
        (lambda: season(np.ones((1, 2, 1)), np.ones((1, 1)), np.array([np.nan])), "stock holds nan"),
        (lambda: season(np.ones((1, 2, 1)), np.ones((1, 1)), np.array([np.inf])), "stock holds inf"),
        (lambda: season(np.ones((1, 2, 1)), np.ones((1, 1)), np.array([2.5])), "a fraction of a unit"),
        (lambda: season(np.ones((1, 2, 1)), np.ones((1, 1)), np.array([2]), start=0.5), "start holds 0.5"),
        (lambda: season(np.ones((1, 2, 1)), np.ones((1, 1)), "x"), "stock is 'x'"),
        (lambda: season("x", np.ones((1, 1)), np.array([2])), "demand is no array of numbers"),
        (lambda: season(np.ones((1, 2, 1)), np.ones((1, 1)), np.array([2]), may_change="x"), "True or False"),
    ],
)
def test_a_season_takes_finite_and_whole_numbers(call, says):
    with pytest.raises(ModelError, match=says):
        call()
