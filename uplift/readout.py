"""What a campaign brought, against what was planned: from its log and what the customers did since.

Each customer's arm was drawn with a logged probability, so the outcome that the mailed would have had without mail is
known from those who by chance got nothing: held out, or explored. The estimator is doubly robust (AIPW; Robins,
Rotnitzky & Zhao 1994) with the campaign itself as the policy: ``sum_a p_a mu_a + 1{w > 0} (y - mu_w)`` less
``(1 - p_0) (mu_0 + 1{w = 0} (y - mu_0) / p_0)``, unbiased whatever mu is. Comparing those whom the plan would have
mailed, whether it did or not, is that of Johnson, Lewis & Nubbemeyer 2017 (Journal of Marketing Research 54, "ghost
ads").
"""

# pyarrow.compute makes its functions at import time, unseen by type checkers
# pyright: reportAttributeAccessIssue=false

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

from ..sql.errors import ContractError, ModelError, nearest
from ..sql.findings import Finding
from ..sql.frames import columns_of
from .calibration import EffectCalibration, calibration_of_effects
from .decision_log import log_facts
from .estimate import Estimate, interval
from .nuisances import OutcomeModel, cross_fit_outcomes
from .score_table import arrow_column, text_column

if TYPE_CHECKING:
    import pyarrow as pa

_FEW = 100  # customers without mail whom the plan would have mailed; fewer make an interval a sketch
_LEAST = 40  # customers for a calibration
_BINS = 5


@dataclass(frozen=True)
class ArmReadOut:
    """One arm: how many got it, and in money what was planned and what it brought over nothing, costs taken off."""

    arm: str
    mailed: int
    planned: float
    realised: Estimate


@dataclass(frozen=True)
class ReadOut:
    """A campaign read out; money throughout, costs taken off.

    Attributes
    ----------
    campaign : str
        Its name.
    customers, mailed, without : int
        Customers whom the campaign could have mailed, the holdout among them; those it mailed; those whom its plan
        would have mailed and who by chance got nothing.
    spend : float
        What the list cost.
    planned : float
        Incremental profit that the list was expected to bring.
    realised : Estimate
        Incremental profit that it brought, in all.
    difference : Estimate
        Realised less planned.
    effect : Estimate
        Mean effect per mailed customer, in units of outcome.
    arms : tuple of ArmReadOut
    holdout : Estimate or None
        The same profit from holdout against everybody else alone, without logged propensities: wider, and nearer to
        what finance would do by hand. None without a holdout.
    calibration : EffectCalibration or None
        Planned against realised effects, in money, from low to high plans; None where few were planned.
    findings : tuple of Finding
        What makes the numbers doubtful.

    Examples
    --------
    >>> from datetime import date
    >>> from regulars.uplift.target import TargetList
    >>> scores = {"customer_id": np.arange(900), "arm": ["mail"] * 900, "effect": np.full(900, 3.0),
    ...           "net_effect": np.full(900, 0.8), "cost": np.full(900, 0.1)}
    >>> made = TargetList.build(scores, "spring", on=date(2026, 5, 1), holdout=0.3)
    >>> bought = {"customer_id": made.log["customer_id"], "outcome": np.random.default_rng(0).normal(size=900)}
    >>> found = read_out(made.log, bought, margin=0.3)
    >>> found.mailed == len(made.table), found.difference.below_zero
    (True, True)
    """

    campaign: str
    customers: int
    mailed: int
    without: int
    spend: float
    planned: float
    realised: Estimate
    difference: Estimate
    effect: Estimate
    arms: tuple[ArmReadOut, ...]
    holdout: Estimate | None
    calibration: EffectCalibration | None
    findings: tuple[Finding, ...]

    def sentence(self) -> str:
        """Say it in one sentence."""
        found = self.realised
        against = "in line with" if self.difference.lower <= 0.0 <= self.difference.upper else "unlike"
        return (
            f"{self.campaign} mailed {self.mailed:,} of {self.customers:,} customers for {self.spend:,.2f} and brought "
            f"{found.value:,.2f} of incremental profit ({found.level:.0%} interval {found.lower:,.2f} to "
            f"{found.upper:,.2f}), {against} the {self.planned:,.2f} planned."
        )

    def tidy(self) -> list[dict[str, object]]:
        """Return one row for the campaign and one per arm, ready for a frame."""
        whole = {"arm": "all", "mailed": self.mailed, "planned": self.planned, **self.realised.to_dict()}
        each = [{"arm": a.arm, "mailed": a.mailed, "planned": a.planned, **a.realised.to_dict()} for a in self.arms]
        return [whole, *each]


