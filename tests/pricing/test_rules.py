"""Each rule by its words: what it refuses to be, and what a plan under it does that one without it does not."""

import dataclasses
from datetime import date

import numpy as np
import pytest

from regulars.pricing import rules as r
from regulars.pricing.conflict import RulesConflict
from regulars.pricing.markdown import plan_markdowns

LADDER = (0.0, 0.1, 0.2, 0.3, 0.5)


def item(**more: object) -> dict[str, object]:
    """One overstocked item that wants to go to half its price at once."""
    columns: dict[str, object] = {
        "item": ["tee"],
        "regular_price": [20.0],
        "on_hand": [400.0],
        "weekly_units": [10.0],
        "elasticity": [-2.5],
        "unit_cost": [8.0],
        "group": ["a"],
    }
    return columns | {name: value if isinstance(value, list) else [value] for name, value in more.items()}


def prices(rules, *, weeks=4, ladder=LADDER, **more):
    plan = plan_markdowns(item(**more), ladder=ladder, weeks=weeks, rules=rules)
    assert plan.audit.violations == ()
    assert plan.gap == 0.0
    return plan.prices["price"].round(2).tolist()


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: r.Objective("profit"), "'revenue' or 'margin'"),
        (lambda: r.DiscountTiers((0.2, 20.0)), "share between 0 and 1"),
        (lambda: r.PriceEndings((99,)), r"lies in \[0, 1\)"),
        (lambda: r.PriceEndings(()), r"lies in \[0, 1\)"),
        (lambda: r.MinimumOnHand(-1), "0 or more"),
        (lambda: r.MinimumOnHand(float("nan")), "0 or more"),
        (lambda: r.SellThrough(1.2), "no more than the stock can be sold"),
        (lambda: r.SellThrough(0.5, by_week=0), "whole number, 1 or more"),
        (lambda: r.SellThrough(0.5, penalty=-1.0), "above 0"),
        (lambda: r.MaxMarkdowns(-1), "whole number, 0 or more"),
        (lambda: r.MaxMarkdowns(1.5), "whole number"),
        (lambda: r.MinWeeksBetween(0), "whole number, 1 or more"),
        (lambda: r.MinimumStep(10), "share between 0 and 1"),
        (lambda: r.MaximumStep(-0.1), "share between 0 and 1"),
        (lambda: r.MarginFloor(1.0), "below 1"),
        (lambda: r.CompetitorPrice(), "at_most, at_least or both"),
        (lambda: r.CompetitorPrice(at_most=0.8, at_least=0.9), "is above at_most"),
        (lambda: r.NoTouch(after_launch=-1), "0 or more"),
        (lambda: r.FixedPrice("tee", -1, 0.2), "0 or more"),
        (lambda: r.FixedPrice("tee", 0, 1.0), "share between 0 and 1"),
        (lambda: r.Budget(-5.0), "money, 0 or more"),
        (lambda: r.Budget(5.0, planned=-1.0), "money, 0 or more"),
        (lambda: r.Budget(5.0, weeks=(3, 1)), "first week"),
        (lambda: r.Budget(5.0, basis="stock"), "'sold' or 'on_hand'"),
    ],
)
def test_a_rule_that_makes_no_sense_says_so(make, told):
    with pytest.raises(r.RuleError, match=told):
        make()


def test_rules_are_values():
    rule = r.MaxMarkdowns(2, where={"category": "tees"})
    assert rule == r.MaxMarkdowns(2, where={"category": "tees"})
    assert len({rule, r.MaxMarkdowns(2, where={"category": "tees"})}) == 1
    assert str(rule) == "MaxMarkdowns(count=2, where={'category': 'tees'})"
    with pytest.raises(dataclasses.FrozenInstanceError):
        rule.count = 3  # type: ignore[misc]


def test_without_rules_an_overstocked_item_is_cut_at_once():
    assert prices([]) == [10.0, 10.0, 10.0, 10.0]


def test_stock_bought_for_the_season_is_not_cut():
    assert prices([], on_hand=40.0) == [20.0] * 4


def test_prices_fall_unless_they_may_rise():
    # demand in the second week pays any price
    units = np.ones((1, 2, 5)) * np.array([[[10, 10, 10, 20, 90], [30, 30, 30, 30, 30]]])
    asked = {"ladder": LADDER, "weeks": 2, "expected_units": units}
    falls = plan_markdowns(item(), **asked)
    rises = plan_markdowns(item(), rules=[r.PricesMayRise()], **asked)
    assert falls.prices["price"].tolist() == [10.0, 10.0]
    assert rises.prices["price"].tolist() == [10.0, 20.0]
    assert rises.objective == 10.0 * 90 + 20.0 * 30


