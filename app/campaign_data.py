"""What a campaign is learnt from: its customers' features, arms and outcomes as one table, and how to read it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..sql.contract import CUSTOMERS, SENDS
from ..sql.decided_sends import RAW_DECISIONS
from ..sql.engine import QueryError
from ..sql.errors import ModelError, nearest
from ..sql.mapping import quoted

if TYPE_CHECKING:
    import pyarrow as pa

    from ..sql.campaign_settings import CampaignSettings
    from ..sql.engine import Engine
    from ..sql.pipeline import Pipeline
    from ..uplift.experiment import Experiment

_OUTCOME_KINDS = {"revenue": None, "orders": "count", "ordered": "binary"}
_PROPENSITY = "propensity of "
_NOT_FEATURES = frozenset({"customer_id", "arm", "sent_on", "revenue", "orders", "ordered", "propensity"})
_COVARIATE_TYPES = ("VARCHAR", "BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "FLOAT", "DOUBLE", "DECIMAL")
# A text or number with a value of its own for most customers names them: an address, a card, a phone.
_MOST_DISTINCT = 0.5
_COVARIATES = "campaign_covariates"
_ADDRESS_NAME = re.compile(r"(.*[-_ ])?e[-_ ]?mail([-_ ]?addr(ess)?)?", re.IGNORECASE)


class CampaignRefused(ModelError):
    """A campaign cannot be learnt from; the text says why and what to do."""


@dataclass
class CampaignRows:
    """The rows that a campaign learns from, how to read them, and what was left out on the way."""

    frame: "pa.Table"
    experiment: "Experiment"
    notes: list[str] = field(default_factory=list)


def read_campaign(pipeline: "Pipeline", campaign: "CampaignSettings", covariates: tuple[str, ...]) -> CampaignRows:
    """Return the rows of the campaigns that one learns from.

    Parameters
    ----------
    pipeline : Pipeline
        Where the campaign queries run.
    campaign : CampaignSettings
        With ``learn_from`` filled in.
    covariates : tuple of str
        As `store_covariates` returned them.

    Raises
    ------
    CampaignRefused
        Nobody was sent anything, no window is over, or propensities are not what they should be.
    """
    import pyarrow as pa

    from ..uplift.experiment import Experiment

    parts, left_out, notes = [], [], []
    given = {source: _given(pipeline, campaign, source) for source in campaign.learn_from}
    _require_offers(campaign, given)
    for source, everyone in given.items():
        outcomes, others = _closed(pipeline, campaign, source, everyone, notes)
        left_out.append(others)
        terms = _terms(campaign, source)
        features = with_covariates(pipeline, pipeline.run("campaign_features", **terms), covariates)
        features = features.filter(_compute().is_in(features["customer_id"], outcomes["customer_id"].combine_chunks()))
        for column in ("arm", "sent_on", "revenue", "orders", "ordered", "propensity"):
            features = features.append_column(column, outcomes[column])
        parts.append(features)
    known = [column for column in parts[0].column_names if column not in _NOT_FEATURES]
    arms = sorted(set(pa.chunked_array([c for part in parts for c in part["arm"].chunks]).to_pylist()))
    if campaign.control in arms and len(arms) > 1:
        others = [arm for arm in arms if arm != campaign.control]
        parts = [
            _with_propensities(pipeline, part, [campaign.control, *others], away, campaign, source, notes)
            for part, away, source in zip(parts, left_out, campaign.learn_from, strict=True)
        ]
    frame = pa.concat_tables(parts)
    sent = frame["sent_on"].cast(pa.timestamp("us"))
    until = _compute().add(sent, pa.scalar(campaign.window_days * 86_400_000_000, pa.duration("us")))
    frame = frame.append_column("sent_at", sent).append_column("outcome_until", until)
    frame = frame.set_column(
        frame.column_names.index(campaign.outcome), campaign.outcome, frame[campaign.outcome].cast(pa.float64())
    )
    repeated = _compute().count_distinct(frame["customer_id"]).as_py() < frame.num_rows
    logged = campaign.kind == "randomised" and any(name.startswith(_PROPENSITY) for name in frame.column_names)
    experiment = Experiment(
        treatment="arm",
        outcome=campaign.outcome,
        control=campaign.control,
        features=known,
        kind=campaign.kind,
        propensity={arm: f"{_PROPENSITY}{arm}" for arm in arms} if logged else None,
        outcome_kind=_OUTCOME_KINDS[campaign.outcome],
        cluster="customer_id" if repeated else None,
        sent_at="sent_at",
        outcome_until="outcome_until",
    )
    return CampaignRows(frame, experiment, notes)


def _terms(campaign: "CampaignSettings", source: str) -> dict[str, str]:
    unsent = "control" if campaign.rest_is_control else "left_out"
    return {"campaign": source, "control": campaign.control, "unsent": unsent}


def _given(pipeline: "Pipeline", campaign: "CampaignSettings", source: str) -> "pa.Table":
    """Return the outcomes of everybody of a campaign, by customer_id."""
    outcomes = pipeline.run("campaign_outcomes", window_days=campaign.window_days, **_terms(campaign, source))
    outcomes = outcomes.sort_by("customer_id")
    as_of = pipeline.parameters["as_of"]
    if not outcomes.num_rows:
        seen = pipeline.engine.query(
            "SELECT DISTINCT campaign FROM sends WHERE campaign IS NOT NULL ORDER BY campaign LIMIT 20"
        )
        known = ", ".join(seen["campaign"].to_pylist()) or "none"
        raise CampaignRefused(
            f"sends holds nobody of campaign {source!r} up to {as_of}; it holds {known}: name one of them in "
            "learn_from, or wait until this one was sent"
        )
    return outcomes


def _require_offers(campaign: "CampaignSettings", given: Mapping[str, "pa.Table"]) -> None:
    """Refuse offers of an arm that nobody got: mistyped, or not tried yet."""
    arms = sorted({arm for outcomes in given.values() for arm in outcomes["arm"].unique().to_pylist()})
    unknown = [arm for arm in campaign.offers if arm not in arms]
    if unknown:
        raise CampaignRefused(
            f"offers.{unknown[0]}: nobody of campaign {', '.join(map(repr, given))} got arm {unknown[0]!r}"
            f"{nearest(unknown[0], arms)}; sends holds {', '.join(map(repr, arms))}. Name an arm as it is in sends; "
            "leave out an offer until it was tried"
        )


def _closed(
    pipeline: "Pipeline", campaign: "CampaignSettings", source: str, outcomes: "pa.Table", notes: list[str]
) -> tuple["pa.Table", "pa.Table"]:
    """Return the outcomes of customers whose arm is looked at and whose window is over, and those of other arms."""
    as_of = pipeline.parameters["as_of"]
    wanted = {campaign.control, *campaign.offers} if campaign.offers else set(outcomes["arm"].to_pylist())
    inside = _compute().is_in(outcomes["arm"], _texts(wanted))
    looked_at, others = outcomes.filter(inside), outcomes.filter(_compute().invert(inside))
    if looked_at.num_rows < outcomes.num_rows:
        left = outcomes.num_rows - looked_at.num_rows
        notes.append(f"{left:,} customers of {source} with an arm that is neither control nor in offers are left out")
    closed = looked_at.filter(_compute().is_valid(looked_at["revenue"]))
    if looked_at.num_rows and not closed.num_rows:
        first = _compute().min(looked_at["sent_on"]).as_py()
        raise CampaignRefused(
            f"the outcome window of campaign {source!r} is not over: {campaign.window_days} days from {first}, and the "
            f"data end on {as_of}; wait, or give a shorter window_days"
        )
    if closed.num_rows < looked_at.num_rows:
        notes.append(
            f"{looked_at.num_rows - closed.num_rows:,} customers of {source} whose window is not over are left out"
        )
    return closed, others


def _with_propensities(
    pipeline: "Pipeline",
    part: "pa.Table",
    arms: list[str],
    left_out: "pa.Table",
    campaign: "CampaignSettings",
    source: str,
    notes: list[str],
) -> "pa.Table":
    """Return a campaign's rows with the probability of every arm, where one was logged or several are pooled.

    Our own logs hold every arm's. Of other sends only the own arm's probability is known: with one arm beside control
    the other is what is left; with several, each arm's must be the same for everybody, or the rest is not known.
    Arms that are not looked at (``left_out``) take their share away first: the others' sum to 1 again.
    """
    import pyarrow as pa

    if campaign.kind != "randomised":
        return part
    logged = part["propensity"].to_numpy(zero_copy_only=False).astype(np.float64)
    if np.isnan(logged).all() and len(campaign.learn_from) == 1:
        return part
    certain = (logged <= 0.0) | (logged >= 1.0)
    if certain.any():
        part, logged = part.filter(rows_where(~certain)), logged[~certain]
        notes.append(f"{int(certain.sum()):,} customers whose arm was certain are left out: nobody compares with them")
    if not part.num_rows:
        raise CampaignRefused(
            f"campaign {source!r}: every customer's arm was certain, so that nobody can be compared with anybody; "
            "explore with some probability next time, or log the probabilities that were not 0 or 1"
        )
    matrix = _decided(pipeline, part, arms, source)
    if matrix is None:
        every = [*arms, *sorted(set(left_out["arm"].to_pylist()) - set(arms))]
        code = {arm: a for a, arm in enumerate(every)}
        own = np.array([code[arm] for table in (part, left_out) for arm in table["arm"].to_pylist()], dtype=np.int64)
        away = left_out["propensity"].to_numpy(zero_copy_only=False).astype(np.float64)
        matrix = propensity_of_each_arm(own, np.concatenate([logged, away]), len(every))
        matrix = matrix[: part.num_rows, : len(arms)]
    possible: np.ndarray = np.asarray((matrix > 0.0).all(axis=1))
    if not possible.any():
        raise CampaignRefused(
            f"campaign {source!r}: nobody could have got every one of the arms {', '.join(map(repr, arms))}; name in "
            "offers those that one customer could have got"
        )
    if not possible.all():
        part, matrix = part.filter(rows_where(possible)), matrix[possible]
        notes.append(f"{int((~possible).sum()):,} customers of {source} who could not have got every arm are left out")
    matrix = matrix / matrix.sum(axis=1, keepdims=True)
    for a, arm in enumerate(arms):
        part = part.append_column(f"{_PROPENSITY}{arm}", pa.array(matrix[:, a]))
    return part


def _decided(pipeline: "Pipeline", part: "pa.Table", arms: list[str], source: str) -> np.ndarray | None:
    """Return every arm's probability, (n, k + 1), where our own logs have all of these rows; None otherwise."""
    engine = pipeline.engine
    columns = [f"propensity_{arm}" for arm in arms]
    try:
        if not set(columns) <= set(engine.columns(RAW_DECISIONS)):
            return None
    except QueryError:  # nothing was decided yet
        return None
    shown = ", ".join(f"CAST({quoted(name)} AS DOUBLE)" for name in columns)
    decided = engine.query(
        f"SELECT coalesce(links.customer_id, decided.customer_id) AS customer_id, "
        f"CAST(decided.sent_at AS DATE) AS sent_on, decided.arm, [{shown}] AS propensities "
        f"FROM {RAW_DECISIONS} AS decided LEFT JOIN resolved_customer_links AS links "
        "ON decided.customer_id = links.old_id WHERE decided.campaign = $campaign AND decided.arm IS NOT NULL",
        {"campaign": source},
    )
    key = ("customer_id", "sent_on", "arm")
    known = dict(
        zip(zip(*(decided[n].to_pylist() for n in key), strict=True), decided["propensities"].to_pylist(), strict=True)
    )
    found = [known.get(row) for row in zip(*(part[n].to_pylist() for n in key), strict=True)]
    if any(each is None or None in each for each in found):
        return None
    return np.array(found, dtype=np.float64)


