"""Switchbacks: the offer is on in some blocks of time and off in others, where customers compete for limited stock.

Where one customer's voucher is another's empty shelf, treated customers buy what control customers would have bought,
and a split by customer compares two worlds that cannot exist apart. A block of time (or a cluster, see `clusters`)
that has one arm keeps the competition within the arm.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from ..sql.errors import ModelError
from .clusters import t_power
from .design import DesignError, Power, unit_interval
from .estimate import Estimate, checked, interval

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Switchback:
    """A plan: which arm each region has in each block of time.

    Attributes
    ----------
    regions : tuple of str
        Sorted; one where the whole shop switches.
    arm : ndarray of shape (regions, blocks), int
        0 = control, 1 = treated.
    block_length : int
        Periods (days, hours) of a block.
    washout : int
        Periods at the begin of each block that are not counted: what the block before left behind.
    periods : int
        Of the experiment; the last block may be shorter.
    balanced : bool
        Whether the blocks come in pairs, one of each arm, in an order drawn for each pair.

    Examples
    --------
    >>> plan = switchback(["all"], periods=8, block_length=2, salt="spring")
    >>> plan.n_blocks, plan.block_of(np.arange(4)).tolist()
    (4, [0, 0, 1, 1])
    """

    regions: tuple[str, ...]
    arm: np.ndarray = field(repr=False)
    block_length: int
    washout: int
    periods: int
    balanced: bool

    @property
    def n_blocks(self) -> int:
        """Blocks of time in each region."""
        return self.arm.shape[1]

    def block_of(self, period: np.ndarray) -> np.ndarray:
        """Return the block of each period, counted from 0."""
        return np.asarray(period, dtype=np.int64) // self.block_length

    def counted(self, period: np.ndarray) -> np.ndarray:
        """Return whether a period is counted: not within the washout of its block."""
        return np.asarray(period, dtype=np.int64) % self.block_length >= self.washout

    def arm_at(self, region: np.ndarray, period: np.ndarray) -> np.ndarray:
        """Return the arm of regions (labels) at periods, (n,).

        Raises
        ------
        ModelError
            Where a region is not of the plan, or a period outside it.
        """
        rows = self._rows(region)
        at = np.asarray(period, dtype=np.int64)
        if len(at) and (at.min() < 0 or at.max() >= self.periods):
            raise ModelError(f"periods run from {at.min()} to {at.max()}; the plan's from 0 to {self.periods - 1}.")
        return self.arm[rows, self.block_of(at)]

    def schedule(self) -> "pd.DataFrame":
        """Return a row per region and block: ``region, block, first_period, last_period, arm``."""
        import pandas as pd

        region, block = (index.ravel() for index in np.indices(self.arm.shape))
        first = block * self.block_length
        return pd.DataFrame(
            {
                "region": np.array(self.regions)[region],
                "block": block,
                "first_period": first,
                "last_period": np.minimum(first + self.block_length, self.periods) - 1,
                "arm": self.arm.ravel(),
            }
        )

    def _rows(self, region: np.ndarray) -> np.ndarray:
        labels = np.asarray(region).astype(np.str_)
        rows = np.minimum(np.searchsorted(self.regions, labels), len(self.regions) - 1)
        wrong = np.array(self.regions)[rows] != labels
        if wrong.any():
            raise ModelError(f"region {str(labels[wrong][0])!r} is not of the plan; it has {list(self.regions)[:10]}.")
        return rows


def switchback(
    regions: Iterable[object],
    periods: int,
    block_length: int,
    salt: str,
    *,
    washout: int = 0,
    sequence: Literal["balanced", "random"] = "balanced",
) -> Switchback:
    """Plan a switchback: each region has the offer in some blocks of time and not in others, by hash.

    Parameters
    ----------
    regions : iterable
        Regions that share no stock; one is enough. Repeats count once.
    periods : int
        Periods (days, hours) of the experiment.
    block_length : int
        Periods of a block: several times as long as an offer lingers.
    salt : str
        Name of the experiment; the same salt gives the same plan.
    washout : int
        Periods to leave out at the begin of each block.
    sequence : {"balanced", "random"}
        "balanced": pairs of blocks, one of each arm. "random": each block on its own, with probability 1/2.

    Raises
    ------
    DesignError
        Where a number is outside its range or there are fewer than four blocks.

    Notes
    -----
    Pairs of neighbouring blocks share the season, so that it cancels; see Bojinov, Simchi-Levi & Zhao 2023, Management
    Science 69, for lengths and lingering.

    Examples
    --------
    >>> plan = switchback(["north", "south"], periods=16, block_length=2, salt="spring", washout=1)
    >>> plan.arm.tolist(), plan.counted(np.arange(4)).tolist()
    ([[0, 1, 0, 1, 0, 1, 0, 1], [0, 1, 0, 1, 0, 1, 0, 1]], [False, True, False, True])
    """
    names = tuple(sorted({str(region) for region in regions}))
    _require("the number of regions", len(names), len(names) >= 1, "1 or more")
    _require("block_length", block_length, block_length >= 1, "1 or more")
    _require("washout", washout, 0 <= washout < block_length, f"0 or more and below the block's {block_length} periods")
    if sequence not in ("balanced", "random"):
        raise DesignError(f"sequence is {sequence!r}; it is 'balanced' or 'random'")
    blocks = -(-periods // block_length)
    if blocks < 4:
        raise DesignError(
            f"{periods} periods in blocks of {block_length} are {blocks} blocks; it takes 4 or more. Run longer, or "
            "switch more often"
        )
    drawn = blocks if sequence == "random" else -(-blocks // 2)
    ids = [f"{name}:{b}" for name in names for b in range(drawn)]
    first = (unit_interval(ids, salt) < 0.5).astype(np.int64).reshape(len(names), drawn)
    arm = first if sequence == "random" else np.stack([first, 1 - first], axis=2).reshape(len(names), -1)[:, :blocks]
    return Switchback(names, arm, block_length, washout, periods, sequence == "balanced")


@dataclass(frozen=True)
class SwitchbackEffect:
    """The effect of having the offer on, against off, per region and period.

    Attributes
    ----------
    effect : Estimate
        In the outcome's units.
    blocks : ndarray of shape (regions, blocks)
        Mean of the counted periods of each block; NaN where none was counted.
    method : str
        "pairs", "regions" or "hac": where the standard error comes from.
    """

    effect: Estimate
    blocks: np.ndarray = field(repr=False)
    method: str


def switchback_effect(
    plan: Switchback,
    region: np.ndarray,
    period: np.ndarray,
    outcome: np.ndarray,
    *,
    method: Literal["auto", "pairs", "regions", "hac"] = "auto",
    level: float = 0.95,
) -> SwitchbackEffect:
    """Estimate what having the offer on does to a whole region, per period.

    Parameters
    ----------
    plan : Switchback
    region, period, outcome : ndarray of shape (n,)
        Rows of the log: label, period counted from 0, and outcome. Rows of a region and period are added up, so that
        orders or customers may be given as they are; a period without rows counts as 0.
    method : {"auto", "pairs", "regions", "hac"}
        "pairs": differences within the pairs of a balanced plan are independent draws. "regions": regions are. "hac":
        block means follow each other in time. "auto": pairs where balanced, otherwise regions from 10 on, else hac.
    level : float
        Coverage of the interval.

    Raises
    ------
    ModelError
        Where a row is outside the plan, or there are too few blocks for the method.

    Notes
    -----
    Block means after washout; treated less control within pairs, or by least squares with region and block-of-time
    means taken out ("regions": clustered by region) or region means only ("hac": Newey & West 1987, Econometrica 55,
    with the lag of Newey & West 1994, floor(4 (T / 100)^(2/9))).

    Examples
    --------
    >>> plan = switchback(["north"], periods=40, block_length=2, salt="spring")
    >>> day = np.arange(40)
    >>> sales = 100 + day + 10 * plan.arm_at(np.repeat("north", 40), day)
    >>> found = switchback_effect(plan, np.repeat("north", 40), day, sales)
    >>> found.method, found.effect.lower < 10 < found.effect.upper
    ('pairs', True)
    """
    blocks = _block_means(plan, region, period, checked("outcome", outcome))
    if method == "auto":
        method = "pairs" if plan.balanced else "regions" if len(plan.regions) >= 10 else "hac"
    if method not in _METHODS:
        raise ModelError(f"method is {method!r}; it must be 'auto', {', '.join(map(repr, _METHODS))}.")
    if method == "pairs" and not plan.balanced:
        raise ModelError("method 'pairs' needs a balanced plan; take 'hac' or 'regions'.")
    value, error, freedom = _METHODS[method](blocks, plan.arm)
    return SwitchbackEffect(interval(value, error, units=freedom + 1, level=level), blocks, method)


def power_switchback(
    blocks: int,
    effect: float,
    sd: float,
    *,
    regions: int = 1,
    correlation: float = 0.0,
    level: float = 0.05,
) -> Power:
    """Power of a balanced switchback.

    Parameters
    ----------
    blocks : int
        Blocks of time in each region, at least 4.
    effect : float
        True difference of a period's outcome, on against off.
    sd : float
        Standard deviation of a block's mean within a region (season taken out), in the outcome's units; it falls
        with longer blocks and rises with washout.
    regions : int
        Regions that are drawn on their own.
    correlation : float
        Between neighbouring blocks of a region, in (-1, 1): what pairing takes away.
    level : float
        Of the two-sided test.

    Returns
    -------
    Power
        ``units`` counts blocks, of all regions.

    Raises
    ------
    DesignError
        A number outside its range.

    Notes
    -----
    A pair's difference has variance 2 sd^2 (1 - correlation), and there are regions x floor(blocks / 2) pairs.

    Examples
    --------
    >>> round(power_switchback(28, 10.0, 12.0, regions=2).power, 2)
    0.85
    """
    _require("blocks", blocks, blocks >= 4, "4 or more")
    _require("regions", regions, regions >= 1, "1 or more")
    _require("sd", sd, sd > 0, "positive")
    _require("correlation", correlation, -1 < correlation < 1, "in (-1, 1)")
    pairs = regions * (blocks // 2)
    error = (2.0 * sd**2 * (1.0 - correlation) / pairs) ** 0.5
    return Power(regions * blocks, float(effect), error, t_power(effect / error, pairs - 1, level), level)


def _block_means(plan: Switchback, region: np.ndarray, period: np.ndarray, outcome: np.ndarray) -> np.ndarray:
    rows, at = plan._rows(region), np.asarray(period, dtype=np.int64)
    if len(rows) != len(outcome) or at.shape != outcome.shape:
        raise ModelError(f"region, period and outcome have {len(rows)}, {len(at)} and {len(outcome)} rows; align them.")
    plan.arm_at(region, at)  # refuses periods outside the plan
    sums = np.zeros((len(plan.regions), plan.periods))
    np.add.at(sums, (rows, at), outcome)
    periods = np.arange(plan.periods)
    kept, block = plan.counted(periods), plan.block_of(periods)
    count = np.bincount(block[kept], minlength=plan.n_blocks).astype(np.float64)
    total = np.stack([np.bincount(block[kept], row[kept], plan.n_blocks) for row in sums])
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _by_pairs(blocks: np.ndarray, arm: np.ndarray) -> tuple[float, float, int]:
    pairs = blocks.shape[1] // 2
    sign = np.where(arm[:, : 2 * pairs] == 1, 1.0, -1.0)
    each = (blocks[:, : 2 * pairs] * sign).reshape(len(blocks), pairs, 2).sum(axis=2).ravel()
    each = each[np.isfinite(each)]
    if len(each) < 2:
        raise ModelError(f"there are {len(each)} pairs of blocks; it takes 2 or more. Run longer.")
    return float(each.mean()), float(each.std(ddof=1) / len(each) ** 0.5), len(each) - 1


def _by_regions(blocks: np.ndarray, arm: np.ndarray) -> tuple[float, float, int]:
    n = len(blocks)
    if n < 2:
        raise ModelError("method 'regions' needs 2 or more regions; take 'pairs' or 'hac'.")
    kept = np.isfinite(blocks).all(axis=0)
    y, w = blocks[:, kept], arm[:, kept].astype(np.float64)
    y, w = (v - v.mean(axis=0) - v.mean(axis=1, keepdims=True) + v.mean() for v in (y, w))
    square = _varied(w)
    value = float((w * y).sum()) / square
    parts = (w * (y - value * w)).sum(axis=1)
    return value, float((parts @ parts) * n / (n - 1.0)) ** 0.5 / square, n - 1


def _by_hac(blocks: np.ndarray, arm: np.ndarray) -> tuple[float, float, int]:
    kept = np.isfinite(blocks).all(axis=0)
    y, w = blocks[:, kept], arm[:, kept].astype(np.float64)
    y, w = (v - v.mean(axis=1, keepdims=True) for v in (y, w))
    square = _varied(w)
    value = float((w * y).sum()) / square
    # regions share the season: their scores of a block are added before time's correlation is looked at
    scores = (w * (y - value * w)).sum(axis=0)
    length = len(scores)
    lags = int(4.0 * (length / 100.0) ** (2.0 / 9.0))
    long_run = float(scores @ scores)
    for lag in range(1, min(lags, length - 1) + 1):
        long_run += 2.0 * (1.0 - lag / (lags + 1.0)) * float(scores[lag:] @ scores[:-lag])
    freedom = max(1, length - 1 - len(blocks))
    return value, float(max(long_run, 0.0) * length / freedom) ** 0.5 / square, freedom


def _varied(w: np.ndarray) -> float:
    square = float((w**2).sum())
    if square == 0.0:
        raise ModelError("every counted block has the same arm, or all regions switch at once; draw another plan.")
    return square


_METHODS = {"pairs": _by_pairs, "regions": _by_regions, "hac": _by_hac}


def _require(name: str, value: float, holds: bool | np.bool_, allowed: str) -> None:
    if not holds:
        raise DesignError(f"{name} is {value}; it must be {allowed}")
