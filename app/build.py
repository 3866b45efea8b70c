"""The build: checks -> summary -> fit -> score -> cohorts and KPIs -> publish, or nothing at all."""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from .. import __version__
from ..sql import lineage
from ..sql.contract import INPUT_TABLES
from ..sql.database import Database
from ..sql.decided_sends import find_decisions
from ..sql.door import open_script
from ..sql.durability import replace_text
from ..sql.engine import DuckDBEngine, Engine, QueryError
from ..sql.errors import SourceError, WarehouseError
from ..sql.privacy import Tombstones
from ..sql.settings import Settings
from ..sql.snapshot import Snapshot, Warehouse
from ..sql.sources import Source, Staged, find_files, reading_inputs, stage
from ..sql.threads import one_blas_thread
from . import campaigns, churn, prices
from .build_history import Recorder, recording
from .incremental import FullBuildNeeded, Increment, examine_new_lines, plan_increment
from .monitoring import track_predictions, write_tracking
from .progress import Progress
from .run_content import Ingredients, RunContent

if TYPE_CHECKING:
    import pyarrow as pa

# What of our source decides what a snapshot holds: pages and the command line do not.
CODE = ("sql", "clv", "app/build.py", "app/incremental.py", "app/run_content.py", "app/valuation.py")
STEPS = 8

_FULL_DISK = ("No space left", "Disk quota exceeded", "File too large", "max_temp_directory_size")


@dataclass(frozen=True)
class BuildResult:
    """What a build did: ``outcome`` is "published" or "unchanged", ``how`` is "full", "incremental" or ""."""

    snapshot: Snapshot
    outcome: str
    how: str
    reason: str
    seconds: float
    warnings: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """As ``regulars build --json`` prints it."""
        manifest = self.snapshot.manifest
        return {
            "run_id": self.snapshot.run_id,
            "path": str(self.snapshot.path),
            "as_of": manifest["as_of"],
            "outcome": self.outcome,
            "how": self.how,
            "reason": self.reason,
            "seconds": round(self.seconds, 3),
            "customers": manifest["tables"]["customer_summary"]["rows"],
            "model": manifest["model"],
            "campaigns": manifest.get("campaigns", {}),
            "markdowns": manifest.get("markdowns", {}),
            "notes": manifest["notes"],
            "warnings": list(self.warnings),
        }

    def sentence(self) -> str:
        """As ``regulars build`` prints it."""
        manifest = self.snapshot.manifest
        customers = manifest["tables"]["customer_summary"]["rows"]
        if self.outcome == "unchanged":
            run = self.snapshot.run_id
            first = f"unchanged: run {run} is current, as of {manifest['as_of']}, {customers:,} customers"
        else:
            first = (
                f"published run {self.snapshot.run_id} ({self.how}), as of {manifest['as_of']}, {customers:,} "
                f"customers, in {self.seconds:.1f} s"
            )
        learnt = [
            f"campaign {name}{' is refused' if said['refused'] else ''}: {said['sentence']}"
            for name, said in manifest.get("campaigns", {}).items()
        ]
        if verdict := manifest.get("churn", {}).get("verdict"):
            learnt.append(f"churn: {verdict}")
        learnt += [f"markdown plan {name}: {told['sentence']}" for name, told in manifest.get("markdowns", {}).items()]
        said = [f"note: {note}" for note in manifest["notes"]] + [f"check: {warning}" for warning in self.warnings]
        return "\n".join([first, manifest["model"]["verdict"], *learnt, *said])


def build(settings: "Settings | str | Path", *, force: bool = False, progress: bool = True) -> Snapshot:
    """Build and publish a snapshot; see `run_build`."""
    return run_build(settings, force=force, progress=progress).snapshot


