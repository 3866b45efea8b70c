"""Markdown plans: speed of the exact search, and budgets beside a big-M programme.

By hand: ``python bench/markdown_plans.py paths | budgets [--small]``.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from report import Section, gigabytes, seconds
from timing import Side, in_turns

from regulars.pricing import rules as r
from regulars.pricing.assortment import Assortment, read_assortment
from regulars.pricing.coupling import solve_coupled
from regulars.pricing.markdown import plan_markdowns
from regulars.pricing.path_account import account
from regulars.pricing.path_search import best_paths
from regulars.pricing.rule_limits import compile_rules

LADDER = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
WEEKS = 12


# ---- speed ---------------------------------------------------------------------------------------------------------


def season(n: int, seed: int = 0) -> dict[str, np.ndarray]:
    """n items of a fashion season: stock for 7 to 40 weeks of regular demand, elasticities of -1.2 to -3.5."""
    rng = np.random.default_rng(seed)
    regular, weekly = np.round(rng.uniform(10, 100, n), 2), rng.gamma(2.0, 5.0, n)
    return {
        "item": np.arange(n),
        "regular_price": regular,
        "on_hand": np.round(weekly * WEEKS * rng.uniform(0.6, 3.5, n)),
        "weekly_units": weekly,
        "elasticity": -rng.uniform(1.2, 3.5, n),
        "salvage_value": 0.1 * regular,
        "category": np.arange(n) % 10,
    }


def demand(items: dict[str, np.ndarray], seed: int = 0) -> np.ndarray:
    """Expected units at the regular price: weekly demand that fades by 5% a week, with noise of 15%."""
    noise = np.random.default_rng(seed + 1).normal(0.0, 0.15, (len(items["item"]), WEEKS))
    return items["weekly_units"][:, None] * np.exp(-0.05 * np.arange(WEEKS) + noise)


def a_season(n: int) -> Assortment:
    items = season(n)
    return read_assortment(items, LADDER, WEEKS, demand(items), r.Objective())


def house_rules() -> list[r.Rule]:
    return [r.MaxMarkdowns(3), r.MinWeeksBetween(2), r.MinimumStep(0.1), r.MaximumStep(0.4), r.NoTouch(near_end=1)]


def prepare_search(n: int, with_rules: bool) -> Callable[[], Callable[[], dict[str, float]]]:
    compiled = compile_rules(a_season(n), house_rules() if with_rules else [])

    def run() -> Callable[[], dict[str, float]]:
        begun = time.process_time()
        found = best_paths(compiled.problem)
        processor = time.process_time() - begun
        return lambda: {
            "processor": processor,
            "worth": float(found.value.sum()),
            "unproven": float((found.bound > found.value).sum()),
            "nodes": float(found.nodes.mean()),
        }

    return run


def prepare_plan(n: int) -> Callable[[], Callable[[], dict[str, float]]]:
    items = season(n)
    units = demand(items)

    def run() -> Callable[[], dict[str, float]]:
        begun = time.process_time()
        plan = plan_markdowns(items, ladder=LADDER, weeks=WEEKS, rules=house_rules(), expected_units=units)
        found = {"processor": time.process_time() - begun, "worth": plan.objective, "unproven": float(plan.gap > 0.0)}
        return lambda: found

    return run


def paths_section(n: int, runs: int = 3) -> Section:
    """The exact search over n items, plain and under the house's rules, and the whole plan with its re-check."""
    sides = {
        "search, prices only fall": Side(partial(prepare_search, n, False), runs),
        "search, five rules": Side(partial(prepare_search, n, True), runs),
        "plan_markdowns, five rules, re-checked": Side(partial(prepare_plan, n), 1, 0),
    }
    rows = [
        (
            name,
            seconds(m.median),
            seconds(m.result["processor"]),
            gigabytes(m.peak),
            f"{m.result['nodes']:.0f}" if "nodes" in m.result else "",
            f"{m.result['unproven']:.0f}",
            "30 s, 2 GB",
        )
        for name, m in in_turns(sides).items()
    ]
    return Section(
        "markdown-paths",
        f"Markdown paths of {n:,} items",
        f"{WEEKS} weeks, {len(LADDER)} rungs. Five rules: at most three markdowns, two weeks apart, steps of 10 to 40 "
        "points, nothing in the last week. Processor time is that of all threads in the last run; peak memory the whole "
        "process's, data included. An item is proven best where its bound is its worth.",
        ("what", "median time", "processor time", "peak memory", "nodes an item", "not proven best", "target"),
        rows,
    )


# ---- budgets -------------------------------------------------------------------------------------------------------


def budget_rules(case: Assortment, share: float = 0.5, budgets: int = 10) -> list[r.Rule]:
    """Budgets of a share of what each category would give away without one."""
    compiled = compile_rules(case, [])
    free = account(compiled.problem, np.arange(len(case)), best_paths(compiled.problem).rungs).given_away.sum(axis=1)
    category = case.columns["category"]
    return [r.Budget(round(share * float(free[category == k].sum()), 2), where={"category": k}) for k in range(budgets)]


def prepare_coupled(n: int) -> Callable[[], Callable[[], dict[str, float]]]:
    case = a_season(n)
    rules = budget_rules(case)

    def run() -> Callable[[], dict[str, float]]:
        begun = time.process_time()
        found = solve_coupled(case, compile_rules(case, rules), rules)
        processor = time.process_time() - begun
        return lambda: {"processor": processor, "worth": found.value, "bound": found.bound}

    return run


