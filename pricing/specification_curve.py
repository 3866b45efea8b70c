"""The specification curve: one panel, every defensible way to read its price response, and the one that is argued for.

One category has many elasticities (a soft-drinks panel: -.28 pooled, -2.0 with fixed effects, -2.9 with weeks without a
sale, -1.9 with what was on display); the answer is a curve with one chosen row, not a number. The choice follows from
what the panel knows. Forecast error has no part in it: accuracy of forecasts and of price response rank in opposite
order (Simonsohn, Simmons and Nelson 2020 on the curve itself).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..sql.errors import ModelError, RegularsError
from ..sql.findings import Finding
from ..sql.frames import frame_like
from .double_ml import double_ml
from .elasticity import ElasticityTable, control_columns, estimate_elasticities, panel_findings
from .instruments import available
from .log_linear import Regression, log_linear, panel_frame
from .panel_arrays import PanelArrays, read_panel
from .poisson import poisson

_Z90 = 1.6448536269514722


@dataclass(frozen=True)
class Specification:
    """One way to read the price response.

    ``form`` is "log-log", "semi-log" or "counts"; ``effects`` what is taken out; ``controls`` what else moves demand;
    ``rows`` which rows count; ``objection`` what speaks against it.

    Examples
    --------
    >>> Specification("pooled", "log-log", "none", "none", "with units", "dear items sell less anyway").effects
    'none'
    """

    name: str
    form: str
    effects: str
    controls: str
    rows: str
    objection: str


@dataclass(frozen=True)
class SpecificationCurve:
    """Elasticities of one panel by specification.

    Attributes
    ----------
    table : frame
        A row per specification, sorted by elasticity: ``specification, form, effects, controls, rows, elasticity,
        standard_error, lower, upper`` (90%), ``observations, chosen, objection, failed``.
    chosen : str
        Name of the chosen row.
    argument : str
        Why it is that one, and what it could not read.
    findings : tuple of Finding
        What a reader must know of the panel.

    Examples
    --------
    >>> from regulars.pricing.simulate import simulate_prices
    >>> panel = simulate_prices(items=3, stores=3, weeks=60, seed=3).frame()
    >>> curve = specification_curve(panel, double_machine_learning=False)
    >>> curve.chosen, int(curve.table["chosen"].sum()), curve.elasticity("pooled") == curve.elasticity()
    ('by item, instrumented', 1, False)
    """

    table: Any
    chosen: str
    argument: str
    rows: tuple[dict[str, Any], ...] = field(repr=False)
    findings: tuple[Finding, ...] = ()

    def elasticity(self, specification: str | None = None) -> float:
        """Return the elasticity of a specification; of the chosen one without a name.

        Raises
        ------
        ModelError
            No such specification.
        """
        name = specification or self.chosen
        for row in self.rows:
            if row["specification"] == name:
                return float(row["elasticity"])
        raise ModelError(f"no specification {name!r}; there are {', '.join(row['specification'] for row in self.rows)}")


def specification_curve(
    panel: Any, *, controls: Sequence[str] | None = None, double_machine_learning: bool = True, seed: int = 0
) -> SpecificationCurve:
    """Estimate the mean elasticity of a panel in every way, in one call.

    Parameters
    ----------
    panel : frame
        As of `price_panel`.
    controls : sequence of str, optional
        What else moves demand, as in `estimate_elasticities`.
    double_machine_learning : bool
        Whether its row is made; it takes longest.
    seed : int
        Of its folds.

    Raises
    ------
    ContractError
        The panel is not one.

    Examples
    --------
    >>> from regulars.pricing.simulate import CONFOUNDING, simulate_prices
    >>> history = simulate_prices(items=8, stores=10, weeks=104, confounding=CONFOUNDING, seed=3)
    >>> curve = specification_curve(history.frame(), double_machine_learning=False)
    >>> curve.chosen
    'by item, instrumented'
    >>> bool(abs(curve.elasticity() - history.own.mean()) < 0.2), bool(curve.elasticity("poisson") > -2)
    (True, True)
    """
    controls = (controls,) if isinstance(controls, str) else controls
    arrays = read_panel(panel, controls or ())
    frame = panel_frame(panel)
    if "store_id" not in frame:
        frame = frame.assign(store_id="")
    # sums of floats in the order of the rows given would differ in their last digits
    frame = frame.sort_values(["item", "store_id", "week"], key=lambda column: column.astype(str), ignore_index=True)
    asked = control_columns(arrays, controls)
    entries = _entries(frame, arrays, asked, double_machine_learning, seed)
    items: dict[str, ElasticityTable] = {}
    rows = [_row(specification, run) for specification, run in entries]
    rows += _item_rows(panel, arrays, asked, items)
    chosen, argument = _choose(arrays, items)
    for row in rows:
        row["chosen"] = row["specification"] == chosen
    taken = next(row for row in rows if row["specification"] == chosen)
    if np.isnan(taken["elasticity"]):
        argument = (
            f"This panel has no answer to argue for: {taken['failed'] or 'its mean is not known'}. No other row stands "
            "in for it."
        )
    rows.sort(key=lambda row: (np.isnan(row["elasticity"]), row["elasticity"], row["specification"]))
    findings = tuple(panel_findings(arrays, asked))
    return SpecificationCurve(frame_like(panel, _as_table(rows)), chosen, argument, tuple(rows), findings)


def _entries(
    frame: Any, arrays: PanelArrays, controls: tuple[str, ...], with_learning: bool, seed: int
) -> list[tuple[Specification, Callable[[], Regression]]]:
    several = len(arrays.stores) > 1
    item = "item^store_id" if several else "item"
    cluster = "item"
    by_week = (item, "week")
    extra = "".join(f" + {name}" for name in controls)
    named = ", ".join(controls) or "none"
    sold = frame.loc[frame["price_rule"] == "sold"] if "price_rule" in frame else None
    price_mean = float(np.average(frame["price"], weights=np.maximum(frame["units"], 0) + 1e-9))
    semi = frame.assign(relative_price=frame["price"] / price_mean)
    made: list[tuple[Specification, Callable[[], Regression]]] = [
        (
            Specification("pooled", "log-log", "none", "none", "with units", "dear items sell less anyway"),
            lambda: log_linear(frame, cluster=cluster),
        ),
        (
            Specification("fixed effects", "log-log", item, "none", "with units", "seasons move price and demand"),
            lambda: log_linear(frame, effects=(item,), cluster=cluster),
        ),
        (
            Specification(
                "two-way effects", "log-log", f"{item}, week", "none", "with units", "rows without units are left out"
            ),
            lambda: log_linear(frame, effects=by_week, cluster=cluster),
        ),
        (
            Specification("semi-log", "semi-log", f"{item}, week", named, "with units", "at the mean price alone"),
            lambda: _renamed(log_linear(semi, f"relative_price{extra}", effects=by_week, cluster=cluster)),
        ),
        (
            Specification(
                "poisson", "counts", f"{item}, week", "none", "all", "what is promoted is credited to its price"
            ),
            lambda: poisson(frame, effects=by_week, cluster=cluster),
        ),
    ]
    if controls:
        made += [
            (
                Specification(
                    "two-way effects, controls", "log-log", f"{item}, week", named, "with units",
                    "rows without units are left out",
                ),
                lambda: log_linear(frame, f"log_price{extra}", effects=by_week, cluster=cluster),
            ),
            (
                Specification("poisson, controls", "counts", f"{item}, week", named, "all", "one slope for all items"),
                lambda: poisson(frame, f"log_price{extra}", effects=by_week, cluster=cluster),
            ),
        ]  # fmt: skip
    if sold is not None and len(sold) < len(frame):
        made.append(
            (
                Specification(
                    "poisson, prices seen", "counts", f"{item}, week", named, "sold",
                    "weeks in which a price sold nothing are left out",
                ),
                lambda: poisson(sold, f"log_price{extra}", effects=by_week, cluster=cluster),
            )
        )  # fmt: skip
    if "regular_price" in arrays.columns:
        priced = frame.loc[frame["regular_price"] > 0]
        priced = priced.assign(log_regular=np.log(priced["regular_price"].astype(float)))
        made.append(
            (
                Specification(
                    "regular price", "log-log, two stages", item, named, "with units",
                    "regular prices may follow demand as well",
                ),
                lambda: log_linear(
                    priced, extra.removeprefix(" + ") or "1", effects=(item,), cluster=cluster,
                    instruments=("log_regular",),
                ),
            )
        )  # fmt: skip
    if with_learning:
        made.append(
            (
                Specification("double machine learning", "log-log", "learned", named, "with units", "one slope"),
                lambda: double_ml(frame, controls=controls, seed=seed),
            )
        )
    return made


def _item_rows(
    panel: Any, arrays: PanelArrays, controls: tuple[str, ...], items: dict[str, ElasticityTable]
) -> list[dict[str, Any]]:
    wanted: list[tuple[str, str, dict[str, Any], str]] = [
        ("by item", "all", {"method": "poisson"}, "the shop may discount by what demand it expects")
    ]
    if available(arrays):
        wanted.append(("by item, instrumented", "all", {"method": "instruments"}, "rests on costs that know no demand"))
    if arrays.sold_out is not None and arrays.sold_out.any():
        wanted.append(
            (
                "by item, stock-outs as demand",
                "all",
                {"method": "poisson", "censored": False},
                "demand cut off by stock",
            )
        )
        if "sold_out" in panel_frame(panel).columns:
            wanted.append(
                (
                    "by item, stock-outs left out",
                    "not sold out",
                    {"method": "poisson"},
                    "only weeks of weak demand stay",
                )
            )
    rows = []
    for name, which, options, objection in wanted:
        specification = Specification(
            name, "counts", "item and store, week", ", ".join(controls) or "none", which, objection
        )
        given = panel
        if which == "not sold out":
            frame = panel_frame(panel)
            given = frame.loc[frame["sold_out"] != 1].drop(columns=["sold_out", "on_hand"], errors="ignore")

        def run(given: Any = given, name: str = name, options: dict[str, Any] = options) -> Regression:
            items[name] = estimate_elasticities(given, controls=controls, held_out=False, **options)
            return _mean(items[name], arrays)

        rows.append(_row(specification, run))
    return rows


def _mean(found: ElasticityTable, arrays: PanelArrays) -> Regression:
    """Mean of the items' elasticities by units sold: what the other rows estimate one of."""
    weight = dict(zip(arrays.items, np.bincount(arrays.item, arrays.units, len(arrays.items)), strict=True))
    share = np.array([weight.get(item, 0.0) for item in found.items]) * np.isfinite(found.elasticity)
    if not share.any():
        why = Counter(found.reasons).most_common(1)[0]
        raise ModelError(f"no item has an answer: {why[0]}" + (f" ({why[1]} items)" if why[1] > 1 else ""))
    share /= share.sum()
    mean = float(share @ np.nan_to_num(found.elasticity))
    # answers drawn to their category err together: their mean's error is that of the items' own estimates
    own = np.array([np.nan if v is None else v for v in _values(found.table, "own_standard_error")], dtype=float)
    error = float(np.sqrt(share**2 @ np.nan_to_num(np.where(np.isfinite(own), own, found.standard_error)) ** 2))
    return Regression(("log_price",), np.array([mean]), np.array([error]), len(arrays.item))


