"""Customers who buy so often that counts cannot be added up: tails in closed form, and the intervals made of them."""

from datetime import date
from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate, special, stats

from regulars import clv
from regulars.clv import customer_intervals, intervals
from regulars.clv.calibration import outcome_probabilities
from regulars.clv.count_tails import at_least, count_cells, count_quantiles, tail_leaving_at_any_time
from regulars.clv.interval_levels import order_distribution
from regulars.clv.simulate import simulate_nbd

HORIZON = 39.0
CUSTOMERS = {"frequency": [0, 3, 40, 400], "recency": [0.0, 20.0, 35.0, 36.9], "T": [30.0, 38.0, 36.0, 37.0]}
MODELS = {
    "nbd": clv.NBDModel.from_parameters(r=0.24, alpha=4.4),
    "bg_nbd": clv.BetaGeoModel.from_parameters(r=0.243, alpha=4.414, a=0.793, b=2.426),
    "mbg_nbd": clv.ModifiedBetaGeoModel.from_parameters(r=0.243, alpha=4.414, a=0.793, b=2.426),
    "pareto_nbd": clv.ParetoNBDModel.from_parameters(r=0.55, alpha=10.6, s=0.6, beta=11.6),
    "pareto_nbd that leave at once": clv.ParetoNBDModel.from_parameters(r=0.5, alpha=5.0, s=6.0, beta=2.0),
    "seasonal_bg_nbd": clv.SeasonalBetaGeoModel.from_parameters(
        clock=clv.FittedClock.flat(date(2017, 1, 1), date(2019, 12, 31)), r=0.243, alpha=4.414, a=0.793, b=2.426
    ),
}


def _dated(model, customers):
    if not model.name.startswith("seasonal"):
        return customers
    as_of = np.datetime64("2018-12-31")
    first = as_of - np.round(np.array(customers["T"]) * 7).astype("timedelta64[D]")
    last = first + np.round(np.array(customers["recency"]) * 7).astype("timedelta64[D]")
    whole = {"T": (as_of - first).astype(int) / 7, "recency": (last - first).astype(int) / 7}
    return customers | whole | {"first_order_on": first.astype(str), "last_order_on": last.astype(str)}


@pytest.mark.parametrize("name", MODELS)
def test_tails_are_what_is_left_of_the_sum(name):
    model = MODELS[name]
    customers = _dated(model, CUSTOMERS)
    counts = np.arange(1500)
    pmf = model.purchase_probabilities(customers, HORIZON, 1499)
    left = 1 - np.cumsum(pmf, axis=1) + pmf
    found = at_least(model, model.histories(customers), HORIZON, counts)
    # Pareto/NBD's own counts come from a rule that is good for seven digits
    assert found == pytest.approx(left, abs=2e-7 if name.startswith("pareto") else 1e-10)
    assert (found[:, 0] == 1).all()
    none = model.probability_no_purchase(customers, HORIZON)
    assert found[:, 1] == pytest.approx(1 - none, abs=1e-12)


@pytest.mark.parametrize("kind", ["nbd", "bg_nbd", "mbg_nbd", "pareto_nbd"])
def test_tails_of_models_with_covariates_are_too(kind):
    rng = np.random.default_rng(3)
    x = rng.poisson(3, 300)
    T = rng.uniform(20, 60, 300)
    base = {"frequency": x, "recency": np.where(x > 0, T * rng.random(300), 0.0), "T": T, "club": rng.random(300) < 0.4}
    model = clv.CovariateModel(kind, purchase=["club"]).fit(base)
    some = {name: column[:20] for name, column in base.items()}
    pmf = model.purchase_probabilities(some, HORIZON, 99)
    found = at_least(model, model.histories(some), HORIZON, np.arange(100))
    assert found == pytest.approx(1 - np.cumsum(pmf, axis=1) + pmf, abs=2e-7)


