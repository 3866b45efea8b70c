"""Pareto/NBD whose rates follow covariates over time, a customer's own or the shop's (Bachmann, Meierer & Naf 2021)."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from ..sql.errors import ModelError, nearest
from .arguments import require_time, require_window
from .btyd import DEFAULT_TIME_UNIT
from .covariate_paths import CovariatePaths
from .maximum_likelihood import NORMAL_975, Objective, log_scale_interval, maximise
from .purchase_rates import rising_sums
from .quadrature import legendre_rules
from .time_units import days_per_unit

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

_LOWEST, _HIGHEST = math.log(1e-7), math.log(1e6)
# A standard deviation of a covariate that multiplies a rate by e^20: no bound found.
_LARGEST = 20.0
# Of the logarithm: beyond it nothing is known of a parameter.
_NOTHING_KNOWN = 5.0
_STEP = 1e-4


class TimeVaryingParetoNBDModel:
    """Pareto/NBD with rates lambda exp(g'x(t)) of purchase and mu exp(d'x(t)) of leaving, x(t) known by period.

    lambda is Gamma(r, alpha), mu Gamma(s, beta) over customers: alpha and beta are those of a customer whose
    covariates are 0. Reading and checking is `read_covariate_paths`' work; every method takes what it returns.

    Parameters
    ----------
    purchase, dropout : sequence of str
        Covariates that the rate of purchase, and that of leaving, differ by.

    Attributes
    ----------
    params_, coefficients_ : dict of float
        r, alpha, s, beta in the paths' time unit; ``purchase.<column>`` and ``dropout.<column>``.
    covariance_ : ndarray, shape (4 + k, 4 + k)
        Inverse of the observed information, of both; nan where the data do not identify all of them.
    log_likelihood_, n_customers_, time_unit_, identified_, message_, converged_, n_iterations_
        As `BTYDModel` has them.

    References
    ----------
    Bachmann, Meierer & Naf (2021), The Role of Time-Varying Contextual Factors in Latent Attrition Models for Customer
    Base Analysis, Marketing Science 40(4), 783-809.

    Examples
    --------
    >>> import pandas as pd
    >>> from regulars.clv import read_covariate_paths, simulate_time_varying_purchases
    >>> weeks = pd.DataFrame({"period": pd.date_range("2015-01-05", periods=104, freq="7D")})
    >>> weeks["december"] = (weeks["period"].dt.month == 12).astype(float)
    >>> truth = {"r": 1.0, "alpha": 8.0, "s": 0.6, "beta": 12.0, "purchase.december": 0.8}
    >>> purchases = simulate_time_varying_purchases(truth, weeks, n_customers=500, as_of="2016-12-31", seed=1)
    >>> model = TimeVaryingParetoNBDModel(purchase=["december"]).fit(
    ...     read_covariate_paths(purchases, weeks, as_of="2016-12-31"))
    >>> bool(abs(model.coefficients_["purchase.december"] - 0.8) < 0.2)
    True
    """

    name = "time_varying_pareto_nbd"
    parameter_names = ("r", "alpha", "s", "beta")

    params_: dict[str, float]
    coefficients_: dict[str, float]
    covariance_: Array
    log_likelihood_: float
    n_customers_: float
    time_unit_: str
    identified_: bool
    message_: str
    converged_: bool
    n_iterations_: int

    def __init__(self, *, purchase: Sequence[str] = (), dropout: Sequence[str] = ()) -> None:
        for what, names in (("purchase", purchase), ("dropout", dropout)):
            if isinstance(names, str):
                raise ModelError(f"{what} is {names!r}; it must be a list of covariates, such as [{names!r}]")
            if len(set(names)) < len(names):
                raise ModelError(f"{what} names a covariate twice: {', '.join(names)}")
        self.purchase, self.dropout = tuple(purchase), tuple(dropout)

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, float], *, time_unit: str = DEFAULT_TIME_UNIT) -> Self:
        """Make a model of known parameters: r, alpha, s, beta, ``purchase.<column>`` and ``dropout.<column>``.

        Raises
        ------
        ModelError
            A parameter is missing, unknown or out of range.

        Examples
        --------
        >>> TimeVaryingParetoNBDModel.from_parameters(
        ...     {"r": 0.5, "alpha": 10.0, "s": 0.6, "beta": 12.0, "purchase.mailing": 0.2})
        <TimeVaryingParetoNBDModel: r 0.5, alpha 10, s 0.6, beta 12, purchase.mailing 0.2>
        """
        chosen: dict[str, list[str]] = {"purchase": [], "dropout": []}
        for name, value in parameters.items():
            kind, _, column = name.partition(".")
            if name not in cls.parameter_names and (kind not in chosen or not column):
                known = (*cls.parameter_names, "purchase.<column>", "dropout.<column>")
                raise ModelError(f"{cls.__name__} has no parameter {name!r}{nearest(name, known)}; {', '.join(known)}")
            if not math.isfinite(value) or (name in cls.parameter_names and value <= 0):
                raise ModelError(f"parameter {name} is {value!r}; r, alpha, s and beta are above 0, all are finite")
            if kind in chosen:
                chosen[kind].append(column)
        missing = [name for name in cls.parameter_names if name not in parameters]
        if missing:
            raise ModelError(f"{cls.__name__} needs {', '.join(missing)}")
        model = cls(purchase=chosen["purchase"], dropout=chosen["dropout"])
        model.params_ = {name: float(parameters[name]) for name in cls.parameter_names}
        model.coefficients_ = {name: float(parameters[name]) for name in model._coefficient_names}
        size = 4 + len(model.coefficients_)
        model.covariance_ = np.full((size, size), np.nan)
        model.log_likelihood_, model.n_customers_, model.time_unit_ = float("nan"), 0.0, time_unit
        model.identified_, model.message_, model.converged_, model.n_iterations_ = True, "", True, 0
        return model

    @property
    def _coefficient_names(self) -> tuple[str, ...]:
        return (*(f"purchase.{name}" for name in self.purchase), *(f"dropout.{name}" for name in self.dropout))

    # ---------------------------------------------------------------- fit

    def fit(self, paths: CovariatePaths) -> Self:
        """Fit by maximum likelihood with exact scores.

        Raises
        ------
        ModelError
            A covariate is unknown, the same in all periods, or told by the others; or nobody has bought again.

        Examples
        --------
        >>> from regulars.clv import read_covariate_paths
        >>> days = {"customer_id": [1, 1, 2, 3], "day": ["2017-01-02", "2017-01-20", "2017-01-03", "2017-01-09"]}
        >>> weeks = {"period": ["2017-01-02", "2017-01-09", "2017-01-16"], "mailing": [1, 1, 1]}
        >>> TimeVaryingParetoNBDModel(purchase=["mailing"]).fit(read_covariate_paths(days, weeks, as_of="2017-01-22"))
        Traceback (most recent call last):
        ...
        regulars.sql.errors.ModelError: covariate 'mailing' is 1.0 in every period: its coefficient cannot be told ...
        """
        from .histories import read_histories, require_repeats

        _require_paths(paths)
        require_repeats(read_histories(paths.summary()))
        data = _Data(paths, self.purchase, self.dropout)
        to_raw = data.standardised()
        start = _start(paths, len(self._coefficient_names))
        k = start.size
        lower = np.concatenate([np.full(4, _LOWEST), np.full(k - 4, -_LARGEST)])
        upper = np.concatenate([np.full(4, _HIGHEST), np.full(k - 4, _LARGEST)])

        def by_scores(point: Array) -> tuple[float, Array, Array]:
            value, scores = data.scores(to_raw @ point)
            scores = scores @ to_raw
            return value, scores.sum(axis=0), -(scores.T @ scores)

        found = maximise(by_scores, start, lower, upper, tolerance=1e-2)
        information = data.information(found.log_parameters, to_raw)
        polished = maximise(_with_hessian(data, to_raw, -information), found.log_parameters, lower, upper)
        information = data.information(polished.log_parameters, to_raw)
        found_at = polished.log_parameters
        raw = to_raw @ found_at
        self.params_ = dict(zip(self.parameter_names, np.exp(raw[:4]).tolist(), strict=True))
        self.coefficients_ = dict(zip(self._coefficient_names, raw[4:].tolist(), strict=True))
        self.log_likelihood_ = polished.value
        self.n_customers_, self.time_unit_ = float(len(paths)), paths.time_unit
        self.converged_ = found.converged and polished.converged
        self.n_iterations_ = found.iterations + polished.iterations + 4 * k
        self._judge(information, to_raw, raw, polished.at_bound)
        return self

    def _judge(self, information: Array, to_raw: Array, raw: Array, at_bound: NDArray[np.bool_]) -> None:
        """Set the covariance, and say what the data leave open."""
        k = raw.size
        self.covariance_ = np.full((k, k), np.nan)
        curvature, axes = np.linalg.eigh(information)
        names = (*self.parameter_names, *self._coefficient_names)
        open_ = at_bound.copy()
        if curvature[0] > 1e-10 * curvature[-1]:
            by_logarithm = to_raw @ ((axes / curvature) @ axes.T) @ to_raw.T
            units = np.concatenate([np.exp(raw[:4]), np.ones(k - 4)])
            if not open_.any():
                self.covariance_ = by_logarithm * np.outer(units, units)
            open_[:4] |= np.diag(by_logarithm)[:4] > _NOTHING_KNOWN**2
        else:
            open_ |= np.abs(axes[:, 0]) > 0.1
        self.identified_ = not open_.any()
        flat = [name for name, is_open in zip(names, open_, strict=True) if is_open]
        self.message_ = ""
        if flat:
            self.message_ = f"the data do not identify {' and '.join(flat)}"
            if set(flat) & {"s", "beta"}:
                self.message_ += ": hardly anybody has been seen to leave"
        elif not self.converged_:
            self.message_ = "the climb did not converge; treat the estimates with caution"

    @property
    def summary_(self) -> "pd.DataFrame":
        """Estimates by parameter, in pandas: ``estimate, standard_error, lower, upper`` (95%, Wald).

        Of r, alpha, s and beta the interval is one of the logarithm.
        """
        import pandas as pd

        self._require_fitted()
        estimate = np.array([*self.params_.values(), *self.coefficients_.values()])
        error = np.sqrt(np.diag(self.covariance_))
        lower, upper = estimate - NORMAL_975 * error, estimate + NORMAL_975 * error
        lower[:4], upper[:4] = log_scale_interval(estimate[:4], error[:4])
        return pd.DataFrame(
            {"estimate": estimate, "standard_error": error, "lower": lower, "upper": upper},
            index=pd.Index([*self.params_, *self.coefficients_], name="parameter"),
        )

    def log_likelihood(self, paths: CovariatePaths) -> float:
        """Log-likelihood of other histories at this model's parameters.

        Examples
        --------
        >>> from regulars.clv import read_covariate_paths
        >>> model = TimeVaryingParetoNBDModel.from_parameters({"r": 0.55, "alpha": 10.58, "s": 0.61, "beta": 11.67})
        >>> paths = read_covariate_paths({"customer_id": [1], "day": ["2017-01-02"]},
        ...                         {"period": ["2017-01-02", "2017-01-09"], "mailing": [0, 1]}, as_of="2017-01-15")
        >>> round(model.log_likelihood(paths), 6)
        -0.084957
        """
        return self._data(paths).scores(self._raw())[0]

    # ---------------------------------------------------------------- predictions

    def probability_alive(self, paths: CovariatePaths) -> Array:
        """Probability that each customer is still one at the as-of date, shape (n,), in the order of the paths.

        Examples
        --------
        >>> from regulars.clv import read_covariate_paths
        >>> model = TimeVaryingParetoNBDModel.from_parameters({"r": 0.55, "alpha": 10.58, "s": 0.61, "beta": 11.67})
        >>> paths = read_covariate_paths({"customer_id": [1], "day": ["2017-01-02"]},
        ...                         {"period": ["2017-01-02", "2017-01-09"], "mailing": [0, 1]}, as_of="2017-01-15")
        >>> model.probability_alive(paths).round(3)
        array([0.91])
        """
        return np.exp(self._data(paths).by_customer(self._raw())[:, 5])

    def expected_purchases(self, paths: CovariatePaths, horizon: float, start: float = 0.0) -> Array:
        """Expected purchases of each customer in (T + start, T + horizon], shape (n,).

        Parameters
        ----------
        paths
            With covariates until the horizon's end.
        horizon, start
            End and begin of the window from the as-of date, in the model's time unit.

        Raises
        ------
        ModelError
            The covariates end before the horizon, with both dates.

        Examples
        --------
        >>> from regulars.clv import read_covariate_paths
        >>> model = TimeVaryingParetoNBDModel.from_parameters({"r": 0.55, "alpha": 10.58, "s": 0.61, "beta": 11.67})
        >>> paths = read_covariate_paths({"customer_id": [1], "day": ["2017-01-02"]},
        ...                         {"period": ["2017-01-02", "2017-01-09"], "mailing": [0, 1]}, as_of="2017-01-15")
        >>> model.expected_purchases(paths, 4)
        Traceback (most recent call last):
        ...
        regulars.sql.errors.ModelError: the covariates end on 2017-01-15, but 2017-02-12 is needed: ...
        """
        self._require_fitted()
        start, horizon = require_window(start, horizon, self.time_unit_)
        alive, (expected, _) = self._future(paths, start, horizon)
        return alive * expected

    def probability_no_purchase(self, paths: CovariatePaths, horizon: float) -> Array:
        """Probability that each customer buys nothing in (T, T + horizon], shape (n,).

        Raises
        ------
        ModelError
            The covariates end before the horizon, with both dates.
        """
        self._require_fitted()
        alive, (_, silent) = self._future(paths, 0.0, require_time("horizon", horizon, self.time_unit_))
        return 1.0 - alive * (1.0 - silent)

    def _future(self, paths: CovariatePaths, start: float, horizon: float) -> tuple[Array, tuple[Array, Array]]:
        from .compiled import fill_rows
        from .time_varying_kernels import RULES, fill_future

        data, unit = self._data(paths), days_per_unit(paths.time_unit)
        needed = paths.end + horizon * unit
        if needed > paths.boundaries[-1] + 1e-9:
            raise ModelError(
                f"the covariates end on {paths.day(paths.boundaries[-1])}, but {paths.day(needed)} is needed: give the "
                "path that is planned until then, or take a shorter horizon"
            )
        raw = self._raw()
        rows = data.by_customer(raw)
        r, alpha, s, beta = np.exp(raw[:4])
        out = np.empty((len(paths), 2))
        pace_a, pace_b = data.paces(raw)
        fill_rows(
            fill_future,
            len(paths),
            *(r + paths.frequency, alpha + rows[:, 6], beta + rows[:, 7], paths.end / unit, float(start)),
            *(min(float(horizon), paths.boundaries[-1] / unit - paths.end / unit), paths.boundaries / unit),
            *(paths.first_row, pace_a, pace_b, s, *legendre_rules(RULES), out),
        )
        return np.exp(rows[:, 5]), (out[:, 0], out[:, 1])

    # ---------------------------------------------------------------- to disk

    def to_dict(self) -> dict[str, Any]:
        """The state as plain values; `from_dict` takes it back."""
        self._require_fitted()
        return {
            "params": dict(self.params_),
            "coefficients": dict(self.coefficients_),
            # the order of the covariance's rows
            "purchase": list(self.purchase),
            "dropout": list(self.dropout),
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
        model = cls(purchase=state["purchase"], dropout=state["dropout"])
        parameters = {name: state["params"][name] for name in cls.parameter_names}
        coefficients = {name: state["coefficients"][name] for name in model._coefficient_names}
        model = cls.from_parameters(parameters | coefficients, time_unit=str(state["time_unit"]))
        model.covariance_ = np.array(state["covariance"], dtype=float)
        model.log_likelihood_, model.n_customers_ = float(state["log_likelihood"]), float(state["n_customers"])
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

    def __repr__(self) -> str:
        if not hasattr(self, "params_"):
            return f"<{type(self).__name__}, not fitted>"
        values = ", ".join(f"{name} {value:.4g}" for name, value in (self.params_ | self.coefficients_).items())
        return f"<{type(self).__name__}: {values}{'; ' + self.message_ if self.message_ else ''}>"

    def _require_fitted(self) -> None:
        if not hasattr(self, "params_"):
            raise ModelError(f"{type(self).__name__} is not fitted; call fit(paths) or from_parameters(...) first")

    def _raw(self) -> Array:
        return np.concatenate([np.log(list(self.params_.values())), list(self.coefficients_.values())])

    def _data(self, paths: CovariatePaths) -> "_Data":
        self._require_fitted()
        _require_paths(paths)
        if paths.time_unit != self.time_unit_:
            raise ModelError(
                f"the paths count in {paths.time_unit}s, the model in {self.time_unit_}s; read them with "
                f"time_unit={self.time_unit_!r}"
            )
        return _Data(paths, self.purchase, self.dropout)


class _Data:
    """Paths as the kernels take them, in time units."""

    def __init__(self, paths: CovariatePaths, purchase: Sequence[str], dropout: Sequence[str]) -> None:
        for name in (*purchase, *dropout):
            if name not in paths.columns:
                known = list(paths.columns)
                raise ModelError(f"no covariate {name!r}{nearest(name, known)}; the paths have {', '.join(known)}")
        self.paths, self.purchase, self.dropout = paths, tuple(purchase), tuple(dropout)
        self.X_a, self.X_b = paths.matrix(purchase), paths.matrix(dropout)
        unit = days_per_unit(paths.time_unit)
        self.born, self.last, self.boundaries = paths.born / unit, paths.last / unit, paths.boundaries / unit
        self.end = np.full(len(paths), paths.end / unit)
        bought_in = paths.first_row[paths.purchase_customer] + paths.purchase_period
        self.bought = np.zeros((len(paths), len(purchase)))
        np.add.at(self.bought, paths.purchase_customer, self.X_a[bought_in])

    def paces(self, raw: Array) -> tuple[Array, Array]:
        """exp(g'x) and exp(d'x) by row."""
        split = 4 + len(self.purchase)
        return np.exp(self.X_a @ raw[4:split]), np.exp(self.X_b @ raw[split:])

    def by_customer(self, raw: Array) -> Array:
        """What ``fill_scores`` fills."""
        from .compiled import fill_rows
        from .time_varying_kernels import RULES, fill_scores

        out = np.empty((len(self.paths), 4 + raw.size))
        fill_rows(
            fill_scores,
            len(self.paths),
            *(self.paths.frequency, self.born, self.last, self.end, self.boundaries, self.paths.first_row),
            *(*self.paces(raw), self.X_a, self.X_b, *np.exp(raw[:4]), *legendre_rules(RULES), out),
            chunk_rows=256,
        )
        return out

    def scores(self, raw: Array) -> tuple[float, Array]:
        """Log-likelihood, and each customer's derivatives (n, 4 + k) by logarithms and coefficients."""
        rows, x = self.by_customer(raw), self.paths.frequency
        r, alpha, s, beta = np.exp(raw[:4])
        split = 4 + len(self.purchase)
        rising, by_r, _ = rising_sums(float(r), int(x.max(initial=0)))
        value = rows[:, 0] + rising[x] + r * raw[1] + s * raw[3] + self.bought @ raw[4:split]
        scores = np.empty((x.size, raw.size))
        scores[:, 0] = r * (rows[:, 1] + by_r[x] + raw[1])
        scores[:, 1] = alpha * rows[:, 2] + r
        scores[:, 2] = s * (rows[:, 3] + raw[3])
        scores[:, 3] = beta * rows[:, 4] + s
        scores[:, 4:split] = rows[:, 8 : 4 + split] + self.bought
        scores[:, split:] = rows[:, 4 + split :]
        return math.fsum(value), scores

    def information(self, point: Array, to_raw: Array) -> Array:
        """Minus the Hessian in standardised coordinates: central differences of the exact gradient."""
        rows = []
        for direction in np.eye(point.size) * _STEP:
            up, down = (self.scores(to_raw @ (point + sign * direction))[1].sum(axis=0) for sign in (1.0, -1.0))
            rows.append((down - up) @ to_raw / (2.0 * _STEP))
        found = np.array(rows)
        return 0.5 * (found + found.T)

    def standardised(self) -> Array:
        """Matrix from (log parameters at the mean covariates, coefficients by standard deviation) to the raw ones."""
        seen = self._seen_rows()
        split = 4 + len(self.purchase)
        to_raw = np.eye(split + len(self.dropout))
        for X, names, first, scale_at in ((self.X_a, self.purchase, 4, 1), (self.X_b, self.dropout, split, 3)):
            mean, deviation = X[seen].mean(axis=0), X[seen].std(axis=0)
            _refuse_collinear(X[seen], names)
            for j in range(len(names)):
                to_raw[first + j, first + j] = 1.0 / deviation[j]
                # exp(g'x) = exp(g'm) exp(g'(x - m)), and alpha at the mean is alpha exp(-g'm)
                to_raw[scale_at, first + j] = mean[j] / deviation[j]
        return to_raw

    def _seen_rows(self) -> NDArray[np.int64]:
        # who came at the very end of the last period is counted in it
        first = np.minimum(np.searchsorted(self.boundaries, self.born, side="right"), self.boundaries.size - 1) - 1
        last = np.searchsorted(self.boundaries, self.end, side="left") - 1
        if not self.paths.first_row.any():
            return np.arange(first.min(), max(last.max(), first.min()) + 1)
        counts = np.maximum(last - first + 1, 1)
        start = np.repeat(self.paths.first_row + first, counts)
        return start + np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)


