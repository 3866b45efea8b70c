"""Old predictions against what came: no alarm where the model's own world goes on, an alarm where it does not."""

from datetime import date

import numpy as np
import pytest

from regulars.clv import BetaGeoModel, CovariateModel, GammaGammaModel, NBDModel, hold_no_order
from regulars.clv.drift import LEVEL, NOTABLE, hold_predictions
from regulars.sql.errors import ContractError, ModelError

PARAMS = {"r": 0.6, "alpha": 8.0}
SPEND = GammaGammaModel.from_parameters(p=6.0, q=4.0, v=15.0)
DATES = {"predicted_on": date(2024, 1, 1), "until": date(2024, 7, 1)}  # 26 weeks
WEEKS = 26.0


def _world(seed: int, n: int = 2_000, *, more: float = 1.0):
    """NBD customers over a year, and their purchases and money of the next 26 weeks at ``more`` times the rate."""
    rng = np.random.default_rng(seed)
    rate = rng.gamma(PARAMS["r"], 1 / PARAMS["alpha"], n)
    frequency = rng.poisson(rate * 52)
    orders = rng.poisson(rate * WEEKS * more)
    mean = SPEND.params_["p"] / rng.gamma(SPEND.params_["q"], 1 / SPEND.params_["v"], n)
    money = np.where(orders > 0, rng.gamma(SPEND.params_["p"] * np.maximum(orders, 1)) * mean / SPEND.params_["p"], 0.0)
    base = {
        "frequency": frequency,
        "recency": np.where(frequency > 0, 50.0, 0.0),
        "T": np.full(n, 52.0),
        "monetary_value": np.where(frequency > 0, mean, 0.0),
    }
    return base, orders, money


def _model(base):
    return NBDModel().fit(base)


def test_a_world_that_goes_on_raises_no_alarm_and_its_totals_lie_in_their_intervals():
    inside = alarms = 0
    for seed in range(40):
        base, orders, money = _world(seed)
        (total,) = hold_predictions(_model(base), SPEND, base, orders, money, **DATES).slice(0, 1).to_pylist()
        inside += total["orders_low"] <= total["actual_orders"] <= total["orders_high"]
        alarms += total["drift"] != ""
    # 99% intervals: three misses in 40 would have a chance below 1%
    assert inside >= 38
    assert alarms == 0


@pytest.mark.parametrize("more", [0.7, 1.4])
def test_another_world_does(more):
    base, orders, money = _world(1, more=more)
    held = hold_predictions(_model(base), SPEND, base, orders, money, **DATES)
    assert held["drift"][0].as_py() == "orders, money"
    assert set(held["drift"].to_pylist()[1:]) == {""}


def test_a_small_miss_is_none_however_sure_it_is():
    base, orders, money = _world(3, n=200_000, more=1.05)
    (total,) = hold_predictions(_model(base), None, base, orders, money * 0, **DATES).slice(0, 1).to_pylist()
    assert total["actual_orders"] > total["orders_high"]
    assert abs(total["actual_orders"] / total["predicted_orders"] - 1) < NOTABLE
    assert total["drift"] == ""


def test_tenths_add_up_to_the_total_and_rise():
    base, orders, money = _world(4)
    model = _model(base)
    held = hold_predictions(model, SPEND, base, orders, money, run_id="r", **DATES).to_pylist()
    assert [row["decile"] for row in held] == list(range(11))
    for column in ("customers", "predicted_orders", "actual_orders", "predicted_money", "actual_money"):
        assert sum(row[column] for row in held[1:]) == pytest.approx(held[0][column])
    assert held[0]["predicted_orders"] == pytest.approx(model.expected_purchases(base, WEEKS).sum())
    assert held[0]["actual_orders"] == orders.sum()
    predicted = [row["predicted_orders"] for row in held[1:]]
    assert np.diff(predicted).min() > -1e-9  # tenths of equal predictions differ by the rounding of a sum
    assert predicted[-1] > 2 * predicted[0]
    assert {row["run_id"] for row in held} == {"r"}
    assert all(row["orders_low"] is None for row in held[1:])
    assert LEVEL == 0.99


