"""The contract: every table that enters or leaves regulars, column by column. The one place for these facts.

The data dictionary in the docs, the staging of input files, the checks of a snapshot and the app's allow-lists
are all read from here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

ID = "VARCHAR"
MONEY = "DECIMAL(18,2)"
PRICE = "DECIMAL(18,4)"
QUANTITY = "DECIMAL(18,3)"


@dataclass(frozen=True)
class Column:
    """One column: its name, DuckDB type, unit ("" where it has none), meaning, and whether it must be there."""

    name: str
    type: str
    unit: str
    meaning: str
    required: bool = True
    personal: bool = False


@dataclass(frozen=True)
class Table:
    """One table: its name, its grain (the columns whose values identify a row) and its columns in order."""

    name: str
    grain: tuple[str, ...]
    meaning: str
    columns: tuple[Column, ...]

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column:
        """Return the column called ``name``; KeyError where there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


def _optional(name: str, type_: str, unit: str, meaning: str, *, personal: bool = False) -> Column:
    return Column(name, type_, unit, meaning, required=False, personal=personal)


ORDER_LINES = Table(
    "order_lines",
    (),
    "One line of one order, as the shop recorded it.",
    (
        Column("customer_id", ID, "", "Who bought; NULL or blank is a guest", personal=True),
        Column("ordered_at", "TIMESTAMP", "local time", "When the order was placed, on the shop's clock"),
        Column("revenue", MONEY, "currency", "What was paid for the line; a refund is negative"),
        _optional("order_id", ID, "", "The order that the line belongs to"),
        _optional("sku", ID, "", "The product as it is stocked"),
        _optional("quantity", QUANTITY, "pieces or weight", "How much was bought; negative on a return line"),
        _optional("unit_price", PRICE, "currency", "Price paid for one unit"),
        _optional("list_price", PRICE, "currency", "Regular price of one unit"),
        _optional("unit_cost", PRICE, "currency", "What one unit cost the shop"),
        _optional("discount", MONEY, "currency", "Taken off the regular price on this line"),
        _optional("store_id", ID, "", "The shop or site"),
        _optional("channel", ID, "", "How the order came in"),
        _optional("currency", "VARCHAR", "", "ISO code of the line's money; NULL is the reporting currency"),
        _optional("returned_at", "TIMESTAMP", "local time", "On a sale line: when it came back, whole"),
        _optional("original_order_id", ID, "", "On a return line: the order that is returned"),
        _optional("is_product", "BOOLEAN", "", "False for postage, fees, samples and test lines"),
    ),
)

CUSTOMER_LINKS = Table(
    "customer_links",
    ("old_id",),
    "Guest-to-account and merged customers.",
    (
        Column("old_id", ID, "", "The id that order lines may still carry", personal=True),
        Column("customer_id", ID, "", "The customer it belongs to today", personal=True),
    ),
)

EXCHANGE_RATES = Table(
    "exchange_rates",
    ("currency", "day"),
    "Rates into the reporting currency; the latest rate on or before the order's day counts.",
    (
        Column("currency", "VARCHAR", "", "ISO code"),
        Column("day", "DATE", "", "First day on which the rate holds"),
        Column("rate", "DECIMAL(18,8)", "reporting currency per unit", "What one unit of the currency is worth"),
    ),
)

CUSTOMERS = Table(
    "customers",
    ("customer_id",),
    "What is known of a customer besides orders; further columns are static covariates.",
    (
        Column("customer_id", ID, "", "The customer", personal=True),
        _optional("joined_at", "TIMESTAMP", "local time", "When the account was opened"),
        _optional("email_consent", "BOOLEAN", "", "May be mailed", personal=True),
    ),
)

PRODUCTS = Table(
    "products",
    ("sku",),
    "What is known of a product; further columns are category levels.",
    (
        Column("sku", ID, "", "The product as it is stocked"),
        _optional("style_color", ID, "", "Where the price is set: the style in one colour, over its sizes"),
        _optional("unit_cost", PRICE, "currency", "What one unit cost the shop"),
        _optional("launched_on", "DATE", "", "First day on sale"),
        _optional("exit_on", "DATE", "", "Last day on sale"),
        _optional(
            "category_1", "VARCHAR", "", "Widest category, such as the department; price response is shared in it"
        ),
        _optional("category_2", "VARCHAR", "", "Category within category_1"),
        _optional("category_3", "VARCHAR", "", "Category within category_2"),
    ),
)

