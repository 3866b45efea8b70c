"""What a markdown plan starts from: the items it names, each with prices, stock and costs, or why it is not planned."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ..sql.contract import PRODUCTS
from ..sql.mapping import quoted

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from ..sql.pipeline import Pipeline
    from ..sql.pricing_settings import MarkdownSettings, PricingSettings

CATEGORIES = ("category_1", "category_2", "category_3")
_RECENT_WEEKS = 13
_CHANGE = 0.03  # a move of the price that is one: what buyers paid on average wobbles by less
_HAIR = 0.005  # of the regular price
_ATTRIBUTES = ("VARCHAR", "BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "FLOAT", "DOUBLE", "DECIMAL", "DATE")


@dataclass(frozen=True)
class ItemState:
    """An item, in a store where these are apart, as it stands before a plan; ``reason`` is '' if it can be planned.

    Prices are None where none is known; ``columns`` are further facts that rules may name.
    """

    item: str
    store_id: str
    regular_price: float | None = None
    price: float | None = None
    on_hand: float | None = None
    unit_cost: float | None = None
    age_weeks: float | None = None
    weeks_since_change: float | None = None
    stock_rule: str = ""
    reason: str = ""
    columns: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        """What a plan calls it: the item, and its store where stores are apart."""
        return f"{self.item}@{self.store_id}" if self.store_id else self.item

    @property
    def current_discount(self) -> float:
        """Depth of the price it stands at."""
        if not self.regular_price or self.price is None:
            return 0.0
        return max(round(1.0 - self.price / self.regular_price, 10), 0.0)


@dataclass(frozen=True)
class ShopFacts:
    """What is known of items beside the price panel: their stock by (item, store), and columns of the products."""

    stock: Mapping[tuple[str, str], tuple[date, float, float]]
    products: Mapping[str, Mapping[str, Any]]


def read_facts(pipeline: "Pipeline", pricing: "PricingSettings") -> ShopFacts:
    """Read the last stock, and what the products table says of each item.

    An item of several SKUs has the least value of each column, as it has in the price panel.
    """
    rows = pipeline.run("stock_on_hand", stores=pricing.stores, item_level=pricing.item_level).to_pylist()
    stock = {(r["item"], r["store_id"]): (r["week"], float(r["on_hand"]), float(r["least"])) for r in rows}
    engine = pipeline.engine
    types = engine.columns("products")
    own = {"sku", "style_color", "unit_cost", *CATEGORIES}
    names = [n for n, t in types.items() if n not in own and (t.startswith(_ATTRIBUTES) or n in PRODUCTS.column_names)]
    item = "coalesce(style_color, sku)" if pricing.item_level == "style_color" else "sku"
    listed = "".join(f", min({quoted(name)}) AS {quoted(name)}" for name in names)
    found = engine.query(f"SELECT {item} AS {quoted('item')}{listed} FROM products GROUP BY 1 ORDER BY 1").to_pylist()
    return ShopFacts(stock, {row["item"]: {name: row[name] for name in names} for row in found if row["item"]})


def first_monday_after(day: date) -> date:
    """Return the first Monday after a day.

    Examples
    --------
    >>> first_monday_after(date(2017, 12, 31)), first_monday_after(date(2018, 1, 1))
    (datetime.date(2018, 1, 1), datetime.date(2018, 1, 8))
    """
    return day + timedelta(days=7 - day.weekday())


def choose(panel: "pd.DataFrame", categories: Sequence[str], items: Sequence[str]) -> np.ndarray:
    """Mark the rows of a panel (n,) whose item is in one of these categories, or is one of these; all without either.

    Examples
    --------
    >>> import pandas as pd
    >>> panel = pd.DataFrame({"item": ["a", "b"], "category_1": ["x", "y"], "category_2": None, "category_3": None})
    >>> choose(panel, ["x"], ["b"]).tolist(), choose(panel, ["x"], []).tolist(), choose(panel, [], []).tolist()
    ([True, True], [True, False], [True, True])
    """
    if not categories and not items:
        return np.ones(len(panel), np.bool_)
    wanted = panel["item"].isin(list(items)).to_numpy()
    for level in CATEGORIES:
        wanted = wanted | panel[level].isin(list(categories)).to_numpy()
    return wanted


def item_states(
    panel: "pd.DataFrame", facts: ShopFacts, plan: "MarkdownSettings", starts: date, as_of: date
) -> list[ItemState]:
    """Return the items that a plan names as they stand before it, by item and store.

    Parameters
    ----------
    panel : DataFrame
        In the shape of ``contract.PRICE_PANEL``, sorted by its grain.
    facts : ShopFacts
    plan : MarkdownSettings
    starts, as_of : date
        First day of the plan, and last day of the data.
    """
    some = panel.loc[choose(panel, plan.categories, plan.items)]
    # the panel is sorted by its grain: an item's rows follow each other
    starting = np.flatnonzero(~some.duplicated(["item", "store_id"]).to_numpy())
    states = [
        _state(some.iloc[first:last], facts, plan, starts, as_of)
        for first, last in pairwise([*starting.tolist(), len(some)])
    ]
    known = {state.item for state in states}
    unseen = "not in the price panel: it never sold, or [pricing] leaves it out"
    states += [ItemState(item, "", reason=unseen) for item in dict.fromkeys(plan.items) if item not in known]
    return sorted(states, key=lambda state: (state.item, state.store_id))


def planned_frame(states: Sequence[ItemState], plan: "MarkdownSettings", elasticity: Mapping[str, float]) -> "pa.Table":
    """Return the items frame of `pricing.plan_markdowns` for states without a reason, in their order."""
    import pyarrow as pa

    numbers = {
        "regular_price": [s.regular_price for s in states],
        "on_hand": [s.on_hand for s in states],
        "elasticity": [elasticity[s.item] for s in states],
        "current_discount": [s.current_discount for s in states],
        "unit_cost": [s.unit_cost for s in states],
        "age_weeks": [s.age_weeks for s in states],
        "weeks_since_change": [s.weeks_since_change for s in states],
    }
    if plan.salvage is not None:
        numbers["salvage_value"] = [plan.salvage * float(s.regular_price or 0.0) for s in states]
    columns: dict[str, Any] = {
        "item": pa.array([s.name for s in states], pa.string()),
        "product": pa.array([s.item for s in states], pa.string()),
        "store_id": pa.array([s.store_id for s in states], pa.string()),
    }
    for name, values in numbers.items():
        if any(value is not None for value in values):
            columns[name] = pa.array(values, pa.float64())
    further = dict.fromkeys(name for state in states for name in state.columns or {})
    for name in further:
        values = [(state.columns or {}).get(name) for state in states]
        if name not in columns and any(value is not None for value in values):
            columns[name] = pa.array(_of_one_kind(values))
    return pa.table(columns)


def _of_one_kind(values: list[Any]) -> list[Any]:
    import decimal

    return [float(value) if isinstance(value, decimal.Decimal) else value for value in values]


def _state(
    rows: "pd.DataFrame",
    facts: ShopFacts,
    plan: "MarkdownSettings",
    starts: date,
    as_of: date,
) -> ItemState:
    last = rows.iloc[-1]
    item, store = str(last["item"]), str(last["store_id"])
    sold = rows.loc[rows["units"] > 0]
    regular = _cents(last["regular_price"])
    paid = _cents(sold["price"].iloc[-1]) if len(sold) else None
    last_sale = sold["week"].iloc[-1].date() if len(sold) else None
    week = last["week"].date()
    columns: dict[str, Any] = {level: last[level] if isinstance(last[level], str) else None for level in CATEGORIES}
    columns |= facts.products.get(item, {})
    stands_at = regular if plan.start_price == "regular" or regular is None else _standing(paid, regular, plan.ladder)
    weekly = _recent_units(rows, as_of)
    on_hand, stock_rule, no_stock = _stock(facts.stock.get((item, store)), plan, weekly)
    reason = ""
    if not regular or regular <= 0.0:
        reason = "no regular price known"
    elif isinstance(columns.get("exit_on"), date) and columns["exit_on"] < starts:
        reason = f"off the shelf before the plan starts: exit_on is {columns['exit_on']}"
    elif not stock_rule.startswith("stock") and (
        last_sale is None or (as_of - last_sale).days > 7 * plan.sold_within_weeks
    ):
        reason = f"off sale: none was sold since the week of {last_sale}, and no stock is known"
    else:
        reason = no_stock
    return ItemState(
        item,
        store,
        regular,
        stands_at,
        on_hand,
        _number(last["unit_cost"]),
        None if _number(last["age_weeks"]) is None else float(last["age_weeks"] + (starts - week).days // 7),
        _weeks_since_change(sold, starts) if plan.start_price == "current" else None,
        stock_rule,
        reason,
        columns,
    )


def _standing(paid: float | None, regular: float, ladder: Sequence[float]) -> float:
    # what buyers paid on average is a hair off the price on the label: the rung it means
    if paid is None or paid >= regular:
        return regular
    nearest = min((0.0, *ladder), key=lambda depth: abs(depth - (1.0 - paid / regular)))
    meant = abs(nearest - (1.0 - paid / regular)) <= _HAIR
    return regular * (1.0 - nearest) if meant else paid


def _stock(
    known: tuple[date, float, float] | None, plan: "MarkdownSettings", weekly: float
) -> tuple[float | None, str, str]:
    """Return the stock, where it comes from, and why it cannot be planned with."""
    if known is not None:
        week, on_hand, least = known
        if least < 0.0:
            return None, f"stock of {week}", f"stock below 0: {least:g} in the week of {week}; correct [stock]"
        return on_hand, f"stock of {week}", "" if on_hand > 0.0 else f"nothing left: its stock of {week} is 0"
    if plan.assumed_weeks_of_cover is None:
        return None, "", "no stock known: map [stock], or give assumed_weeks_of_cover"
    assumed = float(np.ceil(round(plan.assumed_weeks_of_cover * weekly, 9)))
    said = f"assumed: {plan.assumed_weeks_of_cover:g} weeks of {weekly:.2f} sold a week"
    return assumed, said, "" if assumed > 0.0 else f"no demand: none was sold in the last {_RECENT_WEEKS} weeks"


def _recent_units(rows: "pd.DataFrame", as_of: date) -> float:
    recent = rows["week"].dt.date > as_of - timedelta(weeks=_RECENT_WEEKS)
    return float(rows.loc[recent, "units"].sum()) / _RECENT_WEEKS


def _weeks_since_change(sold: "pd.DataFrame", starts: date) -> float | None:
    price = sold["price"].to_numpy(dtype=np.float64)
    moved = np.flatnonzero(np.abs(np.diff(np.log(price))) >= _CHANGE)
    return None if not len(moved) else float((starts - sold["week"].iloc[moved[-1] + 1].date()).days // 7)


def _number(value: Any) -> float | None:
    return None if value is None or value != value else float(value)


def _cents(value: Any) -> float | None:
    number = _number(value)
    return None if number is None else round(number + 1e-9, 2)
