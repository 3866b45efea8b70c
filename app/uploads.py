"""Uploads of order files: piece by piece into a folder beside the settings, so that no request is large.

The browser cuts a file into pieces of less than the app's largest request; each is appended to a part file and
forgotten. Memory stays at one piece whatever the size, a file that is too large is refused before its first byte is
sent, and what was begun and left is cleared away with the next one.
"""

import logging
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, jsonify, request

from ..sql.durability import saying
from ..sql.errors import RegularsError, SettingsError, SourceError, WarehouseError
from ..sql.files import ENDINGS
from .access import require
from .start_settings import settings_target

if TYPE_CHECKING:
    from .data import AppData

log = logging.getLogger(__name__)

FOLDER = "uploads"
HEADER = "X-Regulars"
PIECE_BYTES = 768 * 1024
_PART = ".part-"
_LEFT_AFTER_SECONDS = 24 * 3600
_MOST_AT_ONCE = 4
_SPARE_BYTES = 200 << 20
_LONGEST_NAME = 100
_ENDINGS = (*ENDINGS["parquet"], ".csv", ".tsv", ".txt")
_PACKED = (".gz", ".zst", ".zip", ".bz2", ".xz", ".7z")
# What Parquet may claim to hold against what it weighs: beyond both it is no file of orders.
_MOST_UNPACKED, _MOST_RATIO = 50 << 30, 300


class UploadRefused(RegularsError):
    """An upload, or a piece of one, is not taken; ``status`` is the answer's."""

    exit_code = 3

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Upload:
    """One that is under way: ``bytes`` of ``size`` are there."""

    id: str
    name: str
    size: int
    folder: Path
    by: str
    bytes: int = 0

    @property
    def part(self) -> Path:
        """Where its pieces go."""
        return self.folder / f"{_PART}{self.id}"


class Uploads:
    """The uploads of one app.

    Parameters
    ----------
    most_bytes : int
        How large a file may be.
    """

    def __init__(self) -> None:
        self._open: dict[str, Upload] = {}
        self._lock = threading.Lock()

    def begin(self, folder: Path, name: str, size: int, most_bytes: int, by: str) -> Upload:
        """Begin one; nothing is sent yet.

        Raises
        ------
        UploadRefused
            The file is too large, empty or of a kind that is not read, or the disk has no room for it.
        WarehouseError
            The folder cannot be written.
        """
        if size <= 0:
            raise UploadRefused(f"{name[:80]} is empty (0 bytes): export it anew", 422)
        if size > most_bytes:
            raise UploadRefused(
                f"{name[:80]} has {_megabytes(size)}; uploads take {_megabytes(most_bytes)} at most "
                "([app] max_upload_mb). Copy it to the server and name its folder instead: that takes any size",
                413,
            )
        safe = safe_name(name)
        with self._lock:
            if len(self._open) >= _MOST_AT_ONCE:
                self._forget_idle()
            if len(self._open) >= _MOST_AT_ONCE:
                raise UploadRefused(f"{_MOST_AT_ONCE} uploads are under way: wait for one to end", 429)
            with saying(folder, "write", left="nothing was uploaded", elsewhere="name a folder instead"):
                folder.mkdir(parents=True, exist_ok=True)
                _clear(folder, keep={upload.part.name for upload in self._open.values()})
                free = shutil.disk_usage(folder).free
                if free < size + _SPARE_BYTES:
                    raise UploadRefused(
                        f"the disk has {_megabytes(free)} left, and {name[:80]} needs {_megabytes(size)}: free space, "
                        "or name a folder on another disk",
                        507,
                    )
                upload = Upload(secrets.token_hex(16), safe, size, folder, by)
                upload.part.touch(mode=0o600)
            self._open[upload.id] = upload
        return upload

    def add(self, upload_id: str, offset: int, piece: bytes, by: str) -> Upload:
        """Append a piece.

        Raises
        ------
        UploadRefused
            There is no such upload, the piece is not the next one, or it goes beyond the size that was said.
        """
        upload = self._of(upload_id, by)
        with self._lock:
            if offset != upload.bytes:
                raise UploadRefused(f"the next piece begins at {upload.bytes}, not at {offset}", 409)
            if not piece or len(piece) > PIECE_BYTES or upload.bytes + len(piece) > upload.size:
                self._drop(upload)
                raise UploadRefused("more came than was said: upload the file anew", 413)
            try:
                with (
                    saying(upload.part, "write", "nothing was uploaded", "name a folder on another disk"),
                    upload.part.open("ab") as file,
                ):
                    file.write(piece)
            except WarehouseError:
                self._drop(upload)
                raise
            upload.bytes += len(piece)
        return upload

    def end(self, upload_id: str, by: str) -> Path:
        """Check what came and give it its name; return where it is.

        Raises
        ------
        UploadRefused
            Some of it is missing, or it is neither CSV nor Parquet.
        """
        upload = self._of(upload_id, by)
        with self._lock:
            try:
                if upload.bytes != upload.size:
                    raise UploadRefused(f"{upload.bytes} of {upload.size} bytes came: upload the file anew", 422)
                must_be_a_table(upload.part, upload.name)
                with saying(upload.part, "write", left="nothing was uploaded"):
                    with upload.part.open("rb+") as file:
                        os.fsync(file.fileno())
                    target = _free_name(upload.folder, upload.name)
                    upload.part.rename(target)
            finally:
                self._drop(upload)
        return target

    def stop(self, upload_id: str, by: str) -> None:
        """Take back what came."""
        upload = self._of(upload_id, by)
        with self._lock:
            self._drop(upload)

    def _of(self, upload_id: str, by: str) -> Upload:
        found = self._open.get(upload_id)
        if found is None or found.by != by:
            raise UploadRefused("this upload is no longer known: begin anew", 404)
        return found

    def _drop(self, upload: Upload) -> None:
        self._open.pop(upload.id, None)
        with suppress(OSError):
            upload.part.unlink(missing_ok=True)

    def _forget_idle(self) -> None:
        for upload in list(self._open.values()):
            try:
                idle = time.time() - upload.part.stat().st_mtime > 600
            except OSError:
                idle = True
            if idle:
                self._drop(upload)


