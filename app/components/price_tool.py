"""The pricing tool: a plan made otherwise while one looks on, prices by hand that stay, and the price file."""

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode
from zoneinfo import ZoneInfo

import dash_mantine_components as dmc
from dash import Dash, Input, Output, State, ctx, dcc, html, no_update
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate
from flask import Response, send_file

from ...sql.contract import MARKDOWN_PLANS
from ...sql.errors import AlreadyDecided, ModelError, RegularsError, SettingsError, StaleSnapshotError, WarehouseError
from .. import access, formats
from ..listing import FilterError
from ..markdown import Change, MarkdownResult, changed_plan, markdown
from ..plan_age import stale_reason
from ..price_files import decided_prices, file_name, find_price_file, price_folder
from ..price_jobs import Job, Jobs
from ..price_listing import PRICE_ITEMS
from ..price_overrides import Override, parse_override
from ..price_planning import PlanTerms, rungs
from ..price_plans import PlanInputs
from . import price_form, price_words, states
from .aria import aria
from .icons import icon

if TYPE_CHECKING:
    from ..data import AppData, SnapshotData

KIND = "markdown"
_AT_ONCE = 1.6  # seconds that a page waits before it looks again
_TICK = 700  # milliseconds
_MOST_BY_HAND = 500
_ENDINGS = {"csv": ".csv", "parquet": ".parquet"}


class NoSuchPlan(RegularsError):
    """There is no such plan, or item of it, in the snapshot."""


# ---- what is looked at ----------------------------------------------------------------------------------------------


def account_of(data: "SnapshotData", search: Any) -> dict[str, Any] | None:
    """Return the row of ``markdown_plans`` that the URL names, the only one without a name, None where one must choose.

    Raises
    ------
    NoSuchPlan
        The snapshot has no plan of that name, or none at all.
    """
    accounts = data.table(MARKDOWN_PLANS.name, "plan").records
    name = said(search).get("plan", "")
    found = [row for row in accounts if row["plan"] == name] if name else accounts
    if not found:
        known = ", ".join(row["plan"] for row in accounts) or "none"
        raise NoSuchPlan(f"this snapshot has no plan {name[:60]!r}; there are: {known}")
    return found[0] if len(found) == 1 else None


def said(search: Any) -> dict[str, str]:
    """Return the keys of a URL's query, which a client may have made up, each once."""
    if not isinstance(search, str) or len(search) > 100_000:
        return {}
    try:
        pairs = parse_qs(search.removeprefix("?"), keep_blank_values=False, max_num_fields=60)
    except ValueError:
        return {}
    return {key: values[0] for key, values in pairs.items()}


def item_of(data: "SnapshotData", plan: str, search: Any) -> Mapping[str, Any]:
    """Return the item that the URL names, the one that brings most without a name.

    Raises
    ------
    NoSuchPlan
        The plan has no such item.
    """
    name = said(search).get("item", "")
    if not name:
        first = data.ask("price_first_item", {"plan": plan}).records
        name = first[0]["name"] if first else ""
    found = data.ask("price_item", {"plan": plan, "name": name[:1_000]}).records
    if not found:
        raise NoSuchPlan(f"the plan {plan} has no item {name[:80]!r}; choose one in the list")
    return found[0]


def inputs_of(data: "SnapshotData", plan: str) -> PlanInputs | None:
    """Return what a plan was made of, None where the run does not have it."""
    folder = data.snapshot.path / "models" / f"markdown_{plan}"
    return _loaded(folder) if folder.is_dir() else None


@lru_cache(maxsize=16)
def _loaded(folder: Path) -> PlanInputs:
    return PlanInputs.load(folder)


# ---- how it looks ---------------------------------------------------------------------------------------------------


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
                        [price_form.form(inputs, data.currency), _by_hand_form()],
                        className="price-left",
                    ),
                    html.Div(
                        [
                            html.Div(states.skeleton(300), id="price-result", className="price-result"),
                            _file_form(account),
                        ],
                        className="price-right",
                    ),
                ],
                className="price-tool",
            ),
            dcc.Store(id="price-hand", data=[]),
            dcc.Store(id="price-write-job"),
            dcc.Interval(id="price-tick", interval=_TICK, disabled=True),
            dcc.Interval(id="price-write-tick", interval=_TICK, disabled=True),
        ],
        className="card",
        **aria(labelledby="price-tool-heading"),
    )


