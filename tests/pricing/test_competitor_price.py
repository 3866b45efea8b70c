"""A competitor's price as a covariate: histories in which it moves demand, and answers our own prices, truth known."""

import numpy as np
import pandas as pd
import pytest

from regulars import pricing
from regulars.sql.errors import ContractError, ModelError

CROSS = 0.9


def panel_with_competitor(seed: int, known: float = 1.0) -> tuple[pricing.SimulatedPrices, pd.DataFrame]:
    history = pricing.simulate_prices(items=12, stores=10, weeks=104, seed=seed)
    rng = np.random.default_rng(seed + 1000)
    ours = np.log(history.price / history.regular_price)
    shape = (12, 1, 104)
    promoted = np.where(rng.uniform(size=shape) < 0.25, -rng.uniform(0.05, 0.35, shape), 0.0)
    # he follows our discounts by six tenths, and has promotions of his own
    theirs = np.log(history.regular_price) + 0.6 * ours + promoted
    around = theirs - theirs.mean(axis=(1, 2), keepdims=True)
    units = rng.poisson(history.expected_demand() * np.exp(CROSS * around)).ravel()
    shown = np.where(rng.uniform(size=units.size) < known, np.exp(theirs).ravel(), np.nan)
    return history, history.frame().assign(units=units, competitor_price=shown).drop(columns="revenue")


@pytest.fixture(scope="module")
def drawn() -> tuple[pricing.SimulatedPrices, pd.DataFrame]:
    return panel_with_competitor(0)


def test_a_competitors_price_is_a_control_where_it_is_given(drawn):
    history, panel = drawn
    found = pricing.estimate_elasticities(panel, held_out=False)
    error = found.elasticity - history.own
    # 12 items: the mean error's own standard error is .05, and 90% intervals miss two or more at a chance of a third
    assert abs(error.mean()) < 0.15
    assert (np.abs(error) < 1.645 * found.standard_error).sum() >= 9
    # without it the competitor's answer is credited to our price: cross elasticity times how far he follows
    without = pricing.estimate_elasticities(panel.drop(columns="competitor_price"), held_out=False)
    assert (without.elasticity - history.own).mean() > CROSS * 0.6 - 0.15


def test_named_as_a_control_it_is_the_same(drawn):
    _, panel = drawn
    auto = pricing.estimate_elasticities(panel, held_out=False)
    named = pricing.estimate_elasticities(panel, controls=("promoted", "competitor_price"), held_out=False)
    assert named.elasticity.tolist() == auto.elasticity.tolist()
    left = pricing.estimate_elasticities(panel, controls=("promoted",), held_out=False)
    without = pricing.estimate_elasticities(panel.drop(columns="competitor_price"), held_out=False)
    assert left.elasticity.tolist() == without.elasticity.tolist()


def test_rows_without_it_are_left_out_and_counted():
    history, panel = panel_with_competitor(0, known=0.8)
    found = pricing.estimate_elasticities(panel, held_out=False)
    assert abs((found.elasticity - history.own).mean()) < 0.2
    assert found.table["observations"].sum() == panel["competitor_price"].notna().sum()
    (finding,) = [f for f in found.findings if f.code == "competitor_price_unknown"]
    assert "20% of rows" in str(finding)


def test_an_item_whose_competitor_is_hardly_known_keeps_its_rows(drawn):
    _, panel = drawn
    hidden = panel.assign(competitor_price=panel["competitor_price"].where(panel["item"] != "item_0003"))
    found = pricing.estimate_elasticities(hidden, held_out=False)
    assert found.table["observations"].tolist() == panel.groupby("item")["units"].size().tolist()
    assert np.isfinite(found.elasticity).all()


def test_the_curve_has_it_in_its_controls(drawn):
    history, panel = drawn
    some = panel[panel["store_id"] < "store_004"]
    curve = pricing.specification_curve(some, double_machine_learning=False)
    assert (curve.table["failed"] == "").all()
    of = curve.table.set_index("specification")
    assert of.loc["by item", "controls"] == "promoted, log_competitor_price"
    assert abs(curve.elasticity("two-way effects, controls") - history.own.mean()) < 0.25


def test_a_competitors_price_of_zero_is_refused(drawn):
    _, panel = drawn
    with pytest.raises(ContractError, match="competitor_price is 0 in 1 of"):
        pricing.estimate_elasticities(panel.assign(competitor_price=np.where(np.arange(len(panel)) == 7, 0.0, 1.0)))


def test_any_column_with_numbers_may_be_a_control(drawn):
    history, panel = drawn
    rng = np.random.default_rng(5)
    heat = rng.normal(size=104)[np.tile(np.arange(104), 120)] + rng.normal(size=len(panel))
    warmed = panel.assign(heat=heat, units=rng.poisson(panel["units"] * np.exp(0.3 * heat)))
    found = pricing.estimate_elasticities(warmed, controls=("promoted", "competitor_price", "heat"), held_out=False)
    assert abs((found.elasticity - history.own).mean()) < 0.15
    with pytest.raises(ModelError, match="control 'heet' is no column with numbers in the panel"):
        pricing.estimate_elasticities(warmed, controls=("heet",))


def test_it_is_also_a_bound_of_the_plan():
    items = {"item": ["tee"], "regular_price": [10.0], "on_hand": [90], "weekly_units": [2.0], "elasticity": [-2.0]}
    items |= {"competitor_price": [8.0]}
    plan = pricing.plan_markdowns(
        items, ladder=(0, 0.1, 0.2, 0.4, 0.5), weeks=3, rules=[pricing.CompetitorPrice(at_most=1.05, at_least=0.95)]
    )
    assert set(plan.prices["price"]) == {8.0}
