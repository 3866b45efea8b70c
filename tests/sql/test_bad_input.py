"""Bad input ends in an error that says what to do, or in a stated answer; the money always adds up.

A full disk and a read-only warehouse are in test_snapshot.py.
"""

from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

import regulars
from regulars.sql.database import Database, connect
from regulars.sql.errors import ContractError, RegularsError, SettingsError, SourceError

ROOT = Path(regulars.__file__).parent
LINE = "SELECT {customer} AS customer_id, {at} AS ordered_at, {money} AS revenue, {order} AS order_id"
TODAY = date(2020, 12, 31)


def line(customer="'ann'", at="TIMESTAMP '2020-01-31 10:00:00'", money="10.00", order="'o1'") -> str:
    return LINE.format(customer=customer, at=at, money=money, order=order)


def lines(*parts: str) -> str:
    return " UNION ALL ".join(parts)


def said_by(failing) -> str:
    with pytest.raises(RegularsError) as caught:
        failing()
    text = str(caught.value)
    assert "Traceback" not in text
    return text


def reconciled(shop: Database) -> dict[str, tuple[int, Decimal]]:
    """Lines and money by what became of them, after checking that they add up to what the file holds."""
    rows = shop.query("money_reconciliation").to_pylist()
    by = {(row["disposition"], row["reason"]): (row["lines"], row["revenue"]) for row in rows}
    count, money = by.pop(("in", ""))
    (held,) = shop.sql("SELECT count(*) AS lines, sum(revenue) AS revenue FROM order_lines").to_pylist()
    assert (count, money or 0) == (held["lines"], held["revenue"] or 0)
    assert count == sum(lines for lines, _ in by.values())
    assert (money or 0) == sum((revenue or 0) for _, revenue in by.values())
    rejected = shop.query("rejected_order_lines").to_pylist()
    for reason in {row["reason"] for row in rejected}:
        here = [row for row in rejected if row["reason"] == reason]
        assert sum((row["revenue"] or 0) for row in here) == (by["set_aside", reason][1] or 0)
    return {reason or "used": value for (_, reason), value in by.items()}


def summary(shop: Database) -> list[dict]:
    names = ["customer_id", "frequency", "recency_days", "T_days", "monetary_value", "orders", "revenue"]
    rows = shop.query("customer_summary").to_pylist()
    return sorted(({name: row[name] for name in names} for row in rows), key=lambda row: row["customer_id"])


