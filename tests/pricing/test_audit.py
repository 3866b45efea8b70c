"""The independent checker: it names each broken rule, passes what keeps them, and finds nothing in drawn plans."""

import ast
import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import regulars
from regulars.pricing import rules as r
from regulars.pricing.assortment import read_assortment
from regulars.pricing.audit import audit_prices

ROOT = Path(regulars.__file__).parent
LADDER = (0.0, 0.1, 0.25, 0.5)
FULL, NONE = 20.0, float("nan")


@pytest.fixture(scope="module")
def rule_sets() -> Iterator[ModuleType]:
    spec = spec_from_file_location("bench_rule_sets", ROOT / "bench" / "rule_sets.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def audit(rules, *prices, units=None, **more):
    n, weeks = len(prices), len(prices[0])
    items = {
        "item": [f"item {i}" for i in range(n)],
        "regular_price": [FULL] * n,
        "on_hand": [100.0] * n,
        "weekly_units": [10.0] * n,
        "elasticity": [-1.0] * n,
        "unit_cost": [12.0] * n,
        "group": ["a"] * n,
        "product": ["p"] * n,
    }
    case = read_assortment(items | more, LADDER, weeks, None, r.Objective(more.get("goal", "revenue")))
    return audit_prices(case, rules, np.array(prices), None if units is None else np.array(units, dtype=float))


# 10 units go at 20.00, 11.1 at 18.00, 13.3 at 15.00, 20 at 10.00
KEPT_AND_BROKEN = [
    ([], {}, [[20, 18, 10]], [[18, 20, 20]]),
    ([], {}, [[20, 18, 10]], [[20, 17, 10]]),
    ([], {}, [[20, 18, 10]], [[20, NONE, 10]]),
    ([r.PricesMayRise()], {}, [[18, 20, 20]], [[18, 19, 20]]),
    ([r.ExitDate()], {"exit_week": [2.0]}, [[20, 18, NONE]], [[20, 18, 18]]),
    ([r.ExitDate()], {"exit_week": [2.0]}, [[20, 18, NONE]], [[20, NONE, NONE]]),
    ([r.DiscountTiers((0.25,))], {}, [[20, 15, 15]], [[20, 18, 15]]),
    ([r.PriceEndings((0.99,))], {}, [[20, 17.99, 9.99]], [[20, 18, 9.99]]),
    ([r.MinimumOnHand(85)], {}, [[20, 18, 18]], [[20, 20, 18]]),
    ([r.SellThrough(0.4)], {}, [[15, 15, 15]], [[18, 18, 18]]),
    ([r.SellThrough(0.2, by_week=1)], {}, [[10, 10, 10]], [[15, 10, 10]]),
    ([r.MaxMarkdowns(1)], {}, [[20, 15, 15]], [[20, 18, 15]]),
    ([r.MinWeeksBetween(2)], {}, [[18, 18, 15]], [[20, 18, 15]]),
    ([r.MinWeeksBetween(2)], {"weeks_since_change": [1.0]}, [[20, 18, 18]], [[18, 18, 18]]),
    ([r.MinimumStep(0.2)], {}, [[20, 15, 10]], [[18, 18, 10]]),
    ([r.MaximumStep(0.2)], {}, [[18, 15, 15]], [[15, 15, 15]]),
    ([r.MarginFloor(0.2)], {}, [[18, 15, 15]], [[20, 20, 10]]),
    ([r.MinimumAdvertisedPrice()], {"minimum_advertised_price": [15.0]}, [[20, 15, 15]], [[20, 15, 10]]),
    ([r.CompetitorPrice(at_most=1.0)], {"competitor_price": [18.5]}, [[18, 18, 15]], [[20, 18, 15]]),
    ([r.CompetitorPrice(at_least=0.9)], {"competitor_price": [18.5]}, [[20, 18, 18]], [[20, 18, 15]]),
    ([r.NoTouch(near_end=1)], {}, [[20, 18, 18]], [[20, 18, 15]]),
    ([r.NoTouch(after_launch=2)], {"age_weeks": [1.0]}, [[20, 18, 15]], [[18, 18, 15]]),
    ([r.FixedPrice("item 0", 1, 0.1)], {}, [[20, 18, 15]], [[20, 20, 15]]),
    # 2.00 on 11.1 units twice is 44.4 given away; a cut of 2.00 with 90 on hand writes off 180
    ([r.Budget(45.0)], {}, [[20, 18, 18]], [[18, 18, 18]]),
    ([r.Budget(45.0, planned=20.0)], {}, [[20, 20, 18]], [[20, 18, 18]]),
    ([r.Budget(0.0, weeks=(0, 2))], {}, [[20, 20, 10]], [[20, 18, 10]]),
    ([r.Budget(181.0, basis="on_hand")], {}, [[20, 18, 18]], [[18, 18, 18]]),
    ([r.AllOrNothing()], {}, [[20, 18, 18], [20, 10, 10]], [[20, 18, 18], [20, 20, 10]]),
    ([r.AtMostOnePromoted()], {}, [[20, 18, 18], [20, 20, 20]], [[20, 18, 18], [20, 20, 10]]),
]


@pytest.mark.parametrize(("rules", "more", "kept", "broken"), KEPT_AND_BROKEN)
def test_names_what_is_broken_and_passes_what_is_kept(rules, more, kept, broken):
    assert audit(rules, *kept, **more).violations == ()
    found = audit(rules, *broken, **more).violations
    assert len(found) == 1
    assert "item 0" in found[0].items
    if rules and not isinstance(rules[0], r.PricesMayRise | r.ExitDate):
        assert found[0].rule == str(rules[0])
    assert "allowed: " in str(found[0])


def test_a_soft_target_costs_and_breaks_nothing():
    found = audit([r.SellThrough(0.4, penalty=2.0)], [20, 20, 20])
    assert found.violations == ()
    assert found.objective == pytest.approx(20.0 * 30 - 2.0 * 10)


def test_sales_must_follow_demand_and_stock():
    assert audit([], [20, 20], units=[[10, 10]]).violations == ()
    (found,) = audit([], [20, 20], units=[[10, 11]]).violations
    assert found.week == 1
    assert audit([], [20, 20], units=[[10, 5]], on_hand=[15.0]).violations == ()
    assert len(audit([], [20, 20], units=[[10, 10]], on_hand=[15.0]).violations) == 1


def test_shared_stock_is_sold_once():
    rules = [r.SharedStock()]
    prices = [20, 20], [20, 20]
    assert audit(rules, *prices, units=[[10, 10], [5, 0]], on_hand=[20.0, 5.0]).violations == ()
    (found,) = audit(rules, *prices, units=[[10, 10], [6, 0]], on_hand=[20.0, 5.0]).violations
    assert found.rule == "SharedStock"
    # who has units sells them to whoever comes: none are held back for a later week
    (found,) = audit(rules, *prices, units=[[10, 10], [0, 5]], on_hand=[20.0, 5.0]).violations
    assert (found.items, found.week, found.seen) == (("item 1",), 0, "0 units sold")
    # nobody sells what nobody asks for
    assert len(audit(rules, *prices, units=[[10, 12], [0, 0]], on_hand=[20.0, 5.0]).violations) == 1


def test_shares_no_code_with_the_search():
    allowed = {"rules", "assortment"}
    tree = ast.parse((ROOT / "pricing" / "audit.py").read_text())
    imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level}
    names = {alias.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.level for alias in n.names}
    assert imported <= allowed | {""}
    assert names == {"Assortment", "rules"}
    # of the assortment it reads columns, never the ladder or demand that the planner builds from them
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not attributes & {"ladder", "number", "needed"}


def test_drawn_rule_sets_keep_their_rules_and_name_minimal_conflicts(rule_sets):
    """10,000 of them are in bench/rule_sets.py; every plan is held against all plans there are."""
    found = rule_sets.rule_set_study(150, first=50_000, progress=False)
    assert found["planned"] + found["impossible"] == 150
    assert found["impossible"] > 15
    assert (found["violations"], found["not_minimal"], found["outside_the_gap"]) == (0, 0, 0)
