"""The planning tool of the page Uplift: its inputs, all of them in the URL, and what the plan comes to."""

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dash_mantine_components as dmc
from dash import html
from dash.development.base_component import Component

from ...sql.contract import SEGMENTS
from .. import formats
from ..url_lists import read_list
from .aria import aria
from .icons import icon
from .segments import LABELS
from .url_state import UrlField

if TYPE_CHECKING:
    from ..campaign_planner import Asked, Planned
    from ..campaign_planning import Plan

MOST_ARMS = 6
SLOTS = tuple(range(1, MOST_ARMS + 1))
WRITE, CHECK = "uplift-write", "uplift-check"

FIELDS: tuple[UrlField, ...] = (
    UrlField("budget", "uplift-budget", "text", default=""),
    *(UrlField(f"cost{slot}", f"uplift-cost-{slot}", "text", default="") for slot in SLOTS),
    *(UrlField(f"stock{slot}", f"uplift-stock-{slot}", "text", default="") for slot in SLOTS),
    UrlField("only", "uplift-only", "choice", default=None),
    UrlField("without", "uplift-without", "list", default=[]),
    UrlField("quiet", "uplift-quiet", "text", default=""),
    UrlField("on", "uplift-on", "text", default=""),
)


def values_of(asked: Mapping[str, str]) -> list[Any]:
    """Return the tool's inputs as the query part of an address has them, in the order of ``FIELDS``.

    Examples
    --------
    >>> values_of({"budget": "500", "without": "best,new"})[:2], values_of({"without": "best,new"})[-3]
    (['500', ''], ['best', 'new'])
    """
    given = [asked.get(field.key) for field in FIELDS]
    return [
        field.default if text is None else list(read_list(text)) if field.kind == "list" else text
        for field, text in zip(FIELDS, given, strict=True)
    ]


def tool(currency: str, saved: Sequence[str]) -> Component:
    """Return the inputs beside the place where the plan appears; ``saved`` are names of saved segments."""
    groups = [{"group": "Segments", "items": [{"value": name, "label": LABELS[name]} for name in SEGMENTS]}]
    own = [name for name in saved if name not in SEGMENTS]
    if own:
        groups.append({"group": "Saved", "items": [{"value": name, "label": name} for name in own]})
    money = {"prefix": formats.symbol(currency), "decimalScale": 4}
    return html.Div(
        [
            html.Div(
                [
                    html.Div(
                        [
                            _number("uplift-budget", "Budget", **money, step=100),
                            html.Div(
                                [
                                    dmc.Slider(
                                        id="uplift-slider",
                                        min=0,
                                        max=100,
                                        value=100,
                                        step=1,
                                        size="md",
                                        label=None,
                                        thumbLabel="Budget as a share of all that pays",
                                    ),
                                    html.Div(
                                        [html.Span("nothing"), html.Span("all that pays")], className="slider-ends"
                                    ),
                                ],
                                className="uplift-slider",
                            ),
                        ],
                        className="uplift-budget",
                    ),
                    html.Fieldset(
                        [
                            html.Legend("Offers"),
                            html.Div(
                                [html.Span(text) for text in ("", "Cost of a send", "Stock")], className="offer-head"
                            ),
                            *(_offer(slot, money) for slot in SLOTS),
                        ],
                        className="uplift-offers",
                    ),
                    html.Fieldset(
                        [
                            html.Legend("Whom to leave out"),
                            dmc.MultiSelect(
                                id="uplift-without",
                                label="Not these segments",
                                data=groups,
                                value=[],
                                placeholder="nobody",
                                clearable=True,
                                clearButtonProps=aria(label="Clear segments"),  # pyright: ignore[reportArgumentType]
                                size="sm",
                            ),
                            dmc.Select(
                                id="uplift-only",
                                label="Only this segment",
                                data=groups,
                                value=None,
                                placeholder="everybody",
                                clearable=True,
                                clearButtonProps=aria(label="Clear segment"),  # pyright: ignore[reportArgumentType]
                                size="sm",
                            ),
                            _number("uplift-quiet", "Days since the last send", suffix=" days", min=1, decimalScale=0),
                        ],
                        className="uplift-whom",
                    ),
                ],
                className="uplift-inputs",
            ),
            html.Div(
                [html.Div(id="uplift-plan", className="uplift-plan"), html.Div(id="uplift-curve")],
                className="uplift-result",
            ),
        ],
        className="uplift-tool",
    )


