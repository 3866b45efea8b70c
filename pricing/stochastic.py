"""Pricing a season of uncertain demand: exact finite-horizon dynamic programmes where stock is small, and their bounds.

A unit sold now cannot be sold later, so a price answers to what is left and for how long. Demand of a week is Poisson
(or, over-dispersed, negative binomial) around an expectation for each rung of the ladder; the state is the units on
hand, the week and the rung that stands. The closed form is that of Gallego & van Ryzin 1994, Optimal Dynamic Pricing of
Inventories with Stochastic Demand over Finite Horizons, Management Science 40(8).
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..sql.errors import ModelError
from .season_kernels import best_price, evaluate_items, learn_items, maximise_items, simulate_items

_MOST_CELLS = 250_000_000
_LEVELS = np.exp(0.1 * np.arange(-14, 15))  # what a level learnt in season is rounded to: 5% off at most


@dataclass(frozen=True)
class GallegoVanRyzin:
    """The optimum of continuous pricing under exponential demand, and what it is held against.

    Attributes
    ----------
    value : float
        Expected revenue of the best dynamic prices, salvage included.
    price : float
        Best price at the start, of all units on hand.
    fluid_bound, fluid_price : float
        What a demand without chance would bring, at its one best price: no policy's expectation exceeds it.
    fixed_value, fixed_price : float
        Best expectation of one price for the whole time, and that price.

    Examples
    --------
    >>> answer = gallego_van_ryzin(5, rate=27.0)
    >>> answer.fixed_value < answer.value < answer.fluid_bound
    True
    """

    value: float
    price: float
    fluid_bound: float
    fluid_price: float
    fixed_value: float
    fixed_price: float


def gallego_van_ryzin(
    stock: int, *, rate: float, sensitivity: float = 1.0, time: float = 1.0, salvage: float = 0.0
) -> GallegoVanRyzin:
    """Price ``stock`` units where buyers come as a Poisson process of intensity ``rate exp(-sensitivity price)``.

    Parameters
    ----------
    stock : int
        Units on hand, n.
    rate, sensitivity : float
        a, in units of demand per unit of time at a price of 0, and alpha, per unit of money.
    time : float
        t, left for selling.
    salvage : float
        Money for a unit that is left.

    Raises
    ------
    ModelError
        Where stock, rate, sensitivity or time is not above 0, or anything is no finite number.

    Notes
    -----
    With x = a t / e: ``V = ln(sum_{i<=n} x^i / i!) / alpha`` and ``p* = 1 / alpha + V(n) - V(n - 1)`` (section 2.3 of
    the paper); the fluid bound is its section 3, the fixed price its section 4. Salvage s moves all prices by s:
    a becomes ``a exp(-alpha s)``.

    Examples
    --------
    >>> import math
    >>> answer = gallego_van_ryzin(5, rate=10 * math.e)
    >>> round(answer.value, 4), round(answer.price, 4), round(answer.fluid_bound, 4), round(answer.fixed_value, 4)
    (7.2982, 1.83, 8.4657, 6.9899)
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import gammaln
    from scipy.stats import poisson

    given = {"stock": stock, "rate": rate, "sensitivity": sensitivity, "time": time, "salvage": salvage}
    for name, value in given.items():
        if isinstance(value, str | bool) or not isinstance(value, int | float | np.number) or not np.isfinite(value):
            raise ModelError(f"{name} is {value!r}; it is a finite number.")
    if stock != int(stock):
        raise ModelError(f"stock is {stock!r}; it counts whole units.")
    stock = int(stock)
    if min(stock, rate, sensitivity, time) <= 0:
        raise ModelError(
            f"stock, rate, sensitivity and time are {stock}, {rate}, {sensitivity}, {time}; each must be above 0."
        )
    x = float(rate * np.exp(-sensitivity * salvage) * time / np.e)
    terms = np.arange(stock + 1) * np.log(x) - gammaln(np.arange(stock + 1) + 1.0)
    value, before = float(np.logaddexp.reduce(terms)), float(np.logaddexp.reduce(terms[:-1]))
    fluid = 1.0 if x <= stock else 1.0 + float(np.log(x / stock))

    def lost(price: float) -> float:
        mean = x * np.exp(1.0 - price)
        sold = mean * poisson.cdf(stock - 2, mean) + stock * poisson.sf(stock - 1, mean)
        return -price * float(sold)

    fixed: Any = minimize_scalar(lost, bounds=(0.0, fluid + 2.0), method="bounded", options={"xatol": 1e-9})
    return GallegoVanRyzin(
        value=value / sensitivity + salvage * stock,
        price=(1.0 + value - before) / sensitivity + salvage,
        fluid_bound=min(x, stock) * fluid / sensitivity + salvage * stock,
        fluid_price=fluid / sensitivity + salvage,
        fixed_value=-float(fixed.fun) / sensitivity + salvage * stock,
        fixed_price=float(fixed.x) / sensitivity + salvage,
    )


