"""Buy-till-you-die models: what they share, from reading a summary to predictions by customer."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from ..sql.errors import ModelError, nearest
from .arguments import require_count, require_counts, require_rate, require_time, require_times, require_window
from .histories import DistinctHistories, PurchaseHistories, read_histories, require_repeats
from .maximum_likelihood import (
    Objective,
    climb,
    covariance_of,
    identified_parameters,
    log_coordinates,
    log_scale_interval,
)

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

DEFAULT_TIME_UNIT = "week"
NO_DROPOUT = "dropout not identified, NBD selected"

# Below this gain in log-likelihood over the simpler model, the data say nothing of what it leaves out.
NO_GAIN = 1e-3
# Above twice this many rows the climb starts where a sample of them ends.
_FIRST_LOOK_ROWS = 40_000


class BTYDModel(ABC):
    """A model of repeat purchases with positive parameters, fitted by maximum likelihood.

    ``summary`` is a pandas, Polars or Arrow frame (or a mapping of columns) with ``frequency``, ``recency``, ``T`` and,
    for grouped data, ``weight``; or :class:`~regulars.clv.histories.PurchaseHistories`, which reads and groups once for
    many calls. Times are in the summary's unit, and so are horizons and the parameters. Predictions are numpy arrays
    whatever the frame was, one row for each row of the summary and in its order (`summary_` is pandas, too): put them
    beside it with ``df["alive"] = ...``, ``df.with_columns(alive=...)`` or ``table.append_column("alive", [...])``.

    Attributes
    ----------
    params_ : dict of float
        Name -> estimate, in the summary's time unit. Where dropout is not identified its first parameter (a, s) is 0
        and its second (b, beta) is nan.
    log_likelihood_ : float
        At the estimate, in the summary's time unit; nan for a model made from given parameters.
    covariance_ : ndarray, shape (k, k)
        Inverse of the observed information (exact Hessian), in the order of ``params_``; nan for what the data do not
        identify.
    n_customers_ : float
        Sum of the weights.
    time_unit_ : str
        "week" where the summary does not say.
    identified_, message_
        False and a sentence where the data do not identify all parameters; predictions are then those of the model
        that the sentence names.
    summary_ : pandas.DataFrame
        Estimate, standard error and 95% interval by parameter.
    converged_, n_iterations_
        How the climb ended; how often the likelihood of all rows was evaluated.

    Examples
    --------
    >>> from regulars.clv import BetaGeoModel, ParetoNBDModel
    >>> [model.name for model in (BetaGeoModel, ParetoNBDModel) if issubclass(model, BTYDModel)]
    ['bg_nbd', 'pareto_nbd']
    """

    name: str
    parameter_names: tuple[str, ...]
    # Parameters in the time unit (the others have none).
    time_parameters: tuple[str, ...]
    # The two parameters of dropout; () for the model without.
    dropout_parameters: tuple[str, ...]

    params_: dict[str, float]
    log_likelihood_: float
    covariance_: Array
    n_customers_: float
    _totals: tuple[float, ...] | None = None  # of the customers of a fit in this session
    time_unit_: str
    identified_: bool
    message_: str
    converged_: bool
    n_iterations_: int

    # ---------------------------------------------------------------- made from parameters

    @classmethod
    def from_parameters(cls, *, time_unit: str = DEFAULT_TIME_UNIT, **parameters: float) -> Self:
        """Make a model of known parameters, as from a paper; there is no likelihood and no covariance.

        Raises
        ------
        ModelError
            A parameter is missing, unknown, or not positive and finite.

        Examples
        --------
        >>> from regulars.clv.beta_geo import BetaGeoModel
        >>> BetaGeoModel.from_parameters(r=0.243, alpha=4.414, a=0.793, b=2.426)
        <BetaGeoModel: r 0.243, alpha 4.414, a 0.793, b 2.426>
        """
        for name in parameters:
            if name not in cls.parameter_names:
                raise ModelError(
                    f"{cls.__name__} has no parameter {name!r}{nearest(name, cls.parameter_names)}; "
                    f"it has {', '.join(cls.parameter_names)}"
                )
        for name in cls.parameter_names:
            value = parameters.get(name)
            if value is None or not np.isfinite(value) or value <= 0:
                raise ModelError(f"{cls.__name__} parameter {name} is {value!r}; it must be positive and finite")
        model = cls()
        model.params_ = {name: float(parameters[name]) for name in cls.parameter_names}
        model.log_likelihood_ = float("nan")
        model.covariance_ = np.full((len(model.params_), len(model.params_)), np.nan)
        model.n_customers_ = 0.0
        model.time_unit_ = time_unit
        model.identified_, model.message_ = True, ""
        model.converged_, model.n_iterations_ = True, 0
        return model

    # ---------------------------------------------------------------- fit

    def fit(self, summary: Any) -> Self:
        """Fit by maximum likelihood: Newton steps with exact derivatives on the distinct histories.

        Parameters
        ----------
        summary : frame
            ``frequency``, ``recency``, ``T``, optionally ``weight``.

        Returns
        -------
        BTYDModel
            Itself. Where the data do not identify a parameter, ``identified_`` is False and ``message_`` says so.

        Raises
        ------
        ContractError
            A column is missing, or a row is impossible (named with its number).
        ModelError
            The summary is empty, has one customer only, or nobody in it has bought again.

        Examples
        --------
        >>> from regulars.clv import BetaGeoModel, simulate
        >>> summary = simulate.simulate_bg_nbd({"r": 0.25, "alpha": 4.0, "a": 0.8, "b": 2.5}, 2000, T=52, seed=1)
        >>> BetaGeoModel().fit(summary).identified_
        True
        """
        histories = read_histories(summary)
        require_repeats(histories)
        self.n_customers_, self._totals = float(histories.weight.sum()), histories.totals
        self.time_unit_ = histories.time_unit or DEFAULT_TIME_UNIT
        distinct = histories.distinct
        if (distinct.weight == 0).any():
            distinct = distinct.where(distinct.weight > 0)
        scale = float(distinct.weight @ distinct.T / self.n_customers_)
        self._climb(distinct.scaled(scale), scale)
        return self

    def _climb(self, data: DistinctHistories, scale: float) -> None:
        """Find the maximum in scaled time and set the fitted state in the summary's."""
        names = self.parameter_names
        first_look = None
        if data.frequency.size > 2 * _FIRST_LOOK_ROWS:
            first_look = self._objective(data.thinned(_FIRST_LOOK_ROWS))
        found = climb(self._objective(data), self._starts(data), first_look)
        units = np.array([scale if name in self.time_parameters else 1.0 for name in names])
        estimate = np.exp(found.log_parameters) * units
        free = identified_parameters(found)
        self.params_ = dict(zip(names, estimate.tolist(), strict=True))
        self.log_likelihood_ = found.value - float(data.weight @ data.frequency) * math.log(scale)
        self.covariance_ = covariance_of(estimate, found.hessian, free)
        self.converged_, self.n_iterations_ = found.converged, found.iterations
        self.identified_ = bool(free.all())
        self.message_ = "" if self.identified_ else self._boundary_message(free)
        if self.dropout_parameters:
            self._prefer_simpler(data, scale)
        if not found.converged and self.identified_:
            self.message_ = f"the climb did not converge in {found.iterations} steps; treat the estimates with caution"

    def _boundary_message(self, free: np.ndarray) -> str:
        flat = [name for name, is_free in zip(self.parameter_names, free, strict=True) if not is_free]
        if set(flat) <= set(self.dropout_parameters):
            return f"differences in dropout between customers not identified: {' and '.join(flat)} at the boundary"
        return f"the data do not identify {' and '.join(flat)}: at the boundary"

    def _prefer_simpler(self, data: DistinctHistories, scale: float) -> None:
        """Take the model without dropout where dropout does not raise the likelihood."""
        from .nbd import NBDModel

        simpler = NBDModel()
        simpler._climb(data, scale)
        if self.log_likelihood_ > simpler.log_likelihood_ + NO_GAIN:
            return
        first, second = self.dropout_parameters
        k = len(simpler.parameter_names)
        self.params_ = {**simpler.params_, first: 0.0, second: float("nan")}
        self.covariance_ = np.full_like(self.covariance_, np.nan)
        self.covariance_[:k, :k] = simpler.covariance_
        self.log_likelihood_ = simpler.log_likelihood_
        self.converged_ = simpler.converged_
        self.identified_ = False
        self.message_ = "; ".join(note for note in (NO_DROPOUT, simpler.message_) if note)

    def unfitted(self) -> Self:
        """Return a model of the same kind that is not fitted yet.

        Examples
        --------
        >>> from regulars.clv.nbd import NBDModel
        >>> NBDModel.from_parameters(r=0.4, alpha=12.0).unfitted()
        <NBDModel, not fitted>
        """
        return type(self)()

    def histories(self, summary: Any) -> PurchaseHistories:
        """Read what the model needs of a summary, once for many calls; every method takes it in the frame's place.

        Examples
        --------
        >>> from regulars.clv.nbd import NBDModel
        >>> model = NBDModel.from_parameters(r=0.4, alpha=12.0)
        >>> len(model.histories({"frequency": [2], "recency": [30.43], "T": [38.86]}))
        1
        """
        return read_histories(summary)

    def log_likelihood(self, summary: Any) -> float:
        """Log-likelihood of a summary at this model's parameters, summed by weight; for data other than the fit's.

        Examples
        --------
        >>> from regulars.clv.beta_geo import BetaGeoModel
        >>> model = BetaGeoModel.from_parameters(a=0.8, b=2.5, r=0.25, alpha=4.0)
        >>> round(model.log_likelihood({"frequency": [200], "recency": [38.0], "T": [40.0]}), 6)
        100.795693
        """
        model, histories = self._ready(summary)
        estimate = np.array([model.params_[name] for name in model.parameter_names])
        return model._objective(histories.distinct)(np.log(estimate))[0]

    @property
    def summary_(self) -> "pd.DataFrame":
        """Estimates by parameter, in pandas: ``estimate, standard_error, lower, upper``.

        Standard errors come from the observed information; the 95% interval is a Wald interval of the logarithm.
        """
        import pandas as pd

        self._require_fitted()
        estimate = np.array([self.params_[name] for name in self.parameter_names])
        standard_error = np.sqrt(np.diag(self.covariance_))
        with np.errstate(divide="ignore", invalid="ignore"):
            lower, upper = log_scale_interval(estimate, standard_error)
        return pd.DataFrame(
            {"estimate": estimate, "standard_error": standard_error, "lower": lower, "upper": upper},
            index=pd.Index(self.parameter_names, name="parameter"),
        )

    # ---------------------------------------------------------------- predictions by customer

    def probability_alive(self, summary: Any) -> Array:
        """Probability that each customer is still one at T, shape (n,).

        Examples
        --------
        >>> from regulars.clv.beta_geo import BetaGeoModel
        >>> model = BetaGeoModel.from_parameters(r=0.243, alpha=4.414, a=0.793, b=2.426)
        >>> model.probability_alive({"frequency": [2], "recency": [30.43], "T": [38.86]}).round(6)
        array([0.726579])
        """
        model, histories = self._ready(summary)
        distinct = histories.distinct
        return distinct.scatter(model._alive_once(distinct).copy())

    def expected_purchases(self, summary: Any, horizon: float, start: float = 0.0) -> Array:
        """Expected purchases of each customer in (T + start, T + horizon], shape (n,).

        Parameters
        ----------
        summary : frame
            ``frequency``, ``recency``, ``T``.
        horizon, start : float
            End and begin of the window, both measured from T, in the model's time unit.

        Raises
        ------
        ModelError
            A time that is no finite number from 0, or a window that ends before it begins.

        Examples
        --------
        >>> from regulars.clv.beta_geo import BetaGeoModel
        >>> model = BetaGeoModel.from_parameters(r=0.243, alpha=4.414, a=0.793, b=2.426)
        >>> model.expected_purchases({"frequency": [2], "recency": [30.43], "T": [38.86]}, horizon=39).round(6)
        array([1.226028])
        """
        start, horizon = require_window(start, horizon, self._unit)
        model, histories = self._ready(summary)
        distinct = histories.distinct
        return distinct.scatter(model._alive_once(distinct) * model._purchases_if_alive(distinct, start, horizon))

    def probability_no_purchase(self, summary: Any, horizon: float) -> Array:
        """Probability that each customer buys nothing in (T, T + horizon], shape (n,).

        Examples
        --------
        >>> from regulars.clv.beta_geo import BetaGeoModel
        >>> model = BetaGeoModel.from_parameters(r=0.243, alpha=4.414, a=0.793, b=2.426)
        >>> model.probability_no_purchase({"frequency": [2], "recency": [30.43], "T": [38.86]}, horizon=39).round(4)
        array([0.4454])
        """
        horizon = require_time("horizon", horizon, self._unit)
        model, histories = self._ready(summary)
        distinct = histories.distinct
        alive = model._alive_once(distinct)
        return distinct.scatter(1.0 - alive * (1.0 - model._silence_if_alive(distinct, horizon)))

    def purchase_probabilities(self, summary: Any, horizon: float, n_max: int) -> Array:
        """Probabilities of 0, 1, ..., n_max purchases in (T, T + horizon], shape (n, n_max + 1).

        A row sums to one less the probability of more than ``n_max`` purchases.

        Examples
        --------
        >>> from regulars.clv.beta_geo import BetaGeoModel
        >>> model = BetaGeoModel.from_parameters(r=0.243, alpha=4.414, a=0.793, b=2.426)
        >>> model.purchase_probabilities({"frequency": [2], "recency": [30.43], "T": [38.86]}, 39, n_max=2).round(4)
        array([[0.4454, 0.2393, 0.1442]])
        """
        horizon = require_time("horizon", horizon, self._unit)
        n_max = require_count("n_max", n_max)
        model, histories = self._ready(summary)
        distinct = histories.distinct
        alive = model._alive_once(distinct)
        probabilities = alive[:, None] * model._pmf_if_alive(distinct, horizon, n_max)
        probabilities[:, 0] += 1.0 - alive
        return distinct.scatter(probabilities)

    def discounted_expected_purchases(self, summary: Any, horizon: float, discount_rate: float) -> Array:
        """Expected purchases of each customer in (T, T + horizon], each discounted back to T, shape (n,).

        Parameters
        ----------
        summary : frame
            ``frequency``, ``recency``, ``T``.
        horizon : float
            In the model's time unit.
        discount_rate : float
            Continuous, per time unit: a purchase at T + u counts exp(-discount_rate u). From a yearly rate d and
            weeks: ``log(1 + d) * 7 / 365.25``.

        Raises
        ------
        ModelError
            A horizon or rate that is negative or not finite.

        Examples
        --------
        >>> from regulars.clv.beta_geo import BetaGeoModel
        >>> model = BetaGeoModel.from_parameters(r=0.243, alpha=4.414, a=0.793, b=2.426)
        >>> customer = {"frequency": [2], "recency": [30.43], "T": [38.86]}
        >>> model.discounted_expected_purchases(customer, 39, discount_rate=0.002).round(3)
        array([1.182])
        """
        horizon = require_time("horizon", horizon, self._unit)
        discount_rate = require_rate(discount_rate, self._unit)
        model, histories = self._ready(summary)
        distinct = histories.distinct
        return distinct.scatter(
            model._alive_once(distinct) * model._discounted_if_alive(distinct, horizon, discount_rate)
        )

    def median_time_to_next_purchase(self, summary: Any) -> Array:
        """Time from T by which each customer has bought again with probability one half, shape (n,).

        nan where the next purchase is more likely than not never to come.

        Examples
        --------
        >>> from regulars.clv.beta_geo import BetaGeoModel
        >>> model = BetaGeoModel.from_parameters(r=0.243, alpha=4.414, a=0.793, b=2.426)
        >>> model.median_time_to_next_purchase({"frequency": [2], "recency": [30.43], "T": [38.86]}).round(1)
        array([29.5])
        """
        model, histories = self._ready(summary)
        distinct = histories.distinct
        return distinct.scatter(model._median_wait(distinct, model._alive_once(distinct)))

    # ---------------------------------------------------------------- a new customer

    def pmf(self, n: Any, t: float) -> Array:
        """Probability that a new customer makes n repeat purchases in (0, t], shape of n.

        Examples
        --------
        >>> from regulars.clv.beta_geo import BetaGeoModel
        >>> model = BetaGeoModel.from_parameters(r=0.243, alpha=4.414, a=0.793, b=2.426)
        >>> model.pmf([0, 1], 39).round(4)
        array([0.5738, 0.1994])
        """
        t, counts = require_time("t", t, self._unit), require_counts("n", n)
        return self._predictor()._pmf_new(t, int(counts.max(initial=0)))[counts]

    def expected_purchases_new(self, t: Any) -> Array:
        """Expected repeat purchases of a new customer in (0, t], shape of t.

        Examples
        --------
        >>> from regulars.clv.beta_geo import BetaGeoModel
        >>> model = BetaGeoModel.from_parameters(r=0.243, alpha=4.414, a=0.793, b=2.426)
        >>> model.expected_purchases_new([1, 39]).round(6)
        array([0.053268, 1.196723])
        """
        times = require_times("t", t, self._unit)
        return self._predictor()._purchases_new(times.ravel()).reshape(times.shape)

    # ---------------------------------------------------------------- to disk and to lifetimes

    def to_dict(self) -> dict[str, Any]:
        """The state as plain values; `from_dict` takes it back."""
        self._require_fitted()
        return {
            "params": dict(self.params_),
            "log_likelihood": self.log_likelihood_,
            "covariance": self.covariance_.tolist(),
            "n_customers": self.n_customers_,
            "time_unit": self.time_unit_,
            "identified": self.identified_,
            "message": self.message_,
            "converged": self.converged_,
            "n_iterations": self.n_iterations_,
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Make a fitted model of what `to_dict` returned."""
        model = cls()
        model.params_ = {name: float(state["params"][name]) for name in cls.parameter_names}
        model.covariance_ = np.array(state["covariance"], dtype=float)
        model.log_likelihood_ = float(state["log_likelihood"])
        model.n_customers_ = float(state["n_customers"])
        model.time_unit_ = str(state["time_unit"])
        model.identified_, model.message_ = bool(state["identified"]), str(state["message"])
        model.converged_, model.n_iterations_ = bool(state["converged"]), int(state["n_iterations"])
        return model

    def save(self, path: str | Path) -> None:
        """Write the model as JSON, see `clv.persistence.save_model`."""
        from .persistence import save_model

        self._require_fitted()
        save_model(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a model that `save` wrote, see `clv.persistence.load_model`."""
        from .persistence import load_model

        return load_model(path, cls)

    def to_lifetimes(self) -> Any:
        """Give the model as a fitted ``lifetimes`` fitter with the same parameters."""
        from .lifetimes_bridge import to_lifetimes

        self._require_fitted()
        return to_lifetimes(self)

    @classmethod
    def from_lifetimes(cls, fitter: Any, *, time_unit: str = "day") -> Self:
        """Take the parameters of a fitted ``lifetimes`` fitter, see `clv.lifetimes_bridge.from_lifetimes`."""
        from .lifetimes_bridge import from_lifetimes

        return from_lifetimes(fitter, cls, time_unit=time_unit)

    def __repr__(self) -> str:
        if not hasattr(self, "params_"):
            return f"<{type(self).__name__}, not fitted>"
        values = ", ".join(f"{name} {value:.4g}" for name, value in self.params_.items())
        return f"<{type(self).__name__}: {values}{'; ' + self.message_ if self.message_ else ''}>"

    # ---------------------------------------------------------------- what each model brings

    @abstractmethod
    def _objective(self, data: DistinctHistories) -> Objective:
        """Log-likelihood with gradient and Hessian by the logarithms, in the order of ``parameter_names``."""

    @abstractmethod
    def _starts(self, data: DistinctHistories) -> list[Array]:
        """Logarithms to start from in scaled time, the most promising first."""

    @abstractmethod
    def _alive(self, data: DistinctHistories) -> Array:
        """P(alive at T), (m,)."""

    @abstractmethod
    def _purchases_if_alive(self, data: DistinctHistories, start: float, horizon: float) -> Array:
        """Expected purchases in (T + start, T + horizon] of a customer alive at T, (m,)."""

    @abstractmethod
    def _silence_if_alive(self, data: DistinctHistories, horizon: float) -> Array:
        """P(no purchase in (T, T + horizon]) of a customer alive at T, (m,)."""

    @abstractmethod
    def _pmf_if_alive(self, data: DistinctHistories, horizon: float, n_max: int) -> Array:
        """P(n purchases in (T, T + horizon]) of a customer alive at T, (m, n_max + 1)."""

    @abstractmethod
    def _tail_if_alive(self, data: DistinctHistories, horizon: float, counts: NDArray[np.int64]) -> Array:
        """P(at least so many purchases, from 1, in (T, T + horizon]) of a customer alive at T, (m, k)."""

    @abstractmethod
    def _discounted_if_alive(self, data: DistinctHistories, horizon: float, discount_rate: float) -> Array:
        """Discounted purchases in (T, T + horizon] of a customer alive at T, (m,)."""

    @abstractmethod
    def _median_wait(self, data: DistinctHistories, alive: Array) -> Array:
        """Median time to the next purchase, nan where it may never come, (m,)."""

    @abstractmethod
    def _pmf_new(self, t: float, n_max: int) -> Array:
        """P(n repeat purchases in (0, t]) of a new customer, (n_max + 1,)."""

    @abstractmethod
    def _purchases_new(self, t: Array) -> Array:
        """Expected repeat purchases in (0, t] of a new customer, shape of t."""

    def _alive_once(self, data: DistinctHistories) -> Array:
        """P(alive at T), (m,), kept with the histories for the next prediction of the same model."""
        key = (self.name, *self.params_.values())
        alive = data.last_alive.get(key)
        if alive is None:
            alive = self._alive(data)
            alive.flags.writeable = False
            data.last_alive.clear()
            data.last_alive[key] = alive
        return alive

    # ---------------------------------------------------------------- the parameters' own uncertainty

    def _coordinates(self) -> tuple[Array, Array]:
        """Where the estimate lies on a scale on which it is nearly normal, (k,), and its covariance there (k, k).

        What the data do not identify, or a model of given parameters, has covariance 0.
        """
        estimate = np.array([self.params_[name] for name in self.parameter_names])
        return log_coordinates(estimate, self.covariance_)

    def _at(self, coordinates: Array) -> Self:
        """The model whose parameters lie there."""
        moved = copy(self)
        moved.params_ = dict(zip(self.parameter_names, np.exp(coordinates).tolist(), strict=True))
        return moved

    def _posterior_rate(self, histories: PurchaseHistories) -> tuple[Array, Array]:
        """Shape and rate of each customer's Gamma distribution of the purchase rate while alive, (n,) each."""
        return self.params_["r"] + histories.frequency, self.params_["alpha"] + histories.T

    # ---------------------------------------------------------------- before a prediction

    def _require_fitted(self) -> None:
        if not hasattr(self, "params_"):
            raise ModelError(f"{type(self).__name__} is not fitted; call fit(summary) or from_parameters(...) first")

    @property
    def _unit(self) -> str:
        self._require_fitted()
        return self.time_unit_

    def _predictor(self) -> "BTYDModel":
        """The model that predicts: this one, or the one without dropout where dropout is not identified."""
        if not self.dropout_parameters or self.params_[self.dropout_parameters[0]] > 0:
            return self
        from .nbd import NBDModel

        return NBDModel.from_parameters(time_unit=self.time_unit_, r=self.params_["r"], alpha=self.params_["alpha"])

    def _ready(self, summary: Any) -> tuple["BTYDModel", PurchaseHistories]:
        self._require_fitted()
        histories = self.histories(summary)
        if histories.time_unit is not None and histories.time_unit != self.time_unit_:
            raise ModelError(
                f"the summary counts in {histories.time_unit}s, the model in {self.time_unit_}s; "
                f"make the summary with unit={self.time_unit_!r}"
            )
        return self._predictor(), histories
