"""Evaluation: its figures are those of the parts it joins, its verdicts true where the truth is known, Hillstrom's."""

import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import regulars
from regulars import uplift
from regulars.sql.contract import CAMPAIGN_EFFECTS
from regulars.sql.errors import ModelError
from regulars.sql.frames import contract_table
from regulars.uplift.scores import contrast
from regulars.uplift.simulate import simulate

EXPERIMENT = uplift.Experiment("arm", "outcome", "control")
SHARES = uplift.Experiment("arm", "outcome", "control", propensity=0.5)
FRAMES = ["arms", "rates", "toc", "gain", "policies", "comparisons", "calibration", "off_policy", "sensitivity"]


def codes(report) -> list[str]:
    return [finding.code for finding in report.findings]


def true_effects(drawn, **given) -> uplift.PredictedEffects:
    """Predictions that know the truth, and a response model that knows the expected outcome of the treated."""
    return uplift.PredictedEffects(
        given.pop("experiment", EXPERIMENT), drawn.effects, plain_response=drawn.expected[:, 1], learner="true", **given
    )


@pytest.fixture(scope="module")
def linear():
    drawn = simulate("linear", 6000, seed=3)
    return drawn, uplift.evaluate(true_effects(drawn, value=2.0, cost=0.5), drawn.frame(), draws=200)


@pytest.fixture(scope="module")
def several():
    drawn = simulate("several_arms", 6000, seed=4)
    costs = {"arm_1": 0.1, "arm_2": 0.3, "arm_3": -0.1}
    costs = {name: costs[name] for name in drawn.arm_names[1:]}
    rules = {"by name": np.array(drawn.arm_names)[drawn.effects.argmax(axis=1) + 1], "by number": drawn.arm}
    other = {"first feature": drawn.features[:, 0]}
    return drawn, uplift.evaluate(
        true_effects(drawn, cost=costs), drawn.frame(), policies=rules, other=other, placebo=False, draws=200
    )


# ---- the figures are those of the parts -----------------------------------------------------------------------------


def test_the_figures_are_those_of_the_parts(linear):
    drawn, report = linear
    scores = uplift.doubly_robust_scores(
        drawn.features, drawn.arm, drawn.outcome, propensity=drawn.arm.mean(), seed=0
    ).scores
    economics = {"value": 2.0, "cost": 0.5}
    ranking = uplift.rank_by(drawn.effects, **economics)
    table = uplift.compare_rankings(scores, {"true": ranking}, draws=200, **economics)
    rates = report.rates.set_index(["ranking", "target"])
    assert rates.loc[("true", "QINI"), "value"] == pytest.approx(table.qini["true"].value, rel=1e-12)
    assert rates.loc[("true", "AUTOC"), "lower"] == pytest.approx(table.autoc["true"].lower, rel=1e-12)
    gain = report.gain.set_index(["ranking", "fraction", "unit"])
    for fraction in (0.2, 1.0):
        rule = uplift.treat_top(ranking, fraction, 2)
        for unit, money in (("outcome", {}), ("margin", {"value": 2.0}), ("value", economics)):
            expected = uplift.gain_per_1000(scores, rule, **money)
            row = gain.loc[("true", fraction, unit)]
            assert row["gain_per_1000"] == pytest.approx(expected.value, rel=1e-12)
            assert row["lower"] == pytest.approx(expected.lower, rel=1e-12)
    effect = report.arms.set_index("arm").loc["arm_1"]
    assert effect["effect"] == pytest.approx(contrast(scores).mean(), rel=1e-12)
    assert effect["mean_outcome"] == drawn.outcome[drawn.arm == 1].mean()
    paired = report.compare("treat all with arm_1", "true where it pays")["value"]
    everyone, pays = np.ones(6000, dtype=int), (2.0 * drawn.effects[:, 0] > 0.5).astype(int)
    expected = uplift.compare_policies(scores, everyone, pays, **economics)
    assert (paired.value, paired.standard_error) == pytest.approx((expected.value, expected.standard_error), rel=1e-12)


def test_true_effects_are_ranked_by_and_calibrated(linear):
    drawn, report = linear
    assert (report.verdict.decision, report.verdict.ranking) == ("rank", "true")
    slope = report.calibrations["arm_1"].slope
    assert slope.lower < 1.0 < slope.upper
    actual = report.scored.average_effect(1)
    assert actual.lower < drawn.effects.mean() < actual.upper
    assert report.placebo.rejected <= 0.25  # 20 runs at 5%: more than 5 happen once in 3,000 times
    assert "Rank by true" in str(report)
    assert "treat all with arm_1" in str(report)


