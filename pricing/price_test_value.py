"""What a price test is worth before it is run, and what its result does to an elasticity after."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..sql.errors import ContractError, ModelError, nearest
from ..sql.frames import columns_of, frame_like
from .price_tests import PriceResponse

_NODES = 41
_TWO_SIDED_90 = 1.6448536269514722


def combine_by_precision(first: float, first_error: float, second: float, second_error: float) -> tuple[float, float]:
    """Return value and standard error of two independent estimates of one number, weighed by precision.

    Examples
    --------
    >>> value, error = combine_by_precision(-2.0, 0.3, -3.0, 0.4)
    >>> round(value, 2), round(error, 2)
    (-2.36, 0.24)
    """
    if not (0.0 < first_error < np.inf and 0.0 < second_error < np.inf):
        raise ModelError(f"standard errors are {first_error} and {second_error}; each must be above 0 and finite.")
    if not (np.isfinite(first) and np.isfinite(second)):
        raise ModelError(f"estimates are {first} and {second}; each is a finite number.")
    one, two = first_error**-2, second_error**-2
    return (one * first + two * second) / (one + two), (one + two) ** -0.5


def add_test_results(elasticities: Any, results: "Mapping[str, PriceResponse | tuple[float, float]]") -> Any:
    """Return elasticities with the results of price tests as further observations of their items.

    An item's answer is normal around its category's and its own data; a test's estimate is one more observation of it,
    so that precisions add up (the category's distribution is left as it was).

    Parameters
    ----------
    elasticities : frame
        In the shape of ``contract.ELASTICITIES``: ``item, elasticity, standard_error`` are needed.
    results : mapping
        Item to the response that its test measured, or to (elasticity, standard error).

    Returns
    -------
    frame
        Of the same kind and rows, with ``elasticity, standard_error, lower, upper`` and, where they are there,
        ``own_elasticity, own_standard_error, own_data_share, category_share, method`` renewed. ``accepted`` is left:
        estimate anew to pass the gates with it.

    Raises
    ------
    ModelError
        A result of an item that is not there, of a category's prices moved together (it is no item's own response), or
        with a standard error not above 0.

    Examples
    --------
    >>> table = {"item": ["a", "b"], "elasticity": [-2.0, -2.5], "standard_error": [0.3, 0.3]}
    >>> renewed = add_test_results(table, {"a": (-3.0, 0.4)})
    >>> renewed["elasticity"].round(2).tolist()
    [-2.36, -2.5]
    """
    import pyarrow as pa

    frame = columns_of(elasticities, "elasticities")
    for name in ("item", "elasticity", "standard_error"):
        if name not in frame:
            raise ContractError(f"the elasticities have no column {name!r}{nearest(name, list(frame))}.")
    columns: dict[str, list[Any]] = {name: list(frame[name]) for name in frame}
    row = {str(item): i for i, item in enumerate(columns["item"])}
    if len(row) < len(columns["item"]):
        twice = next(item for i, item in enumerate(columns["item"]) if row[str(item)] != i)
        raise ContractError(f"the elasticities have item {twice!r} twice; give each item one row.")
    if not isinstance(results, Mapping):
        raise ModelError(f"results are {results!r:.60}; map items to what their tests saw.")
    for name in ("lower", "upper"):
        columns.setdefault(name, [None] * len(row))
    for item, result in results.items():
        if item not in row:
            raise ModelError(f"a test's item {item!r} is not among the elasticities{nearest(item, list(row))}.")
        if isinstance(result, PriceResponse):
            if result.measures != "own":
                raise ModelError(
                    f"the test of {item!r} moved a category's prices together: it measures the category's response, "
                    "not the item's. Give it to items by a test of their own price."
                )
            value, error = result.elasticity, result.standard_error
        else:
            value, error = _pair(item, result)
        if not (np.isfinite(value) and 0.0 < error < np.inf):
            raise ModelError(
                f"the test of {item!r} has the elasticity {float(value)} and a standard error of {float(error)}; both "
                "are finite, the error above 0."
            )
        if value > _TWO_SIDED_90 * error:
            raise ModelError(
                f"the test of {item!r} has the elasticity {float(value)}, above 0 by more than its error: demand that "
                "rises with its price is no answer to add; look at the test, or leave it out."
            )
        _observe(columns, row[item], float(value), float(error))
    for i in range(len(row)):
        value, error = columns["elasticity"][i], columns["standard_error"][i]
        known = None not in (value, error) and value == value and error == error
        if known and columns["lower"][i] is None:
            columns["lower"][i], columns["upper"][i] = value - _TWO_SIDED_90 * error, value + _TWO_SIDED_90 * error
    return frame_like(elasticities, pa.table(columns))


def _pair(item: str, result: Any) -> tuple[float, float]:
    try:
        value, error = (float(part) for part in result)
    except (TypeError, ValueError) as wrong:
        raise ModelError(
            f"the result of {item!r} is {result!r:.60}; it is what price_response gave, or (elasticity, error)."
        ) from wrong
    return value, error


def _observe(columns: dict[str, list[Any]], i: int, value: float, error: float) -> None:
    known, known_error = columns["elasticity"][i], columns["standard_error"][i]
    if known is None or known != known or known_error is None or known_error != known_error:
        # nothing was known: the test alone answers
        new, new_error = value, error
    else:
        new, new_error = combine_by_precision(float(known), float(known_error), value, error)
        if columns.get("category_share", [None] * (i + 1))[i] is not None:
            # the category's precision is what it was; the whole has grown
            share = columns["category_share"][i] * new_error**2 / known_error**2
            columns["category_share"][i] = share
            if "own_data_share" in columns:
                columns["own_data_share"][i] = 1.0 - share
    columns["elasticity"][i], columns["standard_error"][i] = new, new_error
    columns["lower"][i], columns["upper"][i] = new - _TWO_SIDED_90 * new_error, new + _TWO_SIDED_90 * new_error
    if "own_elasticity" in columns and "own_standard_error" in columns:
        own, own_error = columns["own_elasticity"][i], columns["own_standard_error"][i]
        both = (value, error)
        if own is not None and own == own and own_error is not None and own_error > 0.0:
            both = combine_by_precision(own, own_error, value, error)
        columns["own_elasticity"][i], columns["own_standard_error"][i] = both
    if "method" in columns:
        columns["method"][i] = f"{columns['method'][i] or ''} + price test".removeprefix(" + ")


def worth_of_tests(
    items: Any,
    *,
    test_error: "float | Sequence[float] | np.ndarray",
    weeks: int = 26,
    factors: Sequence[float] = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2),
    test_cost: "float | Sequence[float] | np.ndarray" = 0.0,
) -> Any:
    """Return the items in the order of what a price test of each is worth.

    Before a test the best price is that of the largest expected profit over what the elasticity may be. A test leaves a
    smaller error and moves the estimate: the expected gain is the value of sample information (Raiffa & Schlaifer 1961,
    Applied Statistical Decision Theory, chapter 5). A test is worth nothing where no result of it would change a price.

    Parameters
    ----------
    items : frame or mapping
        ``item, elasticity, standard_error, price, unit_cost, weekly_units`` (units a week at ``price``); optionally
        ``on_hand`` and ``salvage_value``: then stock limits what is sold, its cost is sunk, and what is left brings
        salvage.
    test_error : float or sequence
        Standard error of the test's elasticity: `PriceTest.power` states it.
    weeks : int
        For which the price then chosen stands.
    factors : sequence of float
        Prices to choose from, as shares of ``price``.
    test_cost : float or sequence
        Money that running the test costs.

    Returns
    -------
    frame
        Of the same kind, best first: ``item, worth`` (of the test, less its cost)``, worth_of_certainty`` (what knowing
        the elasticity would bring)``, standard_error_after, best_factor`` (now)``, change_probability`` (that the test
        changes it).

    Raises
    ------
    ContractError
        A missing column.
    ModelError
        Standard errors, prices or weekly units out of range.

    Notes
    -----
    Expectations are Gauss-Hermite sums of 41 nodes over the normal elasticity, which is held at 0 where it would be
    above.

    Examples
    --------
    >>> items = {"item": ["sure", "unsure"], "elasticity": [-2.0, -2.0], "standard_error": [0.05, 0.8],
    ...          "price": [10.0, 10.0], "unit_cost": [5.0, 5.0], "weekly_units": [20.0, 20.0]}
    >>> worth_of_tests(items, test_error=0.3)["item"].tolist()
    ['unsure', 'sure']
    """
    import pyarrow as pa

    frame = columns_of(items, "items")
    needed = ("item", "elasticity", "standard_error", "price", "unit_cost", "weekly_units")
    for name in needed:
        if name not in frame:
            raise ContractError(
                f"the items have no column {name!r}{nearest(name, list(frame))}; needed are {', '.join(needed)}."
            )
    names = [str(item) for item in frame["item"]]
    n = len(names)
    currencies = sorted({str(v) for v in frame["currency"] if v is not None and v == v}) if "currency" in frame else []
    if len(currencies) > 1:
        raise ModelError(f"items are priced in {' and '.join(currencies[:4])}; rank the items of each currency alone.")
    mean, before, price, cost, units = (_floats(name, frame[name]) for name in needed[1:])
    try:
        after_test = np.broadcast_to(_floats("test_error", test_error), (n,))
        running = np.broadcast_to(_floats("test_cost", test_cost), (n,))
    except ValueError as error:
        raise ModelError(f"test_error and test_cost are one number, or one an item ({n}).") from error
    for name, values in (("standard_error", before), ("price", price), ("test_error", after_test)):
        if not ((values > 0.0) & np.isfinite(values)).all():
            wrong = int(np.flatnonzero(~((values > 0.0) & np.isfinite(values)))[0])
            raise ModelError(f"{name} of item {names[wrong]!r} is {values[wrong].item()}; it must be above 0.")
    if isinstance(weeks, bool) or not isinstance(weeks, int | np.integer) or weeks < 1:
        raise ModelError(f"weeks is {weeks!r}; it is a whole number from 1.")
    choice = _floats("factors", factors)
    if choice.ndim != 1 or len(choice) < 2 or not ((choice > 0.0) & np.isfinite(choice)).all():
        raise ModelError(f"factors are {factors!r}; give two or more shares of the price, each above 0.")
    stock = _floats("on_hand", frame["on_hand"]) if "on_hand" in frame else np.full(n, np.inf)
    salvage = _floats("salvage_value", frame["salvage_value"]) if "salvage_value" in frame else np.zeros(n)
    finite = {name: np.isfinite(v) for name, v in (("elasticity", mean), ("unit_cost", cost), ("weekly_units", units))}
    ranges = {
        "elasticity": (finite["elasticity"] & (mean <= 0.0), "a finite number, 0 or below"),
        "unit_cost": (finite["unit_cost"] & (cost >= 0.0), "a finite number, 0 or more"),
        "weekly_units": (finite["weekly_units"] & (units >= 0.0), "a finite number, 0 or more"),
        "on_hand": (stock >= 0.0, "0 or more"),
        "salvage_value": (np.isfinite(salvage), "a finite number"),
        "test_cost": (np.isfinite(running), "a finite number"),
    }
    told = {"elasticity": mean, "unit_cost": cost, "weekly_units": units, "on_hand": stock, "salvage_value": salvage}
    told["test_cost"] = running
    for name, (right, what) in ranges.items():
        if not right.all():
            wrong = int(np.flatnonzero(~right)[0])
            raise ModelError(f"{name} of item {names[wrong]!r} is {told[name][wrong].item()}; it is {what}.")
    sunk = np.isfinite(stock)
    unit_cost = np.where(sunk, 0.0, cost)

    def profit(elasticity: np.ndarray) -> np.ndarray:
        """Of every item at every factor: (n, factors, ...)."""
        tail = (slice(None), None) + (None,) * (elasticity.ndim - 1)
        at = choice[(None, slice(None)) + (None,) * (elasticity.ndim - 1)]
        sold = weeks * units[tail] * at ** np.minimum(elasticity, 0.0)[:, None]
        sold = np.minimum(sold, stock[tail])
        left = np.where(sunk[tail], stock[tail] - sold, 0.0)
        return sold * (price[tail] * at - unit_cost[tail]) + salvage[tail] * np.where(sunk[tail], left, 0.0)

    nodes, weight = np.polynomial.hermite_e.hermegauss(_NODES)
    weight = weight / weight.sum()
    after = (before**-2 + after_test**-2) ** -0.5
    moved = np.sqrt(np.maximum(before**2 - after**2, 0.0))
    # the estimate after the test (outer node) and the truth around it (inner node)
    elasticity = mean[:, None, None] + moved[:, None, None] * nodes[:, None] + after[:, None, None] * nodes
    expected = profit(elasticity) @ weight
    now = expected @ weight
    best = now.argmax(axis=1)
    informed = expected.max(axis=1) @ weight
    changes = (expected.argmax(axis=1) != best[:, None]) @ weight
    known = profit(mean[:, None] + before[:, None] * nodes)
    certain = known.max(axis=1) @ weight - (known @ weight).max(axis=1)
    worth = informed - now.max(axis=1) - running
    order = np.lexsort((np.arange(n), -worth))
    found = {
        "item": [names[i] for i in order],
        "worth": worth[order],
        "worth_of_certainty": certain[order],
        "standard_error_after": after[order],
        "best_factor": choice[best][order],
        "change_probability": changes[order],
    }
    return frame_like(items, pa.table(found))


def _floats(name: str, values: Any) -> np.ndarray:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ModelError(f"{name} holds something that is no number ({error}).") from error
