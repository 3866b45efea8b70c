"""Double machine learning: price and demand are each predicted from everything else, and what is left is compared.

Chernozhukov et al. (2018); the engine is econml's LinearDML. The predictions are gradient-boosted trees over the item's
own level, the calendar and what was promoted, fitted on other folds than they predict.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..sql.errors import MissingExtraError, ModelError
from .log_linear import Regression
from .panel_arrays import PanelArrays, read_panel

_MANY_ROWS = 500_000
_FEWEST_ROWS = 200


def double_ml(
    panel: Any,
    *,
    controls: Sequence[str] = ("display", "mailer"),
    folds: int = 3,
    within: bool = True,
    seed: int = 0,
) -> Regression:
    """Estimate one elasticity over all items by double machine learning; rows without units are left out.

    Parameters
    ----------
    panel : frame
        As of `price_panel`.
    controls : sequence of str
        Columns that may move price and demand; those that the panel does not have are passed over.
    folds : int
        Folds of cross-fitting; rows are dealt to them by week, so that a week's common shock is never learned.
    within : bool
        Whether price and units are taken less their means over the item and store before: items differ in level.
    seed : int

    Raises
    ------
    ModelError
        Fewer than 200 rows with units, or fewer weeks than folds.
    MissingExtraError
        econml is not installed.

    Examples
    --------
    >>> from regulars.pricing.simulate import simulate_prices
    >>> panel = simulate_prices(items=8, stores=6, weeks=60, seed=1).frame()
    >>> estimate, standard_error = double_ml(panel, controls=("promoted",))["log_price"]
    >>> bool(-4 < estimate < -1.5)
    True
    """
    try:
        from econml.dml import LinearDML
        from sklearn.ensemble import HistGradientBoostingRegressor
        from threadpoolctl import threadpool_limits
    except ImportError:
        raise MissingExtraError("double machine learning needs econml: pip install 'regulars[pricing]'") from None
    arrays = read_panel(panel, controls or ())
    sold = arrays.units > 0
    if "log_competitor_price" in controls and "log_competitor_price" in arrays.columns:
        sold &= np.isfinite(arrays.columns["log_competitor_price"])
    rows = np.flatnonzero(sold)
    weeks = np.unique(arrays.week[rows])
    if len(rows) < _FEWEST_ROWS or len(weeks) < folds:
        raise ModelError(
            f"{len(rows)} rows with units in {len(weeks)} weeks; double machine learning needs {_FEWEST_ROWS} rows and "
            f"{folds} weeks: take more items, or another estimator"
        )
    log_units, log_price = np.log(arrays.units[rows]), np.log(arrays.price[rows])
    group = np.unique(arrays.item[rows] * len(arrays.stores) + arrays.store[rows], return_inverse=True)[1]
    known = _features(arrays, rows, controls, log_units, log_price, group)
    if within:
        log_units, log_price = _less_mean(log_units, group), _less_mean(log_price, group)
    fold = np.random.default_rng(seed).permutation(len(arrays.weeks))[arrays.week[rows]] % folds
    splits = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(folds)]
    learner = HistGradientBoostingRegressor(
        max_iter=60, learning_rate=0.2, max_bins=64, min_samples_leaf=30, random_state=seed
    )
    options: dict[str, Any] = {"model_y": learner, "model_t": learner, "cv": splits, "random_state": seed}
    model: Any = LinearDML(**options)
    # on few rows threads that wait for one another take longer than the work; the trees are the same
    with threadpool_limits(1 if len(rows) < _MANY_ROWS else None, "openmp"):
        model.fit(log_units, log_price, X=None, W=known, cache_values=True, inference=None)
    y_left, t_left = (np.asarray(values).ravel() for values in model.residuals_[:2])
    estimate = float(np.ravel(model.const_marginal_effect())[0])
    influence = t_left * (y_left - estimate * t_left)
    # items are independent of each other; the rows of one are not
    summed = np.bincount(arrays.item[rows], influence)
    error = float(np.sqrt(summed @ summed) / (t_left @ t_left))
    return Regression(("log_price",), np.array([estimate]), np.array([error]), len(rows))


def _features(
    panel: PanelArrays,
    rows: np.ndarray,
    controls: Sequence[str],
    log_units: np.ndarray,
    log_price: np.ndarray,
    group: np.ndarray,
) -> np.ndarray:
    names = [*controls, "age_weeks", "sin_1", "cos_1", "sin_2", "cos_2"]
    columns = [np.nan_to_num(panel.columns[name][rows]) for name in dict.fromkeys(names) if name in panel.columns]
    day = panel.weeks.astype("datetime64[D]")[panel.week[rows]]
    columns += [
        panel.week[rows].astype(float),
        # the weekday, for daily panels; a constant in weekly ones
        ((day - np.datetime64("2000-01-03")).astype(int) % 7).astype(float),
        log_units - _less_mean(log_units, group),
        log_price - _less_mean(log_price, group),
    ]
    if panel.holiday is not None:
        columns.append(panel.holiday[rows].astype(float))
    return np.stack(columns, axis=1)


def _less_mean(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    return values - (np.bincount(group, values) / np.bincount(group))[group]
