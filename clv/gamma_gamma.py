"""Spend per purchase: the Gamma-Gamma model of Fader and Hardie, fitted by maximum likelihood."""

from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ..sql.errors import ContractError, ModelError
from .arguments import require_level
from .columns import column_names, read_columns
from .gamma_gamma_likelihood import PARAMETERS, SpendData, climb, log_likelihood, mean_matched
from .maximum_likelihood import covariance_of, log_coordinates, log_scale_interval
from .persistence import load_model, save_model

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

# Above this the independence of how often and how much is in doubt; Fader, Hardie and Lee (2005) accept .11 on CDNOW.
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
    _totals: tuple[float, ...] | None = None  # of the customers of a fit in this session
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
        self._totals = float(w.sum()), float(w @ x), float(w @ x**2)
        observed_mean = float((w * m).sum() / w.sum())
        data = SpendData.of(x, m / observed_mean, w)
        found, at_bound = climb(data)
        point = np.exp(found.log_parameters) * np.array([1.0, 1.0, observed_mean])
        self._set(
            point,
            log_likelihood=found.value - w.sum() * np.log(observed_mean),
            covariance=covariance_of(point, found.hessian, np.array([name not in at_bound for name in PARAMETERS])),
            counts=counts,
            observed_mean=observed_mean,
            correlation=_correlation(x, m, w),
            at_bound=at_bound,
        )
        self._prediction_params = self.params_
        if self.params_["q"] <= 1:
            p, q = mean_matched(data, found.log_parameters)
            self._prediction_params = {"p": p, "q": q, "v": observed_mean * (q - 1) / p}
        return self

    def log_likelihood(self, summary: Any) -> float:
        """Log-likelihood of a summary at this model's parameters, summed by weight over those who enter a fit.

        Raises
        ------
        ContractError
            Where the summary lacks a column or holds an impossible value.
        """
        self._require_fitted()
        x, m, w = read_spend(summary)
        enters = (x > 0) & (m > 0) & (w > 0)
        if not enters.any():
            return 0.0
        theta = np.log(np.array([self.params_[name] for name in PARAMETERS]))
        return log_likelihood(SpendData.of(x[enters], m[enters], w[enters]), theta)[0]

    @property
    def population_mean_(self) -> float:
        self._require_fitted()
        p, q, v = self.params_.values()
        return p * v / (q - 1) if q > 1 else np.inf

    @property
    def summary_(self) -> "pd.DataFrame":
        """Estimates with standard errors and 95% intervals, one row per parameter (intervals on the log scale)."""
        import pandas as pd

        self._require_fitted()
        estimate = np.array(list(self.params_.values()))
        error = np.sqrt(np.diag(self.covariance_))
        lower, upper = log_scale_interval(estimate, error)
        columns = {"estimate": estimate, "standard_error": error, "lower": lower, "upper": upper}
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
        self._require_fitted()
        x, m, _ = read_spend(summary)
        p, q, v = self._prediction_params.values()
        return p * x + q, v + x * np.where(x > 0, np.maximum(m, 0.0), 0.0)

    def posterior_shape(self, frequency: Array) -> Array:
        """Shape of the posterior Gamma distribution of nu, p x + q, shape of ``frequency``."""
        self._require_fitted()
        return self._prediction_params["p"] * np.asarray(frequency, dtype=float) + self._prediction_params["q"]

    @property
    def spend_shape_(self) -> float:
        """The p that predictions use: that of `params_` but for q <= 1, see `conditional_expected_value`."""
        self._require_fitted()
        return self._prediction_params["p"]

    def credible_interval(self, summary: Any, level: float = 0.8) -> tuple[Array, Array]:
        """Interval of each customer's own mean spend, equal in both tails, in currency, two arrays of shape (n,).

        Raises
        ------
        ModelError
            Where ``level`` is not between 0 and 1.
        """
        level = require_level(level)
        shape, rate = self.posterior(summary)
        # a high nu is a low mean spend
        highest, lowest = (special.gammainccinv(shape, tail) for tail in ((1 - level) / 2, (1 + level) / 2))
        return self.spend_shape_ * rate / highest, self.spend_shape_ * rate / lowest

    def _coordinates(self) -> tuple[Array, Array]:
        """Where the estimate lies on a scale on which it is nearly normal, and its covariance there."""
        return log_coordinates(np.array(list(self.params_.values())), self.covariance_)

    def _at(self, coordinates: Array) -> Self:
        """The model whose parameters lie there."""
        moved = copy(self)
        moved.params_ = dict(zip(PARAMETERS, np.exp(coordinates).tolist(), strict=True))
        if self._prediction_params is self.params_ or self.params_["q"] > 1:
            moved._prediction_params = moved.params_
        else:  # what matches the mean moves by the same factors
            moved._prediction_params = {
                name: value * moved.params_[name] / self.params_[name]
                for name, value in self._prediction_params.items()
            }
        return moved

    def _log_slopes(self, summary: Any) -> Array:
        """Slope of the expected logarithm of a customer's mean spend by the coordinates, (n, k)."""
        x, m, _ = read_spend(summary)
        return self._slopes_by(x, x * np.maximum(m, 0.0), 1.0)

    def _slopes_by(self, x: Array, money: Array, level: Any) -> Array:
        p, q, v = self._prediction_params.values()
        whole = x.astype(np.int64)
        trigamma = special.polygamma(1, p * np.arange(int(whole.max(initial=0)) + 1) + q)[whole]
        # ln of a mean spend is ln p + ln(v + x m) - psi(p x + q), and what does not move
        return np.column_stack([1.0 - p * x * trigamma, -q * trigamma, v * level / (v * level + money)])

    def to_dict(self) -> dict[str, Any]:
        """The state as plain values; `from_dict` takes it back."""
        self._require_fitted()
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

    def __repr__(self) -> str:
        if not hasattr(self, "params_"):
            return f"<{type(self).__name__}, not fitted>"
        values = ", ".join(f"{name} {value:.4g}" for name, value in self.params_.items())
        return f"<{type(self).__name__}: {values}{'; ' + self.message_ if self.message_ else ''}>"

    def _require_fitted(self) -> None:
        if not hasattr(self, "params_"):
            raise ModelError(f"{type(self).__name__} is not fitted; call fit(summary) or from_parameters(...) first")

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
