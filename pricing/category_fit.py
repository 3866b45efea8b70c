"""A category's items fitted together: demand shocks of a week that all items share, and each item's own price slope.

Item by item the week's common shock cannot be told from the item's own price; over the items of a category it can.
So a first fit with one slope for all gives the weeks, the items are fitted with the weeks as known, and the weeks again
with the items as known: what a joint fit converges to, without ever holding its matrix.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..sql.errors import ModelError
from .censored_poisson import CountFit, cluster_meat, fit_counts, log_likelihood
from .error_persistence import Persistence, week_series
from .instruments import FirstStage, first_stage, within
from .panel_arrays import PanelArrays

FEWEST_ITEMS = 8
FITS_AN_ITEM = 3
_FEWEST_CLUSTERS = 10
_PRIOR_CLUSTERS = 10.0
_WEEKS_A_CONTROL = 10
_WEEKS_OF_OWN_STAGE = 78
_ROWS_WITH_INSTRUMENTS = 40
_OWN_VARIATION = 0.1
_LEAST_KNOWN = 0.5


@dataclass(frozen=True)
class ItemSlope:
    """What one item's own rows say.

    ``elasticity`` and ``variance`` are NaN where they say nothing; ``why`` then says why. ``size`` is 1 / variance of
    its demand shocks, ``f`` the strength of its instruments (NaN without any), ``rows`` how many rows said it.
    ``shared`` is the variance of an error that all items of the category have in common, where it took the category's
    coefficients for what else moves demand.
    """

    elasticity: float
    variance: float
    rows: int
    f: float
    size: float
    why: str = ""
    shared: float = 0.0


@dataclass
class _Item:
    """Rows of one item and what is known of them."""

    rows: np.ndarray = field(repr=False)
    log_price: np.ndarray = field(repr=False)
    controls: np.ndarray = field(repr=False)
    instruments: np.ndarray | None = field(repr=False)
    group: np.ndarray = field(repr=False)
    week: np.ndarray = field(repr=False)
    units: np.ndarray = field(repr=False)
    sold_out: np.ndarray | None = field(repr=False)
    fit: CountFit | None = field(default=None, repr=False)
    regressors: np.ndarray | None = field(default=None, repr=False)
    shocks: np.ndarray | None = field(default=None, repr=False)
    stage: FirstStage | None = field(default=None, repr=False)
    why: str = ""
    shared: float = 0.0


def fit_category(
    panel: PanelArrays,
    items: Sequence[int],
    *,
    controls: Sequence[str],
    instruments: np.ndarray | None = None,
    censored: bool = True,
    weeks: np.ndarray | None = None,
    form: str = "log",
    done: Callable[[], object] | None = None,
) -> list[ItemSlope]:
    """Return each item's own slope, in the order of ``items``.

    Parameters
    ----------
    panel : PanelArrays
    items : sequence of int
        Items of one category; from `FEWEST_ITEMS` on their weeks' common shocks are taken out, below that the calendar.
    controls : sequence of str
        Columns that move demand besides the price, such as ``promoted``. Rows without a competitor's price are left out
        where that is a control, except for items of which less than half are known: these go without it.
    instruments : ndarray of shape (rows of the panel, q), optional
        Excluded from demand; each item's price is instrumented.
    censored : bool
        Whether rows that sold out count as lower bounds; as plain counts otherwise.
    weeks : ndarray of bool, optional
        Weeks of the panel that count; all without.
    form : str
        ``"log"`` constant elasticity; ``"linear"`` semi-log, its slope made an elasticity at the item's mean price.
    done : callable, optional
        Called `FITS_AN_ITEM` times an item at most, as the work goes on.

    Examples
    --------
    >>> from regulars.pricing.panel_arrays import read_panel
    >>> from regulars.pricing.simulate import simulate_prices
    >>> history = simulate_prices(items=8, stores=6, weeks=60, seed=2)
    >>> slopes = fit_category(read_panel(history.frame()), range(8), controls=("promoted",))
    >>> bool(max(abs(slope.elasticity - own) for slope, own in zip(slopes, history.own)) < 0.9)
    True
    """
    parts = [_item(panel, item, controls, instruments, censored, weeks, form) for item in items]
    usable = [part for part in parts if not part.why]
    if usable:
        common = len(usable) >= FEWEST_ITEMS
        shocks = np.zeros(len(panel.weeks))
        if not common:
            for part in usable:
                part.controls = np.concatenate([part.controls, _calendar(panel, part.rows)], axis=1)
        try:
            pooled, shocks = _pooled(usable, shocks, common)
        except ModelError as error:
            for part in usable:
                part.why = str(error)
            return _slopes(parts)
        for turn in range(FITS_AN_ITEM if common else 2):
            if turn and common:
                shocks = _shocks(usable, shocks)
            for at, part in enumerate(usable):
                _fit_item(part, pooled, shocks, at)
                if done is not None:
                    done()
    return _slopes(parts)


def _item(
    panel: PanelArrays,
    item: int,
    controls: Sequence[str],
    instruments: np.ndarray | None,
    censored: bool,
    weeks: np.ndarray | None,
    form: str,
) -> _Item:
    span = panel.rows(item)
    rows = np.arange(span.start, span.stop)
    if weeks is not None:
        rows = rows[weeks[panel.week[rows]]]
    z = None
    if instruments is not None:
        known = np.isfinite(instruments[rows]).all(axis=1)
        rows = rows[known]
        z = instruments[rows]
    if "log_competitor_price" in controls:
        known = np.isfinite(panel.columns["log_competitor_price"][rows])
        # a competitor's price taken for usual where it is not known would leave its effect to the item's own
        if known.mean() >= _LEAST_KNOWN:
            rows, z = rows[known], None if z is None else z[known]
    price = panel.price[rows]
    with_controls = [np.nan_to_num(panel.columns[name][rows]) for name in controls]
    part = _Item(
        rows,
        np.log(price) if form == "log" else price / max(float(price.mean()), 1e-300) if len(price) else price,
        np.stack(with_controls, axis=1) if with_controls else np.empty((len(rows), 0)),
        z,
        np.unique(panel.store[rows], return_inverse=True)[1],
        panel.week[rows],
        panel.units[rows],
        panel.sold_out[rows] if censored and panel.sold_out is not None else None,
    )
    part.why = _nothing_to_learn(part)
    return part


def _nothing_to_learn(part: _Item) -> str:
    if len(part.rows) < 4:
        return f"{len(part.rows)} rows"
    seen = part.units if part.sold_out is None else np.where(part.sold_out, 0.0, part.units)
    if not seen.any():
        return "no units besides those that stock cut off" if part.units.any() else "no units were sold"
    if np.ptp(part.log_price) < 1e-6:
        return "a single price"
    if float(np.abs(within(part.log_price[:, None], part.group)).max()) < 1e-6:
        return "its price never changed in any store"
    return ""


def _calendar(panel: PanelArrays, rows: np.ndarray) -> np.ndarray:
    names = [name for name in ("sin_1", "cos_1", "sin_2", "cos_2") if name in panel.columns]
    columns = [panel.columns[name][rows] for name in names]
    span = len(panel.weeks)
    days = (panel.weeks - panel.weeks[0]).astype(float)
    if span >= 8:
        columns.append(panel.week[rows] / span - 0.5)
    if not names and days[-1] >= 364:
        turn = 2.0 * np.pi * days[panel.week[rows]] / 365.25
        columns += [np.sin(turn), np.cos(turn)]
    if panel.holiday is not None:
        columns.append(panel.holiday[rows].astype(float))
    return np.stack(columns, axis=1) if columns else np.empty((len(rows), 0))


@dataclass(frozen=True)
class _Pooled:
    """One slope and one coefficient of each control for all items, prices instrumented where the items' are.

    ``residuals`` are, for each item, what the instruments do not explain of its price, with one first stage for all;
    ``f`` is its strength, ``of_stage`` the part of the slope's variance that comes from it.
    """

    slope: float
    controls: np.ndarray
    size: float
    variance: float
    of_stage: float = 0.0
    residuals: list[np.ndarray] | None = field(default=None, repr=False)
    f: float = float("nan")


def _pooled(parts: Sequence[_Item], shocks: np.ndarray, common: bool) -> tuple[_Pooled, np.ndarray]:
    """Fit all items with one slope, and the weeks' shocks in turns with it."""
    start = np.concatenate([[0], np.cumsum([int(part.group.max()) + 1 for part in parts])])
    group = np.concatenate([part.group + start[i] for i, part in enumerate(parts)])
    week = np.concatenate([part.week for part in parts])
    units = np.concatenate([part.units for part in parts])
    sold_out = None
    if parts[0].sold_out is not None:
        sold_out = np.concatenate([part.sold_out for part in parts if part.sold_out is not None])
    price = np.concatenate([part.log_price for part in parts])
    controls = np.concatenate([part.controls for part in parts])
    held = _held(price, controls, group)
    known = np.concatenate([price[:, None], controls[:, held]], axis=1)
    slope, size, stage = np.zeros(known.shape[1]), 5.0, None
    instruments = _stacked_instruments(parts)
    item = np.concatenate([np.full(len(part.rows), i) for i, part in enumerate(parts)])
    x = known
    # the first stage holds what demand holds: once without the weeks' shocks, and again when they are known
    for _ in range(1 if instruments is None else 2):
        if instruments is not None:
            of_demand = np.concatenate([known[:, 1:], shocks[week][:, None]], axis=1)
            stage = first_stage(price, instruments, of_demand, group, _most_clusters(item, week))
            x = known if stage is None or _explained(stage) else np.column_stack([known, stage.residual])
            slope = np.resize(slope, x.shape[1])
        for _ in range(12 if common else 1):
            fit = fit_counts(units, x, group, offset=shocks[week], sold_out=sold_out, size=size, start=slope)
            moved = float(np.abs(fit.slope - slope).max())
            slope = fit.slope
            if common:
                shocks = _step(shocks, week, units, fit.predictor, sold_out, size)
            if moved < 1e-3:
                break
    fit = fit_counts(units, x, group, offset=shocks[week], sold_out=sold_out, start=slope)
    coefficients = np.zeros(controls.shape[1])
    coefficients[held] = fit.slope[1 : 1 + len(held)]
    by_week = np.unique(week, return_inverse=True)[1]
    influence = fit.scores @ fit.covariance[:, 0]
    of_stage = np.zeros(len(influence))
    if stage is not None and x.shape[1] > known.shape[1]:
        of_stage = _stage_influence(fit, _centred(x, group, fit.weight), stage)
    variance, of_stage = (
        float(cluster_meat(each[:, None], item, by_week)[0, 0]) for each in (influence + of_stage, of_stage)
    )
    return _Pooled(
        float(fit.slope[0]),
        coefficients,
        fit.size,
        variance,
        of_stage,
        None if stage is None else [stage.residual[item == i] for i in range(len(parts))],
        float("nan") if stage is None else stage.f,
    ), shocks


