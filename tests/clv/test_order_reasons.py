"""Reasons of a model of orders: each sentence's figure recomputed from what the sentence says, by a closed form."""

import re

import numpy as np
import pandas as pd
import pytest

from regulars import clv
from regulars.clv.churn_data import ChurnData
from regulars.clv.churn_reasons import reason_columns
from regulars.clv.order_reasons import order_reasons

WEEKS = 30 / 7
EFFECTS = ["effect_1", "effect_2", "effect_3"]
REASONS = ["reason_1", "reason_2", "reason_3"]
PARETO = {"r": 0.9, "alpha": 6.0, "s": 0.6, "beta": 11.0}
MODELS = [
    clv.NBDModel.from_parameters(r=0.9, alpha=6.0),
    clv.BetaGeoModel.from_parameters(r=0.9, alpha=6.0, a=0.8, b=2.5),
    clv.ModifiedBetaGeoModel.from_parameters(r=0.9, alpha=6.0, a=0.8, b=2.5),
    clv.ParetoNBDModel.from_parameters(**PARETO),
]


@pytest.fixture(scope="module")
def summary():
    made = clv.simulate_pareto_nbd(PARETO, 640, T=60, seed=5)[["frequency", "recency", "T"]]
    # whole days, as a shop has them, so that a sentence says all that its figure is made of
    made = made.assign(recency=np.ceil(made["recency"] * 7) / 7, T=np.ceil(made["T"] * 7) / 7)
    made.attrs["time_unit"] = "week"
    assert (made["frequency"] == 0).sum() > 50
    return made


def _told(model, summary, rows, count=3):
    return order_reasons(model, summary, np.asarray(rows), WEEKS, count, 7.0)


def _bare(text):
    return text.partition(" (")[0]


def _nbd(orders, observed):
    """P(no order in 30 days) of NBD: the posterior rate is Gamma(r + x, alpha + T)."""
    return ((6.0 + observed) / (6.0 + observed + WEEKS)) ** (0.9 + orders)


def _changes(text, x, gap, silence):
    """By how much NBD's P(no order) changes as a sentence's fact becomes what it is compared with, as exact as told."""
    said = re.search(r"(?:all|gap|for|have|every) ([\d.]+)(?: days)? \(", text)
    shown = "0" if said is None else said[1]
    half = 0.5 * 10.0 ** -len(shown.partition(".")[2])
    for compared in (float(shown) - half, float(shown), float(shown) + half):
        if "since the last order" in text or text.startswith("silent for"):
            other = _nbd(x, x * gap + compared / 7)
        elif "to order have" in text:
            other = _nbd(float(shown) - 1, (float(shown) - 1) * gap + silence)
        else:
            other = _nbd(x, x * compared / 7 + silence)
        yield _nbd(x, x * gap + silence) - other


