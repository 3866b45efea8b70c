"""Lifetime value against brute-force sums, published values and ``lifetimes``' own function."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regulars import clv
from regulars.clv.time_units import DAYS_PER_UNIT, continuous_rate, days_per_unit
from regulars.clv.value import discounted_orders
from regulars.sql.errors import ModelError

MODELS = {
    "nbd": clv.NBDModel.from_parameters(r=0.385, alpha=12.07),
    "bg_nbd": clv.BetaGeoModel.from_parameters(r=0.243, alpha=4.414, a=0.793, b=2.426),
    "mbg_nbd": clv.ModifiedBetaGeoModel.from_parameters(r=0.525, alpha=6.183, a=0.891, b=1.614),
    "pareto_nbd": clv.ParetoNBDModel.from_parameters(r=0.5534, alpha=10.58, s=0.6061, beta=11.656),
}
SPEND = clv.GammaGammaModel.from_parameters(p=6.25, q=3.74, v=15.44)
BASE = pd.DataFrame(
    {
        "frequency": [0, 0, 1, 2, 5, 23],
        "recency": [0.0, 0, 5, 30.43, 30, 39],
        "T": [39.0, 0, 39, 38.86, 35, 39],
        "monetary_value": [0.0, 0, 10, 22.35, 30, 12],
    }
)


@pytest.fixture(params=MODELS.values(), ids=MODELS)
def model(request):
    return request.param


@pytest.mark.parametrize("horizon", [1, 260])
@pytest.mark.parametrize("discount_rate", [0.0, 0.1, 1.0])
def test_equals_the_sum_over_small_steps(model, horizon, discount_rate):
    edges = np.linspace(0, horizon, 201)
    cumulative = np.array([model.expected_purchases(BASE, edge) for edge in edges])

    def summed(every):
        middle_years = (edges[::every][1:] + edges[::every][:-1]) / 2 * 7 / 365.25
        return (np.diff(cumulative[::every], axis=0) / (1 + discount_rate) ** middle_years[:, None]).sum(axis=0)

    orders = (4 * summed(1) - summed(2)) / 3  # Richardson: the error of steps falls with their fourth power
    found = clv.customer_lifetime_value(model, SPEND, BASE, horizon, discount_rate, margin=0.3)
    # what is left at 200 steps in 5 years discounted by 100%; 1e-8 elsewhere
    assert found == pytest.approx(0.3 * orders * SPEND.conditional_expected_value(BASE), rel=1e-6)


def test_without_horizon_there_is_no_value(model):
    assert (clv.customer_lifetime_value(model, SPEND, BASE, horizon=0) == 0).all()


def test_without_discounting_it_is_orders_times_spend(model):
    found = clv.customer_lifetime_value(model, SPEND, BASE, horizon=52, discount_rate=0, margin=0.25)
    expected = 0.25 * model.expected_purchases(BASE, 52) * SPEND.conditional_expected_value(BASE)
    assert found == pytest.approx(expected, rel=1e-9)


@settings(max_examples=25, deadline=None)
@given(horizon=st.floats(0.1, 500), rate=st.floats(0, 3), name=st.sampled_from(sorted(MODELS)))
def test_bounds_and_monotony(horizon, rate, name):
    value = clv.customer_lifetime_value(MODELS[name], SPEND, BASE, horizon, rate)
    plain = clv.customer_lifetime_value(MODELS[name], SPEND, BASE, horizon, 0)
    # no purchase is discounted by more than the horizon's end
    assert (value <= plain * (1 + 1e-9)).all()
    assert (value >= plain * (1 + rate) ** (-horizon * 7 / 365.25) * (1 - 1e-9)).all()
    assert (clv.customer_lifetime_value(MODELS[name], SPEND, BASE, horizon * 1.1, rate) >= value * (1 - 1e-9)).all()
    assert (clv.customer_lifetime_value(MODELS[name], SPEND, BASE, horizon, rate + 0.1) <= value).all()


def test_dert_is_the_published_one_and_the_limit_of_the_finite_horizon():
    # references/clv.md: DERT at these parameters, d = .0027 a period, T = 77.86: (7, 35) -> 1.864183
    parameters = {"r": 0.5629966, "alpha": 12.559037, "s": 0.4081095, "beta": 10.5148048}
    model = clv.ParetoNBDModel.from_parameters(**parameters, time_unit="week")
    customer = {"frequency": [7], "recency": [35.0], "T": [77.86], "monetary_value": [22.0]}
    assert model.dert(customer, 0.0027) == pytest.approx(1.864183, abs=5e-7)
    spend = SPEND.conditional_expected_value(customer)
    yearly = np.expm1(0.0027 * 365.25 / 7)
    for_ever = clv.customer_lifetime_value(model, SPEND, customer, np.inf, yearly, margin=0.5)
    assert for_ever == pytest.approx(0.5 * 1.864183 * spend, rel=1e-6)
    # a century discounted at 15% leaves a millionth
    century = clv.customer_lifetime_value(model, SPEND, customer, 5218, yearly, margin=0.5)
    assert century == pytest.approx(for_ever, rel=1e-5)


@pytest.mark.parametrize("unit", DAYS_PER_UNIT)
def test_the_time_unit_does_not_change_the_value(unit):
    per_week = 7 / days_per_unit(unit)
    other = clv.BetaGeoModel.from_parameters(r=0.243, alpha=4.414 * per_week, a=0.793, b=2.426, time_unit=unit)
    scaled = BASE.assign(recency=BASE["recency"] * per_week, T=BASE["T"] * per_week)
    expected = clv.customer_lifetime_value(MODELS["bg_nbd"], SPEND, BASE, horizon=52)
    assert clv.customer_lifetime_value(other, SPEND, scaled, horizon=52 * per_week) == pytest.approx(expected, rel=1e-9)


def test_a_years_rate_is_converted_exactly():
    for unit, days in DAYS_PER_UNIT.items():
        assert np.exp(-continuous_rate(0.08, unit) * 365.25 / days) == pytest.approx(1 / 1.08, rel=1e-14)
    assert continuous_rate(0.0, "week") == 0.0


def test_a_group_counts_once_whatever_its_weight(model):
    weighted = BASE.assign(weight=np.arange(1, 7))
    assert np.array_equal(
        clv.customer_lifetime_value(model, SPEND, weighted), clv.customer_lifetime_value(model, SPEND, BASE)
    )


def _of_lifetimes(model, time, discount_rate, freq):
    with warnings.catch_warnings():  # its Pareto/NBD takes log(0) for a horizon of 0
        warnings.simplefilter("ignore", RuntimeWarning)
        return SPEND.to_lifetimes().customer_lifetime_value(
            model.to_lifetimes(), BASE["frequency"], BASE["recency"], BASE["T"], BASE["monetary_value"],
            time=time, discount_rate=discount_rate, freq=freq,
        )  # fmt: skip


@pytest.mark.parametrize("name", ["bg_nbd", "mbg_nbd", "pareto_nbd"])
def test_lifetimes_agrees_where_definitions_do(name):
    # without discounting; a month of lifetimes is 4.345 weeks
    found = clv.customer_lifetime_value(MODELS[name], SPEND, BASE, horizon=12 * 4.345, discount_rate=0)
    assert found == pytest.approx(_of_lifetimes(MODELS[name], 12, 0, "W").to_numpy(), rel=1e-9)


@pytest.mark.parametrize("name", ["bg_nbd", "mbg_nbd", "pareto_nbd"])
def test_lifetimes_discounts_from_the_months_end(name):
    # its rate is a month's and every order of a month counts as if it came on the month's last day: between one month
    # and none too little. Ours brackets it once its month is stretched to the 30.4375 days of a year's twelfth.
    yearly = 1.01 ** (365.25 / (4.345 * 7)) - 1
    ours = clv.customer_lifetime_value(MODELS[name], SPEND, BASE, horizon=12 * 4.345, discount_rate=yearly)
    theirs = _of_lifetimes(MODELS[name], 12, 0.01, "W").to_numpy()
    assert (theirs < ours).all()
    assert (theirs > ours / 1.01).all()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"horizon": -1}, "horizon is -1; it must be a number of weeks from 0, such as 52, or infinity"),
        ({"horizon": float("nan")}, "horizon is nan"),
        ({"discount_rate": -0.1}, "discount_rate is -0.1; it must be a finite rate per year"),
        ({"margin": float("inf")}, "margin is inf"),
        ({"margin": 30}, "margin is 30; it must be the share of revenue that is kept, from 0 to 1, such as 0.3"),
        ({"horizon": float("inf")}, "the bg_nbd model has no infinite horizon.*ParetoNBDModel"),
    ],
)
def test_impossible_arguments_are_named(arguments, error):
    with pytest.raises(ModelError, match=error):
        clv.customer_lifetime_value(MODELS["bg_nbd"], SPEND, BASE, **arguments)


def test_an_infinite_horizon_needs_a_rate():
    with pytest.raises(ModelError, match="an infinite horizon needs a positive discount_rate"):
        discounted_orders(MODELS["pareto_nbd"], BASE, np.inf, 0.0)


def test_an_unknown_time_unit_is_named():
    with pytest.raises(ModelError, match=r"'weeks' is not one of .*did you mean 'week'"):
        days_per_unit("weeks")