def _stacked_instruments(parts: Sequence[_Item]) -> np.ndarray | None:
    given = [part.instruments for part in parts if part.instruments is not None]
    return np.concatenate(given) if len(given) == len(parts) else None


def _explained(stage: FirstStage) -> bool:
    """Whether the instruments explain all of the price: nothing of it then answers to demand."""
    return float(np.std(stage.residual)) < 1e-6


def _most_clusters(item: np.ndarray, week: np.ndarray) -> np.ndarray:
    """Clusters of which there are more: those of a few weeks say nothing of how strong instruments are."""
    return item if len(np.unique(item)) > len(np.unique(week)) else week


def _step(
    shocks: np.ndarray,
    week: np.ndarray,
    units: np.ndarray,
    predictor: np.ndarray,
    sold_out: np.ndarray | None,
    size: float,
) -> np.ndarray:
    there = np.isfinite(predictor)
    _, d1, bend = log_likelihood(
        units[there], predictor[there], None if sold_out is None else sold_out[there], size
    )  # fmt: skip
    n = len(shocks)
    # one unit's worth of information at no shock keeps weeks with hardly a row near it
    step = np.bincount(week[there], d1, n) / (np.bincount(week[there], bend, n) + 1.0)
    moved = shocks + np.clip(step, -1.0, 1.0)
    return moved - moved[np.unique(week)].mean()


