"""The models beside ``lifetimes`` 0.11.3 (MIT): likelihoods never below, predictions equal at equal parameters."""

import warnings

import numpy as np
import pandas as pd
import pytest

from regulars.clv import BetaGeoModel, ModifiedBetaGeoModel, ParetoNBDModel
from regulars.clv.simulate import simulate_bg_nbd, simulate_mbg_nbd, simulate_pareto_nbd

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it warns of its own age on import
    import lifetimes

PAIRS = {
    "bg_nbd": (BetaGeoModel, "BetaGeoFitter", simulate_bg_nbd, {"r": 0.25, "alpha": 4.4, "a": 0.8, "b": 2.4}),
    "mbg_nbd": (
        ModifiedBetaGeoModel,
        "ModifiedBetaGeoFitter",
        simulate_mbg_nbd,
        {"r": 0.5, "alpha": 6.2, "a": 0.9, "b": 1.6},
    ),
    "pareto_nbd": (
        ParetoNBDModel,
        "ParetoNBDFitter",
        simulate_pareto_nbd,
        {"r": 0.55, "alpha": 10.6, "s": 0.6, "beta": 11.7},
    ),
}


def make_pair(name):
    """Model at known parameters, the fitter with the same, and 400 customers."""
    model, fitter_name, simulate, params = PAIRS[name]
    fitter = getattr(lifetimes, fitter_name)()
    fitter.params_ = pd.Series(params)
    return model.from_parameters(**params), fitter, simulate(params, 400, 39.0, seed=2)


@pytest.fixture(params=PAIRS)
def pair(request):
    return make_pair(request.param)


@pytest.fixture(autouse=True)
def _foreign_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def columns(data):
    return (data[name].to_numpy(dtype=float) for name in ("frequency", "recency", "T"))


def test_probability_alive(pair):
    model, fitter, data = pair
    expected = np.asarray(fitter.conditional_probability_alive(*columns(data))).ravel()
    # lifetimes takes Pareto/NBD's 2F1 from scipy and subtracts two of them
    assert model.probability_alive(data) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("horizon", [1.0, 26.0, 104.0])
def test_expected_purchases(pair, horizon):
    model, fitter, data = pair
    expected = fitter.conditional_expected_number_of_purchases_up_to_time(horizon, *columns(data))
    assert model.expected_purchases(data, horizon) == pytest.approx(np.asarray(expected).ravel(), rel=1e-8)


def test_expected_purchases_of_a_new_customer(pair):
    model, fitter, _ = pair
    times = np.array([0.5, 1, 13, 52, 104])
    expected = fitter.expected_number_of_purchases_up_to_time(times)
    assert model.expected_purchases_new(times) == pytest.approx(np.asarray(expected), rel=1e-10)


@pytest.mark.parametrize("name", ["bg_nbd", "mbg_nbd"])  # it has none for Pareto/NBD
def test_counts_of_a_new_customer(name):
    model, fitter, _ = make_pair(name)
    expected = [float(np.squeeze(fitter.probability_of_n_purchases_up_to_time(39.0, n))) for n in range(10)]
    assert model.pmf(np.arange(10), 39.0) == pytest.approx(expected, rel=1e-10)


def test_conditional_counts():
    model, fitter, data = make_pair("pareto_nbd")  # which alone has them there
    few = data.iloc[:40]
    p = model.purchase_probabilities(few, 26.0, 4)
    for n in range(5):
        expected = fitter.conditional_probability_of_n_purchases_up_to_time(n, 26.0, *columns(few))
        assert p[:, n] == pytest.approx(np.asarray(expected), rel=1e-6)


def test_likelihood(pair):
    model, fitter, data = pair
    if model.name == "pareto_nbd":
        params = np.array([model.params_[k] for k in ("r", "alpha", "s", "beta")])
        expected = fitter._conditional_log_likelihood(params, *columns(data)).sum()
    else:
        x, t_x, T = columns(data)
        log_params = np.log([model.params_[k] for k in ("r", "alpha", "a", "b")])
        # it returns a mean with its sign turned
        expected = -len(data) * fitter._negative_log_likelihood(log_params, x, t_x, T, np.ones_like(x), 0.0)
    assert model.log_likelihood(data) == pytest.approx(float(expected), rel=1e-10)


@pytest.mark.parametrize("name", PAIRS)
def test_fits_are_never_less_likely(name, cdnow_csv):
    model, fitter_name, _, _ = PAIRS[name]
    theirs = getattr(lifetimes, fitter_name)()
    theirs.fit(cdnow_csv["frequency"], cdnow_csv["recency"], cdnow_csv["T"])
    params = {k: float(v) for k, v in theirs.params_.items()}
    fitted = model().fit(cdnow_csv)
    assert fitted.log_likelihood_ >= model.from_parameters(**params).log_likelihood(cdnow_csv) - 1e-8
    # its optimiser stops where the likelihood, not the parameters, has settled
    assert params == pytest.approx(fitted.params_, rel=2e-2)


@pytest.fixture(scope="session")
def cdnow_csv():
    from pathlib import Path

    folder = Path(lifetimes.__file__).parent / "datasets"
    return pd.read_csv(folder / "cdnow_customers_summary.csv")
