"""Uplift answers whom to send what, and at what budget."""

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import dash_mantine_components as dmc
from dash import ClientsideFunction, Dash, Input, Output, State, ctx, dcc, html, no_update
from dash.development.base_component import Component
from flask import current_app, has_app_context

from ...sql.errors import RegularsError, SettingsError
from .. import formats, theme
from ..campaign_planner import Asked, Planner
from ..components import card as cards
from ..components import (
    grid,
    model_versions,
    states,
    uplift_figures,
    uplift_inputs,
    uplift_lists,
    uplift_tool,
    uplift_verdict,
)
from ..components.aria import aria
from ..components.figure import figure
from ..components.listing_table import listing_table
from ..components.provenance import Source, disclosure
from ..components.url_state import UrlField, keep_in_url, url_store
from ..list_files import standing_lists
from ..list_writing import PATIENCE, ListWriting, register_files
from ..state import State as StateFile
from ..uplift_listing import UPLIFT_CUSTOMERS
from . import Page

if TYPE_CHECKING:
    from ..data import AppData
    from ..snapshot_data import SnapshotData

_GRID = "uplift-grid"
_PLANNER = "regulars-planner"
_HEIGHT = 320
_INTERVAL_95 = "95%, from held-out customers"
_HOW_JUDGED = (
    "The scores' sum, corrected by held-out customers: the plan's own rule is put to those whom no score had learnt "
    "from, and their doubly robust scores say how far predictions are off among those it chooses. The interval is the "
    "correction's; it supposes that scores err for this list as they did for them."
)

FIELDS: tuple[UrlField, ...] = (UrlField("campaign", "uplift-campaign", "choice"), *uplift_tool.FIELDS)
_TOOL = [(field.component_id, field.prop) for field in uplift_tool.FIELDS]


def layout(data: "SnapshotData", search: str) -> Component:
    """Return the page with its tool as the URL has it, and a skeleton for every number."""
    rows = data.table("campaign_effects", "campaign, arm").records
    if not rows:
        return _no_campaigns()
    names = list(dict.fromkeys(row["campaign"] for row in rows))
    usual = _usual_campaign(rows)
    sorts = UPLIFT_CUSTOMERS.parse(search).sorts
    return html.Div(
        [
            url_store("uplift", FIELDS, {"campaign": usual}),
            dcc.Store(id="uplift-most"),
            dcc.Store(id="uplift-job"),
            dcc.Interval(id="uplift-poll", interval=1000, disabled=True),
            html.Div(
                dmc.Select(
                    id="uplift-campaign",
                    label="Campaign",
                    value=usual,
                    data=[{"value": name, "label": _campaign_label(name, rows)} for name in names],
                    allowDeselect=False,
                    searchable=len(names) > 12,
                    size="sm",
                ),
                className="uplift-chooser",
            ),
            html.Div(
                [
                    cards.card("Does it pay, and for whom?", "uplift-verdict", height=150, class_name="span-12"),
                    _tool_card(data),
                    cards.card(
                        "What the first share gains",
                        "uplift-gain",
                        subtitle="Judged on customers that no ranking has learnt from; the band is 95%",
                        height=_HEIGHT + 60,
                        class_name="span-8",
                    ),
                    cards.card(
                        "Were the arms alike?",
                        "uplift-checks",
                        subtitle="Sample ratio, balance, and what else was seen",
                        height=_HEIGHT + 60,
                        class_name="span-4",
                    ),
                    cards.card(
                        "Past lists, and what they brought",
                        "uplift-lists",
                        subtitle="Realised against planned, when the window is over",
                        height=130,
                        class_name="span-8",
                    ),
                    cards.card(
                        "What it does to lifetime value",
                        "uplift-value",
                        subtitle="Margin of the window and the horizon after it",
                        height=130,
                        class_name="span-4",
                    ),
                ],
                className="cards",
            ),
            _list_card(data, sorts, usual),
        ],
        className="uplift-page",
    )


