"""A new customer's value on the first day: from covariates and the first basket, with an interval."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..sql.errors import ContractError, ModelError
from ..sql.frames import columns_of, frame_like
from .arguments import require_level, require_margin, require_time
from .columns import read_columns
from .covariates import CovariateModel
from .design_matrix import Missing
from .interval_levels import customer_intervals
from .spend_covariates import SpendCovariateModel
from .time_units import days_per_unit
from .value import discounted_orders

Array = NDArray[np.float64]

FIRST_BASKET = "log_first_order"


class ColdStartModel:
    """Expected orders and value of customers who have just made their first purchase.

    A `CovariateModel` of orders and a `SpendCovariateModel`, fitted to the customers so far, asked for customers with
    no history: frequency 0, T 0. The first basket enters both as a covariate, the logarithm of
    ``first_order_revenue``; a first order that brought nothing has none and is a level of its own. A first basket below
    or above all that the fit has seen counts as the least or the largest of these: how a wholesale order moves what
    follows is not known from household baskets.

    Parameters
    ----------
    model : str
        Of orders, see `CovariateModel`.
    purchase, dropout, spend : sequences of str
        Columns known on the first day that the rate of purchases, dropout and spend differ by.
    first_basket : bool
        Whether ``first_order_revenue`` moves the rate of purchases and spend.
    base, ridge, missing
        As for `CovariateModel`.

    Attributes
    ----------
    orders_ : CovariateModel
    spend_ : SpendCovariateModel
    first_baskets_ : tuple of float, or None
        The least and the largest ``first_order_revenue`` of the fit; None where the first basket does not count.

    Examples
    --------
    >>> import pandas as pd
    >>> from regulars.clv.simulate import simulate_gamma_gamma, simulate_pareto_nbd
    >>> club = np.arange(6000) % 2 == 0
    >>> truth = {"r": 0.8, "alpha": np.where(club, 4.0, 8.0), "s": 0.6, "beta": 12.0}
    >>> base = simulate_pareto_nbd(truth, 6000, T=52, seed=1).assign(club=club)
    >>> spends = simulate_gamma_gamma({"p": 6.0, "q": 4.0, "v": 15.0}, base["frequency"], seed=2)
    >>> base["monetary_value"] = spends["monetary_value"]
    >>> model = ColdStartModel("pareto_nbd", purchase=["club"], first_basket=False).fit(base)
    >>> today = pd.DataFrame({"customer_id": ["a", "b"], "club": [True, False]})
    >>> scores = model.predict(today, horizon=52)
    >>> bool(scores["expected_orders"][0] > 1.5 * scores["expected_orders"][1])
    True
    """

    orders_: CovariateModel
    spend_: SpendCovariateModel
    first_baskets_: tuple[float, float] | None

    name = "cold_start"

    def __init__(
        self,
        model: str = "pareto_nbd",
        *,
        purchase: Sequence[str] = (),
        dropout: Sequence[str] | Mapping[str, Sequence[str]] = (),
        spend: Sequence[str] = (),
        first_basket: bool = True,
        base: Mapping[str, Any] | None = None,
        ridge: float = 0.0,
        missing: Missing = "refuse",
    ) -> None:
        self.first_basket = bool(first_basket)
        basket = [FIRST_BASKET] if first_basket else []
        base = dict(base or {})
        self._orders = CovariateModel(
            model, purchase=[*purchase, *basket], dropout=dropout, ridge=ridge, missing=missing
        )
        self._spend = SpendCovariateModel([*spend, *basket], ridge=ridge, missing=missing)
        self._orders.base = {name: level for name, level in base.items() if name in self._orders.covariates}
        self._spend.base = {name: level for name, level in base.items() if name in self._spend.covariates}
        unknown = [name for name in base if name not in {*self._orders.covariates, *self._spend.covariates}]
        if unknown:
            raise ModelError(f"base names {unknown[0]!r}, which is no covariate of orders or of spend")

    def fit(self, summary: Any) -> Self:
        """Fit to the customers so far.

        Parameters
        ----------
        summary : frame
            ``frequency``, ``recency``, ``T``, ``monetary_value``, the covariates, and ``first_order_revenue`` where
            the first basket counts.

        Raises
        ------
        ContractError, ModelError
            As for `CovariateModel.fit` and `SpendCovariateModel.fit`; or a ``first_order_revenue`` of 0 or less where
            ``missing`` is ``"refuse"``.
        """
        self.first_baskets_ = None
        frame = self._with_basket(summary, own_level=self._orders.missing != "refuse")
        if self.first_basket:
            known = frame[FIRST_BASKET][np.isfinite(frame[FIRST_BASKET])]
            if known.size:
                self.first_baskets_ = float(np.exp(known.min())), float(np.exp(known.max()))
        self.orders_, self.spend_ = self._orders.unfitted().fit(frame), self._spend.unfitted().fit(frame)
        return self

    def predict(
        self,
        customers: Any,
        horizon: float = 52,
        *,
        level: float = 0.8,
        discount_rate: float = 0.10,
        margin: float = 1.0,
    ) -> Any:
        """Expected orders and value of new customers in the horizon after their first purchase, with intervals.

        Parameters
        ----------
        customers : frame
            The covariates (and ``first_order_revenue``), one row per customer.
        horizon : float
            In the model's time unit.
        level : float
            Probability that the intervals hold; they include what the parameters' standard errors leave open.
        discount_rate : float
            A year's.
        margin : float
            Share of revenue that is kept.

        Returns
        -------
        frame
            Of the kind that came in: ``customer_id`` where it was given, ``expected_orders``, ``orders_low``,
            ``orders_high``, ``probability_no_order``, ``expected_order_value``, ``customer_value``, ``value_low``,
            ``value_high``. The first purchase is not in it.

        Raises
        ------
        ContractError
            A covariate is missing, or has a level that the fit has not seen.
        ModelError
            Horizon, level, rate or margin are out of range; or covariates lie so far from the fit's that a customer is
            expected to buy on more days than the horizon has.
        """
        import pyarrow as pa

        self._require_fitted()
        level, margin = require_level(level), require_margin(margin)
        horizon = require_time("horizon", horizon, self.orders_.time_unit_)
        given = columns_of(customers)
        n = len(next(iter(given.values()))) if given else 0
        frame = self._with_basket(customers, own_level=self._missing_is_a_level())
        nothing = np.zeros(n)
        frame |= {"frequency": nothing, "recency": nothing, "T": nothing, "monetary_value": nothing}
        histories = self.orders_.histories(frame)
        expected = self.orders_.expected_purchases(histories, horizon)
        self._refuse_impossible(expected, horizon)
        discounted = discounted_orders(self.orders_, histories, horizon, discount_rate)
        intervals = customer_intervals(self.orders_, self.spend_, frame, horizon, levels=(level,))
        each = self.spend_.conditional_expected_value(frame)
        kept = margin * np.divide(discounted, expected, out=np.ones_like(expected), where=expected > 0)
        found = {
            "expected_orders": expected,
            "orders_low": intervals.orders_low[:, 0],
            "orders_high": intervals.orders_high[:, 0],
            "probability_no_order": self.orders_.probability_no_purchase(histories, horizon),
            "expected_order_value": each,
            "customer_value": kept * expected * each,
            "value_low": kept * intervals.money_low[:, 0],
            "value_high": kept * intervals.money_high[:, 0],
        }
        if "customer_id" in given:
            found = {"customer_id": [str(value) for value in given["customer_id"]], **found}
        return frame_like(customers, pa.table(found))

    def _with_basket(self, given: Any, *, own_level: bool) -> dict[str, Any]:
        """The columns of a frame, the first basket's logarithm among them."""
        columns = dict(columns_of(given))
        if self.first_basket:
            money = read_columns(given, ["first_order_revenue"])["first_order_revenue"]
            if not np.all(np.isfinite(money) | np.isnan(money)):
                raise ContractError(f"first_order_revenue is infinite in row {int(np.argmax(np.isinf(money)))}")
            absent = int((~(money > 0)).sum())
            if absent and not own_level:
                raise ContractError(
                    f"first_order_revenue is 0, negative or missing for {absent:,} of {money.size:,} customers; "
                    "complete it, fit with such customers and missing='own_level', or with first_basket=False"
                )
            if self.first_baskets_ is not None:
                least, largest = self.first_baskets_
                money = np.where(money > 0, np.clip(money, least, largest), np.nan)
            with np.errstate(divide="ignore", invalid="ignore"):
                columns[FIRST_BASKET] = np.where(money > 0, np.log(money), np.nan)
        needed = {*self._orders.covariates, *self._spend.covariates, "frequency", "recency", "T", "monetary_value"}
        return {name: column for name, column in columns.items() if name in {*needed, "weight"}}

    def _missing_is_a_level(self) -> bool:
        designs = (self.orders_.design_, self.spend_.design_)
        return all(c.own_level for design in designs for c in design.covariates if c.name == FIRST_BASKET)

    def _refuse_impossible(self, expected: Array, horizon: float) -> None:
        unit = self.orders_.time_unit_
        days = max(1.0, horizon * days_per_unit(unit))
        if np.any(expected > days):
            row = int(np.argmax(expected))
            raise ModelError(
                f"row {row} would buy {expected[row]:,.0f} times in {horizon:g} {unit}s, more than once a day: its "
                "covariates lie far outside those of the fit; correct or cap them"
            )

    def to_dict(self) -> dict[str, Any]:
        """The state as plain values; `from_dict` takes it back."""
        self._require_fitted()
        return {
            "orders": self.orders_.to_dict(),
            "spend": self.spend_.to_dict(),
            "first_basket": self.first_basket,
            "first_baskets": None if self.first_baskets_ is None else list(self.first_baskets_),
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Make a fitted model of what `to_dict` returned."""
        model = cls(first_basket=bool(state["first_basket"]))
        model.orders_ = model._orders = CovariateModel.from_dict(state["orders"])
        model.spend_ = model._spend = SpendCovariateModel.from_dict(state["spend"])
        baskets = state.get("first_baskets")
        model.first_baskets_ = None if baskets is None else (float(baskets[0]), float(baskets[1]))
        return model

    @property
    def params_(self) -> dict[str, float]:
        """Parameters of both models, at the base levels and means."""
        self._require_fitted()
        return {**self.orders_.params_, **self.spend_.params_}

    @property
    def identified_(self) -> bool:
        """Whether both models are identified."""
        self._require_fitted()
        return self.orders_.identified_ and self.spend_.identified_

    def save(self, path: str | Path) -> None:
        """Write the model as JSON, see `clv.persistence.save_model`."""
        from .persistence import save_model

        self._require_fitted()
        save_model(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a model that `save` wrote."""
        from .persistence import load_model

        return load_model(path, cls)

    def __repr__(self) -> str:
        if not hasattr(self, "orders_"):
            return "<ColdStartModel, not fitted>"
        return f"<ColdStartModel: {self.orders_!r}, {self.spend_!r}>"

    def _require_fitted(self) -> None:
        if not hasattr(self, "orders_"):
            raise ModelError("ColdStartModel is not fitted; call fit(summary) first")
