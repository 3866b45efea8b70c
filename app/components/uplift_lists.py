"""Lists of a campaign: what came of writing one, and what past ones brought."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dash import html
from dash.development.base_component import Component

from ...sql.errors import AlreadyDecided, ContractError, SettingsError, SourceError, StaleSnapshotError
from ...uplift.allocate import AllocationError
from .. import formats
from . import states
from .aria import aria
from .icons import icon

if TYPE_CHECKING:
    from datetime import date

    from ..campaign_planner import Planned, Planner
    from ..campaign_readout import CampaignReadOut
    from ..list_files import StandingList
    from ..snapshot_data import SnapshotData
    from ..targeting import TargetResult

_OUTCOMES = {
    "written": "The list is written",
    "unchanged": "The list stood already, with the same bytes",
    "nobody": "Nobody is left to mail: nothing was written",
    "dry run": "Tried, and nothing written",
}
_TITLES: tuple[tuple[type[Exception], str], ...] = (
    (AlreadyDecided, "Another list stands for that day"),
    (StaleSnapshotError, "These scores cannot make a list"),
    (AllocationError, "The limits cannot be met"),
    (SettingsError, "The settings stand in the way"),
    (SourceError, "An input cannot be read"),
    (ContractError, "An input cannot be used"),
)


def trouble(error: Exception) -> Component:
    """Return the state for what stands in the way of a list; it names the next step."""
    for kind, title in _TITLES:
        if isinstance(error, kind):
            text = str(error)
            commands = ("regulars build",) if kind is StaleSnapshotError else ()
            said = text[:1].upper() + text[1:]
            if kind is AlreadyDecided:
                said = f"{said.replace('--replace', 'the box ticked that replaces it')}."
            return states.state(title, said, commands=commands, symbol="alert", compact=True)
    return states.problem(error, compact=True)


def came_of(result: "TargetResult", command: str, currency: str) -> Component:
    """Return what came of trying or writing a list, its first lines, and the way to its files."""
    said = result.target_list.summary
    path = result.path
    parts = [
        ("Mailed", formats.count(said["mailed"])),
        ("Spend", formats.money(said["spend"], currency)),
        ("Profit by the scores", formats.money(said["planned_profit"], currency)),
        ("Held out", formats.count(said["held_out"])),
        ("Left alone", formats.count(said["suppressed"])),
        ("Run", result.target_list.run_id),
    ]
    return html.Div(
        [
            html.P(
                [icon("check" if said["mailed"] else "alert", 18), html.Span(_OUTCOMES[result.outcome])],
                className="came-title",
            ),
            html.Dl([html.Div([html.Dt(name), html.Dd(text)]) for name, text in parts], className="came-facts"),
            html.Div(downloads(path.name), className="came-files") if path is not None else None,
            _first_lines(result, currency) if said["mailed"] else None,
            *(html.P(f"Note: {note}.", className="card-subtitle") for note in said["notes"]),
            html.P(["The same by hand: ", html.Code(command)], className="came-command"),
        ],
        className="came",
    )


def working(dry_run: bool) -> Component:
    """Return what stands there while a list is made."""
    doing = "Trying the list" if dry_run else "Writing the list"
    return html.P(f"{doing}: every decision is made and logged first …", className="came-title")


def downloads(name: str) -> list[Component]:
    """Return the links to a list's files."""
    stem = name.rpartition(".")[0]
    return [
        html.A([icon("download", 15), ending], href=f"/lists/{stem}.{ending.lower()}", download="", className="button")
        for ending in ("CSV", "Parquet")
        if ending == "CSV" or name.endswith(".parquet")
    ]


