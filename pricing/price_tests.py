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
from .price_test_inference import (
    degrees_of_freedom,
    estimate_response,
    fitted_means,
    judge_response,
    two_way,
    ways_to_draw,
)

if TYPE_CHECKING:
    import pandas as pd

_FEWEST_UNITS = 4
_FEWEST_WAYS = 20
_MANY_WAYS = 100_000


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
    drawn : tuple of int
        Of each week, the draw that it belongs to: a switchback draws each pair of blocks anew. Empty: one draw for all.

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
    drawn: tuple[int, ...] = field(repr=False, default=())

    @property
    def _counted_draws(self) -> np.ndarray:
        drawn = np.array(self.drawn) if self.drawn else np.zeros(self.factor.shape[1], np.int64)
        return drawn[self.counted]

    @property
    def ways(self) -> int:
        """In how many ways the test could have been drawn: no probability below two in so many can be told."""
        return ways_to_draw(np.log(self.factor[:, self.counted]), self._counted_draws)

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
            Of the two-sided test.

        Raises
        ------
        DesignError
            Where a number is out of range, or the test can be drawn in too few ways to reject at the level.

        Notes
        -----
        The standard error is that of the reading itself, for this very schedule: with x the log factor less its unit's
        and week's means, ``sum_i x_i' W x_i / (sum x^2)^2``, W the covariance of a first-order autoregression. Units
        count alike in the reading, whatever their size. Power is that of a t test with (units - 1) x draws - 1 degrees
        of freedom, which the test by draws is close to.
        """
        from scipy.stats import nct, t

        effect, sd, autocorrelation, level = (
            _number(name, value)
            for name, value in (
                ("effect", effect), ("sd", sd), ("autocorrelation", autocorrelation), ("level", level)
            )
        )  # fmt: skip
        if not sd > 0.0 or not -1.0 < autocorrelation < 1.0 or not 0.0 < level < 1.0:
            raise DesignError(
                f"sd, autocorrelation and level are {sd}, {autocorrelation}, {level}; sd is above 0, autocorrelation "
                "in (-1, 1), level in (0, 1)"
            )
        if 2.0 / self.ways > level + 1e-12:
            raise DesignError(
                f"the test can be drawn in {self.ways} ways, so nothing is rejected at a level of {level}; take a "
                f"level of {2.0 / self.ways:.3g} or more, or more units"
            )
        log_factor = np.log(self.factor[:, self.counted])
        x = two_way(log_factor)
        week = np.flatnonzero(self.counted)
        covariance = autocorrelation ** np.abs(week[:, None] - week)
        error = float(sd * np.sqrt(np.einsum("is,st,it->", x, covariance, x)) / (x**2).sum())
        degrees = degrees_of_freedom(log_factor, self._counted_draws)
        # with few draws only some levels are there to reject at
        reached = np.floor(level * self.ways / 2.0 + 1e-9) * 2.0 / self.ways if self.ways < _MANY_WAYS else level
        edge = t.ppf(1.0 - reached / 2.0, degrees)
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
    (0.42, 0.65)
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
        The mean response of the units, each counting alike, and its error over the draws that could have been.
    lower, upper : float
        Ends of the interval: the elasticities that the draw does not speak against. Infinite where none does.
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
        Clusters that can be drawn in fewer than 20 ways (fewer than six), since no test of them can be judged at 10%;
        no week before or in the test, a factor of 1 or not above 0.

    Examples
    --------
    >>> clusters = {f"item {i}": f"category {i // 2}" for i in range(12)}
    >>> test = clustered_price_test(clusters, before=8, weeks=4, factor=0.9, salt="spring")
    >>> test.factor[:, -1].tolist(), len(test.units), test.measures
    ([0.9, 1.0, 1.0, 0.9, 1.0, 0.9], 6, 'category')
    """
    if not isinstance(clusters, Mapping):
        raise DesignError(f"clusters are {clusters!r:.60}; give a mapping from item to category")
    names = tuple(sorted({str(name) for name in clusters.values()}))
    _enough(names, "clusters")
    factor = _price_factor(factor)
    before, weeks = _whole("before", before), _whole("weeks", weeks)
    if before < 1 or weeks < 1:
        raise DesignError(f"before and weeks are {before} and {weeks}; each must be 1 or more")
    rank = np.argsort(np.argsort(unit_interval(names, salt), kind="stable"), kind="stable")
    treated = rank < len(names) // 2
    factors = np.ones((len(names), before + weeks))
    factors[treated, before:] = factor
    unit_of = {str(item): str(name) for item, name in clusters.items()}
    return _judged(PriceTest(names, factors, np.ones(before + weeks, np.bool_), "category", unit_of), "clusters")


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
        Stores that can be drawn in fewer than 20 ways (fewer than six in one pair of blocks, fewer than four in two),
        weeks that are not whole pairs of blocks, a washout as long as a block.

    Examples
    --------
    >>> test = switchback_price_test(["a", "b", "c", "d"], 4, 1, factor=0.9, salt="spring")
    >>> test.factor.tolist()
    [[1.0, 0.9, 0.9, 1.0], [0.9, 1.0, 0.9, 1.0], [1.0, 0.9, 1.0, 0.9], [0.9, 1.0, 1.0, 0.9]]
    """
    names = tuple(sorted({str(store) for store in stores}))
    _enough(names, "stores")
    factor = _price_factor(factor)
    if moves not in ("own", "category"):
        raise DesignError(f"moves is {moves!r}; it is 'own' or 'category'")
    weeks, block_weeks, washout = (
        _whole(n, v) for n, v in (("weeks", weeks), ("block_weeks", block_weeks), ("washout", washout))
    )
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
    drawn = tuple((np.arange(weeks) // (2 * block_weeks)).tolist())
    return _judged(PriceTest(names, factors, np.arange(weeks) % block_weeks >= washout, moves, drawn=drawn), "stores")


def price_response(test: PriceTest, unit: Any, week: Any, sold: Any, *, interval: float = 0.9) -> PriceResponse:
    """Read a test: the elasticity of units sold, against each unit's own level and each week's.

    Poisson pseudo maximum likelihood with effects of units and weeks (no logarithm of a week without a sale is needed)
    on each unit's share of its own sales: units count alike, so that the answer is not that of the largest. Errors and
    interval are those of the draw: `price_test_inference`.

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
    interval = _number("interval", interval, ModelError)
    if not 0.0 < interval < 1.0:
        raise ModelError(f"interval is {interval}; it is a probability in (0, 1), such as 0.9.")
    if 2.0 / test.ways > 1.0 - interval + 1e-12:
        raise ModelError(
            f"the test could have been drawn in {test.ways} ways, which tells nothing of an interval of {interval}; "
            f"ask for one of at most {1.0 - 2.0 / test.ways:.3g}, or test more units."
        )
    units = _cells(test, unit, week, sold)[:, test.counted]
    x = np.log(test.factor[:, test.counted])
    _none_empty(units)
    elasticity = estimate_response(x, units)
    error, lower, upper = judge_response(x, units, test._counted_draws, elasticity, interval)
    return PriceResponse(elasticity, error, lower, upper, len(test.units), test.measures)


