"""Building on the last snapshot: only new files are read, where that provably gives the bytes of a full build.

What a snapshot carries over by day (`pipeline.CARRIED_TABLES`) stays true as long as every new line is later than the
last as-of date and nothing else changed that those tables depend on. Each condition that fails has its sentence, which
ends up in the run's log.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from ..sql.errors import WarehouseError
from ..sql.lineage import InputLineage, fingerprint
from ..sql.pipeline import CARRIED_TABLES, PREVIOUS, Pipeline, settings_parameters

if TYPE_CHECKING:
    from ..sql.engine import Engine
    from ..sql.settings import Settings
    from ..sql.snapshot import Snapshot
    from ..sql.sources import Staged

# Inputs whose every change asks for the whole history, and the sections that shape the tables carried over.
_WHOLE_INPUTS = ("customer_links", "exchange_rates", "erased_customers")
_SECTIONS = ("orders", "customer_links", "exchange_rates", "shop", "policy")
_AFTER = "after_as_of"


class FullBuildNeeded(Exception):
    """The last snapshot cannot be built on; the text says why."""


@dataclass(frozen=True)
class Increment:
    """A snapshot to build on, and the files of order lines that it has not seen."""

    base: "Snapshot"
    new_files: tuple[str, ...]

    @property
    def given(self) -> list[str]:
        """Tables that the engine has once `attach` has run."""
        return [f"{PREVIOUS}{name}" for name in CARRIED_TABLES]

    @property
    def carried(self) -> Mapping[str, Any]:
        """What the base's build noted for this one, see `carried_facts`."""
        return self.base.manifest["carried"]

    def attach(self, engine: "Engine") -> None:
        """Let queries read what the base carries over."""
        for name in CARRIED_TABLES:
            engine.register_parquet(f"{PREVIOUS}{name}", str(self.base.table_path(name)))


def plan_increment(
    base: "Snapshot | None",
    inputs: Mapping[str, InputLineage],
    files: Sequence[str],
    settings: "Settings",
    code: Mapping[str, Any],
) -> Increment:
    """Decide by fingerprints alone whether a base can be built on.

    Parameters
    ----------
    base : Snapshot or None
        The warehouse's current one.
    inputs : mapping of str to InputLineage
        Today's inputs by table.
    files : sequence of str
        Paths of the files of ``inputs["order_lines"]``, one to one.
    settings : Settings
    code : mapping
        As the manifest holds it.

    Raises
    ------
    FullBuildNeeded
        It cannot; the text says why.
    """
    if base is None:
        raise FullBuildNeeded("no snapshot to build on")
    try:
        manifest = base.manifest
    except WarehouseError as error:
        raise FullBuildNeeded(f"the last snapshot cannot be read: {error}") from error
    if manifest.get("code") != dict(code):
        raise FullBuildNeeded("another version of regulars or of a package made the last snapshot")
    today = settings.identity()
    for section in _SECTIONS:
        if manifest["settings"].get(section) != today.get(section):
            raise FullBuildNeeded(f"the settings in [{section}] have changed")
    for table in _WHOLE_INPUTS:
        before = manifest["inputs"].get(table, {}).get("fingerprint")
        if before != (inputs[table].fingerprint if table in inputs else None):
            raise FullBuildNeeded(f"the input {table} has changed")
    seen = {(file["name"], file["sha256"]) for file in manifest["inputs"]["order_lines"]["files"]}
    now = {(file.name, file.sha256): path for file, path in zip(inputs["order_lines"].files, files, strict=True)}
    gone = sorted(name for name, _ in seen - now.keys())
    if gone:
        raise FullBuildNeeded(f"{len(gone)} files of order lines have changed or gone, such as {gone[0]}")
    new = tuple(path for key, path in now.items() if key not in seen)
    if not new:
        raise FullBuildNeeded("no new file of order lines")
    carried = manifest["carried"]
    if carried["after_as_of"]:
        raise FullBuildNeeded("the last snapshot set lines aside that were later than its as-of date")
    if carried["pending_returns"]:
        raise FullBuildNeeded("the last snapshot holds sales marked as returned after its as-of date")
    missing = [name for name in CARRIED_TABLES if name not in base.tables()]
    if missing or base.damage():
        raise FullBuildNeeded("the last snapshot is damaged")
    return Increment(base, new)


def examine_new_lines(
    increment: Increment, engine: "Engine", staged: "Staged", settings: "Settings", today: date
) -> date:
    """Look into the new lines, staged alone, for what only the whole history could answer.

    Returns
    -------
    date
        The as-of date of the build.

    Raises
    ------
    FullBuildNeeded
        There is such a thing; the text says what.
    """
    before = increment.base.as_of
    carried = increment.carried
    facts = reading_facts(staged)
    if facts["reading"] != carried["reading"]:
        raise FullBuildNeeded("the new files change the columns or types of the order lines")
    for column, clock in facts["clocks"].items():
        known = carried["clocks"].get(column, "")
        if clock and known and clock != known:
            raise FullBuildNeeded(f"{column} is {clock} time in the new files and {known} time in the old")
    (days,) = engine.query(
        "SELECT min(CAST(ordered_at AS DATE)) AS first_day, "
        "max(CASE WHEN CAST(ordered_at AS DATE) <= $today THEN CAST(ordered_at AS DATE) END) AS last_day "
        "FROM order_lines",
        {"today": today},
    ).to_pylist()
    if days["first_day"] is not None and days["first_day"] <= before:
        raise FullBuildNeeded(f"the new files hold lines of {days['first_day']}, not later than {before}")
    as_of = settings.value.as_of or max(before, days["last_day"] or before)
    if as_of < before:
        raise FullBuildNeeded(f"the as-of date {as_of} is earlier than the last snapshot's {before}")
    returns = Pipeline(engine, settings_parameters(settings, as_of)).tracks_returns
    if returns and not carried["tracks_returns"]:
        raise FullBuildNeeded("the new files hold the first returns")
    return as_of


def carried_facts(pipeline: Pipeline, staged: "Staged", increment: Increment | None) -> dict[str, Any]:
    """Return what the manifest keeps for the next build to decide on; the same however the run was built."""
    pending = pipeline.run("pending_returns").column("lines")[0].as_py()
    after = pipeline.engine.query(
        "SELECT count(*) AS days FROM daily_money WHERE reason = $reason", {"reason": _AFTER}
    ).column("days")[0]
    facts = reading_facts(staged)
    if increment is not None:  # a clock that only old files show is known still
        known = increment.carried["clocks"]
        facts["clocks"] = {name: facts["clocks"].get(name) or known.get(name, "") for name in sorted(facts["clocks"])}
    return {
        "tracks_returns": pipeline.tracks_returns,
        "pending_returns": pending > 0,
        "after_as_of": after.as_py() > 0,
        **facts,
    }


def reading_facts(staged: "Staged") -> dict[str, Any]:
    """How order lines are read: a fingerprint of columns, types and SQL, and the clock of each column of moments."""
    table = staged.tables["order_lines"]
    return {
        "reading": fingerprint({"columns": list(table.raw_columns.items()), "sql": table.sql}),
        "clocks": {name: table.clocks[name] for name in sorted(table.clocks)},
    }