def _no_campaigns() -> Component:
    return states.state(
        "No campaigns",
        "Name what was sent under [sends] and write a section [campaigns.NAME] into regulars.toml: a build then "
        "learns what it moved, and whom to choose next.",
        commands=("regulars build",),
    )


def _tool_card(data: "SnapshotData") -> Component:
    return html.Section(
        [
            html.Div(
                html.Div(
                    [
                        html.H2("Plan a list", id="uplift-tool-heading"),
                        html.P("What you leave empty is as the settings say", className="card-subtitle"),
                    ]
                ),
                className="card-head",
            ),
            uplift_tool.tool(data.currency, [segment.name for segment in StateFile(data.warehouse.path).segments()]),
            uplift_tool.writing(),
        ],
        className="card span-12",
        **aria(labelledby="uplift-tool-heading"),
    )


def _list_card(data: "SnapshotData", sorts: Any, usual: str) -> Component:
    columns = data.columns(UPLIFT_CUSTOMERS)
    links = grid.export_links("uplift-export", UPLIFT_CUSTOMERS)
    return html.Section(
        [
            html.Div(
                [
                    html.Div(
                        [
                            html.H2("Whom it is expected to move", id="uplift-grid-heading"),
                            html.P(
                                "Every customer with his best offer, before limits; those who pay most first",
                                className="card-subtitle",
                            ),
                        ]
                    ),
                    html.Div(links, className="card-controls"),
                ],
                className="card-head",
            ),
            grid.grid(
                _GRID,
                UPLIFT_CUSTOMERS,
                columns,
                sorts,
                data.currency,
                label="Whom it is expected to move",
                height=440,
                usual={"campaign": usual},
            ),
        ],
        className="card",
        **aria(labelledby="uplift-grid-heading"),
    )