def writing() -> Component:
    """Return the part that tries and writes a list."""
    return html.Div(
        [
            html.Div(
                [
                    dmc.TextInput(
                        id="uplift-on",
                        label="Day of the sends",
                        value="",
                        debounce=400,
                        inputProps={"type": "date"},
                        size="sm",
                    ),
                    dmc.Checkbox(
                        id="uplift-replace",
                        label="Replace a list of that day that was not sent",
                        size="sm",
                        radius="sm",
                    ),
                    html.Button("Try it", id=CHECK, type="button", className="button"),
                    html.Button(
                        [icon("download", 15), "Write the list"],
                        id=WRITE,
                        type="button",
                        className="button button-main",
                    ),
                ],
                className="uplift-write",
            ),
            html.P(id="uplift-day", className="card-subtitle"),
            html.Div(id="uplift-written", role="status"),
        ]
    )


def result(planned: "Planned", plain: "Planned | None", last: Mapping[str, Any] | None, currency: str) -> Component:
    """Return what the plan comes to: profit with its interval first, then the other plans beside it."""
    plan = planned.plan
    parts = [
        ("Customers mailed", formats.count(plan.mailed), f"of {formats.count(plan.open)} who may be"),
        ("Spend", formats.money(plan.spend, currency), _budget_note(planned, currency)),
        ("One more unit of budget", _price(plan, currency), "brings so much, by the scores"),
    ]
    return html.Div(
        [
            html.Div(
                [
                    html.P("Expected profit of this list", className="lead-name"),
                    html.P(
                        formats.money(plan.promised if plan.profit is None else plan.profit.value, currency),
                        className="lead-figure",
                    ),
                    html.P(profit_note(plan, currency), className="lead-note"),
                ],
                className="uplift-lead",
            ),
            html.Dl(
                [
                    html.Div([html.Dt(name), html.Dd([html.Strong(figure), html.Span(note)])])
                    for name, figure, note in parts
                ],
                className="totals",
            ),
            _beside(planned, plain, last, currency),
            html.P(left_out(planned), className="uplift-left"),
        ]
    )


def profit_note(plan: "Plan", currency: str) -> str:
    """Say the interval of a plan's profit, or why there is none."""
    promised = formats.money(plan.promised, currency)
    if plan.profit is None:
        return (
            f"By the scores alone, which flatter themselves. No interval: {plan.judged_by} held-out customers are like "
            "those chosen, and 30 are needed."
        )
    low, high = (formats.money(end, currency) for end in (plan.profit.lower, plan.profit.upper))
    return f"95% interval {low} to {high}. The scores alone promise {promised}."


def left_out(planned: "Planned") -> str:
    """Say who is left alone, and for which reason."""
    whom = planned.whom
    reasons = [f"{count:,} {reason}" for reason, count in sorted(whom.left_alone.items())]
    explored = int((planned.plan.explored & (planned.plan.choice >= 0)).sum())
    parts = [f"{whom.held_out:,} held out", *reasons]
    if explored:
        parts.append(f"{explored:,} of those mailed are drawn at random, to learn from")
    rough = "" if planned.plan.exact else " Stock's prices come from a part of the customers; the list is exact."
    return f"Left alone: {'; '.join(parts)}.{rough}"


def command_of(asked: "Asked", *, replace: bool = False) -> str:
    """Return the command that writes the same list.

    Examples
    --------
    >>> from datetime import date
    >>> from regulars.app.campaign_planner import Asked
    >>> command_of(Asked("winback", date(2026, 5, 4), 500.0, (("mail", 0.1),), segment="Dear ones"))
    "regulars target winback --on 2026-05-04 --budget 500 --cost mail=0.1 --segment 'Dear ones'"
    """
    words = ["regulars", "target", asked.campaign, "--on", asked.on.isoformat()]
    if asked.budget is not None:
        words += ["--budget", f"{asked.budget:.15g}"]
    for arm, cost in asked.costs:
        words += ["--cost", f"{arm}={cost:.15g}"]
    for arm, stock in asked.stock:
        words += ["--stock", f"{arm}={stock}"]
    words += ["--segment", asked.segment] if asked.segment else []
    for name in asked.exclude_segments:
        words += ["--exclude-segment", name]
    words += ["--quiet-days", str(asked.quiet_days)] if asked.quiet_days is not None else []
    words += ["--replace"] if replace else []
    return shlex.join(words)