def test_the_horizon_is_counted_in_the_models_unit():
    model = BetaGeoModel.from_parameters(r=0.25, alpha=30.0, a=0.8, b=2.5, time_unit="day")
    base = {"frequency": [3, 0], "recency": [200.0, 0.0], "T": [300.0, 100.0]}
    held = hold_predictions(model, None, base, [0, 0], [0, 0], predicted_on=date(2024, 1, 1), until=date(2024, 1, 31))
    assert held["predicted_orders"][0].as_py() == pytest.approx(model.expected_purchases(base, 30).sum())


def test_models_with_covariates_are_held_too():
    base, orders, money = _world(6)
    club = np.arange(2_000) % 2 == 0
    base = base | {"club": club}
    model = CovariateModel("nbd", purchase=["club"]).fit(base)
    held = hold_predictions(model, SPEND, base, orders, money, **DATES)
    assert held["predicted_orders"][0].as_py() == pytest.approx(model.expected_purchases(base, WEEKS).sum())


def test_bad_input():
    base, orders, money = _world(5, n=10)
    model = NBDModel.from_parameters(**PARAMS)
    with pytest.raises(ModelError, match="nothing has come since 2024-01-01"):
        hold_predictions(model, None, base, orders, money, predicted_on=date(2024, 1, 1), until=date(2024, 1, 1))
    with pytest.raises(ContractError, match="10 customers, 9 of orders"):
        hold_predictions(model, None, base, orders[1:], money, **DATES)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"orders": [np.nan] + [4.0] * 9}, r"orders is nan for the customer in row 0 \(1 such rows\)"),
        ({"orders": [None] + [4.0] * 9}, "orders is nan for the customer in row 0"),
        ({"orders": [4.0] * 9 + [-4.0]}, "orders is -4 for the customer in row 9"),
        ({"orders": [0.5] * 10}, "orders is 0.5"),
        ({"orders": ["a"] * 10}, "'orders' of the summary is not numeric"),
        ({"money": [np.inf] * 10}, "money is inf"),
        ({"money": [np.nan] * 10}, "money is nan"),
    ],
)
def test_outcomes_that_are_none_are_refused(change, said):
    base, orders, money = _world(5, n=10)
    model = NBDModel.from_parameters(**PARAMS)
    with pytest.raises(ContractError, match=said):
        hold_predictions(model, None, base, **({"orders": orders, "money": money} | change), **DATES)


def test_days_are_read_as_they_are_written():
    base, orders, money = _world(5, n=10)
    model = NBDModel.from_parameters(**PARAMS)
    held = hold_predictions(model, None, base, orders, money, **DATES)
    text = {"predicted_on": "2024-01-01", "until": np.datetime64("2024-07-01")}
    assert hold_predictions(model, None, base, orders, money, **text).equals(held)
    for wrong in (None, 5, "soon", "2024-07-01T12:00"):
        with pytest.raises(ModelError, match=r"until is .*; it must be a day"):
            hold_predictions(model, None, base, orders, money, predicted_on=date(2024, 1, 1), until=wrong)


def _no_order(seed: int, n: int = 2_000, *, more: float = 1.0):
    """What NBD, fitted, says of no order in the next four weeks, and what the four weeks bring at ``more`` the rate."""
    rng = np.random.default_rng(seed)
    rate = rng.gamma(PARAMS["r"], 1 / PARAMS["alpha"], n)
    frequency = rng.poisson(rate * 52)
    base = {"frequency": frequency, "recency": np.where(frequency > 0, 50.0, 0.0), "T": np.full(n, 52.0)}
    return _model(base).probability_no_purchase(base, 4.0), rng.poisson(rate * 4 * more)


