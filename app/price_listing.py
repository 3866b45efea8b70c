"""The grid of a markdown plan: a row an item, with its advice and why."""

from .listing import ChoiceFilter, Column, Listing, Sort

STATUS = {"planned": "Planned", "kept": "Keeps its price"}

# Keys of the page's URL that are about the tool and the chosen item, not about which rows.
TOOL_KEYS = frozenset(
    {
        "item", "scope", "pick", "ladder", "weeks", "budget", "cuts", "apart", "step", "least", "sell", "floor",
        "stock", "near", "ends", "rise", "more", "drop", "against", "on", "kind",
    }
)  # fmt: skip

PRICE_ITEMS = Listing(
    name="price_items",
    columns=(
        Column("name", "Item", "text", "Item, and its store where stores are apart", width=130),
        Column("plan", "Plan", "text", "Name of the plan's section", shown=False),
        Column("item", "Item alone", "text", "As in the price panel", shown=False),
        Column("store_id", "Store", "text", "'' where one price is for all", shown=False),
        Column("status", "Status", "text", "Planned, or keeps its price", shown=False),
        Column("price_before", "Price now", "money", "What it stands at before the plan", width=110),
        Column("path", "Advice", "text", "The advised prices; week 1 is the plan's first", predicted=True, width=210),
        Column("price_change", "Change", "share", "Last price of the plan against the price now", True, width=100),
        Column("units", "Units", "decimal", "Expected sales within the plan", predicted=True, width=90),
        Column("on_hand", "Stock", "count", "Stock at the plan's start", width=90),
        Column("sold_share", "Stock sold", "share", "Share of the stock that is expected to sell", True, width=115),
        Column("revenue", "Revenue", "money", "Expected within the plan", predicted=True, width=110),
        Column("elasticity", "Elasticity", "decimal", "Per cent of units per per cent of price", True, width=105),
        Column("elasticity_lower", "from", "decimal", "Lower end of its 90% interval", predicted=True, width=80),
        Column("elasticity_upper", "to", "decimal", "Upper end of its 90% interval", predicted=True, width=80),
        Column(
            "own_data_share", "Own data", "share", "Of the elasticity, what the item's own sales say", True, width=110
        ),
        Column("verdict", "Price response", "text", "Accepted, or why the item keeps its price", width=240),
        Column("binding_rule", "Held back by", "text", "The rule without which it would earn most more", width=190),
        Column("category", "Category", "text", "Whose items its price response is shared with", width=190),
        Column("regular_price", "Regular", "money", "Without any discount", width=100),
        Column("last_price", "Last price", "money", "Of the plan's last week", predicted=True, shown=False),
        Column("markdowns", "Price changes", "count", "Within the plan", shown=False),
        Column("unit_worth", "Worth of a unit", "money", "Of one more unit of stock", predicted=True, shown=False),
        Column("stock_rule", "Stock known", "text", "Of which day the stock is, or how it was assumed", width=240),
    ),
    choices=(
        ChoiceFilter("plan", "plan", "Plan"),
        ChoiceFilter("status", "status", "Status", tuple(STATUS)),
        ChoiceFilter("category", "category", "Category"),
    ),
    search="name",
    default_sort=(Sort("revenue", descending=True),),
    view_keys=TOOL_KEYS,
    nouns="items",
)