def _refuse_collinear(X: Array, names: Sequence[str]) -> None:
    centred = X - X.mean(axis=0)
    size = np.linalg.norm(centred, axis=0)
    basis = np.zeros((X.shape[0], 0))
    for j, name in enumerate(names):
        if size[j] <= 1e-12 * max(1.0, float(np.abs(X[:, j]).max())) * math.sqrt(X.shape[0]):
            raise ModelError(
                f"covariate {name!r} is {X[0, j]} in every period: its coefficient cannot be told from alpha or beta; "
                "drop it"
            )
        column = centred[:, j] / size[j]
        rest = column - basis @ (basis.T @ column)
        rest -= basis @ (basis.T @ rest)
        if np.linalg.norm(rest) < 1e-7:
            weights = np.linalg.lstsq(centred[:, :j] / size[:j], column, rcond=None)[0]
            with_ = [other for other, w in zip(names[:j], weights, strict=True) if abs(w) > 1e-6]
            raise ModelError(f"covariate {name!r} is told by {', '.join(with_)}: they are collinear; drop one of them")
        basis = np.column_stack([basis, rest / np.linalg.norm(rest)])


def _with_hessian(data: _Data, to_raw: Array, hessian: Array) -> Objective:
    def objective(point: Array) -> tuple[float, Array, Array]:
        value, scores = data.scores(to_raw @ point)
        return value, scores.sum(axis=0) @ to_raw, hessian

    return objective


def _start(paths: CovariatePaths, n_coefficients: int) -> Array:
    from .pareto_nbd import ParetoNBDModel

    plain = ParetoNBDModel().fit(paths.summary())
    point = np.array([plain.params_[name] for name in plain.parameter_names])
    if not (np.isfinite(point) & (point > 1e-4) & (point < 1e4)).all():
        # nobody seems to leave at rates that do not change: a quarter may yet, at rates that do
        point = np.array([plain.params_["r"], plain.params_["alpha"], 0.3, float(np.mean(paths.summary()["T"])) + 1.0])
    return np.concatenate([np.log(point), np.zeros(n_coefficients)])


def _require_paths(paths: Any) -> None:
    if not isinstance(paths, CovariatePaths):
        raise ModelError(
            f"paths is a {type(paths).__name__}; read purchases and covariates with read_covariate_paths(...) first"
        )
