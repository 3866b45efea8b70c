"""Random histories, cut at random days: adding new days equals building anew, and no cent is lost.

A dozen histories of each kind; ``make study`` draws two hundred.
"""

import os
from collections import Counter
from datetime import date, datetime, time, timedelta
from decimal import Decimal

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from regulars.sql.engine import DuckDBEngine
from regulars.sql.pipeline import CARRIED_TABLES, PREVIOUS, Pipeline

HISTORIES = int(os.environ.get("HISTORIES", "12"))
START = date(2023, 12, 20)
LAST = 24
LINKS = [{"old_id": "old-ann", "customer_id": "ann"}, {"old_id": "ann", "customer_id": "ann@1"}]
RATES = [
    {"currency": "EUR", "day": START - timedelta(days=9), "rate": Decimal("0.85671234")},
    {"currency": "EUR", "day": START + timedelta(days=8), "rate": Decimal("0.90000001")},
    {"currency": "USD", "day": START + timedelta(days=3), "rate": Decimal("0.78000000")},
]
COMPARED = (
    "daily_money",
    "return_lines",
    "returnable_sales",
    "customer_days",
    "rejected_order_lines",
    "money_reconciliation",
    "customer_summary",
    "holdout_summary",
    "cohorts",
    "base_kpis",
)
HANDED_ON = tuple(table for table in CARRIED_TABLES if table != "check_results")


def order_line(day: int | None, cents: int | None, came_back_after: int | None, **columns) -> dict:
    at = None if day is None else datetime.combine(START, time(9 + (cents or 0) % 3)) + timedelta(days=day)
    back = None if came_back_after is None or at is None else at + timedelta(days=came_back_after)
    return {
        "ordered_at": at,
        "ordered_at_text": "the day before" if at is None else None,
        "revenue": None if cents is None else Decimal(cents) / 100,
        "revenue_text": "free" if cents is None else None,
        "returned_at": back if cents and cents > 0 else None,
        **columns,
    }


