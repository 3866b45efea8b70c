"""Do RATE's intervals cover, does the verdict hold its level, and what does it say about Hillstrom's e-mail test?

Each study is a function that returns rows; by hand: ``python bench/uplift_rate.py coverage --draws 1000``.
"""

import argparse
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from regulars.uplift.nuisances import lightgbm_outcome, linear_outcome
from regulars.uplift.rate import Ranking, compare_rankings, rank_by
from regulars.uplift.scores import contrast, doubly_robust_scores
from regulars.uplift.simulate import DESIGNS, SimulatedExperiment, simulate
from regulars.uplift.verdict import Decision, decide

HILLSTROM = Path(__file__).resolve().parents[2] / "shared" / "data" / "hillstrom" / "hillstrom.csv"
POPULATION = 200_000
TARGETS = ("AUTOC", "QINI")
Effects = Callable[[np.ndarray], np.ndarray]
Row = dict[str, object]


# ---- coverage -------------------------------------------------------------------------------------------------------


def coverage_study(
    draws: int = 1000,
    *,
    rival_draws: int | None = None,
    n: int = 10_000,
    designs: Sequence[str] = tuple(DESIGNS),
    population: int = POPULATION,
    progress: bool = True,
) -> list[Row]:
    """Return, per design, target and tool, how often the 95% interval held the RATE of the draw's own ranking.

    Each draw fits a ranking on n customers, values it on n others, and takes as truth the RATE of that ranking in a
    large population by its true effects (where propensities are fitted: among those the scores are for). causalml's
    bootstrap takes seconds a draw, so it gets ``rival_draws``.
    """
    rows = []
    for design in designs:
        bar = tqdm(range(draws), desc=design, disable=not (progress and sys.stderr.isatty()))
        rows += coverage_rows(design, coverage_draws(design, bar, rival_draws, n=n, population=population))
    return rows


def coverage_draws(
    design: str, draws: Iterable[int], rival_draws: int | None = None, *, n: int = 10_000, population: int = POPULATION
) -> list[list[Any]]:
    """Return tool, target, truth, value and interval of each draw; a draw depends on its number alone."""
    everyone = simulate(design, population, seed=2**31)
    found: list[list[Any]] = []
    for draw in draws:
        with_rivals = rival_draws is None or draw < rival_draws
        found += [list(each) for each in _one_draw(design, everyone, n, draw, with_rivals)]
    return found


def coverage_rows(design: str, found: Iterable[Sequence[Any]]) -> list[Row]:
    """Return coverage, bias and width per target and tool."""
    held: dict[tuple[str, str], list[tuple[bool, float, float]]] = {}
    for tool, target, truth, value, lower, upper in found:
        held.setdefault((tool, target), []).append((lower <= truth <= upper, value - truth, upper - lower))
    rows: list[Row] = []
    for (tool, target), each in held.items():
        numbers = np.array(each, dtype=np.float64)
        rows.append(
            {
                "design": design,
                "target": target,
                "tool": tool,
                "draws": len(numbers),
                "coverage": float(numbers[:, 0].mean()),
                "bias": float(numbers[:, 1].mean()),
                "width": float(numbers[:, 2].mean()),
            }
        )
    return rows


def _one_draw(
    design: str, everyone: SimulatedExperiment, n: int, draw: int, with_rivals: bool
) -> Iterator[tuple[str, str, float, float, float, float]]:
    seed = 2 * draw
    train = simulate(design, n, seed=seed + 1)
    effects = linear_t_learner(train)
    held_out = simulate(design, n, seed=seed + 2)
    found = doubly_robust_scores(
        held_out.features,
        held_out.arm,
        held_out.outcome,
        propensity=held_out.propensity if held_out.randomised else None,
        outcome_model="linear",
        seed=draw,
    )
    if held_out.randomised:
        target_population = everyone
    else:
        # sum of inverse propensities below the draw's threshold: the customers whom its scores are for
        limit = (1.0 / found.propensity[found.kept]).sum(axis=1).max()
        target_population = _subset(everyone, (1.0 / everyone.propensity).sum(axis=1) <= limit)
    kept = found.kept
    scores, predicted = found.scores[kept], effects(held_out.features)[kept]
    ranking = rank_by(predicted)
    truth = target_population.true_rates(rank_by(effects(target_population.features)))
    table = compare_rankings(scores, {"own": ranking}, seed=draw, threads=1)
    for target in TARGETS:
        own = table.of(target)["own"]
        yield "regulars", target, truth[target], own.value, own.lower, own.upper
    earned = contrast(scores, ranking.arm)
    for target in TARGETS:
        value, error = econml_rate(effects(train.features), predicted, earned, target)
        yield "econml", target, truth[target], value, value - 1.96 * error, value + 1.96 * error
    if with_rivals:
        for target in TARGETS:
            value, lower, upper = causalml_rate(ranking.priority, earned, target, draw)
            yield "causalml", target, truth[target], value, lower, upper


