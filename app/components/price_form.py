"""The form of the pricing tool: what a plan is to be made of otherwise, and how its fields become terms of a plan."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

import dash_mantine_components as dmc
from dash import html
from dash.development.base_component import Component

from ...sql.errors import SettingsError
from .. import formats
from ..plan_rules import table_words
from ..price_planning import PlanTerms
from .aria import aria
from .icons import icon
from .url_state import UrlField

if TYPE_CHECKING:
    from ..price_plans import PlanInputs

_MOST_PICKED = 2_000
_LONGEST = 2_000
SCOPES = {"all": "All planned items", "filtered": "Items of the filter", "picked": "Items I pick"}


@dataclass(frozen=True)
class RuleField:
    """One rule that has a field of its own: its key in the URL, and what the number becomes."""

    key: str
    rule: str
    argument: str
    label: str
    kind: Literal["count", "share", "number", "endings", "flag"]


RULE_FIELDS = (
    RuleField("cuts", "MaxMarkdowns", "count", "Markdowns, at most", "count"),
    RuleField("apart", "MinWeeksBetween", "weeks", "Weeks between changes", "count"),
    RuleField("step", "MaximumStep", "share", "One step, at most", "share"),
    RuleField("sell", "SellThrough", "share", "Stock sold, at least", "share"),
    RuleField("least", "MinimumStep", "share", "One step, at least", "share"),
    RuleField("floor", "MarginFloor", "share", "Margin, at least", "share"),
    RuleField("stock", "MinimumOnHand", "units", "Units to be worth a cut", "number"),
    RuleField("near", "NoTouch", "near_end", "Last weeks without a change", "count"),
    RuleField("ends", "PriceEndings", "endings", "Prices end in", "endings"),
    RuleField("rise", "PricesMayRise", "", "Prices may rise again", "flag"),
)
_AT_ONCE = 4
_FIRST = ("scope", "pick", "ladder", "weeks", "budget")
_LAST = ("more", "drop")
NAMES = (*_FIRST, *(field.key for field in RULE_FIELDS), *_LAST)

FIELDS: tuple[UrlField, ...] = tuple(
    UrlField(
        name,
        f"price-{name}",
        "list" if name in {"pick", "drop"} else "choice" if name in {"scope", "weeks", "rise"} else "text",
        prop="value",
        default=[] if name in {"pick", "drop"} else "all" if name == "scope" else "",
    )
    for name in NAMES
)


def form(inputs: "PlanInputs", currency: str) -> Component:
    """Return the form; an empty field leaves the plan as the settings have it, which stands in it as a hint."""
    last = [day + timedelta(days=6) for day in inputs.dates]
    weeks = [
        {"value": str(n) if n < inputs.weeks else "", "label": f"{formats.day(last[n - 1])} ({n} week{'s' * (n > 1)})"}
        for n in range(inputs.weeks, 0, -1)
    ]
    names = inputs.items["item"].to_pylist()
    budget = _of(inputs, "Budget")
    numbers = [_rule_input(field, inputs) for field in RULE_FIELDS]
    return html.Div(
        [
            dmc.SegmentedControl(
                id="price-scope",
                value="all",
                size="xs",
                fullWidth=True,
                data=[{"value": key, "label": label} for key, label in SCOPES.items()],
                **aria(label="Which items are planned otherwise"),
            ),
            html.Div(
                dmc.MultiSelect(
                    id="price-pick",
                    label="Items",
                    data=[{"value": name, "label": name} for name in names[:_MOST_PICKED]],
                    value=[],
                    searchable=True,
                    limit=50,
                    clearable=True,
                    hidePickedOptions=True,
                    placeholder="Search and pick",
                    nothingFoundMessage="No planned item of that name",
                    clearButtonProps=aria(label="Clear items"),  # pyright: ignore[reportArgumentType]
                    size="sm",
                ),
                id="price-pick-place",
            ),
            html.Div(
                [
                    dmc.TextInput(
                        id="price-ladder",
                        label="Depths off, in %",
                        value="",
                        placeholder=", ".join(f"{100 * depth:.4g}" for depth in inputs.ladder),
                        debounce=600,
                        size="sm",
                        inputProps={"maxLength": 200, "inputMode": "text"},
                    ),
                    dmc.Select(
                        id="price-weeks",
                        label="Last day on sale",
                        data=weeks,  # pyright: ignore[reportArgumentType]
                        value="",
                        allowDeselect=False,
                        size="sm",
                    ),
                    dmc.NumberInput(
                        id="price-budget",
                        label="Markdown spend, at most",
                        value="",
                        placeholder=formats.money(float(budget["amount"]), currency) if budget else "no limit",
                        prefix=formats.symbol(currency),
                        min=0,
                        thousandSeparator=",",
                        debounce=600,
                        hideControls=True,
                        size="sm",
                    ),
                ],
                className="price-fields price-three",
            ),
            html.Div(numbers[:_AT_ONCE], className="price-fields price-rules"),
            html.Details(
                [
                    html.Summary("More rules"),
                    html.Div(numbers[_AT_ONCE:], className="price-fields price-rules"),
                    dmc.TextInput(
                        id="price-more",
                        label="One more, as the settings write it",
                        value="",
                        placeholder='{ rule = "Budget", amount = 500, where = { brand = "a" } }',
                        debounce=800,
                        size="sm",
                        inputProps={"maxLength": _LONGEST, "spellCheck": False},
                    ),
                    dmc.MultiSelect(
                        id="price-drop",
                        label="Rules of the settings to leave out",
                        data=[{"value": words, "label": words} for words in map(table_words, inputs.rules)],
                        value=[],
                        clearable=True,
                        hidePickedOptions=True,
                        placeholder="All are kept" if inputs.rules else "There are none",
                        clearButtonProps=aria(label="Keep all rules"),  # pyright: ignore[reportArgumentType]
                        size="sm",
                    ),
                ],
                className="price-more",
            ),
            html.Button(
                [icon("close", 14), "As the settings have it"],
                id="price-reset",
                type="button",
                className="pill pill-clear",
            ),
        ],
        className="price-form",
        role="group",
        **aria(label="Plan it otherwise"),
    )


def terms_of(values: Mapping[str, Any], inputs: "PlanInputs", filtered: Sequence[str] = ()) -> PlanTerms:
    """Make terms of what the form's fields hold, which a client may have made up.

    Parameters
    ----------
    values : mapping
        Of `NAMES`.
    inputs : PlanInputs
    filtered : sequence of str
        Names of the items that the page's filter leaves.

    Raises
    ------
    SettingsError
        A field holds what it cannot.
    """
    said: dict[str, Any] = {}
    ladder = _text(values.get("ladder"), "Depths off")
    if ladder:
        depths = [
            _number(word, "Depths off", 0, 99.99) / 100 for word in ladder.replace("%", "").split(",") if word.strip()
        ]
        said["ladder"] = sorted({round(depth, 10) for depth in depths})
    weeks = _text(values.get("weeks"), "Last day on sale")
    if weeks:
        said["weeks"] = _count(weeks, "Last day on sale", 1)
        said |= {} if said["weeks"] != inputs.weeks else {"weeks": None}
    budget = values.get("budget")
    if budget not in (None, ""):
        said["budget"] = _number(budget, "Markdown spend, at most", 0, 1e12)
    rules = _rules(values, inputs)
    if rules != [dict(rule) for rule in inputs.rules]:
        said["rules"] = rules
    terms = PlanTerms.of(said)
    return PlanTerms.of(said | {"items": _items(values, inputs, filtered)}) if terms else terms


def _rules(values: Mapping[str, Any], inputs: "PlanInputs") -> list[dict[str, Any]]:
    own: dict[str, dict[str, Any]] = {}
    for field in RULE_FIELDS:
        value = values.get(field.key)
        if value in (None, "", False) or value == []:
            continue
        if field.kind == "flag":
            if value not in (True, "yes"):
                raise SettingsError(f"{field.label}: it is on or off")
            own[field.rule] = {"rule": field.rule}
            continue
        own[field.rule] = {"rule": field.rule, field.argument: _argument(field, value)}
    dropped = set(_words(values.get("drop"), "Rules to leave out"))
    kept = [
        dict(rule)
        for rule in inputs.rules
        if table_words(rule) not in dropped and not (rule["rule"] in own and not rule.get("where"))
    ]
    more = _text(values.get("more"), "One more rule")
    extra = list(PlanTerms.of_words(rules=[more]).rules or ()) if more else []
    return [*kept, *own.values(), *map(dict, extra)]


def _argument(field: RuleField, value: Any) -> Any:
    if field.kind == "count":
        return _count(value, field.label, 0)
    if field.kind == "share":
        return round(_number(value, field.label, -1_000, 100) / 100, 10)
    if field.kind == "number":
        return _number(value, field.label, 0, 1e9)
    words = _text(value, field.label).replace(";", ",").split(",")
    return [round(_number(word, field.label, 0, 99), 10) for word in words if word.strip()]


def _items(values: Mapping[str, Any], inputs: "PlanInputs", filtered: Sequence[str]) -> list[str]:
    scope = values.get("scope") or "all"
    if not isinstance(scope, str) or scope not in SCOPES:
        raise SettingsError(f"items: there are {', '.join(SCOPES)}")
    if scope == "all":
        return []
    names = inputs.items["item"].to_pylist()
    known = set(names)
    wanted = filtered if scope == "filtered" else _words(values.get("pick"), "Items")
    chosen = [name for name in wanted if name in known]
    if not chosen:
        raise SettingsError(
            "the filter leaves no planned item; change it, or plan all items"
            if scope == "filtered"
            else "no item is picked; pick one, or plan all items"
        )
    return [] if len(set(chosen)) == len(names) else chosen


def _of(inputs: "PlanInputs", rule: str) -> Mapping[str, Any] | None:
    return next((one for one in inputs.rules if one["rule"] == rule and not one.get("where")), None)


def _rule_input(field: RuleField, inputs: "PlanInputs") -> Component:
    said = _of(inputs, field.rule)
    hint: Any = "no rule" if said is None else said.get(field.argument, "")
    shown: dict[str, Any] = {"id": f"price-{field.key}", "label": field.label, "value": "", "size": "sm"}
    if field.kind == "flag":
        return dmc.Select(
            **shown,
            data=[{"value": "", "label": "yes" if said else "no, they only fall"}, {"value": "yes", "label": "yes"}],
            allowDeselect=False,
        )
    if field.kind == "endings":
        hint = ", ".join(f"{ending:g}" for ending in hint) if said else "any"
        return dmc.TextInput(**shown, placeholder=hint, debounce=600, inputProps={"maxLength": 200})
    limits: dict[str, Any] = {"allowDecimal": field.kind != "count"}
    if field.kind == "share":
        hint = hint if said is None else f"{100 * float(hint):g}%"
        limits |= {"suffix": "%", "max": 100}
    return dmc.NumberInput(**shown, **limits, placeholder=str(hint), min=0, debounce=600, hideControls=True)


def _text(value: Any, label: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > _LONGEST or "\x00" in value:
        raise SettingsError(f"{label}: it is a text of at most {_LONGEST:,} characters")
    return value.strip()


def _words(value: Any, label: str) -> list[str]:
    if value is None or value == "":
        return []
    if not isinstance(value, list) or len(value) > _MOST_PICKED or not all(isinstance(word, str) for word in value):
        raise SettingsError(f"{label}: it is a list of at most {_MOST_PICKED:,} names")
    return value


def _number(value: Any, label: str, low: float, high: float) -> float:
    try:
        number = math.nan if isinstance(value, bool | list | dict) else float(str(value)[:40])
    except ValueError:
        number = math.nan
    if not low <= number <= high:
        raise SettingsError(f"{label}: {str(value)[:40]!r} is no number from {low:g} to {high:g}")
    return number


def _count(value: Any, label: str, least: int) -> int:
    number = _number(value, label, least, 10_000)
    if number != int(number):
        raise SettingsError(f"{label}: {str(value)[:40]!r} is no whole number")
    return int(number)
