"""Rank, treat all, treat none, or not enough data: the decision that held-out scores support, with its tests.

Two questions are asked of one holdout, at one joint level (Holm 1979, Scandinavian Journal of Statistics 6): does any
ranking beat random order, and does treating everyone pay or lose. Several rankings share one joint test: the largest of
their t-values against the largest of as many equally correlated ones (Westfall & Young 1993), so that adding candidates
does not add false claims.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from .estimate import Estimate, as_units, as_weights, mean_estimate, tidy
from .rate import GRID, Ranking, RateTable, Target, compare_rankings
from .scores import contrast

Decision = Literal["rank", "treat all", "treat none", "not enough data"]
_SIMULATIONS = 20_000  # a joint p-value of .025 is then known to .0016


@dataclass(frozen=True)
class HypothesisTest:
    """One question put to the holdout: ``claim`` about ``name``, its ``estimate``, and the joint two-sided p-value."""

    claim: str
    name: str
    estimate: Estimate
    p_value: float


@dataclass(frozen=True)
class Verdict:
    """What the holdout supports.

    Attributes
    ----------
    decision : str
        ``"rank"``, ``"treat all"``, ``"treat none"`` or ``"not enough data"``.
    sentence : str
        The decision and its reason, for people.
    ranking : str or None
        The ranking to use, where the decision is ``"rank"``.
    best : str
        The ranking with the highest estimate, whatever the decision.
    arm : int or None
        The arm for everyone, where the decision is ``"treat all"``.
    fraction : float or None
        Share to treat for the largest gain along the ranking, where the decision is ``"rank"``; 1 where everyone pays
        and the order matters only under a budget. Chosen on this holdout, so the gain at it reads slightly high.
    tests : tuple of HypothesisTest
        Every test made: one per ranking and one per arm.
    table : RateTable
        All rankings, valued.

    Examples
    --------
    >>> from regulars.uplift.rate import rank_by
    >>> scores = np.column_stack([np.zeros(1000), np.ones(1000) + np.random.default_rng(0).normal(size=1000)])
    >>> decide(scores, {"any": rank_by(np.arange(1000.0))}, draws=50, arm_names=("no", "mail")).decision
    'treat all'
    """

    decision: Decision
    sentence: str
    ranking: str | None
    best: str
    arm: int | None
    fraction: float | None
    tests: tuple[HypothesisTest, ...]
    table: RateTable

    def __str__(self) -> str:
        return self.sentence

    def tidy(self) -> list[dict[str, object]]:
        """Return one row per test, ready for a frame."""
        return [
            {"claim": test.claim, **tidy({test.name: test.estimate})[0], "joint_p_value": test.p_value}
            for test in self.tests
        ]


def decide(
    scores: np.ndarray,
    rankings: Mapping[str, Ranking],
    *,
    value: float | np.ndarray = 1.0,
    cost: float | np.ndarray = 0.0,
    target: Target = "QINI",
    weights: np.ndarray | None = None,
    cluster: np.ndarray | None = None,
    arm_names: Sequence[str] | None = None,
    draws: int = 500,
    seed: int = 0,
    level: float = 0.95,
    threads: int | None = None,
) -> Verdict:
    """Reach a verdict from held-out scores and candidate rankings, a plain response model among them.

    Parameters
    ----------
    scores : ndarray of shape (n, k + 1)
        Doubly robust scores of control and each arm, from customers that no ranking has learnt from.
    rankings : mapping of str to Ranking
        Candidates; all are tested jointly.
    value, cost
        Worth of one unit of outcome, cost of treating one customer: as of `rate.compare_rankings`.
    target : {"QINI", "AUTOC"}
        What a ranking is tested by.
    weights, cluster : ndarray of shape (n,), optional
        Positive weights; labels of independent units.
    arm_names : sequence of str, optional
        Names of control and each arm, for the sentence.
    draws, seed, threads
        As of `rate.compare_rankings`.
    level : float
        1 minus the chance of any false claim where nothing has an effect.

    Returns
    -------
    Verdict
        ``rank`` where a ranking beats random order and some top fraction of it pays; else ``treat all`` where giving
        everyone one arm pays; else ``treat none`` where every arm loses; else ``not enough data``. Where
        the outcome does not vary, costs alone decide nothing: ``not enough data``.

    Raises
    ------
    ModelError
        As `rate.compare_rankings` does.

    Examples
    --------
    >>> import numpy as np
    >>> from regulars.uplift.rate import rank_by
    >>> rng = np.random.default_rng(0)
    >>> effect = rng.normal(size=4000)
    >>> scores = np.column_stack([np.zeros(4000), effect + rng.normal(size=4000)])
    >>> verdict = decide(scores, {"x": rank_by(effect), "response": rank_by(rng.normal(size=4000))}, cost=0.1)
    >>> verdict.decision, verdict.ranking, verdict.fraction
    ('rank', 'x', 0.45)
    """
    table = compare_rankings(
        scores,
        rankings,
        value=value,
        cost=cost,
        weights=weights,
        cluster=cluster,
        draws=draws,
        seed=seed,
        level=level,
        grid=GRID,
        threads=threads,
    )
    by_rank = _ranking_tests(table, target, seed)
    scores = np.asarray(scores, dtype=np.float64)
    names = [f"arm {a}" for a in range(scores.shape[1])] if arm_names is None else list(arm_names)
    by_arm = _arm_tests(scores, value, cost, weights, cluster, level, seed, names)
    if _says_nothing(scores):
        return _no_variance(table, target, by_rank, by_arm)
    return _conclude(table, target, by_rank, by_arm, 1.0 - level)


def _conclude(
    table: RateTable, target: Target, by_rank: list[HypothesisTest], by_arm: list[HypothesisTest], alpha: float
) -> Verdict:
    best = max(table.names, key=lambda name: table.of(target)[name].value)
    tests = (*by_rank, *by_arm)
    pays = min((test.p_value for test in by_arm if test.estimate.value > 0.0), default=1.0)
    # nothing pays only if every arm loses: the weakest of the arms' own tests, which needs no joint correction
    loses = max(test.p_value if test.estimate.value < 0.0 else 1.0 for test in by_arm)
    order_holds, everyone_holds = _holm(min(test.p_value for test in by_rank), min(pays, loses), alpha)

    proven = [test for test in by_rank if order_holds and test.p_value <= alpha and _part_pays(table, test.name, alpha)]
    if proven:
        won = max(proven, key=lambda test: test.estimate.value)
        fraction = float(table.grid[table.gain[table.names.index(won.name)].argmax()])
        sentence = _rank_sentence(table, won, by_rank, target, fraction)
        return Verdict("rank", sentence, won.name, best, None, fraction, tests, table)
    no_order = _no_order_sentence(by_rank, best, target, order_holds)
    most = max(by_arm, key=lambda test: test.estimate.value)
    if everyone_holds and pays <= loses:
        won = max((t for t in by_arm if t.p_value <= alpha), key=lambda test: test.estimate.value)
        sentence = f"Treat all with {won.name}: it gains {won.estimate} per head. {no_order}"
        return Verdict("treat all", sentence, None, best, by_arm.index(won) + 1, None, tests, table)
    if everyone_holds:
        which = f"{most.name}" if len(by_arm) == 1 else f"even the best arm, {most.name},"
        sentence = f"Treat none: {which} loses: it gains {most.estimate} per head. {no_order}"
        return Verdict("treat none", sentence, None, best, None, None, tests, table)
    sentence = (
        f"Not enough data: treating everyone with {most.name} gains {most.estimate} per head, which may be gain or "
        f"loss. {no_order}"
    )
    return Verdict("not enough data", sentence, None, best, None, None, tests, table)


def _says_nothing(scores: np.ndarray) -> bool:
    """Whether no arm's score differs from control's for anybody: the outcome itself has no variance."""
    most = max(float(np.abs(contrast(scores, a)).max(initial=0.0)) for a in range(1, scores.shape[1]))
    return most <= 1e-9 * float(np.abs(scores).max(initial=0.0))  # what rounding leaves of a constant outcome


def _no_variance(
    table: RateTable, target: Target, by_rank: list[HypothesisTest], by_arm: list[HypothesisTest]
) -> Verdict:
    best = max(table.names, key=lambda name: table.of(target)[name].value)
    tests = tuple(replace(test, p_value=1.0) for test in (*by_rank, *by_arm))
    sentence = (
        "Not enough data: the outcome is the same for every customer; nothing tells what an arm does from chance."
    )
    return Verdict("not enough data", sentence, None, best, None, None, tests, table)


def joint_p_values(estimates: Sequence[Estimate], deviations: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return two-sided p-values of "this is above 0", joint over all: twice P(largest of m null t-values >= this one).

    Parameters
    ----------
    estimates : sequence of m Estimate
        Each with its standard error.
    deviations : ndarray of shape (draws, m)
        Centred draws of all m, whose correlation is that of the estimates.
    seed : int
        Of the simulated null.

    Examples
    --------
    One estimate keeps its own p-value; two independent ones share the error.

    >>> import numpy as np
    >>> from regulars.uplift.estimate import interval
    >>> deviations = np.random.default_rng(0).normal(size=(2000, 2))
    >>> two = [interval(2.0, 1.0, units=5000)] * 2
    >>> joint_p_values(two[:1], deviations[:, :1]).round(3).tolist(), joint_p_values(two, deviations).round(2).tolist()
    ([0.046], [0.09, 0.09])
    """
    from scipy.special import ndtri, stdtr

    value = np.array([estimate.value for estimate in estimates])
    error = np.array([estimate.standard_error for estimate in estimates])
    t = np.divide(value, error, out=np.where(value > 0.0, np.inf, -np.inf), where=error > 0.0)
    t[(error == 0.0) & (value == 0.0)] = 0.0
    own = stdtr(estimates[0].units - 1, -t)
    varies = error > 0.0
    if varies.sum() <= 1:
        return np.minimum(1.0, 2.0 * own)
    correlation = np.corrcoef(deviations[:, varies], rowvar=False)
    size, direction = np.linalg.eigh(correlation)
    root = direction * np.sqrt(np.maximum(size, 0.0))
    draws = np.random.default_rng(seed).normal(size=(_SIMULATIONS, len(size))) @ root.T
    largest = np.sort(draws.max(axis=1))
    # t-values with few units are first put on the normal scale, which the simulated null has
    normal = -ndtri(np.clip(own, 1e-300, 1.0 - 1e-16))
    beyond = 1.0 - np.searchsorted(largest, normal, side="left") / _SIMULATIONS
    # a p-value below the simulation's reach is bounded by the sum of the single ones
    reach = 50 / _SIMULATIONS
    joint = np.where(beyond >= reach, beyond, np.minimum(len(estimates) * own, reach))
    return np.minimum(1.0, 2.0 * np.maximum(joint, own))


