"""Saved churn models: what comes back answers the same bits, without the library, and what is no model says so."""

import json
import sys

import numpy as np
import pandas as pd
import pytest

from regulars import clv
from regulars.clv import ChurnModel, Recalibration, churn_frame
from regulars.clv.persistence import load_model, model_fingerprint
from regulars.sql import connect
from regulars.sql.errors import MissingExtraError, ModelError

OPTIONS = {
    "kaplan_meier": {},
    "cox": {},
    "coxnet": {"n_alphas": 5},
    "gradient_boosting": {"n_estimators": 15},
    "random_survival_forest": {"n_estimators": 6, "bins": 12},
    "hazard": {"rounds": 8, "bins": 10, "min_data_in_leaf": 20},
}
TIMES = np.array([1.0, 5.0, 12.5, 40.0])


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(4)
    plan, x = rng.choice(["month", "year", "decade"], 600, p=[0.6, 0.3, 0.1]), rng.normal(size=600)
    lasted = np.ceil(rng.exponential(20 * np.exp(-0.7 * x) * np.where(plan == "year", 3, 1)))
    ids = [f"secret{i:03}" for i in range(600)]
    return churn_frame(np.minimum(lasted, 50), lasted <= 50, {"plan": plan, "x": x, "noise": rng.random(600)}, ids)


@pytest.fixture(scope="module", params=OPTIONS)
def fitted(request, data):
    return ChurnModel(request.param, seed=3, **OPTIONS[request.param]).fit(data)


@pytest.fixture
def saved(fitted, tmp_path):
    fitted.save(tmp_path / "churn.json")
    return tmp_path / "churn.json"


def _answers(model, data):
    going = data.take(~data.events)
    some = [model.survival(data, TIMES), model.conditional_survival(data, TIMES, elapsed=7.0)]
    some += [model.probability_no_order(going, 10), model.median_time_to_next(going), *model.answers(going, 10)]
    if model.has_reasons:
        some.append(model.reasons(going, 10)["effect_1"].to_numpy())
    return np.concatenate([np.ravel(part) for part in some])


def test_a_model_comes_back_bit_by_bit(fitted, saved, data):
    again = ChurnModel.load(saved)
    np.testing.assert_array_equal(_answers(again, data), _answers(fitted, data))
    for name in (
        "model",
        "seed",
        "options",
        "last_time_",
        "n_customers_",
        "n_intervals_",
        "feature_names_",
        "message_",
    ):
        assert getattr(again, name) == getattr(fitted, name), name
    assert again.coefficients_ == fitted.coefficients_
    assert type(clv.load_model(saved)) is ChurnModel


def test_the_same_model_gives_the_same_bytes_and_no_customer_is_in_them(fitted, saved, data, tmp_path):
    ChurnModel.load(saved).save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == saved.read_bytes()
    assert model_fingerprint(ChurnModel.load(saved)) == model_fingerprint(fitted)
    document = json.loads(saved.read_text())
    assert document["model"] == f"churn_{fitted.model}"
    assert "secret" not in saved.read_text()


def test_how_many_threads_grew_it_is_not_in_the_file(data, tmp_path):
    for threads in (1, 2):
        ChurnModel("hazard", rounds=4, threads=threads).fit(data).save(tmp_path / f"{threads}.json")
        ChurnModel("random_survival_forest", n_estimators=3, n_jobs=threads).fit(data).save(
            tmp_path / f"f{threads}.json"
        )
    for one, two in (("1", "2"), ("f1", "f2")):
        assert (tmp_path / f"{one}.json").read_bytes() == (tmp_path / f"{two}.json").read_bytes()


def test_a_loaded_model_is_fitted_anew_as_it_was(fitted, saved, data):
    again = ChurnModel.load(saved).fit(data)
    np.testing.assert_array_equal(_answers(again, data), _answers(fitted, data))


