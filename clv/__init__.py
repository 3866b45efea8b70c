"""Customer value and churn."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .alive_path import probability_alive_path, recency_frequency_surface
    from .beta_geo import BetaGeoModel
    from .boosted_value import TwoPartValueModel, ValueWindow, ZILNModel, value_window
    from .btyd import BTYDModel
    from .calibration import DispersionCalibration, central_share, randomized_pit
    from .churn import ChurnModel
    from .churn_data import ChurnData, churn_frame, gap_data
    from .churn_evaluate import ChurnReport, evaluate_churn
    from .churn_forecast import ChurnForecast, forecast_churn
    from .cold_start import ColdStartModel
    from .covariate_paths import CovariatePaths, read_covariate_paths
    from .covariates import CovariateModel
    from .drift import hold_no_order, hold_predictions
    from .evaluate import ModelReport, evaluate_models
    from .fitted_clock import FittedClock
    from .gamma_gamma import GammaGammaModel, fit_spend
    from .gaps import known_at_start, order_gaps
    from .histories import PurchaseHistories, read_histories
    from .interval_levels import CustomerIntervals, customer_intervals, order_distribution
    from .left_censoring import LeftCensoredModel
    from .lifetimes_bridge import from_lifetimes, to_lifetimes
    from .likelihood_ratio import LikelihoodRatioTest, likelihood_ratio_test
    from .modified_beta_geo import ModifiedBetaGeoModel
    from .nbd import NBDModel
    from .pareto_nbd import ParetoNBDModel
    from .persistence import load_model, save_model
    from .plot import plot_alive_path, plot_calibration, plot_recency_frequency, plot_tracking
    from .portfolio import PortfolioTerms, PortfolioValue, portfolio_terms, portfolio_value
    from .purchase_dates import seasonal_summary
    from .recalibration import Recalibration
    from .score import score_customers
    from .seasonal import SeasonalBetaGeoModel, SeasonalModifiedBetaGeoModel
    from .seasonal_clock import SeasonalClock
    from .segment_priors import SegmentPriorModel
    from .segments import assign_segments
    from .simulate import (
        simulate_bg_nbd,
        simulate_gamma_gamma,
        simulate_left_censored,
        simulate_mbg_nbd,
        simulate_nbd,
        simulate_pareto_nbd,
        simulate_purchases,
    )
    from .simulate_seasons import simulate_seasonal_purchases, simulate_time_varying_purchases, summarise_purchase_days
    from .spend_covariates import SpendCovariateModel
    from .sql_scores import score_sql, score_terms
    from .summary import holdout_summary, rfm_summary, summary_counts
    from .survival_metrics import survival_scores
    from .time_varying import TimeVaryingParetoNBDModel
    from .tracking import track_orders
    from .value import customer_lifetime_value

# Public name -> module; loaded when first used, so that importing the package loads no model library.
_MODULES = {
    "BTYDModel": "btyd",
    "BetaGeoModel": "beta_geo",
    "ChurnData": "churn_data",
    "ChurnForecast": "churn_forecast",
    "ChurnModel": "churn",
    "ChurnReport": "churn_evaluate",
    "CovariateModel": "covariates",
    "CovariatePaths": "covariate_paths",
    "CustomerIntervals": "interval_levels",
    "DispersionCalibration": "calibration",
    "FittedClock": "fitted_clock",
    "GammaGammaModel": "gamma_gamma",
    "LikelihoodRatioTest": "likelihood_ratio",
    "ModelReport": "evaluate",
    "ModifiedBetaGeoModel": "modified_beta_geo",
    "NBDModel": "nbd",
    "ParetoNBDModel": "pareto_nbd",
    "PortfolioTerms": "portfolio",
    "PortfolioValue": "portfolio",
    "PurchaseHistories": "histories",
    "Recalibration": "recalibration",
    "SeasonalBetaGeoModel": "seasonal",
    "SeasonalClock": "seasonal_clock",
    "SeasonalModifiedBetaGeoModel": "seasonal",
    "SpendCovariateModel": "spend_covariates",
    "TimeVaryingParetoNBDModel": "time_varying",
    "TwoPartValueModel": "boosted_value",
    "ValueWindow": "boosted_value",
    "ZILNModel": "boosted_value",
    "assign_segments": "segments",
    "central_share": "calibration",
    "churn_frame": "churn_data",
    "customer_intervals": "interval_levels",
    "customer_lifetime_value": "value",
    "evaluate_churn": "churn_evaluate",
    "evaluate_models": "evaluate",
    "fit_spend": "gamma_gamma",
    "forecast_churn": "churn_forecast",
    "from_lifetimes": "lifetimes_bridge",
    "gap_data": "churn_data",
    "hold_no_order": "drift",
    "hold_predictions": "drift",
    "holdout_summary": "summary",
    "known_at_start": "gaps",
    "likelihood_ratio_test": "likelihood_ratio",
    "load_model": "persistence",
    "order_distribution": "interval_levels",
    "order_gaps": "gaps",
    "plot_alive_path": "plot",
    "plot_calibration": "plot",
    "plot_recency_frequency": "plot",
    "plot_tracking": "plot",
    "portfolio_terms": "portfolio",
    "portfolio_value": "portfolio",
    "probability_alive_path": "alive_path",
    "randomized_pit": "calibration",
    "read_covariate_paths": "covariate_paths",
    "read_histories": "histories",
    "recency_frequency_surface": "alive_path",
    "rfm_summary": "summary",
    "save_model": "persistence",
    "score_customers": "score",
    "score_sql": "sql_scores",
    "score_terms": "sql_scores",
    "seasonal_summary": "purchase_dates",
    "simulate_bg_nbd": "simulate",
    "simulate_gamma_gamma": "simulate",
    "simulate_left_censored": "simulate",
    "simulate_mbg_nbd": "simulate",
    "simulate_nbd": "simulate",
    "simulate_pareto_nbd": "simulate",
    "simulate_purchases": "simulate",
    "simulate_seasonal_purchases": "simulate_seasons",
    "simulate_time_varying_purchases": "simulate_seasons",
    "summarise_purchase_days": "simulate_seasons",
    "summary_counts": "summary",
    "survival_scores": "survival_metrics",
    "to_lifetimes": "lifetimes_bridge",
    "track_orders": "tracking",
    "value_window": "boosted_value",
    "LeftCensoredModel": "left_censoring",
    "ColdStartModel": "cold_start",
    "SegmentPriorModel": "segment_priors",
}

__all__ = [
    "BTYDModel",
    "BetaGeoModel",
    "ChurnData",
    "ChurnForecast",
    "ChurnModel",
    "ChurnReport",
    "ColdStartModel",
    "CovariateModel",
    "CovariatePaths",
    "CustomerIntervals",
    "DispersionCalibration",
    "FittedClock",
    "GammaGammaModel",
    "LeftCensoredModel",
    "LikelihoodRatioTest",
    "ModelReport",
    "ModifiedBetaGeoModel",
    "NBDModel",
    "ParetoNBDModel",
    "PortfolioTerms",
    "PortfolioValue",
    "PurchaseHistories",
    "Recalibration",
    "SeasonalBetaGeoModel",
    "SeasonalClock",
    "SeasonalModifiedBetaGeoModel",
    "SegmentPriorModel",
    "SpendCovariateModel",
    "TimeVaryingParetoNBDModel",
    "TwoPartValueModel",
    "ValueWindow",
    "ZILNModel",
    "assign_segments",
    "central_share",
    "churn_frame",
    "customer_intervals",
    "customer_lifetime_value",
    "evaluate_churn",
    "evaluate_models",
    "fit_spend",
    "forecast_churn",
    "from_lifetimes",
    "gap_data",
    "hold_no_order",
    "hold_predictions",
    "holdout_summary",
    "known_at_start",
    "likelihood_ratio_test",
    "load_model",
    "order_distribution",
    "order_gaps",
    "plot_alive_path",
    "plot_calibration",
    "plot_recency_frequency",
    "plot_tracking",
    "portfolio_terms",
    "portfolio_value",
    "probability_alive_path",
    "randomized_pit",
    "read_covariate_paths",
    "read_histories",
    "recency_frequency_surface",
    "rfm_summary",
    "save_model",
    "score_customers",
    "score_sql",
    "score_terms",
    "seasonal_summary",
    "simulate_bg_nbd",
    "simulate_gamma_gamma",
    "simulate_left_censored",
    "simulate_mbg_nbd",
    "simulate_nbd",
    "simulate_pareto_nbd",
    "simulate_purchases",
    "simulate_seasonal_purchases",
    "simulate_time_varying_purchases",
    "summarise_purchase_days",
    "summary_counts",
    "survival_scores",
    "to_lifetimes",
    "track_orders",
    "value_window",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
