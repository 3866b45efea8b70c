"""One look for Mantine, Plotly and the grid, light and dark.

Colours of text reach a contrast of 4.5:1 on their ground. Quantities are viridis, models a palette that colour-blind
readers can tell apart (Okabe & Ito 2008, darkened or lightened to the ground); red and green never mean bad and good.
"""

from dataclasses import dataclass
from typing import Any, Literal

import plotly.graph_objects as go

Scheme = Literal["light", "dark"]

FONT = "Inter, system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', sans-serif"
MONOSPACE = "ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace"

_BLUE = [
    "#eef3fb", "#d9e4f5", "#b1c7ea", "#86a8df", "#6b95da", "#4c7dd0", "#3f70c4", "#2f5fb3", "#27549f", "#1a4788",
]  # fmt: skip
_GRAY = [
    "#f6f7f9", "#eef0f3", "#e2e5ea", "#d0d5dc", "#a9b1bc", "#7c8694", "#5a6472", "#434c59", "#2a313b", "#14181f",
]  # fmt: skip
_DARK = [
    "#e6e9ee", "#c6ccd5", "#a3adba", "#76818f", "#3a434f", "#2c343e", "#222931", "#171c22", "#10141a", "#0b0e12",
]  # fmt: skip

MANTINE: dict[str, Any] = {
    "fontFamily": FONT,
    "fontFamilyMonospace": MONOSPACE,
    "primaryColor": "blue",
    "primaryShade": {"light": 7, "dark": 4},
    "autoContrast": True,
    "colors": {"blue": _BLUE, "gray": _GRAY, "dark": _DARK},
    "defaultRadius": "md",
    "black": _GRAY[9],
    "cursorType": "pointer",
    "headings": {"fontFamily": FONT, "fontWeight": "650"},
    "fontSizes": {"xs": "0.75rem", "sm": "0.8125rem", "md": "0.9375rem", "lg": "1.0625rem", "xl": "1.25rem"},
}


@dataclass(frozen=True)
class Palette:
    """The colours of one scheme that figures use."""

    ink: str
    muted: str
    line: str
    surface: str
    accent: str
    band: str
    models: tuple[str, ...]


PALETTES: dict[Scheme, Palette] = {
    "light": Palette(
        ink="#14181f",
        muted="#5a6472",
        line="#e2e5ea",
        surface="#ffffff",
        accent="#2f5fb3",
        band="rgba(47, 95, 179, 0.12)",
        models=("#2f5fb3", "#b3510f", "#00795c", "#9c4a85", "#6b6a00"),
    ),
    "dark": Palette(
        ink="#e6e9ee",
        muted="#a3adba",
        line="#2c343e",
        surface="#171c22",
        accent="#86a8df",
        band="rgba(134, 168, 223, 0.18)",
        models=("#86a8df", "#f0a35e", "#4fc3a1", "#dd9fca", "#d9d060"),
    ),
}


def scheme(value: object) -> Scheme:
    """Return the scheme a client asked for; light for anything that is none.

    Examples
    --------
    >>> scheme("dark"), scheme("<script>"), scheme(None)
    ('dark', 'light', 'light')
    """
    return "dark" if value == "dark" else "light"


def template(name: Scheme) -> go.layout.Template:
    """Return the Plotly template of a scheme.

    Examples
    --------
    >>> template("dark").layout.font.color
    '#e6e9ee'
    """
    colours = PALETTES[name]
    axis = {
        "gridcolor": colours.line,
        "linecolor": colours.line,
        "zeroline": False,
        "ticks": "",
        "tickfont": {"color": colours.muted, "size": 12},
        "title": {"font": {"color": colours.muted, "size": 12}, "standoff": 10},
        "automargin": True,
    }
    return go.layout.Template(
        layout={
            "font": {"family": FONT, "color": colours.ink, "size": 13},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "colorway": list(colours.models),
            "colorscale": {"sequential": "Viridis"},
            "hoverlabel": {
                "bgcolor": colours.surface,
                "bordercolor": colours.line,
                "font": {"family": FONT, "color": colours.ink, "size": 12},
                "align": "left",
            },
            "margin": {"l": 8, "r": 18, "t": 8, "b": 8},
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "font": {"size": 12}},
            "xaxis": {**axis, "showgrid": False, "showline": True},
            "yaxis": axis,
            "separators": ".,",
        }
    )