def register(server: Flask, data: "AppData") -> None:
    """Add the routes ``/upload`` (begin), ``/upload/ID`` (a piece), ``/upload/ID/end`` and ``/upload/ID/stop``."""
    uploads = Uploads()

    @server.post("/upload")
    def begin_upload() -> Response:
        by = _asked_for()
        with _refusing():
            target = settings_target(data)
            target.must_be_writable()
        name, size = request.args.get("name", ""), request.args.get("size", "")
        if not size.isascii() or not size.isdigit() or len(size) > 15:
            raise UploadRefused("the size of the file is missing")
        with _refusing():
            data.state.audit(by, "upload", name[:200], bytes=int(size))
            upload = uploads.begin(target.folder / FOLDER, name, int(size), target.max_upload_bytes, by)
        return _answer({"id": upload.id, "piece": PIECE_BYTES, "name": upload.name})

    @server.post("/upload/<upload_id>")
    def add_piece(upload_id: str) -> Response:
        by = _asked_for()
        offset = request.args.get("offset", "")
        if not offset.isascii() or not offset.isdigit() or len(offset) > 15:
            raise UploadRefused("the place of the piece is missing")
        with _refusing():
            return _answer({"bytes": uploads.add(upload_id, int(offset), request.get_data(cache=False), by).bytes})

    @server.post("/upload/<upload_id>/end")
    def end_upload(upload_id: str) -> Response:
        by = _asked_for()
        with _refusing():
            path = uploads.end(upload_id, by)
        return _answer({"path": f"{FOLDER}/{path.name}"})

    @server.post("/upload/<upload_id>/stop")
    def stop_upload(upload_id: str) -> Response:
        uploads.stop(upload_id, _asked_for())
        return _answer({"stopped": True})

    @server.errorhandler(UploadRefused)
    def refused(error: UploadRefused) -> tuple[Response, int]:
        return _answer({"error": str(error)}), error.status


def safe_name(name: str) -> str:
    """Return the name that a file gets on the server: letters, digits and a few marks, with an ending that is read.

    Raises
    ------
    UploadRefused
        Its ending is none that is read.

    Examples
    --------
    >>> safe_name("C:/My shop/<b>Orders 2024.CSV")
    'b_Orders 2024.csv'
    >>> safe_name("orders.xlsx")
    Traceback (most recent call last):
    ...
    regulars.app.uploads.UploadRefused: 'orders.xlsx' is neither CSV nor Parquet: save it as one of them
    """
    last = re.split(r"[/\\]", name)[-1].strip()
    stem, dot, ending = last.rpartition(".")
    if f".{ending}".lower() in _PACKED:
        raise UploadRefused(f"{last[:80]} is packed: unpack it first, or copy it to the server and name it there", 415)
    if not dot or f".{ending}".lower() not in _ENDINGS:
        raise UploadRefused(f"{last[:80]!r} is neither CSV nor Parquet: save it as one of them", 415)
    plain = re.sub(r"[^\w .+-]+", "_", stem).lstrip("._ ").strip()[:_LONGEST_NAME]
    return f"{plain or 'orders'}.{ending.lower()}"


