"""What ``[churn]`` of ``regulars.toml`` may say: how far ahead, by which models, and for how many the reasons."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class ChurnSettings(BaseModel):
    """``[churn]``: P(no order in the next days) and the time to the next order, for every customer.

    Attributes
    ----------
    horizon_days : int
        Days ahead.
    model : str
        Of survival: ``"hazard"`` (boosted, for millions), ``"cox"``, ``"kaplan_meier"``, ...
    order_model : str
        Of orders, beside it.
    choose : bool
        Let the last ``horizon_days`` choose between the two and their mean; the mean without.
    recalibrate : str, optional
        Set the probability right on that window: ``"logistic"`` or ``"isotonic"``. It carries the window's season over.
    customers_share : float
        Share of the customers whose intervals are learnt from; all are scored.
    explained : int
        For how many customers, those with most at stake (P(no order) times revenue a year), to say what moved it.

    Examples
    --------
    >>> ChurnSettings().horizon_days
    30
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    horizon_days: int = Field(default=30, ge=1, le=730)
    model: Literal["hazard", "cox", "coxnet", "gradient_boosting", "random_survival_forest", "kaplan_meier"] = "hazard"
    order_model: Literal["nbd", "bg_nbd", "mbg_nbd", "pareto_nbd"] = "pareto_nbd"
    choose: bool = True
    recalibrate: Literal["logistic", "isotonic"] | None = None
    customers_share: float = Field(default=1.0, gt=0.0, le=1.0)
    explained: int = Field(default=1000, ge=0, le=100_000)
