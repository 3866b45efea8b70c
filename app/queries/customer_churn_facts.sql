-- What all rows of churn have in common: how far ahead they look and whose answer was chosen.
-- inputs: customer_churn
-- output: customer_churn_facts
-- grain:
-- parameters:
SELECT max(horizon_days) AS horizon_days, min(chosen) AS chosen
FROM customer_churn
