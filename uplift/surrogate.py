"""Effects on lifetime value from short signals: a month after the send stands in for the years that follow.

Two samples meet. In the experiment the short signals S are known (orders and spend since the send) and the long outcome
Y is not; in the history both are. The index h(S, X) = E[Y | S, X] turns signals into value: a regression on the history
(`surrogate_index`), or a customer model's lifetime value, which uses the same signals through frequency, recency, T and
monetary value. The effect on the index is the effect on the long outcome where treatment moves Y only through S, and
where Y given (S, X) is the same in both samples (Athey, Chetty, Imbens & Kang 2019, NBER 26463). Neither can be tested
on these data alone.

`long_term_effects` does not take the index for the truth. It adds what the index gets wrong in the history, weighted to
each arm of the experiment, so the answer is right where either the index or the weights are, and its interval holds the
index's error beside that of the experiment (Chen & Ritzwoller 2023, Journal of Econometrics 237; Yang, Eckles, Dhillon
& Aral 2020, arXiv:2010.15835).
"""

from dataclasses import dataclass

import numpy as np

from ..sql.errors import ModelError
from ..sql.findings import Finding
from ..sql.threads import one_blas_thread
from .estimate import Estimate, checked, interval, mean_estimate
from .nuisances import OUTCOME_MODELS, OutcomeModel, assign_folds, logistic_propensity
from .scores import aipw_scores, checked_arm, propensity_matrix

_LARGEST_ODDS = 50.0  # a history row may stand for so many of the experiment's; beyond it there is no support
_FEW = 100.0  # effective history rows; with fewer the correction is a guess


@dataclass(frozen=True)
class SurrogateIndex:
    """Value expected from short signals.

    Attributes
    ----------
    value : ndarray of shape (n,)
        For the experiment's customers: the outcome to rank and fit effects on.
    history : ndarray of shape (m,)
        For the history's customers, each from models that have not seen his fold.
    r_squared : float
        Share of the long outcome's variance that the index explains in the history, out of fold.

    Examples
    --------
    >>> found = surrogate_index(np.zeros((2, 1)), np.arange(20.0)[:, None], np.arange(20.0), model="linear")
    >>> found.value.shape, found.r_squared > 0.9
    ((2,), True)
    """

    value: np.ndarray
    history: np.ndarray
    r_squared: float


def surrogate_index(
    signals: np.ndarray,
    history_signals: np.ndarray,
    history_outcome: np.ndarray,
    *,
    model: str | OutcomeModel = "lightgbm",
    folds: int = 5,
    seed: int = 0,
) -> SurrogateIndex:
    """Learn the long outcome from short signals on the history, and value the experiment's customers by it.

    Parameters
    ----------
    signals : ndarray of shape (n, q)
        Short signals of the experiment's customers, and any features known before.
    history_signals : ndarray of shape (m, q)
        The same columns for customers whose long outcome is known.
    history_outcome : ndarray of shape (m,)
        Long outcome, e.g. margin of the year after.
    model : str or callable
        A name in `nuisances.OUTCOME_MODELS`, or a function with its signature.
    folds, seed : int
        Folds for the history's own values; seed of folds and model.

    Raises
    ------
    ModelError
        Where shapes differ, values are not finite, or the history has fewer than 20 customers.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> past = rng.poisson(2.0, size=(500, 1)).astype(float)
    >>> index = surrogate_index(np.array([[0.0], [4.0]]), past, 10.0 * past[:, 0], model="linear")
    >>> index.value.round(1).tolist(), round(index.r_squared, 3)
    ([0.0, 40.0], 1.0)
    """
    outcome = checked("history_outcome", history_outcome)
    past = _matrix("history_signals", history_signals, len(outcome))
    now = _matrix("signals", signals, None, past.shape[1])
    if len(outcome) < 20:
        raise ModelError(f"The history has {len(outcome)} customers; an index needs at least 20, better thousands.")
    predict = OUTCOME_MODELS.get(model) if isinstance(model, str) else model
    if predict is None:
        raise ModelError(f"model is {model!r}. Known: {sorted(OUTCOME_MODELS)}, or a function.")
    ones = np.ones(len(outcome))
    fold = assign_folds(np.zeros(len(outcome), dtype=np.int64), 1, folds=folds, seed=seed)
    own = np.empty(len(outcome))
    for held in range(fold.max() + 1):
        out = fold == held
        own[out] = predict(past[~out], outcome[~out], ones[~out], past[out], seed)
    spread = float(((outcome - outcome.mean()) ** 2).sum())
    explained = 1.0 - float(((outcome - own) ** 2).sum()) / spread if spread > 0.0 else 0.0
    return SurrogateIndex(predict(past, outcome, ones, now, seed), own, explained)


