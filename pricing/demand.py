"""Expected units, revenue and margin of any price path, with intervals; demand that empty shelves hid.

``log expected demand = level(item, store) + season(category, week) + age + promotions + elasticity log price``. The
elasticity comes from an estimator that is held to identification (`elasticity.estimate_elasticities`) and is never
re-fitted here: forecasts and price response are judged by different measures. Level, season and age are fitted around
it by a negative binomial likelihood in which a week that sold out says only "at least so much". A shop discounts less
in weeks it knows to be good: how demand went with the depth of past discounts, beyond what the elasticity explains, is
fitted beside them ("timing"). It is history: it fills in past weeks and never enters a prediction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..sql.errors import ContractError, ModelError, nearest
from ..sql.frames import columns_of, frame_like
from .censored_poisson import fit_counts
from .demand_history import (
    first_ages,
    independent_columns,
    last_known,
    log_price_centre,
    panel_dates,
    period_days,
    read_elasticities,
    timing_of_discounts,
)
from .panel_arrays import PanelArrays, read_panel
from .season_kernels import poisson_quantiles
from .stock_outs import demand_given_sales, levels_given_sales

if TYPE_CHECKING:
    import pyarrow as pa

SEASONS = ("fourier", "week", "none")
FLAGS = ("promoted", "display", "mailer", "holiday")
_HARMONICS = 2
_DRAWS = 1000
_PLAIN = 1e6  # size at which a count is Poisson
_POOLED_WEEKS = 20.0  # weeks of its own after which an item's spread counts as much as its category's


@dataclass(frozen=True)
class WhatIf:
    """What a price path brings, against another.

    Attributes
    ----------
    items : frame
        A row per item: ``item, units, revenue, margin``, each with ``_lower, _upper``, and the same with ``_change``
        against the other path; margin is NaN where no cost is known. Kind of frame as the path's.
    total : frame
        One row, over all items.

    Examples
    --------
    >>> from regulars.pricing.simulate import simulate_prices
    >>> history = simulate_prices(items=2, stores=2, weeks=60, seed=2)
    >>> model = DemandModel(dict(zip(history.items, history.own))).fit(history.frame())
    >>> answer = model.what_if({"item": ["item_0000"], "week": ["2024-03-04"], "price": [1.0]})
    >>> answer.total.shape, bool((answer.items["units_lower"] < answer.items["units_upper"]).all())
    ((1, 18), True)
    """

    items: Any
    total: Any


@dataclass(frozen=True)
class _Category:
    """Season, age and promotions of one category: ``slope`` of the named columns, ``size`` of a row's shock."""

    names: tuple[str, ...]
    slope: np.ndarray
    size: float


@dataclass(frozen=True)
class _Rows:
    """Weeks and stores at prices: what is predicted."""

    item: np.ndarray
    store: np.ndarray  # index of the store, -1 for all
    week: np.ndarray
    price: np.ndarray
    flags: dict[str, np.ndarray] = field(default_factory=dict)
    timing: np.ndarray | None = None