def lists_table(
    lists: Sequence["StandingList"],
    found: Mapping[str, "CampaignReadOut | str"],
    as_of: "date",
    currency: str,
) -> Component:
    """Return the standing lists; ``found`` is the read-out by run id, or why there is none."""
    head = ("Sent", "Mailed", "Spend", "Planned", "Brought, 95% interval", "Files")
    body = []
    for each in lists:
        said, read = each.summary, found.get(each.run_id)
        brought: str | Component
        if read is None:
            brought = f"window ends {formats.day(each.window_ends)}" if each.window_ends > as_of else "not read out yet"
        elif isinstance(read, str):
            brought = read
        else:
            realised = read.found.realised
            ends = " to ".join(formats.money(end, currency) for end in (realised.lower, realised.upper))
            doubt = [str(finding) for finding in read.found.findings if finding.blocking]
            brought = html.Span(
                [
                    html.Strong(formats.money(realised.value, currency)),
                    html.Span(f" {ends}", className="table-note"),
                    *(html.Span(text, className="table-note") for text in doubt),
                ]
            )
        mailed = said.get("mailed")
        body.append(
            html.Tr(
                [
                    html.Th(
                        [formats.day(each.on), html.Span(f"run {each.run_id[:8]}", className="table-note")], scope="row"
                    ),
                    html.Td(formats.count(mailed), className="num"),
                    html.Td(formats.money(said.get("spend"), currency), className="num"),
                    html.Td(formats.money(said.get("planned_profit"), currency), className="num"),
                    html.Td(brought),
                    html.Td(html.Div(downloads(each.file), className="came-files") if each.file else "elsewhere"),
                ]
            )
        )
    return html.Div(
        html.Table(
            [
                html.Thead(
                    html.Tr(
                        [
                            html.Th(text, scope="col", className="num" if 0 < i < 4 else None)
                            for i, text in enumerate(head)
                        ]
                    )
                ),
                html.Tbody(body),
            ],
            className="table lists",
        ),
        className="table-scroll",
        tabIndex=0,
        role="region",
        **aria(label="Past lists"),
    )


def _first_lines(result: "TargetResult", currency: str, most: int = 5) -> Component:
    rows: list[dict[str, Any]] = result.target_list.lines.slice(0, most).to_pylist()
    head = ("Customer", "Offer", "Expected profit", "Why")
    return html.Div(
        html.Table(
            [
                html.Thead(
                    html.Tr(
                        [html.Th(text, scope="col", className="num" if i == 2 else None) for i, text in enumerate(head)]
                    )
                ),
                html.Tbody(
                    [
                        html.Tr(
                            [
                                html.Th(row["customer_id"][:80], scope="row"),
                                html.Td(row["arm"]),
                                html.Td(formats.money(row["expected_profit"], currency), className="num"),
                                html.Td(row["reason"]),
                            ]
                        )
                        for row in rows
                    ]
                ),
            ],
            className="table first-lines",
        ),
        className="table-scroll",
        tabIndex=0,
        role="region",
        **aria(label="First lines of the list"),
    )


def last_beside(data: "SnapshotData", planned: "Planned", planner: "Planner") -> Mapping[str, Any] | None:
    """Return the last list's summary with who stays, comes and goes by the plan; None where no list stands."""
    import numpy as np
    import pyarrow.compute as pc

    from ..campaign_planning import compared
    from ..list_files import decided, standing_lists

    lists = [each for each in standing_lists(data.warehouse.path, planned.asked.campaign) if each.summary]
    if not lists or planner.settings() is None:
        return None
    rows = decided(lists[0].log)
    arms = planned.candidates.arms
    masks = {}
    for arm in set(rows["arm"].unique().to_pylist()):
        mine = rows.filter(pc.equal(rows["arm"], arm))["customer_id"]  # pyright: ignore[reportAttributeAccessIssue]
        inside = pc.is_in(planned.candidates.customer_ids, value_set=mine)  # pyright: ignore[reportAttributeAccessIssue]
        masks[arm] = np.asarray(inside, dtype=np.bool_)
    return {**lists[0].summary, "on": formats.day(lists[0].on), **compared(planned.plan, masks, arms)}
