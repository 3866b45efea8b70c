"""A markdown plan of the current snapshot: shown, explained, made otherwise, recorded and written as a price file.

What is neither overridden nor planned on other terms is priced as the snapshot has it. Price file and record are
written both or not at all.
"""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from ..sql.durability import exclusive_lock, replace_bytes, saying
from ..sql.errors import AlreadyDecided, ModelError, SettingsError, StaleSnapshotError, WarehouseError, nearest
from .plan_age import stale_reason
from .plan_rules import in_weeks_from_1
from .price_decision import Standing, hand_out, must_be_free, settle
from .price_file import ENDINGS, FOLDER, PricedWeek, file_bytes, find_records, money, price_file
from .price_overrides import Override, find_item, missing_item
from .price_planning import PlanTerms, Replanned, replan, rules_in_force, unchanged_worth
from .price_plans import PlanInputs, cents, day_of, reason_kind, why_columns

if TYPE_CHECKING:
    from ..pricing.markdown import MarkdownPlan
    from ..sql.settings import Settings
    from ..sql.snapshot import Snapshot

SHOWN_ITEMS = 40


@dataclass(frozen=True)
class Change:
    """A price that differs from the plan of the snapshot: set by hand, or moved by what was, or by other terms.

    ``revenue_change`` is that of the week; a dearer week leaves more for later ones, whose prices may stay. ``price``
    is None where the item is no longer on sale.
    """

    item: str
    store_id: str
    week: date
    planned_price: float
    price: float | None
    overridden: bool
    revenue_change: float

    def __str__(self) -> str:
        name = f"{self.item}@{self.store_id}" if self.store_id else self.item
        how = "by hand" if self.overridden else "planned anew"
        now = "off sale" if self.price is None else f"{self.price:.2f}"
        moved = f"{self.planned_price:.2f} -> {now} ({how})"
        return f"{name}, week of {self.week}: {moved}, revenue of that week {self.revenue_change:+,.2f}"