class TestFiles:
    """What is wrong with files."""

    def test_a_missing_file_is_named_with_the_nearest(self, open_shop, write_parquet, tmp_path):
        write_parquet(line(), "orders.parquet")
        text = said_by(lambda: open_shop(orders={"path": "order.parquet"}).staged)
        assert text == (
            f"regulars.toml: [orders] path = 'order.parquet': there is no file or folder {tmp_path / 'order.parquet'}; "
            f"did you mean 'orders.parquet'?; correct the path (a relative one starts at {tmp_path})"
        )

    def test_a_glob_without_a_match(self, open_shop, tmp_path):
        text = said_by(lambda: open_shop(orders={"path": "orders/*.parquet"}).staged)
        assert f"[orders] path = 'orders/*.parquet': no file in {tmp_path / 'orders'} matches *.parquet" in text
        assert "correct the path" in text

    def test_an_empty_folder(self, open_shop, tmp_path):
        (tmp_path / "orders").mkdir()
        text = said_by(lambda: open_shop(orders={"path": "orders"}).staged)
        assert f"[orders] path = 'orders': the folder {tmp_path / 'orders'} holds no file that ends in .parquet" in text
        assert "put the files there, or name another folder" in text

    def test_a_file_without_lines(self, open_shop, tmp_path):
        shop = open_shop(f"SELECT * FROM ({line()}) WHERE 1 = 0")
        assert said_by(lambda: shop.staged) == (
            f"regulars.toml: [orders] path: {tmp_path / 'orders.parquet'} holds no line; name files that hold orders"
        )

    def test_a_csv_without_lines(self, open_shop, tmp_path):
        (tmp_path / "orders.csv").write_text("customer_id,ordered_at,revenue\n")
        text = said_by(lambda: open_shop(orders={"path": "orders.csv"}).staged)
        assert "regulars.toml: [orders]" in text

    @pytest.mark.parametrize("ending", ["csv", "parquet"])
    def test_a_file_without_bytes(self, open_shop, tmp_path, ending):
        bad = tmp_path / f"orders.{ending}"
        bad.write_bytes(b"")
        assert said_by(lambda: open_shop(orders={"path": bad.name}).staged) == (
            f"regulars.toml: [orders] path: {bad} is empty (0 bytes); write it anew or take it out of the folder"
        )

    def test_files_without_bytes_among_good_ones(self, open_shop, write_parquet, tmp_path):
        write_parquet(line(), "orders/good.parquet")
        bad = [tmp_path / "orders" / f"{name}.parquet" for name in "ab"]
        for file in bad:
            file.write_bytes(b"")
        assert said_by(lambda: open_shop(orders={"path": "orders"}).staged) == (
            f"regulars.toml: [orders] path: {bad[0]}, {bad[1]} are empty (0 bytes); the other 1 file can be read; "
            "write them anew or take them out of the folder"
        )

    def test_a_folder_of_both_formats(self, open_shop, write_parquet, tmp_path):
        write_parquet(line(), "orders/a.parquet")
        (tmp_path / "orders" / "b.csv").write_text("customer_id,ordered_at,revenue\n")
        text = said_by(lambda: open_shop(orders={"path": "orders"}).staged)
        assert "the format cannot be told from the files' endings (.csv, .parquet)" in text
        assert 'allowed: format = "parquet" or format = "csv"' in text

    @pytest.mark.parametrize(
        ("damage", "why"),
        [
            (lambda content: content[: len(content) // 2], "No magic bytes found at end of file"),
            (lambda content: content[:3], "too small to be a Parquet file"),
            (lambda content: b"not Parquet at all, only text that is long enough to look at", "No magic bytes"),
            (lambda content: content[:-12] + b"\xff\xff\xff\x7f" + content[-8:], ""),
        ],
    )
    @pytest.mark.parametrize("others", [0, 3])
    def test_a_corrupt_parquet_file_is_named_among_good_ones(self, open_shop, write_parquet, damage, why, others):
        for i in range(others):
            write_parquet(line(), f"orders/good{i}.parquet")
        bad = write_parquet(lines(*[line(order=f"'{i}'") for i in range(50)]), "orders/bad.parquet")
        bad.write_bytes(damage(bad.read_bytes()))
        with pytest.raises(SourceError) as caught:
            _ = open_shop(orders={"path": "orders"}).staged
        text = str(caught.value)
        assert f"regulars.toml: [orders] path: cannot be read as Parquet: {bad} (" in text
        assert why in text
        assert "good0.parquet" not in text
        assert ("the other 3 files can be read" in text) == (others == 3)
        assert "write the file anew or take it out of the folder" in text

    def test_a_damaged_page_is_traced_to_its_file(self, open_shop, write_parquet):
        rows = "SELECT md5(i::VARCHAR) AS customer_id, TIMESTAMP '2020-01-31' AS ordered_at, 1.5 AS revenue "
        write_parquet(f"{rows} FROM range(5000) AS t(i)", "orders/good.parquet")
        bad = write_parquet(f"{rows} FROM range(5000, 10000) AS t(i)", "orders/bad.parquet")
        content = bytearray(bad.read_bytes())
        content[4:400] = b"\xff" * 396
        bad.write_bytes(content)
        shop = open_shop(orders={"path": "orders"})
        with pytest.raises(SourceError, match="cannot be read as Parquet") as caught:
            shop.query("customer_summary")
        assert str(bad) in str(caught.value)
        assert "good.parquet" not in str(caught.value)
        assert "the other 1 file can be read" in str(caught.value)

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (b"customer_id,ordered_at,revenue\n" + b"a,2020-01-31,1\n" * 30000 + b"a,2020-01-31,1,2,3\n", "30002"),
            (b"customer_id,ordered_at,revenue\nJos\xe9,2020-01-31,1\n", "not utf-8"),
        ],
    )
    def test_a_csv_line_that_cannot_be_read_is_named(self, open_shop, tmp_path, content, why):
        (tmp_path / "orders.csv").write_bytes(content)
        shop = open_shop(orders={"path": "orders.csv"})
        text = said_by(lambda: shop.query("customer_summary"))
        assert f"cannot be read as CSV: {tmp_path / 'orders.csv'} (" in text
        assert why in text
        assert "mend the line or set csv = {" in text
        assert "ignore_errors" not in text

    def test_another_encoding_can_be_said(self, open_shop, tmp_path):
        (tmp_path / "orders.csv").write_bytes(b"customer_id,ordered_at,revenue\nJos\xe9,2020-01-31,1\n")
        shop = open_shop(orders={"path": "orders.csv", "csv": {"encoding": "latin-1"}})
        assert shop.sql("SELECT customer_id FROM order_lines").to_pylist() == [{"customer_id": "José"}]

    def test_an_unknown_key_is_named_with_the_nearest(self, tmp_path):
        (tmp_path / "regulars.toml").write_text('[orders]\npath = "orders.parquet"\n[policy]\nguest = "set_aside"\n')
        with pytest.raises(SettingsError) as caught:
            connect(tmp_path / "regulars.toml")
        assert str(caught.value) == (
            "regulars.toml: [policy] guest: unknown key 'guest'; did you mean 'guests'?; allowed: duplicates, guests, "
            "refunds, return_window_days, zero_revenue; correct or remove it"
        )


