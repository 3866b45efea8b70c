-- What the answers of churn come to: customers, those expected not to order, what is at stake.
-- inputs: at_risk
-- output: churn_totals
-- grain:
-- parameters:
SELECT
  count(*) AS customers,
  sum(probability_no_order) AS expected_leavers,
  sum(value_at_stake) AS value_at_stake,
  count(*) FILTER (WHERE probability_no_order >= 0.5) AS more_likely_not,
  min(horizon_days) AS horizon_days,
  min(chosen) AS chosen
FROM at_risk
