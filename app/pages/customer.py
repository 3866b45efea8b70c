"""One customer answers why the score is what it is."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import dash_mantine_components as dmc
from dash import Dash, Input, Output, dcc, html
from dash.development.base_component import Component

from ...sql.contract import CAMPAIGN_EFFECTS, COHORTS, CUSTOMER_CHURN, CUSTOMER_DAYS, CUSTOMER_INTERVALS, UPLIFT_SCORES
from ...sql.errors import RegularsError
from .. import customer_record, formats, theme
from ..components import card as cards
from ..components import customer_outlook, customer_parts, customer_timeline, model_versions, states
from ..components.aria import aria
from ..components.figure import figure
from ..components.icons import icon
from ..components.provenance import Source, disclosure
from ..components.url_state import UrlField, keep_in_url, url_store
from . import Page

if TYPE_CHECKING:
    from ..data import AppData
    from ..snapshot_data import SnapshotData

_TIMELINE_HEIGHT = 350
_OUTLOOK_HEIGHT = 84
_OPTIONAL = (CUSTOMER_CHURN.name, CUSTOMER_INTERVALS.name)

FIELDS = (UrlField("id", "customer-search", "text", default=""),)


def layout(data: "SnapshotData", search: str) -> Component:  # noqa: ARG001 - the body is filled by its callback
    """Return the search and a skeleton of the page's shape."""
    return html.Div(
        [
            url_store("customer", FIELDS),
            html.Div(
                [
                    dmc.TextInput(
                        id="customer-search",
                        value=_asked(search),
                        placeholder="Customer id",
                        leftSection=icon("search", 16),
                        debounce=450,
                        size="sm",
                        className="customer-search",
                        inputProps={"aria-label": "Customer id", "spellCheck": False, "autoComplete": "off"},
                    ),
                    dcc.Link("All customers", href="/customers", className="text-link"),
                ],
                className="customer-find",
                role="search",
            ),
            html.Div(_waiting(), id="customer-body"),
        ]
    )


def _waiting() -> Component:
    shapes = (("span-12", 130), ("span-8", _TIMELINE_HEIGHT + 60), ("span-4", _TIMELINE_HEIGHT + 60))
    return html.Div([html.Div(states.skeleton(h), className=span) for span, h in shapes], className="cards")


def register(app: Dash, data: "AppData") -> None:
    """Add the page's callbacks."""
    keep_in_url(app, "customer", FIELDS)

    @app.callback(
        Output("customer-body", "children"), Input("run", "data"), Input("url", "search"), Input("scheme", "data")
    )
    @states.guarded
    def body(run: Any, search: Any, scheme: Any) -> Component:
        return _body(data.snapshot(run), search if isinstance(search, str) else "", theme.scheme(scheme))


def _asked(search: str) -> str:
    """The id that an address asks for; "" where it asks for none."""
    given = dict(parse_qsl(search.removeprefix("?"), keep_blank_values=True, max_num_fields=40)).get("id", "")
    # half of a character is in no id, and could not be looked for
    return given.encode("utf-8", "replace").decode("utf-8")


def _body(data: "SnapshotData", search: str, scheme: theme.Scheme) -> Component:
    row = _found(data, _asked(search))
    if isinstance(row, Component):
        return row
    spans = {"Outlook": "span-4", "Timeline": "span-8", "Will they order again?": "span-6", "Inputs": "span-6"}
    shown = [
        html.Section(
            [html.Div(html.H2(title), className="card-head") if title else None, part],
            className=f"card {spans.get(title, 'span-12')}",
            **aria(label=title or "Customer"),
        )
        for title, part in _parts(data, row, scheme)
    ]
    return html.Div(shown, className="cards customer-cards")


def _parts(data: "SnapshotData", row: Mapping[str, Any], scheme: theme.Scheme) -> list[tuple[str, Component]]:
    return states.filled(
        [
            ("", lambda: _head(data, row)),
            ("Timeline", lambda: _timeline(data, row, scheme)),
            ("Outlook", lambda: _outlook(data, row, scheme)),
            ("Will they order again?", lambda: _churn(data, row)),
            ("Inputs", lambda: _inputs(data, row)),
            ("Campaigns", lambda: _campaigns(data, row)),
            ("Versions", lambda: _versions(data, row)),
        ]
    )


