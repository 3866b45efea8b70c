"""What an evaluation found: frames, comparisons, rows for the snapshot, and a page to read."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ..sql.errors import ModelError, nearest
from ..sql.findings import Finding
from ..sql.frames import frame_like
from .calibration import EffectCalibration
from .estimate import Estimate, critical_value
from .experiment import Experiment
from .policy_value import Method, PolicyValue, treat_top
from .rate import GRID, Ranking
from .scored_holdout import ScoredHoldout
from .sensitivity import Placebo, Sensitivity
from .verdict import Verdict

Row = dict[str, Any]
_NUMBERS = ("standard_error", "lower", "upper", "p_value")


@dataclass(frozen=True)
class EvaluationReport:
    """An evaluation on a holdout; made by `evaluate`. Frames are of the holdout's kind.

    Attributes
    ----------
    experiment : Experiment
    learner, model_version : str
        What was evaluated.
    verdict : Verdict
        The decision with its tests.
    scored : ScoredHoldout
        The customers it rests on, their scores, value and cost.
    rankings : dict of str to Ranking
        The learner's, the plain response model's, any others, and the random order.
    rules : dict of str to ndarray of shape (n, k + 1)
        Every targeting rule that was valued: the probability of each arm.
    off_policy_values : dict of (rule, method) to PolicyValue
    calibrations : dict of arm to EffectCalibration
    sensitivities : dict of arm to Sensitivity
    e_values : dict of arm to float
        Of binary outcomes.
    placebo : Placebo or None
    findings : tuple of Finding
        What makes the figures doubtful.

    Examples
    --------
    >>> import pandas as pd
    >>> from regulars.uplift import Experiment, PredictedEffects, evaluate
    >>> rng = np.random.default_rng(0)
    >>> x, arm = rng.normal(size=2000), np.tile(["no", "mail"], 1000)
    >>> holdout = pd.DataFrame({"arm": arm, "x": x, "spend": x * (arm == "mail") + rng.normal(size=2000)})
    >>> report = evaluate(PredictedEffects(Experiment("arm", "spend", "no"), x), holdout, placebo=False)
    >>> report.arms[["arm", "customers"]].to_dict("records")
    [{'arm': 'no', 'customers': 1000}, {'arm': 'mail', 'customers': 1000}]
    >>> sorted(report.policies["policy"].unique())[:2]
    ['predicted where it pays', 'predicted, top 55%']
    """

    experiment: Experiment
    learner: str
    model_version: str
    verdict: Verdict
    scored: ScoredHoldout = field(repr=False)
    rankings: dict[str, Ranking] = field(repr=False)
    rules: dict[str, np.ndarray] = field(repr=False)
    off_policy_values: dict[tuple[str, Method], PolicyValue] = field(repr=False)
    calibrations: dict[str, EffectCalibration] = field(repr=False)
    sensitivities: dict[str, Sensitivity] = field(repr=False)
    e_values: dict[str, float] = field(repr=False)
    placebo: Placebo | None = field(repr=False)
    findings: tuple[Finding, ...]
    like: Any = field(repr=False)

    @property
    def sentence(self) -> str:
        """The verdict and its reason, for people; of an observational study, what it takes to be true."""
        if self.experiment.kind != "observational":
            return self.verdict.sentence
        kept = self.scored.kept.mean()
        who = "" if kept == 1.0 else f", and of the {kept:.0%} of customers who could have had any arm"
        far = f"true as far as the features tell all that decided who got what{who}"
        return f"{self.verdict.sentence} Observational: {far}."

    @property
    def arms(self) -> Any:
        """Frame: each arm's customers, mean outcome as observed, and average effect against control."""
        return self._frame(self._rows("arms"))

    @property
    def rates(self) -> Any:
        """Frame: AUTOC, QINI and the mean effect of treating everyone, per head and ranking, net of cost."""
        return self._frame(self._rows("rates"))

    @property
    def toc(self) -> Any:
        """Frame: TOC by ranking and fraction treated, with pointwise intervals; fraction x TOC is the QINI curve."""
        return self._frame(self._rows("toc"))

    @property
    def gain(self) -> Any:
        """Frame: gain per 1,000 customers by ranking, fraction treated and unit (outcome, margin, value)."""
        return self._frame(self._rows("gain"))

    @property
    def policies(self) -> Any:
        """Frame: gain per 1,000 customers of every rule, baselines included, in outcome, margin and value."""
        return self._frame(self._rows("policies"))

    @property
    def comparisons(self) -> Any:
        """Frame: paired differences of any two rules (gain per 1,000, in value) and of any two rankings (QINI)."""
        return self._frame(self._rows("comparisons"))

    @property
    def calibration(self) -> Any:
        """Frame: predicted and held-out effects by bins of the prediction, for each arm."""
        return self._frame(self._rows("calibration"))

    @property
    def off_policy(self) -> Any:
        """Frame: net value per customer of every rule from the logged propensities: DR, SNIPW and IPW."""
        return self._frame(self._rows("off_policy"))

    @property
    def sensitivity(self) -> Any:
        """Frame: bounds of each arm's average effect by the strength of an unobserved confounder."""
        return self._frame(self._rows("sensitivity"))

    def compare(self, first: str, second: str) -> dict[str, Estimate]:
        """Return what one rule gains over another per 1,000 customers, paired: in outcome, margin and value.

        Raises
        ------
        ModelError
            Where there is no such rule.
        """
        return self.scored.gains(self._rule(first), self._rule(second))

    def gain_of(self, rule: str | np.ndarray) -> dict[str, Estimate]:
        """Return what a rule gains per 1,000 customers over treating none: in outcome, margin and value.

        Parameters
        ----------
        rule : str or ndarray of shape (n,) or (n, k + 1)
            Name of one of ``rules``, or any rule for the customers of ``scored``, as of `policy_value.policy_matrix`.

        Raises
        ------
        ModelError
            Where there is no such rule.
        """
        return self.scored.gains(self._rule(rule) if isinstance(rule, str) else rule)

    @cached_property
    def verdict_rule(self) -> np.ndarray | None:
        """The rule that the verdict names, (n, k + 1); None where there is not enough data."""
        n, n_arms = self.scored.scores.shape
        decision = self.verdict.decision
        if decision == "rank":
            return treat_top(self.rankings[self.verdict.ranking or ""], self.verdict.fraction or 1.0, n_arms)
        if decision == "not enough data":
            return None
        rule = np.zeros((n, n_arms))
        rule[:, self.verdict.arm or 0] = 1.0
        return rule

    def campaign_effects(self, campaign: str, window_days: int) -> list[Row]:
        """Return one row per arm beside control in the shape of contract table ``campaign_effects``."""
        gain = None if self.verdict_rule is None else self.gain_of(self.verdict_rule)["value"]
        data, rows = self.scored.data, []
        for a, name in enumerate(self.scored.arm_names[1:], start=1):
            compared = (data.arm == 0) | (data.arm == a)
            effect = self.scored.average_effect(a)
            rows.append(
                {
                    "campaign": campaign,
                    "arm": name,
                    "control": self.scored.arm_names[0],
                    "kind": self.experiment.kind,
                    "outcome": self.experiment.outcome,
                    "window_days": window_days,
                    "customers": int(compared.sum()),
                    "treated": int((data.arm == a).sum()),
                    "overlap": float(self.scored.kept[compared].mean()),
                    "effect": effect.value,
                    "lower": effect.lower,
                    "upper": effect.upper,
                    "gain_per_1000": None if gain is None else gain.value,
                    "gain_lower": None if gain is None else gain.lower,
                    "gain_upper": None if gain is None else gain.upper,
                    "decision": self.verdict.decision,
                    "ranking": self.verdict.ranking or "",
                    "sentence": self.sentence,
                    "refused": False,
                    "model_version": self.model_version,
                }
            )
        return rows

    def to_dict(self) -> Row:
        """Return everything as plain numbers, texts and lists, ready for JSON; an infinite number is None."""
        placebo = self.placebo
        return _plain(
            {
                "outcome": self.experiment.outcome,
                "kind": self.experiment.kind,
                "learner": self.learner,
                "model_version": self.model_version,
                "customers": len(self.scored.data.arm),
                "overlap": self.scored.kept.mean(),
                "decision": self.verdict.decision,
                "sentence": self.sentence,
                "ranking": self.verdict.ranking,
                "best_ranking": self.verdict.best,
                "arm": None if self.verdict.arm is None else self.scored.arm_names[self.verdict.arm],
                "fraction": self.verdict.fraction,
                "tests": self.verdict.tidy(),
                **{name: self._rows(name) for name in _TABLES},
                "slopes": {arm: each.slope and each.slope.to_dict() for arm, each in self.calibrations.items()},
                "e_values": self.e_values,
                "placebo": placebo
                and {
                    "kind": placebo.kind,
                    "repeats": len(placebo.estimates),
                    "rejected": placebo.rejected,
                    "p_value": placebo.p_value,
                },
                "findings": [
                    {"code": f.code, "blocking": f.blocking, "seen": f.seen, "advice": f.advice} for f in self.findings
                ],
            }
        )

    def __str__(self) -> str:
        from .evaluation_page import page

        return page(self)

    def _rule(self, name: str) -> np.ndarray:
        if name not in self.rules:
            raise ModelError(
                f"there is no rule {name!r}{nearest(name, list(self.rules))}; there are {', '.join(self.rules)}."
            )
        return self.rules[name]

    def _frame(self, rows: Sequence[Row]) -> Any:
        import pyarrow as pa

        return frame_like(self.like, pa.Table.from_pylist(list(rows)))

    @cached_property
    def _made(self) -> dict[str, list[Row]]:
        return {}

    def _rows(self, name: str) -> list[Row]:
        if name not in self._made:
            self._made[name] = list(_TABLES[name](self))
        return self._made[name]

    def _arm_rows(self) -> list[Row]:
        data, rows = self.scored.data, []
        for a, name in enumerate(self.scored.arm_names):
            own = data.arm == a
            row = {"arm": name, "customers": int(own.sum()), "mean_outcome": float(data.outcome[own].mean())}
            if a:
                effect = self.scored.average_effect(a).to_dict()
                row |= {"effect": effect["value"]} | {key: effect[key] for key in _NUMBERS}
            else:
                row |= dict.fromkeys(("effect", *_NUMBERS))
            rows.append(row)
        return rows

    def _rate_rows(self) -> list[Row]:
        table = self.verdict.table
        rows = [{"ranking": row.pop("name"), **row} for row in table.tidy()]
        # a random order has a rate of exactly 0; what everyone gains is the fixed arm's
        nothing = Estimate(0.0, 0.0, 0.0, 0.0, table.level, table.units).to_dict()
        rows += [{"ranking": "random", "target": target, **nothing} for target in ("QINI", "AUTOC")]
        everyone = self.scored.gains(self._everyone())["value"].scaled(1e-3)
        return [*rows, {"ranking": "random", "target": "everyone", **everyone.to_dict()}]

    def _everyone(self) -> np.ndarray:
        return treat_top(self.rankings["random"], 1.0, len(self.scored.arm_names))

    def _toc_rows(self) -> list[Row]:
        table = self.verdict.table
        critical = critical_value(table.level, table.units)
        return [
            {
                "ranking": name,
                "fraction": float(q),
                "toc": float(table.toc[j, i]),
                "standard_error": float(table.toc_standard_error[j, i]),
                "lower": float(table.toc[j, i] - critical * table.toc_standard_error[j, i]),
                "upper": float(table.toc[j, i] + critical * table.toc_standard_error[j, i]),
            }
            for j, name in enumerate(table.names)
            for i, q in enumerate(table.grid)
        ]

    def _gain_rows(self) -> Iterable[Row]:
        for name, ranking in self.rankings.items():
            for q in GRID:
                gains = self.scored.gains(treat_top(ranking, float(q), len(self.scored.arm_names)))
                for unit, estimate in gains.items():
                    yield {"ranking": name, "fraction": float(q), "unit": unit, **_gain(estimate)}

    def _policy_rows(self) -> Iterable[Row]:
        for name, rule in self.rules.items():
            spend = float((rule[:, 1:] * self.scored.cost).sum(axis=1).mean())
            for unit, estimate in self.scored.gains(rule).items():
                yield {
                    "policy": name,
                    "treated": float(1.0 - rule[:, 0].mean()),
                    "cost_per_1000": 1000.0 * spend,
                    "unit": unit,
                    **_gain(estimate),
                }

    def _comparison_rows(self) -> Iterable[Row]:
        names = list(self.rules)
        for i, first in enumerate(names):
            for second in names[i + 1 :]:
                difference = self.compare(first, second)["value"]
                yield {"measure": "gain_per_1000", "first": first, "second": second, **_numbers(difference)}
        table = self.verdict.table
        for i, first in enumerate(table.names):
            for second in table.names[i + 1 :]:
                difference = table.difference(first, second, "QINI")
                yield {"measure": "QINI", "first": first, "second": second, **_numbers(difference)}

    def _calibration_rows(self) -> Iterable[Row]:
        for arm, each in self.calibrations.items():
            for i, row in enumerate(each.tidy(), start=1):
                yield {"arm": arm, "bin": i, **row}

    def _off_policy_rows(self) -> Iterable[Row]:
        for (name, method), found in self.off_policy_values.items():
            yield {
                "policy": name,
                "method": method,
                **found.estimate.to_dict(),
                "effective_sample_size": found.effective_sample_size,
                "matched": found.matched,
                "largest_weight": found.largest_weight,
                "findings": "; ".join(str(each) for each in found.findings),
            }

    def _sensitivity_rows(self) -> Iterable[Row]:
        for arm, each in self.sensitivities.items():
            for bounds in each.bounds:
                yield {
                    "arm": arm,
                    "strength": bounds.strength,
                    "least": bounds.least,
                    "largest": bounds.largest,
                    "lower": bounds.lower,
                    "upper": bounds.upper,
                }


_TABLES: dict[str, Callable[[EvaluationReport], Iterable[Row]]] = {
    "arms": EvaluationReport._arm_rows,
    "rates": EvaluationReport._rate_rows,
    "toc": EvaluationReport._toc_rows,
    "gain": EvaluationReport._gain_rows,
    "policies": EvaluationReport._policy_rows,
    "comparisons": EvaluationReport._comparison_rows,
    "calibration": EvaluationReport._calibration_rows,
    "off_policy": EvaluationReport._off_policy_rows,
    "sensitivity": EvaluationReport._sensitivity_rows,
}


def _gain(estimate: Estimate) -> Row:
    numbers = estimate.to_dict()
    return {"gain_per_1000": numbers["value"]} | {name: numbers[name] for name in _NUMBERS}


def _numbers(estimate: Estimate) -> Row:
    numbers = estimate.to_dict()
    return {"difference": numbers["value"]} | {name: numbers[name] for name in _NUMBERS}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value
