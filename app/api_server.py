"""Serving the read API alone, in a process of its own: no page of the web app can hold it up."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flask import Flask

from ..sql.errors import SettingsError, WarehouseError
from .api import create_api
from .security import is_loopback
from .serving import listen_on, serve_until_told, serving
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
    says = f"the read API is at http://{host}:{port}/api/v1"
    serve_until_told(lambda: _listen(api, host, port), host, port, says, close=lambda: None)


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
    with serving(_listen(api, "127.0.0.1", 0), "regulars-api", close=lambda: None) as address:
        yield address


def _listen(api: Flask, host: str, port: int) -> Any:
    most = api.config["MAX_CONTENT_LENGTH"]
    return listen_on(
        api, host, port, threads=THREADS, connection_limit=1_000, channel_timeout=60, max_request_body_size=most
    )
