"""Whom a campaign must leave alone: those on a list, those without consent, those who were mailed lately."""

# pyarrow.compute makes its functions at import time, unseen by type checkers
# pyright: reportAttributeAccessIssue=false

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from ..sql.errors import ContractError, ModelError, nearest
from ..sql.frames import columns_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

NO_CONSENT = "no consent"
UNSUBSCRIBED = "unsubscribed"
MAILED_LATELY = "mailed recently"

# A column of whole numbers becomes one of floats where a single value is missing: 1000.0 is the customer 1000.
_WHOLE = r"^([+-]?[0-9]+)\.0+$"


@dataclass(frozen=True)
class Suppression:
    """Lists of customers who get nothing, whatever it would bring.

    Attributes
    ----------
    lists : mapping of str to iterable
        Reason, such as ``"unsubscribed"`` or ``"bounced"`` -> customer ids, or a frame with a column ``customer_id``.
        A customer may be on several.
    consented : iterable, optional
        Customers who may be mailed; everybody else is suppressed for ``"no consent"``. Without it consent is not
        asked for.
    refused : iterable, optional
        Customers who said no: ``"unsubscribed"``, beside any list of that name.

    Ids are compared as text without blanks around them; 1000.0 is 1000, as in all that is read. Missing ids count for
    nobody.

    Raises
    ------
    ModelError
        A reason that is blank, or a list that is no list of ids.
    ContractError
        A frame without a column ``customer_id``, or an id that is a fraction.

    Examples
    --------
    >>> import pyarrow as pa
    >>> suppression = Suppression({"unsubscribed": ["ann"], "bounced": ["ann ", "bob"]}, consented=["ann", "bob"])
    >>> suppression.reasons(pa.array(["ann", "bob", "cy"])).to_pylist()
    ['unsubscribed, bounced', 'bounced', 'no consent']
    """

    lists: Mapping[str, Iterable[object]] = field(default_factory=dict)
    consented: Iterable[object] | None = None
    refused: Iterable[object] | None = None
    _read: "dict[str, IdList]" = field(init=False, repr=False, compare=False)
    _agreed: "IdList | None" = field(init=False, repr=False, compare=False)
    _no: "IdList | None" = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.lists, Mapping):
            raise ModelError(
                f"suppression is {type(self.lists).__name__}; it maps a reason to customer ids, such as "
                "{'bounced': ids}"
            )
        for reason in self.lists:
            if not isinstance(reason, str) or not reason.strip():
                shown = "a blank reason" if isinstance(reason, str) else f"the reason {reason!r}"
                raise ModelError(f"a suppression list has {shown}; name it in text, such as 'unsubscribed'")
        # read once: a list may be a generator
        said = {
            "_read": {reason: read_ids(ids, reason) for reason, ids in self.lists.items()},
            "_agreed": None if self.consented is None else read_ids(self.consented, "consented"),
            "_no": None if self.refused is None else read_ids(self.refused, "refused"),
        }
        for name, value in said.items():
            object.__setattr__(self, name, value)

    def reasons(self, customer_ids: "pa.Array", *, also: "Mapping[str, pa.Array] | None" = None) -> "pa.Array":
        """Return why each customer is suppressed, "" where he is not; shape (n,).

        Parameters
        ----------
        customer_ids : pyarrow.Array of shape (n,)
        also : mapping of str to pyarrow.Array of shape (n,), bool, optional
            Further reasons -> whom they concern.
        """
        import numpy as np
        import pyarrow as pa

        concerned = self.concerned(customer_ids, also=also)
        said = np.full(len(customer_ids), "", dtype=object)
        for reason, listed in concerned.items():
            rows = np.flatnonzero(listed)
            said[rows] = [f"{before}, {reason}" if before else reason for before in said[rows]]
        return pa.array(said.tolist(), pa.string())

    def concerned(
        self, customer_ids: "pa.Array", *, also: "Mapping[str, pa.Array] | None" = None
    ) -> "dict[str, np.ndarray]":
        """Return by reason whom it concerns, (n,) of bool each; parameters as of `reasons`.

        Examples
        --------
        >>> import pyarrow as pa
        >>> Suppression({"bounced": ["ann"]}).concerned(pa.array(["ann", "bob"]))["bounced"].tolist()
        [True, False]
        """
        import numpy as np
        import pyarrow.compute as pc

        asked = _plain(customer_ids)
        found: list[tuple[str, pa.Array]] = []
        if self._no is not None:
            found.append((UNSUBSCRIBED, pc.is_in(asked, value_set=self._no.texts)))
        found += [(reason, pc.is_in(asked, value_set=ids.texts)) for reason, ids in self._read.items()]
        if self._agreed is not None:
            found.append((NO_CONSENT, pc.invert(pc.is_in(asked, value_set=self._agreed.texts))))
        found += list((also or {}).items())
        concerned: dict[str, np.ndarray] = {}
        for reason, listed in found:
            rows = np.asarray(listed, dtype=np.bool_)
            concerned[reason] = rows | concerned[reason] if reason in concerned else rows
        return concerned

    def report(self, customer_ids: "pa.Array") -> dict[str, dict[str, int]]:
        """Return by list how many ``ids`` it holds, rows ``without_id``, and customers that it ``matched``.

        Examples
        --------
        >>> import pyarrow as pa
        >>> Suppression({"bounced": [7.0, None, 9]}).report(pa.array(["7", "8"]))
        {'bounced': {'ids': 2, 'without_id': 1, 'matched': 1}}
        """
        import pyarrow.compute as pc

        asked = _plain(customer_ids)
        return {
            reason: {
                "ids": len(pc.unique(ids.texts)),
                "without_id": ids.missing,
                "matched": int(pc.sum(pc.is_in(asked, value_set=ids.texts)).as_py() or 0),
            }
            for reason, ids in self._read.items()
        }


