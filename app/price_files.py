"""The price files that the app writes: where they lie, which there are, and which of them may be fetched."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .price_file import ENDINGS, find_records

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from ..sql.settings import Settings

FOLDER_NAME = "price-files"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,140}\.(csv|parquet)")


@dataclass(frozen=True)
class Decided:
    """One recorded decision; ``name`` is that of its file where the app may hand it out, else ''."""

    facts: "Mapping[str, Any]"
    name: str


def price_folder(settings: "Settings") -> Path:
    """Return the folder that the app writes price files to: ``[app] price_files``, or beside the warehouse.

    Examples
    --------
    >>> from regulars.sql.settings import Settings
    >>> said = {"orders": {"path": "o.parquet"}, "build": {"warehouse": "/shop/warehouse"}}
    >>> print(price_folder(Settings.from_mapping(said)))
    /shop/price-files
    """
    said = settings.app.price_files
    if said:
        return settings.folder / Path(said).expanduser()
    return settings.warehouse.parent / FOLDER_NAME


def file_name(plan: str, starts: "date", ending: str) -> str:
    """Return the name of a plan's price file.

    Examples
    --------
    >>> from datetime import date
    >>> file_name("winter", date(2018, 1, 1), ".csv")
    'winter-2018-01-01.csv'
    """
    return f"{plan}-{starts.isoformat()}{ending if ending in ENDINGS else '.csv'}"


def decided_prices(settings: "Settings", plan: str) -> list[Decided]:
    """Return what is on record of a plan, the latest first, with the names of the files that may be fetched."""
    found = []
    for record in reversed(find_records(settings.warehouse, plan)):
        path = Path(str(record.facts.get("file", "")))
        found.append(Decided(record.facts, path.name if find_price_file(settings, path.name) == path else ""))
    return found


def find_price_file(settings: "Settings", name: str) -> Path | None:
    """Return a price file by its name: one of the folder, and on record; None for anything else.

    Examples
    --------
    >>> from regulars.sql.settings import Settings
    >>> settings = Settings.from_mapping({"orders": {"path": "o.parquet"}})
    >>> [find_price_file(settings, name) for name in ("../regulars.toml", "/etc/passwd", "none-2018-01-01.csv")]
    [None, None, None]
    """
    if not _NAME.fullmatch(name):
        return None
    folder = price_folder(settings).resolve()
    path = folder / name
    # a link may lead elsewhere
    if not path.is_file() or path.resolve() != path:
        return None
    recorded = {str(record.facts.get("file")) for record in find_records(settings.warehouse)}
    return path if str(path) in recorded else None
