"""Probabilities set right on an earlier window, where customers that the model has not seen show how far it was off."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from ..sql.errors import ContractError, ModelError, nearest

Array = NDArray[np.float64]
Method = Literal["logistic", "isotonic"]

METHODS = ("logistic", "isotonic")
# Probabilities of exactly 0 or 1 have no log-odds.
_EDGE = 1e-6
_ITERATIONS = 50
# No line of a file may be as steep: outcomes would be told apart without error.
_STEEPEST = 1e6
# Isotonic steps need some outcomes each; with fewer a line is what the data can say.
_FEWEST_ISOTONIC = 1_000


class Recalibration:
    """A map from predicted to observed probability, fitted on outcomes of an earlier window.

    ``logistic`` fits logit(p) -> a + b logit(p) (Platt 1999; Cox 1958, Biometrika 45), ``isotonic`` the best monotone
    steps (Zadrozny & Elkan 2002), which need a thousand outcomes and are never 0 or 1: half an outcome more or less is
    taken to have come. Fit it on customers that the model has not seen, and
    on a window before the one that is judged.

    Attributes
    ----------
    intercept_, slope_ : float
        Of the logistic map.
    levels_, values_ : ndarray
        Of the isotonic map: probabilities in and out, linear between.

    Examples
    --------
    >>> rng = np.random.default_rng(3)
    >>> truth = rng.random(20_000)
    >>> said = truth**2 / (truth**2 + (1 - truth) ** 2)  # twice as sure of everything as it may be
    >>> fitted = Recalibration().fit(said, rng.random(20_000) < truth)
    >>> bool(abs(fitted.slope_ - 0.5) < 0.02), bool(np.abs(fitted.apply(said) - truth).max() < 0.02)
    (True, True)
    """

    def __init__(self, method: Method = "logistic") -> None:
        if method not in METHODS:
            raise ModelError(f"no recalibration {method!r}{nearest(method, METHODS)}; there are {', '.join(METHODS)}")
        self.method = method

    def fit(self, probability: Any, happened: Any) -> Self:
        """Learn from predicted probabilities (n,) and what happened, 0 or 1 (n,).

        Raises
        ------
        ModelError
            A probability is out of range, everything or nothing happened, all probabilities are one, they tell the
            outcomes apart without error or the wrong way round, or there is too little for isotonic steps.
        ContractError
            They are no numbers, or not one each.
        """
        p, y = checked_outcomes(probability, happened)
        if y.min() == y.max():
            raise ModelError(
                f"all {len(y):,} outcomes are {int(y[0])}: nothing can be recalibrated; take a longer window"
            )
        if p.min() == p.max():
            raise ModelError(
                f"all {len(p):,} probabilities are {p[0]:g}: one tells nothing of the others; take a model that tells "
                "customers apart, or leave them as they are"
            )
        if self.method == "logistic":
            intercept, slope = calibration_line(p, y)
            if not (np.isfinite(intercept) and np.isfinite(slope)):
                raise ModelError(
                    f"the probabilities tell all {len(p):,} outcomes apart without error, so no line is the likeliest; "
                    "take a longer window or more customers"
                )
            if slope <= 0:
                raise ModelError(
                    f"the slope is {slope:.3g}: where {len(p):,} outcomes were held likelier they came true no more "
                    "often, so a line would turn every rank round; take another model, or leave the probabilities as "
                    "they are"
                )
            self.intercept_, self.slope_ = intercept, slope
            return self
        if len(p) < _FEWEST_ISOTONIC:
            raise ModelError(
                f"{len(p)} outcomes are too few for isotonic steps, which need {_FEWEST_ISOTONIC:,}; take 'logistic'"
            )
        from scipy.optimize import isotonic_regression

        levels, place = np.unique(p, return_inverse=True)
        counts = np.bincount(place)
        steps = isotonic_regression(np.bincount(place, y) / counts, weights=counts)
        self.levels_, self.values_ = levels, _never_certain(np.asarray(steps.x), counts)
        return self

    name: ClassVar[str] = "recalibration"

    def to_dict(self) -> dict[str, Any]:
        """The state as plain values; `from_dict` takes it back."""
        self._require_fitted()
        if self.method == "logistic":
            return {"method": self.method, "intercept": self.intercept_, "slope": self.slope_}
        return {"method": self.method, "levels": self.levels_, "values": self.values_}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Make a fitted map of what `to_dict` returned.

        Raises
        ------
        ValueError
            The line is not finite or falls, or the steps are none or fall.
        """
        made = cls(state["method"])
        if made.method == "logistic":
            made.intercept_, made.slope_ = float(state["intercept"]), float(state["slope"])
            if not (abs(made.intercept_) <= _STEEPEST and abs(made.slope_) <= _STEEPEST):
                raise ValueError(f"its line is {made.intercept_:g} + {made.slope_:g} logit(p), which is none")
            if made.slope_ <= 0:
                raise ValueError(f"its slope is {made.slope_:g}, which turns every rank round")
            return made
        made.levels_, made.values_ = (np.array(state[name], dtype=np.float64) for name in ("levels", "values"))
        if not len(made.levels_) or made.levels_.shape != made.values_.shape or not (np.diff(made.levels_) > 0).all():
            raise ValueError("its steps do not ascend, or are not one each")
        if (np.diff(_probabilities(made.values_)) < 0).any():
            raise ValueError("its steps fall")
        _probabilities(made.levels_)
        return made

    def save(self, path: str | Path) -> None:
        """Write the map as JSON, see `clv.persistence.save_model`."""
        from .persistence import save_model

        self._require_fitted()
        save_model(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a map that `save` wrote."""
        from .persistence import load_model

        return load_model(path, cls)

    def _require_fitted(self) -> None:
        if not hasattr(self, "intercept_" if self.method == "logistic" else "levels_"):
            raise ModelError(f"the {self.method} recalibration is not fitted; call fit(probability, happened) first")

    def apply(self, probability: Any) -> Array:
        """Recalibrated probabilities, in the shape given.

        Raises
        ------
        ModelError
            Not fitted, or a probability is missing or out of range.
        ContractError
            One is no number.
        """
        self._require_fitted()
        p = _probabilities(probability)
        if self.method == "logistic":
            return _expit(self.intercept_ + self.slope_ * _logit(p))
        return np.interp(p, self.levels_, self.values_)


def calibration_line(probability: Any, happened: Any) -> tuple[float, float]:
    """Return intercept and slope of logit P(it happens) on logit(predicted): 0 and 1 where predictions are calibrated.

    A slope below 1 says that predictions are too extreme, above 1 that they are too timid (Cox 1958; Miller, Hui &
    Tierney 1991, Statistics in Medicine 10). Maximum likelihood by Newton's method; NaN where only one outcome was seen
    or the outcomes are told apart without error.

    Examples
    --------
    >>> calibration_line([0.25] * 8 + [0.75] * 8, [1] * 2 + [0] * 6 + [1] * 6 + [0] * 2)
    (0.0, 1.0)
    """
    p, y = checked_outcomes(probability, happened)
    if y.min() == y.max() or p.min() == p.max():
        return float("nan"), float("nan")
    x = _logit(p)
    if _told_apart(x, y):
        return float("nan"), float("nan")
    X = np.column_stack([np.ones_like(p), x])
    beta = np.array([0.0, 1.0])
    for _ in range(_ITERATIONS):
        q = _expit(X @ beta)
        information = (X * (q * (1 - q))[:, None]).T @ X
        if not np.linalg.cond(information) < 1e14:
            return float("nan"), float("nan")
        step = np.linalg.solve(information, X.T @ (y - q))
        beta = beta + np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-12:
            break
    return round(float(beta[0]), 12) + 0.0, round(float(beta[1]), 12)


def _never_certain(steps: Array, counts: NDArray[np.int64]) -> Array:
    """Steps of 0 and 1 by half an outcome of theirs, or the next step where that is nearer."""
    none, all_ = steps <= 0, steps >= 1
    between = steps[~none & ~all_]
    low, high = (between[0], between[-1]) if len(between) else (0.5, 0.5)
    steps = np.where(none, min(0.5 / max(int(counts[none].sum()), 1), low), steps)
    return np.where(all_, max(1 - 0.5 / max(int(counts[all_].sum()), 1), high), steps)


def _told_apart(x: Array, y: Array) -> bool:
    """Whether a threshold parts the outcomes, but for ties at it: the likelihood then grows with the slope for ever."""
    no, yes = x[y == 0], x[y == 1]
    return bool(no.max() <= yes.min() or yes.max() <= no.min())


def checked_outcomes(probability: Any, happened: Any) -> tuple[Array, Array]:
    """Return both as floats of shape (n,), or say what is wrong.

    Examples
    --------
    >>> checked_outcomes([0.5, 1.2], [True, False])
    Traceback (most recent call last):
    ...
    regulars.sql.errors.ModelError: a probability is 1.2; each must lie between 0 and 1
    """
    p, y = _numbers("probability", probability), _numbers("outcome", happened)
    if p.ndim != 1 or p.shape != y.shape or not len(p):
        raise ContractError(
            f"probabilities have shape {p.shape} and outcomes {y.shape}; give one each, and at least one"
        )
    _probabilities(p)
    if not np.isin(y, (0, 1)).all():
        raise ModelError(f"an outcome is {y[~np.isin(y, (0, 1))][0]:g}; each must be 0 or 1")
    return p, y


def _numbers(name: str, values: Any) -> Array:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ContractError(f"a {name} is no number: {error}") from None


def _probabilities(values: Any) -> Array:
    p = _numbers("probability", values)
    wrong = ~((p >= 0) & (p <= 1))
    if wrong.any():
        raise ModelError(f"a probability is {p[wrong][0]:g}; each must lie between 0 and 1")
    return p


def _logit(p: Array) -> Array:
    inside = np.clip(p, _EDGE, 1 - _EDGE)
    return np.log(inside) - np.log1p(-inside)


def _expit(x: Array) -> Array:
    from scipy.special import expit

    return expit(x)
