"""The prices' part of a build: the panel of the configured items, their price response, and each markdown plan.

What cannot be estimated or planned is a row or a note that says why, never a build that fails.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..sql.contract import ELASTICITIES, MARKDOWN_PLAN, MARKDOWN_PLANS, PRICE_PANEL, Table
from ..sql.errors import ContractError, MissingExtraError, ModelError, SettingsError, nearest
from .build_database import BuildDatabase
from .plan_rules import explain_conflict, make_rules
from .price_items import (
    CATEGORIES,
    ItemState,
    choose,
    first_monday_after,
    item_states,
    less_sales_before,
    planned_frame,
    read_facts,
    read_stock,
    unseen,
)
from .price_plans import PlanInputs, account_row, count_reasons, kept_rows, plan_rows

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from ..pricing.demand import DemandModel
    from ..sql.database import Database
    from ..sql.pipeline import Pipeline
    from ..sql.pricing_settings import MarkdownSettings, PricingSettings
    from ..sql.settings import Settings

# What the numbers depend on besides the rest of a build.
CODE = (
    "pricing",
    "app/build_database.py",
    "app/prices.py",
    "app/plan_rules.py",
    "app/price_items.py",
    "app/price_plans.py",
)
PACKAGES = ("highspy", "holidays")
STEPS = ("price panel", "price response")

# What data can do to a fit, and a fit may not do to a build.
_NO_FIT = (ContractError, ModelError, np.linalg.LinAlgError, ArithmeticError)
_LOST = 0.05  # of an item's units
_COUPLED = ("Budget", "AllOrNothing", "AtMostOnePromoted", "SharedStock")


@dataclass(frozen=True)
class Prices:
    """What a build makes of ``[pricing]``: tables by name, what each plan was made of, and what a reader must know."""

    tables: "Mapping[str, pa.Table]"
    plans: Mapping[str, PlanInputs]
    notes: tuple[str, ...] = ()

    def described(self) -> dict[str, Mapping[str, Any]]:
        """Return what the manifest says of each plan."""
        said = ("items", "planned_items", "objective", "bound", "gap", "conflict", "sentence", "model_version")
        rows = self.tables[MARKDOWN_PLANS.name].to_pylist()
        return {row["plan"]: {name: row[name] for name in said} for row in rows}


@dataclass(frozen=True)
class _Response:
    """Price response and demand of the panel's items; ``model`` is None, and ``reason`` says why, without demand."""

    table: "pd.DataFrame"
    method: str
    version: str
    model: "DemandModel | None"
    reason: str = ""


def require_pricing(settings: "Settings") -> None:
    """Stop before anything is read where ``[pricing]`` asks for what cannot be.

    Raises
    ------
    MissingExtraError
        A package of the extra ``pricing`` is missing.
    SettingsError
        A rule's own numbers make no sense, a country is not known, or weeks do not begin on Monday.
    """
    pricing = settings.pricing
    if pricing is None:
        return
    if pricing.period == "week" and settings.shop.week_starts_on != "monday":
        raise SettingsError(
            f"{settings.origin}: [shop] week_starts_on = {settings.shop.week_starts_on!r}: weeks of a price panel "
            "begin on Monday; write 'monday', or [pricing] period = 'day'"
        )
    wanted = {"holidays": "[pricing] holidays"} if pricing.holidays else {}
    for name, plan in pricing.markdowns.items():
        make_rules(plan.rules, f"{settings.origin}: [pricing.markdowns.{name}] rules", plan.weeks)
        if any(rule["rule"] in _COUPLED for rule in plan.rules):
            wanted["highspy"] = f"a rule of [pricing.markdowns.{name}] that ties items together"
    for package, why in wanted.items():
        if find_spec(package) is None:
            raise MissingExtraError(
                f"{why} needs {package}, which is not installed: pip install 'regulars[pricing]', or take it out of "
                "the settings"
            )
    if pricing.holidays:
        import pandas as pd

        from ..pricing.panel import with_calendar

        with_calendar(pd.DataFrame({"week": [pd.Timestamp("2024-01-01")]}), holidays=pricing.holidays)


