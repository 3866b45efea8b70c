"""Pricing answers what to mark down, to what price, and when; and plans it otherwise."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial, wraps
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import dash_mantine_components as dmc
from dash import ClientsideFunction, Dash, Input, Output, dcc, html
from dash.development.base_component import Component

from ...sql.contract import MARKDOWN_PLANS
from .. import formats, theme
from ..components import card as cards
from ..components import grid, model_versions, price_curve, price_form, price_state, price_tool, price_words, states
from ..components.aria import aria
from ..components.figure import figure
from ..components.icons import icon
from ..components.listing_table import listing_table
from ..components.provenance import Source, disclosure
from ..components.url_state import UrlField, keep_in_url, url_store
from ..listing import LONGEST_SEARCH
from ..price_jobs import Jobs
from ..price_listing import PRICE_ITEMS, STATUS
from . import Page

if TYPE_CHECKING:
    from ..data import AppData
    from ..snapshot_data import SnapshotData

GRID = "price-grid"
_HEIGHT = 300
_INTERVAL = "90%: of the elasticity"
_NONE = (
    "Write [pricing] and a section [pricing.markdowns.NAME] into regulars.toml, then build; docs/pricing.md says which "
    "columns it needs."
)

FIELDS: tuple[UrlField, ...] = (
    UrlField("status", "price-status", "choice", default=""),
    UrlField("category", "price-category", "one", default=""),
    UrlField("q", "price-search", "text", default=""),
    *price_form.FIELDS,
    UrlField("against", "price-against", "choice", default="build"),
    UrlField("on", "price-on", "text", default=""),
    UrlField("kind", "price-kind", "choice", default="csv"),
)


def layout(data: "SnapshotData", search: str) -> Component:
    """Return the page with a skeleton for every number; where there are several plans and none is named, their list."""
    PRICE_ITEMS.parse(search)
    accounts = data.table(MARKDOWN_PLANS.name, "plan").records
    if not accounts:
        return states.state("No markdown plan", _NONE, commands=("regulars build",))
    account = price_state.account_of(data, search)
    if account is None:
        return _choose(data, accounts)
    inputs = price_state.inputs_of(data, account["plan"])
    return html.Div(
        [
            url_store("pricing", FIELDS, {"on": ""}),
            dcc.Store(id="price-item"),
            dcc.Store(id="price-hand", data=[]),
            _other_plans(accounts, account),
            html.Div(states.skeleton(72), id="price-head", className="totals-place"),
            _list_card(data, account, search),
            _item_cards(),
            price_tool.tool(data, account, inputs) if inputs is not None else None,
        ],
        className="pricing-page",
    )


def register(app: Dash, data: "AppData") -> None:
    """Add the page's callbacks and the route of its files."""
    keep_in_url(app, "pricing", FIELDS)
    grid.register(app, GRID)
    app.clientside_callback(
        ClientsideFunction("regulars", "priceItem"), Output("price-item", "data"), Input("url", "search")
    )
    grid.register_exports(app, GRID, "price-export")
    jobs = Jobs()
    price_tool.register(app, data, jobs)

    @app.callback(Output("price-head", "children"), Input("run", "data"), Input("price-item", "data"))
    @_guarded
    def head(run: Any, shown: Any) -> Component:
        snapshot = data.snapshot(run)
        return _head(snapshot, _account(snapshot, shown))

    @app.callback(
        Output("price-part-stock", "children"),
        Input("run", "data"),
        Input("price-item", "data"),
        Input("scheme", "data"),
        Input("url", "search"),
        Input("price-hand", "data"),
    )
    @_guarded
    def stock(run: Any, asked: Any, scheme: Any, search: Any, hand: Any) -> Any:
        snapshot = data.snapshot(run)
        account = _account(snapshot, asked)
        item = price_state.item_of(snapshot, account["plan"], asked)
        otherwise = price_state.sold_otherwise(jobs, snapshot, search, hand, item)
        return _stock(snapshot, account, item, theme.scheme(scheme), otherwise)

    for part, (_, _, _, view) in _PARTS.items():
        if part != "stock":
            _register_part(app, data, part, view)


