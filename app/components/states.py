"""What a page shows when there is no number to show, and which command helps."""

import logging
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import dash_mantine_components as dmc
from dash import html
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate

from ...sql.errors import RegularsError
from ..access import NotAllowed
from ..data import NoSnapshot
from ..listing import FilterError
from ..snapshot_data import SnapshotGap
from ..state import NotAudited
from .icons import icon

log = logging.getLogger(__name__)

# what is kept of each callback
_MOST_KEPT = 24
_LONGEST_KEY = 2_000

_COMMANDS = {
    "regulars demo": "a snapshot from a public grocery data set, to look around",
    "regulars build": "a snapshot from your own orders, as regulars.toml describes them",
}


def state(
    title: str,
    text: str,
    *,
    commands: tuple[str, ...] = (),
    link: tuple[str, str] | None = None,
    symbol: str = "box",
    compact: bool = False,
) -> Component:
    """Return a message in place of numbers: what is the matter, and the commands or the link that help."""
    lines = [
        html.Li([html.Code(command), html.Span(f" {_COMMANDS[command]}" if command in _COMMANDS else "")])
        for command in commands
    ]
    return html.Div(
        [
            html.Div(icon(symbol, 20 if compact else 26), className="state-icon"),
            html.P(title, className="state-title"),
            html.P(text, className="state-text"),
            html.Ul(lines, className="state-commands") if lines else None,
            html.A(link[0], href=link[1], className="text-link") if link else None,
        ],
        className="state state-compact" if compact else "state",
        role="status",
    )


def problem(error: Exception, *, compact: bool = False) -> Component:
    """Return the state for an error: what it says, and the next step."""
    if isinstance(error, NoSnapshot):
        return state("No snapshot yet", str(error), commands=tuple(_COMMANDS), compact=compact)
    if isinstance(error, SnapshotGap):
        return state(
            "This snapshot was made by another version",
            _sentence(error),
            commands=("regulars build --force",),
            symbol="alert",
            compact=compact,
        )
    if isinstance(error, FilterError):
        return state(
            "This filter does not exist",
            _sentence(error),
            link=("Show all customers", "/customers"),
            symbol="filter",
            compact=compact,
        )
    if isinstance(error, NotAudited):
        log.error("%s", error)
        return state("Not done, for it cannot be put on record", _sentence(error), symbol="alert", compact=compact)
    if isinstance(error, NotAllowed):
        return state("Not allowed", _sentence(error), symbol="alert", compact=compact)
    if isinstance(error, RegularsError):
        commands = ("regulars runs", "regulars build")
        return state(
            "This snapshot cannot be read", _sentence(error), commands=commands, symbol="alert", compact=compact
        )
    reference = uuid.uuid4().hex[:8]
    log.error("failed, reference %s", reference, exc_info=error)
    text = f"It failed on the server. The log says why, under reference {reference}."
    return state("This could not be shown", text, symbol="alert", compact=compact)


def not_enough_data(why: str, *, compact: bool = False) -> Component:
    """Return the state that stands for a number which too little data would make.

    ``why`` names what is there and what is needed, such as ``312 of 500 customers``.
    """
    return state(f"Not enough data ({why})", "Predictions from so little would mislead.", compact=compact)


def guarded(view: Callable[..., Any]) -> Callable[..., Any]:
    """Make a callback show its error in its own place instead of failing the request."""

    @wraps(view)
    def shown(*args: Any) -> Any:
        try:
            return view(*args)
        except PreventUpdate:
            raise
        except Exception as error:  # noqa: BLE001 - the place of the answer shows it, the log keeps it
            return problem(error, compact=True)

    return shown


def filled(parts: Sequence[tuple[str, Callable[[], Any]]]) -> list[tuple[str, Component]]:
    """Return the parts of a report, each filled; one that cannot be filled says why in its place, the others stand."""
    shown = [(title, guarded(part)()) for title, part in parts]
    return [(title, part if isinstance(part, Component) else html.Div(part)) for title, part in shown]


def kept(view: Callable[..., Any]) -> Callable[..., Any]:
    """Make a callback give its answer again for the same run and inputs: a snapshot never changes, nor what it shows.

    Only for what a run alone decides. The first input is the run's id; without one nothing is kept, nor is an error.
    """
    answers: OrderedDict[str, Any] = OrderedDict()
    lock = threading.Lock()

    @wraps(view)
    def shown(*args: Any) -> Any:
        key = repr(args)
        if not (args and isinstance(args[0], str) and args[0]) or len(key) > _LONGEST_KEY:
            return view(*args)
        with lock:
            if key in answers:
                answers.move_to_end(key)
                return answers[key]
        answer = view(*args)
        with lock:
            answers[key] = answer
            while len(answers) > _MOST_KEPT:
                answers.popitem(last=False)
        return answer

    return shown


def skeleton(height: int) -> Component:
    """Return a grey block of the size of what is being loaded."""
    return dmc.Skeleton(height=height, radius="md", className="skeleton")


def _sentence(error: Exception) -> str:
    text = str(error)
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?")) else ".")