def learn_prices(
    pipeline: "Pipeline", settings: "Settings", as_of: date, step: Callable[[str], None] = lambda _: None
) -> Prices:
    """Make the panel, estimate price response and demand, and plan every ``[pricing.markdowns.NAME]``.

    Parameters
    ----------
    pipeline : Pipeline
        Where the queries run; every order line must be staged.
    settings : Settings
    as_of : date
        Last day of the data.
    step : callable
        Called with the name of each long step before it begins.

    Returns
    -------
    Prices
        Tables without rows where nothing is configured.
    """
    pricing = settings.pricing
    if pricing is None:
        return Prices(_tables(None, None, [], []), {})
    notes: list[str] = []
    step(STEPS[0])
    panel = _panel(pipeline, settings, pricing, notes)
    step(STEPS[1])
    response = _response(panel, pricing, settings.build.seed, notes) if len(panel) else _none("the panel has no row")
    facts = read_facts(pipeline, pricing)
    plans, accounts, rows = {}, [], []
    for name in sorted(pricing.markdowns):
        step(f"markdown plan {name}")
        said = pricing.markdowns[name]
        starts = said.starts or first_monday_after(as_of)
        notes += _unknown_categories(f"[pricing.markdowns.{name}]", said.categories, panel)
        stock = read_stock(pipeline, pricing, said, starts, as_of)
        states = item_states(panel, facts, stock, said, starts, as_of) if len(panel) else list(map(unseen, said.items))
        inputs, account, own = _plan(name, said, states, response, starts, as_of)
        accounts.append(account)
        rows += own
        if inputs is not None:
            plans[name] = inputs
    return Prices(_tables(panel, response.table, accounts, rows), plans, tuple(dict.fromkeys(notes)))


# ---- panel and response ---------------------------------------------------------------------------------------------


def _panel(pipeline: "Pipeline", settings: "Settings", pricing: "PricingSettings", notes: list[str]) -> "pd.DataFrame":
    import pandas as pd

    from ..pricing.panel import price_panel

    # items named one by one are looked for among all
    categories = None if pricing.items or not pricing.categories else list(pricing.categories)
    asked = {
        "stores": pricing.stores,
        "period": pricing.period,
        "unsold": pricing.unsold,
        "item_level": pricing.item_level,
        "holidays": pricing.holidays,
    }
    try:
        panel = price_panel(
            cast("Database", BuildDatabase(settings, pipeline, pipeline.parameters["as_of"])), categories, **asked
        )
    except (ContractError, ModelError) as error:
        notes.append(f"[pricing] has no price panel: {_in_a_line(error)}")
        known = _categories(pipeline)
        for category in pricing.categories:
            if category not in known:
                notes.append(f"[pricing] category {category!r} is none of the products{nearest(category, known)}")
        return pd.DataFrame({column.name: [] for column in PRICE_PANEL.columns})
    counts = "; ".join(f"{v['lines']:,} {k}" for k, v in panel.attrs["dropped"].items() if k)
    if counts:
        notes.append(f"order lines that [pricing] does not count: {counts}")
    if "missing_exchange_rate" in panel.attrs["dropped"]:
        items = set(panel.loc[choose(panel, pricing.categories, pricing.items), "item"])
        notes += _without_rate(pipeline, pricing, items)
    known = {str(name) for level in CATEGORIES for name in panel[level].dropna().unique()}
    for category in pricing.categories:
        if category not in known:
            near = nearest(category, _categories(pipeline))
            notes.append(f"[pricing] category {category!r} has no order line{near}")
    everything = set(panel["item"])
    for item in pricing.items:
        if item not in everything:
            notes.append(f"[pricing] item {item!r} has no order line{nearest(item, sorted(everything)[:100_000])}")
    return panel.loc[choose(panel, pricing.categories, pricing.items)].reset_index(drop=True)


def _unknown_categories(where: str, asked: Sequence[str], panel: "pd.DataFrame") -> list[str]:
    known = sorted({str(name) for level in CATEGORIES for name in panel[level].dropna().unique()})
    return [
        f"{where} category {category!r} has no item in the price panel: nothing of it is planned"
        f"{nearest(category, known)}"
        for category in asked
        if category not in known
    ]


