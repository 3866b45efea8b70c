"""`regulars target` and `readout`: what a scheduled job can rely on, whatever is stale, refused, or killed half-way."""

import importlib.util
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from regulars.app.campaign_data import read_campaign
from regulars.app.campaign_readout import read_out_campaign
from regulars.app.command_group import EXIT_CODES
from regulars.app.targeting import replay_run, target
from regulars.sql.contract import CAMPAIGN_EFFECTS
from regulars.sql.database import connect
from regulars.sql.errors import (
    AlreadyDecided,
    ContractError,
    SettingsError,
    SourceError,
    StaleSnapshotError,
    WarehouseError,
)
from regulars.sql.frames import contract_table
from regulars.sql.settings import Settings
from regulars.sql.snapshot import Warehouse
from regulars.uplift import target as target_module
from regulars.uplift.decision_log import read_log

_spec = importlib.util.spec_from_file_location("target_shop", Path(__file__).with_name("target_shop.py"))
_shop = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_shop)
AS_OF = _shop.AS_OF
CAMPAIGN = _shop.CAMPAIGN
IDS = _shop.IDS
N = _shop.N
ON = _shop.ON
mailed = _shop.mailed
publish = _shop.publish
run = _shop.run
settings = _shop.settings
write_toml = _shop.write_toml


@pytest.fixture
def shop(tmp_path):
    return _shop.open_shop(tmp_path)


def test_a_list_is_logged_then_written_and_leaves_alone_whom_it_must(shop):
    made = target(settings(shop), "winback", on=ON, suppress={})
    assert made.outcome == "written"
    assert made.path == shop / "warehouse" / "lists" / f"winback-{ON}.parquet"
    assert made.log == shop / "warehouse" / "decisions" / f"winback-{made.target_list.run_id}.parquet"
    on_it = mailed(made.path)
    assert on_it
    assert not on_it & {IDS[i] for i in range(N) if i % 10 == 0 or i % 7 == 0}
    log = read_log(made.log)
    assert log.num_rows == N
    why = dict(zip(log["customer_id"].to_pylist(), log["why"].to_pylist(), strict=True))
    assert why["c0010"] == "suppressed: unsubscribed, no consent"
    assert why["c0007"] == "suppressed: no consent"
    assert {c for c, said in why.items() if said == "sent"} == on_it
    assert made.target_list.summary["spend"] <= 12.0
    manifest = json.loads((made.path.parent / f"{made.path.name}.manifest.json").read_text())
    assert manifest["rules"]["facts"]["snapshot"] == "5eed00000000000a"
    assert manifest["run_id"] == made.target_list.run_id


