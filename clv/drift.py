"""Old predictions held against what has come since: totals with their intervals, calibration by tenth, and drift."""

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from ..sql.contract import CHURN_TRACKING, PREDICTION_TRACKING
from ..sql.errors import ContractError, ModelError
from ..sql.frames import contract_table
from .arguments import require_count, require_day
from .columns import read_columns
from .evaluate import sums_by_tenth
from .portfolio import portfolio_value, require_known_errors
from .time_units import days_per_unit

if TYPE_CHECKING:
    import pyarrow as pa

    from .btyd import BTYDModel
    from .gamma_gamma import GammaGammaModel

Array = NDArray[np.float64]

# Of the totals' intervals; a season or a shock is in none of them, so a miss must also be this large to be drift.
LEVEL = 0.99
NOTABLE = 0.10

_NOTHING = ": 0 for who has not bought since"
_COUNT = f"a count{_NOTHING}"
# Days that a horizon may have: beyond, its end is no date.
_MOST_DAYS = 36_525


def hold_predictions(
    model: "BTYDModel",
    spend: "GammaGammaModel | None",
    summary: Any,
    orders: Any,
    money: Any,
    *,
    predicted_on: date,
    until: date,
    run_id: str = "",
) -> "pa.Table":
    """Hold what a model said of its customers on a day against what they have done since.

    Parameters
    ----------
    model : BTYDModel
        As it was fitted then.
    spend : GammaGammaModel or None
        As it was fitted then; None predicts no money.
    summary : frame
        As it was then: ``frequency``, ``recency``, ``T``, ``monetary_value``, the models' covariates; a row per
        customer.
    orders, money : array, shape (n,)
        Purchase days and net revenue of each since then, in the summary's order; customers who came later count on
        neither side.
    predicted_on, until : date
        As-of date of the prediction; last day of what has come.
    run_id : str
        The run that predicted.

    Returns
    -------
    pyarrow.Table
        In the shape of ``contract.PREDICTION_TRACKING``: the total, with 99% intervals, as decile 0, and each tenth of
        the customers by predicted orders. ``drift`` of the total names what lies outside its interval and is off by
        more than 10%.

    Raises
    ------
    ContractError
        Lengths differ, or an outcome is missing, not finite, no count of orders or no number.
    ModelError
        ``until`` is not later than ``predicted_on``, one of them is no date, or the model is of a kind without an
        interval of totals (see `portfolio_value`).

    Examples
    --------
    >>> from regulars.clv import NBDModel
    >>> model = NBDModel.from_parameters(r=0.5, alpha=10.0)
    >>> base = {"frequency": [0] * 50, "recency": [0.0] * 50, "T": [20.0] * 50}
    >>> held = hold_predictions(
    ...     model, None, base, [4] * 50, [0.0] * 50, predicted_on=date(2024, 1, 1), until=date(2024, 4, 1)
    ... )
    >>> held["drift"][0].as_py()
    'orders'
    """
    predicted_on, until = require_day("predicted_on", predicted_on), require_day("until", until)
    days = (until - predicted_on).days
    if days < 1:
        raise ModelError(f"nothing has come since {predicted_on}: until is {until}, give a later day")
    require_known_errors(model)
    histories = model.histories(summary)
    outcomes = read_columns({"orders": orders, "money": money}, ["orders", "money"])
    orders, money = outcomes["orders"], outcomes["money"]
    if not len(histories) == len(orders) == len(money):
        raise ContractError(f"{len(histories)} customers, {len(orders)} of orders and {len(money)} of money")
    _require_known("orders", orders, np.isfinite(orders) & (orders >= 0) & (orders == np.floor(orders)), _COUNT)
    _require_known("money", money, np.isfinite(money), f"a finite number{_NOTHING}")
    horizon = days / days_per_unit(model.time_unit_)
    expected = model.expected_purchases(histories, horizon)
    worth = expected * (np.zeros(len(expected)) if spend is None else spend.conditional_expected_value(summary))
    total = portfolio_value(model, spend, summary, horizon=horizon, discount_rate=0.0, margin=1.0, level=LEVEL)
    drift = _drift(
        ("orders", float(orders.sum()), float(expected.sum()), total.orders_low, total.orders_high),
        ("money", float(money.sum()), float(worth.sum()), total.value_low, total.value_high),
    )
    everyone = np.ones(len(expected))
    customers, tenths = sums_by_tenth(expected, everyone, expected, orders, worth, money)
    some = np.flatnonzero(customers)
    n = 1 + len(some)

    def stacked(whole: Array, by_tenth: Array) -> Array:
        return np.concatenate([[whole.sum()], by_tenth[some]])

    def of_total(value: float) -> list[float | None]:
        return [value if np.isfinite(value) else None, *[None] * len(some)]

    return contract_table(
        PREDICTION_TRACKING,
        {
            "run_id": [run_id] * n,
            "decile": np.concatenate([[0], some + 1]),
            "as_of": [predicted_on] * n,
            "until": [until] * n,
            "customers": np.concatenate([[len(expected)], customers[some]]),
            "predicted_orders": stacked(expected, tenths[0]),
            "actual_orders": stacked(orders, tenths[1]),
            "orders_low": of_total(total.orders_low),
            "orders_high": of_total(total.orders_high),
            "predicted_money": stacked(worth, tenths[2]),
            "actual_money": stacked(money, tenths[3]),
            "money_low": of_total(total.value_low),
            "money_high": of_total(total.value_high),
            "drift": [drift, *[""] * len(some)],
        },
    )


