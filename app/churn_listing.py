"""The grid of who may be leaving."""

from typing import Any

from ..sql.contract import CUSTOMER_CHURN, CUSTOMER_SCORES, CUSTOMER_SUMMARY, SEGMENTS
from .listing import ChoiceFilter, Column, Listing, RangeFilter, Sort


def _column(name: str, label: str, format_: str, **options: Any) -> Column:
    table = next(t for t in (CUSTOMER_CHURN, CUSTOMER_SCORES, CUSTOMER_SUMMARY) if name in t.column_names)
    predicted = table is not CUSTOMER_SUMMARY and name != "customer_id"
    return Column(name, label, format_, table.column(name).meaning, predicted=predicted, **options)


_AT_STAKE = Column(
    "value_at_stake",
    "At stake",
    "money",
    "What the customer usually brings in the horizon (a year's revenue, shared out) times P(no order) in it",
    predicted=True,
    width=115,
)

AT_RISK = Listing(
    name="at_risk",
    columns=(
        _column("customer_id", "Customer", "text", width=140, link="/customer?id="),
        _column("probability_no_order", "P(no order)", "share", width=125),
        _AT_STAKE,
        _column("segment", "Segment", "segment", width=105),
        _column("days_since_order", "Silent for", "days", width=115),
        _column("reason_1", "First reason", "text", width=300),
        _column("reason_2", "Second reason", "text", width=300),
        _column("reason_3", "Third reason", "text", width=300),
        _column("median_days_survival", "Median to next, survival", "days", width=185),
        _column("median_days_btyd", "Median to next, orders", "days", width=180),
        _column("probability_no_order_survival", "P by survival", "share", width=130),
        _column("probability_no_order_btyd", "P by orders", "share", width=125),
        _column("customer_value", "Value", "money", width=110),
        _column("frequency", "Repeat days", "count", width=120),
        _column("revenue", "Revenue", "money", width=115),
        _column("last_order_on", "Last order", "date", width=120),
        _column("beyond_range", "Beyond range", "flag", shown=False),
        _column("horizon_days", "Horizon", "days", shown=False),
        _column("chosen", "Model", "text", shown=False),
    ),
    ranges=(
        RangeFilter("p", "probability_no_order", "P(no order)", first_row=True),
        RangeFilter("stake", "value_at_stake", "At stake", first_row=True),
        RangeFilter("days", "days_since_order", "Silent for"),
    ),
    choices=(ChoiceFilter("segment", "segment", "Segment", tuple(SEGMENTS)),),
    search="customer_id",
    default_sort=(Sort("value_at_stake", descending=True),),
    view_keys=frozenset({"after", "models"}),
    optional=frozenset({"customer_scores"}),
    nouns="customers",
)