def register(app: Dash, data: "AppData") -> None:
    """Add the page's callbacks and the route of written lists."""
    planner, writing = Planner(data), ListWriting(data)
    app.server.extensions[_PLANNER] = planner
    register_files(app.server, data)
    keep_in_url(app, "uplift", FIELDS)
    grid.register(app, _GRID)
    grid.register_exports(app, _GRID, "uplift-export")
    app.clientside_callback(
        ClientsideFunction("regulars", "upliftBudget"),
        Output("uplift-slider", "disabled"),
        Input("uplift-slider", "value"),
        Input("uplift-budget", "value"),
        Input("uplift-most", "data"),
    )
    for card, view in (
        ("verdict", _verdict),
        ("checks", _checks),
        ("value", _value),
    ):
        _register_card(app, data, card, view)

    @app.callback(
        Output("uplift-gain", "children"),
        Input("run", "data"),
        Input("uplift-campaign", "value"),
        Input("scheme", "data"),
    )
    @states.guarded
    def gain(run: str, campaign: Any, scheme: Any) -> Any:
        snapshot = data.snapshot(run)
        return _gain(snapshot, _campaign(snapshot, campaign), theme.scheme(scheme))

    @app.callback(
        Output("uplift-lists", "children"),
        Input("run", "data"),
        Input("uplift-campaign", "value"),
        Input("uplift-written", "children"),
    )
    @states.guarded
    def lists(run: str, campaign: Any, written: Any) -> Any:  # noqa: ARG001 - a list that is written is one more
        snapshot = data.snapshot(run)
        return _lists(snapshot, _campaign(snapshot, campaign), planner)

    @app.callback(
        [
            *(Output(f"uplift-offer-{slot}", "hidden") for slot in uplift_tool.SLOTS),
            *(Output(f"uplift-arm-{slot}", "children") for slot in uplift_tool.SLOTS),
            *(Output(f"uplift-cost-{slot}", "placeholder") for slot in uplift_tool.SLOTS),
            *(Output(f"uplift-stock-{slot}", "placeholder") for slot in uplift_tool.SLOTS),
            Output("uplift-budget", "placeholder"),
            Output("uplift-quiet", "placeholder"),
            Output("uplift-day", "children"),
        ],
        Input("run", "data"),
        Input("uplift-campaign", "value"),
    )
    def offers(run: str, campaign: Any) -> list[Any]:
        try:
            snapshot = data.snapshot(run)
            return _offers(snapshot, _campaign(snapshot, campaign), planner)
        except RegularsError as error:
            nothing = [True] * 6 + [""] * 18 + ["", "", ""]
            return [*nothing[:-1], str(error)]

    @app.callback(
        Output("uplift-plan", "children"),
        Output("uplift-most", "data"),
        Input("run", "data"),
        Input("uplift-campaign", "value"),
        *(Input(*target) for target in _TOOL),
    )
    def plan(run: str, campaign: Any, *values: Any) -> tuple[Any, Any]:
        try:
            snapshot = data.snapshot(run)
            return _plan(snapshot, _asked(snapshot, planner, campaign, values), planner)
        except Exception as error:  # noqa: BLE001 - shown in place of the plan
            return uplift_lists.trouble(error), None

    @app.callback(
        Output("uplift-curve", "children"),
        Input("run", "data"),
        Input("uplift-campaign", "value"),
        *(Input(*target) for target in _TOOL),
        Input("scheme", "data"),
    )
    def curve(run: str, campaign: Any, *values: Any) -> Any:
        try:
            snapshot = data.snapshot(run)
            asked = _asked(snapshot, planner, campaign, values[:-1])
            return _curve(snapshot, asked, planner, theme.scheme(values[-1]))
        except Exception:  # noqa: BLE001 - the plan beside it says what is the matter
            return None

    @app.callback(
        Output("uplift-written", "children"),
        Output("uplift-job", "data"),
        Output("uplift-poll", "disabled"),
        Input(uplift_tool.WRITE, "n_clicks"),
        Input(uplift_tool.CHECK, "n_clicks"),
        State("run", "data"),
        State("uplift-campaign", "value"),
        State("uplift-replace", "checked"),
        *(State(*target) for target in _TOOL),
        prevent_initial_call=True,
    )
    def write(clicked: Any, tried: Any, run: Any, campaign: Any, replace: Any, *values: Any) -> tuple[Any, Any, bool]:
        try:
            button = ctx.triggered_id
            clicks = {uplift_tool.WRITE: clicked, uplift_tool.CHECK: tried}.get(str(button))
            if not _is_click(clicks):
                return no_update, no_update, True
            snapshot = data.snapshot(run)
            asked = _asked(snapshot, planner, campaign, values)
            token = writing.begin(asked, snapshot.run_id, replace=replace is True, dry_run=button == uplift_tool.CHECK)
            return _outcome(writing, token, snapshot.currency, seconds=PATIENCE)
        except Exception as error:  # noqa: BLE001 - shown in place of the outcome
            return uplift_lists.trouble(error), None, True

    @app.callback(
        Output("uplift-written", "children", allow_duplicate=True),
        Output("uplift-job", "data", allow_duplicate=True),
        Output("uplift-poll", "disabled", allow_duplicate=True),
        Input("uplift-poll", "n_intervals"),
        State("uplift-job", "data"),
        State("run", "data"),
        prevent_initial_call=True,
    )
    def look(ticks: Any, token: Any, run: Any) -> tuple[Any, Any, bool]:  # noqa: ARG001
        try:
            return _outcome(writing, token, data.snapshot(run).currency, seconds=0.0)
        except Exception as error:  # noqa: BLE001 - shown in place of the outcome
            return uplift_lists.trouble(error), None, True


def _register_card(app: Dash, data: "AppData", card: str, view: Any) -> None:
    @app.callback(Output(f"uplift-{card}", "children"), Input("run", "data"), Input("uplift-campaign", "value"))
    @states.guarded
    def fill(run: str, campaign: Any) -> Any:
        snapshot = data.snapshot(run)
        return view(snapshot, _campaign(snapshot, campaign))


def _outcome(writing: ListWriting, token: Any, currency: str, *, seconds: float) -> tuple[Any, Any, bool]:
    found = writing.look(token, seconds=seconds)
    if found is None:
        return no_update, None, True
    job, result = found
    if result is None:
        return uplift_lists.working(job.dry_run), token, False
    command = uplift_tool.command_of(job.asked, replace=job.replace)
    return uplift_lists.came_of(result, command, currency), None, True


