"""Where a number comes from: as-of date, run, model version, interval and SQL, one click away from it."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dash_mantine_components as dmc
from dash import html
from dash.development.base_component import Component

from .. import formats
from .aria import aria
from .icons import icon
from .tracking import model_name

if TYPE_CHECKING:
    from datetime import date

    from ..snapshot_data import SnapshotData


@dataclass(frozen=True)
class Source:
    """What every number can say of itself. ``model`` is "" where no model took part."""

    as_of: "date"
    run_id: str
    sql: str
    meaning: str = ""
    model: str = ""
    interval: str = ""

    @classmethod
    def of(cls, data: "SnapshotData", sql: str, **facts: str) -> "Source":
        """Return the source of an answer of that snapshot."""
        return cls(data.as_of, data.run_id, sql, **facts)


def disclosure(title: str, source: Source) -> Component:
    """Return the button that opens all of a number's facts and its SQL."""
    facts = [
        ("As of", formats.day(source.as_of)),
        ("Run", source.run_id),
        ("Model", source.model or "none: counted, not predicted"),
        ("Interval", source.interval or "none"),
    ]
    return dmc.Popover(
        [
            dmc.PopoverTarget(
                html.Button(
                    [icon("code", 14), html.Span("SQL")],
                    className="sql-button",
                    type="button",
                    **aria(label=f"Source and SQL of {title}", haspopup="dialog"),
                )
            ),
            dmc.PopoverDropdown(
                html.Div(
                    [
                        html.P(title, className="source-title"),
                        html.P(source.meaning, className="source-meaning") if source.meaning else None,
                        html.Dl([part for name, fact in facts for part in (html.Dt(name), html.Dd(fact))]),
                        html.Pre(html.Code(source.sql), tabIndex=0, role="region", **aria(label="SQL")),
                    ],
                    role="dialog",
                    **aria(label=f"Source of {title}"),
                ),
                className="source",
            ),
        ],
        width=480,
        position="bottom-end",
        shadow="md",
        withArrow=False,
        trapFocus=True,
        withRoles=False,
        returnFocus=True,
        withinPortal=True,
    )


def model_label(version: str) -> str:
    """Write a model version short: names as the field writes them, the first digits of each fingerprint.

    Examples
    --------
    >>> model_label("pareto_nbd:787b3519ec67 + gamma_gamma:af1905c7b0c1, regulars 0.1.0")
    'Pareto/NBD 787b35 + Gamma-Gamma af1905'
    >>> model_label("something else")
    'something else'
    """
    found = re.findall(r"(\w+):([0-9a-f]{6})[0-9a-f]*", version)
    return " + ".join(f"{model_name(name)} {digits}" for name, digits in found) or version


def stamp(data: "SnapshotData", version: str) -> Component:
    """Return the line at a page's head: as-of date, run and the version of its models, "" where it has none."""
    parts = [
        ("As of", formats.day(data.as_of)),
        ("Run", data.run_id[:8]),
        *([("Model", model_label(version))] if version else []),
    ]
    return html.Dl(
        [html.Div([html.Dt(name), html.Dd(text)]) for name, text in parts],
        className="stamp",
        **aria(label="Source"),
    )
