"""The model report: published holdout figures, invariance, and verdicts in worlds where the answer is known."""

import json

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regulars import clv
from regulars.clv.evaluate import BASELINES, MODELS, sums_by_tenth
from regulars.clv.simulate import simulate_bg_nbd, simulate_nbd
from regulars.sql.contract import MODEL_CALIBRATION, MODEL_REPORTS
from regulars.sql.errors import ContractError, ModelError


@pytest.fixture(scope="module")
def report(cdnow_holdout):
    return clv.evaluate_models(cdnow_holdout)


# references/clv.md, "Numbers on CDNOW": log-likelihood, total and mean absolute error of the 39-week holdout
@pytest.mark.parametrize(
    ("model", "log_likelihood", "predicted", "mae"),
    [
        ("nbd", -9763.65761, 2929.8, 1.041),
        ("bg_nbd", -9582.42921, 1653.4, 0.785454),
        ("mbg_nbd", -9582.13572, 1576.7, 0.764779),
        ("pareto_nbd", -9594.97618, 1665.5, 0.754523),
    ],
)
def test_cdnow_is_the_published_one(report, model, log_likelihood, predicted, mae):
    row = report.reports.set_index("model").loc[model]
    assert row["actual"] == 1882
    assert row["customers"] == 2357
    assert row["log_likelihood"] == pytest.approx(log_likelihood, abs=1e-4)
    assert row["predicted"] == pytest.approx(predicted, abs=0.06)  # printed to one decimal
    assert row["mae"] == pytest.approx(mae, abs=2e-4 if mae > 1 else 2e-5)  # printed to three, elsewhere six digits
    assert row["total_error"] == pytest.approx(predicted / 1882 - 1, abs=1e-4)
    assert json.loads(row["parameters"]).keys() == report.fitted[model].params_.keys()


def test_figures_are_their_definitions(report, cdnow_holdout):
    actual = cdnow_holdout["frequency_holdout"]
    order_value = report.spend.conditional_expected_value(cdnow_holdout)
    for name, model in report.fitted.items():
        row = report.reports.set_index("model").loc[name]
        predicted = model.expected_purchases(cdnow_holdout, 39)
        assert row["rmse"] == pytest.approx(np.sqrt(((predicted - actual) ** 2).mean()), rel=1e-12)
        # no two customers of the last tenth are tied, so a plain sort gives the share
        best = np.argsort(predicted * order_value)[-236:]
        money = cdnow_holdout["revenue_holdout"].to_numpy()
        assert row["top_decile_share"] == pytest.approx(money[best].sum() / money.sum(), rel=1e-12)


def test_baselines_are_what_one_would_do_without_a_model(report, cdnow_holdout):
    rows = report.reports.set_index("model")
    before = cdnow_holdout["frequency"] / cdnow_holdout["T"] * 39
    assert rows.loc["same_rate", "predicted"] == pytest.approx(before.sum())
    mean = cdnow_holdout["frequency"].sum() / cdnow_holdout["T"].sum() * 39
    assert rows.loc["cohort_mean", "predicted"] == pytest.approx(2357 * mean)
    assert rows.loc[list(BASELINES), "is_baseline"].all()
    assert rows.loc[list(BASELINES), "log_likelihood"].isna().all()
    assert (rows.loc[list(BASELINES), "parameters"] == "{}").all()


def test_the_rank_follows_rmse_and_the_verdict_names_the_winner(report):
    assert report.reports["rank"].tolist() == list(range(1, 7))
    assert report.reports["rmse"].is_monotonic_increasing
    assert report.winner == report.best_model == "pareto_nbd"
    assert str(report) == report.verdict
    assert report.verdict.startswith("Pareto/NBD predicts best: RMSE 1.603 purchases a customer over 39 weeks")
    assert "total off by -11.5%" in report.verdict


def test_tables_are_the_contracts(report, cdnow_holdout):
    assert tuple(report.reports.columns) == MODEL_REPORTS.column_names
    assert tuple(report.calibration.columns) == MODEL_CALIBRATION.column_names
    arrow = clv.evaluate_models(pa.Table.from_pandas(cdnow_holdout.drop(columns="customer_id")), ["nbd"])
    types = {"VARCHAR": pa.string(), "DOUBLE": pa.float64(), "BIGINT": pa.int64(), "BOOLEAN": pa.bool_()}
    for table, found in ((MODEL_REPORTS, arrow.reports), (MODEL_CALIBRATION, arrow.calibration)):
        assert [field.type for field in found.schema] == [types[column.type] for column in table.columns]
    assert isinstance(clv.evaluate_models(pl.from_pandas(cdnow_holdout), ["nbd"]).reports, pl.DataFrame)