def _ranking_tests(table: RateTable, target: Target, seed: int) -> list[HypothesisTest]:
    estimates = table.of(target)
    p = joint_p_values(list(estimates.values()), table.deviations[target], seed)
    return [
        HypothesisTest("beats random order", name, estimate, float(p_value))
        for (name, estimate), p_value in zip(estimates.items(), p, strict=True)
    ]


def _arm_tests(
    scores: np.ndarray,
    value: float | np.ndarray,
    cost: float | np.ndarray,
    weights: np.ndarray | None,
    cluster: np.ndarray | None,
    level: float,
    seed: int,
    names: Sequence[str],
) -> list[HypothesisTest]:
    n, n_arms = scores.shape
    net = [contrast(scores, a, value=value, cost=cost) for a in range(1, n_arms)]
    estimates = [mean_estimate(each, weights=weights, cluster=cluster, level=level) for each in net]
    unit, n_units = as_units(cluster, n)
    weight = as_weights(weights, n)
    parts = np.column_stack(
        [
            np.bincount(unit, weight * (each - estimate.value), n_units)
            for each, estimate in zip(net, estimates, strict=True)
        ]
    )
    p = joint_p_values(estimates, parts, seed)
    return [
        HypothesisTest(
            "pays for everyone", names[a + 1], estimate, float(p_value if estimate.value > 0.0 else estimate.p_value)
        )
        for a, (estimate, p_value) in enumerate(zip(estimates, p, strict=True))
    ]


