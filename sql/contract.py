"""The contract: every table that enters or leaves regulars, column by column. The one place for these facts.

The data dictionary in the docs, the staging of input files, the checks of a snapshot and the app's allow-lists
are all read from here.
"""

from collections.abc import Mapping
from types import MappingProxyType

from .audit_tables import (
    AUDIT_ALL_COHORTS,
    AUDIT_HEALTH,
    AUDIT_ONE_COHORT,
    AUDIT_ONE_PERIOD,
    AUDIT_PERIODS,
    AUDIT_TWO_PERIODS,
)
from .campaign_tables import (
    CAMPAIGN_BALANCE,
    CAMPAIGN_CURVES,
    CAMPAIGN_EFFECTS,
    CAMPAIGN_FINDINGS,
    CAMPAIGN_HOLDOUT,
    CAMPAIGN_VALUES,
    UPLIFT_SCORES,
)
from .churn_tables import CHURN_CALIBRATION, CHURN_REPORTS, CHURN_TRACKING, CUSTOMER_CHURN, GAP_LIFE_TABLE
from .customer_tables import (
    CHECK_RESULTS,
    COHORTS,
    CUSTOMER_DAYS,
    CUSTOMER_INTERVALS,
    CUSTOMER_SCORES,
    CUSTOMER_SUMMARY,
    DAILY_MONEY,
    GAP_FEATURES,
    HOLDOUT_COUNTS,
    HOLDOUT_SUMMARY,
    KPIS,
    MODEL_CALIBRATION,
    MODEL_REPORTS,
    MONEY_RECONCILIATION,
    ORDER_GAPS,
    ORDER_TRACKING,
    PORTFOLIO_TERMS,
    PREDICTION_TRACKING,
    REJECTED_ORDER_LINES,
    RETURN_LINES,
    RETURNABLE_SALES,
    SCORE_TERMS,
    SEGMENTS,
    SET_ASIDE_REASONS,
    SUMMARY_COUNTS,
)
from .input_tables import CUSTOMER_LINKS, CUSTOMERS, EXCHANGE_RATES, ORDER_LINES, PRODUCTS, PROMOTIONS, SENDS, STOCK
from .price_tables import (
    ELASTICITIES,
    ITEM_WEEKS,
    MARKDOWN_PLAN,
    MARKDOWN_PLANS,
    PANEL_LINES_DROPPED,
    PANEL_REASONS,
    PRICE_PANEL,
    PRICE_RULES,
    STOCK_ON_HAND,
    STOCK_RULES,
)
from .tables import Column, Table

__all__ = [
    "AUDIT_ALL_COHORTS",
    "AUDIT_HEALTH",
    "AUDIT_ONE_COHORT",
    "AUDIT_ONE_PERIOD",
    "AUDIT_PERIODS",
    "AUDIT_TWO_PERIODS",
    "BESIDE_TABLES",
    "CAMPAIGN_BALANCE",
    "CAMPAIGN_CURVES",
    "CAMPAIGN_EFFECTS",
    "CAMPAIGN_FINDINGS",
    "CAMPAIGN_HOLDOUT",
    "CAMPAIGN_VALUES",
    "CHECK_RESULTS",
    "CHURN_CALIBRATION",
    "CHURN_REPORTS",
    "CHURN_TRACKING",
    "COHORTS",
    "CUSTOMERS",
    "CUSTOMER_CHURN",
    "CUSTOMER_DAYS",
    "CUSTOMER_INTERVALS",
    "CUSTOMER_LINKS",
    "CUSTOMER_SCORES",
    "CUSTOMER_SUMMARY",
    "DAILY_MONEY",
    "ELASTICITIES",
    "EXCHANGE_RATES",
    "GAP_FEATURES",
    "GAP_LIFE_TABLE",
    "HOLDOUT_COUNTS",
    "HOLDOUT_SUMMARY",
    "INPUT_TABLES",
    "ITEM_WEEKS",
    "KPIS",
    "MARKDOWN_PLAN",
    "MARKDOWN_PLANS",
    "MODEL_CALIBRATION",
    "MODEL_REPORTS",
    "MONEY_RECONCILIATION",
    "ORDER_GAPS",
    "ORDER_LINES",
    "ORDER_TRACKING",
    "OUTPUT_TABLES",
    "PANEL_LINES_DROPPED",
    "PANEL_REASONS",
    "PORTFOLIO_TERMS",
    "PREDICTION_TRACKING",
    "PRICE_PANEL",
    "PRICE_RULES",
    "PRODUCTS",
    "PROMOTIONS",
    "REJECTED_ORDER_LINES",
    "RETURNABLE_SALES",
    "RETURN_LINES",
    "SCORE_TERMS",
    "SECTIONS",
    "SEGMENTS",
    "SENDS",
    "SET_ASIDE_REASONS",
    "STOCK",
    "STOCK_ON_HAND",
    "STOCK_RULES",
    "SUMMARY_COUNTS",
    "UPLIFT_SCORES",
    "Column",
    "Table",
]

INPUT_TABLES: Mapping[str, Table] = MappingProxyType(
    {t.name: t for t in (ORDER_LINES, CUSTOMER_LINKS, EXCHANGE_RATES, CUSTOMERS, PRODUCTS, STOCK, PROMOTIONS, SENDS)}
)

# The section of regulars.toml that feeds each input table.
SECTIONS: Mapping[str, str] = MappingProxyType({n: "orders" if n == "order_lines" else n for n in INPUT_TABLES})

# Kept beside the snapshots: what depends on the runs before.
BESIDE_TABLES: Mapping[str, Table] = MappingProxyType(
    {table.name: table for table in (PREDICTION_TRACKING, CHURN_TRACKING)}
)

# What a snapshot holds, in the order in which it is built.
OUTPUT_TABLES: Mapping[str, Table] = MappingProxyType(
    {
        t.name: t
        for t in (
            REJECTED_ORDER_LINES,
            MONEY_RECONCILIATION,
            CHECK_RESULTS,
            DAILY_MONEY,
            RETURN_LINES,
            RETURNABLE_SALES,
            CUSTOMER_DAYS,
            CUSTOMER_SUMMARY,
            COHORTS,
            AUDIT_PERIODS,
            AUDIT_ONE_PERIOD,
            AUDIT_TWO_PERIODS,
            AUDIT_ONE_COHORT,
            AUDIT_ALL_COHORTS,
            AUDIT_HEALTH,
            GAP_LIFE_TABLE,
            MODEL_REPORTS,
            MODEL_CALIBRATION,
            ORDER_TRACKING,
            CUSTOMER_SCORES,
            CUSTOMER_INTERVALS,
            PORTFOLIO_TERMS,
            SCORE_TERMS,
            CUSTOMER_CHURN,
            CHURN_REPORTS,
            CHURN_CALIBRATION,
            KPIS,
            CAMPAIGN_EFFECTS,
            CAMPAIGN_CURVES,
            CAMPAIGN_FINDINGS,
            CAMPAIGN_BALANCE,
            CAMPAIGN_HOLDOUT,
            CAMPAIGN_VALUES,
            UPLIFT_SCORES,
            PRICE_PANEL,
            ELASTICITIES,
            MARKDOWN_PLANS,
            MARKDOWN_PLAN,
        )
    }
)