@dataclass(frozen=True)
class ContinuousPrices:
    """The best price of each week and stock where any price may be set.

    Attributes
    ----------
    price : ndarray of shape (T, stock + 1)
        For each week and units on hand; NaN where none is.
    value : ndarray of shape (T + 1, stock + 1)
        Expected worth from there on; the last row is salvage.

    Examples
    --------
    >>> plan = continuous_prices(np.full(2, 3.0), -2.5, 4, low=5.0, high=20.0, reference_price=10.0)
    >>> plan.price.shape, bool(plan.value[0, 4] > plan.value[0, 3])
    ((2, 5), True)
    """

    price: np.ndarray = field(repr=False)
    value: np.ndarray = field(repr=False)


def continuous_prices(
    demand: np.ndarray,
    response: float,
    stock: int,
    *,
    low: float,
    high: float,
    form: str = "elasticity",
    reference_price: float = 1.0,
    salvage: float = 0.0,
    overdispersion: float = 0.0,
) -> ContinuousPrices:
    """Solve the dynamic programme with one price a week, any between ``low`` and ``high``.

    Parameters
    ----------
    demand : ndarray of shape (T,)
        Expected units of each week at ``reference_price``.
    response : float
        ``"elasticity"``: units are ``demand (price / reference_price)^response``; ``"exponential"``: they are
        ``demand exp(response (price - reference_price))``.
    stock : int
        Units on hand at the start.
    low, high : float
        Prices allowed.
    salvage : float
        Money for a unit left at the end.
    overdispersion : float
        tau^2: a week's units have the variance ``m + tau^2 m^2`` around their expectation m; 0 is Poisson.

    Raises
    ------
    ModelError
        A form unknown, prices out of order, negative demand or stock, a response above 0.

    Examples
    --------
    >>> plan = continuous_prices(np.full(4, 3.0), -2.5, 12, low=2.0, high=20.0, reference_price=10.0)
    >>> bool((np.diff(plan.price[0, 1:]) <= 1e-5).all()), plan.value.shape
    (True, (5, 13))
    """
    demand = np.ascontiguousarray(demand, dtype=np.float64)
    if form not in ("elasticity", "exponential"):
        raise ModelError(f"form is {form!r}; it is 'elasticity' or 'exponential'.")
    if not 0.0 < low < high or reference_price <= 0.0:
        raise ModelError(f"low, high and reference_price are {low}, {high}, {reference_price}; 0 < low < high.")
    if demand.ndim != 1 or not (demand >= 0.0).all() or stock < 0 or overdispersion < 0.0 or not response <= 0.0:
        raise ModelError(
            f"demand has shape {demand.shape}, stock is {stock}, response {response}, overdispersion {overdispersion}; "
            "give one row of numbers from 0, stock and overdispersion from 0, and a response of 0 or below."
        )
    value = np.zeros((len(demand) + 1, stock + 1))
    value[-1] = salvage * np.arange(stock + 1)
    price = np.full((len(demand), stock + 1), np.nan)
    for week in range(len(demand) - 1, -1, -1):
        best_price(
            demand[week], response, form == "elasticity", reference_price, low, high, overdispersion,
            value[week + 1], value[week], price[week],
        )  # fmt: skip
    return ContinuousPrices(price, value)