def test_figures_are_what_the_sentences_say_by_the_closed_form_of_nbd(summary):
    told = _told(MODELS[0], summary, np.arange(640))
    kinds = set()
    for i, (x, recency, T) in enumerate(summary.to_numpy(float)):
        gap = recency / x if x else 0.0
        for text, effect in zip(told.loc[i, REASONS], told.loc[i, EFFECTS], strict=True):
            if not text or text.startswith(("only one order so far", "an order every", "as much")):
                continue
            kinds.add(re.sub(r"[\d.]+", "#", text))
            changes = list(_changes(text, x, gap, T - recency))
            assert min(changes) - 1e-12 <= effect <= max(changes) + 1e-12, (x, recency, T, text)
            assert float(text.partition("(+")[2].partition(" ")[0]) == pytest.approx(100 * effect, rel=0.06)
    assert len(kinds) >= 6, kinds


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_everybody_has_two_or_three_reasons_and_none_that_speaks_for_an_order(model, summary):
    told = _told(model, summary, np.arange(640))
    count = (told[REASONS] != "").sum(axis=1).to_numpy()
    waits = (summary["T"] > summary["recency"]).to_numpy()
    assert waits.sum() > 500
    assert count[waits].min() >= 2
    assert count.max() == 3
    assert ((told[EFFECTS] > 0).to_numpy() == (told[REASONS] != "").to_numpy()).all()
    assert (told["reason_1"] != "").all()
    p = np.asarray(model.probability_no_purchase(summary, WEEKS))
    assert (told[EFFECTS].to_numpy() <= p[:, None]).all()
    for row in told[REASONS].to_numpy():
        texts = [text for text in row if text]
        assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_the_largest_of_what_moved_it_are_told_with_histories_made_by_hand(model, summary):
    x, recency, T = (summary[name].to_numpy(float) for name in ("frequency", "recency", "T"))
    p = np.asarray(model.probability_no_purchase(summary, WEEKS))
    likeliest = np.argsort(p, kind="stable")[:64]
    many, quiet = np.sort(x[likeliest])[31], np.sort((T - recency)[likeliest])[31]
    often = np.sort(recency[likeliest] / x[likeliest])[31]
    rows = np.flatnonzero(x > 0)[::9]
    told = _told(model, summary, rows)
    compared = 0
    for k, i in enumerate(rows):
        gap, silence = recency[i] / x[i], T[i] - recency[i]
        others = [(many, many * gap, silence), (x[i], x[i] * often, silence)]
        others += [(x[i], recency[i], other) for other in (gap, quiet) if silence > other]
        frame = pd.DataFrame([(n, t, t + s) for n, t, s in others], columns=["frequency", "recency", "T"])
        frame.attrs["time_unit"] = "week"
        change = np.sort(p[i] - np.asarray(model.probability_no_purchase(frame, WEEKS)))[::-1]
        moved = change[change >= 1e-4][:3]
        if len(moved) >= 2:
            compared += 1
            np.testing.assert_allclose(told.loc[k, EFFECTS].to_numpy(float)[: len(moved)], moved, rtol=1e-9)
    assert compared > 20


def test_where_nothing_else_moved_it_the_two_parts_add_up_to_the_probability():
    model = MODELS[3]
    # of ten alike, each is as likely to order as the likeliest, and shorter silent than its usual gap
    summary = pd.DataFrame({"frequency": [4] * 10, "recency": [20.0] * 10, "T": [22.0] * 10})
    told = _told(model, summary, [0])
    assert told[REASONS].map(_bare).loc[0].tolist() == [
        "14 days since the last order, compared with its day",
        "an order every 35 days: as much even on the day of the last one",
        "",
    ]
    p = float(np.asarray(model.probability_no_purchase(summary, WEEKS))[0])
    assert told.loc[0, EFFECTS].sum() == pytest.approx(p, rel=1e-12)
    today = summary.assign(T=20.0)
    assert told.loc[0, "effect_2"] == pytest.approx(float(np.asarray(model.probability_no_purchase(today, WEEKS))[0]))


def test_who_leaves_after_a_rhythm_has_three_reasons():
    summary = pd.DataFrame({"frequency": [20, *[2] * 30], "recency": [20.0, *[30.0] * 30], "T": [60.0, *[36.0] * 30]})
    told = _told(MODELS[3], summary, [0])
    assert told[REASONS].map(_bare).loc[0].tolist() == [
        "280 days since the last order, usual gap 7",
        "silent for 280 days, those likeliest to order for 42",
        "used to order every 7 days, those likeliest to order every 105 days",
    ]
    # as many points, told first; a long silence says more after many orders than after few
    summary = pd.DataFrame({"frequency": [200, *[20] * 30], "recency": [50.0, *[50.0] * 30], "T": [52.0, *[50.0] * 30]})
    assert "14 days silent after 201 purchase days, those likeliest to order have 21" in [
        _bare(text) for text in _told(MODELS[3], summary, [0], count=4).filter(like="reason").loc[0]
    ]
    assert _told(MODELS[3], summary, [0], count=1).columns.tolist() == ["reason_1", "effect_1"]


def test_customers_of_one_order_alone_have_what_can_be_said():
    summary = pd.DataFrame({"frequency": [0, 0], "recency": [0.0, 0.0], "T": [30.0, 2.0]})
    told = _told(MODELS[3], summary, [0, 1])
    assert told[REASONS].map(_bare).to_numpy().tolist() == [
        ["silent for 210 days, those likeliest to order for 14", "as much even on the only order's day", ""],
        ["14 days since the last order, compared with its day", "as much even on the only order's day", ""],
    ]


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