@dataclass(frozen=True)
class MarkdownResult:
    """What `markdown` found, and wrote where a file was asked for.

    Attributes
    ----------
    outcome : str
        ``"plan"`` (nothing was written), ``"written"``, or ``"unchanged"`` (the file had these bytes before).
    account : mapping
        The plan's row of ``markdown_plans``; with overrides or terms, what the new plan is worth.
    rows : sequence of mapping
        Of ``markdown_plan``, with overrides or terms those of the new plan.
    changes : tuple of Change
    explained : str
        Why one item's prices are what they are.
    notes : tuple of str
    """

    outcome: str
    plan: str
    snapshot: "Snapshot"
    account: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]] = field(repr=False)
    overrides: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    worth_before: float | None = None
    terms: PlanTerms = field(default_factory=PlanTerms)
    explained: str = ""
    notes: tuple[str, ...] = ()
    path: Path | None = None
    record: Path | None = None
    decision_id: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As ``regulars markdown --json`` prints it."""
        return {
            "outcome": self.outcome,
            "plan": self.plan,
            "run_id": self.snapshot.run_id,
            "as_of": self.snapshot.as_of.isoformat(),
            **{key: _plain(value) for key, value in self.account.items() if key != "plan"},
            "terms": self.terms.to_dict(),
            "overrides": list(self.overrides),
            "changes": [{key: _plain(value) for key, value in vars(change).items()} for change in self.changes],
            "worth_before_overrides": self.worth_before,
            "file": str(self.path) if self.path else None,
            "record": str(self.record) if self.record else None,
            "decision_id": self.decision_id,
            "notes": list(self.notes),
            "explained": self.explained,
            "prices": [{key: _plain(value) for key, value in row.items()} for row in self.rows],
            "exit_code": 0,
        }

    def text(self) -> str:
        """As ``regulars markdown`` prints it."""
        last = self.account["starts"] + timedelta(weeks=self.account["weeks"]) - timedelta(days=1)
        where = f"run {self.snapshot.run_id}, as of {self.snapshot.as_of}"
        head = [f"{self.plan}: {self.account['starts']} to {last}, {where}", str(self.account["sentence"])]
        if self.overrides or self.terms:
            head.append(self._otherwise())
            head += [f"  {change}" for change in self.changes[:SHOWN_ITEMS]]
            if len(self.changes) > SHOWN_ITEMS:
                head.append(f"  ({SHOWN_ITEMS} of {len(self.changes):,}; --json gives all)")
        body = [self.explained] if self.explained else _shown(self.rows)
        tail = [f"note: {note}" for note in self.notes]
        if self.path:
            said = "is as it was" if self.outcome == "unchanged" else "written"
            tail.append(f"{self.path}: {said}; recorded as {self.record}")
        return "\n".join([*head, "", *body, *([""] if tail else []), *tail])

    def _otherwise(self) -> str:
        """What prices by hand and other terms have made of the plan."""
        now = float(self.account["objective"])
        n = len(self.overrides)
        how = [shlex.join(self.terms.options())] if self.terms else []
        how += [f"{n} price{'s' * (n > 1)} set by hand"] if n else []
        against = "" if self.worth_before is None else f", {now - self.worth_before:+,.2f} against the plan"
        return f"with {' and '.join(how)} it is worth {now:,.2f}{against}; prices set or moved: {len(self.changes)}"


def markdown(
    settings: "Settings | str | Path",
    plan: str = "",
    *,
    on: date | None = None,
    out: Path | str | None = None,
    overrides: Sequence[Override] = (),
    terms: PlanTerms | None = None,
    explain: str = "",
    force: bool = False,
    wait: float = 0.0,
) -> MarkdownResult:
    """Show a plan of the current snapshot; make it otherwise; write and record its prices.

    Parameters
    ----------
    settings : Settings, str or Path
        The settings, or their file.
    plan : str, optional
        A ``[pricing.markdowns.NAME]``; the only one without it.
    on : date, optional
        Day on which the prices are approved; today on the shop's clock without it.
    out : Path or str, optional
        The price file, ``.csv`` or ``.parquet``; nothing is written or recorded without it.
    overrides : sequence of Override
        Prices set by hand; the rest of these items' weeks is planned anew, and of all items where rules tie them.
    terms : PlanTerms, optional
        Another ladder, length or budget or other rules, for all items or some.
    explain : str, optional
        An item whose prices are explained.
    force : bool
        Write over a file with other content, and replace decisions that stand for the same weeks or items.
    wait : float
        Seconds to wait for another process that decides in this warehouse.

    Raises
    ------
    SettingsError
        No such plan or item, an override or terms that cannot be, a file's ending, or a file within the warehouse or
        the inputs.
    StaleSnapshotError
        The snapshot is older than ``max_snapshot_age_days`` or was made by other settings, or the plan's last week is
        over on that day; only where a file is asked for.
    AlreadyDecided
        The file is there with other content, or other prices are on record: of the plan for some of its weeks, or of
        another plan for some of its items.
    ModelError
        There is no plan, or overrides and rules conflict: the text names the smallest set.
    WarehouseError
        The warehouse cannot be read or written.
    """
    from ..sql.settings import Settings
    from ..sql.snapshot import Warehouse

    made = settings if isinstance(settings, Settings) else Settings.from_toml(settings)
    snapshot = Warehouse(made.warehouse).current()
    name = _chosen(snapshot, plan)
    path = None if out is None else Path(out)
    if path is not None:
        if path.suffix.lower() not in ENDINGS:
            raise SettingsError(f"--out {path}: a price file is a .csv or .parquet file; name one")
        must_be_free(made, path)
    day = on or datetime.now(ZoneInfo(made.shop.timezone)).date()
    stale = stale_reason(made, snapshot, account_of(snapshot, name), day)
    if stale and path is not None:
        raise StaleSnapshotError(stale)
    notes = [stale] if stale else []
    found = changed_plan(snapshot, name, overrides, terms, explain=explain, told=path is None, notes=notes)
    return found if path is None else _write(made, found, path, day, force=force, wait=wait)


def plans_of(snapshot: "Snapshot") -> list[dict[str, Any]]:
    """Return the rows of ``markdown_plans``."""
    return snapshot.read("markdown_plans").to_pylist() if "markdown_plans" in snapshot.tables() else []


def account_of(snapshot: "Snapshot", name: str) -> dict[str, Any]:
    """Return a plan's row of ``markdown_plans``."""
    (account,) = [row for row in plans_of(snapshot) if row["plan"] == name]
    return account


# ---- the plan -------------------------------------------------------------------------------------------------------


def _chosen(snapshot: "Snapshot", plan: str) -> str:
    known = [row["plan"] for row in plans_of(snapshot)]
    if not known:
        raise SettingsError(
            f"run {snapshot.run_id} holds no markdown plan: write [pricing.markdowns.NAME] and run 'regulars build'"
        )
    if not plan and len(known) > 1:
        raise SettingsError(f"run {snapshot.run_id} holds several plans, {', '.join(known)}: name one")
    if plan and plan not in known:
        raise SettingsError(
            f"run {snapshot.run_id} holds no plan {plan!r}{nearest(plan, known)}; it holds {', '.join(known)}: name "
            "one, or write its section and run 'regulars build'"
        )
    return plan or known[0]