@dataclass(frozen=True)
class LongTermEffect:
    """The effect of one arm on the long outcome, per customer.

    Attributes
    ----------
    arm : int
        1..k.
    effect : Estimate
        Index and correction together; its interval holds the experiment's noise, the index's error in the history, and
        the index's own parameters where draws of it were given.
    on_the_index : Estimate
        The index taken for the truth: what the interval would be without the surrogate's error.
    correction : Estimate
        What the index misses: a line in index and signals fitted to the history's errors, and what is left of these,
        weighted to this arm less control.
    """

    arm: int
    effect: Estimate
    on_the_index: Estimate
    correction: Estimate


@dataclass(frozen=True)
class LongTermEffects:
    """Effects on the long outcome: ``arms`` in order, and ``findings`` on how far the history supports them."""

    arms: tuple[LongTermEffect, ...]
    findings: tuple[Finding, ...]

    def tidy(self) -> list[dict[str, object]]:
        """Return one row per arm and part, ready for a frame."""
        return [
            {"arm": row.arm, "part": part, **estimate.to_dict()}
            for row in self.arms
            for part, estimate in (
                ("effect", row.effect),
                ("on the index", row.on_the_index),
                ("correction", row.correction),
            )
        ]


def long_term_effects(
    arm: np.ndarray,
    signals: np.ndarray,
    index: np.ndarray,
    propensity: float | np.ndarray,
    *,
    history_signals: np.ndarray,
    history_index: np.ndarray,
    history_outcome: np.ndarray,
    expected: np.ndarray | None = None,
    index_draws: np.ndarray | None = None,
    history_cluster: np.ndarray | None = None,
    folds: int = 5,
    seed: int = 0,
    level: float = 0.95,
) -> LongTermEffects:
    """Return each arm's average effect on the long outcome, with the surrogate's error in the interval.

    Parameters
    ----------
    arm : ndarray of shape (n,)
        Arm received, 0 = control.
    signals : ndarray of shape (n, q)
        Short signals and features, as the index used them.
    index : ndarray of shape (n,)
        Value of each customer of the experiment by his signals: `SurrogateIndex.value`, or a model's lifetime value.
    propensity : float or ndarray
        Probability of each arm, as of `scores.propensity_matrix`. Where it differs by customer, the history's is
        predicted from ``signals``, so these must hold the features it was decided by.
    history_signals, history_index, history_outcome : ndarray of shape (m, q), (m,), (m,)
        The same for customers whose long outcome is known. The index must not have learnt from the row's own outcome.
    expected : ndarray of shape (n, k + 1), optional
        Expected index under each arm from features known before the send; takes noise out. The arms' means without
        it.
    index_draws : ndarray of shape (b, n), optional
        The index under b draws of the customer model's parameters; their spread goes into the interval.
    history_cluster : ndarray of shape (m,), optional
        The customer, where one comes several times.
    folds, seed, level
        Folds and seed of the weights' models; coverage of the intervals.

    Raises
    ------
    ModelError
        Where shapes differ or values are not finite.

    Notes
    -----
    With g the probability that a row with these signals is of the experiment, r_a that it is of arm a given that, and
    e_a the arm's share: the history adds to arm a (1/n) times the sum of ``g / (1 - g) * r_a / e_a * (Y - h)``.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> arm = rng.integers(0, 2, 4000)
    >>> orders, past = rng.poisson(1.0 + 0.5 * arm).astype(float), rng.poisson(1.2, 4000).astype(float)
    >>> worth = 10.0 * past + rng.normal(size=4000)
    >>> found = long_term_effects(arm, orders[:, None], 8.0 * orders, 0.5, history_signals=past[:, None],
    ...                           history_index=8.0 * past, history_outcome=worth)
    >>> round(found.arms[0].on_the_index.value, 1), found.arms[0].effect.lower < 5.0 < found.arms[0].effect.upper
    (3.8, True)
    """
    value = checked("index", index)
    n = len(value)
    arm = np.asarray(arm)
    n_arms = int(arm.max(initial=1)) + 1
    arm = checked_arm(arm, n, n_arms)
    outcome = checked("history_outcome", history_outcome)
    past_index = checked("history_index", history_index, len(outcome))
    past = _matrix("history_signals", history_signals, len(outcome))
    now = _matrix("signals", signals, n, past.shape[1])
    shares = propensity_matrix(propensity, n, n_arms)
    expected = _arm_means(arm, value, shares) if expected is None else expected
    mended, past_mended = _mended(now, value, past, past_index, outcome, folds, seed)
    scores = aipw_scores(arm, value, shares, expected)
    added = aipw_scores(arm, mended - value, shares, _arm_means(arm, mended - value, shares))
    odds, by_arm = _weights(now, arm, shares, past, n_arms, folds, seed)
    missed = outcome - past_mended
    between = _between_draws(index_draws, arm, shares, n)
    found = []
    for a in range(1, n_arms):
        on_index = scores[:, a] - scores[:, 0]
        mending = added[:, a] - added[:, 0]
        weighted = odds * (by_arm[:, a] - by_arm[:, 0]) * missed
        of_history = mean_estimate(weighted, cluster=history_cluster, level=level).scaled(len(outcome) / n)
        of_experiment = mean_estimate(on_index + mending, level=level)
        correction = mean_estimate(mending, level=level)
        units = min(n, of_history.units)
        found.append(
            LongTermEffect(
                a,
                _sum(of_experiment, of_history, between[a - 1], units, level),
                mean_estimate(on_index, level=level),
                _sum(correction, of_history, 0.0, units, level),
            )
        )
    return LongTermEffects(tuple(found), _findings(odds, n))