def _shocks(parts: Sequence[_Item], shocks: np.ndarray) -> np.ndarray:
    for _ in range(3):
        d1, bend = np.zeros(len(shocks)), np.ones(len(shocks))
        for part in parts:
            if part.fit is None or part.shocks is None:
                continue
            at = np.flatnonzero(np.isfinite(part.fit.predictor))
            eta = part.fit.predictor[at] + shocks[part.week[at]] - part.shocks[at]
            out = None if part.sold_out is None else part.sold_out[at]
            _, slope, curve = log_likelihood(part.units[at], eta, out, part.fit.size)
            d1 += np.bincount(part.week[at], slope, len(shocks))
            bend += np.bincount(part.week[at], curve, len(shocks))
        shocks = shocks + np.clip(d1 / bend, -1.0, 1.0)
        shocks = shocks - shocks[bend > 1.0].mean()
    return shocks


def _fit_item(part: _Item, pooled: _Pooled, shocks: np.ndarray, at: int) -> None:
    n, weeks = len(part.rows), len(np.unique(part.week))
    offset = shocks[part.week]
    part.stage = None
    held = _held(part.log_price, part.controls, part.group)
    if weeks < _WEEKS_A_CONTROL * (len(held) + 2) or _own_share(part) < _OWN_VARIATION:
        # too little to tell its controls from its price: the category's coefficients hold
        offset = offset + part.controls @ pooled.controls
        part.shared = pooled.variance if part.controls.any() else 0.0
        x = part.log_price[:, None]
    else:
        x = np.concatenate([part.log_price[:, None], part.controls[:, held]], axis=1)
    if part.instruments is not None and n < _ROWS_WITH_INSTRUMENTS:
        part.why = f"{n} rows are too few for instruments"
    elif part.instruments is not None:
        part.stage = _stage(part, pooled, shocks, x, weeks, at)
        if part.stage is not None and not np.isfinite(part.stage.f):
            part.why = f"{weeks} weeks are too few to tell how strong its instruments are"
        elif part.stage is not None and not _explained(part.stage):
            x = np.concatenate([x, part.stage.residual[:, None]], axis=1)
    size = None if n >= _ROWS_WITH_INSTRUMENTS else pooled.size
    near = pooled.size if part.fit is None else part.fit.size
    start = np.zeros(x.shape[1]) if part.fit is None or len(part.fit.slope) != x.shape[1] else part.fit.slope
    if part.fit is None:
        start[0] = pooled.slope
    try:
        part.fit = fit_counts(
            part.units, x, part.group, offset=offset, sold_out=part.sold_out, start=start, size=size, near=near
        )  # fmt: skip
        part.regressors, part.shocks = x, shocks[part.week]
    except (ModelError, np.linalg.LinAlgError):
        part.fit = None