def prepare_big_m(n: int, limit: float) -> Callable[[], Callable[[], dict[str, float]]]:
    """The same plan as one mixed-integer programme: a rung a week as binaries, sales held under demand and stock."""
    case = a_season(n)
    rules = budget_rules(case)

    def run() -> Callable[[], dict[str, float]]:
        begun = time.process_time()
        value, bound = big_m(case, rules, limit)
        processor = time.process_time() - begun
        return lambda: {"processor": processor, "worth": value, "bound": bound}

    return run


def big_m(case: Assortment, rules: Sequence[r.Rule], limit: float) -> tuple[float, float]:
    """Worth and bound by HiGHS on binaries z (item, week, rung) and sales x <= min(demand, stock) z, prices falling.

    Sales may be less than what is asked for, which no shop does: its optimum is an upper bound of ours.
    """
    import highspy

    p = compile_rules(case, []).problem
    n, weeks, rungs = p.demand.shape
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("threads", 1)
    solver.setOptionValue("time_limit", limit)
    infinity = highspy.kHighsInf
    block = weeks * rungs
    most = np.minimum(p.demand, p.stock[:, None, None]).reshape(n, block)
    worth = (np.tile(p.unit_worth, (1, weeks)).reshape(n, block) - p.end_worth[:, None]).ravel()
    none_i, none = np.zeros(0, np.int32), np.zeros(0)
    solver.addCols(n * block, np.zeros(n * block), np.zeros(n * block), np.ones(n * block), 0, none_i, none_i, none)
    solver.addCols(n * block, -worth, np.zeros(n * block), most.ravel(), 0, none_i, none_i, none)
    lower, upper, starts, index, value = [], [], [], [], []

    def row(low: float, high: float, columns: Sequence[int], amounts: Sequence[float]) -> None:
        lower.append(low)
        upper.append(high)
        starts.append(len(index))
        index.extend(columns)
        value.extend(amounts)

    sale = n * block
    for i in range(n):
        first = i * block
        for t in range(weeks):
            here = [first + t * rungs + k for k in range(rungs)]
            row(1.0, 1.0, here, [1.0] * rungs)
            if t:
                for k in range(rungs - 1):
                    # once deeper than k, never k or shallower again
                    row(
                        -infinity,
                        0.0,
                        here[: k + 1] + [c - rungs for c in here[: k + 1]],
                        [1.0] * (k + 1) + [-1.0] * (k + 1),
                    )
            for c in here:
                row(-infinity, 0.0, [sale + c, c], [1.0, -float(most[i, c - first])])
        row(-infinity, float(p.stock[i]), [sale + first + c for c in range(block)], [1.0] * block)
    given = np.tile(p.regular_price[:, None] - p.price, (1, weeks)).reshape(n, block)
    for rule in rules:
        rows = np.flatnonzero(case.columns["category"] == rule.where["category"])
        columns = (sale + rows[:, None] * block + np.arange(block)).ravel()
        row(-infinity, rule.amount, columns.tolist(), given[rows].ravel().tolist())
    solver.addRows(
        len(lower), np.array(lower), np.array(upper), len(index),
        np.array(starts, np.int32), np.array(index, np.int32), np.array(value),
    )  # fmt: skip
    binaries = np.arange(n * block, dtype=np.int32)
    solver.changeColsIntegrality(len(binaries), binaries, np.array([highspy.HighsVarType.kInteger] * len(binaries)))
    solver.run()
    constant = float((p.stock * p.end_worth).sum())
    info = solver.getInfo()
    return constant - info.objective_function_value, constant - info.mip_dual_bound


def budgets_section(n: int, rival: int, limit: float) -> Section:
    """n items under ten budgets, beside the big-M programme on the ``rival`` items that it is given."""
    sides = {
        f"regulars, {n:,} items": Side(partial(prepare_coupled, n), 1),
        f"regulars, {rival:,} items": Side(partial(prepare_coupled, rival), 1),
        f"HiGHS big-M, {rival:,} items, stopped at {limit:.0f} s": Side(partial(prepare_big_m, rival, limit), 1, 0),
    }
    rows = []
    for name, m in in_turns(sides).items():
        worth, bound = m.result["worth"], m.result["bound"]
        rows.append(
            (
                name,
                seconds(m.median),
                seconds(m.result["processor"]),
                gigabytes(m.peak),
                f"{worth:,.2f}",
                f"{bound:,.2f}",
                f"{(bound - worth) / bound:.5%}",
                "60 s, .01%" if name == f"regulars, {n:,} items" else "",
            )
        )
    return Section(
        "markdown-budgets",
        f"Markdown budgets: {n:,} items, ten budgets",
        f"{WEEKS} weeks, {len(LADDER)} rungs, each of ten categories may give away half of what it would without a "
        "budget. The big-M programme is a textbook's: a rung a week as binaries, sales held under demand and stock, on "
        "one thread.",
        ("what", "time", "processor time", "peak memory", "worth", "bound", "gap", "target"),
        rows,
        ("The big-M programme may withhold stock, which no shop does, so its bound may lie above a plan's true best.",),
    )


def main() -> None:
    """Run one section and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("section", choices=("paths", "budgets"))
    parser.add_argument("--small", action="store_true")
    chosen = parser.parse_args()
    if chosen.section == "paths":
        print(paths_section(500 if chosen.small else 100_000).markdown())
    else:
        print(budgets_section(*((200, 10, 5.0) if chosen.small else (10_000, 100, 120.0))).markdown())


if __name__ == "__main__":
    main()
