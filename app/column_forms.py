"""How a column's values are written: dates with their form, numbers with their marks; and the SQL that reads them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise
from typing import Any

from ..sql.conversions import ISO_LOCAL, ISO_OFFSET

_ENOUGH = 0.9
_MOST = 2_000
_CLOCKS = ("", " %H:%M", " %H:%M:%S", "T%H:%M:%S", " %I:%M %p", " %I:%M:%S %p", ", %H:%M", " %H.%M")
_DAYS = (
    "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%y", "%d/%m/%y",
    "%m/%d/%y", "%Y%m%d", "%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y",
)  # fmt: skip
_EARLIEST, _LATEST = 1970, 2100


@dataclass(frozen=True)
class DateForm:
    """How dates are written: ``said`` is the SQL that reads them, "" where the column is read as it is."""

    said: str
    told: str
    share: float
    has_clock: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class NumberForm:
    """How numbers are written: ``said`` is the SQL that reads them, "" where the column is read as it is.

    ``whole`` is the share of whole numbers, ``is_text`` whether the file holds them as text.
    """

    said: str
    told: str
    whole: float
    is_text: bool


def date_form(type_: str, values: Sequence[Any], term: str) -> DateForm | None:
    """Return how a column writes dates; None where it holds none.

    Parameters
    ----------
    type_ : str
        DuckDB's.
    values : sequence
        Some of its values, none of them NULL or blank.
    term : str
        How a SQL expression calls the column.

    Examples
    --------
    >>> date_form("VARCHAR", ["12/31/2019 08:15", "01/02/2020 17:00"], "day").said
    "try_strptime(day, '%m/%d/%Y %H:%M')"
    >>> date_form("BIGINT", [19970101, 19970118], "day").said
    "try_strptime(CAST(day AS VARCHAR), '%Y%m%d')"
    """
    kind = type_.upper()
    values = values[:_MOST]
    if not values:
        return None
    if kind.startswith(("TIMESTAMP", "DATE")):
        return DateForm("", f"{'moments' if kind.startswith('TIMESTAMP') else 'days'} as they are", 1.0, kind != "DATE")
    if kind.startswith(("BIGINT", "INTEGER", "UBIGINT", "UINTEGER", "HUGEINT")):
        return _from_number(values, term)
    if kind.startswith("VARCHAR"):
        return _from_text([str(value).strip() for value in values], term)
    return None


def number_form(type_: str, values: Sequence[Any], term: str) -> NumberForm | None:
    """Return how a column writes numbers; None where it holds none.

    Examples
    --------
    >>> number_form("VARCHAR", ["1.204,50 €", "-9,99 €"], "amount").said
    "replace(regexp_replace(amount, '[^0-9,-]', '', 'g'), ',', '.')"
    >>> number_form("DOUBLE", [1.5, 2.0], "amount").said
    ''
    >>> number_form("VARCHAR", ["red", "2"], "colour") is None
    True
    """
    kind = type_.upper()
    values = values[:_MOST]
    if not values:
        return None
    if re.match(r"U?(TINYINT|SMALLINT|INTEGER|BIGINT|HUGEINT)|DOUBLE|FLOAT|DECIMAL", kind):
        whole = sum(float(value) == int(value) for value in values if abs(float(value)) < 1e300) / len(values)
        return NumberForm("", "", whole, is_text=False)
    if not kind.startswith("VARCHAR"):
        return None
    texts = [str(value).strip() for value in values]
    plain = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)")
    if _share(texts, lambda text: plain.fullmatch(text) is not None) >= _ENOUGH:
        whole = sum(re.fullmatch(r"[+-]?\d+(\.0*)?", text) is not None for text in texts) / len(texts)
        return NumberForm("", "", whole, is_text=True)
    bare = [re.sub(r"^(?:[A-Z]{3}|[£$€¥₹])\s?|\s?(?:[A-Z]{3}|[£$€¥₹]|zł|kr)$", "", text).strip() for text in texts]
    comma = re.compile(r"[£$€]?-?[£$€]?\s?(\d{1,3}([. \u00a0'’]\d{3})+|\d+)(,\d{1,2})?")
    point = re.compile(r"[£$€]?-?[£$€]?\s?(\d{1,3}([, \u00a0'’]\d{3})+|\d+)(\.\d{1,4})?")
    commas = _share(bare, lambda text: comma.fullmatch(text) is not None)
    points = _share(bare, lambda text: point.fullmatch(text) is not None)
    if max(commas, points) < _ENOUGH:
        return None
    if points >= commas:
        said, told = f"regexp_replace({term}, '[^0-9.-]', '', 'g')", "numbers with marks between"
    else:
        said, told = f"replace(regexp_replace({term}, '[^0-9,-]', '', 'g'), ',', '.')", "numbers with a decimal comma"
    return NumberForm(said, told, 0.0, is_text=True)


def _from_number(values: Sequence[Any], term: str) -> DateForm | None:
    numbers = [int(value) for value in values]
    if _share(numbers, lambda n: _reads(str(n), "%Y%m%d")) >= _ENOUGH:
        return DateForm(
            f"try_strptime(CAST({term} AS VARCHAR), '%Y%m%d')", "days such as 20240131", 1.0, has_clock=False
        )
    for divisor, unit, told in ((1, "to_timestamp({})", "seconds"), (1_000, "to_timestamp({} / 1000)", "milliseconds")):
        low, high = 946_684_800 * divisor, 2_208_988_800 * divisor  # 2000 to 2040
        if all(low <= number <= high for number in numbers) and len(set(numbers)) > 1:
            return DateForm(unit.format(term), f"{told} since 1970", 0.9, has_clock=True)
    return None


def _from_text(texts: Sequence[str], term: str) -> DateForm | None:
    iso = _share(texts, lambda text: re.match(ISO_LOCAL, text) is not None or re.match(ISO_OFFSET, text) is not None)
    if iso >= _ENOUGH:
        clock = _share(texts, lambda text: len(text) > 10) >= 0.5
        return DateForm("", "moments as they are" if clock else "days as they are", iso, clock)
    if not texts or not re.search(r"\d", texts[0]) or len(texts[0]) > 40:
        return None
    found = []
    for clock in _CLOCKS:
        for day in _DAYS:
            form = day + clock
            if not _reads(texts[0], form) and not _reads(texts[len(texts) // 2], form):
                continue
            share = _share(texts, lambda text, form=form: _reads(text, form))
            if share >= _ENOUGH:
                found.append((share, form))
    if not found:
        return None
    share = max(share for share, _ in found)
    forms = [form for one, form in found if one == share]
    chosen, notes = _day_or_month(texts, forms)
    said = f"try_strptime({term}, '{chosen}')"
    return DateForm(said, f"written as {texts[0][:30]}", share, "%H" in chosen or "%I" in chosen, notes)


def _day_or_month(texts: Sequence[str], forms: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Of forms that read a sample alike, the one whose days go on as a file's do; and what is to be asked."""
    if len(forms) == 1:
        return forms[0], ()
    spans = {}
    for form in forms:
        days = [datetime.strptime(text, form).date() for text in texts if _reads(text, form)]  # noqa: DTZ007
        steps = sum(abs((after - before).days) for before, after in pairwise(days))
        spans[form] = (steps, forms.index(form))
    chosen = min(spans, key=spans.__getitem__)
    other = next(form for form in forms if form != chosen)
    example = datetime.strptime(next(text for text in texts if _reads(text, chosen)), chosen)  # noqa: DTZ007
    note = (
        f"Days and months cannot be told apart in this sample: {texts[0]!r} is read as {example:%-d %B %Y}. If that is "
        f"wrong, write '{other}'."
    )
    return chosen, (note,)


def _reads(text: str, form: str) -> bool:
    if form.startswith("%Y%m%d") and not re.match(r"\d{8}(\D|$)", text):
        return False
    try:
        found: date = datetime.strptime(text, form)  # noqa: DTZ007 - only the form matters
    except ValueError:
        return False
    return _EARLIEST <= found.year <= _LATEST


def _share(values: Sequence[Any], holds: Any) -> float:
    return sum(map(bool, map(holds, values))) / len(values) if values else 0.0
