"""The data layer: contract, settings, engines, queries, checks and snapshots."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .catalog import checks, queries
    from .database import Database, connect
    from .engine import DuckDBEngine
    from .errors import RegularsError
    from .settings import Settings
    from .snapshot import Snapshot, Warehouse
    from .sources import stage

__all__ = [
    "Database",
    "DuckDBEngine",
    "RegularsError",
    "Settings",
    "Snapshot",
    "Warehouse",
    "checks",
    "connect",
    "queries",
    "stage",
]

_HOMES = {
    "Database": "database",
    "DuckDBEngine": "engine",
    "RegularsError": "errors",
    "Settings": "settings",
    "Snapshot": "snapshot",
    "Warehouse": "snapshot",
    "checks": "catalog",
    "connect": "database",
    "queries": "catalog",
    "stage": "sources",
}


def __getattr__(name: str) -> Any:
    # Settings bring pydantic and snapshots bring pyarrow: each loads when it is first asked for.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
