"""The contract's input tables: what a shop brings. Only `order_lines` is required, and of it three columns."""

from .tables import ID, MONEY, PRICE, QUANTITY, Column, Table, optional

ORDER_LINES = Table(
    "order_lines",
    (),
    "One line of one order, as the shop recorded it.",
    (
        Column("customer_id", ID, "", "Who bought; NULL or blank is a guest", personal=True),
        Column("ordered_at", "TIMESTAMP", "local time", "When the order was placed, on the shop's clock"),
        Column("revenue", MONEY, "currency", "What was paid for the line; a refund is negative"),
        optional("order_id", ID, "", "The order that the line belongs to", personal=True),
        optional("sku", ID, "", "The product as it is stocked"),
        optional("quantity", QUANTITY, "pieces or weight", "How much was bought; negative on a return line"),
        optional("unit_price", PRICE, "currency", "Price paid for one unit"),
        optional("list_price", PRICE, "currency", "Regular price of one unit"),
        optional("unit_cost", PRICE, "currency", "What one unit cost the shop"),
        optional("discount", MONEY, "currency", "Taken off the regular price on this line"),
        optional("store_id", ID, "", "The shop or site"),
        optional("channel", ID, "", "How the order came in"),
        optional("currency", "VARCHAR", "", "ISO code of the line's money; NULL is the reporting currency"),
        optional("returned_at", "TIMESTAMP", "local time", "On a sale line: when it came back, whole"),
        optional("original_order_id", ID, "", "On a return line: the order that is returned", personal=True),
        optional("is_product", "BOOLEAN", "", "False for postage, fees, samples and test lines"),
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
        optional("joined_at", "TIMESTAMP", "local time", "When the account was opened"),
        optional("email_consent", "BOOLEAN", "", "May be mailed", personal=True),
    ),
)

PRODUCTS = Table(
    "products",
    ("sku",),
    "What is known of a product; further columns are category levels.",
    (
        Column("sku", ID, "", "The product as it is stocked"),
        optional("style_color", ID, "", "Where the price is set: the style in one colour, over its sizes"),
        optional("unit_cost", PRICE, "currency", "What one unit cost the shop"),
        optional("launched_on", "DATE", "", "First day on sale"),
        optional("exit_on", "DATE", "", "Last day on sale"),
        optional(
            "category_1", "VARCHAR", "", "Widest category, such as the department; price response is shared in it"
        ),
        optional("category_2", "VARCHAR", "", "Category within category_1"),
        optional("category_3", "VARCHAR", "", "Category within category_2"),
    ),
)

STOCK = Table(
    "stock",
    ("sku", "store_id", "week"),
    "Stock at the start of a week.",
    (
        Column("sku", ID, "", "The product as it is stocked"),
        optional("store_id", ID, "", "The shop; NULL where stock is shared"),
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
        optional("store_id", ID, "", "The shop; NULL for all"),
        Column("week", "DATE", "", "First day of the week"),
        optional("display", "VARCHAR", "", "Where it was displayed"),
        optional("mailer", "VARCHAR", "", "Where it stood in the mailer"),
        optional("promotion_cost", PRICE, "currency", "What the promotion took off the cost of one unit for the shop"),
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
