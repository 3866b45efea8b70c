"""Purchase histories as the models read them: frequency, recency and T, checked, grouped and without a frame."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

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
    # P(alive) of the model that asked last: every prediction begins with it.
    last_alive: dict[tuple[object, ...], np.ndarray] = field(init=False, default_factory=dict, compare=False)

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
        index, first = group_equal(self.T_index, self.times.size)
        return self.times[self.T_index[first]], index

    @cached_property
    def rate_histories(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | slice]:
        """Distinct (x, T), (p,) each, and the position of each row's among them (m,)."""
        from .grouping import group_equal

        ages, index = self.ages
        if ages.size == self.frequency.size:
            return self.frequency, self.T, slice(None)
        x_max = int(self.frequency.max(initial=0))
        pair, first = group_equal(index * (x_max + 1) + self.frequency, ages.size * (x_max + 1))
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

    @property
    def totals(self) -> tuple[float, ...]:
        """Customers, and their purchases, recencies and T summed: other customers have other totals."""
        columns = (self.frequency, self.recency, self.T)
        return float(self.weight.sum()), *(float(self.weight @ column) for column in columns)

    def once_each(self) -> Self:
        """Return the distinct histories as rows of their own."""
        d = self.distinct
        return replace(self, frequency=d.frequency, recency=d.recency, T=d.T, weight=d.weight)

    def take(self, rows: np.ndarray) -> Self:
        """Return some of the rows, in the order asked for."""
        return replace(
            self,
            frequency=self.frequency[rows],
            recency=self.recency[rows],
            T=self.T[rows],
            weight=self.weight[rows],
        )


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
    # A last bit of difference between two ways to the same day is no contradiction. Sums make arrays of our own, which
    # kernels are compiled for (a frame's may be read-only), and turn -0.0 into 0.0.
    return PurchaseHistories(
        frequency.astype(np.int64), np.minimum(recency, T) + 0.0, T + 0.0, weight + 0.0, time_unit_of(summary)
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
    x, recency, T, n = histories.frequency, histories.recency, histories.T, len(histories)
    sample = slice(0, n, max(1, n // _SAMPLE_ROWS))
    if n <= _SAMPLE_ROWS or _often_equal(recency[sample][x[sample] > 0]):
        return _group_all(histories)
    if _often_equal(T[sample]):
        return _group_one_time_buyers(histories)
    rows = np.arange(n)
    return DistinctHistories(x, rows, rows + n, np.concatenate([recency, T]), histories.weight, None)


def _often_equal(sample: np.ndarray) -> bool:
    """Say whether the times of a sample repeat so often that grouping all of them will shrink them."""
    from .grouping import group_equal

    return sample.size < 100 or group_equal(sample)[1].size < _WORTH_GROUPING * sample.size


def _group_all(histories: PurchaseHistories) -> DistinctHistories:
    """Group by (x, t_x, T): times are whole days, or rows are few."""
    from .grouping import group_equal

    x, n = histories.frequency, len(histories)
    both = np.concatenate([histories.recency, histories.T])
    time_index, first = group_equal(both)
    times = both[first]
    recency_index, T_index = time_index[:n], time_index[n:]
    pair, n_pairs = recency_index * times.size + T_index, times.size**2
    if n and (int(x.max()) + 1) * n_pairs >= 2**62:
        pair, first = group_equal(pair)
        n_pairs = first.size
    group, first = group_equal(x * n_pairs + pair)
    weight = np.bincount(group, histories.weight, minlength=first.size)
    return DistinctHistories(x[first], recency_index[first], T_index[first], times, weight, group)


def _group_one_time_buyers(histories: PurchaseHistories) -> DistinctHistories:
    """Group those without a repeat purchase by T; the recencies of the others hardly ever repeat."""
    from .grouping import group_equal

    x, n = histories.frequency, len(histories)
    age, first = group_equal(histories.T)
    once = x == 0
    n_once, n_ages, repeaters = int(once.sum()), first.size, np.flatnonzero(~once)
    group = np.empty(n, np.int64)
    cohort, first_once = group_equal(age[once], n_ages)
    n_cohorts = first_once.size
    group[once] = cohort
    group[repeaters] = n_cohorts + np.arange(n - n_once)
    # times: the ages, then 0 for t_x of the one-time buyers, then the recencies
    recency_index = np.concatenate([np.full(n_cohorts, n_ages), n_ages + 1 + np.arange(n - n_once)])
    return DistinctHistories(
        frequency=np.concatenate([np.zeros(n_cohorts, np.int64), x[repeaters]]),
        recency_index=recency_index,
        T_index=np.concatenate([age[once][first_once], age[repeaters]]),
        times=np.concatenate([histories.T[first], [0.0], histories.recency[repeaters]]),
        weight=np.concatenate(
            [np.bincount(cohort, histories.weight[once], minlength=n_cohorts), histories.weight[repeaters]]
        ),
        group=group,
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
