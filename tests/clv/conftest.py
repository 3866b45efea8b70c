"""Data that several tests of the models read."""

from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest


@pytest.fixture(scope="session")
def cdnow() -> pd.DataFrame:
    """CDNOW's 1/10 sample (2,357 customers) from exact dates, in weeks, calibrated to 1997-09-30.

    One purchase per day; ``frequency_holdout`` counts purchase days in the 39 weeks after.
    """
    spec = find_spec("lifetimes")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    path = Path(spec.submodule_search_locations[0]) / "datasets" / "CDNOW_sample.txt"
    lines = pd.read_csv(path, sep=r"\s+", header=None, usecols=[1, 2], names=["_", "customer", "day", "n", "money"])
    lines["day"] = pd.to_datetime(lines["day"].astype(str))
    days = lines.drop_duplicates()
    end = pd.Timestamp("1997-09-30")
    by_customer = days[days["day"] <= end].groupby("customer")["day"]
    first, last = by_customer.min(), by_customer.max()
    summary = pd.DataFrame(
        {
            "frequency": by_customer.size() - 1,
            "recency": (last - first).dt.days / 7,
            "T": (end - first).dt.days / 7,
        }
    )
    later = days[days["day"] > end].groupby("customer").size()
    summary["frequency_holdout"] = later.reindex(summary.index, fill_value=0)
    summary.attrs["time_unit"] = "week"
    return summary


@pytest.fixture(scope="session")
def cdnow_days() -> pd.DataFrame:
    """CDNOW's 1/10 sample as customer x day with the day's money, to 1998-06-30."""
    spec = find_spec("lifetimes")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    path = Path(spec.submodule_search_locations[0]) / "datasets" / "CDNOW_sample.txt"
    names = ["_", "customer", "day", "n", "money"]
    lines = pd.read_csv(path, sep=r"\s+", header=None, usecols=[1, 2, 4], names=names, dtype={"customer": str})
    lines["day"] = pd.to_datetime(lines["day"].astype(str))
    days = lines.groupby(["customer", "day"], as_index=False)["money"].sum()
    days["is_repeat"] = days["day"] > days.groupby("customer")["day"].transform("min")
    return days


@pytest.fixture(scope="session")
def cdnow_holdout(cdnow, cdnow_days) -> pd.DataFrame:
    """``cdnow`` with money: means of repeat days of the calibration, money of the 39 weeks after."""
    end = pd.Timestamp("1997-09-30")
    repeat = cdnow_days[cdnow_days["is_repeat"] & (cdnow_days["day"] <= end)].groupby("customer")["money"]
    later = cdnow_days[cdnow_days["day"] > end].groupby("customer")["money"]
    customers = sorted(cdnow_days["customer"].unique())
    holdout = cdnow.reset_index(drop=True).assign(
        customer_id=customers,
        monetary_value=repeat.mean().reindex(customers, fill_value=0.0).to_numpy(),
        revenue_holdout=later.sum().reindex(customers, fill_value=0.0).to_numpy(),
        duration_holdout=39.0,
    )
    holdout.attrs["time_unit"] = "week"
    return holdout
