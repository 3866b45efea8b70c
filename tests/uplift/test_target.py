"""Target lists: what stands in them, what is refused, and that the same comes out at any number of threads."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import date, datetime

import numba
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest

from regulars.sql.contract import SENDS
from regulars.sql.errors import ContractError, ModelError, WarehouseError
from regulars.uplift.allocate import allocate
from regulars.uplift.decision_log import considered_from, log_facts, logged_sends, read_log
from regulars.uplift.design import persistent_holdout, unit_interval
from regulars.uplift.effects import Effects
from regulars.uplift.experiment import Experiment
from regulars.uplift.learners import fit_effects
from regulars.uplift.score_table import score_table
from regulars.uplift.simulate import simulate
from regulars.uplift.suppression import Suppression, count_contacts
from regulars.uplift.target import TargetList, manifest_path, replay

ON = date(2026, 5, 4)


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Two hundred customers are no work to share; waiting for another thread would take longer."""
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(before)


def scores(n: int = 200, arms: tuple[str, ...] = ("mail", "voucher"), seed: int = 1) -> pa.Table:
    draw = np.random.default_rng(seed)
    k = len(arms)
    effect, cost = draw.normal(2, 3, n * k), np.tile(np.linspace(0.04, 0.5, k), n)
    ids = np.repeat([f"c{i:05}" for i in range(n)], k)
    columns = {"customer_id": ids, "arm": list(arms) * n, "effect": effect, "net_effect": 0.3 * effect - cost}
    return pa.table({**columns, "cost": cost})


def build(table=None, **given) -> TargetList:
    return TargetList.build(scores() if table is None else table, "spring", on=ON, **given)


def test_without_draws_the_list_is_the_allocation():
    table = scores()
    made = build(table, budget=10.0, stock={"voucher": 5})
    worth = table["net_effect"].to_numpy().reshape(-1, 2)
    plan = allocate(worth, table["cost"].to_numpy().reshape(-1, 2), 10.0, stock=(np.inf, 5))
    assert made.decided.choice.tolist() == plan.choice.tolist()
    assert made.summary["planned_profit"] == plan.value
    assert (made.summary["bound"], made.summary["gap"]) == (plan.bound, plan.gap)
    assert made.summary["by_arm"] == {"mail": int(plan.used[0]), "voucher": int(plan.used[1])}
    assert made.summary["spend"] == pytest.approx(float(plan.spend))
    assert "no holdout and no exploration" in made.summary["notes"][0]
    line = made.lines.to_pylist()[0]
    assert line["propensity"] == 1.0
    assert not line["explored"]


def test_ranks_run_by_expected_profit_and_the_reason_says_so():
    rows = {
        "customer_id": ["a", "b", "c"],
        "arm": ["mail"] * 3,
        "effect": [4.0, 9.0, -1.0],
        "net_effect": [1.16, 2.66, -0.34],
        "cost": [0.04] * 3,
    }
    made = build(rows)
    assert made.lines["reason"].to_pylist() == [
        "rank 2 of 2: expected 1.16 of profit at cost 0.04",
        "rank 1 of 2: expected 2.66 of profit at cost 0.04",
    ]
    assert made.explain("b").startswith("b gets mail of spring: rank 1 of 2: expected 2.66 of profit at cost 0.04.")
    assert "no offer is expected to earn anything" in made.explain("c")
    assert "did you mean 'a'" not in made.explain("a")


def test_every_kind_of_decision_is_explained():
    made = build(
        holdout=0.2, exploration=0.2, budget=15.0, suppression={"bounced": ["c00001"]}, recent_contacts={"c00002": 3},
        frequency_cap=3,
    )  # fmt: skip
    log = made.log.to_pylist()
    said = {row["why"]: made.explain(row["customer_id"]) for row in log}
    assert set(said) == {"sent", "not chosen", "holdout", "suppressed: bounced", "suppressed: mailed recently"}
    assert "below the holdout's share of 0.2" in said["holdout"]
    drawn = next(row for row in log if row["explored"] and row["why"] == "not chosen")
    assert "exploration drew nothing" in made.explain(drawn["customer_id"])
    explored = next(row for row in log if row["explored"] and row["why"] == "sent")
    assert "exploration: expected" in made.explain(explored["customer_id"])
    left = next(row for row in log if not row["explored"] and row["why"] == "not chosen" and
                max(row["worth_mail"], row["worth_voucher"]) > 0)  # fmt: skip
    assert "for each unit of the budget" in made.explain(left["customer_id"])


