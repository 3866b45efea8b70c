"""Scores as SQL: a fitted model written out as DuckDB macros, equal to Python's scores within 1e-9.

What has a closed form is a scalar macro with the fitted numbers in it. What has none (a 2F1, an integral over the time
of leaving) depends on frequency and T alone: it comes from the snapshot's table ``score_terms``, joined by a table
macro.
"""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..sql.contract import SCORE_TERMS
from ..sql.errors import ModelError
from ..sql.frames import contract_table
from .arguments import require_margin, require_time
from .histories import PurchaseHistories, read_histories
from .quadrature import legendre
from .time_units import continuous_rate, days_per_unit

if TYPE_CHECKING:
    import pyarrow as pa

    from .btyd import BTYDModel
    from .gamma_gamma import GammaGammaModel

# One rule for every customer: 24 nodes a panel, panels no longer than this (see `pareto_nbd_kernels`).
_NODES = 24
_PANEL = 4.0
_NEGLIGIBLE = 38.0
# Nearer to s = 1 than this the integral of a lifetime is taken as a series.
_NEAR_ONE = 1e-4


def score_terms(model: "BTYDModel", summary: Any, *, horizon: float, discount_rate: float = 0.10) -> "pa.Table":
    """Return what the scores of a customer alive at T depend on besides P(alive): a row per (frequency, T).

    Parameters
    ----------
    model : BTYDModel
        A fitted model of orders.
    summary : frame
        ``frequency``, ``recency``, ``T``.
    horizon : float
        In the model's time unit, finite.
    discount_rate : float
        A year's.

    Returns
    -------
    pyarrow.Table
        In the shape of ``contract.SCORE_TERMS``, by frequency and T.

    Raises
    ------
    ContractError, ModelError
        As `score_customers`; or the model is of a kind that has no SQL.

    Examples
    --------
    >>> from regulars.clv import BetaGeoModel
    >>> model = BetaGeoModel.from_parameters(r=0.243, alpha=4.414, a=0.793, b=2.426)
    >>> terms = score_terms(model, {"frequency": [2, 2], "recency": [10.0, 30.0], "T": [38.0, 38.0]}, horizon=39)
    >>> terms.num_rows, terms["T_days"].to_pylist()
    (1, [266])
    """
    _require_form(model)
    horizon = require_time("horizon", horizon, model.time_unit_)
    rate = continuous_rate(discount_rate, model.time_unit_)
    histories = read_histories(summary)
    x, age, _ = histories.distinct.rate_histories
    order = np.lexsort((age, x))
    x, age = x[order], age[order]
    rows = PurchaseHistories(x, np.where(x > 0, age, 0.0), age, np.ones(x.size), model.time_unit_)
    predictor, ready = model._ready(rows)
    distinct = ready.distinct
    scatter = distinct.scatter
    return contract_table(
        SCORE_TERMS,
        {
            "frequency": x,
            "T_days": _in_days(age, model.time_unit_),
            "orders_if_alive": scatter(predictor._purchases_if_alive(distinct, 0.0, horizon)),
            "discounted_orders_if_alive": scatter(predictor._discounted_if_alive(distinct, horizon, rate)),
            "no_order_if_alive": scatter(predictor._silence_if_alive(distinct, horizon)),
        },
    )


