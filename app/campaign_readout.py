"""What a logged list brought: its log beside what the snapshot's customers did in the window after the send."""

from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from ..sql.errors import DoubtfulReadOut, StaleSnapshotError, WarehouseError, nearest

if TYPE_CHECKING:
    import pyarrow as pa

    from ..sql.settings import Settings
    from ..sql.snapshot import Snapshot
    from ..uplift.readout import ReadOut

_BEFORE_DAYS = 364

# Revenue before the send takes noise out of the comparison: it cannot have been moved by what was sent later.
_OUTCOMES = """
SELECT
    logged.customer_id,
    coalesce(CAST(sum(CASE WHEN day >= $sent_on AND day < $until THEN revenue - returned_revenue END) AS DOUBLE), 0)
        AS revenue,
    coalesce(CAST(sum(CASE WHEN day >= $sent_on AND day < $until THEN orders END) AS DOUBLE), 0) AS orders,
    coalesce(CAST(sum(CASE WHEN day < $sent_on AND day >= $since THEN revenue END) AS DOUBLE), 0) AS revenue_before,
    coalesce(CAST(sum(CASE WHEN day < $sent_on AND day >= $since THEN orders END) AS DOUBLE), 0) AS orders_before
FROM logged
LEFT JOIN customer_days ON logged.customer_id = customer_days.customer_id
GROUP BY logged.customer_id
ORDER BY logged.customer_id
"""


@dataclass(frozen=True)
class CampaignReadOut:
    """The read-out of one logged list, with where it came from."""

    run_id: str
    on: date
    window_days: int
    snapshot: str
    found: "ReadOut"

    @property
    def exit_code(self) -> int:
        """What the command line returns: 0, or 10 where a finding is blocking."""
        return DoubtfulReadOut.exit_code if any(finding.blocking for finding in self.found.findings) else 0

    def to_dict(self) -> dict[str, Any]:
        """As ``regulars readout --json`` prints it."""
        found = self.found
        return {
            "exit_code": self.exit_code,
            "campaign": found.campaign,
            "run_id": self.run_id,
            "on": self.on.isoformat(),
            "window_days": self.window_days,
            "snapshot": self.snapshot,
            "customers": found.customers,
            "mailed": found.mailed,
            "without": found.without,
            "spend": found.spend,
            "planned": found.planned,
            "realised": found.realised.to_dict(),
            "difference": found.difference.to_dict(),
            "effect": found.effect.to_dict(),
            "holdout": found.holdout.to_dict() if found.holdout else None,
            "arms": found.tidy()[1:],
            "calibration": found.calibration.tidy() if found.calibration else None,
            "findings": [str(finding) for finding in found.findings],
        }

    def text(self) -> str:
        """As ``regulars readout`` prints it."""
        from .printing import text_table

        shown = ("arm", "mailed", "planned", "value", "lower", "upper")
        rows = [{name: row[name] for name in shown} for row in self.found.tidy()]
        lines = [self.found.sentence(), "", text_table(rows)]
        if self.found.holdout is not None:
            lines += ["", f"by the holdout alone: {self.found.holdout}"]
        return "\n".join([*lines, *(str(finding) for finding in self.found.findings)])


def read_out_campaign(settings: "Settings", campaign: str, *, run: str = "") -> CampaignReadOut:
    """Read out one of a campaign's logged lists on the current snapshot.

    Outcome, window and margin are those that the list was made with.

    Parameters
    ----------
    settings : Settings
        Where the warehouse is.
    campaign : str
        The campaign.
    run : str
        The list's run id or its beginning; the latest whose window is over without it.

    Raises
    ------
    WarehouseError
        No list of the campaign was logged, or not that one.
    StaleSnapshotError
        The snapshot ends before the window does.
    ModelError
        The list left nobody to compare with.
    """
    from ..sql.snapshot import Warehouse
    from ..uplift.decision_log import log_facts, read_log
    from ..uplift.readout import read_out
    from .targeting import DECISIONS, find_logs

    house = Warehouse(settings.warehouse)
    folder = house.path / DECISIONS
    logs = [log for log in find_logs(folder, campaign) if log.run_id.startswith(run)]
    if not logs:
        known = [log.run_id for log in find_logs(folder, campaign)]
        raise WarehouseError(
            f"{folder}: no list of {campaign} is logged{f' as {run!r}' if run else ''}{nearest(run, known)}; there "
            f"are {known or 'none'}; 'regulars target {campaign}' logs one"
        )
    snapshot = house.current()
    over = [log for log in logs if _until(log.on, log.facts) <= snapshot.as_of + timedelta(days=1)]
    if not over:
        first = min(_until(log.on, log.facts) for log in logs) - timedelta(days=1)
        raise StaleSnapshotError(
            f"run {snapshot.run_id} is as of {snapshot.as_of}, and the window of {campaign} ends on {first}; build "
            "again when orders up to that day are there"
        )
    chosen = max(over, key=lambda log: (log.on, log.run_id))
    log = read_log(chosen.path)
    said = log_facts(log)["rules"]["facts"]["settings"]
    outcomes = _outcomes(snapshot, log, date.fromisoformat(chosen.on), said["window_days"])
    column = {"revenue": "revenue", "orders": "orders", "ordered": "ordered"}[said["outcome"]]
    found = read_out(log, outcomes, outcome=column, margin=said["margin"], features=("revenue_before", "orders_before"))
    return CampaignReadOut(chosen.run_id, date.fromisoformat(chosen.on), said["window_days"], snapshot.run_id, found)


def _until(on: str, facts: Any) -> date:
    return date.fromisoformat(on) + timedelta(days=int(facts["settings"]["window_days"]))


def _outcomes(snapshot: "Snapshot", log: "pa.Table", on: date, window_days: int) -> "pa.Table":
    import pyarrow as pa

    from ..sql.engine import DuckDBEngine

    engine = DuckDBEngine()
    with closing(engine):
        engine.register_parquet("customer_days", str(snapshot.table_path("customer_days")))
        engine.register("logged", log.select(["customer_id"]))
        days = {"sent_on": on, "until": on + timedelta(days=window_days), "since": on - timedelta(days=_BEFORE_DAYS)}
        found = engine.query(_OUTCOMES, days)
    ordered = pa.array([1.0 if orders > 0 else 0.0 for orders in found["orders"].to_pylist()])
    return found.append_column("ordered", ordered)
