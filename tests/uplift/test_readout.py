"""The read-out against known truth, and what the next fit learns from the log."""

from datetime import date

import numba
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from regulars.sql.errors import ContractError, ModelError
from regulars.uplift.decision_log import logged_sends
from regulars.uplift.experiment import Experiment
from regulars.uplift.policy_value import gain_per_1000, off_policy_value
from regulars.uplift.readout import read_out
from regulars.uplift.scores import aipw_scores, doubly_robust_scores
from regulars.uplift.target import TargetList

ON, MARGIN = date(2026, 5, 4), 0.3
ARMS = ("mail", "voucher")
COST = np.array([0.1, 0.4])


@pytest.fixture(autouse=True)
def _one_thread():
    """A thousand customers are no work to share; waiting for another thread would take longer."""
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(before)


class Market:
    """Customers with known effects of two arms, and scores that see them through noise.

    Those who would buy anyway are also those with larger effects, so mailed customers spend more with or without mail.
    """

    def __init__(self, n: int, seed: int, *, optimism: float = 0.0) -> None:
        self.rng = np.random.default_rng(seed)
        x = self.rng.normal(size=n)
        self.effect = np.column_stack([0.6 + 1.0 * x, 1.0 + 1.4 * self.rng.normal(size=n)])
        self.base = 10.0 + 3.0 * x
        self.before = self.base + self.rng.normal(size=n)
        seen = self.effect + 0.3 * self.rng.normal(size=(n, 2)) + optimism
        self.scores = pa.table(
            {
                "customer_id": np.repeat([f"c{i:06}" for i in range(n)], 2),
                "arm": list(ARMS) * n,
                "effect": seen.ravel(),
                "net_effect": (MARGIN * seen - COST).ravel(),
                "cost": np.tile(COST, n),
            }
        )

    def send(self, **rules) -> TargetList:
        return TargetList.build(self.scores, "spring", on=ON, **rules)

    def buy(self, made: TargetList) -> dict[str, object]:
        choice = made.decided.choice
        moved = np.where(choice >= 0, self.effect[np.arange(len(choice)), np.maximum(choice, 0)], 0.0)
        spend = self.base + moved + 2.0 * self.rng.normal(size=len(choice))
        return {"customer_id": made.log["customer_id"], "outcome": spend, "before": self.before}

    def truth(self, made: TargetList) -> float:
        choice = made.decided.choice
        rows = np.flatnonzero(choice >= 0)
        return float((MARGIN * self.effect[rows, choice[rows]] - COST[choice[rows]]).sum())


DESIGNS = {
    "holdout": {"holdout": 0.2},
    "exploration": {"exploration": 0.2},
    "both, on a budget": {"holdout": 0.1, "exploration": 0.1, "budget": 150.0},
}


@pytest.mark.parametrize("design", DESIGNS)
def test_intervals_cover_the_known_profit(design):
    """95% intervals: 200 draws cover at least 90.5% (three binomial standard errors below 95% are 90.4%)."""
    covered, by_arm, by_holdout, gaps, errors = [], [], [], [], []
    for seed in range(200):
        market = Market(1200, [7, seed])
        made = market.send(**DESIGNS[design] | {"seed": seed, "holdout_salt": f"draw {seed}"})
        found = read_out(made.log, market.buy(made), margin=MARGIN, features=["before"], seed=seed)
        truth = market.truth(made)
        covered.append(found.realised.lower <= truth <= found.realised.upper)
        gaps.append(found.realised.value - truth)
        errors.append(found.realised.standard_error)
        by_arm.append(sum(arm.realised.value for arm in found.arms) == pytest.approx(found.realised.value))
        if found.holdout is not None:
            by_holdout.append(found.holdout.lower <= truth <= found.holdout.upper)
    assert np.mean(covered) >= 0.905
    assert abs(np.mean(gaps)) < 4 * np.std(gaps) / np.sqrt(200)  # unbiased
    assert np.mean(errors) < 1.3 * np.std(gaps)  # and not covering by being wide
    assert all(by_arm)
    if by_holdout:
        assert np.mean(by_holdout) >= 0.905


def test_an_overoptimistic_plan_shows():
    market = Market(20_000, 3, optimism=2.0)
    made = market.send(holdout=0.2, exploration=0.05)
    found = read_out(made.log, market.buy(made), margin=MARGIN, features=["before"])
    assert found.difference.upper < 0.0
    assert "unlike" in found.sentence()
    assert found.calibration is not None
    assert found.calibration.mean_predicted - found.calibration.mean_actual.value == pytest.approx(
        2.0 * MARGIN, abs=0.2
    )
    assert found.planned == pytest.approx(made.summary["planned_profit"])
    assert found.spend == pytest.approx(made.summary["spend"])
    honest = Market(20_000, 3)
    made = honest.send(holdout=0.2, exploration=0.05)
    found = read_out(made.log, honest.buy(made), margin=MARGIN, features=["before"])
    assert found.findings == ()
    assert (
        found.calibration.slope.lower < 1.0 < found.calibration.slope.upper + 0.1
    )  # scores with noise: a little below 1
    assert [row["arm"] for row in found.tidy()] == ["all", *ARMS]


