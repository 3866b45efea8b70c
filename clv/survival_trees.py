"""Fitted trees of survival models as plain arrays: what they answer without the library that grew them."""

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class SurvivalTrees:
    """Binary trees, their nodes one after another.

    Attributes
    ----------
    first : ndarray of int, shape (trees,)
        Each tree's root.
    feature : ndarray of int, shape (nodes,)
        Column that a node asks; -1 at a leaf.
    threshold : ndarray, shape (nodes,)
        To the left up to it, to the right above, the column in single precision.
    left, right : ndarray of int, shape (nodes,)
        Nodes that follow; at a leaf ``left`` is its row of ``values``.
    values : ndarray, shape (leaves, width)
        What leaves say: a number, or a curve.

    Examples
    --------
    >>> stump = SurvivalTrees(
    ...     np.array([0]), np.array([0, -1, -1]), np.array([2.5, 0.0, 0.0]), np.array([1, 0, 1]), np.array([2, 0, 0]),
    ...     np.array([[10.0], [20.0]]),
    ... )
    >>> stump.values[stump.leaves(np.array([[2.0], [3.0]]))][:, :, 0].tolist()
    [[10.0, 20.0]]
    """

    first: Numbers
    feature: Numbers
    threshold: Array
    left: Numbers
    right: Numbers
    values: Array

    @classmethod
    def of(cls, trees: Sequence[Any], values: Sequence[Array]) -> "SurvivalTrees":
        """Take scikit-learn's ``tree_`` objects, and what each node of them says, (nodes, width) a tree."""
        first, parts, said, leaves = [], [], [], 0
        begin = 0
        for tree, told in zip(trees, values, strict=True):
            is_leaf = np.asarray(tree.children_left) < 0
            count = int(is_leaf.sum())
            left = np.asarray(tree.children_left, dtype=np.int64) + begin
            left[is_leaf] = leaves + np.arange(count)
            right = np.where(is_leaf, 0, np.asarray(tree.children_right, dtype=np.int64) + begin)
            feature = np.where(is_leaf, -1, np.asarray(tree.feature, dtype=np.int64))
            threshold = np.where(is_leaf, 0.0, np.asarray(tree.threshold, dtype=np.float64))
            first.append(begin)
            parts.append((feature, threshold, left, right))
            said.append(np.asarray(told, dtype=np.float64)[is_leaf])
            begin += len(is_leaf)
            leaves += count
        feature, threshold, left, right = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        return cls(np.array(first, dtype=np.int64), feature, threshold, left, right, np.concatenate(said))

    def leaves(self, X: Array) -> Numbers:
        """Rows of ``values`` where each row of X (n, k) ends, shape (trees, n)."""
        narrow = np.asarray(X, dtype=np.float32)
        rows = np.arange(len(narrow))[None, :]
        at = np.repeat(self.first[:, None], len(narrow), axis=1)
        while True:
            feature = self.feature[at]
            going = feature >= 0
            if not going.any():
                return self.left[at]
            below = narrow[rows, np.maximum(feature, 0)] <= self.threshold[at]
            at = np.where(going, np.where(below, self.left[at], self.right[at]), at)

    def to_dict(self) -> dict[str, Any]:
        """The state as plain values; what leaves say, of which there is much, as base64 of little-endian doubles."""
        nodes = {name: getattr(self, name).tolist() for name in ("first", "feature", "threshold", "left", "right")}
        text = b64encode(self.values.astype("<f8").tobytes()).decode("ascii")
        return {**nodes, "values": {"shape": list(self.values.shape), "float64": text}}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> "SurvivalTrees":
        """Take back what `to_dict` returned.

        Raises
        ------
        ValueError
            Nodes or leaves do not hang together.
        """
        first, feature, left, right = (
            np.array(state[name], dtype=np.int64) for name in ("first", "feature", "left", "right")
        )
        threshold = np.array(state["threshold"], dtype=np.float64)
        raw = np.frombuffer(b64decode(state["values"]["float64"], validate=True), dtype="<f8")
        values = raw.astype(np.float64).reshape(state["values"]["shape"])
        nodes, inner = np.arange(len(feature)), feature >= 0
        if not len(first) or not len(feature) == len(threshold) == len(left) == len(right) or values.ndim != 2:
            raise ValueError("its trees are not whole")
        # a node's children come after it, or a walk would never end
        further = (left > nodes) & (right > nodes) & (np.maximum(left, right) < len(nodes))
        ends = (left >= 0) & (left < len(values))
        if not (np.where(inner, further, ends).all() and ((first >= 0) & (first < len(nodes))).all()):
            raise ValueError("its trees lead nowhere")
        if not (np.isfinite(values).all() and np.isfinite(threshold).all()):
            raise ValueError("its trees hold numbers that are not finite")
        return cls(first, feature, threshold, left, right, values)
