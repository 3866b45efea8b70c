"""Spend per purchase: the Gamma-Gamma model of Fader and Hardie, fitted by maximum likelihood."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from ..sql.errors import ContractError, ModelError
from .columns import column_names, read_columns
from .persistence import load_model, save_model

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

PARAMETERS = ("p", "q", "v")
# Beyond these the likelihood is flat: at q = 1e5 mean spends differ by .3% between customers, at p = 1e5 a customer's
# orders differ by .3% among themselves.
_UPPER = np.log(np.array([1e5, 1e5, 1e15]))
_LOWER = np.log(np.array([1e-6, 1e-6, 1e-15]))
# A boundary that costs less log-likelihood than this is not told apart from the estimate.
_FLAT = 1e-3
_BLOCK = 1 << 16
# Above this the independence of how often and how much is in doubt; Fader and Hardie accept .06 on CDNOW.
_NOTABLE_CORRELATION = 0.3


class GammaGammaModel:
    """Mean spend per purchase, shrunk towards the base's mean the fewer purchases a customer has made.

    A customer's orders are Gamma(p, nu) and nu is Gamma(q, v) over customers, independent of how often they buy. Only
    customers with ``frequency > 0`` and ``monetary_value > 0`` enter the fit; the others are counted.

    Attributes
    ----------
    params_ : dict of float
        p and q (no unit), v (currency).
    log_likelihood_ : float
        Summed over the customers that entered.
    covariance_ : ndarray, shape (3, 3)
        Of (p, q, v), from the exact Hessian; NaN where a parameter is not identified.
    n_customers_ : float
        Customers that entered (sum of weights).
    n_without_repeat_, n_without_money_ : float
        Customers left out: no repeat purchase; repeat purchases that brought no money.
    population_mean_ : float
        p v / (q - 1), in currency; inf where q <= 1.
    observed_mean_ : float
        Mean of monetary_value over the customers that entered, in currency.
    frequency_money_correlation_ : float
        Pearson's, over the same; the model assumes that it is near 0.
    identified_ : bool
        False where p or q lies at the boundary.
    message_ : str
        What a reader of the fit must know; empty where nothing is.

    Notes
    -----
    Fader and Hardie, "The Gamma-Gamma Model of Monetary Value" (2013), http://brucehardie.com/notes/025/, eq. 1a, 4, 5.

    Examples
    --------
    >>> import pandas as pd
    >>> model = GammaGammaModel.from_parameters(p=6.25, q=3.74, v=15.44)
    >>> round(model.population_mean_, 5)
    35.21898
    >>> customer = pd.DataFrame({"frequency": [2], "monetary_value": [22.35]})
    >>> model.conditional_expected_value(customer).round(5)
    array([24.66371])
    """

    name: ClassVar[str] = "gamma_gamma"

    params_: dict[str, float]
    log_likelihood_: float
    covariance_: Array
    n_customers_: float
    n_without_repeat_: float
    n_without_money_: float
    observed_mean_: float
    frequency_money_correlation_: float
    identified_: bool
    message_: str

    @classmethod
    def from_parameters(cls, p: float, q: float, v: float) -> Self:
        """Make a model of known parameters, as from a paper; there is no likelihood and no covariance.

        Raises
        ------
        ModelError
            Where a parameter is not positive and finite.

        Examples
        --------
        >>> GammaGammaModel.from_parameters(p=6.25, q=3.74, v=15.44).params_
        {'p': 6.25, 'q': 3.74, 'v': 15.44}
        """
        for name, value in zip(PARAMETERS, (p, q, v), strict=True):
            if not (np.isfinite(value) and value > 0):
                raise ModelError(f"Gamma-Gamma parameter {name} is {value!r}; it must be positive and finite")
        model = cls()
        model._set(
            np.array([p, q, v], dtype=float),
            log_likelihood=np.nan,
            covariance=np.full((3, 3), np.nan),
            counts=(np.nan, np.nan, np.nan),
            observed_mean=p * v / (q - 1) if q > 1 else np.nan,
            correlation=np.nan,
            at_bound=(),
        )
        model._prediction_params = model.params_
        return model

    def fit(self, summary: Any) -> Self:
        """Fit by maximum likelihood: damped Newton steps on the logarithms of the parameters, exact derivatives.

        Given v, all that p and q need is one number per distinct frequency, so a step costs one logarithm and one
        division a customer.

        Parameters
        ----------
        summary : frame
            ``frequency`` (repeat purchases), ``monetary_value`` (their mean, currency), optionally ``weight``
            (customers that a row stands for).

        Returns
        -------
        GammaGammaModel
            Itself.

        Raises
        ------
        ContractError
            Where the summary lacks a column or holds an impossible value.
        ModelError
            Where no customer has ``frequency > 0`` and ``monetary_value > 0``.
        """
        x, m, w = read_spend(summary)
        enters = (x > 0) & (m > 0) & (w > 0)
        counts = (w[enters].sum(), w[x <= 0].sum(), w[(x > 0) & (m <= 0)].sum())
        if not enters.any():
            raise ModelError(
                "Gamma-Gamma needs a customer with frequency > 0 and monetary_value > 0; "
                f"of {w.sum():g} customers {counts[1]:g} have no repeat purchase and {counts[2]:g} no money in theirs; "
                "clv.fit_spend falls back on first orders"
            )
        x, m, w = x[enters], m[enters], w[enters]
        observed_mean = float((w * m).sum() / w.sum())
        data = _SpendData.of(x, m / observed_mean, w)
        theta, at_bound = _maximise(data)
        point = np.exp(theta)
        value, _, hessian = _log_likelihood(data, theta)
        scale = np.array([1.0, 1.0, observed_mean])
        self._set(
            point * scale,
            log_likelihood=value - w.sum() * np.log(observed_mean),
            covariance=_covariance(hessian, at_bound) * np.outer(point * scale, point * scale),
            counts=counts,
            observed_mean=observed_mean,
            correlation=_correlation(x, m, w),
            at_bound=at_bound,
        )
        self._prediction_params = self.params_
        if self.params_["q"] <= 1:
            p, q = _mean_matched(data, theta)
            self._prediction_params = {"p": p, "q": q, "v": observed_mean * (q - 1) / p}
        return self

    @property
    def population_mean_(self) -> float:
        p, q, v = self.params_.values()
        return p * v / (q - 1) if q > 1 else np.inf

    @property
    def summary_(self) -> "pd.DataFrame":
        """Estimates with standard errors and 95% intervals, one row per parameter (intervals on the log scale)."""
        import pandas as pd

        estimate = np.array(list(self.params_.values()))
        error = np.sqrt(np.diag(self.covariance_))
        spread = np.exp(special.ndtri(0.975) * error / estimate)
        columns = {
            "estimate": estimate,
            "standard_error": error,
            "lower": estimate / spread,
            "upper": estimate * spread,
        }
        return pd.DataFrame(columns, index=pd.Index(PARAMETERS, name="parameter"))

    def conditional_expected_value(self, summary: Any) -> Array:
        """Expected net revenue of one future purchase of each customer (eq. 5), in currency, shape (n,).

        A weighted mean of the customer's own mean and the population's. A customer without repeat purchases gets the
        population's; repeat purchases without money count as the zeros they are. Where the estimate of q is at most 1
        the population mean is infinite, and the prediction uses the likeliest p and q under which it equals
        `observed_mean_`.

        Raises
        ------
        ContractError
            Where the summary lacks a column or holds an impossible value.
        """
        shape, rate = self.posterior(summary)
        # E[p / nu] under Gamma(shape, rate); shape > 1 because predictions are made with q > 1
        return self._prediction_params["p"] * rate / (shape - 1)

    def posterior(self, summary: Any) -> tuple[Array, Array]:
        """Shape and rate of each customer's posterior Gamma distribution of nu; the mean spend is p / nu.

        The sum of n further purchases is then rate x BetaPrime(p n, shape) with p from `spend_shape_`.

        Returns
        -------
        shape : ndarray, shape (n,)
            p x + q.
        rate : ndarray, shape (n,)
            v + x m, in currency.

        Raises
        ------
        ContractError
            Where the summary lacks a column or holds an impossible value.
        """
        x, m, _ = read_spend(summary)
        p, q, v = self._prediction_params.values()
        return p * x + q, v + x * np.where(x > 0, np.maximum(m, 0.0), 0.0)

    @property
    def spend_shape_(self) -> float:
        """The p that predictions use: that of `params_` but for q <= 1, see `conditional_expected_value`."""
        return self._prediction_params["p"]

    def credible_interval(self, summary: Any, level: float = 0.8) -> tuple[Array, Array]:
        """Interval of each customer's own mean spend, equal in both tails, in currency, two arrays of shape (n,).

        Raises
        ------
        ModelError
            Where ``level`` is not between 0 and 1.
        """
        if not 0 < level < 1:
            raise ModelError(f"level is {level!r}; it must lie between 0 and 1, such as 0.8")
        shape, rate = self.posterior(summary)
        # a high nu is a low mean spend
        highest, lowest = (special.gammainccinv(shape, tail) for tail in ((1 - level) / 2, (1 + level) / 2))
        return self.spend_shape_ * rate / highest, self.spend_shape_ * rate / lowest

    def to_dict(self) -> dict[str, Any]:
        """The state as plain values; `from_dict` takes it back."""
        return {
            "params": self.params_,
            "prediction_params": self._prediction_params,
            "log_likelihood": self.log_likelihood_,
            "covariance": self.covariance_.tolist(),
            "n_customers": self.n_customers_,
            "n_without_repeat": self.n_without_repeat_,
            "n_without_money": self.n_without_money_,
            "observed_mean": self.observed_mean_,
            "frequency_money_correlation": self.frequency_money_correlation_,
            "identified": self.identified_,
            "message": self.message_,
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """Make a fitted model of what `to_dict` returned."""
        model = cls()
        model.params_ = {name: float(state["params"][name]) for name in PARAMETERS}
        model._prediction_params = {name: float(state["prediction_params"][name]) for name in PARAMETERS}
        model.covariance_ = np.array(state["covariance"], dtype=float)
        for name in ("log_likelihood", "n_customers", "n_without_repeat", "n_without_money", "observed_mean"):
            setattr(model, f"{name}_", float(state[name]))
        model.frequency_money_correlation_ = float(state["frequency_money_correlation"])
        model.identified_ = bool(state["identified"])
        model.message_ = str(state["message"])
        return model

    def save(self, path: str | Path) -> None:
        """Write the model as JSON, see `clv.persistence.save_model`."""
        save_model(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a model that `save` wrote, see `clv.persistence.load_model`."""
        return load_model(path, cls)

    def to_lifetimes(self) -> Any:
        """Give the model as a fitted ``lifetimes.GammaGammaFitter``."""
        from .lifetimes_bridge import to_lifetimes

        return to_lifetimes(self)

    @classmethod
    def from_lifetimes(cls, fitter: Any) -> Self:
        """Take the parameters of a fitted ``lifetimes.GammaGammaFitter``."""
        from .lifetimes_bridge import from_lifetimes

        return from_lifetimes(fitter, cls)

    def _set(
        self,
        point: Array,
        *,
        log_likelihood: float,
        covariance: Array,
        counts: tuple[float, float, float],
        observed_mean: float,
        correlation: float,
        at_bound: tuple[str, ...],
    ) -> None:
        self.params_ = dict(zip(PARAMETERS, point.tolist(), strict=True))
        self.log_likelihood_ = float(log_likelihood)
        self.covariance_ = covariance
        self.n_customers_, self.n_without_repeat_, self.n_without_money_ = map(float, counts)
        self.observed_mean_ = float(observed_mean)
        self.frequency_money_correlation_ = correlation
        self.identified_ = not at_bound
        self.message_ = _message(self.params_["q"], at_bound, correlation)


