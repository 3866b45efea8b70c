"""What the named queries say about small shops worked out by hand."""

from datetime import date, datetime, time, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest

from regulars.sql.contract import CUSTOMER_CHURN, CUSTOMER_SCORES
from regulars.sql.engine import DuckDBEngine
from regulars.sql.errors import ContractError, SettingsError
from regulars.sql.pipeline import Pipeline

AS_OF = date(2024, 4, 15)


def line(customer: str, day: str, revenue: str = "10.00", at: time = time(12), **columns) -> dict:
    when = datetime.combine(date.fromisoformat(day), at)
    return {"customer_id": customer, "ordered_at": when, "revenue": Decimal(revenue)} | columns


@pytest.fixture
def shop(stage_lines, shop_values):
    """A pipeline over lines, links and rates."""
    engines = []

    def open_(lines, links=(), rates=(), given=None, **values) -> Pipeline:
        engine = DuckDBEngine(threads=1)
        engines.append(engine)
        stage_lines(engine, lines, links, rates)
        for table, rows in (given or {}).items():
            engine.register(table, rows)
        return Pipeline(engine, shop_values(AS_OF, **values), given=given or ())

    yield open_
    for engine in engines:
        engine.close()


def by(rows: pa.Table, key: str, *columns: str) -> dict:
    return {row[key]: tuple(row[c] for c in columns) for row in rows.to_pylist()}


class TestCustomers:
    def test_chains_of_links_are_followed_to_their_end(self, shop):
        links = [{"old_id": f"v{i}", "customer_id": f"v{i + 1}"} for i in range(12)]
        links += [{"old_id": "w", "customer_id": "w"}, {"old_id": "x", "customer_id": "y"}, *([links[3]] * 2)]
        lines = [line(f"v{i}", f"2024-01-{i + 1:02}") for i in range(13)] + [line("w", "2024-01-01")]
        pipeline = shop(lines, links)
        resolved = by(pipeline.run("resolved_customer_links"), "old_id", "customer_id")
        assert resolved == {f"v{i}": ("v12",) for i in range(12)} | {"x": ("y",)}
        days = pipeline.run("customer_summary").to_pylist()
        assert {row["customer_id"]: row["frequency"] for row in days} == {"v12": 12, "w": 0}

    def test_a_circle_of_links_ends(self, shop):
        links = [{"old_id": a, "customer_id": b} for a, b in ("ab", "bc", "ca", "xa")]
        resolved = by(shop([line("a", "2024-01-01")], links).run("resolved_customer_links"), "old_id", "customer_id")
        assert set(resolved) == {"a", "b", "c", "x"}


class TestRates:
    rates = (
        {"currency": "EUR", "day": date(2024, 1, 10), "rate": Decimal("0.80")},
        {"currency": "EUR", "day": date(2024, 1, 20), "rate": Decimal("0.90")},
        {"currency": "USD", "day": date(2024, 1, 1), "rate": Decimal("0.125")},
    )

    def test_the_latest_on_or_before_the_day_counts(self, shop):
        days = ["2024-01-09", "2024-01-10", "2024-01-19", "2024-01-20", "2024-03-01"]
        lines = [line("ann", day, currency="EUR") for day in days] + [line("ann", "2024-02-02", currency="GBP")]
        used = by(shop(lines, rates=self.rates).run("customer_days"), "day", "revenue")
        assert {str(day): money for day, (money,) in used.items()} == {
            "2024-01-10": Decimal("8.00"),
            "2024-01-19": Decimal("8.00"),
            "2024-01-20": Decimal("9.00"),
            "2024-03-01": Decimal("9.00"),
            "2024-02-02": Decimal("10.00"),
        }

    def test_money_is_rounded_half_away_from_zero_line_by_line(self, shop):
        # 0.125 x 1.00 = 0.125 -> 0.13, and the refund -0.125 -> -0.13
        lines = [line("ann", "2024-01-02", "1.00", currency="USD") for _ in range(3)]
        lines += [line("ann", "2024-01-03", "-1.00", currency="USD")]
        (day,) = shop(lines, rates=self.rates).run("customer_days").to_pylist()
        assert (day["revenue"], day["returned_revenue"]) == (Decimal("0.39"), Decimal("0.13"))


