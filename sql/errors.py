"""Errors a user can act on, each with the exit code that the command line returns for it.

The text of every error names the column or file, the value seen, what is allowed and the next step.
"""

from difflib import get_close_matches


class RegularsError(Exception):
    """Base of every error that regulars raises on purpose; ``exit_code`` is what the command line returns for it.

    Examples
    --------
    >>> from regulars.sql import connect
    >>> try:
    ...     connect("no-such-file.toml")
    ... except RegularsError as error:
    ...     print(type(error).__name__, error.exit_code)
    SettingsError 2
    """

    exit_code = 1


class SettingsError(RegularsError):
    """``regulars.toml`` or an option is wrong."""

    exit_code = 2


class SourceError(RegularsError):
    """An input file is missing, empty, corrupt or of the wrong kind."""

    exit_code = 3


class ContractError(RegularsError):
    """An input column is missing or has a type the contract cannot take."""

    exit_code = 3


class CheckFailed(RegularsError):
    """A blocking check found rows that must not enter a snapshot."""

    exit_code = 4


class WarehouseError(RegularsError):
    """The warehouse cannot be read or written, or holds no such run or table."""

    exit_code = 5


class ModelError(RegularsError):
    """A model cannot be fitted or asked for what was wanted of it."""

    exit_code = 6


class StaleSnapshotError(RegularsError):
    """The snapshot is too old for what is asked, was made by other settings, or has no scores of the campaign."""

    exit_code = 7


class NobodyToMail(RegularsError):
    """A target list would be empty."""

    exit_code = 8


class AlreadyDecided(RegularsError):
    """Another list of the campaign stands for that day."""

    exit_code = 9


class DoubtfulReadOut(RegularsError):
    """What a campaign brought was read out with a blocking finding: the numbers must not be used."""

    exit_code = 10


class MissingExtraError(RegularsError):
    """An optional dependency is not installed."""

    exit_code = 2


def nearest(name: str, allowed: list[str] | tuple[str, ...]) -> str:
    """Return ``"; did you mean 'x'?"`` for the nearest allowed name, or an empty string.

    Examples
    --------
    >>> nearest("custmer_id", ["customer_id", "revenue"])
    "; did you mean 'customer_id'?"
    """
    close = get_close_matches(name, list(allowed), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""
