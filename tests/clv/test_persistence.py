"""Saved models: every model comes back bit by bit, and files that cannot be read say why."""

import json
import stat

import numpy as np
import pytest

from regulars import clv
from regulars.clv.persistence import FORMAT_VERSION, model_fingerprint, model_version
from regulars.sql.errors import ModelError

CUSTOMERS = {"frequency": [0, 2, 9], "recency": [0.0, 30.0, 50.0], "T": [52.0, 39.0, 52.0]}
MONEY = CUSTOMERS | {"monetary_value": [0.0, 22.35, 31.0]}


def _models():
    base = {
        "frequency": [0, 1, 2, 5, 9, 0, 3],
        "recency": [0, 9.0, 20, 50, 51, 0, 8],
        "T": [52.0, 52, 39, 52, 52, 20, 52],
        "weight": [40, 9, 7, 4, 3, 30, 6],
        "monetary_value": [0, 12.0, 30, 20, 44, 0, 25],
    }
    fitted = [
        model().fit(base)
        for model in (
            clv.NBDModel,
            clv.BetaGeoModel,
            clv.ModifiedBetaGeoModel,
            clv.ParetoNBDModel,
            clv.GammaGammaModel,
        )
    ]
    # steady buyers: no dropout to identify, so that b is NaN
    steady = {"frequency": [5, 6, 4], "recency": [50.0, 51, 49], "T": [52.0] * 3, "weight": [50, 40, 60]}
    return [*fitted, clv.BetaGeoModel().fit(steady), clv.GammaGammaModel.from_parameters(p=6.25, q=0.9, v=15.44)]


@pytest.fixture(
    scope="module", params=range(7), ids=["nbd", "bg", "mbg", "pareto", "gg", "bg without dropout", "q < 1"]
)
def model(request):
    return _models()[request.param]


def _predictions(model):
    if model.name == "gamma_gamma":
        return model.conditional_expected_value(MONEY)
    return np.stack([model.expected_purchases(CUSTOMERS, 39), model.probability_alive(CUSTOMERS)])


def test_a_model_comes_back_bit_by_bit(model, tmp_path):
    path = tmp_path / "model.json"
    model.save(path)
    again = clv.load_model(path)
    assert type(again) is type(model)
    assert np.array_equal(_predictions(again), _predictions(model))
    before, after = model.to_dict(), again.to_dict()
    assert list(before) == list(after)
    assert list(before["params"]) == list(after["params"])
    np.testing.assert_equal(after, before)
    assert type(model).load(path).message_ == model.message_


def test_the_same_model_gives_the_same_bytes(model, tmp_path):
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    model.save(one)
    clv.load_model(one).save(two)
    assert one.read_bytes() == two.read_bytes()
    assert model_fingerprint(clv.load_model(one)) == model_fingerprint(model)


def test_the_file_is_plain_json_with_versions(model, tmp_path):
    path = tmp_path / "model.json"
    model.save(path)

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    document = json.loads(path.read_text(), parse_constant=refuse)
    assert document["format_version"] == FORMAT_VERSION
    assert document["model"] == model.name
    assert document["regulars_version"] == clv.persistence.__version__


def test_fingerprints_tell_models_apart():
    fingerprints = {model_fingerprint(model) for model in _models()}
    assert len(fingerprints) == 7
    bg, spend = clv.BetaGeoModel.from_parameters(r=1, alpha=2, a=3, b=4), _models()[4]
    assert model_version(bg, spend) == (
        f"bg_nbd:{model_fingerprint(bg)} + gamma_gamma:{model_fingerprint(spend)}, "
        f"regulars {clv.persistence.__version__}"
    )


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model.json"
    clv.BetaGeoModel.from_parameters(r=0.243, alpha=4.414, a=0.793, b=2.426).save(path)
    return path


def _change(path, **fields):
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_a_newer_format_is_refused(saved):
    _change(saved, format_version=FORMAT_VERSION + 1, regulars_version="9.9.9")
    with pytest.raises(ModelError, match=r"has format 2 \(by 9.9.9\).*upgrade regulars"):
        clv.load_model(saved)


def test_another_package_version_is_no_obstacle(saved):
    _change(saved, regulars_version="9.9.9")
    assert clv.load_model(saved).params_["r"] == 0.243


@pytest.mark.parametrize("version", [None, "1", 0, 1.5, True])
def test_a_version_that_is_none_is_refused(saved, version):
    _change(saved, format_version=version)
    with pytest.raises(ModelError, match="it must be a whole number from 1"):
        clv.load_model(saved)


