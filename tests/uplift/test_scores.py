"""Doubly robust scores against exact enumeration, econml's, and what must not leak."""

from itertools import product

import numpy as np
import pytest

from regulars.sql.errors import ModelError
from regulars.uplift.estimate import interval, mean_estimate
from regulars.uplift.nuisances import OUTCOME_MODELS, PROPENSITY_MODELS, assign_folds, cross_fit_outcomes
from regulars.uplift.scores import (
    aipw_scores,
    contrast,
    cross_fit_propensities,
    doubly_robust_scores,
    net_effects,
    overlap_region,
    propensity_matrix,
)
from regulars.uplift.simulate import simulate


@pytest.mark.parametrize("n_arms", [2, 3])
def test_scores_average_to_the_potential_outcomes_over_every_possible_assignment(n_arms):
    # exact, not simulated: all n_arms ** 4 assignments, each with its probability, whatever the outcome model says
    rng = np.random.default_rng(n_arms)
    potential = rng.normal(size=(4, n_arms))
    propensity = rng.dirichlet(np.full(n_arms, 3.0), size=4)
    guess = rng.normal(size=(4, n_arms)) * 5.0
    mean = np.zeros((4, n_arms))
    for assigned in product(range(n_arms), repeat=4):
        arm = np.array(assigned)
        chance = propensity[np.arange(4), arm].prod()
        mean += chance * aipw_scores(arm, potential[np.arange(4), arm], propensity, guess)
    np.testing.assert_allclose(mean, potential, atol=1e-12)  # sums of 81 terms of size 10


def test_right_outcome_model_forgives_wrong_propensities():
    rng = np.random.default_rng(0)
    expected = rng.normal(size=(50, 3))
    arm = rng.integers(0, 3, 50)
    wrong = np.tile([0.7, 0.2, 0.1], (50, 1))
    np.testing.assert_array_equal(aipw_scores(arm, expected[np.arange(50), arm], wrong, expected), expected)


def test_equals_econml_dr_outcomes():
    from econml.validate.utils import calculate_dr_outcomes

    drawn = simulate("several_arms", 500, seed=3)
    guess = drawn.expected + 0.3
    ours = aipw_scores(drawn.arm, drawn.outcome, drawn.propensity, guess)
    theirs = calculate_dr_outcomes(drawn.arm, drawn.outcome, guess, drawn.propensity)
    np.testing.assert_allclose(ours[:, 1:] - ours[:, :1], theirs, atol=1e-12)


def test_propensity_forms_agree():
    rows = np.tile([0.7, 0.3], (5, 1))
    for form in (0.3, np.full(5, 0.3), np.array([0.7, 0.3]), rows):
        np.testing.assert_allclose(propensity_matrix(form, 5, 2), rows)
    # two customers and two arms: a vector of two is one probability per arm
    np.testing.assert_allclose(propensity_matrix(np.array([0.7, 0.3]), 2, 2), rows[:2])


@pytest.mark.parametrize(
    ("propensity", "says"),
    [
        (0.0, "0, 1 or no probability for 4 of 4"),
        (1.0, "overlap_region"),
        (np.array([0.5, 0.5, np.nan, 0.5]), "for 1 of 4"),
        (np.array([0.2, 0.3, 0.5]), r"shape \(3,\)"),
        (np.tile([0.5, 0.4], (4, 1)), "sums to 1 only within 0.1"),
    ],
)
def test_propensities_that_cannot_be_are_refused(propensity, says):
    with pytest.raises(ModelError, match=says):
        propensity_matrix(propensity, 4, 2)


def test_contrast_and_costs():
    scores = np.array([[1.0, 2.0, 4.0], [0.0, -1.0, 3.0], [5.0, 5.0, 5.0]])
    assert contrast(scores, 2).tolist() == [3.0, 3.0, 0.0]
    assert contrast(scores, np.array([0, 1, 2]), value=10.0, cost=np.array([1.0, 2.0])).tolist() == [0.0, -11.0, -2.0]
    each = np.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(
        net_effects(np.ones((3, 2)), value=np.array([1.0, 2.0, 3.0]), cost=each), [[1, 0], [0, -1], [-1, -2]]
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"arm": 3}, "whole numbers 0"),
        ({"arm": np.array([0.0, 1.0])}, "whole numbers"),
        ({"cost": np.zeros(3)}, r"\(2,\), or \(2, 2\)"),
        ({"value": np.array([1.0, np.nan])}, "NaN"),
        ({"value": np.ones(3)}, "one per customer"),
    ],
)
def test_contrast_says_what_does_not_fit(arguments, says):
    with pytest.raises(ModelError, match=says):
        contrast(np.zeros((2, 3)), **({"arm": 1} | arguments))


