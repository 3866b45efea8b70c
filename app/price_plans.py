"""Markdown plans of a snapshot: what each was made of, kept so that it can be made again, and its rows.

The command line plans anew from what is kept here alone: the same inputs give the same plan, to the last digit.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..sql.contract import MARKDOWN_PLAN, MARKDOWN_PLANS
from ..sql.durability import canonical_json
from ..sql.errors import WarehouseError
from .plan_rules import in_weeks_from_1, make_rules

if TYPE_CHECKING:
    import pyarrow as pa

    from ..pricing.demand import DemandModel
    from ..pricing.explanation import Explanation, Neighbour
    from ..pricing.markdown import MarkdownPlan
    from ..pricing.rules import Objective, Rule
    from ..sql.pricing_settings import MarkdownSettings
    from .price_items import ItemState

ITEMS, TERMS = "items.parquet", "plan.json"
_UNITS = "expected_units"


@dataclass(frozen=True)
class PlanInputs:
    """All that a markdown plan is made of.

    ``items`` is the items frame of `pricing.plan_markdowns`, ``units`` (n, weeks) expected units at the regular price;
    at another price they are ``(price / regular price) ^ elasticity`` times that.
    """

    name: str
    starts: date
    weeks: int
    ladder: tuple[float, ...]
    goal: str
    salvage: bool
    rules: tuple[Mapping[str, Any], ...]
    gap: float
    items: "pa.Table" = field(repr=False)
    units: np.ndarray = field(repr=False)

    @classmethod
    def of(
        cls, name: str, said: "MarkdownSettings", starts: date, items: "pa.Table", units: np.ndarray
    ) -> "PlanInputs":
        """Take what is not about items from the settings."""
        return cls(
            name, starts, said.weeks, said.ladder, said.objective, said.salvage is not None, said.rules, said.gap,
            items, units,
        )  # fmt: skip

    @property
    def dates(self) -> list[date]:
        """The Monday of each week."""
        return [self.starts + timedelta(weeks=t) for t in range(self.weeks)]

    @property
    def objective(self) -> "Objective":
        """What the plan makes as large as it can."""
        from ..pricing.rules import Objective

        return Objective("margin" if self.goal == "margin" else "revenue", self.salvage)

    def plan(self, rules: "Sequence[Rule] | None" = None) -> "MarkdownPlan":
        """Plan the prices.

        Raises
        ------
        RulesConflict, PlanError, RuleError
            As `pricing.plan_markdowns`.
        """
        from ..pricing.markdown import plan_markdowns

        return plan_markdowns(
            {name: _array(self.items[name]) for name in self.items.column_names},
            ladder=self.ladder,
            weeks=self.dates,
            rules=make_rules(self.rules, weeks=self.weeks) if rules is None else rules,
            expected_units=self.units,
            objective=self.objective,
            gap=self.gap,
        )

    def unchanged_worth(self) -> float:
        """Worth if no price moved from where it stands before the plan."""
        from ..pricing.rules import ExitDate, MaxMarkdowns, SharedStock

        # what is no choice of prices stays: when items leave, and which stock they sell from
        facts = [rule for rule in make_rules(self.rules, weeks=self.weeks) if isinstance(rule, ExitDate | SharedStock)]
        return self.plan((MaxMarkdowns(0), *facts)).objective

    def parts(self, plan: "MarkdownPlan", rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """Return what the worth of a plan with these rows is made of.

        ``objective`` is ``revenue`` or ``margin``, whichever is the goal, and ``salvage``, less ``missed``: what soft
        targets take off.
        """

        def total(name: str) -> float:
            return float(np.sum([row[name] for row in rows if row[name] is not None]))

        # to follow a plan once more takes as long as checking it does
        missed = plan.check().penalties if any("penalty" in rule for rule in self.rules) else 0.0
        found = {"revenue": total("revenue"), "margin": total("margin"), "missed": missed}
        # to a millionth: sums of floats leave a hair
        salvage = round(plan.objective + missed - found[self.goal], 6) + 0.0 if self.salvage else 0.0
        return found | {"salvage": salvage}

    def unit_costs(self) -> dict[str, float]:
        """Return the cost of a unit of each item, in a store where these are apart, whose cost is known."""
        if "unit_cost" not in self.items.column_names:
            return {}
        known = zip(self.items["item"].to_pylist(), self.items["unit_cost"].to_pylist(), strict=True)
        return {name: cost for name, cost in known if cost is not None}

    def save(self, folder: Path) -> None:
        """Write into a folder what `load` reads, the same bytes for the same inputs."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        folder.mkdir(parents=True, exist_ok=True)
        units = pa.array(self.units.tolist(), pa.list_(pa.float64()))
        pq.write_table(self.items.append_column(_UNITS, units), folder / ITEMS, compression="zstd")
        terms = {
            "name": self.name,
            "starts": self.starts.isoformat(),
            "weeks": self.weeks,
            "ladder": list(self.ladder),
            "goal": self.goal,
            "salvage": self.salvage,
            "rules": [dict(rule) for rule in self.rules],
            "gap": self.gap,
        }
        (folder / TERMS).write_text(canonical_json(terms), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "PlanInputs":
        """Read what `save` wrote.

        Raises
        ------
        WarehouseError
            A file is missing or damaged, or the two are not of one plan.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            terms = json.loads((folder / TERMS).read_text(encoding="utf-8"))
            items = pq.read_table(folder / ITEMS)
            units = np.array(items[_UNITS].to_pylist(), dtype=np.float64).reshape(items.num_rows, terms["weeks"])
            terms |= {name: tuple(terms[name]) for name in ("ladder", "rules")}
            terms["starts"] = date.fromisoformat(terms["starts"])
            return cls(**terms, items=items.drop_columns([_UNITS]), units=units)
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
            said = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise WarehouseError(
                f"{folder}: the plan cannot be read from {TERMS} and {ITEMS} ({said}); 'regulars build --force' makes "
                "the run anew"
            ) from error


def plan_rows(
    inputs: PlanInputs, plan: "MarkdownPlan", model: "DemandModel | None", states: "Sequence[ItemState]"
) -> list[dict[str, Any]]:
    """Return the rows of ``markdown_plan`` for the items that are planned; intervals where there is a demand model."""
    prices = plan.prices
    state = {s.name: s for s in states}
    lower, upper = _intervals(inputs, prices, model)
    rows = []
    told: dict[str, Explanation] = {}
    rules = make_rules(inputs.rules)
    for at, priced in enumerate(prices.to_dict("records")):
        name = priced["item"]
        if name not in told:
            told[name] = plan.explain(name)
        own = state[name]
        week = day_of(priced["week"])
        row = dict.fromkeys(MARKDOWN_PLAN.column_names) | {
            "plan": inputs.name,
            "item": own.item,
            "store_id": own.store_id,
            "week": week,
            "price": cents(priced["price"]),
            "regular_price": own.regular_price,
            "discount": float(priced["discount"]),
            "units": float(priced["units"]),
            "units_lower": None if lower is None else float(min(lower[at], priced["on_hand"])),
            "units_upper": None if upper is None else float(min(upper[at], priced["on_hand"])),
            "on_hand": float(priced["on_hand"]),
            "revenue": float(priced["revenue"]),
            "margin": None
            if own.unit_cost is None
            else float(priced["revenue"]) - own.unit_cost * float(priced["units"]),
            "changed": bool(priced["changed"]),
            "stock_rule": own.stock_rule,
            "reason": "",
        }
        rows.append(row | why_columns(told[name], (week - inputs.starts).days // 7, rules))
    return rows


def why_columns(explained: "Explanation", week: int, rules: "Sequence[Rule]") -> dict[str, Any]:
    """Return the columns of ``markdown_plan`` that say why an item has its price in a week, 0 the first.

    Rules are named with their weeks from 1.
    """
    own = explained.weeks[week]
    item = {"binding_rule": explained.binding_rule, "unit_worth": explained.unit_worth}
    found = item | _neighbour("up", own.up) | _neighbour("down", own.down)
    return {key: in_weeks_from_1(value, rules) if isinstance(value, str) else value for key, value in found.items()}


def kept_rows(
    name: str, dates: Sequence[date], states: "Sequence[ItemState]", reason: str = ""
) -> list[dict[str, Any]]:
    """Return rows of ``markdown_plan`` for items that keep their price, for their own reason or the plan's."""
    return [
        dict.fromkeys(MARKDOWN_PLAN.column_names)
        | {
            "plan": name,
            "item": state.item,
            "store_id": state.store_id,
            "week": week,
            "price": None if state.price is None else cents(state.price),
            "regular_price": state.regular_price,
            "discount": None if state.price is None else state.current_discount,
            "on_hand": state.on_hand if week == dates[0] else None,
            "changed": False,
            "binding_rule": "",
            "up_forbidden_by": "",
            "down_forbidden_by": "",
            "stock_rule": state.stock_rule,
            "reason": state.reason or reason,
        }
        for state in states
        for week in dates
    ]


def account_row(
    name: str, said: "MarkdownSettings", starts: date, states: "Sequence[ItemState]", **found: Any
) -> dict[str, Any]:
    """Return the row of ``markdown_plans``; ``found`` are the columns that a plan fills."""
    return dict.fromkeys(MARKDOWN_PLANS.column_names) | {
        "plan": name,
        "starts": starts,
        "weeks": said.weeks,
        "goal": said.objective,
        "items": len(states),
        "planned_items": 0,
        "method": "",
        "model_version": "",
        "conflict": "",
        **found,
    }


def reason_kind(reason: str) -> str:
    """Return what of a reason stands before its particulars.

    Examples
    --------
    >>> reason_kind("off sale: none was sold since the week of 2023-01-30"), reason_kind("refused (the sign)")
    ('off sale', 'refused')
    """
    return reason.partition(":")[0].partition("(")[0].strip()


def count_reasons(reasons: "Sequence[str]") -> str:
    """Count why items are not planned by what stands before the particulars, the commonest first.

    Examples
    --------
    >>> count_reasons(["off sale: since May", "nothing left: of 3", "off sale: since June"])
    '2 off sale, 1 nothing left'
    """
    counts: dict[str, int] = {}
    for reason in reasons:
        counts[reason_kind(reason)] = counts.get(reason_kind(reason), 0) + 1
    return ", ".join(f"{n} {kind}" for kind, n in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def cents(price: float) -> float:
    """Return a price to the cent, half up.

    Examples
    --------
    >>> cents(4.131), cents(2.345), cents(2.675)
    (4.13, 2.35, 2.68)
    """
    return float(np.floor(price * 100.0 + 0.5 + 1e-9) / 100.0)


def _intervals(
    inputs: PlanInputs, prices: Any, model: "DemandModel | None"
) -> "tuple[np.ndarray, np.ndarray] | tuple[None, None]":
    if model is None or not len(prices):
        return None, None
    place = {row["item"]: row for row in inputs.items.select(["item", "product", "store_id"]).to_pylist()}
    path: dict[str, Any] = {
        "item": [place[name]["product"] for name in prices["item"]],
        "week": np.array([day_of(week) for week in prices["week"]], dtype="datetime64[D]"),
        "price": prices["price"].to_numpy(),
    }
    stores = [place[name]["store_id"] for name in prices["item"]]
    if any(stores):
        path["store_id"] = stores
    predicted = model.predict(path)
    return predicted["units_lower"].to_numpy(), predicted["units_upper"].to_numpy()


def _neighbour(side: str, other: "Neighbour | None") -> dict[str, Any]:
    return {
        f"{side}_price": None if other is None else cents(other.price),
        f"{side}_worth": None if other is None or other.forbidden_by else float(other.worth),
        f"{side}_forbidden_by": "" if other is None else " with ".join(other.forbidden_by),
    }


def _array(column: "pa.ChunkedArray") -> np.ndarray:
    import pyarrow as pa

    if pa.types.is_date(column.type):
        return column.to_numpy().astype("datetime64[D]")
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        return column.cast(pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64)
    return np.array(column.to_pylist(), dtype=object)


def day_of(week: Any) -> date:
    """Return the day of a week as a frame of plans has it, a date or a timestamp."""
    return week.date() if hasattr(week, "date") else week
