"""Rules that cannot all hold: the smallest set is named, and each part of it could be kept."""

from itertools import combinations, combinations_with_replacement, pairwise, product

import numpy as np
import pytest

from regulars.pricing import rules as r
from regulars.pricing.assortment import read_assortment
from regulars.pricing.conflict import RulesConflict, find_conflict
from regulars.pricing.markdown import find_rule_conflict, plan_markdowns

LADDER = (0.0, 0.1, 0.2, 0.3, 0.5)
WEEKS = 4


def shop(n: int = 1, **more: object) -> dict[str, object]:
    columns: dict[str, object] = {
        "item": [f"item {i}" for i in range(n)],
        "regular_price": [20.0] * n,
        "on_hand": [100.0] * n,
        "weekly_units": [10.0] * n,
        "elasticity": [-1.0] * n,
        "unit_cost": [12.0] * n,
        "group": ["a"] * n,
    }
    return columns | more


def conflict(rules, items=None):
    return find_rule_conflict(shop() if items is None else items, ladder=LADDER, weeks=WEEKS, rules=rules)


# 10 units a week at 20.00, 12.5 at 16.00, 20 at 10.00
NEEDLESS = [r.MinimumStep(0.1), r.MinWeeksBetween(1), r.MinimumOnHand(1), r.PriceEndings((0.0, 0.5))]


@pytest.mark.parametrize(
    "expected",
    [
        (r.SellThrough(0.9),),
        (r.SellThrough(0.6), r.MaxMarkdowns(0)),
        (r.SellThrough(0.6), r.MarginFloor(0.2)),
        (r.SellThrough(0.6), r.MaximumStep(0.2), r.MaxMarkdowns(1)),
        (r.SellThrough(0.6), r.MaximumStep(0.2), r.MaxMarkdowns(2), r.MinWeeksBetween(4)),
        (r.FixedPrice("item 0", 0, 0.5), r.FixedPrice("item 0", 1, 0.1)),
        (r.FixedPrice("item 0", 1, 0.3), r.DiscountTiers((0.1, 0.2))),
        (r.FixedPrice("item 0", 3, 0.3), r.NoTouch(near_end=4)),
    ],
)
def test_names_the_rules_that_conflict_and_no_other(expected):
    rules = [NEEDLESS[0], *expected, *NEEDLESS[1:]]
    if any(isinstance(rule, r.MinWeeksBetween) for rule in expected):
        rules = list(expected)
    found = conflict(rules)
    assert found is not None
    kinds = {type(rule) for rule in found.rules}
    # a smaller conflict among the same rules would be as good an answer
    assert kinds <= {type(rule) for rule in expected}
    assert found.smallest
    assert conflict(found.rules) is not None
    for size in range(len(found.rules)):
        for few in combinations(found.rules, size):
            assert conflict(few) is None
    if len(expected) < 4:
        assert set(found.rules) == set(expected)


def test_no_conflict_is_none():
    assert conflict(NEEDLESS) is None
    assert conflict([]) is None


def test_says_on_how_many_items():
    found = conflict([r.SellThrough(0.9, where={"group": "a"}), r.MaxMarkdowns(3)], shop(3, group=["b", "a", "a"]))
    assert found is not None
    assert found.items == ("item 1",)
    assert found.others == 1
    assert "1 more items" in str(found)


def test_a_price_ending_is_named_where_it_matters():
    # 11.99 leaves a loss on 12.00
    items = shop(unit_cost=[16.0])
    rules = [r.PriceEndings((0.99,)), r.MarginFloor(0.0), r.FixedPrice("item 0", 0, 0.2)]
    found = conflict(rules, items)
    assert found is not None
    assert set(found.rules) == set(rules)
    assert conflict(rules[1:], items) is None


def test_a_plan_that_cannot_be_says_which_rules():
    with pytest.raises(RulesConflict, match="these 2 rules cannot all hold for item 'item 0'") as caught:
        plan_markdowns(shop(), ladder=LADDER, weeks=WEEKS, rules=[r.SellThrough(0.6), r.MaxMarkdowns(0)])
    assert len(caught.value.conflict.rules) == 2


def test_budgets():
    # one item must give away (20 - 10) x 20 units x 4 weeks = 800 to sell 80%
    target = r.SellThrough(0.8)
    assert conflict([target, r.Budget(800.0)]) is None
    found = conflict([r.MaxMarkdowns(2), target, r.Budget(799.0), r.MinimumStep(0.1)])
    assert found is not None
    assert set(found.rules) == {target, r.Budget(799.0)}
    found = conflict([r.Budget(10.0, planned=20.0), target])
    assert found is not None
    assert found.rules == (r.Budget(10.0, planned=20.0),)
    two = shop(2)
    assert conflict([target, r.Budget(1600.0)], two) is None
    found = conflict([target, r.Budget(1599.0)], two)
    assert found is not None
    assert found.items == ("item 0", "item 1")


def test_groups():
    must = [r.FixedPrice("item 0", 1, 0.1), r.FixedPrice("item 1", 2, 0.2)]
    found = conflict([*must, r.AtMostOnePromoted(), r.MaxMarkdowns(3)], shop(2))
    assert found is not None
    assert set(found.rules) == {*must, r.AtMostOnePromoted()}
    assert conflict([*must, r.AllOrNothing()], shop(2)) is None
    rules = [r.FixedPrice("item 0", 1, 0.1), r.FixedPrice("item 1", 1, 0.0), r.AllOrNothing()]
    found = conflict(rules, shop(2))
    assert found is not None
    assert set(found.rules) == set(rules)
    # one item in a group has nobody to wait for
    assert conflict(rules, shop(2, group=["a", "b"])) is None
    # together they need more than the budget, alone neither does
    rules = [r.FixedPrice("item 0", 3, 0.1), r.AllOrNothing(), r.Budget(30.0)]
    found = conflict(rules, shop(2))
    assert found is not None
    assert set(found.rules) == set(rules)
    # 2.00 on 11.1 units each
    assert conflict([rules[0], rules[1], r.Budget(45.0)], shop(2)) is None


