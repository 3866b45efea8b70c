"""Gamma-Gamma whose level of spend differs by what is known of a customer."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ..sql.errors import ModelError
from .design_matrix import Design, DesignRows, Missing
from .gamma_gamma import GammaGammaModel, read_spend
from .gamma_gamma_likelihood import PARAMETERS
from .maximum_likelihood import (
    NORMAL_975,
    Objective,
    climb,
    covariance_of,
    identified_parameters,
    known_covariance,
    log_box,
    log_scale_interval,
)

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

_LARGEST = 20.0
_FIRST_LOOK_ROWS = 40_000


class SpendCovariateModel(GammaGammaModel):
    """Gamma-Gamma with nu ~ Gamma(q, v exp(h'z)): a customer with covariates z spends exp(h'z) times as much.

    Covariates are coded as in `CovariateModel`: levels against a base, numbers centred at their mean; ``params_`` are
    those of a customer there. A level in which nobody has spent again counts as the base, and ``message_`` says so.
    Without covariates it is `GammaGammaModel`, digit for digit.

    Parameters
    ----------
    spend : sequence of str
        Columns of the summary that spend differs by.
    base, ridge, missing
        As for `CovariateModel`.

    Attributes
    ----------
    coefficients_ : dict of float
        ``spend.<column>``.
    covariance_ : ndarray, shape (3 + c, 3 + c)
        Of (p, q, v) and then ``coefficients_``.
    n_parameters_ : int
        Free ones.

    Examples
    --------
    >>> from regulars.clv.simulate import simulate_gamma_gamma
    >>> base = simulate_gamma_gamma({"p": 6.0, "q": 4.0, "v": 15.0}, np.full(4000, 3), seed=1)
    >>> base["club"] = np.arange(4000) % 2 == 0
    >>> base.loc[base["club"], "monetary_value"] *= 1.5
    >>> model = SpendCovariateModel(["club"], base={"club": False}).fit(base)
    >>> bool(abs(model.coefficients_["spend.club[True]"] - np.log(1.5)) < 0.05)
    True
    """

    name = "gamma_gamma_covariates"  # pyright: ignore[reportAssignmentType]

    coefficients_: dict[str, float]
    design_: Design
    n_parameters_: int

    def __init__(
        self,
        spend: Sequence[str] = (),
        *,
        base: Mapping[str, Any] | None = None,
        ridge: float = 0.0,
        missing: Missing = "refuse",
    ) -> None:
        if isinstance(spend, str):
            raise ModelError(f"spend is {spend!r}; it must be a list of column names, such as ['channel']")
        if not (np.isfinite(ridge) and ridge >= 0):
            raise ModelError(f"ridge is {ridge!r}; it must be a finite number from 0")
        self.spend, self.base, self.ridge = tuple(spend), dict(base or {}), float(ridge)
        self.missing: Missing = missing

    @property
    def covariates(self) -> tuple[str, ...]:
        """Columns of the summary that the model reads beside frequency and money."""
        return self.spend

    def unfitted(self) -> Self:
        """Return a model with the same covariates that is not fitted yet."""
        return type(self)(self.spend, base=self.base, ridge=self.ridge, missing=self.missing)

    @classmethod
    def from_parameters(cls, p: float, q: float, v: float) -> Self:
        """Make a model without covariates of known parameters, as `GammaGammaModel.from_parameters` does."""
        model = super().from_parameters(p, q, v)
        model.coefficients_, model.design_, model.n_parameters_ = {}, Design(()), len(PARAMETERS)
        return model

    def fit(self, summary: Any) -> Self:
        """Fit by maximum likelihood (penalised where ``ridge`` is above 0), see `GammaGammaModel.fit`.

        Raises
        ------
        ContractError
            Where the summary lacks a column or holds an impossible value, or a covariate is missing for some.
        ModelError
            Where nobody has ``frequency > 0`` and ``monetary_value > 0``, or a covariate is constant or collinear.
        """
        if not self.spend:
            super().fit(summary)
            self.coefficients_, self.design_, self.n_parameters_ = {}, Design(()), len(PARAMETERS)
            return self
        x, m, w = read_spend(summary)
        enters = (x > 0) & (m > 0) & (w > 0)
        if not enters.any():
            super().fit(summary)  # says what is missing
        # of all customers: a level in which nobody has spent again is one, too, and is told below
        self.design_ = Design.of(summary, self.spend, w, base=self.base, missing=self.missing)
        rows = self.design_.rows(summary)
        spread = self.design_.spread(rows, np.where(enters, w, 0.0))
        unit = float((w * m)[enters].sum() / w[enters].sum())
        entered = DesignRows(rows.matrix / spread, rows.pattern[enters])
        objective = spend_likelihood(x[enters], m[enters] / unit, w[enters], entered, self.ridge)
        few = slice(None, None, max(1, x[enters].size // _FIRST_LOOK_ROWS))
        look = spend_likelihood(
            x[enters][few], m[enters][few] / unit, w[enters][few], DesignRows(entered.matrix, entered.pattern[few]), 0.0
        )
        plain = GammaGammaModel().fit({"frequency": x, "monetary_value": m / unit, "weight": w})
        start = np.append(np.log(list(plain.params_.values())), np.zeros(spread.size))
        lower, upper = log_box(3)
        box = np.append(lower, -_LARGEST * np.ones(spread.size)), np.append(upper, _LARGEST * np.ones(spread.size))
        found = climb(objective, [start], look if few.step > 1 else None, box)
        coefficients = found.log_parameters[3:] / spread
        self.coefficients_ = dict(zip((f"spend.{c}" for c in self.design_.columns), coefficients.tolist(), strict=True))
        # given the coefficients the rest is the plain model of spend without them
        GammaGammaModel.fit(self, {"frequency": x, "monetary_value": m / self._level(rows), "weight": w})
        free = identified_parameters(found)
        scale = np.append(np.array(list(self.params_.values())), 1.0 / spread)
        self.covariance_ = covariance_of(scale, found.hessian, free)
        self.n_parameters_ = free.size
        self.log_likelihood_ -= float((w[enters] * np.log(self._level(rows)[enters])).sum())
        lost = [name for name, known in zip(self.coefficients_, free[3:], strict=True) if not known]
        if lost:
            self.identified_ = False
            note = f"the data do not identify {', '.join(lost)}: nobody there has spent again"
            self.message_ = "; ".join(text for text in (self.message_, note) if text)
        return self

    def _level(self, rows: DesignRows) -> Array:
        """exp(h'z) of each customer, (n,)."""
        total = np.zeros(len(rows.matrix))
        for column, value in zip(rows.matrix.T, self.coefficients_.values(), strict=True):
            total += column * value
        return np.exp(total)[rows.pattern]

    def posterior(self, summary: Any) -> tuple[Array, Array]:
        """Shape and rate of each customer's posterior Gamma distribution of nu, see `GammaGammaModel.posterior`."""
        self._require_fitted()
        if not self.coefficients_:
            return super().posterior(summary)
        shape, rate = super().posterior(summary)
        level = self._level(self.design_.rows(summary))
        return shape, rate + self._prediction_params["v"] * (level - 1.0)

    def log_likelihood(self, summary: Any) -> float:
        """Log-likelihood of a summary at this model's parameters, summed by weight over those who enter a fit."""
        self._require_fitted()
        if not self.coefficients_:
            return super().log_likelihood(summary)
        x, m, w = read_spend(summary)
        enters = (x > 0) & (m > 0) & (w > 0)
        level = self._level(self.design_.rows(summary))
        value = GammaGammaModel.log_likelihood(self, {"frequency": x, "monetary_value": m / level, "weight": w})
        return value - float((w[enters] * np.log(level[enters])).sum())

    @property
    def summary_(self) -> "pd.DataFrame":
        """Estimates of parameters and coefficients, as `CovariateModel.summary_`."""
        import pandas as pd

        self._require_fitted()
        values, coefficients = np.array(list(self.params_.values())), np.array(list(self.coefficients_.values()))
        error = np.sqrt(np.diag(self.covariance_))
        with np.errstate(divide="ignore", invalid="ignore"):
            lower, upper = log_scale_interval(values, error[:3])
            z = coefficients / error[3:]
        half = NORMAL_975 * error[3:]
        return pd.DataFrame(
            {
                "estimate": np.append(values, coefficients),
                "standard_error": error,
                "lower": np.append(lower, coefficients - half),
                "upper": np.append(upper, coefficients + half),
                "z": np.append(np.full(3, np.nan), z),
                "p_value": np.append(np.full(3, np.nan), 2.0 * special.ndtr(-np.abs(z))),
            },
            index=pd.Index([*self.params_, *self.coefficients_], name="parameter"),
        )

    def _coordinates(self) -> tuple[Array, Array]:
        values = np.array(list(self.params_.values()))
        scale = np.append(values, np.ones(len(self.coefficients_)))
        point = np.append(np.log(values), list(self.coefficients_.values()))
        return point, known_covariance(point, self.covariance_ / np.outer(scale, scale))

    def _at(self, coordinates: Array) -> Self:
        moved = super()._at(coordinates[:3])
        moved.coefficients_ = dict(zip(self.coefficients_, coordinates[3:].tolist(), strict=True))
        return moved

    def _log_slopes(self, summary: Any) -> Array:
        if not self.coefficients_:
            return super()._log_slopes(summary)
        x, m, _ = read_spend(summary)
        rows = self.design_.rows(summary)
        slopes = self._slopes_by(x, x * np.maximum(m, 0.0), self._level(rows))
        return np.hstack([slopes, slopes[:, 2:3] * rows.matrix[rows.pattern]])

    def to_dict(self) -> dict[str, Any]:
        """The state as plain values; `from_dict` takes it back."""
        arguments = {"spend": list(self.spend), "base": self.base, "ridge": self.ridge, "missing": self.missing}
        return {
            **super().to_dict(),
            "arguments": arguments,
            "coefficients": dict(self.coefficients_),
            "design": self.design_.to_dict(),
            "n_parameters": self.n_parameters_,
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """Make a fitted model of what `to_dict` returned."""
        model = cls(**state["arguments"])
        for name, value in vars(GammaGammaModel.from_dict(state)).items():
            setattr(model, name, value)
        model.design_ = Design.from_dict(state["design"])
        names = [f"spend.{column}" for column in model.design_.columns]  # a file sorts its own
        model.coefficients_ = {name: float(state["coefficients"][name]) for name in names}
        model.n_parameters_ = int(state["n_parameters"])
        return model

    def to_lifetimes(self) -> Any:
        """Refuse: ``lifetimes`` has no covariates."""
        raise ModelError("lifetimes has no Gamma-Gamma with covariates; give it a plain one")


def spend_likelihood(x: Array, m: Array, w: Array, rows: DesignRows, ridge: float) -> Objective:
    """Log-likelihood by (ln p, ln q, ln v, coefficients), penalised, with gradient and Hessian; all rows positive."""
    from .compiled import sum_over_rows
    from .covariate_kernels import spend_sums

    order = np.argsort(rows.pattern, kind="stable")
    x, m, w, pattern = x[order], m[order], w[order], rows.pattern[order]
    frequency, index = np.unique(x, return_inverse=True)
    z = x * m
    constant = -float((w * np.log(m)).sum())
    q_columns = rows.matrix.shape[1]
    n_free = 3 + q_columns
    predictor = np.append(np.arange(3), np.full(q_columns, 2))
    column = np.append(np.full(3, -1), np.arange(q_columns))
    factor, position = np.ones(n_free), np.arange(n_free)

    def objective(point: Array) -> tuple[float, Array, Array]:
        p, q = np.exp(point[:2])
        a, b = p * frequency, p * frequency + q
        tables = np.array(
            [
                -special.betaln(a, q),
                frequency * (special.psi(b) - special.psi(a)),
                special.psi(b) - special.psi(q),
                frequency**2 * (special.polygamma(1, b) - special.polygamma(1, a)),
                frequency * special.polygamma(1, b),
                special.polygamma(1, b) - special.polygamma(1, q),
            ]
        )
        shift = sum((c * h for c, h in zip(rows.matrix.T, point[3:], strict=True)), np.zeros(len(rows.matrix)))
        logarithms = np.column_stack([np.full((len(shift), 2), point[:2]), point[2] + shift])
        found = sum_over_rows(
            spend_sums,
            *(z.size, z, w, frequency, index, pattern, logarithms, tables, rows.matrix),
            *(predictor, column, factor, position, n_free),
        )
        gradient, hessian = found[1 : 1 + n_free].copy(), found[1 + n_free :].reshape(n_free, n_free).copy()
        gradient[3:] -= ridge * point[3:]
        hessian[3:, 3:] -= ridge * np.eye(q_columns)
        return float(found[0]) + constant - 0.5 * ridge * float(point[3:] @ point[3:]), gradient, hessian

    return objective