def test_without_a_model_it_is_the_difference_of_two_off_policy_values():
    """The campaign itself against nothing, both by inverse propensities, from another module's estimator."""
    market = Market(3000, 11)
    made = market.send(exploration=0.3)
    bought = market.buy(made)
    arm, p = made.decided.choice + 1, made.decided.propensity
    row = np.arange(len(arm))

    def nothing(*_given):  # an outcome model that expects 0 of everybody
        return np.zeros(len(_given[3]))

    found = read_out(made.log, bought, margin=1.0, outcome_model=nothing)
    own = p[row, arm]
    as_run = off_policy_value(arm, bought["outcome"], own, p, method="ipw")
    none = off_policy_value(arm, bought["outcome"], own, np.zeros(len(arm), dtype=int), method="ipw", n_arms=3)
    wanted = len(arm) * (as_run.estimate.value - none.estimate.value) - made.summary["spend"]
    assert found.realised.value == pytest.approx(wanted, rel=1e-9)
    zero = np.zeros((len(arm), 3))
    scores = aipw_scores(arm, bought["outcome"], p, zero)
    assert gain_per_1000(scores, p).value * len(arm) / 1000 - found.spend == pytest.approx(wanted, rel=1e-9)


def test_what_was_logged_teaches_the_next_fit_without_bias():
    """The plan chose customers who spend more anyway; the logged propensities undo that, ignoring them does not."""
    market = Market(40_000, 5)
    made = market.send(holdout=0.1, exploration=0.2, budget=3000.0)
    bought = market.buy(made)
    truth = market.effect.mean(axis=0)
    frame = logged_sends(made.log).to_pandas()
    frame["outcome"] = bought["outcome"]
    frame["x"] = market.before
    known = {arm: f"propensity_{arm}" for arm in ("control", *ARMS)}
    declared = {"treatment": "arm", "outcome": "outcome", "control": "control", "features": ["x"]}
    data = Experiment(**declared, propensity=known).read(frame)
    scores = doubly_robust_scores(
        data.features, data.arm, data.outcome, propensity=data.propensity, outcome_model="linear"
    ).scores
    estimate = (scores[:, 1:] - scores[:, :1]).mean(axis=0)
    error = (scores[:, 1:] - scores[:, :1]).std(axis=0) / np.sqrt(len(scores))
    assert data.arm_names == ("control", *ARMS)
    assert np.abs((estimate - truth) / error).max() < 3.5
    shares = Experiment(**declared).read(frame)  # as if the arms had been drawn by their shares
    naive = np.array([shares.outcome[shares.arm == a].mean() - shares.outcome[shares.arm == 0].mean() for a in (1, 2)])
    assert np.abs((naive - truth) / error).max() > 10.0
    # the exploration slice alone says the same, with nobody held out
    inside = logged_sends(made.log, holdout=False).to_pandas().merge(frame[["customer_id", "outcome", "x"]])
    data = Experiment(**declared, propensity=known).read(inside)
    scores = aipw_scores(data.arm, data.outcome, data.propensity, np.zeros((len(inside), 3)))
    contrast = scores[:, 1:] - scores[:, :1]
    assert np.abs((contrast.mean(axis=0) - truth) / (contrast.std(axis=0) / np.sqrt(len(inside)))).max() < 3.5


def test_two_arms_take_the_logged_propensity_as_one_column():
    market = Market(2000, 6)
    one = market.scores.filter(pa.array([arm == "mail" for arm in market.scores["arm"].to_pylist()]))
    made = TargetList.build(one, "spring", on=ON, exploration=0.3)
    frame = logged_sends(made.log).to_pandas()
    frame["outcome"] = 1.0
    data = Experiment(
        treatment="arm", outcome="outcome", control="control", features=[], propensity="propensity_mail"
    ).read(frame)
    assert np.allclose(data.propensity, made.decided.propensity, rtol=0, atol=1e-12)


def test_real_costs_take_the_place_of_expected_ones():
    market = Market(2000, 8)
    made = market.send(holdout=0.2)
    bought = market.buy(made)
    sent = made.decided.choice >= 0
    twice = read_out(
        made.log, bought | {"paid": 2 * COST[np.maximum(made.decided.choice, 0)]}, margin=MARGIN, cost="paid"
    )
    once = read_out(made.log, bought, margin=MARGIN)
    assert once.spend == pytest.approx(made.summary["spend"])
    assert twice.spend == pytest.approx(2 * once.spend)
    assert twice.realised.value == pytest.approx(once.realised.value - once.spend)
    assert once.mailed == sent.sum()


