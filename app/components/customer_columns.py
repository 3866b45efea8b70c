"""The columns of the list of customers as one snapshot calls them: churn's horizon stands in their names."""

from dataclasses import replace
from typing import TYPE_CHECKING

import dash_mantine_components as dmc
from dash import html
from dash.development.base_component import Component

from ...sql.contract import CUSTOMER_CHURN
from .. import formats
from ..listing import Column
from ..listings import CUSTOMER_GROUPS, CUSTOMERS

if TYPE_CHECKING:
    from ..snapshot_data import SnapshotData

SHOW = "customers-show"


def customer_columns(data: "SnapshotData", *, predicted: bool) -> list[Column]:
    """Return the columns that this snapshot fills; without ``predicted`` those that no model made."""
    columns = [column for column in data.columns(CUSTOMERS) if predicted or not column.predicted]
    days = churn_horizon(data)
    if not days:
        return columns
    label = f"P(no order in {days} d)"
    said = f"No order in {formats.days(days)} after the as-of date, by the model that was chosen"
    return [
        replace(column, label=label, meaning=said, width=165) if column.name == "churn_no_order" else column
        for column in columns
    ]


def churn_horizon(data: "SnapshotData") -> int:
    """Return how many days ahead churn looks; 0 where the snapshot has none."""
    if data.lacks(CUSTOMER_CHURN.name):
        return 0
    return int(data.ask("customer_churn_facts").records[0]["horizon_days"] or 0)


def columns_control(columns: list[Column]) -> Component:
    """Return the choice of which groups of columns the list shows; none chosen is the usual selection."""
    there = {column.group for column in columns}
    chips = [
        dmc.Chip(label, value=name, size="xs", variant="outline")
        for name, label in CUSTOMER_GROUPS.items()
        if name in there
    ]
    return html.Fieldset(
        [html.Legend("Columns"), dmc.ChipGroup(chips, id=SHOW, multiple=True, value=[])],
        className="chips columns-choice",
    )
