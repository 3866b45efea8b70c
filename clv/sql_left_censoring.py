"""Customers from before the data as SQL: nothing is closed, so P(alive) and the rest stand in ``score_terms``."""

from typing import TYPE_CHECKING, Any

import numpy as np

from .columns import column_names, read_columns
from .histories import read_histories
from .sql_rows import ScoreRows, distinct_rows, terms_table, whole_days
from .time_units import days_per_unit

if TYPE_CHECKING:
    import pyarrow as pa

    from .left_censoring import LeftCensoredModel


def left_censored_rows(
    model: "LeftCensoredModel", _horizon: float, _rate: float, _oldest: float, _as_of: Any
) -> ScoreRows:
    """Read customers by whole history, and by tenure where the table has that column."""
    unit = days_per_unit(model.time_unit_)
    tenure = "TRY_CAST(g.tenure AS DOUBLE)"
    return ScoreRows(
        None,
        said=(
            "Customers from before the data: score_terms is that of this model, by history and, where the table of",
            f"customers has that column, tenure in {model.time_unit_}s.",
        ),
        source="(FROM query_table(customers) UNION ALL BY NAME SELECT NULL::DOUBLE AS tenure WHERE false) AS g",
        columns={
            "recency_days": f"CAST(round(g.recency * {unit!r}::DOUBLE) AS BIGINT)",
            "tenure": f"CASE WHEN NOT isnan({tenure}) THEN {tenure} END",
        },
        keys={"recency_days": "recency_days", "tenure": "tenure"},
    )


def left_censored_terms(model: "LeftCensoredModel", summary: Any, horizon: float, rate: float) -> "pa.Table":
    """``score_terms`` by frequency, recency, T and tenure, with P(alive)."""
    import pyarrow as pa

    histories = read_histories(summary)
    unit = model.time_unit_
    tenure = np.full(len(histories), np.nan)
    if "tenure" in column_names(summary):
        tenure = read_columns(summary, ["tenure"])["tenure"]
    days, recency = whole_days(histories.T, unit), whole_days(histories.recency, unit, "recency")
    rows = distinct_rows({"frequency": histories.frequency, "T_days": days, "recency_days": recency, "tenure": tenure})
    few = {
        "frequency": histories.frequency[rows],
        "recency": histories.recency[rows],
        "T": histories.T[rows],
        "tenure": tenure[rows],
    }
    alive = model.probability_alive(few)
    orders, silence = model.expected_purchases(few, horizon), model.probability_no_purchase(few, horizon)
    discounted = model.discounted_expected_purchases(few, horizon, rate)
    # whose P(alive) is nothing buys nothing
    still = alive > 0
    safe = np.where(still, alive, 1.0)
    found = (
        np.where(still, orders / safe, 0.0),
        np.where(still, discounted / safe, 0.0),
        np.where(still, 1.0 - (1.0 - silence) / safe, 1.0),
    )
    keys = {"recency_days": pa.array(recency[rows]), "tenure": pa.array(tenure[rows], from_pandas=True)}
    return terms_table(few["frequency"], days[rows], keys, found, alive)