def _by_hand_form() -> Component:
    return html.Div(
        [
            html.H3("Prices by hand"),
            html.P("They stay, whatever is planned around them.", className="card-subtitle"),
            html.Div(
                [
                    dmc.Select(id="price-hand-week", label="Week", data=[], size="sm", placeholder="Which week"),
                    dmc.Select(id="price-hand-price", label="Price", data=[], size="sm", placeholder="Which price"),
                    html.Button("Set price", id="price-set", type="button", className="button"),
                ],
                className="price-fields price-hand-fields",
            ),
            html.Div(
                dmc.CheckboxGroup(
                    html.Div(id="price-hand-rows", className="price-hand-rows"),
                    id="price-hand-ticked",
                    value=[],
                    size="sm",
                ),
                className="price-hand-list",
            ),
            html.Div(
                [
                    html.Button("Take out the ticked", id="price-unset", type="button", className="button"),
                    html.Button("Keep this plan", id="price-keep", type="button", className="button"),
                ],
                className="price-buttons",
            ),
            html.Div(id="price-hand-message", role="status", className="price-message"),
        ],
        className="price-by-hand",
        role="group",
        **aria(label="Prices by hand"),
    )


def _file_form(account: Mapping[str, Any]) -> Component:
    return html.Div(
        [
            html.H3("The price file"),
            html.Div(id="price-approval", className="card-subtitle"),
            html.Div(
                [
                    dmc.TextInput(
                        id="price-on",
                        label="Approved on",
                        value="",
                        size="sm",
                        debounce=400,
                        inputProps={"type": "date"},
                    ),
                    dmc.SegmentedControl(
                        id="price-kind",
                        value="csv",
                        size="sm",
                        data=[{"value": "csv", "label": "CSV"}, {"value": "parquet", "label": "Parquet"}],
                        **aria(label="Kind of file"),
                    ),
                    dmc.Checkbox(id="price-force", label="Replace what stands", checked=False, size="sm"),
                    html.Button(
                        [icon("check", 15), "Write the price file"],
                        id="price-write",
                        type="button",
                        className="button button-main",
                    ),
                ],
                className="price-fields price-file-fields",
            ),
            html.Div(id="price-written", role="status", className="price-message"),
            html.Div(id="price-decided", className="price-decided"),
        ],
        className="price-file",
        role="group",
        title=f"Prices of {account['plan']}",
        **aria(label="The price file"),
    )


# ---- what it does ---------------------------------------------------------------------------------------------------


def register(app: Dash, data: "AppData") -> None:
    """Add the tool's callbacks, and the route of the files it has written."""
    jobs = Jobs()
    _register_planning(app, data, jobs)
    _register_by_hand(app, data)
    _register_writing(app, data, jobs)

    @app.server.get("/price-files/<name>")
    def price_file_of(name: str) -> Response:
        person = access.require("viewer")
        path = find_price_file(data.settings(), name)
        if path is None:
            raise WarehouseError(f"there is no price file {name[:80]!r} on record")
        data.state.audit(person.name, "export price file", name)
        answer = send_file(path, as_attachment=True, download_name=name)
        answer.headers["Cache-Control"] = "no-store"
        return answer


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
            return _refusal(error), True

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
            account, inputs = _planned(snapshot, search)
            name = item_of(snapshot, account["plan"], search)["name"]
            terms = _terms(snapshot, search, inputs)
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
    account, inputs = _planned(snapshot, search)
    terms = _terms(snapshot, search, inputs)
    overrides, over = _overrides(hand, inputs)
    job = _start(jobs, snapshot, account["plan"], terms, overrides)
    if not job.within(_AT_ONCE):
        waiting = f"Planning {inputs.items.num_rows:,} items anew for {job.seconds:.0f} seconds."
        return _progress(waiting), False
    found: MarkdownResult = job.result()
    against, changes, worth = "the build's plan", found.changes, found.worth_before
    if worth is None and not (terms or overrides):
        worth = found.account["objective"]
    if said(search).get("against") == "kept":
        kept = _kept(data, account["plan"])
        if kept is not None:
            before = _start(jobs, snapshot, account["plan"], *_taken(kept, inputs))
            if not before.within(_AT_ONCE):
                return _progress("Planning the plan kept last anew."), False
            last: MarkdownResult = before.result()
            against, worth = "the plan kept last", float(last.account["objective"])
            changes = changes_between(last, found)
        else:
            against = "the build's plan (none is kept yet)"
    return _shown(snapshot, found, changes, worth, against, over), True


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
    late = (
        f"{len(over)} prices by hand are of weeks or items that this plan no longer has, and left out." if over else ""
    )
    return html.Div(
        [
            price_words.totals(terms),
            html.P([icon("alert", 15), html.Span(late)], className="caution") if late else None,
            price_words.changes_table(changes, currency, against),
            html.Details(
                [html.Summary("The same on the command line"), html.Pre(html.Code(_command(found)), tabIndex=0)],
                className="price-more",
            ),
        ]
    )


