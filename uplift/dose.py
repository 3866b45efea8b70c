"""Discount depth as a dose: one curve through the arms, for each customer, instead of one effect per arm.

The doubly robust scores of the arms are projected on powers of the dose, by generalised least squares: each customer
gets an unbiased, noisy draw of his curve's coefficients, whose mean is the average curve and whose regression on the
features is his own expected curve (the DR-learner of Kennedy 2023, Electronic Journal of Statistics 17, with a
projection in place of the contrast). Depths that nobody was given are answered by the curve, between the depths tried.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from ..sql.errors import ModelError
from ..sql.findings import Finding
from .boosters import ConstantModel, Model, extract
from .estimate import Estimate, as_units, interval
from .experiment import Experiment
from .features import FeatureEncoder
from .preflight import preflight, require_clean
from .scores import doubly_robust_scores


@dataclass(frozen=True)
class DoseCurve:
    """The average effect of a dose against none: ``sum_j coefficients[j] * dose ** (j + 1)``.

    Attributes
    ----------
    coefficients : ndarray of shape (q,)
        In outcome units per power of the dose.
    covariance : ndarray of shape (q, q)
        Of the coefficients.
    units : int
        Independent customers.
    lack_of_fit : float
        p-value of "the curve goes through the arms' effects" (chi-square, arms less powers degrees of freedom); 1 where
        there are as many powers as arms.

    Examples
    --------
    >>> curve = DoseCurve(np.array([10.0, -10.0]), np.diag([1.0, 1.0]), 1000, 1.0)
    >>> curve.effect(0.5).value, round(curve.effect(0.5).standard_error, 3)
    (2.5, 0.559)
    """

    coefficients: np.ndarray
    covariance: np.ndarray
    units: int
    lack_of_fit: float

    def effect(self, dose: float, level: float = 0.95) -> Estimate:
        """Return the average effect of this dose against none."""
        powers = _powers(np.array([dose]), len(self.coefficients))[0]
        error = float(powers @ self.covariance @ powers) ** 0.5
        return interval(float(powers @ self.coefficients), error, units=self.units, level=level)

    def slope(self, dose: float, level: float = 0.95) -> Estimate:
        """Return the average effect of one more unit of the dose, at this dose."""
        j = np.arange(1, len(self.coefficients) + 1)
        powers = j * dose ** (j - 1.0)
        error = float(powers @ self.covariance @ powers) ** 0.5
        return interval(float(powers @ self.coefficients), error, units=self.units, level=level)


@dataclass(frozen=True)
class DoseEffects:
    """What each dose does to each customer.

    Attributes
    ----------
    experiment : Experiment
    encoder : FeatureEncoder
    doses : ndarray of shape (k,)
        Doses tried, ascending, none left out.
    average : DoseCurve
    coefficients : tuple of Model
        One per power of the dose, each a function of the features.
    baseline : Model
        Expected outcome without any dose.
    findings : tuple of Finding
    """

    experiment: Experiment
    encoder: FeatureEncoder = field(repr=False)
    doses: np.ndarray
    average: DoseCurve
    coefficients: tuple[Model, ...] = field(repr=False)
    baseline: Model = field(repr=False)
    findings: tuple[Finding, ...] = ()

    def predict(self, frame: Any, doses: Sequence[float] | None = None) -> np.ndarray:
        """Return the effect of each dose against none on each customer, (n, number of doses), in outcome units.

        ``doses`` are those tried where not given.

        Raises
        ------
        ModelError
            Where a dose lies outside those tried: the curve says nothing there.
        """
        return self._curves(self.encoder.encode(frame), self._checked(doses))

    def expected(self, frame: Any, doses: Sequence[float] | None = None) -> np.ndarray:
        """Return the expected outcome of each customer under each dose, (n, number of doses)."""
        features = self.encoder.encode(frame)
        return self.baseline.predict(features)[:, None] + self._curves(features, self._checked(doses))

    def net(
        self,
        frame: Any,
        doses: Sequence[float] | None = None,
        *,
        value: float = 1.0,
        cost: float = 0.0,
        redeemed: Literal["dose", "none"] = "none",
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return net worth and cost of each dose for each customer, both (n, number of doses): what `allocate` takes.

        Parameters
        ----------
        frame : frame or mapping
            Customers with the features of the fit.
        doses : sequence of float, optional
            Those tried where not given.
        value : float
            Worth of one unit of outcome, e.g. the margin of one unit of revenue at full price.
        cost : float
            Cost of sending.
        redeemed : {"dose", "none"}
            ``"dose"``: the dose is a share of the outcome that is given away, on all that is bought under it, and not
            only on what it brought: a discount's depth.
        """
        if redeemed not in ("dose", "none"):
            raise ModelError(f"redeemed is {redeemed!r}; it must be 'dose' or 'none'.")
        depths = self._checked(doses)
        features = self.encoder.encode(frame)
        effect = self._curves(features, depths)
        costs = np.full(effect.shape, float(cost))
        if redeemed == "dose":
            expected = np.maximum(self.baseline.predict(features)[:, None] + effect, 0.0)
            costs += depths * expected
        return value * effect - costs, costs

    def _curves(self, features: np.ndarray, doses: np.ndarray) -> np.ndarray:
        powers = _powers(doses, len(self.coefficients))
        drawn = np.column_stack([model.predict(features) for model in self.coefficients])
        return drawn @ powers.T

    def _checked(self, doses: Sequence[float] | None) -> np.ndarray:
        if doses is None:
            return self.doses
        out = np.asarray(doses, dtype=np.float64)
        largest = float(self.doses[-1])
        if out.ndim != 1 or not np.isfinite(out).all() or (out < 0.0).any() or (out > largest).any():
            raise ModelError(f"doses are {list(doses)[:8]}; they must lie in 0 to {largest:g}, the largest dose tried.")
        return out


