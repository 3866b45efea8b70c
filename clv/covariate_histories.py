"""Purchase histories of customers whose covariates differ, grouped by both."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from .design_matrix import Design, DesignRows
from .histories import DistinctHistories, PurchaseHistories

Array = NDArray[np.float64]


@dataclass(frozen=True)
class DistinctCovariateHistories(DistinctHistories):
    """Distinct (frequency, recency, T, covariates), sorted by the row of the design matrix.

    Attributes
    ----------
    pattern
        (m,) int64, row of ``matrix``.
    matrix
        (p, q) distinct rows of the design matrix.
    """

    pattern: NDArray[np.int64] = field(kw_only=True)
    matrix: Array = field(kw_only=True)

    def where(self, rows: np.ndarray | slice) -> "DistinctCovariateHistories":
        """Return some of the distinct histories, which then answer to no summary."""
        few = super().where(rows)
        return DistinctCovariateHistories(
            *(few.frequency, few.recency_index, few.T_index, few.times, few.weight, None),
            pattern=self.pattern[rows],
            matrix=self.matrix,
        )

    def thinned(self, n_rows: int) -> "DistinctCovariateHistories":
        """Return about ``n_rows`` of the rows, reweighted."""
        few = super().thinned(n_rows)
        assert isinstance(few, DistinctCovariateHistories)
        return few


@dataclass(frozen=True)
class CovariateHistories(PurchaseHistories):
    """Purchase histories with their rows of a design matrix; made by `CovariateModel.histories`."""

    design: Design = field(kw_only=True)
    rows: DesignRows = field(kw_only=True)

    @cached_property
    def distinct(self) -> DistinctCovariateHistories:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The distinct histories with covariates, their weights summed, sorted by covariates."""
        from .grouping import group_equal

        plain = PurchaseHistories(self.frequency, self.recency, self.T, self.weight).distinct
        n, n_patterns = len(self), len(self.rows.matrix)
        # as they are, where every customer has covariates of its own
        history = np.arange(n) if plain.group is None or n_patterns == n > 1000 else plain.group
        n_histories = n if plain.group is None or n_patterns == n > 1000 else plain.frequency.size
        pair, first = group_equal(self.rows.pattern * n_histories + history)
        order = np.argsort(self.rows.pattern[first], kind="stable")
        first = first[order]
        place = np.empty_like(order)
        place[order] = np.arange(order.size)
        group = place[pair]
        m = first.size
        return DistinctCovariateHistories(
            frequency=self.frequency[first],
            recency_index=np.arange(m),
            T_index=m + np.arange(m),
            times=np.concatenate([self.recency[first], self.T[first]]),
            weight=np.bincount(group, self.weight, minlength=m),
            group=group,
            pattern=self.rows.pattern[first],
            matrix=self.rows.matrix,
        )

    def once_each(self) -> Self:
        """Return the distinct histories with covariates as rows of their own."""
        d = self.distinct
        return replace(super().once_each(), rows=DesignRows(d.matrix, d.pattern))

    def take(self, rows: np.ndarray) -> Self:
        """Return some of the rows, in the order asked for."""
        return replace(super().take(rows), rows=replace(self.rows, pattern=self.rows.pattern[rows]))
