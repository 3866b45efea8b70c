"""What a user waits for: imports, the command line, and a build of The Complete Journey from nothing."""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from report import Section, seconds


def import_section() -> Section:
    """Imports and the command line's help, each in a new process."""
    rows = []
    for what, command, target in (
        ("`python -c pass`", ["-c", "pass"], ""),
        ("`import regulars.sql`", ["-c", "import regulars.sql"], "0.6 s"),
        ("`from regulars.sql import connect`", ["-c", "from regulars.sql import connect"], ""),
        ("`regulars --help`", ["-m", "regulars.app.cli", "--help"], "1 s"),
    ):
        took = [_seconds_of([sys.executable, *command]) for _ in range(6)][1:]
        rows.append((what, seconds(statistics.median(took)), target))
    return Section(
        name="imports",
        title="Imports",
        text="A whole process each, interpreter included; median of five after one that does not count.",
        head=("what", "time", "target"),
        rows=rows,
    )


def build_section() -> Section:
    """`regulars demo --no-serve` into an empty folder, and once more over the same input."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "regulars.app.cli", "demo", "--no-serve", "--warehouse", folder]
        first, again = _seconds_of(command), _seconds_of(command)
    return Section(
        name="build",
        title="A build from nothing",
        text=(
            "`regulars demo --no-serve`: 1,469,307 order lines of 2,469 households to a published snapshot, every "
            "model fitted and judged on a holdout; then the same command over the same input, which finds nothing "
            "to do."
        ),
        head=("run", "time"),
        rows=(("first", seconds(first)), ("again", seconds(again))),
    )


def _seconds_of(command: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, cwd=Path(tempfile.gettempdir()))
    return time.perf_counter() - begun
