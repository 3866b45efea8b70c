"""From the types of a file to those of the contract: the SQL of each conversion, the same on DuckDB and Spark."""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]{1,9})?)?"
ISO_LOCAL = rf"^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}([ T]{_CLOCK})?$"
ISO_OFFSET = rf"^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[ T]{_CLOCK}(Z|[+-](0[0-9]|1[0-4])(:?[0-5][0-9])?)$"
_DIGITS = r"[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)"
NUMBER = rf"^{_DIGITS}$"
SCIENTIFIC = rf"^{_DIGITS}[eE][+-]?[0-9]{{1,3}}$"

_KINDS = {
    r"U?(TINYINT|SMALLINT|INTEGER|BIGINT|HUGEINT)": "integer",
    r"FLOAT|DOUBLE": "double",
    r"DECIMAL.*": "decimal",
    r"VARCHAR|ENUM.*|UUID": "text",
    r"BOOLEAN": "boolean",
    r"DATE": "date",
    r"TIMESTAMP|TIMESTAMP_S|TIMESTAMP_MS": "timestamp",
    r"TIMESTAMP_NS": "nanoseconds",
    r"TIMESTAMP WITH TIME ZONE|TIMESTAMPTZ": "zoned",
    r'"?NULL"?': "null",
}


_SPOKEN = {
    "integer": "INTEGER",
    "double": "DOUBLE",
    "decimal": "DECIMAL",
    "text": "VARCHAR",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
    "nanoseconds": "TIMESTAMP_NS",
    "zoned": "TIMESTAMP WITH TIME ZONE",
}


class Reading(NamedTuple):
    """One value to convert: its SQL, the contract's type, and the shop's time zone."""

    value: str
    type: str
    timezone: str

    @property
    def trimmed(self) -> str:
        """The SQL of a text value without surrounding blanks."""
        return f"TRIM({self.value})"


def kind_of(type_: str) -> str:
    """Return what sort of values a DuckDB type holds; "" for those no contract column takes.

    Examples
    --------
    >>> kind_of("DECIMAL(18,2)"), kind_of("BIGINT"), kind_of("TIMESTAMP WITH TIME ZONE"), kind_of("BLOB")
    ('decimal', 'integer', 'zoned', '')
    """
    plain = type_.upper()
    if plain.endswith("]"):
        return ""
    return next((kind for pattern, kind in _KINDS.items() if re.fullmatch(pattern, plain)), "")


def family_of(type_: str) -> str:
    """Return which family of conversions makes a contract type.

    Examples
    --------
    >>> family_of("VARCHAR"), family_of("DECIMAL(18,2)")
    ('id', 'decimal')
    """
    families = {"VARCHAR": "id", "TIMESTAMP": "timestamp", "DATE": "date", "BOOLEAN": "boolean", "DOUBLE": "double"}
    return families.get(type_, "decimal")


def readable_kinds(type_: str) -> list[str]:
    """Return the kinds of values that can be read as a contract type, sorted.

    Examples
    --------
    >>> readable_kinds("TIMESTAMP")
    ['date', 'nanoseconds', 'text', 'timestamp', 'zoned']
    """
    return sorted(kind for family, kind in _CONVERSIONS if family == family_of(type_))


def readable_types(type_: str) -> str:
    """Return the types that can be read as a contract type, for error messages.

    Examples
    --------
    >>> readable_types("DECIMAL(18,2)")
    'DECIMAL, DOUBLE, INTEGER, VARCHAR'
    """
    return ", ".join(sorted(_SPOKEN[kind] for kind in readable_kinds(type_)))


def converted(value: str, kind: str, type_: str, timezone: str) -> str:
    """Return the SQL that reads ``value``, of a kind that ``readable_kinds`` lists, as a contract type.

    Money from DOUBLE is rounded half away from zero; what cannot be read is NULL. Instants become the local time of
    ``timezone``.

    Examples
    --------
    >>> converted('"amount"', "decimal", "DECIMAL(18,2)", "UTC")
    'TRY_CAST("amount" AS DECIMAL(18, 2))'
    """
    return _CONVERSIONS[(family_of(type_), kind)](Reading(value, type_.replace(",", ", "), timezone))


def text_of(value: str, type_: str) -> str:
    """Return the SQL of a value as text, written alike by every engine.

    Examples
    --------
    >>> text_of('"amount"', "VARCHAR")
    'CAST("amount" AS VARCHAR)'
    """
    text = f"CAST({value} AS VARCHAR)"
    if kind_of(type_) != "double":
        return text
    # 1e+16 and inf here, 1.0E16 and Infinity there
    text = f"LOWER({text})"
    for other, ours in (("infinity", "inf"), (".0e", "e"), ("e+", "e"), ("e-0", "e-")):
        text = f"REPLACE({text}, '{other}', '{ours}')"
    return text


def _cast(r: Reading) -> str:
    return f"CAST({r.value} AS {r.type})"


def _try_cast(r: Reading) -> str:
    return f"TRY_CAST({r.value} AS {r.type})"


def _local(r: Reading) -> str:
    return f"CAST({r.value} AT TIME ZONE '{r.timezone}' AS {r.type})"


