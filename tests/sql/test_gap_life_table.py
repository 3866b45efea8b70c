"""The life table of gaps: its product is the Kaplan-Meier curve that scikit-survival draws from the gaps in pandas."""

import numpy as np
import pandas as pd
import pytest
from sksurv.nonparametric import kaplan_meier_estimator

from regulars.sql.database import connect

AS_OF = "2017-10-31"


@pytest.fixture(scope="module")
def journey(example_settings):
    with connect(example_settings("complete_journey"), value={"as_of": AS_OF}) as database:
        days = database.query("customer_days").to_pandas()
        yield database.query("gap_life_table").to_pandas(), days[["customer_id", "day"]]


@pytest.mark.parametrize("purchase", [1, 2, 3, 5, 10, 20])
def test_the_curve_is_kaplan_meiers(journey, purchase):
    table, days = journey
    days = days.sort_values(["customer_id", "day"]).reset_index(drop=True)
    days["day"] = pd.to_datetime(days["day"])
    days["n"] = days.groupby("customer_id").cumcount() + 1
    days["next"] = days.groupby("customer_id")["day"].shift(-1)
    gaps = days[days["n"] == purchase]
    event = gaps["next"].notna().to_numpy()
    length = (gaps["next"].fillna(pd.Timestamp(AS_OF)) - gaps["day"]).dt.days.to_numpy()
    times, survival = kaplan_meier_estimator(event, length.astype(float))
    mine = table[table["purchase"] == purchase].sort_values("days")
    assert mine["days"].to_list() == times.astype(int).tolist()
    assert mine["customers"].iloc[0] == len(gaps)
    assert mine["returned"].sum() == event.sum()
    product = np.cumprod(1 - mine["returned"].to_numpy() / mine["customers"].to_numpy())
    # two orders of the same multiplications
    np.testing.assert_allclose(product, survival, rtol=1e-12, atol=1e-15)


def test_days_after_the_as_of_date_are_unknown(write_parquet, make_settings):
    write_parquet(
        "SELECT * FROM (VALUES ('a', TIMESTAMP '2024-01-01 10:00', 1.00), ('a', TIMESTAMP '2024-01-05 10:00', 1.00), "
        "('a', TIMESTAMP '2024-03-01 10:00', 1.00), ('b', TIMESTAMP '2024-01-03 10:00', 1.00)) "
        "t(customer_id, ordered_at, revenue)"
    )
    with connect(make_settings(value={"as_of": "2024-01-31"})) as database:
        rows = database.query("gap_life_table").to_pylist()
    found = {(r["purchase"], r["days"]): (r["customers"], r["returned"]) for r in rows}
    assert found == {(1, 4): (2, 1), (1, 28): (1, 0), (2, 26): (1, 0)}
