"""Scores as SQL equal Python's, of every model, for ordinary customers and for the hard ones of the references."""

from datetime import date

import duckdb
import numpy as np
import pandas as pd
import pytest

from regulars.clv import (
    BetaGeoModel,
    CovariateModel,
    FittedClock,
    GammaGammaModel,
    LeftCensoredModel,
    ModifiedBetaGeoModel,
    NBDModel,
    ParetoNBDModel,
    SeasonalBetaGeoModel,
    SegmentPriorModel,
    SpendCovariateModel,
    score_customers,
    score_sql,
    score_terms,
)
from regulars.sql.errors import ModelError

SPEND = GammaGammaModel.from_parameters(p=6.25, q=3.74, v=15.44)
MODELS = {
    "nbd": NBDModel.from_parameters(r=0.4, alpha=12.0),
    "bg_nbd": BetaGeoModel.from_parameters(r=0.243, alpha=4.414, a=0.793, b=2.426),
    "mbg_nbd, b below 1": ModifiedBetaGeoModel.from_parameters(r=0.52, alpha=6.2, a=0.89, b=0.6),
    "pareto_nbd, alpha shorter": ParetoNBDModel.from_parameters(r=0.5534, alpha=10.5802, s=0.6061, beta=11.6562),
    "pareto_nbd, beta shorter": ParetoNBDModel.from_parameters(r=0.55, alpha=40.0, s=2.3, beta=3.0),
    "pareto_nbd, s near 1": ParetoNBDModel.from_parameters(r=0.5143, alpha=2.8845, s=1.00001, beta=1.1087),
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
    unseen = base.assign(T_days=base["T_days"] + 10_000)
    found = _run(score_sql(model, SPEND, horizon=39), customer_summary=unseen, score_terms=terms)
    assert found["expected_orders"].isna().all()
    assert found["probability_alive"].notna().all()


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


@pytest.mark.parametrize(("given", "word"), [({"horizon": -1}, "horizon"), ({"horizon": 39, "margin": 2}, "margin")])
def test_terms_out_of_range_are_refused(given: dict[str, float], word: str) -> None:
    with pytest.raises(ModelError, match=word):
        score_sql(MODELS["nbd"], None, **given)


def _refused_kinds() -> list:
    base = _base(600).assign(x=np.arange(600) % 2)
    flat = FittedClock.flat(date(2017, 1, 1), date(2017, 12, 31))
    seasonal = SeasonalBetaGeoModel.from_parameters(clock=flat, r=0.243, alpha=4.414, a=0.793, b=2.426)
    # where dropout is not identified a plain NBD predicts, and yet on a seasonal clock
    seasonal.params_ |= {"a": 0.0, "b": float("nan")}
    return [
        CovariateModel("nbd", purchase=["x"]).fit(base),
        CovariateModel("bg_nbd", purchase=["x"]),
        SegmentPriorModel("nbd", ["x"]).fit(base),
        SegmentPriorModel("nbd", ["x"]),
        seasonal,
        LeftCensoredModel("bg_nbd", window=52, history=52),
    ]


def test_models_without_sql_are_refused_by_name() -> None:
    base = _base(20)
    for model in _refused_kinds():
        with pytest.raises(ModelError, match=f"the {model.name} model has no SQL"):
            score_sql(model, None, horizon=39)
        with pytest.raises(ModelError, match=f"the {model.name} model has no SQL"):
            score_terms(model, base, horizon=39)
    spend = SpendCovariateModel(["x"]).fit(_base(600).assign(x=np.arange(600) % 2))
    with pytest.raises(ModelError, match="gamma_gamma_covariates model of spend has no SQL"):
        score_sql(MODELS["nbd"], spend, horizon=39)
    with pytest.raises(ModelError, match="not fitted"):
        score_sql(NBDModel(), None, horizon=39)
    with pytest.raises(ModelError, match="not fitted"):
        score_sql(MODELS["nbd"], GammaGammaModel(), horizon=39)


def test_a_covariate_model_without_covariates_is_the_plain_one() -> None:
    base = _base(600)
    model = CovariateModel("nbd").fit(base)
    found = _run(score_sql(model, None, horizon=39), customer_summary=base)
    np.testing.assert_allclose(found["expected_orders"], model.expected_purchases(base, 39), rtol=1e-9)
