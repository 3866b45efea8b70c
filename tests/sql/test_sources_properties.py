"""Typed staging against Python's own Decimal, datetime and zoneinfo, on whatever hypothesis thinks of."""

import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from regulars.sql.engine import DuckDBEngine
from regulars.sql.settings import Settings
from regulars.sql.sources import staging_sql

CENT = Decimal("0.01")
ZONES = ["UTC", "Europe/London", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/Sao_Paulo"]
ENGINE = DuckDBEngine(threads=1)


def staged(column: str, values: pa.Array, timezone: str = "UTC") -> list[dict]:
    """The staged rows of one column of a file, beside constants, in the order of the file."""
    rows = {
        "customer_id": pa.array(["c"] * len(values)),
        "ordered_at": pa.array([datetime.fromisoformat("2020-01-31")] * len(values)),
        "revenue": pa.array([1] * len(values)),
        "row_number": pa.array(range(len(values))),
    } | {column: values}
    ENGINE.register("raw_order_lines", pa.table(rows))
    shop = Settings.from_mapping(
        {"orders": {"path": "o.parquet", "columns": {"quantity": "row_number"}}, "shop": {"timezone": timezone}}
    )
    sql = staging_sql("order_lines", ENGINE.columns("raw_order_lines"), shop)
    return ENGINE.query(f"SELECT * FROM ({sql}) AS s ORDER BY quantity").to_pylist()


def to_the_cent(exact: Decimal) -> Decimal | None:
    """Half away from zero; None beyond DECIMAL(18,2)."""
    if abs(exact) >= Decimal(10) ** 17:
        return None
    rounded = exact.quantize(CENT, ROUND_HALF_UP)
    return rounded if abs(rounded) < Decimal(10) ** 16 else None


def money_of(value: float) -> Decimal | None:
    # the product is rounded to a double before it is rounded to a cent: 1.115, a hair below, is 1.12 and not 1.11
    hundredfold = value * 100
    return to_the_cent(Decimal(hundredfold).quantize(1, ROUND_HALF_UP) / 100) if abs(hundredfold) < 1e20 else None


@given(st.lists(st.floats(), min_size=1, max_size=60))
@example([0.125, -0.125, 1.115, -1.115, 0.49999999999999994 / 100, 0.285, 1.005, 9999999999999998.0, 1e16])
@settings(max_examples=60, deadline=None)
def test_money_from_doubles(values):
    for value, row in zip(values, staged("revenue", pa.array(values, pa.float64())), strict=True):
        assert row["revenue"] == money_of(value)
        assert (row["revenue"] is None) == (row["revenue_text"] is not None)


@given(st.lists(st.integers(-(2**50), 2**50), min_size=1, max_size=60))
@settings(max_examples=25, deadline=None)
def test_an_amount_that_was_written_in_cents_is_read_in_cents(cents):
    values = pa.array([number / 100 for number in cents], pa.float64())
    assert [row["revenue"] for row in staged("revenue", values)] == [Decimal(number).scaleb(-2) for number in cents]


@given(
    st.lists(
        st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**20), max_value=10**20), min_size=1
    )
)
@settings(max_examples=25, deadline=None)
def test_money_from_decimals_is_exact(values):
    rows = staged("revenue", pa.array(values, pa.decimal128(38, 4)))
    assert [row["revenue"] for row in rows] == [to_the_cent(value) for value in values]


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1))
@settings(max_examples=25, deadline=None)
def test_money_from_whole_numbers_is_exact(values):
    rows = staged("revenue", pa.array(values, pa.int64()))
    assert [row["revenue"] for row in rows] == [to_the_cent(Decimal(value)) for value in values]


NUMBERS = st.from_regex(r"[+-]?([0-9]{1,18}([.][0-9]{0,6})?|[.][0-9]{1,6})([eE][+-]?[0-9]{1,2})?", fullmatch=True)
PADDED = st.builds(lambda a, text, b: " " * a + text + " " * b, st.integers(0, 2), NUMBERS, st.integers(0, 2))


