"""Price histories whose price response is known: clean and confounded twins from the same draws, stock-outs, seasons.

``log demand = item + store + season + own log price + cross log prices + xi + promotion``, units Poisson. A clean and a
confounded history of one seed share every draw; in the confounded one the shop sees the demand shock xi coming and
discounts less when demand is high: depth falls by ``confounding * xi``. What the promotion cost the shop is observed
and knows nothing of xi: the instrument that a shop really has.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from ..sql.errors import ModelError

if TYPE_CHECKING:
    import pandas as pd

CONFOUNDING = 0.5
_FIRST_WEEK = np.datetime64("2023-01-02")  # a Monday
_PERSISTENCE, _INNOVATION = 0.6, 0.25
_COST_STEP_WEEKS, _COST_STEP = 13, 0.05
_PROMOTED, _SHALLOWEST, _DEEPEST = 0.25, 0.08, 0.35
_PROMOTION_BUMP = 0.15
_MARKUP = 1.6
_NOVELTY = 0.5
_OLD = 52
_HOLIDAY_WEEKS = (14, 29, 50)


@dataclass(frozen=True)
class SimulatedPrices:
    """A price history and what is never seen in a real one; arrays are item x store x week.

    Attributes
    ----------
    own : ndarray of shape (items,)
        True own-price elasticity.
    cross : ndarray of shape (items, items)
        True elasticity of the row's demand to the column's price; the diagonal is 0.
    brand : ndarray of shape (items,), int
    price, regular_price : ndarray of shape (items, stores, weeks)
        Paid and regular price of a unit; they end in 9.
    unit_cost, promotion_cost : ndarray of shape (items, weeks)
        Cost of a unit, and what the week's promotion took off it for the shop; 0 without promotion.
    promoted : ndarray of shape (items, weeks), bool
    potential : ndarray of shape (items, stores, weeks)
        Log of expected demand at a price of 1 for every item.
    units : ndarray of shape (items, stores, weeks), int
        Sold.
    on_hand : ndarray of shape (items, stores, weeks), int, or None
        Stock at the week's start, where stock is limited.
    shock : ndarray of shape (items, stores, weeks)
        xi, the part of ``potential`` that nobody but a confounded shop foresees.
    promotion_bump : float
        What a promotion adds to ``potential`` beside its price.
    category : ndarray of shape (items,), int
    launch : ndarray of shape (items,), int
        First week on sale; ``potential`` is -inf before.
    novelty : ndarray of shape (items, weeks)
        What being new adds to ``potential``; 0 for items that were there before.
    holiday : ndarray of shape (weeks,), bool, or None
        Holiday weeks, where holidays were asked for.
    holiday_lift : float
        What a holiday week adds to ``potential``.

    Examples
    --------
    >>> history = simulate_prices(items=2, stores=1, weeks=3, seed=1)
    >>> history.items, history.units.shape, history.expected_demand(1.1 * history.price).shape
    (('item_0000', 'item_0001'), (2, 1, 3), (2, 1, 3))
    """

    own: np.ndarray
    cross: np.ndarray = field(repr=False)
    brand: np.ndarray = field(repr=False)
    price: np.ndarray = field(repr=False)
    regular_price: np.ndarray = field(repr=False)
    unit_cost: np.ndarray = field(repr=False)
    promotion_cost: np.ndarray = field(repr=False)
    promoted: np.ndarray = field(repr=False)
    potential: np.ndarray = field(repr=False)
    units: np.ndarray = field(repr=False)
    on_hand: np.ndarray | None = field(repr=False, default=None)
    shock: np.ndarray = field(repr=False, kw_only=True)
    promotion_bump: float = field(repr=False, default=_PROMOTION_BUMP, kw_only=True)
    category: np.ndarray = field(repr=False, kw_only=True)
    launch: np.ndarray = field(repr=False, kw_only=True)
    novelty: np.ndarray = field(repr=False, kw_only=True)
    holiday: np.ndarray | None = field(repr=False, default=None, kw_only=True)
    holiday_lift: float = field(repr=False, default=0.0, kw_only=True)

    @property
    def items(self) -> tuple[str, ...]:
        """Names of the items."""
        return tuple(f"item_{i:04d}" for i in range(len(self.own)))

    def expected_demand(self, price: np.ndarray | None = None) -> np.ndarray:
        """Return the mean demand at these prices (items, stores, weeks), at those of the history without them."""
        log_price = np.log(self.price if price is None else price)
        response = self.own[:, None, None] * log_price + np.einsum("ij,jsw->isw", self.cross, log_price)
        return np.exp(self.potential + response)

    def frame(self, weeks: slice = slice(None)) -> "pd.DataFrame":
        """Return what a shop would see, a row per item, store and week, in that order.

        Columns: ``item, brand, category_1, store_id, week, units, revenue, price, regular_price, discount, promoted,
        unit_cost, promotion_cost``, and ``on_hand, sold_out`` where stock is limited, ``age_weeks`` where items were
        launched (there is no row before), ``holiday`` where there are holidays.
        """
        import pandas as pd

        n_items, n_stores, n_weeks = self.price.shape
        week = np.arange(n_weeks)[weeks]
        shape = (n_items, n_stores, len(week))

        def by_item(values: np.ndarray) -> np.ndarray:
            return np.repeat(values, n_stores * len(week))

        def by_item_week(values: np.ndarray) -> np.ndarray:
            return np.broadcast_to(values[:, None, week], shape).ravel()

        price, regular = self.price[:, :, week].ravel(), self.regular_price[:, :, week].ravel()
        units = self.units[:, :, week].ravel()
        frame = pd.DataFrame(
            {
                "item": by_item(np.array(self.items)),
                "brand": by_item(np.array([f"brand_{b}" for b in self.brand])),
                "category_1": by_item(self._category_names()),
                "store_id": np.tile(np.repeat([f"store_{s:03d}" for s in range(n_stores)], len(week)), n_items),
                "week": np.tile(_FIRST_WEEK + 7 * week, n_items * n_stores),
                "units": units,
                "revenue": np.round(units * price, 2),
                "price": price,
                "regular_price": regular,
                "discount": 1.0 - price / regular,
                "promoted": by_item_week(self.promoted),
                "unit_cost": by_item_week(self.unit_cost),
                "promotion_cost": by_item_week(self.promotion_cost),
            }
        )
        if self.on_hand is not None:
            on_hand = self.on_hand[:, :, week].ravel()
            frame = frame.assign(on_hand=on_hand, sold_out=units >= on_hand)
        if self.holiday is not None:
            frame = frame.assign(holiday=np.tile(self.holiday[week], n_items * n_stores))
        if self.launch.any():
            # what was there before the history began is a year old or more: nothing is new about it
            began = np.where(self.launch > 0, self.launch, -_OLD)
            age = by_item_week(np.arange(n_weeks) - began[:, None])
            frame = frame.assign(age_weeks=age)
            frame = frame.take(np.flatnonzero(age >= 0)).reset_index(drop=True)
        return frame

    def _category_names(self) -> np.ndarray:
        several = self.category.max() > 0
        return np.array([f"category_{c}" if several else "category" for c in self.category])

    def counterfactual_error(
        self, response: "Mapping[str, float] | Callable[[pd.DataFrame, np.ndarray], np.ndarray]", weeks: int = 16
    ) -> float:
        """Return how far predicted demand is from true demand when prices move, over the last weeks.

        For each item and each brand, its price is moved by +10% and by -10%; the error of a scenario is the sum of
        ``|q r - q_cf|`` over the rows moved, by the sum of ``q_cf``: q true mean demand before, q_cf after, r the
        predicted ratio of demand after to before. The answer is the mean over scenarios; no response at all scores .235
        or so.

        Parameters
        ----------
        response : mapping or callable
            Own-price elasticity by item; or a function of the rows moved (as of `frame`) and their new prices that
            returns r.
        weeks : int
            Weeks judged, from the end: the model must not have seen them.
        """
        n_weeks = self.price.shape[2]
        judged = slice(n_weeks - weeks, n_weeks)
        if self.launch.max() > n_weeks - weeks:
            raise ModelError(f"items are launched in the {weeks} weeks judged; judge fewer weeks.")
        rows = self.frame(judged)
        groups = [np.array([i]) for i in range(len(self.own))]
        groups += [np.flatnonzero(self.brand == b) for b in np.unique(self.brand)]
        before = self.expected_demand()[:, :, judged]
        errors = []
        for group in groups:
            for factor in (1.1, 0.9):
                price = self.price.copy()
                price[group] *= factor
                after = self.expected_demand(price)[group][:, :, judged]
                if callable(response):
                    block = before[0].size
                    at = (group[:, None] * block + np.arange(block)).ravel()
                    ratio = np.asarray(response(rows.iloc[at], price[group][:, :, judged].ravel())).reshape(after.shape)
                else:
                    ratio = factor ** np.array([response[self.items[i]] for i in group])[:, None, None]
                errors.append(np.abs(before[group] * ratio - after).sum() / after.sum())
        return float(np.mean(errors))


def simulate_prices(
    *,
    items: int = 24,
    stores: int = 40,
    weeks: int = 156,
    brands: int = 6,
    confounding: float = 0.0,
    mean_units: float = 20.0,
    cross: float = 0.02,
    season: float = 0.2,
    stock_weeks: float | None = None,
    complements: float = 0.0,
    categories: int = 1,
    launches: float = 0.0,
    holidays: float = 0.0,
    seed: int = 0,
) -> SimulatedPrices:
    """Draw a price history with a known price response.

    Parameters
    ----------
    items, stores, weeks, brands : int
        Sizes; items are dealt to brands in turn.
    confounding : float
        How far the depth of a promotion falls per unit of the demand shock: 0 is the clean twin, .5 (`CONFOUNDING`) the
        confounded one; all other draws are the same.
    mean_units : float
        Units an item sells in a store and week, about, at its regular price.
    cross : float
        Mean cross-price elasticity between any two items of a category; below 0 they are complements.
    season : float
        Amplitude of the yearly wave in log demand.
    stock_weeks : float, optional
        Weeks of regular demand on hand at each week's start, about: what is asked for beyond it is not sold and not
        seen. Without it stock is not limited.
    complements : float
        Share of the pairs of a category that are bought together: their cross elasticities change sign.
    categories : int
        Categories that items are dealt to, neighbours into one; across them prices do not matter.
    launches : float
        Share of the items that are launched in the first half of the history: they sell more while they are new
        (``novelty``: .5 in log demand, falling by a sixth of itself a week).
    holidays : float
        What a holiday week adds to log demand; there are three a year, and their names are not told.
    seed : int
        The same seed gives the same history; an option that is not asked for changes no draw.

    Raises
    ------
    ModelError
        Where a size or parameter is out of range.

    Examples
    --------
    >>> clean, confounded = (simulate_prices(items=4, stores=3, weeks=30, confounding=k, seed=1) for k in (0.0, 0.5))
    >>> bool((clean.own == confounded.own).all()), clean.price.shape, len(clean.frame())
    (True, (4, 3, 30), 360)
    >>> clean.counterfactual_error(dict(zip(clean.items, clean.own))) < 0.02
    True
    """
    counts = {"items": items, "stores": stores, "weeks": weeks, "brands": brands, "categories": categories}
    for name, value in {**counts, "seed": seed}.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < (name != "seed"):
            least = "0 or more" if name == "seed" else "1 or more: each must be above 0"
            raise ModelError(f"{name} is {value!r}; it is a whole number, {least}.")
    shares = {"complements": complements, "launches": launches}
    others = {"confounding": confounding, "mean_units": mean_units, "cross": cross, "season": season}
    for name, value in {**shares, **others, "holidays": holidays, "stock_weeks": stock_weeks or 1.0}.items():
        least, most = (0.0, 1.0) if name in shares else (0.0, np.inf) if name == "season" else (-np.inf, np.inf)
        number = isinstance(value, int | float | np.number) and not isinstance(value, bool) and np.isfinite(value)
        if not number or not least <= float(value) <= most:
            what = "a share from 0 to 1" if name in shares else "a finite number"
            raise ModelError(f"{name} is {value!r}; it is {what}{', 0 or more' if name == 'season' else ''}.")
    if mean_units <= 0.0 or (stock_weeks is not None and stock_weeks <= 0.0):
        raise ModelError(f"mean_units and stock_weeks are {mean_units}, {stock_weeks}; each must be above 0.")
    # one stream for each part: a twin with other stock or confounding keeps all other draws
    root = np.random.default_rng(seed)
    streams = iter(root.spawn(12))
    paired, launching = root.spawn(2)
    own = np.clip(next(streams).normal(-2.4, 0.5, items), -4.0, -0.8)
    brand = np.arange(items) % brands
    crossed = next(streams).normal(cross, abs(cross) / 2.0, (items, items)) if cross else np.zeros((items, items))
    np.fill_diagonal(crossed, 0.0)
    category = np.arange(items) * categories // items
    crossed *= category[:, None] == category
    # a pair is one of complements for both
    together = np.triu(paired.uniform(size=(items, items)) < complements, 1)
    crossed = np.where(together | together.T, -crossed, crossed)
    launch, novelty = _launches(items, weeks, launches, launching)
    holiday = np.isin(np.arange(weeks) % 52, _HOLIDAY_WEEKS)
    cost = _unit_cost(items, weeks, next(streams))
    regular = _ending_in_9(np.broadcast_to(_MARKUP * cost[:, None, :], (items, stores, weeks)))
    shock = _shocks(items, stores, weeks, next(streams))
    draws = next(streams)
    promoted = (draws.uniform(size=(brands, weeks)) < _PROMOTED)[brand]
    depth = draws.uniform(_SHALLOWEST, _DEEPEST, size=(brands, weeks))[brand]
    # what the supplier pays towards the promotion follows the depth agreed on, long before the week's demand is known
    paid = np.where(promoted, cost * depth * draws.uniform(0.8, 1.2, size=(items, weeks)), 0.0)
    given = np.clip(depth[:, None, :] - confounding * shock, 0.0, 0.6)
    price = np.where(promoted[:, None, :], _ending_in_9(regular * (1.0 - given)), regular)
    usual_price = np.log(regular[:, 0, :]).mean(axis=1)
    item_level = np.log(mean_units) + next(streams).normal(0.0, 0.4, items) - own * usual_price - crossed @ usual_price
    store_level = next(streams).normal(0.0, 0.3, stores)
    phase = next(streams).uniform(0.0, 2.0 * np.pi)
    wave = season * np.sin(2.0 * np.pi * np.arange(weeks) / 52.0 + phase)
    potential = item_level[:, None, None] + store_level[None, :, None] + wave + shock
    potential = potential + _PROMOTION_BUMP * promoted[:, None, :]
    if launches or holidays:
        potential = potential + novelty[:, None, :] + holidays * holiday
        potential = np.where((np.arange(weeks) >= launch[:, None])[:, None, :], potential, -np.inf)
    drawn = SimulatedPrices(
        own,
        crossed,
        brand,
        price,
        regular,
        cost,
        paid,
        promoted,
        potential,
        np.zeros(0),
        shock=shock,
        category=category,
        launch=launch,
        novelty=novelty,
        holiday=holiday if holidays else None,
        holiday_lift=holidays,
    )
    demanded = next(streams).poisson(drawn.expected_demand())
    on_hand = None
    if stock_weeks is not None:
        selling = np.maximum((np.arange(weeks) >= launch[:, None]).sum(axis=1), 1)
        usual = drawn.expected_demand(regular).sum(axis=2, keepdims=True) / selling[:, None, None]
        on_hand = next(streams).poisson(np.broadcast_to(stock_weeks * usual, demanded.shape))
        demanded = np.minimum(demanded, on_hand)
    return replace(drawn, units=demanded, on_hand=on_hand)


def _launches(items: int, weeks: int, share: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """First week of each item on sale, and what being new adds to log demand (items, weeks)."""
    at = rng.integers(1, max(weeks // 2, 1) + 1, items)
    launch = np.where(rng.permutation(items) < round(share * items), at, 0)
    age = np.arange(weeks) - launch[:, None]
    novelty = np.where((launch > 0)[:, None] & (age >= 0), _NOVELTY * (1.0 - 1.0 / 6.0) ** np.maximum(age, 0), 0.0)
    return launch, novelty


def _unit_cost(items: int, weeks: int, rng: np.random.Generator) -> np.ndarray:
    steps = -(-weeks // _COST_STEP_WEEKS)
    walk = rng.normal(0.0, _COST_STEP, (items, steps)).cumsum(axis=1)
    level = rng.uniform(1.0, 4.0, items)
    return np.repeat(level[:, None] * np.exp(walk), _COST_STEP_WEEKS, axis=1)[:, :weeks]


def _shocks(items: int, stores: int, weeks: int, rng: np.random.Generator) -> np.ndarray:
    noise = rng.normal(0.0, _INNOVATION, (items, stores, weeks))
    noise[:, :, 0] /= (1.0 - _PERSISTENCE**2) ** 0.5
    for week in range(1, weeks):
        noise[:, :, week] += _PERSISTENCE * noise[:, :, week - 1]
    return noise


def _ending_in_9(price: np.ndarray) -> np.ndarray:
    return np.maximum(np.round(price * 10.0) / 10.0 - 0.01, 0.09)
