"""What predicted effects are worth on customers they have not learnt from: one verdict, and every figure behind it.

`evaluate` scores the holdout doubly robustly (see `scores`), puts the learner's ranking beside the plain response model
and whatever else is handed in, asks `verdict.decide`, and values every rule that follows beside treating all, none and
random customers. The predictions come from the fit, the scores from the holdout alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..sql.errors import ModelError, nearest
from ..sql.findings import Finding
from ..sql.frames import columns_of
from .arguments import whole_number
from .calibration import calibration_of_effects
from .estimate import Estimate
from .evaluation_report import EvaluationReport
from .experiment import Experiment
from .features import FeatureEncoder
from .policy_value import off_policy_value, policy_matrix, treat_top
from .rate import Ranking, Target, compare_rankings, rank_by
from .scored_holdout import ScoredHoldout, score_holdout
from .scores import contrast, doubly_robust_scores
from .sensitivity import Placebo, confounding_bounds, e_value
from .sensitivity import placebo as repeat_on_placebos
from .verdict import Verdict, decide

_PLACEBOS = 20
_PLACEBO_DRAWS = 100
_METHODS = ("dr", "snipw", "ipw")


@dataclass(frozen=True)
class PredictedEffects:
    """Effects predicted by somebody else, for the rows of the holdout: what `evaluate` takes without one of our fits.

    Attributes
    ----------
    experiment : Experiment
        How to read the holdout.
    predictions : ndarray of shape (n, k) or (n,), or mapping of arm to ndarray of shape (n,)
        Predicted effect of each arm against control, in outcome units, in the order of the holdout's rows; made
        without the holdout's outcomes.
    plain_response : ndarray of shape (n,), optional
        A plain response model's expected outcome, to stand beside.
    learner : str
        What to call it.
    arm_names : tuple of str, optional
        Control first, in the order of the predictions' columns; as the experiment reads them without it.
    cost : float, mapping of arm to float, or ndarray
        Cost of treating one customer.
    value : float
        Worth of one unit of outcome.

    Examples
    --------
    >>> import pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> x, arm = rng.normal(size=2000), np.tile(["no", "mail"], 1000)
    >>> holdout = pd.DataFrame({"arm": arm, "x": x, "spend": x * (arm == "mail") + rng.normal(size=2000)})
    >>> report = evaluate(PredictedEffects(Experiment("arm", "spend", "no"), x), holdout, placebo=False)
    >>> report.verdict.decision, report.verdict.ranking
    ('rank', 'predicted')
    """

    experiment: Experiment
    predictions: Any = field(repr=False)
    plain_response: np.ndarray | None = field(default=None, repr=False)
    learner: str = "predicted"
    arm_names: tuple[str, ...] | None = None
    cost: Any = 0.0
    value: float = 1.0
    encoder: FeatureEncoder | None = field(default=None, repr=False)

    def predict(self, frame: Any) -> np.ndarray:
        """Return the predictions as they were given; ``frame`` must have as many rows."""
        del frame
        if isinstance(self.predictions, Mapping):
            names = self.arm_names[1:] if self.arm_names else tuple(sorted(str(name) for name in self.predictions))
            return np.column_stack([np.asarray(self.predictions[name], dtype=np.float64) for name in names])
        given = np.asarray(self.predictions, dtype=np.float64)
        return given[:, None] if given.ndim == 1 else given

    def response(self, frame: Any) -> np.ndarray | None:
        """Return the plain response model's predictions, None where none were given."""
        del frame
        return self.plain_response


