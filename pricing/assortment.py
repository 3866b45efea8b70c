"""What a markdown plan starts from: the items, their ladders, weeks and expected demand, checked on the way in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import pairwise
from typing import Any

import numpy as np

from ..sql.frames import columns_of
from .ladder import Ladder, PlanError, build_ladder, checked_depths
from .rules import Objective, RuleError

_NEEDED = ("item", "regular_price", "on_hand")
_NUMBERS = {
    "regular_price": "the full price of a unit",
    "on_hand": "units in stock when the plan starts",
    "weekly_units": "units a week at the regular price",
    "elasticity": "own-price elasticity, below 0",
    "unit_cost": "what a unit cost",
    "salvage_value": "worth of a unit left at the end",
    "current_discount": "depth that stands before the plan",
    "weeks_since_change": "weeks since the last price change",
    "age_weeks": "weeks since launch",
}


@dataclass(frozen=True)
class Assortment:
    """Items to plan, n of them, over T weeks.

    Attributes
    ----------
    names : tuple
        The column ``item``.
    columns : mapping
        Every column of the items frame as an array (n,).
    depths : ndarray of shape (n, R)
        The ladder as handed in.
    n_weeks : int
    dates : tuple of date, optional
        First day of each week, where the plan's weeks are dates.
    units : ndarray of shape (n, T) or (n, T, R)
        Expected units at the regular price, or at each rung of ``depths``.
    objective : Objective
    """

    names: tuple[Any, ...] = field(repr=False)
    columns: Mapping[str, np.ndarray] = field(repr=False)
    depths: np.ndarray = field(repr=False)
    n_weeks: int
    dates: tuple[date, ...] | None = field(repr=False)
    units: np.ndarray = field(repr=False)
    objective: Objective

    def __len__(self) -> int:
        return len(self.names)

    def take(self, rows: np.ndarray) -> "Assortment":
        """Return these items alone."""
        return replace(
            self,
            names=tuple(self.names[i] for i in rows),
            columns={name: values[rows] for name, values in self.columns.items()},
            depths=self.depths[rows],
            units=self.units[rows],
        )

    def with_stock(self, on_hand: np.ndarray) -> "Assortment":
        """Return the same items with other stock."""
        return replace(self, columns={**self.columns, "on_hand": np.asarray(on_hand, dtype=np.float64)})

    def number(self, name: str, default: float = np.nan) -> np.ndarray:
        """Return a column as numbers (n,), ``default`` where it or its value is missing."""
        if name not in self.columns:
            return np.full(len(self), default)
        values = as_numbers(self.columns[name], name)
        return np.where(np.isnan(values), default, values)

    def needed(self, name: str, rows: np.ndarray, why: str) -> np.ndarray:
        """Return a column as numbers; RuleError where a value is missing in ``rows``."""
        values = self.number(name)
        missing = np.flatnonzero(np.isnan(values) & rows)
        if len(missing):
            raise RuleError(
                f"{why} needs the column {name!r}, which is missing for item {self.names[missing[0]]!r} "
                f"({len(missing)} in all); fill it in, or narrow the rule with where=."
            )
        return values

    def ladder(self, endings: Sequence[Sequence[float] | None] | None = None) -> Ladder:
        """Return the rungs, prices lowered to the endings where given."""
        built = build_ladder(self.depths, self.number("regular_price"), self.number("current_discount", 0.0), endings)
        if self.units.ndim == 3 and (built.given < 0).any():
            at = int(np.flatnonzero((built.given < 0)[:, :].any(axis=1))[0])
            standing = self.number("current_discount", 0.0)[at]
            if np.any((built.given[at] < 0) & built.exists[at]):
                raise PlanError(
                    f"item {self.names[at]!r} stands at a depth of {standing:g}, which is no rung, and expected_units "
                    f"are given by rung; add {standing:g} to the ladder."
                )
        return built

    def demand(self, ladder: Ladder) -> np.ndarray:
        """Return expected units at each rung (n, T, R)."""
        if self.units.ndim == 3:
            at = np.where(ladder.given < 0, 0, ladder.given)
            return np.ascontiguousarray(np.take_along_axis(self.units, at[:, None, :], axis=2))
        regular = self.number("regular_price")[:, None]
        lift = (np.maximum(ladder.price, 1e-12) / regular) ** self.number("elasticity")[:, None]
        return self.units[:, :, None] * np.where(ladder.exists, lift, 0.0)[:, None, :]


def read_assortment(
    items: Any,
    ladder: "Sequence[float] | np.ndarray",
    weeks: "int | Sequence[date]",
    expected_units: np.ndarray | None,
    objective: Objective,
) -> Assortment:
    """Check what a plan starts from.

    Raises
    ------
    PlanError
        Where a column is missing or holds what cannot be planned with; the text names the column, the item and the
        value.
    """
    read = columns_of(items, "items")
    columns = {str(name): _array(values) for name, values in read.items()}
    for name in _NEEDED:
        if name not in columns:
            raise PlanError(
                f"items have no column {name!r}; needed are {', '.join(_NEEDED)}. There is {list(columns)}."
            )
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise PlanError(f"items: columns differ in length ({lengths}); give a value for each item.")
    names = tuple(columns["item"].tolist())
    n = len(names)
    seen: set[Any] = set()
    for name in names:
        if not isinstance(name, str | int | float | bytes | date | None):
            raise PlanError(f"items: item {name!r} is a {type(name).__name__}; a name is text or a number.")
        if name is None or name != name or name in seen:
            told = "is missing" if name is None or name != name else f"{name!r} stands there twice"
            raise PlanError(f"items: item {told}; give each row a name of its own, e.g. product and store together.")
        seen.add(name)
    for name, meaning in _NUMBERS.items():
        if name in columns:
            columns[name] = as_numbers(columns[name], name, meaning)
    _check(columns, names)
    _one_currency(columns)
    if not isinstance(objective, Objective):
        raise PlanError(f"objective is {objective!r}; it is an Objective, e.g. Objective('margin').")
    n_weeks, dates = _weeks(weeks)
    units = _units(columns, names, n_weeks, checked_depths(ladder, n).shape[1], expected_units)
    if objective.goal == "margin":
        _present(columns, names, "unit_cost", "a plan for margin")
    return Assortment(names, columns, checked_depths(ladder, n), n_weeks, dates, units, objective)


def as_numbers(values: np.ndarray, name: str, meaning: str = "a number") -> np.ndarray:
    """Return a column as floats, NaN where missing; PlanError where it holds something else."""
    try:
        if values.dtype == object:
            return np.array([np.nan if v is None else float(v) for v in values])
        return values.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise PlanError(f"items: {name} holds something that is no number ({error}); it is {meaning}.") from error


def _array(values: Any) -> np.ndarray:
    out = values.to_numpy() if hasattr(values, "to_numpy") else np.asarray(values)
    if out.dtype.kind in "UT":
        out = out.astype(object)
    return out


def _check(columns: Mapping[str, np.ndarray], names: tuple[Any, ...]) -> None:
    def refuse(name: str, wrong: np.ndarray, what: str) -> None:
        if wrong.any():
            at = int(np.flatnonzero(wrong)[0])
            seen = columns[name][at].item()
            raise PlanError(f"items: {name} of {names[at]!r} is {seen!r:.60}; {what} ({int(wrong.sum())} in all).")

    price, stock = columns["regular_price"], columns["on_hand"]
    refuse("regular_price", np.isnan(price), "it is missing: fill it in or leave the item out")
    refuse("regular_price", ~(price > 0.0) | np.isinf(price), "it must be above 0")
    refuse("on_hand", np.isnan(stock), "it is missing: a plan needs the stock it sells from")
    refuse("on_hand", np.isposinf(stock), "it must be finite: a plan needs the stock it sells from")
    refuse("on_hand", stock < 0.0, "stock cannot be negative: correct it or leave the item out")
    for name, low, high, what in (
        ("current_discount", 0.0, 1.0 - 1e-12, "it is a depth in [0, 1)"),
        ("weekly_units", 0.0, np.inf, "it is 0 or more"),
        ("elasticity", -np.inf, 0.0, "it is 0 or below: demand that rises with its price cannot be planned"),
        ("unit_cost", 0.0, np.inf, "it is 0 or more"),
        ("weeks_since_change", 0.0, np.inf, "it is 0 or more"),
    ):
        if name in columns:
            refuse(name, (columns[name] < low) | (columns[name] > high), what)
    for name in ("weekly_units", "elasticity", "unit_cost", "salvage_value", "weeks_since_change", "age_weeks"):
        if name in columns:
            refuse(name, np.isinf(columns[name]), "it must be finite")


def _one_currency(columns: Mapping[str, np.ndarray]) -> None:
    if "currency" not in columns:
        return
    found = sorted({str(v) for v in columns["currency"].tolist() if v is not None and v == v})
    if len(found) > 1:
        raise PlanError(
            f"items are priced in {' and '.join(found[:4])}; money of several currencies cannot be added up: plan each "
            "currency by itself, or convert prices and costs first."
        )


def _weeks(weeks: "int | Sequence[date]") -> tuple[int, tuple[date, ...] | None]:
    if isinstance(weeks, int | np.integer) and not isinstance(weeks, bool):
        if weeks < 1:
            raise PlanError(f"weeks is {weeks}; plan at least 1.")
        return int(weeks), None
    try:
        days = tuple(d.date() if hasattr(d, "date") else d for d in np.asarray(weeks, "datetime64[us]").tolist())
    except (TypeError, ValueError) as error:
        raise PlanError(f"weeks is {weeks!r}; give a count, or the first day of each week.") from error
    if any(d is None for d in days):
        raise PlanError("weeks hold a missing date; give the first day of each week.")
    if not days or any(b <= a for a, b in pairwise(days)):
        raise PlanError("weeks are not one date after another; sort them, each week once.")
    return len(days), days


def _units(
    columns: Mapping[str, np.ndarray], names: tuple[Any, ...], n_weeks: int, rungs: int, given: np.ndarray | None
) -> np.ndarray:
    n = len(names)
    if given is None:
        _present(columns, names, "weekly_units", "a plan without expected_units")
        units = np.broadcast_to(columns["weekly_units"][:, None], (n, n_weeks)).copy()
    else:
        try:
            units = np.ascontiguousarray(given, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise PlanError(f"expected_units is {given!r:.60} ({error}); it is an array of units.") from error
        if units.shape not in ((n, n_weeks), (n, n_weeks, rungs)):
            raise PlanError(
                f"expected_units has shape {units.shape}; it is items x weeks {(n, n_weeks)} at the regular price, "
                f"or items x weeks x rungs {(n, n_weeks, rungs)}."
            )
    bad = np.argwhere(~(np.isfinite(units) & (units >= 0.0)))
    if len(bad):
        at = bad[0]
        raise PlanError(
            f"expected units of {names[at[0]]!r} in week {at[1]} are {float(units[tuple(at)])}; they are finite and "
            f"0 or more ({len(bad)} wrong in all)."
        )
    if units.ndim == 2:
        _present(columns, names, "elasticity", "expected units at the regular price")
    return units


def _present(columns: Mapping[str, np.ndarray], names: tuple[Any, ...], name: str, why: str) -> None:
    if name not in columns:
        raise PlanError(f"{why} needs the column {name!r} ({_NUMBERS[name]}); there is {list(columns)}.")
    missing = np.flatnonzero(np.isnan(columns[name]))
    if len(missing):
        raise PlanError(
            f"{why} needs {name!r}, which is missing for {names[missing[0]]!r} ({len(missing)} in all); "
            f"fill it in or leave the item out."
        )
