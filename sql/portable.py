"""The subset of SQL that DuckDB and Spark read alike: the lint that keeps queries in it, and the way to Spark.

``python -m regulars.sql.portable`` lints every file of ``sql/queries`` and ``sql/checks`` and exits with 1 where one
leaves the subset.
"""

import argparse
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import sqlglot
import sqlglot.expressions as exp
from sqlglot.errors import ParseError, UnsupportedError

from .catalog import parse_query
from .errors import SettingsError
from .portable_rules import RULES


@dataclass(frozen=True)
class Finding:
    """Where a query leaves the subset: file, line, rule, and what to write instead."""

    file: str
    line: int
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.rule}: {self.message}"


@lru_cache(maxsize=1024)
def to_spark(sql: str) -> str:
    """Return a DuckDB statement of the portable subset in Spark's dialect; ``$name`` becomes ``:name``.

    Raises
    ------
    SettingsError
        The statement cannot be read, or uses what Spark has no word for.

    Examples
    --------
    >>> to_spark("SELECT date_diff('day', first_order_on, $as_of) AS age FROM customer_summary")
    'SELECT DATEDIFF(DAY, first_order_on, :as_of) AS age FROM customer_summary'
    """
    try:
        tree = sqlglot.parse_one(sql, read="duckdb")
        for type_ in tree.find_all(exp.DataType):
            # Spark's plain TIMESTAMP is without a zone in our sessions
            if type_.this == exp.DataType.Type.TIMESTAMPTZ:
                type_.set("this", exp.DataType.Type.TIMESTAMPLTZ)
        return tree.sql(dialect="spark", unsupported_level=sqlglot.ErrorLevel.RAISE)
    except (ParseError, UnsupportedError) as error:
        raise SettingsError(
            f"no way to Spark: {_first_line(error)}; keep to the subset that the lint allows"
        ) from error


def lint_text(name: str, text: str, file: str | None = None) -> list[Finding]:
    r"""Return where the text of one query file leaves the portable subset, by line.

    Examples
    --------
    >>> text = "-- Halves.\n-- inputs: t\n-- output: halves\n-- grain:\n-- parameters:\nSELECT a / b AS half FROM t"
    >>> print(*lint_text("halves", text))
    halves.sql:6: divisors: / b may divide by zero; write / nullif(b, 0)
    """
    file = file or f"{name}.sql"
    try:
        query = parse_query(name, text)
    except SettingsError as error:
        return [Finding(file, 1, "headers", str(error))]
    before = next((i for i, line in enumerate(text.splitlines()) if not line.startswith("--")), 0)
    body = "\n" * before + "\n".join(text.splitlines()[before:])
    try:
        trees = [tree for tree in sqlglot.parse(body, read="duckdb") if tree is not None]
        to_spark(query.sql)
    except (ParseError, SettingsError) as error:
        return [Finding(file, before + 1, "syntax", _first_line(error))]
    if len(trees) != 1 or not isinstance(trees[0], exp.Query):
        return [Finding(file, before + 1, "syntax", "a file holds one SELECT, with or without WITH, and nothing else")]
    findings = {
        Finding(file, _line(node, before + 1), rule.__name__, message)
        for rule in RULES
        for node, message in rule(trees[0], query)
    }
    return sorted(findings, key=lambda finding: (finding.line, finding.rule, finding.message))


def lint_files(paths: Iterable[Path]) -> list[Finding]:
    """Return where query files leave the portable subset, file by file.

    Examples
    --------
    >>> lint_files(query_files())
    []
    """
    return [finding for path in paths for finding in lint_text(path.stem, path.read_text("utf-8"), str(path))]


def query_files() -> list[Path]:
    """Every file of ``sql/queries`` and ``sql/checks``.

    Examples
    --------
    >>> "customer_days" in {path.stem for path in query_files()}
    True
    """
    folder = Path(__file__).parent
    return [path for part in ("queries", "checks") for path in sorted((folder / part).glob("*.sql"))]


def main(arguments: list[str] | None = None) -> int:
    """Lint files, or all queries and checks; print one line a finding and return 1 where there is any."""
    parser = argparse.ArgumentParser(prog="python -m regulars.sql.portable", description=main.__doc__)
    parser.add_argument("files", nargs="*", type=Path)
    paths = parser.parse_args(arguments).files or query_files()
    findings = lint_files(paths)
    sys.stdout.writelines(f"{finding}\n" for finding in findings)
    sys.stdout.write(f"{len(paths)} files, {len(findings)} findings\n")
    return 1 if findings else 0


def _line(node: exp.Expr, default: int) -> int:
    lines = [part.meta["line"] for part in node.walk() if "line" in part.meta]
    return min(lines, default=default)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


if __name__ == "__main__":
    raise SystemExit(main())