@pytest.mark.parametrize("text", ["", "{", "\x00\xff", '{"a": 1}', "[]", "null"])
def test_what_is_no_model_file_is_refused(tmp_path, text):
    path = tmp_path / "model.json"
    path.write_text(text)
    with pytest.raises(ModelError, match=r"is no JSON file|is JSON but no saved model"):
        clv.load_model(path)


def test_an_unknown_model_is_refused(saved):
    _change(saved, model="bg_nbt")
    with pytest.raises(ModelError, match=r"holds the model 'bg_nbt'; this version has .*did you mean 'bg_nbd'\?"):
        clv.load_model(saved)


def test_a_state_with_a_part_missing_is_refused(saved):
    document = json.loads(saved.read_text())
    for part in list(document["state"]):
        state = {name: value for name, value in document["state"].items() if name != part}
        _change(saved, state=state)
        with pytest.raises(ModelError, match=f"state of the BetaGeoModel is incomplete.*{part}"):
            clv.load_model(saved)
    saved.write_text(json.dumps({name: value for name, value in document.items() if name != "state"}))
    with pytest.raises(ModelError, match="incomplete"):
        clv.load_model(saved)


def test_another_class_is_named(saved):
    with pytest.raises(ModelError, match=r"holds a BetaGeoModel, not a NBDModel; load it with BetaGeoModel\.load"):
        clv.NBDModel.load(saved)
    assert isinstance(clv.BTYDModel.load(saved), clv.BetaGeoModel)


def test_a_missing_file_and_folder_are_named(tmp_path):
    with pytest.raises(ModelError, match=r"cannot read the model .*nowhere\.json.*save it with model\.save"):
        clv.load_model(tmp_path / "nowhere.json")
    model = clv.NBDModel.from_parameters(r=1, alpha=2)
    with pytest.raises(ModelError, match=r"cannot write the model .*name a file in a folder you can write"):
        model.save(tmp_path / "no" / "folder" / "model.json")


def test_a_model_that_is_not_fitted_is_not_saved(tmp_path):
    for model in (clv.GammaGammaModel(), clv.BetaGeoModel()):
        with pytest.raises(ModelError, match="is not fitted; call fit"):
            model.save(tmp_path / "model.json")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file(saved, monkeypatch):
    before = saved.read_bytes()

    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ModelError, match="No space left on device"):
        clv.NBDModel.from_parameters(r=1, alpha=2).save(saved)
    monkeypatch.undo()
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["model.json"]
    assert stat.S_ISREG(saved.stat().st_mode)


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_impossible_parameters_are_refused(tmp_path, value):
    path = tmp_path / "model.json"
    clv.BetaGeoModel.from_parameters(r=0.243, alpha=4.414, a=0.793, b=2.426).save(path)
    text = path.read_text()
    assert "0.243" in text
    path.write_text(text.replace("0.243", json.dumps(value)))
    with pytest.raises(ModelError, match=r"parameter r is .*positive and finite"):
        clv.load_model(path)


def _nested(depth):
    return "[" * depth + "]" * depth


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (lambda text: text.replace("0.243", "1" * 400), "cannot be: int too large to convert to float"),
        (lambda text: text.replace('"n_iterations":', '"n_iterations": Infinity, "was":'), "cannot be: .*infinity"),
        (lambda text: text.replace("0.243", _nested(200_000)), "is no JSON file"),
        (lambda text: text.replace("0.243", "[0.243]"), "is of another kind than was saved"),
    ],
    ids=["400 digits", "infinity", "brackets", "a list"],
)
def test_numbers_and_lists_that_no_model_has_are_refused(saved, text, said):
    broken = text(saved.read_text())
    assert broken != saved.read_text()
    saved.write_text(broken)
    with pytest.raises(ModelError, match=said):
        clv.load_model(saved)


def test_a_file_headed_by_another_model_of_its_class_is_refused(tmp_path):
    path = tmp_path / "churn.json"
    data = clv.churn_frame([1, 2, 4, 5], [1, 1, 0, 1])
    clv.ChurnModel("kaplan_meier").fit(data).save(path)
    _change(path, model="churn_hazard")
    with pytest.raises(ModelError, match="it is headed churn_hazard and holds a churn_kaplan_meier"):
        clv.load_model(path)


@pytest.mark.parametrize("path", [None, 3, ["model.json"]])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(ModelError, match=r"path is .*it must be the name of a file"):
        clv.load_model(path)
    with pytest.raises(ModelError, match=r"path is .*it must be the name of a file"):
        clv.NBDModel.from_parameters(r=1, alpha=2).save(path)
