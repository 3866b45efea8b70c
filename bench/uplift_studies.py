"""Sections of the studies page on uplift: coverage of RATE, the verdict's level, Hillstrom's halves, preflight's faults."""

import sys
from collections import Counter
from importlib.util import module_from_spec, spec_from_file_location
from itertools import groupby
from typing import Any

import hillstrom
import numpy as np
from chunks import ROOT, in_chunks
from report import Section
from uplift_rate import coverage_draws, coverage_rows, null_verdict_rows, null_verdicts

# what the figures rest on: chunks of another state of these are made anew
RATE = tuple(
    f"{path}.py"
    for path in (
        "bench/uplift_rate",
        *(f"uplift/{n}" for n in ("half_sample", "nuisances", "rate", "scores", "simulate")),
    )
)
VERDICT = (*RATE, "uplift/verdict.py")
LEARNERS = (
    *VERDICT,
    "bench/hillstrom.py",
    *(f"uplift/{n}.py" for n in ("boosters", "evaluation", "features", "learners", "outcomes", "scored_holdout")),
)
HALVES = (
    ("Womens E-Mail", "visit"),
    ("Womens E-Mail", "spend"),
    ("Mens E-Mail", "visit"),
    ("Mens E-Mail", "spend"),
)


def coverage_section(design: str, draws: int, n: int, rival_draws: int | None, key: str) -> Section:
    """One design's coverage of AUTOC and QINI, rivals beside."""
    population = 200_000 if draws >= 100 else 20_000

    def run(each: range) -> list[list[Any]]:
        return coverage_draws(design, each, rival_draws, n=n, population=population)

    found = in_chunks(f"rate-{design}", key, draws, run, sources=RATE)
    rows = [
        (
            str(row["target"]),
            str(row["tool"]),
            f"{row['draws']:,}",
            f"{row['coverage']:.1%}",
            f"{row['bias']:+.2g}",
            f"{row['width']:.3g}",
            "91.5-97%" if row["tool"] == "regulars" else "",
        )
        for row in sorted(coverage_rows(design, found), key=lambda row: str(row["target"]))
    ]
    return Section(
        f"rate-{design}",
        f"Coverage of AUTOC and QINI: {design}",
        f"Each draw fits a ranking on {n:,} customers of design `{design}` (`uplift/simulate.py`) and values it on "
        f"{n:,} others; the truth is that ranking's own AUTOC and QINI in {population:,} customers by their true effects. "
        "causalml and econml are given the same scores. Coverage is of the 95% interval; bias and width are per head.",
        ("target", "tool", "draws", "coverage", "mean error", "mean width", "target of ours"),
        rows,
        key=key,
    )


def null_verdict_section(draws: int, n: int, key: str) -> Section:
    """How often the verdict claims something where there is nothing."""

    def run(each: range) -> list[Any]:
        return list(null_verdicts(each, n=n))

    rows = null_verdict_rows(in_chunks("null-verdict", key, draws, run, sources=VERDICT))
    false = sum(float(str(row["share"])) for row in rows if row["verdict"] != "not enough data")
    return Section(
        "null-verdict",
        "The verdict where nothing has an effect",
        f"{draws:,} draws of {n:,} customers to learn from and {n:,} to judge by, no treatment with any effect, four "
        'candidate rankings. Every verdict but "not enough data" is false; their share is to be 7% at most.',
        ("verdict", "share of draws"),
        [*((str(row["verdict"]), f"{row['share']:.1%}") for row in rows), ("any false claim", f"{false:.1%}")],
        key=key,
    )


