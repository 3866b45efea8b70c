"""How every figure looks: colours on a light and on a dark ground, and the frame around them."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from .errors import ModelError

if TYPE_CHECKING:
    import plotly.graph_objects as go

Template = Literal["light", "dark"]


@dataclass(frozen=True)
class Theme:
    """Plotly's template, the colour of text and of what stands back, and the colours of series."""

    plotly: str
    ink: str
    muted: str
    # Okabe and Ito (2008): told apart with every kind of colour blindness, and on this ground
    series: tuple[str, ...]


THEMES: Mapping[str, Theme] = MappingProxyType(
    {
        "light": Theme(
            "plotly_white", "#1b1b1b", "#5f5f5f", ("#0072B2", "#D55E00", "#007A5A", "#A8518A", "#8A6D00", "#2F8FC4")
        ),
        "dark": Theme(
            "plotly_dark", "#f2f2f2", "#a8a8a8", ("#56B4E9", "#E69F00", "#33C79F", "#E2A3C9", "#F0E442", "#9CCBEF")
        ),
    }
)
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


def theme_of(template: str) -> Theme:
    """Return the theme of a template.

    Raises
    ------
    ModelError
        Where the template is neither light nor dark.

    Examples
    --------
    >>> theme_of("light").plotly
    'plotly_white'
    """
    if template not in THEMES:
        raise ModelError(f"template is {template!r}; it is one of {', '.join(THEMES)}")
    return THEMES[template]


def finish(figure: "go.Figure", theme: Theme, title: str, x: str, y: str) -> "go.Figure":
    """Give a figure its title, axis titles and the theme's looks.

    Examples
    --------
    >>> import plotly.graph_objects as go
    >>> finish(go.Figure(), theme_of("dark"), "Orders", "Week", "Orders a week").layout.title.text
    'Orders'
    """
    figure.update_layout(
        template=theme.plotly,
        title={"text": title},
        xaxis={"title": {"text": x}},
        yaxis={"title": {"text": y}},
        legend={"orientation": "h", "y": -0.2},
        font={"color": theme.ink},
    )
    return figure