def fit_spend(summary: Any) -> GammaGammaModel | None:
    """Fit Gamma-Gamma, and on first orders where nobody has bought again with money.

    Parameters
    ----------
    summary : frame
        As for `GammaGammaModel.fit`; ``first_order_revenue`` (currency) serves where no customer has a repeat
        purchase with money.

    Returns
    -------
    GammaGammaModel or None
        None where no order brought any money: then there is no spend to model and every value is 0.

    Examples
    --------
    >>> import pandas as pd
    >>> once = pd.DataFrame(
    ...     {"frequency": [0, 0, 0], "monetary_value": [0.0, 0, 0], "first_order_revenue": [9.0, 11, 13]}
    ... )
    >>> spend = fit_spend(once)
    >>> spend.message_
    'no repeat purchase brought money: fitted on first orders; ...'
    >>> spend.conditional_expected_value(once).round(2)
    array([11., 11., 11.])
    """
    x, m, w = read_spend(summary)
    if ((x > 0) & (m > 0) & (w > 0)).any():
        return GammaGammaModel().fit(summary)
    if "first_order_revenue" not in column_names(summary):
        return None
    first = np.nan_to_num(read_columns(summary, ["first_order_revenue"])["first_order_revenue"])
    if not ((first > 0) & (w > 0)).any():
        return None
    orders = {"frequency": np.ones_like(first), "monetary_value": first, "weight": w}
    model = GammaGammaModel().fit(orders)
    note = "no repeat purchase brought money: fitted on first orders"
    model.message_ = f"{note}; {model.message_}" if model.message_ else note
    return model


