"""The sum over a base and its interval: closed forms for NBD, and coverage on bases that were drawn."""

import numpy as np
import pytest
from scipy import stats

from regulars.clv.beta_geo import BetaGeoModel
from regulars.clv.drift import hold_predictions
from regulars.clv.gamma_gamma import GammaGammaModel
from regulars.clv.left_censoring import LeftCensoredModel
from regulars.clv.modified_beta_geo import ModifiedBetaGeoModel
from regulars.clv.nbd import NBDModel
from regulars.clv.pareto_nbd import ParetoNBDModel
from regulars.clv.portfolio import portfolio_terms, portfolio_value
from regulars.clv.segment_priors import SegmentPriorModel
from regulars.clv.simulate import (
    simulate_bg_nbd,
    simulate_gamma_gamma,
    simulate_mbg_nbd,
    simulate_nbd,
    simulate_pareto_nbd,
)
from regulars.clv.time_varying import TimeVaryingParetoNBDModel
from regulars.sql.contract import PORTFOLIO_TERMS
from regulars.sql.errors import ContractError, ModelError

SPEND = {"p": 6.25, "q": 3.74, "v": 15.44}
BASE = {
    "frequency": np.array([0, 2, 9, 0]),
    "recency": np.array([0.0, 30, 50, 0]),
    "T": np.array([52.0, 52, 52, 10]),
    "monetary_value": np.array([0.0, 20, 35, 0]),
}


def log_normal(mean, variance, level):
    sigma = np.sqrt(np.log1p(variance / mean**2))
    return stats.lognorm(sigma, scale=mean / np.exp(sigma**2 / 2)).interval(level)


def test_orders_of_nbd_have_the_negative_binomials_mean_and_variance():
    r, alpha, horizon = 0.4, 12.0, 39.0
    found = portfolio_value(NBDModel.from_parameters(r=r, alpha=alpha), None, BASE, horizon=horizon)
    # given x and T the rate is Gamma(r + x, alpha + T), so the count is negative binomial
    after = [
        stats.nbinom(r + x, (alpha + T) / (alpha + T + horizon))
        for x, T in zip(BASE["frequency"], BASE["T"], strict=True)
    ]
    mean, variance = sum(n.mean() for n in after), sum(n.var() for n in after)
    assert found.orders == pytest.approx(mean, rel=1e-12)
    assert (found.orders_low, found.orders_high) == pytest.approx(log_normal(mean, variance, 0.8), rel=1e-9)
    assert found.value == found.value_low == found.value_high == 0.0


def test_money_of_nbd_has_the_variance_of_a_random_sum():
    r, alpha, horizon = 0.4, 12.0, 39.0
    spend = GammaGammaModel.from_parameters(**SPEND)
    model = NBDModel.from_parameters(r=r, alpha=alpha)
    found = portfolio_value(model, spend, BASE, horizon=horizon, discount_rate=0.0, margin=0.3)
    rng = np.random.default_rng(7)
    draws = 400_000
    total = np.zeros(draws)
    for x, T, m in zip(BASE["frequency"], BASE["T"], BASE["monetary_value"], strict=True):
        orders = rng.poisson(rng.gamma(r + x, 1 / (alpha + T), draws) * horizon)
        nu = rng.gamma(SPEND["p"] * x + SPEND["q"], 1 / (SPEND["v"] + x * m), draws)
        total += 0.3 * np.where(orders > 0, rng.gamma(SPEND["p"] * np.maximum(orders, 1), 1 / nu), 0.0)
    # 400,000 draws of a sum whose standard deviation is near its mean: .2% of error in the mean, 1% in the spread
    assert found.value == pytest.approx(total.mean(), rel=0.01)
    assert (found.value_low, found.value_high) == pytest.approx(log_normal(found.value, total.var(), 0.8), rel=0.03)


