"""Effects on lifetime value in a build: signals at the window's end, the models' index, the history's errors."""

from datetime import date, datetime, time, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from regulars.app.campaigns import campaign_tables, learn_campaigns
from regulars.clv import GammaGammaModel, NBDModel
from regulars.sql.engine import DuckDBEngine
from regulars.sql.pipeline import Pipeline, settings_parameters
from regulars.sql.settings import Settings

AS_OF = date(2024, 6, 30)
SENT = date(2024, 4, 1)
FIRST = date(2023, 1, 2)
WINDOW = 28
CUSTOMERS = 800
WEEKS = 8
MARGIN = 0.4


def shop() -> tuple[list[dict], list[dict]]:
    """Customers who buy at their own steady rates; a mail brings some one order more within its window."""
    rng = np.random.default_rng(3)
    lines, sends = [], []

    def line(customer, day, revenue):
        at = datetime.combine(FIRST + timedelta(days=int(day)), time(12))
        lines.append({"customer_id": customer, "ordered_at": at, "revenue": Decimal(f"{revenue:.2f}")})

    until, sent_on = (AS_OF - FIRST).days, (SENT - FIRST).days
    for i in range(CUSTOMERS):
        customer, rate, level = f"c{i:04}", rng.gamma(1.5, 0.01), rng.gamma(6.0, 5.0)
        days = [rng.integers(0, 300)]
        while days[-1] <= until:
            days.append(days[-1] + 1 + rng.exponential(1.0 / rate))
        arm = ["control", "mail"][rng.integers(0, 2)]
        if arm == "mail" and rng.uniform() < 0.4:
            days.append(sent_on + rng.integers(0, WINDOW))
        for day in sorted(days):
            if day <= until:
                line(customer, day, level * rng.gamma(4.0, 0.25))
        at = datetime.combine(SENT, time(9))
        sends.append({"customer_id": customer, "campaign": "april", "arm": arm, "sent_at": at, "propensity": 0.5})
    line("last", until, 5.0)
    return lines, sends


LINES, SENDS = shop()
MODELS = (NBDModel.from_parameters(r=1.2, alpha=14.0), GammaGammaModel.from_parameters(p=4.0, q=6.0, v=30.0))


@pytest.fixture
def values_of(stage_lines):
    """Rows of campaign_values for the shop."""

    def run(models=MODELS, sends=SENDS, **campaign) -> list[dict]:
        said = {"learn_from": ["april"], "window_days": WINDOW, "horizon": WEEKS} | campaign
        made = Settings.from_mapping(
            {"orders": {"path": "o.parquet"}, "value": {"margin": MARGIN}, "campaigns": {"winback": said}}
        )
        with DuckDBEngine(threads=2) as engine:
            stage_lines(engine, LINES, (), (), sends, ())
            found = learn_campaigns(Pipeline(engine, settings_parameters(made, AS_OF)), made, models=models)
            return campaign_tables(found)["campaign_values"].to_pylist()

    return run


def index_by_hand(end: date) -> pd.DataFrame:
    """Margin in the window that ends with a day, and what the models expect after it, with pandas alone."""
    frame = pd.DataFrame(LINES).assign(day=lambda f: f["ordered_at"].dt.normalize())
    frame = frame.assign(revenue=frame["revenue"].astype(float))
    days = frame.groupby(["customer_id", "day"])["revenue"].sum().reset_index()
    days = days[days["day"] <= pd.Timestamp(end)]
    window = days[days["day"] > pd.Timestamp(end - timedelta(days=WINDOW))]
    by = days.groupby("customer_id")
    first, last, count = by["day"].min(), by["day"].max(), by.size()
    known = first[first <= pd.Timestamp(end - timedelta(days=WINDOW))].index
    repeat = (by["revenue"].sum() - by["revenue"].first()) / (count - 1).where(count > 1)
    table = pd.DataFrame(
        {
            "frequency": count - 1.0,
            "recency": (last - first).dt.days / 7.0,
            "T": (pd.Timestamp(end) - first).dt.days / 7.0,
            "monetary_value": repeat.fillna(0.0),
            "window": window.groupby("customer_id")["revenue"].sum().reindex(count.index).fillna(0.0),
        }
    ).loc[known]
    orders, spend = MODELS
    expected = orders.expected_purchases(table, WEEKS) * spend.conditional_expected_value(table)
    return table.assign(index=MARGIN * (table["window"] + expected))


def test_the_models_part_is_the_difference_of_the_arms_index(values_of):
    (row,) = values_of()
    by_hand = index_by_hand(SENT + timedelta(days=WINDOW - 1))["index"]
    arm = pd.DataFrame(SENDS).set_index("customer_id")["arm"].reindex(by_hand.index)
    known = arm.notna()
    assert row["customers"] == known.sum()
    # the doubly robust mean differs from the plain one by what a linear model of features takes out of the noise
    plain = by_hand[known & (arm == "mail")].mean() - by_hand[known & (arm == "control")].mean()
    error = by_hand[known].std() * 2.0 / known.sum() ** 0.5
    assert abs(row["by_the_models"] - plain) < 2.0 * error
    assert row["effect"] == pytest.approx(row["by_the_models"] + row["correction"], rel=1e-9)
    assert (row["horizon_days"], row["window_days"], row["reason"]) == (7 * WEEKS, WINDOW, "")


def test_an_order_more_in_the_window_is_worth_its_margin(values_of):
    (row,) = values_of()
    # two in five mailed customers buy once more for 30 at a margin of .4; rates do not change, so nothing follows
    assert row["lower"] < 0.4 * 30.0 * MARGIN < row["upper"]
    # the models read the order as a sign of more to come
    assert row["by_the_models"] > 0.0


def test_no_models_no_history_and_no_campaign_are_reasons(values_of):
    (row,) = values_of(models=None)
    assert (row["effect"], row["reason"]) == (None, "there are no models of orders and spend")
    (row,) = values_of(horizon=76)
    assert "a horizon of 532 days ago; 100 are needed" in row["reason"]
    (row,) = values_of(sends=[send | {"arm": "mail"} for send in SENDS])
    assert (row["arm"], row["reason"]) == ("", "the campaign is refused")


def test_the_standard_errors_of_the_customer_model_widen_the_interval(values_of):
    known = values_of()[0]
    loose = NBDModel.from_parameters(r=1.2, alpha=14.0)
    loose.covariance_ = np.diag([1.2**2, 14.0**2]) * 0.25
    row = values_of(models=(loose, MODELS[1]))[0]
    assert row["upper"] - row["lower"] > known["upper"] - known["lower"]
    assert row["effect"] == pytest.approx(known["effect"], rel=1e-9)
