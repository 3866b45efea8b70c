"""The lists that stand in a warehouse: what each came to, whether it can be read out, and the files to fetch."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .targeting import DECISIONS, LISTS, LoggedList, find_logs

if TYPE_CHECKING:
    import pyarrow as pa

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}-\d{4}-\d{2}-\d{2}\.(parquet|csv)")


@dataclass(frozen=True)
class StandingList:
    """One list that was decided and not withdrawn; ``file`` is "" where it was written elsewhere."""

    run_id: str
    on: date
    window_ends: date
    rows: int
    file: str
    log: LoggedList
    summary: dict[str, Any]


def standing_lists(warehouse: Path, campaign: str) -> list[StandingList]:
    """Return a campaign's lists, the latest first.

    Raises
    ------
    WarehouseError
        A log cannot be read.
    """
    found = [_standing(warehouse, log) for log in find_logs(warehouse / DECISIONS, campaign)]
    return sorted(found, key=lambda each: (each.on, each.run_id), reverse=True)


def list_file(warehouse: Path, name: str) -> Path | None:
    """Return the file of a list by its name, as a client may ask for it; None where there is none to be given out.

    Only files that stand themselves in the warehouse's lists are: no other folder, no link that leads out of it. A
    name that ends in ``.csv`` finds the Parquet file of that list where no such CSV stands.

    Examples
    --------
    >>> list_file(Path("/tmp"), "../../etc/passwd"), list_file(Path("/tmp"), "may-2018-01-01.parquet")
    (None, None)
    """
    if not _NAME.fullmatch(name):
        return None
    folder = warehouse / LISTS
    for path in (folder / name, folder / f"{name.removesuffix('.csv')}.parquet"):
        if path.is_file() and not path.is_symlink() and path.resolve().parent == folder.resolve():
            return path
    return None


def decided(log: LoggedList) -> "pa.Table":
    """Return who was sent what by a log: ``customer_id, arm``."""
    import pyarrow.parquet as pq

    return pq.read_table(log.path, columns=["customer_id", "arm"], filters=[("why", "=", "sent")])


def _standing(warehouse: Path, log: LoggedList) -> StandingList:
    import pyarrow.parquet as pq

    on = date.fromisoformat(log.on)
    window = int(log.facts.get("settings", {}).get("window_days", 28))
    file, summary = "", {}
    for path in _manifests(warehouse / LISTS, log):
        said = _read(path)
        if said.get("run_id") == log.run_id:
            file, summary = path.name.removesuffix(".manifest.json"), said.get("summary") or {}
            break
    rows = pq.read_metadata(log.path).num_rows
    return StandingList(log.run_id, on, on + timedelta(days=window - 1), rows, file, log, summary)


def _manifests(folder: Path, log: LoggedList) -> Iterator[Path]:
    for ending in ("parquet", "csv"):
        path = folder / f"{log.campaign}-{log.on}.{ending}.manifest.json"
        if path.is_file():
            yield path


def _read(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}