def test_scikit_survival_is_not_asked_by_what_is_loaded(fitted, saved, data, monkeypatch):
    for module in [name for name in sys.modules if name.split(".")[0] in {"sksurv", "sklearn"}]:
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, "sksurv", None)
    again = ChurnModel.load(saved)
    assert np.isfinite(again.survival(data, [5.0])).all()


def test_lightgbm_is_named_where_it_is_missing(data, tmp_path, monkeypatch):
    ChurnModel("hazard", rounds=2).fit(data).save(tmp_path / "hazard.json")
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'regulars\[churn\]'"):
        load_model(tmp_path / "hazard.json")


def _matrix(data):
    return np.column_stack([data.columns["plan"] == "year", data.columns["plan"] == "decade", data.columns["x"]])


def _plain(data):
    """The same rows without text, in the order in which a fit takes them."""
    X = _matrix(data).astype(float)
    columns = {f"x{j}": X[:, j] for j in range(X.shape[1])}
    return churn_frame(data.durations, data.events, columns, data.customers), X


def test_what_the_file_holds_of_cox_is_its_formula(data, tmp_path):
    """S(t) = exp(-H0(t) exp(beta (x - mean) / scale)), worked out from the file's numbers, is scikit-survival's."""
    from sksurv.linear_model import CoxPHSurvivalAnalysis

    plain, X = _plain(data)
    ChurnModel("cox").fit(plain).save(tmp_path / "cox.json")
    state = json.loads((tmp_path / "cox.json").read_text())["state"]["fitted"]
    slopes, means, scales, baseline = (np.array(state[k]) for k in ("slopes", "means", "scales", "baseline"))
    by_hand = np.exp(-baseline * np.exp((X - means) / scales @ slopes)[:, None])
    outcome = np.array(list(zip(data.events, data.durations, strict=True)), dtype=[("e", bool), ("t", float)])
    library = CoxPHSurvivalAnalysis(ties="efron").fit((X - X.mean(axis=0)) / X.std(axis=0), outcome)
    wanted = library.predict_survival_function((X - X.mean(axis=0)) / X.std(axis=0), return_array=True)
    assert state["grid"] == library.unique_times_.tolist()
    # sums over the same rows in the same order, but for where exp and log part
    np.testing.assert_allclose(by_hand, wanted, atol=1e-12)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_boosted_trees_in_the_file_are_the_librarys(data, tmp_path, dropout):
    from sksurv.ensemble import GradientBoostingSurvivalAnalysis

    plain, X = _plain(data)
    given = {"n_estimators": 12, "max_depth": 3, "min_samples_leaf": 20, "subsample": 0.7, "dropout_rate": dropout}
    ChurnModel("gradient_boosting", seed=5, **given).fit(plain).save(tmp_path / "boosted.json")
    outcome = np.array(list(zip(data.events, data.durations, strict=True)), dtype=[("e", bool), ("t", float)])
    library = GradientBoostingSurvivalAnalysis(random_state=5, learning_rate=0.1, **given).fit(X, outcome)
    again = ChurnModel.load(tmp_path / "boosted.json")
    wanted = library.predict_survival_function(X, return_array=True)
    np.testing.assert_allclose(again.survival(plain, library.unique_times_), np.maximum(wanted, 1e-12), atol=1e-12)


def test_a_forest_in_the_file_is_the_librarys(data, tmp_path):
    from sksurv.ensemble import RandomSurvivalForest

    plain, X = _plain(data)
    ChurnModel("random_survival_forest", bins=None, n_estimators=7, seed=5).fit(plain).save(tmp_path / "forest.json")
    outcome = np.array(list(zip(data.events, data.durations, strict=True)), dtype=[("e", bool), ("t", float)])
    library = RandomSurvivalForest(n_estimators=7, min_samples_leaf=50, random_state=5).fit(X, outcome)
    again = ChurnModel.load(tmp_path / "forest.json")
    wanted = library.predict_survival_function(X, return_array=True)
    np.testing.assert_allclose(again.survival(plain, library.unique_times_), wanted, atol=1e-12)