def read_spend(summary: Any) -> tuple[Array, Array, Array]:
    """Frequency, monetary_value and weight (1 where there is none) of a summary as arrays of shape (n,).

    Raises
    ------
    ContractError
        Where a column is missing or not numeric, a value is missing or infinite, a frequency or weight negative.
    """
    columns = read_columns(summary, ["frequency", "monetary_value"], ["weight"])
    x, m = columns["frequency"], columns["monetary_value"]
    w = columns.get("weight", np.ones_like(x))
    # without a repeat purchase there is no mean: whatever stands there is not read
    m = np.where(x > 0, m, 0.0)
    for name, values in (("frequency", x), ("monetary_value", m), ("weight", w)):
        wrong = ~np.isfinite(values) | ((values < 0) & (name != "monetary_value"))
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ContractError(
                f"{name} {values[row]} in row {row}: it must be a number"
                + ("" if name == "monetary_value" else " of at least 0")
                + "; make the summary with regulars.clv.rfm_summary"
            )
    return x, m, w


@dataclass(frozen=True)
class _SpendData:
    """Spend in units of its mean: z = x m, x and w by row (n,); weight and x by distinct frequency (k,)."""

    z: Array
    x: Array
    w: Array
    frequency: Array
    weight: Array
    log_money: float  # sum of w x ln z, which p multiplies
    constant: float  # what no parameter moves

    def every(self, step: int) -> "_SpendData":
        rows = slice(None, None, step)
        return _SpendData.of(self.x[rows], self.z[rows] / self.x[rows], self.w[rows])

    @classmethod
    def of(cls, x: Array, m: Array, w: Array) -> "_SpendData":
        frequency, where = np.unique(x, return_inverse=True)
        log_m = np.log(m)
        return cls(
            z=x * m,
            x=x,
            w=w,
            frequency=frequency,
            weight=np.bincount(where, weights=w).astype(float),
            log_money=float((w * x * (log_m + np.log(x))).sum()),
            constant=float(-(w * log_m).sum()),
        )


