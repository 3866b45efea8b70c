"""What a campaign's verdict rests on, as tables of the snapshot: curves, checks, balance, the held-out customers."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..sql.errors import ContractError, ModelError
from ..sql.findings import Finding

if TYPE_CHECKING:
    from ..sql.campaign_settings import CampaignSettings
    from ..uplift.effects import Effects
    from ..uplift.evaluation_report import EvaluationReport
    from ..uplift.experiment import ExperimentData
    from .campaign_data import CampaignRows

Row = dict[str, Any]


def curve_rows(name: str, report: "EvaluationReport") -> list[Row]:
    """Return the gain of each ranking by share treated, in money per 1,000 customers, as ``campaign_curves`` has it."""
    return [
        {
            "campaign": name,
            "ranking": row["ranking"],
            "share": row["fraction"],
            "gain": row["gain_per_1000"],
            "lower": row["lower"],
            "upper": row["upper"],
        }
        for row in report.to_dict()["gain"]
        if row["unit"] == "value"
    ]


def holdout_columns(name: str, effects: "Effects", report: "EvaluationReport", holdout: Any) -> dict[str, Any]:
    """Return the columns of ``campaign_holdout``: of each held-out customer and arm the prediction and the score."""
    scored = report.scored
    n, k = scored.scores.shape[0], scored.scores.shape[1] - 1
    predicted = effects.predict(holdout)[scored.rows]
    cost = np.broadcast_to(scored.cost, (n, k))
    worth = np.broadcast_to(np.asarray(scored.value, dtype=np.float64), (n,))[:, None]
    judged = worth * (scored.scores[:, 1:] - scored.scores[:, :1]) - cost
    unit = np.arange(n)
    if scored.cluster is not None:
        unit = np.unique(scored.cluster, return_inverse=True)[1].ravel()
    return {
        "campaign": [name] * (n * k),
        "place": np.repeat(np.arange(1, n + 1), k),
        "arm": list(scored.arm_names[1:]) * n,
        "unit": np.repeat(unit + 1, k),
        "cost": cost.ravel(),
        "net_effect": (worth * predicted - cost).ravel(),
        "judged": judged.ravel(),
    }


def check_rows(
    name: str, campaign: "CampaignSettings", learnt: "CampaignRows | None", findings: Iterable[Finding]
) -> tuple[list[Row], list[Row]]:
    """Return the rows of ``campaign_findings`` and of ``campaign_balance``.

    Beside what was seen stand the two checks that every reader asks for, passed or not: the sample ratio where the
    arms were drawn at random, and the balance of what was known before the send.
    """
    data = _read(learnt)
    seen = list(dict.fromkeys(findings))
    rows = [
        {
            "code": finding.code,
            "passed": False,
            "blocking": finding.blocking,
            "overridden": finding.code in campaign.override,
            "seen": finding.seen,
            "advice": finding.advice,
            "p_value": None,
        }
        for finding in seen
    ]
    tested: list[Row] = []
    balance: list[Row] = []
    if learnt is not None and data is not None:
        logged = learnt.experiment.propensity is not None
        tested, balance = _tested(name, data, drawn=campaign.kind == "randomised", logged=logged)
    known = {row["code"]: row for row in rows}
    for row in tested:
        if row["code"] in known:
            known[row["code"]]["p_value"] = row["p_value"]
        else:
            rows.append(row)
    rows.sort(key=lambda row: (row["passed"], not row["blocking"], row["overridden"]))
    return [{"campaign": name, "place": place, **row} for place, row in enumerate(rows, start=1)], balance


def _read(learnt: "CampaignRows | None") -> "ExperimentData | None":
    if learnt is None:
        return None
    try:
        return learnt.experiment.read(learnt.frame)
    except (ModelError, ContractError):
        return None


def _tested(name: str, data: "ExperimentData", *, drawn: bool, logged: bool) -> tuple[list[Row], list[Row]]:
    from ..uplift.balance import covariate_balance, randomised_units, sample_ratio_test

    rows: list[Row] = []
    if drawn and not logged:
        seen = "No propensity was logged: the arms' planned shares are not known, and the sample ratio is not checked."
        advice = "Log in sends.propensity with which probability each customer's arm was drawn."
        rows.append(_passed("unplanned_shares", seen, np.nan) | {"passed": False, "advice": advice})
    elif drawn and data.propensity is not None:
        _, first = randomised_units(data.arm, data.cluster)
        counts = np.bincount(data.arm[first], minlength=data.n_arms)
        shares = data.propensity[first].mean(axis=0)
        if (shares > 0.0).all():
            ratio = sample_ratio_test(
                dict(zip(data.arm_names, counts.tolist(), strict=True)),
                dict(zip(data.arm_names, shares.tolist(), strict=True)),
            )
            told = ", ".join(f"{arm} {ratio.counts[arm]:,.0f} of {ratio.expected[arm]:,.0f}" for arm in data.arm_names)
            rows.append(_passed("sample_ratio_mismatch", f"Customers by arm, seen of planned: {told}.", ratio.p_value))
    if not data.features.shape[1] or np.bincount(data.arm, minlength=data.n_arms).min() < 2:
        return rows, []
    found = covariate_balance(data)
    apart = np.abs(np.where(np.isfinite(found.difference), found.difference, 0.0))
    _, j = np.unravel_index(int(apart.argmax()), apart.shape)
    largest = f"{found.features[j]} differs most, by {apart.max():.2f} standard deviations"
    if drawn:
        rows.append(_passed("unbalanced_feature", f"{_capital(largest)}.", found.joint_p_value))
    else:
        seen = f"Nobody drew the arms: {largest}, before customers are compared with counterparts alone."
        rows.append(_passed("arms_differ", seen, found.joint_p_value))
    return rows, _balance(name, found)


def _balance(name: str, found: Any) -> list[Row]:
    return [
        {
            "campaign": name,
            "arm": arm,
            "feature": feature,
            "mean_control": float(found.mean[0, j]),
            "mean_arm": float(found.mean[a + 1, j]),
            "difference": _finite(found.difference[a, j]),
            "p_value": _finite(found.p_value[j]),
        }
        for a, arm in enumerate(found.arms)
        for j, feature in enumerate(_distinct(found.features))
    ]


def _passed(code: str, seen: str, p_value: float) -> Row:
    return {
        "code": code,
        "passed": True,
        "blocking": False,
        "overridden": False,
        "seen": seen,
        "advice": "",
        "p_value": _finite(p_value),
    }


def _distinct(names: Sequence[str]) -> list[str]:
    """Names of encoded features, numbered where one stands twice: they identify a row."""
    seen: dict[str, int] = {}
    out = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        out.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return out


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _finite(number: Any) -> float | None:
    return float(number) if np.isfinite(number) else None
