"""What a campaign was found to do: the decision and its sentence, effects by arm, checks, long-term value."""

from collections.abc import Mapping, Sequence
from typing import Any

from dash import html
from dash.development.base_component import Component

from .. import formats
from .aria import aria
from .icons import icon
from .kpi import label
from .uplift_figures import ranking_name

Row = Mapping[str, Any]

_UNITS = {"revenue": "of revenue a customer", "orders": "orders a customer", "ordered": "who order"}
_STEPS = {
    "rank": "Set the budget below, look who is on the list, write it; read it out when the window is over.",
    "treat all": "Mail everyone the budget allows; whom first matters little. Read the list out, and build again.",
    "treat none": "Send nothing of this campaign: change the offer, then try it on a random part of the customers.",
    "not enough data": (
        "Do not roll it out on these scores. Send to a random part of the customers with a holdout, wait until the "
        "window is over, and build again: the more customers, the narrower the interval."
    ),
}


def decision_title(row: Row, fraction: float | None) -> str:
    """Return the decision as a headline.

    Examples
    --------
    >>> decision_title({"refused": False, "decision": "rank", "ranking": "x", "arm": "mail"}, 0.35)
    'Choose whom: the first 35% by the X-learner'
    """
    if row["refused"]:
        return "Refused: nothing can be learnt from it yet"
    match row["decision"]:
        case "rank":
            part = "everyone" if fraction is None or fraction >= 1 else f"the first {formats.share(fraction)}"
            return f"Choose whom: {part} by the {ranking_name(row['ranking'])}"
        case "treat all":
            return "Treat everyone"
        case "treat none":
            return "Treat nobody"
    return "Not enough data to decide"


def verdict(rows: Sequence[Row], checks: Sequence[Row], fraction: float | None) -> Component:
    """Return the head of the page: the decision, why, and what to do next."""
    first = rows[0]
    kind = "refused" if first["refused"] else str(first["decision"]).replace(" ", "-")
    stopping = [row for row in checks if row["blocking"] and not row["overridden"] and not row["passed"]]
    step = _refusal_step(stopping) if first["refused"] else _STEPS.get(first["decision"], "")
    return html.Div(
        [
            html.P(
                [icon("check" if kind in ("rank", "treat-all", "treat-none") else "alert", 20), html.Span(
                    decision_title(first, fraction)
                )],
                className=f"verdict-title verdict-{kind}",
            ),
            html.P(_sentence(first["sentence"]), className="verdict-sentence"),
            html.P([html.Strong("Next: "), step], className="verdict-step") if step else None,
        ],
        className="verdict",
    )  # fmt: skip


def effects_table(rows: Sequence[Row], currency: str) -> Component:
    """Return the effect of each arm with its interval drawn to one scale."""
    shown = [row for row in rows if row["effect"] is not None]
    ends = [0.0, *(row[end] for row in shown for end in ("lower", "upper"))]
    low, high = min(ends), max(ends)
    span = (high - low) or 1.0

    def place(value: float) -> float:
        return 100 * (value - low) / span

    body = [
        html.Tr(
            [
                html.Th(row["arm"], scope="row"),
                html.Td(effect_text(row["effect"], row["outcome"], currency), className="num strong"),
                html.Td(_interval_text(row, currency), className="num"),
                html.Td(_interval_bar(place(row["lower"]), place(row["upper"]), place(row["effect"]), place(0.0))),
                html.Td(f"{row['treated']:,} of {row['customers']:,}", className="num"),
            ]
        )
        for row in shown
    ]
    outcome = _UNITS.get(shown[0]["outcome"], "") if shown else ""
    head = ("Arm", "Effect", "95% interval", f"{label(outcome)}, line at none", "Got it, of compared")
    return html.Div(
        html.Table(
            [
                html.Thead(
                    html.Tr(
                        [
                            html.Th(text, scope="col", className="num" if i in (1, 2, 4) else None)
                            for i, text in enumerate(head)
                        ]
                    )
                ),
                html.Tbody(body),
            ],
            className="table effects",
        ),
        className="table-scroll",
        tabIndex=0,
        role="region",
        **aria(label="Effects by arm"),
    )


def effect_text(value: float | None, outcome: str, currency: str) -> str:
    """Write an effect in the unit of its outcome.

    Examples
    --------
    >>> effect_text(4.721, "revenue", "USD"), effect_text(-0.02, "ordered", "USD"), effect_text(0.134, "orders", "USD")
    ('+$4.72', '−2.0 pts', '+0.134')
    """
    if value is None:
        return formats.MISSING
    sign = "+" if value > 0 else "−" if value < 0 else ""
    if outcome == "revenue":
        return f"{sign}{formats.money(abs(value), currency)}"
    return f"{sign}{abs(100 * value):.1f} pts" if outcome == "ordered" else f"{sign}{abs(value):.3f}"