def propensity_of_each_arm(own: np.ndarray, logged: np.ndarray, n_arms: int) -> np.ndarray:
    """Return the probability of each arm for each customer, (n, k + 1), from what was logged.

    Parameters
    ----------
    own : ndarray of shape (n,), int
        Arm of each customer, 0 is control.
    logged : ndarray of shape (n,)
        Probability of his own arm, NaN where none was logged.
    n_arms : int

    Raises
    ------
    CampaignRefused
        The arms' probabilities do not add up to 1, or differ between customers with several arms beside control: those
        of the arms a customer did not get are then not known.

    Examples
    --------
    >>> propensity_of_each_arm(np.array([0, 1]), np.array([0.75, np.nan]), 2).tolist()
    [[0.75, 0.25], [0.75, 0.25]]
    """
    n, row = len(own), np.arange(len(own))
    shares = np.bincount(own, minlength=n_arms) / max(n, 1)
    known = ~np.isnan(logged)
    by_arm = [logged[known & (own == a)] for a in range(n_arms)]
    if all(len(each) == 0 or np.ptp(each) < 1e-12 for each in by_arm):
        fixed = np.array([each[0] if len(each) else np.nan for each in by_arm])
        if np.isnan(fixed).any():  # what no row says is left to the arms nobody logged, by their shares
            gap = np.isnan(fixed)
            fixed[gap] = max(1.0 - np.nansum(fixed), 0.0) * shares[gap] / max(shares[gap].sum(), 1e-300)
        if abs(fixed.sum() - 1.0) < 1e-6 or not known.any():
            return np.tile(fixed / fixed.sum(), (n, 1))
        raise CampaignRefused(
            f"the logged propensities of the arms are {', '.join(f'{p:.4g}' for p in fixed)} and add up to "
            f"{fixed.sum():.4g}, not to 1; log the probability with which each arm was really drawn"
        )
    if n_arms > 2:
        raise CampaignRefused(
            "the logged propensities differ between customers and there are several arms: sends holds the probability "
            "of each customer's own arm only, and those of the others cannot be told. Log every arm's, as our own "
            "decisions do, or have them estimated: kind = 'observational'"
        )
    matrix = np.tile(shares, (n, 1))
    matrix[row[known], own[known]] = logged[known]
    matrix[row[known], 1 - own[known]] = 1.0 - logged[known]
    return matrix