def _without_rate(pipeline: "Pipeline", pricing: "PricingSettings", items: set[str]) -> list[str]:
    """Say which items lose so many of their units to lines without an exchange rate that they look less in demand."""
    lost = pipeline.run("units_without_rate", item_level=pricing.item_level).to_pylist()
    most = [row for row in lost if row["item"] in items and row["share"] >= _LOST]
    if not most:
        return []
    first = max(most, key=lambda row: (row["share"], row["item"]))
    return [
        f"[pricing] {len(most)} of {len(items)} items have {_LOST:.0%} or more of their units in a currency without a "
        f"rate, {first['item']!r} {first['share']:.0%}: their demand, and what a plan sells of them, is too low by as "
        "much; give [exchange_rates]"
    ]


def _categories(pipeline: "Pipeline") -> list[str]:
    """Every category of the products table."""
    levels = " UNION ".join(f"SELECT {level} AS name FROM products" for level in CATEGORIES)
    return pipeline.engine.query(f"{levels} ORDER BY name")["name"].drop_null().to_pylist()


def _none(reason: str) -> _Response:
    import pandas as pd

    return _Response(pd.DataFrame({name: [] for name in ELASTICITIES.column_names}), "", "", None, reason)


def _response(panel: "pd.DataFrame", pricing: "PricingSettings", seed: int, notes: list[str]) -> _Response:
    import pandas as pd

    from ..pricing.demand import DemandModel

    tables, methods = [], []
    try:
        tables, methods = _estimated(panel, pricing, notes)
    except _NO_FIT as error:
        # one category that cannot be estimated must not take the others with it
        groups = [rows for _, rows in panel.groupby(panel["category_1"].fillna(""), sort=True)]
        if len(groups) < 2:
            notes.append(f"[pricing] no price response: {_in_a_line(error)}")
        for rows in groups if len(groups) > 1 else []:
            try:
                some, own = _estimated(rows.reset_index(drop=True), pricing, notes)
            except _NO_FIT as cause:
                name = rows["category_1"].iloc[0]
                notes.append(f"[pricing] no price response of category {name!r}: {_in_a_line(cause)}")
                continue
            tables, methods = [*tables, *some], [*methods, *own]
    if not tables:
        return _none("no price response could be estimated")
    table = pd.concat(tables, ignore_index=True)
    method = ", ".join(dict.fromkeys(methods))
    digest = hashlib.sha256("\n".join(table["item"]).encode())
    for name in ("elasticity", "standard_error"):
        digest.update(table[name].to_numpy(dtype=np.float64).tobytes())
    version = f"{method.replace(' ', '_')}:{digest.hexdigest()[:12]}"
    try:
        model = DemandModel(table, season=pricing.season, half_life=pricing.half_life, seed=seed).fit(
            panel[panel["item"].isin(table["item"])].reset_index(drop=True)
        )
    except _NO_FIT as error:
        notes.append(f"[pricing] no demand model: {_in_a_line(error)}")
        return _Response(table, method, version, None, _in_a_line(error))
    notes += [f"[pricing] demand: {finding}" for finding in getattr(model, "findings_", ())]
    return _Response(table, method, version, model)


def _estimated(
    panel: "pd.DataFrame", pricing: "PricingSettings", notes: list[str]
) -> "tuple[list[pd.DataFrame], list[str]]":
    from ..pricing.elasticity import estimate_elasticities

    found = estimate_elasticities(panel, method=pricing.method, held_out=pricing.held_out)
    notes += [f"[pricing] {finding}" for finding in found.findings]
    return [found.table], [found.method]


# ---- one plan -------------------------------------------------------------------------------------------------------


