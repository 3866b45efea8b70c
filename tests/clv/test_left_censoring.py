"""Customers from before the data: densities against draws, nesting, known truth, and predictions."""

import numpy as np
import pytest
from scipy.special import gammaln

from regulars import clv
from regulars.clv import LeftCensoredModel, load_model
from regulars.clv.simulate import simulate_left_censored
from regulars.sql.errors import ContractError, ModelError

PLAIN = {"bg_nbd": clv.BetaGeoModel, "mbg_nbd": clv.ModifiedBetaGeoModel, "pareto_nbd": clv.ParetoNBDModel}
TRUTH = {
    "bg_nbd": {"r": 0.55, "alpha": 6.0, "a": 0.8, "b": 2.4},
    "mbg_nbd": {"r": 0.55, "alpha": 6.0, "a": 0.8, "b": 2.4},
    "pareto_nbd": {"r": 0.55, "alpha": 6.0, "s": 0.6, "beta": 12.0},
}
W, H = 78.0, 104.0
SUMMARY = ["frequency", "recency", "T"]


def _known(kind: str, **arguments) -> LeftCensoredModel:
    """A model of the true parameters."""
    model = LeftCensoredModel(kind, window=W, history=H, **arguments)
    model.params_, model.acquisition_, model.time_unit_ = TRUTH[kind], 1.0, "week"
    model.covariance_, model.n_customers_ = np.full((4, 4), np.nan), 0.0
    model.log_likelihood_, model.identified_, model.message_, model.converged_ = float("nan"), True, "", True
    return model


def _drawn(kind: str, k: int, y: float, tau: np.ndarray, size: int) -> tuple[float, float]:
    """Mean over customers of the density of what was seen, and of being seen, for those who came at -tau."""
    rng = np.random.default_rng(1)
    truth = TRUTH[kind]
    rate = rng.gamma(truth["r"], 1 / truth["alpha"], size)
    if kind == "pareto_nbd":
        death = rng.gamma(truth["s"], 1 / truth["beta"], size)
        there, both = np.exp(-death * tau), rate + death
        gone = death / both * (np.exp(-both * y) - np.exp(-both * W))
        silent = np.exp(-both * W) + death / both * -np.expm1(-both * W)
        return (there * rate**k * (np.exp(-both * W) + gone)).mean(), (there * (1 - silent)).mean()
    p = rng.beta(truth["a"], truth["b"], size)
    there = np.exp(-rate * p * tau) * ((1 - p) if kind == "mbg_nbd" else 1.0)
    stays, leaves = (1 - p) ** k * np.exp(-rate * W), p * (1 - p) ** (k - 1) * np.exp(-rate * y)
    return (there * rate**k * (stays + leaves)).mean(), (there * -np.expm1(-rate * W)).mean()


@pytest.mark.parametrize("kind", PLAIN)
@pytest.mark.parametrize(("k", "y"), [(1, 0.0), (1, 70.0), (4, 30.0), (4, 77.0), (9, 78.0)])
@pytest.mark.parametrize("tau", [20.0, np.nan])
def test_densities_are_means_over_rates_lives_and_entries(kind, k, y, tau):
    size = 250_000
    entries = np.random.default_rng(2).random(size) * H if np.isnan(tau) else np.full(size, tau)
    density, seen = _drawn(kind, k, y, entries, size)
    # k purchases in the window, the first at u: any first purchase will do, the density does not know it
    frame = {"frequency": [k - 1], "recency": [0.6 * y if k > 1 else 0.0], "T": [W - (0.4 * y if k > 1 else y)]}
    frame["tenure"] = [np.inf if np.isnan(tau) else W + tau]
    found = _known(kind).log_likelihood(frame)
    # a quarter million draws of densities with heavy tails
    assert np.exp(found) == pytest.approx(density / seen, rel=0.03)


@pytest.mark.parametrize("tau", [20.0, np.inf])
def test_where_nobody_leaves_pareto_nbd_is_nbd_of_those_who_bought_however_large_its_parameters(tau):
    """Where dropout is not identified s and beta grow without end; beta^s has no number then."""
    model, r, alpha = _known("pareto_nbd"), 0.43, 8.1
    model.params_ = {"r": r, "alpha": alpha, "s": 662.0, "beta": 2.6e10}
    k = np.array([1, 2, 7, 30])
    frame = {"frequency": k - 1, "recency": np.where(k > 1, 40.0, 0.0), "T": np.full(4, 60.0)}
    of_count = gammaln(r + k) - gammaln(r) + r * np.log(alpha) - (r + k) * np.log(alpha + W)
    seen = np.log(-np.expm1(r * np.log(alpha / (alpha + W))))
    found = model.log_likelihood(frame | {"tenure": np.full(4, W + tau)})
    assert found == pytest.approx((of_count - seen).sum(), rel=1e-5)  # a death rate of 2.5e-8 a week is left


@pytest.mark.parametrize("kind", PLAIN)
def test_where_all_have_come_in_the_window_it_is_the_plain_model(kind):
    seen = simulate_left_censored(kind, TRUTH[kind], 3000, W, H, seed=3)
    new = seen[~seen["is_old"]]
    plain = PLAIN[kind]().fit(new[SUMMARY])
    model = LeftCensoredModel(kind, window=W, history=H).fit(new)
    assert model.log_likelihood_ == pytest.approx(plain.log_likelihood_, abs=1e-5)
    assert _known(kind).log_likelihood(new) == pytest.approx(
        PLAIN[kind].from_parameters(**TRUTH[kind]).log_likelihood(new[SUMMARY]), rel=1e-10
    )
    assert model.expected_purchases(new, 26) == pytest.approx(model.population_.expected_purchases(new, 26))