def _holm(first: float, second: float, alpha: float) -> tuple[bool, bool]:
    return (
        first <= alpha / 2.0 or (first <= alpha and second <= alpha / 2.0),
        second <= alpha / 2.0 or (second <= alpha and first <= alpha / 2.0),
    )


def _part_pays(table: RateTable, name: str, alpha: float) -> bool:
    """Whether some top fraction surely gains, jointly over all fractions."""
    j = table.names.index(name)
    error = table.gain_standard_error[j]
    known = error > 0.0
    if not known.any():
        return bool((table.gain[j] > 0.0).any())
    largest = (table.deviations["gain"][:, j, known] / error[known]).max(axis=1)
    return bool((table.gain[j, known] / error[known] > np.quantile(largest, 1.0 - alpha / 2.0)).any())


def _rank_sentence(
    table: RateTable, won: HypothesisTest, tests: list[HypothesisTest], target: Target, fraction: float
) -> str:
    text = f"Rank by {won.name}: {target} {won.estimate} per head, {_p_text(won.p_value)}{_among(tests)}."
    if fraction < 1.0:
        text += f" Treating the first {fraction:.0%} gains most."
    else:
        text += " At this cost everyone pays, so the order matters where a budget, stock or mail limit binds."
    others = [test for test in tests if test.name != won.name]
    if others:
        second = max(others, key=lambda test: test.estimate.value)
        gap = table.difference(won.name, second.name, target)
        known = "better than" if gap.above_zero else "not surely better than"
        text += f" It ranks {known} {second.name} (paired difference {gap})."
    return text


def _no_order_sentence(tests: list[HypothesisTest], best: str, target: Target, order_holds: bool) -> str:
    top = next(test for test in tests if test.name == best)
    figures = f"{target} {top.estimate}, {_p_text(top.p_value)}{_among(tests)}"
    if order_holds:
        return f"{best} does order customers ({figures}), but no part of its order surely pays."
    return f"No ranking beats random order; {best} ranks best ({figures})."


def _among(tests: list[HypothesisTest]) -> str:
    # a random order has no standard error and no chance to be taken for better than itself
    count = sum(test.estimate.standard_error > 0.0 for test in tests)
    return f" among {count} rankings" if count > 1 else ""


def _p_text(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