def _command(found: MarkdownResult) -> str:
    words = ["regulars", "markdown", found.plan, *found.terms.options()]
    for one in found.overrides:
        words += ["--override", one]
    return shlex.join([*words, "-o", file_name(found.plan, found.account["starts"], ".csv")])


def _register_by_hand(app: Dash, data: "AppData") -> None:
    @app.callback(
        Output("price-hand", "data"),
        Output("price-hand-message", "children"),
        Output("price-hand-ticked", "value"),
        Input("run", "data"),
        Input("price-set", "n_clicks"),
        Input("price-unset", "n_clicks"),
        Input("price-keep", "n_clicks"),
        State("url", "search"),
        State("price-hand-week", "value"),
        State("price-hand-price", "value"),
        State("price-hand-ticked", "value"),
        State("price-hand", "data"),
    )
    def by_hand(
        run: Any, setting: Any, taking: Any, keeping: Any, search: Any, week: Any, price: Any, ticked: Any, hand: Any
    ) -> tuple[Any, ...]:
        clicks = {"price-set": setting, "price-unset": taking, "price-keep": keeping}
        pressed = ctx.triggered_id if ctx.triggered_id in clicks else ""
        try:
            snapshot = data.snapshot(run)
            account, inputs = _planned(snapshot, search)
            if not pressed:
                return _drafted(data, account["plan"]), "", []
            if not clicked(clicks[pressed]):
                raise PreventUpdate
            person = access.require("analyst")
            words = [str(one) for one in _read(hand)]
            message = "Kept: differences can be shown against it."
            if pressed == "price-set":
                words, message = _with(words, snapshot, account["plan"], inputs, search, week, price)
            elif pressed == "price-unset":
                gone = {word for word in ticked if isinstance(word, str)} if isinstance(ticked, list) else set()
                words, message = [word for word in words if word not in gone], ""
            _save_draft(
                data,
                account["plan"],
                words,
                person.name,
                _keeping(snapshot, search, inputs, words) if pressed == "price-keep" else None,
            )
            return words, message, []
        except PreventUpdate:
            raise
        except RegularsError as error:
            return no_update, _refusal(error), no_update

    @app.callback(Output("price-hand-rows", "children"), Input("price-hand", "data"), Input("run", "data"))
    @states.guarded
    def hand_rows(hand: Any, run: Any) -> Any:
        currency = data.snapshot(run).currency
        overrides = _read(hand)
        if not overrides:
            return html.P("None yet.", className="card-subtitle")
        return [dmc.Checkbox(label=_in_words(one, currency), value=str(one), size="sm") for one in overrides]


