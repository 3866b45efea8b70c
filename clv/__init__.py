"""Customer value and churn."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .beta_geo import BetaGeoModel
    from .btyd import BTYDModel
    from .gamma_gamma import GammaGammaModel
    from .histories import PurchaseHistories, read_histories
    from .modified_beta_geo import ModifiedBetaGeoModel
    from .nbd import NBDModel
    from .pareto_nbd import ParetoNBDModel

# Public name -> module; loaded when first used, so that importing the package loads no model library.
_MODULES = {
    "BTYDModel": "btyd",
    "BetaGeoModel": "beta_geo",
    "GammaGammaModel": "gamma_gamma",
    "ModifiedBetaGeoModel": "modified_beta_geo",
    "NBDModel": "nbd",
    "ParetoNBDModel": "pareto_nbd",
    "PurchaseHistories": "histories",
    "read_histories": "histories",
}

__all__ = [
    "BTYDModel",
    "BetaGeoModel",
    "GammaGammaModel",
    "ModifiedBetaGeoModel",
    "NBDModel",
    "ParetoNBDModel",
    "PurchaseHistories",
    "read_histories",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
