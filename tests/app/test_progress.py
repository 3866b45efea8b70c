"""Progress stands on a terminal's stderr alone."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest

PROGRAM = """
import sys
from regulars.app.progress import Progress
with Progress(2, shown=sys.argv[1] == "shown") as step:
    step("read input files")
    step("publish")
"""


def on_a_terminal(*words: str) -> str:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    child = subprocess.Popen([sys.executable, "-c", PROGRAM, *words], stderr=theirs)
    os.close(theirs)
    said = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # Linux says so when the last writer has gone
            break
        if not part:
            break
        said += part
    os.close(ours)
    assert child.wait() == 0
    return said.decode()


def test_a_terminal_shows_the_step_and_how_far_it_is():
    said = on_a_terminal("shown")
    assert "read input files" in said
    assert "publish" in said
    assert "1/2" in said


def test_quiet_is_quiet():
    assert on_a_terminal("quiet") == ""


@pytest.mark.parametrize("word", ["shown", "quiet"])
def test_a_log_file_gets_nothing(word):
    done = subprocess.run([sys.executable, "-c", PROGRAM, word], capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")