CASES = {
    "nbd": (NBDModel, simulate_nbd, {"r": 0.6, "alpha": 10.0}),
    "bg_nbd": (BetaGeoModel, simulate_bg_nbd, {"r": 0.5, "alpha": 6.0, "a": 0.8, "b": 2.5}),
    "mbg_nbd": (ModifiedBetaGeoModel, simulate_mbg_nbd, {"r": 0.5, "alpha": 6.0, "a": 0.8, "b": 2.5}),
    "pareto_nbd": (ParetoNBDModel, simulate_pareto_nbd, {"r": 0.55, "alpha": 10.6, "s": 0.6, "beta": 11.7}),
}


@pytest.mark.parametrize("name", CASES)
def test_intervals_hold_what_then_came(name):
    kind, simulate, params = CASES[name]
    n, horizon, bases = 1200, 39.0, 60
    held_orders = held_money = 0
    for seed in range(bases):
        rng = np.random.default_rng(1000 + seed)
        summary = simulate(params, n, T=rng.integers(30, 79, n).astype(float), seed=seed, holdout=horizon)
        money = simulate_gamma_gamma(SPEND, summary["frequency"], seed=seed)
        summary["monetary_value"] = money["monetary_value"].to_numpy()
        after = summary["frequency_holdout"].to_numpy()
        rate = money["mean_spend"].to_numpy() / SPEND["p"]
        came = np.where(after > 0, rng.gamma(SPEND["p"] * np.maximum(after, 1), rate), 0.0).sum()
        model, spend = kind().fit(summary), GammaGammaModel().fit(summary)
        found = portfolio_value(model, spend, summary, horizon=horizon, discount_rate=0.0)
        held_orders += found.orders_low <= after.sum() <= found.orders_high
        held_money += found.value_low <= came <= found.value_high
    # The least count that 60 intervals which hold 80% fall below once in 1,000: 38. The variance is bounded from above,
    # so there is no upper bar, except that they must not be void.
    least = int(stats.binom(bases, 0.8).ppf(0.001))
    assert held_orders >= least
    assert held_money >= least
    assert found.orders_high < 1.5 * found.orders_low


@pytest.mark.parametrize("name", CASES)
def test_a_part_has_the_interval_that_the_delta_method_gives_it(name):
    kind, simulate, params = CASES[name]
    summary = simulate(params, 600, T=60.0, seed=11)
    summary["monetary_value"] = simulate_gamma_gamma(SPEND, summary["frequency"], seed=11)["monetary_value"].to_numpy()
    model, spend = kind().fit(summary), GammaGammaModel().fit(summary)
    terms = portfolio_terms(model, spend, summary, horizon=26, discount_rate=0.1, margin=0.4)
    chosen = (summary["frequency"] > 0).to_numpy()
    found = terms.total(chosen, level=0.8)
    part = summary[chosen]
    alone = portfolio_value(model, spend, part, horizon=26, discount_rate=0.1, margin=0.4)
    assert vars(found) == pytest.approx(vars(alone), rel=1e-9)

    # by the parameters themselves instead of their logarithms, and by the part's sum instead of each customer's
    def orders(values) -> float:
        moved = kind.from_parameters(**dict(zip(model.parameter_names, values, strict=True)))
        return float(np.sum(moved.expected_purchases(part, 26)))

    at = np.array([model.params_[parameter] for parameter in model.parameter_names])
    steps = np.diag(1e-4 * at)
    slope = np.array([(orders(at + step) - orders(at - step)) / (2 * step.max()) for step in steps])
    errors = slope @ np.asarray(model.covariance_) @ slope
    variance = terms.orders_variance[chosen].sum() + errors
    # the central differences' own error is of the order of 1e-4 squared, relative
    assert (found.orders_low, found.orders_high) == pytest.approx(log_normal(found.orders, variance, 0.8), rel=1e-5)


