"""connect() and Database: one shop, its dates, its queries, from any thread; the three shipped examples."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from decimal import Decimal

import pytest

from regulars.sql.catalog import query
from regulars.sql.contract import OUTPUT_TABLES
from regulars.sql.database import connect
from regulars.sql.engine import DuckDBEngine, QueryError
from regulars.sql.errors import ContractError, SettingsError
from regulars.sql.settings import Settings

LINES = (
    "SELECT 'c' || (i % 10) AS customer_id, TIMESTAMP '2020-01-01 09:00:00' + to_days(i::INTEGER) AS ordered_at, "
    "1.25 * (i % 3) AS revenue, 's' || (i % 4) AS sku, 'o' || i AS order_id FROM range(100) AS t(i)"
)
TODAY = date(2021, 1, 1)


def test_settings_come_from_a_file_its_name_an_object_or_arguments(write_parquet, tmp_path, monkeypatch):
    path = write_parquet(LINES)
    toml = tmp_path / "regulars.toml"
    toml.write_text('[orders]\npath = "orders.parquet"\n[shop]\ncurrency = "EUR"\n')
    monkeypatch.chdir(tmp_path)
    ways = [
        lambda: connect(),
        lambda: connect("regulars.toml"),
        lambda: connect(toml),
        lambda: connect(Settings.from_toml(toml)),
        lambda: connect(orders=path, shop={"currency": "EUR"}),
        lambda: connect(orders="*.parquet", shop={"currency": "EUR"}),
        lambda: connect(orders=[str(path)], shop={"currency": "EUR"}),
        lambda: connect(orders={"path": str(path)}, columns={"revenue": "revenue * 1"}, shop={"currency": "EUR"}),
    ]
    for way in ways:
        with way() as db:
            assert db.settings.shop.currency == "EUR"
            assert db.sql("SELECT count(*) AS n FROM order_lines").to_pylist() == [{"n": 100}]


def test_arguments_override_settings_that_were_read(write_parquet, tmp_path):
    write_parquet(LINES)
    settings = Settings.from_mapping(
        {"orders": {"path": "orders.parquet"}, "shop": {"currency": "EUR", "timezone": "Europe/Paris"}}, folder=tmp_path
    )
    with connect(settings, shop={"currency": "USD"}, warehouse="elsewhere", columns={"sku": "order_id"}) as db:
        assert db.settings.shop.currency == "USD"
        assert db.settings.shop.timezone == "Europe/Paris"
        assert db.settings.warehouse == tmp_path / "elsewhere"
        assert db.settings.orders.columns == {"sku": "order_id"}
        assert db.sql("SELECT DISTINCT sku FROM order_lines").num_rows == 100


def test_no_settings_at_all_is_an_error_that_names_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match=r"no settings file at regulars\.toml"):
        connect()


def test_an_unknown_argument_is_named():
    with pytest.raises(SettingsError, match=r"connect\(\): \[shp\]: unknown section 'shp'; did you mean 'shop'"):
        connect(orders="o.parquet", shp={"currency": "EUR"})


def test_nothing_is_read_before_it_is_needed(tmp_path):
    db = connect(orders=tmp_path / "missing.parquet")
    assert db.settings.orders.path.endswith("missing.parquet")
    db.close()


def test_the_as_of_date_is_the_settings_or_the_last_day_up_to_today(open_shop):
    assert open_shop(LINES, today=TODAY).as_of == date(2020, 4, 9)
    assert open_shop(LINES, today=date(2020, 2, 1)).as_of == date(2020, 2, 1)
    assert open_shop(LINES, today=TODAY, value={"as_of": "2020-03-01"}).as_of == date(2020, 3, 1)


def test_no_readable_date_is_an_error(open_shop):
    shop = open_shop("SELECT 'c' AS customer_id, NULL::TIMESTAMP AS ordered_at, 1 AS revenue")
    with pytest.raises(ContractError, match=r"columns\.ordered_at: no line has a readable date"):
        _ = shop.as_of


def test_every_query_over_the_inputs_answers_in_its_own_shape(open_shop):
    shop = open_shop(LINES, today=TODAY)
    for name in ("customer_days", "customer_summary", "holdout_summary", "summary_counts", "rejected_order_lines"):
        rows = shop.query(name)
        made = query(name)
        if made.output in OUTPUT_TABLES:
            assert tuple(rows.column_names) == OUTPUT_TABLES[made.output].column_names
        if made.grain:
            assert rows.select(list(made.grain)).group_by(list(made.grain)).aggregate([]).num_rows == rows.num_rows


def test_parameters_replace_those_of_the_settings(open_shop):
    shop = open_shop(LINES, today=TODAY)
    days = {row["customer_id"]: row["T"] for row in shop.query("customer_summary", days_per_unit=1).to_pylist()}
    weeks = {row["customer_id"]: row["T"] for row in shop.query("customer_summary").to_pylist()}
    assert days == {customer: pytest.approx(7 * unit, rel=1e-15) for customer, unit in weeks.items()}
    earlier = shop.query("customer_summary", as_of="2020-02-01").to_pylist()
    assert max(row["last_order_on"] for row in earlier) == date(2020, 2, 1)
    assert shop.query("customer_summary", as_of=None).num_rows == 10


@pytest.mark.parametrize(
    ("name", "parameters", "said"),
    [
        ("customer_sumary", {}, "no query 'customer_sumary'; did you mean 'customer_summary'?"),
        ("customer_summary", {"asof": "2020-02-01"}, "takes no parameter 'asof'; did you mean 'as_of'?"),
        ("customer_summary", {"as_of": "soon"}, "as_of = 'soon' is no DATE"),
        ("customer_summary", {"as_of": "2021-01-02"}, "as_of = 2021-01-02 is later than 2021-01-01, the last day"),
        ("holdout_summary", {"observation_end": date(2022, 1, 1)}, "observation_end = 2022-01-01 is later than"),
        ("most_orders", {"customers": 1.5}, "customers = 1.5 is not allowed; give a whole number from 0 to"),
        ("most_orders", {"customers": float("inf")}, "customers = inf is no BIGINT"),
        ("customer_summary", {"days_per_unit": float("nan")}, "days_per_unit = nan is not allowed; give a finite"),
    ],
)
def test_a_wrong_name_or_value_is_named(open_shop, name, parameters, said):
    shop = open_shop(LINES, today=TODAY)
    with pytest.raises(SettingsError) as caught:
        shop.query(name, **parameters)
    assert said in str(caught.value)


def test_a_day_after_the_settings_as_of_is_refused_for_orders_may_lie_between(open_shop):
    shop = open_shop(LINES, today=TODAY, value={"as_of": "2020-02-01"})
    with pytest.raises(SettingsError, match=r"as_of = 2020-02-02 is later than 2020-02-01.*\[value\] as_of"):
        shop.query("customer_summary", as_of="2020-02-02")


def test_an_error_of_the_users_own_sql_carries_it(open_shop):
    shop = open_shop(LINES, today=TODAY)
    with pytest.raises(QueryError, match=r"(?s)revenu.*The statement was:\nSELECT revenu FROM order_lines"):
        shop.sql("SELECT revenu FROM order_lines")


@pytest.mark.parametrize("sql", ["SELECT revenu FROM order_lines", "SELECT FROM", "SELECT * FROM nowhere"])
def test_a_mistake_in_a_statement_reads_no_file(open_shop, monkeypatch, sql):
    shop = open_shop(LINES, today=TODAY)
    _ = shop.staged
    monkeypatch.setattr("regulars.sql.sources.name_corrupt_files", lambda *_: pytest.fail("the files were read"))
    with pytest.raises(QueryError):
        shop.sql(sql)


def test_threads_share_a_database(open_shop):
    shop = open_shop(LINES, today=TODAY)
    names = ["customer_summary", "customer_days", "money_reconciliation", "summary_counts"] * 3
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(shop.query, names))
    for name, answer in zip(names, answers, strict=True):
        again = shop.query(name)
        assert sorted(map(repr, answer.to_pylist())) == sorted(map(repr, again.to_pylist()))


def test_the_number_of_threads_changes_nothing(write_parquet, make_settings):
    write_parquet(
        "SELECT 'c' || (i * 7919 % 5003) AS customer_id, TIMESTAMP '2020-01-01' + to_hours(i * 31 % 8760) AS "
        "ordered_at, ((i % 1001) - 40) / 7.0 AS revenue, 's' || (i % 50) AS sku, 'o' || (i // 3) AS order_id "
        "FROM range(60000) AS t(i)"
    )
    seen = []
    for threads in (1, 4):
        with connect(make_settings(), engine=DuckDBEngine(threads=threads), today=TODAY) as db:
            names = ("customer_summary", "money_reconciliation", "rejected_order_lines")
            seen.append([sorted(map(repr, db.query(name).to_pylist())) for name in names])
    assert seen[0] == seen[1]


class TestExamples:
    """Each needs its regulars.toml only."""

    def totals(self, db):
        (row,) = db.sql(
            "SELECT count(*) AS lines, sum(revenue) AS revenue, count(DISTINCT customer_id) AS customers, "
            "count(revenue_text) + count(ordered_at_text) AS unread FROM order_lines"
        ).to_pylist()
        return row

    def test_cdnow(self, example_settings):
        # Fader and Hardie (2001), the 1-in-10 sample: 2,357 customers; lifetimes' file holds 6,919 transactions
        with connect(example_settings("cdnow")) as db:
            assert self.totals(db) == {"lines": 6919, "revenue": Decimal("244091.94"), "customers": 2357, "unread": 0}
            assert db.as_of == date(1998, 6, 30)
            holdout = db.query("holdout_summary").to_pylist()
            assert len(holdout) == 2357
            # Fader, Hardie and Lee (2005), "Counting Your Customers the Easy Way", section 4: the sample's customers
            # bought 2,457 times again in 39 weeks and 1,882 times in the 39 weeks after
            assert sum(row["frequency"] for row in holdout) == 2457
            assert sum(row["frequency_holdout"] for row in holdout) == 1882

    def test_complete_journey(self, example_settings):
        with connect(example_settings("complete_journey")) as db:
            totals = {"lines": 1469307, "revenue": Decimal("4596039.58"), "customers": 2469, "unread": 0}
            assert self.totals(db) == totals
            assert db.as_of == date(2017, 12, 31)
            products = db.sql("SELECT * FROM products LIMIT 1")
            known = {"sku", "department", "brand", "package_size", "category_1", "category_2"}
            assert known <= set(products.column_names)
            assert db.sql("SELECT count(*) AS n FROM products").to_pylist() == [{"n": 92331}]

    def test_the_clock_of_complete_journey_is_utc(self, example_settings):
        # the file numbers its weeks itself: on the shop's clock each begins on a Monday and none is cut by a night
        with connect(example_settings("complete_journey"), columns={
            "customer_id": "household_id",
            "ordered_at": "transaction_timestamp AT TIME ZONE 'UTC'",
            "revenue": "sales_value",
            "order_id": "week",
        }) as db:  # fmt: skip
            weeks = db.sql(
                "SELECT order_id AS week, min(CAST(ordered_at AS DATE)) AS first_day, max(ordered_at) AS last_order "
                "FROM order_lines GROUP BY order_id"
            ).to_pylist()
        by_week = {int(row["week"]): row for row in weeks}
        assert len(by_week) == 53
        for number, row in by_week.items():
            monday = date.fromordinal(date(2016, 12, 26).toordinal() + 7 * (number - 1))
            # all shops were closed on Christmas Day, the Monday of the last week
            assert row["first_day"] == max(monday, date(2017, 1, 1)) or row["first_day"] == date(2017, 12, 26)
            sunday = date.fromordinal(monday.toordinal() + 6)
            assert row["last_order"] <= datetime.combine(sunday, datetime.max.time())

    def test_online_retail(self, example_settings):
        with connect(example_settings("online_retail")) as db:
            assert self.totals(db) == {
                "lines": 541909,
                "revenue": Decimal("9747747.93"),
                "customers": 4372,
                "unread": 0,
            }
            assert db.as_of == date(2011, 12, 9)
            rows = db.query("money_reconciliation").to_pylist()
            (whole,) = [row for row in rows if row["disposition"] == "in"]
            parts = [row for row in rows if row["disposition"] != "in"]
            assert (whole["lines"], whole["revenue"]) == (541909, Decimal("9747747.93"))
            assert sum(row["lines"] for row in parts) == 541909
            assert sum(row["revenue"] for row in parts) == Decimal("9747747.93")
            holdout = db.query("holdout_summary").to_pylist()
            assert (len(holdout), sum(row["frequency"] for row in holdout)) == (2960, 5016)
