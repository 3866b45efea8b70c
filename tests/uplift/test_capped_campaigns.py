"""A frequency cap and a holdout that stays: what is logged is what was drawn, campaign after campaign."""

from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest

from regulars.uplift.decision_log import logged_sends
from regulars.uplift.readout import read_out
from regulars.uplift.suppression import count_contacts
from regulars.uplift.target import TargetList, replay

ON = date(2026, 5, 4)
N, DRAWS = 3000, 60


class Shop:
    """Customers who gain more from a mail buy more without one, too: leaving out the mailed shifts every mean."""

    def __init__(self, seed: int):
        self.seed = seed
        self.rng = np.random.default_rng([11, seed])
        self.effect = self.rng.gamma(2, 1.0, N)
        self.base = 3 + 2 * self.effect
        self.scores = pa.table(
            {
                "customer_id": [f"{seed}-{i:05}" for i in range(N)],
                "arm": ["mail"] * N,
                "effect": self.effect,
                "net_effect": self.effect - 0.5,
                "cost": [0.5] * N,
            }
        )

    def send(self, day: date, **given) -> TargetList:
        rules = {"budget": 300.0, "holdout": 0.1, "exploration": 0.05, "seed": 2 * self.seed + day.day}
        return TargetList.build(self.scores, "spring", on=day, **rules | given)

    def week_after(self, **given) -> tuple[TargetList, TargetList]:
        first = self.send(ON)
        contacts = count_contacts(first.log, ON + timedelta(days=7), 30)
        return first, self.send(ON + timedelta(days=7), recent_contacts=contacts, **given)

    def buy(self, made: TargetList) -> np.ndarray:
        moved = np.where(made.decided.choice >= 0, self.effect, 0.0)
        return self.rng.poisson(self.base) + moved + self.rng.normal(0, 1, N)


@pytest.mark.parametrize("rules", [{"frequency_cap": 1}, {"fatigue": 0.5}])
def test_after_a_cap_intervals_cover_and_inverse_propensities_are_unbiased(rules):
    """Nominal 95%: of 60 draws three binomial standard errors below are 86.6%; counting sends alone covers 25%."""
    covered, errors, weighted, alarms, capped = [], [], [], 0, []
    for seed in range(DRAWS):
        shop = Shop(seed)
        _, made = shop.week_after(**rules)
        bought = shop.buy(made)
        found = read_out(made.log, {"customer_id": made.log["customer_id"], "outcome": bought})
        sent = made.decided.choice >= 0
        truth = float((shop.effect[sent] - 0.5).sum())
        covered.append(found.realised.lower <= truth <= found.realised.upper)
        errors.append(found.realised.value / truth - 1)
        alarms += any(finding.code == "propensities_off" for finding in found.findings)
        # the mean effect among whom either could have happened to, by inverse propensities alone
        rows = logged_sends(made.log).to_pandas()
        place = rows["customer_id"].str.split("-").str[1].astype(int).to_numpy()
        mail, nothing = rows["propensity_mail"].to_numpy(), rows["propensity_control"].to_numpy()
        both = (mail > 0) & (nothing > 0)
        got = (rows["arm"] == "mail").to_numpy()
        y = bought[place]
        treated, left = got & both, ~got & both
        estimate = np.average(y[treated], weights=1 / mail[treated]) - np.average(y[left], weights=1 / nothing[left])
        weighted.append(estimate - shop.effect[place[both]].mean())
        capped.append(made.summary["suppressed"])
    assert np.mean(covered) >= 0.866
    assert abs(np.mean(errors)) < 4 * np.std(errors) / DRAWS**0.5
    assert abs(np.mean(weighted)) < 4 * np.std(weighted) / DRAWS**0.5
    assert alarms <= 1
    assert (min(capped) > 500) == ("frequency_cap" in rules)


def test_of_whom_the_cap_strikes_and_of_whom_it_leaves_the_holdouts_share_is_held_out():
    """Binomial noise of 0.1 in 60,000 customers: 4 standard errors are below 0.016 for the fifth that is struck."""
    struck, left = [], []
    for seed in range(100, 120):
        shop = Shop(seed)
        first, made = shop.week_after(frequency_cap=1)
        suppressed = np.array([bool(text) for text in made.log["suppressed"].to_pylist()])
        struck.append(first.decided.held_out[suppressed])
        left.append(made.decided.held_out[~suppressed])
        assert not made.summary["notes"]
    for part in (np.concatenate(struck), np.concatenate(left)):
        assert abs(part.mean() - 0.1) < 4 * (0.09 / len(part)) ** 0.5


def test_what_was_intended_follows_plan_and_exploration(tmp_path):
    shop = Shop(1)
    made = shop.send(ON, exploration=0.4, holdout=0.5)
    held = made.decided.held_out
    assert np.array_equal(made.decided.intended[~held], made.decided.choice[~held])
    for planned in (0, -1):
        ghost = held & (made.decided.planned == planned)
        shown = ~held & (made.decided.planned == planned)
        share, expected = (made.decided.intended[ghost] == planned).mean(), 1 - 0.4 / 2
        assert abs(share - expected) < 4 * (0.16 / ghost.sum()) ** 0.5
        assert abs((made.decided.intended[shown] == planned).mean() - expected) < 4 * (0.16 / shown.sum()) ** 0.5
    told = {name: made.log[name].to_pylist() for name in ("why", "arm", "intended_arm")}
    assert {arm for why, arm in zip(told["why"], told["arm"], strict=True) if why == "holdout"} == {"control"}
    assert {a for why, a in zip(told["why"], told["intended_arm"], strict=True) if why == "holdout"} == {
        "control",
        "mail",
    }
    assert replay(made.write_log(tmp_path)).same
    quiet = shop.send(ON, suppression={"bounced": ["1-00000"]})
    assert quiet.log["intended_arm"][0].as_py() is None


def test_contacts_that_leave_out_the_holdout_are_noted_and_seen_in_the_read_out():
    shop = Shop(3)
    first = shop.send(ON)
    sent = dict.fromkeys(first.lines["customer_id"].to_pylist(), 1)
    made = shop.send(ON + timedelta(days=7), recent_contacts=sent, frequency_cap=1)
    (note,) = made.summary["notes"]
    assert "are in the holdout, and" in note
    assert "propensities are off" in note
    assert not shop.send(ON, recent_contacts=sent).summary["notes"]  # nothing depends on them
    found = read_out(made.log, {"customer_id": made.log["customer_id"], "outcome": shop.buy(made)})
    (finding,) = [each for each in found.findings if each.code == "propensities_off"]
    assert finding.blocking
    assert "frequency cap" in finding.advice
    both = count_contacts(first.log, ON + timedelta(days=7), 30)
    ghost = next(c for c, why in zip(first.log["customer_id"].to_pylist(), first.log["why"].to_pylist(), strict=True)
                 if why == "holdout" and c in both)  # fmt: skip
    again = shop.send(ON + timedelta(days=7), recent_contacts=both, frequency_cap=1)
    assert again.explain(ghost).endswith(
        "mailed recently. This customer is in the holdout: what counts is what campaigns would have sent."
    )
