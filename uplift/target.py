"""Target lists: who gets which offer, why, at what expected profit; and for everybody else, why not."""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..sql.durability import canonical_json, saying, sync_folder
from ..sql.errors import ModelError, nearest
from ..sql.frames import frame_like
from ..sql.lineage import versions
from .decision_log import considered_from, log_facts, log_table, read_log, rules_to_dict
from .decisions import Considered, Decisions, Rules, decide_campaign
from .explain import explanation, summarise
from .score_table import read_scores
from .suppression import MAILED_LATELY, Suppression, contact_counts, contacts_of

if TYPE_CHECKING:
    import pyarrow as pa

_PACKAGES = ("numpy", "numba", "scipy", "pyarrow")
FORMATS = ("parquet", "csv")


@dataclass(frozen=True)
class TargetList:
    """A campaign's list with everything that was decided about those who are not on it; made by `build`.

    Attributes
    ----------
    table : frame
        A line per mailed customer, by customer_id: ``campaign``, ``customer_id``, ``arm``, ``expected_profit`` (money,
        its cost taken off), ``effect`` (units of outcome), ``cost`` (money), ``reason``, ``propensity``, ``explored``.
    decisions : frame
        A line per customer who was considered, see `decision_log.log_table`.
    summary : dict
        Counts, spend, planned incremental profit, its bound and gap, worth of one more unit of each limit, notes.
    manifest : dict
        The rules, the summary, a fingerprint of the inputs, package versions, and the SHA-256 of list and log.
    run_id : str
        Hash of the rules and of the inputs' content: the same inputs and rules have the same.
    log : pyarrow.Table
        ``decisions`` with the rules in its metadata: what `write_log` writes.

    Examples
    --------
    >>> scores = {"customer_id": ["a", "b"], "arm": ["mail"] * 2, "effect": [5.0, 0.1], "net_effect": [1.46, -0.01],
    ...           "cost": [0.04] * 2}
    >>> made = TargetList.build(scores, "spring", on=date(2026, 5, 1))
    >>> made.summary["mailed"], made.summary["planned_profit"], made.decisions["why"].tolist()
    (1, 1.46, ['sent', 'not chosen'])
    """

    run_id: str
    rules: Rules
    considered: Considered = field(repr=False)
    decided: Decisions = field(repr=False)
    log: "pa.Table" = field(repr=False)
    summary: dict[str, Any] = field(repr=False)
    given: Any = field(default=None, repr=False)

    @classmethod
    def build(
        cls,
        effects: Any,
        campaign: str,
        *,
        on: date,
        budget: float | None = None,
        stock: Mapping[str, float] | None = None,
        offers: Sequence[str] | None = None,
        suppression: Suppression | Mapping[str, Iterable[object]] | None = None,
        recent_contacts: Mapping[Any, int] | None = None,
        frequency_cap: int | None = None,
        fatigue: float = 0.0,
        max_contacts: int | None = None,
        holdout: float = 0.0,
        holdout_salt: str = "holdout",
        exploration: float = 0.0,
        control: str = "control",
        seed: int = 0,
        facts: Mapping[str, Any] | None = None,
    ) -> "TargetList":
        """Decide a campaign.

        Parameters
        ----------
        effects : frame or mapping
            A row per customer and arm: ``customer_id``, ``arm``, ``effect`` (units of outcome), ``net_effect`` and
            ``cost`` (money), as in the snapshot's ``uplift_scores`` or from `score_table.score_table`. An arm without
            a row is not offered to that customer. Rows of other campaigns, where there is a column ``campaign``, are
            left out.
        campaign : str
            Its name.
        on : date
            Day of the sends; of a moment, its day.
        budget, stock, max_contacts
            The most that may be spent, that each arm may be given (arm -> count), that may be mailed.
        offers : sequence of str, optional
            Arms to choose from; all without it.
        suppression : Suppression or mapping, optional
            Whom to leave alone; a mapping is that of ``Suppression.lists``.
        recent_contacts : mapping or pandas.Series, optional
            Customer -> sends lately (see `suppression.count_contacts`); ``frequency_cap`` and ``fatigue`` need it.
        frequency_cap, fatigue
            Customers with that many recent contacts get nothing; the share of an offer's worth that each takes away.
        holdout, holdout_salt
            See `design.persistent_holdout`. Suppressed customers are in no holdout: they could not have been mailed.
        exploration : float
            Share of the customers who may be mailed whose arm, or nothing, is drawn at random; none where the budget
            or ``max_contacts`` is 0.
        control : str
            What the log calls nothing.
        seed : int
            Of exploration.
        facts : mapping, optional
            Further plain values for the manifest; part of the run's id.

        Raises
        ------
        ContractError
            A column is missing, an effect or cost is missing or infinite, or a customer has two rows for an arm.
        ModelError
            A rule is outside its range (a negative budget, a share of 1), or there are no rows at all.
        AllocationError
            The limits cannot be met.

        Examples
        --------
        >>> scores = {"customer_id": ["a", "b", "c"], "arm": ["mail"] * 3, "effect": [5.0, 3.0, 4.0],
        ...           "net_effect": [1.46, 0.86, 1.16], "cost": [0.04] * 3}
        >>> made = TargetList.build(scores, "spring", on=date(2026, 5, 1), budget=0.05,
        ...                         suppression={"unsubscribed": ["a"]})
        >>> made.table[["customer_id", "arm", "reason"]].values.tolist()
        [['c', 'mail', 'rank 1 of 1: expected 1.16 of profit at cost 0.04']]
        >>> made.explain("a")
        'a gets nothing of spring: suppressed: unsubscribed.'
        """
        rules = Rules(
            campaign=campaign,
            on=on,
            control=control,
            budget=budget,
            stock={} if stock is None else stock,
            max_contacts=max_contacts,
            holdout=holdout,
            holdout_salt=holdout_salt,
            exploration=exploration,
            frequency_cap=frequency_cap,
            fatigue=fatigue,
            seed=seed,
            facts={} if facts is None else facts,
        )
        if recent_contacts is None and (frequency_cap is not None or fatigue):
            raise ModelError(
                "frequency_cap and fatigue need recent_contacts; count them by count_contacts, and give {} where "
                "nobody was mailed"
            )
        given = {} if suppression is None else suppression
        lists = given if isinstance(given, Suppression) else Suppression(given)
        counts = contact_counts({} if recent_contacts is None else recent_contacts)
        considered = _considered(effects, rules, offers, lists, counts)
        report = lists.report(considered.customer_ids)
        return cls._decided(considered, rules, run_id_of(considered, rules), effects, report)

    @classmethod
    def _decided(
        cls,
        considered: Considered,
        rules: Rules,
        run_id: str,
        given: Any = None,
        suppression_lists: Mapping[str, Mapping[str, int]] | None = None,
    ) -> "TargetList":
        decided = decide_campaign(considered, rules)
        log = log_table(considered, rules, decided, run_id)
        summary = summarise(considered, rules, decided, suppression_lists)
        return cls(run_id, rules, considered, decided, log, summary, given)

    @property
    def table(self) -> Any:
        return frame_like(self.given, self.lines)

    @property
    def decisions(self) -> Any:
        return frame_like(self.given, self.log)

    @cached_property
    def lines(self) -> "pa.Table":
        """The list as Arrow: what `write` writes."""
        import pyarrow as pa

        rows = np.flatnonzero(self.decided.choice >= 0)
        log = self.log.take(pa.array(rows))
        return pa.table(
            {
                "campaign": log["campaign"],
                "customer_id": log["customer_id"],
                "arm": log["arm"],
                "expected_profit": log["expected_profit"],
                "effect": log["expected_effect"],
                "cost": log["expected_cost"],
                "reason": pa.array(self._reasons(rows), pa.string()),
                "propensity": log["propensity"],
                "explored": log["explored"],
            }
        )

    @property
    def manifest(self) -> dict[str, Any]:
        return self._manifest(FORMATS[0], self.list_bytes(FORMATS[0]))

    def list_bytes(self, format_: str = "parquet") -> bytes:
        """Return the list as the bytes of a ``"parquet"`` or ``"csv"`` file; ids stand in it as they are."""
        if format_ not in FORMATS:
            raise ModelError(f"format is {format_!r}; it is 'parquet' or 'csv'{nearest(format_, FORMATS)}")
        return parquet_bytes(self.lines) if format_ == "parquet" else csv_bytes(self.lines)

    def log_bytes(self) -> bytes:
        """Return the log of decisions as the bytes of a Parquet file."""
        return self._log_content

    @cached_property
    def _log_content(self) -> bytes:
        return parquet_bytes(self.log)

    def write(self, path: Path | str) -> Path:
        """Write the list, Parquet or CSV by its ending, with ``<name>.manifest.json`` beside it.

        Each file appears whole or not at all, the list last: where there is a list, its manifest stands beside it.

        Returns
        -------
        Path
            The list's.

        Raises
        ------
        ModelError
            Another ending.
        WarehouseError
            A file cannot be written.
        """
        target = Path(path)
        format_ = target.suffix.lstrip(".").lower()
        content = self.list_bytes(format_)
        manifest = self._manifest(format_, content)
        with saying(target, "write the list", "the list was not written"):
            target.parent.mkdir(parents=True, exist_ok=True)
            put(manifest_path(target), canonical_json(manifest).encode())
            put(target, content)
        return target

    def write_log(self, folder: Path | str) -> Path:
        """Write the log of decisions as ``<campaign>-<run id>.parquet`` into a folder; a log is never changed.

        Returns
        -------
        Path
            The log's; where it is there already with these bytes nothing is written.

        Raises
        ------
        ModelError
            A log of this run is there with other bytes.
        WarehouseError
            It cannot be written.
        """
        path = Path(folder) / log_name(self.rules.campaign, self.run_id)
        content = self.log_bytes()
        with saying(path, "log the decisions in", "no decision was logged, and no list written"):
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                if path.read_bytes() == content:
                    return path
                raise ModelError(
                    f"{path}: holds other decisions under the same run id: the file was changed, or package versions "
                    f"were; they are now {versions(_PACKAGES)}. A log is never overwritten: move it away first"
                )
            put(path, content)
        return path

    def explain(self, customer_id: object) -> str:
        """Say in a few sentences what one customer gets, or why nothing.

        Raises
        ------
        ModelError
            The campaign did not consider that customer; the text names the nearest id.
        """
        import pyarrow as pa

        row = self.considered.customer_ids.index(pa.scalar(str(customer_id), pa.string())).as_py()
        if row < 0:
            near = nearest(str(customer_id), self.considered.customer_ids.slice(0, 100_000).to_pylist())
            raise ModelError(f"{self.rules.campaign} of {self.rules.on} considered no customer {customer_id!r}{near}")
        reason = self._reasons(np.flatnonzero(self.decided.choice >= 0))
        place = int((self.decided.choice[:row] >= 0).sum())
        line = reason[place] if self.decided.choice[row] >= 0 else ""
        return explanation(row, self.considered, self.rules, self.decided, line)

    def _reasons(self, rows: np.ndarray) -> list[str]:
        profit = self.decided.profit[rows, self.decided.choice[rows]]
        cost = self.considered.cost[rows, self.decided.choice[rows]]
        explored = self.decided.explored[rows]
        rank = np.zeros(len(rows), dtype=np.int64)
        chosen = np.flatnonzero(~explored)
        rank[chosen[np.argsort(-profit[chosen], kind="stable")]] = np.arange(1, len(chosen) + 1)
        of = f"{len(chosen):,}"
        return [
            f"{f'rank {place:,} of {of}' if place else 'exploration'}: expected {p:.2f} of profit at cost {c:.2f}"
            for place, p, c in zip(rank.tolist(), profit.tolist(), cost.tolist(), strict=True)
        ]

    def _manifest(self, format_: str, content: bytes) -> dict[str, Any]:
        return {
            "format": 1,
            "run_id": self.run_id,
            "rules": rules_to_dict(self.rules),
            "arms": list(self.considered.arms),
            "summary": self.summary,
            "versions": versions(_PACKAGES),
            "list": {"format": format_, "rows": self.summary["mailed"], "sha256": _sha256(content)},
            "log": {
                "file": log_name(self.rules.campaign, self.run_id),
                "rows": self.summary["considered"],
                "sha256": _sha256(self.log_bytes()),
            },
        }