def test_the_holdout_is_that_of_the_design_and_suppressed_customers_are_in_none():
    made = build(holdout=0.3, holdout_salt="2026", suppression={"bounced": [f"c{i:05}" for i in range(50)]})
    ids = made.log["customer_id"].to_pylist()
    expected = persistent_holdout(ids, 0.3, "2026")
    why = made.log["why"].to_pylist()
    assert [said == "holdout" for said in why] == [bool(e) and i >= 50 for i, e in enumerate(expected)]
    assert made.summary["held_out"] == int(expected[50:].sum())
    assert unit_interval([ids[60]], "2026")[0] < 0.3 or why[60] != "holdout"


def test_propensities_add_up_and_say_what_the_draws_do():
    table, n_draws, h, e = scores(60), 400, 0.0, 0.4
    made = build(table, exploration=e, holdout=h, seed=0)
    counts = np.zeros((60, 3))
    for seed in range(n_draws):
        choice = build(table, exploration=e, seed=seed).decided.choice
        counts[np.arange(60), choice + 1] += 1
    wanted = made.decided.propensity
    assert np.allclose(wanted.sum(axis=1), 1.0, rtol=0, atol=1e-12)
    # no limit binds, so the plan is the same in every draw: counts are multinomial with these probabilities
    z = (counts - n_draws * wanted) / np.sqrt(n_draws * wanted * (1 - wanted))
    assert np.abs(z).max() < 4.5  # 180 normal deviates: 1e-3 that one is larger
    assert z.std() < 1.2
    open_ = build(table, exploration=e, holdout=0.25, seed=0).decided
    assert np.allclose(open_.propensity[:, 1:], 0.75 * wanted[:, 1:], rtol=0, atol=1e-12)
    assert np.allclose(open_.propensity[:, 0], 0.25 + 0.75 * wanted[:, 0], rtol=0, atol=1e-12)


def test_the_logged_propensity_is_the_allocations_own():
    made = build(budget=20.0, exploration=0.1, stock={"voucher": 20}, max_contacts=90)
    row = np.arange(len(made.log))
    assert np.allclose(made.decided.propensity[row, made.decided.choice + 1], made.decided.plan.propensity, atol=1e-12)


def test_fatigue_and_contacts_lower_what_is_expected():
    fresh = build()
    tired = build(recent_contacts={"c00003": 2}, fatigue=0.5)
    before, after = (made.log.slice(3, 1).to_pylist()[0] for made in (fresh, tired))
    assert after["expected_profit"] == pytest.approx(0.25 * before["expected_profit"])
    assert tired.log["recent_contacts"].to_pylist()[:5] == [0, 0, 0, 2, 0]


def test_an_arm_without_a_row_is_not_offered_and_offers_narrow_the_choice():
    table = scores(50)
    only = build(table, offers=["voucher"])
    assert set(only.lines["arm"].to_pylist()) == {"voucher"}
    less = table.filter(pa.array([i % 2 == 0 or i > 20 for i in range(100)]))
    made = build(less, exploration=0.9)
    arms = made.decided.choice[:10]
    assert (arms != 1).all()
    assert made.decided.propensity[0, 2] == 0.0
    assert made.log["worth_voucher"].to_pylist()[0] is None


def test_nobody_left_is_an_empty_list_with_a_full_log(tmp_path):
    everybody = [f"c{i:05}" for i in range(200)]
    for made in (build(suppression={"unsubscribed": everybody}), build(suppression=Suppression(consented=[]))):
        assert made.summary["mailed"] == 0
        assert made.summary["suppressed"] == 200
        assert made.write(tmp_path / "none.csv").read_text().count("\n") == 1
        assert replay(made.write_log(tmp_path)).same
    held = build(holdout=0.9999999)
    assert (held.summary["held_out"], held.lines.num_rows) == (200, 0)


