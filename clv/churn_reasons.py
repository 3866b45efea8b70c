"""What moved a score, in words."""

from calendar import month_name
from collections.abc import Mapping, Sequence
from itertools import product
from math import factorial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .churn_data import ChurnData
from .hazard import ELAPSED

if TYPE_CHECKING:
    import pandas as pd

    from .btyd import BTYDModel

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
# Customers whose history and silence stand for everybody's, fewer where many are explained: each meets all of them.
_OTHERS, _FEWER_OTHERS, _MANY = 32, 8, 10_000
_EDGE = 1e-12
_ONE_ORDER = "only one order so far"
_FEW_ORDERS = "no more than two orders so far"
# What one order says of its own, whatever the days that are counted.
_ONLY_PURCHASE = frozenset({"purchases_28", "purchases_91"})
# Of a model of orders: silence, orders, pace.
_PLAYERS = 3
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


def order_reasons(
    model: "BTYDModel", summary: "pd.DataFrame", rows: NDArray[np.int64], horizon: float, count: int, days: float
) -> "pd.DataFrame":
    """Tell what made a model of orders think P(no order) higher than of others.

    Shapley values of the log-odds with three players, exact over the others that stand for everybody: the time since
    the last order, how many orders there were, and the usual gap between them. One order has no gap, and takes that of
    whoever it is held against.

    Parameters
    ----------
    model : BTYDModel
        Fitted.
    summary : pandas.DataFrame
        Everybody's ``frequency, recency, T``.
    rows : ndarray of int, shape (n,)
        Whom to explain.
    horizon : float
        In the unit of the summary.
    count : int
        Reasons a row.
    days : float
        Days in the summary's unit.

    Returns
    -------
    pandas.DataFrame
        ``reason_1, effect_1, ...``, n rows; "" and 0 where fewer point that way.

    Examples
    --------
    >>> import pandas as pd
    >>> from regulars.clv.beta_geo import BetaGeoModel
    >>> model = BetaGeoModel.from_parameters(r=0.243, alpha=4.414, a=0.793, b=2.426)
    >>> summary = pd.DataFrame({"frequency": [9, 9], "recency": [36.0, 18.0], "T": [37.0, 37.0]})
    >>> order_reasons(model, summary, np.array([1]), 4, 1, days=7)["reason_1"].tolist()
    ['133 days since the last order, usual gap 14']
    """
    import pandas as pd

    x, recency, T = (summary[name].to_numpy(np.float64) for name in ("frequency", "recency", "T"))
    silence = T - recency
    gap = np.divide(recency, x, out=np.full(len(x), np.nan), where=x > 0)
    most = _OTHERS if len(rows) <= _MANY else _FEWER_OTHERS
    others = np.arange(0, len(summary), max(1, len(summary) // most))[:most]

    def log_odds(waited: NDArray[np.int64], orders: NDArray[np.int64], pace: NDArray[np.int64]) -> Array:
        usual = np.where(np.isnan(gap[pace]), gap[orders], gap[pace])
        lasted = np.where(x[orders] > 0, x[orders] * usual, 0.0)
        frame = pd.DataFrame({"frequency": x[orders], "recency": lasted, "T": lasted + silence[waited]})
        frame.attrs["time_unit"] = summary.attrs.get("time_unit", "week")
        p = np.clip(model.probability_no_purchase(frame, horizon), _EDGE, 1 - _EDGE)
        return np.log(p) - np.log1p(-p)

    mine, theirs = np.repeat(rows, len(others)), np.tile(others, len(rows))
    worth: dict[tuple[bool, ...], Array] = {}
    for own in product((False, True), repeat=_PLAYERS):
        if len(set(own)) == 1:
            everyone = rows if own[0] else others
            alike = log_odds(everyone, everyone, everyone)
            worth[own] = alike if own[0] else np.full(len(rows), alike.mean())
        else:
            mixed = log_odds(*(mine if is_mine else theirs for is_mine in own))
            worth[own] = mixed.reshape(len(rows), len(others)).mean(axis=1)
    effects = np.stack([_shapley(worth, player) for player in range(_PLAYERS)])
    said = _order_words(x, gap * days, silence * days, rows)
    order = np.argsort(-effects, axis=0, kind="stable")
    columns: dict[str, Any] = {}
    for k in range(count):
        place = order[k] if k < _PLAYERS else np.zeros(len(rows), dtype=int)
        effect = effects[place, np.arange(len(rows))] if k < _PLAYERS else np.zeros(len(rows))
        effect = np.where(effect > _EDGE, effect, 0.0)
        columns[f"reason_{k + 1}"] = [said[p][i] if effect[i] else "" for i, p in enumerate(place)]
        columns[f"effect_{k + 1}"] = effect
    return pd.DataFrame(columns)


def _shapley(worth: Mapping[tuple[bool, ...], Array], player: int) -> Array:
    """What a player adds to the others' coalitions, the mean over all orders of joining (Shapley 1953)."""
    total = np.zeros_like(next(iter(worth.values())))
    for before, value in worth.items():
        if not before[player]:
            joined = tuple(is_in or i == player for i, is_in in enumerate(before))
            size = sum(before)
            total += factorial(size) * factorial(_PLAYERS - size - 1) / factorial(_PLAYERS) * (worth[joined] - value)
    return total


def _order_words(x: Array, gap: Array, silence: Array, rows: NDArray[np.int64]) -> tuple[list[str], ...]:
    """Silence, orders and pace of each row, in days, beside what is usual among all."""
    bought = float(np.median(x)) + 1
    usual = float(np.median(gap[x > 0])) if (x > 0).any() else np.nan
    waited, orders, pace = [], [], []
    for row in rows.tolist():
        own, n = float(gap[row]), float(x[row]) + 1
        waited.append(silence_in_words(float(silence[row]), own))
        if n == 1:
            if not np.isnan(usual):
                waited[-1] += f", median gap of all {_number(usual, 3)}"
            orders.append(_ONE_ORDER)
            pace.append("")
            continue
        many = f"{_days(float(silence[row]))} silent after {_number(n)} purchase days"
        told = many if n > bought else f"{_number(n)} purchase days so far"
        orders.append(f"{told}, median of all {_number(bought)}")
        told = "orders every {}" if own >= usual else "used to order every {}"
        often = _number(own, 3)
        pace.append(f"{told.format('day' if often == '1' else f'{often} days')}, median of all {_number(usual, 3)}")
    return waited, orders, pace


def _words(data: ChurnData, row: int, feature: str) -> str:
    if feature == ELAPSED:
        if not data.are_gaps:
            return f"has lasted {_number(data.durations[row])} so far"
        usual = data.columns.get("mean_gap")
        return silence_in_words(data.durations[row], np.nan if usual is None else usual[row])
    if feature == "season":
        return "season of the last order"
    value = data.columns[feature][row]
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return _not_yet(data, row, feature)
    if not data.are_gaps or isinstance(value, str):
        words = _WORDS.get(feature, "") if data.are_gaps else ""
        return words.format(value) if words else f"{feature.replace('_', ' ')} {_number(value)}"
    # nothing before it, or one alone, is the same fact whatever the column
    if value == 0 and feature in {"frequency", "tenure"}:
        return _ONE_ORDER
    before = data.columns.get("frequency")
    if feature in _ONLY_PURCHASE and value == 1 and before is not None and before[row] == 0:
        return _ONE_ORDER
    if feature in _COUNTS:
        one, more = _COUNTS[feature]
        return one if value == 1 else more.format(_number(value))
    if feature in _SHARES:
        nothing, some = _SHARES[feature]
        return some.format(_share(value)) if value else nothing
    if feature in _LENGTHS:
        return _LENGTHS[feature].format(_days(value))
    if feature == "month":
        return f"last order in {month_name[int(value)]}"
    return _WORDS.get(feature, f"{feature.replace('_', ' ')} {{}}").format(_number(value))


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
    said = f"{_days(days)} since the last order"
    return said if np.isnan(usual) else f"{said}, usual gap {_number(usual, 3)}"


def _days(length: float) -> str:
    told = _number(length)
    return "1 day" if told == "1" else f"{told} days"


def _share(value: float) -> str:
    told = f"{value:.0%}"
    return "less than 1%" if told == "0%" and value > 0 else told


def _number(value: Any, digits: int = 4) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 10 ** (digits - 1) else f"{value:.{digits}g}"
