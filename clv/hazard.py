"""A discrete-time hazard on boosted trees: whether an interval that has come to a bin of time ends in it.

Each interval becomes a row for every bin of time that it reaches, with its features, the time elapsed, and that time
over the customer's own gaps; trees learn P(ends in the bin | reached it) (Singer & Willett 1993; Tutz & Schmid 2016).
One censored within a bin counts there by the part that it outlasted, as in a life table (Cutler & Ederer 1958). Within
a bin the hazard is constant. Memory is bounded by bins and by sampling customers, never intervals.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..sql.errors import ModelError, nearest
from .arguments import require_count
from .boosted_text import boosting_library, read_trees, trees_sha256, trees_text
from .survival import SurvivalModel, held_out, time_bins

Array = NDArray[np.float64]

ELAPSED = "elapsed"
# Of the customer's own, what the time elapsed is held against.
_OWN_GAPS = ("mean_gap", "longest_gap", "previous_gap")
_MOST_ROUNDS = 400
_PATIENCE = 20
# Above so many rows a fifth more customers change nothing, and the fit that chose the rounds stands.
_REFIT_ROWS = 200_000
_FEWEST_HELD_OUT_EVENTS = 20
_FEWEST_TO_SAMPLE = 10
_BLOCK = 200_000
_LEAST_HAZARD = 1e-9
# LightGBM's parameters of learning by their main names; it would pass over one that it does not know in silence.
_OPTIONS = frozenset(
    {
        "bagging_fraction", "bagging_freq", "bagging_seed", "boosting", "cat_l2", "cat_smooth", "data_random_seed",
        "deterministic", "drop_rate", "drop_seed", "extra_seed", "extra_trees", "feature_fraction",
        "feature_fraction_bynode", "feature_fraction_seed", "force_col_wise", "force_row_wise",
        "histogram_pool_size", "interaction_constraints", "lambda_l1", "lambda_l2", "learning_rate",
        "linear_lambda", "linear_tree", "max_bin", "max_delta_step", "max_depth", "max_drop", "min_data_in_bin",
        "min_data_in_leaf", "min_gain_to_split", "min_sum_hessian_in_leaf", "monotone_constraints",
        "monotone_constraints_method", "monotone_penalty", "neg_bagging_fraction", "num_leaves", "num_threads",
        "other_rate", "path_smooth", "pos_bagging_fraction", "seed", "skip_drop", "top_rate", "tree_learner",
        "uniform_drop", "use_quantized_grad", "verbosity", "xgboost_dart_mode",
    }
)  # fmt: skip


class DiscreteHazard(SurvivalModel):
    """LightGBM on person-period rows.

    Parameters
    ----------
    seed : int
        Of the boosting and of the customers held out.
    bins : int
        At most so many bins of time; where there are no more distinct times, each is one.
    rounds : int, optional
        Trees; without it the number is chosen on a fifth of the customers, held out.
    threads : int
        Of LightGBM; the result does not depend on it.
    **options
        Parameters of LightGBM in place of ours.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> model = DiscreteHazard(rounds=20)
    >>> lasted = rng.geometric(0.2, 2_000).astype(float)
    >>> model.fit(np.zeros((2_000, 1)), lasted, np.ones(2_000, dtype=bool), np.arange(2_000))
    >>> survival = np.exp(-model.growth(np.zeros((1, 1)), np.zeros(1), np.array([[1.0, 2.0]])))
    >>> bool(np.abs(survival - [[0.8, 0.64]]).max() < 0.03)
    True
    """

    linear = False

    def __init__(
        self, seed: int = 0, *, bins: int = 40, rounds: int | None = None, threads: int = 1, **options: Any
    ) -> None:
        for name in options:
            if name not in _OPTIONS:
                raise ModelError(
                    f"no option {name!r}{nearest(name, sorted(_OPTIONS))} of the hazard; there are bins, rounds, "
                    f"threads and LightGBM's {', '.join(sorted(_OPTIONS))}"
                )
        for name, value in (("bins", bins), ("threads", threads), ("rounds", 1 if rounds is None else rounds)):
            if require_count(name, value) < 1:
                raise ModelError(f"{name} is {value}; it must be a whole number from 1")
        self.bins, self.rounds, self.threads = bins, rounds, threads
        self.options = {
            "objective": "binary",
            "learning_rate": 0.1,
            "num_leaves": 15,
            "min_data_in_leaf": 200,
            "lambda_l2": 10.0,
            "bagging_fraction": 0.8,
            "bagging_freq": 1,
            "feature_fraction": 0.7,
            "max_bin": 127,
            "seed": seed,
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
            "num_threads": threads,
        } | options

    def rows_of(self, durations: Array, events: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Bins that each duration reaches, the one that it ends in included."""
        self.edges = np.concatenate([[0.0], time_bins(durations, events, self.bins)])
        self.last_time = float(self.edges[-1])
        return self._reached(durations)

    def fit(self, X: Array, durations: Array, events: NDArray[np.bool_], groups: NDArray[Any]) -> None:
        lightgbm = boosting_library()
        # edges are those of all customers where they were asked for before a sample was taken
        reached = self._reached(durations) if hasattr(self, "edges") else self.rows_of(durations, events)
        self._own = self._own_gaps()
        rows, ended = self._person_periods(np.asarray(X, dtype=np.float32), reached, events)
        weights = self._weights(durations, reached, events)
        held = np.repeat(held_out(groups, int(self.options["seed"])), reached)
        # a share of so few rows would be none
        options = self.options | ({"bagging_freq": 0} if len(rows) < _FEWEST_TO_SAMPLE else {})
        rounds = self.rounds
        if rounds is None and not 0 < ended[~held].sum() >= _FEWEST_HELD_OUT_EVENTS <= ended[held].sum():
            rounds = _PATIENCE
        booster = None
        if rounds is None:
            train = lightgbm.Dataset(rows[~held], ended[~held], weight=weights[~held], params=options)
            booster = _trained(
                options,
                train,
                _MOST_ROUNDS,
                valid_sets=[train.create_valid(rows[held], ended[held], weight=weights[held])],
                callbacks=[lightgbm.early_stopping(_PATIENCE, verbose=False)],
            )
            rounds = max(1, booster.best_iteration)
        if booster is None or len(rows) <= _REFIT_ROWS:
            every = lightgbm.Dataset(rows, ended, weight=weights, params=options)
            booster = _trained(options, every, rounds)
        self.booster, self.rounds_ = booster, rounds

    def state(self) -> dict[str, Any]:
        text = trees_text(self.booster)
        return {"edges": self.edges, "rounds": self.rounds_, "trees": text, "trees_sha256": trees_sha256(text)}

    def restore(self, state: Mapping[str, Any]) -> None:
        edges = np.array(state["edges"], dtype=np.float64)
        if edges.ndim != 1 or len(edges) < 2 or edges[0] != 0 or not (np.diff(edges) > 0).all():
            raise ValueError("its bins of time do not ascend from 0")
        self.edges, self.last_time, self.rounds_ = edges, float(edges[-1]), int(state["rounds"])
        self._own = self._own_gaps()
        columns = len(self.names) + 1 + len(self._own)
        self.booster = read_trees(state["trees"], state["trees_sha256"], "binary", columns)

    def _own_gaps(self) -> tuple[int, ...]:
        return tuple(self.names.index(name) for name in _OWN_GAPS if name in self.names)

    def growth(self, X: Array, begin: Array, ends: Array) -> Array:
        return self._walk(X, begin, ends, None)[0]

    def time_to_grow(self, X: Array, begin: Array, amount: float) -> Array:
        return self._walk(X, begin, begin[:, None], amount)[1]

    def answers(self, X: Array, begin: Array, horizon: float, amount: float) -> tuple[Array, Array]:
        grown, when = self._walk(X, begin, begin[:, None] + horizon, amount)
        return grown[:, 0], when

    def contributions(self, X: Array, begin: Array, horizon: float) -> tuple[Array, tuple[str, ...]]:
        """TreeSHAP of the log-odds, the mean over the window's bins by the part of the hazard that each holds."""
        total = np.zeros((len(X), X.shape[1] + 1 + len(self._own)))
        weight = np.zeros(len(X))
        bins = self._bin(begin)
        active = np.arange(len(X))
        while len(active):
            at = bins[active]
            shared = np.minimum(self.edges[at + 1], begin[active] + horizon) - np.maximum(self.edges[at], begin[active])
            rows = self._rows(np.asarray(X[active], dtype=np.float32), at)
            moved = np.asarray(self.booster.predict(rows, pred_contrib=True, num_threads=self.threads))
            # the sum of all contributions is the log-odds: the derivative of log H by each bin's is its part of H
            part = np.logaddexp(0.0, moved.sum(axis=1)) * shared / (self.edges[at + 1] - self.edges[at])
            total[active] += part[:, None] * moved[:, :-1]
            weight[active] += part
            bins[active] += 1
            going = (bins[active] < len(self.edges) - 1) & (self.edges[bins[active]] < begin[active] + horizon)
            active = active[going]
        names = (*self.names, *([ELAPSED] * (1 + len(self._own))))
        return total / np.maximum(weight, 1e-300)[:, None], names

    def _reached(self, durations: Array) -> NDArray[np.int64]:
        return np.searchsorted(self.edges, np.minimum(durations, self.last_time), side="left").astype(np.int64)

    def _weights(self, durations: Array, reached: NDArray[np.int64], events: NDArray[np.bool_]) -> Array:
        """The part of its last bin that one censored has outlasted; without it hazards would come out too high."""
        low, high = self.edges[reached - 1], self.edges[reached]
        last = np.where(events, 1.0, (np.minimum(durations, self.last_time) - low) / (high - low))
        weights = np.ones(int(reached.sum()))
        weights[np.cumsum(reached) - 1] = last
        return weights

    def _person_periods(
        self, X: NDArray[np.float32], reached: NDArray[np.int64], events: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        ends = np.cumsum(reached)
        rows = np.empty((int(ends[-1]), X.shape[1] + 1 + len(self._own)), dtype=np.float32)
        ended = np.zeros(len(rows), dtype=bool)
        ended[ends[events] - 1] = True
        for first in range(0, len(X), _BLOCK):
            block = slice(first, min(first + _BLOCK, len(X)))
            of = np.repeat(np.arange(block.start, block.stop), reached[block])
            begin = int(ends[block.start] - reached[block.start])
            at = np.arange(begin, begin + len(of)) - (ends[of] - reached[of])
            rows[begin : begin + len(of)] = self._rows(X[of], at)
        return rows, ended

    def _rows(self, X: NDArray[np.float32], bins: NDArray[np.int64]) -> NDArray[np.float32]:
        made = np.empty((len(X), X.shape[1] + 1 + len(self._own)), dtype=np.float32)
        made[:, : X.shape[1]] = X
        middle = ((self.edges[:-1] + self.edges[1:]) / 2).astype(np.float32)[bins]
        made[:, X.shape[1]] = middle
        for j, column in enumerate(self._own, start=X.shape[1] + 1):
            np.divide(middle, X[:, column], out=made[:, j])
        return made

    def _bin(self, times: Array) -> NDArray[np.int64]:
        return np.clip(np.searchsorted(self.edges, times, side="right") - 1, 0, len(self.edges) - 2)

    def _walk(self, X: Array, begin: Array, ends: Array, amount: float | None) -> tuple[Array, Array]:
        grown, when = np.zeros(ends.shape), np.full(len(begin), np.nan)
        for first in range(0, len(begin), _BLOCK):
            block = slice(first, first + _BLOCK)
            features = np.asarray(X[block], dtype=np.float32)
            self._walk_block(features, begin[block], ends[block], amount, grown[block], when[block])
        return grown, when

    def _walk_block(
        self, X: NDArray[np.float32], begin: Array, ends: Array, amount: float | None, grown: Array, when: Array
    ) -> None:
        """Go from bin to bin with those who have not yet come to the end of what is asked."""
        bins, active = self._bin(begin), np.arange(len(begin))
        furthest, so_far = ends.max(axis=1), np.zeros(len(begin))
        active = active[(furthest > begin) | (amount is not None)]
        active = active[begin[active] < self.last_time]
        while len(active):
            at = bins[active]
            odds = np.asarray(self.booster.predict(self._rows(X[active], at), num_threads=self.threads))
            low, high = np.maximum(self.edges[at], begin[active]), self.edges[at + 1]
            rate = -np.log1p(-np.clip(odds, _LEAST_HAZARD, 1 - _LEAST_HAZARD)) / (high - self.edges[at])
            until = np.minimum(ends[active], high[:, None])
            grown[active] += rate[:, None] * np.maximum(until - low[:, None], 0.0)
            waiting = np.zeros(len(active), dtype=bool)
            if amount is not None:
                needed = amount - so_far[active]
                so_far[active] += rate * (high - low)
                done = np.isnan(when[active]) & (so_far[active] >= amount)
                when[active[done]] = (low + needed / rate)[done]
                waiting = np.isnan(when[active])
            bins[active] += 1
            going = (at + 1 < len(self.edges) - 1) & ((high < furthest[active]) | waiting)
            active = active[going]


def _trained(options: dict[str, Any], *given: Any, **more: Any) -> Any:
    lightgbm = boosting_library()
    try:
        return lightgbm.train(options, *given, **more)
    except (lightgbm.basic.LightGBMError, ValueError, TypeError) as error:
        raise ModelError(
            f"LightGBM cannot learn the hazard: {str(error).strip()[:300]}; look at the options"
        ) from error
