"""The campaigns' part of a build: learn each configured campaign's effects, judge them on a holdout, score everybody.

A campaign that cannot be learnt from is a row that says why, never a build that fails.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from ..sql.contract import (
    CAMPAIGN_BALANCE,
    CAMPAIGN_CURVES,
    CAMPAIGN_EFFECTS,
    CAMPAIGN_FINDINGS,
    CAMPAIGN_HOLDOUT,
    CAMPAIGN_VALUES,
    UPLIFT_SCORES,
)
from ..sql.errors import ContractError, MissingExtraError, ModelError
from .campaign_data import CampaignRows, other_sends, read_campaign, rows_where, store_covariates, with_covariates
from .campaign_evidence import check_rows, curve_rows, holdout_columns

if TYPE_CHECKING:
    import pyarrow as pa

    from ..clv.btyd import BTYDModel
    from ..clv.gamma_gamma import GammaGammaModel
    from ..sql.campaign_settings import CampaignSettings
    from ..sql.pipeline import Pipeline
    from ..sql.settings import Settings
    from ..uplift.effects import Effects
    from ..uplift.evaluation_report import EvaluationReport

# What the numbers of a campaign depend on besides the rest of a build.
CODE = ("uplift", "app/campaign_data.py", "app/campaign_evidence.py", "app/campaigns.py", "app/long_term_value.py")
PACKAGES = ("causalml", "econml", "lightgbm", "scikit-learn")

# Scored at a time: what a block needs besides its scores stays below 200 MB.
_BLOCK = 250_000
_JUDGED_SHARE = 0.5


@dataclass(frozen=True)
class Campaign:
    """What a build makes of one campaign.

    ``rows`` are those of ``campaign_effects``, ``values`` those of ``campaign_values``; ``scores`` (in the shape of
    ``uplift_scores``), ``effects`` and ``report`` are None where it was refused; ``notes`` say what a reader must know;
    ``checks``, ``balance``, ``curves`` and ``holdout`` are what the verdict rests on.
    """

    name: str
    rows: list[dict[str, Any]]
    values: list[dict[str, Any]]
    scores: "pa.Table | None" = None
    effects: "Effects | None" = None
    report: "EvaluationReport | None" = None
    notes: tuple[str, ...] = ()
    checks: Sequence[dict[str, Any]] = ()
    balance: Sequence[dict[str, Any]] = ()
    curves: Sequence[dict[str, Any]] = ()
    holdout: "pa.Table | None" = None

    @property
    def sentence(self) -> str:
        """The verdict, or why there is none."""
        return self.rows[0]["sentence"]


def require_uplift(settings: "Settings") -> None:
    """Stop before anything is read where campaigns are configured and what learns from them is not installed.

    Raises
    ------
    MissingExtraError
        A package of the extra ``uplift`` is missing.
    """
    wanted = {"econml" if one.learner == "causal_forest" else "causalml" for one in settings.campaigns.values()}
    missing = [package for package in sorted(wanted | {"lightgbm"}) if wanted and find_spec(package) is None]
    if missing:
        raise MissingExtraError(
            f"[campaigns] are learnt from with {missing[0]}, which is not installed: pip install 'regulars[uplift]', "
            "or take the [campaigns] sections out of the settings"
        )


def learn_campaigns(
    pipeline: "Pipeline",
    settings: "Settings",
    step: Callable[[str], None] = lambda _: None,
    *,
    models: "tuple[BTYDModel, GammaGammaModel] | None" = None,
) -> list[Campaign]:
    """Learn from, judge and score every configured campaign.

    Parameters
    ----------
    pipeline : Pipeline
        Where the campaign queries run.
    settings : Settings
    step : callable
        Called with the name of each long step before it begins.
    models : tuple of BTYDModel and GammaGammaModel, optional
        Fitted models of orders and spend, by which short signals are valued.

    Returns
    -------
    list of Campaign
        In the order of their names.
    """
    if not settings.campaigns:
        return []
    covariates, notes = store_covariates(pipeline)
    candidates = candidate_features(pipeline, covariates)
    made = []
    for name in sorted(settings.campaigns):
        step(f"campaign {name}")
        made.append(_learn(pipeline, settings, name, candidates, covariates, notes, models))
        notes = ()
    return made


def campaign_tables(campaigns: list[Campaign]) -> dict[str, "pa.Table"]:
    """Return the snapshot's tables of all campaigns, by name."""
    import pyarrow as pa

    from ..sql.frames import contract_table

    rows = {
        CAMPAIGN_EFFECTS: [row for campaign in campaigns for row in campaign.rows],
        CAMPAIGN_CURVES: [row for campaign in campaigns for row in campaign.curves],
        CAMPAIGN_FINDINGS: [row for campaign in campaigns for row in campaign.checks],
        CAMPAIGN_BALANCE: [row for campaign in campaigns for row in campaign.balance],
        CAMPAIGN_VALUES: [row for campaign in campaigns for row in campaign.values],
    }
    by_customer = {
        CAMPAIGN_HOLDOUT: [campaign.holdout for campaign in campaigns],
        UPLIFT_SCORES: [campaign.scores for campaign in campaigns],
    }
    made = {
        table.name: contract_table(table, {name: [row[name] for row in listed] for name in table.column_names})
        for table, listed in rows.items()
    }
    for table, parts in by_customer.items():
        nobody = contract_table(table, {name: [] for name in table.column_names})
        made[table.name] = pa.concat_tables([nobody, *(part for part in parts if part is not None)])
    return made


