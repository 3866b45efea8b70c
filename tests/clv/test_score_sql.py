"""Scores as SQL equal Python's, of every model, for ordinary customers and for the hard ones of the references."""

from datetime import date

import duckdb
import numpy as np
import pandas as pd
import pytest

from regulars.clv import (
    BetaGeoModel,
    CovariateModel,
    GammaGammaModel,
    LeftCensoredModel,
    ModifiedBetaGeoModel,
    NBDModel,
    ParetoNBDModel,
    SeasonalBetaGeoModel,
    SegmentPriorModel,
    SpendCovariateModel,
    TimeVaryingParetoNBDModel,
    score_customers,
    score_sql,
    score_terms,
)
from regulars.clv.plain_models import plain_model
from regulars.sql.errors import ContractError, ModelError

SPEND = GammaGammaModel.from_parameters(p=6.25, q=3.74, v=15.44)
MODELS = {
    "nbd": NBDModel.from_parameters(r=0.4, alpha=12.0),
    "bg_nbd": BetaGeoModel.from_parameters(r=0.243, alpha=4.414, a=0.793, b=2.426),
    "mbg_nbd, b below 1": ModifiedBetaGeoModel.from_parameters(r=0.52, alpha=6.2, a=0.89, b=0.6),
    "pareto_nbd, alpha shorter": ParetoNBDModel.from_parameters(r=0.5534, alpha=10.5802, s=0.6061, beta=11.6562),
    "pareto_nbd, beta shorter": ParetoNBDModel.from_parameters(r=0.55, alpha=40.0, s=2.3, beta=3.0),
    "pareto_nbd, s near 1": ParetoNBDModel.from_parameters(r=0.5143, alpha=2.8845, s=1.00001, beta=1.1087),
    # as fits of a base without differences between customers end
    "bg_nbd, r and b at the boundary": BetaGeoModel.from_parameters(r=49807.5, alpha=213637.5, a=3.083, b=100000.0),
    "pareto_nbd, beta at the boundary": ParetoNBDModel.from_parameters(
        r=0.9985, alpha=4.279, s=92233.96, beta=5217097.0
    ),
    "pareto_nbd, s = 1": ParetoNBDModel.from_parameters(r=0.5143, alpha=2.8845, s=1.0, beta=14.1087),
}
# (x, recency, T) in days: lapsed heavy buyers, buyers of today, one-time buyers old and new
HARD = [(500, 2100, 2548), (221, 724, 725), (161, 663, 686), (30, 21, 2100), (500, 35, 728), (0, 0, 0), (0, 0, 2548)]


def _base(n: int = 3_000) -> pd.DataFrame:
    rng = np.random.default_rng(4)
    frequency = rng.poisson(rng.gamma(0.5, 8.0, n))
    age = rng.integers(1, 800, n)
    recency = np.where(frequency > 0, np.maximum(np.floor(age * np.sqrt(rng.uniform(size=n))), 1), 0).astype(int)
    frequency[: len(HARD)], recency[: len(HARD)], age[: len(HARD)] = zip(*HARD, strict=True)
    return pd.DataFrame(
        {
            "customer_id": [f"c{i:05d}" for i in range(n)],
            "frequency": frequency,
            "recency": recency / 7,
            "T": age / 7,
            "T_days": age,
            "monetary_value": np.where(frequency > 0, rng.gamma(2.0, 20.0, n), 0.0),
        }
    )


def _run(script: str, **tables: object) -> pd.DataFrame:
    session = duckdb.connect()
    for name, table in tables.items():
        session.register(name, table)
    found = None
    for statement in duckdb.extract_statements(script):
        found = session.execute(statement)
    assert found is not None
    return found.df()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("discount_rate", [0.0, 0.1])
def test_sql_scores_equal_those_of_python(name: str, discount_rate: float) -> None:
    model, base = MODELS[name], _base()
    terms = {"horizon": 39, "discount_rate": discount_rate}
    expected = score_customers(model, SPEND, base, as_of=date(2020, 1, 1), margin=0.3, **terms).to_pandas()
    script = score_sql(model, SPEND, margin=0.3, oldest=float(base["T"].max()), **terms)
    found = _run(script, customer_summary=base, score_terms=score_terms(model, base, **terms))
    assert found["customer_id"].tolist() == sorted(base["customer_id"])
    for column in found.columns[1:]:
        # 1e-9 is what the script promises; chances are compared as they stand, money and counts by their size
        np.testing.assert_allclose(found[column], expected[column], rtol=1e-9, atol=1e-12, err_msg=column)


