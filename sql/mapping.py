"""From a shop's own columns to the contract's: names or SQL expressions in, one typed SELECT out."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from .contract import INPUT_TABLES, SECTIONS, Column
from .conversions import converted, kind_of, readable_kinds, readable_types, text_of
from .errors import ContractError, nearest

if TYPE_CHECKING:
    from sqlglot.expressions.core import Expression

    from .settings import Settings

# Tables whose further columns are kept as they are: covariates, category levels, flags.
OPEN_TABLES = frozenset({"customers", "products", "promotions"})

# Columns whose unreadable values keep their text beside them.
TEXT_KEPT: Mapping[str, tuple[str, ...]] = {"order_lines": ("ordered_at", "revenue")}

# Kinds of which every value but NULL is read.
_ALWAYS_TYPED = frozenset({"null", "date", "timestamp", "nanoseconds", "zoned"})

# Functions whose answer depends on more than the line, though the engine's catalogue calls them constant.
_OUTSIDE_THE_LINE = frozenset({"getenv", "getvariable", "current_setting", "nextval", "currval", "get_current_time"})


@dataclass(frozen=True)
class MappedColumn:
    """A staged column: the SQL that feeds it, that SQL's type and kind ("" for a covariate), what it reads.

    ``said`` is what the settings say, or the column's own name; ``reads`` are columns of the file.
    """

    name: str
    said: str
    expression: str
    type: str
    kind: str
    reads: tuple[str, ...]

    @property
    def is_plain(self) -> bool:
        """True where it is a column of the file as it is."""
        return len(self.reads) == 1 and self.expression == quoted(self.reads[0])


def staging_sql(table: str, raw_columns: Mapping[str, str], settings: "Settings") -> str:
    """Return the SELECT that types ``raw_<table>`` into the contract's columns, in DuckDB's dialect.

    The columns come in the contract's order; ``order_lines`` has ``ordered_at_text`` and ``revenue_text`` after them,
    open tables their further columns.

    Parameters
    ----------
    table : str
        One of ``contract.INPUT_TABLES``.
    raw_columns : mapping of str to str
        The file's columns with their DuckDB types.
    settings : Settings
        Says which column or expression feeds which contract column, and the shop's time zone.

    Raises
    ------
    ContractError
        A required column is missing, an expression is not allowed, or a type cannot be read; the text names the
        column and what to write.

    Examples
    --------
    >>> from regulars.sql.settings import Settings
    >>> settings = Settings.from_mapping({"exchange_rates": {"path": "rates.csv"}, "orders": {"path": "o.parquet"}})
    >>> print(staging_sql("exchange_rates", {"currency": "VARCHAR", "day": "DATE", "rate": "DECIMAL(9,4)"}, settings))
    SELECT
      "currency" AS "currency",
      "day" AS "day",
      TRY_CAST("rate" AS DECIMAL(18, 8)) AS "rate"
    FROM (SELECT
      "currency" AS "currency",
      "day" AS "day",
      "rate" AS "rate"
    FROM "raw_exchange_rates") AS mapped
    """
    mapped = map_columns(table, raw_columns, settings)
    by_name = {column.name: column for column in mapped}
    zone = settings.shop.timezone
    outer = [f"{typed_sql(c, by_name.get(c.name), zone)} AS {quoted(c.name)}" for c in INPUT_TABLES[table].columns]
    for name in TEXT_KEPT.get(table, ()):
        typed = typed_sql(INPUT_TABLES[table].column(name), by_name[name], zone)
        outer.append(f"{_kept_text(by_name[name], typed, raw_columns)} AS {name}_text")
    outer += [quoted(column.name) for column in mapped if not column.kind]
    return "SELECT\n  " + ",\n  ".join(outer) + f"\nFROM {mapped_sql(table, mapped)}"


def mapped_sql(table: str, mapped: Sequence[MappedColumn]) -> str:
    """Return the FROM item of :func:`staging_sql`: the mapped columns, not yet typed.

    Examples
    --------
    >>> print(mapped_sql("stock", [MappedColumn("sku", "item", '"item"', "VARCHAR", "text", ("item",))]))
    (SELECT
      "item" AS "sku"
    FROM "raw_stock") AS mapped
    """
    inner = {column.name: column.expression for column in mapped}
    for column in mapped:
        if column.name in TEXT_KEPT.get(table, ()):
            inner |= {_aside(name): quoted(name) for name in column.reads}
    chosen = ",\n  ".join(f"{sql} AS {quoted(name)}" for name, sql in inner.items())
    return f'(SELECT\n  {chosen}\nFROM "raw_{table}") AS mapped'


def typed_sql(column: Column, mapped: MappedColumn | None, timezone: str) -> str:
    """Return the SQL that reads a mapped column as the contract's type; NULL of that type where nothing feeds it.

    Examples
    --------
    >>> from regulars.sql.contract import STOCK
    >>> typed_sql(STOCK.column("sku"), MappedColumn("sku", "item", '"item"', "BIGINT", "integer", ("item",)), "UTC")
    'CAST("sku" AS VARCHAR)'
    """
    if mapped is None or mapped.kind == "null":
        return f"CAST(NULL AS {column.type})"
    if mapped.type == column.type:
        return quoted(column.name)
    return converted(quoted(column.name), mapped.kind, column.type, timezone)


def map_columns(table: str, raw_columns: Mapping[str, str], settings: "Settings") -> list[MappedColumn]:
    """Find the SQL and type behind each contract column that the file can feed, then the covariates.

    Raises
    ------
    ContractError
        As :func:`staging_sql`.

    Examples
    --------
    >>> from regulars.sql.settings import Settings
    >>> settings = Settings.from_mapping({"orders": {"path": "o.parquet", "columns": {"revenue": "pieces * price"}}})
    >>> raw = {"customer_id": "BIGINT", "ordered_at": "DATE", "pieces": "INTEGER", "price": "DECIMAL(9,2)"}
    >>> [(column.name, column.type) for column in map_columns("order_lines", raw, settings)]
    [('customer_id', 'BIGINT'), ('ordered_at', 'DATE'), ('revenue', 'DECIMAL(18,2)')]
    """
    contract = INPUT_TABLES[table]
    source = settings.source(table)
    said = dict(source.columns) if source else {}
    place = f"{settings.origin}: [{SECTIONS[table]}]"
    for name in said:
        if name not in contract.column_names and table not in OPEN_TABLES:
            raise ContractError(
                f"{place} columns.{name}: {table} has no column {name!r}{nearest(name, contract.column_names)}; "
                f"allowed: {', '.join(contract.column_names)}; correct or remove it"
            )
    for column in contract.columns:
        if column.name not in said and column.name in raw_columns:
            said[column.name] = column.name
        if column.required and column.name not in said:
            raise ContractError(
                f"{place} columns: nothing feeds {column.name} ({column.meaning}), and the file has no column of that "
                f"name{nearest(column.name, list(raw_columns))}; its columns: {_listed(raw_columns)}; "
                f'write columns = {{ {column.name} = "a column or a SQL expression" }}'
            )
    further = [name for name in said if name not in contract.column_names]
    ordered = {name: said[name] for name in (*contract.column_names, *further) if name in said}
    expressions = {n: _resolved(f"{place} columns.{n}", text, raw_columns) for n, text in ordered.items()}
    types = _types(expressions, raw_columns, f"{place} columns")
    mapped = []
    for name, sql in expressions.items():
        kind = "" if name in further else _kind(place, contract.column(name), ordered[name], types[name])
        mapped.append(MappedColumn(name, ordered[name], sql, types[name], kind, _columns_in(sql, raw_columns)))
    if table in OPEN_TABLES:
        used = {sql.lower() for sql in expressions.values()}
        taken = {name.lower() for name in (*expressions, *contract.column_names)}
        mapped += [
            MappedColumn(name, name, quoted(name), type_, "", (name,))
            for name, type_ in raw_columns.items()
            if name.lower() not in taken and quoted(name).lower() not in used
        ]
    return mapped


def quoted(name: str) -> str:
    """Return a name as a quoted SQL identifier.

    Examples
    --------
    >>> quoted("customer id")
    '"customer id"'
    """
    return '"' + name.replace('"', '""') + '"'


def _listed(raw_columns: Mapping[str, str]) -> str:
    names = list(raw_columns)
    return ", ".join(names[:40]) + (f" and {len(names) - 40} more" if len(names) > 40 else "")


def _columns_in(sql: str, raw_columns: Mapping[str, str]) -> tuple[str, ...]:
    by_quoted = {quoted(name): name for name in raw_columns}
    if sql in by_quoted:
        return (by_quoted[sql],)
    from sqlglot import exp, parse_one

    read = {column.parts[0].name.lower() for column in parse_one(sql, read="duckdb").find_all(exp.Column)}
    return tuple(name for name in raw_columns if name.lower() in read)


def _resolved(place: str, text: str, raw_columns: Mapping[str, str]) -> str:
    if text in raw_columns:
        return quoted(text)
    bare = text[1:-1].replace('""', '"') if re.fullmatch(r'"([^"]|"")+"', text) else text.strip()
    by_lower = {name.lower(): name for name in raw_columns}
    if bare.lower() in by_lower:
        return quoted(by_lower[bare.lower()])
    _check_expression(place, text, raw_columns)
    # The line break ends a comment that the expression may hold.
    return f"({text}\n)"


def _check_expression(place: str, text: str, raw_columns: Mapping[str, str]) -> None:
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    said = f"{place} = {text!r}"
    try:
        statements = sqlglot.parse(f"SELECT {text}\n", read="duckdb")
    except SqlglotError as error:
        raise ContractError(
            f"{said} is neither a column of the file nor a SQL expression ({str(error).splitlines()[0]}); "
            f"its columns: {_listed(raw_columns)}; write one of them, or an expression such as 'quantity * unit_price'"
        ) from None
    select = statements[0] if len(statements) == 1 else None
    if (
        not isinstance(select, exp.Select)
        or len(select.expressions) != 1
        or any(value for key, value in select.args.items() if key not in ("expressions", "kind"))
    ):
        raise ContractError(f"{said} is not one expression; write a single one over the file's columns")
    tree = select.expressions[0]
    refused = _refused_node(tree) or _refused_function(text)
    if refused:
        raise ContractError(
            f"{said} holds {refused}; allowed: one scalar expression over the columns of a line; "
            "rewrite it, or prepare the file beforehand"
        )
    known = {name.lower() for name in raw_columns}
    known |= {argument.name.lower() for made in tree.find_all(exp.Lambda) for argument in made.expressions}
    for column in tree.find_all(exp.Column):
        first = column.parts[0].name
        if first.lower() not in known:
            raise ContractError(
                f"{said}: the file has no column {first!r}{nearest(first, list(raw_columns))}; "
                f"its columns: {_listed(raw_columns)}; correct the name"
            )


def _refused_node(tree: "Expression") -> str:
    from sqlglot import exp

    sorts: dict[str, tuple[type, ...]] = {
        "a subquery": (exp.Query, exp.Subquery),
        "a window function": (exp.Window,),
        "an aggregate": (exp.AggFunc,),
        "a star": (exp.Star,),
        "an alias": (exp.Alias, exp.Aliases),
        "a function that makes rows": (exp.UDTF, exp.Explode, exp.Unnest),
        "a parameter": (exp.Parameter, exp.Placeholder, exp.SessionParameter),
        "a value that changes by itself": (exp.CurrentDate, exp.CurrentTimestamp, exp.CurrentTime, exp.Rand, exp.Uuid),
        "a statement": (exp.DDL, exp.Insert, exp.Update, exp.Delete, exp.Command),
    }
    for node in tree.walk():
        for name, types in sorts.items():
            if isinstance(node, types):
                return f"{name}, {node.sql(dialect='duckdb')!r}"
    return ""


def _refused_function(text: str) -> str:
    import duckdb
    from sqlglot.dialects.duckdb import DuckDB

    called = sorted({first.text.lower() for first, second in pairwise(DuckDB().tokenize(text)) if second.text == "("})
    with duckdb.connect() as connection:
        found = connection.execute(
            "SELECT function_name, list(DISTINCT function_type), list(DISTINCT stability) FROM duckdb_functions() "
            "WHERE list_contains($1, function_name) GROUP BY function_name ORDER BY function_name",
            [called],
        ).fetchall()
    for name, types, stabilities in found:
        if set(types) <= {"aggregate", "table", "pragma"}:
            return f"an aggregate or a table, '{name}'"
        if name in _OUTSIDE_THE_LINE or set(stabilities) & {"VOLATILE", "CONSISTENT_WITHIN_QUERY"}:
            return f"a value that changes by itself, '{name}'"
    outside = sorted(set(called) & _OUTSIDE_THE_LINE)
    return f"a value from outside the line, '{outside[0]}'" if outside else ""


def _types(expressions: Mapping[str, str], raw_columns: Mapping[str, str], place: str) -> dict[str, str]:
    by_quoted = {quoted(name): type_ for name, type_ in raw_columns.items()}
    types = {name: by_quoted[sql] for name, sql in expressions.items() if sql in by_quoted}
    if len(types) == len(expressions):
        return types
    import duckdb

    with duckdb.connect() as connection:
        columns = ", ".join(f"{quoted(name)} {type_}" for name, type_ in raw_columns.items())
        connection.execute(f"CREATE TABLE raw ({columns})")
        for name, sql in expressions.items():
            if name in types:
                continue
            try:
                row = connection.execute(f"DESCRIBE SELECT {sql} AS x FROM raw").fetchone()
            except duckdb.Error as error:
                text = sql[1:-2]
                inputs = ", ".join(f"{c} {raw_columns[c]}" for c in _columns_in(sql, raw_columns)) or "no column"
                raise ContractError(
                    f"{place}.{name} = {text!r}: {str(error).splitlines()[0]}; it reads {inputs}; "
                    "correct it, with CAST(column AS DOUBLE) and the like where a type does not fit"
                ) from None
            types[name] = str(row[1]) if row else ""
    return types


def _kind(place: str, column: Column, said: str, type_: str) -> str:
    kind = kind_of(type_)
    if kind == "null" or kind in readable_kinds(column.type):
        return kind
    raise ContractError(
        f"{place} columns.{column.name}: {said} is {type_}, which cannot be read as {column.type}; "
        f"allowed: {readable_types(column.type)}; {_suggestion(column, kind, type_, said)}"
    )


def _suggestion(column: Column, kind: str, type_: str, said: str) -> str:
    bare = said.strip('"')
    if column.type in ("TIMESTAMP", "DATE") and kind in ("integer", "double", "decimal"):
        return (
            f"for numbers like 19970101 write {column.name} = \"strptime(CAST({bare} AS VARCHAR), '%Y%m%d')\", "
            f'for seconds since 1970 write {column.name} = "to_timestamp({bare})"'
        )
    made = f"decode({bare})" if type_ == "BLOB" else f"CAST({bare} AS {column.type})"
    return f'write an expression that makes it one, such as {column.name} = "{made}"'


def _kept_text(mapped: MappedColumn, typed: str, raw_columns: Mapping[str, str]) -> str:
    never_unreadable = mapped.kind in _ALWAYS_TYPED or typed == quoted(mapped.name)
    if not mapped.reads or (mapped.is_plain and never_unreadable):
        return "CAST(NULL AS VARCHAR)"
    asides = [quoted(_aside(name)) for name in mapped.reads]
    texts = [text_of(aside, raw_columns[name]) for aside, name in zip(asides, mapped.reads, strict=True)]
    if len(asides) == 1:
        return f"CASE WHEN {typed} IS NULL THEN {texts[0]} END"
    names = [f"{name}=".replace("'", "''") for name in mapped.reads]
    parts = [f"'{name}' || COALESCE({text}, 'NULL')" for name, text in zip(names, texts, strict=True)]
    there = " OR ".join(f"{aside} IS NOT NULL" for aside in asides)
    together = " || ', ' || ".join(parts)
    return f"CASE WHEN {typed} IS NULL AND ({there}) THEN {together} END"


def _aside(name: str) -> str:
    return f"{name} as in the file"
