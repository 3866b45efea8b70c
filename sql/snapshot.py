"""Snapshots: immutable runs in a warehouse folder, published whole by swapping one pointer, read by everybody.

The folder::

    warehouse/current.json               which run is current, and the order in which runs were published
    warehouse/runs/<run_id>/*.parquet    one file a table, rows in the order of the table's grain
    warehouse/runs/<run_id>/models/      fitted models, JSON
    warehouse/runs/<run_id>/manifest.json  inputs, settings, versions, row counts, hashes, money, lineage; no clock
    warehouse/runs/<run_id>/inputs.json  where the input files lay, for the SQL user's door
    warehouse/runs/<run_id>/run.log      clock times, and what happened to the run since
    warehouse/staging/                   runs being written or removed; nobody reads there

The same input gives the same bytes of all files but ``inputs.json`` and ``run.log``, wherever the folders lie.

A run is written in ``staging``, synced, renamed into ``runs``, and named in ``current.json`` last. What stands under
``runs`` is whole, whenever a build is killed.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .durability import (
    canonical_json,
    exclusive_lock,
    replace_text,
    saying,
    share,
    sync_folder,
    sync_tree,
    unshared,
)
from .errors import WarehouseError, nearest
from .lineage import file_sha256
from .run_writer import LOG, MANIFEST, RunWriter, append_log

if TYPE_CHECKING:
    import pyarrow as pa

GRACE_SECONDS = 3600.0
MANIFEST_FORMAT = 1


class Snapshot:
    """One published run; nothing in it ever changes.

    Parameters
    ----------
    path : Path
        The run's folder; its name is the run id.

    Examples
    --------
    >>> Snapshot(Path("warehouse/runs/97407a9d46af4cf6")).run_id
    '97407a9d46af4cf6'
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"Snapshot({self.run_id!r})"

    @property
    def run_id(self) -> str:
        """Name of the run: the hash of inputs, settings and code that made it."""
        return self.path.name

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """What made the run and what it holds, as plain JSON values.

        Raises
        ------
        WarehouseError
            The manifest is missing, not JSON, or does not say as of when the run speaks and which tables it has.
        """
        try:
            said = json.loads((self.path / MANIFEST).read_text(encoding="utf-8"))
            date.fromisoformat(said["as_of"])
            return said | {"tables": dict(said["tables"]), "models": dict(said.get("models") or {})}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WarehouseError(
                f"{self.path / MANIFEST}: cannot be read ({error}); 'regulars runs' lists the runs, "
                "'regulars runs rollback ID' goes back to a whole one, 'regulars build --force' makes it anew"
            ) from error

    @property
    def as_of(self) -> date:
        """The date the snapshot speaks from."""
        return date.fromisoformat(self.manifest["as_of"])

    def tables(self) -> tuple[str, ...]:
        """Names of its tables, sorted."""
        return tuple(sorted(self.manifest["tables"]))

    def models(self) -> tuple[str, ...]:
        """Names of its stored models, sorted."""
        return tuple(sorted(self.manifest["models"]))

    def table_path(self, name: str) -> Path:
        """Return the Parquet file of a table.

        Raises
        ------
        WarehouseError
            The snapshot has no such table; the text names the nearest.
        """
        if name not in self.manifest["tables"]:
            known = self.tables()
            raise WarehouseError(f"run {self.run_id} has no table {name!r}{nearest(name, known)}; it has {known}")
        return self.path / f"{name}.parquet"

    def model_path(self, name: str) -> Path:
        """Return the JSON file of a stored model.

        Raises
        ------
        WarehouseError
            The snapshot has no such model.
        """
        if name not in self.manifest["models"]:
            raise WarehouseError(f"run {self.run_id} has no model {name!r}; it has {self.models()}")
        return self.path / "models" / f"{name}.json"

    def whole_model_path(self, name: str) -> Path:
        """Return the JSON file of a stored model, its content compared with the manifest's hash.

        Raises
        ------
        WarehouseError
            The snapshot has no such model, or its file is missing or not what was published.
        """
        path = self.model_path(name)
        wrong = _damage(path, f"models/{name}.json", self.manifest["models"][name])
        if wrong:
            raise WarehouseError(
                f"run {self.run_id}: {wrong}; 'regulars build --force' makes the run anew, "
                "'regulars runs rollback ID' goes back to a whole one"
            )
        return path

    def read(self, name: str, columns: list[str] | None = None) -> "pa.Table":
        """Read a table, or some of its columns, into memory.

        Raises
        ------
        WarehouseError
            There is no such table, or its file cannot be read.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self.table_path(name)
        try:
            with pq.ParquetFile(path) as file:
                return file.read(columns=columns)
        except (OSError, pa.ArrowException) as error:
            raise WarehouseError(
                f"{path}: cannot be read ({error}); 'regulars build --force' makes the run anew"
            ) from error

    def unreadable(self) -> str:
        """Say which file is damaged and what helps, or that all are gone; "" where all are as they were published."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not self.path.is_dir():
            return f"the files of run {self.run_id} are gone; make a new snapshot: regulars build"
        for name in self.tables():
            path = self.path / f"{name}.parquet"
            try:
                pq.read_metadata(path)
            except (OSError, pa.ArrowException) as error:
                return f"{path}: cannot be read ({error}); 'regulars build --force' makes the run anew"
        wrong = self.damage()
        return f"run {self.run_id}: {wrong[0]}; 'regulars build --force' makes it anew" if wrong else ""

    def damage(self) -> list[str]:
        """Compare every file with the manifest's hashes; return what is wrong, [] for a whole run.

        Raises
        ------
        WarehouseError
            The manifest itself cannot be read.
        """
        expected = {f"{name}.parquet": facts for name, facts in self.manifest["tables"].items()}
        expected |= {f"models/{name}.json": facts for name, facts in self.manifest["models"].items()}
        for folder, saved in self.manifest.get("effects", {}).items():
            expected |= {f"models/{folder}/{name}": facts for name, facts in saved["files"].items()}
        for plan in self.manifest.get("markdowns", {}).values():
            expected |= {f"models/{plan['folder']}/{name}": facts for name, facts in plan.get("files", {}).items()}
        found = (_damage(self.path / name, name, facts) for name, facts in sorted(expected.items()))
        return [wrong for wrong in found if wrong]

    @contextmanager
    def hold(self) -> Iterator["Snapshot"]:
        """Keep the run from being pruned while the block runs; for readers that stay longer than an hour.

        Raises
        ------
        WarehouseError
            The run is gone, or is being removed just now.
        """
        try:
            lease = share(self.path / MANIFEST)
        except OSError as error:
            raise WarehouseError(f"run {self.run_id} is gone; read the warehouse's current one") from error
        if lease is None:
            raise WarehouseError(f"run {self.run_id} is being removed; read the warehouse's current one")
        with lease:
            yield self


