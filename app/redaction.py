"""Finding and blotting out the ids of one person in values, text, JSON and tables."""

# pyarrow.compute makes its functions at import time, unseen by type checkers
# pyright: reportAttributeAccessIssue=false

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote

if TYPE_CHECKING:
    import pyarrow as pa

BLOT = "[erased]"

# A shorter id stands in many texts by chance: there it counts as a whole value, and where a sentence names a customer.
TELLING_BYTES = 6
KEYS = frozenset(
    {"customer_id", "source_customer_id", "order_id", "original_order_id", "sku", "campaign", "arm", "run_id"}
)
_AROUND = r"[\w.\-]"


@dataclass(frozen=True)
class Redactor:
    """Knows one person's ids.

    Parameters
    ----------
    ids : frozenset of str
        The customer's id and every id that links join to it.

    Examples
    --------
    >>> person = Redactor(frozenset({"C00017"}))
    >>> person.text("customer C00017 in campaign spring; C000171 is another")
    'customer [erased] in campaign spring; C000171 is another'
    >>> Redactor(frozenset({"7"})).text("customer 7 on 2017-07-07")
    'customer [erased] on 2017-07-07'
    """

    ids: frozenset[str]
    forms: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        forms = {form for one in self.ids for form in (one, quote(one, safe=""), json.dumps(one)[1:-1]) if form}
        object.__setattr__(self, "forms", tuple(sorted(forms, key=lambda form: (-len(form), form))))

    @property
    def short(self) -> list[str]:
        """The ids that are too short to be told from chance in raw bytes."""
        return sorted(one for one in self.ids if len(one.encode("utf-8", "surrogatepass")) < TELLING_BYTES)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        parts = []
        for form in self.forms:
            within = rf"(?<!{_AROUND}){re.escape(form)}(?![\w\-])"
            parts.append(within if _tells(form) else rf"(?<=customer ){re.escape(form)}(?![\w\-])")
        return re.compile("|".join(parts))

    @cached_property
    def _bytes_pattern(self) -> re.Pattern[bytes] | None:
        telling = [form.encode("utf-8", "surrogatepass") for form in self.forms if _tells(form)]
        parts = [rb"(?<![\w.\-])" + re.escape(form) + rb"(?![\w\-])" for form in telling]
        return re.compile(b"|".join(parts)) if parts else None

    def holds(self, text: str) -> bool:
        """Say whether a text is one of the ids, or names one, maybe as a value of an address."""
        return text in self.ids or self._pattern.search(text) is not None or self._asked_for(text)

    def text(self, text: str) -> str:
        """Return a text with the ids blotted out."""
        return BLOT if text in self.ids or self._asked_for(text) else self._pattern.sub(BLOT, text)

    def _asked_for(self, text: str) -> bool:
        return "=" in text and any(value in self.ids for _, value in parse_qsl(text, max_num_fields=None))

    def json(self, value: Any) -> Any:
        """Return a JSON value with the ids blotted out of every text, keys among them."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.json(one) for one in value]
        if isinstance(value, dict):
            return {self.text(key): self.json(one) for key, one in value.items()}
        return value

    def bytes_at(self, content: bytes) -> int:
        """Return where raw bytes hold an id that can be told from chance, -1 where they do not."""
        found = self._bytes_pattern.search(content) if self._bytes_pattern else None
        return found.start() if found else -1

    def rows(self, column: "pa.ChunkedArray") -> "pa.ChunkedArray":
        """Return for each text of a column whether it is one of the ids; NULL is not."""
        import pyarrow as pa
        import pyarrow.compute as pc

        return pc.is_in(column, value_set=pa.array(sorted(self.ids), column.type))

    def naming(self, column: "pa.ChunkedArray") -> list[int]:
        """Return the rows of a column whose text names an id, whole or within a sentence."""
        import pyarrow as pa
        import pyarrow.compute as pc

        texts = column.cast(pa.large_string()) if not pa.types.is_large_string(column.type) else column
        maybe: Any = pc.is_in(texts, value_set=pa.array(sorted(self.ids), pa.large_string()))
        for form in self.forms:
            # what the pattern will look at: a quick sieve over all rows
            sought = form if _tells(form) else f"customer {form}"
            maybe = pc.or_(maybe, pc.fill_null(pc.match_substring(texts, sought), fill_value=False))
        places = pc.indices_nonzero(maybe).to_pylist()
        return [row for row in places if self.holds(texts[row].as_py())]


def strings(value: Any) -> Iterator[str]:
    """Yield every text of a JSON value, keys among them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        for one in value.values():
            yield from strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from strings(one)


def text_columns(table: "pa.Table") -> Iterable[str]:
    """Return the names of a table's columns of text."""
    import pyarrow as pa

    kinds = (pa.types.is_string, pa.types.is_large_string)
    return [f.name for f in table.schema if any(is_kind(f.type) for is_kind in kinds)]


def sentence_columns(table: "pa.Table") -> Iterable[str]:
    """Return the columns whose texts may name somebody within a sentence; a key's values are ids as a whole."""
    return [name for name in text_columns(table) if name not in KEYS]


def _tells(form: str) -> bool:
    return len(form.encode("utf-8", "surrogatepass")) >= TELLING_BYTES
