"""Outcome models against closed forms, scikit-learn's own checks and simulated revenue."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import cross_val_predict

from regulars.uplift.boosters import ConstantModel, TwoPartModel, extract
from regulars.uplift.outcomes import TwoPartRegressor, base_learners, boosted_classifier, boosted_trees
from regulars.uplift.simulate import simulate


def test_binary_outcomes_are_learnt_as_probabilities():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4000, 3))
    chance = 1.0 / (1.0 + np.exp(-x[:, 0]))
    y = (rng.uniform(size=4000) < chance).astype(float)
    predicted = base_learners("binary", rows=4000, threads=1).outcome.fit(x, y).predict(x)
    assert 0.0 < predicted.min() < predicted.max() < 1.0
    assert np.corrcoef(predicted, chance)[0, 1] > 0.95
    # a boosted intercept keeps the mean of the log-loss to the fourth digit
    assert abs(predicted.mean() - y.mean()) < 1e-3


def test_two_parts_of_two_groups_are_their_means():
    # both parts are saturated, so the product is each group's mean: .5 * 40 and .1 * 10
    x = np.repeat([[0.0], [1.0]], 1000, axis=0)
    y = np.r_[np.tile([0.0, 40.0], 500), np.tile([10.0] + [0.0] * 9, 100)]
    model = TwoPartRegressor(LinearRegression(), LinearRegression()).fit(x, y)
    np.testing.assert_allclose(model.predict(np.array([[0.0], [1.0]])), [20.0, 1.0], rtol=1e-12)
    weighted = TwoPartRegressor(LinearRegression(), LinearRegression()).fit(x, y, sample_weight=1.0 + (y > 0.0))
    # buyers count twice: 2/3 and 2/11 buy
    np.testing.assert_allclose(weighted.predict(np.array([[0.0], [1.0]])), [80 / 3, 20 / 11], rtol=1e-12)


@pytest.mark.parametrize(("buyers", "amount"), [(0, 0.0), (3, 20.0)])
def test_few_buyers_have_a_mean_and_no_model(buyers, amount):
    x = np.random.default_rng(0).normal(size=(500, 2))
    y = np.zeros(500)
    y[:buyers] = [10.0, 20.0, 30.0][:buyers]
    trees = boosted_trees("binary", rows=500, threads=1), boosted_trees(rows=500, threads=1)
    model = TwoPartRegressor(*trees).fit(x, y)
    assert model.amount_ == amount
    kept = extract(model)
    assert isinstance(kept, TwoPartModel)
    assert kept.amount == ConstantModel(amount)
    np.testing.assert_array_equal(kept.predict(x), model.predict(x))


def test_two_parts_are_an_estimator_of_scikit_learn():
    drawn = simulate("zero_inflated", 3000, seed=1)
    model = base_learners("revenue", rows=3000, two_part=True, threads=1).outcome
    assert clone(model).get_params(deep=False).keys() == model.get_params(deep=False).keys()
    predicted = cross_val_predict(model, drawn.features, drawn.outcome, cv=3)
    assert predicted.shape == (3000,)
    with pytest.raises(ValueError, match="an outcome is -1"):
        clone(model).fit(drawn.features, drawn.outcome - 1.0)


def test_two_parts_are_nearer_to_expected_revenue_than_one():
    # paired over twenty draws: the mean log ratio of squared errors is beyond three of its standard errors
    ratio = []
    for seed in range(20):
        drawn, new = simulate("zero_inflated", 3000, seed=seed), simulate("zero_inflated", 2000, seed=100 + seed)
        rows = drawn.arm == 0
        errors = []
        for two_part in (True, False):
            model = base_learners("revenue", rows=int(rows.sum()), two_part=two_part, threads=1).outcome
            predicted = model.fit(drawn.features[rows], drawn.outcome[rows]).predict(new.features)
            errors.append(np.mean((predicted - new.expected[:, 0]) ** 2))
        ratio.append(np.log(errors[0] / errors[1]))
    assert np.mean(ratio) < -3.0 * np.std(ratio, ddof=1) / np.sqrt(20)


def test_trees_as_text_predict_what_the_estimator_does():
    drawn = simulate("zero_inflated", 3000, seed=1)
    for kind, two_part in (("revenue", True), ("revenue", False), ("binary", False)):
        y = drawn.outcome if kind == "revenue" else (drawn.outcome > 0.0).astype(float)
        model = base_learners(kind, rows=3000, two_part=two_part, threads=1).outcome.fit(drawn.features, y)
        np.testing.assert_array_equal(extract(model).predict(drawn.features), model.predict(drawn.features))


def test_arms_are_classified_with_the_same_settings():
    like = boosted_trees(rows=3000, threads=1, seed=5)
    classifier = boosted_classifier(like)
    same = (
        "n_estimators",
        "num_leaves",
        "learning_rate",
        "min_child_samples",
        "random_state",
        "n_jobs",
        "deterministic",
    )
    assert {name: classifier.get_params()[name] for name in same} == {name: like.get_params()[name] for name in same}
    arm = np.tile([0, 1, 2], 1000)
    assert classifier.fit(np.random.default_rng(0).normal(size=(3000, 2)), arm).predict_proba(
        np.zeros((1, 2))
    ).shape == (1, 3)
