"""National holidays by day, from the package ``holidays``: looked up here for clocks and price panels alike."""

from collections.abc import Iterable
from datetime import date

from .errors import MissingExtraError

# without one the package takes the environment's
_LANGUAGE = "en_US"


def national_holidays(country: str, years: Iterable[int], *, missing: str) -> dict[date, str]:
    """Return the name of each holiday of a country, or of a part of it; several of one day are parted by ``"; "``.

    Names are English wherever the package has them so, whatever the machine's language: a panel's bytes and a clock's
    terms carry them.

    Parameters
    ----------
    country : str
        ISO 3166 code, and a part after a hyphen: ``"US"``, ``"GB-ENG"``.
    years : iterable of int
        Calendar years to look into; a substitute day may lie in the year before.
    missing : str
        What to say where the package is not installed: who needs it, and the extra that brings it.

    Returns
    -------
    dict of date to str
        In the order of the days.

    Raises
    ------
    MissingExtraError
        The package ``holidays`` is not installed.
    LookupError
        It does not know the country; the text begins with the code and says what is allowed.

    Examples
    --------
    >>> found = national_holidays("US", [2017], missing="pip install holidays")
    >>> found[date(2017, 7, 4)]
    'Independence Day'
    """
    try:
        import holidays as calendar
    except ImportError:
        raise MissingExtraError(missing) from None
    name, _, part = country.partition("-")
    try:
        known = calendar.country_holidays(name, subdiv=part or None, years=years, language=_LANGUAGE)
    except NotImplementedError:
        raise LookupError(
            f"{country!r} is no country or part of one whose holidays are known; give an ISO 3166 code such as 'US', "
            "or 'GB-ENG' for a part"
        ) from None
    return dict(sorted(known.items()))
