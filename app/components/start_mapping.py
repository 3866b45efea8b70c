"""The parts of the start page: one input for each column of the contract, what the mapping makes of the first rows."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import available_timezones

import dash_mantine_components as dmc
from dash import html
from dash.development.base_component import Component

from ...sql.contract import ORDER_LINES
from .. import formats
from ..data_preview import Looked, Preview
from ..guess_mapping import Guess, SampleColumn
from .aria import aria
from .icons import icon
from .kpi import label

COLUMNS: tuple[str, ...] = tuple(ORDER_LINES.column_names)
REQUIRED: tuple[str, ...] = tuple(column.name for column in ORDER_LINES.columns if column.required)
CURRENCIES = (
    "AUD", "BRL", "CAD", "CHF", "CNY", "CZK", "DKK", "EUR", "GBP", "HUF", "INR", "JPY", "MXN", "NOK", "NZD", "PLN",
    "SEK", "TRY", "USD", "ZAR",
)  # fmt: skip
_EXAMPLES = 3
_LONGEST_EXAMPLE = 40


def input_id(column: str) -> str:
    """Return the id of a column's input."""
    return f"start-map-{column}"


def mapping_inputs(seen: Looked, guess: Guess, mapping: Mapping[str, str]) -> Component:
    """Return an input for each column: required ones and those with a guess first, the others behind a fold."""
    first = [name for name in COLUMNS if name in REQUIRED or name in mapping]
    rest = [name for name in COLUMNS if name not in first]
    return html.Div(
        [
            html.Div([_row(name, seen, guess, mapping) for name in first], className="mapping"),
            html.Details(
                [
                    html.Summary(f"{len(rest)} more columns that can be mapped"),
                    html.Div([_row(name, seen, guess, mapping) for name in rest], className="mapping"),
                ],
                className="mapping-more",
            )
            if rest
            else None,
            *[html.P([icon("alert", 15), html.Span(note)], className="caution") for note in guess.notes],
        ]
    )


def shop_inputs(currency: str, timezone: str) -> Component:
    """Return the inputs of the shop's currency and clock."""
    return html.Div(
        [
            dmc.Select(
                id="start-currency",
                label="Currency of the figures",
                description="Lines in another one need exchange rates",
                data=sorted({*CURRENCIES, currency} - {""}),
                value=currency or None,
                placeholder="Choose",
                searchable=True,
                size="sm",
            ),
            dmc.Select(
                id="start-timezone",
                label="Time zone of the shop",
                description="A day is the shop's own calendar day",
                data=sorted(available_timezones()),
                value=timezone,
                searchable=True,
                limit=100,
                size="sm",
            ),
        ],
        className="shop-inputs",
    )


def found_line(seen: Looked) -> Component:
    """Return what was found behind a path."""
    size = f"{seen.bytes / (1 << 20):,.1f} MB" if seen.bytes >= 100_000 else f"{seen.bytes / 1024:,.1f} kB"
    kind = {"csv": "CSV", "parquet": "Parquet"}[seen.format]
    said = f"{seen.files:,} {kind} file{'' if seen.files == 1 else 's'}, {size}, {len(seen.columns)} columns"
    further = []
    if seen.csv.get("encoding"):
        further.append(f"read as {seen.csv['encoding']}")
    if seen.csv.get("names"):
        further.append("without a heading line" if "skip" not in seen.csv else "columns parted by blanks")
    return html.P([icon("check", 16), html.Span(", ".join([said, *further]))], className="mark mark-check start-found")


