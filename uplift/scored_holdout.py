"""A holdout, read, scored doubly robustly and priced: what every figure of an evaluation is computed from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..sql.errors import ModelError, nearest
from ..sql.findings import Finding
from ..sql.frames import columns_of
from .estimate import Estimate, mean_estimate
from .experiment import Experiment, ExperimentData
from .features import FeatureEncoder
from .policy_value import gain_per_1000
from .preflight import judge_sizes
from .scores import contrast, doubly_robust_scores


@dataclass(frozen=True)
class ScoredHoldout:
    """The n customers of a holdout that can be compared, under k arms and control.

    Attributes
    ----------
    data : ExperimentData
        All customers of the holdout, those without overlap too.
    kept : ndarray, bool
        Which of them are here.
    n_rows : int
        Rows of the frame; ``rows`` (n,) are those of the customers here.
    scores, propensity, expected : ndarray of shape (n, k + 1)
        Doubly robust scores and what they were made of, cross-fitted on the holdout.
    value : float or ndarray of shape (n,)
        Worth of one unit of outcome.
    cost : ndarray of shape (k,) or (n, k)
        Cost of treating one customer.
    level : float
        Coverage of the intervals.
    findings : tuple of Finding
        About overlap and sizes.
    """

    data: ExperimentData = field(repr=False)
    kept: np.ndarray = field(repr=False)
    n_rows: int
    rows: np.ndarray = field(repr=False)
    scores: np.ndarray = field(repr=False)
    propensity: np.ndarray = field(repr=False)
    expected: np.ndarray = field(repr=False)
    value: float | np.ndarray
    cost: np.ndarray
    level: float
    findings: tuple[Finding, ...]

    @property
    def arm_names(self) -> tuple[str, ...]:
        """Control first."""
        return self.data.arm_names

    @property
    def arm(self) -> np.ndarray:
        """Arm of each customer here, 0 = control."""
        return self.data.arm[self.kept]

    @property
    def outcome(self) -> np.ndarray:
        """Outcome of each customer here."""
        return self.data.outcome[self.kept]

    @property
    def cluster(self) -> np.ndarray | None:
        """Labels of independent units, None where each customer is one."""
        return None if self.data.cluster is None else self.data.cluster[self.kept]

    @property
    def is_free(self) -> bool:
        """Whether no arm costs anything."""
        return not self.cost.any()

    def average_effect(self, arm: int) -> Estimate:
        """Return the mean effect of an arm against control, in outcome units."""
        return mean_estimate(contrast(self.scores, arm), cluster=self.cluster, level=self.level)

    def gains(self, rule: np.ndarray, baseline: np.ndarray | None = None) -> dict[str, Estimate]:
        """Return what a rule gains per 1,000 customers over none, or another: in outcome, margin and value.

        Margin is ``value * outcome``; value is margin less cost.
        """
        shared = {"baseline": baseline, "cluster": self.cluster, "level": self.level}
        outcome = gain_per_1000(self.scores, rule, **shared)
        if isinstance(self.value, float):
            margin = outcome.scaled(self.value)
        else:
            margin = gain_per_1000(self.scores, rule, value=self.value, **shared)
        if self.is_free:
            return {"outcome": outcome, "margin": margin, "value": margin}
        net = gain_per_1000(self.scores, rule, value=self.value, cost=self.cost, **shared)
        return {"outcome": outcome, "margin": margin, "value": net}


def score_holdout(
    experiment: Experiment,
    holdout: Any,
    *,
    encoder: FeatureEncoder | None,
    arm_names: Sequence[str] | None,
    seen: Any = None,
    value: float | np.ndarray = 1.0,
    cost: Any = 0.0,
    level: float = 0.95,
    override: Sequence[str] = (),
    seed: int = 0,
) -> ScoredHoldout:
    """Read a holdout and score it; arguments and errors as of `evaluation.evaluate`.

    ``seen`` is a function from units to whether the fit has learnt from them.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"arm": ["no", "mail"] * 4, "spend": [0.0, 2.0] * 4})
    >>> scored = score_holdout(Experiment("arm", "spend", "no"), frame, encoder=None, arm_names=None, cost=0.5)
    >>> {unit: estimate.value for unit, estimate in scored.gains(np.ones(8, dtype=int)).items()}
    {'outcome': 2000.0, 'margin': 2000.0, 'value': 1500.0}
    """
    data = experiment.read(holdout, encoder=encoder, arm_names=arm_names)
    _check_units(data, seen)
    sizes = _sizes(experiment, data)
    _check_blocking(sizes, override)
    columns = columns_of(holdout, "a holdout")
    n_rows = len(next(iter(columns.values())))
    found = doubly_robust_scores(
        data.features,
        data.arm,
        data.outcome,
        n_arms=data.n_arms,
        propensity=data.propensity,
        cluster=data.cluster,
        seed=seed,
    )
    _check_blocking(found.findings, override)
    rows = data.rows[found.kept]
    return ScoredHoldout(
        data=data,
        kept=found.kept,
        n_rows=n_rows,
        rows=rows,
        scores=found.scores[found.kept],
        propensity=found.propensity[found.kept],
        expected=found.expected[found.kept],
        value=_worth(value, n_rows, rows),
        cost=_price(cost, data.arm_names, n_rows, rows),
        level=level,
        findings=(*sizes, *found.findings),
    )


def _sizes(experiment: Experiment, data: ExperimentData) -> tuple[Finding, ...]:
    """Return what is said of sizes: few customers are the intervals' business, one outcome for all is nobody's."""
    found = judge_sizes(experiment, data)
    blocking = ("constant_outcome", "outcome_in_one_arm")
    return tuple(
        each
        if each.code in blocking
        else replace(
            each, blocking=False, advice="The intervals are rough: judge by more customers, or a longer window."
        )
        for each in found
    )


def _check_units(data: ExperimentData, seen: Any) -> None:
    if data.cluster is None:
        units, count = np.unique(data.unit, return_counts=True)
        if (count > 1).any():
            raise ModelError(
                f"{int((count > 1).sum())} customers have several rows in the holdout, e.g. "
                f"{str(units[count > 1][0])!r}. Give one row per customer, or declare cluster= where rows belong "
                "together."
            )
    if seen is None:
        return
    known = np.asarray(seen(data.unit), dtype=np.bool_)
    if known.any():
        raise ModelError(
            f"{int(known.sum())} of {len(known)} customers of the holdout were in the training data, e.g. "
            f"{str(data.unit[known][0])!r}. Effects are judged by customers they have not learnt from: split before "
            "the fit."
        )


def _check_blocking(findings: Sequence[Finding], override: Sequence[str]) -> None:
    stopping = [each for each in findings if each.blocking and each.code not in override]
    if stopping:
        raise ModelError(
            f"{' '.join(str(each) for each in stopping)} To evaluate all the same: "
            f"override={[each.code for each in stopping]}."
        )


def _worth(value: float | np.ndarray, n: int, rows: np.ndarray) -> float | np.ndarray:
    worth = np.asarray(value, dtype=np.float64)
    if worth.shape not in ((), (n,)) or not np.isfinite(worth).all():
        raise ModelError(f"value is {value!r}; it must be one finite number, or one per row of the holdout ({n},).")
    return float(worth) if worth.ndim == 0 else worth[rows]


def _price(cost: Any, names: tuple[str, ...], n: int, rows: np.ndarray) -> np.ndarray:
    if isinstance(cost, Mapping):
        unknown = [name for name in cost if name not in names]
        absent = [name for name in names[1:] if name not in cost]
        if unknown or absent:
            what = f"names {unknown[0]!r}{nearest(unknown[0], names)}" if unknown else f"lacks arm {absent[0]!r}"
            raise ModelError(f"cost {what}; it needs a number for each of {list(names[1:])}.")
        cost = [cost[name] for name in names[1:]]
    price = np.asarray(cost, dtype=np.float64)
    k = len(names) - 1
    if price.shape not in ((), (k,), (n, k)) or not np.isfinite(price).all():
        raise ModelError(
            f"cost is {cost!r}; it must be finite: one number, one per arm ({k},) or mapping, or ({n}, {k})."
        )
    return price[rows] if price.ndim == 2 else np.broadcast_to(price, (k,)).copy()
