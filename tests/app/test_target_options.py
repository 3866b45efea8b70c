"""Options of one target list: costs, stock, segments, quiet days; recorded, so that it replays."""

import importlib.util
from datetime import datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from regulars.app.state import State
from regulars.app.targeting import replay_run, target
from regulars.sql.contract import CUSTOMER_SCORES, CUSTOMER_SUMMARY
from regulars.sql.errors import (
    AlreadyDecided,
    SettingsError,
)
from regulars.sql.snapshot import Warehouse

_spec = importlib.util.spec_from_file_location("target_shop", Path(__file__).with_name("target_shop.py"))
_shop = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_shop)
AS_OF = _shop.AS_OF
IDS = _shop.IDS
N = _shop.N
ON = _shop.ON
mailed = _shop.mailed
run = _shop.run
settings = _shop.settings
write_toml = _shop.write_toml


@pytest.fixture
def shop(tmp_path):
    return _shop.open_shop(tmp_path)


SEGMENTS = ("best", "active", "at_risk")


@pytest.fixture
def segmented(shop):
    """The same shop, whose customers are in three segments by turns; the dear ones are saved as a segment."""
    scores = pq.read_table(shop / "warehouse" / "runs" / "5eed00000000000a" / "uplift_scores.parquet")
    nothing = {
        "DOUBLE": pa.scalar(1.0),
        "BIGINT": pa.scalar(1),
        "VARCHAR": pa.scalar(""),
        "DATE": pa.scalar(AS_OF),
        "DECIMAL(18,2)": pa.scalar(Decimal("1.00"), pa.decimal128(18, 2)),
    }
    tables = {"uplift_scores": scores}
    for table in (CUSTOMER_SUMMARY, CUSTOMER_SCORES):
        columns: dict = {column.name: pa.repeat(nothing[column.type], N) for column in table.columns}
        columns["customer_id"] = IDS
        if "segment" in columns:
            columns["segment"] = [SEGMENTS[i % 3] for i in range(N)]
            columns["customer_value"] = [float(i) for i in range(N)]
        tables[table.name] = pa.table(columns)
    house = Warehouse(shop / "warehouse")
    with house.lock(), house.stage("5eed00000000000b") as writer:
        facts = {name: writer.write_table(name, rows.to_batches(), rows.schema) for name, rows in tables.items()}
        writer.manifest.update({"as_of": AS_OF.isoformat(), "tables": facts, "models": {}})
    State(shop / "warehouse").save_segment("Dear, north", "value=300..", "ann")
    return shop


