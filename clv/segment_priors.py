"""Segments that borrow strength: parameters of their own, drawn to the parent's the fewer the customers are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from ..sql.errors import ContractError, ModelError, nearest
from ..sql.frames import columns_of
from .btyd import DEFAULT_TIME_UNIT, BTYDModel
from .histories import PurchaseHistories, read_histories, require_repeats
from .maximum_likelihood import Objective, log_box, maximise
from .plain_models import plain_model

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

_ROUNDS = 60
_SETTLED = 1e-3
# Variances of logarithms between segments that a round may give; below the first all segments are alike.
_LEAST, _MOST = 1e-8, 4.0
# Above this a float stands for several whole numbers: ids are told apart as they are.
_EXACT = 2.0**53
_ROOT: tuple[str, ...] = ()


class SegmentPriorModel:
    """A model of orders whose parameters differ by segment, with a prior from the segment above.

    ``levels`` name columns from the widest segment to the narrowest, such as country and channel. The logarithms of a
    segment's parameters are normal about its parent's, the base's at the top; their variances, one for each level and
    parameter, are estimated from how much segments differ beyond chance (empirical Bayes: expectation-maximisation
    with Laplace's approximation of each segment's posterior). A segment of many customers keeps its own estimate, one
    of few its parent's, and one not seen at all has its parent's.

    Parameters
    ----------
    model : str
        ``"nbd"``, ``"bg_nbd"``, ``"mbg_nbd"`` or ``"pareto_nbd"``.
    levels : sequence of str
        Columns of the summary.

    Attributes
    ----------
    base_ : BTYDModel
        The plain model of all customers.
    models_ : dict
        Values of the first levels -> plain model with the segment's parameters (posterior modes) and, as
        ``covariance_``, their posterior covariance.
    spread_ : DataFrame
        Standard deviation of each parameter's logarithm between segments, by level.
    summary_ : DataFrame
        One row per segment: its level, customers, parameters, and ``own_share``: how much of the estimate is the
        segment's own, by parameter the mean of 1 - posterior over prior variance.

    References
    ----------
    Dempster, Laird & Rubin (1977), Maximum Likelihood from Incomplete Data via the EM Algorithm, JRSS B 39(1).
    Morris (1983), Parametric Empirical Bayes Inference, Journal of the American Statistical Association 78(381).

    Examples
    --------
    >>> import pandas as pd
    >>> from regulars.clv.simulate import simulate_bg_nbd
    >>> truth = {"r": 0.5, "alpha": 4.0, "a": 0.8, "b": 2.5}
    >>> parts = [
    ...     simulate_bg_nbd({**truth, "alpha": alpha}, size, T=52, seed=i).assign(channel=name)
    ...     for i, (name, alpha, size) in enumerate([("web", 4, 3000), ("shop", 8, 3000), ("fair", 8, 20)])
    ... ]
    >>> model = SegmentPriorModel("bg_nbd", ["channel"]).fit(pd.concat(parts, ignore_index=True))
    >>> share = model.summary_.set_index("segment")["own_share"]
    >>> bool(share["web"] > 2 * share["fair"])
    True
    """

    base_: BTYDModel
    models_: dict[tuple[str, ...], BTYDModel]
    variances_: Array
    customers_: dict[tuple[str, ...], float]
    own_share_: dict[tuple[str, ...], float]
    time_unit_: str

    def __init__(self, model: str = "pareto_nbd", levels: Sequence[str] = ()) -> None:
        self._kind = plain_model(model)
        if isinstance(levels, str) or not levels or len(set(levels)) < len(tuple(levels)):
            raise ModelError(f"levels is {levels!r}; it must list columns, the widest segment first, each once")
        self.model, self.levels = model, tuple(levels)
        self.name = f"{model}_segments"

    def unfitted(self) -> Self:
        """Return a model of the same segments that is not fitted yet."""
        return type(self)(self.model, self.levels)

    def fit(self, summary: Any) -> Self:
        """Fit all segments.

        Parameters
        ----------
        summary : frame
            ``frequency``, ``recency``, ``T``, the levels' columns, optionally ``weight``.

        Raises
        ------
        ContractError
            A column is missing, a row is impossible, or a customer has no segment.
        ModelError
            As for `BTYDModel.fit`; or dropout is not identified in the whole base: fit NBD then.
        """
        histories = read_histories(summary)
        require_repeats(histories)
        self.time_unit_ = histories.time_unit or DEFAULT_TIME_UNIT
        self.base_ = self._kind.unfitted().fit(histories)
        names = self.base_.parameter_names
        if not all(np.isfinite(v) and v > 0 for v in self.base_.params_.values()):
            raise ModelError(
                f"the whole base does not identify {self.model}'s dropout ({self.base_.message_}); use "
                "SegmentPriorModel('nbd', ...)"
            )
        paths = self._paths(summary)
        self.models_ = {_ROOT: self.base_}
        self.customers_ = {_ROOT: float(histories.weight.sum())}
        self.own_share_ = {_ROOT: 1.0}
        variances = []
        for depth in range(1, len(self.levels) + 1):
            segment, index = _numbered([path[:depth] for path in paths])
            rows = [np.flatnonzero(index == i) for i in range(len(segment))]
            parts = [histories.take(some) for some in rows]
            variances.append(self._fit_level(segment, parts, names))
        self.variances_ = np.array(variances)
        return self

    def _fit_level(self, segments: list[tuple[str, ...]], parts: list[PurchaseHistories], names: Any) -> Array:
        """Estimate the variances of a level and its segments' parameters."""
        objectives = [self._kind._objective(part.distinct) for part in parts]
        priors = np.array([np.log(list(self.models_[segment[:-1]].params_.values())) for segment in segments])
        found = fit_with_prior(objectives, priors)
        for i, segment in enumerate(segments):
            model = type(self._kind).from_parameters(
                time_unit=self.time_unit_, **dict(zip(names, np.exp(found.modes[i]).tolist(), strict=True))
            )
            estimate = np.exp(found.modes[i])
            model.covariance_ = found.covariances[i] * np.outer(estimate, estimate)
            model.n_customers_ = self.customers_[segment] = float(parts[i].weight.sum())
            self.models_[segment] = model
            own = 1.0 - np.diag(found.covariances[i]) / found.variance
            self.own_share_[segment] = float(np.clip(own, 0.0, 1.0).mean())
        return found.variance

    # ---------------------------------------------------------------- predictions

    def probability_alive(self, summary: Any) -> Array:
        """Probability that each customer is still one at T, shape (n,)."""
        return self._by_segment(summary, lambda model, rows: model.probability_alive(rows))

    def expected_purchases(self, summary: Any, horizon: float, start: float = 0.0) -> Array:
        """Expected purchases of each customer in (T + start, T + horizon], shape (n,)."""
        return self._by_segment(summary, lambda model, rows: model.expected_purchases(rows, horizon, start))

    def probability_no_purchase(self, summary: Any, horizon: float) -> Array:
        """Probability that each customer buys nothing in (T, T + horizon], shape (n,)."""
        return self._by_segment(summary, lambda model, rows: model.probability_no_purchase(rows, horizon))

    def purchase_probabilities(self, summary: Any, horizon: float, n_max: int) -> Array:
        """Probabilities of 0, 1, ..., n_max purchases in (T, T + horizon], shape (n, n_max + 1)."""
        return self._by_segment(summary, lambda model, rows: model.purchase_probabilities(rows, horizon, n_max))

    def discounted_expected_purchases(self, summary: Any, horizon: float, discount_rate: float) -> Array:
        """Expected purchases in (T, T + horizon], each discounted to T, shape (n,); see `BTYDModel`."""
        return self._by_segment(
            summary, lambda model, rows: model.discounted_expected_purchases(rows, horizon, discount_rate)
        )

    def median_time_to_next_purchase(self, summary: Any) -> Array:
        """Time by which each customer has bought again with probability one half, shape (n,), nan for never."""
        return self._by_segment(summary, lambda model, rows: model.median_time_to_next_purchase(rows))

    def segment_model(self, *values: Any) -> BTYDModel:
        """Return the plain model of a segment, or of the nearest one above it that the fit has seen.

        Examples
        --------
        >>> from regulars.clv.simulate import simulate_nbd
        >>> base = simulate_nbd({"r": 1.0, "alpha": 5.0}, 500, T=52, seed=1).assign(channel="web")
        >>> base.loc[:99, "channel"] = "shop"
        >>> model = SegmentPriorModel("nbd", ["channel"]).fit(base)
        >>> model.segment_model("by owl") is model.base_
        True
        """
        self._require_fitted()
        path = tuple(_spelt(value) for value in values)
        while path not in self.models_:
            path = path[:-1]
        return self.models_[path]

    def _by_segment(self, summary: Any, predict: Callable[[BTYDModel, PurchaseHistories], Array]) -> Array:
        self._require_fitted()
        histories = read_histories(summary)
        segments, index = _numbered(self._paths(summary))
        found: Array | None = None
        for i, segment in enumerate(segments):
            rows = np.flatnonzero(index == i)
            values = predict(self.segment_model(*segment), histories.take(rows))
            if found is None:
                found = np.empty((len(histories), *values.shape[1:]))
            found[rows] = values
        return np.zeros(0) if found is None else found

    def _paths(self, summary: Any) -> list[tuple[str, ...]]:
        """Values of the levels by customer."""
        columns = columns_of(summary)
        values = []
        for name in self.levels:
            if name not in columns:
                raise ContractError(
                    f"the summary has no level {name!r}{nearest(name, list(columns))}; join it on customer_id first"
                )
            column = list(columns[name])
            absent = sum(value is None or value != value for value in column)
            if absent:
                raise ContractError(
                    f"level {name!r} is missing for {absent:,} of {len(column):,} customers; give them a segment such "
                    "as 'unknown'"
                )
            values.append([_spelt(value) for value in column])
        return list(zip(*values, strict=True))

    # ---------------------------------------------------------------- what it says of itself

    @property
    def spread_(self) -> "pd.DataFrame":
        """Standard deviation of each parameter's logarithm between segments of one parent, one row per level."""
        import pandas as pd

        self._require_fitted()
        index = pd.Index(self.levels, name="level")
        return pd.DataFrame(np.sqrt(self.variances_), columns=list(self.base_.parameter_names), index=index)

    @property
    def summary_(self) -> "pd.DataFrame":
        """One row per segment, parents first: ``segment, level, customers``, the parameters, ``own_share``."""
        import pandas as pd

        self._require_fitted()
        rows = [
            {
                "segment": " / ".join(segment),
                "level": self.levels[len(segment) - 1],
                "customers": self.customers_[segment],
                **self.models_[segment].params_,
                "own_share": self.own_share_[segment],
            }
            for segment in sorted(self.models_, key=lambda path: (len(path), path))
            if segment
        ]
        return pd.DataFrame(rows)

    def to_dict(self) -> dict[str, Any]:
        """The state as plain values; `from_dict` takes it back."""
        self._require_fitted()
        return {
            "arguments": {"model": self.model, "levels": list(self.levels)},
            "time_unit": self.time_unit_,
            "variances": self.variances_.tolist(),
            "segments": [
                {
                    "path": list(path),
                    "model": model.to_dict(),
                    "customers": self.customers_[path],
                    "own_share": self.own_share_[path],
                }
                for path, model in self.models_.items()
            ],
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Make a fitted model of what `to_dict` returned."""
        model = cls(**state["arguments"])
        model.time_unit_, model.variances_ = str(state["time_unit"]), np.array(state["variances"], dtype=float)
        model.models_, model.customers_, model.own_share_ = {}, {}, {}
        for segment in state["segments"]:
            path = tuple(segment["path"])
            model.models_[path] = type(model._kind).from_dict(segment["model"])
            model.customers_[path], model.own_share_[path] = float(segment["customers"]), float(segment["own_share"])
        model.base_ = model.models_[_ROOT]
        return model

    @property
    def params_(self) -> dict[str, float]:
        """Parameters of the whole base."""
        self._require_fitted()
        return self.base_.params_

    @property
    def identified_(self) -> bool:
        """Whether the whole base identifies its parameters."""
        self._require_fitted()
        return self.base_.identified_

    def save(self, path: str | Path) -> None:
        """Write the model as JSON, see `clv.persistence.save_model`."""
        from .persistence import save_model

        self._require_fitted()
        save_model(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a model that `save` wrote."""
        from .persistence import load_model

        return load_model(path, cls)

    def __repr__(self) -> str:
        segments = f"{len(self.models_) - 1} segments" if hasattr(self, "models_") else "not fitted"
        return f"<SegmentPriorModel({self.model!r}, {list(self.levels)}): {segments}>"

    def _require_fitted(self) -> None:
        if not hasattr(self, "models_"):
            raise ModelError("SegmentPriorModel is not fitted; call fit(summary) first")


@dataclass(frozen=True)
class SegmentFits:
    """Modes (g, k) of the logarithms, their posterior covariances (g, k, k), and the prior's variances (k,)."""

    modes: Array
    covariances: Array
    variance: Array


def fit_with_prior(objectives: Sequence[Objective], priors: Array) -> SegmentFits:
    """Fit segments with a normal prior whose variances are estimated from the segments (EM, Laplace's approximation).

    Parameters
    ----------
    objectives : sequence of callables
        Log-likelihood of each segment with gradient and Hessian by the logarithms of the parameters.
    priors : ndarray, shape (g, k)
        The prior's mean of each segment.

    Examples
    --------
    >>> def seen(mean, n):  # n observations of variance 1 about an unknown mean
    ...     return lambda z: (-0.5 * n * (z[0] - mean) ** 2, n * (mean - z), -n * np.eye(1))
    >>> found = fit_with_prior([seen(-1.0, 100), seen(1.0, 100), seen(1.0, 1)], np.zeros((3, 1)))
    >>> bool(found.modes[1, 0] > 0.95), bool(found.modes[2, 0] < 0.6)
    (True, True)
    """
    g, k = priors.shape
    lower, upper = log_box(k)
    upper = upper + 20.0  # in the summary's own time unit
    lower = lower - 20.0
    modes, covariances = priors.copy(), np.zeros((g, k, k))
    variance = np.full(k, 0.25)
    for _ in range(_ROUNDS):
        for i, objective in enumerate(objectives):
            found = maximise(_drawn_to(objective, priors[i], variance), modes[i], lower, upper, tolerance=1e-7)
            modes[i] = found.log_parameters
            covariances[i] = _inverse(-found.hessian, variance)
        before = variance
        second = ((modes - priors) ** 2 + covariances[:, np.arange(k), np.arange(k)]).mean(axis=0)
        variance = np.clip(second, _LEAST, _MOST)
        if np.all(np.abs(np.log(variance / before)) < _SETTLED) or g == 1:
            break
    return SegmentFits(modes, covariances, variance)


def _drawn_to(objective: Objective, prior: Array, variance: Array) -> Objective:
    def penalised(point: Array) -> tuple[float, Array, Array]:
        value, gradient, hessian = objective(point)
        away = point - prior
        pull = away / variance
        return value - 0.5 * float(away @ pull), gradient - pull, hessian - np.diag(1.0 / variance)

    return penalised


def _inverse(information: Array, variance: Array) -> Array:
    """Posterior covariance; no wider along any axis than the prior."""
    scale = np.sqrt(variance)
    values, axes = np.linalg.eigh(information * np.outer(scale, scale))
    return (axes / np.maximum(values, 1.0)) @ axes.T * np.outer(scale, scale)


def _spelt(value: Any) -> str:
    """A level as text: 1 and 1.0, which a merge may have made of it, are one level."""
    if isinstance(value, Real | Decimal) and not isinstance(value, bool):
        number = float(value)
        if number.is_integer() and abs(number) < _EXACT:
            return str(int(number))
    return str(value)


def _numbered(paths: list[tuple[str, ...]]) -> tuple[list[tuple[str, ...]], NDArray[np.intp]]:
    """Distinct paths in order, and each row's among them."""
    distinct = sorted(set(paths))
    position = {path: i for i, path in enumerate(distinct)}
    return distinct, np.array([position[path] for path in paths], dtype=np.intp)