def candidate_features(pipeline: "Pipeline", covariates: tuple[str, ...] | None = None) -> "pa.Table":
    """Return the features of every customer at the end of the as-of date, by customer_id: whom a campaign can go to."""
    if covariates is None:
        covariates, _ = store_covariates(pipeline)
    return with_covariates(pipeline, pipeline.run("campaign_features"), covariates)


def described(campaigns: list[Campaign]) -> dict[str, Mapping[str, Any]]:
    """Return what the manifest says of each campaign."""
    return {
        campaign.name: {
            "refused": campaign.effects is None,
            "decision": campaign.rows[0]["decision"],
            "sentence": campaign.sentence,
        }
        for campaign in campaigns
    }


# ---- one campaign ---------------------------------------------------------------------------------------------------


def _learn(
    pipeline: "Pipeline",
    settings: "Settings",
    name: str,
    candidates: "pa.Table",
    covariates: tuple[str, ...],
    notes: tuple[str, ...],
    models: "tuple[BTYDModel, GammaGammaModel] | None",
) -> Campaign:
    from ..sql.frames import contract_table
    from ..uplift.evaluation import evaluate
    from ..uplift.learners import fit_effects

    campaign = settings.campaign(name)
    learnt = None
    try:
        learnt = read_campaign(pipeline, campaign, covariates)
        held_out = split_by_hash(learnt.frame.column("customer_id").to_pylist(), learnt.frame.column("arm").to_pylist())
        train, holdout = learnt.frame.filter(rows_where(~held_out)), learnt.frame.filter(rows_where(held_out))
        arms = sorted(set(learnt.frame.column("arm").to_pylist()) - {campaign.control})
        terms = {
            "override": campaign.override,
            "seed": settings.build.seed,
            "threads": settings.build.threads,
        }
        effects = fit_effects(
            learnt.experiment,
            train,
            campaign.learner,
            cost={arm: campaign.offers[arm].cost if arm in campaign.offers else 0.0 for arm in arms},
            value=campaign.margin or 1.0,
            holdout=holdout,
            sends=other_sends(pipeline, campaign, learnt.frame),
            # the sends are those of others: none of them is to be taken for this one
            campaign=campaign.learn_from[0],
            as_of=pipeline.parameters["as_of"],
            **terms,
        )
        cost = expected_cost(effects, campaign, effects.response(holdout))
        report = evaluate(effects, holdout, cost=cost, placebo=False, **terms)
    except (ModelError, ContractError) as error:
        reason = _in_a_line(str(error))
        rows = _refused_rows(name, campaign, learnt, reason, settings.build.seed)
        values = [_nothing_of_value(name, campaign, "the campaign is refused")]
        said = (*notes, *(learnt.notes if learnt else ()))
        checks, balance = check_rows(name, campaign, learnt, getattr(error, "findings", ()))
        return Campaign(name, rows, values, notes=said, checks=checks, balance=balance)
    found = [finding for finding in (*effects.findings, *report.findings) if finding.code != "constant_features"]
    findings = dict.fromkeys(str(finding) for finding in found)
    said = [*notes, *learnt.notes, *(f"campaign {name}: {finding}" for finding in findings)]
    scores = _score(effects, campaign, name, candidates)
    rows = report.campaign_effects(name, campaign.window_days)
    values = _values(pipeline, settings, name, learnt, models)
    checks, balance = check_rows(name, campaign, learnt, found)
    return Campaign(
        name,
        rows,
        values,
        scores,
        effects,
        report,
        tuple(said),
        checks=checks,
        balance=balance,
        curves=curve_rows(name, report),
        holdout=contract_table(CAMPAIGN_HOLDOUT, holdout_columns(name, effects, report, holdout)),
    )


def _values(
    pipeline: "Pipeline",
    settings: "Settings",
    name: str,
    learnt: CampaignRows,
    models: "tuple[BTYDModel, GammaGammaModel] | None",
) -> list[dict[str, Any]]:
    from .long_term_value import long_term_value

    campaign = settings.campaign(name)
    if models is None:
        return [_nothing_of_value(name, campaign, "there are no models of orders and spend")]
    try:
        found = long_term_value(pipeline, settings, campaign, learnt.frame, learnt.experiment, *models)
    except ModelError as error:
        return [_nothing_of_value(name, campaign, _in_a_line(str(error)))]
    return [
        {
            "campaign": name,
            "arm": arm,
            "window_days": campaign.window_days,
            "horizon_days": found.horizon_days,
            "customers": found.customers,
            "effect": row.effect.value,
            "lower": row.effect.lower,
            "upper": row.effect.upper,
            "by_the_models": row.on_the_index.value,
            "correction": row.correction.value,
            "reason": "",
        }
        for arm, row in zip(found.arm_names, found.effects.arms, strict=True)
    ]


