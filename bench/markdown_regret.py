"""What estimated demand costs a markdown plan: expected worth against the dynamic programme that knows true demand.

``python bench/markdown_regret.py`` prints two tables: plans made end to end from a simulated, confounded history with
stock-outs, and plans made with errors of a given size in the elasticity. Studies are functions that return rows.
"""

import argparse
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from regulars.pricing.demand import DemandModel
from regulars.pricing.elasticity import estimate_elasticities
from regulars.pricing.markdown import plan_markdowns
from regulars.pricing.simulate import CONFOUNDING, SimulatedPrices, simulate_prices
from regulars.pricing.stochastic import (
    Season,
    path_policy,
    plan_season,
    policy_value,
    season,
    simulate_replanned,
    simulate_seasons,
)

if TYPE_CHECKING:
    from report import Section

SEED = 20261121
WEEKS, STORES, HISTORY = 12, 2, 104
DEPTH = np.arange(8) / 10.0
SALVAGE = 0.15  # of the regular price
RULE = np.repeat([0.0, 0.2, 0.4, 0.6], WEEKS // 4)
MOST_STOCK = 120
Row = dict[str, Any]


@dataclass(frozen=True)
class Shop:
    """A history, the season that follows it as it truly is, and its items' regular prices."""

    history: SimulatedPrices
    truth: Season
    regular: np.ndarray


def open_shop(items: int, seed: int, confounding: float = CONFOUNDING) -> Shop:
    """Simulate 104 weeks of two small stores with limited stock, and state the 12 weeks that follow."""
    history = simulate_prices(
        items=items, stores=STORES, weeks=HISTORY + WEEKS, brands=max(items // 12, 1), confounding=confounding,
        mean_units=2.5, cross=0.4 / items, stock_weeks=3.0, seed=seed,
    )  # fmt: skip
    coming = slice(HISTORY, HISTORY + WEEKS)
    regular = history.regular_price[:, 0, HISTORY - 1]
    known = history.potential - history.shock - history.promotion_bump * history.promoted[:, None, :]
    others = history.cross @ np.log(regular)
    at_regular = np.exp(known[:, :, coming] + (history.own * np.log(regular) + others)[:, None, None])
    # a shock is log-normal: its mean, and the spread of the two stores' total
    variance = float(history.shock.var())
    weekly = at_regular.sum(axis=1) * np.exp(0.5 * variance)
    spread = np.expm1(variance) * (at_regular**2).sum(axis=(1, 2)) / (at_regular.sum(axis=1) ** 2).sum(axis=1)
    rng = np.random.default_rng((seed, 1))
    stock = np.clip(np.round(weekly.sum(axis=1) * rng.uniform(0.8, 3.0, items)), 5, MOST_STOCK).astype(np.int64)
    demand = weekly[:, :, None] * ((1.0 - DEPTH) ** history.own[:, None])[:, None, :]
    worth = regular[:, None] * (1.0 - DEPTH)
    return Shop(history, season(demand, worth, stock, salvage=SALVAGE * regular, overdispersion=spread), regular)


def open_loop(shop: Shop, expected: np.ndarray) -> np.ndarray:
    """Return the rungs (n, T) of the deterministic plan on expected units."""
    n = len(shop.regular)
    names = np.array(shop.history.items)
    items = {
        "item": names, "regular_price": shop.regular, "on_hand": shop.truth.stock, "salvage_value": shop.truth.salvage
    }  # fmt: skip
    prices = plan_markdowns(items, ladder=DEPTH, weeks=WEEKS, expected_units=expected).prices
    return np.round(np.asarray(prices["discount"]).reshape(n, WEEKS) / 0.1).astype(np.int64)


def _regret(worth: np.ndarray, best: np.ndarray) -> float:
    return float(1.0 - worth.sum() / best.sum())


def end_to_end(items: int = 300, seasons: int = 200, seed: int = SEED, confounding: float = CONFOUNDING) -> list[Row]:
    """Return, per way to price, its regret: exact expectation, and over simulated seasons of the same luck.

    The default is the dynamic programme on estimated demand; solved anew each week on the stock that is left it is the
    same policy (Bellman), so that its expectation under true demand is exact.
    """
    shop = open_shop(items, seed, confounding)
    truth = shop.truth
    panel = shop.history.frame(slice(0, HISTORY))
    found = estimate_elasticities(panel, held_out=False)
    accepted = found.accepted
    # an elasticity that was refused prices nothing: here its category's answer stands in
    fallback = float(np.mean(found.elasticity[accepted]))
    elasticity = np.where(accepted, found.elasticity, fallback)
    table = {"item": list(found.items), "elasticity": elasticity, "standard_error": found.standard_error}
    model = DemandModel(table).fit(panel)
    price = shop.regular[:, None] * (1.0 - DEPTH)
    first = panel["week"].max() + np.timedelta64(7, "D")
    expected = model.expected_units(price, first, WEEKS, items=shop.history.items)
    averaged = model.expected_units(price, first, WEEKS, items=shop.history.items, integrate=True)
    believed = replace(truth, demand=expected, overdispersion=model.overdispersion_)
    best_policy = plan_season(truth)
    best = policy_value(best_policy, truth)
    at_best = simulate_seasons(best_policy, truth, seasons, seed).worth
    rows = []

    def add(name: str, exact: float, simulated: np.ndarray) -> None:
        rows.append({"plan": name, "regret": exact, "simulated": _regret(simulated, at_best)})

    add("true demand", 0.0, at_best)
    for name, policy in (
        ("default: estimated demand, re-planned weekly", plan_season(believed)),
        ("averaged over the elasticity's error", plan_season(replace(believed, demand=averaged))),
        ("open loop on estimated demand", path_policy(truth, open_loop(shop, expected))),
        ("open loop on true demand", path_policy(truth, open_loop(shop, truth.demand))),
        ("rule 20/40/60", path_policy(truth, np.searchsorted(DEPTH, RULE - 1e-9))),
        ("no markdown", path_policy(truth, np.zeros(WEEKS, dtype=np.int64))),
    ):
        value = policy_value(policy, truth)
        add(name, _regret(value, best), simulate_seasons(policy, truth, seasons, seed).worth)
    learnt = simulate_replanned(believed, truth, model.level_error_, seasons, seed).worth
    add("default, the level learnt in season", float("nan"), learnt)
    off = elasticity - shop.history.own
    level = np.log(expected[:, :, 0].sum(axis=1) / truth.demand[:, :, 0].sum(axis=1))
    rows.append(
        {"plan": "errors", "elasticity_sd": float(off.std()), "elasticity_bias": float(off.mean()),
         "level_sd": float(level.std()), "level_bias": float(level.mean()), "accepted": float(accepted.mean())}
    )  # fmt: skip
    return rows


def elasticity_errors(items: int = 300, seed: int = SEED) -> list[Row]:
    """Return the exact regret of plans whose elasticity is off by noise or bias, level and season being known."""
    shop = open_shop(items, seed)
    truth = replace(shop.truth, overdispersion=np.zeros(items))
    best = policy_value(plan_season(truth), truth)
    own = shop.history.own
    noise = np.random.default_rng((seed, 2)).standard_normal(items)
    rows = []
    for name, wrong in (
        *((f"noise, sd {sd:g}", own + sd * noise) for sd in (0.25, 0.5, 1.0)),
        *((f"bias {bias:+.0%}", own * (1.0 + bias)) for bias in (-0.5, 0.5)),
    ):
        response = (1.0 - DEPTH) ** np.minimum(wrong, 0.0)[:, None]
        policy = plan_season(replace(truth, demand=truth.demand[:, :, :1] * response[:, None, :]))
        rows.append({"plan": name, "regret": _regret(policy_value(policy, truth), best)})
    for name, policy in (
        ("open loop on true demand", path_policy(truth, open_loop(shop, truth.demand))),
        ("rule 20/40/60", path_policy(truth, np.searchsorted(DEPTH, RULE - 1e-9))),
        ("no markdown", path_policy(truth, np.zeros(WEEKS, dtype=np.int64))),
    ):
        rows.append({"plan": name, "regret": _regret(policy_value(policy, truth), best)})
    return rows


def planning_seconds(items: int = 300, seed: int = SEED) -> float:
    """Return seconds to plan an item's season by the dynamic programme, the best of three runs, compiled before."""
    truth = open_shop(items, seed).truth
    full = replace(truth, stock=np.full(items, MOST_STOCK), overdispersion=np.zeros(items))
    plan_season(full)
    taken = []
    for _ in range(3):
        begun = perf_counter()
        plan_season(full)
        taken.append(perf_counter() - begun)
    return min(taken) / items


def regret_section(items: int, seasons: int, key: str) -> "Section":
    """Write the study as a section of a page."""
    from report import Section

    rows = []
    for confounding in (CONFOUNDING, 0.0):
        twin = "confounded" if confounding else "clean"
        for row in end_to_end(items, seasons, SEED, confounding):
            if row["plan"] == "errors":
                continue
            exact = "" if np.isnan(row["regret"]) else f"{row['regret']:.2%}"
            rows.append((f"{twin}: {row['plan']}", exact, f"{row['simulated']:.2%}"))
    rows += [(f"known but for elasticity: {r['plan']}", f"{r['regret']:.2%}", "") for r in elasticity_errors(items)]
    return Section(
        name="markdown-regret",
        title="Markdown from estimated demand",
        text=(
            f"{items} items x {seasons} simulated seasons of {WEEKS} weeks, ladder 0 to 70%, at most {MOST_STOCK} units, "
            f"salvage {SALVAGE:.0%}. Elasticity, level, season and spread are estimated from {HISTORY} weeks of {STORES} "
            "small stores with stock-outs, where depth follows demand (confounded) or not (clean). Regret is the worth "
            "lost against the dynamic programme that knows true demand: its exact expectation, and over the seasons."
        ),
        head=("plan", "regret", "simulated"),
        rows=rows,
        remarks=(f"Planning an item's season with {MOST_STOCK} units: {1e3 * planning_seconds(items):.2f} ms.",),
        key=key,
    )


def main() -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=300)
    parser.add_argument("--seasons", type=int, default=200)
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    for confounding in (CONFOUNDING, 0.0):
        print(f"end to end, {options.items} items x {options.seasons} seasons, confounding {confounding:g}")
        for row in end_to_end(options.items, options.seasons, options.seed, confounding):
            print("  " + "  ".join(f"{k} {v:.4f}" if isinstance(v, float) else f"{v:48}" for k, v in row.items()))
    print(f"dynamic programme, stock {MOST_STOCK}: {1e3 * planning_seconds(options.items):.2f} ms an item")
    print("elasticity off, all else known")
    for row in elasticity_errors(options.items, options.seed):
        print(f"  {row['plan']:48}regret {row['regret']:.4f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
