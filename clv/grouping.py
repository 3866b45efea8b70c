"""Group equal rows by a hash table: distinct times, and distinct (frequency, recency, T)."""

import numpy as np

from .compiled import compiled


@compiled
def _group(keys: np.ndarray, index: np.ndarray, first: np.ndarray) -> int:
    """Number equal keys by first appearance: fills ``index`` (n,) and ``first`` (n,); returns how many are distinct."""
    size = 64
    while size < 256 and size < 2 * keys.size:
        size *= 2
    table = np.full(size, -1, np.int64)
    n_distinct = 0
    for i in range(keys.size):
        key = keys[i]
        slot = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)
        slot ^= slot >> np.uint64(32)
        position = np.int64(slot & np.uint64(size - 1))
        while table[position] >= 0 and keys[first[table[position]]] != key:
            position = (position + 1) & (size - 1)
        if table[position] < 0:
            table[position] = n_distinct
            first[n_distinct] = i
            n_distinct += 1
        index[i] = table[position]
        if 2 * n_distinct > size:  # rehash into a table of four times the size
            size *= 4
            table = np.full(size, -1, np.int64)
            for group in range(n_distinct):
                slot = np.uint64(keys[first[group]]) * np.uint64(0x9E3779B97F4A7C15)
                slot ^= slot >> np.uint64(32)
                position = np.int64(slot & np.uint64(size - 1))
                while table[position] >= 0:
                    position = (position + 1) & (size - 1)
                table[position] = group
    return n_distinct


def group_equal(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number equal keys in the order of their first appearance.

    Parameters
    ----------
    keys
        (n,) int64, or float64 whose equal values have equal bits (no -0.0).

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
    n_distinct = _group(bits, index, first)
    return index, first[:n_distinct].copy()
