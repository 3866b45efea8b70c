"""Fingerprints: equal for equal things, different for different ones, wherever the folder lies."""

import hashlib
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regulars.sql import lineage
from regulars.sql.catalog import parse_query
from regulars.sql.errors import SourceError

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def make(**changes):
    said = {
        "inputs": [lineage.InputLineage("order_lines", (lineage.FileFingerprint("a.parquet", 3, "00"),))],
        "settings": {"value": {"horizon": 52}},
        "as_of": date(2017, 12, 31),
        "code": "c0de",
        "installed": {"duckdb": "2.0.0"},
    }
    return lineage.run_id(**(said | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"inputs": [lineage.InputLineage("order_lines", (lineage.FileFingerprint("a.parquet", 3, "01"),))]},
        {"inputs": [lineage.InputLineage("order_lines", (lineage.FileFingerprint("b.parquet", 3, "00"),))]},
        {"inputs": [lineage.InputLineage("products", (lineage.FileFingerprint("a.parquet", 3, "00"),))]},
        {"inputs": []},
        {"settings": {"value": {"horizon": 26}}},
        {"as_of": date(2018, 1, 1)},
        {"code": "c0d3"},
        {"installed": {"duckdb": "2.0.1"}},
    ],
)
def test_a_run_id_follows_everything_that_can_change_a_result(changes):
    assert make() == make()
    assert make(**changes) != make()
    assert len(make()) == 16


def test_the_order_of_input_tables_does_not_matter():
    one = lineage.InputLineage("order_lines", ())
    two = lineage.InputLineage("products", ())
    assert make(inputs=[one, two]) == make(inputs=[two, one])


@given(st.dictionaries(st.text(), JSON_VALUES))
def test_a_fingerprint_does_not_see_the_order_of_keys(value):
    assert lineage.fingerprint(value) == lineage.fingerprint(dict(reversed(value.items())))


def test_a_file_is_known_by_its_content_and_its_shown_name(tmp_path):
    content = bytes(range(256)) * 10_000  # longer than one block
    (tmp_path / "x").write_bytes(content)
    found = lineage.fingerprint_file(tmp_path / "x", "orders/x")
    assert found == lineage.FileFingerprint("orders/x", len(content), hashlib.sha256(content).hexdigest())


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SourceError, match=r"gone.csv: cannot be read \(No such file or directory\)"):
        lineage.fingerprint_file(tmp_path / "gone.csv", "gone.csv")


def test_a_query_is_known_by_its_text_whatever_its_line_ends():
    text = "-- Counts.\n-- inputs: a\n-- output: n\n-- grain: x\n-- parameters:\nSELECT 1"
    unix, windows = (lineage.query_fingerprint(parse_query("n", t)) for t in (text, text.replace("\n", "\r\n")))
    other = lineage.query_fingerprint(parse_query("n", text.replace("SELECT 1", "SELECT 2")))
    assert unix == windows != other


def test_code_is_known_by_every_source_file(monkeypatch, tmp_path):
    (tmp_path / "sql" / "queries").mkdir(parents=True)
    (tmp_path / "sql" / "a.py").write_text("x = 1\n")
    (tmp_path / "sql" / "queries" / "q.sql").write_text("SELECT 1\n")
    monkeypatch.setattr(lineage, "files", lambda _: tmp_path)
    seen = set()
    for name, text in (("a.py", "x = 2\n"), ("queries/q.sql", "SELECT 2\n"), ("queries/new.sql", ""), ("b.py", "")):
        lineage.code_fingerprint.cache_clear()
        seen.add(lineage.code_fingerprint(("sql",)))
        (tmp_path / "sql" / name).write_text(text)
    (tmp_path / "sql" / "__pycache__").mkdir()
    lineage.code_fingerprint.cache_clear()
    last = lineage.code_fingerprint(("sql",))
    (tmp_path / "sql" / "__pycache__" / "a.py").write_text("compiled")
    (tmp_path / "sql" / "notes.txt").write_text("no code")
    lineage.code_fingerprint.cache_clear()
    assert lineage.code_fingerprint(("sql",)) == last
    assert len(seen | {last}) == 5
    lineage.code_fingerprint.cache_clear()


def test_versions_of_everything_a_number_may_depend_on_are_known():
    assert set(lineage.versions()) == {"duckdb", "numba", "numpy", "pandas", "pyarrow", "scipy"}
