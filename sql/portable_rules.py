"""What a query must keep to so that DuckDB and Spark give the same rows: one rule a function, over the syntax tree.

Each rule yields the node at fault and what to write instead. What is forbidden was found by running it on both
engines, and tests/sql/test_engines_agree.py shows that it still differs; a function that is not in ``AGREED`` counts as
different until that test shows otherwise.
"""

import re
from collections.abc import Callable, Iterator, Mapping

import sqlglot.expressions as exp

from . import contract
from .catalog import Query

Fault = tuple[exp.Expr, str]
Rule = Callable[[exp.Expr, Query], Iterator[Fault]]

# Functions that tests/sql/test_engines_agree.py has run on both engines.
AGREED: frozenset[type[exp.Expr]] = frozenset(
    {
        exp.Abs, exp.ArgMax, exp.ArgMin, exp.Avg, exp.Cast, exp.Ceil, exp.Coalesce, exp.Concat, exp.Count, exp.DateDiff,
        exp.DateFromParts, exp.Day, exp.DenseRank, exp.Exists, exp.Exp, exp.Floor, exp.Greatest, exp.GroupConcat,
        exp.Lag, exp.LastDay, exp.Lead, exp.Least, exp.Length, exp.Ln, exp.Lower, exp.MD5, exp.Max, exp.Median, exp.Min,
        exp.Month, exp.Ntile, exp.Nullif, exp.Rank, exp.Round, exp.RowNumber, exp.Sqrt, exp.Substring, exp.Sum,
        exp.TimestampTrunc, exp.Trim, exp.Trunc, exp.TryCast, exp.Upper, exp.Year,
    }
)  # fmt: skip

# Syntax that sqlglot holds as functions.
_SYNTAX = (exp.Case, exp.If, exp.And, exp.Or, exp.Not, exp.Between)

_CLOCK = "changes from run to run; bind $as_of"
_ANY_ROW = "takes whichever row comes first; write min(x), or arg_min(x, key)"
_QUANTILE = "is worked out differently on Spark; write median(x), or ntile() with min and max of each part"
_WEEKDAY = "numbers weekdays differently on Spark; count days from a bound Monday: date_diff('day', $monday, day) % 7"
_SERIES = "does not run on Spark; cross join a VALUES of digits, as cohorts.sql does"
_MOMENTS = "is worked out differently on Spark; write it with sums of powers"

# What differs or fails on Spark, by sqlglot's class or by the name that DuckDB knows, and what to write instead.
WRITE_INSTEAD: Mapping[type[exp.Expr] | str, str] = {
    exp.ArrayAgg: "loses its order on Spark; write string_agg(x, ',' ORDER BY key), or keep rows and row_number()",
    exp.First: _ANY_ROW,
    exp.Last: _ANY_ROW,
    exp.AnyValue: _ANY_ROW,
    exp.Mode: _ANY_ROW,
    exp.Rand: "changes from run to run; order by md5(id) to pick rows",
    exp.CurrentDate: _CLOCK,
    exp.CurrentTimestamp: _CLOCK,
    exp.CurrentTime: _CLOCK,
    exp.PercentileCont: _QUANTILE,
    exp.PercentileDisc: _QUANTILE,
    exp.Quantile: _QUANTILE,
    exp.ApproxQuantile: _QUANTILE,
    exp.DayOfWeek: _WEEKDAY,
    exp.DayOfWeekIso: _WEEKDAY,
    exp.Extract: "takes parts that are numbered differently on Spark; write year(day), month(day) or day(day)",
    exp.Explode: _SERIES,
    exp.Unnest: _SERIES,
    exp.GenerateSeries: _SERIES,
    exp.UnixToTime: "counts from 1970 in other units on Spark; write date_diff('day', a, b)",
    exp.TimeToStr: "formats differently on Spark; CAST(day AS VARCHAR) gives 2017-12-31",
    exp.Skewness: _MOMENTS,
    exp.Kurtosis: _MOMENTS,
    exp.Columns: "does not run on Spark; name the columns",
    exp.JSONExtract: "may be a lambda, which DuckDB no longer reads so; write rows and joins",
    exp.Slice: "does not run on Spark; write substr(text, from, length)",
    exp.Bracket: "indexes differently on Spark; write rows and row_number()",
    exp.Pivot: "does not run on Spark; write sum(x) FILTER (WHERE kind = 'a') for each column",
    exp.TableSample: "picks other rows on each engine; filter by md5(id)",
    exp.Lambda: "does not run on Spark; write rows and joins",
    "hash": "gives other numbers on Spark; write md5(x)",
    "date_sub": "does not run on Spark; write date_diff('day', a, b)",
    "lgamma": "does not run on Spark; work it out in Python",
    "list_sum": "does not run on Spark; keep rows and sum(x)",
    "isodow": _WEEKDAY,
    "range": _SERIES,
    "quantile_cont": _QUANTILE,
    "kurtosis_pop": _MOMENTS,
    "today": _CLOCK,
    "now": _CLOCK,
}

