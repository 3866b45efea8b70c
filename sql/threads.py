"""How many threads may be used, and where one is to do."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any


def usable_threads(threads: int | None) -> int:
    """Return the threads asked for, or as many as this process may use.

    Examples
    --------
    >>> usable_threads(1)
    1
    """
    if threads is not None:
        return max(1, threads)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Keep NumPy's and SciPy's BLAS to one thread; also a decorator of functions.

    Several threads add up in an order of their own: a fit that ends in a search takes other last digits with it. On
    matrices of some thousand rows they wait for one another longer than they work (logistic propensities of 2,400
    customers: ten times as long). Threads of OpenMP, DuckDB and numba stay as they are. Without threadpoolctl, which
    comes with scikit-learn, nothing is changed.

    Examples
    --------
    >>> with one_blas_thread():
    ...     pass
    """
    found = _libraries()
    if found is None:
        yield
        return
    with found.limit(limits=1, user_api="blas"):
        yield


@cache
def _libraries() -> Any:
    """What can be limited: found once, for it takes as long as a small fit."""
    try:
        # only what is loaded can be told
        import scipy.linalg  # noqa: F401
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return None
    return ThreadpoolController()