def checks_list(checks: Sequence[Row]) -> Component:
    """Return what was checked: what stands in the way first, what passed last."""
    return html.Ul([_check(row) for row in checks], className="uplift-checks")


def balance_table(rows: Sequence[Row], most: int = 6) -> Component | None:
    """Return the features in which arms differ most."""
    known = [row for row in rows if row["difference"] is not None]
    if not known:
        return None
    largest = sorted(known, key=lambda row: -abs(row["difference"]))[:most]
    scale = max(0.25, *(abs(row["difference"]) for row in largest))
    body = [
        html.Tr(
            [
                html.Th(_feature(row["feature"]), scope="row", title=row["feature"]),
                html.Td(row["arm"]),
                html.Td(_balance_bar(row["difference"] / scale)),
                html.Td(f"{row['difference']:+.2f}".replace("-", "−"), className="num"),
            ]
        )
        for row in largest
    ]
    head = [html.Th(text, scope="col") for text in ("Known before", "Arm", "Differs from control")]
    return html.Div(
        html.Table(
            [
                html.Thead(html.Tr([*head, html.Th("SD", scope="col", className="num")])),
                html.Tbody(body),
            ],
            className="table balance",
        ),
        className="table-scroll",
        tabIndex=0,
        role="region",
        **aria(label="Balance"),
    )


def value_lines(rows: Sequence[Row], currency: str) -> Component:
    """Return what each arm moves of margin over window and horizon, and the correction within."""
    lines = []
    for row in rows:
        days = row["window_days"] + (row["horizon_days"] or 0)
        ends = " to ".join(formats.money(row[end], currency) for end in ("lower", "upper"))
        lines.append(
            html.Div(
                [
                    html.Dt(f"{row['arm']}, margin over {days:,} days"),
                    html.Dd([html.Strong(_signed(row["effect"], currency)), html.Span(f" 95%: {ends}")]),
                    html.Dd(
                        f"the models alone say {_signed(row['by_the_models'], currency)}; what they got wrong of such "
                        f"customers a horizon ago adds {_signed(row['correction'], currency)}",
                        className="value-note",
                    ),
                ]
            )
        )
    return html.Dl(lines, className="value-lines")


def _check(row: Row) -> Component:
    if row["passed"]:
        mark, word = "passed", "passed"
    elif row["blocking"] and not row["overridden"]:
        mark, word = "blocking", "blocking"
    else:
        mark, word = ("warning", "overridden") if row["overridden"] else ("note", "note")
    p = "" if row["p_value"] is None else f" p {_p(row['p_value'])}."
    return html.Li(
        [
            html.Span(word, className=f"severity severity-{mark}"),
            html.Span(
                [
                    html.Strong(label(row["code"])),
                    f" – {_sentence(row['seen'])}{p} ",
                    html.Span(row["advice"], className="check-advice") if row["advice"] else None,
                ]
            ),
        ]
    )


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def _interval_text(row: Row, currency: str) -> str:
    return " to ".join(effect_text(row[end], row["outcome"], currency) for end in ("lower", "upper"))


def _interval_bar(low: float, high: float, value: float, zero: float) -> Component:
    return html.Div(
        [
            html.Span(className="zero", style={"left": f"{zero:.2f}%"}),
            html.Span(className="whisker", style={"left": f"{low:.2f}%", "width": f"{max(high - low, 0.5):.2f}%"}),
            html.Span(className="dot", style={"left": f"{value:.2f}%"}),
        ],
        className="interval-bar",
        **aria(hidden="true"),
    )


def _balance_bar(part: float) -> Component:
    left, width = (50.0, 50 * part) if part > 0 else (50 + 50 * part, -50 * part)
    return html.Div(
        [
            html.Span(className="zero", style={"left": "50%"}),
            html.Span(className="whisker", style={"left": f"{left:.2f}%", "width": f"{width:.2f}%"}),
        ],
        className="interval-bar",
        **aria(hidden="true"),
    )


def _feature(name: str) -> str:
    return label(name.replace(" ", "_"))


def _signed(value: float | None, currency: str) -> str:
    return formats.MISSING if value is None else ("+" if value > 0 else "") + formats.money(value, currency)


def _refusal_step(stopping: Sequence[Row]) -> str:
    if not stopping:
        return "mend what the sentence names in regulars.toml or the sends, then: regulars build."
    codes = ", ".join(f'"{row["code"]}"' for row in stopping)
    advice = " ".join(dict.fromkeys(row["advice"] for row in stopping))
    return f"{advice} To learn in spite of it: override = [{codes}] in the campaign's settings, then: regulars build."


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
