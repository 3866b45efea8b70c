"""Allocation against the linear and integer programmes of HiGHS, and every stated limit."""

import json
import subprocess
import sys

import numpy as np
import pytest
from scipy.optimize import Bounds, LinearConstraint, linprog, milp

from regulars.uplift.allocate import AllocationError, allocate


def _programme(value, costs, budgets, stock, eligible):
    """The whole problem as one dense programme: a foreign answer to hold ours to."""
    n, k = value.shape
    row, offer = np.nonzero(eligible)
    used = np.zeros((len(budgets) + k, len(row)))
    used[: len(budgets)] = costs[:, row, offer]
    used[len(budgets) + offer, np.arange(len(row))] = 1.0
    limits = np.concatenate([budgets, stock])
    finite = np.isfinite(limits)
    one_each = np.zeros((n, len(row)))
    one_each[row, np.arange(len(row))] = 1.0
    return -value[row, offer], np.vstack([one_each, used[finite]]), np.concatenate([np.ones(n), limits[finite]])


def _linear_optimum(*problem):
    objective, matrix, limits = _programme(*problem)
    answer = linprog(objective, A_ub=matrix, b_ub=limits, bounds=(0, None), method="highs")
    return -answer.fun if answer.status == 0 else None


def _integer_optimum(*problem):
    objective, matrix, limits = _programme(*problem)
    answer = milp(
        objective,
        constraints=LinearConstraint(matrix, -np.inf, limits),
        integrality=np.ones(len(objective)),
        bounds=Bounds(np.zeros(len(objective)), np.ones(len(objective))),
    )
    return -answer.fun if answer.status == 0 else None


