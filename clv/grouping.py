"""Group equal rows by a hash table: distinct times, and distinct (frequency, recency, T)."""

import numpy as np

from .compiled import compiled


@compiled
def _scattered(key):
    """Mix all bits of a key into all others (the finaliser of SplitMix64): times are multiples of 1/7, say."""
    bits = np.uint64(key)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


@compiled
def _group(keys: np.ndarray, index: np.ndarray, first: np.ndarray) -> int:
    """Number equal keys by first appearance: fills ``index`` (n,) and ``first`` (n,); returns how many are distinct."""
    size = 4096
    # key and group side by side: one look into memory finds both
    table = np.full((size, 2), -1, np.int64)
    n_distinct = 0
    for i in range(keys.size):
        key = keys[i]
        position = np.int64(_scattered(key) & np.uint64(size - 1))
        while table[position, 1] >= 0 and table[position, 0] != key:
            position = (position + 1) & (size - 1)
        if table[position, 1] < 0:
            table[position, 0] = key
            table[position, 1] = n_distinct
            first[n_distinct] = i
            n_distinct += 1
        index[i] = table[position, 1]
        if 2 * n_distinct > size:  # into a table of four times the size
            size *= 4
            table = np.full((size, 2), -1, np.int64)
            for group in range(n_distinct):
                key = keys[first[group]]
                position = np.int64(_scattered(key) & np.uint64(size - 1))
                while table[position, 1] >= 0:
                    position = (position + 1) & (size - 1)
                table[position, 0] = key
                table[position, 1] = group
    return n_distinct


@compiled
def _group_small(keys: np.ndarray, position: np.ndarray, index: np.ndarray, first: np.ndarray) -> int:
    """As ``_group`` for keys 0, 1, ..., whose group stands in ``position``, -1 before the first."""
    n_distinct = 0
    for i in range(keys.size):
        if position[keys[i]] < 0:
            position[keys[i]] = n_distinct
            first[n_distinct] = i
            n_distinct += 1
        index[i] = position[keys[i]]
    return n_distinct


def group_equal(keys: np.ndarray, n_values: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Number equal keys in the order of their first appearance.

    Parameters
    ----------
    keys
        (n,) int64, or float64 whose equal values have equal bits (no -0.0).
    n_values
        Where it is known that all keys are whole numbers from 0 and below this.

    Returns
    -------
    index
        (n,) int64: the group of each row.
    first
        (g,) int64: the first row of each group.

    Examples
    --------
    >>> index, first = group_equal(np.array([5, 7, 5], np.int64))
    >>> index.tolist(), first.tolist()
    ([0, 1, 0], [0, 1])
    """
    bits = np.ascontiguousarray(keys).view(np.int64)
    index, first = np.empty(bits.size, np.int64), np.empty(bits.size, np.int64)
    if n_values is not None and n_values <= 4 * bits.size:
        n_distinct = _group_small(bits, np.full(n_values, -1, np.int64), index, first)
    else:
        n_distinct = _group(bits, index, first)
    return index, first[:n_distinct].copy()