def other_sends(pipeline: "Pipeline", campaign: "CampaignSettings", frame: "pa.Table") -> "pa.Table | None":
    """Return what other campaigns sent while the outcomes of this one were counted."""
    first, last = _compute().min(frame["sent_at"]).as_py(), _compute().max(frame["outcome_until"]).as_py()
    sends = pipeline.engine.query(
        f"SELECT {', '.join(SENDS.column_names)} FROM sends WHERE arm IS NOT NULL AND sent_at >= $first "
        "AND sent_at < $last ORDER BY ALL",
        {"first": first, "last": last},
    )
    sends = sends.filter(_compute().invert(_compute().is_in(sends["campaign"], _texts(campaign.learn_from))))
    return sends if sends.num_rows else None


# ---- covariates -----------------------------------------------------------------------------------------------------


def store_covariates(pipeline: "Pipeline") -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Store what ``customers`` says of each customer besides the contract; return the columns, and notes on others."""
    engine = pipeline.engine
    further = {n: t for n, t in engine.columns("customers").items() if n not in CUSTOMERS.column_names}
    kept = [name for name, type_ in further.items() if type_.startswith(_COVARIATE_TYPES)]
    left = {name: f"is {further[name]}" for name in further if name not in kept}
    addresses = [name for name in kept if _holds_addresses(engine, name, further[name])]
    left |= dict.fromkeys(addresses, "holds e-mail addresses, which no model reads")
    kept = [name for name in kept if name not in addresses]
    if kept:
        counts = ", ".join(f"count(DISTINCT {_quoted(n)}) AS {_quoted(n)}" for n in kept)
        (seen,) = engine.query(f"SELECT {counts}, count(*) AS {_quoted(_COVARIATES)} FROM customers").to_pylist()
        named = [n for n in kept if _is_name(further[n]) and seen[n] > _MOST_DISTINCT * seen[_COVARIATES] > 50]
        left |= dict.fromkeys(named, "has a value of its own for most customers")
        kept = [name for name in kept if name not in named]
    if kept:
        pipeline.make("resolved_customer_links")
        columns = ", ".join(f"{_typed(n, further[n])} AS {_quoted(_feature_name(n))}" for n in kept)
        order = ", ".join(_quoted(n) for n in kept)
        engine.materialize(
            _COVARIATES,
            "SELECT * EXCLUDE (place) FROM (SELECT coalesce(l.customer_id, c.customer_id) AS customer_id, "
            f"{columns}, row_number() OVER (PARTITION BY coalesce(l.customer_id, c.customer_id) ORDER BY "
            f"l.old_id IS NOT NULL, c.customer_id, {order}) AS place FROM customers AS c "
            "LEFT JOIN resolved_customer_links AS l ON c.customer_id = l.old_id) AS numbered WHERE place = 1",
        )
    notes = tuple(f"customers.{name} is no feature of campaigns: it {why}" for name, why in sorted(left.items()))
    return tuple(_feature_name(name) for name in kept), notes


def _holds_addresses(engine: "Engine", name: str, type_: str) -> bool:
    if _ADDRESS_NAME.fullmatch(name):
        return True
    some = f"SELECT 1 AS one FROM customers WHERE {_quoted(name)} LIKE '%_@_%' LIMIT 1"
    return type_ == "VARCHAR" and engine.query(some).num_rows > 0


def with_covariates(pipeline: "Pipeline", features: "pa.Table", covariates: tuple[str, ...]) -> "pa.Table":
    """Return features and covariates by customer_id."""
    features = features.sort_by("customer_id")
    if not covariates:
        return features
    engine = pipeline.engine
    engine.register("campaign_customers", features.select(["customer_id"]))
    columns = ", ".join(f"v.{_quoted(name)}" for name in covariates)
    found = engine.query(
        f"SELECT c.customer_id, {columns} FROM campaign_customers AS c LEFT JOIN {_COVARIATES} AS v "
        "ON c.customer_id = v.customer_id ORDER BY c.customer_id"
    )
    for name in covariates:
        features = features.append_column(name, found[name])
    return features


def _feature_name(column: str) -> str:
    return f"customer {column}"


def _is_name(type_: str) -> bool:
    return type_ == "VARCHAR" or type_.endswith("INT") or type_ == "INTEGER"


def _typed(name: str, type_: str) -> str:
    return f"CAST(c.{_quoted(name)} AS DOUBLE)" if type_.startswith("DECIMAL") else f"c.{_quoted(name)}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _texts(values: Any) -> "pa.Array":
    import pyarrow as pa

    return pa.array(sorted(values), pa.string())


def rows_where(rows: np.ndarray) -> "pa.Array":
    """Return a mask as Arrow's filters take it."""
    import pyarrow as pa

    return pa.array(rows)


def _compute() -> Any:
    # its functions are made when it is imported: a type checker finds none of them
    import pyarrow.compute

    return pyarrow.compute
