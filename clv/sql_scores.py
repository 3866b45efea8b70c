"""Scores as SQL: a fitted model written out as DuckDB macros, equal to Python's scores within 1e-9.

What has a closed form is a scalar macro with the fitted numbers in it (`sql_forms`). What has none (a 2F1, an integral
over the time of leaving) depends on frequency, T and what else the model knows of a customer: it comes from the table
``score_terms``, joined by a table macro. How customers are read is each kind of model's own: `sql_covariates`,
`sql_clock`, `sql_segments`, `sql_left_censoring`.
"""

from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np

from ..sql.contract import SCORE_TERMS
from ..sql.errors import ModelError
from .arguments import require_margin, require_time
from .histories import PurchaseHistories, read_histories
from .sql_clock import clock_rows, clock_terms
from .sql_covariates import SpendLevel, covariate_rows, covariate_terms, refusal, spend_level
from .sql_forms import ScoreForm, comment, form_of, macro, number, text
from .sql_left_censoring import left_censored_rows, left_censored_terms
from .sql_rows import ScoreRows, distinct_rows, given_alive, terms_table, whole_days
from .sql_segments import segment_rows, segment_terms
from .time_units import continuous_rate, days_per_unit

if TYPE_CHECKING:
    import pyarrow as pa

    from .gamma_gamma import GammaGammaModel

# 20 years of 52 weeks.
_OLDEST_DAYS = 7280.0


def score_terms(model: Any, summary: Any, *, horizon: float, discount_rate: float = 0.10) -> "pa.Table":
    """Return what the scores of a customer alive at T depend on besides P(alive): a row per (frequency, T).

    Parameters
    ----------
    model : BTYDModel
        A fitted model of orders, of a kind that `score_sql` has SQL for.
    summary : frame
        ``frequency``, ``recency``, ``T`` in whole days, and what else the model reads.
    horizon : float
        In the model's time unit, finite.
    discount_rate : float
        A year's.

    Returns
    -------
    pyarrow.Table
        In the shape of ``contract.SCORE_TERMS``, by frequency and T. Where customers differ by more, their covariates
        or their segment (a level that the fit has not seen is NULL: its parent's) stand after ``T_days``, on a seasonal
        clock ``as_of``. Of customers from before the data there is a row per history, with ``recency_days``,
        ``tenure`` and ``probability_alive``.

    Raises
    ------
    ContractError, ModelError
        As the model's predictions; the model is of a kind that has no SQL; or a T is no whole day.

    Examples
    --------
    >>> from regulars.clv import BetaGeoModel
    >>> model = BetaGeoModel.from_parameters(r=0.243, alpha=4.414, a=0.793, b=2.426)
    >>> terms = score_terms(model, {"frequency": [2, 2], "recency": [10.0, 30.0], "T": [38.0, 38.0]}, horizon=39)
    >>> terms.num_rows, terms["T_days"].to_pylist()
    (1, [266])
    """
    terms = _writers(model)[1]
    horizon = require_time("horizon", horizon, model.time_unit_)
    return terms(model, summary, horizon, continuous_rate(discount_rate, model.time_unit_))