@pytest.mark.parametrize("n", [200, 2_000])
def test_no_order_raises_no_alarm_where_the_world_goes_on(n):
    inside = alarms = 0
    for seed in range(40):
        p, orders = _no_order(seed, n)
        (total,) = hold_no_order(p, orders, predicted_on=date(2024, 1, 1), horizon_days=28).slice(0, 1).to_pylist()
        inside += total["share_low"] <= total["actual_share"] <= total["share_high"]
        alarms += total["drift"] != ""
    # 99% intervals: three misses in 40 would have a chance below 1%
    assert inside >= 38
    # and an alarm is a miss that is large besides: one in 40 would not be odd
    assert alarms <= 1


@pytest.mark.parametrize("more", [0.4, 2.0])
def test_no_order_drifts_with_the_pace(more):
    p, orders = _no_order(1, more=more)
    held = hold_no_order(
        p, orders, predicted_on=date(2024, 1, 1), horizon_days=28, run_id="r", chosen="nbd"
    ).to_pylist()
    assert [row["drift"] for row in held] == ["no order", *[""] * 10]
    assert {(row["run_id"], row["chosen"], row["until"]) for row in held} == {("r", "nbd", date(2024, 1, 29))}


def test_shares_of_the_tenths_are_those_of_sorted_customers():
    p, orders = _no_order(2)
    p = p + np.linspace(0, 1e-6, len(p))  # none equal: a tenth is 200 customers in a row
    held = hold_no_order(p, orders, predicted_on=date(2024, 1, 1), horizon_days=28).to_pylist()
    tenths = np.argsort(p).reshape(10, 200)
    np.testing.assert_allclose([row["predicted_share"] for row in held[1:]], p[tenths].mean(axis=1), rtol=1e-9)
    np.testing.assert_allclose([row["actual_share"] for row in held[1:]], (orders == 0)[tenths].mean(axis=1), rtol=1e-9)
    assert held[0]["predicted_share"] == pytest.approx(p.mean())
    assert held[0]["actual_share"] == (orders == 0).mean()


def test_the_rarer_outcome_is_the_measure_of_a_large_miss():
    # of a base of which 97% stay away, 99% and 95% is a third and five thirds of the orders
    p = np.full(20_000, 0.97)
    for stay, drift in ((0.99, "no order"), (0.95, "no order"), (0.968, "")):
        orders = (np.arange(20_000) >= round(stay * 20_000)).astype(int)
        held = hold_no_order(p, orders, predicted_on=date(2024, 1, 1), horizon_days=30)
        assert held["drift"][0].as_py() == drift


@pytest.mark.parametrize(
    ("p", "orders", "said"),
    [
        ([0.5, 1.2], [0, 1], r"probability is 1.2 for the customer in row 1 \(1 such rows\); it must be from 0 to 1$"),
        ([0.5, np.nan], [0, 1], "probability is nan"),
        ([0.5, 0.5], [0, -1], "orders is -1 .* it must be a count: 0 for who has not bought since$"),
        ([0.5], [0, 1], "1 probabilities and 2 of orders"),
        ([], [], "0 probabilities"),
    ],
)
def test_what_is_no_probability_is_refused(p, orders, said):
    with pytest.raises(ContractError, match=said):
        hold_no_order(np.array(p), np.array(orders), predicted_on=date(2024, 1, 1), horizon_days=30)
    with pytest.raises(ModelError, match=r"horizon_days is 30\.5"):
        hold_no_order([0.5], [1], predicted_on=date(2024, 1, 1), horizon_days=30.5)


@pytest.mark.parametrize("days", [0, 1_000_000_000])
def test_a_horizon_of_no_days_or_of_ages_is_refused(days):
    with pytest.raises(ModelError, match=f"horizon_days is {days}; it must be from 1 to 36,525, such as 30"):
        hold_no_order([0.5], [1], predicted_on=date(2024, 1, 1), horizon_days=days)
