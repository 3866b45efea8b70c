"""Likelihood-ratio tests of one model against another that it contains."""

import math
from dataclasses import dataclass
from typing import Any

from ..sql.errors import ModelError

# A larger model may fall this short of the smaller one by rounding of its climb.
_ROUNDING = 1e-4


@dataclass(frozen=True)
class LikelihoodRatioTest:
    """Twice the gain in log-likelihood, free parameters more, and the chance of that gain if they were not needed.

    Examples
    --------
    >>> LikelihoodRatioTest(statistic=3.9, degrees_of_freedom=1, p_value=0.048).degrees_of_freedom
    1
    """

    statistic: float
    degrees_of_freedom: int
    p_value: float


def likelihood_ratio_test(larger: Any, smaller: Any) -> LikelihoodRatioTest:
    """Test whether a model fits better than one that it contains, both fitted to the same customers.

    Parameters
    ----------
    larger, smaller : fitted models
        Such as a `CovariateModel` and the same with fewer covariates, with coefficients held equal, or the plain
        model. Models of a kind that this package knows are asked whether the one contains the other; of others that is
        the caller's to see to.

    Returns
    -------
    LikelihoodRatioTest
        The p-value is that of the chi-squared distribution, which holds where no parameter is at a boundary (Wilks
        1938).

    Raises
    ------
    ModelError
        A model is not fitted to customers; the fits are of different customers or time units, as far as they tell (by
        the totals of their histories; of a model from a file by the number of customers alone); a ridge was used; the
        larger model does not contain the smaller one, has no more parameters, or fits worse.

    Examples
    --------
    >>> import numpy as np
    >>> from regulars.clv import BetaGeoModel, CovariateModel, simulate
    >>> base = simulate.simulate_bg_nbd({"r": 0.25, "alpha": 4.0, "a": 0.8, "b": 2.5}, 3000, T=52, seed=1)
    >>> base["heads"] = np.random.default_rng(1).random(3000) < 0.5
    >>> test = likelihood_ratio_test(CovariateModel("bg_nbd", purchase=["heads"]).fit(base), BetaGeoModel().fit(base))
    >>> test.degrees_of_freedom, test.p_value > 0.05
    (1, True)
    """
    from scipy import special

    for model in (larger, smaller):
        _require_a_fit(model)
    _require_same_customers(larger, smaller)
    _require_nested(larger, smaller)
    degrees = n_parameters(larger) - n_parameters(smaller)
    if degrees <= 0:
        raise ModelError(
            f"the larger model has {n_parameters(larger)} free parameters and the smaller {n_parameters(smaller)}; "
            "give the larger one first"
        )
    gain = larger.log_likelihood_ - smaller.log_likelihood_
    if not gain > -_ROUNDING:
        raise ModelError(
            f"the larger model's log-likelihood is {larger.log_likelihood_:.4f}, below {smaller.log_likelihood_:.4f}: "
            "it does not contain the smaller one, or its climb failed"
        )
    statistic = max(0.0, 2.0 * gain)
    return LikelihoodRatioTest(statistic, degrees, float(special.chdtrc(degrees, statistic)))


def _require_a_fit(model: Any) -> None:
    if not hasattr(model, "log_likelihood_"):
        raise ModelError(f"{type(model).__name__} is not fitted; a likelihood-ratio test compares two fitted models")
    if not math.isfinite(model.log_likelihood_):
        raise ModelError(f"{type(model).__name__} was made from parameters: it has no likelihood; fit it to customers")
    if getattr(model, "ridge", 0.0) > 0:
        raise ModelError("a fit with a ridge has no likelihood-ratio test; fit both models with ridge=0")


def _require_same_customers(larger: Any, smaller: Any) -> None:
    one, other = ((getattr(m, "n_customers_", None), getattr(m, "time_unit_", None)) for m in (larger, smaller))
    if one != other:
        raise ModelError(f"the models were fitted to different customers or units: {one} and {other}")
    sums, others = (getattr(m, "_totals", None) or () for m in (larger, smaller))
    # the same customers in another order have other last digits
    if sums and others and not all(math.isclose(a, b, rel_tol=1e-9) for a, b in zip(sums, others, strict=False)):
        raise ModelError(
            f"the models were fitted to different customers: those of the larger made {sums[1]:,.0f} purchases in all, "
            f"those of the smaller {others[1]:,.0f}, or their histories are otherwise not the same"
        )


def _require_nested(larger: Any, smaller: Any) -> None:
    families = [_family(model) for model in (larger, smaller)]
    if families[0] != families[1]:
        raise ModelError(
            f"{larger.name} does not contain {smaller.name} with all parameters free, so twice the gain is not "
            f"chi-squared: compare models of one family, {families[0]} or {families[1]}"
        )
    if "" in families:
        return
    moved = [_moved(model) for model in (larger, smaller)]
    lacking = sorted(moved[1] - moved[0])
    if lacking:
        raise ModelError(
            f"the smaller model has {', '.join(lacking)}, which the larger one has not: it is not contained"
        )
    if tied := _outside(larger, smaller):
        raise ModelError(f"the larger model holds {tied} equal, which the smaller one does not: it is not contained")


def _family(model: Any) -> str:
    """The plain model that a fit extends; '' for one of a kind that is not known here."""
    name = str(getattr(model, "name", ""))
    return name.removesuffix("_covariates").removeprefix("time_varying_").removeprefix("seasonal_")


def _moved(model: Any) -> set[str]:
    """Covariates by what they move, such as ``purchase.club``."""
    by_target = {"purchase": getattr(model, "purchase", ()), "spend": getattr(model, "spend", ())}
    dropout = getattr(model, "dropout", {})
    by_target |= dropout if isinstance(dropout, dict) else {"dropout": dropout}
    return {f"{target}.{name}" for target, names in by_target.items() for name in names}


def _outside(larger: Any, smaller: Any) -> str:
    """Coefficients that the larger ties and the smaller does not, as text; '' for none."""
    if not (getattr(larger, "equal", ()) and hasattr(smaller, "_effects") and smaller.coefficients_):
        return ""
    wide, narrow = larger._effects(), smaller._effects()
    position = {name: i for i, name in enumerate(wide.names)}
    if not set(narrow.names) <= set(position):  # levels against another base: the same space by other names
        return ""
    for free in range(narrow.n_free):
        inside = [position[name] for name, i in zip(narrow.names, narrow.free, strict=True) if i == free]
        groups = {int(wide.free[i]) for i in inside}
        tied = [i for i, group in enumerate(wide.free.tolist()) if group in groups]
        if set(tied) != set(inside):
            return " and ".join(wide.names[i] for i in tied)
    return ""


def n_parameters(model: Any) -> int:
    """Free parameters of a fitted model.

    Examples
    --------
    >>> from regulars.clv import NBDModel
    >>> n_parameters(NBDModel.from_parameters(r=0.4, alpha=12.0))
    2
    """
    return getattr(model, "n_parameters_", len(model.params_))