def test_the_baselines_always_stand_beside(linear, several):
    for _, report in (linear, several):
        policies = set(report.policies["policy"])
        assert {"treat none", *(f"treat all with {arm}" for arm in report.scored.arm_names[1:])} <= policies
        for start in ("true, top", "response, top", "random, top", "true where it pays"):
            assert any(name.startswith(start) for name in policies), start
        assert {"true", "response", "random"} <= set(report.rates["ranking"])
        assert {"true", "response", "random"} <= set(report.gain["ranking"])
        none = report.policies[report.policies["policy"] == "treat none"]
        assert (none[["gain_per_1000", "lower", "upper"]] == 0.0).all().all()


def test_several_arms_have_a_price_each(several):
    drawn, report = several
    everyone = report.policies.set_index(["policy", "unit"])
    for a, arm in enumerate(drawn.arm_names[1:]):
        one = everyone.loc[f"treat all with {arm}"]
        cost = report.scored.cost[a]
        assert one.loc["value", "gain_per_1000"] == pytest.approx(one.loc["outcome", "gain_per_1000"] - 1000.0 * cost)
        assert one.loc["value", "cost_per_1000"] == pytest.approx(1000.0 * cost)
    assert report.compare("by name", "treat all with arm_1")["outcome"].above_zero
    assert set(report.verdict.table.names) == {"true", "response", "first feature"}


def test_rules_are_valued_from_the_log_alike_by_three_estimators(several):
    _, report = several
    by_name = report.off_policy[report.off_policy["policy"] == "by name"].set_index("method")
    assert set(by_name.index) == {"dr", "snipw", "ipw"}
    spread = by_name["value"].max() - by_name["value"].min()
    assert spread < 2.0 * by_name["standard_error"].max()
    assert by_name.loc["dr", "standard_error"] <= by_name.loc["ipw", "standard_error"]


def test_each_customers_own_value_and_cost(linear):
    drawn, _ = linear
    frame, worth = drawn.frame(), np.linspace(0.0, 2.0, 6000)
    price = np.linspace(0.0, 1.0, 6000)[:, None]
    report = uplift.evaluate(true_effects(drawn), frame, value=worth, cost=price, placebo=False, draws=50)
    scores = report.scored.scores
    gains = report.gain_of("treat all with arm_1")
    assert gains["value"].value == pytest.approx(1000 * (worth * contrast(scores) - price[:, 0]).mean())
    assert gains["margin"].value == pytest.approx(1000 * (worth * contrast(scores)).mean())
    assert "by customer" in str(report)


# ---- verdicts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cost", "decision", "rule"), [(-1.0, "treat all", 1.0), (1.0, "treat none", 0.0)])
def test_where_no_order_exists_everyone_or_nobody_is_treated(cost, decision, rule):
    drawn = simulate("null", 4000, seed=5)
    effects = uplift.PredictedEffects(EXPERIMENT, drawn.features[:, 0], cost=cost)
    report = uplift.evaluate(effects, drawn.frame(), placebo=False, draws=200)
    assert report.verdict.decision == decision
    assert report.verdict_rule[:, 1].tolist() == [rule] * 4000
    (row,) = report.campaign_effects("spring", 28)
    assert row["gain_per_1000"] == pytest.approx(report.gain_of("treat all with arm_1")["value"].value * rule)


def test_where_nothing_is_known_nothing_is_gained():
    drawn = simulate("null", 2000, seed=6)
    report = uplift.evaluate(
        uplift.PredictedEffects(EXPERIMENT, drawn.features[:, 0]), drawn.frame(), placebo=False, draws=200
    )
    assert report.verdict.decision == "not enough data"
    assert report.verdict_rule is None
    (row,) = report.campaign_effects("spring", 28)
    assert (row["gain_per_1000"], row["decision"], row["ranking"]) == (None, "not enough data", "")


def test_a_better_response_model_is_named():
    drawn = simulate("linear", 6000, seed=7)
    worse = uplift.PredictedEffects(EXPERIMENT, drawn.features[:, 7], plain_response=drawn.effects[:, 0])
    report = uplift.evaluate(worse, drawn.frame(), placebo=False, draws=200)
    assert (report.verdict.ranking, report.verdict.best) == ("response", "response")
    assert report.sentence.startswith("Rank by response")


