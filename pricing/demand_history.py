"""What a demand model reads out of a price panel before it is fitted, and the elasticities it is given."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..sql.errors import ContractError, nearest
from ..sql.frames import columns_of
from .panel_arrays import PanelArrays


def panel_dates(weeks: Any) -> np.ndarray:
    """Days of weeks given as dates, or numbered as a panel's weeks may be."""
    array = np.asarray(weeks)
    if array.dtype.kind in "iu":
        return np.datetime64("2000-01-03") + 7 * array.astype(np.int64)
    try:
        return array.astype("datetime64[D]")
    except (TypeError, ValueError):
        raise ContractError(
            f"week holds {array.flat[0]!r}; give dates, or whole numbers that count weeks as the panel does"
        ) from None


def independent_columns(x: np.ndarray, group: np.ndarray) -> list[int]:
    """Columns that are no combination of earlier ones within groups."""
    counts = np.maximum(np.bincount(group), 1)
    kept: list[int] = []
    basis: list[np.ndarray] = []
    for k in range(x.shape[1]):
        column = x[:, k] - (np.bincount(group, x[:, k]) / counts)[group]
        length = float(np.sqrt(column @ column))
        for direction in basis:
            column = column - (column @ direction) * direction
        left = float(np.sqrt(column @ column))
        if left > 1e-6 * max(length, 1e-9) and left > 1e-9 * len(x) ** 0.5:
            kept.append(k)
            basis.append(column / left)
    return kept


def log_price_centre(item: np.ndarray, log_price: np.ndarray, units: np.ndarray, n: int) -> np.ndarray:
    """Mean log price at which an item sold: around it the error of its elasticity does not move its level."""
    weight = units + 1e-3
    return np.bincount(item, weight * log_price, n) / np.bincount(item, weight, n)


def timing_of_discounts(item: np.ndarray, price: np.ndarray, regular: np.ndarray, n: int) -> np.ndarray:
    """Log depth of discounted rows less its item's mean; 0 elsewhere. Without regular prices, of all rows."""
    depth = np.log(price / np.where(np.isnan(regular), price, regular))
    cut = depth < -1e-9
    if not cut.any():
        depth, cut = np.log(price), np.ones(len(price), np.bool_)
    mean = np.bincount(item[cut], depth[cut], n) / np.maximum(np.bincount(item[cut], minlength=n), 1)
    return np.where(cut, depth - mean[item], 0.0)


def first_ages(arrays: PanelArrays, rows: np.ndarray, item: np.ndarray, n: int) -> np.ndarray:
    """Age of each item in the panel's first week (weeks, negative before launch); NaN where it is not known."""
    age = arrays.columns.get("age_weeks")
    found = np.full(n, np.nan)
    if age is not None:
        at_first = age[rows] - (arrays.weeks[arrays.week[rows]] - arrays.weeks[0]).astype(np.int64) / 7.0
        known = ~np.isnan(at_first)
        found[item[known][::-1]] = at_first[known][::-1]
    return found


def last_known(item: np.ndarray, week: np.ndarray, values: np.ndarray, n: int) -> np.ndarray:
    """Mean of an item's values in the last week that has any; NaN where none has."""
    known = ~np.isnan(values)
    last = np.full(n, -1)
    np.maximum.at(last, item[known], week[known])
    at = known & (week == last[item])
    with np.errstate(invalid="ignore"):
        return np.bincount(item[at], values[at], n) / np.bincount(item[at], minlength=n)


def period_days(weeks: np.ndarray) -> int:
    """Days of a period: the commonest distance between the panel's dates."""
    if len(weeks) < 2:
        return 7
    steps, counts = np.unique(np.diff(weeks).astype(np.int64), return_counts=True)
    return int(steps[np.argmax(counts)])


def read_elasticities(given: Any) -> tuple[dict[str, tuple[float, float]], dict[str, str]]:
    """Elasticity and standard error by item; and why others are refused."""
    if isinstance(given, Mapping) and "elasticity" not in given:
        frame: Mapping[str, Any] = {"item": list(given), "elasticity": list(given.values())}
    else:
        frame = columns_of(given, "elasticities")
    for name in ("item", "elasticity"):
        if name not in frame:
            raise ContractError(f"the elasticities have no column {name!r}{nearest(name, list(frame))}.")
    n = len(frame["item"])
    accepted = list(frame["accepted"]) if "accepted" in frame else [True] * n
    reasons = list(frame["reason"]) if "reason" in frame else [""] * n
    errors = list(frame["standard_error"]) if "standard_error" in frame else [0.0] * n
    known: dict[str, tuple[float, float]] = {}
    refused: dict[str, str] = {}
    for item, value, error, fine, reason in zip(
        frame["item"], frame["elasticity"], errors, accepted, reasons, strict=True
    ):
        if value is None or value != value or not bool(fine):
            refused[str(item)] = f"its elasticity was refused ({reason or 'no reason is given'})"
        else:
            known[str(item)] = (float(value), 0.0 if error is None or error != error else float(error))
    return known, refused
