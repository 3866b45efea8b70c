"""Parameter recovery: do the 95% intervals of each model cover the truth in 95% of simulated data sets?"""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
import pandas as pd
from tqdm import tqdm

from regulars import clv
from regulars.clv import simulate


@dataclass(frozen=True)
class Truth:
    """What is drawn and what is fitted to it."""

    model: type[clv.BTYDModel] | type[clv.GammaGammaModel]
    draw: str
    params: dict[str, float]


# Bases like CDNOW's (references: Fader, Hardie & Lee 2005; the fits of tests/clv/test_cdnow.py), in weeks.
TRUTHS = {
    "nbd": Truth(clv.NBDModel, "simulate_nbd", {"r": 0.385, "alpha": 12.07}),
    "bg_nbd": Truth(clv.BetaGeoModel, "simulate_bg_nbd", {"r": 0.243, "alpha": 4.414, "a": 0.793, "b": 2.426}),
    "mbg_nbd": Truth(
        clv.ModifiedBetaGeoModel, "simulate_mbg_nbd", {"r": 0.525, "alpha": 6.183, "a": 0.891, "b": 1.614}
    ),
    "pareto_nbd": Truth(
        clv.ParetoNBDModel, "simulate_pareto_nbd", {"r": 0.553, "alpha": 10.578, "s": 0.606, "beta": 11.669}
    ),
    # spend of customers who buy as under "bg_nbd"; those who never come back tell nothing of it
    "gamma_gamma": Truth(clv.GammaGammaModel, "simulate_gamma_gamma", {"p": 6.25, "q": 3.744, "v": 15.44}),
}
WEEKS = 104


def recovery_study(
    model: str,
    n_sets: int = 1000,
    n_customers: int = 5000,
    seed: int = 20261121,
    *,
    processes: int = 2,
    progress: bool = True,
) -> pd.DataFrame:
    """Fit ``model`` to ``n_sets`` data sets of known parameters and count how often its intervals hold the truth.

    Customers are acquired evenly over the first half of 104 weeks and observed to their end. The data sets depend on
    ``seed`` and their number alone, not on ``processes``.

    Parameters
    ----------
    model
        "nbd", "bg_nbd", "mbg_nbd", "pareto_nbd" or "gamma_gamma".
    n_sets, n_customers, seed
        How many data sets, of how many customers, from which seed.
    processes
        How many to work on at once; 1 stays in this process.
    progress
        Show a bar on a terminal.

    Returns
    -------
    DataFrame
        One row per parameter: ``model, parameter, truth, data_sets, boundary_fits, coverage`` (share of the data sets
        not at a boundary whose interval holds the truth), ``median_estimate, relative_bias`` (of the median),
        ``mean_standard_error, spread`` (standard deviation of the logarithm's estimates, beside which the mean of the
        logarithm's standard errors should stand).
    """
    if model not in TRUTHS:
        raise ValueError(f"model {model!r} is not one of {', '.join(TRUTHS)}")
    seeds = np.random.SeedSequence([seed, list(TRUTHS).index(model)]).generate_state(n_sets, np.uint64)
    jobs = [(model, n_customers, int(s)) for s in seeds]
    bar = tqdm(_results(jobs, processes), total=n_sets, desc=model, disable=None if progress else True)
    fits = np.array(list(bar))
    return _table(model, fits)


def _results(jobs: list[tuple[str, int, int]], processes: int) -> Iterator[np.ndarray]:
    if processes == 1:
        yield from map(_fit_one, jobs)
        return
    # spawned: a forked child would inherit locks of threads that it does not have
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_fit_one, jobs, chunksize=10)


def _fit_one(job: tuple[str, int, int]) -> np.ndarray:
    """Estimate, lower and upper bound by parameter, and whether all are identified, (3, k + 1)."""
    name, n_customers, seed = job
    truth = TRUTHS[name]
    ages = WEEKS - np.random.default_rng(seed).uniform(0, WEEKS / 2, n_customers)
    if name == "gamma_gamma":
        orders = simulate.simulate_bg_nbd(TRUTHS["bg_nbd"].params, n_customers, ages, seed + 1)
        data = simulate.simulate_gamma_gamma(truth.params, orders["frequency"], seed + 2)
    else:
        data = getattr(simulate, truth.draw)(truth.params, n_customers, ages, seed + 1)
    fitted = truth.model().fit(data)
    columns = fitted.summary_[["estimate", "lower", "upper"]].to_numpy().T
    return np.column_stack([columns, np.full(3, float(fitted.identified_))])


def _table(name: str, fits: np.ndarray) -> pd.DataFrame:
    params = TRUTHS[name].params
    inside = fits[:, 0, -1] == 1.0
    rows = []
    for k, (parameter, truth) in enumerate(params.items()):
        estimate, lower, upper = fits[inside, :, k].T
        median = float(np.median(estimate))
        rows.append(
            {
                "model": name,
                "parameter": parameter,
                "truth": truth,
                "data_sets": len(fits),
                "boundary_fits": int((~inside).sum()),
                "coverage": float(((lower <= truth) & (truth <= upper)).mean()),
                "median_estimate": median,
                "relative_bias": median / truth - 1,
                "spread": float(np.log(estimate).std()),
                "mean_standard_error": float((np.log(upper / lower) / (2 * 1.959964)).mean()),
            }
        )
    return pd.DataFrame(rows)