# ---- an observational campaign --------------------------------------------------------------------------------------


def test_confounding_is_taken_out_and_its_strength_bounded():
    drawn = simulate("confounded", 12_000, seed=8)
    watched = uplift.Experiment("arm", "outcome", "control", kind="observational")
    report = uplift.evaluate(true_effects(drawn, experiment=watched), drawn.frame(), draws=100)
    kept = report.scored.kept
    raw = drawn.outcome[drawn.arm == 1].mean() - drawn.outcome[drawn.arm == 0].mean()
    truth, found = drawn.effects[kept, 0].mean(), report.scored.average_effect(1)
    assert abs(found.value - truth) < 4.0 * found.standard_error
    assert abs(raw - drawn.effects.mean()) > abs(found.value - truth)
    assert report.sensitivity["strength"].tolist()[0] == 1.0
    assert report.campaign_effects("watched", 28)[0]["overlap"] == pytest.approx(kept.mean())
    assert report.placebo is not None


def test_too_little_overlap_is_refused_by_name_and_can_be_overridden():
    rng = np.random.default_rng(0)
    x = rng.normal(size=3000) * 4
    arm = np.where(rng.random(3000) < 1 / (1 + np.exp(-4 * x)), "mail", "control")
    frame = pd.DataFrame({"arm": arm, "x": x, "outcome": x + rng.normal(size=3000)})
    watched = uplift.Experiment("arm", "outcome", "control", kind="observational")
    effects = uplift.PredictedEffects(watched, x)
    with pytest.raises(ModelError, match=r"low_overlap \(blocking\).*override=\['low_overlap'\]"):
        uplift.evaluate(effects, frame, placebo=False)
    report = uplift.evaluate(effects, frame, placebo=False, override=["low_overlap"], draws=50)
    assert report.findings[0].code == "low_overlap"
    assert report.scored.kept.mean() < 0.5
    assert "the rest are left out" in str(report)


# ---- what comes out -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.from_pandas, pa.Table.from_pandas])
def test_frames_follow_the_holdouts_kind(kind):
    drawn = simulate("linear", 500, seed=9)
    holdout = kind(drawn.frame())
    report = uplift.evaluate(true_effects(drawn), holdout, placebo=False, draws=50)
    for name in FRAMES:
        assert type(getattr(report, name)) is type(holdout), name


def test_the_report_is_json_and_rows_of_the_snapshot(several):
    drawn, report = several
    text = json.dumps(report.to_dict(), allow_nan=False)
    back = json.loads(text)
    assert back["decision"] == report.verdict.decision
    assert {*FRAMES, "tests", "findings", "placebo"} <= set(back)
    rows = report.campaign_effects("spring", 28)
    table = contract_table(
        CAMPAIGN_EFFECTS, {column.name: [row[column.name] for row in rows] for column in CAMPAIGN_EFFECTS.columns}
    )
    assert table.num_rows == len(drawn.arm_names) - 1
    assert set(rows[0]) == {column.name for column in CAMPAIGN_EFFECTS.columns}


def test_the_same_seed_gives_the_same_report_at_any_number_of_threads():
    drawn = simulate("linear", 1000, seed=10)
    texts = {
        json.dumps(uplift.evaluate(true_effects(drawn), drawn.frame(), draws=50, threads=threads).to_dict())
        for threads in (1, 2)
    }
    assert len(texts) == 1


def test_clusters_widen_the_intervals():
    drawn = simulate("linear", 1000, seed=11)
    frame = drawn.frame()
    twice = pd.concat([frame, frame], ignore_index=True)
    twice_drawn = uplift.PredictedEffects(
        uplift.Experiment("arm", "outcome", "control", cluster="customer_id", propensity=0.5),
        np.tile(drawn.effects, (2, 1)),
    )
    clustered = uplift.evaluate(twice_drawn, twice, placebo=False, draws=50)
    assert clustered.verdict.table.units == 1000
    with pytest.raises(ModelError, match=r"1000 customers have several rows in the holdout, e\.g\. 'c0'"):
        uplift.evaluate(
            uplift.PredictedEffects(EXPERIMENT, np.tile(drawn.effects, (2, 1))), twice, placebo=False, draws=50
        )


# ---- our own fits ---------------------------------------------------------------------------------------------------


