"""A clock whose effects are known: the pace of any day, and how much of its time passes between two."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .maximum_likelihood import NORMAL_975
from .seasonal_clock import WEEKDAYS, SeasonalClock, weekday_contrasts, weekdays_of

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

# A wait for the next purchase is looked for this far.
_FAR_YEARS = 30


@dataclass(frozen=True)
class FittedClock:
    """A clock whose effects are known: what the pace is on any day, and how much of its time has passed.

    Attributes
    ----------
    declared
        The clock as declared.
    first_day, as_of
        The history that it was estimated on; its mean pace over (first_day, as_of] is 1.
    harmonics, closed
        Waves a year; weekdays on which the pace is 0.
    names, groups
        (k,) effects, and what kind each is.
    coefficients, covariance
        (k,) and (k, k), of the logarithm of the pace.
    log_level
        What is taken from the logarithm so that the mean is 1.

    Examples
    --------
    >>> clock = FittedClock.flat(date(2017, 1, 1), date(2017, 12, 31))
    >>> clock.elapsed(date(2017, 12, 31), 28.5)
    28.5
    """

    declared: SeasonalClock
    first_day: date
    as_of: date
    harmonics: int = 0
    closed: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    coefficients: Array = field(default_factory=lambda: np.zeros(0))
    covariance: Array = field(default_factory=lambda: np.zeros((0, 0)))
    log_level: float = 0.0

    @classmethod
    def flat(cls, first_day: date, as_of: date) -> "FittedClock":
        """A clock that runs with the calendar."""
        return cls(SeasonalClock(harmonics=0, weekday=False), first_day, as_of)

    def rate(self, days: Any) -> Array:
        """Pace on each calendar day, (d,); 1 on average over the history that it was estimated on.

        Parameters
        ----------
        days
            (d,) dates, or what numpy reads as such.

        Raises
        ------
        ModelError
            A day beyond the clock's calendar.
        """
        asked = np.asarray(days, dtype="datetime64[D]")
        if asked.size == 0:
            return np.ones(0)
        self.declared.require(asked.max().item())
        first = asked.min()
        every = np.arange(first, asked.max() + 1)
        found = np.ones(every.size)
        if self.names or self.closed:
            terms = self.declared.terms(every, self.harmonics, self._open)
            where = {key: k for k, key in enumerate(zip(terms.groups, terms.names, strict=True))}
            mine = enumerate(zip(self.groups, self.names, strict=True))
            # an occasion of the history that does not come back in these days has no column here
            kept = [(where[key], k) for k, key in mine if key in where]
            columns, rows = [c for c, _ in kept], [k for _, k in kept]
            found = np.exp(terms.matrix[:, columns] @ self.coefficients[rows] - self.log_level)
            found[~np.isin(weekdays_of(every), self._open)] = 0.0
        return found[(asked - first).astype(np.int64)]

    @property
    def _open(self) -> list[int]:
        return [k for k, name in enumerate(WEEKDAYS) if name not in self.closed]

    def elapsed(self, since: date, days: float) -> float:
        """Clock time, in days at mean pace, that passes in so many calendar days after the end of ``since``."""
        return float(self.path(since, days)[1][-1])

    def path(self, since: date, days: float) -> tuple[Array, Array]:
        """Calendar days after the end of ``since`` and the clock time passed by each, (d + 1,) both from 0."""
        whole = int(np.ceil(days))
        if whole == 0:
            return np.zeros(1), np.zeros(1)
        start = np.datetime64(since, "D")
        passed = np.concatenate([[0.0], np.cumsum(self.rate(np.arange(start + 1, start + whole + 1)))])
        calendar = np.arange(whole + 1.0)
        if days < whole:
            calendar[-1] = days
            passed[-1] = passed[-2] + (days - (whole - 1)) * (passed[-1] - passed[-2])
        return calendar, passed

    def calendar_days(self, since: date, passed: Array) -> Array:
        """Calendar days after the end of ``since`` until so much clock time has passed; nan where it is too far.

        Thirty years, or the end of the clock's events, are too far.
        """
        last = self.declared.last_day
        reach = _FAR_YEARS * 365 if last is None else (last - since).days
        wanted = np.nanmax(passed, initial=0.0)
        length = min(reach, 366)
        calendar, clock = self.path(since, max(length, 0))
        while clock[-1] < wanted and length < reach:
            length = min(2 * length, reach)
            calendar, clock = self.path(since, length)
        with np.errstate(invalid="ignore"):
            return np.where(passed <= clock[-1], np.interp(passed, clock, calendar), np.nan)

    @property
    def summary_(self) -> "pd.DataFrame":
        """Effects by name, in pandas: ``kind, effect, standard_error, lower, upper, pace``.

        ``effect`` is of the logarithm of the pace, ``pace`` its exponential: 1.3 is three tenths more purchases. Of
        weekdays each is beside the mean of those that are open; a closed one has a pace of 0.
        """
        import pandas as pd

        standard_error = np.sqrt(np.diag(self.covariance))
        rows = [
            (name, group, self.coefficients[k], standard_error[k])
            for k, (name, group) in enumerate(zip(self.names, self.groups, strict=True))
            if group != "weekday"
        ]
        of_weekday = [k for k, group in enumerate(self.groups) if group == "weekday"]
        if of_weekday or self.closed:
            # "weekday 3" is the third contrast, whether or not the history could tell the others
            contrasts = weekday_contrasts(self._open)[:, [int(self.names[k].split()[1]) - 1 for k in of_weekday]]
            effect = contrasts @ self.coefficients[of_weekday]
            variance = np.diag(contrasts @ self.covariance[np.ix_(of_weekday, of_weekday)] @ contrasts.T)
            for k, name in enumerate(WEEKDAYS):
                is_open = name not in self.closed
                rows.append((name, "weekday", effect[k] if is_open else -np.inf, np.sqrt(variance[k])))
        index, kind, effect, error = zip(*rows, strict=True) if rows else ((), (), (), ())
        effects, errors = np.array(effect, dtype=float), np.array(error, dtype=float)
        return pd.DataFrame(
            {
                "kind": list(kind),
                "effect": effects,
                "standard_error": errors,
                "lower": effects - NORMAL_975 * errors,
                "upper": effects + NORMAL_975 * errors,
                "pace": np.exp(effects),
            },
            index=pd.Index(list(index), name="term", dtype=object),
        )

    def to_dict(self) -> dict[str, Any]:
        """The state as plain values; `from_dict` takes it back."""
        return {
            "declared": self.declared.to_dict(),
            "first_day": str(self.first_day),
            "as_of": str(self.as_of),
            "harmonics": self.harmonics,
            "closed": list(self.closed),
            "names": list(self.names),
            "groups": list(self.groups),
            "coefficients": self.coefficients.tolist(),
            "covariance": self.covariance.tolist(),
            "log_level": self.log_level,
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> "FittedClock":
        """Make a clock of what `to_dict` returned."""
        k = len(state["names"])
        return cls(
            declared=SeasonalClock.from_dict(state["declared"]),
            first_day=date.fromisoformat(state["first_day"]),
            as_of=date.fromisoformat(state["as_of"]),
            harmonics=int(state["harmonics"]),
            closed=tuple(state["closed"]),
            names=tuple(state["names"]),
            groups=tuple(state["groups"]),
            coefficients=np.array(state["coefficients"], dtype=float).reshape(k),
            covariance=np.array(state["covariance"], dtype=float).reshape(k, k),
            log_level=float(state["log_level"]),
        )