_WHOLE = (exp.Count, exp.RowNumber, exp.Rank, exp.DenseRank, exp.Ntile, exp.DateDiff, exp.Year, exp.Month, exp.Day,
          exp.IntDiv, exp.Length)  # fmt: skip
_ROUNDED = (exp.Round, exp.Trunc, exp.Floor, exp.Ceil)
_PASSES_ON = (
    exp.Sum,
    exp.Min,
    exp.Max,
    exp.Coalesce,
    exp.Paren,
    exp.Neg,
    exp.Add,
    exp.Sub,
    exp.Mul,
    exp.Filter,
    exp.Window,
)
_INTEGERS = exp.DataType.INTEGER_TYPES
_LARGEST_PLAIN_NUMBER = 366


def _contract_tables() -> dict[str, contract.Table]:
    return {t.name: t for t in vars(contract).values() if isinstance(t, contract.Table)}


def _columns_of_type(*starts: str) -> frozenset[str]:
    columns = [c for t in _contract_tables().values() for c in t.columns]
    found = {c.name for c in columns if c.type.startswith(starts)}
    return frozenset(found - {c.name for c in columns if not c.type.startswith(starts)})


TABLES = _contract_tables()
_FRACTIONS = _columns_of_type("DECIMAL", "DOUBLE")
_FLOATS = _columns_of_type("DOUBLE")
_DATES = _columns_of_type("DATE")
_MOMENTS_IN_TIME = _columns_of_type("TIMESTAMP")


def functions(tree: exp.Expr, _: Query) -> Iterator[Fault]:
    """Only functions and constructs that agree."""
    for node in tree.walk():
        name = node.name.lower() if isinstance(node, exp.Anonymous | exp.AnonymousAggFunc) else ""
        said = WRITE_INSTEAD.get(name) or next((WRITE_INSTEAD[c] for c in type(node).__mro__ if c in WRITE_INSTEAD), "")
        if said:
            yield node, f"{name or _spelling(node)} {said}"
        elif isinstance(node, exp.Log) and node.expression is None:
            yield node, "log(x) is base 10 in DuckDB and base e on Spark; write ln(x) or ln(x) / ln(10)"
        elif isinstance(node, exp.Func) and not isinstance(node, (*AGREED, *_SYNTAX)):
            yield (
                node,
                f"{name or _spelling(node)} is not known to give the same on Spark; use a function of "
                "portable_rules.AGREED, or add it there with its line in tests/sql/test_engines_agree.py",
            )


def joins(tree: exp.Expr, _: Query) -> Iterator[Fault]:
    """No ASOF, POSITIONAL or NATURAL join."""
    for node in tree.find_all(exp.Join):
        kind = str(node.args.get("method") or node.args.get("kind") or "").upper()
        if kind in ("ASOF", "POSITIONAL", "NATURAL"):
            instead = "join on the last row before: lead(day) OVER (...) AS next_day, then a >= day AND a < next_day"
            yield node, f"{kind} JOIN does not run on Spark; {instead if kind == 'ASOF' else 'name the keys in ON'}"


