"""The contract's tables of money, customers, models and checks."""

from collections.abc import Mapping
from types import MappingProxyType

from .tables import ID, MONEY, Column, Table

# Why a line of money is not in customer_days; the first that applies, in this order.
SET_ASIDE_REASONS: Mapping[str, str] = MappingProxyType(
    {
        "erased_customer": "the customer was erased ('regulars erase') and the input still holds the line",
        "unreadable_revenue": "revenue is NULL, no number, or beyond DECIMAL(18,2)",
        "unreadable_date": "ordered_at is NULL or no date",
        "after_as_of": "the order is later than the as-of date",
        "missing_customer": "customer_id is NULL or blank and guests are set aside",
        "missing_exchange_rate": "no rate for the line's currency on or before its day",
        "non_product": "postage, a fee, a sample or a test line",
        "duplicate_line": "every column equals another line's and duplicates are set aside",
        "zero_revenue": "revenue is zero and such lines are set aside",
        "refund_ignored": "a refund, and refunds are ignored",
        "return_without_sale": "a refund, or the part of one, that no earlier sale of the customer covers",
    }
)

REJECTED_ORDER_LINES = Table(
    "rejected_order_lines",
    (),
    "Lines, or parts of return lines, that were set aside, each with its reason. Nothing is dropped silently.",
    (
        Column("reason", "VARCHAR", "", "One of SET_ASIDE_REASONS"),
        Column("customer_id", ID, "", "As in the input", personal=True),
        Column("ordered_at", "TIMESTAMP", "local time", "NULL where it could not be read"),
        Column("ordered_at_text", "VARCHAR", "", "What stood in the input where ordered_at could not be read"),
        Column("revenue", MONEY, "line's currency", "Money of all these lines; NULL where it could not be read"),
        Column("revenue_text", "VARCHAR", "", "What stood in the input where revenue could not be read"),
        Column("currency", "VARCHAR", "", "The line's currency"),
        Column("order_id", ID, "", "As in the input", personal=True),
        Column("sku", ID, "", "As in the input"),
        Column("lines", "BIGINT", "lines", "Equal lines this row stands for; a partly covered refund is one"),
    ),
)

MONEY_RECONCILIATION = Table(
    "money_reconciliation",
    ("disposition", "reason", "currency"),
    "Money in = used + set aside by reason, to the cent.",
    (
        Column("disposition", "VARCHAR", "", "'in', 'used' or 'set_aside'"),
        Column("reason", "VARCHAR", "", "One of SET_ASIDE_REASONS; '' for in and used"),
        Column("currency", "VARCHAR", "", "The lines' currency"),
        Column("lines", "BIGINT", "lines", "Whole lines; a partly covered refund is used, its rest has no line"),
        Column("revenue", MONEY, "line's currency", "Their money, refunds negative"),
        Column("revenue_reporting", MONEY, "currency", "The same in the reporting currency; NULL without a rate"),
    ),
)

CUSTOMER_DAYS = Table(
    "customer_days",
    ("customer_id", "day"),
    "One row per customer and local calendar day with a purchase; every summary follows from it.",
    (
        Column("customer_id", ID, "", "The customer, links followed", personal=True),
        Column("day", "DATE", "", "Local calendar day"),
        Column("orders", "BIGINT", "orders", "Distinct orders; 1 where the input has no order_id"),
        Column("lines", "BIGINT", "lines", "Sale lines"),
        Column("revenue", MONEY, "currency", "Sales before returns"),
        Column("returned_revenue", MONEY, "currency", "What of these sales came back later, at most revenue"),
        Column("discount", MONEY, "currency", "Taken off the regular price; 0 where the input has no discount"),
    ),
)