def test_buyers_alone_need_absent_said():
    market = Market(500, 9)
    made = market.send(holdout=0.3)
    bought = pd.DataFrame({k: list(v) if k != "customer_id" else v.to_pylist() for k, v in market.buy(made).items()})
    some = bought[bought["outcome"] > 9.0]
    with pytest.raises(ContractError, match=r"outcomes lack .* customers, .* or absent=0"):
        read_out(made.log, some)
    filled = bought.assign(outcome=bought["outcome"].where(bought["outcome"] > 9.0, 0.0))
    assert read_out(made.log, some, absent=0.0).realised == read_out(made.log, filled).realised
    with pytest.raises(ContractError, match="fills 'outcome' alone"):
        read_out(made.log, some, absent=0.0, features=["before"])


def test_what_cannot_be_read_out_is_refused():
    market = Market(300, 10)
    bought = market.buy(market.send())
    with pytest.raises(ModelError, match=r"were certain to be mailed.*holdout or an exploration share"):
        read_out(market.send().log, bought)
    with pytest.raises(ModelError, match="mailed nobody"):
        read_out(market.send(budget=0.0, holdout=0.2).log, bought)
    log = market.send(holdout=0.2).log
    with pytest.raises(ContractError, match="no column 'outcom'; did you mean 'outcome'"):
        read_out(log, bought, outcome="outcom")
    doubled = {name: list(np.asarray(column)) * 2 for name, column in bought.items()}
    with pytest.raises(ContractError, match="more than once"):
        read_out(log, doubled)
    with pytest.raises(ContractError, match="missing or infinite for 1 customers"):
        read_out(log, bought | {"outcome": np.r_[np.nan, np.ones(299)]})


@pytest.mark.parametrize("kind", ["pandas", "path", "bare"])
def test_what_is_no_log_is_refused(kind, tmp_path):
    market = Market(300, 10)
    made = market.send(holdout=0.2)
    bought = market.buy(made)
    log = {
        "pandas": made.log.to_pandas(),
        "path": made.write_log(tmp_path),
        "bare": made.log.replace_schema_metadata(None),
    }[kind]
    with pytest.raises(ModelError, match=r"read_log\(path\)"):
        read_out(log, bought)
    with pytest.raises(ModelError, match=r"read_log\(path\)"):
        logged_sends(log)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"margin": "x"}, "margin is 'x'; it is a finite number"),
        ({"margin": float("nan")}, "margin is nan"),
        ({"absent": "0"}, "absent is '0'"),
        ({"level": 95}, "level is 95; it is a share between 0 and 1"),
        ({"seed": -1}, "seed is -1; it is a whole number"),
        ({"seed": "a"}, "seed is 'a'"),
        ({"features": "before"}, r"features is the text 'before'; give the columns as a list"),
    ],
)
def test_terms_that_are_none_are_refused(given, said):
    market = Market(300, 10)
    made = market.send(holdout=0.2)
    with pytest.raises(ModelError, match=said):
        read_out(made.log, market.buy(made), **given)


def test_outcomes_of_other_customers_are_no_outcomes():
    market = Market(300, 10)
    made = market.send(holdout=0.2)
    others = {"customer_id": ["x1", "x2"], "outcome": [1.0, 2.0]}
    with pytest.raises(ContractError, match=r"hold none of the 300 customers of the log \('x1' against 'c000000'\)"):
        read_out(made.log, others, absent=0.0)
    with pytest.raises(ContractError, match="outcomes have no rows"):
        read_out(made.log, {"customer_id": pa.array([], pa.string()), "outcome": []}, absent=0.0)


@pytest.mark.parametrize("value", [0.0, 7.5])
def test_outcomes_without_variance_are_blocking(value):
    market = Market(2000, 14)
    made = market.send(holdout=0.2)
    found = read_out(made.log, market.buy(made) | {"outcome": np.full(2000, value)}, margin=MARGIN)
    assert [(finding.code, finding.blocking) for finding in found.findings] == [("constant_outcome", True)]


def test_propensities_that_were_not_used_are_seen():
    """The mailer dropped a third of those it should have mailed, and the log does not know."""
    market = Market(6000, 12)
    made = market.send(holdout=0.2, exploration=0.1)
    choice = made.decided.choice.copy()
    choice[np.flatnonzero(choice >= 0)[::3]] = -1
    names = np.array(["control", *ARMS])
    arm = pa.array(names[choice + 1])
    log = made.log.set_column(made.log.schema.get_field_index("arm"), "arm", arm)
    log = log.replace_schema_metadata(made.log.schema.metadata)
    bought = market.buy(made)
    assert [finding.code for finding in read_out(log, bought, margin=MARGIN).findings] == ["propensities_off"]
    assert read_out(made.log, bought, margin=MARGIN).findings == ()
    few = Market(200, 13)
    made = few.send(holdout=0.2)
    found = read_out(made.log, few.buy(made), margin=MARGIN)
    assert [finding.code for finding in found.findings] == ["few_without_mail"]
