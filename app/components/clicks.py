"""What a true click is: the page may claim anything."""

from typing import Any

from dash import ctx

_MOST_CLICKS = 100_000


def is_click(clicks: Any, button: str) -> bool:
    """Say whether a request comes of a click on a button: it counts one, and it is what the request is about.

    A callback that writes asks this first; who may is asked after.
    """
    if isinstance(clicks, bool) or not isinstance(clicks, int) or not 0 < clicks <= _MOST_CLICKS:
        return False
    return ctx.triggered_id == button