def _damage(path: Path, name: str, facts: Mapping[str, Any]) -> str:
    """What is wrong with a file, '' where it is as the manifest says."""
    if not path.is_file():
        return f"{name} is missing"
    if path.stat().st_size != facts["bytes"]:
        return f"{name} has {path.stat().st_size} bytes, not {facts['bytes']}"
    return "" if file_sha256(path) == facts["sha256"] else f"{name} has other content than was published"


class Warehouse:
    """The folder of all runs.

    Parameters
    ----------
    path : Path or str
    now : callable, optional
        The clock, for logs and the grace period.

    Examples
    --------
    >>> Warehouse("no-such-folder").runs()
    []
    """

    def __init__(self, path: Path | str, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.path = Path(path)
        self._now = now

    @property
    def pointer_path(self) -> Path:
        """The file that names the current run."""
        return self.path / "current.json"

    def current(self) -> Snapshot:
        """Return the snapshot that was published last, or rolled back to.

        Raises
        ------
        WarehouseError
            There is none yet, or the pointer cannot be read, or the run it names is gone.
        """
        run_id = self._pointer().get("run_id")
        if run_id is None:
            raise WarehouseError(f"{self.path}: no snapshot here yet; run 'regulars build' to make one")
        snapshot = Snapshot(self._runs / run_id)
        if not (snapshot.path / MANIFEST).is_file():
            raise WarehouseError(
                f"{self.pointer_path} names run {run_id}, which is not in {self._runs}; "
                "'regulars runs' lists those that are, 'regulars runs rollback ID' goes to one"
            )
        return snapshot

    def beside(self, name: str) -> "pa.Table":
        """Read a table that lies beside the snapshots, one of ``contract.BESIDE_TABLES``.

        Raises
        ------
        WarehouseError
            It is not there, or cannot be read.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self.path / f"{name}.parquet"
        try:
            return pq.read_table(path)
        except (OSError, pa.ArrowException) as error:
            raise WarehouseError(f"{path}: cannot be read ({error}); 'regulars build' writes it") from error

    def snapshot(self, run_id: str) -> Snapshot:
        """Return the run of that id, or of that beginning of an id where only one has it.

        Raises
        ------
        WarehouseError
            No run has it, or several have.
        """
        known = [run.run_id for run in self.runs()]
        found = [run_id] if run_id in known else [name for name in known if run_id and name.startswith(run_id)]
        if len(found) != 1:
            problem = "no run" if not found else f"{len(found)} runs"
            raise WarehouseError(f"{self.path}: {problem} called {run_id!r}{nearest(run_id, known)}; it has {known}")
        return Snapshot(self._runs / found[0])

    def runs(self) -> list[Snapshot]:
        """Every whole run, the one published last first."""
        if not self._runs.is_dir():
            return []
        found = sorted(path.name for path in self._runs.iterdir() if (path / MANIFEST).is_file())
        history = [str(name) for name in self._pointer().get("history", [])]
        order = {name: place for place, name in enumerate(history)}
        return [Snapshot(self._runs / name) for name in sorted(found, key=lambda name: order.get(name, len(order)))]

    def find(self, run_id: str) -> Snapshot | None:
        """Return a whole, undamaged run of that id, or None."""
        for run in reversed(self._revisions(run_id)):
            with suppress(WarehouseError):
                if not run.damage():
                    return run
        return None

    @contextmanager
    def lock(self, *, wait: float = 0.0) -> Iterator[None]:
        """Be the one that writes this warehouse, and clear away what killed builds left.

        Raises
        ------
        WarehouseError
            Another process is writing it for longer than ``wait`` seconds, or it cannot be written.
        """
        with saying(self.path, "write the warehouse at"):
            self.path.mkdir(parents=True, exist_ok=True)
            self._runs.mkdir(exist_ok=True)
            self._staging.mkdir(exist_ok=True)
        with exclusive_lock(self.path / "build.lock", wait=wait):
            with saying(self.path, "clear away what a killed build left in"):
                for leftover in self._staging.iterdir():
                    if leftover.is_dir():
                        shutil.rmtree(leftover)
                    else:
                        leftover.unlink()
                for beside in self.path.glob(".current.json.*"):
                    beside.unlink(missing_ok=True)
            yield

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Lend a folder on the warehouse's disk that is removed afterwards; hold `lock` around it.

        Raises
        ------
        WarehouseError
            It cannot be made.
        """
        folder = self._staging / f"work.{os.getpid()}"
        with saying(folder, "write"):
            folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def stage(self, run_id: str, *, keep: int | None = None) -> Iterator[RunWriter]:
        """Write a run aside, and publish it when the block ends well; hold `lock` around it.

        Parameters
        ----------
        run_id : str
        keep : int, optional
            Prune to this many runs afterwards.

        Raises
        ------
        WarehouseError
            A file could not be written, synced or renamed; what was current stays current.
        """
        folder = self._staging / f"{run_id}.{os.getpid()}"
        try:
            with saying(folder, "write"):
                staging = RunWriter(run_id, folder, self._now)
            yield staging
            with saying(self._runs / run_id, "publish"):
                self._publish(staging)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        if keep is not None:
            self.prune(keep)

    @contextmanager
    def revise(self, run: Snapshot) -> Iterator[RunWriter]:
        """Write a run anew, and let it take the old one's place when the block ends well; hold `lock` around it.

        The block writes every file and the manifest. The new run stands under the next revision of the id; pointer and
        history then name it, and the old one is removed, though a reader may hold it. Killed at any moment it leaves
        whole runs, the old one, the new one or both; doing it again finishes it.

        Raises
        ------
        WarehouseError
            A file could not be written, synced or renamed.
        """
        base = run.run_id.partition(".")[0]
        folder = self._staging / f"{base}.{os.getpid()}"
        try:
            with saying(folder, "write"):
                writer = RunWriter(base, folder, self._now)
            yield writer
            with saying(run.path, "replace"):
                text = canonical_json({**writer.manifest, "format": MANIFEST_FORMAT, "run_id": base})
                writer.write_text(MANIFEST, text)
                target = self._target(base, json.loads(text))
                if not target.exists():
                    sync_tree(writer.path)
                    writer.path.rename(target)
                    sync_folder(self._runs)
                self._rename_in_pointer(run.run_id, target.name)
                if target != run.path:
                    self._discard(run)
                    sync_folder(self._runs)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _rename_in_pointer(self, old: str, new: str) -> None:
        pointer = self._pointer()
        renamed = json.loads(canonical_json(pointer))
        if renamed.get("run_id") == old:
            renamed["run_id"] = new
        if "history" in renamed:
            renamed["history"] = list(dict.fromkeys(new if name == old else name for name in renamed["history"]))
        if renamed != pointer:
            replace_text(self.pointer_path, canonical_json(renamed))

    def point_to(self, snapshot: Snapshot, reason: str) -> None:
        """Make a whole run the current one; hold `lock` around it.

        Raises
        ------
        WarehouseError
            The pointer could not be swapped; it then names what it named before.
        """
        pointer = self._pointer()
        before = pointer.get("run_id")
        known = [str(name) for name in pointer.get("history", [])]
        history = [name for name in known if (self._runs / name).is_dir()]
        if reason == "published":
            history = [snapshot.run_id, *(name for name in history if name != snapshot.run_id)]
        # after a rollback the run that is built again is current already, but not yet the one published last
        if before == snapshot.run_id and history[:1] == known[:1]:
            return
        with saying(self.pointer_path, "swap"):
            replace_text(self.pointer_path, canonical_json({"run_id": snapshot.run_id, "history": history}))
        # The grace period of the run that was current starts with this line; a log that cannot be written does not
        # undo what has been published.
        with suppress(OSError):
            if before not in (None, snapshot.run_id) and (self._runs / before).is_dir():
                append_log(self._runs / before, f"no longer current: {reason} {snapshot.run_id}", self._now())
            append_log(snapshot.path, f"current: {reason}", self._now())

    def rollback(self, run_id: str, *, wait: float = 0.0) -> Snapshot:
        """Point to an earlier run, after comparing its files with its manifest.

        Raises
        ------
        WarehouseError
            No such run, or it is damaged, or another process is writing.
        """
        with self.lock(wait=wait):
            snapshot = self.snapshot(run_id)
            damage = snapshot.damage()
            if damage:
                raise WarehouseError(f"run {snapshot.run_id} is damaged: {'; '.join(damage)}; choose another")
            self.point_to(snapshot, "rolled back to")
        return snapshot

    def prune(self, keep: int) -> list[str]:
        """Remove all but the ``keep`` runs published last, the newest counted; hold `lock` around it.

        Never removed: the current run, a run that somebody holds (`Snapshot.hold`), and a run that was current within
        the last `GRACE_SECONDS`, which a reader may still be reading: they stay beside the ``keep``.

        Returns
        -------
        list of str
            Ids of the removed runs.
        """
        pointer = self._pointer()
        removed: list[str] = []
        for run in self.runs()[max(keep, 1) :]:
            if run.run_id == pointer.get("run_id") or self._seconds_since_logged(run) < GRACE_SECONDS:
                continue
            with suppress(OSError), unshared(run.path / MANIFEST) as free:
                if free:
                    self._discard(run)
                    removed.append(run.run_id)
        return removed

    @property
    def _runs(self) -> Path:
        return self.path / "runs"

    @property
    def _staging(self) -> Path:
        return self.path / "staging"

    def _pointer(self) -> dict[str, Any]:
        try:
            text = self.pointer_path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise WarehouseError(
                f"{self.pointer_path}: cannot be read ({error.strerror}); set [build] warehouse to one you may read"
            ) from error
        try:
            pointer = json.loads(text)
            if isinstance(pointer["run_id"], str) and Path(pointer["run_id"]).name == pointer["run_id"]:
                return pointer
        except (ValueError, TypeError, KeyError):
            pass
        raise WarehouseError(
            f"{self.pointer_path}: holds {text[:80]!r}, not the name of a run; remove the file, then "
            "'regulars runs rollback ID' writes it anew"
        )

    def _revisions(self, run_id: str) -> list[Snapshot]:
        if not self._runs.is_dir():
            return []
        names = [path.name for path in self._runs.iterdir() if path.name.partition(".")[0] == run_id]
        return [Snapshot(self._runs / name) for name in sorted(names, key=lambda name: (len(name), name))]

    def _publish(self, staging: RunWriter) -> None:
        text = canonical_json({**staging.manifest, "format": MANIFEST_FORMAT, "run_id": staging.run_id})
        staging.write_text(MANIFEST, text)
        staging.log("written")
        target = self._target(staging.run_id, json.loads(text))
        if target.exists():
            self.point_to(Snapshot(target), "published")
            return
        sync_tree(staging.path)
        staging.path.rename(target)
        try:
            sync_folder(self._runs)
            self.point_to(Snapshot(target), "published")
        except BaseException:
            if self._pointer().get("run_id") != target.name:
                with suppress(OSError):
                    self._discard(Snapshot(target))
            raise

    def _target(self, run_id: str, manifest: Mapping[str, Any]) -> Path:
        # A published folder is never touched again: what is already there word for word is published again, and
        # where it is damaged the new run stands beside it under the next revision.
        revisions = self._revisions(run_id)
        for run in reversed(revisions):
            with suppress(WarehouseError):
                if run.manifest == manifest and not run.damage():
                    return run.path
        # after the highest: a lower one may have been pruned, or erased from
        last = max((int(run.run_id.partition(".")[2] or 1) for run in revisions), default=0)
        return self._runs / (f"{run_id}.{last + 1}" if last else run_id)

    def _discard(self, run: Snapshot) -> None:
        # Renamed away first: a removal that is killed half-way must not leave half a run among the runs.
        aside = self._staging / f"removed.{run.run_id}.{os.getpid()}"
        run.path.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)

    def _seconds_since_logged(self, run: Snapshot) -> float:
        try:
            last = (run.path / LOG).read_text(encoding="utf-8").splitlines()[-1]
            return (self._now() - datetime.fromisoformat(last.split(" ")[0])).total_seconds()
        except (OSError, ValueError, IndexError):
            return float("inf")