def _subset(drawn: SimulatedExperiment, rows: np.ndarray) -> SimulatedExperiment:
    return SimulatedExperiment(
        drawn.design,
        drawn.features[rows],
        drawn.arm[rows],
        drawn.outcome[rows],
        drawn.propensity[rows],
        drawn.expected[rows],
    )


def linear_t_learner(train: SimulatedExperiment) -> Effects:
    """Return predicted effects (m, k) by one regression an arm: quick, so that a study can fit thousands."""
    ones = np.ones(len(train.arm))

    def effects(features: np.ndarray) -> np.ndarray:
        by_arm = [
            linear_outcome(train.features[rows], train.outcome[rows], ones[rows], features, 0)
            for rows in (train.arm == a for a in range(train.propensity.shape[1]))
        ]
        return np.column_stack(by_arm[1:]) - by_arm[0][:, None]

    return effects


def causalml_rate(priority: np.ndarray, earned: np.ndarray, target: str, seed: int) -> tuple[float, float, float]:
    """Return causalml's value and interval, with the scores given to it as its documentation asks."""
    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # shap, which it imports, uses what matplotlib is about to drop
        from causalml.metrics import rate_score

    frame = pd.DataFrame({"priority": priority, "tau": earned})
    found = rate_score(
        frame, treatment_effect_col="tau", weighting=target.lower(), return_ci=True, random_state=seed
    ).iloc[0]
    return float(found["rate"]), float(found["ci_lower"]), float(found["ci_upper"])


def econml_rate(
    train_predicted: np.ndarray, predicted: np.ndarray, earned: np.ndarray, target: str
) -> tuple[float, float]:
    """Return econml's coefficient and standard error on its default grid of 5 to 95 per cent.

    It takes quantiles of the training predictions; for several arms each customer's best one is meant.
    """
    from econml.validate.utils import calc_uplift

    # its uniform bands draw an unseeded n x 1000 matrix that the coefficient does not use
    value, error, _ = calc_uplift(
        train_predicted.max(axis=1),
        predicted.max(axis=1),
        earned,
        np.linspace(5, 95, 50),
        {"AUTOC": "toc", "QINI": "qini"}[target],
        n_bootstrap=2,
    )
    return float(value), float(error)


# ---- the verdict where nothing has an effect ------------------------------------------------------------------------


def null_verdict_study(draws: int = 1000, *, n: int = 10_000, cost: float = 0.0, progress: bool = True) -> list[Row]:
    """Return how often each verdict is given where no treatment does anything, with four candidate rankings."""
    bar = tqdm(range(draws), desc="null verdicts", disable=not (progress and sys.stderr.isatty()))
    return null_verdict_rows(null_verdicts(bar, n=n, cost=cost))


def null_verdict_rows(decisions: Sequence[Decision]) -> list[Row]:
    """Return the share of each verdict."""
    known: tuple[Decision, ...] = ("rank", "treat all", "treat none", "not enough data")
    total = len(decisions)
    return [{"verdict": each, "draws": total, "share": decisions.count(each) / total} for each in known]


