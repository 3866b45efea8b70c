"""Learners against causalml itself, against effects that are known, and on data that must not be learnt from."""

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from lightgbm import LGBMClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression

from regulars.sql.errors import ContractError, ModelError
from regulars.uplift.effects import Effects
from regulars.uplift.estimators import library
from regulars.uplift.experiment import Experiment
from regulars.uplift.learners import META_LEARNERS, fit_effects
from regulars.uplift.outcomes import base_learners
from regulars.uplift.preflight import PreflightError
from regulars.uplift.simulate import simulate

EXPERIMENT = Experiment(treatment="arm", outcome="outcome", control="control")
OBSERVED = Experiment(treatment="arm", outcome="outcome", control="control", kind="observational")


def bought(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(outcome=(frame["outcome"] > 1.0).astype(int))


# ---- the same numbers as causalml -----------------------------------------------------------------------------------


def by_causalml(learner, features, arm, outcome, bases, shares, new):
    """causalml called as its documentation says, from the same trees and seeds; shares among arm and control."""
    meta = library("causalml.inference.meta")
    outcome_and_effect = {
        "control_outcome_learner": bases.outcome,
        "treatment_outcome_learner": bases.outcome,
    }
    chances = {a: np.full(len(arm), share) for a, share in shares.items()}
    later = {a: np.full(len(new), share) for a, share in shares.items()}
    if learner in ("s", "t"):
        fitted = {"s": meta.BaseSRegressor, "t": meta.BaseTRegressor}[learner](learner=bases.outcome, control_name=0)
        return fitted.fit(X=features, treatment=arm, y=outcome).predict(X=new)
    if learner == "x":
        fitted = meta.BaseXRegressor(
            **outcome_and_effect,
            control_effect_learner=bases.effect,
            treatment_effect_learner=bases.effect,
            control_name=0,
        )
        return fitted.fit(X=features, treatment=arm, y=outcome, p=chances).predict(X=new, p=later)
    if learner == "dr":
        fitted = meta.BaseDRRegressor(**outcome_and_effect, treatment_effect_learner=bases.effect, control_name=0)
        return fitted.fit(X=features, treatment=arm, y=outcome, p=chances, seed=7).predict(X=new)
    columns = []
    for a in shares:
        rows = (arm == 0) | (arm == a)
        # BaseRRegressor has no argument that keeps it from starting a process per core
        fitted = meta.BaseRLearner(
            outcome_learner=bases.outcome, effect_learner=bases.effect, control_name=0, random_state=7, cv_n_jobs=1
        )
        fitted.fit(X=features[rows], treatment=arm[rows], y=outcome[rows], p={a: chances[a][rows]}, verbose=False)
        columns.append(fitted.predict(X=new)[:, 0])
    return np.column_stack(columns)


@pytest.mark.parametrize("learner", META_LEARNERS)
@pytest.mark.parametrize(("design", "kind"), [("linear", "binary"), ("several_arms", "number")])
def test_predicts_what_causalml_predicts(learner, design, kind):
    drawn, new = simulate(design, 1500, seed=1), simulate(design, 400, seed=2)
    frame = bought(drawn.frame()) if kind == "binary" else drawn.frame()
    effects = fit_effects(EXPERIMENT, frame, learner, seed=7, threads=1)
    counts = np.bincount(drawn.arm)
    shares = {a: counts[a] / (counts[0] + counts[a]) for a in range(1, len(counts))}
    rows = counts.min() // 3 if learner == "dr" else counts.min()
    bases = base_learners(kind, rows=int(rows), threads=1, seed=7)
    outcome = frame["outcome"].to_numpy(dtype=np.float64)
    theirs = by_causalml(learner, drawn.features, drawn.arm, outcome, bases, shares, new.features)
    # the trees are kept as text with all their digits; a few roundings of sums of size 1 are left
    np.testing.assert_allclose(effects.predict(new.frame()), theirs, rtol=0.0, atol=1e-12)


# ---- known effects --------------------------------------------------------------------------------------------------

# Mean squared error over 12 draws (causal forest: 4) of 6,000 and 12,000 customers; its standard deviation over
# draws is below a fifth (causal forest: two fifths) of it, so that twice it is well outside them. Always saying the
# mean effect has .082 and .059.
MEAN_SQUARED_ERROR = {
    "linear": {"s": 0.026, "t": 0.044, "x": 0.022, "r": 0.037, "dr": 0.034, "causal_forest": 0.020},
    "several_arms": {"s": 0.020, "t": 0.042, "x": 0.020, "r": 0.030, "dr": 0.030, "causal_forest": 0.014},
}
# Over the same draws the t-learner's are lowest: .787 on average, .728 at least; .755 and .713 with several arms.
LEAST_CORRELATION = {"linear": 0.7, "several_arms": 0.6}


@pytest.mark.parametrize(("design", "n"), [("linear", 6000), ("several_arms", 12_000)])
@pytest.mark.parametrize("learner", [*META_LEARNERS, "causal_forest"])
def test_recovers_effects_that_are_known(design, n, learner):
    new = simulate(design, 4000, seed=999)
    effects = fit_effects(EXPERIMENT, simulate(design, n, seed=100).frame(), learner, seed=1, threads=1)
    predicted = effects.predict(new.frame())
    error = float(np.mean((predicted - new.effects) ** 2))
    assert error < 2.0 * MEAN_SQUARED_ERROR[design][learner]
    # two effects of several_arms vary; the third is the same for all and has no correlation with anything
    for j in np.flatnonzero(new.effects.std(axis=0) > 0.01):
        assert np.corrcoef(predicted[:, j], new.effects[:, j])[0, 1] > LEAST_CORRELATION[design]
    # the mean effect of an arm has a standard error of at most sqrt(1.9 / (n / 5) + 1.9 / (2 n / 5)) = .034
    assert np.abs((predicted - new.effects).mean(axis=0)).max() < 4.0 * 0.034


@pytest.mark.parametrize("learner", [*META_LEARNERS, "causal_forest"])
def test_observational_fits_take_confounding_out(learner):
    drawn, new = simulate("confounded", 6000, seed=5), simulate("confounded", 4000, seed=6)
    naive = drawn.outcome[drawn.arm == 1].mean() - drawn.outcome[drawn.arm == 0].mean()
    truth = new.effects.mean()
    assert naive - truth > 0.2
    effects = fit_effects(OBSERVED, drawn.frame(), learner, threads=1)
    predicted = effects.predict(new.frame())
    # trees of 8 leaves leave some of it: at least two thirds have to be gone
    assert abs(predicted.mean() - truth) < (naive - truth) / 3.0
    assert np.corrcoef(predicted[:, 0], new.effects[:, 0])[0, 1] > 0.5


def test_uplift_forest_recovers_what_moves_a_probability(monkeypatch):
    monkeypatch.setattr("regulars.uplift.estimators.TREES_OF_A_FOREST", 20)
    drawn, new = simulate("linear", 6000, seed=3), simulate("linear", 4000, seed=4)
    effects = fit_effects(EXPERIMENT, bought(drawn.frame()), "uplift_forest", threads=1)
    predicted = effects.predict(new.frame())[:, 0]
    assert np.corrcoef(predicted, new.effects[:, 0])[0, 1] > 0.3
    control, treated = (bought(drawn.frame())["outcome"][drawn.arm == a].mean() for a in (0, 1))
    # standard error of a difference of two shares of 3,000: at most .013
    assert abs(predicted.mean() - (treated - control)) < 4 * 0.013


def test_known_probabilities_of_each_customer_are_used():
    drawn, new = simulate("confounded", 6000, seed=5), simulate("confounded", 4000, seed=6)
    exp = Experiment(treatment="arm", outcome="outcome", control="control", propensity="chance")
    frame = drawn.frame().assign(chance=drawn.propensity[:, 1])
    effects = fit_effects(exp, frame, threads=1)
    assert effects.encoder.columns == tuple(f"x{j}" for j in range(8))
    naive = drawn.outcome[drawn.arm == 1].mean() - drawn.outcome[drawn.arm == 0].mean()
    truth = new.effects.mean()
    assert abs(effects.predict(new.frame()).mean() - truth) < (naive - truth) / 3.0


def test_customers_without_counterparts_are_left_out_and_named():
    drawn = simulate("linear", 4000, seed=1)
    draw = np.random.default_rng(0).uniform(size=4000)

    def sent(steepness):
        chance = 1.0 / (1.0 + np.exp(-steepness * drawn.features[:, 0]))
        return drawn.frame().assign(arm=np.where(draw < chance, "arm_1", "control"))

    with pytest.raises(PreflightError, match="low_overlap"):
        fit_effects(OBSERVED, sent(6.0))
    effects = fit_effects(OBSERVED, sent(6.0), "t", threads=1, override=["low_overlap"])
    (finding,) = [finding for finding in effects.findings if finding.code == "low_overlap"]
    assert f"{4000 - effects.customers} of 4000" in finding.seen
    # Crump et al.'s rule keeps about those with chances between .1 and .9: |x0| < log(9) / 6, of whom there are 28.6%
    assert 0.15 < effects.customers / 4000 < 0.45


def test_no_overlap_at_all_is_refused_even_where_it_is_overridden():
    drawn = simulate("linear", 2000, seed=1)
    settled = drawn.frame().assign(arm=np.where(drawn.features[:, 0] > 0.0, "arm_1", "control"))
    with pytest.raises(PreflightError, match="low_overlap"):
        fit_effects(OBSERVED, settled)

    def certain(features, arm, n_arms, weights, new, seed):
        treated = np.where(new[:, 0] > 0.0, 1.0 - 1e-9, 0.5)
        return np.column_stack([1.0 - treated, treated])

    with pytest.raises(ModelError, match=r"0 customers of arm 'arm_1' have counterparts.*without overlap"):
        fit_effects(OBSERVED, settled, override=["low_overlap", "names_the_arm"], propensity_model=certain)


# ---- what is predicted ----------------------------------------------------------------------------------------------


def test_response_is_the_outcome_of_the_treated_and_nothing_else():
    drawn, new = simulate("linear", 6000, seed=1), simulate("linear", 4000, seed=2)
    effects = fit_effects(EXPERIMENT, drawn.frame(), "t", threads=1)
    response = effects.response(new.frame())
    assert np.corrcoef(response, new.expected[:, 1])[0, 1] > 0.9
    meddled = drawn.frame()
    control = meddled["arm"] == "control"
    meddled.loc[control, "outcome"] = meddled.loc[control, "outcome"].to_numpy()[::-1] + 5.0
    np.testing.assert_array_equal(fit_effects(EXPERIMENT, meddled, "t", threads=1).response(new.frame()), response)


def test_net_is_value_times_effect_minus_cost():
    frame = simulate("several_arms", 1500, seed=1).frame()
    cost = {"arm_1": 0.5, "arm_2": -0.25, "arm_3": 0.0}
    effects = fit_effects(EXPERIMENT, frame, "t", cost=cost, value=3.0, threads=1)
    np.testing.assert_array_equal(effects.net(frame), 3.0 * effects.predict(frame) - [0.5, -0.25, 0.0])
    dearer = effects.with_economics(cost=1.0)
    np.testing.assert_array_equal(dearer.net(frame), 3.0 * effects.predict(frame) - 1.0)
    assert dearer.model_version != effects.model_version


def test_any_kind_of_frame_gives_the_same_numbers():
    frame = simulate("linear", 1500, seed=1).frame().assign(city=["Delft", "Gent", "Trier"] * 500)
    kinds = [frame, pl.from_pandas(frame), pa.Table.from_pandas(frame), {n: frame[n] for n in frame}]
    found = [fit_effects(EXPERIMENT, kind, "t", threads=1) for kind in kinds]
    assert len({effects.model_version for effects in found}) == 1
    for kind in kinds:
        np.testing.assert_array_equal(found[0].predict(kind), found[1].predict(frame))


def test_text_and_missing_values_of_customers_to_come():
    frame = simulate("linear", 1500, seed=1).frame().assign(city=["Delft", "Gent", "Trier"] * 500)
    effects = fit_effects(EXPERIMENT, frame, "t", threads=1)
    unseen = frame.assign(city="Paris")
    assert effects.encoder.unseen_levels(unseen) == {"city": 1500}
    # none of the levels seen: as a customer whose three columns are 0
    zeros = effects.encoder.encode(frame)
    zeros[:, [effects.encoder.names.index(f"city = {city}") for city in ("Delft", "Gent", "Trier")]] = 0.0
    np.testing.assert_array_equal(effects.predict(unseen), effects.model.predict(zeros))
    gone = frame.assign(x0=np.nan)
    np.testing.assert_array_equal(effects.predict(gone), effects.predict(frame.assign(x0=frame["x0"].median())))
    with pytest.raises(ModelError, match="'x0' holds 1500 infinite"):
        effects.predict(frame.assign(x0=np.inf))
    with pytest.raises(ContractError, match="no column 'x3'"):
        effects.predict(frame.drop(columns="x3"))
    assert effects.predict(frame.iloc[:0]).shape == (0, 1)
    assert effects.response(frame.iloc[:0]).shape == (0,)


def test_the_same_bytes_at_any_number_of_threads(monkeypatch):
    # below these many rows one thread works whatever is asked for; here several have to
    monkeypatch.setattr("regulars.uplift.outcomes.FEW_ROWS", 0)
    monkeypatch.setattr("regulars.uplift.boosters.FEW_ROWS", 0)
    frame = simulate("several_arms", 1500, seed=1).frame()
    one, two, again = (fit_effects(EXPERIMENT, frame, "x", threads=threads) for threads in (1, 2, 2))
    assert one.model_version == two.model_version == again.model_version
    assert one.predict(frame).tobytes() == two.predict(frame).tobytes()


def test_another_seed_draws_other_folds():
    frame = simulate("linear", 1500, seed=1).frame()
    zero, same, one = (fit_effects(EXPERIMENT, frame, "dr", seed=seed, threads=1) for seed in (0, 0, 1))
    assert zero.model_version == same.model_version
    assert not np.array_equal(zero.predict(frame), one.predict(frame))


# ---- estimators of others -------------------------------------------------------------------------------------------


def of_causalml():
    meta, tree = library("causalml.inference.meta"), library("causalml.inference.tree")
    quick = {"n_estimators": 20, "verbosity": -1, "n_jobs": 1}
    yield "binary", meta.BaseTClassifier(learner=LGBMClassifier(**quick))
    yield "binary", tree.UpliftTreeClassifier(control_name="control", random_state=0)
    yield "binary", tree.UpliftRandomForestClassifier(control_name="control", n_estimators=10, random_state=0)
    yield "number", meta.BaseDRRegressor(learner=LinearRegression())
    yield "number", meta.BaseSRegressor(learner=LinearRegression(), control_name="control")
    yield "number", meta.BaseXRegressor(learner=LinearRegression(), control_name="control")
    yield "number", meta.BaseRRegressor(learner=LinearRegression(), random_state=0)


def of_econml():
    dml, metalearners = library("econml.dml"), library("econml.metalearners")
    models = {"model_y": LinearRegression(), "model_t": LogisticRegression(), "discrete_treatment": True}
    yield "number", dml.LinearDML(**models, random_state=0)
    yield "number", dml.CausalForestDML(**models, n_estimators=20, drate=False, n_jobs=1, random_state=0)
    yield "number", metalearners.TLearner(models=LinearRegression())


# by name: every worker collects this file, and one runs it and imports both libraries
ESTIMATORS = (
    "BaseTClassifier",
    "UpliftTreeClassifier",
    "UpliftRandomForestClassifier",
    "BaseDRRegressor",
    "BaseSRegressor",
    "BaseXRegressor",
    "BaseRRegressor",
    "LinearDML",
    "CausalForestDML",
    "TLearner",
)


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("design", ["linear", "several_arms"])
def test_an_estimator_that_is_not_fitted_is_fitted_on_the_experiment(name, design, tmp_path):
    cases = {type(case[1]).__name__: case for case in (*of_causalml(), *of_econml())}
    assert tuple(cases) == ESTIMATORS
    kind, estimator = cases[name]
    before = set(vars(estimator))
    frame = simulate(design, 1500, seed=1).frame()
    frame = bought(frame) if kind == "binary" else frame
    effects = fit_effects(EXPERIMENT, frame, estimator, threads=1)
    assert effects.learner == type(estimator).__name__
    assert set(vars(estimator)) == before  # a copy was fitted
    predicted = effects.predict(frame)
    assert predicted.shape == (1500, 3 if design == "several_arms" else 1)
    # control against each arm, not the other way round, and in the arms' order: near the difference of means
    outcome, arm = frame["outcome"].to_numpy(), frame["arm"].to_numpy()
    means = [outcome[arm == name].mean() for name in effects.arm_names]
    # R-learners shrink towards zero, trees towards each other: half a standard error of .08, four times
    assert np.abs(predicted.mean(axis=0) - (np.array(means[1:]) - means[0])).max() < 0.16
    effects.save(tmp_path)
    again = Effects.load(tmp_path)
    np.testing.assert_array_equal(again.predict(frame), predicted)
    assert again.model_version == effects.model_version


def test_a_fitted_estimator_is_used_as_it_is():
    dml, meta = library("econml.dml"), library("causalml.inference.meta")
    drawn, new = simulate("several_arms", 1500, seed=1), simulate("several_arms", 100, seed=2)
    data = EXPERIMENT.read(drawn.frame())
    linear = dml.LinearDML(
        model_y=LinearRegression(), model_t=LogisticRegression(), discrete_treatment=True, random_state=0
    )
    linear.fit(Y=data.outcome, T=data.arm, X=data.features)
    effects = fit_effects(EXPERIMENT, drawn.frame(), linear, threads=1)
    assert effects.model.estimator is linear
    np.testing.assert_array_equal(effects.predict(new.frame()), linear.const_marginal_effect(X=new.features))
    # arms by name, whose alphabetical order is not the experiment's
    renamed = np.array(["none", "c", "a", "b"])[drawn.arm]
    exp = Experiment(treatment="arm", outcome="outcome", control="none", arms=["c", "a", "b"])
    t_learner = meta.BaseTRegressor(learner=LinearRegression(), control_name="none")
    t_learner.fit(X=data.features, treatment=renamed, y=data.outcome)
    effects = fit_effects(exp, drawn.frame().assign(arm=renamed), t_learner, threads=1)
    assert t_learner.t_groups.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(effects.predict(new.frame()), t_learner.predict(X=new.features)[:, [2, 0, 1]])


def test_estimators_that_cannot_be_used_are_refused_with_the_reason():
    frame = simulate("several_arms", 1500, seed=1).frame()
    meta, dml = library("causalml.inference.meta"), library("econml.dml")
    with pytest.raises(ModelError, match="predicts no effect of a customer"):
        fit_effects(EXPERIMENT, frame, meta.TMLELearner(learner=LinearRegression()))
    with pytest.raises(ModelError, match="discrete_treatment=True"):
        fit_effects(EXPERIMENT, frame, dml.LinearDML(model_y=LinearRegression(), model_t=LinearRegression()))
    with pytest.raises(ModelError, match="control_name 'nothing'"):
        fit_effects(EXPERIMENT, frame, meta.BaseTRegressor(learner=LinearRegression(), control_name="nothing"))
    with pytest.raises(ModelError, match=r"sklearn.*LinearRegression; it must be one of"):
        fit_effects(EXPERIMENT, frame, LinearRegression())
    with pytest.raises(ModelError, match="did you mean 'causal_forest'"):
        fit_effects(EXPERIMENT, frame, "causal_forrest")
    with pytest.raises(ModelError, match="uplift forest learns 0/1 only"):
        fit_effects(EXPERIMENT, frame, "uplift_forest")
    data = EXPERIMENT.read(frame)
    narrow = meta.BaseTRegressor(learner=LinearRegression())
    narrow.fit(X=data.features[:, :3], treatment=data.arm, y=data.outcome)
    effects = fit_effects(EXPERIMENT, frame, narrow, threads=1)
    with pytest.raises(ModelError, match="cannot predict 8 features"):
        effects.predict(frame)


# ---- bad input ------------------------------------------------------------------------------------------------------


def test_what_cannot_be_learnt_from_is_refused_in_words():
    frame = simulate("linear", 1500, seed=1).frame()
    with pytest.raises(ModelError, match="customers"):
        fit_effects(EXPERIMENT, frame.iloc[:10])
    with pytest.raises(ModelError, match=r"arm '(control|arm_1)' has \d of 10 customers"):
        fit_effects(EXPERIMENT, frame.iloc[:10], override=["too_few_customers", "few_customers"])
    with pytest.raises(ModelError, match="is 0 for all 1500 customers"):
        fit_effects(EXPERIMENT, frame.assign(outcome=0.0))
    with pytest.raises(ModelError, match="there is nothing to learn"):
        fit_effects(EXPERIMENT, frame.assign(outcome=0.0), override=["constant_outcome"])
    with pytest.raises(ModelError, match="no feature varies"):
        fit_effects(EXPERIMENT, frame.assign(**{f"x{j}": 1.0 for j in range(8)}))
    with pytest.raises(ModelError, match=r"holds only 'control'|no customer"):
        fit_effects(EXPERIMENT, frame[frame["arm"] == "control"])
    with pytest.raises(ModelError, match="no control"):
        fit_effects(EXPERIMENT, frame[frame["arm"] == "arm_1"])
    with pytest.raises(ModelError, match="missing or infinite in 1 of 1500"):
        fit_effects(EXPERIMENT, frame.assign(outcome=frame["outcome"].where(frame.index > 0)))
    with pytest.raises(ModelError, match="infinite"):
        fit_effects(EXPERIMENT, frame.assign(x0=frame["x0"].where(frame.index > 0, np.inf)))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"seed": "a"}, "seed is 'a'; it is a whole number of 0 or more"),
        ({"seed": -1}, "seed is -1"),
        ({"threads": 0}, "threads is 0; it is a whole number of 1 or more"),
        ({"threads": -1}, "threads is -1"),
    ],
)
def test_seed_and_threads_are_whole_numbers(arguments, says):
    with pytest.raises(ModelError, match=says):
        fit_effects(EXPERIMENT, simulate("linear", 200, seed=1).frame(), "t", **arguments)


