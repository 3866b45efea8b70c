"""Price response against known truth: the twins, stock-outs, and whether 90% intervals cover 90%.

``python bench/pricing_studies.py [twins|censored|coverage]`` prints the tables; everything is seeded.
"""

import sys
from collections.abc import Callable, Iterator

import numpy as np
from report import Section
from tqdm import tqdm

from regulars.pricing.double_ml import double_ml
from regulars.pricing.elasticity import ElasticityTable, estimate_elasticities
from regulars.pricing.log_linear import log_linear
from regulars.pricing.poisson import poisson
from regulars.pricing.simulate import CONFOUNDING, SimulatedPrices, simulate_prices

JUDGED_WEEKS = 16
_Z90 = 1.6448536269514722


def default(history: SimulatedPrices, train: slice) -> dict[str, float]:
    """What `estimate_elasticities` answers unasked."""
    return estimate_elasticities(history.frame(train), held_out=False).as_mapping()


def by_item(history: SimulatedPrices, train: slice) -> dict[str, float]:
    """Item by item with all controls, the price taken as it is."""
    return estimate_elasticities(history.frame(train), method="poisson", held_out=False).as_mapping()


def _pooled(fit: Callable[..., object]) -> Callable[[SimulatedPrices, slice], dict[str, float]]:
    def run(history: SimulatedPrices, train: slice) -> dict[str, float]:
        frame = history.frame(train)
        if fit is double_ml:
            answer = double_ml(frame, controls=("promoted",))
        else:
            answer = fit(frame, "log_price + promoted", effects=("item^store_id", "week"))
        return dict.fromkeys(history.items, answer["log_price"][0])

    return run


def lightgbm(history: SimulatedPrices, train: slice) -> Callable[..., np.ndarray]:
    """A forecaster: gradient-boosted trees on price, discount, promotion, season and place."""
    from lightgbm import LGBMRegressor

    def features(frame, price):
        codes = [frame[name].astype("category").cat.codes.to_numpy() for name in ("item", "brand")]
        store = frame["store_id"].str[-3:].astype(int).to_numpy()
        week = frame["week"].dt.day_of_year.to_numpy()
        regular = frame["regular_price"].to_numpy()
        item = frame["item"].str[-4:].astype(int).to_numpy()
        columns = [item, codes[1] * 0, store, week, np.log(price), 1 - price / regular, frame["promoted"], regular]
        return np.stack([np.asarray(c, dtype=float) for c in columns], axis=1)

    frame = history.frame(train)
    model = LGBMRegressor(objective="poisson", n_estimators=300, num_leaves=63, verbose=-1, n_jobs=1)
    model.fit(features(frame, frame["price"].to_numpy()), frame["units"])

    def ratio(rows, price):
        before = model.predict(features(rows, rows["price"].to_numpy()))
        return model.predict(features(rows, price)) / before

    return ratio


RIVALS: dict[str, Callable[..., object]] = {
    "default": default,
    "Poisson by item": by_item,
    "least squares, two-way effects": _pooled(log_linear),
    "PPML, two-way effects": _pooled(poisson),
    "double machine learning": _pooled(double_ml),
    "LightGBM forecaster": lightgbm,
    "no change": lambda history, _: dict.fromkeys(history.items, 0.0),
}


def twins(seeds: int = 20, *, rivals: dict[str, Callable[..., object]] | None = None, **sizes: int) -> Iterator[dict]:
    """Counterfactual error of each estimator on the clean and the confounded twin, mean over seeds."""
    rivals = RIVALS if rivals is None else rivals
    errors = {name: ([], []) for name in rivals}
    for seed in tqdm(range(seeds), disable=None):
        for at, confounding in enumerate((0.0, CONFOUNDING)):
            history = simulate_prices(confounding=confounding, seed=seed, **sizes)
            train = slice(0, history.price.shape[2] - JUDGED_WEEKS)
            for name, fit in rivals.items():
                errors[name][at].append(history.counterfactual_error(fit(history, train), JUDGED_WEEKS))
    for name, (clean, confounded) in errors.items():
        yield {"estimator": name, "clean": float(np.mean(clean)), "confounded": float(np.mean(confounded))}


# 10 weeks and few stores: hardly a promotion an item, so the category says most of it
SETTINGS: dict[str, dict[str, object]] = {
    "clean": {"stores": 12},
    "confounded": {"stores": 12, "confounding": CONFOUNDING},
    "censored": {"stores": 12, "stock_weeks": 1.0},
    "sparse": {"items": 96, "brands": 24, "stores": 4, "weeks": 10, "cross": 0.0},
}


def coverage(setting: str, at_least: int = 1_000, **changes: object) -> dict[str, object]:
    """Bias and coverage of 90% intervals over many items with known elasticity, in one of `SETTINGS`."""
    found, truth, seed = [], [], 0
    with tqdm(total=at_least, disable=None, desc=setting) as bar:
        while sum(map(len, truth)) < at_least:
            history = simulate_prices(seed=10_000 + seed, **(SETTINGS[setting] | changes))
            found.append(estimate_elasticities(history.frame(), held_out=False))
            truth.append(history.own)
            seed += 1
            bar.update(len(history.own))
    return {"setting": setting, "items": sum(map(len, truth))} | _judged(found, truth)