def _plan(
    name: str,
    said: "MarkdownSettings",
    states: list[ItemState],
    response: _Response,
    starts: date,
    as_of: date,
) -> tuple[PlanInputs | None, dict[str, Any], list[dict[str, Any]]]:
    """Return what the plan is made of (None without a plan), its row of accounts and its rows."""
    from ..pricing.conflict import RulesConflict
    from ..pricing.rules import RuleError

    states = [_judged(state, said, response) for state in states]
    if response.model is not None:
        states = _less_sales_to_come(states, response.model, starts)
    states, inputs = _with_demand(name, said, starts, states, response)
    dates = inputs.dates
    found: dict[str, Any] = {"method": response.method, "model_version": response.version}
    planned = [state for state in states if not state.reason]
    refused = ""
    if starts <= as_of:
        refused = f"it starts on {starts}, not after {as_of}, the last day of the data: give a later starts, or none"
    elif not planned:
        refused = "no item can be planned: " + _reasons(states)
    plan = unchanged = None
    if not refused:
        try:
            plan = inputs.plan()
            unchanged = inputs.unchanged_worth()
        except RulesConflict as error:
            found["conflict"] = explain_conflict(inputs, error.conflict)
            refused = f"its rules conflict: {found['conflict']}"
        except RuleError as error:
            refused = _in_a_line(error)
            if "no column" in refused:
                refused = f"{refused.rstrip('.')}; map it in [products] columns, or correct the rule"
        except ModelError as error:
            refused = _in_a_line(error)
    if plan is None:
        found["sentence"] = f"no plan: {refused}"
        kept = kept_rows(name, dates, states, f"no plan: {refused}")
        # rules that conflict can be looked at again, with other rules, from the same inputs
        return (
            (inputs if planned else None),
            account_row(name, said, starts, states, **found),
            _with_response(kept, response),
        )
    rows = plan_rows(inputs, plan, response.model, planned)
    rows = _with_response(rows + kept_rows(name, dates, [s for s in states if s.reason]), response)
    parts = inputs.parts(plan, rows)
    found |= {
        "planned_items": len(planned),
        "objective": plan.objective,
        "bound": plan.bound,
        "gap": plan.gap,
        "unchanged": unchanged,
        "revenue": parts["revenue"],
        "salvage": parts["salvage"],
        "markdowns": sum(bool(row["changed"]) for row in rows),
    }
    found["sentence"] = account_sentence(found, parts, states, said)
    return inputs, account_row(name, said, starts, states, **found), rows


def account_sentence(
    found: Mapping[str, Any], parts: Mapping[str, float], states: list[ItemState], said: "MarkdownSettings"
) -> str:
    """Return the account of a plan in words; ``parts`` as `PlanInputs.parts` has them."""
    told = [f"{said.objective} {parts[said.objective]:,.2f}"]
    if said.salvage is not None:
        left = "salvage less cost of what is left" if said.objective == "margin" else "salvage"
        told.append(f"{left} {parts['salvage']:,.2f}")
    told += [f"missed targets {-parts['missed']:,.2f}"] if parts["missed"] else []
    worth = f"worth {found['objective']:,.2f}"
    worth += f" ({', '.join(told)})" if len(told) > 1 else f" in {said.objective}"
    more = None if found["unchanged"] is None else found["objective"] - found["unchanged"]
    against = "" if more is None else f", {more:+,.2f} against no change"
    gap = np.ceil(found["gap"] * 1e6) / 1e6  # never said to be nearer than it is
    proven = "the best there is" if gap == 0.0 else f"at most {gap:.4%} below the best there is"
    changes = f"{found['markdowns']} price change{'s' * (found['markdowns'] != 1)}"
    first = f"{found['planned_items']} of {len(states)} items planned, {changes}"
    assumed = sum(state.stock_rule.startswith("assumed") and not state.reason for state in states)
    stock = f"; stock of {assumed} items is assumed" if assumed else ""
    others = f"; not planned: {_reasons(states)}" if found["planned_items"] < len(states) else ""
    return f"{first}, {worth}{against}, {proven}{stock}{others}"


def _judged(state: ItemState, said: "MarkdownSettings", response: _Response) -> ItemState:
    """Give a state the reason that price response or costs have against planning it."""
    if state.reason:
        return state
    if response.model is None:
        return replace(state, reason=f"no demand model: {response.reason}")
    if state.item not in response.model.items_:
        return replace(state, reason=response.model.left_out_.get(state.item, "it has no elasticity"))
    if said.objective == "margin" and state.unit_cost is None:
        return replace(state, reason="no unit cost known: a plan for margin needs it; map unit_cost")
    return state


def _with_demand(
    name: str, said: "MarkdownSettings", starts: date, states: list[ItemState], response: _Response
) -> tuple[list[ItemState], PlanInputs]:
    """Return the states, those without expected demand refused, and what the others are planned with."""
    planned = [state for state in states if not state.reason]
    units = np.zeros((0, said.weeks))
    if planned and response.model is not None:
        units = _units(response.model, planned, starts, said.weeks)
        idle = {state.name for state, sold in zip(planned, units, strict=True) if not sold.sum() > 0.0}
        if idle:
            states = [
                replace(s, reason="no demand: none is expected at any price") if s.name in idle else s for s in states
            ]
            units = units[[state.name not in idle for state in planned]]
            planned = [state for state in planned if state.name not in idle]
    elasticity = dict(zip(response.table["item"], response.table["elasticity"], strict=True))
    return states, PlanInputs.of(name, said, starts, planned_frame(planned, said, elasticity), units)


