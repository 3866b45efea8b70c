"""What a check saw, and what to do about it: findings are returned, never printed or warned about."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that a check saw.

    Attributes
    ----------
    code : str
        Short name of the check, e.g. ``"low_overlap"``; what an override names.
    blocking : bool
        Whether the numbers must not be used as they are.
    seen : str
        What was seen, with its figures.
    advice : str
        What to do.

    Examples
    --------
    >>> print(Finding("low_overlap", False, "3 of 100 customers had a propensity below 0.01.", "Trim them."))
    low_overlap: 3 of 100 customers had a propensity below 0.01. Trim them.
    """

    code: str
    blocking: bool
    seen: str
    advice: str

    def __str__(self) -> str:
        return f"{self.code}{' (blocking)' if self.blocking else ''}: {self.seen} {self.advice}"
