"""The contract's tables of campaigns: effects, what they were judged by, their value, scores by customer."""

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

CAMPAIGN_CURVES = Table(
    "campaign_curves",
    ("campaign", "ranking", "share"),
    "What it gains to treat the first share of a ranking, on customers that no ranking has learnt from.",
    (
        Column("campaign", ID, "", "Name of the [campaigns.NAME] section"),
        Column("ranking", "VARCHAR", "", "The learner, 'response' (a plain response model) or 'random'"),
        Column("share", "DOUBLE", "share", "Of the customers, the first by the ranking, each with his best arm"),
        Column("gain", "DOUBLE", "currency", "Profit per 1,000 customers, treated or not, over treating none"),
        Column("lower", "DOUBLE", "currency", "Lower end of its 95% interval, at this share alone"),
        Column("upper", "DOUBLE", "currency", "Upper end of its 95% interval, at this share alone"),
    ),
)

CAMPAIGN_FINDINGS = Table(
    "campaign_findings",
    ("campaign", "place"),
    "What was checked before and after a campaign was learnt from: sample ratio, balance, and whatever was seen.",
    (
        Column("campaign", ID, "", "Name of the [campaigns.NAME] section"),
        Column("place", "BIGINT", "", "Order: what stands in the way first"),
        Column("code", "VARCHAR", "", "Short name of the check, such as 'sample_ratio_mismatch'"),
        Column("passed", "BOOLEAN", "", "True where the check saw nothing"),
        Column("blocking", "BOOLEAN", "", "True where the numbers must not be used as they are"),
        Column("overridden", "BOOLEAN", "", "True where [campaigns.NAME] override goes on in spite of it"),
        Column("seen", "VARCHAR", "", "What was seen, with its figures"),
        Column("advice", "VARCHAR", "", "What to do; '' where nothing is to be done"),
        Column("p_value", "DOUBLE", "probability", "Of the test, where the check is one"),
    ),
)

CAMPAIGN_BALANCE = Table(
    "campaign_balance",
    ("campaign", "arm", "feature"),
    "How far the arms of the sends learnt from differ in what was known before.",
    (
        Column("campaign", ID, "", "Name of the [campaigns.NAME] section"),
        Column("arm", "VARCHAR", "", "Compared with control"),
        Column("feature", "VARCHAR", "", "What was known of a customer before the send"),
        Column("mean_control", "DOUBLE", "", "Its mean in control"),
        Column("mean_arm", "DOUBLE", "", "Its mean in the arm"),
        Column("difference", "DOUBLE", "", "In standard deviations; NULL where the feature does not vary"),
        Column("p_value", "DOUBLE", "probability", "Of the feature over all arms, if they had been drawn at random"),
    ),
)

CAMPAIGN_HOLDOUT = Table(
    "campaign_holdout",
    ("campaign", "place", "arm"),
    "What the effects predicted for customers they had not learnt from, beside what the outcomes of these say.",
    (
        Column("campaign", ID, "", "Name of the [campaigns.NAME] section"),
        Column("place", "BIGINT", "", "The customer, as a number from 1 on: no id"),
        Column("arm", "VARCHAR", "", "What would have been sent"),
        Column("unit", "BIGINT", "", "Rows of one unit are not independent of each other"),
        Column("cost", "DOUBLE", "currency", "What sending it was expected to cost"),
        Column("net_effect", "DOUBLE", "currency", "margin x predicted effect - cost"),
        Column("judged", "DOUBLE", "currency", "margin x doubly robust score of the effect - cost: right on average"),
    ),
)
