"""The published CDNOW results: parameters, log-likelihoods, standard errors, holdouts.

Sources, collected in references/clv.md ("Numbers on CDNOW"): BG/NBD, Fader, Hardie & Lee (2005), Marketing Science
24(2), table 2 and figure 5 (.243, 4.414, .793, 2.426; -9582.4); Pareto/NBD, the same paper and Fader & Hardie, note 008
(.553, 10.578, .606, 11.669; -9595.0); further digits, NBD and MBG/NBD from the exact dates of ``CDNOW_sample.txt``.
"""

import numpy as np
import pytest

from regulars import clv

# model, parameters, log-likelihood, holdout total, holdout MAE (references/clv.md, "Numbers on CDNOW")
TABLE = [
    (clv.NBDModel, {"r": 0.384766, "alpha": 12.072023}, -9763.65761, 2929.8, 1.041),
    (
        clv.BetaGeoModel,
        {"r": 0.242595, "alpha": 4.413602, "a": 0.792922, "b": 2.425907},
        -9582.42921,
        1653.4,
        0.785454,
    ),
    (
        clv.ModifiedBetaGeoModel,
        {"r": 0.524843, "alpha": 6.183085, "a": 0.891359, "b": 1.614002},
        -9582.13572,
        1576.7,
        0.764779,
    ),
    (
        clv.ParetoNBDModel,
        {"r": 0.553277, "alpha": 10.577683, "s": 0.606240, "beta": 11.668733},
        -9594.97618,
        1665.5,
        0.754523,
    ),
]
IDS = [row[0].name for row in TABLE]

# Fader, Hardie & Lee's MATLAB code and BTYD report them (references/clv.md, "Published to the printed digit").
STANDARD_ERRORS = [
    (clv.BetaGeoModel, (0.0126, 0.3782, 0.1857, 0.7053), 5e-3),  # as printed, four decimals
    # from a numerical Hessian, good to four digits
    (clv.ParetoNBDModel, (0.0476264, 0.8427222, 0.1872594, 6.2105448), 2e-4),
]


def test_the_sample_is_the_published_one(cdnow):
    assert len(cdnow) == 2357
    assert int(cdnow["frequency_holdout"].sum()) == 1882


@pytest.mark.parametrize(("model", "parameters", "log_likelihood", "total", "mae"), TABLE, ids=IDS)
def test_parameters_and_likelihood(cdnow, model, parameters, log_likelihood, total, mae):
    fitted = model().fit(cdnow)
    assert fitted.log_likelihood_ >= log_likelihood - 1e-4
    # the reference is printed to five decimals and is a maximum: more than this above it would be an error of ours
    assert fitted.log_likelihood_ == pytest.approx(log_likelihood, abs=1e-4)
    assert fitted.params_ == pytest.approx(parameters, rel=1e-3)
    assert fitted.identified_
    assert fitted.converged_
    assert fitted.message_ == ""
    assert fitted.n_customers_ == 2357
    assert fitted.time_unit_ == "week"


@pytest.mark.parametrize(("model", "parameters", "log_likelihood", "total", "mae"), TABLE, ids=IDS)
def test_holdout(cdnow, model, parameters, log_likelihood, total, mae):
    expected = model().fit(cdnow).expected_purchases(cdnow, 39)
    # totals are printed to one decimal, errors to three and six
    assert expected.sum() == pytest.approx(total, abs=0.06)
    assert np.abs(expected - cdnow["frequency_holdout"]).mean() == pytest.approx(mae, abs=2e-4 if mae > 1 else 2e-5)


@pytest.mark.parametrize(("model", "standard_errors", "tolerance"), STANDARD_ERRORS)
def test_standard_errors(cdnow, model, standard_errors, tolerance):
    summary = model().fit(cdnow).summary_
    assert summary["standard_error"].to_numpy() == pytest.approx(standard_errors, rel=tolerance)


@pytest.mark.parametrize("model", [row[0] for row in TABLE], ids=IDS)
def test_intervals_are_symmetric_in_the_logarithm(cdnow, model):
    summary = model().fit(cdnow).summary_
    assert (summary["lower"] * summary["upper"]).to_numpy() == pytest.approx(summary["estimate"].to_numpy() ** 2)
    factor = np.exp(1.959963984540054 * summary["standard_error"] / summary["estimate"])
    assert (summary["upper"] / summary["estimate"]).to_numpy() == pytest.approx(factor.to_numpy())


@pytest.mark.parametrize("model", [row[0] for row in TABLE], ids=IDS)
def test_no_neighbour_is_likelier(cdnow, model):
    fitted = model().fit(cdnow)
    rng = np.random.default_rng(1)
    for _ in range(20):
        shifted = {name: value * np.exp(rng.normal(0, 0.02)) for name, value in fitted.params_.items()}
        assert model.from_parameters(**shifted).log_likelihood(cdnow) < fitted.log_likelihood_


@pytest.mark.parametrize("model", [row[0] for row in TABLE], ids=IDS)
def test_a_fit_repeats_to_the_last_bit(cdnow, model):
    one, two = model().fit(cdnow), model().fit(cdnow)
    assert one.params_ == two.params_
    assert one.log_likelihood_ == two.log_likelihood_
    assert np.array_equal(one.covariance_, two.covariance_)