class TestOptions:
    def test_costs_and_stock_replace_those_of_the_settings(self, shop):
        plain = target(settings(shop), "winback", on=ON, dry_run=True)
        made = target(settings(shop), "winback", on=ON, costs={"mail": 0.09}, stock={"voucher": 20}, dry_run=True)
        assert made.target_list.run_id != plain.target_list.run_id
        facts = made.target_list.rules.facts["options"]
        assert facts == {"costs": {"mail": 0.09}, "stock": {"voucher": 20}}
        assert "options" not in plain.target_list.rules.facts
        arms = list(made.target_list.considered.arms)
        before, after = plain.target_list.considered, made.target_list.considered
        mail, voucher = arms.index("mail"), arms.index("voucher")
        np.testing.assert_allclose(after.cost[:, mail], before.cost[:, mail] + 0.05, rtol=1e-12)
        np.testing.assert_allclose(after.worth[:, mail], before.worth[:, mail] - 0.05, atol=1e-12)
        assert (after.worth[:, voucher] == before.worth[:, voucher]).all()
        assert made.target_list.summary["by_arm"]["voucher"] <= 20
        assert made.target_list.rules.stock == {"voucher": 20}

    def test_segments_keep_in_and_leave_out_and_are_told_as_reasons(self, segmented):
        made = target(settings(segmented), "winback", on=ON, segment="Dear, north", exclude_segments=["at_risk"])
        rows = {customer: i for i, customer in enumerate(IDS)}
        on_it = {rows[customer] for customer in mailed(made.path)}
        assert on_it
        assert all(i >= 300 and i % 3 != 2 for i in on_it)
        said = made.target_list.summary["suppressed_by_reason"]
        assert said["outside segment Dear north"] == 300
        assert said["segment at_risk"] == 200
        assert made.target_list.rules.facts["options"] == {
            "segment": "Dear, north",
            "exclude_segments": ["at_risk"],
            "segments": {"Dear, north": "value=300..", "at_risk": "segment=at_risk"},
        }
        assert "suppressed: segment at_risk, outside segment Dear north" in made.target_list.explain(IDS[2])
        # what was saved may change or go: the log is replayed by what it holds
        State(segmented / "warehouse").delete_segment("Dear, north", "ann")
        assert replay_run(segmented / "warehouse", "winback", made.target_list.run_id).same

    def test_the_command_writes_what_the_function_does(self, segmented):
        toml = write_toml(segmented)
        words = ["target", "winback", "-s", toml, "--on", ON, "--out", segmented / "a.csv", "--json"]
        words += ["--budget", 9, "--cost", "mail=0.06", "--stock", "voucher=30", "--segment", "Dear, north"]
        words += ["--exclude-segment", "at_risk", "--quiet-days", 14]
        done = run(*words)
        assert done.exit_code == 0, done.stderr
        again = target(
            toml,
            "winback",
            on=ON,
            out=segmented / "b.csv",
            budget=9.0,
            costs={"mail": 0.06},
            stock={"voucher": 30},
            segment="Dear, north",
            exclude_segments=["at_risk"],
            quiet_days=14,
        )
        assert again.outcome == "unchanged"
        assert (segmented / "a.csv").read_bytes() == (segmented / "b.csv").read_bytes()
        with pytest.raises(AlreadyDecided, match="options have changed"):
            target(toml, "winback", on=ON)

    def test_whoever_was_mailed_within_the_quiet_days_is_left_alone(self, shop):
        sent = [{"customer_id": IDS[i], "campaign": "other", "arm": "mail", "sent_at": ON - timedelta(days=d)}
                for i, d in ((1, 3), (2, 13), (3, 14), (4, 40))]  # fmt: skip
        rows = [{**row, "sent_at": datetime.combine(row["sent_at"], time(9)), "propensity": None} for row in sent]
        pq.write_table(pa.Table.from_pylist(rows), shop / "sends.parquet")
        said = settings(shop, sends={"path": "sends.parquet"})
        made = target(said, "winback", on=ON, quiet_days=14, dry_run=True).target_list
        assert "mailed recently" in made.explain(IDS[1])
        assert "mailed recently" in made.explain(IDS[2])
        assert "mailed recently" not in made.explain(IDS[3])
        assert "mailed recently" not in made.explain(IDS[4])

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"costs": {"mial": 0.1}}, "--cost names 'mial'; did you mean 'mail'"),
            ({"stock": {"mail": -1}}, "--stock mail=-1: stock is a count"),
            ({"costs": {"mail": float("nan")}}, "--cost mail=nan"),
            ({"segment": "bst"}, "no segment 'bst'; did you mean 'best'"),
            ({"exclude_segments": ["VIP"]}, "no segment 'VIP'"),
            ({"quiet_days": 0}, "--quiet-days 0: give 1 to 3650"),
        ],
    )
    def test_what_does_not_exist_is_refused(self, shop, options, said):
        with pytest.raises(SettingsError, match=said):
            target(settings(shop), "winback", on=ON, **options)
        assert not (shop / "warehouse" / "lists").exists()

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--cost", "mail"], "--cost 'mail' is not ARM=NUMBER"),
            (["--cost", "mail=a"], "--cost 'mail=a' is not ARM=NUMBER"),
            (["--stock", "mail=1.5"], "--stock 'mail=1.5' is not ARM=NUMBER"),
            (["--cost", "mail=1", "--cost", "mail=2"], "--cost mail is given twice"),
        ],
    )
    def test_words_that_are_none_are_refused(self, shop, words, said):
        done = run("target", "winback", "-s", write_toml(shop), "--on", ON, *words)
        assert done.exit_code == 2
        assert said in done.stderr
