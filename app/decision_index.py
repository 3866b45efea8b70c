"""What campaigns' logs of decisions say of one customer; each log is read once and held while it stands."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..sql.errors import WarehouseError
from .customer_index import KEY, SortedRows
from .targeting import DECISIONS, LoggedList, find_logs

_COLUMNS = (
    "arm",
    "propensity",
    "why",
    "explored",
    "expected_effect",
    "expected_profit",
    "expected_cost",
    "suppressed",
)
_KEPT_LOGS = 8


@dataclass(frozen=True)
class Log:
    """One list's log, read: ``stamp`` tells its file from what stood there before."""

    facts: LoggedList
    stamp: str
    rows: SortedRows


class DecisionIndex:
    """The standing logs of a warehouse; a withdrawn one says nothing.

    Parameters
    ----------
    warehouse : Path

    Examples
    --------
    >>> DecisionIndex(Path("no-such-folder")).campaigns()
    []
    """

    def __init__(self, warehouse: Path) -> None:
        self._folder = warehouse / DECISIONS
        self._seen: tuple[tuple[str, int, int], ...] | None = None
        self._logs: list[LoggedList] = []
        self._read: OrderedDict[tuple[str, int, int], Log] = OrderedDict()
        self._lock = threading.Lock()

    def campaigns(self) -> list[str]:
        """Return the campaigns that something was decided of."""
        return sorted({log.campaign for log in self._standing()})

    def find(self, campaign: str, customer_id: str, on: str = "") -> tuple[Log, dict[str, Any] | None] | None:
        """Return the latest log of a campaign, or that of a day, and its row of a customer; None without a log.

        Raises
        ------
        WarehouseError
            A log cannot be read.
        """
        own = [log for log in self._standing() if log.campaign == campaign and (not on or log.on == on)]
        if not own:
            return None
        log = self._open(max(own, key=lambda log: (log.on, log.run_id)))
        place = log.rows.place(customer_id)
        return log, log.rows.at(place) if place >= 0 else None

    def _standing(self) -> list[LoggedList]:
        try:
            files = [entry for entry in self._folder.iterdir() if entry.suffix == ".parquet"]
            seen = tuple(sorted(_stamp(file) for file in files))
        except OSError:
            seen = ()
        if seen != self._seen:
            with self._lock:
                self._logs, self._seen = find_logs(self._folder) if seen else [], seen
        return self._logs

    def _open(self, facts: LoggedList) -> Log:
        try:
            key = _stamp(facts.path)
            with self._lock:
                log = self._read.get(key)
                if log is None:
                    with pq.ParquetFile(facts.path) as file:
                        rows = SortedRows.of(file.read(columns=[KEY, *_COLUMNS], use_threads=False))
                    log = self._read[key] = Log(facts, f"{facts.run_id}-{key[1]:x}", rows)
                self._read.move_to_end(key)
                while len(self._read) > _KEPT_LOGS:
                    self._read.popitem(last=False)
                return log
        except (OSError, pa.ArrowException, KeyError) as error:
            raise WarehouseError(f"{facts.path}: cannot be read ({error}); restore it, or move it away") from error


def _stamp(path: Path) -> tuple[str, int, int]:
    status = path.stat()
    return path.name, status.st_mtime_ns, status.st_size
