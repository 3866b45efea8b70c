"""Planning a list: the same as `regulars target` decides, and an interval that holds the truth as often as it says."""

from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from regulars.app.campaign_planning import (
    Candidates,
    HeldOut,
    Terms,
    budget_curve,
    compared,
    plan_list,
)
from regulars.uplift import TargetList
from regulars.uplift.allocate import AllocationError

INF = float("inf")
COSTS = np.array([0.1, 0.6])


def some(n: int, seed: int = 0) -> Candidates:
    rng = np.random.default_rng(seed)
    cost = np.tile(COSTS, (n, 1))
    worth = rng.gamma(1.5, 0.5, (n, 2)) * [1.0, 1.8] - cost
    return Candidates(pa.array([f"c{i:05}" for i in range(n)]), ("mail", "voucher"), worth, cost)


@pytest.mark.parametrize(
    ("budget", "stock", "exploration", "fatigue", "most"),
    [
        (None, {}, 0.0, 0.0, None),
        (60.0, {}, 0.1, 0.0, None),
        (60.0, {"voucher": 40}, 0.05, 0.2, None),
        (None, {"mail": 100, "voucher": 0}, 0.0, 0.1, 250),
        (0.0, {}, 0.1, 0.0, None),
    ],
)
def test_a_plan_is_the_list_that_would_be_written(budget, stock, exploration, fatigue, most):
    n, seed = 600, 5
    candidates = some(n)
    contacts = np.random.default_rng(1).integers(0, 3, n)
    rows = {
        "customer_id": np.repeat(candidates.customer_ids.to_pylist(), 2).tolist(),
        "arm": list(candidates.arms) * n,
        "effect": candidates.worth.ravel() + candidates.cost.ravel(),
        "net_effect": candidates.worth.ravel(),
        "cost": candidates.cost.ravel(),
    }
    made = TargetList.build(
        rows,
        "winback",
        on=date(2026, 5, 4),
        budget=budget,
        stock=stock,
        suppression={"bounced": ["c00003", "c00007"]},
        recent_contacts=dict(zip(candidates.customer_ids.to_pylist(), contacts.tolist(), strict=True)),
        fatigue=fatigue,
        exploration=exploration,
        holdout=0.1,
        max_contacts=most,
        seed=seed,
    )
    limits = tuple(float(stock.get(arm, INF)) for arm in candidates.arms)
    terms = Terms(budget, limits, (0.0, 0.0), most, exploration, fatigue, seed)
    plan = plan_list(candidates, made.decided.open, terms, contacts=contacts)
    assert (plan.choice == made.decided.choice).all()
    assert (plan.explored == made.decided.explored).all()
    said = made.summary
    assert (plan.mailed, plan.promised) == (said["mailed"], said["planned_profit"])
    # the same costs, added up in another order
    assert plan.spend == pytest.approx(said["spend"], rel=1e-12)
    assert plan.shadow_price == pytest.approx(said["worth_of_budget"] or 0.0)
    assert dict(zip(candidates.arms, plan.used.tolist(), strict=True)) == said["by_arm"]


def test_dearer_sends_are_dearer_and_worth_less():
    candidates = some(300)
    dearer = Candidates(
        candidates.customer_ids, candidates.arms, candidates.worth - [0.2, 0.0], candidates.cost + np.array([0.2, 0.0])
    )
    everybody = np.ones(300, dtype=bool)
    asked = plan_list(candidates, everybody, Terms(30.0, (INF, INF), (0.2, 0.0)))
    made = plan_list(dearer, everybody, Terms(30.0, (INF, INF), (0.0, 0.0)))
    assert (asked.choice == made.choice).all()
    assert asked.promised == pytest.approx(made.promised)


def test_the_interval_holds_the_true_profit_where_the_scores_promise_too_much():
    # true effects and predictions of them with errors of the same size: the best predictions are the luckiest
    covered, promised_covers, repeats, n, h = 0, 0, 120, 1_000, 500
    everybody = np.ones(n, dtype=bool)
    rng = np.random.default_rng(20261121)
    for _ in range(repeats):
        truth, seen = (rng.normal(0.1, 0.5, (size, 2)) for size in (n, h))
        predicted, guessed = (effect + rng.normal(0, 0.5, effect.shape) for effect in (truth, seen))
        judged = seen + rng.normal(0, 2.0, seen.shape)
        held_out = HeldOut(np.arange(h), guessed - COSTS, judged - COSTS, np.tile(COSTS, (h, 1)))
        candidates = Candidates(
            pa.array([str(i) for i in range(n)]), ("mail", "voucher"), predicted - COSTS, np.tile(COSTS, (n, 1))
        )
        plan = plan_list(candidates, everybody, Terms(100.0, (INF, INF), (0.0, 0.0), exploration=0.05), held_out)
        rows = np.flatnonzero(plan.choice >= 0)
        true = float((truth - COSTS)[rows, plan.choice[rows]].sum())
        assert plan.profit is not None
        covered += plan.profit.lower <= true <= plan.profit.upper
        promised_covers += plan.promised <= true
    # 95% of 120 with a standard error of 2 points: three of these below
    assert covered / repeats > 0.95 - 3 * (0.95 * 0.05 / repeats) ** 0.5
    assert promised_covers == 0