def test_budget_zero_sends_only_what_funds_itself_and_ten_customers_are_enough():
    rows = {
        "customer_id": [str(i) for i in range(10)],
        "arm": ["mail"] * 5 + ["refund"] * 5,
        "effect": [1.0] * 10,
        "net_effect": [0.5] * 10,
        "cost": [0.1] * 5 + [-0.2] * 5,
    }
    made = build(rows, budget=0.0, exploration=0.5)
    assert made.lines["arm"].to_pylist().count("refund") == 5
    assert made.summary["spend"] <= 0.0
    assert made.summary["explored"] == 0
    assert "no exploration" in made.summary["notes"][0]
    assert build(rows | {"cost": [0.1] * 10}, budget=0.0).lines.num_rows == 0


@pytest.mark.parametrize(
    ("change", "rules", "kind", "said"),
    [
        ({"effect": [1.0, np.nan]}, {}, ContractError, r"effect of offer 'mail' is nan for customer 'b'"),
        ({"effect": [1.0, np.inf]}, {}, ContractError, r"effect of offer 'mail' is inf"),
        ({"cost": [0.1, None]}, {}, ContractError, r"cost of offer 'mail' is nan for customer 'b'.*0 where it costs"),
        ({"cost": "drop"}, {}, ContractError, r"no column 'cost'.*every offer needs its cost"),
        ({"customer_id": ["a", "a"]}, {}, ContractError, r"2 rows of customer 'a' for arm 'mail'"),
        ({"customer_id": ["a", None]}, {}, ContractError, r"'customer_id' is missing in 1 of 2 rows"),
        ({"customer_id": ["a", ""]}, {}, ContractError, r"'customer_id' is missing in 1 of 2 rows"),
        ({"customer_id": [1.0, 2.5]}, {}, ContractError, r"numbers with a point"),
        ({"net_effect": ["1", "x"]}, {}, ContractError, r"'net_effect' holds no numbers"),
        ({"arm": ["mail", "control"]}, {}, ContractError, r"hold the control 'control'"),
        ({}, {"offers": ["mial"]}, ContractError, r"no arm 'mial'; did you mean 'mail'"),
        ({}, {"budget": -1.0}, ModelError, r"budget is -1.0; it is 0 or more"),
        ({}, {"budget": float("nan")}, ModelError, r"budget is nan"),
        ({}, {"stock": {"mail": -1}}, ModelError, r"stock of 'mail' is -1"),
        ({}, {"stock": {"mial": 1}}, ModelError, r"stock names \['mial'\]; did you mean 'mail'"),
        ({}, {"holdout": 1.0}, ModelError, r"holdout share is 1.0"),
        ({}, {"exploration": 1.0}, ModelError, r"exploration is 1.0"),
        ({}, {"fatigue": 1.0}, ModelError, r"fatigue is 1.0"),
        ({}, {"frequency_cap": 0}, ModelError, r"frequency_cap is 0"),
        ({}, {"budget": float("inf")}, ModelError, r"budget is inf; it is 0 or more, or None for no limit"),
        ({}, {"budget": "10"}, ModelError, r"budget is '10'; it is 0 or more"),
        ({}, {"stock": {"mail": "x"}}, ModelError, r"stock of 'mail' is 'x'"),
        ({}, {"stock": [1]}, ModelError, r"stock is list; it maps each arm"),
        ({}, {"holdout": float("nan")}, ModelError, r"holdout share is nan; it is a share in \[0, 1\)"),
        ({}, {"holdout": "0.1"}, ModelError, r"holdout share is '0.1'"),
        ({}, {"exploration": None}, ModelError, r"exploration is None"),
        ({}, {"frequency_cap": 1.5, "recent_contacts": {}}, ModelError, r"frequency_cap is 1.5"),
        ({}, {"max_contacts": float("nan")}, ModelError, r"max_contacts is nan; it is a count"),
        ({}, {"seed": -1}, ModelError, r"seed is -1; it is a whole number, 0 or more"),
        ({}, {"seed": "a"}, ModelError, r"seed is 'a'"),
        ({}, {"facts": {"x": float("nan")}}, ModelError, r"facts cannot be recorded"),
        ({}, {"facts": {"x": object()}}, ModelError, r"facts cannot be recorded"),
        ({}, {"offers": []}, ModelError, r"offers is empty; name arms"),
        ({}, {"offers": "mail"}, ModelError, r"offers is the text 'mail'; give the arms as a list: \['mail'\]"),
        ({}, {"max_contacts": -1}, ModelError, r"max_contacts is -1"),
        ({}, {"recent_contacts": {"a": -1}}, ModelError, r"recent_contacts holds -1"),
        ({}, {"suppression": {"": ["a"]}}, ModelError, r"blank reason"),
        ({}, {"suppression": {"bounced": "a"}}, ModelError, r"bounced is str; it is a list"),
    ],
)
def test_bad_input_is_refused_by_name(change, rules, kind, said):
    rows = {"customer_id": ["a", "b"], "arm": ["mail"] * 2, "effect": [1.0, 2.0], "net_effect": [0.1, 0.2]}
    rows = {**rows, "cost": [0.0, 0.0], **change}
    rows = {name: column for name, column in rows.items() if not isinstance(column, str)}
    with pytest.raises(kind, match=said):
        build(rows, **rules)


