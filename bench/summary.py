"""Customer summary of a large file of order lines, beside the plainest GROUP BY over the same file."""

from functools import partial
from pathlib import Path
from typing import Any

import duckdb
from order_lines import Shop, order_lines
from report import Section, gigabytes, seconds
from timing import Run, Side, in_turns

from regulars.sql import Database, connect

THREADS = 2
MEMORY_LIMIT = "5GB"

BASELINE = (
    "CREATE TABLE summary AS SELECT customer_id, count(*) AS lines, min(ordered_at) AS first_at, "
    "max(ordered_at) AS last_at, sum(revenue) AS revenue FROM '{path}' GROUP BY customer_id"
)
TWO_STAGES = (
    "CREATE TABLE summary AS SELECT customer_id, count(*) AS days, min(day) AS first_order_on, "
    "max(day) AS last_order_on, sum(revenue) AS revenue, arg_min(revenue, day) AS first_order_revenue FROM "
    "(SELECT customer_id, CAST(ordered_at AS DATE) AS day, sum(revenue) AS revenue FROM '{path}' "
    "GROUP BY customer_id, CAST(ordered_at AS DATE)) AS days GROUP BY customer_id"
)


def summary_section(customers: int, runs: int = 5) -> Section:
    """Measure both ways through regulars beside plain SQL, and compare what they found."""
    path = order_lines(Shop(customers))
    sides = {
        "`CREATE TABLE AS SELECT ... GROUP BY customer_id`, the baseline": Side(
            partial(_statement, path, BASELINE), runs
        ),
        "two-stage query over distinct days, by hand": Side(partial(_statement, path, TWO_STAGES), runs),
        "regulars, no `order_id` mapped": Side(partial(_regulars, path, order_id=False), runs),
        "regulars, orders told apart by `order_id`": Side(partial(_regulars, path, order_id=True), runs),
    }
    found = in_turns(sides)
    baseline, by_hand, unnamed, named = found.values()
    for ours in (unnamed, named):
        _must_agree(ours.result, by_hand.result | baseline.result)
    rows = [
        (
            name,
            seconds(m.median),
            gigabytes(m.peak),
            f"{m.median / baseline.median:.2f}x",
            "5x, 6 GB" if m in (unnamed, named) else "",
        )
        for name, m in found.items()
    ]
    total = named.result
    return Section(
        "summary",
        "Customer summary",
        f"One Parquet file of {total['lines']:,} order lines (zstd, in order of time), {total['orders']:,} orders, "
        f"{total['days']:,} customer days, {total['customers']:,} customers over 104 weeks: `bench/order_lines.py` "
        "says how they are drawn. The baseline is `CREATE TABLE AS SELECT customer_id, count(*), min(ordered_at), "
        "max(ordered_at), sum(revenue) ... GROUP BY customer_id`. regulars goes the whole way that a user goes: "
        "`connect(orders=path)`, staging, the as-of date, policies, `customer_days` (stored), `customer_summary` (all "
        f"columns, stored). {THREADS} threads, `memory_limit = {MEMORY_LIMIT}` for all; a new in-memory database and "
        f"nothing carried over in each run; each side in its own process, run in turns, the first round thrown away, "
        f"median of {runs}. All sides agree on customers, days, money and the first day's money, to the cent.",
        ("what", "time", "peak memory", "ratio", "target"),
        rows,
    )


def _statement(path: Path, statement: str) -> Run:
    def run() -> Run:
        connection = duckdb.connect(config={"threads": THREADS, "memory_limit": MEMORY_LIMIT})
        connection.execute(statement.format(path=path))
        return partial(_totals, connection)

    return run


def _totals(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    with connection:
        there = {row[0] for row in connection.execute("DESCRIBE summary").fetchall()}
        names = [name for name in ("lines", "days", "revenue", "first_order_revenue") if name in there]
        sums = ", ".join(f"sum({name})" for name in names)
        row = connection.execute(f"SELECT count(*), {sums} FROM summary").fetchone()
    return dict(zip(("customers", *names), row or (), strict=True))


def _regulars(path: Path, *, order_id: bool) -> Run:
    columns = None if order_id else {"order_id": "NULL"}

    def run() -> Run:
        db = connect(orders=path, columns=columns, build={"threads": THREADS, "memory_limit": MEMORY_LIMIT})
        db.pipeline.make("customer_summary")
        return partial(_our_totals, db)

    return run


def _our_totals(db: Database) -> dict[str, Any]:
    with db:
        (found,) = db.sql(
            "SELECT count(*) AS customers, sum(frequency + 1) AS days, sum(orders) AS orders, "
            "sum(revenue) AS revenue, sum(first_order_revenue) AS first_order_revenue, "
            "(SELECT sum(lines) FROM customer_days) AS lines FROM customer_summary"
        ).to_pylist()
    return found


def _must_agree(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    different = {name: (ours[name], value) for name, value in theirs.items() if ours[name] != value}
    if different:
        raise AssertionError(f"the summaries differ (ours, plain SQL): {different}")
