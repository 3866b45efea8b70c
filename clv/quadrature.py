"""Nodes and weights of Gauss-Legendre quadrature."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@cache
def legendre(n: int) -> tuple[Array, Array]:
    """Nodes and weights on [0, 1], (n,) each; exact for polynomials of degree 2n - 1.

    Examples
    --------
    >>> nodes, weights = legendre(3)
    >>> float((weights @ nodes**5).round(12))
    0.166666666667
    """
    nodes, weights = np.polynomial.legendre.leggauss(n)
    return 0.5 * (nodes + 1.0), 0.5 * weights


@cache
def legendre_rules(sizes: tuple[int, ...]) -> tuple[Array, Array]:
    """Several rules, one after the other, for kernels that choose among them by row.

    Examples
    --------
    >>> legendre_rules((2, 3))[0].size
    5
    """
    rules = [legendre(n) for n in sizes]
    return np.concatenate([nodes for nodes, _ in rules]), np.concatenate([weights for _, weights in rules])