def test_steps_markdowns_and_waiting():
    assert prices([r.MaximumStep(0.2)]) == [16.0, 14.0, 10.0, 10.0]
    assert prices([r.MaximumStep(0.2), r.MaxMarkdowns(2)]) == [16.0, 14.0, 14.0, 14.0]
    assert prices([r.MaximumStep(0.2), r.MinWeeksBetween(2)]) == [16.0, 16.0, 14.0, 14.0]
    # a step of 20 points at least leads from 20 to 16 or 14, then from 14 to 10
    assert prices([r.MaximumStep(0.3), r.MinimumStep(0.2)]) == [14.0, 10.0, 10.0, 10.0]
    assert prices([r.MinWeeksBetween(3)], weeks_since_change=1.0) == [20.0, 20.0, 10.0, 10.0]
    assert prices([r.MaxMarkdowns(0)]) == [20.0] * 4


def test_tiers_and_endings():
    assert prices([r.DiscountTiers((0.1, 0.3))]) == [14.0] * 4
    assert prices([r.PriceEndings((0.99,))]) == [9.99] * 4
    assert prices([r.PriceEndings((0.99,)), r.DiscountTiers((0.1, 0.3))]) == [13.99] * 4
    # the standing price keeps its ending
    assert prices([r.PriceEndings((0.99,)), r.MaxMarkdowns(0)], current_discount=0.3) == [14.0] * 4
    # 4.54 and 4.08 both end at 3.99: the tier of 50% is met by it
    asked = {"ladder": (0.0, 0.5, 0.55), "regular_price": 9.07, "unit_cost": 1.0}
    assert prices([r.PriceEndings((0.99,)), r.DiscountTiers((0.5,))], **asked) == [3.99] * 4
    assert prices([r.PriceEndings((0.99,)), r.FixedPrice("tee", 0, 0.5)], **asked) == [3.99] * 4
    # at 2.00 and 1.00 and 90% endings: 1.90, 0.90
    assert prices([r.PriceEndings((0.9,))], regular_price=2.0, unit_cost=0.1) == [0.9] * 4


def test_floors_and_bounds():
    # 8.00 of cost under 14.00 leaves 43%, under 16.00 half
    assert prices([r.MarginFloor(0.45)]) == [16.0] * 4
    assert prices([r.MarginFloor(0.40)]) == [14.0] * 4
    assert prices([r.MinimumAdvertisedPrice()], minimum_advertised_price=15.0) == [16.0] * 4
    assert prices([r.MinimumAdvertisedPrice()], minimum_advertised_price=float("nan")) == [10.0] * 4
    assert prices([r.CompetitorPrice(at_least=0.9)], competitor_price=17.0) == [16.0] * 4
    assert prices([r.CompetitorPrice(at_most=1.0)], competitor_price=17.0, on_hand=40.0) == [16.0] * 4


def test_no_touch():
    assert prices([r.NoTouch(after_launch=3)], age_weeks=1.0) == [20.0, 20.0, 10.0, 10.0]
    assert prices([r.NoTouch(near_end=3), r.MaximumStep(0.2)]) == [16.0] * 4
    assert prices([r.NoTouch(near_end=2), r.ExitDate(), r.MaximumStep(0.2)], exit_week=3.0) == [16.0] * 3


def test_exit_by_week_and_by_date():
    assert prices([r.ExitDate()], exit_week=2.0) == [10.0, 10.0]
    days = [date(2026, 11, 23), date(2026, 11, 30), date(2026, 12, 7)]
    assert prices([r.ExitDate("exit_on")], weeks=days, exit_on=np.datetime64("2026-12-01")) == [10.0, 10.0]
    assert prices([r.ExitDate("exit_on")], weeks=days, exit_on=date(2026, 12, 6)) == [10.0, 10.0]
    assert prices([r.ExitDate("exit_on")], weeks=days, exit_on=date(2027, 1, 1)) == [10.0] * 3


def test_minimum_on_hand_looks_at_the_weeks_own_stock():
    # at 20.00 ten units go a week: 105 at first, 95 in the second week
    rule = r.NoTouch(after_launch=1)
    assert prices([rule], age_weeks=0.0, on_hand=105.0) != [20.0] * 4
    assert prices([rule, r.MinimumOnHand(96)], age_weeks=0.0, on_hand=105.0) == [20.0] * 4
    assert prices([rule, r.MinimumOnHand(95)], age_weeks=0.0, on_hand=105.0) != [20.0] * 4


