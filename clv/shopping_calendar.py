"""When shops are busy for a reason with a name: public holidays and shopping seasons of a country, by rule."""

from collections.abc import Callable, Iterator
from datetime import date, timedelta

from ..sql.errors import ModelError
from ..sql.national_holidays import national_holidays

# A name and the first and last day of one occurrence.
Occasion = tuple[str, date, date]

_MISSING = "a clock with country needs the package holidays: pip install 'regulars[churn]'; or give holidays=False"
_MONDAY, _WEDNESDAY, _THURSDAY, _SUNDAY = 0, 2, 3, 6


def shopping_occasions(country: str, first: date, last: date) -> list[Occasion]:
    """Shopping occasions of a country that touch [first, last], by name and day.

    Days are those on which people buy: the week that ends with Mother's Day, the four days that begin with Black
    Friday. What has no rule (a marketplace's own sale, a football final) goes into a clock's ``events``.

    Parameters
    ----------
    country
        ISO 3166 code of one of `SHOPPING_COUNTRIES`; a part after a hyphen is not looked at.
    first, last
        Days between which to look.

    Raises
    ------
    ModelError
        No calendar is known for the country.

    Examples
    --------
    >>> occasions = shopping_occasions("US", date(2017, 11, 20), date(2017, 11, 30))
    >>> [(name, str(begin)) for name, begin, _ in occasions]
    [('black_friday', '2017-11-24'), ('cyber_monday', '2017-11-27')]
    """
    code = country.split("-")[0]
    if code not in _CALENDARS:
        raise ModelError(
            f"no shopping calendar is known for country {country!r}; there are {', '.join(SHOPPING_COUNTRIES)}; "
            "give the clock shopping=False, and its busy days as events"
        )
    years = range(first.year - 1, last.year + 2)
    found = [occasion for year in years for occasion in _CALENDARS[code](year)]
    return sorted((o for o in found if o[2] >= first and o[1] <= last), key=lambda o: (o[1], o[0]))


def public_holidays(country: str, first: date, last: date) -> list[Occasion]:
    """Public holidays of a country, or of a part of it, in [first, last], from the package ``holidays``.

    A substitute day carries the holiday's own name.

    Parameters
    ----------
    country
        ISO 3166 code, and a part after a hyphen: ``"US"``, ``"GB-ENG"``.
    first, last
        Days between which to look.

    Raises
    ------
    MissingExtraError
        The package ``holidays`` is not installed.
    ModelError
        It does not know the country.

    Examples
    --------
    >>> [name for name, *_ in public_holidays("US", date(2017, 7, 1), date(2017, 9, 30))]
    ['Independence Day', 'Labor Day']
    """
    years = range(first.year, last.year + 1)
    try:
        known = national_holidays(country, years, missing=_MISSING)
    except LookupError as error:
        raise ModelError(f"country {error}") from None
    found = set()
    for day, text in known.items():
        if first <= day <= last:
            for one in text.split("; "):
                found.add((one.partition(" (")[0].removeprefix("Substitute day for "), day, day))
    return sorted(found, key=lambda o: (o[1], o[0]))


