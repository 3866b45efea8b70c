"""Scores as SQL at size: each model's macros over a table of customers in DuckDB, beside Python's own scoring."""

import tempfile
from datetime import date, timedelta
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
TITLES = {
    "nbd": "NBD",
    "bg_nbd": "BG/NBD",
    "mbg_nbd": "MBG/NBD",
    "pareto_nbd": "Pareto/NBD",
    "bg_nbd_covariates": "BG/NBD with covariates",
    "seasonal_mbg_nbd": "MBG/NBD on a seasonal clock",
}
MONTHS = 26
AS_OF = date(2020, 1, 1)
# Customers that the model with covariates is fitted to.
FITTED = 5_000


def score_sql_section(customers: int, rival: int, runs: int = 3) -> Section:
    """DuckDB scores ``customers``; Python, which makes intervals, next order and segments besides, ``rival`` of them."""
    with tempfile.TemporaryDirectory() as folder:
        sides = {f"{TITLES[name]}, SQL": Side(partial(_by_sql, name, customers, folder), runs) for name in TITLES}
        sides["BG/NBD, `score_customers`"] = Side(partial(_by_python, rival), 1)
        # four tables of ten million at a time are enough for the memory
        few = list(sides)[: len(PARAMETERS)]
        found = in_turns({name: sides.pop(name) for name in few}) | in_turns(sides)
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
            f"{HORIZON} weeks; covariates are a channel of six levels and a club, the clock knows waves of a year and "
            "weekdays. The difference is the largest from Python's own figures over 20,000 of the customers, "
            f"relative; median of {runs} after one that does not count."
        ),
        head=("model", "customers", "time", "peak memory", "difference", "target"),
        rows=rows,
    )


def _model(name: str) -> Any:
    from regulars import clv

    if name == "seasonal_mbg_nbd":
        return clv.SeasonalModifiedBetaGeoModel.from_parameters(clock=_clock(), **PARAMETERS["mbg_nbd"])
    if name == "bg_nbd_covariates":
        model = clv.CovariateModel("bg_nbd", purchase=["channel", "club"], dropout=["club"])
        return model.fit(_customers(FITTED, name))
    kinds = {
        "nbd": clv.NBDModel,
        "bg_nbd": clv.BetaGeoModel,
        "mbg_nbd": clv.ModifiedBetaGeoModel,
        "pareto_nbd": clv.ParetoNBDModel,
    }
    return kinds[name].from_parameters(**PARAMETERS[name])


def _clock() -> Any:
    from regulars.clv import FittedClock, SeasonalClock

    first = AS_OF - timedelta(days=int(MONTHS * 30.4375))
    declared, days = SeasonalClock(harmonics=2), np.arange(first, AS_OF, dtype="datetime64[D]")
    terms = declared.terms(days, 2, range(7))
    effects = np.random.default_rng(SEED).normal(0.0, 0.3, len(terms.names))
    level = float(np.log(np.exp(terms.matrix @ effects).mean()))
    return FittedClock(declared, first, AS_OF, 2, (), terms.names, terms.groups, effects, np.zeros((0, 0)), level)


def _spend() -> Any:
    from regulars.clv import GammaGammaModel

    return GammaGammaModel.from_parameters(p=6.25, q=3.74, v=15.44)


def _customers(n: int, name: str = "") -> Any:
    import pyarrow as pa

    rng = np.random.default_rng(SEED)
    age = rng.integers(1, int(MONTHS * 30.4375), n)
    frequency = rng.poisson(rng.gamma(0.5, 1.0, n) * age / 60.0)
    recency = np.where(frequency > 0, np.maximum(np.floor(age * rng.beta(3.0, 1.2, n)), 1.0), 0.0)
    table = pa.table(
        {
            "customer_id": pa.array(np.arange(n)).cast(pa.string()),
            "frequency": frequency,
            "recency": recency / 7.0,
            "T": age / 7.0,
            "T_days": age,
            "monetary_value": np.where(frequency > 0, np.round(rng.gamma(6.0, 6.0, n), 2), 0.0),
        }
    )
    if name == "bg_nbd_covariates":
        channels = np.array(["app", "fair", "mail", "men's shop", "phone", "web"], dtype=object)
        table = table.append_column("channel", pa.array(channels[rng.integers(0, channels.size, n)]))
        table = table.append_column("club", pa.array(rng.uniform(size=n) < 0.3))
    if name.startswith("seasonal"):
        first = np.datetime64(AS_OF) - age
        table = table.append_column("first_order_on", pa.array(first))
        table = table.append_column("last_order_on", pa.array(first + recency.astype(np.int64)))
    return table


def _by_sql(name: str, customers: int, folder: str) -> Run:
    import duckdb

    from regulars.clv import score_customers, score_sql, score_terms

    base, model, spend = _customers(customers, name), _model(name), _spend()
    session = duckdb.connect(config={"threads": 2})
    session.execute("SET enable_progress_bar = false")
    session.register("given", base)
    session.execute("CREATE TABLE customer_summary AS FROM given")
    session.unregister("given")
    keys = ", ".join(["frequency", "T_days", *getattr(model, "covariates", ())])
    few = session.sql(f"SELECT DISTINCT ON ({keys}) * FROM customer_summary").to_arrow_table()
    session.register("score_terms", score_terms(model, few, horizon=HORIZON))
    sample = base.slice(0, min(20_000, customers))
    del base
    script = score_sql(model, spend, horizon=HORIZON, margin=0.3, oldest=MONTHS * 30.4375 / 7.0)
    session.execute(script.rpartition("FROM scored")[0])
    out = str(Path(folder) / f"{name}.parquet")

    def run() -> Any:
        session.execute("COPY (FROM scored('customer_summary')) TO $path", {"path": out})
        return difference

    def difference() -> str:
        expected = score_customers(model, spend, sample, as_of=AS_OF, horizon=HORIZON, margin=0.3)
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
        score_customers(model, spend, base, as_of=AS_OF, horizon=HORIZON, margin=0.3)
        return ""

    return run
