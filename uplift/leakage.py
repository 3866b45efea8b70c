"""Features that cannot have been known before the send: found without times, by what they tell of arm and outcome.

In a randomised experiment nothing known before the send can differ between the arms but by chance, so a difference
beyond chance is evidence; what settles the outcome almost alone is evidence anywhere.
"""

from dataclasses import dataclass

import numpy as np

from ..sql.findings import Finding
from .balance import arm_scores, chi_square
from .experiment import Experiment, ExperimentData
from .features import NumericFeature

# Alone a feature rarely ranks buyers before others better than .9 (AUC) or explains half of an outcome's ranks.
SETTLED_AUC, SETTLED_R2 = 0.98, 0.9
TELLING_AUC, TELLING_R2 = 0.85, 0.5
# Of what ranks with so many ties could explain at all. A correlation of .9 is beyond what past spend tells; and
# a feature of two values that leaves hardly anyone on the wrong side was made of the outcome.
SUSPECT_SHARE, SETTLED_SHARE = 0.81, 0.98
# Outcomes with fewer customers of one value have ranks worth comparing, besides who has an outcome at all.
DENSE = 0.2
# A telling feature is suspect at once: its difference between arms need not survive the correction for many features.
TELLING_LEVEL = 0.001
# Customers of one value all without (or all with) an outcome, where by chance so many had been expected.
EXPECTED_OTHERWISE = 30.0
LEAST_UNITS = 50  # below, a chi-square's far tail is not to be trusted
LEAST_EXPECTED = 20.0  # of a rare value in the smallest arm


@dataclass(frozen=True)
class Evidence:
    """What one feature tells.

    Attributes
    ----------
    feature : str
    arm_p_value, missing_p_value : float
        That its values, or its gaps, differ between the arms by chance; 1 where it cannot be judged.
    auc, r2 : float
        How well it alone ranks customers with an outcome before those without; share of the outcome's ranks it
        explains.
    r2_share : float
        Of the largest ``r2`` that a feature with its ties can reach: .75 for one that splits customers in halves.
    pure : str
        Which of its values settle the outcome, in words; "" where none.
    """

    feature: str
    arm_p_value: float
    missing_p_value: float
    auc: float
    r2: float
    r2_share: float
    pure: str

    @property
    def settles(self) -> bool:
        """Whether the outcome is known once the feature is."""
        by_ranks = self.r2 >= SETTLED_R2 or (self.r2 >= TELLING_R2 and self.r2_share >= SETTLED_SHARE)
        return self.auc >= SETTLED_AUC or by_ranks or bool(self.pure)

    @property
    def telling(self) -> bool:
        """Whether it says more of the outcome than features known before mostly do."""
        return self.auc >= TELLING_AUC or self.r2 >= TELLING_R2

    @property
    def suspect(self) -> bool:
        """Whether it says more of an outcome's size than anything known before is likely to."""
        return not self.settles and self.r2 >= TELLING_R2 and self.r2_share >= SUSPECT_SHARE


def find_leaks(exp: Experiment, data: ExperimentData, *, level: float = 0.0005) -> list[Finding]:
    """Return what says that a feature was measured after the send.

    Parameters
    ----------
    exp : Experiment
    data : ExperimentData
        As read by ``exp``.
    level : float
        Of the tests of balance, over all features together.

    Examples
    --------
    >>> import pandas as pd
    >>> from regulars.uplift import simulate
    >>> exp = Experiment(treatment="arm", outcome="outcome", control="control")
    >>> frame = simulate("zero_inflated", 2000).frame().assign(ordered=lambda f: 1.0 * (f.outcome > 0))
    >>> [finding.code for finding in find_leaks(exp, exp.read(frame))]
    ['determines_outcome']
    """
    randomised = exp.kind == "randomised" and data.propensity is not None
    found: list[Finding] = []
    every = [gather(data, j, randomised=randomised) for j in range(len(data.encoder.features))]
    tests = max(1, len(every) + sum(e.missing_p_value < 1.0 for e in every))
    for evidence in every:
        found.extend(_judge(evidence, level / tests))
    found.extend(_named_arms(data))
    if not any(f.code == "determines_outcome" for f in found):
        found.extend(_settled_together(data))
    return found