def test_sell_through_hard_and_soft():
    case = {"on_hand": 100.0, "elasticity": -0.5}
    assert prices([], **case) == [20.0] * 4
    # 10 a week at 20.00, 14.1 at 10.00: half of the stock by the end takes cuts
    hard = plan_markdowns(item(**case), ladder=LADDER, weeks=4, rules=[r.SellThrough(0.5)])
    assert hard.prices["units"].sum() >= 50.0
    assert hard.objective < plan_markdowns(item(**case), ladder=LADDER, weeks=4).objective
    soft = plan_markdowns(item(**case), ladder=LADDER, weeks=4, rules=[r.SellThrough(0.5, penalty=1e4)])
    assert soft.prices["price"].tolist() == hard.prices["price"].tolist()
    mild = plan_markdowns(item(**case), ladder=LADDER, weeks=4, rules=[r.SellThrough(0.5, penalty=1e-3)])
    assert mild.prices["price"].tolist() == [20.0] * 4
    # ten of the fifty are missing
    assert mild.objective == pytest.approx(800.0 - 10 * 1e-3, abs=1e-9)
    with pytest.raises(RulesConflict, match="SellThrough"):
        plan_markdowns(item(**case), ladder=LADDER, weeks=4, rules=[r.SellThrough(0.6)])
    early = plan_markdowns(item(**case), ladder=LADDER, weeks=4, rules=[r.SellThrough(0.25, by_week=2)])
    assert early.prices["units"][:2].sum() >= 25.0 > early.prices["units"][:2].sum() - 4


def test_objectives():
    def best(goal, salvage, **more):
        plan = plan_markdowns(item(**more), ladder=LADDER, weeks=1, objective=r.Objective(goal, salvage=salvage))
        return plan.prices["price"][0], plan.objective

    few = {"on_hand": 12.0, "salvage_value": 9.0}
    # at 10.00 all twelve go, at 20.00 ten, and two are salvaged
    assert best("revenue", True, **few) == (20.0, 10 * 20.0 + 2 * 9.0)
    assert best("revenue", False, **few)[0] == 18.0
    assert best("margin", True, **few) == (20.0, 10 * 12.0 + 2 * 1.0)
    # at 18.00 13 would be asked for; the margin of 12 is 120, as of ten at 20.00
    price, worth = best("margin", False, **few)
    assert worth == pytest.approx(120.0)
    assert price in (18.0, 20.0)


def test_a_rule_is_for_whom_it_says():
    two = {
        "item": ["tee", "cap"],
        "regular_price": [20.0, 20.0],
        "on_hand": [400.0, 400.0],
        "weekly_units": [10.0, 10.0],
        "elasticity": [-2.5, -2.5],
        "category": ["tees", "caps"],
    }
    plan = plan_markdowns(two, ladder=LADDER, weeks=1, rules=[r.MaxMarkdowns(0, where={"category": ("tees", "mugs")})])
    assert plan.prices["price"].tolist() == [20.0, 10.0]
    with pytest.raises(r.RuleError, match="no column 'kategory'"):
        plan_markdowns(two, ladder=LADDER, weeks=1, rules=[r.MaxMarkdowns(0, where={"kategory": "tees"})])


