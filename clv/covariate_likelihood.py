"""Likelihood of histories whose parameters differ by covariates, by parameters and free coefficients."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .covariate_histories import DistinctCovariateHistories
from .maximum_likelihood import Objective
from .purchase_rates import rising_sums
from .quadrature import legendre_rules

if TYPE_CHECKING:
    from .btyd import BTYDModel

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Effects:
    """Which coefficient moves which parameter: an entry is a coefficient's name, parameter, sign and column.

    Attributes
    ----------
    names
        The coefficients, such as ``purchase.channel[web]``.
    predictor, factor, column
        (c,) position of the parameter, sign of the coefficient in its logarithm, column of the design matrix.
    free
        (c,) which free coefficient each is: those held equal share one.
    """

    names: tuple[str, ...]
    predictor: NDArray[np.int64]
    factor: Array
    column: NDArray[np.int64]
    free: NDArray[np.int64]

    @property
    def n_free(self) -> int:
        return int(self.free.max(initial=-1)) + 1


def likelihood_with(kind: "BTYDModel", data: DistinctCovariateHistories, effects: Effects, spread: Array) -> Objective:
    """Log-likelihood by the logarithms of the parameters and by the free coefficients, with gradient and Hessian.

    Parameters
    ----------
    kind : BTYDModel
        The plain model.
    data : DistinctCovariateHistories
        Sorted by covariates.
    effects : Effects
        What the coefficients move.
    spread : ndarray, shape (q,)
        Unit of each column's coefficient.
    """
    from .compiled import sum_over_rows
    from .covariate_kernels import AT_ANY_TIME, AT_PURCHASES, NO_DROPOUT, covariate_sums
    from .pareto_nbd_kernels import RULES

    k = len(kind.parameter_names)
    family = NO_DROPOUT if k == 2 else AT_ANY_TIME if "s" in kind.parameter_names else AT_PURCHASES
    chances = getattr(kind, "chances_at_start", 0)
    x_max = int(data.frequency.max(initial=0))
    recency, T = data.recency, data.T
    group_unit = group_units(effects, spread)
    predictor = np.append(np.arange(k), effects.predictor)
    column = np.append(np.full(k, -1), effects.column)
    factor = np.append(np.ones(k), effects.factor / group_unit[effects.free])
    position = np.append(np.arange(k), k + effects.free)
    n_free = k + effects.n_free
    nodes, weights = legendre_rules(RULES)

    def objective(point: Array) -> tuple[float, Array, Array]:
        logarithms = np.tile(point[:k], (len(data.matrix), 1))
        for p, c, f, q in zip(predictor[k:], column[k:], factor[k:], position[k:], strict=True):
            logarithms[:, p] += f * point[q] * data.matrix[:, c]
        found = sum_over_rows(
            covariate_sums,
            data.frequency.size,
            *(family, chances, data.frequency, recency, T, data.weight, data.pattern, logarithms),
            *(np.array(rising_sums(float(np.exp(point[0])), x_max)), nodes, weights, data.matrix),
            *(predictor, column, factor, position, n_free),
        )
        return float(found[0]), found[1 : 1 + n_free].copy(), found[1 + n_free :].reshape(n_free, n_free).copy()

    return objective


def group_units(effects: Effects, spread: Array) -> Array:
    """Spread that stands for each free coefficient: that of the first column it moves, (n_free,)."""
    first = [int(effects.column[np.argmax(effects.free == i)]) for i in range(effects.n_free)]
    return spread[first] if first else np.ones(0)


def by_free_of(effects: Effects, spread: Array) -> Array:
    """Coefficients by standard deviation of their own column, per free one, (c, n_free)."""
    matrix = np.zeros((len(effects.names), effects.n_free))
    matrix[np.arange(len(effects.names)), effects.free] = spread[effects.column]
    return matrix / group_units(effects, spread)[None, :]


def tied_names(effects: Effects, free: int) -> str:
    """Names of the coefficients that share a free one."""
    return " = ".join(name for name, i in zip(effects.names, effects.free, strict=True) if i == free)


def free_values(effects: Effects, coefficients: Mapping[str, float]) -> Array:
    """Free coefficients of named ones, (n_free,)."""
    values = np.zeros(effects.n_free)
    for name, free in zip(effects.names, effects.free, strict=True):
        values[free] = coefficients[name]
    return values


def effects_on(effects: Effects, target: str) -> Effects:
    """Return the coefficients of one target alone, all of them free."""
    keep = [i for i, name in enumerate(effects.names) if name.startswith(f"{target}.")]
    return Effects(
        tuple(effects.names[i] for i in keep),
        effects.predictor[keep],
        effects.factor[keep],
        effects.column[keep],
        np.arange(len(keep)),
    )
