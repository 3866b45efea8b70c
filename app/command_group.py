"""How every command ends: an exit code that a scheduler can trust, an error in one line, one JSON object for a job."""

import json
import os
import signal
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import typer
from typer.core import TyperGroup

from ..sql.errors import (
    AlreadyDecided,
    CheckFailed,
    DoubtfulReadOut,
    ModelError,
    NobodyToMail,
    RegularsError,
    SettingsError,
    SourceError,
    StaleSnapshotError,
    WarehouseError,
)

_NICENESS = 10

# What a scheduler can trust, in the words of the help text.
EXIT_CODES: dict[int, str] = {
    0: "done",
    RegularsError.exit_code: "a statement failed, or something unforeseen (--debug shows the trace)",
    SettingsError.exit_code: "wrong option or regulars.toml, or an optional package is missing",
    SourceError.exit_code: "an input file or column is missing or unreadable",
    CheckFailed.exit_code: "a blocking check found rows; the last good snapshot stays",
    WarehouseError.exit_code: "the warehouse cannot be read or written; the last good snapshot stays",
    ModelError.exit_code: "a model could not be fitted or applied, or a plan's limits cannot be met",
    StaleSnapshotError.exit_code: "the snapshot is too old, of other settings, or has no usable scores",
    NobodyToMail.exit_code: "nobody to mail; no list was written",
    AlreadyDecided.exit_code: "another list of the campaign stands for that day, or other prices stand on record",
    DoubtfulReadOut.exit_code: "a read-out has a blocking finding: its numbers must not be used",
}
EPILOG = "Exit codes: " + "; ".join(f"{code} {meaning}" for code, meaning in EXIT_CODES.items()) + "."


# Whether the command that runs has printed its object: a job reads one on stdout, and not two.
_answered: ContextVar[bool] = ContextVar("_answered", default=False)


class Commands(TyperGroup):
    """Turns every error into one line on stderr and its exit code; with --json into one object on stdout, too."""

    _as_json = False

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        self._as_json = "--json" in args
        _answered.set(False)
        try:
            _refuse_empty(args)
            return super().make_context(info_name, args, parent, **extra)
        except Exception as error:
            self._answer(error)
            raise

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            self._answer(error, 130, "interrupted")
            typer.echo("regulars: interrupted; the last good snapshot stays", err=True)
            raise typer.Exit(130) from error
        except BrokenPipeError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the reader has gone; Python would complain at its last flush
            raise typer.Exit(0) from error
        except (RegularsError, Exception) as error:
            self._answer(error)
            if isinstance(error, typer.Exit | typer.Abort) or hasattr(error, "show"):  # the parser's own
                raise
            _say_error(error, debug=bool(ctx.params.get("debug")))
            raise typer.Exit(getattr(error, "exit_code", 1)) from error

    def _answer(self, error: BaseException, code: int = 1, outcome: str = "failed") -> None:
        """Say on stdout, too, why nothing was done: a job reads one object there whatever happens."""
        if not self._as_json or _answered.get() or isinstance(error, typer.Exit | typer.Abort):
            return
        told = hasattr(error, "exit_code")
        outcome, code = ("refused", int(getattr(error, "exit_code", 1))) if told else (outcome, code)
        said = getattr(error, "format_message", None)  # the parser's own
        print_json({"outcome": outcome, "exit_code": code, "message": _one_line(said() if said else str(error))})


def _refuse_empty(words: list[str]) -> None:
    """Refuse an option without its value: a script's variable that was not set must not mean the default."""
    for before, word in zip(["", *words], words, strict=False):
        option, equals, value = word.partition("=")
        if not word.strip():
            said = f"{before} is empty" if before.startswith("-") else "an argument is empty"
            raise typer.BadParameter(f"{said}; give a value, or leave it out")
        if word.startswith("--") and equals and not value.strip():
            raise typer.BadParameter(f"{option} is empty; give a value, or leave it out")


@contextmanager
def told_to_stop() -> Iterator[None]:
    """Let the system's polite request to end (SIGTERM) be what Ctrl+C is: what was begun is cleared away."""

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def print_json(value: dict[str, Any]) -> None:
    """Print the command's one object on stdout."""
    _answered.set(True)
    typer.echo(json.dumps(value, ensure_ascii=False, default=str))


def _say_error(error: Exception, *, debug: bool) -> None:
    if debug:
        traceback.print_exception(error)
    line = _one_line(str(error))
    if not isinstance(error, RegularsError):
        line = f"unforeseen {type(error).__name__}: {line}; regulars --debug ... shows where, please report it"
    typer.echo(f"regulars: {line}", err=True)


def _one_line(message: str) -> str:
    # the statement behind a failed query stands after a blank line: --debug shows it
    return " ".join(message.partition("\n\n")[0].split())


def give_way() -> None:
    """Let whoever serves on this machine go first: a build is work for what is left of the processors."""
    if hasattr(os, "setpriority"):
        os.setpriority(os.PRIO_PROCESS, 0, max(_NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))
