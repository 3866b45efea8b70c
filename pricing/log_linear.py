"""Linear models of log units with high-dimensional fixed effects: log-log, semi-log, and two-stage least squares.

The engine is pyfixest, which gives the numbers of R's fixest.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Number
from typing import TYPE_CHECKING, Any

import numpy as np

from ..sql.errors import MissingExtraError, ModelError
from ..sql.frames import columns_of
from .panel_arrays import log_competitor_price

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Regression:
    """Coefficients of one regression.

    Attributes
    ----------
    names : tuple of str
    estimate, standard_error : ndarray of shape (k,)
        In the order of ``names``.
    observations : int
        Rows used; rows without units are left out of a log.
    first_stage_f : float or None
        Effective F of the instruments (Montiel Olea and Pflueger 2013), where there are any.
    """

    names: tuple[str, ...]
    estimate: np.ndarray = field(repr=False)
    standard_error: np.ndarray = field(repr=False)
    observations: int
    first_stage_f: float | None = None

    def __getitem__(self, name: str) -> tuple[float, float]:
        """Return estimate and standard error of one coefficient; KeyError where there is none."""
        if name not in self.names:
            raise KeyError(name)
        at = self.names.index(name)
        return float(self.estimate[at]), float(self.standard_error[at])

    def __len__(self) -> int:
        return len(self.names)


def log_linear(
    panel: Any,
    terms: str = "log_price",
    *,
    effects: Sequence[str] = (),
    cluster: str | None = None,
    instruments: Sequence[str] = (),
) -> Regression:
    """Regress log units on terms and fixed effects by least squares, rows without units left out.

    Parameters
    ----------
    panel : frame
        With ``units``, ``price`` and whatever the terms name; ``log_price`` is made of ``price``.
    terms : str
        Right-hand side in Wilkinson's notation: ``"log_price"`` is log-log, ``"price"`` semi-log,
        ``"log_price * C(item)"`` one elasticity per item.
    effects : sequence of str
        Fixed effects, columns crossed by ``^``: ``("item^store_id", "week")``.
    cluster : str, optional
        Column whose groups are independent of each other; robust to heteroskedasticity without.
    instruments : sequence of str
        Columns that move ``log_price`` and demand through it alone; two-stage least squares with them.

    Raises
    ------
    ContractError
        A frame of no known kind.
    ModelError
        A term names a column that is not there, or nothing is left to estimate.
    MissingExtraError
        pyfixest is not installed.

    Examples
    --------
    >>> from regulars.pricing.simulate import simulate_prices
    >>> panel = simulate_prices(items=6, stores=4, weeks=60, mean_units=200, seed=1).frame()
    >>> fit = log_linear(panel, "log_price + promoted", effects=("item^store_id", "week"), cluster="store_id")
    >>> bool(-3.6 < fit["log_price"][0] < -2.2)
    True
    """
    frame = panel_frame(panel)
    units = frame["units"].to_numpy(dtype=float)
    frame = frame.loc[units > 0].assign(log_units=np.log(units[units > 0]))
    asked = ("feols", "log_units", frame, terms, effects, cluster, instruments)
    if len(effects) < 2 or instruments:
        return run_pyfixest(*asked)
    quick, sure = _solvers()
    try:
        return run_pyfixest(*asked, demeaner=quick)
    except ModelError as error:
        if "Demeaning failed" not in str(error):
            raise
        return run_pyfixest(*asked, demeaner=sure)


def run_pyfixest(
    function: str,
    response: str,
    frame: "pd.DataFrame",
    terms: str,
    effects: Sequence[str],
    cluster: str | None,
    instruments: Sequence[str] = (),
    **options: Any,
) -> Regression:
    """Call an estimation function of pyfixest and return its coefficients; a fault of the model is a ModelError."""
    try:
        import pyfixest
    except ImportError:
        raise MissingExtraError("fixed effects need pyfixest: pip install 'regulars[pricing]'") from None
    formula = f"{response} ~ {terms}"
    if effects:
        frame = frame.loc[_in_groups(frame, effects)]
        if frame.empty:
            raise ModelError(
                f"{formula} with the effects {', '.join(effects)} leaves nothing to compare: every row is the only one "
                "of one of them; name fewer or wider effects"
            )
        formula += " | " + " + ".join(effects)
    if instruments:
        formula += " | log_price ~ " + " + ".join(instruments)
    try:
        with warnings.catch_warnings():
            # singletons carry nothing about the slopes, and what is separated carries nothing about a Poisson mean
            warnings.simplefilter("ignore")
            fit: Any = getattr(pyfixest, function)(
                formula, frame, vcov={"CRV1": cluster} if cluster else "hetero", **options
            )
            strength = _first_stage(fit) if instruments else None
    except Exception as error:
        # whatever its parser or solver says of the formula is an answer to whoever wrote it
        raise ModelError(f"{formula} cannot be estimated: {type(error).__name__}: {error}") from error
    return Regression(
        tuple(map(str, fit._coefnames)), np.asarray(fit._beta_hat), np.asarray(fit._se), int(fit._N), strength
    )


def _solvers() -> tuple[Any, Any]:
    """Alternating projections, quick where effects cross evenly and stopped early where not; and a Krylov solver."""
    try:
        from pyfixest.demeaners import LsmrDemeaner, MapDemeaner
    except ImportError:
        raise MissingExtraError("fixed effects need pyfixest: pip install 'regulars[pricing]'") from None
    return MapDemeaner(fixef_maxiter=30), LsmrDemeaner()


def _in_groups(frame: "pd.DataFrame", effects: Sequence[str]) -> np.ndarray:
    """Rows that are not alone in any of their effects, dropped until none is: the solver cannot take an empty panel."""
    import pandas as pd

    missing = sorted({name for effect in effects for name in effect.split("^")} - set(frame.columns))
    if missing:
        raise ModelError(
            f"effects name {', '.join(map(repr, missing))}; the panel has {', '.join(map(str, frame.columns))}"
        )
    groups = [pd.factorize(frame[effect])[0] if "^" not in effect else
              frame.groupby(effect.split("^"), sort=False).ngroup().to_numpy() for effect in effects]  # fmt: skip
    kept = np.ones(len(frame), dtype=bool)
    while True:
        before = int(kept.sum())
        for group in groups:
            kept &= np.bincount(group[kept], minlength=int(group.max(initial=0)) + 1)[group] > 1
        if int(kept.sum()) == before:
            return kept


def _first_stage(fit: Any) -> float:
    fit.IV_Diag()
    return float(fit._eff_F)


def _plain(values: np.ndarray) -> np.ndarray:
    """Numbers that stand as objects (decimals, or beside None) as floats; anything else as it is."""
    if values.dtype.kind != "O":
        return values
    if not any(isinstance(value, Number) and not isinstance(value, bool) for value in values):
        return values
    if any(value is not None and not isinstance(value, Number) for value in values):
        return values
    return np.array([np.nan if value is None else float(value) for value in values])


def panel_frame(panel: Any) -> "pd.DataFrame":
    """Return the rows that have a price, with ``log_price``, ``log_competitor_price`` if any, and flags as numbers."""
    import pandas as pd

    columns = columns_of(panel, "a price panel")
    frame = pd.DataFrame({name: _plain(np.asarray(values)) for name, values in columns.items()})
    for name in ("units", "price"):
        if name not in frame:
            raise ModelError(f"the panel has no column {name!r}; it has {', '.join(map(str, frame.columns))}")
    price = frame["price"].to_numpy(dtype=float)
    frame = frame.loc[np.isfinite(price) & (price > 0)]
    frame = frame.assign(log_price=np.log(frame["price"].to_numpy(dtype=float)))
    if "competitor_price" in frame:
        theirs = frame["competitor_price"].to_numpy(dtype=float)
        item = frame["item"].to_numpy() if "item" in frame else np.zeros(len(frame), dtype=np.int64)
        frame = frame.assign(log_competitor_price=log_competitor_price(theirs, item))
    flags = frame.columns[[kind == "b" for kind in (t.kind for t in frame.dtypes)]]
    return frame.assign(**{name: frame[name].astype(float) for name in flags})
