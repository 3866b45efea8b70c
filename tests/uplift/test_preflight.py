"""Preflight against forty faults and twenty clean sets, and each check at its edges."""

import sys
from dataclasses import replace
from datetime import UTC, date, datetime
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from regulars.sql.errors import ContractError, ModelError
from regulars.sql.findings import Finding
from regulars.uplift.experiment import Experiment
from regulars.uplift.leakage import find_leaks
from regulars.uplift.preflight import CODES, PreflightError, preflight, require_clean
from regulars.uplift.simulate import simulate

_spec = spec_from_file_location("preflight_faults", Path(__file__).parent / "preflight_faults.py")
assert _spec is not None
assert _spec.loader is not None
bank = module_from_spec(_spec)
sys.modules["preflight_faults"] = bank
_spec.loader.exec_module(bank)

EXP = Experiment(treatment="arm", outcome="outcome", control="control")


def codes(findings):
    return [finding.code for finding in findings]


# ---- the bank -------------------------------------------------------------------------------------------------------


def _hillstrom():
    if not bank.HILLSTROM.exists():
        pytest.skip("../shared/data is absent: Hillstrom's e-mail test is not shipped with the project")


def test_of_forty_faults_at_least_thirty_eight_are_caught_by_their_name(capsys):
    _hillstrom()
    assert len(bank.FAULTS) == 40
    assert {fault.code for fault in bank.FAULTS.values()} <= set(CODES)
    missed = []
    for name, fault in bank.FAULTS.items():
        found = fault.make().findings()
        assert set(codes(found)) <= set(CODES)
        if not any(finding.code == fault.code and finding.blocking for finding in found):
            missed.append((name, fault.code, codes(found)))
    with capsys.disabled():
        print(f"\n{40 - len(missed)} of 40 faults caught; missed: {missed}")
    assert len(missed) <= 2


def test_of_twenty_clean_sets_at_most_one_is_alarmed(capsys):
    _hillstrom()
    assert len(bank.CLEAN) == 20
    found = {name: make().findings() for name, make in bank.CLEAN.items()}
    blocking = {name: codes(f) for name, f in found.items() if any(finding.blocking for finding in f)}
    others = {name: codes(f) for name, f in found.items() if f and name not in blocking}
    with capsys.disabled():
        print(f"\n{len(blocking)} of 20 clean sets blocked: {blocking}; with other findings: {others}")
    assert len(blocking) <= 1


def test_the_faults_are_seen_in_any_kind_of_frame():
    case = bank.FAULTS["a_late_batch_was_measured_after_it"].make()
    as_polars = {name: pl.from_pandas(case.more[name]) for name in ("sends", "holdout")}
    found = preflight(case.exp, pl.from_pandas(case.frame), **as_polars, as_of=bank.AS_OF)
    assert found == case.findings()


# ---- going on in spite of it ----------------------------------------------------------------------------------------


def test_blocking_findings_stop_and_are_overridden_by_name():
    found = [Finding("low_overlap", True, "a", "b"), Finding("few_events", False, "c", "d")]
    with pytest.raises(PreflightError, match=r"(?s)1 finding stands.*low_overlap.*override=\['low_overlap'\]"):
        require_clean(found)
    assert require_clean(found, override=("low_overlap",)) == found
    assert require_clean(found[1:]) == found[1:]


def test_an_override_that_is_no_code_names_the_nearest():
    with pytest.raises(ModelError, match=r"'low_overlapp'.*did you mean.*low_overlap"):
        require_clean([], override=["low_overlapp"])
    with pytest.raises(ModelError, match="sequence of codes"):
        require_clean([], override="low_overlap")


# ---- each check at its edges ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", ["a", -1])
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises(ModelError, match="seed is"):
        preflight(EXP, simulate("linear", 200).frame(), seed=seed)


def test_ten_customers_are_too_few_to_fit():
    frame = pd.DataFrame({"arm": ["control", "mail"] * 5, "x": np.arange(10.0) / 3, "outcome": np.arange(10.0)})
    found = preflight(EXP, frame)
    assert "too_few_customers" in codes(found)
    assert found[0].blocking


