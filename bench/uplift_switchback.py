"""An offer with limited stock: what a split by customer, by region and by time says of it, against the known truth.

``python bench/uplift_switchback.py --draws 1000``; the study is a function that returns rows.
"""

import argparse
import sys
from collections.abc import Callable
from functools import cache

import numpy as np
from tqdm import tqdm

from regulars.uplift.clusters import assign_clusters, cluster_effect
from regulars.uplift.estimate import Estimate, mean_estimate
from regulars.uplift.switchback import switchback, switchback_effect

CUSTOMERS, STOCK = 200, 30  # of a region, each day
OFF, ON = 0.10, 0.18  # probability that a customer wants the product: 20 of them, or 36 for 30 in stock
STOCKED_UP = 0.5  # the day after an offer, so much of the demand it made is missing
BUSY, REGION = 0.15, 0.15  # standard deviations of a day's and a region's demand, in logarithms
Row = dict[str, object]


def demand(regions: int, days: int, rng: np.random.Generator) -> np.ndarray:
    """Return the factor on demand of each region and day: a weekly wave, busy days that linger, big and small regions."""
    day = np.zeros(days)
    for t in range(days):
        day[t] = (0.5 * day[t - 1] if t else 0.0) + BUSY * rng.normal() * 0.75**0.5
    week = 0.1 * np.sin(2.0 * np.pi * np.arange(days) / 7.0)
    return np.exp((REGION * rng.normal(size=regions))[:, None] + day + week)


def sold(on: np.ndarray, factor: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return units sold by region and day where the whole region has the offer (``on``) or not."""
    before = np.column_stack([on[:, 0], on[:, :-1]])
    missing = STOCKED_UP * (ON - OFF) * (before & ~on)
    wanted = rng.binomial(CUSTOMERS, np.clip((np.where(on, ON, OFF) - missing) * factor, 0.0, 1.0))
    return np.minimum(wanted, STOCK).astype(np.float64)


@cache
def _expected_sales() -> tuple[np.ndarray, np.ndarray]:
    from scipy.stats import binom

    wanted = np.linspace(0.0, 1.0, 4001)
    return wanted, binom.sf(np.arange(STOCK)[:, None], CUSTOMERS, wanted).sum(axis=0)


def true_effect(factor: np.ndarray) -> float:
    """Return units that these regions sell more a day, on these days, with the offer for all than for none.

    Exact but for interpolation (below 1e-5): E min(X, s) is the sum over j < s of P(X > j), X binomial.
    """
    on, off = (np.interp(np.clip(p * factor, 0.0, 1.0), *_expected_sales()) for p in (ON, OFF))
    return float((on - off).mean())


def split_by_customer(factor: np.ndarray, rng: np.random.Generator, salt: str) -> Estimate:
    """Half of the customers have the offer; both halves take from the same shelf."""
    del salt
    regions, days = factor.shape
    half = CUSTOMERS // 2
    treated, control = (rng.binomial(half, np.clip(p * factor, 0.0, 1.0)) for p in (ON, OFF))
    served = np.minimum(treated + control, STOCK)
    bought = rng.hypergeometric(treated, control, served)  # whoever comes first
    difference = (bought - (served - bought)) / half * CUSTOMERS
    return mean_estimate(difference.ravel(), cluster=np.repeat(np.arange(regions), days))


def by_region(factor: np.ndarray, rng: np.random.Generator, salt: str) -> Estimate:
    """Half of the regions have the offer all the time."""
    regions, days = factor.shape
    names = [f"r{i}" for i in range(regions)]
    treated = assign_clusters(names, salt, {"off": 0.5, "on": 0.5}) == "on"
    sales = sold(np.tile(treated[:, None], days), factor, rng)
    return cluster_effect(sales.ravel(), np.repeat(treated, days), np.repeat(names, days)).effect


def by_time(factor: np.ndarray, rng: np.random.Generator, salt: str, *, washout: int, sequence: str) -> Estimate:
    """Blocks of four days, each region its own sequence."""
    regions, days = factor.shape
    names = np.array([f"r{i:03d}" for i in range(regions)])
    plan = switchback(names, days, 4, salt, washout=washout, sequence="random" if sequence == "random" else "balanced")
    region, day = np.repeat(names, days), np.tile(np.arange(days), regions)
    on = plan.arm_at(region, day).reshape(regions, days) == 1
    return switchback_effect(plan, region, day, sold(on, factor, rng).ravel()).effect


Design = Callable[[np.ndarray, np.random.Generator, str], Estimate]


def _switchback(washout: int, sequence: str) -> Design:
    return lambda factor, rng, salt: by_time(factor, rng, salt, washout=washout, sequence=sequence)


DESIGNS: dict[str, tuple[int, int, Design]] = {
    "split by customer": (20, 56, split_by_customer),
    "clusters: 20 regions": (20, 56, by_region),
    "switchback, no washout": (4, 56, _switchback(0, "balanced")),
    "switchback, washout 1 day": (4, 56, _switchback(1, "balanced")),
    "switchback, random blocks, one region": (1, 160, _switchback(1, "random")),
    "switchback, random blocks, 12 regions": (12, 56, _switchback(1, "random")),
}


def limited_stock_study(draws: int = 1000, *, progress: bool = True) -> list[Row]:
    """Return, per design, mean truth and estimate, bias, share of 95% intervals that hold the truth, and their width.

    The truth is that of the draw's own regions and days, had all had the offer, or none.
    """
    rows = []
    for name, (regions, days, design) in DESIGNS.items():
        found = np.empty((draws, 4))
        for seed in tqdm(range(draws), desc=name, disable=not (progress and sys.stderr.isatty())):
            rng = np.random.default_rng(seed)
            factor = demand(regions, days, rng)
            estimate = design(factor, rng, f"draw-{seed}")
            found[seed] = true_effect(factor), estimate.value, estimate.lower, estimate.upper
        truth, value, lower, upper = found.T
        rows.append(
            {
                "design": name,
                "regions": regions,
                "days": days,
                "draws": draws,
                "truth": float(truth.mean()),
                "estimate": float(value.mean()),
                "bias": float((value - truth).mean()),
                "bias_error": float((value - truth).std(ddof=1) / draws**0.5),
                "coverage": float(((lower <= truth) & (truth <= upper)).mean()),
                "width": float((upper - lower).mean()),
            }
        )
    return rows


def main() -> int:
    """Print the study's table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=1000)
    for row in limited_stock_study(parser.parse_args().draws):
        print("  ".join(f"{v:.3f}" if isinstance(v, float) else str(v) for v in row.values()), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
