"""Saved trees that are damaged: an error of ours before LightGBM sees them, where it would end the process or hang."""

import json
import re

import numpy as np
import pytest

from regulars.clv import ChurnModel, churn_frame
from regulars.clv.boosted_text import read_trees, trees_sha256, trees_text
from regulars.clv.boosted_value import TwoPartValueModel, ZILNModel
from regulars.clv.persistence import load_model
from regulars.sql.errors import ModelError


@pytest.fixture(scope="module")
def hazard(tmp_path_factory):
    rng = np.random.default_rng(4)
    x = rng.normal(size=600)
    lasted = np.ceil(rng.exponential(20 * np.exp(-0.7 * x)))
    data = churn_frame(np.minimum(lasted, 50), lasted <= 50, {"x": x, "noise": rng.random(600)}, range(600))
    path = tmp_path_factory.mktemp("hazard") / "hazard.json"
    ChurnModel("hazard", rounds=8, bins=10, min_data_in_leaf=20).fit(data).save(path)
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def text(hazard):
    return hazard["state"]["fitted"]["trees"]


def _first(name, change):
    """Change the first list of that name; offsets of the trees follow, so that the list alone is wrong."""

    def damaged(text):
        found = re.search(rf"(?m)^{name}=(.*)$", text)
        new = f"{name}={change(found.group(1))}"
        longer = len(new) - len(found.group(0))
        text = text[: found.start()] + new + text[found.end() :]
        if found.start() < text.index("\nTree=0"):
            return text
        return re.sub(r"(?m)^tree_sizes=(\d+)", lambda size: f"tree_sizes={int(size.group(1)) + longer}", text, count=1)

    return damaged


def _head(value):
    return lambda values: " ".join([value, *values.split(" ")[1:]])


def _digit_dropped(text):
    place = re.search(r"threshold=-?\d+\.\d", text).end()
    return text[: place - 1] + text[place:]


DAMAGES = {
    "a digit dropped": _digit_dropped,
    "half": lambda text: text[: len(text) // 2],
    "the end": lambda text: text[: text.index("end of trees")],
    "line ends": lambda text: text.replace("\n", "\r\n"),
    "nothing": lambda text: "",
    "no text": lambda text: None,
    "other letters": lambda text: text.replace("tree", "träd"),
    "too few leaves": _first("num_leaves", lambda _: "3"),
    "no leaves": _first("num_leaves", lambda _: "0"),
    "a milliard leaves": _first("num_leaves", lambda _: "1000000000"),
    "leaves that are no number": _first("num_leaves", lambda _: "x"),
    "a root that is its own child": _first("left_child", _head("0")),
    "a leaf that is not there": _first("left_child", _head("-9999")),
    "a node that is not there": _first("right_child", _head("9999")),
    "a column that is not there": _first("split_feature", _head("9")),
    "a column below the first": _first("split_feature", _head("-7")),
    "a leaf of nothing": _first("leaf_value", _head("nan")),
    "a threshold of nothing": _first("threshold", _head("inf")),
    "a category": _first("decision_type", _head("1")),
    "categories": _first("num_cat", lambda _: "5"),
    "classes": _first("num_class", lambda _: "3"),
    "another objective": _first("objective", lambda _: "regression"),
    "fewer columns": _first("max_feature_idx", lambda _: "0"),
    "sizes": _first("tree_sizes", _head("7")),
    "sizes below nothing": _first("tree_sizes", _head("-7")),
    "no counts": _first("leaf_count", lambda _: ""),
    "no weights": _first("internal_weight", lambda _: "1 2"),
}


def _columns(text):
    return int(re.search(r"max_feature_idx=(\d+)", text).group(1)) + 1


def test_the_text_as_it_was_saved_is_read(text):
    booster = read_trees(text, trees_sha256(text), "binary", _columns(text))
    assert trees_text(booster) == text


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_an_error_whether_or_not_the_hash_was_made_to_fit(text, damage, capfd):
    broken = DAMAGES[damage](text)
    assert broken != text
    for seal in (trees_sha256(text), trees_sha256(broken or "")):
        with pytest.raises(ValueError, match=r"^its trees ") as said:
            read_trees(broken, seal, "binary", _columns(text))
        if broken and broken.isascii() and seal == trees_sha256(text):
            assert "not as they were saved" in str(said.value)
    # nor has LightGBM anything to print
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "options", [{"linear_tree": True}, {"boosting": "dart"}, {"boosting": "rf"}, {"num_leaves": 2}]
)
def test_every_kind_of_tree_that_may_be_asked_for_is_sound(options):
    import lightgbm

    x = np.random.default_rng(1).normal(size=(400, 2))
    learnt = {"objective": "regression", "verbosity": -1, "num_threads": 1, "bagging_freq": 1, "bagging_fraction": 0.5}
    booster = lightgbm.train(learnt | options, lightgbm.Dataset(x, label=x[:, 0] + 2 * x[:, 1]), 4)
    text = trees_text(booster)
    again = read_trees(text, trees_sha256(text), "regression", 2)
    np.testing.assert_array_equal(again.predict(x), booster.predict(x))


def test_lines_in_leaves_that_ask_other_columns_are_refused():
    import lightgbm

    x = np.random.default_rng(1).normal(size=(400, 2))
    learnt = {"objective": "regression", "verbosity": -1, "num_threads": 1, "linear_tree": True}
    text = trees_text(lightgbm.train(learnt, lightgbm.Dataset(x, label=x[:, 0] + 2 * x[:, 1]), 2))
    broken = re.sub(r"(?m)^leaf_features=\d", "leaf_features=9", text)
    assert broken != text
    with pytest.raises(ValueError, match="ask columns that are not there"):
        read_trees(broken, trees_sha256(broken), "regression", 2)


def test_a_tree_of_one_leaf_is_sound():
    import lightgbm

    x = np.arange(50.0)[:, None]
    learnt = {"objective": "regression", "verbosity": -1, "min_data_in_leaf": 49}
    text = trees_text(lightgbm.train(learnt, lightgbm.Dataset(x, label=x[:, 0]), 2))
    assert "num_leaves=1\n" in text
    assert np.allclose(read_trees(text, trees_sha256(text), "regression", 1).predict(x), 24.5)


@pytest.mark.parametrize("damage", ["a digit dropped", "half", "a column that is not there"])
def test_a_damaged_file_is_a_model_error_that_names_it(hazard, text, damage, tmp_path):
    document = json.loads(json.dumps(hazard))
    document["state"]["fitted"]["trees"] = DAMAGES[damage](text)
    (tmp_path / "hazard.json").write_text(json.dumps(document))
    with pytest.raises(ModelError, match=r"hazard\.json: .*not as they were saved.*fit it again"):
        load_model(tmp_path / "hazard.json")


@pytest.mark.parametrize("kind", [TwoPartValueModel, ZILNModel])
def test_every_part_of_a_value_model_is_looked_at(kind, tmp_path):
    rng = np.random.default_rng(3)
    x = rng.normal(size=500)
    money = np.where(rng.random(500) < 0.5, np.exp(x), 0.0)
    path = tmp_path / "value.json"
    kind(rounds=6).fit({"x": x}, money > 0, money).save(path)
    document = json.loads(path.read_text())
    for part, text in document["state"]["trees"].items():
        broken = document | {"state": document["state"] | {"trees": document["state"]["trees"] | {part: text[:-9]}}}
        path.write_text(json.dumps(broken))
        with pytest.raises(ModelError, match="not as they were saved"):
            load_model(path)
