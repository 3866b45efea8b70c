"""What each budget would buy: the best allocation at every one of several budgets."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .allocate import allocate

if TYPE_CHECKING:
    import pandas as pd


def budget_path(
    value: np.ndarray, cost: np.ndarray, budgets: Sequence[float] | int = 20, **limits: Any
) -> "pd.DataFrame":
    """Return what the best allocation is worth at each budget.

    Parameters
    ----------
    value, cost : ndarray of shape (n, k) or (n,)
        As of `allocate`.
    budgets : sequence of float, or int
        The budgets; a number of even steps from 0 to what would be spent without a limit.
    **limits
        Further arguments of `allocate`, e.g. ``stock`` or ``eligible``.

    Returns
    -------
    pandas.DataFrame
        ``budget``, ``spend``, ``value``, ``bound``, ``shadow_price``, ``contacts``, one row a budget.

    Raises
    ------
    AllocationError
        As of `allocate`.

    Examples
    --------
    >>> path = budget_path(np.array([3.0, 2.0, 1.0]), np.ones(3), [1.0, 2.0])
    >>> path[["budget", "value", "contacts"]].values.tolist()
    [[1.0, 3.0, 1.0], [2.0, 5.0, 2.0]]
    """
    import pandas as pd

    if isinstance(budgets, int):
        most = max(0.0, float(np.sum(allocate(value, cost, **limits).spend)))
        steps: Sequence[float] = np.linspace(0.0, most, budgets).tolist()
    else:
        steps = budgets
    rows = []
    for budget in steps:
        plan = allocate(value, cost, float(budget), **limits)
        rows.append(
            {
                "budget": float(budget),
                "spend": plan.spend,
                "value": plan.value,
                "bound": plan.bound,
                "shadow_price": plan.shadow_price,
                "contacts": int(plan.used.sum()),
            }
        )
    return pd.DataFrame(rows)
