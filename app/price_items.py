"""What a markdown plan starts from: the items it names, each with prices, stock and costs, or why it is not planned."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ..sql.contract import PRODUCTS
from ..sql.errors import nearest
from ..sql.mapping import quoted
from .price_plans import cents

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from ..sql.pipeline import Pipeline
    from ..sql.pricing_settings import MarkdownSettings, PricingSettings

CATEGORIES = ("category_1", "category_2", "category_3")
_READ = ("item", "store_id", "week", "units", "price", "regular_price", "unit_cost", "age_weeks", *CATEGORIES)
_RECENT_WEEKS = 13
_CHANGE = 0.03  # a move of the price that is one: what buyers paid on average wobbles by less
_HAIR = 0.005  # of the regular price
_ATTRIBUTES = ("VARCHAR", "BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "FLOAT", "DOUBLE", "DECIMAL", "DATE")


@dataclass(frozen=True)
class ItemState:
    """An item, in a store where these are apart, as it stands before a plan; ``reason`` is '' if it can be planned.

    Prices are None where none is known; ``stock_until`` is the day from which sales are not yet taken off a known
    stock; ``columns`` are further facts that rules may name.
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
    stock_until: date | None = None
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
class StockCount:
    """The last count of an item's stock: its day, what was counted, and what is left of it on the as-of date."""

    day: date
    counted: float
    least: float
    sold: float
    left: float


@dataclass(frozen=True)
class ShopFacts:
    """What is known of items beside the price panel: columns of the products, by item."""

    products: Mapping[str, Mapping[str, Any]]


def read_stock(
    pipeline: "Pipeline", pricing: "PricingSettings", plan: "MarkdownSettings", starts: date, as_of: date
) -> dict[tuple[str, str], StockCount]:
    """Read the last stock of each (item, store) up to the day on which a plan starts."""
    rows = pipeline.run(
        "stock_on_hand",
        stores=pricing.stores,
        item_level=pricing.item_level,
        days_ahead=max((starts - as_of).days, 0),
        days_behind=7 * plan.stock_within_weeks,
    ).to_pylist()
    numbers = ("counted", "least", "sold", "on_hand")
    return {(r["item"], r["store_id"]): StockCount(r["week"], *(float(r[name]) for name in numbers)) for r in rows}


def read_facts(pipeline: "Pipeline", pricing: "PricingSettings") -> ShopFacts:
    """Read what the products table says of each item.

    An item of several SKUs has the least value of each column, as it has in the price panel.
    """
    engine = pipeline.engine
    types = engine.columns("products")
    own = {"sku", "style_color", "unit_cost", *CATEGORIES}
    names = [n for n, t in types.items() if n not in own and (t.startswith(_ATTRIBUTES) or n in PRODUCTS.column_names)]
    item = "coalesce(style_color, sku)" if pricing.item_level == "style_color" else "sku"
    listed = "".join(f", min({quoted(name)}) AS {quoted(name)}" for name in names)
    found = engine.query(f"SELECT {item} AS {quoted('item')}{listed} FROM products GROUP BY 1 ORDER BY 1").to_pylist()
    names = [name for name in names if any(row[name] is not None for row in found)]
    return ShopFacts({row["item"]: {name: row[name] for name in names} for row in found if row["item"]})


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
    panel: "pd.DataFrame",
    facts: ShopFacts,
    stock: Mapping[tuple[str, str], StockCount],
    plan: "MarkdownSettings",
    starts: date,
    as_of: date,
) -> list[ItemState]:
    """Return the items that a plan names as they stand before it, by item and store.

    Parameters
    ----------
    panel : DataFrame
        In the shape of ``contract.PRICE_PANEL``, sorted by its grain.
    facts : ShopFacts
    stock : mapping of (item, store) to StockCount
    plan : MarkdownSettings
    starts, as_of : date
        First day of the plan, and last day of the data.
    """
    some = panel.loc[choose(panel, plan.categories, plan.items)]
    # the panel is sorted by its grain: an item's rows follow each other
    starting = np.flatnonzero(~some.duplicated(["item", "store_id"]).to_numpy())
    # a frame an item would take ten times as long
    columns = {name: some[name].to_numpy() for name in _READ}
    columns["week"] = columns["week"].astype("datetime64[D]")
    states = [
        _state({name: values[first:last] for name, values in columns.items()}, facts, stock, plan, starts, as_of)
        for first, last in pairwise([*starting.tolist(), len(some)])
    ]
    known = {state.item for state in states}
    everything = sorted(set(panel["item"]))[:100_000]
    states += [unseen(item, everything) for item in dict.fromkeys(plan.items) if item not in known]
    return sorted(states, key=lambda state: (state.item, state.store_id))


def unseen(item: str, known: Sequence[str] = ()) -> ItemState:
    """Return the state of an item that the panel has not seen.

    Examples
    --------
    >>> unseen("104", ["1042", "7"]).reason
    "not in the price panel: it never sold, or [pricing] leaves it out; did you mean '1042'?"
    """
    said = f"not in the price panel: it never sold, or [pricing] leaves it out{nearest(item, list(known))}"
    return ItemState(item, "", reason=said)


