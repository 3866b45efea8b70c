"""What the warehouse holds of one customer beside the snapshot's tables: earlier scores, decisions, P(alive) by day."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..sql.errors import ModelError, RegularsError, WarehouseError

if TYPE_CHECKING:
    import pandas as pd

    from ..sql.snapshot import Snapshot
    from .snapshot_data import SnapshotData

LONGEST_ID = 20_000
MOST_RUNS = 20
_MOST_POINTS = 600
_SCORED = (
    "as_of", "model_version", "segment", "customer_value", "value_low", "value_high", "probability_alive",
    "expected_orders",
)  # fmt: skip
_DECIDED = ("campaign", "sent_at", "arm", "planned_arm", "why", "expected_effect", "expected_profit", "expected_cost")


@dataclass(frozen=True)
class AlivePath:
    """P(alive) day by day, each figure knowing only what had happened by then."""

    days: "Sequence[date]"
    probability: "Sequence[float]"
    lowest: tuple[date, float]
    now: float


def alive_path(data: "SnapshotData", purchase_days: "Sequence[date]") -> AlivePath:
    """Return the path by the model of orders that the snapshot's scores are of.

    Raises
    ------
    WarehouseError, ModelError
        The snapshot keeps no such model, or it knows no path; the text says why.
    """
    from ..clv.alive_path import probability_alive_path
    from ..clv.btyd import BTYDModel

    name = str((data.manifest.get("model") or {}).get("name") or "")
    if not name:
        raise ModelError("no model of orders could be fitted in this run")
    model = _model(data.snapshot.whole_model_path(name))
    if not isinstance(model, BTYDModel):
        raise ModelError(f"{type(model).__name__} needs more of a customer than the days of purchase: no path is drawn")
    path = probability_alive_path(model, purchase_days, data.as_of)
    return _thinned(path)


@lru_cache(maxsize=4)
def _model(path: Path) -> Any:
    from ..clv.persistence import load_model

    # a run never changes, so neither does its model
    return load_model(path)


def _thinned(path: "pd.DataFrame") -> AlivePath:
    """Every n-th day, and each purchase with the day before it, where it jumps."""
    alive = path["probability_alive"].to_numpy()
    days = path["day"].to_numpy().astype("datetime64[D]")
    step = max(1, len(alive) // _MOST_POINTS)
    keep = np.arange(len(alive)) % step == 0
    bought = path["is_purchase"].to_numpy()
    if bought.sum() <= _MOST_POINTS:
        keep |= bought | np.append(bought[1:], True)
    keep[[0, -1]] = True
    low = int(np.argmin(alive))
    return AlivePath(days[keep].tolist(), alive[keep].tolist(), (days[low].item(), float(alive[low])), float(alive[-1]))


def scores_over_runs(data: "SnapshotData", customer_id: str) -> list[dict[str, Any]]:
    """Return this customer's scores in the warehouse's runs, the latest date first, each with ``run_id``.

    Runs that cannot be read or do not know the customer are left out.
    """
    runs = sorted(data.warehouse.runs(), key=_when, reverse=True)[:MOST_RUNS]
    found = []
    for run in runs:
        row = _score_of(run, customer_id)
        if row is not None:
            found.append({**row, "run_id": run.run_id})
    return found


def _when(run: "Snapshot") -> tuple[date, str]:
    try:
        return run.as_of, run.run_id
    except (RegularsError, KeyError, ValueError):
        return date.min, run.run_id


def _score_of(run: "Snapshot", customer_id: str) -> dict[str, Any] | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(
            run.table_path("customer_scores"),
            columns=list(_SCORED),
            filters=[("customer_id", "==", customer_id)],
        )
    except (RegularsError, OSError, KeyError, pa.ArrowException):
        return None
    return rows.to_pylist()[0] if rows.num_rows else None


def decisions_of(data: "SnapshotData", customer_id: str) -> list[Mapping[str, Any]]:
    """Return what campaigns decided for this customer, the latest first; [] where nothing was.

    Raises
    ------
    WarehouseError
        A log cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from .targeting import DECISIONS

    found: list[Mapping[str, Any]] = []
    for log in sorted((data.warehouse.path / DECISIONS).glob("*.parquet")):
        try:
            known = set(pq.read_schema(log).names)
            columns = [name for name in _DECIDED if name in known]
            rows = pq.read_table(log, columns=columns, filters=[("customer_id", "==", customer_id)])
        except (OSError, pa.ArrowException) as error:
            raise WarehouseError(f"{log}: cannot be read as a log of decisions ({error})") from error
        found += rows.to_pylist()
    return sorted(found, key=lambda row: (str(row.get("sent_at")), str(row.get("campaign"))), reverse=True)
