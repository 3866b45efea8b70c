-- Customers and what is at stake by P(no order) in twentieths.
-- inputs: at_risk
-- output: churn_distribution
-- grain: step
-- parameters:
SELECT
  least(CAST(floor(probability_no_order * 20) AS BIGINT), 19) AS step,
  count(*) AS customers,
  sum(value_at_stake) AS value_at_stake
FROM at_risk
WHERE probability_no_order IS NOT NULL
GROUP BY step
ORDER BY step