def evaluate(
    effects: Any,
    holdout: Any,
    *,
    value: float | np.ndarray | None = None,
    cost: float | Mapping[str, float] | np.ndarray | None = None,
    policies: Mapping[str, np.ndarray] | None = None,
    other: Mapping[str, np.ndarray | Ranking] | None = None,
    target: Target = "QINI",
    level: float = 0.95,
    draws: int = 500,
    placebo: bool = True,
    override: Sequence[str] = (),
    seed: int = 0,
    threads: int | None = None,
) -> EvaluationReport:
    """Evaluate predicted effects on a holdout: the verdict, rates, gains, calibration, comparisons and checks.

    Parameters
    ----------
    effects : Effects or PredictedEffects
        From `fit_effects`, or predictions made elsewhere.
    holdout : frame
        pandas, Polars or Arrow frame, or a mapping of columns, with the columns of the fit: customers that the effects
        have not learnt from. One row per customer, unless the experiment declares clusters.
    value : float or ndarray of shape (n,), optional
        Worth of one unit of outcome, e.g. the margin; that of the fit without it.
    cost : float, mapping of arm to float, or ndarray of shape (k,) or (n, k), optional
        Cost of treating one customer; that of the fit without it.
    policies : mapping of str to ndarray of shape (n,) or (n, k + 1), optional
        Targeting rules to value beside the others: an arm's name or number for each row, or probabilities of each arm.
    other : mapping of str to Ranking or ndarray of shape (n,) or (n, k), optional
        Further rankings, candidates for the verdict: priorities, or predicted effects of each arm.
    target : {"QINI", "AUTOC"}
        What rankings are tested by.
    level : float
        Coverage of the intervals, and the verdict's level.
    draws : int
        Half-samples.
    placebo : bool
        Repeat the analysis with shuffled treatment, 20 times with a linear outcome model.
    override : sequence of str
        Codes of blocking findings to go on in spite of, e.g. ``"low_overlap"``.
    seed : int
        The same seed gives the same report at any number of threads.
    threads : int, optional
        At most so many threads; all cores without it.

    Returns
    -------
    EvaluationReport

    Raises
    ------
    ModelError
        Where the holdout shares customers with the training data, a customer has two rows, an arm is missing, shapes
        differ, values are not finite, too few customers overlap, or every customer has the same outcome (the last two
        can be overridden); where ``effects`` is nothing that predicts, or seed, draws or threads no whole numbers.
    ContractError
        Where a column is missing or of another kind than at the fit.

    Notes
    -----
    Observational: propensities are cross-fitted on the holdout and the answer is for the customers with overlap.
    ``value`` in the report's frames is money after cost: ``value * outcome - cost``; with value 1 and cost 0 it is the
    outcome. The response model gives, with several arms, the arm whose predicted net effect is largest on average.

    Examples
    --------
    >>> import pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> x, arm = rng.normal(size=2000), np.tile(["no", "mail"], 1000)
    >>> holdout = pd.DataFrame({"arm": arm, "x": x, "spend": x * (arm == "mail") + rng.normal(size=2000)})
    >>> predicted = PredictedEffects(Experiment("arm", "spend", "no"), x, plain_response=-x)
    >>> report = evaluate(predicted, holdout, cost=0.5, placebo=False)
    >>> report.verdict.decision, report.verdict.fraction
    ('rank', 0.4)
    >>> report.compare("predicted, top 40%", "treat all with mail")["value"].above_zero
    True
    """
    _require_effects(effects)
    seed, draws = whole_number("seed", seed, 0), whole_number("draws", draws, 2)
    threads = None if threads is None else whole_number("threads", threads, 1)
    experiment: Experiment = effects.experiment
    # without a column of units each row is its own, and a row's number says nothing about the training data
    named = experiment.unit in columns_of(holdout, "a holdout")
    scored = score_holdout(
        experiment,
        holdout,
        encoder=effects.encoder,
        arm_names=effects.arm_names,
        seen=getattr(effects, "seen", None) if named else None,
        value=effects.value if value is None else value,
        cost=effects.cost if cost is None else cost,
        level=level,
        override=override,
        seed=seed,
    )
    predicted = _predictions(effects, holdout, scored)
    learner = effects.learner if isinstance(effects.learner, str) else type(effects.learner).__name__
    everyone = int((predicted * np.mean(scored.value) - scored.cost).mean(axis=0).argmax()) + 1
    response = effects.response(holdout) if hasattr(effects, "response") else None
    rankings = _rankings(learner, predicted, response, other or {}, scored, everyone)
    verdict = decide(
        scored.scores,
        rankings,
        value=scored.value,
        cost=scored.cost,
        target=target,
        cluster=scored.cluster,
        arm_names=scored.arm_names,
        draws=draws,
        seed=seed,
        level=level,
        threads=threads,
    )
    rankings["random"] = Ranking(np.zeros(len(predicted)), np.full(len(predicted), everyone))
    rules = _rules(rankings, scored, verdict, policies or {})
    findings = [*scored.findings, *_unknown_customers(effects, named), *_verdict_findings(verdict)]
    done = _placebo(scored, rankings, target, seed, threads, findings) if placebo else None
    shared = {"cluster": scored.cluster, "level": level}
    log = (scored.arm, scored.outcome, scored.propensity)
    economics = {"value": scored.value, "cost": scored.cost, "expected": scored.expected}
    return EvaluationReport(
        experiment=experiment,
        learner=learner,
        model_version=str(getattr(effects, "model_version", "")),
        verdict=verdict,
        scored=scored,
        rankings=rankings,
        rules=rules,
        off_policy_values={
            (name, method): off_policy_value(*log, rule, method=method, **economics, **shared)
            for name, rule in rules.items()
            for method in _METHODS
        },
        calibrations={
            name: calibration_of_effects(predicted[:, a], contrast(scored.scores, a + 1), **shared)
            for a, name in enumerate(scored.arm_names[1:])
        },
        sensitivities={
            name: confounding_bounds(*log, treated=a + 1, expected=scored.expected, **shared)
            for a, name in enumerate(scored.arm_names[1:])
        },
        e_values=_e_values(scored),
        placebo=done,
        findings=tuple(findings) + (done.findings if done else ()),
        like=holdout,
    )