@dataclass(frozen=True)
class IdList:
    """Ids as text, as they are compared, and how many were missing."""

    texts: "pa.Array" = field(repr=False)
    missing: int


def read_ids(ids: Any, what: str) -> IdList:
    """Read ids from an iterable, a column, or a frame with a column ``customer_id``.

    Raises
    ------
    ModelError
        ``ids`` is one text, or no list.
    ContractError
        A frame has no column ``customer_id``, or an id is a fraction.

    Examples
    --------
    >>> read = read_ids([7, " ann", None, 1000.0, "1000.0"], "bounced")
    >>> read.texts.to_pylist(), read.missing
    (['7', 'ann', '1000', '1000'], 1)
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    values = _column(ids, what)
    if isinstance(values, pa.Array) and (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        texts = values.cast(pa.string())
    else:
        each = values.to_pylist() if isinstance(values, pa.Array) else values
        texts = pa.array([id_text(one, what) for one in each], pa.string())
    plain = _plain(texts)
    kept = plain.filter(pc.fill_null(pc.not_equal(plain, ""), False))
    return IdList(kept, len(texts) - len(kept))


def id_text(value: Any, what: str) -> str | None:
    """Return one id as text: the whole number that a float is, without blanks; None where it is missing.

    Raises
    ------
    ContractError
        The id is a fraction, or infinite.

    Examples
    --------
    >>> id_text(17850.0, "ids"), id_text(" ann ", "ids"), id_text(float("nan"), "ids")
    ('17850', 'ann', None)
    """
    if isinstance(value, str):
        return re.sub(_WHOLE, r"\1", value.strip()) or None
    if value is None or _is_missing(value):
        return None
    if isinstance(value, Decimal) or (isinstance(value, Real) and not isinstance(value, Integral)):
        number = value if isinstance(value, Decimal) else Decimal(float(value))
        if not number.is_finite() or number != number.to_integral_value():
            raise ContractError(f"{what} holds the id {value}: ids are text or whole numbers; write it as text")
        return str(int(number))
    return re.sub(_WHOLE, r"\1", str(value).strip()) or None


def contact_counts(given: Any) -> dict[str, int]:
    """Return recent contacts by id as text.

    Parameters
    ----------
    given : mapping or pandas.Series
        Customer -> contacts; ids of any kind.

    Raises
    ------
    ModelError
        It is neither, or a value is no count.

    Examples
    --------
    >>> contact_counts({7: 2, "ann": 1})
    {'7': 2, 'ann': 1}
    """
    if not isinstance(given, Mapping) and not (hasattr(given, "items") and hasattr(given, "index")):
        raise ModelError(
            f"recent_contacts is {type(given).__name__}; it maps customers to their sends, as count_contacts returns it"
        )
    counts: dict[str, int] = {}
    for customer, value in given.items():
        count = float(value) if isinstance(value, Real) else math.nan
        if not count.is_integer() or count < 0:
            raise ModelError(
                f"recent_contacts holds {value} of customer {customer!r}; they are counts, 0 or more, none missing"
            )
        text = id_text(customer, "recent_contacts")
        if text is not None:
            counts[text] = counts.get(text, 0) + int(count)
    return counts


def contacts_of(customer_ids: "pa.Array", counts: Mapping[str, int]) -> list[int]:
    """Return each customer's recent contacts, 0 where ``counts`` of `contact_counts` does not name him."""
    if not counts:
        return [0] * len(customer_ids)
    return [counts.get(text, 0) for text in _plain(customer_ids).to_pylist()]


