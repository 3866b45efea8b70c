"""Monitoring: each build holds what earlier snapshots predicted against what has arrived since, and warns of drift.

The tables depend on which runs a warehouse still keeps, so they are no part of a snapshot: they lie beside them.
"""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..sql.contract import BESIDE_TABLES, CHURN_TRACKING, CUSTOMER_CHURN, PREDICTION_TRACKING, Table
from ..sql.durability import saying, sync_folder
from ..sql.errors import RegularsError

if TYPE_CHECKING:
    import pyarrow as pa

    from ..sql.pipeline import Pipeline
    from ..sql.snapshot import Snapshot, Warehouse

# Fewer days say little of a prediction; more runs than this would be read at each build.
_FEWEST_DAYS = 7
_MOST_RUNS = 3


def track_predictions(
    warehouse: "Warehouse", pipeline: "Pipeline", until: date
) -> "tuple[dict[str, pa.Table], list[str]]":
    """Hold what the latest earlier snapshots predict against the purchase days that are known by now.

    Parameters
    ----------
    warehouse : Warehouse
        Whose runs are read: of each as-of date the latest, the last three that are a week or more old; for P(no order)
        the last three whose horizon has passed.
    pipeline : Pipeline
        Of today's build.
    until : date
        The as-of date of today's build.

    Returns
    -------
    tables : dict of pyarrow.Table
        By name, in the shapes of ``contract.BESIDE_TABLES``; without rows where nothing is old enough.
    said : list of str
        A sentence for each run whose totals have drifted, or that cannot be read, and for those that hold no P(no
        order).
    """
    runs = _earlier(warehouse)
    old = [run for run in runs if run.as_of <= until - timedelta(days=_FEWEST_DAYS) and _has_model(run)][:_MOST_RUNS]
    orders, said = [], []
    for run in old:
        try:
            held = _hold(run, pipeline, until)
        except RegularsError as error:
            said.append(f"the predictions of run {run.run_id} are not tracked: {error}")
            continue
        if held is not None:
            orders.append(held)
            said += _drift(held.slice(0, 1).to_pylist()[0])
    stayed, more = _track_churn(runs, pipeline, until)
    return {
        PREDICTION_TRACKING.name: _stacked(PREDICTION_TRACKING, orders),
        CHURN_TRACKING.name: _stacked(CHURN_TRACKING, stayed),
    }, said + more


def write_tracking(warehouse: "Warehouse", tables: "Mapping[str, pa.Table]") -> list[Path]:
    """Replace the Parquet files of ``contract.BESIDE_TABLES``: a reader of each sees the old file or the new one.

    Raises
    ------
    WarehouseError
        One cannot be written; the old one then stands.
    """
    return [_replace(warehouse.path / f"{name}.parquet", tables[name]) for name in BESIDE_TABLES]


def _replace(path: Path, table: "pa.Table") -> Path:
    import pyarrow.parquet as pq

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


def _earlier(warehouse: "Warehouse") -> "list[Snapshot]":
    """Of each as-of date the latest run, the latest date first; one that told nothing does not hide one that did."""
    newest: dict[date, Snapshot] = {}
    for run in warehouse.runs():  # newest first
        with suppress(RegularsError):
            if run.as_of not in newest or (_has_model(run) and not _has_model(newest[run.as_of])):
                newest[run.as_of] = run
    return [newest[as_of] for as_of in sorted(newest, reverse=True)]


def _has_model(run: "Snapshot") -> bool:
    return bool((run.manifest.get("model") or {}).get("name"))


def _stacked(table: Table, held: "Iterable[pa.Table]") -> "pa.Table":
    import pyarrow as pa

    from ..sql.frames import contract_table

    return pa.concat_tables([contract_table(table, {name: pa.nulls(0) for name in table.column_names}), *held])


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


def _track_churn(runs: "Iterable[Snapshot]", pipeline: "Pipeline", until: date) -> "tuple[list[pa.Table], list[str]]":
    held, said, without = [], [], []
    for run in runs:
        if CUSTOMER_CHURN.name not in run.manifest["tables"]:
            without.append(run.run_id)
            continue
        asked = (run.manifest.get("settings") or {}).get("churn")
        if not asked or run.as_of + timedelta(days=asked["horizon_days"]) > until or len(held) == _MOST_RUNS:
            continue
        try:
            stayed = _hold_churn(run, pipeline)
        except RegularsError as error:
            said.append(f"P(no order) of run {run.run_id} is not tracked: {error}")
            continue
        if stayed is not None:
            held.append(stayed)
            said += _churn_drift(stayed.slice(0, 1).to_pylist()[0])
    if without:
        said.append(f"P(no order) is not tracked of runs that hold no {CUSTOMER_CHURN.name}: {', '.join(without)}")
    return held, said


def _hold_churn(run: "Snapshot", pipeline: "Pipeline") -> "pa.Table | None":
    """P(no order) of a run whose horizon has passed, of who is known now: the erased and the merged are not."""
    import numpy as np

    from ..clv.drift import hold_no_order

    said = run.read(CUSTOMER_CHURN.name, ["customer_id", "horizon_days", "probability_no_order", "chosen"])
    if said.num_rows == 0:
        return None
    days = said["horizon_days"][0].as_py()
    rows = pipeline.run(
        "holdout_summary",
        calibration_end=run.as_of,
        observation_end=run.as_of + timedelta(days=days),
        days_per_unit=1.0,
    )
    came = dict(zip(rows["customer_id"].to_pylist(), rows["frequency_holdout"].to_pylist(), strict=True))
    orders = [came.get(customer) for customer in said["customer_id"].to_pylist()]
    known = np.array([count is not None for count in orders])
    if not known.any():
        return None
    return hold_no_order(
        said["probability_no_order"].to_numpy()[known],
        [count for count in orders if count is not None],
        predicted_on=run.as_of,
        horizon_days=days,
        run_id=run.run_id,
        chosen=said["chosen"][0].as_py(),
    )


def _churn_drift(total: dict[str, Any]) -> list[str]:
    if not total["drift"]:
        return []
    return [
        f"drift: {total['actual_share']:.1%} placed no order in the {total['horizon_days']} days from {total['as_of']} "
        f"where run {total['run_id']} predicted {total['predicted_share']:.1%} (outside {total['share_low']:.1%} to "
        f"{total['share_high']:.1%}): a season, an action or another clientele; see {CHURN_TRACKING.name}"
    ]
