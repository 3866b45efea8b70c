"""Instruments: what moves the price and demand through it alone, and the part of the price that it does not explain.

A shop discounts less when it sees demand coming; the price then answers to demand, and a regression of one on the
other shows neither. What the item cost the shop, or what a promotion cost it, moves the price for reasons that have
nothing to do with the week's demand. The residual of the price on those is the part that may answer to demand; with it
as a further regressor (a control function: Wooldridge 2015) the price's own coefficient is the response.
"""

from dataclasses import dataclass, field

import numpy as np

from ..sql.errors import ModelError, nearest
from .panel_arrays import PanelArrays

INSTRUMENTS: dict[str, tuple[str, ...]] = {
    "cost": ("unit_cost",),
    "promotion_cost": ("promotion_cost", "unit_cost"),
    "regular_price": ("regular_price",),
}
STRONG_F = 10.0
_FEWEST_SPARE_CLUSTERS = 3


@dataclass(frozen=True)
class FirstStage:
    """The price explained by instruments and controls, within groups.

    ``residual`` (n,) is what they do not explain; ``instruments`` (n, q) are all that explain it, less their group
    means; ``f`` is the strength of those that are excluded from demand, robust to clusters of weeks; NaN where there
    are too few clusters to tell.
    """

    residual: np.ndarray = field(repr=False)
    instruments: np.ndarray = field(repr=False)
    f: float


def available(panel: PanelArrays) -> tuple[str, ...]:
    """Return the instruments of the shop's own costs that the panel has.

    A regular price is an instrument only for those who hold that it is not set for the week's demand: it is never
    taken unasked.
    """
    return tuple(
        name for name in ("promotion_cost", "cost") if all(column in panel.columns for column in INSTRUMENTS[name])
    )[:1]


def excluded(panel: PanelArrays, names: tuple[str, ...]) -> np.ndarray:
    """Return the excluded instruments (n, q) of the named kinds, for all rows of a panel; NaN where not known.

    Raises
    ------
    ModelError
        An instrument is unknown, or the panel has not the columns that it needs.
    """
    made = []
    for name in names:
        if name not in INSTRUMENTS:
            raise ModelError(
                f"instrument {name!r} is unknown{nearest(name, list(INSTRUMENTS))}; give {', '.join(INSTRUMENTS)}"
            )
        for column in INSTRUMENTS[name]:
            if column not in panel.columns:
                raise ModelError(
                    f"instrument {name!r} needs the column {column}, which the panel does not have; it has "
                    f"{', '.join(sorted(panel.columns))}"
                )
        if name == "regular_price":
            made.append(_log(panel.columns["regular_price"]))
        else:
            made.append(_log(panel.columns["unit_cost"]))
        if name == "promotion_cost":
            share = panel.columns["promotion_cost"] / panel.columns["unit_cost"]
            made += [share, share**2]
    return np.stack(made, axis=1)


def first_stage(
    log_price: np.ndarray, instruments: np.ndarray, controls: np.ndarray, group: np.ndarray, week: np.ndarray
) -> FirstStage | None:
    """Explain the log price within groups; None where no instrument moves.

    Parameters
    ----------
    log_price : ndarray of shape (n,)
    instruments : ndarray of shape (n, q)
        Excluded from demand.
    controls : ndarray of shape (n, k)
        In demand as well.
    group, week : ndarray of shape (n,), int

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> cost, shock = rng.normal(size=(2, 500))
    >>> group, week = np.zeros(500, dtype=int), np.arange(500)
    >>> stage = first_stage(cost + shock, cost[:, None], np.empty((500, 0)), group, week)
    >>> bool(np.corrcoef(stage.residual, shock)[0, 1] > 0.99), stage.f > 100
    (True, True)
    """
    from .censored_poisson import cluster_meat

    moving = _independent(within(controls, group), within(instruments, group))
    if not moving.shape[1]:
        return None
    held = _independent(np.empty((len(group), 0)), within(controls, group))
    every = np.concatenate([moving, held], axis=1)
    response = within(log_price[:, None], group)[:, 0]
    gram = every.T @ every
    coefficient = np.linalg.solve(gram, every.T @ response)
    residual = response - every @ coefficient
    bread = np.linalg.inv(gram)
    covariance = bread @ cluster_meat(every * residual[:, None], week) @ bread
    q = moving.shape[1]
    of_instruments = coefficient[:q]
    # clusters that hardly outnumber the regressors leave no covariance to judge by
    spare = len(np.unique(week)) - every.shape[1] - 1
    if spare < _FEWEST_SPARE_CLUSTERS:
        return FirstStage(residual, every, float("nan"))
    wald = float(of_instruments @ np.linalg.pinv(covariance[:q, :q]) @ of_instruments)
    return FirstStage(residual, every, wald / q * spare / (spare + every.shape[1]))


def within(columns: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return columns less their means in each group."""
    n = int(group.max(initial=0)) + 1
    count = np.maximum(np.bincount(group, minlength=n), 1)
    means = [np.bincount(group, column, n) / count for column in columns.T]
    return columns - np.stack(means, axis=1)[group] if means else columns


def _independent(given: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Columns that say something beyond the given ones and each other."""
    basis = np.empty((0, len(given)))
    kept = []
    for k, column in enumerate((*given.T, *columns.T)):
        scale = float(column @ column)
        if scale <= 1e-12 * len(column):
            continue
        # twice, for once loses digits
        rest = column - (basis @ column) @ basis
        rest = rest - (basis @ rest) @ basis
        left = float(rest @ rest)
        if left > 1e-6 * scale:
            basis = np.concatenate([basis, rest[None, :] / left**0.5])
            if k >= given.shape[1]:
                kept.append(column)
    return np.stack(kept, axis=1) if kept else np.empty((len(columns), 0))


def _log(values: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(values > 0, np.log(values), np.nan)
