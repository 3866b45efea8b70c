"""Scores: what each customer is expected to do in the horizon, with intervals, in the shape of ``customer_scores``."""

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..sql.contract import CUSTOMER_SCORES
from ..sql.errors import ContractError, nearest
from ..sql.frames import columns_of, contract_table
from .arguments import require_margin, require_time
from .gamma_gamma import GammaGammaModel
from .histories import PurchaseHistories
from .interval_levels import intervals_of_histories
from .persistence import model_version as version_of
from .segments import assign_segments
from .time_units import days_per_unit
from .value import discounted_orders

if TYPE_CHECKING:
    import pyarrow as pa

    from .btyd import BTYDModel
    from .calibration import DispersionCalibration

Array = NDArray[np.float64]

INTERVAL_LEVEL = 0.8


def score_customers(
    model: "BTYDModel",
    spend: GammaGammaModel | None,
    summary: Any,
    *,
    as_of: date,
    horizon: float = 52,
    discount_rate: float = 0.10,
    margin: float = 1.0,
    model_version: str | None = None,
    best_from: float | None = None,
    calibration: "DispersionCalibration | None" = None,
) -> "pa.Table":
    """Score every customer of a summary.

    Everything that depends on the purchase history alone is computed once per distinct (frequency, recency, T). The
    intervals are solved for, not drawn, and hold what the parameters' standard errors leave open: a customer's scores
    depend on the fitted models, the customer's own row and, for the segment ``best``, on the value that the top tenth
    begins with.

    Parameters
    ----------
    model : BTYDModel
        A fitted model of orders.
    spend : GammaGammaModel or None
        A fitted model of spend; None, as from `fit_spend` where no order ever brought money, makes every value 0.
    summary : frame
        ``customer_id``, ``frequency``, ``recency``, ``T``, ``monetary_value``; one row per customer.
    as_of : date
        The date that the summary ends with.
    horizon : float
        In the model's time unit, finite.
    discount_rate : float
        A year's.
    margin : float
        Share of revenue that is kept, from 0 to 1.
    model_version : str, optional
        By default names and fingerprints of the two models and the package's version.
    best_from : float, optional
        See `assign_segments`.
    calibration : DispersionCalibration, optional
        What an earlier window asks the intervals to be widened by, see `customer_intervals`.

    Returns
    -------
    pyarrow.Table
        In the shape of ``contract.CUSTOMER_SCORES``, rows in the summary's order. Intervals hold 80% or more, see
        `customer_intervals`; the money's is that of undiscounted orders, scaled by the share that discounting leaves
        of the expectation.

    Raises
    ------
    ContractError
        Where the summary lacks a column or holds an impossible value.
    ModelError
        Where horizon, discount rate or margin are out of range, or the summary is in another time unit.

    Examples
    --------
    >>> import pandas as pd
    >>> from regulars.clv.modified_beta_geo import ModifiedBetaGeoModel
    >>> base = pd.DataFrame({"customer_id": ["a", "b"], "frequency": [0, 9], "recency": [0.0, 50], "T": [52.0, 52]})
    >>> base["monetary_value"] = [0, 30]
    >>> model = ModifiedBetaGeoModel.from_parameters(r=0.52, alpha=6.2, a=0.89, b=1.6)
    >>> spend = GammaGammaModel.from_parameters(p=6.25, q=3.74, v=15.44)
    >>> scores = score_customers(model, spend, base, as_of=date(1997, 9, 30), horizon=39)
    >>> scores.select(["customer_id", "orders_low", "orders_high", "segment"]).to_pylist()[1]
    {'customer_id': 'b', 'orders_low': 0.0, 'orders_high': 7.0, 'segment': 'best'}
    """
    horizon, margin = require_time("horizon", horizon, model.time_unit_), require_margin(margin)
    histories = model.histories(summary)
    found = _score_histories(model, histories, horizon, discount_rate)
    intervals = intervals_of_histories(
        model, spend, histories, summary, horizon, (INTERVAL_LEVEL,), calibration=calibration
    )
    by_row = histories.distinct.scatter
    expected_orders = by_row(found.expected_orders)
    order_value = np.zeros(len(histories)) if spend is None else spend.conditional_expected_value(summary)
    kept = margin * by_row(found.discount_share)
    value = kept * expected_orders * order_value
    alive = by_row(found.probability_alive)
    days = days_per_unit(model.time_unit_)
    next_order = by_row(found.next_order) * days
    segment = assign_segments(histories.frequency, histories.T * days, alive, value, best_from=best_from)
    return contract_table(
        CUSTOMER_SCORES,
        {
            "customer_id": _customer_ids(summary),
            "as_of": as_of,
            "probability_alive": alive,
            "expected_orders": expected_orders,
            "orders_low": intervals.orders_low[:, 0],
            "orders_high": intervals.orders_high[:, 0],
            "expected_order_value": order_value,
            "customer_value": value,
            "value_low": kept * intervals.money_low[:, 0],
            "value_high": kept * intervals.money_high[:, 0],
            "probability_no_order": by_row(found.probability_no_order),
            "next_order_days": _null_where_nan(next_order),
            "segment": segment,
            "model_version": model_version or version_of(*(m for m in (model, spend) if m is not None)),
        },
    )


@dataclass(frozen=True)
class _HistoryScores:
    """What follows from a distinct history, arrays of shape (m,)."""

    probability_alive: Array
    expected_orders: Array
    discount_share: Array  # discounted over undiscounted orders
    probability_no_order: Array
    next_order: Array  # in time units, NaN where never


def _score_histories(
    model: "BTYDModel", histories: PurchaseHistories, horizon: float, discount_rate: float
) -> _HistoryScores:
    rows = histories.once_each()
    expected = model.expected_purchases(rows, horizon)
    discounted = discounted_orders(model, rows, horizon, discount_rate)
    return _HistoryScores(
        probability_alive=np.clip(model.probability_alive(rows), 0.0, 1.0),
        expected_orders=expected,
        discount_share=np.divide(discounted, expected, out=np.ones_like(expected), where=expected > 0),
        probability_no_order=np.clip(model.probability_no_purchase(rows, horizon), 0.0, 1.0),
        next_order=model.median_time_to_next_purchase(rows),
    )


def _null_where_nan(values: Array) -> "pa.Array":
    import pyarrow as pa

    return pa.array(values, pa.float64(), mask=~np.isfinite(values))


def _customer_ids(summary: Any) -> "pa.Array":
    import narwhals as nw
    import pyarrow as pa

    columns = columns_of(summary)
    if "customer_id" not in columns:
        raise ContractError(
            f"the summary has no column 'customer_id'{nearest('customer_id', list(columns))}; scores are made by "
            "customer, not from counts"
        )
    ids = columns["customer_id"]
    if isinstance(ids, nw.Series):
        ids = ids.to_arrow()
    elif not isinstance(ids, pa.Array | pa.ChunkedArray):
        ids = pa.array(ids)
    return ids.cast(pa.string())