def null_verdicts(draws: Iterable[int], *, n: int = 10_000, cost: float = 0.0) -> list[Decision]:
    """Return the verdict of each draw; a draw depends on its number alone."""
    found: list[Decision] = []
    for draw in draws:
        train, held_out = simulate("null", n, seed=2 * draw + 1), simulate("null", n, seed=2 * draw + 2)
        scored = doubly_robust_scores(
            held_out.features, held_out.arm, held_out.outcome, propensity=0.5, outcome_model="linear", seed=draw
        )
        response = linear_outcome(train.features, train.outcome, np.ones(n), held_out.features, 0)
        few = slice(0, n // 4)
        early = SimulatedExperiment(
            "null", train.features[few], train.arm[few], train.outcome[few], train.propensity[few], train.expected[few]
        )
        rankings = {
            "t": rank_by(linear_t_learner(train)(held_out.features)),
            "t_on_a_quarter": rank_by(linear_t_learner(early)(held_out.features)),
            "one_feature": rank_by(held_out.features[:, 5]),
            "response": rank_by(response),
        }
        found.append(decide(scored.scores, rankings, cost=cost, seed=draw).decision)
    return found


# ---- Hillstrom ------------------------------------------------------------------------------------------------------


def hillstrom(arm: str, outcome: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return features (n, 12), treatment (n,) and outcome (n,) of one arm and control."""
    import pandas as pd

    frame = pd.read_csv(HILLSTROM)
    frame = frame[frame["segment"].isin([arm, "No E-Mail"])]
    segment = frame["history_segment"].str.slice(0, 1).astype(int)
    dummies = pd.get_dummies(frame[["zip_code", "channel"]], dtype=float)
    features = pd.concat([frame[["recency", "history", "mens", "womens", "newbie"]], segment, dummies], axis=1)
    treated = (frame["segment"] == arm).to_numpy().astype(np.int64)
    return features.to_numpy(dtype=np.float64), treated, frame[outcome].to_numpy(dtype=np.float64)


def x_learner(features: np.ndarray, arm: np.ndarray, outcome: np.ndarray, seed: int) -> Effects:
    """Return predicted effects (m,) by the X-learner on boosted trees (Kunzel et al. 2019), propensity one half."""
    treated = arm == 1
    ones = np.ones(len(arm))

    def fit(rows: np.ndarray, target: np.ndarray, new: np.ndarray) -> np.ndarray:
        return lightgbm_outcome(features[rows], target, ones[rows], new, seed)

    gained = outcome[treated] - fit(~treated, outcome[~treated], features[treated])
    missed = fit(treated, outcome[treated], features[~treated]) - outcome[~treated]

    def effects(new: np.ndarray) -> np.ndarray:
        return 0.5 * (fit(treated, gained, new) + fit(~treated, missed, new))

    return effects


def t_learner(features: np.ndarray, arm: np.ndarray, outcome: np.ndarray, seed: int) -> Effects:
    """Return predicted effects (m,) by one boosted model an arm."""

    def effects(new: np.ndarray) -> np.ndarray:
        with_it, without = (
            lightgbm_outcome(features[arm == a], outcome[arm == a], np.ones(int((arm == a).sum())), new, seed)
            for a in (1, 0)
        )
        return with_it - without

    return effects


LEARNERS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray, int], Effects]] = {"x": x_learner, "t": t_learner}


def hillstrom_study(
    arm: str = "Mens E-Mail",
    outcome: str = "spend",
    *,
    halves: int = 100,
    learners: Sequence[str] = ("x",),
    cost: float = 0.0,
    progress: bool = True,
) -> list[Row]:
    """Return one row per random half: the verdict, and each ranking's held-out QINI per head with its interval.

    Rankings are learnt on one half and valued on the other; the plain response model, learnt from those who got the
    e-mail, is always among them.
    """
    features, treated, result = hillstrom(arm, outcome)
    rows = []
    for seed in tqdm(range(halves), desc=f"{arm} {outcome}", disable=not (progress and sys.stderr.isatty())):
        shuffled = np.random.default_rng(seed).permutation(len(treated))
        train, held = np.array_split(shuffled, 2)
        rankings: dict[str, Ranking] = {
            name: rank_by(LEARNERS[name](features[train], treated[train], result[train], seed)(features[held]))
            for name in learners
        }
        sent = train[treated[train] == 1]
        response = lightgbm_outcome(features[sent], result[sent], np.ones(len(sent)), features[held], seed)
        rankings["response"] = rank_by(response)
        scores = doubly_robust_scores(features[held], treated[held], result[held], propensity=0.5, seed=seed).scores
        verdict = decide(scores, rankings, cost=cost, seed=seed, arm_names=("No E-Mail", arm))
        row: Row = {"half": seed, "verdict": verdict.decision, "ranking": verdict.ranking, "best": verdict.best}
        for name, estimate in verdict.table.qini.items():
            row |= {f"qini_{name}": estimate.value, f"lower_{name}": estimate.lower, f"upper_{name}": estimate.upper}
        rows.append(row)
    return rows


def hillstrom_summary(rows: Sequence[Row]) -> Row:
    """Return the share of each verdict and each ranking's mean QINI x 1e4 over halves."""
    names = [name.removeprefix("qini_") for name in rows[0] if name.startswith("qini_")]
    shares = {
        f"verdict {verdict}": float(np.mean([row["verdict"] == verdict for row in rows]))
        for verdict in ("rank", "treat all", "treat none", "not enough data")
    }
    means = {f"qini x 1e4 {name}": 1e4 * float(np.mean([row[f"qini_{name}"] for row in rows])) for name in names}
    above = {f"above zero {name}": float(np.mean([row[f"lower_{name}"] > 0 for row in rows])) for name in names}
    best = {f"best {name}": float(np.mean([row["best"] == name for row in rows])) for name in names}
    return {"halves": len(rows)} | shares | means | above | best


def main() -> None:
    """Run one study and print its rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", choices=("coverage", "null", "hillstrom"))
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--rival-draws", type=int, default=None)
    parser.add_argument("--designs", nargs="*", default=tuple(DESIGNS))
    parser.add_argument("--arm", default="Mens E-Mail")
    parser.add_argument("--outcome", default="spend")
    parser.add_argument("--learners", nargs="*", default=("x",))
    chosen = parser.parse_args()
    if chosen.study == "coverage":
        rows = coverage_study(chosen.draws, rival_draws=chosen.rival_draws, designs=chosen.designs)
    elif chosen.study == "null":
        rows = null_verdict_study(chosen.draws)
    else:
        rows = [
            hillstrom_summary(
                hillstrom_study(chosen.arm, chosen.outcome, halves=chosen.draws, learners=chosen.learners)
            )
        ]
    for row in rows:
        print(row, flush=True)


if __name__ == "__main__":
    main()
