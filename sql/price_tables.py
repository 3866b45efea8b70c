"""The contract's tables of prices: the panel, price response, what was left out."""

from collections.abc import Mapping
from types import MappingProxyType

from .tables import ID, MONEY, QUANTITY, Column, Table

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
