"""Pareto/NBD with covariates over time: quadrature, nesting, scores, recovery, predictions, bad input."""

import math
from datetime import date

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from scipy.special import gammaln

from regulars import clv
from regulars.clv.time_varying import _Data
from regulars.sql.errors import ContractError, ModelError

PARAMS = {"r": 0.9, "alpha": 8.0, "s": 0.6, "beta": 12.0}
COEFFICIENTS = {"purchase.wave": 0.3, "purchase.december": 0.7, "dropout.wave": -0.2, "dropout.december": 0.4}
END = "2016-12-31"


@pytest.fixture(scope="module")
def weeks():
    frame = pd.DataFrame({"period": pd.date_range("2015-01-05", periods=130, freq="7D")})
    frame["wave"] = np.random.default_rng(0).normal(size=130)
    return frame.assign(december=(frame["period"].dt.month == 12).astype(float))


@pytest.fixture(scope="module")
def purchases(weeks):
    return clv.simulate_time_varying_purchases({**PARAMS, **COEFFICIENTS}, weeks, n_customers=1500, as_of=END, seed=1)


@pytest.fixture(scope="module")
def paths(purchases, weeks):
    return clv.read_covariate_paths(purchases, weeks, as_of=END)


@pytest.fixture(scope="module")
def fitted(paths):
    return clv.TimeVaryingParetoNBDModel(purchase=["wave", "december"], dropout=["wave", "december"]).fit(paths)


def model_of(**more):
    return clv.TimeVaryingParetoNBDModel.from_parameters({**PARAMS, **more})


def plain_of(**more):
    return clv.ParetoNBDModel.from_parameters(**{**PARAMS, **more})


# ---------------------------------------------------------------- the likelihood


def by_adaptive_quadrature(paths, i, weeks, parameters):
    """A customer's likelihood and P(alive) from the formula itself, A and B by interpolation (scipy's QUADPACK)."""
    r, alpha, s, beta = (parameters[name] for name in PARAMS)
    g = np.array([parameters["purchase.wave"], parameters["purchase.december"]])
    d = np.array([parameters["dropout.wave"], parameters["dropout.december"]])
    X = weeks[["wave", "december"]].to_numpy()
    edges = np.unique(np.concatenate([paths.boundaries, [paths.born[i], paths.last[i], paths.end]]))
    edges = edges[(edges >= paths.born[i]) & (edges <= paths.end)]
    period = np.searchsorted(paths.boundaries, 0.5 * (edges[1:] + edges[:-1]), side="right") - 1
    t = (edges - paths.born[i]) / 7
    A = np.concatenate([[0], np.cumsum(np.diff(t) * np.exp(X[period] @ g))])
    B = np.concatenate([[0], np.cumsum(np.diff(t) * np.exp(X[period] @ d))])
    n = r + paths.frequency[i]
    died = 0.0
    for k in range(len(period)):
        if edges[k] >= paths.last[i]:
            pace = np.exp(X[period[k]] @ d)
            died += s * quad(
                lambda u, m=pace: m * (alpha + np.interp(u, t, A)) ** -n * (beta + np.interp(u, t, B)) ** -(s + 1),
                t[k], t[k + 1], epsabs=0, epsrel=1e-12,
            )[0]  # fmt: skip
    alive = (alpha + A[-1]) ** -n * (beta + B[-1]) ** -s
    bought = X[paths.purchase_period[paths.purchase_customer == i]].sum(axis=0) @ g
    log_likelihood = gammaln(n) - gammaln(r) + r * math.log(alpha) + s * math.log(beta) + bought
    return log_likelihood + math.log(alive + died), alive / (alive + died)


def test_the_likelihood_is_the_integral_of_the_paper(paths, weeks):
    parameters = {**PARAMS, **COEFFICIENTS}
    model = clv.TimeVaryingParetoNBDModel.from_parameters(parameters)
    alive = model.probability_alive(paths)
    chosen = [*np.argsort(paths.frequency)[-3:], *range(0, 60, 6)]
    total = 0.0
    for i in chosen:
        value, share = by_adaptive_quadrature(paths, i, weeks, parameters)
        total += value
        # the closed pieces have 5e-12 of the integral, QUADPACK 1e-12 a piece
        np.testing.assert_allclose(alive[i], share, rtol=1e-9)
    rows = _Data(paths, model.purchase, model.dropout)
    of_all, _ = rows.scores(model._raw())
    others = np.setdiff1d(np.arange(len(paths)), chosen)
    of_others, _ = _Data(some(paths, others), model.purchase, model.dropout).scores(model._raw())
    np.testing.assert_allclose(of_all - of_others, total, rtol=1e-10)


