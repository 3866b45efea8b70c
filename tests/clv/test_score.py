"""Scores: the contract's shape, agreement with the models, and customers at every edge."""

from datetime import date

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from regulars import clv
from regulars.clv.segments import top_value
from regulars.clv.simulate import simulate_bg_nbd
from regulars.sql.contract import CUSTOMER_SCORES, SEGMENTS
from regulars.sql.errors import ContractError, ModelError

MODELS = {
    "nbd": clv.NBDModel.from_parameters(r=0.385, alpha=12.07),
    "bg_nbd": clv.BetaGeoModel.from_parameters(r=0.243, alpha=4.414, a=0.793, b=2.426),
    "mbg_nbd": clv.ModifiedBetaGeoModel.from_parameters(r=0.525, alpha=6.183, a=0.891, b=1.614),
    "pareto_nbd": clv.ParetoNBDModel.from_parameters(r=0.5534, alpha=10.58, s=0.6061, beta=11.656),
}
SPEND = clv.GammaGammaModel.from_parameters(p=6.25, q=3.74, v=15.44)
DAY = date(1997, 9, 30)
EDGES = pd.DataFrame(
    [
        ("bought today", 0, 0.0, 0.0, 0.0),
        ("once, long ago", 0, 0.0, 78.0, 0.0),
        ("twice, today", 1, 1 / 7, 1 / 7, 30.0),
        ("came back at once, then never", 3, 3 / 7, 104.0, 12.5),
        ("every day", 727, 727 / 7, 104.0, 3.1),
        ("every day, then gone", 300, 300 / 7, 104.0, 3.1),
        ("repeat purchases for nothing", 4, 30.0, 39.0, 0.0),
        ("a fortune", 2, 30.0, 39.0, 1e15),
        ("ten thousand orders", 10_000, 520.0, 520.0, 20.0),
    ],
    columns=["customer_id", "frequency", "recency", "T", "monetary_value"],
)


@pytest.fixture(params=MODELS.values(), ids=MODELS)
def model(request):
    return request.param


@pytest.fixture(scope="module")
def base():
    ages = np.random.default_rng(3).integers(1, 500, 3000) / 7
    parameters = {"r": 0.4, "alpha": 4.0, "a": 0.8, "b": 2.5}
    frame = simulate_bg_nbd(parameters, len(ages), ages, seed=4, whole_days=True)
    frame["monetary_value"] = np.where(frame["frequency"] > 0, np.random.default_rng(5).gamma(3, 10, len(frame)), 0.0)
    frame["customer_id"] = [f"c{i}" for i in range(len(frame))]
    return frame


def test_the_table_is_the_contracts(model, base):
    scores = clv.score_customers(model, SPEND, base, as_of=DAY)
    assert scores.column_names == list(CUSTOMER_SCORES.column_names)
    types = {"VARCHAR": pa.string(), "DOUBLE": pa.float64(), "DATE": pa.date32()}
    assert [field.type for field in scores.schema] == [types[column.type] for column in CUSTOMER_SCORES.columns]
    assert scores["customer_id"].to_pylist() == base["customer_id"].tolist()
    assert set(scores["as_of"].to_pylist()) == {DAY}
    assert set(scores["segment"].to_pylist()) <= set(SEGMENTS)


def test_columns_are_what_the_models_say(model, base):
    scores = clv.score_customers(model, SPEND, base, as_of=DAY, horizon=26, discount_rate=0.08, margin=0.4).to_pandas()
    assert np.array_equal(scores["probability_alive"], model.probability_alive(base))
    assert np.array_equal(scores["expected_orders"], model.expected_purchases(base, 26))
    assert np.array_equal(scores["probability_no_order"], model.probability_no_purchase(base, 26))
    assert np.array_equal(scores["expected_order_value"], SPEND.conditional_expected_value(base))
    value = clv.customer_lifetime_value(model, SPEND, base, 26, 0.08, 0.4)
    assert scores["customer_value"].to_numpy() == pytest.approx(value, rel=1e-12)
    wait = model.median_time_to_next_purchase(base)
    assert np.array_equal(scores["next_order_days"].isna(), np.isnan(wait))
    assert scores["next_order_days"].to_numpy() == pytest.approx(7 * wait, nan_ok=True)