def _offer(slot: int, money: dict[str, Any]) -> Component:
    return html.Div(
        [
            html.Span(id=f"uplift-arm-{slot}", className="offer-name"),
            _number(f"uplift-cost-{slot}", "", label_by=f"Cost of a send, offer {slot}", **money),
            _number(f"uplift-stock-{slot}", "", label_by=f"Stock, offer {slot}", min=0, decimalScale=0),
        ],
        id=f"uplift-offer-{slot}",
        className="offer",
        hidden=slot > 1,
    )


def _number(input_id: str, label: str, *, label_by: str = "", **options: Any) -> Component:
    given: dict[str, Any] = {"label": label} if label else {"inputProps": {"aria-label": label_by}}
    given |= ({"min": 0} if input_id == "uplift-budget" else {}) | options
    return dmc.NumberInput(
        id=input_id, value="", debounce=400, hideControls=True, thousandSeparator=",", size="sm", **given
    )


def _budget_note(planned: "Planned", currency: str) -> str:
    if planned.budget is None:
        return "no budget set"
    return f"of a budget of {formats.money(planned.budget, currency)}"


def _price(plan: "Plan", currency: str) -> str:
    price = plan.shadow_price
    return formats.MISSING if price != price or price in (float("inf"),) else formats.money(price, currency)


def _beside(
    planned: "Planned", plain: "Planned | None", last: Mapping[str, Any] | None, currency: str
) -> Component | None:
    """The plan beside the settings' own and the last list, and by how much they differ."""
    columns: list[tuple[str, list[str]]] = [("This plan", _column(planned.plan, currency))]
    if plain is not None and plain.asked != planned.asked:
        columns.append(("As the settings say", _column(plain.plan, currency)))
        columns.append(("Difference", _difference(planned.plan, plain.plan, currency)))
    if last is not None:
        gone = f"{last['stay']:,} stay, {last['come']:,} come, {last['go']:,} go" + (
            f", {last['other_arm']:,} get another offer" if last["other_arm"] else ""
        )
        figures = [formats.count(last["mailed"]), formats.money(last["spend"], currency)]
        columns.append((f"Last list, {last['on']}", [*figures, formats.money(last["planned_profit"], currency), gone]))
    if len(columns) == 1:
        return None
    names = ("Customers mailed", "Spend", "Profit by the scores", "Expected profit, or change")
    head = [html.Th(html.Span("Figure", className="unseen"), scope="col")]
    head += [html.Th(title, scope="col", className="num") for title, _ in columns]
    body = [
        html.Tr([html.Th(name, scope="row"), *(html.Td(cells[i], className="num") for _, cells in columns)])
        for i, name in enumerate(names)
    ]
    return html.Div(
        html.Table([html.Thead(html.Tr(head)), html.Tbody(body)], className="table plans"),
        className="table-scroll",
        tabIndex=0,
        role="region",
        **aria(label="This plan beside others"),
    )


def _column(plan: "Plan", currency: str) -> list[str]:
    expected = formats.MISSING if plan.profit is None else formats.money(plan.profit.value, currency)
    return [
        formats.count(plan.mailed),
        formats.money(plan.spend, currency),
        formats.money(plan.promised, currency),
        expected,
    ]


def _difference(now: "Plan", then: "Plan", currency: str) -> list[str]:
    def signed(value: float, text: str) -> str:
        return f"+{text}" if value > 0 else text

    mailed = now.mailed - then.mailed
    parts = [signed(mailed, f"{mailed:,}".replace("-", "−"))]
    pairs = [(now.spend, then.spend), (now.promised, then.promised)]
    parts += [signed(a - b, formats.money(a - b, currency)) for a, b in pairs]
    if now.profit is None or then.profit is None:
        return [*parts, formats.MISSING]
    gap = now.profit.value - then.profit.value
    return [*parts, signed(gap, formats.money(gap, currency))]