def _register_writing(app: Dash, data: "AppData", jobs: Jobs) -> None:
    @app.callback(
        Output("price-on", "placeholder"),
        Output("price-approval", "children"),
        Input("run", "data"),
        Input("url", "search"),
    )
    def approval(run: Any, search: Any) -> tuple[str, Any]:
        try:
            snapshot = data.snapshot(run)
            account, _ = _planned(snapshot, search)
            day, why = approval_day(data, snapshot, account, search)
            return day.isoformat(), f"Approved as of {formats.day(day)}{why}."
        except RegularsError as error:
            return "", _refusal(error)

    @app.callback(
        Output("price-written", "children"),
        Output("price-write-tick", "disabled"),
        Output("price-write-job", "data"),
        Output("price-decided", "children"),
        Input("run", "data"),
        Input("price-write", "n_clicks"),
        Input("price-write-tick", "n_intervals"),
        State("url", "search"),
        State("price-hand", "data"),
        State("price-force", "checked"),
        State("price-write-job", "data"),
    )
    def write(
        run: Any,
        clicks: Any,
        ticks: Any,  # noqa: ARG001
        search: Any,
        hand: Any,
        force: Any,
        key: Any,
    ) -> tuple[Any, ...]:
        try:
            snapshot = data.snapshot(run)
            account, inputs = _planned(snapshot, search)
            if ctx.triggered_id == "price-write":
                if not clicked(clicks):
                    raise PreventUpdate
                job = _write(data, jobs, snapshot, account, inputs, search, hand, force=force is True, clicks=clicks)
            elif ctx.triggered_id == "price-write-tick":
                job = jobs.find(key) if isinstance(key, str) and key.startswith("write:") else None
                if job is None:
                    return no_update, True, None, no_update
            else:
                return "", True, None, _decided(data, account["plan"])
            if not job.within(_AT_ONCE):
                return _progress("Writing the price file."), False, job.key, no_update
            return _written(job.result()), True, None, _decided(data, account["plan"])
        except PreventUpdate:
            raise
        except Exception as error:  # noqa: BLE001 - the place of the answer shows it
            return _refusal(error), True, None, no_update


def _write(
    data: "AppData", jobs: Jobs, snapshot: "SnapshotData", account: Mapping[str, Any], inputs: PlanInputs,
    search: Any, hand: Any, *, force: bool, clicks: int,
) -> Job:  # fmt: skip
    person = access.require("analyst")
    settings = data.settings()
    if snapshot.run_id != data.current_run():
        raise StaleSnapshotError("a newer snapshot is published; show it, and look at its plan before it is written")
    terms = _terms(snapshot, search, inputs)
    overrides, _ = _overrides(hand, inputs)
    day, _ = approval_day(data, snapshot, account, search)
    ending = _ENDINGS.get(said(search).get("kind", "csv"), ".csv")
    path = price_folder(settings) / file_name(account["plan"], account["starts"], ending)
    data.state.audit(
        person.name, "write price file", account["plan"], file=path.name, run=snapshot.run_id, on=day.isoformat(),
        terms=terms.to_dict(), overrides=[str(one) for one in overrides], force=force,
    )  # fmt: skip
    told = [person.name, clicks, datetime.now().timestamp(), path.name]  # noqa: DTZ005 - only to tell clicks apart
    return jobs.start(
        "write:" + _digest(told),
        lambda: markdown(
            settings, account["plan"], on=day, out=path, overrides=overrides, terms=terms, force=force, wait=20.0
        ),
    )


def _written(found: MarkdownResult) -> Component:
    assert found.path is not None
    word = "It was there as it is" if found.outcome == "unchanged" else "Written and recorded"
    return html.Div(
        [
            html.P(
                [
                    icon("check", 16), html.Span(f"{word}, decision {found.decision_id}: "),
                    html.A(found.path.name, href=f"/price-files/{found.path.name}", download="", className="text-link"),
                ],
                className="mark mark-check",
            ),
            price_words.notes(found),
        ]
    )  # fmt: skip


def _decided(data: "AppData", plan: str) -> Component | None:
    try:
        found = decided_prices(data.settings(), plan)
    except RegularsError:
        return None
    if not found:
        return None
    return html.Div(
        [
            html.H3("On record"),
            html.Ul(
                [
                    html.Li(
                        [
                            html.A(one.name, href=f"/price-files/{one.name}", download="", className="text-link")
                            if one.name
                            else html.Span(Path(str(one.facts.get("file", ""))).name),
                            html.Span(_record_words(one.facts)),
                        ]
                    )
                    for one in found[:10]
                ]
            ),
        ]
    )