def score_sql(
    model: "BTYDModel",
    spend: "GammaGammaModel | None",
    *,
    horizon: float,
    discount_rate: float = 0.10,
    margin: float = 1.0,
    oldest: float = 1040.0,
) -> str:
    """Return a script for DuckDB that scores customers by a fitted model, its numbers written into it.

    The script creates the scalar macros ``probability_alive(frequency, recency, age)``, ``expected_order_value
    (frequency, monetary_value)`` and, where they are closed, ``orders_if_alive`` and ``no_order_if_alive
    (frequency, age)``; and the table macro ``scored(customers)``, which takes the name of a table in the shape of
    ``customer_summary`` and gives ``customer_id, probability_alive, expected_orders, probability_no_order,
    expected_order_value, customer_value``. All models but NBD read the view ``score_terms``, which ``open.sql`` makes.

    Parameters
    ----------
    model : BTYDModel
        A fitted model of orders.
    spend : GammaGammaModel or None
        A fitted model of spend; None makes every value 0.
    horizon : float
        In the model's time unit; that of ``score_terms``.
    discount_rate : float
        A year's; that of ``score_terms``.
    margin : float
        Share of revenue that is kept.
    oldest : float
        Pareto/NBD: no T is longer, in the model's time unit; it decides how finely an integral is cut.

    Raises
    ------
    ModelError
        A model is not fitted or of a kind that has no SQL, or horizon, discount rate or margin are out of range.

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
    _require_form(model)
    if spend is not None:
        _require_plain_spend(spend)
    horizon, margin = require_time("horizon", horizon, model.time_unit_), require_margin(margin)
    rate = continuous_rate(discount_rate, model.time_unit_)
    predictor = model._predictor()
    alive, closed = _FORMS[predictor.name](predictor.params_, horizon, oldest)
    if predictor.name == "nbd":
        length = horizon if rate == 0 else -math.expm1(-rate * horizon) / rate
        closed["discounted_orders_if_alive"] = closed["orders_if_alive"].replace(_number(horizon), _number(length))
    return _script(model, predictor.name, spend, alive, closed, (horizon, discount_rate, margin))


def _require_form(model: Any) -> None:
    """Refuse a model whose customers differ by more than frequency, recency and T, and one that is not fitted."""
    kind = getattr(model, "name", type(model).__name__)
    # without a covariate it is the plain model
    plain = getattr(model, "model", kind) if getattr(model, "covariates", None) == () else kind
    if plain not in _FORMS:
        raise ModelError(
            f"the {kind} model has no SQL; there is SQL for {', '.join(_FORMS)}. Score it with score_customers, or by "
            "its own methods"
        )
    model._require_fitted()


def _require_plain_spend(spend: Any) -> None:
    kind = getattr(spend, "name", type(spend).__name__)
    if kind != "gamma_gamma" and getattr(spend, "covariates", None) != ():
        raise ModelError(f"the {kind} model of spend has no SQL; there is SQL for gamma_gamma")
    spend._require_fitted()


def _number(value: float) -> str:
    return f"{float(value)!r}::DOUBLE" if value >= 0 else f"({float(value)!r}::DOUBLE)"


def _nbd(params: dict[str, float], horizon: float, _oldest: float) -> tuple[str, dict[str, str]]:
    r, alpha, h = (_number(v) for v in (params["r"], params["alpha"], horizon))
    silence = f"exp(-({r} + frequency) * ln(1.0::DOUBLE + {h} / ({alpha} + age)))"
    return "1.0::DOUBLE", {
        "orders_if_alive": f"({r} + frequency) / ({alpha} + age) * {h}",
        "no_order_if_alive": silence,
    }


def _beta_geometric(chances_at_start: int) -> Any:
    def forms(params: dict[str, float], horizon: float, oldest: float) -> tuple[str, dict[str, str]]:
        r, alpha, a = (_number(params[name]) for name in ("r", "alpha", "a"))
        before_last = _number(params["b"] + chances_at_start - 1.0)
        grown = f"ln(({alpha} + age) / ({alpha} + recency))"
        left = f"{a} / ({before_last} + frequency) * exp(({r} + frequency) * {grown})"
        alive = f"1.0::DOUBLE / (1.0::DOUBLE + {left})"
        if not chances_at_start:
            alive = f"CASE WHEN frequency = 0 THEN 1.0::DOUBLE ELSE {alive} END"
        return alive, {"no_order_if_alive": _nbd(params, horizon, oldest)[1]["no_order_if_alive"]}

    return forms


def _pareto_nbd(params: dict[str, float], horizon: float, oldest: float) -> tuple[str, dict[str, str]]:
    r, alpha, beta, h = (_number(v) for v in (*(params[k] for k in ("r", "alpha", "beta")), horizon))
    return _pareto_alive(params, oldest), {
        "orders_if_alive": f"({r} + frequency) / ({alpha} + age) * {_lifetime(params['s'], beta, h)}"
    }


def _lifetime(s: float, beta: str, h: str) -> str:
    grown = f"ln(1.0::DOUBLE + {h} / ({beta} + age))"
    left = 1.0 - s
    y = f"({_number(left)} * {grown})"
    if abs(left) >= _NEAR_ONE:
        return f"({beta} + age) * (exp({y}) - 1.0::DOUBLE) / {_number(left)}"
    series = f"(1.0::DOUBLE + {y} / 2.0::DOUBLE + {y} * {y} / 6.0::DOUBLE)"
    return f"({beta} + age) * {grown} * {series}"


def _pareto_alive(params: dict[str, float], oldest: float) -> str:
    """The odds of having left, integrated over when: the integral of `pareto_nbd_kernels.leaving_integral`."""
    r, alpha, s, beta = (params[name] for name in ("r", "alpha", "s", "beta"))
    nearer = min(alpha, beta)
    # the longest path of anybody, and so how many panels are enough for all
    panels = max(1, math.ceil(math.log1p(oldest / nearer) / _PANEL))
    nodes, weights = legendre(_NODES)
    n = f"({_number(r)} + frequency)"
    at_recency = f"({_number(nearer)} + recency)"
    gone = "(age - recency)"
    a0, b0 = f"({_number(alpha)} + recency)", f"({_number(beta)} + recency)"
    # where the integrand has fallen by e^-38 the rest is nothing
    cut_a = f"{a0} * (exp(least({_number(_NEGLIGIBLE)} / {n}, 700.0::DOUBLE)) - 1.0::DOUBLE)"
    cut_b = f"{b0} * {_number(min(math.expm1(min(_NEGLIGIBLE / (s + 1.0), 700.0)), 1e300))}"
    length = f"ln(1.0::DOUBLE + least({gone}, {cut_a}, {cut_b}) / {at_recency})"
    width = f"({length} / {_number(panels)})"
    terms = []
    for panel in range(panels):
        for node, weight in zip(nodes.tolist(), weights.tolist(), strict=True):
            v = f"({_number(panel + node)} * {width})"
            if alpha <= beta:
                rise = f"ln(exp({v}) * {a0} / {b0} + {_number(beta - alpha)} / {b0})"
                fall = f"(1.0::DOUBLE - {n}) * {v} - {_number(s + 1.0)} * {rise}"
            else:
                rise = f"ln(exp({v}) * {b0} / {a0} + {_number(alpha - beta)} / {a0})"
                fall = f"{_number(-s)} * {v} - {n} * {rise}"
            terms.append(f"{_number(weight)} * exp({fall})")
    total = "\n    + ".join(terms)
    scale = f"{a0} / {b0}" if alpha <= beta else "1.0::DOUBLE"
    grown = f"exp({n} * ln(1.0::DOUBLE + {gone} / {a0}) + {_number(s)} * ln(1.0::DOUBLE + {gone} / {b0}))"
    return f"1.0::DOUBLE / (1.0::DOUBLE + {_number(s)} * {grown} * {width} * {scale} * (\n    {total}))"


_FORMS = {
    "nbd": _nbd,
    "bg_nbd": _beta_geometric(0),
    "mbg_nbd": _beta_geometric(1),
    "pareto_nbd": _pareto_nbd,
}


def _script(
    model: "BTYDModel",
    form: str,
    spend: "GammaGammaModel | None",
    alive: str,
    closed: dict[str, str],
    terms: tuple[float, float, float],
) -> str:
    horizon, discount_rate, margin = terms
    fitted = ", ".join(f"{name} {value!r}" for name, value in model.params_.items())
    unit = model.time_unit_
    said = [
        f"-- Scores by {model.name}: {fitted}; {unit}s.",
        f"-- Horizon {horizon:g} {unit}s, {discount_rate:g} a year of discount, margin {margin:g}: fixed here and in",
        "-- score_terms of the snapshot. Open the snapshot first, with open.sql of its warehouse.",
        "-- A customer whose frequency and T are not in score_terms has no expectation (NULL): build anew.",
    ]
    if model.message_:
        said.append(f"-- {model.message_}")
    macros = [f"CREATE OR REPLACE MACRO probability_alive(frequency, recency, age) AS\n  {alive};"]
    macros += [f"CREATE OR REPLACE MACRO {name}(frequency, age) AS\n  {formula};" for name, formula in closed.items()]
    macros.append(
        f"CREATE OR REPLACE MACRO expected_order_value(frequency, monetary_value) AS\n  {_order_value(spend)};"
    )
    columns = {name: _term(name, closed) for name in SCORE_TERMS.column_names[2:]}
    join = (
        "" if form == "nbd" else "\n  LEFT JOIN score_terms AS t ON t.frequency = c.frequency AND t.T_days = c.T_days"
    )
    scored = f"""CREATE OR REPLACE MACRO scored(customers) AS TABLE
  SELECT
    customer_id,
    alive AS probability_alive,
    alive * orders_alive AS expected_orders,
    1.0::DOUBLE - alive * (1.0::DOUBLE - no_order_alive) AS probability_no_order,
    order_value AS expected_order_value,
    {_number(margin)} * alive * discounted_alive * order_value AS customer_value
  FROM (
    SELECT
      c.customer_id,
      probability_alive(c.frequency, c.recency, c.T) AS alive,
      {columns["orders_if_alive"]} AS orders_alive,
      {columns["discounted_orders_if_alive"]} AS discounted_alive,
      {columns["no_order_if_alive"]} AS no_order_alive,
      expected_order_value(c.frequency, c.monetary_value) AS order_value
    FROM query_table(customers) AS c{join}
  );"""
    return "\n".join([*said, "", *macros, scored, "FROM scored('customer_summary') ORDER BY customer_id;", ""])


def _term(name: str, closed: dict[str, str]) -> str:
    return f"{name}(c.frequency, c.T)" if name in closed else f"t.{name}"


def _order_value(spend: "GammaGammaModel | None") -> str:
    if spend is None:
        return "0.0::DOUBLE"
    p, q, v = spend._prediction_params.values()
    money = "CASE WHEN frequency > 0 THEN greatest(monetary_value, 0.0::DOUBLE) ELSE 0.0::DOUBLE END"
    shape = f"({_number(p)} * frequency + {_number(q - 1.0)})"
    return f"{_number(p)} * ({_number(v)} + frequency * {money}) / {shape}"


def _in_days(age: np.ndarray, unit: str) -> np.ndarray:
    return np.rint(age * days_per_unit(unit)).astype(np.int64)
