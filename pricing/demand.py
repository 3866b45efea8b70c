"""Expected units, revenue and margin of any price path, with intervals; demand that empty shelves hid.

``log expected demand = level(item, store) + season(category, week) + age + promotions + elasticity log price``. The
elasticity comes from an estimator that is held to identification (`elasticity.estimate_elasticities`) and is never
re-fitted here: forecasts and price response are judged by different measures. Level, season and age are fitted around
it by a negative binomial likelihood in which a week that sold out says only "at least so much". A shop discounts less
in weeks it knows to be good: how demand went with the depth of past discounts, beyond what the elasticity explains, is
fitted beside them ("timing"). It is history: it fills in past weeks and never enters a prediction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from ..sql.errors import ModelError, nearest
from ..sql.findings import Finding
from ..sql.frames import columns_of, frame_like
from .demand_fit import Shape, ahead_of_timing, fit_shape
from .demand_history import (
    are_numbers,
    competitor_means,
    demand_findings,
    first_ages,
    last_known,
    log_price_centre,
    panel_dates,
    period_days,
    season_columns,
    timing_of_discounts,
)
from .demand_paths import (
    DemandRows,
    interval_edges,
    is_number,
    path_columns,
    path_numbers,
    read_elasticities,
    stores_named,
    within_reach,
)
from .demand_spread import DRAWS, fit_spread, slopes_drawn, units_drawn
from .panel_arrays import PanelArrays, read_panel
from .stock_outs import demand_given_sales, levels_given_sales, lost_between

if TYPE_CHECKING:
    import pyarrow as pa

SEASONS = ("fourier", "week", "none")
FLAGS = ("promoted", "display", "mailer", "holiday")
_TIMING = ("timing", "discounted")  # of history alone
_SLOPES = 1_000_000  # the seed's second part, of draws that a category's items share


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
    findings : tuple of Finding
        What a reader must know, as the model's ``findings_``.

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
    findings: tuple[Finding, ...] = ()


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
        shorter than a year has no season, whatever is asked: ``season_`` says what was done. Unless none was asked
        for, intervals then hold a season of a usual size: a first yearly wave whose two terms have a standard deviation
        of .15 in log demand, a second of half of that.
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
    findings_ : tuple of Finding
        What a reader of the predictions, and of the lost demand, must know.

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
            raise ModelError(f"season is {season!r}{nearest(str(season), SEASONS)}; it is one of {', '.join(SEASONS)}.")
        if half_life is not None and not (is_number(half_life) and half_life > 0.0):
            raise ModelError(f"half_life is {half_life!r}; give weeks above 0, or None to count all weeks alike.")
        if not isinstance(seed, (int, np.integer)) or seed < 0:
            raise ModelError(f"seed is {seed!r}; give a whole number from 0.")
        self.elasticities, self.season, self.half_life, self.seed = elasticities, season, half_life, seed

    def fit(self, panel: Any) -> "DemandModel":
        """Fit on a frame in the shape of ``contract.PRICE_PANEL``; ``item, week, units, price`` are needed.

        Raises
        ------
        ContractError
            As `panel_arrays.read_panel`; or elasticities without the columns they need, above 0, or with errors that
            are none.
        ModelError
            Where no item of the panel has an elasticity that was accepted.
        """
        self._given = panel
        arrays = read_panel(panel)
        self._numbered = are_numbers(columns_of(panel, "a price panel")["week"])
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
        self._competitor_mean = competitor_means(panel, self._row)
        code = np.array([self._row.get(item, -1) for item in arrays.items])[arrays.item]
        rows = np.flatnonzero(code >= 0)
        self._fit_rows(arrays, rows, code[rows])
        self.findings_ = self._findings(arrays)
        return self

    def _fit_rows(self, arrays: PanelArrays, rows: np.ndarray, item: np.ndarray) -> None:
        n, n_stores = len(self.items_), len(arrays.stores)
        self._units = arrays.units[rows]
        self._sold_out = np.zeros(len(rows), np.bool_) if arrays.sold_out is None else arrays.sold_out[rows]
        self._knows_stock = arrays.sold_out is not None
        price = arrays.price[rows]
        flags = {name: arrays.columns[name][rows] for name in FLAGS if name in arrays.columns}
        flagged = np.nan_to_num(flags.get("promoted", np.zeros(len(rows)))) > 0.0
        regular = arrays.columns.get("regular_price", arrays.price)[rows]
        timing, self._promoted = timing_of_discounts(item, price, regular, flagged, n)
        # what discounts bring besides their price a flag says; without one, and only where shelves ran empty, timing
        unsaid = "promoted" not in flags and self._sold_out.any()
        discounted = self._promoted.astype(np.float64) if unsaid else np.zeros(len(rows))
        if arrays.holiday is not None:
            flags["holiday"] = arrays.holiday[rows].astype(np.float64)
        theirs = arrays.columns.get("log_competitor_price")
        self._data = DemandRows(
            item, arrays.store[rows], arrays.weeks[arrays.week[rows]], price, flags,
            None if theirs is None else np.nan_to_num(theirs[rows]), np.stack([timing, discounted], axis=1),
        )  # fmt: skip
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
        self._shapes: list[Shape] = []
        self._usual: np.ndarray = np.zeros((n, 0))
        log_mean, self._size, self._timed = np.empty(len(rows)), np.empty(len(rows)), np.zeros(len(rows))
        every = range(int(self._category.max()) + 1)
        for category in tqdm(every, desc="demand of categories", disable=None, leave=False):
            at = np.flatnonzero(self._category[item] == category)
            log_mean[at] = self._fit_category(at, group)
        self._mean = np.exp(log_mean)
        self._imputed = demand_given_sales(self._units, self._mean, self._sold_out, self._size)
        self._fit_spread(item)

    def _fit_category(self, at: np.ndarray, group: np.ndarray) -> np.ndarray:
        """Fit the rows of one category; set its levels, return the log of each row's mean."""
        data, sold_out, units = self._data.take(at), self._sold_out[at], self._units[at]
        names, x = self._regressors(data)
        codes, own = np.unique(group[at], return_inverse=True)
        offset = self._response(data)
        shape = fit_shape(
            units, x, names, own, data.week, offset=offset, sold_out=sold_out, promoted=self._promoted[at]
        )
        shape, x = ahead_of_timing(shape, x[:, [names.index(name) for name in shape.names]])
        self._shapes.append(shape)
        size = shape.size[self._promoted[at].astype(np.int64)]
        expected = np.exp(x @ shape.slope + offset)
        weight = self._weight(data.week)
        level = levels_given_sales(units, expected, own, len(codes), weight, sold_out, size)
        self._level[codes], self._size[at] = np.log(level), size
        timing = [k for k, name in enumerate(shape.names) if name in _TIMING]
        self._timed[at] = x[:, timing] @ shape.slope[timing]
        # a level is learnt where its weeks lie: an error of the slopes counts away from there
        worth = weight * expected * level[own]
        n = len(self.items_)
        if self._usual.shape[1] < len(names):
            self._usual = np.zeros((n, len(names)))
        whole = np.maximum(np.bincount(data.item, worth, n), 1e-300)
        mine = self._category == len(self._shapes) - 1
        for k, name in enumerate(shape.names):
            self._usual[mine, names.index(name)] = (np.bincount(data.item, worth * x[:, k], n) / whole)[mine]
        return np.log(expected * level[own])

    def _weight(self, week: np.ndarray) -> np.ndarray:
        if self.half_life is None:
            return np.ones(len(week))
        return 0.5 ** ((self._data.week.max() - week).astype(np.int64) / 7.0 / self.half_life)

    def _fit_spread(self, item: np.ndarray) -> None:
        weeks, week = np.unique(self._data.week, return_inverse=True)
        shape = (len(self.items_), len(weeks))
        # what timing tells of past shocks is not known of those to come: the spread holds it
        ahead = self._mean * np.exp(-self._timed)
        total, mean, guessed = (
            np.bincount(item * len(weeks) + week, values, shape[0] * shape[1]).reshape(shape)
            for values in (self._imputed, ahead, np.where(self._sold_out, ahead, 0.0))
        )
        found = fit_spread(total, mean, guessed, self._weight(weeks))
        self.overdispersion_, self.persistence_ = found.overdispersion, found.persistence
        self.level_error_ = found.level_error

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
        if not isinstance(weeks, (int, np.integer)) or isinstance(weeks, bool) or weeks < 1:
            raise ModelError(f"weeks is {weeks!r}; give a whole number from 1.")
        try:
            price = np.asarray(price, dtype=np.float64)
        except (TypeError, ValueError):
            raise ModelError(f"price holds values that are no numbers: {price!r}; give an array of prices.") from None
        if price.ndim == 2:
            price = np.broadcast_to(price[:, None, :], (len(price), weeks, price.shape[1]))
        if price.ndim != 3 or price.shape[:2] != (len(names), weeks) or not ((price > 0.0) & np.isfinite(price)).all():
            raise ModelError(
                f"price has shape {price.shape}; give prices above 0 of shape ({len(names)}, rungs) or "
                f"({len(names)}, {weeks}, rungs)."
            )
        dates = panel_dates(first_week, self._numbered) + self.period_ * np.arange(weeks)
        rows = DemandRows(np.repeat(item, weeks), np.full(len(item) * weeks, -1), np.tile(dates, len(item)),
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
            ``item, week, price``; if given, ``store_id`` (without it all stores are priced alike), ``unit_cost``,
            ``competitor_price`` (the last known of the item without, where the panel has any) and the flags of `FLAGS`
            that the panel has (0 without).
        interval : float
            Probability that the interval holds the units sold, were stock unlimited.

        Returns
        -------
        frame
            Of the path's kind, rows in its order: ``item, week, price, units, units_lower, units_upper, revenue,
            revenue_lower, revenue_upper`` (and ``store_id`` where given). ``units`` is the expectation at the
            elasticity's estimate; intervals hold the errors of elasticity, level, season and what else was fitted, and
            the chance of demand.

        Raises
        ------
        ModelError
            Items or stores that are not known or were left out, prices 50 times beyond those seen; or before `fit`.
        ContractError
            A missing column or week, prices that are not above 0, costs below 0, values that are no numbers.
        """
        import pyarrow as pa

        rows, given = self._read_path(price_path)
        mean, low, high = self._means(rows), np.empty(len(rows.item)), np.empty(len(rows.item))
        edges = interval_edges(interval)
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

        edges = interval_edges(interval)
        rows, given = self._read_path(price_path)
        if not len(rows.item):
            raise ModelError("the price path has no row; give items, weeks and prices to ask for.")
        if against is None:
            usual = self.last_price_[rows.item]
            other, other_given = DemandRows(rows.item, rows.store, rows.week, usual, {}, rows.competitor), given
        else:
            other, other_given = self._read_path(against)
            alone = np.setxor1d(rows.item, other.item)
            if len(alone):
                raise ModelError(
                    f"{len(alone)} items are in one of the two paths alone; the first, {self.items_[alone[0]]!r}. Give "
                    "both paths the same items."
                )
        cost, other_cost = self._costs(rows, given), self._costs(other, other_given)
        mean, other_mean = self._means(rows), self._means(other)
        order = np.unique(rows.item)
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
        return WhatIf(frame_like(price_path, by_item), frame_like(price_path, table(None, totals)), self.findings_)

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

        Columns: ``item, store_id, week, units, expected_demand, lost_units, lost_units_lower, lost_units_upper,
        lost_revenue``; the expectation is of demand given that at least ``units`` were asked for, lost units are what
        of it was not sold, between bounds (90%) that hold chance and the errors of level and slopes. The kind of frame
        is the panel's. `findings_` says where hardly any promoted week kept stock, so that little is known.

        Raises
        ------
        ModelError
            Where the panel knows no stock: then nothing says which weeks sold out; or before `fit`.
        """
        import pyarrow as pa

        self._fitted()
        if not self._knows_stock:
            raise ModelError(
                "the panel has neither sold_out nor on_hand: nothing says which weeks sold out. Name the stock table "
                "under [stock], or add a column sold_out."
            )
        at = np.flatnonzero(self._sold_out)
        rows = self._data.take(at)
        lost = self._imputed[at] - self._units[at]
        doubt = self.level_error_[rows.item] ** 2 + self._doubt(rows)
        lower, upper = lost_between(self._units[at], self._mean[at], self._size[at], doubt, (0.05, 0.95))
        found = {
            "item": [self.items_[i] for i in rows.item],
            "store_id": [self.stores_[s] for s in rows.store],
            "week": pa.array(rows.week),
            "units": self._units[at],
            "expected_demand": self._imputed[at],
            "lost_units": lost,
            "lost_units_lower": np.minimum(lower, lost),
            "lost_units_upper": np.maximum(upper, lost),
            "lost_revenue": lost * rows.price,
        }
        return frame_like(self._given, pa.table(found))

    def _means(self, rows: DemandRows) -> np.ndarray:
        """Expected units of rows, all stores together where none is named."""
        names, x = self._regressors(rows)
        slope = np.zeros((len(self._shapes), len(names)))
        for c, shape in enumerate(self._shapes):
            slope[c, [names.index(name) for name in shape.names]] = shape.slope
        rest = np.exp((x * slope[self._category[rows.item]]).sum(axis=1) + self._response(rows))
        levels = np.exp(self._level).reshape(len(self.items_), -1)
        level = np.where(rows.store < 0, levels.sum(axis=1)[rows.item], levels[rows.item, np.maximum(rows.store, 0)])
        return level * rest

    def _away(self, rows: DemandRows, category: int) -> np.ndarray:
        """How far the columns of one category's rows lie from where its items' levels were learnt."""
        names, x = self._regressors(rows)
        at = [names.index(name) for name in self._shapes[category].names]
        return x[:, at] - self._usual[rows.item][:, at]

    def _doubt(self, rows: DemandRows) -> np.ndarray:
        """Variance of each row's log mean by the errors of its category's slopes."""
        found = np.zeros(len(rows.item))
        for c, shape in enumerate(self._shapes):
            at = np.flatnonzero(self._category[rows.item] == c)
            away = self._away(rows.take(at), c)
            found[at] = np.maximum(np.einsum("nk,kl,nl->n", away, shape.covariance, away), 0.0)
        return found

    def _response(self, rows: DemandRows) -> np.ndarray:
        return self.elasticity_[rows.item] * (np.log(rows.price) - self._centre[rows.item])

    def _regressors(self, rows: DemandRows) -> tuple[list[str], np.ndarray]:
        # of a panel too short for a season only the doubt is of its waves
        kind = "fourier" if self.season_ == "none" and self.season != "none" else self.season_
        columns = season_columns(rows.week, kind)
        if np.isfinite(self._first_age).any():
            launched = self._first_age[rows.item]
            age = (rows.week - self._epoch).astype(np.int64) / 7.0 + launched
            columns["log_age"] = np.where(np.isfinite(age), np.log1p(np.maximum(age, 0.0)), 0.0)
        for name in self._data.flags:
            columns[name] = np.nan_to_num(rows.flags.get(name, np.zeros(len(rows.item))))
        if self._data.competitor is not None:
            theirs = rows.competitor
            columns["competitor_price"] = self.last_competitor_[rows.item] if theirs is None else theirs
        for k, name in enumerate(_TIMING):
            columns[name] = np.zeros(len(rows.item)) if rows.timing is None else rows.timing[:, k]
        return list(columns), np.stack(list(columns.values()), axis=1)

    def _draws(self, rows: DemandRows, at: np.ndarray, mean: np.ndarray) -> np.ndarray:
        """Units drawn for the rows of one item (draws, rows): errors of what was fitted, shocks, chance."""
        i = int(rows.item[at[0]])
        category = int(self._category[i])
        # an item's draws are its own whatever else is asked for, and the same for two paths
        rng = np.random.default_rng((self.seed, i))
        response = rng.standard_normal((DRAWS, 1)) * self.standard_error_[i]
        level = rng.standard_normal((DRAWS, 1)) * self.level_error_[i]
        # a category's items share the errors of its slopes
        slopes = slopes_drawn(self._shapes[category].covariance, (self.seed, _SLOPES + category))
        off = response * (np.log(rows.price[at]) - self._centre[i]) + level
        off = off + slopes @ self._away(rows.take(at), category).T
        periods = (rows.week[at] - self._epoch).astype(np.int64) / self.period_
        return units_drawn(mean, off, periods, rng, float(self.overdispersion_[i]), self.persistence_)

    def _fitted(self) -> None:
        if not hasattr(self, "findings_"):
            raise ModelError("the demand model is not fitted; call fit(panel) first.")

    def _known(self, names: Sequence[str]) -> np.ndarray:
        self._fitted()
        wrong = [name for name in names if name not in self._row]
        if wrong:
            why = self.left_out_.get(wrong[0], f"the panel does not have it{nearest(wrong[0], self.items_)}")
            raise ModelError(
                f"{len(set(wrong))} of the items cannot be predicted; the first, {wrong[0]!r}: {why}. Leave them out, "
                "or fit on a panel and elasticities that have them."
            )
        return np.array([self._row[name] for name in names], dtype=np.int64)

    def _read_path(self, path: Any) -> tuple[DemandRows, dict[str, Any]]:
        columns = path_columns(path)
        given: dict[str, Any] = {"item": [str(v) for v in columns["item"]]}
        item = self._known(given["item"])
        price = path_numbers(columns, "price", strictly=True)
        within_reach(price, np.array(given["item"]), self._lowest[item], self._highest[item])
        store, competitor = np.full(len(item), -1), None
        if "store_id" in columns:
            given["store_id"] = [str(v) for v in columns["store_id"]]
            store = stores_named(given["store_id"], self.stores_)
        if "unit_cost" in columns:
            given["unit_cost"] = path_numbers(columns, "unit_cost", may_miss=True)
        if "competitor_price" in columns and self._data.competitor is not None:
            theirs = path_numbers(columns, "competitor_price", strictly=True, may_miss=True)
            theirs = np.log(theirs) - self._competitor_mean[item]
            competitor = np.where(np.isnan(theirs), self.last_competitor_[item], theirs)
        flags = {name: path_numbers(columns, name, may_miss=True) for name in FLAGS
                 if name in columns and name in self._data.flags}  # fmt: skip
        week = panel_dates(columns["week"], self._numbered)
        return DemandRows(item, store, week, price, flags, competitor), given

    def _costs(self, rows: DemandRows, given: Mapping[str, Any]) -> np.ndarray:
        return given["unit_cost"] if "unit_cost" in given else self.last_cost_[rows.item]

    def _last_of(self, arrays: PanelArrays, rows: np.ndarray, item: np.ndarray, n: int) -> None:
        """Last price and cost known of each item: the mean over its stores in their last week."""
        self._epoch = arrays.weeks[0]
        price, week = arrays.price[rows], arrays.week[rows]
        regular = arrays.columns.get("regular_price", arrays.price)[rows]
        self.last_price_ = last_known(item, week, np.where(np.isnan(regular), price, regular), n)
        cost = arrays.columns.get("unit_cost")
        self.last_cost_ = np.full(n, np.nan) if cost is None else last_known(item, week, cost[rows], n)
        theirs = arrays.columns.get("log_competitor_price")
        self.last_competitor_ = (
            np.zeros(n) if theirs is None else np.nan_to_num(last_known(item, week, theirs[rows], n))
        )
        self._lowest, self._highest = np.full(n, np.inf), np.zeros(n)
        np.minimum.at(self._lowest, item, price)
        np.maximum.at(self._highest, item, np.maximum(price, np.nan_to_num(regular)))

    def _findings(self, arrays: PanelArrays) -> tuple[Finding, ...]:
        young = [self._category == c for c, shape in enumerate(self._shapes) if not shape.season_seen]
        return demand_findings(
            arrays,
            items=len(self.items_),
            left_out=len(self.left_out_),
            unseen_season=int(np.sum(young)) if self.season != "none" else 0,
            promoted=self._promoted,
            sold_out=self._sold_out if self._knows_stock else None,
            competitor=self._data.competitor is not None,
        )
