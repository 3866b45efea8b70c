"""Rules that tie items together, against the enumeration of all plans and against bounds from elsewhere."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest

import regulars
from regulars.pricing import coupling
from regulars.pricing import rules as r
from regulars.pricing.assortment import read_assortment
from regulars.pricing.conflict import RulesConflict
from regulars.pricing.coupling import solve_coupled
from regulars.pricing.markdown import plan_markdowns
from regulars.pricing.path_account import account
from regulars.pricing.path_search import best_paths
from regulars.pricing.rule_limits import compile_rules

LADDER = (0.0, 0.15, 0.3, 0.5)
WEEKS = 3


def drawn(n: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    weekly = rng.gamma(2, 5, n)
    regular = np.round(rng.uniform(10, 50, n), 2)
    return {
        "item": np.array([f"item {i}" for i in range(n)], dtype=object),
        "regular_price": regular,
        "on_hand": np.round(weekly * WEEKS * rng.uniform(0.8, 3.0, n)),
        "weekly_units": weekly,
        "elasticity": -rng.uniform(1.0, 3.5, n),
        "salvage_value": 0.1 * regular,
        "group": np.array([f"group {i % 2}" for i in range(n)], dtype=object),
    }


def assortment(items, weeks=WEEKS, ladder=LADDER):
    return read_assortment(items, ladder, weeks, None, r.Objective())


def solved(case, rules):
    return solve_coupled(case, compile_rules(case, rules), rules, gap=1e-9)


def falling_paths(weeks: int) -> np.ndarray:
    found = [p for p in product(range(len(LADDER)), repeat=weeks) if list(p) == sorted(p)]
    return np.array(found, dtype=np.int8)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9, 2.0])
def test_one_budget_equals_the_best_of_all_plans(share):
    case = assortment(drawn(4, seed=3))
    free = compile_rules(case, []).problem
    paths = falling_paths(WEEKS)
    told = [account(free, np.full(len(paths), i), paths) for i in range(4)]
    spent = [t.given_away.sum(axis=1) for t in told]
    best = best_paths(free)
    usual = account(free, np.arange(4), best.rungs).given_away.sum()
    budget = round(share * float(usual), 2)
    grid = np.indices([len(paths)] * 4).reshape(4, -1)
    cost = sum(spent[i][grid[i]] for i in range(4))
    worth = sum(told[i].value[grid[i]] for i in range(4))
    true = worth[cost <= budget + 1e-9].max()
    found = solved(case, [r.Budget(budget)])
    assert found.value <= true + 1e-7
    assert true <= found.bound + 1e-7
    # 20 paths an item: the programme over columns that its prices brought up is nearly all of them
    assert found.value == pytest.approx(true, rel=2e-3)
    assert account(free, np.arange(4), found.rungs).given_away.sum() <= budget + 1e-6


def test_with_more_items_the_gap_closes():
    case = assortment(drawn(300, seed=5))
    free = compile_rules(case, []).problem
    usual = account(free, np.arange(300), best_paths(free).rungs).given_away
    rows = case.columns["group"] == "group 0"
    rules = [
        r.Budget(round(0.4 * float(usual[rows].sum()), 2), where={"group": "group 0"}),
        r.Budget(round(0.7 * float(usual[:, :2].sum()), 2), weeks=(0, 2)),
    ]
    found = solve_coupled(case, compile_rules(case, rules), rules)
    assert (found.bound - found.value) / found.bound < 1e-4
    # the worth of a budget's last unit of money is what a little more of it brings
    more = [r.Budget(rules[0].amount + 20.0, where={"group": "group 0"}), rules[1]]
    other = solve_coupled(case, compile_rules(case, more), more)
    assert found.budget_prices[0] > 0.0
    assert other.bound - found.bound <= 20.0 * found.budget_prices[0] * (1 + 1e-6) + 1e-6


def test_a_budget_that_does_not_bind_changes_nothing():
    case = assortment(drawn(30, seed=7))
    free = best_paths(compile_rules(case, []).problem)
    found = solved(case, [r.Budget(1e9), r.Budget(1e9, basis="on_hand")])
    assert found.value == pytest.approx(free.value.sum(), rel=1e-12)
    assert found.bound == pytest.approx(free.value.sum(), rel=1e-9)
    assert found.budget_prices == (0.0, 0.0)


def test_write_downs_count_stock_when_the_price_is_cut():
    items = drawn(6, seed=9)
    plan = plan_markdowns(items, ladder=LADDER, weeks=WEEKS, rules=[r.Budget(150.0, basis="on_hand")])
    free = plan_markdowns(items, ladder=LADDER, weeks=WEEKS)
    assert plan.audit.violations == ()
    assert plan.objective < free.objective
    frame = plan.prices.assign(regular=np.repeat(items["regular_price"], WEEKS))
    before = frame.groupby("item")["price"].shift().fillna(frame["regular"])
    assert ((before - frame["price"]) * frame["on_hand"]).sum() <= 150.0 + 1e-6


def test_groups_keep_together_and_apart():
    items = drawn(10, seed=11)
    regular = dict(zip(items["item"], items["regular_price"], strict=True))
    for rule in (r.AllOrNothing(), r.AtMostOnePromoted()):
        plan = plan_markdowns(items, ladder=LADDER, weeks=WEEKS, rules=[rule, r.MaximumStep(0.3)])
        frame = plan.prices
        down = frame["price"] < frame["item"].map(regular) - 1e-9
        group = frame["item"].map(dict(zip(items["item"], items["group"], strict=True)))
        count = down.groupby([group, frame["week"]]).sum()
        if isinstance(rule, r.AllOrNothing):
            assert set(count) <= {0, 5}
        else:
            assert count.max() <= 1
        assert plan.gap < 0.05


def best_shared(case, members, pool, end_worth):
    """The best paths and split of one stock: each pair of paths, dearest units first (prices fall, so in order)."""
    problem = compile_rules(case, []).problem
    paths = falling_paths(case.n_weeks)
    best = -np.inf
    for pair in product(range(len(paths)), repeat=len(members)):
        offers = []
        for i, k in zip(members, pair, strict=True):
            rungs = paths[k].astype(int)
            offers += [(problem.price[i, g], problem.demand[i, t, g]) for t, g in enumerate(rungs)]
        left, worth = pool, 0.0
        for price, units in sorted(offers, reverse=True):
            sold = min(units, left) if price > end_worth else 0.0
            left -= sold
            worth += price * sold
        best = max(best, worth + end_worth * left)
    return best


@pytest.mark.parametrize("plenty", [0.3, 0.8, 1.5, 4.0])
def test_shared_stock_equals_the_best_split(plenty):
    items = drawn(2, seed=13)
    items["product"] = np.array(["p", "p"], dtype=object)
    items["salvage_value"] = np.array([2.0, 2.0])
    pool = np.round(plenty * items["weekly_units"].sum() * WEEKS)
    items["on_hand"] = np.array([pool, 0.0])
    case = assortment(items)
    true = best_shared(case, [0, 1], pool, 2.0)
    found = solved(case, [r.SharedStock()])
    assert found.value <= true * (1 + 1e-9)
    assert true <= found.bound * (1 + 1e-9)
    assert found.value == pytest.approx(true, rel=5e-3)
    plan = plan_markdowns(items, ladder=LADDER, weeks=WEEKS, rules=[r.SharedStock()])
    assert plan.prices["units"].sum() <= pool * (1 + 1e-9)


def test_the_same_answer_each_time_and_nothing_is_printed(capfd):
    items = drawn(60, seed=17)
    rules = [r.Budget(400.0), r.AtMostOnePromoted(), r.SharedStock("group", where={"group": "group 1"})]
    plans = [plan_markdowns(items, ladder=LADDER, weeks=WEEKS, rules=rules[:2]) for _ in range(2)]
    np.testing.assert_array_equal(plans[0].prices.to_numpy(), plans[1].prices.to_numpy())
    assert plans[0].bound == plans[1].bound
    assert capfd.readouterr() == ("", "")


def test_all_kinds_at_once_keep_their_rules():
    items = drawn(24, seed=19)
    items["product"] = np.array([f"product {i % 12}" for i in range(24)], dtype=object)
    items["salvage_value"] = np.full(24, 1.0)
    items["collection"] = np.array([f"collection {i % 8}" for i in range(24)], dtype=object)
    rules = [
        r.SharedStock(),
        r.Budget(1_500.0),
        r.AllOrNothing("collection"),
        r.AtMostOnePromoted("product", where={"group": "group 1"}),
        r.MaxMarkdowns(2),
    ]
    plan = plan_markdowns(items, ladder=LADDER, weeks=WEEKS, rules=rules)
    assert plan.check().violations == ()
    assert plan.objective <= plan.bound
    assert plan.gap < 0.1


def test_the_textbook_programme_agrees(monkeypatch):
    """HiGHS on binaries and big-M: the same optimum without budgets, where withholding stock can earn nothing."""
    monkeypatch.syspath_prepend(str(Path(regulars.__file__).parent / "bench"))
    import markdown_plans

    monkeypatch.setattr(markdown_plans, "WEEKS", 5)
    case = markdown_plans.a_season(6)
    value, bound = markdown_plans.big_m(case, [], limit=600.0)
    ours = best_paths(compile_rules(case, []).problem).value.sum()
    # its default gap is 1e-4
    assert value <= ours * (1 + 1e-6)
    assert ours <= bound * (1 + 1e-6)
    rules = markdown_plans.budget_rules(case, budgets=6)
    value, bound = markdown_plans.big_m(case, rules, limit=600.0)
    found = solved(case, rules)
    assert found.value <= bound * (1 + 1e-6)


def sold_as_it_comes(demand: np.ndarray, part: float) -> list[float]:
    gone = np.minimum(np.cumsum(demand), part)
    return np.diff(gone, prepend=0.0).tolist()


def test_shared_stock_is_split_and_each_part_sells_as_it_comes():
    items = {"item": ["s1", "s2"], "product": ["p", "p"], "regular_price": [10.0, 20.0], "on_hand": [10.0, 10.0]}
    demand = np.array([[10.0, 10.0, 10.0], [1.0, 1.0, 30.0]])
    asked = {"ladder": (0, 0.2, 0.5), "weeks": 3, "rules": [r.SharedStock()], "expected_units": demand}
    plan = plan_markdowns(items | {"elasticity": [-1.5, -1.5]}, **asked)
    # all 20 units go to the second store, which sells 1, 1 and 18 of them at 20
    assert plan.objective == pytest.approx(400.0, abs=1e-6)
    assert plan.allocation == pytest.approx({"s1": 0.0, "s2": 20.0}, abs=1e-6)
    frame = plan.prices.set_index(["item", "week"])
    assert frame["on_hand"].to_numpy() == pytest.approx(np.array([0, 0, 0, 20, 19, 18]), abs=1e-6)
    assert plan.explain("s2").allocated == pytest.approx(20.0, abs=1e-6)
    assert "Its part of the shared stock is 20 units" in str(plan.explain("s2"))


@pytest.mark.parametrize("weeks_of_budget", [None, (1, 3)])
def test_parts_add_up_and_gaps_close(weeks_of_budget):
    items = drawn(12, seed=29)
    items["product"] = np.array([f"product {i // 3}" for i in range(12)], dtype=object)
    items["salvage_value"] = np.zeros(12)
    rules = [r.SharedStock()]
    if weeks_of_budget:
        rules.append(r.Budget(120.0, weeks=weeks_of_budget))
    plan = plan_markdowns(items, ladder=LADDER, weeks=WEEKS, rules=rules)
    assert plan.check().violations == ()
    if not weeks_of_budget:
        # 1% and more before each product was solved by itself
        assert plan.gap <= 1e-4
        assert plan.findings == ()
    part = np.array([plan.allocation[name] for name in items["item"]])
    for k in range(4):
        assert part[3 * k : 3 * k + 3].sum() <= items["on_hand"][3 * k : 3 * k + 3].sum() + 1e-9
    for i, name in enumerate(items["item"]):
        own = plan.prices[plan.prices["item"] == name]
        demand = items["weekly_units"][i] * (own["price"] / items["regular_price"][i]) ** items["elasticity"][i]
        assert own["units"].tolist() == pytest.approx(sold_as_it_comes(demand.to_numpy(), part[i]), abs=1e-6)


def test_a_gap_that_is_not_reached_is_said(monkeypatch):
    items, rules = drawn(40, seed=3), [r.Budget(60.0), r.AtMostOnePromoted()]
    plan = plan_markdowns(items, ladder=LADDER, weeks=WEEKS, rules=rules)
    assert (plan.gap <= 1e-4, plan.findings) == (True, ())
    # no time for the whole search
    monkeypatch.setattr(coupling, "_TRIES", 0)
    monkeypatch.setattr(coupling, "_ROUNDS", 3)
    plan = plan_markdowns(items, ladder=LADDER, weeks=WEEKS, rules=rules)
    assert plan.gap > 1e-4
    (said,) = plan.findings
    assert f"within {plan.gap:.3%} of the best; a gap of 0.010% was asked for and not reached" in said


TIED = {
    "item": list("abc"),
    "regular_price": [20.0, 20.0, 10.0],
    "on_hand": [60.0, 60.0, 50.0],
    "weekly_units": [4.0, 5.0, 3.0],
    "elasticity": [-2.5, -2.8, -2.0],
    "group": ["x", "x", "y"],
}


@pytest.mark.parametrize(
    "rules", [[r.Budget(100.0)], [r.AllOrNothing(), r.Budget(30.0)], [r.AtMostOnePromoted()], [r.SharedStock("group")]]
)
def test_explanations_are_what_overrides_give(rules):
    asked = {"ladder": (0, 0.2, 0.3, 0.5), "weeks": 3, "rules": rules, "gap": 1e-9}
    plan = plan_markdowns(TIED, **asked)
    depth = {10.0: [0, 2, 3, 5], 20.0: [0, 4, 6, 10]}
    frame = plan.prices.set_index(["item", "week"])["discount"]
    seen = set()
    for item, regular in zip("ab", (20.0, 20.0), strict=True):
        assert len(depth[regular]) == 4
        for week in plan.explain(item).weeks:
            for neighbour in (week.up, week.down):
                if neighbour is None or neighbour.forbidden_by == ("prices only fall",):
                    continue
                earlier = {(item, t): float(frame[item, t]) for t in range(week.week)}
                try:
                    other = plan.override(earlier | {(item, week.week): 1.0 - neighbour.price / regular})
                except RulesConflict as conflict:
                    named = {str(x) for x in conflict.conflict.rules if not isinstance(x, r.FixedPrice)}
                    assert set(neighbour.forbidden_by) == named
                    seen |= named
                else:
                    assert neighbour.forbidden_by == ()
                    assert neighbour.worth == pytest.approx(other.objective - plan.objective, abs=1e-5)
                    assert neighbour.at_shared_prices == ()
    if isinstance(rules[-1], r.Budget):
        assert str(rules[-1]) in seen
        assert plan.explain("a").binding_rule == str(rules[-1])


def test_what_a_rule_over_items_costs_one_of_them():
    plan = plan_markdowns(TIED, ladder=(0, 0.2, 0.3, 0.5), weeks=4, rules=[r.Budget(100.0)])
    free = plan_markdowns(TIED, ladder=(0, 0.2, 0.3, 0.5), weeks=4)
    lost = [plan.explain(item).rule_costs.get(str(r.Budget(100.0)), 0.0) for item in "abc"]
    assert sum(lost) == pytest.approx(free.objective - plan.objective, rel=1e-9)
    assert "at the margin" in str(plan.explain("a"))


def test_among_many_items_figures_are_at_shared_prices_and_say_so():
    items = drawn(40, seed=37)
    rule = r.Budget(150.0)
    plan = plan_markdowns(items, ladder=LADDER, weeks=WEEKS, rules=[rule])
    told = [plan.explain(name) for name in items["item"]]
    around = [n for t in told for w in t.weeks for n in (w.up, w.down) if n is not None and not n.forbidden_by]
    assert {n.at_shared_prices for n in around} == {(str(rule),)}
    assert "at the shared price of Budget(amount=150.0" in str(around[0])
    assert any(t.binding_rule == str(rule) for t in told)
    forbidden = [n for t in told for w in t.weeks for n in (w.up, w.down) if n and n.forbidden_by == (str(rule),)]
    assert forbidden
