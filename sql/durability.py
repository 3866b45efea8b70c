"""Writing that survives a crash: files are synced before they are renamed, and one process writes at a time."""

import errno
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from .errors import WarehouseError

_LOCK_POLL_SECONDS = 0.1
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}


def sync_folder(path: Path) -> None:
    """Make the names inside a folder durable.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sync_folder(Path(folder))
    """
    if os.name == "nt":  # Windows keeps names durable itself and cannot open a folder
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(path: Path) -> None:
    """Make every file and folder below ``path`` durable, and ``path`` itself."""
    for entry in sorted(path.rglob("*")):
        if entry.is_dir():
            sync_folder(entry)
        else:
            with entry.open("rb+") as file:
                os.fsync(file.fileno())
    sync_folder(path)


def replace_text(path: Path, text: str) -> None:
    """Swap the content of a file: as `replace_bytes`, the text in UTF-8.

    Raises
    ------
    OSError
        Where the folder cannot be written; the old text then stands.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     replace_text(Path(folder) / "pointer.json", "{}")
    ...     (Path(folder) / "pointer.json").read_text()
    '{}'
    """
    replace_bytes(path, text.encode())


def replace_bytes(path: Path, content: bytes) -> None:
    """Swap the content of a file: a reader sees the old content or the new one, never a part.

    Raises
    ------
    OSError
        Where the folder cannot be written; the old content then stands.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     replace_bytes(Path(folder) / "list.csv", b"item")
    ...     (Path(folder) / "list.csv").read_bytes()
    b'item'
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def canonical_json(value: Any) -> str:
    r"""JSON whose bytes depend on the value alone.

    Examples
    --------
    >>> canonical_json({"b": 1, "a": [1.5, None]})
    '{\n  "a": [\n    1.5,\n    null\n  ],\n  "b": 1\n}\n'
    """
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


@contextmanager
def saying(
    path: Path, doing: str, left: str = "the last good snapshot is untouched", elsewhere: str = ""
) -> Iterator[None]:
    """Turn the system's refusals into a `WarehouseError` that names the folder, the cause, the next step, what is left.

    ``elsewhere`` is the advice on another place where that is not the warehouse's, such as ``"name another --out"``.

    Raises
    ------
    WarehouseError
        For any OSError inside the block.
    """
    try:
        yield
    except OSError as error:
        where = error.filename or path
        if error.errno in _FULL:
            advice = f"the disk is full: free space or {elsewhere or 'set [build] warehouse to another disk'}"
        elif error.errno in _READ_ONLY:
            other = elsewhere or "set [build] warehouse to a folder you own"
            advice = f"it cannot be written: grant write access or {other}"
        elif error.errno in {errno.ENOTDIR, errno.EEXIST}:
            advice = (
                f"a file stands where a folder belongs: move it or {elsewhere or 'set [build] warehouse to a folder'}"
            )
        else:
            advice = "see the system's message"
        message = f"cannot {doing} {where}: {advice} ({error.strerror or error}); {left}"
        raise WarehouseError(message) from error


@contextmanager
def exclusive_lock(path: Path, *, wait: float = 0.0) -> Iterator[None]:
    """Hold the one writer's lock on a warehouse.

    The lock is the operating system's, on an open file: it ends with the process, however that ends, so a lock file
    left by a killed build never blocks the next one. The file carries the holder's process id for the error's text.

    Parameters
    ----------
    path : Path
        The lock file; made where it is missing, never removed.
    wait : float
        Seconds to wait for another holder before giving up.

    Raises
    ------
    WarehouseError
        Where another process holds it still, or the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, exclusive_lock(Path(folder) / "build.lock"):
    ...     pass
    """
    with saying(path, "lock"):
        file = path.open("a+", encoding="utf-8")
    with file:
        deadline = time.monotonic() + wait
        while not _try_lock(file, path):
            if time.monotonic() >= deadline:
                file.seek(0)
                holder = file.read().strip() or "another process"
                raise WarehouseError(
                    f"{path.parent}: {holder} is writing this warehouse; wait for it to end, or pass --wait SECONDS"
                )
            time.sleep(_LOCK_POLL_SECONDS)
        with saying(path, "lock"):
            file.seek(0)
            file.truncate()
            file.write(f"process {os.getpid()}\n")
            file.flush()
        yield


if os.name == "nt":
    import msvcrt

    _FAR = 1 << 30  # Windows locks bytes, not files, and nobody else may read them: one far past the text

    def _try_lock(file: IO[str], path: Path) -> bool:
        del path
        file.seek(_FAR)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def share(path: Path) -> "IO[bytes] | None":
        """Hold a file open against removal for as long as the handle is; None where another is removing it."""
        return path.open("rb")

    @contextmanager
    def unshared(path: Path) -> Iterator[bool]:
        """Keep others from `share`; Windows itself refuses to move a folder with an open file."""
        del path
        yield True

else:
    import fcntl

    def _try_lock(file: IO[str], path: Path) -> bool:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise WarehouseError(
                f"{path}: this file system has no locks ({error.strerror}); put the warehouse on a local disk"
            ) from error
        return True

    def share(path: Path) -> "IO[bytes] | None":
        """Hold a file open against removal for as long as the handle is; None where another is removing it."""
        file = path.open("rb")
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        except OSError:  # no locks on this file system: the grace period alone protects the reader
            return file
        return file

    @contextmanager
    def unshared(path: Path) -> Iterator[bool]:
        """Keep others from `share` inside the block; False where somebody has it already."""
        with path.open("rb") as file:
            try:
                fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                # without locks on this file system the grace period alone protects readers
                yield error.errno not in {errno.EAGAIN, errno.EWOULDBLOCK}
            else:
                yield True
