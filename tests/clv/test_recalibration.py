"""Recalibration against scikit-learn, and what it may not be asked."""

import json

import numpy as np
import pytest
from scipy.special import expit, logit

from regulars.clv import Recalibration
from regulars.clv.recalibration import calibration_line
from regulars.sql.errors import ContractError, ModelError


@pytest.fixture(scope="module")
def outcomes():
    rng = np.random.default_rng(17)
    p = rng.beta(2, 3, 4_000)
    return p, rng.random(4_000) < expit(0.4 + 0.7 * logit(p))


def test_the_line_is_that_of_logistic_regression(outcomes):
    from sklearn.linear_model import LogisticRegression

    p, happened = outcomes
    found = LogisticRegression(C=np.inf, tol=1e-12, max_iter=1_000).fit(logit(p)[:, None], happened)
    intercept, slope = calibration_line(p, happened)
    # lbfgs stops where its gradient is small
    assert slope == pytest.approx(found.coef_[0, 0], abs=1e-5)
    assert intercept == pytest.approx(found.intercept_[0], abs=1e-5)
    assert abs(slope - 0.7) < 0.1


def test_isotonic_steps_are_scikit_learns(outcomes):
    from sklearn.isotonic import IsotonicRegression

    p, happened = outcomes
    found = IsotonicRegression(out_of_bounds="clip").fit(p, happened)
    theirs, ours = found.predict(p), Recalibration("isotonic").fit(p, happened).apply(p)
    between = (theirs > 0) & (theirs < 1)
    assert ours[between] == pytest.approx(theirs[between], abs=1e-12)
    # their 0 and 1 are certain of what half an outcome would change
    assert 0 < (~between).sum() < 0.05 * len(p)
    assert (np.abs(ours - theirs)[~between] <= 0.5).all()
    assert ((ours > 0) & (ours < 1)).all()


def test_steps_of_nothing_and_of_all_keep_half_an_outcome():
    p = np.repeat([0.1, 0.5, 0.9], [400, 400, 500])
    happened = np.concatenate([np.zeros(400), np.arange(400) % 2, np.ones(500)])
    fitted = Recalibration("isotonic").fit(p, happened)
    assert fitted.apply([0.0, 0.1, 0.5, 0.9, 1.0]) == pytest.approx([0.5 / 400] * 2 + [0.5] + [1 - 0.5 / 500] * 2)
    # a step of one outcome says no more than the step beside it
    p = np.repeat([0.1, 0.5, 0.9], [1, 1_000, 1])
    happened = np.concatenate([[0], np.arange(1_000) < 10, [1]])
    assert Recalibration("isotonic").fit(p, happened).apply([0.1, 0.5, 0.9]) == pytest.approx([0.01, 0.01, 0.5])


def test_outcomes_the_wrong_way_round_have_no_line():
    p = np.repeat([0.2, 0.8], 100)
    happened = np.concatenate([np.arange(100) < 70, np.arange(100) < 30])
    with pytest.raises(ModelError, match=r"the slope is -0\.\d+: .*turn every rank round; take another model"):
        Recalibration().fit(p, happened)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"method": "logistic", "intercept": 0.0, "slope": -5.0}, "slope is -5, which turns every rank round"),
        ({"method": "logistic", "intercept": 0.0, "slope": 0.0}, "slope is 0"),
        ({"method": "logistic", "intercept": 0.0, "slope": 1e308}, "line is 0"),
        ({"method": "logistic", "intercept": 0.0, "slope": float("nan")}, "line is 0"),
        ({"method": "logistic", "intercept": float("inf"), "slope": 1.0}, "line is inf"),
        ({"method": "isotonic", "levels": [0.1, 0.5], "values": [0.4, 0.2]}, "its steps fall"),
        ({"method": "isotonic", "levels": [float("nan")], "values": [0.4]}, "a probability is nan"),
        ({"method": "isotonic", "levels": [-5.0, 0.5, 9.0], "values": [0.1, 0.2, 0.3]}, "a probability is -5"),
    ],
)
def test_a_map_that_cannot_be_is_not_loaded(tmp_path, state, said):
    path = tmp_path / "map.json"
    Recalibration().fit(np.repeat([0.2, 0.8], 100), np.arange(200) % 100 < np.repeat([30, 70], 100)).save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"state": state}))
    with pytest.raises(ModelError, match=f"map.json: the Recalibration cannot be: .*{said}"):
        Recalibration.load(path)


