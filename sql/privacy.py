"""Who was erased: tombstones that recognise a customer's id without holding it, and input views that leave them out.

``warehouse/erasures.json`` holds a keyed hash (HMAC-SHA-256) of each erased id, ``warehouse/erasures.key`` the key, of
this warehouse alone, readable by its owner. As long as the input files hold a person, every build meets the id again,
recognises it and sets the lines aside: their money still reconciles, and nothing of who it was is published.
"""

import hmac
import json
import secrets
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .durability import canonical_json, replace_bytes, saying
from .errors import WarehouseError
from .lineage import FileFingerprint, InputLineage, fingerprint

if TYPE_CHECKING:
    from .engine import Engine

FILE = "erasures.json"
KEY_FILE = "erasures.key"
TABLE = "erased_customers"

# What stands in place of an erased id in the staged inputs; sql/queries/judged_order_lines.sql knows it.
MARK = "regulars:erased"
GUEST = "guest:"

_KEY_BYTES = 32
_IDS = "erased_ids"
# input table -> the columns that hold ids of customers
_HELD_IN: Mapping[str, tuple[str, ...]] = {
    "order_lines": ("customer_id",),
    "customers": ("customer_id",),
    "customer_links": ("old_id", "customer_id"),
    "sends": ("customer_id",),
}
_OF_AN_ORDER = frozenset({"order_id", "original_order_id"})


class Tombstones:
    """The erased customers of a warehouse.

    Parameters
    ----------
    warehouse : Path

    Examples
    --------
    >>> import tempfile
    >>> stones = Tombstones(Path(tempfile.mkdtemp()))
    >>> stones.add(["C1"])
    >>> stones.among(["C1", "C2"]), len(stones)
    (['C1'], 1)
    """

    def __init__(self, warehouse: Path) -> None:
        self.path = warehouse / FILE
        self.key_path = warehouse / KEY_FILE

    def __len__(self) -> int:
        return len(self.hashes)

    @cached_property
    def hashes(self) -> frozenset[str]:
        """The hashes, in hexadecimal.

        Raises
        ------
        WarehouseError
            The file cannot be read: nobody may be built from inputs before it can.
        """
        if not self.path.exists():
            return frozenset()
        try:
            said = json.loads(self.path.read_text(encoding="utf-8"))["tombstones"]
            return frozenset(str(one) for one in said)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WarehouseError(
                f"{self.path}: cannot be read ({error}); it says who was erased and must not come back: restore it"
            ) from error

    @cached_property
    def _key(self) -> bytes:
        try:
            key = bytes.fromhex(self.key_path.read_text(encoding="ascii").strip())
        except (OSError, ValueError) as error:
            raise WarehouseError(
                f"{self.key_path}: cannot be read ({error}); without it erased customers are not recognised and would "
                "come back: restore it"
            ) from error
        if len(key) != _KEY_BYTES:
            raise WarehouseError(f"{self.key_path}: holds {len(key)} bytes, not {_KEY_BYTES}: restore it")
        return key

    def of(self, customer_id: str) -> str:
        """Return the tombstone of an id."""
        return hmac.digest(self._key, customer_id.encode("utf-8", "surrogatepass"), "sha256").hex()

    def among(self, ids: Iterable[str]) -> list[str]:
        """Return those ids that were erased, sorted."""
        return sorted(one for one in ids if self.of(one) in self.hashes) if self.hashes else []

    def add(self, ids: Iterable[str]) -> None:
        """Remember ids as erased, durably, before anything of theirs is removed.

        Raises
        ------
        WarehouseError
            It cannot be written.
        """
        with saying(self.path, "write", "nothing was erased"):
            if not self.key_path.exists():
                if self.hashes:
                    _ = self._key  # says that it is gone
                replace_bytes(self.key_path, secrets.token_bytes(_KEY_BYTES).hex().encode() + b"\n")
                self.key_path.chmod(0o600)
            known = sorted(self.hashes | {self.of(one) for one in ids})
            if frozenset(known) != self.hashes:
                replace_bytes(self.path, canonical_json({"format": 1, "tombstones": known}).encode())
                self.path.chmod(0o600)
        self.__dict__.pop("hashes", None)

    def lineage(self) -> InputLineage | None:
        """Return what the manifest says of them among a run's inputs; None where nobody was erased."""
        if not self.hashes:
            return None
        size = self.path.stat().st_size
        return InputLineage(TABLE, (FileFingerprint(FILE, size, fingerprint(sorted(self.hashes))),))


