"""Which column of a file is the customer, the date, the money: guessed from names and from what stands in them.

Names are compared in several languages; contents decide what a column can be and how it must be read: dates by the form
that all of a sample has (day or month first where a sample can tell), numbers with commas or signs, ids by how often
they recur. A guess is a proposal with its reason, for a person to confirm; nothing is read from the file here.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .column_forms import DateForm, date_form, number_form
from .column_names import COLUMN_NAMES

# Words that say a date is another one than that of the order.
_OTHER_DATES = {
    "birth", "birthday", "born", "updated", "modified", "shipped", "shipping", "delivered", "delivery", "due", "return",
    "returned", "refund", "joined", "registered", "signup", "geburtsdatum", "geburt", "lieferdatum", "versand",
    "end", "expiry", "naissance", "nacimiento", "nascita", "paid",
}  # fmt: skip
# Words after which a money column is another one than what was paid for the line.
_OTHER_MONEY = {"tax", "vat", "shipping", "freight", "tip", "disc", "discount", "cost", "margin", "profit", "unit",
                "list", "steuer", "mwst", "versand", "porto", "tva", "iva", "btw", "balance", "history"}  # fmt: skip

_MONEY = ("revenue", "unit_price", "list_price", "unit_cost", "discount")
_SYMBOLS = {"£": "GBP", "$": "USD", "€": "EUR", "¥": "JPY", "₹": "INR", "zł": "PLN"}
_CURRENCY_WORDS = {
    "dollar": "USD", "dollars": "USD", "usd": "USD", "eur": "EUR", "euro": "EUR", "euros": "EUR", "gbp": "GBP",
    "pound": "GBP", "pounds": "GBP", "sek": "SEK", "chf": "CHF", "pln": "PLN", "brl": "BRL", "jpy": "JPY",
}  # fmt: skip
_ENOUGH = 0.45


@dataclass(frozen=True)
class SampleColumn:
    """A column of a file with some of its values.

    ``type`` is DuckDB's; ``sql`` is how an expression calls it, where that is not its name.
    """

    name: str
    type: str
    values: tuple[Any, ...]
    sql: str = ""

    @cached_property
    def there(self) -> list[Any]:
        """The values that are neither NULL nor blank."""
        return [value for value in self.values if value is not None and str(value).strip()]

    @cached_property
    def distinct(self) -> int:
        """How many different ones there are."""
        return len({str(value).strip() for value in self.there})

    @property
    def is_named(self) -> bool:
        """Whether the file gave it a name; else it is a "part" or "column" with a number."""
        return bool(self.words) and re.fullmatch(r"(part|column)[ _]?\d+", self.name) is None

    @property
    def said(self) -> str:
        """How the settings call it."""
        return self.sql or self.name

    @property
    def term(self) -> str:
        """How it stands in a SQL expression."""
        return self.sql or '"' + self.name.replace('"', '""') + '"'

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The words of its name, lower case, without accents."""
        plain = "".join(c for c in unicodedata.normalize("NFKD", self.name) if not unicodedata.combining(c))
        parted = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", plain.replace("ß", "ss").replace("ł", "l"))
        return tuple(re.findall(r"[a-z]+|[0-9]+", parted.lower()))


@dataclass(frozen=True)
class GuessedColumn:
    """What feeds a contract column: ``said`` is a column or a SQL expression, ``why`` the reason in words."""

    name: str
    said: str
    why: str
    certainty: float


@dataclass(frozen=True)
class Guess:
    """A proposed mapping. ``missing`` are required columns that nothing seems to feed; ``currency`` may be ""."""

    columns: Mapping[str, GuessedColumn]
    missing: tuple[str, ...]
    currency: str
    notes: tuple[str, ...]

    @property
    def mapping(self) -> dict[str, str]:
        """Contract column to column or expression, as ``[orders.columns]`` says it."""
        return {name: column.said for name, column in self.columns.items()}


