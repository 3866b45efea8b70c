"""A plan made otherwise: another ladder, budget or length, other rules, for all or some of its items; prices by hand.

Everything is worked out anew from what the snapshot's plan was made of (`PlanInputs`); with nothing said otherwise the
plan is the snapshot's, to the last digit. The app's page and the command line both plan through `replan`.
"""

import json
import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np

from ..sql.errors import ModelError, SettingsError, nearest
from .plan_rules import explain_conflict, make_rules, table_words
from .price_overrides import Override, find_item, missing_item, place_overrides
from .price_plans import PlanInputs, day_of

if TYPE_CHECKING:
    from ..pricing.explanation import Explanation
    from ..pricing.markdown import MarkdownPlan

_GROUPED = {"AllOrNothing": "group", "AtMostOnePromoted": "group", "SharedStock": "product"}
Placed = Mapping[tuple[str, int], tuple[float, Override]]


@dataclass(frozen=True)
class PlanTerms:
    """What is to be planned otherwise than a snapshot has it; None and () leave it as it is.

    Attributes
    ----------
    ladder : tuple of float, optional
        Depths off the regular price.
    weeks : int, optional
        How many weeks the items are on sale: no more than the snapshot's plan has.
    budget : float, optional
        What markdowns may cost, in place of the plan's own budgets that are not limited by ``where``.
    rules : tuple of tables, optional
        All rules, as the settings write them; ``()`` for none.
    items : tuple of str
        Who is planned otherwise; the others keep their plan. All without any.

    Examples
    --------
    >>> terms = PlanTerms.of({"ladder": [0, 0.2, 0.5], "budget": 500})
    >>> terms.to_dict(), bool(terms), bool(PlanTerms())
    ({'ladder': [0.0, 0.2, 0.5], 'budget': 500.0}, True, False)
    >>> print(*terms.options())
    --ladder 0,0.2,0.5 --budget 500
    """

    ladder: tuple[float, ...] | None = None
    weeks: int | None = None
    budget: float | None = None
    rules: tuple[Mapping[str, Any], ...] | None = None
    items: tuple[str, ...] = ()

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> "PlanTerms":
        """Check and take terms from plain values, such as those of a draft or a page.

        Raises
        ------
        SettingsError
            A key or value is not allowed.
        """
        from pydantic import ValidationError

        from ..sql.pricing_settings import MarkdownSettings

        known = ("ladder", "weeks", "budget", "rules", "items")
        for key in said:
            if key not in known:
                raise SettingsError(f"a plan has no {str(key)[:40]!r}{nearest(str(key), known)}")
        given = {key: said[key] for key in ("ladder", "weeks", "rules") if said.get(key) is not None}
        try:
            made = MarkdownSettings.model_validate(given)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise SettingsError(f"{where} of the plan: {first['msg'].removeprefix('Value error, ')}") from error
        budget = said.get("budget")
        if budget is not None and (
            isinstance(budget, bool | str) or not isinstance(budget, int | float) or not 0 <= budget < math.inf
        ):
            raise SettingsError(f"budget of the plan: {budget!r:.40} is no amount from 0")
        items = said.get("items") or ()
        if isinstance(items, str) or not all(isinstance(item, str) for item in items):
            raise SettingsError("items of the plan: a list of names")
        return cls(
            made.ladder if "ladder" in given else None,
            made.weeks if "weeks" in given else None,
            None if budget is None else float(budget),
            tuple(dict(rule) for rule in made.rules) if "rules" in given else None,
            tuple(sorted(set(items))),
        )

    @classmethod
    def of_words(
        cls,
        ladder: str = "",
        weeks: int | None = None,
        budget: float | None = None,
        rules: Sequence[str] = (),
        items: Sequence[str] = (),
    ) -> "PlanTerms":
        """Read terms as the command line gives them.

        Raises
        ------
        SettingsError
            One cannot be read.

        Examples
        --------
        >>> PlanTerms.of_words("0,20%,50%", rules=['{ rule = "MaxMarkdowns", count = 1 }']).to_dict()
        {'ladder': [0.0, 0.2, 0.5], 'rules': [{'rule': 'MaxMarkdowns', 'count': 1}]}
        """  # fmt: skip
        said: dict[str, Any] = {"weeks": weeks, "budget": budget, "items": tuple(items)}
        if ladder:
            said["ladder"] = [_depth(word) for word in ladder.split(",")]
        if rules:
            said["rules"] = [] if list(rules) == ["none"] else [_rule(word) for word in rules]
        return cls.of(said)

    def __bool__(self) -> bool:
        return any(x is not None for x in (self.ladder, self.weeks, self.budget, self.rules))

    def to_dict(self) -> dict[str, Any]:
        """As plain values, what is as the snapshot has it left out; `of` reads it."""
        found: dict[str, Any] = {}
        if self.ladder is not None:
            found["ladder"] = list(self.ladder)
        found |= {} if self.weeks is None else {"weeks": self.weeks}
        found |= {} if self.budget is None else {"budget": self.budget}
        if self.rules is not None:
            found["rules"] = [dict(rule) for rule in self.rules]
        return found | ({"items": list(self.items)} if self.items and found else {})

    def options(self) -> list[str]:
        """As options of ``regulars markdown``, each a word of its own."""
        words: list[str] = []
        if self.ladder is not None:
            words += ["--ladder", ",".join(f"{depth:.10g}" for depth in self.ladder)]
        words += [] if self.weeks is None else ["--weeks", str(self.weeks)]
        words += [] if self.budget is None else ["--budget", f"{self.budget:.10g}"]
        for rule in self.rules or ():
            words += ["--rule", table_words(rule)]
        words += ["--rule", "none"] if self.rules == () else []
        for item in self.items if words else ():
            words += ["--item", item]
        return words