class TestDays:
    def test_orders_of_a_day(self, shop):
        lines = [
            line("ann", "2024-01-01", order_id="o1", discount=Decimal("0.50")),
            line("ann", "2024-01-01", order_id="o1"),
            line("ann", "2024-01-01", order_id="o2", at=time(23, 59, 59, 999999)),
            line("ann", "2024-01-01", order_id=None),
            line("ann", "2024-01-02", order_id=None, at=time(0)),
            line("ann", "2024-01-02", order_id=None),
            line("ann", "2024-01-03", "-5.00", order_id="o3"),
        ]
        days = shop(lines).run("customer_days").sort_by("day").to_pylist()
        assert [(d["day"].day, d["orders"], d["lines"], d["discount"]) for d in days] == [
            (1, 2, 4, Decimal("0.50")),
            (2, 1, 2, Decimal(0)),
        ]

    def test_a_day_with_only_zero_lines_is_a_purchase_unless_set_aside(self, shop):
        lines = [line("ann", "2024-01-01"), line("ann", "2024-01-05", "0.00")]
        (kept,) = shop(lines).run("customer_summary").to_pylist()
        (without,) = shop(lines, zero_revenue="set_aside").run("customer_summary").to_pylist()
        assert (kept["frequency"], without["frequency"]) == (1, 0)
        assert kept["monetary_value"] == 0.0

    def test_a_day_whose_sales_all_came_back_is_still_a_purchase(self, shop):
        lines = [line("ann", "2024-01-01"), line("ann", "2024-01-05", "8.00"), line("ann", "2024-01-09", "-18.00")]
        (row,) = shop(lines).run("customer_summary").to_pylist()
        assert (row["frequency"], row["monetary_value"], row["revenue"], row["return_rate"]) == (1, 0.0, 0, 1.0)


class TestSummary:
    def test_the_return_window_is_open_until_its_last_day(self, shop):
        # sold 29 and 30 days before the as-of date: the window of 30 days closed yesterday for the latter
        lines = [line("ann", "2024-03-17", "5.00"), line("ann", "2024-03-16", "7.00")]
        (row,) = shop(lines).run("customer_summary").to_pylist()
        assert row["returnable_revenue"] == 5
        (row,) = shop(lines).run("customer_summary", return_window_days=0).to_pylist()
        assert row["returnable_revenue"] == 0

    def test_a_customer_without_money_has_no_return_rate(self, shop):
        (row,) = shop([line("ann", "2024-01-01", "0.00")]).run("customer_summary").to_pylist()
        assert row["return_rate"] is None

    def test_holdout_of_a_customer_who_comes_back_and_of_one_who_comes_late(self, shop):
        lines = [line("ann", "2024-01-01"), line("ann", "2024-02-10", "30.00"), line("ann", "2024-02-12", "10.00")]
        lines += [line("bob", "2024-02-01"), line("ann", "2024-04-14", "99.00")]
        pipeline = shop(lines)
        (row,) = pipeline.run("holdout_summary", calibration_end="2024-01-31", observation_end="2024-02-29").to_pylist()
        assert row["customer_id"] == "ann"
        assert (row["frequency"], row["T_days"], row["frequency_holdout"]) == (0, 30, 2)
        assert (row["revenue_holdout"], row["monetary_value_holdout"]) == (Decimal("40.00"), 20.0)
        assert row["duration_holdout"] == 29 / 7

    def test_calibration_ends_after_three_quarters_unless_said_otherwise(self, shop):
        pipeline = shop([line("ann", "2024-01-06"), line("bob", "2024-04-01")])
        pipeline.run("first_purchases_by_day")
        assert pipeline.parameters["calibration_end"] == date(2024, 3, 21)
        assert (
            shop([line("ann", "2024-01-06")], calibration_end=date(2024, 2, 2)).parameters["calibration_end"].day == 2
        )

    def test_nothing_to_calibrate_on(self, shop):
        with pytest.raises(ContractError, match="nothing to calibrate"):
            shop([]).run("holdout_summary")


