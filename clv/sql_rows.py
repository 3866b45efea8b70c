"""How a script of scores reads its customers, and the table of what has no closed form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..sql.contract import SCORE_TERMS
from ..sql.errors import ContractError, ModelError
from ..sql.frames import contract_table
from .histories import PurchaseHistories
from .sql_forms import ScoreForm, identifier
from .time_units import days_per_unit

if TYPE_CHECKING:
    import pyarrow as pa

    from .btyd import BTYDModel

Array = NDArray[np.float64]

# Of a customer's table these are read in any case.
_READ = ("customer_id", "frequency", "recency", "T", "monetary_value")


@dataclass(frozen=True)
class ScoreRows:
    """How customers are read and scored.

    Attributes
    ----------
    form
        Of the scores; None where P(alive) and all that follows from it stand in ``score_terms``.
    said
        Sentences for the script's head.
    macros
        Statements that come before the macros of the scores.
    source
        What stands for the table of customers, as ``g``.
    columns
        Column of a customer -> SQL over ``g`` and ``joins``: what is not read as it stands.
    derived
        Column -> SQL over the former, as ``c``: each of them is reckoned once, however often it is used.
    joins
        Joined to ``g``.
    keys
        Column of ``score_terms`` -> that of ``columns`` it is looked up by, beside frequency and T_days.
    """

    form: ScoreForm | None
    said: tuple[str, ...] = ()
    macros: tuple[str, ...] = ()
    source: str = "query_table(customers) AS g"
    columns: Mapping[str, str] = field(default_factory=dict)
    derived: Mapping[str, str] = field(default_factory=dict)
    joins: str = ""
    keys: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_looked_up(self) -> bool:
        """Whether anything comes from ``score_terms``."""
        return self.form is None or self.form.kind != "nbd"

    def customers(self, columns: Mapping[str, str], derived: Mapping[str, str]) -> str:
        """The customers as ``c``, with further columns, joined to ``score_terms`` as ``t`` where it is needed."""
        columns, derived = {**self.columns, **columns}, {**self.derived, **derived}
        steps = {}
        if self.form is not None and self.form.steps:
            arguments = ", ".join(f"c.{name}" for name in ("frequency", "recency", "T", *self.form.own))
            steps = {name: f"{name}({arguments})" for name in self.form.steps}
        lines = ["query_table(customers) AS c"]
        if self.source != ScoreRows.source or columns or steps:
            read = [*_READ, *(["T_days"] if self.is_looked_up else [])]
            lines = self._selected({**{name: f"g.{name}" for name in read}, **columns})
        for stage in filter(None, (derived, steps)):
            listed = "".join(f",\n      {sql} AS {name}" for name, sql in stage.items())
            lines = ["(", f"    SELECT c.*{listed}", f"    FROM {lines[0]}", *lines[1:], "    ) AS c"]
        if self.is_looked_up:
            on = ["t.frequency = c.frequency AND t.T_days = c.T_days"]
            on += [f"t.{identifier(key)} IS NOT DISTINCT FROM c.{own}" for key, own in self.keys.items()]
            lines.append(f"    LEFT JOIN score_terms AS t ON {f'{chr(10)}      AND '.join(on)}")
        return "\n".join(lines)

    def _selected(self, columns: Mapping[str, str]) -> list[str]:
        listed = ",\n        ".join(sql if sql == f"g.{name}" else f"{sql} AS {name}" for name, sql in columns.items())
        return ["(", "      SELECT", f"        {listed}", f"      FROM {self.source}{self.joins}", "    ) AS c"]


def require_key_names(what: str, names: Sequence[str], beside: Sequence[str] = ()) -> None:
    """Refuse columns that ``score_terms`` or DuckDB, to which Age and age are one name, cannot tell apart.

    ``beside`` are all columns of the summary.

    Raises
    ------
    ModelError
        Names the column and what it runs into.

    Examples
    --------
    >>> require_key_names("covariate", ["frequency"])
    Traceback (most recent call last):
    ...
    regulars.sql.errors.ModelError: covariate 'frequency' has the name of a column of score_terms ...
    """
    known = {name.lower(): name for name in SCORE_TERMS.column_names}
    seen: dict[str, str] = {}
    for name in names:
        low = name.lower()
        if not name or "\0" in name:
            raise ModelError(f"{what} {name!r} is no name of a column in SQL; rename it before the fit")
        if low in known:
            raise ModelError(
                f"{what} {name!r} has the name of a column of score_terms ({', '.join(known.values())}); rename it "
                "before the fit to have SQL of the model"
            )
        if low in seen:
            raise ModelError(
                f"{what}s {seen[low]!r} and {name!r} are one name to SQL; rename one of them before the fit"
            )
        seen[low] = name
    for name in beside:
        if seen.get(name.lower(), name) != name:
            raise ModelError(
                f"{what} {seen[name.lower()]!r} and the summary's column {name!r} are one name to SQL; drop one of them"
            )


def whole_days(age: Array, unit: str, name: str = "T") -> NDArray[np.int64]:
    """Times in whole days, (n,): scores are looked up by them.

    Raises
    ------
    ContractError
        A time is no whole day.

    Examples
    --------
    >>> whole_days(np.array([38.0]), "week")
    array([266])
    """
    days = age * days_per_unit(unit)
    found = np.rint(days)
    off = np.abs(days - found) > 1e-6 * (1.0 + days)
    if off.any():
        row = int(np.argmax(off))
        raise ContractError(
            f"{name} {age[row]} {unit}s in row {row} is no whole day: SQL looks scores up by days; make the summary "
            "with regulars.clv.rfm_summary"
        )
    return found.astype(np.int64)


def distinct_rows(keys: Mapping[str, Any]) -> NDArray[np.int64]:
    """Position of the first of all rows with equal keys, by the keys in order, missing ones first.

    Examples
    --------
    >>> distinct_rows({"frequency": [2, 1, 2], "channel": ["web", None, "web"]})
    array([1, 0])
    """
    import pandas as pd

    frame = pd.DataFrame({str(i): column for i, column in enumerate(keys.values())})
    kept = frame.drop_duplicates().sort_values(by=frame.columns.tolist(), na_position="first")
    return kept.index.to_numpy().astype(np.int64)


def given_alive(
    model: "BTYDModel", histories: PurchaseHistories, horizon: float, rate: float
) -> tuple[Array, Array, Array]:
    """Orders, discounted orders and P(no order) of a customer alive at T, (n,) each."""
    distinct = histories.distinct
    return (
        distinct.scatter(model._purchases_if_alive(distinct, 0.0, horizon)),
        distinct.scatter(model._discounted_if_alive(distinct, horizon, rate)),
        distinct.scatter(model._silence_if_alive(distinct, horizon)),
    )


def terms_table(
    frequency: NDArray[np.int64],
    T_days: NDArray[np.int64],
    keys: Mapping[str, "pa.Array"],
    found: tuple[Array, Array, Array],
    alive: Array | None = None,
) -> "pa.Table":
    """``score_terms``: the contract's columns, further keys after its own, and P(alive) where it has no closed form."""
    import pyarrow as pa

    orders, discounted, silence = found
    table = contract_table(
        SCORE_TERMS,
        {
            "frequency": frequency,
            "T_days": T_days,
            "orders_if_alive": orders,
            "discounted_orders_if_alive": discounted,
            "no_order_if_alive": silence,
        },
    )
    for i, (name, column) in enumerate(keys.items()):
        table = table.add_column(2 + i, name, column)
    return table if alive is None else table.append_column("probability_alive", pa.array(alive))
