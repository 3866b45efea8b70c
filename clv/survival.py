"""Survival models that are step functions of time: Kaplan-Meier, and those of scikit-survival.

A fitted model answers two things about a matrix of features: by how much its cumulative hazard grows between two times,
and when it will have grown by an amount. Everything else follows: S(t) = exp(-H(t)), P(no order in (e, e + h]) =
exp(H(e) - H(e + h)).
"""

import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..sql.errors import MissingExtraError, ModelError, nearest
from .arguments import require_count
from .survival_trees import SurvivalTrees

Array = NDArray[np.float64]

_BLOCK = 5_000
# No S is below this, so that no hazard is infinite where everybody at risk ended.
_LEAST_SURVIVAL = 1e-12
# exp of more is no number
_MOST_LOG_HAZARD = 600.0
_RIDGES = (1.0, 10.0, 100.0, 1000.0)


class SurvivalModel(ABC):
    """What `ChurnModel` asks of a survival model; ``last_time`` is the end of what it has seen.

    Examples
    --------
    >>> issubclass(KaplanMeier, SurvivalModel)
    True
    """

    linear: ClassVar[bool] = True
    # columns of the matrix, as the facade sets them before the fit
    names: tuple[str, ...] = ()
    last_time: float
    # what a reader must know of the fit
    note: str = ""

    def rows_of(self, durations: Array, events: NDArray[np.bool_]) -> NDArray[np.int64]:  # noqa: ARG002
        """How many rows each duration makes, (n,), which is what time and memory follow."""
        return np.ones(len(durations), dtype=np.int64)

    @abstractmethod
    def fit(self, X: Array, durations: Array, events: NDArray[np.bool_], groups: NDArray[Any]) -> None:
        """Learn from features (n, k), durations (n,), events (n,) and whose each row is (n,)."""

    @abstractmethod
    def growth(self, X: Array, begin: Array, ends: Array) -> Array:
        """H(end) - H(begin) for ``begin`` (n,) and ``ends`` (n, m), shape (n, m)."""

    @abstractmethod
    def time_to_grow(self, X: Array, begin: Array, amount: float) -> Array:
        """First time after ``begin`` by which H has grown by ``amount``, shape (n,); NaN where never in range."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """What a prediction needs, as plain values and arrays."""

    @abstractmethod
    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` returned; ValueError where it is none."""

    def answers(self, X: Array, begin: Array, horizon: float, amount: float) -> tuple[Array, Array]:
        """`growth` over the horizon and `time_to_grow` at once, each (n,)."""
        return self.growth(X, begin, begin[:, None] + horizon)[:, 0], self.time_to_grow(X, begin, amount)

    def contributions(self, X: Array, begin: Array, horizon: float) -> tuple[Array, tuple[str, ...]]:  # noqa: ARG002
        """How much each column adds to the log hazard of (begin, begin + horizon], shape (n, k), and the columns."""
        raise ModelError(
            f"{type(self).__name__} has no exact contributions of features; take model='hazard', 'cox' or 'coxnet'"
        )


class StepModel(SurvivalModel):
    """A model whose cumulative hazard is known on a grid of times, and flat between them."""

    grid: Array

    @abstractmethod
    def cumulative(self, X: Array) -> Array:
        """H on the grid, shape (n, len(grid))."""

    def growth(self, X: Array, begin: Array, ends: Array) -> Array:
        grown = np.empty(ends.shape)
        for rows in _blocks(len(ends)):
            H = self._from_zero(X[rows])
            until = np.take_along_axis(H, np.searchsorted(self.grid, ends[rows], side="right"), axis=1)
            since = np.take_along_axis(H, np.searchsorted(self.grid, begin[rows], side="right")[:, None], axis=1)
            grown[rows] = until - since
        return grown

    def time_to_grow(self, X: Array, begin: Array, amount: float) -> Array:
        when = np.empty(len(begin))
        times = np.append(self.grid, np.nan)
        for rows in _blocks(len(begin)):
            H = self._from_zero(X[rows])
            since = np.take_along_axis(H, np.searchsorted(self.grid, begin[rows], side="right")[:, None], axis=1)
            when[rows] = times[(H[:, 1:] < since + amount - 1e-12).sum(axis=1)]
        return when

    def _from_zero(self, X: Array) -> Array:
        H = self.cumulative(X)
        return np.concatenate([np.zeros((len(H), 1)), H], axis=1)


