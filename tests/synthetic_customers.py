"""What a made-up snapshot says of its customers beside score and summary: their days, churn, intervals, cohorts, audit.

Days are made up to fit each customer's summary; cohorts and audit come from the product's own queries over these.
"""

from datetime import date
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from regulars.clv.gamma_gamma import GammaGammaModel
from regulars.clv.modified_beta_geo import ModifiedBetaGeoModel
from regulars.clv.persistence import model_text
from regulars.sql import catalog

HORIZON_DAYS = 30
CHOSEN = "hazard + mbg_nbd"
ORDER_MODEL = {"r": 0.6, "alpha": 4.0, "a": 0.8, "b": 1.6}
SPEND_MODEL = {"p": 6.25, "q": 3.74, "v": 15.44}
# in the order in which each needs the ones before
QUERIES = (
    "cohorts", "audit_periods", "audit_one_period", "audit_two_periods", "audit_one_cohort", "audit_all_cohorts",
    "audit_health",
)  # fmt: skip


def customer_tables(summary: dict, scores: dict, as_of: date) -> dict[str, dict]:
    """The tables beside ``customer_summary`` and ``customer_scores``, in the contract's shapes."""
    found = {
        "customer_days": _days(summary, as_of),
        "customer_churn": _churn(summary, as_of),
        "customer_intervals": _intervals(scores),
        "portfolio_terms": _portfolio_terms(scores),
    }
    return found | _counted(found["customer_days"], summary, as_of)


def model_texts() -> dict[str, str]:
    """Fitted models as a run holds them, by name."""
    orders = ModifiedBetaGeoModel.from_parameters(**ORDER_MODEL)
    spend = GammaGammaModel.from_parameters(**SPEND_MODEL)
    return {model.name: model_text(model) for model in (orders, spend)}


def _portfolio_terms(scores: dict) -> dict[str, Any]:
    """Customers whose orders are Poisson and whose value varies with them; models 3% wrong at one standard error."""
    nothing = np.zeros(len(scores["expected_orders"]))
    found = {f"{kind}_loading_{i}": nothing for kind, most in (("orders", 4), ("value", 7)) for i in range(1, most + 1)}
    found |= {"customer_id": scores["customer_id"], "orders_loading_1": 0.03 * scores["expected_orders"]}
    found |= {"value_loading_1": 0.03 * scores["customer_value"], "value_loading_5": 0.04 * scores["customer_value"]}
    money = scores["expected_order_value"] * scores["customer_value"]
    return found | {"orders_variance": scores["expected_orders"], "value_variance": 1.2 * money}


def _days(summary: dict, as_of: date) -> dict[str, Any]:
    times = summary["frequency"].astype(int) + 1
    first = np.datetime64(as_of, "D") - summary["T_days"].astype("timedelta64[D]")
    row = np.repeat(np.arange(len(times)), times)
    place = np.arange(len(row)) - np.repeat(np.cumsum(times) - times, times)
    gaps = np.maximum(times - 1, 1)[row]
    gross = np.rint(100 * (summary["revenue"] + summary["returned_revenue"])).astype(np.int64)
    back = np.rint(100 * summary["returned_revenue"]).astype(np.int64)

    def parted(cents: np.ndarray) -> np.ndarray:
        return (cents[row] * (place + 1) // times[row] - cents[row] * place // times[row]) / 100

    return {
        "customer_id": summary["customer_id"].take(pa.array(row)),
        "day": first[row] + (summary["recency_days"][row] * place // gaps).astype("timedelta64[D]"),
        "orders": np.ones(len(row), dtype=np.int64),
        "lines": 1 + place % 4,
        "revenue": parted(gross),
        "returned_revenue": parted(back),
        "discount": np.zeros(len(row)),
    }


def _churn(summary: dict, as_of: date) -> dict[str, Any]:
    n = len(summary["frequency"])
    silent = summary["T_days"] - summary["recency_days"]
    rate = (0.6 + summary["frequency"]) / (28 + summary["T_days"])
    survival = 1 / (1 + HORIZON_DAYS * rate * np.exp(-silent * rate))
    btyd = np.exp(-HORIZON_DAYS * rate * 0.9) * 0.95 + 0.05 * (silent > 90)
    usual = np.maximum(1, np.rint(1 / rate)).astype(int)
    stake = (survival + btyd) * np.asarray(summary["revenue"], dtype=float) / np.maximum(summary["T_days"], 365)
    explained = np.argsort(-stake, kind="stable")[: max(n // 3, 1)]
    said = np.zeros(n, dtype=bool)
    said[explained] = True

    def reasons(text: Any) -> pa.Array:
        return pa.array([text(i) if said[i] else "" for i in range(n)], pa.string())

    def days(values: np.ndarray) -> pa.Array:
        return pa.array(np.minimum(values, 900), mask=values > 400)

    return {
        "customer_id": summary["customer_id"],
        "as_of": [as_of] * n,
        "horizon_days": np.full(n, HORIZON_DAYS),
        "days_since_order": silent,
        "probability_no_order": (survival + btyd) / 2,
        "probability_no_order_survival": survival,
        "probability_no_order_btyd": btyd,
        "median_days_survival": days(0.7 / rate + silent / 4),
        "median_days_btyd": days(0.8 / rate + silent / 5),
        "beyond_range": silent > 360,
        "reason_1": reasons(lambda i: f"{silent[i]} days since the last order, usual gap {usual[i]}"),
        "reason_2": reasons(lambda i: f"{summary['frequency'][i]} earlier purchase days"),
        "reason_3": reasons(lambda i: "no other purchase day in the 28 days to the last order"),
        "chosen": [CHOSEN] * n,
        "model_version": ["churn_forecast:0123456789ab, regulars 0.1.0"] * n,
    }


def _intervals(scores: dict) -> dict[str, Any]:
    orders, spend = scores["expected_orders"], scores["expected_order_value"]
    columns: dict[str, Any] = {"customer_id": scores["customer_id"]}
    for level, wide in ((50, 0.7), (80, 1.3), (90, 1.7)):
        low = np.maximum(np.floor(orders - wide * np.sqrt(orders + 0.2)), 0)
        high = np.where(orders < 0.05, 0, np.ceil(orders + wide * np.sqrt(orders + 0.2)))
        columns |= {f"orders_low_{level}": low, f"orders_high_{level}": high}
        columns |= {f"money_low_{level}": low * spend * 0.9, f"money_high_{level}": high * spend * 1.1}
    return columns


def _counted(days: dict, summary: dict, as_of: date) -> dict[str, dict]:
    found = {}
    with duckdb.connect() as connection:
        connection.register("given_days", pa.table(days))
        money = ", ".join(f"CAST({name} AS DECIMAL(18, 2)) AS {name}" for name in ("revenue", "returned_revenue"))
        connection.sql(
            f"CREATE TABLE customer_days AS SELECT * REPLACE ({money}, CAST(day AS DATE) AS day) FROM given_days"
        )
        connection.register("given_summary", pa.table(summary))
        connection.sql("CREATE TABLE customer_summary AS FROM given_summary")
        for name in QUERIES:
            query = catalog.queries()[name]
            given = {"as_of": as_of, "audit_days": 364}
            values = {one.name: given[one.name] for one in query.parameters}
            order = ", ".join(query.grain)
            connection.execute(f"CREATE TABLE {name} AS FROM ({query.sql}) AS made ORDER BY {order}", values)
            rows = connection.sql(f"FROM {name}").to_arrow_table()
            found[name] = dict(zip(rows.column_names, rows.columns, strict=True))
    return found
