"""The grids of the app: what each lists, filters by and exports."""

from collections.abc import Mapping
from typing import Any

from ..sql.contract import CUSTOMER_SCORES, CUSTOMER_SUMMARY, SEGMENTS
from .listing import ChoiceFilter, Column, Listing, RangeFilter, Sort


def _column(name: str, label: str, format_: str, **options: Any) -> Column:
    for table in (CUSTOMER_SCORES, CUSTOMER_SUMMARY):
        if name in table.column_names:
            predicted = table is CUSTOMER_SCORES and name != "customer_id"
            return Column(name, label, format_, table.column(name).meaning, predicted=predicted, **options)
    raise KeyError(name)


_DAYS_SINCE = Column(
    "days_since_last_order", "Days since last", "days", "Days from the last purchase day to the as-of date", width=140
)

CUSTOMERS = Listing(
    name="customers",
    columns=(
        _column("customer_id", "Customer", "text", width=150),
        _column("segment", "Segment", "segment", width=120),
        _column("customer_value", "Value", "money", width=115),
        _column("value_low", "Value, low", "money", width=115),
        _column("value_high", "Value, high", "money", width=115),
        _column("probability_alive", "P(alive)", "share", width=130),
        _column("expected_orders", "Expected orders", "decimal", width=145),
        _column("orders_low", "Orders, low", "decimal", shown=False),
        _column("orders_high", "Orders, high", "decimal", shown=False),
        _column("expected_order_value", "Order value", "money", width=120),
        _column("probability_no_order", "P(no order)", "share", shown=False),
        _column("next_order_days", "Next order in", "days", width=130),
        _column("last_order_on", "Last order", "date", width=125),
        _DAYS_SINCE,
        _column("frequency", "Repeat days", "count", width=125),
        _column("orders", "Orders", "count", width=100),
        _column("revenue", "Revenue", "money", width=120),
        _column("first_order_on", "First order", "date", width=125),
        _column("monetary_value", "Mean spend", "money", shown=False),
        _column("return_rate", "Return rate", "share", width=120),
        _column("returned_revenue", "Returned", "money", shown=False),
        _column("returnable_revenue", "Returnable", "money", shown=False),
        _column("T_days", "Customer for", "days", shown=False),
    ),
    ranges=(
        RangeFilter("value", "customer_value", "Value", first_row=True),
        RangeFilter("alive", "probability_alive", "P(alive)", first_row=True),
        RangeFilter("days", "days_since_last_order", "Days since last order", first_row=True),
        RangeFilter("frequency", "frequency", "Repeat days", first_row=True),
        RangeFilter("expected", "expected_orders", "Expected orders"),
        RangeFilter("order_value", "expected_order_value", "Order value"),
        RangeFilter("revenue", "revenue", "Revenue"),
        RangeFilter("orders", "orders", "Orders"),
        RangeFilter("return_rate", "return_rate", "Return rate"),
        RangeFilter("age", "T_days", "Customer for"),
    ),
    choices=(ChoiceFilter("segment", "segment", "Segment", tuple(SEGMENTS)),),
    search="customer_id",
    default_sort=(Sort("customer_value", descending=True),),
    view_keys=frozenset({"color"}),
    nouns="customers",
)

LISTINGS: Mapping[str, Listing] = {listing.name: listing for listing in (CUSTOMERS,)}
