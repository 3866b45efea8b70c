"""Saved effects: the same numbers without causalml and econml, and nothing read that is not as it was saved."""

import json
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from regulars.sql.durability import canonical_json
from regulars.sql.errors import MissingExtraError, ModelError
from regulars.uplift.boosters import ConstantModel
from regulars.uplift.effects import DOCUMENT, Effects, _digest
from regulars.uplift.estimators import library
from regulars.uplift.experiment import Experiment
from regulars.uplift.learners import META_LEARNERS, fit_effects
from regulars.uplift.simulate import simulate

EXPERIMENT = Experiment(treatment="arm", outcome="outcome", control="control", exclude=["note"])


def meddle(folder: Path, **changes) -> None:
    """Change a saved document and give it the hash that fits: what only another version could have written."""
    document = json.loads((folder / DOCUMENT).read_text()) | changes
    document.pop("sha256")
    document["sha256"] = _digest(canonical_json(document))
    (folder / DOCUMENT).write_text(canonical_json(document))


@pytest.fixture(scope="module")
def frame():
    return simulate("several_arms", 1500, seed=1).frame().assign(city=["Delft", "Gent", "Trier"] * 500, country="BE")


@pytest.fixture(scope="module")
def effects(frame) -> Effects:
    cost = {"arm_1": 0.5, "arm_2": -0.25, "arm_3": 0.0}
    return fit_effects(EXPERIMENT, frame, "x", cost=cost, value=3.0, seed=4, threads=1)


@pytest.mark.parametrize("learner", META_LEARNERS)
@pytest.mark.parametrize("design", ["zero_inflated", "several_arms"])
def test_loaded_effects_are_those_that_were_saved(learner, design, tmp_path):
    frame = simulate(design, 1500, seed=3).frame()
    fitted = fit_effects(EXPERIMENT, frame, learner, threads=1)
    fitted.save(tmp_path)
    loaded = Effects.load(tmp_path, threads=2)
    for method in ("predict", "response", "net"):
        assert getattr(loaded, method)(frame).tobytes() == getattr(fitted, method)(frame).tobytes()
    assert loaded.model_version == fitted.model_version
    assert loaded.model_version.startswith(f"{learner}:")


def test_everything_that_was_declared_comes_back(effects, tmp_path):
    effects.save(tmp_path)
    loaded = Effects.load(tmp_path)
    for name in (
        "experiment",
        "learner",
        "arm_names",
        "outcome_kind",
        "encoder",
        "value",
        "findings",
        "seed",
        "customers",
    ):
        assert getattr(loaded, name) == getattr(effects, name), name
    assert Experiment(treatment="arm", outcome="outcome", control="control", exclude=("note",)) == loaded.experiment
    np.testing.assert_array_equal(loaded.cost, effects.cost)
    assert [finding.code for finding in loaded.findings if finding.code == "constant_features"]


@pytest.mark.parametrize("threads", [0, -1, "all"])
def test_effects_are_loaded_for_at_least_one_thread(threads, effects, tmp_path):
    effects.save(tmp_path)
    with pytest.raises(ModelError, match=f"threads is {threads!r}; it is a whole number of 1 or more"):
        Effects.load(tmp_path, threads=threads)


def test_saving_twice_gives_the_same_bytes_and_leaves_nothing_behind(effects, frame, tmp_path):
    fit_effects(EXPERIMENT, frame, "s", threads=1).save(tmp_path / "one")
    effects.save(tmp_path / "one")
    effects.save(tmp_path / "two")
    files = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "two")]
    assert files[0] == files[1]
    # the document, two models of effects an arm, of which none is alike, the response, and whom it was learnt from
    assert len(files[0]) == 1 + 3 * 2 + 1 + 1, sorted(files[0])