class TestTracking:
    def test_first_and_repeat_purchases_of_the_calibrations_customers(self, shop):
        lines = [line("ann", d) for d in ("2024-01-01", "2024-01-08", "2024-03-01", "2024-04-15")]
        lines += [
            line("bob", "2024-01-01"),
            line("bob", "2024-03-01"),
            line("cid", "2024-02-20"),
            line("cid", "2024-03-01"),
        ]
        pipeline = shop(lines, calibration_end=date(2024, 1, 31))
        first = by(pipeline.run("first_purchases_by_day"), "day", "customers")
        assert first == {date(2024, 1, 1): (2,)}
        repeat = by(pipeline.run("repeat_purchases_by_day", observation_end="2024-03-31"), "day", "purchase_days")
        assert repeat == {date(2024, 1, 8): (1,), date(2024, 3, 1): (2,)}


class TestCohorts:
    def test_every_month_of_every_cohort(self, shop):
        lines = [
            line("ann", "2023-12-31"),
            line("ann", "2024-02-29", "5.00"),
            line("ann", "2024-02-29", "1.00", order_id="o9"),
            line("bob", "2023-12-01"),
            line("bob", "2024-04-02"),
            line("cid", "2024-02-01", "3.00"),
        ]
        rows = shop(lines).run("cohorts").sort_by([("cohort", "ascending"), ("age_months", "ascending")]).to_pylist()
        seen = [(r["cohort"], r["age_months"], r["customers"], r["active_customers"], str(r["revenue"])) for r in rows]
        december, february = date(2023, 12, 1), date(2024, 2, 1)
        assert seen == [
            (december, 0, 2, 2, "20.00"),
            (december, 1, 2, 0, "0.00"),
            (december, 2, 2, 1, "6.00"),
            (december, 3, 2, 0, "0.00"),
            (december, 4, 2, 1, "10.00"),
            (february, 0, 1, 1, "3.00"),
            (february, 1, 1, 0, "0.00"),
            (february, 2, 1, 0, "0.00"),
        ]
        # April is cut by the as-of date
        assert [r["is_complete"] for r in rows] == [True] * 4 + [False] + [True] * 2 + [False]

    def test_a_month_that_ends_on_the_as_of_date_is_complete(self, shop):
        rows = shop([line("ann", "2024-02-01")]).run("cohorts", as_of="2024-02-29").to_pylist()
        assert [row["is_complete"] for row in rows] == [True]


class TestKPIs:
    def test_each_figure(self, shop):
        lines = [
            line("ann", "2024-01-01", "50.00"),
            line("ann", "2024-01-11", "30.00"),
            line("ann", "2024-03-01", "20.00"),
        ]
        lines += [
            line("bob", "2024-04-01", "12.00"),
            line("bob", "2024-04-03", "-2.00"),
            line("cid", "2024-02-20", "40.00"),
        ]
        figures = by(shop(lines).run("base_kpis"), "kpi", "value", "unit")
        assert figures == {
            "customers": (3.0, "customers"),
            "active_customers": (1.0, "customers"),
            "new_customers": (1.0, "customers"),
            "repeat_rate": (1 / 3, "share"),
            "days_between_purchases": (30.0, "days"),
            "orders": (5.0, "orders"),
            "orders_lately": (1.0, "orders"),
            "revenue": (150.0, "currency"),
            "revenue_lately": (10.0, "currency"),
            # 10 in the last 30 days (from 2024-03-17), 60 in the 30 days before
            "revenue_change": (10 / 60 - 1, "share"),
            "average_order_value": (30.0, "currency"),
            "return_rate": (2 / 152, "share"),
            "returnable_revenue": (10.0, "currency"),
        }

    def test_of_nobody(self, shop):
        figures = by(shop([]).run("base_kpis"), "kpi", "value")
        assert figures["customers"] == (0.0,)
        assert figures["repeat_rate"] == (None,)
        assert figures["revenue_change"] == (None,)


