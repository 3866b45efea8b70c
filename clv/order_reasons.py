"""What moved P(no order) of a model of orders, in words: one fact at a time replaced, the change read off."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .churn_reasons import days_in_words, number_in_words, silence_in_words

if TYPE_CHECKING:
    import pandas as pd

    from .btyd import BTYDModel

Array = NDArray[np.float64]

# The share of the base that is likeliest to order: whom everybody is compared with.
_LIKELIEST = 0.1
_AMONG = "those likeliest to order"
# The last facts are told only where fewer than this have been.
_FEWEST = 2
# In probability: less would be told as "+0.00 points".
_NOTICED = 1e-4


class _Base(NamedTuple):
    """What is usual in the summary's unit: the gap of all; gap, silence and orders of the likeliest. NaN of none."""

    gap_of_all: float
    gap: float
    silence: float
    frequency: float


class _Fact(NamedTuple):
    """A fact of n customers: by how much it raises P(no order), and its sentence before the figure."""

    points: Array
    words: list[str]


def order_reasons(
    model: "BTYDModel", summary: "pd.DataFrame", rows: NDArray[np.int64], horizon: float, count: int, days: float
) -> "pd.DataFrame":
    """Tell what made a model of orders think P(no order) high, each reason with the points that it adds.

    A fact's figure is P(no order) less what it would be with that fact alone replaced, the others kept:

    1. the silence by the customer's own usual gap (after one order: the median gap of all), where it is longer;
    2. the silence by the median of those likeliest to order, the tenth of the base with the lowest P(no order);
    3. the purchase days by theirs, at the customer's own pace (after one order: at theirs);
    4. the usual gap by theirs, at as many purchase days.

    Those that raise P(no order) are told, the largest first. Where they are fewer than two, two parts that add up to it
    follow: what the days since the last order have added, and P(no order) as it was on the day of it, at the own pace.

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
        Reasons a row, at most.
    days : float
        Days in the summary's unit.

    Returns
    -------
    pandas.DataFrame
        ``reason_1, effect_1, ...``, n rows; effects are of P(no order), above 0; "" and 0 where there are fewer, which
        of two or three happens only to who ordered on the last day itself.

    Examples
    --------
    >>> import pandas as pd
    >>> from regulars.clv.beta_geo import BetaGeoModel
    >>> model = BetaGeoModel.from_parameters(r=0.243, alpha=4.414, a=0.793, b=2.426)
    >>> summary = pd.DataFrame({"frequency": [9, 9], "recency": [36.0, 18.0], "T": [37.0, 37.0]})
    >>> told = order_reasons(model, summary, np.array([1]), 4, 2, days=7)
    >>> told["reason_2"].item()
    '133 days since the last order, usual gap 14 (+62 points)'
    >>> before = summary.assign(T=[37.0, 18.0 + 2.0])  # one usual gap after the last order
    >>> float((model.probability_no_purchase(summary, 4) - model.probability_no_purchase(before, 4))[1].round(2))
    0.62
    """
    import pandas as pd

    x, recency, T = (summary[name].to_numpy(np.float64) for name in ("frequency", "recency", "T"))
    silence = T - recency
    gap = np.divide(recency, x, out=np.full(len(x), np.nan), where=x > 0)

    def chance(orders: Array, usual: Array, waited: Array) -> Array:
        """P(no order) after so many repeat orders, such a gap between them (of one order none) and such a silence."""
        lasted = np.where(orders > 0, orders * np.where(orders > 0, usual, 0.0), 0.0)
        frame = pd.DataFrame({"frequency": orders, "recency": lasted, "T": lasted + waited})
        frame.attrs["time_unit"] = summary.attrs.get("time_unit", "week")
        return np.asarray(model.probability_no_purchase(frame, horizon))

    base = _base(x, gap, silence, chance(x, gap, silence))
    own = (x[rows], gap[rows], silence[rows])
    told = _largest(_against_the_base(chance, base, *own, days), count)
    then = chance(*own[:2], np.zeros(len(rows)))
    return with_parts(told, chance(*own), then, own[0], own[1] * days, own[2] * days)


