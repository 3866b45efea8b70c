"""The pricing tool: a plan made otherwise while one looks on, beside what it differs by from the last."""

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import dash_mantine_components as dmc
from dash import ClientsideFunction, Dash, Input, Output, dcc, html
from dash.development.base_component import Component

from ...sql.contract import MARKDOWN_PLANS
from ...sql.errors import RegularsError
from .. import formats
from ..markdown import Change, MarkdownResult, changed_plan
from ..price_files import file_name
from ..price_jobs import Jobs
from ..price_overrides import Override
from ..price_planning import PlanTerms, rungs
from ..price_plans import PlanInputs
from . import price_by_hand, price_form, price_words, price_writing, states
from .aria import aria
from .icons import icon
from .price_state import (
    AT_ONCE,
    TICK,
    fitting_overrides,
    item_of,
    planned,
    progress,
    refusal,
    said,
    start_plan,
    terms_of_url,
)
from .provenance import Source, disclosure

if TYPE_CHECKING:
    from ..data import AppData
    from ..snapshot_data import SnapshotData


def tool(data: "SnapshotData", account: Mapping[str, Any], inputs: PlanInputs) -> Component:
    """Return the form, the place of what comes of it, prices by hand, and the price file."""
    return html.Section(
        [
            html.Div(
                [
                    html.Div(
                        [
                            html.H2("Plan it otherwise", id="price-tool-heading"),
                            html.P(
                                "An empty field is as the settings have it; every change is planned anew",
                                className="card-subtitle",
                            ),
                        ]
                    ),
                    dmc.SegmentedControl(
                        id="price-against",
                        value="build",
                        size="xs",
                        data=[
                            {"value": "build", "label": "Against the build's plan"},
                            {"value": "kept", "label": "Against the plan kept last"},
                        ],
                        **aria(label="What differences are against"),
                    ),
                ],
                className="card-head",
            ),
            html.Div(
                [
                    html.Div(
                        [price_form.form(inputs, data.currency), price_by_hand.by_hand_form()],
                        className="price-left",
                    ),
                    html.Div(
                        [
                            html.Div(states.skeleton(300), id="price-result", className="price-result"),
                            price_writing.file_form(account),
                        ],
                        className="price-right",
                    ),
                ],
                className="price-tool",
            ),
            dcc.Store(id="price-write-job"),
            dcc.Interval(id="price-tick", interval=TICK, disabled=True),
            dcc.Interval(id="price-write-tick", interval=TICK, disabled=True),
        ],
        className="card",
        **aria(labelledby="price-tool-heading"),
    )


def register(app: Dash, data: "AppData", jobs: Jobs) -> None:
    """Add the tool's callbacks, and the route of the files it has written."""
    _register_planning(app, data, jobs)
    price_by_hand.register(app, data)
    price_writing.register(app, data, jobs)
    app.clientside_callback(
        ClientsideFunction("regulars", "pricePick"), Output("price-pick-place", "hidden"), Input("url", "search")
    )


def _register_planning(app: Dash, data: "AppData", jobs: Jobs) -> None:
    @app.callback(
        Output("price-result", "children"),
        Output("price-tick", "disabled"),
        Input("run", "data"),
        Input("url", "search"),
        Input("price-hand", "data"),
        Input("price-tick", "n_intervals"),
    )
    def plan_anew(run: Any, search: Any, hand: Any, ticks: Any) -> tuple[Any, bool]:  # noqa: ARG001
        try:
            return _result(data, jobs, data.snapshot(run), search, hand)
        except Exception as error:  # noqa: BLE001 - the place of the answer shows it
            return refusal(error), True

    @app.callback(
        Output("price-hand-week", "data"),
        Output("price-hand-week", "label"),
        Output("price-hand-price", "data"),
        Input("run", "data"),
        Input("url", "search"),
    )
    def hand_choices(run: Any, search: Any) -> tuple[Any, ...]:
        try:
            snapshot = data.snapshot(run)
            account, inputs = planned(snapshot, search)
            name = item_of(snapshot, account["plan"], search)["name"]
            terms = terms_of_url(snapshot, search, inputs)
            prices = rungs(inputs, terms, name) if name in inputs.items["item"].to_pylist() else []
        except RegularsError:
            return [], "Week", []
        weeks = [
            {"value": day.isoformat(), "label": f"{n}: {formats.day(day)}"}
            for n, day in enumerate(inputs.dates[: terms.weeks or inputs.weeks], start=1)
        ]
        shown = [
            {
                "value": f"{price:.2f}",
                "label": f"{formats.money(price, snapshot.currency)} ({formats.share(depth)} off)",
            }
            for price, depth in prices
        ]
        return weeks if shown else [], f"Week of {name}"[:80], shown