@dataclass(frozen=True)
class Season:
    """What a season of n items is priced on: T weeks, R rungs, cheapest last. Make it with `season`.

    Attributes
    ----------
    demand : ndarray of shape (n, T, R)
        Expected units of a week at a rung, were stock unlimited; 0 in weeks off sale.
    worth : ndarray of shape (n, R)
        Money for a unit sold at a rung: its price, or price less unit cost where it can be had again.
    stock : ndarray of shape (n,), int
    salvage : ndarray of shape (n,)
        Money for a unit that is left.
    start : ndarray of shape (n,), int
        The rung that stands before the first week.
    may_change : ndarray of shape (n, T), bool
        Whether the price may change at the week's start.
    overdispersion : ndarray of shape (n,)
        tau^2: variance of a week's units is ``m + tau^2 m^2``; 0 is Poisson.
    markdown_only : bool
        Whether a price that was cut stays cut.

    Examples
    --------
    >>> problem = season(np.ones((1, 4, 2)), np.array([[10.0, 7.0]]), np.array([3]), salvage=1.0)
    >>> problem.demand.shape, problem.salvage.tolist(), problem.markdown_only
    ((1, 4, 2), [1.0], True)
    """

    demand: np.ndarray = field(repr=False)
    worth: np.ndarray = field(repr=False)
    stock: np.ndarray = field(repr=False)
    salvage: np.ndarray = field(repr=False)
    start: np.ndarray = field(repr=False)
    may_change: np.ndarray = field(repr=False)
    overdispersion: np.ndarray = field(repr=False)
    markdown_only: bool