# ---- what the client asks for ----------------------------------------------------------------------------------------


def _is_click(clicks: Any) -> bool:
    return isinstance(clicks, int) and not isinstance(clicks, bool) and 0 < clicks < 1_000_000


def _campaign(data: "SnapshotData", given: Any) -> str:
    """Return the campaign that is asked for, if there is one of that name; the usual one otherwise."""
    rows = data.table("campaign_effects", "campaign, arm").records
    if isinstance(given, str) and any(row["campaign"] == given for row in rows):
        return given
    if not rows:
        raise SettingsError("no campaign is configured; write a section [campaigns.NAME], then run 'regulars build'")
    return _usual_campaign(rows)


def _asked(data: "SnapshotData", planner: Planner, campaign: Any, values: Any) -> Asked:
    name = _campaign(data, campaign)
    given = dict(zip((field.key for field in uplift_tool.FIELDS), values, strict=True))
    return uplift_inputs.read_inputs(name, _arms(data, name), given, lambda: planner.usual_day(data, name)[0])


# ---- the parts -------------------------------------------------------------------------------------------------------


def _usual_campaign(rows: Any) -> str:
    """Return the campaign that the page opens with: the first that was not refused, those that choose whom first."""
    order = {"rank": 0, "treat all": 1, "treat none": 2, "not enough data": 3}
    return min(rows, key=lambda row: (row["refused"], order.get(row["decision"], 4), row["campaign"]))["campaign"]


def _campaign_label(name: str, rows: Any) -> str:
    first = next(row for row in rows if row["campaign"] == name)
    return f"{name} · {'refused' if first['refused'] else first['decision']}"


def _rows(data: "SnapshotData", table: str, campaign: str, order_by: str) -> list[dict[str, Any]]:
    """Rows of a campaign of a small table; [] where the snapshot has no such table."""
    if data.lacks(table):
        return []
    return [row for row in data.table(table, order_by).records if row["campaign"] == campaign]


def _effects(data: "SnapshotData", campaign: str) -> list[dict[str, Any]]:
    return [row for row in data.table("campaign_effects", "campaign, arm").records if row["campaign"] == campaign]


def _arms(data: "SnapshotData", campaign: str) -> list[str]:
    return sorted(row["arm"] for row in _effects(data, campaign) if row["arm"] and not row["refused"])


def _source(data: "SnapshotData", campaign: str, table: str, meaning: str, interval: str = "") -> Source:
    model = _effects(data, campaign)[0]["model_version"]
    sql = f"-- $campaign = {campaign!r}\nSELECT * FROM {table} WHERE campaign = $campaign"
    return Source.of(data, sql, meaning=meaning, model=model, interval=interval)


def _verdict(data: "SnapshotData", campaign: str) -> Any:
    rows = _effects(data, campaign)
    checks = _rows(data, "campaign_findings", campaign, "campaign, place")
    curve = _rows(data, "campaign_curves", campaign, "campaign, ranking, share")
    mine = [row for row in curve if row["ranking"] == rows[0]["ranking"]]
    fraction = max(mine, key=lambda row: row["gain"])["share"] if mine else None
    shown = [uplift_verdict.verdict(rows, checks, fraction)]
    if not rows[0]["refused"]:
        shown.append(uplift_verdict.effects_table(rows, data.currency))
    first = rows[0]
    overlap = first["overlap"]
    told = f"{first['kind']}, {first['window_days']} days from the send"
    if overlap is not None and overlap < 1:
        told += f"; {formats.share(overlap)} of customers could have had either arm"
    source = _source(
        data, campaign, "campaign_effects", "What each arm moves on average, and the verdict.", "95%, from the holdout"
    )
    return [*shown, cards.footer(html.P(told[:1].upper() + told[1:] + "."), disclosure("Effects by arm", source))]


