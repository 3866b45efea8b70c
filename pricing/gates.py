"""Gates: what an elasticity must pass before it may price an item, and in whose words it is refused."""

from dataclasses import dataclass

import numpy as np

from ..sql.errors import ModelError


@dataclass(frozen=True)
class Gates:
    """Bounds of what is believed.

    Attributes
    ----------
    least, most : float
        Range of a believable elasticity: at least ``least`` (below lies no shop's shelf), at most ``most`` (nearer to
        0 demand would not answer to price).
    widest : float
        Widest 90% interval that still says something.
    least_price_deviation : float
        Standard deviation of the log price within stores below which own data say nothing.
    fewest_price_changes : int
        Changes of 1% or more.
    least_f : float
        Strength of instruments, Staiger and Stock's (1997) rule.
    held_out_deviations : float
        Standard errors by which the response to later price changes may differ from the response to earlier ones.

    Examples
    --------
    >>> Gates().refusal(elasticity=-0.07, lower=-0.3, upper=0.16, held_out=0.0)
    'the elasticity -0.07 is not below -0.10: demand that does not answer to price is not believed'
    """

    least: float = -10.0
    most: float = -0.1
    widest: float = 6.0
    least_price_deviation: float = 0.02
    fewest_price_changes: int = 2
    least_f: float = 10.0
    held_out_deviations: float = 3.29

    def __post_init__(self) -> None:
        if not self.least < self.most <= 0.0:
            raise ModelError(f"gates: least = {self.least} and most = {self.most}; allowed: least < most <= 0")
        for name in ("widest", "least_price_deviation", "fewest_price_changes", "least_f", "held_out_deviations"):
            if not getattr(self, name) >= 0:
                raise ModelError(f"gates: {name} = {getattr(self, name)} is not allowed; give a number from 0")

    def own_data_refusal(self, *, price_deviation: float, price_changes: int, f: float) -> str:
        """Return why an item's own data must not speak, '' where they may; ``f`` is NaN without instruments."""
        if price_changes < self.fewest_price_changes:
            return f"{price_changes} price changes; {self.fewest_price_changes} are needed"
        if price_deviation < self.least_price_deviation:
            return f"its log price varies by {price_deviation:.3f}; {self.least_price_deviation:.3f} is needed"
        if np.isfinite(f) and f < self.least_f:
            return f"its instruments are weak: F = {f:.1f}; {self.least_f:.0f} is needed"
        return ""

    def refusal(self, *, elasticity: float, lower: float, upper: float, held_out: float) -> str:
        """Return why an elasticity must not price an item, '' where it may.

        ``held_out`` is the difference between the responses to later and to earlier price changes in standard errors;
        NaN where there was nothing to hold out.
        """
        if not np.isfinite(elasticity):
            return "neither the item nor any of its category has a price that moved"
        if elasticity > self.most:
            return (
                f"the elasticity {elasticity:.2f} is not below {self.most:.2f}: demand that does not answer to price "
                "is not believed"
            )
        if elasticity < self.least:
            return f"the elasticity {elasticity:.2f} is below {self.least:.2f}: no shelf answers to price like that"
        if upper >= 0.0:
            return f"its 90% interval reaches {upper:.2f}: the sign is not known"
        if upper - lower > self.widest:
            return f"its 90% interval is {upper - lower:.1f} wide; at most {self.widest:.1f} says something"
        if np.isfinite(held_out) and abs(held_out) > self.held_out_deviations:
            return (
                f"demand answered to the later price changes differently than to the earlier ones, by {held_out:+.1f} "
                "standard errors"
            )
        return ""
