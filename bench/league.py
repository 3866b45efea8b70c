"""The league table: every model and naive baseline on the same calibration and holdout, in five worlds."""

import math
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import league_known
import numpy as np
from report import Section
from timing import progress_line

SEED = 20261121
ROOT = Path(__file__).parent.parent
ONLINE_RETAIL = ROOT / ".." / "shared" / "data" / "online_retail" / "online_retail.parquet"
TITLES = {
    "nbd": "NBD",
    "bg_nbd": "BG/NBD",
    "mbg_nbd": "MBG/NBD",
    "pareto_nbd": "Pareto/NBD",
    "seasonal_bg_nbd": "BG/NBD, seasonal clock",
    "seasonal_mbg_nbd": "MBG/NBD, seasonal clock",
    **league_known.TITLES,
    "ziln": "ZILN, boosted",
    "two_part": "two-part, boosted",
    "same_rate": "same rate as before",
    "cohort_mean": "the mean of the base",
}
LEVEL = 0.8


@dataclass(frozen=True)
class World:
    """Orders behind a database, and when the calibration ends."""

    title: str
    database: Any
    calibration_end: date
    observation_end: date
    name: str = ""


@dataclass(frozen=True)
class Forecast:
    """What one contender says: expected orders and money (n,), 80% intervals of orders or None, seconds of fitting."""

    orders: np.ndarray
    money: np.ndarray
    interval: tuple[np.ndarray, np.ndarray] | None
    seconds: float
    note: str = ""


def league_section(world: str, customers: int, key: str) -> Section:
    """One world's table; ``customers`` is the size of the simulated ones."""
    with WORLDS[world](customers) as opened:
        rows, size, actual, remarks = _table(replace(opened, name=world))
        title = opened.title
        window = (opened.observation_end - opened.calibration_end).days
    return Section(
        name=f"league-{world}",
        title=f"League table: {title}",
        text=(
            f"Calibrated on {size:,} customers, judged on the next {window} days, in which they bought on {actual:,.0f} "
            "days. MAE and RMSE are of purchase days a customer, total error that of their sum; money is of net revenue "
            "(orders times expected spend; the boosted ones predict it). Gini is of the holdout's money, customers "
            "sorted by predicted money, over that of the best sorting; top tenth its share of the money; calibration "
            "the mean absolute deviation of predicted from actual orders over tenths by prediction, as a share; coverage "
            "that of 80% intervals, which hold more where most customers buy nothing. Boosted models learn on the window "
            "of equal length just before, or on half of the calibration where that is shorter. Models with covariates (the "
            "same on purchases, dropout and spend, a ridge of 1), segment priors, customers from before the data and "
            "covariates over time are described in docs/methods; the last two have no distribution of orders, and no "
            "interval. The best of each column is bold."
        ),
        head=(
            "model",
            "MAE",
            "RMSE",
            "total error",
            "money MAE",
            "money total error",
            "Gini",
            "top tenth",
            "calibration",
            "coverage",
            "fit",
        ),
        rows=rows,
        remarks=remarks,
        key=key,
    )


def _table(world: World) -> tuple[list[tuple[str, ...]], int, float, list[str]]:
    from regulars import clv
    from regulars.sql.errors import ModelError

    holdout = clv.holdout_summary(world.database, world.calibration_end, world.observation_end)
    orders = holdout["frequency_holdout"].to_numpy(dtype=float)
    money = holdout["revenue_holdout"].to_numpy(dtype=float)
    known = league_known.known_of(world.name, world.database, holdout, world.calibration_end)
    forecasts: dict[str, Forecast] = {}
    without: dict[str, list[str]] = {}
    for what, why in known.not_played.items():
        without.setdefault(why, []).append(what)
    for name, contender in _contenders(world, holdout, known).items():
        progress_line(f"{world.title}: {TITLES[name]}")
        try:
            forecasts[name] = contender()
        except ModelError as error:
            # without what it advises, and alike for every kind of model
            why = re.sub(r" \(.*|;.*", "", str(error)).replace(name.partition("_")[2], "the model")
            without.setdefault(why, []).append(TITLES[name])
    figures = {name: _figures(forecast, orders, money) for name, forecast in forecasts.items()}
    best = [_best(column, [row[column] for row in figures.values()]) for column in range(len(_BETTER))]
    rows = []
    for name, row in figures.items():
        told = [
            f"**{_FORMATS[k](value)}**" if value == best[k] and not math.isnan(value) else _FORMATS[k](value)
            for k, value in enumerate(row)
        ]
        note = f" ({forecasts[name].note})" if forecasts[name].note else ""
        rows.append((TITLES[name] + note, *told, f"{forecasts[name].seconds:.2f} s"))
    remarks = [known.said] if known.said else []
    if without:
        told = "; ".join(f"{' / '.join(what)}: {why}" for why, what in without.items())
        remarks.append(f"Not played here: {told}.")
    return rows, len(holdout), float(orders.sum()), remarks


