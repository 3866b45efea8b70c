"""Fitted models as JSON: readable, versioned, the same bytes for the same model."""

import hashlib
import json
import math
import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar, cast

from .. import __version__
from ..sql.durability import canonical_json, replace_text
from ..sql.errors import ModelError, nearest

FORMAT = "regulars model"
# Raised by one when a field changes its meaning; files of every earlier version stay readable.
FORMAT_VERSION = 1

# Where each model lives, by the name that its file carries.
_MODELS: Mapping[str, tuple[str, str]] = {
    "nbd": ("nbd", "NBDModel"),
    "bg_nbd": ("beta_geo", "BetaGeoModel"),
    "mbg_nbd": ("modified_beta_geo", "ModifiedBetaGeoModel"),
    "pareto_nbd": ("pareto_nbd", "ParetoNBDModel"),
    "gamma_gamma": ("gamma_gamma", "GammaGammaModel"),
    "time_varying_pareto_nbd": ("time_varying", "TimeVaryingParetoNBDModel"),
    "seasonal_bg_nbd": ("seasonal", "SeasonalBetaGeoModel"),
    "seasonal_mbg_nbd": ("seasonal", "SeasonalModifiedBetaGeoModel"),
    "nbd_covariates": ("covariates", "CovariateModel"),
    "bg_nbd_covariates": ("covariates", "CovariateModel"),
    "mbg_nbd_covariates": ("covariates", "CovariateModel"),
    "pareto_nbd_covariates": ("covariates", "CovariateModel"),
    "gamma_gamma_covariates": ("spend_covariates", "SpendCovariateModel"),
    "cold_start": ("cold_start", "ColdStartModel"),
    "two_part_value": ("boosted_value", "TwoPartValueModel"),
    "ziln": ("boosted_value", "ZILNModel"),
    "nbd_segments": ("segment_priors", "SegmentPriorModel"),
    "bg_nbd_segments": ("segment_priors", "SegmentPriorModel"),
    "mbg_nbd_segments": ("segment_priors", "SegmentPriorModel"),
    "pareto_nbd_segments": ("segment_priors", "SegmentPriorModel"),
    "bg_nbd_left_censored": ("left_censoring", "LeftCensoredModel"),
    "mbg_nbd_left_censored": ("left_censoring", "LeftCensoredModel"),
    "pareto_nbd_left_censored": ("left_censoring", "LeftCensoredModel"),
    "churn_kaplan_meier": ("churn", "ChurnModel"),
    "churn_cox": ("churn", "ChurnModel"),
    "churn_coxnet": ("churn", "ChurnModel"),
    "churn_gradient_boosting": ("churn", "ChurnModel"),
    "churn_random_survival_forest": ("churn", "ChurnModel"),
    "churn_hazard": ("churn", "ChurnModel"),
    "churn_forecast": ("churn_forecast", "ChurnForecast"),
    "recalibration": ("recalibration", "Recalibration"),
}
_NOT_FINITE = "not_finite"


Model = TypeVar("Model")


def save_model(model: Any, path: str | Path) -> None:
    """Write a fitted model as JSON; a reader sees the old file or the new one, never a part.

    The file holds the format's version, the package's version, the model's name and its state. Numbers are written
    with all their digits, so a loaded model predicts the same bits.

    Parameters
    ----------
    model : fitted model
        Anything with ``name``, ``to_dict`` and ``from_dict``.
    path : str or Path
        The file; its folder must exist.

    Raises
    ------
    ModelError
        Where the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from regulars.clv.gamma_gamma import GammaGammaModel
    >>> model = GammaGammaModel.from_parameters(p=6.25, q=3.74, v=15.44)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_model(model, f"{folder}/spend.json")
    ...     load_model(f"{folder}/spend.json").params_
    {'p': 6.25, 'q': 3.74, 'v': 15.44}
    """
    target = _file(path)
    try:
        replace_text(target, model_text(model))
    except OSError as error:
        raise ModelError(
            f"cannot write the model {target}: {error.strerror or error}; name a file in a folder you can write"
        ) from error


