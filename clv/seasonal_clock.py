"""The pace of a shop's year: a rate for every calendar day, and the time that it makes of the calendar's.

In a shop where everybody buys s(t) times as often as on an average day, customers live on a clock that runs at that
pace: S(t), the sum of s over the days until t. A clock is first declared (`SeasonalClock`: which waves, holidays and
events it may know), then estimated with a model of purchases (`FittedClock`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..sql.errors import ContractError, ModelError, nearest
from ..sql.frames import columns_of
from .arguments import require_above_zero

Array = NDArray[np.float64]
Days = NDArray[np.datetime64]

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
GROUPS = ("season", "weekday", "holidays", "shopping", "events")

_YEAR = 365.2425
# Days of history below which a wave of a year says nothing of the part of the year that was not seen.
DAYS_FOR_A_SEASON = 365
# To half a month; what the data do not show is shrunk away.
_HARMONICS = 24
# Expected purchases on a weekday without any, above which it is a day on which the shop is closed.
_SURELY_CLOSED = 20.0


@dataclass(frozen=True)
class SeasonalClock:
    """What a shop's pace may depend on; `SeasonalBetaGeoModel` estimates how much. There is no trend.

    Parameters
    ----------
    harmonics
        Waves a year (Fourier terms); 24 where not given and the history is a year long, 0 where it is shorter.
    weekday
        Whether days of the week differ. A weekday without any purchase is one on which the shop is closed.
    country
        ISO 3166 code, and a part after a hyphen ("GB-ENG"), whose ``holidays`` (package ``holidays``, extra ``churn``)
        and ``shopping`` occasions (`shopping_calendar.SHOPPING_COUNTRIES`) the clock knows; None for neither.
    holidays, shopping
        Whether to know them; each that lies in the history gets an effect of its own.
    events : frame, optional
        The shop's own: columns ``event`` and ``day``, or ``event``, ``first_day`` and ``last_day``; past and planned.
    events_until : date, optional
        Last day for which ``events`` are complete; their last day where not given. Nothing is predicted beyond it.
    closed
        Weekdays on which the shop is known to be closed, such as ``("sunday",)``.
    prior_sd
        Standard deviation of effects (of the logarithm of the pace) before the data speak, shrinking those that few
        days support; by default estimated, for each kind of effect its own.

    Raises
    ------
    ModelError
        An argument that is none of its kind.
    ContractError
        Events without the columns above, with missing days, or ending before they begin.

    Examples
    --------
    >>> events = {"event": ["summer sale", "summer sale"], "first_day": ["2016-07-01", "2017-07-01"],
    ...           "last_day": ["2016-07-14", "2017-07-14"]}
    >>> clock = SeasonalClock(events=events, events_until="2018-06-30")
    >>> clock.last_day
    datetime.date(2018, 6, 30)
    """

    harmonics: int | None = None
    weekday: bool = True
    country: str | None = None
    holidays: bool = True
    shopping: bool = True
    events: Any = None
    events_until: Any = None
    closed: Sequence[str] = ()
    prior_sd: float | None = None
    # what the calendar says of the days asked for so far
    _occasions: dict[tuple[date, date], list[tuple[str, str, date, date]]] = field(
        init=False, default_factory=dict, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        whole = isinstance(self.harmonics, int) and not isinstance(self.harmonics, bool)
        if self.harmonics is not None and not (whole and 0 <= self.harmonics <= 52):
            raise ModelError(f"harmonics is {self.harmonics!r}; it must be a whole number from 0 to 52 waves a year")
        if self.prior_sd is not None:
            require_above_zero("prior_sd", self.prior_sd, "above 0, such as 0.5")
        for name in ("weekday", "holidays", "shopping"):
            if not isinstance(getattr(self, name), bool | np.bool_):
                raise ModelError(f"{name} is {getattr(self, name)!r}; it must be True or False")
        if not isinstance(self.country, str | None):
            raise ModelError(f"country is {self.country!r}; it must be a code such as 'GB' or 'DE-BY', or None")
        closed = (self.closed,) if isinstance(self.closed, str) else tuple(self.closed)
        for name in closed:
            if name not in WEEKDAYS:
                raise ModelError(f"closed names {name!r}{nearest(name, WEEKDAYS)}; it takes {', '.join(WEEKDAYS)}")
        if len(set(closed)) == len(WEEKDAYS):
            raise ModelError("closed names every day of the week: no clock runs then; leave out the days of business")
        if closed and not self.weekday:
            raise ModelError("closed weekdays need weekday=True: the pace is 0 on them")
        events = () if self.events is None else _read_events(self.events)
        until = None if self.events_until is None else _one_day("events_until", self.events_until)
        if until is not None and not events:
            raise ModelError(f"events_until is {until}, but there are no events; give both or neither")
        object.__setattr__(self, "closed", closed)
        object.__setattr__(self, "events", events)
        object.__setattr__(self, "events_until", until)

    @property
    def last_day(self) -> date | None:
        """Last day that the calendar knows; None for one that is made by rule and has no end."""
        if not self.events:
            return None
        return self.events_until or max(last for _, _, last in self.events)

    def require(self, until: date) -> None:
        """Refuse a day that the calendar does not reach.

        Raises
        ------
        ModelError
            With the calendar's last day and the day that is needed.

        Examples
        --------
        >>> SeasonalClock(events={"event": ["sale"], "day": ["2017-07-01"]}).require(date(2017, 12, 31))
        Traceback (most recent call last):
        ...
        regulars.sql.errors.ModelError: the clock's events end on 2017-07-01, but 2017-12-31 is needed: ...
        """
        if self.last_day is not None and until > self.last_day:
            raise ModelError(
                f"the clock's events end on {self.last_day}, but {until} is needed: add the events that are planned "
                f"until then and give events_until={str(until)!r}, or take a horizon that ends by {self.last_day}"
            )

    def terms(self, days: Days, harmonics: int, open_weekdays: Sequence[int]) -> "Terms":
        """Columns that the logarithm of the pace is linear in, by day.

        Parameters
        ----------
        days
            (d,) calendar days in a row.
        harmonics
            Waves a year.
        open_weekdays
            0 for monday, ..., of the weekdays that are not closed.

        Examples
        --------
        >>> days = np.arange("2017-01-01", "2018-01-01", dtype="datetime64[D]")
        >>> SeasonalClock().terms(days, 1, range(7)).names[:3]
        ('cos 1', 'sin 1', 'weekday 1')
        """
        names, groups, scales, columns = [], [], [], []
        turn = 2.0 * np.pi * days.astype(np.int64) / _YEAR
        for k in range(1, harmonics + 1):
            for name, column in ((f"cos {k}", np.cos(k * turn)), (f"sin {k}", np.sin(k * turn))):
                names.append(name)
                groups.append("season")
                scales.append(1.0 / k)  # a shop's year is smooth before the data say otherwise
                columns.append(column)
        if self.weekday and len(open_weekdays) > 1:
            contrasts = weekday_contrasts(open_weekdays)[weekdays_of(days)]
            for k in range(contrasts.shape[1]):
                names.append(f"weekday {k + 1}")
                groups.append("weekday")
                scales.append(1.0)
                columns.append(contrasts[:, k])
        for (group, name), column in self._occasion_columns(days).items():
            names.append(name)
            groups.append(group)
            scales.append(1.0)
            columns.append(column)
        matrix = np.stack(columns, axis=1) if columns else np.zeros((days.size, 0))
        return Terms(tuple(names), tuple(groups), np.array(scales), matrix)

    def _occasion_columns(self, days: Days) -> dict[tuple[str, str], Array]:
        first, last = days[0].item(), days[-1].item()
        if (first, last) not in self._occasions:
            self._occasions[first, last] = list(self._named_days(first, last))
        columns: dict[tuple[str, str], Array] = {}
        for group, name, begin, end in self._occasions[first, last]:
            column = columns.setdefault((group, name), np.zeros(days.size))
            column[max((begin - first).days, 0) : (end - first).days + 1] = 1.0
        return columns

    def _named_days(self, first: date, last: date) -> list[tuple[str, str, date, date]]:
        from .shopping_calendar import public_holidays, shopping_occasions

        found = []
        if self.country is not None and self.holidays:
            found += [("holidays", *occasion) for occasion in public_holidays(self.country, first, last)]
        if self.country is not None and self.shopping:
            found += [("shopping", *occasion) for occasion in shopping_occasions(self.country, first, last)]
        found += [("events", *event) for event in self.events if event[2] >= first and event[1] <= last]
        return found

    def to_dict(self) -> dict[str, Any]:
        """The declaration as plain values; `from_dict` takes it back."""
        return {
            "harmonics": self.harmonics,
            "weekday": self.weekday,
            "country": self.country,
            "holidays": self.holidays,
            "shopping": self.shopping,
            "events": [[name, str(first), str(last)] for name, first, last in self.events],
            "events_until": None if self.events_until is None else str(self.events_until),
            "closed": list(self.closed),
            "prior_sd": self.prior_sd,
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Make the declaration of what `to_dict` returned."""
        events = state["events"]
        frame = {
            "event": [event[0] for event in events],
            "first_day": [event[1] for event in events],
            "last_day": [event[2] for event in events],
        }
        return cls(**{**state, "events": frame if events else None})


