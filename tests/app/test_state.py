"""What people change: kept, read by others, never lost in a kill, refused when a newer version wrote it."""

import sqlite3
import threading

import pytest

from regulars.app.state import FILE, State
from regulars.sql.errors import WarehouseError


def test_an_absent_state_is_empty_and_reading_makes_no_file(tmp_path):
    state = State(tmp_path)
    assert (state.segments(), state.draft("markdown", "january"), state.audit_lines()) == ([], None, [])
    assert state.delete_segment("VIP", "ann") is False
    assert list(tmp_path.iterdir()) == []


def test_what_one_writes_another_reads_with_its_audit(tmp_path):
    State(tmp_path).save_segment("VIP", "segment=best", "ann")
    State(tmp_path).save_segment("VIP", "segment=best&value=9..", "bob")
    State(tmp_path).save_draft("markdown", "january", {"overrides": ["tee:1=2.50"]}, "ann")
    state = State(tmp_path)
    assert [(s.name, s.filter, s.made_by) for s in state.segments()] == [("VIP", "segment=best&value=9..", "bob")]
    assert state.draft("markdown", "january").content == {"overrides": ["tee:1=2.50"]}
    state.delete_segment("VIP", "cid")
    lines = [(line.person, line.action, line.subject) for line in state.audit_lines()]
    assert lines == [
        ("cid", "delete segment", "VIP"),
        ("ann", "save draft", "markdown january"),
        ("bob", "save segment", "VIP"),
        ("ann", "save segment", "VIP"),
    ]


def test_many_threads_write_and_no_line_is_lost(tmp_path):
    def write(name):
        for i in range(20):
            State(tmp_path).audit(name, "export", f"{i}", rows=i)

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = State(tmp_path).audit_lines(1000)
    assert len(lines) == 80
    assert [line.subject for line in reversed(lines) if line.person == "c"] == [str(i) for i in range(20)]


def test_a_write_that_fails_leaves_neither_change_nor_line(tmp_path):
    state = State(tmp_path)
    state.save_segment("VIP", "", "ann")
    with pytest.raises(TypeError):
        state.save_draft("markdown", "january", {"a": object()}, "ann")
    assert (state.draft("markdown", "january"), len(state.audit_lines())) == (None, 1)


def test_a_newer_or_damaged_file_says_so(tmp_path):
    state = State(tmp_path)
    state.save_segment("VIP", "", "ann")
    connection = sqlite3.connect(tmp_path / FILE)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(WarehouseError, match=r"newer regulars \(version 99\)"):
        state.segments()
    (tmp_path / FILE).write_bytes(b"no database" * 100)
    with pytest.raises(WarehouseError, match="cannot be read or written"):
        state.segments()
