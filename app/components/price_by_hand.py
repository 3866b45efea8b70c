"""Prices of a markdown plan that somebody sets by hand: they stay through all planning, and are kept as a draft."""

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import dash_mantine_components as dmc
from dash import Dash, Input, Output, State, ctx, html, no_update
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate

from ...sql.errors import RegularsError, SettingsError
from .. import access, formats
from ..price_overrides import Override, parse_override
from ..price_planning import rungs
from ..price_plans import PlanInputs
from . import price_form, states
from .aria import aria
from .price_state import MOST_BY_HAND, clicked, item_of, planned, read_by_hand, refusal, said, terms_of_url

if TYPE_CHECKING:
    from ..data import AppData
    from ..snapshot_data import SnapshotData

KIND = "markdown"


def by_hand_form() -> Component:
    """Return the fields that set and take out prices, and keep the plan."""
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


def register(app: Dash, data: "AppData") -> None:
    """Add the callbacks."""

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
            account, inputs = planned(snapshot, search)
            if not pressed:
                return _drafted(data, account["plan"]), "", []
            if not clicked(clicks[pressed]):
                raise PreventUpdate
            person = access.require("analyst")
            words = [str(one) for one in read_by_hand(hand)]
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
            return no_update, refusal(error), no_update

    @app.callback(Output("price-hand-rows", "children"), Input("price-hand", "data"), Input("run", "data"))
    @states.guarded
    def hand_rows(hand: Any, run: Any) -> Any:
        currency = data.snapshot(run).currency
        overrides = read_by_hand(hand)
        if not overrides:
            return html.P("None yet.", className="card-subtitle")
        return [dmc.Checkbox(label=_in_words(one, currency), value=str(one), size="sm") for one in overrides]


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
    allowed = [f"{at:.2f}" for at, _ in rungs(inputs, terms_of_url(snapshot, search, inputs), item)]
    if price not in allowed:
        raise SettingsError(f"{price} is no price on the ladder of {item}; it may be {', '.join(allowed)}")
    kept = [word for word in words if not word.startswith(f"{item}:{week}=")]
    if len(kept) >= MOST_BY_HAND:
        raise SettingsError(f"at most {MOST_BY_HAND} prices can be set by hand")
    return [*kept, str(one)], ""


def _in_words(one: Override, currency: str) -> str:
    when = formats.day(one.week) if isinstance(one.week, date) else f"week {one.week}"
    price = formats.money(one.price, currency) if one.price is not None else f"{formats.share(one.depth)} off"
    return f"{one.item}, {when}: {price}"


def _drafted(data: "AppData", plan: str) -> list[str]:
    draft = data.state.draft(KIND, plan)
    words = [] if draft is None else draft.content.get("overrides")
    return [word for word in words if isinstance(word, str)] if isinstance(words, list) else []


def kept_plan(data: "AppData", plan: str) -> Mapping[str, Any] | None:
    """Return the plan that was kept last: its terms and prices by hand; None where there is none."""
    draft = data.state.draft(KIND, plan)
    kept = None if draft is None else draft.content.get("kept")
    return kept if isinstance(kept, Mapping) else None


def _keeping(snapshot: "SnapshotData", search: Any, inputs: PlanInputs, words: list[str]) -> dict[str, Any]:
    terms = terms_of_url(snapshot, search, inputs)
    tool_keys = {key: value for key, value in said(search).items() if key in price_form.NAMES}
    return {
        "terms": terms.to_dict(), "overrides": words, "run_id": snapshot.run_id, "search": urlencode(tool_keys),
    }  # fmt: skip


def _save_draft(data: "AppData", plan: str, words: list[str], person: str, kept: Mapping[str, Any] | None) -> None:
    before = data.state.draft(KIND, plan)
    content = dict(before.content) if before is not None else {}
    content |= {"overrides": words} | ({} if kept is None else {"kept": dict(kept)})
    data.state.save_draft(KIND, plan, content, person)
