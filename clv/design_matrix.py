"""Covariates of customers as numbers: levels against a base, centred numbers, and what a model cannot use refused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..sql.errors import ContractError, ModelError, nearest
from ..sql.frames import columns_of

Array = NDArray[np.float64]
Missing = Literal["refuse", "own_level"]

MISSING_LEVEL = "(missing)"
# More distinct covariate values than this share of rows: nothing is gained by grouping them.
_WORTH_GROUPING = 0.5
# Smallest eigenvalue of the correlations below which columns count as collinear.
_COLLINEAR = 1e-9
# A column of ids has been given in error; and the Hessian grows with the square of the levels.
_MOST_LEVELS = 200


@dataclass(frozen=True)
class Covariate:
    """How one covariate becomes columns.

    Attributes
    ----------
    name
        Column of the summary.
    levels
        The levels that have a column each; () for a number.
    base
        The level without a column, which all coefficients are against; None for a number.
    centre
        Of a number: the fit's mean, at which it counts 0.
    own_level
        Of a number: a missing one counts 0 and has a column of its own.
    """

    name: str
    levels: tuple[str, ...]
    base: str | None
    centre: float
    own_level: bool

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of its columns."""
        if self.base is not None:
            return tuple(f"{self.name}[{level}]" for level in self.levels)
        return (self.name, f"{self.name}[{MISSING_LEVEL}]") if self.own_level else (self.name,)


@dataclass(frozen=True)
class DesignRows:
    """Distinct rows of a design matrix (p, q), and which of them each customer has (n,)."""

    matrix: Array
    pattern: NDArray[np.int64]