def _stage(part: _Item, pooled: _Pooled, shocks: np.ndarray, x: np.ndarray, weeks: int, at: int) -> FirstStage | None:
    """The item's first stage; that of the category where a handful of promotions would be fitted to the last one."""
    if weeks < _WEEKS_OF_OWN_STAGE and pooled.residuals is not None:
        residual = within(pooled.residuals[at][:, None], part.group)[:, 0]
        # its error is the category's, and all items share it
        part.shared = max(part.shared, pooled.of_stage)
        return FirstStage(residual, np.empty((len(residual), 0)), pooled.f)
    if part.instruments is None:
        return None
    known = np.concatenate([x[:, 1:], shocks[part.week][:, None]], axis=1)
    instruments = part.instruments
    if pooled.residuals is not None:
        # what the category's first stage makes of them is one instrument: the fewer, the less of the shocks they fit
        instruments = (part.log_price - pooled.residuals[at])[:, None]
    stage = first_stage(part.log_price, instruments, known, part.group, part.week)
    if stage is not None and _explained(stage):
        return FirstStage(stage.residual, stage.instruments[:, :0], stage.f)
    return stage


def _held(log_price: np.ndarray, controls: np.ndarray, group: np.ndarray) -> list[int]:
    """Controls that move within groups and are no combination of the price and those before them."""
    demeaned = within(controls, group)
    basis = within(log_price[:, None], group)
    held = []
    for k, column in enumerate(demeaned.T):
        scale = float(column @ column)
        if scale <= 1e-10 * len(column):
            continue
        rest = column - basis @ np.linalg.lstsq(basis, column, rcond=None)[0]
        if float(rest @ rest) > 1e-4 * scale:
            held.append(k)
            basis = np.concatenate([basis, column[:, None]], axis=1)
    return held


def _own_share(part: _Item) -> float:
    """Share of the price's variation within groups that the controls do not explain."""
    price = within(part.log_price[:, None], part.group)[:, 0]
    others = within(part.controls, part.group)
    if not others.shape[1]:
        return 1.0
    rest = price - others @ np.linalg.lstsq(others, price, rcond=None)[0]
    return float(rest @ rest) / max(float(price @ price), 1e-300)


def _slopes(parts: Sequence[_Item]) -> list[ItemSlope]:
    robust, plain = np.full(len(parts), np.nan), np.full(len(parts), np.nan)
    degrees = np.zeros(len(parts))
    persistence = Persistence.of([week_series(part.week, *_scored(part)) for part in parts if part.fit is not None])
    for i, part in enumerate(parts):
        if part.fit is not None:
            plain[i], robust[i], degrees[i] = _variances(part, len(parts), persistence)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = robust / plain
    typical = max(1.0, float(np.nanmedian(ratio))) if np.isfinite(ratio).any() else 1.0
    # a sandwich of few clusters is itself a guess: it is drawn towards what is typical of the category, and what is
    # left of its uncertainty widens the interval as Student's t is wider than the normal
    behind = degrees + _PRIOR_CLUSTERS
    variance = (degrees * robust + _PRIOR_CLUSTERS * typical * plain) / (behind - 2.0)
    slopes = []
    for i, part in enumerate(parts):
        f = float("nan") if part.stage is None else part.stage.f
        if part.fit is None or not np.isfinite(variance[i]) or part.why:
            why = part.why or "its price cannot be told from its other columns"
            slopes.append(ItemSlope(np.nan, np.nan, len(part.rows), f, np.nan, why))
        else:
            own = float(part.fit.slope[0]), float(variance[i])
            slopes.append(ItemSlope(*own, len(part.rows), f, part.fit.size, "", part.shared))
    return slopes