def preview_table(shown: Preview) -> Component:
    """Return the first rows as the mapping makes them, and what of the sample could not be read."""
    heads = [html.Th(label(name), scope="col", title=ORDER_LINES.column(name).meaning) for name in shown.columns]
    rows = [html.Tr([html.Td(_written(row[name])) for name in shown.columns]) for row in shown.rows]
    remarks = [
        f"{label(name)}: {count:,} of {shown.looked_at:,} values cannot be read and would be set aside"
        for name, count in shown.unreadable.items()
    ]
    for name, count in shown.missing.items():
        if name in REQUIRED and count > shown.unreadable.get(name, 0):
            what = "guests, set aside unless [policy] guests says otherwise" if name == "customer_id" else "set aside"
            remarks.append(f"{label(name)}: {count:,} of {shown.looked_at:,} lines have none ({what})")
    return html.Div(
        [
            html.Div(
                html.Table([html.Thead(html.Tr(heads)), html.Tbody(rows)], className="table preview-table"),
                className="table-scroll",
                tabIndex=0,
                role="region",
                **aria(label="First rows as the mapping reads them"),
            ),
            *[html.P([icon("alert", 15), html.Span(said)], className="caution") for said in remarks],
            html.P(f"The first {shown.looked_at:,} lines were looked at.", className="card-subtitle"),
        ]
    )


def checks_table(rows: Sequence[Mapping[str, Any]]) -> Component:
    """Return what the checks on the input found: the verdict, then each finding with what to do."""
    failed = [row for row in rows if not row["passed"]]
    blocking = [row for row in failed if row["severity"] == "blocking"]
    if blocking:
        verdict, symbol = f"{len(blocking)} of {len(rows)} checks stop the build", "alert"
    elif failed:
        verdict, symbol = f"Nothing stops the build; {len(failed)} of {len(rows)} checks found something", "check"
    else:
        verdict, symbol = f"All {len(rows)} checks passed", "check"
    return html.Div(
        [
            html.P([icon(symbol, 16), html.Span(verdict)], className=f"mark mark-{symbol}"),
            html.Ul([_finding(row) for row in failed], className="findings") if failed else None,
        ]
    )


def _finding(row: Mapping[str, Any]) -> Component:
    example = f", such as {row['example']}" if row.get("example") else ""
    return html.Li(
        [
            html.Span(str(row["severity"]), className=f"severity severity-{row['severity']}"),
            html.Span(
                [
                    html.Strong(f"{label(str(row['check_name']))}: {formats.count(row['found'])}{example}. "),
                    html.Span(str(row["message"])),
                ]
            ),
        ]
    )


def _row(name: str, seen: Looked, guess: Guess, mapping: Mapping[str, str]) -> Component:
    column = ORDER_LINES.column(name)
    guessed = guess.columns.get(name)
    said = mapping.get(name, "")
    why = guessed.why if guessed is not None and guessed.said == said else ""
    return html.Div(
        [
            dmc.Autocomplete(
                id=input_id(name),
                label=label(name),
                description=column.meaning,
                withAsterisk=column.required,
                data=list(dict.fromkeys(one.said for one in seen.columns)),
                value=said,
                placeholder="a column, or SQL such as quantity * unit_price" if column.required else "not mapped",
                debounce=500,
                limit=60,
                size="sm",
                inputProps={"spellCheck": False, "maxLength": 2000},
            ),
            html.P(
                [html.Span(why, className="mapping-why"), html.Span(_examples(said, seen.columns))],
                className="mapping-note",
            ),
        ],
        className="mapping-row",
    )


def _examples(said: str, columns: Sequence[SampleColumn]) -> str:
    found = next((column for column in columns if column.said == said), None)
    if found is None:
        return ""
    some = list(dict.fromkeys(str(value)[:_LONGEST_EXAMPLE] for value in found.there[:200]))[:_EXAMPLES]
    return ", ".join(some)


def _written(value: Any) -> Any:
    if value is None:
        return html.Span("none", className="mapping-why")
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}" if value.time() != datetime.min.time() else f"{value:%Y-%m-%d}"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        text = f"{value.normalize():f}"
        return f"{value:,.2f}" if len(text.partition(".")[2]) == 2 else text
    return str(value)[:80]