def run_build(
    settings: "Settings | str | Path",
    *,
    force: bool = False,
    incremental: bool = True,
    progress: bool = True,
    wait: float = 0.0,
    today: date | None = None,
) -> BuildResult:
    """Build a snapshot from the input files and make it the current one.

    Parameters
    ----------
    settings : Settings, str or Path
        The settings, or their file.
    force : bool
        Build even where an undamaged run of these inputs, settings and code exists.
    incremental : bool
        Read only new files where that gives the same bytes.
    progress : bool
        Show a bar on stderr, if that is a terminal.
    wait : float
        Seconds to wait for another build of the same warehouse.
    today : date, optional
        What counts as today.

    Returns
    -------
    BuildResult

    Raises
    ------
    SettingsError, SourceError, ContractError
        The settings or an input are wrong.
    MissingExtraError
        Campaigns or prices are configured, and what learns from them is not installed.
    CheckFailed
        A blocking check found rows, or the money does not reconcile.
    WarehouseError
        The warehouse cannot be written, or another build holds it. In every case the last good snapshot stays.
    """
    begun = time.monotonic()
    made = settings if isinstance(settings, Settings) else Settings.from_toml(settings)
    campaigns.require_uplift(made)
    prices.require_pricing(made)
    churn.require_churn(made)
    warehouse = Warehouse(made.warehouse)
    with (
        recording(warehouse.path) as record,
        warehouse.lock(wait=wait),
        warehouse.scratch() as work,
        Progress(_steps(made), shown=progress, watch=record.step) as step,
        _naming_a_full_disk(work),
        one_blas_thread(),
    ):
        job = _Job(made, warehouse, work, step, today, record)
        with closing(job.engine):
            result = job.run(force=force, incremental=incremental, begun=begun)
        record.outcome = result.outcome
        return result


def check_inputs(settings: Settings) -> "pa.Table":
    """Run every check on the input files, in the shape of ``contract.CHECK_RESULTS``; nothing is built."""
    from ..sql.database import connect

    with connect(settings) as database, reading_inputs(database.engine, database.staged):
        _read_text_once(database.engine, database.staged)
        return database.pipeline.check()


