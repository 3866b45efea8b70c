"""Scores as SQL equal Python's where customers differ by more than their history: covariates, segments, clocks."""

from datetime import date
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

from regulars.clv import (
    CovariateModel,
    GammaGammaModel,
    LeftCensoredModel,
    SeasonalBetaGeoModel,
    SeasonalClock,
    SeasonalModifiedBetaGeoModel,
    SegmentPriorModel,
    SpendCovariateModel,
    customer_lifetime_value,
    score_sql,
    score_terms,
)
from regulars.clv.simulate import simulate_left_censored

SPEND = GammaGammaModel.from_parameters(p=6.25, q=3.74, v=15.44)
# Levels that a careless script would end at, or take for one another.
CHANNELS = ["web", "men's", 'say "hi"', "ünï\ncode; --", "1", "1.0", "True", ""]
AS_OF = date(2020, 1, 1)


def _base(n: int = 2_000, seed: int = 4) -> pd.DataFrame:
    """Customers in whole days who buy and leave as their covariates have it."""
    rng = np.random.default_rng(seed)
    channel = rng.choice(CHANNELS, n, p=[0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05])
    club, size = rng.uniform(size=n) < 0.4, rng.normal(40, 12, n).round(1)
    pace = np.exp(0.3 * (channel == "web") - 0.2 * (channel == "1") + 0.4 * club + 0.01 * (size - 40))
    days = rng.integers(30, 500, n)
    stay = np.minimum(rng.exponential(300 / (1 + club), n), days)
    frequency = rng.poisson(rng.gamma(0.8, 1.2, n) * pace * stay / 60)
    recency = np.where(frequency > 0, np.maximum(np.floor(stay * np.sqrt(rng.uniform(size=n))), 1), 0).astype(int)
    return pd.DataFrame(
        {
            "customer_id": [f"c{i:05d}" for i in range(n)],
            "frequency": frequency,
            "recency": recency / 7,
            "T": days / 7,
            "recency_days": recency,
            "T_days": days,
            "monetary_value": np.where(frequency > 0, rng.gamma(2.0, 20.0, n), 0.0),
            "first_order_on": np.datetime64(AS_OF) - days,
            "last_order_on": np.datetime64(AS_OF) - days + recency,
            "channel": channel,
            'the club\'s "card"': club,
            "size": size,
            "country": rng.choice(["DE", "o'FR", "CH"], n),
        }
    )


CLUB = 'the club\'s "card"'


def _run(script: str, **tables: object) -> pd.DataFrame:
    session = duckdb.connect()
    for name, table in tables.items():
        session.register(name, table)
    found = None
    for statement in duckdb.extract_statements(script):
        found = session.execute(statement)
    assert found is not None
    return found.df()


def _agree(model: Any, spend: Any, base: pd.DataFrame, *, rate: float = 0.1, **more: Any) -> None:
    """Hold every figure of the script against the model's own methods."""
    terms = score_terms(model, base, horizon=39, discount_rate=rate)
    script = score_sql(model, spend, horizon=39, discount_rate=rate, margin=0.3, **more)
    found = _run(script, customer_summary=base, score_terms=terms)
    expected = {
        "probability_alive": model.probability_alive(base),
        "expected_orders": model.expected_purchases(base, 39),
        "probability_no_order": model.probability_no_purchase(base, 39),
        "customer_value": customer_lifetime_value(model, spend, base, 39, rate, 0.3),
        "expected_order_value": spend.conditional_expected_value(base),
    }
    assert found["customer_id"].tolist() == sorted(base["customer_id"])
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-9, atol=1e-12, err_msg=name)
    assert script == score_sql(model, spend, horizon=39, discount_rate=rate, margin=0.3, **more)


@pytest.fixture(scope="module")
def base() -> pd.DataFrame:
    return _base()


@pytest.mark.parametrize("kind", ["nbd", "bg_nbd", "mbg_nbd", "pareto_nbd"])
def test_covariates_on_rate_and_dropout(kind: str, base: pd.DataFrame) -> None:
    dropout = [] if kind == "nbd" else [CLUB, "size"]
    model = CovariateModel(kind, purchase=["channel", CLUB, "size"], dropout=dropout, ridge=1.0).fit(base)
    spend = SpendCovariateModel(["channel", "size"], ridge=1.0).fit(base)
    _agree(model, spend, base)


@pytest.mark.parametrize("kind", ["bg_nbd", "pareto_nbd"])
def test_segments_and_those_not_seen(kind: str, base: pd.DataFrame) -> None:
    model = SegmentPriorModel(kind, ["country", "channel"]).fit(base)
    rng = np.random.default_rng(2)
    asked = base.assign(
        country=np.where(rng.uniform(size=len(base)) < 0.1, "by owl", base["country"]),
        channel=np.where(rng.uniform(size=len(base)) < 0.1, "new", base["channel"]),
    )
    _agree(model, SPEND, asked)


@pytest.mark.parametrize("kind", [SeasonalBetaGeoModel, SeasonalModifiedBetaGeoModel])
@pytest.mark.parametrize("rate", [0.0, 0.1])
def test_seasonal_clock(kind: Any, rate: float, base: pd.DataFrame) -> None:
    by_day = _repeats(base)
    model = kind(SeasonalClock(harmonics=2, closed=())).fit(base, by_day)
    _agree(model, SPEND, base, rate=rate)


def _repeats(base: pd.DataFrame) -> pd.DataFrame:
    """Days of repeat purchases: between first and last, evenly."""
    rows = base[base["frequency"] > 0]
    days = []
    for first, gap, count in zip(rows["first_order_on"], rows["recency_days"], rows["frequency"], strict=True):
        days += [first + pd.Timedelta(days=max(1, round(gap * k / count))) for k in range(1, count + 1)]
    counted = pd.Series(days).value_counts().sort_index()
    return pd.DataFrame({"day": counted.index, "purchase_days": counted.to_numpy()})


@pytest.mark.parametrize("kind", ["bg_nbd", "pareto_nbd"])
def test_customers_from_before_the_data(kind: str) -> None:
    truth = (
        {"r": 0.55, "alpha": 6.0, "a": 0.8, "b": 2.4}
        if kind == "bg_nbd"
        else {"r": 0.55, "alpha": 6.0, "s": 0.6, "beta": 12.0}
    )
    seen = simulate_left_censored(kind, truth, 1500, window=52, history=52, seed=1)
    print(seen.head(), seen.columns)
    recency, age = np.round(seen["recency"] * 7), np.round(seen["T"] * 7)
    seen = seen.assign(
        recency=recency / 7,
        T=age / 7,
        T_days=age.astype(int),
        customer_id=[f"{i:05d}" for i in range(len(seen))],
        monetary_value=20.0,
    )
    seen.loc[(seen["frequency"] > 0) & (seen["recency"] == 0), "recency"] = 1 / 7
    seen["T"] = np.maximum(seen["T"], seen["recency"])
    model = LeftCensoredModel(kind, window=52, history=52).fit(seen)
    _agree(model, SPEND, seen)
    some = seen.assign(
        tenure=np.where(np.arange(len(seen)) % 3 == 0, np.nan, np.where(seen["is_old"], 70.0, seen["T"]))
    )
    _agree(model, SPEND, some)