def test_without_money_every_value_is_zero() -> None:
    base, model = _base(50), MODELS["bg_nbd"]
    found = _run(
        score_sql(model, None, horizon=39), customer_summary=base, score_terms=score_terms(model, base, horizon=39)
    )
    assert (found["customer_value"] == 0.0).all()
    assert (found["expected_orders"] > 0.0).any()


def test_a_history_that_the_snapshot_has_not_seen_has_no_expectation() -> None:
    base, model = _base(50), MODELS["bg_nbd"]
    terms = score_terms(model, base, horizon=39)
    unseen = base.assign(T_days=base["T_days"] + 10_000, T=base["T"] + 10_000 / 7)
    found = _run(score_sql(model, SPEND, horizon=39), customer_summary=unseen, score_terms=terms)
    assert found["expected_orders"].isna().all()
    assert found["probability_alive"].notna().all()


@pytest.mark.parametrize("name", [name for name in MODELS if name != "nbd"])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"T": 7.0, "recency": 7.0}, "T is .* where T_days is .*; T and recency must be in units of 7 days"),
        ({"recency": 7.0}, "recency is .* where T is .*; it must lie between 0 and T"),
        ({"recency": -1.0}, "recency is -.* where T is .*; it must lie between 0 and T"),
    ],
    ids=["days for weeks", "recency in days", "recency below 0"],
)
def test_times_that_are_no_history_or_in_another_unit_end_the_statement(
    name: str, change: dict[str, float], said: str
) -> None:
    # recency in days, T in weeks: P(alive) was above 1
    base, model = _base(50), MODELS[name]
    terms = score_terms(model, base, horizon=39)
    asked = base.assign(**{column: base[column] * times for column, times in change.items()})
    with pytest.raises(duckdb.InvalidInputException, match=said):
        _run(score_sql(model, SPEND, horizon=39), customer_summary=asked, score_terms=terms)


@pytest.mark.parametrize(("unit", "days"), [("hour", 1 / 24), ("day", 1.0), ("week", 7.0)])
def test_customers_of_nineteen_years_have_a_score_in_any_unit(unit: str, days: float) -> None:
    # nothing but oldest decides: alpha and beta are short, so that the integral needs its panels
    model = ParetoNBDModel.from_parameters(r=0.5, alpha=0.5 / days, s=0.6, beta=0.7 / days, time_unit=unit)
    base = pd.DataFrame({"customer_id": ["a"], "frequency": 2, "recency": 1 / days, "T": 7000 / days, "T_days": 7000})
    base["monetary_value"] = 9.0
    base.attrs["time_unit"] = unit
    terms = score_terms(model, base, horizon=90 / days)
    found = _run(score_sql(model, None, horizon=90 / days), customer_summary=base, score_terms=terms)
    assert found["probability_alive"][0] == pytest.approx(model.probability_alive(base)[0], rel=1e-9)


@pytest.mark.parametrize("unit", ["hour", "day", "month"])
def test_units_of_time_are_the_models(unit: str) -> None:
    days = {"hour": 1 / 24, "day": 1.0, "month": 30.4375}[unit]
    base = _base(200)
    base = base.assign(T=base["T_days"] / days, recency=base["recency"] * 7 / days)
    base.attrs["time_unit"] = unit
    model = BetaGeoModel.from_parameters(r=0.243, alpha=30.9 / days, a=0.793, b=2.426, time_unit=unit)
    terms = score_terms(model, base, horizon=90 / days)
    found = _run(score_sql(model, None, horizon=90 / days), customer_summary=base, score_terms=terms)
    np.testing.assert_allclose(found["expected_orders"], model.expected_purchases(base, 90 / days), rtol=1e-9)


