"""Markdown plans as users meet them: frames in and out, overrides, explanations, and input that cannot be planned."""

from datetime import date
from itertools import product

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from regulars.pricing import rules as r
from regulars.pricing.conflict import RulesConflict
from regulars.pricing.ladder import PlanError, build_ladder, checked_depths, lowered_to_ending
from regulars.pricing.markdown import plan_markdowns
from regulars.sql.errors import ContractError, ModelError

LADDER = (0.0, 0.1, 0.2, 0.3, 0.5)
WEEKS = 4


def shop(n: int = 5, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    weekly = np.round(rng.gamma(2, 5, n), 1)
    return pd.DataFrame(
        {
            "item": [f"item {i}" for i in range(n)],
            "regular_price": np.round(rng.uniform(10, 50, n), 2),
            "on_hand": np.round(weekly * WEEKS * rng.uniform(0.8, 3, n)),
            "weekly_units": weekly,
            "elasticity": -rng.uniform(1, 3.5, n),
            "unit_cost": 4.0,
            "group": [f"group {i % 2}" for i in range(n)],
        }
    )


def planned(items=None, **more):
    asked = {"ladder": LADDER, "weeks": WEEKS} | more
    return plan_markdowns(shop() if items is None else items, **asked)


# ---- frames --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame, pa.table])
def test_the_frame_out_is_of_the_kind_that_came_in(kind):
    given = kind(shop().to_dict("list"))
    prices = planned(given).prices
    assert type(prices) is type(given)
    columns = ["item", "week", "price", "discount", "units", "on_hand", "revenue", "changed"]
    assert list(nw.from_native(prices).columns) == columns
    assert len(prices) == 5 * WEEKS


def test_the_frame_adds_up():
    items = shop()
    frame = planned(items).prices.merge(items, on="item", suffixes=("", "_start"))
    np.testing.assert_allclose(frame["price"], frame["regular_price"] * (1 - frame["discount"]), rtol=1e-9)
    np.testing.assert_allclose(frame["revenue"], frame["price"] * frame["units"], rtol=1e-9)
    asked = frame["weekly_units"] * (1 - frame["discount"]) ** frame["elasticity"]
    np.testing.assert_allclose(frame["units"], np.minimum(asked, frame["on_hand"]), rtol=1e-9)
    sold = frame.groupby("item")["units"].cumsum() - frame["units"]
    np.testing.assert_allclose(frame["on_hand"], frame["on_hand_start"] - sold, atol=1e-9)
    assert planned(items).objective == pytest.approx(frame["revenue"].sum(), rel=1e-12)


def test_weeks_may_be_dates():
    days = [date(2026, 11, 23), date(2026, 11, 30)]
    assert planned(weeks=days).prices["week"].tolist() == days * 5


def test_the_same_plan_whatever_the_order_of_the_items_and_a_plan_of_none():
    items = shop(20)
    one, other = planned(items), planned(items[::-1])
    a, b = (plan.prices.sort_values(["item", "week"]).reset_index(drop=True) for plan in (one, other))
    pd.testing.assert_frame_equal(a, b)
    assert len(planned(items[:0]).prices) == 0


def test_expected_units_by_week_and_by_rung_say_the_same():
    items = shop()
    units = np.outer(items["weekly_units"], [1.0, 0.9, 0.8, 0.7])
    lift = (1 - np.array(LADDER)) ** items["elasticity"].to_numpy()[:, None]
    by_week = planned(items, expected_units=units)
    by_rung = planned(items, expected_units=units[:, :, None] * lift[:, None, :])
    pd.testing.assert_frame_equal(by_week.prices, by_rung.prices)
    assert by_week.objective == pytest.approx(by_rung.objective, rel=1e-12)


# ---- overrides -----------------------------------------------------------------------------------------------------


def test_an_override_stands_and_the_rest_is_planned_anew():
    plan = planned(rules=[r.MaxMarkdowns(2)])
    was = plan.prices.set_index(["item", "week"])["discount"]
    other = plan.override({("item 1", 1): 0.3})
    now = other.prices.set_index(["item", "week"])["discount"]
    assert now["item 1", 1] == pytest.approx(0.3)
    assert other.objective <= plan.objective
    assert other.check().violations == ()
    same = [name for name in was.index if name[0] != "item 1"]
    pd.testing.assert_series_equal(was[same], now[same])
    # the best of all paths through the price set by hand
    alone = planned(shop()[1:2], rules=[r.MaxMarkdowns(2), r.FixedPrice("item 1", 1, 0.3)])
    np.testing.assert_allclose(now["item 1"], alone.prices["discount"])
    # a later word on the same week replaces the earlier
    again = other.override({("item 1", 1): 0.2, ("item 0", 3): 0.5})
    assert again.prices.set_index(["item", "week"])["discount"]["item 1", 1] == pytest.approx(0.2)


def test_an_override_with_a_budget_moves_the_others():
    rule = r.Budget(150.0)
    plan = planned(rules=[rule])
    other = plan.override({("item 0", 3): 0.1})
    assert other.check().violations == ()
    assert other.gap < 0.05
    assert list(other.budget_worth) == [rule]


def test_an_override_that_breaks_a_rule_names_both():
    plan = planned(rules=[r.MaxMarkdowns(0)])
    with pytest.raises(RulesConflict) as caught:
        plan.override({("item 2", 0): 0.2})
    assert set(caught.value.conflict.rules) == {r.MaxMarkdowns(0), r.FixedPrice("item 2", 0, 0.2)}
    with pytest.raises(PlanError, match="no item 'item 9'"):
        plan.override({("item 9", 0): 0.2})
    with pytest.raises(r.RuleError, match="no rung of the item"):
        plan.override({("item 2", 0): 0.25})


# ---- explanations --------------------------------------------------------------------------------------------------


def test_one_more_unit_is_worth_what_a_plan_with_it_earns_more():
    items = shop()
    plan = planned(items, rules=[r.MaxMarkdowns(1)])
    for i, name in enumerate(items["item"]):
        more = items.assign(on_hand=items["on_hand"] + (np.arange(5) == i))
        true = planned(more, rules=[r.MaxMarkdowns(1)]).objective - plan.objective
        assert plan.explain(name).unit_worth == pytest.approx(true, abs=1e-6)


def test_the_next_rungs_are_worth_what_an_override_says():
    rules = [r.MaxMarkdowns(2), r.MinWeeksBetween(2)]
    plan = planned(rules=rules)
    table = plan.prices.set_index(["item", "week"])
    seen = 0
    for name in ("item 0", "item 3"):
        told = plan.explain(name)
        for week, side in product(told.weeks, ("up", "down")):
            neighbour = getattr(week, side)
            if neighbour is None:
                continue
            depth = 1 - neighbour.price / table["price"][name, 0] * (1 - table["discount"][name, 0])
            before = {(name, t): float(table["discount"][name, t]) for t in range(week.week)}
            try:
                true = plan.override(before | {(name, week.week): float(depth)}).objective - plan.objective
            except RulesConflict as error:
                assert neighbour.forbidden_by
                # what it names is in the conflict, unless prices would have to rise, which no rule says
                named = {str(rule) for rule in error.conflict.rules}
                assert set(neighbour.forbidden_by) & (named | {"prices only fall"})
                continue
            assert neighbour.worth == pytest.approx(true, abs=1e-6)
            assert neighbour.worth <= 1e-9
            seen += 1
    assert seen >= 4


def test_the_binding_rule_is_the_one_that_costs_most():
    items = shop(1).assign(on_hand=500.0, elasticity=-3.0)
    rules = [r.MaxMarkdowns(2), r.MarginFloor(0.0), r.CompetitorPrice(at_least=0.8)]
    items["competitor_price"] = items["regular_price"]
    told = planned(items, rules=rules).explain("item 0")
    assert told.binding_rule == str(rules[2])
    assert list(told.rule_costs) == [str(rules[2])]
    without = planned(items, rules=rules[:2]).objective - planned(items, rules=rules).objective
    assert told.rule_costs[told.binding_rule] == pytest.approx(without, rel=1e-9)
    down = told.weeks[0].down
    assert down is not None
    assert down.forbidden_by == (str(rules[2]),)
    assert "is forbidden by CompetitorPrice" in str(told)
    assert planned(shop(1), rules=[]).explain("item 0").binding_rule == ""


def test_what_is_shared_is_explained_at_its_price():
    items = shop(40)
    rule = r.Budget(600.0)
    plan = planned(items, rules=[rule])
    told = plan.explain("item 7")
    assert told.budget_worth == {str(rule): plan.budget_worth[rule]}
    assert plan.budget_worth[rule] > 0.0
    assert "A unit of money in Budget(amount=600.0" in str(told)
    shared = items.assign(product=[f"p{i % 20}" for i in range(40)])
    told = planned(shared, rules=[r.SharedStock()]).explain("item 7")
    assert told.unit_worth >= 0.0
    with pytest.raises(PlanError, match="no item 'nobody'"):
        plan.explain("nobody")


# ---- what cannot be planned ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("regular_price", np.nan, "regular_price of 'item 2' is .*nan.*it is missing"),
        ("regular_price", 0.0, "it must be above 0"),
        ("regular_price", -3.0, "it must be above 0"),
        ("on_hand", -1.0, "stock cannot be negative"),
        ("on_hand", np.nan, "needs the stock it sells from"),
        ("current_discount", 1.2, r"it is a depth in \[0, 1\)"),
        ("weekly_units", -2.0, "it is 0 or more"),
        ("weekly_units", np.nan, "needs 'weekly_units', which is missing for 'item 2'"),
        ("elasticity", 0.4, "demand that rises with its price"),
        ("elasticity", np.nan, "needs 'elasticity', which is missing for 'item 2'"),
        ("elasticity", -np.inf, "it must be finite"),
        ("unit_cost", -1.0, "it is 0 or more"),
    ],
)
def test_an_item_that_cannot_be_planned_is_named(column, value, told):
    items = shop().assign(current_discount=0.0)
    items.loc[2, column] = value
    with pytest.raises(PlanError, match=told):
        planned(items)