def some(paths, rows):
    """Some of the customers."""
    position = np.full(len(paths), -1)
    position[rows] = np.arange(len(rows))
    kept = position[paths.purchase_customer] >= 0
    return clv.CovariatePaths(
        paths.customer_id[rows], paths.frequency[rows], paths.born[rows], paths.last[rows], paths.end,
        position[paths.purchase_customer[kept]], paths.purchase_period[kept], paths.boundaries, paths.columns,
        paths.first_row[rows], paths.time_unit,
    )  # fmt: skip


def test_covariates_at_zero_are_the_plain_model(paths, weeks):
    model, plain, summary = model_of(**dict.fromkeys(COEFFICIENTS, 0.0)), plain_of(), paths.summary()
    same = {"rtol": 1e-10, "atol": 1e-12}
    np.testing.assert_allclose(model.log_likelihood(paths), plain.log_likelihood(summary), **same)
    np.testing.assert_allclose(model.probability_alive(paths), plain.probability_alive(summary), **same)
    horizon = 20.5
    np.testing.assert_allclose(
        model.expected_purchases(paths, horizon, 3.2), plain.expected_purchases(summary, horizon, 3.2), **same
    )
    np.testing.assert_allclose(
        model.probability_no_purchase(paths, horizon), plain.probability_no_purchase(summary, horizon), **same
    )
    nothing = clv.read_covariate_paths(
        {"customer_id": [1, 1, 2], "day": ["2015-02-02", "2015-06-02", "2016-02-02"]},
        weeks.assign(wave=0.0, december=0.0), as_of=END,
    )  # fmt: skip
    np.testing.assert_allclose(
        clv.TimeVaryingParetoNBDModel.from_parameters({**PARAMS, **COEFFICIENTS}).log_likelihood(nothing),
        plain.log_likelihood(nothing.summary()), **same,
    )  # fmt: skip


def test_constant_covariates_over_time_are_static_ones(purchases, weeks, paths):
    """With x(t) = x for ever, rates are those of Pareto/NBD at alpha exp(-g'x), beta exp(-d'x)."""
    rng = np.random.default_rng(3)
    kinds = np.array([[0.0, 0.0], [1.0, -0.5], [-1.5, 1.0]])
    mine = rng.integers(0, 3, len(paths))
    n, p = len(paths), len(weeks)
    own = pd.DataFrame(
        {
            "customer_id": np.repeat(paths.customer_id, p),
            "period": np.tile(weeks["period"].to_numpy(), n),
            "wave": np.repeat(kinds[mine, 0], p),
            "december": np.repeat(kinds[mine, 1], p),
        }
    )
    static = clv.read_covariate_paths(purchases, own, as_of=END)
    model = model_of(**COEFFICIENTS)
    total, alive, expected = 0.0, np.empty(n), np.empty(n)
    summary = pd.DataFrame(static.summary())
    for kind, x in enumerate(kinds):
        faster, leaving = np.exp(x @ [0.3, 0.7]), np.exp(x @ [-0.2, 0.4])
        plain = plain_of(alpha=PARAMS["alpha"] / faster, beta=PARAMS["beta"] / leaving)
        rows = mine == kind
        total += plain.log_likelihood(summary[rows])
        alive[rows] = plain.probability_alive(summary[rows])
        expected[rows] = plain.expected_purchases(summary[rows], 20.0)
    np.testing.assert_allclose(model.log_likelihood(static), total, rtol=1e-10)
    np.testing.assert_allclose(model.probability_alive(static), alive, rtol=1e-10)
    np.testing.assert_allclose(model.expected_purchases(static, 20.0), expected, rtol=1e-10)