@dataclass(frozen=True)
class Terms:
    """Columns of the logarithm of the pace.

    Attributes
    ----------
    names, groups
        (k,) what each column is, and of which kind (one of `GROUPS`).
    scale
        (k,) standard deviation of each effect beside the others of its kind, before the data speak.
    matrix
        (d, k) by day.

    Examples
    --------
    >>> Terms(("sale",), ("events",), np.ones(1), np.array([[0.0], [1.0]])).where(np.array([False])).names
    ()
    """

    names: tuple[str, ...]
    groups: tuple[str, ...]
    scale: Array
    matrix: Array

    def where(self, kept: NDArray[np.bool_]) -> "Terms":
        """Return some of the columns."""
        names = tuple(name for name, is_kept in zip(self.names, kept, strict=True) if is_kept)
        groups = tuple(group for group, is_kept in zip(self.groups, kept, strict=True) if is_kept)
        return Terms(names, groups, self.scale[kept], self.matrix[:, kept])


def weekdays_of(days: Days) -> NDArray[np.int64]:
    """0 for monday, ..., 6 for sunday.

    Examples
    --------
    >>> weekdays_of(np.array(["1970-01-01", "2026-11-22"], "datetime64[D]")).tolist()
    [3, 6]
    """
    return (days.astype(np.int64) + 3) % 7