def _log_likelihood(data: _SpendData, theta: Array) -> tuple[float, Array, Array]:
    """Eq. 1a summed, with gradient (3,) and Hessian (3, 3) over ln p, ln q, ln v."""
    p, q, v = np.exp(theta)
    k, weight = data.frequency, data.weight
    total = weight.sum()
    a = p * k + q
    sums = _sums_over_rows(data, v)
    log1p, x_log1p, inverse, x_inverse, inverse2, x_inverse2 = sums
    xw = (weight * k).sum()

    # lgamma(px+q) - lgamma(px) - lgamma(q) by betaln, which keeps its digits where q is large; ln(z+v) likewise as
    # ln v + log1p(z/v), so that q ln v cancels by hand
    value = (
        -(weight * special.betaln(p * k, q)).sum()
        + p * data.log_money
        + data.constant
        - p * (x_log1p + xw * np.log(v))
        - q * log1p
    )
    digamma_a, trigamma_a = special.psi(a), special.polygamma(1, a)
    gradient = np.array(
        [
            (weight * k * (digamma_a - special.psi(p * k))).sum() + data.log_money - x_log1p - xw * np.log(v),
            (weight * (digamma_a - special.psi(q))).sum() - log1p,
            q * total / v - p * x_inverse - q * inverse,
        ]
    )
    pp = (weight * k * k * (trigamma_a - special.polygamma(1, p * k))).sum()
    pq = (weight * k * trigamma_a).sum()
    qq = (weight * (trigamma_a - special.polygamma(1, q))).sum()
    pv, qv = -x_inverse, total / v - inverse
    vv = -q * total / v**2 + p * x_inverse2 + q * inverse2
    hessian = np.array([[pp, pq, pv], [pq, qq, qv], [pv, qv, vv]])
    point = np.array([p, q, v])
    return float(value), gradient * point, hessian * np.outer(point, point) + np.diag(gradient * point)