def read_out(
    decisions: "pa.Table",
    outcomes: Any,
    *,
    outcome: str = "outcome",
    margin: float = 1.0,
    cost: str | None = None,
    absent: float | None = None,
    features: Sequence[str] = (),
    outcome_model: str | OutcomeModel = "linear",
    seed: int = 0,
    level: float = 0.95,
) -> ReadOut:
    """Compare what a campaign brought with what it planned.

    Parameters
    ----------
    decisions : pyarrow.Table
        The log: ``TargetList.log``, or `decision_log.read_log`.
    outcomes : frame or mapping
        A row per customer: ``customer_id`` and what he did in the window after the send.
    outcome : str
        Column of ``outcomes``, in the units of the scores' effects.
    margin : float
        Worth of one unit of outcome, as in the scores' net effects.
    cost : str, optional
        Column of ``outcomes`` with what each mailed customer really cost; the expected cost without it.
    absent : float, optional
        Outcome of customers who are not in ``outcomes``: 0 where it lists buyers alone. Without it they must be there.
    features : sequence of str
        Numeric columns of ``outcomes`` known before the send, such as earlier spend: they take noise out.
    outcome_model : str or callable
        As of `nuisances.cross_fit_outcomes`.
    seed, level
        Of the folds; coverage of the intervals.

    Raises
    ------
    ContractError
        A column is missing, a customer stands twice or is missing, or a value is no number.
    ModelError
        Nobody was mailed, or mailed customers could not have got nothing: then there is nobody to compare them with.

    Examples
    --------
    >>> from datetime import date
    >>> from regulars.uplift.target import TargetList
    >>> rng, n = np.random.default_rng(0), 4000
    >>> scores = {"customer_id": np.arange(n), "arm": ["mail"] * n, "effect": np.full(n, 3.0),
    ...           "net_effect": np.full(n, 0.8), "cost": np.full(n, 0.1)}
    >>> made = TargetList.build(scores, "spring", on=date(2026, 5, 1), holdout=0.3)
    >>> mailed = np.array([arm == "mail" for arm in made.log["arm"].to_pylist()])
    >>> bought = {"customer_id": made.log["customer_id"], "outcome": 10.0 + 3.0 * mailed + rng.normal(size=n)}
    >>> found = read_out(made.log, bought, margin=0.3)
    >>> round(found.effect.value, 1), found.difference.lower < 0.0 < found.difference.upper
    (3.0, True)
    """
    said = log_facts(decisions)
    _check_terms(margin, absent, seed, level)
    names = [said["rules"]["control"], *said["arms"]]
    log = decisions.filter(decisions["arm"].is_valid())
    place = {name: a for a, name in enumerate(names)}
    arm = np.array([place[name] for name in log["arm"].to_pylist()], dtype=np.int64)
    planned_arm = np.array([place[name] for name in log["planned_arm"].to_pylist()], dtype=np.int64)
    probability = _matrix(log, "propensity", names)
    held_out = np.array([why == "holdout" for why in log["why"].to_pylist()], dtype=np.bool_)
    if isinstance(features, str):
        raise ModelError(f"features is the text {features!r}; give the columns as a list: [{features!r}]")
    columns = _aligned(log, outcomes, [outcome, *([cost] if cost else []), *features], absent)
    y, sent = columns[outcome], arm > 0
    _comparable(arm, probability, said["rules"]["campaign"])
    spent = np.where(sent, columns[cost] if cost else _filled(log["expected_cost"]), 0.0)
    extra = np.column_stack([np.zeros((len(y), 0)), *(columns[name] for name in features)])
    expected = _expected(planned_arm, extra, arm, y, outcome_model, seed)
    gains = _gains(arm, y, probability, expected)
    expected_profit = np.where(sent, _filled(log["expected_profit"]), 0.0)
    realised = _total(margin * gains.sum(axis=1) - spent, planned_arm, level)
    planned = float(expected_profit.sum())
    arms = tuple(
        ArmReadOut(
            names[a],
            int((arm == a).sum()),
            float(expected_profit[arm == a].sum()),
            _total(margin * gains[:, a - 1] - np.where(arm == a, spent, 0.0), planned_arm, level),
        )
        for a in range(1, len(names))
        if (arm == a).any()
    )
    without = int(((planned_arm > 0) & ~sent).sum())
    return ReadOut(
        campaign=said["rules"]["campaign"],
        customers=len(y),
        mailed=int(sent.sum()),
        without=without,
        spend=float(spent.sum()),
        planned=planned,
        realised=realised,
        difference=_shifted(realised, -planned),
        effect=_total(gains.sum(axis=1), planned_arm, level).scaled(1.0 / int(sent.sum())),
        arms=arms,
        holdout=_from_holdout(held_out, y, margin, float(spent.sum()), level),
        calibration=_calibration(log, names, arm, planned_arm, y, probability, expected, margin, level),
        findings=_findings(arm, probability, without, y),
    )