def weekday_contrasts(open_weekdays: Sequence[int]) -> Array:
    """Effects of the seven weekdays by m - 1 numbers, (7, m - 1): orthonormal, of mean 0 over the m that are open.

    So shrinking treats them alike, which it would not do with one of them as the reference.

    Examples
    --------
    >>> weekday_contrasts([0, 1]).round(3)[:3].tolist()
    [[0.707], [-0.707], [0.0]]
    """
    m = len(open_weekdays)
    contrasts = np.zeros((len(WEEKDAYS), m - 1))
    for k in range(1, m):
        column = np.zeros(m)
        column[:k], column[k] = 1.0 / k, -1.0
        contrasts[list(open_weekdays), k - 1] = column / np.sqrt(1.0 + 1.0 / k)
    return contrasts


def choose_terms(clock: SeasonalClock, days: Days, purchases: Array) -> tuple[Terms, int, tuple[str, ...], list[str]]:
    """Say what a history can tell of a clock: its terms by day, waves, closed weekdays, and what must be left out.

    Parameters
    ----------
    clock
        As declared.
    days, purchases
        (d,) the history's days in a row, and repeat purchases on each.

    Raises
    ------
    ModelError
        Waves are asked of less than a year; purchases on a closed weekday; the shop's own event never happens in the
        history, always does, or cannot be told from other terms.

    Examples
    --------
    >>> days = np.arange("2017-01-01", "2017-04-01", dtype="datetime64[D]")
    >>> terms, harmonics, closed, notes = choose_terms(SeasonalClock(), days, np.ones(days.size))
    >>> harmonics, closed, notes
    (0, (), ['a history of 90 days has no season: waves of a year need 365'])
    """
    notes: list[str] = []
    span, first, last = days.size, days[0].item(), days[-1].item()
    harmonics = clock.harmonics
    if harmonics and span < DAYS_FOR_A_SEASON:
        raise ModelError(
            f"harmonics={harmonics} needs a history of {DAYS_FOR_A_SEASON} days; this one has {span}, from {first} to "
            f"{last}: the part of the year that was not seen would be made up. Give harmonics=0"
        )
    if harmonics is None:
        harmonics = _HARMONICS if span >= DAYS_FOR_A_SEASON else 0
        if not harmonics:
            notes.append(f"a history of {span} days has no season: waves of a year need {DAYS_FOR_A_SEASON}")
    closed = _closed_weekdays(clock, days, purchases)
    is_open = [k for k, name in enumerate(WEEKDAYS) if name not in closed]
    clock.require(last)
    terms = clock.terms(days, harmonics, is_open)
    runs = np.isin(weekdays_of(days), is_open)
    kept = _known_columns(terms, runs, first, last)
    _refuse_unseen_events(clock, terms, first, last)
    gone = [name for name, is_kept in zip(terms.names, kept, strict=True) if not is_kept]
    if gone:
        notes.append(f"not told from other terms in this history: {', '.join(gone)}")
    year_on = clock.terms(np.arange(days[-1] + 1, days[-1] + 366), harmonics, is_open)
    unseen = [n for n, g in zip(year_on.names, year_on.groups, strict=True) if n not in terms.names and g != "events"]
    if unseen:
        notes.append(f"not in this history, so without an effect: {', '.join(unseen)}")
    return terms.where(kept), harmonics, closed, notes