class KaplanMeier(StepModel):
    """The floor: the same for everybody (Kaplan & Meier 1958, JASA 53).

    Examples
    --------
    >>> model = KaplanMeier()
    >>> model.fit(np.empty((3, 0)), np.array([1.0, 2, 3]), np.array([True, True, False]), np.arange(3))
    >>> np.exp(-model.cumulative(np.empty((1, 0)))).round(3).tolist()
    [[0.667, 0.333, 0.333]]
    """

    def fit(self, X: Array, durations: Array, events: NDArray[np.bool_], groups: NDArray[Any]) -> None:  # noqa: ARG002
        self.grid, place = np.unique(durations, return_inverse=True)
        ended = np.bincount(place, events, len(self.grid))
        at_risk = len(durations) - np.searchsorted(np.sort(durations), self.grid, side="left")
        survival = np.cumprod(1 - ended / at_risk)
        self._cumulative = -np.log(np.maximum(survival, _LEAST_SURVIVAL))
        self.last_time = float(self.grid[-1])

    def cumulative(self, X: Array) -> Array:
        return np.broadcast_to(self._cumulative, (len(X), len(self.grid)))

    def state(self) -> dict[str, Any]:
        return {"grid": self.grid, "cumulative": self._cumulative}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.grid, self._cumulative = _on_a_grid(state["grid"], state["cumulative"])
        self.last_time = float(self.grid[-1])


class ScikitSurvival(StepModel):
    """A model of scikit-survival by its public methods."""

    def __init__(self, seed: int = 0, **options: Any) -> None:
        self.seed, self.options = seed, options

    @abstractmethod
    def make(self) -> Any:
        """The unfitted estimator."""

    def fit(self, X: Array, durations: Array, events: NDArray[np.bool_], groups: NDArray[Any]) -> None:  # noqa: ARG002
        _something_varies(self, X)
        estimator = self.make()
        try:
            self.estimator = estimator.fit(X, outcome(durations, events))
            self.grid = np.asarray(self.estimator.unique_times_, dtype=np.float64)
        except (ValueError, TypeError) as error:
            raise ModelError(
                f"{type(estimator).__name__} cannot be fitted to {len(X):,} rows: {str(error).strip()[:300]}"
            ) from error
        self.last_time = float(durations.max())

    def cumulative(self, X: Array) -> Array:
        survival = self.estimator.predict_survival_function(X, return_array=True)
        return -np.log(np.maximum(survival, _LEAST_SURVIVAL))


class ProportionalHazards(ScikitSurvival):
    """H(t | x) = H0(t) exp(f(x)): once H0 and f are read off the library's fit, that is not asked any more."""

    baseline: Array

    def fit(self, X: Array, durations: Array, events: NDArray[np.bool_], groups: NDArray[Any]) -> None:
        super().fit(X, durations, events, groups)
        origin = np.zeros((1, X.shape[1]))
        hazard = np.asarray(self.estimator.predict_cumulative_hazard_function(origin, return_array=True))[0]
        self.take(self.estimator)
        self.baseline = hazard * np.exp(-self.log_hazard(origin)[0])
        del self.estimator

    @abstractmethod
    def take(self, estimator: Any) -> None:
        """Keep what f needs."""

    @abstractmethod
    def log_hazard(self, X: Array) -> Array:
        """f, shape (n,)."""

    def cumulative(self, X: Array) -> Array:
        H = self.baseline * np.exp(np.minimum(self.log_hazard(X), _MOST_LOG_HAZARD))[:, None]
        return np.minimum(H, -np.log(_LEAST_SURVIVAL))

    def state(self) -> dict[str, Any]:
        return {"grid": self.grid, "baseline": self.baseline, "last_time": self.last_time}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.grid, self.baseline = _on_a_grid(state["grid"], state["baseline"])
        self.last_time = float(state["last_time"])