def test_rows_of_one_customer_widen_the_interval():
    rng = np.random.default_rng(3)
    h = 400
    worth, error = np.repeat(rng.normal(0.3, 0.4, (h, 2)), 2, axis=0), np.repeat(rng.normal(0, 2, (h, 2)), 2, axis=0)
    cost = np.tile(COSTS, (2 * h, 1))
    candidates, everybody, terms = some(500), np.ones(500, dtype=bool), Terms(None, (INF, INF), (0.0, 0.0))
    apart = plan_list(candidates, everybody, terms, HeldOut(np.arange(2 * h), worth, worth + error, cost)).profit
    joined = plan_list(
        candidates, everybody, terms, HeldOut(np.repeat(np.arange(h), 2), worth, worth + error, cost)
    ).profit
    assert apart is not None
    assert joined is not None
    assert joined.value == pytest.approx(apart.value)
    assert joined.standard_error == pytest.approx(apart.standard_error * 2**0.5, rel=0.01)


def test_too_few_held_out_customers_like_those_chosen_give_no_interval():
    candidates, everybody = some(500), np.ones(500, dtype=bool)
    few = HeldOut(np.arange(20), np.ones((20, 2)), np.ones((20, 2)), np.tile(COSTS, (20, 1)))
    plan = plan_list(candidates, everybody, Terms(50.0, (INF, INF), (0.0, 0.0)), few)
    assert (plan.profit, plan.judged_by) == (None, 20)


def test_nobody_open_is_a_list_of_nobody():
    plan = plan_list(some(50), np.zeros(50, dtype=bool), Terms(10.0, (INF, INF), (0.0, 0.0)))
    assert (plan.mailed, plan.spend, plan.promised, plan.open) == (0, 0.0, 0.0, 0)


def test_limits_that_cannot_be_met_are_refused():
    with pytest.raises(AllocationError, match="exploration of 50% alone takes"):
        plan_list(some(500), np.ones(500, dtype=bool), Terms(1.0, (INF, INF), (0.0, 0.0), exploration=0.5))


class TestCurve:
    def test_rises_and_bends_and_ends_where_more_brings_nothing(self):
        candidates, everybody = some(2_000), np.ones(2_000, dtype=bool)
        points = budget_curve(candidates, everybody, Terms(100.0, (INF, INF), (0.0, 0.0)), marks=[100.0])
        assert points[0].budget == 0.0
        assert 100.0 in [point.budget for point in points]
        spend, profit = (np.array([getattr(p, name) for p in points]) for name in ("spend", "promised"))
        assert (np.diff(profit) > 0).all()
        slopes = np.diff(profit) / np.diff(spend)
        assert (np.diff(slopes) < 1e-6).all()
        best = plan_list(candidates, everybody, Terms(None, (INF, INF), (0.0, 0.0)))
        assert profit[-1] == pytest.approx(best.promised)
        at = plan_list(candidates, everybody, Terms(100.0, (INF, INF), (0.0, 0.0)))
        (marked,) = [point for point in points if point.budget == 100.0]
        assert marked.promised == pytest.approx(at.promised)

    def test_of_very_many_a_part_stands_for_all(self):
        n = 60_000
        candidates, everybody = some(n), np.ones(n, dtype=bool)
        points = budget_curve(candidates, everybody, Terms(None, (INF, INF), (0.0, 0.0)))
        best = plan_list(candidates, everybody, Terms(None, (INF, INF), (0.0, 0.0)))
        # half of the customers are drawn: a standard error of about 0.4%, five of them
        assert points[-1].promised == pytest.approx(best.promised, rel=0.02)
        assert points[-1].mailed == pytest.approx(best.mailed, rel=0.02)

    def test_offers_that_cost_nothing_have_none(self):
        free = Candidates(pa.array(["a", "b"]), ("mail",), np.ones((2, 1)), np.zeros((2, 1)))
        assert budget_curve(free, np.ones(2, dtype=bool), Terms(None, (INF,), (0.0,))) == []

    def test_budgets_that_exploration_alone_takes_are_left_out(self):
        points = budget_curve(
            some(2_000), np.ones(2_000, dtype=bool), Terms(None, (INF, INF), (0.0, 0.0), exploration=0.2)
        )
        assert points[0].budget == 0.0
        assert len(points) < 13


def test_with_stock_and_very_many_customers_prices_of_a_part_come_close():
    n = 260_000
    candidates = some(n)
    everybody = np.ones(n, dtype=bool)
    plan = plan_list(candidates, everybody, Terms(20_000.0, (INF, 5_000.0), (0.0, 0.0)))
    assert not plan.exact
    assert plan.used[1] == pytest.approx(5_000, rel=0.05)
    assert plan.spend == pytest.approx(20_000.0, rel=0.02)
    slack = plan_list(candidates, everybody, Terms(20_000.0, (INF, 2e6), (0.0, 0.0)))
    assert slack.exact


def test_customers_who_stay_come_and_go():
    candidates = some(4)
    plan = plan_list(candidates, np.array([True, True, False, True]), Terms(None, (INF, INF), (0.0, 0.0)))
    was = {"mail": np.array([False, False, True, False]), "letter": np.array([True, False, False, False])}
    said = compared(plan, was, candidates.arms)
    assert said["go"] == 1
    assert said["other_arm"] == int(plan.choice[0] >= 0)
    assert said["come"] + said["stay"] + said["other_arm"] == plan.mailed


def test_held_out_rows_are_read_by_arm_and_place():
    rows = pa.table(
        {
            "place": [2, 1, 1, 2],
            "arm": ["mail", "mail", "voucher", "voucher"],
            "unit": [2, 1, 1, 2],
            "cost": [0.2, 0.1, 0.6, 0.7],
            "net_effect": [2.0, 1.0, 3.0, 4.0],
            "judged": [2.5, 1.5, 3.5, 4.5],
        }
    )
    read = HeldOut.of(rows, ["mail", "voucher"])
    assert read is not None
    assert read.worth.tolist() == [[1.0, 3.0], [2.0, 4.0]]
    assert read.judged.tolist() == [[1.5, 3.5], [2.5, 4.5]]
    assert HeldOut.of(rows, ["mail", "letter"]) is None