@pytest.mark.parametrize("method", ["logistic", "isotonic"])
def test_what_was_off_is_set_right_on_others(outcomes, method):
    p, happened = outcomes
    half = np.arange(len(p)) % 2 == 0
    right = Recalibration(method).fit(p[half], happened[half]).apply(p[~half])
    before, after = (np.mean((q - happened[~half]) ** 2) for q in (p[~half], right))
    assert after < before
    assert (np.diff(right[np.argsort(p[~half])]) >= 0).all()


def test_calibrated_probabilities_are_left_as_they_are():
    p = np.repeat([0.1, 0.5, 0.8], 1_000)
    happened = np.concatenate([np.arange(1_000) < 1_000 * q for q in (0.1, 0.5, 0.8)])
    for method in ("logistic", "isotonic"):
        assert Recalibration(method).fit(p, happened).apply(p) == pytest.approx(p, abs=1e-9)


@pytest.mark.parametrize(
    ("p", "y", "error", "said"),
    [
        ([0.5, 0.6], [1, 1], ModelError, "all 2 outcomes are 1"),
        ([0.5, 1.6], [1, 0], ModelError, "a probability is 1.6"),
        ([0.5, np.nan], [1, 0], ModelError, "a probability is nan"),
        ([0.5, 0.6], [1, 2], ModelError, "an outcome is 2"),
        ([0.5], [1, 0], ContractError, "give one each"),
        (["a", 0.5], [1, 0], ContractError, "a probability is no number"),
        ([0.5] * 100, [0, 1] * 50, ModelError, "all 100 probabilities are 0.5"),
        ([0.1] * 50 + [0.9] * 50, [0] * 50 + [1] * 50, ModelError, "tell all 100 outcomes apart without error"),
        ([], [], ContractError, "at least one"),
    ],
)
def test_bad_outcomes_are_named(p, y, error, said):
    with pytest.raises(error, match=said):
        Recalibration().fit(p, y)


@pytest.mark.parametrize("method", ["logistic", "isotonic"])
def test_only_probabilities_are_recalibrated_and_by_what_is_fitted(outcomes, method):
    with pytest.raises(ModelError, match=f"the {method} recalibration is not fitted"):
        Recalibration(method).apply([0.5])
    fitted = Recalibration(method).fit(*outcomes[:2])
    for wrong, said in ((np.nan, "nan"), (2.0, "2"), (-1.0, "-1")):
        with pytest.raises(ModelError, match=f"a probability is {said}; each must lie between 0 and 1"):
            fitted.apply([0.5, wrong])
    with pytest.raises(ContractError, match="no number"):
        fitted.apply(["a"])


def test_few_outcomes_have_no_steps():
    with pytest.raises(ModelError, match="100 outcomes are too few for isotonic steps"):
        Recalibration("isotonic").fit(np.linspace(0.1, 0.9, 100), np.arange(100) % 2)
    with pytest.raises(ModelError, match="did you mean 'isotonic'"):
        Recalibration("isotonc")


def test_a_line_that_is_not_there_is_nan():
    assert np.isnan(calibration_line([0.2, 0.9], [0, 1])).all()
    assert np.isnan(calibration_line([0.5, 0.5], [0, 1])).all()


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("no", "yes"),
    [
        ([0.1, 0.2], [0.3, 0.4]),
        ([0.0, 1e-9, 0.5], [1.0, 1 - 1e-9]),  # beyond what a log-odds is taken of
        ([0.02] * 30, [1.0] * 30),
        ([0.1, 0.3], [0.3, 0.6]),  # a tie at the threshold is no overlap
    ],
)
def test_outcomes_that_a_threshold_parts_have_no_line(no, yes, turned):
    # Albert & Anderson 1984, Biometrika 71: separated or nearly so, the likelihood has no maximum
    p, y = np.array([*no, *yes]), np.repeat([turned, not turned], [len(no), len(yes)])
    assert np.isnan(calibration_line(p, y)).all()
    with pytest.raises(ModelError, match="apart without error"):
        Recalibration().fit(p, y)