def less_sales_before(states: Sequence[ItemState], sold: Sequence[float], starts: date) -> list[ItemState]:
    """Take what is expected to sell before a plan starts (n,) off known stock, and say so.

    Examples
    --------
    >>> state = ItemState("tee", "", on_hand=9.0, stock_rule="stock of 2025-09-15")
    >>> after = less_sales_before([state], [2.5], date(2025, 10, 6))[0]
    >>> after.on_hand, after.stock_rule
    (6.5, 'stock of 2025-09-15, 2.5 more expected to sell before 2025-10-06')
    """
    found = []
    for state, units in zip(states, sold, strict=True):
        if units <= 0.0 or state.on_hand is None:
            found.append(state)
            continue
        said = f"{state.stock_rule}, {units:.1f} more expected to sell before {starts}"
        left = max(state.on_hand - float(units), 0.0)
        reason = state.reason or ("" if left > 0.0 else f"nothing left: {said}")
        found.append(replace(state, on_hand=left, stock_rule=said, reason=reason))
    return found


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
        if name == "exit_on" and name not in columns:
            # none leaves: still a column that the rule ExitDate finds
            columns[name] = pa.array(values, pa.date32())
        elif name not in columns and any(value is not None for value in values):
            columns[name] = pa.array(_of_one_kind(values))
    return pa.table(columns)


def _of_one_kind(values: list[Any]) -> list[Any]:
    import decimal

    return [float(value) if isinstance(value, decimal.Decimal) else value for value in values]


def _state(
    rows: Mapping[str, np.ndarray],
    facts: ShopFacts,
    stock: Mapping[tuple[str, str], StockCount],
    plan: "MarkdownSettings",
    starts: date,
    as_of: date,
) -> ItemState:
    last = {name: values[-1] for name, values in rows.items()}
    item, store = str(last["item"]), str(last["store_id"])
    sold = rows["units"] > 0
    prices, weeks = rows["price"][sold], rows["week"][sold]
    regular = _cents(last["regular_price"])
    paid = _cents(prices[-1]) if len(prices) else None
    last_sale = weeks[-1].item() if len(weeks) else None
    week = last["week"].item()
    columns: dict[str, Any] = {level: last[level] if isinstance(last[level], str) else None for level in CATEGORIES}
    columns |= facts.products.get(item, {})
    stands_at = regular if plan.start_price == "regular" or regular is None else _standing(paid, regular, plan.ladder)
    weekly = _recent_units(rows, as_of)
    count = stock.get((item, store))
    old = count is not None and (as_of - count.day).days > 7 * plan.stock_within_weeks
    on_hand, stock_rule, no_stock = _stock(count, plan, weekly, old=old)
    reason = ""
    if not regular or regular <= 0.0:
        reason = "no regular price known"
    elif isinstance(columns.get("exit_on"), date) and columns["exit_on"] < starts:
        reason = f"off the shelf before the plan starts: exit_on is {columns['exit_on']}"
    elif not stock_rule.startswith("stock") and (
        last_sale is None or (as_of - last_sale).days > 7 * plan.sold_within_weeks
    ):
        reason = f"off sale: none was sold since the week of {last_sale}, and no stock is known" + (
            f" since {count.day}" if count is not None else ""
        )
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
        _weeks_since_change(prices, weeks, starts) if plan.start_price == "current" else None,
        stock_rule,
        None if count is None or not stock_rule.startswith("stock") else max(count.day, as_of + timedelta(days=1)),
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
    count: StockCount | None, plan: "MarkdownSettings", weekly: float, *, old: bool
) -> tuple[float | None, str, str]:
    """Return the stock, where it comes from, and why it cannot be planned with."""
    if count is not None and not old:
        said = f"stock of {count.day}"
        if count.least < 0.0:
            return None, said, f"stock below 0: {count.least:g} on {count.day}; correct [stock]"
        if count.sold > 0.0:
            said += f" ({count.counted:g}) less {count.sold:g} sold since"
        return count.left, said, "" if count.left > 0.0 else f"nothing left: {said if count.sold else said + ' is 0'}"
    if plan.assumed_weeks_of_cover is None:
        if count is not None:
            weeks = plan.stock_within_weeks
            return (
                None,
                "",
                f"stock is of {count.day}: over {weeks} weeks before the data end (stock_within_weeks); renew [stock]",
            )
        return None, "", "no stock known: map [stock], or give assumed_weeks_of_cover"
    assumed = float(np.ceil(round(plan.assumed_weeks_of_cover * weekly, 9)))
    said = f"assumed: {plan.assumed_weeks_of_cover:g} weeks of {weekly:.2f} sold a week"
    said += "" if count is None else f"; the last count is of {count.day}"
    return assumed, said, "" if assumed > 0.0 else f"no demand: none was sold in the last {_RECENT_WEEKS} weeks"


def _recent_units(rows: Mapping[str, np.ndarray], as_of: date) -> float:
    recent = rows["week"] > np.datetime64(as_of - timedelta(weeks=_RECENT_WEEKS))
    return float(np.nansum(rows["units"][recent])) / _RECENT_WEEKS


def _weeks_since_change(prices: np.ndarray, weeks: np.ndarray, starts: date) -> float | None:
    moved = np.flatnonzero(np.abs(np.diff(np.log(prices.astype(np.float64)))) >= _CHANGE)
    return None if not len(moved) else float((starts - weeks[moved[-1] + 1].item()).days // 7)


def _number(value: Any) -> float | None:
    return None if value is None or value != value else float(value)


def _cents(value: Any) -> float | None:
    number = _number(value)
    return None if number is None else cents(number)
