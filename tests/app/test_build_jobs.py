"""Builds that the app starts: seen step by step, ended cleanly, one at a time, found again when the app was killed."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from regulars.app import build_history, build_jobs
from regulars.app.access import Person
from regulars.app.build_history import BuildRecord
from regulars.app.build_jobs import BuildJobs
from regulars.sql.errors import WarehouseError
from regulars.sql.snapshot import Warehouse

ANN = Person("ann", "admin")
PATIENCE = 240.0


def until(holds, seconds: float = PATIENCE):
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, "it did not come in time"
        time.sleep(0.05)
    return found


def ended(jobs: BuildJobs) -> BuildRecord:
    return until(lambda: (s := jobs.status()).phase == "ended" and s.build)


def steps_of(jobs: BuildJobs) -> set[str]:
    seen = set()
    while (status := jobs.status()).phase in {"starting", "running"}:
        seen.add(status.build.doing)
        time.sleep(0.02)
    return seen


def test_a_build_is_seen_step_by_step_and_published(shop):
    jobs = BuildJobs(shop.settings().warehouse)
    before = Warehouse(jobs.warehouse).current().run_id
    jobs.start(shop.settings_path, ANN, force=True)
    assert jobs.status().phase in {"starting", "running"}
    assert jobs.status().is_ours
    with pytest.raises(WarehouseError, match="a build is running already"):
        jobs.start(shop.settings_path, ANN)
    seen = steps_of(jobs)
    assert {"read input files", "check"} & seen
    build = ended(jobs)
    assert (build.outcome, build.by, build.exit_code) == ("published", "ann", 0)
    assert build.run_id == before
    assert not (jobs.warehouse / build_history.RUNNING).exists()


def test_a_build_that_is_cancelled_leaves_the_last_snapshot_and_nothing_else(shop):
    jobs = BuildJobs(shop.settings().warehouse)
    current = Warehouse(jobs.warehouse).current().run_id
    jobs.start(shop.settings_path, ANN, force=True)
    until(lambda: jobs.status().phase == "running")
    assert jobs.cancel().by == "ann"
    build = ended(jobs)
    assert build.outcome == "cancelled", build.reason
    assert Warehouse(jobs.warehouse).current().run_id == current
    assert list((jobs.warehouse / "staging").iterdir()) == []
    assert jobs.cancel() is None
    with Warehouse(jobs.warehouse).lock():
        pass


def test_a_build_that_fails_half_way_names_run_and_reason(shop):
    (shop.folder / "links.csv").write_text("old_id,customer_id\na,b\nb,a\n")
    shop.sections["customer_links"] = {"path": "links.csv"}
    shop.write_settings()
    jobs = BuildJobs(shop.settings().warehouse)
    current = Warehouse(jobs.warehouse).current().run_id
    jobs.start(shop.settings_path, ANN)
    build = ended(jobs)
    assert (build.outcome, build.exit_code, build.doing) == ("failed", 4, "check")
    assert "customer_link_cycles" in build.reason
    assert len(build.run_id) == len(current)
    assert build.run_id != current
    assert Warehouse(jobs.warehouse).current().run_id == current


def test_settings_that_are_wrong_are_said_though_no_build_began(shop):
    shop.settings_path.write_text("[orders]\npath = 1\n")
    jobs = BuildJobs(shop.settings().warehouse)
    jobs.start(shop.settings_path, ANN)
    build = ended(jobs)
    assert (build.outcome, build.exit_code) == ("failed", 2)
    assert "[orders] path" in build.reason


def test_a_build_of_a_killed_app_is_found_again_and_can_be_cancelled(shop):
    warehouse = shop.settings().warehouse
    program = (
        "import sys, time\nfrom pathlib import Path\n"
        "from regulars.app.access import Person\nfrom regulars.app.build_jobs import BuildJobs\n"
        "jobs = BuildJobs(Path(sys.argv[1]))\n"
        "jobs.start(Path(sys.argv[2]), Person('ann', 'admin'), force=True)\n"
        "while jobs.status().phase != 'running':\n    time.sleep(0.05)\n"
        "print('running', flush=True)\ntime.sleep(600)\n"
    )
    app = subprocess.Popen(
        [sys.executable, "-c", program, str(warehouse), str(shop.settings_path)], stdout=subprocess.PIPE, text=True
    )
    with app:
        assert app.stdout.readline() == "running\n"
        app.kill()
    jobs = BuildJobs(warehouse)  # the app, started anew
    status = jobs.status()
    if status.phase == "running":  # else it was faster than we are
        assert status.is_ours
        assert status.build.by == "ann"
        jobs.cancel()
    build = ended(jobs)
    assert build.outcome in {"cancelled", "published"}
    with Warehouse(warehouse).lock(wait=PATIENCE):
        pass


def test_a_build_that_was_killed_is_said_to_be_and_the_next_one_clears_up(shop):
    jobs = BuildJobs(shop.settings().warehouse)
    jobs.start(shop.settings_path, ANN, force=True)
    pid = until(lambda: (s := jobs.status()).phase == "running" and s.build.pid)
    os.kill(pid, signal.SIGKILL)
    build = ended(jobs)
    assert build.outcome == "killed"
    assert (jobs.warehouse / build_history.RUNNING).exists()
    jobs.start(shop.settings_path, ANN)
    assert ended(jobs).outcome == "unchanged"
    assert [one.outcome for one in build_history.ended(jobs.warehouse, 2)] == ["unchanged", "killed"]


def test_a_build_of_the_command_line_is_shown_and_not_ended_from_the_app(tmp_path):
    record = BuildRecord(id="x", pid=os.getpid(), started_at=datetime.now(UTC), doing="fit models", step=5, steps=8)
    (tmp_path / build_history.RUNNING).write_text(json.dumps(build_history._plain(record)))
    jobs = BuildJobs(tmp_path)
    status = jobs.status()
    assert (status.phase, status.is_ours, status.build.doing) == ("running", False, "fit models")
    with pytest.raises(WarehouseError, match="outside the app"):
        jobs.cancel()


def test_checks_run_beside_the_pages_and_a_new_question_ends_the_one_before(shop):
    jobs = BuildJobs(shop.settings().warehouse)
    text = shop.settings_path.read_text()
    first = jobs.start_check(text, shop.folder, "regulars.toml", ANN)
    second = jobs.start_check(text, shop.folder, "regulars.toml", ANN)
    found = until(lambda: jobs.check_result(second))
    assert {row["check_name"] for row in found["checks"]} >= {"duplicate_lines", "zero_revenue"}
    assert "checks" not in until(lambda: jobs.check_result(first))
    wrong = jobs.start_check("[orders]\npath = 'nowhere.csv'\n", shop.folder, "regulars.toml", ANN)
    assert "there is no file or folder" in until(lambda: jobs.check_result(wrong))["message"]
    with pytest.raises(WarehouseError, match="check again"):
        jobs.check_result("../../etc/passwd")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"id": 1}', '{"id": "x", "pid": "1", "started_at": "now"}'])
def test_a_history_that_cannot_be_read_is_passed_over(tmp_path, text):
    (tmp_path / build_history.RUNNING).write_text(text)
    (tmp_path / build_history.ENDED).write_text(text + "\n\x00\n")
    assert build_history.running(tmp_path) is None
    assert build_history.ended(tmp_path) == []
    assert BuildJobs(tmp_path).status().phase == "idle"


def test_a_history_that_cannot_be_written_does_not_stop_a_build(tmp_path):
    with build_history.recording(tmp_path / "gone") as record:
        record.step(1, 2, "read")


def test_what_nobody_foresaw_is_written_down_too(tmp_path):
    def build() -> None:
        with build_history.recording(tmp_path) as record:
            record.step(1, 2, "read")
            raise KeyError("x")

    with pytest.raises(KeyError):
        build()
    (failed,) = build_history.ended(tmp_path)
    assert failed.reason.startswith("unforeseen KeyError")


def test_a_process_number_that_was_given_away_is_not_our_build(tmp_path):
    record = BuildRecord(id="x", pid=os.getpid(), started_at=datetime.now(UTC), process="1")
    assert build_history.is_alive(record) is (not Path("/proc/self/stat").exists())


def test_no_program_is_found_in_the_folder_it_was_started_from(tmp_path, monkeypatch):
    (tmp_path / "numpy.py").write_text("raise SystemExit('shadowed')")
    monkeypatch.chdir(tmp_path)
    job = build_jobs._started("import numpy; print('{\"ok\": 1}')", [], "ann")
    until(lambda: not job.is_running)
    assert job.result() == {"exit_code": 0, "ok": 1}
