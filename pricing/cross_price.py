"""Cross-price elasticities within a category: who sells instead of whom, and who along with whom.

Each item's demand is read on its own price and those of the best sellers around it in the same store and week; the many
weak estimates are drawn to the category's usual cross elasticity, and what is not believed is refused with its reason.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..sql.errors import ModelError
from ..sql.frames import frame_like
from .censored_poisson import fit_counts
from .elasticity import grouped_items
from .instruments import within
from .panel_arrays import PanelArrays, read_panel
from .shrinkage import shrink

_Z90 = 1.6448536269514722
_FEWEST_ROWS = 30


@dataclass(frozen=True)
class CrossElasticities:
    """Cross elasticities of a panel.

    Attributes
    ----------
    table : frame
        A row per pair: ``item, other, elasticity`` (percent of the item's units per percent of the other's price),
        ``standard_error, lower, upper`` (90%), ``own_elasticity`` beside it, ``own_data_share``, ``kind``
        ("substitute", "complement" or "unclear"), ``accepted, reason``.
    usual : dict of str to float
        Mean cross elasticity by category.

    Examples
    --------
    >>> from regulars.pricing.simulate import simulate_prices
    >>> found = estimate_cross_elasticities(simulate_prices(items=4, stores=4, weeks=60, cross=0.4).frame(), others=2)
    >>> list(found.table.columns)[:3], len(found.rows) == len(found.table)
    (['item', 'other', 'elasticity'], True)
    """

    table: Any
    usual: dict[str, float]
    rows: tuple[dict[str, Any], ...] = field(repr=False)


def estimate_cross_elasticities(
    panel: Any, *, others: int = 6, controls: Sequence[str] = ("display", "mailer", "promoted")
) -> CrossElasticities:
    """Estimate how each item's demand answers to the prices of the best sellers of its category.

    Parameters
    ----------
    panel : frame
        As of `price_panel`.
    others : int
        How many of them, at most; those whose prices move with the item's own or each other's give no answer.
    controls : sequence of str
        Columns that move demand besides prices; those that the panel does not have are passed over.

    Raises
    ------
    ContractError
        The panel is not one.
    ModelError
        ``others`` is below 1, or no pair of items shares rows enough.

    Examples
    --------
    >>> from regulars.pricing.simulate import simulate_prices
    >>> history = simulate_prices(items=8, stores=10, weeks=104, cross=0.4, seed=2)
    >>> found = estimate_cross_elasticities(history.frame(), others=3)
    >>> bool(0.1 < found.usual["category"] < 0.8)
    True
    """
    if others < 1:
        raise ModelError(f"others = {others} is not allowed; give a whole number from 1")
    arrays = read_panel(panel)
    rows: list[dict[str, Any]] = []
    usual = {}
    for path, items in grouped_items(arrays).items():
        pairs = _pairs(arrays, items, others, [name for name in controls if name in arrays.columns])
        if not pairs:
            continue
        estimate = np.array([pair["own_estimate"] for pair in pairs])
        variance = np.array([pair["variance"] for pair in pairs])
        answer = shrink(estimate, variance, [()] * len(pairs))
        if answer is None:
            continue
        name = " / ".join(path) or "all"
        usual[name] = answer.categories[()][0]
        for pair, mean, deviation, share in zip(pairs, answer.mean, answer.deviation, answer.own_share, strict=True):
            rows.append(_row(pair, float(mean), float(deviation), float(share)))
    if not rows:
        raise ModelError(
            f"no two items of a category share {_FEWEST_ROWS} rows of store and week with prices that move apart"
        )
    import pyarrow as pa

    return CrossElasticities(frame_like(panel, pa.Table.from_pylist(rows)), usual, tuple(rows))


def _pairs(panel: PanelArrays, items: Sequence[int], others: int, controls: Sequence[str]) -> list[dict[str, Any]]:
    sold = np.bincount(panel.item, panel.units, len(panel.items))
    ranked = sorted(items, key=lambda i: (-sold[i], panel.items[i]))
    place = panel.store.astype(np.int64) * len(panel.weeks) + panel.week
    cells = len(panel.stores) * len(panel.weeks)
    prices = {}
    for i in ranked[: others + 1]:
        prices[i] = np.full(cells, np.nan)
        prices[i][place[panel.rows(i)]] = np.log(panel.price[panel.rows(i)])
    made = []
    for item in items:
        around = [i for i in ranked[: others + 1] if i != item][:others]
        made += _of_item(panel, item, around, prices, place, controls)
    return made


def _of_item(
    panel: PanelArrays,
    item: int,
    around: Sequence[int],
    prices: dict[int, np.ndarray],
    place: np.ndarray,
    controls: Sequence[str],
) -> list[dict[str, Any]]:
    span = panel.rows(item)
    rows = np.arange(span.start, span.stop)
    theirs = np.stack([prices[i][place[rows]] for i in around], axis=1) if around else np.empty((len(rows), 0))
    shared = np.isfinite(theirs).mean(axis=0) > 0.5
    around = [i for i, keep in zip(around, shared, strict=True) if keep]
    theirs = theirs[:, shared]
    whole = np.isfinite(theirs).all(axis=1)
    rows, theirs = rows[whole], theirs[whole]
    if len(rows) < _FEWEST_ROWS or not around:
        return []
    group = np.unique(panel.store[rows], return_inverse=True)[1]
    week = np.unique(panel.week[rows], return_inverse=True)[1]
    columns = [np.log(panel.price[rows]), *theirs.T]
    columns += [np.nan_to_num(panel.columns[name][rows]) for name in controls]
    turn = 2.0 * np.pi * (panel.weeks - panel.weeks[0]).astype(float)[panel.week[rows]] / 365.25
    columns += [np.sin(turn), np.cos(turn)]
    x = np.stack(columns, axis=1)
    held = _independent(within(x, group))
    if 0 not in held:
        return []
    try:
        out = panel.sold_out[rows] if panel.sold_out is not None else None
        fit = fit_counts(panel.units[rows], x[:, held], group, sold_out=out)
    except ModelError:
        return []
    clusters = (group, week) if group.max() >= 9 else (week,)
    covariance = fit.clustered(*clusters)
    found = []
    for k, other in enumerate(around, start=1):
        known = k in held
        at = held.index(k) if known else 0
        found.append(
            {
                "item": panel.items[item],
                "other": panel.items[other],
                "own_estimate": float(fit.slope[at]) if known else np.nan,
                "variance": float(covariance[at, at]) if known else np.nan,
                "own_elasticity": float(fit.slope[held.index(0)]),
            }
        )
    return found


def _independent(columns: np.ndarray) -> list[int]:
    held: list[int] = []
    for k, column in enumerate(columns.T):
        scale = float(column @ column)
        if scale <= 1e-8 * len(column):
            continue
        basis = columns[:, held]
        rest = column - basis @ np.linalg.lstsq(basis, column, rcond=None)[0] if held else column
        # two prices that move together to nine tenths cannot be told apart
        if float(rest @ rest) > 0.1 * scale or not held:
            held.append(k)
    return held


def _row(pair: dict[str, Any], mean: float, deviation: float, share: float) -> dict[str, Any]:
    lower, upper = mean - _Z90 * deviation, mean + _Z90 * deviation
    own = pair["own_elasticity"]
    reason = ""
    if own > -0.1:
        reason = f"the item's own elasticity beside it is {own:.2f}: such a pair of answers is not believed"
    elif abs(mean) > abs(own):
        reason = f"{mean:+.2f} is more than the item answers to its own price, {own:.2f}"
    elif abs(mean) > 3.0:
        reason = f"{mean:+.2f} is beyond 3"
    return {
        "item": pair["item"],
        "other": pair["other"],
        "elasticity": mean,
        "standard_error": deviation,
        "lower": lower,
        "upper": upper,
        "own_elasticity": own,
        "own_data_share": share,
        "kind": "substitute" if lower > 0 else "complement" if upper < 0 else "unclear",
        "accepted": not reason,
        "reason": reason,
    }
