"""Customers on their first day: what they then do lies where it was said, and better than a mean for all."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from regulars.clv import ColdStartModel, load_model, order_distribution
from regulars.clv.calibration import central_share, randomized_pit
from regulars.clv.simulate import simulate_pareto_nbd
from regulars.sql.errors import ContractError, ModelError

P, Q, V = 6.25, 3.74, 15.44


def _world(n: int, seed: int, *, new: bool) -> pd.DataFrame:
    """Customers of two channels; who spends much at first comes more often and spends more later."""
    rng = np.random.default_rng(seed)
    shop = rng.random(n) < 0.4
    own = rng.gamma(Q, 1 / V, n)
    first = np.exp(3.0 + 0.6 * rng.standard_normal(n))
    basket = np.log(first) - 3.0
    ages = np.zeros(n) if new else rng.integers(20, 104, n).astype(float)
    truth = {"r": 0.8, "alpha": 8 * np.exp(-0.5 * shop - 0.4 * basket), "s": 0.6, "beta": 20 * np.exp(0.4 * shop)}
    frame = simulate_pareto_nbd(truth, n, ages, seed=seed + 1, holdout=52.0)
    level = np.exp(0.3 * shop + 0.7 * basket)
    x, later = frame["frequency"].to_numpy(), frame["frequency_holdout"].to_numpy()
    frame["monetary_value"] = np.where(x > 0, level * rng.gamma(P * np.maximum(x, 1)) / own / np.maximum(x, 1), 0.0)
    frame["spent"] = np.where(later > 0, level * rng.gamma(P * np.maximum(later, 1)) / own, 0.0)
    return frame.assign(channel=np.where(shop, "shop", "web"), first_order_revenue=first)


@pytest.fixture(scope="module")
def fitted():
    model = ColdStartModel("pareto_nbd", purchase=["channel"], dropout=["channel"], spend=["channel"])
    return model.fit(_world(8000, 1, new=False)), _world(2500, 50, new=True)


def test_what_new_customers_do_lies_where_it_was_said(fitted):
    model, new = fitted
    found = model.predict(new, horizon=52, level=0.9, discount_rate=0)
    frame = model._with_basket(new, own_level=False) | dict.fromkeys(("frequency", "recency", "T"), np.zeros(len(new)))
    pmf = order_distribution(model.orders_, model.orders_.histories(frame), 52)
    pit = randomized_pit(pmf, new["frequency_holdout"].to_numpy(), seed=1)
    assert 0.87 < central_share(pit, 0.9) < 0.93
    assert found["expected_orders"].sum() == pytest.approx(new["frequency_holdout"].sum(), rel=0.08)
    assert found["customer_value"].sum() == pytest.approx(new["spent"].sum(), rel=0.12)
    inside = (new["spent"] >= found["value_low"]) & (new["spent"] <= found["value_high"])
    assert inside[found["probability_no_order"] < 0.9].mean() == pytest.approx(0.9, abs=0.03)


def test_the_first_basket_and_covariates_tell_customers_apart(fitted):
    model, new = fitted
    value = model.predict(new, horizon=52, discount_rate=0)["customer_value"]
    spent = new["spent"]
    error = ((value - spent) ** 2).mean()
    assert error < 0.97 * ((value.mean() - spent) ** 2).mean()
    tenth = pd.qcut(value, 10, labels=False)
    by_tenth = spent.groupby(tenth).sum() / spent.sum()
    assert by_tenth[9] > 3 * by_tenth[0]


def test_frames_come_back_as_they_came_and_models_from_disk(fitted, tmp_path):
    model, new = fitted
    few = new.iloc[:5].assign(customer_id=list("abcde"))[["customer_id", "channel", "first_order_revenue"]]
    found = model.predict(pl.from_pandas(few), horizon=26)
    assert isinstance(found, pl.DataFrame)
    assert found["customer_id"].to_list() == list("abcde")
    model.save(tmp_path / "cold.json")
    assert load_model(tmp_path / "cold.json").predict(few, horizon=26).equals(model.predict(few, horizon=26))


def test_without_anything_known_all_new_customers_are_alike(fitted):
    base = _world(2000, 9, new=False)
    model = ColdStartModel("pareto_nbd", first_basket=False).fit(base)
    found = model.predict(pd.DataFrame({"customer_id": ["a", "b"]}), horizon=52)
    assert found["customer_value"][0] == found["customer_value"][1]
    assert found["expected_orders"][0] == pytest.approx(float(model.orders_.expected_purchases_new(52.0)))


def test_bad_input(fitted):
    model, new = fitted
    with pytest.raises(ContractError, match="level 'phone'"):
        model.predict(new.iloc[:3].assign(channel="phone"))
    with pytest.raises(ContractError, match="first_order_revenue is 0, negative or missing for 2 of 3"):
        model.predict(new.iloc[:3].assign(first_order_revenue=[0.0, -4.0, 10.0]))
    with pytest.raises(ContractError, match="first_order_revenue"):
        model.predict(new.iloc[:3].drop(columns="first_order_revenue"))
    with pytest.raises(ModelError, match="no covariate of orders or of spend"):
        ColdStartModel(purchase=["channel"], base={"chanel": "web"})
    with pytest.raises(ModelError, match="not fitted"):
        ColdStartModel().predict(new)


def test_a_wholesale_first_order_counts_as_the_largest_that_the_fit_has_seen(fitted, tmp_path):
    model, new = fitted
    least, largest = model.first_baskets_
    few = new.iloc[:1].reset_index(drop=True)
    model.save(tmp_path / "cold.json")
    for one in (model, load_model(tmp_path / "cold.json")):
        at_most = one.predict(few.assign(first_order_revenue=largest))
        for huge in (1e5, 1e300):
            assert one.predict(few.assign(first_order_revenue=huge)).equals(at_most)
        at_least = one.predict(few.assign(first_order_revenue=least))
        assert one.predict(few.assign(first_order_revenue=1e-300)).equals(at_least)
    with pytest.raises(ContractError, match="first_order_revenue is infinite in row 0"):
        model.predict(few.assign(first_order_revenue=np.inf))


def test_covariates_that_make_a_customer_buy_more_than_once_a_day_are_refused():
    base = _world(2000, 11, new=False)
    base["visits"] = np.log(base["first_order_revenue"])
    model = ColdStartModel("pareto_nbd", purchase=["visits"], first_basket=False).fit(base)
    assert model.orders_.coefficients_["purchase.visits"] > 0.2
    with pytest.raises(ModelError, match=r"row 1 would buy .* times in 52 weeks, more than once a day"):
        model.predict(pd.DataFrame({"visits": [3.0, 40.0]}))


def test_no_new_customers_have_no_scores(fitted):
    model, new = fitted
    found = model.predict(new.iloc[:0])
    assert len(found) == 0
    assert "customer_value" in found