class TestColumns:
    """What is wrong with columns."""

    def test_a_missing_column_is_named_with_the_nearest(self, open_shop):
        shop = open_shop(line(), orders={"path": "orders.parquet", "columns": {"sku": "orderid"}})
        assert said_by(lambda: shop.staged) == (
            "regulars.toml: [orders] columns.sku = 'orderid': the file has no column 'orderid'; did you mean "
            "'order_id'?; its columns: customer_id, ordered_at, revenue, order_id; correct the name"
        )

    def test_a_column_that_one_of_the_files_lacks_is_named_with_the_file(self, open_shop, write_parquet):
        write_parquet(line(), "orders/1.parquet")
        write_parquet(f"SELECT * EXCLUDE (revenue) FROM ({line()})", "orders/2.parquet")
        text = said_by(lambda: open_shop(orders={"path": "orders"}).staged)
        assert "[orders]: the file 2.parquet has no column 'revenue', which 1.parquet has" in text
        assert "add the column there, or leave the file out" in text

    def test_a_wrong_type_is_named_with_what_to_write(self, open_shop):
        shop = open_shop(line(at="19970101"))
        assert said_by(lambda: shop.staged) == (
            "regulars.toml: [orders] columns.ordered_at: ordered_at is INTEGER, which cannot be read as TIMESTAMP; "
            "allowed: DATE, TIMESTAMP, TIMESTAMP WITH TIME ZONE, TIMESTAMP_NS, VARCHAR; for numbers like 19970101 "
            "write ordered_at = \"strptime(CAST(ordered_at AS VARCHAR), '%Y%m%d')\", for seconds since 1970 write "
            'ordered_at = "to_timestamp(ordered_at)"'
        )

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("31/12/2019", "2019-12-31"),
            ("12/31/2019", "2019-12-31"),
            ("31.12.2019 23:59", "2019-12-31 23:59"),
            ("20191231", "2019-12-31"),
            ("31-Dec-2019", "2019-12-31"),
            ("Dec 31, 2019", "2019-12-31"),
            ("2019/12/31 11:59 PM", "2019-12-31 23:59"),
        ],
    )
    def test_dates_in_another_form_are_an_error_with_the_expression_that_reads_them(self, open_shop, text, expected):
        said = said_by(lambda: open_shop(line(at=f"'{text}'")).staged)
        assert (
            f"columns.ordered_at: none of the 1 values of ordered_at can be read as TIMESTAMP, such as '{text}'" in said
        )
        assert "allowed: ISO 8601 dates" in said
        expression = said.split('write ordered_at = """')[1].removesuffix('"""')
        shop = open_shop(orders={"path": "orders.parquet", "columns": {"ordered_at": expression}})
        assert shop.sql("SELECT ordered_at FROM order_lines").to_pylist() == [
            {"ordered_at": datetime.fromisoformat(expected)}
        ]

    @pytest.mark.parametrize(
        ("text", "expected"), [("1.234,50", "1234.5"), ("12,5", "12.5"), ("1,234.50", "1234.5"), ("£-3.00", "-3")]
    )
    def test_money_in_another_form_is_an_error_with_the_expression_that_reads_it(self, open_shop, text, expected):
        said = said_by(lambda: open_shop(line(money=f"'{text}'")).staged)
        assert (
            f"columns.revenue: none of the 1 values of revenue can be read as DECIMAL(18,2), such as '{text}'" in said
        )
        expression = said.split('write revenue = """')[1].removesuffix('"""')
        shop = open_shop(orders={"path": "orders.parquet", "columns": {"revenue": expression}})
        assert shop.sql("SELECT revenue FROM order_lines").to_pylist() == [{"revenue": Decimal(expected)}]

    def test_some_dates_that_cannot_be_read_are_set_aside_with_their_text(self, open_shop):
        shop = open_shop(
            lines(line(at="'2020-01-31'"), line(at="'soon'", money="2.50"), line(at="NULL", money="1.25")), today=TODAY
        )
        assert reconciled(shop) == {"used": (1, Decimal(10)), "unreadable_date": (2, Decimal("3.75"))}
        rejected = shop.query("rejected_order_lines").to_pylist()
        assert {row["ordered_at_text"]: row["revenue"] for row in rejected} == {
            "soon": Decimal("2.50"),
            None: Decimal("1.25"),
        }

    def test_two_clocks_in_one_column_are_an_error_with_both_ways_out(self, open_shop):
        sections = {"shop": {"timezone": "Europe/Berlin"}, "today": TODAY}
        shop = open_shop(
            lines(line(at="'2020-07-31T23:30:00+00:00'"), line(at="'2020-07-31 23:30:00'"), line(at="'2020-07-31'")),
            **sections,
        )
        said = said_by(lambda: shop.staged)
        assert (
            "columns.ordered_at: ordered_at mixes two clocks: 1 values carry an offset, such as '2020-07-31T23" in said
        )
        assert "and 2 do not, such as '2020-07-31'; allowed: one kind" in said
        written = [part.split('"""')[0] for part in said.split('ordered_at = """')[1:]]
        for expression, expected in zip(
            written,
            (
                ["2020-07-31 00:00", "2020-07-31 23:30", "2020-08-01 01:30"],
                ["2020-07-31 02:00"] + 2 * ["2020-08-01 01:30"],
            ),
            strict=True,
        ):
            orders = {"path": "orders.parquet", "columns": {"ordered_at": expression}}
            rows = open_shop(orders=orders, **sections).sql("SELECT ordered_at FROM order_lines ORDER BY ALL")
            assert rows.column("ordered_at").to_pylist() == [datetime.fromisoformat(text) for text in expected]

    def test_an_expression_that_fails_on_a_line_is_named(self, open_shop):
        expression = "strptime(day, '%d/%m/%Y')"
        day = "SELECT 'a' AS customer_id, '{}' AS day, 1 AS revenue"
        shop = open_shop(
            lines(day.format("31/12/2019"), day.format("soon")),
            orders={"path": "orders.parquet", "columns": {"ordered_at": expression}},
        )
        with pytest.raises(ContractError) as caught:
            shop.query("customer_summary")
        text = str(caught.value)
        assert f'[orders] columns.ordered_at = "{expression}" fails on some line: ' in text
        assert "soon" in text
        assert "try_strptime instead of strptime" in text