RETURNABLE_SALES = Table(
    "returnable_sales",
    ("customer_id", "sku", "order_id", "day"),
    "Sales that a later refund can still be matched to; carried so that new days need no history.",
    (
        Column("customer_id", ID, "", "The customer, links followed", personal=True),
        Column("sku", ID, "", "The product; '' where the input has no sku"),
        Column("order_id", ID, "", "The order; '' where the input has no order_id", personal=True),
        Column("day", "DATE", "", "Day of the sale"),
        Column("revenue", MONEY, "currency", "What was sold"),
        Column("marked_returned", MONEY, "currency", "What of it the sale lines' own returned_at says came back"),
        Column("returned_revenue", MONEY, "currency", "What of it has come back so far, marked or matched"),
    ),
)

RETURN_LINES = Table(
    "return_lines",
    (
        "customer_id",
        "ordered_at",
        "sku",
        "order_id",
        "original_order_id",
        "source_customer_id",
        "currency",
        "revenue",
    ),
    "Refund lines that count, equal lines together, each with what of it was matched to earlier sales.",
    (
        Column("customer_id", ID, "", "The customer, links followed", personal=True),
        Column("day", "DATE", "", "Local calendar day of the refund"),
        Column("ordered_at", "TIMESTAMP", "local time", "As in the input"),
        Column("sku", ID, "", "As in the input"),
        Column("order_id", ID, "", "As in the input", personal=True),
        Column("original_order_id", ID, "", "As in the input", personal=True),
        Column("source_customer_id", ID, "", "customer_id as in the input", personal=True),
        Column("currency", "VARCHAR", "", "The line's currency"),
        Column("lines", "BIGINT", "lines", "How many equal lines this row stands for"),
        Column("revenue", MONEY, "line's currency", "Money of all of them, negative"),
        Column("revenue_reporting", MONEY, "currency", "The same in the reporting currency, negative"),
        Column("matched_revenue", MONEY, "currency", "What of it earlier sales cover, positive"),
    ),
)

DAILY_MONEY = Table(
    "daily_money",
    ("day", "reason", "currency"),
    "Lines and money in by day, verdict and currency: what the reconciliation adds up.",
    (
        Column("day", "DATE", "", "Local calendar day; NULL where it could not be read"),
        Column("reason", "VARCHAR", "", "One of SET_ASIDE_REASONS; '' for a line that counts"),
        Column("currency", "VARCHAR", "", "The lines' currency"),
        Column("lines", "BIGINT", "lines", "How many lines"),
        Column("refund_lines", "BIGINT", "lines", "Of these with negative revenue"),
        Column("zero_lines", "BIGINT", "lines", "Of these with no revenue"),
        Column("revenue", MONEY, "line's currency", "Their money"),
        Column("revenue_reporting", MONEY, "currency", "The same in the reporting currency; NULL without a rate"),
    ),
)

CUSTOMER_SUMMARY = Table(
    "customer_summary",
    ("customer_id",),
    "What the models read: one row per customer as of the as-of date.",
    (
        Column("customer_id", ID, "", "The customer", personal=True),
        Column("frequency", "BIGINT", "purchase days", "Days with a purchase after the first one (x)"),
        Column("recency", "DOUBLE", "time unit", "From the first to the last purchase day (t_x)"),
        Column("T", "DOUBLE", "time unit", "From the first purchase day to the as-of date"),
        Column("monetary_value", "DOUBLE", "currency", "Mean net revenue of the repeat purchase days; 0 without one"),
        Column("recency_days", "BIGINT", "days", "recency in days"),
        Column("T_days", "BIGINT", "days", "T in days"),
        Column("first_order_on", "DATE", "", "First purchase day"),
        Column("last_order_on", "DATE", "", "Last purchase day"),
        Column("orders", "BIGINT", "orders", "All orders"),
        Column("revenue", MONEY, "currency", "All sales less what came back"),
        Column("first_order_revenue", MONEY, "currency", "Net revenue of the first purchase day"),
        Column("returned_revenue", MONEY, "currency", "What came back"),
        Column("return_rate", "DOUBLE", "share", "returned_revenue over sales before returns; NULL without sales"),
        Column("returnable_revenue", MONEY, "currency", "Net revenue still inside its return window"),
    ),
)