def hillstrom_section(halves: int, key: str) -> Section:
    """The default learner and the plain response model on random halves of Hillstrom's test."""
    rows = []
    for arm, outcome in HALVES:

        def run(seeds: range, arm: str = arm, outcome: str = outcome) -> list[Any]:
            return hillstrom.half_rows(arm, outcome, seeds)

        name = f"hillstrom-{arm.split()[0].lower()}-{outcome}"
        found = in_chunks(name, key, halves, run, size=5, sources=LEARNERS)
        verdicts = Counter(row["verdict"] for row in found)
        best = Counter(row["best"] for row in found)
        first = found[:8]

        def mean(ranking: str, of: list[Any]) -> str:
            return f"{1e4 * np.mean([row[f'qini_{ranking}'] for row in of]):.1f}"

        above = np.mean([row["lower_x"] > 0.0 for row in found])
        rows.append(
            (
                f"{arm}, {outcome}",
                mean("x", found),
                mean("x", first),
                mean("response", found),
                f"{above:.0%}",
                ", ".join(f"{verdict} {count / len(found):.0%}" for verdict, count in verdicts.most_common()),
                ", ".join(f"{ranking} {count / len(found):.0%}" for ranking, count in best.most_common()),
            )
        )
    return Section(
        "hillstrom",
        "Hillstrom's e-mail test",
        f"{halves} random halves (seeds 0 to {halves - 1}) of one arm and control: `fit_effects` with the default learner "
        "on one half, `evaluate` on the other, the plain response model always beside. QINI per head x 1e4, outcome as it "
        "is (visits; dollars). Women's visits are to reach 60 on the mean of seeds 0 to 7 with every interval above zero; "
        "men's spend is to be ranked in 15% of halves at most.",
        ("arm, outcome", "QINI x", "seeds 0-7", "QINI response", "x above zero", "verdicts", "ranks best"),
        rows,
        key=key,
    )


def preflight_section(key: str) -> Section:
    """Injected faults and clean sets, from the tests' bank."""
    bank = _bank()
    caught, rows = 0, []
    for code, group in groupby(
        sorted(bank.FAULTS.items(), key=lambda item: item[1].code), key=lambda item: item[1].code
    ):
        found = {name: any(f.code == code and f.blocking for f in fault.make().findings()) for name, fault in group}
        caught += sum(found.values())
        missed = ", ".join(name.replace("_", " ") for name, was in found.items() if not was)
        rows.append((code, str(len(found)), str(sum(found.values())), missed))
    alarms = {name: [f.code for f in make().findings() if f.blocking] for name, make in bank.CLEAN.items()}
    false = {name: codes for name, codes in alarms.items() if codes}
    rows.append(("all faults", str(len(bank.FAULTS)), str(caught), ""))
    named = ", ".join(f"{name}: {' '.join(codes)}" for name, codes in false.items())
    rows.append((f"clean sets, of {len(bank.CLEAN)} with an alarm", str(len(bank.CLEAN)), str(len(false)), named))
    return Section(
        "preflight",
        "Preflight on injected faults",
        "Faults as they happen to campaigns (`tests/uplift/preflight_faults.py`), each as small as it can be and still "
        "spoil an answer, and data sets without one. At least 38 of 40 are to be caught, by the blocking finding that names the "
        "fault, and at most one of 20 clean sets may raise an alarm that blocks.",
        ("finding", "cases", "found", "which not, or which falsely"),
        rows,
        key=key,
    )


def switchback_section(draws: int, key: str) -> Section:
    """Splits, clusters and switchbacks in a shop of limited stock."""
    from uplift_switchback import limited_stock_study

    rows = [
        (
            str(row["design"]),
            f"{row['regions']} x {row['days']}",
            f"{row['truth']:.3g}",
            f"{row['bias']:+.3g} (error {row['bias_error']:.2g})",
            f"{row['coverage']:.1%}",
            f"{row['width']:.3g}",
        )
        for row in limited_stock_study(draws)
    ]
    return Section(
        "switchback",
        "Clusters and switchbacks where stock is limited",
        f"{draws:,} draws of a shop in which one customer's voucher is another's empty shelf "
        "(`bench/uplift_switchback.py`). The truth is each draw's own: everyone had the offer, or nobody. A split by "
        "customer is biased there; by cluster or block of time it is not, and 95% intervals are to cover 91.5% at least.",
        ("design", "regions x days", "truth", "bias", "coverage", "mean width"),
        rows,
        key=key,
    )


def _bank() -> Any:
    path = ROOT / "tests" / "uplift" / "preflight_faults.py"
    spec = spec_from_file_location("preflight_faults", path)
    if spec is None or spec.loader is None:
        raise RuntimeError(f"cannot read {path}")
    bank = module_from_spec(spec)
    sys.modules[spec.name] = bank  # dataclasses look their module up
    spec.loader.exec_module(bank)
    return bank