def _result(data: "AppData", jobs: Jobs, snapshot: "SnapshotData", search: Any, hand: Any) -> tuple[Component, bool]:
    account, inputs = planned(snapshot, search)
    terms = terms_of_url(snapshot, search, inputs)
    overrides, over = fitting_overrides(hand, inputs)
    job = start_plan(jobs, snapshot, account["plan"], terms, overrides)
    if not job.within(AT_ONCE):
        waiting = f"Planning {inputs.items.num_rows:,} items anew for {job.seconds:.0f} seconds."
        return progress(waiting), False
    found: MarkdownResult = job.result()
    against, changes, worth = "the build's plan", found.changes, found.worth_before
    if worth is None and not (terms or overrides):
        worth = found.account["objective"]
    if said(search).get("against") == "kept":
        kept = price_by_hand.kept_plan(data, account["plan"])
        if kept is not None:
            before = start_plan(jobs, snapshot, account["plan"], *_taken(kept, inputs))
            if not before.within(AT_ONCE):
                return progress("Planning the plan kept last anew."), False
            last: MarkdownResult = before.result()
            against, worth = "the plan kept last", float(last.account["objective"])
            changes = changes_between(last, found)
        else:
            against = "the build's plan (none is kept yet)"
    return _shown(snapshot, found, changes, worth, against, over, _kept_link(data, account["plan"])), True


def made_otherwise(snapshot: "SnapshotData", search: Any) -> Component | None:
    """Return the plan on the terms that the URL holds, made while one waits; None where it holds none."""
    account, inputs = planned(snapshot, search)
    terms = terms_of_url(snapshot, search, inputs)
    if not terms:
        return None
    found = changed_plan(snapshot.snapshot, account["plan"], (), terms, told=False)
    return _shown(snapshot, found, found.changes, found.worth_before, "the build's plan", (), None)


def changes_between(before: MarkdownResult, after: MarkdownResult) -> tuple[Change, ...]:
    """Return the prices of one plan that differ from another's."""
    by_hand = {(c.item, c.store_id, c.week) for c in after.changes if c.overridden}
    old = {(r["item"], r["store_id"], r["week"]): r for r in before.rows if not r["reason"]}
    new = {(r["item"], r["store_id"], r["week"]): r for r in after.rows if not r["reason"]}
    found = []
    for key in dict.fromkeys([*old, *new]):
        was, now = old.get(key), new.get(key)
        if was is not None and now is not None and was["price"] == now["price"]:
            continue
        ends = [0.0 if row is None else float(row["revenue"]) for row in (was, now)]
        price = None if now is None else float(now["price"])
        planned = float((was or now or {})["price"])
        found.append(Change(*key, planned, price, key in by_hand, ends[1] - ends[0]))
    return tuple(found)


def _shown(
    data: "SnapshotData",
    found: MarkdownResult,
    changes: Sequence[Change],
    worth: float | None,
    against: str,
    over: Sequence[str],
    kept: Component | None,
) -> Component:
    account, currency = found.account, data.currency
    more = None if worth is None else float(account["objective"]) - worth
    still = None if account["unchanged"] is None else float(account["objective"]) - account["unchanged"]
    by_hand = sum(change.overridden for change in changes)
    spend = price_words.spend_of(found.rows)
    terms = [
        ("Worth", formats.money(account["objective"], currency), price_words.proven(account["gap"])),
        (f"Against {against}", formats.MISSING if more is None else price_words.signed(more, currency), ""),
        ("Against no change", formats.MISSING if still is None else price_words.signed(still, currency), ""),
        ("Markdown spend", formats.money(spend, currency), f"{account['markdowns']:,} price changes"),
        ("Prices that differ", formats.count(len(changes)), f"{by_hand:,} by hand" if by_hand else ""),
    ]
    made = f"-- planned anew of models/markdown_{found.plan} of the run, as this does:\n-- {_command(found)}\n"
    source = Source.of(
        data,
        made + data.table(MARKDOWN_PLANS.name, "plan").sql,
        meaning="What the plan is worth on these terms, with these prices by hand, and what it differs by.",
        model=account["model_version"],
        interval="none: an expectation, with a bound on any better plan",
    )
    late = (
        f"{len(over)} prices by hand are of weeks or items that this plan no longer has, and left out." if over else ""
    )
    return html.Div(
        [
            price_words.totals(terms, disclosure("The plan made otherwise", source)),
            html.P([icon("alert", 15), html.Span(late)], className="caution") if late else None,
            price_words.changes_table(changes, currency, against),
            kept,
            html.Details(
                [html.Summary("The same on the command line"), html.Pre(html.Code(_command(found)), tabIndex=0)],
                className="price-more",
            ),
        ]
    )


def _kept_link(data: "AppData", plan: str) -> Component | None:
    kept = price_by_hand.kept_plan(data, plan)
    if kept is None:
        return None
    href = "/pricing?" + "&".join(part for part in (urlencode({"plan": plan}), str(kept.get("search") or "")) if part)
    return html.P(dcc.Link("Open the plan kept last", href=href, className="text-link"), className="price-kept")


def _command(found: MarkdownResult) -> str:
    words = ["regulars", "markdown", found.plan, *found.terms.options()]
    for one in found.overrides:
        words += ["--override", one]
    return shlex.join([*words, "-o", file_name(found.plan, found.account["starts"], ".csv")])


def _taken(kept: Mapping[str, Any], inputs: PlanInputs) -> tuple[PlanTerms, list[Override]]:
    return PlanTerms.of(kept["terms"]), fitting_overrides(kept["overrides"], inputs)[0]