def _record_words(facts: Mapping[str, Any]) -> str:
    words = f" approved on {facts['decided_on']}, {facts['weeks']} weeks from {facts['starts']}"
    hand = len(facts.get("overrides") or ())
    words += f", {hand} by hand" if hand else ""
    words += ", planned otherwise" if facts.get("terms") else ""
    return f"{words}, decision {facts['decision_id']}"


def approval_day(
    data: "AppData", snapshot: "SnapshotData", account: Mapping[str, Any], search: Any
) -> tuple[date, str]:
    """Return the day of the approval and why it is that one: what the URL says, else today, else the plan's start.

    Raises
    ------
    SettingsError
        The URL's day is none, or there are no settings.
    """
    asked = said(search).get("on", "")
    if asked:
        try:
            return date.fromisoformat(asked), ""
        except ValueError as error:
            raise SettingsError(f"approved on {asked[:20]!r}: it is no day; write YYYY-MM-DD") from error
    settings = data.settings()
    today = datetime.now(ZoneInfo(settings.shop.timezone)).date()
    stale = stale_reason(settings, snapshot.snapshot, account, today)
    if not stale:
        return today, ", today"
    return account["starts"], f", the plan's first day, since today {formats.day(today)} is too late for this snapshot"


# ---- parts ----------------------------------------------------------------------------------------------------------


def clicked(clicks: Any) -> bool:
    """Say whether a button was truly pressed.

    Examples
    --------
    >>> clicked(1), clicked(0), clicked(True), clicked("1"), clicked(None)
    (True, False, False, False, False)
    """
    return type(clicks) is int and 0 < clicks < 1_000_000


def _planned(snapshot: "SnapshotData", search: Any) -> tuple[dict[str, Any], PlanInputs]:
    account = account_of(snapshot, search)
    inputs = None if account is None else inputs_of(snapshot, account["plan"])
    if account is None or inputs is None:
        raise NoSuchPlan("no plan is chosen, or nothing of it can be planned")
    return account, inputs


def _terms(snapshot: "SnapshotData", search: Any, inputs: PlanInputs) -> PlanTerms:
    values: dict[str, Any] = dict(said(search))
    for name in ("pick", "drop"):
        values[name] = [word for word in values.get(name, "").split(",") if word]
    filtered = _filtered(snapshot, search) if values.get("scope") == "filtered" else ()
    return price_form.terms_of(values, inputs, filtered)


def _filtered(snapshot: "SnapshotData", search: Any) -> list[str]:
    filters = PRICE_ITEMS.parse(search if isinstance(search, str) else "")
    return [name for batch in snapshot.stream(filters) for name in batch.column("name").to_pylist()]


def _read(hand: Any) -> list[Override]:
    if hand is None:
        return []
    fits = isinstance(hand, list) and len(hand) <= _MOST_BY_HAND
    if not fits or not all(isinstance(word, str) and len(word) <= 1_500 for word in hand):
        raise SettingsError(f"prices by hand: a list of at most {_MOST_BY_HAND} of them")
    return [parse_override(word) for word in hand]


def _overrides(hand: Any, inputs: PlanInputs) -> tuple[list[Override], list[str]]:
    """Prices by hand that the plan has a place for, and the others."""
    names, days = set(inputs.items["item"].to_pylist()), set(inputs.dates)
    fitting, over = [], []
    for one in _read(hand):
        here = one.item in names and (one.week in days or isinstance(one.week, int))
        (fitting if here else over).append(one)
    return fitting, [str(one) for one in over]


