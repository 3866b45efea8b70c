"""Purchase histories as the models read them: frequency, recency and T, checked, grouped and without a frame."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ..sql.errors import ContractError, ModelError
from .columns import read_columns

TIME_UNIT_KEY = "time_unit"
ARROW_TIME_UNIT_KEY = b"regulars.time_unit"

# Equal rows are worth finding where a sample of this size shows that there are many.
_SAMPLE_ROWS = 20_000
_WORTH_GROUPING = 0.8


@dataclass(frozen=True)
class DistinctHistories:
    """The distinct (frequency, recency, T) of a summary, times as indices into one table.

    Attributes
    ----------
    frequency
        (m,) int64, repeat purchases x.
    recency_index, T_index
        (m,) int64, positions of t_x and T in ``times``.
    times
        (k,) float64, distinct times.
    weight
        (m,) float64, customers that share the history.
    group
        (n,) int64, row of the summary -> row here; None where the two are the same.
    """

    frequency: np.ndarray
    recency_index: np.ndarray
    T_index: np.ndarray
    times: np.ndarray
    weight: np.ndarray
    group: np.ndarray | None

    @property
    def recency(self) -> np.ndarray:
        """(m,) float64, t_x."""
        return self.times[self.recency_index]

    @property
    def T(self) -> np.ndarray:  # noqa: N802
        """(m,) float64, T."""
        return self.times[self.T_index]

    def scaled(self, scale: float) -> "DistinctHistories":
        """Return the same histories with times in units of ``scale``."""
        return replace(self, times=self.times / scale)

    def where(self, rows: np.ndarray | slice) -> "DistinctHistories":
        """Return some of the distinct histories, which then answer to no summary."""
        x, recency_index, T_index = self.frequency[rows], self.recency_index[rows], self.T_index[rows]
        times = self.times
        if 2 * x.size < times.size:
            times = np.concatenate([times[recency_index], times[T_index]])
            recency_index = np.arange(x.size)
            T_index = recency_index + x.size
        return DistinctHistories(x, recency_index, T_index, times, self.weight[rows], None)

    def thinned(self, n_rows: int) -> "DistinctHistories":
        """Return about ``n_rows`` of the rows, reweighted: each as often as its share of all customers asks for."""
        total = np.cumsum(self.weight)
        step = total[-1] / n_rows
        drawn = np.diff(np.floor(total / step + 0.5), prepend=0.0)
        few = self.where(np.flatnonzero(drawn))
        return replace(few, weight=drawn[drawn > 0] * step)

    @cached_property
    def ages(self) -> tuple[np.ndarray, np.ndarray]:
        """Distinct T (k,), and the position of each row's among them (m,)."""
        from .grouping import group_equal

        if self.times.size >= 2 * self.frequency.size:
            return self.T, np.arange(self.frequency.size)
        index, first = group_equal(self.T_index)
        return self.times[self.T_index[first]], index

    @cached_property
    def rate_histories(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | slice]:
        """Distinct (x, T), (p,) each, and the position of each row's among them (m,)."""
        from .grouping import group_equal

        ages, index = self.ages
        if ages.size == self.frequency.size:
            return self.frequency, self.T, slice(None)
        pair, first = group_equal(self.frequency * ages.size + index)
        return self.frequency[first], ages[index[first]], pair

    def scatter(self, values: np.ndarray) -> np.ndarray:
        """Return ``values`` (m, ...) of the distinct histories as one row for each row of the summary (n, ...)."""
        return values if self.group is None else values[self.group]


@dataclass(frozen=True)
class PurchaseHistories:
    """A summary's histories as arrays; every method of a model takes one in place of the frame.

    Build it once with :func:`read_histories` when several predictions are wanted of one large summary: reading,
    checking and grouping are then done once.

    Attributes
    ----------
    frequency
        (n,) int64, purchases after the first, x.
    recency
        (n,) float64, time from the first to the last purchase, t_x.
    T
        (n,) float64, time from the first purchase to the as-of date.
    weight
        (n,) float64, customers the row stands for.
    time_unit
        Unit of recency and T, None where the summary does not say.

    Examples
    --------
    >>> histories = read_histories({"frequency": [2, 0, 2], "recency": [30.4, 0, 30.4], "T": [38.9, 39, 38.9]})
    >>> histories.distinct.weight.tolist()
    [2.0, 1.0]
    """

    frequency: np.ndarray
    recency: np.ndarray
    T: np.ndarray
    weight: np.ndarray
    time_unit: str | None = None

    def __len__(self) -> int:
        return self.frequency.size

    @cached_property
    def distinct(self) -> DistinctHistories:
        """The distinct histories, their weights summed; rows as they are where hardly any two are equal."""
        return _distinct(self)


def read_histories(summary: Any) -> PurchaseHistories:
    """Read ``frequency``, ``recency``, ``T`` and, where present, ``weight`` from a frame and check every row.

    Parameters
    ----------
    summary
        pandas, Polars or Arrow frame, a mapping of columns, or histories already read.

    Raises
    ------
    ContractError
        A column is missing or not numeric; a value is missing, negative or impossible.

    Examples
    --------
    >>> read_histories({"frequency": [1], "recency": [2.0], "T": [1.0]})
    Traceback (most recent call last):
    ...
    regulars.sql.errors.ContractError: recency 2.0 in row 0 is later than T 1.0: the last purchase lies ...
    """
    if isinstance(summary, PurchaseHistories):
        return summary
    columns = read_columns(summary, ("frequency", "recency", "T"), ("weight",))
    frequency, recency, T = columns["frequency"], columns["recency"], columns["T"]
    weight = columns.get("weight", np.ones(frequency.size))
    _check(frequency, recency, T, weight)
    # A last bit of difference between two ways to the same day is no contradiction.
    return PurchaseHistories(
        frequency.astype(np.int64), np.minimum(recency, T) + 0.0, T + 0.0, weight, time_unit_of(summary)
    )


