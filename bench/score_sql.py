"""Scores as SQL at size: each model's macros over a table of customers in DuckDB, beside Python's own scoring."""

import tempfile
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from report import Section, gigabytes, seconds
from timing import Run, Side, in_turns

SEED = 20261121
HORIZON = 52
PARAMETERS: dict[str, dict[str, float]] = {
    "nbd": {"r": 0.385, "alpha": 12.07},
    "bg_nbd": {"r": 0.243, "alpha": 4.414, "a": 0.793, "b": 2.426},
    "mbg_nbd": {"r": 0.525, "alpha": 6.183, "a": 0.891, "b": 1.614},
    "pareto_nbd": {"r": 0.553, "alpha": 10.578, "s": 0.606, "beta": 11.669},
}
TITLES = {"nbd": "NBD", "bg_nbd": "BG/NBD", "mbg_nbd": "MBG/NBD", "pareto_nbd": "Pareto/NBD"}
MONTHS = 26


def score_sql_section(customers: int, rival: int, runs: int = 3) -> Section:
    """DuckDB scores ``customers``; Python, which makes intervals, next order and segments besides, ``rival`` of them."""
    with tempfile.TemporaryDirectory() as folder:
        sides = {f"{TITLES[name]}, SQL": Side(partial(_by_sql, name, customers, folder), runs) for name in PARAMETERS}
        sides["BG/NBD, `score_customers`"] = Side(partial(_by_python, rival), 1)
        found = in_turns(sides)
    rows = []
    for name, measured in found.items():
        target = "30 s" if name == "BG/NBD, SQL" else ""
        size = rival if "score_customers" in name else customers
        rows.append((name, f"{size:,}", seconds(measured.median), gigabytes(measured.peak), measured.result, target))
    return Section(
        name="sql-scores",
        title="Scores as SQL",
        text=(
            "`regulars score --sql`: P(alive), expected purchases, P(no order) and value of every customer, written to "
            f"Parquet by DuckDB on two threads; customers of up to {MONTHS} months, orders by weeks, horizon "
            f"{HORIZON} weeks. The difference is the largest from Python's own figures over 20,000 of the customers, "
            f"relative; median of {runs} after one that does not count."
        ),
        head=("model", "customers", "time", "peak memory", "difference", "target"),
        rows=rows,
    )


def _model(name: str) -> Any:
    from regulars import clv

    kinds = {
        "nbd": clv.NBDModel,
        "bg_nbd": clv.BetaGeoModel,
        "mbg_nbd": clv.ModifiedBetaGeoModel,
        "pareto_nbd": clv.ParetoNBDModel,
    }
    return kinds[name].from_parameters(**PARAMETERS[name])


def _spend() -> Any:
    from regulars.clv import GammaGammaModel

    return GammaGammaModel.from_parameters(p=6.25, q=3.74, v=15.44)


def _customers(n: int) -> Any:
    import pyarrow as pa

    rng = np.random.default_rng(SEED)
    age = rng.integers(1, int(MONTHS * 30.4375), n)
    frequency = rng.poisson(rng.gamma(0.5, 1.0, n) * age / 60.0)
    recency = np.where(frequency > 0, np.maximum(np.floor(age * rng.beta(3.0, 1.2, n)), 1.0), 0.0)
    return pa.table(
        {
            "customer_id": pa.array(np.arange(n)).cast(pa.string()),
            "frequency": frequency,
            "recency": recency / 7.0,
            "T": age / 7.0,
            "T_days": age,
            "monetary_value": np.where(frequency > 0, np.round(rng.gamma(6.0, 6.0, n), 2), 0.0),
        }
    )


def _by_sql(name: str, customers: int, folder: str) -> Run:
    import duckdb

    from regulars.clv import score_customers, score_sql, score_terms

    base, model, spend = _customers(customers), _model(name), _spend()
    session = duckdb.connect(config={"threads": 2})
    session.execute("SET enable_progress_bar = false")
    session.register("given", base)
    session.execute("CREATE TABLE customer_summary AS FROM given")
    session.unregister("given")
    session.register("score_terms", score_terms(model, base, horizon=HORIZON))
    sample = base.slice(0, min(20_000, customers))
    del base
    script = score_sql(model, spend, horizon=HORIZON, margin=0.3, oldest=MONTHS * 30.4375 / 7.0)
    session.execute(script.rpartition("FROM scored")[0])
    out = str(Path(folder) / f"{name}.parquet")

    def run() -> Any:
        session.execute("COPY (FROM scored('customer_summary')) TO $path", {"path": out})
        return difference

    def difference() -> str:
        expected = score_customers(model, spend, sample, as_of=date(2020, 1, 1), horizon=HORIZON, margin=0.3)
        session.register("expected", expected)
        columns = ("probability_alive", "expected_orders", "probability_no_order", "customer_value")
        largest = ", ".join(f"max(abs(s.{c} / nullif(e.{c}, 0) - 1))" for c in columns)
        found = session.execute(
            f"SELECT greatest({largest}) FROM read_parquet($path) s JOIN expected e USING (customer_id)",
            {"path": out},
        ).fetchone()
        return f"{found[0]:.0e}"

    return run


def _by_python(customers: int) -> Run:
    from regulars.clv import score_customers

    base, model, spend = _customers(customers), _model("bg_nbd"), _spend()

    def run() -> str:
        score_customers(model, spend, base, as_of=date(2020, 1, 1), horizon=HORIZON, margin=0.3)
        return ""

    return run