def _from_nanoseconds(r: Reading) -> str:
    # A cast rounds, and the last nanosecond of a day, which some write for its end, would fall into the next one.
    nanoseconds = f"EPOCH_NS({r.value})"
    return f"CAST(MAKE_TIMESTAMP(({nanoseconds} - (({nanoseconds} % 1000) + 1000) % 1000) // 1000) AS {r.type})"


def _moment_from_text(r: Reading) -> str:
    # The pattern decides, not the cast: the engines' casts take different sets of texts. Spark wants seconds before
    # an offset.
    text = r.trimmed
    with_seconds = f"SUBSTRING({text}, 1, 16) || ':00' || SUBSTRING({text}, 17)"
    full = f"CASE WHEN SUBSTRING({text}, 17, 1) = ':' THEN {text} ELSE {with_seconds} END"
    return (
        f"CAST(CASE WHEN REGEXP_MATCHES({text}, '{ISO_OFFSET}') "
        f"THEN TRY_CAST({full} AS TIMESTAMPTZ) AT TIME ZONE '{r.timezone}' "
        f"WHEN REGEXP_MATCHES({text}, '{ISO_LOCAL}') THEN TRY_CAST({text} AS TIMESTAMP) END AS {r.type})"
    )


def _decimal_from_text(r: Reading) -> str:
    # 1e3 is how a floating-point number is written, and is read as one: DuckDB takes some such texts for too large.
    from_double = _decimal_from_double(r._replace(value=f"TRY_CAST({r.trimmed} AS DOUBLE)"))
    return (
        f"CASE WHEN REGEXP_MATCHES({r.trimmed}, '{NUMBER}') THEN TRY_CAST({r.trimmed} AS {r.type}) "
        f"WHEN REGEXP_MATCHES({r.trimmed}, '{SCIENTIFIC}') THEN {from_double} END"
    )


def _double_from_text(r: Reading) -> str:
    is_number = f"REGEXP_MATCHES({r.trimmed}, '{NUMBER}') OR REGEXP_MATCHES({r.trimmed}, '{SCIENTIFIC}')"
    return f"CASE WHEN {is_number} THEN TRY_CAST({r.trimmed} AS DOUBLE) END"


def _decimal_from_double(r: Reading) -> str:
    # Rounded to a whole number of the smallest unit first, half away from zero as ROUND does on both engines; from
    # there on all is exact, while a cast from DOUBLE to DECIMAL rounds differently on each of them.
    scale = int(r.type.rstrip(")").split(",")[1])
    unit = f"CAST({10**-scale:.{scale}f} AS DECIMAL({scale}, {scale}))"
    whole = f"TRY_CAST(ROUND(CAST({r.value} AS DOUBLE) * {10**scale}) AS BIGINT)"
    return f"CAST(TRY_CAST({whole} AS DECIMAL(18, 0)) * {unit} AS {r.type})"


def _id_from_decimal(r: Reading) -> str:
    whole = f"CAST(CAST(ROUND({r.value}) AS DECIMAL(38, 0)) AS VARCHAR)"
    return f"CASE WHEN {r.value} = ROUND({r.value}) THEN {whole} ELSE CAST({r.value} AS VARCHAR) END"


def _id_from_double(r: Reading) -> str:
    # NaN is how a missing id comes out of pandas; a NaN equals itself and is greater than every number.
    size = f"ABS({r.value})"
    return (
        f"CASE WHEN {size} <= {2**53} AND {r.value} = ROUND({r.value}) "
        f"THEN CAST(TRY_CAST({r.value} AS BIGINT) AS VARCHAR) "
        f"WHEN {size} <= {2**53} THEN CAST({r.value} AS VARCHAR) END"
    )


def _boolean_from_number(r: Reading) -> str:
    return f"CAST({r.value} <> 0 AS BOOLEAN)"


def _boolean_from_text(r: Reading) -> str:
    return (
        f"CASE WHEN LOWER({r.trimmed}) IN ('true', 't', 'yes', 'y', '1') THEN TRUE "
        f"WHEN LOWER({r.trimmed}) IN ('false', 'f', 'no', 'n', '0') THEN FALSE END"
    )


_CONVERSIONS: Mapping[tuple[str, str], Callable[[Reading], str]] = {
    ("id", "text"): _cast,
    ("id", "integer"): _cast,
    ("id", "decimal"): _id_from_decimal,
    ("id", "double"): _id_from_double,
    ("timestamp", "timestamp"): _cast,
    ("timestamp", "date"): _cast,
    ("timestamp", "nanoseconds"): _from_nanoseconds,
    ("timestamp", "zoned"): _local,
    ("timestamp", "text"): _moment_from_text,
    ("date", "timestamp"): _cast,
    ("date", "date"): _cast,
    ("date", "nanoseconds"): _from_nanoseconds,
    ("date", "zoned"): _local,
    ("date", "text"): _moment_from_text,
    ("decimal", "integer"): _try_cast,
    ("decimal", "decimal"): _try_cast,
    ("decimal", "double"): _decimal_from_double,
    ("decimal", "text"): _decimal_from_text,
    ("double", "double"): _cast,
    ("double", "integer"): _cast,
    ("double", "decimal"): _cast,
    ("double", "text"): _double_from_text,
    ("boolean", "boolean"): _cast,
    ("boolean", "integer"): _boolean_from_number,
    ("boolean", "text"): _boolean_from_text,
}
