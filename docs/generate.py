"""Write what is read off the code: data dictionary, queries, checks, the SQL user's door, the API's description.

``python docs/generate.py`` rewrites them; ``--check`` fails where one is out of date (a test runs that).
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from regulars.app.api_description import description
from regulars.sql import catalog, contract, door
from regulars.sql.durability import canonical_json

DOCS = Path(__file__).parent
NOTE = "<!-- made by `make docs`; edit the code it is read from instead -->\n"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def data_dictionary() -> str:
    """Every input and output table of the contract, column by column."""
    parts = [
        "# Data dictionary",
        NOTE,
        "Ids are VARCHAR, a week is the DATE of its first day, money is DECIMAL(18,2) in one reporting currency.",
    ]
    for title, tables in (
        ("Input tables", contract.INPUT_TABLES),
        ("Tables of a snapshot", contract.OUTPUT_TABLES),
        ("Tables beside the snapshots", contract.BESIDE_TABLES),
    ):
        parts.append(f"## {title}")
        for table in tables.values():
            grain = f" One row per {', '.join(f'`{name}`' for name in table.grain)}." if table.grain else ""
            rows = (
                (
                    f"`{column.name}`" + ("" if column.required else " (optional)"),
                    column.type,
                    column.unit,
                    column.meaning + (" **(personal)**" if column.personal else ""),
                )
                for column in table.columns
            )
            parts += [f"### {table.name}", table.meaning + grain, _table(("column", "type", "unit", "meaning"), rows)]
    for title, words in (
        ("Why a line is set aside", contract.SET_ASIDE_REASONS),
        ("Segments", contract.SEGMENTS),
        ("Why a line does not count in the price panel", contract.PANEL_REASONS),
        ("Where a price in the price panel comes from", contract.PRICE_RULES),
        ("Whether stock in the price panel is known", contract.STOCK_RULES),
    ):
        rows = ((f"`{word}`", meaning) for word, meaning in words.items())
        parts += [f"## {title}", _table(("value", "meaning"), rows)]
    return "\n\n".join(parts) + "\n"


def query_reference() -> str:
    """Every named query and check: what it says, reads, makes and takes."""
    parts = [
        "# Queries and checks",
        NOTE,
        "Each is one file that runs unchanged on DuckDB and Spark: `regulars query NAME`, `db.query(name)`, "
        "or by hand (see [the SQL user's door](sql.md)).",
        "## Queries",
    ]
    for query in catalog.queries().values():
        takes = ", ".join(f"`${p.name}` {p.type}" for p in query.parameters) or "none"
        facts = f"Reads {', '.join(f'`{name}`' for name in query.inputs)}; makes `{query.output}`; parameters: {takes}."
        parts += [f"### {query.name}", query.meaning, facts]
    parts.append("## Checks")
    rows = ((f"`{c.name}`", c.severity, c.meaning, c.message) for c in catalog.checks().values())
    parts.append(_table(("check", "severity", "looks for", "what to do"), rows))
    return "\n\n".join(parts) + "\n"


PAGES = {
    "data-dictionary.md": data_dictionary,
    "queries.md": query_reference,
    "../sql/open.sql": door.open_script,
    "openapi.json": lambda: canonical_json(description()),
}


def main(arguments: list[str] | None = None) -> int:
    """Write the pages, or with ``--check`` say which are out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a page is out of date")
    options = parser.parse_args(arguments)
    stale = []
    for name, make in PAGES.items():
        page, text = DOCS / name, make()
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            stale.append(name)
            if not options.check:
                page.write_text(text, encoding="utf-8")
    if options.check and stale:
        sys.stderr.write(f"out of date: {', '.join(stale)}; run 'make docs'\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
