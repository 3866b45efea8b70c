"""Price response, demand, markdown plans and price tests."""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..sql.findings import Finding
    from .audit import audit_prices
    from .conflict import RulesConflict
    from .cross_price import estimate_cross_elasticities
    from .demand import DemandModel
    from .elasticity import estimate_elasticities
    from .gates import Gates
    from .ladder import PlanError
    from .markdown import MarkdownPlan, find_rule_conflict, plan_markdowns
    from .panel import price_panel, with_calendar
    from .price_test_value import add_test_results, worth_of_tests
    from .price_tests import clustered_price_test, price_response, substitution_bias, switchback_price_test
    from .rules import (
        AllOrNothing,
        AtMostOnePromoted,
        Budget,
        CompetitorPrice,
        DiscountTiers,
        ExitDate,
        FixedPrice,
        MarginFloor,
        MaximumStep,
        MaxMarkdowns,
        MinimumAdvertisedPrice,
        MinimumOnHand,
        MinimumStep,
        MinWeeksBetween,
        NoTouch,
        Objective,
        PriceEndings,
        PricesMayRise,
        RuleError,
        SellThrough,
        SharedStock,
    )
    from .simulate import simulate_prices
    from .specification_curve import specification_curve
    from .stochastic import gallego_van_ryzin, plan_season, season, simulate_seasons

# Public name -> module; loaded when first used, so that importing the package loads no model library.
_MODULES = {
    "AllOrNothing": "rules",
    "AtMostOnePromoted": "rules",
    "Budget": "rules",
    "CompetitorPrice": "rules",
    "DemandModel": "demand",
    "DiscountTiers": "rules",
    "ExitDate": "rules",
    "Finding": "elasticity",
    "FixedPrice": "rules",
    "Gates": "gates",
    "MarginFloor": "rules",
    "MarkdownPlan": "markdown",
    "MaxMarkdowns": "rules",
    "MaximumStep": "rules",
    "MinWeeksBetween": "rules",
    "MinimumAdvertisedPrice": "rules",
    "MinimumOnHand": "rules",
    "MinimumStep": "rules",
    "NoTouch": "rules",
    "Objective": "rules",
    "PlanError": "ladder",
    "PriceEndings": "rules",
    "PricesMayRise": "rules",
    "RuleError": "rules",
    "RulesConflict": "conflict",
    "SellThrough": "rules",
    "SharedStock": "rules",
    "add_test_results": "price_test_value",
    "audit_prices": "audit",
    "clustered_price_test": "price_tests",
    "estimate_cross_elasticities": "cross_price",
    "estimate_elasticities": "elasticity",
    "find_rule_conflict": "markdown",
    "gallego_van_ryzin": "stochastic",
    "plan_markdowns": "markdown",
    "plan_season": "stochastic",
    "price_panel": "panel",
    "price_response": "price_tests",
    "season": "stochastic",
    "simulate_prices": "simulate",
    "simulate_seasons": "stochastic",
    "specification_curve": "specification_curve",
    "substitution_bias": "price_tests",
    "switchback_price_test": "price_tests",
    "with_calendar": "panel",
    "worth_of_tests": "price_test_value",
}

__all__ = [
    "AllOrNothing",
    "AtMostOnePromoted",
    "Budget",
    "CompetitorPrice",
    "DemandModel",
    "DiscountTiers",
    "ExitDate",
    "Finding",
    "FixedPrice",
    "Gates",
    "MarginFloor",
    "MarkdownPlan",
    "MaxMarkdowns",
    "MaximumStep",
    "MinWeeksBetween",
    "MinimumAdvertisedPrice",
    "MinimumOnHand",
    "MinimumStep",
    "NoTouch",
    "Objective",
    "PlanError",
    "PriceEndings",
    "PricesMayRise",
    "RuleError",
    "RulesConflict",
    "SellThrough",
    "SharedStock",
    "add_test_results",
    "audit_prices",
    "clustered_price_test",
    "estimate_cross_elasticities",
    "estimate_elasticities",
    "find_rule_conflict",
    "gallego_van_ryzin",
    "plan_markdowns",
    "plan_season",
    "price_panel",
    "price_response",
    "season",
    "simulate_prices",
    "simulate_seasons",
    "specification_curve",
    "substitution_bias",
    "switchback_price_test",
    "with_calendar",
    "worth_of_tests",
]


class _Package(ModuleType):
    def __setattr__(self, name: str, value: Any) -> None:
        # Python binds a submodule here when it is first imported; `specification_curve` stays the function.
        if isinstance(value, ModuleType) and _MODULES.get(name) == name:
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
