"""Gamma-Gamma against published figures, finite differences, and worlds whose truth is known."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from regulars import clv
from regulars.clv.gamma_gamma_likelihood import SpendData, log_likelihood
from regulars.clv.simulate import simulate_gamma_gamma
from regulars.sql.errors import ContractError, ModelError

TRUTH = {"p": 6.25, "q": 3.74, "v": 15.44}


@pytest.fixture(scope="module")
def spends() -> pd.DataFrame:
    frequency = np.random.default_rng(5).geometric(0.35, 4000) - 1
    return simulate_gamma_gamma(TRUTH, frequency, seed=6)


# references/clv.md, "Numbers on CDNOW", Gamma-Gamma of 946 repeat buyers
def test_cdnow_parameters_and_likelihood(cdnow_holdout):
    model = clv.GammaGammaModel().fit(cdnow_holdout)
    assert model.params_ == pytest.approx({"p": 6.249572, "q": 3.744225, "v": 15.443523}, rel=1e-6)
    assert model.log_likelihood_ >= -4055.91769 - 1e-4
    assert model.log_likelihood_ == pytest.approx(-4055.91769, abs=1e-5)  # a maximum: not above it either
    assert model.n_customers_ == 946
    assert model.n_without_repeat_ + model.n_without_money_ == 2357 - 946
    assert model.identified_
    assert model.message_ == ""


def test_cdnow_correlation_is_the_published_one(cdnow_holdout):
    # Fader, Hardie & Lee (2005, JMR 42, p. 421) print .11 for these 946 customers
    assert round(clv.GammaGammaModel().fit(cdnow_holdout).frequency_money_correlation_, 2) == 0.11


# references/clv.md, "Function values"
def test_published_function_values():
    model = clv.GammaGammaModel.from_parameters(**TRUTH)
    assert model.population_mean_ == pytest.approx(35.21898, abs=5e-6)
    two = {"frequency": [2], "monetary_value": [22.35]}
    assert model.conditional_expected_value(two) == pytest.approx(24.66371, abs=5e-6)


def test_likelihood_is_the_mixture_it_stands_for(spends):
    # the mean of x orders is Gamma(p x, nu x), nu is Gamma(q, v): integrated over nu by quadrature
    rows = spends[spends["frequency"] > 0].head(10)
    p, q, v = TRUTH.values()
    expected = 0.0
    for x, m in zip(rows["frequency"], rows["monetary_value"], strict=True):
        centre = (p * x + q) / (v + m * x)
        density, _ = integrate.quad(
            lambda nu, x=x, m=m: stats.gamma.pdf(m, p * x, scale=1 / (nu * x)) * stats.gamma.pdf(nu, q, scale=1 / v),
            *(0, 20 * centre),
            points=[centre],
            epsabs=0,
            epsrel=1e-11,
        )
        expected += np.log(density)
    found = clv.GammaGammaModel.from_parameters(**TRUTH).log_likelihood(rows)
    assert found == pytest.approx(expected, rel=1e-10)  # the quadrature's tolerance


@settings(max_examples=30, deadline=None)
@given(
    theta=st.tuples(*[st.floats(-2, 4)] * 3),
    frequency=st.lists(st.integers(1, 400), min_size=3, max_size=8),
    seed=st.integers(0, 1000),
)
def test_derivatives_are_those_of_the_likelihood(theta, frequency, seed):
    rng = np.random.default_rng(seed)
    x = np.array(frequency, dtype=float)
    data = SpendData.of(x, rng.gamma(2, 0.5, len(x)) + 0.01, rng.integers(1, 5, len(x)).astype(float))
    theta, step = np.array(theta), 1e-5
    _, gradient, hessian = log_likelihood(data, theta)
    shifted = [[log_likelihood(data, theta + sign * step * axis) for sign in (1, -1)] for axis in np.eye(3)]
    by_value = np.array([(up[0] - down[0]) / (2 * step) for up, down in shifted])
    by_gradient = np.array([(up[1] - down[1]) / (2 * step) for up, down in shifted])
    # central differences of step 1e-5 lose half the digits of the largest term
    scale = np.abs(gradient).max() + np.abs(hessian).max() + 1
    assert np.abs(gradient - by_value).max() < 1e-5 * scale
    assert np.abs(hessian - by_gradient).max() < 1e-6 * scale


def test_grouping_changes_nothing(spends):
    rounded = spends.assign(monetary_value=spends["monetary_value"].round(0))
    grouped = rounded.groupby(["frequency", "monetary_value"], as_index=False).size().rename(columns={"size": "weight"})
    assert len(grouped) < len(rounded)
    one, many = clv.GammaGammaModel().fit(rounded), clv.GammaGammaModel().fit(grouped)
    assert many.params_ == pytest.approx(one.params_, rel=1e-7)  # where the climb ends, 1e-9 of log-likelihood apart
    assert many.log_likelihood_ == pytest.approx(one.log_likelihood_, abs=1e-8)
    assert many.n_customers_ == one.n_customers_
    assert many.frequency_money_correlation_ == pytest.approx(one.frequency_money_correlation_, rel=1e-10)


def test_the_currency_is_a_matter_of_scale(spends):
    cents = spends.assign(monetary_value=spends["monetary_value"] * 100)
    one, hundred = clv.GammaGammaModel().fit(spends), clv.GammaGammaModel().fit(cents)
    assert hundred.params_["v"] == pytest.approx(100 * one.params_["v"], rel=1e-7)
    assert hundred.params_["p"] == pytest.approx(one.params_["p"], rel=1e-7)
    assert hundred.conditional_expected_value(cents) == pytest.approx(100 * one.conditional_expected_value(spends))


def test_frames_of_every_kind_give_the_same(spends):
    columns = spends[["frequency", "monetary_value"]]
    expected = clv.GammaGammaModel().fit(columns)
    for frame in (pl.from_pandas(columns), pl.from_pandas(columns).to_arrow(), columns.to_dict("list")):
        assert clv.GammaGammaModel().fit(frame).params_ == expected.params_


@pytest.mark.parametrize(
    "truth", [TRUTH, {"p": 1.2, "q": 2.5, "v": 60.0}, {"p": 0.6, "q": 8.0, "v": 300.0}], ids=["cdnow", "wild", "tame"]
)
def test_intervals_cover_the_truth(truth):
    rng = np.random.default_rng(1)
    covered = np.zeros(3)
    fits = 60
    for seed in range(fits):
        world = simulate_gamma_gamma(truth, rng.geometric(0.3, 3000), seed=seed)
        summary = clv.GammaGammaModel().fit(world).summary_
        covered += (summary["lower"] <= list(truth.values())) & (summary["upper"] >= list(truth.values()))
    # 95% of 60 with 4 standard errors (2.8 points) of room below; the long study holds 92-98%
    assert (covered / fits > 0.95 - 4 * np.sqrt(0.95 * 0.05 / fits)).all()


def test_predictions_are_unbiased_and_intervals_hold_in_a_known_world(spends):
    model = clv.GammaGammaModel().fit(spends)
    predicted = model.conditional_expected_value(spends)
    low, high = model.credible_interval(spends, level=0.8)
    truth = spends["mean_spend"]
    assert predicted.mean() == pytest.approx(truth.mean(), rel=0.03)  # 4,000 customers, coefficient of variation .76
    # binomial standard error .006
    assert ((truth >= low) & (truth <= high)).mean() == pytest.approx(0.8, abs=0.025)
    buyers = spends["frequency"] >= 5
    assert np.corrcoef(predicted[buyers], truth[buyers])[0, 1] > 0.95


@settings(max_examples=50, deadline=None)
@given(
    x=st.integers(0, 10_000), m=st.floats(0, 1e9), p=st.floats(0.05, 50), q=st.floats(1.01, 50), v=st.floats(0.01, 1e4)
)
def test_a_prediction_lies_between_own_mean_and_populations(x, m, p, q, v):
    model = clv.GammaGammaModel.from_parameters(p=p, q=q, v=v)
    (predicted,) = model.conditional_expected_value({"frequency": [x], "monetary_value": [m]})
    ends = (m, model.population_mean_) if x else (model.population_mean_,) * 2
    assert min(ends) * (1 - 1e-9) <= predicted <= max(ends) * (1 + 1e-9)


def test_customers_without_repeat_or_money_stay_out_and_are_counted(spends):
    extra = pd.DataFrame({"frequency": [0, 0, 3], "monetary_value": [0.0, 99.0, 0.0]})
    one = clv.GammaGammaModel().fit(spends)
    more = clv.GammaGammaModel().fit(pd.concat([spends, extra]))
    assert more.params_ == one.params_
    assert more.n_without_repeat_ == one.n_without_repeat_ + 2
    assert more.n_without_money_ == 1
    predicted = one.conditional_expected_value(extra)
    # without a repeat purchase what stands in monetary_value is not read; three orders for nothing lower the mean
    assert predicted[0] == predicted[1] == pytest.approx(one.population_mean_)
    assert 0 < predicted[2] < predicted[0]


def test_equal_customers_are_a_boundary_not_a_failure():
    rng = np.random.default_rng(2)
    frequency = np.full(5000, 3)
    same = pd.DataFrame({"frequency": frequency, "monetary_value": rng.gamma(2.0 * frequency, 10.0) / frequency})
    model = clv.GammaGammaModel().fit(same)
    assert not model.identified_
    assert "between customers" in model.message_
    # all are expected to spend what all spent on average; q is held at 1e5
    assert model.conditional_expected_value(same) == pytest.approx(same["monetary_value"].mean(), rel=1e-3)
    assert np.isnan(model.summary_.loc["q", "standard_error"])


@pytest.mark.parametrize(
    "summary",
    [
        {"frequency": [2], "monetary_value": [5.0]},
        {"frequency": [1, 2, 3], "monetary_value": [9.99] * 3},
        {"frequency": [10_000, 1], "monetary_value": [1e-2, 9e15]},
    ],
    ids=["one customer", "one price", "extremes"],
)
def test_hardly_any_information_still_predicts(summary):
    model = clv.GammaGammaModel().fit(summary)
    predicted = model.conditional_expected_value(summary)
    assert np.isfinite(predicted).all()
    assert np.isfinite(model.log_likelihood_)
    assert not model.identified_ or model.params_["q"] <= 1 or len(summary["frequency"]) > 1
    assert (
        min(summary["monetary_value"]) * 0.99
        <= predicted.min()
        <= predicted.max()
        <= max(summary["monetary_value"]) * 1.01
    )


def test_an_infinite_population_mean_is_said_and_predictions_stay_finite():
    rng = np.random.default_rng(3)
    world = simulate_gamma_gamma({"p": 3.0, "q": 0.7, "v": 10.0}, rng.geometric(0.4, 5000) - 1, seed=4)
    model = clv.GammaGammaModel().fit(world)
    assert model.params_["q"] == pytest.approx(0.7, abs=0.05)
    assert model.population_mean_ == np.inf
    assert "population mean is infinite" in model.message_
    predicted = model.conditional_expected_value(world)
    assert np.isfinite(predicted).all()
    newcomers = predicted[world["frequency"] == 0]
    assert newcomers == pytest.approx(model.observed_mean_, rel=1e-9)
    again = clv.GammaGammaModel.from_dict(model.to_dict())
    assert np.array_equal(again.conditional_expected_value(world), predicted)


def test_spend_that_goes_with_frequency_is_reported():
    rng = np.random.default_rng(4)
    frequency = rng.integers(1, 30, 2000)
    world = pd.DataFrame({"frequency": frequency, "monetary_value": frequency * rng.gamma(20, 0.05, 2000)})
    model = clv.GammaGammaModel().fit(world)
    expected = np.corrcoef(world["frequency"], world["monetary_value"])[0, 1]
    assert model.frequency_money_correlation_ == pytest.approx(expected)
    assert f"correlate by {expected:.2f}" in model.message_


def test_without_repeat_purchases_the_fit_says_what_to_do():
    once = {"frequency": [0, 0, 2], "monetary_value": [0.0, 0, 0], "first_order_revenue": [9.0, 11, 13]}
    with pytest.raises(ModelError, match=r"of 3 customers 2 have no repeat purchase and 1 no money.*fit_spend"):
        clv.GammaGammaModel().fit(once)
    spend = clv.fit_spend(once)
    assert spend is not None
    assert spend.message_.startswith("no repeat purchase brought money: fitted on first orders")
    assert spend.observed_mean_ == pytest.approx(11)


def test_without_any_money_there_is_no_spend_model():
    assert clv.fit_spend({"frequency": [0, 2], "monetary_value": [0.0, 0], "first_order_revenue": [0.0, None]}) is None
    assert clv.fit_spend({"frequency": [0, 2], "monetary_value": [0.0, 0]}) is None


@pytest.mark.parametrize(
    ("summary", "error"),
    [
        ({"frequency": [1], "monetry_value": [5.0]}, r"no column 'monetary_value'; did you mean 'monetry_value'\?"),
        ({"frequency": [1], "monetary_value": [np.nan]}, "monetary_value nan in row 0"),
        ({"frequency": [1, -1], "monetary_value": [5.0, 5.0]}, "frequency -1.0 in row 1"),
        ({"frequency": [1], "monetary_value": ["much"]}, "'monetary_value' of the summary is not numeric"),
        ([1, 2], "a summary is a pandas, Polars or Arrow frame"),
    ],
)
def test_bad_input_is_named(summary, error):
    with pytest.raises(ContractError, match=error):
        clv.GammaGammaModel().fit(summary)


def test_bad_parameters_are_named():
    with pytest.raises(ModelError, match="parameter q is -1"):
        clv.GammaGammaModel.from_parameters(p=1, q=-1, v=1)
    with pytest.raises(ModelError, match="level is 1"):
        clv.GammaGammaModel.from_parameters(**TRUTH).credible_interval({"frequency": [1], "monetary_value": [1]}, 1)


def test_a_model_that_is_not_fitted_says_so():
    model = clv.GammaGammaModel()
    assert repr(model) == "<GammaGammaModel, not fitted>"
    assert repr(clv.GammaGammaModel.from_parameters(**TRUTH)) == "<GammaGammaModel: p 6.25, q 3.74, v 15.44>"
    customer = {"frequency": [1], "monetary_value": [1.0]}
    for ask in (
        lambda: model.conditional_expected_value(customer),
        lambda: model.credible_interval(customer),
        lambda: model.log_likelihood(customer),
        lambda: model.population_mean_,
        lambda: model.summary_,
        model.to_lifetimes,
    ):
        with pytest.raises(ModelError, match="is not fitted; call fit"):
            ask()