def test_saved_effects_predict_without_causalml_and_econml(effects, frame, tmp_path):
    effects.save(tmp_path / "saved")
    frame.to_parquet(tmp_path / "frame.parquet")
    np.save(tmp_path / "net.npy", effects.net(frame))
    code = f"""
import sys
import numpy as np
import pandas as pd
from regulars.uplift.effects import Effects
folder = {str(tmp_path)!r}
frame = pd.read_parquet(folder + "/frame.parquet")
effects = Effects.load(folder + "/saved")
assert effects.net(frame).tobytes() == np.load(folder + "/net.npy").tobytes()
effects.response(frame)
print([name for name in ("causalml", "econml", "shap", "statsmodels", "torch") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("damage", ["changed", "cut", "gone"])
def test_a_damaged_part_is_refused(damage, effects, tmp_path):
    effects.save(tmp_path)
    part = sorted(tmp_path.glob("trees-*.txt"))[0]
    if damage == "changed":
        part.write_text(part.read_text().replace("threshold=0", "threshold=1").replace("0.0", "0.1", 1))
    elif damage == "cut":
        part.write_bytes(part.read_bytes()[:-100])
    else:
        part.unlink()
    with pytest.raises(ModelError, match=f"{part.name}.*(not as it was saved|No such file)"):
        Effects.load(tmp_path)


def test_a_damaged_document_is_refused(effects, tmp_path):
    effects.save(tmp_path)
    path = tmp_path / DOCUMENT
    good = path.read_text()
    path.write_text(good.replace('"value": 3.0', '"value": 30.0'))
    with pytest.raises(ModelError, match="sha256 does not fit"):
        Effects.load(tmp_path)
    path.write_text(good[: len(good) // 2])
    with pytest.raises(ModelError, match="is no JSON file"):
        Effects.load(tmp_path)
    path.write_text("{}")
    with pytest.raises(ModelError, match="no saved effects"):
        Effects.load(tmp_path)
    with pytest.raises(ModelError, match="cannot read the effects"):
        Effects.load(tmp_path / "nowhere")


def test_a_newer_format_is_refused_and_an_incomplete_one(effects, tmp_path):
    effects.save(tmp_path)
    meddle(tmp_path, format_version=2)
    with pytest.raises(ModelError, match=r"has format 2 .* upgrade regulars"):
        Effects.load(tmp_path)
    meddle(tmp_path, format_version=1, model={})
    with pytest.raises(ModelError, match=r"incomplete .KeyError"):
        Effects.load(tmp_path)
    meddle(tmp_path, model={"estimator": "../other.pickle", "libraries": {}})
    with pytest.raises(ModelError, match=r"names the part '../other.pickle' but not its sha256"):
        Effects.load(tmp_path)


def test_a_folder_that_cannot_be_written_is_named(effects, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="cannot write the effects"):
        effects.save(tmp_path / "file")


@pytest.fixture(scope="module")
def by_an_estimator(frame) -> Effects:
    learner = library("causalml.inference.meta").BaseTRegressor(learner=LinearRegression())
    return fit_effects(EXPERIMENT, frame, learner, threads=1)


def test_nothing_is_unpickled_whose_hash_does_not_fit(by_an_estimator, tmp_path, monkeypatch):
    by_an_estimator.save(tmp_path)
    (part,) = tmp_path.glob("estimator-*.pickle")
    part.write_bytes(pickle.dumps(print))
    monkeypatch.setattr("regulars.uplift.estimators.pickle.loads", lambda content: pytest.fail("unpickled"))
    with pytest.raises(ModelError, match="not as it was saved"):
        Effects.load(tmp_path)


def test_an_estimator_is_read_by_the_version_that_wrote_it(by_an_estimator, frame, tmp_path):
    by_an_estimator.save(tmp_path)
    np.testing.assert_array_equal(Effects.load(tmp_path).predict(frame), by_an_estimator.predict(frame))
    saved = json.loads((tmp_path / DOCUMENT).read_text())["model"]
    meddle(tmp_path, model=saved | {"libraries": {"causalml": "0.1.0"}})
    with pytest.raises(ModelError, match=r"saved with causalml 0.1.0 and causalml .* is installed.*causalml==0.1.0"):
        Effects.load(tmp_path)
    meddle(tmp_path, model=saved | {"libraries": {"no-such-library": "1.0"}})
    with pytest.raises(MissingExtraError, match=r"need no-such-library 1\.0"):
        Effects.load(tmp_path)


def test_an_estimator_that_cannot_be_pickled_says_so(frame, tmp_path):
    class Local(LinearRegression):
        pass

    effects = fit_effects(
        EXPERIMENT, frame, library("causalml.inference.meta").BaseTRegressor(learner=Local()), threads=1
    )
    with pytest.raises(ModelError, match="BaseTRegressor cannot be saved"):
        effects.save(tmp_path)


def test_effects_that_are_not_finite_are_refused(effects, frame):
    model = replace(effects.model, arms=((ConstantModel(np.nan), ConstantModel(0.0), ConstantModel(0.5)),) * 3)
    with pytest.raises(ModelError, match="not finite"):
        replace(effects, model=model).predict(frame)
