"""NBD against its closed forms and scipy's negative binomial."""

import numpy as np
import pytest
from scipy import special, stats

from regulars.clv import NBDModel
from regulars.clv.simulate import simulate_nbd

MODEL = NBDModel.from_parameters(r=0.4, alpha=12.0)
CUSTOMERS = {"frequency": [0, 2, 7, 300], "recency": [0.0, 30.4, 20.0, 38.0], "T": [39.0, 38.9, 39.0, 39.0]}
X, T = np.array(CUSTOMERS["frequency"]), np.array(CUSTOMERS["T"])


def test_likelihood_is_that_of_the_purchase_times():
    # E[lambda^x e^(-lambda T)] over Gamma(r, alpha)
    expected = special.gammaln(0.4 + X) - special.gammaln(0.4) + 0.4 * np.log(12) - (0.4 + X) * np.log(12 + T)
    assert MODEL.log_likelihood(CUSTOMERS) == pytest.approx(expected.sum(), rel=1e-13)


def test_expected_purchases_is_the_posterior_rate_times_the_window():
    assert MODEL.expected_purchases(CUSTOMERS, 39, start=13) == pytest.approx((0.4 + X) / (12 + T) * 26, rel=1e-14)


def test_nobody_leaves():
    assert MODEL.probability_alive(CUSTOMERS).tolist() == [1.0] * 4


def test_counts_are_scipys_negative_binomial():
    got = MODEL.purchase_probabilities(CUSTOMERS, 26, 500)
    rate = 12 + T
    expected = stats.nbinom.pmf(np.arange(501), (0.4 + X)[:, None], (rate / (rate + 26))[:, None])
    assert got == pytest.approx(expected, rel=1e-10, abs=1e-300)
    assert MODEL.pmf(np.arange(60), 39) == pytest.approx(stats.nbinom.pmf(np.arange(60), 0.4, 12 / 51), rel=1e-12)


def test_no_purchase_is_a_count_of_zero():
    silence = MODEL.probability_no_purchase(CUSTOMERS, 26)
    assert silence == pytest.approx(MODEL.purchase_probabilities(CUSTOMERS, 26, 0)[:, 0], rel=1e-14)


def test_half_have_bought_by_the_median():
    wait = MODEL.median_time_to_next_purchase(CUSTOMERS)
    silence = [MODEL.probability_no_purchase(CUSTOMERS, h)[i] for i, h in enumerate(wait)]
    assert silence == pytest.approx([0.5] * 4, rel=1e-12)


def test_discounting():
    plain = MODEL.expected_purchases(CUSTOMERS, 52)
    assert MODEL.discounted_expected_purchases(CUSTOMERS, 52, 0.0) == pytest.approx(plain, rel=1e-15)
    d = 0.002
    factor = (1 - np.exp(-d * 52)) / d / 52
    assert MODEL.discounted_expected_purchases(CUSTOMERS, 52, d) == pytest.approx(plain * factor, rel=1e-13)


def test_the_maximum_is_where_the_moment_equations_hold():
    # with one age for all, the likelihood of (r, alpha) has alpha = r T / mean(x) exactly
    data = simulate_nbd({"r": 0.7, "alpha": 9.0}, 3000, T=52, seed=5)
    fitted = NBDModel().fit(data)
    assert fitted.params_["alpha"] == pytest.approx(fitted.params_["r"] * 52 / data["frequency"].mean(), rel=1e-6)
    # and r is that of scipy's negative binomial counts, which differ from the timings by a constant
    r, alpha = fitted.params_.values()
    p = alpha / (alpha + 52)
    for shift in (0.99, 1.01):
        q = alpha * shift / (alpha * shift + 52)
        best = stats.nbinom.logpmf(data["frequency"], r, p).sum()
        assert stats.nbinom.logpmf(data["frequency"], r * shift, q).sum() < best


def test_expected_purchases_of_a_new_customer_keeps_the_shape():
    assert MODEL.expected_purchases_new(3) == pytest.approx(0.1)
    assert MODEL.expected_purchases_new([[1, 2], [3, 4]]).shape == (2, 2)
