"""Saved segments: filters over the customers under a name, for the app's lists and for `regulars target`.

A segment is its filter, not its customers: whom it holds is read from the snapshot of the day.
"""

import unicodedata
from typing import TYPE_CHECKING

from ..sql.contract import SEGMENTS
from ..sql.errors import nearest
from ..sql.snapshot import Snapshot
from .listing import FilterError, ListFilters
from .listings import CUSTOMERS

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from .snapshot_data import SnapshotData
    from .state import Segment, State

LONGEST_NAME = 100
MOST_SEGMENTS = 100
_UNSEEN = frozenset({"Cc", "Cs", "Zl", "Zp"})


def segment_customers(data: "SnapshotData | Snapshot", filter_text: str) -> "pa.ChunkedArray":
    """Return whom a segment's filter holds in a snapshot.

    Parameters
    ----------
    data : SnapshotData or Snapshot
        The snapshot, as the app or as the warehouse gives it.
    filter_text : str
        The filter as it was saved: the query part of an address, such as ``segment=best&value=500..``; "" is everybody.

    Returns
    -------
    pyarrow.ChunkedArray
        customer_id, (n,) of string, sorted, each once.

    Raises
    ------
    FilterError
        The filter names what this version has not; the text says what.
    SnapshotGap
        The snapshot lacks a table that the filter looks into.
    """
    filters = segment_filters(filter_text)
    if not isinstance(data, Snapshot):
        return data.ids(filters)
    from .data import AppData

    house = AppData(_warehouse_of(data))
    try:
        return house.snapshot(data.run_id).ids(filters)
    finally:
        house.close()


def segment_filters(filter_text: str) -> ListFilters:
    """Read a segment's filter; how rows are sorted and shown is no part of it.

    Raises
    ------
    FilterError
        It is none.

    Examples
    --------
    >>> segment_filters("?value=500..&segment=best&sort=-revenue&color=value").query()
    'segment=best&value=500..'
    """
    parsed = CUSTOMERS.parse(filter_text)
    return ListFilters(CUSTOMERS, parsed.choices, parsed.search, parsed.ranges, CUSTOMERS.default_sort)


def segment_named(state: "State", name: str) -> "Segment":
    """Return a saved segment by its name.

    Raises
    ------
    FilterError
        There is none; the text names the nearest.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from regulars.app.state import State
    >>> state = State(Path(tempfile.mkdtemp()))
    >>> state.save_segment("VIP", "segment=best", "ann").name
    'VIP'
    >>> segment_named(state, "VPI")
    Traceback (most recent call last):
    ...
    regulars.app.listing.FilterError: no saved segment 'VPI'; did you mean 'VIP'? There are: VIP
    """
    found = state.segment(name)
    if found is None:
        known = tuple(segment.name for segment in state.segments())
        listed = f"There are: {', '.join(known[:20])}" if known else "none is saved: save one on the page Customers"
        hint = nearest(name[:60], known)
        raise FilterError(f"no saved segment {name[:60]!r}{hint}{' ' if hint else '; '}{listed}")
    return found


def save_segment(state: "State", name: str, filter_text: str, person: str, *, replace: bool = False) -> "Segment":
    """Save a filter under a name, with its line in the audit.

    Parameters
    ----------
    state : State
    name : str
        Any text in one line, up to 100 characters; spaces at its ends are left out.
    filter_text : str
        The query part of an address; saved in its canonical order.
    person : str
        Who saves it.
    replace : bool
        Put it in the place of the one of that name.

    Raises
    ------
    FilterError
        The name is empty, too long, not in one line or taken, or the filter is none.
    WarehouseError
        It cannot be written.
    """
    checked = segment_name(name)
    filters = segment_filters(filter_text)
    known = {segment.name: segment for segment in state.segments()}
    if checked in known and not replace:
        made = known[checked]
        raise FilterError(
            f"a segment of this name was saved by {made.made_by} on {made.made_at:%Y-%m-%d}: tick 'replace' or "
            "choose another name"
        )
    if checked not in known and len(known) >= MOST_SEGMENTS:
        raise FilterError(f"{len(known)} segments are saved; at most {MOST_SEGMENTS} are kept: delete one first")
    return state.save_segment(checked, filters.query(), person)


def segment_name(name: str) -> str:
    """Return a name as it is kept.

    Raises
    ------
    FilterError
        It is empty, too long, not in one line, or that of one of the contract's segments.

    Examples
    --------
    >>> segment_name(' "Best" <b>Zoë</b> ')
    '"Best" <b>Zoë</b>'
    >>> segment_name("L" * 10_000)
    Traceback (most recent call last):
    ...
    regulars.app.listing.FilterError: the name has 10,000 characters; at most 100 are allowed
    """
    given = name.strip()
    if not given:
        raise FilterError("a segment needs a name")
    if len(given) > LONGEST_NAME:
        raise FilterError(f"the name has {len(given):,} characters; at most {LONGEST_NAME} are allowed")
    if any(unicodedata.category(letter) in _UNSEEN for letter in given):
        raise FilterError("the name holds a line break or a character that cannot be shown")
    if given.casefold() in SEGMENTS:
        raise FilterError(f"{given!r} is a segment that every snapshot has: choose another name")
    return unicodedata.normalize("NFC", given)


def _warehouse_of(snapshot: Snapshot) -> "Path":
    # warehouse/runs/RUN
    return snapshot.path.parent.parent
