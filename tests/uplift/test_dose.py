"""Dose curves: simulations whose curves are known, closed forms, and econml in the same run."""

import numpy as np
import pandas as pd
import pytest

from regulars.sql.errors import ModelError
from regulars.uplift.dose import fit_dose_effects
from regulars.uplift.experiment import Experiment
from regulars.uplift.scores import doubly_robust_scores

DEPTHS = {"ten": 0.1, "twenty": 0.2, "thirty": 0.3, "half": 0.5}


def _drawn(n=20_000, seed=0, shape=None, names=tuple(DEPTHS)):
    """Draw customers whose gain is (8 + 4 x) d - 6 d^2 and who would spend 5 + 2 x otherwise."""
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=n), rng.normal(size=n)
    label = rng.choice(np.array(["none", *names]), n)
    depth = np.array([DEPTHS.get(name, 0.0) for name in label])
    gain = (8.0 + 4.0 * x) * depth - 6.0 * depth**2 if shape is None else shape(depth)
    return pd.DataFrame({"x": x, "z": z, "depth": label, "spend": 5.0 + 2.0 * x + gain + rng.normal(size=n)})


def _declared(names=tuple(DEPTHS), **further):
    dose = {name: DEPTHS[name] for name in names}
    return Experiment(treatment="depth", outcome="spend", control="none", dose=dose, features=["x", "z"], **further)


def test_the_average_curve_covers_the_truth_and_customers_own_curves_follow_theirs():
    effects = fit_dose_effects(_declared(), _drawn(), seed=1)
    for depth in (0.1, 0.25, 0.5):
        found = effects.average.effect(depth)
        assert abs(found.value - (8.0 * depth - 6.0 * depth**2)) < 4.0 * found.standard_error < 0.3
    slope = effects.average.slope(0.2)
    assert abs(slope.value - (8.0 - 2.4)) < 4.0 * slope.standard_error
    assert effects.average.lack_of_fit > 1e-3
    new = _drawn(2000, seed=9)
    truth = (8.0 + 4.0 * new["x"].to_numpy()) * 0.5 - 6.0 * 0.25
    predicted = effects.predict(new, [0.5])[:, 0]
    assert np.corrcoef(predicted, truth)[0, 1] > 0.9  # the truth's spread is 2, a leaf's noise a tenth of it
    assert np.abs(effects.expected(new, [0.0])[:, 0] - 5.0 - 2.0 * new["x"]).mean() < 0.4


def test_intervals_of_the_average_curve_cover():
    # 40 draws: 95% less 2.6 standard errors of a share
    inside = 0
    for seed in range(40):
        found = fit_dose_effects(_declared(), _drawn(1000, seed=seed), folds=2, threads=1).average.effect(0.4)
        inside += found.lower <= 8.0 * 0.4 - 6.0 * 0.16 <= found.upper
    assert inside >= 35


def test_with_as_many_powers_as_arms_the_curve_goes_through_the_arms_effects():
    frame, exp = _drawn(4000, names=("ten", "half")), _declared(names=("ten", "half"))
    effects = fit_dose_effects(exp, frame, degree=2, seed=3)
    data = exp.read(frame)
    scores = doubly_robust_scores(data.features, data.arm, data.outcome, propensity=data.propensity, seed=3).scores
    by_arm = dict(zip(data.arm_names[1:], (scores[:, 1:] - scores[:, :1]).mean(axis=0), strict=True))
    for name, value in by_arm.items():
        assert effects.average.effect(DEPTHS[name]).value == pytest.approx(value, rel=1e-6)


def test_econml_finds_the_same_average_curve():
    from econml.dml import LinearDML
    from sklearn.linear_model import LinearRegression
    from sklearn.preprocessing import PolynomialFeatures

    frame = _drawn(seed=4)
    depth = frame["depth"].map(DEPTHS).fillna(0.0).to_numpy()
    theirs = LinearDML(
        model_y=LinearRegression(),
        model_t=LinearRegression(),
        treatment_featurizer=PolynomialFeatures(2, include_bias=False),
        random_state=0,
    ).fit(frame["spend"].to_numpy(), depth[:, None], X=frame[["x"]].to_numpy())
    expected = theirs.effect(frame[["x"]].to_numpy(), T0=0.0, T1=0.4).mean()
    found = fit_dose_effects(_declared(), frame).average.effect(0.4)
    # both are root-n estimates from the same customers: they differ by less than the noise of either
    assert found.value == pytest.approx(expected, abs=3.0 * found.standard_error)


def test_a_curve_that_does_not_fit_is_said():
    stepped = _drawn(shape=lambda depth: 2.0 * (depth > 0.0) - 1.5 * (depth > 0.15) + 2.0 * (depth > 0.25))
    effects = fit_dose_effects(_declared(), stepped, degree=1)
    assert [finding.code for finding in effects.findings] == ["curve_does_not_fit"]
    assert "degree=2" in effects.findings[0].advice


def test_net_counts_what_is_given_away_on_everything_bought():
    frame = _drawn(4000)
    effects = fit_dose_effects(_declared(), frame)
    net, cost = effects.net(frame, [0.2, 0.5], value=0.6, cost=0.05, redeemed="dose")
    expected = np.maximum(effects.expected(frame, [0.2, 0.5]), 0.0)
    np.testing.assert_allclose(cost, 0.05 + expected * np.array([0.2, 0.5]), rtol=1e-12)
    np.testing.assert_allclose(net, 0.6 * effects.predict(frame, [0.2, 0.5]) - cost, rtol=1e-12)
    assert (effects.net(frame, [0.0], cost=0.05)[0] == -0.05).all()


def test_predictions_are_the_same_at_any_thread_count():
    frame = _drawn(3000)
    one, two = (fit_dose_effects(_declared(), frame, threads=threads).predict(frame) for threads in (1, 2))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    ("exp", "setting", "seen"),
    [
        (Experiment(treatment="depth", outcome="spend", control="none"), {}, "exp.dose is None"),
        (
            Experiment(treatment="depth", outcome="spend", control="none", dose={"ten": 0.1}),
            {"degree": 1},
            "lacks the arms",
        ),
        (
            Experiment(treatment="depth", outcome="spend", control="none", dose=DEPTHS | {"ten": 0.0}),
            {},
            "above 0",
        ),
        (_declared(), {"degree": 5}, "degree is 5"),
    ],
)
def test_declarations_that_cannot_be_fitted(exp, setting, seen):
    with pytest.raises(ModelError, match=seen):
        fit_dose_effects(exp, _drawn(1000), **setting)


def test_no_answer_beyond_the_largest_dose():
    frame = _drawn(1000)
    effects = fit_dose_effects(_declared(), frame)
    with pytest.raises(ModelError, match=r"0 to 0\.5, the largest dose tried"):
        effects.predict(frame, [0.6])
    with pytest.raises(ModelError, match="redeemed is 'half'"):
        effects.net(frame, redeemed="half")
