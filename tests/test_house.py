"""The house keeps its own rules: what is packaged, what is pinned, what is documented."""

import doctest
import importlib
import os
import pkgutil
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

import regulars

ROOT = Path(regulars.__file__).parent
PACKAGES = ("sql", "clv", "uplift", "pricing", "app")


def _source_files(pattern: str) -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob(pattern))


MODULES = sorted(
    "regulars." + ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in _source_files("*.py")
)


def test_every_module_is_found_by_name():
    found = {"regulars"}
    for package in PACKAGES:
        module = importlib.import_module(f"regulars.{package}")
        found |= {name for _, name, _ in pkgutil.walk_packages(module.__path__, f"regulars.{package}.")}
        found.add(f"regulars.{package}")
    assert set(MODULES) <= found


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name):
    result = doctest.testmod(
        importlib.import_module(name), optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE, report=True
    )
    assert result.failed == 0


@pytest.mark.parametrize("package", ["sql", "clv", "uplift", "pricing"])
def test_every_public_name_has_an_example(package):
    module = importlib.import_module(f"regulars.{package}")
    public = {name: getattr(module, name) for name in module.__all__}
    assert len(public) > 5
    without = [name for name, thing in public.items() if callable(thing) and "Examples" not in (thing.__doc__ or "")]
    assert without == []


def test_the_wheel_holds_everything_and_imports_on_its_own(tmp_path):
    # built from a copy: setuptools leaves its build folder in the tree it builds, and reads old ones back
    shutil.copytree(ROOT, tmp_path / "tree", ignore=shutil.ignore_patterns(".*", "build", "*.egg-info", "*warehouse*"))
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "./tree"]
    subprocess.run([*command, "--wheel-dir", str(tmp_path)], check=True, cwd=tmp_path, capture_output=True)
    (wheel,) = tmp_path.glob("regulars-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "site")
    files = [*_source_files("*.py"), *_source_files("*.sql"), *(ROOT / "app" / "assets").glob("*")]
    files += (ROOT / "docs" / "examples").glob("*/*.toml")
    expected = {f"regulars/{path.relative_to(ROOT).as_posix()}" for path in files if path.is_file()}
    assert expected <= names
    assert not [name for name in names if name.startswith(("tests/", "bench/", "regulars/tests", "regulars/bench"))]

    # site-packages is put on the path by hand: its .pth files, and with them the editable install, are not read.
    program = (
        "import importlib, sys\n"
        f"sys.path[:0] = [{str(tmp_path / 'site')!r}, {sysconfig.get_path('purelib')!r}]\n"
        "import regulars\n"
        f"assert regulars.__file__.startswith({str(tmp_path)!r}), regulars.__file__\n"
        f"for name in {MODULES!r}: importlib.import_module(name)\n"
    )
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    run = subprocess.run(
        [sys.executable, "-S", "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr


def test_the_lock_pins_by_version_and_hash_and_names_no_address():
    text = (ROOT / "requirements.lock").read_text()
    assert "://" not in text
    assert "nvidia-nccl" not in text
    entries = re.split(r"\n(?=[a-z])", text.strip())
    assert len(entries) > 100
    for entry in entries:
        assert re.match(r"^[a-z0-9._-]+(\[[a-z,]+\])?==\S+", entry), entry[:80]
        assert "--hash=sha256:" in entry, entry[:80]


def test_names_say_what_a_module_is_for():
    vague = {"utils", "util", "helpers", "helper", "common", "misc"}
    assert not [path for path in _source_files("*.py") if vague & set(path.with_suffix("").parts)]


def test_no_warehouse_data_is_committed():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    assert not [name for name in listed if name.endswith((".parquet", ".duckdb", ".sqlite", ".csv"))]


@pytest.mark.parametrize("package", ["sql", "clv", "uplift", "pricing"])
def test_a_public_name_stays_what_it_is_once_every_module_is_loaded(package):
    """Python binds a loaded submodule to its package: a function named like its module would then be the module."""
    for name in MODULES:
        if name.startswith(f"regulars.{package}."):
            importlib.import_module(name)
    loaded = importlib.import_module(f"regulars.{package}")
    assert [name for name in loaded.__all__ if isinstance(getattr(loaded, name), ModuleType)] == []
