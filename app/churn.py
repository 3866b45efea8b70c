"""Churn's part of a build: P(no order in the next days), the time to the next order and its reasons, by customer.

What cannot be learnt is a note that says why, never a build that fails.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast

from ..sql.contract import CHURN_CALIBRATION, CHURN_REPORTS, CUSTOMER_CHURN, Table
from ..sql.errors import ContractError, MissingExtraError, ModelError
from .build_database import BuildDatabase

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from ..clv.churn_forecast import ChurnForecast
    from ..sql.database import Database
    from ..sql.pipeline import Pipeline
    from ..sql.settings import Settings

# What the numbers depend on besides the rest of a build.
CODE = ("app/churn.py", "app/build_database.py")
PACKAGES = ("lightgbm", "scikit-survival")
STEP = "who is leaving"

_MODELS_OF = {"hazard": "lightgbm", "kaplan_meier": ""}


@dataclass(frozen=True)
class Churn:
    """What a build makes of ``[churn]``; ``verdict`` is '' without it."""

    scores: "pa.Table"
    reports: "pa.Table"
    calibration: "pa.Table"
    chosen: str = ""
    verdict: str = ""
    notes: tuple[str, ...] = ()
    explained_by: str = ""
    forecast: "ChurnForecast | None" = None

    def described(self) -> dict[str, str]:
        """As the manifest has it; ``explained_by`` is the model whose reasons the scores tell, '' of none."""
        return {"chosen": self.chosen, "explained_by": self.explained_by, "verdict": self.verdict}


def require_churn(settings: "Settings") -> None:
    """Stop before anything is read where ``[churn]`` is configured and what learns it is not installed.

    Raises
    ------
    MissingExtraError
        A package of the extra ``churn`` is missing.
    """
    if settings.churn is None:
        return
    package = _MODELS_OF.get(settings.churn.model, "sksurv")
    if any(name and find_spec(name) is None for name in (package, "sksurv")):
        raise MissingExtraError(
            f"[churn] is learnt and judged with {package or 'sksurv'}, which is not installed: "
            "pip install 'regulars[churn]', or take the [churn] section out of the settings"
        )


def learn_churn(
    pipeline: "Pipeline", settings: "Settings", as_of: date, step: Callable[[str], None] = lambda _: None
) -> Churn:
    """Choose a model on the last days, fit it as of today, score every customer.

    Parameters
    ----------
    pipeline : Pipeline
        Where the queries run.
    settings : Settings
    as_of : date
    step : callable
        Called with the name of the step before it begins.
    """
    asked = settings.churn
    nothing = Churn(_empty(CUSTOMER_CHURN), _empty(CHURN_REPORTS), _empty(CHURN_CALIBRATION))
    if asked is None:
        return nothing
    from ..clv.churn_forecast import forecast_churn

    step(STEP)
    tables = cast("Database", BuildDatabase(settings, pipeline, as_of))
    try:
        forecast = forecast_churn(
            tables,
            as_of,
            asked.horizon_days,
            model=asked.model,
            btyd=asked.order_model,
            choose=asked.choose,
            recalibrate=asked.recalibrate,
            share=asked.customers_share,
            seed=settings.build.seed,
        )
        scores = forecast.score(tables, explain=asked.explained, weights=revenue_a_year(tables))
    except (ContractError, ModelError) as error:
        return Churn(nothing.scores, nothing.reports, nothing.calibration, notes=(f"[churn] has no answer: {error}",))
    return _told(forecast, scores, asked.explained)


def _of_reasons(forecast: "ChurnForecast", explained: int) -> tuple[str, ...]:
    who = forecast.explained_by
    if not explained or who == forecast.model.model:
        return ()
    if who:
        return (f"[churn] reasons are those of {who}: {forecast.chosen} was chosen",)
    return (
        f"[churn] {forecast.model.model} has no exact contributions of features: reasons are empty; "
        "model = 'hazard', 'cox' or 'coxnet' has them",
    )


def revenue_a_year(database: "Database") -> dict[str, float]:
    """Return what each customer brings in a year, as the page of churn holds it against P(no order).

    Of those who came less than a year ago it is what they have brought so far.
    """
    import numpy as np

    summary = database.query("customer_summary")
    days = np.maximum(summary.column("T_days").to_numpy(), 365)
    a_year = 365.0 * summary.column("revenue").cast("float64").to_numpy() / days
    return dict(zip(summary.column("customer_id").to_pylist(), a_year.tolist(), strict=True))


def churn_table(forecast: "ChurnForecast", scores: "pd.DataFrame", version: str) -> "pa.Table":
    """Return what `ChurnForecast.score` gave in the shape of ``contract.CUSTOMER_CHURN``.

    ``version`` is that of the forecast as it was fitted, see `clv.persistence.model_version`.
    """
    import pyarrow as pa

    from ..sql.frames import contract_table

    columns: dict[str, Any] = {name: _known(scores[name]) for name in CUSTOMER_CHURN.column_names if name in scores}
    columns["as_of"] = forecast.as_of
    columns["horizon_days"] = int(forecast.horizon)
    columns["chosen"] = forecast.chosen
    columns["model_version"] = version
    for median in ("median_days_survival", "median_days_btyd"):
        # a NaN in SQL would be the largest number
        columns[median] = pa.array(scores[median].to_numpy(), from_pandas=True)
    for reason in ("reason_1", "reason_2", "reason_3"):
        columns.setdefault(reason, "")
    return contract_table(CUSTOMER_CHURN, columns)


def _told(forecast: "ChurnForecast", scores: "pd.DataFrame", explained: int) -> Churn:
    from ..clv.persistence import model_version
    from ..sql.frames import contract_table

    report = forecast.report
    if report is None:
        reports, verdict = _empty(CHURN_REPORTS), f"{forecast.chosen}, not judged"
        calibration = _empty(CHURN_CALIBRATION)
    else:
        reports = contract_table(
            CHURN_REPORTS, {name: _known(report.reports[name]) for name in CHURN_REPORTS.column_names}
        )
        verdict = report.verdict
        found = report.calibration
        calibration = contract_table(CHURN_CALIBRATION, {n: found[n] for n in CHURN_CALIBRATION.column_names})
    said = (
        (forecast.model.model, forecast.model.message_),
        (forecast.btyd.name, forecast.btyd.message_),
        (forecast.chosen, forecast.note),
    )
    notes = tuple(f"[churn] {name}: {message}" for name, message in said if message) + _of_reasons(forecast, explained)
    who = forecast.explained_by if explained else ""
    scored = churn_table(forecast, scores, model_version(forecast))
    return Churn(scored, reports, calibration, forecast.chosen, verdict, notes, who, forecast)


def _known(column: Any) -> "pa.Array":
    """A column in which what is not a number is not known."""
    import pyarrow as pa

    made = pa.array(column, from_pandas=True)
    return made.combine_chunks() if isinstance(made, pa.ChunkedArray) else made


def _empty(table: Table) -> "pa.Table":
    import pyarrow as pa

    from ..sql.frames import contract_table

    return contract_table(table, {name: pa.nulls(0) for name in table.column_names})