def test_scores_are_those_of_finite_differences(paths):
    model = model_of(**COEFFICIENTS)
    data, raw, step = _Data(paths, model.purchase, model.dropout), model._raw(), 1e-5
    scores = data.scores(raw)[1].sum(axis=0)
    differences = [(data.scores(raw + step * e)[0] - data.scores(raw - step * e)[0]) / (2 * step) for e in np.eye(8)]
    # the sum is about -30,000: differences of step 1e-5 keep about six digits after the point
    np.testing.assert_allclose(scores, differences, rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("lapsed_after", [300, 30, 5])
def test_a_customer_with_400_purchases_is_finite(lapsed_after):
    """400 purchases in the first days of 364, then silence; Pareto/NBD's own value where coefficients are 0."""
    days = pd.DataFrame({"period": pd.date_range("2015-01-01", periods=364, freq="D")})
    days["wave"] = np.sin(np.arange(364) / 9.0)
    start = pd.Timestamp("2015-01-01 06:00")
    times = start + pd.to_timedelta(np.linspace(0, lapsed_after, 401), unit="D")
    paths = clv.read_covariate_paths(
        {"customer_id": ["a"] * 401, "time": times.to_numpy()}, days, as_of="2015-12-30", time_unit="day"
    )
    assert paths.frequency.tolist() == [400]
    parameters = {"r": 0.55, "alpha": 10.58, "s": 0.61, "beta": 11.67}
    flat = clv.TimeVaryingParetoNBDModel.from_parameters({**parameters, "purchase.wave": 0.0}, time_unit="day")
    plain = clv.ParetoNBDModel.from_parameters(**parameters, time_unit="day")
    np.testing.assert_allclose(flat.log_likelihood(paths), plain.log_likelihood(paths.summary()), rtol=1e-10)
    moved = clv.TimeVaryingParetoNBDModel.from_parameters(
        {**parameters, "purchase.wave": 0.8, "dropout.wave": -1.1}, time_unit="day"
    )
    value, scores = _Data(paths, moved.purchase, moved.dropout).scores(moved._raw())
    assert np.isfinite(value)
    assert np.isfinite(scores).all()
    assert 0 <= moved.probability_alive(paths)[0] <= 1


# ---------------------------------------------------------------- fits and predictions


def test_known_coefficients_are_recovered(fitted):
    truth = {**PARAMS, **COEFFICIENTS}
    table = fitted.summary_
    assert fitted.converged_
    assert fitted.identified_
    inside = [table.loc[name, "lower"] <= value <= table.loc[name, "upper"] for name, value in truth.items()]
    assert sum(inside) >= len(truth) - 1  # each misses in one of twenty draws


def test_the_fit_is_a_maximum_and_beats_the_plain_model(fitted, paths):
    data = _Data(paths, fitted.purchase, fitted.dropout)
    value, scores = data.scores(fitted._raw())
    # a Newton step from here would gain less than 1e-6
    assert scores.sum(axis=0) @ np.linalg.solve(data.information(fitted._raw(), np.eye(8)), scores.sum(axis=0)) < 1e-6
    assert value == fitted.log_likelihood_
    assert value > clv.ParetoNBDModel().fit(paths.summary()).log_likelihood_ + 50


def test_without_covariates_the_fit_is_the_plain_one(paths):
    model, plain = clv.TimeVaryingParetoNBDModel().fit(paths), clv.ParetoNBDModel().fit(paths.summary())
    np.testing.assert_allclose(model.log_likelihood_, plain.log_likelihood_, atol=1e-6)
    # s and beta lie on a ridge: equal likelihoods to 1e-7 leave them apart by some 1e-4
    np.testing.assert_allclose(list(model.params_.values()), list(plain.params_.values()), rtol=2e-3)
    np.testing.assert_allclose(np.diag(model.covariance_), np.diag(plain.covariance_), rtol=2e-2)


def test_expected_purchases_come_true(weeks, fitted):
    """10,000 customers drawn past the as-of date: expected beside drawn, and P(alive) by what they then did."""
    truth = {**PARAMS, **COEFFICIENTS}
    until = pd.Timestamp(END) + pd.Timedelta(weeks=20)
    drawn = clv.simulate_time_varying_purchases(
        truth, weeks, n_customers=10_000, as_of=until, seed=5, acquired_until="2016-06-30"
    )
    paths = clv.read_covariate_paths(drawn, weeks, as_of=END)
    later = drawn[drawn["time"] >= "2017-01-01"]
    model = model_of(**COEFFICIENTS)
    expected, silent = model.expected_purchases(paths, 20), model.probability_no_purchase(paths, 20)
    # the sum of counts that spread about twice their mean: four standard errors
    assert abs(len(later) - expected.sum()) < 4 * np.sqrt(3 * expected.sum())
    bought = later["customer_id"].nunique()
    assert abs(bought - (1 - silent).sum()) < 4 * np.sqrt(10_000 * 0.25)
    np.testing.assert_allclose(
        model.expected_purchases(paths, 20),
        model.expected_purchases(paths, 7.3) + model.expected_purchases(paths, 20, 7.3),
        rtol=1e-12,
    )


def test_a_model_comes_back_from_disk(fitted, paths, tmp_path):
    fitted.save(tmp_path / "over_time.json")
    again = clv.load_model(tmp_path / "over_time.json")
    np.testing.assert_array_equal(again.probability_alive(paths), fitted.probability_alive(paths))
    pd.testing.assert_frame_equal(again.summary_, fitted.summary_)
    assert repr(again) == repr(fitted)


def test_days_and_frames_of_any_kind_give_the_same(weeks):
    import polars as pl
    import pyarrow as pa

    days = pd.DataFrame(
        {"customer_id": ["b", "a", "a", "a"], "day": pd.to_datetime(["2015-01-11", "2015-01-05"] + ["2015-01-12"] * 2)}
    )
    model = model_of(**COEFFICIENTS)
    found = [
        clv.read_covariate_paths(kind(days), kind(weeks), as_of=date(2015, 3, 1))
        for kind in (lambda frame: frame, pl.from_pandas, pa.Table.from_pandas)
    ]
    assert found[0].frequency.tolist() == [1, 0]
    assert found[0].purchase_period.tolist() == [1]  # the second week's monday belongs to it
    assert len({model.log_likelihood(paths) for paths in found}) == 1
    # the customer of a sunday begins at its end, where the next week does
    assert found[0].born[1] == found[0].boundaries[1]


# ---------------------------------------------------------------- bad input


def test_a_path_that_ends_before_the_horizon_is_refused_with_dates(fitted, paths):
    with pytest.raises(ModelError, match="the covariates end on 2017-07-02, but 2017-12-30 is needed"):
        fitted.expected_purchases(paths, 52)
    with pytest.raises(ModelError, match="the covariates end on 2017-07-02"):
        fitted.probability_no_purchase(paths, 52)


def test_covariates_that_cannot_be_told_apart_are_refused_by_name(purchases, weeks):
    more = weeks.assign(always=2.0, both=lambda f: f["wave"] - 3 * f["december"])
    paths = clv.read_covariate_paths(purchases, more, as_of=END)
    with pytest.raises(ModelError, match=r"covariate 'always' is 2\.0 in every period"):
        clv.TimeVaryingParetoNBDModel(purchase=["always"]).fit(paths)
    with pytest.raises(ModelError, match="covariate 'both' is told by wave, december"):
        clv.TimeVaryingParetoNBDModel(dropout=["wave", "december", "both"]).fit(paths)
    with pytest.raises(ModelError, match="no covariate 'wav'; did you mean 'wave'"):
        clv.TimeVaryingParetoNBDModel(purchase=["wav"]).fit(paths)


def test_frames_with_gaps_are_refused_by_period(purchases, weeks):
    def read(covariates, **more):
        return clv.read_covariate_paths(purchases, covariates, **{"as_of": END, **more})

    with pytest.raises(ContractError, match="no period that begins on 2015-02-09, 2015-02-16"):
        read(weeks.drop(index=[5, 6]))
    with pytest.raises(ContractError, match="period 2015-01-26 stands twice"):
        read(pd.concat([weeks, weeks.iloc[[3]]]))
    with pytest.raises(ContractError, match="covariate 'wave' is missing or not finite in period 2015-01-26"):
        read(weeks.assign(wave=weeks["wave"].where(weeks.index != 3)))
    with pytest.raises(ContractError, match="not evenly spaced: 2015-01-12 and 2015-01-22 are 10 days apart, others 4"):
        read(weeks.head(3).assign(period=pd.to_datetime(["2015-01-08", "2015-01-12", "2015-01-22"])))
    with pytest.raises(ModelError, match="covariates begin on 2016-01-04, the first purchase on 2015-01-"):
        read(weeks[weeks["period"] >= "2016-01-01"])
    with pytest.raises(ModelError, match="covariates end on 2016-07-03, the histories on 2016-12-31"):
        read(weeks[weeks["period"] < "2016-07-01"])
    with pytest.raises(ContractError, match="no column 'period'"):
        read(weeks.drop(columns="period"))
    with pytest.raises(ModelError, match="no purchase lies by as_of 2014-01-01"):
        read(weeks, as_of="2014-01-01")


def test_customers_without_covariates_are_named(weeks):
    purchases = {"customer_id": ["a", "a", "b"], "day": ["2015-01-06", "2015-02-10", "2015-01-20"]}
    own = pd.concat([weeks[["period", "wave"]].assign(customer_id=c) for c in ("a", "b")])
    common = weeks[["period", "december"]]
    paths = clv.read_covariate_paths(purchases, [common, own], as_of="2015-03-01")
    assert sorted(paths.columns) == ["december", "wave"]
    late = own[(own["customer_id"] == "a") | (own["period"] >= "2015-01-19")]  # b came in the week of 2015-01-19
    model = model_of(**COEFFICIENTS)
    assert model.log_likelihood(paths) == model.log_likelihood(
        clv.read_covariate_paths(purchases, [common, late], as_of="2015-03-01")
    )
    with pytest.raises(ContractError, match="customer b has no covariates"):
        clv.read_covariate_paths(purchases, [common, own[own["customer_id"] == "a"]], as_of="2015-03-01")
    gap = own[(own["customer_id"] == "a") | (own["period"] != "2015-02-02")]
    with pytest.raises(ContractError, match="customer b: covariates have no period that begins on 2015-02-02"):
        clv.read_covariate_paths(purchases, gap, as_of="2015-03-01")
    with pytest.raises(ContractError, match="covariate 'wave' stands in two frames"):
        clv.read_covariate_paths(purchases, [weeks, own], as_of="2015-03-01")


def test_a_customer_of_the_last_day_is_one(weeks):
    own = pd.concat(
        [
            weeks[["period", "wave"]].head(8).assign(customer_id=c, wave=weeks["wave"].head(8) + k)
            for k, c in enumerate("abc")
        ]
    )
    days = {
        "customer_id": ["a", "a", "b", "b", "c"],
        "day": ["2015-01-06", "2015-02-10", "2015-01-07", "2015-01-20", "2015-03-01"],
    }
    paths = clv.read_covariate_paths(days, own, as_of="2015-03-01")  # the end of the last period
    assert paths.end == paths.boundaries[-1]
    model = clv.TimeVaryingParetoNBDModel(purchase=["wave"]).fit(paths)
    assert model.probability_alive(paths)[2] == 1.0


def test_nobody_bought_again(weeks):
    once = {"customer_id": ["a", "b"], "day": ["2015-01-06", "2015-01-20"]}
    with pytest.raises(ModelError, match="has bought a second time"):
        clv.TimeVaryingParetoNBDModel(purchase=["wave"]).fit(clv.read_covariate_paths(once, weeks, as_of=END))


def test_where_nobody_leaves_it_says_so(weeks):
    drawn = clv.simulate_time_varying_purchases(
        {"r": 1.0, "alpha": 4.0, "s": 0.5, "beta": 1e5, "purchase.december": 0.5},
        weeks,
        n_customers=300,
        as_of=END,
        seed=2,
    )
    model = clv.TimeVaryingParetoNBDModel(purchase=["december"], dropout=["december"]).fit(
        clv.read_covariate_paths(drawn, weeks, as_of=END)
    )
    assert not model.identified_
    assert "hardly anybody has been seen to leave" in model.message_
    assert abs(model.coefficients_["purchase.december"] - 0.5) < 0.2


def test_other_units_and_unknown_parameters_are_refused(paths):
    with pytest.raises(ModelError, match="the paths count in weeks, the model in days"):
        clv.TimeVaryingParetoNBDModel.from_parameters(PARAMS, time_unit="day").probability_alive(paths)
    with pytest.raises(ModelError, match="has no parameter 'alfa'"):
        clv.TimeVaryingParetoNBDModel.from_parameters({**PARAMS, "alfa": 1.0})
    with pytest.raises(ModelError, match="parameter r is -1"):
        clv.TimeVaryingParetoNBDModel.from_parameters({**PARAMS, "r": -1.0})
    with pytest.raises(ModelError, match="is not fitted"):
        clv.TimeVaryingParetoNBDModel(purchase=["wave"]).probability_alive(paths)
    with pytest.raises(ModelError, match="paths is a dict; read purchases and covariates with read_covariate_paths"):
        clv.TimeVaryingParetoNBDModel.from_parameters(PARAMS).probability_alive({"frequency": [1]})


@pytest.mark.parametrize("period_days", [0, -7, "7", 7.5])
def test_periods_that_are_none_are_refused(weeks, period_days):
    once = {"customer_id": ["a"], "day": ["2015-01-06"]}
    with pytest.raises(ModelError, match="period_days is"):
        clv.read_covariate_paths(once, weeks, as_of=END, period_days=period_days)