def score_sql(
    model: Any,
    spend: "GammaGammaModel | None",
    *,
    horizon: float,
    discount_rate: float = 0.10,
    margin: float = 1.0,
    oldest: float | None = None,
    as_of: date | str | None = None,
    customers: str = "customer_summary",
) -> str:
    """Return a script for DuckDB that scores customers by a fitted model, its numbers written into it.

    The script creates the scalar macros ``probability_alive(frequency, recency, age)``, ``expected_order_value
    (frequency, monetary_value)`` and, where they are closed, ``orders_if_alive`` and ``no_order_if_alive
    (frequency, age)``; and the table macro ``scored(customers)``, which takes the name of a table in the shape of
    ``customer_summary`` and gives ``customer_id, probability_alive, expected_orders, probability_no_order,
    expected_order_value, customer_value``. All models but NBD read the view ``score_terms``, which ``open.sql`` makes
    of a snapshot's; of any other model it is what `score_terms` returns.

    Customers who differ by covariates or by segment have parameters of their own, further arguments of the scalar
    macros. ``scored`` reads them from the table's columns of the covariates' or levels' names, by macros such as
    ``own_alpha(channel)``. What the model refuses in Python (a level that the fit has not seen, a missing value) is an
    error that names the column. On a seasonal clock the table needs ``first_order_on`` and ``last_order_on``.

    Parameters
    ----------
    model : BTYDModel, CovariateModel, SegmentPriorModel, LeftCensoredModel, SeasonalBetaGeoModel, ...
        A fitted model of orders.
    spend : GammaGammaModel, SpendCovariateModel or None
        A fitted model of spend; None makes every value 0.
    horizon : float
        In the model's time unit; that of ``score_terms``.
    discount_rate : float
        A year's; that of ``score_terms``.
    margin : float
        Share of revenue that is kept.
    oldest : float, optional
        Pareto/NBD: no T is longer, in the model's time unit, by default 20 years; it decides how finely an integral is
        cut, and whom it is not fine enough for has no score (NULL).
    as_of : date, optional
        On a seasonal clock, the day that the summary runs to; by default the day that the fit's ran to.
    customers : str
        Table or view that the script's last statement scores, as SQL writes it: an odd name in double quotes.

    Raises
    ------
    ModelError
        A model is not fitted or of a kind that has no SQL; horizon, discount rate, margin or oldest are out of range;
        or customers is no name.

    Examples
    --------
    >>> import duckdb
    >>> from regulars.clv import NBDModel
    >>> script = score_sql(NBDModel.from_parameters(r=0.4, alpha=12.0), None, horizon=39)
    >>> session = duckdb.connect()
    >>> _ = session.execute(script.rpartition("FROM scored")[0])
    >>> session.sql("SELECT round(orders_if_alive(2, 38.86), 4)").fetchall()
    [(1.8403,)]
    """
    rows_of = _writers(model)[0]
    level = _spend_level(spend)
    horizon, margin = require_time("horizon", horizon, model.time_unit_), require_margin(margin)
    rate = continuous_rate(discount_rate, model.time_unit_)
    if as_of is not None and not model.name.startswith("seasonal_"):
        raise ModelError(f"as_of is {as_of!r}, but only a model on a seasonal clock asks for the day; leave it out")
    unit = model.time_unit_
    oldest = require_time("oldest", _OLDEST_DAYS / days_per_unit(unit) if oldest is None else oldest, unit)
    if not isinstance(customers, str) or not customers.strip():
        raise ModelError(
            f"customers is {customers!r}; it must be the name of a table or view, such as customer_summary"
        )
    rows = rows_of(model, horizon, rate, oldest, as_of)
    said = [
        f"Scores by {_name(model)}: {_fitted(model)}; {unit}s.",
        f"Horizon {horizon:g} {unit}s, {discount_rate:g} a year of discount, margin {margin:g}: fixed here and in",
        "score_terms of the snapshot. Open the snapshot first, with open.sql of its warehouse.",
        "A customer whose frequency and T are not in score_terms has no expectation (NULL): build anew.",
        *rows.said,
        *([message] if (message := getattr(model, "message_", "")) else []),
    ]
    return "\n".join(
        [
            *map(comment, said),
            "",
            *rows.macros,
            *level.macros,
            *_score_macros(rows.form),
            macro("expected_order_value", ("frequency", "monetary_value", *level.derived), _order_value(spend, level)),
            # a clock's T is no calendar's
            _scored(rows, margin, level, None if model.name.startswith("seasonal_") else days_per_unit(unit)),
            f"FROM scored({text(customers)}) ORDER BY customer_id;",
            "",
        ]
    )


# ---------------------------------------------------------------- kinds of models


def _plain_rows(model: Any, horizon: float, rate: float, oldest: float, _as_of: Any) -> ScoreRows:
    return ScoreRows(form_of(model._predictor(), horizon, rate, oldest))


def _plain_terms(model: Any, summary: Any, horizon: float, rate: float) -> "pa.Table":
    x, age, _ = read_histories(summary).distinct.rate_histories
    days = whole_days(age, model.time_unit_)
    rows = distinct_rows({"frequency": x, "T_days": days})
    x, age, days = x[rows], age[rows], days[rows]
    alone = PurchaseHistories(x, np.where(x > 0, age, 0.0), age, np.ones(x.size), model.time_unit_)
    predictor, ready = model._ready(alone)
    return terms_table(x, days, {}, given_alive(predictor, ready, horizon, rate))


_PLAIN = ("nbd", "bg_nbd", "mbg_nbd", "pareto_nbd")
_Rows = Callable[[Any, float, float, float, Any], ScoreRows]
_Terms = Callable[[Any, Any, float, float], "pa.Table"]
_WRITERS: dict[str, tuple[_Rows, _Terms]] = {
    **dict.fromkeys(_PLAIN, (_plain_rows, _plain_terms)),
    **{f"{kind}_covariates": (covariate_rows, covariate_terms) for kind in _PLAIN},
    **{f"{kind}_segments": (segment_rows, segment_terms) for kind in _PLAIN},
    **{f"seasonal_{kind}": (clock_rows, clock_terms) for kind in ("bg_nbd", "mbg_nbd")},
    **{f"{kind}_left_censored": (left_censored_rows, left_censored_terms) for kind in _PLAIN[1:]},
}


def _writers(model: Any) -> tuple[_Rows, _Terms]:
    """How a kind of model is written; what has no SQL is refused, and what is not fitted."""
    kind = _name(model)
    if kind == "time_varying_pareto_nbd":
        raise ModelError(
            f"the {kind} model has no SQL: its scores follow each customer's covariates period by period until the "
            "horizon's end. Score it by its own methods over read_covariate_paths(...) and write what they return to a "
            "table by customer_id, for SQL to join"
        )
    if kind not in _WRITERS:
        raise ModelError(f"the {kind} model has no SQL; there is SQL for {', '.join(_WRITERS)}")
    model._require_fitted()
    return _WRITERS[kind]


