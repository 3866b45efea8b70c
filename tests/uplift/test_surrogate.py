"""Long-term effects from short signals: simulations whose long outcome is known."""

import numpy as np
import pytest

from regulars.sql.errors import ModelError
from regulars.uplift.surrogate import long_term_effects, surrogate_index

ORDERS = np.exp(0.1 + 0.045)  # mean orders without treatment: log-normal mean of exp(.1 + .3 x)
TRUTH = 10.0 * ORDERS * (np.exp(0.2) - 1.0)


def _samples(seed, n=1500, m=3000):
    """Draw an experiment and a history whose long outcome is 10 a signal and 3 a unit of x; the history is richer."""
    rng = np.random.default_rng(seed)
    x, past_x = rng.normal(size=n), rng.normal(0.2, 1.0, size=m)
    arm = rng.integers(0, 2, n)
    signal = rng.poisson(np.exp(0.1 + 0.3 * x + 0.2 * arm)).astype(float)
    past_signal = rng.poisson(np.exp(0.2 + 0.3 * past_x)).astype(float)
    outcome = 10.0 * past_signal + 3.0 * past_x + rng.normal(0.0, 8.0, m)
    return arm, np.column_stack([signal, x]), np.column_stack([past_signal, past_x]), outcome


def _effect(seed, slope):
    arm, now, past, outcome = _samples(seed)
    return long_term_effects(
        arm,
        now,
        slope * now[:, 0] + 3.0 * now[:, 1],
        0.5,
        history_signals=past,
        history_index=slope * past[:, 0] + 3.0 * past[:, 1],
        history_outcome=outcome,
        folds=2,
    ).arms[0]


@pytest.mark.parametrize("slope", [10.0, 7.0])
def test_the_interval_covers_whether_the_index_is_right_or_not(slope):
    draws = [_effect(seed, slope) for seed in range(100)]
    covered = np.mean([d.effect.lower <= TRUTH <= d.effect.upper for d in draws])
    # 95% less 2.6 standard errors of a share over 100 draws
    assert covered >= 0.89
    values = np.array([d.effect.value for d in draws])
    assert abs(values.mean() - TRUTH) < 3.0 * values.std() / 10.0
    spread = np.mean([d.effect.standard_error for d in draws]) / values.std(ddof=1)
    assert 0.8 < spread < 1.25  # a standard deviation from 100 draws is known to 7%, three of these
    naive = np.mean([d.on_the_index.lower <= TRUTH <= d.on_the_index.upper for d in draws])
    # an index that sees seven tenths of each order's worth is missed by its own interval
    assert naive > 0.85 if slope == 10.0 else naive < 0.75


def test_parts_add_up_and_the_surrogates_error_widens():
    found = _effect(3, 7.0)
    assert found.effect.value == pytest.approx(found.on_the_index.value + found.correction.value, rel=1e-12)
    assert found.effect.standard_error > found.on_the_index.standard_error


def test_draws_of_the_customer_model_widen_by_their_spread():
    arm, now, past, outcome = _samples(1)
    index, scale = 10.0 * now[:, 0], np.linspace(0.8, 1.2, 41)
    setting = {"history_signals": past, "history_index": 10.0 * past[:, 0], "history_outcome": outcome, "folds": 2}
    without = long_term_effects(arm, now, index, 0.5, **setting).arms[0]
    widened = long_term_effects(arm, now, index, 0.5, index_draws=scale[:, None] * index, **setting).arms[0]
    on_index = index[arm == 1].mean() - index[arm == 0].mean()
    expected = np.hypot(without.effect.standard_error, scale.std(ddof=1) * on_index)
    assert widened.effect.standard_error == pytest.approx(expected, rel=1e-9)
    assert widened.effect.value == without.effect.value


def test_a_learnt_index_explains_what_can_be_explained():
    _, now, past, outcome = _samples(5, m=8000)
    index = surrogate_index(now, past, outcome, model="linear")
    truth = 10.0 * past[:, 0] + 3.0 * past[:, 1]
    # the best share is that of the true mean; a line with 3 coefficients loses about 3 / 8000 of it
    best = 1.0 - ((outcome - truth) ** 2).sum() / ((outcome - outcome.mean()) ** 2).sum()
    assert index.r_squared == pytest.approx(best, abs=0.003)
    assert np.abs(index.value - 10.0 * now[:, 0] - 3.0 * now[:, 1]).max() < 1.5  # three errors at the far end


def test_several_arms_and_unequal_shares():
    rng = np.random.default_rng(0)
    arm = rng.choice(3, 30_000, p=[0.5, 0.3, 0.2])
    now = (rng.normal(size=30_000) + np.array([0.0, 0.5, 1.0])[arm])[:, None]
    past = rng.normal(0.5, 1.5, size=(10_000, 1))
    found = long_term_effects(
        arm,
        now,
        2.0 * now[:, 0],
        np.array([0.5, 0.3, 0.2]),
        history_signals=past,
        history_index=2.0 * past[:, 0],
        history_outcome=2.0 * past[:, 0] + rng.normal(size=10_000),
    )
    for row, truth in zip(found.arms, (1.0, 2.0), strict=True):
        assert abs(row.effect.value - truth) < 4.0 * row.effect.standard_error < 0.6
    assert found.findings == ()
    assert [row["part"] for row in found.tidy()][:3] == ["effect", "on the index", "correction"]


def test_a_history_that_looks_otherwise_is_said():
    rng = np.random.default_rng(0)
    arm = rng.integers(0, 2, 2000)
    found = long_term_effects(
        arm,
        rng.normal(3.0, 1.0, size=(2000, 1)),
        rng.normal(size=2000),
        0.5,
        history_signals=rng.normal(size=(1000, 1)),
        history_index=np.zeros(1000),
        history_outcome=rng.normal(size=1000),
    )
    assert [finding.code for finding in found.findings] == ["thin_history"]


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        ({"history_outcome": np.full(3000, np.nan)}, "history_outcome holds 3000 NaN"),
        ({"history_index": np.zeros(5)}, "history_index has 5 rows"),
        ({"history_signals": np.zeros((3000, 3))}, "signals has shape"),
        ({"index_draws": np.zeros((1, 1500))}, "at least 2 finite draws"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change, seen):
    arm, now, past, outcome = _samples(0)
    setting = {"history_signals": past, "history_index": past[:, 0], "history_outcome": outcome}
    with pytest.raises(ModelError, match=seen):
        long_term_effects(arm, now, now[:, 0], 0.5, **(setting | change))
    with pytest.raises(ModelError, match="at least 20"):
        surrogate_index(now, past[:5], outcome[:5])