def test_intervals_enclose_and_are_ordered(model, base):
    scores = clv.score_customers(model, SPEND, base, as_of=DAY).to_pandas()
    assert (scores["orders_low"] <= scores["orders_high"]).all()
    assert (scores["value_low"] <= scores["value_high"]).all()
    # no order in the interval is no money in it, and the other way round
    assert (scores.loc[scores["orders_high"] == 0, "value_high"] == 0).all()
    assert (scores.loc[scores["probability_no_order"] > 0.8 + 1e-9, "value_high"] == 0).all()
    assert (scores.loc[scores["probability_no_order"] < 0.8 - 1e-9, "value_high"] > 0).all()


@pytest.mark.parametrize("horizon", [0, 1e-3, 52, 520])
def test_no_legal_customer_gets_nan(model, horizon):
    scores = clv.score_customers(model, SPEND, EDGES, as_of=DAY, horizon=horizon).to_pandas()
    numbers = scores.select_dtypes("number").drop(columns="next_order_days")
    assert np.isfinite(numbers.to_numpy()).all()
    assert (numbers.to_numpy() >= 0).all()
    assert scores["next_order_days"].dropna().gt(0).all()
    assert scores[["probability_alive", "probability_no_order"]].to_numpy().max() <= 1
    if horizon == 0:
        assert (scores[["expected_orders", "orders_high", "customer_value", "value_high"]] == 0).all().all()
        assert (scores["probability_no_order"] == 1).all()


def test_awkward_fits_score_everybody(base):
    rng = np.random.default_rng(9)
    heavy_tailed = base.assign(monetary_value=np.where(base["frequency"] > 0, 10 * rng.pareto(0.6, len(base)) + 1, 0.0))
    equal = base.assign(monetary_value=np.where(base["frequency"] > 0, 9.99, 0.0))
    steady = {"frequency": [5, 6, 4], "recency": [50.0, 51, 49], "T": [52.0] * 3, "weight": [50, 40, 60]}
    no_dropout = clv.ParetoNBDModel().fit(steady)
    assert not no_dropout.identified_
    for frame in (heavy_tailed, equal):
        spend = clv.GammaGammaModel().fit(frame)
        assert spend.message_
        scores = clv.score_customers(no_dropout, spend, frame, as_of=DAY).to_pandas()
        assert np.isfinite(scores.select_dtypes("number").to_numpy()).all()
        assert (scores["value_low"] <= scores["value_high"]).all()
    assert scores["expected_order_value"].to_numpy() == pytest.approx(9.99, rel=1e-3)


def test_the_interval_of_ten_thousand_orders_is_about_the_expectation():
    scores = clv.score_customers(MODELS["nbd"], SPEND, EDGES, as_of=DAY).to_pandas().set_index("customer_id")
    row = scores.loc["ten thousand orders"]
    assert row["orders_low"] < row["expected_orders"] < row["orders_high"]
    width = (row["orders_high"] - row["orders_low"]) / row["expected_orders"]
    # the rate is known to 1 / sqrt(10,000), a year's count varies by 1 / sqrt(1,000); 80% is 1.28 deviations either way
    assert width == pytest.approx(2 * 1.2816 * np.sqrt(1 / 10_000 + 1 / 1000), rel=0.02)


def test_a_score_depends_on_the_customers_own_row(model, base):
    whole = clv.score_customers(model, SPEND, base, as_of=DAY, model_version="v", best_from=100.0)
    order = np.random.default_rng(1).permutation(len(base))
    shuffled = clv.score_customers(model, SPEND, base.iloc[order], as_of=DAY, model_version="v", best_from=100.0)
    assert shuffled.equals(whole.take(order))
    parts = [
        clv.score_customers(model, SPEND, base.iloc[rows], as_of=DAY, model_version="v", best_from=100.0)
        for rows in np.array_split(np.arange(len(base)), 7)
    ]
    assert pa.concat_tables(parts).combine_chunks().equals(whole.combine_chunks())


