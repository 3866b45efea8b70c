"""Sample ratio, balance and CUPED against scipy and statsmodels."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from regulars.sql.errors import ModelError
from regulars.uplift.balance import arm_scores, chi_square, covariate_balance, cuped, sample_ratio_test
from regulars.uplift.experiment import Experiment
from regulars.uplift.simulate import simulate

EXP = Experiment(treatment="arm", outcome="outcome", control="control")

# ---- sample ratio ---------------------------------------------------------------------------------------------------


def test_two_arms_are_scipy_s_exact_binomial_test():
    found = sample_ratio_test({"a": 4910, "b": 5200}, {"a": 0.5, "b": 0.5})
    assert found.p_value == pytest.approx(stats.binomtest(4910, 10_110, 0.5).pvalue, rel=1e-12)


def test_three_arms_are_scipy_s_chi_square():
    found = sample_ratio_test({"a": 510, "b": 190, "c": 300}, {"a": 5, "b": 2, "c": 3})
    expected = stats.chisquare([510, 190, 300], [500, 200, 300])
    assert found.statistic == pytest.approx(expected.statistic, rel=1e-12)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-12)
    assert found.finding is None


def test_a_ratio_known_from_the_field_is_found():
    # Kohavi, Tang & Xu 2020, Trustworthy Online Controlled Experiments, chapter 3: 821,588 against 815,482 users
    # at 50/50 has p = 1.8e-6
    found = sample_ratio_test({"control": 821_588, "treatment": 815_482}, {"control": 0.5, "treatment": 0.5})
    assert found.p_value == pytest.approx(1.8e-6, rel=0.03)  # printed with two digits
    assert found.finding is not None
    assert found.finding.blocking


def test_the_test_of_few_customers_holds_its_level():
    rng = np.random.default_rng(0)
    shares = {"a": 0.9, "b": 0.05, "c": 0.05}
    p = [
        sample_ratio_test(dict(zip("abc", draw.tolist(), strict=True)), shares).p_value
        for draw in rng.multinomial(40, list(shares.values()), 500)
    ]
    # exact and conservative: its true level is below .03
    assert np.mean(np.array(p) < 0.05) <= 0.05


@pytest.mark.parametrize("shares", [{"a": 1.0}, {"a": 1.0, "b": 0.0}, {"a": 0.5, "c": 0.5}])
def test_arms_without_a_share_are_an_error(shares):
    with pytest.raises(ModelError):
        sample_ratio_test({"a": 5, "b": 5}, shares)


def test_nobody_counted_is_an_error():
    with pytest.raises(ModelError, match="at least one unit"):
        sample_ratio_test({"a": 0, "b": 0}, {"a": 0.5, "b": 0.5})


# ---- balance --------------------------------------------------------------------------------------------------------


def test_with_two_arms_the_joint_statistic_is_n_r2_of_statsmodels():
    data = EXP.read(simulate("linear", 3000, seed=1).frame())
    fitted = sm.OLS(data.arm.astype(float), sm.add_constant(data.features)).fit()
    found = covariate_balance(data)
    assert found.statistic == pytest.approx(3000 * fitted.rsquared, rel=1e-9)
    assert found.freedom == 8
    assert found.joint_p_value == pytest.approx(stats.chi2.sf(3000 * fitted.rsquared, 8), rel=1e-9)


def test_with_several_arms_the_joint_statistic_is_n_times_pillai_s_trace():
    data = EXP.read(simulate("several_arms", 2000, seed=2).frame())
    x = data.features - data.features.mean(axis=0)
    g = np.eye(4)[data.arm] - np.eye(4)[data.arm].mean(axis=0)
    cross = x.T @ g[:, 1:]
    trace = np.trace(np.linalg.solve(x.T @ x, cross) @ np.linalg.solve(g[:, 1:].T @ g[:, 1:], cross.T))
    found = covariate_balance(data)
    assert found.statistic == pytest.approx(2000 * trace, rel=1e-9)
    assert found.freedom == 24


def test_one_categorical_feature_is_scipy_s_contingency_table():
    rng = np.random.default_rng(4)
    frame = pd.DataFrame(
        {
            "arm": rng.choice(["control", "mail", "voucher"], 900),
            "city": rng.choice(["A", "B", "C", "D"], 900),
            "outcome": rng.normal(size=900),
        }
    )
    expected = stats.chi2_contingency(pd.crosstab(frame["arm"], frame["city"]), correction=False)
    found = covariate_balance(EXP.read(frame))
    assert found.freedom == expected.dof
    assert found.statistic == pytest.approx(expected.statistic, rel=1e-9)


def test_standardised_differences_are_means_over_the_root_mean_variance():
    frame = simulate("linear", 500, seed=3).frame()
    table = covariate_balance(EXP.read(frame)).table()
    of = {arm: frame.loc[frame["arm"] == arm, "x3"] for arm in ("control", "arm_1")}
    expected = (of["arm_1"].mean() - of["control"].mean()) / np.sqrt((of["arm_1"].var() + of["control"].var()) / 2)
    row = table[table["feature"] == "x3"].iloc[0]
    assert row["standardised_difference"] == pytest.approx(expected, rel=1e-12)
    assert list(table["feature"]) == [f"x{j}" for j in range(8)]


def test_the_joint_test_holds_its_level_with_clusters_and_with_unequal_probabilities():
    # a binomial with p = .05 over 600 draws lies within .05 +- 3 standard errors = (.023, .077)
    rng = np.random.default_rng(5)
    cluster = np.repeat(np.arange(80), 10)
    rejected = np.zeros(2)
    for _ in range(600):
        shared = rng.normal(size=(80, 1))[cluster] + rng.normal(size=(800, 3))
        p = np.array([0.3, 0.6])[(np.arange(80) % 2)]
        arm = (rng.random(80) < p).astype(int)
        of_cluster = np.column_stack([1 - p, p])[cluster]
        rejected[0] += chi_square(*arm_scores(shared, arm[cluster], of_cluster, cluster))[2] < 0.05
        p = 1 / (1 + np.exp(-shared[:, 0]))
        arm = (rng.random(800) < p).astype(int)
        rejected[1] += chi_square(*arm_scores(shared, arm, np.column_stack([1 - p, p])))[2] < 0.05
    assert ((rejected / 600 > 0.023) & (rejected / 600 < 0.077)).all(), rejected / 600


# ---- CUPED ----------------------------------------------------------------------------------------------------------


def _drawn(seed=0, n=2000):
    rng = np.random.default_rng(seed)
    x = rng.normal([1.0, -2.0], 1.0, size=(n, 2))
    arm = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    y = 1 + x @ [1.0, 0.5] + 0.2 * (arm == 1) + (0.3 + 0.5 * (x[:, 0] - 1)) * (arm == 2) + rng.normal(size=n)
    return y, x, arm


def test_the_effects_are_those_of_statsmodels_interacted_regression():
    y, x, arm = _drawn()
    n = len(y)
    centred = x - x.mean(axis=0)
    arms = np.column_stack([arm == 1, arm == 2]).astype(float)
    design = np.column_stack([np.ones(n), arms, centred, *(arms[:, [a]] * centred for a in range(2))])
    fitted = sm.OLS(y, design).fit(cov_type="HC1")
    influence = fitted.model.pinv_wexog * fitted.resid
    for a, effect in enumerate(cuped(y, x, arm)):
        assert effect.adjusted.value == pytest.approx(fitted.params[1 + a], rel=1e-9)
        # Lin's variance holds for these customers; the covariates' mean is added, for customers like these
        slope = fitted.params[5 + 2 * a : 7 + 2 * a]
        assert (influence[1 + a] ** 2).sum() * n / (n - 9) == pytest.approx(fitted.bse[1 + a] ** 2, rel=1e-9)
        variance = ((influence[1 + a] + centred @ slope / n) ** 2).sum() * n / (n - 9)
        assert effect.adjusted.standard_error**2 == pytest.approx(variance, rel=1e-9)


def test_without_adjustment_it_is_the_difference_in_means_with_hc1_errors():
    y, x, arm = _drawn(1)
    fitted = sm.OLS(y, sm.add_constant(np.column_stack([arm == 1, arm == 2]).astype(float))).fit(cov_type="HC1")
    for a, effect in enumerate(cuped(y, x, arm)):
        assert effect.unadjusted.value == pytest.approx(fitted.params[1 + a], rel=1e-9)
        assert effect.unadjusted.standard_error == pytest.approx(fitted.bse[1 + a], rel=1e-9)


def test_clusters_give_statsmodels_cluster_robust_errors():
    y, x, arm = _drawn(2)
    cluster = np.arange(len(y)) // 10
    arm = np.array([0, 1])[(cluster % 2)]
    fitted = sm.OLS(y, sm.add_constant(arm.astype(float))).fit(cov_type="cluster", cov_kwds={"groups": cluster})
    (effect,) = cuped(y, x, arm, cluster=cluster)
    # statsmodels: G / (G - 1) (n - 1) / (n - p); ours without the last -1
    n = len(y)
    assert effect.unadjusted.standard_error**2 == pytest.approx(fitted.bse[1] ** 2 * n / (n - 1), rel=1e-9)
    assert effect.unadjusted.units == 200


def test_the_variance_falls_by_what_the_covariate_explains():
    # Deng et al. 2013, eq. 4: 1 - rho^2 is left; rho^2 = .8 here
    rng = np.random.default_rng(6)
    before, arm = rng.normal(size=200_000), rng.integers(0, 2, 200_000)
    (effect,) = cuped(2 * before + rng.normal(size=200_000), before, arm)
    assert effect.variance_reduction == pytest.approx(0.8, abs=0.01)  # its own noise is about .002


def test_the_intervals_cover():
    # 500 draws at .95: within 3 standard errors of a binomial share, .921 to .979
    held = 0
    for seed in range(500):
        y, x, arm = _drawn(seed, n=400)
        effect = cuped(y, x, arm)[1]
        held += effect.adjusted.lower <= 0.3 <= effect.adjusted.upper
    assert 0.921 <= held / 500 <= 0.979


@pytest.mark.parametrize(
    ("y", "x", "arm", "told"),
    [
        (np.zeros(3), np.zeros(4), np.array([0, 1, 0]), "shapes"),
        (np.zeros(4), np.array([0, np.nan, 1, 2]), np.array([0, 1, 0, 1]), "NaN"),
        (np.zeros(4), np.zeros(4), np.array([0, 0, 0, 0]), "more customers than covariates"),
        (np.array([0, np.inf, 1, 2]), np.zeros(4), np.array([0, 1, 0, 1]), "infinite"),
    ],
)
def test_what_cannot_be_adjusted_is_an_error(y, x, arm, told):
    with pytest.raises(ModelError, match=told):
        cuped(y, x, arm)
