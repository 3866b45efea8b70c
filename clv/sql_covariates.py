"""Static covariates as SQL: the design matrix of a fit written out, and each customer's own parameters by it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .columns import column_names
from .design_matrix import MISSING_LEVEL, Covariate, Design, _columns, _factorised
from .sql_forms import form_of, identifier, macro, number, text
from .sql_rows import ScoreRows, distinct_rows, given_alive, require_key_names, terms_table, whole_days

if TYPE_CHECKING:
    import pyarrow as pa

    from .covariates import CovariateModel
    from .spend_covariates import SpendCovariateModel

# Pareto/NBD: the integral over the time of leaving is cut finely enough for numbers that shorten alpha or beta by e^8.
_ALLOWED_FOR_NUMBERS = 8.0
# So many levels an error names.
_NAMED_LEVELS = 12

_NUMBERS = (
    *("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"),
    *("UHUGEINT", "BIGNUM", "FLOAT", "DOUBLE", '"NULL"'),
)


@dataclass(frozen=True)
class SpendLevel:
    """How many times as much as at the base a customer spends.

    Attributes
    ----------
    columns, derived
        As of `ScoreRows`: the covariates, and ``spend_level`` by them; empty where all spend alike.
    macros
        Statements that it needs.

    Examples
    --------
    >>> SpendLevel().derived
    {}
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    derived: Mapping[str, str] = field(default_factory=dict)
    macros: tuple[str, ...] = ()


def covariate_rows(model: "CovariateModel", horizon: float, rate: float, oldest: float, _as_of: Any) -> ScoreRows:
    """Read customers with parameters of their own, ``own_<parameter>`` of their covariates."""
    names = [covariate.name for covariate in model.design_.covariates]
    plain = form_of(model._predictor(), horizon, rate, oldest)
    effects, of_column = model._effects(), _by_column(model.design_)
    moved: dict[str, dict[str, list[float]]] = {}
    for name, predictor, factor, column in zip(
        effects.names, effects.predictor, effects.factor, effects.column, strict=True
    ):
        parameter = model.parameter_names[predictor]
        if parameter in plain.parameters:  # without dropout only the rate of purchase is moved
            shifts = moved.setdefault(parameter, {}).setdefault(of_column[column].name, [])
            shifts.append(float(factor) * model.coefficients_[name])
    covariates = model.design_.covariates
    by_name = {covariate.name: covariate for covariate in covariates}
    known = _known_columns("covariate", "key", covariates)
    parameters: dict[str, float | str] = dict(plain.parameters)
    macros, derived = [_known_value("covariate", covariate) for covariate in covariates], {}
    reach = plain.reach
    for parameter, shifts in moved.items():
        at_base = float(plain.parameters[parameter])
        formula = _shift([(by_name[name], values) for name, values in shifts.items()])
        arguments = [identifier(name) for name in shifts]
        macros.append(macro(f"own_{parameter}", arguments, f"nullif({number(at_base)} * exp({formula}), 0.0::DOUBLE)"))
        derived[parameter] = f"own_{parameter}({', '.join(f'c.{known[name]}' for name in shifts)})"
        parameters[parameter] = parameter
        if parameter in ("alpha", "beta"):
            lowest = _lowest([(by_name[name], values) for name, values in shifts.items()])
            reach = max(reach, oldest / (at_base * np.exp(lowest)))
    return ScoreRows(
        replace(plain, parameters=parameters, reach=reach),
        said=(
            f"The table of customers needs the covariates {', '.join(names)} beside the columns of customer_summary.",
        ),
        macros=tuple(macros),
        columns=_read_columns("covariate", known),
        derived=derived,
        keys={} if plain.kind == "nbd" else known,
    )


def covariate_terms(model: "CovariateModel", summary: Any, horizon: float, rate: float) -> "pa.Table":
    """``score_terms`` by frequency, T and the covariates."""
    histories = model.histories(summary)
    values = covariate_values(model.design_, summary)
    require_key_names("covariate", list(values), column_names(summary))
    days = whole_days(histories.T, model.time_unit_)
    rows = distinct_rows({"frequency": histories.frequency, "T_days": days, **values})
    predictor, few = model._ready(histories.take(rows))
    keys = {name: _arrow(column[rows]) for name, column in values.items()}
    found = given_alive(predictor, few, horizon, rate)
    return terms_table(histories.frequency[rows], days[rows], keys, found)


def covariate_values(design: Design, frame: Any) -> dict[str, np.ndarray]:
    """Each covariate as the script tells customers apart by it, (n,): the text of a level, or a number; None for none.

    Examples
    --------
    >>> frame = {"club": [True, False, True], "age": [30, 40, 30.5]}
    >>> found = covariate_values(Design.of(frame, ["club", "age"], np.ones(3)), frame)
    >>> found["club"].tolist(), found["age"].tolist()
    (['True', 'False', 'True'], [30.0, 40.0, 30.5])
    """
    columns = _columns(frame, [covariate.name for covariate in design.covariates])
    found = {}
    for covariate in design.covariates:
        series = columns[covariate.name]
        if covariate.base is None:
            found[covariate.name] = series.to_numpy(dtype=float, na_value=np.nan) + 0.0
        else:
            code, levels = _factorised(series)
            found[covariate.name] = np.array([*levels, MISSING_LEVEL], dtype=object)[code]
    return found