def must_be_a_table(path: Path, name: str) -> None:
    """Check that a file is what its ending says, without reading it whole.

    Raises
    ------
    UploadRefused
        It is not; the text says what it looks like.
    """
    with path.open("rb") as file:
        head = file.read(4096)
        file.seek(-min(8, path.stat().st_size), os.SEEK_END)
        tail = file.read(8)
    is_parquet = head[:4] == b"PAR1" and tail[-4:] == b"PAR1"
    if name.endswith(ENDINGS["parquet"]):
        if not is_parquet:
            said = "its upload was cut short" if head[:4] == b"PAR1" else f"it {_looks_like(head)}"
            raise UploadRefused(f"{name} cannot be read as Parquet: {said}; export it anew", 415)
        _must_unpack_to_something_sane(path, name)
        return
    if is_parquet or head[:4] == b"PAR1":
        raise UploadRefused(f"{name} is Parquet by its content: give it the ending .parquet", 415)
    if b"\x00" in head or not head.strip():
        raise UploadRefused(f"{name} cannot be read as CSV: it {_looks_like(head)}; save it as CSV, UTF-8", 415)


def _must_unpack_to_something_sane(path: Path, name: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            footer = file.metadata
            groups = [footer.row_group(i) for i in range(min(footer.num_row_groups, 10_000))]
            unpacked, rows = sum(group.total_byte_size for group in groups), footer.num_rows
    except (OSError, pa.ArrowException) as error:
        raise UploadRefused(f"{name} cannot be read as Parquet: {str(error)[:200]}; export it anew", 415) from None
    if rows == 0:
        raise UploadRefused(f"{name} holds no line: export the orders again", 422)
    if unpacked > _MOST_UNPACKED and unpacked > _MOST_RATIO * path.stat().st_size:
        raise UploadRefused(f"{name} claims to unpack to {_megabytes(unpacked)}: that is no file of orders", 422)


def _looks_like(head: bytes) -> str:
    known = (
        (b"PK", "looks like an Excel or zip file"),
        (b"\x1f\x8b", "is packed with gzip"),
        (b"\xd0\xcf", "looks like an old Excel file"),
        (b"%PDF", "is a PDF"),
        (b"SQLite", "is a database"),
    )
    found = next((said for start, said in known if head.startswith(start)), "")
    return found or ("holds nothing but blanks" if not head.strip(b"\x00 \t\r\n") else "is no table")


def _asked_for() -> str:
    """Who asks, if our own page does: a form or a link of another site cannot send that header."""
    if request.headers.get(HEADER) != "upload":
        raise UploadRefused("uploads come from the app's own page", 403)
    origin = request.headers.get("Origin")
    if origin and origin.partition("://")[2] != request.host:
        raise UploadRefused("a request from another site", 403)
    return require("admin").name


@contextmanager
def _refusing() -> Iterator[None]:
    """Say to the page what is wrong with the place that files go to."""
    try:
        yield
    except SettingsError as error:
        raise UploadRefused(str(error), 409) from error
    except WarehouseError as error:
        raise UploadRefused(str(error), 507) from error


def _answer(said: dict[str, Any]) -> Response:
    answer = jsonify(said)
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _clear(folder: Path, keep: set[str]) -> None:
    for part in folder.glob(f"{_PART}*"):
        with suppress(OSError):
            if part.name not in keep and time.time() - part.stat().st_mtime > _LEFT_AFTER_SECONDS:
                part.unlink()


def _free_name(folder: Path, name: str) -> Path:
    stem, _, ending = name.rpartition(".")
    for number in range(1, 1000):
        path = folder / (name if number == 1 else f"{stem}-{number}.{ending}")
        if not path.exists():
            return path
    raise SourceError(f"{folder} holds {name} a thousand times: clear it out")


def _megabytes(size: int) -> str:
    return f"{size / (1 << 20):,.0f} MB" if size < 10 << 30 else f"{size / (1 << 30):,.0f} GB"
