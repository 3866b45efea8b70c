"""Survival models against published figures, scikit-survival and closed forms."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import regulars
from regulars.clv import ChurnModel, churn_frame, survival_scores
from regulars.clv.survival import KaplanMeier, forest_bytes, partial_log_likelihood, time_bins
from regulars.clv.survival_metrics import d_calibration, survival_at
from regulars.sql.errors import ContractError, MissingExtraError, ModelError


@pytest.fixture(scope="module")
def telco():
    """Month-to-month customers with internet: references/churn.md, 3,351 rows, 1,556 churned."""
    path = Path(regulars.__file__).parent.parent / "shared" / "data" / "telco" / "telco_customer_churn.csv"
    if not path.exists():
        pytest.skip("../shared/data is absent: Telco is not shipped with the project")
    rows = pd.read_csv(path)
    rows = rows[(rows["Contract"] == "Month-to-month") & (rows["InternetService"] != "No")]
    covariates = {
        "Dependents": rows["Dependents"] == "Yes",
        "DSL": rows["InternetService"] == "DSL",
        "OnlineBackup": rows["OnlineBackup"] == "Yes",
        "TechSupport": rows["TechSupport"] == "Yes",
    }
    return churn_frame(rows["tenure"], rows["Churn"] == "Yes", covariates, rows["customerID"])


def test_telco_has_the_published_figures(telco):
    assert (len(telco), int(telco.events.sum())) == (3351, 1556)
    floor = ChurnModel("kaplan_meier").fit(telco)
    assert (floor.median_time_to_next(telco, elapsed=0) == 34).all()
    cox = ChurnModel("cox").fit(telco)
    published = {"Dependents": -0.3287, "DSL": -0.2173, "OnlineBackup": -0.7766, "TechSupport": -0.6392}
    assert {name: round(value, 4) for name, value in cox.coefficients_.items()} == published
    from sksurv.metrics import concordance_index_censored

    risk = -cox.survival(telco, [34.0])[:, 0]
    assert round(concordance_index_censored(telco.events, telco.durations, risk)[0], 4) == 0.6409


def test_gbsg2_has_the_published_figures_and_our_scores_are_the_librarys():
    # in-sample Cox, Breslow ties, tgrade 0/1/2: references/churn.md
    from sksurv import metrics
    from sksurv.datasets import load_gbsg2

    X, y = load_gbsg2()
    X = X.assign(
        tgrade=X["tgrade"].map({"I": 0.0, "II": 1.0, "III": 2.0}).astype(float),
        horTh=(X["horTh"].astype(str) == "yes").astype(float),
        menostat=(X["menostat"].astype(str) == "Post").astype(float),
    )
    data = churn_frame(y["time"], y["cens"], X)
    cox = ChurnModel("cox", ties="breslow").fit(data)
    risk = -cox.survival(data, [1825.0])[:, 0]
    assert round(metrics.concordance_index_censored(y["cens"], y["time"], risk)[0], 6) == 0.687981
    times = np.arange(365.0, 1826, 30)
    curves = cox.survival(data, times)
    scores = survival_scores(data.durations, data.events, curves, times)
    assert round(scores.integrated_brier, 6) == 0.181122
    assert round(scores.mean_auc, 6) == 0.744719
    until = survival_scores(data.durations, data.events, cox.survival(data, [365.0, 1825.0]), np.array([365.0, 1825.0]))
    assert round(until.uno_c, 6) == 0.676594
    assert scores.integrated_brier == pytest.approx(metrics.integrated_brier_score(y, y, curves, times), abs=1e-12)
    at_last = metrics.concordance_index_ipcw(y, y, 1 - curves[:, -1], tau=times[-1])[0]
    assert scores.uno_c == pytest.approx(at_last, abs=1e-12)
    assert scores.mean_auc == pytest.approx(metrics.cumulative_dynamic_auc(y, y, 1 - curves, times)[1], abs=1e-12)
    assert scores.d_calibration > 0.05


def test_kaplan_meier_is_the_librarys():
    from sksurv.nonparametric import kaplan_meier_estimator

    rng = np.random.default_rng(4)
    durations, events = rng.integers(1, 30, 300).astype(float), rng.random(300) < 0.6
    model = KaplanMeier()
    model.fit(np.empty((300, 0)), durations, events, np.arange(300))
    times, survival = kaplan_meier_estimator(events, durations)
    assert model.grid == pytest.approx(times)
    assert np.exp(-model.cumulative(np.empty((1, 0))))[0] == pytest.approx(survival, abs=1e-12)


@pytest.mark.parametrize("model", ["cox", "coxnet", "gradient_boosting", "random_survival_forest", "hazard"])
def test_every_model_finds_who_leaves_and_when(model):
    # geometric lifetimes of two kinds of contract, observed for 36 months at most: S(t) = (1 - p)^t
    rng = np.random.default_rng(5)
    yearly = rng.random(2_500) < 0.5
    lasted = rng.geometric(np.where(yearly, 0.02, 0.10)).astype(float)
    observed = rng.integers(6, 37, len(lasted)).astype(float)
    covariates = {"contract": np.where(yearly, "year", "month"), "noise": rng.normal(size=len(lasted))}
    data = churn_frame(np.minimum(lasted, observed), lasted <= observed, covariates)
    # boosted Cox takes a step of its likelihood for each tree, quadratic in the rows
    fitted = ChurnModel(model, max_rows=1_500 if model == "gradient_boosting" else None).fit(data)
    two = churn_frame([1, 1], [0, 0], {"contract": ["year", "month"], "noise": [0.0, 0.0]})
    times = np.arange(1.0, 31)
    survival = fitted.survival(two, times)
    assert (np.diff(survival, axis=1) <= 0).all()
    truth = np.array([0.98, 0.90])[:, None] ** times
    # S of a kind, by Kaplan-Meier, has a standard error of .02 where it is widest; trees also follow the noise, where a
    # leaf of a forest, of 50, has one of .07
    assert np.abs(survival - truth).max() < 0.15
    assert np.abs(survival - truth).mean() < 0.05
    # given that they have stayed 10, the next 12 are as ever: geometric time forgets
    stayed = fitted.conditional_survival(two, [12.0], elapsed=10.0)[:, 0]
    assert np.abs(stayed - truth[:, 11]).max() < 0.15
    assert stayed == pytest.approx(fitted.survival(two, [22.0])[:, 0] / fitted.survival(two, [10.0])[:, 0], rel=1e-9)


def test_efron_and_breslow_are_the_same_without_ties():
    rng = np.random.default_rng(6)
    x = rng.normal(size=200)
    data = churn_frame(rng.exponential(np.exp(-x)), np.ones(200), {"x": x})
    efron, breslow = (ChurnModel("cox", ties=ties).fit(data).coefficients_["x"] for ties in ("efron", "breslow"))
    assert efron == pytest.approx(breslow, rel=1e-9)


def test_the_elastic_net_drops_what_says_nothing():
    rng = np.random.default_rng(8)
    x = rng.normal(size=(800, 6))
    columns = {f"x{j}": x[:, j] for j in range(6)}
    data = churn_frame(rng.exponential(np.exp(-x[:, 0])), np.ones(800), columns)
    net, cox = (ChurnModel(model).fit(data).coefficients_ for model in ("coxnet", "cox"))
    assert 0.5 < net["x0"] < cox["x0"]
    assert sum(abs(net[f"x{j}"]) for j in range(1, 6)) < sum(abs(cox[f"x{j}"]) for j in range(1, 6))


def test_partial_likelihood_is_the_products_of_cox():
    # four rows, no ties: risk sets {all}, {b, c, d}, {c, d}; a closed form
    risk = np.log([1.0, 2.0, 3.0, 4.0])
    found = partial_log_likelihood(risk, np.array([1.0, 2, 3, 4]), np.array([True, True, True, False]))
    assert found == pytest.approx(np.log(1 / 10 * 2 / 9 * 3 / 7), abs=1e-12)


def test_a_forest_that_would_not_fit_is_refused_with_a_figure():
    rng = np.random.default_rng(9)
    data = churn_frame(rng.exponential(30, 3_000), np.ones(3_000), {"x": rng.normal(size=3_000)})
    # 3,000 rows, leaves of 50, every time its own bin: 119 nodes x 3,000 times x 16 bytes x 100 trees
    assert forest_bytes(60, 3_000, 100) / 1e9 == pytest.approx(0.5712)
    with pytest.raises(ModelError, match=r"needs about 0\.6 GB and 0\.3 GB are there; give fewer bins"):
        ChurnModel("random_survival_forest", bins=None, memory_limit=0.3e9).fit(data)
    assert ChurnModel("random_survival_forest", n_estimators=5, memory_limit=0.3e9).fit(data).last_time_ > 100


def test_a_forest_keeps_no_more_than_was_reckoned():
    rng = np.random.default_rng(10)
    x = rng.normal(size=400)
    data = churn_frame(np.ceil(rng.exponential(10 * np.exp(x))), np.ones(400), {"x": x})
    forest = ChurnModel("random_survival_forest", n_estimators=4, bins=20).fit(data)._fitted.estimator
    kept = sum(tree.tree_.value.nbytes for tree in forest.estimators_)
    assert 0 < kept <= forest_bytes(400 // 50, 20, 4)


@pytest.mark.parametrize("most", [4, 12, 40])
def test_bins_of_time_cover_all_and_are_no_more_than_asked_for(most):
    rng = np.random.default_rng(most)
    durations = np.ceil(rng.exponential(20, 500))
    edges = time_bins(durations, rng.random(500) < 0.8, most)
    assert len(edges) <= most
    assert edges[-1] == durations.max()
    assert (np.diff(edges) > 0).all()
    assert set(edges) <= set(durations)


def test_d_calibration_passes_right_curves_and_fails_wrong_ones():
    rng = np.random.default_rng(11)
    rate = rng.gamma(3, 0.02, 5_000)
    lasted, until = rng.exponential(1 / rate), rng.uniform(5, 60, 5_000)
    durations, events = np.minimum(lasted, until), lasted <= until
    assert d_calibration(np.exp(-rate * durations), events)[0] > 0.01
    assert d_calibration(np.exp(-rate.mean() * durations), events)[0] < 1e-6
    # whole days: S steps, and only the share between its steps is uniform
    days = np.ceil(lasted / 5)
    at_end, before = np.exp(-rate * 5 * days), np.exp(-rate * 5 * (days - 1))
    every = np.ones(5_000, dtype=bool)
    assert d_calibration(at_end, every, survival_before=before)[0] > 0.01
    assert d_calibration(at_end, every)[0] < 1e-6


def test_a_curve_is_read_between_its_times_with_a_constant_hazard():
    times = np.array([2.0, 4.0])
    curve = np.exp(-0.3 * times)[None, :].repeat(3, axis=0)
    assert survival_at(curve, times, np.array([0.0, 1.0, 3.0])) == pytest.approx(np.exp(-0.3 * np.array([0, 1, 3])))


@pytest.mark.parametrize("model", ["kaplan_meier", "cox", "hazard"])
def test_no_events_is_an_error_and_all_events_is_none(model):
    covariates = {"x": np.arange(50.0)}
    with pytest.raises(ModelError, match="none of 50 intervals ended"):
        ChurnModel(model).fit(churn_frame(np.arange(1.0, 51), np.zeros(50), covariates))
    rng = np.random.default_rng(12)
    data = churn_frame(rng.integers(1, 9, 50), np.ones(50), covariates)
    survival = ChurnModel(model).fit(data).survival(data, [1.0, 8.0, 9.0])
    assert np.isfinite(survival[:, :2]).all()
    # beyond the last time seen nothing is known
    assert np.isnan(survival[:, 2]).all()


def test_constant_and_collinear_covariates_are_left_out_and_named():
    rng = np.random.default_rng(13)
    x, z = rng.normal(size=(2, 300))
    columns = {"x": x, "one": np.ones(300), "twice": 2 * x + 1, "z": z, "sum": x - z}
    data = churn_frame(rng.exponential(np.exp(-x)), np.ones(300), columns)
    fitted = ChurnModel("cox").fit(data)
    assert fitted.feature_names_ == ("x", "z")
    assert fitted.message_ == (
        "feature 'one' is the same in every row and was left out; feature 'twice' follows from those before it and was "
        "left out; feature 'sum' follows from those before it and was left out"
    )
    plain = ChurnModel("cox", features=["x", "z"]).fit(data)
    assert fitted.coefficients_ == plain.coefficients_
    with pytest.raises(ModelError, match="Cox has no feature that varies"):
        ChurnModel("cox", features=["one"]).fit(data)


def test_a_covariate_missing_for_some_is_named_and_taken_by_the_hazard():
    columns = {"age": np.where(np.arange(60) % 20 == 7, np.nan, np.arange(60)), "city": ["a", "b", None] * 20}
    data = churn_frame(np.arange(1.0, 61), np.ones(60), columns, [f"c{i:02}" for i in range(60)])
    with pytest.raises(ModelError, match=r"'age' is missing or infinite for 3 of 60 rows, customer c07 the first"):
        ChurnModel("cox", features=["age"]).fit(data)
    with pytest.raises(ModelError, match=r"'city' is missing .* for 20 of 60 rows"):
        ChurnModel("cox", features=["city"]).fit(data)
    fitted = ChurnModel("hazard", rounds=5, min_data_in_leaf=5).fit(data)
    assert np.isfinite(fitted.survival(data, [30.0])).all()


def test_text_is_read_by_the_levels_of_the_fit():
    rng = np.random.default_rng(14)
    level = rng.choice(["a", "b", "c"], 400)
    data = churn_frame(rng.exponential(1 + (level == "b")), np.ones(400), {"level": level})
    fitted = ChurnModel("cox").fit(data)
    assert len(fitted.coefficients_) == 2
    known = churn_frame([1.0], [0], {"level": ["never seen"]})
    assert np.isfinite(fitted.survival(known, [1.0])).all()
    with pytest.raises(ContractError, match="feature 'level' was text at the fit and is numbers now"):
        fitted.survival(churn_frame([1.0], [0], {"level": [3.0]}), [1.0])
    with pytest.raises(ContractError, match="no feature 'level'"):
        fitted.survival(churn_frame([1.0], [0], {"levels": ["a"]}), [1.0])


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (([-1.0], [1]), ModelError, "durations has -1.0"),
        ((["soon"], [1]), ModelError, "durations has 'soon'"),
        (([1.0], [2]), ModelError, "events has 2.0"),
        (([1.0], ["Yes"]), ModelError, "events has 'Yes'"),
        (([1.0, 2.0], [1]), ContractError, "events has 1 rows and durations 2"),
        (([1.0], [1], {"x": [1, 2]}), ContractError, "x has 2 rows"),
        (([1.0], [1], {"x": pd.to_datetime(["2025-01-01"])}), ContractError, "'x' holds dates"),
    ],
)
def test_bad_contracts_are_named(arguments, error, said):
    with pytest.raises(error, match=said):
        churn_frame(*arguments)


def test_an_event_at_no_time_is_refused():
    with pytest.raises(ModelError, match="an event at duration 0"):
        ChurnModel("kaplan_meier").fit(churn_frame([0.0, 1.0], [1, 1]))


@pytest.mark.parametrize("model", ["cox", "coxnet", "gradient_boosting", "random_survival_forest"])
def test_without_a_feature_that_varies_there_is_nothing_to_learn(model):
    for covariates in ({"one": [1] * 40}, None):
        with pytest.raises(ModelError, match="no feature that varies; add one, or take model='kaplan_meier'"):
            ChurnModel(model).fit(churn_frame(np.arange(1, 41), [1] * 40, covariates))


@pytest.mark.parametrize("model", ["cox", "coxnet", "gradient_boosting", "random_survival_forest", "hazard"])
def test_numbers_beyond_reading_and_options_beyond_knowing_are_refused(model):
    x = np.linspace(-1, 1, 40)
    with pytest.raises(ModelError, match=r"feature 'x' is 1e\+300 for customer 3"):
        ChurnModel(model).fit(churn_frame(np.arange(1, 41), [1] * 40, {"x": np.where(np.arange(40) == 3, 1e300, x)}))
    with pytest.raises(ModelError, match="no option 'learning_rte'"):
        ChurnModel(model, learning_rte=0.1).fit(churn_frame(np.arange(1, 41), [1] * 40, {"x": x}))


def test_options_of_no_sense_are_the_models_errors():
    data = churn_frame(np.arange(1, 41), [1] * 40, {"x": np.linspace(-1, 1, 40)})
    with pytest.raises(ModelError, match="kaplan_meier has no option 'bins'"):
        ChurnModel("kaplan_meier", bins=3).fit(data)
    with pytest.raises(ModelError, match=r"GradientBoostingSurvivalAnalysis cannot be fitted to 40 rows: .*max_depth"):
        ChurnModel("gradient_boosting", max_depth=-3).fit(data)
    with pytest.raises(ModelError, match="bins is 0; it must be a whole number from 1"):
        ChurnModel("hazard", bins=0).fit(data)
    with pytest.raises(ModelError, match=r"features is 'tenure'; give a list"):
        ChurnModel("hazard", features="tenure")


def test_one_row_is_learnt_from():
    fitted = ChurnModel("hazard").fit(churn_frame([3.0], [1], {"x": [1.0]}))
    assert np.isfinite(fitted.survival(churn_frame([1.0], [0], {"x": [1.0]}), [1.0])).all()


@pytest.mark.parametrize(
    ("changed", "error", "said"),
    [
        ({"durations": [1.0, np.nan, 3.0]}, ModelError, "durations has nan"),
        ({"events": [True, False]}, ContractError, r"durations has shape \(3,\) and events \(2,\)"),
        ({"events": [0, 2, 1]}, ModelError, "events has 2"),
        ({"survival": [[1.5, 0.2]] * 3}, ModelError, "survival has 1.5; each must be a probability"),
        ({"survival": [[np.nan, 0.2]] * 3}, ModelError, "survival has nan"),
        ({"survival": [["a", 0.2]] * 3}, ContractError, "survival is no array of numbers"),
        ({"times": [2.0, 1.0]}, ModelError, r"times are \[2.0, 1.0\]; they must ascend"),
        ({"times": [-1.0, 1.0]}, ModelError, "must ascend from above 0"),
        ({"times": []}, ContractError, "give one of each at least"),
    ],
)
def test_curves_are_checked_before_they_are_scored(changed, error, said):
    given = {"durations": [1.0, 2.0, 3.0], "events": [1, 1, 0], "survival": [[0.5, 0.2]] * 3, "times": [1.0, 2.0]}
    with pytest.raises(error, match=said):
        survival_scores(**(given | changed))


def test_scores_of_lists_and_series_are_those_of_arrays():
    given = {"durations": [1.0, 2.0, 3.0, 4.0], "events": [1, 1, 1, 0], "survival": [[0.5, 0.2], [0.7, 0.3]] * 2}
    arrays = {name: np.asarray(value) for name, value in given.items()}
    series = given | {
        "durations": pd.Series(given["durations"], index=[5, 6, 7, 8]),
        "survival": pd.DataFrame(given["survival"]),
    }
    expected = survival_scores(**(arrays | {"events": arrays["events"].astype(bool)}), times=np.array([1.5, 2.5]))
    for some in (given, series):
        assert repr(survival_scores(**some, times=[1.5, 2.5])) == repr(expected)


def test_an_unknown_model_is_named():
    with pytest.raises(ModelError, match="did you mean 'hazard'"):
        ChurnModel("hazrd")
    with pytest.raises(ModelError, match="is not fitted"):
        ChurnModel().survival(churn_frame([1.0], [0]), [1.0])


@pytest.mark.parametrize(("model", "module"), [("cox", "sksurv.linear_model"), ("hazard", "lightgbm")])
def test_a_missing_extra_is_named(model, module, monkeypatch):
    data = churn_frame(np.arange(1.0, 51), np.ones(50), {"x": np.arange(50.0)})
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'regulars\[churn\]'"):
        ChurnModel(model).fit(data)
    assert ChurnModel("kaplan_meier").fit(data).last_time_ == 50


def test_cox_breaks_down_without_a_ridge_and_says_that_it_took_one():
    # a few that all end before the others: Newton's first step from zero has no way back
    rng = np.random.default_rng(15)
    rare = np.zeros(400)
    rare[:4] = 1
    lasted = np.where(rare == 1, 0.001 * (1 + np.arange(400)), rng.exponential(1.0, 400))
    fitted = ChurnModel("cox").fit(churn_frame(lasted, np.ones(400), {"x": rng.normal(size=400), "rare": rare}))
    assert fitted.message_ == "the climb broke down without a ridge; fitted with alpha=1"
    assert 2 < fitted.coefficients_["rare"] < 10
