"""``regulars erase``: one person removed from every snapshot, list, log and state file, and the proof of it.

The order makes a kill at any moment harmless: the audit line, then tombstones, so that no build brings the person
back; then runs, each replaced whole; lists and logs, each file replaced whole; the state; the proof last. Doing it
again finishes it.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..sql.durability import exclusive_lock
from ..sql.errors import RegularsError, SettingsError, WarehouseError
from ..sql.files import find_files
from ..sql.privacy import MARK, Tombstones, with_linked
from ..sql.snapshot import Warehouse
from . import erased_lists, erased_runs, erased_state
from .erased_lists import ListErasure
from .erased_runs import RunErasure
from .erasure_proof import Proof, prove
from .redaction import Redactor
from .state import State
from .targeting import DECISIONS

if TYPE_CHECKING:
    from ..sql.settings import Settings

_INPUTS = ("order_lines", "customers", "customer_links", "sends")


@dataclass(frozen=True)
class Erasure:
    """What `erase` found, and did unless it was a dry run.

    ``outcome`` is ``"erased"``, ``"erased before"`` (nothing was left of them), ``"unknown"`` (nothing here names the
    id; a tombstone keeps it out all the same) or ``"dry run"``. ``inputs`` are the shop's own files, which nobody but
    the shop may change.
    """

    outcome: str
    ids: int
    tombstones: tuple[str, ...]
    runs: tuple[RunErasure, ...]
    lists: ListErasure
    state: Mapping[str, int]
    inputs: tuple[str, ...]
    proof: Proof | None = field(default=None)

    @property
    def exit_code(self) -> int:
        """What the command line returns: 0, or 1 where the proof fails."""
        return 0 if self.proof is None or self.proof.holds else 1

    def to_dict(self) -> dict[str, Any]:
        """As ``regulars erase --json`` prints it; the ids themselves are not in it."""
        return {
            "outcome": self.outcome,
            "ids": self.ids,
            "tombstones": list(self.tombstones),
            "runs": {run.run_id: {"rows": run.rows, "texts": run.texts, "units": run.units} for run in self.runs},
            "lists": {path.name: rows for path, rows in self.lists.lists.items()},
            "logs": {path.name: rows for path, rows in self.lists.logs.items()},
            "state": dict(self.state),
            "inputs": list(self.inputs),
            "proof": None if self.proof is None else self.proof.to_dict(),
            "exit_code": self.exit_code,
        }

    def text(self) -> str:
        """As ``regulars erase`` prints it."""
        done = "would be" if self.outcome == "dry run" else "were"
        said = [
            f"{self.outcome}: {self.ids} ids of one person, tombstone {self.tombstones[0] if self.tombstones else '-'}"
        ]
        for run in self.runs:
            rows = ", ".join(f"{count:,} of {name}" for name, count in run.rows.items())
            texts = f"; blotted out of {', '.join(run.texts)}" if run.texts else ""
            learnt = f"; a number made of the id out of {', '.join(run.units)}" if run.units else ""
            said.append(f"run {run.run_id}: rows that {done} taken out: {rows or 'none'}{texts}{learnt}")
        said += [f"{path.name}: {rows:,} rows" for path, rows in {**self.lists.lists, **self.lists.logs}.items()]
        said += [f"{name}: {rows:,} rows" for name, rows in self.state.items()]
        if self.proof is not None:
            said += self.proof.sentences()
        if self.inputs:
            said.append(
                "yours to do: these input files are the shop's own, and were not touched; builds leave the person out "
                f"while they are there: {', '.join(self.inputs)}"
            )
        said.append(
            "yours to do: lists written elsewhere with --out, exports, backups, and what the e-mail provider holds"
        )
        if self.outcome == "erased":
            said.append("next: 'regulars build' fits the models anew without the person")
        return "\n".join(said)


def erase(
    warehouse: Path,
    customer: str,
    *,
    settings: "Settings | None" = None,
    person: str = "command line",
    dry_run: bool = False,
    wait: float = 0.0,
) -> Erasure:
    """Remove a person from a warehouse and prove it.

    Parameters
    ----------
    warehouse : Path
    customer : str
        Their id, or one that customer links join to it.
    settings : Settings, optional
        Where the inputs lie: read for links, and to name what is the shop's to delete.
    person : str
        Who asks, for the audit.
    dry_run : bool
        Look, and change nothing.
    wait : float
        Seconds to wait for a build to end.

    Raises
    ------
    SettingsError
        No id.
    WarehouseError
        A file cannot be read or written, or a build holds the warehouse. What is published is whole all the same;
        erase again.
    """
    if not customer.strip() or customer == MARK:
        raise SettingsError(f"customer {customer!r} is no id; name the customer whose data must go")
    house = Warehouse(warehouse)
    if not warehouse.is_dir():
        raise WarehouseError(f"{warehouse}: there is no warehouse; name it with --warehouse, or --settings")
    with ExitStack() as held:
        if not dry_run:
            held.enter_context(house.lock(wait=wait))
            if (warehouse / DECISIONS).is_dir():
                held.enter_context(exclusive_lock(warehouse / DECISIONS / ".lock", wait=wait))
        who = Redactor(frozenset(_all_ids(house, customer, settings)))
        runs = tuple(found for run in house.runs() if (found := erased_runs.examine(run, who)).found)
        lists = erased_lists.examine(warehouse, who)
        state = erased_state.examine(warehouse, who)
        inputs = _inputs(settings)
        if dry_run:
            return Erasure("dry run", len(who.ids), (), runs, lists, state, inputs)
        stones = Tombstones(warehouse)
        before = stones.among(who.ids)
        stones.add(())  # the key alone: what is put on record is made with it, and that comes before anything is done
        marks = sorted(stones.of(one)[:16] for one in who.ids)
        State(warehouse).audit(person, "erase customer", marks[0], ids=len(marks))
        stones.add(who.ids)
        note: dict[str, Any] = {"tombstones": marks}
        for found in runs:
            run = house.snapshot(found.run_id)
            with house.revise(run) as writer:
                erased_runs.rewrite(run, found, who, writer, note)
        if lists.found:
            erased_lists.remove(warehouse, lists, who, marks)
        erased_state.remove(warehouse, who)
        proof = prove(warehouse, who)
        outcome = "erased" if runs or lists.found or state else "erased before" if before else "unknown"
        return Erasure(outcome, len(who.ids), tuple(marks), runs, lists, state, inputs, proof)


def _all_ids(house: Warehouse, customer: str, settings: "Settings | None") -> set[str]:
    """The id and all that links join to it, as the inputs say today and the refunds of past runs show."""
    links = _links(settings) if settings is not None else []
    ids = with_linked({customer}, links)
    for _ in range(32):  # a chain may lead on; runs show one step at a time
        shown = {pair for run in house.runs() for pair in erased_runs.linked_in(run, frozenset(ids))}
        wider = with_linked(ids, [*links, *shown])
        if wider == ids:
            break
        ids = wider
    return ids - {MARK}


def _links(settings: "Settings") -> list[tuple[str, str]]:
    if settings.customer_links is None:
        return []
    from contextlib import closing

    from ..sql.contract import SECTIONS
    from ..sql.engine import DuckDBEngine
    from ..sql.sources import stage

    # the links alone: the orders may be gone already, and reading them takes minutes
    unread = {section: None for table, section in SECTIONS.items() if table != "customer_links"}
    with closing(DuckDBEngine(threads=settings.build.threads, memory_limit=settings.build.memory_limit)) as engine:
        staged = stage(engine, settings.model_copy(update=unread))
        rows = engine.query(
            f"SELECT DISTINCT old_id, customer_id FROM ({staged.tables['customer_links'].sql}\n) AS links"
        ).to_pylist()
    return [(row["old_id"], row["customer_id"]) for row in rows if row["old_id"] and row["customer_id"]]


def _inputs(settings: "Settings | None") -> tuple[str, ...]:
    if settings is None:
        return ()
    named: list[str] = []
    for table in _INPUTS:
        try:
            source = find_files(settings, table)
        except RegularsError:  # gone: nothing is left to delete there
            continue
        if source is not None:
            first, *others = source.files
            named.append(f"{table}: {first}" + (f" and {len(others):,} more" if others else ""))
    return tuple(named)