@dataclass(frozen=True)
class Replanned:
    """A plan made anew.

    Attributes
    ----------
    inputs : PlanInputs
        Of the items that were planned on other terms; all, where there are none.
    plan : MarkdownPlan
        Of these items.
    rest : MarkdownPlan, optional
        The plan that the other items keep; None where there are none.
    others : frozenset of str
        Their names.
    by_hand : frozenset of (str, date)
        The prices that were set by hand.
    objective, bound : float
        Worth of all of it, and what no such plan is worth more than, the other items as they are.
    """

    inputs: PlanInputs
    plan: "MarkdownPlan" = field(repr=False)
    rest: "MarkdownPlan | None" = field(repr=False)
    others: frozenset[str]
    by_hand: frozenset[tuple[str, date]]
    objective: float
    bound: float
    missed: float = 0.0

    @property
    def gap(self) -> float:
        """``(bound - objective) / max(1, |bound|)``."""
        if self.rest is None:
            return self.plan.gap
        gap = (self.bound - self.objective) / max(1.0, abs(self.bound))
        return gap if gap > 1e-12 else 0.0

    def prices(self) -> dict[tuple[str, date], dict[str, Any]]:
        """Return the rows of both plans by item and week."""
        rows = self.plan.prices.to_dict("records")
        if self.rest is not None:
            rows += [row for row in self.rest.prices.to_dict("records") if row["item"] in self.others]
        return {(str(row["item"]), day_of(row["week"])): row for row in rows}

    def explain(self, item: str) -> "Explanation":
        """Say why an item's prices are what they are."""
        return self.rest.explain(item) if self.rest is not None and item in self.others else self.plan.explain(item)


