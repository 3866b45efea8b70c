"""Segments as SQL: each segment's parameters in a table macro, and for a segment not seen those of the one above."""

from typing import TYPE_CHECKING, Any

import numpy as np

from .columns import column_names
from .histories import read_histories
from .segment_priors import _numbered
from .sql_covariates import missing, refusal, spelt_level
from .sql_forms import ScoreForm, comment, form_of, identifier, macro, number, text
from .sql_rows import ScoreRows, distinct_rows, given_alive, require_key_names, terms_table, whole_days

if TYPE_CHECKING:
    import pyarrow as pa

    from .segment_priors import SegmentPriorModel

# As `segment_priors` has it: above this a float stands for several whole numbers.
_EXACT = 2.0**53


def segment_rows(model: "SegmentPriorModel", horizon: float, rate: float, oldest: float, _as_of: Any) -> ScoreRows:
    """Read customers with the parameters of their segment, or of the nearest one above it that the fit has seen."""
    require_key_names("level", model.levels)
    forms = [form_of(one, horizon, rate, oldest) for one in model.models_.values()]
    base, depths = model.base_.params_, range(1, len(model.levels) + 1)
    form = ScoreForm(
        forms[0].kind, {name: name for name in base}, horizon, forms[0].discounted, max(f.reach for f in forms)
    )
    levels = [f"own_level_{depth}" for depth in depths]
    # by the table's name: a bare "customers" would be the macro's argument
    spelt = ", ".join(
        f"{identifier(f'level {name}')}(r.{identifier(name)}) AS {own}"
        for name, own in zip(model.levels, levels, strict=True)
    )
    joins, columns = "", {}
    for depth in depths:
        on = [f"s{depth}.depth = {depth}"]
        on += [f"s{depth}.level_{k} = g.{levels[k - 1]}" for k in range(1, depth + 1)]
        joins += f"\n      LEFT JOIN segment_parameters() AS s{depth} ON {' AND '.join(on)}"
    deepest = [f"s{depth}" for depth in reversed(depths)]
    for name, value in base.items():
        columns[name] = f"coalesce({', '.join(f'{s}.{name}' for s in deepest)}, {number(value)})"
    keys = {}
    if form.kind != "nbd":
        for k, name in enumerate(model.levels, start=1):
            columns[f"key_{k}"] = f"coalesce({', '.join(f's{d}.level_{k}' for d in reversed(depths))})"
            keys[name] = f"key_{k}"
    macros = [macro(identifier(f"level {name}"), ("given",), _spelt(name)) for name in model.levels]
    return ScoreRows(
        form,
        said=(
            f"The table of customers needs {', '.join(model.levels)} beside the columns of customer_summary; a segment "
            "that the fit has not seen has the parameters of the one above.",
        ),
        macros=(*macros, _segment_parameters(model)),
        # the first of two columns of a name is the one that is read
        source=f"(SELECT {spelt}, r.* FROM query_table(customers) AS r) AS g",
        columns=columns,
        joins=joins,
        keys=keys,
    )


def segment_terms(model: "SegmentPriorModel", summary: Any, horizon: float, rate: float) -> "pa.Table":
    """``score_terms`` by frequency, T and the segment that answers."""
    import pyarrow as pa

    require_key_names("level", model.levels, column_names(summary))
    histories = read_histories(summary)
    days = whole_days(histories.T, model.time_unit_)
    paths = model._paths(summary)
    answers = {path: _answering(model, path) for path in set(paths)}
    segments, index = _numbered([answers[path] for path in paths])
    keys = {
        name: np.array([path[k] if k < len(path) else None for path in segments], dtype=object)[index]
        for k, name in enumerate(model.levels)
    }
    rows = distinct_rows({"frequency": histories.frequency, "T_days": days, **keys})
    few, found = histories.take(rows), np.empty((3, rows.size))
    for i, path in enumerate(segments):
        here = np.flatnonzero(index[rows] == i)
        predictor, part = model.models_[path]._ready(few.take(here))
        found[:, here] = given_alive(predictor, part, horizon, rate)
    texts = {name: pa.array(column[rows], pa.string()) for name, column in keys.items()}
    return terms_table(few.frequency, days[rows], texts, (found[0], found[1], found[2]))


def _answering(model: "SegmentPriorModel", path: tuple[str, ...]) -> tuple[str, ...]:
    while path not in model.models_:
        path = path[:-1]
    return path


def _spelt(name: str) -> str:
    """A level as `segment_priors` spells it: 1 and 1.0 are one level."""
    value = "TRY_CAST(given AS DOUBLE)"
    kinds = "typeof(given) IN ('FLOAT', 'DOUBLE', 'HUGEINT', 'UHUGEINT') OR typeof(given) LIKE 'DECIMAL(%'"
    whole = f"abs({value}) < {number(_EXACT)} AND {value} = trunc({value})"
    none = refusal(text(f"level {name!r} is missing for a customer; give it a segment such as 'unknown'"))
    return f"""CASE
    WHEN {missing("given")} THEN {none}
    WHEN ({kinds}) AND {whole} THEN CAST(TRY_CAST({value} AS BIGINT) AS VARCHAR)
    ELSE {spelt_level("given")}
  END"""


def _segment_parameters(model: "SegmentPriorModel") -> str:
    names = list(model.base_.params_)
    depth = len(model.levels)
    rows = []
    for path in sorted((path for path in model.models_ if path), key=lambda path: (len(path), path)):
        values = model.models_[path].params_
        levels = [text(level) for level in path] + ["NULL::VARCHAR"] * (depth - len(path))
        rows.append(f"({', '.join([str(len(path)), *levels, *(number(values[name]) for name in names)])})")
    listed = ",\n    ".join(rows)
    columns = ", ".join(["depth", *(f"level_{k}" for k in range(1, depth + 1)), *names])
    said = comment(", ".join(f"level_{k} is {name}" for k, name in enumerate(model.levels, start=1)))
    table = f"(VALUES\n    {listed}\n  ) AS v({columns})"
    return f"{said}\nCREATE OR REPLACE MACRO segment_parameters() AS TABLE\n  SELECT {columns} FROM {table};"