def _change(path, change):
    document = json.loads(path.read_text())
    change(document["state"])
    path.write_text(json.dumps(document))


def test_a_state_with_a_part_missing_is_refused(fitted, saved):
    whole = saved.read_text()
    for where in ("", "fitted", "encoder"):
        state = json.loads(whole)["state"]
        for part in state[where] if where else state:
            saved.write_text(whole)
            _change(saved, lambda state, where=where, part=part: (state[where] if where else state).pop(part))
            with pytest.raises(ModelError, match=f"state of the ChurnModel is incomplete.*{part}"):
                load_model(saved)


def _nothing(state):
    state["fitted"]["grid"] = []


def _backwards(state):
    state["fitted"]["grid"].reverse()


def _falling(state):
    for name in ("baseline", "cumulative"):
        if name in state["fitted"]:
            state["fitted"][name][-1] = 0.0


def _one_short(state):
    state["fitted"]["slopes"].pop()


def _not_finite(state):
    state["fitted"]["slopes"][0] = {"not_finite": "nan"}


def _in_a_circle(state):
    state["fitted"]["trees"]["left"][0] = 0


def _beyond(state):
    state["fitted"]["trees"]["feature"][0] = 99


def _shorter_leaves(state):
    trees = state["fitted"]["trees"]["values"]
    trees["shape"][0] -= 1


def _cut_text(state):
    state["fitted"]["trees"] = state["fitted"]["trees"][:40]


def _other_columns(state):
    state["encoder"]["names"].pop()
    state["encoder"]["sources"].pop()


@pytest.mark.parametrize(
    ("model", "change", "said"),
    [
        ("kaplan_meier", _nothing, "times do not ascend"),
        ("kaplan_meier", _backwards, "times do not ascend"),
        ("kaplan_meier", _falling, "cumulative hazard falls"),
        ("cox", _falling, "cumulative hazard falls"),
        ("cox", _one_short, "coefficients are not those of its columns"),
        ("coxnet", _not_finite, "slopes is no list of finite numbers"),
        ("cox", _other_columns, "coefficients are not those of its columns"),
        ("gradient_boosting", _in_a_circle, "trees lead nowhere"),
        ("gradient_boosting", _beyond, "trees ask columns"),
        ("random_survival_forest", _in_a_circle, "trees lead nowhere"),
        ("random_survival_forest", _shorter_leaves, "cannot reshape|lead nowhere"),
        ("random_survival_forest", _backwards, "times do not ascend"),
        ("hazard", _cut_text, "trees are not as they were saved"),
        ("hazard", _other_columns, "columns, not"),
    ],
)
def test_a_state_that_cannot_be_is_refused(data, tmp_path, model, change, said):
    path = tmp_path / "model.json"
    ChurnModel(model, seed=3, **OPTIONS[model]).fit(data).save(path)
    _change(path, change)
    with pytest.raises(ModelError, match=said):
        load_model(path)


def test_an_option_that_cannot_be_written_is_refused_by_name(data, tmp_path):
    forest = ChurnModel("random_survival_forest", n_estimators=2, random_state=np.random.RandomState(1)).fit(data)
    said = r"option 'random_state' of <ChurnModel random_survival_forest> is a RandomState.*fit with numbers"
    with pytest.raises(ModelError, match=said):
        forest.save(tmp_path / "forest.json")
    assert list(tmp_path.iterdir()) == []


def test_curves_that_are_not_kept_are_refused_at_the_fit(data):
    with pytest.raises(ModelError, match="low_memory keeps no survival curves"):
        ChurnModel("random_survival_forest", n_estimators=2, low_memory=True).fit(data)
    with pytest.raises(ModelError, match=r"GradientBoostingSurvivalAnalysis cannot be fitted to 600 rows: .*coxph"):
        ChurnModel("gradient_boosting", n_estimators=2, loss="squared").fit(data)