def _figures(forecast: Forecast, orders: np.ndarray, money: np.ndarray) -> tuple[float, ...]:
    from regulars.clv.evaluate import sums_by_tenth

    error = forecast.orders - orders
    each = np.ones(len(orders))
    _, (predicted, actual) = sums_by_tenth(forecast.orders, each, forecast.orders, orders)
    _, (by_money,) = sums_by_tenth(forecast.money, each, np.maximum(money, 0.0))
    covered = math.nan
    if forecast.interval is not None:
        low, high = forecast.interval
        covered = float(((orders >= low) & (orders <= high)).mean())
    return (
        float(np.abs(error).mean()),
        float(np.sqrt((error**2).mean())),
        float(forecast.orders.sum() / orders.sum() - 1.0),
        float(np.abs(forecast.money - money).mean()),
        float(forecast.money.sum() / money.sum() - 1.0),
        _gini(forecast.money, np.maximum(money, 0.0)),
        float(by_money[-1] / by_money.sum()),
        float(np.abs(predicted - actual).sum() / actual.sum()),
        covered,
    )


# What is better in each column: the least, the nearest to 0, the most, the nearest to the level.
_BETTER = ("least", "least", "zero", "least", "zero", "most", "most", "least", "level")


def _count(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3f}"


def _signed(value: float) -> str:
    return "" if math.isnan(value) else f"{value:+.1%}"


def _share(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.1%}"


def _currency(value: float) -> str:
    return "" if math.isnan(value) else f"{value:,.2f}"


_FORMATS: tuple[Callable[[float], str], ...] = (
    _count,
    _count,
    _signed,
    _currency,
    _signed,
    _count,
    _share,
    _share,
    _share,
)


