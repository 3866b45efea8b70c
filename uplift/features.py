"""Features as numbers: encoded as they were at the fit, whatever kind of frame they come in."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..sql.errors import ContractError, ModelError, nearest
from ..sql.frames import columns_of

if TYPE_CHECKING:
    import narwhals as nw

MOST_LEVELS = 32


@dataclass(frozen=True)
class NumericFeature:
    """A number, yes/no included: missing values take the ``median`` seen at the fit; ``marked`` adds a 0/1 column."""

    name: str
    median: float
    marked: bool


@dataclass(frozen=True)
class CategoricalFeature:
    """A text: a 0/1 column for each of the most frequent `MOST_LEVELS` seen at the fit; two levels need one column.

    A level without a column, and one that the fit did not see, is all 0.
    """

    name: str
    levels: tuple[str, ...]


@dataclass(frozen=True)
class FeatureEncoder:
    """What was learnt about the features when the model was fitted.

    Attributes
    ----------
    features : tuple of NumericFeature or CategoricalFeature
        In the order of the columns.
    constant : tuple of str
        Columns that held one value only and are left out.

    Examples
    --------
    >>> import pandas as pd
    >>> fitted = fit_encoder(pd.DataFrame({"age": [20.0, None, 40.0], "city": ["A", "B", "A"]}), ["age", "city"])
    >>> fitted.names
    ('age', 'age is missing', 'city = B')
    >>> fitted.encode(pd.DataFrame({"age": [50.0], "city": ["C"]})).tolist()
    [[50.0, 0.0, 0.0]]
    """

    features: tuple[NumericFeature | CategoricalFeature, ...]
    constant: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each encoded column."""
        out: list[str] = []
        for feature in self.features:
            if isinstance(feature, NumericFeature):
                out += [feature.name] + [f"{feature.name} is missing"] * feature.marked
            else:
                out += [f"{feature.name} = {level}" for level in feature.levels]
        return tuple(out)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that a frame must have."""
        return tuple(feature.name for feature in self.features)

    def encode(self, frame: Any) -> np.ndarray:
        """Return the features of each row, (n, p) floats.

        Raises
        ------
        ContractError
            Where a column is missing or was of another kind at the fit.
        ModelError
            Where a number is infinite.
        """
        columns = columns_of(frame, "a frame of customers")
        require_even(columns, "a frame of customers")
        parts: list[np.ndarray] = []
        n = len(next(iter(columns.values()))) if columns else 0
        for feature in self.features:
            column = _column(columns, feature.name)
            if isinstance(feature, NumericFeature):
                values = _numbers(column, feature.name)
                missing = np.isnan(values)
                parts.append(np.where(missing, feature.median, values))
                if feature.marked:
                    parts.append(missing.astype(np.float64))
            else:
                parts.extend(_indicators(column, feature))
        return np.column_stack(parts) if parts else np.zeros((n, 0))

    def unseen_levels(self, frame: Any) -> dict[str, int]:
        """Return, by column, how many rows have a level that the fit did not see."""
        columns = columns_of(frame, "a frame of customers")
        found = {}
        for feature in self.features:
            if isinstance(feature, CategoricalFeature):
                known = set(feature.levels)
                labels, counts = np.unique(_labels(_column(columns, feature.name)), return_counts=True)
                unseen = sum(int(m) for label, m in zip(labels, counts, strict=True) if label not in known)
                if unseen:
                    found[feature.name] = unseen
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return what `from_dict` reads."""
        return {"features": [asdict(feature) for feature in self.features], "constant": list(self.constant)}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> "FeatureEncoder":
        """Return the encoder that was saved."""
        return cls(
            tuple(
                CategoricalFeature(row["name"], tuple(row["levels"])) if "levels" in row else NumericFeature(**row)
                for row in saved["features"]
            ),
            tuple(saved["constant"]),
        )


def require_even(columns: Mapping[str, Any], what: str) -> None:
    """Raise a ContractError where the columns of a mapping have not all as many rows.

    Examples
    --------
    >>> require_even({"age": [30, 40], "city": ["A"]}, "a frame")
    Traceback (most recent call last):
    regulars.sql.errors.ContractError: a frame has 2 rows in column 'age' and 1 in column 'city'; give as many in each.
    """
    rows = {name: len(column) for name, column in columns.items()}
    first = next(iter(rows), "")
    uneven = next((name for name in rows if rows[name] != rows[first]), None)
    if uneven is not None:
        raise ContractError(
            f"{what} has {rows[first]} rows in column {first!r} and {rows[uneven]} in column {uneven!r}; give as many "
            "in each."
        )