@dataclass(frozen=True)
class Replay:
    """A list made again from its log: ``differences`` is empty where log and list came out byte for byte."""

    target_list: TargetList
    differences: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether every byte is the same."""
        return not self.differences


def replay(log: Path | str, *, manifest: Path | str | None = None) -> Replay:
    """Make a list again from the inputs that its log recorded, and compare every byte.

    Parameters
    ----------
    log : Path or str
        The log, ``<campaign>-<run id>.parquet`` of the decisions' folder.
    manifest : Path or str, optional
        The list's manifest: then the list's bytes are compared too.

    Raises
    ------
    ModelError
        A file cannot be read, or the log is none.

    Examples
    --------
    >>> import tempfile
    >>> scores = {"customer_id": ["a"], "arm": ["mail"], "effect": [5.0], "net_effect": [1.46], "cost": [0.04]}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     log = TargetList.build(scores, "spring", on=date(2026, 5, 1)).write_log(folder)
    ...     replay(log).same
    True
    """
    import json

    table = read_log(log)
    considered, rules, run_id = considered_from(table)
    made = TargetList._decided(considered, rules, run_id)
    erased = log_facts(table).get("erased", [])
    if erased:
        told = f"{len(erased)} customers were" if len(erased) > 1 else "a customer was"
        said = f"{log}: {told} erased from it since, and the list cannot be made again without them"
        return Replay(made, (f"{said} (tombstones {', '.join(erased)}); 'regulars erase' did that on purpose",))
    differences = []
    if run_id_of(considered, rules) != run_id:
        differences.append(f"{log}: its inputs are not those of run {run_id}: the file was changed")
    if made.log_bytes() != Path(log).read_bytes():
        differences.append(f"{log}: the decisions come out otherwise{_with_versions()}")
    if manifest is not None:
        try:
            said = json.loads(Path(manifest).read_text(encoding="utf-8"))
            wanted, format_ = said["list"]["sha256"], said["list"]["format"]
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"{manifest}: cannot be read as a list's manifest ({error})") from error
        if _sha256(made.list_bytes(format_)) != wanted:
            differences.append(f"{manifest}: the list comes out otherwise{_with_versions()}")
    return Replay(made, tuple(differences))


def run_id_of(considered: Considered, rules: Rules) -> str:
    """Return the run's id: 16 hexadecimal digits of the SHA-256 over the rules and the content of the inputs."""
    digest = hashlib.sha256(canonical_json([rules_to_dict(rules), list(considered.arms)]).encode())
    for column in (considered.customer_ids, considered.suppressed):
        for text in column.to_pylist():
            digest.update(f"{len(text)}:{text}".encode())
    for matrix in (considered.effect, considered.worth, considered.cost, considered.contacts):
        digest.update(np.ascontiguousarray(matrix).tobytes())
    return digest.hexdigest()[:16]