def time_unit_of(summary: Any) -> str | None:
    """Return the time unit that a summary carries (pandas ``attrs``, Arrow schema metadata), None where it has none.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"frequency": [1]})
    >>> frame.attrs["time_unit"] = "day"
    >>> time_unit_of(frame)
    'day'
    """
    attrs = getattr(summary, "attrs", None)
    if isinstance(attrs, Mapping):
        return attrs.get(TIME_UNIT_KEY)
    if not hasattr(summary, "replace_schema_metadata"):  # no Arrow table
        return None
    unit = (summary.schema.metadata or {}).get(ARROW_TIME_UNIT_KEY)
    return None if unit is None else unit.decode()


def _refuse(wrong: np.ndarray, message: str, *columns: np.ndarray) -> None:
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ContractError(message.format(*(column[row].item() for column in columns), row=row))


def _check(frequency: np.ndarray, recency: np.ndarray, T: np.ndarray, weight: np.ndarray) -> None:
    sizes = {frequency.size, recency.size, T.size, weight.size}
    if len(sizes) != 1:
        raise ContractError(f"the summary's columns differ in length: {sorted(sizes)}")
    for name, values in (("frequency", frequency), ("recency", recency), ("T", T), ("weight", weight)):
        _refuse(~np.isfinite(values), f"{name} {{}} in row {{row}} is missing or not finite", values)
        _refuse(values < 0, f"{name} {{}} in row {{row}} is negative; it counts from 0", values)
    _refuse(frequency != np.floor(frequency), "frequency {} in row {row} is no whole number of purchases", frequency)
    _refuse(
        recency > T * (1 + 1e-9),
        "recency {} in row {row} is later than T {}: the last purchase lies after the as-of date. "
        "Both count from the first purchase in one time unit",
        recency,
        T,
    )
    _refuse(
        (frequency > 0) & (recency == 0),
        "frequency {} in row {row} with recency 0: purchases on the first day are one purchase; "
        "collapse same-day orders as regulars.clv.rfm_summary does",
        frequency,
    )
    _refuse(
        (frequency == 0) & (recency > 0),
        "recency {} in row {row} with frequency 0: without a repeat purchase the last purchase is the first",
        recency,
    )


def _distinct(histories: PurchaseHistories) -> DistinctHistories:
    from .grouping import group_equal

    x, n = histories.frequency, len(histories)
    sample = slice(0, n, max(1, n // _SAMPLE_ROWS))
    if n > _SAMPLE_ROWS and not _repeats(x[sample], histories.recency[sample], histories.T[sample]):
        rows = np.arange(n)
        times = np.concatenate([histories.recency, histories.T])
        return DistinctHistories(x, rows, rows + n, times, histories.weight, None)
    time_index, first = group_equal(np.concatenate([histories.recency, histories.T]))
    times = np.concatenate([histories.recency, histories.T])[first]
    recency_index, T_index = time_index[:n], time_index[n:]
    pair = recency_index * times.size + T_index
    if n and (int(x.max()) + 1) * times.size**2 >= 2**62:
        pair, _ = group_equal(pair)
    key = x * (int(pair.max()) + 1 if n else 1) + pair
    group, first = group_equal(key)
    weight = np.bincount(group, histories.weight, minlength=first.size)
    return DistinctHistories(x[first], recency_index[first], T_index[first], times, weight, group)


def _repeats(x: np.ndarray, recency: np.ndarray, T: np.ndarray) -> bool:
    """Say whether a sample's recencies repeat so often that grouping the whole will shrink it."""
    from .grouping import group_equal

    repeaters = x > 0
    if repeaters.sum() < 100:
        return True
    _, distinct_recency = group_equal(recency[repeaters])
    _, distinct_T = group_equal(T)
    return distinct_recency.size < _WORTH_GROUPING * repeaters.sum() or (
        distinct_T.size < _WORTH_GROUPING * T.size and repeaters.mean() < 0.5
    )


def require_repeats(histories: PurchaseHistories) -> None:
    """Raise ModelError where no purchase rates can be estimated: no customer, one customer, no second purchase.

    Examples
    --------
    >>> require_repeats(read_histories({"frequency": [0, 0], "recency": [0, 0], "T": [9, 9]}))
    Traceback (most recent call last):
    ...
    regulars.sql.errors.ModelError: none of 2 customers has bought a second time: ...
    """
    entered = histories.weight > 0
    customers = float(histories.weight.sum())
    if not entered.any():
        what = "is empty" if len(histories) == 0 else "has only weights of 0"
        raise ModelError(f"the summary {what}: there is no customer to fit a model to")
    if customers <= 1:
        raise ModelError("the summary holds 1 customer; differences between customers are known from hundreds")
    if not (histories.T[entered] > 0).any():
        raise ModelError("every customer's T is 0: all first purchases are on the as-of date; take a later one")
    if not (histories.frequency[entered] > 0).any():
        raise ModelError(
            f"none of {customers:g} customers has bought a second time: no purchase rate can be estimated; "
            "take a longer history"
        )
