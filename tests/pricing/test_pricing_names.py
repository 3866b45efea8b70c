"""The public names of pricing: complete, loaded late, and functions stay functions."""

import subprocess
import sys
from importlib import import_module

import pytest

from regulars import pricing


def test_every_name_is_there_and_listed():
    assert sorted(pricing.__all__) == sorted(pricing._MODULES)
    for name in pricing.__all__:
        assert getattr(pricing, name) is getattr(import_module(f"regulars.pricing.{pricing._MODULES[name]}"), name)
        assert name in dir(pricing)
    with pytest.raises(AttributeError, match="no attribute 'prices'"):
        _ = pricing.prices


@pytest.mark.parametrize("first", ["import regulars.pricing.{0}", "from regulars import pricing; pricing.{0}"])
def test_a_function_with_its_modules_name_stays_the_function(first):
    shared = [name for name, module in pricing._MODULES.items() if name == module]
    assert "specification_curve" in shared
    program = "\n".join(
        f"{first.format(name)}\nfrom regulars import pricing\nassert not hasattr(pricing.{name}, '__path__')\n"
        f"import regulars.pricing.{name}\nassert callable(pricing.{name})"
        for name in shared
    )
    ran = subprocess.run([sys.executable, "-"], input=program, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_importing_the_package_loads_no_model_library():
    heavy = "{'numpy', 'pandas', 'scipy', 'numba', 'econml', 'pyfixest', 'highspy', 'plotly'}"
    program = f"import sys, regulars.pricing; print(sorted({heavy} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-"], input=program, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
