"""Models answers what produced the numbers, and whether earlier ones came true."""

import math
from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import dash_mantine_components as dmc
from dash import Dash, Input, Output, State, html
from dash.development.base_component import Component

from ...sql.errors import RegularsError
from .. import access, formats, theme
from ..components import card as cards
from ..components import deciles, model_versions, states
from ..components.aria import aria
from ..components.clicks import is_click
from ..components.figure import figure
from ..components.model_table import model_table, named
from ..components.past_predictions import past_predictions
from ..components.provenance import Source, disclosure
from ..components.tracking import model_name
from ..components.url_state import UrlField, keep_in_url, url_store
from ..runs import compare_runs, describe_runs
from . import Page

if TYPE_CHECKING:
    from ..data import AppData
    from ..snapshot_data import SnapshotData

_HEIGHT = 320
_MOST_DIFFERENCES = 200
_LONGEST_TEXT = 160
_MEANINGS = {
    "RMSE": "Root mean squared error of purchase days a customer: less is better",
    "MAE": "Mean absolute error: less is better",
    "Total": "Total foretold against what came",
    "Top tenth": "Share of what came that the tenth foretold to buy most brought: more is better",
    "Log-likelihood": "Of the fit to the time before",
}

FIELDS = (
    UrlField("models", "models-shown", "list", default=[]),
    UrlField("table", "models-table", "choice", default=""),
    UrlField("first", "models-first", "choice", default=""),
    UrlField("second", "models-second", "choice", default=""),
)


def layout(data: "SnapshotData", search: str) -> Component:  # noqa: ARG001 - controls take the URL's state when they appear
    """Return the page with a skeleton for every number."""
    ranked = _ranked(data)
    runs = _run_choices(data)
    tables = sorted(data.snapshot.tables())
    return html.Div(
        [
            url_store("models", FIELDS, {"models": ranked[:1], "table": _first_table(tables)} | _compared(runs)),
            html.Div(
                [
                    cards.card(
                        "Which model predicts best?",
                        "models-league",
                        subtitle="Fitted to the time before, judged on what came after, naive baselines beside it",
                        height=300,
                        class_name="span-7",
                    ),
                    cards.card(
                        "Where is it off?",
                        "models-deciles",
                        subtitle="Foretold and counted, by tenths of customers",
                        height=_HEIGHT + 40,
                        controls=_model_chips(ranked),
                        class_name="span-5",
                    ),
                    cards.card(
                        "Did earlier snapshots come true?",
                        "models-past",
                        subtitle="What they foretold against what has come since",
                        height=120,
                        class_name="span-12",
                    ),
                    cards.card(
                        "Fitted models",
                        "models-fitted",
                        subtitle="Parameters with standard errors and 95% intervals",
                        height=220,
                        class_name="span-6",
                    ),
                    cards.card(
                        "What the build wants you to know",
                        "models-notes",
                        subtitle="All its notes, by part",
                        height=220,
                        class_name="span-6",
                    ),
                    cards.card(
                        "Lineage",
                        "models-lineage",
                        subtitle="What each table is made from, and by which SQL",
                        height=240,
                        controls=dmc.Select(
                            id="models-table",
                            data=tables,
                            value=_first_table(tables),
                            searchable=True,
                            allowDeselect=False,
                            size="xs",
                            w=220,
                            **aria(label="Table"),
                        ),
                        class_name="span-7",
                    ),
                    cards.card(
                        "Made from",
                        "models-manifest",
                        subtitle="Inputs, settings and versions: the same ones give the same bytes",
                        height=240,
                        class_name="span-5",
                    ),
                    cards.card(
                        "Runs",
                        "models-runs",
                        subtitle="Every snapshot that is kept; an admin may go back to one",
                        height=120,
                        class_name="span-12",
                    ),
                    cards.card(
                        "What differs between two runs?",
                        "models-compare",
                        height=120,
                        controls=html.Div(
                            [_run_select("first", runs), _run_select("second", runs)], className="controls"
                        ),
                        class_name="span-12",
                    ),
                ],
                className="cards",
            ),
            _rollback(runs),
        ]
    )


def _model_chips(ranked: list[str]) -> Component:
    chips = [dmc.Chip(model_name(model), value=model, size="xs", variant="outline") for model in ranked]
    return html.Fieldset(
        [
            html.Legend("Models", className="unseen"),
            dmc.ChipGroup(chips, id="models-shown", multiple=True, value=ranked[:1]),
        ],
        className="chips",
    )


def _run_select(which: str, runs: list[dict[str, str]]) -> Component:
    return dmc.Select(
        id=f"models-{which}",
        data=runs,  # pyright: ignore[reportArgumentType]
        value=_compared(runs)[which],
        allowDeselect=False,
        size="xs",
        w=230,
        **aria(label=f"{which.capitalize()} run"),
    )