def _case(number):
    draw = np.random.default_rng(number)
    n, k = int(draw.integers(1, 40)), int(draw.integers(1, 6))
    m = 1 if number % 2 else int(draw.integers(1, 4))
    value = draw.normal(1, 2, (n, k))
    costs = draw.normal(1, 1.5, (m, n, k)) if number % 3 else draw.uniform(0, 3, (m, n, k))
    if number % 5 == 0:  # ties
        value, costs = np.round(value), np.round(costs)
    eligible = draw.random((n, k)) < (0.7 if number % 4 == 0 else 1.1)
    budgets = draw.uniform(0 if number % 7 else -1, 0.5 * n, m)
    stock = np.full(k, np.inf)
    if number % 2 == 0:
        stock = np.where(draw.random(k) < 0.5, np.inf, draw.integers(0, max(2, n // 3), k)).astype(float)
    return value, costs, budgets, stock, eligible


@pytest.mark.parametrize("number", range(200))
def test_bound_is_the_linear_optimum_and_choices_keep_within_limits(number):
    value, costs, budgets, stock, eligible = _case(number)
    optimum = _linear_optimum(value, costs, budgets, stock, eligible)
    if optimum is None or _integer_optimum(value, costs, budgets, stock, eligible) is None:
        with pytest.raises(AllocationError, match=r"budget|stock|limits"):
            allocate(value, costs, budgets, stock=stock, eligible=eligible)
        return
    plan = allocate(value, costs, budgets, stock=stock, eligible=eligible)
    rows = np.flatnonzero(plan.choice >= 0)
    assert plan.bound == pytest.approx(optimum, rel=1e-9, abs=1e-9)
    assert plan.value == pytest.approx(value[rows, plan.choice[rows]].sum(), abs=1e-9)
    assert eligible[rows, plan.choice[rows]].all()
    assert np.all(costs[:, rows, plan.choice[rows]].sum(axis=1) <= budgets + 1e-9)
    assert np.all(np.bincount(plan.choice[rows], minlength=len(stock)) <= stock)
    if len(budgets) == 1 and np.isinf(stock).all():
        options = np.where(eligible, value, 0.0)
        largest_step = (np.maximum(options.max(axis=1), 0) - np.minimum(options.min(axis=1), 0)).max()
        assert plan.bound - plan.value <= largest_step + 1e-9
    else:
        best = _integer_optimum(value, costs, budgets, stock, eligible)
        assert plan.value >= best - 1e-6 * max(1.0, abs(best))  # the solver's own gap


def test_the_shadow_price_is_what_one_more_unit_is_worth():
    draw = np.random.default_rng(3)
    value, cost = draw.exponential(1, (4000, 3)), draw.uniform(0.1, 2, (4000, 3))
    less, more = (allocate(value, cost, budget=b) for b in (799.5, 800.5))
    assert more.bound - less.bound == pytest.approx(allocate(value, cost, budget=800.0).shadow_price, rel=1e-2)
    short = allocate(value, cost, budget=800.0, stock=(300, np.inf, np.inf))
    longer = allocate(value, cost, budget=800.0, stock=(301, np.inf, np.inf))
    assert longer.bound - short.bound == pytest.approx(short.stock_price[0], rel=1e-2)
    assert short.used[0] == 300


def test_large_and_coupled_keeps_a_small_gap():
    draw = np.random.default_rng(1)
    n = 20_000
    value, costs = draw.exponential(1, (n, 5)), draw.uniform(0.1, 2, (2, n, 5))
    plan = allocate(value, costs, (0.2 * n, 0.25 * n), stock=(0.1 * n, np.inf, 0.05 * n, np.inf, 0.02 * n))
    assert plan.gap <= 1e-5
    assert np.all(plan.spend <= np.array([0.2 * n, 0.25 * n]) + 1e-6)


def test_self_funding_offers_pay_for_others():
    value, cost = np.array([[-0.5], [3.0]]), np.array([[-2.0], [2.0]])
    plan = allocate(value, cost, budget=0.0)
    assert plan.choice.tolist() == [0, 0]
    assert plan.value == pytest.approx(2.5)


def test_no_limit_takes_every_offer_of_positive_value():
    value = np.array([[1.0, 2.0], [-1.0, -2.0], [0.0, 0.0]])
    plan = allocate(value, np.ones((3, 2)))
    assert plan.choice.tolist() == [1, -1, -1]
    assert (plan.shadow_price, plan.gap) == (0.0, 0.0)


def test_budget_zero_offers_nothing_that_costs():
    assert allocate(np.ones((5, 2)), np.ones((5, 2)), budget=0.0).choice.tolist() == [-1] * 5


def test_frequency_cap_fatigue_and_contacts():
    value, cost = np.array([[4.0], [3.0], [2.0], [1.0]]), np.ones((4, 1))
    contacts = np.array([3, 1, 0, 0])
    capped = allocate(value, cost, recent_contacts=contacts, frequency_cap=3)
    assert capped.choice.tolist() == [-1, 0, 0, 0]
    tired = allocate(value, cost, budget=1.0, recent_contacts=contacts, frequency_cap=3, fatigue=0.5)
    assert tired.choice.tolist() == [-1, -1, 0, -1]
    few = allocate(value, cost, max_contacts=2)
    assert few.choice.tolist() == [0, 0, -1, -1]
    assert few.contact_price == pytest.approx(2.0)


def test_exploration_logs_the_propensity_with_which_it_chose():
    draw = np.random.default_rng(0)
    value, cost = draw.normal(0.5, 1, (3000, 3)), draw.uniform(0.5, 1.5, (3000, 3))
    eligible = draw.random((3000, 3)) < 0.8
    plans = [allocate(value, cost, 600.0, eligible=eligible, exploration=0.2, seed=s) for s in range(60)]
    shares = np.mean([plan.explored.mean() for plan in plans])
    reachable = (eligible.any(axis=1)).mean()
    assert shares == pytest.approx(0.2 * reachable, abs=0.005)  # 180,000 draws: a standard error of .001
    assert all(plan.spend <= 600.0 + 1e-9 for plan in plans)
    # inverse propensities of what was done add up to one per option that could be drawn: E[1/p] = options + 1
    options = eligible.sum(axis=1)
    inverse = np.mean([np.mean(1.0 / plan.propensity[options > 0]) for plan in plans])
    assert inverse == pytest.approx(np.mean(options[options > 0] + 1), rel=0.05)


def test_the_same_answer_at_any_number_of_threads():
    program = (
        "import json, numpy as np\n"
        "from regulars.uplift.allocate import allocate\n"
        "draw = np.random.default_rng(5)\n"
        "v, c = draw.exponential(1, (200_000, 3)), draw.uniform(.1, 2, (200_000, 3))\n"
        "p = allocate(v, c, 30_000.0)\n"
        "print(json.dumps([p.value, p.spend, p.bound, p.shadow_price, p.choice[:5000].tolist()]))\n"
    )
    answers = []
    for threads in ("1", "2"):
        run = subprocess.run(
            [sys.executable, "-c", program],
            env={"NUMBA_NUM_THREADS": threads, "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        )
        answers.append(json.loads(run.stdout))
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"value": np.ones((3, 2)), "cost": np.ones((2, 2))}, r"shape \(3, 2\) and cost \(2, 2\)"),
        ({"value": np.array([[np.nan]]), "cost": np.ones((1, 1))}, "value of customer 0, offer 0 is nan"),
        ({"value": np.ones((2, 1)), "cost": np.array([[1.0], [np.inf]])}, "cost of customer 1, offer 0 is inf"),
        ({"value": np.ones((2, 1)), "cost": np.ones((2, 1)), "budget": -1.0}, "least that can be spent is 0"),
        ({"value": np.ones((2, 1)), "cost": np.ones((2, 1)), "budget": np.nan}, "budget is nan"),
        ({"value": np.ones((2, 1)), "cost": np.ones((2, 1)), "budget": (1.0, 2.0)}, "2 budgets for 1 tables"),
        ({"value": np.ones((2, 1)), "cost": np.ones((2, 1)), "stock": (-1,)}, "0 or more"),
        ({"value": np.ones((2, 1)), "cost": np.ones((2, 1)), "frequency_cap": 2}, "need recent_contacts"),
        ({"value": np.ones((2, 1)), "cost": np.ones((2, 1)), "exploration": 1.5}, r"drawn at random, in \[0, 1\)"),
        (
            {"value": np.ones((2, 1)), "cost": np.ones((2, 1)), "max_contacts": -1},
            "max_contacts is -1; it is a whole number of 0 or more",
        ),
    ],
)
def test_bad_input_is_named(arguments, says):
    with pytest.raises(AllocationError, match=says):
        allocate(**arguments)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"max_contacts": np.nan}, "max_contacts is nan; it is a whole number of 0 or more, or None for no limit"),
        ({"max_contacts": 1.5}, "max_contacts is 1.5"),
        ({"max_contacts": True}, "max_contacts is True"),
        ({"eligible": np.array([1.0, np.nan])}, "eligible holds nan; it is True or False"),
        ({"eligible": ["True", "False"]}, "eligible holds .*; it is True or False"),
        ({"eligible": [True, None]}, "eligible holds .*None"),
        ({"eligible": [2, 1]}, "eligible holds 2"),
        ({"recent_contacts": [0, np.nan], "fatigue": 0.1}, "recent_contacts of customer 1 is nan"),
        ({"recent_contacts": [0.5, 1], "fatigue": 0.1}, "recent_contacts of customer 0 is 0.5"),
        ({"recent_contacts": ["a", "b"], "fatigue": 0.1}, "recent_contacts is .*must be numbers"),
        ({"recent_contacts": [0, 1], "frequency_cap": -1}, "frequency_cap is -1; it is a whole number of 1 or more"),
        ({"recent_contacts": [0, 1], "frequency_cap": np.nan}, "frequency_cap is nan"),
        ({"recent_contacts": [0, 1], "fatigue": "much"}, "fatigue is 'much'"),
        ({"exploration": np.nan}, "exploration is nan"),
        ({"budget": "ten"}, "budget is 'ten'; it must be numbers"),
        ({"stock": {"mail": 1}}, "stock is .*must be numbers"),
        ({"value": ["a", "b"]}, "value is .*must be numbers"),
        ({"seed": -1}, "seed is -1; it is a whole number of 0 or more"),
        ({"seed": "a"}, "seed is 'a'"),
    ],
)
def test_nonsense_is_no_limit_but_an_error(arguments, says):
    with pytest.raises(AllocationError, match=says):
        allocate(**{"value": np.ones(2), "cost": np.ones(2)} | arguments)