# ---- rankings and rules ---------------------------------------------------------------------------------------------


def _predictions(effects: Any, holdout: Any, scored: ScoredHoldout) -> np.ndarray:
    names, n = scored.arm_names[1:], scored.n_rows
    predicted = np.asarray(effects.predict(holdout), dtype=np.float64)
    bad = int((~np.isfinite(predicted)).sum())
    if predicted.shape != (n, len(names)) or bad:
        raise ModelError(
            f"the predictions have shape {predicted.shape} and {bad} NaN or infinite values; there must be one finite "
            f"effect per row of the holdout and arm {list(names)}: ({n}, {len(names)})."
        )
    return predicted[scored.rows]


def _rankings(
    learner: str,
    predicted: np.ndarray,
    response: np.ndarray | None,
    other: Mapping[str, Any],
    scored: ScoredHoldout,
    everyone: int,
) -> dict[str, Ranking]:
    out = {learner: rank_by(predicted, value=scored.value, cost=scored.cost)}
    if response is not None:
        out["response"] = rank_by(_by_row("response", response, scored), arm=everyone)
    for name, given in other.items():
        if name in (learner, "random", "response"):
            raise ModelError(f"other names {name!r}, which the report calls something else; give it another name.")
        if isinstance(given, Ranking):
            out[name] = Ranking(_by_row(name, given.priority, scored), _by_row(name, given.arm, scored))
        elif np.ndim(given) == 1:
            out[name] = rank_by(_by_row(name, given, scored), arm=everyone)
        else:
            out[name] = rank_by(_by_row(name, given, scored), value=scored.value, cost=scored.cost)
    return out


