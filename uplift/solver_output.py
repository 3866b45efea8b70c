"""HiGHS writes a line of its own to standard output, past Python; what a command prints there is for machines."""

import ctypes
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_NOISE = b"HighsMipSolverData::"
_LOCK = Lock()


@contextmanager
def without_solver_output() -> Iterator[None]:
    """Keep HiGHS's lines off standard output while the block runs; whatever else was written there follows after it.

    One thread at a time: the file descriptor is the process's.

    Examples
    --------
    >>> with without_solver_output():
    ...     total = 1 + 1
    >>> total
    2
    """
    with _LOCK:
        try:
            kept = os.dup(1)
        except OSError:  # a process without standard output has nothing to keep clean
            yield
            return
        with tempfile.TemporaryFile() as caught:
            _flush()
            os.dup2(caught.fileno(), 1)
            try:
                yield
            finally:
                _flush()
                os.dup2(kept, 1)
                os.close(kept)
                caught.seek(0)
                rest = b"".join(line for line in caught if not line.startswith(_NOISE))
                if rest:
                    os.write(1, rest)


def _flush() -> None:
    if sys.stdout is not None:
        sys.stdout.flush()
    if os.name == "posix":
        # C keeps a buffer of its own, which would be written after the descriptor was put back
        ctypes.CDLL(None).fflush(None)