def _with(
    words: list[str], snapshot: "SnapshotData", plan: str, inputs: PlanInputs, search: Any, week: Any, price: Any
) -> tuple[list[str], str]:
    if not isinstance(week, str) or not isinstance(price, str):
        raise SettingsError("choose a week and a price")
    item = item_of(snapshot, plan, search)["name"]
    one = parse_override(f"{item}:{week[:12]}={price[:20]}")
    if item not in inputs.items["item"].to_pylist():
        raise SettingsError(f"{item} is not planned and keeps its price")
    if one.week not in inputs.dates:
        raise SettingsError("choose a week of the plan")
    allowed = [f"{at:.2f}" for at, _ in rungs(inputs, _terms(snapshot, search, inputs), item)]
    if price not in allowed:
        raise SettingsError(f"{price} is no price on the ladder of {item}; it may be {', '.join(allowed)}")
    kept = [word for word in words if not word.startswith(f"{item}:{week}=")]
    if len(kept) >= _MOST_BY_HAND:
        raise SettingsError(f"at most {_MOST_BY_HAND} prices can be set by hand")
    return [*kept, str(one)], ""


def _in_words(one: Override, currency: str) -> str:
    when = formats.day(one.week) if isinstance(one.week, date) else f"week {one.week}"
    price = formats.money(one.price, currency) if one.price is not None else f"{formats.share(one.depth)} off"
    return f"{one.item}, {when}: {price}"


def _start(jobs: Jobs, snapshot: "SnapshotData", plan: str, terms: PlanTerms, overrides: Sequence[Override]) -> Job:
    told = [snapshot.run_id, plan, terms.to_dict(), sorted(str(one) for one in overrides)]
    return jobs.start(
        "plan:" + _digest(told), lambda: changed_plan(snapshot.snapshot, plan, overrides, terms, told=False)
    )


def _digest(told: Any) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


# ---- drafts ---------------------------------------------------------------------------------------------------------


def _drafted(data: "AppData", plan: str) -> list[str]:
    draft = data.state.draft(KIND, plan)
    words = [] if draft is None else draft.content.get("overrides")
    return [word for word in words if isinstance(word, str)] if isinstance(words, list) else []


def _kept(data: "AppData", plan: str) -> Mapping[str, Any] | None:
    draft = data.state.draft(KIND, plan)
    kept = None if draft is None else draft.content.get("kept")
    return kept if isinstance(kept, Mapping) else None


def _taken(kept: Mapping[str, Any], inputs: PlanInputs) -> tuple[PlanTerms, list[Override]]:
    return PlanTerms.of(kept["terms"]), _overrides(kept["overrides"], inputs)[0]


def _keeping(snapshot: "SnapshotData", search: Any, inputs: PlanInputs, words: list[str]) -> dict[str, Any]:
    terms = _terms(snapshot, search, inputs)
    tool_keys = {key: value for key, value in said(search).items() if key in price_form.NAMES}
    return {
        "terms": terms.to_dict(), "overrides": words, "run_id": snapshot.run_id, "search": urlencode(tool_keys),
    }  # fmt: skip


def _save_draft(data: "AppData", plan: str, words: list[str], person: str, kept: Mapping[str, Any] | None) -> None:
    before = data.state.draft(KIND, plan)
    content = dict(before.content) if before is not None else {}
    content |= {"overrides": words} | ({} if kept is None else {"kept": dict(kept)})
    data.state.save_draft(KIND, plan, content, person)


# ---- states ---------------------------------------------------------------------------------------------------------


def _progress(text: str) -> Component:
    bar = dmc.Progress(value=100, striped=True, animated=True, size="sm", **aria(label=text))
    return html.Div([html.P(text, className="question"), bar], className="price-progress", role="status")


def _refusal(error: Exception) -> Component:
    """What stands in place of a plan: rules that conflict, terms that cannot be, prices that stand."""
    text = str(error).replace(" and run 'regulars build'", "")
    text = text[:1].upper() + text[1:]
    if isinstance(error, AlreadyDecided):
        text = text.replace("; or record these prices in their place: --force", "").replace(
            ", or replace it: --force", ""
        )
        return states.state(
            "Other prices stand", f"{text}. Tick “Replace what stands” to write these.", symbol="alert", compact=True
        )
    titles: dict[type[Exception], str] = {
        ModelError: "These cannot all hold",
        StaleSnapshotError: "Not on this day",
        SettingsError: "This cannot be planned",
        FilterError: "This filter does not exist",
        NoSuchPlan: "Nothing to plan",
    }
    for kind, title in titles.items():
        if isinstance(error, kind):
            return states.state(title, text, symbol="alert", compact=True)
    return states.problem(error, compact=True)
