"""Thousands of drawn rule sets: each plan re-checked and held against every plan there is, each conflict proven minimal.

By hand: ``python bench/rule_sets.py --sets 10000``; rows of the study are counts, all of which but the first three
should be 0.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product

import numpy as np
from tqdm import tqdm

from regulars.pricing import rules as r
from regulars.pricing.assortment import Assortment, read_assortment
from regulars.pricing.audit import audit_prices
from regulars.pricing.conflict import RulesConflict
from regulars.pricing.ladder import lowered_to_ending
from regulars.pricing.markdown import plan_markdowns


@dataclass(frozen=True)
class Case:
    """Arguments of `plan_markdowns` that were drawn."""

    items: dict[str, object]
    ladder: tuple[float, ...]
    weeks: int
    units: np.ndarray
    objective: r.Objective
    rules: tuple[r.Rule, ...]

    @property
    def assortment(self) -> Assortment:
        return read_assortment(self.items, self.ladder, self.weeks, self.units, self.objective)


def drawn_case(seed: int, *, coupled: bool = True) -> Case:
    """A few items and any mix of rules, about a third of them impossible."""
    rng = np.random.default_rng(seed)
    n, weeks, rungs = int(rng.integers(1, 4)), int(rng.integers(2, 5)), int(rng.integers(2, 5))
    ladder = (0.0, *np.sort(rng.choice(np.arange(1, 15), rungs - 1, replace=False) / 20.0).tolist())
    regular = np.round(rng.uniform(4, 60, n), 2)
    units = rng.gamma(2, 4, (n, weeks)) * (rng.uniform(size=(n, weeks)) < 0.95)
    standing = np.where(rng.uniform(size=n) < 0.6, 0.0, rng.choice([*ladder, 0.12], n))
    if rng.uniform() < 0.3:
        # demand by rung, whatever its shape
        standing = rng.choice(ladder, n)
        units = units[:, :, None] * np.cumprod(np.r_[1.0, rng.uniform(0.9, 2.0, rungs - 1)])
    items: dict[str, object] = {
        "item": [f"item {i}" for i in range(n)],
        "regular_price": regular,
        "on_hand": np.round(units.reshape(n, weeks, -1)[:, :, 0].sum(axis=1) * rng.choice([0, 0.5, 1.2, 2.5], n)),
        "elasticity": -rng.uniform(0.5, 4.0, n),
        "unit_cost": np.round(regular * rng.uniform(0.2, 0.8, n), 2),
        "salvage_value": np.round(regular * rng.uniform(0.0, 0.3, n), 2),
        "current_discount": standing,
        "age_weeks": rng.integers(0, 4, n).astype(float),
        "weeks_since_change": np.where(rng.uniform(size=n) < 0.5, np.nan, rng.integers(0, 4, n)),
        "exit_week": np.where(rng.uniform(size=n) < 0.5, np.nan, rng.integers(1, weeks + 2, n)),
        "minimum_advertised_price": np.where(rng.uniform(size=n) < 0.3, np.nan, np.round(regular * rng.uniform(0.3, 1, n), 2)),
        "competitor_price": np.where(rng.uniform(size=n) < 0.3, np.nan, np.round(regular * rng.uniform(0.5, 1.2, n), 2)),
        "group": rng.choice(["a", "b"], n),
        "planned_cost": np.round(rng.uniform(0, 5, n), 2),
    }  # fmt: skip
    if rng.uniform() < 0.5:
        items["current_discount"] = np.zeros(n)
    pool = list(_rule_pool(rng, weeks, ladder, items, coupled))
    count = int(rng.integers(0, min(7, len(pool)) + 1))
    chosen = [pool[k] for k in rng.choice(len(pool), count, replace=False)]
    objective = r.Objective(str(rng.choice(["revenue", "margin"])), salvage=bool(rng.integers(2)))  # type: ignore[arg-type]
    return Case(items, tuple(ladder), weeks, units, objective, tuple(chosen))


def _rule_pool(
    rng: np.random.Generator, weeks: int, ladder: Sequence[float], items: dict[str, object], coupled: bool
) -> Iterator[r.Rule]:
    def where() -> dict[str, object]:
        return {} if rng.uniform() < 0.7 else {"group": str(rng.choice(["a", "b"]))}

    worth = float(np.asarray(items["regular_price"]) @ np.asarray(items["on_hand"])) + 1.0
    yield r.MaxMarkdowns(int(rng.integers(0, 3)), where=where())
    yield r.MinWeeksBetween(int(rng.integers(1, 4)), where=where())
    yield r.MinimumStep(float(rng.choice([0.05, 0.1, 0.2])), where=where())
    yield r.MaximumStep(float(rng.choice([0.1, 0.2, 0.4])), where=where())
    yield r.DiscountTiers(tuple(d for d in ladder if rng.uniform() < 0.6), where=where())
    yield r.PriceEndings(((0.99,), (0.99, 0.49), (0.0, 0.5))[rng.integers(3)], where=where())
    yield r.MinimumOnHand(float(rng.integers(0, 20)), where=where())
    yield r.SellThrough(round(float(rng.uniform(0.2, 1.0)), 2), where=where())
    yield r.SellThrough(round(float(rng.uniform(0.1, 0.8)), 2), by_week=int(rng.integers(1, weeks + 1)), where=where())
    yield r.SellThrough(round(float(rng.uniform(0.5, 1.0)), 2), penalty=float(rng.uniform(0.5, 20)), where=where())
    yield r.MarginFloor(round(float(rng.uniform(-0.3, 0.4)), 2), where=where())
    yield r.MinimumAdvertisedPrice(where=where())
    yield r.CompetitorPrice(at_most=float(rng.choice([1.0, 1.1])), where=where())
    yield r.CompetitorPrice(at_least=float(rng.choice([0.6, 0.9])), where=where())
    yield r.NoTouch(after_launch=int(rng.integers(0, 3)), near_end=int(rng.integers(0, 2)), where=where())
    yield r.ExitDate()
    yield r.FixedPrice("item 0", int(rng.integers(0, weeks)), float(rng.choice(list(ladder))))
    yield r.PricesMayRise(where=where())
    if coupled:
        basis = str(rng.choice(["sold", "on_hand"]))
        yield r.Budget(round(float(rng.uniform(0, 0.3)) * worth, 2), basis=basis, where=where())  # type: ignore[arg-type]
        yield r.Budget(round(float(rng.uniform(0, 0.2)) * worth, 2), planned="planned_cost", weeks=(0, weeks - 1))
        yield r.AllOrNothing()
        yield r.AtMostOnePromoted()


@dataclass(frozen=True)
class Enumerated:
    """Every plan of a small case that its single items' rules allow: prices, sales and worth of each item's paths."""

    price: list[np.ndarray]
    sold: list[np.ndarray]
    on_hand: list[np.ndarray]
    worth: list[np.ndarray]


def enumerate_paths(case: Assortment, rules: Sequence[r.Rule]) -> Enumerated:
    """Try every price path of each item and keep those that the independent checker passes."""
    own = [rule for rule in rules if not isinstance(rule, r.COUPLING)]
    out: tuple[list[np.ndarray], ...] = ([], [], [], [])
    for i in range(len(case)):
        one = case.take(np.array([i]))
        mine = [rule for rule in own if not isinstance(rule, r.FixedPrice)]
        options = _options(one, mine)
        exit_week = one.number("exit_week", np.inf)[0] if any(isinstance(x, r.ExitDate) for x in mine) else np.inf
        horizon = int(min(exit_week, case.n_weeks))
        paths = np.full((len(options) ** horizon, case.n_weeks), np.nan)
        paths[:, :horizon] = list(product(options, repeat=horizon))
        paths = paths[_fixed(one, own, paths)]
        many = replace(one.take(np.zeros(len(paths), np.int64)), names=tuple(range(len(paths))))
        if len(paths):
            found = audit_prices(many, mine, paths)
            bad = {name for violation in found.violations for name in violation.items}
            paths = paths[[k not in bad for k in range(len(paths))]]
        for column, values in zip(out, _follow(one, mine, paths), strict=True):
            column.append(values)
    return Enumerated(*out)


def _options(one: Assortment, rules: Sequence[r.Rule]) -> list[float]:
    regular = one.number("regular_price")[0]
    prices = {float(p) for p in regular * (1.0 - one.depths[0])}
    for rule in rules:
        if isinstance(rule, r.PriceEndings):
            fits = all(one.columns[column][0] == value for column, value in rule.where.items())
            if fits:
                prices |= {float(p) for p in lowered_to_ending(regular * (1.0 - one.depths[0]), rule.endings) if p > 0}
    prices.add(float(regular * (1.0 - one.number("current_discount", 0.0)[0])))
    distinct: list[float] = []
    for price in sorted(prices):
        if not distinct or price - distinct[-1] > 1e-5:
            distinct.append(price)
    return distinct


def _fixed(one: Assortment, rules: Sequence[r.Rule], paths: np.ndarray) -> np.ndarray:
    kept = np.ones(len(paths), np.bool_)
    regular, standing = one.number("regular_price")[0], one.number("current_discount", 0.0)[0]
    for rule in rules:
        if isinstance(rule, r.FixedPrice) and rule.item == one.names[0]:
            asked = regular * (1.0 - rule.discount)
            endings = [x for x in rules if isinstance(x, r.PriceEndings)]
            endings = [x for x in endings if all(one.columns[c][0] == v for c, v in x.where.items())]
            if endings and rule.discount > 0 and abs(rule.discount - standing) > 1e-9:
                asked = lowered_to_ending(np.array([asked]), endings[0].endings)[0]
            kept &= np.abs(paths[:, rule.week] - asked) <= 1e-5
    return kept


def _follow(one: Assortment, rules: Sequence[r.Rule], paths: np.ndarray) -> tuple[np.ndarray, ...]:
    regular, stock = one.number("regular_price")[0], one.number("on_hand")[0]
    cost = one.number("unit_cost", 0.0)[0] if one.objective.goal == "margin" else 0.0
    left = np.full(len(paths), stock)
    sold, on_hand = np.zeros(paths.shape), np.zeros(paths.shape)
    worth = np.zeros(len(paths))
    full = regular * (1.0 - one.depths[0])
    for t in range(paths.shape[1]):
        price = paths[:, t]
        if one.units.ndim == 3:
            # the deepest rung whose price this is or was before its ending
            above = np.abs(full - price[:, None]) <= 1e-5
            below = (price[:, None] <= full + 1e-5) & (price[:, None] > full - 1.0)
            hit = np.where(above.any(axis=1)[:, None], above, below)
            rung = len(full) - 1 - hit[:, ::-1].argmax(axis=1)
            asked = one.units[0, t, rung]
        else:
            asked = one.units[0, t] * (price / regular) ** one.number("elasticity")[0]
        on_hand[:, t] = left
        sold[:, t] = np.where(np.isnan(price), 0.0, np.minimum(np.nan_to_num(asked), left))
        left = left - sold[:, t]
        worth += np.where(np.isnan(price), 0.0, (np.nan_to_num(price) - cost) * sold[:, t])
    if one.objective.salvage:
        worth += (one.number("salvage_value", 0.0)[0] - cost) * left
    for rule in rules:
        if (
            isinstance(rule, r.SellThrough)
            and rule.penalty
            and all(one.columns[c][0] == v for c, v in rule.where.items())
        ):
            last = min(rule.by_week or paths.shape[1], int((~np.isnan(paths[0])).sum()) if len(paths) else 1)
            worth -= rule.penalty * np.maximum(rule.share * stock - sold[:, :last].sum(axis=1), 0.0)
    return paths, sold, on_hand, worth


def best_by_enumeration(case: Assortment, rules: Sequence[r.Rule]) -> float:
    """The worth of the best plan by trying all of them; -inf where there is none. Shared stock is not tried."""
    tried = enumerate_paths(case, rules)
    if any(len(paths) == 0 for paths in tried.price):
        return -np.inf
    regular = case.number("regular_price")
    standing = regular * (1.0 - case.number("current_discount", 0.0))
    sizes = [len(paths) for paths in tried.price]
    grid = np.indices(sizes).reshape(len(sizes), -1)
    worth = sum(tried.worth[i][grid[i]] for i in range(len(case)))
    kept = np.ones(grid.shape[1], np.bool_)
    down = [np.nan_to_num(p, nan=np.inf) < regular[i] - 1e-6 for i, p in enumerate(tried.price)]
    for rule in rules:
        rows = [i for i in range(len(case)) if all(case.columns[c][i] == v for c, v in rule.where.items())]
        if isinstance(rule, r.Budget):
            first, last = rule.weeks or (0, case.n_weeks)
            planned = float(case.number(rule.planned)[rows].sum()) if isinstance(rule.planned, str) else rule.planned
            spent = np.full(grid.shape[1], planned)
            for i in rows:
                price = np.nan_to_num(tried.price[i])
                before = np.concatenate([np.full((sizes[i], 1), standing[i]), price[:, :-1]], axis=1)
                on_sale = ~np.isnan(tried.price[i])
                cut = np.where(on_sale, np.maximum(before - price, 0.0), 0.0) * tried.on_hand[i]
                given = np.where(on_sale, regular[i] - price, 0.0) * tried.sold[i]
                spent += (given if rule.basis == "sold" else cut)[:, first:last].sum(axis=1)[grid[i]]
            kept &= spent <= rule.amount + 1e-7 * max(1.0, rule.amount)
        elif isinstance(rule, r.AllOrNothing | r.AtMostOnePromoted):
            for label in set(case.columns["group"].tolist()):
                members = [i for i in rows if case.columns["group"][i] == label]
                for t in range(case.n_weeks):
                    # who is off sale is off sale on every path
                    selling = [i for i in members if not np.isnan(tried.price[i][0, t])]
                    if len(selling) < 2:
                        continue
                    count = sum(down[i][grid[i], t].astype(int) for i in selling)
                    kept &= (
                        (count <= 1)
                        if isinstance(rule, r.AtMostOnePromoted)
                        else (count == 0) | (count == len(selling))
                    )
    return float(worth[kept].max()) if kept.any() else -np.inf


def is_minimal(case: Case, conflict_rules: Sequence[r.Rule], items: Sequence[object]) -> bool:
    """Whether the rules really conflict on these items and each proper subset does not, by trying every plan."""
    rows = np.array([k for k, name in enumerate(case.items["item"]) if name in set(items)])  # type: ignore[arg-type]
    coupled = any(isinstance(rule, r.COUPLING) for rule in conflict_rules)
    some = case.assortment if coupled else case.assortment.take(rows)
    always = [x for x in case.rules if isinstance(x, r.SETTINGS) and x not in conflict_rules]
    if best_by_enumeration(some, [*always, *conflict_rules]) > -np.inf:
        return False
    return all(
        best_by_enumeration(some, [*always, *few]) > -np.inf
        for size in range(len(conflict_rules))
        for few in combinations(conflict_rules, size)
    )


def rule_set_study(sets: int, *, first: int = 0, prove_best: bool = True, progress: bool = True) -> dict[str, object]:
    """Plan under drawn rule sets: every plan re-checked and, one by one, held against all plans there are."""
    counts = {"sets": sets, "planned": 0, "impossible": 0, "violations": 0, "not_minimal": 0, "outside_the_gap": 0}
    conflict_sizes: dict[int, int] = {}
    failed: list[int] = []
    widest, begun = 0.0, time.perf_counter()
    for seed in tqdm(range(first, first + sets), disable=not (progress and sys.stderr.isatty())):
        case = drawn_case(seed)
        try:
            plan = plan_markdowns(
                case.items,
                ladder=case.ladder,
                weeks=case.weeks,
                rules=case.rules,
                expected_units=case.units,
                objective=case.objective,
            )
        except RulesConflict as error:
            counts["impossible"] += 1
            found = error.conflict
            conflict_sizes[len(found.rules)] = conflict_sizes.get(len(found.rules), 0) + 1
            if not is_minimal(case, found.rules, found.items):
                counts["not_minimal"] += 1
                failed.append(seed)
            continue
        counts["planned"] += 1
        counts["violations"] += bool(plan.check().violations)
        widest = max(widest, plan.gap)
        if prove_best:
            best = best_by_enumeration(case.assortment, case.rules)
            slack = 1e-7 * max(1.0, abs(best))
            if not plan.objective - slack <= best <= plan.bound + slack:
                counts["outside_the_gap"] += 1
                failed.append(seed)
    sizes = ", ".join(f"{count} of {size}" for size, count in sorted(conflict_sizes.items()))
    return counts | {
        "failed": failed,
        "conflict sizes": sizes,
        "widest gap": widest,
        "seconds": time.perf_counter() - begun,
    }


def main() -> None:
    """Run the study and print its counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    chosen = parser.parse_args()
    print(rule_set_study(chosen.sets, first=chosen.first))


if __name__ == "__main__":
    main()
