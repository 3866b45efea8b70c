"""Exports: exactly the filtered rows, safe in a spreadsheet, streamed."""

import csv
import io
import re
import tempfile
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regulars.app.export import csv_stream, parquet_stream, safe_csv_stream, spreadsheet_safe
from regulars.app.listings import CUSTOMERS

FILTERS = ["", "segment=best,at_risk&value=2..", "q=nobody-has-this", "sort=-frequency,customer_id"]


def exported(client, kind: str, query: str) -> bytes:
    answer = client.get(f"/export/customers.{kind}?{query}")
    assert answer.status_code == 200
    return answer.data


@pytest.mark.parametrize("query", FILTERS)
def test_csv_holds_exactly_the_filtered_rows_in_their_sort(client, snapshot, query, tmp_path):
    path = tmp_path / "customers.csv"
    path.write_bytes(exported(client, "csv", query))
    expected = snapshot.stream(CUSTOMERS.parse(query)).read_all()
    for found in (pd.read_csv(path, dtype={"customer_id": str}), _read_in_duckdb(path)):
        assert list(found.columns) == list(CUSTOMERS.column_of)
        ids = [text.removeprefix("'") for text in found["customer_id"]]
        assert ids == expected["customer_id"].to_pylist()
        # a double goes through its shortest text and comes back the same
        assert found["customer_value"].to_list() == expected["customer_value"].to_pylist()


def _read_in_duckdb(path) -> pd.DataFrame:
    with duckdb.connect() as connection:
        types = "{'customer_id': 'VARCHAR', 'customer_value': 'DOUBLE'}"
        return connection.sql(f"SELECT * FROM read_csv('{path}', header = true, types = {types})").df()


@pytest.mark.parametrize("query", FILTERS)
def test_parquet_holds_exactly_the_filtered_rows_with_their_types(client, snapshot, query):
    answer = client.get(f"/export/customers.parquet?{query}")
    found = pq.read_table(io.BytesIO(answer.data))
    expected = snapshot.stream(CUSTOMERS.parse(query)).read_all()
    assert found.equals(expected.replace_schema_metadata(found.schema.metadata))
    assert found.schema.metadata[b"regulars.run_id"] == snapshot.run_id.encode()
    assert found.schema.metadata[b"regulars.as_of"] == b"2017-12-31"


def test_the_file_is_named_by_date_and_run(client):
    answer = client.get("/export/customers.csv")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="customers_2017-12-31_5eed0000.csv"'
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_filter_that_does_not_exist_exports_nothing(client):
    assert client.get("/export/customers.csv?valeu=1..").status_code == 400
    assert client.get("/export/customers.xlsx").status_code == 404
    assert client.get("/export/customers.csv?run=nope").status_code == 404


# OWASP, "CSV Injection": a cell that starts with one of these may be run as a formula
@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_no_cell_starts_like_a_formula(start):
    rows = pa.table({"customer_id": [start + "cmd|' /C calc'!A0", "C1", None], "value": [-1.0, 2.0, None]})
    text = b"".join(csv_stream(rows.to_reader())).decode("utf-8-sig")
    cells = list(csv.reader(io.StringIO(text, newline="")))
    assert cells[1][0] == "'" + start + "cmd|' /C calc'!A0"
    assert cells[1][1] == "-1"
    assert cells[2] == ["C1", "2"]
    assert cells[3] == ["", ""]


@given(st.lists(st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])), max_size=30))
@settings(max_examples=60, deadline=None)
def test_any_text_comes_back_from_csv_but_for_the_apostrophe(texts):
    rows = pa.table({"customer_id": pa.array(texts, pa.string()), "n": pa.array(range(len(texts)), pa.int64())})
    text = b"".join(csv_stream(rows.to_reader())).decode("utf-8-sig")
    cells = list(csv.reader(io.StringIO(text, newline="")))[1:]
    assert [int(cell[1]) for cell in cells] == list(range(len(texts)))
    for cell, before in zip(cells, texts, strict=True):
        assert cell[0] in {before, "'" + before}
        assert not cell[0].startswith(("=", "+", "-", "@", "\t", "\r", "\n"))


def test_ids_that_look_like_markup_or_formulas_stay_text(synthetic, client):
    found = pd.read_csv(io.BytesIO(exported(client, "csv", "")), dtype={"customer_id": str})["customer_id"]
    for awkward in synthetic.AWKWARD_IDS:
        assert (found == ("'" + awkward if awkward.startswith("=") else awkward)).sum() == 1


def test_rows_are_read_only_as_the_file_is_taken():
    schema = pa.schema([("n", pa.int64())])
    read = 0

    def batches():
        nonlocal read
        for i in range(100):
            read += 1
            yield pa.record_batch([pa.array(range(i * 20_000, (i + 1) * 20_000))], schema=schema)

    for stream in (csv_stream, parquet_stream):
        read = 0
        chunks = stream(pa.RecordBatchReader.from_batches(schema, batches()))
        next(chunks)
        next(chunks)
        # at most one row group of 122,880 rows, or seven batches, for each chunk that was taken
        assert read <= 14
        rest = list(chunks)
        assert read == 100
        # 2,000,000 numbers of 8 bytes; no chunk holds more than a row group's
        assert max(map(len, rest)) < 2_000_000


@given(st.lists(st.tuples(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), st.floats())))
def test_a_csv_that_is_there_leaves_without_formulas(rows):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "list.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("customer_id", "value"), *rows])
        text = b"".join(safe_csv_stream(path)).decode("utf-8-sig")
    head, *found = csv.reader(io.StringIO(text, newline=""))
    assert head == ["customer_id", "value"]
    assert len(found) == len(rows)
    for (name, value), (as_read, number) in zip(rows, found, strict=True):
        try:
            is_number = bool(float(name)) or True
        except ValueError:
            is_number = False
        runs = re.match(r"[=+@\t\r\n＝＋－＠-]", name) is not None and not is_number
        assert as_read == (f"'{name}" if runs else name)
        assert number == str(value)


def test_spreadsheet_safe_leaves_numbers_and_dates_alone():
    batch = pa.record_batch({"n": [-1, None], "text": pa.array(["-1", None], pa.string())})
    assert spreadsheet_safe(batch).to_pydict() == {"n": [-1, None], "text": ["'-1", None]}


def test_parts_follow_each_other_in_the_sort_whatever_their_size(snapshot, monkeypatch):
    filters = CUSTOMERS.parse("segment=lapsed,one_time&sort=-churn_no_order,frequency")
    whole = snapshot.stream(filters).read_all()
    monkeypatch.setattr("regulars.app.snapshot_data._EXPORT_PART", 37)
    monkeypatch.setattr("regulars.app.snapshot_data._EXPORT_BATCH", 10)
    parts = snapshot.stream(filters).read_all()
    assert parts.equals(whole)
    assert len(parts) == snapshot.count(filters) > 100
    page, _ = snapshot.page(filters, 0, 100)
    assert parts.slice(0, 100)["customer_id"].to_pylist() == [row["customer_id"] for row in page]


def test_nobody_gives_a_file_with_its_columns(snapshot):
    nobody = snapshot.stream(CUSTOMERS.parse("q=nobody-is-called-this")).read_all()
    assert nobody.num_rows == 0
    assert nobody.column_names == [column.name for column in snapshot.columns(CUSTOMERS)]
