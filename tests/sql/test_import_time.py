"""What `import regulars.sql` loads: settings, SQL parsing, frames and models wait until they are used."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import json, sys, time
begun = time.perf_counter()
import regulars.sql
{then}
print(json.dumps({{"seconds": time.perf_counter() - begun, "modules": sorted(sys.modules)}}))
"""
HEAVY = {"pydantic", "pydantic_settings", "sqlglot", "pandas", "scipy", "numba", "pyspark", "dash", "plotly", "polars"}


def _loaded(then: str = "") -> tuple[float, set[str]]:
    program = PROGRAM.format(then=then)
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd="/")
    said = json.loads(run.stdout)
    return said["seconds"], set(said["modules"])


@pytest.mark.parametrize("then", ["", "regulars.sql.connect, regulars.sql.DuckDBEngine, regulars.sql.queries()"])
def test_heavy_modules_are_not_loaded(then):
    seconds, modules = _loaded(then)
    print(f"import regulars.sql: {seconds:.3f} s, {len(modules)} modules")
    assert modules & HEAVY == set()
    assert "regulars.clv" not in modules


def test_a_query_over_parquet_with_plain_columns_parses_no_sql():
    _, modules = _loaded("regulars.sql.Settings.from_mapping({'orders': {'path': 'o.parquet'}})")
    assert "pydantic" in modules
    assert modules & (HEAVY - {"pydantic", "pydantic_settings"}) == set()


def test_every_public_name_is_found_and_no_other():
    import regulars.sql

    assert set(regulars.sql.__all__) <= set(dir(regulars.sql))
    for name in regulars.sql.__all__:
        assert getattr(regulars.sql, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'conect'"):
        regulars.sql.conect  # noqa: B018