def test_whole_floats_and_yes_and_no_as_numbers_are_taken():
    shared = {"value": np.array([1.0, 2.0, 3.0]), "cost": np.ones(3)}
    plan = allocate(**shared, max_contacts=np.float64(1.0), eligible=np.array([1, 1, 0]))
    assert plan.choice.tolist() == [-1, 0, -1]
    plan = allocate(**shared, recent_contacts=np.array([0.0, 2.0, 0.0]), frequency_cap=2, eligible=[True, True, False])
    assert plan.choice.tolist() == [0, -1, -1]


@pytest.mark.parametrize("limits", [{"stock": [1, 2]}, {"budget": 5.0}, {"max_contacts": 3}, {}])
def test_of_no_customers_nobody_is_chosen(limits):
    plan = allocate(np.zeros((0, 2)), np.zeros((0, 2)), **limits)
    assert (plan.choice.tolist(), plan.value, plan.bound, plan.gap) == ([], 0.0, 0.0, 0.0)
    assert plan.used.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"budget": 1.0}, "takes [0-9]+ of the budget, which allows 1; lower exploration"),
        ({"max_contacts": 2}, "of max_contacts, which allows 2"),
        ({"stock": [1000, 3]}, "of the stock of offer 1, which allows 3"),
    ],
)
def test_an_exploration_that_takes_too_much_names_the_limit(limits, says):
    with pytest.raises(AllocationError, match=says):
        allocate(np.ones((100, 2)), np.ones((100, 2)), exploration=0.9, **limits)


def test_limits_of_nothing_with_customers_who_may_get_nothing():
    plan = allocate(
        np.ones((2, 2)), np.ones((2, 2)), 3.0, stock=(0, 0), eligible=np.zeros((2, 2), dtype=bool), max_contacts=0
    )
    assert (plan.choice.tolist(), plan.value, plan.bound) == ([-1, -1], 0.0, 0.0)