def _scored(part: _Item) -> tuple[np.ndarray, np.ndarray]:
    """Each row's derivative in its predictor, and the negative second one."""
    assert part.fit is not None
    score = np.zeros(len(part.rows))
    at = np.flatnonzero(np.isfinite(part.fit.predictor))
    out = None if part.sold_out is None else part.sold_out[at]
    score[at] = log_likelihood(part.units[at], part.fit.predictor[at], out, part.fit.size)[1]
    return score, part.fit.weight


def _variances(part: _Item, n_items: int, persistence: Persistence) -> tuple[float, float, float]:
    """Variance of the slope by the likelihood and robustly, and the degrees of freedom of the latter."""
    fit, stage, x = part.fit, part.stage, part.regressors
    if fit is None or x is None:
        return np.nan, np.nan, 0.0
    bread = fit.covariance
    centred = _centred(x, part.group, fit.weight)
    influence = fit.scores @ bread[:, 0]
    if stage is not None and stage.instruments.shape[1]:
        influence = influence + _stage_influence(fit, centred, stage)
    # each row's share of what is known of the slope
    share = fit.weight * (centred @ bread[:, 0]) ** 2 / bread[0, 0]
    lasting = persistence.of_slope(*week_series(part.week, fit.weight * (centred @ bread[:, 0]), fit.weight))
    seen, week = np.unique(part.week, return_inverse=True)
    stores, weeks = int(part.group.max()) + 1, len(seen)
    if stores >= _FEWEST_CLUSTERS and weeks >= _FEWEST_CLUSTERS:
        alone = np.arange(len(week))
        robust = sum(
            sign * _between(influence, share, cluster)
            for sign, cluster in ((1.0, part.group), (1.0, week), (-1.0, alone))
        )
        robust = max(robust, _between(influence, share, part.group), _between(influence, share, week))
        degrees = min(_effective(share, part.group), _effective(share, week)) - 1.0
    else:
        robust = _between(influence, share, week) * lasting
        # weeks whose shocks last say less than as many that stand alone
        degrees = _effective(share, week) / lasting - 1.0
    n = int((fit.weight > 0).sum())
    spent = len(np.unique(part.group[fit.weight > 0])) + x.shape[1] + weeks / n_items
    # likelihood takes no account of the levels that were fitted to the same rows, nor of shocks that last
    plain = float(bread[0, 0]) * lasting * n / max(n - spent, 1.0)
    return plain, float(robust), float(max(degrees, 0.0))


def _centred(x: np.ndarray, group: np.ndarray, weight: np.ndarray) -> np.ndarray:
    total = np.bincount(group, weight) + 1e-12
    means = np.stack([np.bincount(group, weight * column) / total for column in x.T], axis=1)
    return x - means[group]


def _stage_influence(fit: CountFit, centred: np.ndarray, stage: FirstStage) -> np.ndarray:
    """What each row does to the slope through the first stage, which is itself estimated (Murphy and Topel 1985)."""
    gram = np.linalg.inv(stage.instruments.T @ stage.instruments)
    link = (centred * fit.weight[:, None]).T @ stage.instruments @ gram
    return fit.slope[-1] * stage.residual * (stage.instruments @ (link.T @ fit.covariance[:, 0]))


def _between(influence: np.ndarray, share: np.ndarray, cluster: np.ndarray) -> float:
    """Sum of squared influences of clusters, each raised for its leverage (Bell and McCaffrey 2002)."""
    summed = np.bincount(cluster, influence)
    leverage = np.minimum(np.bincount(cluster, share), 0.9)
    return float(np.sum(summed**2 / (1.0 - leverage)))


def _effective(share: np.ndarray, cluster: np.ndarray) -> float:
    """How many equal clusters would say as much (Carter, Schnepel and Steigerwald 2017)."""
    parts = np.bincount(cluster, share)
    return float(parts.sum() ** 2 / max(float(parts @ parts), 1e-300))