def replan(
    inputs: PlanInputs,
    terms: PlanTerms | None = None,
    overrides: Sequence[Override] = (),
    refused: Mapping[str, str] | None = None,
) -> Replanned:
    """Plan anew on other terms, with prices set by hand.

    Items that the terms do not name keep the snapshot's plan, with their own prices by hand in it. Of a budget of the
    settings that both share, the named items have what the others leave.

    Parameters
    ----------
    inputs : PlanInputs
        What the snapshot's plan was made of.
    terms : PlanTerms, optional
    overrides : sequence of Override
    refused : mapping, optional
        Why items are not planned, by name, to be told where one is named.

    Raises
    ------
    SettingsError
        Terms or overrides that cannot be: an unknown item, more weeks than there are, items tied to others by a rule.
    ModelError
        Rules, and overrides, that cannot all hold: the text names the smallest set.
    """
    terms, refused = terms or PlanTerms(), refused or {}
    names = inputs.items["item"].to_pylist()
    chosen = _chosen(terms, names, refused)
    if terms.weeks is not None and terms.weeks > inputs.weeks:
        raise SettingsError(
            f"--weeks {terms.weeks}: the plan of the snapshot has {inputs.weeks}, and demand is known for these alone; "
            f"name fewer, or write weeks = {terms.weeks} and run 'regulars build'"
        )
    if not terms or chosen.all():
        own = _applied(inputs, terms, chosen, None) if terms else inputs
        plan, hand = _by_hand(_planned(own), own, overrides, refused)
        missed = plan.audit.penalties
        return Replanned(own, plan, None, frozenset(), hand, plan.objective, plan.bound, missed)
    inside = {name for name, one in zip(names, chosen, strict=True) if one}
    mine = [one for one in overrides if find_item(one.item, inside) is not None]
    theirs = [one for one in overrides if find_item(one.item, inside) is None]
    rest, fixed = _by_hand(_planned(inputs), inputs, theirs, refused)
    own = _applied(inputs, terms, chosen, rest)
    plan, hand = _by_hand(_planned(own), own, mine, refused)
    others = [name for name in names if name not in inside]
    kept = rest.audit_of(others)
    return Replanned(
        own, plan, rest, frozenset(others), hand | fixed, plan.objective + kept.objective,
        plan.bound + kept.objective, plan.audit.penalties + kept.penalties,
    )  # fmt: skip


def rungs(inputs: PlanInputs, terms: PlanTerms, item: str) -> list[tuple[float, float]]:
    """Return the prices that an item may be set to on these terms, dearest first, each with its depth.

    Raises
    ------
    SettingsError, ModelError
        As `replan`.
    """
    alone = np.array([name == item for name in inputs.items["item"].to_pylist()], np.bool_)
    said = inputs.rules if terms.rules is None else terms.rules
    shaping = [rule for rule in said if rule["rule"] in {"PriceEndings", "DiscountTiers"}]
    kept = [rule for rule in shaping if (_rows_of(rule, inputs) & alone).any()]
    one = _taken(inputs, np.flatnonzero(alone), 1, kept)
    return _planned(one if terms.ladder is None else replace(one, ladder=terms.ladder)).rungs(item)


def unchanged_worth(inputs: PlanInputs, found: Replanned) -> float:
    """Worth of a plan's items if no price moved, over the weeks that each is on sale."""
    own = found.inputs.unchanged_worth()
    if found.rest is None:
        return own
    rows = np.flatnonzero([name in found.others for name in inputs.items["item"].to_pylist()])
    return own + _taken(inputs, rows, inputs.weeks, _facts(inputs, rows)).unchanged_worth()


# ---- terms ----------------------------------------------------------------------------------------------------------


def _depth(word: str) -> float:
    text = word.strip()
    try:
        return round(float(text.removesuffix("%")) / (100.0 if text.endswith("%") else 1.0), 10)
    except ValueError as error:
        raise SettingsError(
            f"--ladder: {text[:40]!r} is no depth; give shares or per cent, such as 0,0.2,0.5"
        ) from error


def _rule(word: str) -> Any:
    try:
        return tomllib.loads(f"rule = {word}")["rule"]
    except (tomllib.TOMLDecodeError, KeyError) as error:
        raise SettingsError(
            f"--rule {word[:120]!r} cannot be read ({error}); write it as the settings do, such as "
            "'{ rule = \"MaxMarkdowns\", count = 3 }', or none"
        ) from error


