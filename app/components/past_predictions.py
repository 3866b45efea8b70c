"""Whether earlier snapshots came true: orders and money since, and P(no order) once its horizon has passed."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from dash import html
from dash.development.base_component import Component

from ...sql.errors import RegularsError
from .. import formats
from . import card as cards
from . import states
from .model_table import model_table, named
from .provenance import Source, disclosure

if TYPE_CHECKING:
    from ..snapshot_data import SnapshotData


def past_predictions(data: "SnapshotData") -> list[Component]:
    """Return what earlier snapshots foretold and what came, and P(no order) where its horizon has passed."""
    answer = data.beside("prediction_tracking")
    totals = [row for row in answer.records if row["decile"] == 0]
    if not totals:
        nothing = states.state(
            "Nothing to hold against yet",
            "An earlier snapshot has to be a week old before what came can be held against what it foretold.",
            compact=True,
        )
        return [nothing, *_past_churn_or_why(data)]
    orders = ("Orders foretold", "came", "99% interval")
    heads = ("Snapshot of", "Until", "Customers", *orders, "Money foretold", "came", "99% interval", "Verdict")
    body = [
        [
            named(formats.day(row["as_of"]), f"run {row['run_id'][:8]}"),
            formats.day(row["until"]),
            formats.count(row["customers"]),
            formats.count(row["predicted_orders"]),
            formats.count(row["actual_orders"]),
            f"{formats.count(row['orders_low'])} – {formats.count(row['orders_high'])}",
            formats.money(row["predicted_money"], data.currency, short=True),
            formats.money(row["actual_money"], data.currency, short=True),
            f"{formats.money(row['money_low'], data.currency, short=True)} – "
            f"{formats.money(row['money_high'], data.currency, short=True)}",
            f"drift: {row['drift']}" if row["drift"] else "as foretold",
        ]
        for row in totals
    ]
    says = _verdict("", [bool(row["drift"]) for row in totals])
    source = Source.of(data, answer.sql, meaning="Customers known at each snapshot: what it foretold, what came.")
    return [
        model_table(heads, body, "Predictions of earlier snapshots"),
        cards.footer(html.P(says), disclosure("Predictions of earlier snapshots", source)),
        *_past_churn_or_why(data),
    ]


def _past_churn_or_why(data: "SnapshotData") -> list[Component]:
    try:
        return _past_churn(data)
    except RegularsError as error:  # the other predictions stand
        return [states.problem(error, compact=True)]


def _past_churn(data: "SnapshotData") -> list[Component]:
    """Return P(no order) of earlier snapshots whose horizon has passed, in all and in the outermost tenths."""
    answer = data.beside("churn_tracking")
    by_run: dict[str, dict[int, Mapping[str, Any]]] = {}
    for row in answer.records:
        by_run.setdefault(row["run_id"], {})[row["decile"]] = row
    totals = [tenths[0] for tenths in by_run.values() if 0 in tenths]
    if not totals:
        return []
    share = ("No order foretold", "came", "99% interval")
    heads = (
        "Snapshot of",
        "Days ahead",
        "Customers",
        *share,
        "Likeliest to order",
        "Likeliest to stay away",
        "Verdict",
    )
    body = [
        [
            named(formats.day(row["as_of"]), f"run {row['run_id'][:8]}"),
            formats.count(row["horizon_days"]),
            formats.count(row["customers"]),
            formats.share(row["predicted_share"]),
            formats.share(row["actual_share"]),
            f"{formats.share(row['share_low'])} – {formats.share(row['share_high'])}",
            *(_tenth(by_run[row["run_id"]], end) for end in (min, max)),
            f"drift: {row['drift']}" if row["drift"] else "as foretold",
        ]
        for row in totals
    ]
    says = _verdict("P(no order) of ", [bool(row["drift"]) for row in totals])
    source = Source.of(
        data,
        answer.sql,
        meaning="Customers without an order in the horizon of each snapshot: foretold, and as it came.",
    )
    title = "P(no order) of earlier snapshots"
    return [model_table(heads, body, title), cards.footer(html.P(says), disclosure(title, source))]


def _verdict(of_what: str, drifted: list[bool]) -> str:
    off, known = sum(drifted), len(drifted)
    if known == 1:
        snapshots = "the only earlier snapshot"
    else:
        snapshots = f"{off} of {known} earlier snapshots" if off else f"all {known} earlier snapshots"
    one = bool(of_what) or known == 1 or off == 1
    if not off:
        said = f"{of_what}{snapshots} came true within {'its interval' if one else 'their intervals'} or 10%."
    elif one:
        said = f"{of_what}{snapshots} lies outside its interval and is off by more than 10%."
    else:
        said = f"{of_what}{snapshots} lie outside their intervals and are off by more than 10%."
    return said[0].upper() + said[1:]


def _tenth(tenths: Mapping[int, Mapping[str, Any]], end: Callable[[Iterable[int]], int]) -> str:
    known = [tenth for tenth in tenths if tenth]
    if not known:
        return formats.MISSING
    row = tenths[end(known)]
    return f"{formats.share(row['predicted_share'])}, came {formats.share(row['actual_share'])}"