def with_parts(
    told: "pd.DataFrame", now: Array, then: Array, orders: Array, gap: Array, silence: Array
) -> "pd.DataFrame":
    """Give who has fewer than two reasons the two parts of P(no order): since the last order, and on the day of it.

    Parameters
    ----------
    told : pandas.DataFrame
        ``reason_1, effect_1, reason_2, ...``, n rows; "" and 0 where there are no more.
    now, then : ndarray, shape (n,)
        P(no order), and as it was on the day of the last order.
    orders : ndarray, shape (n,)
        Repeat purchase days.
    gap, silence : ndarray, shape (n,)
        The usual gap, NaN of one order, and the time since the last, in days.

    Returns
    -------
    pandas.DataFrame
        The same columns; the silence is told once, and a part only where it is above 0.

    Examples
    --------
    >>> import pandas as pd
    >>> told = pd.DataFrame({"reason_1": ["longest gap 85 days"], "effect_1": [0.4], "reason_2": "", "effect_2": 0.0})
    >>> one = [np.array([value]) for value in (0.31, 0.25, 6.0, 30.0, 17.0)]
    >>> with_parts(told, *one)["reason_2"].item()
    '17 days since the last order, compared with its day (+6 points)'
    """
    count = sum(name.startswith("reason_") for name in told)
    said = told[[f"reason_{k + 1}" for k in range(count)]].to_numpy(dtype=object).copy()
    effects = told[[f"effect_{k + 1}" for k in range(count)]].to_numpy(dtype=np.float64).copy()
    for i in np.flatnonzero((said != "").sum(axis=1) < min(count, _FEWEST)).tolist():
        texts = [text for text in said[i] if text]
        is_silence_told = any("since the last order" in text or text.startswith("silent for") for text in texts)
        on_the_day = (
            f"an order {_every(gap[i])}: as much even on the day of the last one"
            if orders[i]
            else "as much even on the only order's day"
        )
        waited = f"{days_in_words(float(silence[i]))} since the last order, compared with its day"
        parts = [(float(now[i] - then[i]), waited, not is_silence_told), (float(then[i]), on_the_day, True)]
        more = [(points, words) for points, words, is_news in parts if is_news and points > 0]
        for place, (points, words) in zip(range(len(texts), min(count, _FEWEST)), more, strict=False):
            said[i, place], effects[i, place] = _with_points(words, points), points
    return _as_frame(said, effects)


def _base(x: Array, gap: Array, silence: Array, chance: Array) -> _Base:
    likeliest = np.argsort(chance, kind="stable")[: max(1, round(_LIKELIEST * len(chance)))]

    def median(values: Array) -> float:
        known = values[~np.isnan(values)]
        # one that somebody has: orders are whole
        return float(np.quantile(known, 0.5, method="inverted_cdf")) if len(known) else np.nan

    return _Base(median(gap), median(gap[likeliest]), median(silence[likeliest]), median(x[likeliest]))


def _against_the_base(chance: Any, base: _Base, x: Array, gap: Array, silence: Array, days: float) -> list[_Fact]:
    now = chance(x, gap, silence)
    again = x > 0
    usual = np.where(again, gap, base.gap_of_all)
    paced = np.where(again, gap, base.gap)
    nothing = np.full(len(x), -np.inf)
    own_pace = np.where(silence > usual, now - chance(x, gap, np.fmin(silence, usual)), nothing)
    likely = base.silence
    waited = np.where(silence > likely, now - chance(x, gap, np.full(len(x), likely)), nothing)
    many, pace = nothing, nothing
    if base.frequency > 0:
        many = now - chance(np.full(len(x), base.frequency), paced, silence)
        pace = np.where(again, now - chance(x, np.full(len(x), base.gap), silence), nothing)
    said: tuple[list[str], ...] = ([], [], [], [])
    for n, own, wait in zip(x + 1, gap * days, silence * days, strict=True):
        told = silence_in_words(wait, own)
        said[0].append(told if n > 1 else f"{told}, median gap of all {number_in_words(base.gap_of_all * days, 3)}")
        said[1].append(f"silent for {days_in_words(wait)}, {_AMONG} for {number_in_words(base.silence * days)}")
        told = f"{number_in_words(n)} purchase days so far"
        if n == 1:
            told = "only one order so far"
        elif n > base.frequency + 1:  # a long silence says more after many
            told = f"{days_in_words(wait)} silent after {number_in_words(n)} purchase days"
        said[2].append(f"{told}, {_AMONG} have {number_in_words(base.frequency + 1)}")
        told = "used to order" if own < base.gap * days else "orders"
        said[3].append(f"{told} {_every(own)}, {_AMONG} {_every(base.gap * days)}")
    return [_Fact(points, words) for points, words in zip((own_pace, waited, many, pace), said, strict=True)]


def _largest(facts: Sequence[_Fact], count: int) -> "pd.DataFrame":
    points = np.stack([fact.points for fact in facts], axis=1)
    n = len(points)
    said, effects = np.full((n, count), "", dtype=object), np.zeros((n, count))
    for i, row in enumerate(points):
        told = [k for k in np.argsort(-row, kind="stable").tolist() if row[k] >= _NOTICED]
        for place, k in enumerate(told[:count]):
            said[i, place], effects[i, place] = _with_points(facts[k].words[i], row[k]), row[k]
    return _as_frame(said, effects)


def _as_frame(said: NDArray[np.object_], effects: Array) -> "pd.DataFrame":
    import pandas as pd

    columns: dict[str, Any] = {}
    for k in range(said.shape[1]):
        columns |= {f"reason_{k + 1}": said[:, k], f"effect_{k + 1}": effects[:, k]}
    return pd.DataFrame(columns)


def _with_points(words: str, added: float) -> str:
    if added < _NOTICED:
        return f"{words} (less than +0.01 points)"
    return f"{words} (+{100 * added:.2g} points)" if added < 0.995 else f"{words} (+100 points)"


def _every(gap: float) -> str:
    often = number_in_words(gap, 3)
    return "every day" if often == "1" else f"every {often} days"
