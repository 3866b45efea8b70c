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