def test_no_rows_and_a_blank_name_are_refused():
    with pytest.raises(ModelError, match="hold no rows"):
        build(scores(0))
    with pytest.raises(ModelError, match="campaign is blank"):
        TargetList.build(scores(), " ", on=ON)
    with pytest.raises(ModelError, match="campaign is None; name it"):
        TargetList.build(scores(), None, on=ON)
    named = scores().add_column(0, "campaign", pa.repeat("spring", 400))
    with pytest.raises(ModelError, match="no row of campaign 'sprig'; did you mean 'spring'"):
        TargetList.build(named, "sprig", on=ON)
    assert build(named).list_bytes() == build().list_bytes()


@pytest.mark.parametrize("on", ["2026-05-04", None, np.datetime64("2026-05-04"), 20260504])
def test_a_day_that_is_none_is_refused(on):
    with pytest.raises(ModelError, match=r"on is .*; it is the day of the sends"):
        TargetList.build(scores(), "spring", on=on)


@pytest.mark.parametrize("on", [pd.Timestamp("2026-05-04 03:00"), datetime(2026, 5, 4, 23, 59)])  # noqa: DTZ001
def test_a_moment_is_its_day_and_the_run_the_same(on, tmp_path):
    made = TargetList.build(scores(), "spring", on=on, holdout=0.1)
    same = build(holdout=0.1)
    assert (made.run_id, made.rules.on, made.log_bytes()) == (same.run_id, ON, same.log_bytes())
    assert replay(made.write_log(tmp_path)).same


def test_numbers_of_numpy_are_numbers(tmp_path):
    said = {"budget": np.int64(9), "stock": {"mail": np.int32(50)}, "max_contacts": np.int64(60), "seed": np.uint8(3)}
    plain = {"budget": 9, "stock": {"mail": 50}, "max_contacts": 60, "seed": 3}
    made = build(**said, holdout=np.float32(0.25), frequency_cap=np.int8(2), recent_contacts={"c00001": np.int64(2)})
    same = build(**plain, holdout=0.25, frequency_cap=2, recent_contacts={"c00001": 2})
    assert made.run_id == same.run_id
    assert replay(made.write_log(tmp_path)).same


def test_frames_of_any_kind_give_the_same_list_in_their_own_kind():
    table = scores()
    kinds = {pa.Table: table, pd.DataFrame: table.to_pandas(), pl.DataFrame: pl.from_arrow(table)}
    made = {kind: build(frame, budget=9.0, holdout=0.1, exploration=0.02) for kind, frame in kinds.items()}
    assert len({each.list_bytes() for each in made.values()}) == 1
    for kind, each in made.items():
        assert isinstance(each.table, kind)
        assert isinstance(each.decisions, kind)
    assert list(made[pd.DataFrame].table.columns) == [
        "campaign", "customer_id", "arm", "expected_profit", "effect", "cost", "reason", "propensity", "explored",
    ]  # fmt: skip


