"""Icons, drawn as masks in ``assets/icons.css``: nothing is fetched, and they take the colour of their text."""

from dash import html

from .aria import aria

NAMES = (
    "chart",
    "people",
    "person",
    "sun",
    "moon",
    "code",
    "download",
    "close",
    "check",
    "alert",
    "search",
    "filter",
    "box",
    "arrow",
    "triangle",
    "target",
    "leaving",
    "tag",
    "model",
)


def icon(name: str, size: int = 18) -> html.Span:
    """Return an icon that screen readers pass over.

    Raises
    ------
    KeyError
        Where there is no such icon.
    """
    if name not in NAMES:
        raise KeyError(name)
    return html.Span(className=f"icon icon-{name}", style={"width": size, "height": size}, **aria(hidden="true"))