@pytest.mark.parametrize(
    ("rules", "more", "told"),
    [
        ([r.MarginFloor(0.1)], {"unit_cost": float("nan")}, "needs the column 'unit_cost'"),
        ([r.NoTouch(after_launch=2)], {}, "needs the column 'age_weeks'"),
        ([r.MinimumAdvertisedPrice("map")], {}, "no column 'map'"),
        ([r.CompetitorPrice(at_most=1.0)], {}, "no column 'competitor_price'"),
        ([r.ExitDate()], {}, "no column 'exit_week'"),
        ([r.ExitDate()], {"exit_week": date(2026, 12, 1)}, "give weeks= as first days"),
        ([r.PriceEndings((0.99,)), r.PriceEndings((0.49,))], {}, "two rules of price endings"),
        ([r.SellThrough(0.5, penalty=1.0), r.SellThrough(0.6, penalty=2.0)], {}, "another soft sell-through target"),
        ([r.SellThrough(0.5, by_week=9)], {}, "the plan has 4 weeks"),
        ([r.FixedPrice("tee", 9, 0.1)], {}, "the plan has 4 weeks"),
        ([r.FixedPrice("tee", 1, 0.15)], {}, "no rung of the item has this depth"),
        ([r.Budget(10.0, planned="planned_cost")], {}, "no column 'planned_cost'"),
        ([r.AllOrNothing("collection")], {}, "no column 'collection'"),
        ([r.SharedStock("group"), r.PricesMayRise()], {}, "they only fall"),
        ([r.SharedStock("group"), r.SellThrough(0.5)], {}, "there is none of its own"),
        ([r.SharedStock("group"), r.SharedStock("item")], {}, "shares stock by two rules"),
        (["two weeks"], {}, "one of the objects of regulars.pricing.rules"),
    ],
)
def test_a_rule_that_cannot_be_read_says_why(rules, more, told):
    with pytest.raises(r.RuleError, match=told):
        plan_markdowns(item(**more), ladder=LADDER, weeks=4, rules=rules)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: r.SellThrough("x"), "share is 'x'"),
        (lambda: r.SellThrough(None), "share is None"),
        (lambda: r.SellThrough(float("nan")), "share is nan"),
        (lambda: r.SellThrough(0.5, penalty="x"), "penalty is 'x'"),
        (lambda: r.MinimumStep(None), "share is None"),
        (lambda: r.MaximumStep("x"), "share is 'x'"),
        (lambda: r.MarginFloor("x"), "share is 'x'"),
        (lambda: r.MinimumOnHand(None), "units is None"),
        (lambda: r.Budget("x"), "amount is 'x'"),
        (lambda: r.Budget(None), "amount is None"),
        (lambda: r.Budget(5.0, planned=None), "planned is None"),
        (lambda: r.Budget(5.0, weeks=3), "weeks is 3"),
        (lambda: r.Budget(5.0, weeks=("a", 2)), "first week, and the week after"),
        (lambda: r.DiscountTiers(0.2), "tiers is 0.2"),
        (lambda: r.DiscountTiers(None), "tiers is None"),
        (lambda: r.DiscountTiers(()), r"tiers is \(\); it is one or more"),
        (lambda: r.DiscountTiers(("x",)), "a tier is 'x'"),
        (lambda: r.PriceEndings(0.99), "endings are 0.99"),
        (lambda: r.PriceEndings(("x",)), "an ending is 'x'"),
        (lambda: r.CompetitorPrice(at_most="x"), "at_most is 'x'"),
        (lambda: r.MaxMarkdowns("2"), "count is '2'"),
        (lambda: r.FixedPrice("tee", 0, "deep"), "discount is 'deep'"),
        (lambda: r.FixedPrice("tee", 1.7, 0.2), "week is 1.7"),
        (lambda: r.MaxMarkdowns(1, where="x"), "where is 'x'"),
        (lambda: r.MaxMarkdowns(1, where=None), "where is None"),
        (lambda: r.SharedStock(3), "by is 3"),
        (lambda: r.Objective("revenue", salvage="no"), "salvage is 'no'"),
    ],
)
def test_wrong_types_are_said(make, told):
    with pytest.raises(r.RuleError, match=told):
        make()


def test_numbers_of_numpy_are_numbers():
    assert r.MaxMarkdowns(np.int64(2)) == r.MaxMarkdowns(2)
    assert str(r.SellThrough(np.float64(0.5))) == "SellThrough(share=0.5)"
    with pytest.raises(r.RuleError, match=r"share is 1\.5; no more"):
        r.SellThrough(np.float64(1.5))


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ([r.Budget(0.0, where={"group": "xx"})], "no item is chosen by where=.*group has 'a'"),
        ([r.MaxMarkdowns(0, where={"item": ("x", "y")})], "no item is chosen by where="),
        ([r.DiscountTiers((0.2, 0.25))], "0.25 is no rung of the ladder; it has 0, 0.2, 0.5"),
        ([r.FixedPrice("zz", 0, 0.2)], "there is no item 'zz'"),
        ([r.Budget(5.0, planned="committed")], "committed of item 'tee' is -1000; what is planned is money"),
    ],
)
def test_rules_that_would_do_nothing_are_refused(rules, told):
    items = item(group=["a"], committed=[-1000.0])
    with pytest.raises(r.RuleError, match=told):
        plan_markdowns(items, ladder=(0, 0.2, 0.5), weeks=3, rules=rules)


def test_an_ending_may_carry_a_shallow_rung_past_the_standing_price():
    # 15.96 less 10% is 14.36, which ends at 13.99: below the 14.04 that stands
    items = {"item": ["tee"], "regular_price": [15.96], "on_hand": [40.0], "weekly_units": [9.0], "elasticity": [-2.0]}
    items["current_discount"] = [0.12]
    rules = [r.PriceEndings((0.99, 0.49))]
    plan = plan_markdowns(items, ladder=(0.1, 0.65), weeks=4, rules=rules)
    assert [round(price, 2) for price, _ in plan.rungs("tee")] == [13.99, 5.49]
    each = 9.0 * (13.99 / 15.96) ** -2.0
    assert plan.objective >= 13.99 * min(40.0, 4 * each) - 1e-9
    assert plan.check().violations == ()
