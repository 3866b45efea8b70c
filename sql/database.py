"""One open shop: its settings, an engine with the staged inputs, and the named queries over them."""

from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from zoneinfo import ZoneInfo

from .engine import DuckDBEngine, Engine
from .errors import ContractError

if TYPE_CHECKING:
    import pyarrow as pa

    from .settings import Settings
    from .sources import Staged


class Database:
    """The order history behind one settings file, ready for questions.

    Made by :func:`connect`; closes its engine with :meth:`close` or at the end of a ``with`` block.
    """

    def __init__(self, settings: "Settings", engine: Engine, *, today: date | None = None) -> None:
        self.settings = settings
        self.engine = engine
        self._today = today
        self._staged: Staged | None = None
        self._as_of: date | None = settings.value.as_of

    @property
    def staged(self) -> "Staged":
        """The staged inputs; made on first use."""
        if self._staged is None:
            from .sources import stage

            self._staged = stage(self.engine, self.settings)
        return self._staged

    @property
    def as_of(self) -> date:
        """``value.as_of``, else the last day with an order that is not later than today in the shop's time zone.

        Raises
        ------
        ContractError
            No line has a readable date that is not later than today.
        """
        if self._as_of is None:
            self._as_of = _last_day(self)
        return self._as_of

    @property
    def today(self) -> date:
        """Today on the shop's clock."""
        return self._today or datetime.now(ZoneInfo(self.settings.shop.timezone)).date()

    def sql(self, text: str, parameters: Mapping[str, Any] | None = None) -> "pa.Table":
        """Run one SELECT over the staged inputs and whatever queries have made so far; values are bound as $name."""
        _ = self.staged
        return self.engine.query(text, parameters)

    def close(self) -> None:
        """Let go of the engine."""
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def connect(
    settings: "str | Path | Settings | None" = None,
    *,
    orders: Any = None,
    columns: Mapping[str, str] | None = None,
    warehouse: str | Path | None = None,
    engine: Engine | None = None,
    today: date | None = None,
    **sections: Any,
) -> Database:
    """Open a shop's order history."""
    from .settings import Settings

    given: dict[str, Any] = dict(sections)
    if orders is not None:
        given["orders"] = dict(orders) if isinstance(orders, Mapping) else {"path": orders}
    if columns is not None:
        given.setdefault("orders", {})["columns"] = dict(columns)
    if warehouse is not None:
        given.setdefault("build", {})["warehouse"] = str(warehouse)
    if settings is None and orders is None:
        settings = "regulars.toml"
    if isinstance(settings, Settings):
        made = settings
    elif settings is None:
        made = Settings.from_mapping({}, **given)
    else:
        made = Settings.from_toml(settings, **given)
    if engine is None:
        engine = DuckDBEngine(threads=made.build.threads, memory_limit=made.build.memory_limit)
    return Database(made, engine, today=today)


def _last_day(database: Database) -> date:
    today = database.today
    rows = database.sql(
        "SELECT MAX(CAST(ordered_at AS DATE)) FILTER (WHERE CAST(ordered_at AS DATE) <= $today) AS last_day, "
        "MIN(CAST(ordered_at AS DATE)) AS first_day FROM order_lines",
        {"today": today},
    ).to_pylist()
    if rows[0]["last_day"] is None:
        raise ContractError(f"no readable order date on or before {today}")
    return rows[0]["last_day"]
