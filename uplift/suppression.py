"""Whom a campaign must leave alone: those on a list, those without consent, those who were mailed lately."""

# pyarrow.compute makes its functions at import time, unseen by type checkers
# pyright: reportAttributeAccessIssue=false

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ..sql.errors import ContractError, ModelError
from ..sql.frames import columns_of

if TYPE_CHECKING:
    import pyarrow as pa

NO_CONSENT = "no consent"
MAILED_LATELY = "mailed recently"


@dataclass(frozen=True)
class Suppression:
    """Lists of customers who get nothing, whatever it would bring.

    Attributes
    ----------
    lists : mapping of str to iterable
        Reason, such as ``"unsubscribed"`` or ``"bounced"`` -> customer ids. A customer may be on several.
    consented : iterable, optional
        Customers who may be mailed; everybody else is suppressed for ``"no consent"``. Without it consent is not
        asked for.

    Ids are compared as text, without blanks around them: a list from elsewhere that has some still counts.

    Examples
    --------
    >>> import pyarrow as pa
    >>> suppression = Suppression({"unsubscribed": ["ann"], "bounced": ["ann ", "bob"]}, consented=["ann", "bob"])
    >>> suppression.reasons(pa.array(["ann", "bob", "cy"])).to_pylist()
    ['unsubscribed, bounced', 'bounced', 'no consent']
    """

    lists: Mapping[str, Iterable[object]] = field(default_factory=dict)
    consented: Iterable[object] | None = None

    def reasons(self, customer_ids: "pa.Array") -> "pa.Array":
        """Return why each customer is suppressed, "" where he is not; shape (n,).

        Raises
        ------
        ModelError
            A reason that is blank, or a list that is one text.
        """
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        asked = pc.utf8_trim_whitespace(customer_ids.cast(pa.string()))
        said = np.full(len(asked), "", dtype=object)
        found = [(reason, pc.is_in(asked, value_set=id_texts(ids, reason))) for reason, ids in self.lists.items()]
        if self.consented is not None:
            agreed = pc.is_in(asked, value_set=id_texts(self.consented, "consented"))
            found.append((NO_CONSENT, pc.invert(agreed)))
        for reason, listed in found:
            if not reason.strip():
                raise ModelError("a suppression list has a blank reason; name it, such as 'unsubscribed'")
            rows = np.flatnonzero(np.asarray(listed))
            said[rows] = [f"{before}, {reason}" if before else reason for before in said[rows]]
        return pa.array(said.tolist(), pa.string())


def id_texts(ids: Iterable[object], what: str) -> "pa.Array":
    """Return ids as text without blanks around them, missing ones left out.

    Raises
    ------
    ModelError
        ``ids`` is one text.

    Examples
    --------
    >>> id_texts([7, " ann", None], "bounced").to_pylist()
    ['7', 'ann']
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(ids, str | bytes | Mapping):
        raise ModelError(f"{what} is {type(ids).__name__}; it is a list of customer ids")
    if isinstance(ids, pa.Array | pa.ChunkedArray):
        texts = ids.cast(pa.string())
        texts = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    else:
        values = ids.to_list() if hasattr(ids, "to_list") else ids
        texts = pa.array([None if each is None or each != each else str(each) for each in values], pa.string())
    return pc.utf8_trim_whitespace(pc.drop_null(texts))


def count_contacts(sends: Any, on: date, days: int, *, control: Iterable[str] = ("control",)) -> dict[str, int]:
    """Count each customer's sends in the ``days`` days up to and with ``on``.

    Parameters
    ----------
    sends : frame or mapping
        ``customer_id``, ``arm``, ``sent_at``; further columns do not matter.
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
    for customer, arm, sent in zip(*(_listed(columns[n]) for n in ("customer_id", "arm", "sent_at")), strict=True):
        if any(each is None or each != each for each in (customer, arm, sent)) or str(arm) in nothing:
            continue
        day = sent.date() if isinstance(sent, datetime) else sent
        if first < day <= on:
            counts[str(customer)] = counts.get(str(customer), 0) + 1
    return counts


def _listed(column: Any) -> list[Any]:
    for name in ("to_pylist", "to_list", "tolist"):
        if hasattr(column, name):
            return getattr(column, name)()
    return list(column)
