"""Price tests that shops can run: who has which price when, what a test can see, and what it saw.

A customer who finds an item dear takes its neighbour. A test that sets prices item by item compares cheap items with
dear ones that lost their buyers to them: it reads substitution as response, and can be off by as much as the response
itself (Roemheld & Rao 2024, Interference Produces False-Positive Pricing Experiments). Prices of a whole category move
together (`clustered_price_test`), or one price moves in some weeks and stores and not in others
(`switchback_price_test`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..sql.errors import ModelError, nearest
from ..sql.hashing import DesignError, unit_interval

if TYPE_CHECKING:
    import pandas as pd

_FEWEST_UNITS = 4
_PASSES = 500


@dataclass(frozen=True)
class PriceTest:
    """A plan: the factor on the regular price of each unit (category, item or store) in each week.

    Attributes
    ----------
    units : tuple of str
        What moves as one, sorted.
    factor : ndarray of shape (units, weeks)
    counted : ndarray of shape (weeks,), bool
        False in weeks that are left out of the reading: what the block before left behind.
    measures : {"category", "own"}
        Response of a whole category whose prices move together, or of one item while others' prices stand.
    unit_of : dict of str to str
        Item to its unit; empty where stores switch.

    Examples
    --------
    >>> test = switchback_price_test(["a", "b", "c", "d"], 4, 1, factor=0.9, salt="spring")
    >>> test.schedule().head(2).to_dict("list")
    {'unit': ['a', 'a'], 'week': [0, 1], 'factor': [1.0, 0.9], 'counted': [True, True]}
    """

    units: tuple[str, ...]
    factor: np.ndarray = field(repr=False)
    counted: np.ndarray = field(repr=False)
    measures: Literal["category", "own"]
    unit_of: dict[str, str] = field(repr=False, default_factory=dict)

    def schedule(self) -> "pd.DataFrame":
        """Return a row per unit and week: ``unit, week`` (from 0)``, factor, counted``."""
        import pandas as pd

        n, weeks = self.factor.shape
        return pd.DataFrame(
            {
                "unit": np.repeat(np.array(self.units), weeks),
                "week": np.tile(np.arange(weeks), n),
                "factor": self.factor.ravel(),
                "counted": np.tile(self.counted, n),
            }
        )

    def power(self, effect: float, *, sd: float, autocorrelation: float = 0.0, level: float = 0.05) -> "PriceTestPower":
        """Power to tell an elasticity from one that is ``effect`` away.

        Parameters
        ----------
        effect : float
            Difference in elasticity; from 0, the elasticity itself.
        sd, autocorrelation : float
            Of a unit's weekly units around its level and the week's, in logarithms: see `weekly_noise`.
        level : float
            Of the two-sided t test, with units - 1 degrees of freedom.

        Notes
        -----
        The standard error is that of the reading itself, for this very schedule: with x the log factor less its unit's
        and week's means, ``sum_i x_i' W x_i / (sum x^2)^2``, W the covariance of a first-order autoregression.
        """
        from scipy.stats import nct, t

        if not sd > 0.0 or not -1.0 < autocorrelation < 1.0 or not 0.0 < level < 1.0:
            raise DesignError(
                f"sd, autocorrelation and level are {sd}, {autocorrelation}, {level}; sd is above 0, autocorrelation "
                "in (-1, 1), level in (0, 1)"
            )
        x = _two_way(np.log(self.factor[:, self.counted]))
        week = np.flatnonzero(self.counted)
        covariance = autocorrelation ** np.abs(week[:, None] - week)
        error = float(sd * np.sqrt(np.einsum("is,st,it->", x, covariance, x)) / (x**2).sum())
        degrees = len(self.units) - 1
        edge = t.ppf(1.0 - level / 2.0, degrees)
        away = abs(effect) / error
        seen = float(nct.sf(edge, degrees, away) + nct.cdf(-edge, degrees, away))
        return PriceTestPower(float(effect), error, seen, level)


@dataclass(frozen=True)
class PriceTestPower:
    """What a price test can see: a difference ``effect`` in elasticity with ``power`` at the two-sided ``level``.

    Examples
    --------
    >>> test = switchback_price_test([f"store {k}" for k in range(40)], 8, 1, factor=0.9, salt="spring")
    >>> seen = test.power(1.0, sd=0.4)
    >>> round(seen.standard_error, 2), round(seen.power, 2)
    (0.42, 0.63)
    """

    effect: float
    standard_error: float
    power: float
    level: float


@dataclass(frozen=True)
class PriceResponse:
    """What a price test saw.

    Attributes
    ----------
    elasticity, standard_error : float
        Clustered by unit.
    lower, upper : float
        Ends of the interval, of t with units - 1 degrees of freedom.
    units : int
    measures : str
        As the test's.

    Examples
    --------
    >>> read = PriceResponse(-2.0, 0.5, -2.9, -1.1, units=20, measures="own")
    >>> read.upper < 0
    True
    """

    elasticity: float
    standard_error: float
    lower: float
    upper: float
    units: int
    measures: str


def clustered_price_test(
    clusters: Mapping[str, str], *, before: int, weeks: int, factor: float, salt: str
) -> PriceTest:
    """Plan a test in which half of the clusters have another price, after weeks in which none has.

    Parameters
    ----------
    clusters : mapping of str to str
        Item to its category: items that a customer may take for each other belong into one. Mapped to themselves, items
        are drawn one by one, which `substitution_bias` shows the price of.
    before, weeks : int
        Weeks at the regular price that clusters are compared with themselves by, and weeks of the test.
    factor : float
        On the regular price, such as 0.9.
    salt : str
        Name of the test: the same salt gives the same draw.

    Raises
    ------
    DesignError
        Fewer than four clusters, no week before or in the test, a factor of 1 or not above 0.

    Examples
    --------
    >>> clusters = {f"item {i}": f"category {i // 2}" for i in range(12)}
    >>> test = clustered_price_test(clusters, before=8, weeks=4, factor=0.9, salt="spring")
    >>> test.factor[:, -1].tolist(), len(test.units), test.measures
    ([0.9, 1.0, 1.0, 0.9, 1.0, 0.9], 6, 'category')
    """
    names = tuple(sorted({str(name) for name in clusters.values()}))
    _enough(names, "clusters")
    _price_factor(factor)
    if before < 1 or weeks < 1:
        raise DesignError(f"before and weeks are {before} and {weeks}; each must be 1 or more")
    rank = np.argsort(np.argsort(unit_interval(names, salt), kind="stable"), kind="stable")
    treated = rank < len(names) // 2
    factors = np.ones((len(names), before + weeks))
    factors[treated, before:] = factor
    unit_of = {str(item): str(name) for item, name in clusters.items()}
    return PriceTest(names, factors, np.ones(before + weeks, np.bool_), "category", unit_of)


def switchback_price_test(
    stores: Iterable[object],
    weeks: int,
    block_weeks: int,
    *,
    factor: float,
    salt: str,
    washout: int = 0,
    moves: Literal["own", "category"] = "own",
) -> PriceTest:
    """Plan a test in which each store has the other price in one of every two blocks of weeks.

    Parameters
    ----------
    stores : iterable
        Stores (or regions, or shops online) that do not share customers.
    weeks : int
        Of the test: whole pairs of blocks.
    block_weeks : int
        Weeks of a block.
    factor : float
        On the regular price in one block of each pair.
    salt : str
        Name of the test: it draws which block of a pair comes first, half of the stores each.
    washout : int
        Weeks to leave out at the begin of a block: customers who stocked up at the lower price stay away.
    moves : {"own", "category"}
        Whether one item's price moves while others' stand, or all of a category's move together.

    Raises
    ------
    DesignError
        Fewer than four stores, weeks that are not whole pairs of blocks, a washout as long as a block.

    Examples
    --------
    >>> test = switchback_price_test(["a", "b", "c", "d"], 4, 1, factor=0.9, salt="spring")
    >>> test.factor.tolist()
    [[1.0, 0.9, 0.9, 1.0], [0.9, 1.0, 0.9, 1.0], [1.0, 0.9, 1.0, 0.9], [0.9, 1.0, 1.0, 0.9]]
    """
    names = tuple(sorted({str(store) for store in stores}))
    _enough(names, "stores")
    _price_factor(factor)
    if moves not in ("own", "category"):
        raise DesignError(f"moves is {moves!r}; it is 'own' or 'category'")
    if block_weeks < 1 or weeks < 2 * block_weeks or weeks % (2 * block_weeks):
        raise DesignError(f"{weeks} weeks are not whole pairs of blocks of {block_weeks}; take a multiple of both")
    if not 0 <= washout < block_weeks:
        raise DesignError(f"washout is {washout}; it is 0 or more and below the block's {block_weeks} weeks")
    pairs = weeks // (2 * block_weeks)
    first = np.empty((len(names), pairs), np.bool_)
    for pair in range(pairs):
        rank = np.argsort(np.argsort(unit_interval([f"{name}:{pair}" for name in names], salt), kind="stable"))
        first[:, pair] = rank < len(names) // 2
    low = np.stack([first, ~first], axis=2).reshape(len(names), -1)
    factors = np.where(np.repeat(low, block_weeks, axis=1), factor, 1.0)
    return PriceTest(names, factors, np.arange(weeks) % block_weeks >= washout, moves)


def price_response(test: PriceTest, unit: Any, week: Any, sold: Any, *, interval: float = 0.9) -> PriceResponse:
    """Read a test: the elasticity of units sold, against each unit's own level and each week's.

    Poisson pseudo maximum likelihood with effects of units and weeks (no logarithm of a week without a sale is needed),
    errors clustered by unit.

    Parameters
    ----------
    test : PriceTest
    unit, week : sequence or array of length n
        Of the test (an item stands for its cluster), weeks from 0; rows of one unit and week are added up.
    sold : sequence or array of float
        Units.
    interval : float
        Probability of the interval.

    Raises
    ------
    ModelError
        Units or weeks that are not the test's or are missing, a unit or week without any sale, negative units.

    Examples
    --------
    >>> test = switchback_price_test(["a", "b", "c", "d"], 4, 1, factor=0.9, salt="spring")
    >>> rows = test.schedule()
    >>> seen = price_response(test, rows["unit"], rows["week"], 100 * rows["factor"] ** -2.0)
    >>> round(seen.elasticity, 6)
    -2.0
    """
    from scipy.optimize import brentq
    from scipy.stats import t

    if not 0.0 < interval < 1.0:
        raise ModelError(f"interval is {interval}; it is a probability in (0, 1), such as 0.9.")
    units = _cells(test, unit, week, sold)[:, test.counted]
    x = np.log(test.factor[:, test.counted])
    empty = (units.sum(axis=1) <= 0.0).any() or (units.sum(axis=0) <= 0.0).any()
    if empty:
        raise ModelError("a unit or a week of the test sold nothing at all: leave it out, or put units together.")

    def score(elasticity: float) -> float:
        return float((x * (units - _fitted(units, np.exp(elasticity * x)))).sum())

    low, high = -1.0, 1.0
    while score(low) < 0.0 and low > -256.0:
        low *= 2.0
    while score(high) > 0.0 and high < 256.0:
        high *= 2.0
    if score(low) < 0.0 or score(high) > 0.0:
        raise ModelError("all sales of the test are at one price: there is nothing to compare.")
    root: Any = brentq(score, low, high, xtol=1e-10)
    elasticity = float(root)
    mean = _fitted(units, np.exp(elasticity * x))
    around = _two_way(x, mean)
    bread = float((mean * around**2).sum())
    n = len(test.units)
    error = float(np.sqrt((((units - mean) * around).sum(axis=1) ** 2).sum() * n / (n - 1)) / bread)
    half = float(t.ppf((1.0 + interval) / 2.0, n - 1)) * error
    return PriceResponse(elasticity, error, elasticity - half, elasticity + half, n, test.measures)


def weekly_noise(unit: Any, week: Any, sold: Any) -> tuple[float, float]:
    """Return standard deviation and autocorrelation of weekly units, for `PriceTest.power`.

    Of ``sold / expected - 1``, the expectation being unit level x week level, in weeks at regular prices.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> unit, week = np.repeat(np.arange(30), 52), np.tile(np.arange(52), 30)
    >>> sd, autocorrelation = weekly_noise(unit, week, rng.poisson(100.0, 30 * 52))
    >>> round(sd, 2), abs(autocorrelation) < 0.05
    (0.1, True)
    """
    rows, columns = (np.unique(np.asarray(list(v)), return_inverse=True) for v in (unit, week))
    units = np.zeros((len(rows[0]), len(columns[0])))
    np.add.at(units, (rows[1], columns[1]), np.asarray(sold, dtype=np.float64))
    if min(units.shape) < 3 or (units.sum(axis=1) <= 0.0).any() or (units.sum(axis=0) <= 0.0).any():
        raise ModelError("noise takes three units and weeks or more, each with a sale.")
    off = units / _fitted(units, np.ones_like(units)) - 1.0
    n, weeks = off.shape
    spread = float(np.sqrt((off**2).sum() / ((n - 1) * (weeks - 1))))
    moved = float((off[:, 1:] * off[:, :-1]).mean() / (off**2).mean())
    # taking out a unit's mean over its weeks takes 1 / weeks from every autocorrelation
    return spread, float(np.clip(moved + 1.0 / weeks, -0.99, 0.99))


@dataclass(frozen=True)
class SubstitutionBias:
    """What a design reads on average, against what happens when all prices move.

    Attributes
    ----------
    estimate : float
        Mean reading over draws of who is treated.
    truth : float
        Elasticity of all units when every price moves.
    bias : float
        estimate - truth.

    Examples
    --------
    >>> SubstitutionBias(estimate=-2.4, truth=-1.2, bias=-1.2).bias
    -1.2
    """

    estimate: float
    truth: float
    bias: float


def substitution_bias(
    design: Callable[[str], PriceTest],
    own: np.ndarray,
    cross: np.ndarray,
    units: np.ndarray,
    items: Sequence[str],
    *,
    draws: int = 200,
) -> SubstitutionBias:
    """Return how far substitution takes a clustered design from the response of the whole, demand being without noise.

    Parameters
    ----------
    design : callable
        From a salt to the test.
    own : ndarray of shape (n,)
        Elasticity of each item to its own price.
    cross : ndarray of shape (n, n)
        Of the row's demand to the column's price; 0 on the diagonal.
    units : ndarray of shape (n,)
        Expected weekly units at regular prices.
    items : sequence of str
        Names, as the design knows them.
    draws : int
        Salts to average over.

    Examples
    --------
    >>> items = [f"i{k}" for k in range(40)]
    >>> category = {name: f"c{k // 5}" for k, name in enumerate(items)}
    >>> cross = 0.3 * (np.arange(40)[:, None] // 5 == np.arange(40) // 5) * (1 - np.eye(40))
    >>> def read(clusters):
    ...     def design(salt):
    ...         return clustered_price_test(clusters, before=4, weeks=4, factor=0.9, salt=salt)
    ...     return substitution_bias(design, np.full(40, -2.4), cross, np.full(40, 50.0), items, draws=20)
    >>> together, apart = read(category), read({name: name for name in items})
    >>> round(together.truth, 2), abs(round(together.bias, 6)), round(apart.bias, 1)
    (-1.2, 0.0, -1.2)
    """
    readings, truths = [], []
    for draw in range(draws):
        test = design(f"draw {draw}")
        if not test.unit_of:
            raise DesignError("substitution_bias takes a clustered test: in a switchback stores do not share customers")
        row = {name: k for k, name in enumerate(test.units)}
        unit = np.array([row[test.unit_of[name]] for name in items])
        log_factor = np.log(test.factor[unit])
        expected = units[:, None] * np.exp(own[:, None] * log_factor + cross @ log_factor)
        week = np.tile(np.arange(expected.shape[1]), len(items))
        names = np.repeat(np.array(test.units)[unit], expected.shape[1])
        readings.append(price_response(test, names, week, expected.ravel()).elasticity)
        moved = float(log_factor[log_factor != 0.0][0])
        truths.append(np.log(np.average(np.exp((own + cross.sum(axis=1)) * moved), weights=units)) / moved)
    estimate, truth = float(np.mean(readings)), float(np.mean(truths))
    return SubstitutionBias(estimate, truth, estimate - truth)


def _cells(test: PriceTest, unit: Any, week: Any, sold: Any) -> np.ndarray:
    row = {name: k for k, name in enumerate(test.units)}
    row |= {item: row[name] for item, name in test.unit_of.items()}
    names = [str(name) for name in unit]
    wrong = [name for name in names if name not in row]
    if wrong:
        raise ModelError(f"unit {wrong[0]!r} is not of the test{nearest(wrong[0], test.units)}.")
    at = np.asarray(week, dtype=np.int64)
    weeks = test.factor.shape[1]
    if len(at) == 0 or at.min() < 0 or at.max() >= weeks:
        raise ModelError(f"weeks are from 0 to {weeks - 1} in the test; the data's are others, or there are none.")
    units, seen = np.zeros(test.factor.shape), np.zeros(test.factor.shape, np.bool_)
    values = np.asarray(sold, dtype=np.float64)
    if not ((values >= 0.0) & np.isfinite(values)).all():
        raise ModelError("units sold hold negative or missing values; a week without a sale is 0.")
    rows = np.array([row[name] for name in names])
    np.add.at(units, (rows, at), values)
    seen[rows, at] = True
    if not seen[:, test.counted].all():
        k, w = np.argwhere(~seen & test.counted)[0]
        raise ModelError(
            f"unit {test.units[k]!r} has no row for week {w}: give every week of the test, with 0 where nothing sold."
        )
    return units


def _fitted(units: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Poisson means ``row x column x shape`` with the row and column sums of ``units`` (iterative proportional fit)."""
    mean = shape * units.sum() / shape.sum()
    for _ in range(_PASSES):
        mean = mean * (units.sum(axis=1) / mean.sum(axis=1))[:, None]
        factor = units.sum(axis=0) / mean.sum(axis=0)
        mean = mean * factor
        if np.abs(factor - 1.0).max() < 1e-13:
            break
    return mean


def _two_way(x: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """Return x less its weighted row and column means, by alternating projections."""
    weight = np.ones_like(x) if weight is None else weight
    x = x.copy()
    for _ in range(_PASSES):
        x = x - ((weight * x).sum(axis=1) / weight.sum(axis=1))[:, None]
        mean = (weight * x).sum(axis=0) / weight.sum(axis=0)
        x = x - mean
        if np.abs(mean).max() < 1e-14:
            break
    return x


def _enough(names: Sequence[str], what: str) -> None:
    if len(names) < _FEWEST_UNITS:
        raise DesignError(
            f"there are {len(names)} {what}; a test takes {_FEWEST_UNITS} or more, so that its error can be told"
        )


def _price_factor(factor: Any) -> None:
    if not 0.0 < factor < 10.0 or factor == 1.0:
        raise DesignError(f"factor is {factor}; it is a share of the regular price other than 1, such as 0.9")