def _rules(
    rankings: Mapping[str, Ranking], scored: ScoredHoldout, verdict: Verdict, given: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    names, n = scored.arm_names, len(scored.rows)
    learner, first = next(iter(rankings.items()))
    pays = first.priority > 0.0
    share = float(pays.mean())
    fraction = verdict.fraction if verdict.fraction and verdict.fraction < 1.0 else share if 0 < share < 1 else 0.5
    arms = {"treat none": np.zeros(n, dtype=np.int64)}
    arms |= {f"treat all with {name}": np.full(n, a) for a, name in enumerate(names) if a}
    arms[f"{learner} where it pays"] = np.where(pays, first.arm, 0)
    rules = {name: policy_matrix(arm, n, len(names)) for name, arm in arms.items()}
    rules |= {f"{name}, top {fraction:.0%}": treat_top(r, fraction, len(names)) for name, r in rankings.items()}
    for name, rule in given.items():
        if name in rules:
            raise ModelError(f"policies names {name!r}, which the report values already; give it another name.")
        rules[name] = policy_matrix(_arm_codes(name, _by_row(name, rule, scored), names), n, len(names))
    return rules


def _by_row(name: str, given: Any, scored: ScoredHoldout) -> np.ndarray:
    out = np.asarray(given)
    if not out.ndim or len(out) != scored.n_rows:
        raise ModelError(
            f"{name!r} has shape {out.shape}; the holdout has {scored.n_rows} rows. Give one for each, in its order."
        )
    return out[scored.rows]


def _arm_codes(name: str, given: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    if given.dtype.kind not in "OUT":
        return given
    code = {label: a for a, label in enumerate(names)}
    unknown = sorted({str(label) for label in given.tolist()} - set(code))
    if unknown:
        raise ModelError(f"policy {name!r} gives {unknown[0]!r}{nearest(unknown[0], names)}; the arms are {names}.")
    return np.array([code[str(label)] for label in given.tolist()], dtype=np.int64)


# ---- checks ---------------------------------------------------------------------------------------------------------


def _e_values(scored: ScoredHoldout) -> dict[str, float]:
    if scored.data.outcome_kind != "binary":
        return {}
    risk = scored.scores.mean(axis=0)
    usable = (risk > 0.0) & (risk <= 1.0)
    return {
        name: e_value(float(risk[a + 1]), float(risk[0]))
        for a, name in enumerate(scored.arm_names[1:])
        if usable[0] and usable[a + 1]
    }


def _placebo(
    scored: ScoredHoldout,
    rankings: Mapping[str, Ranking],
    target: Target,
    seed: int,
    threads: int | None,
    findings: list[Finding],
) -> Placebo | None:
    """Test the learner's ranking anew on shuffled arms, which cannot depend on features: their shares are known."""
    learner, ranking = next(iter(rankings.items()))
    features, arm = scored.data.features[scored.kept], scored.arm
    shares = np.bincount(arm, minlength=len(scored.arm_names)) / len(arm)

    def analysis(given: np.ndarray, outcome: np.ndarray) -> Estimate:
        made = doubly_robust_scores(
            features,
            given,
            outcome,
            n_arms=len(shares),
            propensity=scored.propensity if given is arm else shares,
            outcome_model="linear",
            cluster=scored.cluster,
            seed=seed,
        )
        table = compare_rankings(
            made.scores,
            {learner: ranking},
            value=scored.value,
            cost=scored.cost,
            cluster=scored.cluster,
            draws=_PLACEBO_DRAWS,
            seed=seed,
            level=scored.level,
            threads=threads,
        )
        return table.of(target)[learner]

    try:
        return repeat_on_placebos(analysis, arm, scored.outcome, repeats=_PLACEBOS, cluster=scored.cluster, seed=seed)
    except ModelError as error:  # shuffled clusters can leave a fold without an arm
        findings.append(Finding("placebo_not_run", False, f"Shuffled treatment: {error}", "It needs more clusters."))
        return None


def _require_effects(effects: Any) -> None:
    wanted = ("experiment", "encoder", "arm_names", "value", "cost", "learner", "predict")
    if not all(hasattr(effects, name) for name in wanted):
        raise ModelError(
            f"effects is {type(effects).__name__} {str(effects)[:40]!r}; give what fit_effects returns or Effects.load "
            "reads, or PredictedEffects(experiment, predictions) for those made elsewhere."
        )


def _unknown_customers(effects: Any, named: bool) -> list[Finding]:
    """Say where nobody can tell whether the effects were learnt from the customers that are to judge them."""
    if not hasattr(effects, "learnt_from") or (named and effects.learnt_from is not None):
        return []
    which = "The holdout" if effects.learnt_from is not None else "The frame of the fit"
    return [
        Finding(
            "holdout_not_compared",
            False,
            f"{which} has no column {effects.experiment.unit!r}, so that nothing tells whether the effects were learnt "
            "from these customers.",
            "Keep the ids in both frames: effects look better than they are on customers they were learnt from.",
        )
    ]


def _verdict_findings(verdict: Verdict) -> tuple[Finding, ...]:
    if verdict.decision != "rank" or verdict.fraction is None or verdict.fraction >= 1.0:
        return ()
    return (
        Finding(
            "fraction_chosen_here",
            False,
            f"The fraction {verdict.fraction:.0%} was chosen on this holdout.",
            "The gain at it reads slightly high; the interval does not know of the choice.",
        ),
    )
