"""What a demand model reads out of a price panel before it is fitted."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..sql.errors import ContractError
from ..sql.findings import Finding
from ..sql.frames import columns_of
from .panel_arrays import PanelArrays

_HARMONICS = 2
_HARDLY_SEEN = 0.8


def panel_dates(weeks: Any, numbered: bool | None = None) -> np.ndarray:
    """Days of weeks given as dates, or numbered as a panel's weeks may be; ``numbered`` says which the panel has."""
    array = np.asarray(weeks)
    if are_numbers(array):
        if numbered is False:
            raise ContractError(f"week holds {array.flat[0]}, a number, and the panel's weeks are dates; give dates")
        return np.datetime64("2000-01-03") + 7 * array.astype(np.int64)
    if not array.size:
        return np.empty(array.shape, dtype="datetime64[D]")
    shown = str(array.flat[0])
    try:
        if array.dtype.kind in "fb":
            raise TypeError
        days = array.astype("datetime64[D]")
    except (TypeError, ValueError):
        raise ContractError(
            f"week holds {shown!r}; give dates, or whole numbers that count weeks as the panel does"
        ) from None
    missing = np.isnat(days)
    if missing.any():
        raise ContractError(
            f"week is missing in row {int(np.flatnonzero(missing.ravel())[0])}; give dates, or whole numbers that "
            "count weeks as the panel does"
        )
    if numbered:
        raise ContractError(
            f"week holds {shown!r}, and the panel's weeks are numbers; give whole numbers that count weeks as it does"
        )
    return days


def are_numbers(weeks: Any) -> bool:
    """Whether weeks are counted by whole numbers."""
    array = np.asarray(weeks)
    if array.dtype.kind == "O" and array.size:
        return all(isinstance(v, (int, np.integer)) and not isinstance(v, bool) for v in array.flat)
    return array.dtype.kind in "iu"


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


def timing_of_discounts(
    item: np.ndarray, price: np.ndarray, regular: np.ndarray, flagged: np.ndarray, n: int
) -> tuple[np.ndarray, np.ndarray]:
    """Log depth of promoted rows less its item's mean, 0 elsewhere; and which rows are promoted.

    A promotion that took nothing off the price is one whose depth the shop's foresight ate up: it counts, with a depth
    of 0. Without regular prices the timing is that of all prices, and no row is promoted.
    """
    depth = np.log(price / np.where(np.isnan(regular), price, regular))
    cut = depth < -1e-9
    promoted = cut | flagged
    if not cut.any():
        depth, promoted, cut = np.log(price), np.zeros(len(price), np.bool_), np.ones(len(price), np.bool_)
    else:
        cut = promoted
    mean = np.bincount(item[cut], depth[cut], n) / np.maximum(np.bincount(item[cut], minlength=n), 1)
    return np.where(cut, depth - mean[item], 0.0), promoted


def season_columns(week: np.ndarray, kind: str) -> dict[str, np.ndarray]:
    """Columns of a yearly season by name: two waves ("fourier"), a flag a week of the year ("week"), or none."""
    year = week.astype("datetime64[Y]")
    day = (week - year.astype("datetime64[D]")).astype(np.int64)
    columns: dict[str, np.ndarray] = {}
    if kind == "fourier":
        length = ((year + 1).astype("datetime64[D]") - year.astype("datetime64[D]")).astype(np.int64)
        for k in range(1, _HARMONICS + 1):
            angle = 2.0 * np.pi * k * day / length
            columns |= {f"sin_{k}": np.sin(angle), f"cos_{k}": np.cos(angle)}
    elif kind == "week":
        number = np.minimum(day // 7, 51)
        columns |= {f"week_{w:02d}": (number == w).astype(np.float64) for w in range(1, 52)}
    return columns


def competitor_means(panel: Any, row: Mapping[str, int]) -> np.ndarray:
    """Mean log price of each item's competitor, around which `read_panel` has it; 0 where none is known."""
    found = np.zeros(len(row))
    frame = columns_of(panel, "a price panel")
    if "competitor_price" in frame:
        item = np.array([row.get(str(v), -1) for v in frame["item"]])
        theirs = np.array([np.nan if v is None else v for v in frame["competitor_price"]], dtype=np.float64)
        at = np.flatnonzero((item >= 0) & ~np.isnan(theirs))
        count = np.bincount(item[at], minlength=len(row))
        found = np.bincount(item[at], np.log(theirs[at]), len(row)) / np.maximum(count, 1)
    return found


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


def demand_findings(
    panel: PanelArrays,
    *,
    items: int,
    left_out: int,
    unseen_season: int,
    promoted: np.ndarray,
    sold_out: np.ndarray | None,
    competitor: bool,
) -> tuple[Finding, ...]:
    """Return what a reader of a demand model must know of the panel that it learnt from."""
    found = []
    weeks = len(panel.weeks)
    if left_out:
        seen = f"{left_out} items of the panel have no elasticity that may be used, {items} have one."
        found.append(Finding("items_left_out", False, seen, "left_out_ says why, by item."))
    if unseen_season:
        found.append(
            Finding(
                "season_unseen",
                False,
                f"{unseen_season} of {items} items are in categories of less than a year ({weeks} weeks in all): no "
                "season can be told, none is in the expectation.",
                "Intervals hold a yearly wave of a usual size (standard deviation of each term .15 in log demand, .075 "
                "in its second harmonic); where the shop's seasons are larger, give a longer panel.",
            )
        )
    if sold_out is None:
        found.append(
            Finding(
                "stock_unknown",
                False,
                "The panel knows no stock: weeks that sold out cannot be told from weeks of low demand.",
                "Demand is understated where shelves ran empty, and lost demand cannot be asked for; map [stock].",
            )
        )
    elif promoted.any() and (share := float(sold_out[promoted].mean())) > _HARDLY_SEEN:
        found.append(
            Finding(
                "promoted_weeks_sold_out",
                False,
                f"{share:.0%} of the promoted rows sold out: how far beyond the stock their demand lay is told by "
                f"{int((~sold_out[promoted]).sum())} rows alone.",
                "Take lost demand of promoted weeks for good to a quarter, and widen the stock of some promotions.",
            )
        )
    if competitor:
        unknown = float(np.isnan(panel.columns["log_competitor_price"]).mean())
        seen = "A competitor's price is in the demand"
        seen += f"; {unknown:.0%} of rows do not know it and take it for usual." if unknown else "."
        advice = "Give competitor_price in price paths; without, it stands where it was last seen."
        found.append(Finding("competitor_price", False, seen, advice))
    for reason, count in panel.dropped.items():
        found.append(Finding(reason, False, f"{count} rows have no price and are left out.", "Map unit_price."))
    return tuple(found)
