"""Poisson pseudo maximum likelihood with fixed effects (Santos Silva and Tenreyro 2006): weeks without a sale count.

Each of its iterations takes the fixed effects out of the working variables. Alternating projections do that in a few
passes where effects cross evenly, and in thousands where they are entangled (items that stand in few stores and weeks:
Correia, Guimaraes and Zylkin 2020, section 4). A Krylov solver with a preconditioner of overlapping pairs of effects
does not mind; it is what runs unless asked otherwise.
"""

from collections.abc import Sequence
from typing import Any

from ..sql.errors import MissingExtraError, ModelError, nearest
from .log_linear import Regression, panel_frame, run_pyfixest

SOLVERS = ("krylov", "alternating")


def poisson(
    panel: Any,
    terms: str = "log_price",
    *,
    effects: Sequence[str] = (),
    cluster: str | None = None,
    solver: str = "krylov",
    iterations: int = 50,
) -> Regression:
    """Fit log expected units on terms and fixed effects by Poisson pseudo maximum likelihood.

    Parameters
    ----------
    panel, terms, effects, cluster
        As in `log_linear`; rows without units stay.
    solver : str
        ``"krylov"``, or ``"alternating"`` projections.
    iterations : int
        Most iterations of reweighted least squares.

    Raises
    ------
    ContractError, MissingExtraError
        As `log_linear`.
    ModelError
        A term names a column that is not there, an unknown solver, or no convergence.

    Examples
    --------
    >>> from regulars.pricing.simulate import simulate_prices
    >>> panel = simulate_prices(items=6, stores=4, weeks=60, mean_units=200, seed=1).frame()
    >>> fit = poisson(panel, "log_price + promoted", effects=("item^store_id", "week"), cluster="store_id")
    >>> bool(-3.6 < fit["log_price"][0] < -2.2)
    True
    """
    if solver not in SOLVERS:
        raise ModelError(
            f"solver = {solver!r} is not allowed{nearest(solver, SOLVERS)}; give 'krylov' or 'alternating'"
        )
    frame = panel_frame(panel)
    try:
        from pyfixest.demeaners import LsmrDemeaner, MapDemeaner
    except ImportError:
        raise MissingExtraError("fixed effects need pyfixest: pip install 'regulars[pricing]'") from None
    demeaner = LsmrDemeaner() if solver == "krylov" else MapDemeaner()
    return run_pyfixest(
        "fepois", "units", frame, terms, effects, cluster, demeaner=demeaner if effects else None,
        iwls_maxiter=iterations,
    )  # fmt: skip
