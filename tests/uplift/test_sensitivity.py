"""Sensitivity bounds against brute force, a linear programme and a planted confounder; published E-values; placebos."""

from itertools import product

import numpy as np
import pytest
from scipy.optimize import linprog

from regulars.sql.errors import ModelError
from regulars.uplift.estimate import mean_estimate
from regulars.uplift.scores import aipw_scores, contrast
from regulars.uplift.sensitivity import confounding_bounds, e_value, placebo


def _extreme_by_brute_force(outcome, propensity, strength, largest):
    odds = (1 - propensity) / propensity
    means = [
        np.average(outcome, weights=1 + np.array(stretch) * odds)
        for stretch in product((1 / strength, strength), repeat=len(outcome))
    ]
    return max(means) if largest else min(means)


def _extreme_by_linear_programme(outcome, propensity, strength, largest):
    # Charnes & Cooper: weights w = t + s * odds, s between t / strength and t * strength, summing to 1
    odds, n = (1 - propensity) / propensity, len(outcome)
    sign = -1.0 if largest else 1.0
    cost = sign * np.r_[outcome @ np.ones(n), outcome * odds]
    bounds_low = np.column_stack([np.full(n, 1 / strength), -np.eye(n)])
    bounds_high = np.column_stack([np.full(n, -strength), np.eye(n)])
    found = linprog(
        cost, A_ub=np.vstack([bounds_low, bounds_high]), b_ub=np.zeros(2 * n), A_eq=[np.r_[n, odds]], b_eq=[1.0]
    )
    return sign * found.fun


@pytest.mark.parametrize("oracle", [_extreme_by_brute_force, _extreme_by_linear_programme])
@pytest.mark.parametrize("strength", [1.0, 1.5, 4.0])
@pytest.mark.parametrize("seed", range(3))
def test_bounds_are_the_extremes_over_all_confounders_of_that_strength(oracle, strength, seed):
    rng = np.random.default_rng(seed)
    arm = np.repeat([0, 1], [6, 7])
    outcome, treated = rng.normal(size=13), rng.uniform(0.2, 0.8, 13)
    found = confounding_bounds(arm, outcome, treated, strengths=(strength,)).bounds[0]
    ends = {
        (a, largest): oracle(outcome[arm == a], (treated if a else 1 - treated)[arm == a], strength, largest)
        for a in (0, 1)
        for largest in (False, True)
    }
    assert found.least == pytest.approx(ends[1, False] - ends[0, True], abs=1e-9)
    assert found.largest == pytest.approx(ends[1, True] - ends[0, False], abs=1e-9)


def test_without_a_confounder_it_is_the_weighted_estimate():
    rng = np.random.default_rng(0)
    treated = rng.uniform(0.2, 0.8, 400)
    arm = (rng.uniform(size=400) < treated).astype(int)
    expected = rng.normal(size=(400, 2))
    outcome = expected[np.arange(400), arm] + rng.normal(size=400)
    found = confounding_bounds(arm, outcome, treated, expected=expected).bounds[0]
    assert found.least == pytest.approx(found.largest, abs=1e-12)
    weight = np.where(arm == 1, 1 / treated, 1 / (1 - treated))
    by_hand = [
        expected[:, a].mean() + np.average((outcome - expected[:, a])[arm == a], weights=weight[arm == a])
        for a in (1, 0)
    ]
    assert found.least == pytest.approx(by_hand[0] - by_hand[1])
    # the self-normalised estimate and the doubly robust one differ by less than their noise
    plain = mean_estimate(contrast(aipw_scores(arm, outcome, treated, expected)))
    assert abs(found.least - plain.value) < plain.standard_error
    assert (found.upper - found.lower) == pytest.approx(plain.upper - plain.lower, rel=0.1)


def test_bounds_widen_and_the_tipping_point_is_where_they_meet_null():
    rng = np.random.default_rng(1)
    arm = rng.integers(0, 2, 3000)
    outcome = 0.4 * arm + rng.normal(size=3000)
    found = confounding_bounds(arm, outcome, 0.5, strengths=(1.0, 1.2, 1.5, 2.0))
    assert (np.diff([each.least for each in found.bounds]) < 0).all()
    assert (np.diff([each.largest for each in found.bounds]) > 0).all()
    assert 1.0 < found.explains_interval < found.explains_estimate
    at = confounding_bounds(arm, outcome, 0.5, strengths=(found.explains_estimate, found.explains_interval)).bounds
    assert at[0].least == pytest.approx(0.0, abs=1e-3)  # the bisection stops at 1e-4 of log strength
    assert at[1].lower == pytest.approx(0.0, abs=1e-3)
    nearer = confounding_bounds(arm, outcome, 0.5, null=0.2)
    assert nearer.explains_estimate < found.explains_estimate
    assert confounding_bounds(arm, outcome, 0.5, null=found.bounds[0].least).explains_interval == 1.0
    certain = confounding_bounds(np.array([0, 0, 1, 1]), np.array([0.0, 0.0, 1.0, 1.0]), 0.5)
    assert certain.explains_estimate == np.inf


def test_what_an_outcome_model_explains_a_confounder_cannot():
    rng = np.random.default_rng(2)
    x = rng.normal(size=4000)
    arm = rng.integers(0, 2, 4000)
    outcome = 3 * x + 0.3 * arm + 0.5 * rng.normal(size=4000)
    without = confounding_bounds(arm, outcome, 0.5)
    with_it = confounding_bounds(arm, outcome, 0.5, expected=np.column_stack([3 * x, 3 * x]))
    assert with_it.explains_interval > without.explains_interval


