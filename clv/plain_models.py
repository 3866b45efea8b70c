"""The models of orders by name."""

from typing import TYPE_CHECKING

from ..sql.errors import ModelError, nearest

if TYPE_CHECKING:
    from .btyd import BTYDModel


def plain_models() -> "dict[str, type[BTYDModel]]":
    """Return the four models of orders without covariates or seasons, by name.

    Examples
    --------
    >>> list(plain_models())
    ['nbd', 'bg_nbd', 'mbg_nbd', 'pareto_nbd']
    """
    from .beta_geo import BetaGeoModel
    from .modified_beta_geo import ModifiedBetaGeoModel
    from .nbd import NBDModel
    from .pareto_nbd import ParetoNBDModel

    return {kind.name: kind for kind in (NBDModel, BetaGeoModel, ModifiedBetaGeoModel, ParetoNBDModel)}


def plain_model(name: str) -> "BTYDModel":
    """Return an unfitted model by its name.

    Raises
    ------
    ModelError
        There is no such model.

    Examples
    --------
    >>> plain_model("nbd")
    <NBDModel, not fitted>
    """
    kinds = plain_models()
    if name not in kinds:
        raise ModelError(f"no model {name!r}{nearest(name, list(kinds))}; there are {', '.join(kinds)}")
    return kinds[name]()