def test_pareto_customers_of_known_tenure_are_new_ones_who_leave_more_rarely():
    # who came tau before has death rate Gamma(s, beta + tau) and buys from 0 on: Pareto/NBD, its first purchase no gift
    truth, tau = TRUTH["pareto_nbd"], 30.0
    plain = clv.ParetoNBDModel.from_parameters(**{**truth, "beta": truth["beta"] + tau})
    seen = {"frequency": [3], "recency": [40.0], "T": [60.0], "tenure": [W + tau]}
    from_start = {"frequency": [4], "recency": [W - 20.0], "T": [W]}
    model = _known("pareto_nbd")
    assert model.probability_alive(seen) == pytest.approx(plain.probability_alive(from_start), rel=1e-9)
    assert model.expected_purchases(seen, 26) == pytest.approx(plain.expected_purchases(from_start, 26), rel=1e-9)
    silent = np.log1p(-plain.pmf(0, W))
    expected = plain.log_likelihood(from_start) - silent
    assert model.log_likelihood(seen) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("kind", PLAIN)
def test_who_is_old_and_what_they_buy_is_told_by_the_true_parameters(kind):
    seen = simulate_left_censored(kind, TRUTH[kind], 5000, W, H, seed=5, holdout=26)
    model = _known(kind)
    before = model.probability_acquired_before(seen[SUMMARY])
    # calibrated by thirds of what it says
    for low, high in ((0.0, 0.33), (0.33, 0.66), (0.66, 1.01)):
        some = (before >= low) & (before < high)
        if some.sum() > 200:
            assert seen["is_old"][some].mean() == pytest.approx(before[some].mean(), abs=0.05)
    for columns in (SUMMARY, [*SUMMARY, "tenure"]):
        expected = model.expected_purchases(seen[columns], 26)
        # four standard errors of a total of some 3,000 orders of unlike customers
        assert expected.sum() == pytest.approx(seen["frequency_holdout"].sum(), rel=0.12)
        none = model.probability_no_purchase(seen[columns], 26)
        assert none.mean() == pytest.approx((seen["frequency_holdout"] == 0).mean(), abs=0.03)
        assert (model.probability_alive(seen[columns]) <= 1).all()


@pytest.mark.parametrize("kind", ["bg_nbd", "pareto_nbd"])
def test_the_truth_is_found_where_ignoring_the_entry_misses_it(kind):
    truth = np.array(list(TRUTH[kind].values()))
    seen = simulate_left_censored(kind, TRUTH[kind], 6000, W, H, seed=7)[SUMMARY]
    model, naive = LeftCensoredModel(kind, window=W, history=H).fit(seen), PLAIN[kind]().fit(seen)
    table = model.summary_
    assert ((table["lower"] < truth) & (truth < table["upper"])).all()
    plain = naive.summary_
    assert ((plain["upper"] < truth) | (truth < plain["lower"])).any()
    assert model.converged_
    assert model.identified_


def test_the_rate_of_acquisition_can_be_estimated():
    seen = simulate_left_censored("pareto_nbd", TRUTH["pareto_nbd"], 5000, W, H, seed=9, acquisition=0.5)[SUMMARY]
    model = LeftCensoredModel("pareto_nbd", window=W, history=H, acquisition=None).fit(seen)
    low, high = model.summary_.loc["acquisition", ["lower", "upper"]]
    assert low < 0.5 < high
    assert high < 1.0


def test_saved_and_loaded(tmp_path):
    seen = simulate_left_censored("bg_nbd", TRUTH["bg_nbd"], 1500, W, H, seed=11)[SUMMARY]
    model = LeftCensoredModel("bg_nbd", window=W, history=H).fit(seen)
    model.save(tmp_path / "model.json")
    loaded = load_model(tmp_path / "model.json")
    assert loaded.expected_purchases(seen, 26).tobytes() == model.expected_purchases(seen, 26).tobytes()
    assert "LeftCensoredModel('bg_nbd')" in repr(loaded)
    doubled = LeftCensoredModel("bg_nbd", window=W, history=H).fit(seen.assign(weight=2.0))
    assert doubled.params_ == pytest.approx(model.params_, rel=1e-3)


def test_bad_input():
    seen = simulate_left_censored("bg_nbd", TRUTH["bg_nbd"], 300, W, H, seed=13)[SUMMARY]
    with pytest.raises(ContractError, match="longer than the window"):
        LeftCensoredModel("bg_nbd", window=20, history=H).fit(seen)
    with pytest.raises(ModelError, match="tenure 500"):
        LeftCensoredModel("bg_nbd", window=W, history=H).fit(seen.assign(tenure=500.0))
    with pytest.raises(ModelError, match="no model 'nbd'"):
        LeftCensoredModel("nbd", window=W, history=H)
    with pytest.raises(ModelError, match="both must be above 0"):
        LeftCensoredModel("bg_nbd", window=W, history=0)
    with pytest.raises(ModelError, match="acquisition is -1"):
        LeftCensoredModel("bg_nbd", window=W, history=H, acquisition=-1)
    with pytest.raises(ModelError, match="acquisition is 'a'"):
        LeftCensoredModel("bg_nbd", window=W, history=H, acquisition="a")
    with pytest.raises(ModelError, match="not fitted"):
        LeftCensoredModel("bg_nbd", window=W, history=H).expected_purchases(seen, 26)