def _choose(arrays: PanelArrays, items: dict[str, ElasticityTable]) -> tuple[str, str]:
    stock = (
        "weeks that sold out count as lower bounds of demand"
        if arrays.sold_out is not None and arrays.sold_out.any()
        else "no stock-out is known"
    )
    instrumented = items.get("by item, instrumented")
    strong = 0.0
    if instrumented is not None:
        f = [v for v in _values(instrumented.table, "first_stage_f") if v is not None and v == v]
        strong = float(np.mean(np.array(f) >= 10.0)) if f else 0.0
    if instrumented is not None and strong > 0.5:
        return "by item, instrumented", (
            f"Costs move the price of {strong:.0%} of items strongly (F of at least 10) and know nothing of the week's "
            f"demand, so a price that answers to demand does no harm; each item has its own slope; {stock}."
        )
    why = "the instruments are weak" if instrumented is not None else "no cost that moves the price is known"
    return "by item", (
        f"Each item has its own slope beside the week's common shock and what was promoted, and weeks without a sale "
        f"count; {why}, so prices are taken as they are; {stock}."
    )


def _values(table: Any, name: str) -> list[Any]:
    column = table[name]
    return column.to_pylist() if hasattr(column, "to_pylist") else list(column)


def _renamed(fit: Regression) -> Regression:
    names = tuple("log_price" if name == "relative_price" else name for name in fit.names)
    return Regression(names, fit.estimate, fit.standard_error, fit.observations, fit.first_stage_f)


def _row(specification: Specification, run: Callable[[], Regression]) -> dict[str, Any]:
    estimate, error, observations, failed = float("nan"), float("nan"), 0, ""
    try:
        fit = run()
        if "log_price" not in fit.names:
            raise ModelError("no price moves within its effects")
        estimate, error = fit["log_price"]
        observations = fit.observations
    except RegularsError as fault:
        # one specification that the panel cannot carry says so in its row, and the others stand
        failed = str(fault)
    return {
        "specification": specification.name,
        "form": specification.form,
        "effects": specification.effects,
        "controls": specification.controls,
        "rows": specification.rows,
        "elasticity": estimate,
        "standard_error": error,
        "lower": estimate - _Z90 * error,
        "upper": estimate + _Z90 * error,
        "observations": observations,
        "chosen": False,
        "objection": specification.objection,
        "failed": failed,
    }


def _as_table(rows: Sequence[dict[str, Any]]) -> Any:
    import pyarrow as pa

    return pa.Table.from_pylist(list(rows))
