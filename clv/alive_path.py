"""How the probability of being a customer rose and fell, day by day; and its surface over recency and frequency."""

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np

from ..sql.errors import ModelError
from .arguments import require_count, require_time
from .time_units import days_per_unit

if TYPE_CHECKING:
    import pandas as pd

    from .btyd import BTYDModel


def probability_alive_path(model: "BTYDModel", purchase_days: Sequence[Any], as_of: date) -> "pd.DataFrame":
    """Probability that one customer was still a customer, on each day from the first purchase to ``as_of``.

    Each day's figure knows only what had happened by that day.

    Parameters
    ----------
    model : BTYDModel
        A fitted model of orders.
    purchase_days : sequence of date
        The customer's purchase days in any order; later ones than ``as_of`` are left out.
    as_of : date
        Last day of the path.

    Returns
    -------
    pandas.DataFrame
        ``day`` (datetime64), ``probability_alive``, ``is_purchase``.

    Raises
    ------
    ModelError
        Where no purchase lies on or before ``as_of``.

    Examples
    --------
    >>> from regulars.clv.modified_beta_geo import ModifiedBetaGeoModel
    >>> model = ModifiedBetaGeoModel.from_parameters(r=0.52, alpha=6.2, a=0.89, b=1.6)
    >>> path = probability_alive_path(model, [date(1997, 1, 1), date(1997, 2, 1)], date(1997, 3, 1))
    >>> len(path), int(path["is_purchase"].sum())
    (60, 2)
    """
    import pandas as pd

    last = np.datetime64(as_of, "D")
    days = np.unique(np.array(list(purchase_days), dtype="datetime64[D]"))
    days = days[days <= last]
    if len(days) == 0:
        raise ModelError(f"no purchase on or before {as_of}: the path begins with the first one")
    path = np.arange(days[0], last + np.timedelta64(1, "D"))
    purchases = np.searchsorted(days, path, side="right")
    unit = days_per_unit(model.time_unit_)
    so_far = {
        "frequency": purchases - 1,
        "recency": (days[purchases - 1] - days[0]).astype(float) / unit,
        "T": (path - days[0]).astype(float) / unit,
    }
    return pd.DataFrame(
        {"day": path, "probability_alive": model.probability_alive(so_far), "is_purchase": np.isin(path, days)}
    )


def recency_frequency_surface(model: "BTYDModel", T: float, max_frequency: int, horizon: float = 52) -> "pd.DataFrame":
    """What the model says of every recency and frequency at one age.

    Parameters
    ----------
    model : BTYDModel
        A fitted model of orders.
    T : float
        Age in the model's time unit; recency runs over its whole units.
    max_frequency : int
        Largest number of repeat purchases.
    horizon : float
        For ``expected_purchases``, in the model's time unit.

    Returns
    -------
    pandas.DataFrame
        ``frequency, recency, probability_alive, expected_purchases``; frequency 0 has recency 0 only.

    Raises
    ------
    ModelError
        Where T is below one unit or ``max_frequency`` below 0.

    Examples
    --------
    >>> from regulars.clv.nbd import NBDModel
    >>> surface = recency_frequency_surface(NBDModel.from_parameters(r=0.4, alpha=12.0), T=3, max_frequency=2)
    >>> surface[["frequency", "recency"]].to_numpy().tolist()
    [[0, 0], [1, 1], [1, 2], [1, 3], [2, 1], [2, 2], [2, 3]]
    """
    import pandas as pd

    T, max_frequency = require_time("T", T, model.time_unit_), require_count("max_frequency", max_frequency)
    if T < 1:
        raise ModelError(f"T is {T:g}; it must be at least 1 {model.time_unit_}")
    x, t_x = np.meshgrid(np.arange(1, max_frequency + 1), np.arange(1, int(T) + 1), indexing="ij")
    x, t_x = np.append(0, x.ravel()), np.append(0, t_x.ravel())
    summary = {"frequency": x, "recency": t_x.astype(float), "T": np.full(len(x), float(T))}
    return pd.DataFrame(
        {
            "frequency": x,
            "recency": t_x,
            "probability_alive": model.probability_alive(summary),
            "expected_purchases": model.expected_purchases(summary, horizon),
        }
    )