def test_what_is_not_fitted_is_not_saved_and_another_class_is_named(tmp_path):
    for model in (ChurnModel("cox"), Recalibration(), Recalibration("isotonic")):
        with pytest.raises(ModelError, match="is not fitted"):
            model.save(tmp_path / "model.json")
    assert list(tmp_path.iterdir()) == []
    clv.NBDModel.from_parameters(r=1, alpha=2).save(tmp_path / "nbd.json")
    with pytest.raises(ModelError, match="holds a NBDModel, not a ChurnModel"):
        ChurnModel.load(tmp_path / "nbd.json")


@pytest.mark.parametrize("method", ["logistic", "isotonic"])
def test_a_recalibration_comes_back_bit_by_bit(method, tmp_path):
    rng = np.random.default_rng(6)
    p = rng.beta(2, 3, 2_000)
    fitted = Recalibration(method).fit(p, rng.random(2_000) < p**2)
    fitted.save(tmp_path / "map.json")
    again = Recalibration.load(tmp_path / "map.json")
    at = np.linspace(0, 1, 301)
    np.testing.assert_array_equal(again.apply(at), fitted.apply(at))
    name = "slope" if method == "logistic" else "levels"
    _change(tmp_path / "map.json", lambda state: state.update({name: {"not_finite": "inf"} if name == "slope" else []}))
    with pytest.raises(ModelError, match=r"its line is|steps do not ascend"):
        load_model(tmp_path / "map.json")


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Customers with a rhythm, of whom some leave: 200 over a year."""
    rng = np.random.default_rng(8)
    rows = []
    for customer in range(200):
        day, rhythm = float(rng.integers(0, 200)), rng.gamma(4, 5)
        while day < 365 and rng.random() > 0.06:
            rows.append((f"c{customer:03}", pd.Timestamp("2024-01-01") + pd.Timedelta(days=int(day)), 10.0))
            day += max(1.0, rng.gamma(9, rhythm / 9))
    path = tmp_path_factory.mktemp("saved") / "orders.parquet"
    pd.DataFrame(rows, columns=["customer", "day", "money"]).to_parquet(path)
    columns = {"customer_id": "customer", "ordered_at": "day", "revenue": "money"}
    with connect(orders=path, columns=columns, value={"as_of": "2024-12-31"}) as database:
        yield database


@pytest.mark.parametrize("model", ["hazard", "cox"])
def test_a_forecast_comes_back_and_scores_as_it_did(shop, model, tmp_path):
    options = {"rounds": 5} if model == "hazard" else {}
    forecast = clv.forecast_churn(shop, horizon=30, model=model, recalibrate="logistic", seed=2, **options)
    assert forecast.recalibration is not None
    forecast.save(tmp_path / "forecast.json")
    again = load_model(tmp_path / "forecast.json")
    assert again.report is None
    pd.testing.assert_frame_equal(again.score(shop, explain=20), forecast.score(shop, explain=20), check_exact=True)
    _change(tmp_path / "forecast.json", lambda state: state.update(chosen="nbd"))
    with pytest.raises(ModelError, match="nbd was chosen of"):
        load_model(tmp_path / "forecast.json")


def _order_model(**parameters):
    return lambda state: state["btyd"]["state"]["params"].update(parameters)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_order_model(r=-1.0), "parameter r is -1.0; it must be positive and finite"),
        (_order_model(r=0.0), "parameter r is 0.0"),
        (_order_model(alpha={"not_finite": "nan"}), "parameter alpha is nan"),
        (_order_model(s={"not_finite": "inf"}), "parameter s is inf"),
        (lambda state: state["btyd"]["state"].update(time_unit="day"), "time unit of pareto_nbd is 'day', not 'week'"),
        (lambda state: state.update(horizon=-30), "horizon is -30; it must be a number of days above 0"),
        (lambda state: state.update(horizon=0), "horizon is 0"),
        (lambda state: state.update(horizon={"not_finite": "nan"}), "horizon is nan"),
        (lambda state: state.update(horizon="30"), "horizon is '30'"),
        (lambda state: state.update(chosen="kaplan_meier + kaplan_meier"), "was chosen of kaplan_meier and pareto_nbd"),
        (lambda state: state.update(note=["x"]), "its note is .*no text"),
        (lambda state: state["model"].update(seed=-1), "seed is -1; it must be a whole number from 0"),
        (lambda state: state["model"].update(n_intervals={"not_finite": "inf"}), "cannot convert float infinity"),
        (
            lambda state: state.update(recalibration={"method": "logistic", "intercept": 0.0, "slope": -5.0}),
            "slope is -5, which turns every rank round",
        ),
    ],
)
def test_a_forecast_of_models_that_cannot_be_is_refused(forecast_file, tmp_path, change, said):
    path = tmp_path / "forecast.json"
    path.write_bytes(forecast_file.read_bytes())
    _change(path, change)
    with pytest.raises(ModelError, match=f"forecast.json: the ChurnForecast cannot be: .*{said}"):
        clv.ChurnForecast.load(path)


@pytest.fixture(scope="module")
def forecast_file(shop, tmp_path_factory):
    path = tmp_path_factory.mktemp("forecast") / "forecast.json"
    clv.forecast_churn(shop, horizon=30, model="kaplan_meier", choose=False).save(path)
    return path


@pytest.mark.parametrize("given", [{"seed": -1}, {"seed": "a"}, {"seed": None}, {"max_rows": 0}, {"max_rows": -3}])
def test_seeds_and_rows_that_are_none_are_refused(given):
    with pytest.raises(ModelError, match=f"{next(iter(given))} is .*must be a whole number from"):
        ChurnModel("cox", **given)


@pytest.mark.parametrize("bins", [-1, 0, 2.5])
def test_bins_of_a_forest_are_whole_and_above_zero(data, bins):
    with pytest.raises(ModelError, match=r"bins is .*whole number from"):
        ChurnModel("random_survival_forest", bins=bins).fit(data)


def test_those_with_the_largest_probability_times_weight_are_explained(shop, tmp_path):
    forecast = clv.forecast_churn(shop, horizon=30, model="cox", choose=False)
    plain = forecast.score(shop)
    p, customers = plain["probability_no_order"].to_numpy(), plain["customer_id"]
    weight = np.random.default_rng(5).lognormal(sigma=2.0, size=len(p))
    by_customer = pd.Series(weight, customers).sample(frac=1.0, random_state=1)
    for given, stake in (
        (None, p),
        (weight, p * weight),
        (by_customer, p * weight),
        (by_customer.to_dict(), p * weight),
    ):
        scores = forecast.score(shop, explain=10, weights=given)
        told = scores["reason_1"] != ""
        assert set(np.flatnonzero(told)) == set(np.argsort(-stake)[:10])
        pd.testing.assert_frame_equal(scores[list(plain)], plain)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda weights: weights.iloc[:-1], "customer 'c199' has no weight"),
        (lambda weights: weights.to_numpy()[:-1], r"weights have shape \(\d+,\); give one for each of"),
        (lambda weights: weights.replace(1.0, np.nan), "the weight of 'c000' is nan"),
        (lambda weights: weights.astype(str) + "x", "a weight is no number"),
        (lambda weights: 1.0, r"weights have shape \(\)"),
    ],
)
def test_weights_that_are_none_are_refused(shop, forecast_file, change, said):
    forecast = load_model(forecast_file)
    customers = forecast.score(shop)["customer_id"]
    with pytest.raises(ModelError, match=said):
        forecast.score(shop, explain=3, weights=change(pd.Series(1.0, customers)))