def _rollback(runs: list[dict[str, str]]) -> Component:
    return html.Section(
        [
            html.H2("Go back to an earlier run", id="rollback-heading"),
            html.P(
                "Everybody sees that run until the next build publishes its own. Its files are compared with its "
                "manifest first.",
                className="card-subtitle",
            ),
            html.Div(
                [
                    dmc.Select(
                        id="rollback-run",
                        data=runs,  # pyright: ignore[reportArgumentType]
                        value=runs[0]["value"] if runs else None,
                        allowDeselect=False,
                        size="sm",
                        w=230,
                        **aria(label="Run to go back to"),
                    ),
                    dmc.Checkbox(id="rollback-sure", label="Yes, for everybody", checked=False, size="sm"),
                    html.Button("Go back", id="rollback-go", type="button", className="button"),
                ],
                className="controls rollback",
            ),
            html.Div(id="rollback-said", role="status"),
        ],
        className="card rollback-card",
        **aria(labelledby="rollback-heading"),
    )


def register(app: Dash, data: "AppData") -> None:
    """Add the page's callbacks."""
    keep_in_url(app, "models", FIELDS)

    for name, part in (
        ("league", _league),
        ("past", past_predictions),
        ("fitted", _fitted),
        ("notes", _notes),
        ("manifest", _manifest),
        ("runs", _runs),
    ):
        _fill(app, data, name, part)

    @app.callback(
        Output("models-deciles", "children"),
        Input("run", "data"),
        Input("models-shown", "value"),
        Input("scheme", "data"),
    )
    @states.guarded
    @states.kept
    def by_tenths(run: str, shown: Any, scheme: Any) -> list[Component] | Component:
        return _deciles(data.snapshot(run), shown, theme.scheme(scheme))

    @app.callback(Output("models-lineage", "children"), Input("run", "data"), Input("models-table", "value"))
    @states.guarded
    @states.kept
    def lineage(run: str, table: Any) -> list[Component] | Component:
        return _lineage(data.snapshot(run), table)

    @app.callback(
        Output("models-compare", "children"),
        Input("run", "data"),
        Input("models-first", "value"),
        Input("models-second", "value"),
    )
    @states.guarded
    def compare(run: str, first: Any, second: Any) -> list[Component] | Component:
        return _differences(data.snapshot(run), first, second)

    @app.callback(
        Output("rollback-said", "children"),
        Input("rollback-go", "n_clicks"),
        State("rollback-run", "value"),
        State("rollback-sure", "checked"),
        prevent_initial_call=True,
    )
    @states.guarded
    def go_back(clicks: Any, run: Any, sure: Any) -> Component | None:
        if not is_click(clicks, "rollback-go"):
            return None
        return _go_back(data, run, sure=sure is True)


def _fill(app: Dash, data: "AppData", name: str, part: Any) -> None:
    @app.callback(Output(f"models-{name}", "children"), Input("run", "data"))
    @states.guarded
    def fill(run: str) -> list[Component] | Component:
        return part(data.snapshot(run))


def _go_back(data: "AppData", run: Any, *, sure: bool) -> Component:
    person = access.require("admin")
    if not isinstance(run, str) or not run:
        return html.P("Choose the run to go back to.", className="caution")
    if not sure:
        return html.P("Tick the box first: everybody will see that run.", className="caution")
    house = data.snapshot(run).warehouse
    data.state.audit(person.name, "roll back", run, before=data.current_run())
    gone_back = house.rollback(run)
    return html.P(f"Run {gone_back.run_id}, as of {formats.day(gone_back.as_of)}, is current now. Reload to see it.")


# ---- what the snapshot has ------------------------------------------------------------------------------------------


def _ranked(data: "SnapshotData") -> list[str]:
    try:
        return [row["model"] for row in data.model_reports().records]
    except RegularsError:
        return []


def _run_choices(data: "SnapshotData") -> list[dict[str, str]]:
    try:
        rows = describe_runs(data.warehouse)
    except RegularsError:
        return []
    return [
        {"value": r["run_id"], "label": f"{r['as_of']}, run {r['run_id'][:8]} {r['current']}".strip()}
        for r in rows
        if r["as_of"]
    ]


def _compared(runs: list[dict[str, str]]) -> dict[str, str]:
    names = [run["value"] for run in runs]
    return {"first": names[1] if len(names) > 1 else (names or [""])[0], "second": (names or [""])[0]}


def _first_table(tables: list[str]) -> str:
    return "customer_scores" if "customer_scores" in tables else (tables or [""])[0]


# ---- the parts ------------------------------------------------------------------------------------------------------


