"""A seasonal clock as SQL: its time by day written out, and histories and horizon in it."""

from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from ..sql.errors import ModelError
from .arguments import require_day
from .sql_covariates import refusal
from .sql_forms import form_of, number, text
from .sql_rows import ScoreRows, distinct_rows, terms_table, whole_days
from .time_units import days_per_unit

if TYPE_CHECKING:
    import pyarrow as pa

    from .seasonal import SeasonalBetaGeometricModel

_DAYS_A_LINE = 4


def clock_rows(
    model: "SeasonalBetaGeometricModel", horizon: float, rate: float, oldest: float, as_of: Any
) -> ScoreRows:
    """Read customers in clock time, from the table macro ``clock_days`` by their first and last day."""
    end = model.as_of_ if as_of is None else require_day("as_of", as_of)
    first = model.clock_.first_day
    if end < first:
        raise ModelError(f"as_of is {end}, before the first day {first} that the clock was fitted to; take a later one")
    unit = days_per_unit(model.time_unit_)
    form = form_of(model._predictor(), model._passed(end, horizon), rate, oldest)
    times, weights = model._discounted_times(end, horizon, rate)
    # a seasonal model is its own predictor where it has dropout
    form = replace(form, kind=form.kind.removeprefix("seasonal_"), discounted=float(weights @ times))
    passed = model.clock_.path(first, (end - first).days)[1]
    span = f"the clock's days, {first} to {end}"
    outside = " OR ".join(f"{name}.passed IS NULL" for name in ("first_on", "last_on"))
    said_days = " || ' and ' || ".join(
        f"coalesce(CAST(g.{n} AS VARCHAR), 'NULL')" for n in ("first_order_on", "last_order_on")
    )
    unseen = refusal(
        text("first_order_on and last_order_on are "), said_days, text(f": not both within {span}; fit anew")
    )
    other = refusal(
        text("T_days is "),
        "coalesce(CAST(g.T_days AS VARCHAR), 'NULL')",
        text(" for a first_order_on of "),
        "CAST(g.first_order_on AS VARCHAR)",
        text(f": this script is of the as-of date {end}"),
    )
    runs_to = f"date_diff('day', CAST(g.first_order_on AS DATE), {_day(end)})"
    age = f"({number(float(passed[-1]))} - first_on.passed) / {number(unit)}"
    return ScoreRows(
        form,
        said=(
            f"On a seasonal clock: the summary must be as of {end}, with first_order_on and last_order_on. The horizon",
            f"is {form.horizon:.6g} {model.time_unit_}s of the clock's time.",
        ),
        macros=(_clock_days(first, passed),),
        columns={
            "as_of": _day(end),
            "recency": f"(last_on.passed - first_on.passed) / {number(unit)}",
            "T": (
                f"CASE WHEN {outside} THEN {unseen}\n          WHEN g.T_days IS DISTINCT FROM {runs_to} THEN {other}\n"
                f"          ELSE {age} END"
            ),
        },
        # terms of another day are not this script's
        keys={"as_of": "as_of"},
        joins=(
            "\n      LEFT JOIN clock_days() AS first_on ON first_on.day = CAST(g.first_order_on AS DATE)"
            "\n      LEFT JOIN clock_days() AS last_on ON last_on.day = CAST(g.last_order_on AS DATE)"
        ),
    )


def clock_terms(model: "SeasonalBetaGeometricModel", summary: Any, horizon: float, rate: float) -> "pa.Table":
    """``score_terms`` by frequency and T, which with one as-of date says the first day."""
    import pyarrow as pa

    from .histories import read_histories

    histories = model.histories(summary)
    days = whole_days(read_histories(summary).T, model.time_unit_)
    rows = distinct_rows({"frequency": histories.frequency, "T_days": days})
    few = histories.take(rows)
    predictor, distinct = model._predictor(), few.distinct
    times, weights = model._discounted_times(few.as_of, horizon, rate)
    passed = model._passed(few.as_of, horizon)
    discounted = np.zeros(distinct.frequency.size)
    for time, weight in zip(times.tolist(), weights.tolist(), strict=True):
        discounted += weight * predictor._purchases_if_alive(distinct, 0.0, time)
    found = (predictor._purchases_if_alive(distinct, 0.0, passed), discounted)
    silence = predictor._silence_if_alive(distinct, passed)
    scattered = tuple(distinct.scatter(values) for values in (*found, silence))
    as_of = pa.repeat(pa.scalar(few.as_of, pa.date32()), rows.size)
    return terms_table(few.frequency, days[rows], {"as_of": as_of}, (scattered[0], scattered[1], scattered[2]))


def _clock_days(first: date, passed: np.ndarray) -> str:
    values = [f"({_day(first + timedelta(days=i))}, {number(float(at))})" for i, at in enumerate(passed)]
    lines = [", ".join(values[i : i + _DAYS_A_LINE]) for i in range(0, len(values), _DAYS_A_LINE)]
    listed = ",\n    ".join(lines)
    table = f"(VALUES\n    {listed}\n  ) AS v(day, passed)"
    return f"CREATE OR REPLACE MACRO clock_days() AS TABLE\n  SELECT day, passed FROM {table};"


def _day(day: date) -> str:
    return f"DATE '{day}'"
