"""Scoring today's orders with the models of a snapshot, between two builds."""

from typing import TYPE_CHECKING

from ..sql.database import connect
from ..sql.errors import ModelError

if TYPE_CHECKING:
    import pyarrow as pa

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
    """
    from ..clv.persistence import load_model
    from ..clv.score import score_customers

    name = snapshot.manifest["model"]["name"]
    if not name:
        raise ModelError(
            f"run {snapshot.run_id} has no model: {'; '.join(snapshot.manifest['notes'])}; build with more orders"
        )
    model = load_model(snapshot.model_path(name))
    spend = load_model(snapshot.model_path("gamma_gamma")) if "gamma_gamma" in snapshot.models() else None
    value = settings.value
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
        )