@pytest.mark.parametrize("value", [0.0, 0.1, 3.5])
def test_a_constant_outcome_is_named_and_nothing_said_to_determine_it(value):
    assert codes(preflight(EXP, simulate("null", 1000).frame().assign(outcome=value))) == ["constant_outcome"]


def test_few_outcomes_are_said_and_too_few_block():
    frame = simulate("null", 2000).frame()
    few = preflight(EXP, frame.assign(outcome=(np.arange(2000) % 50 == 0).astype(float)))
    too_few = preflight(EXP, frame.assign(outcome=(np.arange(2000) % 250 == 0).astype(float)))
    assert [(finding.code, finding.blocking) for finding in few] == [("few_events", False)]
    assert [(finding.code, finding.blocking) for finding in too_few] == [("too_few_events", True)]


def test_without_features_nothing_leaks():
    frame = simulate("linear", 1000).frame()[["customer_id", "arm", "outcome"]]
    assert preflight(EXP, frame) == []


def test_constant_features_are_no_evidence():
    assert preflight(EXP, simulate("linear", 1000).frame().assign(one=1.0, word="same")) == []


def test_clusters_with_two_arms_and_too_few_of_them_are_named():
    case = bank.store_test(400)
    split = case.frame.assign(arm=case.frame["arm"].mask(case.frame.index == 3, "control"))
    split = split.assign(arm=split["arm"].mask(split.index == 4, "offer"))
    assert "cluster_split" in codes(preflight(case.exp, split))
    few = case.frame[case.frame["store"] < "store-006"]
    assert "too_few_clusters" in codes(preflight(case.exp, few))


def test_store_features_do_not_alarm_where_stores_were_assigned():
    # were customers taken as the units, a feature of the store would seem to differ between the arms
    alarms = 0
    for seed in range(20):
        case = bank.store_test(60, seed)
        frame = case.frame.assign(sales=case.frame.groupby("store")["past"].transform("sum"))
        naive = replace(case.exp, cluster=None)
        assert preflight(case.exp, frame) == []
        alarms += bool(find_leaks(naive, naive.read(frame.drop(columns="store"))))
    assert alarms >= 5


def test_repeated_customers_are_declared_by_the_cluster():
    once = simulate("linear", 1000, seed=1).frame()
    twice = pd.concat([once, simulate("linear", 1000, seed=2).frame()], ignore_index=True)
    assert "two_rows_per_customer" in codes(preflight(EXP, twice))
    assert preflight(replace(EXP, cluster="customer_id"), twice) == []


def test_a_holdout_needs_every_arm_and_each_customer_once():
    case = bank.mail_test(2000)
    only_mail = case.more["holdout"].query("arm == 'mail'")
    doubled = pd.concat([case.more["holdout"]] * 2)
    assert codes(preflight(case.exp, case.frame, holdout=only_mail, as_of=bank.AS_OF)) == ["arm_missing_in_holdout"]
    assert codes(preflight(case.exp, case.frame, holdout=doubled, as_of=bank.AS_OF)) == ["holdout_duplicated"]
    assert preflight(case.exp, case.frame, holdout={999_999}, as_of=bank.AS_OF) == []


def test_a_window_that_ends_before_it_begins_is_named():
    case = bank.mail_test(1000)
    frame = case.frame.assign(outcome_until=case.frame["outcome_until"].mask(case.frame.index == 5, bank.SENT))
    assert "window_reversed" in codes(preflight(case.exp, frame, as_of=bank.AS_OF))


def test_a_window_is_closed_once_its_last_day_is_over():
    case = bank.mail_test(1000)  # until 2026-06-01 09:00
    open_ = ["window_not_closed"]
    assert codes(preflight(case.exp, case.frame, as_of=date(2026, 5, 31))) == open_
    assert codes(preflight(case.exp, case.frame, as_of=date(2026, 6, 1))) == []
    assert codes(preflight(case.exp, case.frame, as_of=datetime(2026, 6, 1, 8, tzinfo=UTC))) == open_
    later = case.frame.assign(outcome_until=pd.Timestamp("2999-01-01"))
    assert codes(preflight(case.exp, later)) == open_  # by the clock


