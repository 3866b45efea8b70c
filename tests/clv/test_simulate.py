"""Simulated customers do what the models say, and the models say what simulated customers do."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from regulars.clv import BetaGeoModel, ModifiedBetaGeoModel, NBDModel, ParetoNBDModel
from regulars.clv.simulate import (
    simulate_bg_nbd,
    simulate_gamma_gamma,
    simulate_mbg_nbd,
    simulate_nbd,
    simulate_pareto_nbd,
    simulate_purchases,
)
from regulars.sql.errors import ModelError

DRAWN = [
    (NBDModel, simulate_nbd, {"r": 0.4, "alpha": 12.0}),
    (BetaGeoModel, simulate_bg_nbd, {"r": 0.6, "alpha": 4.4, "a": 0.8, "b": 2.4}),
    (ModifiedBetaGeoModel, simulate_mbg_nbd, {"r": 0.7, "alpha": 6.2, "a": 0.9, "b": 1.6}),
    (ParetoNBDModel, simulate_pareto_nbd, {"r": 0.55, "alpha": 10.6, "s": 0.6, "beta": 11.7}),
]
IDS = [model.name for model, _, _ in DRAWN]
T, HOLDOUT = 39.0, 26.0


@pytest.fixture(scope="module", params=DRAWN, ids=IDS)
def drawn(request):
    """A model at the true parameters, and 200,000 of its customers with their later purchases."""
    model, simulate, params = request.param
    return model.from_parameters(**params), simulate(params, 200_000, T, seed=7, holdout=HOLDOUT)


def assert_means_agree(observed, expected, groups, sigmas=5.0):
    """In each group with events enough the observed mean lies within ``sigmas`` standard errors of the expected one."""
    table = pd.DataFrame({"observed": observed, "expected": expected, "group": groups}).groupby("group")
    counts = table.size()
    error = np.sqrt(table["observed"].var() / counts)
    # fifty events, or absences of one, make a mean nearly normal
    enough = counts * table["observed"].var() >= 50
    z = ((table["observed"].mean() - table["expected"].mean()) / error)[enough]
    assert len(z) >= 3
    # five standard errors: one false alarm in 1.7 million groups
    assert z.abs().max() < sigmas, z


@pytest.fixture(scope="module")
def groups(drawn):
    """By frequency, and by whether the last purchase was long ago."""
    _, data = drawn
    idle = (data["T"] - data["recency"]) // 13
    return data["frequency"].clip(upper=8).astype(int) * 10 + idle.astype(int)


def test_conditional_expectation(drawn, groups):
    model, data = drawn
    assert_means_agree(data["frequency_holdout"], model.expected_purchases(data, HOLDOUT), groups)


def test_probability_alive(drawn, groups):
    model, data = drawn
    if model.name == "nbd":
        assert data["is_alive"].all()
        return
    assert_means_agree(data["is_alive"].astype(float), model.probability_alive(data), groups)


def test_probability_of_no_purchase(drawn, groups):
    model, data = drawn
    silent = (data["frequency_holdout"] == 0).astype(float)
    assert_means_agree(silent, model.probability_no_purchase(data, HOLDOUT), groups)


def test_conditional_counts(drawn, groups):
    model, data = drawn
    p = model.purchase_probabilities(data, HOLDOUT, 3)
    for n in (1, 2, 3):
        assert_means_agree((data["frequency_holdout"] == n).astype(float), p[:, n], groups)


def test_counts_of_new_customers(drawn):
    model, data = drawn
    observed = np.bincount(data["frequency"].clip(upper=20), minlength=21)
    expected = model.pmf(np.arange(21), T)
    expected[20] += 1 - expected.sum()
    # a chi-square this large comes once in a million data sets
    assert stats.chisquare(observed, expected * len(data)).pvalue > 1e-6
    assert data["frequency"].mean() == pytest.approx(float(model.expected_purchases_new(T)), rel=0.02)


@pytest.mark.parametrize(("model", "simulate", "params"), DRAWN, ids=IDS)
def test_the_same_seed_draws_the_same_customers(model, simulate, params):
    one, two, other = (simulate(params, 500, T, seed, holdout=5) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(one, two)
    assert not one.equals(other)
    assert one.attrs["time_unit"] == "week"


@pytest.mark.parametrize(("model", "simulate", "params"), DRAWN, ids=IDS)
def test_whole_days(model, simulate, params):
    data = simulate(params, 3000, 39, seed=1, holdout=26, whole_days=True)
    for column in ("recency", "T"):
        days = data[column] * 7
        assert np.abs(days - days.round()).max() < 1e-9
    assert (data["frequency"] <= np.rint(data["recency"] * 7)).all()
    assert ((data["frequency"] == 0) == (data["recency"] == 0)).all()
    assert (data["frequency_holdout"] <= 26 * 7).all()
    model().fit(data)
    # rates are low beside a day, so few purchases share one
    exact = simulate(params, 3000, 39, seed=1, holdout=26)
    assert data["frequency"].mean() == pytest.approx(exact["frequency"].mean(), rel=0.25)
    with pytest.raises(ModelError, match="no whole number of days"):
        simulate(params, 10, 39.05, seed=1, whole_days=True)


@pytest.mark.parametrize(("model", "simulate", "params"), DRAWN, ids=IDS)
def test_every_purchase(model, simulate, params):
    purchases = simulate_purchases(model.name, params, 20_000, T, seed=3)
    assert purchases["time"].between(0, T).all()
    assert purchases["customer"].is_monotonic_increasing
    by_customer = purchases.groupby("customer")["time"]
    assert (by_customer.first() == 0).all()
    same = purchases["customer"].diff() == 0
    assert (purchases["time"].diff()[same] > 0).all()
    summary = pd.DataFrame({"frequency": by_customer.size() - 1, "recency": by_customer.last(), "T": T})
    counted = simulate(params, 20_000, T, seed=4)
    # purchases drawn one by one and counts drawn at once have one distribution
    for column in ("frequency", "recency"):
        assert stats.ks_2samp(summary[column], counted[column]).pvalue > 1e-6
    known = model.from_parameters(**params)
    assert known.log_likelihood(summary) == pytest.approx(known.log_likelihood(counted), rel=0.1)


def test_ages_by_customer():
    ages = np.linspace(0, 52, 1000)
    data = simulate_bg_nbd(DRAWN[1][2], 1000, ages, seed=1)
    assert np.array_equal(data["T"], ages)
    assert (data["recency"] <= data["T"]).all()
    assert data["frequency"][0] == 0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: simulate_nbd({"r": 1.0}, 5, T, 1), "nbd takes positive r, alpha"),
        (lambda: simulate_nbd({"r": 1.0, "alpha": -1.0}, 5, T, 1), "positive"),
        (lambda: simulate_nbd({"r": 1.0, "alpha": 1.0}, 5, -1.0, 1), "T is -1.0"),
        (lambda: simulate_nbd({"r": 1.0, "alpha": 1.0}, 5, T, 1, holdout=-2), "holdout is -2"),
        (lambda: simulate_purchases("bgnbd", {}, 5, T, 1), "'bgnbd' cannot be simulated"),
    ],
)
def test_what_cannot_be_drawn_is_refused(call, words):
    with pytest.raises(ModelError, match=words):
        call()


def test_spend():
    params = {"p": 6.25, "q": 3.74, "v": 15.44}
    x = np.repeat([0, 1, 2, 10], 50_000)
    spends = simulate_gamma_gamma(params, x, seed=1)
    assert (spends["monetary_value"][x == 0] == 0).all()
    # references/clv.md: population mean 35.21898; the mean of an inverse gamma with q 3.74 has a fat tail
    assert spends["mean_spend"].mean() == pytest.approx(35.21898, rel=0.02)
    assert spends["monetary_value"][x > 0].mean() == pytest.approx(35.21898, rel=0.02)
    for n in (1, 10):
        ratio = (spends["monetary_value"] / spends["mean_spend"])[x == n]
        # a mean of n gammas of shape p: variance 1 / (p n)
        assert ratio.var() == pytest.approx(1 / (6.25 * n), rel=0.03)
