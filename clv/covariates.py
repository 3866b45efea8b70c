"""BG/NBD, MBG/NBD, Pareto/NBD and NBD whose rates differ by what is known of a customer: static covariates."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from ..sql.errors import ModelError, nearest
from .btyd import DEFAULT_TIME_UNIT, NO_DROPOUT, NO_GAIN, BTYDModel
from .covariate_histories import CovariateHistories, DistinctCovariateHistories
from .covariate_likelihood import Effects, by_free_of, effects_on, free_values, likelihood_with, tied_names
from .covariate_predictions import LeavingAtAnyTime, LeavingAtPurchases, OwnRates, SteadyRows
from .design_matrix import Design, DesignRows, Missing
from .histories import DistinctHistories, PurchaseHistories, read_histories, require_repeats
from .maximum_likelihood import (
    NORMAL_975,
    Maximum,
    Objective,
    climb,
    covariance_of,
    identified_parameters,
    known_covariance,
    log_box,
    log_scale_interval,
)
from .plain_models import plain_model

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

# Beyond this, by standard deviation or level, a rate differs by e^20: the data have put no bound on a coefficient.
_LARGEST = 20.0
_FIRST_LOOK_ROWS = 40_000


class CovariateModel(BTYDModel):
    """A model of repeat purchases whose rates differ by static covariates.

    Purchase rates are Gamma(r, alpha exp(-g'z)): a customer with covariates z buys at exp(g'z) times the rate.
    Dropout: in Pareto/NBD rates are Gamma(s, beta exp(-d'z)); in BG/NBD and MBG/NBD the chance of leaving at a purchase
    is Beta(a exp(d_a'z), b exp(d_b'z)). Text, booleans and categories count as levels against a base (the commonest,
    or the one that ``base`` names); numbers are centred at the fit's mean. ``params_`` are thus those of a customer at
    the base levels and at the means; predictions do not depend on where z is centred.

    Without covariates it is the plain model: the same code, the same digits.

    Parameters
    ----------
    model : str
        ``"nbd"``, ``"bg_nbd"``, ``"mbg_nbd"`` or ``"pareto_nbd"``.
    purchase : sequence of str
        Columns of the summary that the purchase rate differs by.
    dropout : sequence of str, or mapping
        Columns that dropout differs by. In BG/NBD and MBG/NBD each has a coefficient on a and one on b;
        ``{"a": [...]}`` takes those of a alone.
    equal : sequence
        Coefficients held equal: groups of names such as ``("purchase.age", "dropout.age")``; a covariate's name alone
        stands for its coefficients on the purchase rate and on dropout (on a, where there are a and b).
    base : mapping, optional
        Covariate -> the level that the others are held against.
    ridge : float
        Weight of the penalty ridge/2 x (sum of squared coefficients): a normal prior of variance 1/ridge on each
        level's coefficient and on a number's per standard deviation. 0 for none. ``log_likelihood_`` is without it.
    missing : str
        ``"refuse"`` customers without a value, or make them a level of their own (``"own_level"``).

    Attributes
    ----------
    coefficients_ : dict of float
        ``purchase.<column>``, and ``dropout.<column>`` or ``a.<column>`` and ``b.<column>``; levels read
        ``channel[web]``. Per unit of the column as it is given.
    covariance_ : ndarray, shape (k + c, k + c)
        Of ``params_`` and then ``coefficients_``.
    n_parameters_ : int
        Free ones.
    design_ : Design
        Levels, bases and means.

    References
    ----------
    Fader & Hardie (2007), Incorporating Time-Invariant Covariates into the Pareto/NBD and BG/NBD Models,
    http://brucehardie.com/notes/019/.

    Examples
    --------
    >>> import pandas as pd
    >>> from regulars.clv.simulate import simulate_pareto_nbd
    >>> truth = {"r": 0.8, "alpha": 8.0, "s": 0.6, "beta": 12.0}
    >>> loyal = simulate_pareto_nbd({**truth, "alpha": 4.0}, 4000, T=52, seed=1).assign(club="yes")
    >>> other = simulate_pareto_nbd(truth, 6000, T=52, seed=2).assign(club="no")
    >>> base = pd.concat([loyal, other], ignore_index=True)
    >>> model = CovariateModel("pareto_nbd", purchase=["club"], dropout=["club"]).fit(base)
    >>> list(model.coefficients_), bool(abs(model.coefficients_["purchase.club[yes]"] - np.log(2)) < 0.15)
    (['purchase.club[yes]', 'dropout.club[yes]'], True)
    """

    coefficients_: dict[str, float]
    design_: Design
    n_parameters_: int

    def __init__(
        self,
        model: str = "pareto_nbd",
        *,
        purchase: Sequence[str] = (),
        dropout: Sequence[str] | Mapping[str, Sequence[str]] = (),
        equal: Sequence[str | Sequence[str]] = (),
        base: Mapping[str, Any] | None = None,
        ridge: float = 0.0,
        missing: Missing = "refuse",
    ) -> None:
        self._kind = plain_model(model)
        self.model = model
        self.purchase = _names("purchase", purchase)
        self.dropout = _dropout(self._kind, dropout)
        self.equal = tuple(group if isinstance(group, str) else tuple(group) for group in equal)
        self.base = dict(base or {})
        if not (isinstance(ridge, int | float) and math.isfinite(ridge) and ridge >= 0):
            raise ModelError(f"ridge is {ridge!r}; it must be a finite number from 0")
        self.ridge = float(ridge)
        self.missing: Missing = missing
        self.name = f"{model}_covariates"
        self.parameter_names = self._kind.parameter_names
        self.time_parameters = self._kind.time_parameters
        self.dropout_parameters = self._kind.dropout_parameters

    @classmethod
    def from_parameters(cls, *, time_unit: str = DEFAULT_TIME_UNIT, **parameters: float) -> Self:  # noqa: ARG003
        """Refuse: coefficients belong to the covariates of a fit."""
        raise ModelError("a CovariateModel cannot be made from parameters: fit it to customers with covariates")

    def unfitted(self) -> Self:
        """Return a model with the same covariates that is not fitted yet."""
        return type(self)(**self._arguments())

    def _arguments(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "purchase": self.purchase,
            "dropout": {target: list(names) for target, names in self.dropout.items()},
            "equal": self.equal,
            "base": self.base,
            "ridge": self.ridge,
            "missing": self.missing,
        }

    @property
    def covariates(self) -> tuple[str, ...]:
        """Columns of the summary that the model reads beside the history."""
        named = [*self.purchase, *(name for names in self.dropout.values() for name in names)]
        return tuple(dict.fromkeys(named))

    # ---------------------------------------------------------------- fit

    def fit(self, summary: Any) -> Self:
        """Fit by maximum likelihood (penalised where ``ridge`` is above 0): Newton steps with exact derivatives.

        Parameters
        ----------
        summary : frame
            ``frequency``, ``recency``, ``T``, the covariates' columns, optionally ``weight``.

        Raises
        ------
        ContractError
            A column is missing; a row is impossible; a covariate has no value for some customers.
        ModelError
            A covariate is constant or follows from the others; see `BTYDModel.fit` for the rest.
        """
        if not self.covariates:
            return self._take(self._kind.unfitted().fit(summary))
        if isinstance(summary, PurchaseHistories):
            raise ModelError("a fit with covariates needs the frame with their columns, not histories already read")
        plain = read_histories(summary)
        require_repeats(plain)
        self.n_customers_, self._totals = float(plain.weight.sum()), plain.totals
        self.time_unit_ = plain.time_unit or DEFAULT_TIME_UNIT
        self.design_ = Design.of(summary, self.covariates, plain.weight, base=self.base, missing=self.missing)
        histories = _with_design(plain, self.design_, self.design_.rows(summary))
        data = histories.distinct
        if (data.weight == 0).any():
            data = data.where(data.weight > 0)
        scale = float(data.weight @ data.T / self.n_customers_)
        spread = self.design_.spread(histories.rows, plain.weight)
        start = self._kind.unfitted()
        start._climb(plain.distinct.scaled(scale), scale)
        self._climb_with(replace(data, times=data.times / scale), scale, spread, start)
        return self

    def _take(self, plain: BTYDModel) -> Self:
        """Take over what a plain model found."""
        for name, value in vars(plain).items():
            setattr(self, name, value)
        self.coefficients_, self.design_ = {}, Design(())
        self.n_parameters_ = len(self.parameter_names)
        return self

    def _climb_with(self, data: DistinctCovariateHistories, scale: float, spread: Array, plain: BTYDModel) -> None:
        effects = self._effects()
        objective = self._penalised(data, effects, spread)
        look = None
        if data.frequency.size > 2 * _FIRST_LOOK_ROWS:
            look = self._penalised(data.thinned(_FIRST_LOOK_ROWS), effects, spread)
        units = np.array([scale if name in self.time_parameters else 1.0 for name in self.parameter_names])
        k, n_free = units.size, effects.n_free
        starts = [] if plain.identified_ is False else [np.log(np.array(list(plain.params_.values())) / units)]
        starts += plain._starts(data)
        lower, upper = log_box(k)
        box = (np.append(lower, np.full(n_free, -_LARGEST)), np.append(upper, np.full(n_free, _LARGEST)))
        found = climb(objective, [np.append(start, np.zeros(n_free)) for start in starts], look, box)
        self._settle(found, data, effects, spread, units)
        if self.dropout_parameters and not self.identified_:
            self._prefer_no_dropout(data, scale, spread)

    def _settle(
        self, found: Maximum, data: DistinctCovariateHistories, effects: Effects, spread: Array, units: Array
    ) -> None:
        k = units.size
        free = identified_parameters(found)
        estimate = np.exp(found.log_parameters[:k]) * units
        # columns of coefficients by free ones: one over the spread that stands for a group
        to_names = by_free_of(effects, spread) / spread[effects.column][:, None] if effects.names else np.zeros((0, 0))
        self.params_ = dict(zip(self.parameter_names, estimate.tolist(), strict=True))
        coefficients = to_names @ found.log_parameters[k:]
        self.coefficients_ = dict(zip(effects.names, coefficients.tolist(), strict=True))
        by_free = covariance_of(np.ones(free.size), found.hessian, free)
        change = np.zeros((k + len(effects.names), free.size))
        change[:k, :k] = np.diag(estimate)
        change[k:, k:] = to_names
        covariance = change @ np.nan_to_num(by_free) @ change.T
        unknown = (change != 0) @ ~(np.isfinite(np.diag(by_free)))
        covariance[unknown, :] = np.nan
        covariance[:, unknown] = np.nan
        self.covariance_ = covariance
        penalty = 0.5 * self.ridge * float(((by_free_of(effects, spread) @ found.log_parameters[k:]) ** 2).sum())
        time_factor = float(data.weight @ data.frequency) * math.log(units[1])
        self.log_likelihood_ = found.value + penalty - time_factor
        self.n_parameters_ = free.size
        self.converged_, self.n_iterations_ = found.converged, found.iterations
        self.identified_ = bool(free.all())
        self.message_ = ""
        if not self.identified_:
            names = [*self.parameter_names, *(tied_names(effects, i) for i in range(effects.n_free))]
            flat = [name for name, is_free in zip(names, free, strict=True) if not is_free]
            self.message_ = f"the data do not identify {', '.join(flat)}: at the boundary; a ridge above 0 bounds them"
        elif not found.converged:
            self.message_ = f"the climb did not converge in {found.iterations} steps; treat the estimates with caution"

    def _prefer_no_dropout(self, data: DistinctCovariateHistories, scale: float, spread: Array) -> None:
        """Take NBD with the covariates of the purchase rate where dropout does not raise the likelihood."""
        simpler = CovariateModel("nbd", purchase=self.purchase, ridge=self.ridge)
        simpler.design_, simpler.time_unit_, simpler.n_customers_ = self.design_, self.time_unit_, self.n_customers_
        start = simpler._kind.unfitted()
        start._climb(data, scale)
        simpler._climb_with(data, scale, spread, start)
        if self.log_likelihood_ > simpler.log_likelihood_ + NO_GAIN:
            return
        first, second = self.dropout_parameters
        self.params_ = {**simpler.params_, first: 0.0, second: float("nan")}
        effects = self._effects()
        self.coefficients_ = {name: simpler.coefficients_.get(name, 0.0) for name in effects.names}
        full = np.full_like(self.covariance_, np.nan)
        kept = [0, 1, *(4 + i for i, name in enumerate(effects.names) if name in simpler.coefficients_)]
        full[np.ix_(kept, kept)] = simpler.covariance_
        self.covariance_ = full
        self.log_likelihood_ = simpler.log_likelihood_
        self.converged_, self.identified_ = simpler.converged_, False
        self.message_ = "; ".join(note for note in (NO_DROPOUT, simpler.message_) if note)

    def _effects(self) -> Effects:
        """Coefficients in their order, with those held equal tied together."""
        columns = self.design_.columns
        position = {name: i for i, name in enumerate(columns)}
        by_covariate = {covariate.name: covariate.columns for covariate in self.design_.covariates}
        entries = [("purchase", 1, -1.0, name) for name in self.purchase]
        for target, names in self.dropout.items():
            predictor, factor = {"dropout": (3, -1.0), "a": (2, 1.0), "b": (3, 1.0)}[target]
            entries += [(target, predictor, factor, name) for name in names]
        rows = [(f"{t}.{column}", p, f, position[column]) for t, p, f, name in entries for column in by_covariate[name]]
        names = [row[0] for row in rows]
        leader = list(range(len(names)))
        for group in self._groups(by_covariate):
            for name in group:
                if name not in names:
                    raise ModelError(f"equal names {name!r}{nearest(name, names)}; coefficients are {', '.join(names)}")
            first = min(leader[names.index(name)] for name in group)
            joined = {leader[names.index(name)] for name in group}
            leader = [first if member in joined else member for member in leader]
        numbered = {member: i for i, member in enumerate(sorted(set(leader)))}
        return Effects(
            tuple(names),
            np.array([row[1] for row in rows], np.int64),
            np.array([row[2] for row in rows]),
            np.array([row[3] for row in rows], np.int64),
            np.array([numbered[member] for member in leader], np.int64),
        )

    def _groups(self, by_covariate: Mapping[str, Sequence[str]]) -> list[tuple[str, ...]]:
        on_dropout = "dropout" if self.model == "pareto_nbd" else "a"
        groups: list[tuple[str, ...]] = []
        for group in self.equal:
            if not isinstance(group, str):
                groups.append(group)
            elif group not in by_covariate:
                raise ModelError(
                    f"equal names {group!r}{nearest(group, list(by_covariate))}; covariates are "
                    f"{', '.join(by_covariate)}"
                )
            else:
                groups += [(f"purchase.{column}", f"{on_dropout}.{column}") for column in by_covariate[group]]
        return groups

    def _penalised(self, data: DistinctCovariateHistories, effects: Effects, spread: Array) -> Objective:
        """Log-likelihood less the penalty by logarithms and free coefficients, the latter by standard deviation."""
        likelihood = likelihood_with(self._kind, data, effects, spread)
        if self.ridge == 0:
            return likelihood
        by_free = by_free_of(effects, spread)
        curvature = self.ridge * (by_free[:, :, None] * by_free[:, None, :]).sum(axis=0)
        k = len(self.parameter_names)

        def objective(point: Array) -> tuple[float, Array, Array]:
            value, gradient, hessian = likelihood(point)
            pull = curvature @ point[k:]
            gradient[k:] -= pull
            hessian[k:, k:] -= curvature
            return value - 0.5 * float(point[k:] @ pull), gradient, hessian

        return objective

    # ---------------------------------------------------------------- what it predicts with

    def histories(self, summary: Any) -> PurchaseHistories:
        """Read history and covariates of a summary, once for many calls."""
        self._require_fitted()
        if not self.coefficients_ and not self.design_.covariates:
            return read_histories(summary)
        if isinstance(summary, CovariateHistories):
            if summary.design != self.design_:
                raise ModelError("these histories were read for another model: their covariates are coded otherwise")
            return summary
        if isinstance(summary, PurchaseHistories):
            raise ModelError(
                f"the histories hold no covariates; give the frame with {', '.join(self.covariates)}, or read it with "
                "model.histories(frame)"
            )
        return _with_design(read_histories(summary), self.design_, self.design_.rows(summary))

    def log_likelihood(self, summary: Any) -> float:
        """Log-likelihood of a summary at this model's parameters, summed by weight."""
        if not self.coefficients_:
            return self._predictor().log_likelihood(summary)
        _, histories = self._ready(summary)
        data = histories.distinct
        assert isinstance(data, DistinctCovariateHistories)
        kind, effects = self._kind, self._effects()
        k = 4
        if self.dropout_parameters and self.params_[self.dropout_parameters[0]] == 0:
            kind, k = plain_model("nbd"), 2
            effects = effects_on(effects, "purchase")
        values = np.array(list(self.params_.values()))[: min(k, len(self.params_))]
        ones = np.ones(data.matrix.shape[1])
        point = np.append(np.log(values), free_values(effects, self.coefficients_))
        return likelihood_with(kind, data, effects, ones)(point)[0]

    def _ready(self, summary: Any) -> tuple[BTYDModel, PurchaseHistories]:
        if hasattr(self, "params_") and not self.coefficients_:
            return self._predictor()._ready(summary)
        histories = super()._ready(summary)[1]
        return self, histories

    def _predictor(self) -> BTYDModel:
        """The plain model of a customer at the base levels and the means."""
        self._require_fitted()
        known = {name: value for name, value in self.params_.items() if name not in self.dropout_parameters}
        if self.dropout_parameters and self.params_[self.dropout_parameters[0]] > 0:
            known = self.params_
        kind = type(self._kind) if known is self.params_ or not self.dropout_parameters else type(plain_model("nbd"))
        return kind.from_parameters(time_unit=self.time_unit_, **known)

    def _own(self, data: DistinctHistories) -> OwnRates:
        """Each row's own parameters."""
        assert isinstance(data, DistinctCovariateHistories)
        values = np.array(list(self.params_.values()))
        leaves = bool(self.dropout_parameters) and values[2] > 0
        effects = self._effects()
        shift = np.zeros((len(data.matrix), 4))
        for i, name in enumerate(effects.names):
            moved = effects.factor[i] * self.coefficients_[name] * data.matrix[:, effects.column[i]]
            shift[:, effects.predictor[i]] += moved
        own = values[None, :] * np.exp(shift[:, : values.size])
        r = float(values[0])
        alpha = own[data.pattern, 1]
        if not leaves:
            return SteadyRows(r, alpha)
        if self.model == "pareto_nbd":
            return LeavingAtAnyTime(r, alpha, float(values[2]), own[data.pattern, 3])
        chances = getattr(self._kind, "chances_at_start")  # noqa: B009
        return LeavingAtPurchases(r, alpha, own[data.pattern, 2], own[data.pattern, 3], chances)

    def _alive_once(self, data: DistinctHistories) -> Array:
        key = (self.name, *self.params_.values(), *self.coefficients_.values())
        alive = data.last_alive.get(key)
        if alive is None:
            alive = self._own(data).alive(data)
            alive.flags.writeable = False
            data.last_alive.clear()
            data.last_alive[key] = alive
        return alive

    def _alive(self, data: DistinctHistories) -> Array:
        return self._own(data).alive(data)

    def _purchases_if_alive(self, data: DistinctHistories, start: float, horizon: float) -> Array:
        return self._own(data).purchases(data, start, horizon)

    def _silence_if_alive(self, data: DistinctHistories, horizon: float) -> Array:
        return self._own(data).silence(data, horizon)

    def _pmf_if_alive(self, data: DistinctHistories, horizon: float, n_max: int) -> Array:
        return self._own(data).pmf(data, horizon, n_max)

    def _tail_if_alive(self, data: DistinctHistories, horizon: float, counts: NDArray[np.int64]) -> Array:
        return self._own(data).tail(data, horizon, counts)

    def _discounted_if_alive(self, data: DistinctHistories, horizon: float, discount_rate: float) -> Array:
        return self._own(data).discounted(data, horizon, discount_rate)

    def _median_wait(self, data: DistinctHistories, alive: Array) -> Array:
        return self._own(data).wait(data, alive)

    # What a plain model brings to its own fit, and for a new customer: `_predictor` has it.
    def _objective(self, data: DistinctHistories) -> Objective:
        return self._kind._objective(data)

    def _starts(self, data: DistinctHistories) -> list[Array]:
        return self._kind._starts(data)

    def _pmf_new(self, t: float, n_max: int) -> Array:
        return self._predictor()._pmf_new(t, n_max)

    def _purchases_new(self, t: Array) -> Array:
        return self._predictor()._purchases_new(t)

    # ---------------------------------------------------------------- what it says of itself

    @property
    def summary_(self) -> "pd.DataFrame":
        """Estimates of parameters and coefficients: ``estimate, standard_error, lower, upper, z, p_value``.

        Intervals of parameters are Wald intervals of the logarithm, those of coefficients of the coefficient itself;
        ``z`` and ``p_value`` (two-sided) hold a coefficient against 0. With a ridge, errors are those of the penalised
        likelihood.
        """
        import pandas as pd
        from scipy import special

        self._require_fitted()
        values = np.array(list(self.params_.values()))
        coefficients = np.array(list(self.coefficients_.values()))
        k = values.size
        error = np.sqrt(np.diag(self.covariance_))
        with np.errstate(divide="ignore", invalid="ignore"):
            lower, upper = log_scale_interval(values, error[:k])
            z = coefficients / error[k:]
        half = NORMAL_975 * error[k:]
        return pd.DataFrame(
            {
                "estimate": np.append(values, coefficients),
                "standard_error": error,
                "lower": np.append(lower, coefficients - half),
                "upper": np.append(upper, coefficients + half),
                "z": np.append(np.full(k, np.nan), z),
                "p_value": np.append(np.full(k, np.nan), 2.0 * special.ndtr(-np.abs(z))),
            },
            index=pd.Index([*self.params_, *self.coefficients_], name="parameter"),
        )

    def covariate_tests(self, summary: Any) -> "pd.DataFrame":
        """Likelihood-ratio tests: the model against itself without each covariate, on the fit's customers.

        Returns
        -------
        DataFrame
            One row per covariate: ``statistic``, ``degrees_of_freedom``, ``p_value``.

        Raises
        ------
        ModelError
            The model has a ridge, without which the test would have its distribution.
        """
        import pandas as pd

        from .likelihood_ratio import likelihood_ratio_test

        rows = []
        for name in self.covariates:
            rest = {**self._arguments(), "base": {k: v for k, v in self.base.items() if k != name}}
            rest["purchase"] = [n for n in self.purchase if n != name]
            rest["dropout"] = {t: [n for n in names if n != name] for t, names in self.dropout.items()}
            rest["equal"] = [g for g in self.equal if not _speaks_of(g, name)]
            found = likelihood_ratio_test(self, CovariateModel(**rest).fit(summary))
            rows.append((found.statistic, found.degrees_of_freedom, found.p_value))
        columns = ["statistic", "degrees_of_freedom", "p_value"]
        return pd.DataFrame(rows, columns=columns, index=pd.Index(self.covariates, name="covariate"))

    def _coordinates(self) -> tuple[Array, Array]:
        values = np.array(list(self.params_.values()))
        scale = np.append(values, np.ones(len(self.coefficients_)))
        with np.errstate(invalid="ignore", divide="ignore"):
            point = np.append(np.log(values), list(self.coefficients_.values()))
            covariance = self.covariance_ / np.outer(scale, scale)
        return point, known_covariance(point, covariance)

    def _at(self, coordinates: Array) -> Self:
        k = len(self.params_)
        moved = super()._at(coordinates[:k])
        moved.coefficients_ = dict(zip(self.coefficients_, coordinates[k:].tolist(), strict=True))
        return moved

    def _posterior_rate(self, histories: PurchaseHistories) -> tuple[Array, Array]:
        if not isinstance(histories, CovariateHistories):
            return super()._posterior_rate(histories)
        distinct = histories.distinct
        alpha = distinct.scatter(self._own(distinct).alpha)
        return self.params_["r"] + histories.frequency, alpha + histories.T

    def to_dict(self) -> dict[str, Any]:
        """The state as plain values; `from_dict` takes it back."""
        arguments = {**self._arguments(), "equal": [g if isinstance(g, str) else list(g) for g in self.equal]}
        return {
            **super().to_dict(),
            "arguments": {**arguments, "purchase": list(self.purchase)},
            "coefficients": dict(self.coefficients_),
            "design": self.design_.to_dict(),
            "n_parameters": self.n_parameters_,
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Make a fitted model of what `to_dict` returned."""
        model = cls(**state["arguments"])
        plain = type(model._kind).from_dict(state)
        for name, value in vars(plain).items():
            setattr(model, name, value)
        model.design_ = Design.from_dict(state["design"])
        # a file sorts its names
        model.coefficients_ = {name: float(state["coefficients"][name]) for name in model._effects().names}
        model.n_parameters_ = int(state["n_parameters"])
        return model

    def to_lifetimes(self) -> Any:
        """Refuse: ``lifetimes`` has no covariates."""
        raise ModelError("lifetimes has no models with covariates; give it a plain one")

    def __repr__(self) -> str:
        arguments = f"CovariateModel({self.model!r}"
        if not hasattr(self, "params_"):
            return f"<{arguments}), not fitted>"
        values = ", ".join(f"{name} {value:.4g}" for name, value in {**self.params_, **self.coefficients_}.items())
        return f"<{arguments}): {values}{'; ' + self.message_ if self.message_ else ''}>"


def _with_design(plain: PurchaseHistories, design: Design, rows: DesignRows) -> CovariateHistories:
    return CovariateHistories(
        plain.frequency, plain.recency, plain.T, plain.weight, plain.time_unit, design=design, rows=rows
    )


def _names(what: str, names: Any) -> tuple[str, ...]:
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise ModelError(f"{what} is {names!r}; it must be a list of column names, such as ['channel']")
    if len(set(names)) < len(tuple(names)):
        raise ModelError(f"{what} names a column twice: {', '.join(names)}")
    return tuple(names)


def _dropout(kind: BTYDModel, given: Any) -> dict[str, tuple[str, ...]]:
    targets = tuple(name for name in kind.dropout_parameters if name in ("a", "b"))
    if "s" in kind.parameter_names:
        targets = ("dropout",)
    if not isinstance(given, Mapping):
        given = dict.fromkeys(targets or ("dropout",), given)
    found = {target: _names(f"dropout[{target!r}]", names) for target, names in given.items()}
    for target, names in found.items():
        if names and target not in targets:
            allowed = ", ".join(targets) or "none: nobody leaves"
            raise ModelError(f"{kind.name} has no dropout parameter {target!r} for covariates; it has {allowed}")
    return {target: found[target] for target in targets if found.get(target)}


def _speaks_of(group: str | Sequence[str], covariate: str) -> bool:
    if isinstance(group, str):
        return group == covariate
    return any(name.split(".", 1)[-1].split("[", 1)[0] == covariate for name in group)
