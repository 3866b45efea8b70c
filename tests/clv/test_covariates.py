"""Covariates: nesting, derivatives, separate fits, known truth, tests of no effect, and every prediction."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from regulars import clv
from regulars.clv import CovariateModel, likelihood_ratio_test, load_model, simulate
from regulars.clv.covariate_likelihood import likelihood_with
from regulars.sql.errors import ContractError, ModelError

PLAIN = {
    "nbd": clv.NBDModel,
    "bg_nbd": clv.BetaGeoModel,
    "mbg_nbd": clv.ModifiedBetaGeoModel,
    "pareto_nbd": clv.ParetoNBDModel,
}
DROPOUT = {"nbd": (), "bg_nbd": ("channel", "age"), "mbg_nbd": ("channel", "age"), "pareto_nbd": ("channel", "age")}
DAY = pd.Timestamp("2020-01-01").date()


def _customers(kind: str, n: int, seed: int, effect: float = 1.0) -> pd.DataFrame:
    """Customers of two channels and all ages, who buy and leave by known coefficients times ``effect``."""
    rng = np.random.default_rng(seed)
    shop, age = rng.random(n) < 0.4, rng.normal(40, 10, n)
    buying, leaving = effect * (0.5 * shop + 0.02 * (age - 40)), effect * (-0.4 * shop + 0.03 * (age - 40))
    draw = getattr(simulate, f"simulate_{kind}")
    if kind == "pareto_nbd":
        params = {"r": 0.8, "alpha": 8 * np.exp(-buying), "s": 0.6, "beta": 12 * np.exp(-leaving)}
    else:
        params = {"r": 0.8, "alpha": 8 * np.exp(-buying), "a": 0.8 * np.exp(leaving), "b": 2.5}
        params = params if kind != "nbd" else {"r": 0.8, "alpha": params["alpha"]}
    frame = draw(params, n, T=rng.integers(30, 104, n).astype(float), seed=seed + 1)
    return frame.assign(channel=np.where(shop, "shop", "web"), age=age)


@pytest.fixture(scope="module", params=PLAIN)
def fitted(request):
    kind = request.param
    frame = _customers(kind, 4000, seed=1)
    model = CovariateModel(kind, purchase=["channel", "age"], dropout=DROPOUT[kind], base={"channel": "web"}).fit(frame)
    return kind, frame, model


@pytest.mark.parametrize("kind", PLAIN)
def test_without_covariates_it_is_the_plain_model_bit_for_bit(kind):
    frame = _customers(kind, 2000, seed=5)
    plain, model = PLAIN[kind]().fit(frame), CovariateModel(kind).fit(frame)
    assert model.params_ == plain.params_
    assert model.log_likelihood_ == plain.log_likelihood_
    assert model.covariance_.tobytes() == plain.covariance_.tobytes()
    for method, arguments in (
        ("probability_alive", ()),
        ("expected_purchases", (39,)),
        ("probability_no_purchase", (39,)),
        ("purchase_probabilities", (39, 5)),
        ("discounted_expected_purchases", (39, 0.002)),
        ("median_time_to_next_purchase", ()),
    ):
        assert (
            getattr(model, method)(frame, *arguments).tobytes() == getattr(plain, method)(frame, *arguments).tobytes()
        )


def test_coefficients_at_zero_are_the_plain_model(fitted):
    kind, frame, model = fitted
    point = model._coordinates()[0]
    point[len(model.params_) :] = 0.0
    still = model._at(point)
    plain = PLAIN[kind].from_parameters(**model.params_)
    assert still.log_likelihood(frame) == pytest.approx(plain.log_likelihood(frame), rel=1e-12, abs=1e-10)
    for method, arguments in (
        ("probability_alive", ()),
        ("expected_purchases", (39, 3)),
        ("probability_no_purchase", (39,)),
        ("purchase_probabilities", (39, 5)),
        ("discounted_expected_purchases", (39, 0.002)),
        ("median_time_to_next_purchase", ()),
    ):
        # P(alive) and the waits carry the last digits of another order of operations
        ours, theirs = getattr(still, method)(frame, *arguments), getattr(plain, method)(frame, *arguments)
        assert ours == pytest.approx(theirs, rel=1e-10, abs=1e-12, nan_ok=True)
    assert still.expected_purchases_new(39.0) == pytest.approx(plain.expected_purchases_new(39.0), rel=1e-12)


def test_each_customer_is_predicted_as_the_plain_model_with_own_parameters(fitted):
    kind, frame, model = fitted
    few = frame.iloc[:12]
    centre = model.design_.covariates[1].centre
    c = model.coefficients_
    for i in range(len(few)):
        one = few.iloc[[i]]
        z = {"channel[shop]": float(one["channel"].iloc[0] == "shop"), "age": one["age"].iloc[0] - centre}
        own = dict(model.params_)
        own["alpha"] *= np.exp(-sum(c[f"purchase.{k}"] * v for k, v in z.items()))
        if kind == "pareto_nbd":
            own["beta"] *= np.exp(-sum(c[f"dropout.{k}"] * v for k, v in z.items()))
        elif kind != "nbd":
            for name in ("a", "b"):
                own[name] *= np.exp(sum(c[f"{name}.{k}"] * v for k, v in z.items()))
        plain = PLAIN[kind].from_parameters(**own)
        for method, arguments in (
            ("probability_alive", ()),
            ("expected_purchases", (39, 3)),
            ("probability_no_purchase", (39,)),
            ("purchase_probabilities", (39, 4)),
            ("discounted_expected_purchases", (39, 0.002)),
            ("median_time_to_next_purchase", ()),
        ):
            ours, theirs = getattr(model, method)(few, *arguments)[i], getattr(plain, method)(one, *arguments)[0]
            assert ours == pytest.approx(theirs, rel=1e-10, nan_ok=True)


@given(point=st.lists(st.floats(-2.0, 2.0), min_size=10, max_size=10))
@settings(max_examples=15, deadline=None, derandomize=True)
@pytest.mark.parametrize("kind", PLAIN)
def test_gradient_and_hessian_are_finite_differences(kind, point):
    frame = _customers(kind, 60, seed=3)
    model = CovariateModel(
        kind, purchase=["channel", "age"], dropout=DROPOUT[kind], equal=[] if kind == "nbd" else ["age"]
    )
    model.fit(frame)
    objective = likelihood_with(PLAIN[kind](), model.histories(frame).distinct, model._effects(), np.array([1.0, 10.0]))
    point = np.array(point[: model.n_parameters_])
    value, gradient, hessian = objective(point)
    # fourth-order central differences, as in test_gradients
    h = 2e-3
    ahead = {k: [objective(point + k * h * unit) for unit in np.eye(point.size)] for k in (-2, -1, 1, 2)}

    def difference(which):
        one = [np.subtract(a[which], b[which]) for a, b in zip(ahead[1], ahead[-1], strict=True)]
        two = [np.subtract(a[which], b[which]) for a, b in zip(ahead[2], ahead[-2], strict=True)]
        return np.array([(8 * near - far) / (12 * h) for near, far in zip(one, two, strict=True)])

    assert gradient == pytest.approx(difference(0), rel=1e-7, abs=1e-8 * np.abs(gradient).max() + 1e-12 * abs(value))
    assert hessian == pytest.approx(difference(1), rel=1e-7, abs=1e-6 * np.abs(hessian).max())
    assert hessian == pytest.approx(hessian.T, rel=1e-12)


@pytest.mark.parametrize("kind", ["bg_nbd", "mbg_nbd"])
def test_a_level_free_in_all_but_r_lies_between_one_fit_and_fits_apart(kind):
    # r is shared, so the log-likelihood is at most that of the levels fitted apart, and at least that of one r held
    frame = _customers(kind, 4000, seed=7)
    one = CovariateModel(kind, purchase=["channel"], dropout=["channel"]).fit(frame)
    apart = sum(PLAIN[kind]().fit(part).log_likelihood_ for _, part in frame.groupby("channel"))
    assert PLAIN[kind]().fit(frame).log_likelihood_ + 1 < one.log_likelihood_ < apart + 1e-6


def test_covariates_of_spend_alone_by_level_are_scaled_money():
    # with a binary covariate and equal truths apart from the level, dividing the level out gives the plain fit
    spends = simulate.simulate_gamma_gamma({"p": 6.0, "q": 4.0, "v": 15.0}, np.arange(6000) % 5, seed=1)
    spends["club"] = np.where(np.arange(6000) % 2 == 0, "yes", "no")
    model = clv.SpendCovariateModel(["club"], base={"club": "no"}).fit(spends)
    level = np.exp(model.coefficients_["spend.club[yes]"] * (spends["club"] == "yes"))
    plain = clv.GammaGammaModel().fit(spends.assign(monetary_value=spends["monetary_value"] / level))
    assert model.params_ == pytest.approx(plain.params_, rel=1e-5)
    shape, rate = model.posterior(spends)
    plain_shape, plain_rate = plain.posterior(spends.assign(monetary_value=spends["monetary_value"] / level))
    assert shape == pytest.approx(plain_shape)
    assert rate == pytest.approx(plain_rate * level)


def test_a_level_in_which_nobody_has_spent_again_counts_as_the_base():
    spends = simulate.simulate_gamma_gamma({"p": 6.0, "q": 4.0, "v": 15.0}, np.arange(3000) % 5, seed=1)
    channel = np.where(np.arange(3000) % 3 == 0, "shop", "web")
    channel[(np.arange(3000) % 5 == 0) & (np.arange(3000) < 100)] = "fair"
    model = clv.SpendCovariateModel(["channel"], base={"channel": "web"}).fit(spends.assign(channel=channel))
    assert model.coefficients_["spend.channel[fair]"] == 0.0
    assert not model.identified_
    assert "spend.channel[fair]" in model.message_
    assert np.isnan(model.summary_.loc["spend.channel[fair]", "standard_error"])
    assert np.isfinite(model.summary_.loc["spend.channel[shop]", "standard_error"])
    assert clv.SpendCovariateModel(["channel"], ridge=1.0).fit(spends.assign(channel=channel)).identified_


@pytest.mark.parametrize("kind", ["bg_nbd", "pareto_nbd"])
def test_known_coefficients_lie_in_their_intervals(kind):
    truth = {"purchase.channel[shop]": 0.5, "purchase.age": 0.02}
    on_dropout = {"channel[shop]": -0.4, "age": 0.03}
    truth |= {f"{'dropout' if kind == 'pareto_nbd' else 'a'}.{k}": v for k, v in on_dropout.items()}
    held, total = 0, 0
    for seed in range(8):
        frame = _customers(kind, 3000, seed=100 * seed)
        dropout = ["channel", "age"] if kind == "pareto_nbd" else {"a": ["channel", "age"]}
        model = CovariateModel(kind, purchase=["channel", "age"], dropout=dropout, base={"channel": "web"})
        table = model.fit(frame).summary_.loc[list(truth)]
        held += ((table["lower"] < pd.Series(truth)) & (pd.Series(truth) < table["upper"])).sum()
        total += len(truth)
    # 32 intervals of 95%: fewer than 26 inside has a probability of .001 if they were independent
    assert held >= 26
    assert total == 32


def test_likelihood_ratios_of_no_effect_are_chi_squared():
    statistics = []
    for seed in range(60):
        frame = _customers("pareto_nbd", 500, seed=1000 + 10 * seed, effect=0.0)
        larger = CovariateModel("pareto_nbd", purchase=["channel", "age"]).fit(frame)
        statistics.append(likelihood_ratio_test(larger, clv.ParetoNBDModel().fit(frame)).statistic)
    # of 60, 5% rejections: more than 8 have a probability of .01
    assert (np.array(statistics) > stats.chi2.ppf(0.95, 2)).sum() <= 8
    assert stats.kstest(statistics, stats.chi2(2).cdf).pvalue > 0.01


def test_tests_by_covariate_and_equal_coefficients():
    frame = _customers("pareto_nbd", 4000, seed=11).assign(coin=np.random.default_rng(1).random(4000) < 0.5)
    model = CovariateModel("pareto_nbd", purchase=["channel", "age", "coin"], dropout=["age"]).fit(frame)
    tests = model.covariate_tests(frame)
    assert tests["degrees_of_freedom"].tolist() == [1, 2, 1]
    assert tests.loc["channel", "p_value"] < 1e-6
    assert tests.loc["coin", "p_value"] > 0.01
    equal = CovariateModel("pareto_nbd", purchase=["channel", "age", "coin"], dropout=["age"], equal=["age"]).fit(frame)
    assert equal.coefficients_["purchase.age"] == equal.coefficients_["dropout.age"]
    assert equal.n_parameters_ == model.n_parameters_ - 1
    named = CovariateModel(
        "pareto_nbd", purchase=["channel", "age", "coin"], dropout=["age"], equal=[("purchase.age", "dropout.age")]
    ).fit(frame)
    assert named.log_likelihood_ == equal.log_likelihood_
    assert likelihood_ratio_test(model, equal).degrees_of_freedom == 1


def test_only_nested_fits_of_the_same_customers_have_a_likelihood_ratio():
    frame = _customers("pareto_nbd", 1500, seed=21).assign(coin=np.random.default_rng(1).random(1500) < 0.5)
    other = _customers("pareto_nbd", 1500, seed=22)
    larger = CovariateModel("pareto_nbd", purchase=["age"], dropout=["age"]).fit(frame)
    smaller = clv.ParetoNBDModel().fit(frame)
    found = likelihood_ratio_test(larger, smaller)
    assert found.degrees_of_freedom == 2
    # the same customers in another order
    assert likelihood_ratio_test(larger, clv.ParetoNBDModel().fit(frame[::-1])).statistic == pytest.approx(
        found.statistic, abs=1e-6
    )
    with pytest.raises(ModelError, match="fitted to different customers: those of the larger made"):
        likelihood_ratio_test(larger, clv.ParetoNBDModel().fit(other))
    with pytest.raises(ModelError, match=r"smaller model has purchase\.coin, which the larger one has not"):
        likelihood_ratio_test(larger, CovariateModel("pareto_nbd", purchase=["coin"]).fit(frame))
    with pytest.raises(ModelError, match="pareto_nbd_covariates does not contain nbd"):
        likelihood_ratio_test(larger, clv.NBDModel().fit(frame))
    tied = CovariateModel("pareto_nbd", purchase=["age", "coin"], dropout=["age"], equal=["age"]).fit(frame)
    with pytest.raises(ModelError, match=r"holds purchase\.age and dropout\.age equal"):
        likelihood_ratio_test(tied, CovariateModel("pareto_nbd", purchase=["age"]).fit(frame))
    for bad, said in (
        (clv.ParetoNBDModel(), "not fitted"),
        (None, "not fitted"),
        (clv.ParetoNBDModel.from_parameters(r=1.0, alpha=9.0, s=1.0, beta=9.0), "made from parameters"),
    ):
        with pytest.raises(ModelError, match=said):
            likelihood_ratio_test(larger, bad)


def test_a_ridge_pulls_and_a_large_one_leaves_the_plain_model():
    frame = _customers("bg_nbd", 2000, seed=13)
    sizes = []
    for ridge in (0.0, 10.0, 1e3, 1e9):
        model = CovariateModel("bg_nbd", purchase=["channel", "age"], dropout={"a": ["channel"]}, ridge=ridge).fit(
            frame
        )
        spread = np.array([1.0, frame["age"].std(), 1.0])
        sizes.append(np.linalg.norm(spread * np.array(list(model.coefficients_.values()))))
    assert sizes == sorted(sizes, reverse=True)
    assert model.log_likelihood_ == pytest.approx(clv.BetaGeoModel().fit(frame).log_likelihood_, rel=1e-8)
    with pytest.raises(ModelError, match="ridge"):
        likelihood_ratio_test(model, clv.BetaGeoModel().fit(frame))


def test_predictions_depend_neither_on_the_base_nor_on_the_centre_nor_on_the_unit():
    frame = _customers("pareto_nbd", 3000, seed=17)
    other = frame.assign(age=1000 + 12 * frame["age"])
    expected = []
    for data, base in ((frame, "web"), (frame, "shop"), (other, "web")):
        model = CovariateModel("pareto_nbd", purchase=["channel", "age"], dropout=["age"], base={"channel": base})
        expected.append(model.fit(data).expected_purchases(data.iloc[:50], 39))
    # the climb ends within 1e-9 of log-likelihood; a maximum is known to about its square root
    assert expected[1] == pytest.approx(expected[0], rel=1e-4)
    assert expected[2] == pytest.approx(expected[0], rel=1e-4)


def test_grouped_shuffled_and_polars_frames_give_the_same():
    import polars as pl

    frame = _customers("bg_nbd", 3000, seed=19)[["frequency", "recency", "T", "channel"]]
    model = CovariateModel("bg_nbd", purchase=["channel"], dropout={"a": ["channel"]})
    first = model.fit(frame)
    shuffled = frame.sample(frac=1, random_state=1)
    assert model.unfitted().fit(shuffled).params_ == pytest.approx(first.params_, rel=1e-6)
    polars = model.unfitted().fit(pl.from_pandas(frame))
    assert polars.params_ == first.params_
    doubled = model.unfitted().fit(frame.assign(weight=2.0))
    assert doubled.log_likelihood_ == pytest.approx(2 * first.log_likelihood_, rel=1e-12)
    rows = [5, 2999, 5, 0]
    assert np.array_equal(first.expected_purchases(frame.iloc[rows], 39), first.expected_purchases(frame, 39)[rows])


def test_saved_models_predict_the_same(tmp_path, fitted):
    _, frame, model = fitted
    model.save(tmp_path / "model.json")
    loaded = load_model(tmp_path / "model.json")
    assert loaded.name == model.name
    assert loaded.expected_purchases(frame, 39).tobytes() == model.expected_purchases(frame, 39).tobytes()
    assert loaded.summary_.equals(model.summary_)
    spends = simulate.simulate_gamma_gamma({"p": 6.0, "q": 4.0, "v": 15.0}, frame["frequency"], seed=1)
    frame = frame.assign(monetary_value=spends["monetary_value"])
    spend = clv.SpendCovariateModel(["channel", "age"]).fit(frame)
    spend.save(tmp_path / "spend.json")
    again = load_model(tmp_path / "spend.json").conditional_expected_value(frame)
    assert again.tobytes() == spend.conditional_expected_value(frame).tobytes()


def test_scores_read_covariates_too(fitted):
    _, frame, model = fitted
    few = frame.iloc[:300].assign(customer_id=np.arange(300).astype(str), monetary_value=20.0)
    spend = clv.SpendCovariateModel(["channel"]).fit(few.assign(monetary_value=np.linspace(5, 40, 300)))
    scores = clv.score_customers(model, spend, few, as_of=DAY, horizon=39).to_pandas()
    assert scores["expected_orders"].to_numpy() == pytest.approx(model.expected_purchases(few, 39))
    assert (scores["value_low"] <= scores["value_high"]).all()


def test_models_with_covariates_stand_in_the_report():
    rng = np.random.default_rng(1)
    shop = rng.random(4000) < 0.4
    truth = {"r": 1.0, "alpha": np.where(shop, 3.0, 12.0), "s": 0.6, "beta": 20.0}
    frame = simulate.simulate_pareto_nbd(truth, 4000, T=26.0, seed=1, holdout=26.0).assign(shop=shop)
    with_it = CovariateModel("pareto_nbd", purchase=["shop"])
    report = clv.evaluate_models(frame, models=[with_it, "pareto_nbd"], duration=26.0)
    assert report.winner == "pareto_nbd_covariates"
    assert "purchase.shop" in report.reports["parameters"][0]
    assert not hasattr(with_it, "params_")


def test_nobody_leaves_and_the_model_says_so():
    frame = simulate.simulate_nbd({"r": 2.0, "alpha": 4.0}, 2000, T=52, seed=1)
    frame["club"] = np.arange(2000) % 2 == 0
    model = CovariateModel("bg_nbd", purchase=["club"], dropout={"a": ["club"]}).fit(frame)
    assert not model.identified_
    assert "NBD selected" in model.message_
    plain = CovariateModel("nbd", purchase=["club"]).fit(frame)
    assert model.expected_purchases(frame, 39) == pytest.approx(plain.expected_purchases(frame, 39), rel=1e-6)
    assert model.log_likelihood(frame) == pytest.approx(plain.log_likelihood_, rel=1e-10)


def test_a_level_that_never_buys_again_is_told():
    frame = _customers("pareto_nbd", 2000, seed=23)
    gone = frame["channel"].to_numpy() == "shop"
    frame.loc[gone, ["frequency", "recency"]] = 0
    model = CovariateModel("pareto_nbd", purchase=["channel"], base={"channel": "web"}).fit(frame)
    assert not model.identified_
    assert "purchase.channel[shop]" in model.message_
    assert "ridge" in model.message_
    assert CovariateModel("pareto_nbd", purchase=["channel"], ridge=1.0).fit(frame).identified_


class TestBadInput:
    frame = _customers("bg_nbd", 200, seed=29)

    def _fit(self, frame, **arguments):
        return CovariateModel("bg_nbd", purchase=["channel", "age"], **arguments).fit(frame)

    def test_a_covariate_missing_for_some_is_counted(self):
        holes = self.frame.assign(age=self.frame["age"].where(np.arange(200) >= 7))
        with pytest.raises(ContractError, match=r"'age' is missing for 7 of 200 customers"):
            self._fit(holes)
        names = self.frame.assign(channel=self.frame["channel"].where(np.arange(200) >= 3, None))
        with pytest.raises(ContractError, match=r"'channel' is missing for 3 of 200 customers"):
            self._fit(names)

    def test_or_is_a_level_of_its_own(self):
        frame = self.frame.assign(
            age=self.frame["age"].where(np.arange(200) % 9 > 0),
            channel=self.frame["channel"].where(np.arange(200) % 7 > 0, None),
        )
        model = self._fit(frame, missing="own_level", ridge=1.0)
        assert {"purchase.age[(missing)]", "purchase.channel[(missing)]"} <= set(model.coefficients_)
        assert np.isfinite(model.expected_purchases(frame, 39)).all()

    def test_constant_and_collinear_covariates_are_named(self):
        with pytest.raises(ModelError, match=r"'age' is np.float64\(4.0\)|'age' is 4.0"):
            self._fit(self.frame.assign(age=4.0))
        with pytest.raises(ModelError, match="'channel' is 'web' for every customer"):
            self._fit(self.frame.assign(channel="web"))
        twice = self.frame.assign(months=12 * self.frame["age"])
        with pytest.raises(ModelError, match="'age', 'months' are collinear"):
            CovariateModel("bg_nbd", purchase=["age", "months"]).fit(twice)

    def test_infinite_unknown_and_absent(self):
        with pytest.raises(ContractError, match="'age' is inf in row 0"):
            self._fit(self.frame.assign(age=np.where(np.arange(200) == 0, np.inf, self.frame["age"])))
        with pytest.raises(ContractError, match="no covariate 'channel'"):
            self._fit(self.frame.drop(columns="channel"))
        model = self._fit(self.frame)
        with pytest.raises(ContractError, match=r"level 'phone' for 200 customers.*has seen shop, web"):
            model.expected_purchases(self.frame.assign(channel="phone"), 39)
        with pytest.raises(ModelError, match="no level of 'channel'"):
            self._fit(self.frame, base={"channel": "wep"})
        with pytest.raises(ModelError, match="hold no covariates"):
            model.expected_purchases(clv.read_histories(self.frame), 39)

    def test_ids_and_dates_are_no_covariates_and_decimals_are_numbers(self):
        from decimal import Decimal

        many = pd.concat([self.frame, self.frame.iloc[:1]], ignore_index=True)
        with pytest.raises(ModelError, match=r"'code' has 201 levels"):
            CovariateModel("bg_nbd", purchase=["code"]).fit(many.assign(code=np.arange(201).astype(str)))
        with pytest.raises(ModelError, match="'joined' holds dates"):
            CovariateModel("bg_nbd", purchase=["joined"]).fit(self.frame.assign(joined=pd.Timestamp("2020-01-01")))
        plain = CovariateModel("bg_nbd", purchase=["age"]).fit(self.frame.assign(age=self.frame["age"].round(2)))
        money = self.frame.assign(age=[Decimal(f"{value:.2f}") for value in self.frame["age"]])
        assert CovariateModel("bg_nbd", purchase=["age"]).fit(money).params_ == plain.params_

    def test_arguments(self):
        with pytest.raises(ModelError, match="did you mean 'bg_nbd'"):
            CovariateModel("bg-nbd")
        with pytest.raises(ModelError, match="no dropout parameter 'b'"):
            CovariateModel("pareto_nbd", dropout={"b": ["age"]})
        with pytest.raises(ModelError, match="list of column names"):
            CovariateModel("pareto_nbd", purchase="age")
        with pytest.raises(ModelError, match="ridge is -1"):
            CovariateModel("pareto_nbd", ridge=-1)
        with pytest.raises(ModelError, match="equal names 'agee'"):
            self._fit(self.frame, equal=["agee"])
        with pytest.raises(ModelError, match=r"did you mean 'purchase\.age'"):
            self._fit(self.frame, equal=[("purchase.agee", "purchase.age")])