class DemandModel:
    """Demand of items by week and price: fitted on a price panel, given how demand answers to price.

    Parameters
    ----------
    elasticities : frame or mapping
        A frame with ``item, elasticity`` and, if known, ``standard_error, accepted, reason`` (as
        ``contract.ELASTICITIES``); or elasticity by item, then taken as known without error. Items that were refused
        are left out, and asking for them repeats the reason.
    season : {"fourier", "week", "none"}
        Two yearly waves by category; or a level for each week of the year (which takes two years); or none. A panel
        shorter than a year has no season, whatever is asked: ``season_`` says what was done.
    half_life : float, optional
        Weeks after which a week counts half for an item's level; None counts all alike.
    seed : int
        Of the draws behind intervals.

    Attributes
    ----------
    items_ : tuple of str
        Items that can be asked for.
    left_out_ : dict of str to str
        Items of the panel that cannot, and why.
    season_ : str
    overdispersion_ : ndarray of shape (items,)
        tau^2: an item's units in a week, all stores together, have the variance ``m + tau^2 m^2``.
    level_error_ : ndarray of shape (items,)
        Standard error of the logarithm of the item's level.
    persistence_ : float
        Correlation of an item's shocks from week to week.

    Examples
    --------
    >>> from regulars.pricing.simulate import simulate_prices
    >>> history = simulate_prices(items=4, stores=3, weeks=120, seed=2)
    >>> model = DemandModel(dict(zip(history.items, history.own))).fit(history.frame(slice(0, 104)))
    >>> path = {"item": ["item_0001"] * 2, "week": ["2024-12-30", "2025-01-06"], "price": [3.99, 2.99]}
    >>> predicted = model.predict(path)
    >>> bool(predicted["units"][1] > predicted["units"][0]), list(predicted.columns)[:5]
    (True, ['item', 'week', 'price', 'units', 'units_lower'])
    """

    def __init__(
        self, elasticities: Any, *, season: str = "fourier", half_life: float | None = 52.0, seed: int = 20261121
    ) -> None:
        if season not in SEASONS:
            raise ModelError(f"season is {season!r}{nearest(season, SEASONS)}; it is one of {', '.join(SEASONS)}.")
        if half_life is not None and not half_life > 0.0:
            raise ModelError(f"half_life is {half_life}; give weeks above 0, or None to count all weeks alike.")
        self.elasticities, self.season, self.half_life, self.seed = elasticities, season, half_life, seed

    def fit(self, panel: Any) -> "DemandModel":
        """Fit on a frame in the shape of ``contract.PRICE_PANEL``; ``item, week, units, price`` are needed.

        Raises
        ------
        ContractError
            As `panel_arrays.read_panel`; or elasticities without the columns they need.
        ModelError
            Where no item of the panel has an elasticity that was accepted.
        """
        self._given = panel
        arrays = read_panel(panel)
        known, refused = read_elasticities(self.elasticities)
        self.left_out_ = {item: refused.get(item, "it has no elasticity") for item in arrays.items if item not in known}
        self.items_ = tuple(item for item in arrays.items if item in known)
        if not self.items_:
            raise ModelError(
                f"none of the panel's {len(arrays.items)} items has an elasticity that may be used; the first, "
                f"{arrays.items[0]!r}: {self.left_out_[arrays.items[0]]}"
            )
        self._row = {item: i for i, item in enumerate(self.items_)}
        self.stores_ = arrays.stores
        self.elasticity_ = np.array([known[item][0] for item in self.items_])
        self.standard_error_ = np.array([known[item][1] for item in self.items_])
        code = np.array([self._row.get(item, -1) for item in arrays.items])[arrays.item]
        rows = np.flatnonzero(code >= 0)
        self._fit_rows(arrays, rows, code[rows])
        return self

    def _fit_rows(self, arrays: PanelArrays, rows: np.ndarray, item: np.ndarray) -> None:
        n, n_stores = len(self.items_), len(arrays.stores)
        self._units = arrays.units[rows]
        self._sold_out = np.zeros(len(rows), np.bool_) if arrays.sold_out is None else arrays.sold_out[rows]
        self._knows_stock = arrays.sold_out is not None
        price = arrays.price[rows]
        flags = {name: arrays.columns[name][rows] for name in FLAGS if name in arrays.columns}
        timing = timing_of_discounts(item, price, arrays.columns.get("regular_price", arrays.price)[rows], n)
        self._data = _Rows(item, arrays.store[rows], arrays.weeks[arrays.week[rows]], price, flags, timing)
        if arrays.holiday is not None:
            self._data.flags["holiday"] = arrays.holiday[rows].astype(np.float64)
        self.period_ = period_days(arrays.weeks)
        span = int((arrays.weeks[-1] - arrays.weeks[0]).astype(int))
        self.season_ = self.season if span >= (364 if self.season == "fourier" else 728) else "none"
        if self.season == "week" and self.season_ == "none" and span >= 364:
            self.season_ = "fourier"
        self._first_age = first_ages(arrays, rows, item, n)
        self._last_of(arrays, rows, item, n)
        self._centre = log_price_centre(item, np.log(self._data.price), self._units, n)
        paths = [arrays.path[i] for i in np.flatnonzero([name in self._row for name in arrays.items])]
        names = [path[0] if path else "" for path in paths]
        self._category = np.unique(names, return_inverse=True)[1]
        group = item * n_stores + self._data.store
        self._level = np.full(n * n_stores, -np.inf)
        self._categories: list[_Category] = []
        log_mean = np.empty(len(rows))
        for category in range(int(self._category.max()) + 1):
            at = np.flatnonzero(self._category[item] == category)
            log_mean[at] = self._fit_category(at, group)
        self._mean = np.exp(log_mean)
        size = np.array([c.size for c in self._categories])[self._category[item]]
        self._imputed = demand_given_sales(self._units, self._mean, self._sold_out, size)
        self._fit_spread(item)

    def _fit_category(self, at: np.ndarray, group: np.ndarray) -> np.ndarray:
        """Fit the rows of one category; set its levels, return the log of each row's mean."""
        data = self._data
        flags = {name: values[at] for name, values in data.flags.items()}
        timing = None if data.timing is None else data.timing[at]
        rows = _Rows(data.item[at], data.store[at], data.week[at], data.price[at], flags, timing)
        names, x = self._regressors(rows)
        codes, own = np.unique(group[at], return_inverse=True)
        offset = self._response(rows)
        sold_out = self._sold_out[at]
        kept = independent_columns(x, own)
        if int((rows.week.max() - rows.week.min()).astype(int)) < 364:
            # a category younger than a year: its first months are no season
            kept = [k for k in kept if not names[k].startswith(("sin_", "cos_", "week_"))]
        if not self._units[at][~sold_out].any():
            kept = []
        x, names = x[:, kept], tuple(names[k] for k in kept)
        slope, size = np.zeros(len(kept)), _PLAIN
        if self._units[at][~sold_out].any():
            fit = fit_counts(self._units[at], x, own, offset=offset, sold_out=sold_out if sold_out.any() else None)
            slope, size = fit.slope, fit.size
        self._categories.append(_Category(names, slope, size))
        shape = np.exp(x @ slope + offset)
        weight = np.ones(len(at))
        if self.half_life is not None:
            weeks_ago = (data.week.max() - rows.week).astype(np.int64) / 7.0
            weight = 0.5 ** (weeks_ago / self.half_life)
        level = levels_given_sales(self._units[at], shape, own, len(codes), weight, sold_out, size)
        self._level[codes] = np.log(level)
        return np.log(shape * level[own])

    def _fit_spread(self, item: np.ndarray) -> None:
        """Spread of an item's weekly total around its mean, how long shocks last, and what that leaves of the level."""
        n = len(self.items_)
        weeks, week = np.unique(self._data.week, return_inverse=True)
        cell = item * len(weeks) + week
        shape = (n, len(weeks))
        total, mean, cut = (
            np.bincount(cell, values, n * len(weeks)).reshape(shape)
            for values in (self._imputed, self._mean, np.where(self._sold_out, self._mean, 0.0))
        )
        # a week whose demand is mostly guessed says little of its spread
        told = (mean > 0.0) & (cut < 0.2 * mean)
        off = np.where(told, total - mean, 0.0)
        square, base = np.where(told, off**2 - mean, 0.0), np.where(told, mean**2, 0.0)
        pooled = max(square.sum() / max(base.sum(), 1e-300), 0.0)
        own = square.sum(axis=1) / np.maximum(base.sum(axis=1), 1e-300)
        count = told.sum(axis=1)
        self.overdispersion_ = np.maximum((count * own + _POOLED_WEEKS * pooled) / (count + _POOLED_WEEKS), 0.0)
        both = told[:, 1:] & told[:, :-1]
        moved = (off[:, 1:] * off[:, :-1])[both].sum() / max((mean[:, 1:] * mean[:, :-1])[both].sum(), 1e-300)
        self.persistence_ = float(np.clip(moved / pooled, 0.0, 0.95)) if pooled > 1e-6 else 0.0
        weight = np.ones(len(weeks))
        if self.half_life is not None:
            weight = 0.5 ** ((weeks[-1] - weeks).astype(np.int64) / 7.0 / self.half_life)
        shocks = (weight * mean) ** 2
        carried, lagged = np.zeros(n), np.zeros(n)
        for t in range(len(weeks)):
            lagged += carried * weight[t] * mean[:, t]
            carried = self.persistence_ * (carried + weight[t] * mean[:, t])
        variance = (weight**2 * mean).sum(axis=1) + self.overdispersion_ * (shocks.sum(axis=1) + 2.0 * lagged)
        self.level_error_ = np.sqrt(variance) / np.maximum((weight * mean).sum(axis=1), 1e-300)

    def expected_units(
        self,
        price: np.ndarray,
        first_week: Any,
        weeks: int,
        *,
        items: Sequence[str] | None = None,
        integrate: bool = False,
    ) -> np.ndarray:
        """Return expected units of all stores, for markdown planning: shape (items, weeks, rungs).

        Parameters
        ----------
        price : ndarray of shape (items, rungs) or (items, weeks, rungs)
        first_week : date
            Of the plan; weeks follow each other at the panel's period.
        weeks : int
        items : sequence of str, optional
            Rows of ``price``; `items_` without.
        integrate : bool
            Whether the mean is taken over the elasticity's error: ``exp(se^2 z^2 / 2)`` more, z the log price's
            distance from the prices seen. Without, the elasticity is taken at its estimate.

        Raises
        ------
        ModelError
            Items that are not known, or prices that are not above 0 or of another shape.
        """
        names = self.items_ if items is None else tuple(map(str, items))
        item = self._known(names)
        price = np.asarray(price, dtype=np.float64)
        if price.ndim == 2:
            price = np.broadcast_to(price[:, None, :], (len(price), weeks, price.shape[1]))
        if price.ndim != 3 or price.shape[:2] != (len(names), weeks) or not (price > 0.0).all():
            raise ModelError(
                f"price has shape {price.shape}; give prices above 0 of shape ({len(names)}, rungs) or "
                f"({len(names)}, {weeks}, rungs)."
            )
        dates = panel_dates(first_week) + self.period_ * np.arange(weeks)
        rows = _Rows(np.repeat(item, weeks), np.full(len(item) * weeks, -1), np.tile(dates, len(item)),
                     np.exp(np.repeat(self._centre[item], weeks)))  # fmt: skip
        at_centre = self._means(rows).reshape(len(item), weeks, 1)
        z = np.log(price) - self._centre[item, None, None]
        units = at_centre * np.exp(self.elasticity_[item, None, None] * z)
        if integrate:
            units = units * np.exp(0.5 * (self.standard_error_[item, None, None] * z) ** 2)
        return units

    def predict(self, price_path: Any, *, interval: float = 0.9) -> Any:
        """Return expected units and revenue of each row of a price path, with intervals.

        Parameters
        ----------
        price_path : frame or mapping
            ``item, week, price``; if given, ``store_id`` (without it all stores are priced alike), ``unit_cost`` and
            the flags of `FLAGS` that the panel has (0 without).
        interval : float
            Probability that the interval holds the units sold, were stock unlimited.

        Returns
        -------
        frame
            Of the path's kind, rows in its order: ``item, week, price, units, units_lower, units_upper, revenue,
            revenue_lower, revenue_upper`` (and ``store_id`` where given). ``units`` is the expectation at the
            elasticity's estimate; intervals hold the error of elasticity and level and the chance of demand.

        Raises
        ------
        ModelError
            Items or stores that are not known or were left out, prices not above 0.
        ContractError
            A missing column.
        """
        import pyarrow as pa

        rows, given = self._read_path(price_path)
        mean, low, high = self._means(rows), np.empty(len(rows.item)), np.empty(len(rows.item))
        edges = _edges(interval)
        for i in np.unique(rows.item):
            at = np.flatnonzero(rows.item == i)
            low[at], high[at] = np.quantile(self._draws(rows, at, mean[at]), edges, axis=0)
        found = {"item": pa.array(given["item"]), "week": pa.array(rows.week), "price": rows.price}
        if "store_id" in given:
            found["store_id"] = pa.array(given["store_id"])
        for name, factor in (("units", 1.0), ("revenue", rows.price)):
            found |= {name: mean * factor, f"{name}_lower": low * factor, f"{name}_upper": high * factor}
        return frame_like(price_path, pa.table(found))

    def what_if(self, price_path: Any, against: Any = None, *, interval: float = 0.9) -> WhatIf:
        """Return units, revenue and margin of a price path, and how they differ from another path.

        Parameters
        ----------
        price_path : frame or mapping
            As in `predict`.
        against : frame or mapping, optional
            Another path; without it the same items, stores and weeks at each item's last regular price (last price
            paid, where the panel has no regular price).
        interval : float
            Probability of the intervals. Both paths share elasticity, level and shocks in every draw, so a change is
            known better than either path.

        Raises
        ------
        ModelError, ContractError
            As `predict`.
        """
        import pyarrow as pa

        rows, given = self._read_path(price_path)
        if against is None:
            other, other_given = _Rows(rows.item, rows.store, rows.week, self.last_price_[rows.item]), given
        else:
            other, other_given = self._read_path(against)
        cost, other_cost = self._costs(rows, given), self._costs(other, other_given)
        mean, other_mean = self._means(rows), self._means(other)
        order, edges = np.unique(np.concatenate([rows.item, other.item])), _edges(interval)
        measures, totals = [], []
        for i in order:
            both = []
            for path, means, costs in ((rows, mean, cost), (other, other_mean, other_cost)):
                at = np.flatnonzero(path.item == i)
                # the expectation stands as draw 0
                units = np.concatenate([means[at][None], self._draws(path, at, means[at])])
                money, margin = units @ path.price[at], units @ (path.price[at] - costs[at])
                both.append(np.stack([units.sum(axis=1), money, margin]))
            measures.append(np.concatenate([both[0], both[0] - both[1]]))
        totals = np.sum(measures, axis=0)[None]
        names = [f"{m}{c}" for c in ("", "_change") for m in ("units", "revenue", "margin")]

        def table(label: list[str] | None, drawn: np.ndarray) -> "pa.Table":
            low, high = np.quantile(drawn[:, :, 1:], edges, axis=2)
            found: dict[str, Any] = {} if label is None else {"item": label}
            for k, name in enumerate(names):
                found |= {name: drawn[:, k, 0], f"{name}_lower": low[:, k], f"{name}_upper": high[:, k]}
            return pa.table(found)

        by_item = table([self.items_[i] for i in order], np.array(measures))
        return WhatIf(frame_like(price_path, by_item), frame_like(price_path, table(None, totals)))

    def prices_seen(self, item: str) -> tuple[float, float]:
        """Return the lowest and the highest price of an item in the panel: beyond them demand is extrapolated.

        Raises
        ------
        ModelError
            The item is not known or was left out.
        """
        price = self._data.price[self._data.item == self._known([item])[0]]
        return float(price.min()), float(price.max())

    def lost_demand(self) -> Any:
        """Return what empty shelves hid: a row per row of the panel that sold out, sorted by item, store and week.

        Columns: ``item, store_id, week, units, expected_demand, lost_units, lost_revenue``; the expectation is of
        demand given that at least ``units`` were asked for, lost units are what of it was not sold. The kind of frame
        is the panel's.

        Raises
        ------
        ModelError
            Where the panel knows no stock: then nothing says which weeks sold out.
        """
        import pyarrow as pa

        if not self._knows_stock:
            raise ModelError(
                "the panel has neither sold_out nor on_hand: nothing says which weeks sold out. Name the stock table "
                "under [stock], or add a column sold_out."
            )
        at = np.flatnonzero(self._sold_out)
        lost = self._imputed[at] - self._units[at]
        found = {
            "item": [self.items_[i] for i in self._data.item[at]],
            "store_id": [self.stores_[s] for s in self._data.store[at]],
            "week": pa.array(self._data.week[at]),
            "units": self._units[at],
            "expected_demand": self._imputed[at],
            "lost_units": lost,
            "lost_revenue": lost * self._data.price[at],
        }
        return frame_like(self._given, pa.table(found))

    def _means(self, rows: _Rows) -> np.ndarray:
        """Expected units of rows, all stores together where none is named."""
        names, x = self._regressors(rows)
        slope = np.zeros((len(self._categories), len(names)))
        for c, category in enumerate(self._categories):
            slope[c, [names.index(name) for name in category.names]] = category.slope
        rest = np.exp((x * slope[self._category[rows.item]]).sum(axis=1) + self._response(rows))
        levels = np.exp(self._level).reshape(len(self.items_), -1)
        level = np.where(rows.store < 0, levels.sum(axis=1)[rows.item], levels[rows.item, np.maximum(rows.store, 0)])
        return level * rest

    def _response(self, rows: _Rows) -> np.ndarray:
        return self.elasticity_[rows.item] * (np.log(rows.price) - self._centre[rows.item])

    def _regressors(self, rows: _Rows) -> tuple[list[str], np.ndarray]:
        columns: dict[str, np.ndarray] = {}
        year = rows.week.astype("datetime64[Y]")
        day = (rows.week - year.astype("datetime64[D]")).astype(np.int64)
        if self.season_ == "fourier":
            length = ((year + 1).astype("datetime64[D]") - year.astype("datetime64[D]")).astype(np.int64)
            for k in range(1, _HARMONICS + 1):
                angle = 2.0 * np.pi * k * day / length
                columns |= {f"sin_{k}": np.sin(angle), f"cos_{k}": np.cos(angle)}
        elif self.season_ == "week":
            week = np.minimum(day // 7, 51)
            columns |= {f"week_{w:02d}": (week == w).astype(np.float64) for w in range(1, 52)}
        if np.isfinite(self._first_age).any():
            launched = self._first_age[rows.item]
            age = (rows.week - self._epoch).astype(np.int64) / 7.0 + launched
            columns["log_age"] = np.where(np.isfinite(age), np.log1p(np.maximum(age, 0.0)), 0.0)
        for name in self._data.flags:
            columns[name] = np.nan_to_num(rows.flags.get(name, np.zeros(len(rows.item))))
        columns["timing"] = np.zeros(len(rows.item)) if rows.timing is None else rows.timing
        return list(columns), np.stack(list(columns.values()), axis=1)

    def _draws(self, rows: _Rows, at: np.ndarray, mean: np.ndarray) -> np.ndarray:
        """Units drawn for the rows of one item (draws, rows): error of elasticity and level, shocks, chance."""
        i = int(rows.item[at[0]])
        # an item's draws are its own whatever else is asked for, and the same for two paths
        rng = np.random.default_rng((self.seed, i))
        response = rng.standard_normal((_DRAWS, 1)) * self.standard_error_[i]
        level = rng.standard_normal((_DRAWS, 1)) * self.level_error_[i]
        spread = np.log1p(self.overdispersion_[i]) ** 0.5
        weeks, week = np.unique(rows.week[at], return_inverse=True)
        shock = rng.standard_normal((len(weeks), _DRAWS))
        for t in range(1, len(weeks)):
            kept = self.persistence_ ** ((weeks[t] - weeks[t - 1]).astype(np.int64) / self.period_)
            shock[t] = kept * shock[t - 1] + (1.0 - kept**2) ** 0.5 * shock[t]
        log_units = response * (np.log(rows.price[at]) - self._centre[i]) + level
        log_units = log_units + spread * shock.T[:, week] - 0.5 * spread**2
        expected = np.minimum(mean * np.exp(log_units), 1e15)
        return _quantile_of_poisson(rng.uniform(size=(len(weeks), _DRAWS)).T[:, week], expected)

    def _known(self, names: Sequence[str]) -> np.ndarray:
        wrong = [name for name in names if name not in self._row]
        if wrong:
            why = self.left_out_.get(wrong[0], f"the panel does not have it{nearest(wrong[0], self.items_)}")
            raise ModelError(
                f"{len(set(wrong))} of the items cannot be predicted; the first, {wrong[0]!r}: {why}. Leave them out, "
                "or fit on a panel and elasticities that have them."
            )
        return np.array([self._row[name] for name in names], dtype=np.int64)

    def _read_path(self, path: Any) -> tuple[_Rows, dict[str, Any]]:
        frame = columns_of(path, "a price path")
        for name in ("item", "week", "price"):
            if name not in frame:
                raise ContractError(
                    f"the price path has no column {name!r}{nearest(name, list(frame))}; needed are item, week, price."
                )
        given: dict[str, Any] = {"item": [str(v) for v in frame["item"]]}
        item = self._known(given["item"])
        price = np.asarray(frame["price"], dtype=np.float64)
        week = panel_dates(frame["week"])
        if not ((price > 0.0) & np.isfinite(price)).all():
            wrong = int(np.flatnonzero(~((price > 0.0) & np.isfinite(price)))[0])
            raise ModelError(
                f"the price path's price is {price[wrong]:g} for item {given['item'][wrong]!r} in {week[wrong]}; "
                "a price is above 0."
            )
        store = np.full(len(item), -1)
        if "store_id" in frame:
            given["store_id"] = [str(v) for v in frame["store_id"]]
            place = {name: s for s, name in enumerate(self.stores_)}
            unknown = [name for name in given["store_id"] if name not in place]
            if unknown:
                raise ModelError(f"store {unknown[0]!r} is not in the panel{nearest(unknown[0], self.stores_)}.")
            store = np.array([place[name] for name in given["store_id"]])
        if "unit_cost" in frame:
            given["unit_cost"] = np.asarray(frame["unit_cost"], dtype=np.float64)
        flags = {n: np.asarray(frame[n], dtype=np.float64) for n in FLAGS if n in frame and n in self._data.flags}
        return _Rows(item, store, week, price, flags), given

    def _costs(self, rows: _Rows, given: Mapping[str, Any]) -> np.ndarray:
        return given["unit_cost"] if "unit_cost" in given else self.last_cost_[rows.item]

    def _last_of(self, arrays: PanelArrays, rows: np.ndarray, item: np.ndarray, n: int) -> None:
        """Last price and cost known of each item: the mean over its stores in their last week."""
        self._epoch = arrays.weeks[0]
        regular = arrays.columns.get("regular_price", arrays.price)[rows]
        self.last_price_ = last_known(
            item, arrays.week[rows], np.where(np.isnan(regular), arrays.price[rows], regular), n
        )
        cost = arrays.columns.get("unit_cost")
        self.last_cost_ = np.full(n, np.nan) if cost is None else last_known(item, arrays.week[rows], cost[rows], n)


def _edges(interval: float) -> tuple[float, float]:
    if not 0.0 < interval < 1.0:
        raise ModelError(f"interval is {interval}; it is a probability in (0, 1), such as 0.9.")
    return (1.0 - interval) / 2.0, (1.0 + interval) / 2.0


def _quantile_of_poisson(luck: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Smallest count whose distribution function reaches ``luck``; for large means by the normal's, corrected."""
    from scipy.special import ndtri

    z = ndtri(np.clip(luck, 1e-15, 1.0 - 1e-15))
    # Cornish and Fisher's first correction: the third cumulant of a Poisson is its mean
    rough = np.maximum(np.round(mean + z * np.sqrt(mean) + (z**2 - 1.0) / 6.0), 0.0)
    small = mean < 30.0
    exact = np.empty(int(small.sum()))
    poisson_quantiles(np.minimum(luck[small], 1.0 - 1e-12), mean[small], exact)
    rough[small] = exact
    return rough
