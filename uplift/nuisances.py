"""What doubly robust scores need to know and need not know well: expected outcomes and propensities, cross-fitted.

Each model is a function from training rows and new rows to predictions, so any other can be put in its place.
"""

import os
from collections.abc import Callable

import numpy as np

from ..sql.errors import MissingExtraError, ModelError, nearest
from ..sql.threads import one_blas_thread
from .estimate import as_units, as_weights

OutcomeModel = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]
PropensityModel = Callable[[np.ndarray, np.ndarray, int, np.ndarray, np.ndarray, int], np.ndarray]


def cross_fit_outcomes(
    features: np.ndarray,
    arm: np.ndarray,
    outcome: np.ndarray,
    n_arms: int,
    *,
    model: str | OutcomeModel = "lightgbm",
    folds: int = 5,
    weights: np.ndarray | None = None,
    cluster: np.ndarray | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Return the expected outcome under each arm, (n, k + 1), each row's from models that have not seen its fold.

    Arguments and errors as of `scores.doubly_robust_scores`.

    Examples
    --------
    >>> import numpy as np
    >>> cross_fit_outcomes(np.zeros((4, 1)), np.array([0, 0, 1, 1]), np.array([1.0, 1.0, 2.0, 2.0]), 2).tolist()
    [[1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [1.0, 2.0]]
    """
    predict = _model(model, OUTCOME_MODELS, "outcome_model")
    features = _checked_features(features, len(arm))
    weights = as_weights(weights, len(arm))
    fold = assign_folds(arm, n_arms, folds=folds, cluster=cluster, seed=seed)
    expected = np.empty((len(arm), n_arms))
    with one_blas_thread():
        for held in range(fold.max() + 1):
            out = fold == held
            for a in range(n_arms):
                rows = ~out & (arm == a)
                expected[out, a] = predict(features[rows], outcome[rows], weights[rows], features[out], seed)
    return expected


def cross_fit_propensities(
    features: np.ndarray,
    arm: np.ndarray,
    n_arms: int,
    *,
    model: str | PropensityModel = "logistic",
    folds: int = 5,
    weights: np.ndarray | None = None,
    cluster: np.ndarray | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Return the probability of each arm, (n, k + 1), each row's from a model that has not seen its fold.

    Arguments and errors as of `scores.doubly_robust_scores`.

    Examples
    --------
    >>> import numpy as np
    >>> arm = np.tile([0, 0, 0, 1], 50)
    >>> cross_fit_propensities(np.zeros((200, 1)), arm, 2)[0].round(2).tolist()
    [0.75, 0.25]
    """
    predict = _model(model, PROPENSITY_MODELS, "propensity_model")
    features = _checked_features(features, len(arm))
    weights = as_weights(weights, len(arm))
    fold = assign_folds(arm, n_arms, folds=folds, cluster=cluster, seed=seed)
    fitted = np.empty((len(arm), n_arms))
    with one_blas_thread():
        for held in range(fold.max() + 1):
            out = fold == held
            fitted[out] = predict(features[~out], arm[~out], n_arms, weights[~out], features[out], seed)
    return fitted


def assign_folds(
    arm: np.ndarray, n_arms: int, *, folds: int = 5, cluster: np.ndarray | None = None, seed: int = 0
) -> np.ndarray:
    """Return each row's fold, 0..folds-1: the arms spread evenly, or whole clusters kept together.

    Raises
    ------
    ModelError
        Where an arm is absent, has one customer only, or would be missing from what a fold's model learns from.

    Examples
    --------
    >>> import numpy as np
    >>> fold = assign_folds(np.array([0, 0, 0, 0, 1, 1]), 2, folds=2)
    >>> [sorted(fold[:4].tolist()), sorted(fold[4:].tolist())]
    [[0, 0, 1, 1], [0, 1]]
    """
    rng = np.random.default_rng(seed)
    counts = np.bincount(arm, minlength=n_arms)
    if counts.min() < 2:
        raise ModelError(
            f"Arm {int(counts.argmin())} has {int(counts.min())} of {len(arm)} customers; every arm needs at least 2 "
            "to be compared. Take the arm out, or collect more."
        )
    if cluster is None:
        folds = max(2, min(folds, int(counts.min())))
        fold = np.empty(len(arm), dtype=np.int64)
        for a in range(n_arms):
            rows = np.flatnonzero(arm == a)
            fold[rng.permutation(rows)] = np.arange(len(rows)) % folds
        return fold
    unit, n_units = as_units(cluster, len(arm))
    folds = max(2, min(folds, n_units))
    of_unit = np.empty(n_units, dtype=np.int64)
    of_unit[rng.permutation(n_units)] = np.arange(n_units) % folds
    fold = of_unit[unit]
    inside = np.array([np.bincount(arm[fold == f], minlength=n_arms) for f in range(folds)])
    if (inside == counts).any():
        a = int(np.argwhere(inside == counts)[0, 1])
        raise ModelError(
            f"All customers of arm {a} are in the clusters of one fold of {folds}; its outcome cannot be learnt from "
            "others. Use more clusters per arm, or fewer folds."
        )
    return fold


def lightgbm_outcome(
    features: np.ndarray, outcome: np.ndarray, weights: np.ndarray, new: np.ndarray, seed: int
) -> np.ndarray:
    """Return the expected outcome of ``new`` (m, p) by 80 boosted trees of 8 leaves; the mean where rows are few.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.repeat([[0.0], [1.0]], 100, axis=0)
    >>> lightgbm_outcome(x, x[:, 0], np.ones(200), np.array([[0.0], [1.0]]), 0).round(1).tolist()
    [0.0, 1.0]
    """
    return _boosted(features, outcome, weights, new, {"objective": "regression", "seed": seed})


def linear_outcome(
    features: np.ndarray, outcome: np.ndarray, weights: np.ndarray, new: np.ndarray, seed: int
) -> np.ndarray:
    """Return the expected outcome of ``new`` by least squares with a slight ridge; NaN features count as the mean.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.arange(10.0)[:, None]
    >>> linear_outcome(x, 2 * x[:, 0], np.ones(10), np.array([[20.0]]), 0).round(2).tolist()
    [40.0]
    """
    del seed
    design, new_design = _standardised(features, weights, new)
    weighted = design * weights[:, None]
    gram = weighted.T @ design
    # keeps constant or doubled columns solvable; a millionth of the data's weight moves nothing that shows
    gram[np.diag_indices_from(gram)] += 1e-6 * weights.sum()
    return new_design @ np.linalg.solve(gram, weighted.T @ outcome)


def mean_outcome(
    features: np.ndarray, outcome: np.ndarray, weights: np.ndarray, new: np.ndarray, seed: int
) -> np.ndarray:
    """Return the mean outcome for every row of ``new``: features unused.

    Examples
    --------
    >>> import numpy as np
    >>> mean_outcome(np.zeros((2, 1)), np.array([1.0, 3.0]), np.ones(2), np.zeros((1, 1)), 0).tolist()
    [2.0]
    """
    del features, seed
    return np.full(len(new), np.average(outcome, weights=weights))


def logistic_propensity(
    features: np.ndarray, arm: np.ndarray, n_arms: int, weights: np.ndarray, new: np.ndarray, seed: int
) -> np.ndarray:
    """Return the probability of each arm, (m, n_arms), by (multinomial) logistic regression on standardised features.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.repeat([[0.0], [1.0]], 100, axis=0)
    >>> arm = np.r_[np.tile([0, 0, 0, 1], 25), np.tile([0, 1, 1, 1], 25)]
    >>> logistic_propensity(x, arm, 2, np.ones(200), np.array([[0.0], [1.0]]), 0)[:, 1].round(2).tolist()
    [0.25, 0.75]
    """
    linear_model = _extra("sklearn.linear_model")
    design, new_design = _standardised(features, weights, new)
    model = linear_model.LogisticRegression(C=100.0, max_iter=1000, random_state=seed)
    model.fit(design[:, 1:], arm, sample_weight=weights)
    out = np.zeros((len(new), n_arms))
    out[:, model.classes_] = model.predict_proba(new_design[:, 1:])
    return out


def lightgbm_propensity(
    features: np.ndarray, arm: np.ndarray, n_arms: int, weights: np.ndarray, new: np.ndarray, seed: int
) -> np.ndarray:
    """Return the probability of each arm, (m, n_arms), by 80 boosted trees of 8 leaves per arm.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.repeat([[0.0], [1.0]], 100, axis=0)
    >>> arm = np.r_[np.tile([0, 0, 0, 1], 25), np.tile([0, 1, 1, 1], 25)]
    >>> lightgbm_propensity(x, arm, 2, np.ones(200), np.array([[0.0], [1.0]]), 0)[:, 1].round(2).tolist()
    [0.25, 0.75]
    """
    if n_arms == 2:
        treated = _boosted(features, arm.astype(np.float64), weights, new, {"objective": "binary", "seed": seed})
        return np.column_stack([1.0 - treated, treated])
    chosen = {"objective": "multiclass", "num_class": n_arms, "seed": seed}
    return _boosted(features, arm.astype(np.float64), weights, new, chosen)


OUTCOME_MODELS: dict[str, Callable] = {
    "lightgbm": lightgbm_outcome,
    "linear": linear_outcome,
    "mean": mean_outcome,
}
PROPENSITY_MODELS: dict[str, Callable] = {"logistic": logistic_propensity, "lightgbm": lightgbm_propensity}


def _model(model: str | Callable, known: dict[str, Callable], argument: str) -> Callable:
    if callable(model):
        return model
    if model not in known:
        raise ModelError(
            f"{argument} is {model!r}{nearest(model, list(known))}. Known: {sorted(known)}, or a function."
        )
    return known[model]


def _checked_features(features: np.ndarray, n: int) -> np.ndarray:
    out = np.asarray(features, dtype=np.float64)
    if out.ndim != 2 or len(out) != n:
        raise ModelError(f"features has shape {out.shape}; it must have one row per customer, ({n}, p).")
    if np.isinf(out).any():
        raise ModelError(f"features hold {int(np.isinf(out).sum())} infinite values; clip or drop them (NaN is taken).")
    return out


def _boosted(
    features: np.ndarray, label: np.ndarray, weights: np.ndarray, new: np.ndarray, chosen: dict[str, object]
) -> np.ndarray:
    if chosen["objective"] == "regression" and (features.shape[1] == 0 or len(features) < 20):
        return mean_outcome(features, label, weights, new, 0)
    lightgbm = _extra("lightgbm")
    settings = {
        "num_leaves": 8,
        "learning_rate": 0.05,
        "min_data_in_leaf": max(1, min(200, len(features) // 20)),
        "verbosity": -1,
        "deterministic": True,
        "force_row_wise": True,
        # few rows are boosted faster by one thread than many hand work to each other
        "num_threads": 1 if len(features) < 50_000 else os.cpu_count(),
    }
    data = lightgbm.Dataset(features, label, weight=weights, free_raw_data=True)
    return np.asarray(lightgbm.train(settings | chosen, data, num_boost_round=80).predict(new))


def _standardised(features: np.ndarray, weights: np.ndarray, new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both with an intercept first, columns centred and scaled by the first's; NaN becomes the mean."""
    known = ~np.isnan(features)
    each = weights[:, None] * known
    total = np.maximum(each.sum(axis=0), np.finfo(float).tiny)
    mean = (each * np.where(known, features, 0.0)).sum(axis=0) / total
    centred = np.where(known, features - mean, 0.0)
    scale = np.sqrt((each * centred**2).sum(axis=0) / total)
    scale[scale == 0.0] = 1.0
    moved = np.where(np.isnan(new), 0.0, new - mean) / scale
    return np.column_stack([np.ones(len(features)), centred / scale]), np.column_stack([np.ones(len(new)), moved])


def _extra(module: str):
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as missing:
        raise MissingExtraError(
            f"{module.split('.')[0]} is not installed; it comes with the uplift extra: pip install 'regulars[uplift]'."
        ) from missing
