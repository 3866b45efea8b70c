"""Fitted models to ``lifetimes`` and back: the same parameters, the same predictions, both ways."""

import builtins
import warnings
from datetime import date

import numpy as np
import pandas as pd
import pytest

from regulars import clv
from regulars.clv.simulate import simulate_bg_nbd, simulate_gamma_gamma
from regulars.sql.errors import MissingExtraError, ModelError

lifetimes = pytest.importorskip("lifetimes")

ORDERS = {
    "bg_nbd": (clv.BetaGeoModel, "BetaGeoFitter"),
    "mbg_nbd": (clv.ModifiedBetaGeoModel, "ModifiedBetaGeoFitter"),
    "pareto_nbd": (clv.ParetoNBDModel, "ParetoNBDFitter"),
}


@pytest.fixture(scope="module")
def summary():
    ages = np.random.default_rng(1).integers(60, 270, 1500).astype(float)
    parameters = {"r": 0.4, "alpha": 20.0, "a": 0.8, "b": 2.4}
    frame = simulate_bg_nbd(parameters, len(ages), ages, seed=2, time_unit="day", whole_days=True)
    spends = simulate_gamma_gamma({"p": 6.25, "q": 3.74, "v": 15.44}, frame["frequency"], seed=3)
    return frame.drop(columns="is_alive").assign(monetary_value=spends["monetary_value"])


@pytest.fixture(scope="module")
def fitters(summary):
    """Each fitter of lifetimes, fitted by lifetimes itself; Pareto/NBD on a part, for it takes its time."""
    found = {}
    with warnings.catch_warnings():  # of numpy and scipy, from inside its fitters
        warnings.simplefilter("ignore")
        for name, (_, class_name) in ORDERS.items():
            rows = summary.head(300) if name == "pareto_nbd" else summary
            fitter = getattr(lifetimes, class_name)(penalizer_coef=0.0)
            found[name] = fitter.fit(rows["frequency"], rows["recency"], rows["T"])
        buyers = summary[summary["frequency"] > 0]
        found["gamma_gamma"] = lifetimes.GammaGammaFitter().fit(buyers["frequency"], buyers["monetary_value"])
    return found


def _predict(fitter, rows, horizon):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(fitter.predict(horizon, rows["frequency"], rows["recency"], rows["T"]))