def test_ids_of_any_kind_survive_both_formats(tmp_path):
    odd = ["O'Brien", 'say "hi"', "a,b", "漢字", "=1+1", "x\ny", " padded ", "007", "é"]
    rows = {"customer_id": odd, "arm": ["mail"] * 9, "effect": [1.0] * 9, "net_effect": [1.0] * 9, "cost": [0.0] * 9}
    made = build(rows)
    assert pq.read_table(made.write(tmp_path / "list.parquet"))["customer_id"].to_pylist() == sorted(odd)
    options = pcsv.ParseOptions(newlines_in_values=True)
    types = pcsv.ConvertOptions(column_types={"customer_id": pa.string()}, strings_can_be_null=False)
    read = pcsv.read_csv(made.write(tmp_path / "list.csv"), parse_options=options, convert_options=types)
    assert read["customer_id"].to_pylist() == sorted(odd)


def test_files_are_whole_with_their_manifest_or_not_there(tmp_path):
    made = build(budget=9.0, holdout=0.1)
    path = made.write(tmp_path / "deep" / "list.parquet")
    manifest = json.loads(manifest_path(path).read_text())
    assert manifest["list"]["rows"] == made.lines.num_rows
    assert manifest["rules"]["budget"] == 9.0
    assert manifest == made.manifest
    assert sorted(file.name for file in path.parent.iterdir()) == ["list.parquet", "list.parquet.manifest.json"]
    with pytest.raises(ModelError, match="format is 'xlsx'"):
        made.write(tmp_path / "list.xlsx")
    (tmp_path / "file").write_text("")
    with pytest.raises(WarehouseError, match=r"a file stands where a folder belongs.*; the list was not written"):
        made.write(tmp_path / "file" / "list.csv")
    with pytest.raises(WarehouseError, match="no decision was logged"):
        made.write_log(tmp_path / "file" / "logs")


def test_a_log_replays_and_is_never_overwritten(tmp_path):
    made = build(budget=9.0, holdout=0.1, exploration=0.02, facts={"snapshot": "abc"}, suppression={"b": ["c00001"]})
    log = made.write_log(tmp_path / "decisions")
    assert log.name == f"spring-{made.run_id}.parquet"
    assert made.write_log(tmp_path / "decisions") == log
    path = made.write(tmp_path / "list.csv")
    again = replay(log, manifest=manifest_path(path))
    assert again.same
    assert again.target_list.explain("c00001") == made.explain("c00001")
    considered, rules, run_id = considered_from(read_log(log))
    assert (rules, run_id) == (made.rules, made.run_id)
    assert considered.customer_ids.equals(made.considered.customer_ids)
    log.write_bytes(build(budget=8.0).log_bytes())
    with pytest.raises(ModelError, match="never overwritten"):
        made.write_log(tmp_path / "decisions")
    other = replay(log, manifest=manifest_path(path))
    assert "the list comes out otherwise" in other.differences[0]
    with pytest.raises(ModelError, match="cannot be read"):
        replay(tmp_path / "list.csv")
    with pytest.raises(ModelError, match="no log of decisions"):
        log_facts(made.lines)


def test_the_run_is_named_by_rules_and_content():
    made = build(budget=9.0)
    assert build(budget=9.0).run_id == made.run_id
    others = [
        build(budget=9.5), build(budget=9.0, seed=1), build(budget=9.0, suppression={"bounced": ["c00001"]}),
        build(scores(seed=2), budget=9.0), build(budget=9.0, recent_contacts={"c00001": 1}),
        TargetList.build(scores(), "summer", on=ON, budget=9.0), build(budget=9.0, facts={"snapshot": "x"}),
    ]  # fmt: skip
    assert len({made.run_id, *(each.run_id for each in others)}) == 8
    strangers = build(budget=9.0, suppression={"bounced": ["nobody"]}, recent_contacts={"nobody": 4})
    assert strangers.run_id == made.run_id