def _closed_weekdays(clock: SeasonalClock, days: Days, purchases: Array) -> tuple[str, ...]:
    if not clock.weekday:
        return ()
    of_weekday = weekdays_of(days)
    by_weekday = np.bincount(of_weekday, purchases, minlength=7)
    for name in clock.closed:
        count = by_weekday[WEEKDAYS.index(name)]
        if count > 0:
            seen = days[(of_weekday == WEEKDAYS.index(name)) & (purchases > 0)][0]
            raise ModelError(
                f"closed names {name}, but {count:g} repeat purchases fall on it, the first on {seen}; leave it out"
            )
    silent = (by_weekday == 0) & (by_weekday.sum() / 7.0 >= _SURELY_CLOSED)
    return tuple(name for k, name in enumerate(WEEKDAYS) if name in clock.closed or silent[k])


def _known_columns(terms: Terms, runs: NDArray[np.bool_], first: date, last: date) -> NDArray[np.bool_]:
    """Which columns vary over the open days and are told from those before them, (k,)."""
    kept = np.zeros(len(terms.names), dtype=bool)
    basis = np.ones((int(runs.sum()), 1)) / np.sqrt(runs.sum())
    for k, (name, group) in enumerate(zip(terms.names, terms.groups, strict=True)):
        column = terms.matrix[runs, k]
        size = np.linalg.norm(column - column.mean())
        rest = column - basis @ (basis.T @ column)
        rest -= basis @ (basis.T @ rest)
        if np.linalg.norm(rest) > 1e-6 * max(size, 1e-300) and size > 1e-9:
            kept[k] = True
            basis = np.column_stack([basis, rest / np.linalg.norm(rest)])
        elif group == "events":
            seen = column.mean()
            if size <= 1e-9:
                what = "on every day" if seen == 1 else "on no day of business"
                raise ModelError(
                    f"event {name!r} is {what} from {first} to {last}: its effect cannot be told from the level; drop "
                    "it, or give a history with days of both kinds"
                )
            same = [n for j, n in enumerate(terms.names[:k]) if np.array_equal(terms.matrix[runs, j], column)]
            raise ModelError(
                f"event {name!r} cannot be told from {', '.join(same) if same else 'the other terms together'}: "
                "their days are the same; drop one of them"
            )
    return kept


def _refuse_unseen_events(clock: SeasonalClock, terms: Terms, first: date, last: date) -> None:
    seen = {name for name, group in zip(terms.names, terms.groups, strict=True) if group == "events"}
    for name in dict.fromkeys(event[0] for event in clock.events):
        if name not in seen:
            raise ModelError(
                f"event {name!r} has no day from {first} to {last}: nothing is known of its effect; drop it"
            )


def _one_day(name: str, value: Any) -> date:
    try:
        found = np.datetime64(value, "D").item()
    except (TypeError, ValueError):
        found = None
    if not isinstance(found, date):
        raise ModelError(f"{name} is {value!r}; it must be a date such as 2017-12-31")
    return found


def _read_events(frame: Any) -> tuple[tuple[str, date, date], ...]:
    if isinstance(frame, tuple) and all(isinstance(event, tuple) and len(event) == 3 for event in frame):
        return frame
    columns = columns_of(frame, "events")
    single = "day" in columns
    needed = ("event", "day") if single else ("event", "first_day", "last_day")
    for name in needed:
        if name not in columns:
            raise ContractError(
                f"events have no column {name!r}{nearest(name, list(columns))}; they have event and day, or event, "
                "first_day and last_day"
            )
    names = [str(name) for name in columns["event"]]
    first, last = (read_days(columns[name], name, "events") for name in (needed[1], needed[-1]))
    if len({len(names), first.size, last.size}) != 1:
        raise ContractError(f"columns of events differ in length: {len(names)}, {first.size}, {last.size}")
    wrong = np.flatnonzero(last < first)
    if wrong.size:
        k = wrong[0]
        raise ContractError(f"event {names[k]!r} ends on {last[k]}, before it begins on {first[k]}; swap the two")
    return tuple(zip(names, first.tolist(), last.tolist(), strict=True))


def read_days(column: Any, name: str, what: str) -> Days:
    """Read a column of dates as (n,) calendar days.

    Raises
    ------
    ContractError
        A value is missing or no date; names its row.

    Examples
    --------
    >>> read_days(["2017-01-01"], "day", "events")
    array(['2017-01-01'], dtype='datetime64[D]')
    """
    values = column.to_numpy() if hasattr(column, "to_numpy") else column
    try:
        days = np.atleast_1d(np.asarray(values)).astype("datetime64[D]")
    except (TypeError, ValueError) as error:
        raise ContractError(f"column {name!r} of {what} holds no dates: {error}") from error
    missing = np.flatnonzero(np.isnat(days))
    if missing.size:
        raise ContractError(f"column {name!r} of {what} has no date in row {missing[0]}")
    return days
