"""From columns to the numbers that a survival model reads, the same at the fit and ever after."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..sql.errors import ContractError, ModelError, nearest
from .churn_data import ChurnData

Array = NDArray[np.float64]

# More levels than this make more columns than they say; the rest are one.
MOST_LEVELS = 12
_OTHER = "(other)"
# Norm of what a standardised column leaves, over its own, once the columns before it are taken out.
_COLLINEAR = 1e-7
_MOST = float(np.finfo(np.float32).max)
# Lengths, counts and money of intervals between orders: read on the log scale by linear models.
_LOGGED = frozenset(
    {
        "frequency", "tenure", "previous_gap", "gap_before_previous", "mean_gap", "longest_gap", "purchases_28",
        "purchases_91", "basket_value", "mean_value", "orders", "products", "categories",
    }
)  # fmt: skip
# Missing by nature at the first purchases, where there is no gap yet, or without sales.
_NOT_YET = frozenset(
    {
        "previous_gap", "gap_before_previous", "mean_gap", "longest_gap", "gap_variation", "discount_share",
        "main_category_share",
    }
)  # fmt: skip


@dataclass(frozen=True)
class FeatureEncoder:
    """Columns of a `ChurnData` as a matrix.

    Attributes
    ----------
    names : tuple of str
        Columns of the matrix.
    sources : tuple of str
        For each, the feature it came from.
    levels : dict
        Text feature -> the levels that have a column; for a linear model the commonest has none.
    linear : bool
        Whether it is for a linear model: no missing values, logarithms, no constant or collinear columns.
    notes : tuple of str
        What was left out, and why.

    Examples
    --------
    >>> from regulars.clv.churn_data import churn_frame
    >>> data = churn_frame([1, 2, 3], [1, 1, 0], {"age": [30, 40, 50], "double": [60, 80, 100], "one": [1, 1, 1]})
    >>> FeatureEncoder.learnt(data, linear=True).notes
    ("feature 'one' is the same in every row and was left out", "feature 'double' follows from those before it...")
    """

    names: tuple[str, ...]
    sources: tuple[str, ...]
    levels: dict[str, tuple[str, ...]]
    linear: bool
    notes: tuple[str, ...] = field(default=())

    @classmethod
    def learnt(cls, data: ChurnData, *, linear: bool) -> "FeatureEncoder":
        """Learn levels and what to leave out.

        Raises
        ------
        ModelError
            A value is missing or infinite that a linear model cannot do without.
        """
        levels = {name: _levels(column, linear=linear) for name, column in data.columns.items() if _is_text(column)}
        full = cls(*_layout(data, levels, linear=linear), levels, linear)
        matrix = full.matrix(data)
        notes, keep = [], np.ones(len(full.names), dtype=bool)
        for j, name in enumerate(full.names):
            column = matrix[:, j]
            if not np.isfinite(column).any() or np.nanmin(column) == np.nanmax(column):
                keep[j] = False
                if full.sources[j] == name:
                    notes.append(f"feature {name!r} is the same in every row and was left out")
        if linear:
            for j in _collinear(matrix, keep):
                keep[j] = False
                if full.names[j] in data.columns:
                    notes.append(f"feature {full.names[j]!r} follows from those before it and was left out")
                else:
                    notes.append(f"column {full.names[j]!r} follows from those before it and was left out")
        return cls(
            tuple(n for n, k in zip(full.names, keep, strict=True) if k),
            tuple(s for s, k in zip(full.sources, keep, strict=True) if k),
            levels,
            linear,
            tuple(notes),
        )

    def to_dict(self) -> dict[str, Any]:
        """The state as plain values; ``levels`` are those of text features, no customer's data."""
        levels = {name: list(known) for name, known in self.levels.items()}
        names, sources, notes = list(self.names), list(self.sources), list(self.notes)
        return {"names": names, "sources": sources, "levels": levels, "linear": self.linear, "notes": notes}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> "FeatureEncoder":
        """Take back what `to_dict` returned.

        Raises
        ------
        ValueError
            Names and sources are not as many.
        """
        names, sources, notes = (tuple(map(str, state[name])) for name in ("names", "sources", "notes"))
        if len(names) != len(sources):
            raise ValueError(f"{len(names)} columns come from {len(sources)} features")
        levels = {str(name): tuple(map(str, known)) for name, known in state["levels"].items()}
        return cls(names, sources, levels, bool(state["linear"]), notes)

    def matrix(self, data: ChurnData, dtype: Any = np.float64) -> NDArray[Any]:
        """Return the matrix, shape (n, k).

        Raises
        ------
        ContractError
            A feature is missing, or is text where the fit saw numbers.
        ModelError
            A value is missing or infinite that a linear model cannot do without.
        """
        made = np.empty((len(data), len(self.names)), dtype=dtype, order="F")
        read: dict[str, NDArray[Any]] = {}
        for j, (name, source) in enumerate(zip(self.names, self.sources, strict=True)):
            column = data.columns.get(source)
            if column is None:
                present = list(data.columns)
                raise ContractError(f"no feature {source!r}{nearest(source, present)}; there are {', '.join(present)}")
            if _is_text(column) != (source in self.levels) and len(column):
                kinds = ("numbers", "text") if _is_text(column) else ("text", "numbers")
                raise ContractError(f"feature {source!r} was {kinds[0]} at the fit and is {kinds[1]} now")
            if source in self.levels:
                if source not in read:
                    known = set(self.levels[source])
                    read[source] = np.array([v if v in known else _OTHER for v in map(_text, column)], dtype=object)
                    self._nothing_missing(source, np.array([v is None for v in column]), data)
                made[:, j] = read[source] == name[len(source) + 1 :]
            elif name == f"{source} not yet":
                made[:, j] = np.isnan(column)
            else:
                made[:, j] = self._numbers(source, column, data)
        return made

    def _numbers(self, name: str, column: Array, data: ChurnData) -> Array:
        # trees hold values in single precision, and linear models square them
        large = np.abs(column) > _MOST
        if large.any() and not (self.linear and np.isinf(column).any()):
            raise ModelError(
                f"feature {name!r} is {column[large][0]:g} for customer {data.customers[large][0]!s}; models read "
                f"numbers up to {_MOST:.2g}: correct it, or leave it missing"
            )
        if not self.linear:
            return column
        if data.are_gaps and name in _NOT_YET:
            column = np.where(np.isnan(column), 0.0, column)
        self._nothing_missing(name, ~np.isfinite(column), data)
        return np.log1p(np.maximum(column, 0.0)) if data.are_gaps and name in _LOGGED else column

    def _nothing_missing(self, name: str, missing: NDArray[np.bool_], data: ChurnData) -> None:
        if self.linear and missing.any():
            who = data.customers[missing][0]
            raise ModelError(
                f"feature {name!r} is missing or infinite for {int(missing.sum()):,} of {len(missing):,} rows, "
                f"customer {who!s} the first; fill it, leave it out, or take model='hazard', which takes missing values"
            )


