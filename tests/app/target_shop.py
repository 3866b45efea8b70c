"""A small shop whose campaign has scores: what the tests of target lists share."""

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from typer.testing import CliRunner

from regulars.app import cli as command_line
from regulars.sql.contract import UPLIFT_SCORES
from regulars.sql.frames import contract_table
from regulars.sql.settings import Settings
from regulars.sql.snapshot import Warehouse

AS_OF, ON = date(2026, 5, 1), date(2026, 5, 4)
N = 600
IDS = [f"c{i:04}" for i in range(N)]
CAMPAIGN = {"budget": 12.0, "holdout": 0.2, "exploration": 0.1, "offers": {"mail": {"cost": 0.04}}}


def publish(folder: Path, run_id: str = "5eed00000000000a", as_of: date = AS_OF, days: pa.Table | None = None, **more):
    """Publish scores of the campaign ``winback``: two arms, worth from -1 to 2."""
    rng = np.random.default_rng(3)
    effect = rng.uniform(-3, 7, 2 * N)
    cost = np.tile([0.04, 0.5], N)
    columns = {
        "campaign": "winback",
        "customer_id": [customer for customer in IDS for _ in range(2)],
        "arm": ["mail", "voucher"] * N,
        "effect": effect,
        "response": effect + 10,
        "cost": cost,
        "net_effect": 0.3 * effect - cost,
        "model_version": "x:1234",
    }
    tables = {"uplift_scores": contract_table(UPLIFT_SCORES, columns)}
    if days is not None:
        tables["customer_days"] = days
    house = Warehouse(folder / "warehouse")
    with house.lock(), house.stage(run_id) as writer:
        facts = {name: writer.write_table(name, rows.to_batches(), rows.schema) for name, rows in tables.items()}
        writer.manifest.update({"as_of": as_of.isoformat(), "tables": facts, "models": {}, **more})
    return house


def open_shop(tmp_path: Path) -> Path:
    """A folder with a snapshot, customers of whom every tenth refused and every seventh never said, and no sends."""
    publish(tmp_path)
    consent = [None if i % 7 == 0 else i % 10 != 0 for i in range(N)]
    pq.write_table(pa.table({"customer_id": IDS, "email_consent": consent}), tmp_path / "customers.parquet")
    return tmp_path


def settings(folder: Path, campaign: dict | None = None, **sections) -> Settings:
    said = {
        "orders": {"path": "orders.parquet"},  # never read by a list
        "customers": {"path": "customers.parquet"},
        "campaigns": {"winback": {**CAMPAIGN, **(campaign or {})}},
        **sections,
    }
    return Settings.from_mapping({k: v for k, v in said.items() if v}, folder=folder, origin="regulars.toml")


def write_toml(folder: Path) -> Path:
    path = folder / "regulars.toml"
    path.write_text(
        '[orders]\npath = "orders.parquet"\n[customers]\npath = "customers.parquet"\n'
        "[campaigns.winback]\nbudget = 12.0\nholdout = 0.2\nexploration = 0.1\n"
        "[campaigns.winback.offers.mail]\ncost = 0.04\n"
    )
    return path


def run(*words: object):
    return CliRunner().invoke(command_line.cli, [str(word) for word in words])


def mailed(path: Path) -> set[str]:
    return set(pq.read_table(path)["customer_id"].to_pylist())