def _nothing_of_value(name: str, campaign: "CampaignSettings", reason: str) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(CAMPAIGN_VALUES.column_names)
    return row | {"campaign": name, "arm": "", "window_days": campaign.window_days, "reason": reason}


def split_by_hash(units: list[str], arms: list[str], share: float = _JUDGED_SHARE) -> np.ndarray:
    """Mark the rows on which effects are judged, within arms and the same at every build; shape (n,).

    All rows of a customer go the same way; the arm is that of his first row.

    Examples
    --------
    >>> split_by_hash(["ann", "bob", "cid", "dot", "ann"], ["no", "no", "mail", "mail", "mail"]).tolist()
    [True, False, False, True, True]
    """
    from ..uplift.design import unit_interval

    names, first, row = np.unique(np.array(units, dtype=np.str_), return_index=True, return_inverse=True)
    place = unit_interval(names.tolist(), "judge effects")
    own = np.array(arms, dtype=np.str_)[first]
    judged = np.zeros(len(names), dtype=np.bool_)
    for arm in np.unique(own):
        members = np.flatnonzero(own == arm)
        members = members[np.argsort(place[members], kind="stable")]
        judged[members[: round(share * len(members))]] = True
    return judged[row]


def expected_cost(effects: "Effects", campaign: "CampaignSettings", response: np.ndarray) -> np.ndarray:
    """Return what giving each arm to each customer is expected to cost, (n, k), in money.

    ``response`` (n,) is the revenue expected with an arm, of which an offer may cost a share.
    """
    offers = [campaign.offers.get(arm) for arm in effects.arm_names[1:]]
    share = np.array([offer.cost_share if offer else 0.0 for offer in offers])
    return effects.cost + np.maximum(response, 0.0)[:, None] * share


def _score(effects: "Effects", campaign: "CampaignSettings", name: str, candidates: "pa.Table") -> "pa.Table":
    import pyarrow as pa

    from ..sql.frames import contract_table

    blocks = []
    for start in range(0, candidates.num_rows, _BLOCK):
        block = candidates.slice(start, _BLOCK)
        effect, response = effects.predict(block), effects.response(block)
        cost = expected_cost(effects, campaign, response)
        for a, arm in enumerate(effects.arm_names[1:]):
            columns = {
                "campaign": name,
                "customer_id": block.column("customer_id"),
                "arm": arm,
                "effect": effect[:, a],
                "response": response,
                "cost": cost[:, a],
                "net_effect": effects.value * effect[:, a] - cost[:, a],
                "model_version": effects.model_version,
            }
            blocks.append(contract_table(UPLIFT_SCORES, columns))
    return pa.concat_tables(blocks)


def _refused_rows(
    name: str, campaign: "CampaignSettings", learnt: CampaignRows | None, reason: str, seed: int
) -> list[dict[str, Any]]:
    row: dict[str, Any] = dict.fromkeys(CAMPAIGN_EFFECTS.column_names)
    row |= {
        "campaign": name,
        "arm": "",
        "control": campaign.control,
        "kind": campaign.kind,
        "outcome": campaign.outcome,
        "window_days": campaign.window_days,
        "decision": "",
        "ranking": "",
        "sentence": reason,
        "refused": True,
        "model_version": "",
    }
    found = _overlap_by_arm(learnt, seed) if learnt else []
    return [row | one for one in found] or [row]


def _overlap_by_arm(learnt: CampaignRows, seed: int) -> list[dict[str, Any]]:
    from ..uplift.nuisances import cross_fit_propensities
    from ..uplift.scores import overlap_region

    try:
        data = learnt.experiment.read(learnt.frame)
    except (ModelError, ContractError):
        return []
    kept = None
    if data.propensity is not None:
        kept = np.ones(len(data.arm), dtype=np.bool_)
    elif np.bincount(data.arm).min() > 1 and data.features.shape[1]:
        kept = overlap_region(cross_fit_propensities(data.features, data.arm, data.n_arms, seed=seed)).kept
    rows = []
    for a, arm in enumerate(data.arm_names[1:], start=1):
        compared = (data.arm == 0) | (data.arm == a)
        overlap = None if kept is None else float(kept[compared].mean())
        counts = {"customers": int(compared.sum()), "treated": int((data.arm == a).sum())}
        rows.append({"arm": arm, **counts, "overlap": overlap})
    return rows


def _in_a_line(text: str) -> str:
    return " ".join(line.strip().removeprefix("- ") for line in text.splitlines() if line.strip())
