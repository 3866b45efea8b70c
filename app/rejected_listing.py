"""The grid of order lines that were set aside."""

from ..sql.contract import REJECTED_ORDER_LINES, SET_ASIDE_REASONS
from .listing import ChoiceFilter, Column, Listing, Sort


def _meaning(name: str) -> str:
    return REJECTED_ORDER_LINES.column(name).meaning


REJECTED = Listing(
    name="rejected_lines",
    columns=(
        Column("line", "No.", "count", "Place by the size of its sum, the largest first", width=90),
        Column("reason_said", "Reason", "segment", _meaning("reason"), width=180),
        Column("revenue", "Revenue", "money", _meaning("revenue"), width=120),
        Column("ordered_at", "Ordered at", "text", "The moment, or what stood in its place", width=160),
        Column("customer_id", "Customer", "text", _meaning("customer_id"), width=140, link="/customer?id="),
        Column("order_id", "Order", "text", _meaning("order_id"), width=140),
        Column("sku", "SKU", "text", _meaning("sku"), width=140),
        Column("lines", "Lines", "count", _meaning("lines"), width=90),
        Column("currency", "Currency", "text", _meaning("currency"), width=105),
        Column("revenue_text", "Revenue as it stood", "text", _meaning("revenue_text"), width=170),
        Column("reason", "Reason code", "text", _meaning("reason"), shown=False),
        Column("ordered_on", "Day", "date", "The day, where it could be read", width=125),
    ),
    choices=(ChoiceFilter("reason", "reason", "Reason", tuple(SET_ASIDE_REASONS)),),
    search="customer_id",
    default_sort=(Sort("line", descending=False),),
    nouns="rejected lines",
)
