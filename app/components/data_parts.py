"""The parts of the data page: the verdict, money by where it went, days with their usual band, checks, files, runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import plotly.graph_objects as go
from dash import html
from dash.development.base_component import Component

from ...sql.contract import SET_ASIDE_REASONS
from .. import formats, theme
from ..build_history import BuildRecord
from .aria import aria
from .build_panel import seconds, when
from .icons import icon
from .kpi import label

_STALE_DAYS = 7
_FEW_OUTSIDE = 0.2


@dataclass(frozen=True)
class Verdict:
    """Whether today's data can be trusted: ``level`` is "good", "care" or "bad"; ``reasons`` say why."""

    level: str
    said: str
    reasons: tuple[str, ...]


def verdict(
    checks: Sequence[Mapping[str, Any]],
    money: Sequence[Mapping[str, Any]],
    freshness: Mapping[str, Any],
    today: date,
    last_build: BuildRecord | None,
) -> Verdict:
    """Judge: money that does not add up or a blocking finding is bad; warnings, old data, a failed build call for care.

    Examples
    --------
    >>> row = {"disposition": "in", "reason": "", "lines": 1, "revenue": Decimal("5.00")}
    >>> fresh = {"last_day": date(2024, 1, 1)}
    >>> verdict([], [row, {**row, "disposition": "used"}], fresh, date(2024, 1, 2), None).level
    'good'
    """
    bad, care = [], []
    gap = unaccounted(money)
    if gap:
        bad.append(f"{len(gap)} sums of money do not add up")
    failed = [row for row in checks if not row["passed"]]
    blocking = sum(row["severity"] == "blocking" for row in failed)
    warnings = sum(row["severity"] == "warning" for row in failed)
    if blocking:
        bad.append(f"{_counted(blocking, 'check')} that would stop a build found something")
    if warnings:
        care.append(f"{_counted(warnings, 'check')} warn{'s' if warnings == 1 else ''}")
    last = freshness.get("last_day")
    if last is not None and (today - last).days > _STALE_DAYS:
        care.append(f"the last line is {formats.days((today - last).days)} old")
    if last_build is not None and last_build.outcome in {"failed", "killed"}:
        care.append("the last build failed, and this is the snapshot before it")
    shares = _set_aside_share(money)
    if shares > _FEW_OUTSIDE:
        care.append(f"{formats.share(shares)} of all lines are set aside")
    if bad:
        return Verdict("bad", "No, not before this is mended", tuple(bad + care))
    if care:
        return Verdict("care", "Yes, with care", tuple(care))
    return Verdict("good", "Yes", ("the money adds up to the cent, no check warns, and the data are fresh",))


def verdict_line(found: Verdict) -> Component:
    """Return the verdict as the page's first line."""
    reasons = "; ".join(found.reasons)
    return html.Div(
        [
            icon("check" if found.level == "good" else "alert", 26),
            html.Div(
                [
                    html.P(found.said, className="data-verdict-said"),
                    html.P(reasons[:1].upper() + reasons[1:] + ".", className="data-verdict-why"),
                ]
            ),
        ],
        className=f"data-verdict data-verdict-{found.level}",
        role="status",
    )


def unaccounted(money: Sequence[Mapping[str, Any]]) -> dict[str, Decimal]:
    """Return by currency what is neither used nor set aside, where that is not nothing.

    Examples
    --------
    >>> rows = [("in", "9.00"), ("used", "7.00"), ("set_aside", "1.99")]
    >>> unaccounted([{"disposition": d, "currency": "EUR", "revenue": Decimal(m)} for d, m in rows])
    {'EUR': Decimal('0.01')}
    """
    left: dict[str, Decimal] = {}
    for row in money:
        sign = 1 if row["disposition"] == "in" else -1
        currency = str(row.get("currency") or "")
        left[currency] = left.get(currency, Decimal(0)) + sign * (row["revenue"] or Decimal(0))
    return {currency: gap for currency, gap in left.items() if gap}


def money_table(rows: Sequence[Mapping[str, Any]], currency: str) -> Component:
    """Return in = used + set aside by reason, to the cent, each sum with its bar and the way to its lines."""
    body: list[Component] = []
    several = len({row["currency"] for row in rows}) > 1
    order = {"in": 0, "used": 1, "set_aside": 2}
    most = max((abs(row["revenue_reporting"] or Decimal(0)) for row in rows), default=Decimal(1)) or Decimal(1)
    for row in sorted(rows, key=lambda r: (str(r["currency"]), order[r["disposition"]], -(r["lines"] or 0))):
        body.append(_money_row(row, currency, most, several=several))
    gaps = unaccounted(rows)
    said = (
        "; ".join(formats.cents(gap, code) for code, gap in gaps.items())
        if gaps
        else formats.cents(Decimal(0), currency)
    )
    body.append(
        html.Tr(
            [
                html.Th(
                    ["Unaccounted for", html.Span("in less used less set aside", className="table-note")], scope="row"
                ),
                html.Td(""),
                html.Td(said, className="num strong"),
                html.Td(""),
            ],
            className="money-rest money-wrong" if gaps else "money-rest",
        )
    )
    heads = [("Where it went", None), ("Lines", "num"), ("Money", "num"), ("", None)]
    return html.Div(
        html.Table(
            [
                html.Thead(html.Tr([html.Th(text, scope="col", className=side) for text, side in heads])),
                html.Tbody(body),
            ],
            className="table data-table",
        ),
        className="table-scroll",
        tabIndex=0,
        role="region",
        **aria(label="Money by where it went"),
    )


