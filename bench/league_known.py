"""What the worlds of the league know of customers besides their orders, and the models that read it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

RIDGE = 1.0
# Assumed of the shops whose data begin in the middle of their life, in weeks.
HISTORY = 104.0
FAMILIES = ("nbd", "bg_nbd", "mbg_nbd", "pareto_nbd")
_NAMES = {"nbd": "NBD", "bg_nbd": "BG/NBD", "mbg_nbd": "MBG/NBD", "pareto_nbd": "Pareto/NBD"}
TITLES = {
    **{f"covariates_{kind}": f"{name}, covariates" for kind, name in _NAMES.items()},
    **{f"segments_{kind}": f"{name}, segment priors" for kind, name in _NAMES.items()},
    **{f"before_{kind}": f"{name}, customers from before" for kind, name in _NAMES.items() if kind != "nbd"},
    "over_time_pareto_nbd": "Pareto/NBD, December over time",
}
_BASKET = "first_basket"
_DRAWN = "the world is drawn without any: customers differ by chance alone"


@dataclass(frozen=True)
class Known:
    """Covariates and levels by customer, (n,) in the holdout's order; what is not played, and why."""

    covariates: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()
    said: str = ""
    # are there customers from before the data, and is it known that all are?
    is_older: bool = False
    all_before: bool = False
    over_time: bool = False
    columns: Mapping[str, Any] = field(default_factory=dict)
    not_played: Mapping[str, str] = field(default_factory=dict)


def known_of(world: str, database: Any, holdout: Any, calibration_end: date) -> Known:
    """Return what is known of a world's customers at the calibration's end."""
    return _KNOWN[world](database, holdout, calibration_end)


def _first_baskets(database: Any, holdout: Any, end: date) -> Any:
    from regulars import clv

    summary = clv.rfm_summary(database, as_of=end).set_index("customer_id")
    first = summary["first_order_revenue"].reindex(holdout["customer_id"]).to_numpy(dtype=float)
    return np.log1p(np.maximum(first, 0.0))


def _cdnow(database: Any, holdout: Any, end: date) -> Known:
    basket = _first_baskets(database, holdout, end)
    fifth = np.searchsorted(np.quantile(basket, [0.2, 0.4, 0.6, 0.8]), basket)
    return Known(
        covariates=(_BASKET,),
        levels=("basket_fifth",),
        said="Nothing is known of these customers but their orders: the covariate is the first basket's logarithm, "
        "segments are its fifths.",
        columns={_BASKET: basket, "basket_fifth": [f"fifth {k + 1}" for k in fifth]},
        not_played={
            "customers from before": "everybody's first order lies in the data, in their first three months",
            "covariates over time": "nine months hold no December, and no mailings are known",
        },
    )


def _online_retail(database: Any, holdout: Any, end: date) -> Known:
    lines = database.sql(
        "SELECT customer_id, arg_min(channel, ordered_at) AS country FROM order_lines "
        "WHERE customer_id IS NOT NULL GROUP BY customer_id"
    ).to_pandas()
    by_customer = lines.set_index(lines["customer_id"].astype(str))["country"]
    country = by_customer.reindex(holdout["customer_id"].astype(str)).fillna("unknown")
    few = country.map(country.value_counts()) < 20
    return Known(
        covariates=(_BASKET, "country"),
        levels=("land",),
        said="Covariates are the first basket's logarithm and the country of the first order (those with fewer than 20 "
        f"customers are one), segments countries; customers may be from before the data, over {HISTORY:.0f} weeks.",
        is_older=True,
        columns={
            _BASKET: _first_baskets(database, holdout, end),
            "country": country.mask(few, "another").to_numpy(),
            "land": country.to_numpy(),
        },
        not_played={
            "covariates over time": "the one December is the first month of the data, in which first orders and others "
            "cannot be told apart, and no mailings are known"
        },
    )


