"""Made-up prices beside a synthetic snapshot: a panel, price response, and one markdown plan that is truly planned.

Half of the items are planned, half keep their price for a reason each. What the plan was made of is saved as a build
saves it, so that it can be planned again.
"""

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from regulars.app.price_items import ItemState, first_monday_after, planned_frame
from regulars.app.price_plans import PlanInputs, account_row, kept_rows, plan_rows
from regulars.sql import contract
from regulars.sql.pricing_settings import MarkdownSettings
from regulars.sql.settings import Settings

PLAN = "clearance"
VERSION = "poisson:5eed00000001"
REASONS = ("its elasticity was refused (its 90% interval reaches 0.40)", "off sale: none was sold since 2017-06-05")
SECTION: dict[str, Any] = {
    "weeks": 4,
    "ladder": [0.0, 0.1, 0.2, 0.3, 0.4, 0.5],
    "start_price": "regular",
    "salvage": 0.2,
    "rules": [{"rule": "MaxMarkdowns", "count": 2}, {"rule": "MaximumStep", "share": 0.3}],
    "max_snapshot_age_days": 30,
}


def inputs_of(as_of: date, items: int = 12, seed: int = 11) -> tuple[PlanInputs, list[ItemState]]:
    """What the plan is made of, and all items, the planned ones first."""
    rng = np.random.default_rng(seed)
    starts = first_monday_after(as_of)
    said = MarkdownSettings(**SECTION)
    prices = np.round(rng.uniform(4, 40, 2 * items), 2).tolist()
    states = [
        ItemState(
            item="<b>tee</b>, 1" if k == 1 else f"item {k:02}",
            store_id="",
            regular_price=prices[k],
            price=prices[k],
            on_hand=float(rng.integers(20, 90)),
            unit_cost=2.0,
            age_weeks=60.0,
            stock_rule="stock of 2017-12-25" if k % 3 else "assumed: 8 weeks of 4.00 sold a week",
            reason="" if k < items else REASONS[k % 2],
        )
        for k in range(2 * items)
    ]
    planned = states[:items]
    elasticity = {state.item: -float(rng.uniform(1.4, 3.0)) for state in states}
    units = rng.uniform(2, 9, (items, said.weeks))
    return PlanInputs.of(PLAN, said, starts, planned_frame(planned, said, elasticity), units), states


def price_tables(as_of: date) -> dict[str, dict]:
    """Columns of ``price_panel``, ``elasticities``, ``markdown_plans`` and ``markdown_plan``."""
    inputs, states = inputs_of(as_of)
    planned = [state for state in states if not state.reason]
    plan = inputs.plan()
    rows = plan_rows(inputs, plan, None, planned) + kept_rows(PLAN, inputs.dates, [s for s in states if s.reason])
    answer = dict(zip(inputs.items["item"].to_pylist(), inputs.items["elasticity"].to_pylist(), strict=True))
    for row in rows:
        own = answer.get(row["item"])
        if own is not None:
            response = {"elasticity": own, "elasticity_lower": own - 0.6, "elasticity_upper": own + 0.6}
            row |= response | {
                "own_data_share": 0.7,
                "units_lower": 0.5 * row["units"],
                "units_upper": row["units"] + 3,
            }
    parts = inputs.parts(plan, rows)
    account = account_row(
        PLAN,
        MarkdownSettings(**SECTION),
        inputs.starts,
        states,
        planned_items=len(planned),
        objective=plan.objective,
        bound=plan.bound,
        gap=plan.gap,
        unchanged=inputs.unchanged_worth(),
        revenue=parts["revenue"],
        salvage=parts["salvage"],
        markdowns=sum(row["changed"] for row in rows),
        method="poisson",
        model_version=VERSION,
        sentence=f"{len(planned)} of {len(states)} items planned",
    )
    return {
        "markdown_plan": _columns("markdown_plan", rows),
        "markdown_plans": _columns("markdown_plans", [account]),
        "elasticities": _columns("elasticities", [_response(state, answer) for state in states]),
        "price_panel": _columns("price_panel", _panel(states, as_of)),
    }


def save_plans(run: Path, as_of: date) -> None:
    """Write what the plan was made of into a run's folder."""
    inputs_of(as_of)[0].save(run / "models" / f"markdown_{PLAN}")


def settings_file(folder: Path, warehouse: Path) -> Path:
    """Write a settings file by which price files of the warehouse's current run may be written; returns its path.

    The run then looks as if it had been built with it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    section = "\n".join(f"{key} = {_toml(value)}" for key, value in SECTION.items())
    path = folder / "regulars.toml"
    path.write_text(
        f'[orders]\npath = "orders.parquet"\n[shop]\ncurrency = "USD"\n[build]\nwarehouse = "{warehouse}"\n'
        f"[pricing]\n[pricing.markdowns.{PLAN}]\n{section}\n"
    )
    run = json.loads((warehouse / "current.json").read_text())["run_id"]
    manifest = warehouse / "runs" / run / "manifest.json"
    facts = json.loads(manifest.read_text())
    facts["settings"] = Settings.from_toml(path).identity()
    manifest.write_text(json.dumps(facts))
    return path


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + " }"
    return "[" + ", ".join(map(_toml, value)) + "]" if isinstance(value, list) else json.dumps(value)


def _columns(name: str, rows: list[dict]) -> dict[str, list]:
    return {column: [row.get(column) for row in rows] for column in contract.OUTPUT_TABLES[name].column_names}


def _response(state: ItemState, answer: dict[str, float]) -> dict:
    value = answer.get(state.item, -0.2)
    return {
        "item": state.item,
        "category": "shirts" if int(state.regular_price or 0) % 2 else "Shoes, 50% leather",
        "elasticity": value,
        "standard_error": 0.36,
        "lower": value - 0.6,
        "upper": value + 0.6,
        "own_elasticity": value,
        "own_standard_error": 0.4,
        "own_data_share": 0.7,
        "category_share": 0.3,
        "observations": 60,
        "price_changes": 9,
        "method": "poisson",
        "accepted": not state.reason,
        "reason": state.reason,
    }


def _panel(states: list[ItemState], as_of: date) -> list[dict]:
    rng = np.random.default_rng(4)
    monday = as_of - timedelta(days=as_of.weekday())
    rows = []
    for state in sorted(states, key=lambda state: state.item):
        regular = float(state.regular_price or 1.0)
        for back in range(20, 0, -1):
            discount = 0.2 if back % 6 == 0 else 0.0
            units = int(rng.poisson(5))
            rows.append(
                {
                    "item": state.item,
                    "store_id": "",
                    "week": monday - timedelta(weeks=back),
                    "units": float(units),
                    "revenue": round(units * regular * (1 - discount), 2),
                    "price": round(regular * (1 - discount), 2),
                    "price_rule": "sold" if units else "carried",
                    "regular_price": regular,
                    "regular_rule": "list",
                    "discount": discount,
                    "promoted": discount > 0,
                    "stock_rule": "none",
                    "age_weeks": 60 - back,
                    "holiday": "",
                    "sin_1": 0.0, "cos_1": 1.0, "sin_2": 0.0, "cos_2": 1.0,
                }
            )  # fmt: skip
    return rows
