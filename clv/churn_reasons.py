"""What moved a score, in words."""

from calendar import month_name
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .churn_data import ChurnData
from .hazard import ELAPSED

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

# Feature of an interval between orders -> what it is, with the value in its place.
_WORDS: Mapping[str, str] = {
    "basket_value": "last basket {}",
    "mean_value": "mean basket {}",
    "main_category": "mostly {} on the last day",
    "main_channel": "last order's channel {}",
}
_LENGTHS: Mapping[str, str] = {
    "tenure": "{} from first to last order",
    "previous_gap": "{} between the last two orders",
    "gap_before_previous": "{} in the gap before that",
    "mean_gap": "usual gap {}",
    "longest_gap": "longest gap {}",
}
# In words where there is one alone, and with the number where there are more.
_COUNTS: Mapping[str, tuple[str, str]] = {
    "frequency": ("one earlier purchase day", "{} earlier purchase days"),
    "purchases_28": (
        "no other purchase day in the 28 days to the last order",
        "{} purchase days in the 28 days to the last order",
    ),
    "purchases_91": (
        "no other purchase day in the 91 days to the last order",
        "{} purchase days in the 91 days to the last order",
    ),
    "orders": ("one order on the last day", "{} orders on the last day"),
    "products": ("one product on the last day", "{} products on the last day"),
    "categories": ("one category on the last day", "{} categories on the last day"),
}
# In words where there is nothing, and with the share where there is.
_SHARES: Mapping[str, tuple[str, str]] = {
    "gap_variation": ("gaps all alike", "gaps vary by {} of their mean"),
    "discount_share": ("no money in discounts", "{} of money in discounts"),
    "main_category_share": (
        "no money in the last day's main category",
        "{} of the last day's money in its main category",
    ),
}
_ONE_ORDER = "only one order so far"
_FEW_ORDERS = "no more than two orders so far"
# What one order says of its own, whatever the days that are counted.
_ONLY_PURCHASE = frozenset({"purchases_28", "purchases_91"})
# The sine and cosine of a season are one reason.
_ONE_SOURCE = {"season_sin": "season", "season_cos": "season"}


def reason_columns(data: ChurnData, effects: Array, sources: Sequence[str], count: int) -> "pd.DataFrame":
    """Add up effects by feature and tell the largest above 0.

    Parameters
    ----------
    data : ChurnData
        Open intervals, n rows.
    effects : ndarray, shape (n, k)
        What each column adds towards no order.
    sources : sequence of str
        The feature of each column.
    count : int
        Reasons a row.

    Returns
    -------
    pandas.DataFrame
        ``reason_1, effect_1, reason_2, ...``, n rows.

    Examples
    --------
    >>> from regulars.clv.churn_data import ChurnData
    >>> columns = {"mean_gap": np.array([7.0])}
    >>> data = ChurnData(np.array([40.0]), np.array([False]), columns, np.array(["a"]), are_gaps=True)
    >>> reason_columns(data, np.array([[1.5, -0.2]]), ["elapsed", "mean_gap"], 1).iloc[0].tolist()
    ['40 days since the last order, usual gap 7', np.float64(1.5)]
    """
    import pandas as pd

    named = [_ONE_SOURCE.get(source, source) for source in sources]
    features = list(dict.fromkeys(named))
    summed = np.stack([effects[:, [s == f for s in named]].sum(axis=1) for f in features], axis=1)
    order = np.argsort(-summed, axis=1, kind="stable")
    said = np.full((len(data), count), "", dtype=object)
    effect = np.zeros((len(data), count))
    for i in range(len(data)):
        k = 0
        for place in order[i]:
            if k == count or summed[i, place] <= 0:
                break
            words = _words(data, i, features[place])
            if words in said[i, :k]:  # a first order says the same in several columns
                continue
            said[i, k], effect[i, k] = words, summed[i, place]
            k += 1
    columns: dict[str, Any] = {}
    for k in range(count):
        columns |= {f"reason_{k + 1}": said[:, k], f"effect_{k + 1}": effect[:, k]}
    return pd.DataFrame(columns)


def _words(data: ChurnData, row: int, feature: str) -> str:
    if feature == ELAPSED:
        if not data.are_gaps:
            return f"has lasted {number_in_words(data.durations[row])} so far"
        usual = data.columns.get("mean_gap")
        return silence_in_words(data.durations[row], np.nan if usual is None else usual[row])
    if feature == "season":
        return "season of the last order"
    value = data.columns[feature][row]
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return _not_yet(data, row, feature)
    if not data.are_gaps or isinstance(value, str):
        words = _WORDS.get(feature, "") if data.are_gaps else ""
        return words.format(value) if words else f"{feature.replace('_', ' ')} {number_in_words(value)}"
    # nothing before it, or one alone, is the same fact whatever the column
    if value == 0 and feature in {"frequency", "tenure"}:
        return _ONE_ORDER
    before = data.columns.get("frequency")
    if feature in _ONLY_PURCHASE and value == 1 and before is not None and before[row] == 0:
        return _ONE_ORDER
    if feature in _COUNTS:
        one, more = _COUNTS[feature]
        return one if value == 1 else more.format(number_in_words(value))
    if feature in _SHARES:
        nothing, some = _SHARES[feature]
        return some.format(_share(value)) if value else nothing
    if feature in _LENGTHS:
        return _LENGTHS[feature].format(days_in_words(value))
    if feature == "month":
        return f"last order in {month_name[int(value)]}"
    return _WORDS.get(feature, f"{feature.replace('_', ' ')} {{}}").format(number_in_words(value))


def _not_yet(data: ChurnData, row: int, feature: str) -> str:
    """Gaps are missing where there were too few orders for them; what else is missing is not known."""
    if data.are_gaps and feature in {"previous_gap", "mean_gap", "longest_gap"}:
        return _ONE_ORDER
    if data.are_gaps and feature in {"gap_before_previous", "gap_variation"}:
        before = data.columns.get("frequency")
        if before is None:
            return _FEW_ORDERS
        return _COUNTS["frequency"][0] if before[row] else _ONE_ORDER
    return f"{feature.replace('_', ' ')} unknown"


def silence_in_words(days: float, usual: float) -> str:
    """Say how long the last order is past, beside the usual gap where there is one.

    Examples
    --------
    >>> silence_in_words(133.0, 14.0), silence_in_words(1.0, np.nan)
    ('133 days since the last order, usual gap 14', '1 day since the last order')
    """
    said = f"{days_in_words(days)} since the last order"
    return said if np.isnan(usual) else f"{said}, usual gap {number_in_words(usual, 3)}"


def days_in_words(length: float) -> str:
    """Say a number of days.

    Examples
    --------
    >>> days_in_words(1.0), days_in_words(23.0)
    ('1 day', '23 days')
    """
    told = number_in_words(length)
    return "1 day" if told == "1" else f"{told} days"


def _share(value: float) -> str:
    told = f"{value:.0%}"
    return "less than 1%" if told == "0%" and value > 0 else told


def number_in_words(value: Any, digits: int = 4) -> str:
    """Say a number in so many digits, whole ones in full.

    Examples
    --------
    >>> number_in_words(23.456, 3), number_in_words(12345.6), number_in_words(7.0)
    ('23.5', '12,346', '7')
    """
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 10 ** (digits - 1) else f"{value:.{digits}g}"
