"""kill -9 at seeded moments: never a visible half, the last good snapshot readable, the next build fine.

`python bench/kills.py` kills 50 builds of The Complete Journey; here one dies in each sixteenth of a build.
"""

import json
import subprocess
import sys
from pathlib import Path

import regulars

KILLS = 16
REBUILT_AFTER = 4


def test_a_build_can_be_killed_at_any_moment(empty_shop, lines_by_month):
    for month in list(lines_by_month)[6:18]:
        empty_shop.write_month(month, lines_by_month[month])
    settings = empty_shop.write_settings()
    program = Path(regulars.__file__).parent / "bench" / "kills.py"
    # rebuilt after every fourth kill here, after each in the study
    command = [sys.executable, str(program), str(settings), str(KILLS), str(REBUILT_AFTER), "20261121"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["kills"], told["rebuilt"]) == (KILLS, KILLS // REBUILT_AFTER)
    assert told["completed"] < KILLS // 2  # most died half-way
