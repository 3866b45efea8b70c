"""The log of a campaign's decisions: one Parquet file of who got what, with which probability, from which inputs.

Its first columns are those of `sends`, so that it is read back as such; the others are what the decision was made of,
so that it can be repeated. The rules stand in the file's own metadata.
"""

# pyarrow.compute makes its functions at import time, unseen by type checkers
# pyright: reportAttributeAccessIssue=false

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..sql.durability import canonical_json
from ..sql.errors import ModelError
from .decisions import Considered, Decisions, Rules

if TYPE_CHECKING:
    import pyarrow as pa

_METADATA = b"regulars.target"
_PER_ARM = ("effect", "worth", "cost")


def log_table(considered: Considered, rules: Rules, decisions: Decisions, run_id: str) -> "pa.Table":
    """Return the log, a row per customer by customer_id.

    ``campaign``, ``customer_id``, ``arm``, ``sent_at``, ``propensity`` are those of `sends`: the arm is control for
    whoever got nothing, NULL for whoever was suppressed. ``why`` says the rest. ``intended_arm`` is what the customer
    would have got but for the holdout: what counts as a contact. ``propensity_<arm>``, ``effect_<arm>``,
    ``worth_<arm>`` and ``cost_<arm>`` are by arm, NULL where an arm could not be offered.
    """
    import pyarrow as pa

    n = len(considered.customer_ids)
    rows = np.arange(n)
    names = (rules.control, *considered.arms)
    suppressed = considered.suppressed.to_pylist()
    arm = [None if reason else names[choice + 1] for choice, reason in zip(decisions.choice, suppressed, strict=True)]
    own = decisions.propensity[rows, decisions.choice + 1]
    columns: dict[str, Any] = {
        "campaign": pa.repeat(rules.campaign, n),
        "customer_id": considered.customer_ids,
        "arm": pa.array(arm, pa.string()),
        "sent_at": pa.repeat(pa.scalar(datetime.combine(rules.on, datetime.min.time()), pa.timestamp("us")), n),
        "propensity": _nullable(own),
        "why": pa.array(_whys(decisions, suppressed), pa.string()),
        "run_id": pa.repeat(run_id, n),
        "planned_arm": pa.array([names[a + 1] for a in decisions.planned.tolist()], pa.string()),
        "intended_arm": pa.array(
            [None if reason else names[a + 1] for a, reason in zip(decisions.intended, suppressed, strict=True)],
            pa.string(),
        ),
        "explored": pa.array(decisions.explored),
        "expected_effect": _chosen(considered.effect, decisions.choice),
        "expected_profit": _chosen(decisions.profit, decisions.choice),
        "expected_cost": _chosen(considered.cost, decisions.choice),
        "recent_contacts": pa.array(considered.contacts, pa.int64()),
        "suppressed": considered.suppressed,
    }
    for a, name in enumerate(names):
        columns[f"propensity_{name}"] = _nullable(decisions.propensity[:, a])
    for kind in _PER_ARM:
        matrix = getattr(considered, kind)
        columns |= {f"{kind}_{name}": _nullable(matrix[:, a]) for a, name in enumerate(considered.arms)}
    said = {"rules": rules_to_dict(rules), "arms": list(considered.arms), "run_id": run_id}
    return pa.table(columns).replace_schema_metadata({_METADATA: canonical_json(said).encode()})


def considered_from(log: "pa.Table") -> tuple[Considered, Rules, str]:
    """Return what a log was made of: the customers, the rules and the run's id.

    Raises
    ------
    ModelError
        The table is no such log.
    """
    said = log_facts(log)
    arms = tuple(said["arms"])
    whole = log.combine_chunks()

    def matrix(kind: str) -> np.ndarray:
        parts = [whole.column(f"{kind}_{arm}").to_numpy(zero_copy_only=False) for arm in arms]
        return np.column_stack(parts).astype(np.float64)

    def column(name: str) -> Any:
        chunks = whole.column(name)
        return chunks.chunk(0) if chunks.num_chunks else chunks.combine_chunks()

    considered = Considered(
        customer_ids=column("customer_id"),
        arms=arms,
        effect=matrix("effect"),
        worth=matrix("worth"),
        cost=matrix("cost"),
        contacts=whole.column("recent_contacts").to_numpy(),
        suppressed=column("suppressed"),
    )
    return considered, rules_from_dict(said["rules"]), said["run_id"]


def log_facts(log: "pa.Table") -> dict[str, Any]:
    """Return what a log's metadata say: ``rules``, ``arms`` and ``run_id``.

    Raises
    ------
    ModelError
        The table is no log of decisions.
    """
    import pyarrow as pa

    if not isinstance(log, pa.Table):
        raise ModelError(
            f"the log of decisions is a pyarrow.Table, not {type(log).__name__}: read its file with read_log(path), or "
            "take a target list's .log; frames lose the rules that stand in its metadata"
        )
    return schema_facts(log.schema)


