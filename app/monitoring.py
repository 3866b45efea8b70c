"""Monitoring: each build holds what earlier snapshots predicted against what has arrived since, and warns of drift.

The table depends on which runs a warehouse still keeps, so it is no part of a snapshot: it lies beside them.
"""

import os
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..sql.contract import PREDICTION_TRACKING
from ..sql.durability import saying, sync_folder
from ..sql.errors import RegularsError

if TYPE_CHECKING:
    import pyarrow as pa

    from ..sql.pipeline import Pipeline
    from ..sql.snapshot import Snapshot, Warehouse

FILE = f"{PREDICTION_TRACKING.name}.parquet"

# Fewer days say little of a prediction; more runs than this would be read at each build.
_FEWEST_DAYS = 7
_MOST_RUNS = 3


def track_predictions(warehouse: "Warehouse", pipeline: "Pipeline", until: date) -> "tuple[pa.Table, list[str]]":
    """Hold what the models of the latest earlier snapshots predict against the purchase days that are known by now.

    Parameters
    ----------
    warehouse : Warehouse
        Whose runs are read: of each as-of date the latest, the last three that are a week or more old.
    pipeline : Pipeline
        Of today's build.
    until : date
        The as-of date of today's build.

    Returns
    -------
    table : pyarrow.Table
        In the shape of ``contract.PREDICTION_TRACKING``; without rows where nothing is old enough.
    said : list of str
        A sentence for each run whose totals have drifted, or that cannot be read.
    """
    import pyarrow as pa

    from ..sql.frames import contract_table

    tables = [contract_table(PREDICTION_TRACKING, {name: pa.nulls(0) for name in PREDICTION_TRACKING.column_names})]
    said = []
    for run in _earlier(warehouse, until):
        try:
            held = _hold(run, pipeline, until)
        except RegularsError as error:
            said.append(f"the predictions of run {run.run_id} are not tracked: {error}")
            continue
        if held is not None:
            tables.append(held)
            said += _drift(held.slice(0, 1).to_pylist()[0])
    return pa.concat_tables(tables), said


def write_tracking(warehouse: "Warehouse", table: "pa.Table") -> Path:
    """Replace ``prediction_tracking.parquet`` beside the snapshots: a reader sees the old file or the new one.

    Raises
    ------
    WarehouseError
        It cannot be written; the old one then stands.
    """
    import pyarrow.parquet as pq

    path = warehouse.path / FILE
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with saying(path, "write", "the snapshot is published"):
        try:
            with beside.open("wb") as file:
                pq.write_table(table, file, compression="zstd")
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            with suppress(OSError):
                beside.unlink(missing_ok=True)
        sync_folder(path.parent)
    return path


def _earlier(warehouse: "Warehouse", until: date) -> "list[Snapshot]":
    newest: dict[date, Snapshot] = {}
    for run in warehouse.runs():  # newest first
        with suppress(RegularsError):
            if run.as_of <= until - timedelta(days=_FEWEST_DAYS) and (run.manifest.get("model") or {}).get("name"):
                newest.setdefault(run.as_of, run)
    return [newest[as_of] for as_of in sorted(newest, reverse=True)[:_MOST_RUNS]]


def _hold(run: "Snapshot", pipeline: "Pipeline", until: date) -> "pa.Table | None":
    from ..clv.drift import hold_predictions
    from ..clv.time_units import days_per_unit
    from .scoring import snapshot_models

    model, spend = snapshot_models(run)
    # the customers and their histories of then, by what is known now: late returns and merged customers count as such
    rows = pipeline.run(
        "holdout_summary",
        calibration_end=run.as_of,
        observation_end=until,
        days_per_unit=days_per_unit(model.time_unit_),
    )
    if rows.num_rows == 0:
        return None
    return hold_predictions(
        model,
        spend,
        rows.replace_schema_metadata({"regulars.time_unit": model.time_unit_}),
        rows.column("frequency_holdout").to_numpy(),
        rows.column("revenue_holdout").to_numpy(),
        predicted_on=run.as_of,
        until=until,
        run_id=run.run_id,
    )


def _drift(total: dict[str, Any]) -> list[str]:
    said = []
    for what in filter(None, total["drift"].split(", ")):
        predicted, actual = total[f"predicted_{what}"], total[f"actual_{what}"]
        said.append(
            f"drift: {what} since {total['as_of']} are {actual:,.0f} where run {total['run_id']} predicted "
            f"{predicted:,.0f} ({actual / predicted - 1:+.0%}, outside {total[f'{what}_low']:,.0f} to "
            f"{total[f'{what}_high']:,.0f}): a season, an action or another clientele; see prediction_tracking"
        )
    return said
