"""What a user waits for: imports, the command line, and a build of The Complete Journey from nothing."""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from report import Section, seconds

REGULARS = str(Path(sys.executable).with_name("regulars"))


def import_section(runs: int = 5) -> Section:
    """Imports and the command line's help, each in a new process."""
    rows = []
    for what, command, target in (
        ("`python -c pass`", [sys.executable, "-c", "pass"], ""),
        ("`import regulars.sql`", [sys.executable, "-c", "import regulars.sql"], "0.6 s"),
        ("`from regulars.sql import connect`", [sys.executable, "-c", "from regulars.sql import connect"], ""),
        (
            "`from regulars.clv import BetaGeoModel`",
            [sys.executable, "-c", "from regulars.clv import BetaGeoModel"],
            "",
        ),
        ("`regulars --help`", [REGULARS, "--help"], "1 s"),
        (
            "`from lifetimes import BetaGeoFitter`",
            [sys.executable, "-W", "ignore", "-c", "from lifetimes import BetaGeoFitter"],
            "",
        ),
    ):
        warm_ups = 1 if runs > 1 else 0
        took = [_seconds_of(command) for _ in range(warm_ups + runs)][warm_ups:]
        rows.append((what, seconds(statistics.median(took)), target))
    return Section(
        name="imports",
        title="Imports",
        text=f"A whole process each, interpreter included; median of {runs} after one that does not count.",
        head=("what", "time", "target"),
        rows=rows,
    )


def build_section() -> Section:
    """`regulars demo --no-serve` into an empty folder, and once more over the same input."""
    with tempfile.TemporaryDirectory() as folder:
        command = [REGULARS, "demo", "--no-serve", "--warehouse", folder]
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
    subprocess.run(command, check=True, capture_output=True, cwd=tempfile.gettempdir())
    return time.perf_counter() - begun