def spend_level(model: "SpendCovariateModel") -> SpendLevel:
    """How a customer's level of spend follows from the covariates, ``spend_level`` of them."""
    values = list(model.coefficients_.values())
    covariates, shifts = model.design_.covariates, []
    for covariate in covariates:
        shifts.append((covariate, values[: len(covariate.columns)]))
        values = values[len(covariate.columns) :]
    made = [_known_value("spend covariate", covariate) for covariate in covariates]
    arguments = [identifier(covariate.name) for covariate in covariates]
    made.append(macro("spend_level", arguments, f"exp({_shift(shifts)})"))
    known = _known_columns("spend covariate", "spend_key", covariates)
    level = f"spend_level({', '.join(f'c.{column}' for column in known.values())})"
    return SpendLevel(_read_columns("spend covariate", known), {"spend_level": level}, tuple(made))


# ---------------------------------------------------------------- one covariate


def spelt_level(given: str) -> str:
    """SQL of a level's text as Python spells it: True and False of a BOOLEAN."""
    truth = f"CASE CAST({given} AS VARCHAR) WHEN 'true' THEN 'True' WHEN 'false' THEN 'False' END"
    return f"CASE WHEN typeof({given}) = 'BOOLEAN' THEN {truth} ELSE CAST({given} AS VARCHAR) END"


def missing(given: str) -> str:
    """SQL that says whether there is no value: NULL, or NaN of a float column (a text 'nan' is a value)."""
    number_of = f"coalesce(TRY_CAST({given} AS DOUBLE), 0.0::DOUBLE)"
    return f"({given} IS NULL OR (typeof({given}) IN ('FLOAT', 'DOUBLE') AND isnan({number_of})))"


def refusal(*parts: str) -> str:
    """SQL that ends the statement with an error of literals and expressions."""
    return f"error({' || '.join(parts)})"


def _by_column(design: Design) -> list[Covariate]:
    """The covariate of each column of the design matrix."""
    return [covariate for covariate in design.covariates for _ in covariate.columns]


def _macro_of(what: str, name: str) -> str:
    return identifier(f"{what} {name}")


def _known_columns(what: str, stem: str, covariates: Sequence[Covariate]) -> dict[str, str]:
    """Covariate -> the column that holds what is known of it."""
    require_key_names(what, [covariate.name for covariate in covariates])
    return {covariate.name: f"{stem}_{i + 1}" for i, covariate in enumerate(covariates)}


def _read_columns(what: str, known: Mapping[str, str]) -> dict[str, str]:
    return {column: f"{_macro_of(what, name)}(g.{identifier(name)})" for name, column in known.items()}


def _known_value(what: str, covariate: Covariate) -> str:
    """A macro that gives a covariate's level or number, or an error that names it."""
    name = repr(covariate.name)
    none = refusal(
        text(
            f"covariate {name} is missing for a customer; complete it, or fit with missing='own_level', which makes "
            "those a level of their own"
        )
    )
    if covariate.base is None:
        return macro(_macro_of(what, covariate.name), ("given",), _known_number(name, covariate, none))
    known = (*covariate.levels, covariate.base)
    rest = f" and {len(known) - _NAMED_LEVELS} more" if len(known) > _NAMED_LEVELS else ""
    seen = ", ".join(sorted(known)[:_NAMED_LEVELS]) + rest
    level = spelt_level("given")
    unseen = refusal(text(f"covariate {name} has the level '"), level, text(f"'; the fit has seen {seen}"))
    listed = ", ".join(text(one) for one in sorted(known))
    formula = f"""CASE
    WHEN {missing("given")} THEN {text(MISSING_LEVEL) if MISSING_LEVEL in known else none}
    WHEN {level} IN ({listed}) THEN {level}
    ELSE {unseen}
  END"""
    return macro(_macro_of(what, covariate.name), ("given",), formula)


def _known_number(name: str, covariate: Covariate, none: str) -> str:
    kind = "typeof(given)"
    is_number = f"({kind} IN ({', '.join(text(one) for one in _NUMBERS)}) OR {kind} LIKE 'DECIMAL(%')"
    value = "TRY_CAST(given AS DOUBLE)"
    other = refusal(text(f"covariate {name} was a number in the fit and is "), kind, text(" here"))
    return f"""CASE
    WHEN NOT {is_number} THEN {other}
    WHEN {missing("given")} THEN {"NULL" if covariate.own_level else none}
    WHEN isinf({value}) THEN {refusal(text(f"covariate {name} is infinite for a customer; it must be finite"))}
    ELSE {value}
  END"""


def _shift(shifts: Sequence[tuple[Covariate, Sequence[float]]]) -> str:
    """The sum of coefficients times columns, over the arguments of those names; NULL for a level not seen."""
    parts = []
    for covariate, values in shifts:
        given = identifier(covariate.name)
        if covariate.base is not None:
            levels = zip((covariate.base, *covariate.levels), (0.0, *values), strict=True)
            parts.append(
                f"CASE {given} {' '.join(f'WHEN {text(one)} THEN {number(value)}' for one, value in levels)} END"
            )
            continue
        at = f"{number(values[0])} * ({given} - {number(covariate.centre)})"
        parts.append(f"coalesce({at}, {number(values[1])})" if covariate.own_level else at)
    return "\n    + ".join(parts)


def _lowest(shifts: Sequence[tuple[Covariate, Sequence[float]]]) -> float:
    """The least that levels add to a logarithm, with what is allowed for numbers together."""
    levels = sum(min(0.0, *values) for covariate, values in shifts if covariate.base is not None)
    numbers = any(covariate.base is None for covariate, _ in shifts)
    return levels - (_ALLOWED_FOR_NUMBERS if numbers else 0.0)


def _arrow(column: np.ndarray) -> "pa.Array":
    import pyarrow as pa

    return pa.array(column, pa.string()) if column.dtype == object else pa.array(column, from_pandas=True)
