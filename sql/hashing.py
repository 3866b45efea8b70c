"""Places decided by a hash: the same draw in any language, at any time, of customers, stores or items.

Whoever knows the salt can repeat a draw; two salts are independent.
"""

from collections.abc import Iterable
from hashlib import md5

import numpy as np
from numpy.typing import NDArray

from .errors import ModelError

# 13 hexadecimal digits are 52 bits: whole numbers that a float and SQL's BIGINT both hold exactly.
_DIGITS = 13
_SPAN = 16**_DIGITS


class DesignError(ModelError):
    """An experiment cannot be designed as asked.

    Examples
    --------
    >>> unit_interval(["ann"], " ")
    Traceback (most recent call last):
    regulars.sql.hashing.DesignError: salt is blank; name the draw, such as the campaign and its year
    """


def unit_interval(units: Iterable[object], salt: str) -> NDArray[np.float64]:
    """Place each unit in [0, 1) by the MD5 of ``salt:unit``; shape (n,).

    The same in SQL: the first 13 hexadecimal digits of ``md5(salt || ':' || unit)`` over 16^13. Two salts give
    independent places, one salt always the same.

    Parameters
    ----------
    units : iterable
        Ids; each is taken as its text.
    salt : str
        Name of the draw; not blank.

    Raises
    ------
    DesignError
        A blank salt, or a missing id (its row is named).

    Source: Bakshy, Eckles & Bernstein 2014, Designing and Deploying Online Field Experiments (PlanOut), section 4.

    Examples
    --------
    >>> unit_interval(["ann", "bob"], "spring").round(6).tolist()
    [0.35095, 0.1621]
    """
    if not salt.strip():
        raise DesignError("salt is blank; name the draw, such as the campaign and its year")
    places = []
    for row, unit in enumerate(units):
        if unit is None or unit != unit or unit == "":
            raise DesignError(f"row {row}: the unit is {unit!r}; every unit needs an id")
        digest = md5(f"{salt}:{unit}".encode(), usedforsecurity=False).hexdigest()
        places.append(int(digest[:_DIGITS], 16) / _SPAN)
    return np.array(places, dtype=float)