def test_calibration_adds_up(report):
    for name, rows in report.calibration.groupby("model"):
        assert rows["decile"].tolist() == list(range(1, 11))
        assert rows["customers"].sum() == 2357
        assert (rows["predicted"].diff().dropna() >= -1e-12).all()  # equal for the mean of the base, but for rounding
        row = report.reports.set_index("model").loc[name]
        assert (rows["customers"] * rows["actual"]).sum() == pytest.approx(1882)
        assert (rows["customers"] * rows["predicted"]).sum() == pytest.approx(row["predicted"])


def test_grouped_counts_give_the_same_report(report, cdnow_holdout):
    keys = ["frequency", "recency", "T", "frequency_holdout", "duration_holdout"]
    grouped = cdnow_holdout.groupby(keys, as_index=False).size().rename(columns={"size": "weight"})
    assert len(grouped) < len(cdnow_holdout)
    found = clv.evaluate_models(grouped)
    assert found.spend is None
    assert found.reports["top_decile_share"].isna().all()
    assert found.reports["model"].tolist() == report.reports["model"].tolist()
    numbers = ["customers", "actual", "predicted", "mae", "rmse", "log_likelihood"]
    assert found.reports[numbers].to_numpy() == pytest.approx(report.reports[numbers].to_numpy(), rel=1e-9, nan_ok=True)
    assert found.calibration["actual"].to_numpy() == pytest.approx(report.calibration["actual"].to_numpy(), abs=1e-9)


def test_the_order_of_rows_changes_nothing(report, cdnow_holdout):
    shuffled = clv.evaluate_models(cdnow_holdout.sample(frac=1, random_state=1))
    numbers = ["predicted", "mae", "rmse", "top_decile_share"]
    assert shuffled.reports[numbers].to_numpy() == pytest.approx(report.reports[numbers].to_numpy(), rel=1e-9)
    assert shuffled.calibration["actual"].to_numpy() == pytest.approx(report.calibration["actual"].to_numpy(), abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 4), st.integers(1, 30), st.integers(0, 9)), min_size=1, max_size=30),
    seed=st.integers(0, 99),
)
def test_tenths_are_fair_to_ties(rows, seed):
    order_by, weight, value = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    customers, (total,) = sums_by_tenth(order_by, weight, value)
    assert customers.sum() == weight.sum()
    assert customers.max() - customers.min() <= 1 or weight.sum() % 10
    assert total.sum() == pytest.approx((weight * value).sum())
    shuffle = np.random.default_rng(seed).permutation(len(rows))
    _, (again,) = sums_by_tenth(order_by[shuffle], weight[shuffle], value[shuffle])
    assert again == pytest.approx(total)
    expanded = np.repeat(np.arange(len(rows)), weight.astype(int))
    _, (one_by_one,) = sums_by_tenth(order_by[expanded], np.ones(len(expanded)), value[expanded])
    assert one_by_one == pytest.approx(total)


def test_where_nobody_leaves_the_report_says_that_dropout_is_not_identified():
    steady = simulate_nbd({"r": 2.0, "alpha": 10.0}, 4000, 52.0, seed=1, holdout=26.0)
    found = clv.evaluate_models(steady, duration=26.0)
    notes = found.reports.set_index("model")["note"]
    collapsed = [name for name in MODELS[1:] if notes[name].startswith("dropout not identified, NBD selected")]
    assert collapsed
    assert "dropout not identified, NBD selected; nobody is predicted to have left" in found.verdict
    rows = found.reports.set_index("model")
    for name in collapsed:
        assert rows.loc[name, "rmse"] == rows.loc["nbd", "rmse"]
        assert rows.loc[name, "rank"] > rows.loc["nbd", "rank"]  # of equals the one with fewer parameters
    json.loads(rows.loc[collapsed[0], "parameters"], parse_constant=pytest.fail)  # b is NaN: null in JSON


