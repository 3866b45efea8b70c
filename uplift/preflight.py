"""What is checked before any fit: that the frame is what the declaration says, and that an effect can be learnt.

Each check returns findings; a blocking one stops the fit unless it is overridden by name.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np

from ..sql.errors import ModelError, nearest
from ..sql.findings import Finding
from ..sql.frames import columns_of
from .arguments import whole_number
from .balance import LEVEL, chi_square, randomised_units, sample_ratio_test
from .experiment import Experiment, ExperimentData
from .features import CategoricalFeature
from .leakage import feature_columns, find_leaks, midranks
from .nuisances import cross_fit_propensities
from .scores import overlap_region
from .send_times import ids_of, judge_sends, judge_times

LEAST_CUSTOMERS, FEW_CUSTOMERS = 30, 200
LEAST_EVENTS, FEW_EVENTS = 10, 30
LEAST_CLUSTERS, FEW_CLUSTERS = 4, 20
SURE = 0.01  # a propensity nearer to 0 or 1 gives a customer the weight of a hundred
_MOST_ROWS = 50_000  # enough to see a lack of overlap

CODES: Mapping[str, str] = {
    "arm_missing_in_holdout": "the holdout lacks an arm",
    "cluster_split": "customers of a cluster have different arms",
    "constant_features": "features hold one value",
    "constant_outcome": "the outcome is one value",
    "contaminated_control": "what was sent is not what the frame says",
    "determines_outcome": "a feature, or several together, settle the outcome",
    "extreme_propensity": "an arm was almost certain",
    "few_clusters": "intervals will be wide",
    "few_customers": "intervals will be wide",
    "few_events": "intervals will be wide",
    "holdout_contaminated": "held-out customers were sent something",
    "holdout_duplicated": "a held-out customer has several rows",
    "holdout_in_training": "held-out customers are learnt from",
    "low_overlap": "some customers have no counterpart in another arm",
    "measured_after_send": "features are later than the send",
    "measured_by_arm": "features were measured at other times in one arm",
    "missing_by_arm": "a feature is missing more often in one arm",
    "names_the_arm": "a feature follows from what was sent",
    "names_the_customer": "a feature is an id",
    "outcome_in_one_arm": "an arm has no outcomes at all",
    "propensity_mismatch": "arms do not follow the logged propensities",
    "sample_ratio_mismatch": "arms do not have the planned shares",
    "suspiciously_predictive": "a feature tells almost all of the outcome's size",
    "too_few_clusters": "nothing can be said of an arm with so few clusters",
    "too_few_customers": "nothing can be learnt from so few",
    "too_few_events": "nothing can be learnt from so few outcomes",
    "two_rows_per_customer": "a customer has several rows",
    "unbalanced_feature": "a feature differs between arms beyond chance",
    "window_before_send": "the outcome window begins before the send",
    "window_by_arm": "the outcome windows of the arms have other lengths",
    "window_not_closed": "the outcome window is not over",
    "window_overlaps_campaign": "another campaign was sent within the outcome window",
    "window_reversed": "the outcome window ends before it begins",
}


class PreflightError(ModelError):
    """A blocking finding stands in the way of a fit.

    Examples
    --------
    >>> require_clean([Finding("low_overlap", True, "Nobody like them was mailed.", "Leave them out.")])
    Traceback (most recent call last):
    regulars.uplift.preflight.PreflightError: ...Nobody like them was mailed...

    ``findings`` holds those that stand in the way, and all others that were seen.
    """

    findings: tuple[Finding, ...] = ()


def preflight(
    exp: Experiment,
    frame: Any,
    *,
    holdout: Any = None,
    sends: Any = None,
    campaign: str | None = None,
    as_of: date | datetime | None = None,
    level: float = LEVEL,
    seed: int = 0,
) -> list[Finding]:
    """Check an experiment or campaign before anything is fitted to it.

    Parameters
    ----------
    exp : Experiment
        Times, clusters and propensities are checked as far as it names them.
    frame : frame or mapping
        A row per customer.
    holdout : frame or sequence, optional
        Customers kept out: a frame with the treatment column (the part to be evaluated on), or a frame or sequence of
        ids alone (never to be sent anything).
    sends : frame, optional
        What was sent, by this and other campaigns: ``customer_id, campaign, arm, sent_at`` as in the contract.
    campaign : str, optional
        Name of this campaign in ``sends``. Without it: the one whose sends are at the frame's ``sent_at``, or which
        nearly all of the treated got.
    as_of : date or datetime, optional
        Last moment the data know of; the clock without it. Only asked of ``outcome_until``.
    level : float
        Of each family of tests; .0005 as the field takes for sample ratios.
    seed : int
        Of the folds of the propensity model (observational).

    Returns
    -------
    list of Finding
        Blocking ones first; empty where nothing was seen. Their codes are the keys of ``CODES``.

    Raises
    ------
    ContractError, ModelError
        As `Experiment.read`: where the frame cannot be read as an experiment at all.

    Examples
    --------
    >>> from regulars.uplift import simulate
    >>> exp = Experiment(treatment="arm", outcome="outcome", control="control")
    >>> frame = simulate("linear", 2000).frame()
    >>> preflight(exp, frame)
    []
    >>> [finding.code for finding in preflight(exp, frame.assign(score=frame.outcome * 2 + 1))]
    ['unbalanced_feature', 'determines_outcome']
    """
    seed = whole_number("seed", seed, 0)
    columns = columns_of(frame, "an experiment")
    data = exp.read(frame)
    case = _Case(exp, columns, data, level, seed)
    found: list[Finding] = []
    for check in _CHECKS:
        found.extend(check(case))
    found.extend(judge_times(exp, columns, data, as_of=as_of, level=level))
    if sends is not None:
        found.extend(judge_sends(exp, columns, data, sends, campaign=campaign, holdout=holdout, level=level))
    if holdout is not None:
        found.extend(_judge_holdout(case, holdout))
    return sorted(found, key=lambda finding: not finding.blocking)


def require_clean(findings: Iterable[Finding], override: Collection[str] = ()) -> list[Finding]:
    """Stop at the first blocking findings that are not overridden; return all findings otherwise.

    Parameters
    ----------
    findings : iterable of Finding
    override : collection of str
        Codes to go on in spite of.

    Raises
    ------
    PreflightError
        Where a blocking finding is not overridden; the text holds all of them.
    ModelError
        Where an override is no code of a check.

    Examples
    --------
    >>> found = [Finding("constant_outcome", True, "Every outcome is 0.", "Wait for orders.")]
    >>> len(require_clean(found, override=["constant_outcome"]))
    1
    >>> require_clean(found)
    Traceback (most recent call last):
    ...
    regulars.uplift.preflight.PreflightError: 1 finding stands in the way of a fit:
    - constant_outcome (blocking): Every outcome is 0. Wait for orders.
    Mend the data, or go on in spite of it with override=['constant_outcome'].
    """
    if isinstance(override, str):
        raise ModelError(f"override is {override!r}; it is a sequence of codes: give [{override!r}].")
    findings = list(findings)
    known = sorted({*CODES, *(finding.code for finding in findings)})
    for name in override:
        if name not in known:
            raise ModelError(f"override names {name!r}{nearest(name, known)}; the codes are {', '.join(known)}.")
    standing = [finding for finding in findings if finding.blocking and finding.code not in override]
    if standing:
        codes = sorted({finding.code for finding in standing})
        what = "1 finding stands" if len(standing) == 1 else f"{len(standing)} findings stand"
        error = PreflightError(
            "\n".join(
                [
                    f"{what} in the way of a fit:",
                    *(f"- {finding}" for finding in standing),
                    f"Mend the data, or go on in spite of {'it' if len(codes) == 1 else 'them'} with override={codes}.",
                ]
            )
        )
        error.findings = tuple(findings)
        raise error
    return findings


@dataclass(frozen=True)
class _Case:
    exp: Experiment
    columns: Mapping[str, Any]
    data: ExperimentData
    level: float
    seed: int


def _duplicates(case: _Case) -> list[Finding]:
    exp, data = case.exp, case.data
    if exp.unit not in case.columns or exp.cluster == exp.unit:
        return []
    units = ids_of(case.columns[exp.unit])[data.rows]
    found, code, counts = np.unique(units, return_inverse=True, return_counts=True)
    if len(found) == len(units):
        return []
    several = int((counts > 1).sum())
    lowest, highest = np.full(len(found), data.n_arms), np.full(len(found), -1)
    np.minimum.at(lowest, code, data.arm)
    np.maximum.at(highest, code, data.arm)
    mixed = int((lowest != highest).sum())
    return [
        Finding(
            "two_rows_per_customer",
            True,
            f"column {exp.unit!r} names {several} of {len(found)} customers in more than one row, e.g. "
            f"{str(found[counts > 1][0])!r}; {mixed} of them in more than one arm.",
            f"Keep one row per customer, or declare repeated rows by cluster={exp.unit!r}.",
        )
    ]


def _sample_ratio(case: _Case) -> list[Finding]:
    exp, data = case.exp, case.data
    if exp.propensity is None or data.propensity is None:
        return []
    _, first = randomised_units(data.arm, data.cluster)
    arm, propensity = data.arm[first], data.propensity[first]
    if np.ptp(propensity, axis=0).max() >= 1e-9:
        return _propensity_mismatch(case)
    if exp.kind == "observational":
        return []
    counts = dict(zip(data.arm_names, np.bincount(arm, minlength=data.n_arms).tolist(), strict=True))
    shares = dict(zip(data.arm_names, propensity[0].tolist(), strict=True))
    finding = sample_ratio_test(counts, shares, level=case.level).finding
    return [] if finding is None else [finding]


def _propensity_mismatch(case: _Case) -> list[Finding]:
    """Whether arms follow the logged propensities: in all, by slope, and in each tenth of them."""
    data = case.data
    assert data.propensity is not None
    _, first = randomised_units(data.arm, data.cluster)
    for a, name in enumerate(data.arm_names):
        p, given = data.propensity[first, a], (data.arm[first] == a).astype(np.float64)
        cuts = np.unique(np.quantile(p, np.linspace(0.0, 1.0, 11)[1:-1]))
        tenth = np.searchsorted(cuts, p, side="right")
        gap, noise = np.bincount(tenth, given - p), np.bincount(tenth, p * (1.0 - p))
        enough = noise >= 5.0
        rank = midranks(p) - 0.5
        tests = [
            (gap[enough], np.diag(noise[enough])),
            (gap.sum(), noise.sum()),
            (rank @ (given - p), rank @ (rank * p * (1.0 - p))),
        ]
        p_value = min(chi_square(np.atleast_1d(s), np.atleast_2d(v))[2] for s, v in tests)
        if enough.any() and p_value < case.level / (len(tests) * data.n_arms):
            rows = tenth == np.abs(np.where(enough, gap / np.sqrt(np.maximum(noise, 1e-12)), 0.0)).argmax()
            return [
                Finding(
                    "propensity_mismatch",
                    True,
                    f"arm {name!r} does not follow its propensities: of {int(rows.sum())} customers with "
                    f"{p[rows].min():.3g} to {p[rows].max():.3g}, {p[rows].mean():.1%} were expected and "
                    f"{given[rows].mean():.1%} seen; p = {p_value:.2g}.",
                    "Log the probability with which the arm was really drawn, among the customers who are here.",
                )
            ]
    return []


def _clusters(case: _Case) -> list[Finding]:
    exp, data = case.exp, case.data
    if exp.cluster is None or data.cluster is None or exp.cluster == exp.unit or exp.kind == "observational":
        return []
    pairs = np.unique(np.column_stack([data.cluster, data.arm.astype(str)]), axis=0)
    clusters = len(np.unique(data.cluster))
    found = []
    if len(pairs) > clusters:
        found.append(
            Finding(
                "cluster_split",
                True,
                f"column {exp.cluster!r} holds {len(pairs) - clusters} of {clusters} clusters with customers in more "
                "than one arm.",
                "A cluster that was assigned has one arm. Mend the assignment, or leave cluster out if customers were "
                "assigned.",
            )
        )
    least = min(int((pairs[:, 1] == str(a)).sum()) for a in range(data.n_arms))
    if least < FEW_CLUSTERS:
        too_few = least < LEAST_CLUSTERS
        found.append(
            Finding(
                "too_few_clusters" if too_few else "few_clusters",
                too_few,
                f"an arm has {least} clusters; {LEAST_CLUSTERS} are the least, {FEW_CLUSTERS} give usual intervals.",
                "Assign more, smaller clusters.",
            )
        )
    return found


def _sizes(case: _Case) -> list[Finding]:
    return judge_sizes(case.exp, case.data)


def judge_sizes(exp: Experiment, data: ExperimentData) -> list[Finding]:
    """Return whether arms have too few customers or outcomes, or one outcome for all.

    Examples
    --------
    >>> frame = {"arm": ["no", "mail"] * 100, "spend": [0.0] * 200}
    >>> exp = Experiment(treatment="arm", outcome="spend", control="no")
    >>> [finding.code for finding in judge_sizes(exp, exp.read(frame))]
    ['few_customers', 'constant_outcome']
    """
    counts = np.bincount(data.arm, minlength=data.n_arms)
    a = int(counts.argmin())
    found = []
    if counts[a] < FEW_CUSTOMERS:
        too_few = bool(counts[a] < LEAST_CUSTOMERS)
        found.append(
            Finding(
                "too_few_customers" if too_few else "few_customers",
                too_few,
                f"arm {data.arm_names[a]!r} has {counts[a]} of {len(data.arm)} customers; {LEAST_CUSTOMERS} are the "
                f"least to learn from, {FEW_CUSTOMERS} to learn much.",
                "Wait for more, or leave the arm out by arms=.",
            )
        )
    if np.ptp(data.outcome) == 0.0:
        found.append(
            Finding(
                "constant_outcome",
                True,
                f"column {exp.outcome!r} is {data.outcome[0]:g} for all {len(data.outcome)} customers.",
                "Nothing can have moved it: look at another outcome, a longer window, or how the column was joined.",
            )
        )
        return found
    return found + _events(data, counts)


def _events(data: ExperimentData, counts: np.ndarray) -> list[Finding]:
    if data.outcome_kind == "number" and (data.outcome == 0.0).mean() < 0.2:
        return []
    event = data.outcome != 0.0
    hits = np.bincount(data.arm, event, data.n_arms)
    rate = np.array([(hits.sum() - hits[a]) / max(1, counts.sum() - counts[a]) for a in range(data.n_arms)])
    for a in range(data.n_arms):
        if hits[a] == 0 and counts[a] * rate[a] >= 20.0:
            return [
                Finding(
                    "outcome_in_one_arm",
                    True,
                    f"none of the {counts[a]} customers of arm {data.arm_names[a]!r} has an outcome; at the others' "
                    f"rate {counts[a] * rate[a]:.0f} would.",
                    "The outcome was not recorded for that arm, or can only happen after a send, as opening does. "
                    "Take one that everyone can have.",
                )
            ]
    least = np.minimum(hits, counts - hits) if data.outcome_kind == "binary" else hits
    a = int(least.argmin())
    if least[a] >= FEW_EVENTS:
        return []
    too_few = bool(least[a] < LEAST_EVENTS)
    return [
        Finding(
            "too_few_events" if too_few else "few_events",
            too_few,
            f"arm {data.arm_names[a]!r} has {hits[a]:.0f} customers with an outcome among {counts[a]}; "
            f"{LEAST_EVENTS} are the least to learn from, {FEW_EVENTS} to learn much.",
            "Take an outcome that happens more often (visits, orders), a longer window, or more customers.",
        )
    ]


def _overlap(case: _Case) -> list[Finding]:
    data = case.data
    if data.propensity is not None:
        return _known_overlap(data)
    if min(np.bincount(data.arm, minlength=data.n_arms)) < LEAST_CUSTOMERS or not data.features.shape[1]:
        return []
    rows = np.arange(len(data.arm))
    if len(rows) > _MOST_ROWS:
        rows = np.sort(np.random.default_rng(case.seed).choice(rows, _MOST_ROWS, replace=False))
    fitted = cross_fit_propensities(data.features[rows], data.arm[rows], data.n_arms, folds=2, seed=case.seed)
    region = overlap_region(fitted, least_kept=0.7)
    sure = float((fitted.min(axis=1) < SURE).mean())
    if sure < 0.05 and region.kept.mean() >= 0.9:
        return []
    blocking = bool(sure >= 0.3 or region.kept.mean() < 0.7)
    return [
        Finding(
            "low_overlap",
            blocking,
            f"{sure:.1%} of the customers were almost certain (within {SURE:g}) to get or not to get an arm, and "
            f"{1.0 - region.kept.mean():.1%} have too few counterparts in another arm.",
            "The answer holds for the others only; narrow the frame to customers who could have got either arm, or "
            "send to some at random.",
        )
    ]


def _known_overlap(data: ExperimentData) -> list[Finding]:
    assert data.propensity is not None
    least = data.propensity.min(axis=1)
    share = float((least < SURE).mean())
    if np.ptp(data.propensity, axis=0).max() < 1e-9 or share == 0.0:
        return []
    return [
        Finding(
            "extreme_propensity",
            bool(share >= 0.05 or least.min() < SURE / 10.0),
            f"{int((least < SURE).sum())} of {len(least)} customers had an arm with a probability below {SURE:g}, down "
            f"to {least.min():.2g}.",
            "Leave them out: each would count for a hundred others. Explore with at least 1% next time.",
        )
    ]


def _identities(case: _Case) -> list[Finding]:
    """Features with a value of their own for every customer, and whole numbers or text: ids, not measures."""
    data, found = case.data, []
    named = case.exp.unit in case.columns
    unit = np.unique(data.unit, return_inverse=True)[1] if named else np.arange(len(data.unit))
    units = int(unit.max(initial=-1)) + 1
    if units < 100:
        return []
    for j, feature in enumerate(data.encoder.features):
        if isinstance(feature, CategoricalFeature):
            values = ids_of(case.columns[feature.name])[data.rows]
        else:
            values = feature_columns(data, j)[:, 0]
            if not _could_be_numbers_of_customers(np.unique(values)):
                continue
        known, code = np.unique(values, return_inverse=True)
        # one value a customer, one customer a value; also where customers have several rows
        if len(known) >= 0.9 * units and len(np.unique(code * (units + 1) + unit)) <= 1.1 * units:
            found.append(
                Finding(
                    "names_the_customer",
                    True,
                    f"feature {feature.name!r} has {len(known)} values for {units} customers: it names them.",
                    f"Put {feature.name!r} into exclude, or declare it as unit: models learn ids by heart.",
                )
            )
    return found


def _could_be_numbers_of_customers(values: np.ndarray) -> bool:
    """Whole numbers, handed out one after the other or at random: amounts in cents have ties, or are skewed."""
    if (values != np.floor(values)).any() or len(values) < 2:
        return False
    span = values[-1] - values[0]
    if len(values) ** 2 / (2.0 * span) >= 10.0:  # an amount within so narrow a span would have ten ties
        return True
    gap = np.abs((values - values[0]) / span - np.linspace(0.0, 1.0, len(values))).max()
    return bool(gap < 1.63 / len(values) ** 0.5)  # Kolmogorov-Smirnov at .01: as even as a random draw


def _leaks(case: _Case) -> list[Finding]:
    return find_leaks(case.exp, case.data, level=case.level)


_CHECKS: tuple[Callable[[_Case], list[Finding]], ...] = (
    _duplicates,
    _sample_ratio,
    _clusters,
    _sizes,
    _overlap,
    _identities,
    _leaks,
)


def _judge_holdout(case: _Case, holdout: Any) -> list[Finding]:
    exp, data = case.exp, case.data
    columns = holdout_columns(exp, holdout)
    found = []
    if exp.treatment in columns:
        given = set(ids_of(columns[exp.treatment]).tolist())
        absent = [arm for arm in data.arm_names if arm not in given]
        if absent:
            found.append(
                Finding(
                    "arm_missing_in_holdout",
                    True,
                    f"the holdout holds {sorted(given)[:10]} and no customer of {absent}.",
                    "Split within arms, so that every arm is in both parts.",
                )
            )
    if exp.unit not in columns or exp.unit not in case.columns:
        return found
    units, counts = np.unique(ids_of(columns[exp.unit]), return_counts=True)
    if (counts > 1).any() and exp.cluster != exp.unit:
        found.append(
            Finding(
                "holdout_duplicated",
                True,
                f"the holdout names {int((counts > 1).sum())} of {len(units)} customers in more than one row, e.g. "
                f"{str(units[counts > 1][0])!r}.",
                "Keep one row per customer.",
            )
        )
    both = np.intersect1d(units, ids_of(case.columns[exp.unit])[data.rows])
    if len(both):
        found.append(
            Finding(
                "holdout_in_training",
                True,
                f"{len(both)} of {len(units)} held-out customers are also learnt from, e.g. {str(both[0])!r}.",
                "Take them out of the frame; split by customer, not by row.",
            )
        )
    return found


def holdout_columns(exp: Experiment, holdout: Any) -> Mapping[str, Any]:
    """Return the columns of a holdout: of a frame, or the one column of ids.

    Examples
    --------
    >>> list(holdout_columns(Experiment(treatment="arm", outcome="spend", control="no"), ["ann", "bob"]))
    ['customer_id']
    """
    if isinstance(holdout, list | tuple | set | frozenset | np.ndarray):
        return {exp.unit: sorted(holdout) if isinstance(holdout, set | frozenset) else list(holdout)}
    return columns_of(holdout, "a holdout")
