"""Rules of single items, compiled to the masks and limits that the path search reads."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..sql.errors import nearest
from . import rules as r
from .assortment import Assortment
from .ladder import SAME, Ladder, PlanError
from .path_search import PathProblem


@dataclass(frozen=True)
class Compiled:
    """An assortment under its rules, ready for the search.

    ``pool`` (n,) is the number of the shared stock that a row sells from, -1 for its own; ``pools`` holds, for each,
    its units and the worth of one left at the end.
    """

    problem: PathProblem = field(repr=False)
    ladder: Ladder = field(repr=False)
    pool: np.ndarray = field(repr=False)
    pools: np.ndarray = field(repr=False)


def compile_rules(assortment: Assortment, rules: Sequence[r.Rule]) -> Compiled:
    """Return the search's problem: every rule of a single item, and whether its stock is shared.

    Raises
    ------
    RuleError, PlanError
        Where a rule names a column, item, week or price that is not there, or two rules say different things about
        what only one can say (price endings, a soft target of one week).
    """
    n, weeks = len(assortment), assortment.n_weeks
    chosen = [(rule, selected(assortment, rule)) for rule in rules]
    ladder = assortment.ladder(_endings(assortment, chosen))
    rungs = ladder.price.shape[1]
    horizon = _horizons(assortment, chosen)
    regular = assortment.number("regular_price")
    unit_worth, end_worth = _worths(assortment, ladder)
    stock = assortment.number("on_hand")
    allowed = np.broadcast_to(ladder.exists[:, None, :], (n, weeks, rungs)).copy()
    deeper = np.triu(np.ones((rungs, rungs), np.bool_), 1)
    target = _may_be_set(ladder, chosen)
    steps = target[:, None, :] & deeper
    may_change = np.ones((n, weeks), np.bool_)
    most_markdowns = np.full(n, weeks)
    weeks_between = np.ones(n, np.int64)
    least = np.zeros(n)
    must, should, short = np.full((n, weeks), -np.inf), np.full((n, weeks), -np.inf), np.zeros((n, weeks))
    rising = np.zeros(n, np.bool_)
    every = np.arange(weeks)
    for rule, rows in chosen:
        match rule:
            case r.PricesMayRise():
                steps |= rows[:, None, None] & target[:, None, :] & deeper.T
                rising |= rows
            case r.MaxMarkdowns(count=count):
                most_markdowns = np.where(rows, np.minimum(most_markdowns, count), most_markdowns)
            case r.MinWeeksBetween(weeks=gap):
                weeks_between = np.where(rows, np.maximum(weeks_between, min(gap, weeks + 1)), weeks_between)
            case r.MinimumOnHand(units=units):
                least = np.where(rows, np.maximum(least, units), least)
            case r.NoTouch(after_launch=first, near_end=last):
                may_change &= ~(rows[:, None] & (every >= (horizon - last)[:, None]))
                if first:
                    age = assortment.needed("age_weeks", rows, str(rule))
                    with np.errstate(invalid="ignore"):
                        may_change &= ~(rows[:, None] & (age[:, None] + every < first))
            case r.SellThrough():
                _target(assortment, rule, rows, stock, horizon, (must, should, short))
            case r.FixedPrice(week=week):
                (at,) = np.flatnonzero(rows).tolist()
                fixed = _fixed_rung(ladder, rule, at, weeks)
                if week < horizon[at]:
                    allowed[at, week] &= fixed
                else:
                    allowed[at] = False
            case _:
                pass
    allowed &= _price_bounds(assortment, ladder, chosen)[:, None, :]
    for rule, rows in chosen:
        if isinstance(rule, r.MinimumStep | r.MaximumStep):
            cut = (ladder.price[:, :, None] - ladder.price[:, None, :]) / regular[:, None, None]
            kept = cut >= rule.share - 1e-9 if isinstance(rule, r.MinimumStep) else cut <= rule.share + 1e-9
            steps &= ~rows[:, None, None] | ~deeper | kept
    waited = np.where(
        np.isnan(assortment.number("weeks_since_change")), weeks + 1, assortment.number("weeks_since_change")
    )
    pool, pools = _pools(assortment, chosen, rising, end_worth, must, should, least)
    shared = pool >= 0
    if shared.any():
        unit_worth = np.where(shared[:, None], unit_worth - end_worth[:, None], unit_worth)
        stock = np.where(shared, pools[np.maximum(pool, 0), 0], stock)
        end_worth = np.where(shared, 0.0, end_worth)
    problem = PathProblem(
        demand=assortment.demand(ladder),
        price=ladder.price,
        regular_price=regular,
        unit_worth=unit_worth,
        end_worth=end_worth,
        stock=stock,
        horizon=horizon,
        start=ladder.start,
        allowed=_packed(allowed),
        steps=_packed(steps),
        may_change=may_change,
        most_markdowns=most_markdowns,
        weeks_between=weeks_between,
        weeks_waited=np.maximum(waited, 1).astype(np.int64),
        least_on_hand=least,
        must_sell=must,
        should_sell=should,
        short_cost=short,
        withheld=shared,
    )
    return Compiled(problem, ladder, pool, pools)


def check_rules(assortment: Assortment, rules: Sequence[r.Rule]) -> None:
    """Refuse rules that would be in force for nobody, or ask for what is not there: they are mistakes, not rules.

    Raises
    ------
    RuleError
        Naming the rule, what it says and what there is.
    """
    for rule in rules if len(assortment) else ():
        if isinstance(rule, r.FixedPrice) and rule.item not in assortment.names:
            raise r.RuleError(
                f"{rule}: there is no item {rule.item!r}{nearest(str(rule.item), _texts(assortment.names))}."
            )
        rows = selected(assortment, rule)
        if not rows.any():
            told = "; ".join(
                f"{name} has {', '.join(dict.fromkeys(repr(v) for v in assortment.columns[name].tolist()[:6]))}.."
                for name in rule.where
            )
            raise r.RuleError(f"{rule}: no item is chosen by where=, so it would do nothing; {told}")
        if isinstance(rule, r.DiscountTiers):
            for tier in rule.tiers:
                if not (np.abs(assortment.depths[rows] - tier) <= 1e-6).any():
                    have = ", ".join(f"{d:g}" for d in np.unique(assortment.depths[rows]))
                    raise r.RuleError(f"{rule}: {tier:g} is no rung of the ladder; it has {have}.")
        if isinstance(rule, r.Budget) and isinstance(rule.planned, str):
            planned = assortment.number(rule.planned, 0.0) if rule.planned in assortment.columns else np.zeros(1)
            wrong = np.flatnonzero((planned < 0.0) | np.isinf(planned))
            if len(wrong):
                raise r.RuleError(
                    f"{rule}: {rule.planned} of item {assortment.names[wrong[0]]!r} is {planned[wrong[0]]:g}; what is "
                    f"planned is money, 0 or more."
                )


def _texts(names: Sequence[object]) -> list[str]:
    return [str(name) for name in names]


def selected(assortment: Assortment, rule: r.Rule) -> np.ndarray:
    """Return whom a rule is for (n,), bool; RuleError where it names a column or an item that is not there."""
    rows = np.ones(len(assortment), np.bool_)
    for column, wanted in rule.where.items():
        if column not in assortment.columns:
            raise r.RuleError(f"{rule}: items have no column {column!r}; there is {list(assortment.columns)}.")
        values = assortment.columns[column]
        several = wanted if isinstance(wanted, tuple | list | set | frozenset) else (wanted,)
        rows &= np.array([value in several for value in values.tolist()], dtype=np.bool_)
    if isinstance(rule, r.FixedPrice):
        own = np.zeros(len(assortment), np.bool_)
        if rule.item in assortment.names:
            own[assortment.names.index(rule.item)] = True
        rows &= own
    return rows


def groups(assortment: Assortment, rule: r.Rule, by: str, rows: np.ndarray) -> list[np.ndarray]:
    """Return the rows of each group, in the order of their first rows; items without a value stand in none."""
    if by not in assortment.columns:
        raise r.RuleError(f"{rule}: items have no column {by!r}; there is {list(assortment.columns)}.")
    members: dict[object, list[int]] = {}
    values = assortment.columns[by].tolist()
    for i in np.flatnonzero(rows):
        if values[i] is not None and values[i] == values[i]:
            members.setdefault(values[i], []).append(int(i))
    return [np.array(found) for found in members.values()]


_Chosen = Sequence[tuple[r.Rule, np.ndarray]]


def _endings(assortment: Assortment, chosen: _Chosen) -> list[tuple[float, ...] | None] | None:
    ended = [(rule, rows) for rule, rows in chosen if isinstance(rule, r.PriceEndings) and rows.any()]
    if not ended:
        return None
    found: list[tuple[float, ...] | None] = [None] * len(assortment)
    for rule, rows in ended:
        for i in np.flatnonzero(rows):
            if found[i] is not None and found[i] != tuple(rule.endings):
                raise r.RuleError(
                    f"item {assortment.names[i]!r} has two rules of price endings, {found[i]} and {rule.endings}; "
                    f"keep one, or narrow them with where=."
                )
            found[i] = tuple(rule.endings)
    return found


def _horizons(assortment: Assortment, chosen: _Chosen) -> np.ndarray:
    weeks = assortment.n_weeks
    horizon = np.full(len(assortment), weeks)
    for rule, rows in chosen:
        if not isinstance(rule, r.ExitDate) or not rows.any():
            continue
        if rule.column not in assortment.columns:
            raise r.RuleError(f"{rule}: items have no column {rule.column!r}; there is {list(assortment.columns)}.")
        own = _exit_weeks(assortment, rule)
        for i in np.flatnonzero(rows & (own < 1))[:1]:
            told = assortment.columns[rule.column][i]
            raise PlanError(
                f"item {assortment.names[i]!r} exits ({rule.column} {told}) before the plan starts; leave it out, or "
                f"correct its exit."
            )
        horizon = np.where(rows, np.minimum(horizon, own), horizon)
    return horizon.astype(np.int64)


def _exit_weeks(assortment: Assortment, rule: r.ExitDate) -> np.ndarray:
    values = assortment.columns[rule.column]
    if values.dtype.kind == "M" or any(hasattr(v, "year") for v in values.tolist()[:50] if v is not None):
        if assortment.dates is None:
            raise r.RuleError(
                f"{rule}: {rule.column!r} holds dates and the plan counts its weeks; give weeks= as first days."
            )
        days = values.astype("datetime64[D]")
        starts = np.array(assortment.dates, dtype="datetime64[D]")
        counted = (starts[None, :] <= days[:, None]).sum(axis=1)
        return np.where(np.isnat(days), assortment.n_weeks, counted)
    number = assortment.number(rule.column)
    for i in np.flatnonzero(np.isinf(number))[:1]:
        raise PlanError(
            f"item {assortment.names[i]!r}: {rule.column} is {float(number[i])}; it is a count of weeks, or missing "
            "for an item that stays."
        )
    return np.where(np.isnan(number), assortment.n_weeks, np.floor(np.nan_to_num(number)))


def _worths(assortment: Assortment, ladder: Ladder) -> tuple[np.ndarray, np.ndarray]:
    goal, salvage = assortment.objective.goal, assortment.objective.salvage
    cost = assortment.number("unit_cost", 0.0) if goal == "margin" else np.zeros(len(assortment))
    end = assortment.number("salvage_value", 0.0) - cost if salvage else np.zeros(len(assortment))
    return ladder.price - cost[:, None], end


def _may_be_set(ladder: Ladder, chosen: _Chosen) -> np.ndarray:
    """Rungs that a price may be changed to (n, R): on the ladder handed in, and on the tiers where there are any."""
    may = ladder.exists & (ladder.given >= 0)
    regular = ladder.depth <= SAME
    for rule, rows in chosen:
        if isinstance(rule, r.DiscountTiers):
            on_tier = np.zeros(may.shape, np.bool_)
            for tier in rule.tiers:
                on_tier |= np.abs(ladder.depth - tier) <= SAME
            may &= ~rows[:, None] | _at_the_price_of(ladder, on_tier) | regular
    return may


def _at_the_price_of(ladder: Ladder, asked: np.ndarray) -> np.ndarray:
    """Rungs at the price of one that is asked for (n, R): an ending may have made two depths one price."""
    apart = np.abs(ladder.price[:, :, None] - ladder.price[:, None, :]) <= 1e-6
    return ladder.exists & (apart & asked[:, None, :] & (ladder.given >= 0)[:, None, :]).any(axis=2)


def _price_bounds(assortment: Assortment, ladder: Ladder, chosen: _Chosen) -> np.ndarray:
    within = np.ones(ladder.price.shape, np.bool_)
    price = ladder.price
    for rule, rows in chosen:
        match rule:
            case r.MarginFloor(share=share):
                cost = assortment.needed("unit_cost", rows, str(rule))
                kept = price - cost[:, None] >= share * price - 1e-9
            case r.MinimumAdvertisedPrice(column=column):
                least = _bound_column(assortment, rule, column)
                kept = price >= np.where(np.isnan(least), -np.inf, least)[:, None] - 1e-9
            case r.CompetitorPrice(at_most=most, at_least=least, column=column):
                other = _bound_column(assortment, rule, column)[:, None]
                kept = np.isnan(other) | (
                    (price <= np.nan_to_num(other) * (np.inf if most is None else most) + 1e-9 if most else True)
                    & (price >= np.nan_to_num(other) * (least or 0.0) - 1e-9)
                )
            case _:
                continue
        within &= ~rows[:, None] | kept
    return within


def _bound_column(assortment: Assortment, rule: r.Rule, column: str) -> np.ndarray:
    if column not in assortment.columns:
        raise r.RuleError(f"{rule}: items have no column {column!r}; there is {list(assortment.columns)}.")
    return assortment.number(column)


def _target(
    assortment: Assortment,
    rule: r.SellThrough,
    rows: np.ndarray,
    stock: np.ndarray,
    horizon: np.ndarray,
    targets: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    must, should, short = targets
    weeks = assortment.n_weeks
    if rule.by_week is not None and rule.by_week > weeks:
        raise r.RuleError(f"{rule}: the plan has {weeks} weeks; by_week is at most that.")
    at = np.minimum(horizon, weeks if rule.by_week is None else rule.by_week) - 1
    i = np.flatnonzero(rows)
    if rule.penalty is None:
        must[i, at[i]] = np.maximum(must[i, at[i]], rule.share * stock[i])
        return
    twice = i[short[i, at[i]] > 0.0]
    if len(twice):
        raise r.RuleError(
            f"{rule}: item {assortment.names[twice[0]]!r} has another soft sell-through target in week "
            f"{at[twice[0]] + 1}; keep one of them."
        )
    should[i, at[i]], short[i, at[i]] = rule.share * stock[i], rule.penalty


def _fixed_rung(ladder: Ladder, rule: r.FixedPrice, at: int, weeks: int) -> np.ndarray:
    if rule.week >= weeks:
        raise r.RuleError(f"{rule}: the plan has {weeks} weeks; week counts from 0.")
    asked = np.abs(ladder.depth[at] - rule.discount) <= 1e-6
    if not asked.any():
        have = sorted({round(float(d), 6) for d in ladder.depth[at]})
        raise r.RuleError(f"{rule}: no rung of the item has this depth; it has {have}.")
    asked &= ladder.given[at] >= 0 if (asked & (ladder.given[at] >= 0)).any() else True
    return ladder.exists[at] & (np.abs(ladder.price[at][:, None] - ladder.price[at][asked]) <= 1e-6).any(axis=1)


def _pools(
    assortment: Assortment,
    chosen: _Chosen,
    rising: np.ndarray,
    end_worth: np.ndarray,
    must: np.ndarray,
    should: np.ndarray,
    least: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    pool = np.full(len(assortment), -1)
    pools: list[tuple[float, float]] = []
    stock = assortment.number("on_hand")
    for rule, rows in chosen:
        if not isinstance(rule, r.SharedStock):
            continue
        for members in groups(assortment, rule, rule.by, rows):
            first = assortment.names[members[0]]
            if (pool[members] >= 0).any():
                raise r.RuleError(f"{rule}: item {first!r} shares stock by two rules; keep one.")
            if rising[members].any():
                raise r.RuleError(f"{rule}: prices of item {first!r} may rise; where stock is shared they only fall.")
            if np.isfinite(must[members]).any() or np.isfinite(should[members]).any() or (least[members] > 0.0).any():
                raise r.RuleError(
                    f"{rule}: item {first!r} has a sell-through target or a minimum on hand of its own; where stock is "
                    f"shared there is none of its own. Narrow that rule with where=."
                )
            for other, theirs in chosen:
                if isinstance(other, r.Budget) and other.basis == "on_hand" and theirs[members].any():
                    raise r.RuleError(
                        f"{rule}: item {first!r} stands in {other}; a write-down counts the units of each row when its "
                        f"price is cut, and where stock is shared the plan decides who has them. Use basis='sold'."
                    )
            if np.ptp(end_worth[members]) > 1e-9:
                raise r.RuleError(
                    f"{rule}: rows that share stock with {first!r} differ in what a unit left at the end is worth "
                    f"(salvage_value, unit_cost); give them one."
                )
            pool[members] = len(pools)
            pools.append((float(stock[members].sum()), float(end_worth[members[0]])))
    return pool, np.array(pools).reshape(-1, 2)


def _packed(flags: np.ndarray) -> np.ndarray:
    powers = np.uint64(1) << np.arange(flags.shape[-1], dtype=np.uint64)
    return (flags * powers).sum(axis=-1, dtype=np.uint64)