HOLDOUT_SUMMARY = Table(
    "holdout_summary",
    ("customer_id",),
    "Customers acquired by calibration_end: their summary then, and what they did until observation_end.",
    (
        *(c for c in CUSTOMER_SUMMARY.columns if c.name in {"customer_id", "frequency", "recency", "T"}),
        CUSTOMER_SUMMARY.column("monetary_value"),
        CUSTOMER_SUMMARY.column("recency_days"),
        CUSTOMER_SUMMARY.column("T_days"),
        Column("frequency_holdout", "BIGINT", "purchase days", "Purchase days in the observation window"),
        Column("revenue_holdout", MONEY, "currency", "Net revenue of the observation window"),
        Column("monetary_value_holdout", "DOUBLE", "currency", "Mean net revenue of the holdout's own purchase days"),
        Column("duration_holdout", "DOUBLE", "time unit", "Length of the observation window"),
    ),
)

SUMMARY_COUNTS = Table(
    "summary_counts",
    ("frequency", "recency_days", "T_days"),
    "Counts of distinct (frequency, recency, T): all that a plain BTYD fit needs.",
    (
        Column("frequency", "BIGINT", "purchase days", "x"),
        Column("recency", "DOUBLE", "time unit", "t_x"),
        Column("T", "DOUBLE", "time unit", "T"),
        Column("recency_days", "BIGINT", "days", "recency in days"),
        Column("T_days", "BIGINT", "days", "T in days"),
        Column("weight", "BIGINT", "customers", "Customers that share the three"),
    ),
)

HOLDOUT_COUNTS = Table(
    "holdout_counts",
    ("frequency", "recency_days", "T_days", "frequency_holdout"),
    "Counts of distinct (frequency, recency, T) of the calibration with the purchase days of the observation window.",
    (
        *(c for c in SUMMARY_COUNTS.columns if c.name != "weight"),
        HOLDOUT_SUMMARY.column("frequency_holdout"),
        Column("weight", "BIGINT", "customers", "Customers that share the four"),
    ),
)

CUSTOMER_SCORES = Table(
    "customer_scores",
    ("customer_id",),
    "What each customer is expected to do in the horizon after the as-of date.",
    (
        Column("customer_id", ID, "", "The customer", personal=True),
        Column("as_of", "DATE", "", "The date the score speaks from"),
        Column("probability_alive", "DOUBLE", "probability", "Still a customer at the as-of date"),
        Column("expected_orders", "DOUBLE", "purchase days", "Expected purchase days in the horizon"),
        Column("orders_low", "DOUBLE", "purchase days", "Lower end of the 80% predictive interval"),
        Column("orders_high", "DOUBLE", "purchase days", "Upper end of the 80% predictive interval"),
        Column("expected_order_value", "DOUBLE", "currency", "Expected net revenue of one purchase day"),
        Column("customer_value", "DOUBLE", "currency", "Discounted margin expected in the horizon"),
        Column("value_low", "DOUBLE", "currency", "Lower end of the 80% predictive interval of customer_value"),
        Column("value_high", "DOUBLE", "currency", "Upper end of the 80% predictive interval of customer_value"),
        Column("probability_no_order", "DOUBLE", "probability", "No purchase in the horizon"),
        Column("next_order_days", "DOUBLE", "days", "Median days to the next purchase; NULL where it may never come"),
        Column("segment", "VARCHAR", "", "One of SEGMENTS"),
        Column("model_version", "VARCHAR", "", "Model, its fingerprint and the package version"),
    ),
)