def _chosen(terms: PlanTerms, names: Sequence[str], refused: Mapping[str, str]) -> np.ndarray:
    if not terms.items:
        return np.ones(len(names), np.bool_)
    known = set(names)
    wanted = set()
    for said in terms.items:
        item = find_item(said, known)
        if item is None:
            raise SettingsError(f"--item {said[:120]}: item {missing_item(said, names, refused)}; leave it out")
        wanted.add(item)
    return np.array([name in wanted for name in names], np.bool_)


def _applied(inputs: PlanInputs, terms: PlanTerms, chosen: np.ndarray, rest: "MarkdownPlan | None") -> PlanInputs:
    weeks = terms.weeks or inputs.weeks
    said = inputs.rules if terms.rules is None else terms.rules
    if terms.budget is not None:
        own = {"rule": "Budget", "amount": terms.budget}
        said = (*(rule for rule in said if rule["rule"] != "Budget" or rule.get("where")), own)
    kept = []
    for rule in said:
        # a rule of the settings is for all its items, one that was said now for the chosen alone
        of_all = any(rule == other for other in inputs.rules)
        shorter = _shortened(rule, weeks) if of_all else rule
        fitting = shorter and _fitting(shorter, inputs, chosen, rest if of_all else None)
        kept += [fitting] if fitting else []
    taken = _taken(inputs, np.flatnonzero(chosen), weeks, kept)
    return taken if terms.ladder is None else replace(taken, ladder=terms.ladder)


def _taken(inputs: PlanInputs, rows: np.ndarray, weeks: int, rules: Iterable[Mapping[str, Any]]) -> PlanInputs:
    return replace(
        inputs, weeks=weeks, rules=tuple(rules), items=inputs.items.take(rows), units=inputs.units[rows, :weeks]
    )


def _facts(inputs: PlanInputs, rows: np.ndarray) -> list[Mapping[str, Any]]:
    mask = np.zeros(inputs.items.num_rows, np.bool_)
    mask[rows] = True
    facts = [rule for rule in inputs.rules if rule["rule"] in {"ExitDate", "SharedStock"}]
    return [rule for rule in facts if (_rows_of(rule, inputs) & mask).any()]


def _shortened(rule: Mapping[str, Any], weeks: int) -> Mapping[str, Any] | None:
    """A rule of a longer plan; None where it speaks of weeks that are gone."""
    name = rule["rule"]
    if name == "FixedPrice" and rule["week"] > weeks:
        return None
    if name == "Budget" and rule.get("weeks"):
        first, last = rule["weeks"]
        return None if first > weeks else {**rule, "weeks": [first, min(last, weeks)]}
    if name == "SellThrough" and rule.get("by_week"):
        return {**rule, "by_week": min(rule["by_week"], weeks)}
    return rule


def _fitting(
    rule: Mapping[str, Any], inputs: PlanInputs, chosen: np.ndarray, rest: "MarkdownPlan | None"
) -> Mapping[str, Any] | None:
    """A rule for the chosen items; None where it is about others alone."""
    if chosen.all():
        return rule
    name, rows = rule["rule"], _rows_of(rule, inputs)
    if name == "FixedPrice":
        rows &= np.array([item == rule["item"] for item in inputs.items["item"].to_pylist()], np.bool_)
    if rows.any() and not (rows & chosen).any():
        return None
    if rest is None or not (rows & ~chosen).any():
        return rule
    if name == "Budget":
        return _what_is_left(rule, inputs, rows, rows & ~chosen, rest)
    if name in _GROUPED:
        _must_not_part(rule, inputs, rows, chosen)
    return rule


def _rows_of(rule: Mapping[str, Any], inputs: PlanInputs) -> np.ndarray:
    rows = np.ones(inputs.items.num_rows, np.bool_)
    for column, wanted in (rule.get("where") or {}).items():
        if column in inputs.items.column_names:
            several = wanted if isinstance(wanted, list | tuple) else (wanted,)
            rows &= np.array([value in several for value in inputs.items[column].to_pylist()], np.bool_)
    return rows


