"""Models of an outcome: boosted trees that give the expected 0/1, count or money, and the two-part model of revenue."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..sql.errors import MissingExtraError
from ..sql.threads import usable_threads
from .experiment import OutcomeKind

try:
    from sklearn.base import BaseEstimator, RegressorMixin, clone
except ImportError as missing:
    raise MissingExtraError(
        "scikit-learn is not installed; it comes with the uplift extra: pip install 'regulars[uplift]'."
    ) from missing

TREES = 80
LEAVES = 8
LEARNING_RATE = 0.05
LEAST_IN_LEAF = 200
# fewer rows are boosted faster by one thread than by several that wait for one another
FEW_ROWS = 200_000


def boosted_trees(objective: str = "regression", *, rows: int, threads: int | None = None, seed: int = 0) -> Any:
    """Return an unfitted LightGBM regressor: 80 trees of 8 leaves, the same bytes at any number of threads.

    Parameters
    ----------
    objective : str
        ``regression`` for a mean, ``binary`` for the probability of a 1 (its ``predict`` is the probability).
    rows : int
        Rows of the smallest fit that it is for: a leaf holds 200, or a twentieth of them where that is fewer.
    threads : int, optional
        At most so many, for 200,000 rows and more; as many as the process may use without it.
    seed : int
        Seed.

    Raises
    ------
    MissingExtraError
        Where LightGBM is not installed.

    Examples
    --------
    >>> x = np.repeat([[0.0], [1.0]], 100, axis=0)
    >>> model = boosted_trees("binary", rows=200, threads=1).fit(x, np.r_[np.zeros(150), np.ones(50)])
    >>> model.predict(np.array([[0.0], [1.0]])).round(1).tolist()
    [0.0, 0.5]
    """
    try:
        from lightgbm import LGBMRegressor
    except ImportError as missing:
        raise MissingExtraError(
            "lightgbm is not installed; it comes with the uplift extra: pip install 'regulars[uplift]'."
        ) from missing
    return LGBMRegressor(
        objective=objective,
        n_estimators=TREES,
        num_leaves=LEAVES,
        learning_rate=LEARNING_RATE,
        min_child_samples=least_in_leaf(rows),
        random_state=seed,
        n_jobs=1 if rows < FEW_ROWS else usable_threads(threads),
        deterministic=True,
        force_row_wise=True,
        verbosity=-1,
    )


def boosted_classifier(like: Any) -> Any:
    """Return an unfitted LightGBM classifier of the arm, with the settings of a `boosted_trees` regressor."""
    from lightgbm import LGBMClassifier

    return LGBMClassifier(**(like.get_params() | {"objective": None}))


def fresh(estimator: Any) -> Any:
    """Return an unfitted copy of a scikit-learn estimator."""
    return clone(estimator)


def least_in_leaf(rows: int) -> int:
    """Return the fewest rows of a leaf: 200, or a twentieth of the rows where that is fewer.

    Examples
    --------
    >>> least_in_leaf(64_000), least_in_leaf(1_000), least_in_leaf(10)
    (200, 50, 1)
    """
    return max(1, min(LEAST_IN_LEAF, rows // 20))


class TwoPartRegressor(RegressorMixin, BaseEstimator):
    """Expected revenue of customers of whom most buy nothing: ``P(y > 0 | x) * E[y | y > 0, x]``.

    The two parts are learnt apart (Duan, Manning, Morris & Newhouse 1983, Journal of Business & Economic Statistics
    1, 115-126), so that the few amounts do not have to explain the many zeros. Amounts are a mean, not a mean of
    logarithms: nothing has to be transformed back.

    Parameters
    ----------
    probability : scikit-learn regressor
        Learns 0/1, predicts the probability of a purchase.
    amount : scikit-learn regressor
        Learns what buyers spent; where fewer than ``least_buyers`` bought, their mean is taken instead.
    least_buyers : int
        See ``amount``.

    Attributes
    ----------
    probability_ : fitted regressor
    amount_ : fitted regressor, or float where buyers were few

    Examples
    --------
    >>> x = np.repeat([[0.0], [1.0]], 500, axis=0)
    >>> spend = np.r_[np.zeros(500), np.tile([0.0, 40.0], 250)]
    >>> trees = boosted_trees("binary", rows=1000), boosted_trees(rows=1000)
    >>> TwoPartRegressor(*trees).fit(x, spend).predict(np.array([[0.0], [1.0]])).round(-1).tolist()
    [0.0, 20.0]
    """

    def __init__(self, probability: Any = None, amount: Any = None, least_buyers: int = 2 * LEAST_IN_LEAF) -> None:
        self.probability = probability
        self.amount = amount
        self.least_buyers = least_buyers

    def fit(self, X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None) -> "TwoPartRegressor":
        """Fit both parts; ``y`` must not be negative.

        Raises
        ------
        ValueError
            Where an outcome is negative: it has no "did not buy" at 0.
        """
        y = np.asarray(y, dtype=np.float64)
        if len(y) and y.min() < 0.0:
            raise ValueError(f"an outcome is {y.min():g}; two parts need outcomes of 0 and more. Use two_part=False.")
        bought = y > 0.0
        weights = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        buyers = None if weights is None else weights[bought]
        self.probability_: Any = fresh(self.probability).fit(X, bought.astype(np.float64), sample_weight=weights)
        if bought.sum() < self.least_buyers:
            self.amount_: Any = float(np.average(y[bought], weights=buyers)) if bought.any() else 0.0
        else:
            self.amount_ = fresh(self.amount).fit(X[bought], y[bought], sample_weight=buyers)
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the expected outcome of each row, (n,), in the outcome's unit."""
        amount = self.amount_ if isinstance(self.amount_, float) else self.amount_.predict(X)
        return np.asarray(self.probability_.predict(X) * amount)


@dataclass(frozen=True)
class BaseLearners:
    """What a meta-learner is made of: ``outcome`` predicts an expected outcome, ``effect`` a mean of any sign."""

    outcome: Any
    effect: Any


def base_learners(
    outcome_kind: OutcomeKind, *, rows: int, two_part: bool = False, threads: int | None = None, seed: int = 0
) -> BaseLearners:
    """Return the unfitted models that a meta-learner is built from.

    Parameters
    ----------
    outcome_kind : {"binary", "count", "revenue", "number"}
        Binary outcomes are learnt as probabilities; all others as means, by squared error. (Squared error on 0/1 ranks
        Hillstrom's visits as well: held-out QINI x 1e4 of 77 either way for the x-learner, standard error 13.)
    rows : int
        Rows of the smallest fit.
    two_part : bool
        Whether an outcome is learnt as `TwoPartRegressor` does.
    threads, seed
        As of `boosted_trees`.
    """
    setting: dict[str, Any] = {"rows": rows, "threads": threads, "seed": seed}
    mean = boosted_trees("regression", **setting)
    if outcome_kind == "binary":
        return BaseLearners(boosted_trees("binary", **setting), mean)
    if two_part:
        return BaseLearners(TwoPartRegressor(boosted_trees("binary", **setting), mean), mean)
    return BaseLearners(mean, mean)
