"""The SQL user's door: writes ``sql/open.sql``, which makes every file of ``sql/queries`` runnable by hand in DuckDB.

The script is read off the contract and the catalogue: ``make docs`` writes it anew, and a test compares. Each build
puts a copy, with the warehouse's own place in it, beside the snapshots.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .catalog import Parameter, Query, checks, queries
from .contract import BESIDE_TABLES, INPUT_TABLES, OUTPUT_TABLES
from .decided_sends import file_set, sends_sql
from .engine import FileSet, literal_path, reader_sql
from .pipeline import CARRIED_TABLES, PREVIOUS

if TYPE_CHECKING:
    from .engine import Engine
    from .sources import Staged

INPUTS = "inputs.json"

_HEAD = """\
-- Opens the current snapshot of a warehouse in DuckDB 2.0 or later: a view for each table, a variable for each
-- parameter, so that every file of sql/queries and sql/checks runs as it stands.
--
--   duckdb -init open.sql                         the warehouse is ./warehouse
--   duckdb -cmd "SET VARIABLE warehouse = 'path/to/warehouse'" -init open.sql
--
-- A build puts a copy with its own warehouse's place into that warehouse: duckdb -init warehouse/open.sql
-- Then .read sql/queries/top_customers.sql; another parameter: SET VARIABLE customers = 20; another run than the
-- current one: SET VARIABLE run_id = '...' before opening. After the next build, open again.
-- Made by `make docs` from sql/door.py; edit that instead.
"""


def open_script(warehouse: str = "warehouse") -> str:
    """Return the script that opens a warehouse.

    Parameters
    ----------
    warehouse : str
        Where it lies unless the session has set the variable ``warehouse``.

    Examples
    --------
    >>> "SET VARIABLE as_of" in open_script()
    True
    """
    parts = [_HEAD, "-- Which run is current.", _pointer(warehouse), "-- Parameters, as the snapshot was built with."]
    parts += [_variable(parameter) for parameter in _parameters().values()]
    parts.append("\n-- Tables of the snapshot.")
    parts += [_stored(name) for name in OUTPUT_TABLES]
    parts.append("\n-- Beside the snapshots.")
    parts += [
        f"CREATE OR REPLACE VIEW {name} AS FROM read_parquet(getvariable('warehouse') || '/{name}.parquet');"
        for name in BESIDE_TABLES
    ]
    parts.append("\n-- Input tables, read from the files behind the snapshot where they still lie.")
    parts += [_input(name) for name in INPUT_TABLES]
    parts.append("-- What an incremental build takes over from the snapshot before; by hand all is read anew.")
    parts += [f"CREATE OR REPLACE VIEW {PREVIOUS}{name} AS FROM {name} WHERE false;" for name in CARRIED_TABLES]
    parts.append("\n-- What queries make between the two.")
    parts += [f"CREATE OR REPLACE VIEW {query.output} AS\n{_with_variables(query)};\n" for query in _between()]
    return "\n".join(parts).rstrip() + "\n"


def describe_inputs(engine: "Engine", staged: "Staged") -> dict[str, Any]:
    """Return what ``inputs.json`` of a run holds: by input table its files, and the SELECTs that read and type them.

    ``gone`` and ``gone_typed`` are what a session binds where a file has been moved since: they have the columns, and
    say so when they are read.
    """
    said = {}
    for name, table in staged.tables.items():
        source = table.source
        scan, files_here, gone = "SELECT NULL AS nothing WHERE false", [], ""
        if source is not None:
            there = FileSet(source.files, source.format, source.hive_partitioning, source.csv)
            scan = f"SELECT * FROM {reader_sql(there)}"
            files_here = [literal_path(file) for file in source.files if file not in source.addresses]
            gone = f"the files behind {name} are no longer where the snapshot was built from"
        typed = table.sql
        if table.decisions is not None:
            typed = sends_sql(typed, reader_sql(file_set(table.decisions)))
            files_here += [literal_path(file) for file in table.decisions.files]
        said[name] = {
            "files": files_here,
            "scan": scan,
            "typed": typed,
            "gone": _gone(gone, table.raw_columns),
            "gone_typed": _gone(gone, engine.columns(name)),
        }
    return said


def _gone(message: str, columns: Mapping[str, str]) -> str:
    # every column hangs on the error, so that no plan gets around it
    quoted = (f'CAST(said AS {type_}) AS "{name.replace(chr(34), chr(34) * 2)}"' for name, type_ in columns.items())
    error = f"SELECT CAST(error({_text(message)}) AS VARCHAR) AS said"
    return f"SELECT {', '.join(quoted) or 'said'} FROM ({error}) WHERE coalesce(said, '') = ''"


def _parameters() -> dict[str, Parameter]:
    every = (*queries().values(), *checks().values())
    found = {parameter.name: parameter for query in every for parameter in query.parameters}
    return {name: found[name] for name in sorted(found)}


def _between() -> list[Query]:
    # in the order in which they can be made: a view is bound when it is created
    waiting = {
        q.output: q for q in queries().values() if q.output not in OUTPUT_TABLES and q.output not in INPUT_TABLES
    }
    ordered: list[Query] = []
    while waiting:
        ready = [name for name, query in waiting.items() if not waiting.keys() & set(query.inputs)]
        ordered += [waiting.pop(name) for name in ready]
        if not ready:
            break
    return ordered


def _with_variables(query: Query) -> str:
    # In a script of many statements Python's client takes $name for a parameter of the script.
    names = "|".join(parameter.name for parameter in query.parameters)
    return re.sub(rf"\$({names})\b", r"getvariable('\1')", query.sql) if names else query.sql


def _pointer(warehouse: str) -> str:
    return f"""\
