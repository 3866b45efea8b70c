"""Price response, demand, markdown plans and price tests."""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..sql.findings import Finding
    from .audit import Audit, Violation, audit_prices
    from .conflict import Conflict, RulesConflict
    from .cross_price import CrossElasticities, estimate_cross_elasticities
    from .demand import DemandModel, WhatIf
    from .elasticity import ElasticityTable, estimate_elasticities
    from .explanation import Explanation, Neighbour, WeekExplained
    from .gates import Gates
    from .ladder import PlanError
    from .markdown import MarkdownPlan, find_rule_conflict, plan_markdowns
    from .panel import price_panel, with_calendar
    from .plot import plot_demand, plot_elasticities, plot_price_path, plot_specification_curve
    from .price_test_value import add_test_results, worth_of_tests
    from .price_tests import (
        PriceResponse,
        PriceTest,
        PriceTestPower,
        SubstitutionBias,
        clustered_price_test,
        price_response,
        substitution_bias,
        switchback_price_test,
        weekly_noise,
    )
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
    from .simulate import SimulatedPrices, simulate_prices
    from .specification_curve import Specification, SpecificationCurve, specification_curve
    from .stochastic import (
        ContinuousPrices,
        GallegoVanRyzin,
        Season,
        SeasonPolicy,
        SimulatedSeasons,
        continuous_prices,
        fluid_bound,
        gallego_van_ryzin,
        path_policy,
        plan_season,
        policy_value,
        season,
        simulate_replanned,
        simulate_seasons,
    )

# Public name -> module; loaded when first used, so that importing the package loads no model library.
_MODULES = {
    "AllOrNothing": "rules",
    "AtMostOnePromoted": "rules",
    "Audit": "audit",
    "Budget": "rules",
    "CompetitorPrice": "rules",
    "Conflict": "conflict",
    "ContinuousPrices": "stochastic",
    "CrossElasticities": "cross_price",
    "DemandModel": "demand",
    "DiscountTiers": "rules",
    "ElasticityTable": "elasticity",
    "ExitDate": "rules",
    "Explanation": "explanation",
    "Finding": "elasticity",
    "FixedPrice": "rules",
    "GallegoVanRyzin": "stochastic",
    "Gates": "gates",
    "MarginFloor": "rules",
    "MarkdownPlan": "markdown",
    "MaxMarkdowns": "rules",
    "MaximumStep": "rules",
    "MinWeeksBetween": "rules",
    "MinimumAdvertisedPrice": "rules",
    "MinimumOnHand": "rules",
    "MinimumStep": "rules",
    "Neighbour": "explanation",
    "NoTouch": "rules",
    "Objective": "rules",
    "PlanError": "ladder",
    "PriceEndings": "rules",
    "PriceResponse": "price_tests",
    "PriceTest": "price_tests",
    "PriceTestPower": "price_tests",
    "PricesMayRise": "rules",
    "RuleError": "rules",
    "RulesConflict": "conflict",
    "Season": "stochastic",
    "SeasonPolicy": "stochastic",
    "SellThrough": "rules",
    "SharedStock": "rules",
    "SimulatedPrices": "simulate",
    "SimulatedSeasons": "stochastic",
    "Specification": "specification_curve",
    "SpecificationCurve": "specification_curve",
    "SubstitutionBias": "price_tests",
    "Violation": "audit",
    "WeekExplained": "explanation",
    "WhatIf": "demand",
    "add_test_results": "price_test_value",
    "audit_prices": "audit",
    "clustered_price_test": "price_tests",
    "continuous_prices": "stochastic",
    "estimate_cross_elasticities": "cross_price",
    "estimate_elasticities": "elasticity",
    "find_rule_conflict": "markdown",
    "fluid_bound": "stochastic",
    "gallego_van_ryzin": "stochastic",
    "path_policy": "stochastic",
    "plan_markdowns": "markdown",
    "plan_season": "stochastic",
    "plot_demand": "plot",
    "plot_elasticities": "plot",
    "plot_price_path": "plot",
    "plot_specification_curve": "plot",
    "policy_value": "stochastic",
    "price_panel": "panel",
    "price_response": "price_tests",
    "season": "stochastic",
    "simulate_prices": "simulate",
    "simulate_replanned": "stochastic",
    "simulate_seasons": "stochastic",
    "specification_curve": "specification_curve",
    "substitution_bias": "price_tests",
    "switchback_price_test": "price_tests",
    "weekly_noise": "price_tests",
    "with_calendar": "panel",
    "worth_of_tests": "price_test_value",
}

__all__ = [
    "AllOrNothing",
    "AtMostOnePromoted",
    "Audit",
    "Budget",
    "CompetitorPrice",
    "Conflict",
    "ContinuousPrices",
    "CrossElasticities",
    "DemandModel",
    "DiscountTiers",
    "ElasticityTable",
    "ExitDate",
    "Explanation",
    "Finding",
    "FixedPrice",
    "GallegoVanRyzin",
    "Gates",
    "MarginFloor",
    "MarkdownPlan",
    "MaxMarkdowns",
    "MaximumStep",
    "MinWeeksBetween",
    "MinimumAdvertisedPrice",
    "MinimumOnHand",
    "MinimumStep",
    "Neighbour",
    "NoTouch",
    "Objective",
    "PlanError",
    "PriceEndings",
    "PriceResponse",
    "PriceTest",
    "PriceTestPower",
    "PricesMayRise",
    "RuleError",
    "RulesConflict",
    "Season",
    "SeasonPolicy",
    "SellThrough",
    "SharedStock",
    "SimulatedPrices",
    "SimulatedSeasons",
    "Specification",
    "SpecificationCurve",
    "SubstitutionBias",
    "Violation",
    "WeekExplained",
    "WhatIf",
    "add_test_results",
    "audit_prices",
    "clustered_price_test",
    "continuous_prices",
    "estimate_cross_elasticities",
    "estimate_elasticities",
    "find_rule_conflict",
    "fluid_bound",
    "gallego_van_ryzin",
    "path_policy",
    "plan_markdowns",
    "plan_season",
    "plot_demand",
    "plot_elasticities",
    "plot_price_path",
    "plot_specification_curve",
    "policy_value",
    "price_panel",
    "price_response",
    "season",
    "simulate_prices",
    "simulate_replanned",
    "simulate_seasons",
    "specification_curve",
    "substitution_bias",
    "switchback_price_test",
    "weekly_noise",
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