def weekly_noise(unit: Any, week: Any, sold: Any) -> tuple[float, float]:
    """Return standard deviation and autocorrelation of weekly units, for `PriceTest.power`.

    Of ``sold / expected - 1``, the expectation being unit level x week level, in weeks at regular prices; units count
    alike, as they do in `price_response`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> unit, week = np.repeat(np.arange(30), 52), np.tile(np.arange(52), 30)
    >>> sd, autocorrelation = weekly_noise(unit, week, rng.poisson(100.0, 30 * 52))
    >>> round(sd, 2), abs(autocorrelation) < 0.05
    (0.1, True)
    """
    try:
        rows, columns = (np.unique(np.asarray(list(v)), return_inverse=True) for v in (unit, week))
        values = np.asarray(sold, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ModelError(f"unit, week and sold are columns of names, weeks and numbers ({error}).") from error
    if not len(rows[1]) == len(columns[1]) == values.size or not ((values >= 0.0) & np.isfinite(values)).all():
        raise ModelError("unit, week and sold differ in length, or units sold hold negative or missing values.")
    units = np.zeros((len(rows[0]), len(columns[0])))
    np.add.at(units, (rows[1], columns[1]), values)
    if min(units.shape) < 3 or (units.sum(axis=1) <= 0.0).any() or (units.sum(axis=0) <= 0.0).any():
        raise ModelError("noise takes three units and weeks or more, each with a sale.")
    off = units / fitted_means(units, np.ones_like(units)) - 1.0
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
        Elasticity when every price moves: the mean of the units', each counting alike, as a reading does.
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
        cells = _cells(test, names, week, expected.ravel())[:, test.counted]
        readings.append(estimate_response(np.log(test.factor[:, test.counted]), cells))
        moved = float(log_factor[log_factor != 0.0][0])
        after = np.bincount(unit, units * np.exp((own + cross.sum(axis=1)) * moved)) / np.bincount(unit, units)
        truths.append(np.log(after.mean()) / moved)
    estimate, truth = float(np.mean(readings)), float(np.mean(truths))
    return SubstitutionBias(estimate, truth, estimate - truth)


def _cells(test: PriceTest, unit: Any, week: Any, sold: Any) -> np.ndarray:
    row = {name: k for k, name in enumerate(test.units)}
    row |= {item: row[name] for item, name in test.unit_of.items()}
    try:
        names = [str(name) for name in unit]
        at, values = np.asarray(week, dtype=np.float64), np.asarray(sold, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ModelError(f"unit, week and sold are columns of names and numbers ({error}).") from error
    if not len(names) == at.size == values.size or at.ndim != 1 or values.ndim != 1:
        raise ModelError(f"unit, week and sold have {len(names)}, {at.size} and {values.size} rows; give one of each.")
    wrong = [name for name in names if name not in row]
    if wrong:
        raise ModelError(f"unit {wrong[0]!r} is not of the test{nearest(wrong[0], test.units)}.")
    weeks = test.factor.shape[1]
    if len(at) == 0 or not ((at >= 0) & (at < weeks) & (at == np.floor(at))).all():
        raise ModelError(
            f"weeks are whole, from 0 to {weeks - 1} in the test; the data's are others, or there are none."
        )
    at = at.astype(np.int64)
    units, seen = np.zeros(test.factor.shape), np.zeros(test.factor.shape, np.bool_)
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


def _none_empty(units: np.ndarray) -> None:
    if (units.sum(axis=1) <= 0.0).any() or (units.sum(axis=0) <= 0.0).any():
        raise ModelError("a unit or a week of the test sold nothing at all: leave it out, or put units together.")


def _judged(test: PriceTest, what: str) -> PriceTest:
    if test.ways < _FEWEST_WAYS:
        raise DesignError(
            f"{len(test.units)} {what} can be drawn in {test.ways} ways only, so that no result could be told from "
            f"chance at 10%; take six or more{', or more blocks' if what == 'stores' else ''}"
        )
    return test


def _enough(names: Sequence[str], what: str) -> None:
    if len(names) < _FEWEST_UNITS:
        raise DesignError(
            f"there are {len(names)} {what}; a test takes {_FEWEST_UNITS} or more, so that its error can be told"
        )


def _number(name: str, value: Any, error: type[ModelError] = DesignError) -> float:
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = float("nan")
    if isinstance(value, str | bool) or not np.isfinite(found):
        raise error(f"{name} is {value!r}; it is a finite number.")
    return found


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise DesignError(f"{name} is {value!r}; it is a whole number.")
    return int(value)


def _price_factor(factor: Any) -> float:
    factor = _number("factor", factor)
    if not 0.0 < factor < 10.0 or factor == 1.0:
        raise DesignError(f"factor is {factor}; it is a share of the regular price other than 1, such as 0.9")
    return factor
