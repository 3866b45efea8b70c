"""Rules as a settings file writes them: tables whose weeks count from 1, and sentences that name them so.

`pricing.rules` counts weeks from 0 and ends a span before its last number, as Python does; who writes a settings file
counts as a calendar does.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from ..sql.errors import SettingsError

if TYPE_CHECKING:
    from ..pricing.conflict import Conflict
    from ..pricing.rules import Rule
    from .price_plans import PlanInputs


def make_rules(said: Sequence[Mapping[str, Any]], where: str = "rules", weeks: int | None = None) -> "tuple[Rule, ...]":
    """Return the rule objects that tables of the settings name.

    Weeks of the tables count from 1: ``FixedPrice.week``, and ``Budget.weeks``, the first and the last that count.
    ``ExitDate`` reads ``exit_on``, as the products table has it, unless told otherwise.

    Parameters
    ----------
    said : sequence of mapping
        ``{"rule": "MaxMarkdowns", "count": 3}``.
    where : str
        What an error's text begins with.
    weeks : int, optional
        Of the plan: a week beyond is an error.

    Raises
    ------
    SettingsError
        A rule's own numbers make no sense.

    Examples
    --------
    >>> [str(rule) for rule in make_rules([{"rule": "PriceEndings", "endings": [0.99]}])]
    ['PriceEndings(endings=(0.99,))']
    >>> make_rules([{"rule": "Budget", "amount": 5, "weeks": [1, 2]}])[0].weeks
    (0, 2)
    >>> [str(rule) for rule in make_rules([{"rule": "ExitDate"}])]
    ["ExitDate(column='exit_on')"]
    """
    from ..pricing import rules as r

    made = []
    for table in said:
        terms: dict[str, Any] = {key: _tuple(value) for key, value in table.items() if key != "rule"}
        if table["rule"] == "ExitDate":
            terms.setdefault("column", "exit_on")  # as the contract calls it
        if "where" in terms:
            terms["where"] = {key: _tuple(value) for key, value in terms["where"].items()}
        terms |= _weeks_from_0(table, terms, where, weeks)
        try:
            made.append(getattr(r, table["rule"])(**terms))
        except (r.RuleError, TypeError, IndexError) as error:
            raise SettingsError(f"{where}: {str(error).rstrip('.')}; correct that rule") from error
    return tuple(made)


def rule_words(rule: "Rule") -> str:
    """Return a rule as a settings file writes it.

    Examples
    --------
    >>> from regulars.pricing.rules import FixedPrice, MaxMarkdowns
    >>> rule_words(MaxMarkdowns(2, where={"brand": ("a", "b")}))
    '{ rule = "MaxMarkdowns", count = 2, where = { brand = ["a", "b"] } }'
    >>> rule_words(FixedPrice("tee", week=0, discount=0.2))
    '{ rule = "FixedPrice", item = "tee", week = 1, discount = 0.2 }'
    """
    shown = _from_1(rule)
    terms = {f.name: getattr(shown, f.name) for f in fields(shown) if f.name != "where"}
    kept = {name: value for name, value in terms.items() if value is not None}
    where = {"where": dict(rule.where)} if rule.where else {}
    return _table({"rule": type(rule).__name__} | kept | where)


def table_words(said: Mapping[str, Any]) -> str:
    """Return a rule's table as a settings file writes it.

    Examples
    --------
    >>> table_words({"rule": "Budget", "amount": 500.0, "weeks": [1, 2]})
    '{ rule = "Budget", amount = 500.0, weeks = [1, 2] }'
    """
    return _table({"rule": said["rule"]} | {key: value for key, value in said.items() if key != "rule"})


def in_weeks_from_1(text: str, rules: "Sequence[Rule]") -> str:
    """Return a sentence about rules with weeks counted as the settings do.

    Examples
    --------
    >>> from regulars.pricing.rules import FixedPrice
    >>> in_weeks_from_1("held back by FixedPrice(item='tee', week=0, discount=0.2)", [FixedPrice("tee", 0, 0.2)])
    "held back by FixedPrice(item='tee', week=1, discount=0.2)"
    """
    shown = {str(rule): str(_from_1(rule)) for rule in rules}
    # one pass over all of them: what one becomes may be what another was
    at, out = 0, []
    while at < len(text):
        found = next((old for old, new in shown.items() if old != new and text.startswith(old, at)), "")
        out.append(shown[found] if found else text[at])
        at += len(found) or 1
    return "".join(out)


def explain_conflict(
    inputs: "PlanInputs", conflict: "Conflict", by_hand: Mapping[tuple[str, int], str] | None = None
) -> str:
    """Return `conflict_words` of a plan, that prices only fall among them where the rules could hold if they rose."""
    return conflict_words(conflict, by_hand, _only_fall(inputs, conflict))


def _only_fall(inputs: "PlanInputs", conflict: "Conflict") -> str:
    from ..pricing.markdown import find_rule_conflict
    from ..pricing.rules import FixedPrice, PriceEndings, PricesMayRise, RuleError

    # what cannot be reached in time is no less out of reach where prices may rise
    if not any(isinstance(rule, FixedPrice) for rule in conflict.rules):
        return ""
    kept = [rule for rule in make_rules(inputs.rules) if isinstance(rule, PriceEndings)]
    kept += [rule for rule in conflict.rules if not isinstance(rule, PriceEndings)]
    named = set(conflict.items)
    rows = [row for row, name in enumerate(inputs.items["item"].to_pylist()) if name in named]
    try:
        still = find_rule_conflict(
            inputs.items.take(rows),
            ladder=inputs.ladder,
            weeks=inputs.dates,
            rules=[*kept, PricesMayRise()],
            expected_units=inputs.units[rows],
            objective=inputs.objective,
        )
    except RuleError:  # prices of shared stock only fall
        return ""
    if still is not None:
        return ""
    if len(rows) > 1:
        return "prices only fall"
    one = inputs.items.take(rows).to_pylist()[0]
    at = one["regular_price"] * (1.0 - (one.get("current_discount") or 0.0))
    return f"prices only fall (it stands at {at:.2f} before the plan)"


def conflict_words(
    conflict: "Conflict", by_hand: Mapping[tuple[str, int], str] | None = None, only_fall: str = ""
) -> str:
    """Return which rules cannot all hold, as a settings file names them.

    Parameters
    ----------
    conflict : Conflict
    by_hand : mapping, optional
        Overrides as they were given, by (item, week from 0): they are named instead of the `FixedPrice` that they are.
    only_fall : str
        Says that prices only fall, where the rules could hold together if they rose.

    Examples
    --------
    >>> from regulars.pricing import Conflict
    >>> from regulars.pricing.rules import FixedPrice, MaximumStep
    >>> print(conflict_words(Conflict((MaximumStep(0.3),), ("tee",))))
    { rule = "MaximumStep", share = 0.3 } cannot hold for item 'tee'; loosen it, or limit it by where = { ... }
    >>> few = Conflict((MaximumStep(0.3), FixedPrice("tee", 0, 0.5)), ("tee",))
    >>> print(conflict_words(few, {("tee", 0): "tee:1=50%"}))
    override tee:1=50% and { rule = "MaximumStep", share = 0.3 } cannot both hold for item 'tee'; leave one out, or
    loosen the rule and run 'regulars build'
    """
    from ..pricing.rules import FixedPrice

    by_hand = by_hand or {}
    own = [x for x in conflict.rules if isinstance(x, FixedPrice) and (x.item, x.week) in by_hand]
    rest = [rule for rule in conflict.rules if all(rule is not one for one in own)]
    # sorted by week, as they were meant
    told = [f"override {by_hand[str(x.item), x.week]}" for x in sorted(own, key=lambda x: (str(x.item), x.week))]
    told += map(rule_words, rest)
    shown = ", ".join(map(repr, conflict.items[:3])) + (", ..." if len(conflict.items) > 3 else "")
    which = f"item{'s' * (len(conflict.items) > 1)} {shown}"
    more = f" ({conflict.others} more items have no plan either)" if conflict.others else ""
    together = {1: "cannot hold", 2: "cannot both hold"}.get(len(told), "cannot all hold")
    # rules have commas of their own
    said = f"{'; '.join(told[:-1])} and {told[-1]}" if len(told) > 1 else "".join(told)
    since = f", since {only_fall}" if only_fall else ""
    if own and rest:
        advice = "leave one out, or loosen the rule and run 'regulars build'"
    elif own:
        advice = "leave one out" if len(own) > 1 else "leave it out"
        advice += ", or add { rule = \"PricesMayRise\" } and run 'regulars build'" if only_fall else ""
    elif len(told) > 1:
        advice = "loosen one of them"
    else:
        advice = "loosen it, or limit it by where = { ... }"
    most = ""
    if conflict.reachable is not None:
        most = f"; at most {conflict.reachable:.1%} of {next(iter(conflict.items), '')!r} can be sold so"
    return f"{said} {together} for {which}{more}{since}; {advice}{most}"


def _from_1(rule: "Rule") -> "Rule":
    from ..pricing.rules import Budget, FixedPrice

    if isinstance(rule, FixedPrice):
        return replace(rule, week=rule.week + 1)
    if isinstance(rule, Budget) and rule.weeks is not None:
        # the first and the last: of a week alone they are equal, which the rule itself would refuse
        shown = replace(rule)
        object.__setattr__(shown, "weeks", (rule.weeks[0] + 1, rule.weeks[1]))
        return shown
    return rule


def _weeks_from_0(table: Mapping[str, Any], terms: Mapping[str, Any], where: str, last: int | None) -> "dict[str, Any]":
    name, most = table["rule"], last or 10**6
    if name == "FixedPrice":
        week: Any = terms.get("week")
        if not _is_week(week, most):
            _refuse(where, f"FixedPrice: week is {week!r}; it is a week of the plan from 1", last)
        return {"week": week - 1}
    if name == "Budget" and terms.get("weeks") is not None:
        said = terms["weeks"]
        pair = isinstance(said, tuple) and len(said) == 2 and all(_is_week(week, most) for week in said)
        if not pair or said[0] > said[1]:
            _refuse(
                where, f"Budget: weeks is {table['weeks']!r}; the first and the last week of the plan, from 1", last
            )
        return {"weeks": (said[0] - 1, said[1])}
    return {}


def _is_week(week: Any, most: int) -> bool:
    return isinstance(week, int) and not isinstance(week, bool) and 1 <= week <= most


def _refuse(where: str, said: str, last: int | None) -> None:
    raise SettingsError(f"{where}: {said}{'' if last is None else f' to {last}'}; correct that rule")


def _table(terms: Mapping[str, Any]) -> str:
    return f"{{ {', '.join(f'{key} = {_value(value)}' for key, value in terms.items())} }}"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return _table(value)
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value, ensure_ascii=False, default=str)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
