"""Standard output is for machines: nothing of the solver's is on it, and nothing else is lost."""

import subprocess
import sys

import pytest

# 500 customers under stock and contacts: HiGHS writes its line here, as a test below shows
PROGRAM = """
import numpy as np
from regulars.uplift import allocate
rng = np.random.default_rng(20261121)
value = 5 * rng.random((500, 5)) - 1
cost = 1.8 * rng.random((500, 5)) + 0.2
cost[rng.random(500) < 0.1, 4] *= -1.0
best = value.argmax(axis=1)
budget = 0.2 * cost[np.arange(500), best].sum()
stock = [50, 50, np.inf, np.inf, np.inf]
"""
ALLOCATE = "print('before'); allocate(value, cost, budget, stock=stock, max_contacts=250); print('after')"


def run(program: str) -> str:
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_an_allocation_prints_nothing():
    assert run(PROGRAM + ALLOCATE) == "before\nafter\n"


def test_the_solver_would_have():
    # where this fails, HiGHS has stopped, and `solver_output` can go
    loud = (
        "from contextlib import nullcontext; from regulars.uplift import column_generation\n"
        "column_generation.without_solver_output = nullcontext\n"
    )
    assert "HighsMipSolverData" in run(PROGRAM + loud + ALLOCATE)


def test_what_others_print_follows():
    program = (
        "import os\n"
        "from regulars.uplift.solver_output import without_solver_output\n"
        "with without_solver_output():\n"
        "    print('python'); os.write(1, b'HighsMipSolverData::x\\nothers\\n')\n"
        "print('end')\n"
    )
    assert sorted(run(program).split()) == ["end", "others", "python"]


@pytest.mark.skipif(sys.platform == "win32", reason="descriptors are closed otherwise there")
def test_a_process_without_standard_output_goes_on():
    run(
        "import os; os.close(1)\n"
        + PROGRAM
        + "allocate(value, cost, budget, stock=stock, max_contacts=250)\nos._exit(0)"
    )