def _layout(
    data: ChurnData, levels: dict[str, tuple[str, ...]], *, linear: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    names: list[str] = []
    sources: list[str] = []
    for name, column in data.columns.items():
        made = [f"{name}={level}" for level in levels[name]] if name in levels else [name]
        if linear and data.are_gaps and name in _NOT_YET and np.isnan(column).any():
            made.append(f"{name} not yet")
        names += made
        sources += [name] * len(made)
    return tuple(names), tuple(sources)


def _levels(column: NDArray[Any], *, linear: bool) -> tuple[str, ...]:
    counts = Counter(map(_text, column))
    ranked = sorted(counts, key=lambda level: (-counts[level], level))
    # the commonest level is what the others are compared with; trees need no such level, but two say the same
    first = 1 if linear or len(ranked) <= 2 else 0
    return tuple(ranked[first : first + MOST_LEVELS])


def _text(value: Any) -> str:
    return "(missing)" if value is None else str(value)


def _is_text(column: NDArray[Any]) -> bool:
    return column.dtype == object


def _collinear(matrix: Array, keep: NDArray[np.bool_]) -> list[int]:
    """Columns that those before them give, by the triangle of a QR of the standardised matrix."""
    from scipy.linalg import qr

    columns = np.flatnonzero(keep)
    if not len(columns):
        return []
    x = matrix[:, columns]
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    norms = np.sqrt(len(x))
    found: list[int] = []
    kept: list[int] = []
    # a column that is given leaves no direction of its own, which would spoil the diagonal of those after it
    for j in range(x.shape[1]):
        triangle = np.asarray(qr(x[:, [*kept, j]], mode="r", check_finite=False)[0])
        if len(x) <= len(kept) or abs(triangle[len(kept), len(kept)]) < _COLLINEAR * norms:
            found.append(int(columns[j]))
        else:
            kept.append(j)
    return found
