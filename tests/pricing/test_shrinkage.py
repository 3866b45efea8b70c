"""Empirical Bayes over the tree: closed forms, limits, and coverage on simulated categories."""

import numpy as np
import pytest

from regulars.pricing.shrinkage import shrink


def test_given_the_spread_an_item_is_weighed_by_precision():
    rng = np.random.default_rng(0)
    truth = -2.0 + rng.normal(0, 0.6, 400)
    variance = np.full(400, 0.36)
    estimate = truth + rng.normal(0, 0.6, 400)
    answer = shrink(estimate, variance, [("a",)] * 400)
    # equal variance within and between: half its own data
    assert answer.own_share == pytest.approx(0.5, abs=0.08)
    mean = answer.categories["a",][0]
    assert answer.mean == pytest.approx(answer.own_share * estimate + (1 - answer.own_share) * mean, abs=0.02)


def test_items_without_data_have_the_categorys_answer():
    estimate, variance = np.array([-2.0, -2.4, -2.1, np.nan]), np.array([0.04, 0.04, 0.04, np.nan])
    answer = shrink(estimate, variance, [("a", "b")] * 4)
    mean, deviation = answer.new_item(("a", "b"))
    assert answer.own_share[3] == 0.0
    assert answer.mean[3] == pytest.approx(mean, abs=1e-6)
    assert answer.deviation[3] == pytest.approx(deviation, rel=0.05)
    assert answer.new_item(("a", "never seen"))[1] > deviation
    assert shrink(np.array([np.nan]), np.array([np.nan]), [("a",)]) is None


def test_order_and_names_change_nothing():
    rng = np.random.default_rng(1)
    estimate, variance = rng.normal(-2, 1, 30), rng.uniform(0.05, 1, 30)
    paths = [("x", f"c{i % 4}") for i in range(30)]
    one = shrink(estimate, variance, paths)
    order = rng.permutation(30)
    other = shrink(estimate[order], variance[order], [("y", paths[i][1]) for i in order])
    np.testing.assert_allclose(one.mean[order], other.mean, atol=1e-6)


@pytest.mark.parametrize(("between_items", "between_categories"), [(0.5, 0.6), (0.3, 0.1)])
def test_intervals_cover_what_they_say(between_items, between_categories):
    rng = np.random.default_rng(2)
    covered = []
    for _ in range(10):
        category = np.arange(200) % 10
        truth = -2.4 + rng.normal(0, between_categories, 10)[category] + rng.normal(0, between_items, 200)
        variance = rng.uniform(0.05, 1.5, 200) ** 2
        answer = shrink(truth + rng.normal(size=200) * np.sqrt(variance), variance, [("d", f"c{c}") for c in category])
        covered.append(np.abs(answer.mean - truth) < 1.645 * answer.deviation)
    # 2,000 items: three standard errors of a coverage of .90 are .02
    assert 0.87 < np.mean(covered) < 0.94


def test_an_item_alone_speaks_for_itself():
    answer = shrink(np.array([-2.0]), np.array([0.25]), [()])
    assert answer.own_share[0] == pytest.approx(1.0, abs=1e-6)
    assert answer.mean[0] == pytest.approx(-2.0, abs=1e-6)
    assert answer.deviation[0] == pytest.approx(0.5, rel=1e-6)


def test_another_category_hardly_moves_an_answer():
    rng = np.random.default_rng(4)
    # own estimates that say little, as most items' do: the deviation between items is what their intervals are made of
    error = np.concatenate([rng.uniform(0.6, 4.0, 450), rng.uniform(0.4, 3.0, 1_200)])
    truth = np.concatenate([rng.normal(-1.2, 0.3, 450), rng.normal(-0.7, 1.0, 1_200)])
    estimate, paths = truth + rng.normal(size=1_650) * error, [("yogurt",)] * 450 + [("soft drinks",)] * 1_200
    both = shrink(estimate, error**2, paths)
    for part, name in ((slice(0, 450), "yogurt"), (slice(450, None), "soft drinks")):
        alone = shrink(estimate[part], error[part] ** 2, paths[part])
        # what is left is the other's mean: a prior with a deviation of 1.2 or so beside .13 of the category's own
        np.testing.assert_allclose(both.mean[part], alone.mean, atol=0.02)
        np.testing.assert_allclose(both.deviation[part], alone.deviation, rtol=0.01)
        assert both.new_item((name,)) == pytest.approx(alone.new_item((name,)), abs=0.02)
    assert both.spreads["yogurt",] < 0.6 < 0.8 < both.spreads["soft drinks",]


def test_a_category_not_seen_is_as_unknown_as_one_other_leaves_it():
    answer = shrink(np.full(8, -2.0), np.full(8, 0.01), [("a",)] * 8)
    mean, deviation = answer.categories[()]
    assert mean == pytest.approx(-2.0, abs=1e-6)
    # both categories lie off the mean of all by a deviation tau, of which its prior says all: ln tau ~ N(ln .5, .7^2)
    usual = 0.25 * np.exp(2 * 0.7**2)
    assert deviation**2 - answer.categories["a",][1] ** 2 == pytest.approx(2 * usual, rel=0.02)


def test_a_category_without_data_has_the_others_answer():
    estimate = np.concatenate([np.full(20, -2.0), np.full(20, -1.0), np.full(10, np.nan)])
    answer = shrink(estimate, np.where(np.isnan(estimate), np.nan, 0.04), [("a",)] * 20 + [("b",)] * 20 + [("c",)] * 10)
    assert answer.mean[40:] == pytest.approx(-1.5, abs=0.01)
    assert (answer.deviation[40:] > 0.9).all()
    assert (answer.own_share[40:] == 0.0).all()


def test_small_categories_are_taken_together():
    rng = np.random.default_rng(5)
    # 80 categories of 5 items: none tells its own deviation, all together do
    truth = np.repeat(rng.normal(-2.0, 0.3, 80), 5) + rng.normal(0.0, 0.15, 400)
    answer = shrink(truth + rng.normal(0.0, 0.2, 400), np.full(400, 0.04), [(f"c{i // 5}",) for i in range(400)])
    assert list(answer.spreads) == [()]
    assert answer.between == pytest.approx(0.15, abs=0.05)
    # 400 items of 80 categories: three standard errors of a coverage of .90 are .045
    assert 0.855 < np.mean(np.abs(answer.mean - truth) < 1.645 * answer.deviation) < 0.945