def _league(data: "SnapshotData") -> list[Component] | Component:
    answer = data.model_reports()
    if not answer.records:
        return states.state(
            "Nothing was judged",
            "The history is too short to hold any of it out.",
            commands=("regulars build",),
            compact=True,
        )
    heads = ("Model", "RMSE", "MAE", "Total", "Top tenth", "Log-likelihood")
    body = [
        [
            named(row["model"], row["note"] or ("naive baseline" if row["is_baseline"] else "")),
            _digits(row["rmse"], 3),
            _digits(row["mae"], 3),
            _signed(row["total_error"]),
            formats.share(row["top_decile_share"], decimals=1),
            "–" if row["log_likelihood"] is None else _digits(row["log_likelihood"], 1),
        ]
        for row in answer.records
    ]
    count = answer.records[0]["customers"]
    source = Source.of(
        data,
        answer.sql,
        meaning=f"Judged on {formats.count(count)} customers known before.",
        model=model_versions.named_versions(data, [row["model"] for row in answer.records]),
    )
    return [
        model_table(heads, body, "Models and baselines", best=0, meanings=_MEANINGS),
        cards.footer(html.P(data.verdict), disclosure("Models and baselines", source)),
    ]


def _deciles(data: "SnapshotData", shown: Any, scheme: theme.Scheme) -> list[Component] | Component:
    answer = data.table("model_calibration", "model, decile")
    known = [model for model in _ranked(data) if any(row["model"] == model for row in answer.records)]
    if not known:
        return states.state("Nothing was judged", "The history is too short to hold any of it out.", compact=True)
    asked = [one for one in shown if isinstance(one, str)] if isinstance(shown, list) else []
    chosen = [model for model in known if model in asked] or known[:1]
    drawn = deciles.decile_figure(answer.records, chosen, scheme, order=known)
    says = deciles.decile_message(answer.records, chosen[0])
    source = Source.of(
        data,
        answer.sql,
        meaning="Customers in tenths of what was foretold of them.",
        model=model_versions.named_versions(data, chosen),
    )
    return [figure(drawn, says, height=_HEIGHT), cards.footer(html.P(says), disclosure("Tenths", source))]


def _fitted(data: "SnapshotData") -> list[Component] | Component:
    from ...clv.persistence import load_model

    parts: list[Component] = []
    for name in data.snapshot.models():
        facts = data.manifest["models"][name]
        try:
            model = load_model(data.snapshot.whole_model_path(name))
        except RegularsError as error:
            said = str(error).replace(str(data.snapshot.path), f"run {data.run_id}")
            parts.append(html.P(f"{model_name(name)}: {said}", className="caution"))
            continue
        summary: Any = getattr(model, "summary_", None)
        parts.append(html.H3([model_name(name), html.Span(str(facts.get("version", "")), className="table-note")]))
        if summary is None:
            parts.append(html.P("A model without a short list of parameters.", className="question"))
            continue
        body = [
            [str(parameter), *(_significant(row[column]) for column in ("estimate", "standard_error")), _between(row)]
            for parameter, row in summary.iterrows()
        ]
        parts.append(model_table(("", "Estimate", "Std. error", "95% interval"), body, model_name(name)))
        if message := getattr(model, "message_", ""):
            parts.append(html.P(message, className="caution"))
    if not parts:
        return states.state("No fitted models", "This run stored none.", commands=("regulars build",), compact=True)
    return parts


def _between(row: Mapping[str, Any]) -> str:
    ends = [_significant(row[end]) for end in ("lower", "upper")]
    return formats.MISSING if formats.MISSING in ends else f"{ends[0]} – {ends[1]}"


def _notes(data: "SnapshotData") -> Component:
    if not data.notes:
        return html.P("It had nothing to say: every part was answered.", className="question")
    return html.Ul([html.Li(note) for note in data.notes], className="findings notes", tabIndex=0)


def _lineage(data: "SnapshotData", table: Any) -> list[Component] | Component:
    tables = data.manifest.get("tables") or {}
    name = table if isinstance(table, str) and table in tables else _first_table(sorted(tables))
    facts = tables.get(name)
    if not isinstance(facts, Mapping):
        return states.state("No such table", "Choose one of the list.", compact=True)
    made_from = [str(one) for one in facts.get("inputs", ())]
    rows = [
        ("Rows", formats.count(facts.get("rows"))),
        ("Made by", str(facts.get("made_by") or "–")),
        ("From", ", ".join(made_from) or "–"),
        ("Bytes", formats.count(facts.get("bytes"))),
        ("SHA-256", str(facts.get("sha256") or "–")),
    ]
    sql = data.lineage(name)
    return [
        html.Dl([part for term, text in rows for part in (html.Dt(term), html.Dd(text))], className="facts"),
        html.Pre(html.Code(sql or "Made by a model: its code is the package's."), className="sql-text", tabIndex=0,
                 role="region", **aria(label=f"SQL of {name}")),
    ]  # fmt: skip