@pytest.mark.parametrize("model", sorted(OUTCOME_MODELS))
def test_no_row_sees_its_own_outcome(model):
    rng = np.random.default_rng(0)
    x, arm, outcome = rng.normal(size=(300, 3)), rng.integers(0, 2, 300), rng.normal(size=300)
    fold = assign_folds(arm, 2, seed=5)
    before = cross_fit_outcomes(x, arm, outcome, 2, model=model, seed=5)
    after = cross_fit_outcomes(x, arm, np.where(fold == 0, outcome + 100.0, outcome), 2, model=model, seed=5)
    np.testing.assert_array_equal(before[fold == 0], after[fold == 0])
    assert (before[fold == 1] != after[fold == 1]).all()


@pytest.mark.parametrize("model", sorted(PROPENSITY_MODELS))
def test_no_row_sees_its_own_treatment(model):
    drawn = simulate("confounded", 400, seed=1)
    fitted = cross_fit_propensities(drawn.features, drawn.arm, 2, model=model, seed=2)
    fold = assign_folds(drawn.arm, 2, seed=2)
    np.testing.assert_allclose(fitted.sum(axis=1), 1.0)
    # swapping arms of two rows of one fold leaves the folds as they are, and that fold's predictions
    first, second = (np.flatnonzero((fold == 0) & (drawn.arm == a))[0] for a in (0, 1))
    swapped = drawn.arm.copy()
    swapped[[first, second]] = swapped[[second, first]]
    by_hand = PROPENSITY_MODELS[model](
        drawn.features[fold != 0], swapped[fold != 0], 2, np.ones((fold != 0).sum()), drawn.features[fold == 0], 2
    )
    np.testing.assert_allclose(fitted[fold == 0], by_hand)


def test_folds_spread_arms_and_keep_clusters():
    arm = np.repeat([0, 1, 2], [70, 20, 10])
    fold = assign_folds(arm, 3, folds=5, seed=0)
    assert [np.bincount(fold[arm == a]).tolist() for a in range(3)] == [[14] * 5, [4] * 5, [2] * 5]
    cluster = np.repeat(np.arange(25), 4)
    fold = assign_folds(np.tile([0, 1], 50), 2, folds=5, cluster=cluster, seed=0)
    assert all(len(set(fold[cluster == c])) == 1 for c in range(25))
    assert np.bincount(fold).tolist() == [20] * 5


def test_confounding_is_taken_out_and_overlap_found():
    drawn = simulate("confounded", 20_000, seed=4)
    naive = drawn.outcome[drawn.arm == 1].mean() - drawn.outcome[drawn.arm == 0].mean()
    truth = drawn.effects.mean()
    assert abs(naive - truth) > 0.2
    for outcome_model, propensity_model in (("lightgbm", "logistic"), ("linear", "logistic"), ("lightgbm", "lightgbm")):
        found = doubly_robust_scores(
            drawn.features,
            drawn.arm,
            drawn.outcome,
            outcome_model=outcome_model,
            propensity_model=propensity_model,
        )
        assert found.kept.mean() > 0.9
        estimate = mean_estimate(contrast(found.scores)[found.kept])
        # four standard errors: one chance in 16,000 of a false alarm
        assert abs(estimate.value - drawn.effects[found.kept].mean()) < 4 * estimate.standard_error


def test_randomised_scores_beat_plain_weighting_and_keep_everyone():
    drawn = simulate("linear", 5000, seed=5)
    found = doubly_robust_scores(drawn.features, drawn.arm, drawn.outcome, propensity=0.5)
    plain = mean_estimate(contrast(aipw_scores(drawn.arm, drawn.outcome, 0.5, np.zeros((5000, 2)))))
    ours = mean_estimate(contrast(found.scores))
    assert found.kept.all()
    assert found.findings == ()
    assert ours.standard_error < 0.8 * plain.standard_error
    assert abs(ours.value - drawn.effects.mean()) < 4 * ours.standard_error