class TestLines:
    """Lines that are odd but readable: each has its stated answer."""

    def test_dates_in_the_future_are_set_aside(self, open_shop):
        shop = open_shop(lines(line(), line(at="TIMESTAMP '2031-01-01 00:00:00'", money="7.00")), today=TODAY)
        assert shop.as_of == date(2020, 1, 31)
        assert reconciled(shop) == {"used": (1, Decimal(10)), "after_as_of": (1, Decimal(7))}

    def test_only_dates_in_the_future_are_an_error(self, open_shop):
        shop = open_shop(line(at="DATE '2031-01-01'"), today=TODAY)
        assert said_by(lambda: shop.as_of) == (
            "regulars.toml: [orders] columns.ordered_at: every order is later than today, 2020-12-31; the first is of "
            "2031-01-01; correct the dates, or write [value] as_of = the date to look from"
        )

    def test_today_is_that_of_the_shops_clock(self, open_shop):
        shop = open_shop(lines(line(at="DATE '2020-12-31'"), line(at="DATE '2021-01-01'")), today=TODAY)
        assert shop.as_of == TODAY

    @pytest.mark.parametrize("blank", ["NULL", "''", "'  '"])
    def test_guests_are_set_aside_or_one_customer_per_order(self, open_shop, blank):
        select = lines(line(), line(blank, money="5.00", order="'o2'"), line(blank, money="2.50", order="'o3'"))
        shop = open_shop(select, today=TODAY)
        assert reconciled(shop) == {"used": (1, Decimal(10)), "missing_customer": (2, Decimal("7.50"))}
        kept = open_shop(select, today=TODAY, policy={"guests": "one_customer_per_order"})
        assert reconciled(kept) == {"used": (3, Decimal("17.50"))}
        assert len(summary(kept)) == 3

    def test_refunds_and_zero_lines(self, open_shop):
        select = lines(
            line(money="10.00"),
            line(at="TIMESTAMP '2020-02-02 10:00:00'", money="-4.00", order="'r1'"),
            line(at="TIMESTAMP '2020-02-03 10:00:00'", money="0.00", order="'o2'"),
            line("'bob'", money="-3.00", order="'r2'"),
        )
        shop = open_shop(select, today=TODAY)
        assert reconciled(shop) == {"used": (3, Decimal("6.00")), "return_without_sale": (1, Decimal("-3.00"))}
        assert [(row["customer_id"], row["frequency"], row["revenue"]) for row in summary(shop)] == [("ann", 1, 6)]
        strict = open_shop(select, today=TODAY, policy={"zero_revenue": "set_aside", "refunds": "ignore"})
        assert reconciled(strict) == {
            "used": (1, Decimal("10.00")),
            "zero_revenue": (1, Decimal("0.00")),
            "refund_ignored": (2, Decimal("-7.00")),
        }
        assert [(row["customer_id"], row["frequency"], row["revenue"]) for row in summary(strict)] == [("ann", 0, 10)]

    def test_duplicated_lines_are_kept_or_set_aside(self, open_shop):
        select = lines(*[line()] * 3, line(order="'o2'"))
        assert reconciled(open_shop(select, today=TODAY)) == {"used": (4, Decimal(40))}
        strict = open_shop(select, today=TODAY, policy={"duplicates": "set_aside"})
        assert reconciled(strict) == {"used": (2, Decimal(20)), "duplicate_line": (2, Decimal(20))}

    def test_one_customer_with_one_order(self, open_shop):
        shop = open_shop(line(), today=TODAY)
        assert reconciled(shop) == {"used": (1, Decimal(10))}
        assert summary(shop) == [
            {
                "customer_id": "ann",
                "frequency": 0,
                "recency_days": 0,
                "T_days": 0,
                "monetary_value": 0.0,
                "orders": 1,
                "revenue": Decimal(10),
            }
        ]

    def test_one_order_each(self, open_shop):
        shop = open_shop(
            "SELECT 'c' || i AS customer_id, DATE '2020-01-01' + i::INTEGER AS ordered_at, 1.10 AS revenue "
            "FROM range(100) AS t(i)",
            today=TODAY,
        )
        assert reconciled(shop) == {"used": (100, Decimal(110))}
        rows = summary(shop)
        assert len(rows) == 100
        assert {(row["frequency"], row["recency_days"], row["monetary_value"]) for row in rows} == {(0, 0, 0.0)}
        assert sorted(row["T_days"] for row in rows) == list(range(100))

    def test_all_orders_on_one_day_are_one_purchase_each(self, open_shop):
        shop = open_shop(
            "SELECT 'c' || (i % 7) AS customer_id, TIMESTAMP '2020-01-31' + to_minutes(i) AS ordered_at, "
            "1.10 AS revenue, 'o' || i AS order_id FROM range(700) AS t(i)",
            today=TODAY,
        )
        assert reconciled(shop) == {"used": (700, Decimal(770))}
        rows = summary(shop)
        assert len(rows) == 7
        assert {(row["frequency"], row["T_days"], row["orders"], row["revenue"]) for row in rows} == {
            (0, 0, 100, Decimal(110))
        }

    def test_a_customer_with_ten_thousand_orders(self, open_shop):
        shop = open_shop(
            "SELECT 'ann' AS customer_id, TIMESTAMP '2000-01-01' + to_hours(i * 12) AS ordered_at, 1.10 AS revenue, "
            "'o' || i AS order_id FROM range(10000) AS t(i)",
            today=TODAY,
        )
        assert reconciled(shop) == {"used": (10000, Decimal(11000))}
        assert summary(shop) == [
            {
                "customer_id": "ann",
                "frequency": 4999,
                "recency_days": 4999,
                "T_days": 4999,
                "monetary_value": pytest.approx(2.2, abs=1e-12),  # two orders of 1.10 a day; a DOUBLE of exact money
                "orders": 10000,
                "revenue": Decimal(11000),
            }
        ]

    @pytest.mark.parametrize(
        ("beyond", "text"),
        [
            ("1e16::DOUBLE", "1e16"),
            ("'nan'::DOUBLE", "nan"),
            ("'-inf'::DOUBLE", "-inf"),
            ("10000000000000000.00::DECIMAL(38,2)", "10000000000000000.00"),
            ("'10000000000000000'", "10000000000000000"),
        ],
    )
    def test_amounts_beyond_what_money_can_hold_are_set_aside_with_their_text(self, open_shop, beyond, text):
        others = "'10.00'" if beyond.startswith("'1") else "10.00::DOUBLE" if "DOUBLE" in beyond else "10.00"
        shop = open_shop(lines(line(money=others), line(money=beyond)), today=TODAY)
        assert reconciled(shop) == {"used": (1, Decimal(10)), "unreadable_revenue": (1, Decimal(0))}
        (row,) = shop.query("rejected_order_lines").to_pylist()
        assert (row["revenue"], row["revenue_text"]) == (None, text)

    def test_the_largest_amounts_that_money_can_hold_are_kept(self, open_shop):
        largest = Decimal("9999999999999999.99")
        shop = open_shop(
            lines(line(money=f"{largest}::DECIMAL(18,2)"), line(money=f"-{largest}::DECIMAL(18,2)")), today=TODAY
        )
        assert reconciled(shop) == {"used": (2, Decimal(0))}


def test_every_kind_of_bad_input_has_its_place_in_the_documentation():
    page = (ROOT / "docs" / "bad-input.md").read_text(encoding="utf-8")
    for word in ("missing file", "empty folder", "corrupt", "two clocks", "future", "blank", "duplicate", "read-only"):
        assert word in page.lower()