def test_the_search_for_a_conflict_is_of_the_assortment():
    case = read_assortment(shop(), LADDER, WEEKS, np.full((1, WEEKS), 10.0), r.Objective())
    found = find_conflict(case, [r.SellThrough(0.9)])
    assert found is not None
    assert str(found).startswith("SellThrough(share=0.9) cannot hold for item 'item 0'")


def test_the_smallest_set_over_all_items_is_named():
    # 50 of 90 units can go at most: the target alone, and no number of markdowns, is in the way of 'b'
    items = {"item": ["a", "b"], "regular_price": [10.0, 10], "on_hand": [30.0, 90], "weekly_units": [6.0, 6]}
    asked = {"ladder": (0, 0.2, 0.4), "weeks": 3, "rules": [r.SellThrough(0.8), r.MaxMarkdowns(0)]}
    found = find_rule_conflict(items | {"elasticity": [-2.0, -2]}, **asked)
    assert found is not None
    assert (found.rules, found.items, found.smallest) == ((r.SellThrough(0.8),), ("b",), True)
    # 3 weeks at 6 / .36 units of 90
    assert found.reachable == pytest.approx(3 * 6 / 0.36 / 90)
    assert "At most 55.6% of 'b' can be sold so" in str(found)


def every_path(items, i, depths, weeks, rules):
    """Money given away and weeks marked down of each falling path of an item that keeps its own rules."""
    for path in combinations_with_replacement(range(len(depths)), weeks):
        left, given, cuts = items["on_hand"][i], 0.0, [t for t in range(weeks) if path[t] != ((0, *path)[t])]
        for k in path:
            sold = min(left, items["weekly_units"][i] * (1 - depths[k]) ** items["elasticity"][i])
            left, given = left - sold, given + sold * items["regular_price"][i] * depths[k]
        kept = True
        for rule in rules:
            match rule:
                case r.MaxMarkdowns(count=count):
                    kept &= len(cuts) <= count
                case r.SellThrough(share=share):
                    kept &= items["on_hand"][i] - left >= share * items["on_hand"][i] - 1e-9
                case r.MinWeeksBetween(weeks=gap):
                    kept &= all(b - a >= gap for a, b in pairwise(cuts))
                case r.FixedPrice(item=name, week=week, discount=depth) if name == items["item"][i]:
                    kept &= depths[path[week]] == depth
        if kept:
            yield given, tuple(k > 0 for k in path)


def has_a_plan(items, depths, weeks, rules):
    each = [list(every_path(items, i, depths, weeks, rules)) for i in range(len(items["item"]))]
    for plan in product(*each):
        kept = True
        for rule in rules:
            if isinstance(rule, r.Budget):
                kept &= sum(given for given, _ in plan) <= rule.amount + 1e-9
            elif isinstance(rule, r.AllOrNothing | r.AtMostOnePromoted):
                for name in set(items["group"]):
                    down = [marked for (_, marked), group in zip(plan, items["group"], strict=True) if group == name]
                    for count in (sum(week) for week in zip(*down, strict=True)):
                        kept &= count in (0, len(down)) if isinstance(rule, r.AllOrNothing) else count <= 1
        if kept:
            return True
    return False


def test_no_smaller_set_conflicts_by_enumeration_of_all_plans():
    rng = np.random.default_rng(11)
    depths, named = (0.0, 0.2, 0.4), 0
    for _ in range(60):
        n, weeks = int(rng.integers(2, 4)), int(rng.integers(2, 4))
        items = {
            "item": [f"i{k}" for k in range(n)],
            "regular_price": np.round(rng.uniform(5, 40, n), 2).tolist(),
            "on_hand": rng.integers(10, 60, n).astype(float).tolist(),
            "weekly_units": np.round(rng.uniform(3, 12, n), 1).tolist(),
            "elasticity": np.round(rng.uniform(-3.5, -1.0, n), 2).tolist(),
            "group": [str(x) for x in rng.integers(0, 2, n)],
        }
        some = [
            r.Budget(float(np.round(rng.uniform(0, 60), 1))), r.AllOrNothing(), r.AtMostOnePromoted(),
            r.SellThrough(float(np.round(rng.uniform(0.3, 0.9), 2))), r.MaxMarkdowns(int(rng.integers(0, 2))),
            r.FixedPrice("i0", 1, 0.4), r.FixedPrice("i1", 0, 0.2), r.MinWeeksBetween(2),
        ]  # fmt: skip
        rules = [some[k] for k in rng.choice(len(some), int(rng.integers(2, 6)), replace=False)]
        found = find_rule_conflict(items, ladder=depths, weeks=weeks, rules=rules)
        assert (found is None) == has_a_plan(items, depths, weeks, rules)
        if found is not None:
            named += 1
            assert found.smallest
            assert not has_a_plan(items, depths, weeks, found.rules)
            for size in range(len(found.rules)):
                for few in combinations(rules, size):
                    assert has_a_plan(items, depths, weeks, few)
    assert named > 20
