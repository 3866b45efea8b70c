"""Customers who were there before the data begin: models of orders that condition on it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ..sql.errors import ContractError, ModelError, nearest
from .arguments import require_above_zero, require_rate, require_time
from .btyd import DEFAULT_TIME_UNIT
from .columns import column_names, read_columns
from .compiled import fill_rows
from .covariate_predictions import LeavingAtAnyTime
from .histories import DistinctHistories, read_histories, require_repeats
from .maximum_likelihood import (
    Objective,
    climb,
    covariance_of,
    identified_parameters,
    log_box,
    log_scale_interval,
)
from .plain_models import plain_model
from .purchase_rates import rising_sums
from .quadrature import legendre, legendre_rules

if TYPE_CHECKING:
    import pandas as pd

    from .btyd import BTYDModel

Array = NDArray[np.float64]

_FAMILIES = {"bg_nbd": (0, 0), "mbg_nbd": (0, 1), "pareto_nbd": (1, 0)}
# Step of the differences by the logarithms of the parameters.
_STEP = 2e-3
# Of the ends of the integral over p this much of the mass is left out, or taken as a geometric series.
_LOG_NOTHING = 28.0
# Nodes of the time since a customer came, in predictions.
_AGES = 10
# Of a panel of the integral over the horizon that discounting needs.
_DISCOUNT_NODES = 8
# Rows that the climb first looks at.
_FIRST_LOOK_ROWS = 3000


class LeftCensoredModel:
    """BG/NBD, MBG/NBD or Pareto/NBD where the data begin in the middle of customers' lives.

    Customers first seen in the data have either just come, or come earlier and been there all along; taken all for
    new they look better than new customers are, for who is still there has shown that he stays. The model says how a
    customer seen first at u, with u measured from the data's begin, is one or the other: customers come at a constant
    rate from ``history`` before the data's begin on until the as-of date, those who come in the window are seen at
    their first purchase, and those before it if they are still there and buy within it. The likelihood is that of
    what was seen, given that the customer was seen at all. Where the summary has a column ``tenure`` it is known who
    is which.

    Parameters
    ----------
    model : str
        ``"bg_nbd"``, ``"mbg_nbd"`` or ``"pareto_nbd"``.
    window : float
        Length of the data: from their first day to the as-of date, in the summary's time unit. A summary's T is at
        most that.
    history : float
        How long before the data's begin the shop had been winning customers.
    acquisition : float or None
        Customers won per time before the data's begin over those won in the window: 1 for a constant rate; None
        to estimate it.

    Attributes
    ----------
    params_ : dict of float
        The population's parameters, as of a customer who has just come.
    acquisition_ : float
        Given or estimated.
    log_likelihood_ : float
        Given that each customer was seen: not to be held against a plain model's.
    covariance_ : ndarray, shape (k, k)
        Of ``params_`` and, where it is estimated, ``acquisition_``.
    n_customers_, time_unit_, identified_, message_, converged_
        As in `BTYDModel`.

    Notes
    -----
    docs/methods/left-censoring.md derives the likelihood.

    Examples
    --------
    >>> from regulars.clv.simulate import simulate_left_censored
    >>> truth = {"r": 0.55, "alpha": 6.0, "a": 0.8, "b": 2.4}
    >>> seen = simulate_left_censored("bg_nbd", truth, 2000, window=52, history=52, seed=1)
    >>> model = LeftCensoredModel("bg_nbd", window=52, history=52).fit(seen)
    >>> bool(0.35 < model.params_["r"] < 0.75)
    True
    """

    params_: dict[str, float]
    acquisition_: float
    log_likelihood_: float
    covariance_: Array
    n_customers_: float
    time_unit_: str
    identified_: bool
    message_: str
    converged_: bool

    def __init__(self, model: str, *, window: float, history: float, acquisition: float | None = 1.0) -> None:
        if model not in _FAMILIES:
            raise ModelError(f"no model {model!r}{nearest(model, list(_FAMILIES))}; there are {', '.join(_FAMILIES)}")
        self.model = model
        self.window = require_time("window", window, "time unit")
        self.history = require_time("history", history, "time unit")
        if self.window == 0 or self.history == 0:
            raise ModelError(
                f"window is {window!r} and history {history!r}; both must be above 0: without customers from before "
                "the data a plain model is the one to fit"
            )
        if acquisition is not None:
            require_above_zero("acquisition", acquisition, "positive and finite, or None to estimate it")
        self.acquisition = acquisition

    @property
    def name(self) -> str:
        """``bg_nbd_left_censored``, for one."""
        return f"{self.model}_left_censored"

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Of the population's model."""
        return ("r", "alpha", "s", "beta") if self.model == "pareto_nbd" else ("r", "alpha", "a", "b")

    def fit(self, summary: Any) -> Self:
        """Fit by maximum likelihood.

        Parameters
        ----------
        summary : frame
            ``frequency``, ``recency``, ``T`` from the first purchase that the data hold; optionally ``weight`` and
            ``tenure``, the time from joining to the as-of date: above ``window`` for those from before the data
            (infinite where it is not known since when), at most ``window`` for those who came in it, nan where neither
            is known.

        Raises
        ------
        ContractError
            A column is missing, a row is impossible, or a T is longer than the window.
        ModelError
            As for `BTYDModel.fit`; or a tenure reaches back beyond ``history``.
        """
        histories = read_histories(summary)
        require_repeats(histories)
        rows = self._rows(summary, 1.0)
        scale = float((histories.weight * histories.T).sum() / histories.weight.sum())
        scaled = self._rows(summary, scale)
        plain = plain_model(self.model).fit(histories)
        start = np.array([plain.params_[name] for name in self.parameter_names])
        if not np.all(start > 0):
            start = (
                np.array([0.5, scale, 0.7, 2.0]) if self.model != "pareto_nbd" else np.array([0.5, scale, 0.6, scale])
            )
        units = np.array([scale if name in ("alpha", "beta") else 1.0 for name in self.parameter_names])
        first = np.log(start / units)
        if self.acquisition is None:
            first, units = np.append(first, 0.0), np.append(units, 1.0)
        lower, upper = log_box(first.size)
        tamer = first + np.log([1.0, 1.0, 2.0, 1.0] + [1.0] * (first.size - 4))
        few = scaled.every(max(1, len(histories) // _FIRST_LOOK_ROWS))
        look = None if few is scaled else _differences(few.log_likelihood)
        found = climb(_differences(scaled.log_likelihood), [first, tamer], look, (lower, upper))
        estimate = np.exp(found.log_parameters) * units
        free = identified_parameters(found)
        self.params_ = dict(zip(self.parameter_names, estimate[:4].tolist(), strict=True))
        self.acquisition_ = float(estimate[4]) if self.acquisition is None else float(self.acquisition)
        self.log_likelihood_ = rows.log_likelihood(np.log(estimate))
        self.covariance_ = covariance_of(estimate, found.hessian, free)
        self.n_customers_ = float(histories.weight.sum())
        self.time_unit_ = histories.time_unit or DEFAULT_TIME_UNIT
        self.converged_, self.identified_ = found.converged, bool(free.all())
        names = [*self.parameter_names, "acquisition"]
        flat = [name for name, known in zip(names, free, strict=False) if not known]
        self.message_ = f"the data do not identify {' and '.join(flat)}: at the boundary" if flat else ""
        return self

    def log_likelihood(self, summary: Any) -> float:
        """Log-likelihood of a summary at this model's parameters, given that each customer was seen."""
        return self._rows(summary, 1.0).log_likelihood(self._logarithms())

    @property
    def population_(self) -> "BTYDModel":
        """The plain model of a customer who has just come, with these parameters."""
        self._require_fitted()
        plain = type(plain_model(self.model)).from_parameters(time_unit=self.time_unit_, **self.params_)
        plain.covariance_ = self.covariance_[:4, :4]
        plain.n_customers_ = self.n_customers_
        return plain

    @property
    def summary_(self) -> "pd.DataFrame":
        """Estimates by parameter: ``estimate, standard_error, lower, upper``, as `BTYDModel.summary_`."""
        import pandas as pd

        self._require_fitted()
        names = [*self.parameter_names, *(["acquisition"] if self.acquisition is None else [])]
        estimate = np.array([*self.params_.values(), self.acquisition_])[: len(names)]
        error = np.sqrt(np.diag(self.covariance_))
        with np.errstate(divide="ignore", invalid="ignore"):
            lower, upper = log_scale_interval(estimate, error)
        return pd.DataFrame(
            {"estimate": estimate, "standard_error": error, "lower": lower, "upper": upper},
            index=pd.Index(names, name="parameter"),
        )

    # ---------------------------------------------------------------- predictions by customer

    def probability_acquired_before(self, summary: Any) -> Array:
        """Probability that each customer came before the data begin, shape (n,); 0 or 1 where the tenure tells.

        Examples
        --------
        >>> from regulars.clv.simulate import simulate_left_censored
        >>> truth = {"r": 0.55, "alpha": 6.0, "a": 0.8, "b": 2.4}
        >>> seen = simulate_left_censored("bg_nbd", truth, 2000, window=52, history=52, seed=1)
        >>> model = LeftCensoredModel("bg_nbd", window=52, history=52).fit(seen)
        >>> before = model.probability_acquired_before(seen)
        >>> bool(abs(before.mean() - seen["is_old"].mean()) < 0.05)
        True
        """
        rows = self._rows(summary, 1.0)
        return rows.probability_old(self._logarithms())

    def probability_alive(self, summary: Any) -> Array:
        """Probability that each customer is still one at the as-of date, shape (n,)."""
        return self._average(summary, 0, 0.0, self.population_.probability_alive)

    def expected_purchases(self, summary: Any, horizon: float) -> Array:
        """Expected purchases of each customer in the horizon after the as-of date, shape (n,)."""
        horizon = require_time("horizon", horizon, self._unit)
        return self._average(summary, 1, horizon, lambda rows: self.population_.expected_purchases(rows, horizon))

    def probability_no_purchase(self, summary: Any, horizon: float) -> Array:
        """Probability that each customer buys nothing in the horizon, shape (n,)."""
        horizon = require_time("horizon", horizon, self._unit)
        return self._average(summary, 2, horizon, lambda rows: self.population_.probability_no_purchase(rows, horizon))

    def discounted_expected_purchases(self, summary: Any, horizon: float, discount_rate: float) -> Array:
        """Expected purchases in the horizon, each discounted to the as-of date, shape (n,).

        ``discount_rate`` is continuous, per time unit, as `BTYDModel.discounted_expected_purchases` has it.
        """
        horizon, rate = require_time("horizon", horizon, self._unit), require_rate(discount_rate, self._unit)
        rows, logarithms = self._rows(summary, 1.0), self._logarithms()
        plain, histories, before = self.population_, read_histories(summary), rows.probability_old(logarithms)
        total = np.zeros(len(histories))
        for end, weight in zip(*_discounting(horizon, rate, self.params_["alpha"]), strict=True):
            one = plain.expected_purchases(histories, end)
            if (before > 0).any():
                one = (1.0 - before) * one + before * rows.predict_old(logarithms, end)[:, 1]
            total += weight * one
        return total

    def _average(self, summary: Any, what: int, horizon: float, if_new: Callable[[Any], Array]) -> Array:
        """Mean of a prediction over when a customer may have come, by what was seen of him."""
        rows, logarithms = self._rows(summary, 1.0), self._logarithms()
        new, before = if_new(read_histories(summary)), rows.probability_old(logarithms)
        if not (before > 0).any():
            return new
        return (1.0 - before) * new + before * rows.predict_old(logarithms, horizon)[:, what]

    # ---------------------------------------------------------------- state

    def to_dict(self) -> dict[str, Any]:
        """The state as plain values; `from_dict` takes it back."""
        self._require_fitted()
        return {
            "arguments": {
                "model": self.model,
                "window": self.window,
                "history": self.history,
                "acquisition": self.acquisition,
            },
            "params": dict(self.params_),
            "acquisition": self.acquisition_,
            "log_likelihood": self.log_likelihood_,
            "covariance": self.covariance_.tolist(),
            "n_customers": self.n_customers_,
            "time_unit": self.time_unit_,
            "identified": self.identified_,
            "message": self.message_,
            "converged": self.converged_,
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Make a fitted model of what `to_dict` returned."""
        model = cls(**state["arguments"])
        model.params_ = {name: float(state["params"][name]) for name in model.parameter_names}
        model.acquisition_, model.log_likelihood_ = float(state["acquisition"]), float(state["log_likelihood"])
        model.covariance_ = np.array(state["covariance"], dtype=float)
        model.n_customers_, model.time_unit_ = float(state["n_customers"]), str(state["time_unit"])
        model.identified_, model.message_ = bool(state["identified"]), str(state["message"])
        model.converged_ = bool(state["converged"])
        return model

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
        if not hasattr(self, "params_"):
            return f"<LeftCensoredModel({self.model!r}), not fitted>"
        values = ", ".join(f"{name} {value:.4g}" for name, value in self.params_.items())
        return f"<LeftCensoredModel({self.model!r}): {values}{'; ' + self.message_ if self.message_ else ''}>"

    def _require_fitted(self) -> None:
        if not hasattr(self, "params_"):
            raise ModelError("LeftCensoredModel is not fitted; call fit(summary) first")

    @property
    def _unit(self) -> str:
        self._require_fitted()
        return self.time_unit_

    def _logarithms(self) -> Array:
        self._require_fitted()
        return np.log([*self.params_.values(), self.acquisition_])

    def _rows(self, summary: Any, scale: float) -> "_Seen":
        histories = read_histories(summary)
        tenure = np.full(len(histories), np.nan)
        if "tenure" in column_names(summary):
            tenure = read_columns(summary, ["tenure"])["tenure"]
        late = np.maximum(histories.T - self.window, 0.0)
        if (late > 1e-9 * self.window).any():
            row = int(np.argmax(late))
            raise ContractError(
                f"T {histories.T[row]} in row {row} is longer than the window {self.window}: the data begin before it"
            )
        before = tenure - self.window
        too_old = np.isfinite(before) & (before > self.history)
        if too_old.any() or (tenure < 0).any():
            row = int(np.argmax(too_old | (tenure < 0)))
            raise ModelError(
                f"tenure {tenure[row]} in row {row}; it must lie between 0 and window + history, "
                f"{self.window + self.history:g}, or be infinite"
            )
        is_new, is_old = tenure <= self.window, before > 0
        return _Seen(
            model=self.model,
            window=self.window / scale,
            history=self.history / scale,
            fixed_acquisition=self.acquisition,
            x=histories.frequency,
            t_x=histories.recency / scale,
            T=np.minimum(histories.T, self.window) / scale,
            tau=np.where(np.isfinite(before), before, np.nan) / scale,
            weight=histories.weight,
            is_new=is_new,
            is_old=is_old,
        )


@dataclass(frozen=True)
class _Seen:
    """What was seen of customers, (n,) each, times from the window's start; ``tau`` is nan where it is not known."""

    model: str
    window: float
    history: float
    fixed_acquisition: float | None
    x: NDArray[np.int64]
    t_x: Array
    T: Array
    tau: Array
    weight: Array
    is_new: NDArray[np.bool_]
    is_old: NDArray[np.bool_]

    @cached_property
    def _old(self) -> tuple[NDArray[np.int64], Array, Array, NDArray[np.intp]]:
        """Distinct (k, y, tau) of those who may be old, and the row of each customer among them (n,)."""
        last = self.window - self.T + self.t_x
        tau = np.where(self.is_old, self.tau, np.nan)
        table = np.column_stack([self.x + 1.0, last, np.where(np.isnan(tau), -1.0, tau)])
        distinct, row = np.unique(table, axis=0, return_inverse=True)
        k, last, known = (distinct[:, i].astype(np.float64) for i in range(3))
        return k.astype(np.int64), last, np.where(known < 0, np.nan, known), row.ravel()

    @cached_property
    def _new(self) -> tuple[NDArray[np.int64], Array, Array, NDArray[np.intp]]:
        """Distinct (x, t_x, T), and the row of each customer among them (n,)."""
        table = np.column_stack([self.x.astype(float), self.t_x, self.T])
        distinct, row = np.unique(table, axis=0, return_inverse=True)
        return distinct[:, 0].astype(np.int64), distinct[:, 1], distinct[:, 2], row.ravel()

    def every(self, step: int) -> "_Seen":
        """Each ``step``-th customer, for a first look."""
        if step == 1:
            return self
        rows = slice(None, None, step)
        names = ("x", "t_x", "T", "tau", "weight", "is_new", "is_old")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})

    def log_likelihood(self, logarithms: Array) -> float:
        """Log-likelihood by the logarithms of the parameters and, where it is estimated, of acquisition."""
        new, old, seen, seen_spread, constant = self._densities(logarithms)
        ratio = math.log(self._acquisition(logarithms))
        mixed = np.logaddexp(new, ratio + old) - math.log(self.window + math.exp(ratio) * seen_spread)
        one = np.where(self.is_new, new, np.where(self.is_old, old - np.log(seen), mixed))
        return float((self.weight * (one + constant)).sum())

    def probability_old(self, logarithms: Array) -> Array:
        """Probability of having come before the window, (n,)."""
        new, old, *_ = self._densities(logarithms)
        odds = special.expit(math.log(self._acquisition(logarithms)) + old - new)
        return np.where(self.is_new, 0.0, np.where(self.is_old, 1.0, odds))

    def _acquisition(self, logarithms: Array) -> float:
        return math.exp(logarithms[4]) if self.fixed_acquisition is None else self.fixed_acquisition

    def _densities(self, logarithms: Array) -> tuple[Array, Array, Array, float, Array]:
        """Logarithms of both densities (n,), P(seen) if old (n,), the same with tau spread evenly, common part."""
        from .left_censoring_kernels import fill_log_new
        from .pareto_nbd_kernels import RULES

        r, alpha, third, fourth = np.exp(logarithms[:4]).tolist()
        family, chances = _FAMILIES[self.model]
        x_max = int(self.x.max(initial=0))
        x, t_x, T, at = self._new
        survived = np.zeros(1)
        if family == 0:
            s = np.arange(x_max + 1) + chances
            survived = special.betaln(third, fourth + s) - special.betaln(third, fourth)
        new = np.empty(x.size)
        rules = legendre_rules(RULES)
        fill_rows(fill_log_new, x.size, x, t_x, T, family, r, alpha, third, fourth, chances, survived, *rules, new)
        log_old, seen, seen_spread = self._old_densities(r, alpha, third, fourth)
        constant = rising_sums(r, x_max)[0][self.x] + r * math.log(alpha)
        if family == 1:
            constant = constant + third * math.log(fourth)
        row = self._old[3]
        return new[at], log_old[row], seen[row], seen_spread, constant

    def _old_densities(self, r: float, alpha: float, third: float, fourth: float) -> tuple[Array, Array, float]:
        k, y, tau, _ = self._old
        family, chances = _FAMILIES[self.model]
        W, H = self.window, self.history
        out, ages = np.empty(k.size), np.append(np.unique(tau[~np.isnan(tau)]), np.nan)
        seen = np.empty(ages.size)
        if family == 0:
            from .left_censoring_kernels import fill_log_old_after_purchase, fill_seen_after_purchase

            p, log_1p, mass = _leaving_nodes(third, fourth, alpha, r + float(k.max(initial=1)), H)
            last = (W, H, r, alpha, chances, p)
            fill_rows(fill_log_old_after_purchase, k.size, k, y, tau, *last, log_1p, mass, out, chunk_rows=1024)
            fill_rows(fill_seen_after_purchase, ages.size, ages, *last, log_1p, mass, seen, chunk_rows=256)
        else:
            from .left_censoring_kernels import fill_alive_at_start, fill_log_old_at_any_time
            from .pareto_nbd_kernels import RULES

            last = (W, H, r, alpha, third, fourth, *legendre(32), *legendre_rules(RULES))
            fill_rows(fill_log_old_at_any_time, k.size, k, y, tau, *last, out, chunk_rows=1024)
            none, nothing = np.empty(ages.size), np.zeros(ages.size)
            fill_rows(fill_log_old_at_any_time, ages.size, nothing.astype(np.int64), nothing, ages, *last, none)
            fill_rows(fill_alive_at_start, ages.size, ages, H, third, fourth, seen)
            # s and beta's own factor is in the constant of the densities, and must be here
            seen = seen - np.exp(none + r * math.log(alpha) + third * math.log(fourth))
        position = np.searchsorted(ages[:-1], np.where(np.isnan(tau), np.inf, tau))
        return out, seen[position], float(seen[-1])

    def predict_old(self, logarithms: Array, horizon: float) -> Array:
        """P(alive), expected purchases and P(no purchase) of customers as if they came before, (n, 3)."""
        r, alpha, third, fourth = np.exp(logarithms[:4]).tolist()
        k, y, tau, row = self._old
        family, chances = _FAMILIES[self.model]
        nodes, weights = legendre(_AGES)
        if family == 0:
            from .left_censoring_kernels import fill_predictions_after_purchase

            out = np.empty((k.size, 3), np.float64)
            beta_nodes = _leaving_nodes(third, fourth, alpha, r + float(k.max(initial=1)), self.history)
            fill_rows(
                fill_predictions_after_purchase,
                k.size,
                *(k, y, tau, self.window, r, alpha, chances, horizon, self.history * nodes, weights, *beta_nodes, out),
                chunk_rows=256,
            )
            return out[row]
        return self._predict_old_at_any_time(r, alpha, third, fourth, horizon)[row]

    def _predict_old_at_any_time(self, r: float, alpha: float, s: float, beta: float, horizon: float) -> Array:
        from .left_censoring_kernels import fill_log_old_at_any_time
        from .pareto_nbd_kernels import RULES

        k, y, tau, _ = self._old
        m = np.arange(k.size)
        ends = np.concatenate([y, np.full(k.size, self.window)])
        data = DistinctHistories(k, m, k.size + m, ends, np.ones(k.size), None)
        rules = (*legendre(32), *legendre_rules(RULES))
        nodes, weights = legendre(_AGES)
        logs, predicted = np.empty((_AGES, k.size)), np.empty((_AGES, k.size, 3))
        for g, node in enumerate(nodes):
            age = np.where(np.isnan(tau), self.history * node, tau)
            last = (self.window, self.history, r, alpha, s, beta, *rules, logs[g])
            fill_rows(fill_log_old_at_any_time, k.size, k, y, age, *last, chunk_rows=1024)
            own = LeavingAtAnyTime(r, np.full(k.size, alpha), s, beta + age)
            alive = own.alive(data)
            predicted[g, :, 0] = alive
            predicted[g, :, 1] = alive * own.purchases(data, 0.0, horizon)
            predicted[g, :, 2] = 1.0 - alive * (1.0 - own.silence(data, horizon))
        share = weights[:, None] * np.exp(logs - logs.max(axis=0))
        mean: Array = (share[:, :, None] * predicted).sum(axis=0) / share.sum(axis=0)[:, None]
        return mean


def _leaving_nodes(a: float, b: float, alpha: float, most: float, H: float) -> tuple[Array, Array, Array]:
    """Nodes p, ln(1 - p) and weights of Beta(a, b): the trapezoidal rule in the logit of p, its ends summed."""
    step = 0.4
    while step > 0.5 / math.sqrt(max(a, 1e-3)) or step > 0.5 * math.sqrt(1.0 / a + 1.0 / b):
        step /= 2.0
    low = -(_LOG_NOTHING + math.log1p(H * most / alpha)) / (1.0 + a)
    high = _LOG_NOTHING / (1.0 + b)
    y = step * np.arange(math.floor(low / step), math.ceil(high / step) + 1)
    log_p, log_1p = -np.logaddexp(0.0, -y), -np.logaddexp(0.0, y)
    mass = step * np.exp(a * log_p + b * log_1p - special.betaln(a, b))
    mass[0] /= -math.expm1(-a * step)
    mass[-1] /= -math.expm1(-b * step)
    kept = mass > 1e-20 * mass.max()
    return np.exp(log_p)[kept], log_1p[kept], mass[kept]


def _discounting(horizon: float, rate: float, alpha: float) -> tuple[list[float], list[float]]:
    """Times u_j and weights with sum_j w_j E(u_j) = e^(-dh) E(h) + d int_0^h e^(-du) E(u) du.

    In v = ln(1 + u / alpha), where every customer's E is analytic within pi of the line, by panels of at most 1.
    """
    if rate == 0:
        return [horizon], [1.0]
    nodes, weights = legendre(_DISCOUNT_NODES)
    length = math.log1p(horizon / alpha)
    panels = 1 + int(length) + int(math.sqrt(rate * horizon))
    v = (length / panels * (np.arange(panels)[:, None] + nodes)).ravel()
    u = alpha * np.expm1(v)
    mass = rate * alpha * length / panels * np.tile(weights, panels) * np.exp(v - rate * u)
    return [horizon, *u.tolist()], [math.exp(-rate * horizon), *mass.tolist()]


def _differences(value: Callable[[Array], float]) -> Objective:
    """Gradient and Hessian of a smooth function by central differences."""

    def objective(point: Array) -> tuple[float, Array, Array]:
        k, h = point.size, _STEP
        unit = h * np.eye(k)
        here = value(point)
        ahead = np.array([value(point + step) for step in unit])
        behind = np.array([value(point - step) for step in unit])
        hessian = np.diag((ahead + behind - 2.0 * here) / h**2)
        for i in range(k):
            for j in range(i):
                both = value(point + unit[i] + unit[j]) + value(point - unit[i] - unit[j])
                apart = ahead[i] + behind[i] + ahead[j] + behind[j] - 2.0 * here
                hessian[i, j] = hessian[j, i] = (both - apart) / (2.0 * h**2)
        return here, (ahead - behind) / (2.0 * h), hessian

    return objective