def _gain(data: "SnapshotData", campaign: str, scheme: theme.Scheme) -> Any:
    if not data.lacks("campaign_curves"):
        rows = _rows(data, "campaign_curves", campaign, "campaign, ranking, share")
    else:
        rows = data.table("campaign_curves").records  # raises: another version made this snapshot
    if not rows:
        return states.state("No curve", "Nothing was estimated for this campaign: see why above.", compact=True)
    says = uplift_figures.gain_sentence(rows, data.currency)
    source = _source(
        data,
        campaign,
        "campaign_curves",
        "Profit per 1,000 customers where the first share is treated, by ranking.",
        "95% at each share alone",
    )
    return [
        figure(uplift_figures.gain_figure(rows, data.currency, scheme), says, height=_HEIGHT),
        cards.footer(html.P(says), disclosure("Gain curve", source)),
    ]


def _checks(data: "SnapshotData", campaign: str) -> Any:
    data.table("campaign_findings", "campaign, place")
    checks = _rows(data, "campaign_findings", campaign, "campaign, place")
    balance = uplift_verdict.balance_table(_rows(data, "campaign_balance", campaign, "campaign, arm, feature"))
    if not checks and balance is None:
        return states.state("Nothing was checked", "The campaign was refused before its sends were read.", compact=True)
    source = _source(data, campaign, "campaign_findings", "What was checked before and after the fit.", "p-values")
    return [
        html.Div([uplift_verdict.checks_list(checks), balance], className="checks-body", tabIndex=0, role="region",
                 **aria(label="Checks")),
        cards.footer(html.P(f"{len(checks)} checks are told."), disclosure("Checks", source)),
    ]  # fmt: skip


def _value(data: "SnapshotData", campaign: str) -> Any:
    rows = [row for row in data.table("campaign_values", "campaign, arm").records if row["campaign"] == campaign]
    known = [row for row in rows if not row["reason"]]
    if not known:
        reason = rows[0]["reason"] if rows else "nothing was estimated"
        return states.state("Not known", f"{reason[:1].upper()}{reason[1:]}.", compact=True)
    source = _source(
        data, campaign, "campaign_values", "Margin moved over window and horizon.", "95%, models' error in it"
    )
    return [
        uplift_verdict.value_lines(known, data.currency),
        cards.footer(html.P(f"{known[0]['customers']:,} customers compared."), disclosure("Lifetime value", source)),
    ]


def _offers(data: "SnapshotData", campaign: str, planner: Planner) -> list[Any]:
    arms = _arms(data, campaign)[: uplift_tool.MOST_ARMS]
    said = planner.said(data, campaign)
    padded: list[str] = [*arms, *[""] * (uplift_tool.MOST_ARMS - len(arms))]
    costs, stock = [], []
    for arm in padded:
        offer = said.offers.get(arm)
        costs.append(formats.money(offer.cost if offer else 0.0, data.currency))
        stock.append("no limit" if offer is None or offer.stock is None else f"{offer.stock:,}")
    budget = "no limit" if said.budget is None else formats.money(said.budget, data.currency)
    quiet = "any" if said.frequency_cap is None else f"{said.frequency_cap} in {said.frequency_days} days"
    day, why = planner.usual_day(data, campaign)
    text = f"Left empty: {formats.day(day)}. {why}"
    return [*(not arm for arm in padded), *padded, *costs, *stock, budget, quiet, text]


def _plan(data: "SnapshotData", asked: Asked, planner: Planner) -> tuple[Any, Any]:
    if not _arms(data, asked.campaign):
        return (
            states.state("No list can be planned", "The campaign is refused: see why above, mend it, then build.",
                         commands=("regulars build",), compact=True),
            None,
        )  # fmt: skip
    planned = planner.plan(data, asked)
    plain = planner.plan(data, asked.plain)
    shown = uplift_tool.result(planned, plain, uplift_lists.last_beside(data, planned, planner), data.currency)
    source = _source(data, asked.campaign, "uplift_scores", _HOW_JUDGED, _INTERVAL_95)
    note = None
    if planner.settings() is None:
        note = (
            "The app was started without settings: consent, sends and limits are not known here, and no list can be "
            "written. Start it with: regulars app --settings regulars.toml"
        )
    foot = cards.footer(html.P(note or "Re-reckoned at every change; the list reads consent and sends anew."),
                        disclosure("Expected profit of this list", source))  # fmt: skip
    return [shown, foot], {"most": planned.most, "budget": planned.budget}


