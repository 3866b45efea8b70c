"""An evaluation as a page of text."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .evaluation_report import EvaluationReport


def page(report: "EvaluationReport") -> str:
    """Return a report as text: the verdict, then the tables it rests on.

    Examples
    --------
    >>> import numpy as np
    >>> from regulars.uplift import Experiment, PredictedEffects, evaluate
    >>> holdout = {"arm": ["no", "mail"] * 8, "spend": [1.0, 2.0, 0.0, 3.0] * 4}
    >>> report = evaluate(PredictedEffects(Experiment("arm", "spend", "no"), np.arange(16.0)), holdout, placebo=False)
    >>> print(page(report).splitlines()[2])
    spend of 16 customers, mail against no, randomised. Value of one unit 1, cost mail 0.
    """
    scored, rows = report.scored, report.to_dict()
    arms = scored.arm_names
    worth = f"{scored.value:g}" if isinstance(scored.value, float) else "by customer"
    costs = (
        ", ".join(f"{name} {cost:g}" for name, cost in zip(arms[1:], scored.cost, strict=True))
        if scored.cost.ndim == 1
        else "by customer"
    )
    overlap = (
        "" if scored.kept.all() else f" {scored.kept.mean():.0%} of them could have had any arm; the rest are left out."
    )
    facts = (
        f"{report.experiment.outcome} of {len(scored.data.arm):,} customers, {', '.join(arms[1:])} against {arms[0]}, "
        f"{report.experiment.kind}.{overlap} Value of one unit {worth}, cost {costs}."
    )
    level = f"{scored.level:.0%} interval"
    parts = [
        report.sentence,
        facts,
        _table(
            ("arm", "customers", "mean outcome", "effect", level),
            [(r["arm"], f"{r['customers']:,}", _n(r["mean_outcome"]), _n(r["effect"]), _span(r)) for r in rows["arms"]],
        ),
        _table(
            ("ranking", "measure", "per head", level),
            [(r["ranking"], r["target"], _n(r["value"]), _span(r)) for r in rows["rates"] if r["target"] != "everyone"],
        ),
        _table(
            ("policy, gain per 1,000 customers", "treated", "outcome", level, "value", level),
            [
                (o["policy"], f"{o['treated']:.0%}", _n(o["gain_per_1000"]), _span(o), _n(v["gain_per_1000"]), _span(v))
                for o, v in zip(
                    (r for r in rows["policies"] if r["unit"] == "outcome"),
                    (r for r in rows["policies"] if r["unit"] == "value"),
                    strict=True,
                )
            ],
        ),
        "\n".join(_checks(report)),
    ]
    return "\n\n".join(part for part in parts if part)


def _checks(report: "EvaluationReport") -> list[str]:
    lines = []
    for arm, each in report.calibrations.items():
        if each.slope is not None:
            lines.append(f"Calibration of {arm}: slope {each.slope} of held-out on predicted effects; 1 is right.")
    if report.placebo is not None:
        lines.append(
            f"Placebo: {report.placebo.rejected:.0%} of {len(report.placebo.estimates)} runs with shuffled treatment "
            "showed an order."
        )
    for arm, each in report.sensitivities.items():
        lines.append(
            f"Sensitivity of {arm}: a confounder that changes the odds of treatment {each.explains_interval:.3g}-fold "
            "could explain its average effect's interval."
            if each.explains_interval > 1.0
            else f"Sensitivity of {arm}: the average effect's interval holds 0 without any confounder."
        )
    return lines + [str(finding) for finding in report.findings]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    width = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width[i]) if i == 0 else cell.rjust(width[i]) for i, cell in enumerate(row)
        ).rstrip()
        for row in (head, *rows)
    )  # fmt: skip


def _n(value: Any) -> str:
    return "" if value is None else f"{value:,.4g}"


def _span(row: dict[str, Any]) -> str:
    return "" if row["lower"] is None else f"{_n(row['lower'])} to {_n(row['upper'])}"