def fit_dose_effects(
    exp: Experiment,
    frame: Any,
    *,
    degree: int = 2,
    folds: int = 5,
    seed: int = 0,
    override: Sequence[str] = (),
    threads: int | None = None,
) -> DoseEffects:
    """Fit the effect of a dose, as a curve, on every customer.

    Parameters
    ----------
    exp : Experiment
        With ``dose``: the dose of each arm beside control, above 0.
    frame : frame or mapping
        A row per customer.
    degree : int
        Powers of the dose, at most as many as there are distinct doses.
    folds, seed : int
        Of the cross-fitted scores and the trees.
    override : sequence of str
        Codes of blocking findings of `preflight` to go on in spite of.
    threads : int, optional
        Threads of the trees.

    Raises
    ------
    PreflightError
        Where preflight blocks.
    ModelError
        Where a dose is missing, not above 0, or there are fewer doses than powers.

    Examples
    --------
    >>> import pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> depth = rng.choice([0.0, 0.1, 0.2, 0.4], 8000)
    >>> x = rng.normal(size=8000)
    >>> frame = pd.DataFrame({"x": x, "depth": depth.astype(str), "spend": 5 + 10 * depth + rng.normal(size=8000)})
    >>> exp = Experiment(treatment="depth", outcome="spend", control="0.0", dose={"0.1": 0.1, "0.2": 0.2, "0.4": 0.4})
    >>> effects = fit_dose_effects(exp, frame)
    >>> effects.average.effect(0.3).lower < 3.0 < effects.average.effect(0.3).upper, effects.predict(frame).shape
    (True, (8000, 3))
    """
    from .outcomes import boosted_trees

    doses_of = exp.dose
    if doses_of is None:
        raise ModelError("exp.dose is None; give the dose of each arm, e.g. dose={'ten': .1, 'twenty': .2}.")
    findings = preflight(exp, frame)
    require_clean(findings, override)
    data = exp.read(frame)
    arms = list(data.arm_names[1:])
    absent = [name for name in arms if name not in doses_of]
    if absent:
        raise ModelError(f"exp.dose lacks the arms {absent}; every arm beside control {data.arm_names[0]!r} needs one.")
    given = np.array([float(doses_of[name]) for name in arms])
    if not np.isfinite(given).all() or (given <= 0.0).any():
        raise ModelError(f"exp.dose is {dict(doses_of)}; each must be a number above 0: control is the dose 0.")
    if not 1 <= degree <= len(np.unique(given)):
        raise ModelError(f"degree is {degree}; with {len(np.unique(given))} distinct doses it must be 1 to that many.")
    found = doubly_robust_scores(
        data.features,
        data.arm,
        data.outcome,
        n_arms=data.n_arms,
        propensity=data.propensity,
        cluster=data.cluster,
        folds=folds,
        seed=seed,
    )
    kept = found.kept
    contrasts = found.scores[kept, 1:] - found.scores[kept, :1]
    largest = given.max()
    drawn, lack = _project(contrasts, _powers(given / largest, degree))
    scale = largest ** -np.arange(1.0, degree + 1.0)
    drawn *= scale
    n = len(drawn)
    average = _average(drawn, None if data.cluster is None else data.cluster[kept], lack)
    models = tuple(
        extract(boosted_trees(rows=n, threads=threads, seed=seed).fit(data.features[kept], drawn[:, j]))
        if data.features.shape[1]
        else ConstantModel(float(drawn[:, j].mean()))
        for j in range(degree)
    )
    control = data.arm == 0
    baseline: Model = (
        extract(
            boosted_trees(rows=int(control.sum()), threads=threads, seed=seed).fit(
                data.features[control], data.outcome[control]
            )
        )
        if data.features.shape[1]
        else ConstantModel(float(data.outcome[control].mean()))
    )
    said = [*findings, *found.findings, *_lack_of_fit(lack, degree)]
    return DoseEffects(exp, data.encoder, np.unique(given), average, models, baseline, tuple(said))