CUSTOMER_INTERVALS = Table(
    "customer_intervals",
    ("customer_id",),
    "What each customer may do in the horizon: predictive intervals of purchase days and undiscounted net revenue at "
    "three levels, the models' own uncertainty included.",
    (
        Column("customer_id", ID, "", "The customer", personal=True),
        Column(
            "orders_low_50",
            "DOUBLE",
            "purchase days",
            "Lower end of the 50% interval of purchase days",
        ),
        Column("orders_high_50", "DOUBLE", "purchase days", "Upper end of the same"),
        Column(
            "money_low_50",
            "DOUBLE",
            "currency",
            "Lower end of the 50% interval of net revenue",
        ),
        Column("money_high_50", "DOUBLE", "currency", "Upper end of the same"),
        Column(
            "orders_low_80",
            "DOUBLE",
            "purchase days",
            "Lower end of the 80% interval of purchase days",
        ),
        Column("orders_high_80", "DOUBLE", "purchase days", "Upper end of the same"),
        Column(
            "money_low_80",
            "DOUBLE",
            "currency",
            "Lower end of the 80% interval of net revenue",
        ),
        Column("money_high_80", "DOUBLE", "currency", "Upper end of the same"),
        Column(
            "orders_low_90",
            "DOUBLE",
            "purchase days",
            "Lower end of the 90% interval of purchase days",
        ),
        Column("orders_high_90", "DOUBLE", "purchase days", "Upper end of the same"),
        Column(
            "money_low_90",
            "DOUBLE",
            "currency",
            "Lower end of the 90% interval of net revenue",
        ),
        Column("money_high_90", "DOUBLE", "currency", "Upper end of the same"),
    ),
)

PORTFOLIO_TERMS = Table(
    "portfolio_terms",
    ("customer_id",),
    "What each customer adds to the variance of a total. Of any group of customers the variance of expected orders, or "
    "of value, is the sum of the group's own variances and of the squares of each loading's sum over the group; the "
    "interval of the total is log-normal with the total as its mean.",
    (
        Column("customer_id", ID, "", "The customer", personal=True),
        Column("orders_variance", "DOUBLE", "purchase days^2", "Variance of the customer's own chance in orders"),
        *(
            Column(
                f"orders_loading_{i}",
                "DOUBLE",
                "purchase days",
                f"How expected orders move with error {i} of the model of orders",
            )
            for i in range(1, 5)
        ),
        Column("value_variance", "DOUBLE", "currency^2", "Variance of the customer's own chance in customer_value"),
        *(
            Column(
                f"value_loading_{i}",
                "DOUBLE",
                "currency",
                f"How customer_value moves with error {i if i < 5 else i - 4} of the model of "
                f"{'orders' if i < 5 else 'spend'}",
            )
            for i in range(1, 8)
        ),
    ),
)

SCORE_TERMS = Table(
    "score_terms",
    ("frequency", "T_days"),
    "What a customer who is still one at the as-of date is expected to do in the horizon, by purchase history: with it "
    "scores are plain SQL.",
    (
        Column("frequency", "BIGINT", "purchase days", "Days with a purchase after the first one (x)"),
        Column("T_days", "BIGINT", "days", "From the first purchase day to the as-of date"),
        Column("orders_if_alive", "DOUBLE", "purchase days", "Expected purchase days in the horizon"),
        Column("discounted_orders_if_alive", "DOUBLE", "purchase days", "The same, each discounted to the as-of date"),
        Column("no_order_if_alive", "DOUBLE", "probability", "No purchase in the horizon"),
    ),
)

SEGMENTS: Mapping[str, str] = MappingProxyType(
    {
        "best": "likely active and in the top tenth by value",
        "active": "likely active",
        "new": "first purchase within the last 30 days, none since",
        "at_risk": "may have left, and has bought more than once",
        "one_time": "one purchase day, more than 30 days ago",
        "lapsed": "has most likely left",
    }
)

