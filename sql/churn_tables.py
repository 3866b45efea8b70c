"""The contract's tables of churn: who may be leaving and why, how long others stayed away, what models are worth."""

from .tables import ID, Column, Table

CUSTOMER_CHURN = Table(
    "customer_churn",
    ("customer_id",),
    "How likely each customer is not to order in the next days, by a survival model and a model of orders.",
    (
        Column("customer_id", ID, "", "The customer", personal=True),
        Column("as_of", "DATE", "", "The date the answer speaks from"),
        Column("horizon_days", "BIGINT", "days", "How far ahead"),
        Column("days_since_order", "BIGINT", "days", "Since the last purchase day"),
        Column("probability_no_order", "DOUBLE", "probability", "No order in the horizon, by what was chosen"),
        Column("probability_no_order_survival", "DOUBLE", "probability", "The same by the survival model"),
        Column("probability_no_order_btyd", "DOUBLE", "probability", "The same by the model of orders"),
        Column(
            "median_days_survival", "DOUBLE", "days", "Median until the next order, survival; NULL if it may never come"
        ),
        Column("median_days_btyd", "DOUBLE", "days", "The same by the model of orders"),
        Column(
            "beyond_range", "BOOLEAN", "", "Silent for longer than the survival model has seen: its last window counts"
        ),
        Column(
            "reason_1",
            "VARCHAR",
            "",
            "What moved the probability most: by the survival model where it was chosen, alone or in the mean, and has "
            "reasons; else by the model of orders where that was; '' without. Points are what it adds to that model's "
            "probability_no_order_survival or _btyd",
        ),
        Column("reason_2", "VARCHAR", "", "What moved it second, by the same model"),
        Column("reason_3", "VARCHAR", "", "What moved it third, by the same model"),
        Column("chosen", "VARCHAR", "", "Whose probability_no_order it is; 'a + b' is the mean of both"),
        Column("model_version", "VARCHAR", "", "The stored churn models, their fingerprint and the package version"),
    ),
)

CHURN_REPORTS = Table(
    "churn_reports",
    ("model",),
    "The models of churn judged on the last days, by customers that they had not seen.",
    (
        Column("model", "VARCHAR", "", "Name of the model; 'a + b' is the mean of both"),
        Column("rank", "BIGINT", "", "1 has the least Brier score and is chosen"),
        Column("judgements", "BIGINT", "customers", "How many were judged"),
        Column("brier", "DOUBLE", "", "Mean squared error of P(no order in the horizon)"),
        Column("slope", "DOUBLE", "", "Calibration slope: 1 is right, below 1 too sure"),
        Column("intercept", "DOUBLE", "", "Calibration in the large, on the logit's scale: 0 is right"),
        Column("predicted", "DOUBLE", "probability", "Mean of the predictions"),
        Column("observed", "DOUBLE", "share", "Customers without an order"),
        Column("uno_c", "DOUBLE", "", "Uno's concordance of the time to the next order"),
        Column("integrated_brier", "DOUBLE", "", "Brier score of the survival curve over the window"),
        Column("mean_auc", "DOUBLE", "", "Time-dependent AUC, mean over the window"),
        Column("d_calibration", "DOUBLE", "probability", "p-value of D-calibration"),
        Column("note", "VARCHAR", "", "What a reader must know"),
    ),
)

CHURN_CALIBRATION = Table(
    "churn_calibration",
    ("model", "decile"),
    "What each model of churn foretold of the customers it was judged on and what came, by tenths of the prediction.",
    (
        Column("model", "VARCHAR", "", "Name of the model; 'a + b' is the mean of both"),
        Column("decile", "BIGINT", "", "1 is the tenth least likely to stay away"),
        Column("judgements", "BIGINT", "customers", "How many"),
        Column("predicted", "DOUBLE", "probability", "Mean of P(no order in the horizon)"),
        Column("observed", "DOUBLE", "share", "Customers without an order"),
    ),
)

CHURN_TRACKING = Table(
    "churn_tracking",
    ("run_id", "decile"),
    "What earlier snapshots said of P(no order in their horizon), once that has passed, held against who ordered.",
    (
        Column("run_id", "VARCHAR", "", "The run that predicted"),
        Column("decile", "BIGINT", "", "0 is everybody; 1 to 10 the tenths by P(no order), 10 the highest"),
        Column("as_of", "DATE", "", "The date the prediction spoke from"),
        Column("until", "DATE", "", "Last day of the horizon"),
        Column("horizon_days", "BIGINT", "days", "How far ahead it spoke"),
        Column("customers", "BIGINT", "customers", "Those known then and now; who came later is not among them"),
        Column("predicted_share", "DOUBLE", "share", "Mean of P(no order in the horizon)"),
        Column("actual_share", "DOUBLE", "share", "Customers without an order in the horizon"),
        Column("share_low", "DOUBLE", "share", "Lower end of the total's 99% interval; NULL for a tenth"),
        Column("share_high", "DOUBLE", "share", "Upper end of the same"),
        Column("chosen", "VARCHAR", "", "Whose probability_no_order it was"),
        Column("drift", "VARCHAR", "", "'no order' where that lies outside and is off by more than 10%; '' elsewhere"),
    ),
)

GAP_LIFE_TABLE = Table(
    "gap_life_table",
    ("purchase", "days"),
    "How long customers stay away after their n-th purchase day: what Kaplan-Meier's curve is made of.",
    (
        Column("purchase", "BIGINT", "", "After which purchase day: 1, 2, 3, 5, 10 or 20"),
        Column("days", "BIGINT", "days", "Since that purchase day"),
        Column("customers", "BIGINT", "customers", "Who had not been back before that day and were watched until it"),
        Column("returned", "BIGINT", "customers", "Of these, who came back on it"),
    ),
)