@pytest.mark.parametrize(
    ("ladder", "told"),
    [
        ((0.2, 0.0), "sort it from shallow to deep"),
        ((0.0, 0.2, 0.2), "each rung once"),
        ((0.0, 0.2, 1.0), "below 100%"),
        ((0, 20, 50), "Give shares, not per cent"),
        ((0.0, -0.2), "ladder holds -0.2"),
        ((0.0, float("nan")), "missing value"),
        ((), "it is a list of depths"),
        (np.zeros((2, 3)), r"one row of depths per item \(5\)"),
        (np.linspace(0, 0.9, 80), "at most 62"),
    ],
)
def test_a_ladder_that_is_none_says_why(ladder, told):
    with pytest.raises(PlanError, match=told):
        planned(ladder=ladder)


def test_other_input_that_cannot_be():
    items = shop()
    with pytest.raises(PlanError, match="no column 'on_hand'"):
        planned(items.drop(columns="on_hand"))
    with pytest.raises(PlanError, match="'item 1' stands there twice"):
        planned(items.assign(item=["item 0", "item 1", "item 1", "item 3", "item 4"]))
    with pytest.raises(PlanError, match="item is missing"):
        planned(items.assign(item=["item 0", None, "item 2", "item 3", "item 4"]))
    with pytest.raises(PlanError, match="holds something that is no number"):
        planned(items.assign(on_hand=["a few"] * 5))
    with pytest.raises(ContractError, match="items is a pandas, Polars or Arrow frame"):
        planned([1, 2])
    with pytest.raises(PlanError, match="plan at least 1"):
        planned(weeks=0)
    with pytest.raises(PlanError, match="one date after another"):
        planned(weeks=[date(2026, 11, 30), date(2026, 11, 23)])
    with pytest.raises(PlanError, match=r"expected_units has shape \(5, 2\)"):
        planned(expected_units=np.ones((5, 2)))
    with pytest.raises(PlanError, match=r"of 'item 3' in week 1 are -1.0"):
        planned(expected_units=np.where(np.arange(20).reshape(5, 4) == 13, -1.0, 1.0))
    with pytest.raises(PlanError, match="a plan for margin needs the column 'unit_cost'"):
        planned(items.drop(columns="unit_cost"), objective=r.Objective("margin"))
    with pytest.raises(PlanError, match=r"exits .* before the plan starts"):
        planned(items.assign(exit_week=[4.0, 0.0, 3.0, 2.0, np.nan]), rules=[r.ExitDate()])
    with pytest.raises(RulesConflict, match="SellThrough"):
        planned(items.assign(on_hand=1e6), rules=[r.SellThrough(0.9)])
    with pytest.raises(PlanError, match="which is no rung, and expected_units are given by rung"):
        planned(items.assign(current_discount=0.15), expected_units=np.ones((5, WEEKS, 5)))
    assert issubclass(PlanError, ModelError)