ORDER_GAPS = Table(
    "order_gaps",
    ("customer_id", "starts"),
    "One row per interval between purchase days, with what was known at the end of the day it starts on.",
    (
        Column("customer_id", ID, "", "The customer", personal=True),
        Column("gap_number", "BIGINT", "", "1 for the interval after the first purchase day"),
        Column("starts", "DATE", "", "The purchase day it starts on"),
        Column("ends", "DATE", "", "The next purchase day; the as-of date where there is none yet"),
        Column("duration", "BIGINT", "days", "From starts to ends"),
        Column("event", "BOOLEAN", "", "True where it ended with a purchase; false where it is still open"),
        Column("frequency", "BIGINT", "purchase days", "Purchase days before the one it starts on"),
        Column("tenure", "BIGINT", "days", "Since the first purchase day"),
        Column("previous_gap", "BIGINT", "days", "Length of the interval before; NULL for the first"),
        Column("gap_before_previous", "BIGINT", "days", "Length of the one before that; NULL for the first two"),
        Column("mean_gap", "DOUBLE", "days", "Mean length of the intervals so far; NULL for the first"),
        Column("longest_gap", "BIGINT", "days", "The longest interval so far; NULL for the first"),
        Column("gap_variation", "DOUBLE", "", "Standard deviation of the intervals so far over their mean"),
        Column("purchases_28", "BIGINT", "purchase days", "In the 28 days up to the start, that day included"),
        Column("purchases_91", "BIGINT", "purchase days", "In the 91 days up to the start, that day included"),
        Column("basket_value", "DOUBLE", "currency", "Sold on the day it starts on, before returns"),
        Column("mean_value", "DOUBLE", "currency", "Mean of a purchase day so far, before returns"),
        Column("discount_share", "DOUBLE", "share", "Discounts so far over money and discounts so far"),
        Column("orders", "BIGINT", "orders", "On the day it starts on"),
        Column("month", "BIGINT", "", "Calendar month of the start, 1 to 12"),
        Column("day_of_year", "BIGINT", "days", "From the 1st of January to the start"),
    ),
)

GAP_FEATURES = Table(
    "gap_features",
    ("customer_id", "starts"),
    "What the basket of the day that an interval starts on says beside its money.",
    (
        Column("customer_id", ID, "", "The customer", personal=True),
        Column("starts", "DATE", "", "The purchase day"),
        Column("products", "BIGINT", "products", "Distinct SKUs"),
        Column("categories", "BIGINT", "categories", "Distinct category_1; 0 without products of known category"),
        Column("main_category", "VARCHAR", "", "The category_1 that most of the money went to"),
        Column("main_category_share", "DOUBLE", "share", "That category's share of the money"),
        Column("main_channel", "VARCHAR", "", "The channel that most of the money came in by"),
    ),
)

COHORTS = Table(
    "cohorts",
    ("cohort", "age_months"),
    "Customers by the month of their first purchase, followed month by month.",
    (
        Column("cohort", "DATE", "", "First day of the month of the first purchase"),
        Column("age_months", "BIGINT", "calendar months", "Calendar months since the cohort's month"),
        Column("customers", "BIGINT", "customers", "Size of the cohort"),
        Column("active_customers", "BIGINT", "customers", "With a purchase in that month"),
        Column("orders", "BIGINT", "orders", "Their orders in that month"),
        Column("revenue", MONEY, "currency", "Net revenue of that month"),
        Column("is_complete", "BOOLEAN", "", "False for the month that the as-of date cuts"),
    ),
)

KPIS = Table(
    "kpis",
    ("kpi",),
    "The figures at the head of the overview, one row each.",
    (
        Column("kpi", "VARCHAR", "", "Name of the figure"),
        Column("value", "DOUBLE", "see unit", "The figure; NULL where there is not enough data"),
        Column("low", "DOUBLE", "see unit", "Lower end of its 80% interval; NULL for a plain count"),
        Column("high", "DOUBLE", "see unit", "Upper end of its 80% interval; NULL for a plain count"),
        Column("unit", "VARCHAR", "", "customers, orders, currency, share or days"),
        Column("as_of", "DATE", "", "The date the figure speaks from"),
        Column("meaning", "VARCHAR", "", "What it says, in a sentence"),
    ),
)

ORDER_TRACKING = Table(
    "order_tracking",
    ("model", "week"),
    "Repeat purchase days week by week, actual beside each model's expectation.",
    (
        Column("model", "VARCHAR", "", "Name of the model"),
        Column("week", "DATE", "", "First day of the week"),
        Column("is_holdout", "BOOLEAN", "", "After the calibration's end"),
        Column("actual", "DOUBLE", "purchase days", "Repeat purchase days in the week"),
        Column("expected", "DOUBLE", "purchase days", "What the model expected"),
        Column("actual_cumulative", "DOUBLE", "purchase days", "Sum of actual up to the week"),
        Column("expected_cumulative", "DOUBLE", "purchase days", "Sum of expected up to the week"),
    ),
)

