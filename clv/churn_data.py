"""What a churn model learns from and scores: durations, whether they ended, and what was known when they began."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..sql.errors import ContractError, ModelError, nearest
from ..sql.frames import columns_of
from .gaps import INTERVAL_COLUMNS, read_days, read_ids

Array = NDArray[np.float64]

# Below this span of starts a calendar month is seen once, and a season cannot be told from anything else of its time.
DAYS_OF_TWO_YEARS = 730
_SEASON = ("month", "day_of_year")
_NUMBERS = "biuf"


@dataclass(frozen=True)
class ChurnData:
    """Durations with features.

    Attributes
    ----------
    durations : ndarray, shape (n,)
        How long each has lasted, from 0; in days for intervals between orders.
    events : ndarray of bool, shape (n,)
        True where it ended (an order came, a contract was cancelled), False where it still goes on.
    columns : dict
        Feature -> array of shape (n,), floats with NaN where missing, or objects (text) with None.
    customers : ndarray, shape (n,)
        Whose it is; those of one customer are never split.
    are_gaps : bool
        Whether they are intervals between orders, whose features are known by name.
    starts : ndarray of datetime64[D], shape (n,), optional
        First days, which together with the customer say which row is which, in whatever order they come.

    Examples
    --------
    >>> data = churn_frame([3, 5, 8], [True, True, False], {"contract": ["month", "year", "year"]})
    >>> len(data), list(data.columns)
    (3, ['contract'])
    """

    durations: Array
    events: NDArray[np.bool_]
    columns: Mapping[str, NDArray[Any]] = field(repr=False)
    customers: NDArray[Any] = field(repr=False)
    are_gaps: bool = False
    starts: NDArray[Any] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.durations)

    def take(self, rows: NDArray[Any]) -> "ChurnData":
        """Return the rows of a mask or of positions."""
        return ChurnData(
            self.durations[rows],
            self.events[rows],
            {name: column[rows] for name, column in self.columns.items()},
            self.customers[rows],
            self.are_gaps,
            None if self.starts is None else self.starts[rows],
        )

    def with_columns(self, names: Sequence[str]) -> "ChurnData":
        """Return the same rows with the named features alone."""
        columns = {name: self.columns[name] for name in names}
        return ChurnData(self.durations, self.events, columns, self.customers, self.are_gaps, self.starts)


def churn_frame(durations: Any, events: Any, covariates: Any = None, customers: Any = None) -> ChurnData:
    """Contractual churn: how long each customer has been one, whether he cancelled, and what was known at the begin.

    Parameters
    ----------
    durations : array_like, shape (n,)
        Tenure in any unit, from 0.
    events : array_like of bool or 0/1, shape (n,)
        Whether it ended by cancelling.
    covariates : frame or mapping, optional
        Columns of numbers or text, a row for each duration, as they were at the begin.
    customers : array_like, optional
        Ids; each row is a customer of its own where not given.

    Returns
    -------
    ChurnData

    Raises
    ------
    ContractError
        Lengths differ.
    ModelError
        A duration is negative or no number, or an event is neither true nor false.

    Examples
    --------
    >>> churn_frame([1, 34, 2], [1, 0, 1], {"dependents": ["No", "Yes", "No"]}).events.tolist()
    [True, False, True]
    """
    lasted, ended = _lasted("durations", durations), _ended("events", events)
    columns = {} if covariates is None else columns_of(covariates, "covariates")
    read = {str(name): _column(str(name), column) for name, column in columns.items()}
    ids = np.arange(len(lasted)) if customers is None else read_ids("customers", customers)
    for name, column in {"events": ended, **read, "customers": ids}.items():
        if len(column) != len(lasted):
            raise ContractError(f"{name} has {len(column)} rows and durations {len(lasted)}; give one for each")
    return ChurnData(lasted, ended, read, ids)


def gap_data(gaps: Any, features: Sequence[str] | None = None) -> ChurnData:
    """Read intervals of `order_gaps` with the named features, all that were known at the start where none are named.

    The season of the start is among them only where the starts span two years: within one, a month is seen once.

    Raises
    ------
    ContractError
        A column is missing.
    ModelError
        A feature is what an interval came to: leaks are refused by name. Or a duration is no number from 0, an event
        neither true nor false, a customer or a first day missing.

    Examples
    --------
    >>> import pandas as pd
    >>> days = pd.to_datetime(["2025-03-01", "2025-03-08"])
    >>> gaps = {"customer_id": ["a", "a"], "starts": days, "duration": [7, 2], "event": [True, False]}
    >>> gap_data(pd.DataFrame(gaps | {"frequency": [0, 1]})).durations.tolist()
    [7.0, 2.0]
    """
    columns = columns_of(gaps, "the intervals")
    for name in ("customer_id", "duration", "event", "starts"):
        if name not in columns:
            raise ContractError(
                f"the intervals have no column {name!r}{nearest(name, list(columns))}; make them with clv.order_gaps"
            )
    known = [name for name in columns if name not in INTERVAL_COLUMNS]
    starts = read_days("starts", columns["starts"])
    if features is None:
        span = int((starts.max() - starts.min()).astype(int)) if len(starts) else 0
        features = [name for name in known if span >= DAYS_OF_TWO_YEARS or name not in _SEASON]
    for name in features:
        if name in ("duration", "event", "ends"):
            raise ModelError(f"feature {name!r} is what the interval came to, known at its end only; leave it out")
        if name in ("customer_id", "starts"):
            raise ModelError(f"feature {name!r} says which interval it is, and nothing of the next one; leave it out")
        if name not in columns:
            raise ContractError(f"the intervals have no column {name!r}{nearest(name, known)}; they have {known}")
    read: dict[str, NDArray[Any]] = {}
    for name in features:
        if name == "day_of_year":
            turn = 2 * np.pi * _column(name, columns[name]) / 365.25
            read |= {"season_sin": np.sin(turn), "season_cos": np.cos(turn)}
        else:
            read[name] = _column(name, columns[name])
    return ChurnData(
        durations=_lasted("duration", columns["duration"]),
        events=_ended("event", columns["event"]),
        columns=read,
        customers=read_ids("customer_id", columns["customer_id"]),
        are_gaps=True,
        starts=starts,
    )


def _lasted(name: str, values: Any) -> Array:
    lasted = _column(name, values)
    if lasted.dtype == object or not (np.isfinite(lasted) & (lasted >= 0)).all():
        wrong = next(value for value in lasted.tolist() if not (isinstance(value, float) and 0 <= value < np.inf))
        raise ModelError(f"{name} has {wrong!r}; each must be a finite number from 0")
    return lasted


def _ended(name: str, values: Any) -> NDArray[np.bool_]:
    ended = _column(name, values)
    if ended.dtype == object or not np.isin(ended, (0, 1)).all():
        wrong = next(value for value in ended.tolist() if value not in (0, 1))
        raise ModelError(f"{name} has {wrong!r}; each must be true (it ended) or false (it goes on)")
    return ended.astype(bool)


def _column(name: str, values: Any) -> NDArray[Any]:
    import pandas as pd

    to_pandas = getattr(values, "to_pandas", None)
    column = pd.Series(np.asarray(to_pandas() if to_pandas else values))
    if column.dtype.kind in _NUMBERS:
        return column.to_numpy(np.float64)
    if column.dtype.kind in "mM":
        raise ContractError(f"{name!r} holds dates; give a number instead, such as the days since it")
    present = column.dropna()
    try:
        numbers = pd.to_numeric(present, errors="raise") if not present.map(type).eq(str).any() else None
    except (TypeError, ValueError):
        numbers = None
    if numbers is not None and len(present):
        return np.asarray(pd.to_numeric(column), dtype=np.float64)
    return column.astype(object).where(column.notna(), None).to_numpy()
