"""What the pricing page is about: plan, item, terms and prices by hand, as its URL and its stores have them.

All of it comes from a client and may be made up.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import dash_mantine_components as dmc
from dash import html
from dash.development.base_component import Component

from ...sql.contract import MARKDOWN_PLANS
from ...sql.errors import AlreadyDecided, ModelError, RegularsError, SettingsError, StaleSnapshotError
from ..listing import FilterError
from ..markdown import MarkdownResult, changed_plan
from ..price_jobs import Job, Jobs
from ..price_listing import PRICE_ITEMS
from ..price_overrides import Override, parse_override
from ..price_planning import PlanTerms
from ..price_plans import PlanInputs
from ..routes import NotThere
from ..url_lists import read_list
from . import price_form, states
from .aria import aria

if TYPE_CHECKING:
    from ..snapshot_data import SnapshotData

AT_ONCE = 1.6  # seconds that a page waits before it looks again
TICK = 700  # milliseconds
MOST_BY_HAND = 500

_SHOWN = ("item", "store_id", "week", "price", "regular_price", "units", "revenue", "reason")


class NoSuchPlan(NotThere):
    """There is no such plan, or item of it, in the snapshot."""


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


def planned(snapshot: "SnapshotData", search: Any) -> tuple[dict[str, Any], PlanInputs]:
    """Return the plan that the URL names, and what it was made of."""
    account = account_of(snapshot, search)
    inputs = None if account is None else inputs_of(snapshot, account["plan"])
    if account is None or inputs is None:
        raise NoSuchPlan("no plan is chosen, or nothing of it can be planned")
    return account, inputs


def terms_of_url(snapshot: "SnapshotData", search: Any, inputs: PlanInputs) -> PlanTerms:
    """Return the terms that the URL holds."""
    values: dict[str, Any] = dict(said(search))
    for name in ("pick", "drop"):
        values[name] = list(read_list(values.get(name, "")))
    filtered = _filtered(snapshot, search) if values.get("scope") == "filtered" else ()
    return price_form.terms_of(values, inputs, filtered)


def _filtered(snapshot: "SnapshotData", search: Any) -> list[str]:
    filters = PRICE_ITEMS.parse(search if isinstance(search, str) else "")
    return [name for batch in snapshot.stream(filters) for name in batch.column("name").to_pylist()]


def read_by_hand(hand: Any) -> list[Override]:
    """Return prices by hand, checked."""
    if hand is None:
        return []
    fits = isinstance(hand, list) and len(hand) <= MOST_BY_HAND
    if not fits or not all(isinstance(word, str) and len(word) <= 1_500 for word in hand):
        raise SettingsError(f"prices by hand: a list of at most {MOST_BY_HAND} of them")
    return [parse_override(word) for word in hand]


def fitting_overrides(hand: Any, inputs: PlanInputs) -> tuple[list[Override], list[str]]:
    """Prices by hand that the plan has a place for, and the others."""
    names, days = set(inputs.items["item"].to_pylist()), set(inputs.dates)
    fitting, over = [], []
    for one in read_by_hand(hand):
        here = one.item in names and (one.week in days or isinstance(one.week, int))
        (fitting if here else over).append(one)
    return fitting, [str(one) for one in over]


def start_plan(jobs: Jobs, snapshot: "SnapshotData", plan: str, terms: PlanTerms, overrides: Sequence[Override]) -> Job:
    """Have a plan made on these terms, or take the one that was."""
    told = [snapshot.run_id, plan, terms.to_dict(), sorted(str(one) for one in overrides)]
    return jobs.start(
        "plan:" + digest(told), lambda: _slim(changed_plan(snapshot.snapshot, plan, overrides, terms, told=False))
    )


def sold_otherwise(
    jobs: Jobs, snapshot: "SnapshotData", search: Any, hand: Any, item: Mapping[str, Any]
) -> list[float] | None:
    """Return what an item sells week by week on the page's terms; None where nothing is changed, or not planned yet."""
    try:
        account, inputs = planned(snapshot, search)
        terms = terms_of_url(snapshot, search, inputs)
        overrides, _ = fitting_overrides(hand, inputs)
        if not terms and not overrides:
            return None
        job = start_plan(jobs, snapshot, account["plan"], terms, overrides)
        if not job.within(AT_ONCE):
            return None
        rows = job.result().rows
    except RegularsError:
        return None
    key = (item["item"], item["store_id"])
    return [float(row["units"]) for row in rows if (row["item"], row["store_id"]) == key]


def _slim(found: MarkdownResult) -> MarkdownResult:
    """A plan with what is shown of it alone: a few of them are kept in memory."""
    rows = [{key: row[key] for key in _SHOWN} for row in found.rows if not row["reason"]]
    return replace(found, rows=rows)


def digest(told: Any) -> str:
    """Return a text of its own for plain values."""
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def clicked(clicks: Any) -> bool:
    """Say whether a button was truly pressed.

    Examples
    --------
    >>> clicked(1), clicked(0), clicked(True), clicked("1"), clicked(None)
    (True, False, False, False, False)
    """
    return type(clicks) is int and 0 < clicks < 1_000_000


def progress(text: str) -> Component:
    """Return what stands in place of an answer that is being made."""
    bar = dmc.Progress(value=100, striped=True, animated=True, size="sm", **aria(label=text))
    return html.Div([html.P(text, className="question"), bar], className="price-progress", role="status")


def refusal(error: Exception) -> Component:
    """What stands in place of a plan: rules that conflict, terms that cannot be, prices that stand."""
    text = str(error).replace(" and run 'regulars build'", "")
    if isinstance(error, AlreadyDecided):
        # where files lie on the server is nobody's business here; the record below leads to them
        text = re.sub(r"(?<=[ ;])/[^;,]*/(?=[^/;, ]+\.(?:csv|parquet))", "", f" {text}").strip()
        text = text.replace("; or record these prices in their place: --force", "").replace(
            ", or replace it: --force", ""
        )
        return states.state(
            "Other prices stand", f"{text}. Tick “Replace what stands” to write these.", symbol="alert", compact=True
        )
    text = text[:1].upper() + text[1:]
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
