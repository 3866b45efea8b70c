"""A seeded snapshot in the contract's shapes, for tests of what reads snapshots: a million customers in seconds."""

import importlib.util
import json
from datetime import date, timedelta
from pathlib import Path
from types import ModuleType

import duckdb
import numpy as np
import pyarrow as pa

from regulars.sql import contract
from regulars.sql.snapshot import Snapshot, Warehouse

MODEL_VERSION = "mbg_nbd:3f9a1c22d0e4 + gamma_gamma:0b7c5d2e91aa, regulars 0.1.0"
MODELS = ("mbg_nbd", "bg_nbd", "pareto_nbd", "nbd", "same_rate")
AWKWARD_IDS = (
    'O\'Brien "the" <b>bold</b>',
    '=HYPERLINK("http://example.invalid","x")',
    "../../etc/passwd",
    "Zoë/Ω漢字 %26 &?#",
    "L" * 10_000,
)


def write_snapshot(
    warehouse: Path,
    run_id: str = "5eed000000000001",
    *,
    customers: int = 3_000,
    seed: int = 7,
    as_of: date = date(2017, 12, 31),
    without: tuple[str, ...] = (),
    awkward: bool = False,
    currency: str = "USD",
) -> Snapshot:
    """Publish one run with made-up customers; ``without`` leaves out tables, ``awkward`` puts hard ids in."""
    rng = np.random.default_rng(seed)
    tables = _customer_tables(rng, customers, as_of, awkward=awkward)
    tables["order_tracking"] = _tracking(rng, as_of)
    tables["model_reports"] = _reports(customers)
    tables["model_calibration"] = _calibration()
    beside = _beside("synthetic_customers")
    tables |= beside.customer_tables(tables["customer_summary"], tables["customer_scores"], as_of)
    tables |= _beside("synthetic_churn").churn_tables()
    campaigns = _beside("synthetic_campaigns")
    tables |= campaigns.campaign_tables(tables["customer_summary"]["customer_id"])
    prices = _beside("synthetic_prices")
    tables |= prices.price_tables(as_of)
    tables["kpis"] = _kpis(tables, as_of)
    tables["money_reconciliation"] = _money(tables)
    tables["check_results"] = _checks()
    used = float(np.sum(tables["customer_summary"]["revenue"]))
    tables |= _beside("synthetic_data").data_tables(as_of, round(used, 2))
    settings = {"shop": {"currency": currency}, "value": {"horizon": 52, "time_unit": "week", "margin": 0.3}}
    settings["campaigns"] = campaigns.campaign_settings()
    house = Warehouse(warehouse)
    # one connection for all tables: opening one takes longer than typing a table
    with house.lock(), house.stage(run_id) as writer, duckdb.connect(config={"threads": 1}) as connection:
        facts = {}
        for name, columns in tables.items():
            if name not in without:
                rows = _typed(connection, name, columns)
                facts[name] = writer.write_table(name, rows.to_batches(), rows.schema)
        models = {name: writer.write_text(f"models/{name}.json", text) for name, text in beside.model_texts().items()}
        prices.save_plans(writer.path, as_of)
        writer.manifest.update(
            {
                "as_of": as_of.isoformat(),
                "tables": facts,
                "models": models,
                "settings": settings,
                "regulars_version": "0.1.0",
                "model": {"name": "mbg_nbd", "verdict": "MBG/NBD predicts best: RMSE 1.500 against 2.200."},
                "notes": ["Pareto/NBD: dropout not identified, NBD selected"],
            }
        )
    return house.current()


