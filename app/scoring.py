"""Scoring with the models of a snapshot between two builds: today's orders in Python, any customers in SQL."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..sql.database import connect
from ..sql.errors import ModelError

if TYPE_CHECKING:
    from datetime import date

    import pyarrow as pa

    from ..clv.btyd import BTYDModel
    from ..clv.churn_forecast import ChurnForecast
    from ..clv.gamma_gamma import GammaGammaModel
    from ..sql.settings import Settings
    from ..sql.snapshot import Snapshot


def score_anew(settings: "Settings", snapshot: "Snapshot") -> "pa.Table":
    """Score every customer of today's input files with a snapshot's fitted models; nothing is fitted or published.

    Returns
    -------
    pyarrow.Table
        In the shape of ``contract.CUSTOMER_SCORES``, by customer_id.

    Raises
    ------
    ModelError
        The snapshot has no model of orders, or one in another time unit than the settings ask for.
    WarehouseError
        A stored model is not what was published.
    """
    from ..clv.calibration import DispersionCalibration
    from ..clv.score import score_customers

    model, spend = snapshot_models(snapshot)
    value = settings.value
    dispersion = snapshot.manifest["model"].get("dispersion")
    with connect(settings) as database:
        summary = database.query("customer_summary").sort_by("customer_id")
        summary = summary.replace_schema_metadata({"regulars.time_unit": value.time_unit})
        return score_customers(
            model,
            spend,
            summary,
            as_of=database.as_of,
            horizon=value.horizon,
            discount_rate=value.discount_rate,
            margin=value.margin,
            calibration=dispersion and DispersionCalibration.from_dict(dispersion),
        )


def churn_scores(snapshot: "Snapshot") -> "pa.Table":
    """Return a snapshot's ``customer_churn``.

    Raises
    ------
    ModelError
        It has none.
    """
    found = snapshot.read("customer_churn")
    if not found.num_rows:
        _require_churn(snapshot)
    return found


def churn_anew(settings: "Settings", snapshot: "Snapshot", say: Callable[[str], None] = lambda _: None) -> "pa.Table":
    """Say of every customer of today's input files how likely no order is, by a snapshot's stored churn models.

    Nothing is fitted, chosen or recalibrated anew; reasons are told of as many as the snapshot's ``[churn]`` says.

    Parameters
    ----------
    settings : Settings
        Of today; the ``[churn]`` that the models were fitted by is the snapshot's.
    snapshot : Snapshot
        Whose models.
    say : callable
        Called with a sentence on how old the models are.

    Returns
    -------
    pyarrow.Table
        In the shape of ``contract.CUSTOMER_CHURN``, by customer_id.

    Raises
    ------
    ModelError
        The snapshot has no churn models, or the input ends before the day that they were fitted as of.
    MissingExtraError
        They are trees of LightGBM, which is not installed.
    WarehouseError
        They are not what was published.
    """
    from dataclasses import replace

    from ..clv.churn_forecast import ChurnForecast
    from .churn import churn_table, revenue_a_year

    _require_churn(snapshot)
    stored = ChurnForecast.load(snapshot.whole_model_path(ChurnForecast.name))
    explained = snapshot.manifest["settings"]["churn"]["explained"]
    with connect(settings) as database:
        say(_age(stored, snapshot, settings, database.as_of))
        forecast = replace(stored, as_of=database.as_of)
        scores = forecast.score(database, explain=explained, weights=revenue_a_year(database))
        return churn_table(forecast, scores, snapshot.manifest["models"][stored.name]["version"])


def _age(stored: "ChurnForecast", snapshot: "Snapshot", settings: "Settings", today: "date") -> str:
    days = (today - stored.as_of).days
    if days < 0:
        raise ModelError(
            f"the input is read as of {today}, {-days} days before {stored.as_of}, which the churn models of run "
            f"{snapshot.run_id} were fitted as of: they have seen what came of these customers; give the files up to "
            "that day, or score with an earlier run ('regulars runs')"
        )
    ago = "on the input's last day" if not days else f"{days} day{'s' if days > 1 else ''} before the input's last"
    said = [f"churn models of run {snapshot.run_id}, fitted as of {stored.as_of}, {ago}"]
    if days > stored.horizon:
        said.append(f"older than the {stored.horizon:g} days that they speak of: build again")
    asked = settings.churn
    if asked is None:
        said.append("the settings have no [churn]")
    elif asked.horizon_days != stored.horizon:
        said.append(f"they say {stored.horizon:g} days; horizon_days = {asked.horizon_days} is for the next build")
    return "; ".join(said)


def _require_churn(snapshot: "Snapshot") -> None:
    from ..clv.churn_forecast import ChurnForecast

    if ChurnForecast.name not in snapshot.models():
        said = [note for note in snapshot.manifest["notes"] if note.startswith("[churn] has no answer")]
        asked = snapshot.manifest["settings"].get("churn")
        why = "; ".join(said) or (
            "it is of a version that did not store them" if asked else "[churn] was not configured"
        )
        remedy = "build again" if asked else "build with a [churn] section"
        raise ModelError(f"run {snapshot.run_id} has no churn models: {why}; {remedy}")


def snapshot_sql(snapshot: "Snapshot") -> str:
    """Return the SQL that scores customers as a snapshot's models do, see `clv.score_sql`.

    Raises
    ------
    ModelError
        The snapshot has no model of orders.
    WarehouseError
        A stored model is not what was published.
    """
    from ..clv.sql_scores import score_sql

    model, spend = snapshot_models(snapshot)
    value = snapshot.manifest["settings"]["value"]
    oldest = float(snapshot.read("customer_summary").column("T").to_numpy().max())
    terms = {name: value[name] for name in ("horizon", "discount_rate", "margin")}
    return f"-- Run {snapshot.run_id}.\n" + score_sql(model, spend, **terms, oldest=oldest)


def snapshot_models(snapshot: "Snapshot") -> "tuple[BTYDModel, GammaGammaModel | None]":
    """Return a snapshot's fitted models of orders and of spend; None where no order ever brought money.

    Raises
    ------
    ModelError
        The snapshot has no model of orders.
    WarehouseError
        A stored model is not what was published.
    """
    from ..clv.persistence import load_model

    name = snapshot.manifest["model"]["name"]
    if not name:
        raise ModelError(
            f"run {snapshot.run_id} has no model: {'; '.join(snapshot.manifest['notes'])}; build with more orders"
        )
    spend = load_model(snapshot.whole_model_path("gamma_gamma")) if "gamma_gamma" in snapshot.models() else None
    return load_model(snapshot.whole_model_path(name)), spend