SET VARIABLE warehouse = coalesce(getvariable('warehouse'), {_text(warehouse)});
SET VARIABLE run = (
  SELECT getvariable('warehouse') || '/runs/' || coalesce(getvariable('run_id'), run_id)
  FROM read_json(getvariable('warehouse') || '/current.json', columns = {{run_id: 'VARCHAR'}})
);
"""


def _variable(parameter: Parameter) -> str:
    default = f", {parameter.default}" if parameter.default else ""
    stored = f"CAST(parameters ->> '{parameter.name}' AS {parameter.type})"
    value = f"coalesce({stored}{default})" if default else stored
    return (
        f"SET VARIABLE {parameter.name} = (\n  SELECT {value}\n"
        f"  FROM read_json(getvariable('run') || '/manifest.json', columns = {{parameters: 'JSON'}})\n);"
    )


def _stored(name: str) -> str:
    return f"CREATE OR REPLACE VIEW {name} AS FROM read_parquet(getvariable('run') || '/{name}.parquet');"


def _input(name: str) -> str:
    kept = "STRUCT(files VARCHAR[], scan VARCHAR, typed VARCHAR, gone VARCHAR, gone_typed VARCHAR)"
    # The pointer is counted with the files: glob refuses an empty list.
    return f"""\
SET VARIABLE input = (
  SELECT {name} FROM read_json(getvariable('run') || '/{INPUTS}', columns = {{{name}: '{kept}'}})
);
SET VARIABLE input_files = list_append(getvariable('input').files, getvariable('warehouse') || '/current.json');
SET VARIABLE input_is_here = (SELECT count(*) = len(getvariable('input_files')) FROM glob(getvariable('input_files')));
SET VARIABLE {name}_scan = if(getvariable('input_is_here'), getvariable('input').scan, getvariable('input').gone);
SET VARIABLE {name}_typed = if(
  getvariable('input_is_here'), getvariable('input').typed, getvariable('input').gone_typed
);
CREATE OR REPLACE VIEW raw_{name} AS FROM query(getvariable('{name}_scan'));
CREATE OR REPLACE VIEW {name} AS FROM query(getvariable('{name}_typed'));
"""


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