def test_customers_learnt_from_are_refused_also_after_saving(tmp_path):
    frame = simulate("linear", 3000, seed=12).frame()
    fitted = uplift.fit_effects(SHARES, frame.iloc[:2000], "t", threads=1)
    fitted.save(tmp_path)
    loaded = uplift.Effects.load(tmp_path)
    assert loaded.model_version == fitted.model_version
    for effects in (fitted, loaded):
        with pytest.raises(
            ModelError, match=r"100 of 1100 customers of the holdout were in the training data, e\.g\. 'c1"
        ):
            uplift.evaluate(effects, frame.iloc[1900:], placebo=False)
    report = uplift.evaluate(loaded, frame.iloc[2000:], placebo=False, draws=50)
    assert report.model_version == fitted.model_version
    assert report.learner == "t"
    # row numbers are no ids
    nameless = frame.drop(columns="customer_id")
    anonymous = uplift.fit_effects(SHARES, nameless.iloc[:2000], "t", threads=1)
    report = uplift.evaluate(anonymous, nameless.iloc[:2000], placebo=False, draws=50)
    assert report.learner == "t"
    (finding,) = [finding for finding in report.findings if finding.code == "holdout_not_compared"]
    assert "frame of the fit has no column 'customer_id'" in finding.seen
    report = uplift.evaluate(fitted, nameless.iloc[2000:], placebo=False, draws=50)
    (finding,) = [finding for finding in report.findings if finding.code == "holdout_not_compared"]
    assert "holdout has no column 'customer_id'" in finding.seen
    assert "holdout_not_compared" not in codes(uplift.evaluate(fitted, frame.iloc[2000:], placebo=False, draws=50))


# ---- bad input ------------------------------------------------------------------------------------------------------

SMALL = simulate("linear", 400, seed=13)
TREATED = np.flatnonzero(SMALL.arm == 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cost": {"arm_1": 1.0, "arm_9": 2.0}}, r"cost names 'arm_9'; did you mean 'arm_1'"),
        ({"cost": {}}, "cost lacks arm 'arm_1'"),
        ({"cost": np.nan}, "cost is nan; it must be finite"),
        ({"value": np.inf}, "value is inf"),
        ({"value": np.ones(3)}, r"one per row of the holdout \(400,\)"),
        ({"policies": {"mine": np.zeros(3, dtype=int)}}, r"'mine' has shape \(3,\); the holdout has 400 rows"),
        ({"policies": {"mine": np.full(400, "arm_2")}}, "policy 'mine' gives 'arm_2'; did you mean 'arm_1'"),
        ({"policies": {"treat none": np.zeros(400, dtype=int)}}, "which the report values already"),
        ({"other": {"response": np.zeros(400)}}, "other names 'response'"),
        ({"target": "qini"}, "target is 'qini'"),
        ({"level": 1.5}, "level is 1.5"),
        ({"draws": 1}, "draws is 1"),
        ({"draws": "many"}, "draws is 'many'"),
        ({"seed": "a"}, "seed is 'a'; it is a whole number"),
        ({"threads": 0}, "threads is 0; it is a whole number of 1 or more"),
        ({"threads": -1}, "threads is -1"),
    ],
)
def test_what_cannot_be_is_named(arguments, message):
    with pytest.raises(ModelError, match=message):
        uplift.evaluate(true_effects(SMALL), SMALL.frame(), placebo=False, **{"draws": 20} | arguments)


@pytest.mark.parametrize("effects", ["x", None, 3, np.zeros(400)])
def test_what_does_not_predict_is_refused(effects):
    with pytest.raises(ModelError, match=r"effects is .*give what fit_effects returns"):
        uplift.evaluate(effects, SMALL.frame())


def test_one_arm_only_and_an_arm_missing_from_the_holdout_are_refused():
    frame = SMALL.frame()
    with pytest.raises(ModelError, match="an effect needs at least one arm beside control"):
        uplift.evaluate(true_effects(SMALL), frame[frame["arm"] == "control"])
    fitted = true_effects(SMALL, arm_names=("control", "arm_1", "arm_2"))
    with pytest.raises(ModelError, match="holds no customer of arm 'arm_2'"):
        uplift.evaluate(fitted, frame)


def test_predictions_of_another_length_or_not_finite_are_refused():
    frame = SMALL.frame()
    for wrong in (SMALL.effects[:-1], np.column_stack([SMALL.effects] * 2), np.full(400, np.nan)):
        with pytest.raises(ModelError, match="one finite effect per row of the holdout"):
            uplift.evaluate(uplift.PredictedEffects(EXPERIMENT, wrong), frame, placebo=False)