STOCK = Table(
    "stock",
    ("sku", "store_id", "week"),
    "Stock at the start of a week.",
    (
        Column("sku", ID, "", "The product as it is stocked"),
        _optional("store_id", ID, "", "The shop; NULL where stock is shared"),
        Column("week", "DATE", "", "First day of the week"),
        Column("on_hand", QUANTITY, "pieces or weight", "Stock when the week began"),
    ),
)

PROMOTIONS = Table(
    "promotions",
    ("sku", "store_id", "week"),
    "What was promoted, where and when; further columns are flags.",
    (
        Column("sku", ID, "", "The product as it is stocked"),
        _optional("store_id", ID, "", "The shop; NULL for all"),
        Column("week", "DATE", "", "First day of the week"),
        _optional("display", "VARCHAR", "", "Where it was displayed"),
        _optional("mailer", "VARCHAR", "", "Where it stood in the mailer"),
        _optional("promotion_cost", PRICE, "currency", "What the promotion took off the cost of one unit for the shop"),
    ),
)

SENDS = Table(
    "sends",
    ("customer_id", "campaign"),
    "What was decided for whom, and with which probability.",
    (
        Column("customer_id", ID, "", "The customer", personal=True),
        Column("campaign", ID, "", "The campaign"),
        Column("arm", "VARCHAR", "", "The arm that was assigned"),
        Column("sent_at", "TIMESTAMP", "local time", "When it was sent"),
        Column("propensity", "DOUBLE", "probability", "Probability with which the arm was assigned"),
    ),
)

