"""What moved a score, in words."""

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
    "frequency": "{} earlier purchase days",
    "tenure": "{} days from first to last order",
    "previous_gap": "{} days between the last two orders",
    "gap_before_previous": "{} days in the gap before that",
    "mean_gap": "usual gap {} days",
    "longest_gap": "longest gap {} days",
    "gap_variation": "gaps vary by {} of their mean",
    "purchases_28": "{} purchase days in the 28 days to the last order",
    "purchases_91": "{} purchase days in the 91 days to the last order",
    "basket_value": "last basket {}",
    "mean_value": "mean basket {}",
    "discount_share": "{} of money in discounts",
    "orders": "{} orders on the last day",
}
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
    >>> from regulars.clv.churn_data import churn_frame
    >>> data = churn_frame([40.0], [0], {"mean_gap": [7.0]})
    >>> reason_columns(data, np.array([[1.5, -0.2]]), ["elapsed", "mean_gap"], 1).iloc[0].tolist()
    ['40 days since the last order, usual gap 7', np.float64(1.5)]
    """
    import pandas as pd

    named = [_ONE_SOURCE.get(source, source) for source in sources]
    features = list(dict.fromkeys(named))
    summed = np.stack([effects[:, [s == f for s in named]].sum(axis=1) for f in features], axis=1)
    order = np.argsort(-summed, axis=1, kind="stable")
    columns: dict[str, Any] = {}
    for k in range(count):
        place = order[:, k] if k < len(features) else np.zeros(len(data), dtype=int)
        effect = summed[np.arange(len(data)), place] if k < len(features) else np.zeros(len(data))
        said = [_words(data, i, features[p]) if effect[i] > 0 else "" for i, p in enumerate(place)]
        columns |= {f"reason_{k + 1}": said, f"effect_{k + 1}": np.maximum(effect, 0.0)}
    return pd.DataFrame(columns)


def _words(data: ChurnData, row: int, feature: str) -> str:
    if feature == ELAPSED:
        usual = data.columns.get("mean_gap")
        own = "" if usual is None or np.isnan(usual[row]) else f", usual gap {usual[row]:.3g}"
        return f"{data.durations[row]:.4g} days since the last order{own}"
    if feature == "season":
        return "season of the last order"
    value = data.columns[feature][row]
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "only one order so far" if data.are_gaps else f"{feature} unknown"
    if feature == "discount_share":
        return _WORDS[feature].format(f"{value:.0%}")
    told = f"{value:.4g}" if isinstance(value, float) else str(value)
    return _WORDS[feature].format(told) if feature in _WORDS else f"{feature.replace('_', ' ')} {told}"
