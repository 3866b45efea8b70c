"""Numeric columns of a summary, whatever kind of frame it is."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..sql.errors import ContractError, nearest
from ..sql.frames import columns_of


def column_names(summary: Any) -> tuple[str, ...]:
    """Names of the columns of a pandas, Polars or Arrow frame or of a mapping.

    Examples
    --------
    >>> column_names({"frequency": [1]})
    ('frequency',)
    """
    return tuple(columns_of(summary))


def read_columns(summary: Any, names: Sequence[str], optional: Sequence[str] = ()) -> dict[str, NDArray[np.float64]]:
    """Read columns as float arrays of shape (n,); missing values become NaN.

    Parameters
    ----------
    summary : frame or mapping
        pandas, Polars or Arrow frame, or a mapping of columns.
    names : sequence of str
        Columns that must be there.
    optional : sequence of str
        Columns that are read where they are there.

    Raises
    ------
    ContractError
        Where a column is missing or holds no numbers.

    Examples
    --------
    >>> read_columns({"frequency": [1, 2]}, ["frequency"], ["weight"])
    {'frequency': array([1., 2.])}
    >>> read_columns({"frequncy": [1, 2]}, ["frequency"])
    Traceback (most recent call last):
    ...
    regulars.sql.errors.ContractError: the summary has no column 'frequency'; did you mean 'frequncy'?...
    """
    columns = columns_of(summary)
    for name in names:
        if name not in columns:
            present = list(columns)
            raise ContractError(
                f"the summary has no column {name!r}{nearest(name, present)}; it has {', '.join(present) or 'none'}"
            )
    return {name: _floats(columns[name], name) for name in (*names, *optional) if name in columns}


def _floats(column: Any, name: str) -> NDArray[np.float64]:
    import narwhals as nw

    try:
        if isinstance(column, nw.Series):
            # DECIMAL of Arrow and of pandas objects alike
            column = column.to_numpy() if column.dtype == nw.Object else column.cast(nw.Float64).to_numpy()
        return np.atleast_1d(np.asarray(column, dtype=np.float64))
    except (TypeError, ValueError, nw.exceptions.NarwhalsError) as error:
        raise ContractError(f"column {name!r} of the summary is not numeric: {error}") from error