def _guarded(view: Callable[..., Any]) -> Callable[..., Any]:
    """Say in place of an answer that there is no such plan or item, or what else went wrong."""

    @wraps(view)
    def shown(*args: Any) -> Any:
        try:
            return view(*args)
        except price_state.NoSuchPlan as error:
            return states.state("Nothing of that name", f"{error}."[:1].upper() + f"{error}."[1:], compact=True)

    return states.guarded(shown)


def _register_part(app: Dash, data: "AppData", part: str, view: Any) -> None:
    @app.callback(
        Output(f"price-part-{part}", "children"),
        Input("run", "data"),
        Input("price-item", "data"),
        Input("scheme", "data"),
    )
    @_guarded
    def shown(run: Any, asked: Any, scheme: Any) -> Any:
        snapshot = data.snapshot(run)
        account = _account(snapshot, asked)
        return view(snapshot, account, price_state.item_of(snapshot, account["plan"], asked), theme.scheme(scheme))


# ---- which plan, which item -----------------------------------------------------------------------------------------


def _account(data: "SnapshotData", shown: Any) -> Mapping[str, Any]:
    """The plan that ``price-item`` names, as ``?plan=...&item=...``."""
    account = price_state.account_of(data, shown)
    if account is None:
        raise price_state.NoSuchPlan("this snapshot has several plans; choose one")
    return account


def _choose(data: "SnapshotData", accounts: Sequence[Mapping[str, Any]]) -> Component:
    return html.Ul(
        [
            html.Li(
                html.A(
                    [
                        html.Strong(row["plan"]),
                        html.Span(f"from {formats.day(row['starts'])}, {row['weeks']} weeks"),
                        html.Span(str(row["sentence"])),
                    ],
                    href="/pricing?" + urlencode({"plan": row["plan"]}),
                    className="card price-plan",
                )
            )
            for row in accounts
        ],
        className="price-plans",
        title=f"Plans of run {data.run_id[:8]}",
    )


def _other_plans(accounts: Sequence[Mapping[str, Any]], account: Mapping[str, Any]) -> Component | None:
    if len(accounts) < 2:
        return None
    links = [
        html.A(
            row["plan"],
            href="/pricing?" + urlencode({"plan": row["plan"]}),
            className="pill pill-on" if row["plan"] == account["plan"] else "pill",
            **(aria(current="page") if row["plan"] == account["plan"] else {}),
        )
        for row in accounts
    ]
    return html.Nav(links, className="price-plan-links", **aria(label="Plans"))


# ---- what the plan is worth -----------------------------------------------------------------------------------------


def _head(data: "SnapshotData", account: Mapping[str, Any]) -> Component:
    source = Source.of(
        data,
        data.table(MARKDOWN_PLANS.name, "plan").sql,
        meaning="What the plan is worth, against prices that stay, and how near it is to the best under its rules.",
        model=account["model_version"],
        interval="none: an expectation; by week, in 'Why'",
    )
    if account["objective"] is None:
        return states.state("There is no such plan", f"{account['plan']}: {account['sentence']}.", symbol="alert")
    spent = data.ask("price_spend", {"plan": account["plan"]}).records[0]
    terms = price_words.account_terms(account, data.currency, spent["spend"])
    kept = [
        f"{row['items']:,} ({row['kind']})"
        for row in data.ask("price_verdicts", {"plan": account["plan"]}).records
        if row["status"] == "kept"
    ]
    said = [f"Not planned, these keep their price: {', '.join(kept)}." if kept else ""]
    said.append(f"The stock of {spent['assumed']:,} items is assumed." if spent["assumed"] else "")
    line = " ".join(part for part in said if part)
    return html.Div(
        [
            price_words.totals(terms, disclosure("The plan's worth", source)),
            html.P([icon("alert", 15), html.Span(line)], className="caution price-caution") if line else None,
        ]
    )


# ---- the list -------------------------------------------------------------------------------------------------------