def _sums_over_rows(data: _SpendData, v: float) -> Array:
    """Sums of w and w x times log1p(z/v), 1/(z+v) and its square, in blocks that stay in the cache."""
    parts = []
    for start in range(0, len(data.z), _BLOCK):
        rows = slice(start, start + _BLOCK)
        w, z = data.w[rows], data.z[rows]
        wx = w * data.x[rows]
        log1p, inverse = np.log1p(z / v), 1.0 / (z + v)
        square = inverse * inverse
        # numpy's own sum, not BLAS: its order does not depend on the number of threads
        parts.append([(a * b).sum() for b in (log1p, inverse, square) for a in (w, wx)])
    return np.array(parts).sum(axis=0)


def _maximise(data: _SpendData) -> tuple[Array, tuple[str, ...]]:
    """The maximum over ln p, ln q, ln v, and the names of the parameters that it leaves at the upper bound."""
    theta, free = np.log([2.0, 4.0, 1.5]), np.ones(3, dtype=bool)
    if len(data.z) > 4 * _BLOCK:
        theta, _ = _newton(data.every(len(data.z) // _BLOCK), theta, free=free)
    theta, value = _newton(data, theta, free=free)
    at_bound: list[str] = []
    if _is_clearly_inside(data, theta):
        return theta, ()
    for i, name in enumerate(("p", "q")):
        free = np.array([n not in {*at_bound, name} for n in PARAMETERS])
        limit = theta.copy()
        # along the ridge v grows with q and falls with p, which leaves the mean where it is
        limit[2] += (_UPPER[i] - theta[i]) * (1 if name == "q" else -1)
        limit[i] = _UPPER[i]
        limit, limit_value = _newton(data, limit, free=free)
        if limit_value >= value - _FLAT:
            theta, value = limit, limit_value
            at_bound.append(name)
    return theta, tuple(at_bound)


def _is_clearly_inside(data: _SpendData, theta: Array) -> bool:
    """Whether all relative standard errors are below one half: no boundary is then within reach."""
    errors = np.diag(_covariance(_log_likelihood(data, theta)[2], ()))
    return bool((errors < 0.25).all() and (theta < _UPPER).all())


def _newton(data: _SpendData, theta: Array, *, free: NDArray[np.bool_]) -> tuple[Array, float]:
    theta = np.clip(theta, _LOWER, _UPPER)
    value, gradient, hessian = _log_likelihood(data, theta)
    total = data.weight.sum()
    for _ in range(200):
        blocked = ((theta >= _UPPER) & (gradient > 0)) | ((theta <= _LOWER) & (gradient < 0))
        moves = np.flatnonzero(free & ~blocked)
        if len(moves) == 0:
            break
        # a curvature that is not negative is turned over: the step stays uphill
        curvature, axes = np.linalg.eigh(-hessian[np.ix_(moves, moves)] / total)
        slope = axes.T @ (gradient[moves] / total)
        step = axes @ (slope / np.maximum(np.abs(curvature), 1e-12))
        gain = float(slope @ (slope / np.maximum(np.abs(curvature), 1e-12)))
        if gain < 1e-15:
            break
        direction = np.zeros(3)
        direction[moves] = step * min(1.0, 2.0 / np.abs(step).max())
        for _ in range(40):
            candidate = np.clip(theta + direction, _LOWER, _UPPER)
            found = _log_likelihood(data, candidate)
            if found[0] > value:
                break
            direction /= 2
        else:
            break
        theta, (value, gradient, hessian) = candidate, found
    return theta, value


def _mean_matched(data: _SpendData, theta: Array) -> tuple[float, float]:
    """The likeliest p and q > 1 whose population mean is the observed one (1, in the data's unit)."""

    def negative(log_params: Array) -> tuple[float, Array]:
        log_p, log_excess = log_params
        excess = np.exp(log_excess)
        q = 1 + excess
        value, gradient, _ = _log_likelihood(data, np.array([log_p, np.log(q), log_excess - log_p]))
        chained = np.array([gradient[0] - gradient[2], gradient[1] * excess / q + gradient[2]])
        return -value / data.weight.sum(), -chained / data.weight.sum()

    bounds = [(_LOWER[0], _UPPER[0]), (np.log(1e-3), _UPPER[1])]
    found = optimize.minimize(negative, np.array([theta[0], 0.0]), jac=True, method="L-BFGS-B", bounds=bounds)
    return float(np.exp(found.x[0])), float(1 + np.exp(found.x[1]))


def _covariance(hessian: Array, at_bound: tuple[str, ...]) -> Array:
    """Inverse of the observed information over the logarithms; NaN for parameters at the bound."""
    covariance = np.full((3, 3), np.nan)
    inside = np.array([i for i, name in enumerate(PARAMETERS) if name not in at_bound])
    information = -hessian[np.ix_(inside, inside)]
    if np.linalg.eigvalsh(information).min() > 0:
        covariance[np.ix_(inside, inside)] = np.linalg.inv(information)
    return covariance


def _correlation(x: Array, m: Array, w: Array) -> float:
    centred_x, centred_m = x - (w * x).sum() / w.sum(), m - (w * m).sum() / w.sum()
    spread = np.sqrt((w * centred_x**2).sum() * (w * centred_m**2).sum())
    return float((w * centred_x * centred_m).sum() / spread) if spread > 0 else 0.0


def _message(q: float, at_bound: tuple[str, ...], correlation: float) -> str:
    notes = []
    if "q" in at_bound:
        notes.append("no difference of mean spend between customers identified: all are expected to spend the same")
    if "p" in at_bound:
        notes.append("no variation of spend within a customer identified")
    if q <= 1:
        notes.append(
            f"q is {q:.3g}, at most 1: the population mean is infinite; predictions match the observed mean instead"
        )
    if abs(correlation) > _NOTABLE_CORRELATION:
        notes.append(f"frequency and spend correlate by {correlation:.2f}; the model assumes that they do not")
    return "; ".join(notes)