def hold_no_order(
    probability: Any, orders: Any, *, predicted_on: date, horizon_days: int, run_id: str = "", chosen: str = ""
) -> "pa.Table":
    """Hold P(no order in a horizon that has passed) against who has ordered in it.

    Parameters
    ----------
    probability : array, shape (n,)
        P(no order in the horizon) of each customer, as it was said then.
    orders : array, shape (n,)
        Purchase days of each in the horizon.
    predicted_on : date
        As-of date of the prediction.
    horizon_days : int
        How far ahead it spoke.
    run_id, chosen : str
        The run that predicted, and whose probability it was.

    Returns
    -------
    pyarrow.Table
        In the shape of ``contract.CHURN_TRACKING``: the total, with a 99% interval, as decile 0, and each tenth of the
        customers by probability. ``drift`` of the total is "no order" where the actual share lies outside its interval
        and is off by more than 10% of the rarer of the two outcomes.

    Raises
    ------
    ContractError
        Lengths differ, there are no customers, a probability is none, or an outcome is no count of orders.
    ModelError
        ``predicted_on`` is no date, or ``horizon_days`` no count from 1.

    Notes
    -----
    Customers order or not independently of each other, so their share has variance sum(p (1 - p)) / n^2. The interval
    is of twice that: a model learns its level from about as many customers as it speaks of, with as large an error.

    Examples
    --------
    >>> said = [0.1] * 200 + [0.7] * 200
    >>> came = ([0] + [1] * 9) * 20 + ([0] * 9 + [1]) * 20
    >>> held = hold_no_order(said, came, predicted_on=date(2024, 1, 1), horizon_days=30).to_pylist()
    >>> [round(held[0][name], 3) for name in ("predicted_share", "actual_share", "share_high")], held[0]["drift"]
    ([0.4, 0.5, 0.471], 'no order')
    >>> held[1]["actual_share"], held[10]["actual_share"]
    (0.1, 0.9)
    """
    predicted_on = require_day("predicted_on", predicted_on)
    days = require_count("horizon_days", horizon_days)
    if not 1 <= days <= _MOST_DAYS:
        raise ModelError(f"horizon_days is {days}; it must be from 1 to {_MOST_DAYS:,}, such as 30")
    read = read_columns({"probability": probability, "orders": orders}, ["probability", "orders"])
    p, orders = read["probability"], read["orders"]
    if len(p) != len(orders) or not len(p):
        raise ContractError(f"{len(p)} probabilities and {len(orders)} of orders; give one of each for every customer")
    _require_known("probability", p, (p >= 0) & (p <= 1), "from 0 to 1")
    _require_known("orders", orders, np.isfinite(orders) & (orders >= 0) & (orders == np.floor(orders)), _COUNT)
    stayed = (orders == 0).astype(np.float64)
    predicted, actual = float(p.mean()), float(stayed.mean())
    wide = float(ndtri((1 + LEVEL) / 2) * np.sqrt(2 * (p * (1 - p)).sum()) / len(p))
    low, high = max(predicted - wide, 0.0), min(predicted + wide, 1.0)
    off = abs(actual - predicted) > NOTABLE * min(predicted, 1 - predicted)
    customers, (said, came) = sums_by_tenth(p, np.ones(len(p)), p, stayed)
    some = np.flatnonzero(customers)
    n, none = 1 + len(some), [None] * len(some)
    return contract_table(
        CHURN_TRACKING,
        {
            "run_id": [run_id] * n,
            "decile": np.concatenate([[0], some + 1]),
            "as_of": [predicted_on] * n,
            "until": [predicted_on + timedelta(days=days)] * n,
            "horizon_days": [days] * n,
            "customers": np.concatenate([[len(p)], customers[some]]),
            "predicted_share": np.concatenate([[predicted], said[some] / customers[some]]),
            "actual_share": np.concatenate([[actual], came[some] / customers[some]]),
            "share_low": [low, *none],
            "share_high": [high, *none],
            "chosen": [chosen] * n,
            "drift": ["no order" if off and not low <= actual <= high else "", *[""] * len(some)],
        },
    )


def _require_known(what: str, values: Array, known: NDArray[np.bool_], allowed: str) -> None:
    if not known.all():
        row = int(np.argmin(known))
        raise ContractError(
            f"{what} is {values[row]:g} for the customer in row {row} ({int((~known).sum()):,} such rows); it must be "
            f"{allowed}"
        )


def _drift(*held: tuple[str, float, float, float, float]) -> str:
    off = [
        what
        for what, actual, predicted, low, high in held
        if not low <= actual <= high and abs(actual - predicted) > NOTABLE * predicted and predicted > 0
    ]
    return ", ".join(off)