def load_model(path: str | Path, expected: type[Model] | None = None) -> Any:
    """Read a model that `save_model` wrote.

    Parameters
    ----------
    path : str or Path
        The file.
    expected : type, optional
        The class that the file must hold.

    Returns
    -------
    model
        The fitted model, of the class that the file names.

    Raises
    ------
    ModelError
        Where the file is missing, is no model file, was written by a newer format, names a model that this version
        does not have, holds another model than ``expected``, or lacks a part of its state.

    Examples
    --------
    >>> load_model("no-such-model.json")
    Traceback (most recent call last):
    ...
    regulars.sql.errors.ModelError: cannot read the model no-such-model.json: No such file or directory; ...
    """
    source = _file(path)
    try:
        document = json.loads(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(
            f"cannot read the model {source}: {error.strerror or error}; fit one and save it with model.save(path)"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{source} is no JSON file ({error}); fit the model again and save it") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ModelError(f"{source} is JSON but no saved model: its 'format' must be {FORMAT!r}")
    _refuse_newer(document, source)
    name = str(document.get("model"))
    if name not in _MODELS:
        raise ModelError(
            f"{source} holds the model {name!r}; this version has {', '.join(_MODELS)}{nearest(name, tuple(_MODELS))}"
        )
    module, class_name = _MODELS[name]
    model_class: Any = getattr(import_module(f".{module}", __package__), class_name)
    if expected is not None and not issubclass(model_class, expected):
        raise ModelError(f"{source} holds a {class_name}, not a {expected.__name__}; load it with {class_name}.load")
    try:
        model = cast("Any", model_class).from_dict(_decode(document["state"]))
        require_possible(model)
        if model.name != name:
            raise ValueError(f"it is headed {name} and holds a {model.name}")
        return model
    except KeyError as error:
        raise ModelError(
            f"{source}: the state of the {class_name} is incomplete: it has no {error}; fit it again"
        ) from error
    except (TypeError, AttributeError, IndexError) as error:
        raise ModelError(
            f"{source}: a part of the {class_name} is of another kind than was saved ({error}); fit it again"
        ) from error
    except (ValueError, OverflowError, RecursionError, ModelError) as error:
        raise ModelError(f"{source}: the {class_name} cannot be: {error}; fit it again") from error


def require_possible(model: Any) -> None:
    """Refuse parameters of a loaded model that none could have been fitted to.

    Raises
    ------
    ValueError
        One is not positive, or not finite.

    Examples
    --------
    >>> from regulars.clv.gamma_gamma import GammaGammaModel
    >>> model = GammaGammaModel.from_parameters(p=6.25, q=3.74, v=15.44)
    >>> model.params_["v"] = -1.0
    >>> require_possible(model)
    Traceback (most recent call last):
    ...
    ValueError: parameter v is -1.0; it must be positive and finite
    """
    # models of trees, curves and log hazards have no parameters that must be positive: they look at their state
    for name, value in getattr(model, "params_", {}).items():
        # a part that the data do not identify is 0 or nan, and says so
        if not (math.isfinite(value) and value > 0) and (model.identified_ or value < 0):
            raise ValueError(f"parameter {name} is {value!r}; it must be positive and finite")


def _file(path: Any) -> Path:
    if not isinstance(path, str | os.PathLike):
        raise ModelError(f"path is {path!r}; it must be the name of a file, such as 'model.json'")
    return Path(path)


def model_fingerprint(model: Any) -> str:
    """Twelve hexadecimal digits that identify a fitted model by its state.

    Examples
    --------
    >>> from regulars.clv.gamma_gamma import GammaGammaModel
    >>> one, two = (GammaGammaModel.from_parameters(p=6.25, q=3.74, v=v) for v in (15.44, 15.45))
    >>> len(model_fingerprint(one)), model_fingerprint(one) == model_fingerprint(two)
    (12, False)
    """
    text = canonical_json({"model": str(model.name), "state": _encode(model.to_dict())})
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def model_version(*models: Any) -> str:
    """Name, fingerprint and package version of the models behind a score, as ``customer_scores`` carries them.

    Examples
    --------
    >>> from regulars.clv.gamma_gamma import GammaGammaModel
    >>> model_version(GammaGammaModel.from_parameters(p=6.25, q=3.74, v=15.44))
    'gamma_gamma:... regulars 0.1.0'
    """
    parts = [f"{model.name}:{model_fingerprint(model)}" for model in models]
    return f"{' + '.join(parts)}, regulars {__version__}"


def model_text(model: Any) -> str:
    """The text of the file that `save_model` writes.

    Examples
    --------
    >>> from regulars.clv.gamma_gamma import GammaGammaModel
    >>> text = model_text(GammaGammaModel.from_parameters(p=6.25, q=3.74, v=15.44))
    >>> json.loads(text)["model"]
    'gamma_gamma'
    """
    return canonical_json(
        {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "regulars_version": __version__,
            "model": str(model.name),
            "state": _encode(model.to_dict()),
        }
    )


def _refuse_newer(document: dict[str, Any], source: Path) -> None:
    version = document.get("format_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ModelError(f"{source}: format_version is {version!r}; it must be a whole number from 1")
    if version > FORMAT_VERSION:
        raise ModelError(
            f"{source} has format {version} (by {document.get('regulars_version')}); this regulars {__version__} "
            f"reads formats up to {FORMAT_VERSION}: upgrade regulars, or fit the model again here"
        )


def _encode(value: Any) -> Any:
    """Plain JSON values; NaN and the infinities, which JSON does not know, as tagged objects."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): _encode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encode(item) for item in value]
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return _encode(value.tolist())
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {_NOT_FINITE: str(value)}
    raise TypeError(f"a model's state holds a {type(value).__name__}; only numbers, text, lists and dicts can be saved")


def _decode(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {_NOT_FINITE}:
            return float(value[_NOT_FINITE])
        return {key: _decode(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_decode(item) for item in value]
    return value
