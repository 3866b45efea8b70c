"""Fitted models to and from the ``lifetimes`` package, so that nobody has to fit again to change over.

``lifetimes`` is imported only here and only when asked for. Its fitters hold no time unit; the usual summary of theirs
counts days. Parameters carry over digit by digit, and predictions are then equal.
"""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..sql.errors import ContractError, MissingExtraError, ModelError

# Our model's name -> the fitter's class and the order of its parameters.
_FITTERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "bg_nbd": ("BetaGeoFitter", ("r", "alpha", "a", "b")),
    "mbg_nbd": ("ModifiedBetaGeoFitter", ("r", "alpha", "a", "b")),
    "pareto_nbd": ("ParetoNBDFitter", ("r", "alpha", "s", "beta")),
    "gamma_gamma": ("GammaGammaFitter", ("p", "q", "v")),
}


def to_lifetimes(model: Any) -> Any:
    """Give a fitted model as a ``lifetimes`` fitter with the same parameters and their covariance.

    Parameters
    ----------
    model : BetaGeoModel, ModifiedBetaGeoModel, ParetoNBDModel or GammaGammaModel

    Returns
    -------
    lifetimes fitter
        It predicts; it holds no data, so those of its plots that need data must be given data. A Gamma-Gamma with
        q <= 1 goes over as it is, and ``lifetimes`` then predicts a negative population mean.

    Raises
    ------
    MissingExtraError
        Where ``lifetimes`` is not installed.
    ModelError
        Where ``lifetimes`` has no such model: NBD, or one whose dropout the data did not identify.

    Examples
    --------
    >>> from regulars.clv.gamma_gamma import GammaGammaModel
    >>> to_lifetimes(GammaGammaModel.from_parameters(p=6.25, q=3.74, v=15.44))
    <lifetimes.GammaGammaFitter: p: 6.25, q: 3.74, v: 15.44>
    """
    lifetimes = _import_lifetimes()
    model._require_fitted()
    if model.name not in _FITTERS:
        raise ModelError(f"lifetimes has no {model.name} model; it has {', '.join(_FITTERS)}")
    class_name, names = _FITTERS[model.name]
    if not all(np.isfinite(model.params_[name]) and model.params_[name] > 0 for name in names):
        raise ModelError(
            f"the {model.name} model says {model.message_!r}: lifetimes cannot hold that; use it here, or hand over a "
            "model whose parameters are all identified"
        )
    import pandas as pd

    fitter = getattr(lifetimes, class_name)(penalizer_coef=0.0)
    own = list(model.params_)
    order = [own.index(name) for name in names]
    fitter.params_ = pd.Series({name: model.params_[name] for name in names})
    fitter.variance_matrix_ = pd.DataFrame(model.covariance_[np.ix_(order, order)], index=names, columns=names)
    fitter.standard_errors_ = fitter._compute_standard_errors()
    fitter.confidence_intervals_ = fitter._compute_confidence_intervals()
    if model.name != "gamma_gamma":
        fitter._scale = 1.0
        fitter.predict = fitter.conditional_expected_number_of_purchases_up_to_time
    return fitter


def from_lifetimes(fitter: Any, expected: type | None = None, *, time_unit: str = "day") -> Any:
    """Make a model of a fitted ``lifetimes`` fitter.

    Parameters
    ----------
    fitter : BetaGeoFitter, ModifiedBetaGeoFitter, ParetoNBDFitter or GammaGammaFitter
        Fitted.
    expected : type, optional
        The class that must come out.
    time_unit : str
        Unit of the recency and T that it was fitted on; ``lifetimes`` does not say, its summaries count days unless
        told otherwise.

    Returns
    -------
    model
        With the fitter's parameters and, where it has them, their covariance, the number of customers and the
        log-likelihood at the parameters, computed anew (the fitter's own figure is a rescaled mean).

    Raises
    ------
    MissingExtraError
        Where ``lifetimes`` is not installed.
    ModelError
        Where the fitter is not fitted, is of another class, or holds another model than ``expected``.

    Examples
    --------
    >>> from regulars.clv.gamma_gamma import GammaGammaModel
    >>> fitter = to_lifetimes(GammaGammaModel.from_parameters(p=6.25, q=3.74, v=15.44))
    >>> from_lifetimes(fitter).params_
    {'p': 6.25, 'q': 3.74, 'v': 15.44}
    """
    _import_lifetimes()
    found = {name: entry for name, entry in _FITTERS.items() if entry[0] == type(fitter).__name__}
    if not found:
        known = ", ".join(class_name for class_name, _ in _FITTERS.values())
        raise ModelError(f"{type(fitter).__name__} is no fitter that can be taken over; these can: {known}")
    ((name, (class_name, names)),) = found.items()
    model_class = _model_class(name)
    if expected is not None and not issubclass(model_class, expected):
        raise ModelError(f"{class_name} becomes a {model_class.__name__}; use {model_class.__name__}.from_lifetimes")
    if not hasattr(fitter, "params_"):
        raise ModelError(f"the {class_name} is not fitted: call its fit first")
    parameters = {name: float(fitter.params_[name]) for name in names}
    unit = {} if name == "gamma_gamma" else {"time_unit": time_unit}
    model = model_class.from_parameters(**parameters, **unit)
    if hasattr(fitter, "variance_matrix_"):
        own = list(model.params_)
        model.covariance_ = fitter.variance_matrix_.loc[own, own].to_numpy(dtype=float)
    if hasattr(fitter, "data"):
        data = {column: fitter.data[column].to_numpy() for column in fitter.data.columns}
        data["weight"] = data.pop("weights")
        model.n_customers_ = float(data["weight"].sum())
        try:
            model.log_likelihood_ = model.log_likelihood(data)
        except ContractError:  # lifetimes takes histories that are none, such as repeat purchases with recency 0
            model.log_likelihood_ = float("nan")
    return model


def _model_class(name: str) -> Any:
    from .beta_geo import BetaGeoModel
    from .gamma_gamma import GammaGammaModel
    from .modified_beta_geo import ModifiedBetaGeoModel
    from .pareto_nbd import ParetoNBDModel

    classes = (BetaGeoModel, ModifiedBetaGeoModel, ParetoNBDModel, GammaGammaModel)
    return next(c for c in classes if c.name == name)


def _import_lifetimes() -> Any:
    try:
        # its own imports warn of what later versions of its dependencies will drop
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import lifetimes
    except ImportError as error:
        raise MissingExtraError(
            f"lifetimes cannot be imported ({error}): pip install 'regulars[demo]' brings it"
        ) from error
    return lifetimes