def _found(data: "SnapshotData", customer_id: str) -> Mapping[str, Any] | Component:
    """The customer's row, or the state that says why there is none."""
    if not customer_id.strip():
        return _nobody(data)
    if len(customer_id) > customer_record.LONGEST_ID:
        return states.state(
            "This id is too long",
            f"It has {len(customer_id):,} characters; at most {customer_record.LONGEST_ID:,} are looked for.",
            link=("All customers", "/customers"),
            symbol="search",
        )
    rows = _record(data, customer_id).records
    return rows[0] if rows else _unknown(data, customer_id)


def _record(data: "SnapshotData", customer_id: str) -> Any:
    return data.ask("customer_record", {"customer": customer_id}, optional=_OPTIONAL)


def _nobody(data: "SnapshotData") -> Component:
    from ..listings import CUSTOMERS

    best, _ = data.page(CUSTOMERS.everything, 0, 6)
    return html.Div(
        [
            states.state("Which customer?", "Give an id above, or take one of the list of customers.", symbol="search"),
            _links([(str(row["customer_id"]), "") for row in best], "Those of most value"),
        ]
    )


def _unknown(data: "SnapshotData", customer_id: str) -> Component:
    near = data.ask("customer_near_ids", {"customer": customer_id}).records
    shown = customer_parts.shown_id(customer_id)
    text = (
        f"{shown} has no order that counts up to {formats.day(data.as_of)}. Ids are compared letter by letter: "
        "leading zeros and capitals matter. Guests and lines set aside have no page."
    )
    return html.Div(
        [
            states.state("No such customer", text, link=("All customers", "/customers"), symbol="search"),
            _links(
                [(str(r["customer_id"]), f"last order {formats.day(r['last_order_on'])}") for r in near],
                "Did you mean",
            )
            if near
            else None,
        ]
    )


def _links(ids: list[tuple[str, str]], title: str) -> Component:
    return html.Section(
        [
            html.H2(title),
            html.Ul(
                [
                    html.Li(
                        [
                            dcc.Link(
                                customer_parts.shown_id(one),
                                href=customer_parts.customer_link(one),
                                className="table-link",
                            ),
                            html.Span(f" {note}", className="muted") if note else None,
                        ]
                    )
                    for one, note in ids
                ],
                className="near-ids",
            ),
        ],
        className="card near",
    )


def _head(data: "SnapshotData", row: Mapping[str, Any]) -> Component:
    missing = data.enough_data()
    currency = data.currency
    parts: list[tuple[str, str, str]] = []
    if not missing:
        interval = f"80% {formats.money(row['value_low'], currency)} – {formats.money(row['value_high'], currency)}"
        parts = [
            (f"Value, {data.horizon}", formats.money(row["customer_value"], currency), interval),
            ("P(alive)", formats.share(row["probability_alive"]), f"on {formats.day(data.as_of)}"),
        ]
        if row["churn_no_order"] is not None:
            beside = (
                f"survival {formats.share(row['probability_no_order_survival'])}, "
                f"BTYD {formats.share(row['probability_no_order_btyd'])}"
            )
            parts.append((f"P(no order in {row['horizon_days']} d)", formats.share(row["churn_no_order"]), beside))
        parts.append(("Next order, median", _median(row["next_order_days"]), "by the model of orders"))
    parts.append(
        (
            "Past revenue",
            formats.cents(row["revenue"], currency),
            f"{formats.count(row['orders'])} order{'' if row['orders'] == 1 else 's'}",
        )
    )
    source = Source.of(
        data,
        _record(data, str(row["customer_id"])).sql,
        meaning="All that the snapshot says of this customer.",
        model="" if missing else str(row["model_version"]),
        interval="80% predictive interval of the value",
    )
    return html.Div(
        [
            customer_parts.identity(row),
            html.Div([customer_parts.figures(parts), disclosure("Customer", source)], className="customer-figures"),
            html.P([_cohort(data, row), f" Not enough data for predictions ({missing})." if missing else ""]),
        ],
        className="customer-head",
    )


def _median(days: float | None) -> str:
    return "may never come" if days is None or days != days else formats.days(days)