def test_a_log_reads_as_sends():
    made = build(holdout=0.2, exploration=0.1, suppression={"bounced": ["c00001"]})
    sends = logged_sends(made.log)
    assert tuple(sends.column_names[:5]) == ("customer_id", "campaign", "arm", "sent_at", "propensity")
    assert set(SENDS.column_names) <= set(made.log.column_names)
    assert sends.num_rows == 199
    assert sends["sent_at"].to_pylist()[0] == datetime(2026, 5, 4)  # noqa: DTZ001 - the shop's own clock
    without = logged_sends(made.log, holdout=False)
    assert without.num_rows == 199 - made.summary["held_out"]
    for rows in (sends, without):
        matrix = np.column_stack([rows[f"propensity_{arm}"].to_numpy() for arm in ("control", "mail", "voucher")])
        assert np.allclose(matrix.sum(axis=1), 1.0, rtol=0, atol=1e-12)
        code = {"control": 0, "mail": 1, "voucher": 2}
        own = matrix[np.arange(len(matrix)), [code[arm] for arm in rows["arm"].to_pylist()]]
        assert np.array_equal(own, rows["propensity"].to_numpy())
    assert without["propensity_control"].to_numpy().min() == pytest.approx(0.1 / 3)


def test_contacts_are_counted_over_days():
    sends = pd.DataFrame(
        {"customer_id": ["a", "a", "b", None], "arm": ["m", "control", None, "m"], "sent_at": [ON] * 4}
    )
    assert count_contacts(sends, ON, 1) == {"a": 1}
    assert count_contacts(sends, date(2026, 5, 3), 1) == {}
    assert count_contacts(sends, ON, 1, control=["m"]) == {"a": 1}
    with pytest.raises(ContractError, match="no column 'sent_at'"):
        count_contacts({"customer_id": [], "arm": []}, ON, 1)


_PROGRAM = """
import hashlib, sys
from datetime import date
import numpy as np, pyarrow as pa
pa.set_cpu_count(int(sys.argv[1]))
from regulars.uplift.target import TargetList
draw = np.random.default_rng(0)
n = 90_000  # more than one block of the allocation
effect, cost = draw.normal(1, 3, 2 * n), draw.uniform(0.01, 1, 2 * n)
ids = np.repeat([f"c{i}" for i in range(n)], 2)
table = {"customer_id": ids, "arm": ["a", "b"] * n, "effect": effect, "net_effect": 0.3 * effect - cost, "cost": cost}
for limits in ({}, {"stock": {"b": 5_000}, "max_contacts": 24_000}):
    limits |= {"budget": 6_000.0, "holdout": 0.1, "exploration": 0.01}
    made = TargetList.build(table, "spring", on=date(2026, 5, 4), **limits)
    print(hashlib.sha256(made.list_bytes() + made.log_bytes() + made.list_bytes("csv")).hexdigest())
print(sorted({"causalml", "econml", "lightgbm"} & set(sys.modules)))
"""


def test_one_thread_and_two_give_the_same_bytes_and_load_no_model_library():
    told = []
    for threads in ("1", "2"):
        names = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        environment = {**os.environ, **dict.fromkeys(names, threads)}
        command = [sys.executable, "-c", _PROGRAM, threads]
        told.append(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    assert told[0] == told[1]
    assert told[0].endswith("[]\n")


_SAVED = """
import sys
from datetime import date
from regulars.uplift.effects import Effects
from regulars.uplift.score_table import score_table
from regulars.uplift.simulate import simulate
from regulars.uplift.target import TargetList
effects = Effects.load(sys.argv[1])
frame = simulate("several_arms", 300, seed=2).frame().assign(customer_id=range(300))
table = score_table(effects, frame)
assert table.num_rows == 900
assert (table["net_effect"].to_numpy().reshape(300, 3) == effects.net(frame)).all()
made = TargetList.build(table, "spring", on=date(2026, 5, 4), budget=5.0, holdout=0.1)
assert made.summary["mailed"] > 10, made.summary
print(sorted({"causalml", "econml"} & set(sys.modules)))
"""


def test_a_list_from_saved_effects_needs_no_causal_library(tmp_path):
    drawn = simulate("several_arms", 1500, seed=1).frame()
    declared = Experiment(treatment="arm", outcome="outcome", control="control")
    fit_effects(declared, drawn, "t", cost=0.05).save(tmp_path / "effects")
    command = [sys.executable, "-c", _SAVED, str(tmp_path / "effects")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"
    with pytest.raises(ContractError, match="no column 'customer_id'"):
        score_table(Effects.load(tmp_path / "effects"), drawn.drop(columns="customer_id"))


def test_rules_are_checked_wherever_they_come_from():
    rules = build().rules
    with pytest.raises(ModelError, match="budget is -2"):
        replace(rules, budget=-2.0)