def season(
    demand: np.ndarray,
    worth: np.ndarray,
    stock: np.ndarray,
    *,
    salvage: np.ndarray | float = 0.0,
    start: np.ndarray | int = 0,
    may_change: np.ndarray | bool = True,
    overdispersion: np.ndarray | float = 0.0,
    markdown_only: bool = True,
) -> Season:
    """Check and bring into shape what a season is priced on; parameters are `Season`'s, scalars hold for all items.

    Raises
    ------
    ModelError
        Where a shape does not fit, a number is missing or negative, a start is no rung, or ``worth`` rises along a
        ladder of markdowns.

    Examples
    --------
    >>> season(np.full((1, 2, 2), 3.0), np.array([[10.0, 7.0]]), np.array([5])).stock.tolist()
    [5]
    """
    try:
        demand = np.ascontiguousarray(demand, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ModelError(f"demand is no array of numbers ({error}); it is (items, weeks, rungs).") from error
    if demand.ndim != 3 or 0 in demand.shape:
        raise ModelError(f"demand has shape {demand.shape}; it is (items, weeks, rungs), none of them 0.")
    n, weeks, rungs = demand.shape

    def shaped(name: str, given: object, shape: tuple[int, ...], kind: type) -> np.ndarray:
        array = np.asarray(given)
        if array.dtype.kind not in "biuf" or (kind is np.bool_) != (array.dtype.kind == "b"):
            what = "True or False" if kind is np.bool_ else "numbers"
            raise ModelError(f"{name} is {given!r:.60}; it holds {what}.")
        if kind is np.int64 and not (np.isfinite(array) & (array == np.floor(array))).all():
            wrong = array[~(np.isfinite(array) & (array == np.floor(array)))].reshape(-1)[0]
            told = "holds a fraction of a unit; round it down" if np.isfinite(wrong) else "it must be a number from 0"
            raise ModelError(
                f"{name} holds {float(wrong)}: {told}."
                if name == "stock"
                else f"{name} holds {float(wrong)}; it counts whole rungs."
            )
        try:
            # a copy: what cannot be written is another type to the compiler, which would compile everything anew
            return np.array(np.broadcast_to(array, shape), dtype=kind, order="C")
        except ValueError:
            raise ModelError(f"{name} has shape {array.shape}; it must fit {shape}.") from None

    made = Season(
        demand=demand,
        worth=shaped("worth", worth, (n, rungs), np.float64),
        stock=shaped("stock", stock, (n,), np.int64),
        salvage=shaped("salvage", salvage, (n,), np.float64),
        start=shaped("start", start, (n,), np.int64),
        may_change=shaped("may_change", may_change, (n, weeks), np.bool_),
        overdispersion=shaped("overdispersion", overdispersion, (n,), np.float64),
        markdown_only=bool(markdown_only),
    )
    for name in ("demand", "stock", "overdispersion"):
        values = getattr(made, name)
        wrong = ~((values >= 0) & np.isfinite(values))
        if wrong.any():
            row = int(np.argwhere(wrong)[0][0])
            raise ModelError(f"{name} of item {row} holds {values[wrong][0].item()}; it must be a number from 0.")
    if not (np.isfinite(made.worth).all() and np.isfinite(made.salvage).all()):
        raise ModelError("worth or salvage holds a missing or infinite value; give money for each item and rung.")
    if markdown_only and (np.diff(made.worth, axis=1) > 0.0).any():
        row = int(np.argwhere(np.diff(made.worth, axis=1) > 0.0)[0][0])
        raise ModelError(
            f"worth of item {row} is {made.worth[row].tolist()}: it rises; sort rungs from dear to cheap, "
            "or allow rises with markdown_only=False."
        )
    if ((made.start < 0) | (made.start >= rungs)).any():
        raise ModelError(f"start holds {made.start.min()}..{made.start.max()}; a rung is 0 to {rungs - 1}.")
    return made


@dataclass(frozen=True)
class SeasonPolicy:
    """Which rung to set, for every week, stock and standing rung.

    Attributes
    ----------
    rung : ndarray of shape (n, T, S + 1, R), int8
        ``rung[i, t, s, r]``: to set in week t with s units on hand while r stands.
    value : ndarray of shape (n, T + 1, S + 1, R), or None
        Expected worth from there on, by the demand it was planned on; the last row is salvage.

    Examples
    --------
    >>> problem = season(np.array([[[1.0, 4.0], [1.0, 4.0]]]), np.array([[10.0, 7.0]]), np.array([5]))
    >>> plan_season(problem).worth_of_a_unit(problem).round(2).tolist()
    [5.66]
    """

    rung: np.ndarray = field(repr=False)
    value: np.ndarray | None = field(repr=False, default=None)

    def worth_of_a_unit(self, problem: Season) -> np.ndarray:
        """Return what one unit more at the start would bring (n,): NaN where the tables end at the stock."""
        if self.value is None:
            raise ModelError("a path without a value says nothing of a unit's worth; plan it with plan_season.")
        rows, more = np.arange(len(problem.stock)), problem.stock + 1
        inside = more < self.value.shape[2]
        at = self.value[rows, 0, :, problem.start]
        return np.where(inside, at[rows, np.where(inside, more, 0)] - at[rows, problem.stock], np.nan)


def plan_season(problem: Season) -> SeasonPolicy:
    """Find the policy of the largest expected worth: exact, by backward induction over week, stock and rung.

    Tables reach one unit beyond the largest stock, for the worth of one more. Of rungs that are worth the same the
    dearest is set.

    Raises
    ------
    ModelError
        Where the tables would not fit into memory; plan fewer items at a time, or large stocks by
        `markdown.plan_markdowns`, whose expectation is exact enough there.

    Examples
    --------
    >>> problem = season(np.array([[[1.0, 4.0], [1.0, 4.0]]]), np.array([[10.0, 7.0]]), np.array([5]))
    >>> policy = plan_season(problem)
    >>> policy.rung[0, 0, [1, 5], 0].tolist(), round(float(policy.value[0, 0, 5, 0]), 3)
    ([0, 1], 33.886)
    """
    n, weeks, rungs = problem.demand.shape
    most = int(problem.stock.max()) + 1
    cells = n * (weeks + 1) * (most + 1) * rungs
    if cells > _MOST_CELLS:
        raise ModelError(
            f"{n} items x {weeks} weeks x {most} units x {rungs} rungs take {cells * 9 / 2**30:.0f} GB; "
            "plan fewer items at a time, and those with large stock by plan_markdowns."
        )
    value = np.empty((n, weeks + 1, most + 1, rungs))
    rung = np.zeros((n, weeks, most + 1, rungs), np.int8)
    maximise_items(
        problem.demand, problem.worth, problem.salvage, problem.may_change, problem.overdispersion,
        problem.markdown_only, value, rung,
    )  # fmt: skip
    return SeasonPolicy(rung, value)


def path_policy(problem: Season, path: np.ndarray) -> SeasonPolicy:
    """Return prices that look at nothing as a policy, to be valued beside others.

    Parameters
    ----------
    path : ndarray of shape (T,) or (n, T), int
        The rung of each week.

    Examples
    --------
    >>> problem = season(np.full((1, 2, 2), 3.0), np.array([[10.0, 7.0]]), np.array([5]))
    >>> path_policy(problem, np.array([0, 1])).rung[0, :, 3, 0].tolist()
    [0, 1]
    """
    n, weeks, rungs = problem.demand.shape
    whole = np.broadcast_to(np.asarray(path), (n, weeks))
    if whole.min() < 0 or whole.max() >= rungs:
        raise ModelError(f"the path holds rungs {whole.min()}..{whole.max()}; they are 0 to {rungs - 1}.")
    shape = (n, weeks, int(problem.stock.max()) + 1, rungs)
    return SeasonPolicy(np.ascontiguousarray(np.broadcast_to(whole[:, :, None, None], shape), dtype=np.int8))


def policy_value(policy: SeasonPolicy, truth: Season) -> np.ndarray:
    """Return the exact expected worth (n,) of a policy under a demand, which need not be that it was planned on.

    Examples
    --------
    >>> problem = season(np.array([[[1.0, 4.0], [1.0, 4.0]]]), np.array([[10.0, 7.0]]), np.array([5]))
    >>> policy_value(plan_season(problem), problem).round(3).tolist()
    [33.886]
    """
    _fits(policy, truth)
    return evaluate_items(
        truth.demand, truth.worth, truth.salvage, truth.overdispersion, truth.stock, truth.start, policy.rung
    )


@dataclass(frozen=True)
class SimulatedSeasons:
    """Outcomes of simulated seasons; arrays are (n, seasons), ``rung`` (n, seasons, T).

    Attributes
    ----------
    worth : ndarray
        Money for what was sold and what was left.
    sold : ndarray, int
    rung : ndarray, int8
        The rung of each week; that of the last sale stands on when nothing is left.

    Examples
    --------
    >>> problem = season(np.ones((1, 4, 1)), np.array([[10.0]]), np.array([3]))
    >>> sold = simulate_seasons(plan_season(problem), problem, 2, seed=0)
    >>> sold.sold.shape, sold.rung.shape, bool((sold.worth == 10 * sold.sold).all())
    ((1, 2), (1, 2, 4), True)
    """

    worth: np.ndarray = field(repr=False)
    sold: np.ndarray = field(repr=False)
    rung: np.ndarray = field(repr=False)


def simulate_seasons(policy: SeasonPolicy, truth: Season, seasons: int, seed: int) -> SimulatedSeasons:
    """Sell ``seasons`` seasons under a policy; demand is drawn around the truth's expectation.

    A seed fixes the luck of every item, season and week, so that policies are compared on the same luck.

    Examples
    --------
    >>> problem = season(np.array([[[1.0, 4.0], [1.0, 4.0]]]), np.array([[10.0, 7.0]]), np.array([5]))
    >>> bool(abs(simulate_seasons(plan_season(problem), problem, 4000, seed=0).worth.mean() - 33.89) < 0.5)
    True
    """
    _fits(policy, truth)
    n, weeks, _ = truth.demand.shape
    luck = np.random.default_rng(seed).uniform(size=(n, seasons, weeks))
    worth, sold = np.zeros((n, seasons)), np.zeros((n, seasons), np.int64)
    rung = np.zeros((n, seasons, weeks), np.int8)
    simulate_items(
        truth.demand, truth.worth, truth.salvage, truth.overdispersion, truth.stock, truth.start, policy.rung,
        luck, worth, sold, rung,
    )  # fmt: skip
    return SimulatedSeasons(worth, sold, rung)


def simulate_replanned(
    planned: Season, truth: Season, level_error: np.ndarray | float, seasons: int, seed: int
) -> SimulatedSeasons:
    """Sell seasons in which the plan is made anew each week, the level of demand learnt from what has been sold.

    Parameters
    ----------
    planned, truth : Season
        What is believed before the season, and what demand is drawn from; stock and ladder are the same.
    level_error : ndarray of shape (n,), or float
        Standard error of the logarithm of the level that was believed; 0 learns nothing.
    seasons, seed : int
        As in `simulate_seasons`: the same luck.

    Notes
    -----
    The factor on the believed demand is Gamma with mean 1 and variance ``exp(level_error^2) - 1`` (that of the
    log-normal) before the season; a week's sales update it while stock does not run out, weighed down by
    ``1 + tau^2 m`` where demand is over-dispersed. A week is priced by the exact policy of its mean, rounded to the
    nearest of 29 levels 10% apart: certainty equivalence (Bertsekas 2005, Dynamic Programming and Optimal Control I,
    section 6.1).

    Examples
    --------
    >>> true = season(np.array([[[2.0, 8.0], [2.0, 8.0]]]), np.array([[10.0, 7.0]]), np.array([5]))
    >>> believed = season(true.demand / 2, true.worth, true.stock)
    >>> sold = simulate_replanned(believed, true, 0.5, 500, seed=0)
    >>> sold.worth.shape
    (1, 500)
    """
    if planned.demand.shape != truth.demand.shape or not (planned.stock == truth.stock).all():
        raise ModelError(
            f"planned and true seasons differ in shape ({planned.demand.shape}, {truth.demand.shape}) or stock."
        )
    n, weeks, _ = truth.demand.shape
    luck = np.random.default_rng(seed).uniform(size=(n, seasons, weeks))
    error = np.array(np.broadcast_to(np.asarray(level_error, dtype=np.float64), (n,)))
    worth, sold = np.zeros((n, seasons)), np.zeros((n, seasons), np.int64)
    rung = np.zeros((n, seasons, weeks), np.int8)
    learn_items(
        planned.demand, planned.worth, planned.salvage, planned.may_change, planned.overdispersion,
        planned.markdown_only, error, _LEVELS, truth.demand, truth.overdispersion, truth.stock, truth.start,
        luck, worth, sold, rung,
    )  # fmt: skip
    return SimulatedSeasons(worth, sold, rung)


def fluid_bound(problem: Season) -> np.ndarray:
    """Return a number (n,) that the expected worth of no policy exceeds, on a free ladder or of markdowns only.

    The linear programme in which demand has no chance and a week may be shared by rungs, by its dual: at a price m of
    a unit of stock, ``m stock + sum_t max_r demand (worth - m)``, with m at least salvage. Any m gives a bound; the
    best is found by bisection (Gallego & van Ryzin 1994, theorem 1; weeks differ here).

    Examples
    --------
    >>> problem = season(np.array([[[1.0, 4.0], [1.0, 4.0]]]), np.array([[10.0, 7.0]]), np.array([5]))
    >>> fluid_bound(problem).round(3).tolist()
    [38.0]
    """
    rows = np.arange(len(problem.stock))
    low = problem.salvage.copy()
    high = np.maximum(problem.worth.max(axis=1), low)

    def relaxed(price: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        gain = problem.demand * (problem.worth - price[:, None])[:, None, :]
        best = gain.argmax(axis=2)
        units = np.take_along_axis(problem.demand, best[:, :, None], axis=2)[:, :, 0]
        most = np.take_along_axis(gain, best[:, :, None], axis=2)[:, :, 0]
        units, most = np.where(most > 0.0, units, 0.0), np.maximum(most, 0.0)
        return price * problem.stock + most.sum(axis=1), units.sum(axis=1)

    bound = np.minimum(relaxed(low)[0], relaxed(high)[0])
    for _ in range(60):
        middle = 0.5 * (low + high)
        value, sold = relaxed(middle)
        bound = np.minimum(bound, value)
        over = sold > problem.stock
        low[rows[over]] = middle[over]
        high[rows[~over]] = middle[~over]
    return bound


def _fits(policy: SeasonPolicy, truth: Season) -> None:
    n, weeks, states, rungs = policy.rung.shape
    if (n, weeks, rungs) != truth.demand.shape or truth.stock.max() >= states:
        raise ModelError(
            f"the policy is for {n} items, {weeks} weeks, {rungs} rungs and stock to {states - 1}; the season has "
            f"shape {truth.demand.shape} and stock to {truth.stock.max()}."
        )
