"""Forty faults as they happen to campaigns, and twenty data sets without one; written before any threshold was tuned.

Sizes are those of a mid-sized shop, and each fault is as small as it can be and still spoil an answer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import regulars
from regulars.sql.findings import Finding
from regulars.uplift.design import assign
from regulars.uplift.experiment import Experiment
from regulars.uplift.preflight import preflight
from regulars.uplift.simulate import DESIGNS, simulate

HILLSTROM = Path(regulars.__file__).parent.parent / "shared" / "data" / "hillstrom" / "hillstrom.csv"
SENT = pd.Timestamp("2026-05-04 09:00")
AS_OF = date(2026, 6, 30)
CONTROL, MENS, WOMENS = "No E-Mail", "Mens E-Mail", "Womens E-Mail"
OUTCOMES = ("visit", "conversion", "spend")


@dataclass(frozen=True)
class Case:
    """What preflight is given."""

    exp: Experiment
    frame: pd.DataFrame
    more: Mapping[str, Any] = field(default_factory=dict)

    def findings(self) -> list[Finding]:
        return preflight(self.exp, self.frame, **self.more)


@dataclass(frozen=True)
class Fault:
    """A spoilt case, and the code that has to name what is wrong."""

    code: str
    make: Callable[[], Case]
    needs_hillstrom: bool


FAULTS: dict[str, Fault] = {}


def fault(code: str, *, hillstrom: bool = False) -> Callable[[Callable[[], Case]], Callable[[], Case]]:
    def keep(make: Callable[[], Case]) -> Callable[[], Case]:
        FAULTS[make.__name__] = Fault(code, make, hillstrom)
        return make

    return keep


# ---- clean data -----------------------------------------------------------------------------------------------------


def mail_test(n: int = 20_000, seed: int = 0, control: float = 0.5) -> Case:
    """An e-mail test like Hillstrom's, with ids, moments, what else was sent, and a holdout."""
    rng = np.random.default_rng(seed)
    ids = np.arange(100_000, 100_000 + n + n // 5)
    rng.shuffle(ids)
    size = len(ids)
    history = np.round(np.exp(rng.normal(4.8, 1.0, size)), 2)
    recency = rng.integers(1, 13, size)
    mens, newbie = rng.random(size) < 0.55, rng.random(size) < 0.5
    arm = assign(ids, f"may-{seed}", {"control": control, "mail": 1.0 - control})
    mailed = arm == "mail"
    visit = rng.random(size) < 1 / (1 + np.exp(1.9 + 0.06 * recency - 0.1 * np.log(history) - 0.45 * mailed * mens))
    buys = visit & (rng.random(size) < 0.25)
    frame = pd.DataFrame(
        {
            "customer_id": ids,
            "arm": arm,
            "recency": recency,
            "history": history,
            "mens": mens.astype(int),
            "newbie": newbie.astype(int),
            "zip_code": rng.choice(["Urban", "Surburban", "Rural"], size, p=[0.4, 0.45, 0.15]),
            "days_since_open": np.where(rng.random(size) < 0.12, np.nan, rng.integers(1, 200, size)),
            "sent_at": SENT,
            "measured_at": SENT - pd.Timedelta(hours=9),
            "outcome_from": SENT,
            "outcome_until": SENT + pd.Timedelta(days=28),
            "visit": visit.astype(int),
            "spend": np.where(buys, np.round(np.exp(rng.normal(4.0, 0.8, size)), 2), 0.0),
        }
    )
    exp = Experiment(
        treatment="arm",
        outcome="visit",
        control="control",
        exclude=["spend"],
        propensity={"control": control, "mail": 1.0 - control},
        sent_at="sent_at",
        measured_at="measured_at",
        outcome_from="outcome_from",
        outcome_until="outcome_until",
    )
    own = frame[["customer_id", "arm", "sent_at"]].assign(campaign="may")
    before = frame[["customer_id"]].sample(n // 3, random_state=seed)
    before = before.assign(campaign="march", arm="mail", sent_at=SENT - pd.Timedelta(days=60))
    later = frame[["customer_id"]].sample(n // 3, random_state=seed + 1)
    later = later.assign(campaign="june", arm="mail", sent_at=SENT + pd.Timedelta(days=40))
    sends = pd.concat([own, before, later], ignore_index=True)
    return Case(
        exp,
        frame.iloc[:n].reset_index(drop=True),
        {"sends": sends, "holdout": frame.iloc[n:].reset_index(drop=True), "as_of": AS_OF},
    )


def spend_test(n: int = 20_000, seed: int = 0) -> Case:
    case = mail_test(n, seed)
    return replace(case, exp=replace(case.exp, outcome="spend", exclude=["visit"]))


def store_test(stores: int = 400, seed: int = 0) -> Case:
    """Whole stores were assigned, 40 customers each."""
    rng = np.random.default_rng(seed)
    names = [f"store-{i:03d}" for i in range(stores)]
    arm_of = dict(zip(names, assign(names, f"stores-{seed}", {"control": 0.5, "offer": 0.5}), strict=True))
    taste = dict(zip(names, rng.normal(0, 0.5, stores), strict=True))
    store = np.repeat(names, 40)
    local = np.array([taste[s] for s in store])
    arm = np.array([arm_of[s] for s in store])
    age = np.round(45 + 6 * local + rng.normal(0, 12, len(store)))
    orders = rng.poisson(np.exp(0.2 * local + 0.1 * (arm == "offer")))
    frame = pd.DataFrame({"store": store, "arm": arm, "age": age, "past": rng.poisson(3, len(store)), "orders": orders})
    exp = Experiment(
        treatment="arm",
        outcome="orders",
        control="control",
        cluster="store",
        propensity={"control": 0.5, "offer": 0.5},
    )
    return Case(exp, frame)


def logged_policy(n: int = 20_000, seed: int = 0, floor: float = 0.05) -> Case:
    """A list sent by a score, with exploration: the probability of each customer was logged."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    p = floor + (1 - 2 * floor) / (1 + np.exp(-2.5 * x[:, 0]))
    mailed = rng.random(n) < p
    orders = rng.poisson(np.exp(-0.5 + 0.3 * x[:, 0] + 0.2 * mailed))
    frame = pd.DataFrame(
        {
            "customer_id": [f"c{i}" for i in range(n)],
            "arm": np.where(mailed, "mail", "control"),
            "score": x[:, 0],
            "age": x[:, 1],
            "visits": x[:, 2],
            "p_mail": p,
            "orders": orders,
        }
    )
    return Case(Experiment(treatment="arm", outcome="orders", control="control", propensity={"mail": "p_mail"}), frame)


def designed(design: str, n: int = 10_000, seed: int = 0) -> Case:
    """One of the six simulated designs, declared with its plan."""
    drawn = simulate(design, n, seed=seed)
    exp = Experiment(
        treatment="arm",
        outcome="outcome",
        control="control",
        kind="randomised" if drawn.randomised else "observational",
        propensity=dict(zip(drawn.arm_names, drawn.propensity[0].tolist(), strict=True)) if drawn.randomised else None,
    )
    return Case(exp, drawn.frame())


def hillstrom(outcome: str, *arms: str, shares: bool = True) -> Case:
    exp = Experiment(
        treatment="segment",
        outcome=outcome,
        control=CONTROL,
        arms=arms or None,
        exclude=[name for name in OUTCOMES if name != outcome],
        propensity={name: 1.0 / (len(arms or (MENS, WOMENS)) + 1) for name in (CONTROL, *(arms or (MENS, WOMENS)))}
        if shares
        else None,
    )
    return Case(exp, pd.read_csv(HILLSTROM))


CLEAN: dict[str, Callable[[], Case]] = {
    **{f"{d}_{seed}": (lambda d=d, seed=seed: designed(d, seed=seed)) for d in DESIGNS for seed in (1, 2)},
    "hillstrom_womens_visit": lambda: hillstrom("visit", WOMENS),
    "hillstrom_mens_visit": lambda: hillstrom("visit", MENS),
    "hillstrom_womens_conversion": lambda: hillstrom("conversion", WOMENS),
    "hillstrom_mens_spend": lambda: hillstrom("spend", MENS),
    "hillstrom_all_spend": lambda: hillstrom("spend", shares=False),
    "mail_test": mail_test,
    "store_test": store_test,
    "logged_policy": logged_policy,
}


# ---- assignment -----------------------------------------------------------------------------------------------------


def _lose(case: Case, rows: np.ndarray, share: float, seed: int = 9) -> Case:
    lost = rows & (np.random.default_rng(seed).random(len(rows)) < share)
    return replace(case, frame=case.frame[~lost].reset_index(drop=True))


@fault("sample_ratio_mismatch")
def one_in_twenty_of_the_mailed_was_lost():
    case = mail_test(40_000)
    return _lose(case, (case.frame["arm"] == "mail").to_numpy(), 0.05)


@fault("sample_ratio_mismatch", hillstrom=True)
def visitors_of_one_arm_were_taken_for_bots():
    case = hillstrom("visit", MENS)
    return _lose(case, ((case.frame.segment == MENS) & (case.frame.visit == 1)).to_numpy(), 0.3)


@fault("sample_ratio_mismatch")
def a_tenth_was_planned_as_control_and_less_came():
    case = mail_test(30_000, seed=3, control=0.1)
    return _lose(case, (case.frame["arm"] == "control").to_numpy(), 0.09)


@fault("sample_ratio_mismatch")
def a_small_pilot_lost_a_third_of_an_arm():
    case = mail_test(500, seed=4)
    return _lose(case, (case.frame["arm"] == "mail").to_numpy(), 0.4)


@fault("sample_ratio_mismatch")
def stores_dropped_out_of_the_offer():
    case = store_test(400)
    stores = case.frame.loc[case.frame["arm"] == "offer", "store"].unique()
    return replace(case, frame=case.frame[~case.frame["store"].isin(stores[:80])].reset_index(drop=True))


@fault("propensity_mismatch")
def the_list_was_drawn_evenly_but_logged_by_score():
    case = logged_policy(5_000)
    rng = np.random.default_rng(1)
    return replace(case, frame=case.frame.assign(arm=rng.choice(["control", "mail"], len(case.frame))))


@fault("propensity_mismatch")
def exploration_was_larger_than_logged():
    case = logged_policy(seed=5)
    turned = (case.frame["p_mail"] < 0.3) & (np.random.default_rng(2).random(len(case.frame)) < 0.03)
    return replace(case, frame=case.frame.assign(arm=case.frame["arm"].mask(turned, "mail")))


@fault("propensity_mismatch")
def probabilities_of_two_arms_were_swapped():
    rng = np.random.default_rng(6)
    n = 10_000
    x = rng.normal(size=n)
    a, b = 0.15 + 0.2 / (1 + np.exp(-x)), 0.15 + 0.2 / (1 + np.exp(x))
    u = rng.random(n)
    arm = np.where(u < a, "mail", np.where(u < a + b, "voucher", "control"))
    frame = pd.DataFrame({"arm": arm, "x": x, "p_mail": b, "p_voucher": a, "orders": rng.poisson(1.0, n)})
    propensity = {"mail": "p_mail", "voucher": "p_voucher"}
    return Case(Experiment(treatment="arm", outcome="orders", control="control", propensity=propensity), frame)


@fault("low_overlap")
def everyone_above_a_threshold_was_mailed():
    case = mail_test(10_000, seed=7)
    rng = np.random.default_rng(7)
    mailed = (case.frame["history"] > 130) != (rng.random(len(case.frame)) < 0.004)
    frame = case.frame.assign(arm=np.where(mailed, "mail", "control"))
    return Case(replace(case.exp, kind="observational", propensity=None), frame, {"as_of": AS_OF})


@fault("low_overlap")
def only_new_customers_were_welcomed():
    case = mail_test(10_000, seed=8)
    rng = np.random.default_rng(8)
    mailed = (case.frame["newbie"] == 1) & (rng.random(len(case.frame)) < 0.5)
    frame = case.frame.assign(arm=np.where(mailed, "mail", "control"))
    return Case(replace(case.exp, kind="observational", propensity=None), frame, {"as_of": AS_OF})


@fault("extreme_propensity")
def exploration_was_one_in_two_thousand():
    return logged_policy(20_000, seed=9, floor=0.0005)


# ---- rows and holdout -----------------------------------------------------------------------------------------------


@fault("two_rows_per_customer")
def one_in_a_hundred_customers_was_joined_twice():
    case = mail_test(seed=10)
    return replace(case, frame=pd.concat([case.frame, case.frame.iloc[:200]], ignore_index=True))


@fault("two_rows_per_customer")
def three_customers_were_in_both_arms():
    case = mail_test(seed=11)
    again = case.frame.iloc[:3].assign(arm=case.frame["arm"].iloc[:3].map({"mail": "control", "control": "mail"}))
    return replace(case, frame=pd.concat([case.frame, again], ignore_index=True))


@fault("holdout_in_training")
def the_holdout_was_split_by_row():
    case = mail_test(seed=12)
    holdout = pd.concat([case.more["holdout"], case.frame.iloc[:20]], ignore_index=True)
    return replace(case, more={**case.more, "holdout": holdout})


@fault("holdout_in_training")
def the_holdout_s_ids_became_floats():
    case = mail_test(seed=13)
    holdout = pd.concat([case.more["holdout"], case.frame.iloc[:50]], ignore_index=True)
    return replace(case, more={**case.more, "holdout": holdout.astype({"customer_id": float})})


@fault("holdout_contaminated")
def the_newsletter_went_to_the_holdout():
    case = mail_test(seed=14)
    kept_out = np.arange(10_000, 12_000)
    sent = pd.DataFrame({"customer_id": kept_out[:8], "campaign": "news", "arm": "mail", "sent_at": SENT})
    return replace(case, more={**case.more, "holdout": kept_out, "sends": pd.concat([case.more["sends"], sent])})


@fault("holdout_contaminated")
def the_holdout_s_control_was_mailed():
    case = mail_test(seed=15)
    holdout, sends = case.more["holdout"], case.more["sends"]
    wrong = holdout.loc[holdout["arm"] == "control", "customer_id"].head(25)
    sends = sends.assign(arm=sends["arm"].mask(sends["customer_id"].isin(wrong) & (sends["campaign"] == "may"), "mail"))
    return replace(case, more={**case.more, "sends": sends})


@fault("contaminated_control")
def some_of_the_control_was_mailed():
    case = mail_test(seed=16)
    sends = case.more["sends"]
    wrong = case.frame.loc[case.frame["arm"] == "control", "customer_id"].head(60)
    sends = sends.assign(arm=sends["arm"].mask(sends["customer_id"].isin(wrong) & (sends["campaign"] == "may"), "mail"))
    return replace(case, more={**case.more, "sends": sends})


# ---- moments --------------------------------------------------------------------------------------------------------


@fault("measured_after_send")
def features_come_from_the_next_morning():
    case = mail_test(seed=17)
    return replace(case, frame=case.frame.assign(measured_at=SENT + pd.Timedelta(hours=15)))


@fault("measured_after_send")
def a_late_batch_was_measured_after_it():
    case = mail_test(seed=18)
    late = case.frame["measured_at"].mask(case.frame.index >= 19_950, SENT + pd.Timedelta(minutes=5))
    return replace(case, frame=case.frame.assign(measured_at=late))


@fault("measured_by_arm")
def the_control_s_features_are_three_days_older():
    case = mail_test(seed=19)
    older = case.frame["measured_at"] - pd.Timedelta(days=3)
    return replace(case, frame=case.frame.assign(measured_at=older.where(case.frame["arm"] == "control", SENT)))


@fault("window_before_send")
def orders_are_counted_from_the_day_before():
    case = mail_test(seed=20)
    return replace(case, frame=case.frame.assign(outcome_from=SENT - pd.Timedelta(days=1)))


@fault("window_not_closed")
def the_last_wave_is_still_running():
    case = mail_test(seed=21)
    wave = case.frame.index >= 19_000
    moved = {n: case.frame[n].mask(wave, case.frame[n] + pd.Timedelta(days=40)) for n in ("sent_at", "outcome_from")}
    until = case.frame["outcome_until"].mask(wave, case.frame["outcome_until"] + pd.Timedelta(days=40))
    return replace(case, frame=case.frame.assign(**moved, outcome_until=until), more={"as_of": AS_OF})


@fault("window_overlaps_campaign")
def the_next_campaign_began_within_the_window():
    case = mail_test(seed=22)
    some = case.frame[["customer_id"]].sample(1_000, random_state=0)
    sent = some.assign(campaign="summer", arm="mail", sent_at=SENT + pd.Timedelta(days=27))
    return replace(case, more={**case.more, "sends": pd.concat([case.more["sends"], sent])})


@fault("window_overlaps_campaign")
def a_reminder_went_to_a_few_of_the_mailed():
    case = mail_test(seed=23)
    some = case.frame.loc[case.frame["arm"] == "mail", ["customer_id"]].head(80)
    sent = some.assign(campaign="reminder", arm="mail", sent_at=SENT + pd.Timedelta(days=7))
    return replace(case, more={**case.more, "sends": pd.concat([case.more["sends"], sent])})


@fault("window_by_arm")
def the_control_s_window_is_two_days_longer():
    case = mail_test(seed=24)
    longer = case.frame["outcome_until"] + pd.Timedelta(days=2)
    until = case.frame["outcome_until"].mask(case.frame["arm"] == "control", longer)
    return replace(case, frame=case.frame.assign(outcome_until=until))


# ---- leakage without moments ----------------------------------------------------------------------------------------


def _without_moments(case: Case, **columns: Any) -> Case:
    exp = replace(
        case.exp,
        sent_at=None,
        measured_at=None,
        outcome_from=None,
        outcome_until=None,
        exclude=[*case.exp.exclude, "sent_at", "measured_at", "outcome_from", "outcome_until"],
    )
    return Case(exp, case.frame.assign(**columns))


@fault("determines_outcome", hillstrom=True)
def conversion_is_offered_for_spend():
    case = hillstrom("spend", WOMENS)
    return replace(case, exp=replace(case.exp, exclude=["visit"]))


@fault("determines_outcome", hillstrom=True)
def visit_is_offered_for_spend():
    case = hillstrom("spend", MENS)
    return replace(case, exp=replace(case.exp, exclude=["conversion"]))


@fault("unbalanced_feature", hillstrom=True)
def spend_s_visit_is_offered_for_conversion_in_a_tenth():
    case = hillstrom("conversion", WOMENS)
    tenth = case.frame.sample(frac=0.1, random_state=0).reset_index(drop=True)
    return replace(case, frame=tenth, exp=replace(case.exp, exclude=["spend"]))


@fault("names_the_arm")
def opened_is_offered_in_an_observational_campaign():
    case = designed("confounded", seed=31)
    opened = (case.frame["arm"] == "arm_1") & (np.random.default_rng(31).random(len(case.frame)) < 0.15)
    return replace(case, frame=case.frame.assign(opened=opened.astype(int)))


@fault("determines_outcome")
def recency_was_measured_after_the_window():
    case = spend_test(seed=32)
    return _without_moments(case, recency=case.frame["recency"].mask(case.frame["spend"] > 0, 0))


@fault("determines_outcome")
def spend_in_the_app_is_offered_for_spend():
    case = spend_test(seed=33)
    in_app = np.random.default_rng(33).random(len(case.frame)) < 0.5
    return _without_moments(case, app_spend=case.frame["spend"].where(in_app, 0.0))


@fault("determines_outcome")
def the_outcome_s_near_double_is_offered():
    case = designed("linear", seed=34)
    noise = np.random.default_rng(34).normal(0, 0.2, len(case.frame))
    return replace(case, frame=case.frame.assign(score=3 * case.frame["outcome"] + noise))


@fault("unbalanced_feature")
def a_later_engagement_score_is_offered():
    case = designed("linear", seed=35)
    noise = np.random.default_rng(35).normal(0, 1.5, len(case.frame))
    return replace(case, frame=case.frame.assign(score=case.frame["outcome"] + noise))


@fault("determines_outcome")
def the_outcome_is_split_over_two_features_without_an_effect():
    case = designed("null", seed=36)
    part = np.random.default_rng(36).normal(0, 1, len(case.frame))
    return replace(case, frame=case.frame.assign(online=case.frame["outcome"] - part, offline=part))


@fault("missing_by_arm")
def last_open_was_joined_after_the_send():
    case = mail_test(seed=37)
    again = (case.frame["arm"] == "mail") & (np.random.default_rng(37).random(len(case.frame)) < 0.25)
    filled = case.frame["days_since_open"].mask(again & case.frame["days_since_open"].isna(), 40.0)
    return replace(case, frame=case.frame.assign(days_since_open=filled))


@fault("names_the_arm")
def the_voucher_s_code_is_a_feature():
    case = mail_test(seed=38)
    codes = np.random.default_rng(38).choice(["A10", "B10", "C15"], len(case.frame))
    return _without_moments(case, code=np.where(case.frame["arm"] == "mail", codes, None))


@fault("names_the_customer")
def the_household_is_a_feature():
    case = designed("sparse", seed=39)
    household = np.random.default_rng(39).permutation(len(case.frame)) + 7_000_000
    return replace(case, frame=case.frame.assign(household=household))


@fault("unbalanced_feature")
def those_who_unsubscribed_from_the_mail_were_dropped():
    case = mail_test(30_000, seed=40)
    case = replace(case, exp=replace(case.exp, propensity=None))
    fond = case.frame["recency"].to_numpy()
    gone = np.random.default_rng(40).random(len(fond)) < 0.012 * (fond - 1) / 5.5
    return replace(case, frame=case.frame[~(gone & (case.frame["arm"] == "mail"))].reset_index(drop=True))


@fault("outcome_in_one_arm")
def clicks_in_the_mail_are_the_outcome():
    case = mail_test(seed=41)
    return replace(case, frame=case.frame.assign(visit=case.frame["visit"].where(case.frame["arm"] == "mail", 0)))