def test_ten_customers_are_not_enough_data():
    rows = np.r_[TREATED[:5], np.flatnonzero(SMALL.arm == 0)[:5]]
    effects = uplift.PredictedEffects(EXPERIMENT, SMALL.effects[rows])
    report = uplift.evaluate(effects, SMALL.frame().iloc[rows], draws=50)
    assert report.verdict.decision == "not enough data"
    assert "too_few_customers" in codes(report)
    assert not any(finding.blocking for finding in report.findings)
    json.dumps(report.to_dict(), allow_nan=False)


@pytest.mark.parametrize("value", [0.0, 5.0])
@pytest.mark.parametrize("cost", [0.0, 1.0, "by customer"])
def test_one_outcome_for_all_is_refused_and_proves_nothing_where_overridden(value, cost):
    frame = SMALL.frame().assign(outcome=value)
    given = np.linspace(0.5, 1.5, 400)[:, None] if cost == "by customer" else cost
    with pytest.raises(ModelError, match="constant_outcome") as said:
        uplift.evaluate(true_effects(SMALL, cost=given), frame, draws=20, placebo=False)
    assert f"is {value:g} for all 400 customers" in str(said.value)
    report = uplift.evaluate(
        true_effects(SMALL, cost=given), frame, draws=20, placebo=False, override=["constant_outcome"]
    )
    assert report.verdict.decision == "not enough data"
    assert "the outcome is the same for every customer" in report.sentence
    assert report.scored.average_effect(1).value == pytest.approx(0.0, abs=1e-12)
    assert {test.p_value for test in report.verdict.tests} == {1.0}
    json.dumps(report.to_dict(), allow_nan=False)


def test_the_sentence_of_an_observational_study_says_so():
    drawn = simulate("confounded", 1500, seed=3)
    observed = uplift.Experiment("arm", "outcome", "control", kind="observational")
    frame, few = drawn.frame(), {"draws": 50, "placebo": False}
    report = uplift.evaluate(true_effects(drawn, experiment=observed), frame, **few)
    assert "Observational: true as far as" in report.sentence
    assert report.campaign_effects("may", 28)[0]["sentence"] == report.sentence
    assert report.sentence in str(report)
    assert "Observational" not in uplift.evaluate(true_effects(drawn), frame, **few).sentence


# ---- Hillstrom ------------------------------------------------------------------------------------------------------

_spec = spec_from_file_location("bench_hillstrom", Path(regulars.__file__).parent / "bench" / "hillstrom.py")
hillstrom = module_from_spec(_spec)
_spec.loader.exec_module(hillstrom)
needs_hillstrom = pytest.mark.skipif(
    not hillstrom.FILE.exists(), reason="../shared/data/hillstrom is not on this machine"
)


@needs_hillstrom
def test_the_arm_table_is_hillstroms():
    """MineThatData e-mail analytics challenge (Hillstrom 2008), 64,000 customers: means by segment of the file."""
    table = {
        "No E-Mail": (21_306, 0.106167, 0.0057261, 0.652789),
        "Mens E-Mail": (21_307, 0.182757, 0.0125311, 1.422617),
        "Womens E-Mail": (21_387, 0.151400, 0.0088371, 1.077202),
    }
    frame = pd.read_csv(hillstrom.FILE)
    for j, outcome in enumerate(("visit", "conversion", "spend"), start=1):
        experiment = uplift.Experiment("segment", outcome, "No E-Mail", features=["recency"])
        predicted = uplift.PredictedEffects(experiment, np.zeros((len(frame), 2)))
        arms = uplift.evaluate(predicted, frame, placebo=False, draws=2, threads=1).arms
        for row in arms.itertuples():
            assert row.customers == table[row.arm][0]
            assert row.mean_outcome == pytest.approx(table[row.arm][j], abs=1e-6)


@needs_hillstrom
def test_womens_visits_are_ranked_by_the_default_learner():
    report = hillstrom.evaluate_half("Womens E-Mail", "visit", seed=0)
    qini = report.verdict.table.qini
    assert report.verdict.decision == "rank"
    assert 1e4 * qini["x"].value >= 60.0
    assert qini["x"].above_zero
    assert "response" in qini


@needs_hillstrom
def test_mens_spend_is_not_ranked():
    report = hillstrom.evaluate_half("Mens E-Mail", "spend", seed=0)
    assert report.verdict.decision != "rank"
    assert "response" in report.verdict.table.qini
