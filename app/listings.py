"""The grids of the app: what each lists, filters by and exports."""

from collections.abc import Iterator, Mapping
from typing import Any

from ..sql.contract import (
    CUSTOMER_CHURN,
    CUSTOMER_INTERVALS,
    CUSTOMER_SCORES,
    CUSTOMER_SUMMARY,
    PORTFOLIO_TERMS,
    SEGMENTS,
)
from .churn_listing import AT_RISK
from .listing import ChoiceFilter, Column, Listing, RangeFilter, Sort
from .price_listing import PRICE_ITEMS
from .rejected_listing import REJECTED
from .uplift_listing import UPLIFT_CUSTOMERS

# Columns that the page shows and hides together, by the name that the URL has for them.
CUSTOMER_GROUPS: Mapping[str, str] = {
    "value": "Value",
    "churn": "Churn",
    "intervals": "Intervals",
    "past": "Past orders",
}


def _column(name: str, label: str, format_: str, **options: Any) -> Column:
    for table in (CUSTOMER_SCORES, CUSTOMER_SUMMARY):
        if name in table.column_names:
            predicted = table is CUSTOMER_SCORES and name != "customer_id"
            group = "" if name in {"customer_id", "segment"} else "value" if predicted else "past"
            options = {"group": group, **options}
            return Column(name, label, format_, table.column(name).meaning, predicted=predicted, **options)
    raise KeyError(name)


def _churn(name: str, label: str, format_: str, meaning: str, **options: Any) -> Column:
    return Column(name, label, format_, meaning, predicted=True, table=CUSTOMER_CHURN.name, group="churn", **options)


def _intervals() -> Iterator[Column]:
    ends = {"low": "Lower", "high": "Upper"}
    for kind, label, format_ in (("orders", "Orders", "count"), ("money", "Money", "money")):
        for level in (50, 80, 90):
            for end in ("low", "high"):
                name = f"{kind}_{end}_{level}"
                what = "purchase days" if kind == "orders" else "net revenue, not discounted"
                meaning = f"{ends[end]} end of the {level}% predictive interval of {what} in the horizon"
                yield Column(
                    name,
                    f"{label} {level}%, {end}",
                    format_,
                    meaning,
                    predicted=True,
                    shown=False,
                    width=150,
                    table=CUSTOMER_INTERVALS.name,
                    group="intervals",
                )


_DAYS_SINCE = Column(
    "days_since_last_order",
    "Days since last",
    "days",
    "Days from the last purchase day to the as-of date",
    width=140,
    group="past",
)
_CHURN = (
    _churn("churn_no_order", "P(no order)", "share", "No order in churn's horizon, by the model that was chosen"),
    _churn(
        "churn_median_days",
        "Next order, median",
        "days",
        "Median days until the next order, by churn's chosen model; of a mean of two models the middle of both "
        "medians; none where it may never come",
        width=155,
    ),
    _churn("reason_1", "First reason", "text", CUSTOMER_CHURN.column("reason_1").meaning, width=300),
    _churn("reason_2", "Second reason", "text", CUSTOMER_CHURN.column("reason_2").meaning, shown=False, width=300),
    _churn("reason_3", "Third reason", "text", CUSTOMER_CHURN.column("reason_3").meaning, shown=False, width=300),
    _churn("churn_beyond_range", "Beyond range", "flag", CUSTOMER_CHURN.column("beyond_range").meaning, shown=False),
    _churn("churn_horizon_days", "Churn's horizon", "days", "How far ahead P(no order) looks", shown=False),
)

CUSTOMERS = Listing(
    name="customers",
    columns=(
        _column("customer_id", "Customer", "text", width=150, link="/customer?id="),
        _column("segment", "Segment", "segment", width=120),
        _column("customer_value", "Value", "money", width=115),
        _column("value_low", "Value, low", "money", width=115),
        _column("value_high", "Value, high", "money", width=115),
        _column("probability_alive", "P(alive)", "share", width=130),
        *_CHURN[:2],
        _column("expected_orders", "Expected orders", "decimal", width=145),
        _column("orders_low", "Orders, low", "decimal", shown=False),
        _column("orders_high", "Orders, high", "decimal", shown=False),
        *_intervals(),
        _column("expected_order_value", "Order value", "money", width=120),
        _column("probability_no_order", "P(no order), horizon", "share", shown=False, width=165),
        _column("next_order_days", "Next order in", "days", width=130, shown=False),
        _column("last_order_on", "Last order", "date", width=125),
        _DAYS_SINCE,
        *_CHURN[2:],
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
        RangeFilter("no_order", "churn_no_order", "P(no order)", first_row=True),
        RangeFilter("days", "days_since_last_order", "Days since last order", first_row=True),
        RangeFilter("frequency", "frequency", "Repeat days", first_row=True),
        RangeFilter("next", "churn_median_days", "Next order in"),
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
    view_keys=frozenset({"color", "show"}),
    optional=frozenset({CUSTOMER_CHURN.name, CUSTOMER_INTERVALS.name, PORTFOLIO_TERMS.name}),
    nouns="customers",
)

LISTINGS: Mapping[str, Listing] = {
    listing.name: listing for listing in (CUSTOMERS, AT_RISK, PRICE_ITEMS, REJECTED, UPLIFT_CUSTOMERS)
}