def star_replace(tree: exp.Expr, _: Query) -> Iterator[Fault]:
    """No ``* REPLACE`` and no ``* RENAME``."""
    for node in tree.find_all(exp.Star):
        for word in ("replace", "rename"):
            if node.args.get(word):
                yield node, f"* {word.upper()} does not run on Spark; name the columns"


def divisors(tree: exp.Expr, _: Query) -> Iterator[Fault]:
    """Every divisor is a number other than zero, or ``nullif(x, 0)``."""
    for node in tree.find_all(exp.Div, exp.IntDiv, exp.Mod):
        divisor = node.expression.unnest()
        is_number = isinstance(divisor, exp.Literal) and divisor.is_number and float(divisor.name) != 0
        is_guarded = isinstance(divisor, exp.Nullif) and divisor.expression.name == "0"
        if not (is_number or is_guarded):
            sign = {exp.Div: "/", exp.IntDiv: "//", exp.Mod: "%"}[type(node)]
            yield (
                node,
                f"{sign} {divisor.sql('duckdb')} may divide by zero; write {sign} nullif({divisor.sql('duckdb')}, 0)",
            )


def casts(tree: exp.Expr, _: Query) -> Iterator[Fault]:
    """A fraction is rounded before it becomes a whole number."""
    for node in tree.find_all(exp.Cast):
        if node.to.this in _INTEGERS and not _is_whole(node.this):
            text = node.this.sql("duckdb")
            yield (
                node,
                f"CAST({text} AS {node.to.sql('duckdb')}) rounds in DuckDB and cuts on Spark; "
                f"write round({text}) or trunc({text}) inside",
            )


def dates(tree: exp.Expr, query: Query) -> Iterator[Fault]:
    """Days are counted by ``date_diff`` on DATE; months by year and month; ``date_trunc`` becomes a DATE again."""
    bound = {p.name for p in query.parameters if p.type == "DATE"}
    for node in tree.find_all(exp.DateDiff, exp.Sub, exp.DateTrunc, exp.TimestampTrunc):
        if isinstance(node, exp.DateDiff):
            unit = str(node.args.get("unit") or "").strip("'").lower()
            if unit not in ("day", "week"):
                yield (
                    node,
                    f"date_diff('{unit}') differs on Spark; count days, or months as year(day) * 12 + month(day)",
                )
            for side in (node.this, node.expression):
                column = side.find(exp.Column)
                if column is not None and column.name in _MOMENTS_IN_TIME and side.find(exp.Cast) is None:
                    yield (
                        node,
                        f"date_diff on the TIMESTAMP {column.name} differs on Spark; write CAST({column.name} AS DATE)",
                    )
        elif isinstance(node, exp.Sub):
            if _is_date(node.this, bound) and _is_date(node.expression, bound):
                yield node, "DATE - DATE is an interval on Spark; write date_diff('day', earlier, later)"
        elif not (isinstance(node.parent, exp.Cast) and node.parent.is_type("date")):
            yield node, "date_trunc makes a TIMESTAMP; write CAST(date_trunc(...) AS DATE)"


def aliases_in_where(tree: exp.Expr, _: Query) -> Iterator[Fault]:
    """WHERE names columns, never what SELECT makes of them."""
    for select in tree.find_all(exp.Select):
        made = {e.alias for e in select.expressions if isinstance(e, exp.Alias) and e.this.name != e.alias}
        where = select.args.get("where")
        for column in where.find_all(exp.Column) if where else ():
            if column.name in made and not column.table and column.find_ancestor(exp.Select) is select:
                yield (
                    column,
                    f"{column.name} in WHERE is an alias, which Spark does not know there; "
                    "write the column with its table, or a subquery",
                )