PREDICTION_TRACKING = Table(
    "prediction_tracking",
    ("run_id", "decile"),
    "What earlier snapshots predicted of their customers, held against what has come since.",
    (
        Column("run_id", "VARCHAR", "", "The run that predicted"),
        Column("decile", "BIGINT", "", "0 is everybody; 1 to 10 the tenths by predicted orders, 10 the most"),
        Column("as_of", "DATE", "", "The date the prediction spoke from"),
        Column("until", "DATE", "", "Last day of what has come since"),
        Column("customers", "BIGINT", "customers", "Those known then; who came later counts on neither side"),
        Column("predicted_orders", "DOUBLE", "purchase days", "For these days"),
        Column("actual_orders", "DOUBLE", "purchase days", "In these days"),
        Column("orders_low", "DOUBLE", "purchase days", "Lower end of the total's 99% interval; NULL for a tenth"),
        Column("orders_high", "DOUBLE", "purchase days", "Upper end of the same"),
        Column("predicted_money", "DOUBLE", "currency", "Net revenue for these days, undiscounted"),
        Column("actual_money", "DOUBLE", "currency", "Net revenue in these days"),
        Column("money_low", "DOUBLE", "currency", "Lower end of the total's 99% interval; NULL for a tenth"),
        Column("money_high", "DOUBLE", "currency", "Upper end of the same"),
        Column("drift", "VARCHAR", "", "'orders', 'money': outside its interval and off by over 10%; '' where neither"),
    ),
)

MODEL_REPORTS = Table(
    "model_reports",
    ("model",),
    "Every model and naive baseline fitted on the calibration and judged on the observation window.",
    (
        Column("model", "VARCHAR", "", "Name of the model or baseline"),
        Column("is_baseline", "BOOLEAN", "", "True for the naive ones"),
        Column("rank", "BIGINT", "", "1 is the winner"),
        Column("customers", "BIGINT", "customers", "In the calibration"),
        Column("log_likelihood", "DOUBLE", "", "On the calibration; NULL for a baseline"),
        Column("parameters", "VARCHAR", "", "JSON of the fitted parameters; '{}' for a baseline"),
        Column("actual", "DOUBLE", "purchase days", "In the observation window"),
        Column("predicted", "DOUBLE", "purchase days", "For the same"),
        Column("total_error", "DOUBLE", "share", "predicted / actual - 1"),
        Column("mae", "DOUBLE", "purchase days", "Mean absolute error per customer"),
        Column("rmse", "DOUBLE", "purchase days", "Root mean squared error per customer"),
        Column("top_decile_share", "DOUBLE", "share", "Share of the holdout's money in the top tenth by prediction"),
        Column("note", "VARCHAR", "", "What a reader must know, such as 'dropout not identified, NBD selected'"),
    ),
)

MODEL_CALIBRATION = Table(
    "model_calibration",
    ("model", "decile"),
    "Predicted and actual purchase days by tenths of the prediction.",
    (
        Column("model", "VARCHAR", "", "Name of the model or baseline"),
        Column("decile", "BIGINT", "", "1 is the lowest prediction"),
        Column("customers", "BIGINT", "customers", "In the tenth"),
        Column("predicted", "DOUBLE", "purchase days", "Mean prediction"),
        Column("actual", "DOUBLE", "purchase days", "Mean observed"),
    ),
)

CHECK_RESULTS = Table(
    "check_results",
    ("check_name",),
    "What each check of sql/checks saw.",
    (
        Column("check_name", "VARCHAR", "", "Name of the check"),
        Column("severity", "VARCHAR", "", "'blocking', 'warning' or 'info'"),
        Column("passed", "BOOLEAN", "", "True where nothing was found"),
        Column("found", "BIGINT", "lines or rows", "How many were found; of equal lines each counts"),
        Column("example", "VARCHAR", "", "One of them; '' where none", personal=True),
        Column("message", "VARCHAR", "", "What it means and what to do"),
    ),
)