@pytest.mark.parametrize(
    ("R", "A", "s", "B", "horizon"),
    [
        (2000.55, 47.6, 0.6, 48.6, 39.0),
        (2000.05, 37.6, 30.0, 48.6, 39.0),  # nearly all leave before
        (0.5, 1e-4, 0.6, 48.0, 39.0),  # a rate that may be anything
        (1e5, 47.0, 0.6, 48.0, 3900.0),
    ],
)
def test_leaving_at_any_time_is_the_integral_over_the_life(R, A, s, B, horizon):
    """By the other way round: given a life of u the count is negative binomial, whatever the customer."""
    end = np.log1p(horizon / B)
    for share in (0.01, 0.6, 0.97, 1.02):
        m = max(1, int(share * R / A * horizon))

        def ends_at(v, m=m):
            u = B * np.expm1(v)
            return special.betainc(m, R, u / (A + u)) * s * np.exp(-s * v)

        # where the m-th purchase is due the integrand rises within a few standard deviations
        due = A * m / R * np.exp(np.linspace(-30, 30, 61) * np.sqrt(1 / m + 1 / R))
        edges = np.unique(np.concatenate([[0.0], np.clip(np.log1p(due / B), 0, end), [end]]))
        parts = [integrate.quad(ends_at, low, high, epsabs=1e-13)[0] for low, high in pairwise(edges)]
        wanted = sum(parts) + special.betainc(m, R, horizon / (A + horizon)) * np.exp(-s * end)
        found = tail_leaving_at_any_time(np.array([m]), np.array([R]), np.array([A]), s, np.array([B]), horizon)
        assert found[0, 0] == pytest.approx(wanted, abs=1e-9)


def test_intervals_of_an_outsized_customer_are_the_negative_binomials():
    """Exact where counting would stop: scipy's quantiles of the same distribution, to the last order."""
    model = MODELS["nbd"]
    for x, T in ((40_000, 37.0), (1_000_000, 37.0), (3, 1e-5)):
        customer = {"frequency": [x], "recency": [T], "T": [T]}
        found = customer_intervals(model, None, customer, HORIZON)
        R, A = 0.24 + x, 4.4 + T
        exact = stats.nbinom(R, A / (A + HORIZON))
        low = exact.ppf((1 - np.array(found.levels)) / 2)
        high = np.where(low > 0, exact.ppf((1 + np.array(found.levels)) / 2), exact.ppf(found.levels))
        assert found.orders_low[0].tolist() == low.tolist()
        assert found.orders_high[0].tolist() == high.tolist()


@pytest.mark.parametrize("name", ["bg_nbd", "pareto_nbd"])
def test_what_is_drawn_lies_in_outsized_intervals_as_often_as_they_say(name):
    """A hundred thousand orders are expected of her; drawn lives, rates and baskets say where they end up."""
    model = MODELS[name]
    spend = clv.GammaGammaModel.from_parameters(p=6.25, q=3.74, v=15.44)
    customer = {"frequency": [120_000], "recency": [37.0], "T": [37.0], "monetary_value": [30.0]}
    found = customer_intervals(model, spend, customer, HORIZON)
    rng, n = np.random.default_rng(5), 40_000
    p = model.params_
    rate = rng.gamma(p["r"] + 120_000, 1 / (p["alpha"] + 37.0), n)
    alive = rng.random(n) < model.probability_alive(customer)[0]
    if name == "pareto_nbd":
        life = rng.exponential(1 / rng.gamma(p["s"], 1 / (p["beta"] + 37.0), n))
        orders = rng.poisson(rate * np.minimum(life, HORIZON)) * alive
    else:
        survives = rng.geometric(np.maximum(rng.beta(p["a"], p["b"] + 120_000, n), 1e-300))
        orders = np.minimum(rng.poisson(rate * HORIZON), survives) * alive
    shape, scale = spend.posterior(customer)
    mean = scale[0] / rng.gamma(shape[0], size=n)  # of a spend's gamma, p times it is the mean basket
    money = rng.gamma(p_shape := 6.25 * np.maximum(orders, 1)) * mean * (orders > 0)
    assert p_shape.min() > 0
    for i, level in enumerate(found.levels):
        # the standard error of a share of 40,000 is a quarter of a percent
        held = (orders >= found.orders_low[0, i]) & (orders <= found.orders_high[0, i])
        assert held.mean() == pytest.approx(level, abs=0.01)
        held = (money >= found.money_low[0, i]) & (money <= found.money_high[0, i])
        assert held.mean() == pytest.approx(level, abs=0.01)


@pytest.mark.parametrize("name", ["nbd", "bg_nbd", "pareto_nbd"])
def test_both_ways_say_the_same_where_both_can_go(name, monkeypatch):
    """The stated error: none in orders, a thousandth in money. With and without dispersion, and the fit's errors."""
    truth = {"nbd": simulate_nbd, "bg_nbd": clv.simulate_bg_nbd, "pareto_nbd": clv.simulate_pareto_nbd}
    base = truth[name](MODELS[name].params_, 1_500, T=52, seed=2)
    base["monetary_value"] = 30.0
    model, spend = type(MODELS[name])().fit(base), clv.GammaGammaModel.from_parameters(p=6.25, q=3.74, v=15.44)
    some = base[base["frequency"] > 3].head(40).reset_index(drop=True)
    for calibration in (None, clv.DispersionCalibration(0.7, 0.8, 200.0)):
        counted = customer_intervals(model, spend, some, HORIZON, calibration=calibration)
        with monkeypatch.context() as patched:
            patched.setattr(intervals, "OUTSIZED", 4)
            closed = customer_intervals(model, spend, some, HORIZON, calibration=calibration)
        np.testing.assert_array_equal(closed.orders_low, counted.orders_low)
        np.testing.assert_array_equal(closed.orders_high, counted.orders_high)
        np.testing.assert_allclose(closed.money_low, counted.money_low, rtol=1e-3)
        np.testing.assert_allclose(closed.money_high, counted.money_high, rtol=1e-3)


