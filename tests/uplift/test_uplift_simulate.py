"""The six designs are what they say: outcomes, shares and effects, by their own means and closed forms."""

import math

import numpy as np
import pytest

from regulars.sql.errors import ModelError
from regulars.uplift.rate import rank_by
from regulars.uplift.simulate import DESIGNS, N_FEATURES, simulate

N = 200_000


@pytest.fixture(scope="module", params=sorted(DESIGNS))
def drawn(request):
    return simulate(request.param, N, seed=3)


def test_outcomes_have_the_expectation_that_is_said(drawn):
    arms = drawn.propensity.shape[1]
    for a in range(arms):
        rows = drawn.arm == a
        residual = drawn.outcome[rows] - drawn.expected[rows, a]
        # overall, and where each of the features that move outcomes is high: four and a half standard errors, 24 looks
        for part in (np.ones(rows.sum(), dtype=bool), drawn.features[rows, 0] > 0.5, drawn.features[rows, 4] > 0.5):
            error = residual[part].std() / math.sqrt(part.sum())
            assert abs(residual[part].mean()) < 4.5 * error


def test_arms_come_with_the_probability_that_is_said(drawn):
    np.testing.assert_allclose(drawn.propensity.sum(axis=1), 1.0)
    for a in range(drawn.propensity.shape[1]):
        gap = (drawn.arm == a) - drawn.propensity[:, a]
        for part in (np.ones(N, dtype=bool), drawn.features[:, 0] > 0.5):
            assert abs(gap[part].mean()) < 4.5 * gap[part].std() / math.sqrt(part.sum())
    assert drawn.randomised == bool((drawn.propensity == drawn.propensity[0]).all())


def test_closed_forms():
    assert not simulate("null", 1000).effects.any()
    linear = simulate("linear", N, seed=1)
    # normal effects: QINI = sd / (2 sqrt(pi)); with 200,000 customers the sample is within 5e-4
    sd = math.hypot(0.25, 0.15)
    assert linear.true_rates(rank_by(linear.effects))["QINI"] == pytest.approx(sd / (2 * math.sqrt(math.pi)), abs=5e-4)
    sparse = simulate("sparse", N, seed=1)
    assert set(np.unique(sparse.effects).round(12)) == {0.0, 0.8}
    share = (sparse.effects > 0).mean()
    # TOC is .8 (1 - p) up to p, then .8 (p / q - p): AUTOC = -.8 p log p, QINI = .4 p (1 - p)
    found = sparse.true_rates(rank_by(sparse.effects))
    assert found["AUTOC"] == pytest.approx(-0.8 * share * math.log(share), abs=1e-4)
    assert found["QINI"] == pytest.approx(0.4 * share * (1 - share), abs=1e-6)


def test_zero_inflated_is_mostly_zeros_with_a_long_tail():
    drawn = simulate("zero_inflated", N, seed=2)
    assert 0.85 < (drawn.outcome == 0).mean() < 0.95
    assert drawn.outcome.min() == 0.0
    bought = drawn.outcome[drawn.outcome > 0]
    assert bought.max() > 8 * bought.mean()


def test_confounding_misleads_and_several_arms_differ():
    drawn = simulate("confounded", N, seed=2)
    naive = drawn.outcome[drawn.arm == 1].mean() - drawn.outcome[drawn.arm == 0].mean()
    assert naive - drawn.effects.mean() > 0.2
    several = simulate("several_arms", N, seed=2)
    assert several.effects.shape == (N, 3)
    best = np.bincount(several.effects.argmax(axis=1), minlength=3) / N
    assert best.min() > 0.15


def test_same_seed_same_customers_and_a_frame_like_a_shops():
    first, second = simulate("several_arms", 50, seed=9), simulate("several_arms", 50, seed=9)
    np.testing.assert_array_equal(first.outcome, second.outcome)
    assert (simulate("several_arms", 50, seed=10).outcome != first.outcome).all()
    frame = first.frame()
    assert list(frame.columns) == ["customer_id", *(f"x{j}" for j in range(N_FEATURES)), "arm", "outcome"]
    assert frame["customer_id"].is_unique
    assert set(frame["arm"]) <= {"control", "arm_1", "arm_2", "arm_3"}
    assert (frame["arm"] == "control").sum() == (first.arm == 0).sum()


def test_unknown_design_is_named():
    with pytest.raises(ModelError, match="did you mean 'sparse'"):
        simulate("spars", 10)