def _sum(first: Estimate, second: Estimate, further: float, units: int, level: float) -> Estimate:
    error = (first.standard_error**2 + second.standard_error**2 + further) ** 0.5
    return interval(first.value + second.value, error, units=units, level=level)


def _arm_means(arm: np.ndarray, values: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return the weighted mean under each arm, the same for every row, (n, k + 1)."""
    n, n_arms = shares.shape
    weight = 1.0 / shares[np.arange(n), arm]
    means = np.bincount(arm, weight * values, n_arms) / np.bincount(arm, weight, n_arms)
    return np.tile(means, (n, 1))


@one_blas_thread()
def _mended(
    now: np.ndarray,
    value: np.ndarray,
    past: np.ndarray,
    past_index: np.ndarray,
    outcome: np.ndarray,
    folds: int,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the index with what a line in it and the signals adds: (n,), and (m,) out of fold.

    Errors of the weights then meet errors of the index only as a product, which is what the interval rests on; against
    an index that is far off they would count in full.
    """
    linear = OUTCOME_MODELS["linear"]
    design, past_design = np.column_stack([now, value]), np.column_stack([past, past_index])
    missed, ones = outcome - past_index, np.ones(len(outcome))
    fold = assign_folds(np.zeros(len(outcome), dtype=np.int64), 1, folds=folds, seed=seed)
    own = past_index.copy()
    for held in range(fold.max() + 1):
        out = fold == held
        own[out] += linear(past_design[~out], missed[~out], ones[~out], past_design[out], seed)
    return value + linear(past_design, missed, ones, design, seed), own


@one_blas_thread()
def _weights(
    now: np.ndarray, arm: np.ndarray, shares: np.ndarray, past: np.ndarray, n_arms: int, folds: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the odds of the experiment (m,), and r_a / e_a (m, k + 1), of each history row; cross-fitted."""
    n, m = len(now), len(past)
    # squares let the logistic odds follow two normals of unlike spread, and counts whose tails differ
    both = np.column_stack([np.concatenate([now, past]), np.concatenate([now, past]) ** 2])
    of_experiment = np.concatenate([np.ones(n, dtype=np.int64), np.zeros(m, dtype=np.int64)])
    fold = assign_folds(of_experiment, 2, folds=folds, seed=seed)
    odds, by_arm = np.empty(m), np.empty((m, n_arms))
    constant = bool((shares == shares[0]).all())
    for held in range(fold.max() + 1):
        inside, out = fold != held, (fold == held)[n:]
        if not out.any():
            continue
        new = both[n:][out]
        ones = np.ones(int(inside.sum()))
        g = logistic_propensity(both[inside], of_experiment[inside], 2, ones, new, seed)[:, 1]
        # odds are to be per history row; the fold's training set has both samples in the same proportion
        odds[out] = np.minimum(g / np.maximum(1.0 - g, 1e-12), _LARGEST_ODDS * n / m)
        mine = inside[:n]
        r = logistic_propensity(both[:n][mine], arm[mine], n_arms, np.ones(int(mine.sum())), new, seed)
        if constant:
            e = np.broadcast_to(shares[0], r.shape)
        else:
            e = np.column_stack(
                [
                    OUTCOME_MODELS["linear"](now[mine], shares[mine, a], ones[: mine.sum()], past[out], seed)
                    for a in range(n_arms)
                ]
            )
            e = np.clip(e, shares.min(), 1.0)
        by_arm[out] = r / e
    return odds * (n / odds.sum()), by_arm


def _between_draws(draws: np.ndarray | None, arm: np.ndarray, shares: np.ndarray, n: int) -> np.ndarray:
    """Return the variance over draws of each arm's effect on the index, (k,)."""
    n_arms = shares.shape[1]
    if draws is None:
        return np.zeros(n_arms - 1)
    drawn = np.asarray(draws, dtype=np.float64)
    if drawn.ndim != 2 or drawn.shape[1] != n or len(drawn) < 2 or not np.isfinite(drawn).all():
        raise ModelError(f"index_draws has shape {drawn.shape}; it must hold at least 2 finite draws of {n} customers.")
    weight = (arm[:, None] == np.arange(n_arms)) / shares
    weight /= weight.sum(axis=0)
    means = drawn @ weight
    return (means[:, 1:] - means[:, :1]).var(axis=0, ddof=1)


def _findings(odds: np.ndarray, n: int) -> tuple[Finding, ...]:
    effective = float(odds.sum() ** 2 / (odds @ odds)) if odds.any() else 0.0
    found = []
    if effective < _FEW:
        found.append(
            Finding(
                "thin_history",
                False,
                f"The history of {len(odds):,} customers weighs as {effective:.0f} once it is made to look like the "
                f"experiment's {n:,}.",
                "Take a history whose short signals look like the experiment's, e.g. the same season a year before.",
            )
        )
    return tuple(found)


def _matrix(name: str, values: np.ndarray, n: int | None, q: int | None = None) -> np.ndarray:
    out = np.asarray(values, dtype=np.float64)
    if out.ndim != 2 or (n is not None and len(out) != n) or (q is not None and out.shape[1] != q):
        rows = "one row per customer" if n is None else f"{n} rows"
        raise ModelError(f"{name} has shape {out.shape}; it must have {rows} and {q or 'one or more'} columns.")
    if not np.isfinite(out).all():
        raise ModelError(
            f"{name} holds {int((~np.isfinite(out)).sum())} NaN or infinite values; mend those rows first."
        )
    return out