histories = st.lists(
    st.builds(
        order_line,
        day=st.one_of(st.integers(0, LAST), st.none()),
        cents=st.sampled_from([1000, 1000, 333, 1, 2550, 0, -1000, -333, -1234, -7, None]),
        came_back_after=st.one_of(st.none(), st.none(), st.none(), st.integers(0, 9)),
        customer_id=st.sampled_from(["ann", "old-ann", "bob", "cid", None, " "]),
        sku=st.sampled_from([None, "hat", "tie"]),
        order_id=st.sampled_from([None, "o1", "o2", "o3"]),
        original_order_id=st.sampled_from([None, None, "o1", "o9"]),
        currency=st.sampled_from([None, None, "GBP", "EUR", "USD", "SEK"]),
        discount=st.sampled_from([None, Decimal("0.50")]),
        is_product=st.sampled_from([None, True, True, False]),
    ),
    min_size=1,
    max_size=30,
).map(lambda lines: lines + lines[: len(lines) // 3])  # some lines twice
policies = st.fixed_dictionaries(
    {
        "guests": st.sampled_from(["set_aside", "one_customer_per_order"]),
        "refunds": st.sampled_from(["net", "net", "ignore"]),
        "duplicates": st.sampled_from(["keep", "set_aside"]),
        "zero_revenue": st.sampled_from(["keep", "set_aside"]),
    }
)


class Build:
    """Tables as of a day, full or upon what an earlier build carried over."""

    def __init__(
        self,
        stage_lines,
        values: dict,
        lines: list[dict],
        base: "Build | None" = None,
        *,
        checks: tuple | None = None,
        tables: tuple = COMPARED,
    ) -> None:
        with DuckDBEngine(threads=1) as engine:
            stage_lines(engine, lines, LINKS, RATES)
            if base is not None:
                for table in CARRIED_TABLES:
                    engine.register(f"{PREVIOUS}{table}", base.tables[table])
            self.pipeline = Pipeline(
                engine,
                values,
                given=[f"{PREVIOUS}{table}" for table in CARRIED_TABLES] if base else (),
                tracks_returns=base.tracks_returns if base else None,
            )
            self.tables: dict[str, pa.Table] = {"check_results": self.pipeline.check(checks)}
            self.pipeline.make(*tables)
            for table in tables:
                self.tables[table] = engine.query(f"SELECT * FROM {table}")
            self.tracks_returns = self.pipeline.tracks_returns
            self.pending = self.pipeline.run("pending_returns").column("lines")[0].as_py() > 0

    def rows(self, table: str) -> Counter:
        return Counter(tuple(row.items()) for row in self.tables[table].to_pylist())


def holds_returns(lines: list[dict]) -> bool:
    return any((row["revenue"] or 0) < 0 or row["returned_at"] for row in lines)


@settings(max_examples=HISTORIES, deadline=None)
@given(lines=histories, policy=policies, cuts=st.sets(st.integers(0, LAST - 1), min_size=1, max_size=2), data=st.data())
def test_adding_days_equals_building_anew(lines, policy, cuts, data, stage_lines, shop_values):
    ends = [*sorted(cuts), LAST]
    # lines without a day come in with any of the files
    file_of = [
        data.draw(st.integers(0, len(ends) - 1))
        if row["ordered_at"] is None
        else next(i for i, end in enumerate(ends) if (row["ordered_at"].date() - START).days <= end)
        for row in lines
    ]
    calibration_end = START + timedelta(days=LAST // 2)
    base = None
    for i, end in enumerate(ends):
        values = shop_values(START + timedelta(days=end), **policy, calibration_end=calibration_end)
        new = [row for row, file in zip(lines, file_of, strict=True) if file == i]
        so_far = [row for row, file in zip(lines, file_of, strict=True) if file <= i]
        first_returns = policy["refunds"] == "net" and holds_returns(new) and base and not base.tracks_returns
        # of an earlier build, what the next one is made of
        tables = COMPARED if i == len(ends) - 1 else HANDED_ON
        if base is None or base.pending or first_returns:
            # what the history alone can answer
            base = Build(stage_lines, values, so_far, tables=tables)
        else:
            base = Build(stage_lines, values, new, base, tables=tables)
    full = Build(stage_lines, values, lines)
    for table in (*COMPARED, "check_results"):
        assert base.rows(table) == full.rows(table), table
    assert base.tracks_returns == full.tracks_returns
    no_cent_is_lost(full, lines)


@settings(max_examples=HISTORIES, deadline=None)
@given(lines=histories, policy=policies, as_of=st.integers(0, LAST))
def test_money_and_lines_add_up(lines, policy, as_of, stage_lines, shop_values):
    values = shop_values(START + timedelta(days=as_of), **policy, calibration_end=START)
    no_cent_is_lost(Build(stage_lines, values, lines, checks=("money_does_not_reconcile",)), lines)


def no_cent_is_lost(built: Build, lines: list[dict]) -> None:
    money = built.tables["money_reconciliation"].to_pylist()
    for currency in {row["currency"] for row in money}:
        own = [row for row in money if row["currency"] == currency]
        for column in ("revenue", "lines"):
            came_in = sum(row[column] for row in own if row["disposition"] == "in")
            assert came_in == sum(row[column] for row in own if row["disposition"] != "in")
    # in, from the input itself
    assert sum(row["lines"] for row in money if row["disposition"] == "in") == len(lines)
    expected: Counter = Counter()
    for row in lines:
        expected[row["currency"] or "GBP"] += row["revenue"] or 0
    assert {r["currency"]: r["revenue"] for r in money if r["disposition"] == "in"} == dict(expected)
    # set aside, line by line
    rejected: Counter = Counter()
    for row in built.tables["rejected_order_lines"].to_pylist():
        rejected[row["reason"], row["currency"]] += row["revenue"] or 0
    assert {(r["reason"], r["currency"]): r["revenue"] for r in money if r["disposition"] == "set_aside"} == dict(
        rejected
    )
    # used, in what the models read
    days = built.tables["customer_days"].to_pylist()
    used = sum(row["revenue_reporting"] or 0 for row in money if row["disposition"] == "used")
    matched = sum(row["matched_revenue"] for row in built.tables["return_lines"].to_pylist())
    assert used == sum(row["revenue"] for row in days) - matched
    assert sum(row["revenue"] for row in built.tables["customer_summary"].to_pylist()) == sum(
        row["revenue"] - row["returned_revenue"] for row in days
    )
    assert all(0 <= row["returned_revenue"] <= row["revenue"] for row in days)
    checked = {row["check_name"]: row["passed"] for row in built.tables["check_results"].to_pylist()}
    assert checked["money_does_not_reconcile"]