def leave_out_erased(engine: "Engine", warehouse: Path, views: Mapping[str, str]) -> int:
    """Put views of the inputs in place of those that are there, which name nobody who was erased.

    Lines of orders stay, with `MARK` for the customer and no order id; rows of ``customers``, ``customer_links`` and
    ``sends`` go. Whoever is linked to an erased id is that person, too.

    Parameters
    ----------
    engine : Engine
        Where the inputs are staged.
    warehouse : Path
        Whose tombstones count.
    views : mapping of str to str
        Input table -> the SELECT behind its view.

    Returns
    -------
    int
        How many ids were met.

    Raises
    ------
    WarehouseError
        The tombstones cannot be read.
    """
    import pyarrow as pa

    stones = Tombstones(warehouse)
    if not len(stones):
        return 0
    erased = with_linked(set(stones.among(_ids_of(engine))), _links(engine))
    if not erased:
        return 0
    engine.register(_IDS, pa.table({"erased_id": pa.array(sorted(erased), pa.string())}))
    for table, held_in in _HELD_IN.items():
        engine.view(table, _without(engine, table, held_in, views[table]))
    return len(erased)


def with_linked(ids: set[str], links: Iterable[tuple[str, str]]) -> set[str]:
    """Return ids with all that links join to them, in either direction, however long the chain.

    Examples
    --------
    >>> sorted(with_linked({"b"}, [("a", "b"), ("b", "c"), ("x", "y")]))
    ['a', 'b', 'c']
    """
    beside: dict[str, set[str]] = {}
    for old, new in links:
        beside.setdefault(old, set()).add(new)
        beside.setdefault(new, set()).add(old)
    found, waiting = set(ids), list(ids)
    while waiting:
        new = beside.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found


def _ids_of(engine: "Engine") -> set[str]:
    parts = [f"SELECT {column} AS id FROM {table}" for table, held in _HELD_IN.items() for column in held]
    # a guest has the id of the order, where each order is a customer
    orders = "SELECT coalesce(order_id, '') AS order_id, coalesce(original_order_id, '') AS original FROM order_lines"
    guests = f"SELECT order_id, original FROM ({orders} WHERE customer_id IS NULL OR trim(customer_id) = '') AS g"
    named = engine.query(f"SELECT DISTINCT id FROM ({' UNION ALL '.join(parts)}) AS ids WHERE id IS NOT NULL")
    unnamed = engine.query(
        f"SELECT DISTINCT '{GUEST}' || order_id AS id FROM ({guests}) AS a "
        f"UNION SELECT DISTINCT '{GUEST}' || original AS id FROM ({guests}) AS b"
    )
    return {*named["id"].to_pylist(), *unnamed["id"].to_pylist()}


def _links(engine: "Engine") -> list[tuple[str, str]]:
    rows = engine.query("SELECT DISTINCT old_id, customer_id FROM customer_links").to_pylist()
    return [(row["old_id"], row["customer_id"]) for row in rows if row["old_id"] and row["customer_id"]]


def _without(engine: "Engine", table: str, held_in: tuple[str, ...], sql: str) -> str:
    columns: dict[str, Any] = engine.columns(table)
    if table != "order_lines":
        # NOT IN drops NULL on one engine and keeps it on the other
        known = " AND ".join(f'NOT EXISTS (SELECT 1 FROM {_IDS} WHERE erased_id = given."{c}")' for c in held_in)
        return f"SELECT * FROM ({sql}\n) AS given WHERE {known}"
    guest = f"'{GUEST}' || CASE WHEN revenue < 0 THEN coalesce(original_order_id, order_id) ELSE order_id END"
    known_as = f"CASE WHEN customer_id IS NULL OR trim(customer_id) = '' THEN {guest} ELSE customer_id END"
    shown = []
    for name, type_ in columns.items():
        gone = f"'{MARK}'" if name == "customer_id" else f"CAST(NULL AS {type_})"
        hides = name in {"customer_id", *_OF_AN_ORDER}
        shown.append(f'CASE WHEN erased_id IS NULL THEN "{name}" ELSE {gone} END AS "{name}"' if hides else f'"{name}"')
    joined = f"(SELECT *, {known_as} AS known_as FROM ({sql}\n) AS given) AS named"
    return f"SELECT {', '.join(shown)} FROM {joined} LEFT JOIN {_IDS} ON named.known_as = {_IDS}.erased_id"