def _manifest(data: "SnapshotData") -> Component:
    manifest = data.manifest
    code = manifest.get("code") or {}
    inputs = manifest.get("inputs") or {}
    rows: list[tuple[str, str]] = [
        ("Run", data.run_id),
        ("As of", formats.day(data.as_of)),
        ("regulars", str(code.get("regulars") or manifest.get("regulars_version") or "–")),
        ("Seed", str(manifest.get("seed", "–"))),
    ]
    for table, said in sorted(inputs.items()):
        files = said.get("files") or []
        names = ", ".join(str(one.get("name", "")) for one in files[:3]) + (" …" if len(files) > 3 else "")
        size = sum(int(one.get("bytes") or 0) for one in files)
        rows.append((table, f"{names}, {size:,} bytes, as mapped {str(said.get('fingerprint', ''))[:12]}"))
    rows += [(f"{name}", str(version)) for name, version in sorted((code.get("versions") or {}).items())]
    rows += [(name, _short(value)) for name, value in _flat("", manifest.get("settings") or {})]
    listed = html.Dl([part for term, text in rows for part in (html.Dt(term), html.Dd(text))], className="facts")
    return html.Div(listed, className="facts-long", tabIndex=0, role="region", **aria(label="Made from"))


def _flat(name: str, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        return [one for key in sorted(value) for one in _flat(f"{name}.{key}".lstrip("."), value[key])]
    return [(name, value)]


def _runs(data: "SnapshotData") -> Component:
    rows = describe_runs(data.warehouse)
    heads = ("As of", "Run", "Published (UTC)", "Customers", "Model", "regulars")
    body = [
        [
            named(_day_of(row), "current" if row["current"] else ""),
            row["run_id"],
            row["published"] or "–",
            formats.count(row["customers"]),
            model_name(row["model"]) if row["model"] else "–",
            row["regulars"] or "–",
        ]
        for row in rows
    ]
    return model_table(heads, body, "Runs")


def _day_of(row: Mapping[str, Any]) -> str:
    return formats.day(date.fromisoformat(row["as_of"])) if row["as_of"] else "cannot be read"


def _differences(data: "SnapshotData", first: Any, second: Any) -> Component:
    known = {run.run_id: run for run in data.warehouse.runs()}
    names = _compared(_run_choices(data))
    chosen = [
        known.get(asked if isinstance(asked, str) and asked in known else names[which])
        for which, asked in (("first", first), ("second", second))
    ]
    if chosen[0] is None or chosen[1] is None or chosen[0].run_id == chosen[1].run_id:
        return states.state("Nothing to compare", "Choose two different runs.", compact=True)
    rows = compare_runs(chosen[0], chosen[1])
    if not rows:
        return html.P("No difference.", className="question")
    shown = rows[:_MOST_DIFFERENCES]
    body = [[row["what"], _short(row["first"]), _short(row["second"])] for row in shown]
    heads = ("What", *(f"Run {run.run_id[:8]}" for run in chosen if run))
    more = f"The first {len(shown)} of {len(rows):,} differences." if len(rows) > len(shown) else ""
    return html.Div(
        [html.Div(model_table(heads, body, "Differences"), className="tall"), html.P(more, className="question")]
    )


# ---- how it is written ----------------------------------------------------------------------------------------------


def _digits(value: float | None, digits: int) -> str:
    return formats.MISSING if value is None or not math.isfinite(value) else f"{value:,.{digits}f}".replace("-", "−")


def _signed(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return formats.MISSING
    return f"{100 * value:+.1f}%".replace("-", "−")


def _significant(value: float) -> str:
    return formats.MISSING if value is None or not math.isfinite(value) else f"{value:,.4g}".replace("-", "−")


def _short(value: Any) -> str:
    text = formats.MISSING if value is None else str(value)
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"


def report(data: "SnapshotData", search: str) -> list[tuple[str, Component]]:
    """Return the page's parts with every number in place."""
    said = dict(parse_qsl(search.removeprefix("?")))
    shown, table = said.get("models", "").split(","), said.get("table")
    asked: list[tuple[str, Any]] = [
        ("Which model predicts best?", lambda: _league(data)),
        ("Where is it off?", lambda: _deciles(data, shown, "light")),
        ("Did earlier snapshots come true?", lambda: past_predictions(data)),
        ("Fitted models", lambda: _fitted(data)),
        ("What the build wants you to know", lambda: _notes(data)),
        ("Lineage", lambda: _lineage(data, table)),
        ("Made from", lambda: _manifest(data)),
        ("Runs", lambda: _runs(data)),
        ("What differs between two runs?", lambda: _differences(data, said.get("first"), said.get("second"))),
    ]
    return [(title, html.Div(states.guarded(part)())) for title, part in asked]


PAGE = Page("/models", "Models", "model", "What produced this?", layout, register, report)
