"""Who counts as held out when sends are judged: whom a log of decisions says so of, and nobody who was not chosen."""

from datetime import date

import numpy as np
import pandas as pd

from regulars.uplift.experiment import Experiment
from regulars.uplift.send_times import judge_sends
from regulars.uplift.target import TargetList

ON = date(2026, 5, 4)
N = 400
EXP = Experiment(treatment="arm", outcome="outcome", control="control")


def findings(log: pd.DataFrame, holdout: pd.DataFrame, reached: list[str], by: str):
    frame = log.dropna(subset=["arm"])[["customer_id", "arm"]].assign(outcome=np.arange(float(len(log))))
    sends = pd.DataFrame({"customer_id": reached, "campaign": by, "arm": "mail", "sent_at": pd.Timestamp(ON)})
    found = judge_sends(EXP, frame, EXP.read(frame), sends, campaign="spring", holdout=holdout)
    return [finding for finding in found if finding.code == "holdout_contaminated"]


def made_log() -> pd.DataFrame:
    worth = np.linspace(-1, 1, N)
    rows = {"customer_id": [f"c{i:03}" for i in range(N)], "arm": ["mail"] * N, "effect": worth, "net_effect": worth}
    return TargetList.build(rows | {"cost": [0.1] * N}, "spring", on=ON, holdout=0.2).log.to_pandas()


def test_of_a_log_only_the_held_out_are_the_holdout():
    log = made_log()
    not_chosen = log.loc[log["why"] == "not chosen", "customer_id"].tolist()[:5]
    held_out = log.loc[log["why"] == "holdout", "customer_id"].tolist()
    assert findings(log, log, not_chosen, "news") == []
    (finding,) = findings(log, log, [*not_chosen, *held_out[:3]], "news")
    assert finding.seen.startswith(f"3 of {len(held_out)} held-out customers were sent something")


def test_control_to_be_judged_on_is_not_called_holdout():
    log = made_log()
    judged = log[["customer_id", "arm"]].tail(200)
    control = judged.loc[judged["arm"] == "control", "customer_id"].tolist()
    assert findings(log, judged, control[:4], "news") == []  # other campaigns may reach it
    (finding,) = findings(log, judged, control[:4], "spring")
    assert finding.seen.startswith(f"4 of {len(control)} customers to judge the effects on who are 'control'")
    assert "held-out" not in str(finding)
    assert "Take the arm that was assigned" in finding.advice