def log_name(campaign: str, run_id: str) -> str:
    """Return the name of a log's file, safe whatever the campaign is called."""
    from urllib.parse import quote

    return f"{quote(campaign, safe='')}-{run_id}.parquet"


def manifest_path(path: Path) -> Path:
    """Return where the manifest of the list at ``path`` stands."""
    return path.with_name(f"{path.name}.manifest.json")


def put(path: Path, content: bytes) -> None:
    """Write a file that is whole or not there, and durable: aside, synced, renamed."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _considered(
    effects: Any,
    rules: Rules,
    offers: Sequence[str] | None,
    suppression: Suppression,
    recent_contacts: Mapping[str, int],
) -> Considered:
    import pyarrow as pa

    ids, arms, matrices = read_scores(effects, rules.campaign, control=rules.control, offers=offers)
    unknown = [arm for arm in rules.stock if arm not in arms]
    if unknown:
        raise ModelError(f"stock names {unknown}{nearest(unknown[0], arms)}; the offers are {list(arms)}")
    contacts = np.array(contacts_of(ids, recent_contacts), dtype=np.int64)
    cap = rules.frequency_cap
    lately = {} if cap is None else {MAILED_LATELY: pa.array(contacts >= cap)}
    return Considered(
        customer_ids=ids,
        arms=arms,
        effect=matrices["effect"],
        worth=matrices["net_effect"],
        cost=matrices["cost"],
        contacts=contacts,
        suppressed=suppression.reasons(ids, also=lately),
    )


def _with_versions() -> str:
    return f"; the packages are now {versions(_PACKAGES)}, the manifest names those of then"


def parquet_bytes(table: "pa.Table") -> bytes:
    """Return a list or log as the bytes of its Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = pa.BufferOutputStream()
    pq.write_table(table.combine_chunks(), buffer, compression="zstd", row_group_size=122_880)
    return buffer.getvalue().to_pybytes()


def csv_bytes(table: "pa.Table") -> bytes:
    """Return a list as the bytes of its CSV file."""
    import pyarrow as pa
    from pyarrow import csv

    buffer = pa.BufferOutputStream()
    csv.write_csv(table, buffer, csv.WriteOptions(quoting_style="needed"))
    return buffer.getvalue().to_pybytes()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