def _list_card(data: "SnapshotData", account: Mapping[str, Any], search: str) -> Component:
    filters = PRICE_ITEMS.parse(search)
    made = grid.grid(
        GRID,
        PRICE_ITEMS,
        data.columns(PRICE_ITEMS),
        filters.sorts,
        data.currency,
        label="Items of the plan",
        height=430,
    )
    _adapt(made)
    found = data.ask("price_categories", {"plan": account["plan"]}).records
    return html.Section(
        [
            html.Div(
                [
                    html.Div(
                        [
                            html.H2("Mark down what, to what, when", id="price-list-heading"),
                            html.P("Choose an item to see why", className="card-subtitle"),
                        ]
                    ),
                    html.Div(
                        [
                            _filter(found),
                            *grid.export_links("price-export", PRICE_ITEMS, urlencode({"plan": account["plan"]})),
                        ],
                        className="card-controls price-filter",
                    ),
                ],
                className="card-head",
            ),
            made,
        ],
        className="card",
        **aria(labelledby="price-list-heading"),
    )


def _adapt(made: Component) -> None:
    """Let the first column choose its item, and elasticities show two decimals."""
    parts: Any = made
    (shown,) = [part for part in parts.children if getattr(part, "id", "") == GRID]
    for column in shown.columnDefs:
        if column["field"] == "name":
            column["cellRenderer"] = "PriceItemLink"
        if column["field"].startswith("elasticity"):
            column["valueFormatter"] = {"function": "priceElasticity(params.value)"}
        if column["field"] == "price_change":
            column.pop("cellStyle", None)


def _filter(found: Sequence[Mapping[str, Any]]) -> Component:
    return html.Div(
        [
            dmc.TextInput(
                id="price-search",
                value="",
                placeholder="Search item",
                leftSection=icon("search", 15),
                debounce=350,
                size="xs",
                inputProps={"maxLength": LONGEST_SEARCH, "aria-label": "Search item", "spellCheck": False},
            ),
            dmc.Select(
                id="price-category",
                value="",
                data=[
                    {"value": "", "label": "All categories"},
                    *({"value": r["category"], "label": r["category"]} for r in found),
                ],
                allowDeselect=False,
                searchable=True,
                size="xs",
                className="price-category",
                **aria(label="Category"),
            ),
            dmc.SegmentedControl(
                id="price-status",
                value="",
                size="xs",
                data=[{"value": "", "label": "All"}, *({"value": k, "label": v} for k, v in STATUS.items())],
                **aria(label="Status"),
            ),
        ],
        className="price-filter-fields",
        role="search",
        **aria(label="Filter items"),
    )


# ---- the chosen item ------------------------------------------------------------------------------------------------


def _item_cards() -> Component:
    return html.Div(
        [
            cards.card(title, f"price-part-{part}", subtitle=subtitle, height=_HEIGHT + 60, class_name=f"span-{span}")
            for part, (title, subtitle, span, _) in _PARTS.items()
        ],
        className="cards price-item-cards",
        id="price-item-cards",
    )


def _weeks(data: "SnapshotData", account: Mapping[str, Any], item: Mapping[str, Any]) -> Any:
    return data.ask("price_item_weeks", {"plan": account["plan"], "name": item["name"]})


def _case(data: "SnapshotData", account: Mapping[str, Any], item: Mapping[str, Any]) -> price_curve.ItemCase | None:
    inputs = price_state.inputs_of(data, account["plan"])
    return None if inputs is None else price_curve.ItemCase.of(inputs, item["name"])


def _not_planned(weeks: Sequence[Mapping[str, Any]], item: Mapping[str, Any]) -> Component:
    return states.state(f"{item['name']} is not planned", f"{weeks[0]['reason']}.", compact=True)


def _worth(
    data: "SnapshotData", account: Mapping[str, Any], item: Mapping[str, Any], scheme: theme.Scheme
) -> list[Component] | Component:
    answer, case = _weeks(data, account, item), _case(data, account, item)
    if case is None or answer.records[0]["reason"]:
        return _not_planned(answer.records, item)
    drawn, says = price_curve.worth_figure(case, answer.records, data.currency, scheme)
    source = Source.of(
        data,
        answer.sql,
        meaning="Worth of the item over the plan at one price throughout, from its expected units and elasticity.",
        model=account["model_version"],
        interval=_INTERVAL,
    )
    return [
        figure(drawn, says, height=_HEIGHT),
        cards.footer(html.P([html.Strong(item["name"]), " ", says]), disclosure("Worth over price", source)),
    ]


