"""Serving with waitress: until it is interrupted or told to end, or in the background while a block runs."""

import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask

from ..sql.errors import SettingsError


def end_when_told() -> None:
    """Let SIGTERM end the process in order, with exit code 0 and nothing left behind; in the main thread alone."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))


def serve_until_told(listen: Callable[[], Any], host: str, port: int, says: str, close: Callable[[], None]) -> None:
    """Serve until Ctrl+C or SIGTERM; ``says`` goes to stderr first, ``close`` is called at the end whatever happens.

    Parameters
    ----------
    listen : callable
        Gives the waitress server, as `listen_on` does.

    Raises
    ------
    SettingsError
        The port cannot be used.
    """
    try:
        server = listen()
    except OSError as error:
        close()
        raise SettingsError(
            f"port {port} of {host} cannot be used: {error.strerror}; "
            f"stop what uses it, or choose another: --port {port + 1}"
        ) from error
    end_when_told()
    sys.stderr.write(f"{says} until you press Ctrl+C\n")
    try:
        server.run()
    finally:
        server.close()
        close()
        # what was still being answered ends with what it read from; no thread may be at work when the interpreter goes
        server.task_dispatcher.shutdown(timeout=2)


@contextmanager
def serving(server: Any, name: str, close: Callable[[], None]) -> Iterator[str]:
    """Run a waitress server in a thread of that name while the block runs; gives its address."""
    from waitress import wasyncore

    loop = threading.Thread(target=server.run, name=name, daemon=True)
    loop.start()
    try:
        yield f"http://127.0.0.1:{server.effective_port}"
    finally:
        # the workers first, then the sockets, and those in the thread that waits on them
        server.task_dispatcher.shutdown()
        server.trigger.pull_trigger(lambda: wasyncore.close_all(server._map, ignore_all=True))
        loop.join(timeout=5)
        close()


def listen_on(server: Flask, host: str, port: int, **options: Any) -> Any:
    """Return a waitress server that listens; ``options`` are its adjustments.

    Raises
    ------
    OSError
        The port cannot be used.
    """
    from waitress.server import create_server

    # a page asks for its cards at once: that they wait a moment in line is no news
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, port), family=family, backlog=1024)
    return create_server(server, sockets=[listening], ident=None, **options)
