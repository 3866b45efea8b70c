-- Whom a campaign is expected to move: a row a campaign and customer with his best arm, what it is expected to bring
-- and cost, and who he is.
-- inputs: uplift_scores, customer_scores
-- output: uplift_customers
-- grain: campaign, customer_id
-- parameters:
WITH ranked AS (
  SELECT
    *,
    row_number() OVER (PARTITION BY campaign, customer_id ORDER BY net_effect DESC, arm) AS place
  FROM uplift_scores
)
SELECT
  best.customer_id,
  best.campaign,
  best.arm,
  best.net_effect,
  best.effect,
  best.cost,
  best.response,
  scores.segment,
  scores.customer_value,
  scores.probability_alive
FROM ranked AS best
LEFT JOIN customer_scores AS scores ON scores.customer_id = best.customer_id
WHERE best.place = 1
ORDER BY best.customer_id, best.campaign