def gather(data: ExperimentData, j: int, *, randomised: bool) -> Evidence:
    """Return the evidence on the feature in place ``j`` of the encoder.

    Examples
    --------
    >>> from regulars.uplift import simulate
    >>> frame = simulate("linear", 1000, seed=3).frame()
    >>> data = Experiment(treatment="arm", outcome="outcome", control="control").read(frame)
    >>> evidence = gather(data, 1, randomised=True)
    >>> evidence.feature, round(evidence.r2, 2), evidence.settles
    ('x1', 0.03, False)
    """
    feature = data.encoder.features[j]
    encoded = feature_columns(data, j)
    missing = None
    if isinstance(feature, NumericFeature):
        values = encoded[:, 0]
        missing = encoded[:, 1] if feature.marked else None
        ranks = midranks(values)
        tested = np.column_stack([ranks, np.abs(ranks - ranks.mean())])
        splits = {f"where it is {at:g}": values == at for at in {_mode(values): 0, values.min(): 0, values.max(): 0}}
        if missing is not None:
            splits["where it is missing"] = missing > 0.0
        told = np.column_stack([ranks] if missing is None else [ranks, missing])
    else:
        tested = encoded
        splits = {
            f"where it is {level!r}": encoded[:, i] > 0.0 for i, level in enumerate(feature.levels[: encoded.shape[1]])
        }
        told = _level_means(encoded, data.outcome)[:, None]
    arm_p = missing_p = 1.0
    if randomised:
        arm_p = _arm_p_value(tested, data)
        missing_p = 1.0 if missing is None else _arm_p_value(missing[:, None], data)
    event = event_of(data)
    auc = max((_auc(column, event) for column in told.T), default=0.5)
    # ranks of a rare event agree with anything that is as rare: there the AUC says it
    dense = event is None or (np.unique(data.outcome, return_counts=True)[1].max() < DENSE * len(data.outcome))
    r2, r2_share = max((_rank_r2(column, data.outcome) for column in told.T), default=(0.0, 0.0)) if dense else (0, 0)
    return Evidence(feature.name, arm_p, missing_p, auc, r2, r2_share, _pure(splits, event))


def event_of(data: ExperimentData) -> np.ndarray | None:
    """Return who has an outcome other than 0, where enough have and enough have not; None for other numbers.

    Examples
    --------
    >>> from regulars.uplift import simulate
    >>> frame = simulate("null", 100).frame()
    >>> event_of(Experiment(treatment="arm", outcome="outcome", control="control").read(frame)) is None
    True
    """
    event = data.outcome != 0.0
    return event if 10 <= event.sum() <= len(event) - 10 else None


def feature_columns(data: ExperimentData, j: int) -> np.ndarray:
    """Return the encoded columns of the feature in place ``j``."""
    widths = [1 + f.marked if isinstance(f, NumericFeature) else len(f.levels) for f in data.encoder.features]
    start = sum(widths[:j])
    return data.features[:, start : start + widths[j]]


def midranks(values: np.ndarray) -> np.ndarray:
    """Return the ranks over n, ties at their mean: no outlier weighs more than another.

    Examples
    --------
    >>> midranks(np.array([5.0, 1.0, 5.0, 900.0])).tolist()
    [0.625, 0.25, 0.625, 1.0]
    """
    _, code, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return ((last - (counts - 1) / 2.0) / len(values))[code]


def _judge(evidence: Evidence, each: float) -> list[Finding]:
    name = evidence.feature
    found = []
    if evidence.missing_p_value < each:
        found.append(
            Finding(
                "missing_by_arm",
                True,
                f"feature {name!r} is missing more often in one arm than in another, p = "
                f"{evidence.missing_p_value:.2g}; what was known before the send cannot differ by arm.",
                f"Take {name!r} from the same snapshot, before the send, for every arm, or exclude it.",
            )
        )
    if evidence.arm_p_value < (max(TELLING_LEVEL, each) if evidence.telling else each):
        found.append(
            Finding(
                "unbalanced_feature",
                True,
                f"feature {name!r} differs between the arms, p = {evidence.arm_p_value:.2g}; what was known before "
                "the send cannot.",
                f"It was measured after the send, or customers were lost or chosen by it: exclude {name!r} or "
                "measure it before; if it was, rebuild the frame from the assignment.",
            )
        )
    if evidence.settles:
        how = evidence.pure or (
            f"ranks the customers with an outcome before the others with AUC {evidence.auc:.3f}"
            if evidence.auc >= SETTLED_AUC
            else _explained(evidence)
        )
        found.append(
            Finding(
                "determines_outcome",
                True,
                f"feature {name!r} alone {how}.",
                f"It is part of the outcome or was measured with it: put {name!r} into exclude. Override only where "
                "it was certainly known before the send.",
            )
        )
    if evidence.suspect:
        found.append(
            Finding(
                "suspiciously_predictive",
                False,
                f"feature {name!r} alone {_explained(evidence)}; what is known before a send rarely does.",
                f"Make sure that {name!r} was measured before the send, and is no part of the outcome.",
            )
        )
    return found


def _explained(evidence: Evidence) -> str:
    most = f", {evidence.r2_share:.0%} of what a feature with so many ties can" if evidence.r2_share > 0.0 else ""
    return f"explains {evidence.r2:.0%} of the outcome's ranks{most if evidence.r2_share > evidence.r2 + 0.01 else ''}"


def _arm_p_value(columns: np.ndarray, data: ExperimentData) -> float:
    assert data.propensity is not None
    least = data.propensity.mean(axis=0).min()
    # where nearly everyone has one value, the others are too few for a far tail
    other = np.array([len(column) - np.unique(column, return_counts=True)[1].max() for column in columns.T])
    kept = other * least >= LEAST_EXPECTED
    n_units = len(data.arm) if data.cluster is None else len(np.unique(data.cluster))
    if not kept.any() or n_units < LEAST_UNITS:
        return 1.0
    return chi_square(*arm_scores(columns[:, kept], data.arm, data.propensity, data.cluster))[2]