def _stock(
    data: "SnapshotData",
    account: Mapping[str, Any],
    item: Mapping[str, Any],
    scheme: theme.Scheme,
    otherwise: Sequence[float] | None = None,
) -> list[Component] | Component:
    answer, case = _weeks(data, account, item), _case(data, account, item)
    if case is None or answer.records[0]["reason"]:
        return _not_planned(answer.records, item)
    drawn, says = price_curve.stock_figure(case, answer.records, scheme, otherwise)
    source = Source.of(
        data,
        answer.sql,
        meaning="Stock at the start of each week if it sells as expected.",
        model=account["model_version"],
        interval="none: an expectation",
    )
    return [figure(drawn, says, height=_HEIGHT), cards.footer(html.P(says), disclosure("Stock run-off", source))]


def _why(
    data: "SnapshotData",
    account: Mapping[str, Any],
    item: Mapping[str, Any],
    scheme: theme.Scheme,  # noqa: ARG001
) -> list[Component]:
    answer = _weeks(data, account, item)
    source = Source.of(
        data,
        answer.sql,
        meaning="The rule that costs the item most, and what a step up or down would bring, later weeks planned anew.",
        model=account["model_version"],
        interval="90%: units of a week, elasticity",
    )
    said = price_words.why_sentences(answer.records, item, data.currency)
    table = None if answer.records[0]["reason"] else price_words.why_table(answer.records, data.currency)
    return [
        html.Ul([html.Li(one) for one in said], className="price-why"),
        *([table] if table is not None else []),
        cards.footer(html.P("What a step would bring is against the plan."), disclosure("Why these prices", source)),
    ]


def _history(
    data: "SnapshotData", account: Mapping[str, Any], item: Mapping[str, Any], scheme: theme.Scheme
) -> list[Component] | Component:
    weeks = _weeks(data, account, item).records
    answer = data.ask("price_history", {"item": item["item"], "store_id": item["store_id"]})
    if not answer.records:
        return states.state("No price history", f"{item['name']} never sold, or [pricing] leaves it out.", compact=True)
    drawn, says = price_curve.history_figure(answer.records, weeks, data.currency, scheme)
    source = Source.of(data, answer.sql, meaning="What buyers paid on average, and units sold, week by week.")
    return [figure(drawn, says, height=_HEIGHT + 90), cards.footer(html.P(says), disclosure("Price history", source))]


# of each card its heading, subtitle, width of twelve, and what fills it
_PARTS: Mapping[str, tuple[str, str, int, Callable[..., Any]]] = {
    "worth": ("What is each price worth?", "One price throughout; the band is 90% of its elasticity", 6, _worth),
    "stock": ("When does the stock run off?", "As advised, and if no price moved", 6, _stock),
    "why": ("Why these prices?", "The rule that binds, and what the neighbouring prices would bring", 7, _why),
    "history": ("What did it sell for?", "Price paid, regular price and units by week; then the advice", 5, _history),
}


def report(data: "SnapshotData", search: str) -> list[tuple[str, Component]]:
    """Return the page's parts with every number in place."""
    accounts = data.table(MARKDOWN_PLANS.name, "plan").records
    if not accounts:
        return [("Plans", states.state("No markdown plan", _NONE, commands=("regulars build",)))]
    account = price_state.account_of(data, search)
    if account is None:
        return [("Plans", _choose(data, accounts))]
    item = price_state.item_of(data, account["plan"], search)
    filters = PRICE_ITEMS.parse(search)
    terms = price_state.said(search).keys() & set(price_form.NAMES)
    otherwise = [("The plan made otherwise", lambda: price_tool.made_otherwise(data, search))] if terms else []
    return states.filled(
        [
            (f"Plan {account['plan']}", lambda: _head(data, account)),
            *otherwise,
            ("Mark down what, to what, when", lambda: listing_table(data, filters)),
            *(
                (f"{item['name']}: {title}", partial(view, data, account, item, "light"))
                for title, _, _, view in _PARTS.values()
            ),
        ]
    )


PAGE = Page(
    "/pricing",
    "Pricing",
    "tag",
    "Mark down what, to what, when?",
    layout,
    register,
    report,
    models=model_versions.of_plans,
)