def schema_facts(schema: "pa.Schema") -> dict[str, Any]:
    """Return what the metadata of a log's schema say, as `log_facts` does.

    Raises
    ------
    ModelError
        The schema is that of no log.
    """
    text = (schema.metadata or {}).get(_METADATA)
    if text is None:
        raise ModelError(
            "the table is no log of decisions: its metadata name no rules. Read it with read_log(path), "
            "or take a target list's .log"
        )
    return json.loads(text)


def read_log(path: Path | str) -> "pa.Table":
    """Read a log of decisions.

    Raises
    ------
    ModelError
        The file cannot be read, or is none.

    Examples
    --------
    >>> import tempfile
    >>> from regulars.uplift.target import TargetList
    >>> scores = {"customer_id": ["a"], "arm": ["mail"], "effect": [5.0], "net_effect": [1.46], "cost": [0.04]}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     read_log(TargetList.build(scores, "spring", on=date(2026, 5, 1)).write_log(folder))["why"].to_pylist()
    ['sent']
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            table = file.read()
    except (OSError, pa.ArrowException) as error:
        raise ModelError(f"{path}: cannot be read as a log of decisions ({error})") from error
    log_facts(table)
    return table


def logged_sends(log: "pa.Table", *, holdout: bool = True) -> "pa.Table":
    """Return a log as rows of `sends`, for the next fit to learn from.

    Parameters
    ----------
    log : pyarrow.Table
        As `read_log` returns it.
    holdout : bool
        Whether customers who were held out count as control. The propensities follow: with them, those before any
        draw; without, those of a customer who was not held out. Leave them out where earlier campaigns may have
        changed the features of everybody else.

    Returns
    -------
    pyarrow.Table
        ``customer_id``, ``campaign``, ``arm``, ``sent_at``, ``propensity`` (of the customer's own arm), then
        ``propensity_<arm>`` for control and every arm: what ``Experiment(propensity={...})`` takes.

    Raises
    ------
    ModelError
        The table is no log of decisions.

    Examples
    --------
    >>> from regulars.uplift.target import TargetList
    >>> scores = {"customer_id": ["a", "b"], "arm": ["mail"] * 2, "effect": [5.0, 0.1], "net_effect": [1.46, -0.01],
    ...           "cost": [0.04] * 2}
    >>> made = TargetList.build(scores, "spring", on=date(2026, 5, 1), exploration=0.2)
    >>> logged_sends(made.log).select(["customer_id", "arm", "propensity"]).to_pylist()[1]
    {'customer_id': 'b', 'arm': 'control', 'propensity': 0.9}
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    said = log_facts(log)
    kept = pc.is_valid(log["arm"])
    if not holdout:
        kept = pc.and_(kept, pc.not_equal(log["why"], "holdout"))
    rows = log.filter(kept)
    names = [said["rules"]["control"], *said["arms"]]
    matrix = np.column_stack([rows[f"propensity_{name}"].to_numpy(zero_copy_only=False) for name in names])
    if not holdout:
        share = float(said["rules"]["holdout"])
        matrix[:, 0] -= share
        matrix /= 1.0 - share
    place = {name: a for a, name in enumerate(names)}
    own = matrix[np.arange(len(matrix)), [place[arm] for arm in rows["arm"].to_pylist()]]
    columns: dict[str, Any] = {name: rows[name] for name in ("customer_id", "campaign", "arm", "sent_at")}
    columns["propensity"] = pa.array(own)
    columns |= {f"propensity_{name}": pa.array(matrix[:, a]) for a, name in enumerate(names)}
    return pa.table(columns)


def rules_to_dict(rules: Rules) -> dict[str, Any]:
    """Return rules as plain JSON values."""
    return asdict(rules) | {
        "on": rules.on.isoformat(),
        "stock": {arm: limit for arm, limit in sorted(rules.stock.items()) if np.isfinite(limit)},
    }


def rules_from_dict(said: Mapping[str, Any]) -> Rules:
    """Return the rules of `rules_to_dict`."""
    return Rules(**{**said, "on": date.fromisoformat(said["on"])})


def _whys(decisions: Decisions, suppressed: list[str]) -> list[str]:
    said = np.where(decisions.choice >= 0, "sent", "not chosen").astype(object)
    said[decisions.held_out] = "holdout"
    return [f"suppressed: {reason}" if reason else why for why, reason in zip(said.tolist(), suppressed, strict=True)]


def _chosen(matrix: np.ndarray, choice: np.ndarray) -> "pa.Array":
    values = matrix[np.arange(len(matrix)), np.maximum(choice, 0)]
    return _nullable(np.where(choice >= 0, values, np.nan))


def _nullable(values: np.ndarray) -> "pa.Array":
    import pyarrow as pa

    return pa.array(np.ascontiguousarray(values, dtype=np.float64), mask=np.isnan(values))