def _less_sales_to_come(states: list[ItemState], model: "DemandModel", starts: date) -> list[ItemState]:
    """Take off known stock what is expected to sell, at the price an item stands at, until the plan starts."""
    waiting = [s for s in states if not s.reason and s.stock_until is not None and s.stock_until < starts]
    if not waiting:
        return states
    until = np.array([state.stock_until for state in waiting], dtype="datetime64[D]")
    first = first_monday_after(until.min().item() - timedelta(days=7))
    weeks = (starts - first).days // 7
    units = _units(model, waiting, first, weeks)
    share = np.array([float(state.price or 0.0) / float(state.regular_price or 1.0) for state in waiting])
    response = np.array([model.elasticity_[model.items_.index(state.item)] for state in waiting])
    ends = np.datetime64(first) + 7 * (np.arange(weeks) + 1)
    days = np.clip((ends[None, :] - until[:, None]).astype(np.int64), 0, 7)
    sold = (units * days / 7.0).sum(axis=1) * share**response
    less = {state.name: state for state in less_sales_before(waiting, sold.tolist(), starts)}
    return [less.get(state.name, state) for state in states]


def _units(model: "DemandModel", planned: list[ItemState], starts: date, weeks: int) -> np.ndarray:
    """Expected units at the regular price (n, weeks); at a rung they are its price's power of these."""
    regular = np.array([[state.regular_price] for state in planned], dtype=np.float64)
    if not any(state.store_id for state in planned):
        return model.expected_units(regular, starts, weeks, items=[state.item for state in planned])[:, :, 0]
    dates = np.datetime64(starts) + 7 * np.arange(weeks)
    path = {
        "item": [state.item for state in planned for _ in range(weeks)],
        "store_id": [state.store_id for state in planned for _ in range(weeks)],
        "week": np.tile(dates, len(planned)),
        "price": np.repeat(regular[:, 0], weeks),
    }
    return model.predict(path)["units"].to_numpy().reshape(len(planned), weeks)


def _with_response(rows: list[dict[str, Any]], response: _Response) -> list[dict[str, Any]]:
    names = {
        "elasticity": "elasticity",
        "elasticity_lower": "lower",
        "elasticity_upper": "upper",
        "own_data_share": "own_data_share",
    }
    known = {
        row["item"]: {name: None if row[own] != row[own] else row[own] for name, own in names.items()}
        for row in response.table.to_dict("records")
    }
    return [row | known.get(row["item"], {}) for row in rows]


def _reasons(states: list[ItemState]) -> str:
    return count_reasons([s.reason for s in states if s.reason]) or "the plan names no item of the panel"


# ---- tables ---------------------------------------------------------------------------------------------------------


def _tables(
    panel: "pd.DataFrame | None",
    elasticities: "pd.DataFrame | None",
    accounts: list[dict[str, Any]],
    rows: list[dict[str, Any]],
) -> "dict[str, pa.Table]":
    return {
        PRICE_PANEL.name: _arrow(PRICE_PANEL, panel),
        ELASTICITIES.name: _arrow(ELASTICITIES, elasticities),
        MARKDOWN_PLANS.name: _arrow(MARKDOWN_PLANS, accounts),
        MARKDOWN_PLAN.name: _arrow(MARKDOWN_PLAN, rows),
    }


def _arrow(table: Table, given: "pd.DataFrame | list[dict[str, Any]] | None") -> "pa.Table":
    import pyarrow as pa

    types = {
        "VARCHAR": pa.string(),
        "DATE": pa.date32(),
        "BOOLEAN": pa.bool_(),
        "BIGINT": pa.int64(),
    }
    # money as doubles until it is written: the writer makes decimals of them
    schema = pa.schema([(column.name, types.get(column.type, pa.float64())) for column in table.columns])
    if given is None or not len(given):
        return schema.empty_table()
    if isinstance(given, list):
        return pa.Table.from_pylist(given, schema)
    return pa.Table.from_pandas(given[list(table.column_names)], schema, preserve_index=False)


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split())