def guess_mapping(sample: Sequence[SampleColumn]) -> Guess:
    r"""Propose which columns of a file feed which columns of ``order_lines``.

    Parameters
    ----------
    sample : sequence of SampleColumn
        All columns with the values of the same rows, in the file's order; some thousand rows tell enough.

    Returns
    -------
    Guess

    Examples
    --------
    >>> days = ("03.01.2024", "17.01.2024", "17.01.2024", "02.02.2024")
    >>> sample = [
    ...     SampleColumn("Kundennr", "VARCHAR", ("17", "4", "17", "17")),
    ...     SampleColumn("Bestelldatum", "VARCHAR", days),
    ...     SampleColumn("Betrag", "VARCHAR", ("1.204,50 €", "9,99 €", "-9,99 €", "20,00 €")),
    ... ]
    >>> found = guess_mapping(sample)
    >>> found.mapping["customer_id"], found.mapping["ordered_at"], found.currency
    ('Kundennr', 'try_strptime("Bestelldatum", \'%d.%m.%Y\')', 'EUR')
    """
    return _Guesser(sample).guess()


class _Guesser:
    def __init__(self, sample: Sequence[SampleColumn]) -> None:
        self.sample = list(sample)
        self.dates: dict[str, DateForm] = {}
        for column in sample:
            form = date_form(column.type, column.there, column.term)
            if form is not None:
                self.dates[column.name] = form
        self.numbers = {c.name: f for c in sample if (f := number_form(c.type, c.there, c.term)) is not None}
        self.found: dict[str, GuessedColumn] = {}
        self.used: dict[str, SampleColumn] = {}
        self.notes: list[str] = []

    def guess(self) -> Guess:
        self._date()
        for name in ("order_id", "customer_id", "sku"):
            self._id(name)
        for name in ("quantity", "unit_price", "list_price", "unit_cost", "discount"):
            self._number(name)
        self._revenue()
        self._others()
        if "order_id" in self.used and "customer_id" not in self.used:
            self.notes.append("No column looks like a customer: without one there is nobody to expect back.")
        missing = tuple(name for name in ("customer_id", "ordered_at", "revenue") if name not in self.found)
        order = {name: place for place, name in enumerate(COLUMN_NAMES)}
        columns = {name: self.found[name] for name in sorted(self.found, key=order.__getitem__)}
        return Guess(columns, missing, self._currency(), tuple(self.notes))

    # ---- one kind of column each

    def _date(self) -> None:
        scored = []
        for column in self.sample:
            form = self.dates.get(column.name)
            if form is None or (set(column.words) & _OTHER_DATES):
                continue
            named = _named(column, "ordered_at")
            scored.append(
                (0.55 * named + 0.3 * form.share + 0.1 * form.has_clock + 0.05 * (column.distinct > 1), column)
            )
        if not scored:
            return
        score, column = _best(scored)
        form = self.dates[column.name]
        self._take("ordered_at", column, form.said or column.said, f"{form.told}", score)
        self.notes += form.notes
        later = next((c for c in self.sample if c.name in self.dates and _named(c, "returned_at") >= 0.8), None)
        if later is not None and later is not column:
            self._take("returned_at", later, self.dates[later.name].said or later.said, "named so", 0.8)

    def _id(self, name: str) -> None:
        scored = []
        for column in self.sample:
            if (
                self._is_taken(column)
                or not _is_id(column)
                or (column.name in self.dates and _named(column, name) < 0.9)
            ):
                continue
            named, shaped = _named(column, name), self._shaped_as(name, column)
            if name == "sku" and named < 0.5:
                continue
            if named < 0.35 and not (name == "customer_id" and self._may_be_nameless(column)):
                continue
            if shaped > 0:
                scored.append((0.65 * named + 0.35 * shaped, column))
        if scored:
            score, column = _best(scored)
            if score >= 0.3:
                why = "named so" if _named(column, name) >= 0.35 else "recurs as customers do"
                said = column.said
                if name == "customer_id" and _are_addresses(column):
                    # a blank one is a guest, not a customer called ""
                    said = f"sha256(lower(nullif(trim({column.term}), '')))"
                    why = "e-mail addresses: SHA-256 of each, for an address stands in no table"
                self._take(name, column, said, f"{why}, {column.distinct:,} different", score)

    def _number(self, name: str) -> None:
        scored = []
        for column in self.sample:
            form = self.numbers.get(column.name)
            if form is None or self._is_taken(column):
                continue
            named = _named(column, name)
            if name == "unit_price" and named and set(column.words) & {"total", "list", "regular", "original", "cost"}:
                continue
            if name == "quantity" and form.whole < 0.9:
                named *= 0.5
            if named >= 0.5 and not (name == "discount" and "pct" in column.words):
                scored.append((named, column))
        if not scored and name == "quantity" and not any(c.is_named for c in self.sample):
            whole = [c for c in self.sample if c.name in self.numbers and not self._is_taken(c) and not _wide(c)]
            scored = [(0.5, c) for c in whole if self.numbers[c.name].whole == 1.0 and c.name not in self.dates]
        if scored:
            score, column = _best(scored)
            why = "named so" if column.is_named else "small whole numbers"
            self._take(name, column, self.numbers[column.name].said or column.said, why, score)

    def _revenue(self) -> None:
        scored = []
        for column in self.sample:
            form = self.numbers.get(column.name)
            if form is None or self._is_taken(column) or column.name in self.dates:
                continue
            named = _named(column, "revenue")
            if set(column.words) & _OTHER_MONEY and named < 1.0:
                named *= 0.4
            if named < 0.4 and column.is_named:
                continue
            scored.append((0.7 * (named or 0.4) + 0.3 * (1 - form.whole), column))
        quantity, price = self.used.get("quantity"), self.used.get("unit_price")
        if scored:
            score, column = _best(scored)
            repeated = self._is_order_total(column)
            if not (repeated and quantity is not None and price is not None):
                form = self.numbers[column.name]
                self._take(
                    "revenue",
                    column,
                    form.said or column.said,
                    form.told or ("named so" if column.is_named else "amounts"),
                    score,
                )
                if repeated:
                    self.notes.append(
                        f"{column.name} seems to be the whole order's, repeated on each of its lines: it would be "
                        "counted once a line. Map what was paid for the line."
                    )
                return
            self.notes.append(
                f"{column.name} seems to be the whole order's, repeated on each of its lines: quantity times price is "
                "taken instead."
            )
        if quantity is not None and price is not None:
            said = f"{self._as_number(quantity, 'DECIMAL(18,3)')} * {self._as_number(price, 'DECIMAL(18,4)')}"
            self.found["revenue"] = GuessedColumn("revenue", said, "what was paid for a line: pieces times price", 0.75)
        elif price is not None:
            form = self.numbers[price.name]
            self.found["revenue"] = GuessedColumn(
                "revenue", form.said or price.said, "a price, and no column with pieces: one a line", 0.5
            )

    def _others(self) -> None:
        for name in ("store_id", "channel", "currency", "original_order_id", "is_product"):
            scored = [(_named(c, name), c) for c in self.sample if not self._is_taken(c) and c.there]
            scored = [(s, c) for s, c in scored if s >= 0.6 and (name != "currency" or _are_codes(c))]
            if scored:
                score, column = _best(scored)
                self._take(name, column, column.said, "named so", score)
        if "currency" not in self.found:
            coded = next((c for c in self.sample if not self._is_taken(c) and _are_known_currencies(c)), None)
            if coded is not None:
                self._take("currency", coded, coded.said, "holds codes of currencies", 0.7)

    # ---- what columns say of each other

    def _may_be_nameless(self, column: SampleColumn) -> bool:
        """Whether a column that is not called so may be the customer: no other is, and its name says nothing else."""
        if any(_named(other, "customer_id") >= 0.5 for other in self.sample):
            return False
        if any(_named(column, other) >= 0.5 for other in COLUMN_NAMES if other != "customer_id"):
            return False
        return not column.is_named or bool({"id", "nr", "no", "number", "code", "key"} & set(column.words))

    def _shaped_as(self, name: str, column: SampleColumn) -> float:
        rows, distinct = len(column.there), column.distinct
        if rows < 2 or distinct < 2:
            return 0.0
        recurs = 1 - distinct / rows
        if name == "order_id":
            return 0.6 if distinct <= rows else 0.0
        if name == "customer_id":
            # many, and each some times: few are a country or a count, as many as lines are orders
            return 0.2 if recurs <= 0.01 else 0.6 + 0.4 * min(2 * distinct / rows, 1.0)
        return 0.6

    def _is_order_total(self, column: SampleColumn) -> bool:
        """Whether lines of one order all carry the same amount, though their products differ."""
        order = self.used.get("order_id")
        if order is None:
            return False
        amounts: dict[str, list[str]] = defaultdict(list)
        for key, value in zip(order.values, column.values, strict=False):
            if key is not None and value is not None:
                amounts[str(key)].append(str(value))
        several = [values for values in amounts.values() if len(values) > 1]
        return len(several) >= 5 and sum(len(set(values)) == 1 for values in several) >= 0.95 * len(several)

    def _as_number(self, column: SampleColumn, type_: str) -> str:
        form = self.numbers[column.name]
        if form.is_text:
            return f"TRY_CAST({form.said or column.term} AS {type_})"
        return column.said if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", column.said) else column.term

    def _currency(self) -> str:
        for name in ("currency", *_MONEY):
            column = self.used.get(name)
            if column is None:
                continue
            if name == "currency":
                return Counter(str(value).strip().upper() for value in column.there).most_common(1)[0][0]
            text = " ".join(str(value) for value in column.there[:200])
            for symbol, code in _SYMBOLS.items():
                if symbol in text:
                    return code
            for word in column.words:
                if word in _CURRENCY_WORDS:
                    return _CURRENCY_WORDS[word]
        return ""

    def _take(self, name: str, column: SampleColumn, said: str, why: str, score: float) -> None:
        self.found[name] = GuessedColumn(name, said, why, round(min(score, 1.0), 2))
        self.used[name] = column

    def _is_taken(self, column: SampleColumn) -> bool:
        return any(column is used for used in self.used.values())


