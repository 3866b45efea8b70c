"""What ``[campaigns.NAME]`` of ``regulars.toml`` may say: what is learnt from, what it costs, whom to leave alone."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from .errors import nearest

CampaignName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
ArmName = Annotated[str, StringConstraints(min_length=1)]

# Not part of a snapshot: they shape a target list, which is made of one.
LIST_KEYS = frozenset(
    {
        "budget",
        "exploration",
        "fatigue",
        "frequency_cap",
        "frequency_days",
        "holdout",
        "holdout_salt",
        "max_contacts",
        "max_snapshot_age_days",
        "require_consent",
    }
)
OFFER_LIST_KEYS = frozenset({"stock"})

# What preflight names its findings by (`uplift.preflight.CODES`, which this layer does not import).
OVERRIDES = frozenset(
    {
        "arm_missing_in_holdout",
        "cluster_split",
        "constant_features",
        "constant_outcome",
        "contaminated_control",
        "determines_outcome",
        "extreme_propensity",
        "few_clusters",
        "few_customers",
        "few_events",
        "holdout_contaminated",
        "holdout_duplicated",
        "holdout_in_training",
        "low_overlap",
        "measured_after_send",
        "measured_by_arm",
        "missing_by_arm",
        "names_the_arm",
        "names_the_customer",
        "outcome_in_one_arm",
        "propensity_mismatch",
        "sample_ratio_mismatch",
        "suspiciously_predictive",
        "too_few_clusters",
        "too_few_customers",
        "too_few_events",
        "two_rows_per_customer",
        "unbalanced_feature",
        "window_before_send",
        "window_by_arm",
        "window_not_closed",
        "window_overlaps_campaign",
        "window_reversed",
    }
)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class OfferSettings(_Section):
    """``[campaigns.NAME.offers.ARM]``: what sending one arm costs.

    ``cost`` is money per send and may be negative; ``cost_share`` is a further cost as a share of the outcome expected
    under the arm, such as the depth of a discount; ``stock`` is how often the offer can be given.
    """

    cost: float = Field(default=0.0, allow_inf_nan=False)
    cost_share: float = Field(default=0.0, ge=0, le=1, allow_inf_nan=False)
    stock: int | None = Field(default=None, ge=0)


class CampaignSettings(_Section):
    """``[campaigns.NAME]``: one campaign, what it learns from and how its target list is made.

    Attributes
    ----------
    learn_from : tuple of str
        Campaigns in ``sends`` whose results are learnt from; the campaign's own name without it.
    kind : {"randomised", "observational"}
        How the arms of those campaigns were decided.
    control : str
        The arm in ``sends`` that stands for nothing.
    rest_is_control : bool
        Whether customers known at the send who have no row in ``sends`` are control; for observational campaigns only.
    outcome : {"revenue", "orders", "ordered"}
        What is to be moved, within ``window_days`` days that begin with the day of the send.
    margin : float, optional
        What one unit of the outcome earns: a share of revenue (``[value] margin`` without it), money for an order.
    override : tuple of str
        Codes of blocking findings, as `uplift.preflight` names them, to learn in spite of.
    horizon : float, optional
        Time after the window whose margin is looked at too, in ``[value] time_unit``; ``[value] horizon`` without it.
    learner : str
        As ``uplift.fit_effects`` names them.
    budget, max_contacts, frequency_cap : float or int, optional
        Money for one target list, most customers in it, and most sends to a customer in ``frequency_days``.
    holdout, holdout_salt : float, str
        Share of customers that no campaign touches, and the name of that draw.
    exploration : float
        Share of a list that is drawn at random, so that the next one can learn.
    fatigue : float
        Share of an offer's worth that each send within the last ``frequency_days`` takes away.
    require_consent : bool
        Whether only customers with ``email_consent`` are written to.
    max_snapshot_age_days : int
        A list is refused where the snapshot's as-of date is older.
    offers : dict of str to OfferSettings
        By arm; every arm of the sends, at no cost, without it.
    """

    learn_from: tuple[ArmName, ...] = ()
    kind: Literal["randomised", "observational"] = "randomised"
    control: ArmName = "control"
    rest_is_control: bool = False
    outcome: Literal["revenue", "orders", "ordered"] = "revenue"
    window_days: int = Field(default=28, ge=1, le=3650)
    margin: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    override: tuple[str, ...] = ()
    horizon: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    learner: Literal["s", "t", "x", "r", "dr", "causal_forest", "uplift_forest"] = "x"
    budget: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    holdout: float = Field(default=0.1, ge=0, lt=1)
    holdout_salt: str = Field(default="holdout", min_length=1)
    exploration: float = Field(default=0.05, ge=0, lt=1)
    frequency_cap: int | None = Field(default=None, ge=1)
    frequency_days: int = Field(default=30, ge=1, le=3650)
    fatigue: float = Field(default=0.0, ge=0, lt=1)
    max_contacts: int | None = Field(default=None, ge=0)
    require_consent: bool = True
    max_snapshot_age_days: int = Field(default=7, ge=0)
    offers: dict[ArmName, OfferSettings] = Field(default_factory=dict)

    @field_validator("learn_from")
    @classmethod
    def _some_campaign(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        # the default is not validated: left out, it is the campaign's own name
        if not given:
            raise ValueError("learn_from = [] names no campaign to learn from; leave it out for the campaign itself")
        return given

    @field_validator("override")
    @classmethod
    def _known_codes(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [code for code in given if code not in OVERRIDES]
        if unknown:
            raise ValueError(
                f"override names {unknown[0]!r}{nearest(unknown[0], sorted(OVERRIDES))}; the codes are "
                f"{', '.join(sorted(OVERRIDES))}"
            )
        return given

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.rest_is_control and self.kind != "observational":
            raise ValueError(
                "rest_is_control = true needs kind = 'observational': customers without a row in sends were not drawn "
                "at random"
            )
        if self.outcome == "revenue" and self.margin is not None and self.margin > 1:
            raise ValueError(f"margin = {self.margin:g} is a share of revenue, at most 1, where outcome = 'revenue'")
        if self.outcome != "revenue" and self.margin is None:
            raise ValueError(f"outcome = {self.outcome!r} needs margin = what one order earns, in money")
        shared = [arm for arm, offer in self.offers.items() if offer.cost_share and self.outcome != "revenue"]
        if shared:
            raise ValueError(f"offers.{shared[0]}: cost_share is a share of revenue and needs outcome = 'revenue'")
        if self.control in self.offers:
            raise ValueError(f"offers.{self.control} is the control, which is nothing and costs nothing: leave it out")
        return self