def _cohort(data: "SnapshotData", row: Mapping[str, Any]) -> Component | str:
    joined = row["first_order_on"]
    month = f"{joined:%b %Y}"
    if data.lacks(COHORTS.name):
        return f"Came in {month}."
    found = data.ask("customer_cohort", {"cohort": joined.replace(day=1)}).records
    if not found:
        return html.Span([f"Came in {month}; ", dcc.Link("all cohorts", href="/cohorts", className="text-link"), "."])
    one = found[0]
    rest = (
        f"; {formats.share(one['active_share'])} of them bought {one['age_months']} months on. "
        if one["age_months"]
        else ". "
    )
    return html.Span(
        [
            f"Came in {month}, one of {formats.count(one['customers'])} customers{rest}",
            dcc.Link("All cohorts", href="/cohorts", className="text-link"),
        ],
        className="muted",
    )


def _timeline(data: "SnapshotData", row: Mapping[str, Any], scheme: theme.Scheme) -> Component:
    answer = data.ask("customer_timeline", {"customer": row["customer_id"]})
    if not answer.records:
        return states.state(
            "No purchase days",
            f"{CUSTOMER_DAYS.name} holds none of this customer.",
            commands=("regulars build --force",),
            compact=True,
        )
    path, why = None, data.enough_data()
    if not why:
        try:
            path = customer_record.alive_path(data, [one["day"] for one in answer.records])
        except RegularsError as error:
            why = str(error)
    drawn = customer_timeline.timeline_figure(answer.records, path, data.as_of, data.currency, scheme)
    says = customer_timeline.timeline_message(answer.records, path, data.as_of)
    source = Source.of(
        data,
        answer.sql,
        meaning="Purchase days with their net revenue; P(alive) of each day knows only what had happened by then.",
        model="" if path is None else data.model_version,
        interval="none: a probability",
    )
    note = html.P(f"No path of P(alive): {why}.", className="caution") if path is None else None
    return html.Div(
        [
            figure(drawn, says, height=_TIMELINE_HEIGHT),
            cards.footer(html.Div([html.P(says), note]), disclosure("Timeline", source)),
        ]
    )


def _outlook(data: "SnapshotData", row: Mapping[str, Any], scheme: theme.Scheme) -> Component:
    missing = data.enough_data()
    if missing:
        return states.not_enough_data(missing, compact=True)
    why = data.lacks(CUSTOMER_INTERVALS.name)
    if why or row["orders_low_50"] is None:
        return states.state(
            "No intervals",
            f"This run {why or 'has no interval of this customer'}; a build makes them where a model can be fitted.",
            commands=("regulars build --force",),
            compact=True,
        )
    expected = {"orders": row["expected_orders"], "money": None}
    if row["expected_orders"] is not None and row["expected_order_value"] is not None:
        expected["money"] = row["expected_orders"] * row["expected_order_value"]
    parts: list[Component] = []
    for kind, title in (("orders", "Purchase days to come"), ("money", "Net revenue to come")):
        drawn = customer_outlook.outlook_figure(row, kind, expected[kind], data.currency, scheme)
        said = customer_outlook.outlook_message(row, kind, expected[kind], data.currency)
        parts += [html.H3(title), figure(drawn, said, height=_OUTLOOK_HEIGHT)]
    source = Source.of(
        data,
        _record(data, str(row["customer_id"])).sql,
        meaning="Where this customer's own outcome will lie; not discounted, no margin taken.",
        model=str(row["model_version"]),
        interval="50, 80 and 90% predictive, the models' own uncertainty included",
    )
    note = f"In {data.horizon}. The diamond is the expectation; bars hold 50, 80 and 90%."
    return html.Div(
        [
            *parts,
            customer_outlook.outlook_table(row, data.currency),
            cards.footer(html.P(note), disclosure("Outlook", source)),
        ],
        className="outlook",
    )


def _churn(data: "SnapshotData", row: Mapping[str, Any]) -> Component:
    missing = data.enough_data()
    if missing:
        return states.not_enough_data(missing, compact=True)
    if outdated := data.outdated(CUSTOMER_CHURN.name):
        return states.problem(outdated, compact=True)
    why = data.lacks(CUSTOMER_CHURN.name)
    if why or row["churn_no_order"] is None:
        return states.state(
            "No churn scores",
            f"This run {why or 'has no churn score of this customer'}; a [churn] section in regulars.toml asks for it.",
            commands=("regulars build",),
            compact=True,
        )
    told = data.manifest.get("churn")
    said: Mapping[str, Any] = told if isinstance(told, Mapping) else {}
    source = Source.of(
        data,
        _record(data, str(row["customer_id"])).sql,
        meaning="P(no order) by the survival model and by the model of orders, and which was chosen on the last days.",
        model=", ".join(filter(None, (str(row["chosen"]), model_versions.of_churn(data)))),
        interval="none: a probability",
    )
    verdict = said.get("verdict")
    return html.Div(
        [
            customer_parts.churn_table(row),
            customer_parts.reasons(row, str(said.get("explained_by") or "")),
            cards.footer(html.P(str(verdict) if verdict else ""), disclosure("Churn", source)),
        ],
        className="churn-part",
    )


