"""Thousands of drawn rule sets: each plan re-checked and held against every plan there is, each conflict proven minimal.

By hand: ``python bench/rule_sets.py --sets 10000``; rows of the study are counts, all of which but the first three
should be 0.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from regulars.pricing import rules as r
from regulars.pricing.assortment import Assortment, read_assortment
from regulars.pricing.audit import audit_prices
from regulars.pricing.conflict import RulesConflict
from regulars.pricing.ladder import lowered_to_ending
from regulars.pricing.markdown import plan_markdowns

if TYPE_CHECKING:
    from report import Section

# what the figures rest on: chunks of another state of these are made anew
PLANNER = (
    "bench/rule_sets.py",
    *(
        f"pricing/{name}.py"
        for name in (
            "assortment", "audit", "conflict", "coupling", "ladder", "markdown", "path_account", "path_search",
            "rule_limits", "rules", "shared_limits",
        )
    ),
)  # fmt: skip


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
    # a rule for nobody is refused
    chosen = [rule for rule in chosen if not rule.where or rule.where["group"] in np.asarray(items["group"]).tolist()]
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
    yield r.DiscountTiers(tuple(d for d in ladder if rng.uniform() < 0.6) or ladder[-1:], where=where())
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


def judged_set(seed: int, *, prove_best: bool = True) -> dict[str, object]:
    """Plan under one drawn rule set: re-check the plan and hold it against all plans there are, or its conflict."""
    case = drawn_case(seed)
    found: dict[str, object] = {
        "rules": len(case.rules),
        "conflict": 0,
        "not_minimal": False,
        "violated": False,
        "outside_the_gap": False,
        "gap": 0.0,
    }
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
        named = error.conflict
        return found | {
            "conflict": len(named.rules),
            "not_minimal": not is_minimal(case, named.rules, named.items),
        }
    found |= {"violated": bool(plan.check().violations), "gap": float(plan.gap)}
    if prove_best:
        best = best_by_enumeration(case.assortment, case.rules)
        slack = 1e-7 * max(1.0, abs(best))
        found["outside_the_gap"] = not plan.objective - slack <= best <= plan.bound + slack
    return found


def rule_set_study(sets: int, *, first: int = 0, prove_best: bool = True, progress: bool = True) -> dict[str, object]:
    """Plan under drawn rule sets and count what was found; ``failed`` are the seeds of those that should not be."""
    begun = time.perf_counter()
    seeds = range(first, first + sets)
    bar = tqdm(seeds, disable=not (progress and sys.stderr.isatty()))
    found = [judged_set(seed, prove_best=prove_best) for seed in bar]
    failed = [
        seed
        for seed, row in zip(seeds, found, strict=True)
        if row["violated"] or row["not_minimal"] or row["outside_the_gap"]
    ]
    return counted(found) | {"failed": failed, "seconds": time.perf_counter() - begun}


def counted(found: Sequence[dict[str, Any]]) -> dict[str, object]:
    """Counts over rows of `judged_set`."""
    impossible = sum(row["conflict"] > 0 for row in found)
    sizes = Counter(row["conflict"] for row in found if row["conflict"])
    return {
        "sets": len(found),
        "planned": len(found) - impossible,
        "impossible": impossible,
        "violations": sum(row["violated"] for row in found),
        "not_minimal": sum(row["not_minimal"] for row in found),
        "outside_the_gap": sum(row["outside_the_gap"] for row in found),
        "conflict sizes": ", ".join(f"{count} of {size}" for size, count in sorted(sizes.items())),
        "widest gap": max((row["gap"] for row in found), default=0.0),
    }


def rule_sets_section(sets: int, key: str) -> "Section":
    """The study in chunks that are kept, as a section of a page."""
    from chunks import in_chunks
    from report import Section

    def run(seeds: range) -> list[Any]:
        return [judged_set(seed) for seed in seeds]

    found = in_chunks("rule-sets", key, sets, run, size=250, sources=PLANNER)
    counts = counted(found)
    with_rules = [row["rules"] for row in found]
    rows = [
        ("rule sets drawn", f"{sets:,}", ""),
        ("planned", f"{counts['planned']:,}", ""),
        ("... with a violation found by the independent checker", f"{counts['violations']:,}", "0"),
        ("... whose worth or bound all plans there are refute", f"{counts['outside_the_gap']:,}", "0"),
        ("impossible: a conflict is named", f"{counts['impossible']:,}", ""),
        ("... that holds after all, or that is not minimal", f"{counts['not_minimal']:,}", "0"),
    ]
    return Section(
        "rule-sets",
        "Drawn rule sets",
        f"1 to 3 items, 2 to 4 weeks, 2 to 4 rungs under {min(with_rules)} to {max(with_rules)} rules of every kind but "
        "shared stock, with random numbers and groups (`bench/rule_sets.py`). Every plan is re-checked by the independent "
        "checker and held against all plans there are, by enumeration. Where no plan is found the conflict that is "
        "named must be real, and every proper subset of it must have a plan, by enumeration too.",
        ("what", "count", "target"),
        rows,
        (
            f"Rules in a conflict: {counts['conflict sizes']}. Widest certified gap {float(str(counts['widest gap'])):.2%}.",
        ),
        key=key,
    )


def main() -> None:
    """Run the study and print its counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    chosen = parser.parse_args()
    print(rule_set_study(chosen.sets, first=chosen.first))


if __name__ == "__main__":
    main()
