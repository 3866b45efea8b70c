"""A campaign's target list from the current snapshot: checked, logged, then written; for scheduled jobs.

The log of decisions is written before the list: no list ever stands without its log.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from ..sql.durability import exclusive_lock, saying, sync_folder
from ..sql.errors import AlreadyDecided, NobodyToMail, SettingsError, StaleSnapshotError, WarehouseError, nearest
from .list_options import ListOptions, left_alone, repriced

if TYPE_CHECKING:
    import pyarrow as pa

    from ..sql.settings import Settings
    from ..sql.snapshot import Snapshot
    from ..uplift.target import Replay, TargetList
    from .listing import ListFilters

DECISIONS = "decisions"
WITHDRAWN = "withdrawn"
LISTS = "lists"


@dataclass(frozen=True)
class TargetResult:
    """What `target` did.

    Attributes
    ----------
    outcome : str
        ``"written"``, ``"unchanged"`` (the same run was logged before; the list was written again, with the same
        bytes), ``"nobody"`` (nothing was written) or ``"dry run"``.
    target_list : TargetList
    snapshot : Snapshot
        Where the scores came from.
    path, log : Path or None
        The list and the log of decisions.
    """

    outcome: str
    target_list: "TargetList"
    snapshot: "Snapshot"
    path: Path | None
    log: Path | None

    @property
    def verdict(self) -> str:
        """What the build found of the scores that the list is made of: "" where it says nothing."""
        return str(self.target_list.rules.facts["verdict"])

    @property
    def exit_code(self) -> int:
        """What the command line returns: 0, or 8 where there is nobody to mail."""
        return 0 if self.target_list.summary["mailed"] else NobodyToMail.exit_code

    def to_dict(self) -> dict[str, Any]:
        """As ``regulars target --json`` prints it."""
        return {
            "outcome": self.outcome,
            "campaign": self.target_list.rules.campaign,
            "on": self.target_list.rules.on.isoformat(),
            "run_id": self.target_list.run_id,
            "snapshot": self.snapshot.run_id,
            "as_of": self.snapshot.as_of.isoformat(),
            "verdict": self.verdict,
            "list": str(self.path) if self.path else None,
            "log": str(self.log) if self.log else None,
            **self.target_list.summary,
        }

    def sentence(self) -> str:
        """As ``regulars target`` prints it."""
        said, rules = self.target_list.summary, self.target_list.rules
        where = f" to {self.path}" if self.path else ""
        first = f"{self.outcome}: {rules.campaign} of {rules.on}, run {self.target_list.run_id}{where}"
        second = (
            f"{said['mailed']:,} of {said['considered']:,} customers for {said['spend']:,.2f}, expected to bring "
            f"{said['planned_profit']:,.2f} (at most {said['bound']:,.2f}); {said['suppressed']:,} suppressed, "
            f"{said['held_out']:,} held out, {said['explored'] + said['explored_control']:,} explored"
        )
        verdict = [f"what the scores are worth: {self.verdict}"] if self.verdict else []
        return "\n".join([first, second, *verdict, *(f"note: {note}" for note in said["notes"])])


def target(
    settings: "Settings | str | Path",
    campaign: str,
    *,
    on: date | None = None,
    out: Path | str | None = None,
    budget: float | None = None,
    costs: Mapping[str, float] | None = None,
    stock: Mapping[str, int] | None = None,
    segment: str = "",
    exclude_segments: Sequence[str] = (),
    quiet_days: int | None = None,
    suppress: Mapping[str, Path | str] | None = None,
    replace_list: bool = False,
    dry_run: bool = False,
    wait: float = 0.0,
) -> TargetResult:
    """Decide a configured campaign, log every decision, then write the list.

    The run's id is the hash of the rules, the snapshot and the content of all that was read. Asked for again, the same
    run writes the same bytes and logs nothing; sends that were logged after it do not count against it.

    Parameters
    ----------
    settings : Settings, str or Path
        The settings, or their file.
    campaign : str
        A ``[campaigns.NAME]`` section.
    on : date, optional
        Day of the sends; today on the shop's clock without it.
    out : Path or str, optional
        The list, ``.parquet`` or ``.csv``; ``warehouse/lists/<campaign>-<on>.parquet`` without it.
    budget : float, optional
        Instead of the settings' own.
    costs, stock : mapping of str to number, optional
        Arm -> cost of one send, how often it can be given: instead of the settings' own.
    segment : str
        Only customers of that segment: one of the contract's, or one saved in the app.
    exclude_segments : sequence of str
        Customers of these segments are left alone.
    quiet_days : int, optional
        Whoever was sent something within so many days is left alone.
    suppress : mapping of str to path, optional
        Reason -> CSV or Parquet file with a column ``customer_id``: bounces, complaints, and the like.
    replace_list : bool
        Withdraw the list that stands for that campaign and day, which must not have been sent, and make another.
    dry_run : bool
        Decide, and write nothing.
    wait : float
        Seconds to wait for another process that decides in this warehouse.

    Raises
    ------
    SettingsError
        No such campaign, arm or segment, a file's ending, or consent that nothing says.
    StaleSnapshotError
        The snapshot is older than ``max_snapshot_age_days``, has no scores of the campaign, or was made by other
        settings of it.
    AlreadyDecided
        Another list stands for that campaign and day.
    SourceError, ContractError, WarehouseError, ModelError
        An input or the warehouse cannot be read or written, or the limits cannot be met.
    """
    from ..sql.settings import Settings
    from ..sql.snapshot import Warehouse

    made = settings if isinstance(settings, Settings) else Settings.from_toml(settings)
    made.campaign(campaign)
    day = on or datetime.now(ZoneInfo(made.shop.timezone)).date()
    house = Warehouse(made.warehouse)
    path = Path(out) if out is not None else house.path / LISTS / f"{campaign}-{day}.parquet"
    if path.suffix.lower() not in (".parquet", ".csv"):
        raise SettingsError(f"--out {path}: a list is a .parquet or .csv file; name one")
    options = ListOptions(dict(costs or {}), dict(stock or {}), segment, tuple(exclude_segments), quiet_days)
    snapshot = house.current()
    job = _Job(made, campaign, day, snapshot, budget, {k: Path(v) for k, v in (suppress or {}).items()}, options)
    job.choose()
    if dry_run:
        decided, _ = job.decide(replace_list=replace_list)
        return TargetResult("dry run", decided, snapshot, None, None)
    with saying(job.folder, "log decisions in", "no list was written"):
        job.folder.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(job.folder / ".lock", wait=wait):
        decided, standing = job.decide(replace_list=replace_list)
        if not decided.summary["mailed"]:
            return TargetResult("nobody", decided, snapshot, None, None)
        known = standing is not None and standing.run_id == decided.run_id
        if standing is not None and not known:
            standing.withdraw()
        log = decided.write_log(job.folder)
        decided.write(path)
    return TargetResult("unchanged" if known else "written", decided, snapshot, path, log)


def replay_run(warehouse: Path, campaign: str, run: str) -> "Replay":
    """Make the list of a logged run again and compare every byte.

    Parameters
    ----------
    warehouse : Path
        The warehouse's folder.
    campaign, run : str
        The campaign, and the run's id or its beginning.

    Raises
    ------
    WarehouseError
        No such run is logged, or several are.
    ModelError
        The log cannot be read.
    """
    from ..uplift.target import manifest_path
    from ..uplift.target import replay as replay_log

    folder = warehouse / DECISIONS
    logs = _log_files(folder, campaign) + _log_files(folder / WITHDRAWN, campaign)
    found = [path for path in logs if path.stem.removeprefix(f"{_quoted(campaign)}-").startswith(run)]
    if len(found) != 1:
        known = [path.stem.removeprefix(f"{_quoted(campaign)}-") for path in logs]
        problem = "no run" if not found else f"{len(found)} runs"
        raise WarehouseError(f"{folder}: {problem} {run!r} of {campaign}{nearest(run, known)}; there are {known}")
    replayed = replay_log(found[0])
    beside = manifest_path(warehouse / LISTS / f"{campaign}-{replayed.target_list.rules.on}.parquet")
    if beside.is_file() and json.loads(beside.read_text(encoding="utf-8")).get("run_id") == replayed.target_list.run_id:
        return replay_log(found[0], manifest=beside)
    return replayed


@dataclass(frozen=True)
class LoggedList:
    """One log of decisions, by what its metadata say."""

    path: Path
    run_id: str
    campaign: str
    on: str
    facts: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> "LoggedList":
        import pyarrow as pa
        import pyarrow.parquet as pq

        from ..uplift.decision_log import schema_facts

        try:
            said = schema_facts(pq.read_schema(path))
        except (OSError, pa.ArrowException) as error:
            raise WarehouseError(f"{path}: cannot be read ({error}); restore it, or move it away") from error
        rules = said["rules"]
        return cls(path, said["run_id"], rules["campaign"], rules["on"], rules["facts"])

    def withdraw(self) -> None:
        """Set the log aside: its list was not sent, so it is read back by nobody; it can still be replayed."""
        aside = self.path.parent / WITHDRAWN
        with saying(aside, "set a log aside in", "the log and its list stand"):
            aside.mkdir(exist_ok=True)
            self.path.rename(aside / self.path.name)
            sync_folder(aside)
            sync_folder(self.path.parent)


def find_logs(folder: Path, campaign: str | None = None) -> list[LoggedList]:
    """Return the logs that stand, of one campaign or of all.

    Raises
    ------
    WarehouseError
        One cannot be read.
    """
    return [LoggedList.read(path) for path in _log_files(folder, campaign)]


def list_seed(settings: "Settings", campaign: str, on: date) -> int:
    """Return the seed of a list's exploration: another for every campaign and day, the same whenever asked for."""
    from ..sql.lineage import fingerprint

    return int(fingerprint([settings.build.seed, campaign, on.isoformat()])[:8], 16)


