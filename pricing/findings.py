"""What an estimate or plan saw that its reader must know: findings are returned, never printed or warned about."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that was seen.

    Attributes
    ----------
    code : str
        Short name, e.g. ``"stock_unknown"``.
    seen : str
        What was seen, with its figures.
    advice : str
        What to do.

    Examples
    --------
    >>> print(Finding("stock_unknown", "The panel has no stock.", "Map [stock]."))
    stock_unknown: The panel has no stock. Map [stock].
    """

    code: str
    seen: str
    advice: str

    def __str__(self) -> str:
        return f"{self.code}: {self.seen} {self.advice}"
