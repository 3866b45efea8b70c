"""Tables in the shape of the contract, and frames of the kind that came in."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .contract import Table
from .errors import ContractError

if TYPE_CHECKING:
    import pyarrow as pa


def contract_table(table: Table, columns: Mapping[str, Any]) -> "pa.Table":
    """Arrow table with the columns, order and types of a table of the contract.

    Parameters
    ----------
    table : Table
        One of ``sql.contract``.
    columns : mapping
        A sequence, array or scalar for each column; NaN of a DOUBLE stays NaN, None becomes NULL.

    Raises
    ------
    KeyError
        Where a column of the contract is missing.

    Examples
    --------
    >>> from regulars.sql.contract import MODEL_CALIBRATION
    >>> rows = {"model": "nbd", "decile": [1, 2], "customers": [5, 5], "predicted": [0.1, 0.9], "actual": [0.0, 1.0]}
    >>> contract_table(MODEL_CALIBRATION, rows).column("model").to_pylist()
    ['nbd', 'nbd']
    """
    import pyarrow as pa

    types = {
        "VARCHAR": pa.string(),
        "DOUBLE": pa.float64(),
        "BIGINT": pa.int64(),
        "DATE": pa.date32(),
        "BOOLEAN": pa.bool_(),
    }
    given = {column.name: columns[column.name] for column in table.columns}
    length = max((len(value) for value in given.values() if not _is_scalar(value)), default=1)
    arrays = []
    for column in table.columns:
        value, type_ = given[column.name], types[column.type]
        if _is_scalar(value):
            array = pa.repeat(pa.scalar(value, type_), length)
        elif isinstance(value, pa.Array | pa.ChunkedArray):
            array = value.cast(type_)
        else:
            array = pa.array(value, type_, from_pandas=False)
        arrays.append(array)
    return pa.table(arrays, schema=pa.schema([(column.name, types[column.type]) for column in table.columns]))


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, str) or not hasattr(value, "__len__")


def frame_like(given: Any, table: "pa.Table") -> Any:
    """Return ``table`` as the kind of frame that ``given`` is; pandas where it is none.

    Examples
    --------
    >>> import polars, pyarrow
    >>> type(frame_like(polars.DataFrame({"x": [1]}), pyarrow.table({"n": [1]}))).__name__
    'DataFrame'
    """
    import narwhals as nw
    import pyarrow as pa

    if isinstance(given, pa.Table):
        return table
    try:
        backend = nw.from_native(given).implementation
    except TypeError:
        return table.to_pandas()
    if backend is nw.Implementation.PANDAS:
        return table.to_pandas()
    if backend is nw.Implementation.PYARROW:
        return table
    return nw.from_arrow(table, backend=backend).to_native()


def columns_of(frame: Any, what: str = "a summary") -> Mapping[str, Any]:
    """Columns of a frame as narwhals series by name; a mapping as it is.

    Raises
    ------
    ContractError
        Where ``frame`` is neither, or two of its columns have one name; the text calls it ``what``.

    Examples
    --------
    >>> import pandas as pd
    >>> list(columns_of(pd.DataFrame({"frequency": [1]})))
    ['frequency']
    """
    if isinstance(frame, Mapping):
        return frame
    import narwhals as nw

    try:
        read = nw.from_native(frame)
    except TypeError as error:
        raise ContractError(
            f"{what} is a pandas, Polars or Arrow frame or a mapping of columns, not {type(frame).__name__}"
        ) from error
    except nw.exceptions.DuplicateError as error:
        raise _two_of_a_name(what, frame) from error
    if isinstance(read, nw.LazyFrame):
        read = read.collect()
    if len(set(read.columns)) < len(read.columns):
        raise _two_of_a_name(what, frame)
    return {name: read[name] for name in read.columns}


def _two_of_a_name(what: str, frame: Any) -> ContractError:
    names = [str(name) for name in getattr(frame, "column_names", None) or frame.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    return ContractError(f"{what} has several columns named {twice[0]!r}; rename or drop all but one")