# Why a line of money is not in customer_days; the first that applies, in this order.
SET_ASIDE_REASONS: Mapping[str, str] = MappingProxyType(
    {
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
        Column("order_id", ID, "", "As in the input"),
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
        Column("order_id", ID, "", "The order; '' where the input has no order_id"),
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
        Column("order_id", ID, "", "As in the input"),
        Column("original_order_id", ID, "", "As in the input"),
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

CAMPAIGN_EFFECTS = Table(
    "campaign_effects",
    ("campaign", "arm"),
    "What each configured campaign was found to move, and whether it pays to choose whom; or why that is not known.",
    (
        Column("campaign", ID, "", "Name of the [campaigns.NAME] section"),
        Column("arm", "VARCHAR", "", "What was sent; '' where the campaign was refused before its arms were known"),
        Column("control", "VARCHAR", "", "The arm it is compared with"),
        Column("kind", "VARCHAR", "", "'randomised' or 'observational'"),
        Column("outcome", "VARCHAR", "", "'revenue', 'orders' or 'ordered'"),
        Column("window_days", "BIGINT", "days", "Days from the day of the send over which the outcome is counted"),
        Column("customers", "BIGINT", "customers", "With this arm or control"),
        Column("treated", "BIGINT", "customers", "Of these with this arm"),
        Column("overlap", "DOUBLE", "share", "Of these customers, those who could have had either arm"),
        Column("effect", "DOUBLE", "outcome", "Average effect per customer on the holdout; NULL where refused"),
        Column("lower", "DOUBLE", "outcome", "Lower end of its 95% interval"),
        Column("upper", "DOUBLE", "outcome", "Upper end of its 95% interval"),
        Column("gain_per_1000", "DOUBLE", "currency", "Profit per 1,000 customers under the policy of the verdict"),
        Column("gain_lower", "DOUBLE", "currency", "Lower end of its 95% interval"),
        Column("gain_upper", "DOUBLE", "currency", "Upper end of its 95% interval"),
        Column("decision", "VARCHAR", "", "'rank', 'treat all', 'treat none' or 'not enough data'; '' where refused"),
        Column("ranking", "VARCHAR", "", "The score to rank by where the decision is 'rank'; '' otherwise"),
        Column("sentence", "VARCHAR", "", "The verdict with its test, or the reason of the refusal"),
        Column("refused", "BOOLEAN", "", "True where nothing was estimated"),
        Column("model_version", "VARCHAR", "", "The effects that were judged; '' where there are none"),
    ),
)

CAMPAIGN_VALUES = Table(
    "campaign_values",
    ("campaign", "arm"),
    "What each campaign moved of margin over its window and a horizon after it: short signals valued by the customer "
    "models, and what these get wrong.",
    (
        Column("campaign", ID, "", "Name of the [campaigns.NAME] section"),
        Column("arm", "VARCHAR", "", "What was sent; '' where nothing was estimated"),
        Column("window_days", "BIGINT", "days", "Days from the day of the send whose margin is seen"),
        Column("horizon_days", "BIGINT", "days", "Days after these whose margin is expected"),
        Column("customers", "BIGINT", "customers", "Compared: they had bought before the send, and overlap"),
        Column("effect", "DOUBLE", "currency", "Average effect on margin per customer, not discounted"),
        Column("lower", "DOUBLE", "currency", "Lower end of its 95% interval, the models' error in it"),
        Column("upper", "DOUBLE", "currency", "Upper end of its 95% interval, the models' error in it"),
        Column("by_the_models", "DOUBLE", "currency", "The same if the models were right"),
        Column("correction", "DOUBLE", "currency", "What they got wrong of customers with such signals a horizon ago"),
        Column("reason", "VARCHAR", "", "Why nothing was estimated; '' where something was"),
    ),
)

UPLIFT_SCORES = Table(
    "uplift_scores",
    ("campaign", "customer_id", "arm"),
    "What each arm of a configured campaign is expected to move with each customer from the as-of date on.",
    (
        Column("campaign", ID, "", "Name of the [campaigns.NAME] section"),
        Column("customer_id", ID, "", "The customer", personal=True),
        Column("arm", "VARCHAR", "", "What would be sent"),
        Column("effect", "DOUBLE", "outcome", "Outcome with the arm less outcome without, in the campaign's window"),
        Column("response", "DOUBLE", "outcome", "Outcome expected with an arm: what a plain response model ranks by"),
        Column("cost", "DOUBLE", "currency", "What sending it is expected to cost"),
        Column("net_effect", "DOUBLE", "currency", "margin x effect - cost"),
        Column("model_version", "VARCHAR", "", "The effects that scored, under models/campaign_<name>"),
    ),
)

# Why a line does not count in the price panel; the first that applies, in this order.
PANEL_REASONS: Mapping[str, str] = MappingProxyType(
    {
        "unreadable_date": "ordered_at is NULL or no date",
        "after_as_of": "the order is later than the as-of date",
        "missing_item": "sku is NULL or blank",
        "non_product": "postage, a fee, a sample or a test line",
        "duplicate_line": "every column equals another line's and duplicates are set aside",
        "return_line": "a return or refund: it says nothing of the price that moved demand",
        "missing_units": "quantity is NULL or zero",
        "missing_price": "neither unit_price nor revenue is known",
        "no_positive_price": "the price paid is zero or negative",
        "missing_exchange_rate": "no rate for the line's currency on or before its day",
    }
)

ITEM_WEEKS = Table(
    "item_weeks",
    ("item", "store_id", "week"),
    "Item x store x week, or day, from an item's first sale in a store to its last: what price response is read from.",
    (
        Column("item", ID, "", "The style-colour where the products have one, else the SKU"),
        Column("store_id", ID, "", "The shop or site; '' where stores count as one"),
        Column("week", "DATE", "", "Monday of the week; the day itself in a daily panel"),
        Column("units", "BIGINT", "pieces", "Sold, returns not taken off; 0 in a period without a sale"),
        Column("revenue", MONEY, "currency", "Money of these sales"),
        Column("price", "DOUBLE", "currency", "Paid for one unit, by price_rule; NULL where it is 'missing'"),
        Column("price_rule", "VARCHAR", "", "One of PRICE_RULES"),
        Column("regular_price", "DOUBLE", "currency", "Price of one unit without promotion, by regular_rule"),
        Column("regular_rule", "VARCHAR", "", "'list' or 'recent_highest'"),
        Column("discount", "DOUBLE", "share", "1 - price / regular_price"),
        Column("promoted", "BOOLEAN", "", "discount is at least promoted_from, .05 unless asked otherwise"),
        Column("display", "DOUBLE", "share", "Of the stores, those with the item on display; 0 or 1 in one store"),
        Column("mailer", "DOUBLE", "share", "Of the stores, those with the item in the mailer; 0 or 1 in one store"),
        Column("on_hand", "BIGINT", "pieces", "Stock when the week began; NULL where not known"),
        Column("sold_out", "BOOLEAN", "", "units reached on_hand: demand may have been higher; NULL where not known"),
        Column("unit_cost", "DOUBLE", "currency", "What one unit cost the shop, the last one known"),
        Column(
            "promotion_cost",
            "DOUBLE",
            "currency",
            "What a promotion took off a unit's cost, 0 without; NULL if never said",
        ),
        Column("age_weeks", "BIGINT", "weeks", "Since the launch, or the first sale where no launch is known"),
        Column("category_1", "VARCHAR", "", "Widest category of the products table; NULL without one"),
        Column("category_2", "VARCHAR", "", "Category within category_1"),
        Column("category_3", "VARCHAR", "", "Category within category_2"),
    ),
)

# Where the price of a row comes from.
PRICE_RULES: Mapping[str, str] = MappingProxyType(
    {
        "sold": "what buyers paid on average in that period",
        "other_stores": "no sale: what buyers paid in other stores in that period",
        "carried": "no sale: the last price paid",
        "regular": "no sale: the last regular price",
        "missing": "no sale, and no price is assumed",
    }
)

PRICE_PANEL = Table(
    "price_panel",
    ("item", "store_id", "week"),
    "item_weeks with the calendar beside it.",
    (
        *ITEM_WEEKS.columns,
        Column("holiday", "VARCHAR", "", "Holidays within the period; '' where none, or no country was named"),
        Column("sin_1", "DOUBLE", "", "sin(2 pi t), t the share of the year that has passed"),
        Column("cos_1", "DOUBLE", "", "cos(2 pi t)"),
        Column("sin_2", "DOUBLE", "", "sin(4 pi t)"),
        Column("cos_2", "DOUBLE", "", "cos(4 pi t)"),
    ),
)

PANEL_LINES_DROPPED = Table(
    "panel_lines_dropped",
    ("reason",),
    "What the price panel does not count, by reason, beside what it does.",
    (
        Column("reason", "VARCHAR", "", "One of PANEL_REASONS; '' for what counts"),
        Column("lines", "BIGINT", "lines", "How many lines"),
        Column("units", QUANTITY, "pieces or weight", "Their units"),
        Column("revenue", MONEY, "currency", "Their money, refunds negative; lines without a rate left out"),
    ),
)

ELASTICITIES = Table(
    "elasticities",
    ("item",),
    "How each item's demand answers to its price: percent of units per percent of price, and how sure that is.",
    (
        Column("item", ID, "", "As in the price panel"),
        Column("category", "VARCHAR", "", "The category whose items its answer is shared with"),
        Column(
            "elasticity", "DOUBLE", "", "Own-price elasticity, own data and category weighed; NULL where neither is"
        ),
        Column("standard_error", "DOUBLE", "", "Of elasticity"),
        Column("lower", "DOUBLE", "", "Lower end of its 90% interval"),
        Column("upper", "DOUBLE", "", "Upper end of its 90% interval"),
        Column("own_elasticity", "DOUBLE", "", "What the item's own data say alone; NULL where they say nothing"),
        Column("own_standard_error", "DOUBLE", "", "Of own_elasticity, clustered"),
        Column("own_data_share", "DOUBLE", "share", "Weight of the item's own data"),
        Column("category_share", "DOUBLE", "share", "Weight of the category: 1 - own_data_share"),
        Column("observations", "BIGINT", "rows", "Rows of the item that were used"),
        Column("price_changes", "BIGINT", "changes", "How often its price moved by 1% or more from row to row"),
        Column("first_stage_f", "DOUBLE", "", "Strength of its instruments, clustered F; NULL without instruments"),
        Column("method", "VARCHAR", "", "How own_elasticity was estimated; 'category' where it was not"),
        Column("accepted", "BOOLEAN", "", "Whether it passed the gates and may price the item"),
        Column("reason", "VARCHAR", "", "Why not; '' where accepted"),
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
        Column("example", "VARCHAR", "", "One of them; '' where none"),
        Column("message", "VARCHAR", "", "What it means and what to do"),
    ),
)

INPUT_TABLES: Mapping[str, Table] = MappingProxyType(
    {t.name: t for t in (ORDER_LINES, CUSTOMER_LINKS, EXCHANGE_RATES, CUSTOMERS, PRODUCTS, STOCK, PROMOTIONS, SENDS)}
)

# The section of regulars.toml that feeds each input table.
SECTIONS: Mapping[str, str] = MappingProxyType({n: "orders" if n == "order_lines" else n for n in INPUT_TABLES})

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
            MODEL_REPORTS,
            MODEL_CALIBRATION,
            ORDER_TRACKING,
            CUSTOMER_SCORES,
            KPIS,
            CAMPAIGN_EFFECTS,
            CAMPAIGN_VALUES,
            UPLIFT_SCORES,
        )
    }
)