def test_a_naive_winner_is_said():
    # everyone goes on exactly as before: x / T is the truth, and every model shrinks away from it
    x = np.repeat(np.arange(1, 30), 20)
    clockwork = pd.DataFrame(
        {"frequency": x, "recency": 52.0, "T": 52.0, "frequency_holdout": x, "duration_holdout": 52.0}
    )
    found = clv.evaluate_models(clockwork)
    assert found.winner == "same_rate"
    assert found.best_model in MODELS
    assert "The naive baseline 'same rate as before' wins with RMSE 0.000: no model beats it." in found.verdict
    assert "add nothing" in found.verdict
    assert found.reports["rank"].iloc[0] == 1
    assert bool(found.reports["is_baseline"].iloc[0])


def test_a_difference_within_the_noise_is_said():
    few = simulate_bg_nbd({"r": 0.5, "alpha": 8.0, "a": 0.8, "b": 2.5}, 60, 52.0, seed=1, holdout=26.0)
    assert "within the noise" in clv.evaluate_models(few, ["bg_nbd"], duration=26.0).verdict


def test_windows_of_several_lengths_are_each_predicted(cdnow_holdout):
    halves = cdnow_holdout.assign(duration_holdout=np.where(np.arange(2357) % 2 == 0, 39.0, 13.0))
    found = clv.evaluate_models(halves, ["bg_nbd"])
    model = found.fitted["bg_nbd"]
    expected = (
        model.expected_purchases(halves.iloc[::2], 39.0).sum() + model.expected_purchases(halves.iloc[1::2], 13.0).sum()
    )
    assert found.reports.set_index("model").loc["bg_nbd", "predicted"] == pytest.approx(expected)


def test_models_are_fitted_anew(cdnow_holdout):
    given_model = clv.BetaGeoModel.from_parameters(r=9, alpha=9, a=9, b=9)
    found = clv.evaluate_models(cdnow_holdout, [given_model])
    assert given_model.params_["r"] == 9
    assert found.fitted["bg_nbd"].params_["r"] == pytest.approx(0.242595, rel=1e-3)


def test_a_holdout_without_purchases_has_no_relative_error():
    base = {"frequency": [0, 1, 3], "recency": [0, 9.0, 30], "T": [39.0] * 3, "weight": [50, 9, 9]}
    found = clv.evaluate_models(base | {"frequency_holdout": [0, 0, 0], "revenue_holdout": [0.0] * 3}, duration=13)
    assert found.reports["total_error"].isna().all()
    assert found.reports["top_decile_share"].isna().all()
    assert "nobody bought in the holdout" in found.verdict


def test_fewer_than_ten_customers_leave_tenths_out():
    base = {"frequency": [0, 1, 3], "recency": [0, 9.0, 30], "T": [39.0] * 3, "frequency_holdout": [0, 0, 2]}
    found = clv.evaluate_models(base, ["nbd"], duration=13)
    assert (found.calibration.groupby("model")["customers"].sum() == 3).all()
    assert np.isfinite(found.calibration[["predicted", "actual"]].to_numpy()).all()


@pytest.mark.parametrize(
    ("change", "arguments", "exception", "error"),
    [
        ({}, {"models": ["bgnbd"]}, ModelError, r"no model 'bgnbd'; did you mean 'bg_nbd'\?"),
        ({}, {"models": []}, ModelError, "no model to evaluate"),
        ({}, {"duration": 0}, ModelError, "the observation window has no length"),
        ({}, {}, ContractError, "no column 'duration_holdout'"),
        ({"frequency_holdout": [0, np.nan]}, {"duration": 1}, ModelError, "frequency_holdout must count purchases"),
        ({"frequency": [0, 0], "recency": [0, 0]}, {"duration": 1}, ModelError, "has bought a second time"),
        ({"T": [1.0, 1.0]}, {"duration": 1}, ContractError, "recency 9.0 in row 1 is later than T"),
    ],
)
def test_bad_input_is_named(change, arguments, exception, error):
    base = {"frequency": [0, 1], "recency": [0, 9.0], "T": [39.0] * 2, "frequency_holdout": [0, 1]}
    with pytest.raises(exception, match=error):
        clv.evaluate_models(base | change, **arguments)