def _complete_journey(database: Any, holdout: Any, end: date) -> Known:
    told = database.sql("SELECT customer_id, income FROM customers").to_pandas().set_index("customer_id")["income"]
    income = told.astype(object).reindex(holdout["customer_id"]).fillna("unknown").astype(str)
    return Known(
        covariates=(_BASKET, "income"),
        levels=("income",),
        said="Covariates are the first basket's logarithm and income (known of 801 households, unknown is a level of "
        "its own), segments levels of income; all households are from before the data, over "
        f"{HISTORY:.0f} weeks.",
        is_older=True,
        all_before=True,
        columns={_BASKET: _first_baskets(database, holdout, end), "income": income.to_numpy()},
        not_played={
            "covariates over time": "nine months hold no December, and who would get the holdout's mailings was not known"
        },
    )


def _drawn(_database: Any, _holdout: Any, _end: date) -> Known:
    return Known(
        said="The model with covariates over time knows which weeks lie in December, by the share of their days.",
        over_time=True,
        not_played={
            "covariates and segment priors": _DRAWN,
            "customers from before": "everybody's first order lies in the data",
        },
    )


_KNOWN: Mapping[str, Callable[[Any, Any, date], Known]] = {
    "cdnow": _cdnow,
    "online-retail": _online_retail,
    "complete-journey": _complete_journey,
    "steady": _drawn,
    "seasonal": _drawn,
}


def with_known(holdout: Any, known: Known) -> Any:
    """Return the holdout summary with what is known of its customers."""
    told = holdout.assign(**known.columns)
    if known.all_before:
        told["tenure"] = np.inf
    told.attrs = holdout.attrs
    return told


def static_models(known: Known, told: Any) -> dict[str, Callable[[], tuple[Any, Any]]]:
    """Return the unfitted models of orders and of spend by name, spend None for that of everybody."""
    from regulars import clv

    made: dict[str, Callable[[], tuple[Any, Any]]] = {}
    for kind in FAMILIES:
        if known.covariates:
            dropout = () if kind == "nbd" else known.covariates
            made[f"covariates_{kind}"] = lambda kind=kind, dropout=dropout: (
                clv.CovariateModel(kind, purchase=known.covariates, dropout=dropout, ridge=RIDGE),
                clv.SpendCovariateModel(known.covariates, ridge=RIDGE),
            )
        if known.levels:
            made[f"segments_{kind}"] = lambda kind=kind: (clv.SegmentPriorModel(kind, known.levels), None)
        if known.is_older and kind != "nbd":
            window = float(told["T"].max())
            made[f"before_{kind}"] = lambda kind=kind, window=window: (
                clv.LeftCensoredModel(kind, window=window, history=HISTORY),
                None,
            )
    return made


def december_over_time(database: Any, told: Any, end: date, last: date, horizon: float) -> tuple[Any, float]:
    """Return the orders that Pareto/NBD with covariates over time expects of everybody, and its seconds of fitting."""
    from regulars import clv

    purchases = database.query("customer_days").to_pandas()[["customer_id", "day"]]
    purchases["day"] = pd.to_datetime(purchases["day"])
    begin = purchases["day"].min() - pd.Timedelta(days=int(purchases["day"].min().weekday()))
    weeks = pd.date_range(begin, pd.Timestamp(last) + pd.Timedelta(days=7), freq="7D")
    days = weeks.to_numpy()[:, None] + np.arange(7).astype("timedelta64[D]")
    month = days.astype("datetime64[M]").astype(int) % 12
    covariates = pd.DataFrame({"period": weeks, "december": (month == 11).mean(axis=1)})
    known = purchases[purchases["day"] <= pd.Timestamp(end)]
    begun = time.perf_counter()
    paths = clv.read_covariate_paths(known, covariates, as_of=end)
    model = clv.TimeVaryingParetoNBDModel(purchase=["december"]).fit(paths)
    taken = time.perf_counter() - begun
    expected = pd.Series(model.expected_purchases(paths, horizon), index=paths.customer_id)
    return expected.loc[told["customer_id"]].to_numpy(), taken