def test_a_standing_price_off_the_ladder_may_stay():
    items = shop().assign(current_discount=[0.0, 0.15, 0.25, 0.05, 0.6])
    rules = [r.MaxMarkdowns(0)]
    discounts = planned(items, rules=rules).prices.groupby("item")["discount"].first()
    np.testing.assert_allclose(discounts, items["current_discount"], atol=1e-9)


# ---- the ladder ----------------------------------------------------------------------------------------------------


def test_ladders_fall_whatever_the_endings():
    rng = np.random.default_rng(0)
    for _ in range(200):
        n, rungs = 4, int(rng.integers(1, 8))
        depths = np.sort(rng.choice(np.arange(0, 90), (n, rungs), replace=rungs > 80), axis=1) / 100.0
        depths = checked_depths(np.unique(depths[0]), n)
        regular = np.round(rng.uniform(0.5, 30, n), 2)
        standing = np.where(rng.uniform(size=n) < 0.5, depths[:, 0], rng.uniform(0, 0.9, n))
        ladder = build_ladder(depths, regular, standing, [(0.99, 0.49)] * n)
        for i in range(n):
            price = ladder.price[i][ladder.exists[i]]
            assert (np.diff(price) < 0).all()
            assert (price > 0).all()
            assert ladder.exists[i, ladder.start[i]]
            assert ladder.price[i, ladder.start[i]] == pytest.approx(regular[i] * (1 - standing[i]))