@pytest.mark.parametrize("name", ORDERS)
@pytest.mark.parametrize("horizon", [1.0, 90.0, 720.0])
def test_a_fitter_predicts_the_same_here(fitters, summary, name, horizon):
    model = clv.from_lifetimes(fitters[name])
    assert type(model) is ORDERS[name][0]
    assert model.time_unit_ == "day"
    assert model.params_ == {key: float(value) for key, value in fitters[name].params_.items()}
    # its 2F1 of scipy and our quadrature; it loses digits for heavy buyers
    assert model.expected_purchases(summary, horizon) == pytest.approx(
        _predict(fitters[name], summary, horizon), rel=1e-7
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        alive = fitters[name].conditional_probability_alive(summary["frequency"], summary["recency"], summary["T"])
    assert model.probability_alive(summary) == pytest.approx(np.asarray(alive).ravel(), rel=1e-9)


@pytest.mark.parametrize("name", ORDERS)
def test_our_model_predicts_the_same_there(summary, name):
    model = ORDERS[name][0]().fit(summary)
    fitter = model.to_lifetimes()
    assert type(fitter).__name__ == ORDERS[name][1]
    assert _predict(fitter, summary, 90.0) == pytest.approx(model.expected_purchases(summary, 90.0), rel=1e-7)
    assert fitter.summary["coef"].to_dict() == model.params_
    errors = model.summary_["standard_error"]
    assert fitter.standard_errors_.to_dict() == pytest.approx(errors.to_dict())


@pytest.mark.parametrize("name", ORDERS)
def test_there_and_back_is_where_one_was(summary, name):
    model = ORDERS[name][0]().fit(summary)
    back = ORDERS[name][0].from_lifetimes(model.to_lifetimes(), time_unit="day")
    assert back.params_ == model.params_
    assert np.array_equal(back.covariance_, model.covariance_)
    assert np.array_equal(back.expected_purchases(summary, 90), model.expected_purchases(summary, 90))


def test_spend_goes_both_ways(fitters, summary):
    theirs = fitters["gamma_gamma"]
    model = clv.GammaGammaModel.from_lifetimes(theirs)
    expected = theirs.conditional_expected_average_profit(summary["frequency"], summary["monetary_value"])
    assert model.conditional_expected_value(summary) == pytest.approx(expected.to_numpy(), rel=1e-12)
    own = clv.GammaGammaModel().fit(summary)
    back = own.to_lifetimes().conditional_expected_average_profit(summary["frequency"], summary["monetary_value"])
    assert own.conditional_expected_value(summary) == pytest.approx(back.to_numpy(), rel=1e-12)
    # theirs stops where its tolerance allows; ours is the maximum
    assert own.log_likelihood_ >= model.log_likelihood_ - 1e-9
    assert own.log_likelihood_ == pytest.approx(model.log_likelihood_, abs=0.01)


@pytest.mark.parametrize("name", ORDERS)
def test_a_taken_over_fit_knows_its_likelihood(fitters, summary, name):
    rows = summary.head(300) if name == "pareto_nbd" else summary
    model = clv.from_lifetimes(fitters[name])
    own = ORDERS[name][0]().fit(rows)
    assert model.n_customers_ == len(rows)
    # never above the maximum, and near it where its search ended well
    assert model.log_likelihood_ <= own.log_likelihood_ + 1e-6
    assert model.log_likelihood_ == pytest.approx(own.log_likelihood_, abs=0.5)


def test_standard_errors_come_along(fitters, summary):
    model = clv.from_lifetimes(fitters["bg_nbd"])
    own = clv.BetaGeoModel().fit(summary)
    # theirs is of a fit that ends a little off the maximum
    assert np.sqrt(np.diag(model.covariance_)) == pytest.approx(np.sqrt(np.diag(own.covariance_)), rel=0.05)


def test_nothing_is_invented_for_what_lifetimes_lacks(summary):
    with pytest.raises(ModelError, match="lifetimes has no nbd model"):
        clv.NBDModel().fit(summary).to_lifetimes()
    steady = {"frequency": [5, 6, 4], "recency": [50.0, 51, 49], "T": [52.0] * 3, "weight": [50, 40, 60]}
    with pytest.raises(ModelError, match="dropout not identified"):
        clv.BetaGeoModel().fit(steady).to_lifetimes()


def test_what_is_no_fitted_fitter_is_refused(fitters):
    with pytest.raises(ModelError, match="BetaGeoFitter is not fitted"):
        clv.from_lifetimes(lifetimes.BetaGeoFitter())
    with pytest.raises(ModelError, match="dict is no fitter that can be taken over"):
        clv.from_lifetimes({})
    with pytest.raises(ModelError, match=r"use ModifiedBetaGeoModel\.from_lifetimes"):
        clv.BetaGeoModel.from_lifetimes(fitters["mbg_nbd"])


def test_without_lifetimes_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name == "lifetimes":
            raise ModuleNotFoundError("No module named 'lifetimes'", name="lifetimes")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    model = clv.BetaGeoModel.from_parameters(r=0.243, alpha=4.414, a=0.793, b=2.426)
    with pytest.raises(MissingExtraError, match=r"pip install 'regulars\[demo\]'"):
        model.to_lifetimes()


def test_tracking_agrees_with_lifetimes():
    # each row of theirs holds the expectation by the end of one day and what had come by the end of the day before
    rng = np.random.default_rng(1)
    start = pd.Timestamp("2020-01-06")
    first = rng.integers(0, 30, 200)
    rows = [(i, start + pd.Timedelta(days=int(d))) for i, d in enumerate(first)]
    gaps = rng.integers(1, 60, (len(first), 2))
    rows += [(i, start + pd.Timedelta(days=int(d + gap))) for i, d in enumerate(first) for gap in gaps[i]]
    orders = pd.DataFrame(rows, columns=["customer", "day"]).drop_duplicates()
    model = clv.BetaGeoModel.from_parameters(r=0.4, alpha=20.0, a=0.8, b=2.4, time_unit="day")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = lifetimes.utils.expected_cumulative_transactions(
            model.to_lifetimes(), orders, "day", "customer", 63, freq="D"
        )
    by_first = orders.groupby("customer")["day"].min()
    customers = by_first.value_counts().sort_index().rename_axis("day").reset_index(name="customers")
    later = orders[orders["day"] > orders["customer"].map(by_first)]["day"]
    repeats = later.value_counts().sort_index().rename_axis("day").reset_index(name="purchase_days")
    ours = clv.track_orders([model], customers, repeats, date(2020, 3, 8), observation_end=date(2020, 3, 8))
    assert len(ours) == 9
    assert ours["expected_cumulative"].to_numpy() == pytest.approx(theirs["predicted"].to_numpy()[5::7], rel=1e-9)
    assert ours["actual_cumulative"].tolist() == theirs["actual"].tolist()[6::7]