def test_a_customer_s_interval_does_not_depend_on_who_else_is_asked_for():
    model, spend = MODELS["bg_nbd"], clv.GammaGammaModel.from_parameters(p=6.25, q=3.74, v=15.44)
    many = {"frequency": [2, 90_000, 5_000_000], "recency": [30.0, 37.0, 37.0], "T": [38.0, 37.0, 37.0]}
    many["monetary_value"] = [20.0, 30.0, 40.0]
    together = customer_intervals(model, spend, many, HORIZON)
    for i in range(3):
        alone = customer_intervals(model, spend, {name: column[i : i + 1] for name, column in many.items()}, HORIZON)
        for end in ("orders_low", "orders_high", "money_low", "money_high"):
            np.testing.assert_array_equal(getattr(alone, end)[0], getattr(together, end)[i])
    assert (np.diff(together.orders_high[:, 0]) > 0).all()


def test_no_more_counts_are_followed_than_stated(monkeypatch):
    model, seen = MODELS["nbd"], []
    counted = clv.NBDModel.purchase_probabilities

    def spy(self, summary, horizon, n_max):
        seen.append(n_max)
        return counted(self, summary, horizon, n_max)

    monkeypatch.setattr(clv.NBDModel, "purchase_probabilities", spy)
    customer_intervals(model, None, {"frequency": [9, 8_000, 300_000], "recency": [37.0] * 3, "T": [37.0] * 3}, HORIZON)
    assert 0 < max(seen) <= 1 << 14


def test_a_customer_long_gone_has_none_and_one_who_may_be_has_both():
    model = MODELS["bg_nbd"]
    found = customer_intervals(model, None, {"frequency": [10**6], "recency": [36.0], "T": [37.0]}, HORIZON)
    assert (found.orders_low == 0).all()
    assert (found.orders_high == 0).all()
    # expected orders are many although he most likely left: [0, 0] up to the level that this is likely
    gone = clv.ParetoNBDModel.from_parameters(r=0.5, alpha=1e-4, s=2.0, beta=3.0)
    rows = gone.histories({"frequency": [0], "recency": [0.0], "T": [1e-3]})
    tail = lambda counts: at_least(gone, rows, HORIZON, counts)[0]  # noqa: E731
    quantiles = count_quantiles(tail, np.array([0.1, 0.5, 0.99]), 1.0)
    assert (np.diff(quantiles) > 0).all()
    for q, n in zip((0.1, 0.5, 0.99), quantiles, strict=True):
        assert tail(np.array([n + 1]))[0] <= 1 - q + 1e-12
        assert n == 0 or tail(np.array([n]))[0] > 1 - q


def test_outsized_outcomes_are_judged_as_any():
    """Dispersion is learnt from what came, which may be as many: the negative binomial's own probabilities."""
    model = MODELS["nbd"]
    rows = model.histories({"frequency": [9, 300_000], "recency": [37.0] * 2, "T": [37.0] * 2})
    came = np.array([8, 283_000])
    exact = stats.nbinom(0.24 + rows.frequency, 41.4 / (41.4 + HORIZON))
    fewer, same = outcome_probabilities(order_distribution(model, rows, HORIZON), came)
    np.testing.assert_allclose(fewer, exact.cdf(came - 1), atol=1e-9)
    np.testing.assert_allclose(same, exact.pmf(came), atol=1e-9)


def test_cells_hold_the_whole_distribution():
    model = MODELS["pareto_nbd"]
    rows = model.histories({"frequency": [50_000], "recency": [37.0], "T": [37.0]})
    expected = model.expected_purchases(rows, HORIZON)[0]
    counts, probabilities = count_cells(lambda m: at_least(model, rows, HORIZON, m)[0], expected)
    assert counts[0] == 0
    assert (np.diff(counts) > 0).all()
    assert 1 - 1e-4 < probabilities.sum() <= 1
    assert counts @ probabilities == pytest.approx(expected, rel=1e-3)
    distribution = order_distribution(model, rows, HORIZON)
    assert distribution.tail(0)(np.array([1]))[0] == pytest.approx(1 - probabilities[0], abs=1e-12)