def changed_plan(
    snapshot: "Snapshot",
    name: str,
    overrides: Sequence[Override] = (),
    terms: PlanTerms | None = None,
    *,
    explain: str = "",
    told: bool = True,
    notes: Sequence[str] = (),
) -> MarkdownResult:
    """Return a snapshot's plan with prices set by hand and on other terms; without either, as the snapshot has it.

    ``told`` says again why, for each item that has changed: of a large plan that takes longer than the plan.

    Raises
    ------
    SettingsError, StaleSnapshotError, ModelError, WarehouseError
        As `markdown`.
    """
    terms = terms or PlanTerms()
    account = account_of(snapshot, name)
    rows = [row for row in snapshot.read("markdown_plan").to_pylist() if row["plan"] == name]
    folder = snapshot.path / "models" / f"markdown_{name}"
    if account["objective"] is None:
        if not terms or account["starts"] <= snapshot.as_of or not folder.is_dir():
            kind = StaleSnapshotError if account["starts"] <= snapshot.as_of else ModelError
            raise kind(f"{name}: {account['sentence']}")
        # rules that conflict: other rules may not
        freed = set(PlanInputs.load(folder).items["item"].to_pylist())
        # numbers that no plan has, so that each of these rows is filled
        blank = {"reason": "", "units": -1.0, "on_hand": -1.0}
        rows = [row | (blank if _name(row) in freed else {}) for row in rows]
    planned = {_name(row): row for row in rows if not row["reason"]}
    refused = {_name(row): row["reason"] for row in rows if row["reason"]}
    explain = find_item(explain, planned) or explain
    shown = MarkdownResult("plan", name, snapshot, account, rows, notes=tuple(notes))
    if explain and explain not in planned:
        if (kept := find_item(explain, refused)) is not None:
            return replace(shown, explained=f"{kept} is not planned and keeps its price: {refused[kept]}")
        raise SettingsError(f"--explain {explain}: item {missing_item(explain, planned, refused)}; name another")
    if not (overrides or explain or terms):
        return shown
    inputs = PlanInputs.load(folder)
    before = None
    if account["objective"] is not None:
        before = replan(inputs)
        _must_be_the_same(before.plan, planned, rows, snapshot)
    found = before if before is not None and not (overrides or terms) else replan(inputs, terms, overrides, refused)
    worth = None if before is None else before.objective
    if overrides or terms:
        shown = _otherwise(shown, inputs, found, terms, told=told)
        shown = replace(shown, overrides=tuple(map(str, overrides)), terms=terms, worth_before=worth)
    if explain:
        why = in_weeks_from_1(str(found.explain(explain)), rules_in_force(found, explain, inputs))
        shown = replace(shown, explained=why)
    return shown


def _otherwise(
    shown: MarkdownResult, inputs: PlanInputs, found: Replanned, terms: PlanTerms, *, told: bool
) -> MarkdownResult:
    now = found.prices()
    costs = inputs.unit_costs()
    before = {(_name(row), row["week"]): row for row in shown.rows}
    # an item that leaves earlier has no price after that
    rows = [_replanned(row, now, costs) for key, row in before.items() if row["reason"] or key in now]
    if told:
        rows = _explained_anew(rows, before, found, inputs, everyone=bool(terms))
    after = {(_name(row), row["week"]): row for row in rows}
    changes = tuple(
        Change(
            old["item"],
            old["store_id"],
            old["week"],
            float(old["price"]),
            None if (row := after.get(key)) is None else float(row["price"]),
            key in found.by_hand,
            (0.0 if row is None else float(row["revenue"])) - float(old["revenue"] or 0.0),
        )
        for key, old in before.items()
        if not old["reason"] and (key in found.by_hand or key not in after or old["price"] != after[key]["price"])
    )
    goal = sum(float(row[inputs.goal]) for row in rows if row[inputs.goal] is not None)
    account = {
        **shown.account,
        "objective": found.objective,
        "bound": found.bound,
        "gap": found.gap,
        "revenue": sum(float(row["revenue"]) for row in rows if row["revenue"] is not None),
        # to a millionth: sums of floats leave a hair
        "salvage": round(found.objective + found.missed - goal, 6) + 0.0 if inputs.salvage else 0.0,
        "markdowns": sum(bool(row["changed"]) for row in rows),
    }
    if terms:
        weeks = found.inputs.weeks if found.rest is None else inputs.weeks
        account |= {
            "unchanged": unchanged_worth(inputs, found),
            "weeks": weeks,
            "planned_items": inputs.items.num_rows,
            "conflict": "",
        }
    return replace(shown, account=account, rows=rows, changes=changes)