def _mode(values: np.ndarray) -> float:
    found, counts = np.unique(values, return_counts=True)
    return float(found[counts.argmax()])


def _auc(score: np.ndarray, event: np.ndarray | None) -> float:
    if event is None:
        return 0.5
    m = int(event.sum())
    auc = (len(score) * midranks(score)[event].sum() - m * (m + 1) / 2.0) / (m * (len(score) - m))
    return float(max(auc, 1.0 - auc))


def _rank_r2(column: np.ndarray, outcome: np.ndarray) -> tuple[float, float]:
    """Return the share of the outcome's ranks that a column explains, and that of the most that its ties allow."""
    if np.ptp(column) == 0.0 or np.ptp(outcome) == 0.0:
        return 0.0, 0.0
    own, other = midranks(column), midranks(outcome)
    r = float(np.corrcoef(own, other)[0, 1])
    own.sort()
    other.sort()
    most = float(np.corrcoef(own if r > 0.0 else own[::-1], other)[0, 1])
    return r * r, (r / most) ** 2 if most else 0.0


def _level_means(indicators: np.ndarray, outcome: np.ndarray) -> np.ndarray:
    code = np.where(indicators.any(axis=1), indicators.argmax(axis=1) + 1, 0)
    size = np.bincount(code, minlength=indicators.shape[1] + 1)
    # one customer less and the mean of all: a level of one customer does not "settle" the outcome
    total = np.bincount(code, outcome, len(size)) + outcome.mean()
    return (total / (size + 1.0))[code] if len(outcome) else np.zeros(0)


def _pure(splits: dict[str, np.ndarray], event: np.ndarray | None) -> str:
    if event is None:
        return ""
    rate = event.mean()
    for words, inside in splits.items():
        for where, group in ((words, inside), (words.replace("it is", "it is not"), ~inside)):
            n, hits = int(group.sum()), int(event[group].sum())
            if hits == 0 and n * rate >= EXPECTED_OTHERWISE and n >= 0.1 * len(event):
                return f"settles the outcome: none of the {n} customers {where} has one, {n * rate:.0f} were expected"
            if hits == n and n * (1.0 - rate) >= EXPECTED_OTHERWISE:
                return f"settles the outcome: all of the {n} customers {where} have one, {n * rate:.0f} were expected"
    return ""


def _named_arms(data: ExperimentData) -> list[Finding]:
    """Features that are one thing in an arm and anything in the others, as opened and redeemed are in control."""
    found = []
    for j, feature in enumerate(data.encoder.features):
        columns = feature_columns(data, j)
        for a, arm in enumerate(data.arm_names):
            inside = data.arm == a
            if min(inside.sum(), (~inside).sum()) < LEAST_UNITS:
                continue
            one = columns[inside][0]
            same_inside = (columns[inside] == one).all()
            equal = float((columns[~inside] == one).all(axis=1).mean())
            # by chance none of the arm would differ with probability equal ** n
            by_chance = inside.sum() * np.log(max(equal, 1e-300)) > np.log(1e-6)
            if same_inside and equal < 1.0 and not by_chance and (a == 0 or equal == 0.0):
                found.append(_names_arm(feature.name, arm, equal))
                break
    return found


def _names_arm(feature: str, arm: str, equal: float) -> Finding:
    return Finding(
        "names_the_arm",
        True,
        f"feature {feature!r} is the same for every customer of arm {arm!r} and differs for {1.0 - equal:.1%} of the "
        "others: it follows from what was sent.",
        f"Put {feature!r} into exclude: it was measured after the send, or is the treatment under another name.",
    )


def _settled_together(data: ExperimentData) -> list[Finding]:
    x, y = data.features, data.outcome
    if len(y) < 20 * (x.shape[1] + 1) or y.std() == 0.0 or not x.shape[1]:
        return []
    scaled = (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-12)
    gram = scaled.T @ scaled
    # doubled columns stay solvable; a billionth of the data's weight moves nothing that shows
    gram[np.diag_indices_from(gram)] += 1e-9 * len(y)
    slope = np.linalg.solve(gram, scaled.T @ (y - y.mean()))
    fitted = scaled @ slope
    r2 = 1.0 - float(((y - y.mean() - fitted) ** 2).sum() / ((y - y.mean()) ** 2).sum())
    auc = _auc(fitted, event_of(data))
    if r2 < 0.95 and auc < 0.99:
        return []
    weight = np.abs(slope)
    names = [data.encoder.names[i] for i in np.argsort(-weight)[:3]]
    told = f"{r2:.1%} of the outcome's variance" if r2 >= 0.95 else f"who has an outcome, with AUC {auc:.3f}"
    return [
        Finding(
            "determines_outcome",
            True,
            f"the features together explain {told}, most of all {', '.join(map(repr, names))}.",
            "Some are parts of the outcome: put them into exclude.",
        )
    ]