def test_the_table_of_terms_has_the_same_totals():
    summary = simulate_nbd({"r": 0.7, "alpha": 9.0}, 300, T=52.0, seed=5)
    summary["monetary_value"] = simulate_gamma_gamma(SPEND, summary["frequency"], seed=5)["monetary_value"].to_numpy()
    terms = portfolio_terms(NBDModel().fit(summary), GammaGammaModel().fit(summary), summary, horizon=26)
    table = terms.table([f"c{i}" for i in range(300)])
    assert tuple(table.column_names) == PORTFOLIO_TERMS.column_names
    for kind, mean in (("orders", terms.orders.sum()), ("value", terms.value.sum())):
        sums = {name: sum(table[name].to_pylist()) for name in table.column_names if name.startswith(kind)}
        variance = sums.pop(f"{kind}_variance") + sum(value**2 for value in sums.values())
        ends = getattr(terms.total(), f"{kind}_low"), getattr(terms.total(), f"{kind}_high")
        assert ends == pytest.approx(log_normal(mean, variance, 0.8), rel=1e-9)
    assert sum(any(table[f"value_loading_{i}"].to_pylist()) for i in range(1, 8)) == 5
    without = portfolio_terms(NBDModel().fit(summary), None, summary, horizon=26).table(table["customer_id"])
    assert set(without["value_variance"].to_pylist()) == set(without["value_loading_5"].to_pylist()) == {0.0}


def test_grouped_rows_give_what_single_rows_give():
    weights = np.array([3, 1, 2, 5])
    model = BetaGeoModel.from_parameters(r=0.5, alpha=6.0, a=0.8, b=2.5)
    spend = GammaGammaModel.from_parameters(**SPEND)
    grouped = portfolio_value(model, spend, BASE | {"weight": weights})
    single = portfolio_value(model, spend, {name: np.repeat(values, weights) for name, values in BASE.items()})
    assert vars(grouped) == pytest.approx(vars(single), rel=1e-9)


def test_a_wider_level_gives_a_wider_interval():
    model = ParetoNBDModel.from_parameters(**CASES["pareto_nbd"][2])
    narrow, wide = (portfolio_value(model, None, BASE, level=level) for level in (0.5, 0.95))
    assert wide.orders_low < narrow.orders_low < narrow.orders < narrow.orders_high < wide.orders_high
    with pytest.raises(ModelError, match="level is 80; it must be between 0 and 1"):
        portfolio_value(model, None, BASE, level=80)


def test_what_the_data_do_not_identify_counts_as_known():
    summary = simulate_nbd({"r": 0.7, "alpha": 9.0}, 2000, T=52.0, seed=3)
    model = BetaGeoModel().fit(summary)
    assert not model.identified_
    found = portfolio_value(model, None, summary, horizon=26)
    simpler = portfolio_value(NBDModel().fit(summary), None, summary, horizon=26)
    assert found.orders == pytest.approx(simpler.orders, rel=0.02)
    assert np.isfinite([found.orders_low, found.orders_high]).all()


@pytest.mark.parametrize(
    ("weight", "said"),
    [
        (np.ones(3), r"weight has shape \(3,\) for 4 rows"),
        (np.ones((4, 1)), r"weight has shape \(4, 1\) for 4 rows"),
        ([1.0, np.nan, 1.0, 1.0], "weight is nan in row 1; it must be finite and from 0"),
        ([1, 1, 1, -1], "weight is -1 in row 3"),
        (["a", "b", "c", "d"], "weight is not numeric"),
    ],
)
def test_a_weight_that_chooses_nothing_is_refused(weight, said):
    terms = portfolio_terms(NBDModel.from_parameters(r=0.4, alpha=12.0), None, BASE)
    with pytest.raises(ContractError, match=said):
        terms.total(weight)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (SegmentPriorModel("bg_nbd", ["country"]), "bg_nbd_segments"),
        (LeftCensoredModel("mbg_nbd", window=52.0, history=104.0), "mbg_nbd_left_censored"),
        (TimeVaryingParetoNBDModel(purchase=["december"]), "time_varying_pareto_nbd"),
    ],
)
def test_models_whose_totals_have_no_interval_are_refused_by_name(model, name):
    with pytest.raises(ModelError, match=f"the {name} model has no interval of totals"):
        portfolio_value(model, None, BASE)
    with pytest.raises(ModelError, match=f"the {name} model has no interval of totals"):
        hold_predictions(model, None, BASE, np.ones(4), np.ones(4), predicted_on="2024-01-01", until="2024-07-01")