def _best(column: int, values: list[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    how = {
        "least": lambda v: v,
        "most": lambda v: -v,
        "zero": abs,
        "level": lambda v: abs(v - LEVEL),
    }[_BETTER[column]]
    return min(known, key=how) if known else math.nan


def _gini(score: np.ndarray, money: np.ndarray) -> float:
    """Area between the money's concentration curve and chance, customers by score, over that of the best order."""

    def area(order_by: np.ndarray) -> float:
        # ties share what they hold, so that a constant score has no area
        _, block = np.unique(-order_by, return_inverse=True)
        people = np.bincount(block)
        held = np.bincount(block, money)
        x = np.concatenate([[0.0], np.cumsum(people) / people.sum()])
        y = np.concatenate([[0.0], np.cumsum(held) / held.sum()])
        return float(np.trapezoid(y, x) - 0.5)

    return area(score) / area(money)


# ---- who takes part -------------------------------------------------------------------------------------------------


def _contenders(world: World, holdout: Any, known: league_known.Known) -> dict[str, Callable[[], Forecast]]:
    from regulars import clv

    kinds = {
        "nbd": clv.NBDModel,
        "bg_nbd": clv.BetaGeoModel,
        "mbg_nbd": clv.ModifiedBetaGeoModel,
        "pareto_nbd": clv.ParetoNBDModel,
    }
    made: dict[str, Callable[[], Forecast]] = {
        name: lambda kind=kind: _probability_model(kind(), holdout, (holdout,)) for name, kind in kinds.items()
    }
    end = world.calibration_end
    days = world.database.query("repeat_purchases_by_day", calibration_end=end, observation_end=end)
    clocked = holdout.rename(columns={})
    if "first_order_on" not in clocked:
        summary = clv.rfm_summary(world.database, as_of=end)[["customer_id", "first_order_on", "last_order_on"]]
        clocked = clocked.merge(summary, on="customer_id", how="left", validate="one_to_one")
        clocked.attrs = holdout.attrs
    for name, kind in (
        ("seasonal_bg_nbd", clv.SeasonalBetaGeoModel),
        ("seasonal_mbg_nbd", clv.SeasonalModifiedBetaGeoModel),
    ):
        made[name] = lambda kind=kind: _probability_model(kind(), clocked, (clocked, days.to_pandas()))
    told = league_known.with_known(holdout, known)
    for name, models in league_known.static_models(known, told).items():
        made[name] = lambda models=models: _static_model(*models(), told)
    if known.over_time:
        made["over_time_pareto_nbd"] = lambda: _over_time(world, told)
    for name, kind in (("ziln", clv.ZILNModel), ("two_part", clv.TwoPartValueModel)):
        made[name] = lambda kind=kind: _boosted(kind(), world, holdout)
    for name in ("same_rate", "cohort_mean"):
        made[name] = lambda name=name: _baseline(name, holdout)
    return made


def _probability_model(model: Any, holdout: Any, fit_on: tuple[Any, ...], spend_model: Any = None) -> Forecast:
    from regulars.clv import fit_spend
    from regulars.clv.intervals import predictive_intervals

    begun = time.perf_counter()
    model.fit(*fit_on)
    spend = fit_spend(holdout) if spend_model is None else spend_model.fit(holdout)
    taken = time.perf_counter() - begun
    horizon = float(holdout["duration_holdout"].iloc[0])
    expected = model.expected_purchases(holdout, horizon)
    worth = 0.0 if spend is None else spend.conditional_expected_value(holdout)

    def pmf(rows: np.ndarray, n_max: int) -> np.ndarray:
        chosen = holdout.iloc[rows]
        chosen.attrs = holdout.attrs
        return model.purchase_probabilities(chosen, horizon, n_max)

    interval = None
    if hasattr(model, "purchase_probabilities"):
        held = predictive_intervals(pmf, expected, None, LEVEL)
        interval = (held.orders_low, held.orders_high)
    message = getattr(model, "message_", "")
    note = "as NBD" if message.startswith("dropout not identified") else ""
    if "at the boundary" in message:
        note = "at the boundary"
    return Forecast(expected, expected * worth, interval, taken, note)


def _static_model(orders: Any, spend: Any, told: Any) -> Forecast:
    return _probability_model(orders, told, (told,), spend)


def _over_time(world: World, told: Any) -> Forecast:
    from regulars.clv import fit_spend

    horizon = float(told["duration_holdout"].iloc[0])
    expected, taken = league_known.december_over_time(
        world.database, told, world.calibration_end, world.observation_end, horizon
    )
    begun = time.perf_counter()
    spend = fit_spend(told)
    taken += time.perf_counter() - begun
    worth = 0.0 if spend is None else spend.conditional_expected_value(told)
    return Forecast(expected, expected * worth, None, taken)


def _boosted(model: Any, world: World, holdout: Any) -> Forecast:
    from regulars.clv import value_window
    from regulars.sql.errors import ModelError

    length = (world.observation_end - world.calibration_end).days
    # features need a past of their own: half of the calibration is left to them where it is short
    known = (world.calibration_end - world.database.query("customer_days")["day"].to_numpy().min().item()).days
    window = min(length, known // 2)
    begun = time.perf_counter()
    try:
        train = value_window(world.database, world.calibration_end - timedelta(days=window), window)
        model.fit(train.features, train.orders, train.money)
    except ModelError as error:
        nothing = np.full(len(holdout), np.nan)
        return Forecast(nothing, nothing, None, time.perf_counter() - begun, str(error))
    taken = time.perf_counter() - begun
    features = value_window(world.database, world.calibration_end).features
    place = {customer: k for k, customer in enumerate(features.column("customer_id").to_pylist())}
    rows = np.array([place[customer] for customer in holdout["customer_id"]])
    longer = length / window
    note = "" if window == length else f"learnt on {window} days, times {longer:.2f}"
    orders, money = model.expected_purchases(features)[rows], model.expected_money(features)[rows]
    return Forecast(orders * longer, money * longer, None, taken, note)


def _baseline(name: str, holdout: Any) -> Forecast:
    from regulars.clv import read_histories
    from regulars.clv.evaluate import baseline_predictions

    orders = baseline_predictions(read_histories(holdout), holdout["duration_holdout"].to_numpy(dtype=float))[name]
    bought = holdout["frequency"].to_numpy() > 0
    mean = float(holdout["monetary_value"].to_numpy(dtype=float)[bought].mean())
    worth = np.where(bought, holdout["monetary_value"].to_numpy(dtype=float), mean) if name == "same_rate" else mean
    return Forecast(orders, orders * worth, None, 0.0)


# ---- worlds ---------------------------------------------------------------------------------------------------------


@contextmanager
def _example(title: str, example: str, calibration_end: date, observation_end: date) -> Iterator[World]:
    from regulars.sql import connect

    settings = ROOT / "docs" / "examples" / example / "regulars.toml"
    sections: dict[str, Any] = {"value": {"as_of": observation_end}}
    with connect(settings, **sections) as database:
        yield World(title, database, calibration_end, observation_end)


def _cdnow(_customers: int) -> Any:
    return _example("CDNOW, one in ten", "cdnow", date(1997, 9, 30), date(1998, 6, 30))


def _online_retail(_customers: int) -> Any:
    return _example("Online Retail", "online_retail", date(2011, 9, 9), date(2011, 12, 9))


def _complete_journey(_customers: int) -> Any:
    return _example("The Complete Journey", "complete_journey", date(2017, 9, 30), date(2017, 12, 31))


@contextmanager
def _simulated(title: str, model: str, params: dict[str, float], customers: int, december: float) -> Iterator[World]:
    from regulars.clv import simulate_seasonal_purchases
    from regulars.sql import connect

    def pace(days: np.ndarray) -> np.ndarray:
        month = days.astype("datetime64[M]").astype(int) % 12
        return np.where(month == 11, december, 1.0)

    first, end, last = date(2021, 1, 1), date(2023, 9, 30), date(2023, 12, 31)
    days = simulate_seasonal_purchases(
        model, params, customers, first, last, pace=pace, seed=SEED, acquired_until=date(2023, 6, 30)
    )
    rng = np.random.default_rng(SEED)
    mean = 6.25 / rng.gamma(3.74, 1.0 / 15.44, customers)
    spent = rng.gamma(6.25, 1.0, len(days)) * mean[days["customer_id"].to_numpy()] / 6.25
    lines = days.rename(columns={"day": "ordered_at"}).assign(revenue=np.round(np.maximum(spent, 0.01), 2))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "orders.parquet"
        lines.to_parquet(path)
        with connect(orders=str(path), value={"as_of": last}) as database:
            yield World(title, database, end, last)


def _steady_world(customers: int) -> Any:
    params = {"r": 0.55, "alpha": 10.6, "s": 0.6, "beta": 30.0}
    return _simulated(f"a Pareto/NBD world of {customers:,}", "pareto_nbd", params, customers, 1.0)


def _seasonal_world(customers: int) -> Any:
    params = {"r": 0.5, "alpha": 8.0, "a": 0.6, "b": 3.0}
    return _simulated(f"a BG/NBD world of {customers:,} with thrice the Decembers", "bg_nbd", params, customers, 3.0)


WORLDS: dict[str, Callable[[int], Any]] = {
    "cdnow": _cdnow,
    "online-retail": _online_retail,
    "complete-journey": _complete_journey,
    "steady": _steady_world,
    "seasonal": _seasonal_world,
}
