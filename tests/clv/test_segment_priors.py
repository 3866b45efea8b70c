"""Segments that borrow strength: against the marginal likelihood, against fits apart, and what they tell."""

import numpy as np
import pandas as pd
import pytest
from scipy import optimize

from regulars import clv
from regulars.clv import SegmentPriorModel, load_model
from regulars.clv.segment_priors import fit_with_prior
from regulars.clv.simulate import simulate_bg_nbd
from regulars.sql.errors import ContractError, ModelError

TRUTH = {"r": 0.6, "alpha": 5.0, "a": 0.8, "b": 2.5}


def _segments(spread: float, seed: int, n_segments: int = 24) -> pd.DataFrame:
    """Segments of 20 to 1,500 customers whose rates differ, with each's true expected orders of a year."""
    rng = np.random.default_rng(seed)
    parts = []
    for i in range(n_segments):
        alpha = TRUTH["alpha"] * np.exp(spread * rng.standard_normal())
        size = int(rng.choice([20, 40, 150, 1500]))
        part = simulate_bg_nbd({**TRUTH, "alpha": alpha}, size, T=52.0, seed=seed * 1000 + i)
        truth = clv.BetaGeoModel.from_parameters(**{**TRUTH, "alpha": alpha})
        parts.append(
            part.assign(
                country=f"c{i % 4}",
                channel=f"s{i}",
                alpha=alpha,
                true_orders=float(truth.expected_purchases_new(52.0)),
            )
        )
    frame = pd.concat(parts, ignore_index=True)
    frame.attrs["time_unit"] = "week"
    return frame


def test_variances_are_those_of_the_marginal_likelihood():
    # normal means with known errors: the marginal likelihood is closed, and Laplace's approximation exact
    rng = np.random.default_rng(1)
    n = rng.integers(1, 40, 60).astype(float)
    mean = 0.5 * rng.standard_normal(60) + rng.standard_normal(60) / np.sqrt(n)

    def seen(m, k):
        return lambda z: (-0.5 * k * (z[0] - m) ** 2, k * (m - z), -k * np.eye(1))

    found = fit_with_prior([seen(m, k) for m, k in zip(mean, n, strict=True)], np.zeros((60, 1)))

    def negative(log_variance):
        total = np.exp(log_variance) + 1 / n
        return 0.5 * (np.log(total) + mean**2 / total).sum()

    best = optimize.minimize_scalar(negative, bounds=(-6, 3), method="bounded")
    # expectation-maximisation ends where a round changes the variance by less than .1%
    assert found.variance[0] == pytest.approx(np.exp(best.x), rel=0.02)
    shrunk = mean * found.variance[0] / (found.variance[0] + 1 / n)
    # modes belong to the variance of the round before the last
    assert found.modes[:, 0] == pytest.approx(shrunk, rel=0.01)


def test_borrowing_beats_fits_apart_and_one_fit_for_all():
    frame = _segments(0.5, seed=3)
    model = SegmentPriorModel("bg_nbd", ["channel"]).fit(frame)
    together = float(model.base_.expected_purchases_new(52.0))
    errors = {"together": 0.0, "borrowing": 0.0, "apart": 0.0}
    small = 0
    for channel, part in frame.groupby("channel"):
        true = part["true_orders"].iloc[0]
        alone = clv.BetaGeoModel().fit(part)
        errors["together"] += np.log(together / true) ** 2
        errors["borrowing"] += np.log(float(model.segment_model(channel).expected_purchases_new(52.0)) / true) ** 2
        errors["apart"] += np.log(float(alone.expected_purchases_new(52.0)) / true) ** 2
        small += len(part) < 100
    assert small >= 5
    assert errors["borrowing"] < 0.5 * errors["together"]
    assert errors["borrowing"] < errors["apart"]
    assert 0.2 < model.spread_.loc["channel"].max() < 1.2
    table = model.summary_.set_index("segment")
    assert table["own_share"][table["customers"] > 1000].min() > table["own_share"][table["customers"] < 50].max()


def test_segments_that_do_not_differ_are_drawn_together():
    frame = _segments(0.0, seed=5, n_segments=12)
    model = SegmentPriorModel("bg_nbd", ["channel"]).fit(frame)
    expected = [float(m.expected_purchases_new(52.0)) for m in model.models_.values()]
    assert np.std(np.log(expected)) < 0.1


def test_levels_below_levels_and_segments_never_seen(tmp_path):
    frame = _segments(0.4, seed=7, n_segments=12)
    model = SegmentPriorModel("bg_nbd", ["country", "channel"]).fit(frame)
    assert model.spread_.index.tolist() == ["country", "channel"]
    assert len(model.summary_) == 4 + 12
    assert model.segment_model("c1", "s99") is model.segment_model("c1")
    assert model.segment_model("elsewhere", "s1") is model.base_
    rows = frame.iloc[[0, 700, 3]].assign(channel=["s0", "new", "s0"])
    found = model.expected_purchases(rows, 26)
    assert found[0] == model.segment_model("c0", "s0").expected_purchases(rows.iloc[:1], 26)[0]
    assert model.purchase_probabilities(rows, 26, 3).shape == (3, 4)
    for method, arguments in (
        ("probability_alive", ()),
        ("probability_no_purchase", (26,)),
        ("discounted_expected_purchases", (26, 0.002)),
        ("median_time_to_next_purchase", ()),
    ):
        assert getattr(model, method)(rows, *arguments).shape == (3,)
    model.save(tmp_path / "segments.json")
    loaded = load_model(tmp_path / "segments.json")
    assert loaded.expected_purchases(frame, 26).tobytes() == model.expected_purchases(frame, 26).tobytes()
    assert "16 segments" in repr(loaded)


def test_bad_input():
    frame = _segments(0.4, seed=9, n_segments=4)
    with pytest.raises(ModelError, match="widest segment first"):
        SegmentPriorModel("bg_nbd", "channel")
    with pytest.raises(ModelError, match="no model 'bgnbd'"):
        SegmentPriorModel("bgnbd", ["channel"])
    with pytest.raises(ContractError, match="no level 'chanel'; did you mean 'channel'"):
        SegmentPriorModel("bg_nbd", ["chanel"]).fit(frame)
    with pytest.raises(ContractError, match="level 'channel' is missing for 2 of"):
        SegmentPriorModel("bg_nbd", ["channel"]).fit(
            frame.assign(channel=frame["channel"].where(frame.index > 1, None))
        )
    with pytest.raises(ModelError, match="not fitted"):
        SegmentPriorModel("bg_nbd", ["channel"]).expected_purchases(frame, 3)


def test_a_number_is_one_level_however_a_merge_left_it():
    first = simulate_bg_nbd(TRUTH, 800, T=52.0, seed=1).assign(store=1)
    second = simulate_bg_nbd({**TRUTH, "alpha": 20.0}, 800, T=52.0, seed=2).assign(store=2)
    frame = pd.concat([first, second], ignore_index=True)
    model = SegmentPriorModel("bg_nbd", ["store"]).fit(frame)
    expected = model.expected_purchases(frame, 26)
    for spelling in (float, "Int64", str, object):
        assert np.array_equal(model.expected_purchases(frame.astype({"store": spelling}), 26), expected)
    assert model.segment_model(2.0) is model.segment_model(2)
    assert model.segment_model(2) is not model.base_
    assert model.segment_model(2.5) is model.base_