def easter(year: int) -> date:
    """Easter Sunday of the Gregorian calendar (Meeus, Jones & Butcher).

    Examples
    --------
    >>> easter(2026)
    datetime.date(2026, 4, 5)
    """
    a, b, c = year % 19, year // 100, year % 100
    h = (19 * a + b - b // 4 - (b - (b + 8) // 25 + 1) // 3 + 15) % 30
    rest = (32 + 2 * (b % 4) + 2 * (c // 4) - h - c % 4) % 7
    month, day = divmod(h + rest - 7 * ((a + 11 * h + 22 * rest) // 451) + 114, 31)
    return date(year, month, day + 1)


def _nth(year: int, month: int, weekday: int, n: int) -> date:
    """The n-th such weekday of a month; the last for n = -1."""
    if n > 0:
        first = date(year, month, 1)
        return first + timedelta((weekday - first.weekday()) % 7 + 7 * (n - 1))
    end = date(year + month // 12, month % 12 + 1, 1) - timedelta(1)
    return end - timedelta((end.weekday() - weekday) % 7)


def _week_until(name: str, day: date) -> Occasion:
    return name, day - timedelta(6), day


def _western(year: int) -> Iterator[Occasion]:
    black_friday = _nth(year, 11, _THURSDAY, 4) + timedelta(1)
    yield "black_friday", black_friday, black_friday + timedelta(2)
    yield "cyber_monday", black_friday + timedelta(3), black_friday + timedelta(3)
    yield _week_until("valentines_day", date(year, 2, 14))
    yield "before_christmas", date(year, 12, 1), date(year, 12, 17)
    yield "last_days_before_christmas", date(year, 12, 18), date(year, 12, 24)
    yield "after_christmas", date(year, 12, 26), date(year, 12, 31)
    yield _week_until("easter", easter(year) - timedelta(1))


def _united_states(year: int) -> Iterator[Occasion]:
    yield from _western(year)
    labor_day = _nth(year, 9, _MONDAY, 1)
    yield _week_until("mothers_day", _nth(year, 5, _SUNDAY, 2))
    yield _week_until("fathers_day", _nth(year, 6, _SUNDAY, 3))
    yield "back_to_school", date(year, 7, 20), labor_day


def _great_britain(year: int) -> Iterator[Occasion]:
    yield from _western(year)
    yield _week_until("mothers_day", easter(year) - timedelta(21))
    yield _week_until("fathers_day", _nth(year, 6, _SUNDAY, 3))
    yield "back_to_school", date(year, 8, 15), date(year, 9, 7)
    yield "january_sales", date(year, 1, 1), date(year, 1, 14)


def _germany(year: int) -> Iterator[Occasion]:
    yield from _western(year)
    # back to school begins in each Land on a day of its own: an event of the shop's, not of the country's
    yield "singles_day", date(year, 11, 11), date(year, 11, 11)
    yield _week_until("mothers_day", _nth(year, 5, _SUNDAY, 2))
    yield _week_until("fathers_day", easter(year) + timedelta(39))


def _france(year: int) -> Iterator[Occasion]:
    yield from _western(year)
    fete_des_meres = _nth(year, 5, _SUNDAY, -1)
    if fete_des_meres == easter(year) + timedelta(49):  # never on Whitsunday: a week later
        fete_des_meres += timedelta(7)
    yield _week_until("mothers_day", fete_des_meres)
    yield _week_until("fathers_day", _nth(year, 6, _SUNDAY, 3))
    yield "back_to_school", date(year, 8, 15), date(year, 9, 7)
    # code de commerce D310-15-2: the second Wednesday of January (the first, should the second be after the 12th), the
    # last of June (the one before, should it be after the 28th); four weeks since 2020, six before
    winter, summer = _nth(year, 1, _WEDNESDAY, 2), _nth(year, 6, _WEDNESDAY, -1)
    winter -= timedelta(7 if winter.day > 12 else 0)
    summer -= timedelta(7 if summer.day > 28 else 0)
    length = timedelta(27 if year >= 2020 else 41)
    yield "winter_sales", winter, winter + length
    yield "summer_sales", summer, summer + length


def _china(year: int) -> Iterator[Occasion]:
    yield _week_until("valentines_day", date(year, 2, 14))
    yield "singles_day", date(year, 11, 1), date(year, 11, 11)
    yield "midyear_sale", date(year, 6, 1), date(year, 6, 18)


_CALENDARS: dict[str, Callable[[int], Iterator[Occasion]]] = {
    "CN": _china,
    "DE": _germany,
    "FR": _france,
    "GB": _great_britain,
    "US": _united_states,
}
SHOPPING_COUNTRIES = tuple(_CALENDARS)