def _plain(texts: "pa.Array") -> "pa.Array":
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.replace_substring_regex(pc.utf8_trim_whitespace(texts.cast(pa.string())), _WHOLE, r"\1")


def _is_missing(value: Any) -> bool:
    try:
        return bool(value != value)
    except TypeError:  # what pandas calls NA says neither yes nor no
        return True


def _column(ids: Any, what: str) -> Any:
    """Return the ids' values: an Arrow array, or a list."""
    import narwhals as nw
    import pyarrow as pa

    if isinstance(ids, pa.RecordBatch):
        ids = pa.Table.from_batches([ids])
    whole = nw.from_native(ids, pass_through=True)
    if isinstance(whole, nw.DataFrame | nw.LazyFrame) or (isinstance(ids, Mapping) and "customer_id" in ids):
        columns = columns_of(ids, what)
        if "customer_id" not in columns:
            raise ContractError(
                f"{what} has no column 'customer_id'{nearest('customer_id', list(columns))}; it has "
                f"{', '.join(map(str, columns))}"
            )
        ids = columns["customer_id"]
    if isinstance(ids, str | bytes | Mapping) or not hasattr(ids, "__iter__"):
        raise ModelError(f"{what} is {type(ids).__name__}; it is a list of customer ids")
    if isinstance(ids, nw.Series):
        ids = ids.to_native()
    if isinstance(ids, pa.ChunkedArray):
        ids = ids.combine_chunks()
    return ids if isinstance(ids, pa.Array) else _listed(ids)


def count_contacts(sends: Any, on: date, days: int, *, control: Iterable[str] = ("control",)) -> dict[str, int]:
    """Count each customer's sends in the ``days`` days up to and with ``on``.

    Parameters
    ----------
    sends : frame or mapping
        ``customer_id``, ``arm``, ``sent_at``, as in `sends` or in logs of decisions. A log's ``intended_arm`` counts in
        place of ``arm``: customers who were held out count as contacted with what was meant for them, so that a cap
        leaves the holdout its share. Further columns do not matter.
    on : date
        Day of the list that is being made; later sends do not count.
    days : int
        A send on ``on - days`` is long enough ago not to count.
    control : iterable of str
        Arms that stand for nothing: they are no contact, nor is a missing arm.

    Raises
    ------
    ContractError
        A column is missing.

    Examples
    --------
    >>> sends = {"customer_id": ["a", "a", "b"], "arm": ["mail", "mail", "control"],
    ...          "sent_at": [date(2026, 5, 1), date(2026, 5, 20), date(2026, 5, 20)]}
    >>> count_contacts(sends, date(2026, 5, 31), 30), count_contacts(sends, date(2026, 5, 31), 31)
    ({'a': 1}, {'a': 2})
    """
    columns = columns_of(sends, "sends")
    missing = [name for name in ("customer_id", "arm", "sent_at") if name not in columns]
    if missing:
        raise ContractError(f"sends have no column {missing[0]!r}; they need customer_id, arm and sent_at")
    nothing = {str(arm) for arm in control}
    first = on - timedelta(days=days)
    counts: dict[str, int] = {}
    given = "intended_arm" if "intended_arm" in columns else "arm"
    for customer, arm, sent in zip(*(_listed(columns[n]) for n in ("customer_id", given, "sent_at")), strict=True):
        if any(each is None or _is_missing(each) for each in (customer, arm, sent)) or str(arm) in nothing:
            continue
        day = sent.date() if isinstance(sent, datetime) else sent
        text = id_text(customer, "customer_id of sends")
        if text is not None and first < day <= on:
            counts[text] = counts.get(text, 0) + 1
    return counts


def _listed(column: Any) -> list[Any]:
    for name in ("to_pylist", "to_list", "tolist"):
        if hasattr(column, name):
            return getattr(column, name)()
    return list(column)