def test_an_ending_is_never_above_the_price():
    price = np.linspace(0.5, 40, 1000)
    lowered = lowered_to_ending(price, (0.99, 0.5))
    there = lowered > 0
    assert (lowered[there] <= price[there] + 1e-6).all()
    assert (lowered[there] > price[there] - 0.52).all()


def test_currencies_are_not_added_up():
    items = {**one_item(), "currency": ["GBP"]}
    two = {name: [*values, *values] for name, values in items.items()} | {
        "item": ["a", "b"],
        "currency": ["GBP", "EUR"],
    }
    assert plan_markdowns(items, ladder=(0, 0.2), weeks=2).gap == 0.0
    with pytest.raises(PlanError, match="priced in EUR and GBP"):
        plan_markdowns(two, ladder=(0, 0.2), weeks=2)


def one_item(**more):
    columns = {"item": ["tee"], "regular_price": [10.0], "on_hand": [52.0], "weekly_units": [4.0], "elasticity": [-2.0]}
    return columns | more


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"ladder": (0, "x")}, "ladder is"),
        ({"weeks": [None, None]}, "weeks"),
        ({"rules": None}, "rules is None"),
        ({"rules": r.MaxMarkdowns(1)}, "rules is MaxMarkdowns"),
        ({"objective": "margin"}, "objective is 'margin'"),
        ({"expected_units": "x"}, "expected_units is 'x'"),
        ({"gap": float("nan")}, "gap is nan"),
        ({"gap": -1}, "gap is -1"),
        ({"gap": "x"}, "gap is 'x'"),
        ({"items": one_item(item=[("a", 1)])}, "a name is text or a number"),
        ({"items": one_item(on_hand=[5.0, 6.0])}, "differ in length|same length|of unequal|length"),
        ({"items": one_item(on_hand=[float("inf")])}, "on_hand of 'tee' is inf; it must be finite"),
        ({"items": one_item(regular_price=[0.0])}, "regular_price of 'tee' is 0.0; it must be above 0"),
        ({"items": one_item(weeks_since_change=[float("inf")])}, "weeks_since_change of 'tee' is inf"),
        ({"items": one_item(exit_week=[float("inf")]), "rules": [r.ExitDate()]}, "exit_week is inf"),
    ],
)
def test_what_cannot_be_planned_with_is_said(given, told):
    asked = {"items": one_item(), "ladder": (0, 0.2), "weeks": 2} | given
    with pytest.raises(ModelError, match=told):
        plan_markdowns(asked.pop("items"), **asked)


@pytest.mark.parametrize(
    ("prices", "told"),
    [
        (None, "prices is None"),
        ("x", "prices is 'x'"),
        ({"tee": 0.2}, "each key is"),
        ({("tee", 1.7): 0.2}, "week is 1.7"),
        ({("tee", 1): "x"}, "discount is 'x'"),
        ({("tee", 9): 0.2}, "the plan has 2 weeks"),
        ({("mug", 0): 0.2}, "no item 'mug'"),
    ],
)
def test_overrides_that_make_no_sense_are_said(prices, told):
    plan = plan_markdowns(one_item(), ladder=(0, 0.2), weeks=2)
    with pytest.raises(ModelError, match=told):
        plan.override(prices)
    assert plan.override({("tee", np.int64(1)): np.float64(0.2)}).prices["discount"].tolist()[1] == pytest.approx(0.2)


@pytest.mark.parametrize("rules", [[], [r.SellThrough(0.8)], [r.SellThrough(0.8, penalty=2.0)], [r.MaxMarkdowns(1)]])
def test_one_more_unit_is_worth_what_planning_with_it_brings(rules):
    asked = {"ladder": (0, 0.1, 0.3, 0.5, 0.7), "weeks": 3, "rules": rules}
    plan, more = (plan_markdowns(one_item(on_hand=[n]), **asked) for n in (52.0, 53.0))
    assert plan.explain("tee").unit_worth == pytest.approx(more.objective - plan.objective, abs=1e-9)
    if rules == [r.SellThrough(0.8)]:
        # all that the deepest price can sell in 3 weeks: with one unit more the target is out of reach
        full = plan_markdowns(one_item(on_hand=[3 * 4 / 0.3**2]), **asked | {"rules": [r.SellThrough(1.0)]})
        assert np.isnan(full.explain("tee").unit_worth)