@pytest.mark.parametrize("strength", [1.5, 3.0])
def test_bounds_hold_the_truth_under_a_confounder_of_that_strength(strength):
    # U is fair and unseen; given U the odds of treatment are those given x, stretched by the strength or its inverse
    held = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        n = 1000
        hidden = rng.integers(0, 2, n)
        nominal = np.full(n, 0.5)
        odds = np.where(hidden == 1, strength, 1 / strength)
        arm = (rng.uniform(size=n) < odds / (1 + odds)).astype(int)
        outcome = 2.0 * hidden + rng.normal(size=n)  # no effect at all
        found = confounding_bounds(arm, outcome, nominal, strengths=(1.0, strength)).bounds
        held.append([each.lower <= 0.0 <= each.upper for each in found])
    naive, bounded = np.mean(held, axis=0)
    assert naive < 0.05
    assert bounded >= 0.95


def test_clusters_and_weights_carry_through():
    rng = np.random.default_rng(3)
    arm, outcome = rng.integers(0, 2, 300), rng.normal(size=300)
    treated = rng.uniform(0.3, 0.7, 300)
    single = confounding_bounds(arm, outcome, treated, strengths=(1.5,)).bounds[0]
    copies = np.tile(np.arange(300), 3)
    tripled = confounding_bounds(arm[copies], outcome[copies], treated[copies], cluster=copies, strengths=(1.5,))
    weighted = confounding_bounds(arm, outcome, treated, weights=np.full(300, 3.0), strengths=(1.5,))
    for same in (tripled.bounds[0], weighted.bounds[0]):
        np.testing.assert_allclose(
            [same.least, same.largest, same.lower, same.upper],
            [single.least, single.largest, single.lower, single.upper],
            rtol=1e-9,
        )


@pytest.mark.parametrize(("ratio", "expected"), [(3.9, 7.26), (1.8, 3.0)])
def test_published_e_values(ratio, expected):
    # VanderWeele & Ding 2017: risk ratio 3.9 (95% interval 1.8 to 8.7) has E-values 7.26 and 3.0
    assert e_value(0.1 * ratio, 0.1) == pytest.approx(expected, abs=0.005)
    assert e_value(0.1, 0.1 * ratio) == pytest.approx(expected, abs=0.005)
    assert e_value(0.2, 0.2) == 1.0


# ---- placebos -------------------------------------------------------------------------------------------------------


def _difference(arm, outcome):
    return mean_estimate(contrast(aipw_scores(arm, outcome, 0.5, np.full((len(arm), 2), outcome.mean()))))


@pytest.mark.parametrize("kind", ["shuffled_treatment", "random_outcome"])
def test_a_real_effect_stands_out_from_placebos(kind):
    rng = np.random.default_rng(0)
    arm = rng.permutation(np.repeat([0, 1], 300))
    found = placebo(_difference, arm, 0.5 * arm + rng.normal(size=600), kind=kind, repeats=99, seed=1)
    assert found.actual.above_zero
    assert found.p_value == pytest.approx(0.01)
    assert found.rejected < 0.15
    assert found.findings == ()
    again = placebo(_difference, arm, 0.5 * arm + rng.normal(size=600), kind=kind, repeats=99, seed=1)
    assert again.p_value == pytest.approx(0.01)


def test_an_analysis_with_too_small_errors_is_found():
    rng = np.random.default_rng(0)
    cluster = np.repeat(np.arange(40), 25)
    arm = rng.permutation(np.repeat([0, 1], 20))[cluster]
    outcome = rng.normal(size=40)[cluster] + 0.1 * rng.normal(size=1000)
    naive = placebo(_difference, arm, outcome, cluster=cluster, repeats=40)
    assert [finding.code for finding in naive.findings] == ["placebo_effect"]

    def clustered(arm, outcome):
        scores = contrast(aipw_scores(arm, outcome, 0.5, np.full((len(arm), 2), outcome.mean())))
        return mean_estimate(scores, cluster=cluster)

    assert placebo(clustered, arm, outcome, cluster=cluster, repeats=40).findings == ()


def test_dealing_keeps_what_it_must():
    cluster = np.repeat(np.arange(10), 6)
    whole, inside = (np.arange(10) % 2)[cluster], np.tile([0, 0, 1, 1, 1, 2], 10)
    seen = []

    def record(arm, outcome):
        seen.append((arm, outcome))
        return mean_estimate(outcome)

    placebo(record, whole, np.arange(60.0), cluster=cluster, repeats=3)
    for arm, _ in seen[1:]:
        assert all(len(set(arm[cluster == c])) == 1 for c in range(10))
        assert arm.sum() == whole.sum()
    assert any((arm != whole).any() for arm, _ in seen[1:])
    seen.clear()
    placebo(record, inside, np.arange(60.0), cluster=cluster, repeats=3)
    for arm, _ in seen[1:]:
        assert all(sorted(arm[cluster == c]) == [0, 0, 1, 1, 1, 2] for c in range(10))
    assert any((arm != inside).any() for arm, _ in seen[1:])
    seen.clear()
    placebo(record, inside, np.arange(60.0), kind="random_outcome", repeats=2)
    assert sorted(seen[1][1]) == list(range(60))
    assert (seen[1][0] == inside).all()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: placebo(_difference, np.zeros(4, int), np.ones(4), kind="other"), "kind is 'other'"),
        (lambda: confounding_bounds(np.zeros(4, int), np.ones(4), 0.5), "An arm has nobody"),
        (lambda: confounding_bounds(np.tile([0, 1], 2), np.ones(4), 0.5, strengths=(0.5,)), "strengths hold 0.5"),
        (lambda: confounding_bounds(np.tile([0, 1], 2), np.ones(4), 1.0), "propensity is 0, 1"),
        (lambda: e_value(0.0, 0.1), "each must lie in"),
    ],
)
def test_bad_input_is_named(call, says):
    with pytest.raises(ModelError, match=says):
        call()