class TestScores:
    @pytest.fixture
    def scored(self, shop):
        customers = [f"c{i:02}" for i in range(20)]
        names = CUSTOMER_SCORES.column_names
        # two shares of ties; c00 .. c09 hold 9,000 of 10,000, c10 .. c19 hold 1,000
        rows = {
            name: [0.5] * 20 for name in names if name not in ("customer_id", "as_of", "segment", "model_version")
        } | {
            "customer_id": customers,
            "as_of": [AS_OF] * 20,
            "segment": ["at_risk" if i % 2 else "best" for i in range(20)],
            "model_version": ["v"] * 20,
            "customer_value": [900.0] * 10 + [100.0] * 10,
        }
        lines = [line(c, "2024-01-01", f"{i}.00") for i, c in enumerate(customers)]
        churn = {column: ["c19"] for column in CUSTOMER_CHURN.column_names}
        churn |= {
            "probability_no_order": [0.875],
            "horizon_days": [30],
            "reason_1": ["40 days since"],
            "reason_2": [""],
        }
        given = {"customer_scores": pa.table(rows).select(list(names)), "customer_churn": pa.table(churn)}
        return shop(lines, given=given)

    def test_top_customers(self, scored):
        top = scored.run("top_customers", customers=3).to_pylist()
        assert [row["customer_id"] for row in top] == ["c00", "c01", "c02"]
        assert scored.run("top_customers").num_rows == 20

    def test_customers_at_risk_are_sorted_by_what_they_spent(self, scored):
        rows = scored.run("customers_at_risk", customers=2).to_pylist()
        assert [(row["customer_id"], row["revenue"]) for row in rows] == [("c19", 19), ("c17", 17)]
        # what churn says stands beside, and is empty where it says nothing
        told = [(row["churn_probability_no_order"], row["churn_horizon_days"], row["reason_1"]) for row in rows]
        assert told == [(0.875, 30, "40 days since"), (None, None, "")]

    def test_value_concentration(self, scored):
        rows = scored.run("value_concentration").sort_by("decile").to_pylist()
        assert [row["customers"] for row in rows] == [2] * 10
        assert [row["share"] for row in rows] == [0.18] * 5 + [0.02] * 5
        assert rows[4]["cumulative_share"] == 0.9
        assert rows[-1]["cumulative_share"] == 1.0


class TestPipeline:
    def test_a_table_that_no_query_makes(self, shop):
        with pytest.raises(SettingsError, match="top_customers reads customer_scores, which is made by a build"):
            shop([line("ann", "2024-01-01")]).run("top_customers")

    def test_a_parameter_that_is_not_there(self, shop):
        with pytest.raises(SettingsError, match="takes no parameter 'asof'; did you mean 'as_of'"):
            shop([]).run("customer_summary", asof="2024-01-01")

    def test_a_value_of_the_wrong_type(self, shop):
        with pytest.raises(SettingsError, match="customer_summary: days_per_unit = 'week' is no DOUBLE"):
            shop([]).run("customer_summary", days_per_unit="week")

    def test_a_value_that_is_missing(self, shop):
        pipeline = shop([])
        del pipeline.parameters["currency"]
        with pytest.raises(SettingsError, match="needs a value for currency VARCHAR"):
            pipeline.run("judged_order_lines")

    def test_replaced_values_reach_what_follows_from_the_days(self, shop):
        pipeline = shop([line("ann", "2024-01-01"), line("bob", "2024-03-01")])
        assert pipeline.run("summary_counts").num_rows == 2
        (row,) = pipeline.run("summary_counts", as_of="2024-02-01", days_per_unit=1).to_pylist()
        assert (row["T"], row["weight"]) == (31.0, 1)
        customers = by(pipeline.run("base_kpis", as_of="2024-02-01"), "kpi", "value")["customers"]
        assert customers == (1.0,)
        # and leave what is stored as it was
        assert pipeline.run("summary_counts").num_rows == 2

    def test_composed_or_stored_is_the_same(self, shop):
        lines = [line("ann", "2024-01-01"), line("ann", "2024-01-09", "-3.00"), line("bob", "2024-03-01")]
        stored = shop(lines).run("customer_summary")
        composed = shop(lines).run("customer_summary", inline=("customer_days", "sale_days"))
        assert stored.sort_by("customer_id") == composed.sort_by("customer_id")

    def test_returns_cost_nothing_where_there_are_none(self, shop):
        pipeline = shop([line("ann", "2024-01-01")])
        assert pipeline.tracks_returns is False
        assert pipeline.run("customer_days").num_rows == 1
        pipeline.make("returnable_sales")
        assert pipeline.engine.query("SELECT * FROM returnable_sales").num_rows == 0
        assert shop([line("ann", "2024-01-01"), line(None, "2024-01-02", "-1.00")]).tracks_returns is True
        marked = line("ann", "2024-01-01") | {"returned_at": datetime.combine(AS_OF, time(1)) + timedelta(days=9)}
        assert shop([marked]).tracks_returns is True
        assert shop([marked], refunds="ignore").tracks_returns is False
        assert shop([marked]).run("pending_returns").to_pylist() == [{"lines": 1}]
