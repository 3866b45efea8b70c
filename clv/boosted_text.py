"""Boosted trees as LightGBM's text beside its SHA-256, looked through before LightGBM is given it.

LightGBM trusts what it reads: a text with one character lost ends the process or never ends, and trees that ask a
column that is not there answer from memory that is not the row's.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..sql.errors import MissingExtraError

_THREADS = re.compile(r"^\[num_threads: -?\d+\]$", re.MULTILINE)
# Lists of a tree by how many entries they have: one a node, one a leaf.
_OF_NODES = ("split_gain", "threshold", "internal_value", "internal_weight", "internal_count")
_OF_LEAVES = ("leaf_weight", "leaf_count")
# Directions for what is missing and the kinds of missing values; the lowest bit would say that it is a category.
_DECISIONS = range(0, 12, 2)


def trees_text(booster: Any) -> str:
    """Return the text of trees, in which the number of threads that grew them is no part.

    Examples
    --------
    >>> import lightgbm
    >>> data = lightgbm.Dataset(np.arange(200.0)[:, None], label=np.arange(200.0) > 99)
    >>> booster = lightgbm.train({"objective": "binary", "verbosity": -1, "num_threads": 2}, data, 3)
    >>> "[num_threads: 1]" in trees_text(booster)
    True
    """
    return _THREADS.sub("[num_threads: 1]", booster.model_to_string())


def trees_sha256(text: str) -> str:
    """Return the SHA-256 that stands beside a text, in hexadecimal digits.

    Examples
    --------
    >>> trees_sha256("no trees")[:12]
    'ae5c87fe0a84'
    """
    return hashlib.sha256(text.encode()).hexdigest()


def read_trees(text: str, sha256: str, objective: str, columns: int) -> Any:
    """Read trees that LightGBM wrote as text.

    Parameters
    ----------
    text : str
        Of `trees_text`.
    sha256 : str
        Of `trees_sha256`, as it was saved.
    objective : str
        What they must have learnt, such as ``"binary"``.
    columns : int
        How many they must read.

    Raises
    ------
    MissingExtraError
        LightGBM is not installed.
    ValueError
        The text is not as it was saved, or its trees lead nowhere, ask other columns or have learnt something else.

    Examples
    --------
    >>> read_trees("no trees", "0" * 64, "binary", 3)
    Traceback (most recent call last):
    ...
    ValueError: its trees are not as they were saved: their sha256 does not fit
    """
    lightgbm = boosting_library()
    if not isinstance(text, str) or not text.isascii():
        raise ValueError("its trees cannot be read: they are no text of LightGBM's")
    if trees_sha256(text) != sha256:
        raise ValueError("its trees are not as they were saved: their sha256 does not fit")
    require_sound(text, objective, columns)
    try:
        return lightgbm.Booster(model_str=text)
    except lightgbm.basic.LightGBMError as error:
        raise ValueError(f"its trees cannot be read: {error}") from error


def require_sound(text: str, objective: str, columns: int) -> None:
    """Walk the trees of a text.

    Raises
    ------
    ValueError
        A part is missing, a tree leads nowhere or asks a column that is not there, or they have learnt something else.

    Examples
    --------
    >>> require_sound("tree", "binary", 3)
    Traceback (most recent call last):
    ...
    ValueError: its trees cannot be read: they have no 'tree_sizes'
    """
    head, _, _ = text.partition("\nTree=0\n")
    said = _fields(head)
    sizes = _numbers(said, "tree_sizes", int)
    learnt = said.get("objective", "").split(" ")[0]
    if learnt != objective:
        raise ValueError(f"its trees have learnt {learnt!r}, not {objective!r}")
    for name in ("num_class", "num_tree_per_iteration"):
        if said.get(name) != "1":
            raise ValueError(f"its trees cannot be read: {name} is {said.get(name)!r}, not 1")
    if said.get("max_feature_idx") != str(columns - 1):
        read = said.get("max_feature_idx", "")
        raise ValueError(f"its trees read {int(read) + 1 if read.isdigit() else 'no'} columns, not {columns}")
    at = len(head) + 1
    for number, size in enumerate(sizes):
        block = text[at : at + size] if size > 0 else ""
        if not block.startswith(f"Tree={number}\n") or not block.endswith("\n"):
            raise ValueError(f"its trees cannot be read: tree {number} does not stand where it is said to")
        _require_tree(_fields(block), number, columns)
        at += size
    if not sizes or not text.startswith("end of trees", at):
        raise ValueError("its trees cannot be read: they do not end where they are said to")


def _require_tree(tree: Mapping[str, str], number: int, columns: int) -> None:
    leaves = _numbers(tree, "num_leaves", int)
    if len(leaves) != 1 or leaves[0] < 1 or tree.get("num_cat") != "0":
        raise ValueError(f"its trees cannot be read: tree {number} has no number of leaves, or asks for categories")
    n = leaves[0]
    values = _numbers(tree, "leaf_value")
    if len(values) != n or not np.isfinite(values).all():
        raise ValueError(f"its trees cannot be read: leaf_value of tree {number} is no {n} finite numbers")
    children = _numbers(tree, "left_child", int) + _numbers(tree, "right_child", int)
    # every node but the root and every leaf, which are counted backwards from -1, has one parent
    if sorted(children) != ([] if n == 1 else [*range(-n, 0), *range(1, n - 1)]):
        raise ValueError(f"its trees lead nowhere: those of tree {number} are no {n} leaves")
    if n > 1:
        _require_nodes(tree, number, n, columns)
    if tree.get("is_linear", "0") != "0":
        _require_lines(tree, number, n, columns)


def _require_nodes(tree: Mapping[str, str], number: int, n: int, columns: int) -> None:
    asked = _numbers(tree, "split_feature", int)
    if len(asked) != n - 1 or not all(0 <= column < columns for column in asked):
        raise ValueError(f"its trees ask columns that are not there: tree {number} reads other than 0 to {columns - 1}")
    decisions = _numbers(tree, "decision_type", int)
    if len(decisions) != n - 1 or not all(decision in _DECISIONS for decision in decisions):
        raise ValueError(f"its trees cannot be read: tree {number} decides in a way that is none")
    if not np.isfinite(_numbers(tree, "threshold")).all():
        raise ValueError(f"its trees cannot be read: a threshold of tree {number} is not finite")
    for names, length in ((_OF_NODES, n - 1), (_OF_LEAVES, n)):
        for name in names:
            if len(_numbers(tree, name)) != length:
                raise ValueError(f"its trees cannot be read: {name} of tree {number} is no {length} numbers")


def _require_lines(tree: Mapping[str, str], number: int, n: int, columns: int) -> None:
    """Of a tree with a line in each leaf."""
    counts, asked = _numbers(tree, "num_features", int), _numbers(tree, "leaf_features", int)
    sound = len(counts) == n and min(counts) >= 0 and sum(counts) == len(asked) == len(_numbers(tree, "leaf_coeff"))
    if not sound or len(_numbers(tree, "leaf_const")) != n or not all(0 <= column < columns for column in asked):
        raise ValueError(f"its trees ask columns that are not there: the lines of tree {number}")


def _fields(block: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in block.split("\n") if "=" in line)


def _numbers(fields: Mapping[str, str], name: str, kind: type = float) -> list[Any]:
    if name not in fields:
        raise ValueError(f"its trees cannot be read: they have no {name!r}")
    try:
        return [kind(value) for value in fields[name].split()]
    except ValueError:
        raise ValueError(f"its trees cannot be read: {name!r} is no list of numbers") from None


def boosting_library() -> Any:
    """Import LightGBM.

    Raises
    ------
    MissingExtraError
        It is not installed.

    Examples
    --------
    >>> boosting_library().__name__
    'lightgbm'
    """
    try:
        import lightgbm
    except ImportError:
        raise MissingExtraError("boosted trees need LightGBM: pip install 'regulars[churn]'") from None
    return lightgbm
