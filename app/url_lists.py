"""Several values in one key of an address: parted by commas, whatever the values themselves hold.

A comma within a value is written %2C and a per cent sign %25, before the address is encoded as any other; the browser's
side (``assets/regulars.js``) does the same.
"""

from collections.abc import Iterable


def read_list(text: str) -> tuple[str, ...]:
    """Return the values that a key of an address holds, without empty ones.

    Examples
    --------
    >>> read_list("best,new,"), read_list("Wine%2C beer,50%25 off"), read_list("50% off")
    (('best', 'new'), ('Wine, beer', '50% off'), ('50% off',))
    """
    parts = (part.replace("%2C", ",").replace("%25", "%") for part in text.split(","))
    return tuple(part for part in parts if part)


def write_list(values: Iterable[str]) -> str:
    """Write values as one key of an address holds them; `read_list` reads them back.

    Examples
    --------
    >>> write_list(["Wine, beer", "50% off"])
    'Wine%2C beer,50%25 off'
    """
    return ",".join(value.replace("%", "%25").replace(",", "%2C") for value in values)
