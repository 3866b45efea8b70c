"""What each learner gives on Hillstrom's e-mail test, and how long fits and scores take: ``python bench/uplift_learners.py``."""

import argparse
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from hillstrom import CONTROL, OUTCOMES, customers

from regulars.uplift.effects import Effects
from regulars.uplift.estimators import library
from regulars.uplift.experiment import Experiment
from regulars.uplift.learners import META_LEARNERS, fit_effects
from regulars.uplift.rate import compare_rankings, rank_by
from regulars.uplift.scores import doubly_robust_scores
from regulars.uplift.simulate import simulate

Row = dict[str, Any]


def experiment_on(outcome: str, arms: Sequence[str] | None = None) -> Experiment:
    """Return Hillstrom's test of one outcome, the other outcomes no features; all arms without ``arms``."""
    others = tuple(name for name in OUTCOMES if name != outcome)
    return Experiment("segment", outcome, CONTROL, arms=arms, exclude=others)


def times(learners: Sequence[str] = META_LEARNERS, *, million: int = 1_000_000) -> Iterator[Row]:
    """Yield seconds of the fit (preflight and reading included) and the score of 64,000 customers, and of a million."""
    library("causalml.inference.meta")  # imports are timed elsewhere
    frame, exp = customers(), experiment_on("visit")
    many = frame.iloc[np.arange(million) % len(frame)]
    for learner in learners:
        start, cpu = time.perf_counter(), time.process_time()
        effects = fit_effects(exp, frame, learner)
        fitted = time.perf_counter()
        effects.predict(frame)
        scored, used = time.perf_counter(), time.process_time() - cpu
        effects.predict(many)
        yield {
            "learner": learner,
            "fit": fitted - start,
            "score": scored - fitted,
            "cpu": used,
            "score a million": time.perf_counter() - scored,
        }


def halves(arm: str, outcome: str, learners: Sequence[str] = META_LEARNERS, *, seeds: int = 8) -> list[Row]:
    """Return each learner's held-out QINI x 1e4 over random halves: mean, least lower bound, halves above zero."""
    exp, frame = experiment_on(outcome, [arm]), customers()
    two = frame[frame["segment"].isin([arm, CONTROL])]
    found: dict[str, list[tuple[float, float]]] = {}
    for seed in range(seeds):
        train, held = (two.iloc[rows] for rows in np.array_split(np.random.default_rng(seed).permutation(len(two)), 2))
        fits: dict[str, Effects] = {name: fit_effects(exp, train, name, seed=seed) for name in learners}
        rankings = {name: rank_by(fit.predict(held)) for name, fit in fits.items()}
        first = next(iter(fits.values()))
        rankings["response"] = rank_by(first.response(held))
        data = exp.read(held, encoder=first.encoder, arm_names=first.arm_names)
        scores = doubly_robust_scores(data.features, data.arm, data.outcome, propensity=0.5, seed=seed).scores
        for name, estimate in compare_rankings(scores, rankings, seed=seed).of("QINI").items():
            found.setdefault(name, []).append((1e4 * estimate.value, 1e4 * estimate.lower))
    rows = []
    for name, values in found.items():
        each = np.array(values)
        rows.append(
            {
                "arm": arm,
                "outcome": outcome,
                "ranking": name,
                "qini x 1e4": float(each[:, 0].mean()),
                "least lower": float(each[:, 1].min()),
                "above zero": f"{int((each[:, 1] > 0.0).sum())} of {seeds}",
            }
        )
    return rows


def two_parts(learners: Sequence[str] = META_LEARNERS, *, draws: int = 10, n: int = 4000) -> Iterator[Row]:
    """Yield each learner's correlation with the true effects on revenue, learnt as one part and as two."""
    exp = Experiment(treatment="arm", outcome="outcome", control="control")
    new = simulate("zero_inflated", 50_000, seed=999)
    for learner in learners:
        found = np.empty((draws, 2))
        for seed in range(draws):
            frame = simulate("zero_inflated", n, seed=seed).frame()
            for two in (False, True):
                effects = fit_effects(exp, frame, learner, two_part=two, seed=seed)
                predicted = effects.predict(new.frame())[:, 0]
                found[seed, int(two)] = np.corrcoef(predicted, new.effects[:, 0])[0, 1]
        gain = found[:, 1] - found[:, 0]
        yield {
            "learner": learner,
            "customers": n,
            "one part": float(found[:, 0].mean()),
            "two parts": float(found[:, 1].mean()),
            "gain's standard error": float(gain.std(ddof=1) / np.sqrt(draws)),
        }


def main() -> None:
    """Run one study and print its rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", choices=("times", "halves", "two-parts"))
    parser.add_argument("--arm", default="Womens E-Mail")
    parser.add_argument("--outcome", default="visit")
    parser.add_argument("--learners", nargs="*", default=META_LEARNERS)
    chosen = parser.parse_args()
    if chosen.study == "times":
        rows: Any = times(chosen.learners)
    elif chosen.study == "halves":
        rows = halves(chosen.arm, chosen.outcome, chosen.learners)
    else:
        rows = two_parts(chosen.learners)
    for row in rows:
        print({name: round(value, 3) if isinstance(value, float) else value for name, value in row.items()}, flush=True)


if __name__ == "__main__":
    main()