def test_a_moment_that_is_no_time_is_an_error_that_names_the_column():
    case = bank.mail_test(1000)
    with pytest.raises(ContractError, match=r"'sent_at' holds numbers"):
        preflight(case.exp, case.frame.assign(sent_at=1.5))
    with pytest.raises(ContractError, match=r"'sent_at' holds no dates"):
        preflight(case.exp, case.frame.assign(sent_at="soon"))
    with pytest.raises(ContractError, match=r"sends has no column 'campaign'"):
        preflight(case.exp, case.frame, sends=case.more["sends"].drop(columns="campaign"))


def test_a_handful_reached_by_another_campaign_is_said_but_does_not_block():
    case = bank.mail_test(20_000)
    some = case.frame[["customer_id"]].sample(60, random_state=1)
    sent = some.assign(campaign="birthday", arm="mail", sent_at=bank.SENT + pd.Timedelta(days=3))
    found = preflight(case.exp, case.frame, sends=pd.concat([case.more["sends"], sent]), as_of=bank.AS_OF)
    assert [(finding.code, finding.blocking) for finding in found] == [("window_overlaps_campaign", False)]


def test_rare_values_that_all_fall_into_one_arm_by_chance_do_not_alarm():
    # 5 customers of one arm: by chance once in 16 times; a chi-square's tail would be wrong about rarer ones
    frame = simulate("null", 4000).frame()
    rare = np.zeros(4000)
    rare[np.flatnonzero(frame["arm"] == "control")[:5]] = 1.0
    assert preflight(EXP, frame.assign(rare=rare)) == []


def test_ids_are_told_from_amounts():
    rng = np.random.default_rng(5)
    frame = simulate("linear", 800, seed=5).frame()
    cents = np.unique(np.round(np.exp(rng.normal(9.5, 1.0, 1000))))[:800]
    ids = {
        "number": rng.permutation(800) + 10_000,
        "random": rng.choice(10**9, 800, replace=False),
        "mail": [f"{i:x}@example.com" for i in rng.permutation(800)],
    }
    assert preflight(EXP, frame.assign(cents=rng.permutation(cents))) == []
    for name, values in ids.items():
        assert codes(preflight(EXP, frame.assign(**{name: values}))) == ["names_the_customer"]


def test_what_a_stratified_draw_explains_is_no_imbalance():
    # shares differ by segment, as planned: the feature that decided them differs between the arms
    rng = np.random.default_rng(0)
    big = rng.integers(0, 2, 10_000)
    p = np.where(big == 1, 0.8, 0.3)
    frame = pd.DataFrame(
        {
            "arm": np.where(rng.random(10_000) < p, "mail", "control"),
            "big": big,
            "p": p,
            "outcome": rng.poisson(1, 10_000),
        }
    )
    assert preflight(replace(EXP, propensity={"mail": "p"}), frame) == []
    assert "unbalanced_feature" in codes(preflight(replace(EXP, exclude=["p"]), frame))


def test_past_spend_that_tells_much_of_future_spend_is_not_taken_for_a_leak():
    # a covariate as CUPED likes it: correlation .8 with the outcome
    rng = np.random.default_rng(3)
    frame = simulate("linear", 5000, seed=3).frame()
    frame["before"] = frame["outcome"].where(frame["arm"] == "control", frame["outcome"] - 0.2) + rng.normal(
        0, 0.9, 5000
    )
    assert "determines_outcome" not in codes(preflight(EXP, frame))


def _size_of_orders(seed=0, n=20_000):
    """A null experiment whose outcome is a number of its own for everybody."""
    rng = np.random.default_rng(seed)
    rows = {"arm": np.where(rng.random(n) < 0.5, "mail", "control"), "age": rng.integers(18, 90, n)}
    return pd.DataFrame(rows | {"outcome": rng.gamma(2.0, 30.0, n)}), rng


@pytest.mark.parametrize("cut", [0.25, 0.5, 0.7])
@pytest.mark.parametrize("as_text", [False, True])
def test_a_split_of_the_outcome_into_two_is_a_leak_though_nothing_has_an_effect(cut, as_text):
    frame, _ = _size_of_orders()
    leak = frame["outcome"] > frame["outcome"].quantile(cut)
    frame["segment"] = np.where(leak, "high", "low") if as_text else leak
    (finding,) = preflight(EXP, frame)
    assert (finding.code, finding.blocking) == ("determines_outcome", True)
    assert "'segment'" in finding.seen