def _must_be_the_same(
    plan: "MarkdownPlan", planned: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], snapshot: "Snapshot"
) -> None:
    stored = {(_name(row), row["week"]): float(row["price"]) for row in rows if _name(row) in planned}
    again = {(str(r["item"]), day_of(r["week"])): cents(r["price"]) for r in plan.prices.to_dict("records")}
    if stored != again:
        raise WarehouseError(
            f"run {snapshot.run_id}: planned again, its prices come out differently: the run was made by other package "
            "versions; run 'regulars build'"
        )


def _replanned(
    row: Mapping[str, Any], now: Mapping[tuple[str, date], Mapping[str, Any]], costs: Mapping[str, float]
) -> dict[str, Any]:
    """Return a row with the prices of the new plan; intervals, which a build works out, are left open."""
    new = now.get((_name(row), row["week"]))
    if row["reason"] or new is None:
        return dict(row)
    price = money(cents(new["price"]))
    cost = costs.get(_name(row))
    moved = price != row["price"] or abs(new["units"] - row["units"]) > 1e-9
    if not moved and abs(new["on_hand"] - row["on_hand"]) <= 1e-9 and bool(new["changed"]) == row["changed"]:
        return dict(row)
    return {
        **row,
        **(dict.fromkeys(("units_lower", "units_upper")) if moved else {}),
        "price": price,
        "discount": float(new["discount"]),
        "units": float(new["units"]),
        "on_hand": float(new["on_hand"]),
        "revenue": float(new["revenue"]),
        "margin": None if cost is None else float(new["revenue"]) - cost * float(new["units"]),
        "changed": bool(new["changed"]),
    }


def _explained_anew(
    rows: list[dict[str, Any]],
    before: Mapping[tuple[str, date], Mapping[str, Any]],
    found: Replanned,
    inputs: PlanInputs,
    *,
    everyone: bool,
) -> list[dict[str, Any]]:
    """Say again why, for items of which any week has changed; for ``everyone`` who is planned on other terms, too."""
    touched = {_name(row) for row in rows if row != before[_name(row), row["week"]]}
    if everyone:
        touched |= set(found.inputs.items["item"].to_pylist())
    why = {name: (found.explain(name), rules_in_force(found, name, inputs)) for name in touched}
    said = []
    for row in rows:
        if _name(row) in touched:
            told = why_columns(why[_name(row)][0], inputs.dates.index(row["week"]), why[_name(row)][1])
            own = {n: money(told[n]) for n in ("up_price", "down_price") if told[n] is not None}
            row = row | told | own
        said.append(row)
    return said


# ---- the price file -------------------------------------------------------------------------------------------------


def _write(
    settings: "Settings", found: MarkdownResult, path: Path, on: date, *, force: bool, wait: float
) -> MarkdownResult:
    from ..sql.lineage import fingerprint

    said = settings.markdown(found.plan)
    weeks = _priced_weeks(found, unplanned_items=said.unplanned_items)
    folder = settings.warehouse.joinpath(*FOLDER)
    starts = found.account["starts"].isoformat()
    with saying(folder, "record prices in", "no price file was written"):
        folder.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(folder / ".lock", wait=wait):
        settle(folder)
        standing = Standing.of(found.plan, weeks, find_records(settings.warehouse))
        if standing.contradiction and not force:
            raise AlreadyDecided(f"{standing.contradiction}; or record these prices in their place: --force")
        replaces = sorted(record.facts["decision_id"] for record in standing.replaced)
        if standing.same is None:
            told = [found.snapshot.run_id, found.plan, sorted(found.overrides), on.isoformat(), said.unplanned_items]
            told += [found.terms.to_dict()] if found.terms else []
            run_id, decision_id = found.snapshot.run_id, fingerprint([*told, replaces])[:16]
        else:
            # prices that are the same are the same decision, whoever asks and when
            run_id, decision_id = standing.same.facts["run_id"], standing.same.facts["decision_id"]
        content = file_bytes(price_file(weeks, found.plan, run_id, decision_id), path.suffix.lower())
        same = path.is_file() and path.read_bytes() == content
        if path.exists() and not (same or force):
            raise AlreadyDecided(f"{path}: is there with other content; name another file, or replace it: --force")
        facts = {
            "plan": found.plan,
            "starts": starts,
            "weeks": found.account["weeks"],
            "run_id": run_id,
            "as_of": found.snapshot.as_of.isoformat(),
            "decided_on": on.isoformat(),
            "decision_id": decision_id,
            "overrides": sorted(found.overrides),
            "replaces": replaces,
            "objective": found.account["objective"],
            "model_version": found.account["model_version"],
            "file": str(path.resolve()),
        } | ({"terms": found.terms.to_dict()} if found.terms else {})
        if standing.same is None:
            record = hand_out(path, content, folder, weeks, facts)
        else:
            record = standing.same.path
            if not same:
                with saying(path, "write", "its prices are on record as before", "name another --out"):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    replace_bytes(path, content)
    return replace(
        found,
        outcome="unchanged" if same else "written",
        notes=(*found.notes, *_notes_of_writing(found, standing, starts, on)),
        path=path,
        record=record,
        decision_id=decision_id,
    )


