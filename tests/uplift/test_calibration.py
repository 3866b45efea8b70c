"""Calibration of effects against statsmodels' regressions and planted spreads."""

import numpy as np
import pytest
import statsmodels.api as sm

from regulars.sql.errors import ModelError
from regulars.uplift.calibration import calibration_of_effects


def _data(n=2000, seed=0, spread=1.0):
    rng = np.random.default_rng(seed)
    effect = rng.normal(0.2, 0.5, size=n)
    return 0.2 + spread * (effect - 0.2), effect + rng.normal(size=n) * (1 + np.abs(effect))


def test_slope_is_least_squares_with_hc1():
    predicted, scores = _data()
    theirs = sm.OLS(scores, sm.add_constant(predicted)).fit(cov_type="HC1")
    ours = calibration_of_effects(predicted, scores).slope
    np.testing.assert_allclose([ours.value, ours.standard_error], [theirs.params[1], theirs.bse[1]], rtol=1e-9)


def test_weighted_clustered_slope_equals_statsmodels():
    predicted, scores = _data()
    rng = np.random.default_rng(1)
    cluster, weights = rng.integers(0, 50, 2000), rng.uniform(0.5, 2, 2000)
    theirs = sm.WLS(scores, sm.add_constant(predicted), weights=weights).fit(
        cov_type="cluster", cov_kwds={"groups": cluster}
    )
    ours = calibration_of_effects(predicted, scores, weights=weights, cluster=cluster).slope
    np.testing.assert_allclose([ours.value, ours.standard_error], [theirs.params[1], theirs.bse[1]], rtol=1e-9)
    assert ours.units == 50


@pytest.mark.parametrize("spread", [0.5, 1.0, 2.0])
def test_predictions_that_spread_too_far_are_found(spread):
    found = calibration_of_effects(*_data(n=20_000, spread=spread))
    assert abs(found.slope.value - 1 / spread) < 4 * found.slope.standard_error
    assert (found.slope_is_one < 1e-6) == (spread != 1.0)
    assert found.slope_is_zero < 1e-6
    assert abs(found.mean_predicted - found.mean_actual.value) < 4 * found.mean_actual.standard_error


def test_the_slope_test_keeps_its_level():
    rejected = [calibration_of_effects(*_data(n=800, seed=seed)).slope_is_one < 0.05 for seed in range(400)]
    # binomial(400, .05): 3.3 standard errors either way
    assert 0.014 <= np.mean(rejected) <= 0.086


def test_bins_hold_everyone_and_their_means():
    predicted, scores = _data(n=1003)
    found = calibration_of_effects(predicted, scores, bins=10)
    assert sum(each.customers for each in found.bins) == 1003
    assert {each.customers for each in found.bins} <= {100, 101}
    ordered = np.sort(predicted)
    assert found.bins[0].predicted == pytest.approx(ordered[: found.bins[0].customers].mean())
    lowest = np.argsort(predicted)[: found.bins[0].customers]
    assert found.bins[0].actual.value == pytest.approx(scores[lowest].mean())
    assert found.tidy()[0]["customers"] == found.bins[0].customers
    assert found.weighted_error == pytest.approx(
        sum(each.customers * abs(each.predicted - each.actual.value) for each in found.bins) / 1003
    )


def test_ties_share_a_bin_and_constants_have_no_slope():
    predicted = np.repeat([0.0, 0.0, 1.0], 100)
    found = calibration_of_effects(predicted, np.random.default_rng(0).normal(size=300))
    assert [each.customers for each in found.bins] == [200, 100]
    flat = calibration_of_effects(np.full(50, 0.1), np.random.default_rng(0).normal(size=50))
    assert flat.slope is None
    assert (flat.slope_is_one, len(flat.bins)) == (1.0, 1)


def test_a_bin_of_one_cluster_has_no_interval():
    found = calibration_of_effects(np.arange(20.0), np.ones(20), bins=2, cluster=np.repeat([0, 1, 2], [10, 5, 5]))
    assert found.bins[0].actual.upper == np.inf
    assert found.bins[1].actual.units == 2


def test_bad_input_is_named():
    with pytest.raises(ModelError, match="effect_scores has 2 rows"):
        calibration_of_effects(np.ones(3), np.ones(2))
    with pytest.raises(ModelError, match="bins is 0"):
        calibration_of_effects(np.ones(3), np.ones(3), bins=0)
