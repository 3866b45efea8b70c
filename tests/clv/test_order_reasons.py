"""Reasons of a model of orders: Shapley values by their axioms, and words that say something beside what is usual."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest

from regulars import clv
from regulars.clv.churn_data import ChurnData
from regulars.clv.churn_reasons import order_reasons, reason_columns

MODEL = clv.ParetoNBDModel.from_parameters(r=0.9, alpha=6.0, s=0.6, beta=11.0)
EFFECTS = ["effect_1", "effect_2", "effect_3"]
REASONS = ["reason_1", "reason_2", "reason_3"]


@pytest.fixture(scope="module")
def summary():
    made = clv.simulate_pareto_nbd({"r": 0.9, "alpha": 6.0, "s": 0.6, "beta": 11.0}, 640, T=60, seed=5)
    made.attrs["time_unit"] = "week"
    assert (made["frequency"] == 0).sum() > 50
    return made


def _log_odds(frequency, recency, silence):
    frame = pd.DataFrame({"frequency": frequency, "recency": recency, "T": recency + silence})
    frame.attrs["time_unit"] = "week"
    p = MODEL.probability_no_purchase(frame, 30 / 7)
    return np.log(p / (1 - p))


def _told(summary, rows, count=3):
    return order_reasons(MODEL, summary, np.asarray(rows), 30 / 7, count, 7.0)


def test_effects_are_shapley_values_by_their_definition(summary):
    """The mean of what each adds as it joins, over all six orders of joining and all who stand for everybody."""
    x, recency, T = (summary[name].to_numpy(float) for name in ("frequency", "recency", "T"))
    others = np.arange(0, 640, 20)
    rows = np.flatnonzero((x > 0) & (T - recency > 10))[:3]
    told = _told(summary, rows)

    def worth(own, row, other):
        waited, orders, pace = (row if is_own else other for is_own in own)
        usual = recency[pace] / x[pace] if x[pace] else recency[orders] / max(x[orders], 1)
        return _log_odds([x[orders]], np.array([x[orders] * usual]), np.array([T[waited] - recency[waited]]))[0]

    for i, row in enumerate(rows):
        effects = np.zeros(3)
        for other in others:
            for joining in permutations(range(3)):
                own = [False] * 3
                before = worth(own, row, other)
                for player in joining:
                    own[player] = True
                    now = worth(own, row, other)
                    effects[player] += (now - before) / (6 * len(others))
                    before = now
        expected = np.sort(np.maximum(effects, 0.0))[::-1]
        np.testing.assert_allclose(told.loc[i, EFFECTS].to_numpy(float), expected, atol=1e-9)


def test_effects_add_up_to_the_log_odds_beyond_those_of_all(summary):
    x, recency, T = (summary[name].to_numpy(float) for name in ("frequency", "recency", "T"))
    told = _told(summary, np.arange(640))
    odds = _log_odds(x, recency, T - recency)
    every = (told[EFFECTS] > 0).all(axis=1).to_numpy()
    assert every.sum() > 20
    total = told[EFFECTS].sum(axis=1).to_numpy()
    # where some speak for an order they are left out, and what is told is more than the whole
    np.testing.assert_allclose(total[every], (odds - odds[::20].mean())[every], atol=1e-9)
    assert (total >= odds - odds[::20].mean() - 1e-9).all()


def test_one_order_has_no_pace(summary):
    alone = np.flatnonzero(summary["frequency"] == 0)
    told = _told(summary, alone)
    assert (told["reason_3"] == "").all()
    assert (told["effect_3"] == 0).all()
    assert told["reason_1"].str.contains("days since the last order, median gap of all|only one order|^$").all()


def test_each_reason_is_held_against_what_is_usual(summary):
    rows = np.arange(640)
    told = _told(summary, rows)
    x, recency = summary["frequency"].to_numpy(float), summary["recency"].to_numpy(float)
    median, usual = np.median(x) + 1, 7 * np.median((recency / np.where(x, x, np.nan))[x > 0])
    kinds = {"since the last order": 0, "so far": 0, "silent after": 0, "orders every": 0, "used to order every": 0}
    for i in rows:
        said = [text for text in told.loc[i, REASONS] if text]
        assert len({text.split(",")[0] for text in said}) == len(said)
        for text in said:
            kind = next(kind for kind in kinds if kind in text)
            kinds[kind] += 1
            gap = 7 * recency[i] / x[i] if x[i] else np.nan
            if kind == "silent after":
                assert x[i] + 1 > median
            elif kind == "so far":
                assert x[i] + 1 <= median
            elif "every" in kind:
                assert (kind == "orders every") == (gap >= usual)
            assert "median" in text or "usual gap" in text or text == "only one order so far"
    assert min(kinds.values()) > 5, kinds


def test_who_leaves_after_a_rhythm_has_three_reasons():
    summary = pd.DataFrame({"frequency": [20, *[2] * 30], "recency": [20.0, *[30.0] * 30], "T": [60.0, *[36.0] * 30]})
    told = _told(summary, [0])
    assert set(told.loc[0, REASONS]) == {
        "280 days since the last order, usual gap 7",
        "used to order every 7 days, median of all 105",
        "280 days silent after 21 purchase days, median of all 3",
    }


def test_orders_of_two_days_running_are_told_as_such():
    summary = pd.DataFrame({"frequency": [1, 0, 1], "recency": [1 / 7, 0.0, 9.0], "T": [2 / 7, 30.0, 9.0]})
    texts = set(_told(summary, np.arange(3))[REASONS].to_numpy().ravel())
    assert texts <= {
        "",
        "1 day since the last order, usual gap 1",
        "used to order every day, median of all 32",
        "orders every 63 days, median of all 32",
        "2 purchase days so far, median of all 2",
        "210 days since the last order, median gap of all 32",
        "only one order so far",
        "0 days since the last order, usual gap 63",
    }
    assert "210 days since the last order, median gap of all 32" in texts


def test_customers_of_one_order_alone_are_compared_with_nobodys_gap():
    summary = pd.DataFrame({"frequency": [0, 0], "recency": [0.0, 0.0], "T": [30.0, 2.0]})
    told = _told(summary, [0, 1])
    assert told["reason_1"].tolist() == ["210 days since the last order", ""]


def test_one_order_is_one_fact_whatever_the_feature():
    columns = {
        "frequency": np.array([0.0, 1.0]),
        "purchases_28": np.array([1.0, 1.0]),
        "purchases_91": np.array([1.0, 2.0]),
        "gap_variation": np.array([np.nan, np.nan]),
    }
    data = ChurnData(np.array([40.0, 40.0]), np.array([False, False]), columns, np.array(["a", "b"]), are_gaps=True)
    told = reason_columns(data, np.ones((2, 4)), list(columns), 3)
    assert told.loc[0, REASONS].tolist() == ["only one order so far", "", ""]
    assert told.loc[1, REASONS].tolist() == [
        "one earlier purchase day",
        "no other purchase day in the 28 days to the last order",
        "2 purchase days in the 91 days to the last order",
    ]