def fit_encoder(frame: Any, names: Sequence[str]) -> FeatureEncoder:
    """Learn how to turn columns into numbers.

    Parameters
    ----------
    frame : frame or mapping
        pandas, Polars or Arrow frame, or a mapping of columns.
    names : sequence of str
        Columns to use.

    Raises
    ------
    ContractError
        Where a column is missing, or holds dates: how long before the send is a feature, the date itself is not.
    ModelError
        Where a number is infinite.
    """
    columns = columns_of(frame, "a frame of customers")
    features: list[NumericFeature | CategoricalFeature] = []
    constant: list[str] = []
    for name in names:
        column = _column(columns, name)
        feature = _categorical(column, name) if _is_text(column) else _numeric(column, name)
        if feature is None:
            constant.append(name)
        else:
            features.append(feature)
    return FeatureEncoder(tuple(features), tuple(constant))


def _numeric(column: Any, name: str) -> NumericFeature | None:
    values = _numbers(column, name)
    missing = np.isnan(values)
    seen = values[~missing]
    if not len(seen) or (seen.min() == seen.max() and not missing.any()):
        return None
    return NumericFeature(name, float(np.median(seen)), bool(missing.any()))


def _categorical(column: Any, name: str) -> CategoricalFeature | None:
    levels, counts = np.unique(_labels(column), return_counts=True)
    if len(levels) < 2:
        return None
    most = np.sort(levels[np.argsort(-counts, kind="stable")[:MOST_LEVELS]])
    # two levels need one column
    return CategoricalFeature(name, tuple(str(level) for level in (most[1:] if len(levels) == 2 else most)))


def _indicators(column: Any, feature: CategoricalFeature) -> list[np.ndarray]:
    position = {level: j for j, level in enumerate(feature.levels)}
    code = np.array([position.get(_label(value), -1) for value in _series(column).to_list()], dtype=np.int64)
    return [(code == j).astype(np.float64) for j in range(len(feature.levels))]


def _column(columns: Mapping[str, Any], name: str) -> Any:
    if name not in columns:
        raise ContractError(
            f"the frame has no column {name!r}{nearest(name, list(columns))}; it has {', '.join(columns) or 'none'}."
        )
    return columns[name]


def _series(column: Any) -> "nw.Series":
    import narwhals as nw

    if isinstance(column, nw.Series):
        return column
    import pandas as pd

    return nw.from_native(pd.Series(column), series_only=True)


def _is_text(column: Any) -> bool:
    import narwhals as nw

    series = _series(column)
    if series.dtype == nw.Object:
        first = next((value for value in series.to_list() if value is not None and value == value), None)
        return isinstance(first, str)
    return series.dtype in {nw.String, nw.Categorical, nw.Enum}


def _labels(column: Any) -> np.ndarray:
    return np.array([_label(value) for value in _series(column).to_list()], dtype=np.str_)


def _label(value: Any) -> str:
    # a missing text is a level of its own
    return "" if value is None or value != value else str(value)


def _numbers(column: Any, name: str) -> np.ndarray:
    import narwhals as nw

    series = _series(column)
    if series.dtype.is_temporal():
        raise ContractError(
            f"column {name!r} holds {series.dtype}; a date is not a feature. Give the time before the send instead, "
            "e.g. the days since the last order."
        )
    try:
        if series.dtype == nw.Object:
            values = np.array([np.nan if v is None else float(v) for v in series.to_list()], dtype=np.float64)
        else:
            values = np.asarray(series.cast(nw.Float64).to_numpy(), dtype=np.float64)
    except (TypeError, ValueError, nw.exceptions.NarwhalsError) as error:
        raise ContractError(f"column {name!r} is neither numbers nor text: {error}") from error
    infinite = int(np.isinf(values).sum())
    if infinite:
        raise ModelError(f"column {name!r} holds {infinite} infinite values; set them missing or cap them first.")
    return values