@dataclass(frozen=True)
class _Job:
    settings: "Settings"
    campaign: str
    on: date
    snapshot: "Snapshot"
    budget: float | None
    suppress: Mapping[str, Path]
    options: ListOptions
    lists: "dict[str, pa.Array | pa.ChunkedArray]" = field(default_factory=dict)
    filters: "dict[str, ListFilters]" = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.settings.warehouse / DECISIONS

    def choose(self) -> None:
        """Find the customers whom segments leave alone, once for all tries."""
        if self.options.segment or self.options.exclude_segments:
            lists, filters = left_alone(
                self.options, self.settings.warehouse, self.snapshot, self._scores()["customer_id"]
            )
            self.lists.update(lists)
            self.filters.update(filters)

    def decide(self, *, replace_list: bool) -> "tuple[TargetList, LoggedList | None]":
        """Return the list, and the log that stands for the campaign and day: its own, or the one to withdraw."""
        scores = self._scores()
        logs = find_logs(self.folder)
        standing = next((log for log in logs if (log.campaign, log.on) == (self.campaign, self.on.isoformat())), None)
        others = [log for log in logs if log is not standing]
        if standing is not None:
            seen = set(standing.facts.get("sends_counted", []))
            again = self._build(scores, [log for log in others if log.path.name in seen])
            if again.run_id == standing.run_id:
                return again, standing
            if not replace_list:
                raise AlreadyDecided(
                    f"{self.campaign} of {self.on} was decided as run {standing.run_id}, and consent, sends, scores, "
                    f"settings or options have changed since: send the list of that run, or, if nothing of it was "
                    f"sent, make another with --replace"
                )
        return self._build(scores, others), standing

    def _build(self, scores: "pa.Table", logs: list[LoggedList]) -> "TargetList":
        from ..uplift.target import TargetList
        from .contacts import read_contacts

        said = self.settings.campaign(self.campaign)
        arms = set(scores["arm"].unique().to_pylist())
        self.options.require_arms(arms)
        facts = read_contacts(
            self.settings,
            self.campaign,
            self.on,
            logs=[log.path for log in logs],
            suppress=self.suppress,
            quiet_days=self.options.quiet_days,
            lists=self.lists,
        )
        stock = {arm: offer.stock for arm, offer in said.offers.items() if offer.stock is not None and arm in arms}
        return TargetList.build(
            repriced(scores, self.options, said),
            self.campaign,
            on=self.on,
            budget=said.budget if self.budget is None else self.budget,
            stock={**stock, **self.options.stock},
            suppression=facts.suppression,
            recent_contacts=facts.recent_contacts,
            frequency_cap=said.frequency_cap,
            fatigue=said.fatigue,
            max_contacts=said.max_contacts,
            holdout=said.holdout,
            holdout_salt=said.holdout_salt,
            exploration=said.exploration,
            control=said.control,
            seed=list_seed(self.settings, self.campaign, self.on),
            facts={
                "snapshot": self.snapshot.run_id,
                "as_of": self.snapshot.as_of.isoformat(),
                "model_version": scores["model_version"][0].as_py(),
                "verdict": self._verdict(),
                "settings": said.model_dump(mode="json"),
                "sends_counted": sorted(log.path.name for log in logs),
                **self.options.facts(self.filters),
            },
        )

    def _scores(self) -> "pa.Table":
        said = self.settings.campaign(self.campaign)
        age = (self.on - self.snapshot.as_of).days
        if age < 0:
            raise SettingsError(
                f"--on {self.on} is before {self.snapshot.as_of}, the as-of date of run {self.snapshot.run_id}: its "
                "scores know what happened since; name that day or a later one"
            )
        if age > said.max_snapshot_age_days:
            raise StaleSnapshotError(
                f"run {self.snapshot.run_id} is as of {self.snapshot.as_of}, {age} days before {self.on}; allowed: "
                f"{said.max_snapshot_age_days} ([campaigns.{self.campaign}] max_snapshot_age_days); run 'regulars "
                "build' with newer orders"
            )
        then = self.snapshot.manifest.get("settings", {}).get("campaigns", {}).get(self.campaign)
        now = self.settings.identity()["campaigns"][self.campaign]
        # a key that the code did not know then and nobody has set since is no change
        changed = [] if then is None else sorted(key for key in {*then, *now} if then.get(key) != now.get(key))
        if changed:
            raise StaleSnapshotError(
                f"run {self.snapshot.run_id} was built with other settings of {self.campaign}: {', '.join(changed)}; "
                "run 'regulars build'"
            )
        scores = campaign_rows(self.snapshot, "uplift_scores", self.campaign)
        if scores is None or not scores.num_rows:
            why = self._verdict() or "it was not configured when the run was built; run 'regulars build'"
            raise StaleSnapshotError(
                f"run {self.snapshot.run_id} has no scores of {self.campaign}: {why}; "
                f"'regulars query campaign_effects' shows what was found"
            )
        return scores

    def _verdict(self) -> str:
        effects = campaign_rows(self.snapshot, "campaign_effects", self.campaign)
        if effects is None or not effects.num_rows:
            return ""
        sentence = str(effects["sentence"][0].as_py() or "")
        if effects["kind"][0].as_py() != "observational" or not sentence or "observational" in sentence.lower():
            return sentence
        return f"{sentence} It is observational: nobody was drawn, and what was not measured may explain it."


def campaign_rows(snapshot: "Snapshot", table: str, campaign: str) -> "pa.Table | None":
    """Return a campaign's rows of one of the snapshot's tables; None where the snapshot has no such table.

    Raises
    ------
    WarehouseError
        It cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if table not in snapshot.tables():
        return None
    path = snapshot.table_path(table)
    try:
        return pq.read_table(path, filters=[("campaign", "=", campaign)])
    except (OSError, pa.ArrowException) as error:
        raise WarehouseError(
            f"{path}: cannot be read ({error}); 'regulars build --force' makes the run anew"
        ) from error


def _quoted(campaign: str) -> str:
    from urllib.parse import quote

    return quote(campaign, safe="")


def _log_files(folder: Path, campaign: str | None = None) -> list[Path]:
    found = sorted(path for path in folder.glob("*.parquet") if not path.name.startswith("."))
    if campaign is None:
        return found
    # what follows a campaign's name is the 16 digits of a run and nothing else
    start = f"{_quoted(campaign)}-"
    return [path for path in found if path.stem.rpartition("-")[0] + "-" == start]