def test_dropout_that_is_not_identified_is_scored_as_nbd() -> None:
    rng = np.random.default_rng(0)
    frequency = rng.poisson(rng.gamma(5.0, 1.0, 2_000))
    base = pd.DataFrame({"frequency": frequency, "recency": np.where(frequency > 0, 52.0, 0.0), "T": 52.0})
    model = BetaGeoModel().fit(base)
    assert model.message_.startswith("dropout not identified")
    script = score_sql(model, None, horizon=52)
    assert model.message_ in script
    base = base.assign(customer_id=np.arange(2_000), monetary_value=0.0, T_days=364)
    found = _run(script, customer_summary=base).sort_values("customer_id")
    np.testing.assert_allclose(found["expected_orders"], model.expected_purchases(base, 52), rtol=1e-9)


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"horizon": -1}, "horizon"),
        ({"horizon": 39, "margin": 2}, "margin"),
        ({"horizon": 39, "oldest": float("nan")}, "oldest is nan; it must be a finite number of weeks from 0"),
        ({"horizon": 39, "oldest": -1.0}, "oldest is -1.0"),
        ({"horizon": 39, "oldest": "long"}, "oldest is 'long'"),
        ({"horizon": 39, "customers": " "}, "customers is ' '; it must be the name of a table or view"),
    ],
)
def test_terms_out_of_range_are_refused(given: dict[str, float], word: str) -> None:
    with pytest.raises(ModelError, match=word):
        score_sql(MODELS["nbd"], None, **given)


def test_models_without_sql_are_refused_by_name() -> None:
    base = _base(20)
    varying = TimeVaryingParetoNBDModel.from_parameters({"r": 0.55, "alpha": 10.58, "s": 0.61, "beta": 11.67})
    with pytest.raises(ModelError, match="has no SQL: its scores follow each customer's covariates period by period"):
        score_sql(varying, None, horizon=39)
    with pytest.raises(ModelError, match="read_covariate_paths"):
        score_terms(varying, base, horizon=39)
    with pytest.raises(ModelError, match="the gamma_gamma model has no SQL; there is SQL for nbd, bg_nbd"):
        score_sql(SPEND, None, horizon=39)
    with pytest.raises(ModelError, match="the bg_nbd model of spend has no SQL"):
        score_sql(MODELS["nbd"], MODELS["bg_nbd"], horizon=39)
    unfitted = [
        NBDModel(),
        CovariateModel("bg_nbd", purchase=["x"]),
        SegmentPriorModel("nbd", ["x"]),
        SeasonalBetaGeoModel(),
        LeftCensoredModel("bg_nbd", window=52, history=52),
    ]
    for model in unfitted:
        with pytest.raises(ModelError, match="not fitted"):
            score_sql(model, None, horizon=39)
        with pytest.raises(ModelError, match="not fitted"):
            score_terms(model, base, horizon=39)
    for spend in (GammaGammaModel(), SpendCovariateModel(["x"])):
        with pytest.raises(ModelError, match="not fitted"):
            score_sql(MODELS["nbd"], spend, horizon=39)


def test_a_model_without_covariates_is_written_as_the_plain_one() -> None:
    base = _base(600)
    for kind in ("nbd", "mbg_nbd", "pareto_nbd"):
        model, plain = CovariateModel(kind).fit(base), plain_model(kind).fit(base)
        spend = SpendCovariateModel().fit(base)
        assert score_sql(model, spend, horizon=39) == score_sql(plain, GammaGammaModel().fit(base), horizon=39)
        assert score_terms(model, base, horizon=39).equals(score_terms(plain, base, horizon=39))


def test_times_that_are_no_whole_days_are_refused() -> None:
    with pytest.raises(ContractError, match=r"T 38\.86 weeks in row 0 is no whole day"):
        score_terms(MODELS["bg_nbd"], {"frequency": [2], "recency": [30.0], "T": [38.86]}, horizon=39)


def test_times_a_last_bit_apart_are_one_row() -> None:
    age = 272 / 7
    found = score_terms(
        MODELS["bg_nbd"],
        {"frequency": [2, 2], "recency": [3.0, 3.0], "T": [age, np.nextafter(age, 99.0)]},
        horizon=39,
    )
    assert found["T_days"].to_pylist() == [272]


def test_who_is_older_than_the_integral_is_cut_for_has_no_score() -> None:
    model, base = MODELS["pareto_nbd, beta shorter"], _base(300)
    script = score_sql(model, SPEND, horizon=39, oldest=0.01)
    found = _run(script, customer_summary=base, score_terms=score_terms(model, base, horizon=39))
    expected = model.probability_alive(base)
    scored = found["probability_alive"].notna().to_numpy()
    assert 0 < scored.sum() < len(base)
    np.testing.assert_allclose(found["probability_alive"][scored], expected[scored], rtol=1e-9)
