"""Plain HTTP beside the pages: rows of a grid, exports and health. Every request is checked; a bad one is a 400."""

import json
import logging
import math
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, g, request

from ..sql.errors import RegularsError, WarehouseError
from . import access
from .access import NotAllowed
from .export import csv_stream, parquet_stream
from .listing import FilterError, Listing, page_bounds
from .listings import LISTINGS
from .snapshot_data import MOST_ROWS
from .state import NotAudited

if TYPE_CHECKING:
    from .data import AppData

log = logging.getLogger(__name__)

_EXPORTS = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}


def register(server: Flask, data: "AppData") -> None:
    """Add the routes ``/rows/LISTING``, ``/export/LISTING.csv``, ``/export/LISTING.parquet`` and ``/healthz``."""

    @server.get("/rows/<listing>")
    def rows_of(listing: str) -> Response:
        found = _listing(listing)
        asked = _asked()
        run = asked.pop("run", None)
        offset, rows = page_bounds(asked.pop("start", "0"), asked.pop("end", str(MOST_ROWS)), MOST_ROWS)
        page, total = data.snapshot(run).page(found.parse(asked), offset, rows)
        return json_answer({"rows": page, "total": total})

    @server.get("/export/<listing>.<kind>")
    def export_rows(listing: str, kind: str) -> Response:
        person = access.require("viewer")
        found = _listing(listing)
        if kind not in _EXPORTS:
            return json_answer({"error": f"no export {kind[:20]!r}; there are csv and parquet"}, status=404)
        asked = _asked()
        snapshot = data.snapshot(asked.pop("run", None))
        filters = found.parse(asked)
        reader = snapshot.stream(filters)
        chosen = filters.query(sort=True)
        facts = {"run_id": snapshot.run_id, "as_of": snapshot.as_of.isoformat(), "filter": chosen}
        # before the first byte leaves: what cannot be audited is not exported
        data.state.audit(
            person.name,
            "export rows",
            f"{listing}.{kind}",
            run=snapshot.run_id,
            filter=chosen,
            rows=snapshot.count(filters),
        )
        chunks = csv_stream(reader) if kind == "csv" else parquet_stream(reader, facts)
        name = f"{listing}_{snapshot.as_of}_{snapshot.run_id[:8]}.{kind}"
        return Response(
            _logged(chunks, name),
            mimetype=_EXPORTS[kind].partition(";")[0],
            headers={"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"},
        )

    @server.get("/healthz")
    def health() -> Response:
        try:
            return json_answer({"status": "ok", "run": data.current_run()})
        except WarehouseError as error:
            # where the warehouse lies is nothing for who is not signed in
            why = {"error": str(error)} if g.get("person") is not None else {}
            return json_answer({"status": "no snapshot", **why}, status=503)

    @server.get("/rows/<path:rest>")
    @server.get("/export/<path:rest>")
    def nothing_here(rest: str) -> Response:  # noqa: ARG001
        return json_answer({"error": "nothing here"}, status=404)

    @server.errorhandler(NotThere)
    def no_listing(error: NotThere) -> Response:
        return json_answer({"error": str(error)}, status=404)

    @server.errorhandler(NotAllowed)
    def not_allowed(error: NotAllowed) -> Response:
        return json_answer({"error": str(error)}, status=403)

    @server.errorhandler(NotAudited)
    def not_audited(error: NotAudited) -> Response:
        log.error("%s", error)
        return json_answer({"error": str(error)}, status=503)

    @server.errorhandler(FilterError)
    def bad_filter(error: FilterError) -> Response:
        return json_answer({"error": str(error)}, status=400)

    @server.errorhandler(WarehouseError)
    def no_snapshot(error: WarehouseError) -> Response:
        return json_answer({"error": str(error)}, status=404)

    @server.errorhandler(RegularsError)
    def failed(error: RegularsError) -> Response:
        log.error("%s failed", request.path, exc_info=error)
        return json_answer({"error": "it failed on the server; the log says why"}, status=500)


class NotThere(RegularsError):
    """There is nothing of that name. Answered with 404."""


def _listing(name: str) -> Listing:
    if name not in LISTINGS:
        raise NotThere(f"no listing {name[:40]!r}; there are {', '.join(LISTINGS)}")
    return LISTINGS[name]


def _asked() -> dict[str, str]:
    if any(len(values) > 1 for _, values in request.args.lists()):
        raise FilterError("a key of the query stands twice")
    return request.args.to_dict()


def json_answer(value: Any, status: int = 200) -> Response:
    """Return a value as JSON that nobody keeps; money and dates as numbers and ISO text."""
    try:
        text = json.dumps(value, default=_plain, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(value), default=_plain, allow_nan=False)
    return Response(text, status=status, mimetype="application/json", headers={"Cache-Control": "no-store"})


def _finite(value: Any) -> Any:
    """The value with null for what is no number: JSON has no other word for it."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(type(value).__name__)


def _logged(chunks: Iterator[bytes], name: str) -> Iterator[bytes]:
    sent = 0
    for chunk in chunks:
        sent += len(chunk)
        yield chunk
    log.info("exported %s: %d bytes", name, sent)