def _beside(name: str) -> ModuleType:
    """A module of this folder, which is no package."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _typed(connection: duckdb.DuckDBPyConnection, name: str, columns: dict) -> pa.Table:
    given = pa.table(columns)
    casts = ", ".join(
        f'CAST("{column.name}" AS {column.type}) AS "{column.name}"' for column in contract.OUTPUT_TABLES[name].columns
    )
    connection.register("given", given)
    typed = connection.sql(f"SELECT {casts} FROM given").to_arrow_table()
    connection.unregister("given")
    return typed


def _customer_tables(rng, n: int, as_of: date, *, awkward: bool) -> dict[str, dict]:
    span = 700
    age = rng.integers(1, span, n)
    rate = rng.gamma(0.6, 0.035, n)
    life = rng.exponential(320, n)
    lived = np.minimum(life, age)
    frequency = np.where(rng.random(n) < 0.04, 0, rng.poisson(rate * lived))
    recency = np.where(frequency > 0, np.ceil(lived * rng.beta(np.maximum(frequency, 1), 1)), 0).astype(int)
    recency = np.minimum(np.maximum(recency, np.minimum(frequency, age)), age)
    frequency = np.minimum(frequency, recency)
    spend = rng.gamma(4, 9, n)
    expected_rate = (0.6 + frequency) / (28 + age)
    silent = age - recency
    alive = 1 / (1 + 0.25 * (0.6 + frequency) * np.expm1(np.minimum(silent * expected_rate, 30)))
    orders = alive * expected_rate * 365 * 0.8
    value = np.round(orders * spend * 0.3, 6)
    revenue = np.round(spend * (frequency + 1), 2)
    back = np.round(np.where(rng.random(n) < 0.2, revenue * rng.beta(1, 6, n), 0), 2)
    top = np.quantile(value[alive >= 0.5], 0.9) if (alive >= 0.5).any() else 0
    segment = np.select(
        [
            (frequency == 0) & (age <= 30),
            (frequency == 0),
            (alive >= 0.5) & (value >= top),
            alive >= 0.5,
            alive >= 0.2,
        ],
        ["new", "one_time", "best", "active", "at_risk"],
        "lapsed",
    )
    ids = np.char.add("C", np.char.zfill(np.arange(1, n + 1).astype(str), 7)).astype(object)
    if awkward:
        ids[: len(AWKWARD_IDS)] = AWKWARD_IDS
    order = np.argsort(ids.astype(str), kind="stable")
    days = lambda before: [as_of - timedelta(days=int(k)) for k in before[order]]  # noqa: E731
    pick = lambda values: np.asarray(values)[order]  # noqa: E731
    summary = {
        "customer_id": pa.array(list(pick(ids)), pa.string()),
        "frequency": pick(frequency),
        "recency": pick(recency / 7),
        "T": pick(age / 7),
        "monetary_value": pick(np.where(frequency > 0, spend, 0.0)),
        "recency_days": pick(recency),
        "T_days": pick(age),
        "first_order_on": days(age),
        "last_order_on": days(age - recency),
        "orders": pick(frequency + 1),
        "revenue": pick(revenue - back),
        "first_order_revenue": pick(np.round(spend, 2)),
        "returned_revenue": pick(back),
        "return_rate": pick(back / revenue),
        "returnable_revenue": pick(np.where(age - recency <= 30, np.round(spend, 2), 0)),
    }
    scores = {
        "customer_id": summary["customer_id"],
        "as_of": [as_of] * n,
        "probability_alive": pick(alive),
        "expected_orders": pick(orders),
        "orders_low": pick(np.floor(orders * 0.4)),
        "orders_high": pick(np.ceil(orders * 1.7 + 1)),
        "expected_order_value": pick(spend),
        "customer_value": pick(value),
        "value_low": pick(value * 0.45),
        "value_high": pick(value * 1.8),
        "probability_no_order": pick(np.exp(-orders)),
        "next_order_days": pa.array(
            [None if a < 0.5 else float(1 / r) for a, r in zip(alive[order], expected_rate[order], strict=True)]
        ),
        "segment": pa.array(list(pick(segment.astype(object)))),
        "model_version": [MODEL_VERSION] * n,
    }
    return {"customer_summary": summary, "customer_scores": scores}


def _tracking(rng, as_of: date) -> dict:
    weeks = 104
    start = as_of - timedelta(days=7 * weeks)
    season = 1 + 0.15 * np.sin(np.arange(weeks) / 52 * 2 * np.pi)
    base = 900 * (1 - np.exp(-np.arange(1, weeks + 1) / 18))
    actual = rng.poisson(base * season).astype(float)
    columns: dict[str, list] = {name: [] for name in contract.ORDER_TRACKING.column_names}
    for model, factor in (("mbg_nbd", 1.0), ("bg_nbd", 1.03), ("pareto_nbd", 0.98), ("nbd", 1.12)):
        expected = base * factor
        columns["model"] += [model] * weeks
        columns["week"] += [start + timedelta(days=7 * k) for k in range(weeks)]
        columns["is_holdout"] += [k >= 78 for k in range(weeks)]
        columns["actual"] += actual.tolist()
        columns["expected"] += expected.tolist()
        columns["actual_cumulative"] += actual.cumsum().tolist()
        columns["expected_cumulative"] += expected.cumsum().tolist()
    return columns


def _reports(customers: int) -> dict:
    n = len(MODELS)
    return {
        "model": list(MODELS),
        "is_baseline": [False, False, False, False, True],
        "rank": list(range(1, n + 1)),
        "customers": [customers] * n,
        "log_likelihood": [-9582.1, -9582.4, -9594.9, -9763.6, None],
        "parameters": [json.dumps({"r": 0.52, "alpha": 6.18})] * (n - 1) + ["{}"],
        "actual": [18820.0] * n,
        "predicted": [18300.0, 19100.0, 17900.0, 21200.0, 23100.0],
        "total_error": [-0.028, 0.015, -0.049, 0.126, 0.227],
        "mae": [0.76, 0.79, 0.75, 1.04, 1.1],
        "rmse": [1.5, 1.51, 1.55, 1.9, 2.2],
        "top_decile_share": [0.42, 0.41, 0.41, 0.39, 0.4],
        "note": [""] * n,
    }


def _calibration() -> dict:
    pairs = [(model, decile) for model in MODELS for decile in range(1, 11)]
    return {
        "model": [model for model, _ in pairs],
        "decile": [decile for _, decile in pairs],
        "customers": [300] * len(pairs),
        "predicted": [0.1 * decile**1.5 for _, decile in pairs],
        "actual": [0.11 * decile**1.45 for _, decile in pairs],
    }


def _kpis(tables: dict, as_of: date) -> dict:
    scores, summary = tables["customer_scores"], tables["customer_summary"]
    value, alive = float(np.sum(scores["customer_value"])), float(np.sum(scores["probability_alive"]))
    n = len(scores["as_of"])
    orders = float(np.sum(scores["expected_orders"]))
    revenue = float(np.sum(summary["revenue"]))
    rows = [
        ("active_customers", 0.4 * n, None, None, "customers", "Customers who bought in the last 30 days"),
        ("customer_value", value, value * 0.94, value * 1.07, "currency", "Discounted margin expected in the horizon"),
        ("customers", float(n), None, None, "customers", "Customers with at least one purchase"),
        ("customers_alive", alive, None, None, "customers", "Customers expected to be still active"),
        ("expected_orders", orders, orders * 0.95, orders * 1.05, "orders", "Purchase days expected in the horizon"),
        (
            "repeat_rate",
            float(np.mean(np.asarray(summary["frequency"]) > 0)),
            None,
            None,
            "share",
            "Bought on two days",
        ),
        ("revenue", revenue, None, None, "currency", "All sales less what came back"),
        ("revenue_lately", revenue * 0.05, None, None, "currency", "Sales less returns of the last 30 days"),
    ]
    names = ("kpi", "value", "low", "high", "unit", "meaning")
    columns = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    return {**columns, "as_of": [as_of] * len(rows)}


def _money(tables: dict) -> dict:
    used = round(float(np.sum(tables["customer_summary"]["revenue"])), 2)
    rows = [("in", "", 60_000, used + 1234.56), ("used", "", 59_000, used)]
    rows += [("set_aside", "missing_customer", 900, 1300.00), ("set_aside", "return_without_sale", 100, -65.44)]
    return {
        "disposition": [row[0] for row in rows],
        "reason": [row[1] for row in rows],
        "currency": ["USD"] * len(rows),
        "lines": [row[2] for row in rows],
        "revenue": [round(row[3], 2) for row in rows],
        "revenue_reporting": [round(row[3], 2) for row in rows],
    }


def _checks() -> dict:
    return {
        "check_name": ["customer_ids_present", "dates_in_the_future", "duplicated_lines"],
        "severity": ["warning", "blocking", "info"],
        "passed": [False, True, True],
        "found": [900, 0, 0],
        "example": ["line 17", "", ""],
        "message": ["Lines without a customer are set aside", "No line lies after today", "No line stands twice"],
    }
