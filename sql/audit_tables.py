"""The contract's tables of the customer-base audit: five lenses on who buys, how much, and whether it lasts.

After Fader, Hardie & Ross, The Customer-Base Audit (Wharton School Press 2022).
"""

from .tables import MONEY, Column, Table

_COHORT = Column("cohort", "DATE", "", "First day of the calendar quarter of the first purchase")

AUDIT_PERIODS = Table(
    "audit_periods",
    ("period",),
    "The windows that the audit compares: 52 weeks each; 26, 13 or 4 where the data are short.",
    (
        Column("period", "BIGINT", "periods", "0 ends with the as-of date, 1 is the one before, and so on"),
        Column("days", "BIGINT", "days", "Length of each period"),
        Column("starts_on", "DATE", "", "First day"),
        Column("ends_on", "DATE", "", "Last day"),
        Column("is_complete", "BOOLEAN", "", "False for the period that begins before the first purchase"),
    ),
)

AUDIT_ONE_PERIOD = Table(
    "audit_one_period",
    ("decile",),
    "Lens 1: how different customers are. Buyers of the latest period in tenths by net revenue.",
    (
        Column("decile", "BIGINT", "", "1 is the tenth that spent most"),
        Column("customers", "BIGINT", "customers", "How many"),
        Column("purchase_days", "BIGINT", "purchase days", "Their days with a purchase"),
        Column("orders", "BIGINT", "orders", "Their orders"),
        Column("revenue", MONEY, "currency", "Net revenue"),
        Column("revenue_from", MONEY, "currency", "The least that one of them spent"),
        Column("revenue_share", "DOUBLE", "share", "Of the period's net revenue"),
        Column("orders_per_customer", "DOUBLE", "orders", "orders over customers"),
        Column("order_value", "DOUBLE", "currency", "revenue over orders"),
    ),
)

AUDIT_TWO_PERIODS = Table(
    "audit_two_periods",
    ("decile_before", "decile_after", "is_new"),
    "Lens 2: what changed. Customers by their tenth of net revenue in the period before and in the latest.",
    (
        Column("decile_before", "BIGINT", "", "1 the best tenth, 0 did not buy"),
        Column("decile_after", "BIGINT", "", "1 the best tenth, 0 did not buy"),
        Column("is_new", "BOOLEAN", "", "Acquired in the latest period"),
        Column("customers", "BIGINT", "customers", "How many"),
        Column("orders_before", "BIGINT", "orders", "In the period before"),
        Column("orders_after", "BIGINT", "orders", "In the latest period"),
        Column("revenue_before", MONEY, "currency", "Net, in the period before"),
        Column("revenue_after", MONEY, "currency", "Net, in the latest period"),
    ),
)

AUDIT_ONE_COHORT = Table(
    "audit_one_cohort",
    ("cohort", "purchase"),
    "Lens 3: how the buying of one cohort unfolds, purchase by purchase.",
    (
        _COHORT,
        Column("purchase", "BIGINT", "purchase days", "The n-th day with a purchase, the first one included; up to 10"),
        Column("customers", "BIGINT", "customers", "Who came to it"),
        Column("share_of_cohort", "DOUBLE", "share", "Of all customers of the cohort"),
        Column("share_of_previous", "DOUBLE", "share", "Of those who came to the one before; NULL for the first"),
        Column("days_since_previous", "DOUBLE", "days", "Median since the one before; NULL for the first"),
        Column("revenue_per_purchase", "DOUBLE", "currency", "Net revenue of that day"),
    ),
)

AUDIT_ALL_COHORTS = Table(
    "audit_all_cohorts",
    ("cohort", "age_quarters"),
    "Lens 4: how cohorts compare, quarter by quarter since the first purchase.",
    (
        _COHORT,
        Column("age_quarters", "BIGINT", "calendar quarters", "Since the cohort's quarter"),
        Column("customers", "BIGINT", "customers", "Size of the cohort"),
        Column("orders", "BIGINT", "orders", "In that quarter"),
        Column("revenue", MONEY, "currency", "Net, of that quarter"),
        Column("cumulative_revenue", MONEY, "currency", "Net, since the first purchase"),
        Column("orders_per_customer", "DOUBLE", "orders", "orders over customers of the cohort"),
        Column("order_value", "DOUBLE", "currency", "revenue over orders"),
        Column("cumulative_revenue_per_customer", "DOUBLE", "currency", "cumulative_revenue over customers"),
        Column("is_complete", "BOOLEAN", "", "False for the quarter that the as-of date cuts"),
    ),
)

AUDIT_HEALTH = Table(
    "audit_health",
    ("period",),
    "Lens 5: how healthy the base is. New, kept, returned and lost customers, and what each brought.",
    (
        Column("period", "BIGINT", "periods", "0 ends with the as-of date, 1 is the one before, and so on"),
        Column("starts_on", "DATE", "", "First day"),
        Column("ends_on", "DATE", "", "Last day"),
        Column("is_complete", "BOOLEAN", "", "False for the period that begins before the first purchase"),
        Column("customers", "BIGINT", "customers", "With a purchase in the period"),
        Column("new_customers", "BIGINT", "customers", "Whose first purchase it was"),
        Column("kept_customers", "BIGINT", "customers", "Who had bought in the period before, too"),
        Column("returned_customers", "BIGINT", "customers", "Known, but not seen in the period before"),
        Column("lost_customers", "BIGINT", "customers", "Of the period before, not seen in this; NULL for the first"),
        Column("orders", "BIGINT", "orders", "All orders"),
        Column("revenue", MONEY, "currency", "Net revenue"),
        Column("new_customers_revenue", MONEY, "currency", "Of new_customers"),
        Column("kept_customers_revenue", MONEY, "currency", "Of kept_customers"),
        Column("returned_customers_revenue", MONEY, "currency", "Of returned_customers"),
        Column("kept_share", "DOUBLE", "share", "kept_customers over the customers of the period before"),
        Column("orders_per_customer", "DOUBLE", "orders", "orders over customers"),
        Column("order_value", "DOUBLE", "currency", "revenue over orders"),
    ),
)