def _named(column: SampleColumn, name: str) -> float:
    """How well a column's name fits a contract column, 0 to 1."""
    words = [word for word in column.words if not word.isdigit()]
    if not words or not column.is_named:
        return 0.0
    joined = "".join(words)
    best = 0.0
    names = COLUMN_NAMES[name]
    for place, synonym in enumerate(names):
        parts = synonym.split()
        rank = 1 - 0.25 * place / len(names)
        if words == parts or joined == "".join(parts):
            return max(best, rank)
        if set(parts) <= set(words):
            best = max(best, rank * (0.5 + 0.4 * len(parts) / len(words)))
        elif len(synonym) >= 5 and synonym.replace(" ", "") in joined:
            best = max(best, 0.55 * rank)
    return best


def _best(scored: Sequence[tuple[float, SampleColumn]]) -> tuple[float, SampleColumn]:
    # of equals the first one: files begin with what matters
    return max(scored, key=lambda pair: pair[0])


def _is_id(column: SampleColumn) -> bool:
    if not column.there or column.type.upper().startswith(("DOUBLE", "FLOAT", "DATE", "TIMESTAMP", "BOOLEAN")):
        # whole numbers that were NULL somewhere come as DOUBLE out of pandas
        return bool(column.there) and all(isinstance(v, float) and v == int(v) for v in column.there[:500])
    texts = [str(value).strip() for value in column.there[:500]]
    return sum(len(text) for text in texts) / len(texts) <= 64 and not any("." in t and _is_decimal(t) for t in texts)


def _are_addresses(column: SampleColumn) -> bool:
    texts = [str(value).strip() for value in column.there[:500]]
    return 2 * sum(re.fullmatch(r"[^@\s]+@[^@\s]+", text) is not None for text in texts) > len(texts)


def _is_decimal(text: str) -> bool:
    return bool(re.fullmatch(r"-?\d+[.,]\d{1,4}", text))


def _wide(column: SampleColumn) -> bool:
    texts = [str(value).strip() for value in column.there[:500]]
    return max(map(len, texts), default=0) > 3


def _are_codes(column: SampleColumn) -> bool:
    return all(re.fullmatch(r"[A-Za-z]{3}", str(value).strip()) for value in column.there[:200])


def _are_known_currencies(column: SampleColumn) -> bool:
    known = {*_SYMBOLS.values(), *_CURRENCY_WORDS.values(), "NOK", "DKK", "CAD", "AUD", "CZK", "HUF"}
    return (
        bool(column.there)
        and column.distinct <= 20
        and all(str(v).strip().upper() in known for v in column.there[:500])
    )