def _inputs(data: "SnapshotData", row: Mapping[str, Any]) -> Component:
    source = Source.of(
        data,
        _record(data, str(row["customer_id"])).sql,
        meaning="What the models read of this customer.",
    )
    return html.Div(
        [
            customer_parts.inputs_table(row, data),
            cards.footer(
                html.P("The score follows from x, t_x, T and m_x alone; the rest is for reading."),
                disclosure("Inputs", source),
            ),
        ]
    )


def _campaigns(data: "SnapshotData", row: Mapping[str, Any]) -> Component:
    decided = customer_record.decisions_of(data, str(row["customer_id"]))
    answer = data.ask("customer_effects", {"customer": row["customer_id"]}, optional=(UPLIFT_SCORES.name,))
    parts: list[Component] = []
    if decided:
        parts += [html.H3("Decided"), customer_parts.decisions_table(decided, data.currency)]
    else:
        parts.append(html.P("No campaign has decided anything for this customer yet.", className="question"))
    if answer.records:
        verdicts = _verdicts(data)
        parts += [
            html.H3("Expected of each arm from today"),
            customer_parts.effects_table(answer.records, data.currency),
            *(html.P(f"{name}: {said}", className="question") for name, said in verdicts.items()),
        ]
    source = Source.of(
        data,
        answer.sql,
        meaning="The effects that a campaign's model expects; decisions are read from the warehouse's log.",
        model=model_versions.of_campaigns(data) if answer.records else "",
        interval="none by customer: judge effects by groups",
    )
    return html.Div([*parts, cards.footer(html.P(""), disclosure("Campaigns", source))])


def _verdicts(data: "SnapshotData") -> dict[str, str]:
    """What the build found of each campaign's scores: how far an effect of one customer can be believed."""
    if data.lacks(CAMPAIGN_EFFECTS.name):
        return {}
    rows = data.table(CAMPAIGN_EFFECTS.name, "campaign, arm").records
    return {row["campaign"]: row["sentence"] for row in rows if not row["refused"]}


def _versions(data: "SnapshotData", row: Mapping[str, Any]) -> Component:
    missing = data.enough_data()
    if missing:
        return states.not_enough_data(missing, compact=True)
    rows = customer_record.scores_over_runs(data, str(row["customer_id"]))
    source = Source.of(
        data,
        _record(data, str(row["customer_id"])).sql,
        meaning="The scores of this customer in the snapshots that the warehouse keeps.",
        model=str(row["model_version"]),
        interval="80% predictive interval of the value",
    )
    alone = len(rows) <= 1
    note = "Earlier snapshots stand here as long as [build] keep_runs keeps them." if alone else _moved(rows, data)
    return html.Div(
        [
            customer_parts.versions_table(rows, data.run_id, data.currency),
            cards.footer(html.P(note), disclosure("Versions", source)),
        ]
    )


def _moved(rows: list[dict[str, Any]], data: "SnapshotData") -> str:
    here = next((i for i, row in enumerate(rows) if row["run_id"] == data.run_id), 0)
    if here + 1 >= len(rows):
        return "No earlier snapshot knows this customer."
    now, before = rows[here], rows[here + 1]
    alive = formats.change(now["probability_alive"], before["probability_alive"], "share") or "as before"
    value = formats.change(now["customer_value"], before["customer_value"], "currency") or "as before"
    return f"Since {formats.day(before['as_of'])}: value {value}, P(alive) {alive}."


def report(data: "SnapshotData", search: str) -> list[tuple[str, Component]]:
    """Return the page's parts with every number in place."""
    row = _found(data, _asked(search))
    if isinstance(row, Component):
        return [("Customer", row)]
    return [(title or "Customer", part) for title, part in _parts(data, row, "light")]


PAGE = Page("/customer", "Customer", "people", "Why this score?", layout, register, report, in_menu=False)