def test_the_command_and_the_function_write_the_same_bytes(shop, tmp_path):
    toml = write_toml(shop)
    done = run("target", "winback", "-s", toml, "--on", ON, "--out", shop / "a.csv", "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["outcome"], told["exit_code"], told["campaign"]) == ("written", 0, "winback")
    log = Path(told["log"]).read_bytes()
    again = target(toml, "winback", on=ON, out=shop / "b.csv")
    assert again.outcome == "unchanged"
    assert (shop / "a.csv").read_bytes() == (shop / "b.csv").read_bytes()
    assert again.log.read_bytes() == log
    assert len(list((shop / "warehouse" / "decisions").glob("*.parquet"))) == 1
    assert (shop / "a.csv.manifest.json").read_bytes() == (shop / "b.csv.manifest.json").read_bytes()


def test_consent_is_read_at_the_send_and_a_changed_list_is_refused_unless_replaced(shop):
    made = target(settings(shop), "winback", on=ON)
    gone = sorted(mailed(made.path))[0]
    consent = pq.read_table(shop / "customers.parquet").to_pylist()
    rows = [{**row, "email_consent": False} if row["customer_id"] == gone else row for row in consent]
    pq.write_table(pa.Table.from_pylist(rows), shop / "customers.parquet")
    with pytest.raises(AlreadyDecided, match=f"run {made.target_list.run_id}.*--replace"):
        target(settings(shop), "winback", on=ON)
    new = target(settings(shop), "winback", on=ON, replace_list=True)
    assert gone not in mailed(new.path)
    folder = shop / "warehouse" / "decisions"
    assert [path.name for path in folder.glob("*.parquet")] == [new.log.name]
    assert (folder / "withdrawn" / made.log.name).is_file()
    assert target(settings(shop), "winback", on=ON, replace_list=True).outcome == "unchanged"
    # both can still be replayed
    assert replay_run(shop / "warehouse", "winback", made.target_list.run_id).same
    assert replay_run(shop / "warehouse", "winback", new.target_list.run_id[:6]).same


def test_someone_who_refused_in_one_row_or_under_an_old_id_has_refused(shop):
    rows = [*({"customer_id": c, "email_consent": True} for c in IDS), {"customer_id": "old1", "email_consent": False}]
    pq.write_table(
        pa.Table.from_pylist([*rows, {"customer_id": IDS[2], "email_consent": False}]), shop / "customers.parquet"
    )
    pq.write_table(pa.table({"old_id": ["old1"], "customer_id": [IDS[1]]}), shop / "links.parquet")
    made = target(settings(shop, customer_links={"path": "links.parquet"}), "winback", on=ON, dry_run=True)
    assert made.target_list.explain(IDS[1]) == f"{IDS[1]} gets nothing of winback: suppressed: unsubscribed."
    assert made.target_list.explain(IDS[2]) == f"{IDS[2]} gets nothing of winback: suppressed: unsubscribed."
    assert made.target_list.summary["suppressed"] == 2


def test_without_required_consent_those_who_refused_are_left_alone_all_the_same(shop):
    made = target(settings(shop, {"require_consent": False}), "winback", on=ON, dry_run=True)
    assert made.target_list.summary["suppressed_by_reason"] == {
        "unsubscribed": sum(i % 10 == 0 and i % 7 != 0 for i in range(N))
    }
    with pytest.raises(SettingsError, match="require_consent = true, and there is no"):
        target(settings(shop, customers=None), "winback", on=ON, dry_run=True)
    pq.write_table(pa.table({"customer_id": IDS}), shop / "customers.parquet")
    with pytest.raises(SettingsError, match="has no column email_consent; map it"):
        target(settings(shop), "winback", on=ON, dry_run=True)


def test_lists_from_elsewhere_suppress(shop):
    (shop / "bounces.csv").write_text("customer_id,why\n c0001 ,mailbox full\n0099,unknown here\n")
    made = target(settings(shop), "winback", on=ON, suppress={"bounced": shop / "bounces.csv"}, dry_run=True)
    assert made.target_list.explain("c0001").endswith("suppressed: bounced.")
    toml = write_toml(shop)
    assert run("target", "winback", "-s", toml, "--on", ON, "--suppress", "bounced").exit_code == 2
    with pytest.raises(SourceError, match="no such file"):
        target(settings(shop), "winback", on=ON, suppress={"bounced": shop / "nowhere.csv"}, dry_run=True)
    (shop / "wrong.csv").write_text("id\nc0001\n")
    with pytest.raises(ContractError, match="no column customer_id"):
        target(settings(shop), "winback", on=ON, suppress={"bounced": shop / "wrong.csv"}, dry_run=True)
    assert not (shop / "warehouse" / "decisions").exists()  # dry runs write nothing


def test_a_list_of_unsubscribed_adds_to_those_who_refused(shop):
    (shop / "gone.csv").write_text("customer_id\nc0001\n")
    made = target(
        settings(shop, {"require_consent": False, "exploration": 0.0}),
        "winback",
        on=ON,
        suppress={"unsubscribed": shop / "gone.csv"},
    )
    refused = {IDS[i] for i in range(N) if i % 10 == 0 and i % 7 != 0}
    log = read_log(made.log)
    why = dict(zip(log["customer_id"].to_pylist(), log["why"].to_pylist(), strict=True))
    assert {c for c, said in why.items() if said == "suppressed: unsubscribed"} == refused | {"c0001"}
    assert made.target_list.summary["suppression_lists"] == {"unsubscribed": {"ids": 1, "without_id": 0, "matched": 1}}


def test_ids_with_a_point_in_a_file_find_their_customers(shop):
    scores = Warehouse(shop / "warehouse").current().read("uplift_scores")
    numbered = pa.array([customer.lstrip("c").lstrip("0") or "0" for customer in scores["customer_id"].to_pylist()])
    warehouse = Warehouse(shop / "warehouse")
    with warehouse.lock(), warehouse.stage("5eed0000000000aa") as writer:
        rows = scores.set_column(scores.schema.get_field_index("customer_id"), "customer_id", numbered)
        facts = {"uplift_scores": writer.write_table("uplift_scores", rows.to_batches(), rows.schema)}
        writer.manifest.update({"as_of": AS_OF.isoformat(), "tables": facts, "models": {}})
    pq.write_table(pa.table({"old_id": ["old"], "customer_id": ["5"]}), shop / "links.parquet")
    (shop / "a.csv").write_text('customer_id\n3.0\n""\n4\nold\n')
    pq.write_table(pa.table({"customer_id": [1.0, None, 2.0]}), shop / "b.parquet")
    pq.write_table(pa.table({"customer_id": [1.5]}), shop / "c.parquet")
    (shop / "d.csv").write_text("customer_id\n")
    asked = {"require_consent": False, "exploration": 0.0}
    made = settings(shop, asked, customer_links={"path": "links.parquet"})
    lists = {"bounced": shop / "a.csv", "moved": shop / "b.parquet", "empty": shop / "d.csv"}
    done = target(made, "winback", on=ON, suppress=lists, dry_run=True)
    assert done.target_list.summary["suppressed_by_reason"] == {"bounced": 3, "moved": 2}
    assert done.to_dict()["suppression_lists"] == {
        "bounced": {"ids": 3, "without_id": 1, "matched": 3},
        "moved": {"ids": 2, "without_id": 1, "matched": 2},
        "empty": {"ids": 0, "without_id": 0, "matched": 0},
    }
    assert "note: suppression list 'empty' holds no ids" in done.sentence()
    with pytest.raises(ContractError, match=r"holds the id 1\.5"):
        target(made, "winback", on=ON, suppress={"moved": shop / "c.parquet"}, dry_run=True)


def test_recent_sends_of_the_shop_and_of_our_own_logs_count_once(shop):
    days = [ON - timedelta(days=d) for d in (1, 29, 30, 1)]
    sends = {
        "customer_id": ["c0001", "c0002", "c0003", "c0004"],
        "campaign": "spring",
        "arm": ["mail", "mail", "mail", "control"],
        "sent_at": days,
        "propensity": 0.5,
    }
    pq.write_table(pa.table({k: v if isinstance(v, list) else [v] * 4 for k, v in sends.items()}), shop / "s.parquet")
    capped = settings(shop, {"frequency_cap": 1}, sends={"path": "s.parquet"})
    first = target(capped, "winback", on=ON)
    said = dict(
        zip(first.target_list.log["customer_id"].to_pylist(), first.target_list.log["why"].to_pylist(), strict=True)
    )
    assert said["c0001"] == said["c0002"] == "suppressed: mailed recently"
    assert "mailed recently" not in said["c0003"] + said["c0004"]
    on_first = mailed(first.path)
    # the shop's mailer reports the same sends back: still one contact each, and the same day's list stays what it is
    report = pa.table(
        {
            "customer_id": sorted(on_first),
            "campaign": ["winback"] * len(on_first),
            "arm": ["mail"] * len(on_first),
            "sent_at": [ON] * len(on_first),
            "propensity": [0.5] * len(on_first),
        }
    )
    pq.write_table(pa.concat_tables([pq.read_table(shop / "s.parquet"), report]), shop / "s.parquet")
    assert target(capped, "winback", on=ON).outcome == "unchanged"
    twice = settings(shop, {"frequency_cap": 2, "max_snapshot_age_days": 90}, sends={"path": "s.parquet"})
    later = target(twice, "winback", on=ON + timedelta(days=1), dry_run=True)
    contacts = dict(
        zip(
            later.target_list.log["customer_id"].to_pylist(),
            later.target_list.log["recent_contacts"].to_pylist(),
            strict=True,
        )
    )
    assert {contacts[c] for c in on_first - {"c0001", "c0002", "c0003"}} == {1}
    once = settings(shop, {"frequency_cap": 1, "max_snapshot_age_days": 90}, sends={"path": "s.parquet"})
    assert not mailed(target(once, "winback", on=ON + timedelta(days=1)).path) & on_first


@pytest.mark.parametrize("log_of_before", [False, True])
def test_what_was_meant_for_the_holdout_counts_as_contact(shop, log_of_before):
    asked = {"frequency_cap": 1, "max_snapshot_age_days": 90}
    first = target(settings(shop, asked), "winback", on=ON)
    log = first.target_list.log
    meant = "planned_arm" if log_of_before else "intended_arm"
    held = {
        customer: arm
        for customer, why, arm in zip(*(log[n].to_pylist() for n in ("customer_id", "why", meant)), strict=True)
        if why == "holdout"
    }
    if log_of_before:
        pq.write_table(pq.read_table(first.log).drop_columns(["intended_arm"]), first.log)
    later = target(settings(shop, asked), "winback", on=ON + timedelta(days=7), dry_run=True).target_list
    why = dict(zip(later.log["customer_id"].to_pylist(), later.log["why"].to_pylist(), strict=True))
    assert {c for c in held if why[c] == "suppressed: mailed recently"} == {c for c in held if held[c] != "control"}
    assert set(held.values()) >= {"control", "mail"}
    assert not mailed(first.path) & {c for c, said in why.items() if not said.startswith("suppressed")}
    assert not later.summary["notes"]


def test_a_later_list_of_another_campaign_does_not_change_what_a_rerun_gives(shop):
    both = {"winback": CAMPAIGN | {"frequency_cap": 1}, "spring": CAMPAIGN | {"frequency_cap": 1}}
    house = settings(shop, campaigns=both)
    first = target(house, "winback", on=ON)
    scores = first.snapshot.read("uplift_scores")
    renamed = pa.concat_tables([scores, scores.set_column(0, "campaign", pa.repeat("spring", scores.num_rows))])
    warehouse = Warehouse(shop / "warehouse")
    with warehouse.lock(), warehouse.stage("5eed00000000000b") as writer:
        facts = {"uplift_scores": writer.write_table("uplift_scores", renamed.to_batches(), renamed.schema)}
        writer.manifest.update({"as_of": AS_OF.isoformat(), "tables": facts, "models": {}})
    second = target(house, "spring", on=ON)
    assert not mailed(second.path) & mailed(first.path)  # capped by the first
    assert target(house, "spring", on=ON).outcome == "unchanged"
    warehouse.rollback("5eed00000000000a")
    assert target(house, "winback", on=ON).outcome == "unchanged"


@pytest.mark.parametrize(
    ("on", "campaign", "code", "said"),
    [
        (AS_OF + timedelta(days=8), {}, 7, "8 days before .* allowed: 7"),
        (AS_OF - timedelta(days=1), {}, 2, "before 2026-05-01"),
        (ON, {"offers": {"other": {}}, "max_contacts": 0}, 8, ""),
    ],
)
def test_what_a_job_must_not_do_ends_with_its_own_code(shop, on, campaign, code, said):
    made = settings(shop, campaign)
    if said:
        with pytest.raises((StaleSnapshotError, SettingsError), match=said) as caught:
            target(made, "winback", on=on)
        assert caught.value.exit_code == code
    else:
        result = target(made, "winback", on=on)
        assert (result.outcome, result.exit_code, result.path) == ("nobody", code, None)
    folder = shop / "warehouse"
    assert not list(folder.glob("decisions/*.parquet"))
    assert not (folder / "lists").exists()


def test_no_scores_or_scores_of_other_settings_are_refused(shop):
    with pytest.raises(StaleSnapshotError, match=r"no scores of spring: it was not configured"):
        target(settings(shop, campaigns={"spring": {}}), "spring", on=ON)
    with pytest.raises(SettingsError, match="did you mean 'winback'"):
        target(settings(shop), "winbak", on=ON)
    made = settings(shop)
    then = made.identity() | {"campaigns": {"winback": {**made.identity()["campaigns"]["winback"], "window_days": 7}}}
    publish(shop, "5eed00000000000c", settings=then)
    with pytest.raises(StaleSnapshotError, match="other settings of winback: window_days"):
        target(made, "winback", on=ON)
    then["campaigns"]["winback"] = {k: v for k, v in made.identity()["campaigns"]["winback"].items() if v is not None}
    publish(shop, "5eed00000000000d", settings=then)  # of a release without one of today's optional keys
    assert target(settings(shop, {"budget": 11.0, "holdout": 0.3}), "winback", on=ON).outcome == "written"


@pytest.mark.parametrize("kind", ["randomised", "observational"])
def test_what_the_build_found_of_the_scores_stands_beside_what_they_promise(shop, kind):
    sentence = "Not enough data: the gain may be a loss."
    columns = {column.name: None for column in CAMPAIGN_EFFECTS.columns if column.type in ("DOUBLE", "BIGINT")}
    texts = {column.name: "" for column in CAMPAIGN_EFFECTS.columns if column.type == "VARCHAR"}
    row = columns | texts | {"campaign": "winback", "sentence": sentence, "refused": False, "kind": kind}
    effects = contract_table(CAMPAIGN_EFFECTS, {name: [value] for name, value in row.items()})
    scores = Warehouse(shop / "warehouse").current().read("uplift_scores")
    warehouse = Warehouse(shop / "warehouse")
    with warehouse.lock(), warehouse.stage("5eed00000000000f") as writer:
        tables = {"uplift_scores": scores, "campaign_effects": effects}
        facts = {name: writer.write_table(name, rows.to_batches(), rows.schema) for name, rows in tables.items()}
        writer.manifest.update({"as_of": AS_OF.isoformat(), "tables": facts, "models": {}})
    made = target(settings(shop), "winback", on=ON)
    told = made.to_dict()["verdict"]
    assert told == made.target_list.manifest["rules"]["facts"]["verdict"]
    assert told.startswith(sentence)
    assert ("It is observational: nobody was drawn" in told) == (kind == "observational")
    assert told in made.sentence()
    with pytest.raises(StaleSnapshotError, match="has no scores of spring: it was not configured"):
        target(settings(shop, campaigns={"spring": {}}), "spring", on=ON)


@pytest.mark.parametrize("command", ["target", "readout"])
def test_the_help_states_the_exit_codes(command):
    said = " ".join(run(command, "--help").stdout.split())
    for code in (0, 2, 3, 5, 6, 7, 8, 9, 10):
        assert f"{code} {EXIT_CODES[code]}" in said


def test_refusals_are_json_too(shop):
    toml = write_toml(shop)
    done = run("target", "winback", "-s", toml, "--on", "2026-06-30", "--json")
    assert done.exit_code == 7
    assert json.loads(done.stdout)["exit_code"] == 7
    assert "regulars build" in json.loads(done.stdout)["message"]
    assert done.stderr.startswith("regulars: ")
    assert run("target", "winback", "-s", toml, "--on", "tomorrow").exit_code == 2
    assert run("target", "winback", "-s", toml, "--on", ON, "--out", shop / "list.xlsx").exit_code == 2
    assert run("target", "winback", "-s", toml, "--on", ON, "--customer", "c0001").exit_code == 2
    assert run("target", "winback", "-s", toml, "--on", ON, "--budget", "-1").exit_code == 2


def test_replay_on_the_command_line_explains_a_customer_and_sees_a_changed_log(shop):
    toml = write_toml(shop)
    made = target(toml, "winback", on=ON)
    lucky = sorted(mailed(made.path))[0]
    done = run("target", "winback", "-s", toml, "--replay", made.target_list.run_id, "--customer", lucky)
    assert done.exit_code == 0, done.stderr
    assert "every byte is the same" in done.stdout
    assert f"{lucky} gets " in done.stdout
    with pytest.raises(WarehouseError, match="no run 'ffff' of winback"):
        replay_run(shop / "warehouse", "winback", "ffff")
    table = pq.read_table(made.log)
    worth = table["worth_mail"].to_numpy(zero_copy_only=False).copy()
    worth[5] += 1.0
    pq.write_table(
        table.set_column(table.schema.get_field_index("worth_mail"), "worth_mail", pa.array(worth)), made.log
    )
    done = run("target", "winback", "-s", toml, "--replay", made.target_list.run_id, "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["outcome"] == "different"


def test_no_list_without_its_log_whatever_call_fails(shop, monkeypatch):
    """Every call that reaches the disk fails once; then the run is made again and comes out whole."""
    calls, fail_at = [0], [-1]

    def counted(original):
        def call(*given, **named):
            calls[0] += 1
            if calls[0] - 1 == fail_at[0]:
                raise OSError(28, os.strerror(28))
            return original(*given, **named)

        return call

    for name in ("replace", "rename"):
        monkeypatch.setattr(Path, name, counted(getattr(Path, name)))
    monkeypatch.setattr(os, "fsync", counted(os.fsync))
    folder = shop / "warehouse"
    path, logs = folder / "lists" / f"winback-{ON}.parquet", folder / "decisions"
    failed = 0
    for moment in range(40):
        for file in [*logs.glob("*.parquet"), *folder.glob("lists/*")]:
            file.unlink()
        calls[0], fail_at[0] = 0, moment
        try:
            target(settings(shop), "winback", on=ON)
        except WarehouseError as error:
            failed, said = failed + 1, str(error)
        else:
            break
        assert "the disk is full" in said
        if path.exists():
            assert list(logs.glob("*.parquet"))
            assert (path.parent / f"{path.name}.manifest.json").exists()
        assert not list(logs.glob(".winback*"))
        fail_at[0] = -1
        assert target(settings(shop), "winback", on=ON).path == path
        assert replay_run(folder, "winback", "").same
    assert failed >= 9  # three files: written aside and synced, renamed, their folder synced


def test_a_kill_between_log_and_list_leaves_the_log_alone_and_the_next_run_finishes(shop):
    toml = write_toml(shop)
    program = (
        "import os, sys\n"
        "from datetime import date\n"
        "from regulars.app.targeting import target\n"
        "from regulars.uplift.target import TargetList\n"
        "TargetList.write = lambda *given: os.kill(os.getpid(), 9)\n"
        f"target({str(toml)!r}, 'winback', on=date({ON.year}, {ON.month}, {ON.day}))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == -9
    folder = shop / "warehouse"
    (log,) = (folder / "decisions").glob("*.parquet")
    assert not list(folder.glob("lists/*.parquet"))
    before = log.read_bytes()
    made = target(toml, "winback", on=ON)
    assert (made.outcome, made.log.read_bytes()) == ("unchanged", before)
    assert made.path.is_file()


def test_two_jobs_at_once_make_one_list(shop):
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(target, settings(shop), "winback", on=ON, wait=60.0) for _ in range(2)]
    made = [job.result() for job in jobs]
    assert sorted(each.outcome for each in made) == ["unchanged", "written"]
    assert len({each.target_list.run_id for each in made}) == 1


def test_neither_the_module_nor_the_command_imports_a_model_library(shop):
    toml = write_toml(shop)
    program = (
        "import sys\n"
        "import regulars.app.targeting, regulars.app.campaign_readout\n"
        f"sys.argv = ['regulars', 'target', 'winback', '-s', {str(toml)!r}, '--on', '{ON}']\n"
        "from regulars.app.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print('LOADED', sorted({'causalml', 'econml', 'lightgbm', 'sklearn'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "LOADED []" in done.stdout


def customer_days(log: pa.Table, effect: float) -> pa.Table:
    """Days on which everybody bought for 20 before the send, and after it for 10, by ``effect`` more when mailed."""
    rng = np.random.default_rng(5)
    sent = np.array([why == "sent" for why in log["why"].to_pylist()])
    money = 10.0 + effect * sent + rng.normal(0, 1, N)
    ids = log["customer_id"].to_pylist()
    rows = {
        "customer_id": ids * 3,
        "day": [ON - timedelta(days=20)] * N + [ON + timedelta(days=5)] * N + [ON + timedelta(days=28)] * N,
        "orders": pa.array([1] * 3 * N, pa.int64()),
        "lines": pa.array([1] * 3 * N, pa.int64()),
        "revenue": [Decimal("20.00")] * N + [Decimal(f"{m:.2f}") for m in money] + [Decimal("999.00")] * N,
        "returned_revenue": [Decimal("0.00")] * 3 * N,
        "discount": [Decimal("0.00")] * 3 * N,
    }
    money_type = pa.decimal128(18, 2)
    kinds = {"revenue": money_type, "returned_revenue": money_type, "discount": money_type}
    return pa.table({name: pa.array(v, kinds[name]) if name in kinds else v for name, v in rows.items()})


def test_a_logged_list_is_read_out_when_its_window_is_over(shop):
    toml = write_toml(shop)
    made = target(toml, "winback", on=ON)
    with pytest.raises(StaleSnapshotError, match=r"the window of winback ends on 2026-05-31"):
        read_out_campaign(Settings.from_toml(toml), "winback")
    with pytest.raises(WarehouseError, match="no list of spring is logged"):
        read_out_campaign(Settings.from_toml(toml), "spring")
    publish(shop, "5eed00000000000e", as_of=date(2026, 5, 31), days=customer_days(made.target_list.log, effect=4.0))
    found = read_out_campaign(Settings.from_toml(toml), "winback", run=made.target_list.run_id[:5]).found
    # [value] margin is 1; days 28 and later, and what came before the send, do not count
    assert found.effect.lower < 4.0 < found.effect.upper
    assert found.effect.upper - found.effect.lower < 1.0
    done = run("readout", "winback", "-s", toml, "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["run_id"] == made.target_list.run_id
    assert told["realised"]["value"] == pytest.approx(found.realised.value)
    assert "of incremental profit" in run("readout", "winback", "-s", toml).stdout


def test_a_read_out_with_a_blocking_finding_has_its_own_exit_code(shop):
    toml = write_toml(shop)
    made = target(toml, "winback", on=ON)
    log = made.target_list.log
    publish(shop, "5eed00000000000e", as_of=date(2026, 5, 31), days=customer_days(log, effect=4.0))
    done = run("readout", "winback", "-s", toml, "--json")
    assert (done.exit_code, json.loads(done.stdout)["exit_code"]) == (0, 0)
    # the mailer dropped two of three, and the log does not know
    arm = [None if a is None else "control" if i % 3 else a for i, a in enumerate(log["arm"].to_pylist())]
    dropped = log.set_column(log.schema.get_field_index("arm"), "arm", pa.array(arm, pa.string()))
    pq.write_table(dropped.replace_schema_metadata(log.schema.metadata), made.log)
    done = run("readout", "winback", "-s", toml, "--json")
    told = json.loads(done.stdout)
    assert (done.exit_code, told["exit_code"]) == (10, 10)
    assert any(said.startswith("propensities_off (blocking)") for said in told["findings"])
    plain = run("readout", "winback", "-s", toml)
    assert (plain.exit_code, "propensities_off (blocking)" in plain.stdout) == (10, True)


def test_an_empty_run_is_refused_and_writes_nothing(shop):
    toml = write_toml(shop)
    assert run("target", "winback", "-s", toml, "--on", ON, "--replay", "").exit_code == 2
    assert not (shop / "warehouse" / "decisions").exists()
    assert not (shop / "warehouse" / "lists").exists()


def test_a_log_that_is_none_and_a_lock_are_named(shop):
    made = target(settings(shop), "winback", on=ON)
    (made.log.parent / "winback-0000000000000000.parquet").write_bytes(b"not parquet")
    with pytest.raises(WarehouseError, match="cannot be read"):
        target(settings(shop), "winback", on=ON)
    assert target_module.log_name("a/b", "12") == "a%2Fb-12.parquet"


def test_a_build_learns_from_the_log_with_every_arms_probability(shop):
    """Arms were chosen, not drawn, and differ between customers: sends alone could not say what else was possible."""
    made = target(settings(shop, {"frequency_cap": 3}), "winback", on=ON)
    bought = {"customer_id": IDS * 2, "ordered_at": [ON - timedelta(days=9)] * N + [ON + timedelta(days=3)] * N}
    orders = pa.table({**bought, "revenue": [Decimal("20.00")] * 2 * N})
    last = pa.table({"customer_id": ["c0000"], "ordered_at": [ON + timedelta(days=40)], "revenue": [Decimal("1.00")]})
    pq.write_table(pa.concat_tables([orders, last.cast(orders.schema)]), shop / "orders.parquet")
    plain = settings(shop, {"offers": {}})
    with connect(plain) as database:
        rows = read_campaign(database.pipeline, plain.campaign("winback"), ())
    data = rows.experiment.read(rows.frame)
    place = {customer: i for i, customer in enumerate(made.target_list.log["customer_id"].to_pylist())}
    logged = made.target_list.decided.propensity[[place[c] for c in rows.frame["customer_id"].to_pylist()]]
    assert data.arm_names == ("control", "mail", "voucher")
    assert len(data.arm) == N - made.target_list.summary["suppressed"]
    assert np.allclose(data.propensity, logged, rtol=0, atol=1e-12)
    assert np.ptp(data.propensity, axis=0)[:2].min() > 0.5  # the budget plans no voucher