class _Job:
    """One build: its inputs, engine and the decisions made on the way."""

    def __init__(
        self,
        settings: Settings,
        warehouse: Warehouse,
        work: Path,
        step: Progress,
        today: date | None,
        record: Recorder,
    ) -> None:
        self.settings = settings
        self.warehouse = warehouse
        self.step = step
        self.record = record
        # in memory, spilling past the limit: tables that nobody reads again need no file of their own
        self.engine = DuckDBEngine(
            threads=settings.build.threads,
            memory_limit=settings.build.memory_limit,
            temp_directory=str(work / "spill"),
        )
        self.database = Database(settings, self.engine, today=today)
        self.code = {
            "regulars": __version__,
            "fingerprint": lineage.code_fingerprint(
                CODE
                + (campaigns.CODE if settings.campaigns else ())
                + (prices.CODE if settings.pricing else ())
                + (churn.CODE if settings.churn else ())
            ),
            "versions": lineage.versions(
                lineage.NUMERICAL_PACKAGES
                + (campaigns.PACKAGES if settings.campaigns else ())
                + (prices.PACKAGES if settings.pricing else ())
                + (churn.PACKAGES if settings.churn else ())
            ),
        }
        self.sources: dict[str, Source] = {}
        self.inputs: dict[str, lineage.InputLineage] = {}

    def run(self, *, force: bool, incremental: bool, begun: float) -> BuildResult:
        self.step("read input files")
        stamps = self._fingerprint_inputs()
        increment, reason, staged, as_of = self._stage(incremental=incremental)
        with reading_inputs(self.engine, staged):
            _read_text_once(self.engine, staged)
            run_id = lineage.run_id(
                self.inputs.values(), self.settings.identity(), as_of, self.code["fingerprint"], self.code["versions"]
            )
            self.record.run_id = run_id
            existing = None if force else self.warehouse.find(run_id)
            if existing is not None:
                self.warehouse.point_to(existing, "published")
                self.warehouse.prune(self.settings.build.keep_runs)
                self._leave_door()
                return BuildResult(
                    existing, "unchanged", "", "same inputs, settings and code", time.monotonic() - begun
                )
            with self.warehouse.stage(run_id, keep=self.settings.build.keep_runs) as writer:
                made_of = Ingredients(self.settings, self.engine, staged, self.inputs, self.code, as_of, increment)
                content = RunContent(made_of, writer)
                content.write(self.step)
                self._must_be_unchanged(stamps)
                how = "full" if increment is None else "incremental"
                writer.log(f"{how} build: {reason}")
                for name, seconds in self.step.taken:
                    writer.log(f"{name}: {seconds:.3f} s")
                tracked, drifted = track_predictions(self.warehouse, content.pipeline, as_of)
                content.warnings += drifted
                for said in (*content.notes, *content.warnings):
                    writer.log(said)
                self.step("publish")
        content.warnings += self._leave_tracking(tracked)
        self._leave_door()
        snapshot, seconds = self.warehouse.current(), time.monotonic() - begun
        return BuildResult(snapshot, "published", how, reason, seconds, tuple(content.warnings))

    def _fingerprint_inputs(self) -> dict[str, tuple[int, int]]:
        stamps: dict[str, tuple[int, int]] = {}
        for table in INPUT_TABLES:
            source = find_files(self.settings, table)
            if source is not None:
                self.sources[table] = source
                stamps |= _stamps(source)
                self.inputs[table] = lineage.fingerprint_source(self.engine, source)
        decisions = find_decisions(self.settings)
        if decisions is not None:
            self.sources[decisions.table] = decisions
            stamps |= _stamps(decisions)
            self.inputs[decisions.table] = lineage.fingerprint_source(self.engine, decisions)
        erased = Tombstones(self.settings.warehouse).lineage()
        if erased is not None:
            self.inputs[erased.table] = erased
        return stamps

    def _must_be_unchanged(self, stamps: Mapping[str, tuple[int, int]]) -> None:
        for source in self.sources.values():
            for file, stamp in _stamps(source).items():
                if stamps.get(file) != stamp:
                    raise SourceError(f"{file}: changed while it was read; build again when nobody writes it")

    def _stage(self, *, incremental: bool) -> tuple[Increment | None, str, Staged, date]:
        try:
            if not incremental:
                raise FullBuildNeeded("asked for")
            if self.settings.pricing is not None:
                raise FullBuildNeeded("[pricing] reads every order line")
            orders = self.sources["order_lines"].files
            increment = plan_increment(self._base(), self.inputs, orders, self.settings, self.code)
            staged = stage(self.engine, self.settings, only={"order_lines": increment.new_files})
            with reading_inputs(self.engine, staged):
                as_of = examine_new_lines(increment, self.engine, staged, self.settings, self.database.today)
        except FullBuildNeeded as needed:
            return None, str(needed), self.database.staged, self.database.as_of
        increment.attach(self.engine)
        reason = f"{len(increment.new_files)} new files on run {increment.base.run_id}"
        return increment, reason, staged, as_of

    def _base(self) -> Snapshot | None:
        try:
            return self.warehouse.current()
        except WarehouseError:
            return None

    def _leave_tracking(self, tracked: "Mapping[str, pa.Table]") -> list[str]:
        # beside the snapshot, which stands without them
        try:
            write_tracking(self.warehouse, tracked)
        except WarehouseError as error:
            return [str(error)]
        return []

    def _leave_door(self) -> None:
        # a convenience: where it cannot be written the snapshot is none the worse
        with suppress(OSError):
            replace_text(self.warehouse.path / "open.sql", open_script(str(self.warehouse.path.resolve())))


def _steps(settings: Settings) -> int:
    pricing = settings.pricing
    steps = STEPS + len(settings.campaigns) + (settings.churn is not None)
    return steps + (len(prices.STEPS) + len(pricing.markdowns) if pricing else 0)


def _read_text_once(engine: Engine, staged: Staged) -> None:
    # a dozen statements read the lines: columns of Parquet are cheap each time, text is not
    for name, table in staged.tables.items():
        if table.source is not None and table.source.format == "csv":
            engine.materialize(f"{name}_as_read", f"SELECT * FROM {name}")
            engine.view(name, f"SELECT * FROM {name}_as_read")


def _stamps(source: Source) -> dict[str, tuple[int, int]]:
    stamps = {}
    for file in source.files:
        if file not in source.addresses:
            with suppress(OSError):  # a file that has gone is named when it is read
                status = Path(file).stat()
                stamps[file] = (status.st_size, status.st_mtime_ns)
    return stamps


@contextmanager
def _naming_a_full_disk(work: Path) -> Iterator[None]:
    try:
        yield
    except (QueryError, duckdb.Error) as error:
        if any(sign in str(error) for sign in _FULL_DISK):
            raise WarehouseError(
                f"cannot work in {work}: the disk is full: free space or set [build] warehouse to another disk; "
                "the last good snapshot is untouched"
            ) from error
        raise