def _must_not_part(rule: Mapping[str, Any], inputs: PlanInputs, rows: np.ndarray, chosen: np.ndarray) -> None:
    by = str(rule.get("by") or _GROUPED[rule["rule"]])
    if by not in inputs.items.column_names:
        return
    sides: dict[Any, set[bool]] = {}
    members: dict[Any, list[str]] = {}
    names = inputs.items["item"].to_pylist()
    for at, value in enumerate(inputs.items[by].to_pylist()):
        if rows[at] and value is not None:
            sides.setdefault(value, set()).add(bool(chosen[at]))
            members.setdefault(value, []).append(names[at])
    for value, both in sides.items():
        if len(both) == 2:
            others = [n for n in members[value] if not chosen[names.index(n)]]
            raise SettingsError(
                f"{table_words(rule)} ties the chosen items to others ({by} {value!r}: {', '.join(others[:5])}"
                f"{', ...' if len(others) > 5 else ''}); choose them too, or plan all items"
            )


def _what_is_left(
    rule: Mapping[str, Any], inputs: PlanInputs, rows: np.ndarray, theirs: np.ndarray, rest: "MarkdownPlan"
) -> Mapping[str, Any]:
    planned = rule.get("planned") or 0.0
    if isinstance(planned, str):
        column = np.array(inputs.items[planned].to_pylist(), dtype=np.float64)
        planned = float(np.nansum(column[rows]))
    first, last = rule.get("weeks") or (1, inputs.weeks)
    days = set(inputs.dates[first - 1 : last])
    states = {row["item"]: row for row, other in zip(inputs.items.to_pylist(), theirs, strict=True) if other}
    standing = {n: s["regular_price"] * (1.0 - (s.get("current_discount") or 0.0)) for n, s in states.items()}
    spent = 0.0
    for row in rest.prices.to_dict("records"):
        if row["item"] not in states:
            continue
        cut = standing[row["item"]] - row["price"]
        standing[row["item"]] = row["price"]
        if day_of(row["week"]) in days:
            given = states[row["item"]]["regular_price"] - row["price"]
            spent += max(cut, 0.0) * row["on_hand"] if rule.get("basis") == "on_hand" else given * row["units"]
    kept = {key: value for key, value in rule.items() if key != "planned"}
    return kept | {"amount": max(float(rule["amount"]) - planned - spent, 0.0)}


# ---- planning -------------------------------------------------------------------------------------------------------


def _planned(inputs: PlanInputs) -> "MarkdownPlan":
    from ..pricing.conflict import RulesConflict

    try:
        return inputs.plan()
    except RulesConflict as error:
        raise ModelError(explain_conflict(inputs, error.conflict)) from error


def _by_hand(
    plan: "MarkdownPlan", inputs: PlanInputs, overrides: Sequence[Override], refused: Mapping[str, str]
) -> "tuple[MarkdownPlan, frozenset[tuple[str, date]]]":
    from ..pricing.conflict import RulesConflict

    if not overrides:
        return plan, frozenset()
    placed = place_overrides(overrides, plan, inputs, refused)
    try:
        made = plan.override({key: depth for key, (depth, _) in placed.items()})
    except RulesConflict as error:
        said = explain_conflict(inputs, error.conflict, {key: str(one) for key, (_, one) in placed.items()})
        raise ModelError(said) from error
    return made, frozenset((item, inputs.dates[week]) for item, week in placed)


def rules_in_force(found: Replanned, item: str, inputs: PlanInputs) -> tuple[Any, ...]:
    """Return the rule objects under which an item is planned."""
    return make_rules(inputs.rules if item in found.others else found.inputs.rules)


def canonical(terms: PlanTerms) -> str:
    """Return terms as one text, the same for the same terms."""
    return json.dumps(terms.to_dict(), sort_keys=True, ensure_ascii=False)
