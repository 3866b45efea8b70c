"""The settings file as the app writes it: read back by Python's own TOML reader, comments left where they stand."""

import tomllib
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regulars.app import settings_file
from regulars.sql.errors import SettingsError
from regulars.sql.settings import Settings

_TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
_VALUES = st.one_of(
    _TEXT,
    st.booleans(),
    st.integers(-(2**62), 2**62),
    st.floats(allow_nan=False, allow_infinity=False),
    st.dates(),
    st.lists(_TEXT, max_size=3),
    st.dictionaries(_TEXT, _TEXT, max_size=3),
)
_SAID = st.dictionaries(_TEXT, st.dictionaries(_TEXT, _VALUES, max_size=4), max_size=4)


@given(said=_SAID)
@settings(max_examples=80, deadline=None)
def test_a_new_file_reads_back_as_what_was_said(said):
    assert tomllib.loads(settings_file.new_text(said)) == said


@given(before=_SAID, after=_SAID)
@settings(max_examples=80, deadline=None)
def test_a_changed_file_reads_back_as_what_is_said_now(before, after):
    assert tomllib.loads(settings_file.changed_text(settings_file.new_text(before), after)) == after


@pytest.mark.parametrize("name", ["complete_journey", "cdnow", "online_retail"])
def test_the_examples_keep_every_comment_that_is_not_of_a_changed_line(name):
    path = Path(settings_file.__file__).parents[1] / "docs" / "examples" / name / "regulars.toml"
    text = path.read_text()
    said = tomllib.loads(text)
    said["orders"]["path"] = "orders/new.parquet"
    said["orders"]["columns"]["sku"] = "a + b"
    said["shop"]["currency"] = "SEK"
    said["build"] = {"warehouse": "w"}
    changed = settings_file.changed_text(text, said)
    assert tomllib.loads(changed) == said
    comments = [line.strip() for line in text.splitlines() if line.strip().startswith("#")]
    assert [line for line in comments if line not in changed] == []
    same = set(text.splitlines()) & set(changed.splitlines())
    assert len(same) >= len(set(text.splitlines())) - 3
    assert settings_file.changed_text(text, tomllib.loads(text)) == text


def test_comments_behind_values_and_inline_tables_stay():
    text = (
        "# top\n[orders]  # till\npath = 'a#b.csv' # daily # still\ncsv = { delim = '|' }\n"
        'columns = { customer_id = "x",\n}\n'.replace(",\n}", "}")
        + '# between\n[shop]\ncurrency = "GBP"\n\n[value] # last\nas_of = 2020-01-02'
    )
    said = tomllib.loads(text)
    said["orders"]["path"] = "c.csv"
    said["orders"]["columns"]["revenue"] = 'say("hi")\n'
    said["value"]["horizon"] = 26
    del said["shop"]["currency"]
    changed = settings_file.changed_text(text, said)
    assert 'path = "c.csv" # daily # still\n' in changed
    assert "# between" in changed
    assert "[value] # last\nas_of = 2020-01-02\nhorizon = 26\n" in changed
    assert tomllib.loads(changed) == said


def test_a_way_of_writing_that_is_not_followed_is_written_anew_and_says_so():
    text = "orders.path = 'a.csv'\n[[x]]\ny = 1\n"
    changed = settings_file.changed_text(text, {"orders": {"path": "b.csv"}})
    assert changed.startswith("# Written anew")
    assert tomllib.loads(changed) == {"orders": {"path": "b.csv"}}


@pytest.mark.parametrize("value", ["\ud800", object(), None])
def test_what_toml_cannot_say_is_refused(value):
    with pytest.raises(SettingsError):
        settings_file.new_text({"orders": {"path": value}})


def test_the_file_before_is_kept_and_a_change_by_others_is_seen(tmp_path):
    path = tmp_path / "deep" / "regulars.toml"
    first = settings_file.new_text({"orders": {"path": "a.csv"}, "value": {"as_of": date(2020, 1, 2)}})
    assert settings_file.write(path, first, None) is None
    assert Settings.from_toml(path).orders.path == "a.csv"
    second = settings_file.changed_text(first, {"orders": {"path": "b.csv"}})
    kept = settings_file.write(path, second, first)
    assert kept.read_text() == first
    assert path.read_text() == second
    assert settings_file.write(path, second, second) is None
    with pytest.raises(SettingsError, match="has been changed since"):
        settings_file.write(path, first, first)
    with pytest.raises(SettingsError, match="not TOML"):
        settings_file.changed_text("[orders", {})