@dataclass(frozen=True)
class Design:
    """How covariates become the columns of a design matrix.

    Numbers are centred at the mean of the customers that a model was fitted to, so that its other parameters are
    those of a customer at that mean (and at the base of every covariate with levels). A prediction does not depend on
    it: the centre is kept with the model.

    Examples
    --------
    >>> frame = {"channel": ["web", "shop", "web"], "age": [30, 40, 50]}
    >>> design = Design.of(frame, ["channel", "age"], np.ones(3))
    >>> design.columns, design.covariates[0].base
    (('channel[shop]', 'age'), 'web')
    >>> rows = design.rows(frame)
    >>> rows.matrix[rows.pattern].tolist()
    [[0.0, -10.0], [1.0, 0.0], [0.0, 10.0]]
    """

    covariates: tuple[Covariate, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the design matrix's columns, (q,)."""
        return tuple(name for covariate in self.covariates for name in covariate.columns)

    @classmethod
    def of(
        cls,
        frame: Any,
        names: Sequence[str],
        weight: Array,
        *,
        base: Mapping[str, Any] | None = None,
        missing: Missing = "refuse",
    ) -> "Design":
        """Read levels and means from the customers of a fit.

        Parameters
        ----------
        frame : frame or mapping
            Holds the columns ``names``: numbers, or text, booleans and categories as levels.
        names : sequence of str
            The covariates.
        weight : ndarray, shape (n,)
            Customers that a row stands for.
        base : mapping, optional
            The level that the others of a covariate are held against; where not given the commonest.
        missing : str
            ``"refuse"``, or ``"own_level"``: those without a value are a level of their own.

        Raises
        ------
        ContractError
            A column is not there, or holds missing or infinite values.
        ModelError
            A base is no level, a covariate is constant, or the columns are collinear.
        """
        if missing not in ("refuse", "own_level"):
            raise ModelError(f"missing is {missing!r}; it must be 'refuse' or 'own_level'")
        base = dict(base or {})
        for name in base:
            if name not in names:
                raise ModelError(f"base names {name!r}{nearest(name, list(names))}; covariates are {', '.join(names)}")
        columns = _columns(frame, names)
        found = [
            _number(name, columns[name], weight, missing)
            if _is_number(columns[name])
            else _levels(name, columns[name], weight, base.get(name), missing)
            for name in names
        ]
        for covariate in found:
            if covariate.base is None and covariate.name in base:
                raise ModelError(f"base names the level {base[covariate.name]!r} of {covariate.name!r}, a number")
        design = cls(tuple(found))
        rows = design.rows(frame)
        by_pattern = np.bincount(rows.pattern, weight, minlength=len(rows.matrix)).astype(np.float64)
        _refuse_collinear(design.columns, rows.matrix, by_pattern)
        return design

    def spread(self, rows: DesignRows, weight: Array) -> Array:
        """Return each column's standard deviation over customers, 1 for a level's, (q,)."""
        by_pattern = np.bincount(rows.pattern, weight, minlength=len(rows.matrix))
        share = by_pattern / by_pattern.sum()
        mean = (share[:, None] * rows.matrix).sum(axis=0)
        deviation = np.sqrt((share[:, None] * (rows.matrix - mean) ** 2).sum(axis=0))
        numbers = [
            covariate.base is None and i == 0 for covariate in self.covariates for i, _ in enumerate(covariate.columns)
        ]
        return np.where(np.array(numbers) & (deviation > 0), deviation, 1.0)

    def rows(self, frame: Any) -> DesignRows:
        """Return the design matrix of some customers, equal rows once.

        Raises
        ------
        ContractError
            A column is not there, holds missing or infinite values, or a level that the fit has not seen.
        """
        columns = _columns(frame, [covariate.name for covariate in self.covariates])
        parts = [_coded(covariate, columns[covariate.name]) for covariate in self.covariates]
        n = parts[0][1].size
        if any(code.size != n for _, code in parts):
            raise ContractError(f"covariates differ in length: {[code.size for _, code in parts]}")
        pattern, first = _combined([code for _, code in parts], [len(values) for values, _ in parts], n)
        return DesignRows(np.hstack([values[code[first]] for values, code in parts]), pattern)

    def to_dict(self) -> list[dict[str, Any]]:
        """The state as plain values; `from_dict` takes it back."""
        return [
            {"name": c.name, "levels": list(c.levels), "base": c.base, "centre": c.centre, "own_level": c.own_level}
            for c in self.covariates
        ]

    @classmethod
    def from_dict(cls, state: Sequence[Mapping[str, Any]]) -> "Design":
        """Make a design of what `to_dict` returned."""
        return cls(
            tuple(
                Covariate(str(c["name"]), tuple(c["levels"]), c["base"], float(c["centre"]), bool(c["own_level"]))
                for c in state
            )
        )


def _columns(frame: Any, names: Sequence[str]) -> dict[str, Any]:
    """The columns as numpy arrays or pandas series."""
    columns = columns_of(frame)
    for name in names:
        if name not in columns:
            raise ContractError(
                f"the summary has no covariate {name!r}{nearest(name, list(columns))}; join it on customer_id first"
            )
    return {name: _as_series(name, columns[name]) for name in names}


def _as_series(name: str, column: Any) -> Any:
    import narwhals as nw
    import pandas as pd

    if isinstance(column, nw.Series):
        column = column.to_pandas()
    series = column if isinstance(column, pd.Series) else pd.Series(np.asarray(column))
    if isinstance(series.dtype, pd.CategoricalDtype):
        series = series.astype(object)
    if series.dtype == object:
        series = series.infer_objects()
    kind = pd.api.types.infer_dtype(series, skipna=True)
    if kind.startswith(("date", "time", "period")):
        raise ModelError(f"covariate {name!r} holds dates or times; give it as a number, such as days since a date")
    return series.astype(float) if kind == "decimal" else series


def _is_number(series: Any) -> bool:
    from pandas.api import types

    return bool(types.is_numeric_dtype(series) and not types.is_bool_dtype(series))


def _number(name: str, series: Any, weight: Array, missing: Missing) -> Covariate:
    values = series.to_numpy(dtype=float, na_value=np.nan)
    absent = np.isnan(values)
    _refuse_missing(name, int(absent.sum()), values.size, missing)
    if np.isinf(values).any():
        row = int(np.argmax(np.isinf(values)))
        raise ContractError(f"covariate {name!r} is {values[row]} in row {row}; it must be finite")
    known = ~absent & (weight > 0)
    if not known.any() or values[known].min() == values[known].max():
        raise ModelError(_constant(name, values[known][0] if known.any() else "missing"))
    centre = float((weight[known] * values[known]).sum() / weight[known].sum())
    return Covariate(name, (), None, centre, bool(absent.any()))


def _levels(name: str, series: Any, weight: Array, base: Any, missing: Missing) -> Covariate:
    code, levels = _factorised(series)
    absent = int((code < 0).sum())
    _refuse_missing(name, absent, code.size, missing)
    if absent:
        code, levels = np.where(code < 0, len(levels), code), [*levels, MISSING_LEVEL]
    if len(levels) > _MOST_LEVELS:
        raise ModelError(
            f"covariate {name!r} has {len(levels):,} levels; it must have {_MOST_LEVELS} at most: join the rare ones, "
            "or use SegmentPriorModel"
        )
    customers = np.bincount(code, weight, minlength=len(levels))
    seen = [level for level, count in sorted(zip(levels, customers, strict=True)) if count > 0]
    if len(seen) < 2:
        raise ModelError(_constant(name, seen[0] if seen else "missing"))
    if base is None:
        base = min(seen, key=lambda level: (-customers[levels.index(level)], level))
    elif str(base) not in seen:
        raise ModelError(
            f"base {base!r} is no level of {name!r}{nearest(str(base), seen)}; there are {', '.join(seen)}"
        )
    return Covariate(name, tuple(level for level in seen if level != str(base)), str(base), 0.0, False)


def _factorised(series: Any) -> tuple[NDArray[np.int64], list[str]]:
    """Code by row, -1 where missing, and the levels as text."""
    import pandas as pd

    code, levels = pd.factorize(series, use_na_sentinel=True)
    return np.asarray(code, np.int64), [str(level) for level in levels]


def _refuse_missing(name: str, absent: int, n: int, missing: Missing) -> None:
    if absent and missing == "refuse":
        raise ContractError(
            f"covariate {name!r} is missing for {absent:,} of {n:,} customers; complete it, leave it out, or make "
            "those a level of their own with missing='own_level'"
        )


def _constant(name: str, value: Any) -> str:
    seen = value.item() if isinstance(value, np.generic) else value
    return f"covariate {name!r} is {seen!r} for every customer: a constant explains no difference; leave it out"


def _refuse_collinear(columns: Sequence[str], matrix: Array, weight: Array) -> None:
    share = weight / weight.sum()
    centred = matrix - (share[:, None] * matrix).sum(axis=0)
    covariance = (
        (share[:, None, None] * centred[:, :, None] * centred[:, None, :]).sum(axis=0)
        if len(matrix) < 1000
        else (np.array([[(share * a * b).sum() for b in centred.T] for a in centred.T]))
    )
    deviation = np.sqrt(np.diag(covariance))
    if (deviation == 0).any():
        constant = columns[int(np.argmax(deviation == 0))]
        raise ModelError(f"covariate {constant!r} is the same for every customer: leave it out")
    values, axes = np.linalg.eigh(covariance / np.outer(deviation, deviation))
    if values[0] < _COLLINEAR:
        together = [name for name, loading in zip(columns, axes[:, 0], strict=True) if abs(loading) > 1e-3]
        raise ModelError(
            f"covariates {', '.join(repr(name) for name in together)} are collinear: each follows from the others; "
            "leave one out"
        )


def _coded(covariate: Covariate, series: Any) -> tuple[Array, NDArray[np.int64]]:
    """Distinct values as columns (k, c), and each customer's (n,)."""
    from .grouping import group_equal

    if covariate.base is None:
        if not _is_number(series):
            raise ContractError(f"covariate {covariate.name!r} was a number in the fit and is {series.dtype} here")
        values = series.to_numpy(dtype=float, na_value=np.nan)
        absent = np.isnan(values)
        if absent.any() and not covariate.own_level:
            _refuse_missing(covariate.name, int(absent.sum()), values.size, "refuse")
        if np.isinf(values).any():
            raise ContractError(f"covariate {covariate.name!r} is infinite in row {int(np.argmax(np.isinf(values)))}")
        index, first = group_equal(np.where(absent, np.inf, values + 0.0))
        distinct, gone = values[first] - covariate.centre, absent[first]
        columns = [np.where(gone, 0.0, distinct)]
        if covariate.own_level:
            columns.append(gone.astype(float))
        return np.column_stack(columns), index
    code, levels = _factorised(series)
    if (code < 0).any():
        if MISSING_LEVEL not in (*covariate.levels, covariate.base):
            _refuse_missing(covariate.name, int((code < 0).sum()), code.size, "refuse")
        code, levels = np.where(code < 0, len(levels), code), [*levels, MISSING_LEVEL]
    allowed = (*covariate.levels, covariate.base)
    for level in levels:
        if level not in allowed:
            count = int((code == levels.index(level)).sum())
            raise ContractError(
                f"covariate {covariate.name!r} has the level {level!r} for {count:,} customers"
                f"{nearest(level, allowed)}; the fit has seen {', '.join(sorted(allowed))}"
            )
    coded = [[float(level == own) for own in covariate.levels] for level in levels]
    return np.array(coded).reshape(len(levels), len(covariate.levels)), code


def _combined(codes: list[NDArray[np.int64]], sizes: list[int], n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number distinct combinations: index (n,) and the first row of each."""
    from .grouping import group_equal

    rows = np.arange(n)
    if max(sizes) > _WORTH_GROUPING * n and n > 1000:
        return rows, rows
    index, first = group_equal(np.asarray(codes[0], np.int64), sizes[0])
    for code, size in zip(codes[1:], sizes[1:], strict=True):
        index, first = group_equal(index * size + code)
        if first.size > _WORTH_GROUPING * n and n > 1000:
            return rows, rows
    return index, first
