"""The contract's tables of prices: the panel, price response, markdown plans, what was left out."""

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
        Column("units", "DOUBLE", "pieces or weight", "Sold, returns not taken off; 0 in a period without a sale"),
        Column("revenue", MONEY, "currency", "Money of these sales"),
        Column("price", "DOUBLE", "currency", "Paid for one unit, by price_rule; NULL where it is 'missing'"),
        Column("price_rule", "VARCHAR", "", "One of PRICE_RULES"),
        Column("regular_price", "DOUBLE", "currency", "Price of one unit without promotion, by regular_rule"),
        Column("regular_rule", "VARCHAR", "", "'list' or 'recent_highest'"),
        Column("discount", "DOUBLE", "share", "1 - price / regular_price"),
        Column("promoted", "BOOLEAN", "", "discount is at least promoted_from, .05 unless asked otherwise"),
        Column("display", "DOUBLE", "share", "Of the stores, those with the item on display; 0 or 1 in one store"),
        Column("mailer", "DOUBLE", "share", "Of the stores, those with the item in the mailer; 0 or 1 in one store"),
        Column("on_hand", "DOUBLE", "pieces or weight", "Stock when the week began; NULL where not known"),
        Column("sold_out", "BOOLEAN", "", "units reached on_hand: demand may have been higher; NULL where not known"),
        Column("stock_rule", "VARCHAR", "", "One of STOCK_RULES: whether stock is known, and why not"),
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

# Whether a row's stock is known, and why not.
STOCK_RULES: Mapping[str, str] = MappingProxyType(
    {
        "known": "every SKU, and store, that sells the item in that week has a row of stock",
        "none": "no row of stock for the item in that week; in a daily panel always",
        "part": "some of its SKUs or stores that sell it have no row: what is known is not the whole",
        "shared": "stock is that of all stores together, the panel has stores apart",
        "repeated": "two rows of one SKU, store and day that differ",
        "negative": "a count below 0",
        "unreadable": "a count that is missing or no number",
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

STOCK_ON_HAND = Table(
    "stock_on_hand",
    ("item", "store_id"),
    "The stock left of each item on the as-of date: what was last counted, less what was sold since.",
    (
        Column("item", ID, "", "The style-colour where the products have one, else the SKU"),
        Column("store_id", ID, "", "The shop or site; '' where stores count as one"),
        Column("week", "DATE", "", "Latest day of the counts that are added up"),
        Column("counted", QUANTITY, "pieces or weight", "Stock when it was counted"),
        Column("least", QUANTITY, "pieces or weight", "The lowest of the counts; below 0 it is wrong"),
        Column("sold", QUANTITY, "pieces or weight", "Sold from the count to the as-of date, returns not put back"),
        Column("on_hand", QUANTITY, "pieces or weight", "Left: counted less sold, in no store below 0"),
    ),
)

MARKDOWN_PLANS = Table(
    "markdown_plans",
    ("plan",),
    "Each [pricing.markdowns.NAME]: what its plan is worth, how far from the best, or why there is none.",
    (
        Column("plan", ID, "", "Name of the section"),
        Column("starts", "DATE", "", "First day of its first week"),
        Column("weeks", "BIGINT", "weeks", "How many it plans"),
        Column("goal", "VARCHAR", "", "'revenue' or 'margin'"),
        Column("items", "BIGINT", "items", "Items (in stores, where these are apart) that the section names"),
        Column("planned_items", "BIGINT", "items", "Those that are planned; of the others `markdown_plan` says why"),
        Column("objective", "DOUBLE", "currency", "Worth of the plan: of its goal and salvage; NULL without a plan"),
        Column("bound", "DOUBLE", "currency", "No plan that keeps the rules is worth more"),
        Column("gap", "DOUBLE", "share", "(bound - objective) / max(1, |bound|); 0 is proven best"),
        Column("unchanged", "DOUBLE", "currency", "Worth if no price moved from where it stands before the plan"),
        Column("revenue", "DOUBLE", "currency", "Expected from sales within the plan"),
        Column(
            "salvage",
            "DOUBLE",
            "currency",
            "Worth of what is left at the end, less its cost where the goal is margin; part of objective",
        ),
        Column("markdowns", "BIGINT", "changes", "Price changes"),
        Column("method", "VARCHAR", "", "How price response was estimated"),
        Column("model_version", "VARCHAR", "", "Of price response and demand"),
        Column("conflict", "VARCHAR", "", "The smallest set of rules that cannot all hold; '' where they can"),
        Column("sentence", "VARCHAR", "", "The account in words, or why there is no plan"),
    ),
)

MARKDOWN_PLAN = Table(
    "markdown_plan",
    ("plan", "item", "store_id", "week"),
    "The price of each item and week of a plan, and why; an item that is not planned keeps its price.",
    (
        Column("plan", ID, "", "As in markdown_plans"),
        Column("item", ID, "", "As in the price panel"),
        Column("store_id", ID, "", "The shop or site; '' where one price is for all"),
        Column("week", "DATE", "", "Monday of the week"),
        Column("price", MONEY, "currency", "Of one unit, to the cent; NULL where no price is known"),
        Column("regular_price", MONEY, "currency", "Without any discount"),
        Column("discount", "DOUBLE", "share", "1 - price / regular_price before rounding to the cent"),
        Column("units", "DOUBLE", "pieces", "Expected sales, no more than the stock; NULL where not planned"),
        Column("units_lower", "DOUBLE", "pieces", "Lower end of their 90% interval"),
        Column("units_upper", "DOUBLE", "pieces", "Upper end, at most what is expected to be on hand"),
        Column("on_hand", "DOUBLE", "pieces", "Stock expected when the week begins; at first as stock_rule says"),
        Column("revenue", "DOUBLE", "currency", "Expected"),
        Column("margin", "DOUBLE", "currency", "Revenue less unit_cost times units; NULL where no cost is known"),
        Column("changed", "BOOLEAN", "", "Whether the price differs from the week before"),
        Column("elasticity", "DOUBLE", "", "As in elasticities"),
        Column("elasticity_lower", "DOUBLE", "", "Lower end of its 90% interval"),
        Column("elasticity_upper", "DOUBLE", "", "Upper end of its 90% interval"),
        Column("own_data_share", "DOUBLE", "share", "Weight of the item's own data in it; the rest is its category's"),
        Column("binding_rule", "VARCHAR", "", "The rule without which the item would earn most more; '' for none"),
        Column("unit_worth", "DOUBLE", "currency", "Worth of one more unit of stock at the plan's start"),
        Column("up_price", MONEY, "currency", "The next price up; NULL at the top"),
        Column("up_worth", "DOUBLE", "currency", "What it would bring, later weeks planned anew; NULL if forbidden"),
        Column("up_forbidden_by", "VARCHAR", "", "The rule that forbids it; '' where none does"),
        Column("down_price", MONEY, "currency", "The next price down; NULL at the bottom"),
        Column("down_worth", "DOUBLE", "currency", "What it would bring, later weeks planned anew; NULL if forbidden"),
        Column("down_forbidden_by", "VARCHAR", "", "The rule that forbids it; '' where none does"),
        Column(
            "stock_rule", "VARCHAR", "", "Of which day the stock is, what was taken off since; or how it was assumed"
        ),
        Column("reason", "VARCHAR", "", "Why the item is not planned and keeps its price; '' where it is planned"),
    ),
)