def _name(model: Any) -> str:
    # without a covariate it is the plain model
    return model.model if getattr(model, "covariates", None) == () else getattr(model, "name", type(model).__name__)


def _fitted(model: Any) -> str:
    fitted = {**model.params_, **getattr(model, "coefficients_", {})}
    return ", ".join(f"{name} {value!r}" for name, value in fitted.items())


def _spend_level(spend: Any) -> SpendLevel:
    if spend is None:
        return SpendLevel()
    kind = getattr(spend, "name", type(spend).__name__)
    if kind not in ("gamma_gamma", "gamma_gamma_covariates"):
        raise ModelError(
            f"the {kind} model of spend has no SQL; there is SQL for gamma_gamma and gamma_gamma_covariates"
        )
    spend._require_fitted()
    return spend_level(spend) if getattr(spend, "covariates", ()) else SpendLevel()


# ---------------------------------------------------------------- the script


def _score_macros(form: ScoreForm | None) -> list[str]:
    if form is None:
        return []
    history = ("frequency", "recency", "age", *form.own)
    made = [macro(name, ("frequency", "age", *form.own), formula) for name, formula in form.closed.items()]
    if not form.steps:
        return [macro("probability_alive", history, form.alive), *made]
    given = ", ".join(history)
    called = ", ".join([given, *(f"{name}({given})" for name in form.steps)])
    return [
        *(macro(name, history, formula) for name, formula in form.steps.items()),
        macro("alive_by_steps", (*history, *form.steps), form.alive),
        macro("probability_alive", history, f"alive_by_steps({called})"),
        *made,
    ]


def _scored(rows: ScoreRows, margin: float, level: SpendLevel, unit_days: float | None) -> str:
    form = rows.form
    own = "" if form is None else "".join(f", c.{name}" for name in form.own)
    closed = {} if form is None else form.closed
    alive = "t.probability_alive" if form is None else f"probability_alive(c.frequency, c.recency, c.T{own})"
    if form is not None and form.steps:
        steps = "".join(f", c.{name}" for name in form.steps)
        alive = f"alive_by_steps(c.frequency, c.recency, c.T{own}{steps})"
    if form is not None and form.kind != "nbd":  # NBD reads no recency
        alive = _of_a_history(alive, unit_days)
    names = SCORE_TERMS.column_names[2:]
    orders, discounted, silence = (f"{n}(c.frequency, c.T{own})" if n in closed else f"t.{n}" for n in names)
    of_level = "".join(f", c.{name}" for name in level.derived)
    return f"""CREATE OR REPLACE MACRO scored(customers) AS TABLE
  SELECT
    customer_id,
    alive AS probability_alive,
    alive * orders_alive AS expected_orders,
    1.0::DOUBLE - alive * (1.0::DOUBLE - no_order_alive) AS probability_no_order,
    order_value AS expected_order_value,
    {number(margin)} * alive * discounted_alive * order_value AS customer_value
  FROM (
    SELECT
      c.customer_id,
      {alive} AS alive,
      {orders} AS orders_alive,
      {discounted} AS discounted_alive,
      {silence} AS no_order_alive,
      expected_order_value(c.frequency, c.monetary_value{of_level}) AS order_value
    FROM {rows.customers(level.columns, level.derived)}
  );"""


def _of_a_history(alive: str, unit_days: float | None) -> str:
    """P(alive), or an error where recency is after T, or T is not T_days in the model's unit: no score is of that."""
    recency, age, days = (f"coalesce(CAST(c.{name} AS VARCHAR), 'NULL')" for name in ("recency", "T", "T_days"))
    late = refusal(text("recency is "), recency, text(" where T is "), age, text("; it must lie between 0 and T"))
    cases = [f"WHEN c.recency < 0 OR c.recency > c.T * {number(1 + 1e-9)} THEN {late}"]
    if unit_days is not None:
        one = f"; T and recency must be in units of {unit_days:g} days, as the model's are"
        other = refusal(text("T is "), age, text(" where T_days is "), days, text(one))
        cases.append(f"WHEN abs(c.T * {number(unit_days)} - c.T_days) > 0.01::DOUBLE THEN {other}")
    listed = "\n        ".join(cases)
    return f"CASE\n        {listed}\n        ELSE {alive}\n      END"


def _order_value(spend: "GammaGammaModel | None", level: SpendLevel) -> str:
    if spend is None:
        return "0.0::DOUBLE"
    p, q, v = spend._prediction_params.values()
    scale = number(v) + "".join(f" * {name}" for name in level.derived)
    money = "CASE WHEN frequency > 0 THEN greatest(monetary_value, 0.0::DOUBLE) ELSE 0.0::DOUBLE END"
    shape = f"({number(p)} * frequency + {number(q - 1.0)})"
    return f"{number(p)} * ({scale} + frequency * {money}) / nullif({shape}, 0)"
