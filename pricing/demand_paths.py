"""Price paths and elasticities that are handed to a demand model, held to what can be answered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..sql.errors import ContractError, ModelError, nearest
from ..sql.frames import columns_of

STEEPEST = -100.0
_BEYOND = 50.0  # times the prices seen: a price in cents among prices in euros


@dataclass(frozen=True)
class DemandRows:
    """Weeks and stores at prices: what is fitted or predicted; arrays of shape (n,).

    ``store`` is -1 where all stores are meant. ``competitor`` is a competitor's log price less its item's mean, None
    where it is not said. ``timing`` is what past discounts tell of demand, None in predictions.
    """

    item: np.ndarray
    store: np.ndarray
    week: np.ndarray
    price: np.ndarray
    flags: dict[str, np.ndarray] = field(default_factory=dict)
    competitor: np.ndarray | None = None
    timing: np.ndarray | None = None

    def take(self, at: np.ndarray) -> "DemandRows":
        """Return some of the rows."""
        return DemandRows(
            self.item[at],
            self.store[at],
            self.week[at],
            self.price[at],
            {name: values[at] for name, values in self.flags.items()},
            None if self.competitor is None else self.competitor[at],
            None if self.timing is None else self.timing[at],
        )


def path_columns(path: Any) -> dict[str, list[Any]]:
    """Columns of a price path, all of one length.

    Raises
    ------
    ContractError
        A column is missing, is no column, or is longer than another.

    Examples
    --------
    >>> path_columns({"item": ["a"], "week": ["2026-01-05"], "price": [2.0]})["price"]
    [2.0]
    """
    frame = columns_of(path, "a price path")
    for name in ("item", "week", "price"):
        if name not in frame:
            raise ContractError(
                f"the price path has no column {name!r}{nearest(name, list(frame))}; needed are item, week, price."
            )
    found: dict[str, list[Any]] = {}
    for name in frame:
        values: Any = frame[name]
        if isinstance(values, (str, bytes)) or not hasattr(values, "__len__"):
            raise ContractError(f"the price path's {name} is {values!r}; give a column: a value for each row.")
        found[name] = list(values)
    n = len(found["item"])
    for name, values in found.items():
        if len(values) != n:
            raise ContractError(
                f"the price path's {name} has {len(values)} values and its item {n}; give as many: one for each row."
            )
    return found


def path_numbers(
    columns: Mapping[str, list[Any]], name: str, *, above: float = 0.0, strictly: bool = False, may_miss: bool = False
) -> np.ndarray:
    """Return a column of a price path as numbers (n,).

    Raises
    ------
    ContractError
        A value that is no number, is not finite, or is below what is allowed.

    Examples
    --------
    >>> path_numbers({"item": ["a"], "price": ["2.50"]}, "price", strictly=True).tolist()
    [2.5]
    """
    allowed = f"a number {'above' if strictly else 'from'} {above:g}{', or missing' if may_miss else ''}"
    found = np.empty(len(columns[name]))
    for k, value in enumerate(columns[name]):
        try:
            found[k] = np.nan if value is None else float(value)
        except (TypeError, ValueError):
            found[k] = np.inf
        wrong = not (found[k] > above if strictly else found[k] >= above) or np.isinf(found[k])
        if wrong and not (may_miss and np.isnan(found[k])):
            raise ContractError(
                f"the price path's {name} is {_shown(value)} for item {str(columns['item'][k])!r} (row {k}); allowed: "
                f"{allowed}. Mend the row or leave it out."
            )
    return found


def within_reach(price: np.ndarray, name: np.ndarray, lowest: np.ndarray, highest: np.ndarray) -> None:
    """Refuse prices so far from those seen that they must be in another unit; all of shape (n,).

    Raises
    ------
    ModelError
        A price 50 times above the highest seen of its item, or below the lowest.

    Examples
    --------
    >>> within_reach(np.array([3.0]), np.array(["a"]), np.array([2.0]), np.array([4.0]))
    """
    far = (price > _BEYOND * highest) | (price < lowest / _BEYOND)
    if far.any():
        k = int(np.flatnonzero(far)[0])
        raise ModelError(
            f"price is {price[k]:g} for item {str(name[k])!r}, which the panel has seen at {lowest[k]:g} to "
            f"{highest[k]:g}; allowed: up to {_BEYOND:g} times beyond. Is it in another unit or currency?"
        )


def read_elasticities(given: Any) -> tuple[dict[str, tuple[float, float]], dict[str, str]]:
    """Elasticity and standard error by item; and why others are refused.

    Raises
    ------
    ContractError
        A column is missing, an item stands twice, an elasticity that is accepted is no number from -100 to 0, or its
        error is negative, infinite or no number.

    Examples
    --------
    >>> read_elasticities({"a": -2.0})
    ({'a': (-2.0, 0.0)}, {})
    """
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
        name = str(item)
        if name in known or name in refused:
            raise ContractError(f"the elasticities have item {name!r} twice; keep one row an item.")
        if value is None or value != value or fine is None or fine != fine or not fine:
            refused[name] = f"its elasticity was refused ({reason or 'no reason is given'})"
            continue
        mean = _number(value, name, "elasticity", STEEPEST, 0.0)
        known[name] = (
            mean,
            0.0 if error is None or error != error else _number(error, name, "standard_error", 0.0, -STEEPEST),
        )
    return known, refused


def _number(value: Any, item: str, column: str, least: float, most: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if not least <= number <= most:
        raise ContractError(
            f"the elasticities' {column} is {_shown(value)} for item {item!r}; allowed: a number from {least:g} to "
            f"{most:g}. Mend it, or mark the row accepted = False."
        )
    return number


def stores_named(named: Sequence[str], stores: tuple[str, ...]) -> np.ndarray:
    """Return the index of each named store (n,).

    Raises
    ------
    ModelError
        A store that the panel does not have.

    Examples
    --------
    >>> stores_named(["b"], ("a", "b")).tolist()
    [1]
    """
    place = {name: s for s, name in enumerate(stores)}
    unknown = [name for name in named if name not in place]
    if unknown:
        raise ModelError(f"store {unknown[0]!r} is not in the panel{nearest(unknown[0], stores)}.")
    return np.array([place[name] for name in named], dtype=np.int64)


def is_number(value: Any) -> bool:
    """Whether a value is a number, and neither text nor a truth value."""
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def interval_edges(interval: Any) -> tuple[float, float]:
    """Probabilities below an interval's two ends.

    Raises
    ------
    ModelError
        The interval is no probability between 0 and 1.
    """
    if not (is_number(interval) and 0.0 < interval < 1.0):
        raise ModelError(f"interval is {interval!r}; it is a probability in (0, 1), such as 0.9.")
    return (1.0 - interval) / 2.0, (1.0 + interval) / 2.0


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, (int, float, np.number)) else repr(str(value))
