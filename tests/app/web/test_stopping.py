"""The command stops at once and quietly, whatever it is at: reading ahead, answering, exporting."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

PATHS = ("/healthz", "/rows/customers", "/export/customers.csv")


def running(house, log) -> tuple[subprocess.Popen, str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ["app", "-w", str(house), "--port", str(port)]
    program = subprocess.Popen(
        [sys.executable, "-c", "from regulars.app.cli import main; main()", *words], stderr=log, cwd=house.parent
    )
    address = f"http://127.0.0.1:{port}"
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{address}/healthz", timeout=20).close()
            return program, address
        except urllib.error.URLError:
            assert program.poll() is None
            try:
                program.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
    raise AssertionError("the app did not start within a minute")


def test_it_stops_while_it_is_starting_and_leaves_nothing_behind(synthetic_warehouse, tmp_path):
    spills = tmp_path / "temporary"
    spills.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        words = ["app", "-w", str(synthetic_warehouse), "--port", str(free.getsockname()[1])]
    program = subprocess.Popen(
        [sys.executable, "-c", "from regulars.app.cli import main; main()", *words],
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(spills)},
    )
    try:
        end = time.monotonic() + 60
        while not list(spills.glob("regulars-*")) and time.monotonic() < end:
            time.sleep(0.002)
        program.send_signal(signal.SIGTERM)
        said = program.communicate(timeout=30)[1].decode()
    finally:
        program.kill()
    assert program.returncode == 0
    assert [line for line in said.splitlines() if "until you press Ctrl+C" not in line] == []
    assert list(spills.iterdir()) == []


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT], ids=["terminated", "interrupted"])
@pytest.mark.parametrize("path", PATHS)
def test_it_stops_quietly(synthetic_warehouse, tmp_path, path, told):
    with (tmp_path / "stderr").open("wb") as log:
        program, address = running(synthetic_warehouse, log)
        try:
            with urllib.request.urlopen(address + path, timeout=60) as answer:
                # the rest of an export is not waited for
                assert answer.read(20)
                os.kill(program.pid, told)
                assert program.wait(30) == 0
        finally:
            program.kill()
    said = (tmp_path / "stderr").read_text().strip().splitlines()
    assert [line for line in said if "until you press Ctrl+C" not in line] == []