def _curve(data: "SnapshotData", asked: Asked, planner: Planner, scheme: theme.Scheme) -> Any:
    if not _arms(data, asked.campaign):
        return None
    points = planner.curve(data, asked)
    if len(points) < 3:
        return html.P(
            "These offers cost nothing, so that no budget binds: give an offer a cost to see what a budget brings.",
            className="card-subtitle",
        )
    planned = planner.plan(data, asked)
    profit = planned.plan.promised if planned.plan.profit is None else planned.plan.profit.value
    today = planner.said(data, asked.campaign).budget
    drawn = uplift_figures.budget_figure(points, (planned.plan.spend, profit), today, data.currency, scheme)
    last = points[-1]
    says = (
        f"From nothing to {formats.money(last.spend, data.currency)}, where more budget brings nothing more; this plan "
        f"spends {formats.money(planned.plan.spend, data.currency)} for {formats.money(profit, data.currency)}."
    )
    return [figure(drawn, says, height=260), html.P(says, className="card-subtitle")]


def _lists(data: "SnapshotData", campaign: str, planner: Planner) -> Any:
    lists = standing_lists(data.warehouse.path, campaign)[:12]
    if not lists:
        return states.state("No list yet", "Plan one above and write it: every decision is logged with its "
                            "probability, so that it can be read out and learnt from.", compact=True)  # fmt: skip
    found = {each.run_id: planner.read_out(data, campaign, each) for each in lists if each.window_ends <= data.as_of}
    source = Source.of(
        data,
        f"regulars readout {campaign}",
        meaning="Customers whom the plan would have mailed and did, with those it would have and by chance did not.",
        model=lists[0].log.facts.get("model_version", ""),
        interval="95%",
    )
    return [
        uplift_lists.lists_table(lists, found, data.as_of, data.currency),
        cards.footer(
            html.P("Read-outs compare with the holdout and those left out by chance."), disclosure("Past lists", source)
        ),
    ]


def _as_planned(data: "SnapshotData", planner: Planner, campaign: str, said: dict[str, str]) -> list[Any]:
    """The plan as the address has the tool; what is wrong with it stands in place of the plan."""
    try:
        asked = _asked(data, planner, campaign, uplift_tool.values_of(said))
        return [_plan(data, asked, planner)[0], _curve(data, asked, planner, "light")]
    except RegularsError as error:
        return [uplift_lists.trouble(error)]


def report(data: "SnapshotData", search: str) -> list[tuple[str, Component]]:
    """Return the page's parts with every number in place."""
    if not data.table("campaign_effects", "campaign, arm").records:
        return [("Campaigns", _no_campaigns())]
    asked = dict(parse_qsl(search.removeprefix("?")))
    campaign = _campaign(data, asked.get("campaign"))
    filters = UPLIFT_CUSTOMERS.parse({"campaign": campaign})
    planner = current_app.extensions.get(_PLANNER) if has_app_context() else None
    planned: list[tuple[str, Any]] = []
    if planner is not None:
        planned = [
            ("The list that is planned", lambda: _as_planned(data, planner, campaign, asked)),
            ("Past lists, and what they brought", lambda: _lists(data, campaign, planner)),
        ]
    return states.filled(
        [
            (f"{campaign}: does it pay, and for whom?", lambda: _verdict(data, campaign)),
            *planned,
            ("What the first share gains", lambda: _gain(data, campaign, "light")),
            ("Were the arms alike?", lambda: _checks(data, campaign)),
            ("What it does to lifetime value", lambda: _value(data, campaign)),
            ("Whom it is expected to move", lambda: listing_table(data, filters)),
        ]
    )


PAGE = Page(
    "/uplift", "Uplift", "target", "Whom, at what budget?", layout, register, report, models=model_versions.of_campaigns
)