def test_frames_of_every_kind_give_the_same(base):
    columns = base[["customer_id", "frequency", "recency", "T", "monetary_value"]]
    expected = clv.score_customers(MODELS["bg_nbd"], SPEND, columns, as_of=DAY)
    polars = pl.from_pandas(columns)
    for frame in (polars, polars.lazy(), polars.to_arrow(), columns.to_dict("list")):
        assert clv.score_customers(MODELS["bg_nbd"], SPEND, frame, as_of=DAY).equals(expected)


def test_ids_of_every_type_become_text(base):
    few = base.head(3).assign(customer_id=[7, 8, 9])
    scores = clv.score_customers(MODELS["bg_nbd"], SPEND, few, as_of=DAY)
    assert scores["customer_id"].to_pylist() == ["7", "8", "9"]


def test_without_money_every_value_is_zero(base):
    scores = clv.score_customers(MODELS["bg_nbd"], None, base, as_of=DAY).to_pandas()
    assert (scores[["expected_order_value", "customer_value", "value_low", "value_high"]] == 0).all().all()
    assert scores["expected_orders"].gt(0).all()
    assert "best" not in set(scores["segment"])
    assert scores["model_version"].iloc[0].startswith("bg_nbd:")


def test_the_version_names_both_models():
    one = clv.score_customers(MODELS["bg_nbd"], SPEND, EDGES, as_of=DAY)["model_version"][0].as_py()
    other_spend = clv.GammaGammaModel.from_parameters(p=6.25, q=3.74, v=15.45)
    two = clv.score_customers(MODELS["bg_nbd"], other_spend, EDGES, as_of=DAY)["model_version"][0].as_py()
    assert one.startswith("bg_nbd:")
    assert " + gamma_gamma:" in one
    assert "regulars" in one
    assert one != two


def test_segments_follow_the_contract(base):
    scores = clv.score_customers(MODELS["mbg_nbd"], SPEND, base, as_of=DAY).to_pandas()
    frequency, age = base["frequency"].to_numpy(), base["T"].to_numpy() * 7
    alive, value = scores["probability_alive"].to_numpy(), scores["customer_value"].to_numpy()
    by_name = {name: scores["segment"].to_numpy() == name for name in SEGMENTS}
    assert sum(by_name.values()).tolist() == [1] * len(base)
    assert all(rows.any() for rows in by_name.values())
    assert (by_name["new"] == ((frequency == 0) & (age <= 30 + 1e-9))).all()
    assert (by_name["one_time"] == ((frequency == 0) & (age > 30 + 1e-9))).all()
    assert (alive[by_name["best"] | by_name["active"]] >= 0.5).all()
    assert (value[by_name["best"]] >= np.sort(value)[-300]).all()
    assert (alive[by_name["at_risk"]] < 0.5).all()
    assert (alive[by_name["lapsed"]] < 0.2).all()


def test_the_top_tenth_holds_at_least_one_customer():
    assert top_value([3.0, 1.0]) == 3.0
    assert top_value([]) == np.inf
    assert clv.assign_segments([5], [99], [0.9], [0.0]).tolist() == ["active"]  # worth nothing: not the best


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"horizon": np.inf}, "horizon is inf; it must be a finite number of weeks"),
        ({"horizon": -1}, "horizon is -1"),
        ({"margin": -0.1}, "margin is -0.1"),
        ({"discount_rate": -1}, "discount_rate is -1; it must be a finite rate per year"),
    ],
)
def test_impossible_arguments_are_named(arguments, error):
    with pytest.raises(ModelError, match=error):
        clv.score_customers(MODELS["bg_nbd"], SPEND, EDGES, as_of=DAY, **arguments)


def test_a_missing_column_is_named():
    with pytest.raises(ContractError, match=r"no column 'customer_id'; did you mean 'customr_id'\?"):
        clv.score_customers(MODELS["bg_nbd"], SPEND, EDGES.rename(columns={"customer_id": "customr_id"}), as_of=DAY)
    with pytest.raises(ContractError, match="no column 'monetary_value'"):
        clv.score_customers(MODELS["bg_nbd"], SPEND, EDGES.drop(columns="monetary_value"), as_of=DAY)


def test_a_summary_in_another_unit_is_refused():
    days = EDGES.copy()
    days.attrs["time_unit"] = "day"
    with pytest.raises(ModelError, match="counts in days, the model in weeks"):
        clv.score_customers(MODELS["bg_nbd"], SPEND, days, as_of=DAY)