def test_the_last_day_of_the_data_is_what_windows_are_held_to():
    exp = replace(EXPERIMENT, sent_at="sent_at", outcome_until="until")
    frame = simulate("linear", 400, seed=1).frame().assign(sent_at=date(2026, 5, 1), until=date(2026, 5, 29))
    with pytest.raises(PreflightError, match="window_not_closed"):
        fit_effects(exp, frame, "t", as_of=date(2026, 5, 20))
    assert fit_effects(exp, frame, "t", as_of=date(2026, 5, 29)).customers == 400


def test_two_rows_of_a_customer_are_refused_but_for_a_declared_cluster():
    frame = simulate("linear", 1500, seed=1).frame().assign(customer_id=lambda f: f["customer_id"].str[:-1] + "0")
    frame["customer_id"] = [f"c{i // 2}" for i in range(1500)]
    frame["arm"] = np.repeat(frame["arm"].to_numpy()[::2], 2)
    with pytest.raises(PreflightError, match=r"750 .* in more than one row"):
        fit_effects(EXPERIMENT, frame)
    exp = Experiment(treatment="arm", outcome="outcome", control="control", cluster="customer_id")
    assert fit_effects(exp, frame, "t", threads=1).customers == 1500


def test_a_feature_that_never_varies_is_left_out_with_a_finding():
    frame = simulate("linear", 1500, seed=1).frame()
    effects = fit_effects(EXPERIMENT, frame.assign(country="BE", x3=2.0), "t", threads=1)
    (finding,) = [finding for finding in effects.findings if finding.code == "constant_features"]
    assert "x3, country" in finding.seen
    assert effects.encoder.columns == ("x0", "x1", "x2", "x4", "x5", "x6", "x7")
    fewer = frame.drop(columns="x3")
    np.testing.assert_array_equal(effects.predict(fewer), fit_effects(EXPERIMENT, fewer, "t", threads=1).predict(frame))


@pytest.mark.parametrize(
    ("cost", "message"),
    [
        ({"arm_1": 1.0}, r"cost lacks \['arm_2', 'arm_3'\]"),
        ({"arm_1": 1.0, "arm_2": 1.0, "arm_33": 1.0}, "'arm_33'; did you mean 'arm_3'"),
        (np.nan, "cost of 'arm_1' is nan"),
        ({"arm_1": 1.0, "arm_2": None, "arm_3": 1.0}, "cost of 'arm_2' is None"),
    ],
)
def test_costs_are_given_for_every_arm(cost, message):
    with pytest.raises(ModelError, match=message):
        fit_effects(EXPERIMENT, simulate("several_arms", 600, seed=1).frame(), cost=cost)


def test_value_is_a_finite_number():
    with pytest.raises(ModelError, match="value is inf"):
        fit_effects(EXPERIMENT, simulate("linear", 600, seed=1).frame(), value=np.inf)


def test_two_parts_are_for_outcomes_of_0_and_more():
    frame = simulate("linear", 1500, seed=1).frame()
    with pytest.raises(ModelError, match="two parts need outcomes of 0 and more"):
        fit_effects(EXPERIMENT, frame, two_part=True)