def _check_terms(margin: object, absent: object, seed: object, level: object) -> None:
    numbers = {"margin": margin, "seed": seed, "level": level} | ({} if absent is None else {"absent": absent})
    for name, value in numbers.items():
        if not isinstance(value, Real) or isinstance(value, bool) or not math.isfinite(float(value)):
            raise ModelError(f"{name} is {value!r}; it is a finite number")
    if not isinstance(seed, Integral) or int(seed) < 0:
        raise ModelError(f"seed is {seed!r}; it is a whole number, 0 or more")
    if isinstance(level, Real) and not 0 < float(level) < 1:
        raise ModelError(f"level is {level!r}; it is a share between 0 and 1, such as 0.95")


def _gains(arm: np.ndarray, y: np.ndarray, probability: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return what each arm, as it was given, moved: (n, k), whose column sums are unbiased for its sent customers."""
    row = np.arange(len(y))
    left = y - expected[row, arm]
    with np.errstate(divide="ignore", invalid="ignore"):
        nothing = expected[:, 0] + np.where(arm == 0, left / probability[:, 0], 0.0)
    gains = np.zeros((len(y), probability.shape[1] - 1))
    for a in range(1, probability.shape[1]):
        share = probability[:, a]
        # nobody could get an arm without a share, and his outcome under nothing may be unknowable
        gains[:, a - 1] = np.where(share > 0, share * (expected[:, a] - nothing), 0.0) + np.where(arm == a, left, 0.0)
    return gains


def _total(each: np.ndarray, group: np.ndarray, level: float) -> Estimate:
    """Return the sum over these very customers; what differs between the plan's groups is no noise."""
    variance = 0.0
    for g in np.unique(group):
        rows = group == g
        count = int(rows.sum())
        centre = each[rows].mean() if count > 1 else each.mean()
        variance += float(((each[rows] - centre) ** 2).sum()) * count / max(count - 1, 1)
    return interval(float(each.sum()), variance**0.5, units=len(each), level=level)


def _expected(
    planned: np.ndarray, extra: np.ndarray, arm: np.ndarray, y: np.ndarray, model: str | OutcomeModel, seed: int
) -> np.ndarray:
    """Expected outcome under every arm; arms that nearly nobody got take no part and are expected to do nothing."""
    counts = np.bincount(arm, minlength=int(max(arm.max(), planned.max())) + 1)
    used = np.flatnonzero(counts >= 2)
    dummies = (planned[:, None] == np.unique(planned)[None, 1:]).astype(np.float64)
    rows = np.isin(arm, used)
    design = np.hstack([dummies, extra, np.zeros((len(y), 1))])
    coded = np.searchsorted(used, arm[rows])
    expected = np.zeros((len(y), len(counts)))
    found = cross_fit_outcomes(design[rows], coded, y[rows], len(used), model=model, seed=seed)
    inner = np.zeros((len(y), len(used)))
    inner[rows] = found
    inner[~rows] = found.mean(axis=0)
    expected[:] = inner[:, :1]
    expected[:, used] = inner
    return expected


def _from_holdout(held_out: np.ndarray, y: np.ndarray, margin: float, spend: float, level: float) -> Estimate | None:
    inside, outside = y[held_out], y[~held_out]
    if min(len(inside), len(outside)) < 2:
        return None
    gap = float(outside.mean() - inside.mean())
    error = float((outside.var(ddof=1) / len(outside) + inside.var(ddof=1) / len(inside)) ** 0.5)
    found = interval(gap, error, units=len(y), level=level).scaled(margin * len(outside))
    return _shifted(found, -spend)


def _calibration(
    log: "pa.Table",
    names: list[str],
    arm: np.ndarray,
    planned: np.ndarray,
    y: np.ndarray,
    probability: np.ndarray,
    expected: np.ndarray,
    margin: float,
    level: float,
) -> EffectCalibration | None:
    rows = np.flatnonzero(planned > 0)
    if len(rows) < _LEAST:
        return None
    predicted = _matrix(log, "effect", names[1:])[rows, planned[rows] - 1]

    def score(a: np.ndarray) -> np.ndarray:
        left = np.where(arm[rows] == a, y[rows] - expected[rows, a], 0.0)
        return expected[rows, a] + left / probability[rows, a]

    effect = score(planned[rows]) - score(np.zeros(len(rows), dtype=np.int64))
    return calibration_of_effects(margin * predicted, margin * effect, bins=_BINS, level=level)


def _findings(arm: np.ndarray, probability: np.ndarray, without: int, y: np.ndarray) -> tuple[Finding, ...]:
    found = []
    if np.ptp(y) == 0:
        found.append(
            Finding(
                "constant_outcome",
                True,
                f"The outcome of all {len(y):,} customers is {y[0]:g}: the interval holds no noise of it.",
                "Look whether outcomes are of this window and these customers; otherwise wait for more of them.",
            )
        )
    possible = probability[:, 0] > 0
    # whoever got nothing stands for 1 / p_0 customers: together for all who could have got nothing
    surplus = (arm[possible] == 0) / probability[possible, 0] - 1.0
    error = float(((1.0 - probability[possible, 0]) / probability[possible, 0]).sum()) ** 0.5
    if abs(surplus.sum()) > max(4.0 * error, 1e-6 * len(arm)):
        found.append(
            Finding(
                "propensities_off",
                True,
                f"Customers without mail stand for {surplus.sum() + possible.sum():,.0f} customers and should stand "
                f"for {possible.sum():,} (standard error {error:,.0f}).",
                "What was sent is not what was logged: compare the mail provider's own report with the log. With a "
                "frequency cap or fatigue, recent contacts that leave out the holdout do the same: count what was "
                "meant for the holdout too, as count_contacts does on the logs of decisions.",
            )
        )
    if without < _FEW:
        found.append(
            Finding(
                "few_without_mail",
                False,
                f"Only {without} customers whom the plan would have mailed got nothing.",
                "Raise the holdout or the exploration for the next campaign; the interval here is a sketch.",
            )
        )
    return tuple(found)


def _comparable(arm: np.ndarray, probability: np.ndarray, campaign: str) -> None:
    if not (arm > 0).any():
        raise ModelError(f"{campaign} mailed nobody; there is nothing to read out")
    certain = int(((arm > 0) & (probability[:, 0] <= 0)).sum())
    if certain:
        raise ModelError(
            f"{certain:,} of {int((arm > 0).sum()):,} mailed customers of {campaign} were certain to be mailed: there "
            "is nobody to compare them with. Give the next campaign a holdout or an exploration share"
        )
    if int((arm == 0).sum()) < 2:
        raise ModelError(f"{campaign} left fewer than 2 customers without mail; a comparison needs more")


def _aligned(log: "pa.Table", outcomes: Any, names: list[str], absent: float | None) -> dict[str, np.ndarray]:
    import pyarrow as pa
    import pyarrow.compute as pc

    given = columns_of(outcomes, "outcomes")
    for name in ("customer_id", *names):
        if name not in given:
            raise ContractError(
                f"outcomes have no column {name!r}{nearest(name, list(given))}; they have {', '.join(given)}"
            )
    customers = text_column(given, "customer_id")
    if len(pc.unique(customers)) < len(customers):
        counts = pc.value_counts(customers).to_pylist()
        twice = next(each["values"] for each in counts if each["counts"] > 1)
        raise ContractError(f"outcomes hold customer {twice!r} more than once; give one row per customer")
    asked = log["customer_id"].combine_chunks()
    where = pc.index_in(asked, value_set=customers).to_numpy(zero_copy_only=False)
    missing = np.isnan(where.astype(np.float64))
    if missing.all():
        some = f"{customers[0].as_py()!r} against {asked[0].as_py()!r}" if len(customers) else "outcomes have no rows"
        raise ContractError(
            f"outcomes hold none of the {len(asked):,} customers of the log ({some}); give outcomes of these customers"
        )
    if missing.any() and absent is None:
        first = asked[int(np.flatnonzero(missing)[0])].as_py()
        raise ContractError(
            f"outcomes lack {int(missing.sum()):,} of {len(asked):,} customers, {first!r} among them; give "
            "everybody's, or absent=0 where they list buyers alone"
        )
    if missing.any() and len(names) > 1:
        raise ContractError(
            f"outcomes lack {int(missing.sum()):,} customers, and absent= fills {names[0]!r} alone: give a row with "
            f"{', '.join(names[1:])} for everybody"
        )
    place = np.where(missing, 0, np.nan_to_num(where.astype(np.float64))).astype(np.int64)
    aligned = {}
    for name in names:
        try:
            values = arrow_column(given[name]).cast(pa.float64()).to_numpy(zero_copy_only=False)
        except pa.ArrowInvalid as error:
            raise ContractError(f"column {name!r} of outcomes holds no numbers: {error}") from error
        found = np.where(missing, absent or 0.0, values[place] if len(values) else 0.0)
        bad = int((~np.isfinite(found)).sum())
        if bad:
            raise ContractError(f"column {name!r} of outcomes is missing or infinite for {bad:,} customers; mend it")
        aligned[name] = found
    return aligned


def _matrix(log: "pa.Table", kind: str, names: Sequence[str]) -> np.ndarray:
    return np.column_stack([log[f"{kind}_{name}"].to_numpy(zero_copy_only=False) for name in names]).astype(np.float64)


def _filled(column: Any) -> np.ndarray:
    return np.nan_to_num(column.to_numpy(zero_copy_only=False).astype(np.float64), nan=0.0)


def _shifted(found: Estimate, by: float) -> Estimate:
    return Estimate(
        found.value + by, found.standard_error, found.lower + by, found.upper + by, found.level, found.units
    )
