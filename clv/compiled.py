"""Compiled kernels: how they are compiled, and how rows are shared between threads without changing a result."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np

# Sums are taken chunk by chunk and added in the chunks' order, so the number of threads changes no digit.
CHUNK_ROWS = 1 << 16


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile ``function`` with numba, without the GIL, and keep the machine code on disk where that can be done.

    Examples
    --------
    >>> @compiled
    ... def double(x):
    ...     return 2 * x
    >>> double(3)
    6
    """
    try:
        return numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written: compile in each process
        return numba.njit(nogil=True)(function)


def available_threads() -> int:
    """Return how many threads this process may use; the environment's ``REGULARS_BUILD__THREADS`` lowers it.

    Examples
    --------
    >>> available_threads() >= 1
    True
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("REGULARS_BUILD__THREADS", "")
    return max(1, min(cores, int(asked))) if asked.isdigit() else cores


def _bounds(n_rows: int, chunk_rows: int) -> list[tuple[int, int]]:
    return [(start, min(start + chunk_rows, n_rows)) for start in range(0, n_rows, chunk_rows)]


def sum_over_rows(kernel: Callable[..., np.ndarray], n_rows: int, *arguments: object) -> np.ndarray:
    """Add ``kernel(start, stop, *arguments)`` over fixed chunks of ``n_rows`` rows, in their order, on all threads.

    The kernel returns a vector of partial sums; it must release the GIL for the threads to run at once.
    """
    bounds = _bounds(n_rows, CHUNK_ROWS)
    if not bounds:
        return kernel(0, 0, *arguments)
    threads = min(available_threads(), len(bounds))
    if threads == 1:
        parts = [kernel(start, stop, *arguments) for start, stop in bounds]
    else:
        with ThreadPoolExecutor(threads) as pool:
            parts = list(pool.map(lambda b: kernel(b[0], b[1], *arguments), bounds))
    total = np.zeros_like(parts[0])
    for part in parts:
        total += part
    return total


def fill_rows(kernel: Callable[..., None], n_rows: int, *arguments: object, chunk_rows: int = 1 << 13) -> None:
    """Call ``kernel(start, stop, *arguments)``, which writes in place, for chunks of ``n_rows`` rows on all threads."""
    bounds = _bounds(n_rows, chunk_rows)
    threads = min(available_threads(), len(bounds))
    if threads <= 1:
        for start, stop in bounds:
            kernel(start, stop, *arguments)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda b: kernel(b[0], b[1], *arguments), bounds))