def money_in(text: str) -> Decimal | None:
    plain = text.strip(" ")
    if re.fullmatch(r"[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)", plain, re.ASCII):
        return to_the_cent(Decimal(plain))
    if re.fullmatch(r"[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)[eE][+-]?[0-9]{1,3}", plain, re.ASCII):
        return money_of(float(plain))
    return None


@given(st.lists(PADDED | st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=1, max_size=40))
@example(["1e-5", "12.345", "-0.005", "1e15", "1e16", "1e400", "9999999999999999.994", "9999999999999999.995", "1,5"])
@example(["10000000000000000E-1", "0" * 60 + "1.5", "0." + "0" * 60 + "1", "9" * 60, "٣", "1_0", "1e", "1e1000"])
@settings(max_examples=80, deadline=None)
def test_money_from_text(texts):
    for text, row in zip(texts, staged("revenue", pa.array(texts, pa.string())), strict=True):
        assert row["revenue"] == money_in(text), text
        assert row["revenue_text"] == (text if row["revenue"] is None else None)


@given(st.lists(st.integers(-(2**53), 2**53) | st.none(), min_size=1))
@settings(max_examples=25, deadline=None)
def test_an_id_is_the_same_from_whole_numbers_floats_decimals_and_text(ids):
    texts = [None if number is None else str(number) for number in ids]
    for type_ in (pa.int64(), pa.float64(), pa.decimal128(38, 2), pa.decimal128(19, 0), pa.string()):
        values = pa.array(texts if type_ == pa.string() else ids, pa.int64() if type_ != pa.string() else type_)
        assert [row["customer_id"] for row in staged("customer_id", values.cast(type_))] == texts


MOMENTS = st.datetimes(datetime.fromisoformat("1971-01-01"), datetime.fromisoformat("2037-01-01"))


@given(st.lists(MOMENTS, min_size=1), st.sampled_from(ZONES))
@settings(max_examples=25, deadline=None)
def test_an_instant_becomes_local_time_as_zoneinfo_has_it(moments, zone):
    values = pa.array(moments, pa.timestamp("us", tz="UTC"))
    local = [moment.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None) for moment in moments]
    assert [row["ordered_at"] for row in staged("ordered_at", values, zone)] == local


OFFSETS = st.integers(-14 * 4, 14 * 4).map(lambda quarters: timezone(timedelta(minutes=15 * quarters)))


@given(st.lists(st.tuples(MOMENTS, OFFSETS), min_size=1), st.sampled_from(ZONES), st.sampled_from("T "))
@settings(max_examples=25, deadline=None)
def test_text_with_an_offset_becomes_local_time(moments, zone, separator):
    instants = [moment.replace(tzinfo=offset) for moment, offset in moments]
    texts = pa.array([instant.isoformat(sep=separator) for instant in instants])
    local = [instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None) for instant in instants]
    assert [row["ordered_at"] for row in staged("ordered_at", texts, zone)] == local


@given(st.lists(MOMENTS, min_size=1), st.sampled_from(ZONES), st.sampled_from(["T", " "]))
@settings(max_examples=25, deadline=None)
def test_text_without_an_offset_is_the_shops_clock_already(moments, zone, separator):
    texts = pa.array([moment.isoformat(sep=separator) for moment in moments])
    assert [row["ordered_at"] for row in staged("ordered_at", texts, zone)] == moments


@given(st.lists(st.text(st.sampled_from("0123456789-: TZ+.")), min_size=1, max_size=40))
@settings(max_examples=40, deadline=None)
def test_any_text_is_a_moment_or_kept(texts):
    for text, row in zip(texts, staged("ordered_at", pa.array(texts)), strict=True):
        assert (row["ordered_at"] is None) == (row["ordered_at_text"] is not None)
        assert row["ordered_at_text"] in (None, text)


@pytest.fixture(scope="module", autouse=True)
def _close():
    yield
    ENGINE.close()
