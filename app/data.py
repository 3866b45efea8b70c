"""The warehouse as the app sees it: which snapshot is current, and the DuckDB that each one that is looked at gets.

A snapshot's DuckDB is shut in that snapshot's folder. Which one is current is read from the warehouse's pointer on
every request.
"""

import logging
import shutil
import tempfile
import threading
import weakref
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from ..sql.engine import DuckDBEngine
from ..sql.errors import RegularsError, SettingsError, WarehouseError
from ..sql.snapshot import Warehouse
from .listings import AT_RISK, CUSTOMERS
from .snapshot_data import SnapshotData, query
from .state import State

if TYPE_CHECKING:
    from ..sql.settings import Settings
    from ..sql.snapshot import Snapshot

log = logging.getLogger(__name__)

_KEPT_SNAPSHOTS = 3
# what the first click of a morning is about
_READ_AHEAD = (CUSTOMERS, AT_RISK)
_PATIENCE = 3.0  # seconds for what is read ahead to end, once told to


class NoSnapshot(WarehouseError):
    """Nothing has been published yet."""


class AppData:
    """The warehouse as the app sees it.

    Parameters
    ----------
    warehouse : str or Path
        The folder that ``regulars build`` publishes to. It need not exist yet.
    settings : str or Path, optional
        The settings file beside it, by which lists and plans are written.
    threads, memory_limit
        What DuckDB may use for one snapshot; its own defaults where not given.
    """

    def __init__(
        self,
        warehouse: str | Path,
        *,
        settings: str | Path | None = None,
        threads: int | None = None,
        memory_limit: str | None = None,
    ) -> None:
        self.path = Path(warehouse).absolute()
        self.settings_path = Path(settings).absolute() if settings is not None else None
        self.state = State(self.path)
        self._threads, self._memory_limit = threads, memory_limit
        # for sorts larger than memory: of this process alone, gone with it, never in the folder it was started from
        self._spill = tempfile.mkdtemp(prefix="regulars-")
        self._opened: OrderedDict[str, SnapshotData] = OrderedDict()
        self._close = weakref.finalize(self, _let_go, self._opened, self._spill)
        self._lock = threading.Lock()
        self._closed = False
        self._reading_ahead: threading.Thread | None = None

    def current_run(self) -> str:
        """Return the run that the pointer names now.

        Raises
        ------
        WarehouseError
            Where nothing is published yet; the text names ``regulars build``.
        """
        return self.current().run_id

    def current(self) -> "Snapshot":
        """Return the published run that the pointer names now, unopened; raises as :meth:`current_run`."""
        return self._current(Warehouse(self.path))

    @property
    def open_snapshots(self) -> int:
        """How many snapshots are held open for readers."""
        return len(self._opened)

    def snapshot(self, run_id: str | None = None) -> "SnapshotData":
        """Open the current snapshot, or a published one by its id, which may come from a client.

        Raises
        ------
        WarehouseError
            Where there is no such run, or its files are gone; or the app is ending.
        """
        if run_id is not None and not isinstance(run_id, str):
            raise WarehouseError(f"a run's name is a text, not {type(run_id).__name__}; 'regulars runs' lists them")
        warehouse = Warehouse(self.path)
        found = warehouse.snapshot(run_id) if run_id else self._current(warehouse)
        if not found.path.is_dir():
            raise WarehouseError(f"the files of run {found.run_id} are gone; make a new snapshot: regulars build")
        with self._lock:
            if self._closed:
                raise WarehouseError("the app is ending and answers no more; start it again: regulars app")
            for gone in [name for name, one in self._opened.items() if not one.snapshot.path.is_dir()]:
                del self._opened[gone]  # pruned, or a person was erased from it: nothing of it stays in memory
            opened = self._opened.get(found.run_id)
            if opened is None:
                engine = _shut_in(found.path, self._threads, self._memory_limit, f"{self._spill}/{found.run_id}")
                opened = SnapshotData(found, warehouse, engine)
                self._opened[found.run_id] = opened
            self._opened.move_to_end(found.run_id)
            while len(self._opened) > _KEPT_SNAPSHOTS:
                # not closed: a request may still read it; DuckDB goes when the last one lets go
                self._opened.popitem(last=False)
        return opened

    def settings(self) -> "Settings":
        """Read the settings that lists, price files and builds are made by; they write into this warehouse.

        Raises
        ------
        SettingsError
            The app was started without them, or they are not what they should be.
        """
        from ..sql.settings import Settings

        if self.settings_path is None:
            raise SettingsError(
                "the app was started on a warehouse alone: what is written needs the settings it was built with; "
                "start it with: regulars app --settings regulars.toml"
            )
        return Settings.from_toml(self.settings_path, build={"warehouse": str(self.path)})

    def warm(self) -> None:
        """Read the lists of the current snapshot ahead of the first page; nothing where there is no snapshot."""
        try:
            current = self.snapshot()
            current.enough_data()
            for listing in _READ_AHEAD:
                if not any(current.lacks(name) for name in query(listing.name).inputs if name not in listing.optional):
                    current.count(listing.everything)
        except RegularsError as error:
            log.info("nothing to read ahead: %s", error)

    def warm_in_background(self) -> None:
        """Begin to :meth:`warm`; :meth:`close` ends it."""
        self._reading_ahead = threading.Thread(target=self.warm, name="regulars-warm", daemon=True)
        self._reading_ahead.start()

    @staticmethod
    def _current(warehouse: Warehouse) -> "Snapshot":
        if not warehouse.pointer_path.exists():
            raise NoSnapshot(f"{warehouse.path} holds no snapshot yet; make one: regulars build")
        return warehouse.current()

    def close(self) -> None:
        """Let go of every snapshot and end what is being read; at the end of the process it happens by itself."""
        with self._lock:
            self._closed = True
            self._close()
        if self._reading_ahead is not None:
            # a thread that is inside DuckDB when the interpreter goes takes the process down with it
            self._reading_ahead.join(_PATIENCE)


def _shut_in(folder: Path, threads: int | None, memory_limit: str | None, spill: str) -> DuckDBEngine:
    """DuckDB that reads that folder and nothing else, loads nothing and asks nobody."""
    engine = DuckDBEngine(threads=threads, memory_limit=memory_limit, temp_directory=spill)
    inside = str(folder).replace("'", "''")
    for statement in (
        "SET python_enable_replacements = false",
        "SET autoinstall_known_extensions = false",
        "SET autoload_known_extensions = false",
        f"SET allowed_directories = ['{inside}/']",
        "SET enable_external_access = false",
    ):
        engine.connection.execute(statement)
    return engine


def _let_go(opened: "OrderedDict[str, SnapshotData]", spill: str) -> None:
    for one in opened.values():
        one.engine.close()
    opened.clear()
    shutil.rmtree(spill, ignore_errors=True)
