"""The contract's tables of campaigns: effects, their value, scores by customer."""

from .tables import ID, Column, Table

CAMPAIGN_EFFECTS = Table(
    "campaign_effects",
    ("campaign", "arm"),
    "What each configured campaign was found to move, and whether it pays to choose whom; or why that is not known.",
    (
        Column("campaign", ID, "", "Name of the [campaigns.NAME] section"),
        Column("arm", "VARCHAR", "", "What was sent; '' where the campaign was refused before its arms were known"),
        Column("control", "VARCHAR", "", "The arm it is compared with"),
        Column("kind", "VARCHAR", "", "'randomised' or 'observational'"),
        Column("outcome", "VARCHAR", "", "'revenue', 'orders' or 'ordered'"),
        Column("window_days", "BIGINT", "days", "Days from the day of the send over which the outcome is counted"),
        Column("customers", "BIGINT", "customers", "With this arm or control"),
        Column("treated", "BIGINT", "customers", "Of these with this arm"),
        Column("overlap", "DOUBLE", "share", "Of these customers, those who could have had either arm"),
        Column("effect", "DOUBLE", "outcome", "Average effect per customer on the holdout; NULL where refused"),
        Column("lower", "DOUBLE", "outcome", "Lower end of its 95% interval"),
        Column("upper", "DOUBLE", "outcome", "Upper end of its 95% interval"),
        Column("gain_per_1000", "DOUBLE", "currency", "Profit per 1,000 customers under the policy of the verdict"),
        Column("gain_lower", "DOUBLE", "currency", "Lower end of its 95% interval"),
        Column("gain_upper", "DOUBLE", "currency", "Upper end of its 95% interval"),
        Column("decision", "VARCHAR", "", "'rank', 'treat all', 'treat none' or 'not enough data'; '' where refused"),
        Column("ranking", "VARCHAR", "", "The score to rank by where the decision is 'rank'; '' otherwise"),
        Column("sentence", "VARCHAR", "", "The verdict with its test, or the reason of the refusal"),
        Column("refused", "BOOLEAN", "", "True where nothing was estimated"),
        Column("model_version", "VARCHAR", "", "The effects that were judged; '' where there are none"),
    ),
)

CAMPAIGN_VALUES = Table(
    "campaign_values",
    ("campaign", "arm"),
    "What each campaign moved of margin over its window and a horizon after it: short signals valued by the customer "
    "models, and what these get wrong.",
    (
        Column("campaign", ID, "", "Name of the [campaigns.NAME] section"),
        Column("arm", "VARCHAR", "", "What was sent; '' where nothing was estimated"),
        Column("window_days", "BIGINT", "days", "Days from the day of the send whose margin is seen"),
        Column("horizon_days", "BIGINT", "days", "Days after these whose margin is expected"),
        Column("customers", "BIGINT", "customers", "Compared: they had bought before the send, and overlap"),
        Column("effect", "DOUBLE", "currency", "Average effect on margin per customer, not discounted"),
        Column("lower", "DOUBLE", "currency", "Lower end of its 95% interval, the models' error in it"),
        Column("upper", "DOUBLE", "currency", "Upper end of its 95% interval, the models' error in it"),
        Column("by_the_models", "DOUBLE", "currency", "The same if the models were right"),
        Column("correction", "DOUBLE", "currency", "What they got wrong of customers with such signals a horizon ago"),
        Column("reason", "VARCHAR", "", "Why nothing was estimated; '' where something was"),
    ),
)

UPLIFT_SCORES = Table(
    "uplift_scores",
    ("campaign", "customer_id", "arm"),
    "What each arm of a configured campaign is expected to move with each customer from the as-of date on.",
    (
        Column("campaign", ID, "", "Name of the [campaigns.NAME] section"),
        Column("customer_id", ID, "", "The customer", personal=True),
        Column("arm", "VARCHAR", "", "What would be sent"),
        Column("effect", "DOUBLE", "outcome", "Outcome with the arm less outcome without, in the campaign's window"),
        Column("response", "DOUBLE", "outcome", "Outcome expected with an arm: what a plain response model ranks by"),
        Column("cost", "DOUBLE", "currency", "What sending it is expected to cost"),
        Column("net_effect", "DOUBLE", "currency", "margin x effect - cost"),
        Column("model_version", "VARCHAR", "", "The effects that scored, under models/campaign_<name>"),
    ),
)