def _powers(doses: np.ndarray, degree: int) -> np.ndarray:
    return doses[:, None] ** np.arange(1, degree + 1)


def _project(contrasts: np.ndarray, powers: np.ndarray) -> tuple[np.ndarray, float]:
    """Return each row's coefficients (n, q) by generalised least squares, and the p-value that the curve fits."""
    from scipy.special import chdtrc

    n, k = contrasts.shape
    spread = np.atleast_2d(np.cov(contrasts, rowvar=False))
    # arms share the control's noise; a small ridge keeps equal arms solvable
    weight = np.linalg.inv(spread + 1e-9 * np.trace(spread) / k * np.eye(k))
    across = np.linalg.solve(powers.T @ weight @ powers, powers.T @ weight)
    drawn = contrasts @ across.T
    free = k - powers.shape[1]
    if free == 0:
        return drawn, 1.0
    missed = contrasts.mean(axis=0) - powers @ drawn.mean(axis=0)
    return drawn, float(chdtrc(free, n * missed @ weight @ missed))


def _average(drawn: np.ndarray, cluster: np.ndarray | None, lack: float) -> DoseCurve:
    n = len(drawn)
    mean = drawn.mean(axis=0)
    unit, units = as_units(cluster, n)
    parts = np.column_stack([np.bincount(unit, column, units) for column in (drawn - mean).T])
    return DoseCurve(mean, parts.T @ parts / n**2 * units / max(units - 1, 1), units, lack)


def _lack_of_fit(p: float, degree: int) -> list[Finding]:
    if p >= 0.01:
        return []
    return [
        Finding(
            "curve_does_not_fit",
            False,
            f"A curve of degree {degree} misses the arms' effects (p = {p:.2g}).",
            f"Give degree={degree + 1}, or take each arm as its own offer with fit_effects().",
        )
    ]
