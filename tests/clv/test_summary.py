"""Summary frames: backends, the unit that travels with them, and what is refused."""

from datetime import date

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from regulars.clv import BetaGeoModel, holdout_summary, rfm_summary, summary_counts
from regulars.sql.contract import CUSTOMER_SUMMARY, HOLDOUT_COUNTS, HOLDOUT_SUMMARY, SUMMARY_COUNTS
from regulars.sql.errors import ModelError, SettingsError

ORDERS = """
SELECT * FROM (VALUES
    ('ann', TIMESTAMP '2024-01-01 10:00:00', 10.00, 'o1'),
    ('ann', TIMESTAMP '2024-01-01 18:00:00', 5.00, 'o2'),
    ('ann', TIMESTAMP '2024-01-08 10:00:00', 20.00, 'o3'),
    ('ann', TIMESTAMP '2024-01-22 10:00:00', -4.00, 'o4'),
    ('ann', TIMESTAMP '2024-02-05 10:00:00', 30.00, 'o5'),
    ('bob', TIMESTAMP '2024-01-15 10:00:00', 7.00, 'o6'),
    ('cid', TIMESTAMP '2024-02-12 10:00:00', 9.00, 'o7')
) AS v (customer_id, ordered_at, revenue, order_id)
"""


@pytest.fixture
def shop(open_shop):
    return open_shop(ORDERS, value={"as_of": date(2024, 2, 12), "calibration_end": date(2024, 1, 31)})


def test_columns_values_and_order(shop):
    summary = rfm_summary(shop)
    assert tuple(summary.columns) == CUSTOMER_SUMMARY.column_names
    assert summary["customer_id"].tolist() == ["ann", "bob", "cid"]
    ann = summary.iloc[0]
    assert (ann["frequency"], ann["recency"], ann["T"]) == (2, 5.0, 6.0)
    # the refund of 4.00 comes off the first day: (20 + 30) / 2, and 11 on the first day
    assert (ann["monetary_value"], ann["first_order_revenue"], ann["revenue"]) == (25.0, 11.0, 61.0)
    assert (ann["orders"], ann["returned_revenue"], ann["return_rate"]) == (4, 4.0, 4 / 65)
    # sold less than 30 days before 2024-02-12: 30.00 of 2024-02-05
    assert ann["returnable_revenue"] == 30.0
    assert str(summary["last_order_on"].dtype).startswith("datetime64")


def test_as_of_an_earlier_day(shop):
    summary = rfm_summary(shop, as_of="2024-01-31").set_index("customer_id")
    assert summary.index.tolist() == ["ann", "bob"]
    assert summary.loc["ann", "frequency"] == 1
    assert summary.loc["bob", "T_days"] == 16


def test_holdout(shop):
    holdout = holdout_summary(shop).set_index("customer_id")
    assert tuple(holdout_summary(shop, backend="pyarrow").column_names) == HOLDOUT_SUMMARY.column_names
    assert holdout.index.tolist() == ["ann", "bob"]
    assert holdout.loc["ann", ["frequency_holdout", "revenue_holdout", "monetary_value_holdout"]].tolist() == [
        1,
        30,
        30,
    ]
    assert holdout.loc["bob", ["frequency_holdout", "revenue_holdout", "monetary_value_holdout"]].tolist() == [0, 0, 0]
    np.testing.assert_allclose(holdout["duration_holdout"], 12 / 7)


def test_the_unit_travels(shop):
    assert rfm_summary(shop, unit="month").attrs["time_unit"] == "month"
    table = rfm_summary(shop, unit="day", backend="pyarrow")
    assert isinstance(table, pa.Table)
    assert table.schema.metadata == {b"regulars.time_unit": b"day"}
    assert isinstance(rfm_summary(shop, backend="polars"), pl.DataFrame)
    model = BetaGeoModel.from_parameters(r=0.25, alpha=4.4, a=0.8, b=2.4, time_unit="week")
    with pytest.raises(ModelError):
        model.expected_purchases(rfm_summary(shop, unit="day"), 4)


def test_grouped(shop):
    assert tuple(summary_counts(shop).columns) == SUMMARY_COUNTS.column_names
    assert summary_counts(shop)["weight"].sum() == 3
    counts = holdout_summary(shop, grouped=True)
    assert tuple(counts.columns) == HOLDOUT_COUNTS.column_names
    assert counts["weight"].sum() == 2
    # the dates reach what the counts are made of
    assert holdout_summary(shop, "2024-01-10", "2024-01-31", grouped=True)["weight"].sum() == 1


def test_refused(shop):
    with pytest.raises(ModelError, match="did you mean 'week'"):
        rfm_summary(shop, unit="weeks")
    with pytest.raises(ModelError, match="backend 'panda' is not one of pandas, polars, pyarrow; did you mean"):
        rfm_summary(shop, backend="panda")
    with pytest.raises(SettingsError, match="as_of = 'soon' is no date"):
        rfm_summary(shop, as_of="soon")
    with pytest.raises(SettingsError, match="2024-03-01 is later than 2024-02-12"):
        rfm_summary(shop, as_of="2024-03-01")
    with pytest.raises(ModelError, match="leaves no observation window before observation_end 2024-01-31"):
        holdout_summary(shop, observation_end="2024-01-31")
