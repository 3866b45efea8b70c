"""The public names: complete, loaded late, and the same thing whatever was imported before."""

import subprocess
import sys
from importlib import import_module
from itertools import permutations

import pytest

from regulars import uplift

# functions whose module has their own name: importing the module must not hide them
SHARED = sorted(name for name, module in uplift._MODULES.items() if name == module)


def run(program: str) -> str:
    ran = subprocess.run([sys.executable, "-"], input=program, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_every_name_is_there_and_listed():
    assert sorted(uplift.__all__) == sorted(uplift._MODULES)
    for name in uplift.__all__:
        assert getattr(uplift, name) is getattr(import_module(f"regulars.uplift.{uplift._MODULES[name]}"), name)
        assert name in dir(uplift)


def test_no_other_name_is_there():
    with pytest.raises(AttributeError, match="no attribute 'uplifted'"):
        _ = uplift.uplifted


IMPORTS = [
    "import regulars.uplift.{name}",
    "from regulars import uplift; uplift.{name}",
    "from regulars.uplift import {name}",
    "import importlib; importlib.import_module('regulars.uplift.{name}')",
    "from regulars.uplift.{name} import {name}",
]


def test_a_function_stays_a_function_in_every_order_of_imports():
    assert "allocate" in SHARED
    program = ["import sys"]
    for order in permutations(IMPORTS, 3):
        # the layer below stays loaded: it binds nothing here
        program.append(
            "for n in list(sys.modules): n.startswith(('regulars.uplift', 'regulars.app')) and sys.modules.pop(n)"
        )
        program.append("sys.modules.pop('regulars', None)")
        for name in SHARED:
            program += [line.format(name=name) for line in order]
            program.append("from regulars import uplift")
            program.append(f"assert uplift.{name}.__module__ == 'regulars.uplift.{name}', {order!r}")
            program.append(f"from regulars.uplift import {name} as found; assert callable(found)")
    run("\n".join(program))


def test_importing_the_package_loads_no_model_library():
    heavy = "{'numpy', 'pandas', 'scipy', 'numba', 'lightgbm', 'causalml', 'econml', 'sklearn', 'plotly'}"
    assert run(f"import sys, regulars.uplift; print(sorted({heavy} & set(sys.modules)))").strip() == "[]"