def censored(at_least: int = 1_000, **changes: object) -> Iterator[dict[str, object]]:
    """Three ways to treat weeks that sold out: as demand, left out, as lower bounds."""
    ways: dict[str, list[ElasticityTable]] = {"as demand": [], "left out": [], "lower bounds": []}
    truth, seed, shares = [], 0, []
    while sum(map(len, truth)) < at_least:
        history = simulate_prices(seed=20_000 + seed, **(SETTINGS["censored"] | changes))
        frame = history.frame()
        deep = frame["discount"] >= 0.3
        shares.append((float(frame["sold_out"].mean()), float(frame.loc[deep, "sold_out"].mean())))
        plain = frame.drop(columns=["on_hand", "sold_out"])
        for name, panel in (
            ("as demand", plain),
            ("left out", plain.loc[~frame["sold_out"]]),
            ("lower bounds", frame),
        ):
            ways[name].append(estimate_elasticities(panel, held_out=False))
        truth.append(history.own)
        seed += 1
    for name, tables in ways.items():
        sold_out, at_deep = np.nanmean(shares, axis=0)
        yield {"sold-out weeks": name, "share": sold_out, "share at 30% off": at_deep} | _judged(tables, truth)


def _judged(found: list[ElasticityTable], truth: list[np.ndarray]) -> dict[str, float]:
    own = np.concatenate(truth)
    mean = np.concatenate([table.elasticity for table in found])
    error = np.concatenate([table.standard_error for table in found])
    return {
        "bias": float(np.mean(mean - own)),
        "rmse": float(np.sqrt(np.mean((mean - own) ** 2))),
        "coverage": float(np.mean(np.abs(mean - own) < _Z90 * error)),
    }


def twins_section(seeds: int, small: bool, key: str) -> Section:
    """Counterfactual error on both twins."""
    sizes = {"items": 8, "stores": 6, "weeks": 60} if small else {}
    rows = [(row["estimator"], f"{row['clean']:.4f}", f"{row['confounded']:.4f}") for row in twins(seeds, **sizes)]
    shape = "8 items x 6 stores x 60 weeks" if small else "24 items x 40 stores x 156 weeks"
    return Section(
        "price-twins",
        "Price response on twins with known truth",
        f"{shape}, mean of {seeds} seeds, trained without the last {JUDGED_WEEKS} weeks and judged on them by "
        "`SimulatedPrices.counterfactual_error`: each item's and each brand's price moved by 10% up and down. On the "
        "confounded twin the shop discounts less when it sees demand coming. The default reads the cost of promotions; "
        "at most .03 on the confounded twin and within .005 of the clean one is asked of it.",
        ("estimator", "clean", "confounded"),
        rows,
        key=key,
    )


def censored_section(at_least: int, small: bool, key: str) -> Section:
    """Three ways to treat weeks that sold out."""
    sizes = {"items": 8, "stores": 6, "weeks": 60} if small else {}
    found = list(censored(at_least, **sizes))
    rows = [(r["sold-out weeks"], f"{r['bias']:+.3f}", f"{r['rmse']:.3f}", f"{r['coverage']:.1%}") for r in found]
    return Section(
        "price-stock-outs",
        "Price response where stock runs out",
        f"At least {at_least:,} items; {found[0]['share']:.0%} of item-store-weeks sold out, "
        f"{found[0]['share at 30% off']:.0%} of those at 30% off or more. Coverage is of the 90% interval. Asked: a "
        "bias of at most .08 and coverage of 86-94% with lower bounds.",
        ("sold-out weeks", "bias", "root mean squared error", "coverage"),
        rows,
        key=key,
    )


def coverage_section(at_least: int, small: bool, key: str) -> Section:
    """Coverage in each setting."""
    sizes = {"items": 8, "stores": 6, "weeks": 60} if small else {}
    found = [coverage(setting, at_least, **({} if setting == "sparse" else sizes)) for setting in SETTINGS]
    rows = [
        (str(r["setting"]), f"{r['items']:,}", f"{r['bias']:+.3f}", f"{r['rmse']:.3f}", f"{r['coverage']:.1%}")
        for r in found
    ]
    return Section(
        "price-coverage",
        "Coverage of elasticities",
        "90% intervals of `estimate_elasticities`, unasked, over items with known elasticity; 86-94% is asked. Sparse: "
        "10 weeks and 4 stores, hardly a promotion an item.",
        ("setting", "items", "bias", "root mean squared error", "coverage"),
        rows,
        key=key,
    )


def main(which: list[str]) -> None:
    """Print the tables asked for, all without a name."""
    if not which or "coverage" in which:
        for setting in SETTINGS:
            print(coverage(setting), flush=True)
    if not which or "censored" in which:
        for row in censored():
            print(row, flush=True)
    if not which or "twins" in which:
        for row in twins():
            print(row, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
