"""The censored likelihood: against closed forms and scipy's distributions, its gradients, and known truth."""

import numpy as np
import pytest
from scipy import stats

from regulars.pricing.censored_poisson import cluster_meat, fit_counts, log_likelihood
from regulars.sql.errors import ModelError


@pytest.mark.parametrize("size", [0.7, 5.0, 80.0])
def test_the_likelihood_is_scipys(size):
    units, mean = np.arange(0.0, 30.0), np.full(30, 7.5)
    out = units % 2 == 0
    p = size / (size + mean)
    expected = np.where(out, stats.nbinom.logsf(units - 1, size, p), stats.nbinom.logpmf(units, size, p))
    value, _, _ = log_likelihood(units, np.log(mean), out, size)
    np.testing.assert_allclose(value, expected, rtol=1e-9, atol=1e-12)


def test_a_large_size_is_poisson():
    units = np.arange(0.0, 20.0)
    out = units >= 10
    expected = np.where(out, stats.poisson.logsf(units - 1, 6.0), stats.poisson.logpmf(units, 6.0))
    value, _, _ = log_likelihood(units, np.full(20, np.log(6.0)), out, 1e6)
    # the two differ by mean squared over size
    np.testing.assert_allclose(value, expected, atol=1e-4)


@pytest.mark.parametrize("size", [0.5, 5.0, 1e4])
def test_gradients_equal_differences(size):
    rng = np.random.default_rng(1)
    units, predictor, out = rng.integers(0, 40, 200).astype(float), rng.normal(2, 1, 200), rng.random(200) < 0.5
    step = 1e-5
    _, slope, bend = log_likelihood(units, predictor, out, size)
    up, slope_up, _ = log_likelihood(units, predictor + step, out, size)
    down, slope_down, _ = log_likelihood(units, predictor - step, out, size)
    # central differences are good to step squared, and to rounding over step
    np.testing.assert_allclose((up - down) / (2 * step), slope, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(-(slope_up - slope_down) / (2 * step), bend, rtol=1e-5, atol=1e-6)
    assert (bend >= 0).all()


def test_a_row_far_below_what_was_sold_still_pulls_up():
    value, slope, bend = log_likelihood(np.array([500.0]), np.array([-8.0]), np.array([True]), 20.0)
    assert np.isfinite(value[0])
    assert slope[0] > 1.0
    assert np.isfinite(bend[0])


def test_levels_profiled_out_equal_dummies():
    rng = np.random.default_rng(2)
    group = np.repeat(np.arange(5), 60)
    x = rng.normal(size=(300, 2))
    units = rng.poisson(np.exp(1.0 + 0.3 * group + x @ [-1.0, 0.4]))
    fit = fit_counts(units, x, group, size=1e6)
    dummies = np.concatenate([x, np.eye(5)[group][:, 1:]], axis=1)
    plain = fit_counts(units, dummies, np.zeros(300, dtype=int), size=1e6)
    np.testing.assert_allclose(fit.slope, plain.slope[:2], rtol=1e-7)
    np.testing.assert_allclose(fit.covariance, plain.covariance[:2, :2], rtol=1e-6)
    np.testing.assert_allclose(fit.clustered(group), plain.clustered(group)[:2, :2], rtol=1e-5, atol=1e-12)


def test_poisson_equals_pyfixest():
    import pandas as pd

    from regulars.pricing.poisson import poisson

    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"item": rng.integers(0, 8, 600), "price": rng.uniform(1, 3, 600)})
    frame["units"] = rng.poisson(np.exp(2 + 0.1 * frame["item"] - 1.7 * np.log(frame["price"])))
    foreign = poisson(frame, effects=("item",))["log_price"][0]
    fit = fit_counts(frame["units"], np.log(frame[["price"]].to_numpy()), frame["item"].to_numpy(), size=1e6)
    assert fit.slope[0] == pytest.approx(foreign, abs=1e-5)


def test_stock_outs_are_undone_where_demand_is_overdispersed():
    rng = np.random.default_rng(4)
    log_price = np.log(rng.choice([1.0, 1.3, 1.6, 2.0], 6_000))
    demand = rng.poisson(np.exp(2.6 - 2.0 * log_price) * rng.gamma(6.0, 1 / 6.0, 6_000))
    units = np.minimum(demand, 7)
    group = np.zeros(6_000, dtype=int)
    fit = fit_counts(units, log_price[:, None], group, sold_out=units == 7)
    naive = fit_counts(units, log_price[:, None], group)
    assert (units == 7).mean() > 0.3
    assert abs(fit.slope[0] + 2.0) < 3 * np.sqrt(fit.covariance[0, 0])
    assert fit.size == pytest.approx(6.0, rel=0.25)
    assert naive.slope[0] > -1.3


def test_groups_that_say_nothing_take_no_part():
    group = np.array([0] * 20 + [1] * 20 + [2] * 20)
    x = np.tile(np.linspace(-1, 1, 20), 3)[:, None]
    units = np.concatenate([np.arange(20, 0, -1), np.zeros(20), np.full(20, 5)])
    out = group == 2
    fit = fit_counts(units, x, group, sold_out=out, size=50.0)
    alone = fit_counts(units[:20], x[:20], group[:20], size=50.0)
    assert fit.slope[0] == pytest.approx(alone.slope[0], rel=1e-8)
    assert np.isneginf(fit.level[1:]).all()
    with pytest.raises(ModelError, match="not cut off by stock"):
        fit_counts(units[40:], x[40:], np.zeros(20, dtype=int), sold_out=np.ones(20, dtype=bool))


def test_collinear_regressors_are_refused():
    x = np.linspace(-1, 1, 40)
    with pytest.raises(ModelError, match="collinear"):
        fit_counts(np.arange(40), np.stack([x, 2 * x], axis=1), np.zeros(40, dtype=int), size=10.0)


def test_two_way_clusters_of_one_row_are_one_way():
    scores = np.random.default_rng(5).normal(size=(30, 2))
    rows, by_three = np.arange(30), np.repeat(np.arange(10), 3)
    np.testing.assert_allclose(cluster_meat(scores, by_three, rows), cluster_meat(scores, by_three), atol=1e-10)


def test_a_size_for_each_row_is_the_likelihood_of_each_rows_own_size():
    rng = np.random.default_rng(3)
    units, predictor = rng.poisson(6.0, 60).astype(float), rng.normal(1.8, 0.4, 60)
    sold_out, size = rng.uniform(size=60) < 0.4, np.where(np.arange(60) < 30, 2.0, 40.0)
    together = log_likelihood(units, predictor, sold_out, size)
    for part, one in ((slice(0, 30), 2.0), (slice(30, 60), 40.0)):
        apart = log_likelihood(units[part], predictor[part], sold_out[part], one)
        for whole, alone in zip(together, apart, strict=True):
            np.testing.assert_array_equal(whole[part], alone)


def test_levels_alone_are_the_groups_means():
    units, group = np.array([1.0, 3.0, 5.0, 9.0]), np.array([0, 0, 1, 1])
    fit = fit_counts(units, np.empty((4, 0)), group, size=1e6)
    np.testing.assert_allclose(np.exp(fit.level), [2.0, 7.0], rtol=1e-6)  # Newton stops at steps of 1e-8 or so
    assert fit.slope.shape == (0,)
    assert fit.scores.shape == (4, 0)
