"""Customer lifetime value: discounted orders of the horizon, times spend per order, times margin."""

import math
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..sql.errors import ModelError
from .arguments import require_margin, require_time
from .time_units import continuous_rate

Array = NDArray[np.float64]


class OrderModel(Protocol):
    """What is needed of a fitted model of orders."""

    time_unit_: str

    def discounted_expected_purchases(self, summary: Any, horizon: float, discount_rate: float) -> Array: ...


class SpendModel(Protocol):
    """What is needed of a fitted model of spend."""

    def conditional_expected_value(self, summary: Any) -> Array: ...


def customer_lifetime_value(
    model: OrderModel,
    spend: SpendModel,
    summary: Any,
    horizon: float = 52,
    discount_rate: float = 0.10,
    margin: float = 1.0,
) -> Array:
    """Expected discounted margin of each customer's purchases in the horizon after the as-of date.

    ``margin x E[spend] x integral over (0, h] of exp(-delta t) dE[Y(t)]`` with ``delta = ln(1 + d)`` per year: each
    purchase is discounted from the moment at which it is expected, not from the end of a period. Orders and spend are
    independent in these models, so the product is the expectation.

    Parameters
    ----------
    model : BTYDModel
        A fitted model of orders.
    spend : GammaGammaModel
        A fitted model of spend per purchase.
    summary : frame
        ``frequency``, ``recency``, ``T``, ``monetary_value``; one row per customer or per group.
    horizon : float
        Length of the horizon in the model's time unit (``model.time_unit_``); ``math.inf`` for a Pareto/NBD model's
        discounted expected residual transactions (DERT), which needs a positive discount rate.
    discount_rate : float
        A year's, converted exactly to the model's unit; 0 for none.
    margin : float
        Share of revenue that is kept.

    Returns
    -------
    ndarray, shape (n,)
        In currency, per customer (not multiplied by a weight).

    Raises
    ------
    ModelError
        Where horizon, discount rate or margin are out of range, or the model has no infinite horizon.
    ContractError
        Where the summary lacks a column or holds an impossible value.

    Notes
    -----
    Fader, Hardie and Lee, "RFM and CLV" (2005), Journal of Marketing Research 42. ``lifetimes`` differs on purpose:
    its months have 30 days, its rate is a month's, and it discounts each month's orders from the month's end.

    Examples
    --------
    >>> import pandas as pd
    >>> from regulars.clv.gamma_gamma import GammaGammaModel
    >>> from regulars.clv.nbd import NBDModel
    >>> base = pd.DataFrame({"frequency": [0, 1, 9], "recency": [0, 9, 50], "T": [52, 52, 52]})
    >>> base["monetary_value"] = [0, 20, 30]
    >>> model, spend = NBDModel().fit(base), GammaGammaModel.from_parameters(p=6.25, q=3.74, v=15.44)
    >>> value = customer_lifetime_value(model, spend, base, horizon=52, discount_rate=0.10, margin=0.3)
    >>> bool(value[0] < value[1] < value[2])
    True
    """
    margin = require_margin(margin)
    orders = discounted_orders(model, summary, horizon, discount_rate)
    return margin * orders * spend.conditional_expected_value(summary)


def discounted_orders(model: Any, summary: Any, horizon: float, discount_rate: float) -> Array:
    """Expected orders of the horizon, each discounted from the moment at which it is expected, shape (n,).

    Parameters
    ----------
    model, summary, horizon
        As for `customer_lifetime_value`.
    discount_rate : float
        A year's.

    Raises
    ------
    ModelError
        Where horizon or rate are no numbers from 0, or the horizon is infinite and the model is no Pareto/NBD, or the
        rate is then 0.

    Examples
    --------
    >>> import pandas as pd
    >>> from regulars.clv.nbd import NBDModel
    >>> base = pd.DataFrame({"frequency": [0, 1, 9], "recency": [0, 9, 50], "T": [52, 52, 52]})
    >>> model = NBDModel().fit(base)
    >>> bool((discounted_orders(model, base, 52, 0.1) < discounted_orders(model, base, 52, 0.0)).all())
    True
    """
    rate = continuous_rate(discount_rate, model.time_unit_)
    horizon = require_time("horizon", horizon, model.time_unit_, endless=True)
    if math.isfinite(horizon):
        return model.discounted_expected_purchases(summary, horizon, rate)
    if not hasattr(model, "dert"):
        raise ModelError(
            f"the {model.name} model has no infinite horizon: its dropout follows purchases, and the sum has no closed "
            "form; give a finite horizon or use ParetoNBDModel"
        )
    if rate == 0:
        raise ModelError("an infinite horizon needs a positive discount_rate, such as 0.10 a year")
    return model.dert(summary, rate)