def _priced_weeks(found: MarkdownResult, *, unplanned_items: bool) -> list[PricedWeek]:
    changed = {(c.item, c.store_id, c.week): c for c in found.changes}
    weeks = []
    for row in found.rows:
        if row["price"] is None or (row["reason"] and not unplanned_items):
            continue
        change = changed.get((row["item"], row["store_id"], row["week"]))
        before = row["price"] if change is None else money(change.planned_price)
        weeks.append(
            PricedWeek(
                row["item"], row["store_id"], row["week"], row["price"], row["regular_price"], before,
                change is not None and change.overridden,
            )
        )  # fmt: skip
    return weeks


def _notes_of_writing(found: MarkdownResult, standing: Standing, starts: str, on: date) -> list[str]:
    notes = [f"the plan began on {starts}, before {on}"] if on.isoformat() > starts else []
    if standing.same is not None:
        facts = standing.same.facts
        if (facts["run_id"], facts["decided_on"]) != (found.snapshot.run_id, on.isoformat()):
            notes.append(f"these prices were decided on {facts['decided_on']}, of run {facts['run_id']}")
    for record in standing.replaced:
        facts = record.facts
        notes.append(f"replaces prices of {facts['plan']} from {facts['starts']}, {facts['decision_id']}")
    return notes


# ---- in words -------------------------------------------------------------------------------------------------------


def _shown(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    from .printing import text_table

    items: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        items.setdefault(_name(row), []).append(row)
    planned = {name: weeks for name, weeks in items.items() if not weeks[0]["reason"]}
    order = sorted(planned, key=lambda n: (not any(w["changed"] for w in planned[n]), -_total(planned[n]), n))
    table = [
        {
            "item": name,
            "regular": planned[name][0]["regular_price"],
            "stock": round(planned[name][0]["on_hand"]),
            "prices": _path(planned[name]),
            "sold": round(sum(week["units"] for week in planned[name]), 1),
            "revenue": round(_total(planned[name]), 2),
            "elasticity": _elasticity(planned[name][0]),
            "held back by": planned[name][0]["binding_rule"] or "",
        }
        for name in order[:SHOWN_ITEMS]
    ]
    lines = [text_table(table)] if table else []
    if len(order) > SHOWN_ITEMS:
        lines.append(f"({SHOWN_ITEMS} of {len(order):,} items; --json gives all)")
    refused: dict[str, list[str]] = {}
    for name, weeks in items.items():
        if weeks[0]["reason"]:
            refused.setdefault(reason_kind(weeks[0]["reason"]), []).append(name)
    for kind, names in sorted(refused.items(), key=lambda pair: -len(pair[1])):
        example = items[names[0]][0]["reason"]
        lines.append(f"not planned, {len(names):,} items: {kind}; such as {names[0]}: {example}")
    return lines


def _path(weeks: Sequence[Mapping[str, Any]]) -> str:
    """Prices in a row: ``5.29 x2, 4.19 x4``."""
    spans: list[list[Any]] = []
    for week in weeks:
        if spans and spans[-1][0] == week["price"]:
            spans[-1][1] += 1
        else:
            spans.append([week["price"], 1])
    return ", ".join(f"{price} x{count}" for price, count in spans)


def _elasticity(row: Mapping[str, Any]) -> str:
    if row["elasticity"] is None:
        return ""
    ends = f"{row['elasticity_lower']:.1f}..{row['elasticity_upper']:.1f}"
    return f"{row['elasticity']:.2f} ({ends}, own {row['own_data_share']:.0%})"


def _total(weeks: Sequence[Mapping[str, Any]]) -> float:
    return float(sum(week["revenue"] for week in weeks))


def _name(row: Mapping[str, Any]) -> str:
    return f"{row['item']}@{row['store_id']}" if row["store_id"] else str(row["item"])


def _plain(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    return json.loads(json.dumps(value, default=str))
