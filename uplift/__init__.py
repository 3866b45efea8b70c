"""Experiments, effects, verdicts and targeting."""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..sql.findings import Finding
    from .allocate import Allocation, AllocationError, allocate
    from .balance import covariate_balance, cuped, sample_ratio_test
    from .budget_path import budget_path
    from .calibration import EffectCalibration, calibration_of_effects
    from .clusters import assign_clusters, cluster_effect, power_clusters
    from .decision_log import logged_sends, read_log
    from .design import (
        DesignError,
        Power,
        assign,
        minimum_detectable_effect,
        persistent_holdout,
        power_average_effect,
        power_targeting,
        sample_size,
    )
    from .dose import fit_dose_effects
    from .effects import Effects
    from .estimate import Estimate
    from .evaluation import PredictedEffects, evaluate
    from .evaluation_report import EvaluationReport
    from .experiment import Experiment, ExperimentData
    from .learners import fit_effects
    from .plot import plot_budget, plot_effect_calibration, plot_gain, plot_qini, plot_toc
    from .policy_value import compare_policies, gain_per_1000, off_policy_value, treat_top
    from .preflight import PreflightError, preflight, require_clean
    from .rate import Ranking, autoc, compare_rankings, qini, rank_by, toc
    from .readout import ReadOut, read_out
    from .scores import doubly_robust_scores, overlap_region
    from .sensitivity import confounding_bounds, e_value, placebo
    from .simulate import SimulatedExperiment, simulate
    from .suppression import Suppression, count_contacts
    from .surrogate import SurrogateIndex, long_term_effects, surrogate_index
    from .switchback import Switchback, power_switchback, switchback, switchback_effect
    from .target import TargetList, replay
    from .verdict import Verdict, decide

# Public name -> module; loaded when first used, so that importing the package loads no model library.
_MODULES = {
    "Allocation": "allocate",
    "AllocationError": "allocate",
    "DesignError": "design",
    "EffectCalibration": "calibration",
    "Effects": "effects",
    "Estimate": "estimate",
    "EvaluationReport": "evaluation_report",
    "Experiment": "experiment",
    "ExperimentData": "experiment",
    "Finding": "preflight",
    "Power": "design",
    "PredictedEffects": "evaluation",
    "PreflightError": "preflight",
    "Ranking": "rate",
    "ReadOut": "readout",
    "SimulatedExperiment": "simulate",
    "Suppression": "suppression",
    "SurrogateIndex": "surrogate",
    "Switchback": "switchback",
    "TargetList": "target",
    "Verdict": "verdict",
    "allocate": "allocate",
    "assign": "design",
    "assign_clusters": "clusters",
    "autoc": "rate",
    "budget_path": "budget_path",
    "calibration_of_effects": "calibration",
    "cluster_effect": "clusters",
    "compare_policies": "policy_value",
    "compare_rankings": "rate",
    "confounding_bounds": "sensitivity",
    "count_contacts": "suppression",
    "covariate_balance": "balance",
    "cuped": "balance",
    "decide": "verdict",
    "doubly_robust_scores": "scores",
    "e_value": "sensitivity",
    "evaluate": "evaluation",
    "fit_dose_effects": "dose",
    "fit_effects": "learners",
    "gain_per_1000": "policy_value",
    "logged_sends": "decision_log",
    "long_term_effects": "surrogate",
    "minimum_detectable_effect": "design",
    "off_policy_value": "policy_value",
    "overlap_region": "scores",
    "persistent_holdout": "design",
    "placebo": "sensitivity",
    "plot_budget": "plot",
    "plot_effect_calibration": "plot",
    "plot_gain": "plot",
    "plot_qini": "plot",
    "plot_toc": "plot",
    "power_average_effect": "design",
    "power_clusters": "clusters",
    "power_switchback": "switchback",
    "power_targeting": "design",
    "preflight": "preflight",
    "qini": "rate",
    "rank_by": "rate",
    "read_log": "decision_log",
    "read_out": "readout",
    "replay": "target",
    "require_clean": "preflight",
    "sample_ratio_test": "balance",
    "sample_size": "design",
    "simulate": "simulate",
    "surrogate_index": "surrogate",
    "switchback": "switchback",
    "switchback_effect": "switchback",
    "toc": "rate",
    "treat_top": "policy_value",
}

__all__ = [
    "Allocation",
    "AllocationError",
    "DesignError",
    "EffectCalibration",
    "Effects",
    "Estimate",
    "EvaluationReport",
    "Experiment",
    "ExperimentData",
    "Finding",
    "Power",
    "PredictedEffects",
    "PreflightError",
    "Ranking",
    "ReadOut",
    "SimulatedExperiment",
    "Suppression",
    "SurrogateIndex",
    "Switchback",
    "TargetList",
    "Verdict",
    "allocate",
    "assign",
    "assign_clusters",
    "autoc",
    "budget_path",
    "calibration_of_effects",
    "cluster_effect",
    "compare_policies",
    "compare_rankings",
    "confounding_bounds",
    "count_contacts",
    "covariate_balance",
    "cuped",
    "decide",
    "doubly_robust_scores",
    "e_value",
    "evaluate",
    "fit_dose_effects",
    "fit_effects",
    "gain_per_1000",
    "logged_sends",
    "long_term_effects",
    "minimum_detectable_effect",
    "off_policy_value",
    "overlap_region",
    "persistent_holdout",
    "placebo",
    "plot_budget",
    "plot_effect_calibration",
    "plot_gain",
    "plot_qini",
    "plot_toc",
    "power_average_effect",
    "power_clusters",
    "power_switchback",
    "power_targeting",
    "preflight",
    "qini",
    "rank_by",
    "read_log",
    "read_out",
    "replay",
    "require_clean",
    "sample_ratio_test",
    "sample_size",
    "simulate",
    "surrogate_index",
    "switchback",
    "switchback_effect",
    "toc",
    "treat_top",
]


class _Package(ModuleType):
    def __setattr__(self, name: str, value: Any) -> None:
        # Python binds a submodule here when it is first imported; `allocate` stays the function, not its module.
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