def float_sums(tree: exp.Expr, _: Query) -> Iterator[Fault]:
    """No sum over DOUBLE: its last digits depend on the order of rows, and so on threads."""
    for node in tree.find_all(exp.Sum, exp.Avg):
        is_cast = any(cast.is_type("double", "float") for cast in node.this.find_all(exp.Cast))
        column = next((c.name for c in node.this.find_all(exp.Column) if c.name in _FLOATS), "")
        is_rounded = node.this.find(*_ROUNDED) is not None
        if (is_cast or column) and not is_rounded:
            text = node.sql("duckdb")
            yield node, f"{text} adds DOUBLE in no fixed order; add DECIMAL or whole cents, and cast the sum"


def windows(tree: exp.Expr, _: Query) -> Iterator[Fault]:
    """Numbering and looking around needs an order, and so does joining texts."""
    named = {w.this.name: w for select in tree.find_all(exp.Select) for w in select.args.get("windows") or ()}
    ranks = (exp.RowNumber, exp.Rank, exp.DenseRank, exp.Ntile, exp.Lag, exp.Lead, exp.FirstValue, exp.LastValue)
    for node in tree.find_all(exp.Window):
        window = named.get(node.args["alias"].name, node) if node.args.get("alias") else node
        if isinstance(node.this, ranks) and not window.args.get("order"):
            yield node, f"{_spelling(node.this)} without ORDER BY numbers rows at random; write OVER (... ORDER BY key)"
    for node in tree.find_all(exp.GroupConcat):
        if not isinstance(node.this, exp.Order):
            yield node, "string_agg without ORDER BY joins rows at random; write string_agg(x, ',' ORDER BY key)"


def limits(tree: exp.Expr, _: Query) -> Iterator[Fault]:
    """LIMIT needs ORDER BY, unless every row is the same."""
    for node in tree.find_all(exp.Query):
        if not node.args.get("limit") or node.args.get("order"):
            continue
        if not (isinstance(node, exp.Select) and all(e.find(exp.Column, exp.Star) is None for e in node.expressions)):
            yield (
                node.args["limit"],
                "LIMIT without ORDER BY takes rows at random; write ORDER BY with a key that no two rows share",
            )


def literals(tree: exp.Expr, _: Query) -> Iterator[Fault]:
    """Dates, fractions, large numbers and lengths of time are parameters with a default."""
    for node in tree.find_all(exp.Literal):
        if node.is_string:
            if re.match(r"^\d{4}-\d{2}-\d{2}", node.name):
                yield node, f"the date {node.name} is a choice; bind it: $name, with 'name DATE' among the parameters"
        elif "." in node.name or "e" in node.name.lower():
            cast = node.find_ancestor(exp.Cast)
            if cast is None or not cast.is_type("decimal") or cast.this is not node:
                yield (
                    node,
                    f"the number {node.name} is a choice; bind it: $name, "
                    f"with 'name DOUBLE default {node.name}' among the parameters",
                )
        elif int(node.name) > _LARGEST_PLAIN_NUMBER:
            yield (
                node,
                f"the number {node.name} is a choice; bind it: $name, "
                f"with 'name BIGINT default {node.name}' among the parameters",
            )
    for node in tree.find_all(exp.Interval):
        yield node, "a length of time is a choice; bind the number of days and compare with date_diff('day', a, b)"


def parameters(tree: exp.Expr, query: Query) -> Iterator[Fault]:
    """What is bound and what the header states are the same, and each is one of the contract's plain types."""
    said = {p.name for p in query.parameters}
    used: dict[str, exp.Expr] = {}
    for node in tree.find_all(exp.Placeholder, exp.Parameter):
        used.setdefault(node.name, node)
    for name, node in used.items():
        if name not in said:
            yield node, f"${name} is not in the header; add '{name} TYPE' to '-- parameters:'"
    for name in sorted(said - used.keys()):
        yield tree, f"the header's parameter {name} is not used; take it out of '-- parameters:'"


def inputs(tree: exp.Expr, query: Query) -> Iterator[Fault]:
    """The header's inputs are the tables that are read."""
    made = {cte.alias for cte in tree.find_all(exp.CTE)}
    read: dict[str, exp.Expr] = {}
    for node in tree.find_all(exp.Table):
        if node.name not in made:
            read.setdefault(node.name, node)
    for name, node in read.items():
        if name not in query.inputs:
            yield node, f"{name} is read and not in the header; add it to '-- inputs:'"
    for name in query.inputs:
        if name not in read:
            yield tree, f"the header's input {name} is not read; take it out of '-- inputs:'"


