"""The grid of whom a campaign is expected to move."""

from typing import Any

from ..sql.contract import CUSTOMER_SCORES, SEGMENTS, UPLIFT_SCORES
from .listing import ChoiceFilter, Column, Listing, RangeFilter, Sort


def _column(name: str, label: str, format_: str, **options: Any) -> Column:
    table = UPLIFT_SCORES if name in UPLIFT_SCORES.column_names else CUSTOMER_SCORES
    return Column(name, label, format_, table.column(name).meaning, predicted=name != "customer_id", **options)


# Keys of the page's address that are the planning tool's.
TOOL_KEYS = frozenset(
    {"budget", "only", "without", "quiet", "on"}
    | {f"{kind}{slot}" for kind in ("cost", "stock") for slot in range(1, 7)}
)

UPLIFT_CUSTOMERS = Listing(
    name="uplift_customers",
    columns=(
        _column("customer_id", "Customer", "text", width=160, link="/customer?id="),
        _column("arm", "Best offer", "text", width=130),
        _column("net_effect", "Expected profit", "money", width=145),
        _column("effect", "Effect", "decimal", width=110),
        _column("cost", "Cost", "money", width=100),
        _column("response", "With an offer", "decimal", width=135),
        _column("segment", "Segment", "segment", width=115),
        _column("customer_value", "Value", "money", width=115),
        _column("probability_alive", "P(alive)", "share", width=115),
        _column("campaign", "Campaign", "text", shown=False),
    ),
    ranges=(RangeFilter("profit", "net_effect", "Expected profit"),),
    choices=(
        ChoiceFilter("campaign", "campaign", "Campaign"),
        ChoiceFilter("offer", "arm", "Best offer"),
        ChoiceFilter("segment", "segment", "Segment", tuple(SEGMENTS)),
    ),
    search="customer_id",
    default_sort=(Sort("net_effect", descending=True),),
    view_keys=TOOL_KEYS,
    optional=frozenset({"customer_scores"}),
    nouns="customers",
)
