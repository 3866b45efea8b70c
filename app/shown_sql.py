"""SQL as a reader can run it over a run's tables: the app's own lists spelled out, the values of its parameters."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any


def as_shown(sql: str, values: Mapping[str, Any], lists: Mapping[str, str]) -> str:
    """Return a statement with what it needs to be understood and run without the app.

    Parameters
    ----------
    sql : str
    values : Mapping
        Of its parameters, told in comments above it.
    lists : Mapping of str to str
        Tables that the app makes for itself, with the SQL that makes each: those that the statement reads go before it.

    Examples
    --------
    >>> print(as_shown("SELECT count(*) FROM best WHERE v > $v", {"v": 2}, {"best": "SELECT 3 AS v", "other": ""}))
    -- $v = 2
    WITH best AS (
      SELECT 3 AS v
    )
    SELECT count(*) FROM best WHERE v > $v
    """
    read = [
        name
        for name in lists
        if re.search(rf"\b(FROM|JOIN)\s+{name}\b", sql) and not re.search(rf"\b{name} AS \(", sql)
    ]
    if read:
        spelled = ",\n".join(f"{name} AS (\n{_indented(lists[name])}\n)" for name in read)
        own = re.match(r"\s*WITH\s+", sql)
        sql = f"WITH {spelled},\n{sql[own.end() :]}" if own else f"WITH {spelled}\n{sql}"
    return "\n".join([*told(values), sql])


def told(values: Mapping[str, Any]) -> list[str]:
    """Return the values of parameters as comments, as SQL writes them.

    Examples
    --------
    >>> told({"as_of": date(2017, 12, 31), "name": "O'Brien"})
    ["-- $as_of = DATE '2017-12-31'", "-- $name = 'O''Brien'"]
    """
    return [f"-- ${name} = {_literal(value)}" for name, value in values.items()]


def _literal(value: Any) -> str:
    if isinstance(value, date):
        return f"DATE '{value.isoformat()}'"
    if isinstance(value, str):
        # a line of its own would be no comment
        return "'" + " ".join(value.replace("'", "''").splitlines()) + "'"
    return "NULL" if value is None else str(value)


def _indented(sql: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in sql.strip().splitlines())