def outputs(tree: exp.Expr, query: Query) -> Iterator[Fault]:
    """The columns are named, and those of the contract's table where it has one, in order."""
    for select in _arms(tree):
        if any(isinstance(e, exp.Star) or (isinstance(e, exp.Column) and e.is_star) for e in select.expressions):
            yield select, "SELECT * leaves the columns of the output to its input; name them"
            return
    first = next(_arms(tree))
    named = tuple(e.alias_or_name for e in first.expressions)
    for column, name in zip(first.expressions, named, strict=True):
        if not name:
            yield column, f"{column.sql('duckdb')} has no name; write AS name"
    wanted = ("found", "example") if query.severity else ()
    if not wanted and query.output in TABLES:
        wanted = TABLES[query.output].column_names
    if wanted and named != wanted:
        yield tree, f"columns are {', '.join(named)}; {query.output} has {', '.join(wanted)}, in this order"


def headers(tree: exp.Expr, query: Query) -> Iterator[Fault]:
    """A query makes the table of its name; a check has a severity and a message."""
    if not query.meaning:
        yield tree, "the header does not say what the query means; begin with a line of it"
    if query.output == "check_results":
        if query.severity not in ("blocking", "warning", "info"):
            yield tree, f"severity {query.severity!r} is unknown; write '-- severity: blocking', 'warning' or 'info'"
        if not query.message:
            yield tree, "a check says what to do; write '-- message: ...'"
    elif query.output != query.name:
        yield tree, f"the query {query.name} makes {query.output}; give the file its output's name"


RULES: tuple[Rule, ...] = (
    functions, joins, star_replace, divisors, casts, dates, aliases_in_where, float_sums, windows, limits, literals,
    parameters, inputs, outputs, headers,
)  # fmt: skip


def _spelling(node: exp.Expr) -> str:
    if isinstance(node, exp.Func):
        return node.sql_name().lower()
    return {exp.Slice: "[a:b]", exp.Bracket: "[n]", exp.TableSample: "SAMPLE"}.get(type(node), node.key.upper())


def _arms(tree: exp.Expr) -> Iterator[exp.Select]:
    if isinstance(tree, exp.SetOperation):
        yield from _arms(tree.left)
        yield from _arms(tree.right)
    elif isinstance(tree, exp.Subquery):
        yield from _arms(tree.this)
    elif isinstance(tree, exp.Select):
        yield tree


def _is_whole(node: exp.Expr) -> bool:
    if isinstance(node, exp.Window | exp.Filter):
        return _is_whole(node.this)
    if isinstance(node, exp.Literal):
        return node.is_string or node.is_int
    if isinstance(node, exp.Column):
        return node.name not in _FRACTIONS
    if isinstance(node, exp.Cast):
        return node.to.this in _INTEGERS
    if isinstance(node, exp.Case):
        return all(_is_whole(b.args["true"]) for b in node.args["ifs"]) and _is_whole(
            node.args.get("default") or exp.Null()
        )
    if isinstance(node, _PASSES_ON):
        return all(_is_whole(child) for child in node.iter_expressions())
    if isinstance(node, _ROUNDED):
        decimals = node.args.get("decimals")
        return decimals is None or decimals.name == "0"
    return isinstance(node, (*_WHOLE, exp.Mod, exp.Null, exp.Placeholder, exp.Parameter, exp.Nullif))


def _is_date(node: exp.Expr, bound: set[str]) -> bool:
    node = node.unnest()
    if isinstance(node, exp.Column):
        return node.name in _DATES
    if isinstance(node, exp.Placeholder | exp.Parameter):
        return node.name in bound
    if isinstance(node, exp.Min | exp.Max):
        return _is_date(node.this, bound)
    return isinstance(node, exp.Cast) and node.is_type("date")