class Cox(ProportionalHazards):
    """Proportional hazards (Cox 1972), ties by Efron (1977); ``ties="breslow"`` is the other, ``alpha`` a ridge.

    It is fitted on standardised columns, which a ridge is of; coefficients are those of the columns as given. Where
    Newton's first step goes so far that there is no way back, the least of a few ridges that holds is taken, and said.
    """

    takes_ridge: ClassVar[bool] = True

    def make(self) -> Any:
        return _estimator("sksurv.linear_model", "CoxPHSurvivalAnalysis", {"ties": "efron"} | self.options)

    def fit(self, X: Array, durations: Array, events: NDArray[np.bool_], groups: NDArray[Any]) -> None:
        _something_varies(self, X)
        self.means, self.scales = X.mean(axis=0), X.std(axis=0)
        known = self.options
        ridges = (0.0, *_RIDGES) if self.takes_ridge and "alpha" not in known else (0.0,)
        said = ""
        for ridge in ridges:
            self.options = known | ({"alpha": ridge} if ridge else {})
            said = self._failure(X, durations, events, groups)
            if not said:
                if ridge:
                    self.note = f"the climb broke down without a ridge; fitted with alpha={ridge:g}"
                break
        self.options = known
        if said:
            raise ModelError(
                f"Cox cannot be fitted: {said}; features may say the same, or tell all events apart: leave one out, "
                "or give a ridge, such as alpha=100"
            )

    def _failure(self, X: Array, durations: Array, events: NDArray[np.bool_], groups: NDArray[Any]) -> str:
        try:
            # steps that are too long overflow on the way; what comes of them is looked at
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.learn(self._standard(X), durations, events, groups)
        except (ModelError, ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
            return str(error)
        return "" if np.isfinite(self.coefficients).all() else "coefficients are not finite"

    def learn(self, X: Array, durations: Array, events: NDArray[np.bool_], groups: NDArray[Any]) -> None:
        """Fit on standardised columns."""
        super().fit(X, durations, events, groups)

    def _standard(self, X: Array) -> Array:
        return (X - self.means) / self.scales

    def take(self, estimator: Any) -> None:
        self.slopes = np.asarray(estimator.coef_, dtype=np.float64).reshape(len(self.scales), -1)[:, -1]

    def log_hazard(self, X: Array) -> Array:
        return X @ self.slopes

    @property
    def coefficients(self) -> Array:
        """Log hazard ratios by column of the matrix."""
        return self.slopes / self.scales

    def cumulative(self, X: Array) -> Array:
        return super().cumulative(self._standard(X))

    def state(self) -> dict[str, Any]:
        return super().state() | {"slopes": self.slopes, "means": self.means, "scales": self.scales}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        self.slopes, self.means, self.scales = (_column_of(state[n], n) for n in ("slopes", "means", "scales"))
        if not len(self.slopes) == len(self.means) == len(self.scales) == len(self.names):
            raise ValueError("its coefficients are not those of its columns")
        if not (self.scales > 0).all():
            raise ValueError("a scale is not above 0")

    def contributions(self, X: Array, begin: Array, horizon: float) -> tuple[Array, tuple[str, ...]]:  # noqa: ARG002
        return X * self.coefficients, self.names


class Coxnet(Cox):
    """Cox under an elastic net (Simon, Friedman, Hastie & Tibshirani 2011); the penalty by held-out customers."""

    takes_ridge = False

    def make(self) -> Any:
        given = {"l1_ratio": 0.5, "n_alphas": 50, "fit_baseline_model": True}
        return _estimator("sksurv.linear_model", "CoxnetSurvivalAnalysis", given | self.options)

    def learn(self, X: Array, durations: Array, events: NDArray[np.bool_], groups: NDArray[Any]) -> None:
        """Choose the penalty on a fifth of the customers where none is given, and fit on all."""
        known = self.options
        if "alphas" not in known:
            held = held_out(groups, self.seed)
            path = self.make().fit(X[~held], outcome(durations[~held], events[~held]))
            scores = [partial_log_likelihood(X[held] @ b, durations[held], events[held]) for b in path.coef_.T]
            self.options = {**known, "alphas": [float(path.alphas_[int(np.argmax(scores))])]}
        super().learn(X, durations, events, groups)
        self.options = known


class GradientBoosting(ProportionalHazards):
    """Boosted trees on Cox's partial likelihood (Ridgeway 1999)."""

    trees: SurvivalTrees

    def make(self) -> Any:
        given = {"n_estimators": 100, "learning_rate": 0.1, "max_depth": 3, "min_samples_leaf": 20, "subsample": 0.7}
        given |= {"random_state": self.seed} | self.options
        return _estimator("sksurv.ensemble", "GradientBoostingSurvivalAnalysis", given)

    def take(self, estimator: Any) -> None:
        grown = [tree.tree_ for tree in np.ravel(estimator.estimators_)]
        # where trees drop out, those that stay are scaled
        weights = estimator.learning_rate * np.asarray(getattr(estimator, "_scale", np.ones(len(grown))))
        self.trees = SurvivalTrees.of(
            grown, [weight * tree.value[:, 0, :] for weight, tree in zip(weights, grown, strict=True)]
        )

    def log_hazard(self, X: Array) -> Array:
        f = np.zeros(len(X))
        for leaf in self.trees.leaves(X):
            f += self.trees.values[leaf, 0]
        return f

    def state(self) -> dict[str, Any]:
        return super().state() | {"trees": self.trees.to_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        self.trees = _trees_of(state["trees"], len(self.names), 1)


class RandomForest(ScikitSurvival):
    """Random survival forest (Ishwaran, Kogalur, Blackstone & Lauer 2008), of times binned to bound its memory.

    Every node keeps two functions of time: nodes x times x 16 bytes x trees. ``bins=None`` keeps every time;
    ``memory_limit`` in bytes is what is available where not given. What would not fit is refused with a figure.
    """

    def __init__(
        self, seed: int = 0, *, bins: int | None = 60, memory_limit: float | None = None, **options: Any
    ) -> None:
        super().__init__(seed, **options)
        if bins is not None and require_count("bins", bins) < 1:
            raise ModelError("bins is 0; it must be a whole number from 1, or None for every time")
        self.bins, self.memory_limit = bins, memory_limit
        self.trees: SurvivalTrees | None = None

    def make(self) -> Any:
        given = {"n_estimators": 100, "min_samples_leaf": 50, "n_jobs": 1, "random_state": self.seed}
        return _estimator("sksurv.ensemble", "RandomSurvivalForest", given | self.options)

    def fit(self, X: Array, durations: Array, events: NDArray[np.bool_], groups: NDArray[Any]) -> None:
        last = float(durations.max())
        if self.bins is not None:
            edges = time_bins(durations, events, self.bins)
            durations = edges[np.minimum(np.searchsorted(edges, durations), len(edges) - 1)]
        estimator = self.make()
        if estimator.low_memory:
            raise ModelError("low_memory keeps no survival curves, of which every answer is made; leave it out")
        times = len(np.unique(durations))
        leaves = max(1, len(X) // estimator.min_samples_leaf)
        needed = forest_bytes(leaves, times, estimator.n_estimators)
        limit = available_bytes() if self.memory_limit is None else self.memory_limit
        if needed > limit:
            raise ModelError(
                f"a random survival forest of {estimator.n_estimators} trees on {len(X):,} intervals with {times:,} "
                f"times needs about {needed / 1e9:.1f} GB and {limit / 1e9:.1f} GB are there; give fewer bins (now "
                f"{self.bins}), a smaller max_rows, a larger min_samples_leaf, or take model='hazard'"
            )
        super().fit(X, durations, events, groups)
        self.last_time, self.trees = last, None

    def cumulative(self, X: Array) -> Array:
        if self.trees is None:
            return super().cumulative(X)
        total = np.zeros((len(X), len(self.grid)))
        for leaf in self.trees.leaves(X):
            total += self.trees.values[leaf]
        return -np.log(np.maximum(total / len(self.trees.first), _LEAST_SURVIVAL))

    def state(self) -> dict[str, Any]:
        trees = self.trees
        if trees is None:
            grown = [tree.tree_ for tree in self.estimator.estimators_]
            trees = SurvivalTrees.of(grown, [tree.value[:, :, 1] for tree in grown])
        return {"grid": self.grid, "last_time": self.last_time, "trees": trees.to_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.grid = _on_a_grid(state["grid"])[0]
        self.last_time = float(state["last_time"])
        self.trees = _trees_of(state["trees"], len(self.names), len(self.grid))


def forest_bytes(leaves: int, times: int, trees: int) -> float:
    """Return what a forest keeps: a tree of L leaves has 2 L - 1 nodes, each with two floats a time.

    Examples
    --------
    >>> forest_bytes(leaves=1_000, times=365, trees=100) / 1e9
    1.167416
    """
    return float((2 * leaves - 1) * times * 2 * 8 * trees)


def available_bytes() -> float:
    """Return the memory that can be had without swapping.

    Examples
    --------
    >>> available_bytes() > 0
    True
    """
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:  # noqa: PTH123
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return float(line.split()[1]) * 1024
    except OSError:
        pass
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) / 2


def time_bins(durations: Array, events: NDArray[np.bool_], most: int) -> Array:
    """Return upper edges of bins of time: as many quantiles of the events as are distinct, then wider to the last time.

    Parameters
    ----------
    durations, events : ndarray, shape (n,)
        Times, above 0, and whether each ended in an event.
    most : int
        At most so many bins; where there are no more distinct times, each is an edge.

    Examples
    --------
    >>> time_bins(np.array([1.0, 1, 2, 3, 30, 90]), np.array([True, True, True, True, True, False]), 4).tolist()
    [1.0, 3.0, 30.0, 90.0]
    """
    ended, last = np.unique(durations[events]), float(durations.max())
    if len(ended) + (ended[-1] < last) <= most:
        return np.union1d(ended, last)
    tail = max(1, most // 3)
    shares = np.arange(1, most - tail) / (most - tail)
    body = np.unique(np.quantile(durations[events], shares, method="inverted_cdf"))
    far = np.geomspace(max(body[-1], last / 1e6), last, tail + 2)[1:]
    # edges of the tail on times that were seen, so that bins of whole days end on whole days
    seen = np.unique(durations)
    return np.union1d(body, seen[np.minimum(np.searchsorted(seen, far * (1 - 1e-9)), len(seen) - 1)])


def held_out(groups: NDArray[Any], seed: int, share: float = 0.2) -> NDArray[np.bool_]:
    """Mark the rows of a random share of the customers.

    Examples
    --------
    >>> int(held_out(np.repeat(np.arange(10), 3), seed=1).sum())
    6
    """
    ids, place = np.unique(groups, return_inverse=True)
    chosen = np.zeros(len(ids), dtype=bool)
    chosen[np.random.default_rng(seed).permutation(len(ids))[: max(1, round(share * len(ids)))]] = True
    return chosen[place]


def partial_log_likelihood(risk: Array, durations: Array, events: NDArray[np.bool_]) -> float:
    """Return Cox's partial log-likelihood of log hazards ``risk``, ties by Breslow.

    Examples
    --------
    >>> round(partial_log_likelihood(np.zeros(3), np.array([1.0, 2, 3]), np.array([True, True, False])), 6)
    -1.791759
    """
    order = np.argsort(-durations, kind="stable")
    risk, durations, events = risk[order], durations[order], events[order]
    running = np.logaddexp.accumulate(risk)
    # everybody of the same time is at risk
    last = np.searchsorted(-durations, -durations, side="right") - 1
    return float((risk - running[last])[events].sum())


def outcome(durations: Array, events: NDArray[np.bool_]) -> NDArray[Any]:
    """Return what scikit-survival reads.

    Examples
    --------
    >>> outcome(np.array([2.0]), np.array([True])).dtype.names
    ('event', 'time')
    """
    made = np.empty(len(durations), dtype=[("event", bool), ("time", np.float64)])
    made["event"], made["time"] = events, durations
    return made


def survival_library(module: str) -> Any:
    """Import a module of scikit-survival (GPL-3.0-or-later, an extra).

    Raises
    ------
    MissingExtraError
        It is not installed.

    Examples
    --------
    >>> survival_library("sksurv.metrics").__name__
    'sksurv.metrics'
    """
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError:
        raise MissingExtraError(
            "this needs scikit-survival (GPL-3.0-or-later): pip install 'regulars[churn]'"
        ) from None


def _estimator(module: str, name: str, given: Mapping[str, Any]) -> Any:
    kind = getattr(survival_library(module), name)
    allowed = sorted(kind().get_params())
    for option in given:
        if option not in allowed:
            raise ModelError(
                f"no option {option!r}{nearest(option, allowed)} of {name}; there are {', '.join(allowed)}"
            )
    return kind(**given)


def _something_varies(model: SurvivalModel, X: Array) -> None:
    if X.shape[1] == 0:
        raise ModelError(f"{type(model).__name__} has no feature that varies; add one, or take model='kaplan_meier'")


def _column_of(values: Any, name: str) -> Array:
    column = np.array(values, dtype=np.float64)
    if column.ndim != 1 or not np.isfinite(column).all():
        raise ValueError(f"{name} is no list of finite numbers")
    return column


def _on_a_grid(times: Any, *curves: Any) -> tuple[Array, ...]:
    """Times that ascend, and functions of them that do not fall."""
    grid, *rising = _column_of(times, "grid"), *(_column_of(curve, "a curve") for curve in curves)
    if not len(grid) or (np.diff(grid) <= 0).any():
        raise ValueError("its times do not ascend")
    for curve in rising:
        if len(curve) != len(grid) or (np.diff(curve, prepend=0.0) < 0).any():
            raise ValueError("its cumulative hazard falls, or is not that of its times")
    return grid, *rising


def _trees_of(state: Mapping[str, Any], columns: int, width: int) -> SurvivalTrees:
    trees = SurvivalTrees.from_dict(state)
    if trees.feature.max(initial=-1) >= columns or trees.values.shape[1] != width:
        raise ValueError("its trees ask columns, or tell times, that it does not have")
    return trees


def _blocks(n: int) -> list[slice]:
    return [slice(i, min(i + _BLOCK, n)) for i in range(0, n, _BLOCK)]


STEP_MODELS: Mapping[str, type[StepModel]] = {
    "kaplan_meier": KaplanMeier,
    "cox": Cox,
    "coxnet": Coxnet,
    "gradient_boosting": GradientBoosting,
    "random_survival_forest": RandomForest,
}
