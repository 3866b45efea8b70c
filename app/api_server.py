"""Serving the read API alone, in a process of its own: no page of the web app can hold it up."""

import gc
import logging
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flask import Flask

from ..sql.errors import SettingsError, WarehouseError
from .api import create_api
from .security import is_loopback
from .tokens import Tokens

THREADS = 4


def serve_api(warehouse: str | Path, host: str = "127.0.0.1", port: int = 8051, *, open_api: bool = False) -> None:
    """Serve the API with waitress until it is interrupted or told to end; it speaks HTTP, TLS is a proxy's.

    Raises
    ------
    SettingsError
        Other machines could ask without a token, or nobody has one; or the port cannot be used.
    """
    if not is_loopback(host):
        if open_api:
            raise SettingsError(
                f"host {host!r} is reachable from other machines, and [app] open_api = true answers without a token; "
                "set it to false, or serve on 127.0.0.1"
            )
        if not any(token.state(datetime.now(UTC)) == "valid" for token in Tokens(Path(warehouse)).all()):
            raise SettingsError(f"host {host!r}: nobody has a token yet; make one: regulars token create NAME")
    api = create_api(warehouse, open_api=open_api)
    # requests take less than a millisecond: none should wait five for a thread that reads the next run
    sys.setswitchinterval(0.0005)
    with suppress(WarehouseError):  # the first request says so; a build may come before it
        api.extensions["regulars"].index()
    gc.freeze()
    try:
        server = _listen(api, host, port)
    except OSError as error:
        raise SettingsError(
            f"port {port} of {host} cannot be used: {error.strerror}; stop what uses it, or choose another: "
            f"--port {port + 1}"
        ) from error
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    sys.stderr.write(f"the read API is at http://{host}:{port}/api/v1 until you press Ctrl+C\n")
    try:
        server.run()
    finally:
        server.close()


@contextmanager
def served_api(api: Flask) -> Iterator[str]:
    """Serve an API in the background on a free port of loopback while the block runs; gives its address.

    Examples
    --------
    >>> from urllib.request import Request, urlopen
    >>> from urllib.error import HTTPError
    >>> with served_api(create_api("no-such-folder")) as address:
    ...     try:
    ...         answer = urlopen(f"{address}/api/v1/snapshot")
    ...     except HTTPError as error:
    ...         print(error.code, error.headers["WWW-Authenticate"])
    401 Bearer realm="regulars"
    """
    from waitress import wasyncore

    server = _listen(api, "127.0.0.1", 0)
    loop = threading.Thread(target=server.run, name="regulars-api", daemon=True)
    loop.start()
    try:
        yield f"http://127.0.0.1:{server.effective_port}"
    finally:
        server.task_dispatcher.shutdown()
        server.trigger.pull_trigger(lambda: wasyncore.close_all(server._map, ignore_all=True))
        loop.join(timeout=5)


def _listen(api: Flask, host: str, port: int) -> Any:
    from waitress.server import create_server

    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, port), family=family, backlog=1024)
    return create_server(
        api,
        sockets=[listening],
        threads=THREADS,
        ident=None,
        connection_limit=1_000,
        channel_timeout=60,
        max_request_body_size=api.config["MAX_CONTENT_LENGTH"],
    )