def _money_row(row: Mapping[str, Any], currency: str, most: Decimal, *, several: bool) -> Component:
    kind, reason = row["disposition"], str(row["reason"])
    name: Any = {"in": "In", "used": "Used"}.get(kind) or html.A(
        f"Set aside: {label(reason).lower()}", href=f"/data?reason={reason}#rejected", className="table-link"
    )
    note = {"in": "all that the files hold", "used": "what figures and models are made of"}.get(kind)
    note = note or SET_ASIDE_REASONS.get(reason, "")
    share = float(abs(row["revenue_reporting"] or Decimal(0)) / most)
    amounts = [html.Div(formats.cents(row["revenue"], str(row["currency"])))]
    if several and row["currency"] != currency:
        amounts.append(html.Div(formats.cents(row["revenue_reporting"], currency), className="table-note"))
    bar = html.Span(html.Span(style={"width": f"{100 * share:.2f}%"}), className="bar")
    return html.Tr(
        [
            html.Th([name, html.Span(note, className="table-note")], scope="row"),
            html.Td(formats.count(row["lines"]), className="num"),
            html.Td(amounts, className="num strong" if kind != "set_aside" else "num"),
            html.Td(bar, className="bar-cell"),
        ]
    )


def outside_band(rows: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Return the days with fewer orders than usual for their weekday, none at all among them, and those with more."""
    judged = [row for row in rows if row["usual_low"] is not None]
    few = [row for row in judged if row["orders"] < row["usual_low"] - _slack(row)]
    many = [row for row in judged if row["orders"] > row["usual_high"] + _slack(row)]
    return few, many


def _slack(row: Mapping[str, Any]) -> float:
    # counts scatter by their square root whatever the twelve days before happened to be
    return 2.0 * max(float(row["usual"]), 1.0) ** 0.5


def days_message(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say in a sentence which days stand out."""
    few, many = outside_band(rows)
    if not rows:
        return "There are no days to show."
    if not few and not many:
        return f"All of the last {len(rows)} days are within what is usual for their weekday."
    parts = []
    if few:
        last = few[-1]
        parts.append(
            f"{len(few)} had fewer orders than usual for their weekday, the last one {formats.day(last['day'])} "
            f"({last['orders']:,} against {last['usual']:,.0f})"
        )
    if many:
        last = many[-1]
        parts.append(f"{len(many)} had more, the last one {formats.day(last['day'])} ({last['orders']:,})")
    return f"Of the last {len(rows)} days " + "; ".join(parts) + "."


def days_figure(rows: Sequence[Mapping[str, Any]], scheme: theme.Scheme) -> go.Figure:
    """Return orders by day over the usual band of the weekday, days that stand out marked."""
    colours = theme.PALETTES[scheme]
    few, many = outside_band(rows)
    days = [row["day"] for row in rows]
    figure = go.Figure()
    hidden = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
    figure.add_trace(go.Scatter(x=days, y=[row["usual_high"] for row in rows], showlegend=False, **hidden))
    figure.add_trace(
        go.Scatter(
            x=days, y=[row["usual_low"] for row in rows], fill="tonexty", fillcolor=colours.band,
            name="Usual for the weekday", **hidden,
        )
    )  # fmt: skip
    figure.add_trace(
        go.Scatter(
            x=days, y=[row["orders"] for row in rows], name="Orders", mode="lines",
            line={"color": colours.accent, "width": 1.75}, hovertemplate="%{y:,.0f} orders",
        )
    )  # fmt: skip
    for marked, name, symbol in ((few, "Fewer than usual", "triangle-down"), (many, "More than usual", "triangle-up")):
        if marked:
            figure.add_trace(
                go.Scatter(
                    x=[row["day"] for row in marked], y=[row["orders"] for row in marked], name=name, mode="markers",
                    marker={"color": colours.models[1], "size": 9, "symbol": symbol}, hoverinfo="skip",
                )
            )  # fmt: skip
    figure.update_layout(
        template=theme.template(scheme),
        hovermode="x unified",
        yaxis={"title": {"text": "Orders a day"}, "rangemode": "tozero", "tickformat": ",.0f"},
        xaxis={"hoverformat": "%a %-d %b %Y"},
    )
    return figure


def freshness_facts(row: Mapping[str, Any], as_of: date, today: date) -> Component:
    """Return how old the data are and what is missing between."""
    last, latest = row["last_day"], row["latest_line"]
    age = (today - last).days if last else None
    later = (
        f"{formats.days((latest - as_of).days)} after the as-of date: set aside" if latest and latest > as_of else ""
    )
    gap = row["longest_gap"] or 0
    facts = [
        ("Last day with a line", formats.day(last), "today" if age == 0 else f"{formats.days(age)} ago"),
        (
            "As of",
            formats.day(as_of),
            later or ("the last day with a line" if last == as_of else "set in the settings"),
        ),
        ("First day", formats.day(row["first_day"]), f"{formats.count(row['days_with_lines'])} days with lines since"),
        (
            "Days without a line",
            formats.count(row["days_without_lines"]),
            f"longest {formats.days(gap)}, before {formats.day(row['longest_gap_before'])}" if gap else "none between",
        ),
    ]
    return html.Dl(
        [html.Div([html.Dt(name), html.Dd([html.Strong(said), html.Span(note)])]) for name, said, note in facts],
        className="totals data-facts",
    )


def files_table(inputs: Mapping[str, Any], rows: Mapping[str, int]) -> Component:
    """Return the files that the snapshot was made from, with what tells each from any other."""
    body = []
    for table, said in sorted(inputs.items()):
        files = said.get("files", ()) if isinstance(said, Mapping) else ()
        for place, file in enumerate(files):
            digest = str(file.get("sha256", ""))
            body.append(
                html.Tr(
                    [
                        html.Th(str(file.get("name", "")), scope="row"),
                        html.Td(label(table) if place == 0 else ""),
                        html.Td(formats.count(rows.get(table)) if place == 0 else "", className="num"),
                        html.Td(_bytes(file.get("bytes")), className="num"),
                        html.Td(html.Code(digest[:12], title=digest)),
                    ]
                )
            )
    heads = [("File", None), ("Feeds", None), ("Lines", "num"), ("Size", "num"), ("SHA-256", None)]
    return _table("Input files", heads, body)


def builds_table(builds: Sequence[BuildRecord]) -> Component:
    """Return the builds that ended, the last one first, each with its run and the reason where it failed."""
    body = [
        html.Tr(
            [
                html.Th(when(build.ended_at), scope="row"),
                html.Td(html.Span(build.outcome, className=f"severity severity-{_severity(build)}")),
                html.Td(html.Code(build.run_id or "–")),
                html.Td(seconds(build), className="num"),
                html.Td(build.by or "command line"),
                html.Td(build.reason[:600], className="data-reason"),
            ]
        )
        for build in builds
    ]
    heads = [("Ended", None), ("Outcome", None), ("Run", None), ("Took", "num"), ("Started by", None), ("Reason", None)]
    return _table("Builds that ended", heads, body)


def runs_table(runs: Sequence[Mapping[str, Any]]) -> Component:
    """Return the snapshots that stand in the warehouse, the current one marked."""
    body = [
        html.Tr(
            [
                html.Th(html.Code(str(run["run_id"])), scope="row"),
                html.Td("current" if run["current"] else ""),
                html.Td(str(run["as_of"] or "cannot be read")),
                html.Td(str(run["published"])),
                html.Td(formats.count(run["customers"]), className="num"),
                html.Td(str(run["model"])),
            ]
        )
        for run in runs
    ]
    heads = [
        ("Snapshot", None),
        ("", None),
        ("As of", None),
        ("Published, UTC", None),
        ("Customers", "num"),
        ("Model", None),
    ]
    return _table("Snapshots that stand", heads, body)


def _table(said: str, heads: Sequence[tuple[str, str | None]], body: Sequence[Component]) -> Component:
    return html.Div(
        html.Table(
            [
                html.Thead(html.Tr([html.Th(text, scope="col", className=side) for text, side in heads])),
                html.Tbody(list(body)),
            ],
            className="table data-table",
        ),
        className="table-scroll",
        tabIndex=0,
        role="region",
        **aria(label=said),
    )


def _severity(build: BuildRecord) -> str:
    return "warning" if build.outcome in {"failed", "killed"} else "info"


def _set_aside_share(money: Sequence[Mapping[str, Any]]) -> float:
    lines = {
        name: sum(row["lines"] or 0 for row in money if row["disposition"] == name) for name in ("in", "set_aside")
    }
    return lines["set_aside"] / lines["in"] if lines["in"] else 0.0


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _bytes(size: Any) -> str:
    if not isinstance(size, int):
        return formats.MISSING
    return f"{size / 1e6:,.1f} MB" if size >= 100_000 else f"{size / 1e3:,.1f} kB"
