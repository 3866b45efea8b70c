"""Likelihood-ratio tests of one model against another that it contains."""

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
        model. That the one contains the other is the caller's to see to.

    Returns
    -------
    LikelihoodRatioTest
        The p-value is that of the chi-squared distribution, which holds where no parameter is at a boundary (Wilks
        1938).

    Raises
    ------
    ModelError
        The fits are of different customers or time units, a ridge was used, the larger model has no more parameters,
        or fits worse than the smaller one.

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
        if getattr(model, "ridge", 0.0) > 0:
            raise ModelError("a fit with a ridge has no likelihood-ratio test; fit both models with ridge=0")
    one, other = ((m.n_customers_, getattr(m, "time_unit_", None)) for m in (larger, smaller))
    if one != other:
        raise ModelError(f"the models were fitted to different customers or units: {one} and {other}")
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


def n_parameters(model: Any) -> int:
    """Free parameters of a fitted model.

    Examples
    --------
    >>> from regulars.clv import NBDModel
    >>> n_parameters(NBDModel.from_parameters(r=0.4, alpha=12.0))
    2
    """
    return getattr(model, "n_parameters_", len(model.params_))