@pytest.mark.parametrize("seed", range(5))
def test_overlap_region_has_the_least_variance_of_all_cutoffs(seed):
    rng = np.random.default_rng(seed)
    treated = rng.beta(0.3, 0.8, size=3000).clip(1e-9, 1 - 1e-9)
    matrix = np.column_stack([1 - treated, treated])
    inverse = np.sort((1 / matrix).sum(axis=1))
    kept_counts = np.arange(1, 3001)
    variance = np.cumsum(inverse) / kept_counts**2  # Crump et al.: E[1/(e(1-e)); A] / P(A)^2, to be least
    region = overlap_region(matrix)
    # the condition is that of a continuous distribution: exact up to one customer of thousands, and flat there
    assert variance[region.kept.sum() - 1] <= variance.min() * (1 + 1e-6)
    assert region.findings[0].code == "low_overlap"


def test_overlap_where_there_is_none_blocks():
    region = overlap_region(np.tile([1.0, 0.0], (5, 1)))
    assert not region.kept.any()
    assert region.findings[0].blocking
    assert overlap_region(np.tile([0.9, 0.1], (5, 1))).kept.all()


@pytest.mark.parametrize(
    ("features", "outcome"),
    [
        (np.zeros((10, 2)), np.arange(10.0)),  # constant features, 10 customers
        (np.full((10, 1), np.nan), np.arange(10.0)),
        (np.empty((10, 0)), np.zeros(10)),  # no features; all outcomes zero
    ],
)
@pytest.mark.parametrize("model", sorted(OUTCOME_MODELS))
def test_little_data_gives_finite_scores(features, outcome, model):
    found = doubly_robust_scores(features, np.tile([0, 1], 5), outcome, propensity=0.5, outcome_model=model)
    assert np.isfinite(found.scores).all()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"arm": np.zeros(20, dtype=int)}, "Arm 1 has 0 of 20"),
        ({"arm": np.r_[1, np.zeros(19, dtype=int)]}, "every arm needs at least 2"),
        ({"outcome": np.r_[np.nan, np.zeros(19)]}, "outcome holds 1 NaN"),
        ({"features": np.full((20, 1), np.inf)}, "20 infinite"),
        ({"features": np.zeros((19, 1))}, "one row per customer"),
        ({"outcome_model": "lightgmb"}, "did you mean 'lightgbm'"),
        ({"cluster": np.repeat([0, 1], 10), "arm": np.repeat([0, 1], 10)}, "clusters of one fold"),
        ({"weights": np.zeros(20)}, "each must be positive"),
    ],
)
def test_bad_input_is_named(change, says):
    arguments = {"features": np.zeros((20, 1)), "arm": np.tile([0, 1], 10), "outcome": np.zeros(20)}
    with pytest.raises(ModelError, match=says):
        doubly_robust_scores(**(arguments | {"propensity": 0.5} | change))


@pytest.mark.parametrize("n", [2, 5, 400])
def test_mean_estimate_is_the_one_sample_t_interval(n):
    from scipy.stats import ttest_1samp

    values = np.random.default_rng(n).normal(0.1, 1.0, size=n)
    ours, theirs = mean_estimate(values), ttest_1samp(values, 0.0)
    low, high = theirs.confidence_interval()
    np.testing.assert_allclose([ours.lower, ours.upper, ours.p_value], [low, high, theirs.pvalue], rtol=1e-9)


def test_clustered_and_weighted_mean_equals_statsmodels():
    import statsmodels.api as sm

    rng = np.random.default_rng(0)
    cluster = rng.integers(0, 40, 600)
    weights = rng.uniform(0.5, 3.0, 600)
    values = rng.normal(size=600) + rng.normal(size=40)[cluster]
    theirs = sm.WLS(values, np.ones(600), weights=weights).fit(cov_type="cluster", cov_kwds={"groups": cluster})
    ours = mean_estimate(values, weights=weights, cluster=cluster)
    np.testing.assert_allclose([ours.value, ours.standard_error], [theirs.params[0], theirs.bse[0]], rtol=1e-10)
    assert ours.units == len(np.unique(cluster))


def test_estimates_scale_and_refuse():
    estimate = interval(1.0, 0.5, units=100)
    assert estimate.scaled(-1000.0).upper == -1000.0 * estimate.lower
    assert estimate.scaled(1000.0).p_value == estimate.p_value
    assert interval(0.0, 0.0, units=5).p_value == 1.0
    assert interval(1.0, 0.0, units=5).p_value == 0.0
    with pytest.raises(ModelError, match="at least 2 independent units"):
        mean_estimate(np.ones(1))
    with pytest.raises(ModelError, match="level is 95"):
        interval(0.0, 1.0, units=5, level=95)