def test_a_blurred_copy_of_the_outcome_is_suspicious():
    frame, rng = _size_of_orders()
    wrong = rng.random(len(frame)) < 0.03
    frame["segment"] = (frame["outcome"] > frame["outcome"].median()) ^ wrong
    frame["later"] = frame["outcome"] * rng.lognormal(0.0, 0.25, len(frame))
    found = preflight(EXP, frame)
    assert {(f.code, f.blocking) for f in found} == {("suspiciously_predictive", False)}
    assert len(found) == 2
    assert "before the send" in found[0].advice


def test_a_few_customers_without_an_order_do_not_hide_a_leak():
    frame, _ = _size_of_orders()
    leak = frame["outcome"] > frame["outcome"].median()
    frame.loc[frame.index[~leak][:12], "outcome"] = 0.0
    assert "determines_outcome" in codes(preflight(EXP, frame.assign(leak=leak)))


@pytest.mark.parametrize("seed", range(10))
def test_strong_predictors_known_before_are_no_leaks(seed):
    # past spend at a rank correlation of .85, its tier of three, and one that marks the best tenth
    frame, rng = _size_of_orders(seed, 5000)
    logged = np.log(frame["outcome"])
    before = logged + rng.normal(0.0, 0.55 * logged.std(), len(frame))
    assert 0.8 < before.corr(frame["outcome"], method="spearman") < 0.89
    tier = np.digitize(before, before.quantile([0.33, 0.67]))
    assert preflight(EXP, frame.assign(before=np.exp(before), tier=tier, best=before > before.quantile(0.9))) == []


# ---- what frames are like -------------------------------------------------------------------------------------------


def _unsent(frame):
    """Who was in control has no moment of a send."""
    control = frame["arm"] == "control"
    return frame.assign(**{name: frame[name].mask(control) for name in ("sent_at", "outcome_from")})


@pytest.mark.parametrize(
    "change",
    [
        _unsent,
        lambda f: f.assign(sent_at=pd.NaT),
        lambda f: f.assign(sent_at=f["sent_at"].dt.strftime("%Y-%m-%d %H:%M")),
        lambda f: f.assign(measured_at=f["measured_at"].dt.date),
        lambda f: f.assign(mens=f["mens"].astype(bool).astype(object)),
        lambda f: f.assign(zip_code=f["zip_code"].astype("category")),
        lambda f: f.assign(unknown=np.nan),
        lambda f: f.assign(again=f["history"], negative=-f["history"]),
    ],
)
def test_odd_but_sound_frames_do_not_alarm(change):
    case = bank.mail_test(3000)
    assert preflight(case.exp, change(case.frame), **case.more) == []


def test_moments_with_a_time_zone_are_compared_in_utc():
    case = bank.mail_test(2000)
    frame = case.frame.assign(
        sent_at=case.frame["sent_at"].dt.tz_localize("America/New_York"),  # 13:00 UTC
        measured_at=(case.frame["measured_at"] + pd.Timedelta(hours=12)).dt.tz_localize("UTC"),
        outcome_from=case.frame["outcome_from"].dt.tz_localize("America/New_York"),
    )
    assert preflight(case.exp, frame, as_of=bank.AS_OF) == []


def test_a_missing_end_of_the_window_in_one_arm_is_found():
    case = bank.mail_test(2000)
    until = case.frame["outcome_until"].mask(case.frame["arm"] == "control")
    assert codes(preflight(case.exp, case.frame.assign(outcome_until=until), as_of=bank.AS_OF)) == ["window_by_arm"]


def test_without_sends_or_held_out_customers_there_is_nothing_to_say():
    case = bank.mail_test(2000)
    assert preflight(case.exp, case.frame, sends=case.more["sends"].iloc[:0], holdout=[], as_of=bank.AS_OF) == []


def test_every_code_says_what_it_means_and_is_known_to_overrides():
    assert list(CODES) == sorted(CODES)
    assert require_clean([], override=list(CODES)) == []
